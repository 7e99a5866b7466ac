/* Taking code snapshots: see snapshot.h. */
#include "core/base/base.h"

#include "pipelines/run/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "registry/ingest.h"
#include "registry/object/name.h"
#include "registry/worktree.h"

#define IGNORE_FILE ".sluiceignore"

static const char *const always_ignored[] = {".git",  ".sluice",      "__pycache__", "*.pyc",
                                             ".venv", "node_modules", IGNORE_FILE};

struct ignores {
    struct sl_arena arena;
    SL_VEC(const char *) patterns;
};

static void free_ignores(struct ignores *ig)
{
    sl_vec_free(&ig->patterns);
    sl_arena_release(&ig->arena);
}

/* ---- .sluiceignore ------------------------------------------------------------------------------- */

static void add_line(struct ignores *ig, const char *line, size_t len)
{
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r' || line[len - 1] == '/')) {
        len--;
    }
    if (len == 0 || line[0] == '#') {
        return;
    }
    sl_vec_push(&ig->patterns, sl_arena_strndup(&ig->arena, line, len));
}

static int read_ignores(int rootfd, struct ignores *ig, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_IGNORE_BYTES_MAX);
    for (size_t i = 0; i < SL_LEN(always_ignored); i++) {
        sl_vec_push(&ig->patterns, always_ignored[i]);
    }
    if (faccessat(rootfd, IGNORE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        return 0;
    }
    int rc = sl_read_file_at(rootfd, IGNORE_FILE, SL_IGNORE_BYTES_MAX, &text, err);
    if (rc < 0) {
        return sl_err_wrap(err, IGNORE_FILE);
    }
    const char *at = sl_buf_str(&text);
    while (*at != '\0') {
        size_t len = strcspn(at, "\n");
        add_line(ig, at, len);
        at += len + (at[len] == '\n' ? 1 : 0);
    }
    if (ig->patterns.n > SL_IGNORE_LINES_MAX) {
        return sl_err_set(err, SL_ELIMIT, IGNORE_FILE " has more than %d patterns",
                          SL_IGNORE_LINES_MAX);
    }
    return 0;
}

/** Leaves out one path below the root, given by any name for it. */
static void ignore_path(struct ignores *ig, const char *root, const char *path)
{
    _cleanup_(free)
    char *real = realpath(path, NULL);
    size_t len = strlen(root);
    if (real != NULL && sl_starts_with(real, root) && real[len] == '/' && real[len + 1] != '\0') {
        sl_vec_push(&ig->patterns, sl_arena_printf(&ig->arena, "/%s", real + len + 1));
    }
}

/** Pipeline files are left out: their text is recorded on its own and must not change every key. */
static void ignore_pipeline_files(struct ignores *ig, const char *root, const char *dir,
                                  const struct sl_spec *spec)
{
    for (size_t i = 0; i < spec->n_files; i++) {
        struct sl_str name = spec->files[i];
        _cleanup_(free)
        char *joined = name.len > 0 && name.ptr[0] == '/'
                           ? sl_strndup(name.ptr, name.len)
                           : sl_asprintf("%s/%.*s", dir, (int)name.len, name.ptr);
        ignore_path(ig, root, joined);
    }
}

/** What deployments made is not code: it would change every key, and void every approval. Paths are relative to
 * the file that declares the target. */
static void ignore_targets(struct ignores *ig, const char *root, const char *dir,
                           const struct sl_spec *spec)
{
    for (size_t i = 0; i < spec->n_targets; i++) {
        const struct sl_target *t = &spec->targets[i];
        const char *file = t->loc.file != NULL ? t->loc.file : "";
        const char *slash = strrchr(file, '/');
        int len = slash != NULL ? (int)(slash - file) + 1 : 0;
        if (t->path == NULL) {
            continue;
        }
        _cleanup_(free)
        char *joined = t->path[0] == '/' ? sl_strdup(t->path)
                       : file[0] == '/'  ? sl_asprintf("%.*s%s", len, file, t->path)
                                         : sl_asprintf("%s/%.*s%s", dir, len, file, t->path);
        ignore_path(ig, root, joined);
    }
}

