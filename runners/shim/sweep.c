/**
 * KILL to all descendants and their count, found through /proc: containment without a cgroup. As subreaper this
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

#define PROCS_MAX    65536
#define STOP_ROUNDS  8 /* stopping what appears while we look */
#define STAT_PARENT  2 /* fields of /proc/PID/stat after the name: state is 1 */
#define STAT_THREADS 18

static struct entry {
    pid_t pid, parent;
    int threads;
    bool ours;
} procs[PROCS_MAX];
static size_t n_procs;

static bool read_stat(pid_t pid, pid_t *ret_parent, int *ret_threads)
{
    char path[32];
    char text[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (shim_read_file(path, text, sizeof(text)) <= 0) {
        return false;
    }
    const char *p = strrchr(text, ')'); /* the name may hold anything */
    for (int field = 0; p != NULL && field < STAT_THREADS; field++) {
        p = strchr(p + 1, ' ');
        if (p != NULL && field + 1 == STAT_PARENT) {
            *ret_parent = (pid_t)strtol(p, NULL, 10);
        }
    }
    if (p == NULL) {
        return false;
    }
    *ret_threads = (int)strtol(p, NULL, 10);
    return true;
}

static pid_t parent_of(pid_t pid)
{
    pid_t parent = -1;
    int threads = 0;
    return read_stat(pid, &parent, &threads) ? parent : -1;
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
            procs[n] = (struct entry){.pid = (pid_t)pid, .parent = -1};
            if (read_stat((pid_t)pid, &procs[n].parent, &procs[n].threads)) {
                n++;
            }
        }
    }
    (void)closedir(d);
    return n;
}

static void send_if_unchanged(pid_t pid, pid_t parent, int signum)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        if (errno == ENOSYS && parent == getpid()) {
            (void)kill(pid, signum); /* our own child: its number is held until we reap it */
        }
        return;
    }
    if (parent_of(pid) == parent) {
        (void)syscall(SYS_pidfd_send_signal, fd, signum, NULL, 0); /* gone already is fine */
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

/* Lists all processes and marks our descendants. How many there are. */
static size_t find_tree(void)
{
    pid_t self = getpid();
    size_t count = 0;
    n_procs = list_processes();
    qsort(procs, n_procs, sizeof(procs[0]), by_pid);
    bool found = true;
    while (found) { /* mostly one round: parents have lower numbers until those wrap */
        found = false;
        for (size_t i = 0; i < n_procs; i++) {
            if (!procs[i].ours && parent_is_ours(n_procs, procs[i].parent, self)) {
                procs[i].ours = true;
                found = true;
                count++;
            }
        }
    }
    return count;
}

static void send_tree(int signum)
{
    for (size_t i = 0; i < n_procs; i++) {
        if (procs[i].ours) {
            send_if_unchanged(procs[i].pid, procs[i].parent, signum);
        }
    }
}

void shim_sweep(void)
{
    /* A tree that forks faster than it is killed is stopped first: who stands still makes nobody. */
    size_t before = find_tree();
    for (int round = 0; before > 1 && round < STOP_ROUNDS; round++) {
        send_tree(SIGSTOP);
        size_t now = find_tree();
        if (now <= before) {
            break;
        }
        before = now;
    }
    send_tree(SIGKILL);
}

/* Resident memory that no file stands behind. */
static uint64_t statm_bytes(pid_t pid)
{
    char path[32];
    char text[128];
    unsigned long long resident = 0;
    unsigned long long shared = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    if (shim_read_file(path, text, sizeof(text)) <= 0 ||
        sscanf(text, "%*s %llu %llu", &resident, &shared) != 2 || resident < shared) {
        return 0;
    }
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void shim_tree_measure(struct shim_tree *ret)
{
    *ret = (struct shim_tree){0};
    (void)find_tree();
    for (size_t i = 0; i < n_procs; i++) {
        if (procs[i].ours) {
            ret->tasks += (uint64_t)SL_MAX(procs[i].threads, 1);
            ret->bytes += statm_bytes(procs[i].pid);
        }
    }
}

/* Its share of the anonymous pages: what a fork left shared counts once in all. */
static uint64_t share_bytes(pid_t pid)
{
    char path[40];
    char text[2048];
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    const char *p =
        shim_read_file(path, text, sizeof(text)) > 0 ? strstr(text, "\nPss_Anon:") : NULL;
    return p != NULL ? strtoull(p + 10, NULL, 10) * 1024 : statm_bytes(pid);
}

uint64_t shim_tree_exact_bytes(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n_procs; i++) {
        sum += procs[i].ours ? share_bytes(procs[i].pid) : 0;
    }
    return sum;
}
