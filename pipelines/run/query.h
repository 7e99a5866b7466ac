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

enum sl_run_sort {
    SL_SORT_NEWEST,
    SL_SORT_OLDEST,
    SL_SORT_LONGEST, /* ended runs, by the time they took */
    SL_SORT_HIGHEST, /* by the metric's value */
    SL_SORT_LOWEST,
    SL_SORT_COUNT
};
extern const char *const sl_run_sort_names[SL_SORT_COUNT];

#define SL_QUERY_PARAMS_MAX 16   /* parameters asked for at once */
#define SL_QUERY_TEXT_MAX   4000 /* bytes of all of them, and of a metric */

struct sl_run_filter {
    const char *state, *pipeline, *actor; /* NULL: any */
    int64_t since_ms, until_ms;           /* created from, and before; 0: any */
    const char *params;                   /* lines NAME=VALUE that all hold; NULL: any */
    const char *model;  /* "churn" or "churn@v3": made, reused or read by the run; NULL: any */
    const char *metric; /* "auc", "auc>0.8", "loss<=1e-3": last value of a series without slice */
    enum sl_run_sort sort;
    const char *cursor; /* "next" of the page before; NULL: the first */
    int64_t limit;      /* 1..SL_QUERY_RUNS_MAX */
    int64_t offset;
};

/**
 * {"runs":[...],"more":bool,"next":CURSOR?}. With a metric each run carries its value as "metric".
 *
 * Answers from indexes: how long it takes follows from the length of the page, not from the number of runs
 * or of their steps. Pages by cursor neither repeat nor leave out runs when new ones come.
 *
 * @return 0; -SL_EINVAL for a limit out of range, a state that does not exist (nearest named), a malformed
 *         metric, parameter or cursor; -SL_ENOTFOUND when no such pipeline or model was ever here
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

#define SL_QUERY_DIFF_MAX 10000 /* files, and steps, named in one comparison */

/**
 * What differs between two runs: {"old","new": heads, "params","environment": [{"field","old","new"}],
 * "code","pipeline": [{"path","change"}], "steps": [{"key","change","differences","resources","outputs","old",
 * "new"}], "steps_same","steps_left_out", "metrics": [{"step","metric","old","new","delta"}]}. Steps are
 * matched by key; metrics of cached steps are those of the run that they come from.
 *
 * @return 0; -SL_ENOTFOUND for an unknown run, or when the code or pipeline of one is no longer stored
 * Owner: new reference.
 */
int sl_query_diff(const struct sl_query *q, const char *old_run, const char *new_run, json_t **ret,
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
