/* The ready set: see sched.h. Pure and deterministic. Entries in lines may be stale (their step moved on):
 * an entry counts only while its step still has the entry's sequence number. */
#include "core/base/base.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "pipelines/sched/sched_priv.h"

struct sl_sched *sl_sched_new(const struct sl_sched_caps *caps)
{
    struct sl_sched *s = SL_NEW(struct sl_sched);
    s->caps = *caps;
    return s;
}

void sl_sched_free(struct sl_sched *s)
{
    if (s == NULL) {
        return;
    }
    while (s->runs != NULL) {
        sl_sched_remove_run(s, s->runs);
    }
    for (size_t i = 0; i < s->classes.n; i++) {
        sl_fifo_free(&s->classes.items[i].line);
        sl_fifo_free(&s->classes.items[i].ahead);
    }
    sl_vec_free(&s->classes);
    sl_vec_free(&s->heap);
    sl_vec_free(&s->yielders);
    sl_vec_free(&s->evicted);
    sl_fifo_free(&s->decide);
    free(s);
}

/* ---- resources ------------------------------------------------------------------------------------ */

/** All but its GPUs. */
static bool fits_apart(const struct sl_sched *s, const struct sl_resources *want)
{
    return (s->caps.slots == 0 || s->slots_used < s->caps.slots) &&
           s->cpu_used + want->cpu_milli <= s->caps.cpu_milli &&
           s->mem_used + want->mem_bytes <= s->caps.mem_bytes;
}

bool sl_sched_fits_without(const struct sl_sched *s, const struct sl_resources *want,
                           const struct sl_sched_holder *gone, size_t n_gone)
{
    const struct sl_sched_gpus *gpus = s->caps.gpus;
    if (!fits_apart(s, want)) {
        return false;
    }
    if (want->gpu_count == 0) {
        return true;
    }
    return gpus == NULL ? s->gpu_used + want->gpu_count <= s->caps.gpu_count
                        : gpus->fits(gpus->data, want, gone, n_gone);
}

bool sl_sched_fits(const struct sl_sched *s, const struct sl_resources *want)
{
    return sl_sched_fits_without(s, want, NULL, 0);
}

static void take(struct sl_sched *s, const struct sl_resources *want, int sign)
{
    s->slots_used += sign;
    s->cpu_used += sign * want->cpu_milli;
    s->gpu_used += sign * want->gpu_count;
    s->mem_used = sign > 0 ? s->mem_used + want->mem_bytes : s->mem_used - want->mem_bytes;
    SL_ASSERT(s->slots_used >= 0 && s->cpu_used >= 0 && s->gpu_used >= 0);
}

/** Gates and deployments run inside the engine and ask for nothing but order. The pipeline's priority is
 * added to each step's. */
struct sl_resources sl_sched_wants(const struct sl_plan *plan, const struct sl_plan_step *p)
{
    struct sl_resources want = {.priority = p->spec->resources.priority};
    if (p->spec->action == SL_ACT_RUN || p->spec->action == SL_ACT_COMMAND) {
        want = p->spec->resources;
    }
    want.priority += plan->spec->priority;
    return want;
}

static bool same_gpus(const struct sl_resources *a, const struct sl_resources *b)
{
    bool same = a->gpu_count == b->gpu_count && a->gpu_mem_min_bytes == b->gpu_mem_min_bytes &&
                a->gpu_mem_max_bytes == b->gpu_mem_max_bytes && a->mig == b->mig &&
                a->gpu_share_bytes == b->gpu_share_bytes && a->n_gpu_types == b->n_gpu_types &&
                (a->mig_profile == NULL) == (b->mig_profile == NULL) &&
                (a->mig_profile == NULL || sl_streq(a->mig_profile, b->mig_profile));
    for (size_t i = 0; same && i < a->n_gpu_types; i++) {
        same = sl_streq(a->gpu_types[i], b->gpu_types[i]);
    }
    return same;
}

static bool same_line(const struct sl_resources *a, const struct sl_resources *b)
{
    return a->priority == b->priority && a->cpu_milli == b->cpu_milli &&
           a->mem_bytes == b->mem_bytes && same_gpus(a, b);
}

