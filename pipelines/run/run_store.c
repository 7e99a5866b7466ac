/* Writing runs, steps, attempts, outputs, cache entries: see run_store.h. */
#include "core/base/base.h"

#include "pipelines/run/run_store.h"

#include <stdio.h>

#include "core/blob/blob_ref.h"
#include "pipelines/run/schemas.h"

/* Parameters of runs as rows, by which they are found: texts as they are, all else as JSON. */
#define PARAM_JSON "CASE j.type WHEN 'object' THEN j.value END"
#define PARAM_ROWS                                                                                 \
    "SELECT j.key, CASE json_type(" PARAM_JSON ", '$.value') WHEN 'text' THEN "                    \
    "j.value ->> '$.value' ELSE j.value -> '$.value' END, r.created_ms, r.id "                     \
    "FROM run r, json_each(r.params) j WHERE json_type(" PARAM_JSON ", '$.value') IS NOT NULL "    \
    "AND length(j.value) <= 1000" /* SL_RUN_PARAM_INDEX_MAX */

static const char *const migrations[] = {
    "CREATE TABLE run("
    " id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL,"
    " reason TEXT NOT NULL DEFAULT '', file TEXT NOT NULL, base_dir TEXT NOT NULL,"
    " actor TEXT NOT NULL, params TEXT NOT NULL, facts TEXT NOT NULL, spec TEXT NOT NULL,"
    " plan TEXT NOT NULL, code TEXT NOT NULL, runtime TEXT NOT NULL, code_commit TEXT NOT NULL,"
    " code_dirty INTEGER NOT NULL, override_reason TEXT, retry_of TEXT, n_steps INTEGER NOT NULL,"
    " timed_out INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL, started_ms INTEGER,"
    " ended_ms INTEGER) STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX run_number ON run(pipeline, number);"
    "CREATE INDEX run_created ON run(created_ms);"
    "CREATE INDEX run_live ON run(created_ms) WHERE ended_ms IS NULL;"
    "CREATE TABLE step("
    " run_id TEXT NOT NULL, step INTEGER NOT NULL, key TEXT NOT NULL, step_id TEXT NOT NULL,"
    " state TEXT NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, not_before_ms INTEGER,"
    " cache_key TEXT, cache_record TEXT, from_run TEXT, from_step INTEGER, started_ms INTEGER,"
    " ended_ms INTEGER, PRIMARY KEY(run_id, step)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE step_output("
    " run_id TEXT NOT NULL, step INTEGER NOT NULL, name TEXT NOT NULL, entity INTEGER NOT NULL,"
    " entity_name TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL,"
    " PRIMARY KEY(run_id, step, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE attempt("
    " id TEXT PRIMARY KEY, run_id TEXT NOT NULL, step INTEGER NOT NULL, number INTEGER NOT NULL,"
    " state TEXT NOT NULL, class TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',"
    " exit_code INTEGER, signal INTEGER, oom INTEGER, identity TEXT NOT NULL, started_ms INTEGER,"
    " ended_ms INTEGER, user_us INTEGER, system_us INTEGER, maxrss_kb INTEGER) STRICT, WITHOUT "
    "ROWID;"
    "CREATE UNIQUE INDEX attempt_step ON attempt(run_id, step, number);"
    "CREATE TABLE cache("
    " key TEXT PRIMARY KEY, run_id TEXT NOT NULL, step INTEGER NOT NULL, created_ms INTEGER NOT "
    "NULL)"
    " STRICT, WITHOUT ROWID;",
    "ALTER TABLE run ADD COLUMN conc_group TEXT;"
    "ALTER TABLE run ADD COLUMN conc_limit INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE run ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE step ADD COLUMN timed_out INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX run_group ON run(conc_group, created_ms) WHERE ended_ms IS NULL;",
    "ALTER TABLE attempt ADD COLUMN way TEXT;",
    /* what lists ask, so that they need not read the steps */
    "CREATE TABLE run_count("
    " run_id TEXT PRIMARY KEY, n_ended INTEGER NOT NULL, n_cached INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "INSERT INTO run_count SELECT id, 0, 0 FROM run;"
    "UPDATE run_count SET n_ended = c.n, n_cached = c.m FROM (SELECT run_id AS r, count(ended_ms)"
    " AS n, sum(state = 'cached') AS m FROM step GROUP BY run_id) c WHERE c.r = run_id;"
    "CREATE TABLE run_param("
    " name TEXT NOT NULL, value TEXT NOT NULL, created_ms INTEGER NOT NULL, run_id TEXT NOT NULL,"
    " PRIMARY KEY(name, value, created_ms, run_id)) STRICT, WITHOUT ROWID;"
    "INSERT INTO run_param " PARAM_ROWS ";"
    "CREATE INDEX run_state ON run(state, created_ms);"
    "CREATE INDEX run_actor ON run(actor, created_ms);"
    "CREATE INDEX run_pipeline ON run(pipeline, created_ms);"
    "CREATE INDEX run_took ON run(ended_ms - started_ms);"
    "CREATE INDEX step_output_version ON step_output(entity, entity_name, version);",
};
const struct sl_schema sl_run_schema = {"run", migrations, (int)SL_LEN(migrations)};

