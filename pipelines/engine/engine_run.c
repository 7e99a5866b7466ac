/* Submissions and recorded runs become live runs. Thread: submissions are read on a lane; the rest on the
 * loop, or before it runs. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit.h"
#include "core/base/log.h"
#include "core/bus/bus.h"
#include "core/lineage/lineage.h"
#include "pipelines/run/admit_store.h"
#include "pipelines/run/plan_store.h"
#include "pipelines/run/submission.h"

struct eng_run *eng_run_of(struct sl_core_run *r)
{
    return SL_CONTAINER_OF(r, struct eng_run, core);
}

void eng_bound_free(struct eng_bound *b)
{
    if (b != NULL) {
        sl_bound_step_release(&b->step);
        json_decref(b->message);
        sl_arena_release(&b->arena);
        free(b);
    }
}

static struct eng_run *run_new(struct sl_engine *e)
{
    struct eng_run *r = SL_NEW(struct eng_run);
    r->e = e;
    sl_arena_init(&r->arena, 0);
    sl_manifest_init(&r->code);
    sl_fanout_init(&r->fanouts);
    r->core.arena = &r->arena;
    return r;
}

void eng_run_free(struct eng_run *r)
{
    if (r == NULL) {
        return;
    }
    for (uint32_t i = 0; r->bound != NULL && i < r->core.plan->n_steps; i++) {
        eng_bound_free(r->bound[i]);
    }
    free(r->bound);
    for (size_t i = 0; r->code_of != NULL && i < r->spec->n_steps; i++) {
        sl_manifest_release(&r->code_of[i]);
    }
    free(r->code_of);
    sl_manifest_release(&r->code);
    sl_fanout_release(&r->fanouts);
    sl_arena_release(&r->arena);
    free(r);
}

const struct sl_manifest *eng_run_code(const struct eng_run *r, uint32_t step)
{
    const struct sl_step *spec = r->core.plan->steps[step].spec;
    return spec->n_code > 0 ? &r->code_of[spec - r->spec->steps] : &r->code;
}

/* ---- common: from texts and a code digest to a run ------------------------------------------------- */

static int load_code(struct eng_run *r, const struct sl_digest *code, struct sl_err *err)
{
    int rc = sl_ws_manifest(r->e->ws->blobs, code, &r->code, err);
    if (rc < 0) {
        return sl_err_wrap(err, "the code snapshot");
    }
    r->code_of = sl_calloc(r->spec->n_steps + 1, sizeof(*r->code_of));
    for (size_t i = 0; i < r->spec->n_steps; i++) {
        const struct sl_step *s = &r->spec->steps[i];
        sl_manifest_init(&r->code_of[i]);
        if (s->n_code == 0) {
            continue;
        }
        rc = sl_snapshot_select(&r->code, s->code, s->n_code, &r->code_of[i], err);
        rc = rc < 0 ? rc : sl_ws_put_manifest(r->e->ws->blobs, &r->code_of[i], err);
        if (rc < 0) {
            return sl_err_wrap(err, "step '%s'", s->id);
        }
    }
    return 0;
}

static void adopt_plan(struct eng_run *r, const struct sl_plan *plan)
{
    r->core.plan = plan;
    r->spec = plan->spec;
    r->bound = sl_calloc(plan->n_steps + 1U, sizeof(struct eng_bound *));
}

static int build(struct eng_run *r, const json_t *texts, const json_t *params,
                 const struct sl_digest *code, struct sl_err *err)
{
    const struct sl_plan *plan = NULL;
    int rc = sl_submission_plan(texts, params, &r->arena, &r->spec, &r->params, &plan, err);
    if (rc < 0) {
        return rc;
    }
    adopt_plan(r, plan);
    rc = sl_admit_group(plan, &r->arena, &r->record.group, err);
    r->record.group_limit = SL_MAX(r->spec->concurrency.limit, 1);
    r->record.priority = r->spec->priority;
    return rc < 0 ? rc : load_code(r, code, err);
}

static void name_core(struct eng_run *r)
{
    r->core.created_ms = r->record.created_ms;
    r->core.group = r->record.group;
    r->core.group_limit = r->record.group_limit;
    r->core.replace = r->spec->concurrency.on_conflict == SL_CONFLICT_REPLACE;
    r->core.priority = r->record.priority;
    snprintf(r->core.id, sizeof(r->core.id), "%s", r->record.id);
    r->core.number = r->record.number;
    r->core.state = r->record.state;
}

