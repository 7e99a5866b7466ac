/**
 * Limits that only looking from time to time can keep: silence, disk, and without a cgroup the
 * number of processes and their memory.
 *
 * Looking costs at most about a twentieth of one CPU: a slow look is followed by a longer pause.
 *
 * Thread: single. Must not: signal; it only says what it saw.
 */
#include "core/base/base.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

#define METRICS      "metrics.jsonl"
#define NEVER        INT64_MAX
#define LOOK_MS      100 /* tree and disk */
#define PAUSE_FACTOR 20
#define STALL_MS_MIN 10
#define STALL_MS_MAX 1000
#define NEAR_BYTES   65536 /* this close to its quota a failed step failed for it */

static struct {
    struct shim_disk before;
    uint64_t disk_bytes; /* growth at the last look */
    int64_t stall_due, limits_due;
    int64_t grown_at; /* when log or metrics last grew */
    uint64_t taken;
    int64_t metrics_bytes, metrics_ns;
} watch = {.stall_due = NEVER, .limits_due = NEVER};

static bool counts_tree(const struct shim_spec *spec)
{
    return spec->tree_bytes > 0 || spec->tree_pids > 0;
}

void shim_watch_prepare(const struct shim_spec *spec)
{
    if (spec->disk_bytes > 0) {
        shim_disk_measure(spec, &watch.before);
    }
}

static int64_t stall_pause(const struct shim_spec *spec)
{
    return SL_MIN(SL_MAX(spec->stall_ms / 4, (int64_t)STALL_MS_MIN), (int64_t)STALL_MS_MAX);
}

void shim_watch_begin(const struct shim_spec *spec)
{
    int64_t now = shim_mono_ms();
    watch.grown_at = now;
    if (spec->stall_ms > 0) {
        watch.stall_due = now + stall_pause(spec);
    }
    if (spec->disk_bytes > 0 || counts_tree(spec)) {
        watch.limits_due = now + LOOK_MS;
    }
}

int64_t shim_watch_due(void)
{
    return SL_MIN(watch.stall_due, watch.limits_due);
}

static bool has_grown(void)
{
    struct stat st;
    uint64_t taken = shim_log_taken();
    int64_t bytes = 0;
    int64_t ns = 0;
    if (fstatat(AT_FDCWD, METRICS, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        bytes = st.st_size;
        ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    }
    bool grown = taken != watch.taken || bytes != watch.metrics_bytes || ns != watch.metrics_ns;
    watch.taken = taken;
    watch.metrics_bytes = bytes;
    watch.metrics_ns = ns;
    return grown;
}

static bool look_stall(const struct shim_spec *spec, int64_t now, struct shim_result *r)
{
    if (now < watch.stall_due) {
        return false;
    }
    watch.stall_due = now + stall_pause(spec);
    if (has_grown()) {
        watch.grown_at = now;
    }
    if (now - watch.grown_at < spec->stall_ms) {
        return false;
    }
    r->class = SHIM_STALLED;
    (void)snprintf(r->reason, sizeof(r->reason),
                   "neither its log nor its metrics grew for %lld.%03lld s, so it was stopped",
                   (long long)(spec->stall_ms / 1000), (long long)(spec->stall_ms % 1000));
    watch.stall_due = NEVER;
    return true;
}

static void say_disk(const struct shim_spec *spec, struct shim_result *r)
{
    r->class = SHIM_DISK;
    (void)snprintf(r->reason, sizeof(r->reason), "wrote %llu KiB to disk; its quota is %llu KiB",
                   (unsigned long long)(watch.disk_bytes / 1024),
                   (unsigned long long)(spec->disk_bytes / 1024));
}

static bool look_disk(const struct shim_spec *spec, struct shim_result *r)
{
    struct shim_disk now;
    shim_disk_measure(spec, &now);
    watch.disk_bytes = now.bytes > watch.before.bytes ? now.bytes - watch.before.bytes : 0;
    if (now.too_deep && !watch.before.too_deep) {
        r->class = SHIM_DISK;
        (void)snprintf(r->reason, sizeof(r->reason),
                       "nested its directories too deep for its disk quota to be watched");
        return true;
    }
    if (watch.disk_bytes <= spec->disk_bytes) {
        return false;
    }
    say_disk(spec, r);
    return true;
}

static bool look_tree(const struct shim_spec *spec, struct shim_result *r)
{
    struct shim_tree tree;
    shim_tree_measure(&tree);
    if (spec->tree_pids > 0 && tree.tasks > spec->tree_pids) {
        r->class = SHIM_SIGNAL;
        (void)snprintf(r->reason, sizeof(r->reason),
                       "had %llu processes and threads, its limit is %llu: killed",
                       (unsigned long long)tree.tasks, (unsigned long long)spec->tree_pids);
        return true;
    }
    /* Pages that a fork left shared count several times at first: look closer before killing. */
    if (spec->tree_bytes == 0 || tree.bytes <= spec->tree_bytes) {
        return false;
    }
    uint64_t bytes = shim_tree_exact_bytes();
    if (bytes <= spec->tree_bytes) {
        return false;
    }
    r->class = SHIM_OOM;
    r->oom = true;
    (void)snprintf(
        r->reason, sizeof(r->reason), "used %llu KiB of memory, its limit is %llu KiB: killed",
        (unsigned long long)(bytes / 1024), (unsigned long long)(spec->tree_bytes / 1024));
    return true;
}

bool shim_watch_look(const struct shim_spec *spec, struct shim_result *r)
{
    int64_t now = shim_mono_ms();
    if (look_stall(spec, now, r)) {
        return true;
    }
    if (now < watch.limits_due) {
        return false;
    }
    bool passed =
        (counts_tree(spec) && look_tree(spec, r)) || (spec->disk_bytes > 0 && look_disk(spec, r));
    int64_t done = shim_mono_ms();
    watch.limits_due = done + SL_MAX((int64_t)LOOK_MS, (done - now) * PAUSE_FACTOR);
    return passed;
}

static bool failed(const struct shim_result *r)
{
    return r->class == SHIM_SIGNAL || (r->class == SHIM_EXIT && r->code != 0);
}

void shim_watch_end(const struct shim_spec *spec, struct shim_result *r)
{
    if (spec->disk_bytes > 0 && (r->class == SHIM_EXIT || r->class == SHIM_SIGNAL) &&
        !look_disk(spec, r) && failed(r) &&
        (r->signal == SIGXFSZ || watch.disk_bytes + NEAR_BYTES >= spec->disk_bytes)) {
        say_disk(spec, r); /* what it was refused to write is not there to be counted */
    }
    if (failed(r) && r->reason[0] == '\0' && shim_cgroup_pids_refused(spec)) {
        (void)snprintf(
            r->reason, sizeof(r->reason), "%s %d after it had met its limit of %llu processes",
            r->class == SHIM_SIGNAL ? "killed by signal" : "exit code",
            r->class == SHIM_SIGNAL ? r->signal : r->code, (unsigned long long)spec->pids);
    }
}
