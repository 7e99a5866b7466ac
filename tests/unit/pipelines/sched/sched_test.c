/** The scheduler's rules one by one: order, limits, resources, backoff, failure, words. */
#include "core/base/base.h"

#include "tests/unit/pipelines/sched/sched_support.h"

struct rig {
    struct hand_plan h;
    struct sl_sched *s;
    struct sl_sched_run *run;
};

static void rig_start(struct rig *rig, struct sl_sched_caps caps)
{
    struct sl_err err = SL_ERR_INIT;
    rig->s = sl_sched_new(&caps);
    SL_CHECK_OK(sl_sched_add_run(rig->s, hand_finish(&rig->h), rig, &rig->run, &err), err);
}

static void rig_stop(struct rig *rig)
{
    sl_sched_free(rig->s);
    hand_release(&rig->h);
}

static const struct sl_sched_caps wide = {.cpu_milli = 64000, .mem_bytes = 1 << 30, .gpu_count = 4};

/** Takes everything there is to take, wanting every step; "?a !b" = decided a, started b. */
static const char *drain(struct rig *rig)
{
    struct sl_buf out = SL_BUF_INIT(4096);
    for (struct sl_sched_item item = sl_sched_next(rig->s); item.kind != SL_PICK_NONE;
         item = sl_sched_next(rig->s)) {
        SL_CHECK(item.run == rig->run && item.run_data == rig);
        sl_buf_printf(&out, "%s%c%s", out.len > 0 ? " " : "",
                      item.kind == SL_PICK_DECIDE ? '?' : '!', rig->h.steps[item.step].key);
        if (item.kind == SL_PICK_DECIDE && sl_sched_group_failed(rig->run, item.step, NULL)) {
            sl_buf_puts(&out, "(failed)");
            sl_sched_ended(rig->s, rig->run, item.step, false);
        } else if (item.kind == SL_PICK_DECIDE) {
            sl_sched_want_run(rig->s, rig->run, item.step);
        }
    }
    const char *text = sl_arena_strdup(&rig->h.arena, sl_buf_str(&out));
    sl_buf_release(&out);
    return text;
}

static const char *why(struct rig *rig, uint32_t step)
{
    struct sl_buf out = SL_BUF_INIT(4096);
    sl_sched_why(rig->s, rig->run, step, &out);
    const char *text = sl_arena_strdup(&rig->h.arena, sl_buf_str(&out));
    sl_buf_release(&out);
    return text;
}