/** As in struct sl_ingest_opts: a leading slash anchors at the root. */
static bool matches(const char *pattern, const char *path)
{
    if (pattern[0] == '/') {
        return fnmatch(pattern + 1, path, FNM_PATHNAME) == 0;
    }
    if (strchr(pattern, '/') != NULL) {
        return fnmatch(pattern, path, FNM_PATHNAME) == 0;
    }
    const char *slash = strrchr(path, '/');
    return fnmatch(pattern, slash != NULL ? slash + 1 : path, 0) == 0;
}

/** Whether the path or one of its parents is ignored. */
static bool ignored(const struct ignores *ig, const char *path)
{
    _cleanup_(free)
    char *part = sl_strdup(path);
    for (;;) {
        for (size_t i = 0; i < ig->patterns.n; i++) {
            if (matches(ig->patterns.items[i], part)) {
                return true;
            }
        }
        char *slash = strrchr(part, '/');
        if (slash == NULL) {
            return false;
        }
        *slash = '\0';
    }
}

/* ---- tracked files ------------------------------------------------------------------------------- */

static int add_link(int rootfd, const char *path, struct sl_manifest *m, struct sl_err *err)
{
    char target[SL_PATH_MAX_BYTES + 1];
    ssize_t n = readlinkat(rootfd, path, target, sizeof(target) - 1);
    if (n < 0) {
        return sl_err_errno(err, errno, "cannot read link %s", path);
    }
    target[n] = '\0';
    return sl_manifest_add_symlink(m, path, target, err);
}

