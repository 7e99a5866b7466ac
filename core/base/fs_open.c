/**
 * Opening and making directories and files, never leaving the directory that was meant.
 *
 * Thread: any. Blocks: yes. Must not: follow links below a directory descriptor.
 */
#include "core/base/base.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/fs_priv.h"
#include "core/base/mem.h"

#define OPENAT2_TRIES 16 /* EAGAIN: a rename happened meanwhile */

const char *sl_path_split(const char *path, char **ret_dir)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        *ret_dir = sl_strdup(".");
        return path;
    }
    *ret_dir = slash == path ? sl_strdup("/") : sl_strndup(path, (size_t)(slash - path));
    return slash + 1;
}

/** The first component's length; `*path` moves past leading slashes. 0 at the end. */
static size_t next_component(const char **path)
{
    *path += strspn(*path, "/");
    return strcspn(*path, "/");
}

static bool has_dotdot(const char *path)
{
    size_t len = 0;
    for (const char *p = path; (len = next_component(&p)) > 0; p += len) {
        if (len == 2 && p[0] == '.' && p[1] == '.') {
            return true;
        }
    }
    return false;
}

int sl_openat_walk(int dirfd, const char *path, int flags, mode_t mode)
{
    _cleanup_(close)
    int owned = -1;
    const char *p = path;
    size_t len = next_component(&p);
    for (;;) {
        char name[256];
        if (len >= sizeof(name)) {
            return -ENAMETOOLONG;
        }
        memcpy(name, p, len);
        name[len] = '\0';
        p += len;
        bool trailing_slash = *p == '/';
        len = next_component(&p);
        int from = owned >= 0 ? owned : dirfd;
        if (len == 0) {
            int last_flags = flags | O_NOFOLLOW | O_CLOEXEC | (trailing_slash ? O_DIRECTORY : 0);
            int fd = openat(from, name, last_flags, mode);
            return fd >= 0 ? fd : -errno;
        }
        int fd = openat(from, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            return -errno;
        }
        if (owned >= 0) {
            (void)close(owned);
        }
        owned = fd;
    }
}

/** @return descriptor, or a negative errno */
static int open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
    bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = creates ? mode & 07777 : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;
    for (int i = 0; i < OPENAT2_TRIES; i++) {
        fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }
    if (fd >= 0) {
        return (int)fd;
    }
    /* Old kernels say ENOSYS; sandboxes that do not know the call say EPERM. */
    if (errno == ENOSYS || errno == EPERM) {
        return sl_openat_walk(dirfd, path, flags, mode);
    }
    return -errno;
}

int sl_openat_beneath(int dirfd, const char *path, int flags, mode_t mode, struct sl_err *err)
{
    if (path[0] == '\0' || path[0] == '/' || has_dotdot(path)) {
        return sl_err_set(err, SL_EINVAL, "path '%s' must be relative and without '..'", path);
    }
    int fd = open_beneath(dirfd, path, flags, mode);
    if (fd >= 0) {
        return fd;
    }
    if (fd == -ELOOP || fd == -EXDEV) {
        return sl_err_set(err, SL_EINVAL, "path '%s' meets a symbolic link or leaves its directory",
                          path);
    }
    return sl_err_errno(err, -fd, "cannot open '%s'", path);
}

int sl_opendir_at(int dirfd, const char *path, struct sl_err *err)
{
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open directory '%s'", path);
    }
    return fd;
}

/** Makes and enters one component. @return descriptor (owned), or negative code */
static int make_and_enter(int from, const char *name, mode_t mode, bool follow, struct sl_err *err)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
    if (mkdirat(from, name, mode) != 0 && errno != EEXIST) {
        int made_errno = errno;
        int existing = openat(from, name, flags); /* read-only file systems refuse before looking */
        return existing >= 0 ? existing
                             : sl_err_errno(err, made_errno, "cannot make directory '%s'", name);
    }
    int fd = openat(from, name, flags);
    if (fd < 0 && errno == EACCES) {
        fd = openat(from, name, O_PATH | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    }
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
        return sl_err_set(err, SL_EEXISTS, "'%s' exists and is not a directory", name);
    }
    return fd >= 0 ? fd : sl_err_errno(err, errno, "cannot open directory '%s'", name);
}

int sl_mkdirs_at(int dirfd, const char *path, mode_t mode, struct sl_err *err)
{
    /* A path as a person gave it may pass through links; below a descriptor none may. */
    bool follow = dirfd == AT_FDCWD;
    if (path[0] == '\0' || (path[0] == '/' && !follow) || strstr(path, "//") != NULL ||
        has_dotdot(path)) {
        return sl_err_set(err, SL_EINVAL, "directory '%s' must not have '..' or empty components",
                          path);
    }
    _cleanup_(close)
    int owned = -1;
    if (path[0] == '/') {
        owned = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    size_t len = 0;
    for (const char *p = path; (len = next_component(&p)) > 0; p += len) {
        _cleanup_(free)
        char *name = sl_strndup(p, len);
        int fd = make_and_enter(owned >= 0 ? owned : dirfd, name, mode, follow, err);
        if (fd < 0) {
            return sl_err_wrap(err, "cannot make '%s'", path);
        }
        if (owned >= 0) {
            (void)close(owned);
        }
        owned = fd;
    }
    return 0;
}
