/**
 * The step's birth: pipes, cgroups, limits, process group, exec.
 *
 * fork and clone are allowed here and only here: this process is small and has one thread.
 *
 * Thread: single; the child until exec uses system calls only. Must not: leak a descriptor.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

#define CLONE_INTO_CGROUP_FLAG 0x200000000ULL
#define KEYCTL_JOIN_SESSION    1 /* KEYCTL_JOIN_SESSION_KEYRING of linux/keyctl.h */

/* struct clone_args of linux/sched.h as of 5.7; that header is not there for every libc. */
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

struct failure {
    int error;
    int stage;
};

static const struct {
    const char *text;
    bool infra;
} stages[] = {
    {"cannot join the cgroup", true},
    {"cannot set the limits", true},
    {"cannot enter the working directory", false},
    {"cannot execute", false},
    {"cannot execute the sandbox", true},
};
enum { STAGE_CGROUP, STAGE_LIMITS, STAGE_CWD, STAGE_EXEC, STAGE_BOX };

extern char **environ;

SL_NORETURN static void give_up(int fd, int stage)
{
    struct failure f = {.error = errno, .stage = stage};
    ssize_t n = write(fd, &f, sizeof(f)); /* the parent sees the end of the pipe anyhow */
    _exit(n == (ssize_t)sizeof(f) ? 126 : 127);
}

static bool join_dir(const char *dir)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    return shim_write_file(path, "0");
}

static bool set_limits(const struct shim_spec *spec)
{
    struct rlimit data = {spec->rlimit_data, spec->rlimit_data};
    struct rlimit core = {0};
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0; /* a step that wants a core can raise it */
        (void)setrlimit(RLIMIT_CORE, &core);
    }
    struct rlimit file = {spec->disk_bytes, spec->disk_bytes};
    if (file.rlim_cur != 0 && setrlimit(RLIMIT_FSIZE, &file) != 0) {
        return false;
    }
    return data.rlim_cur == 0 || setrlimit(RLIMIT_DATA, &data) == 0;
}

/* exec itself resets what is caught; what this process ignores it would pass on. */
static void reset_signals(void)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};
    (void)sigaction(SIGHUP, &sa, NULL);
    (void)sigaction(SIGPIPE, &sa, NULL);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

SL_NORETURN static void child(const struct shim_spec *spec, const int fds[3], bool in_v2,
                              int error_fd)
{
    /* Should the shim die, nobody could tell how the step ends. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setpgid(0, 0);
    if (spec->cgroup_v2 != NULL && !in_v2 && !join_dir(spec->cgroup_v2)) {
        give_up(error_fd, STAGE_CGROUP);
    }
    for (size_t i = 0; i < spec->n_v1; i++) {
        if (!join_dir(spec->cgroup_v1[i])) {
            give_up(error_fd, STAGE_CGROUP);
        }
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(fds[i], i) < 0) {
            give_up(error_fd, STAGE_LIMITS);
        }
    }
    (void)umask(spec->umask);
    reset_signals();
    if (chdir(spec->cwd) != 0) {
        give_up(error_fd, STAGE_CWD);
    }
    if (!set_limits(spec)) {
        give_up(error_fd, STAGE_LIMITS);
    }
    if (spec->n_box > 0) {
        /* The engine's keys (Kerberos and the like) are reached through the session's keyring: the
         * step gets a new, empty one. Kernels without keyrings have none to lose. */
        (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION, NULL);
        shim_box_exec();
        give_up(error_fd, STAGE_BOX);
    }
    environ = (char **)(uintptr_t)spec->env;
    (void)execvp(spec->argv[0], (char *const *)(uintptr_t)spec->argv);
    give_up(error_fd, STAGE_EXEC);
}

/* As fork; with a cgroup the child is born inside it, which spares a slow migration. */
static pid_t fork_into(const char *cgroup_v2, bool *ret_inside)
{
    *ret_inside = false;
    int fd = cgroup_v2 != NULL ? open(cgroup_v2, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        struct clone_arguments args = {
            .flags = CLONE_INTO_CGROUP_FLAG, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
        *ret_inside = true;
        pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        int error = errno;
        (void)close(fd);
        if (pid >= 0) {
            return pid;
        }
        errno = error; /* an old kernel, or a filter: the child joins by itself */
        *ret_inside = false;
    }
    return fork();
}

static bool make_pipes(int out[2], int err[2], int failure[2], int *null_fd)
{
    *null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return *null_fd >= 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 &&
           pipe2(failure, O_CLOEXEC) == 0 && fcntl(out[0], F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(err[0], F_SETFL, O_NONBLOCK) == 0;
}

static void read_failure(int fd, struct shim_step *ret)
{
    struct failure f = {0};
    ssize_t n = 0;
    do {
        n = read(fd, &f, sizeof(f));
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(f) && f.stage >= 0 && (size_t)f.stage < SL_LEN(stages)) {
        ret->error = f.error;
        ret->stage = stages[f.stage].text;
        ret->infra = stages[f.stage].infra;
    }
}

void shim_step_start(const struct shim_spec *spec, struct shim_step *ret)
{
    int out[2] = {-1, -1};
    int err[2] = {-1, -1};
    int failure[2] = {-1, -1};
    int null_fd = -1;
    *ret = (struct shim_step){.pid = -1, .out_fd = -1, .err_fd = -1, .infra = true};
    if (!make_pipes(out, err, failure, &null_fd)) {
        ret->error = errno;
        ret->stage = "cannot make a pipe";
        return;
    }
    bool inside = false;
    pid_t pid = fork_into(spec->cgroup_v2, &inside);
    if (pid == 0) {
        const int fds[3] = {null_fd, out[1], err[1]};
        child(spec, fds, inside, failure[1]);
    }
    if (pid < 0) {
        ret->error = errno;
        ret->stage = "cannot create the process";
        return;
    }
    (void)close(out[1]);
    (void)close(err[1]);
    (void)close(failure[1]);
    (void)close(null_fd);
    ret->pid = pid;
    ret->out_fd = out[0];
    ret->err_fd = err[0];
    ret->infra = false;
    read_failure(failure[0], ret);
    (void)close(failure[0]);
}
