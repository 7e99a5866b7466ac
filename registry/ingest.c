/**
 * Ingest: walk, hash and stage with two threads, one durability point, a sealed manifest.
 *
 * The walk only lists; files are opened again beneath the root and must still be what was listed.
 * Thread: any. Must not: follow a symlink met on the way, or store a file that changed while read.
 */
#include "core/base/base.h"

#include "registry/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "registry/object/name.h"

#define HASH_BYTES ((size_t)1 << 20)

struct item {
    const char *path;   /* in the manifest and below the root */
    const char *target; /* symlinks */
    enum sl_entry_type type;
    bool has_children; /* directories: not recorded then */
    mode_t mode;
    dev_t dev;
    ino_t ino;
    struct sl_blob_added added;
};

struct ingest {
    struct sl_blob_store *store;
    const struct sl_ingest_opts *opts;
    struct sl_arena arena;
    SL_VEC(struct item) items;
    SL_VEC(size_t) parents; /* indices of the directories around the entry being walked */
    uint64_t max_entries;
    struct sl_blob_session *session;
    int root_fd;
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t lock;
    struct sl_err err;
};

/* ---- listing ---- */

static bool excluded(const struct sl_ingest_opts *opts, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *leaf = slash != NULL ? slash + 1 : path;
    for (size_t i = 0; i < opts->n_exclude; i++) {
        const char *pattern = opts->exclude[i];
        bool anchored = pattern[0] == '/';
        const char *subject = strchr(pattern, '/') != NULL ? path : leaf;
        if (fnmatch(pattern + (anchored ? 1 : 0), subject, FNM_PATHNAME) == 0) {
            return true;
        }
    }
    return false;
}

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFIFO: return "a FIFO";
    case S_IFSOCK: return "a socket";
    case S_IFCHR:
    case S_IFBLK: return "a device";
    default: return "not a file";
    }
}

/* The directories around `path` hold something; they need no entry of their own. */
static void mark_parents(struct ingest *in, const char *path)
{
    while (in->parents.n > 0) {
        struct item *dir = &in->items.items[in->parents.items[in->parents.n - 1]];
        size_t len = strlen(dir->path);
        if (strncmp(dir->path, path, len) == 0 && path[len] == '/') {
            dir->has_children = true;
            return;
        }
        in->parents.n--;
    }
}

static int read_target(struct ingest *in, const struct sl_walk_entry *e, const char **ret,
                       struct sl_err *err)
{
    char target[SL_PATH_MAX_BYTES + 1];
    ssize_t n = readlinkat(e->dirfd, e->name, target, sizeof(target));
    if (n < 0) {
        return sl_err_errno(err, errno, "%s: cannot read the symlink", e->path);
    }
    if ((size_t)n == sizeof(target)) {
        return sl_err_set(err, SL_ELIMIT, "%s: the symlink's target is too long", e->path);
    }
    target[n] = '\0';
    if (!sl_path_link_inside(e->path, target)) {
        return sl_err_set(err, SL_EINVAL, "%s: symlink to '%s' leaves the folder", e->path, target);
    }
    *ret = sl_arena_strdup(&in->arena, target);
    return 0;
}

