/* How attempts, steps and runs end: failure classes, retries with backoff, the run's result.
 * Thread: loop. Must not: do I/O, read a clock except through io. */
#include "core/base/base.h"

#include <stdio.h>

#include "pipelines/core/core_priv.h"

#define FREE_RESTARTS_MAX 5 /* never_started costs no retry, up to here */

static int64_t backoff_ms(const struct sl_retry *retry, int failed_attempts)
{
    double wait = (double)retry->initial_ms;
    for (int i = 1; i < failed_attempts; i++) {
        wait *= retry->factor;
        if (retry->max_ms > 0 && wait > (double)retry->max_ms) {
            break;
        }
    }
    if (retry->max_ms > 0 && wait > (double)retry->max_ms) {
        wait = (double)retry->max_ms;
    }
    return (int64_t)wait;
}

/** Attempts so far that count against the retries of the step. */
static int spent(const struct sl_core_attempt *a)
{
    const struct sl_core_step *s = &a->run->steps[a->step];
    return a->number - SL_MIN(s->free_starts, FREE_RESTARTS_MAX) - s->preempted;
}

static bool may_retry(const struct sl_core_attempt *a, const struct sl_outcome *o)
{
    const struct sl_core_run *r = a->run;
    const struct sl_step *spec = r->plan->steps[a->step].spec;
    bool never_started = o->fail == SL_FAIL_NEVER_STARTED;
    if (r->state == SL_RUN_CANCELLING && !r->plan->steps[a->step].is_finally) {
        return false;
    }
    bool too_late = a->late && o->fail == SL_FAIL_TIMEOUT;
    if (o->fail == SL_FAIL_CANCELLED || o->fail == SL_FAIL_REJECTED || too_late) {
        return false;
    }
    if (o->fail == SL_FAIL_PREEMPTED && a->preempted) {
        return true;
    }
    if (spec->effects_external && !never_started) {
        return false;
    }
    if (never_started && r->steps[a->step].free_starts <= FREE_RESTARTS_MAX) {
        return true;
    }
    return (spec->retry.on & (1U << o->fail)) != 0 && spent(a) <= spec->retry.max;
}

static enum sl_attempt_state attempt_result(const struct sl_outcome *o)
{
    if (o->ok) {
        return SL_ATTEMPT_SUCCEEDED;
    }
    switch (o->fail) {
    case SL_FAIL_CANCELLED: return SL_ATTEMPT_CANCELLED;
    case SL_FAIL_REJECTED: return SL_ATTEMPT_REFUSED;
    case SL_FAIL_LOST: return SL_ATTEMPT_LOST;
    case SL_FAIL_NEVER_STARTED:
    case SL_FAIL_INFRA:
    case SL_FAIL_OOM:
    case SL_FAIL_TIMEOUT:
    case SL_FAIL_STALLED:
    case SL_FAIL_PREEMPTED:
    case SL_FAIL_DISK:
    case SL_FAIL_EXIT:
    case SL_FAIL_COUNT: break;
    }
    return SL_ATTEMPT_FAILED;
}

static enum sl_step_state step_result(const struct sl_core_attempt *a, const struct sl_outcome *o)
{
    if (o->ok) {
        return o->unchanged ? SL_STEP_UNCHANGED : SL_STEP_SUCCEEDED;
    }
    if (o->fail == SL_FAIL_CANCELLED) {
        return SL_STEP_CANCELLED;
    }
    if (o->fail == SL_FAIL_REJECTED) {
        return SL_STEP_REFUSED;
    }
    const struct sl_step *spec = a->run->plan->steps[a->step].spec;
    if (o->fail == SL_FAIL_LOST && spec->effects_external && !a->action) {
        return SL_STEP_NEEDS_DECISION;
    }
    return SL_STEP_FAILED;
}

static void journal_attempt_end(struct sl_core_attempt *a)
{
    struct sl_jentry *e = sl_core_entry(a->run, SL_J_ATTEMPT_END, a->step);
    e->att = a;
    e->from = SL_ATTEMPT_STARTED;
    e->to = (int)attempt_result(&a->outcome);
    snprintf(e->reason, sizeof(e->reason), "%s", a->outcome.reason);
}

static void retry_later(struct sl_core_attempt *a)
{
    struct sl_core_run *r = a->run;
    struct sl_core *c = r->core;
    struct sl_core_step *s = &r->steps[a->step];
    const struct sl_step *spec = r->plan->steps[a->step].spec;
    bool at_once = a->outcome.fail == SL_FAIL_NEVER_STARTED || a->outcome.fail == SL_FAIL_PREEMPTED;
    int64_t wait = at_once ? 0 : backoff_ms(&spec->retry, spent(a));
    s->not_before_ms = c->io->now_ms(c->data) + wait;
    struct sl_jentry *e = sl_core_entry(r, SL_J_STEP, a->step);
    e->from = (int)s->state;
    e->to = SL_STEP_BACKOFF;
    e->not_before_ms = s->not_before_ms;
    e->attempts = s->attempts;
    snprintf(e->reason, sizeof(e->reason), "attempt %d: %.270s", a->number, a->outcome.reason);
    s->state = SL_STEP_BACKOFF;
    s->phase = PH_BACKOFF;
    s->att = NULL;
    sl_sched_later(c->sched, r->sched, a->step, s->not_before_ms);
    sl_core_start_clock(r, a->step, s->not_before_ms);
}

