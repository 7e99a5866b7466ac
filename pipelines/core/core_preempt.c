/* Making way: a running step that keeps a checkpoint is stopped for one of higher priority, and runs again later
 * at no cost to its retries. That it was asked is durable before it is stopped, so that its end is never taken
 * for a cancel. Thread: loop. Must not: do I/O, block, or read a clock except through io. */
#include "core/base/base.h"

#include <stdio.h>

#include "pipelines/core/core_priv.h"

void sl_core_preempt(struct sl_core_run *r, uint32_t step, const struct sl_core_run *by,
                     uint32_t by_step)
{
    struct sl_core_attempt *a = r->steps[step].att;
    const struct sl_plan_step *winner = &by->plan->steps[by_step];
    SL_ASSERT(a != NULL);
    if (a->preempted || a->phase == AT_COLLECTING || a->phase == AT_OVER) {
        return; /* it goes by itself */
    }
    a->preempted = true;
    snprintf(a->way, sizeof(a->way), "made way for %.100s#%lld/%.120s (priority %d)",
             by->plan->spec->name, (long long)by->number, winner->key,
             winner->spec->resources.priority + by->plan->spec->priority);
    if (a->phase == AT_RUNNING) { /* else it is stopped when its start is answered, or recorded */
        struct sl_jentry *e = sl_core_entry(r, SL_J_ATTEMPT_PREEMPT, step);
        e->att = a;
        e->from = e->to = SL_ATTEMPT_STARTED;
        snprintf(e->reason, sizeof(e->reason), "%s", a->way);
    }
}

void sl_core_stop_preempted(struct sl_core_attempt *a)
{
    struct sl_core *c = a->run->core;
    if (a->preempted && a->phase == AT_RUNNING && !a->cancel_sent) {
        a->cancel_sent = true;
        c->io->cancel(c->data, a);
    }
}

void sl_core_restore_preempted(struct sl_core_attempt *a, const char *way)
{
    a->preempted = true;
    snprintf(a->way, sizeof(a->way), "%s", way);
    sl_sched_restore_leaving(a->run->core->sched, a->run->sched, a->step);
}

void sl_core_judge_preempted(const struct sl_core_attempt *a, struct sl_outcome *o)
{
    char reason[SL_CORE_REASON];
    bool stopped = !o->ok && (o->fail == SL_FAIL_CANCELLED || o->fail == SL_FAIL_PREEMPTED);
    if (a->preempted && stopped && !sl_core_called_off(a->run, a->step, reason)) {
        o->fail = SL_FAIL_PREEMPTED;
        snprintf(o->reason, sizeof(o->reason), "%s", a->way);
    }
}
