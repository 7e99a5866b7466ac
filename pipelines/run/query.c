/* Read models of runs: see query.h. Thread: that of the connection. Must not: write. */
#include "core/base/base.h"

#include "pipelines/run/query.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/run/admit_store.h"
#include "pipelines/run/query_priv.h"
#include "pipelines/run/vote.h"

/* ---- shared (query_priv.h) ------------------------------------------------------------------------ */

void query_set_time(json_t *o, const char *name, int64_t ms)
{
    char text[SL_TIME_TEXT];
    char key[64];
    if (ms > 0) {
        (void)snprintf(key, sizeof(key), "%s_at", name);
        sl_json_set_str(o, key, sl_time_format(ms, text));
        (void)snprintf(key, sizeof(key), "%s_ms", name);
        sl_json_set_i64(o, key, ms);
    }
}

int query_explain_queued(struct sl_db *db, json_t *run, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(4096);
    if (!sl_streq(sl_json_str(run, "state", ""), "queued")) {
        return 0;
    }
    int rc = sl_admit_why(db, sl_json_str(run, "id", ""), &text, err);
    if (rc == 0 && text.len > 0) {
        sl_json_set_str(run, "reason", sl_buf_str(&text));
    }
    return rc;
}

/* ---- content -------------------------------------------------------------------------------------- */

int query_read_json(const struct sl_query *q, const struct sl_digest *digest, const char *what,
                    json_t **ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_QUERY_PLAN_MAX);
    int rc = sl_blob_read_all(q->blobs, digest, SL_QUERY_PLAN_MAX, &text, err);
    if (rc < 0) {
        return sl_err_wrap(err, "the recorded %s", what);
    }
    *ret = sl_json_parse(what, sl_buf_str(&text), text.len, err);
    return *ret != NULL ? 0 : -err->code;
}

/* ---- one run -------------------------------------------------------------------------------------- */

static void set_json_text(json_t *o, const char *key, const char *text)
{
    json_t *value = sl_json_parse(key, text, strlen(text), NULL);
    json_object_set_new(o, key, value != NULL ? value : json_object());
}

static void set_digest(json_t *o, const char *key, const struct sl_digest *digest)
{
    char hex[SL_DIGEST_HEX + 1];
    char text[SL_DIGEST_HEX + 16];
    (void)snprintf(text, sizeof(text), "sha256:%s", sl_digest_hex(digest, hex));
    sl_json_set_str(o, key, text);
}

static json_t *run_json(const struct sl_run_record *r)
{
    json_t *o = json_object();
    _cleanup_(free)
    char *name = sl_asprintf("%s#%lld", r->pipeline, (long long)r->number);
    bool final = sl_run_machine.states[r->state].final;
    sl_json_set_str(o, "id", r->id);
    sl_json_set_str(o, "name", name);
    sl_json_set_str(o, "pipeline", r->pipeline);
    sl_json_set_i64(o, "number", r->number);
    sl_json_set_str(o, "state", sl_sm_name(&sl_run_machine, (int)r->state));
    sl_json_set_str(o, "reason", r->reason);
    sl_json_set_bool(o, "final", final);
    if (final) {
        sl_json_set_i64(o, "exit_status", sl_run_exit_status(r->state, r->timed_out));
    }
    sl_json_set_str(o, "actor", r->actor);
    sl_json_set_str(o, "file", r->file);
    sl_json_set_str(o, "base_dir", r->base_dir);
    query_set_time(o, "created", r->created_ms);
    query_set_time(o, "started", r->started_ms);
    query_set_time(o, "ended", r->ended_ms);
    sl_json_set_str(o, "override_reason", r->override_reason);
    sl_json_set_str(o, "retry_of", r->retry_of);
    set_json_text(o, "params", r->params);
    set_json_text(o, "facts", r->facts);
    json_t *code = json_object();
    set_digest(code, "digest", &r->code);
    sl_json_set_str(code, "commit", r->code_commit);
    sl_json_set_bool(code, "dirty", r->code_dirty);
    json_object_set_new(o, "code", code);
    set_digest(o, "pipeline_digest", &r->spec);
    set_digest(o, "runtime_digest", &r->runtime);
    return o;
}

struct steps {
    json_t *list; /* by index in the plan */
    bool with_records;
};

