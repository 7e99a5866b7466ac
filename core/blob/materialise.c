/**
 * Private copies of stored content: reflinked, or copied and hashed on the way. Never linked.
 *
 * Thread: any. Must not: leave a file whose bytes were found damaged.
 */
#include "core/base/base.h"

#include "core/blob/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/blob/blob_priv.h"

/* The bytes are hashed before the first one is written. */
static int copy_small(int from_fd, uint64_t size, int to_fd, struct sl_digest *ret,
                      struct sl_err *err)
{
    struct sl_buf buf = SL_BUF_INIT(BLOB_SMALL_MAX);
    int rc = sl_read_fd(from_fd, (size_t)size, &buf, err);
    if (rc == 0) {
        sl_sha256(sl_buf_str(&buf), buf.len, ret);
        rc = sl_write_all(to_fd, sl_buf_str(&buf), buf.len, err);
    }
    sl_buf_release(&buf);
    return rc;
}

static int fill(int from_fd, uint64_t size, int to_fd, const struct sl_digest *digest,
                struct sl_err *err)
{
    if (size > 0 && ioctl(to_fd, FICLONE, from_fd) == 0) {
        return 0; /* the same extents, shared until one side writes */
    }
    struct sl_digest actual;
    uint64_t copied = 0;
    int rc = size <= BLOB_SMALL_MAX ? copy_small(from_fd, size, to_fd, &actual, err)
                                    : sl_copy_fd(from_fd, to_fd, &actual, &copied, err);
    if (rc == 0 && !sl_digest_eq(&actual, digest)) {
        char hex[SL_DIGEST_HEX + 1];
        rc = sl_err_set(err, SL_ECORRUPT,
                        "content sha256:%s is damaged: its bytes have another digest",
                        sl_digest_hex(digest, hex));
    }
    return rc;
}

int sl_blob_materialise(struct sl_blob_store *store, const struct sl_digest *digest, int dirfd,
                        const char *path, mode_t mode, struct sl_err *err)
{
    uint64_t size = 0;
    _cleanup_(close)
    int from_fd = sl_blob_open(store, digest, &size, err);
    if (from_fd < 0) {
        return from_fd;
    }
    _cleanup_(close)
    int parent_fd = -1;
    const char *name = strrchr(path, '/');
    if (name != NULL) {
        _cleanup_(free)
        char *parent = sl_strndup(path, (size_t)(name - path));
        parent_fd = sl_openat_beneath(dirfd, parent, O_RDONLY | O_DIRECTORY, 0, err);
        if (parent_fd < 0) {
            return parent_fd;
        }
        dirfd = parent_fd;
        name++;
    } else {
        name = path;
    }
    _cleanup_(close)
    int to_fd = sl_openat_beneath(dirfd, name, O_WRONLY | O_CREAT | O_EXCL, 0600, err);
    if (to_fd < 0) {
        return to_fd;
    }
    int rc = fill(from_fd, size, to_fd, digest, err);
    if (rc == 0 && fchmod(to_fd, mode & 07777) != 0) {
        rc = sl_err_errno(err, errno, "cannot set the mode of '%s'", path);
    }
    if (rc != 0) {
        (void)unlinkat(dirfd, name, 0);
    }
    return rc;
}