static int add_tracked(struct sl_blob_session *session, int rootfd, const char *path,
                       struct sl_manifest *m, struct sl_err *err)
{
    struct stat st;
    struct sl_blob_added added;
    if (fstatat(rootfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : sl_err_errno(err, errno, "cannot stat %s", path);
    }
    if (S_ISLNK(st.st_mode)) {
        return add_link(rootfd, path, m, err);
    }
    if (!S_ISREG(st.st_mode)) {
        return 0;
    }
    if ((uint64_t)st.st_size > SL_SNAPSHOT_FILE_MAX) {
        return sl_err_set(
            err, SL_ELIMIT,
            "%s is larger than 512 MiB, too large for a code snapshot: add it as a dataset "
            "(sluice data add) or list it in " IGNORE_FILE,
            path);
    }
    int rc = sl_blob_session_add_path(session, rootfd, path, &added, err);
    return rc < 0 ? rc
                  : sl_manifest_add_file(m, path, st.st_mode, added.size_bytes, &added.digest, err);
}

static int take_tracked(struct sl_blob_store *blobs, const struct sl_worktree *w,
                        const struct ignores *ig, struct sl_manifest *m, struct sl_err *err)
{
    struct sl_blob_session *session = NULL;
    _cleanup_(close)
    int rootfd = sl_opendir_at(AT_FDCWD, w->top, err);
    int rc = rootfd < 0 ? rootfd : sl_blob_session_begin(blobs, &session, err);
    for (size_t i = 0; rc == 0 && i < w->files.n; i++) {
        if (!ignored(ig, w->files.items[i])) {
            rc = add_tracked(session, rootfd, w->files.items[i], m, err);
        }
    }
    rc = rc < 0 ? rc : sl_blob_session_commit(session, err);
    rc = rc < 0 ? rc : sl_manifest_seal(m, err);
    sl_blob_session_free(session);
    return rc;
}

static int take_folder(struct sl_blob_store *blobs, const char *root, const struct ignores *ig,
                       struct sl_manifest *m, struct sl_err *err)
{
    struct sl_ingest_opts opts = {.exclude = ig->patterns.items,
                                  .n_exclude = ig->patterns.n,
                                  .allow_case_collisions = true,
                                  .max_entries = SL_WORKTREE_FILES_MAX};
    return sl_ingest_path(blobs, AT_FDCWD, root, &opts, m, err);
}

/* ---- the snapshot -------------------------------------------------------------------------------- */

static int take(struct sl_blob_store *blobs, const char *dir, const struct sl_spec *spec,
                const char *data_dir, struct sl_snapshot *s, struct sl_err *err)
{
    struct sl_worktree w;
    struct ignores ig = {0};
    sl_arena_init(&ig.arena, 0);
    int rc = sl_worktree_read(dir, &w, err);
    s->in_git = rc == 0;
    s->root = sl_strdup(s->in_git ? w.top : dir);
    if (rc == -SL_ENOTFOUND) {
        rc = 0;
    }
    if (s->in_git) {
        snprintf(s->commit, sizeof(s->commit), "%s", w.commit);
        snprintf(s->author, sizeof(s->author), "%s", w.author);
        s->dirty = w.dirty;
    }
    if (rc == 0) {
        _cleanup_(close)
        int rootfd = sl_opendir_at(AT_FDCWD, s->root, err);
        rc = rootfd < 0 ? rootfd : read_ignores(rootfd, &ig, err);
        ignore_pipeline_files(&ig, s->root, dir, spec);
        if (!s->in_git) {
            ignore_targets(&ig, s->root, dir, spec);
        }
        if (data_dir != NULL) {
            ignore_path(&ig, s->root, data_dir);
        }
    }
    if (rc == 0) {
        rc = s->in_git ? take_tracked(blobs, &w, &ig, &s->manifest, err)
                       : take_folder(blobs, s->root, &ig, &s->manifest, err);
    }
    free_ignores(&ig);
    sl_worktree_release(&w);
    return rc;
}

int sl_snapshot_take(struct sl_blob_store *blobs, const char *dir, const struct sl_spec *spec,
                     const char *data_dir, struct sl_snapshot *ret, struct sl_err *err)
{
    *ret = (struct sl_snapshot){0};
    sl_manifest_init(&ret->manifest);
    int rc = take(blobs, dir, spec, data_dir, ret, err);
    if (rc < 0) {
        (void)sl_err_wrap(err, "code snapshot of %s", ret->root != NULL ? ret->root : dir);
        sl_snapshot_release(ret);
    }
    return rc;
}

void sl_snapshot_release(struct sl_snapshot *s)
{
    sl_manifest_release(&s->manifest);
    free(s->root);
    s->root = NULL;
}

/* ---- selecting ----------------------------------------------------------------------------------- */

static bool below(const char *path, const char *declared)
{
    size_t len = strlen(declared);
    while (len > 0 && declared[len - 1] == '/') {
        len--;
    }
    if (len == 1 && declared[0] == '.') {
        return true;
    }
    return strncmp(path, declared, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static int copy_entry(struct sl_manifest *m, const struct sl_manifest_entry *e, struct sl_err *err)
{
    switch (e->type) {
    case SL_ENTRY_FILE:
        return sl_manifest_add_file(m, e->path, e->mode, e->size_bytes, &e->sha256, err);
    case SL_ENTRY_SYMLINK: return sl_manifest_add_symlink(m, e->path, e->target, err);
    case SL_ENTRY_DIR: return sl_manifest_add_dir(m, e->path, err);
    }
    return 0;
}

int sl_snapshot_select(const struct sl_manifest *all, const char *const *paths, size_t n,
                       struct sl_manifest *ret, struct sl_err *err)
{
    _cleanup_(free)
    bool *found = sl_calloc(n + 1, sizeof(*found));
    int rc = 0;
    sl_manifest_init(ret);
    for (size_t i = 0; rc == 0 && i < all->entries.n; i++) {
        const struct sl_manifest_entry *e = &all->entries.items[i];
        bool wanted = n == 0;
        for (size_t p = 0; p < n; p++) {
            if (below(e->path, paths[p])) {
                wanted = found[p] = true;
            }
        }
        rc = wanted ? copy_entry(ret, e, err) : 0;
    }
    for (size_t p = 0; rc == 0 && p < n; p++) {
        if (!found[p]) {
            rc = sl_err_set(
                err, SL_ENOTFOUND,
                "code: '%s' is not in the snapshot (not tracked by git, ignored, or missing)",
                paths[p]);
        }
    }
    rc = rc < 0 ? rc : sl_manifest_seal(ret, err);
    if (rc < 0) {
        sl_manifest_release(ret);
    }
    return rc;
}
