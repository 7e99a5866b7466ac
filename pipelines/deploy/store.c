/**
 * Rows of targets and deployments, and the claim that numbers and fences them.
 *
 * Thread: that of the connection. Must not: touch files or run commands.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/steps/verdict.h"

static const char *const migrations[] = {
    "CREATE TABLE target("
    "  name TEXT PRIMARY KEY,"
    "  path TEXT NOT NULL UNIQUE,"
    "  spec TEXT NOT NULL,"
    "  generation INTEGER NOT NULL,"
    "  live_id TEXT"
    ") STRICT;"
    "CREATE TABLE deployment("
    "  seq INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  target TEXT NOT NULL REFERENCES target(name),"
    "  generation INTEGER NOT NULL,"
    "  kind TEXT NOT NULL CHECK (kind IN ('deploy', 'rollback')),"
    "  state TEXT NOT NULL,"
    "  entity TEXT NOT NULL,"
    "  number INTEGER NOT NULL,"
    "  digest TEXT NOT NULL,"
    "  release TEXT NOT NULL,"
    "  previous_id TEXT,"
    "  run_id TEXT,"
    "  attempt_id TEXT UNIQUE,"
    "  actor TEXT NOT NULL,"
    "  verdict_id TEXT,"
    "  override_reason TEXT,"
    "  alias TEXT,"
    "  alias_from INTEGER,"
    "  reason TEXT,"
    "  note TEXT,"
    "  created_ms INTEGER NOT NULL,"
    "  flipped_ms INTEGER,"
    "  live_ms INTEGER,"
    "  ended_ms INTEGER,"
    "  UNIQUE (target, generation)"
    ") STRICT;"
    "CREATE INDEX deployment_open ON deployment(target, seq)"
    "  WHERE state NOT IN ('live', 'superseded', 'rolled_back', 'failed');",
    "ALTER TABLE deployment ADD COLUMN approval_id TEXT;",
};

const struct sl_schema sl_deploy_schema = {
    .room = "deploy", .migrations = migrations, .n = SL_LEN(migrations)};

const char *sl_deploy_digest(const struct sl_digest *d, char out[SL_DEPLOY_DIGEST])
{
    char hex[SL_DIGEST_HEX + 1];
    (void)snprintf(out, SL_DEPLOY_DIGEST, "sha256:%s", sl_digest_hex(d, hex));
    return out;
}

struct sl_artifact sl_deployment_version(const struct sl_deployment *d)
{
    return (struct sl_artifact){
        .entity = SL_ENT_MODEL, .name = d->entity, .version = d->number, .digest = d->digest};
}

int64_t sl_deploy_now(const struct sl_deploy_world *w)
{
    const struct sl_env *env = w->promote.env != NULL ? w->promote.env : &sl_env_real;
    return env->now_ms(env->data);
}

/* ---- reading -------------------------------------------------------------------------------------- */

#define COPY(field, column)                                                                        \
    (void)snprintf((field), sizeof(field), "%s", sl_rows_str(rows, (column)))

void sl_deployment_fill(struct sl_rows *rows, struct sl_deployment *ret)
{
    struct sl_deployment d = {.generation = sl_rows_i64(rows, 2),
                              .is_rollback = sl_streq(sl_rows_str(rows, 3), "rollback"),
                              .state = sl_sm_parse(&sl_deploy_machine, sl_rows_str(rows, 4)),
                              .number = sl_rows_i64(rows, 6),
                              .created_ms = sl_rows_i64(rows, 17),
                              .flipped_ms = sl_rows_i64(rows, 18),
                              .was_live = !sl_rows_is_null(rows, 19)};
    COPY(d.id, 0);
    COPY(d.target, 1);
    COPY(d.entity, 5);
    (void)sl_digest_parse(sl_rows_str(rows, 7), &d.digest);
    COPY(d.release, 8);
    COPY(d.previous_id, 9);
    COPY(d.run_id, 10);
    COPY(d.attempt_id, 11);
    COPY(d.actor, 12);
    COPY(d.verdict_id, 13);
    COPY(d.alias, 14);
    COPY(d.reason, 15);
    COPY(d.note, 16);
    COPY(d.approval_id, 20);
    SL_ASSERT(d.state >= 0);
    *ret = d;
}

