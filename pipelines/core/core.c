/* The core's life cycle, answers and events: see core.h. Thread: loop. Must not: do I/O, block, or read a
 * clock except through io. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/core/core_priv.h"

struct sl_core *sl_core_new(const struct sl_core_io *io, void *data,
                            const struct sl_sched_caps *caps)
{
    struct sl_core *c = SL_NEW(struct sl_core);
    c->io = io;
    c->data = data;
    c->caps = *caps;
    c->sched = sl_sched_new(caps);
    c->batch = SL_NEW(struct sl_journal);
    return c;
}

/** Attempts whose end never became durable are kept until the core goes: their host may still look. */
static void free_journal(struct sl_core *c, struct sl_journal *j)
{
    for (size_t i = 0; i < j->entries.n; i++) {
        struct sl_jentry *e = &j->entries.items[i];
        if (e->kind == SL_J_ATTEMPT_END && e->att != NULL) {
            sl_vec_push(&c->unrecorded, e->att);
        }
    }
    sl_vec_free(&j->entries);
    free(j);
}

void sl_core_drop_unrecorded(struct sl_core *c)
{
    free_journal(c, c->batch);
    c->batch = SL_NEW(struct sl_journal);
    for (size_t i = 0; i < c->unrecorded.n; i++) {
        c->io->attempt_over(c->data, c->unrecorded.items[i]);
        free(c->unrecorded.items[i]);
    }
    c->unrecorded.n = 0;
}

void sl_core_free(struct sl_core *c)
{
    if (c == NULL) {
        return;
    }
    while (c->runs != NULL) {
        sl_core_remove_run(c, c->runs);
    }
    sl_flight_free_all(c);
    free_journal(c, c->batch);
    for (size_t i = 0; i < c->unrecorded.n; i++) {
        free(c->unrecorded.items[i]);
    }
    sl_vec_free(&c->unrecorded);
    sl_vec_free(&c->deadlines);
    sl_sched_free(c->sched);
    free(c);
}

struct sl_jentry *sl_core_entry(struct sl_core_run *r, enum sl_jkind kind, uint32_t step)
{
    struct sl_core *c = r->core;
    struct sl_jentry e = {.kind = kind, .run = r, .step = step, .ts_ms = c->io->now_ms(c->data)};
    sl_vec_push(&c->batch->entries, e);
    return &c->batch->entries.items[c->batch->entries.n - 1];
}

static void set_run_state(struct sl_core_run *r, enum sl_run_state to, const char *reason)
{
    struct sl_jentry *e = sl_core_entry(r, SL_J_RUN, 0);
    e->from = (int)r->state;
    e->to = (int)to;
    snprintf(e->reason, sizeof(e->reason), "%s", reason != NULL ? reason : "");
    int state = (int)r->state;
    sl_sm_move(&sl_run_machine, &state, (int)to);
    r->state = (enum sl_run_state)state;
}

/** What permits it is durable: stops those of the steps that run and may not any more. */
static void stop_steps(struct sl_core_run *r, uint32_t first, uint32_t n)
{
    struct sl_core *c = r->core;
    char reason[SL_CORE_REASON];
    for (uint32_t i = first; i < first + n; i++) {
        struct sl_core_attempt *a = r->steps[i].att;
        if (a != NULL && a->phase == AT_RUNNING && !a->cancel_sent &&
            sl_core_called_off(r, i, reason)) {
            a->cancel_sent = true;
            c->io->cancel(c->data, a);
        }
    }
}

/* ---- runs --------------------------------------------------------------------------------------- */

/** A run that its group keeps waiting is not in the scheduler. */
static int attach(struct sl_core *c, struct sl_core_run *r, struct sl_err *err)
{
    r->admitted = r->group == NULL || r->state != SL_RUN_QUEUED;
    int rc = r->admitted ? sl_sched_add_run(c->sched, r->plan, r, &r->sched, err)
                         : sl_sched_check(&c->caps, r->plan, err);
    if (rc < 0) {
        return rc;
    }
    r->core = c;
    r->steps = sl_calloc(SL_MAX(r->plan->n_steps, 1U), sizeof(*r->steps));
    r->next = c->runs;
    c->runs = r;
    c->admit_anew = true;
    return 0;
}

