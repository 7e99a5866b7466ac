/**
 * Writing a version's files out: directories, then verified files, then symlinks.
 *
 * Symlinks come last, so that no path that we walk can lead through one; every open is beneath the root.
 * Thread: any. Must not: link to the store.
 */
#include "core/base/base.h"

#include "registry/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "registry/registry_priv.h"

static bool is_empty_dir(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL) {
        sl_cleanup_close(&copy);
        return false;
    }
    int n = 0;
    while (readdir(dir) != NULL) {
        n++;
    }
    (void)closedir(dir);
    return n <= 2;
}

static size_t parent_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path);
}

/* Directories of all entries. Sorted paths: a directory is made when it differs from the one before. */
static int make_dirs(const struct sl_manifest *m, int root_fd, struct sl_err *err)
{
    const char *before = "";
    size_t before_len = 0;
    for (size_t i = 0; i < m->entries.n; i++) {
        const struct sl_manifest_entry *e = &m->entries.items[i];
        size_t len = e->type == SL_ENTRY_DIR ? strlen(e->path) : parent_len(e->path);
        if (len == 0 || (len == before_len && memcmp(e->path, before, len) == 0)) {
            continue;
        }
        _cleanup_(free)
        char *dir = sl_strndup(e->path, len);
        int rc = sl_mkdirs_at(root_fd, dir, 0755, err);
        if (rc != 0) {
            return rc;
        }
        before = e->path;
        before_len = len;
    }
    return 0;
}

static mode_t file_mode(const struct sl_manifest_entry *e, const struct sl_materialise_opts *opts)
{
    bool executable = e->mode == 0755;
    if (opts->read_only) {
        return executable ? 0555 : 0444;
    }
    return executable ? 0755 : 0644;
}

static int make_link(const struct sl_manifest_entry *e, int root_fd, struct sl_err *err)
{
    _cleanup_(free)
    char *parent = sl_strndup(e->path, parent_len(e->path));
    const char *name = parent[0] == '\0' ? e->path : e->path + strlen(parent) + 1;
    _cleanup_(close)
    int parent_fd = parent[0] == '\0'
                        ? sl_opendir_at(root_fd, ".", err)
                        : sl_openat_beneath(root_fd, parent, O_RDONLY | O_DIRECTORY, 0, err);
    if (parent_fd < 0) {
        return parent_fd;
    }
    return symlinkat(e->target, parent_fd, name) == 0
               ? 0
               : sl_err_errno(err, errno, "cannot make symlink '%s'", e->path);
}

static int lock_dir(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    (void)data;
    if (S_ISDIR(entry->st->st_mode) && fchmodat(entry->dirfd, entry->name, 0555, 0) != 0) {
        return sl_err_errno(err, errno, "cannot set the mode of '%s'", entry->path);
    }
    return 0;
}

static int write_file(struct sl_blob_store *store, const struct sl_manifest_entry *e, int root_fd,
                      const char *path, const struct sl_materialise_opts *opts, struct sl_err *err)
{
    const struct sl_absent *absent = opts->absent;
    return absent != NULL && !sl_blob_has(store, &e->sha256)
               ? absent->write(absent->data, e, root_fd, path, file_mode(e, opts), err)
               : sl_blob_materialise(store, &e->sha256, root_fd, path, file_mode(e, opts), err);
}

static int write_all(struct sl_blob_store *store, const struct sl_manifest *m, int root_fd,
                     const struct sl_materialise_opts *opts, struct sl_err *err)
{
    int rc = make_dirs(m, root_fd, err);
    for (size_t i = 0; rc == 0 && i < m->entries.n; i++) {
        const struct sl_manifest_entry *e = &m->entries.items[i];
        if (e->type == SL_ENTRY_FILE) {
            rc = write_file(store, e, root_fd, e->path, opts, err);
            rc = rc != 0 ? sl_err_wrap(err, "%s", e->path) : 0;
        }
    }
    for (size_t i = 0; rc == 0 && i < m->entries.n; i++) {
        if (m->entries.items[i].type == SL_ENTRY_SYMLINK) {
            rc = make_link(&m->entries.items[i], root_fd, err);
        }
    }
    if (rc == 0 && opts->read_only) {
        rc = sl_walk_at(root_fd, ".", lock_dir, NULL, err);
        if (rc == 0 && fchmod(root_fd, 0555) != 0) {
            rc = sl_err_errno(err, errno, "cannot set the mode of the directory");
        }
    }
    return rc;
}

static int write_one(struct sl_blob_store *store, const struct sl_manifest *m, int root_fd,
                     const struct sl_materialise_opts *opts, struct sl_err *err)
{
    const struct sl_manifest_entry *e = sl_manifest_find(m, opts->only);
    if (e == NULL || e->type != SL_ENTRY_FILE) {
        return sl_err_set(err, SL_ENOTFOUND, "the version has no file '%s'", opts->only);
    }
    size_t len = parent_len(e->path);
    return write_file(store, e, root_fd, e->path + len + (len > 0 ? 1 : 0), opts, err);
}

int sl_manifest_materialise(struct sl_blob_store *store, const struct sl_manifest *manifest,
                            int dirfd, const char *path, const struct sl_materialise_opts *opts,
                            struct sl_err *err)
{
    static const struct sl_materialise_opts defaults = {.only = NULL};
    opts = opts != NULL ? opts : &defaults;
    SL_ASSERT(manifest->sealed);
    bool made = mkdirat(dirfd, path, 0755) == 0;
    if (!made && errno != EEXIST) {
        return sl_err_errno(err, errno, "cannot make directory '%s'", path);
    }
    _cleanup_(close)
    int root_fd = sl_opendir_at(dirfd, path, err);
    if (root_fd < 0) {
        return root_fd;
    }
    if (!made && !is_empty_dir(root_fd)) {
        return sl_err_set(err, SL_EEXISTS, "directory '%s' is not empty", path);
    }
    int rc = opts->only != NULL ? write_one(store, manifest, root_fd, opts, err)
                                : write_all(store, manifest, root_fd, opts, err);
    if (rc != 0) {
        int ignored = sl_remove_tree_at(dirfd, path, NULL);
        (void)ignored; /* the first failure is the one to report */
        if (!made && mkdirat(dirfd, path, 0755) != 0) {
            return rc; /* an empty directory was there before; it is only a convenience */
        }
    }
    return rc;
}

int sl_registry_materialise(struct sl_registry *registry, const struct sl_version_ref *version,
                            int dirfd, const char *path, const struct sl_materialise_opts *opts,
                            struct sl_err *err)
{
    _cleanup_(manifest)
    struct sl_manifest manifest;
    sl_manifest_init(&manifest);
    int rc = sl_registry_manifest(registry, version, &manifest, err);
    return rc != 0 ? rc
                   : sl_manifest_materialise(registry->store, &manifest, dirfd, path, opts, err);
}
