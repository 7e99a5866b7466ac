/** Steps handed out to be made ready before their turn: how many, which, in which order. */
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

/** Takes everything there is to take; "~a !b" = a to be prepared, b started. */
static const char *drain(struct rig *rig, bool may)
{
    struct sl_buf out = SL_BUF_INIT(4096);
    for (struct sl_sched_item item = sl_sched_next(rig->s); item.kind != SL_PICK_NONE;
         item = sl_sched_next(rig->s)) {
        if (item.kind == SL_PICK_DECIDE) {
            sl_sched_may_prepare(rig->run, item.step, may);
            sl_sched_want_run(rig->s, rig->run, item.step);
            continue;
        }
        sl_buf_printf(&out, "%s%c%s", out.len > 0 ? " " : "",
                      item.kind == SL_PICK_PREPARE ? '~' : '!', rig->h.steps[item.step].key);
    }
    const char *text = sl_arena_strdup(&rig->h.arena, sl_buf_str(&out));
    sl_buf_release(&out);
    return text;
}

static void add(struct rig *rig, const char *keys)
{
    for (const char *k = keys; *k != '\0'; k++) {
        const char *key = sl_arena_printf(&rig->h.arena, "%c", *k);
        hand_spec(&rig->h, hand_add(&rig->h, key, 0))->resources.cpu_milli = 1000;
    }
}

SL_TEST(pipelines_sched_ahead, two_cpus__four_wait__two_per_running_prepared)
{
    struct rig rig;
    hand_init(&rig.h);
    add(&rig, "abcdefgh");
    rig_start(&rig, (struct sl_sched_caps){.cpu_milli = 2000, .ahead = 16});
    SL_CHECK_EQ_STR(drain(&rig, true), "!a !b ~c ~d ~e ~f");
    sl_sched_ended(rig.s, rig.run, 0, false);
    SL_CHECK_EQ_STR(drain(&rig, true), "!c ~g");
    sl_sched_ended(rig.s, rig.run, 1, false);
    sl_sched_ended(rig.s, rig.run, 2, false);
    SL_CHECK_EQ_STR(drain(&rig, true), "!d !e ~h");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched_ahead, cap__at_it__no_more)
{
    struct rig rig;
    hand_init(&rig.h);
    add(&rig, "abcdefgh");
    rig_start(&rig, (struct sl_sched_caps){.cpu_milli = 3000, .ahead = 1});
    SL_CHECK_EQ_STR(drain(&rig, true), "!a !b !c ~d");
    rig_stop(&rig);
    hand_init(&rig.h);
    add(&rig, "abc");
    rig_start(&rig, (struct sl_sched_caps){.cpu_milli = 1000});
    SL_CHECK_EQ_STR(drain(&rig, true), "!a");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched_ahead, not_permitted_gpu_external_gate__never)
{
    struct rig rig;
    hand_init(&rig.h);
    add(&rig, "abcd");
    rig_start(&rig, (struct sl_sched_caps){.cpu_milli = 1000, .ahead = 16});
    SL_CHECK_EQ_STR(drain(&rig, false), "!a");
    rig_stop(&rig);

    hand_init(&rig.h);
    add(&rig, "abcde");
    hand_spec(&rig.h, 1)->resources.gpu_count = 1;
    hand_spec(&rig.h, 2)->effects_external = true;
    hand_spec(&rig.h, 3)->action = SL_ACT_GATE;
    hand_spec(&rig.h, 3)->resources.priority = -1;
    hand_spec(&rig.h, 4)->resources.priority = -2;
    rig_start(&rig,
              (struct sl_sched_caps){.cpu_milli = 1000, .slots = 1, .gpu_count = 1, .ahead = 16});
    SL_CHECK_EQ_STR(drain(&rig, true), "!a ~e"); /* c is the head of its line */
    rig_stop(&rig);
}

SL_TEST(pipelines_sched_ahead, more_urgent_step_appears__starts_before_the_prepared)
{
    struct rig rig;
    hand_init(&rig.h);
    add(&rig, "abc");
    uint32_t u = hand_add(&rig.h, "u", 0);
    hand_spec(&rig.h, u)->resources = (struct sl_resources){.cpu_milli = 1000, .priority = 10};
    hand_need(&rig.h, u, 0);
    rig_start(&rig, (struct sl_sched_caps){.cpu_milli = 1000, .ahead = 16});
    SL_CHECK_EQ_STR(drain(&rig, true), "!a ~b ~c");
    sl_sched_ended(rig.s, rig.run, 0, false);
    SL_CHECK_EQ_STR(drain(&rig, true), "!u");
    sl_sched_ended(rig.s, rig.run, u, false);
    SL_CHECK_EQ_STR(drain(&rig, true), "!b");
    rig_stop(&rig);
}

SL_TEST(pipelines_sched_ahead, prepared_ends_or_waits__place_is_free_again)
{
    struct rig rig;
    hand_init(&rig.h);
    add(&rig, "abcde");
    rig_start(&rig, (struct sl_sched_caps){.cpu_milli = 1000, .ahead = 2});
    SL_CHECK_EQ_STR(drain(&rig, true), "!a ~b ~c");
    sl_sched_ended(rig.s, rig.run, 1, false);
    SL_CHECK_EQ_STR(drain(&rig, true), "~d");
    sl_sched_later(rig.s, rig.run, 2, 1000);
    SL_CHECK_EQ_STR(drain(&rig, true), "~e");
    int64_t next_ms = 0;
    sl_sched_tick(rig.s, 1000, &next_ms);
    sl_sched_ended(rig.s, rig.run, 0, false);
    SL_CHECK_EQ_STR(drain(&rig, true), "!d ~c");
    rig_stop(&rig);
}
