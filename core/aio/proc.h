/**
 * Processes: start by posix_spawn, wait by pidfd, and identity that survives pid reuse.
 *
 * Thread: any. Must not: fork (a large parent would stall), reap children that it did not start,
 * or install signal handlers.
 */
#ifndef SL_AIO_PROC_H
#define SL_AIO_PROC_H

#include <sys/types.h>

#include "core/base/err.h"

#define SL_PROC_FDS_MAX   16  /* extra descriptors of one child */
#define SL_PROC_FD_TO_MAX 255 /* highest descriptor number a child is given */
#define SL_PROC_PATH_MAX  4096
#define SL_PROC_BOOT_ID   37 /* 36 characters and NUL */

enum sl_proc_group {
    SL_PROC_SAME_GROUP,
    SL_PROC_NEW_GROUP,   /* setpgid(0, 0) */
    SL_PROC_NEW_SESSION, /* setsid */
};

struct sl_proc_fd {
    int from; /* open here; keeps its own CLOEXEC flag */
    int to;   /* number in the child, 3..SL_PROC_FD_TO_MAX, each once */
};

/** What to start. Everything is borrowed during the call only. */
struct sl_proc_spec {
    const char *file;        /* NULL: argv[0]. With a slash: as is; else looked up in search_path */
    const char *const *argv; /* NULL-terminated, at least one */
    const char *const *env;  /* complete, "NAME=value", NULL-terminated; NULL: empty */
    const char *search_path; /* PATH syntax; relative components are skipped; NULL: no lookup */
    const char *cwd;         /* NULL: inherit */
    int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null */
    const struct sl_proc_fd *fds;
    size_t n_fds;
    enum sl_proc_group group;
};
#define SL_PROC_SPEC_INIT ((struct sl_proc_spec){.stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1})

struct sl_proc {
    pid_t pid;
    int pidfd;            /* CLOEXEC; readable (poll, sl_fdwatch) once the process has ended */
    uint64_t start_ticks; /* field 22 of /proc/PID/stat: clock ticks since boot */
};
#define SL_PROC_INIT ((struct sl_proc){.pid = -1, .pidfd = -1})

/** How it ended. */
struct sl_proc_exit {
    int code;    /* 0..255, or -1 when a signal ended it */
    int signum;  /* 0, or the signal */
    bool dumped; /* it left a core */
};

/**
 * Starts a child with default signal dispositions, an empty signal mask, exactly the descriptors
 * named, and the environment given.
 *
 * @return 0; -SL_ENOTFOUND when the program or cwd does not exist (message names which);
 *         -SL_EINVAL when it cannot be executed or the spec is malformed; -SL_ELIMIT past a named
 *         maximum or the kernel's argument limit; -SL_EBUSY when no process can be made.
 * Owner: caller; reap with sl_proc_wait or sl_proc_reap, then sl_proc_release. Blocks: until exec.
 */
int sl_proc_spawn(const struct sl_proc_spec *spec, struct sl_proc *ret_proc, struct sl_err *err)
    SL_MUST_CHECK;

/**
 * Waits for the child's end and reaps it.
 *
 * @param timeout_ms  negative waits for ever
 * @return            0, -SL_ETIMEOUT (still running), -SL_ENOTFOUND when it is not our child
 * Blocks: yes; on the loop use sl_fdwatch on pidfd and sl_proc_reap.
 */
int sl_proc_wait(const struct sl_proc *proc, int64_t timeout_ms, struct sl_proc_exit *ret_exit,
                 struct sl_err *err) SL_MUST_CHECK;
/** As sl_proc_wait with timeout 0: -SL_EBUSY instead of -SL_ETIMEOUT while it runs. */
int sl_proc_reap(const struct sl_proc *proc, struct sl_proc_exit *ret_exit, struct sl_err *err)
    SL_MUST_CHECK;

/** Sends a signal to exactly this process. -SL_ENOTFOUND when it has ended. */
int sl_proc_signal(int pidfd, int signum, struct sl_err *err) SL_MUST_CHECK;

/** Closes the pidfd; neither kills nor reaps. Idempotent. */
void sl_proc_release(struct sl_proc *proc);

/** Looks a program up: the first executable regular file. -SL_ENOTFOUND names program and path. */
int sl_proc_lookup(const char *program, const char *search_path, char ret_path[SL_PROC_PATH_MAX],
                   struct sl_err *err) SL_MUST_CHECK;

/** The kernel's boot id (/proc/sys/kernel/random/boot_id). */
int sl_proc_boot_id(char ret_id[SL_PROC_BOOT_ID], struct sl_err *err) SL_MUST_CHECK;

/** Start time of a live or zombie process; -SL_ENOTFOUND when there is none. */
int sl_proc_start_time(pid_t pid, uint64_t *ret_start_ticks, struct sl_err *err) SL_MUST_CHECK;

/**
 * Opens a pidfd only if `pid` is still the process that started then, in that boot.
 *
 * @return 0; -SL_ENOTFOUND when the machine was rebooted, the process is gone, or the number was
 *         given to another one (message says which). Owner: caller closes. A zombie opens.
 */
int sl_proc_open_identity(pid_t pid, uint64_t start_ticks, const char *boot_id, int *ret_pidfd,
                          struct sl_err *err) SL_MUST_CHECK;

#endif
