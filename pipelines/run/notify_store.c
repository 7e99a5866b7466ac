/* See notify_store.h. */
#include "core/base/base.h"

#include "pipelines/run/notify_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/time.h"
#include "core/bus/bus.h"

#define CURSOR_LAG 10000 /* events */

static const char *const migrations[] = {
    "CREATE TABLE notification("
    " id INTEGER PRIMARY KEY,"
    " run_id TEXT,"
    " step TEXT,"
    " channel TEXT NOT NULL,"
    " mail INTEGER NOT NULL,"
    " payload TEXT NOT NULL,"
    " state TEXT NOT NULL CHECK(state IN ('pending', 'sent', 'failed')),"
    " tries INTEGER NOT NULL DEFAULT 0,"
    " queued_ms INTEGER NOT NULL,"
    " next_ms INTEGER NOT NULL,"
    " last_ms INTEGER NOT NULL DEFAULT 0,"
    " sent_ms INTEGER NOT NULL DEFAULT 0,"
    " last_error TEXT) STRICT;"
    "CREATE INDEX notification_due ON notification(next_ms) WHERE state = 'pending';"
    "CREATE INDEX notification_channel ON notification(channel, last_ms);"
    "CREATE TABLE notify_channel("
    " channel TEXT PRIMARY KEY NOT NULL,"
    " generation INTEGER NOT NULL,"
    " reason TEXT NOT NULL) STRICT, WITHOUT ROWID;",
};
const struct sl_schema sl_notify_schema = {"notify", migrations, (int)SL_LEN(migrations)};

/* ---- taking over ---------------------------------------------------------------------------------------- */

struct take {
    struct sl_arena arena;
    SL_VEC(struct sl_event) events;
    int64_t last;
};

static int keep_event(const struct sl_event *e, void *arg)
{
    struct take *t = arg;
    t->last = e->id;
    if (e->type == SL_EVENT_NOTIFY_QUEUED) {
        struct sl_event own = *e;
        own.run_id = e->run_id != NULL ? sl_arena_strdup(&t->arena, e->run_id) : NULL;
        own.subject = e->subject != NULL ? sl_arena_strdup(&t->arena, e->subject) : NULL;
        own.payload = e->payload != NULL ? sl_arena_strdup(&t->arena, e->payload) : "{}";
        sl_vec_push(&t->events, own);
    }
    return 0;
}

static int add_row(struct sl_db *db, const struct sl_event *e, int64_t now_ms, struct sl_err *err)
{
    json_auto_t *payload = sl_json_parse("event", e->payload, strlen(e->payload), NULL);
    return sl_db_exec(db, err,
                      SL_SQL("INSERT OR IGNORE INTO notification(id, run_id, step, channel, mail,"
                             " payload, state, queued_ms, next_ms)"
                             " VALUES(?, ?, ?, ?, ?, ?, 'pending', ?, ?)"),
                      "isssisii", e->id, e->run_id, e->subject, sl_json_str(payload, "channel", ""),
                      (int64_t)sl_json_bool(payload, "mail", false), e->payload, e->ts_ms, now_ms);
}

int sl_notify_take(struct sl_db *db, int64_t now_ms, int *ret_n, struct sl_err *err)
{
    struct sl_bus_query q = {.limit = SL_BUS_READ_MAX, .messages = true};
    struct take t = {.last = 0};
    int64_t newest = 0;
    int n = 0;
    sl_arena_init(&t.arena, 0);
    int rc = sl_bus_cursor_get(db, SL_NOTIFY_SUBSCRIBER, &q.after_id, err);
    int64_t first = q.after_id;
    for (bool more = true; rc == 0 && more;) {
        t.last = q.after_id;
        t.events.n = 0;
        rc = sl_bus_read(db, &q, keep_event, &t, err);
        for (size_t i = 0; rc == 0 && i < t.events.n; i++) {
            rc = add_row(db, &t.events.items[i], now_ms, err);
            n++;
        }
        more = t.last > q.after_id;
        q.after_id = t.last;
    }
    /* Other events pass by unread; the cursor only has to keep up well enough for pruning. */
    rc = rc < 0 ? rc : sl_bus_last(db, &newest, err);
    if (rc == 0 && (n > 0 || newest - first > CURSOR_LAG)) {
        rc = sl_bus_cursor_set(db, SL_NOTIFY_SUBSCRIBER, newest, err);
    }
    sl_vec_free(&t.events);
    sl_arena_release(&t.arena);
    if (rc == 0) {
        *ret_n = n;
    }
    return rc;
}

