/** Priority: the step's and its pipeline's together. */
#include "core/base/base.h"

#include "tests/unit/pipelines/sched/sched_support.h"

static const struct sl_sched_caps one_cpu = {.cpu_milli = 1000, .mem_bytes = 1 << 20};

SL_TEST(pipelines_sched_priority, of_the_pipeline__is_added_to_each_step)
{
    struct hand_plan low;
    struct hand_plan high;
    struct sl_sched *s = sl_sched_new(&one_cpu);
    struct sl_sched_run *runs[2];
    struct sl_err err = SL_ERR_INIT;
    hand_init(&low);
    hand_init(&high);
    (void)hand_add(&low, "five", 5);
    (void)hand_add(&high, "one", 1);
    high.spec.priority = 5;
    SL_CHECK_OK(sl_sched_add_run(s, hand_finish(&low), &low, &runs[0], &err), err);
    SL_CHECK_OK(sl_sched_add_run(s, hand_finish(&high), &high, &runs[1], &err), err);
    for (int i = 0; i < 2; i++) {
        struct sl_sched_item item = sl_sched_next(s);
        SL_CHECK_EQ_INT(item.kind, SL_PICK_DECIDE);
        sl_sched_want_run(s, item.run, item.step);
    }
    struct sl_sched_item first = sl_sched_next(s);
    SL_CHECK_EQ_INT(first.kind, SL_PICK_START);
    SL_CHECK(first.run_data == &high); /* 1 + 5 goes before 5, although it came later */
    sl_sched_free(s);
    hand_release(&low);
    hand_release(&high);
}