/** The scheduler takes the run's steps. It was checked against the machine before. */
static void schedule(struct sl_core_run *r)
{
    struct sl_err err = SL_ERR_INIT;
    int rc = sl_sched_add_run(r->core->sched, r->plan, r, &r->sched, &err);
    SL_ASSERT(rc == 0);
}

void sl_core_begin_run(struct sl_core_run *r)
{
    r->admitted = true;
    schedule(r);
    set_run_state(r, SL_RUN_RUNNING, NULL);
    sl_core_run_check_done(r); /* a run without steps */
}

int sl_core_add_run(struct sl_core *c, struct sl_core_run *r, struct sl_err *err)
{
    SL_ASSERT(r->state == SL_RUN_QUEUED);
    int rc = attach(c, r, err);
    if (rc < 0) {
        return rc;
    }
    if (r->admitted) {
        set_run_state(r, SL_RUN_RUNNING, NULL);
        sl_core_run_check_done(r); /* a run without steps */
    }
    return 0;
}

int sl_core_restore_begin(struct sl_core *c, struct sl_core_run *r, struct sl_err *err)
{
    return attach(c, r, err);
}

/** The first failure gives the run its exit status. */
static void restore_failure(struct sl_core_run *r, uint32_t step, bool timed_out, int64_t ended_ms)
{
    bool first = r->first_failure_ms == 0 || ended_ms < r->first_failure_ms;
    if (first && !r->plan->steps[step].spec->allow_failure) {
        r->first_failure_ms = ended_ms;
        r->timed_out = timed_out;
    }
}

void sl_core_restore_step(struct sl_core_run *r, uint32_t step, const struct sl_core_step *recorded)
{
    struct sl_core_step *s = &r->steps[step];
    *s = *recorded;
    s->phase = PH_NONE;
    s->att = NULL;
    if (sl_step_state_final(s->state)) {
        sl_core_count_result(r, step, s->state);
        if (s->timed_out) {
            restore_failure(r, step, true, s->ended_ms);
        }
        sl_sched_restore_ended(r->core->sched, r->sched, step, s->state == SL_STEP_FAILED);
    }
}

void sl_core_restore_attempt(struct sl_core_run *r, struct sl_core_attempt *a)
{
    struct sl_core_step *s = &r->steps[a->step];
    SL_ASSERT(s->state == SL_STEP_RUNNING);
    s->att = a;
    s->phase = PH_LIVE;
    a->run = r;
    a->adopted = true;
    a->phase = AT_RUNNING;
    r->n_live++;
    sl_sched_restore_running(r->core->sched, r->sched, a->step);
    (void)sl_flight_lead(r->core, r, a->step);
    s->phase = PH_LIVE;
}

void sl_core_restore_ended(struct sl_core_run *r, uint32_t step, int number,
                           enum sl_fail_class fail, int64_t ended_ms)
{
    struct sl_core_step *s = &r->steps[step];
    s->free_starts += fail == SL_FAIL_NEVER_STARTED ? 1 : 0;
    s->preempted += fail == SL_FAIL_PREEMPTED ? 1 : 0;
    if (fail != SL_FAIL_COUNT && s->state == SL_STEP_FAILED && number == s->attempts &&
        !s->timed_out) {
        restore_failure(r, step, fail == SL_FAIL_TIMEOUT, ended_ms);
    }
}

void sl_core_restore_go(struct sl_core_run *r)
{
    struct sl_core *c = r->core;
    if (!r->admitted) {
        return; /* once all runs are back, its turn comes as before */
    }
    if (r->state == SL_RUN_QUEUED) {
        set_run_state(r, SL_RUN_RUNNING, "taken up again");
    }
    for (uint32_t i = 0; i < r->plan->n_steps; i++) {
        struct sl_core_attempt *a = r->steps[i].att;
        if (a == NULL) {
            continue;
        }
        c->io->adopt(c->data, a);
    }
    stop_steps(r, 0, r->plan->n_steps); /* what stopped them was recorded before */
    for (uint32_t i = 0; i < r->plan->n_steps; i++) {
        if (r->steps[i].att != NULL) {
            sl_core_stop_preempted(r->steps[i].att);
        }
    }
    sl_core_run_check_done(r);
}

