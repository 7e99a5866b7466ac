/* The effects that the core asks for, in the simulated world. Thread: one. Must not: call back into the
 * core from inside an effect. */
#include "core/base/base.h"

#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/core/core.h"

static uint32_t run_of(const struct sl_core_run *r)
{
    return ((const struct sim_run *)r->host)->index;
}

static int64_t io_now(void *data)
{
    return sim_now(data);
}

static void io_new_id(void *data, char out[SL_ID_HEX + 1])
{
    struct sim *w = data;
    snprintf(out, SL_ID_HEX + 1, "%032llx", (unsigned long long)++w->next_id);
}

/* ---- deciding ------------------------------------------------------------------------------------- */

static const char *world_status(void *data, uint32_t step)
{
    const struct sim_run *r = data;
    return sl_core_step_status(r->core, step);
}

static const char *status_so_far(const struct sl_core_run *r)
{
    return r->state == SL_RUN_CANCELLING ? "cancelled"
           : r->n_failed > 0             ? "failed"
           : r->n_refused > 0            ? "refused"
                                         : "succeeded";
}

static const struct sl_artifact *world_output(void *data, uint32_t step, const char *output)
{
    (void)output;
    const struct sim_run *r = data;
    return r->core->steps[step].outputs;
}

static void judge_cache(struct sim *w, uint32_t run, uint32_t step, struct sl_decision *d)
{
    const struct sl_plan_step *p = &w->pipeline.plan->steps[step];
    const struct sim_group *g = &w->pipeline.groups[p->group];
    d->kind = SL_DECIDE_RUN;
    if (g->gate) {
        return;
    }
    d->has_key = true;
    d->share = g->cacheable;
    d->light = sim_one_in(&w->rng, 4) == false;
    d->key = w->pipeline.keys[step];
    d->key_record = sl_strdup("{}");
    const struct sim_cached *hit = g->cacheable ? sim_store_cached(w, &d->key) : NULL;
    if (hit != NULL) {
        d->kind = SL_DECIDE_CACHED;
        d->outputs = SL_ARENA_ARRAY(w->runs[run].core->arena, struct sl_artifact, 2);
        d->outputs[0].digest = d->outputs[1].digest = d->key;
        snprintf(d->from_run, sizeof(d->from_run), "%s", w->runs[hit->run].id);
        d->from_step = hit->step;
    }
}

void sim_judge(struct sim *w, uint32_t run, uint32_t step, struct sl_decision *d)
{
    struct sim_run *r = &w->runs[run];
    struct sl_err err = SL_ERR_INIT;
    struct sl_arena a;
    struct sl_plan_judgement j = {.verdict = SL_PLAN_OMIT};
    sl_arena_init(&a, 0);
    struct sl_plan_world world = {.step_status = world_status,
                                  .step_output = world_output,
                                  .run_id = r->id,
                                  .run_number = run + 1,
                                  .run_status = status_so_far(r->core),
                                  .cancelled = r->core->state == SL_RUN_CANCELLING,
                                  .data = r};
    *d = (struct sl_decision){0};
    int rc = sl_plan_judge(w->pipeline.plan, step, &world, &a, &j, &err);
    SIM_CHECK(w, rc == 0, "condition of %s: %s", sim_key(w, step), err.msg);
    const struct sim_group *g = &w->pipeline.groups[w->pipeline.plan->steps[step].group];
    bool go = j.verdict == SL_PLAN_RUN;
    if (go && (g->approval || g->notify)) {
        sim_people_judge(w, run, step, d);
    } else if (go) {
        judge_cache(w, run, step, d);
    } else {
        d->kind = j.verdict == SL_PLAN_SKIP ? SL_DECIDE_SKIP : SL_DECIDE_OMIT;
        snprintf(d->reason, sizeof(d->reason), "%s", j.why);
    }
    sl_arena_release(&a);
}

