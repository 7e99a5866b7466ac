/** Plans made by hand for the scheduler's tests. Single-threaded. */
#include "core/base/base.h"

#include "tests/unit/pipelines/sched/sched_support.h"

void hand_init(struct hand_plan *h)
{
    memset(h, 0, sizeof(*h));
    sl_arena_init(&h->arena, 0);
    h->written = SL_ARENA_ARRAY(&h->arena, struct sl_step, HAND_STEPS_MAX);
    h->steps = SL_ARENA_ARRAY(&h->arena, struct sl_plan_step, HAND_STEPS_MAX);
    h->first = SL_ARENA_ARRAY(&h->arena, uint32_t, HAND_STEPS_MAX);
    h->count = SL_ARENA_ARRAY(&h->arena, uint32_t, HAND_STEPS_MAX);
    h->spec.steps = h->written;
    h->plan.spec = &h->spec;
    h->plan.steps = h->steps;
    h->plan.group_first = h->first;
    h->plan.group_count = h->count;
}

void hand_release(struct hand_plan *h)
{
    sl_arena_release(&h->arena);
}

static uint32_t add_instances(struct hand_plan *h, const char *key, uint32_t n, bool named)
{
    size_t group = h->spec.n_steps++;
    uint32_t first = h->plan.n_steps;
    SL_ASSERT(first + n <= HAND_STEPS_MAX);
    h->written[group] =
        (struct sl_step){.id = key, .action = SL_ACT_COMMAND, .resources = {.cpu_milli = 1000}};
    h->first[group] = first;
    h->count[group] = n;
    for (uint32_t i = 0; i < n; i++) {
        struct sl_plan_step *p = &h->steps[h->plan.n_steps++];
        p->spec = &h->written[group];
        p->group = (uint32_t)group;
        p->key = named ? sl_arena_printf(&h->arena, "%s[%u]", key, i) : key;
        p->needs = SL_ARENA_ARRAY(&h->arena, uint32_t, HAND_STEPS_MAX);
        p->dependents = SL_ARENA_ARRAY(&h->arena, uint32_t, HAND_STEPS_MAX);
    }
    return first;
}

uint32_t hand_add(struct hand_plan *h, const char *key, int priority)
{
    uint32_t step = add_instances(h, key, 1, false);
    hand_spec(h, step)->resources.priority = priority;
    return step;
}

uint32_t hand_add_matrix(struct hand_plan *h, const char *key, uint32_t n, int max_parallel,
                         bool fail_fast)
{
    uint32_t first = add_instances(h, key, n, true);
    struct sl_matrix *m = SL_ARENA_NEW(&h->arena, struct sl_matrix);
    m->max_parallel = max_parallel;
    m->fail_fast = fail_fast;
    hand_spec(h, first)->matrix = m;
    return first;
}

void hand_need(struct hand_plan *h, uint32_t step, uint32_t need)
{
    struct sl_plan_step *p = &h->steps[step];
    for (uint32_t i = 0; i < p->n_needs; i++) {
        if (p->needs[i] == need) {
            return;
        }
    }
    p->needs[p->n_needs++] = need;
    h->steps[need].dependents[h->steps[need].n_dependents++] = step;
}

struct sl_step *hand_spec(struct hand_plan *h, uint32_t step)
{
    return &h->written[h->steps[step].group];
}

const struct sl_plan *hand_finish(struct hand_plan *h)
{
    return &h->plan;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (uint32_t)((r->state * 0x2545F4914F6CDD1DULL) >> 33) % n;
}
