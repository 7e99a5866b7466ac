/* What tests of runners share: a data directory, a loop, attempts, and an engine that can be killed. */
#ifndef SL_RUNNER_RIG_H
#define SL_RUNNER_RIG_H

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/aio/loop.h"
#include "core/aio/proc.h"
#include "core/base/mem.h"
#include "runners/runner.h"
#include "tests/support/sl_test.h"

static const char *const rig_env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", NULL};

struct rig {
    char *dir, *data;
    int data_fd;
    struct sl_loop *loop;
    struct sl_runner *runner;
    bool no_cgroups;
    int n_attempts;
};

/* One attempt and what became of it. */
struct rig_attempt {
    struct sl_attempt handle;
    struct sl_attempt_result result;
    int ends;
    char *dir;
    char id[SL_ID_HEX + 1];
};

static SL_UNUSED void rig_open_runner(struct rig *r)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_loop_new(&r->loop, &err), err);
    const struct sl_runner_ops *ops = sl_runner_find("local");
    const struct sl_runner_config config = {.loop = r->loop,
                                            .data_dirfd = r->data_fd,
                                            .data_dir = r->data,
                                            .no_cgroups = r->no_cgroups};
    SL_CHECK_OK(ops->open(&config, &r->runner, &err), err);
}

static SL_UNUSED void rig_open(struct rig *r)
{
    r->dir = sl_test_tmpdir();
    r->data = sl_test_path(r->dir, "data");
    SL_CHECK_EQ_INT(mkdir(r->data, 0755), 0);
    r->data_fd = open(r->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK(r->data_fd >= 0);
    rig_open_runner(r);
}

static SL_UNUSED void rig_close_runner(struct rig *r)
{
    r->runner->ops->close(r->runner);
    sl_loop_free(r->loop);
    r->runner = NULL;
    r->loop = NULL;
}

static SL_UNUSED void rig_close(struct rig *r)
{
    rig_close_runner(r);
    (void)close(r->data_fd);
    free(r->data);
    sl_test_rmdir(r->dir);
}

static SL_UNUSED void rig_on_end(struct sl_attempt *handle, const struct sl_attempt_result *result)
{
    struct rig_attempt *a = SL_CONTAINER_OF(handle, struct rig_attempt, handle);
    a->result = *result;
    a->ends++;
}

/* A fresh attempt directory with its work directory. */
static SL_UNUSED void rig_prepare(struct rig *r, struct rig_attempt *a)
{
    *a = (struct rig_attempt){.handle.on_end = rig_on_end};
    (void)snprintf(a->id, sizeof(a->id), "%032x", ++r->n_attempts);
    a->dir = sl_test_path(r->dir, a->id);
    char *work = sl_test_path(a->dir, "work");
    SL_CHECK_EQ_INT(mkdir(a->dir, 0755), 0);
    SL_CHECK_EQ_INT(mkdir(work, 0755), 0);
    free(work);
}

static SL_UNUSED void rig_start(struct rig *r, struct rig_attempt *a, const char *const *argv,
                                const struct sl_attempt_limits *limits)
{
    struct sl_err err = SL_ERR_INIT;
    const struct sl_attempt_spec spec = {.attempt_id = a->id,
                                         .attempt_dir = a->dir,
                                         .argv = argv,
                                         .env = rig_env,
                                         .limits = *limits};
    SL_CHECK_OK(r->runner->ops->start(r->runner, &spec, &a->handle, &err), err);
}

static SL_UNUSED void rig_go(struct rig *r, struct rig_attempt *a)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(r->runner->ops->go(&a->handle, &err), err);
}

static SL_UNUSED void rig_wait(struct rig *r, struct rig_attempt *a)
{
    while (a->ends == 0) {
        sl_loop_turn(r->loop, true);
    }
    SL_CHECK_EQ_INT(a->ends, 1);
}

/* Runs a shell script to its end. */
static SL_UNUSED void rig_sh(struct rig *r, struct rig_attempt *a, const char *script,
                             struct sl_attempt_limits limits)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    rig_prepare(r, a);
    rig_start(r, a, argv, &limits);
    rig_go(r, a);
    rig_wait(r, a);
}

