/**
 * Starting processes with posix_spawn (vfork-like: no page tables are copied), waiting by pidfd.
 *
 * Thread: any. Must not: fork, change this process's descriptors, directory or signals.
 */
#include "core/base/base.h"

#include "core/aio/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/time.h"

#define NS_PER_MS 1000000

/* The descriptors of one start: high private copies, so that no dup2 can hit a later source. */
struct fd_plan {
    int null_fd;
    int high[3 + SL_PROC_FDS_MAX];
    int to[3 + SL_PROC_FDS_MAX];
    size_t n;
    int to_max;
};

static void fd_plan_release(struct fd_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++) {
        (void)close(plan->high[i]);
    }
    if (plan->null_fd >= 0) {
        (void)close(plan->null_fd);
    }
}

static int fd_plan_add(struct fd_plan *plan, int from, int to, struct sl_err *err)
{
    for (size_t i = 0; i < plan->n; i++) {
        if (plan->to[i] == to) {
            return sl_err_set(err, SL_EINVAL, "descriptor %d is given to the child twice", to);
        }
    }
    int high = fcntl(from < 0 ? plan->null_fd : from, F_DUPFD_CLOEXEC, SL_PROC_FD_TO_MAX + 1);
    if (high < 0) {
        return errno == EBADF ? sl_err_set(err, SL_EINVAL, "descriptor %d is not open", from)
                              : sl_err_errno(err, errno, "cannot duplicate descriptor %d", from);
    }
    plan->high[plan->n] = high;
    plan->to[plan->n++] = to;
    plan->to_max = SL_MAX(plan->to_max, to);
    return 0;
}

static int fd_plan_init(struct fd_plan *plan, const struct sl_proc_spec *spec, struct sl_err *err)
{
    *plan = (struct fd_plan){.null_fd = -1};
    if (spec->n_fds > SL_PROC_FDS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a child gets at most %d extra descriptors, not %zu",
                          SL_PROC_FDS_MAX, spec->n_fds);
    }
    plan->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (plan->null_fd < 0) {
        return sl_err_errno(err, errno, "cannot open /dev/null");
    }
    int rc = fd_plan_add(plan, spec->stdin_fd, 0, err);
    rc = rc != 0 ? rc : fd_plan_add(plan, spec->stdout_fd, 1, err);
    rc = rc != 0 ? rc : fd_plan_add(plan, spec->stderr_fd, 2, err);
    for (size_t i = 0; rc == 0 && i < spec->n_fds; i++) {
        const struct sl_proc_fd *fd = &spec->fds[i];
        if (fd->to < 3 || fd->to > SL_PROC_FD_TO_MAX || fd->from < 0) {
            rc = sl_err_set(err, SL_EINVAL, "cannot give descriptor %d to the child as %d",
                            fd->from, fd->to);
        } else {
            rc = fd_plan_add(plan, fd->from, fd->to, err);
        }
    }
    return rc;
}

/* The child keeps exactly the targets: gaps below the highest are closed, and all above it. */
static int set_actions(posix_spawn_file_actions_t *actions, const struct fd_plan *plan,
                       const char *cwd)
{
    bool used[SL_PROC_FD_TO_MAX + 1] = {false};
    int status = 0;
    for (size_t i = 0; status == 0 && i < plan->n; i++) {
        status = posix_spawn_file_actions_adddup2(actions, plan->high[i], plan->to[i]);
        used[plan->to[i]] = true;
    }
    for (int fd = 0; status == 0 && fd <= plan->to_max; fd++) {
        if (!used[fd]) {
            status = posix_spawn_file_actions_addclose(actions, fd);
        }
    }
    if (status == 0) {
        status = posix_spawn_file_actions_addclosefrom_np(actions, plan->to_max + 1);
    }
    if (status == 0 && cwd != NULL) {
        status = posix_spawn_file_actions_addchdir_np(actions, cwd);
    }
    return status;
}

