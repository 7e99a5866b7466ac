/**
 * Drives the engine over one pipeline file and prints what it took. Caching is as the file says.
 *
 * usage: perf_engine_bench DATA_DIR FILE ROUNDS
 *
 * Each round submits FILE once and waits for its end. One JSON line per round: wall and CPU seconds (of
 * this process and of its reaped children), steps, peak memory.
 * Leaves DATA_DIR as it is, so that a later call measures on its history.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/base/time.h"
#include "pipelines/engine/engine.h"
#include "pipelines/run/submission.h"

struct bench {
    struct sl_loop *loop;
    struct sl_engine *engine;
    struct sl_engine_subscriber subscriber;
    struct sl_submit submit;
    uint32_t n_steps; /* ended so far */
    int state;        /* of the run, once final */
};

SL_NORETURN static void give_up(const char *what, const struct sl_err *err)
{
    (void)fprintf(stderr, "engine_bench: %s: %s\n", what, err->msg);
    exit(1);
}

static void on_event(struct sl_engine_subscriber *s, const struct sl_engine_event *ev)
{
    struct bench *b = s->data;
    if (ev->kind == SL_J_STEP && sl_step_state_final((enum sl_step_state)ev->to)) {
        b->n_steps++;
    }
    if (ev->kind == SL_J_RUN &&
        (sl_engine_failure(b->engine) != NULL || sl_run_machine.states[ev->to].final)) {
        b->state = ev->to;
        sl_loop_stop(b->loop);
    }
}

static void submitted(struct sl_submit *s)
{
    if (s->rc < 0) {
        give_up("submit", &s->err);
    }
}

static json_t *request_of(struct bench *b, const char *file)
{
    struct sl_arena a;
    struct sl_diags diags;
    struct sl_loaded loaded;
    struct sl_err err = SL_ERR_INIT;
    const struct sl_submission_opts opts = {.actor = "bench"};
    json_t *request = NULL;
    sl_arena_init(&a, 0);
    sl_diags_init(&diags, &a);
    if (sl_pipeline_load(file, NULL, 0, &a, &diags, &loaded, &err) < 0) {
        struct sl_buf out = SL_BUF_INIT(1 << 20);
        sl_diags_print(&diags, false, &out);
        (void)fprintf(stderr, "%s", sl_buf_str(&out));
        give_up(file, &err);
    }
    if (sl_submission_build(&loaded, sl_engine_workspace(b->engine)->blobs, &opts, &request, &err) <
        0) {
        give_up(file, &err);
    }
    sl_diags_release(&diags);
    sl_arena_release(&a);
    return request;
}

static double cpu_s(int who)
{
    struct rusage u;
    (void)getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void one_round(struct bench *b, const char *file)
{
    struct rusage peak;
    double self = cpu_s(RUSAGE_SELF);
    double children = cpu_s(RUSAGE_CHILDREN);
    int64_t start = sl_mono_ns();
    b->n_steps = 0;
    b->submit = (struct sl_submit){.request = request_of(b, file), .done = submitted, .data = b};
    sl_engine_submit(b->engine, &b->submit);
    sl_loop_run(b->loop);
    double wall = (double)(sl_mono_ns() - start) / 1e9;
    if (sl_engine_failure(b->engine) != NULL) {
        give_up("engine", sl_engine_failure(b->engine));
    }
    (void)getrusage(RUSAGE_SELF, &peak);
    (void)printf("{\"steps\":%u,\"state\":\"%s\",\"run\":\"%s\",\"wall_s\":%.4f,"
                 "\"self_cpu_s\":%.4f,\"child_cpu_s\":%.4f,\"peak_rss_mb\":%.1f}\n",
                 b->n_steps, sl_sm_name(&sl_run_machine, b->state), b->submit.run_id, wall,
                 cpu_s(RUSAGE_SELF) - self, cpu_s(RUSAGE_CHILDREN) - children,
                 (double)peak.ru_maxrss / 1024.0);
    (void)fflush(stdout);
    json_decref(b->submit.request);
}

int main(int argc, char **argv)
{
    struct sl_err err = SL_ERR_INIT;
    struct bench b = {.subscriber = {.fn = on_event}};
    if (argc != 4) {
        (void)fprintf(stderr, "usage: perf_engine_bench DATA_DIR FILE ROUNDS\n");
        return 2;
    }
    const struct sl_engine_opts opts = {.path = argv[1]};
    b.subscriber.data = &b;
    if (sl_workspace_init(argv[1], &err) < 0 || sl_loop_new(&b.loop, &err) < 0 ||
        sl_engine_open(b.loop, &opts, &b.engine, &err) < 0) {
        give_up(argv[1], &err);
    }
    sl_engine_subscribe(b.engine, &b.subscriber);
    for (long i = strtol(argv[3], NULL, 10); i > 0; i--) {
        one_round(&b, argv[2]);
    }
    sl_engine_unsubscribe(b.engine, &b.subscriber);
    sl_engine_close(b.engine);
    sl_loop_free(b.loop);
    return 0;
}
