/** Groups of runs: how many at once, in which order, what replaces what, and why a run waits. */
#include "core/base/base.h"

#include "pipelines/core/admit.h"

#include <stdio.h>

#include "tests/unit/pipelines/core/core_support.h"

#define ONE    "steps:\n  a: {run: echo a}\nfinally:\n  z: {run: echo z}\n"
#define RUNS   5
#define COLUMN 40

struct crowd {
    struct rig r;
    struct sl_core_run runs[RUNS];
    int n;
};

static void crowd_init(struct crowd *c)
{
    memset(c, 0, sizeof(*c));
    rig_init_empty(&c->r, ONE);
}

/** Run number n (from 1) of group g; `more` says limit, priority, replace. Not settled. */
static struct sl_core_run *make(struct crowd *c, struct sl_core_run more)
{
    struct sl_core_run *run = &c->runs[c->n++];
    *run = more;
    run->plan = c->r.plan;
    run->arena = &c->r.arena;
    run->group = run->group != NULL ? run->group : "g";
    run->group_limit = SL_MAX(run->group_limit, 1);
    run->number = c->n;
    run->created_ms = run->created_ms > 0 ? run->created_ms : 100 * c->n;
    snprintf(run->id, sizeof(run->id), "%032d", c->n);
    return run;
}

static void add(struct crowd *c, struct sl_core_run more)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_core_add_run(c->r.core, make(c, more), &err), err);
    rig_settle(&c->r);
}

/** "running queued queued" */
static const char *states(struct crowd *c)
{
    char *text = SL_ARENA_ARRAY(&c->r.arena, char, RUNS *COLUMN);
    size_t at = 0;
    for (int i = 0; i < c->n; i++) {
        at += (size_t)snprintf(text + at, COLUMN, "%s%s", i > 0 ? " " : "",
                               sl_sm_name(&sl_run_machine, (int)c->runs[i].state));
    }
    return text;
}

static const char *why(struct crowd *c, int i)
{
    struct sl_buf b = SL_BUF_INIT(4096);
    sl_core_why_queued(&c->runs[i], &b);
    const char *text = sl_arena_strdup(&c->r.arena, sl_buf_str(&b));
    sl_buf_release(&b);
    return text;
}

/** Ends both steps of a run well. */
static void finish(struct crowd *c, int i)
{
    for (uint32_t step = 0; step < 2; step++) {
        struct sl_core_attempt *a = c->runs[i].steps[step].att;
        struct sl_outcome ok = {.ok = true};
        SL_CHECK(a != NULL);
        sl_core_exited(a, &ok);
        rig_settle(&c->r);
    }
}

static void crowd_release(struct crowd *c)
{
    rig_release(&c->r);
}

SL_TEST(pipelines_core_admit, limit__reached__others_wait_and_say_why)
{
    struct crowd c;
    crowd_init(&c);
    for (int i = 0; i < 4; i++) {
        add(&c, (struct sl_core_run){.group_limit = 2});
    }
    SL_CHECK_EQ_STR(states(&c), "running running queued queued");
    SL_CHECK_EQ_STR(why(&c, 2), "group g is full (2 of 2: test#1, test#2)");
    SL_CHECK_EQ_STR(why(&c, 3), "group g is full (2 of 2: test#1, test#2); 1 run goes first");
    SL_CHECK_EQ_STR(why(&c, 0), "");
    finish(&c, 1);
    SL_CHECK_EQ_STR(states(&c), "running succeeded running queued");
    crowd_release(&c);
}

SL_TEST(pipelines_core_admit, groups__different_or_none__do_not_meet)
{
    struct crowd c;
    struct sl_err err = SL_ERR_INIT;
    crowd_init(&c);
    add(&c, (struct sl_core_run){.group = "g"});
    add(&c, (struct sl_core_run){.group = "h"});
    make(&c, (struct sl_core_run){0})->group = NULL;
    SL_CHECK_OK(sl_core_add_run(c.r.core, &c.runs[2], &err), err);
    rig_settle(&c.r);
    SL_CHECK_EQ_STR(states(&c), "running running running");
    crowd_release(&c);
}

SL_TEST(pipelines_core_admit, order__priority_then_age__not_arrival)
{
    struct crowd c;
    crowd_init(&c);
    add(&c, (struct sl_core_run){0});
    add(&c, (struct sl_core_run){.created_ms = 900});
    add(&c, (struct sl_core_run){.created_ms = 800});
    add(&c, (struct sl_core_run){.created_ms = 1000, .priority = 5});
    SL_CHECK_EQ_STR(why(&c, 1), "group g is full (1 of 1: test#1); 2 runs go first");
    finish(&c, 0);
    SL_CHECK_EQ_STR(states(&c), "succeeded queued queued running");
    finish(&c, 3);
    SL_CHECK_EQ_STR(states(&c), "succeeded queued running succeeded");
    crowd_release(&c);
}