static int overlay_step(const struct sl_step_row *row, void *data, struct sl_err *err)
{
    struct steps *s = data;
    (void)err;
    json_t *o = json_array_get(s->list, (size_t)row->step);
    if (o == NULL) { /* the plan could not be read: recorded rows alone */
        while (json_array_size(s->list) <= (size_t)row->step) {
            json_array_append_new(s->list, json_object());
        }
        o = json_array_get(s->list, (size_t)row->step);
        sl_json_set_str(o, "key", row->key);
        sl_json_set_str(o, "step", row->step_id);
    }
    sl_json_set_str(o, "state", sl_sm_name(&sl_step_machine, (int)row->state));
    sl_json_set_str(o, "reason", row->reason);
    sl_json_set_i64(o, "attempts", row->attempts);
    query_set_time(o, "started", row->started_ms);
    query_set_time(o, "ended", row->ended_ms);
    if (row->state == SL_STEP_BACKOFF) {
        query_set_time(o, "next_attempt", row->not_before_ms);
    }
    if (row->state == SL_STEP_AWAITING && row->not_before_ms > 0) {
        query_set_time(o, "until", row->not_before_ms);
    }
    sl_json_set_str(o, "from_run", row->from_run);
    if (row->has_key) {
        set_digest(o, "cache_key", &row->cache_key);
    }
    if (s->with_records && row->cache_record != NULL) {
        set_json_text(o, "cache_record", row->cache_record);
    }
    return 0;
}

static int add_attempt(const struct sl_attempt_row *row, void *data, struct sl_err *err)
{
    const struct steps *s = data;
    json_t *step = json_array_get(s->list, (size_t)row->step);
    json_t *list = json_object_get(step, "attempt_list");
    (void)err;
    if (list == NULL) {
        list = json_array();
        json_object_set_new(step, "attempt_list", list);
    }
    json_t *o = json_object();
    sl_json_set_str(o, "id", row->id);
    sl_json_set_i64(o, "number", row->number);
    sl_json_set_str(o, "state", sl_sm_name(&sl_attempt_machine, (int)row->state));
    if (row->class_name[0] != '\0') {
        sl_json_set_str(o, "class", row->class_name);
    }
    sl_json_set_str(o, "reason", row->reason);
    sl_json_set_i64(o, "exit_code", row->exit_code);
    sl_json_set_i64(o, "signal", row->signal);
    sl_json_set_bool(o, "oom", row->oom);
    query_set_time(o, "started", row->started_ms);
    query_set_time(o, "ended", row->ended_ms);
    sl_json_set_i64(o, "user_us", row->user_us);
    sl_json_set_i64(o, "system_us", row->system_us);
    sl_json_set_i64(o, "maxrss_kb", row->maxrss_kb);
    json_array_append_new(list, o);
    return 0;
}

static int add_outputs(struct sl_db *db, const char *run_id, json_t *list, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(
        db, &rows, err,
        SL_SQL("SELECT step, name, entity, entity_name, version, digest FROM step_output "
               "WHERE run_id = ? ORDER BY step, name"),
        "s", run_id);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_t *step = json_array_get(list, (size_t)sl_rows_i64(&rows, 0));
        json_t *outputs = json_object_get(step, "outputs");
        rc = 0;
        if (step == NULL) {
            continue;
        }
        if (outputs == NULL) {
            outputs = json_array();
            json_object_set_new(step, "outputs", outputs);
        }
        json_t *o = json_object();
        int64_t version = sl_rows_i64(&rows, 4);
        _cleanup_(free)
        char *digest = sl_asprintf("sha256:%s", sl_rows_str(&rows, 5));
        sl_json_set_str(o, "name", sl_rows_str(&rows, 1));
        sl_json_set_str(o, "digest", digest);
        if (version > 0) {
            _cleanup_(free)
            char *ref = sl_asprintf("%s@v%lld", sl_rows_str(&rows, 3), (long long)version);
            sl_json_set_str(o, "version", ref);
        }
        json_array_append_new(outputs, o);
    }
    return rc;
}

/** All steps as the plan has them, pending. An unreadable plan leaves the list empty. */
static json_t *planned_steps(const struct sl_query *q, const struct sl_run_record *r)
{
    json_t *plan = NULL;
    struct sl_err ignored = SL_ERR_INIT;
    if (query_read_json(q, &r->plan, "plan", &plan, &ignored) < 0) {
        return json_array();
    }
    json_t *steps = json_incref(json_object_get(plan, "steps"));
    size_t i = 0;
    json_t *step = NULL;
    json_array_foreach (steps, i, step) {
        sl_json_set_i64(step, "index", (int64_t)i);
        sl_json_set_str(step, "state", sl_sm_name(&sl_step_machine, SL_STEP_PENDING));
        sl_json_set_i64(step, "attempts", 0);
    }
    json_decref(plan);
    return steps != NULL ? steps : json_array();
}

static int load_run(const struct sl_query *q, const char *run, struct sl_arena *a,
                    struct sl_run_record *ret, struct sl_err *err)
{
    return sl_run_find(q->db, run, a, ret, err);
}