static int list_entry(const struct sl_walk_entry *e, void *data, struct sl_err *err)
{
    struct ingest *in = data;
    if (excluded(in->opts, e->path)) {
        return 1;
    }
    int rc = sl_path_check(e->path, err);
    if (rc != 0) {
        return sl_err_wrap(err, "%s", e->path);
    }
    if (in->items.n >= in->max_entries) {
        return sl_err_set(err, SL_ELIMIT, "more than %llu entries",
                          (unsigned long long)in->max_entries);
    }
    struct item item = {
        .mode = e->st->st_mode, .dev = e->st->st_dev, .ino = e->st->st_ino, .type = SL_ENTRY_FILE};
    if (S_ISLNK(e->st->st_mode)) {
        item.type = SL_ENTRY_SYMLINK;
        rc = read_target(in, e, &item.target, err);
        if (rc != 0) {
            return rc;
        }
    } else if (S_ISDIR(e->st->st_mode)) {
        item.type = SL_ENTRY_DIR;
    } else if (!S_ISREG(e->st->st_mode)) {
        return sl_err_set(err, SL_EINVAL, "%s is %s; a version holds files, folders and symlinks",
                          e->path, kind_of(e->st->st_mode));
    }
    mark_parents(in, e->path);
    item.path = sl_arena_strdup(&in->arena, e->path);
    sl_vec_push(&in->items, item);
    if (item.type == SL_ENTRY_DIR) {
        size_t at = in->items.n - 1;
        sl_vec_push(&in->parents, at);
    }
    return 0;
}

/* ---- storing ---- */

/* The digest alone; -SL_ECONFLICT when the file changes meanwhile. */
static int hash_file(int fd, const struct stat *before, struct sl_blob_added *ret,
                     struct sl_err *err)
{
    struct stat after;
    _cleanup_(free)
    char *bytes = sl_malloc(HASH_BYTES);
    struct sl_sha256_ctx *ctx = sl_sha256_new();
    int rc = 0;
    for (ssize_t n = 1; rc == 0 && n > 0;) {
        n = read(fd, bytes, HASH_BYTES);
        if (n > 0) {
            sl_sha256_update(ctx, bytes, (size_t)n);
            ret->size_bytes += (uint64_t)n;
        } else if (n < 0 && errno == EINTR) {
            n = 1;
        } else if (n < 0) {
            rc = sl_err_errno(err, errno, "cannot read");
        }
    }
    sl_sha256_final(ctx, &ret->digest);
    sl_sha256_free(ctx);
    if (rc == 0 && fstat(fd, &after) != 0) {
        return sl_err_errno(err, errno, "cannot stat");
    }
    bool same = rc == 0 && ret->size_bytes == (uint64_t)before->st_size &&
                before->st_mtim.tv_sec == after.st_mtim.tv_sec &&
                before->st_mtim.tv_nsec == after.st_mtim.tv_nsec;
    return rc < 0 || same ? rc
                          : sl_err_set(err, SL_ECONFLICT, "the file changed while it was read");
}

static int store_file(struct ingest *in, struct item *item, struct sl_err *err)
{
    /* O_NONBLOCK: a FIFO that took the file's place must not hold us. */
    _cleanup_(close)
    int fd = sl_openat_beneath(in->root_fd, item->path, O_RDONLY | O_NONBLOCK, 0, err);
    if (fd < 0) {
        return fd;
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return sl_err_errno(err, errno, "cannot stat");
    }
    if (st.st_dev != item->dev || st.st_ino != item->ino || !S_ISREG(st.st_mode)) {
        return sl_err_set(err, SL_ECONFLICT, "the file was replaced while the folder was read");
    }
    if (in->opts->hash_only) {
        return hash_file(fd, &st, &item->added, err);
    }
    const struct sl_digest *likely = NULL;
    if (in->opts->previous != NULL) {
        const struct sl_manifest_entry *old = sl_manifest_find(in->opts->previous, item->path);
        if (old != NULL && old->type == SL_ENTRY_FILE && old->size_bytes == (uint64_t)st.st_size) {
            likely = &old->sha256;
        }
    }
    return sl_blob_session_add_fd(in->session, fd, likely, &item->added, err);
}

static void *store_main(void *arg)
{
    struct ingest *in = arg;
    while (!atomic_load(&in->failed)) {
        size_t at = atomic_fetch_add(&in->next, 1);
        if (at >= in->items.n) {
            break;
        }
        struct item *item = &in->items.items[at];
        struct sl_err err = SL_ERR_INIT;
        if (item->type != SL_ENTRY_FILE || store_file(in, item, &err) == 0) {
            if (in->opts->on_file != NULL) {
                in->opts->on_file(item->added.size_bytes, in->opts->data);
            }
            continue;
        }
        (void)sl_err_wrap(&err, "%s", item->path);
        (void)pthread_mutex_lock(&in->lock);
        if (!atomic_exchange(&in->failed, true)) {
            in->err = err;
        }
        (void)pthread_mutex_unlock(&in->lock);
    }
    return NULL;
}

