/* People: questions that approvals ask, and the answers, which come when they come. What they said is durable at
 * once, as the approval's own transaction makes it. Thread: one. Must not: call the core except to ask again. */
#include "core/base/base.h"

#include "tests/sim/sim.h"

#include "pipelines/core/core.h"

static const struct sim_group *group_of(const struct sim *w, uint32_t step)
{
    return &w->pipeline.groups[w->pipeline.plan->steps[step].group];
}

/** The time to answer has passed: silence is an answer too. */
static void expire(struct sim *w, struct sim_ask *ask, uint32_t step)
{
    if (!ask->answered && ask->until_ms > 0 && sim_now(w) >= ask->until_ms) {
        ask->answered = true;
        ask->yes = group_of(w, step)->yes_in_time;
    }
}

void sim_people_judge(struct sim *w, uint32_t run, uint32_t step, struct sl_decision *d)
{
    struct sim_ask *ask = &w->runs[run].asks[step];
    const struct sim_group *g = group_of(w, step);
    if (g->notify) {
        d->kind = SL_DECIDE_DONE;
        return;
    }
    if (!ask->asked) {
        ask->asked = true;
        ask->until_ms = g->times_out ? sim_now(w) + 1 + sim_below(&w->rng, 8000) : 0;
        sim_push(w, (struct sim_event){.kind = EV_VOTE, .run = run, .step = step}, 20000);
    }
    expire(w, ask, step);
    d->kind = !ask->answered ? SL_DECIDE_WAIT : ask->yes ? SL_DECIDE_DONE : SL_DECIDE_REFUSE;
    d->unchanged = ask->unchanged;
    d->until_ms = ask->until_ms;
}

void sim_people_vote(struct sim *w, uint32_t run, uint32_t step)
{
    struct sim_ask *ask = &w->runs[run].asks[step];
    struct sl_core_run *core = w->runs[run].core;
    uint64_t h = sim_mix(sim_mix(w->seed, 31 + run), step);
    expire(w, ask, step);
    if (!ask->answered) {
        ask->answered = true;
        ask->yes = (h >> 20) % 4 > 0;
        ask->unchanged = ask->yes && (h >> 30) % 6 == 0;
    }
    sim_trace(w, "vote run %u %s: %s", run, sim_key(w, step), ask->yes ? "yes" : "no");
    w->counts.votes++;
    if (core != NULL && !w->halted) {
        sl_core_ask_again(core, step);
    }
}
