/** The core's rules for attempts that are made ready ahead of their turn, and for fail_fast. */
#include "core/base/base.h"

#include "tests/unit/pipelines/core/core_support.h"

#include "pipelines/core/core.h"

#define OK    SL_FAIL_COUNT
#define THREE "steps:\n  a: {run: echo a}\n  b: {run: echo b}\n  c: {run: echo c}\n"
#define GROUP "steps:\n  m:\n    run: echo m\n    matrix: {i: [1, 2, 3]}\n"

static const struct sl_sched_caps one_slot = {.cpu_milli = 8000, .slots = 1, .ahead = 16};

static void begin(struct rig *r, const char *yaml, struct sl_sched_caps caps)
{
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(r, yaml);
    rig_use(r, caps);
    SL_CHECK_OK(sl_core_add_run(r->core, &r->run, &err), err);
}

SL_TEST(pipelines_core_core_ahead, one_slot__next_two_made_ready__shown_as_pending)
{
    struct rig r;
    begin(&r, "steps:\n  m:\n    run: echo m\n    matrix: {i: [1, 2, 3, 4]}\n", one_slot);
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "start m[i=1]#1\nstart m[i=2]#1\nstart m[i=3]#1\n"
                                 "run: queued -> running\nm[i=1]: pending -> running\n"
                                 "go m[i=1]#1\n");
    SL_CHECK_EQ_STR(rig_state(&r, "m[i=2]"), "pending");
    SL_CHECK_EQ_INT(r.run.n_live, 3);
    rig_release(&r);
}

SL_TEST(pipelines_core_core_ahead, slot_free__start_recorded_with_the_end_that_freed_it)
{
    struct rig r;
    begin(&r, THREE, one_slot);
    rig_settle(&r);
    (void)rig_log(&r);
    r.hold_journal = true;
    rig_exit(&r, "a", OK);
    SL_CHECK_EQ_STR(rig_log(&r), ""); /* one batch, and no GO before it is durable */
    SL_CHECK_EQ_INT(r.queue.n, 1);
    r.hold_journal = false;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "a: running -> succeeded\nb: pending -> running\ngo b#1\n");
    rig_exit(&r, "b", OK);
    rig_exit(&r, "c", OK);
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_SUCCEEDED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core_ahead, external_effect_gpu_ahead_off__never)
{
    static const char *const bodies[] = {
        "steps:\n  a: {run: echo a}\n  b: {run: echo b, effects: external}\n",
        "steps:\n  a: {run: echo a}\n  b: {run: echo b, resources: {gpu: 1}}\n", THREE};
    for (size_t i = 0; i < SL_LEN(bodies); i++) {
        struct rig r;
        begin(&r, bodies[i],
              (struct sl_sched_caps){
                  .cpu_milli = 8000, .slots = 1, .gpu_count = 1, .ahead = i < 2 ? 16 : 0});
        rig_settle(&r);
        SL_CHECK_EQ_INT(r.run.n_live, 1);
        rig_release(&r);
    }
}

SL_TEST(pipelines_core_core_ahead, cancel__ready__discarded_and_forgotten)
{
    struct rig r;
    begin(&r, THREE, one_slot);
    rig_settle(&r);
    (void)rig_log(&r);
    sl_core_cancel(&r.run, "ada");
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "discard b#1\nforget b#1\ndiscard c#1\nforget c#1\n"
                                 "run: running -> cancelling\nb: pending -> cancelled\n"
                                 "c: pending -> cancelled\ncancel a#1\n");
    SL_CHECK_EQ_INT(r.run.steps[rig_step(&r, "b")].attempts, 0);
    rig_exit(&r, "a", SL_FAIL_CANCELLED);
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_CANCELLED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core_ahead, cancel__still_being_made__given_up_when_it_is_there)
{
    struct rig r;
    begin(&r, THREE, one_slot);
    r.hold_journal = true;
    while (r.run.steps[rig_step(&r, "b")].att == NULL) {
        rig_step_once(&r);
    }
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "pending");
    sl_core_cancel(&r.run, "ada");
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "pending"); /* not over while a lane works on it */
    r.hold_journal = false;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "cancelled");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_CANCELLED);
    SL_CHECK(strstr(rig_log(&r), "go ") == NULL);
    rig_release(&r);
}

