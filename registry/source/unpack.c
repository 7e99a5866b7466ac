/**
 * An archive into a manifest. Names are judged before any content is read; what would not survive a round trip
 * is refused, as in ingest. Hard links become files.
 *
 * Thread: the import's. Must not: touch a path.
 */
#include "core/base/base.h"

#include <stdlib.h>
#include <uthash.h>

#include "core/blob/archive.h"
#include "registry/source/source_priv.h"

struct seen {
    char *path;
    struct sl_blob_added added;
    uint32_t mode;
    UT_hash_handle hh;
};

struct unpack {
    struct sl_manifest *m;
    struct seen *files;
    SL_VEC(char *) dirs; /* recorded at the end, when nothing lies in them */
};

static int check(const struct sl_archive_entry *e, void *data, struct sl_err *err)
{
    struct unpack *u = data;
    struct seen *seen = NULL;
    int rc = sl_path_check(e->path, err);
    if (rc < 0) {
        return sl_err_wrap(err, "entry '%.300s'", e->path);
    }
    HASH_FIND_STR(u->files, e->path, seen);
    if (seen != NULL) {
        return sl_err_set(err, SL_EINVAL, "entry '%s' is there twice", e->path);
    }
    if (e->type == SL_ARCHIVE_SYMLINK && !sl_path_link_inside(e->path, e->target)) {
        return sl_err_set(err, SL_EINVAL, "entry '%s': symlink to '%.200s' leaves the archive",
                          e->path, e->target);
    }
    return 0;
}

static int add_file(struct unpack *u, const char *path, uint32_t mode,
                    const struct sl_blob_added *added, struct sl_err *err)
{
    struct seen *seen = SL_NEW(struct seen);
    seen->path = sl_strdup(path);
    seen->added = *added;
    seen->mode = mode;
    HASH_ADD_KEYPTR(hh, u->files, seen->path, strlen(seen->path), seen);
    return sl_manifest_add_file(u->m, path, mode, added->size_bytes, &added->digest, err);
}

static int done(const struct sl_archive_entry *e, void *data, struct sl_err *err)
{
    struct unpack *u = data;
    struct seen *first = NULL;
    switch (e->type) {
    case SL_ARCHIVE_FILE: return add_file(u, e->path, e->mode, &e->added, err);
    case SL_ARCHIVE_SYMLINK: return sl_manifest_add_symlink(u->m, e->path, e->target, err);
    case SL_ARCHIVE_DIR: sl_vec_push(&u->dirs, sl_strdup(e->path)); return 0;
    case SL_ARCHIVE_HARDLINK:
        HASH_FIND_STR(u->files, e->target, first);
        if (first == NULL) {
            return sl_err_set(err, SL_EINVAL,
                              "entry '%s' is a link to '%.200s', which is no file "
                              "before it",
                              e->path, e->target);
        }
        return add_file(u, e->path, first->mode, &first->added, err);
    }
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Directories that hold something need no entry of their own. */
static int add_dirs(struct unpack *u, struct sl_err *err)
{
    int rc = 0;
    SL_VEC(char *) all = {0};
    struct seen *f = NULL;
    struct seen *next = NULL;
    HASH_ITER (hh, u->files, f, next) {
        sl_vec_push(&all, f->path);
    }
    for (size_t i = 0; i < u->m->entries.n; i++) {
        if (u->m->entries.items[i].type == SL_ENTRY_SYMLINK) {
            char *link = (char *)(uintptr_t)u->m->entries.items[i].path;
            sl_vec_push(&all, link);
        }
    }
    for (size_t i = 0; i < u->dirs.n; i++) {
        sl_vec_push(&all, u->dirs.items[i]);
    }
    if (all.n > 0) {
        qsort(all.items, all.n, sizeof(*all.items), compare_texts);
    }
    if (u->dirs.n > 0) {
        qsort(u->dirs.items, u->dirs.n, sizeof(*u->dirs.items), compare_texts);
    }
    for (size_t i = 0; rc == 0 && i < u->dirs.n; i++) {
        size_t len = strlen(u->dirs.items[i]);
        _cleanup_(free)
        char *below = sl_asprintf("%s/", u->dirs.items[i]);
        size_t low = 0;
        size_t high = all.n;
        while (low < high) { /* the first text not before "dir/" */
            size_t mid = low + (high - low) / 2;
            if (strcmp(all.items[mid], below) < 0) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        bool holds = low < all.n && strncmp(all.items[low], below, len + 1) == 0;
        bool twice = i > 0 && sl_streq(u->dirs.items[i - 1], u->dirs.items[i]);
        rc = holds || twice ? 0 : sl_manifest_add_dir(u->m, u->dirs.items[i], err);
    }
    sl_vec_free(&all);
    return rc;
}

int unpack_archive(struct sl_blob_store *blobs, int fd, struct sl_manifest *ret, struct sl_err *err)
{
    struct unpack u = {.m = ret};
    struct sl_archive_ops ops = {check, done, &u};
    struct sl_blob_session *session = NULL;
    int rc = sl_blob_session_begin(blobs, &session, err);
    rc = rc < 0 ? rc : sl_archive_ingest(session, fd, NULL, &ops, err);
    rc = rc < 0 ? rc : add_dirs(&u, err);
    rc = rc < 0 ? rc : sl_manifest_seal(ret, err);
    rc = rc < 0 ? rc : sl_manifest_check_case(ret, err);
    rc = rc < 0 ? rc : sl_blob_session_commit(session, err);
    sl_blob_session_free(session);
    struct seen *f = NULL;
    struct seen *next = NULL;
    HASH_ITER (hh, u.files, f, next) {
        HASH_DEL(u.files, f);
        free(f->path);
        free(f);
    }
    for (size_t i = 0; i < u.dirs.n; i++) {
        free(u.dirs.items[i]);
    }
    sl_vec_free(&u.dirs);
    return rc;
}