SL_TEST(pipelines_sched, diamond__completions__release_in_order)
{
    struct rig rig;
    hand_init(&rig.h);
    uint32_t a = hand_add(&rig.h, "a", 0);
    uint32_t b = hand_add(&rig.h, "b", 0);
    uint32_t c = hand_add(&rig.h, "c", 0);
    uint32_t d = hand_add(&rig.h, "d", 0);
    hand_need(&rig.h, b, a);
    hand_need(&rig.h, c, a);
    hand_need(&rig.h, d, b);
    hand_need(&rig.h, d, c);
    rig_start(&rig, wide);
    SL_CHECK_EQ_STR(drain(&rig), "?a !a");
    SL_CHECK_EQ_STR(why(&rig, a), "running");
    SL_CHECK_EQ_STR(why(&rig, d), "needs b (not started), c (not started)");
    sl_sched_ended(rig.s, rig.run, a, false);
    SL_CHECK_EQ_STR(drain(&rig), "?b ?c !b !c");
    sl_sched_ended(rig.s, rig.run, c, true);
    SL_CHECK_EQ_STR(drain(&rig), "");
    SL_CHECK_EQ_STR(why(&rig, d), "needs b (running)");
    sl_sched_ended(rig.s, rig.run, b, false);
    SL_CHECK_EQ_STR(drain(&rig), "?d !d");
    SL_CHECK(!sl_sched_run_done(rig.run));
    sl_sched_ended(rig.s, rig.run, d, false);
    SL_CHECK(sl_sched_run_done(rig.run));
    SL_CHECK_EQ_STR(why(&rig, d), "ended");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, priorities__one_slot__highest_then_first)
{
    struct rig rig;
    hand_init(&rig.h);
    uint32_t a = hand_add(&rig.h, "a", 0);
    uint32_t b = hand_add(&rig.h, "b", 5);
    uint32_t c = hand_add(&rig.h, "c", 0);
    uint32_t d = hand_add(&rig.h, "d", 5);
    struct sl_sched_caps caps = wide;
    caps.slots = 1;
    rig_start(&rig, caps);
    SL_CHECK_EQ_STR(drain(&rig), "?a ?b ?c ?d !b");
    SL_CHECK_EQ_STR(why(&rig, a), "all 1 slots are taken");
    sl_sched_ended(rig.s, rig.run, b, false);
    SL_CHECK_EQ_STR(drain(&rig), "!d");
    sl_sched_ended(rig.s, rig.run, d, false);
    SL_CHECK_EQ_STR(drain(&rig), "!a");
    sl_sched_ended(rig.s, rig.run, a, false);
    SL_CHECK_EQ_STR(drain(&rig), "!c");
    sl_sched_ended(rig.s, rig.run, c, false);
    SL_CHECK(sl_sched_run_done(rig.run));
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, resources__gpu_set__all_or_nothing)
{
    struct rig rig;
    hand_init(&rig.h);
    uint32_t a = hand_add(&rig.h, "a", 0);
    uint32_t b = hand_add(&rig.h, "b", 0);
    uint32_t c = hand_add(&rig.h, "c", 0);
    hand_spec(&rig.h, a)->resources.gpu_count = 3;
    hand_spec(&rig.h, b)->resources.gpu_count = 2;
    hand_spec(&rig.h, c)->resources.cpu_milli = 62500;
    rig_start(&rig, wide);
    SL_CHECK_EQ_STR(drain(&rig), "?a ?b ?c !a !c"); /* c is small in GPUs and goes past b */
    SL_CHECK_EQ_STR(why(&rig, b), "waiting for 2 GPUs: 1 of 4 free");
    sl_sched_ended(rig.s, rig.run, a, false);
    SL_CHECK_EQ_STR(drain(&rig), "!b");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, resources__waiting__says_for_what)
{
    struct rig rig;
    hand_init(&rig.h);
    (void)hand_add(&rig.h, "a", 9);
    uint32_t b = hand_add(&rig.h, "b", 0);
    uint32_t c = hand_add(&rig.h, "c", 0);
    hand_spec(&rig.h, 0)->resources =
        (struct sl_resources){.cpu_milli = 60000, .mem_bytes = 1 << 29, .priority = 9};
    hand_spec(&rig.h, b)->resources.cpu_milli = 4500;
    hand_spec(&rig.h, c)->resources.mem_bytes = (1 << 29) + 1;
    rig_start(&rig, wide);
    SL_CHECK_EQ_STR(drain(&rig), "?a ?b ?c !a");
    SL_CHECK_EQ_STR(why(&rig, b), "waiting for 4.5 CPUs: 4 of 64 free");
    SL_CHECK_CONTAINS(why(&rig, c), "waiting for memory");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, requests__past_the_machine__refused_by_name)
{
    struct sl_sched *s = sl_sched_new(&wide);
    struct sl_sched_run *run = NULL;
    static const struct {
        struct sl_resources want;
        const char *message;
    } cases[] = {
        {{.cpu_milli = 64001}, "step 'big' asks for 64.001 CPUs; this machine has 64"},
        {{.mem_bytes = (1ULL << 30) + 1}, "step 'big' asks for"},
        {{.gpu_count = 5}, "step 'big' asks for 5 GPUs; this machine has 4"},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct hand_plan h;
        struct sl_err err = SL_ERR_INIT;
        hand_init(&h);
        hand_spec(&h, hand_add(&h, "big", 0))->resources = cases[i].want;
        SL_CHECK_ERR(sl_sched_add_run(s, hand_finish(&h), NULL, &run, &err), SL_EINVAL, err,
                     cases[i].message);
        hand_release(&h);
    }
    sl_sched_free(s);
}

