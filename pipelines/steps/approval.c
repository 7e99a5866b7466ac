/**
 * Requests for approval: asking, and how they end.
 *
 * Thread: that of the connection, inside the caller's transaction. Must not: judge votes, read a clock.
 */
#include "core/base/base.h"

#include "pipelines/steps/approval.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/steps/approval_priv.h"

static const char *const migrations[] = {
    "CREATE TABLE approval_request("
    "  seq INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  run_id TEXT NOT NULL,"
    "  step_key TEXT NOT NULL,"
    "  entity TEXT,"
    "  number INTEGER NOT NULL,"
    "  candidate TEXT,"
    "  pipeline TEXT NOT NULL,"
    "  code TEXT NOT NULL,"
    "  evidence TEXT NOT NULL,"
    "  verdicts TEXT NOT NULL,"
    "  targets TEXT NOT NULL,"
    "  members TEXT NOT NULL,"
    "  quorum INTEGER NOT NULL,"
    "  deny_requester INTEGER NOT NULL,"
    "  approve_on_timeout INTEGER NOT NULL,"
    "  text TEXT,"
    "  requester TEXT NOT NULL,"
    "  author TEXT,"
    "  deadline_ms INTEGER NOT NULL,"
    "  state TEXT NOT NULL CHECK (state IN ('open', 'approved', 'rejected', 'expired', 'void')),"
    "  created_ms INTEGER NOT NULL,"
    "  ended_ms INTEGER NOT NULL DEFAULT 0,"
    "  valid_until_ms INTEGER NOT NULL DEFAULT 0,"
    "  reason TEXT"
    ") STRICT;"
    "CREATE INDEX approval_request_step ON approval_request(run_id, step_key, seq);"
    "CREATE INDEX approval_request_open ON approval_request(seq) WHERE state = 'open';"
    "CREATE INDEX approval_request_candidate ON approval_request(candidate, seq)"
    "  WHERE state = 'approved';"
    "CREATE INDEX approval_request_pipeline ON approval_request(pipeline, seq)"
    "  WHERE state = 'approved';"
    "CREATE TRIGGER approval_request_is_final BEFORE UPDATE ON approval_request"
    "  WHEN OLD.state NOT IN ('open', 'approved') OR NEW.id <> OLD.id"
    "    OR NEW.candidate IS NOT OLD.candidate OR NEW.pipeline <> OLD.pipeline"
    "    OR NEW.evidence <> OLD.evidence OR NEW.targets <> OLD.targets OR NEW.code <> OLD.code"
    "    OR (OLD.state = 'approved' AND NEW.state <> 'void')"
    "  BEGIN SELECT RAISE(ABORT, 'a decided approval is never changed'); END;"
    "CREATE TRIGGER approval_request_is_kept BEFORE DELETE ON approval_request"
    "  BEGIN SELECT RAISE(ABORT, 'an approval is never removed'); END;"
    "CREATE TABLE approval_vote("
    "  request TEXT NOT NULL REFERENCES approval_request(id),"
    "  principal TEXT NOT NULL,"
    "  auth TEXT NOT NULL,"
    "  approve INTEGER NOT NULL,"
    "  reason TEXT,"
    "  ts_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (request, principal)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER approval_vote_is_final BEFORE UPDATE ON approval_vote"
    "  BEGIN SELECT RAISE(ABORT, 'a vote is never changed'); END;"
    "CREATE TRIGGER approval_vote_is_kept BEFORE DELETE ON approval_vote"
    "  BEGIN SELECT RAISE(ABORT, 'a vote is never removed'); END;",
};

const struct sl_schema sl_approval_schema = {
    .room = "approval", .migrations = migrations, .n = SL_LEN(migrations)};

const char *const sl_approval_states[SL_APPROVAL_STATES] = {"open", "approved", "rejected",
                                                            "expired", "void"};

const char *sl_approval_state_name(enum sl_approval_state state)
{
    return sl_approval_states[state];
}

const char *sl_approval_digest(const struct sl_digest *d, char out[SL_APPROVAL_DIGEST])
{
    char hex[SL_DIGEST_HEX + 1];
    if (sl_digest_is_zero(d)) {
        return NULL;
    }
    (void)snprintf(out, SL_APPROVAL_DIGEST, "sha256:%s", sl_digest_hex(d, hex));
    return out;
}

