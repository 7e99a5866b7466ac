/* What is durable. Applies a batch as one transaction and checks that every move starts where the store
 * stands and follows its table. Thread: one. */
#include "core/base/base.h"

#include "tests/sim/sim.h"

#include "pipelines/core/core.h"

static struct sim_run *run_of(const struct sl_jentry *e)
{
    return e->run->host;
}

const struct sim_cached *sim_store_cached(const struct sim *w, const struct sl_digest *key)
{
    for (size_t i = 0; i < w->cache.n; i++) {
        if (memcmp(&w->cache.items[i].key, key, sizeof(*key)) == 0) {
            return &w->cache.items[i];
        }
    }
    return NULL;
}

static void check_move(struct sim *w, const struct sl_sm_table *t, const struct sl_jentry *e,
                       int stands)
{
    SIM_CHECK(w, stands == e->from, "%s move %s -> %s, but the store says %s", t->name,
              sl_sm_name(t, e->from), sl_sm_name(t, e->to), sl_sm_name(t, stands));
    SIM_CHECK(w, sl_sm_allowed(t, e->from, e->to), "%s move %s -> %s is not in the table", t->name,
              sl_sm_name(t, e->from), sl_sm_name(t, e->to));
    SIM_CHECK(w, !t->states[e->from].final, "%s leaves the final state %s", t->name,
              sl_sm_name(t, e->from));
}

static void apply_run(struct sim *w, const struct sl_jentry *e)
{
    struct sim_run *r = run_of(e);
    check_move(w, &sl_run_machine, e, (int)r->state);
    if (e->to == SL_RUN_RUNNING && w->group_limit > 0) {
        sim_check_admitted(w, r);
    }
    if (e->to == SL_RUN_CANCELLING) {
        sim_check_replaced(w, r, e->reason);
    }
    r->started = r->started || e->to == SL_RUN_RUNNING;
    r->state = (enum sl_run_state)e->to;
    r->cancelled = r->cancelled || r->state == SL_RUN_CANCELLING;
    r->timed_out = e->run->timed_out;
    if (sl_run_machine.states[e->to].final) {
        sim_model_check(w, r);
    }
}

static struct sim_proc *stored_in(struct sim *w, const struct sl_jentry *e,
                                  enum sl_attempt_state state)
{
    for (size_t i = 0; i < w->procs.n; i++) {
        struct sim_proc *p = w->procs.items[i];
        if (p->stored && p->run == run_of(e)->index && p->step == e->step &&
            p->stored_state == state) {
            return p;
        }
    }
    return NULL;
}

static void check_step_end(struct sim *w, const struct sl_jentry *e)
{
    const struct sim_group *g = &w->pipeline.groups[w->pipeline.plan->steps[e->step].group];
    const struct sim_cached *hit = NULL;
    struct sim_cached made = {e->key, run_of(e)->index, e->step};
    SIM_CHECK(w, stored_in(w, e, SL_ATTEMPT_STARTED) == NULL, "%s ends with an open attempt",
              sim_key(w, e->step));
    if (e->to == SL_STEP_SUCCEEDED) {
        bool people = g->approval || g->notify;
        SIM_CHECK(w, people != (stored_in(w, e, SL_ATTEMPT_SUCCEEDED) != NULL),
                  "%s succeeds %s an attempt", sim_key(w, e->step), people ? "with" : "without");
        SIM_CHECK(w, people || e->outputs != NULL, "%s succeeds without outputs",
                  sim_key(w, e->step));
        if (g->cacheable && e->has_key) {
            sl_vec_push(&w->cache, made);
        }
    }
    if (e->to == SL_STEP_CACHED) {
        hit = sim_store_cached(w, &e->key);
        SIM_CHECK(w, hit != NULL && e->from_run[0] != '\0' && e->outputs != NULL,
                  "%s is cached from nothing", sim_key(w, e->step));
        w->counts.cached++;
    }
}

