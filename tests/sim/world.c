/* The engine's life in the simulated world: submit, crash, disk full, restart, and the loop that delivers
 * events in any order that could happen. Thread: one. */
#include "core/base/base.h"

#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/core/core.h"

#define CRASHES_MAX 12

int64_t sim_now(const struct sim *w)
{
    return w->true_ms + w->skew_ms;
}

const char *sim_key(const struct sim *w, uint32_t step)
{
    return w->pipeline.plan->steps[step].key;
}

void sim_trace(struct sim *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sl_buf_printf(&w->trace, "%10lld  ", (long long)w->true_ms);
    sl_buf_vprintf(&w->trace, fmt, args);
    sl_buf_putc(&w->trace, '\n');
    va_end(args);
}

void sim_violation(struct sim *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)printf("%s\n%s\nsim: seed %llu: violation: ", w->pipeline.yaml, sl_buf_str(&w->trace),
                 (unsigned long long)w->seed);
    (void)vprintf(fmt, args);
    (void)printf("\nsim: replay with: sluice_sim --seed %llu\n", (unsigned long long)w->seed);
    va_end(args);
    exit(1);
}

void sim_push(struct sim *w, struct sim_event e, uint32_t within_ms)
{
    e.at_ms = w->true_ms + (sim_one_in(&w->rng, 3) ? 0 : sim_below(&w->rng, within_ms + 1));
    sl_vec_push(&w->events, e);
}

struct sim_proc *sim_proc_find(struct sim *w, const char *id)
{
    for (size_t i = 0; i < w->procs.n; i++) {
        if (sl_streq(w->procs.items[i]->id, id)) {
            return w->procs.items[i];
        }
    }
    return NULL;
}

int sim_never_started(const struct sim *w, uint32_t run, uint32_t step)
{
    int n = 0;
    for (size_t i = 0; i < w->procs.n; i++) {
        const struct sim_proc *p = w->procs.items[i];
        n += p->run == run && p->step == step && p->stored && !p->went && p->phase == PROC_EXITED;
    }
    return n;
}

int sim_execution(const struct sim *w, const struct sim_proc *p)
{
    int n = p->number - 1 - sim_never_started(w, p->run, p->step);
    for (size_t i = 0; i < w->procs.n; i++) {
        const struct sim_proc *q = w->procs.items[i];
        n -= q->run == p->run && q->step == p->step && q->made_way ? 1 : 0;
    }
    return n;
}

/* ---- the engine's life ---------------------------------------------------------------------------- */

static struct sl_core_run *core_run(struct sim_run *r, const struct sim *w)
{
    struct sl_core_run *c = SL_NEW(struct sl_core_run);
    memcpy(c->id, r->id, sizeof(c->id));
    c->number = r->index + 1;
    c->plan = w->pipeline.plan;
    c->arena = SL_NEW(struct sl_arena);
    sl_arena_init(c->arena, 0);
    c->state = r->state;
    c->host = r;
    c->group = w->group_limit > 0 ? "g" : NULL;
    c->group_limit = w->group_limit;
    c->priority = r->priority;
    c->replace = r->replace;
    c->created_ms = r->created_ms;
    r->core = c;
    return c;
}

void sim_submit(struct sim *w, uint32_t run)
{
    struct sim_run *r = &w->runs[run];
    struct sl_err err = SL_ERR_INIT;
    if (w->core == NULL || w->halted) { /* nobody answers: asked again later */
        sim_push(w, (struct sim_event){.kind = EV_SUBMIT, .run = run}, 5000);
        return;
    }
    sim_trace(w, "submit run %u", run);
    r->submitted = true;
    r->created_ms = sim_now(w);
    r->batch = w->n_batches;
    SIM_CHECK(w, sl_core_add_run(w->core, core_run(r, w), &err) == 0, "refused: %s", err.msg);
    sl_core_pump(w->core);
}

