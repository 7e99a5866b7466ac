/**
 * Read models of runs as JSON: the list of runs, one run with every step, why a step did what it did, and
 * the submission that would repeat a run. What `sluice ls|show|why|retry` and the web read.
 *
 * Thread: that of the connection. Blocks: yes. Must not: write, read a clock, need an engine.
 */
#ifndef SL_RUN_QUERY_H
#define SL_RUN_QUERY_H

#include "core/blob/blob.h"
#include "pipelines/run/run_store.h"
#include "pipelines/run/runtime.h"

#define SL_QUERY_RUNS_MAX     1000 /* runs in one answer */
#define SL_QUERY_RUNS_DEFAULT 20
#define SL_QUERY_PLAN_MAX     ((size_t)64 << 20) /* bytes of a recorded plan or pipeline */

/** Where answers come from. */
struct sl_query {
    struct sl_db *db;
    struct sl_blob_store *blobs;
};

struct sl_run_filter {
    const char *state, *pipeline; /* NULL: any */
    int64_t limit;                /* 1..SL_QUERY_RUNS_MAX */
    int64_t offset;
};

/**
 * {"runs":[...],"more":bool}, newest first.
 * @return 0; -SL_EINVAL for a limit out of range or a state that does not exist (nearest named)
 * Owner: new reference.
 */
int sl_query_runs(const struct sl_query *q, const struct sl_run_filter *f, json_t **ret,
                  struct sl_err *err) SL_MUST_CHECK;

/** One run by any of its names (sl_run_find) with all steps: those not recorded yet come from the recorded
 * plan as pending. With `with_records` each step carries its cache record. New reference. */
int sl_query_run(const struct sl_query *q, const char *run, bool with_records, json_t **ret,
                 struct sl_err *err) SL_MUST_CHECK;

/**
 * Why a step ran, was cached, skipped, refused or failed: {"run","step","state","text","reason",
 * "from":{run,step}?, "compared_with":RUN?, "differences":[{"field","old","new"}]?}.
 * @return 0; -SL_ENOTFOUND with the nearest step key
 */
int sl_query_why(const struct sl_query *q, const char *run, const char *step, json_t **ret,
                 struct sl_err *err) SL_MUST_CHECK;

/** The submission (submission.h) that repeats a run with the same files, parameters and code; retry_of is
 * set to it. `actor` is who repeats. New reference. */
int sl_query_submission(const struct sl_query *q, const char *run, const char *actor, json_t **ret,
                        struct sl_err *err) SL_MUST_CHECK;

/** The latest cache record of that step of that pipeline before run `before` (NULL: any), as JSON with the
 * run's name in *ret_run (arena). -SL_ENOTFOUND when it never had one. */
int sl_query_last_record(struct sl_db *db, const char *pipeline, const char *key,
                         const char *before, struct sl_arena *a, json_t **ret_record,
                         const char **ret_run, struct sl_err *err) SL_MUST_CHECK;

#endif
