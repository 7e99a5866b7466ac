/**
 * Votes, and the question of the deploy door.
 *
 * Thread: that of the connection, inside the caller's transaction. Must not: decide who a caller is.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/steps/approval_priv.h"

/** One vote on its way. */
struct voting {
    struct sl_db *db;
    const struct sl_approval_vote *v;
    struct sl_approval_row row;
    struct sl_approval_case c;
    struct sl_actor_id id;
    struct sl_actor actor;
    const char *changed; /* what is no longer as bound; NULL nothing */
};

static int check_vote(const struct sl_approval_vote *v, struct sl_err *err)
{
    SL_ASSERT(v->voter != NULL && v->auth != NULL);
    const char *reason = v->reason != NULL ? v->reason : "";
    if (strlen(reason) > SL_APPROVAL_REASON_MAX) {
        return sl_err_set(err, SL_ELIMIT, "the reason is longer than %d bytes",
                          SL_APPROVAL_REASON_MAX);
    }
    if (sl_utf8_check(reason, strlen(reason)) != strlen(reason)) {
        return sl_err_set(err, SL_EINVAL, "the reason is not valid UTF-8");
    }
    if (!v->approve && reason[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "a rejection needs a reason");
    }
    return 0;
}

static void make_case(struct voting *x)
{
    const struct sl_approval_vote *v = x->v;
    x->changed = sl_approval_changed(&x->row.bound, v->now);
    x->c = (struct sl_approval_case){.state = x->row.state,
                                     .bound_changed = x->changed != NULL,
                                     .deadline_ms = x->row.deadline_ms,
                                     .now_ms = v->now_ms,
                                     .rule = x->row.rule,
                                     .project = v->project,
                                     .requester = x->row.requester_name,
                                     .author = x->row.author,
                                     .ballots = x->row.ballots,
                                     .n_ballots = x->row.n_ballots,
                                     .vote = {v->voter, v->approve}};
}

static int given(const struct voting *x)
{
    struct sl_approval_case c = x->c;
    int n = 0;
    for (size_t i = 0; i < c.n_ballots; i++) {
        c.rule.quorum = n + 1;
        n += sl_approval_enough(&c) ? 1 : 0;
    }
    return n;
}

/* ---- the sentence --------------------------------------------------------------------------------- */

static const char *subject(const struct voting *x, char out[SL_APPROVAL_NAME * 2])
{
    const struct sl_approval_bound *b = &x->row.bound;
    if (b->entity == NULL) {
        (void)snprintf(out, SL_APPROVAL_NAME * 2, "step %.200s", x->row.step_key);
    } else {
        (void)snprintf(out, SL_APPROVAL_NAME * 2, "%.200s@v%lld%s%.200s", b->entity,
                       (long long)b->number, b->targets[0] != '\0' ? " for " : "", b->targets);
    }
    return out;
}

static void put_from(const struct voting *x, struct sl_buf *out)
{
    for (size_t i = 0; i < x->row.rule.n_from; i++) {
        const char *from = x->row.rule.from[i];
        bool no_group =
            sl_starts_with(from, "role:") &&
            (x->v->project == NULL || sl_project_group(x->v->project, from + 5) == NULL);
        sl_buf_printf(out, "%s%.100s%s", i > 0 ? ", " : "", from,
                      no_group ? " (the applied project has no such group)" : "");
    }
}

static void put_text(const struct voting *x, enum sl_approval_ruling ruling, int n,
                     struct sl_buf *out)
{
    char what[SL_APPROVAL_NAME * 2], when[SL_TIME_TEXT];
    const char *voter = x->v->voter;
    (void)subject(x, what);
    switch (ruling) {
    case SL_RULING_COUNTED:
        sl_buf_printf(out, "%s: %d of %d approvals", what, n, x->row.rule.quorum);
        return;
    case SL_RULING_APPROVED: sl_buf_printf(out, "%s: approved", what); return;
    case SL_RULING_REJECTED: sl_buf_printf(out, "%s: rejected", what); return;
    case SL_RULING_CLOSED:
        sl_buf_printf(out, "%s is %s already", what, sl_approval_states[x->row.state]);
        if (x->row.state != SL_APPROVAL_APPROVED && x->row.reason[0] != '\0') {
            sl_buf_printf(out, ": %.200s", x->row.reason);
        }
        return;
    case SL_RULING_VOID:
        sl_buf_printf(out,
                      "the request is void: %s changed since it was asked for; the step asks "
                      "anew",
                      x->changed);
        return;
    case SL_RULING_EXPIRED:
        sl_buf_printf(out, "too late: %s was open until %s", what,
                      sl_time_format(x->row.deadline_ms, when));
        return;
    case SL_RULING_STRANGER:
        sl_buf_printf(out, "%.100s may not decide this: it takes ", voter);
        put_from(x, out);
        return;
    case SL_RULING_REQUESTER:
        sl_buf_printf(out, "%.100s asked for this; somebody else has to approve (deny_requester)",
                      voter);
        return;
    case SL_RULING_AUTHOR:
        sl_buf_printf(out, "%.100s wrote the code; somebody else has to approve (deny_requester)",
                      voter);
        return;
    case SL_RULING_TWICE: sl_buf_printf(out, "%.100s has voted already", voter); return;
    case SL_RULINGS: break;
    }
    SL_ASSERT(ruling < SL_RULINGS);
}

