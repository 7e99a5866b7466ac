/**
 * KILL to all descendants, found through /proc: containment without a cgroup. As subreaper this
 * process inherits every orphan below it, so nothing can leave the tree; the caller repeats until
 * wait() knows no more children.
 *
 * Thread: single. Must not: signal by a bare number that may have been reused.
 */
#include "core/base/base.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

#define PROCS_MAX 65536

static struct entry {
    pid_t pid, parent;
    bool ours;
} procs[PROCS_MAX];

static pid_t parent_of(pid_t pid)
{
    char path[32];
    char text[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (shim_read_file(path, text, sizeof(text)) <= 0) {
        return -1;
    }
    const char *p = strrchr(text, ')'); /* the name may hold anything */
    return p != NULL && strlen(p) > 4 ? (pid_t)strtol(p + 4, NULL, 10) : -1;
}

static size_t list_processes(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc");
    if (d == NULL) {
        return 0;
    }
    for (struct dirent *e = readdir(d); e != NULL && n < PROCS_MAX; e = readdir(d)) {
        uint64_t pid = 0;
        if (shim_parse_u64(e->d_name, &pid) && pid < INT32_MAX) {
            procs[n].pid = (pid_t)pid;
            procs[n].parent = parent_of((pid_t)pid);
            procs[n].ours = false;
            n++;
        }
    }
    (void)closedir(d);
    return n;
}

static void kill_if_unchanged(pid_t pid, pid_t parent)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        if (errno == ENOSYS && parent == getpid()) {
            (void)kill(pid, SIGKILL); /* our own child: its number is held until we reap it */
        }
        return;
    }
    if (parent_of(pid) == parent) {
        (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0); /* gone already is fine */
    }
    (void)close(fd);
}

static int by_pid(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a; /* the first field */
    pid_t y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

static bool parent_is_ours(size_t n, pid_t parent, pid_t self)
{
    if (parent == self) {
        return true;
    }
    const struct entry *found = bsearch(&parent, procs, n, sizeof(procs[0]), by_pid);
    return found != NULL && found->ours;
}

void shim_sweep(void)
{
    size_t n = list_processes();
    pid_t self = getpid();
    qsort(procs, n, sizeof(procs[0]), by_pid);
    bool found = true;
    while (found) { /* mostly one round: parents have lower numbers until those wrap */
        found = false;
        for (size_t i = 0; i < n; i++) {
            if (!procs[i].ours && parent_is_ours(n, procs[i].parent, self)) {
                procs[i].ours = true;
                found = true;
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (procs[i].ours) {
            kill_if_unchanged(procs[i].pid, procs[i].parent);
        }
    }
}
