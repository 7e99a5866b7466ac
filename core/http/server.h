/**
 * HTTP/1.1 server on the loop: strict parsing, limits and timeouts, streaming bodies both ways,
 * server-sent events, graceful close. Today over a Unix socket.
 *
 * Thread: the loop thread, all of it. Must not: block, log, or let a connection hold unbounded
 * memory. Sources: RFC 9110, RFC 9112, WHATWG HTML "Server-sent events".
 *
 * The life of a request: head parsed -> route found -> `authorize` -> body read (all of it, unless
 * the route streams) -> handler. The handler, or work that it started, replies EXACTLY ONCE. The
 * request stays valid until its reply is complete, also when the client has gone (then the reply is
 * dropped); after the reply call it must not be touched.
 */
#ifndef SL_HTTP_SERVER_H
#define SL_HTTP_SERVER_H

#include <sys/types.h>

#include "core/aio/loop.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/http/router.h"

struct sl_req;
struct sl_http_server;

/** Every limit of a server. Zero fields take the default in the comment. */
struct sl_http_limits {
    size_t url_bytes_max;      /* 8 KiB; past it 414 */
    size_t head_bytes_max;     /* 32 KiB, request line and headers; past it 431 */
    size_t header_count_max;   /* 100; past it 431 */
    size_t pipeline_depth_max; /* 64 requests buffered ahead of their replies; past it 400 */
    size_t connections_max;    /* 4096; past it the connection gets 503 */
    size_t write_queue_max;    /* 8 MiB of unread streamed reply; past it the connection is cut */
    int64_t head_timeout_ms;   /* 10 s from the first byte to the end of the head; 408 */
    int64_t body_timeout_ms;   /* 30 s of grace on top of body_rate_min; 408 */
    size_t body_rate_min;      /* 1024 bytes per second on average */
    int64_t idle_timeout_ms;   /* 75 s between requests; closed silently */
    int64_t write_timeout_ms;  /* 30 s without progress of a write; cut */
    int64_t sse_keepalive_ms;  /* 15 s between comments on a silent event stream */
};

struct sl_http_server_opts {
    const struct sl_route *routes; /* must outlive the server */
    size_t n_routes;
    struct sl_http_limits limits;
    /** NULL, or asked before the body is read: 0, or a negative code with err set, which is the
     * reply. May set the request's principal. */
    int (*authorize)(struct sl_req *req, const struct sl_route *route, struct sl_err *err);
    void *data; /* sl_req_server_data */
    /** A Unix socket is for our own user and root only; with `shared`, also for members of group `gid`
     * (mode 0660). Who may do what is then for `authorize` to say, by sl_req_peer_uid. */
    bool shared;
    gid_t gid;
};

/** Builds a server without a socket. Malformed or clashing routes are asserted. */
int sl_http_server_new(struct sl_loop *loop, const struct sl_http_server_opts *opts,
                       struct sl_http_server **ret_server, struct sl_err *err) SL_MUST_CHECK;

/**
 * Listens on `dirfd`/`name`, mode 0600; only our own user and root may connect (SO_PEERCRED), unless
 * the server is shared. A socket file left by a dead process is replaced. Works for directories of any
 * path length.
 *
 * @return 0; -SL_EBUSY when another process answers there
 */
int sl_http_server_listen_unix(struct sl_http_server *server, int dirfd, const char *name,
                               struct sl_err *err) SL_MUST_CHECK;

/** Takes over a connected stream socket, also on failure. The caller vouches for the peer. */
int sl_http_server_adopt(struct sl_http_server *server, int fd, struct sl_err *err) SL_MUST_CHECK;

/** Open connections. */
size_t sl_http_server_connections(const struct sl_http_server *server);

/**
 * Graceful close: stops listening and removes the socket file, closes idle connections, lets
 * running requests reply, tells streams that they are gone; after `grace_ms` cuts the rest. Then
 * frees the server and calls `closed(data)`, always later, once every request has been replied to.
 */
void sl_http_server_close(struct sl_http_server *server, int64_t grace_ms,
                          void (*closed)(void *data), void *data);

/* ---- the request ---- */