/* ---- what it changes ------------------------------------------------------------------------------ */

static int count_it(struct voting *x, enum sl_approval_ruling ruling, struct sl_err *err)
{
    const struct sl_approval_vote *v = x->v;
    struct sl_approval_move m = {
        .to = ruling == SL_RULING_REJECTED ? SL_APPROVAL_REJECTED : SL_APPROVAL_APPROVED,
        .act = v->approve ? SL_ACT_APPROVAL_APPROVE : SL_ACT_APPROVAL_REJECT,
        .actor = &x->actor,
        .words = v->reason,
        .reason = v->reason,
        .now_ms = v->now_ms};
    int64_t index = -1;
    int rc = sl_db_exec(x->db, err, SL_SQL("INSERT INTO approval_vote VALUES (?,?,?,?,?,?)"),
                        "sssisi", (const char *)x->row.id, (const char *)x->id.id, v->auth,
                        v->approve, v->reason, v->now_ms);
    x->row.ballots[x->row.n_ballots++] = x->c.vote; /* the load left room for one */
    if (rc == 0 && ruling == SL_RULING_COUNTED) {
        rc = sl_approval_fact_audit(x->db, &x->row, &m, &index, err);
        rc = rc < 0 ? rc : sl_approval_fact_event(x->db, &x->row, "vote", x->id.id, v->now_ms, err);
    } else if (rc == 0) {
        rc = sl_approval_end(x->db, &x->row, &m, err);
    }
    return rc < 0
               ? rc
               : sl_approval_fact_vote(x->db, &x->row, x->id.id, v->approve, v->now_ms, index, err);
}

static int deny_it(struct voting *x, enum sl_approval_ruling ruling, struct sl_arena *a,
                   struct sl_err *err)
{
    const struct sl_approval_move m = {.act = SL_ACT_APPROVAL_DENIED,
                                       .actor = &x->actor,
                                       .words = x->v->reason,
                                       .now_ms = x->v->now_ms};
    int rc = sl_approval_fact_audit(x->db, &x->row, &m, NULL, err);
    if (rc == 0 && ruling == SL_RULING_VOID) {
        rc = sl_approval_void(x->db, &x->row, sl_arena_printf(a, "%s changed", x->changed),
                              x->v->now_ms, err);
    } else if (rc == 0 && ruling == SL_RULING_EXPIRED) {
        rc = sl_approval_time_out(x->db, &x->row, x->v->now_ms, err);
    }
    return rc;
}

static int vote(struct voting *x, struct sl_arena *a, struct sl_approval_voted *ret,
                struct sl_err *err)
{
    const struct sl_approval_vote *v = x->v;
    bool found = false;
    int rc = sl_approval_row_latest(x->db, v->run_id, v->step_key, a, &x->row, &found, err);
    if (rc == 0 && !found) {
        rc = sl_err_set(err, SL_ENOTFOUND, "step %.100s of that run asked for no approval",
                        v->step_key);
    }
    rc = rc < 0 ? rc : sl_actor_id(x->db, v->voter, &x->id, err);
    if (rc < 0) {
        return rc;
    }
    x->actor = (struct sl_actor){.id = x->id.id, .kind = "user", .auth = v->auth};
    make_case(x);
    struct sl_approval_voted r = {.ruling = sl_approval_judge(&x->c), .needed = x->row.rule.quorum};
    bool counts = r.ruling <= SL_RULING_REJECTED;
    struct sl_buf text = SL_BUF_INIT(sizeof(r.text) - 1);
    r.given = given(x) + (counts && v->approve ? 1 : 0);
    put_text(x, r.ruling, r.given, &text);
    (void)snprintf(r.text, sizeof(r.text), "%s", sl_buf_str(&text));
    sl_buf_release(&text);
    rc = counts ? count_it(x, r.ruling, err) : deny_it(x, r.ruling, a, err);
    if (rc == 0) {
        sl_approval_fill_status(&x->row, &r.now);
        *ret = r;
    }
    return rc;
}