/* ---- what is due ---------------------------------------------------------------------------------------- */

static const char *own_text(struct sl_arena *a, const char *text)
{
    return text != NULL ? sl_arena_strdup(a, text) : NULL;
}

int sl_notify_due(struct sl_db *db, int64_t now_ms, struct sl_arena *a,
                  struct sl_notification **ret, size_t *ret_n, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    struct sl_notification *list = SL_ARENA_ARRAY(a, struct sl_notification, SL_NOTIFY_DUE_MAX);
    size_t n = 0;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT id, run_id, step, channel, mail, payload, tries, queued_ms"
                                " FROM notification WHERE state = 'pending' AND next_ms <= ?"
                                " ORDER BY next_ms, id LIMIT ?"),
                         "ii", now_ms, (int64_t)SL_NOTIFY_DUE_MAX);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        list[n++] = (struct sl_notification){.id = sl_rows_i64(&rows, 0),
                                             .run_id = own_text(a, sl_rows_text(&rows, 1)),
                                             .step = own_text(a, sl_rows_text(&rows, 2)),
                                             .channel = own_text(a, sl_rows_str(&rows, 3)),
                                             .mail = sl_rows_i64(&rows, 4) != 0,
                                             .payload = own_text(a, sl_rows_str(&rows, 5)),
                                             .tries = (int)sl_rows_i64(&rows, 6),
                                             .queued_ms = sl_rows_i64(&rows, 7)};
        rc = 0;
    }
    if (rc == 0) {
        *ret = list;
        *ret_n = n;
    }
    return rc;
}

int sl_notify_next_ms(struct sl_db *db, int64_t *ret, struct sl_err *err)
{
    return sl_db_get_i64(db, ret, err,
                         SL_SQL("SELECT coalesce(min(next_ms), 0) FROM notification"
                                " WHERE state = 'pending'"),
                         "");
}

int sl_notify_recent(struct sl_db *db, const char *channel, int64_t since_ms, int64_t *ret,
                     struct sl_err *err)
{
    return sl_db_get_i64(db, ret, err,
                         SL_SQL("SELECT count(*) FROM notification WHERE channel = ? AND"
                                " last_ms > ?"),
                         "si", channel, since_ms);
}

/* ---- results -------------------------------------------------------------------------------------------- */

int sl_notify_record(struct sl_db *db, const struct sl_notify_result *r, struct sl_err *err)
{
    char error[SL_NOTIFY_ERROR_MAX + 1];
    (void)snprintf(error, sizeof(error), "%.299s", r->error != NULL ? r->error : "");
    const char *state = r->sent ? "sent" : r->final ? "failed" : "pending";
    int rc = sl_db_exec(db, err,
                        SL_SQL("UPDATE notification SET state = ?, tries = tries + ?,"
                               " next_ms = CASE WHEN ?1 = 'pending' THEN ? ELSE next_ms END,"
                               " last_ms = CASE WHEN ?2 THEN ?4 ELSE last_ms END,"
                               " sent_ms = CASE WHEN ?1 = 'sent' THEN ?4 ELSE 0 END,"
                               " last_error = nullif(?, '') WHERE id = ?"),
                        "siiisi", state, (int64_t)r->counts, r->next_ms, r->now_ms,
                        (const char *)error, r->id);
    if (rc < 0 || r->disable == NULL) {
        return rc;
    }
    return sl_db_exec(db, err,
                      SL_SQL("INSERT INTO notify_channel VALUES(?, ?, ?) ON CONFLICT(channel)"
                             " DO UPDATE SET generation = excluded.generation,"
                             " reason = excluded.reason"),
                      "sis", r->disable, r->generation, (const char *)error);
}

