/**
 * Reading series and histories.
 *
 * Thread: that of the connection.
 */
#include "core/base/base.h"

#include "core/track/track.h"

#include <math.h>

static int query_series(struct sl_db *db, const char *run_id, const char *attempt_id,
                        struct sl_rows *rows, struct sl_err *err)
{
    if (run_id != NULL) {
        return sl_db_query(db, rows, err,
                           SL_SQL("SELECT id, run_id, attempt_id, key, slice, dataset, model, n, "
                                  "n_nan, first_ts, last_ts, last_step, last, min, max "
                                  "FROM track_series WHERE run_id = ? "
                                  "ORDER BY key, slice, attempt_id, dataset, model"),
                           "s", run_id);
    }
    return sl_db_query(db, rows, err,
                       SL_SQL("SELECT id, run_id, attempt_id, key, slice, dataset, model, n, "
                              "n_nan, first_ts, last_ts, last_step, last, min, max "
                              "FROM track_series WHERE attempt_id = ? "
                              "ORDER BY key, slice, dataset, model"),
                       "s", attempt_id);
}

int sl_track_series(struct sl_db *db, const char *run_id, const char *attempt_id, sl_series_fn fn,
                    void *arg, struct sl_err *err)
{
    SL_ASSERT((run_id == NULL) != (attempt_id == NULL));
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = query_series(db, run_id, attempt_id, &rows, err);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_series s = {.id = sl_rows_i64(&rows, 0),
                              .run_id = sl_rows_str(&rows, 1),
                              .attempt_id = sl_rows_str(&rows, 2),
                              .key = sl_rows_str(&rows, 3),
                              .slice = sl_rows_str(&rows, 4),
                              .dataset = sl_rows_str(&rows, 5),
                              .model = sl_rows_str(&rows, 6),
                              .count = sl_rows_i64(&rows, 7),
                              .count_nan = sl_rows_i64(&rows, 8),
                              .first_ts_ms = sl_rows_i64(&rows, 9),
                              .last_ts_ms = sl_rows_i64(&rows, 10),
                              .last_step = sl_rows_i64(&rows, 11),
                              .last = sl_rows_double(&rows, 12),
                              .min = sl_rows_double(&rows, 13),
                              .max = sl_rows_double(&rows, 14)};
        rc = fn(&s, arg);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

/* One row of the log into the bucket; the mean holds the sum until the bucket is closed. */
static void add_point(struct sl_bucket *b, int64_t step, int64_t ts, double value)
{
    if (b->count == 0) {
        *b = (struct sl_bucket){.step_first = step,
                                .ts_first_ms = ts,
                                .first = value,
                                .min = (double)NAN,
                                .max = (double)NAN};
    }
    b->step_last = step;
    b->ts_last_ms = ts;
    b->last = value;
    b->count++;
    if (isnan(value)) {
        b->count_nan++;
        return;
    }
    b->min = isnan(b->min) || value < b->min ? value : b->min;
    b->max = isnan(b->max) || value > b->max ? value : b->max;
    b->mean += value;
}

static int close_bucket(struct sl_bucket *b, sl_bucket_fn fn, void *arg)
{
    int64_t n = b->count - b->count_nan;
    b->mean = n > 0 ? b->mean / (double)n : (double)NAN;
    int rc = fn(b, arg);
    *b = (struct sl_bucket){0};
    return rc;
}

struct range {
    int64_t series, n, first_row, last_row;
};

static int find_range(struct sl_db *db, struct range *r, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT n, first_row, last_row FROM track_series WHERE id = ?"),
                         "i", r->series);
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc == 0) {
        return sl_err_set(err, SL_ENOTFOUND, "no metric series %lld", (long long)r->series);
    }
    if (rc > 0) {
        r->n = sl_rows_i64(&rows, 0);
        r->first_row = sl_rows_i64(&rows, 1);
        r->last_row = sl_rows_i64(&rows, 2);
        return 0;
    }
    return rc;
}

int sl_track_history(struct sl_db *db, int64_t series_id, int buckets, sl_bucket_fn fn, void *arg,
                     struct sl_err *err)
{
    SL_ASSERT(buckets >= 1 && buckets <= SL_TRACK_BUCKETS_MAX);
    struct range r = {.series = series_id};
    int rc = find_range(db, &r, err);
    if (rc < 0) {
        return rc;
    }
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    rc = sl_db_query(db, &rows, err,
                     SL_SQL("SELECT step, ts, value FROM track_point "
                            "WHERE id BETWEEN ? AND ? AND series = ? ORDER BY id"),
                     "iii", r.first_row, r.last_row, series_id);
    struct sl_bucket b = {0};
    int64_t at = 0, wanted = SL_MIN((int64_t)buckets, r.n), open = 0;
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        int64_t bucket = at++ * wanted / r.n;
        rc = bucket != open ? close_bucket(&b, fn, arg) : 0;
        if (rc != 0) {
            return rc;
        }
        open = bucket;
        add_point(&b, sl_rows_i64(&rows, 0), sl_rows_i64(&rows, 1), sl_rows_double(&rows, 2));
    }
    return rc == 0 && b.count > 0 ? close_bucket(&b, fn, arg) : rc;
}
