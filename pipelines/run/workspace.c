/* Opening a data directory: find, create, lock, and the handles that live with it. Thread: any (opening is
 * single-threaded). Must not: know runs. */
#include "core/base/base.h"

#include "pipelines/run/workspace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/audit/audit.h"
#include "core/base/fs.h"
#include "core/base/user.h"
#include "pipelines/run/schemas.h"
#include "pipelines/run/workspace_priv.h"
#include "registry/index.h"

/* ---- finding and creating ------------------------------------------------------------------------ */

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/** Cuts the last component; false at the root. */
static bool up(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL || (slash == path && path[1] == '\0')) {
        return false;
    }
    slash[slash == path ? 1 : 0] = '\0';
    return true;
}

/** The nearest directory upwards from `start` that has an entry `name`; NULL when none. Caller frees. */
static char *nearest_with(const char *start, const char *name, bool must_be_dir)
{
    char *at = sl_strdup(start);
    do {
        _cleanup_(free)
        char *candidate = sl_asprintf("%s/%s", sl_streq(at, "/") ? "" : at, name);
        if (must_be_dir ? is_dir(candidate) : access(candidate, F_OK) == 0) {
            return at;
        }
    } while (up(at));
    free(at);
    return NULL;
}

int sl_workspace_find(const char *explicit_path, const char *start_dir, char **ret_path,
                      struct sl_err *err)
{
    if (explicit_path != NULL && explicit_path[0] != '\0') {
        if (!is_dir(explicit_path)) {
            return sl_err_set(err, SL_ENOTFOUND,
                              "no data directory '%s' (named by --data or SLUICE_DATA); "
                              "'sluice init' makes it",
                              explicit_path);
        }
        char *real = realpath(explicit_path, NULL);
        if (real == NULL) {
            return sl_err_errno(err, errno, "cannot resolve %s", explicit_path);
        }
        *ret_path = real;
        return 0;
    }
    _cleanup_(free)
    char *owner = nearest_with(start_dir, SL_DATA_DIR_NAME, true);
    if (owner == NULL) {
        return sl_err_set(err, SL_ENOTFOUND,
                          "no %s directory here or above; 'sluice init' makes one",
                          SL_DATA_DIR_NAME);
    }
    *ret_path = sl_asprintf("%s/%s", sl_streq(owner, "/") ? "" : owner, SL_DATA_DIR_NAME);
    return 0;
}

char *sl_workspace_default_path(const char *start_dir)
{
    _cleanup_(free)
    char *top = nearest_with(start_dir, ".git", false);
    return sl_asprintf("%s/%s", top != NULL ? top : start_dir, SL_DATA_DIR_NAME);
}

int sl_workspace_init(const char *path, struct sl_err *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return sl_err_errno(err, errno, "cannot create %s", path);
    }
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, path, err);
    if (fd < 0) {
        return fd;
    }
    static const char *const parts[] = {"registry", "runs", "shim"};
    for (size_t i = 0; i < SL_LEN(parts); i++) {
        int rc = sl_mkdirs_at(fd, parts[i], 0700, err);
        if (rc < 0) {
            return rc;
        }
    }
    static const char ignore[] = "*\n"; /* so that no outer repository ever tracks it */
    if (faccessat(fd, ".gitignore", F_OK, 0) == 0) {
        return 0;
    }
    return sl_publish_file_at(fd, ".gitignore", ignore, sizeof(ignore) - 1, 0600, true, err);
}

/* ---- the lock ------------------------------------------------------------------------------------ */

static int take_lock(int dirfd, int *ret_fd, struct sl_err *err)
{
    _cleanup_(close)
    int fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open the lock file");
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        char pid[32] = "";
        ssize_t n = errno == EWOULDBLOCK ? pread(fd, pid, sizeof(pid) - 1, 0) : 0;
        pid[n > 0 ? n : 0] = '\0';
        return sl_err_set(err, SL_EBUSY, "another sluice process%s%s holds this data directory",
                          n > 0 ? " " : "", pid);
    }
    char text[32];
    int n = snprintf(text, sizeof(text), "%ld", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        return sl_err_errno(err, errno, "cannot write the lock file");
    }
    *ret_fd = sl_take_fd(fd);
    return 0;
}

/* ---- opening ------------------------------------------------------------------------------------- */

static int store_principal(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct sl_workspace *ws = arg;
    char name[160];
    snprintf(name, sizeof(name), "unix:%ld:%s", (long)geteuid(), ws->actor);
    return sl_audit_principal(db, "user", name, ws->principal, err);
}

static int index_project(const char *project, void *data, struct sl_err *err)
{
    return sl_ws_index(data, project, err);
}

static int open_parts(struct sl_workspace *ws, const struct sl_workspace_opts *opts,
                      struct sl_err *err)
{
    _cleanup_(free)
    char *db_path = sl_asprintf("%s/%s", ws->path, SL_DB_NAME);
    struct sl_db_writer_opts w = {.path = db_path,
                                  .schemas = sl_schemas,
                                  .n_schemas = sl_n_schemas,
                                  .post = opts != NULL ? opts->post : NULL,
                                  .post_data = opts != NULL ? opts->post_data : NULL};
    int rc = take_lock(ws->fd, &ws->lock_fd, err);
    rc = rc < 0 ? rc : sl_blob_store_open(ws->fd, "blobs", &ws->blobs, err);
    rc = rc < 0 ? rc : sl_db_writer_start(&w, &ws->writer, err);
    rc = rc < 0 ? rc : sl_ws_write(ws, store_principal, ws, err);
    rc = rc < 0 ? rc : sl_ws_projects(ws->fd, index_project, ws, err);
    return rc < 0 ? rc : sl_ws_replay_intents(ws, err);
}