SL_TEST(pipelines_sched, requests__all_of_the_machine__accepted)
{
    struct rig rig;
    hand_init(&rig.h);
    hand_spec(&rig.h, hand_add(&rig.h, "all", 0))->resources =
        (struct sl_resources){.cpu_milli = 64000, .mem_bytes = 1 << 30, .gpu_count = 4};
    rig_start(&rig, wide);
    SL_CHECK_EQ_STR(drain(&rig), "?all !all");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, large_step__small_ones_keep_coming__not_starved)
{
    struct rig rig;
    hand_init(&rig.h);
    uint32_t big = hand_add(&rig.h, "big", 0);
    uint32_t first = hand_add(&rig.h, "s", 0);
    for (int i = 1; i < 4; i++) {
        (void)hand_add(&rig.h, "s", 0);
    }
    hand_spec(&rig.h, big)->resources.cpu_milli = 4000;
    struct sl_sched_caps caps = {.cpu_milli = 4000};
    rig_start(&rig, caps);
    /* s takes a CPU first; big (4 CPUs) then waits while small steps retry at once, for ever */
    struct sl_sched_item item = sl_sched_next(rig.s);
    SL_CHECK_EQ_UINT(item.step, big);
    for (uint32_t i = first; i < first + 4; i++) {
        item = sl_sched_next(rig.s);
        SL_CHECK(item.kind == SL_PICK_DECIDE && item.step == i);
        sl_sched_want_run(rig.s, rig.run, i);
    }
    for (int i = 0; i < 2; i++) {
        SL_CHECK(sl_sched_next(rig.s).kind == SL_PICK_START);
    }
    sl_sched_want_run(rig.s, rig.run, big);
    int64_t next_ms = 0;
    int rounds = 0;
    for (;; rounds++) {
        SL_CHECK_MSG(rounds < 1000, "the large step starves");
        item = sl_sched_next(rig.s);
        if (item.kind == SL_PICK_START && item.step == big) {
            break;
        }
        /* hand one small step back; it wants again in the same moment */
        for (uint32_t i = first; i < first + 4; i++) {
            if (sl_streq(why(&rig, i), "running")) {
                sl_sched_later(rig.s, rig.run, i, 0);
                break;
            }
        }
        sl_sched_tick(rig.s, 0, &next_ms);
    }
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, matrix__max_parallel__held_back_with_reason)
{
    struct rig rig;
    hand_init(&rig.h);
    uint32_t m = hand_add_matrix(&rig.h, "m", 3, 2, false);
    rig_start(&rig, wide);
    SL_CHECK_EQ_STR(drain(&rig), "?m[0] ?m[1] ?m[2] !m[0] !m[1]");
    SL_CHECK_EQ_STR(why(&rig, m + 2), "max_parallel 2 of step m");
    sl_sched_ended(rig.s, rig.run, m, true); /* fail_fast is off: the others go on */
    SL_CHECK_EQ_STR(drain(&rig), "!m[2]");
    SL_CHECK(!sl_sched_group_failed(rig.run, m + 2, NULL));
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, matrix__fail_fast__unstarted_decided_again)
{
    struct rig rig;
    hand_init(&rig.h);
    uint32_t m = hand_add_matrix(&rig.h, "m", 4, 2, true);
    uint32_t z = hand_add(&rig.h, "z", 0);
    for (uint32_t i = 0; i < 4; i++) {
        hand_need(&rig.h, z, m + i);
    }
    rig_start(&rig, wide);
    SL_CHECK_EQ_STR(drain(&rig), "?m[0] ?m[1] ?m[2] ?m[3] !m[0] !m[1]");
    sl_sched_later(rig.s, rig.run, m + 1,
                   5000); /* waits for its next attempt: not running either */
    SL_CHECK_EQ_STR(drain(&rig), "!m[2]");
    sl_sched_ended(rig.s, rig.run, m, true);
    SL_CHECK(sl_sched_group_failed(rig.run, m + 1, NULL));
    SL_CHECK_EQ_STR(drain(&rig), "?m[1](failed) ?m[3](failed)");
    SL_CHECK_EQ_STR(why(&rig, m + 2), "running");
    sl_sched_ended(rig.s, rig.run, m + 2, false);
    SL_CHECK_EQ_STR(drain(&rig), "?z !z");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, run_limit__two_at_once__held_back_with_reason)
{
    struct rig rig;
    hand_init(&rig.h);
    uint32_t a = hand_add(&rig.h, "a", 0);
    (void)hand_add(&rig.h, "b", 0);
    uint32_t c = hand_add(&rig.h, "c", 0);
    rig.h.spec.concurrency_limit = 2;
    rig_start(&rig, wide);
    SL_CHECK_EQ_STR(drain(&rig), "?a ?b ?c !a !b");
    SL_CHECK_EQ_STR(why(&rig, c), "concurrency limit 2 of the run");
    sl_sched_ended(rig.s, rig.run, a, false);
    SL_CHECK_EQ_STR(drain(&rig), "!c");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, backoff__not_before__waits_and_frees_resources)
{
    struct rig rig;
    hand_init(&rig.h);
    uint32_t a = hand_add(&rig.h, "a", 0);
    uint32_t b = hand_add(&rig.h, "b", 0);
    struct sl_sched_caps caps = {.cpu_milli = 1000};
    rig_start(&rig, caps);
    SL_CHECK_EQ_STR(drain(&rig), "?a ?b !a");
    sl_sched_later(rig.s, rig.run, a, 5000);
    SL_CHECK_CONTAINS(why(&rig, a), "backoff");
    SL_CHECK_EQ_STR(drain(&rig), "!b");
    sl_sched_later(rig.s, rig.run, b, 3000);
    int64_t next_ms = 0;
    sl_sched_tick(rig.s, 2999, &next_ms);
    SL_CHECK_EQ_INT(next_ms, 3000);
    SL_CHECK_EQ_STR(drain(&rig), "");
    sl_sched_tick(rig.s, 3000, &next_ms);
    SL_CHECK_EQ_INT(next_ms, 5000);
    SL_CHECK_EQ_STR(drain(&rig), "!b");
    sl_sched_tick(rig.s, 9000, &next_ms);
    SL_CHECK_EQ_INT(next_ms, -1);
    SL_CHECK_EQ_STR(drain(&rig), "");
    sl_sched_ended(rig.s, rig.run, b, false);
    SL_CHECK_EQ_STR(drain(&rig), "!a");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, restore__running_and_ended__counted)
{
    struct rig rig;
    hand_init(&rig.h);
    uint32_t a = hand_add(&rig.h, "a", 0);
    uint32_t b = hand_add(&rig.h, "b", 0);
    uint32_t c = hand_add(&rig.h, "c", 0);
    uint32_t d = hand_add(&rig.h, "d", 0);
    hand_need(&rig.h, b, a);
    hand_need(&rig.h, c, a);
    hand_need(&rig.h, d, b);
    struct sl_sched_caps caps = {.cpu_milli = 1000};
    rig_start(&rig, caps);
    sl_sched_restore_ended(rig.s, rig.run, a, false);
    sl_sched_restore_running(rig.s, rig.run, b);
    SL_CHECK_EQ_STR(drain(&rig), "?c");
    SL_CHECK_EQ_STR(why(&rig, c), "waiting for 1 CPUs: 0 of 1 free");
    sl_sched_ended(rig.s, rig.run, b, false);
    SL_CHECK_EQ_STR(drain(&rig), "?d !c");
    sl_sched_ended(rig.s, rig.run, c, false);
    SL_CHECK_EQ_STR(drain(&rig), "!d");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched, two_runs__one_removed__gives_back_and_is_forgotten)
{
    struct rig one;
    struct rig two;
    struct sl_err err = SL_ERR_INIT;
    hand_init(&one.h);
    hand_init(&two.h);
    (void)hand_add(&one.h, "a", 0);
    (void)hand_add(&one.h, "b", 0);
    uint32_t x = hand_add(&two.h, "x", 0);
    struct sl_sched_caps caps = {.cpu_milli = 1000};
    rig_start(&one, caps);
    SL_CHECK_EQ_STR(drain(&one), "?a ?b !a");
    two.s = one.s;
    SL_CHECK_OK(sl_sched_add_run(two.s, hand_finish(&two.h), &two, &two.run, &err), err);
    SL_CHECK_EQ_STR(drain(&two), "?x");
    sl_sched_remove_run(one.s, one.run);
    SL_CHECK_EQ_STR(drain(&two), "!x");
    sl_sched_ended(two.s, two.run, x, false);
    SL_CHECK(sl_sched_run_done(two.run));
    hand_release(&one.h);
    rig_stop(&two);
}

SL_TEST(pipelines_sched, gate__no_resources__needs_no_cpu)
{
    struct rig rig;
    hand_init(&rig.h);
    (void)hand_add(&rig.h, "a", 0);
    uint32_t g = hand_add(&rig.h, "g", 0);
    hand_spec(&rig.h, g)->action = SL_ACT_GATE;
    struct sl_sched_caps caps = {.cpu_milli = 1000};
    rig_start(&rig, caps);
    SL_CHECK_EQ_STR(drain(&rig), "?a ?g !a !g");
    rig_stop(&rig);
}