void sl_core_remove_run(struct sl_core *c, struct sl_core_run *r)
{
    struct sl_core_run **at = &c->runs;
    while (*at != NULL && *at != r) {
        at = &(*at)->next;
    }
    SL_ASSERT(*at == r);
    *at = r->next;
    sl_flight_forget_run(c, r);
    sl_core_forget_deadlines(c, r);
    if (r->sched != NULL) {
        sl_sched_remove_run(c->sched, r->sched);
    }
    c->admit_anew = true;
    for (uint32_t i = 0; i < r->plan->n_steps; i++) {
        free(r->steps[i].key_record);
        free(r->steps[i].att);
    }
    free(r->steps);
    r->steps = NULL;
    r->core = NULL;
}

struct sl_core_run *sl_core_find_run(struct sl_core *c, const char *run_id)
{
    struct sl_core_run *r = c->runs;
    while (r != NULL && run_id != NULL && !sl_streq(r->id, run_id)) {
        r = r->next;
    }
    return r;
}

size_t sl_core_n_runs(const struct sl_core *c)
{
    size_t n = 0;
    for (const struct sl_core_run *r = c->runs; r != NULL; r = r->next) {
        n++;
    }
    return n;
}

const struct sl_sched *sl_core_sched(const struct sl_core *c)
{
    return c->sched;
}

bool sl_core_halted(const struct sl_core *c)
{
    return c->halted;
}

/* ---- cancelling --------------------------------------------------------------------------------- */

static bool is_idle(const struct sl_core_step *s)
{
    switch ((enum step_phase)s->phase) {
    case PH_NONE:
    case PH_PARKED:
    case PH_WANTED:
    case PH_AWAITING:
    case PH_BACKOFF: return !sl_step_state_final(s->state);
    case PH_AHEAD: return s->att->phase == AT_READY;
    case PH_DECIDING:
    case PH_LIVE: break;
    }
    return false;
}

/** Of a run that its group never let start, nothing starts: not even what is there to tidy up. */
void sl_core_cancel_because(struct sl_core_run *r, const char *reason)
{
    if (r->state == SL_RUN_CANCELLING || sl_run_machine.states[r->state].final) {
        return;
    }
    if (!r->admitted) {
        schedule(r);
    }
    set_run_state(r, SL_RUN_CANCELLING, reason);
    for (uint32_t i = 0; i < r->plan->n_steps; i++) {
        if ((!r->plan->steps[i].is_finally || !r->admitted) && is_idle(&r->steps[i])) {
            sl_core_end_step(r, i, SL_STEP_CANCELLED, reason, NULL);
        }
    }
    sl_core_run_check_done(r); /* a run without steps */
    sl_core_pump(r->core);
}

void sl_core_cancel(struct sl_core_run *r, const char *who)
{
    char reason[200];
    snprintf(reason, sizeof(reason), "cancelled by %s", who);
    sl_core_cancel_because(r, reason);
}

/** A step's failure is durable: fail_fast stops its siblings. */
static void stop_group(struct sl_core_run *r, uint32_t step)
{
    uint32_t group = r->plan->steps[step].group;
    if (sl_sched_group_failed(r->sched, step, NULL)) {
        stop_steps(r, r->plan->group_first[group], r->plan->group_count[group]);
    }
}

/* ---- from GO to the end ------------------------------------------------------------------------- */

void sl_core_exited(struct sl_core_attempt *a, const struct sl_outcome *o)
{
    struct sl_core *c = a->run->core;
    if (a->phase != AT_RUNNING || c->halted) {
        return;
    }
    a->phase = AT_COLLECTING;
    a->outcome = *o;
    c->io->collect(c->data, a);
}

void sl_core_collected(struct sl_core_attempt *a, const struct sl_outcome *o)
{
    if (a->phase != AT_COLLECTING || a->run->core->halted) {
        return;
    }
    sl_core_end_attempt(a, o);
}

/* ---- the journal's answer ----------------------------------------------------------------------- */

static void attempt_recorded(struct sl_core *c, struct sl_core_attempt *a)
{
    struct sl_outcome o;
    enum sl_fail_class fail;
    char reason[SL_CORE_REASON];
    if (a->phase != AT_RECORDING) {
        return; /* it ended before it began */
    }
    if (sl_core_must_not_go(a, &fail, reason)) {
        c->io->discard(c->data, a);
        sl_core_fill_outcome(a, &o, fail, reason);
        sl_core_end_attempt(a, &o);
        return;
    }
    a->phase = AT_RUNNING;
    sl_core_set_deadline(a->run, a->step, 0);
    c->io->go(c->data, a);
}

