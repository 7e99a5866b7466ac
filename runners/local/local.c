/**
 * The backend of this machine: one shim per attempt.
 *
 *   start: spec in memory -> shim, blocked     (any thread)
 *   go:    watch its pidfd, send 'G'           (loop)
 *   end:   pidfd readable -> reap -> exit record -> on_end
 *   adopt: record | boot id | live shim | marker, in this order, decide what became of it
 *
 * Thread: loop, except start. Must not: fork, block the loop, or signal by a bare pid.
 */
#include "core/base/base.h"

#include "runners/local/local_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "runners/local/record.h"
#include "runners/local/shim_image.h"
#include "runners/local/shim_secret.h"
#include "runners/local/shim_spec.h"

#define DISCARD_WAIT_MS 2000 /* close: for shims told to end */
#define SHIM_SPEC_FD    3
#define SHIM_START_FD   4

static struct local_runner *local_of(struct sl_runner *runner)
{
    SL_ASSERT(runner->ops == &sl_runner_ops_local);
    return SL_CONTAINER_OF(runner, struct local_runner, base);
}

static int local_open(const struct sl_runner_config *config, struct sl_runner **ret,
                      struct sl_err *err)
{
    struct local_runner *r = SL_NEW(struct local_runner);
    struct stat st;
    r->base.ops = &sl_runner_ops_local;
    r->loop = config->loop;
    char path[SL_SHIM_PATH_BYTES];
    int rc = sl_shim_install(config->data_dirfd, path, err);
    rc = rc < 0 ? rc : sl_proc_boot_id(r->boot_id, err);
    if (rc == 0 && fstat(config->data_dirfd, &st) != 0) {
        rc = sl_err_errno(err, errno, "cannot look at the data directory");
    }
    if (rc == 0) {
        const struct sl_cgroup_options options = {
            .parent = config->cgroup_parent,
            .none = config->no_cgroups,
            .owner = (uint64_t)st.st_ino ^ ((uint64_t)st.st_dev << 40),
        };
        rc = sl_cgroup_probe(&options, &r->cgroups, err);
    }
    if (rc < 0) {
        free(r);
        return rc;
    }
    r->shim_path = sl_asprintf("%s/%s", config->data_dir, path);
    const struct sl_sandbox_config box = {.data_dirfd = config->data_dirfd,
                                          .data_dir = config->data_dir};
    r->sandbox = sl_sandbox_new(&box);
    *ret = &r->base;
    return 0;
}

static int local_probe(struct sl_runner *runner, json_t **ret_facts, struct sl_err *err)
{
    (void)err; /* all facts were found by open */
    const struct local_runner *r = local_of(runner);
    json_t *facts = json_object();
    sl_json_set_str(facts, "runner", "local");
    sl_json_set_str(facts, "boot_id", r->boot_id);
    sl_json_set_str(facts, "shim", strrchr(r->shim_path, '/') + 1);
    sl_json_set_i64(facts, "cpus", sysconf(_SC_NPROCESSORS_ONLN));
    sl_json_set_i64(facts, "memory_bytes",
                    (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE));
    (void)json_object_set_new(facts, "cgroup", sl_cgroup_facts_json(&r->cgroups));
    json_t *sandbox = sl_sandbox_json(r->sandbox);
    if (sandbox != NULL) { /* the trial is made when somebody asks */
        (void)json_object_set_new(facts, "sandbox", sandbox);
    }
    *ret_facts = facts;
    return 0;
}

static int local_can_isolate(struct sl_runner *runner, enum sl_isolation level, struct sl_err *err)
{
    return level == SL_ISOLATION_NONE ? 0 : sl_sandbox_check(local_of(runner)->sandbox, err);
}

static struct local_attempt *attempt_new(struct local_runner *r, struct sl_attempt *owner)
{
    struct local_attempt *a = SL_NEW(struct local_attempt);
    a->runner = r;
    a->owner = owner;
    a->start_fd = -1;
    a->dirfd = -1;
    a->proc = SL_PROC_INIT;
    owner->runner = &r->base;
    owner->impl = a;
    (void)atomic_fetch_add(&r->live, 1);
    return a;
}

void sl_local_attempt_free(struct local_attempt *a)
{
    if (a->owner != NULL) {
        a->owner->impl = NULL;
    }
    if (a->post.queued) { /* never while start, which may be on another thread, cleans up */
        (void)sl_loop_unpost(a->runner->loop, &a->post);
    }
    sl_fdwatch_stop(&a->watch);
    sl_proc_release(&a->proc);
    sl_cleanup_close(&a->start_fd);
    sl_cleanup_close(&a->dirfd);
    (void)atomic_fetch_sub(&a->runner->live, 1);
    free(a);
}

static void fill_identity(const struct local_runner *r, const struct sl_attempt_spec *spec,
                          const char *nonce, struct sl_attempt_identity *id)
{
    *id = (struct sl_attempt_identity){.mode = r->cgroups.mode};
    memcpy(id->attempt_id, spec->attempt_id, sizeof(id->attempt_id));
    memcpy(id->nonce, nonce, sizeof(id->nonce));
    (void)snprintf(id->boot_id, sizeof(id->boot_id), "%s", r->boot_id);
    sl_cgroup_dirs(&r->cgroups, nonce, &spec->limits, id->cgroup, sizeof(id->cgroup));
    sl_sandbox_text(r->sandbox, &spec->sandbox, id->isolation);
}