/* Waits, without a clock, until the step has written a line into the fifo at `path`. */
static SL_UNUSED char *rig_await_line(const char *path)
{
    char text[64] = "";
    FILE *f = fopen(path, "re");
    SL_CHECK_NOT_NULL(f);
    SL_CHECK_NOT_NULL(fgets(text, sizeof(text), f));
    (void)fclose(f);
    return sl_strdup(text);
}

static SL_UNUSED char *rig_fifo(struct rig_attempt *a)
{
    char *work = sl_test_path(a->dir, "work");
    char *path = sl_test_path(work, "fifo");
    free(work);
    SL_CHECK_EQ_INT(mkfifo(path, 0644), 0);
    return path;
}

static SL_UNUSED bool rig_file(const struct rig_attempt *a, const char *name)
{
    char *path = sl_test_path(a->dir, name);
    bool there = sl_test_exists(path);
    free(path);
    return there;
}

static SL_UNUSED void rig_free(struct rig_attempt *a)
{
    free(a->dir);
    a->dir = NULL;
}

/*
 * An engine in a process of its own: starts the attempt (and lets it go), tells its identity, and is
 * killed with SIGKILL. The caller's attempt then holds that identity.
 */
static SL_UNUSED void rig_dead_engine(struct rig *r, struct rig_attempt *a, const char *script,
                                      bool go)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    const struct sl_attempt_limits none = {.grace_ms = 200};
    int tell[2];
    SL_CHECK_EQ_INT(pipe2(tell, O_CLOEXEC), 0);
    pid_t engine = fork();
    SL_CHECK(engine >= 0);
    if (engine == 0) {
        struct rig own = *r;
        rig_open_runner(&own);
        rig_start(&own, a, argv, &none);
        if (go) {
            rig_go(&own, a);
        }
        ssize_t n = write(tell[1], &a->handle.identity, sizeof(a->handle.identity));
        (void)n;
        for (;;) {
            (void)pause();
        }
    }
    (void)close(tell[1]);
    SL_CHECK_EQ_INT(read(tell[0], &a->handle.identity, sizeof(a->handle.identity)),
                    (ssize_t)sizeof(a->handle.identity));
    (void)close(tell[0]);
    SL_CHECK_EQ_INT(kill(engine, SIGKILL), 0);
    SL_CHECK_EQ_INT(waitpid(engine, NULL, 0), engine);
}

/* A descriptor that becomes readable when the attempt's shim ends. */
static SL_UNUSED int rig_shim_pidfd(const struct rig_attempt *a)
{
    const struct sl_attempt_identity *id = &a->handle.identity;
    struct sl_err err = SL_ERR_INIT;
    int pidfd = -1;
    int rc = sl_proc_open_identity((pid_t)id->pid, id->start_time, id->boot_id, &pidfd, &err);
    SL_CHECK(rc == 0 || rc == -SL_ENOTFOUND);
    return pidfd;
}

static SL_UNUSED void rig_await_shim(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    SL_CHECK(pidfd < 0 || poll(&p, 1, -1) == 1);
    sl_cleanup_close(&pidfd);
}

static SL_UNUSED void rig_adopt(struct rig *r, struct rig_attempt *a)
{
    struct sl_err err = SL_ERR_INIT;
    const struct sl_attempt_identity identity = a->handle.identity;
    SL_CHECK_OK(r->runner->ops->adopt(r->runner, &identity, a->dir, &a->handle, &err), err);
    SL_CHECK_EQ_INT(a->ends, 0); /* never from inside */
}

/* Every directory named in the identity is gone. */
static SL_UNUSED void rig_check_no_cgroup(const struct rig_attempt *a)
{
    char *copy = sl_strdup(a->handle.identity.cgroup);
    char *rest = copy;
    for (char *dir = strsep(&rest, ":"); dir != NULL; dir = strsep(&rest, ":")) {
        SL_CHECK_MSG(dir[0] == '\0' || access(dir, F_OK) != 0, "cgroup %s is left", dir);
    }
    free(copy);
}

#endif
