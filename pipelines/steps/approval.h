/**
 * Approvals: somebody who may, and who is not the one who asks, says yes to exactly this candidate, this
 * expanded pipeline, these targets and this evidence. A change of any of them voids the request.
 *
 * approval_rules.c is pure (who may vote, what a vote changes); approval.c keeps requests and votes, each
 * change with audit entry, lineage and event in the caller's transaction. Requests that are over and votes
 * are never changed: the database refuses it.
 * Thread: that of the connection. Must not: read a clock, move aliases, deploy.
 */
#ifndef SL_APPROVAL_H
#define SL_APPROVAL_H

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/time.h"
#include "core/db/db.h"
#include "pipelines/spec/spec.h"

#define SL_APPROVAL_REASON_MAX  1000                  /* bytes of a vote's reason */
#define SL_APPROVAL_FROM_MAX    SL_SPEC_APPROVERS_MAX /* entries of `from` */
#define SL_APPROVAL_QUORUM_MAX  SL_SPEC_QUORUM_MAX
#define SL_APPROVAL_TARGETS_MAX 100
#define SL_APPROVAL_VOTES_MAX   1000 /* per request */
#define SL_APPROVAL_LIST_MAX    1000 /* requests in one answer */
#define SL_APPROVAL_NAME        256  /* bytes of a principal's or version's name, with NUL */
/** How long a given approval holds for the same digests. */
#define SL_APPROVAL_VALID_MS (30LL * 24 * 3600 * 1000)

enum sl_approval_state {
    SL_APPROVAL_OPEN,
    SL_APPROVAL_APPROVED,
    SL_APPROVAL_REJECTED,
    SL_APPROVAL_EXPIRED, /* nobody decided in time, and silence means no */
    SL_APPROVAL_VOID,    /* what it was bound to is no longer so */
    SL_APPROVAL_STATES
};
const char *sl_approval_state_name(enum sl_approval_state state); /* "open", "approved", ... */

/* ---- the rules: pure ------------------------------------------------------------------------------ */

/** Who may approve, and how many of them. */
struct sl_approval_rule {
    const char *const *from; /* "role:ml-leads", "user:ana" */
    size_t n_from;
    int quorum;          /* 1 to SL_APPROVAL_QUORUM_MAX; 0 counts as 1 */
    bool deny_requester; /* neither who asks nor who wrote the code */
};

/** Whether `name` is one of `from`: user:NAME, or in a group of the project. A group that the project
 * lacks has no members. `project` may be NULL. */
bool sl_approval_is_member(const struct sl_project *project, const char *const *from, size_t n_from,
                           const char *name);

struct sl_approval_ballot {
    const char *name; /* of the voter */
    bool approve;
};

/** Everything that decides about one more vote. */
struct sl_approval_case {
    enum sl_approval_state state;
    bool bound_changed;  /* a digest is no longer what the request was bound to */
    int64_t deadline_ms; /* 0 none */
    int64_t now_ms;
    struct sl_approval_rule rule;
    const struct sl_project *project;
    const char *requester;
    const char *author; /* of the code: "Ana B <ana@example.org>"; NULL or "" unknown */
    const struct sl_approval_ballot *ballots; /* given so far */
    size_t n_ballots;
    struct sl_approval_ballot vote; /* the new one */
};

enum sl_approval_ruling {
    SL_RULING_COUNTED,  /* the vote counts; more are needed */
    SL_RULING_APPROVED, /* the vote completes the quorum */
    SL_RULING_REJECTED,
    SL_RULING_CLOSED,    /* denied: it is decided already */
    SL_RULING_VOID,      /* denied: a digest changed */
    SL_RULING_EXPIRED,   /* denied: too late */
    SL_RULING_STRANGER,  /* denied: not one of `from` */
    SL_RULING_REQUESTER, /* denied: the one who asks */
    SL_RULING_AUTHOR,    /* denied: the one who wrote the code */
    SL_RULING_TWICE,     /* denied: has voted */
    SL_RULINGS
};
/** What a vote does. One rejection by somebody who may is enough; approvals count while who gave them may
 * still give them. Pure. */
enum sl_approval_ruling sl_approval_judge(const struct sl_approval_case *c);
/** Whether `ballots` satisfy `rule`: the rule of an environment is asked this about the votes of a step. */
bool sl_approval_enough(const struct sl_approval_case *c);

extern const struct sl_schema sl_approval_schema; /* tables approval_request, approval_vote */

/* ---- the store ------------------------------------------------------------------------------------ */

/** What an approval is bound to. */
struct sl_approval_bound {
    const char *entity; /* "default/churn"; NULL: no model is being approved */
    int64_t number;
    struct sl_digest candidate; /* zero without one */
    struct sl_digest pipeline;  /* of the expanded pipeline */
    struct sl_digest code;      /* manifest of the snapshot */
    struct sl_digest evidence;  /* sl_approval_evidence */
    const char *targets;        /* sorted names, separated by blanks; "" none */
};

