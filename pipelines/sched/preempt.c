/* Who makes way: when the first waiting step does not fit, running steps of lower priority that keep a checkpoint
 * may give their resources up for it. Pure. */
#include "core/base/base.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "pipelines/sched/sched_priv.h"

#define EXAMINED_MAX 16 /* waiting classes looked at, in order, for one that preemption helps */

static bool may_yield(const struct sl_plan_step *p)
{
    bool process = p->spec->action == SL_ACT_RUN || p->spec->action == SL_ACT_COMMAND;
    return process && p->spec->checkpoint && !p->spec->effects_external && !p->is_finally;
}

void sl_sched_note_holding(struct sl_sched *s, struct sl_sched_run *r, uint32_t step)
{
    if (may_yield(&r->plan->steps[step])) {
        sl_vec_push(&s->yielders, ((struct item){.run = r, .step = step}));
    }
}

void sl_sched_note_let_go(struct sl_sched *s, struct sl_sched_run *r, uint32_t step)
{
    if (!may_yield(&r->plan->steps[step])) {
        return;
    }
    if (r->steps[step].leaving) {
        r->steps[step].leaving = false;
        s->n_leaving--;
    }
    size_t kept = 0;
    for (size_t i = 0; i < s->yielders.n; i++) {
        struct item y = s->yielders.items[i];
        if (y.run != r || y.step != step) {
            s->yielders.items[kept++] = y;
        }
    }
    s->yielders.n = kept;
}

void sl_sched_restore_leaving(struct sl_sched *s, struct sl_sched_run *r, uint32_t step)
{
    struct step *st = &r->steps[step];
    SL_ASSERT(st->place == AT_HOLDING);
    if (may_yield(&r->plan->steps[step]) && !st->leaving) {
        st->leaving = true;
        s->n_leaving++;
    }
}

/* ---- choosing ------------------------------------------------------------------------------------- */

/** A running step that may make way; `age` grows with those that started later. */
struct candidate {
    struct item item;
    struct sl_resources holds;
    size_t age;
    bool chosen;
};

/** Lowest priority first; of those, the youngest: it has the least to lose. */
static int compare(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    if (x->holds.priority != y->holds.priority) {
        return x->holds.priority < y->holds.priority ? -1 : 1;
    }
    return x->age > y->age ? -1 : 1;
}

/** Whether `want` fits once the chosen ones, and `also` (may be NULL), have gone. */
static bool fits_without(const struct sl_sched *s, const struct sl_resources *want,
                         const struct candidate *c, size_t n, const struct candidate *also)
{
    struct sl_sched after = {.caps = s->caps,
                             .cpu_used = s->cpu_used,
                             .gpu_used = s->gpu_used,
                             .slots_used = s->slots_used,
                             .mem_used = s->mem_used};
    struct sl_sched_holder *gone = sl_calloc(n + 1, sizeof(*gone));
    size_t n_gone = 0;
    for (size_t i = 0; i < n; i++) {
        if (c[i].chosen || &c[i] == also) {
            gone[n_gone++] = (struct sl_sched_holder){c[i].item.run->data, c[i].item.step};
            after.slots_used--;
            after.cpu_used -= c[i].holds.cpu_milli;
            after.gpu_used -= c[i].holds.gpu_count;
            after.mem_used -= c[i].holds.mem_bytes;
        }
    }
    bool fits = sl_sched_fits_without(&after, want, gone, n_gone);
    free(gone);
    return fits;
}

/** One that suffices alone; else as many as it takes, less those that turn out not to be needed. */
static bool choose(const struct sl_sched *s, const struct sl_resources *want, struct candidate *c,
                   size_t n)
{
    bool enough = false;
    for (size_t i = 0; i < n && !enough; i++) {
        c[i].chosen = enough = fits_without(s, want, c, n, &c[i]);
    }
    if (enough) {
        return true;
    }
    for (size_t i = 0; i < n && !enough; i++) {
        c[i].chosen = true;
        enough = fits_without(s, want, c, n, NULL);
    }
    for (size_t i = n; enough && i-- > 0;) {
        if (c[i].chosen) {
            c[i].chosen = false;
            c[i].chosen = !fits_without(s, want, c, n, NULL);
        }
    }
    return enough;
}