/* ---- submitting ------------------------------------------------------------------------------------ */

struct submission {
    struct sl_work work;
    struct sl_engine *e;
    struct sl_submit *s;
    struct eng_run *run;
};

static const char *pending_reason(const struct sl_spec *spec, struct sl_arena *a)
{
    for (size_t i = 0; i < spec->n_steps; i++) {
        const struct sl_step *s = &spec->steps[i];
        if (s->action == SL_ACT_UNSUPPORTED) {
            return sl_arena_printf(a, "step '%s': %s", s->id, s->unsupported);
        }
        if (s->n_pending_keys > 0) {
            return sl_arena_printf(
                a, "step '%s': '%s' is understood but cannot be run by this version", s->id,
                s->pending_keys[0]);
        }
    }
    return NULL;
}

static int put_json(struct sl_engine *e, json_t *value, struct sl_digest *ret, struct sl_err *err)
{
    _cleanup_(free)
    char *text = sl_json_canonical(value);
    json_decref(value);
    return sl_blob_put_bytes(e->ws->blobs, text, strlen(text), ret, err);
}

static int fill_record(struct eng_run *r, const json_t *q, struct sl_err *err)
{
    struct sl_run_record *rec = &r->record;
    struct sl_engine *e = r->e;
    struct sl_arena *a = &r->arena;
    sl_id_new(NULL, rec->id);
    rec->pipeline = r->spec->name;
    rec->file = sl_arena_strdup(a, sl_json_str(q, "main", ""));
    rec->base_dir = sl_arena_strdup(a, sl_json_str(q, "base_dir", "/"));
    rec->actor = sl_arena_strdup(a, sl_json_str(q, "actor", e->ws->actor));
    rec->code_commit = sl_arena_strdup(a, sl_json_str(q, "code_commit", ""));
    rec->code_dirty = sl_json_bool(q, "code_dirty", false);
    rec->override_reason = sl_arena_strdup(a, sl_json_str(q, "override", NULL));
    rec->retry_of = sl_arena_strdup(a, sl_json_str(q, "retry_of", NULL));
    rec->code = r->code.digest;
    rec->runtime = e->runtime_digest;
    rec->n_steps = r->core.plan->n_steps;
    rec->created_ms = sl_now_ms();
    json_auto_t *params = sl_params_json(r->spec, r->params);
    json_auto_t *facts =
        json_pack("{s:O, s:O, s:O, s:b}", "hardware", e->hardware, "runtime", e->runtime, "runner",
                  e->runner_facts, "no_cache", sl_json_bool(q, "no_cache", false));
    sl_json_set_str(facts, "code_author", sl_json_str(q, "code_author", NULL));
    json_object_set_new(facts, "runtimes", sl_run_envs_json(r->spec, r->envs));
    sl_json_set_i64(facts, "host_steps", (int64_t)sl_run_host_steps(r->spec));
    json_t *policy = eng_sandbox_policy_json(r);
    if (policy != NULL) {
        json_object_set_new(facts, "sandbox", policy);
    }
    _cleanup_(free)
    char *params_text = sl_json_canonical(params);
    _cleanup_(free)
    char *facts_text = sl_json_canonical(facts);
    rec->params = sl_arena_strdup(a, params_text);
    rec->facts = sl_arena_strdup(a, facts_text);
    json_t *texts = json_pack("{s:O, s:O}", "main", json_object_get(q, "main"), "files",
                              json_object_get(q, "files"));
    int rc = put_json(e, texts, &rec->spec, err);
    return rc < 0 ? rc : sl_plan_store(e->ws->blobs, r->core.plan, &rec->plan, err);
}

static int edge(struct sl_db *db, const struct eng_run *r, struct sl_lineage_ref to,
                enum sl_edge_kind kind, const json_t *attrs, const char *name, struct sl_err *err)
{
    struct sl_lineage_node node = {
        .ref = to, .name = name, .attrs = attrs, .ts_ms = r->record.created_ms};
    struct sl_lineage_edge link = {.from = {SL_NODE_RUN, r->record.id},
                                   .to = to,
                                   .kind = kind,
                                   .run_id = r->record.id,
                                   .ts_ms = r->record.created_ms,
                                   .audit_index = -1};
    int rc = sl_lineage_node(db, &node, err);
    return rc < 0 ? rc : sl_lineage_edge(db, &link, err);
}

