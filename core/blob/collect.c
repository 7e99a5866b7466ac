/**
 * Removing content that nobody needs any more.
 *
 * Sessions and callers of sl_blob_has go on meanwhile. Whoever finds content stored marks it as found just
 * now; here it is first moved aside, and moved back when that mark is new. So content that was found is
 * there, and content that was moved is missing, which has it written again. What a crash leaves aside is moved
 * back by whoever opens the store next.
 *
 * Thread: one collection at a time (the store's lock). Must not: decide what is needed.
 */
#include "core/base/base.h"

#include "core/blob/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "core/base/fs.h"
#include "core/blob/blob_priv.h"

#define ASIDE "aside" /* directory below the store's root */

static int64_t found_ms(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

/** Puts one piece back, unless it was written again. */
static int put_back(struct sl_blob_store *store, int aside_fd, const char *hex, struct sl_err *err)
{
    struct sl_digest digest;
    char name[BLOB_NAME_BYTES];
    if (!sl_digest_parse(hex, &digest)) {
        return 0;
    }
    (void)blob_file_name(&digest, name);
    if (renameat2(aside_fd, hex, store->sha_fd, name, RENAME_NOREPLACE) == 0 ||
        (errno == EEXIST && unlinkat(aside_fd, hex, 0) == 0)) {
        return 0;
    }
    return errno == ENOENT ? 0 : sl_err_errno(err, errno, "cannot put content back");
}

struct back {
    struct sl_blob_store *store;
    int aside_fd;
};

static int back_entry(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    const struct back *b = data;
    return S_ISREG(entry->st->st_mode) ? put_back(b->store, b->aside_fd, entry->name, err) : 0;
}

int blob_aside_restore(struct sl_blob_store *store, struct sl_err *err)
{
    int fd = faccessat(store->root_fd, ASIDE, F_OK, 0) == 0
                 ? sl_opendir_at(store->root_fd, ASIDE, err)
                 : -1;
    struct back b = {store, fd};
    if (fd < 0) {
        return 0;
    }
    int rc = sl_walk_at(fd, ".", back_entry, &b, err);
    sl_cleanup_close(&fd);
    return rc;
}

static int open_aside(struct sl_blob_store *store, struct sl_err *err)
{
    int rc = sl_mkdirs_at(store->root_fd, ASIDE, 0700, err);
    int fd = rc < 0 ? rc : sl_opendir_at(store->root_fd, ASIDE, err);
    rc = fd < 0 ? fd : blob_aside_restore(store, err);
    if (rc < 0) {
        sl_cleanup_close(&fd);
        return rc;
    }
    return fd;
}

static int collect_one(struct sl_blob_store *store, int aside_fd, const struct sl_digest *digest,
                       int64_t before_ms, struct sl_blob_collected *c, struct sl_err *err)
{
    char name[BLOB_NAME_BYTES];
    char hex[SL_DIGEST_HEX + 1];
    struct stat st;
    (void)blob_file_name(digest, name);
    (void)sl_digest_hex(digest, hex);
    if (fstatat(store->sha_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : sl_err_errno(err, errno, "cannot stat content");
    }
    if (found_ms(&st) >= before_ms) {
        c->n_young++;
        return 0;
    }
    if (renameat(store->sha_fd, name, aside_fd, hex) != 0) {
        return sl_err_errno(err, errno, "cannot move content aside");
    }
    int fault = SL_FAULT_POINT(GC_ASIDE);
    if (fault != 0 || fstatat(aside_fd, hex, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return sl_err_errno(err, fault != 0 ? fault : errno, "cannot remove content");
    }
    if (found_ms(&st) >= before_ms) { /* somebody relies on it since we looked */
        c->n_young++;
        return put_back(store, aside_fd, hex, err);
    }
    if (unlinkat(aside_fd, hex, 0) != 0) {
        return sl_err_errno(err, errno, "cannot remove content");
    }
    c->n_removed++;
    c->bytes += (uint64_t)st.st_size;
    return 0;
}

int sl_blob_collect(struct sl_blob_store *store, const struct sl_digest *digests, size_t n,
                    int64_t before_ms, struct sl_blob_collected *ret, struct sl_err *err)
{
    struct sl_blob_collected c = {0};
    int rc = blob_store_lock(store, err);
    if (rc < 0) {
        return rc;
    }
    int aside_fd = open_aside(store, err);
    rc = SL_MIN(aside_fd, 0);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = collect_one(store, aside_fd, &digests[i], before_ms, &c, err);
    }
    sl_cleanup_close(&aside_fd);
    blob_store_unlock(store);
    *ret = c;
    return rc;
}