static int one_row(struct sl_db *db, const char *what, const char *id, struct sl_err *err)
{
    if (sl_db_changes(db) == 1) {
        return 0;
    }
    return sl_err_set(err, SL_ECONFLICT, "%s %s is not in the state it was thought to be in", what,
                      id);
}

/* ---- runs ---------------------------------------------------------------------------------------- */

static int keep_content(struct sl_db *db, const struct sl_run_record *r, struct sl_err *err)
{
    const struct sl_blob_ref refs[] = {
        {"run", r->id, "pipeline", r->spec},
        {"run", r->id, "plan", r->plan},
        {"run", r->id, "code", r->code},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < SL_LEN(refs); i++) {
        rc = sl_blob_ref_add(db, &refs[i], err);
    }
    return rc;
}

int sl_run_insert(struct sl_db *db, struct sl_run_record *r, struct sl_err *err)
{
    char spec[SL_DIGEST_HEX + 1];
    char plan[SL_DIGEST_HEX + 1];
    char code[SL_DIGEST_HEX + 1];
    char runtime[SL_DIGEST_HEX + 1];
    int rc =
        sl_db_get_i64(db, &r->number, err,
                      SL_SQL("SELECT coalesce(max(number), 0) + 1 FROM run WHERE pipeline = ?"),
                      "s", r->pipeline);
    rc = rc < 0 ? rc
                : sl_db_exec(
                      db, err,
                      SL_SQL("INSERT INTO run(id, pipeline, number, state, file, base_dir, actor, "
                             "params, facts, spec, plan, code, runtime, code_commit, code_dirty, "
                             "override_reason, retry_of, n_steps, created_ms, conc_group, "
                             "conc_limit, priority) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                             "?, ?, ?, ?, ?, ?, ?, ?, ?)"),
                      "ssisssssssssssissiisii", r->id, r->pipeline, r->number,
                      sl_sm_name(&sl_run_machine, (int)r->state), r->file, r->base_dir, r->actor,
                      r->params, r->facts, sl_digest_hex(&r->spec, spec),
                      sl_digest_hex(&r->plan, plan), sl_digest_hex(&r->code, code),
                      sl_digest_hex(&r->runtime, runtime), r->code_commit, r->code_dirty ? 1 : 0,
                      r->override_reason, r->retry_of, r->n_steps, r->created_ms, r->group,
                      r->group_limit, r->priority);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err, SL_SQL("INSERT INTO run_count VALUES(?, 0, 0)"), "s", r->id);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err, SL_SQL("INSERT INTO run_param " PARAM_ROWS " AND r.id = ?"),
                             "s", r->id);
    return rc < 0 ? rc : keep_content(db, r, err);
}

int sl_run_move(struct sl_db *db, const struct sl_run_move *m, struct sl_err *err)
{
    bool final = sl_run_machine.states[m->to].final;
    int rc = sl_db_exec(
        db, err,
        SL_SQL("UPDATE run SET state = ?1, timed_out = ?3, "
               "reason = CASE WHEN ?2 = '' AND state = 'cancelling' THEN reason ELSE ?2 END, "
               "started_ms = CASE WHEN started_ms IS NULL THEN ?4 ELSE started_ms END, "
               "ended_ms = CASE WHEN ?5 THEN ?4 ELSE NULL END WHERE id = ?6 AND state = ?7"),
        "ssiiiss", sl_sm_name(&sl_run_machine, (int)m->to), m->reason, m->timed_out ? 1 : 0,
        m->ts_ms, final ? 1 : 0, m->id, sl_sm_name(&sl_run_machine, (int)m->from));
    return rc < 0 ? rc : one_row(db, "run", m->id, err);
}

/* ---- steps --------------------------------------------------------------------------------------- */