static void io_decide(void *data, struct sl_core_run *r, uint32_t step)
{
    struct sim *w = data;
    const struct sl_plan_step *p = &w->pipeline.plan->steps[step];
    for (uint32_t i = 0; i < p->n_needs; i++) {
        SIM_CHECK(w, sl_step_state_final(r->steps[p->needs[i]].state),
                  "%s is decided before its need %s has ended", p->key, sim_key(w, p->needs[i]));
    }
    for (size_t i = 0; i < w->events.n; i++) {
        const struct sim_event *e = &w->events.items[i];
        SIM_CHECK(w, e->kind != EV_DECIDED || e->run != run_of(r) || e->step != step,
                  "%s is decided twice at once", p->key);
    }
    sim_trace(w, "decide run %u %s", run_of(r), p->key);
    struct sl_decision *early = NULL;
    if (sim_one_in(&w->rng, 2)) {
        early = SL_NEW(struct sl_decision);
        sim_judge(w, run_of(r), step, early);
    }
    sim_push(w,
             (struct sim_event){.kind = EV_DECIDED, .run = run_of(r), .step = step, .early = early},
             20);
}

/* ---- attempts ------------------------------------------------------------------------------------- */

static void io_start(void *data, struct sl_core_attempt *a)
{
    struct sim *w = data;
    SIM_CHECK(w, sim_proc_find(w, a->id) == NULL, "attempt id %s is used twice", a->id);
    sim_check_start(w, a);
    struct sim_proc *p = SL_NEW(struct sim_proc);
    memcpy(p->id, a->id, sizeof(p->id));
    p->run = run_of(a->run);
    p->step = a->step;
    p->number = a->number;
    p->action = a->action;
    p->a = a;
    a->host = p;
    sl_vec_push(&w->procs, p);
    w->counts.attempts++;
    sim_trace(w, "start run %u %s attempt %d", p->run, sim_key(w, p->step), p->number);
    sim_push(w, (struct sim_event){.kind = EV_STARTED, .proc = p}, 50);
}

static void io_go(void *data, struct sl_core_attempt *a)
{
    struct sim *w = data;
    struct sim_proc *p = a->host;
    sim_trace(w, "go run %u %s attempt %d: execution %d", p->run, sim_key(w, p->step), p->number,
              sim_execution(w, p));
    sim_check_go(w, p);
    p->went = true;
    p->phase = PROC_RUNNING;
    int k = sim_execution(w, p);
    struct sl_outcome fate = sim_fate(w, p->run, p->step, k);
    p->out = fate;
    if (p->action) { /* inside the engine: dies and is judged again with it */
        sim_push(w, (struct sim_event){.kind = EV_EXITED, .proc = p}, 100);
    } else {
        sim_push(w, (struct sim_event){.kind = EV_PROC_END, .proc = p}, 3000);
    }
}

static void io_discard(void *data, struct sl_core_attempt *a)
{
    struct sim *w = data;
    struct sim_proc *p = a->host;
    sim_trace(w, "discard run %u %s attempt %d", p->run, sim_key(w, p->step), p->number);
    SIM_CHECK(w, p->phase == PROC_BLOCKED && !p->went, "an attempt that ran is discarded");
    SIM_CHECK(w, !a->ahead || !p->stored, "an attempt that was made ready ahead is recorded");
    w->counts.dropped += a->ahead ? 1 : 0;
    p->phase = PROC_GONE;
    p->made_way = a->preempted;
    p->out = (struct sl_outcome){.fail = SL_FAIL_CANCELLED};
}

static void io_adopt(void *data, struct sl_core_attempt *a)
{
    struct sim *w = data;
    struct sim_proc *p = a->host;
    sim_trace(w, "adopt run %u %s attempt %d", p->run, sim_key(w, p->step), p->number);
    SIM_CHECK(w, p->stored && p->stored_state == SL_ATTEMPT_STARTED, "adopts what is not running");
    w->counts.adopted++;
    if (p->action) {
        int k = sim_execution(w, p);
        p->out = sim_fate(w, p->run, p->step, k);
        p->phase = PROC_RUNNING;
        p->went = true;
    }
    if (p->action || p->phase == PROC_EXITED) {
        sim_push(w, (struct sim_event){.kind = EV_EXITED, .proc = p}, 100);
    }
}

