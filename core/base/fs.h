/**
 * Files: durable publishing, whole-file reads with a cap, walking and removing trees, and opening
 * paths beneath a directory descriptor (never through symlinks or "..").
 *
 * Thread: any. Blocks: yes. Fault points: fs.* of faults.def.
 */
#ifndef SL_FS_H
#define SL_FS_H

#include <sys/stat.h>
#include <sys/types.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/str.h"

/** Opens `path` below `dirfd` with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), CLOEXEC.
 * @return descriptor, or negative code with err set */
int sl_openat_beneath(int dirfd, const char *path, int flags, mode_t mode, struct sl_err *err)
    SL_MUST_CHECK;

/** Opens a directory (CLOEXEC, O_DIRECTORY). dirfd may be AT_FDCWD. */
int sl_opendir_at(int dirfd, const char *path, struct sl_err *err) SL_MUST_CHECK;

/** mkdir -p below dirfd; existing directories are fine; refuses ".." and empty components. An
 * absolute path and links on the way are allowed with AT_FDCWD only. Not synced. */
int sl_mkdirs_at(int dirfd, const char *path, mode_t mode, struct sl_err *err) SL_MUST_CHECK;

/** Reads a whole file of at most max_bytes into `out` (cleared first). -SL_ELIMIT when larger. */
int sl_read_file_at(int dirfd, const char *path, size_t max_bytes, struct sl_buf *out,
                    struct sl_err *err) SL_MUST_CHECK;
int sl_read_fd(int fd, size_t max_bytes, struct sl_buf *out, struct sl_err *err) SL_MUST_CHECK;
int sl_write_all(int fd, const void *data, size_t len, struct sl_err *err) SL_MUST_CHECK;

/** Publishes: temporary file in the same directory, write, fsync (when durable), rename over `path`,
 * fsync of the directory (when durable). A crash leaves the old file or the new one. */
int sl_publish_file_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                       bool durable, struct sl_err *err) SL_MUST_CHECK;
int sl_fsync_fd(int fd, struct sl_err *err) SL_MUST_CHECK;

/** Copies a regular file's bytes: reflink, else copy_file_range, else read/write; hashes what was
 * copied when `ret_digest` is given. */
int sl_copy_fd(int from_fd, int to_fd, struct sl_digest *ret_digest, uint64_t *ret_bytes,
               struct sl_err *err) SL_MUST_CHECK;

/** Removes the tree without following links; a missing one is success. Makes directories writable first. */
int sl_remove_tree_at(int dirfd, const char *path, struct sl_err *err) SL_MUST_CHECK;

#define SL_WALK_DEPTH_MAX 128

/** One entry met by sl_walk_at. `path` is relative to the walked root, "/"-separated. */
struct sl_walk_entry {
    const char *path;
    const struct stat *st; /* lstat */
    int dirfd;             /* of the containing directory; valid during the call */
    const char *name;      /* last component */
};
/** Called per entry, parents before children, names sorted by bytes. Return 0 to go on, 1 to skip a
 * directory's content, negative to stop with that code. */
typedef int (*sl_walk_fn)(const struct sl_walk_entry *entry, void *data, struct sl_err *err);
/** Walks below dirfd/path without following links. The root
 * itself is no entry. Limits: SL_WALK_DEPTH_MAX levels below the root (SL_ELIMIT). */
int sl_walk_at(int dirfd, const char *path, sl_walk_fn fn, void *data, struct sl_err *err)
    SL_MUST_CHECK;

#endif