static int insert_step(struct sl_db *db, const struct sl_step_move *m, struct sl_err *err)
{
    const struct sl_jentry *e = m->entry;
    bool final = sl_step_state_final((enum sl_step_state)e->to);
    char key[SL_DIGEST_HEX + 1];
    return sl_db_exec(
        db, err,
        SL_SQL(
            "INSERT INTO step(run_id, step, key, step_id, state, reason, attempts, not_before_ms, "
            "cache_key, cache_record, from_run, from_step, started_ms, ended_ms, timed_out) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?)"),
        "sissssiisssiiii", m->run_id, (int64_t)m->step, m->key, m->step_id,
        sl_sm_name(&sl_step_machine, e->to), e->reason, e->attempts, e->not_before_ms,
        e->has_key ? sl_digest_hex(&e->key, key) : NULL, e->has_key ? e->key_record : NULL,
        e->from_run[0] != '\0' ? e->from_run : NULL, e->from_step, e->ts_ms, final ? e->ts_ms : 0,
        e->timed_out ? 1 : 0);
}

static int update_step(struct sl_db *db, const struct sl_step_move *m, struct sl_err *err)
{
    const struct sl_jentry *e = m->entry;
    bool final = sl_step_state_final((enum sl_step_state)e->to);
    char key[SL_DIGEST_HEX + 1];
    int rc = sl_db_exec(
        db, err,
        SL_SQL("UPDATE step SET state = ?, reason = ?, attempts = ?, not_before_ms = ?, "
               "cache_key = coalesce(?, cache_key), cache_record = coalesce(?, cache_record), "
               "from_run = ?, from_step = ?, ended_ms = nullif(?, 0), timed_out = ? "
               "WHERE run_id = ? AND step = ? AND state = ?"),
        "ssiisssiiisis", sl_sm_name(&sl_step_machine, e->to), e->reason, e->attempts,
        e->not_before_ms, e->has_key ? sl_digest_hex(&e->key, key) : NULL,
        e->has_key ? e->key_record : NULL, e->from_run[0] != '\0' ? e->from_run : NULL,
        e->from_step, final ? e->ts_ms : 0, e->timed_out ? 1 : 0, m->run_id, (int64_t)m->step,
        sl_sm_name(&sl_step_machine, e->from));
    return rc < 0 ? rc : one_row(db, "step", m->key, err);
}

/** A row of its own: that of the run is long, and steps end often. */
static int count_ended(struct sl_db *db, const struct sl_step_move *m, struct sl_err *err)
{
    const struct sl_jentry *e = m->entry;
    int ended = (int)sl_step_state_final((enum sl_step_state)e->to) -
                (int)sl_step_state_final((enum sl_step_state)e->from);
    int cached = (int)(e->to == SL_STEP_CACHED) - (int)(e->from == SL_STEP_CACHED);
    return ended == 0 && cached == 0
               ? 0
               : sl_db_exec(db, err,
                            SL_SQL("UPDATE run_count SET n_ended = n_ended + ?, "
                                   "n_cached = n_cached + ? WHERE run_id = ?"),
                            "iis", ended, cached, m->run_id);
}

int sl_step_store_move(struct sl_db *db, const struct sl_step_move *m, struct sl_err *err)
{
    int rc = m->entry->from == SL_STEP_PENDING ? insert_step(db, m, err) : update_step(db, m, err);
    return rc < 0 ? rc : count_ended(db, m, err);
}

/* ---- attempts ------------------------------------------------------------------------------------ */

int sl_attempt_store_start(struct sl_db *db, const struct sl_core_attempt *a, const char *identity,
                           int64_t ts_ms, struct sl_err *err)
{
    return sl_db_exec(
        db, err,
        SL_SQL("INSERT INTO attempt(id, run_id, step, number, state, identity, started_ms) "
               "VALUES(?, ?, ?, ?, ?, ?, ?)"),
        "ssiissi", a->id, a->run->id, (int64_t)a->step, a->number,
        sl_sm_name(&sl_attempt_machine, SL_ATTEMPT_STARTED), identity, ts_ms);
}

int sl_attempt_store_preempt(struct sl_db *db, const struct sl_core_attempt *a, const char *way,
                             struct sl_err *err)
{
    int rc =
        sl_db_exec(db, err, SL_SQL("UPDATE attempt SET way = ? WHERE id = ? AND state = 'started'"),
                   "ss", way, a->id);
    return rc < 0 ? rc : one_row(db, "attempt", a->id, err);
}