static size_t candidates_for(const struct sl_sched *s, const struct sl_resources *want,
                             struct candidate *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < s->yielders.n; i++) {
        struct item y = s->yielders.items[i];
        struct candidate c = {
            .item = y, .age = i, .holds = sl_sched_wants(y.run->plan, &y.run->plan->steps[y.step])};
        if (c.holds.priority < want->priority) {
            ret[n++] = c;
        }
    }
    if (n > 1) {
        qsort(ret, n, sizeof(*ret), compare);
    }
    return n;
}

/** Marks those that make way for the head of `class`. False when that would not help it. */
static bool evict_for(struct sl_sched *s, struct class *class, const struct item *head)
{
    struct candidate *c = sl_calloc(s->yielders.n, sizeof(*c));
    size_t n = candidates_for(s, &class->want, c);
    bool helps = n > 0 && choose(s, &class->want, c, n);
    for (size_t i = 0; helps && i < n; i++) {
        if (c[i].chosen) {
            c[i].item.run->steps[c[i].item.step].leaving = true;
            s->n_leaving++;
            sl_vec_push(&s->evicted, c[i].item);
        }
    }
    if (helps) { /* what comes free is kept for it */
        class->bypassed = SL_SCHED_BYPASS_MAX;
        s->evicted_for = *head;
    }
    free(c);
    return helps;
}

/** The first waiting class behind `last` (NULL: the very first) in order. */
static struct class *next_waiting(struct sl_sched *s, const struct class *last,
                                  const struct item *last_head, struct item *ret_head)
{
    struct class *first = NULL;
    for (size_t i = 0; i < s->classes.n; i++) {
        struct class *c = &s->classes.items[i];
        struct item head;
        if (c == last || !sl_sched_head_of(c, &head) ||
            (last != NULL && sl_sched_comes_first(c, &head, last, last_head))) {
            continue;
        }
        if (first == NULL || sl_sched_comes_first(c, &head, first, ret_head)) {
            first = c;
            *ret_head = head;
        }
    }
    return first;
}

/** Looks through the classes that wait before `best` (NULL: all). Until those who were asked to go have
 * gone, nobody else is. */
static void plan_evictions(struct sl_sched *s, const struct class *best)
{
    struct class *c = NULL;
    struct item head = {0};
    if (s->yielders.n == 0 || s->n_leaving > 0) {
        return;
    }
    for (int i = 0; i < EXAMINED_MAX; i++) {
        struct item next = {0};
        c = next_waiting(s, c, &head, &next);
        head = next;
        if (c == NULL || c == best || (!sl_sched_fits(s, &c->want) && evict_for(s, c, &head))) {
            return;
        }
    }
}

bool sl_sched_evict(struct sl_sched *s, const struct class *best, struct sl_sched_item *ret)
{
    plan_evictions(s, best);
    while (s->evicted.n > 0) {
        struct item y = s->evicted.items[--s->evicted.n];
        if (y.run->steps[y.step].leaving) {
            *ret = (struct sl_sched_item){
                SL_PICK_PREEMPT,    y.run, y.run->data, y.step, s->evicted_for.run->data,
                s->evicted_for.step};
            return true;
        }
    }
    return false;
}

void sl_sched_forget_evictions(struct sl_sched *s, const struct sl_sched_run *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->evicted.n; i++) {
        if (s->evicted.items[i].run != r) {
            s->evicted.items[kept++] = s->evicted.items[i];
        }
    }
    s->evicted.n = s->evicted_for.run == r ? 0 : kept;
}