int sl_deployment_load(struct sl_db *db, const char *id, struct sl_deployment *ret,
                       struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT " SL_DEPLOYMENT_COLUMNS " FROM deployment WHERE id = ?"),
                         "s", id);
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc == 0) {
        return sl_err_set(err, SL_ENOTFOUND, "there is no deployment '%s'", id);
    }
    if (rc < 0) {
        return rc;
    }
    sl_deployment_fill(&rows, ret);
    return 0;
}

int sl_deployment_by_attempt(struct sl_db *db, const char *attempt_id, struct sl_deployment *ret,
                             bool *ret_found, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc =
        sl_db_query(db, &rows, err,
                    SL_SQL("SELECT " SL_DEPLOYMENT_COLUMNS " FROM deployment WHERE attempt_id = ?"),
                    "s", attempt_id);
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_found = rc > 0;
    if (rc > 0) {
        sl_deployment_fill(&rows, ret);
    }
    return 0;
}

int sl_target_load(struct sl_db *db, const char *name, struct sl_arena *a,
                   struct sl_target_row *ret, struct sl_err *err)
{
    struct sl_target_row row = {0};
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT generation, live_id, spec FROM target WHERE name = ?"), "s",
                         name);
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (rc > 0) {
        row.exists = true;
        row.generation = sl_rows_i64(&rows, 0);
        (void)snprintf(row.live_id, sizeof(row.live_id), "%s", sl_rows_str(&rows, 1));
        row.spec = sl_arena_strdup(a, sl_rows_str(&rows, 2));
    }
    *ret = row;
    return 0;
}

/* ---- the claim --------------------------------------------------------------------------------------- */

/** The execution that is at work on the target, if any. */
static int load_open(struct sl_db *db, const char *target, struct sl_deployment *ret,
                     bool *ret_found, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT " SL_DEPLOYMENT_COLUMNS
                                " FROM deployment WHERE target = ? AND state NOT IN"
                                " ('live', 'superseded', 'rolled_back', 'failed')"
                                " ORDER BY seq DESC LIMIT 1"),
                         "s", target);
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_found = rc > 0;
    if (rc > 0) {
        sl_deployment_fill(&rows, ret);
    }
    return 0;
}

/** A rollback outranks an execution without effect so far; everything else has to wait. */
static int fence_older(struct sl_db *db, const struct sl_claim *c, struct sl_err *err)
{
    struct sl_deployment open;
    bool found = false;
    int rc = load_open(db, c->d.target, &open, &found, err);
    if (rc < 0 || !found) {
        return rc;
    }
    bool harmless = open.state == SL_DEPLOY_REQUESTED || open.state == SL_DEPLOY_PREPARING ||
                    open.state == SL_DEPLOY_WARMING;
    if (!c->d.is_rollback || !harmless) {
        return sl_err_set(err, SL_EBUSY, "deployment %.8s of %s@v%lld is at work on target %s (%s)",
                          open.id, open.entity, (long long)open.number, c->d.target,
                          sl_sm_name(&sl_deploy_machine, open.state));
    }
    int64_t now_ms = c->d.created_ms;
    int from = open.state;
    open.state = SL_DEPLOY_FAILED;
    (void)snprintf(open.reason, sizeof(open.reason), "overtaken by a rollback");
    rc = sl_db_exec(db, err,
                    SL_SQL("UPDATE deployment SET state = 'failed', reason = ?, ended_ms = ?"
                           " WHERE id = ?"),
                    "sis", (const char *)open.reason, now_ms, (const char *)open.id);
    if (rc == 0) {
        rc = sl_deploy_fact_event(db, &open, from, now_ms, err);
    }
    return rc < 0 ? rc : sl_deploy_fact_audit(db, &open, SL_ACT_DEPLOYMENT_FAIL, now_ms, err);
}

static int save_target(struct sl_db *db, const struct sl_claim *c, struct sl_err *err)
{
    int rc = 0;
    if (c->spec != NULL) {
        rc =
            sl_db_exec(db, err,
                       SL_SQL("INSERT INTO target(name, path, spec, generation) VALUES (?, ?, ?, 0)"
                              " ON CONFLICT(name) DO UPDATE SET path = excluded.path,"
                              " spec = excluded.spec"),
                       "sss", (const char *)c->d.target, c->path, c->spec);
    }
    if (rc == -SL_EEXISTS) {
        return sl_err_set(err, SL_EINVAL, "target %s: the directory %s belongs to another target",
                          c->d.target, c->path);
    }
    if (rc == 0) {
        rc = sl_db_exec(db, err,
                        SL_SQL("UPDATE target SET generation = generation + 1 WHERE name = ?"), "s",
                        (const char *)c->d.target);
    }
    return rc;
}

