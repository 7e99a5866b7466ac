/**
 * Random graphs, requests and outcomes: nothing is ever oversubscribed, no step starts before its
 * needs ended, every step reaches its end exactly once, and the same seed gives the same history.
 */
#include "core/base/base.h"

#include <stdlib.h>

#include "tests/unit/pipelines/sched/sched_support.h"

#define SEEDS 3000

enum phase { WAITING, DECIDED, WANTED, RUNNING, BACKOFF, ENDED };

struct world {
    struct hand_plan h;
    struct sl_sched_caps caps;
    struct sl_sched *s;
    struct sl_sched_run *run;
    struct rng rng;
    enum phase phase[HAND_STEPS_MAX];
    int decided[HAND_STEPS_MAX], attempts[HAND_STEPS_MAX];
    int cpu, gpu, slots, active;
    uint64_t mem;
    int64_t now_ms;
    uint64_t history; /* hash of everything that happened */
};

static void random_plan(struct world *w)
{
    uint32_t groups = 1 + rng_below(&w->rng, 14);
    hand_init(&w->h);
    for (uint32_t g = 0; g < groups; g++) {
        uint32_t before = w->h.plan.n_steps;
        uint32_t step = 0;
        if (rng_below(&w->rng, 3) == 0) {
            step = hand_add_matrix(&w->h, "m", 1 + rng_below(&w->rng, 4),
                                   (int)rng_below(&w->rng, 3), rng_below(&w->rng, 2) == 0);
        } else {
            step = hand_add(&w->h, "s", 0);
        }
        struct sl_step *spec = hand_spec(&w->h, step);
        spec->resources = (struct sl_resources){.cpu_milli = 500 * (int)rng_below(&w->rng, 9),
                                                .mem_bytes = 100 * rng_below(&w->rng, 9),
                                                .gpu_count = (int)rng_below(&w->rng, 3),
                                                .priority = (int)rng_below(&w->rng, 3)};
        for (uint32_t n = before > 0 ? rng_below(&w->rng, 4) : 0; n > 0; n--) {
            uint32_t need = w->h.steps[rng_below(&w->rng, before)].group;
            for (uint32_t i = 0; i < w->h.count[need]; i++) {
                for (uint32_t k = step; k < w->h.plan.n_steps; k++) {
                    hand_need(&w->h, k, w->h.first[need] + i);
                }
            }
        }
    }
    w->h.spec.concurrency_limit = (int)rng_below(&w->rng, 4);
    w->caps = (struct sl_sched_caps){.cpu_milli = 4000 + 500 * (int)rng_below(&w->rng, 9),
                                     .mem_bytes = 800 + 100 * rng_below(&w->rng, 9),
                                     .gpu_count = 2 + (int)rng_below(&w->rng, 3),
                                     .slots = (int)rng_below(&w->rng, 4)};
}

static void note(struct world *w, uint64_t what, uint32_t step)
{
    w->history = (w->history ^ (what << 32 | step)) * 0x9E3779B97F4A7C15ULL;
}

static void hold(struct world *w, uint32_t step, int sign)
{
    const struct sl_resources *want = &w->h.steps[step].spec->resources;
    w->cpu += sign * want->cpu_milli;
    w->gpu += sign * want->gpu_count;
    w->mem += (uint64_t)sign * want->mem_bytes;
    w->slots += sign;
}

static int group_running(const struct world *w, uint32_t group)
{
    int n = 0;
    for (uint32_t i = 0; i < w->h.count[group]; i++) {
        n += w->phase[w->h.first[group] + i] == RUNNING;
    }
    return n;
}

static void check_limits(const struct world *w, uint32_t step)
{
    const struct sl_matrix *m = w->h.steps[step].spec->matrix;
    SL_CHECK(w->cpu <= w->caps.cpu_milli);
    SL_CHECK(w->gpu <= w->caps.gpu_count);
    SL_CHECK(w->mem <= w->caps.mem_bytes);
    SL_CHECK(w->caps.slots == 0 || w->slots <= w->caps.slots);
    SL_CHECK(w->h.spec.concurrency_limit == 0 || w->slots <= w->h.spec.concurrency_limit);
    SL_CHECK(m == NULL || m->max_parallel == 0 ||
             group_running(w, w->h.steps[step].group) <= m->max_parallel);
}

