/**
 * An attempt's control groups: the shim's words for them, and ending what was left in them.
 *
 * Thread: any. Must not: kill by a path that does not carry the attempt's nonce.
 */
#include "core/base/base.h"

#include "runners/local/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"

#define CPU_PERIOD_US    100000
#define CPU_QUOTA_US_MIN 1000 /* the kernel's */
#define END_TRIES        100
#define END_NAP_MS       2
#define DEPTH_MAX        8
#define DATA_SLACK       (64ULL << 20)

static bool wanted(const struct sl_attempt_limits *l, size_t resource)
{
    return resource == SL_RES_MEMORY ? l->mem_bytes > 0
           : resource == SL_RES_CPU  ? l->cpu_milli > 0
                                     : l->pids > 0;
}

static void word(struct sl_buf *out, const char *fmt, ...) SL_PRINTF(2, 3);
static void word(struct sl_buf *out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sl_buf_vprintf(out, fmt, args);
    va_end(args);
    sl_buf_putc(out, '\0');
}

static void memory_words(const char *dir, bool v2, uint64_t bytes, struct sl_buf *out)
{
    unsigned long long n = bytes;
    if (v2) {
        word(out, "set=%s/memory.max\n%llu", dir, n);
        word(out, "try=%s/memory.swap.max\n0", dir);
        word(out, "try=%s/memory.oom.group\n1", dir);
        word(out, "oom_file=%s/memory.events", dir);
    } else {
        word(out, "set=%s/memory.limit_in_bytes\n%llu", dir, n);
        word(out, "try=%s/memory.memsw.limit_in_bytes\n%llu", dir, n);
        word(out, "oom_file=%s/memory.oom_control", dir);
    }
}

static void limit_words(size_t resource, const char *dir, bool v2,
                        const struct sl_attempt_limits *l, struct sl_buf *out)
{
    int64_t quota = SL_MAX((int64_t)CPU_QUOTA_US_MIN, (int64_t)l->cpu_milli * CPU_PERIOD_US / 1000);
    if (resource == SL_RES_MEMORY) {
        memory_words(dir, v2, l->mem_bytes, out);
    } else if (resource == SL_RES_PIDS) {
        word(out, "set=%s/pids.max\n%d", dir, l->pids);
        word(out, "pids_file=%s/pids.events", dir);
    } else if (v2) {
        word(out, "set=%s/cpu.max\n%lld %d", dir, (long long)quota, CPU_PERIOD_US);
    } else {
        word(out, "set=%s/cpu.cfs_period_us\n%d", dir, CPU_PERIOD_US);
        word(out, "set=%s/cpu.cfs_quota_us\n%lld", dir, (long long)quota);
    }
}

void sl_cgroup_words(const struct sl_cgroup_facts *f, const char *nonce,
                     const struct sl_attempt_limits *limits, struct sl_buf *out)
{
    char dir[SL_CGROUP_PATH + 80];
    if (f->v2[0] != '\0') {
        (void)snprintf(dir, sizeof(dir), "%s/%s%s", f->v2, f->prefix, nonce);
        word(out, "cgroup_v2=%s", dir);
    }
    for (size_t i = 0; i < SL_RES_COUNT; i++) {
        if (!wanted(limits, i)) {
            continue;
        }
        if (f->v2_limits[i]) {
            (void)snprintf(dir, sizeof(dir), "%s/%s%s", f->v2, f->prefix, nonce);
            limit_words(i, dir, true, limits, out);
        } else if (f->v1[i][0] != '\0') {
            (void)snprintf(dir, sizeof(dir), "%s/%s%s", f->v1[i], f->prefix, nonce);
            word(out, "cgroup_v1=%s", dir);
            limit_words(i, dir, false, limits, out);
        } else if (i == SL_RES_MEMORY) {
            /* The tree is counted; the rlimit stops what one process takes between two looks. Twice
             * the limit and some, as it counts what is reserved (thread stacks) like what is used. */
            word(out, "tree_bytes=%llu", (unsigned long long)limits->mem_bytes);
            word(out, "rlimit_data=%llu",
                 2 * (unsigned long long)SL_MIN(limits->mem_bytes, UINT64_MAX / 4) + DATA_SLACK);
        } else if (i == SL_RES_PIDS) {
            word(out, "tree_pids=%d", limits->pids);
        }
    }
}