int sl_query_run(const struct sl_query *q, const char *run, bool with_records, json_t **ret,
                 struct sl_err *err)
{
    struct sl_arena a;
    struct sl_run_record r;
    sl_arena_init(&a, 0);
    int rc = load_run(q, run, &a, &r, err);
    if (rc == 0) {
        struct steps s = {planned_steps(q, &r), with_records};
        rc = sl_steps_load(q->db, r.id, overlay_step, &s, err);
        rc = rc < 0 ? rc : sl_attempts_load(q->db, r.id, -1, add_attempt, &s, err);
        rc = rc < 0 ? rc : add_outputs(q->db, r.id, s.list, err);
        if (rc == 0) {
            json_t *run_object = run_json(&r);
            json_object_set_new(run_object, "steps", json_incref(s.list));
            rc = query_explain_queued(q->db, run_object, err);
            *ret = rc == 0 ? json_incref(run_object) : NULL;
            json_decref(run_object);
        }
        json_decref(s.list);
    }
    sl_arena_release(&a);
    return rc;
}

/* ---- why ------------------------------------------------------------------------------------------ */

int sl_query_last_record(struct sl_db *db, const char *pipeline, const char *key,
                         const char *before, struct sl_arena *a, json_t **ret_record,
                         const char **ret_run, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(
        db, &rows, err,
        SL_SQL("SELECT r.pipeline, r.number, s.cache_record FROM run r "
               "JOIN step s ON s.run_id = r.id WHERE r.pipeline = ?1 AND s.key = ?2 AND "
               "s.cache_record IS NOT NULL AND (?3 IS NULL OR r.number < "
               "(SELECT number FROM run WHERE id = ?3)) ORDER BY r.number DESC LIMIT 1"),
        "sss", pipeline, key, before);
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc == 0) {
        return sl_err_set(err, SL_ENOTFOUND, "no earlier run of '%s' in %s", key, pipeline);
    }
    if (rc < 0) {
        return rc;
    }
    const char *text = sl_rows_str(&rows, 2);
    *ret_record = sl_json_parse("cache record", text, strlen(text), err);
    *ret_run =
        sl_arena_printf(a, "%s#%lld", sl_rows_str(&rows, 0), (long long)sl_rows_i64(&rows, 1));
    return *ret_record != NULL ? 0 : -SL_ECORRUPT;
}

static json_t *find_step(const json_t *run, const char *key, struct sl_err *err)
{
    const json_t *steps = json_object_get(run, "steps");
    SL_VEC(const char *) names = {0};
    json_t *found = NULL;
    json_t *step = NULL;
    size_t i = 0;
    json_array_foreach (steps, i, step) {
        const char *name = sl_json_str(step, "key", "");
        if (found == NULL && sl_streq(name, key)) {
            found = step;
        }
        sl_vec_push(&names, name);
    }
    if (found == NULL) {
        const char *near = names.n > 0 ? sl_nearest(key, names.items, names.n) : NULL;
        (void)sl_err_set(err, SL_ENOTFOUND, "run %s has no step '%.100s'%s%s%s",
                         sl_json_str(run, "name", ""), key, near != NULL ? "; did you mean '" : "",
                         near != NULL ? near : "", near != NULL ? "'?" : "");
    }
    sl_vec_free(&names);
    return found;
}

/** For a step that ran: what differs from the last time. */
static int explain_run(const struct sl_query *q, const json_t *run, const json_t *step, json_t *out,
                       struct sl_err *err)
{
    struct sl_arena a;
    json_auto_t *old = NULL;
    const char *old_run = NULL;
    const json_t *record = json_object_get(step, "cache_record");
    if (record == NULL) {
        sl_json_set_str(out, "text",
                        "it always runs: gates, deployments and rollbacks are never cached");
        return 0;
    }
    sl_arena_init(&a, 0);
    int rc =
        sl_query_last_record(q->db, sl_json_str(run, "pipeline", ""), sl_json_str(step, "key", ""),
                             sl_json_str(run, "id", ""), &a, &old, &old_run, err);
    if (rc == -SL_ENOTFOUND) {
        sl_json_set_str(out, "text", "it ran for the first time in this pipeline");
        rc = 0;
    } else if (rc == 0) {
        json_t *diff = sl_plan_diff_records(old, record);
        sl_run_envs_explain(q->blobs, diff);
        sl_json_set_str(out, "compared_with", old_run);
        sl_json_set_str(
            out, "text",
            json_array_size(diff) > 0
                ? "what goes into it differs from the run before"
                : "nothing differs from the run before: that one did not leave a result to reuse, "
                  "or the cache was off");
        json_object_set_new(out, "differences", diff);
    }
    sl_arena_release(&a);
    return rc;
}

