/**
 * The store itself: opening, clearing what died, looking up, reading back.
 *
 * Thread: any. Must not: write content (session.c does), hand out paths.
 */
#include "core/base/base.h"

#include "core/blob/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/blob/blob_priv.h"

char *blob_file_name(const struct sl_digest *digest, char out[BLOB_NAME_BYTES])
{
    char hex[SL_DIGEST_HEX + 1];
    sl_digest_hex(digest, hex);
    out[0] = hex[0];
    out[1] = hex[1];
    out[2] = '/';
    memcpy(out + 3, hex + 2, SL_DIGEST_HEX - 1);
    return out;
}

int blob_store_lock(struct sl_blob_store *store, struct sl_err *err)
{
    SL_ASSERT(pthread_mutex_lock(&store->lock) == 0);
    while (flock(store->lock_fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            int failed = errno;
            (void)pthread_mutex_unlock(&store->lock);
            return sl_err_errno(err, failed, "cannot lock the content store");
        }
    }
    return 0;
}

void blob_store_unlock(struct sl_blob_store *store)
{
    (void)flock(store->lock_fd, LOCK_UN);
    (void)pthread_mutex_unlock(&store->lock);
}

/* Removes one session directory if nobody holds its lock. Store lock held. */
static int clear_if_dead(struct sl_blob_store *store, const char *name, bool *synced,
                         struct sl_err *err)
{
    _cleanup_(close)
    int fd = openat(store->stage_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? 0 : sl_err_errno(err, errno, "cannot open staging '%s'", name);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return 0; /* alive in another process or session */
    }
    /* It may have died between its renames and the sync of their directories; a later session
     * may rely on that content, so the renames become durable before the trace of it goes. */
    if (!*synced && syncfs(store->root_fd) != 0) {
        return sl_err_errno(err, errno, "cannot sync the content store");
    }
    *synced = true;
    return sl_remove_tree_at(store->stage_fd, name, err);
}

static int clear_dead_sessions(struct sl_blob_store *store, struct sl_err *err)
{
    int dir_fd = openat(store->stage_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return sl_err_errno(err, errno, "cannot read staging");
    }
    DIR *dir = fdopendir(dir_fd);
    if (dir == NULL) {
        int failed = errno;
        (void)close(dir_fd);
        return sl_err_errno(err, failed, "cannot read staging");
    }
    int rc = 0;
    bool synced = false;
    struct dirent *entry = NULL;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (sl_id_valid(entry->d_name)) {
            rc = clear_if_dead(store, entry->d_name, &synced, err);
        }
    }
    (void)closedir(dir);
    return rc;
}

static int open_parts(struct sl_blob_store *store, int dirfd, const char *path, struct sl_err *err)
{
    if (mkdirat(dirfd, path, 0700) != 0 && errno != EEXIST) {
        return sl_err_errno(err, errno, "cannot make the content store '%s'", path);
    }
    store->root_fd = sl_opendir_at(dirfd, path, err);
    if (store->root_fd < 0) {
        return store->root_fd;
    }
    int rc = sl_mkdirs_at(store->root_fd, "sha256", 0700, err);
    if (rc == 0) {
        rc = sl_mkdirs_at(store->root_fd, "stage", 0700, err);
    }
    if (rc != 0) {
        return rc;
    }
    store->sha_fd = sl_opendir_at(store->root_fd, "sha256", err);
    store->stage_fd = store->sha_fd < 0 ? -1 : sl_opendir_at(store->root_fd, "stage", err);
    if (store->sha_fd < 0 || store->stage_fd < 0) {
        return store->sha_fd < 0 ? store->sha_fd : store->stage_fd;
    }
    store->lock_fd =
        openat(store->root_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock_fd < 0) {
        return sl_err_errno(err, errno, "cannot open the content store's lock");
    }
    return sl_fsync_fd(store->root_fd, err);
}

