/**
 * What a process number means: program lookup, boot id, start time, and pidfds that are only opened
 * when the number still means the same process.
 *
 * Thread: any.
 */
#include "core/base/base.h"

#include "core/aio/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/str.h"

#define STAT_MAX        1024 /* /proc/PID/stat is about 350 bytes */
#define FIELDS_TO_START 20   /* start time is field 22; field 2 ends at the last ')' */

int sl_proc_lookup(const char *program, const char *search_path, char ret_path[SL_PROC_PATH_MAX],
                   struct sl_err *err)
{
    const char *at = search_path != NULL ? search_path : "";
    while (*at != '\0') {
        size_t len = strcspn(at, ":");
        struct stat st;
        int n = at[0] == '/'
                    ? snprintf(ret_path, SL_PROC_PATH_MAX, "%.*s/%s", (int)len, at, program)
                    : -1;
        if (n > 0 && n < SL_PROC_PATH_MAX && stat(ret_path, &st) == 0 && S_ISREG(st.st_mode) &&
            access(ret_path, X_OK) == 0) {
            return 0;
        }
        at += len + (at[len] == ':');
    }
    return sl_err_set(err, SL_ENOTFOUND, "program '%s' is not in PATH (%s)", program,
                      search_path != NULL && search_path[0] != '\0' ? search_path : "empty");
}

/* Reads a small file of /proc whole. Returns its length or a negative code. */
static int read_small(const char *path, char *out, size_t size, struct sl_err *err)
{
    _cleanup_(close)
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open %s", path);
    }
    ssize_t n = read(fd, out, size - 1);
    if (n < 0) {
        return errno == ESRCH
                   ? sl_err_set(err, SL_ENOTFOUND, "cannot read %s: no such process", path)
                   : sl_err_errno(err, errno, "cannot read %s", path);
    }
    out[n] = '\0';
    return (int)n;
}

int sl_proc_boot_id(char ret_id[SL_PROC_BOOT_ID], struct sl_err *err)
{
    char text[64];
    int n = read_small("/proc/sys/kernel/random/boot_id", text, sizeof(text), err);
    if (n < 0) {
        return n;
    }
    if (n < SL_PROC_BOOT_ID - 1) {
        return sl_err_set(err, SL_ECORRUPT, "the kernel's boot id is malformed");
    }
    memcpy(ret_id, text, SL_PROC_BOOT_ID - 1);
    ret_id[SL_PROC_BOOT_ID - 1] = '\0';
    return 0;
}

int sl_proc_start_time(pid_t pid, uint64_t *ret_start_ticks, struct sl_err *err)
{
    char path[64], text[STAT_MAX];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int n = read_small(path, text, sizeof(text), err);
    if (n < 0) {
        return n;
    }
    /* The name in field 2 may hold blanks and parentheses: count from its last one. */
    char *at = strrchr(text, ')');
    for (int i = 0; at != NULL && i < FIELDS_TO_START; i++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return sl_err_set(err, SL_ECORRUPT, "%s is malformed", path);
    }
    at++;
    at[strcspn(at, " \n")] = '\0';
    if (!sl_parse_u64(at, ret_start_ticks)) {
        return sl_err_set(err, SL_ECORRUPT, "%s is malformed", path);
    }
    return 0;
}

int sl_proc_open_identity(pid_t pid, uint64_t start_ticks, const char *boot_id, int *ret_pidfd,
                          struct sl_err *err)
{
    char now[SL_PROC_BOOT_ID];
    int rc = sl_proc_boot_id(now, err);
    if (rc != 0) {
        return rc;
    }
    if (!sl_streq(now, boot_id)) {
        return sl_err_set(err, SL_ENOTFOUND, "the machine was restarted since process %d began",
                          pid);
    }
    /* The pidfd comes first: had the number changed hands before it, the start time read below would
     * be younger than the one asked for. */
    _cleanup_(close)
    int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
    if (pidfd < 0) {
        return pid <= 0 || errno == ESRCH || errno == EINVAL
                   ? sl_err_set(err, SL_ENOTFOUND, "process %d is gone", pid)
                   : sl_err_errno(err, errno, "cannot open process %d", pid);
    }
    uint64_t ticks = 0;
    rc = sl_proc_start_time(pid, &ticks, err);
    if (rc != 0) {
        return rc;
    }
    if (ticks != start_ticks) {
        return sl_err_set(err, SL_ENOTFOUND, "process number %d was given to another process", pid);
    }
    *ret_pidfd = sl_take_fd(pidfd);
    return 0;
}