struct sl_arena *sl_req_arena(struct sl_req *req); /* lives as long as the request */
const char *sl_req_id(const struct sl_req *req);   /* 32 hex, also sent as X-Request-Id */
const char *sl_req_method(const struct sl_req *req);
const char *sl_req_path(const struct sl_req *req); /* as sent, without the query */
const struct sl_route *sl_req_route(const struct sl_req *req);
void *sl_req_server_data(const struct sl_req *req);
uid_t sl_req_peer_uid(const struct sl_req *req); /* (uid_t)-1 when unknown */
/** A decoded path parameter by its name in the pattern. Unknown names are asserted. */
const char *sl_req_param(const struct sl_req *req, const char *name);
/** First decoded query value of that key, or NULL. */
const char *sl_req_query(const struct sl_req *req, const char *key);
/** The i-th query pair; false past the end. */
bool sl_req_query_at(const struct sl_req *req, size_t i, const char **ret_key,
                     const char **ret_value);
/** First header of that name (any case), or NULL. */
const char *sl_req_header(const struct sl_req *req, const char *name);
void sl_req_set_data(struct sl_req *req, void *data); /* the handler's own, or authorize's */
void *sl_req_data(const struct sl_req *req);

/** Whole body of a buffered route. */
struct sl_str sl_req_body(const struct sl_req *req);
/** The body as JSON; NULL with err set (-SL_EINVAL and place). Owner: caller. */
json_t *sl_req_json(const struct sl_req *req, struct sl_err *err);

/** Called with pieces of the body; last with data NULL, len 0. Not called again after the reply.
 * When the client goes away in the middle, `gone` is called instead of the last piece. */
struct sl_req_reader {
    void (*piece)(struct sl_req *req, const void *data, size_t len);
    void (*gone)(struct sl_req *req); /* must reply (it is dropped) now or later */
};
/** Starts reading the body of a route with SL_ROUTE_STREAM_BODY; at once or later, once. Nothing is
 * read from the client before. `piece` (no body) or `gone` (no client) may run before it returns. */
void sl_req_read(struct sl_req *req, const struct sl_req_reader *reader);
/** Back-pressure: stops reading from the socket; at most SL_HTTP_READ_BYTES more arrive. */
void sl_req_read_pause(struct sl_req *req);
void sl_req_read_resume(struct sl_req *req);
#define SL_HTTP_READ_BYTES 65536

/* ---- the reply: exactly one of these families, once ---- */

/** Adds a header to the coming reply. -SL_EINVAL for CR, LF, NUL or a name that is no token. */
int sl_reply_header(struct sl_req *req, const char *name, const char *value, struct sl_err *err)
    SL_MUST_CHECK;

void sl_reply_json(struct sl_req *req, int status, const json_t *value); /* borrows value */
void sl_reply_bytes(struct sl_req *req, int status, const char *content_type, const void *data,
                    size_t len);
void sl_reply_empty(struct sl_req *req, int status); /* 204 and the like */
/** {"error":{"code":"EINVAL","message":...,"request_id":...}} with the code's HTTP status. */
void sl_reply_error(struct sl_req *req, const struct sl_err *err);

/**
 * A streamed reply (chunked): begin, any number of writes, end. `gone` (NULL allowed) is called
 * once when the client leaves or the server closes; the handler must still call sl_reply_end.
 * `drained` (NULL allowed) is called when what was pending has been sent.
 */
struct sl_reply_stream {
    void (*gone)(struct sl_req *req);
    void (*drained)(struct sl_req *req);
};
void sl_reply_begin(struct sl_req *req, int status, const char *content_type,
                    const struct sl_reply_stream *stream);
/** Copies and queues. -SL_ECANCELLED when the client is gone, -SL_ELIMIT past write_queue_max (then
 * it is cut off). In both cases `gone` is not called for it; sl_reply_end still is due. */
int sl_reply_write(struct sl_req *req, const void *data, size_t len, struct sl_err *err);
size_t sl_reply_pending(const struct sl_req *req); /* bytes queued, not yet taken by the kernel */
bool sl_reply_gone(const struct sl_req *req);
void sl_reply_end(struct sl_req *req);
/** Ends a streamed reply so that the client sees it was cut short. */
void sl_reply_abort(struct sl_req *req);

/* ---- server-sent events: a streamed reply ---- */

/** Begins text/event-stream and keeps it alive with comments. */
void sl_sse_begin(struct sl_req *req, const struct sl_reply_stream *stream);
/** One event. `id` 0: none; `event` NULL: "message". Data may hold line breaks; `event` may not
 * (-SL_EINVAL). Else as sl_reply_write. */
int sl_sse_send(struct sl_req *req, uint64_t id, const char *event, struct sl_str data,
                struct sl_err *err);
/** The id to resume after: header Last-Event-ID, else query last_event_id, else 0.
 * -SL_EINVAL when it is not a number. */
int sl_sse_last_id(const struct sl_req *req, uint64_t *ret_id, struct sl_err *err) SL_MUST_CHECK;

#endif
