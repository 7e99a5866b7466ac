/* Groups of runs: who may start, from what is durable. Thread: one. Must not: change the world. */
#include "core/base/base.h"

#include "tests/sim/sim.h"

#include <string.h>

#include "pipelines/core/core.h"

bool sim_before(const struct sim_run *a, const struct sim_run *b)
{
    if (a->priority != b->priority) {
        return a->priority > b->priority;
    }
    return a->created_ms != b->created_ms ? a->created_ms < b->created_ms
                                          : strcmp(a->id, b->id) < 0;
}

static bool older(const struct sim_run *a, const struct sim_run *b)
{
    return a->created_ms != b->created_ms ? a->created_ms < b->created_ms
                                          : strcmp(a->id, b->id) < 0;
}

void sim_check_admitted(struct sim *w, const struct sim_run *r)
{
    int running = 0;
    for (uint32_t i = 0; i < w->n_runs; i++) {
        const struct sim_run *o = &w->runs[i];
        bool live = o->submitted && !sl_run_machine.states[o->state].final;
        running += live && o != r && o->state != SL_RUN_QUEUED ? 1 : 0;
        bool known = o->batch <= w->applying; /* when the core let r start */
        SIM_CHECK(w, !live || !known || o == r || o->state != SL_RUN_QUEUED || !sim_before(o, r),
                  "run %u starts before run %u, which comes first", r->index, o->index);
    }
    SIM_CHECK(w, running < w->group_limit, "run %u starts as number %d of a group of %d", r->index,
              running + 1, w->group_limit);
}

void sim_check_replaced(struct sim *w, const struct sim_run *r, const char *reason)
{
    bool by_newer = false;
    if (!sl_starts_with(reason, "replaced")) {
        return;
    }
    for (uint32_t i = 0; i < w->n_runs; i++) {
        const struct sim_run *o = &w->runs[i];
        by_newer = by_newer || (o->submitted && o->replace && older(r, o) &&
                                !sl_run_machine.states[o->state].final);
    }
    SIM_CHECK(w, by_newer, "run %u is replaced, but by which?", r->index);
    w->counts.replaced++;
}
