/* The reference: what each step and the run must end as, worked out one step after the other from the
 * generator's own record and the fates of executions. Knows nothing of the core. Thread: one. */
#include "core/base/base.h"

#include "tests/sim/sim.h"

#include "pipelines/core/core.h"

static uint32_t below(uint64_t hash, uint32_t n)
{
    return (uint32_t)(hash >> 33) % n;
}

struct sl_outcome sim_fate(const struct sim *w, uint32_t run, uint32_t step, int k)
{
    static const enum sl_fail_class ends[] = {SL_FAIL_EXIT,    SL_FAIL_EXIT, SL_FAIL_OOM,
                                              SL_FAIL_TIMEOUT, SL_FAIL_LOST, SL_FAIL_INFRA};
    const struct sim_group *g = &w->pipeline.groups[w->pipeline.plan->steps[step].group];
    const char *key = sim_key(w, step);
    uint64_t base = g->cacheable ? sl_xxh3(&w->pipeline.keys[step], sizeof(struct sl_digest))
                                 : sl_xxh3(key, strlen(key)) + run;
    uint64_t h = sim_mix(sim_mix(w->seed, base), (uint64_t)k + 1);
    if (below(h, 100) < 72) {
        return (struct sl_outcome){.ok = true};
    }
    h = sim_mix(h, 7);
    if (g->gate) {
        return (struct sl_outcome){.fail = below(h, 4) > 0 ? SL_FAIL_REJECTED : SL_FAIL_EXIT};
    }
    return (struct sl_outcome){.fail = ends[below(h, SL_LEN(ends))]};
}

/* ---- conditions ----------------------------------------------------------------------------------- */

enum verdict { RUNS, IS_SKIPPED, IS_OMITTED };

static bool bad(enum sl_step_state s)
{
    return s == SL_STEP_FAILED || s == SL_STEP_REFUSED;
}

/** A need failed, or one behind a need that was omitted for it. */
static bool failed_behind(const struct sim *w, const struct sim_run *r, uint32_t step, bool *seen)
{
    const struct sl_plan_step *p = &w->pipeline.plan->steps[step];
    bool found = false;
    for (uint32_t i = 0; i < p->n_needs && !found; i++) {
        enum sl_step_state s = r->rows[p->needs[i]].state;
        found = bad(s);
        if (s == SL_STEP_OMITTED && !seen[p->needs[i]]) {
            seen[p->needs[i]] = true;
            found = failed_behind(w, r, p->needs[i], seen);
        }
    }
    return found;
}

static bool status_is(const struct sim *w, const struct sim_run *r, const struct sim_group *g)
{
    uint32_t first = w->pipeline.plan->group_first[g->cond_on];
    uint32_t n = w->pipeline.plan->group_count[g->cond_on];
    bool all_good = true;
    bool any_failed = false; /* a failure among many is their word */
    for (uint32_t i = first; i < first + n; i++) {
        all_good = all_good && sl_step_state_good(r->rows[i].state);
        any_failed = any_failed || r->rows[i].state == SL_STEP_FAILED;
    }
    return g->cond == COND_STATUS_GOOD ? all_good : any_failed;
}

/** `finally` asks how the run stands: over the ordinary steps, which have all ended. */
static bool finally_holds(const struct sim *w, const struct sim_run *r, const struct sim_group *g)
{
    bool failed = false;
    for (uint32_t i = 0; i < w->pipeline.plan->n_steps; i++) {
        failed = failed || (!w->pipeline.plan->steps[i].is_finally && bad(r->rows[i].state));
    }
    return g->cond == COND_NONE || (g->cond == COND_FAILURE ? failed : !failed);
}

