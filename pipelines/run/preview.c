/* What a run would do: see preview.h. Thread: that of the connection. Must not: write rows. */
#include "core/base/base.h"

#include "pipelines/run/preview.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/env/env.h"
#include "pipelines/run/fanout.h"
#include "pipelines/run/query.h"
#include "pipelines/run/runtime.h"
#include "pipelines/run/snapshot.h"
#include "pipelines/run/workspace.h"

enum decision { D_RUN, D_CACHED, D_SKIPPED, D_WAITING, D_ERROR, D_COUNT };
static const char *const decision_names[] = {"run", "cached", "skipped", "waiting", "error"};

struct preview {
    const struct sl_loaded *l;
    const struct sl_preview_world *w;
    struct sl_arena arena;
    struct sl_arena scratch; /* of the step in hand: a plan of 100,000 steps must stay small */
    struct sl_snapshot code;
    struct sl_run_env *envs;
    struct sl_fanout_cache fanouts;
    enum decision *decided;
    struct sl_artifact **outputs; /* of cached steps */
    int64_t counts[D_COUNT];
    struct sl_plan_world world;
};

/* ---- the world ------------------------------------------------------------------------------------ */

static const char *step_status(void *data, uint32_t step)
{
    const struct preview *p = data;
    if (p->l->plan->steps[step].spec->builds != NULL && p->decided[step] != D_ERROR) {
        return "succeeded"; /* an environment: what it will be is known */
    }
    return p->decided[step] == D_CACHED    ? "cached"
           : p->decided[step] == D_SKIPPED ? "skipped"
                                           : "pending";
}

static const struct sl_artifact *step_output(void *data, uint32_t step, const char *output)
{
    const struct preview *p = data;
    const struct sl_step *spec = p->l->plan->steps[step].spec;
    for (size_t i = 0; p->outputs[step] != NULL && i < spec->n_outputs; i++) {
        if (sl_streq(spec->outputs[i].name, output)) {
            return sl_digest_is_zero(&p->outputs[step][i].digest) ? NULL : &p->outputs[step][i];
        }
    }
    return NULL;
}

static int read_json(void *data, const struct sl_artifact *artifact, const json_t **ret,
                     struct sl_err *err)
{
    struct preview *p = data;
    return sl_fanout_json(&p->fanouts, p->w->blobs, artifact, ret, err);
}

static int resolve(void *data, enum sl_entity entity, const char *ref, struct sl_artifact *ret,
                   struct sl_err *err)
{
    struct preview *p = data;
    return p->w->db != NULL
               ? sl_ws_resolve(p->w->db, entity, ref, &p->scratch, ret, err)
               : sl_err_set(err, SL_ENOTFOUND, "no %s '%.200s': nothing is recorded yet",
                            sl_entity_name(entity), ref);
}

/* ---- one step ------------------------------------------------------------------------------------- */

static enum decision settle(json_t *o, enum decision d, const char *reason)
{
    sl_json_set_str(o, "reason", reason);
    return d;
}

static bool is_process(const struct sl_plan_step *s)
{
    return s->spec->action == SL_ACT_RUN || s->spec->action == SL_ACT_COMMAND;
}

static bool is_fanout(const struct sl_plan_step *s)
{
    return s->spec->matrix != NULL && s->spec->matrix->from != NULL;
}

/** The first need that will run or is itself waiting; NULL when all are decided. */
static const char *open_need(const struct preview *p, const struct sl_plan_step *s)
{
    for (uint32_t i = 0; i < s->n_needs; i++) {
        enum decision d = p->decided[s->needs[i]];
        bool makes_env = p->l->plan->steps[s->needs[i]].spec->builds != NULL; /* known beforehand */
        if (!makes_env && (d == D_RUN || d == D_WAITING)) {
            const struct sl_plan_step *need = &p->l->plan->steps[s->needs[i]];
            return is_fanout(need) ? need->spec->id : need->key;
        }
    }
    return NULL;
}

static int code_digest(struct preview *p, const struct sl_step *spec, struct sl_digest *ret,
                       struct sl_err *err)
{
    if (spec->n_code == 0) {
        *ret = p->code.manifest.digest;
        return 0;
    }
    struct sl_manifest part;
    int rc = sl_snapshot_select(&p->code.manifest, spec->code, spec->n_code, &part, err);
    if (rc == 0) {
        *ret = part.digest;
        sl_manifest_release(&part);
    }
    return rc;
}

static bool find_hit(struct preview *p, uint32_t step, const struct sl_digest *key,
                     struct sl_cache_hit *hit)
{
    const struct sl_step *spec = p->l->plan->steps[step].spec;
    struct sl_artifact *outputs = NULL;
    if (p->w->db == NULL || p->w->no_cache || spec->cache != SL_CACHE_AUTO ||
        spec->effects_external || p->l->plan->steps[step].is_finally ||
        sl_cache_get(p->w->db, key, hit, NULL) < 0 ||
        sl_outputs_load(p->w->db, hit->run_id, hit->step, spec, &p->arena, &outputs, NULL) < 0) {
        return false;
    }
    for (size_t i = 0; i < spec->n_outputs; i++) {
        const struct sl_output *o = &spec->outputs[i];
        if (!o->optional && !o->metrics && sl_digest_is_zero(&outputs[i].digest)) {
            return false;
        }
    }
    p->outputs[step] = outputs;
    return true;
}

