/**
 * Inside of the content store: where things lie, and what a session remembers.
 *
 * Layout below the store's directory: sha256/ab/<62 hex> (0444, final), stage/<id>/<n> (one directory
 * per session, locked with flock while the session lives), lock (flock: creating and clearing of
 * sessions, publishing).
 */
#ifndef SL_BLOB_PRIV_H
#define SL_BLOB_PRIV_H

#include <pthread.h>

#include "core/base/mem.h"
#include "core/base/time.h"
#include "core/blob/blob.h"

#define BLOB_NAME_BYTES  (SL_DIGEST_HEX + 2) /* "ab/<62 hex>" with NUL */
#define BLOB_CHUNK_BYTES ((size_t)1 << 20)   /* one read */
#define BLOB_SMALL_MAX                                                                             \
    ((uint64_t)BLOB_CHUNK_BYTES) /* read whole, hashed before anything is written */
#define BLOB_STAGE_NAME 28       /* decimal sequence number, perhaps below a stripe */

struct sl_blob_store {
    int root_fd;
    int sha_fd;
    int stage_fd;
    int lock_fd;
    pthread_mutex_t lock; /* with flock(lock_fd): one publisher at a time */
    bool unsynced;        /* a publication failed: what it renamed may not be durable */
};

/** Content staged and not yet in place. */
struct blob_staged {
    struct sl_digest digest;
    uint64_t seq; /* its place in the session's directory */
};

struct sl_blob_session {
    struct sl_blob_store *store;
    char id[SL_ID_HEX + 1];
    int dir_fd;
    pthread_mutex_t lock; /* guards all below */
    uint64_t next_seq;
    unsigned stripes; /* bit per directory that was made for many files */
    SL_VEC(struct blob_staged) staged;
    uint32_t *slots; /* open addressing over staged: index + 1, 0 = free */
    size_t n_slots;
    struct sl_err dead; /* code != 0 once a write failed */
    bool publishing, committed;
};

/** "ab/cdef...". Returns out. */
char *blob_file_name(const struct sl_digest *digest, char out[BLOB_NAME_BYTES]);
/** Takes or gives the store-wide lock (threads and processes). */
int blob_store_lock(struct sl_blob_store *store, struct sl_err *err) SL_MUST_CHECK;
void blob_store_unlock(struct sl_blob_store *store);

/** The next place below the session's directory, which has room for it. */
int blob_stage_next(struct sl_blob_session *s, uint64_t *ret_seq, char ret_name[BLOB_STAGE_NAME],
                    struct sl_err *err) SL_MUST_CHECK;

/** Moves back what a collection that died had moved aside. Store lock held. */
int blob_aside_restore(struct sl_blob_store *store, struct sl_err *err) SL_MUST_CHECK;
/** Opens a new staging file; `ret_seq` names it. */
int blob_stage_open(struct sl_blob_session *s, uint64_t *ret_seq, int flags, struct sl_err *err)
    SL_MUST_CHECK;
/** Records finished staging, or drops the file when the content is staged or stored already. */
int blob_stage_done(struct sl_blob_session *s, uint64_t seq, struct sl_blob_added *added,
                    struct sl_err *err) SL_MUST_CHECK;
void blob_stage_drop(struct sl_blob_session *s, uint64_t seq);
/** Whether the session or the store has it. */
bool blob_session_has(struct sl_blob_session *s, const struct sl_digest *digest);

/** Copies `size` bytes of `fd` to a new staging file while hashing: two threads, large files. */
int blob_stage_large(struct sl_blob_session *s, int fd, uint64_t size, struct sl_blob_added *ret,
                     struct sl_err *err) SL_MUST_CHECK;
/** Hashes `size` bytes of `fd` from offset 0; -SL_ECONFLICT when there are fewer. */
int blob_hash_fd(int fd, uint64_t size, struct sl_digest *ret, struct sl_err *err) SL_MUST_CHECK;

#endif
