/**
 * Small synchronous HTTP/1.1 client over a Unix socket, for commands that talk to the engine.
 *
 * Thread: any, never the loop. Blocks: yes, until timeout_ms. No libuv. One connection per call.
 */
#ifndef SL_HTTP_CLIENT_H
#define SL_HTTP_CLIENT_H

#include "core/base/err.h"
#include "core/base/str.h"

#define SL_HTTP_ANSWER_HEAD_MAX 65536
#define SL_HTTP_ANSWER_BODY_MAX (64u << 20) /* default of body_max */
#define SL_HTTP_EVENT_MAX       (1u << 20)  /* bytes of one server-sent event */

/** What to ask. Everything is borrowed during the call. */
struct sl_http_call {
    const char *socket_path; /* any length */
    const char *method;
    const char *target;         /* "/api/v1/runs?limit=3", already encoded */
    const char *content_type;   /* NULL: application/json when there is a body */
    struct sl_str body;         /* ptr NULL: none */
    const char *const *headers; /* NULL, or "name", "value", ..., NULL */
    int64_t timeout_ms;         /* without progress; <= 0: 30 s */
    size_t body_max;            /* 0: SL_HTTP_ANSWER_BODY_MAX */
};

struct sl_http_answer {
    int status;
    char content_type[128]; /* "" when absent */
    char request_id[64];    /* "" when absent */
    struct sl_buf body;
};

/**
 * Sends one request and reads the whole answer; any status is success.
 *
 * @return 0; -SL_EUNREACHABLE when nobody listens, -SL_ETIMEOUT, -SL_ELIMIT past a maximum,
 *         -SL_EINVAL for malformed arguments, -SL_EIO when the answer is cut short or malformed.
 * Owner: sl_http_answer_release on success.
 */
int sl_http_call(const struct sl_http_call *call, struct sl_http_answer *ret_answer,
                 struct sl_err *err) SL_MUST_CHECK;
void sl_http_answer_release(struct sl_http_answer *answer);

/** Turns an answer with status >= 400 back into an error: code and message of its JSON body when it
 * has one. Returns 0 for others. */
int sl_http_answer_error(const struct sl_http_answer *answer, struct sl_err *err) SL_MUST_CHECK;

/** One server-sent event; texts live during the call. Return 0 to go on, 1 to stop (the call then
 * returns 0), negative to fail with that code. */
struct sl_http_event {
    const char *id; /* the last id seen, "" when none */
    const char *event;
    struct sl_str data;
};
typedef int (*sl_http_event_fn)(const struct sl_http_event *event, void *data, struct sl_err *err);

/**
 * Follows an event stream until the server ends it (0), `fn` stops it, or it fails. Reconnecting
 * with Last-Event-ID is the caller's. Keep-alive comments count as progress.
 *
 * @param last_id  sent as Last-Event-ID; NULL or "": none
 * @return as sl_http_call; a status other than 200 becomes its error
 */
int sl_http_follow(const struct sl_http_call *call, const char *last_id, sl_http_event_fn fn,
                   void *data, struct sl_err *err) SL_MUST_CHECK;

#endif