int sl_attempt_store_end(struct sl_db *db, const struct sl_core_attempt *a,
                         enum sl_attempt_state to, struct sl_err *err)
{
    const struct sl_outcome *o = &a->outcome;
    int rc = sl_db_exec(
        db, err,
        SL_SQL("UPDATE attempt SET state = ?, class = ?, reason = ?, exit_code = ?, signal = ?, "
               "oom = ?, "
               "started_ms = CASE WHEN ?7 > 0 THEN ?7 ELSE started_ms END, ended_ms = ?8, user_us "
               "= ?9, "
               "system_us = ?10, maxrss_kb = ?11 WHERE id = ?12 AND state = 'started'"),
        "sssiiiiiiiis", sl_sm_name(&sl_attempt_machine, (int)to),
        o->ok ? "" : sl_fail_class_names[o->fail], o->reason, o->exit_code, o->signal,
        o->oom ? 1 : 0, o->started_ms, o->ended_ms, o->user_us, o->system_us, o->maxrss_kb, a->id);
    return rc < 0 ? rc : one_row(db, "attempt", a->id, err);
}

/* ---- outputs and cache --------------------------------------------------------------------------- */

int sl_output_store(struct sl_db *db, const char *run_id, uint32_t step, const char *name,
                    const struct sl_artifact *artifact, struct sl_err *err)
{
    char hex[SL_DIGEST_HEX + 1];
    char role[SL_SPEC_NAME_MAX + 40];
    snprintf(role, sizeof(role), "output:%u:%s", step, name);
    struct sl_blob_ref ref = {"run", run_id, role, artifact->digest};
    int rc = sl_db_exec(db, err,
                        SL_SQL("INSERT OR REPLACE INTO step_output(run_id, step, name, entity, "
                               "entity_name, version, digest) VALUES(?, ?, ?, ?, ?, ?, ?)"),
                        "sisisis", run_id, (int64_t)step, name, (int)artifact->entity,
                        artifact->name, artifact->version, sl_digest_hex(&artifact->digest, hex));
    return rc < 0 ? rc : sl_blob_ref_add(db, &ref, err);
}

int sl_cache_put(struct sl_db *db, const struct sl_digest *key, const char *run_id, uint32_t step,
                 int64_t ts_ms, struct sl_err *err)
{
    char hex[SL_DIGEST_HEX + 1];
    return sl_db_exec(db, err,
                      SL_SQL("INSERT OR REPLACE INTO cache(key, run_id, step, created_ms) "
                             "VALUES(?, ?, ?, ?)"),
                      "ssii", sl_digest_hex(key, hex), run_id, (int64_t)step, ts_ms);
}

static int read_hit(struct sl_db *db, struct sl_rows *rows, struct sl_cache_hit *ret,
                    struct sl_err *err)
{
    (void)db;
    int rc = sl_rows_next(rows, err);
    if (rc <= 0) {
        return rc < 0 ? rc : -SL_ENOTFOUND;
    }
    snprintf(ret->run_id, sizeof(ret->run_id), "%s", sl_rows_str(rows, 0));
    ret->step = sl_rows_i64(rows, 1);
    ret->run_number = sl_rows_i64(rows, 2);
    ret->created_ms = sl_rows_i64(rows, 3);
    return 0;
}

int sl_cache_get(struct sl_db *db, const struct sl_digest *key, struct sl_cache_hit *ret,
                 struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    char hex[SL_DIGEST_HEX + 1];
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT c.run_id, c.step, r.number, c.created_ms FROM cache c "
                                "JOIN run r ON r.id = c.run_id WHERE c.key = ?"),
                         "s", sl_digest_hex(key, hex));
    return rc < 0 ? rc : read_hit(db, &rows, ret, err);
}

int sl_reuse_get(struct sl_db *db, const char *run_id, const char *key,
                 const struct sl_digest *cache_key, struct sl_cache_hit *ret, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    char hex[SL_DIGEST_HEX + 1];
    int rc =
        sl_db_query(db, &rows, err,
                    SL_SQL("SELECT s.run_id, s.step, r.number, s.ended_ms FROM step s "
                           "JOIN run r ON r.id = s.run_id WHERE s.run_id = ? AND s.key = ? AND "
                           "s.cache_key = ? AND s.state IN ('succeeded', 'cached')"),
                    "sss", run_id, key, sl_digest_hex(cache_key, hex));
    return rc < 0 ? rc : read_hit(db, &rows, ret, err);
}
