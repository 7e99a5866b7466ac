/**
 * Opening and creating a project's repository; libgit2's errors in our terms.
 *
 * A repository is made aside and renamed into place, so a crash leaves a whole one or none.
 * Thread: one at a time per registry. Must not: write versions.
 */
#include "core/base/base.h"

#include "registry/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <git2/sys/mempack.h>

#include "core/base/fs.h"
#include "core/base/time.h"
#include "registry/registry_priv.h"

int registry_git_error(int code, struct sl_err *err, const char *fmt, ...)
{
    const git_error *last = git_error_last();
    const char *why = last != NULL && last->message != NULL ? last->message : "unknown git error";
    char what[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    int ours = SL_EIO;
    if (strstr(why, strerror(ENOSPC)) != NULL || strstr(why, strerror(EDQUOT)) != NULL) {
        ours = SL_ENOSPACE;
    } else if (last != NULL && (last->klass == GIT_ERROR_ODB || last->klass == GIT_ERROR_ZLIB ||
                                last->klass == GIT_ERROR_OBJECT)) {
        ours = SL_ECORRUPT; /* also an object that is missing: something refers to it */
    } else if (code == GIT_ENOTFOUND) {
        ours = SL_ENOTFOUND;
    } else if (code == GIT_EMODIFIED || code == GIT_ELOCKED || code == GIT_EEXISTS) {
        ours = SL_ECONFLICT;
    }
    return sl_err_set(err, ours, "%s: %s", what, why);
}

/* No reflogs: the ledger is the record, and a reflog costs two syncs for every move. */
static const struct {
    const char *key, *value;
} settings[] = {
    {"core.fsync", "all"},
    {"core.logAllRefUpdates", "false"},
    {"gc.auto", "0"},
    {"pack.threads", "1"},
    {"receive.denyDeletes", "true"},
    {"receive.denyNonFastForwards", "true"},
    {"receive.fsckObjects", "true"},
};

static int write_settings(git_repository *repo, struct sl_err *err)
{
    git_config *config = NULL;
    int code = git_repository_config(&config, repo);
    for (size_t i = 0; code == 0 && i < SL_LEN(settings); i++) {
        code = git_config_set_string(config, settings[i].key, settings[i].value);
    }
    git_config_free(config);
    return code == 0 ? 0 : registry_git_error(code, err, "cannot configure the repository");
}

static const char readme[] =
    "# Registry\n\n"
    "Versions of datasets, models and artifacts. Branches `ds/NAME`, `model/NAME` and `art/NAME` "
    "hold\n"
    "one linear history each, tags `KIND/NAME/vN` name the versions, `data/` holds Git LFS "
    "pointers\n"
    "and `.sluice/manifest.json` the manifest whose SHA-256 is the version's identity.\n"
    "`refs/sluice/ledger` lists every move of a branch, tag or alias.\n";

/* The first commits of main and of the ledger, straight to the new repository's disk. */
static int write_roots(git_repository *repo, struct sl_err *err)
{
    git_oid blob;
    git_oid tree_id;
    git_oid commit;
    git_treebuilder *builder = NULL;
    git_signature *who = NULL;
    git_tree *tree = NULL;
    git_tree *empty = NULL;
    int code = git_blob_create_from_buffer(&blob, repo, readme, sizeof(readme) - 1);
    code = code != 0 ? code : git_treebuilder_new(&builder, repo, NULL);
    code = code != 0 ? code : git_treebuilder_write(&tree_id, builder);
    code = code != 0 ? code : git_tree_lookup(&empty, repo, &tree_id);
    code = code != 0 ? code
                     : git_treebuilder_insert(NULL, builder, "README.md", &blob, GIT_FILEMODE_BLOB);
    code = code != 0 ? code : git_treebuilder_write(&tree_id, builder);
    code = code != 0 ? code : git_tree_lookup(&tree, repo, &tree_id);
    code = code != 0 ? code
                     : git_signature_new(&who, "sluice", "sluice@localhost", sl_now_ms() / 1000, 0);
    code = code != 0 ? code
                     : git_commit_create(&commit, repo, REF_MAIN, who, who, NULL,
                                         "begin the registry\n", tree, 0, NULL);
    code = code != 0 ? code
                     : git_commit_create(&commit, repo, REF_LEDGER, who, who, NULL,
                                         "begin the ledger\n", empty, 0, NULL);
    git_signature_free(who);
    git_tree_free(tree);
    git_tree_free(empty);
    git_treebuilder_free(builder);
    return code == 0 ? 0 : registry_git_error(code, err, "cannot write the first commits");
}

/* What a crash left of a creation. The data directory's lock keeps two creations apart. */
static int clear_unfinished(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    const int *registry_fd = data;
    if (strchr(entry->path, '/') == NULL && sl_starts_with(entry->name, "new-") &&
        sl_id_valid(entry->name + 4)) {
        int rc = sl_remove_tree_at(*registry_fd, entry->name, err);
        return rc != 0 ? rc : 1;
    }
    return 1;
}

static int create(int registry_fd, const char *base, const char *dir_name, struct sl_err *err)
{
    char id[SL_ID_HEX + 1];
    char fresh[SL_ID_HEX + 8];
    (void)snprintf(fresh, sizeof(fresh), "new-%s", sl_id_new(NULL, id));
    _cleanup_(free)
    char *path = sl_asprintf("%s/%s", base, fresh);
    git_repository_init_options options = {.version = GIT_REPOSITORY_INIT_OPTIONS_VERSION};
    options.flags =
        GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKDIR | GIT_REPOSITORY_INIT_NO_REINIT;
    options.initial_head = "main";
    git_repository *repo = NULL;
    int rc = sl_walk_at(registry_fd, ".", clear_unfinished, &registry_fd, err);
    if (rc != 0) {
        return rc;
    }
    int code = git_repository_init_ext(&repo, path, &options);
    rc = code == 0 ? 0 : registry_git_error(code, err, "cannot create the repository");
    rc = rc != 0 ? rc : write_settings(repo, err);
    rc = rc != 0 ? rc : write_roots(repo, err);
    git_repository_free(repo);
    if (rc == 0 && syncfs(registry_fd) != 0) {
        rc = sl_err_errno(err, errno, "cannot sync the new repository");
    }
    if (rc == 0 && renameat2(registry_fd, fresh, registry_fd, dir_name, RENAME_NOREPLACE) != 0 &&
        errno != EEXIST) {
        rc = sl_err_errno(err, errno, "cannot put the new repository in place");
    }
    rc = rc != 0 ? rc : sl_fsync_fd(registry_fd, err);
    if (rc != 0) {
        int ignored = sl_remove_tree_at(registry_fd, fresh, NULL);
        (void)ignored; /* the first failure is the one to report */
    }
    return rc;
}

/* The front: new objects go to memory; the second view writes loose ones. */
static int open_odb(struct sl_registry *r, struct sl_err *err)
{
    _cleanup_(free)
    char *objects = sl_asprintf("%sobjects", git_repository_path(r->repo));
    int code = git_repository_odb(&r->odb, r->repo);
    code = code != 0 ? code : git_odb_open(&r->disk, objects);
    code = code != 0 ? code : git_mempack_new(&r->memory);
    code = code != 0 ? code : git_odb_add_backend(r->odb, r->memory, 1000);
    return code == 0 ? 0 : registry_git_error(code, err, "cannot open the object database");
}

static int clear_lock(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    (void)data;
    bool stale = S_ISREG(entry->st->st_mode) && sl_ends_with(entry->name, ".lock");
    if (stale && unlinkat(entry->dirfd, entry->name, 0) != 0) {
        return sl_err_errno(err, errno, "cannot remove the stale lock %s", entry->path);
    }
    return 0;
}

/** git leaves REF.lock beside a reference when it dies while it moves one, and refuses to move that one from
 * then on. Whoever opens holds the data directory's lock, so no lock below belongs to anybody alive. */
static int clear_locks(int registry_fd, const char *dir_name, struct sl_err *err)
{
    static const char *const single[] = {"HEAD.lock", "packed-refs.lock"};
    _cleanup_(close)
    int fd = sl_opendir_at(registry_fd, dir_name, err);
    if (fd < 0) {
        return fd;
    }
    for (size_t i = 0; i < SL_LEN(single); i++) {
        if (unlinkat(fd, single[i], 0) != 0 && errno != ENOENT) {
            return sl_err_errno(err, errno, "cannot remove the stale lock %s", single[i]);
        }
    }
    return sl_walk_at(fd, "refs", clear_lock, NULL, err);
}

static int open_repo(struct sl_registry *r, int data_dirfd, struct sl_err *err)
{
    char encoded[SL_REF_MAX];
    sl_name_encode(r->project, encoded);
    if (strchr(encoded, '/') != NULL) {
        return sl_err_set(err, SL_EINVAL, "project name '%s' is too long", r->project);
    }
    int rc = sl_mkdirs_at(data_dirfd, "registry", 0700, err);
    _cleanup_(close)
    int registry_fd = rc != 0 ? -1 : sl_opendir_at(data_dirfd, "registry", err);
    if (rc != 0 || registry_fd < 0) {
        return rc != 0 ? rc : registry_fd;
    }
    char link[64];
    char base[PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", registry_fd);
    ssize_t n = readlink(link, base, sizeof(base) - 1);
    if (n < 0) {
        return sl_err_errno(err, errno, "cannot name the registry's directory");
    }
    base[n] = '\0';
    _cleanup_(free)
    char *dir_name = sl_asprintf("%s.git", encoded);
    if (faccessat(registry_fd, dir_name, F_OK, 0) != 0) {
        rc = create(registry_fd, base, dir_name, err);
        if (rc != 0) {
            return rc;
        }
    }
    rc = clear_locks(registry_fd, dir_name, err);
    if (rc != 0) {
        return rc;
    }
    _cleanup_(free)
    char *path = sl_asprintf("%s/%s", base, dir_name);
    int code = git_repository_open_bare(&r->repo, path);
    code = code != 0 ? code : git_repository_set_ident(r->repo, "sluice", "sluice@localhost");
    return code == 0
               ? open_odb(r, err)
               : registry_git_error(code, err, "cannot open the repository of '%s'", r->project);
}

int sl_registry_open(int data_dirfd, const char *project, struct sl_blob_store *store,
                     struct sl_registry **ret_registry, struct sl_err *err)
{
    int rc = sl_name_check(project, err);
    if (rc != 0) {
        return sl_err_wrap(err, "project");
    }
    int code = git_libgit2_init();
    if (code < 0) {
        return registry_git_error(code, err, "cannot start libgit2");
    }
    struct sl_registry *r = SL_NEW(struct sl_registry);
    r->project = sl_strdup(project);
    r->store = store;
    (void)git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
    /* A cached object counts as present, also after writing it has failed. */
    (void)git_libgit2_opts(GIT_OPT_ENABLE_CACHING, 0);
    rc = open_repo(r, data_dirfd, err);
    rc = rc != 0 ? rc : registry_ledger_settle(r, err);
    if (rc != 0) {
        sl_registry_close(r);
        return rc;
    }
    *ret_registry = r;
    return 0;
}

void sl_registry_close(struct sl_registry *r)
{
    if (r == NULL) {
        return;
    }
    git_odb_free(r->disk);
    git_odb_free(r->odb);
    git_repository_free(r->repo);
    free(r->project);
    free(r);
    (void)git_libgit2_shutdown();
}

const char *sl_registry_project(const struct sl_registry *r)
{
    return r->project;
}

int registry_enter(struct sl_registry *r, struct sl_err *err)
{
    return r->torn ? registry_ledger_settle(r, err) : 0;
}
