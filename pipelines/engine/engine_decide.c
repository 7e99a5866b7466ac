/* What happens to a step whose needs have ended: condition, binding, cache. Thread: read lane; answers on
 * the loop. Steps that have ended do not change any more, so reading their results from the lane is safe. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/track/track.h"
#include "pipelines/run/vote.h"

#define ROOM_RETRY_MS 5000 /* a request that met a full disk is made again after this */

struct deciding {
    struct sl_work work;
    struct eng_run *run;
    uint32_t step;
    struct sl_decision d;
    struct eng_bound *bound;
    struct sl_arena arena; /* outputs of a cache hit until they are copied */
};

/* ---- the world as the planner sees it ------------------------------------------------------------- */

/** The world as the planner sees it from this run. Lives as long as it is used. */
struct eng_world {
    struct sl_plan_world world;
    struct eng_run *run;
    struct sl_db *db;
    struct sl_arena *arena;
};

static const char *world_status(void *data, uint32_t step)
{
    const struct eng_world *w = data;
    return sl_core_step_status(&w->run->core, step);
}

static const struct sl_artifact *world_output(void *data, uint32_t step, const char *output)
{
    const struct eng_world *w = data;
    const struct sl_core_step *s = &w->run->core.steps[step];
    const struct sl_step *spec = w->run->core.plan->steps[step].spec;
    if (s->outputs == NULL || !sl_step_state_good(s->state)) {
        return NULL;
    }
    for (size_t i = 0; i < spec->n_outputs; i++) {
        if (sl_streq(spec->outputs[i].name, output)) {
            return sl_digest_is_zero(&s->outputs[i].digest) ? NULL : &s->outputs[i];
        }
    }
    return NULL;
}

static int world_resolve(void *data, enum sl_entity entity, const char *ref,
                         struct sl_artifact *ret, struct sl_err *err)
{
    const struct eng_world *w = data;
    return sl_ws_resolve(w->db, entity, ref, w->arena, ret, err);
}

static int world_json(void *data, const struct sl_artifact *artifact, const json_t **ret,
                      struct sl_err *err)
{
    const struct eng_world *w = data;
    return sl_fanout_json(&w->run->fanouts, w->run->e->ws->blobs, artifact, ret, err);
}

/** What the run would end as if it ended now; for `finally`. */
static enum sl_run_state status_so_far(const struct sl_core_run *r)
{
    return r->state == SL_RUN_CANCELLING ? SL_RUN_CANCELLED
           : r->n_failed > 0             ? SL_RUN_FAILED
           : r->n_refused > 0            ? SL_RUN_REFUSED
                                         : SL_RUN_SUCCEEDED;
}

static void world_init(struct eng_world *w, struct eng_run *r, struct sl_db *db, struct sl_arena *a)
{
    int so_far = atomic_load(&r->so_far);
    *w = (struct eng_world){.run = r, .db = db, .arena = a};
    w->world = (struct sl_plan_world){
        .step_status = world_status,
        .step_output = world_output,
        .resolve = world_resolve,
        .read_json = world_json,
        .run_id = r->record.id,
        .run_number = r->record.number,
        .run_status = sl_sm_name(&sl_run_machine, so_far),
        .cancelled = so_far == SL_RUN_CANCELLED,
        .data = w,
    };
}

int eng_bind(struct eng_run *r, uint32_t step, struct sl_db *db, struct eng_bound **ret,
             struct sl_err *err)
{
    struct eng_bound *b = SL_NEW(struct eng_bound);
    struct eng_world w;
    sl_arena_init(&b->arena, 0);
    world_init(&w, r, db, &b->arena);
    int rc = sl_plan_bind(r->core.plan, step, &w.world, &b->arena, &b->step, err);
    if (rc < 0) {
        sl_arena_release(&b->arena);
        free(b);
        return rc;
    }
    *ret = b;
    return 0;
}

/* ---- the cache ------------------------------------------------------------------------------------ */

bool eng_cacheable(const struct eng_run *r, const struct sl_plan_step *p)
{
    bool process = p->spec->action == SL_ACT_RUN || p->spec->action == SL_ACT_COMMAND;
    return process && p->spec->cache == SL_CACHE_AUTO && !p->spec->effects_external &&
           (!r->no_cache || p->spec->builds != NULL) && !p->is_finally;
}

/** Every output that the step must have is there. */
static bool complete(const struct sl_step *spec, const struct sl_artifact *outputs)
{
    for (size_t i = 0; i < spec->n_outputs; i++) {
        const struct sl_output *o = &spec->outputs[i];
        if (!o->optional && !o->metrics && sl_digest_is_zero(&outputs[i].digest)) {
            return false;
        }
    }
    return true;
}