static int spawn_shim(struct local_attempt *a, const struct sl_attempt_spec *spec,
                      struct sl_err *err)
{
    struct sl_attempt_identity *id = &a->owner->identity;
    const struct sl_shim_world world = {&a->runner->cgroups, a->runner->sandbox};
    _cleanup_(close)
    int spec_fd = sl_shim_spec_fd(spec, id->nonce, &world, err);
    if (spec_fd < 0) {
        return spec_fd;
    }
    /* A socket rather than a pipe: writing to a shim that died must not raise SIGPIPE. */
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return sl_err_errno(err, errno, "cannot make the start pipe");
    }
    a->start_fd = pair[0];
    _cleanup_(close)
    int shim_end = pair[1];
    const char *const argv[] = {"sluice-shim", id->nonce, id->attempt_id, NULL};
    const struct sl_proc_fd fds[] = {{spec_fd, SHIM_SPEC_FD}, {shim_end, SHIM_START_FD}};
    struct sl_proc_spec proc = SL_PROC_SPEC_INIT;
    proc.file = a->runner->shim_path;
    proc.argv = argv;
    proc.cwd = spec->attempt_dir;
    proc.fds = fds;
    proc.n_fds = SL_LEN(fds);
    proc.group = SL_PROC_NEW_SESSION;
    int rc = sl_proc_spawn(&proc, &a->proc, err);
    if (rc < 0) {
        return sl_err_wrap(err, "cannot start the shim");
    }
    a->own_child = true;
    id->pid = a->proc.pid;
    id->start_time = a->proc.start_ticks;
    return 0;
}

/* A shim whose start pipe was closed ends at once. */
static void await_discarded(const struct local_attempt *a)
{
    struct sl_proc_exit ignored_exit;
    struct sl_err ignored = SL_ERR_INIT;
    if (sl_proc_wait(&a->proc, DISCARD_WAIT_MS, &ignored_exit, &ignored) < 0) {
        return; /* stuck in the kernel: it ends by itself, unstarted */
    }
}

static int local_start(struct sl_runner *runner, const struct sl_attempt_spec *spec,
                       struct sl_attempt *attempt, struct sl_err *err)
{
    struct local_runner *r = local_of(runner);
    int rc = sl_attempt_spec_check(spec, err);
    if (rc < 0) {
        return rc;
    }
    int fault = SL_FAULT_POINT(RUNNER_SPAWN);
    if (fault != 0) {
        return sl_err_errno(err, fault, "cannot start the shim");
    }
    char nonce[SL_ID_HEX + 1];
    if (spec->nonce != NULL) {
        memcpy(nonce, spec->nonce, sizeof(nonce));
    } else {
        (void)sl_id_new(NULL, nonce);
    }
    struct local_attempt *a = attempt_new(r, attempt);
    rc = local_can_isolate(runner, spec->sandbox.level, err);
    if (rc < 0) {
        sl_local_attempt_free(a);
        return rc;
    }
    fill_identity(r, spec, nonce, &attempt->identity);
    a->dirfd = sl_opendir_at(AT_FDCWD, spec->attempt_dir, err);
    rc = a->dirfd < 0 ? a->dirfd : spawn_shim(a, spec, err);
    fault = rc == 0 ? SL_FAULT_POINT(RUNNER_SPAWNED) : 0;
    if (fault != 0) {
        rc = sl_err_errno(err, fault, "cannot start the shim");
        sl_cleanup_close(&a->start_fd);
        a->start_fd = -1;
        await_discarded(a);
    }
    if (rc < 0) {
        sl_local_attempt_free(a);
    }
    return rc;
}

/* The callback may free the owner, so everything of ours goes first. */
static void deliver(struct local_attempt *a, const struct sl_attempt_result *result)
{
    struct sl_attempt *owner = a->owner;
    const struct sl_attempt_result copy = *result;
    sl_local_attempt_free(a);
    owner->on_end(owner, &copy);
}

static void on_shim_end(struct sl_fdwatch *watch, unsigned events)
{
    (void)events;
    struct local_attempt *a = SL_CONTAINER_OF(watch, struct local_attempt, watch);
    struct sl_attempt_result result;
    sl_fdwatch_stop(watch);
    sl_local_conclude(a, &result);
    deliver(a, &result);
}

static void on_post(struct sl_post *post)
{
    struct local_attempt *a = SL_CONTAINER_OF(post, struct local_attempt, post);
    deliver(a, &a->result);
}

static int watch(struct local_attempt *a, struct sl_err *err)
{
    a->watch.fn = on_shim_end;
    int rc = sl_fdwatch_start(a->runner->loop, &a->watch, a->proc.pidfd, SL_FD_READ, err);
    return rc < 0 ? sl_err_wrap(err, "cannot watch the shim") : 0;
}

