/** Making way: recorded before TERM, at no cost to retries, never taken for a cancel. */
#include "core/base/base.h"

#include "pipelines/core/core_priv.h"
#include "tests/unit/pipelines/core/core_support.h"

/* the machine of the rig has 8 CPUs: high, once its need has ended, needs what low has */
#define CROWD                                                                                      \
    "priority: 100\nsteps:\n"                                                                      \
    "  first: {run: echo f, resources: {cpu: 1}}\n"                                                \
    "  low: {run: echo l, checkpoint: true, resources: {cpu: 7}, retry: {max: 1, on: [error]}}\n"  \
    "  high: {run: echo h, needs: [first], resources: {cpu: 7, priority: 5}}\n"

static struct sl_core_attempt *low_of(struct rig *r)
{
    return r->run.steps[rig_step(r, "low")].att;
}

/** `low` runs and has just been asked to make way for `high`. */
static void asked(struct rig *r)
{
    rig_init(r, CROWD);
    (void)rig_log(r);
    rig_exit(r, "first", SL_FAIL_COUNT);
}

SL_TEST(pipelines_core_preempt, low__makes_way__and_runs_again)
{
    struct rig r;
    asked(&r);
    SL_CHECK_CONTAINS(rig_log(&r), "cancel low#1\n");
    rig_exit(&r, "low", SL_FAIL_CANCELLED);
    const char *log = rig_log(&r);
    SL_CHECK_CONTAINS(log, "low: running -> backoff\n");
    SL_CHECK_CONTAINS(log, "go high#1\n");
    SL_CHECK_EQ_STR(rig_state(&r, "high"), "running");
    rig_exit(&r, "high", SL_FAIL_COUNT);
    SL_CHECK_CONTAINS(rig_log(&r), "go low#2\n");
    rig_exit(&r, "low", SL_FAIL_EXIT); /* its one retry is still there */
    SL_CHECK_EQ_STR(rig_state(&r, "low"), "backoff");
    rig_wake(&r);
    rig_exit(&r, "low", SL_FAIL_EXIT);
    SL_CHECK_EQ_STR(rig_state(&r, "low"), "failed");
    SL_CHECK_EQ_INT(r.run.steps[rig_step(&r, "low")].attempts, 3);
    rig_release(&r);
}

SL_TEST(pipelines_core_preempt, stop__only_once_it_is_durable)
{
    struct rig r;
    rig_init(&r, CROWD);
    r.hold_journal = true;
    (void)rig_log(&r);
    rig_exit(&r, "first", SL_FAIL_COUNT);
    SL_CHECK(low_of(&r)->preempted);
    SL_CHECK_CONTAINS(low_of(&r)->way, "made way for test#0/high (priority 105)");
    SL_CHECK(strstr(rig_log(&r), "cancel") == NULL);
    r.hold_journal = false;
    rig_settle(&r);
    SL_CHECK_CONTAINS(rig_log(&r), "cancel low#1\n");
    rig_release(&r);
}

SL_TEST(pipelines_core_preempt, ends_by_itself__its_own_end_counts)
{
    static const struct {
        enum sl_fail_class end;
        const char *state;
    } rows[] = {{SL_FAIL_COUNT, "succeeded"}, {SL_FAIL_EXIT, "backoff"}, {SL_FAIL_OOM, "failed"}};
    for (size_t i = 0; i < SL_LEN(rows); i++) {
        struct rig r;
        asked(&r);
        rig_exit(&r, "low", rows[i].end);
        SL_CHECK_EQ_STR(rig_state(&r, "low"), rows[i].state);
        SL_CHECK_EQ_INT(r.run.steps[rig_step(&r, "low")].preempted, 0);
        SL_CHECK_EQ_STR(rig_state(&r, "high"), "running");
        rig_release(&r);
    }
}

SL_TEST(pipelines_core_preempt, run_cancelled_meanwhile__it_is_a_cancel)
{
    struct rig r;
    asked(&r);
    sl_core_cancel(&r.run, "ana");
    rig_settle(&r);
    rig_exit(&r, "low", SL_FAIL_CANCELLED);
    SL_CHECK_EQ_STR(rig_state(&r, "low"), "cancelled");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_CANCELLED);
    rig_release(&r);
}

SL_TEST(pipelines_core_preempt, not_gone_yet__is_given_up_and_waits)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, CROWD);
    r.hold_journal = true; /* its start is being recorded */
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    rig_settle(&r);
    sl_core_preempt(&r.run, rig_step(&r, "low"), &r.run, rig_step(&r, "high"));
    r.hold_journal = false;
    rig_settle(&r);
    const char *log = rig_log(&r);
    SL_CHECK_CONTAINS(log, "discard low#1\n");
    SL_CHECK(strstr(log, "go low#1") == NULL);
    SL_CHECK_CONTAINS(log, "low: running -> backoff\n");
    rig_release(&r);
}

SL_TEST(pipelines_core_preempt, restart__goes_on_stopping__and_knows_why)
{
    struct rig r;
    rig_init(&r, CROWD);
    rig_restart(&r, SL_RUN_RUNNING);
    uint32_t low = rig_step(&r, "low");
    struct sl_core_step ended = {.state = SL_STEP_SUCCEEDED, .attempts = 1};
    struct sl_core_step running = {.state = SL_STEP_RUNNING, .attempts = 2};
    struct sl_core_attempt *a = SL_NEW(struct sl_core_attempt);
    a->step = low;
    a->number = 2;
    sl_core_restore_step(&r.run, rig_step(&r, "first"), &ended);
    sl_core_restore_step(&r.run, low, &running);
    sl_core_restore_ended(&r.run, low, 1, SL_FAIL_PREEMPTED, 100);
    sl_core_restore_attempt(&r.run, a);
    sl_core_restore_preempted(a, "made way for test#1/high (priority 5)");
    sl_core_restore_go(&r.run);
    rig_settle(&r);
    SL_CHECK_CONTAINS(rig_log(&r), "adopt low#2\ncancel low#2\n");
    rig_exit(&r, "low", SL_FAIL_CANCELLED);
    SL_CHECK_EQ_STR(rig_state(&r, "low"), "backoff");
    SL_CHECK_EQ_INT(r.run.steps[low].preempted, 2);
    SL_CHECK_EQ_STR(rig_state(&r, "high"), "running");
    rig_release(&r);
}