static void drop_engine_events(struct sim *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->events.n; i++) {
        struct sim_event e = w->events.items[i];
        if (e.kind >= EV_OF_WORLD) {
            w->events.items[kept++] = e;
            continue;
        }
        if (e.kind == EV_COLLECTED && e.proc->out.ok && sim_one_in(&w->rng, 2)) {
            e.proc->committed = true; /* outputs reached the registry, nobody heard of it */
        }
        if (e.early != NULL) {
            free(e.early->key_record);
            free(e.early);
        }
    }
    w->events.n = kept;
}

static void lose_processes(struct sim *w)
{
    for (size_t i = 0; i < w->procs.n; i++) {
        struct sim_proc *p = w->procs.items[i];
        p->a = NULL;
        p->exit_told = false;
        p->made_way = p->made_way && p->stored; /* else its number is given anew */
        bool discarded =
            p->phase == PROC_GONE && p->stored && p->stored_state == SL_ATTEMPT_STARTED;
        if ((p->phase == PROC_BLOCKED || discarded) && !p->action) { /* its GO can never come */
            p->phase = PROC_EXITED;
            p->made_way = false;
            p->out = (struct sl_outcome){.fail = SL_FAIL_NEVER_STARTED};
        }
    }
}

void sim_crash(struct sim *w)
{
    struct sl_err err = SL_ERR_INIT;
    (void)sl_err_set(&err, SL_EIO, "gone");
    w->crashing = true;
    for (size_t i = 0; i < w->batches.n; i++) {
        sl_core_journaled(w->core, w->batches.items[i].j, -SL_EIO, &err);
    }
    w->batches.n = 0;
    drop_engine_events(w);
    lose_processes(w);
    sl_core_free(w->core);
    w->core = NULL;
    w->crashing = w->halted = w->disk_full = false;
    for (uint32_t i = 0; i < w->n_runs; i++) {
        struct sim_run *r = &w->runs[i];
        if (r->core != NULL) {
            sl_arena_release(r->core->arena);
            free(r->core->arena);
            free(r->core);
            r->core = NULL;
        }
    }
}

static void restore_steps(struct sim *w, struct sim_run *r)
{
    for (uint32_t i = 0; i < w->pipeline.plan->n_steps; i++) {
        const struct sim_row *row = &r->rows[i];
        if (row->state == SL_STEP_PENDING) {
            continue;
        }
        struct sl_core_step s = {.state = row->state,
                                 .attempts = row->attempts,
                                 .not_before_ms = row->not_before_ms,
                                 .timed_out = row->timed_out,
                                 .ended_ms = row->ended_ms,
                                 .has_key = row->has_key,
                                 .key = row->key,
                                 .key_record = row->has_key ? sl_strdup("{}") : NULL};
        s.share = s.has_key && w->pipeline.groups[w->pipeline.plan->steps[i].group].cacheable;
        if (sl_step_state_good(s.state)) {
            s.outputs = SL_ARENA_ARRAY(r->core->arena, struct sl_artifact, 2);
            s.outputs[0].digest = s.outputs[1].digest = w->pipeline.keys[i];
        }
        sl_core_restore_step(r->core, i, &s);
    }
}

static void restore_attempts(struct sim *w, struct sim_run *r)
{
    for (size_t i = 0; i < w->procs.n; i++) {
        struct sim_proc *p = w->procs.items[i];
        if (p->run != r->index || !p->stored) {
            continue;
        }
        if (p->stored_state != SL_ATTEMPT_STARTED) {
            sl_core_restore_ended(r->core, p->step, p->number,
                                  p->stored_out.ok ? SL_FAIL_COUNT : p->stored_out.fail,
                                  p->stored_end);
            continue;
        }
        struct sl_core_attempt *a = SL_NEW(struct sl_core_attempt);
        memcpy(a->id, p->id, sizeof(a->id));
        a->step = p->step;
        a->number = p->number;
        a->action = p->action;
        a->host = p;
        p->a = a;
        sl_core_restore_attempt(r->core, a);
        if (p->way) {
            sl_core_restore_preempted(a, "made way");
        }
    }
}