static void on_decide(struct world *w, uint32_t step)
{
    const struct sl_plan_step *p = &w->h.steps[step];
    bool again = w->decided[step]++ > 0;
    for (uint32_t i = 0; i < p->n_needs; i++) {
        SL_CHECK(w->phase[p->needs[i]] == ENDED);
    }
    SL_CHECK(w->phase[step] == (again ? w->phase[step] : WAITING));
    SL_CHECK(w->phase[step] != RUNNING && w->phase[step] != ENDED);
    bool group_failed = sl_sched_group_failed(w->run, step, NULL);
    SL_CHECK(!again || (group_failed && w->decided[step] == 2));
    if (group_failed || rng_below(&w->rng, 5) == 0) { /* cancelled, skipped or cached */
        w->phase[step] = ENDED;
        sl_sched_ended(w->s, w->run, step, false);
    } else {
        w->phase[step] = WANTED;
        sl_sched_want_run(w->s, w->run, step);
    }
}

static void on_start(struct world *w, uint32_t step)
{
    SL_CHECK(w->phase[step] == WANTED || w->phase[step] == BACKOFF);
    w->phase[step] = RUNNING;
    w->attempts[step]++;
    hold(w, step, 1);
    check_limits(w, step);
}

/** Ends or postpones a random running step. False when none runs. */
static bool finish_one(struct world *w)
{
    uint32_t running[HAND_STEPS_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->h.plan.n_steps; i++) {
        if (w->phase[i] == RUNNING) {
            running[n++] = i;
        }
    }
    if (n == 0) {
        return false;
    }
    uint32_t step = running[rng_below(&w->rng, n)];
    hold(w, step, -1);
    if (w->attempts[step] < 3 && rng_below(&w->rng, 4) == 0) {
        w->phase[step] = BACKOFF;
        sl_sched_later(w->s, w->run, step, w->now_ms + rng_below(&w->rng, 100));
    } else {
        w->phase[step] = ENDED;
        sl_sched_ended(w->s, w->run, step, rng_below(&w->rng, 4) == 0);
    }
    note(w, 3, step);
    return true;
}

static void take_some(struct world *w)
{
    for (uint32_t left = 1 + rng_below(&w->rng, 6); left > 0; left--) {
        struct sl_sched_item item = sl_sched_next(w->s);
        if (item.kind == SL_PICK_NONE) {
            return;
        }
        note(w, item.kind, item.step);
        if (item.kind == SL_PICK_DECIDE) {
            on_decide(w, item.step);
        } else {
            on_start(w, item.step);
        }
    }
}

static uint64_t run_seed(uint64_t seed)
{
    struct world *w = SL_NEW(struct world);
    struct sl_err err = SL_ERR_INIT;
    w->rng.state = seed * 0x9E3779B97F4A7C15ULL + 1;
    random_plan(w);
    w->s = sl_sched_new(&w->caps);
    SL_CHECK_OK(sl_sched_add_run(w->s, hand_finish(&w->h), w, &w->run, &err), err);
    int rounds = 0;
    while (!sl_sched_run_done(w->run)) {
        SL_CHECK_MSG(++rounds < 10000, "seed %llu: the run does not end", (unsigned long long)seed);
        take_some(w);
        if (rng_below(&w->rng, 2) == 0) {
            (void)finish_one(w);
        }
        int64_t next_ms = 0;
        w->now_ms += rng_below(&w->rng, 50);
        sl_sched_tick(w->s, w->now_ms, &next_ms);
    }
    for (uint32_t i = 0; i < w->h.plan.n_steps; i++) {
        SL_CHECK(w->phase[i] == ENDED);
    }
    SL_CHECK(w->cpu == 0 && w->gpu == 0 && w->slots == 0 && w->mem == 0);
    SL_CHECK(sl_sched_next(w->s).kind == SL_PICK_NONE);
    uint64_t history = w->history;
    sl_sched_free(w->s);
    hand_release(&w->h);
    free(w);
    return history;
}

SL_TEST(pipelines_sched_property, random_runs__every_seed__invariants_hold, .timeout = 60)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        sl_test_note("seed %llu", (unsigned long long)seed);
        (void)run_seed(seed);
    }
}

SL_TEST(pipelines_sched_property, same_seed__twice__same_history)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        SL_CHECK_EQ_UINT(run_seed(seed), run_seed(seed));
    }
}