void sl_core_note_timeout(struct sl_core_run *r, uint32_t step)
{
    if (r->n_failed == 0 && !r->plan->steps[step].spec->allow_failure) {
        r->timed_out = true;
    }
}

void sl_core_end_attempt(struct sl_core_attempt *a, const struct sl_outcome *result)
{
    struct sl_core_run *r = a->run;
    struct sl_outcome judged = *result;
    const struct sl_outcome *o = &judged;
    SL_ASSERT(a->phase != AT_OVER);
    SL_ASSERT(r->steps[a->step].att == a);
    SL_ASSERT(r->n_live > 0);
    sl_core_judge_preempted(a, &judged);
    a->outcome = judged;
    a->phase = AT_OVER;
    r->n_live--;
    r->steps[a->step].preempted += !o->ok && o->fail == SL_FAIL_PREEMPTED ? 1 : 0;
    r->steps[a->step].free_starts += !o->ok && o->fail == SL_FAIL_NEVER_STARTED ? 1 : 0;
    journal_attempt_end(a);
    char reason[SL_CORE_REASON];
    bool off = !o->ok && r->state != SL_RUN_CANCELLING && sl_core_called_off(r, a->step, reason);
    if (!o->ok && may_retry(a, o)) {
        if (off) { /* fail_fast: it would have run again */
            sl_core_end_step(r, a->step, SL_STEP_CANCELLED, reason, NULL);
        } else {
            retry_later(a);
        }
        return;
    }
    if (!o->ok && o->fail == SL_FAIL_TIMEOUT) {
        sl_core_note_timeout(r, a->step);
        r->steps[a->step].timed_out = a->late;
    }
    struct sl_core_step *s = &r->steps[a->step];
    s->outputs = o->ok ? o->outputs : NULL;
    off = off &&
          o->fail == SL_FAIL_CANCELLED; /* the failure that stopped it says more than "cancelled" */
    sl_core_end_step(r, a->step, step_result(a, o), off ? reason : a->outcome.reason, NULL);
}

void sl_core_count_result(struct sl_core_run *r, uint32_t step, enum sl_step_state to)
{
    if (r->plan->steps[step].spec->allow_failure) {
        return; /* shown, and no more */
    }
    r->n_failed += to == SL_STEP_FAILED ? 1 : 0;
    r->n_refused += to == SL_STEP_REFUSED ? 1 : 0;
    r->n_undecided += to == SL_STEP_NEEDS_DECISION ? 1 : 0;
}

void sl_core_end_step(struct sl_core_run *r, uint32_t step, enum sl_step_state to,
                      const char *reason, const struct sl_decision *from)
{
    struct sl_core_step *s = &r->steps[step];
    SL_ASSERT(sl_sm_allowed(&sl_step_machine, (int)s->state, (int)to));
    if (s->att != NULL && s->att->ahead) {
        sl_core_drop_ahead(s->att);
    }
    struct sl_jentry *e = sl_core_entry(r, SL_J_STEP, step);
    e->from = (int)s->state;
    e->to = (int)to;
    e->attempts = s->attempts;
    e->timed_out = s->timed_out;
    e->outputs = s->outputs;
    e->key_record = s->key_record;
    e->key = s->key;
    e->has_key = s->has_key;
    if (from != NULL) {
        snprintf(e->from_run, sizeof(e->from_run), "%s", from->from_run);
        e->from_step = from->from_step;
    }
    snprintf(e->reason, sizeof(e->reason), "%s", reason != NULL ? reason : "");
    s->state = to;
    sl_core_set_phase(r, step, PH_NONE);
    s->att = NULL;
    s->deadline_ms = 0;
    sl_core_count_result(r, step, to);
    sl_sched_ended(r->core->sched, r->sched, step, to == SL_STEP_FAILED);
    if (to == SL_STEP_FAILED) {
        sl_core_release_group(r, step);
    }
    sl_core_run_check_done(r);
}

static enum sl_run_state run_result(const struct sl_core_run *r)
{
    if (r->state == SL_RUN_CANCELLING) {
        return SL_RUN_CANCELLED;
    }
    if (r->n_failed > 0) {
        return SL_RUN_FAILED;
    }
    if (r->n_undecided > 0) {
        return SL_RUN_WAITING;
    }
    return r->n_refused > 0 ? SL_RUN_REFUSED : SL_RUN_SUCCEEDED;
}

void sl_core_run_check_done(struct sl_core_run *r)
{
    if (!sl_sched_run_done(r->sched) || sl_run_machine.states[r->state].final) {
        return;
    }
    enum sl_run_state to = run_result(r);
    struct sl_jentry *e = sl_core_entry(r, SL_J_RUN, 0);
    e->from = (int)r->state;
    e->to = (int)to;
    int state = (int)r->state;
    sl_sm_move(&sl_run_machine, &state, (int)to);
    r->state = (enum sl_run_state)state;
    r->core->admit_anew = true;
}

int sl_run_exit_status(enum sl_run_state s, bool timed_out)
{
    switch (s) {
    case SL_RUN_SUCCEEDED: return 0;
    case SL_RUN_REFUSED: return 3;
    case SL_RUN_WAITING: return 4;
    case SL_RUN_CANCELLED: return 7;
    case SL_RUN_FAILED: return timed_out ? 124 : 1;
    case SL_RUN_QUEUED:
    case SL_RUN_RUNNING:
    case SL_RUN_CANCELLING:
    case SL_RUN_STATES: break;
    }
    return 1;
}
