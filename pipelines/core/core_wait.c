/* Steps that wait for people, and the times at which the core comes back to a step by itself.
 * Thread: loop. Must not: do I/O, block, or read a clock except through io. */
#include "core/base/base.h"

#include <stdio.h>

#include "pipelines/core/core_priv.h"

#define ASK_AGAIN_MS                                                                               \
    1000 /* a host that waits until a time already past is asked again after this */

/* ---- deadlines: a heap by time; entries whose step has another deadline by now are stale ----------- */

static void swap(struct deadline *a, struct deadline *b)
{
    struct deadline t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(struct sl_core *c, size_t i)
{
    struct deadline *h = c->deadlines.items;
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < c->deadlines.n; child++) {
            least = h[child].at_ms < h[least].at_ms ? child : least;
        }
        if (least == i) {
            return;
        }
        swap(&h[i], &h[least]);
        i = least;
    }
}

static void pop(struct sl_core *c)
{
    c->deadlines.items[0] = c->deadlines.items[--c->deadlines.n];
    sift_down(c, 0);
}

void sl_core_set_deadline(struct sl_core_run *r, uint32_t step, int64_t at_ms)
{
    struct sl_core *c = r->core;
    r->steps[step].deadline_ms = at_ms;
    if (at_ms <= 0) {
        return;
    }
    sl_vec_push(&c->deadlines, ((struct deadline){at_ms, r, step}));
    struct deadline *h = c->deadlines.items;
    for (size_t i = c->deadlines.n - 1; i > 0 && h[i].at_ms < h[(i - 1) / 2].at_ms;
         i = (i - 1) / 2) {
        swap(&h[i], &h[(i - 1) / 2]);
    }
}

void sl_core_forget_deadlines(struct sl_core *c, const struct sl_core_run *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->deadlines.n; i++) {
        if (c->deadlines.items[i].run != r) {
            c->deadlines.items[kept++] = c->deadlines.items[i];
        }
    }
    c->deadlines.n = kept;
    for (size_t i = kept / 2; i-- > 0;) {
        sift_down(c, i);
    }
}

/* ---- queue_timeout: from wanting to start to GO ---------------------------------------------------- */

void sl_core_start_clock(struct sl_core_run *r, uint32_t step, int64_t from_ms)
{
    int64_t timeout_ms = r->plan->steps[step].spec->queue_timeout_ms;
    sl_core_set_deadline(r, step, timeout_ms > 0 ? from_ms + timeout_ms : 0);
}

static void say_late(const struct sl_core_run *r, uint32_t step, char ret_reason[SL_CORE_REASON])
{
    char text[SL_TIME_TEXT];
    snprintf(ret_reason, SL_CORE_REASON, "not started within its queue_timeout of %s",
             sl_duration_format(r->plan->steps[step].spec->queue_timeout_ms, text));
}

void sl_core_fail_late(struct sl_core_run *r, uint32_t step)
{
    char reason[SL_CORE_REASON];
    say_late(r, step, reason);
    sl_core_note_timeout(r, step);
    r->steps[step].timed_out = true;
    sl_core_end_step(r, step, SL_STEP_FAILED, reason, NULL);
}

bool sl_core_must_not_go(const struct sl_core_attempt *a, enum sl_fail_class *ret_fail,
                         char ret_reason[SL_CORE_REASON])
{
    *ret_fail = SL_FAIL_CANCELLED;
    if (sl_core_called_off(a->run, a->step, ret_reason)) {
        return true;
    }
    if (a->late) {
        *ret_fail = SL_FAIL_TIMEOUT;
        say_late(a->run, a->step, ret_reason);
    } else if (a->preempted) {
        *ret_fail = SL_FAIL_PREEMPTED;
        snprintf(ret_reason, SL_CORE_REASON, "%s", a->way);
    }
    return a->late || a->preempted;
}

