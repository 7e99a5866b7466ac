/**
 * Unix stream sockets. sun_path holds 108 bytes; going through /proc/self/fd makes the directory's
 * length irrelevant.
 *
 * Thread: any.
 */
#include "core/base/base.h"

#include "core/http/unixsock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/mem.h"

#define BACKLOG 511

static int make_address(int dirfd, const char *name, struct sockaddr_un *ret, struct sl_err *err)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dirfd, name);
    if (name[0] == '\0' || strchr(name, '/') != NULL || n < 0 ||
        (size_t)n >= sizeof(ret->sun_path)) {
        return sl_err_set(err, SL_EINVAL, "'%.80s' cannot name a socket", name);
    }
    return 0;
}

int sl_unix_connect_at(int dirfd, const char *name, struct sl_err *err)
{
    struct sockaddr_un address;
    int rc = make_address(dirfd, name, &address, err);
    if (rc != 0) {
        return rc;
    }
    _cleanup_(close)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot make a socket");
    }
    do {
        rc = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    } while (rc != 0 && errno == EINTR);
    if (rc == 0) {
        return sl_take_fd(fd);
    }
    if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTSOCK || errno == ENOTDIR) {
        return sl_err_set(err, SL_EUNREACHABLE, "nobody listens on socket '%s'", name);
    }
    if (errno == EACCES || errno == EPERM) {
        return sl_err_set(err, SL_EAUTH, "socket '%s' belongs to another user", name);
    }
    return sl_err_errno(err, errno, "cannot connect to socket '%s'", name);
}

int sl_unix_connect(const char *path, struct sl_err *err)
{
    const char *slash = strrchr(path, '/');
    _cleanup_(free)
    char *dir = slash == NULL   ? sl_strdup(".")
                : slash == path ? sl_strdup("/")
                                : sl_strndup(path, (size_t)(slash - path));
    _cleanup_(close)
    int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? sl_err_set(err, SL_EUNREACHABLE, "nobody listens on socket '%s'", path)
                   : sl_err_errno(err, errno, "cannot open '%s'", dir);
    }
    return sl_unix_connect_at(dirfd, slash != NULL ? slash + 1 : path, err);
}

/* Removes a socket nobody answers on. */
static int remove_dead(int dirfd, const char *name, struct sl_err *err)
{
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : sl_err_errno(err, errno, "cannot look at '%s'", name);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return sl_err_set(err, SL_EEXISTS, "'%s' exists and is not a socket", name);
    }
    int fd = sl_unix_connect_at(dirfd, name, err);
    if (fd >= 0) {
        (void)close(fd);
        return sl_err_set(err, SL_EBUSY, "another process answers on socket '%s'", name);
    }
    if (fd != -SL_EUNREACHABLE) {
        return fd;
    }
    if (unlinkat(dirfd, name, 0) != 0 && errno != ENOENT) {
        return sl_err_errno(err, errno, "cannot remove the dead socket '%s'", name);
    }
    return 0;
}

int sl_unix_listen(int dirfd, const char *name, struct sl_err *err)
{
    struct sockaddr_un address;
    int rc = make_address(dirfd, name, &address, err);
    rc = rc != 0 ? rc : remove_dead(dirfd, name, err);
    if (rc != 0) {
        return rc;
    }
    _cleanup_(close)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Linux makes the file with the mode of the unbound socket: never open for a moment. */
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        return sl_err_errno(err, errno, "cannot make a socket");
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        return sl_err_errno(err, errno == EADDRINUSE ? EEXIST : errno, "cannot bind socket '%s'",
                            name);
    }
    if (fchmodat(dirfd, name, 0600, 0) != 0 || listen(fd, BACKLOG) != 0) {
        int cause = errno;
        (void)unlinkat(dirfd, name, 0);
        return sl_err_errno(err, cause, "cannot listen on socket '%s'", name);
    }
    return sl_take_fd(fd);
}

int sl_unix_peer_uid(int fd, uid_t *ret_uid, struct sl_err *err)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
        return sl_err_errno(err, errno, "cannot tell who is connected");
    }
    *ret_uid = cred.uid;
    return 0;
}