static void apply_step(struct sim *w, const struct sl_jentry *e)
{
    struct sim_row *row = &run_of(e)->rows[e->step];
    check_move(w, &sl_step_machine, e, (int)row->state);
    SIM_CHECK(w, e->attempts >= row->attempts, "%s forgets attempts", sim_key(w, e->step));
    if (e->to == SL_STEP_RUNNING) {
        SIM_CHECK(w, stored_in(w, e, SL_ATTEMPT_STARTED) != NULL, "%s runs without an attempt",
                  sim_key(w, e->step));
    }
    if (sl_step_state_final((enum sl_step_state)e->to)) {
        check_step_end(w, e);
    }
    row->state = (enum sl_step_state)e->to;
    row->attempts = e->attempts;
    row->not_before_ms = e->not_before_ms;
    row->timed_out = e->timed_out;
    row->ended_ms = e->ts_ms;
    w->counts.late += e->timed_out ? 1 : 0;
    if (e->has_key) {
        row->has_key = true;
        row->key = e->key;
    }
}

static void apply_start(struct sim *w, const struct sl_jentry *e)
{
    struct sim_proc *p = e->att->host;
    const struct sim_proc *open = stored_in(w, e, SL_ATTEMPT_STARTED);
    SIM_CHECK(w, open == NULL, "two open attempts of %s", sim_key(w, e->step));
    SIM_CHECK(w, !p->stored, "attempt %d of %s is started twice", p->number, sim_key(w, e->step));
    SIM_CHECK(w, !p->went, "attempt %d of %s ran before it was durable", p->number,
              sim_key(w, e->step));
    p->stored = true;
    p->stored_state = SL_ATTEMPT_STARTED;
}

static void apply_end(struct sim *w, const struct sl_jentry *e)
{
    struct sim_proc *p = e->att->host;
    SIM_CHECK(w, p->stored, "an attempt of %s ends that never started", sim_key(w, e->step));
    check_move(w, &sl_attempt_machine, e, (int)p->stored_state);
    const struct sl_outcome *o = &e->att->outcome;
    bool late = o->fail == SL_FAIL_TIMEOUT && !p->went && p->phase == PROC_GONE;
    bool made_way = o->fail == SL_FAIL_PREEMPTED && p->made_way && (p->way || !p->went);
    w->counts.preempted += made_way ? 1 : 0;
    SIM_CHECK(w, o->ok == p->out.ok && (o->ok || late || made_way || o->fail == p->out.fail),
              "attempt %d of %s is stored as %s, but it was %s", p->number, sim_key(w, e->step),
              o->ok ? "ok" : sl_fail_class_names[o->fail],
              p->out.ok ? "ok" : sl_fail_class_names[p->out.fail]);
    p->stored_state = (enum sl_attempt_state)e->to;
    p->stored_out = *o;
    p->stored_end = e->ts_ms;
}

static void apply_preempt(struct sim *w, const struct sl_jentry *e)
{
    struct sim_proc *p = e->att->host;
    const struct sim_group *g = &w->pipeline.groups[w->pipeline.plan->steps[e->step].group];
    SIM_CHECK(w,
              p->stored && p->stored_state == SL_ATTEMPT_STARTED &&
                  (p->went || p->phase == PROC_EXITED),
              "%s is to make way, and does not run", sim_key(w, e->step));
    SIM_CHECK(w, g->yields && !g->external && !g->is_finally, "%s must not be preempted",
              sim_key(w, e->step));
    p->way = true;
}

void sim_store_apply(struct sim *w, const struct sl_journal *j)
{
    for (size_t i = 0; i < j->entries.n; i++) {
        const struct sl_jentry *e = &j->entries.items[i];
        static const struct sl_sm_table *const tables[] = {&sl_run_machine, &sl_step_machine,
                                                           &sl_attempt_machine, &sl_attempt_machine,
                                                           &sl_attempt_machine};
        sim_trace(w, "durable run %u %s %s -> %s %s", run_of(e)->index,
                  e->kind == SL_J_RUN ? "" : sim_key(w, e->step),
                  sl_sm_name(tables[e->kind], e->from), sl_sm_name(tables[e->kind], e->to),
                  e->reason);
        switch (e->kind) {
        case SL_J_RUN: apply_run(w, e); break;
        case SL_J_STEP: apply_step(w, e); break;
        case SL_J_ATTEMPT_START: apply_start(w, e); break;
        case SL_J_ATTEMPT_END: apply_end(w, e); break;
        case SL_J_ATTEMPT_PREEMPT: apply_preempt(w, e); break;
        }
    }
}
