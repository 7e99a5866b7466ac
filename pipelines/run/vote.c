/**
 * Votes and decisions about steps: see vote.h.
 *
 * Thread: a lane or a command; the transaction on the writer.
 */
#include "core/base/base.h"

#include "pipelines/run/vote.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit.h"
#include "core/bus/bus.h"
#include "pipelines/run/project.h"
#include "pipelines/steps/actor.h"

#define RETRIES_MAX 100 /* runs that retried each other, looked through for a decision */

static const char *const migrations[] = {
    "CREATE TABLE step_decision("
    "  run_id TEXT NOT NULL,"
    "  step_key TEXT NOT NULL,"
    "  happened INTEGER NOT NULL,"
    "  actor TEXT NOT NULL,"
    "  auth TEXT NOT NULL,"
    "  reason TEXT,"
    "  ts_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (run_id, step_key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER step_decision_is_final BEFORE UPDATE ON step_decision"
    "  BEGIN SELECT RAISE(ABORT, 'a decision is never changed'); END;",
    /* the inbox looks for these among all runs there ever were */
    "CREATE INDEX run_waiting ON run(created_ms) WHERE state = 'waiting';",
};
const struct sl_schema sl_vote_schema = {
    .room = "vote", .migrations = migrations, .n = SL_LEN(migrations)};

void sl_run_pipeline_digest(const struct sl_run_record *r, struct sl_digest *ret)
{
    char text[2 * SL_DIGEST_HEX + 64];
    char spec[SL_DIGEST_HEX + 1];
    char plan[SL_DIGEST_HEX + 1];
    int n = snprintf(text, sizeof(text), "sluice-pipeline-1\n%s\n%s\n",
                     sl_digest_hex(&r->spec, spec), sl_digest_hex(&r->plan, plan));
    sl_sha256(text, (size_t)n, ret);
}

const char *sl_run_code_author(const struct sl_run_record *r, struct sl_arena *a)
{
    json_auto_t *facts = sl_json_parse("facts", r->facts, strlen(r->facts), NULL);
    return sl_arena_strdup(a, sl_json_str(facts, "code_author", ""));
}

static int live_on(struct sl_db *db, const char *target, const struct sl_approval_bound *b,
                   bool *ret, struct sl_err *err)
{
    char candidate[SL_DIGEST_HEX + 8], pipeline[SL_DIGEST_HEX + 8], code[SL_DIGEST_HEX + 8];
    char hex[SL_DIGEST_HEX + 1];
    int64_t n = 0;
    (void)snprintf(candidate, sizeof(candidate), "sha256:%s", sl_digest_hex(&b->candidate, hex));
    (void)snprintf(pipeline, sizeof(pipeline), "sha256:%s", sl_digest_hex(&b->pipeline, hex));
    (void)snprintf(code, sizeof(code), "sha256:%s", sl_digest_hex(&b->code, hex));
    int rc = sl_db_get_i64(db, &n, err,
                           SL_SQL("SELECT count(*) FROM target t JOIN deployment d ON d.id ="
                                  " t.live_id JOIN approval_request a ON a.id = d.approval_id"
                                  " WHERE t.name = ? AND d.entity = ? AND d.digest = ? AND"
                                  " a.pipeline = ? AND a.code = ? AND a.state = 'approved'"),
                           "sssss", target, b->entity, (const char *)candidate,
                           (const char *)pipeline, (const char *)code);
    *ret = rc == 0 && n > 0;
    return rc;
}

int sl_run_live_as_approved(struct sl_db *db, const struct sl_approval_bound *bound, bool *ret,
                            struct sl_err *err)
{
    bool live = bound->entity != NULL && bound->targets[0] != '\0';
    int rc = 0;
    for (const char *p = bound->targets; rc == 0 && live && *p != '\0'; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        _cleanup_(free)
        char *target = sl_strndup(p, len);
        rc = live_on(db, target, bound, &live, err);
        p += len;
    }
    *ret = rc == 0 && live;
    return rc;
}

/* ---- voting --------------------------------------------------------------------------------------- */

struct voting {
    const struct sl_run_vote *v;
    const char *host; /* whose engine this is */
    struct sl_arena a;
    struct sl_run_record run;
    enum sl_step_state state;
    bool known; /* the step has a row */
    struct sl_run_voted ret;
};

static int find_step(struct sl_db *db, struct voting *x, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT step, state FROM step WHERE run_id = ? AND key = ?"), "ss",
                         (const char *)x->run.id, x->v->step);
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc > 0) {
        int state = sl_sm_parse(&sl_step_machine, sl_rows_str(&rows, 1));
        x->known = state >= 0;
        x->state = state >= 0 ? (enum sl_step_state)state : SL_STEP_PENDING;
        x->ret.step = sl_rows_i64(&rows, 0);
    }
    return rc < 0 ? rc : 0;
}

static int vote_on_approval(struct sl_db *db, struct voting *x, struct sl_err *err)
{
    const struct sl_run_vote *v = x->v;
    struct sl_approval_bound now;
    struct sl_approval_vote vote = {.run_id = x->run.id,
                                    .step_key = v->step,
                                    .now = &now,
                                    .voter = v->voter,
                                    .auth = v->auth,
                                    .approve = v->approve,
                                    .reason = v->reason,
                                    .now_ms = v->now_ms};
    int rc = sl_approval_bound_of(db, x->run.id, v->step, &x->a, &now, err);
    rc = rc < 0 ? rc : sl_project_current(db, &x->a, &vote.project, NULL, err);
    if (rc < 0) {
        return rc;
    }
    now.code = x->run.code;
    sl_run_pipeline_digest(&x->run, &now.pipeline);
    rc = sl_approval_evidence(db, &now, &now.evidence, NULL, err);
    return rc < 0 ? rc : sl_approval_vote(db, &vote, &x->ret.vote, err);
}

