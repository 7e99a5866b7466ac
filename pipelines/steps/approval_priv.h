/**
 * Shared by the files of approvals: the request's row, and what others are told when it changes.
 */
#ifndef SL_APPROVAL_PRIV_H
#define SL_APPROVAL_PRIV_H

#include "core/audit/audit.h"
#include "pipelines/steps/actor.h"
#include "pipelines/steps/approval.h"

#define SL_APPROVAL_DIGEST (7 + SL_DIGEST_HEX + 1)

/** A row of approval_request with its votes. Everything lives in the arena of the load. */
struct sl_approval_row {
    char id[SL_ID_HEX + 1];
    const char *run_id, *step_key;
    struct sl_approval_bound bound;
    struct sl_approval_rule rule;
    bool approve_on_timeout;
    const char *text, *author; /* "" none */
    const char *requester;     /* opaque id */
    const char *requester_name;
    const char *verdicts; /* JSON array of ids */
    int64_t deadline_ms, created_ms, ended_ms, valid_until_ms;
    enum sl_approval_state state;
    const char *reason;
    struct sl_approval_ballot *ballots;
    const char **principals, **auths, **reasons; /* parallel to ballots */
    int64_t *times_ms;
    size_t n_ballots;
};

extern const char *const sl_approval_states[SL_APPROVAL_STATES];

/** Columns of sl_approval_row_fill, for SELECT ... FROM approval_request. */
#define SL_APPROVAL_COLUMNS                                                                        \
    "id, run_id, step_key, entity, number, candidate, pipeline, code, evidence, verdicts,"         \
    " targets, members, quorum, deny_requester, approve_on_timeout, text, requester, author,"      \
    " deadline_ms, state, created_ms, ended_ms, valid_until_ms, reason"
/** The current row of `rows`; then, with the cursor closed or not, its votes and names. */
int sl_approval_row_fill(struct sl_db *db, struct sl_rows *rows, struct sl_arena *a,
                         struct sl_approval_row *ret, struct sl_err *err) SL_MUST_CHECK;
/** The latest request of a step; *ret_found false when it never asked. */
int sl_approval_row_latest(struct sl_db *db, const char *run_id, const char *step_key,
                           struct sl_arena *a, struct sl_approval_row *ret, bool *ret_found,
                           struct sl_err *err) SL_MUST_CHECK;
/** "sha256:<hex>", or NULL for a digest that is not there. */
const char *sl_approval_digest(const struct sl_digest *d, char out[SL_APPROVAL_DIGEST]);
/** What is no longer as it was bound, in words; NULL when all is. */
const char *sl_approval_changed(const struct sl_approval_bound *was,
                                const struct sl_approval_bound *is);
/** The row as others see it. */
void sl_approval_fill_status(const struct sl_approval_row *row, struct sl_approval_status *ret);

/** One change of a request: state, audit entry, event, and for an approval the lineage of it. */
struct sl_approval_move {
    enum sl_approval_state to;
    enum sl_act act;
    const struct sl_actor *actor;
    const char *words;  /* a person's, for audit; NULL */
    const char *reason; /* kept with the row */
    int64_t now_ms;
};
/** Ends a request, open or (to void) approved. Updates `row`. */
int sl_approval_end(struct sl_db *db, struct sl_approval_row *row, const struct sl_approval_move *m,
                    struct sl_err *err) SL_MUST_CHECK;
/** Closes an open request whose time is over, as its rule says. */
int sl_approval_time_out(struct sl_db *db, struct sl_approval_row *row, int64_t now_ms,
                         struct sl_err *err) SL_MUST_CHECK;
int sl_approval_void(struct sl_db *db, struct sl_approval_row *row, const char *reason,
                     int64_t now_ms, struct sl_err *err) SL_MUST_CHECK;

/* approval_facts.c: in the caller's transaction */
int sl_approval_fact_audit(struct sl_db *db, const struct sl_approval_row *row,
                           const struct sl_approval_move *m, int64_t *ret_index, struct sl_err *err)
    SL_MUST_CHECK;
int sl_approval_fact_event(struct sl_db *db, const struct sl_approval_row *row, const char *what,
                           const char *who, int64_t now_ms, struct sl_err *err) SL_MUST_CHECK;
/** Node of the request, and that the run asked. */
int sl_approval_fact_asked(struct sl_db *db, const struct sl_approval_row *row, int64_t audit_index,
                           struct sl_err *err) SL_MUST_CHECK;
/** The candidate (or the run) is approved by this request. */
int sl_approval_fact_given(struct sl_db *db, const struct sl_approval_row *row, int64_t now_ms,
                           int64_t audit_index, struct sl_err *err) SL_MUST_CHECK;
/** A person voted. */
int sl_approval_fact_vote(struct sl_db *db, const struct sl_approval_row *row, const char *person,
                          bool approve, int64_t now_ms, int64_t audit_index, struct sl_err *err)
    SL_MUST_CHECK;

#endif