static void make_key(struct deciding *x)
{
    struct eng_run *r = x->run;
    json_t *record = NULL;
    int rc = 0;
    if (r->core.plan->steps[x->step].spec->builds != NULL) {
        record = eng_env_key(r, x->step, &x->d.key);
    } else {
        rc = sl_plan_cache_record(r->core.plan, x->step, &x->bound->step,
                                  &eng_run_code(r, x->step)->digest, eng_run_runtime(r, x->step),
                                  &record, &x->d.key);
    }
    if (rc == 0) {
        eng_sandbox_key(r, x->step, record, &x->d.key);
    }
    if (rc == 0) {
        x->d.key_record = sl_json_canonical(record);
        x->d.has_key = true;
        x->d.share = eng_cacheable(r, &r->core.plan->steps[x->step]);
        json_decref(record);
    }
}

static int find_hit(struct deciding *x, struct sl_db *db, struct sl_cache_hit *hit)
{
    const struct eng_run *r = x->run;
    const struct sl_plan_step *p = &r->core.plan->steps[x->step];
    if (eng_cacheable(r, p) && sl_cache_get(db, &x->d.key, hit, NULL) == 0) {
        return 0;
    }
    if (r->record.retry_of == NULL || p->spec->effects_external || p->is_finally ||
        (p->spec->action != SL_ACT_RUN && p->spec->action != SL_ACT_COMMAND)) {
        return -SL_ENOTFOUND;
    }
    return sl_reuse_get(db, r->record.retry_of, p->key, &x->d.key, hit, NULL);
}

static void look_up(struct deciding *x, struct sl_db *db)
{
    const struct sl_step *spec = x->run->core.plan->steps[x->step].spec;
    struct sl_cache_hit hit;
    struct sl_artifact *outputs = NULL;
    char when[SL_TIME_TEXT];
    if (!x->d.has_key || find_hit(x, db, &hit) < 0 ||
        sl_outputs_load(db, hit.run_id, hit.step, spec, &x->arena, &outputs, NULL) < 0 ||
        !complete(spec, outputs)) {
        return;
    }
    if (spec->builds != NULL && !eng_env_usable(x->run, x->step, outputs, x->bound)) {
        return;
    }
    x->d.kind = SL_DECIDE_CACHED;
    x->d.outputs = outputs;
    snprintf(x->d.from_run, sizeof(x->d.from_run), "%s", hit.run_id);
    x->d.from_step = hit.step;
    snprintf(x->d.reason, sizeof(x->d.reason),
             "same command, code, inputs and environment as run #%lld of %s",
             (long long)hit.run_number, sl_time_format(hit.created_ms, when));
}

/* ---- champion evaluations ------------------------------------------------------------------------- */

static int count_eval(const struct sl_eval *e, void *arg)
{
    (void)e;
    ++*(int *)arg;
    return 0;
}

/** A champion that has its numbers on this dataset is not evaluated again. */
static bool champion_known(struct deciding *x, struct sl_db *db)
{
    const struct sl_bound_step *b = &x->bound->step;
    char model[SL_DIGEST_HEX + 16];
    char dataset[SL_DIGEST_HEX + 16];
    char hex[SL_DIGEST_HEX + 1];
    int n = 0;
    if (!b->has_champion) {
        snprintf(x->d.reason, sizeof(x->d.reason), "there is no champion yet");
        return true;
    }
    if (!b->has_on) {
        return false;
    }
    snprintf(model, sizeof(model), "sha256:%s", sl_digest_hex(&b->champion.digest, hex));
    snprintf(dataset, sizeof(dataset), "sha256:%s", sl_digest_hex(&b->on.digest, hex));
    struct sl_eval pair = {.model_digest = model, .dataset_digest = dataset};
    if (sl_eval_latest(db, &pair, count_eval, &n, NULL) < 0 || n == 0) {
        return false;
    }
    snprintf(x->d.reason, sizeof(x->d.reason),
             "champion %s@v%lld is already evaluated on this dataset", b->champion.name,
             (long long)b->champion.version);
    return true;
}

/* ---- deciding ------------------------------------------------------------------------------------- */

static void fail(struct deciding *x, const struct sl_err *err)
{
    x->d.kind = SL_DECIDE_FAIL;
    snprintf(x->d.reason, sizeof(x->d.reason), "%.280s", err->msg);
}