int sl_approval_vote(struct sl_db *db, const struct sl_approval_vote *v,
                     struct sl_approval_voted *ret, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    struct voting x = {.db = db, .v = v};
    struct sl_arena a;
    int rc = check_vote(v, err);
    if (rc < 0) {
        return rc;
    }
    sl_arena_init(&a, 0);
    rc = vote(&x, &a, ret, err);
    sl_arena_release(&a);
    return rc;
}

int sl_approval_voted_rc(const struct sl_approval_voted *v, struct sl_err *err)
{
    return v->ruling <= SL_RULING_REJECTED ? 0 : sl_err_set(err, SL_EREFUSED, "%s", v->text);
}

/* ---- the deploy door ------------------------------------------------------------------------------ */

static bool names_target(const char *targets, const char *target)
{
    size_t len = strlen(target);
    for (const char *p = targets; *p != '\0'; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        if (n == len && strncmp(p, target, n) == 0) {
            return true;
        }
        p += n;
    }
    return false;
}

/** Why this approval is not enough; NULL when it is. */
static int weigh(struct sl_db *db, const struct sl_approval_need *need,
                 const struct sl_approval_row *row, const char **ret_why, struct sl_err *err)
{
    const struct sl_approval_bound *b = &row->bound;
    struct sl_digest evidence;
    *ret_why = NULL;
    if (!sl_digest_is_zero(&need->pipeline) && !sl_digest_eq(&b->pipeline, &need->pipeline)) {
        *ret_why = "it was given to another pipeline";
    } else if (!sl_digest_is_zero(&need->code) && !sl_digest_eq(&b->code, &need->code)) {
        *ret_why = "it was given to other code";
    } else if (!names_target(b->targets, need->target)) {
        *ret_why = "it was given for another target";
    } else if (row->valid_until_ms <= need->now_ms) {
        *ret_why = "it is no longer valid";
    }
    if (*ret_why != NULL) {
        return 0;
    }
    int rc = sl_approval_evidence(db, b, &evidence, NULL, err);
    const struct sl_approval_case c = {.rule = need->rule,
                                       .project = need->project,
                                       .requester = row->requester_name,
                                       .author = row->author,
                                       .ballots = row->ballots,
                                       .n_ballots = row->n_ballots};
    if (rc == 0 && !sl_digest_eq(&evidence, &b->evidence)) {
        *ret_why = "the candidate's verdict has changed since";
    } else if (rc == 0 && need->rule.n_from > 0 && !sl_approval_enough(&c)) {
        *ret_why = "the environment asks for other approvers, or more of them";
    }
    return rc;
}

static int refuse(const struct sl_approval_need *need, const char *why, const char *id,
                  struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf from = SL_BUF_INIT(300);
    for (size_t i = 0; i < need->rule.n_from; i++) {
        sl_buf_printf(&from, "%s%s", i > 0 ? ", " : "", need->rule.from[i]);
    }
    if (why == NULL) {
        return sl_err_set(err, SL_EREFUSED,
                          "target %s needs an approval of exactly this version by %d of %s; "
                          "nobody gave one",
                          need->target, SL_MAX(need->rule.quorum, 1), sl_buf_str(&from));
    }
    return sl_err_set(err, SL_EREFUSED,
                      "target %s needs an approval by %d of %s; there is one (%.8s), but %s",
                      need->target, SL_MAX(need->rule.quorum, 1), sl_buf_str(&from), id, why);
}

int sl_approval_permit(struct sl_db *db, const struct sl_approval_need *need,
                       char ret_id[SL_ID_HEX + 1], struct sl_err *err)
{
    char candidate[SL_APPROVAL_DIGEST];
    char last[SL_ID_HEX + 1] = "";
    const char *why = NULL;
    struct sl_arena a;
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    bool found = false;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT " SL_APPROVAL_COLUMNS " FROM approval_request"
                                " WHERE candidate = ? AND entity = ? AND state = 'approved'"
                                " ORDER BY seq DESC LIMIT 100"),
                         "ss", sl_approval_digest(&need->candidate, candidate), need->entity);
    sl_arena_init(&a, 0);
    while (rc == 0 && !found && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_approval_row row;
        const char *but = NULL;
        rc = sl_approval_row_fill(db, &rows, &a, &row, err);
        rc = rc < 0 ? rc : weigh(db, need, &row, &but, err);
        found = rc == 0 && but == NULL;
        if (rc == 0 && (found || why == NULL)) {
            why = but;
            (void)snprintf(last, sizeof(last), "%s", row.id);
        }
    }
    sl_arena_release(&a);
    if (rc < 0) {
        return rc;
    }
    if (!found) {
        return refuse(need, why, last, err);
    }
    (void)memcpy(ret_id, last, sizeof(last));
    return 0;
}