int sl_workspace_open(const char *path, const struct sl_workspace_opts *opts,
                      struct sl_workspace **ret, struct sl_err *err)
{
    int fd = sl_opendir_at(AT_FDCWD, path, err);
    if (fd < 0) {
        return fd;
    }
    struct sl_workspace *ws = SL_NEW(struct sl_workspace);
    ws->path = sl_strdup(path);
    ws->fd = fd;
    ws->lock_fd = -1;
    ws->priv = SL_NEW(struct sl_ws_private);
    pthread_mutex_init(&ws->priv->registry_lock, NULL);
    (void)sl_user_name(geteuid(), ws->actor);
    int rc = open_parts(ws, opts, err);
    if (rc < 0) {
        sl_workspace_close(ws);
        return rc;
    }
    *ret = ws;
    return 0;
}

void sl_workspace_close(struct sl_workspace *ws)
{
    if (ws == NULL) {
        return;
    }
    sl_db_writer_stop(ws->writer);
    for (size_t i = 0; i < ws->priv->registries.n; i++) {
        sl_registry_close(ws->priv->registries.items[i]);
    }
    sl_vec_free(&ws->priv->registries);
    pthread_mutex_destroy(&ws->priv->registry_lock);
    free(ws->priv);
    sl_blob_store_close(ws->blobs);
    if (ws->lock_fd >= 0) {
        close(ws->lock_fd);
    }
    close(ws->fd);
    free(ws->path);
    free(ws);
}

int sl_workspace_open_reader(const char *path, struct sl_db **ret, struct sl_err *err)
{
    _cleanup_(free)
    char *db_path = sl_asprintf("%s/%s", path, SL_DB_NAME);
    struct sl_db *db = NULL;
    int rc = sl_db_open(db_path, SL_DB_RO, &db, err);
    if (rc == -SL_ENOTFOUND) {
        return sl_err_set(err, SL_ENOTFOUND, "nothing is recorded in %s yet", path);
    }
    rc = rc < 0 ? rc : sl_db_check_schema(db, sl_schemas, sl_n_schemas, err);
    if (rc < 0) {
        sl_db_close(db);
        return rc;
    }
    *ret = db;
    return 0;
}

int sl_workspace_open_blobs(const char *path, struct sl_blob_store **ret, struct sl_err *err)
{
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, path, err);
    return fd < 0 ? fd : sl_blob_store_open(fd, "blobs", ret, err);
}

int sl_ws_write(struct sl_workspace *ws, sl_db_fn fn, void *arg, struct sl_err *err)
{
    return sl_db_write_sync(ws->writer, fn, arg, err);
}

/* ---- registries ---------------------------------------------------------------------------------- */

int sl_ws_registry(struct sl_workspace *ws, const char *project, struct sl_registry **ret,
                   struct sl_err *err)
{
    pthread_mutex_lock(&ws->priv->registry_lock);
    for (size_t i = 0; i < ws->priv->registries.n; i++) {
        if (sl_streq(sl_registry_project(ws->priv->registries.items[i]), project)) {
            *ret = ws->priv->registries.items[i];
            return 0;
        }
    }
    struct sl_registry *opened = NULL;
    int rc = ws->priv->registries.n >= SL_WS_PROJECTS_MAX
                 ? sl_err_set(err, SL_ELIMIT, "more than %d projects", SL_WS_PROJECTS_MAX)
                 : sl_registry_open(ws->fd, project, ws->blobs, &opened, err);
    if (rc < 0) {
        pthread_mutex_unlock(&ws->priv->registry_lock);
        return rc;
    }
    sl_vec_push(&ws->priv->registries, opened);
    *ret = opened;
    return 0;
}

void sl_ws_registry_done(struct sl_workspace *ws)
{
    pthread_mutex_unlock(&ws->priv->registry_lock);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int sl_ws_projects(int data_fd, int (*fn)(const char *project, void *data, struct sl_err *err),
                   void *data, struct sl_err *err)
{
    SL_VEC(char *) names = {0};
    int fd = sl_opendir_at(data_fd, "registry", err);
    if (fd < 0) {
        return fd == -SL_ENOTFOUND ? 0 : fd;
    }
    DIR *dir = fdopendir(fd);
    SL_ASSERT(dir != NULL);
    struct dirent *e = NULL;
    while ((e = readdir(dir)) != NULL) {
        char name[SL_NAME_MAX + 1];
        char encoded[SL_REF_MAX];
        size_t len = strlen(e->d_name);
        if (len < 5 || len >= sizeof(encoded) || !sl_ends_with(e->d_name, ".git")) {
            continue;
        }
        snprintf(encoded, sizeof(encoded), "%.*s", (int)(len - 4), e->d_name);
        if (sl_name_decode(encoded, name)) {
            sl_vec_push(&names, sl_strdup(name));
        }
    }
    closedir(dir);
    if (names.n > 1) {
        qsort(names.items, names.n, sizeof(*names.items), by_text);
    }
    int rc = 0;
    for (size_t i = 0; i < names.n; i++) {
        rc = rc < 0 ? rc : fn(names.items[i], data, err);
        free(names.items[i]);
    }
    sl_vec_free(&names);
    return rc;
}