const char *sl_approval_changed(const struct sl_approval_bound *was,
                                const struct sl_approval_bound *is)
{
    bool same_entity = was->entity == NULL || is->entity == NULL
                           ? was->entity == is->entity
                           : sl_streq(was->entity, is->entity);
    if (!same_entity || !sl_digest_eq(&was->candidate, &is->candidate)) {
        return "the candidate";
    }
    if (!sl_digest_eq(&was->pipeline, &is->pipeline)) {
        return "the pipeline";
    }
    if (!sl_streq(was->targets, is->targets)) {
        return "the target";
    }
    if (!sl_digest_eq(&was->code, &is->code)) {
        return "the code";
    }
    return sl_digest_eq(&was->evidence, &is->evidence) ? NULL
                                                       : "the evidence (the candidate's verdict)";
}

/* ---- evidence ------------------------------------------------------------------------------------- */

/** The latest verdict as facts without ids and times: judging again with the same result is no change. */
static int latest_verdict(struct sl_db *db, const struct sl_approval_bound *b, json_t *evidence,
                          json_t *ids, struct sl_err *err)
{
    char candidate[SL_APPROVAL_DIGEST];
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT id, result, champion_digest, dataset_digest, rules_digest,"
                                " detail FROM verdict WHERE candidate_entity = ? AND"
                                " candidate_digest = ? ORDER BY seq DESC LIMIT 1"),
                         "ss", b->entity, sl_approval_digest(&b->candidate, candidate));
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc <= 0) {
        return rc;
    }
    static const char *const names[] = {"result", "champion", "dataset", "rules", "detail"};
    json_array_append_new(ids, json_string(sl_rows_str(&rows, 0)));
    for (int i = 0; i < (int)SL_LEN(names); i++) {
        sl_json_set_str(evidence, names[i], sl_rows_text(&rows, i + 1));
    }
    return 0;
}

int sl_approval_evidence(struct sl_db *db, const struct sl_approval_bound *bound,
                         struct sl_digest *ret, json_t **ret_verdicts, struct sl_err *err)
{
    char code[SL_APPROVAL_DIGEST];
    json_auto_t *evidence = json_object();
    json_auto_t *ids = json_array();
    sl_json_set_str(evidence, "code", sl_approval_digest(&bound->code, code));
    int rc = bound->entity != NULL ? latest_verdict(db, bound, evidence, ids, err) : 0;
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    char *text = sl_json_canonical(evidence);
    sl_sha256(text, strlen(text), ret);
    if (ret_verdicts != NULL) {
        *ret_verdicts = sl_take(ids);
    }
    return 0;
}

/* ---- how a request ends --------------------------------------------------------------------------- */

int sl_approval_end(struct sl_db *db, struct sl_approval_row *row, const struct sl_approval_move *m,
                    struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    int64_t valid = m->to == SL_APPROVAL_APPROVED ? m->now_ms + SL_APPROVAL_VALID_MS : 0;
    int64_t index = -1;
    int rc = sl_db_exec(db, err,
                        SL_SQL("UPDATE approval_request SET state = ?, ended_ms = ?,"
                               " valid_until_ms = ?, reason = ? WHERE id = ? AND state = ?"),
                        "siisss", sl_approval_states[m->to], m->now_ms, valid, m->reason,
                        (const char *)row->id, sl_approval_states[row->state]);
    if (rc == 0 && sl_db_changes(db) != 1) {
        rc = sl_err_set(err, SL_ECONFLICT, "approval %.8s was decided meanwhile", row->id);
    }
    if (rc < 0) {
        return rc;
    }
    row->state = m->to;
    row->ended_ms = m->now_ms;
    row->valid_until_ms = valid;
    row->reason = m->reason;
    rc = sl_approval_fact_audit(db, row, m, &index, err);
    if (rc == 0 && m->to == SL_APPROVAL_APPROVED) {
        rc = sl_approval_fact_given(db, row, m->now_ms, index, err);
    }
    return rc < 0
               ? rc
               : sl_approval_fact_event(db, row, sl_approval_states[m->to], NULL, m->now_ms, err);
}

static const struct sl_actor engine = {SL_ACTOR_ENGINE, "engine", "internal"};

