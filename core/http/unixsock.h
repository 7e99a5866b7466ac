/**
 * Unix stream sockets by directory descriptor, so that path length does not matter, and the peer's
 * identity.
 *
 * Thread: any. Blocks: connect only, briefly.
 */
#ifndef SL_HTTP_UNIXSOCK_H
#define SL_HTTP_UNIXSOCK_H

#include <sys/types.h>

#include "core/base/err.h"

/** Binds and listens at `dirfd`/`name` (no slash), mode 0600, CLOEXEC, non-blocking; replaces a
 * dead one. @return descriptor; -SL_EBUSY when somebody answers there */
int sl_unix_listen(int dirfd, const char *name, struct sl_err *err) SL_MUST_CHECK;

/** Connects, CLOEXEC, blocking. @return descriptor; -SL_EUNREACHABLE when nobody listens */
int sl_unix_connect(const char *path, struct sl_err *err) SL_MUST_CHECK;
int sl_unix_connect_at(int dirfd, const char *name, struct sl_err *err) SL_MUST_CHECK;

/** Effective uid of the peer at connect time. */
int sl_unix_peer_uid(int fd, uid_t *ret_uid, struct sl_err *err) SL_MUST_CHECK;

#endif