static int set_attributes(posix_spawnattr_t *attr, enum sl_proc_group group)
{
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    switch (group) {
    case SL_PROC_SAME_GROUP: break;
    case SL_PROC_NEW_GROUP: flags |= POSIX_SPAWN_SETPGROUP; break;
    case SL_PROC_NEW_SESSION: flags |= POSIX_SPAWN_SETSID; break;
    }
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    int status = posix_spawnattr_setsigdefault(attr, &all);
    status = status != 0 ? status : posix_spawnattr_setsigmask(attr, &none);
    status = status != 0 ? status : posix_spawnattr_setpgroup(attr, 0);
    return status != 0 ? status : posix_spawnattr_setflags(attr, flags);
}

/* posix_spawn reports one number for every step; find out which it was. */
static int explain(const struct sl_proc_spec *spec, const char *file, int status,
                   struct sl_err *err)
{
    struct stat st;
    if (spec->cwd != NULL && (stat(spec->cwd, &st) != 0 || !S_ISDIR(st.st_mode))) {
        return sl_err_set(err, SL_ENOTFOUND, "working directory '%s' does not exist", spec->cwd);
    }
    switch (status) {
    case ENOENT:
        if (file[0] == '/' && access(file, F_OK) == 0) {
            return sl_err_set(err, SL_EINVAL, "'%s' names an interpreter that does not exist",
                              file);
        }
        return sl_err_set(err, SL_ENOTFOUND, "program '%s' does not exist", file);
    case EACCES:
    case EPERM:
    case ENOEXEC:
    case EISDIR:
    case ENOTDIR:
    case ELOOP:
        return sl_err_set(err, SL_EINVAL, "'%s' cannot be executed: %s", file, strerror(status));
    case E2BIG:
        return sl_err_set(err, SL_ELIMIT, "arguments and environment of '%s' are too long", file);
    case EAGAIN:
    case ENOMEM:
        return sl_err_set(err, SL_EBUSY, "no process can be made for '%s': %s", file,
                          strerror(status));
    default: return sl_err_errno(err, status, "cannot start '%s'", file);
    }
}

static int do_spawn(const struct sl_proc_spec *spec, const char *file, const struct fd_plan *plan,
                    pid_t *ret_pid)
{
    static char *const no_env[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int status = posix_spawn_file_actions_init(&actions);
    if (status != 0) {
        return status;
    }
    status = posix_spawnattr_init(&attr);
    if (status != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return status;
    }
    status = set_actions(&actions, plan, spec->cwd);
    status = status != 0 ? status : set_attributes(&attr, spec->group);
    if (status == 0) {
        /* The prototype lacks a const that the standard promises in words. */
        char *const *argv = (char *const *)(uintptr_t)spec->argv;
        char *const *env = spec->env != NULL ? (char *const *)(uintptr_t)spec->env : no_env;
        status = posix_spawn(ret_pid, file, &actions, &attr, argv, env);
    }
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&actions);
    return status;
}

int sl_proc_spawn(const struct sl_proc_spec *spec, struct sl_proc *ret_proc, struct sl_err *err)
{
    SL_ASSERT(spec->argv != NULL);
    char found[SL_PROC_PATH_MAX];
    const char *file = spec->file != NULL ? spec->file : spec->argv[0];
    if (file == NULL || file[0] == '\0' || spec->argv[0] == NULL) {
        return sl_err_set(err, SL_EINVAL, "no program is named");
    }
    if (strchr(file, '/') == NULL) {
        int rc = sl_proc_lookup(file, spec->search_path, found, err);
        if (rc != 0) {
            return rc;
        }
        file = found;
    }
    struct fd_plan plan;
    struct sl_proc proc = SL_PROC_INIT;
    int rc = fd_plan_init(&plan, spec, err);
    if (rc == 0) {
        int status = do_spawn(spec, file, &plan, &proc.pid);
        rc = status != 0 ? explain(spec, file, status, err) : 0;
    }
    fd_plan_release(&plan);
    if (rc != 0) {
        return rc;
    }
    /* The child is ours and unreaped, so its number cannot mean another process yet. */
    proc.pidfd = pidfd_open(proc.pid, 0);
    if (proc.pidfd < 0) {
        rc = sl_err_errno(err, errno, "cannot open a pidfd");
    } else {
        rc = sl_proc_start_time(proc.pid, &proc.start_ticks, err);
    }
    if (rc != 0) {
        (void)kill(proc.pid, SIGKILL);
        (void)waitpid(proc.pid, NULL, 0);
        sl_proc_release(&proc);
        return rc;
    }
    *ret_proc = proc;
    return 0;
}

