/** Steps that await people: deciding anew, deadlines, restoring, cancelling. */
#include "core/base/base.h"

#include "tests/unit/pipelines/core/core_support.h"

#define TWO "steps:\n  ask: {run: echo ask}\n  then: {run: echo then, needs: [ask]}\n"

/** The host waits for people in step `ask`, until `until_ms`. */
static void asking(struct rig *r, const char *yaml, int64_t until_ms)
{
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(r, yaml);
    r->answer = SL_DECIDE_WAIT;
    r->until_ms = until_ms;
    SL_CHECK_OK(sl_core_add_run(r->core, &r->run, &err), err);
    rig_settle(r);
}

SL_TEST(pipelines_core_wait, waiting__holds_nothing__until_asked_again)
{
    struct rig r;
    asking(&r, TWO, 0);
    SL_CHECK_EQ_STR(rig_log(&r), "run: queued -> running\nask: pending -> awaiting_approval\n");
    SL_CHECK_EQ_STR(rig_state(&r, "ask"), "awaiting_approval");
    SL_CHECK_EQ_INT(r.run.n_live, 0);
    SL_CHECK_EQ_INT(r.wake_ms, 0);
    SL_CHECK(sl_core_only_awaits(&r.run));
    sl_core_ask_again(&r.run, rig_step(&r, "ask"));
    SL_CHECK(!sl_core_only_awaits(&r.run));
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), ""); /* still nobody has answered: nothing to record */
    r.answer = SL_DECIDE_DONE;
    sl_core_ask_again(&r.run, rig_step(&r, "ask"));
    rig_settle(&r);
    SL_CHECK_CONTAINS(rig_log(&r), "ask: awaiting_approval -> succeeded\n");
    rig_release(&r);
}

SL_TEST(pipelines_core_wait, answers__each__ends_the_step_its_way)
{
    static const struct {
        enum sl_decide answer;
        bool unchanged;
        const char *step, *then;
        enum sl_run_state run;
    } rows[] = {{SL_DECIDE_DONE, false, "succeeded", "pending", SL_RUN_RUNNING},
                {SL_DECIDE_DONE, true, "unchanged", "pending", SL_RUN_RUNNING},
                {SL_DECIDE_REFUSE, false, "refused", "omitted", SL_RUN_REFUSED},
                {SL_DECIDE_FAIL, false, "failed", "omitted", SL_RUN_FAILED}};
    for (size_t i = 0; i < SL_LEN(rows); i++) {
        for (int first = 0; first < 2; first++) { /* at once, and after waiting */
            struct rig r;
            struct sl_err err = SL_ERR_INIT;
            rig_init_empty(&r, TWO);
            r.answer = first != 0 ? rows[i].answer : SL_DECIDE_WAIT;
            r.unchanged = rows[i].unchanged;
            r.answer_for = "ask";
            r.hold_starts = true;
            SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
            rig_settle(&r);
            r.answer = rows[i].answer;
            sl_core_ask_again(&r.run, rig_step(&r, "ask"));
            rig_settle(&r);
            SL_CHECK_EQ_STR(rig_state(&r, "ask"), rows[i].step);
            SL_CHECK_EQ_STR(rig_state(&r, "then"), rows[i].then);
            SL_CHECK_EQ_INT(r.run.state, rows[i].run);
            SL_CHECK(!sl_core_only_awaits(&r.run));
            rig_release(&r);
        }
    }
}

SL_TEST(pipelines_core_wait, deadline__passes__decided_anew_by_itself)
{
    struct rig r;
    asking(&r, TWO, 5000);
    SL_CHECK_EQ_INT(r.wake_ms, 5000);
    r.now_ms = 4999;
    r.answer = SL_DECIDE_REFUSE;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "ask"), "awaiting_approval");
    rig_wake(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "ask"), "refused");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_REFUSED);
    rig_release(&r);
}

SL_TEST(pipelines_core_wait, deadline__host_still_waits__asked_again_not_at_once)
{
    struct rig r;
    asking(&r, TWO, 5000);
    rig_wake(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "ask"), "awaiting_approval");
    SL_CHECK_EQ_INT(r.wake_ms, 6000);
    rig_release(&r);
}

SL_TEST(pipelines_core_wait, answer_while_deciding__is_not_missed)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, TWO);
    r.answer = SL_DECIDE_WAIT;
    r.answer_for = "ask";
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    sl_core_pump(r.core); /* the question is on its way */
    sl_core_ask_again(&r.run, rig_step(&r, "ask"));
    r.then_answer = SL_DECIDE_DONE;
    rig_settle(&r);
    SL_CHECK_CONTAINS(rig_log(&r), "ask: awaiting_approval -> succeeded\n");
    rig_release(&r);
}

SL_TEST(pipelines_core_wait, others__asked_again__no_effect)
{
    struct rig r;
    rig_init(&r, TWO);
    sl_core_ask_again(&r.run, rig_step(&r, "ask"));
    sl_core_ask_again(&r.run, rig_step(&r, "then"));
    SL_CHECK_EQ_INT(r.queue.n, 0);
    SL_CHECK_EQ_STR(rig_state(&r, "ask"), "running");
    SL_CHECK(!sl_core_only_awaits(&r.run));
    rig_release(&r);
}

SL_TEST(pipelines_core_wait, cancel__while_waiting__ends_at_once)
{
    struct rig r;
    asking(&r, TWO, 5000);
    sl_core_cancel(&r.run, "ana");
    r.wake_ms = 0;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "ask"), "cancelled");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_CANCELLED);
    SL_CHECK_EQ_INT(r.wake_ms, 0);
    rig_release(&r);
}

SL_TEST(pipelines_core_wait, sibling_fails__fail_fast__ends_the_waiting)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, "steps:\n  a: {run: echo a, matrix: {i: [1, 2]}}\n");
    r.answer = SL_DECIDE_WAIT;
    r.answer_for = "a[i=1]";
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "a[i=1]"), "awaiting_approval");
    rig_exit(&r, "a[i=2]", SL_FAIL_EXIT);
    SL_CHECK_EQ_STR(rig_state(&r, "a[i=1]"), "cancelled");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_FAILED);
    rig_release(&r);
}

SL_TEST(pipelines_core_wait, restart__awaiting_step__is_decided_anew)
{
    struct rig r;
    asking(&r, TWO, 5000);
    rig_restart(&r, SL_RUN_RUNNING);
    struct sl_core_step waiting = {.state = SL_STEP_AWAITING, .not_before_ms = 5000};
    sl_core_restore_step(&r.run, rig_step(&r, "ask"), &waiting);
    sl_core_restore_go(&r.run);
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "");
    SL_CHECK_EQ_INT(r.wake_ms, 5000);
    SL_CHECK(sl_core_only_awaits(&r.run));
    r.answer = SL_DECIDE_DONE;
    rig_wake(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "ask"), "succeeded");
    rig_release(&r);
}

SL_TEST(pipelines_core_wait, run_removed__its_deadlines_go_too)
{
    struct rig r;
    asking(&r, TWO, 5000);
    rig_add_other(&r);
    sl_core_remove_run(r.core, &r.run);
    r.now_ms = 6000;
    rig_settle(&r);
    SL_CHECK_EQ_INT(r.wake_ms, 7000); /* the other's */
    rig_release(&r);
}