static void entry_durable(struct sl_core *c, struct sl_jentry *e)
{
    switch (e->kind) {
    case SL_J_ATTEMPT_START: attempt_recorded(c, e->att); break;
    case SL_J_ATTEMPT_PREEMPT: sl_core_stop_preempted(e->att); break;
    case SL_J_ATTEMPT_END:
        SL_ASSERT(e->att->phase == AT_OVER);
        c->io->attempt_over(c->data, e->att);
        free(e->att);
        e->att = NULL;
        break;
    case SL_J_STEP:
        if (sl_step_state_final((enum sl_step_state)e->to)) {
            sl_flight_land(c, e->run, e->step);
        }
        if (e->to == SL_STEP_FAILED) {
            stop_group(e->run, e->step);
        }
        break;
    case SL_J_RUN:
        if (e->to == SL_RUN_CANCELLING) {
            stop_steps(e->run, 0, e->run->plan->n_steps);
        }
        break;
    }
}

void sl_core_halt(struct sl_core *c, const struct sl_err *err)
{
    if (!c->halted) {
        c->halted = true;
        c->io->halted(c->data, err);
    }
}

void sl_core_journaled(struct sl_core *c, struct sl_journal *j, int ret, const struct sl_err *err)
{
    if (ret < 0) {
        sl_core_halt(c, err);
    }
    for (size_t i = 0; i < j->entries.n && !c->halted; i++) {
        entry_durable(c, &j->entries.items[i]);
    }
    for (size_t i = 0; i < j->entries.n && !c->halted; i++) {
        struct sl_jentry *e = &j->entries.items[i];
        if (e->kind == SL_J_RUN && sl_run_machine.states[e->to].final) {
            c->io->run_over(c->data, e->run);
        }
    }
    free_journal(c, j);
    sl_core_pump(c);
}

/* ---- the pump ----------------------------------------------------------------------------------- */

static void pick_all(struct sl_core *c)
{
    for (;;) {
        struct sl_sched_item item = sl_sched_next(c->sched);
        switch (item.kind) {
        case SL_PICK_NONE: return;
        case SL_PICK_DECIDE: sl_core_decide(item.run_data, item.step); break;
        case SL_PICK_PREPARE: sl_core_prepare(item.run_data, item.step); break;
        case SL_PICK_START: sl_core_start(item.run_data, item.step); break;
        case SL_PICK_PREEMPT:
            sl_core_preempt(item.run_data, item.step, item.by_data, item.by_step);
            break;
        }
    }
}

/** Meets deadlines, queues backoffs that are due, and asks to be woken for the next. */
static void tick(struct sl_core *c)
{
    int64_t now_ms = c->io->now_ms(c->data);
    int64_t due_ms = sl_core_meet_deadlines(c, now_ms);
    int64_t next_ms = -1;
    sl_sched_tick(c->sched, now_ms, &next_ms);
    next_ms = next_ms < 0 || (due_ms >= 0 && due_ms < next_ms) ? due_ms : next_ms;
    if (next_ms >= 0) {
        c->io->wake_at(c->data, next_ms);
    }
}

void sl_core_pump(struct sl_core *c)
{
    if (c->pumping || c->halted) {
        return;
    }
    c->pumping = true;
    do { /* what was picked and put off again needs its wake-up */
        c->postponed = false;
        sl_core_admit(c);
        tick(c);
        pick_all(c);
    } while (c->postponed || c->admit_anew);
    c->pumping = false;
    if (c->batch->entries.n > 0) {
        struct sl_journal *full = c->batch;
        c->batch = SL_NEW(struct sl_journal);
        c->io->journal(c->data, full);
    }
}

/* ---- what others see ---------------------------------------------------------------------------- */

const char *sl_core_step_status(const struct sl_core_run *r, uint32_t step)
{
    enum sl_step_state s = r->steps[step].state;
    return sl_step_state_good(s) ? "succeeded" : sl_sm_name(&sl_step_machine, (int)s);
}