int sl_approval_time_out(struct sl_db *db, struct sl_approval_row *row, int64_t now_ms,
                         struct sl_err *err)
{
    struct sl_approval_move m = {.to = SL_APPROVAL_EXPIRED,
                                 .act = SL_ACT_APPROVAL_EXPIRE,
                                 .actor = &engine,
                                 .reason = "nobody decided in time",
                                 .now_ms = now_ms};
    if (row->approve_on_timeout) {
        m.to = SL_APPROVAL_APPROVED;
        m.act = SL_ACT_APPROVAL_APPROVE;
        m.reason = "nobody objected in time (on_timeout: approve)";
    }
    return sl_approval_end(db, row, &m, err);
}

int sl_approval_void(struct sl_db *db, struct sl_approval_row *row, const char *reason,
                     int64_t now_ms, struct sl_err *err)
{
    struct sl_approval_move m = {.to = SL_APPROVAL_VOID,
                                 .act = SL_ACT_APPROVAL_VOID,
                                 .actor = &engine,
                                 .reason = reason,
                                 .now_ms = now_ms};
    return sl_approval_end(db, row, &m, err);
}

int sl_approval_withdraw(struct sl_db *db, const char *run_id, const char *step_key,
                         const char *reason, int64_t now_ms, struct sl_err *err)
{
    struct sl_approval_row row;
    struct sl_arena a;
    bool found = false;
    sl_arena_init(&a, 0);
    int rc = sl_approval_row_latest(db, run_id, step_key, &a, &row, &found, err);
    if (rc == 0 && found && row.state == SL_APPROVAL_OPEN) {
        rc = sl_approval_void(db, &row, reason, now_ms, err);
    }
    sl_arena_release(&a);
    return rc;
}

/* ---- asking --------------------------------------------------------------------------------------- */

static int check_ask(const struct sl_approval_ask *ask, struct sl_err *err)
{
    SL_ASSERT(ask->run_id != NULL && ask->step_key != NULL && ask->requester != NULL);
    SL_ASSERT(ask->bound.targets != NULL);
    if (ask->rule.n_from == 0 || ask->rule.n_from > SL_APPROVAL_FROM_MAX) {
        return sl_err_set(err, SL_EINVAL, "an approval names 1 to %d groups or people in `from`",
                          SL_APPROVAL_FROM_MAX);
    }
    if (ask->rule.quorum < 0 || ask->rule.quorum > SL_APPROVAL_QUORUM_MAX) {
        return sl_err_set(err, SL_EINVAL, "the quorum of an approval is 1 to %d",
                          SL_APPROVAL_QUORUM_MAX);
    }
    return 0;
}

static int insert(struct sl_db *db, const struct sl_approval_ask *ask, struct sl_err *err)
{
    const struct sl_approval_bound *b = &ask->bound;
    char id[SL_ID_HEX + 1], candidate[SL_APPROVAL_DIGEST], pipeline[SL_APPROVAL_DIGEST],
        code[SL_APPROVAL_DIGEST], evidence[SL_APPROVAL_DIGEST];
    struct sl_actor_id requester;
    struct sl_digest again;
    json_auto_t *verdicts = NULL;
    json_auto_t *from = json_array();
    for (size_t i = 0; i < ask->rule.n_from; i++) {
        json_array_append_new(from, json_string(ask->rule.from[i]));
    }
    _cleanup_(free)
    char *from_text = sl_json_canonical(from);
    int rc = sl_actor_id(db, ask->requester, &requester, err);
    rc = rc < 0 ? rc : sl_approval_evidence(db, b, &again, &verdicts, err);
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    char *verdict_text = sl_json_canonical(verdicts);
    return sl_db_exec(
        db, err,
        SL_SQL("INSERT INTO approval_request(id, run_id, step_key, entity, number, candidate,"
               " pipeline, code, evidence, verdicts, targets, members, quorum, deny_requester,"
               " approve_on_timeout, text, requester, author, deadline_ms, state, created_ms)"
               " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,'open',?)"),
        "ssssisssssssiiisssii", (const char *)sl_id_new(ask->env, id), ask->run_id, ask->step_key,
        b->entity, b->number, sl_approval_digest(&b->candidate, candidate),
        sl_approval_digest(&b->pipeline, pipeline), sl_approval_digest(&b->code, code),
        sl_approval_digest(&b->evidence, evidence), (const char *)verdict_text, b->targets,
        (const char *)from_text, SL_MAX(ask->rule.quorum, 1), ask->rule.deny_requester,
        ask->approve_on_timeout, ask->text, (const char *)requester.id, ask->author,
        ask->timeout_ms > 0 ? ask->now_ms + ask->timeout_ms : (int64_t)0, ask->now_ms);
}