static char *digest_id(struct sl_arena *a, const struct sl_digest *d)
{
    char hex[SL_DIGEST_HEX + 1];
    return sl_arena_printf(a, "sha256:%s", sl_digest_hex(d, hex));
}

/** What a run stands on: code, pipeline as written and expanded, parameters with origin, runtime, machine. */
static int run_lineage(struct sl_db *db, struct eng_run *r, struct sl_err *err)
{
    struct sl_arena *a = &r->arena;
    const struct sl_run_record *rec = &r->record;
    json_auto_t *code =
        json_pack("{s:s, s:b}", "git_commit", rec->code_commit, "dirty", rec->code_dirty);
    json_auto_t *expanded = json_pack("{s:s, s:s, s:s}", "file", rec->file, "expanded",
                                      digest_id(a, &rec->plan), "base_dir", rec->base_dir);
    json_auto_t *params = sl_json_parse("params", rec->params, strlen(rec->params), err);
    struct sl_digest params_digest;
    sl_sha256(rec->params, strlen(rec->params), &params_digest);
    const char *name = sl_arena_printf(a, "%s#%lld", rec->pipeline, (long long)rec->number);
    struct sl_lineage_node node = {
        .ref = {SL_NODE_RUN, rec->id}, .name = name, .ts_ms = rec->created_ms};
    int rc = sl_lineage_node(db, &node, err);
    rc = rc < 0
             ? rc
             : edge(db, r, (struct sl_lineage_ref){SL_NODE_CODE_SNAPSHOT, digest_id(a, &rec->code)},
                    SL_EDGE_USED, code, rec->code_commit[0] != '\0' ? rec->code_commit : "folder",
                    err);
    rc = rc < 0 ? rc
                : edge(db, r,
                       (struct sl_lineage_ref){SL_NODE_PIPELINE_VERSION, digest_id(a, &rec->spec)},
                       SL_EDGE_USED, expanded, rec->pipeline, err);
    rc = rc < 0 ? rc
                : edge(db, r, (struct sl_lineage_ref){SL_NODE_PARAMS, digest_id(a, &params_digest)},
                       SL_EDGE_USED, params, "parameters", err);
    rc = rc < 0 ? rc
                : edge(db, r,
                       (struct sl_lineage_ref){SL_NODE_ENVIRONMENT, digest_id(a, &rec->runtime)},
                       SL_EDGE_RAN_IN, r->e->runtime, "host runtime", err);
    return rc < 0 ? rc
                  : edge(db, r,
                         (struct sl_lineage_ref){SL_NODE_HARDWARE,
                                                 sl_json_str(r->e->hardware, "host", "host")},
                         SL_EDGE_RAN_ON, r->e->hardware, NULL, err);
}

static int insert_run(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct eng_run *r = arg;
    struct sl_audit_obj obj = {"run", r->record.id, NULL};
    struct sl_audit_entry entry = {
        .ts_ms = r->record.created_ms,
        .act = r->record.retry_of != NULL ? SL_ACT_RUN_RETRY : SL_ACT_PIPELINE_SUBMIT,
        .actor = {r->e->ws->principal, "user", "local"},
        .objs = &obj,
        .n_objs = 1,
        .reason = r->record.override_reason,
    };
    struct sl_event ev = {.ts_ms = r->record.created_ms,
                          .type = SL_EVENT_RUN_QUEUED,
                          .run_id = r->record.id,
                          .subject = r->record.pipeline};
    const struct sl_concurrency *conc = &r->spec->concurrency;
    struct sl_admit_ask ask = {.group = r->record.group,
                               .limit = r->record.group_limit,
                               .on_conflict = conc->on_conflict,
                               .max_queued = conc->max_queued};
    int rc = sl_admit_check(db, &ask, err);
    rc = rc < 0 ? rc : sl_run_insert(db, &r->record, err);
    rc = rc < 0 ? rc : run_lineage(db, r, err);
    rc = rc < 0 ? rc : eng_envs_insert(db, r, err);
    rc = rc < 0 ? rc : sl_bus_append(db, &ev, NULL, NULL, err);
    return rc < 0 ? rc : sl_audit_append(db, &entry, NULL, err);
}

