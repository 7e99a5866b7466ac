/**
 * People decide about steps of runs: votes on approvals, what really happened to a step that was lost from
 * sight, and whether a deployment has the approval that its environment demands.
 *
 * Thread: a lane or a command, except where said. Must not: decide who the caller is.
 */
#ifndef SL_RUN_VOTE_H
#define SL_RUN_VOTE_H

#include "pipelines/run/run_store.h"
#include "pipelines/run/workspace.h"
#include "pipelines/steps/approval.h"

extern const struct sl_schema sl_vote_schema; /* table step_decision */

/** The digest that stands for a run's pipeline: its files as written and the plan they expand to. */
void sl_run_pipeline_digest(const struct sl_run_record *r, struct sl_digest *ret);
/** Who wrote the code of a run, as git says ("Ana <ana@example.org>"); "" unknown. In `a`. */
const char *sl_run_code_author(const struct sl_run_record *r, struct sl_arena *a);

/** A person's word about a step. */
struct sl_run_vote {
    const char *run;  /* any of a run's names (sl_run_find) */
    const char *step; /* key of the step */
    const char *voter, *auth;
    bool approve;       /* of a step that needs a decision: its effect happened */
    const char *reason; /* NULL or "" none; a rejection needs one */
    int64_t now_ms;
};
struct sl_run_voted {
    char run_id[SL_ID_HEX + 1];
    int64_t number, step;
    char pipeline[SL_SPEC_NAME_MAX * 2];
    bool decision; /* it was a step that needs a decision, not an approval */
    struct sl_approval_voted vote;
};
/**
 * Records it, by the kind of step: a vote on an approval that is waited for, or the decision about a step
 * whose effect may have happened. One transaction.
 *
 * @return 0; -SL_EREFUSED when it was denied (that stands in the audit log); -SL_ENOTFOUND; -SL_EINVAL
 */
int sl_run_vote(struct sl_workspace *ws, const struct sl_run_vote *v, struct sl_run_voted *ret,
                struct sl_err *err) SL_MUST_CHECK;

/** Every target of `bound` already has exactly the candidate live, deployed under an approval that was given to
 * the same pipeline and code: nothing would change, so nobody needs to be asked. */
int sl_run_live_as_approved(struct sl_db *db, const struct sl_approval_bound *bound, bool *ret,
                            struct sl_err *err) SL_MUST_CHECK;

/** What was decided about a step whose effect may have happened. */
struct sl_run_decided {
    enum { SL_DECIDED_NOT, SL_DECIDED_HAPPENED, SL_DECIDED_NOT_HAPPENED } what;
    const char *by; /* "ana: saw it live"; in the arena */
};
/** The decision about a step (by key) of a run, or of the runs that it retried and only linked. */
int sl_run_decided(struct sl_db *db, const char *run_id, const char *step_key, struct sl_arena *a,
                   struct sl_run_decided *ret, struct sl_err *err) SL_MUST_CHECK;

#endif
