/* From a step whose needs have ended to an attempt that may go: decided, perhaps prepared ahead, started,
 * recorded. Thread: loop. Must not: do I/O, block, or read a clock except through io. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/core/core_priv.h"

bool sl_core_called_off(const struct sl_core_run *r, uint32_t step, char ret_reason[SL_CORE_REASON])
{
    uint32_t by = 0;
    if (r->plan->steps[step].is_finally) {
        return false;
    }
    if (r->state == SL_RUN_CANCELLING) {
        snprintf(ret_reason, SL_CORE_REASON, "the run was cancelled");
        return true;
    }
    if (sl_sched_group_failed(r->sched, step, &by)) {
        snprintf(ret_reason, SL_CORE_REASON, "%.200s failed (fail_fast of its matrix)",
                 r->plan->steps[by].key);
        return true;
    }
    return false;
}

/* ---- deciding ----------------------------------------------------------------------------------- */

void sl_core_decide(struct sl_core_run *r, uint32_t step)
{
    char reason[SL_CORE_REASON];
    struct sl_core_step *s = &r->steps[step];
    if (sl_step_state_final(s->state)) {
        return;
    }
    if (sl_core_called_off(r, step, reason)) {
        if (s->att == NULL || s->att->phase != AT_STARTING) { /* else when its start is answered */
            sl_core_end_step(r, step, SL_STEP_CANCELLED, reason, NULL);
        }
        return;
    }
    SL_ASSERT(s->att == NULL);
    sl_core_set_phase(r, step, PH_DECIDING);
    s->ask_again = false;
    r->core->io->decide(r->core->data, r, step);
}

static void keep_key(struct sl_core_step *s, struct sl_decision *d)
{
    if (!d->has_key) {
        return;
    }
    free(s->key_record);
    s->key_record = sl_take(d->key_record);
    s->key = d->key;
    s->has_key = true;
    s->share = d->share;
}

void sl_core_decided(struct sl_core_run *r, uint32_t step, struct sl_decision *d)
{
    struct sl_core_step *s = &r->steps[step];
    char reason[SL_CORE_REASON];
    if (s->phase != PH_DECIDING || r->core->halted) {
        free(d->key_record);
        return;
    }
    keep_key(s, d);
    if (sl_core_called_off(r, step, reason)) {
        sl_core_end_step(r, step, SL_STEP_CANCELLED, reason, NULL);
        return;
    }
    switch (d->kind) {
    case SL_DECIDE_RUN:
        if (sl_flight_lead(r->core, r, step)) {
            s->phase = PH_WANTED;
            sl_sched_may_prepare(r->sched, step, d->light);
            sl_sched_want_run(r->core->sched, r->sched, step);
            sl_core_start_clock(r, step, r->core->io->now_ms(r->core->data));
        }
        return;
    case SL_DECIDE_SKIP: sl_core_end_step(r, step, SL_STEP_SKIPPED, d->reason, NULL); return;
    case SL_DECIDE_OMIT: sl_core_end_step(r, step, SL_STEP_OMITTED, d->reason, NULL); return;
    case SL_DECIDE_CACHED:
        s->outputs = d->outputs;
        sl_core_end_step(r, step, SL_STEP_CACHED, d->reason, d);
        return;
    case SL_DECIDE_FAIL: sl_core_end_step(r, step, SL_STEP_FAILED, d->reason, NULL); return;
    case SL_DECIDE_WAIT: sl_core_await(r, step, d); return;
    case SL_DECIDE_DONE:
        sl_core_end_step(r, step, d->unchanged ? SL_STEP_UNCHANGED : SL_STEP_SUCCEEDED, d->reason,
                         NULL);
        return;
    case SL_DECIDE_REFUSE: sl_core_end_step(r, step, SL_STEP_REFUSED, d->reason, NULL); return;
    }
}

/* ---- attempts ----------------------------------------------------------------------------------- */

static struct sl_core_attempt *new_attempt(struct sl_core_run *r, uint32_t step)
{
    struct sl_core *c = r->core;
    struct sl_core_step *s = &r->steps[step];
    struct sl_core_attempt *a = SL_NEW(struct sl_core_attempt);
    enum sl_action act = r->plan->steps[step].spec->action;
    c->io->new_id(c->data, a->id);
    a->run = r;
    a->step = step;
    a->number = ++s->attempts;
    a->action = act != SL_ACT_RUN && act != SL_ACT_COMMAND;
    a->phase = AT_STARTING;
    s->att = a;
    r->n_live++;
    return a;
}

/** True when the step waits for its time: a backoff that outlived its engine. */
static bool put_off(struct sl_core_run *r, uint32_t step)
{
    struct sl_core *c = r->core;
    struct sl_core_step *s = &r->steps[step];
    if (s->not_before_ms <= c->io->now_ms(c->data)) {
        return false;
    }
    s->phase = PH_BACKOFF;
    c->postponed = true;
    sl_core_start_clock(r, step, s->not_before_ms);
    sl_sched_later(c->sched, r->sched, step, s->not_before_ms);
    return true;
}

