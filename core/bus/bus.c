/**
 * The outbox table, its readers and their cursors.
 *
 * Thread: that of the connection. Must not: read a clock.
 */
#include "core/base/base.h"

#include "core/bus/bus.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *text;
} types[] = {
#define SL_EVENT(id, name, text) [SL_EVENT_##id] = {name, text},
#include "core/bus/events.def"
#undef SL_EVENT
};

_Static_assert(SL_LEN(types) == SL_EVENT_COUNT, "every event has a name");

static const char *const migrations[] = {
    "CREATE TABLE event("
    " id INTEGER PRIMARY KEY,"
    " ts INTEGER NOT NULL,"
    " type TEXT NOT NULL,"
    " run_id TEXT,"
    " subject TEXT,"
    " payload TEXT"
    ") STRICT;"
    "CREATE INDEX event_run ON event(run_id, id) WHERE run_id IS NOT NULL;"
    "CREATE TABLE bus_cursor("
    " name TEXT PRIMARY KEY,"
    " event_id INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;",
    "CREATE INDEX event_message ON event(id) WHERE type = 'notify.queued';"};

const struct sl_schema sl_bus_schema = {"bus", migrations, (int)SL_LEN(migrations)};

const char *sl_event_name(enum sl_event_type type)
{
    SL_ASSERT((int)type >= 0 && type < SL_EVENT_COUNT);
    return types[type].name;
}

const char *sl_event_text(enum sl_event_type type)
{
    SL_ASSERT((int)type >= 0 && type < SL_EVENT_COUNT);
    return types[type].text;
}

int sl_event_parse(const char *name)
{
    for (size_t i = 0; i < SL_LEN(types); i++) {
        if (sl_streq(types[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

int sl_bus_append(struct sl_db *db, const struct sl_event *e, const json_t *payload,
                  int64_t *ret_id, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    if (e->subject != NULL && strlen(e->subject) > SL_BUS_SUBJECT_MAX) {
        return sl_err_set(err, SL_ELIMIT, "event %s: the subject is longer than %d bytes",
                          sl_event_name(e->type), SL_BUS_SUBJECT_MAX);
    }
    _cleanup_(free)
    char *text = payload != NULL ? sl_json_canonical(payload) : NULL;
    if (text != NULL && strlen(text) > SL_BUS_PAYLOAD_MAX) {
        return sl_err_set(err, SL_ELIMIT, "event %s: the payload is longer than %d bytes",
                          sl_event_name(e->type), SL_BUS_PAYLOAD_MAX);
    }
    int rc = sl_db_exec(db, err,
                        SL_SQL("INSERT INTO event(ts, type, run_id, subject, payload) "
                               "VALUES (?, ?, ?, ?, ?)"),
                        "issss", e->ts_ms, sl_event_name(e->type), e->run_id, e->subject, text);
    if (rc == 0 && ret_id != NULL) {
        *ret_id = sl_db_last_id(db);
    }
    return rc;
}

static int query(struct sl_db *db, const struct sl_bus_query *q, struct sl_rows *rows,
                 struct sl_err *err)
{
    if (q->messages) {
        SL_ASSERT(q->run_id == NULL);
        return sl_db_query(db, rows, err,
                           SL_SQL("SELECT id, ts, type, run_id, subject, payload FROM event "
                                  "WHERE type = 'notify.queued' AND id > ? ORDER BY id LIMIT ?"),
                           "ii", q->after_id, q->limit);
    }
    if (q->run_id == NULL) {
        return sl_db_query(db, rows, err,
                           SL_SQL("SELECT id, ts, type, run_id, subject, payload FROM event "
                                  "WHERE id > ? ORDER BY id LIMIT ?"),
                           "ii", q->after_id, q->limit);
    }
    return sl_db_query(db, rows, err,
                       SL_SQL("SELECT id, ts, type, run_id, subject, payload FROM event "
                              "WHERE run_id = ? AND id > ? ORDER BY id LIMIT ?"),
                       "sii", q->run_id, q->after_id, q->limit);
}

int sl_bus_read(struct sl_db *db, const struct sl_bus_query *q, sl_bus_fn fn, void *arg,
                struct sl_err *err)
{
    SL_ASSERT(q->limit >= 1 && q->limit <= SL_BUS_READ_MAX);
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = query(db, q, &rows, err);
    if (rc < 0) {
        return rc;
    }
    while ((rc = sl_rows_next(&rows, err)) > 0) {
        int type = sl_event_parse(sl_rows_str(&rows, 2));
        if (type < 0) {
            continue;
        }
        struct sl_event e = {.id = sl_rows_i64(&rows, 0),
                             .ts_ms = sl_rows_i64(&rows, 1),
                             .type = (enum sl_event_type)type,
                             .run_id = sl_rows_text(&rows, 3),
                             .subject = sl_rows_text(&rows, 4),
                             .payload = sl_rows_text(&rows, 5)};
        rc = fn(&e, arg);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

int sl_bus_last(struct sl_db *db, int64_t *ret_id, struct sl_err *err)
{
    return sl_db_get_i64(db, ret_id, err, SL_SQL("SELECT coalesce(max(id), 0) FROM event"), "");
}

int sl_bus_cursor_get(struct sl_db *db, const char *subscriber, int64_t *ret_id, struct sl_err *err)
{
    return sl_db_get_i64(db, ret_id, err,
                         SL_SQL("SELECT coalesce((SELECT event_id FROM bus_cursor "
                                "WHERE name = ?), 0)"),
                         "s", subscriber);
}

int sl_bus_cursor_set(struct sl_db *db, const char *subscriber, int64_t id, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    if (subscriber[0] == '\0' || strlen(subscriber) > SL_BUS_NAME_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a subscriber's name has 1 to %d bytes", SL_BUS_NAME_MAX);
    }
    return sl_db_exec(db, err,
                      SL_SQL("INSERT INTO bus_cursor(name, event_id) VALUES (?, ?) "
                             "ON CONFLICT(name) DO UPDATE SET event_id = excluded.event_id "
                             "WHERE excluded.event_id > event_id"),
                      "si", subscriber, id);
}

int sl_bus_prune(struct sl_db *db, int64_t before_ms, int64_t *ret_deleted, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    int rc = sl_db_exec(db, err,
                        SL_SQL("DELETE FROM event WHERE ts < ? "
                               "AND id < (SELECT max(id) FROM event) "
                               "AND id <= coalesce((SELECT min(event_id) FROM bus_cursor), "
                               "(SELECT max(id) FROM event))"),
                        "i", before_ms);
    if (rc == 0) {
        *ret_deleted = sl_db_changes(db);
    }
    return rc;
}