static void submit_fn(struct sl_work *work)
{
    struct submission *sub = SL_CONTAINER_OF(work, struct submission, work);
    struct sl_submit *s = sub->s;
    const json_t *q = s->request;
    struct eng_run *r = sub->run = run_new(sub->e);
    struct sl_digest code;
    if (!sl_digest_parse(sl_json_str(q, "code", ""), &code)) {
        s->rc = sl_err_set(&s->err, SL_EINVAL, "code: expected the digest of a snapshot");
        return;
    }
    s->rc = build(r, q, json_object_get(q, "params"), &code, &s->err);
    const char *missing = s->rc == 0 ? pending_reason(r->spec, &r->arena) : NULL;
    if (missing != NULL) {
        s->rc = sl_err_set(&s->err, SL_EUNSUPPORTED, "%s", missing);
    }
    s->rc = s->rc < 0 ? s->rc : sl_sched_check(&sub->e->caps, r->core.plan, &s->err);
    s->rc = s->rc < 0 ? s->rc : eng_check_pins(r, &s->err);
    s->rc = s->rc < 0 ? s->rc : eng_check_inputs(r, &s->err);
    s->rc = s->rc < 0 ? s->rc : eng_check_secrets(r, &s->err);
    s->rc = s->rc < 0 ? s->rc : eng_check_sandbox(r, &s->err);
    s->rc = s->rc < 0 ? s->rc : eng_check_channels(r, &s->err);
    s->rc = s->rc < 0 ? s->rc : eng_check_checkpoints(r, &s->err);
    s->rc = s->rc < 0 ? s->rc : eng_envs_resolve(r, &s->err);
    s->rc = s->rc < 0 ? s->rc : fill_record(r, q, &s->err);
    s->rc = s->rc < 0 ? s->rc : sl_ws_write(sub->e->ws, insert_run, r, &s->err);
    r->no_cache = sl_json_bool(q, "no_cache", false);
}

static void submit_done(struct sl_work *work)
{
    struct submission *sub = SL_CONTAINER_OF(work, struct submission, work);
    struct sl_submit *s = sub->s;
    struct eng_run *r = sub->run;
    if (s->rc == 0) {
        name_core(r);
        s->rc = sl_core_add_run(sub->e->core, &r->core, &s->err);
    }
    if (s->rc == 0) {
        snprintf(s->run_id, sizeof(s->run_id), "%s", r->record.id);
        snprintf(s->pipeline, sizeof(s->pipeline), "%s", r->record.pipeline);
        s->number = r->record.number;
    } else {
        eng_run_free(r);
    }
    struct sl_engine *e = sub->e;
    free(sub);
    s->done(s);
    sl_core_pump(e->core);
}

void sl_engine_submit(struct sl_engine *e, struct sl_submit *s)
{
    struct submission *sub = SL_NEW(struct submission);
    sub->work.fn = submit_fn;
    sub->work.done = submit_done;
    sub->e = e;
    sub->s = s;
    s->rc = 0;
    int rc = sl_lane_submit(e->act_lane, &sub->work, &s->err);
    SL_ASSERT(rc == 0); /* the queue holds more than can be submitted */
}

/* ---- restoring ------------------------------------------------------------------------------------- */

/** Loads spec, plan and code of a recorded run. */
static int run_load(struct sl_engine *e, const struct sl_run_record *record, struct eng_run **ret,
                    struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_SUBMISSION_BYTES_MAX);
    struct eng_run *r = run_new(e);
    r->record = *record;
    int rc = sl_blob_read_all(e->ws->blobs, &record->spec, SL_SUBMISSION_BYTES_MAX, &text, err);
    json_auto_t *texts =
        rc < 0 ? NULL : sl_json_parse("recorded pipeline", sl_buf_str(&text), text.len, err);
    json_auto_t *params =
        sl_json_parse("recorded parameters", record->params, strlen(record->params), err);
    json_auto_t *facts = sl_json_parse("recorded facts", record->facts, strlen(record->facts), err);
    if (rc == 0 && (texts == NULL || params == NULL || facts == NULL)) {
        rc = -SL_ECORRUPT;
    }
    rc = rc < 0 ? rc : build(r, texts, params, &record->code, err);
    rc = rc < 0 ? rc
                : sl_run_envs_restore(r->spec, json_object_get(facts, "runtimes"), e->ws->blobs,
                                      &r->arena, &r->envs, err);
    if (rc < 0) {
        eng_run_free(r);
        return sl_err_wrap(err, "run %s", record->id);
    }
    r->no_cache = sl_json_bool(facts, "no_cache", false);
    eng_sandbox_policy_restore(r, json_object_get(facts, "sandbox"));
    name_core(r);
    *ret = r;
    return 0;
}

