/**
 * Door of tracking: metric points of attempts, and evaluations of models on datasets.
 *
 * Points go to an append log with integer series ids (no secondary index: clustered tables lose
 * 15 × with many live series); each series row carries its latest value, minimum, maximum and the
 * rowid range of its points, so a history reads only that range. The file offset of $SLUICE_METRICS
 * is committed with the rows: nothing is lost or doubled. NaN is stored as NULL in REAL
 * columns (core/db/db.h).
 *
 * Thread: that of the connection. Must not: read a clock.
 */
#ifndef SL_TRACK_H
#define SL_TRACK_H

#include "core/db/db.h"
#include "core/track/metrics.h"

#define SL_TRACK_SERIES_MAX  100000 /* series per attempt */
#define SL_TRACK_BUCKETS_MAX 10000
#define SL_SYSTEM_METRIC     "sys." /* keys of what is measured about an attempt, not by it */
#define SL_TRACK_NO_OFFSET   (-1)

extern const struct sl_schema sl_track_schema;

struct sl_track_batch {
    const char *run_id, *attempt_id;
    const struct sl_point *points;
    size_t n;
    int64_t ts_ms;       /* for points without their own */
    int64_t offset_from; /* where this batch begins; SL_TRACK_NO_OFFSET: not from a file */
    int64_t offset_to;   /* where it ends */
    int64_t n_lines;     /* lines in between, for messages after a restart */
};

/**
 * Stores a batch and moves the attempt's offset, in the caller's transaction (asserted).
 * A point without step gets the series' largest step + 1 (first: 0).
 *
 * @return 0; -SL_ECONFLICT when the stored offset is not offset_from (nothing is stored: read it
 *         again), -SL_ELIMIT over SL_TRACK_SERIES_MAX
 */
int sl_track_append(struct sl_db *db, const struct sl_track_batch *batch, struct sl_err *err)
    SL_MUST_CHECK;

/** Offset and lines consumed of an attempt's file; both 0 at first. */
int sl_track_offset(struct sl_db *db, const char *attempt_id, int64_t *ret_offset,
                    int64_t *ret_lines, struct sl_err *err) SL_MUST_CHECK;

/** One series; texts live during the call. */
struct sl_series {
    int64_t id;
    const char *run_id, *attempt_id, *key;
    const char *slice, *dataset, *model; /* "" when not named */
    int64_t count, count_nan;
    int64_t first_ts_ms, last_ts_ms;
    int64_t last_step; /* largest step seen */
    double last;       /* value at that step, the later of equal steps */
    double min, max;   /* over values that are not NaN; NaN when none */
};
typedef int (*sl_series_fn)(const struct sl_series *s, void *arg);

/** Series of a run or of one attempt, by key, slice, attempt. One of run_id, attempt_id is NULL. */
int sl_track_series(struct sl_db *db, const char *run_id, const char *attempt_id, sl_series_fn fn,
                    void *arg, struct sl_err *err) SL_MUST_CHECK;

/** One bucket of a history; with as many buckets as points, a point each. */
struct sl_bucket {
    int64_t step_first, step_last;
    int64_t ts_first_ms, ts_last_ms;
    double first, last, min, max, mean; /* min, max, mean without NaN; NaN when all are */
    int64_t count, count_nan;
};
typedef int (*sl_bucket_fn)(const struct sl_bucket *b, void *arg);

/** History in order of arrival, in at most `buckets` (1 to SL_TRACK_BUCKETS_MAX) of equal counts.
 * -SL_ENOTFOUND for an unknown series. */
int sl_track_history(struct sl_db *db, int64_t series_id, int buckets, sl_bucket_fn fn, void *arg,
                     struct sl_err *err) SL_MUST_CHECK;

/** An evaluation of a model version on a dataset version. */
struct sl_eval {
    const char *model_digest, *dataset_digest; /* "sha256:..." */
    const char *key, *slice;                   /* slice NULL or "": the whole dataset */
    double value;
    const char *attempt_id, *run_id;
    int64_t ts_ms;
};

/** Records one, in the caller's transaction. The same (model, dataset, key, slice, attempt) again
 * replaces its value: within an attempt the last word counts. */
int sl_eval_add(struct sl_db *db, const struct sl_eval *e, struct sl_err *err) SL_MUST_CHECK;

typedef int (*sl_eval_fn)(const struct sl_eval *e, void *arg);
/** The values of one attempt for (model, dataset): of pair->attempt_id, or when that is NULL of the
 * latest attempt that evaluated the pair. Sets are never mixed, so a key that the latest evaluation
 * no longer computes is missing instead of stale. -SL_ENOTFOUND when there is none.
 * By key, slice. */
int sl_eval_latest(struct sl_db *db, const struct sl_eval *pair, sl_eval_fn fn, void *arg,
                   struct sl_err *err) SL_MUST_CHECK;

#endif