static int store_all(struct ingest *in, struct sl_err *err)
{
    pthread_t helpers[SL_INGEST_THREADS - 1];
    int n = 0;
    /* Without a second thread the first does all. */
    while (in->items.n > 1 && n < SL_INGEST_THREADS - 1 &&
           pthread_create(&helpers[n], NULL, store_main, in) == 0) {
        n++;
    }
    (void)store_main(in);
    for (int i = 0; i < n; i++) {
        (void)pthread_join(helpers[i], NULL);
    }
    if (atomic_load(&in->failed)) {
        if (err != NULL) {
            *err = in->err;
        }
        return -in->err.code;
    }
    return sl_blob_session_commit(in->session, err);
}

static int fill_manifest(const struct ingest *in, const char *single_name, struct sl_manifest *m,
                         struct sl_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < in->items.n; i++) {
        const struct item *item = &in->items.items[i];
        const char *path = single_name != NULL ? single_name : item->path;
        switch (item->type) {
        case SL_ENTRY_FILE:
            rc = sl_manifest_add_file(m, path, item->mode, item->added.size_bytes,
                                      &item->added.digest, err);
            break;
        case SL_ENTRY_SYMLINK: rc = sl_manifest_add_symlink(m, path, item->target, err); break;
        case SL_ENTRY_DIR: rc = item->has_children ? 0 : sl_manifest_add_dir(m, path, err); break;
        }
    }
    rc = rc != 0 ? rc : sl_manifest_seal(m, err);
    if (rc == 0 && !in->opts->allow_case_collisions) {
        rc = sl_manifest_check_case(m, err);
    }
    return rc;
}

/* ---- the root ---- */

/* A single file: its directory is the root. */
static int list_single(struct ingest *in, int dirfd, const char *path, const struct stat *st,
                       struct sl_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char link[64];
    char resolved[SL_PATH_MAX_BYTES + 1];
    /* The path itself may be a symlink: what counts is the file it leads to. */
    _cleanup_(close)
    int fd = openat(dirfd, path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open '%s'", path);
    }
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, resolved, sizeof(resolved) - 1);
    if (n <= 0) {
        return sl_err_errno(err, errno, "cannot resolve '%s'", path);
    }
    resolved[n] = '\0';
    char *last = strrchr(resolved, '/');
    if (last == NULL) {
        return sl_err_set(err, SL_EINVAL, "cannot resolve '%s'", path);
    }
    *last = '\0';
    in->root_fd = sl_opendir_at(AT_FDCWD, last == resolved ? "/" : resolved, err);
    if (in->root_fd < 0) {
        return in->root_fd;
    }
    int rc = in->opts->name == NULL ? sl_path_check(name, err) : 0;
    if (rc != 0) {
        return sl_err_wrap(err, "%s", path);
    }
    struct item item = {.path = sl_arena_strdup(&in->arena, last + 1),
                        .type = SL_ENTRY_FILE,
                        .mode = st->st_mode,
                        .dev = st->st_dev,
                        .ino = st->st_ino};
    sl_vec_push(&in->items, item);
    return 0;
}

