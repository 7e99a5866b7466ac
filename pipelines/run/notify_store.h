/**
 * Rows of messages to people: one per queued event, with how its delivery stands.
 *
 * States: pending (waits for `next_ms`), sent, failed (tries are used up, or nothing can be delivered).
 * Thread: that of the connection. Must not: read a clock, connect.
 */
#ifndef SL_RUN_NOTIFY_STORE_H
#define SL_RUN_NOTIFY_STORE_H

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/db/db.h"

#define SL_NOTIFY_SUBSCRIBER "notify"
#define SL_NOTIFY_TRIES_MAX  14
#define SL_NOTIFY_PER_MINUTE 60 /* deliveries to one channel */
#define SL_NOTIFY_DUE_MAX    100
#define SL_NOTIFY_ERROR_MAX  300 /* bytes of last_error */

extern const struct sl_schema sl_notify_schema; /* notification, notify_channel */

struct sl_notification {
    int64_t id; /* of the event; in commit order */
    const char *run_id, *step, *channel;
    const char *payload; /* canonical JSON of the event */
    const char *state, *last_error;
    int64_t queued_ms, next_ms, last_ms, sent_ms;
    int tries;
    bool mail;
};

/** Takes queued events over as rows; inside a transaction. *ret_n: how many. */
int sl_notify_take(struct sl_db *db, int64_t now_ms, int *ret_n, struct sl_err *err) SL_MUST_CHECK;
/** Pending rows that are due, oldest first, in the arena. */
int sl_notify_due(struct sl_db *db, int64_t now_ms, struct sl_arena *a,
                  struct sl_notification **ret, size_t *ret_n, struct sl_err *err) SL_MUST_CHECK;
/** When the next pending row is due; 0: none. */
int sl_notify_next_ms(struct sl_db *db, int64_t *ret, struct sl_err *err) SL_MUST_CHECK;
/** Tries on a channel since `since_ms`. */
int sl_notify_recent(struct sl_db *db, const char *channel, int64_t since_ms, int64_t *ret,
                     struct sl_err *err) SL_MUST_CHECK;

/** Result of one try; inside a transaction. */
struct sl_notify_result {
    int64_t id, now_ms;
    bool sent, final;    /* final without sent: failed for good */
    bool counts;         /* it was a try */
    int64_t next_ms;     /* of neither */
    const char *error;   /* NULL when sent */
    const char *disable; /* channel that wants no more, or NULL ... */
    int64_t generation;  /* ... until the project changes */
};
int sl_notify_record(struct sl_db *db, const struct sl_notify_result *r, struct sl_err *err)
    SL_MUST_CHECK;
/** Why nothing is delivered to the channel, in the arena; NULL: it is. */
int sl_notify_disabled(struct sl_db *db, const char *channel, int64_t generation,
                       struct sl_arena *a, const char **ret, struct sl_err *err) SL_MUST_CHECK;
/** Makes a failed row pending again, with tries anew. -SL_ENOTFOUND. */
int sl_notify_retry(struct sl_db *db, int64_t id, int64_t now_ms, struct sl_err *err) SL_MUST_CHECK;

/** [{id, run, run_name, step, channel, kind, state, tries, queued_at, next_at, sent_at, error, text}], newest first. */
int sl_notify_list(struct sl_db *db, const char *state, int64_t limit, json_t **ret,
                   struct sl_err *err) SL_MUST_CHECK;

#endif