int sl_blob_store_open(int dirfd, const char *path, struct sl_blob_store **ret_store,
                       struct sl_err *err)
{
    struct sl_blob_store *store = SL_NEW(struct sl_blob_store);
    store->root_fd = store->sha_fd = store->stage_fd = store->lock_fd = -1;
    SL_ASSERT(pthread_mutex_init(&store->lock, NULL) == 0);
    int rc = open_parts(store, dirfd, path, err);
    if (rc == 0) {
        rc = blob_store_lock(store, err);
        if (rc == 0) {
            rc = clear_dead_sessions(store, err);
            rc = rc < 0 ? rc : blob_aside_restore(store, err);
            blob_store_unlock(store);
        }
    }
    if (rc != 0) {
        sl_blob_store_close(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

void sl_blob_store_close(struct sl_blob_store *store)
{
    if (store == NULL) {
        return;
    }
    sl_cleanup_close(&store->lock_fd);
    sl_cleanup_close(&store->stage_fd);
    sl_cleanup_close(&store->sha_fd);
    sl_cleanup_close(&store->root_fd);
    (void)pthread_mutex_destroy(&store->lock);
    free(store);
}

bool sl_blob_has(struct sl_blob_store *store, const struct sl_digest *digest)
{
    char name[BLOB_NAME_BYTES];
    (void)blob_file_name(digest, name);
    return utimensat(store->sha_fd, name, NULL, AT_SYMLINK_NOFOLLOW) == 0 ||
           (errno != ENOENT && faccessat(store->sha_fd, name, F_OK, 0) == 0);
}

int sl_blob_open(struct sl_blob_store *store, const struct sl_digest *digest, uint64_t *ret_size,
                 struct sl_err *err)
{
    char name[BLOB_NAME_BYTES];
    char hex[SL_DIGEST_HEX + 1];
    _cleanup_(close)
    int fd = openat(store->sha_fd, blob_file_name(digest, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? sl_err_set(err, SL_ENOTFOUND, "content sha256:%s is not stored",
                                            sl_digest_hex(digest, hex))
                               : sl_err_errno(err, errno, "cannot open content sha256:%s",
                                              sl_digest_hex(digest, hex));
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return sl_err_errno(err, errno, "cannot stat content sha256:%s",
                            sl_digest_hex(digest, hex));
    }
    if (ret_size != NULL) {
        *ret_size = (uint64_t)st.st_size;
    }
    return sl_take_fd(fd);
}

static int damaged(const struct sl_digest *digest, struct sl_err *err)
{
    char hex[SL_DIGEST_HEX + 1];
    return sl_err_set(err, SL_ECORRUPT,
                      "content sha256:%s is damaged: its bytes have another digest",
                      sl_digest_hex(digest, hex));
}

int sl_blob_read_all(struct sl_blob_store *store, const struct sl_digest *digest, size_t max_bytes,
                     struct sl_buf *out, struct sl_err *err)
{
    uint64_t size = 0;
    _cleanup_(close)
    int fd = sl_blob_open(store, digest, &size, err);
    if (fd < 0) {
        return fd;
    }
    if (size > max_bytes) {
        return sl_err_set(err, SL_ELIMIT, "content of %llu bytes is over the limit of %zu",
                          (unsigned long long)size, max_bytes);
    }
    out->max_bytes = max_bytes;
    int rc = sl_read_fd(fd, max_bytes, out, err);
    if (rc != 0) {
        return rc;
    }
    struct sl_digest actual;
    sl_sha256(sl_buf_str(out), out->len, &actual);
    if (!sl_digest_eq(&actual, digest)) {
        sl_buf_clear(out);
        return damaged(digest, err);
    }
    return 0;
}

int sl_blob_verify(struct sl_blob_store *store, const struct sl_digest *digest, struct sl_err *err)
{
    uint64_t size = 0;
    _cleanup_(close)
    int fd = sl_blob_open(store, digest, &size, err);
    if (fd < 0) {
        return fd;
    }
    struct sl_digest actual;
    int rc = blob_hash_fd(fd, size, &actual, err);
    if (rc != 0) {
        return rc;
    }
    return sl_digest_eq(&actual, digest) ? 0 : damaged(digest, err);
}

struct each_walk {
    sl_blob_each_fn fn;
    void *data;
};

static int each_entry(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    const struct each_walk *walk = data;
    const char *slash = strchr(entry->path, '/');
    if (slash == NULL || !S_ISREG(entry->st->st_mode)) {
        return 0;
    }
    char hex[SL_DIGEST_HEX + 1] = {0};
    struct sl_digest digest;
    if (slash - entry->path != 2 || strlen(slash + 1) != SL_DIGEST_HEX - 2) {
        return 0;
    }
    memcpy(hex, entry->path, 2);
    memcpy(hex + 2, slash + 1, SL_DIGEST_HEX - 2);
    if (!sl_digest_parse(hex, &digest)) {
        return 0;
    }
    return walk->fn(&digest, (uint64_t)entry->st->st_size, walk->data, err);
}

int sl_blob_each(struct sl_blob_store *store, sl_blob_each_fn fn, void *data, struct sl_err *err)
{
    struct each_walk walk = {fn, data};
    return sl_walk_at(store->sha_fd, ".", each_entry, &walk, err);
}