static int explain(const struct sl_query *q, const json_t *run, const json_t *step, json_t *out,
                   struct sl_err *err)
{
    const char *reason = sl_json_str(step, "reason", "");
    const char *from = sl_json_str(step, "from_run", NULL);
    switch ((enum sl_step_state)sl_sm_parse(&sl_step_machine, sl_json_str(step, "state", ""))) {
    case SL_STEP_CACHED:
        sl_json_set_str(out, "text", reason);
        sl_json_set_str(out, "from_run", from);
        return 0;
    case SL_STEP_RUNNING:
    case SL_STEP_SUCCEEDED:
    case SL_STEP_BACKOFF:
    case SL_STEP_FAILED:
    case SL_STEP_CANCELLED:
    case SL_STEP_NEEDS_DECISION:
        return sl_json_i64(step, "attempts", 0) > 0 ? explain_run(q, run, step, out, err) : 0;
    case SL_STEP_PENDING:
        sl_json_set_str(out, "text",
                        sl_json_bool(run, "final", false) ? "the run ended before it was its turn"
                                                          : "it waits for its needs");
        return 0;
    case SL_STEP_AWAITING:
    case SL_STEP_UNCHANGED:
    case SL_STEP_SKIPPED:
    case SL_STEP_OMITTED:
    case SL_STEP_REFUSED:
    case SL_STEP_STATES: break;
    }
    sl_json_set_str(out, "text", reason);
    return 0;
}

int sl_query_why(const struct sl_query *q, const char *run_name, const char *key, json_t **ret,
                 struct sl_err *err)
{
    json_auto_t *run = NULL;
    int rc = sl_query_run(q, run_name, true, &run, err);
    const json_t *step = rc < 0 ? NULL : find_step(run, key, err);
    if (step == NULL) {
        return rc < 0 ? rc : -SL_ENOTFOUND;
    }
    json_auto_t *out = json_object();
    sl_json_set_str(out, "run", sl_json_str(run, "id", ""));
    sl_json_set_str(out, "run_name", sl_json_str(run, "name", ""));
    sl_json_set_str(out, "step", key);
    sl_json_set_i64(out, "index", sl_json_i64(step, "index", 0));
    sl_json_set_str(out, "state", sl_json_str(step, "state", ""));
    sl_json_set_str(out, "reason", sl_json_str(step, "reason", ""));
    sl_json_set_str(out, "condition", sl_json_str(step, "condition", NULL));
    rc = explain(q, run, step, out, err);
    if (rc == 0) {
        *ret = json_incref(out);
    }
    return rc;
}

/* ---- repeating ------------------------------------------------------------------------------------ */

/** {NAME: {"value","origin"}} as the list of a submission; defaults stay defaults. */
static json_t *params_list(const char *text)
{
    json_auto_t *all = sl_json_parse("params", text, strlen(text), NULL);
    json_t *list = json_array();
    const char *name = NULL;
    json_t *p = NULL;
    json_object_foreach (all, name, p) {
        const json_t *value = json_object_get(p, "value");
        const char *origin = sl_json_str(p, "origin", "recorded");
        if (sl_streq(origin, "default") || json_is_null(value)) {
            continue;
        }
        _cleanup_(free)
        char *canonical = sl_json_canonical(value);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "name", name, "value",
                            json_is_string(value) ? json_string_value(value) : canonical, "origin",
                            origin));
    }
    return list;
}

int sl_query_submission(const struct sl_query *q, const char *run, const char *actor, json_t **ret,
                        struct sl_err *err)
{
    struct sl_arena a;
    struct sl_run_record r;
    json_t *texts = NULL;
    char hex[SL_DIGEST_HEX + 1];
    sl_arena_init(&a, 0);
    int rc = load_run(q, run, &a, &r, err);
    if (rc == 0 && !sl_run_machine.states[r.state].final) {
        rc = sl_err_set(err, SL_ECONFLICT, "run %s#%lld is still %s; 'sluice resume' takes it up",
                        r.pipeline, (long long)r.number, sl_sm_name(&sl_run_machine, (int)r.state));
    }
    rc = rc < 0 ? rc : query_read_json(q, &r.spec, "pipeline", &texts, err);
    if (rc == 0) {
        *ret = json_pack("{s:O, s:s, s:O, s:o, s:s, s:s, s:b, s:s, s:s, s:b}", "main",
                         json_object_get(texts, "main"), "base_dir", r.base_dir, "files",
                         json_object_get(texts, "files"), "params", params_list(r.params), "code",
                         sl_digest_hex(&r.code, hex), "code_commit", r.code_commit, "code_dirty",
                         r.code_dirty, "actor", actor, "retry_of", r.id, "no_cache", 0);
        rc = *ret != NULL ? 0 : sl_err_set(err, SL_ECORRUPT, "the recorded pipeline is malformed");
        sl_json_set_str(*ret, "code_author", sl_run_code_author(&r, &a));
    }
    json_decref(texts);
    sl_arena_release(&a);
    return rc;
}
