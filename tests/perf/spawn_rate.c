/*
 * How many trivial steps per second pass through shims, beside plain posix_spawn of the same program,
 * with 2 and 8 in flight. Prints one JSON line. Arguments: [steps] [directory].
 *
 * Thread: one, the loop. Must not: be part of the tests (its figures depend on the machine).
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/aio/loop.h"
#include "core/aio/proc.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/time.h"
#include "runners/runner.h"

#define STEPS_DEFAULT 2000
#define FLIGHT_MAX    8

static const char *const step_argv[] = {"/bin/true", NULL};
static const char *const step_env[] = {"PATH=/usr/bin:/bin", NULL};

struct perf;

struct slot {
    struct perf *perf;
    struct sl_attempt attempt;
    struct sl_proc proc;
    struct sl_fdwatch watch;
};

struct perf {
    struct sl_loop *loop;
    struct sl_runner *runner;
    const char *dir;
    int round, steps, begun, ended, failed;
    int64_t start_ns; /* spent in start and go: the loop is blocked so long */
    bool shims;
    struct slot slots[FLIGHT_MAX];
};

static void begin(struct slot *s);

SL_NORETURN static void give_up(const char *what, const struct sl_err *err)
{
    (void)fprintf(stderr, "spawn_rate: %s: %s\n", what, err->msg);
    exit(1);
}

static void ended(struct slot *s, bool ok)
{
    struct perf *p = s->perf;
    p->ended++;
    p->failed += ok ? 0 : 1;
    if (p->begun < p->steps) {
        begin(s);
    } else if (p->ended == p->steps) {
        sl_loop_stop(p->loop);
    }
}

static void on_end(struct sl_attempt *attempt, const struct sl_attempt_result *result)
{
    ended(SL_CONTAINER_OF(attempt, struct slot, attempt),
          result->class == SL_CLASS_EXIT && result->exit_code == 0);
}

static void on_plain_end(struct sl_fdwatch *watch, unsigned events)
{
    (void)events;
    struct slot *s = SL_CONTAINER_OF(watch, struct slot, watch);
    struct sl_proc_exit end = {.code = -1};
    struct sl_err err = SL_ERR_INIT;
    sl_fdwatch_stop(watch);
    int rc = sl_proc_reap(&s->proc, &end, &err);
    sl_proc_release(&s->proc);
    ended(s, rc == 0 && end.code == 0);
}

static void begin_plain(struct slot *s)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = step_argv;
    spec.env = step_env;
    s->watch = (struct sl_fdwatch){.fn = on_plain_end};
    if (sl_proc_spawn(&spec, &s->proc, &err) < 0 ||
        sl_fdwatch_start(s->perf->loop, &s->watch, s->proc.pidfd, SL_FD_READ, &err) < 0) {
        give_up("posix_spawn", &err);
    }
}

static void begin_shim(struct slot *s)
{
    struct perf *p = s->perf;
    struct sl_err err = SL_ERR_INIT;
    char id[SL_ID_HEX + 1];
    char dir[SL_RUNNER_PATH_MAX];
    char work[SL_RUNNER_PATH_MAX + 8];
    (void)snprintf(id, sizeof(id), "%032x", p->round * 1000000 + p->begun);
    (void)snprintf(dir, sizeof(dir), "%s/%s", p->dir, id);
    (void)snprintf(work, sizeof(work), "%s/work", dir);
    if (mkdir(dir, 0755) != 0 || mkdir(work, 0755) != 0) {
        (void)sl_err_errno(&err, errno, "%s", dir);
        give_up("mkdir", &err);
    }
    const struct sl_attempt_spec spec = {
        .attempt_id = id, .attempt_dir = dir, .argv = step_argv, .env = step_env};
    s->attempt = (struct sl_attempt){.on_end = on_end};
    if (p->runner->ops->start(p->runner, &spec, &s->attempt, &err) < 0 ||
        p->runner->ops->go(&s->attempt, &err) < 0) {
        give_up("start", &err);
    }
}

static void begin(struct slot *s)
{
    int64_t from = sl_mono_ns();
    s->perf->begun++;
    if (s->perf->shims) {
        begin_shim(s);
    } else {
        begin_plain(s);
    }
    s->perf->start_ns += sl_mono_ns() - from;
}

/* Steps per second; in *ret_us what beginning one blocks the loop, on average. */
static double measure(struct perf *p, bool shims, int flight, double *ret_us)
{
    p->shims = shims;
    p->round++;
    p->begun = 0;
    p->ended = 0;
    p->start_ns = 0;
    int64_t from = sl_mono_ns();
    for (int i = 0; i < flight; i++) {
        p->slots[i].perf = p;
        begin(&p->slots[i]);
    }
    sl_loop_run(p->loop);
    *ret_us = (double)p->start_ns / 1000.0 / p->steps;
    return p->steps / ((double)(sl_mono_ns() - from) / 1e9);
}

static void report(struct perf *p)
{
    static const int flights[] = {2, 8};
    printf("{\"bench\":\"spawn_rate\",\"steps\":%d", p->steps);
    for (size_t i = 0; i < SL_LEN(flights); i++) {
        double plain_us = 0;
        double shim_us = 0;
        double plain = measure(p, false, flights[i], &plain_us);
        double shim = measure(p, true, flights[i], &shim_us);
        printf(",\"in_flight_%d\":{\"plain_per_s\":%.0f,\"shim_per_s\":%.0f,\"ratio\":%.2f,"
               "\"shim_adds_us\":%.0f,\"start_blocks_us\":%.0f}",
               flights[i], plain, shim, shim / plain, 1e6 / shim - 1e6 / plain, shim_us);
    }
    printf(",\"failed\":%d}\n", p->failed);
}

int main(int argc, char **argv)
{
    static struct perf p = {.steps = STEPS_DEFAULT};
    struct sl_err err = SL_ERR_INIT;
    int64_t steps = 0;
    if (argc > 1 && sl_parse_i64(argv[1], &steps) && steps > FLIGHT_MAX && steps < 1000000) {
        p.steps = (int)steps;
    }
    char dir[64] = "/tmp/sluice-spawn-rate-XXXXXX";
    p.dir = argc > 2 ? argv[2] : mkdtemp(dir);
    int fd = p.dir != NULL ? sl_opendir_at(AT_FDCWD, p.dir, &err) : -1;
    if (fd < 0 || sl_loop_new(&p.loop, &err) < 0) {
        give_up("directory", &err);
    }
    const struct sl_runner_ops *ops = sl_runner_find("local");
    const struct sl_runner_config config = {.loop = p.loop, .data_dirfd = fd, .data_dir = p.dir};
    if (ops->open(&config, &p.runner, &err) < 0) {
        give_up("runner", &err);
    }
    report(&p);
    ops->close(p.runner);
    sl_loop_free(p.loop);
    (void)close(fd);
    if (argc <= 2 && sl_remove_tree_at(AT_FDCWD, p.dir, &err) < 0) {
        give_up("removing the directory", &err);
    }
    return p.failed == 0 ? 0 : 1;
}
