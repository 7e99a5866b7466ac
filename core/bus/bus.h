/**
 * Door of the bus: typed events in a transactional outbox, read at least once by named subscribers.
 *
 * An event row is inserted in the transaction that changed the state it speaks of, so an event
 * exists exactly when its change does. Fan-out inside the process belongs to the engine: after
 * a commit it reads on from the last id it saw. Subscribers have no veto.
 *
 * Thread: that of the connection. Must not: read a clock, block on subscribers.
 */
#ifndef SL_BUS_H
#define SL_BUS_H

#include "core/base/json.h"
#include "core/db/db.h"

#define SL_BUS_PAYLOAD_MAX (64 << 10) /* bytes of canonical payload */
#define SL_BUS_SUBJECT_MAX 512        /* bytes */
#define SL_BUS_READ_MAX    10000      /* events per sl_bus_read */
#define SL_BUS_NAME_MAX    128        /* bytes of a subscriber's name */

enum sl_event_type {
#define SL_EVENT(id, name, text) SL_EVENT_##id,
#include "core/bus/events.def"
#undef SL_EVENT
    SL_EVENT_COUNT
};

const char *sl_event_name(enum sl_event_type type); /* "run.started" */
const char *sl_event_text(enum sl_event_type type); /* what it tells */
/** -1 when unknown. */
int sl_event_parse(const char *name);

struct sl_event {
    int64_t id; /* given by append; grows by one writer in commit order */
    int64_t ts_ms;
    enum sl_event_type type;
    const char *run_id;  /* NULL: not about a run */
    const char *subject; /* step key, attempt id, "model/name@v3", deployment id; NULL allowed */
    const char *payload; /* canonical JSON text; only in reading; NULL when none */
};

extern const struct sl_schema sl_bus_schema;

/**
 * Adds one event in the caller's transaction (asserted).
 *
 * @param e        ts_ms, type, run_id, subject are used
 * @param payload  borrowed object, or NULL
 * @param ret_id   its id; NULL allowed
 * @return         0; -SL_ELIMIT (payload, subject), else of sl_db_exec
 */
int sl_bus_append(struct sl_db *db, const struct sl_event *e, const json_t *payload,
                  int64_t *ret_id, struct sl_err *err) SL_MUST_CHECK;

/** Called per event, in order; its texts live during the call. Non-zero stops, and is returned. */
typedef int (*sl_bus_fn)(const struct sl_event *e, void *arg);

struct sl_bus_query {
    int64_t after_id;   /* only later ones; 0 = from the first kept */
    const char *run_id; /* NULL: all */
    int limit;          /* 1 to SL_BUS_READ_MAX */
    bool messages;      /* only notify.queued, by an index of their own; not with run_id */
};
/** @return 0 when all were delivered, or what fn returned, or a negative error. An event whose type
 * this binary does not know is passed over. */
int sl_bus_read(struct sl_db *db, const struct sl_bus_query *q, sl_bus_fn fn, void *arg,
                struct sl_err *err) SL_MUST_CHECK;

/** Id of the newest event, 0 when none. */
int sl_bus_last(struct sl_db *db, int64_t *ret_id, struct sl_err *err) SL_MUST_CHECK;

/** Where a subscriber is: 0 for one never heard of. Replay goes on after it: at least once. */
int sl_bus_cursor_get(struct sl_db *db, const char *subscriber, int64_t *ret_id, struct sl_err *err)
    SL_MUST_CHECK;
/** Moves it forward in the caller's transaction; an older id changes nothing. */
int sl_bus_cursor_set(struct sl_db *db, const char *subscriber, int64_t id, struct sl_err *err)
    SL_MUST_CHECK;

/** Deletes events before ts_ms that every subscriber has passed; always keeps the newest event, so
 * that ids never repeat. Inside a transaction. */
int sl_bus_prune(struct sl_db *db, int64_t before_ms, int64_t *ret_deleted, struct sl_err *err)
    SL_MUST_CHECK;

#endif
