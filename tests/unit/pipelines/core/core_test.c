/** The core's rules one by one: journal before effect, retries, cancelling, halting, restoring. */
#include "core/base/base.h"

#include "tests/unit/pipelines/core/core_support.h"

#include "pipelines/core/core.h"

#define OK  SL_FAIL_COUNT
#define ONE "steps:\n  a: {run: echo a}\n"

SL_TEST(pipelines_core_core, one_step__goes_well__every_move_in_order)
{
    struct rig r;
    rig_init(&r, ONE);
    SL_CHECK_EQ_STR(rig_log(&r),
                    "start a#1\nrun: queued -> running\na: pending -> running\ngo a#1\n");
    rig_exit(&r, "a", OK);
    SL_CHECK_EQ_STR(rig_log(&r), "a: running -> succeeded\nrun: running -> succeeded\n");
    SL_CHECK_EQ_INT(r.runs_over, 1);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, go__start_not_yet_durable__waits)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, ONE);
    r.hold_journal = true;
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "start a#1\n");
    r.hold_journal = false;
    rig_settle(&r);
    SL_CHECK_CONTAINS(rig_log(&r), "a: pending -> running\ngo a#1\n");
    rig_release(&r);
}

SL_TEST(pipelines_core_core, completion__doubled_or_late__changes_nothing)
{
    struct rig r;
    rig_init(&r, ONE);
    struct sl_core_attempt *a = r.run.steps[0].att;
    struct sl_outcome ok = {.ok = true};
    struct sl_outcome bad = {.fail = SL_FAIL_EXIT};
    sl_core_exited(a, &ok);
    sl_core_exited(a, &bad);
    r.hold_journal = true;
    rig_settle(&r);
    sl_core_exited(a, &bad);
    sl_core_collected(a, &bad);
    r.hold_journal = false;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "succeeded");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_SUCCEEDED);
    rig_release(&r);
}

/* ---- retries -------------------------------------------------------------------------------------- */

SL_TEST(pipelines_core_core, retry__by_class__only_the_classes_named)
{
    static const struct {
        enum sl_fail_class fail;
        const char *by_default, *when_all;
    } rows[] = {
        {SL_FAIL_INFRA, "backoff", "backoff"},   {SL_FAIL_LOST, "backoff", "backoff"},
        {SL_FAIL_OOM, "failed", "backoff"},      {SL_FAIL_TIMEOUT, "failed", "backoff"},
        {SL_FAIL_EXIT, "failed", "backoff"},     {SL_FAIL_CANCELLED, "cancelled", "cancelled"},
        {SL_FAIL_REJECTED, "refused", "refused"}};
    for (size_t i = 0; i < SL_LEN(rows); i++) {
        struct rig r;
        rig_init(&r, "steps:\n  a: {run: echo a, retry: {max: 1}}\n");
        rig_exit(&r, "a", rows[i].fail);
        SL_CHECK_EQ_STR(rig_state(&r, "a"), rows[i].by_default);
        rig_release(&r);
        rig_init(&r, "steps:\n  a: {run: echo a, retry: {max: 1, on: [infra, lost, oom, timeout, "
                     "error]}}\n");
        rig_exit(&r, "a", rows[i].fail);
        SL_CHECK_EQ_STR(rig_state(&r, "a"), rows[i].when_all);
        rig_release(&r);
    }
}

SL_TEST(pipelines_core_core, backoff__grows_by_factor__up_to_its_maximum)
{
    static const int64_t waits[] = {100, 300, 900, 1000, 1000};
    struct rig r;
    rig_init(&r, "steps:\n  a:\n    run: echo a\n    retry:\n      max: 5\n      on: [error]\n"
                 "      backoff: {initial: 100ms, factor: 3, max: 1s}\n");
    for (size_t i = 0; i < SL_LEN(waits); i++) {
        rig_exit(&r, "a", SL_FAIL_EXIT);
        SL_CHECK_EQ_STR(rig_state(&r, "a"), "backoff");
        SL_CHECK_EQ_INT(r.run.steps[0].not_before_ms - r.now_ms, waits[i]);
        SL_CHECK_EQ_INT(r.wake_ms - r.now_ms, waits[i]);
        rig_wake(&r);
        SL_CHECK_EQ_STR(rig_state(&r, "a"), "running");
    }
    rig_exit(&r, "a", SL_FAIL_EXIT);
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "failed");
    SL_CHECK_EQ_INT(r.run.steps[0].attempts, 6);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, never_started__five_times__costs_no_retry)
{
    struct rig r;
    rig_init(&r, "steps:\n  a: {run: echo a, retry: {max: 1, on: [error]}}\n");
    for (int i = 0; i < 5; i++) {
        rig_exit(&r, "a", SL_FAIL_NEVER_STARTED);
        SL_CHECK_EQ_STR(rig_state(&r, "a"), "running");
    }
    rig_exit(&r, "a", SL_FAIL_EXIT);
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "backoff");
    rig_wake(&r);
    rig_exit(&r, "a", SL_FAIL_NEVER_STARTED); /* the sixth */
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "failed");
    rig_release(&r);
}

