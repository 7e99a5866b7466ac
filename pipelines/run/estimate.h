/**
 * How long steps will take, from how long they took: medians of the pipeline's last runs.
 *
 * A step counts with the median of its own last runs, or of its written step's when this instance never ran.
 * What is left of a run is the larger of its longest chain and its work divided by the machine's CPUs: no
 * schedule is quicker. Steps that a cache will serve are not known before they are decided, and count.
 *
 * Thread: that of the connection. Must not: write, read a clock.
 */
#ifndef SL_ESTIMATE_H
#define SL_ESTIMATE_H

#include "core/base/json.h"
#include "core/db/db.h"

#define SL_ESTIMATE_RUNS_MAX    20    /* runs that are looked at */
#define SL_ESTIMATE_STEPS_MAX   20000 /* of their steps */
#define SL_ESTIMATE_SAMPLES_MAX 9     /* per step; the newest count */

struct sl_estimate;
struct sl_estimate_result {
    int64_t left_ms;
    int64_t n_runs;    /* that it is known from */
    int64_t n_known;   /* steps that are left and ran before */
    int64_t n_unknown; /* that never did: they count as nothing */
};

/** Reads what ended runs of a pipeline took, those before run `before` (0: any). Caller frees. */
int sl_estimate_load(struct sl_db *db, const char *pipeline, int64_t before,
                     struct sl_estimate **ret, struct sl_err *err) SL_MUST_CHECK;
void sl_estimate_free(struct sl_estimate *e); /* NULL allowed */

/** Adds the next step of the plan: {"key","step","needs"?,"resources"} with its "state" and "started_ms", or with
 * the "decision" of a preview. Needs are indexes; none written: those of the step before. */
void sl_estimate_add(struct sl_estimate *e, const json_t *step, int64_t now_ms);
/** What is left of the steps added. False when nothing is known of any. */
bool sl_estimate_result(const struct sl_estimate *e, int64_t n_cpus,
                        struct sl_estimate_result *ret);
/** The expected time of a step by its key, or else by its written step; -1 unknown. */
int64_t sl_estimate_step_ms(const struct sl_estimate *e, const char *key, const char *step);

#endif