static struct class *class_of(struct sl_sched *s, const struct sl_resources *want)
{
    for (size_t i = 0; i < s->classes.n; i++) {
        if (same_line(&s->classes.items[i].want, want)) {
            return &s->classes.items[i];
        }
    }
    sl_vec_push(&s->classes, ((struct class){.want = *want}));
    return &s->classes.items[s->classes.n - 1];
}

int sl_sched_check(const struct sl_sched_caps *caps, const struct sl_plan *plan, struct sl_err *err)
{
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const struct sl_resources want = sl_sched_wants(plan, &plan->steps[i]);
        const char *key = plan->steps[i].key;
        if (want.cpu_milli > caps->cpu_milli) {
            return sl_err_set(err, SL_EINVAL, "step '%s' asks for %g CPUs; this machine has %g",
                              key, want.cpu_milli / 1000.0, caps->cpu_milli / 1000.0);
        }
        if (want.mem_bytes > caps->mem_bytes) {
            return sl_err_set(err, SL_EINVAL,
                              "step '%s' asks for %llu MB of memory; this machine has %llu", key,
                              (unsigned long long)(want.mem_bytes / 1000000),
                              (unsigned long long)(caps->mem_bytes / 1000000));
        }
        if (want.gpu_count > caps->gpu_count) {
            return sl_err_set(err, SL_EINVAL, "step '%s' asks for %d GPUs; this machine has %d",
                              key, want.gpu_count, caps->gpu_count);
        }
        if (want.gpu_count > 0 && caps->gpus != NULL &&
            caps->gpus->check(caps->gpus->data, &want, err) < 0) {
            return sl_err_wrap(err, "step '%s'", key);
        }
    }
    return 0;
}

/* ---- runs ----------------------------------------------------------------------------------------- */

static struct item stamp(struct sl_sched_run *r, uint32_t step)
{
    r->steps[step].seq = ++r->s->next_seq;
    return (struct item){r, step, r->steps[step].seq};
}

static void to_decide(struct sl_sched_run *r, uint32_t step)
{
    r->steps[step].place = AT_TO_DECIDE;
    sl_fifo_push(&r->s->decide, stamp(r, step));
}

int sl_sched_add_run(struct sl_sched *s, const struct sl_plan *plan, void *data,
                     struct sl_sched_run **ret, struct sl_err *err)
{
    int rc = sl_sched_check(&s->caps, plan, err);
    if (rc < 0) {
        return rc;
    }
    struct sl_sched_run *r = SL_NEW(struct sl_sched_run);
    r->s = s;
    r->plan = plan;
    r->data = data;
    r->steps = sl_calloc(plan->n_steps + 1U, sizeof(*r->steps));
    r->groups = sl_calloc(plan->spec->n_steps + 1, sizeof(*r->groups));
    r->next = s->runs;
    s->runs = r;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        r->steps[i].needs_left = plan->steps[i].n_needs;
        if (plan->steps[i].n_needs == 0) {
            to_decide(r, i);
        }
    }
    *ret = r;
    return 0;
}

static void let_go(struct sl_sched_run *r, uint32_t step);

