/* What every backend of runners.def promises, run over the whole table. */
#include "core/base/base.h"

#include "runners/runner.h"

#include "runners/fake/fake.h"
#include "tests/support/runner_rig.h"

/* One scenario as a script for real backends and as an outcome for the fake one. */
struct scenario {
    const char *script;
    struct sl_fake_outcome fake;
    struct sl_attempt_limits limits;
};

struct bench {
    const struct sl_runner_ops *ops;
    struct rig rig; /* real backends */
    struct sl_fake_world *world;
    int64_t now_ms;
    const struct scenario *scenario;
};

static int64_t bench_now(void *data)
{
    return ((struct bench *)data)->now_ms;
}

static void bench_outcome(void *data, const struct sl_attempt_spec *spec,
                          struct sl_fake_outcome *ret)
{
    (void)spec;
    *ret = ((struct bench *)data)->scenario->fake;
}

static void open_runner(struct bench *b)
{
    struct sl_err err = SL_ERR_INIT;
    if (b->ops->caps & SL_RUNNER_CAP_PROCESSES) {
        rig_open_runner(&b->rig);
        return;
    }
    const struct sl_runner_config config = {.backend = b->world};
    SL_CHECK_OK(b->ops->open(&config, &b->rig.runner, &err), err);
}

static void bench_open(struct bench *b, size_t index, const struct scenario *s)
{
    *b = (struct bench){.ops = sl_runner_at(index), .scenario = s, .now_ms = 1000};
    const struct sl_fake_config config = {bench_now, bench_outcome, b};
    b->world = sl_fake_world_new(&config);
    b->rig.dir = sl_test_tmpdir();
    b->rig.data = sl_test_path(b->rig.dir, "data");
    SL_CHECK_EQ_INT(mkdir(b->rig.data, 0755), 0);
    b->rig.data_fd = open(b->rig.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    open_runner(b);
}

static void bench_close(struct bench *b)
{
    b->ops->close(b->rig.runner);
    sl_loop_free(b->rig.loop);
    sl_fake_world_free(b->world);
    (void)close(b->rig.data_fd);
    free(b->rig.data);
    sl_test_rmdir(b->rig.dir);
}

static void prepare(struct bench *b, struct rig_attempt *a)
{
    rig_prepare(&b->rig, a);
}

static void start(struct bench *b, struct rig_attempt *a)
{
    const char *const argv[] = {"sh", "-c", b->scenario->script, NULL};
    prepare(b, a);
    rig_start(&b->rig, a, argv, &b->scenario->limits);
}

static void await(struct bench *b, struct rig_attempt *a)
{
    while (a->ends == 0 && b->rig.loop != NULL) {
        sl_loop_turn(b->rig.loop, true);
    }
    while (a->ends == 0) {
        b->now_ms = SL_MAX(b->now_ms, sl_fake_world_next_ms(b->world));
        SL_CHECK(b->now_ms != INT64_MAX);
        sl_fake_world_advance(b->world);
    }
    SL_CHECK_EQ_INT(a->ends, 1);
}

/* The engine dies after start, or after go. */
static void dead_engine(struct bench *b, struct rig_attempt *a, bool go)
{
    if (b->ops->caps & SL_RUNNER_CAP_PROCESSES) {
        prepare(b, a);
        rig_dead_engine(&b->rig, a, b->scenario->script, go);
        return;
    }
    start(b, a);
    if (go) {
        rig_go(&b->rig, a);
    }
    sl_fake_world_crash(b->world);
    a->handle.impl = NULL;
}

static bool has_run(struct bench *b, const struct rig_attempt *a)
{
    return b->ops->caps & SL_RUNNER_CAP_PROCESSES ? rig_file(a, "exec")
                                                  : sl_fake_world_execs(b->world, a->id) > 0;
}

/* Runs the scenario in every backend and compares how it ends. */
static void check_all(const struct scenario *s, enum sl_runner_class class, int code, int signum)
{
    SL_CHECK_NOT_NULL(sl_runner_at(1));
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        struct bench b;
        struct rig_attempt a;
        bench_open(&b, i, s);
        start(&b, &a);
        SL_CHECK(!has_run(&b, &a));
        rig_go(&b.rig, &a);
        SL_CHECK_EQ_INT(a.ends, 0);
        await(&b, &a);
        SL_CHECK_MSG(a.result.class == class, "%s: %s", b.ops->name,
                     sl_runner_class_name(a.result.class));
        SL_CHECK_EQ_INT(a.result.exit_code, code);
        SL_CHECK_EQ_INT(a.result.signal, signum);
        SL_CHECK(a.result.ended_ms >= a.result.started_ms && a.result.started_ms > 0);
        SL_CHECK(has_run(&b, &a));
        rig_free(&a);
        bench_close(&b);
    }
}

static const struct scenario EXIT_7 = {
    "exit 7", {.duration_ms = 5, .result = {.class = SL_CLASS_EXIT, .exit_code = 7}}, {0}};
static const struct scenario FOREVER = {"trap '' TERM; echo up > fifo; sleep 1000",
                                        {.duration_ms = -1, .dying_ms = 10},
                                        {.grace_ms = 50}};

SL_TEST(runners_conformance, table__names__are_found)
{
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        const struct sl_runner_ops *ops = sl_runner_at(i);
        SL_CHECK(sl_runner_find(ops->name) == ops);
        SL_CHECK(i == 0 || strcmp(sl_runner_at(i - 1)->name, ops->name) < 0);
        SL_CHECK(ops->text[0] != '\0');
        SL_CHECK(ops->open && ops->probe && ops->start && ops->go && ops->cancel && ops->adopt &&
                 ops->release && ops->sweep && ops->close);
    }
    SL_CHECK_NULL(sl_runner_find("nonesuch"));
}

