/** queue_timeout: from wanting to start to GO. */
#include "core/base/base.h"

#include "tests/unit/pipelines/core/core_support.h"

/* the machine of the rig has 8 CPUs: b waits for a */
#define TIGHT                                                                                      \
    "steps:\n  a: {run: echo a, resources: {cpu: 8, priority: 1}}\n"                               \
    "  b: {run: echo b, resources: {cpu: 8}, queue_timeout: 5s, retry: {max: 3, on: [timeout]}}\n"
#define ALONE "steps:\n  b: {run: echo b, queue_timeout: 5s, retry: {max: 1}}\n"

SL_TEST(pipelines_core_queue_timeout, waits_too_long__fails_as_a_timeout)
{
    struct rig r;
    rig_init(&r, TIGHT);
    SL_CHECK_EQ_INT(r.wake_ms, r.now_ms + 5000);
    (void)rig_log(&r);
    rig_wake(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "b: pending -> failed\n"); /* not retried: it never ran */
    SL_CHECK(r.run.timed_out);
    rig_exit(&r, "a", SL_FAIL_COUNT);
    SL_CHECK_EQ_INT(sl_run_exit_status(r.run.state, r.run.timed_out), 124);
    rig_release(&r);
}

SL_TEST(pipelines_core_queue_timeout, starts_in_time__runs_as_long_as_it_likes)
{
    struct rig r;
    rig_init(&r, TIGHT);
    r.now_ms += 4999;
    rig_exit(&r, "a", SL_FAIL_COUNT);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "running");
    r.now_ms += 100000;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "running");
    rig_exit(&r, "b", SL_FAIL_COUNT);
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_SUCCEEDED);
    rig_release(&r);
}

SL_TEST(pipelines_core_queue_timeout, passes_while_it_is_started__never_goes)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, ALONE);
    r.hold_starts = true;
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    rig_settle(&r);
    rig_wake(&r);
    r.hold_starts = false;
    rig_settle(&r);
    const char *log = rig_log(&r);
    SL_CHECK_CONTAINS(log, "discard b#1\n");
    SL_CHECK(strstr(log, "go b#1") == NULL);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "failed");
    SL_CHECK(r.run.timed_out && r.run.steps[0].timed_out);
    rig_release(&r);
}

SL_TEST(pipelines_core_queue_timeout, passes_while_its_start_is_recorded__never_goes)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, ALONE);
    r.hold_journal = true;
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    rig_settle(&r);
    rig_wake(&r);
    r.hold_journal = false;
    rig_settle(&r);
    SL_CHECK(strstr(rig_log(&r), "go b#1") == NULL);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "failed");
    rig_release(&r);
}

SL_TEST(pipelines_core_queue_timeout, backoff__does_not_count__the_wait_after_it_does)
{
    struct rig r;
    rig_init(&r, "steps:\n  b: {run: echo b, queue_timeout: 5s, retry: {max: 1, on: [error], "
                 "backoff: {initial: 60s}}}\n");
    rig_exit(&r, "b", SL_FAIL_EXIT);
    int64_t again_ms = r.run.steps[0].not_before_ms;
    SL_CHECK_EQ_INT(r.run.steps[0].deadline_ms, again_ms + 5000);
    SL_CHECK_EQ_INT(r.wake_ms, again_ms);
    rig_wake(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "running");
    SL_CHECK_EQ_INT(r.run.steps[0].deadline_ms, 0);
    rig_release(&r);
}

SL_TEST(pipelines_core_queue_timeout, restart__exit_status_stays__of_the_first_failure)
{
    struct rig r;
    rig_init(&r, TIGHT);
    rig_restart(&r, SL_RUN_RUNNING);
    struct sl_core_step a = {.state = SL_STEP_FAILED, .attempts = 1};
    struct sl_core_step b = {.state = SL_STEP_FAILED, .timed_out = true, .ended_ms = 100};
    sl_core_restore_step(&r.run, rig_step(&r, "a"), &a);
    sl_core_restore_step(&r.run, rig_step(&r, "b"), &b);
    sl_core_restore_ended(&r.run, rig_step(&r, "a"), 1, SL_FAIL_EXIT, 200);
    SL_CHECK(r.run.timed_out);
    sl_core_restore_ended(&r.run, rig_step(&r, "a"), 1, SL_FAIL_EXIT, 50);
    SL_CHECK(!r.run.timed_out);
    rig_release(&r);
}

SL_TEST(pipelines_core_queue_timeout, allowed_failure__of_a_hook__changes_no_result)
{
    struct rig r;
    rig_init(&r, "steps:\n  a: {run: echo a, hooks: {on_end: {run: exit 1}}}\n");
    rig_exit(&r, "a", SL_FAIL_COUNT);
    rig_exit(&r, "a:on_end", SL_FAIL_TIMEOUT);
    SL_CHECK_EQ_STR(rig_state(&r, "a:on_end"), "failed");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_SUCCEEDED);
    SL_CHECK(!r.run.timed_out);
    rig_release(&r);
}