void sl_cgroup_dirs(const struct sl_cgroup_facts *f, const char *nonce,
                    const struct sl_attempt_limits *limits, char *out, size_t size)
{
    _cleanup_(buf)
    struct sl_buf b = SL_BUF_INIT(size - 1);
    if (f->v2[0] != '\0') {
        sl_buf_printf(&b, "%s/%s%s", f->v2, f->prefix, nonce);
    }
    for (size_t i = 0; i < SL_RES_COUNT; i++) {
        if (wanted(limits, i) && !f->v2_limits[i] && f->v1[i][0] != '\0') {
            sl_buf_printf(&b, "%s%s/%s%s", b.len > 0 ? ":" : "", f->v1[i], f->prefix, nonce);
        }
    }
    /* A list cut short would name a wrong directory; without it the subreaper still contains. */
    (void)snprintf(out, size, "%s", b.overflow ? "" : sl_buf_str(&b));
}

static void kill_in(const char *dir)
{
    char path[SL_CGROUP_PATH + 96];
    (void)snprintf(path, sizeof(path), "%s/cgroup.kill", dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = write(fd, "1", 1);
        (void)close(fd); /* kernel files report through write */
        if (n == 1) {
            return;
        }
    }
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    FILE *f = fopen(path, "re");
    for (int pid = 0; f != NULL && fscanf(f, "%d", &pid) == 1;) {
        if (pid > 1) {
            (void)kill(pid, SIGKILL); /* gone already is fine */
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

static void remove_below(int parent_fd, const char *name, int depth)
{
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || depth >= DEPTH_MAX) {
        return;
    }
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        sl_cleanup_close(&fd);
        return;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_type == DT_DIR && e->d_name[0] != '.') {
            remove_below(fd, e->d_name, depth + 1);
        }
    }
    (void)closedir(d);
    (void)unlinkat(parent_fd, name, AT_REMOVEDIR); /* the caller looks whether it is gone */
}

static void end_dir(const char *dir)
{
    if (access(dir, F_OK) != 0) {
        return;
    }
    for (int i = 0; i < END_TRIES; i++) {
        kill_in(dir);
        remove_below(AT_FDCWD, dir, 0);
        if (access(dir, F_OK) != 0) {
            return;
        }
        struct timespec nap = {0, END_NAP_MS * 1000000L};
        (void)nanosleep(&nap, NULL);
    }
}

void sl_cgroup_end(const char *dirs, const char *nonce)
{
    for (const char *p = dirs; *p != '\0';) {
        size_t n = strcspn(p, ":");
        _cleanup_(free)
        char *dir = sl_strndup(p, n);
        const char *name = strrchr(dir, '/');
        if (name != NULL && sl_starts_with(name, "/sluice-") && sl_ends_with(name, nonce)) {
            end_dir(dir);
        }
        p += n + (p[n] == ':' ? 1 : 0);
    }
}

static bool is_known(const char *nonce, const char *const *known, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(nonce, known[i])) {
            return true;
        }
    }
    return false;
}

static int sweep_dir(const char *parent, const char *prefix, const char *const *known, size_t n)
{
    int count = 0;
    DIR *d = parent[0] != '\0' ? opendir(parent) : NULL;
    if (d == NULL) {
        return 0;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (sl_starts_with(e->d_name, prefix) && !is_known(e->d_name + strlen(prefix), known, n)) {
            char dir[SL_CGROUP_PATH + 300];
            (void)snprintf(dir, sizeof(dir), "%s/%s", parent, e->d_name);
            end_dir(dir);
            count++;
        }
    }
    (void)closedir(d);
    return count;
}

int sl_cgroup_sweep(const struct sl_cgroup_facts *f, const char *const *known, size_t n)
{
    int count = sweep_dir(f->v2, f->prefix, known, n);
    for (size_t i = 0; i < SL_RES_COUNT; i++) {
        count += sweep_dir(f->v1[i], f->prefix, known, n);
    }
    return count;
}
