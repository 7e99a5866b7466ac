/**
 * Ingest sessions: stage, one durability point, rename into place.
 *
 * Order: staged bytes are synced, then renamed, then the directories are synced, then the caller is
 * told. A crash before the rename leaves staging to clear, after it content nobody names yet.
 * Thread: additions from any thread; begin, commit and free from one.
 */
#include "core/base/base.h"

#include "core/blob/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "core/base/fs.h"
#include "core/blob/blob_priv.h"

#define UNSTRIPED 64 /* files of a session before directories are made for more */
#define STRIPES   16

int sl_blob_session_begin(struct sl_blob_store *store, struct sl_blob_session **ret_session,
                          struct sl_err *err)
{
    struct sl_blob_session *s = SL_NEW(struct sl_blob_session);
    s->store = store;
    s->dir_fd = -1;
    SL_ASSERT(pthread_mutex_init(&s->lock, NULL) == 0);
    sl_id_new(NULL, s->id);
    int rc = blob_store_lock(store, err);
    if (rc == 0) {
        if (mkdirat(store->stage_fd, s->id, 0700) != 0) {
            rc = sl_err_errno(err, errno, "cannot begin staging");
        } else {
            s->dir_fd = sl_opendir_at(store->stage_fd, s->id, err);
            rc = SL_MIN(s->dir_fd, 0);
        }
        if (rc == 0 && flock(s->dir_fd, LOCK_EX | LOCK_NB) != 0) {
            rc = sl_err_errno(err, errno, "cannot lock staging");
        }
        blob_store_unlock(store);
    }
    if (rc != 0) {
        sl_blob_session_free(s);
        return rc;
    }
    *ret_session = s;
    return 0;
}

