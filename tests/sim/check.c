/* What must hold at every moment. Thread: one. Must not: change the world, except its snapshot. */
#include "core/base/base.h"

#include "tests/sim/sim.h"

#include "pipelines/core/core.h"

struct load {
    int cpu, slots, group, run;
};

static void add_live(struct load *n, const struct sim *w, const struct sl_core_run *r,
                     uint32_t step, const struct sl_core_attempt *of)
{
    const struct sl_plan_step *p = &w->pipeline.plan->steps[step];
    bool process = p->spec->action == SL_ACT_RUN;
    n->cpu += process ? p->spec->resources.cpu_milli : 0;
    n->slots++;
    n->run += r == of->run ? 1 : 0;
    n->group += r == of->run && p->group == w->pipeline.plan->steps[of->step].group ? 1 : 0;
}

static void check_flight(struct sim *w, const struct sl_core_attempt *a,
                         const struct sl_core_run *r, uint32_t step)
{
    const struct sim_pipeline *p = &w->pipeline;
    bool same = p->groups[p->plan->steps[a->step].group].cacheable &&
                p->groups[p->plan->steps[step].group].cacheable &&
                memcmp(&p->keys[a->step], &p->keys[step], sizeof(p->keys[step])) == 0;
    SIM_CHECK(w, !same || (r == a->run && step == a->step), "%s and %s run at once with one key",
              sim_key(w, a->step), sim_key(w, step));
}

/** fail_fast: what had not started when one of the group failed never does. */
static void check_group(struct sim *w, const struct sl_core_run *r, uint32_t step)
{
    const struct sl_plan_step *p = &w->pipeline.plan->steps[step];
    uint32_t first = w->pipeline.plan->group_first[p->group];
    uint32_t end = first + w->pipeline.plan->group_count[p->group];
    for (uint32_t i = first; i < end && w->pipeline.groups[p->group].fail_fast && !p->is_finally;
         i++) {
        SIM_CHECK(w, r->steps[i].state != SL_STEP_FAILED, "%s starts after %s failed (fail_fast)",
                  p->key, sim_key(w, i));
    }
}

/** Limits count what holds resources: not what was made ready ahead. */
static void check_limits(struct sim *w, const struct sl_core_attempt *a)
{
    struct load n = {0};
    const struct sl_plan_step *p = &w->pipeline.plan->steps[a->step];
    for (uint32_t i = 0; i < w->n_runs; i++) {
        const struct sl_core_run *r = w->runs[i].core;
        for (uint32_t s = 0; r != NULL && s < w->pipeline.plan->n_steps; s++) {
            if (r->steps[s].att != NULL && !r->steps[s].att->ahead) {
                add_live(&n, w, r, s, a);
            }
        }
    }
    const struct sl_matrix *m = p->spec->matrix;
    SIM_CHECK(w, n.cpu <= w->caps.cpu_milli, "%d CPUs in use of %d", n.cpu, w->caps.cpu_milli);
    SIM_CHECK(w, w->caps.slots == 0 || n.slots <= w->caps.slots, "%d slots in use", n.slots);
    SIM_CHECK(w, m == NULL || m->max_parallel == 0 || n.group <= m->max_parallel,
              "%d of %s at once", n.group, p->spec->id);
    int limit = w->pipeline.spec->concurrency_limit;
    SIM_CHECK(w, limit == 0 || n.run <= limit, "%d steps of the run at once", n.run);
}

/** What is made ready ahead: few, nothing dear, nothing that acts on the world, all of it still pending. */
static void check_ahead(struct sim *w, const struct sl_core_attempt *a)
{
    int n = 0;
    int running = 0;
    const struct sl_plan_step *p = &w->pipeline.plan->steps[a->step];
    for (uint32_t i = 0; i < w->n_runs; i++) {
        const struct sl_core_run *r = w->runs[i].core;
        for (uint32_t s = 0; r != NULL && s < w->pipeline.plan->n_steps; s++) {
            const struct sl_core_attempt *b = r->steps[s].att;
            bool kept = b != NULL && r->state != SL_RUN_CANCELLING &&
                        !sl_sched_group_failed(r->sched, s, NULL);
            n += kept && b->ahead ? 1 : 0; /* others go when their start is answered */
            running += b != NULL && !b->ahead ? 1 : 0;
        }
    }
    SIM_CHECK(w, n <= w->caps.ahead && n <= SL_SCHED_AHEAD_PER_RUNNING * running,
              "%d attempts ahead of %d", n, running);
    SIM_CHECK(w, !a->action && !p->spec->effects_external && p->spec->resources.gpu_count == 0,
              "%s must not be made ready ahead", p->key);
    w->counts.ahead++;
}