/* Reaps without blocking: 0 with *ret_running, or a code. */
static int try_reap(const struct sl_proc *proc, struct sl_proc_exit *ret_exit, bool *ret_running,
                    struct sl_err *err)
{
    siginfo_t info = {0};
    int status;
    do {
        status = waitid(P_PIDFD, (id_t)proc->pidfd, &info, WEXITED | WNOHANG);
    } while (status != 0 && errno == EINTR);
    if (status != 0) {
        return errno == ECHILD ? sl_err_set(err, SL_ENOTFOUND,
                                            "process %d is not a child, or was reaped", proc->pid)
                               : sl_err_errno(err, errno, "cannot wait for %d", proc->pid);
    }
    *ret_running = info.si_pid == 0;
    if (!*ret_running) {
        bool exited = info.si_code == CLD_EXITED;
        *ret_exit = (struct sl_proc_exit){.code = exited ? info.si_status & 0xff : -1,
                                          .signum = exited ? 0 : info.si_status,
                                          .dumped = info.si_code == CLD_DUMPED};
    }
    return 0;
}

int sl_proc_wait(const struct sl_proc *proc, int64_t timeout_ms, struct sl_proc_exit *ret_exit,
                 struct sl_err *err)
{
    int64_t end_ns = sl_mono_ns() + SL_MIN(timeout_ms, INT32_MAX) * NS_PER_MS;
    for (;;) {
        bool running = false;
        int rc = try_reap(proc, ret_exit, &running, err);
        if (rc != 0 || !running) {
            return rc;
        }
        int64_t left_ms = (end_ns - sl_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
        if (timeout_ms >= 0 && left_ms <= 0) {
            return sl_err_set(err, SL_ETIMEOUT, "process %d still runs after %lld ms", proc->pid,
                              (long long)timeout_ms);
        }
        struct pollfd pfd = {.fd = proc->pidfd, .events = POLLIN};
        if (poll(&pfd, 1, timeout_ms < 0 ? -1 : (int)SL_MIN(left_ms, INT_MAX)) < 0 &&
            errno != EINTR) {
            return sl_err_errno(err, errno, "cannot wait for %d", proc->pid);
        }
    }
}

int sl_proc_reap(const struct sl_proc *proc, struct sl_proc_exit *ret_exit, struct sl_err *err)
{
    bool running = false;
    int rc = try_reap(proc, ret_exit, &running, err);
    if (rc == 0 && running) {
        return sl_err_set(err, SL_EBUSY, "process %d still runs", proc->pid);
    }
    return rc;
}

int sl_proc_signal(int pidfd, int signum, struct sl_err *err)
{
    if (pidfd_send_signal(pidfd, signum, NULL, 0) == 0) {
        return 0;
    }
    return errno == ESRCH ? sl_err_set(err, SL_ENOTFOUND, "the process has ended")
                          : sl_err_errno(err, errno, "cannot send signal %d", signum);
}

void sl_proc_release(struct sl_proc *proc)
{
    if (proc->pidfd >= 0) {
        (void)close(proc->pidfd);
        proc->pidfd = -1;
    }
}