static int record_override(struct sl_db *db, struct sl_claim *c, struct sl_err *err)
{
    if (c->override_reason == NULL) {
        return 0;
    }
    const struct sl_override o = {.entity = c->d.entity,
                                  .number = c->d.number,
                                  .digest = c->d.digest,
                                  .reason = c->override_reason,
                                  .actor = c->actor,
                                  .run_id = c->d.run_id[0] != '\0' ? c->d.run_id : NULL,
                                  .now_ms = c->d.created_ms,
                                  .env = c->w->promote.env};
    return sl_verdict_override(db, &o, c->d.verdict_id, err);
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static int insert_row(struct sl_db *db, const struct sl_claim *c, struct sl_err *err)
{
    const struct sl_deployment *d = &c->d;
    char digest[SL_DEPLOY_DIGEST];
    return sl_db_exec(
        db, err,
        SL_SQL("INSERT INTO deployment(id, target, generation, kind, state, entity, number, digest,"
               " release, previous_id, run_id, attempt_id, actor, verdict_id, override_reason,"
               " alias, reason, created_ms, approval_id)"
               " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
        "ssisssissssssssssis", (const char *)d->id, (const char *)d->target, d->generation,
        d->is_rollback ? "rollback" : "deploy", sl_sm_name(&sl_deploy_machine, d->state),
        (const char *)d->entity, d->number, sl_deploy_digest(&d->digest, digest),
        (const char *)d->release, or_null(d->previous_id), or_null(d->run_id),
        or_null(d->attempt_id), (const char *)d->actor, or_null(d->verdict_id), c->override_reason,
        or_null(d->alias), or_null(d->reason), d->created_ms, or_null(d->approval_id));
}

static int number_it(struct sl_db *db, struct sl_claim *c, struct sl_err *err)
{
    struct sl_deployment *d = &c->d;
    int rc = sl_db_get_i64(db, &d->generation, err,
                           SL_SQL("SELECT generation FROM target WHERE name = ?"), "s",
                           (const char *)d->target);
    if (rc == 0 && d->release[0] == '\0') {
        char hex[SL_DIGEST_HEX + 1];
        (void)snprintf(d->release, sizeof(d->release), "%.12s-g%lld",
                       sl_digest_hex(&d->digest, hex), (long long)d->generation);
    }
    return rc;
}

static int claim_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct sl_claim *c = arg;
    struct sl_arena a;
    struct sl_target_row row;
    sl_arena_init(&a, 0);
    int rc = sl_target_load(db, c->d.target, &a, &row, err);
    sl_arena_release(&a);
    if (rc < 0) {
        return rc;
    }
    if (c->expected_live != NULL && !sl_streq(row.live_id, c->expected_live)) {
        c->not_live = true;
        return 0;
    }
    (void)snprintf(c->d.previous_id, sizeof(c->d.previous_id), "%s", row.live_id);
    struct sl_actor_id actor;
    rc = sl_actor_id(db, c->actor, &actor, err);
    if (rc < 0) {
        return rc;
    }
    (void)memcpy(c->d.actor, actor.id, sizeof(c->d.actor));
    if ((rc = fence_older(db, c, err)) < 0 || (rc = save_target(db, c, err)) < 0 ||
        (rc = number_it(db, c, err)) < 0 || (rc = record_override(db, c, err)) < 0 ||
        (rc = insert_row(db, c, err)) < 0) {
        return rc;
    }
    rc = sl_deploy_fact_audit(db, &c->d, SL_ACT_DEPLOYMENT_START, c->d.created_ms, err);
    return rc < 0 ? rc : sl_deploy_fact_event(db, &c->d, -1, c->d.created_ms, err);
}

int sl_deploy_claim(struct sl_claim *c, struct sl_err *err)
{
    (void)sl_id_new(c->w->promote.env, c->d.id);
    c->d.created_ms = sl_deploy_now(c->w);
    c->d.state = SL_DEPLOY_REQUESTED;
    return c->w->promote.write(c->w->promote.data, claim_tx, c, err);
}
