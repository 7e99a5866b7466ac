/** Shared by the scheduler's tests: plans made by hand, a seeded generator, and short names. */
#ifndef SCHED_SUPPORT_H
#define SCHED_SUPPORT_H

#include "pipelines/sched/sched.h"
#include "tests/support/sl_test.h"

#define HAND_STEPS_MAX 64

/** A plan under construction; `add` steps, then `finish`. */
struct hand_plan {
    struct sl_arena arena;
    struct sl_spec spec;
    struct sl_plan plan;
    struct sl_step *written;
    struct sl_plan_step *steps;
    uint32_t *first, *count;
};

void hand_init(struct hand_plan *h);
void hand_release(struct hand_plan *h);
/** Adds a written step of one instance that asks for 1 CPU and `priority`. Returns its plan index. */
uint32_t hand_add(struct hand_plan *h, const char *key, int priority);
/** Adds a written step with a matrix of n instances "key[i]". Returns the first plan index. */
uint32_t hand_add_matrix(struct hand_plan *h, const char *key, uint32_t n, int max_parallel,
                         bool fail_fast);
void hand_need(struct hand_plan *h, uint32_t step, uint32_t need);
struct sl_step *hand_spec(struct hand_plan *h, uint32_t step);
const struct sl_plan *hand_finish(struct hand_plan *h);

/** xorshift64*: the same numbers from the same seed everywhere. */
struct rng {
    uint64_t state;
};
uint32_t rng_below(struct rng *r, uint32_t n);

#endif