SL_TEST(pipelines_core_core, cannot_start__default_classes__retried_as_infra)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, "steps:\n  a: {run: echo a, retry: {max: 1}}\n");
    r.cannot_start = true;
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "backoff");
    rig_wake(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "failed");
    SL_CHECK(strstr(rig_log(&r), "go ") == NULL);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, external_effect__lost__a_person_decides)
{
    struct rig r;
    rig_init(&r, "steps:\n  a: {run: echo a, effects: external, retry: {max: 3}}\n");
    rig_exit(&r, "a", SL_FAIL_LOST);
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "needs_decision");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_WAITING);
    rig_release(&r);
    rig_init(&r, "steps:\n  a: {run: echo a, effects: external, retry: {max: 3}}\n");
    rig_exit(&r, "a", SL_FAIL_NEVER_STARTED); /* nothing can have happened */
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "running");
    SL_CHECK_EQ_INT(r.run.steps[0].attempts, 2);
    rig_release(&r);
}

/* ---- ends ----------------------------------------------------------------------------------------- */

SL_TEST(pipelines_core_core, result__several_ends__the_worst_counts)
{
    static const struct {
        enum sl_fail_class a, b, c; /* c has external effects */
        enum sl_run_state run;
    } rows[] = {{OK, OK, OK, SL_RUN_SUCCEEDED},
                {SL_FAIL_REJECTED, OK, OK, SL_RUN_REFUSED},
                {SL_FAIL_REJECTED, OK, SL_FAIL_LOST, SL_RUN_WAITING},
                {SL_FAIL_REJECTED, SL_FAIL_EXIT, OK, SL_RUN_FAILED},
                {OK, SL_FAIL_EXIT, SL_FAIL_LOST, SL_RUN_FAILED}};
    for (size_t i = 0; i < SL_LEN(rows); i++) {
        struct rig r;
        rig_init(&r, "steps:\n  a: {run: echo a}\n  b: {run: echo b}\n"
                     "  c: {run: echo c, effects: external}\n");
        rig_exit(&r, "a", rows[i].a);
        rig_exit(&r, "b", rows[i].b);
        SL_CHECK_EQ_INT(r.run.state, SL_RUN_RUNNING);
        rig_exit(&r, "c", rows[i].c);
        SL_CHECK_EQ_INT(r.run.state, rows[i].run);
        rig_release(&r);
    }
}

SL_TEST(pipelines_core_core, timeout__first_failure_or_later__decides_the_status)
{
    struct rig r;
    rig_init(&r, "steps:\n  a: {run: echo a}\n  b: {run: echo b}\n");
    rig_exit(&r, "a", SL_FAIL_TIMEOUT);
    rig_exit(&r, "b", SL_FAIL_EXIT);
    SL_CHECK_EQ_INT(sl_run_exit_status(r.run.state, r.run.timed_out), 124);
    rig_release(&r);
    rig_init(&r, "steps:\n  a: {run: echo a}\n  b: {run: echo b}\n");
    rig_exit(&r, "a", SL_FAIL_EXIT);
    rig_exit(&r, "b", SL_FAIL_TIMEOUT);
    SL_CHECK_EQ_INT(sl_run_exit_status(r.run.state, r.run.timed_out), 1);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, need_failed__dependents_omitted__finally_runs)
{
    struct rig r;
    rig_init(&r, "steps:\n  a: {run: echo a}\n  b: {run: echo b, needs: [a]}\n"
                 "finally:\n  f: {run: echo f}\n");
    SL_CHECK_EQ_STR(rig_state(&r, "f"), "pending");
    rig_exit(&r, "a", SL_FAIL_EXIT);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "omitted");
    SL_CHECK_EQ_STR(rig_state(&r, "f"), "running");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_RUNNING);
    rig_exit(&r, "f", OK);
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_FAILED);
    rig_release(&r);
}

/* ---- cancelling ----------------------------------------------------------------------------------- */