static void io_cancel(void *data, struct sl_core_attempt *a)
{
    struct sim *w = data;
    struct sim_proc *p = a->host;
    sim_trace(w, "cancel run %u %s attempt %d", p->run, sim_key(w, p->step), p->number);
    bool stopped = sim_group_failed(w, p->run, p->step);
    SIM_CHECK(w, stopped || p->way || w->runs[p->run].state == SL_RUN_CANCELLING,
              "cancelled before the request is durable");
    w->counts.stopped += stopped ? 1 : 0;
    if (p->phase != PROC_RUNNING || sim_one_in(&w->rng, 4)) {
        return; /* over, or it ends by itself before it is killed */
    }
    p->asked_to_stop = true;
    p->made_way = a->preempted;
    p->out = (struct sl_outcome){.fail = SL_FAIL_CANCELLED};
    if (!p->action) {
        sim_push(w, (struct sim_event){.kind = EV_PROC_END, .proc = p}, 100);
    }
}

void sim_collect(struct sim *w, struct sim_proc *p, struct sl_outcome *o)
{
    *o = p->out;
    if (!o->ok) {
        return;
    }
    for (size_t i = 0; i < w->procs.n; i++) {
        const struct sim_proc *q = w->procs.items[i];
        SIM_CHECK(w, q == p || !q->committed || q->run != p->run || q->step != p->step,
                  "outputs of %s are committed by two attempts", sim_key(w, p->step));
    }
    p->committed = true;
    o->outputs = SL_ARENA_ARRAY(w->runs[p->run].core->arena, struct sl_artifact, 2);
    o->outputs[0].digest = o->outputs[1].digest = w->pipeline.keys[p->step];
}

static void io_collect(void *data, struct sl_core_attempt *a)
{
    struct sim *w = data;
    sim_push(w, (struct sim_event){.kind = EV_COLLECTED, .proc = a->host}, 50);
}

static void io_attempt_over(void *data, struct sl_core_attempt *a)
{
    (void)data;
    ((struct sim_proc *)a->host)->a = NULL;
}

/* ---- the journal, the clock, the end -------------------------------------------------------------- */

static void io_journal(void *data, struct sl_journal *j)
{
    struct sim *w = data;
    SIM_CHECK(w, !w->halted, "a halted core writes");
    SIM_CHECK(w, j->entries.n > 0, "an empty batch");
    sl_vec_push(&w->batches, ((struct sim_batch){j, false, w->n_batches++}));
    sim_push(w, (struct sim_event){.kind = EV_COMMIT}, 30);
}

static void io_wake_at(void *data, int64_t at_ms)
{
    struct sim *w = data;
    for (size_t i = 0; i < w->events.n; i++) {
        if (w->events.items[i].kind == EV_WAKE) {
            w->events.items[i] = w->events.items[--w->events.n];
            break;
        }
    }
    int64_t wait = SL_MAX(at_ms - sim_now(w), 0);
    struct sim_event e = {.kind = EV_WAKE, .at_ms = w->true_ms + wait};
    sl_vec_push(&w->events, e);
}

static void io_run_over(void *data, struct sl_core_run *core)
{
    struct sim *w = data;
    struct sim_run *r = core->host;
    sim_trace(w, "over run %u", r->index);
    SIM_CHECK(w, sl_run_machine.states[r->state].final, "run %u is over before it is stored",
              r->index);
    SIM_CHECK(w, core->n_live == 0, "run %u is over with live attempts", r->index);
    sl_core_remove_run(w->core, core);
    sl_arena_release(core->arena);
    free(core->arena);
    free(core);
    r->core = NULL;
    r->over = true;
}

static void io_halted(void *data, const struct sl_err *err)
{
    struct sim *w = data;
    w->halted = true;
    if (!w->crashing) {
        sim_trace(w, "halted: %s", err->msg);
        sim_push(w, (struct sim_event){.kind = EV_RESTART}, 5000);
    }
}

const struct sl_core_io sim_io = {.now_ms = io_now,
                                  .new_id = io_new_id,
                                  .decide = io_decide,
                                  .start = io_start,
                                  .go = io_go,
                                  .discard = io_discard,
                                  .adopt = io_adopt,
                                  .cancel = io_cancel,
                                  .collect = io_collect,
                                  .journal = io_journal,
                                  .wake_at = io_wake_at,
                                  .attempt_over = io_attempt_over,
                                  .run_over = io_run_over,
                                  .halted = io_halted};