void sim_restart(struct sim *w)
{
    w->core = sl_core_new(&sim_io, w, &w->caps);
    for (uint32_t i = 0; i < w->n_runs; i++) {
        struct sim_run *r = &w->runs[i];
        struct sl_err err = SL_ERR_INIT;
        if (sl_run_machine.states[r->state].final) {
            r->over = true;
            continue;
        }
        if (!r->submitted) {
            continue;
        }
        uint64_t adopted = w->counts.adopted;
        int rc = sl_core_restore_begin(w->core, core_run(r, w), &err);
        SIM_CHECK(w, rc == 0, "restore: %s", err.msg);
        restore_steps(w, r);
        restore_attempts(w, r);
        sl_core_restore_go(r->core);
        for (size_t k = 0; k < w->procs.n; k++) {
            const struct sim_proc *p = w->procs.items[k];
            adopted += p->run == i && p->stored && p->stored_state == SL_ATTEMPT_STARTED;
        }
        SIM_CHECK(w, adopted == w->counts.adopted, "not every open attempt is adopted");
    }
    sl_core_pump(w->core);
}

/* ---- events --------------------------------------------------------------------------------------- */

static void on_decided(struct sim *w, struct sim_event *e)
{
    struct sl_decision d;
    if (e->early != NULL) {
        d = *e->early;
        free(e->early);
    } else {
        sim_judge(w, e->run, e->step, &d);
    }
    sim_trace(w, "decided run %u %s: %s", e->run, sim_key(w, e->step),
              (const char *[]){"run", "skip", "omit", "cached", "fail", "wait", "done",
                               "refuse"}[d.kind]);
    sl_core_decided(w->runs[e->run].core, e->step, &d);
}

static void on_started(struct sim *w, struct sim_proc *p)
{
    struct sl_err err = SL_ERR_INIT;
    int k = sim_execution(w, p);
    struct sl_outcome fate = sim_fate(w, p->run, p->step, k);
    if (fate.ok || fate.fail != SL_FAIL_INFRA) {
        sl_core_started(p->a, 0, NULL);
        return;
    }
    p->phase = PROC_GONE;
    p->out = fate;
    sl_core_started(p->a, sl_err_set(&err, SL_EIO, "cannot start"), &err);
}

static void on_proc_end(struct sim *w, struct sim_proc *p)
{
    if (p->phase != PROC_RUNNING) {
        return; /* it was killed before its time */
    }
    p->phase = PROC_EXITED;
    sim_trace(w, "exit run %u %s attempt %d: %s", p->run, sim_key(w, p->step), p->number,
              p->out.ok ? "ok" : sl_fail_class_names[p->out.fail]);
    if (p->a != NULL) {
        sim_push(w, (struct sim_event){.kind = EV_EXITED, .proc = p}, 50);
    }
}

static void on_exited(struct sim *w, struct sim_proc *p)
{
    if (p->a == NULL) {
        return; /* the doubled news of an attempt that is over */
    }
    p->phase = PROC_EXITED;
    if ((w->profile & FAULT_DOUBLE) != 0 && sim_one_in(&w->rng, 3)) {
        w->counts.faults++;
        sim_push(w, (struct sim_event){.kind = EV_EXITED, .proc = p}, 200);
    }
    sl_core_exited(p->a, &p->out);
}

static void on_collected(struct sim *w, struct sim_proc *p)
{
    struct sl_outcome o;
    if (p->a == NULL) {
        return;
    }
    sim_collect(w, p, &o);
    if ((w->profile & FAULT_DOUBLE) != 0 && sim_one_in(&w->rng, 6)) {
        w->counts.faults++;
        sim_push(w, (struct sim_event){.kind = EV_COLLECTED, .proc = p}, 200);
    }
    sl_core_collected(p->a, &o);
}