static bool condition_holds(struct deciding *x, struct sl_db *db)
{
    struct eng_world w;
    struct sl_err err = SL_ERR_INIT;
    struct sl_plan_judgement j;
    world_init(&w, x->run, db, &x->arena);
    if (sl_plan_judge(x->run->core.plan, x->step, &w.world, &x->arena, &j, &err) < 0) {
        fail(x, &err);
        return false;
    }
    if (j.verdict != SL_PLAN_RUN) {
        x->d.kind = j.verdict == SL_PLAN_SKIP ? SL_DECIDE_SKIP : SL_DECIDE_OMIT;
        snprintf(x->d.reason, sizeof(x->d.reason), "%s", j.why);
    }
    return j.verdict == SL_PLAN_RUN;
}

/** Whether its directory may be made before its turn: what waits there should take little room. */
static bool light(const struct deciding *x)
{
    uint64_t bytes = 0;
    uint64_t files = 0;
    const struct sl_manifest *code = eng_run_code(x->run, x->step);
    const struct sl_bound_step *b = &x->bound->step;
    struct sl_manifest m;
    bool known = true;
    for (size_t i = 0; known && i < b->n_inputs; i++) {
        for (size_t k = 0; known && k < b->inputs[i].n && files <= ENG_AHEAD_FILES_MAX; k++) {
            sl_manifest_init(&m);
            known =
                sl_ws_manifest(x->run->e->ws->blobs, &b->inputs[i].items[k].digest, &m, NULL) == 0;
            bytes += m.total_bytes;
            files += m.n_files;
            sl_manifest_release(&m);
        }
    }
    return known && bytes + code->total_bytes <= ENG_AHEAD_BYTES_MAX &&
           files + code->n_files <= ENG_AHEAD_FILES_MAX;
}

/** A step of the run that is retried was lost from sight, and somebody said that its effect happened. */
static bool decided_by_people(struct deciding *x, struct sl_db *db)
{
    const struct sl_plan_step *p = &x->run->core.plan->steps[x->step];
    struct sl_run_decided decided;
    struct sl_err err = SL_ERR_INIT;
    if (x->run->record.retry_of == NULL || !p->spec->effects_external) {
        return false;
    }
    if (sl_run_decided(db, x->run->record.retry_of, p->key, &x->arena, &decided, &err) < 0) {
        fail(x, &err);
        return true;
    }
    if (decided.what != SL_DECIDED_HAPPENED) {
        return false; /* it did not happen, or retrying it is the decision */
    }
    x->d.kind = SL_DECIDE_DONE;
    x->d.unchanged = true;
    snprintf(x->d.reason, sizeof(x->d.reason), "its effect happened in the run before (%.200s)",
             decided.by);
    for (size_t i = 0; i < p->spec->n_outputs; i++) {
        if (!p->spec->outputs[i].optional && !p->spec->outputs[i].metrics) {
            x->d.kind = SL_DECIDE_FAIL;
            snprintf(x->d.reason, sizeof(x->d.reason),
                     "its effect happened in the run before (%.150s), but its output '%.60s' is "
                     "lost",
                     decided.by, p->spec->outputs[i].name);
            break;
        }
    }
    return true;
}

int eng_bound_of(struct eng_attempt *ea, const struct eng_bound **ret, struct sl_err *err)
{
    struct eng_run *r = ea->run;
    struct eng_bound **bound = &r->bound[ea->a->step];
    if (*bound == NULL) {
        struct sl_db *db = eng_reader_get(r->e, err);
        int rc = db == NULL ? -err->code : eng_bind(r, ea->a->step, db, bound, err);
        if (db != NULL) {
            eng_reader_put(r->e, db);
        }
        if (rc < 0) {
            return rc;
        }
    }
    *ret = *bound;
    return 0;
}

/** A large run decides all its steps long before it starts them: what they bind is not kept, but bound again then
 * (and never, when they are served from the cache). */
static bool bind_again(const struct deciding *x)
{
    const struct sl_plan *plan = x->run->core.plan;
    enum sl_action action = plan->steps[x->step].spec->action;
    return plan->n_steps > ENG_BOUND_KEPT &&
           (x->d.kind == SL_DECIDE_RUN || x->d.kind == SL_DECIDE_CACHED) &&
           (action == SL_ACT_RUN || action == SL_ACT_COMMAND);
}