struct restoring {
    struct eng_run *r;
    struct sl_db *db;
};

static int restore_step(const struct sl_step_row *row, void *data, struct sl_err *err)
{
    struct restoring *x = data;
    struct eng_run *r = x->r;
    if (row->step < 0 || row->step >= r->core.plan->n_steps) {
        return sl_err_set(err, SL_ECORRUPT, "run %s has a step that its pipeline lacks",
                          r->record.id);
    }
    struct sl_core_step s = {.state = row->state,
                             .attempts = row->attempts,
                             .not_before_ms = row->not_before_ms,
                             .timed_out = row->timed_out,
                             .ended_ms = row->ended_ms,
                             .key_record = sl_strdup(row->cache_record),
                             .key = row->cache_key,
                             .has_key = row->has_key,
                             .share = eng_cacheable(r, &r->core.plan->steps[row->step])};
    int rc = 0;
    if (sl_step_state_good(s.state)) {
        rc = sl_outputs_load(x->db, r->record.id, row->step, r->core.plan->steps[row->step].spec,
                             &r->arena, &s.outputs, err);
    }
    sl_core_restore_step(&r->core, (uint32_t)row->step, &s);
    return rc;
}

/** SL_FAIL_COUNT when the attempt went well. */
static enum sl_fail_class class_of(const struct sl_attempt_row *row)
{
    int i = 0;
    while (i < SL_FAIL_COUNT && !sl_streq(row->class_name, sl_fail_class_names[i])) {
        i++;
    }
    return (enum sl_fail_class)i;
}

static int restore_attempt(const struct sl_attempt_row *row, void *data, struct sl_err *err)
{
    struct restoring *x = data;
    (void)err;
    if (row->state != SL_ATTEMPT_STARTED) {
        sl_core_restore_ended(&x->r->core, (uint32_t)row->step, row->number, class_of(row),
                              row->ended_ms);
        return 0;
    }
    const struct sl_plan_step *step = &x->r->core.plan->steps[row->step];
    struct sl_core_attempt *a = SL_NEW(struct sl_core_attempt);
    struct eng_attempt *ea = SL_NEW(struct eng_attempt);
    snprintf(a->id, sizeof(a->id), "%s", row->id);
    a->step = (uint32_t)row->step;
    a->number = row->number;
    a->action = step->spec->action != SL_ACT_RUN && step->spec->action != SL_ACT_COMMAND;
    a->host = ea;
    ea->a = a;
    ea->run = x->r;
    ea->identity = sl_strdup(row->identity);
    ea->dir = eng_attempt_dir(x->r->e, x->r->record.id, row->id);
    sl_arena_init(&ea->arena, 0);
    sl_core_restore_attempt(&x->r->core, a);
    if (row->way != NULL) {
        sl_core_restore_preempted(a, row->way);
    }
    return 0;
}