static int local_go(struct sl_attempt *attempt, struct sl_err *err)
{
    struct local_attempt *a = attempt->impl;
    SL_ASSERT(a != NULL);
    SL_ON_LOOP(a->runner->loop);
    if (a->went) {
        return 0;
    }
    SL_ASSERT(attempt->on_end != NULL);
    int fault = SL_FAULT_POINT(RUNNER_GO);
    int rc = fault != 0 ? sl_err_errno(err, fault, "cannot start the step") : watch(a, err);
    if (rc < 0) {
        return rc;
    }
    a->went = true;
    if (!a->cancelled) {
        /* A shim that died meanwhile is seen through its pidfd. */
        (void)send(a->start_fd, "G", 1, MSG_NOSIGNAL);
        (void)SL_FAULT_POINT(RUNNER_WENT); /* only to be killed at: it runs */
    }
    sl_cleanup_close(&a->start_fd);
    a->start_fd = -1;
    return 0;
}

static int local_cancel(struct sl_attempt *attempt, struct sl_err *err)
{
    struct local_attempt *a = attempt->impl;
    if (a == NULL) {
        return 0; /* it has ended */
    }
    SL_ON_LOOP(a->runner->loop);
    a->cancelled = true;
    if (a->proc.pidfd < 0) {
        return 0; /* adopted, and its end is on the way */
    }
    int rc = sl_proc_signal(a->proc.pidfd, SIGTERM, err);
    return rc == -SL_ENOTFOUND ? 0 : rc;
}

static int local_adopt(struct sl_runner *runner, const struct sl_attempt_identity *identity,
                       const char *attempt_dir, struct sl_attempt *attempt, struct sl_err *err)
{
    struct local_runner *r = local_of(runner);
    SL_ON_LOOP(r->loop);
    SL_ASSERT(attempt->on_end != NULL);
    struct local_attempt *a = attempt_new(r, attempt);
    attempt->identity = *identity;
    a->went = true;
    struct sl_err ignored = SL_ERR_INIT;
    a->dirfd = sl_opendir_at(AT_FDCWD, attempt_dir, &ignored); /* gone: judged without it */
    int rc = 0;
    if (sl_local_find_shim(a, identity)) {
        rc = watch(a, err);
        if (rc < 0) {
            sl_local_attempt_free(a);
        }
        return rc;
    }
    sl_local_conclude(a, &a->result);
    a->post.fn = on_post;
    sl_loop_post(r->loop, &a->post);
    return 0;
}

/* A shim that nobody owns any more: reaped when it ends. */
static void on_orphan_exit(struct sl_fdwatch *watched, unsigned events)
{
    (void)events;
    struct local_attempt *a = SL_CONTAINER_OF(watched, struct local_attempt, watch);
    sl_local_forget_orphan(a);
}

static void local_release(struct sl_attempt *attempt)
{
    struct local_attempt *a = attempt->impl;
    if (a == NULL) {
        return;
    }
    struct local_runner *r = a->runner;
    SL_ON_LOOP(r->loop);
    sl_fdwatch_stop(&a->watch);
    sl_cleanup_close(&a->start_fd); /* a blocked shim ends now */
    a->start_fd = -1;
    attempt->impl = NULL;
    a->owner = NULL;
    struct sl_err ignored = SL_ERR_INIT;
    a->watch.fn = on_orphan_exit;
    if (!a->own_child ||
        sl_fdwatch_start(r->loop, &a->watch, a->proc.pidfd, SL_FD_READ, &ignored) < 0) {
        sl_local_attempt_free(a);
        return;
    }
    a->next_orphan = r->orphans;
    r->orphans = a;
}

static int local_sweep(struct sl_runner *runner, const char *const *known, size_t n,
                       struct sl_err *err)
{
    (void)err; /* what cannot be listed cannot be ours */
    const struct sl_cgroup_facts *facts = &local_of(runner)->cgroups;
    return sl_cgroup_sweep(facts, known, n) + sl_shim_secret_sweep(facts->prefix, known, n);
}

static void local_close(struct sl_runner *runner)
{
    if (runner == NULL) {
        return;
    }
    struct local_runner *r = local_of(runner);
    while (r->orphans != NULL) {
        struct local_attempt *a = r->orphans;
        if (!a->went) {
            await_discarded(a);
        }
        r->orphans = a->next_orphan;
        sl_local_attempt_free(a);
    }
    SL_ASSERT(atomic_load(&r->live) == 0);
    sl_sandbox_free(r->sandbox);
    free(r->shim_path);
    free(r);
}

const struct sl_runner_ops sl_runner_ops_local = {
    .name = "local",
    .text = "processes of this machine, each under a shim that outlives the engine",
    .caps =
        SL_RUNNER_CAP_PROCESSES | SL_RUNNER_CAP_ADOPT | SL_RUNNER_CAP_GPU | SL_RUNNER_CAP_SANDBOX,
    .open = local_open,
    .probe = local_probe,
    .can_isolate = local_can_isolate,
    .start = local_start,
    .go = local_go,
    .cancel = local_cancel,
    .adopt = local_adopt,
    .release = local_release,
    .sweep = local_sweep,
    .close = local_close,
};