static int request(struct sl_db *db, const struct sl_approval_ask *ask, struct sl_arena *a,
                   struct sl_approval_row *row, struct sl_err *err)
{
    bool found = false;
    int64_t index = -1;
    int rc = insert(db, ask, err);
    rc = rc < 0 ? rc : sl_approval_row_latest(db, ask->run_id, ask->step_key, a, row, &found, err);
    if (rc < 0) {
        return rc;
    }
    SL_ASSERT(found);
    const struct sl_actor_id who = {0};
    struct sl_actor_id requester = who;
    (void)snprintf(requester.id, sizeof(requester.id), "%s", row->requester);
    const struct sl_actor actor = sl_actor_of(&requester);
    const struct sl_approval_move m = {
        .act = SL_ACT_APPROVAL_REQUEST, .actor = &actor, .now_ms = ask->now_ms};
    rc = sl_approval_fact_audit(db, row, &m, &index, err);
    rc = rc < 0 ? rc : sl_approval_fact_asked(db, row, index, err);
    return rc < 0 ? rc
                  : sl_approval_fact_event(db, row, "requested", row->requester, ask->now_ms, err);
}

/** An approval of the same digests, given to another run or step, whose voters may still give it. */
static int find_earlier(struct sl_db *db, const struct sl_approval_ask *ask, struct sl_arena *a,
                        struct sl_approval_row *row, bool *ret_found, struct sl_err *err)
{
    char pipeline[SL_APPROVAL_DIGEST];
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT " SL_APPROVAL_COLUMNS " FROM approval_request"
                                " WHERE pipeline = ? AND state = 'approved' AND valid_until_ms > ?"
                                " ORDER BY seq DESC LIMIT 100"),
                         "si", sl_approval_digest(&ask->bound.pipeline, pipeline), ask->now_ms);
    *ret_found = false;
    while (rc == 0 && !*ret_found && (rc = sl_rows_next(&rows, err)) > 0) {
        rc = sl_approval_row_fill(db, &rows, a, row, err);
        const struct sl_approval_case c = {.rule = ask->rule,
                                           .project = ask->project,
                                           .requester = ask->requester,
                                           .author = ask->author,
                                           .ballots = row->ballots,
                                           .n_ballots = row->n_ballots};
        *ret_found = rc == 0 && sl_approval_changed(&row->bound, &ask->bound) == NULL &&
                     sl_approval_enough(&c);
    }
    return rc;
}

/** The request of this very step, brought up to now. */
static int own(struct sl_db *db, const struct sl_approval_ask *ask, struct sl_arena *a,
               struct sl_approval_row *row, bool *ret_found, struct sl_err *err)
{
    int rc = sl_approval_row_latest(db, ask->run_id, ask->step_key, a, row, ret_found, err);
    if (rc < 0 || !*ret_found) {
        return rc;
    }
    const char *changed = sl_approval_changed(&row->bound, &ask->bound);
    if (row->state == SL_APPROVAL_VOID) {
        *ret_found = false; /* it was voided by a vote: ask anew */
    } else if (changed != NULL &&
               (row->state == SL_APPROVAL_OPEN || row->state == SL_APPROVAL_APPROVED)) {
        rc = sl_approval_void(db, row, sl_arena_printf(a, "%s changed", changed), ask->now_ms, err);
        *ret_found = false;
    } else if (row->state == SL_APPROVAL_OPEN && row->deadline_ms != 0 &&
               ask->now_ms >= row->deadline_ms) {
        rc = sl_approval_time_out(db, row, ask->now_ms, err);
    }
    return rc;
}

int sl_approval_ask(struct sl_db *db, const struct sl_approval_ask *ask,
                    struct sl_approval_status *ret, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    struct sl_approval_row row = {0};
    struct sl_arena a;
    bool found = false;
    bool earlier = false;
    int rc = check_ask(ask, err);
    if (rc < 0) {
        return rc;
    }
    sl_arena_init(&a, 0);
    rc = own(db, ask, &a, &row, &found, err);
    if (rc == 0 && !found) {
        rc = find_earlier(db, ask, &a, &row, &earlier, err);
    }
    if (rc == 0 && !found && !earlier) {
        rc = request(db, ask, &a, &row, err);
    }
    if (rc == 0) {
        sl_approval_fill_status(&row, ret);
        ret->earlier = earlier;
    }
    sl_arena_release(&a);
    return rc;
}