static enum verdict judge(const struct sim *w, const struct sim_run *r, uint32_t step)
{
    const struct sl_plan_step *p = &w->pipeline.plan->steps[step];
    const struct sim_group *g = &w->pipeline.groups[p->group];
    bool all_good = true;
    bool seen[SIM_STEPS_MAX] = {false};
    bool any_bad = failed_behind(w, r, step, seen);
    if (g->is_finally) {
        return finally_holds(w, r, g) ? RUNS : IS_SKIPPED;
    }
    for (uint32_t i = 0; i < p->n_needs; i++) {
        all_good = all_good && sl_step_state_good(r->rows[p->needs[i]].state);
    }
    switch (g->cond) {
    case COND_NONE:
    case COND_TRUE: return all_good ? RUNS : IS_OMITTED;
    case COND_FALSE: return all_good ? IS_SKIPPED : IS_OMITTED;
    case COND_ALWAYS: return RUNS;
    case COND_SUCCESS: return all_good ? RUNS : IS_SKIPPED;
    case COND_FAILURE: return any_bad ? RUNS : IS_SKIPPED;
    case COND_EITHER: return all_good || any_bad ? RUNS : IS_SKIPPED;
    case COND_STATUS_GOOD:
    case COND_STATUS_FAILED: return status_is(w, r, g) ? RUNS : IS_SKIPPED;
    case COND_COUNT: break;
    }
    return RUNS;
}

/* ---- steps ---------------------------------------------------------------------------------------- */

struct expected {
    enum sl_step_state state;
    int executions;
    enum sl_fail_class last;
};

static struct expected execute(const struct sim *w, const struct sim_run *r, uint32_t step)
{
    const struct sim_group *g = &w->pipeline.groups[w->pipeline.plan->steps[step].group];
    const struct sim_ask *ask = &r->asks[step];
    if (g->notify || g->approval) {
        enum sl_step_state yes = ask->unchanged ? SL_STEP_UNCHANGED : SL_STEP_SUCCEEDED;
        return (struct expected){g->notify || ask->yes ? yes : SL_STEP_REFUSED, 0, SL_FAIL_COUNT};
    }
    for (int k = 0;; k++) {
        struct sl_outcome o = sim_fate(w, r->index, step, k);
        if (o.ok) {
            return (struct expected){SL_STEP_SUCCEEDED, k + 1, SL_FAIL_COUNT};
        }
        if (o.fail == SL_FAIL_REJECTED) {
            return (struct expected){SL_STEP_REFUSED, k + 1, o.fail};
        }
        if (g->external && o.fail == SL_FAIL_LOST) {
            return (struct expected){SL_STEP_NEEDS_DECISION, k + 1, o.fail};
        }
        bool again = !g->external && k < g->retry_max && (g->retry_on & 1U << o.fail) != 0;
        if (!again) {
            return (struct expected){SL_STEP_FAILED, k + 1, o.fail};
        }
    }
}

static bool group_failed(const struct sim *w, const struct sim_run *r, uint32_t group)
{
    uint32_t first = w->pipeline.plan->group_first[group];
    for (uint32_t i = first; i < first + w->pipeline.plan->group_count[group]; i++) {
        if (r->rows[i].state == SL_STEP_FAILED) {
            return true;
        }
    }
    return false;
}

bool sim_group_failed(const struct sim *w, uint32_t run, uint32_t step)
{
    const struct sl_plan_step *p = &w->pipeline.plan->steps[step];
    return w->pipeline.groups[p->group].fail_fast && !p->is_finally && !p->is_champion_eval &&
           group_failed(w, &w->runs[run], p->group);
}

static int executed(const struct sim *w, const struct sim_run *r, uint32_t step)
{
    int n = 0;
    for (size_t i = 0; i < w->procs.n; i++) {
        const struct sim_proc *p = w->procs.items[i];
        n += p->run == r->index && p->step == step && p->stored &&
             (p->stored_out.ok || (p->stored_out.fail != SL_FAIL_NEVER_STARTED &&
                                   p->stored_out.fail != SL_FAIL_PREEMPTED));
    }
    return n;
}

static bool finally_failed(const struct sim *w, const struct sim_run *r)
{
    for (uint32_t i = 0; i < w->pipeline.plan->n_steps; i++) {
        if (w->pipeline.plan->steps[i].is_finally && bad(r->rows[i].state)) {
            return true;
        }
    }
    return false;
}

