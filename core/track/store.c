/**
 * Storing points: series found once per batch, points appended to the log, each touched series
 * updated once, the file offset moved in the same transaction.
 *
 * Thread: that of the connection. Must not: read a clock.
 */
#include "core/base/base.h"

#include "core/track/track.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

static const char *const migrations[] = {
    "CREATE TABLE track_series("
    " id INTEGER PRIMARY KEY,"
    " run_id TEXT NOT NULL,"
    " attempt_id TEXT NOT NULL,"
    " key TEXT NOT NULL,"
    " slice TEXT NOT NULL,"
    " dataset TEXT NOT NULL,"
    " model TEXT NOT NULL,"
    " n INTEGER NOT NULL,"
    " n_nan INTEGER NOT NULL,"
    " first_row INTEGER NOT NULL,"
    " last_row INTEGER NOT NULL,"
    " first_ts INTEGER NOT NULL,"
    " last_ts INTEGER NOT NULL,"
    " last_step INTEGER NOT NULL,"
    " last REAL,"
    " min REAL,"
    " max REAL,"
    " UNIQUE(attempt_id, key, slice, dataset, model)"
    ") STRICT;"
    "CREATE INDEX track_series_run ON track_series(run_id);"
    "CREATE TABLE track_point("
    " id INTEGER PRIMARY KEY,"
    " series INTEGER NOT NULL,"
    " step INTEGER NOT NULL,"
    " ts INTEGER NOT NULL,"
    " value REAL"
    ") STRICT;"
    "CREATE TABLE track_offset("
    " attempt_id TEXT PRIMARY KEY,"
    " offset INTEGER NOT NULL,"
    " lines INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE evaluation("
    " id INTEGER PRIMARY KEY,"
    " model_digest TEXT NOT NULL,"
    " dataset_digest TEXT NOT NULL,"
    " attempt_id TEXT NOT NULL,"
    " key TEXT NOT NULL,"
    " slice TEXT NOT NULL,"
    " value REAL,"
    " run_id TEXT NOT NULL,"
    " ts INTEGER NOT NULL,"
    " UNIQUE(model_digest, dataset_digest, attempt_id, key, slice)"
    ") STRICT;",
    /* runs by the value that they came to */
    "CREATE INDEX track_series_value ON track_series(key, last, run_id) WHERE slice = '';"};

const struct sl_schema sl_track_schema = {"track", migrations, (int)SL_LEN(migrations)};

/* A series while a batch is stored; its row is read once and written once. */
struct live {
    char *name; /* of series_name */
    int64_t id;
    int64_t n, n_nan, first_row, last_row, first_ts, last_ts, last_step;
    double last, min, max;
    UT_hash_handle hh;
};

struct batch_state {
    struct sl_db *db;
    const struct sl_track_batch *batch;
    struct live *by_name;
    struct sl_err *err;
};

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static char *series_name(const struct sl_point *p)
{
    /* lengths make the joined text unambiguous whatever the parts hold */
    return sl_asprintf("%zu:%zu:%zu:%s%s%s%s", strlen(p->key), strlen(or_empty(p->slice)),
                       strlen(or_empty(p->dataset)), p->key, or_empty(p->slice),
                       or_empty(p->dataset), or_empty(p->model));
}

static void read_live(struct sl_rows *rows, struct live *s)
{
    s->id = sl_rows_i64(rows, 0);
    s->n = sl_rows_i64(rows, 1);
    s->n_nan = sl_rows_i64(rows, 2);
    s->first_row = sl_rows_i64(rows, 3);
    s->last_row = sl_rows_i64(rows, 4);
    s->first_ts = sl_rows_i64(rows, 5);
    s->last_ts = sl_rows_i64(rows, 6);
    s->last_step = sl_rows_i64(rows, 7);
    s->last = sl_rows_double(rows, 8);
    s->min = sl_rows_double(rows, 9);
    s->max = sl_rows_double(rows, 10);
}

static int check_series_limit(struct batch_state *b)
{
    int64_t n = 0;
    int rc = sl_db_get_i64(b->db, &n, b->err,
                           SL_SQL("SELECT count(*) FROM track_series WHERE attempt_id = ?"), "s",
                           b->batch->attempt_id);
    if (rc == 0 && n >= SL_TRACK_SERIES_MAX) {
        rc = sl_err_set(b->err, SL_ELIMIT, "more than %d metric series in one attempt",
                        SL_TRACK_SERIES_MAX);
    }
    return rc;
}

static int insert_series(struct batch_state *b, const struct sl_point *p, struct live *s)
{
    int rc = check_series_limit(b);
    if (rc < 0) {
        return rc;
    }
    rc = sl_db_exec(b->db, b->err,
                    SL_SQL("INSERT INTO track_series(run_id, attempt_id, key, slice, dataset, "
                           "model, n, n_nan, first_row, last_row, first_ts, last_ts, last_step)"
                           " VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0)"),
                    "ssssss", b->batch->run_id, b->batch->attempt_id, p->key, or_empty(p->slice),
                    or_empty(p->dataset), or_empty(p->model));
    s->id = sl_db_last_id(b->db);
    s->min = s->max = s->last = (double)NAN;
    return rc;
}

