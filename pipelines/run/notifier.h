/**
 * Delivery of messages to people: queued events become rows, rows become webhooks and mails, with tries until one
 * succeeds or they are used up. At least once; each message has an id that stays the same over its tries.
 *
 * Thread: the loop; the work is on a lane of its own. Must not: block the loop, hold up a run.
 */
#ifndef SL_RUN_NOTIFIER_H
#define SL_RUN_NOTIFIER_H

#include "core/aio/loop.h"
#include "core/http/fetch.h"
#include "pipelines/run/notify_store.h"
#include "pipelines/run/workspace.h"
#include "pipelines/spec/spec.h"

#define SL_NOTIFY_BASE_MS    2000    /* first wait; doubles, half of it random */
#define SL_NOTIFY_WAIT_MAX   3600000 /* ms */
#define SL_NOTIFY_POLL_MS    60000   /* looks for rows that others made pending */
#define SL_NOTIFY_CLOSING_MS 5000    /* what is queued at the end is tried so long */

struct sl_notifier;

struct sl_notifier_opts {
    unsigned allow;      /* of enum sl_fetch_allow: beyond https to public addresses */
    const char *ca_file; /* NULL: the system's */
};

/** Starts; takes up what was left undelivered. Owner: sl_notifier_close, before the writer stops. */
int sl_notifier_new(struct sl_loop *loop, struct sl_workspace *ws,
                    const struct sl_notifier_opts *opts, struct sl_notifier **ret,
                    struct sl_err *err) SL_MUST_CHECK;
/** Something was queued durably. Cheap. */
void sl_notifier_wake(struct sl_notifier *n);
/** Tries once more what is due, for SL_NOTIFY_CLOSING_MS at most; the rest stays for the next engine. */
void sl_notifier_close(struct sl_notifier *n); /* NULL allowed */

/** "loopback,private,http" to flags of enum sl_fetch_allow. NULL and "": 0. -SL_EINVAL naming the word. */
int sl_notifier_allow(const char *text, unsigned *ret, struct sl_err *err) SL_MUST_CHECK;

/** What a try needs. */
struct sl_notify_send {
    const char *data_path;
    struct sl_db *db; /* for secrets */
    const struct sl_channel *channel;
    const struct sl_fetch_opts *fetch;
    int64_t now_ms;
};
/** How the receiver took it. */
struct sl_notify_said {
    bool gone;              /* 410: wants no more */
    int64_t retry_after_ms; /* -1: not said */
};
/** One try. @return 0 delivered; else the reason, without any secret in it. Thread: lane. */
int sl_notify_deliver(const struct sl_notify_send *s, const struct sl_notification *row,
                      struct sl_notify_said *ret_said, struct sl_err *err) SL_MUST_CHECK;
/** The reason of a failed try without the address it names, which is a secret: what stands before the first ": "
 * goes, as do the server's own words, and all of it when a piece of the address is left. */
void sl_notify_hide_address(const char *reason, const char *address, char *out, size_t size);
/** Id of a message: "msg_" and 32 hex, the same over its tries. `out` has 37 bytes. Returns out. */
char *sl_notify_message_id(const struct sl_notification *row, char *out);

#endif