static void on_answer(struct sim *w, int rc)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_journal *j = w->batches.items[0].j;
    w->batches.n--;
    memmove(w->batches.items, w->batches.items + 1, w->batches.n * sizeof(*w->batches.items));
    if (rc < 0) {
        (void)sl_err_set(&err, SL_ENOSPACE, "no space left on device");
    }
    sl_core_journaled(w->core, j, rc, &err);
}

static void on_commit(struct sim *w)
{
    size_t i = 0;
    while (i < w->batches.n && w->batches.items[i].committed) {
        i++;
    }
    SL_ASSERT(i < w->batches.n);
    if (!w->disk_full) {
        w->applying = w->batches.items[i].number;
        sim_store_apply(w, w->batches.items[i].j);
        w->batches.items[i].committed = true;
        sim_push(w, (struct sim_event){.kind = EV_ANSWER}, 10);
    } else if (i == 0) {
        on_answer(w, -SL_ENOSPACE);
    } else { /* answers keep their order */
        sim_push(w, (struct sim_event){.kind = EV_COMMIT}, 10);
    }
}

static void deliver(struct sim *w, struct sim_event *e)
{
    switch (e->kind) {
    case EV_DECIDED: on_decided(w, e); break;
    case EV_STARTED: on_started(w, e->proc); break;
    case EV_EXITED: on_exited(w, e->proc); break;
    case EV_COLLECTED: on_collected(w, e->proc); break;
    case EV_COMMIT: on_commit(w); break;
    case EV_ANSWER: on_answer(w, 0); break;
    case EV_WAKE: break;
    case EV_PROC_END: on_proc_end(w, e->proc); return;
    case EV_SUBMIT: sim_submit(w, e->run); return;
    case EV_VOTE: sim_people_vote(w, e->run, e->step); break;
    case EV_RESTART:
        if (w->halted) {
            sim_trace(w, "space freed");
            sim_crash(w);
        }
        if (w->core == NULL) {
            sim_trace(w, "restart");
            sim_restart(w);
        }
        return;
    }
    if (w->core != NULL) {
        sl_core_pump(w->core);
    }
}

static struct sim_event take_event(struct sim *w)
{
    SIM_CHECK(w, w->events.n > 0, "nothing will ever happen again, but runs are open");
    size_t due = 0;
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < w->events.n; i++) {
        first = SL_MIN(first, w->events.items[i].at_ms);
    }
    w->true_ms = SL_MAX(w->true_ms, first);
    for (size_t i = 0; i < w->events.n; i++) {
        due += w->events.items[i].at_ms <= w->true_ms ? 1 : 0;
    }
    uint32_t pick = sim_below(&w->rng, (uint32_t)due);
    size_t at = 0;
    while (w->events.items[at].at_ms > w->true_ms || pick-- > 0) {
        at++;
    }
    struct sim_event e = w->events.items[at];
    w->events.n--;
    memmove(w->events.items + at, w->events.items + at + 1,
            (w->events.n - at) * sizeof(*w->events.items));
    return e;
}

/* ---- faults --------------------------------------------------------------------------------------- */

static void jump_clock(struct sim *w)
{
    int64_t by = (int64_t)sim_below(&w->rng, 7200000) - 3600000;
    w->skew_ms += by;
    w->counts.faults++;
    sim_trace(w, "the clock jumps by %lld ms", (long long)by);
}

static void cancel_one(struct sim *w)
{
    struct sim_run *r = &w->runs[sim_below(&w->rng, w->n_runs)];
    if (r->core != NULL && !w->halted) {
        sim_trace(w, "cancel run %u", r->index);
        w->counts.faults++;
        sl_core_cancel(r->core, "sim");
    }
}