void sl_blob_session_free(struct sl_blob_session *s)
{
    if (s == NULL) {
        return;
    }
    if (s->dir_fd >= 0) {
        /* A publication that failed half way leaves its directory as the trace that the next
         * sl_blob_store_open acts on; it also clears what cannot be removed here. */
        if (!s->publishing || s->committed) {
            int ignored = sl_remove_tree_at(s->store->stage_fd, s->id, NULL);
            (void)ignored;
        }
        sl_cleanup_close(&s->dir_fd);
    }
    sl_vec_free(&s->staged);
    free(s->slots);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Remembers the first failure; the session promises nothing any more. */
static int kill_session(struct sl_blob_session *s, int rc, const struct sl_err *err)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->dead.code == 0) {
        if (err != NULL && err->code != 0) {
            s->dead = *err;
        } else {
            (void)sl_err_set(&s->dead, -rc, "an earlier write of this session failed");
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

static int check_alive(struct sl_blob_session *s, struct sl_err *err)
{
    SL_ASSERT(!s->committed);
    (void)pthread_mutex_lock(&s->lock);
    struct sl_err dead = s->dead;
    (void)pthread_mutex_unlock(&s->lock);
    if (dead.code != 0) {
        if (err != NULL) {
            *err = dead;
        }
        return -dead.code;
    }
    return 0;
}

/* A directory takes one new file at a time: many files go to several, so that threads do not queue for one. */
static char *stage_name(uint64_t seq, char out[BLOB_STAGE_NAME])
{
    if (seq < UNSTRIPED) {
        (void)snprintf(out, BLOB_STAGE_NAME, "%llu", (unsigned long long)seq);
    } else {
        (void)snprintf(out, BLOB_STAGE_NAME, "s%x/%llu", (unsigned)(seq % STRIPES),
                       (unsigned long long)seq);
    }
    return out;
}

int blob_stage_next(struct sl_blob_session *s, uint64_t *ret_seq, char ret_name[BLOB_STAGE_NAME],
                    struct sl_err *err)
{
    int rc = 0;
    (void)pthread_mutex_lock(&s->lock);
    uint64_t seq = s->next_seq++;
    unsigned bit = 1U << (seq % STRIPES);
    stage_name(seq, ret_name);
    char *slash = strchr(ret_name, '/');
    if (slash != NULL && (s->stripes & bit) == 0) {
        *slash = '\0';
        rc = mkdirat(s->dir_fd, ret_name, 0700) != 0
                 ? sl_err_errno(err, errno, "cannot stage content")
                 : 0;
        *slash = '/';
        s->stripes |= rc == 0 ? bit : 0;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (seq >= SL_BLOB_SESSION_FILES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "more than %d files in one session",
                          SL_BLOB_SESSION_FILES_MAX);
    }
    *ret_seq = seq;
    return rc;
}

int blob_stage_open(struct sl_blob_session *s, uint64_t *ret_seq, int flags, struct sl_err *err)
{
    char name[BLOB_STAGE_NAME];
    uint64_t seq = 0;
    int rc = blob_stage_next(s, &seq, name, err);
    if (rc < 0) {
        return rc;
    }
    int fd =
        openat(s->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | flags, 0444);
    if (fd < 0 && errno == EINVAL && (flags & O_DIRECT) != 0) {
        (void)unlinkat(s->dir_fd, name, 0);
        return sl_err_set(err, SL_EUNSUPPORTED, "direct writes are not supported here");
    }
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot stage content");
    }
    *ret_seq = seq;
    return fd;
}

void blob_stage_drop(struct sl_blob_session *s, uint64_t seq)
{
    char name[BLOB_STAGE_NAME];
    (void)unlinkat(s->dir_fd, stage_name(seq, name), 0);
}

/* The slot that holds the digest, or the free one where it belongs. Lock held. */
static size_t slot_of(const struct sl_blob_session *s, const struct sl_digest *digest)
{
    uint64_t hash = 0;
    memcpy(&hash, digest->b, sizeof(hash)); /* SHA-256 is uniform */
    size_t at = (size_t)hash & (s->n_slots - 1);
    while (s->slots[at] != 0 && !sl_digest_eq(&s->staged.items[s->slots[at] - 1].digest, digest)) {
        at = (at + 1) & (s->n_slots - 1);
    }
    return at;
}

static void grow_slots(struct sl_blob_session *s)
{
    if ((s->staged.n + 1) * 2 <= s->n_slots) {
        return;
    }
    free(s->slots);
    s->n_slots = SL_MAX(s->n_slots * 2, (size_t)64);
    s->slots = sl_calloc(s->n_slots, sizeof(*s->slots));
    for (size_t i = 0; i < s->staged.n; i++) {
        s->slots[slot_of(s, &s->staged.items[i].digest)] = (uint32_t)i + 1;
    }
}

static bool staged_already(struct sl_blob_session *s, const struct sl_digest *digest)
{
    (void)pthread_mutex_lock(&s->lock);
    bool found = s->n_slots > 0 && s->slots[slot_of(s, digest)] != 0;
    (void)pthread_mutex_unlock(&s->lock);
    return found;
}

bool blob_session_has(struct sl_blob_session *s, const struct sl_digest *digest)
{
    return staged_already(s, digest) || sl_blob_has(s->store, digest);
}

int blob_stage_done(struct sl_blob_session *s, uint64_t seq, struct sl_blob_added *added,
                    struct sl_err *err)
{
    (void)err;
    bool twice = sl_blob_has(s->store, &added->digest);
    (void)pthread_mutex_lock(&s->lock);
    if (!twice) {
        grow_slots(s);
        size_t slot = slot_of(s, &added->digest);
        twice = s->slots[slot] != 0;
        if (!twice) {
            struct blob_staged item = {added->digest, seq};
            sl_vec_push(&s->staged, item);
            s->slots[slot] = (uint32_t)s->staged.n;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (twice) {
        blob_stage_drop(s, seq);
    }
    added->existed = twice;
    return 0;
}

int sl_blob_session_add_bytes(struct sl_blob_session *s, const void *data, size_t len,
                              struct sl_blob_added *ret, struct sl_err *err)
{
    int rc = check_alive(s, err);
    if (rc != 0) {
        return rc;
    }
    struct sl_blob_added added = {.size_bytes = len};
    sl_sha256(data, len, &added.digest);
    if (blob_session_has(s, &added.digest)) {
        added.existed = true;
        *ret = added;
        return 0;
    }
    uint64_t seq = 0;
    _cleanup_(close)
    int fd = blob_stage_open(s, &seq, 0, err);
    if (fd < 0) {
        return kill_session(s, fd, err);
    }
    int fault = SL_FAULT_POINT(BLOB_STAGE);
    rc = fault != 0 ? sl_err_errno(err, fault, "cannot write to the content store")
                    : sl_write_all(fd, data, len, err);
    if (rc != 0) {
        blob_stage_drop(s, seq);
        return kill_session(s, rc, err);
    }
    rc = blob_stage_done(s, seq, &added, err);
    if (rc == 0) {
        *ret = added;
    }
    return rc;
}

/* Up to 1 MiB: read whole, and write only what is new. */
static int add_small(struct sl_blob_session *s, int fd, uint64_t size, struct sl_blob_added *ret,
                     struct sl_err *err)
{
    size_t cap = (size_t)size + 1; /* one more shows that it grew */
    _cleanup_(free)
    char *bytes = sl_malloc(cap);
    size_t got = 0;
    while (got < cap) {
        ssize_t n = pread(fd, bytes + got, cap - got, (off_t)got);
        if (n < 0 && errno != EINTR) {
            return sl_err_errno(err, errno, "cannot read");
        }
        if (n == 0) {
            break;
        }
        got += n > 0 ? (size_t)n : 0;
    }
    if (got != (size_t)size) {
        return sl_err_set(err, SL_ECONFLICT, "the file changed its size while it was read");
    }
    return sl_blob_session_add_bytes(s, bytes, got, ret, err);
}

static bool same_file_state(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int add_sized(struct sl_blob_session *s, int fd, uint64_t size,
                     const struct sl_digest *likely, struct sl_blob_added *ret, struct sl_err *err)
{
    if (size <= BLOB_SMALL_MAX) {
        return add_small(s, fd, size, ret, err);
    }
    if (likely != NULL && blob_session_has(s, likely)) {
        struct sl_blob_added added = {.size_bytes = size, .existed = true};
        int rc = blob_hash_fd(fd, size, &added.digest, err);
        if (rc != 0) {
            return rc;
        }
        if (blob_session_has(s, &added.digest)) {
            *ret = added;
            return 0;
        }
    }
    int rc = blob_stage_large(s, fd, size, ret, err);
    return rc == 0 || rc == -SL_ECONFLICT ? rc : kill_session(s, rc, err);
}

int sl_blob_session_add_fd(struct sl_blob_session *s, int fd, const struct sl_digest *likely,
                           struct sl_blob_added *ret, struct sl_err *err)
{
    int rc = check_alive(s, err);
    if (rc != 0) {
        return rc;
    }
    struct stat before;
    struct stat after;
    if (fstat(fd, &before) != 0) {
        return sl_err_errno(err, errno, "cannot stat");
    }
    if (!S_ISREG(before.st_mode)) {
        return sl_err_set(err, SL_EINVAL, "not a regular file");
    }
    struct sl_blob_added added = {0};
    rc = add_sized(s, fd, (uint64_t)before.st_size, likely, &added, err);
    if (rc != 0) {
        return rc;
    }
    if (fstat(fd, &after) != 0) {
        return sl_err_errno(err, errno, "cannot stat");
    }
    if (!same_file_state(&before, &after)) {
        return sl_err_set(err, SL_ECONFLICT, "the file changed while it was read");
    }
    *ret = added;
    return 0;
}

int sl_blob_session_add_path(struct sl_blob_session *s, int dirfd, const char *path,
                             struct sl_blob_added *ret, struct sl_err *err)
{
    /* Not blocking on a FIFO that took the file's place. */
    _cleanup_(close)
    int fd = sl_openat_beneath(dirfd, path, O_RDONLY | O_NONBLOCK, 0, err);
    if (fd < 0) {
        return fd;
    }
    int rc = sl_blob_session_add_fd(s, fd, NULL, ret, err);
    return rc == 0 ? 0 : sl_err_wrap(err, "%s", path);
}

static int sync_staged(struct sl_blob_session *s, struct sl_err *err)
{
    int fault = SL_FAULT_POINT(BLOB_SYNC);
    if (fault != 0) {
        return sl_err_errno(err, fault, "cannot sync staged content");
    }
    if (s->staged.n > SL_BLOB_SYNC_EACH_MAX) {
        return syncfs(s->dir_fd) == 0 ? 0 : sl_err_errno(err, errno, "cannot sync staged content");
    }
    for (size_t i = 0; i < s->staged.n; i++) {
        char name[BLOB_STAGE_NAME];
        _cleanup_(close)
        int fd = openat(s->dir_fd, stage_name(s->staged.items[i].seq, name),
                        O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) {
            return sl_err_errno(err, errno, "cannot sync staged content");
        }
        int rc = sl_fsync_fd(fd, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int publish_one(struct sl_blob_session *s, const struct blob_staged *item,
                       struct sl_err *err)
{
    int fault = SL_FAULT_POINT(BLOB_PUBLISH);
    if (fault != 0) {
        return sl_err_errno(err, fault, "cannot move content into place");
    }
    char from[BLOB_STAGE_NAME];
    char to[BLOB_NAME_BYTES];
    stage_name(item->seq, from);
    blob_file_name(&item->digest, to);
    if (renameat2(s->dir_fd, from, s->store->sha_fd, to, RENAME_NOREPLACE) == 0 ||
        errno == EEXIST) {
        return 0;
    }
    if (errno == EINVAL && renameat(s->dir_fd, from, s->store->sha_fd, to) == 0) {
        return 0; /* no NOREPLACE here; replacing equal bytes by equal bytes is harmless */
    }
    return sl_err_errno(err, errno, "cannot move content into place");
}

/* Makes the fan-out directory of every staged digest; marks them in `touched`. */
static int make_fanout(struct sl_blob_session *s, bool touched[256], bool *ret_made,
                       struct sl_err *err)
{
    for (size_t i = 0; i < s->staged.n; i++) {
        uint8_t first = s->staged.items[i].digest.b[0];
        if (touched[first]) {
            continue;
        }
        touched[first] = true;
        char name[3];
        (void)snprintf(name, sizeof(name), "%02x", first);
        if (mkdirat(s->store->sha_fd, name, 0700) == 0) {
            *ret_made = true;
        } else if (errno != EEXIST) {
            return sl_err_errno(err, errno, "cannot make a content directory");
        }
    }
    return 0;
}

static int sync_fanout(struct sl_blob_session *s, const bool touched[256], bool made,
                       struct sl_err *err)
{
    int n = 0;
    for (int i = 0; i < 256; i++) {
        n += touched[i] ? 1 : 0;
    }
    if (n > SL_BLOB_SYNC_EACH_MAX) {
        return syncfs(s->store->sha_fd) == 0
                   ? 0
                   : sl_err_errno(err, errno, "cannot sync the content directories");
    }
    for (int i = 0; i < 256; i++) {
        if (!touched[i]) {
            continue;
        }
        char name[3];
        (void)snprintf(name, sizeof(name), "%02x", (unsigned)i);
        _cleanup_(close)
        int fd = sl_opendir_at(s->store->sha_fd, name, err);
        int rc = fd < 0 ? fd : sl_fsync_fd(fd, err);
        if (rc != 0) {
            return rc;
        }
    }
    return made ? sl_fsync_fd(s->store->sha_fd, err) : 0;
}

/* Store lock held, so whoever finds our content and commits after us finds it synced, too. */
static int publish(struct sl_blob_session *s, struct sl_err *err)
{
    bool touched[256] = {false};
    bool made = false;
    if (s->store->unsynced && syncfs(s->store->sha_fd) != 0) {
        return sl_err_errno(err, errno, "cannot sync the content directories");
    }
    s->publishing = s->store->unsynced = true;
    int rc = make_fanout(s, touched, &made, err);
    for (size_t i = 0; rc == 0 && i < s->staged.n; i++) {
        rc = publish_one(s, &s->staged.items[i], err);
    }
    if (rc == 0) {
        rc = sync_fanout(s, touched, made, err);
    }
    if (rc == 0) {
        int fault = SL_FAULT_POINT(BLOB_PUBLISHED);
        rc = fault != 0 ? sl_err_errno(err, fault, "cannot sync the content directories") : 0;
    }
    s->store->unsynced = rc != 0;
    return rc;
}

int sl_blob_session_commit(struct sl_blob_session *s, struct sl_err *err)
{
    int rc = check_alive(s, err);
    if (rc == 0 && s->staged.n > 0) {
        rc = sync_staged(s, err);
    }
    if (rc == 0) {
        int fault = SL_FAULT_POINT(BLOB_SYNCED);
        rc = fault != 0 ? sl_err_errno(err, fault, "cannot sync staged content") : 0;
    }
    if (rc == 0) {
        rc = blob_store_lock(s->store, err);
        if (rc == 0) {
            rc = publish(s, err);
            blob_store_unlock(s->store);
        }
    }
    if (rc != 0) {
        return kill_session(s, rc, err);
    }
    s->committed = true;
    return 0;
}

int sl_blob_put_bytes(struct sl_blob_store *store, const void *data, size_t len,
                      struct sl_digest *ret_digest, struct sl_err *err)
{
    struct sl_blob_session *s = NULL;
    struct sl_blob_added added;
    int rc = sl_blob_session_begin(store, &s, err);
    if (rc == 0) {
        rc = sl_blob_session_add_bytes(s, data, len, &added, err);
    }
    if (rc == 0) {
        rc = sl_blob_session_commit(s, err);
    }
    sl_blob_session_free(s);
    if (rc == 0) {
        *ret_digest = added.digest;
    }
    return rc;
}
