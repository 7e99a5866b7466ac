/**
 * File contents: reading with a cap, writing, syncing, publishing and copying.
 *
 * Thread: any. Blocks: yes. Fault points: fs.write, fs.fsync, fs.publish, fs.published.
 */
#include "core/base/base.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "core/base/fs_priv.h"
#include "core/base/mem.h"
#include "core/base/time.h"

#define READ_BYTES  (64u << 10)
#define COPY_BYTES  (1u << 20)
#define RANGE_BYTES ((size_t)1 << 30) /* per copy_file_range call */

/** read(2) that goes on after signals. */
static ssize_t read_some(int fd, void *out, size_t len)
{
    ssize_t n = 0;
    do {
        n = read(fd, out, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

int sl_read_fd(int fd, size_t max_bytes, struct sl_buf *out, struct sl_err *err)
{
    sl_buf_clear(out);
    max_bytes = SL_MIN(max_bytes, out->max_bytes);
    _cleanup_(free)
    char *chunk = sl_malloc(READ_BYTES);
    for (;;) {
        ssize_t n = read_some(fd, chunk, READ_BYTES);
        if (n < 0) {
            return sl_err_errno(err, errno, "cannot read");
        }
        if (n == 0) {
            return 0;
        }
        if ((size_t)n > max_bytes - out->len) {
            return sl_err_set(err, SL_ELIMIT, "larger than %zu bytes", max_bytes);
        }
        sl_buf_add(out, chunk, (size_t)n);
    }
}

int sl_read_file_at(int dirfd, const char *path, size_t max_bytes, struct sl_buf *out,
                    struct sl_err *err)
{
    sl_buf_clear(out);
    _cleanup_(close)
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open '%s'", path);
    }
    if (sl_read_fd(fd, max_bytes, out, err) != 0) {
        return sl_err_wrap(err, "file '%s'", path);
    }
    return 0;
}

int sl_write_all(int fd, const void *data, size_t len, struct sl_err *err)
{
    const char *p = data;
    while (len > 0) {
        int fault = SL_FAULT_POINT(FS_WRITE);
        ssize_t n = fault == 0 ? write(fd, p, len) : -1;
        if (n < 0 && fault == 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return sl_err_errno(err, fault != 0 ? fault : errno, "cannot write");
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int sl_fsync_fd(int fd, struct sl_err *err)
{
    int fault = SL_FAULT_POINT(FS_FSYNC);
    if (fault != 0 || fsync(fd) != 0) {
        return sl_err_errno(err, fault != 0 ? fault : errno, "cannot sync");
    }
    return 0;
}

/** Fills and syncs a temporary file, renames it over `name`. On failure it may still exist. */
static int fill_and_rename(int dir, const char *temp, const char *name, struct sl_str data,
                           mode_t mode, bool durable, struct sl_err *err)
{
    _cleanup_(close)
    int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot create a temporary file");
    }
    int rc = sl_write_all(fd, data.ptr, data.len, err);
    if (rc == 0 && fchmod(fd, mode) != 0) {
        rc = sl_err_errno(err, errno, "cannot set the mode");
    }
    if (rc == 0 && durable) {
        rc = sl_fsync_fd(fd, err);
    }
    if (rc != 0) {
        return rc;
    }
    int fault = SL_FAULT_POINT(FS_PUBLISH);
    if (fault != 0 || renameat(dir, temp, dir, name) != 0) {
        return sl_err_errno(err, fault != 0 ? fault : errno, "cannot rename into place");
    }
    return 0;
}

int sl_publish_file_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                       bool durable, struct sl_err *err)
{
    _cleanup_(free)
    char *dir_path = NULL;
    const char *name = sl_path_split(path, &dir_path);
    _cleanup_(close)
    int dir = sl_opendir_at(dirfd, dir_path, err);
    if (dir < 0) {
        return sl_err_wrap(err, "cannot publish '%s'", path);
    }
    char id[SL_ID_HEX + 1], temp[SL_ID_HEX + 16];
    (void)snprintf(temp, sizeof(temp), ".tmp-%s", sl_id_new(NULL, id));
    int rc = fill_and_rename(dir, temp, name, (struct sl_str){data, len}, mode, durable, err);
    if (rc != 0) {
        (void)unlinkat(dir, temp, 0);
        return sl_err_wrap(err, "cannot publish '%s'", path);
    }
    int fault = SL_FAULT_POINT(FS_PUBLISHED);
    if (fault != 0) {
        return sl_err_errno(err, fault, "cannot publish '%s'", path);
    }
    if (durable && sl_fsync_fd(dir, err) != 0) {
        return sl_err_wrap(err, "cannot publish '%s': its directory", path);
    }
    return 0;
}

/** Copies without reading, where the kernel can. @return 1 done, 0 not possible, negative code */
static int copy_in_kernel(int from_fd, int to_fd, uint64_t *ret_bytes, struct sl_err *err)
{
    struct stat st;
    bool from_start = lseek(from_fd, 0, SEEK_CUR) == 0 && lseek(to_fd, 0, SEEK_CUR) == 0;
    if (fstat(from_fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        return 0; /* files of /proc and /sys report size 0 */
    }
    int fault = SL_FAULT_POINT(FS_WRITE);
    if (fault != 0) {
        return sl_err_errno(err, fault, "cannot write");
    }
    if (from_start && ioctl(to_fd, FICLONE, from_fd) == 0) {
        *ret_bytes = (uint64_t)st.st_size;
        return 1;
    }
    uint64_t total = 0;
    for (;;) {
        ssize_t n = copy_file_range(from_fd, NULL, to_fd, NULL, RANGE_BYTES, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        bool unsupported = n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
                                     errno == EOPNOTSUPP || errno == EPERM || errno == EBADF);
        if (unsupported && total == 0) {
            return 0;
        }
        if (n < 0) {
            return sl_err_errno(err, errno, "cannot copy");
        }
        if (n == 0) {
            *ret_bytes = total;
            return 1;
        }
        total += (uint64_t)n;
    }
}

/** One pass: read, hash when asked, write. */
static int copy_by_reading(int from_fd, int to_fd, struct sl_sha256_ctx *hash, uint64_t *ret_bytes,
                           struct sl_err *err)
{
    _cleanup_(free)
    char *chunk = sl_malloc(COPY_BYTES);
    uint64_t total = 0;
    for (;;) {
        ssize_t n = read_some(from_fd, chunk, COPY_BYTES);
        if (n < 0) {
            return sl_err_errno(err, errno, "cannot read");
        }
        if (n == 0) {
            *ret_bytes = total;
            return 0;
        }
        if (hash != NULL) {
            sl_sha256_update(hash, chunk, (size_t)n);
        }
        int rc = sl_write_all(to_fd, chunk, (size_t)n, err);
        if (rc != 0) {
            return rc;
        }
        total += (uint64_t)n;
    }
}

int sl_copy_fd(int from_fd, int to_fd, struct sl_digest *ret_digest, uint64_t *ret_bytes,
               struct sl_err *err)
{
    uint64_t bytes = 0;
    int rc = 0;
    if (ret_digest == NULL) {
        rc = copy_in_kernel(from_fd, to_fd, &bytes, err);
        if (rc == 0) {
            rc = copy_by_reading(from_fd, to_fd, NULL, &bytes, err);
        }
    } else {
        struct sl_sha256_ctx *hash = sl_sha256_new();
        rc = copy_by_reading(from_fd, to_fd, hash, &bytes, err);
        if (rc == 0) {
            sl_sha256_final(hash, ret_digest);
        }
        sl_sha256_free(hash);
    }
    if (rc < 0) {
        return rc;
    }
    if (ret_bytes != NULL) {
        *ret_bytes = bytes;
    }
    return 0;
}