/**
 * The digest of what speaks for a candidate: its latest verdict (champion, dataset, rules, result and
 * numbers) and the code. Without a candidate, the code alone.
 *
 * @param ret_verdicts  JSON array of verdict ids that it stands for; new reference; NULL allowed
 */
int sl_approval_evidence(struct sl_db *db, const struct sl_approval_bound *bound,
                         struct sl_digest *ret, json_t **ret_verdicts, struct sl_err *err)
    SL_MUST_CHECK;

struct sl_approval_ask {
    const char *run_id, *step_key;
    struct sl_approval_bound bound; /* with evidence */
    struct sl_approval_rule rule;
    const char *text; /* shown to approvers; NULL */
    const char *requester, *author;
    int64_t timeout_ms; /* 0 none */
    bool approve_on_timeout;
    const struct sl_project *project;
    int64_t now_ms;
    const struct sl_env *env; /* for the id; NULL: the real one */
};

/** How an approval stands. */
struct sl_approval_status {
    char id[SL_ID_HEX + 1];
    char run_id[SL_ID_HEX + 1]; /* that asked; with `earlier`, another one */
    enum sl_approval_state state;
    bool earlier;              /* given before, for the same digests: nothing was asked */
    int64_t deadline_ms;       /* 0 none */
    int64_t valid_until_ms;    /* of an approved one */
    char by[SL_APPROVAL_NAME]; /* names of who decided, or "nobody in time" */
    char reason[300];          /* of the last vote, or why it is void */
};

/**
 * Asks, or tells how the request of this run and step stands: an unexpired approval of the same digests
 * answers at once; an open request whose digests changed is voided and asked anew; one that is too late is
 * closed as its rule says. In the caller's transaction.
 */
int sl_approval_ask(struct sl_db *db, const struct sl_approval_ask *ask,
                    struct sl_approval_status *ret, struct sl_err *err) SL_MUST_CHECK;

struct sl_approval_vote {
    const char *run_id, *step_key;
    const struct sl_approval_bound *now; /* what the bound things are at this moment */
    const struct sl_project *project;
    const char *voter; /* name */
    const char *auth;  /* how the name is known: "unix" */
    bool approve;
    const char *reason; /* NULL or "" none */
    int64_t now_ms;
};

/** What the latest request of a step is bound to, texts in `a`. -SL_ENOTFOUND when it asked for nothing. */
int sl_approval_bound_of(struct sl_db *db, const char *run_id, const char *step_key,
                         struct sl_arena *a, struct sl_approval_bound *ret, struct sl_err *err)
    SL_MUST_CHECK;
/** The step no longer asks (it was cancelled): its open request, if any, is void. */
int sl_approval_withdraw(struct sl_db *db, const char *run_id, const char *step_key,
                         const char *reason, int64_t now_ms, struct sl_err *err) SL_MUST_CHECK;

struct sl_approval_voted {
    enum sl_approval_ruling ruling;
    struct sl_approval_status now;
    int given, needed;
    char text[400]; /* the sentence to show: what happened, or why the vote was denied */
};

/**
 * Gives a vote in the caller's transaction. A denied vote is 0 too, so that its audit entry becomes
 * durable: the caller turns ret->ruling into the refusal (sl_approval_voted_rc).
 *
 * @return 0; -SL_ENOTFOUND when that step asked for nothing; -SL_EINVAL, -SL_ELIMIT of the reason
 */
int sl_approval_vote(struct sl_db *db, const struct sl_approval_vote *vote,
                     struct sl_approval_voted *ret, struct sl_err *err) SL_MUST_CHECK;
/** 0 for a vote that counted, else -SL_EREFUSED with its text. */
int sl_approval_voted_rc(const struct sl_approval_voted *v, struct sl_err *err);

/** The question of the deploy door. */
struct sl_approval_need {
    const char *target;
    const char *entity;
    struct sl_digest candidate;
    struct sl_digest pipeline, code; /* zero: not asked by a run */
    struct sl_approval_rule rule;    /* n_from 0: whoever gave it */
    const struct sl_project *project;
    int64_t now_ms;
};
/**
 * A valid approval of exactly this candidate, pipeline and target whose voters satisfy `rule`.
 *
 * @return 0 with its id, or -SL_EREFUSED with a sentence that says what is missing
 */
int sl_approval_permit(struct sl_db *db, const struct sl_approval_need *need,
                       char ret_id[SL_ID_HEX + 1], struct sl_err *err) SL_MUST_CHECK;

struct sl_approval_filter {
    const char *run_id, *step_key; /* NULL: any */
    bool open_only;
    int64_t limit; /* 1 to SL_APPROVAL_LIST_MAX */
};
/** Requests, oldest open first: {"id","run","step","state","entity","version","candidate","pipeline",
 * "evidence","targets","from","quorum","deny_requester","requester","text","deadline_ms","created_ms",
 * "ended_ms","valid_until_ms","reason","votes":[{"name","approve","auth","reason","ts_ms"}]}. New reference. */
int sl_approval_list(struct sl_db *db, const struct sl_approval_filter *f, json_t **ret,
                     struct sl_err *err) SL_MUST_CHECK;

#endif
