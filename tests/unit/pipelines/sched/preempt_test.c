/** Who makes way for whom: never in vain, never for an equal, no more than needed; and that it ends. */
#include "core/base/base.h"

#include "tests/unit/pipelines/sched/sched_support.h"

#define CAPS   4000 /* four CPUs */
#define SEEDS  3000
#define NOBODY UINT32_MAX

struct stage {
    struct hand_plan h;
    struct sl_sched *s;
    struct sl_sched_run *run;
    struct sl_buf log;
};

static uint32_t add(struct stage *t, const char *key, int priority, int cpus, bool checkpoint)
{
    uint32_t step = hand_add(&t->h, key, priority);
    hand_spec(&t->h, step)->resources.cpu_milli = 1000 * cpus;
    hand_spec(&t->h, step)->checkpoint = checkpoint;
    return step;
}

static void stage_init(struct stage *t)
{
    hand_init(&t->h);
    t->log = SL_BUF_INIT(1 << 20);
    t->s = NULL;
}

static void stage_begin(struct stage *t)
{
    struct sl_err err = SL_ERR_INIT;
    t->s = sl_sched_new(&(struct sl_sched_caps){.cpu_milli = CAPS, .mem_bytes = 1 << 20});
    SL_CHECK_OK(sl_sched_add_run(t->s, hand_finish(&t->h), t, &t->run, &err), err);
}

static void stage_release(struct stage *t)
{
    sl_sched_free(t->s);
    sl_buf_release(&t->log);
    hand_release(&t->h);
}

/** Takes everything that the scheduler hands out: "!a" starts, "-b(a)" b makes way for a. */
static const char *turn(struct stage *t)
{
    sl_buf_clear(&t->log);
    for (struct sl_sched_item item = sl_sched_next(t->s); item.kind != SL_PICK_NONE;
         item = sl_sched_next(t->s)) {
        const char *key = t->h.steps[item.step].key;
        if (item.kind == SL_PICK_DECIDE) {
            sl_sched_want_run(t->s, item.run, item.step);
        } else if (item.kind == SL_PICK_START) {
            sl_buf_printf(&t->log, "!%s ", key);
        } else {
            SL_CHECK_EQ_INT(item.kind, SL_PICK_PREEMPT);
            SL_CHECK(item.by_data == t);
            sl_buf_printf(&t->log, "-%s(%s) ", key, t->h.steps[item.by_step].key);
        }
    }
    return sl_buf_str(&t->log);
}

static void stopped(struct stage *t, uint32_t step)
{
    int64_t next_ms = 0;
    sl_sched_later(t->s, t->run, step, 0);
    sl_sched_tick(t->s, 0, &next_ms);
}

/** Steps that all want to start at once start by priority; so `late` needs an end of `first`. */
static uint32_t behind(struct stage *t, const char *key, int priority, int cpus, uint32_t first)
{
    uint32_t step = add(t, key, priority, cpus, false);
    hand_need(&t->h, step, first);
    return step;
}

SL_TEST(pipelines_sched_preempt, lower_priority_with_checkpoint__makes_way)
{
    struct stage t;
    stage_init(&t);
    uint32_t first = add(&t, "first", 0, 1, false);
    uint32_t low = add(&t, "low", 0, 3, true);
    uint32_t high = behind(&t, "high", 5, 3, first);
    stage_begin(&t);
    SL_CHECK_EQ_STR(turn(&t), "!first !low ");
    sl_sched_ended(t.s, t.run, first, false);
    SL_CHECK_EQ_STR(turn(&t), "-low(high) ");
    SL_CHECK_EQ_STR(turn(&t), ""); /* it is asked once */
    struct sl_buf why = SL_BUF_INIT(1000);
    sl_sched_why(t.s, t.run, high, &why);
    SL_CHECK_EQ_STR(sl_buf_str(&why), "waiting for 1 running step of lower priority to make way");
    sl_buf_release(&why);
    stopped(&t, low);
    SL_CHECK_EQ_STR(turn(&t), "!high ");
    sl_sched_ended(t.s, t.run, high, false);
    SL_CHECK_EQ_STR(turn(&t), "!low ");
    stage_release(&t);
}