SL_TEST(pipelines_core_core, cancel__running_and_pending__stops_after_it_is_durable)
{
    struct rig r;
    rig_init(&r, "steps:\n  a: {run: echo a}\n  b: {run: echo b, needs: [a]}\n"
                 "finally:\n  f: {run: echo f}\n");
    (void)rig_log(&r);
    r.hold_journal = true;
    sl_core_cancel(&r.run, "ada");
    sl_core_cancel(&r.run, "ada");
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "");
    r.hold_journal = false;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r),
                    "run: running -> cancelling\nb: pending -> cancelled\ncancel a#1\n");
    rig_exit(&r, "a", SL_FAIL_CANCELLED);
    SL_CHECK_EQ_STR(rig_state(&r, "f"), "running");
    rig_exit(&r, "f", OK);
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_CANCELLED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, cancel__attempt_not_yet_durable__discarded_without_go)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, ONE);
    r.hold_journal = true;
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    rig_settle(&r);
    sl_core_cancel(&r.run, "ada");
    r.hold_journal = false;
    rig_settle(&r);
    const char *log = rig_log(&r);
    SL_CHECK_CONTAINS(log, "discard a#1\n");
    SL_CHECK(strstr(log, "go a") == NULL);
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "cancelled");
    rig_release(&r);
}

SL_TEST(pipelines_core_core, cancel__in_backoff__no_further_attempt)
{
    struct rig r;
    rig_init(&r, "steps:\n  a: {run: echo a, retry: {max: 3}}\n");
    rig_exit(&r, "a", SL_FAIL_LOST);
    sl_core_cancel(&r.run, "ada");
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "cancelled");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_CANCELLED);
    rig_release(&r);
}

/* ---- single flight -------------------------------------------------------------------------------- */

#define TWINS "steps:\n  a: {run: echo same}\n  b: {run: echo same}\n"

static void init_twins(struct rig *r)
{
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(r, TWINS);
    r->share = true;
    SL_CHECK_OK(sl_core_add_run(r->core, &r->run, &err), err);
    rig_settle(r);
}

SL_TEST(pipelines_core_core, flight__same_key__second_waits_and_is_served)
{
    struct rig r;
    init_twins(&r);
    SL_CHECK_EQ_STR(rig_state(&r, "a"), "running");
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "pending");
    r.cached = true;
    rig_exit(&r, "a", OK);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "cached");
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_SUCCEEDED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, flight__leader_fails__second_runs_itself)
{
    struct rig r;
    init_twins(&r);
    rig_exit(&r, "a", SL_FAIL_EXIT);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "running");
    rig_exit(&r, "b", OK);
    SL_CHECK_EQ_INT(r.run.state, SL_RUN_FAILED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, flight__another_run__waits_for_the_first)
{
    struct rig r;
    init_twins(&r);
    rig_add_other(&r);
    SL_CHECK_EQ_INT(r.other.n_live, 0);
    r.cached = true;
    rig_exit(&r, "a", OK);
    SL_CHECK_EQ_INT(r.other.state, SL_RUN_SUCCEEDED);
    SL_CHECK_EQ_INT(r.other.steps[0].state, SL_STEP_CACHED);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, flight__leader_cancelled_in_backoff__waiter_of_another_run_goes_on)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, "steps:\n  a: {run: echo same, retry: {max: 1}}\n");
    r.share = true;
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    rig_settle(&r);
    rig_add_other(&r);
    rig_exit(&r, "a", SL_FAIL_LOST);
    SL_CHECK_EQ_INT(r.other.n_live, 0);
    sl_core_cancel(&r.run, "ada");
    rig_settle(&r);
    SL_CHECK_EQ_INT(r.other.steps[0].state, SL_STEP_RUNNING);
    rig_release(&r);
}

/* ---- halting and restoring ------------------------------------------------------------------------ */

SL_TEST(pipelines_core_core, journal__disk_full__halts_once_and_nothing_goes)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(&r, ONE);
    r.hold_journal = true;
    SL_CHECK_OK(sl_core_add_run(r.core, &r.run, &err), err);
    rig_settle(&r);
    r.hold_journal = false;
    r.disk_full = true;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "start a#1\nhalted: disk full\n");
    SL_CHECK(sl_core_halted(r.core));
    r.disk_full = false;
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "");
    SL_CHECK_EQ_INT(r.halted, 1);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, journal__disk_full_at_an_end__attempt_is_freed)
{
    struct rig r;
    rig_init(&r, ONE);
    r.disk_full = true;
    rig_exit(&r, "a", OK);
    SL_CHECK(sl_core_halted(r.core));
    SL_CHECK_EQ_INT(r.runs_over, 0);
    rig_release(&r);
}

