/**
 * The release directory of a target: complete releases, one link, nothing half written that has a name.
 *
 * Thread: a lane (blocks). Must not: read the database, or change a release that has its name.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "core/base/fs.h"

#define CURRENT      "current"
#define CURRENT_NEXT ".current.next"
#define LINK_PREFIX  "releases/"
#define MARKER_MAX   (256u * 1024 * 1024)
#define HIDDEN_NAME  (SL_RELEASE_NAME + 16)
#define PRUNE_MAX    10000 /* names looked at by one prune */

/* ---- opening ---------------------------------------------------------------------------------------- */

static int check_current(const struct sl_release_dir *dir, struct sl_err *err)
{
    struct stat st;
    if (fstatat(dir->root, CURRENT, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(st.st_mode)) {
        return sl_err_set(err, SL_EINVAL, "%s/" CURRENT " exists and is not a link; move it away",
                          dir->path);
    }
    return 0;
}

int sl_release_dir_open(const char *path, struct sl_release_dir *ret, struct sl_err *err)
{
    SL_ASSERT(path[0] == '/');
    struct sl_release_dir dir = SL_RELEASE_DIR_INIT;
    _cleanup_(close)
    int slash = sl_opendir_at(AT_FDCWD, "/", err);
    if (slash < 0) {
        return slash;
    }
    int rc = path[1] != '\0' ? sl_mkdirs_at(slash, path + 1, 0755, err) : 0;
    if (rc < 0) {
        return sl_err_wrap(err, "cannot make the target's directory %s", path);
    }
    dir.path = sl_strdup(path);
    dir.root = sl_opendir_at(AT_FDCWD, path, err);
    rc = dir.root < 0 ? dir.root : sl_mkdirs_at(dir.root, "releases", 0755, err);
    if (rc == 0) {
        dir.releases = sl_opendir_at(dir.root, "releases", err);
        rc = dir.releases < 0 ? dir.releases : check_current(&dir, err);
    }
    if (rc < 0) {
        sl_release_dir_release(&dir);
        return rc;
    }
    *ret = dir;
    return 0;
}

void sl_release_dir_release(struct sl_release_dir *dir)
{
    sl_cleanup_close(&dir->root);
    sl_cleanup_close(&dir->releases);
    free(dir->path);
    *dir = SL_RELEASE_DIR_INIT;
}

static void hidden_name(const char *prefix, const char *name, const char *suffix,
                        char out[HIDDEN_NAME])
{
    (void)snprintf(out, HIDDEN_NAME, "%s%s%s", prefix, name, suffix);
}

/* ---- markers ---------------------------------------------------------------------------------------- */

/** Lists the files of a release: {"files": {path: size}}; syncs them when asked. */
struct listing {
    json_t *files;
    bool sync;
};

static int list_entry(const struct sl_walk_entry *e, void *data, struct sl_err *err)
{
    struct listing *l = data;
    bool regular = S_ISREG(e->st->st_mode);
    if (json_object_size(l->files) >= SL_RELEASE_FILES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a release has at most %d files", SL_RELEASE_FILES_MAX);
    }
    if (regular) {
        sl_json_set_i64(l->files, e->path, (int64_t)e->st->st_size);
    } else if (S_ISLNK(e->st->st_mode)) {
        sl_json_set_i64(l->files, e->path, -1);
    }
    if (!l->sync || S_ISLNK(e->st->st_mode)) {
        return 0;
    }
    _cleanup_(close)
    int fd =
        openat(e->dirfd, e->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (regular ? 0 : O_DIRECTORY));
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open %s of the release", e->path);
    }
    return sl_fsync_fd(fd, err);
}

static json_t *list_files(const struct sl_release_dir *dir, const char *name, bool sync,
                          struct sl_err *err)
{
    struct listing l = {.files = json_object(), .sync = sync};
    if (sl_walk_at(dir->releases, name, list_entry, &l, err) < 0) {
        json_decref(l.files);
        return NULL;
    }
    return l.files;
}