SL_TEST(pipelines_sched_preempt, others__are_left_alone)
{
    static const struct {
        int low, high;
        bool checkpoint, external;
    } rows[] = {{0, 5, false, false}, {5, 5, true, false}, {6, 5, true, false}, {0, 5, true, true}};
    for (size_t i = 0; i < SL_LEN(rows); i++) {
        struct stage t;
        stage_init(&t);
        uint32_t first = add(&t, "first", 9, 1, false);
        uint32_t low = add(&t, "low", rows[i].low, 3, rows[i].checkpoint);
        hand_spec(&t.h, low)->effects_external = rows[i].external;
        (void)behind(&t, "high", rows[i].high, 3, first);
        stage_begin(&t);
        SL_CHECK_EQ_STR(turn(&t), "!first !low ");
        sl_sched_ended(t.s, t.run, first, false);
        SL_CHECK_EQ_STR(turn(&t), "");
        stage_release(&t);
    }
}

SL_TEST(pipelines_sched_preempt, would_not_help__nobody_is_stopped)
{
    struct stage t;
    stage_init(&t);
    uint32_t first = add(&t, "first", 9, 1, false);
    (void)add(&t, "stays", 9, 2, false);
    (void)add(&t, "low", 0, 1, true);
    (void)behind(&t, "high", 5, 3, first);
    stage_begin(&t);
    SL_CHECK_EQ_STR(turn(&t), "!first !stays !low ");
    sl_sched_ended(t.s, t.run, first, false);
    SL_CHECK_EQ_STR(turn(&t), ""); /* 1 is free, low has 1: 2 are not 3 */
    stage_release(&t);
}

SL_TEST(pipelines_sched_preempt, one_that_suffices__instead_of_several_lower_ones)
{
    struct stage t;
    stage_init(&t);
    uint32_t first = add(&t, "first", 9, 1, false);
    (void)add(&t, "big", 4, 2, true);
    (void)add(&t, "small", 0, 1, true);
    (void)behind(&t, "high", 5, 3, first);
    stage_begin(&t);
    SL_CHECK_EQ_STR(turn(&t), "!first !big !small ");
    sl_sched_ended(t.s, t.run, first, false);
    SL_CHECK_EQ_STR(turn(&t), "-big(high) ");
    stage_release(&t);
}

SL_TEST(pipelines_sched_preempt, equals__the_youngest_goes)
{
    struct stage t;
    stage_init(&t);
    uint32_t first = add(&t, "first", 9, 1, false);
    (void)add(&t, "a", 1, 1, true);
    (void)add(&t, "b", 1, 1, true);
    (void)add(&t, "c", 2, 1, true);
    (void)behind(&t, "high", 5, 2, first);
    stage_begin(&t);
    SL_CHECK_EQ_STR(turn(&t), "!first !c !a !b ");
    sl_sched_ended(t.s, t.run, first, false);
    SL_CHECK_EQ_STR(turn(&t), "-b(high) ");
    stage_release(&t);
}

SL_TEST(pipelines_sched_preempt, several__what_comes_free_is_kept_for_it)
{
    struct stage t;
    stage_init(&t);
    uint32_t first = add(&t, "first", 9, 1, false);
    uint32_t a = add(&t, "a", 1, 1, true);
    uint32_t b = add(&t, "b", 1, 2, true);
    (void)add(&t, "small", 0, 1, false); /* waits all the time, and would fit into what a leaves */
    uint32_t high = behind(&t, "high", 5, 4, first);
    stage_begin(&t);
    SL_CHECK_EQ_STR(turn(&t), "!first !a !b ");
    sl_sched_ended(t.s, t.run, first, false);
    SL_CHECK_CONTAINS(turn(&t), "-a(high) ");
    stopped(&t, a);
    SL_CHECK_EQ_STR(turn(&t), "");
    stopped(&t, b);
    SL_CHECK_EQ_STR(turn(&t), "!high ");
    sl_sched_ended(t.s, t.run, high, false);
    SL_CHECK_EQ_STR(turn(&t), "!a !b !small ");
    stage_release(&t);
}

SL_TEST(pipelines_sched_preempt, restored_as_leaving__is_not_asked_again)
{
    struct stage t;
    stage_init(&t);
    uint32_t low = add(&t, "low", 0, 4, true);
    (void)add(&t, "high", 5, 4, false);
    stage_begin(&t);
    sl_sched_restore_running(t.s, t.run, low);
    sl_sched_restore_leaving(t.s, t.run, low);
    SL_CHECK_EQ_STR(turn(&t), "");
    stopped(&t, low);
    SL_CHECK_EQ_STR(turn(&t), "!high ");
    stage_release(&t);
}