static void maybe_fault(struct sim *w)
{
    if ((w->profile & FAULT_CRASH) != 0 && w->core != NULL && sim_one_in(&w->rng, 40) &&
        w->counts.crashes < CRASHES_MAX) {
        sim_trace(w, "crash");
        w->counts.crashes++;
        sim_crash(w);
        if (sim_one_in(&w->rng, 2)) {
            sim_restart(w);
        } else { /* processes end while nobody watches */
            sim_push(w, (struct sim_event){.kind = EV_RESTART}, 5000);
        }
    }
    if ((w->profile & FAULT_DISK) != 0 && w->core != NULL && sim_one_in(&w->rng, 200) &&
        !w->disk_full) {
        sim_trace(w, "the disk is full");
        w->counts.faults++;
        w->disk_full = true;
    }
    if ((w->profile & FAULT_CLOCK) != 0 && sim_one_in(&w->rng, 60)) {
        jump_clock(w);
    }
    if ((w->profile & FAULT_CANCEL) != 0 && sim_one_in(&w->rng, 150)) {
        cancel_one(w);
    }
}

static bool all_over(const struct sim *w)
{
    for (uint32_t i = 0; i < w->n_runs; i++) {
        if (!w->runs[i].over) {
            return false;
        }
    }
    return true;
}

static void start_world(struct sim *w, uint64_t seed)
{
    w->seed = seed;
    w->rng.state = sim_mix(seed, 2);
    w->trace = SL_BUF_INIT(8 << 20);
    if (!sim_pipeline_init(&w->pipeline, seed)) {
        exit(1);
    }
    w->profile = sim_below(&w->rng, 32);
    w->true_ms = 1000000000;
    w->caps = (struct sl_sched_caps){.cpu_milli = 3500 + 500 * (int)sim_below(&w->rng, 4),
                                     .slots = (int)sim_below(&w->rng, 5),
                                     .ahead = 4 * (int)sim_below(&w->rng, 3)};
    w->n_runs = 1 + sim_below(&w->rng, SIM_RUNS_MAX);
    w->group_limit = (int)sim_below(&w->rng, 4) - 1;
    w->group_limit = SL_MAX(w->group_limit, 0);
    for (uint32_t i = 0; i < w->n_runs; i++) {
        w->runs[i].index = i;
        w->runs[i].priority = (int)sim_below(&w->rng, 3);
        w->runs[i].replace = w->group_limit > 0 && sim_one_in(&w->rng, 4);
        snprintf(w->runs[i].id, sizeof(w->runs[i].id), "%032x", 0xf00U + i);
        sim_push(w, (struct sim_event){.kind = EV_SUBMIT, .run = i}, i == 0 ? 0 : 20000);
    }
    sim_restart(w);
}

static void end_world(struct sim *w)
{
    for (size_t i = 0; i < w->batches.n; i++) {
        SIM_CHECK(w, w->batches.items[i].committed, "a batch is left when all runs are over");
    }
    sim_crash(w);
    for (size_t i = 0; i < w->procs.n; i++) {
        free(w->procs.items[i]);
    }
    sl_vec_free(&w->procs);
    sl_vec_free(&w->events);
    sl_vec_free(&w->batches);
    sl_vec_free(&w->cache);
    sl_buf_release(&w->trace);
    sim_pipeline_release(&w->pipeline);
}

void sim_play(uint64_t seed, bool verbose, struct sim_counts *counts)
{
    struct sim *w = SL_NEW(struct sim);
    start_world(w, seed);
    while (!all_over(w)) {
        maybe_fault(w);
        if (all_over(w)) { /* it was, before the crash */
            break;
        }
        struct sim_event e = take_event(w);
        deliver(w, &e);
        sim_check_now(w);
        SIM_CHECK(w, ++w->counts.events < SIM_EVENTS_MAX, "the runs do not end");
    }
    if (verbose) {
        (void)printf("%s\n%s", w->pipeline.yaml, sl_buf_str(&w->trace));
    }
    *counts = w->counts;
    end_world(w);
    free(w);
}