SL_TEST(runners_conformance, go__exit_code__arrives)
{
    check_all(&EXIT_7, SL_CLASS_EXIT, 7, 0);
}

SL_TEST(runners_conformance, go__signal_death__arrives)
{
    static const struct scenario s = {
        "kill -ABRT $$",
        {.result = {.class = SL_CLASS_SIGNAL, .exit_code = -1, .signal = SIGABRT}},
        {0}};
    check_all(&s, SL_CLASS_SIGNAL, -1, SIGABRT);
}

SL_TEST(runners_conformance, go__over_time__is_timeout)
{
    static const struct scenario s = {
        "sleep 1000", {.duration_ms = -1}, {.timeout_ms = 40, .grace_ms = 20000}};
    check_all(&s, SL_CLASS_TIMEOUT, -1, SIGTERM);
}

SL_TEST(runners_conformance, release__before_go__never_runs)
{
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        struct bench b;
        struct rig_attempt a;
        bench_open(&b, i, &EXIT_7);
        start(&b, &a);
        b.ops->release(&a.handle);
        b.ops->release(&a.handle); /* idempotent */
        SL_CHECK_NULL(a.handle.impl);
        SL_CHECK_EQ_INT(a.ends, 0);
        SL_CHECK(!has_run(&b, &a));
        rig_free(&a);
        bench_close(&b);
    }
}

SL_TEST(runners_conformance, go__twice__runs_once)
{
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        struct bench b;
        struct rig_attempt a;
        bench_open(&b, i, &EXIT_7);
        start(&b, &a);
        rig_go(&b.rig, &a);
        rig_go(&b.rig, &a);
        await(&b, &a);
        SL_CHECK_EQ_INT(a.result.exit_code, 7);
        rig_free(&a);
        bench_close(&b);
    }
}

SL_TEST(runners_conformance, cancel__twice_and_term_ignored__ends_as_cancelled)
{
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        struct bench b;
        struct rig_attempt a;
        struct sl_err err = SL_ERR_INIT;
        bench_open(&b, i, &FOREVER);
        start(&b, &a);
        char *fifo = rig_fifo(&a);
        rig_go(&b.rig, &a);
        if (b.rig.loop != NULL) {
            free(rig_await_line(fifo)); /* its trap is set */
        }
        SL_CHECK_OK(b.ops->cancel(&a.handle, &err), err);
        SL_CHECK_OK(b.ops->cancel(&a.handle, &err), err);
        SL_CHECK_EQ_INT(a.ends, 0);
        await(&b, &a);
        SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "cancelled");
        SL_CHECK_OK(b.ops->cancel(&a.handle, &err), err); /* after the end */
        free(fifo);
        rig_free(&a);
        bench_close(&b);
    }
}

SL_TEST(runners_conformance, adopt__engine_died_before_go__never_started)
{
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        struct bench b;
        struct rig_attempt a;
        bench_open(&b, i, &EXIT_7);
        dead_engine(&b, &a, false);
        rig_adopt(&b.rig, &a);
        await(&b, &a);
        SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "never_started");
        SL_CHECK(!has_run(&b, &a));
        rig_free(&a);
        bench_close(&b);
    }
}

SL_TEST(runners_conformance, adopt__engine_died_after_go__result_arrives)
{
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        struct bench b;
        struct rig_attempt a;
        bench_open(&b, i, &EXIT_7);
        dead_engine(&b, &a, true);
        rig_adopt(&b.rig, &a);
        await(&b, &a);
        SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "exit");
        SL_CHECK_EQ_INT(a.result.exit_code, 7);
        /* Again, now that it is long over: the same answer. */
        a.ends = 0;
        rig_adopt(&b.rig, &a);
        await(&b, &a);
        SL_CHECK_EQ_INT(a.result.exit_code, 7);
        rig_free(&a);
        bench_close(&b);
    }
}

SL_TEST(runners_conformance, adopt__running__can_be_cancelled)
{
    static const struct scenario s = {
        "echo up > fifo; sleep 1000", {.duration_ms = -1, .dying_ms = 10}, {.grace_ms = 50}};
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        struct bench b;
        struct rig_attempt a;
        struct sl_err err = SL_ERR_INIT;
        bench_open(&b, i, &s);
        if (b.rig.loop != NULL) {
            rig_prepare(&b.rig, &a);
            char *fifo = rig_fifo(&a);
            rig_dead_engine(&b.rig, &a, s.script, true);
            free(rig_await_line(fifo));
            free(fifo);
        } else {
            dead_engine(&b, &a, true);
        }
        rig_adopt(&b.rig, &a);
        SL_CHECK_OK(b.ops->cancel(&a.handle, &err), err);
        await(&b, &a);
        SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "cancelled");
        SL_CHECK_EQ_INT(a.result.signal, SIGTERM);
        rig_free(&a);
        bench_close(&b);
    }
}

SL_TEST(runners_conformance, probe__facts__name_the_backend)
{
    for (size_t i = 0; sl_runner_at(i) != NULL; i++) {
        struct bench b;
        struct sl_err err = SL_ERR_INIT;
        json_t *facts = NULL;
        bench_open(&b, i, &EXIT_7);
        SL_CHECK_OK(b.ops->probe(b.rig.runner, &facts, &err), err);
        SL_CHECK_EQ_STR(sl_json_str(facts, "runner", ""), b.ops->name);
        json_decref(facts);
        bench_close(&b);
    }
}