/** The deadline of a step has come. What is just being started, or recorded, is stopped when that is over. */
static void meet(struct sl_core_run *r, uint32_t step)
{
    struct sl_core_step *s = &r->steps[step];
    switch ((enum step_phase)s->phase) {
    case PH_AWAITING: sl_core_decide(r, step); break;
    case PH_WANTED:
    case PH_BACKOFF: sl_core_fail_late(r, step); break;
    case PH_AHEAD:
    case PH_LIVE:
        s->att->late = true;
        if (s->att->phase == AT_READY) {
            sl_core_fail_late(r, step);
        }
        break;
    case PH_NONE:
    case PH_DECIDING:
    case PH_PARKED: break;
    }
}

int64_t sl_core_meet_deadlines(struct sl_core *c, int64_t now_ms)
{
    while (c->deadlines.n > 0) {
        struct deadline first = c->deadlines.items[0];
        struct sl_core_step *s = &first.run->steps[first.step];
        bool stale = s->deadline_ms != first.at_ms;
        if (!stale && first.at_ms > now_ms) {
            return first.at_ms;
        }
        pop(c);
        if (stale) {
            continue;
        }
        s->deadline_ms = 0;
        meet(first.run, first.step);
    }
    return -1;
}

/* ---- waiting for people --------------------------------------------------------------------------- */

void sl_core_set_phase(struct sl_core_run *r, uint32_t step, enum step_phase phase)
{
    r->n_awaiting -= r->steps[step].phase == PH_AWAITING ? 1 : 0;
    r->n_awaiting += phase == PH_AWAITING ? 1 : 0;
    r->steps[step].phase = (uint8_t)phase;
}

void sl_core_await(struct sl_core_run *r, uint32_t step, const struct sl_decision *d)
{
    struct sl_core_step *s = &r->steps[step];
    int64_t now_ms = r->core->io->now_ms(r->core->data);
    if (s->state != SL_STEP_AWAITING) {
        SL_ASSERT(sl_sm_allowed(&sl_step_machine, (int)s->state, SL_STEP_AWAITING));
        struct sl_jentry *e = sl_core_entry(r, SL_J_STEP, step);
        e->from = (int)s->state;
        e->to = SL_STEP_AWAITING;
        e->not_before_ms = d->until_ms;
        snprintf(e->reason, sizeof(e->reason), "%s", d->reason);
        s->state = SL_STEP_AWAITING;
    }
    sl_core_set_phase(r, step, PH_AWAITING);
    if (s->ask_again) { /* an answer came while the question was being asked */
        sl_core_decide(r, step);
        return;
    }
    bool past = d->until_ms > 0 && d->until_ms <= now_ms;
    sl_core_set_deadline(r, step, past ? now_ms + ASK_AGAIN_MS : d->until_ms);
}

void sl_core_ask_again(struct sl_core_run *r, uint32_t step)
{
    struct sl_core_step *s = &r->steps[step];
    if (r->core->halted) {
        return;
    }
    if (s->phase == PH_DECIDING) {
        s->ask_again = true;
    } else if (s->phase == PH_AWAITING) {
        sl_core_decide(r, step);
    }
}

void sl_core_release_group(struct sl_core_run *r, uint32_t step)
{
    uint32_t group = r->plan->steps[step].group;
    uint32_t first = r->plan->group_first[group];
    if (r->n_awaiting == 0) {
        return;
    }
    for (uint32_t i = first; i < first + r->plan->group_count[group]; i++) {
        if (r->steps[i].phase == PH_AWAITING) {
            sl_core_decide(r, i);
        }
    }
}

bool sl_core_only_awaits(const struct sl_core_run *r)
{
    for (uint32_t i = 0; i < r->plan->n_steps && r->n_awaiting > 0; i++) {
        const struct sl_core_step *s = &r->steps[i];
        if (s->phase != PH_NONE && s->phase != PH_AWAITING) {
            return false;
        }
    }
    return r->n_awaiting > 0;
}
