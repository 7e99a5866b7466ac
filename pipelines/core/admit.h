/**
 * Groups of runs: which run of a group may start. The rules that core (in memory) and store (at submission,
 * for lists) share: the order of the queue, and the sentence that says why a run waits.
 *
 * Pure. Thread: any.
 */
#ifndef SL_RUN_ADMIT_H
#define SL_RUN_ADMIT_H

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "pipelines/plan/plan.h"

#define SL_GROUP_NAME_MAX  200 /* bytes of a group's name once its parameters are put in */
#define SL_GROUP_NAMES_MAX 3   /* runs named in a sentence */

/** What orders the runs of a group. */
struct sl_admit_key {
    int priority;
    int64_t created_ms;
    const char *id;
};
/** Negative when `a` starts before `b`: higher priority, then older, then by id. Total. */
int sl_admit_compare(const struct sl_admit_key *a, const struct sl_admit_key *b);

/** How a group stands from where one of its runs looks. */
struct sl_admit_view {
    const char *group;
    int limit;
    int running;
    char names[SL_GROUP_NAMES_MAX][SL_SPEC_NAME_MAX + 24]; /* of those that run: "churn#12" */
    int before;                                            /* queued ones that start before it */
};
/** Adds a run that runs. */
void sl_admit_view_running(struct sl_admit_view *v, const char *pipeline, int64_t number);
/** "group churn is full (1 of 1: churn#12); 2 runs go first". Appends. */
void sl_admit_view_text(const struct sl_admit_view *v, struct sl_buf *out);

/**
 * The name of the group that a pipeline with these parameters belongs to, in the arena; NULL for none.
 *
 * @return 0; -SL_EINVAL when it is empty, too long, or has control characters
 */
int sl_admit_group(const struct sl_plan *plan, struct sl_arena *a, const char **ret,
                   struct sl_err *err) SL_MUST_CHECK;

#endif