void sl_core_prepare(struct sl_core_run *r, uint32_t step)
{
    struct sl_core_step *s = &r->steps[step];
    SL_ASSERT(s->att == NULL && s->phase != PH_LIVE);
    char reason[SL_CORE_REASON];
    if (sl_core_called_off(r, step, reason)) {
        sl_core_end_step(r, step, SL_STEP_CANCELLED, reason, NULL);
        return;
    }
    if (put_off(r, step)) {
        return;
    }
    struct sl_core_attempt *a = new_attempt(r, step);
    a->ahead = true;
    s->phase = PH_AHEAD;
    r->core->io->start(r->core->data, a);
}

void sl_core_drop_ahead(struct sl_core_attempt *a)
{
    struct sl_core_run *r = a->run;
    struct sl_core *c = r->core;
    struct sl_core_step *s = &r->steps[a->step];
    SL_ASSERT(a->ahead && a->phase == AT_READY);
    if (!a->unable) {
        c->io->discard(c->data, a);
    }
    s->attempts--;
    s->att = NULL;
    r->n_live--;
    c->io->attempt_over(c->data, a);
    free(a);
}

static void journal_start(struct sl_core_attempt *a)
{
    struct sl_core_run *r = a->run;
    struct sl_core_step *s = &r->steps[a->step];
    struct sl_jentry *e = sl_core_entry(r, SL_J_ATTEMPT_START, a->step);
    e->att = a;
    e->to = SL_ATTEMPT_STARTED;
    e = sl_core_entry(r, SL_J_STEP, a->step);
    e->from = (int)s->state;
    e->to = SL_STEP_RUNNING;
    e->attempts = s->attempts;
    e->key_record = s->key_record;
    e->key = s->key;
    e->has_key = s->has_key;
    s->state = SL_STEP_RUNNING;
}

void sl_core_fill_outcome(struct sl_core_attempt *a, struct sl_outcome *o, enum sl_fail_class fail,
                          const char *reason)
{
    int64_t now = a->run->core->io->now_ms(a->run->core->data);
    *o = (struct sl_outcome){.fail = fail, .started_ms = now, .ended_ms = now};
    snprintf(o->reason, sizeof(o->reason), "%s", reason);
}

/** It holds its resources and exists (or cannot): the journal comes next. */
static void record_start(struct sl_core_attempt *a)
{
    struct sl_core_run *r = a->run;
    char reason[SL_CORE_REASON];
    enum sl_fail_class fail;
    struct sl_outcome o;
    a->phase = AT_RECORDING;
    journal_start(a);
    if (a->unable) {
        o = a->outcome;
        sl_core_end_attempt(a, &o);
    } else if (sl_core_must_not_go(a, &fail, reason)) {
        r->core->io->discard(r->core->data, a);
        sl_core_fill_outcome(a, &o, fail, reason);
        sl_core_end_attempt(a, &o);
    }
}

void sl_core_start(struct sl_core_run *r, uint32_t step)
{
    struct sl_core_step *s = &r->steps[step];
    char reason[SL_CORE_REASON];
    struct sl_core_attempt *a = s->att;
    if (a != NULL) { /* prepared ahead */
        SL_ASSERT(a->ahead);
        a->ahead = false;
        s->phase = PH_LIVE;
        if (a->phase == AT_READY) {
            record_start(a);
        }
        return;
    }
    if (sl_core_called_off(r, step, reason)) {
        sl_core_end_step(r, step, SL_STEP_CANCELLED, reason, NULL);
        return;
    }
    if (put_off(r, step)) {
        return;
    }
    a = new_attempt(r, step);
    s->phase = PH_LIVE;
    r->core->io->start(r->core->data, a);
}

void sl_core_started(struct sl_core_attempt *a, int ret, const struct sl_err *err)
{
    struct sl_core_run *r = a->run;
    char reason[SL_CORE_REASON];
    SL_ASSERT(a->phase == AT_STARTING);
    if (r->core->halted) {
        if (ret == 0) {
            r->core->io->discard(r->core->data, a);
        }
        return;
    }
    a->unable = ret < 0;
    if (a->unable) {
        sl_core_fill_outcome(a, &a->outcome, SL_FAIL_INFRA,
                             err != NULL ? err->msg : "could not be started");
    }
    if (!a->ahead) {
        record_start(a);
        return;
    }
    a->phase = AT_READY;
    if (sl_core_called_off(r, a->step, reason)) {
        sl_core_end_step(r, a->step, SL_STEP_CANCELLED, reason, NULL);
    } else if (a->late) {
        sl_core_fail_late(r, a->step);
    }
}