/** Differences that the order of events may make, and nothing else. */
static bool may_differ(const struct sim *w, const struct sim_run *r, uint32_t step,
                       const struct expected *x)
{
    const struct sl_plan_step *p = &w->pipeline.plan->steps[step];
    const struct sim_group *g = &w->pipeline.groups[p->group];
    enum sl_step_state is = r->rows[step].state;
    if (is == SL_STEP_CACHED) {
        return x->state == SL_STEP_SUCCEEDED && g->cacheable;
    }
    if (g->is_finally && g->cond != COND_NONE && (r->cancelled || finally_failed(w, r))) {
        return true; /* how the run stood when it was asked */
    }
    if (is == SL_STEP_CANCELLED && !g->is_finally) {
        return r->cancelled || (g->fail_fast && group_failed(w, r, p->group));
    }
    if (is == SL_STEP_FAILED && r->rows[step].timed_out) {
        return g->hurried;
    }
    if (is == SL_STEP_FAILED && judge(w, r, step) == RUNS) {
        return (r->cancelled && !g->is_finally) ||
               sim_never_started(w, r->index, step) > SIM_FREE_MAX;
    }
    return false;
}

static void check_step(struct sim *w, const struct sim_run *r, uint32_t step)
{
    enum sl_step_state is = r->rows[step].state;
    struct expected x = {SL_STEP_SKIPPED, 0, SL_FAIL_COUNT};
    switch (judge(w, r, step)) {
    case RUNS: x = execute(w, r, step); break;
    case IS_SKIPPED: break;
    case IS_OMITTED: x.state = SL_STEP_OMITTED; break;
    }
    SIM_CHECK(w, sl_step_state_final(is), "run %u ended while %s is %s", r->index, sim_key(w, step),
              sl_sm_name(&sl_step_machine, (int)is));
    if (is != x.state) {
        SIM_CHECK(w, may_differ(w, r, step, &x), "run %u: %s ended %s, the model says %s", r->index,
                  sim_key(w, step), sl_sm_name(&sl_step_machine, (int)is),
                  sl_sm_name(&sl_step_machine, (int)x.state));
    } else if (!r->cancelled && !r->rows[step].timed_out) {
        SIM_CHECK(w, executed(w, r, step) == x.executions,
                  "run %u: %s took %d executions, the model says %d", r->index, sim_key(w, step),
                  executed(w, r, step), x.executions);
    }
}

/* ---- the run -------------------------------------------------------------------------------------- */

static void check_timed_out(struct sim *w, const struct sim_run *r)
{
    uint32_t n_failed = 0;
    uint32_t by_timeout = 0;
    for (uint32_t i = 0; i < w->pipeline.plan->n_steps; i++) {
        if (r->rows[i].state == SL_STEP_FAILED) {
            n_failed++;
            by_timeout += r->rows[i].timed_out || execute(w, r, i).last == SL_FAIL_TIMEOUT ? 1 : 0;
        }
    }
    if (r->cancelled || n_failed == 0 || (by_timeout > 0 && by_timeout < n_failed)) {
        return; /* does not matter, or depends on which came first */
    }
    SIM_CHECK(w, r->timed_out == (by_timeout > 0),
              "run %u: %u of %u failures are timeouts, but it says %s", r->index, by_timeout,
              n_failed, r->timed_out ? "timeout" : "no timeout");
}

void sim_model_check(struct sim *w, const struct sim_run *r)
{
    uint32_t n[SL_STEP_STATES] = {0};
    for (uint32_t i = 0; i < w->pipeline.plan->n_steps; i++) {
        if (r->started) {
            check_step(w, r, i);
        } else {
            SIM_CHECK(w, r->rows[i].state == SL_STEP_CANCELLED, "%s of run %u, which never started",
                      sim_key(w, i), r->index);
        }
        n[r->rows[i].state]++;
    }
    enum sl_run_state want = r->cancelled                    ? SL_RUN_CANCELLED
                             : n[SL_STEP_FAILED] > 0         ? SL_RUN_FAILED
                             : n[SL_STEP_NEEDS_DECISION] > 0 ? SL_RUN_WAITING
                             : n[SL_STEP_REFUSED] > 0        ? SL_RUN_REFUSED
                                                             : SL_RUN_SUCCEEDED;
    SIM_CHECK(w, r->state == want, "run %u ended %s, the model says %s", r->index,
              sl_sm_name(&sl_run_machine, (int)r->state), sl_sm_name(&sl_run_machine, (int)want));
    check_timed_out(w, r);
}