static int restore_run(struct sl_engine *e, struct sl_db *db, const char *run_id,
                       struct sl_err *err)
{
    struct sl_run_record record;
    struct sl_arena arena;
    struct eng_run *r = NULL;
    sl_arena_init(&arena, 0);
    int rc = sl_run_find(db, run_id, &arena, &record, err);
    rc = rc < 0 ? rc : run_load(e, &record, &r, err);
    if (rc == 0) {
        r->record.pipeline = sl_arena_strdup(&r->arena, record.pipeline);
        r->record.file = sl_arena_strdup(&r->arena, record.file);
        r->record.base_dir = sl_arena_strdup(&r->arena, record.base_dir);
        r->record.actor = sl_arena_strdup(&r->arena, record.actor);
        r->record.params = sl_arena_strdup(&r->arena, record.params);
        r->record.facts = sl_arena_strdup(&r->arena, record.facts);
        r->record.code_commit = sl_arena_strdup(&r->arena, record.code_commit);
        r->record.override_reason = sl_arena_strdup(&r->arena, record.override_reason);
        r->record.retry_of = sl_arena_strdup(&r->arena, record.retry_of);
        struct restoring x = {r, db};
        rc = sl_core_restore_begin(e->core, &r->core, err);
        rc = rc < 0 ? rc : sl_steps_load(db, run_id, restore_step, &x, err);
        rc = rc < 0 ? rc : sl_attempts_load(db, run_id, -1, restore_attempt, &x, err);
        if (rc == 0) {
            eng_sweep_unrecorded(r, db);
            sl_core_restore_go(&r->core);
        }
    }
    if (rc < 0 && r != NULL) {
        if (r->core.core != NULL) {
            sl_core_remove_run(e->core, &r->core);
        }
        eng_run_free(r);
    }
    sl_arena_release(&arena);
    return rc;
}

struct give_up {
    struct sl_run_move move;
};

static int write_give_up(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_run_move(db, &((struct give_up *)arg)->move, err);
}

/** A run that cannot be taken up (its content is gone, the machine shrank) must not keep the others from
 * running: it is recorded as failed, with the reason. */
static int give_up(struct sl_engine *e, struct sl_db *db, const char *run_id,
                   const struct sl_err *why, struct sl_err *err)
{
    struct sl_run_record record;
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    int rc = sl_run_find(db, run_id, &arena, &record, err);
    if (rc == 0) {
        bool cancelling = record.state == SL_RUN_CANCELLING;
        struct give_up g = {{.id = run_id,
                             .from = record.state,
                             .to = cancelling ? SL_RUN_CANCELLED : SL_RUN_FAILED,
                             .reason = why->msg,
                             .ts_ms = sl_now_ms()}};
        rc = sl_ws_write(e->ws, write_give_up, &g, err);
    }
    sl_arena_release(&arena);
    return rc;
}

/** Every nonce that the journal knows as live; anything else of ours on this machine is a stray. */
static int sweep_strays(struct sl_engine *e, struct sl_err *err)
{
    SL_VEC(const char *) nonces = {0};
    struct sl_core_run *r = NULL;
    json_auto_t *kept = json_array();
    for (r = sl_core_find_run(e->core, NULL); r != NULL; r = r->next) {
        for (uint32_t i = 0; i < r->plan->n_steps; i++) {
            const struct sl_core_attempt *a = r->steps[i].att;
            struct eng_attempt *ea = a != NULL ? eng_attempt_of(a) : NULL;
            json_t *identity =
                ea != NULL && ea->identity != NULL
                    ? sl_json_parse("identity", ea->identity, strlen(ea->identity), NULL)
                    : NULL;
            const char *nonce = identity != NULL ? sl_json_str(identity, "nonce", NULL) : NULL;
            if (nonce != NULL) {
                json_array_append(kept, identity);
                sl_vec_push(&nonces, nonce);
            }
            json_decref(identity);
        }
    }
    int rc = e->runner_ops->sweep(e->runner, nonces.items, nonces.n, err);
    sl_vec_free(&nonces);
    return rc < 0 ? rc : 0;
}

struct id_list {
    SL_VEC(char *) ids;
};

static int note_id(const char *run_id, void *data, struct sl_err *err)
{
    struct id_list *list = data;
    (void)err;
    sl_vec_push(&list->ids, sl_strdup(run_id));
    return 0;
}

int eng_restore_all(struct sl_engine *e, struct sl_err *err)
{
    struct id_list list = {0};
    struct sl_err why = SL_ERR_INIT;
    struct sl_db *db = eng_reader_get(e, err);
    int rc = db == NULL ? -err->code : sl_run_unfinished(db, note_id, &list, err);
    for (size_t i = 0; i < list.ids.n; i++) {
        if (rc == 0 && restore_run(e, db, list.ids.items[i], &why) < 0) {
            rc = give_up(e, db, list.ids.items[i], &why, err);
        }
        free(list.ids.items[i]);
    }
    rc = rc < 0 ? rc : sweep_strays(e, err);
    sl_vec_free(&list.ids);
    if (db != NULL) {
        eng_reader_put(e, db);
    }
    return rc;
}