/** Why it runs: what differs from the last time. */
static void explain_run(struct preview *p, const struct sl_plan_step *s, const json_t *record,
                        json_t *o)
{
    json_auto_t *old = NULL;
    const char *run = NULL;
    if (p->w->no_cache || s->spec->cache != SL_CACHE_AUTO || s->spec->effects_external) {
        sl_json_set_str(o, "reason",
                        p->w->no_cache              ? "the cache is off for this run"
                        : s->spec->effects_external ? "it has external effects: never cached"
                                                    : "cache: off");
        return;
    }
    if (p->w->db == NULL || sl_query_last_record(p->w->db, p->l->spec->name, s->key, NULL,
                                                 &p->arena, &old, &run, NULL) < 0) {
        sl_json_set_str(o, "reason", "it never ran");
        return;
    }
    json_t *diff = sl_plan_diff_records(old, record);
    sl_run_envs_explain(p->w->blobs, diff);
    sl_json_set_str(o, "compared_with", run);
    sl_json_set_str(o, "reason",
                    json_array_size(diff) > 0 ? "what goes into it differs"
                                              : "it left no result to reuse");
    json_object_set_new(o, "differences", diff);
}

/** A step that makes an environment: there already, or how it will be made. */
static enum decision decide_env(struct preview *p, uint32_t step, json_t *o)
{
    const struct sl_run_env *env = &p->envs[p->l->plan->steps[step].group];
    struct sl_digest key;
    struct sl_cache_hit hit;
    char hex[SL_DIGEST_HEX + 1];
    json_decref(sl_run_env_key(env, &key)); /* its key is what is asked for */
    sl_json_set_str(o, "cache_key", sl_digest_hex(&key, hex));
    sl_json_set_str(o, "environment", sl_digest_hex(&env->digest, hex));
    bool built = p->w->db != NULL && sl_cache_get(p->w->db, &key, &hit, NULL) == 0;
    if (p->w->data_dir != NULL && sl_env_ready(p->w->data_dir, &env->digest)) {
        return settle(o, D_CACHED, "the environment is there");
    }
    return settle(o, D_RUN,
                  built ? "it was removed: it is installed again from stored wheels"
                        : "it was never made");
}

static enum decision decide_process(struct preview *p, uint32_t step,
                                    const struct sl_bound_step *bound, json_t *o)
{
    const struct sl_plan_step *s = &p->l->plan->steps[step];
    struct sl_err err = SL_ERR_INIT;
    struct sl_digest code;
    struct sl_digest key;
    struct sl_cache_hit hit;
    json_auto_t *record = NULL;
    char hex[SL_DIGEST_HEX + 1];
    if (code_digest(p, s->spec, &code, &err) < 0) {
        return settle(o, D_ERROR, err.msg);
    }
    const struct sl_run_env *env = sl_run_env_of(p->l->plan->spec, p->envs, s->spec);
    if (sl_plan_cache_record(p->l->plan, step, bound, &code,
                             env != NULL ? &env->digest : &p->w->runtime, &record, &key) < 0) {
        return settle(o, D_RUN, "");
    }
    sl_json_set_str(o, "cache_key", sl_digest_hex(&key, hex));
    if (find_hit(p, step, &key, &hit)) {
        _cleanup_(free)
        char *text = sl_asprintf("as in run #%lld", (long long)hit.run_number);
        sl_json_set_str(o, "from_run", hit.run_id);
        return settle(o, D_CACHED, text);
    }
    explain_run(p, s, record, o);
    return D_RUN;
}

static enum decision decide_bound(struct preview *p, uint32_t step, json_t *o)
{
    const struct sl_plan_step *s = &p->l->plan->steps[step];
    struct sl_err err = SL_ERR_INIT;
    struct sl_bound_step bound;
    if (sl_plan_bind(p->l->plan, step, &p->world, &p->scratch, &bound, &err) < 0) {
        return settle(o, D_ERROR, err.msg);
    }
    enum decision d = is_process(s) ? decide_process(p, step, &bound, o)
                                    : settle(o, D_RUN, "it is decided anew each time");
    sl_bound_step_release(&bound);
    return d;
}

