/* Ending what a killed shim left: see leftover.h. Source: proc(5). */
#include "core/base/base.h"

#include "runners/local/leftover.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/aio/proc.h"
#include "core/base/err.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#define ROUNDS      50
#define NAP_MS      4
#define ENV_MAX     (256UL * 1024) /* bytes of an environment that are looked through */
#define TTY_FIELD   5              /* of /proc/PID/stat after the name, where the state is 1 */
#define DIGITS_ONLY "0123456789"

struct marks {
    char id[48]; /* "=" and the attempt's id */
    const char *dir;
};

static bool works_in(int procfd, const char *dir)
{
    char at[SL_PROC_PATH_MAX];
    size_t len = strlen(dir);
    ssize_t n = readlinkat(procfd, "cwd", at, sizeof(at) - 1);
    at[n > 0 ? n : 0] = '\0';
    return n > 0 && strncmp(at, dir, len) == 0 && (at[len] == '/' || at[len] == '\0');
}

static bool has_terminal(int procfd)
{
    char text[512];
    _cleanup_(close)
    int fd = openat(procfd, "stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    text[n > 0 ? n : 0] = '\0';
    const char *p = strrchr(text, ')'); /* the name may hold anything */
    for (int field = 0; p != NULL && field < TTY_FIELD; field++) {
        p = strchr(p + 1, ' ');
    }
    return p == NULL || strtol(p, NULL, 10) != 0;
}

static bool names_it(int procfd, const char *mark)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(ENV_MAX);
    _cleanup_(close)
    int fd = openat(procfd, "environ", O_RDONLY | O_CLOEXEC);
    struct sl_err ignored = SL_ERR_INIT;
    int rc = fd >= 0 ? sl_read_fd(fd, ENV_MAX, &text, &ignored) : -1;
    return (rc == 0 || rc == -SL_ELIMIT) && text.len > 0 &&
           memmem(text.ptr, text.len, mark, strlen(mark) + 1) != NULL;
}

/* Opened before it is looked at, so that the number cannot come to mean another process. */
static bool kill_if_marked(int proc, const char *name, const struct marks *m)
{
    pid_t pid = (pid_t)strtol(name, NULL, 10);
    _cleanup_(close)
    int pidfd = pid > 1 && pid != getpid() ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    _cleanup_(close)
    int fd = pidfd >= 0 ? openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0 || has_terminal(fd) || !(works_in(fd, m->dir) || names_it(fd, m->id))) {
        return false;
    }
    struct sl_err ignored = SL_ERR_INIT;
    return sl_proc_signal(pidfd, SIGKILL, &ignored) == 0;
}

static int kill_round(const struct marks *m)
{
    int n = 0;
    DIR *d = opendir("/proc");
    if (d == NULL) {
        return 0;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strspn(e->d_name, DIGITS_ONLY) == strlen(e->d_name)) {
            n += kill_if_marked(dirfd(d), e->d_name, m) ? 1 : 0;
        }
    }
    (void)closedir(d);
    return n;
}

int sl_leftover_kill(const char *attempt_id, const char *attempt_dir)
{
    struct marks m = {.dir = attempt_dir};
    (void)snprintf(m.id, sizeof(m.id), "=%s", attempt_id);
    int most = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int n = kill_round(&m); /* counts the dying again: the next round looks whether they went */
        if (n == 0) {
            break;
        }
        most = SL_MAX(most, n);
        struct timespec nap = {0, NAP_MS * 1000000L};
        (void)nanosleep(&nap, NULL);
    }
    return most;
}