static void restore(struct rig *r, const char *key, enum sl_step_state state, int attempts)
{
    struct sl_core_step s = {.state = state, .attempts = attempts};
    sl_core_restore_step(&r->run, rig_step(r, key), &s);
}

static void restore_live(struct rig *r, const char *key, int number)
{
    struct sl_core_attempt *a = SL_NEW(struct sl_core_attempt);
    a->step = rig_step(r, key);
    a->number = number;
    sl_core_restore_attempt(&r->run, a);
}

SL_TEST(pipelines_core_core, restore__running_attempt__adopted_not_started)
{
    struct rig r;
    rig_init_empty(&r, "steps:\n  a: {run: echo a}\n  b: {run: echo b, needs: [a]}\n");
    rig_restart(&r, SL_RUN_RUNNING);
    restore(&r, "a", SL_STEP_RUNNING, 1);
    restore_live(&r, "a", 1);
    sl_core_restore_go(&r.run);
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "adopt a#1\n");
    rig_exit(&r, "a", OK);
    SL_CHECK_EQ_STR(rig_log(&r),
                    "start b#1\na: running -> succeeded\nb: pending -> running\ngo b#1\n");
    rig_release(&r);
}

SL_TEST(pipelines_core_core, restore__cancelling__adopted_and_stopped)
{
    struct rig r;
    rig_init_empty(&r, "steps:\n  a: {run: echo a}\n  b: {run: echo b}\n");
    rig_restart(&r, SL_RUN_CANCELLING);
    restore(&r, "a", SL_STEP_RUNNING, 1);
    restore_live(&r, "a", 1);
    sl_core_restore_go(&r.run);
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "adopt a#1\ncancel a#1\nb: pending -> cancelled\n");
    rig_release(&r);
}

SL_TEST(pipelines_core_core, restore__backoff_with_time_left__is_woken_for_it)
{
    struct rig r;
    rig_init_empty(&r, "steps:\n  a: {run: echo a, retry: {max: 3}}\n");
    rig_restart(&r, SL_RUN_RUNNING);
    struct sl_core_step s = {.state = SL_STEP_BACKOFF, .attempts = 1, .not_before_ms = 5000};
    sl_core_restore_step(&r.run, 0, &s);
    sl_core_restore_go(&r.run);
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "");
    SL_CHECK_EQ_INT(r.wake_ms, 5000);
    rig_wake(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "start a#2\na: backoff -> running\ngo a#2\n");
    rig_release(&r);
}

SL_TEST(pipelines_core_core, restore__ended_attempts__keep_status_and_retries)
{
    struct rig r;
    rig_init_empty(
        &r, "steps:\n  a: {run: echo a}\n  b: {run: echo b, retry: {max: 1, on: [error]}}\n");
    rig_restart(&r, SL_RUN_RUNNING);
    restore(&r, "a", SL_STEP_FAILED, 1);
    restore(&r, "b", SL_STEP_RUNNING, 2);
    sl_core_restore_ended(&r.run, rig_step(&r, "a"), 1, SL_FAIL_TIMEOUT, 700);
    sl_core_restore_ended(&r.run, rig_step(&r, "b"), 1, SL_FAIL_NEVER_STARTED, 800);
    restore_live(&r, "b", 2);
    sl_core_restore_go(&r.run);
    rig_settle(&r);
    rig_exit(&r, "b", SL_FAIL_EXIT);
    SL_CHECK_EQ_STR(rig_state(&r, "b"), "backoff"); /* the attempt that never ran cost nothing */
    rig_wake(&r);
    rig_exit(&r, "b", SL_FAIL_EXIT);
    SL_CHECK_EQ_INT(sl_run_exit_status(r.run.state, r.run.timed_out), 124);
    rig_release(&r);
}

SL_TEST(pipelines_core_core, restore__condition_turned_false_in_backoff__skipped)
{
    struct rig r;
    rig_init_empty(&r, "steps:\n  a: {run: echo a}\nfinally:\n  f: {run: echo f}\n"
                       "  g: {run: echo g, if: success(), retry: {max: 2}}\n");
    rig_restart(&r, SL_RUN_RUNNING);
    restore(&r, "a", SL_STEP_SUCCEEDED, 1);
    restore(&r, "f", SL_STEP_FAILED, 1);
    restore(&r, "g", SL_STEP_BACKOFF, 1);
    sl_core_restore_go(&r.run);
    rig_settle(&r);
    SL_CHECK_EQ_STR(rig_log(&r), "g: backoff -> skipped\nrun: running -> failed\n");
    rig_release(&r);
}