static int record_decision(struct sl_db *db, struct voting *x, struct sl_err *err)
{
    const struct sl_run_vote *v = x->v;
    struct sl_actor_id id;
    int rc = sl_actor_id(db, v->voter, &id, err);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err, SL_SQL("INSERT INTO step_decision VALUES (?,?,?,?,?,?,?)"),
                             "ssisssi", (const char *)x->run.id, v->step, v->approve,
                             (const char *)id.id, v->auth, v->reason, v->now_ms);
    if (rc == -SL_EEXISTS) {
        return sl_err_set(err, SL_EREFUSED, "step %.100s was decided already", v->step);
    }
    if (rc < 0) {
        return rc;
    }
    const struct sl_audit_obj objs[] = {
        {"run", x->run.id, NULL},
        {"step", v->step, NULL},
        {"decision", v->approve ? "happened" : "did not happen", NULL},
    };
    const struct sl_audit_entry entry = {.ts_ms = v->now_ms,
                                         .act = SL_ACT_STEP_DECIDE,
                                         .actor = {id.id, "user", v->auth},
                                         .objs = objs,
                                         .n_objs = (int)SL_LEN(objs),
                                         .request = x->run.id,
                                         .reason = v->reason};
    x->ret.decision = true;
    (void)snprintf(x->ret.vote.text, sizeof(x->ret.vote.text),
                   "step %.100s: recorded that its effect %s", v->step,
                   v->approve ? "happened" : "did not happen");
    return sl_audit_append(db, &entry, NULL, err);
}

/** What happened outside is for those to say who run the engine, or who submitted the run. */
static int check_decision(const struct voting *x, struct sl_err *err)
{
    const struct sl_run_vote *v = x->v;
    if (!sl_streq(v->voter, x->run.actor) && !sl_streq(v->voter, x->host) &&
        !sl_streq(v->voter, "root")) {
        return sl_err_set(
            err, SL_EREFUSED,
            "what happened is for %.100s to say, who submitted the run, or for %.100s",
            x->run.actor, x->host);
    }
    const char *reason = v->reason != NULL ? v->reason : "";
    if (reason[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "say how you know, with --reason");
    }
    if (strlen(reason) > SL_APPROVAL_REASON_MAX) {
        return sl_err_set(err, SL_ELIMIT, "the reason is longer than %d bytes",
                          SL_APPROVAL_REASON_MAX);
    }
    return 0;
}

static int vote_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct voting *x = arg;
    int rc = sl_run_find(db, x->v->run, &x->a, &x->run, err);
    rc = rc < 0 ? rc : find_step(db, x, err);
    if (rc < 0) {
        return rc;
    }
    (void)snprintf(x->ret.run_id, sizeof(x->ret.run_id), "%s", x->run.id);
    (void)snprintf(x->ret.pipeline, sizeof(x->ret.pipeline), "%s", x->run.pipeline);
    x->ret.number = x->run.number;
    if (x->known && x->state == SL_STEP_NEEDS_DECISION) {
        rc = check_decision(x, err);
        return rc < 0 ? rc : record_decision(db, x, err);
    }
    return vote_on_approval(db, x, err);
}

int sl_run_vote(struct sl_workspace *ws, const struct sl_run_vote *v, struct sl_run_voted *ret,
                struct sl_err *err)
{
    struct voting *x = SL_NEW(struct voting);
    x->v = v;
    x->host = ws->actor;
    sl_arena_init(&x->a, 0);
    int rc = sl_ws_write(ws, vote_tx, x, err);
    if (rc == 0) {
        *ret = x->ret;
        rc = x->ret.decision ? 0 : sl_approval_voted_rc(&x->ret.vote, err);
    }
    sl_arena_release(&x->a);
    free(x);
    return rc;
}

/** The decision about a step of one run; *run_id becomes the run that it retried and only linked, or NULL. */
static int decided_here(struct sl_db *db, const char **run_id, const char *step_key,
                        struct sl_arena *a, struct sl_run_decided *ret, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(
        db, &rows, err,
        SL_SQL("SELECT d.happened, coalesce(p.name, d.actor), d.reason, CASE WHEN s.state ="
               " 'unchanged' THEN r.retry_of END FROM run r"
               " LEFT JOIN step_decision d ON d.run_id = r.id AND d.step_key = ?2"
               " LEFT JOIN principal p ON p.id = d.actor"
               " LEFT JOIN step s ON s.run_id = r.id AND s.key = ?2 WHERE r.id = ?1"),
        "ss", *run_id, step_key);
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc <= 0) {
        *run_id = NULL;
        return rc;
    }
    *run_id = sl_arena_strdup(a, sl_rows_text(&rows, 3));
    if (!sl_rows_is_null(&rows, 0)) {
        ret->what = sl_rows_i64(&rows, 0) != 0 ? SL_DECIDED_HAPPENED : SL_DECIDED_NOT_HAPPENED;
        ret->by = sl_arena_printf(a, "%s: %s", sl_rows_str(&rows, 1), sl_rows_str(&rows, 2));
    }
    return 0;
}

int sl_run_decided(struct sl_db *db, const char *run_id, const char *step_key, struct sl_arena *a,
                   struct sl_run_decided *ret, struct sl_err *err)
{
    struct sl_run_decided found = {.by = ""};
    int rc = 0;
    for (int i = 0; rc == 0 && run_id != NULL && found.what == SL_DECIDED_NOT && i < RETRIES_MAX;
         i++) {
        rc = decided_here(db, &run_id, step_key, a, &found, err);
    }
    if (rc == 0) {
        *ret = found;
    }
    return rc;
}
