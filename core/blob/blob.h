/**
 * The content store: immutable bytes named by their SHA-256.
 *
 * No path ever leaves this room: callers see digests, descriptors and verified copies, so that whole
 * files can give way to packs without a change outside. Content is never rewritten and never linked
 * out: whoever holds a materialised copy cannot alter the store.
 *
 * Thread: a store may be used from any thread; a session may be fed by several threads at once.
 * Blocks: yes. Fault points: blob.* of faults.def. Must not: know what the content means.
 */
#ifndef SL_BLOB_H
#define SL_BLOB_H

#include <sys/types.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/str.h"

#define SL_BLOB_SESSION_FILES_MAX 10000000 /* additions in one session */
#define SL_BLOB_SYNC_EACH_MAX     24       /* up to here each file is synced alone, above: syncfs */

struct sl_blob_store;
struct sl_blob_session;

/** What an addition became. */
struct sl_blob_added {
    struct sl_digest digest;
    uint64_t size_bytes;
    bool existed; /* the store had this content already; nothing was written */
};

/**
 * Opens the store in directory `path` below `dirfd` (AT_FDCWD allowed), creating it when missing and
 * clearing what dead sessions left in staging.
 *
 * @return 0, -SL_EIO, -SL_ENOSPACE
 * Owner: caller closes with sl_blob_store_close after all sessions are freed.
 */
int sl_blob_store_open(int dirfd, const char *path, struct sl_blob_store **ret_store,
                       struct sl_err *err) SL_MUST_CHECK;
void sl_blob_store_close(struct sl_blob_store *store); /* NULL allowed */

/** Begins an ingest session. Owner: caller frees with sl_blob_session_free, committed or not. */
int sl_blob_session_begin(struct sl_blob_store *store, struct sl_blob_session **ret_session,
                          struct sl_err *err) SL_MUST_CHECK;

/**
 * Stages the rest of a regular file from the descriptor's offset 0. Hashing and writing overlap for
 * large files. Nothing is durable or visible before sl_blob_session_commit.
 *
 * @param likely  NULL, or the digest that the content probably has (the previous version's): when the
 *                store holds it, the file is first only hashed, and nothing is written if it matches
 * @return 0; -SL_ECONFLICT when the file changed while it was read (size, mtime or ctime);
 *         -SL_EINVAL when it is not a regular file; -SL_ENOSPACE; -SL_EIO. After any failure to write,
 *         the session is dead: every later call fails with the same code.
 * Thread: any, several at once.
 */
int sl_blob_session_add_fd(struct sl_blob_session *session, int fd, const struct sl_digest *likely,
                           struct sl_blob_added *ret, struct sl_err *err) SL_MUST_CHECK;

/** Opens `path` beneath `dirfd` (no symlinks, no "..") and adds it as sl_blob_session_add_fd does. */
int sl_blob_session_add_path(struct sl_blob_session *session, int dirfd, const char *path,
                             struct sl_blob_added *ret, struct sl_err *err) SL_MUST_CHECK;

/** Stages bytes from memory. */
int sl_blob_session_add_bytes(struct sl_blob_session *session, const void *data, size_t len,
                              struct sl_blob_added *ret, struct sl_err *err) SL_MUST_CHECK;

/**
 * The durability point: syncs everything staged once, moves it into place, syncs the directories.
 * When it returns 0, every addition of the session survives power loss (also those that `existed`).
 * When it fails nothing is promised and the session is dead; a sync that failed is never repeated.
 */
int sl_blob_session_commit(struct sl_blob_session *session, struct sl_err *err) SL_MUST_CHECK;

/** Drops what was not committed. NULL allowed. */
void sl_blob_session_free(struct sl_blob_session *session);

/** One whole session for one piece of memory: durable when it returns 0. */
int sl_blob_put_bytes(struct sl_blob_store *store, const void *data, size_t len,
                      struct sl_digest *ret_digest, struct sl_err *err) SL_MUST_CHECK;

/** Whether committed content of that digest is present. Marks it as found just now, so that no collection takes
 * it before the caller has recorded a reference. One system call. */
bool sl_blob_has(struct sl_blob_store *store, const struct sl_digest *digest);

/** Read-only descriptor at offset 0; `ret_size` may be NULL.
 * @return descriptor, or -SL_ENOTFOUND, -SL_EIO. The bytes are not verified. */
int sl_blob_open(struct sl_blob_store *store, const struct sl_digest *digest, uint64_t *ret_size,
                 struct sl_err *err) SL_MUST_CHECK;

/** Reads and verifies content of at most `max_bytes` into `out` (cleared first; its own max_bytes is
 * set). -SL_ELIMIT when larger, -SL_ECORRUPT when the bytes do not have that digest. */
int sl_blob_read_all(struct sl_blob_store *store, const struct sl_digest *digest, size_t max_bytes,
                     struct sl_buf *out, struct sl_err *err) SL_MUST_CHECK;

/** Rehashes stored content: 0, -SL_ENOTFOUND, -SL_ECORRUPT, -SL_EIO. */
int sl_blob_verify(struct sl_blob_store *store, const struct sl_digest *digest, struct sl_err *err)
    SL_MUST_CHECK;

/**
 * Writes a verified private copy as a new file `path` (one component or several that exist) below
 * `dirfd`, never through a symlink: by reflink where the file system can, else a hashed copy.
 *
 * @param mode  permission bits of the new file, exactly (no umask)
 * @return 0; -SL_EEXISTS; -SL_ENOTFOUND; -SL_ECORRUPT (nothing is left behind); -SL_ENOSPACE; -SL_EIO
 * Not synced: a copy can be made again.
 */
int sl_blob_materialise(struct sl_blob_store *store, const struct sl_digest *digest, int dirfd,
                        const char *path, mode_t mode, struct sl_err *err) SL_MUST_CHECK;

/** Called for every stored piece of content. Negative stops the walk with that code. */
typedef int (*sl_blob_each_fn)(const struct sl_digest *digest, uint64_t size_bytes, void *data,
                               struct sl_err *err);
/** Visits committed content, in digest order. */
int sl_blob_each(struct sl_blob_store *store, sl_blob_each_fn fn, void *data, struct sl_err *err)
    SL_MUST_CHECK;

/** What a collection did. */
struct sl_blob_collected {
    size_t n_removed, n_young; /* young: written or found since then, so kept */
    uint64_t bytes;            /* removed */
};
/**
 * Removes the pieces of content named, but none that was written, or found stored (sl_blob_has, sessions),
 * at or after `before_ms`. Sessions may run meanwhile, in this process and others. The caller knows that
 * nothing recorded names them. *ret is set after a failure, too; what was removed then stays removed.
 *
 * @return 0; -SL_EIO. Content that is not there is no error.
 */
int sl_blob_collect(struct sl_blob_store *store, const struct sl_digest *digests, size_t n,
                    int64_t before_ms, struct sl_blob_collected *ret, struct sl_err *err)
    SL_MUST_CHECK;

#endif