SL_TEST(pipelines_core_core_ahead, cannot_be_made__counts_when_its_turn_comes)
{
    struct rig r;
    begin(&r, "steps:\n  a: {run: echo a}\n  b: {run: echo b, retry: {max: 0}}\n", one_slot);
    while (!sl_streq(rig_state(&r, "a"), "running")) {
        rig_step_once(&r);
    }
    r.cannot_start = true;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "pending");
    rig_exit(&r, "a", OK);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "failed");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_FAILED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core_ahead, engine_gone_while_ready__costs_no_free_restart)
{
    struct rig r;
    begin(&r, THREE, one_slot);
    rig_settle(&r);
    for (int i = 0; i < 7; i++) { /* more than are free */
        rig_restart(&r, SL_RUN_RUNNING);
        sl_core_restore_go(&r.run);
        rig_settle(&r);
        const struct sl_core_step *c = &r.run.steps[rig_step(&r, "c")];
        SL_CHECK(c->att != NULL && c->att->ahead);
        SL_CHECK_EQ_INT(c->att->number, 1);
        SL_CHECK_EQ_INT(c->free_starts, 0);
    }
    rig_release(&r);
}

/* ---- fail_fast ------------------------------------------------------------------------------------ */

SL_TEST(pipelines_core_core_ahead, fail_fast__one_failed__siblings_stopped_once_that_is_durable)
{
    struct rig r;
    begin(&r, GROUP, (struct sl_sched_caps){.cpu_milli = 2000, .ahead = 16});
    rig_settle(&r);
    (void)rig_log(&r);
    r.hold_journal = true;
    rig_exit(&r, "m[i=1]", SL_FAIL_EXIT);
    SL_CHECK_EQ_STR(rig_log(&r), "discard m[i=3]#1\nforget m[i=3]#1\n");
    r.hold_journal = false;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "m[i=1]: running -> failed\nm[i=3]: pending -> cancelled\n"
                                 "cancel m[i=2]#1\n");
    SL_CHECK_EQ_STR(rig_state(&r, "m[i=2]"), "running");
    r.hold_journal = true;
    rig_exit(&r, "m[i=2]", SL_FAIL_CANCELLED);
    SL_CHECK_EQ_STR(rig_reason(&r, "m[i=2]"), "m[i=1] failed (fail_fast of its matrix)");
    r.hold_journal = false;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "m[i=2]"), "cancelled");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_FAILED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core_ahead, fail_fast__sibling_ends_well_before_it_is_stopped__succeeds)
{
    struct rig r;
    begin(&r, GROUP, (struct sl_sched_caps){.cpu_milli = 8000});
    rig_settle(&r);
    rig_exit(&r, "m[i=1]", SL_FAIL_EXIT);
    rig_exit(&r, "m[i=2]", OK);
    SL_CHECK_EQ_STR(rig_state(&r, "m[i=2]"), "succeeded");
    rig_exit(&r, "m[i=3]", SL_FAIL_CANCELLED);
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_FAILED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core_ahead, fail_fast__sibling_would_be_retried__cancelled_instead)
{
    struct rig r;
    begin(&r,
          "steps:\n  m:\n    run: echo m\n    matrix: {i: [1, 2]}\n"
          "    retry: {max: 3, on: [oom]}\n",
          (struct sl_sched_caps){.cpu_milli = 8000});
    rig_settle(&r);
    rig_exit(&r, "m[i=1]", SL_FAIL_EXIT);
    rig_exit(&r, "m[i=2]", SL_FAIL_OOM);
    SL_CHECK_EQ_STR(rig_state(&r, "m[i=2]"), "cancelled");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_FAILED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core_ahead, fail_fast__off__siblings_go_on)
{
    struct rig r;
    begin(&r, "steps:\n  m:\n    run: echo m\n    matrix: {i: [1, 2], fail_fast: false}\n",
          (struct sl_sched_caps){.cpu_milli = 8000});
    rig_settle(&r);
    rig_exit(&r, "m[i=1]", SL_FAIL_EXIT);
    SL_CHECK(strstr(rig_log(&r), "cancel ") == NULL);
    rig_release(&r);
}

SL_TEST(pipelines_core_core_ahead, fail_fast__engine_died_in_between__stopped_after_adoption)
{
    struct rig r;
    rig_init_empty(&r, GROUP);
    rig_restart(&r, SL_RUN_RUNNING);
    const struct sl_core_step failed = {.state = SL_STEP_FAILED, .attempts = 1};
    const struct sl_core_step running = {.state = SL_STEP_RUNNING, .attempts = 1};
    struct sl_core_attempt *a = SL_NEW(struct sl_core_attempt);
    a->step = 1;
    a->number = 1;
    sl_core_restore_step(&r.run, 0, &failed);
    sl_core_restore_step(&r.run, 1, &running);
    sl_core_restore_attempt(&r.run, a);
    sl_core_restore_go(&r.run);
    SL_CHECK_EQ_STR(rig_log(&r), "adopt m[i=2]#1\ncancel m[i=2]#1\n");
    rig_release(&r);
}