bool sl_release_intact(const struct sl_release_dir *dir, const char *name)
{
    char marker_name[HIDDEN_NAME];
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf text = SL_BUF_INIT(MARKER_MAX);
    bool intact = false;
    hidden_name(".", name, ".json", marker_name);
    if (name[0] != '\0' &&
        sl_read_file_at(dir->releases, marker_name, MARKER_MAX, &text, &err) == 0) {
        json_auto_t *marker = sl_json_parse(marker_name, sl_buf_str(&text), text.len, &err);
        json_auto_t *files = list_files(dir, name, false, &err);
        intact = marker != NULL && files != NULL &&
                 json_equal(json_object_get(marker, "files"), files) != 0;
    }
    sl_buf_release(&text);
    return intact;
}

static int write_marker(const struct sl_release_dir *dir, const struct sl_deployment *d,
                        json_t *files, struct sl_err *err)
{
    char marker_name[HIDDEN_NAME], digest[SL_DEPLOY_DIGEST];
    json_auto_t *marker = json_object();
    sl_json_set_i64(marker, "schema", 1);
    sl_json_set_str(marker, "deployment", d->id);
    sl_json_set_str(marker, "entity", d->entity);
    sl_json_set_i64(marker, "version", d->number);
    sl_json_set_str(marker, "digest", sl_deploy_digest(&d->digest, digest));
    json_object_set(marker, "files", files);
    _cleanup_(free)
    char *text = sl_json_canonical(marker);
    hidden_name(".", d->release, ".json", marker_name);
    return sl_publish_file_at(dir->releases, marker_name, text, strlen(text), 0644, true, err);
}

/** What cannot be removed now is tried again by the next prune. */
static void remove_leftover(const struct sl_release_dir *dir, const char *name)
{
    int ignored = sl_remove_tree_at(dir->releases, name, NULL);
    (void)ignored;
}

/* ---- preparing ---------------------------------------------------------------------------------------- */

/** Fills the temporary directory and makes everything in it durable. */
static int fill(struct sl_exec *x, const char *tmp, struct sl_err *err)
{
    const struct sl_release_dir *dir = &x->dir;
    if (mkdirat(dir->releases, tmp, 0755) < 0) {
        return sl_err_errno(err, errno, "cannot make %s/releases/%s", dir->path, tmp);
    }
    _cleanup_(close)
    int fd = sl_opendir_at(dir->releases, tmp, err);
    if (fd < 0) {
        return fd;
    }
    const struct sl_artifact version = sl_deployment_version(&x->d);
    int rc = x->w->materialise(x->w->data, &version, fd, err);
    if (rc < 0) {
        return rc;
    }
    json_auto_t *files = list_files(dir, tmp, true, err);
    if (files == NULL) {
        return err != NULL ? -err->code : -SL_EIO;
    }
    rc = sl_fsync_fd(fd, err);
    return rc < 0 ? rc : write_marker(dir, &x->d, files, err);
}

int sl_release_prepare(struct sl_exec *x, struct sl_err *err)
{
    const struct sl_release_dir *dir = &x->dir;
    char tmp[HIDDEN_NAME];
    struct sl_err filling = SL_ERR_INIT;
    if (sl_release_intact(dir, x->d.release)) {
        return 0;
    }
    hidden_name(".tmp-", x->d.release, "", tmp);
    int rc = sl_remove_tree_at(dir->releases, tmp, err);
    if (rc == 0) {
        rc = sl_remove_tree_at(dir->releases, x->d.release, err);
    }
    if (rc < 0) {
        return rc;
    }
    rc = fill(x, tmp, &filling);
    if (rc == 0 && renameat(dir->releases, tmp, dir->releases, x->d.release) < 0) {
        rc = sl_err_errno(&filling, errno, "cannot name the release %s", x->d.release);
    }
    if (rc < 0) {
        remove_leftover(dir, tmp);
        if (err != NULL) {
            *err = filling;
        }
        return rc;
    }
    return sl_fsync_fd(dir->releases, err);
}

