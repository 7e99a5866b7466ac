/**
 * What became of an attempt whose shim is over, and whether a shim still is the one we knew.
 *
 * Thread: loop. Must not: take a pid for an identity, or call lost what provably never ran.
 */
#include "core/base/base.h"

#include "runners/local/local_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/str.h"
#include "runners/local/leftover.h"
#include "runners/local/record.h"
#include "runners/local/shim_secret.h"

#define SHIM_ERRNO_BASE 64 /* exit status of a shim that could not leave a record */

/*
 * Whether the process says that it is another attempt's: argv[1] is the nonce. A process that has
 * just been executed has no arguments for some microseconds (the kernel lets its parent go on before
 * it writes them), and a zombie has none any more: pid, start time and boot decide alone then.
 */
static bool denies_nonce(pid_t pid, const char *nonce)
{
    char path[32];
    char text[256];
    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    _cleanup_(close)
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    size_t first = strlen(text) + 1;
    return first >= (size_t)n || !sl_streq(text + first, nonce);
}

bool sl_local_find_shim(struct local_attempt *a, const struct sl_attempt_identity *id)
{
    int pidfd = -1;
    struct sl_err why = SL_ERR_INIT;
    if (sl_proc_open_identity((pid_t)id->pid, id->start_time, id->boot_id, &pidfd, &why) < 0) {
        return false;
    }
    if (denies_nonce((pid_t)id->pid, id->nonce)) {
        sl_cleanup_close(&pidfd);
        return false;
    }
    a->proc.pid = (pid_t)id->pid;
    a->proc.pidfd = pidfd;
    a->proc.start_ticks = id->start_time;
    return true;
}

static void judge(struct sl_attempt_result *r, enum sl_runner_class class, const char *reason)
{
    *r = (struct sl_attempt_result){.class = class, .exit_code = -1};
    (void)snprintf(r->reason, sizeof(r->reason), "%.299s", reason);
}

/* Without a record and without a marker. */
static void judge_unstarted(const struct local_attempt *a, int shim_status,
                            struct sl_attempt_result *r)
{
    if (a->cancelled) {
        judge(r, SL_CLASS_CANCELLED, "cancelled before it began");
        return;
    }
    judge(r, SL_CLASS_NEVER_STARTED, "the engine ended before it let the step begin");
    if (shim_status > SHIM_ERRNO_BASE) {
        (void)snprintf(r->reason, sizeof(r->reason), "the shim could not write its files: %s",
                       strerror(shim_status - SHIM_ERRNO_BASE));
    } else if (a->own_child) { /* it was told to go: a step that removed both would look the same */
        judge(r, SL_CLASS_LOST, "its shim ended and left neither marker nor exit record");
    }
}

static int reap_shim(const struct local_attempt *a)
{
    struct sl_proc_exit end = {.code = -1};
    struct sl_err ignored = SL_ERR_INIT;
    if (a->own_child && sl_proc_reap(&a->proc, &end, &ignored) < 0) {
        return -1;
    }
    return end.code;
}

/* Its cgroups are ended; what was in none is found by its marks. */
static void end_leftovers(const struct local_attempt *a)
{
    char link[40];
    char dir[SL_PROC_PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", a->dirfd);
    ssize_t n = readlink(link, dir, sizeof(dir) - 1);
    if (n > 0) {
        dir[n] = '\0';
        (void)sl_leftover_kill(a->owner->identity.attempt_id, dir);
    }
}

void sl_local_conclude(struct local_attempt *a, struct sl_attempt_result *ret)
{
    const struct sl_attempt_identity *id = &a->owner->identity;
    int shim_status = reap_shim(a);
    struct sl_err why = SL_ERR_INIT;
    if (a->dirfd < 0) {
        judge(ret, SL_CLASS_LOST, "its attempt directory is gone");
        sl_shim_secret_end(a->runner->cgroups.prefix, id->nonce, -1);
        sl_cgroup_end(id->cgroup, id->nonce);
        return;
    }
    sl_shim_secret_end(a->runner->cgroups.prefix, id->nonce, a->dirfd);
    int rc = sl_exit_record_read(a->dirfd, id->nonce, ret, &why);
    if (rc == 0) {
        return; /* the shim had emptied its cgroups before it wrote this */
    }
    struct stat st;
    bool rebooted = !sl_streq(id->boot_id, a->runner->boot_id);
    if (rc != -SL_ENOTFOUND) {
        judge(ret, SL_CLASS_LOST, why.msg);
    } else if (rebooted) {
        judge(ret, SL_CLASS_LOST, "the machine was restarted while it ran");
    } else if (fstatat(a->dirfd, "exec", &st, AT_SYMLINK_NOFOLLOW) != 0) {
        judge_unstarted(a, shim_status, ret);
    } else {
        judge(ret, SL_CLASS_LOST, "its shim was killed, so how it ended cannot be known");
    }
    if (!rebooted) {
        sl_cgroup_end(id->cgroup, id->nonce);
        end_leftovers(a);
    }
}

void sl_local_forget_orphan(struct local_attempt *a)
{
    struct local_attempt **p = &a->runner->orphans;
    while (*p != a) {
        SL_ASSERT(*p != NULL);
        p = &(*p)->next_orphan;
    }
    *p = a->next_orphan;
    sl_fdwatch_stop(&a->watch);
    (void)reap_shim(a);
    sl_local_attempt_free(a);
}