static int load_series(struct batch_state *b, const struct sl_point *p, struct live *s)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(b->db, &rows, b->err,
                         SL_SQL("SELECT id, n, n_nan, first_row, last_row, first_ts, last_ts, "
                                "last_step, last, min, max FROM track_series WHERE attempt_id = ? "
                                "AND key = ? AND slice = ? AND dataset = ? AND model = ?"),
                         "sssss", b->batch->attempt_id, p->key, or_empty(p->slice),
                         or_empty(p->dataset), or_empty(p->model));
    if (rc == 0) {
        rc = sl_rows_next(&rows, b->err);
    }
    if (rc > 0) {
        read_live(&rows, s);
        return 0;
    }
    return rc < 0 ? rc : insert_series(b, p, s);
}

static int find_series(struct batch_state *b, const struct sl_point *p, struct live **ret)
{
    char *name = series_name(p);
    struct live *s = NULL;
    HASH_FIND_STR(b->by_name, name, s);
    if (s != NULL) {
        free(name);
        *ret = s;
        return 0;
    }
    s = SL_NEW(struct live);
    s->name = name;
    HASH_ADD_KEYPTR(hh, b->by_name, s->name, strlen(s->name), s);
    *ret = s;
    return load_series(b, p, s);
}

static void count_point(struct live *s, double value, int64_t step, int64_t ts)
{
    if (s->n == 0) {
        s->first_ts = ts;
    }
    if (s->n == 0 || step >= s->last_step) {
        s->last_step = step;
        s->last = value;
        s->last_ts = ts;
    }
    if (isnan(value)) {
        s->n_nan++;
    } else {
        s->min = isnan(s->min) || value < s->min ? value : s->min;
        s->max = isnan(s->max) || value > s->max ? value : s->max;
    }
    s->n++;
}

static int store_point(struct batch_state *b, const struct sl_point *p)
{
    struct live *s = NULL;
    int rc = find_series(b, p, &s);
    if (rc < 0) {
        return rc;
    }
    int64_t next = s->n > 0 ? s->last_step + 1 : 0;
    int64_t step = p->has_step ? p->step : next;
    int64_t ts = p->has_ts ? p->ts_ms : b->batch->ts_ms;
    rc = sl_db_exec(b->db, b->err,
                    SL_SQL("INSERT INTO track_point(series, step, ts, value) VALUES (?, ?, ?, ?)"),
                    "iiid", s->id, step, ts, p->value);
    if (rc == 0) {
        s->last_row = sl_db_last_id(b->db);
        s->first_row = s->n == 0 ? s->last_row : s->first_row;
        count_point(s, p->value, step, ts);
    }
    return rc;
}

static int save_series(struct batch_state *b)
{
    int rc = 0;
    for (struct live *s = b->by_name; s != NULL && rc == 0; s = s->hh.next) {
        rc = sl_db_exec(b->db, b->err,
                        SL_SQL("UPDATE track_series SET n = ?, n_nan = ?, first_row = ?, "
                               "last_row = ?, first_ts = ?, last_ts = ?, last_step = ?, last = ?, "
                               "min = ?, max = ? WHERE id = ?"),
                        "iiiiiiidddi", s->n, s->n_nan, s->first_row, s->last_row, s->first_ts,
                        s->last_ts, s->last_step, s->last, s->min, s->max, s->id);
    }
    return rc;
}

static void free_series(struct batch_state *b)
{
    struct live *s = NULL, *tmp = NULL;
    HASH_ITER (hh, b->by_name, s, tmp) {
        HASH_DEL(b->by_name, s);
        free(s->name);
        free(s);
    }
}

/* Compare-and-set of the file offset: a batch read twice is stored once. */
static int move_offset(struct batch_state *b)
{
    const struct sl_track_batch *batch = b->batch;
    if (batch->offset_from == SL_TRACK_NO_OFFSET) {
        return 0;
    }
    SL_ASSERT(batch->offset_to >= batch->offset_from && batch->n_lines >= 0);
    int64_t offset = 0, lines = 0;
    int rc = sl_track_offset(b->db, batch->attempt_id, &offset, &lines, b->err);
    if (rc < 0) {
        return rc;
    }
    if (offset != batch->offset_from) {
        return sl_err_set(b->err, SL_ECONFLICT,
                          "metrics of attempt %s are stored up to byte %lld, not %lld",
                          batch->attempt_id, (long long)offset, (long long)batch->offset_from);
    }
    return sl_db_exec(b->db, b->err,
                      SL_SQL("INSERT INTO track_offset(attempt_id, offset, lines) "
                             "VALUES (?, ?, ?) ON CONFLICT(attempt_id) DO UPDATE SET "
                             "offset = excluded.offset, lines = excluded.lines"),
                      "sii", batch->attempt_id, batch->offset_to, lines + batch->n_lines);
}

int sl_track_append(struct sl_db *db, const struct sl_track_batch *batch, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    struct batch_state b = {.db = db, .batch = batch, .err = err};
    int rc = move_offset(&b);
    for (size_t i = 0; rc == 0 && i < batch->n; i++) {
        rc = store_point(&b, &batch->points[i]);
    }
    if (rc == 0) {
        rc = save_series(&b);
    }
    free_series(&b);
    return rc;
}

int sl_track_offset(struct sl_db *db, const char *attempt_id, int64_t *ret_offset,
                    int64_t *ret_lines, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT offset, lines FROM track_offset WHERE attempt_id = ?"), "s",
                         attempt_id);
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_offset = rc > 0 ? sl_rows_i64(&rows, 0) : 0;
    *ret_lines = rc > 0 ? sl_rows_i64(&rows, 1) : 0;
    return 0;
}