void sim_check_start(struct sim *w, const struct sl_core_attempt *a)
{
    const struct sl_plan_step *p = &w->pipeline.plan->steps[a->step];
    SIM_CHECK(w, a->run->steps[a->step].att == a, "%s starts beside itself", p->key);
    check_group(w, a->run, a->step);
    for (uint32_t i = 0; i < w->n_runs; i++) {
        const struct sl_core_run *r = w->runs[i].core;
        for (uint32_t s = 0; r != NULL && s < w->pipeline.plan->n_steps; s++) {
            if (r->steps[s].att != NULL) {
                check_flight(w, a, r, s);
            }
        }
    }
    if (a->ahead) {
        check_ahead(w, a);
    } else {
        check_limits(w, a);
    }
    for (uint32_t s = 0; s < w->pipeline.plan->n_steps; s++) {
        bool before = p->is_finally && !w->pipeline.plan->steps[s].is_finally;
        SIM_CHECK(w, !before || sl_step_state_final(a->run->steps[s].state),
                  "finally step %s starts before %s has ended", p->key, sim_key(w, s));
    }
    const struct sim_run *r = a->run->host;
    for (size_t i = 0; i < w->procs.n; i++) {
        const struct sim_proc *q = w->procs.items[i];
        bool again = q->run == r->index && q->step == a->step && q->went;
        SIM_CHECK(w, !again || !p->spec->effects_external,
                  "%s has an external effect and runs again", p->key);
        SIM_CHECK(w, !again || !q->out.ok || q->phase != PROC_EXITED,
                  "%s runs again after it went well", p->key);
    }
}

void sim_check_go(struct sim *w, const struct sim_proc *p)
{
    const struct sl_plan_step *step = &w->pipeline.plan->steps[p->step];
    const struct sim_run *r = &w->runs[p->run];
    SIM_CHECK(w, p->stored && p->stored_state == SL_ATTEMPT_STARTED, "GO before it is durable");
    SIM_CHECK(w, !p->went && p->phase == PROC_BLOCKED, "a second GO for %s", step->key);
    SIM_CHECK(w, r->rows[p->step].state == SL_STEP_RUNNING, "GO for a step that is not running");
    check_group(w, r->core, p->step);
    SIM_CHECK(w, r->core->steps[p->step].deadline_ms == 0, "%s goes, and its wait goes on",
              step->key);
    SIM_CHECK(w, !p->a->ahead, "GO for %s, which holds nothing", step->key);
    check_limits(w, p->a);
    SIM_CHECK(w, step->is_finally || r->core->state != SL_RUN_CANCELLING, "GO in a cancelled run");
    for (uint32_t i = 0; i < step->n_needs; i++) {
        SIM_CHECK(w, sl_step_state_final(r->rows[step->needs[i]].state),
                  "%s goes before its need %s has durably ended", step->key,
                  sim_key(w, step->needs[i]));
    }
    int cpu = step->spec->action == SL_ACT_RUN ? step->spec->resources.cpu_milli : 0;
    for (size_t i = 0; i < w->procs.n; i++) {
        const struct sim_proc *q = w->procs.items[i];
        SIM_CHECK(w, q->phase != PROC_RUNNING || q->run != p->run || q->step != p->step,
                  "two processes of %s", step->key);
        const struct sl_step *spec = w->pipeline.plan->steps[q->step].spec;
        cpu += q->phase == PROC_RUNNING && !q->action ? spec->resources.cpu_milli : 0;
    }
    SIM_CHECK(w, cpu <= w->caps.cpu_milli, "processes use %d CPUs of %d", cpu, w->caps.cpu_milli);
}

void sim_check_now(struct sim *w)
{
    for (uint32_t i = 0; i < w->n_runs; i++) {
        struct sim_run *r = &w->runs[i];
        uint32_t live = 0;
        for (uint32_t s = 0; r->core != NULL && s < w->pipeline.plan->n_steps; s++) {
            enum sl_step_state now = r->core->steps[s].state;
            bool durable = sl_step_state_final(r->rows[s].state);
            SIM_CHECK(w, !durable || r->rows[s].state == now, "%s changed its final state",
                      sim_key(w, s));
            SIM_CHECK(w, (r->core->steps[s].att == NULL) || !sl_step_state_final(now),
                      "%s has ended and still has an attempt", sim_key(w, s));
            const struct sl_core_attempt *a = r->core->steps[s].att;
            live += a != NULL ? 1 : 0;
            SIM_CHECK(w, a == NULL || !a->ahead || now == SL_STEP_PENDING || now == SL_STEP_BACKOFF,
                      "%s is made ready and shown as %s", sim_key(w, s),
                      sl_sm_name(&sl_step_machine, (int)now));
        }
        SIM_CHECK(w, r->core == NULL || live == r->core->n_live, "%u attempts, %u counted", live,
                  r->core->n_live);
    }
}