static enum decision decide(struct preview *p, uint32_t step, json_t *o)
{
    const struct sl_plan_step *s = &p->l->plan->steps[step];
    struct sl_err err = SL_ERR_INIT;
    const char *need = open_need(p, s);
    struct sl_plan_judgement j;
    if (s->spec->action == SL_ACT_UNSUPPORTED) {
        return settle(o, D_ERROR, s->spec->unsupported);
    }
    if (s->is_finally) {
        return settle(o, D_WAITING, "for the end of all other steps");
    }
    if (need != NULL) {
        _cleanup_(free)
        char *text = is_fanout(s)
                         ? sl_asprintf("for %s; up to %d instances", need, s->spec->matrix->max)
                         : sl_asprintf("for %s", need);
        return settle(o, D_WAITING, text);
    }
    if (sl_plan_judge(p->l->plan, step, &p->world, &p->scratch, &j, &err) < 0) {
        return settle(o, D_ERROR, err.msg);
    }
    if (j.verdict != SL_PLAN_RUN) {
        return settle(o, D_SKIPPED, j.why);
    }
    if (s->is_champion_eval) {
        return settle(o, D_WAITING,
                      "for the gate's question: it runs when the champion lacks these numbers");
    }
    return s->spec->builds != NULL ? decide_env(p, step, o) : decide_bound(p, step, o);
}

/* ---- all ------------------------------------------------------------------------------------------ */

static json_t *code_json(const struct preview *p)
{
    char hex[SL_DIGEST_HEX + 1];
    return json_pack(
        "{s:I, s:I, s:s, s:b, s:b, s:s}", "files", (json_int_t)p->code.manifest.n_files, "bytes",
        (json_int_t)p->code.manifest.total_bytes, "commit", p->code.commit, "dirty", p->code.dirty,
        "in_git", p->code.in_git, "digest", sl_digest_hex(&p->code.manifest.digest, hex));
}

/** A fan-out whose array is not there yet is one line: how many instances it has nobody knows. */
static bool is_shown(const struct preview *p, uint32_t step, json_t *o)
{
    const struct sl_plan_step *s = &p->l->plan->steps[step];
    if (!is_fanout(s) || p->decided[step] != D_WAITING) {
        return true;
    }
    if (step > 0 && p->l->plan->steps[step - 1].group == s->group) {
        return false;
    }
    _cleanup_(free)
    char *key = sl_asprintf("%s[*]", s->spec->id);
    sl_json_set_str(o, "key", key);
    sl_json_set_i64(o, "max_instances", s->spec->matrix->max);
    (void)json_object_del(o, "matrix");
    return true;
}

static void decide_all(struct preview *p, sl_preview_fn fn, void *data)
{
    for (uint32_t i = 0; i < p->l->plan->n_steps; i++) {
        json_t *o = sl_plan_step_json(p->l->plan, i);
        p->decided[i] = decide(p, i, o);
        sl_arena_release(&p->scratch);
        sl_json_set_str(o, "decision", decision_names[p->decided[i]]);
        if (is_shown(p, i, o)) {
            p->counts[p->decided[i]]++;
            fn(o, data);
        }
        json_decref(o);
    }
}

int sl_preview(const struct sl_loaded *l, const struct sl_preview_world *w, sl_preview_fn fn,
               void *data, json_t **ret, struct sl_err *err)
{
    struct preview p = {.l = l, .w = w};
    int rc = sl_snapshot_take(w->blobs, l->base_dir, l->spec, w->data_dir, &p.code, err);
    if (rc < 0) {
        return rc;
    }
    sl_arena_init(&p.arena, 0);
    sl_arena_init(&p.scratch, 0);
    sl_fanout_init(&p.fanouts);
    const struct sl_run_envs_world world = {.blobs = w->blobs, .data = w->data_dir};
    rc = sl_run_envs_resolve(l->plan->spec, &p.code.manifest, &world, &p.arena, &p.envs, err);
    rc = rc < 0 ? rc : sl_run_envs_store(l->plan->spec, p.envs, w->blobs, err);
    if (rc < 0) {
        sl_fanout_release(&p.fanouts);
        sl_snapshot_release(&p.code);
        sl_arena_release(&p.arena);
        return rc;
    }
    p.decided = SL_ARENA_ARRAY(&p.arena, enum decision, l->plan->n_steps + 1U);
    p.outputs = SL_ARENA_ARRAY(&p.arena, struct sl_artifact *, l->plan->n_steps + 1U);
    p.world = (struct sl_plan_world){.step_status = step_status,
                                     .step_output = step_output,
                                     .resolve = resolve,
                                     .read_json = read_json,
                                     .run_id = "00000000000000000000000000000000",
                                     .run_status = "succeeded",
                                     .data = &p};
    json_t *plan = sl_plan_head_json(l->plan);
    decide_all(&p, fn, data);
    json_t *counts = json_object();
    for (int i = 0; i < D_COUNT; i++) {
        sl_json_set_i64(counts, decision_names[i], p.counts[i]);
    }
    json_object_set_new(plan, "counts", counts);
    json_object_set_new(plan, "code", code_json(&p));
    *ret = plan;
    sl_fanout_release(&p.fanouts);
    sl_snapshot_release(&p.code);
    sl_arena_release(&p.arena);
    return 0;
}