int sl_notify_disabled(struct sl_db *db, const char *channel, int64_t generation,
                       struct sl_arena *a, const char **ret, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT reason FROM notify_channel WHERE channel = ? AND"
                                " generation = ?"),
                         "si", channel, generation);
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc < 0) {
        return rc;
    }
    *ret = rc > 0 ? own_text(a, sl_rows_str(&rows, 0)) : NULL;
    return 0;
}

int sl_notify_retry(struct sl_db *db, int64_t id, int64_t now_ms, struct sl_err *err)
{
    int64_t n = 0;
    int rc = sl_db_get_i64(db, &n, err,
                           SL_SQL("SELECT count(*) FROM notification WHERE id = ? AND"
                                  " state = 'failed'"),
                           "i", id);
    if (rc == 0 && n == 0) {
        return sl_err_set(err, SL_ENOTFOUND, "no message %lld whose delivery failed",
                          (long long)id);
    }
    return rc < 0 ? rc
                  : sl_db_exec(db, err,
                               SL_SQL("UPDATE notification SET state = 'pending', tries = 0,"
                                      " next_ms = ? WHERE id = ?"),
                               "ii", now_ms, id);
}

/* ---- the list ------------------------------------------------------------------------------------------- */

static void put_time(json_t *o, const char *key, int64_t ms)
{
    char text[SL_TIME_TEXT];
    sl_json_set_str(o, key, ms > 0 ? sl_time_format(ms, text) : NULL);
}

int sl_notify_list(struct sl_db *db, const char *state, int64_t limit, json_t **ret,
                   struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    json_auto_t *list = json_array();
    int rc = sl_db_query(
        db, &rows, err,
        SL_SQL("SELECT n.id, n.run_id, n.step, n.channel, n.mail, n.state, n.tries, n.queued_ms,"
               " n.next_ms, n.sent_ms, n.last_error, json_extract(n.payload, '$.text'),"
               " json_extract(n.payload, '$.pipeline') || '#' ||"
               " json_extract(n.payload, '$.number')"
               " FROM notification n WHERE ?1 = '' OR n.state = ?1 ORDER BY n.id DESC LIMIT ?2"),
        "si", state, limit);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_t *o = json_object();
        bool pending = sl_streq(sl_rows_str(&rows, 5), "pending");
        sl_json_set_i64(o, "id", sl_rows_i64(&rows, 0));
        sl_json_set_str(o, "run", sl_rows_text(&rows, 1));
        sl_json_set_str(o, "run_name", sl_rows_text(&rows, 12));
        sl_json_set_str(o, "step", sl_rows_text(&rows, 2));
        sl_json_set_str(o, "channel", sl_rows_str(&rows, 3));
        sl_json_set_str(o, "kind", sl_rows_i64(&rows, 4) != 0 ? "mail" : "webhook");
        sl_json_set_str(o, "state", sl_rows_str(&rows, 5));
        sl_json_set_i64(o, "tries", sl_rows_i64(&rows, 6));
        put_time(o, "queued_at", sl_rows_i64(&rows, 7));
        put_time(o, "next_at", pending ? sl_rows_i64(&rows, 8) : 0);
        put_time(o, "sent_at", sl_rows_i64(&rows, 9));
        sl_json_set_str(o, "error", sl_rows_text(&rows, 10));
        sl_json_set_str(o, "text", sl_rows_text(&rows, 11));
        json_array_append_new(list, o);
        rc = 0;
    }
    if (rc == 0) {
        *ret = json_incref(list);
    }
    return rc;
}