static void decide_with(struct deciding *x, struct sl_db *db)
{
    const struct sl_plan_step *p = &x->run->core.plan->steps[x->step];
    struct sl_err err = SL_ERR_INIT;
    if (!condition_holds(x, db)) {
        return;
    }
    if (p->spec->action == SL_ACT_NOTIFY) {
        struct eng_world w;
        world_init(&w, x->run, db, &x->arena);
        eng_notify_decide(x->run, x->step, &w.world, &x->bound, &x->d);
        return;
    }
    if (eng_bind(x->run, x->step, db, &x->bound, &err) < 0) {
        fail(x, &err);
        return;
    }
    if (p->is_champion_eval && champion_known(x, db)) {
        x->d.kind = SL_DECIDE_SKIP;
        return;
    }
    x->d.kind = SL_DECIDE_RUN;
    if (p->spec->action == SL_ACT_APPROVAL) {
        int rc = eng_approval_decide(x->run, x->step, x->bound, db, &x->d, &err);
        if (rc == -SL_ENOSPACE) { /* the step is not to blame: it asks again when there is room */
            x->d.kind = SL_DECIDE_WAIT;
            x->d.until_ms = sl_now_ms() + ROOM_RETRY_MS;
            snprintf(x->d.reason, sizeof(x->d.reason), "%.280s", err.msg);
        } else if (rc < 0) {
            fail(x, &err);
        }
        return;
    }
    if (decided_by_people(x, db)) {
        return;
    }
    if (p->spec->action == SL_ACT_RUN || p->spec->action == SL_ACT_COMMAND) {
        make_key(x);
        if (!p->is_champion_eval) { /* its numbers are what is missing: a hit would not bring them */
            look_up(x, db);
        }
        x->d.light = x->d.kind == SL_DECIDE_RUN && light(x);
    }
}

static void decide_fn(struct sl_work *work)
{
    struct deciding *x = SL_CONTAINER_OF(work, struct deciding, work);
    struct sl_err err = SL_ERR_INIT;
    struct sl_db *db = eng_reader_get(x->run->e, &err);
    if (db == NULL) {
        fail(x, &err);
        return;
    }
    decide_with(x, db);
    eng_reader_put(x->run->e, db);
}

/** Moves a hit's outputs into the run's arena, where the core keeps them. */
static void copy_outputs(struct deciding *x)
{
    size_t n = x->run->core.plan->steps[x->step].spec->n_outputs;
    if (x->d.outputs == NULL) {
        return;
    }
    struct sl_artifact *kept =
        sl_arena_memdup(&x->run->arena, x->d.outputs, (n + 1) * sizeof(*kept) - sizeof(*kept));
    for (size_t i = 0; i < n; i++) {
        kept[i].name = sl_arena_strdup(&x->run->arena, kept[i].name != NULL ? kept[i].name : "");
    }
    x->d.outputs = kept;
}

static void feed(struct sl_engine *e);

static void decide_done(struct sl_work *work)
{
    struct deciding *x = SL_CONTAINER_OF(work, struct deciding, work);
    struct sl_engine *e = x->run->e;
    e->n_deciding--;
    if (e->closing) {
        eng_bound_free(x->bound);
        free(x->d.key_record);
    } else {
        if (bind_again(x)) {
            eng_bound_free(x->bound);
            x->bound = NULL;
        }
        eng_bound_free(x->run->bound[x->step]);
        x->run->bound[x->step] = x->bound;
        copy_outputs(x);
        feed(e);
        sl_core_decided(&x->run->core, x->step, &x->d);
        sl_core_pump(e->core);
    }
    sl_arena_release(&x->arena);
    free(x);
}

/* ---- the queue before the lane ---------------------------------------------------------------------- */

/** A step that is to be decided. A run may have 100,000 at once: only a few are worked on, and hold memory. */
struct eng_undecided {
    struct eng_undecided *next;
    struct eng_run *run;
    uint32_t step;
};

static void submit(struct sl_engine *e, const struct eng_undecided *u)
{
    struct deciding *x = SL_NEW(struct deciding);
    x->work.fn = decide_fn;
    x->work.done = decide_done;
    x->run = u->run;
    x->step = u->step;
    atomic_store(&x->run->so_far, (int)status_so_far(&u->run->core));
    sl_arena_init(&x->arena, 0);
    int rc = sl_lane_submit(e->read_lane, &x->work, NULL);
    SL_ASSERT(rc == 0); /* at most ENG_DECIDING_MAX, and the queue holds more */
}

static void feed(struct sl_engine *e)
{
    while (e->n_deciding < ENG_DECIDING_MAX && e->undecided != NULL) {
        struct eng_undecided *u = e->undecided;
        e->undecided = u->next;
        e->n_deciding++;
        submit(e, u);
        free(u);
    }
}

void eng_decide(void *data, struct sl_core_run *core, uint32_t step)
{
    struct sl_engine *e = data;
    struct eng_undecided *u = SL_NEW(struct eng_undecided);
    u->run = eng_run_of(core);
    u->step = step;
    *(e->undecided != NULL ? &e->undecided_last->next : &e->undecided) = u;
    e->undecided_last = u;
    feed(e);
}

void eng_decide_close(struct sl_engine *e)
{
    while (e->undecided != NULL) {
        struct eng_undecided *u = e->undecided;
        e->undecided = u->next;
        free(u);
    }
}