static int limit_now;
static int project_limit(void *data, const char *group)
{
    (void)data;
    return sl_streq(group, "g") ? limit_now : 0;
}

SL_TEST(pipelines_core_admit, limit__of_the_newest_run__counts_for_all)
{
    struct crowd c;
    crowd_init(&c);
    for (int i = 0; i < 3; i++) {
        add(&c, (struct sl_core_run){.group_limit = 1});
    }
    SL_CHECK_EQ_STR(states(&c), "running queued queued");
    add(&c, (struct sl_core_run){.group_limit = 3});
    SL_CHECK_EQ_STR(states(&c), "running running running queued");
    crowd_release(&c);
}

SL_TEST(pipelines_core_admit, limit__of_the_project__wins_and_may_change)
{
    struct crowd c;
    crowd_init(&c);
    struct sl_core_io io;
    rig_copy_io(&io);
    io.group_limit = project_limit;
    sl_core_free(c.r.core);
    c.r.core = sl_core_new(&io, &c.r, &(struct sl_sched_caps){.cpu_milli = 8000});
    limit_now = 1;
    for (int i = 0; i < 3; i++) {
        add(&c, (struct sl_core_run){.group_limit = 9});
    }
    SL_CHECK_EQ_STR(states(&c), "running queued queued");
    limit_now = 2;
    sl_core_limits_changed(c.r.core);
    rig_settle(&c.r);
    SL_CHECK_EQ_STR(states(&c), "running running queued");
    limit_now = 1; /* what runs goes on; nothing more starts */
    sl_core_limits_changed(c.r.core);
    finish(&c, 0);
    SL_CHECK_EQ_STR(states(&c), "succeeded running queued");
    finish(&c, 1);
    SL_CHECK_EQ_STR(states(&c), "succeeded succeeded running");
    crowd_release(&c);
}

SL_TEST(pipelines_core_admit, replace__newest__cancels_waiting_and_running)
{
    struct crowd c;
    crowd_init(&c);
    add(&c, (struct sl_core_run){0});
    add(&c, (struct sl_core_run){0});
    (void)rig_log(&c.r);
    add(&c, (struct sl_core_run){.replace = true});
    SL_CHECK_EQ_STR(states(&c), "cancelling cancelled queued");
    const char *log = rig_log(&c.r);
    SL_CHECK_CONTAINS(log, "run: queued -> cancelling (replaced by test#3)");
    SL_CHECK_CONTAINS(log, "run: running -> cancelling (replaced by test#3)");
    SL_CHECK_EQ_INT(c.runs[1].steps[1].state, SL_STEP_CANCELLED); /* finally: it never started */
    struct sl_outcome stopped = {.fail = SL_FAIL_CANCELLED};
    sl_core_exited(c.runs[0].steps[0].att, &stopped);
    rig_settle(&c.r);
    SL_CHECK_EQ_STR(states(&c), "cancelling cancelled queued"); /* finally runs */
    struct sl_outcome ok = {.ok = true};
    sl_core_exited(c.runs[0].steps[1].att, &ok);
    rig_settle(&c.r);
    SL_CHECK_EQ_STR(states(&c), "cancelled cancelled running");
    crowd_release(&c);
}

SL_TEST(pipelines_core_admit, replace__room_left__cancels_nothing)
{
    struct crowd c;
    crowd_init(&c);
    add(&c, (struct sl_core_run){.group_limit = 2});
    add(&c, (struct sl_core_run){.group_limit = 2, .replace = true});
    SL_CHECK_EQ_STR(states(&c), "running running");
    add(&c, (struct sl_core_run){.group_limit = 2, .replace = true}); /* the oldest goes, no more */
    SL_CHECK_EQ_STR(states(&c), "cancelling running queued");
    crowd_release(&c);
}

SL_TEST(pipelines_core_admit, cancel__queued__nothing_of_it_runs)
{
    struct crowd c;
    crowd_init(&c);
    add(&c, (struct sl_core_run){0});
    add(&c, (struct sl_core_run){0});
    (void)rig_log(&c.r);
    sl_core_cancel(&c.runs[1], "ana");
    rig_settle(&c.r);
    SL_CHECK_EQ_STR(states(&c), "running cancelled");
    SL_CHECK(strstr(rig_log(&c.r), "start") == NULL);
    SL_CHECK_EQ_INT(c.r.runs_over, 1);
    crowd_release(&c);
}