/* ---- the link ------------------------------------------------------------------------------------------- */

void sl_release_current(const struct sl_release_dir *dir, char ret[SL_RELEASE_NAME])
{
    char link[sizeof(LINK_PREFIX) + SL_RELEASE_NAME];
    const char *name = link + strlen(LINK_PREFIX);
    ssize_t n = readlinkat(dir->root, CURRENT, link, sizeof(link) - 1);
    ret[0] = '\0';
    if (n <= 0) {
        return;
    }
    link[n] = '\0';
    if (sl_starts_with(link, LINK_PREFIX) && strlen(name) < SL_RELEASE_NAME) {
        (void)memcpy(ret, name, strlen(name) + 1);
    }
}

int sl_release_flip(const struct sl_release_dir *dir, const char *name, struct sl_err *err)
{
    char link[sizeof(LINK_PREFIX) + SL_RELEASE_NAME];
    if (name[0] == '\0') {
        if (unlinkat(dir->root, CURRENT, 0) < 0 && errno != ENOENT) {
            return sl_err_errno(err, errno, "cannot remove %s/" CURRENT, dir->path);
        }
        return sl_fsync_fd(dir->root, err);
    }
    (void)snprintf(link, sizeof(link), LINK_PREFIX "%s", name);
    if (unlinkat(dir->root, CURRENT_NEXT, 0) < 0 && errno != ENOENT) {
        return sl_err_errno(err, errno, "cannot remove %s/" CURRENT_NEXT, dir->path);
    }
    if (symlinkat(link, dir->root, CURRENT_NEXT) < 0) {
        return sl_err_errno(err, errno, "cannot make the link in %s", dir->path);
    }
    if (renameat(dir->root, CURRENT_NEXT, dir->root, CURRENT) < 0) {
        return sl_err_errno(err, errno, "cannot flip %s/" CURRENT, dir->path);
    }
    return sl_fsync_fd(dir->root, err);
}

/* ---- pruning ---------------------------------------------------------------------------------------------- */

/** "<12 lowercase hex>-g<digits>": only names that this room gave are ever removed. */
static bool is_release_name(const char *name)
{
    size_t i = 0;
    for (; i < 12; i++) {
        bool hex = (name[i] >= '0' && name[i] <= '9') || (name[i] >= 'a' && name[i] <= 'f');
        if (!hex) {
            return false;
        }
    }
    if (name[i] != '-' || name[i + 1] != 'g' || name[i + 2] == '\0') {
        return false;
    }
    return strspn(name + i + 2, "0123456789") == strlen(name + i + 2);
}

static bool is_kept(const char *name, const char *const *keep, size_t n_keep)
{
    for (size_t i = 0; i < n_keep; i++) {
        if (sl_streq(keep[i], name)) {
            return true;
        }
    }
    return false;
}

static void prune_one(const struct sl_release_dir *dir, const char *name, const char *const *keep,
                      size_t n_keep)
{
    char marker[HIDDEN_NAME];
    if (sl_starts_with(name, ".tmp-") && is_release_name(name + 5)) {
        remove_leftover(dir, name);
    } else if (is_release_name(name) && !is_kept(name, keep, n_keep)) {
        hidden_name(".", name, ".json", marker);
        (void)unlinkat(dir->releases, marker, 0); /* the marker first: no longer a release */
        remove_leftover(dir, name);
    }
}

void sl_release_prune(const struct sl_release_dir *dir, const char *const *keep, size_t n_keep)
{
    SL_VEC(char *) names = {0};
    int fd = openat(dir->releases, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        sl_cleanup_close(&fd);
        return;
    }
    for (struct dirent *e; names.n < PRUNE_MAX && (e = readdir(d)) != NULL;) {
        sl_vec_push(&names, sl_strdup(e->d_name));
    }
    (void)closedir(d);
    for (size_t i = 0; i < names.n; i++) {
        prune_one(dir, names.items[i], keep, n_keep);
        free(names.items[i]);
    }
    sl_vec_free(&names);
}
