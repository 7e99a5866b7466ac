/* Why a step is not running, in words. Pure. */
#include "core/base/base.h"

#include "pipelines/sched/sched_priv.h"

static void why_needs(const struct sl_sched_run *r, uint32_t step, struct sl_buf *out)
{
    const struct sl_plan_step *p = &r->plan->steps[step];
    uint32_t shown = 0;
    sl_buf_puts(out, "needs ");
    for (uint32_t i = 0; i < p->n_needs && shown < 3; i++) {
        const struct step *need = &r->steps[p->needs[i]];
        if (need->place != AT_ENDED) {
            sl_buf_printf(out, "%s%s (%s)", shown > 0 ? ", " : "", r->plan->steps[p->needs[i]].key,
                          need->place == AT_HOLDING ? "running" : "not started");
            shown++;
        }
    }
    uint32_t left = r->steps[step].needs_left;
    if (left > shown) {
        sl_buf_printf(out, " and %u more", left - shown);
    }
}

static void why_wanted(const struct sl_sched *s, const struct sl_sched_run *r, uint32_t step,
                       struct sl_buf *out)
{
    const struct sl_plan_step *p = &r->plan->steps[step];
    const struct sl_resources *want = &p->spec->resources;
    if (!r->steps[step].in_group) {
        sl_buf_printf(out, "max_parallel %d of step %s", p->spec->matrix->max_parallel,
                      p->spec->id);
    } else if (!r->steps[step].in_run) {
        sl_buf_printf(out, "concurrency limit %d of the run", r->plan->spec->concurrency_limit);
    } else if (s->n_leaving > 0 && s->evicted_for.run == r && s->evicted_for.step == step) {
        sl_buf_printf(out, "waiting for %d running step%s of lower priority to make way",
                      s->n_leaving, s->n_leaving > 1 ? "s" : "");
    } else if (want->gpu_count > 0 && s->caps.gpus != NULL &&
               !s->caps.gpus->fits(s->caps.gpus->data, want, NULL, 0)) {
        s->caps.gpus->why(s->caps.gpus->data, want, out);
    } else if (s->caps.gpus == NULL && want->gpu_count > s->caps.gpu_count - s->gpu_used) {
        sl_buf_printf(out, "waiting for %d GPUs: %d of %d free", want->gpu_count,
                      s->caps.gpu_count - s->gpu_used, s->caps.gpu_count);
    } else if (want->cpu_milli > s->caps.cpu_milli - s->cpu_used) {
        sl_buf_printf(out, "waiting for %g CPUs: %g of %g free", want->cpu_milli / 1000.0,
                      (s->caps.cpu_milli - s->cpu_used) / 1000.0, s->caps.cpu_milli / 1000.0);
    } else if (want->mem_bytes > s->caps.mem_bytes - SL_MIN(s->mem_used, s->caps.mem_bytes)) {
        sl_buf_puts(out, "waiting for memory");
    } else if (s->caps.slots > 0 && s->slots_used >= s->caps.slots) {
        sl_buf_printf(out, "all %d slots are taken", s->caps.slots);
    } else {
        sl_buf_puts(out, "steps that came first go first");
    }
}

void sl_sched_why(const struct sl_sched *s, const struct sl_sched_run *r, uint32_t step,
                  struct sl_buf *out)
{
    switch ((enum step_place)r->steps[step].place) {
    case AT_WAITING: why_needs(r, step, out); return;
    case AT_TO_DECIDE:
    case AT_DECIDING:
        sl_buf_puts(out,
                    "being decided: condition, inputs, cache, or waiting for an identical step");
        return;
    case AT_WANTED: why_wanted(s, r, step, out); return;
    case AT_HOLDING: sl_buf_puts(out, "running"); return;
    case AT_LATER: sl_buf_puts(out, "backoff before the next attempt"); return;
    case AT_ENDED: sl_buf_puts(out, "ended"); return;
    }
}