SL_TEST(pipelines_core_admit, restart__same_order__and_what_ran_counts)
{
    struct crowd c;
    struct sl_err err = SL_ERR_INIT;
    crowd_init(&c);
    /* restored oldest first: the one that runs comes last */
    make(&c, (struct sl_core_run){.created_ms = 10});
    make(&c, (struct sl_core_run){.created_ms = 20, .priority = 1});
    make(&c, (struct sl_core_run){.created_ms = 30})->state = SL_RUN_RUNNING;
    for (int i = 0; i < 3; i++) {
        SL_CHECK_OK(sl_core_restore_begin(c.r.core, &c.runs[i], &err), err);
        sl_core_restore_go(&c.runs[i]);
    }
    rig_settle(&c.r);
    SL_CHECK_EQ_STR(states(&c), "queued queued running");
    finish(&c, 2);
    SL_CHECK_EQ_STR(states(&c), "queued running succeeded");
    crowd_release(&c);
}

SL_TEST(pipelines_core_admit, halted__nothing_is_admitted)
{
    struct crowd c;
    crowd_init(&c);
    add(&c, (struct sl_core_run){0});
    c.r.disk_full = true;
    add(&c, (struct sl_core_run){0});
    finish(&c, 0);
    SL_CHECK_EQ_INT(c.r.halted, 1);
    SL_CHECK_EQ_INT(c.runs[1].state, SL_RUN_QUEUED);
    crowd_release(&c);
}

/* ---- the rules ------------------------------------------------------------------------------------ */

SL_TEST(pipelines_core_admit, view__names__three_at_most)
{
    struct sl_admit_view v = {.group = "g", .limit = 3};
    struct sl_buf b = SL_BUF_INIT(4096);
    sl_admit_view_text(&v, &b);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "group g has room (0 of 3)");
    for (int i = 1; i <= 4; i++) {
        sl_admit_view_running(&v, "churn", i);
        if (i == 3) {
            sl_buf_clear(&b);
            sl_admit_view_text(&v, &b);
            SL_CHECK_EQ_STR(sl_buf_str(&b), "group g is full (3 of 3: churn#1, churn#2, churn#3)");
        }
    }
    sl_buf_clear(&b);
    sl_admit_view_text(&v, &b);
    SL_CHECK_EQ_STR(sl_buf_str(&b),
                    "group g is full (4 of 3: churn#1, churn#2, churn#3 and 1 more)");
    sl_buf_release(&b);
}

static int group_of(const char *template, const char **ret, struct rig *r, struct sl_err *err)
{
    struct sl_spec spec = *r->spec;
    struct sl_plan plan = *r->plan;
    struct sl_expr_err why_not;
    plan.spec = &spec;
    SL_CHECK_EQ_INT(sl_tmpl_parse(&r->arena, sl_str_c(template), &spec.concurrency.group, &why_not),
                    0);
    return sl_admit_group(&plan, &r->arena, ret, err);
}

SL_TEST(pipelines_core_admit, group_name__parameters_put_in__and_checked)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    const char *name = "unset";
    char longest[SL_GROUP_NAME_MAX + 2];
    rig_init_empty(&r, "params:\n  region: {type: string, default: eu}\n  n: {type: int, default: "
                       "7}\n  none: {type: string, default: \"\"}\nsteps:\n  a: {run: echo a}\n");
    SL_CHECK_OK(sl_admit_group(r.plan, &r.arena, &name, &err), err);
    SL_CHECK(name == NULL);
    SL_CHECK_OK(
        group_of("${{ run.pipeline }}-${{ params.region }}-${{ params.n }}", &name, &r, &err), err);
    SL_CHECK_EQ_STR(name, "test-eu-7");
    SL_CHECK_EQ_INT(group_of("${{ params.none }}", &name, &r, &err), -SL_EINVAL);
    SL_CHECK_CONTAINS(err.msg, "concurrency.group: its name has 0 bytes");
    SL_CHECK_EQ_INT(group_of("a\nb", &name, &r, &err), -SL_EINVAL);
    SL_CHECK_CONTAINS(err.msg, "control character");
    SL_CHECK(group_of("${{ params.nothing }}", &name, &r, &err) < 0);
    SL_CHECK_CONTAINS(err.msg, "concurrency.group: ");
    memset(longest, 'x', sizeof(longest));
    longest[SL_GROUP_NAME_MAX] = '\0';
    SL_CHECK_OK(group_of(longest, &name, &r, &err), err);
    longest[SL_GROUP_NAME_MAX] = 'x';
    longest[SL_GROUP_NAME_MAX + 1] = '\0';
    SL_CHECK_EQ_INT(group_of(longest, &name, &r, &err), -SL_EINVAL);
    rig_release(&r);
}