static int list_root(struct ingest *in, int dirfd, const char *path, const char **ret_single,
                     struct sl_err *err)
{
    struct stat st;
    if (fstatat(dirfd, path, &st, 0) != 0) {
        return sl_err_errno(err, errno, "cannot open '%s'", path);
    }
    if (S_ISREG(st.st_mode)) {
        const char *slash = strrchr(path, '/');
        *ret_single = in->opts->name != NULL ? in->opts->name : slash != NULL ? slash + 1 : path;
        return list_single(in, dirfd, path, &st, err);
    }
    if (!S_ISDIR(st.st_mode)) {
        return sl_err_set(err, SL_EINVAL, "'%s' is %s; a version holds files, folders and symlinks",
                          path, kind_of(st.st_mode));
    }
    in->root_fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (in->root_fd < 0) {
        return sl_err_errno(err, errno, "cannot open '%s'", path);
    }
    return sl_walk_at(in->root_fd, ".", list_entry, in, err);
}

/* The same file anew, for reading: a path descriptor cannot be read. */
static int reopen(int fd, const char *name, mode_t *ret_mode, struct sl_err *err)
{
    char link[64];
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return sl_err_errno(err, errno, "cannot look at '%s'", name);
    }
    if (!S_ISREG(st.st_mode)) {
        return sl_err_set(err, SL_EINVAL, "'%s' is %s; a version holds files, folders and symlinks",
                          name, kind_of(st.st_mode));
    }
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    int readable = open(link, O_RDONLY | O_CLOEXEC);
    if (readable < 0) {
        return sl_err_errno(err, errno, "cannot open '%s'", name);
    }
    *ret_mode = st.st_mode;
    return readable;
}

int sl_ingest_fd(struct sl_blob_store *store, int fd, const char *name,
                 struct sl_manifest *ret_manifest, struct sl_err *err)
{
    mode_t mode = 0;
    struct sl_blob_session *session = NULL;
    struct sl_blob_added added;
    int rc = sl_path_check(name, err);
    if (rc < 0) {
        return sl_err_wrap(err, "%s", name);
    }
    _cleanup_(close)
    int readable = reopen(fd, name, &mode, err);
    if (readable < 0) {
        return readable;
    }
    rc = sl_blob_session_begin(store, &session, err);
    rc = rc < 0 ? rc : sl_blob_session_add_fd(session, readable, NULL, &added, err);
    rc = rc < 0 ? rc : sl_blob_session_commit(session, err);
    sl_blob_session_free(session);
    rc = rc < 0
             ? rc
             : sl_manifest_add_file(ret_manifest, name, mode, added.size_bytes, &added.digest, err);
    return rc < 0 ? sl_err_wrap(err, "%s", name) : sl_manifest_seal(ret_manifest, err);
}

int sl_ingest_path(struct sl_blob_store *store, int dirfd, const char *path,
                   const struct sl_ingest_opts *opts, struct sl_manifest *ret_manifest,
                   struct sl_err *err)
{
    static const struct sl_ingest_opts defaults = {.exclude = NULL};
    opts = opts != NULL ? opts : &defaults;
    if (opts->n_exclude > SL_INGEST_FILTERS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%zu exclude patterns are over the limit of %d",
                          opts->n_exclude, SL_INGEST_FILTERS_MAX);
    }
    struct ingest in = {.store = store, .opts = opts, .root_fd = -1};
    in.max_entries = opts->max_entries != 0 ? SL_MIN(opts->max_entries, SL_MANIFEST_ENTRIES_MAX)
                                            : SL_MANIFEST_ENTRIES_MAX;
    sl_arena_init(&in.arena, 0);
    (void)pthread_mutex_init(&in.lock, NULL);
    const char *single = NULL;
    int rc = list_root(&in, dirfd, path, &single, err);
    rc = rc != 0 ? rc : sl_blob_session_begin(store, &in.session, err);
    rc = rc != 0 ? rc : store_all(&in, err);
    sl_blob_session_free(in.session);
    rc = rc != 0 ? rc : fill_manifest(&in, single, ret_manifest, err);
    sl_cleanup_close(&in.root_fd);
    (void)pthread_mutex_destroy(&in.lock);
    sl_vec_free(&in.items);
    sl_vec_free(&in.parents);
    sl_arena_release(&in.arena);
    return rc;
}