/* ---- by seed -------------------------------------------------------------------------------------- */

struct play {
    struct stage t;
    struct rng rng;
    uint32_t n, starts, preempted;
    uint32_t holding[HAND_STEPS_MAX], n_holding;
    bool leaving[HAND_STEPS_MAX], ended[HAND_STEPS_MAX];
};

static const struct sl_step *spec_of(struct play *p, uint32_t step)
{
    return hand_spec(&p->t.h, step);
}

/** CPUs free once everybody who leaves has left; `except` stays. */
static int free_after(struct play *p, uint32_t except)
{
    int free = CAPS;
    for (uint32_t i = 0; i < p->n_holding; i++) {
        uint32_t step = p->holding[i];
        bool stays = !p->leaving[step] || step == except;
        free -= stays ? spec_of(p, step)->resources.cpu_milli : 0;
    }
    return free;
}

/** All who were asked for `by`: enough, and none too many. */
static void check_evictions(struct play *p, uint32_t by)
{
    int wanted = spec_of(p, by)->resources.cpu_milli;
    SL_CHECK(free_after(p, NOBODY) >= wanted);
    for (uint32_t i = 0; i < p->n_holding; i++) {
        uint32_t step = p->holding[i];
        SL_CHECK(!p->leaving[step] || free_after(p, step) < wanted);
    }
}

static void take_all(struct play *p)
{
    uint32_t by = NOBODY;
    for (struct sl_sched_item item = sl_sched_next(p->t.s); item.kind != SL_PICK_NONE;
         item = sl_sched_next(p->t.s)) {
        if (item.kind == SL_PICK_DECIDE) {
            sl_sched_want_run(p->t.s, item.run, item.step);
        } else if (item.kind == SL_PICK_START) {
            p->starts++;
            p->holding[p->n_holding++] = item.step;
        } else {
            SL_CHECK_EQ_INT(item.kind, SL_PICK_PREEMPT);
            const struct sl_step *victim = spec_of(p, item.step);
            SL_CHECK(victim->checkpoint && !p->leaving[item.step]);
            SL_CHECK(victim->resources.priority < spec_of(p, item.by_step)->resources.priority);
            p->leaving[item.step] = true;
            p->preempted++;
            by = item.by_step;
        }
    }
    if (by != NOBODY) {
        check_evictions(p, by);
    }
    SL_CHECK(free_after(p, NOBODY) >= 0);
}

/** One that holds resources ends, or stops when it was asked to. */
static void let_one_go(struct play *p)
{
    uint32_t at = rng_below(&p->rng, p->n_holding);
    uint32_t step = p->holding[at];
    p->holding[at] = p->holding[--p->n_holding];
    if (p->leaving[step] && rng_below(&p->rng, 4) > 0) {
        p->leaving[step] = false;
        stopped(&p->t, step);
        return;
    }
    p->leaving[step] = false;
    p->ended[step] = true;
    sl_sched_ended(p->t.s, p->t.run, step, false);
}

static void play(uint64_t seed)
{
    struct play p = {.rng = {seed * 2654435761U + 1}};
    uint32_t turns = 0;
    stage_init(&p.t);
    p.n = 4 + rng_below(&p.rng, 28);
    for (uint32_t i = 0; i < p.n; i++) {
        uint32_t step =
            add(&p.t, sl_arena_printf(&p.t.h.arena, "s%u", i), (int)rng_below(&p.rng, 4),
                1 + (int)rng_below(&p.rng, 4), rng_below(&p.rng, 3) > 0);
        if (i > 0 && rng_below(&p.rng, 2) > 0) {
            hand_need(&p.t.h, step, rng_below(&p.rng, i));
        }
    }
    stage_begin(&p.t);
    take_all(&p);
    while (p.n_holding > 0) {
        SL_CHECK(++turns < 100 * p.n);
        let_one_go(&p);
        take_all(&p);
    }
    for (uint32_t i = 0; i < p.n; i++) {
        SL_CHECK_MSG(p.ended[i], "seed %llu: s%u never ran", (unsigned long long)seed, i);
    }
    SL_CHECK(p.starts <= p.n + p.preempted);
    stage_release(&p.t);
}

SL_TEST(pipelines_sched_preempt, any_plan__all_end__nobody_stopped_in_vain)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        play(seed);
    }
}