void sl_sched_remove_run(struct sl_sched *s, struct sl_sched_run *r)
{
    struct sl_sched_run **at = &s->runs;
    while (*at != r) {
        SL_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = r->next;
    for (uint32_t i = 0; i < r->plan->n_steps; i++) {
        let_go(r, i);
    }
    sl_fifo_forget(&s->decide, r);
    for (size_t i = 0; i < s->classes.n; i++) {
        sl_fifo_forget(&s->classes.items[i].line, r);
        sl_fifo_forget(&s->classes.items[i].ahead, r);
    }
    sl_heap_forget(s, r);
    sl_sched_forget_evictions(s, r);
    for (size_t i = 0; i < r->plan->spec->n_steps; i++) {
        sl_fifo_free(&r->groups[i].line);
    }
    sl_fifo_free(&r->line);
    free(r->groups);
    free(r->steps);
    free(r);
}

/* ---- lines ---------------------------------------------------------------------------------------- */

static uint32_t group_limit(const struct sl_plan_step *p)
{
    return p->spec->matrix != NULL && p->spec->matrix->max_parallel > 0
               ? (uint32_t)p->spec->matrix->max_parallel
               : UINT32_MAX;
}

static uint32_t run_limit(const struct sl_sched_run *r)
{
    return r->plan->spec->concurrency_limit > 0 ? (uint32_t)r->plan->spec->concurrency_limit
                                                : UINT32_MAX;
}

/** Puts a wanted step into the first line that holds it back, or into the line for resources. */
static void line_up(struct sl_sched_run *r, uint32_t step)
{
    const struct sl_plan_step *p = &r->plan->steps[step];
    struct step *st = &r->steps[step];
    struct group *g = &r->groups[p->group];
    if (!st->in_group && g->active >= group_limit(p)) {
        sl_fifo_push(&g->line, stamp(r, step));
        return;
    }
    g->active += st->in_group ? 0 : 1;
    st->in_group = true;
    if (!st->in_run && r->active >= run_limit(r)) {
        sl_fifo_push(&r->line, stamp(r, step));
        return;
    }
    r->active += st->in_run ? 0 : 1;
    st->in_run = true;
    const struct sl_resources want = sl_sched_wants(r->plan, p);
    sl_fifo_push(&class_of(r->s, &want)->line, stamp(r, step));
}

static bool valid(const struct item *item, enum step_place place)
{
    const struct step *st = &item->run->steps[item->step];
    return st->seq == item->seq && st->place == (uint8_t)place;
}

/** Lines up the next valid entry of a line. */
static void admit_next(struct fifo *line)
{
    struct item item;
    while (sl_fifo_pop(line, &item)) {
        if (valid(&item, AT_WANTED)) {
            line_up(item.run, item.step);
            return;
        }
    }
}

static void no_longer_ahead(struct sl_sched_run *r, uint32_t step)
{
    if (r->steps[step].ahead) {
        r->steps[step].ahead = false;
        r->s->n_ahead--;
    }
}

/** Gives back what the step counts against. Others may take its place. */
static void let_go(struct sl_sched_run *r, uint32_t step)
{
    struct step *st = &r->steps[step];
    no_longer_ahead(r, step);
    const struct sl_plan_step *p = &r->plan->steps[step];
    struct group *g = &r->groups[p->group];
    if (st->place == AT_HOLDING) {
        const struct sl_resources want = sl_sched_wants(r->plan, p);
        take(r->s, &want, -1);
        sl_sched_note_let_go(r->s, r, step);
        st->place = AT_DECIDING;
    }
    if (st->in_run) {
        st->in_run = false;
        r->active--;
        admit_next(&r->line);
    }
    if (st->in_group) {
        st->in_group = false;
        g->active--;
        admit_next(&g->line);
    }
}

/* ---- picking -------------------------------------------------------------------------------------- */

/** The first entry of one of a class's lines that is not stale. */
static bool first_of(struct class *c, struct fifo *line, struct item *ret)
{
    while (sl_fifo_peek(line, ret)) {
        if (valid(ret, AT_WANTED)) {
            return true;
        }
        (void)sl_fifo_pop(line, ret); /* stale */
        c->bypassed = 0;
    }
    return false;
}

bool sl_sched_head_of(struct class *c, struct item *ret)
{
    return first_of(c, &c->ahead, ret) || first_of(c, &c->line, ret);
}

bool sl_sched_comes_first(const struct class *a, const struct item *a_head, const struct class *b,
                          const struct item *b_head)
{
    return a->want.priority != b->want.priority ? a->want.priority > b->want.priority
                                                : a_head->seq < b_head->seq;
}

/** Whether what comes free must not go to `c` because `starved`, which does not fit, was passed over too often.
 * One that lacks nothing but GPUs keeps only those from starting that could take GPUs that suit it. */
static bool keeps_waiting(const struct sl_sched *s, const struct class *starved,
                          const struct class *c)
{
    if (starved == c || starved->bypassed < SL_SCHED_BYPASS_MAX ||
        sl_sched_fits(s, &starved->want)) {
        return false;
    }
    return s->caps.gpus == NULL || !fits_apart(s, &starved->want) ||
           (c->want.gpu_count > 0 &&
            s->caps.gpus->meet(s->caps.gpus->data, &starved->want, &c->want));
}

static bool is_held_back(struct sl_sched *s, const struct class *c, const struct item *c_head)
{
    for (size_t i = 0; i < s->classes.n; i++) {
        struct class *other = &s->classes.items[i];
        struct item head;
        if (other->bypassed >= SL_SCHED_BYPASS_MAX && sl_sched_head_of(other, &head) &&
            sl_sched_comes_first(other, &head, c, c_head) && keeps_waiting(s, other, c)) {
            return true;
        }
    }
    return false;
}

/** The class whose head may start now: the first by priority and age that fits, unless one before it was
 * bypassed too often. NULL when none. */
static struct class *pick_class(struct sl_sched *s, struct item *ret_head)
{
    struct class *best = NULL;
    for (size_t i = 0; i < s->classes.n; i++) {
        struct class *c = &s->classes.items[i];
        struct item head;
        if (sl_sched_head_of(c, &head) &&
            (best == NULL || sl_sched_comes_first(c, &head, best, ret_head)) &&
            sl_sched_fits(s, &c->want) && !is_held_back(s, c, &head)) {
            best = c;
            *ret_head = head;
        }
    }
    return best;
}

static void count_bypass(struct sl_sched *s, const struct class *picked,
                         const struct item *picked_head)
{
    for (size_t i = 0; i < s->classes.n; i++) {
        struct class *c = &s->classes.items[i];
        struct item head;
        bool waits = sl_fifo_peek(&c->ahead, &head) || sl_fifo_peek(&c->line, &head);
        if (c != picked && waits && sl_sched_comes_first(c, &head, picked, picked_head)) {
            c->bypassed++;
        }
    }
}

static bool preparable(const struct item *item)
{
    const struct sl_step *spec = item->run->plan->steps[item->step].spec;
    bool process = spec->action == SL_ACT_RUN || spec->action == SL_ACT_COMMAND;
    return item->run->steps[item->step].may_prepare && process && !spec->effects_external &&
           spec->resources.gpu_count == 0;
}

/** Moves the next step that may be made ready from its line to the front part of it. */
static bool pick_ahead(struct sl_sched *s, struct item *ret)
{
    struct class *best = NULL;
    if (s->n_ahead >= SL_MIN(s->caps.ahead, SL_SCHED_AHEAD_PER_RUNNING * s->slots_used)) {
        return false;
    }
    for (size_t i = 0; i < s->classes.n; i++) {
        struct class *c = &s->classes.items[i];
        struct item head;
        if (first_of(c, &c->line, &head) && preparable(&head) &&
            (best == NULL || sl_sched_comes_first(c, &head, best, ret))) {
            best = c;
            *ret = head;
        }
    }
    if (best == NULL) {
        return false;
    }
    (void)sl_fifo_pop(&best->line, ret);
    sl_fifo_push(&best->ahead, *ret);
    ret->run->steps[ret->step].ahead = true;
    s->n_ahead++;
    return true;
}

static struct sl_sched_item picked(enum sl_sched_pick kind, const struct item *item)
{
    return (struct sl_sched_item){
        .kind = kind, .run = item->run, .run_data = item->run->data, .step = item->step};
}

struct sl_sched_item sl_sched_next(struct sl_sched *s)
{
    struct item item;
    while (sl_fifo_pop(&s->decide, &item)) {
        if (valid(&item, AT_TO_DECIDE)) {
            item.run->steps[item.step].place = AT_DECIDING;
            return picked(SL_PICK_DECIDE, &item);
        }
    }
    struct class *c = pick_class(s, &item);
    struct sl_sched_item evicted;
    if (sl_sched_evict(s, c, &evicted)) {
        return evicted;
    }
    if (c == NULL && pick_ahead(s, &item)) {
        return picked(SL_PICK_PREPARE, &item);
    }
    if (c == NULL) {
        return (struct sl_sched_item){.kind = SL_PICK_NONE};
    }
    count_bypass(s, c, &item);
    (void)(sl_fifo_pop(&c->ahead, &item) || sl_fifo_pop(&c->line, &item));
    c->bypassed = 0;
    no_longer_ahead(item.run, item.step);
    take(s, &c->want, 1);
    item.run->steps[item.step].place = AT_HOLDING;
    sl_sched_note_holding(s, item.run, item.step);
    return picked(SL_PICK_START, &item);
}

/* ---- answers -------------------------------------------------------------------------------------- */

void sl_sched_want_run(struct sl_sched *s, struct sl_sched_run *r, uint32_t step)
{
    SL_ASSERT(r->s == s);
    SL_ASSERT(r->steps[step].place == AT_DECIDING);
    r->steps[step].place = AT_WANTED;
    line_up(r, step);
}

void sl_sched_may_prepare(struct sl_sched_run *r, uint32_t step, bool may)
{
    r->steps[step].may_prepare = may;
}

static void release_dependents(struct sl_sched_run *r, uint32_t step)
{
    const struct sl_plan_step *p = &r->plan->steps[step];
    for (uint32_t i = 0; i < p->n_dependents; i++) {
        uint32_t d = p->dependents[i];
        struct step *st = &r->steps[d];
        SL_ASSERT(st->needs_left > 0);
        if (--st->needs_left == 0 && st->place == AT_WAITING) {
            to_decide(r, d);
        }
    }
}

/** fail_fast: what has not started is handed out to be decided again. `finally` goes through all the same. */
static void fail_group(struct sl_sched_run *r, uint32_t group, uint32_t by)
{
    uint32_t first = r->plan->group_first[group];
    uint32_t n = r->plan->group_count[group];
    r->groups[group].failed = true;
    r->groups[group].failed_by = by;
    for (uint32_t i = first; i < first + n; i++) {
        if (r->steps[i].place == AT_WANTED || r->steps[i].place == AT_LATER) {
            let_go(r, i);
            to_decide(r, i);
        }
    }
}

static void end(struct sl_sched_run *r, uint32_t step, bool failed)
{
    struct step *st = &r->steps[step];
    const struct sl_plan_step *p = &r->plan->steps[step];
    SL_ASSERT(st->place != AT_ENDED);
    let_go(r, step);
    st->place = AT_ENDED;
    r->n_ended++;
    if (failed && p->spec->matrix != NULL && p->spec->matrix->fail_fast && !p->is_champion_eval &&
        !p->is_finally && !r->groups[p->group].failed) {
        fail_group(r, p->group, step);
    }
    release_dependents(r, step);
}

void sl_sched_ended(struct sl_sched *s, struct sl_sched_run *r, uint32_t step, bool failed)
{
    SL_ASSERT(r->s == s);
    end(r, step, failed);
}

void sl_sched_later(struct sl_sched *s, struct sl_sched_run *r, uint32_t step,
                    int64_t not_before_ms)
{
    SL_ASSERT(r->s == s);
    SL_ASSERT(r->steps[step].place == AT_HOLDING || r->steps[step].place == AT_WANTED);
    let_go(r, step);
    r->steps[step].place = AT_LATER;
    sl_heap_push(s, (struct later){not_before_ms, stamp(r, step)});
}

void sl_sched_tick(struct sl_sched *s, int64_t now_ms, int64_t *ret_next_ms)
{
    *ret_next_ms = -1;
    while (s->heap.n > 0) {
        struct later first = s->heap.items[0];
        bool stale = !valid(&first.item, AT_LATER);
        if (!stale && first.at_ms > now_ms) {
            *ret_next_ms = first.at_ms;
            return;
        }
        sl_heap_pop(s);
        if (!stale) {
            first.item.run->steps[first.item.step].place = AT_WANTED;
            line_up(first.item.run, first.item.step);
        }
    }
}

void sl_sched_restore_running(struct sl_sched *s, struct sl_sched_run *r, uint32_t step)
{
    struct step *st = &r->steps[step];
    const struct sl_plan_step *p = &r->plan->steps[step];
    const struct sl_resources want = sl_sched_wants(r->plan, p);
    SL_ASSERT(st->place != AT_ENDED && st->place != AT_HOLDING);
    take(s, &want, 1); /* it runs already, whatever the caps are now */
    st->place = AT_HOLDING;
    st->in_group = st->in_run = true;
    sl_sched_note_holding(s, r, step);
    r->groups[p->group].active++;
    r->active++;
}

void sl_sched_restore_ended(struct sl_sched *s, struct sl_sched_run *r, uint32_t step, bool failed)
{
    SL_ASSERT(r->s == s);
    end(r, step, failed);
}

bool sl_sched_group_failed(const struct sl_sched_run *r, uint32_t step, uint32_t *ret_by)
{
    const struct sl_plan_step *p = &r->plan->steps[step];
    bool failed = r->groups[p->group].failed && !p->is_champion_eval;
    if (failed && ret_by != NULL) {
        *ret_by = r->groups[p->group].failed_by;
    }
    return failed;
}

bool sl_sched_run_done(const struct sl_sched_run *r)
{
    return r->n_ended == r->plan->n_steps;
}
