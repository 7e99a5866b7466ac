/* What names an environment and where it lies: see env.h. */
#include "core/base/base.h"

#include "pipelines/env/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "pipelines/env/env_priv.h"

/* ---- the record ----------------------------------------------------------------------------------- */

/** Packages of one name (for different markers) become one value, joined by " | ". */
static void set_joined(json_t *into, const char *key, const char *value)
{
    const char *before = sl_json_str(into, key, NULL);
    _cleanup_(free)
    char *text = before != NULL ? sl_asprintf("%s | %s", before, value) : sl_strdup(value);
    sl_json_set_str(into, key, text);
}

json_t *sl_env_record(const struct sl_lock *lock, const json_t *interpreter,
                      struct sl_digest *ret_digest)
{
    json_t *packages = json_object();
    json_t *hashes = json_object();
    json_t *options = json_array();
    char hex[SL_DIGEST_HEX + 1];
    for (size_t i = 0; i < lock->n_packages; i++) {
        const struct sl_lock_package *p = &lock->packages[i];
        sl_digest_hex(&p->hashes, hex);
        hex[SL_ENV_ID_HEX] = '\0';
        set_joined(packages, p->name, p->version);
        set_joined(hashes, p->name, hex);
    }
    for (size_t i = 0; i < lock->n_options; i++) {
        json_array_append_new(options, json_string(lock->options[i]));
    }
    json_t *record =
        json_pack("{s:s, s:b, s:o, s:o, s:o, s:O}", "kind", "venv", "reproducible", 1, "packages",
                  packages, "hashes", hashes, "options", options, "interpreter", interpreter);
    SL_ASSERT(record != NULL);
    _cleanup_(free)
    char *text = sl_json_canonical(record);
    sl_sha256(text, strlen(text), ret_digest);
    return record;
}

/* ---- its place ------------------------------------------------------------------------------------ */

void sl_env_id(const struct sl_digest *digest, char out[SL_ENV_ID_HEX + 1])
{
    char hex[SL_DIGEST_HEX + 1];
    snprintf(out, SL_ENV_ID_HEX + 1, "%.*s", SL_ENV_ID_HEX, sl_digest_hex(digest, hex));
}

char *sl_env_path(const char *data, const struct sl_digest *digest)
{
    char id[SL_ENV_ID_HEX + 1];
    sl_env_id(digest, id);
    return sl_asprintf("%s/" SL_ENV_DIR "/%s", data, id);
}

json_t *sl_env_marker_read(const char *data, const char *id)
{
    _cleanup_(free)
    char *path = sl_asprintf("%s/" SL_ENV_DIR "/%s/" SL_ENV_MARKER, data, id);
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(2 * SL_ENV_RECORD_BYTES_MAX);
    if (sl_read_file_at(AT_FDCWD, path, 2 * SL_ENV_RECORD_BYTES_MAX, &text, NULL) < 0) {
        return NULL;
    }
    json_t *marker = sl_json_parse(SL_ENV_MARKER, sl_buf_str(&text), text.len, NULL);
    if (marker != NULL && sl_json_i64(marker, "format", 0) != SL_ENV_FORMAT) {
        json_decref(marker);
        return NULL;
    }
    return marker;
}

/** The data directory was not moved since, and the interpreter that the venv points to, or the image's tree, is
 * there. */
static bool marker_holds(const char *data, const char *id, const json_t *marker)
{
    bool image = sl_streq(sl_json_str(json_object_get(marker, "record"), "kind", ""), "image");
    _cleanup_(free)
    char *here = sl_asprintf("%s/" SL_ENV_DIR "/%s", data, id);
    _cleanup_(free)
    char *needed = sl_asprintf("%s/%s", here, image ? "root" : "bin/python");
    return sl_streq(sl_json_str(marker, "path", ""), here) && access(needed, X_OK) == 0;
}

json_t *sl_env_config(const char *data, const struct sl_digest *digest)
{
    char id[SL_ENV_ID_HEX + 1];
    sl_env_id(digest, id);
    json_auto_t *marker = sl_env_marker_read(data, id);
    return json_incref(json_object_get(marker, "config"));
}

char *sl_env_root(const char *data, const struct sl_digest *digest)
{
    char id[SL_ENV_ID_HEX + 1];
    sl_env_id(digest, id);
    return sl_asprintf("%s/" SL_ENV_DIR "/%s/root", data, id);
}

bool sl_env_ready(const char *data, const struct sl_digest *digest)
{
    char id[SL_ENV_ID_HEX + 1];
    char hex[SL_DIGEST_HEX + 1];
    sl_env_id(digest, id);
    json_auto_t *marker = sl_env_marker_read(data, id);
    return marker != NULL &&
           sl_streq(sl_json_str(marker, "digest", ""), sl_digest_hex(digest, hex)) &&
           marker_holds(data, id, marker);
}

void sl_env_touch(const char *data, const struct sl_digest *digest)
{
    char id[SL_ENV_ID_HEX + 1];
    sl_env_id(digest, id);
    _cleanup_(free)
    char *path = sl_asprintf("%s/" SL_ENV_DIR "/%s/" SL_ENV_MARKER, data, id);
    (void)utimensat(AT_FDCWD, path, NULL, 0);
}

/* ---- listing and removing ------------------------------------------------------------------------- */

static bool id_valid(const char *name)
{
    return strlen(name) == SL_ENV_ID_HEX && strspn(name, "0123456789abcdef") == SL_ENV_ID_HEX;
}

struct listing {
    const char *data;
    sl_env_each_fn fn;
    void *arg;
};

static int list_one(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    const struct listing *l = data;
    struct stat st;
    if (!S_ISDIR(entry->st->st_mode) || !id_valid(entry->path)) {
        return 1;
    }
    struct sl_env_info info = {0};
    snprintf(info.id, sizeof(info.id), "%s", entry->path);
    json_auto_t *marker = sl_env_marker_read(l->data, info.id);
    if (marker != NULL) {
        (void)sl_digest_parse(sl_json_str(marker, "digest", ""), &info.digest);
        info.record = json_object_get(marker, "record");
        info.bytes = (uint64_t)sl_json_i64(marker, "bytes", 0);
        info.files = sl_json_i64(marker, "files", 0);
        info.built_ms = sl_json_i64(marker, "built_ms", 0);
        info.ready = marker_holds(l->data, info.id, marker);
    }
    _cleanup_(free)
    char *path = sl_asprintf("%s/" SL_ENV_MARKER, entry->path);
    if (fstatat(entry->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        info.used_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    }
    int rc = l->fn(&info, l->arg, err);
    return rc < 0 ? rc : 1; /* its content is not listed */
}

int sl_env_each(const char *data, sl_env_each_fn fn, void *arg, struct sl_err *err)
{
    struct listing l = {data, fn, arg};
    _cleanup_(free)
    char *path = sl_asprintf("%s/" SL_ENV_DIR, data);
    if (access(path, F_OK) < 0) {
        return 0;
    }
    return sl_walk_at(AT_FDCWD, path, list_one, &l, err);
}

int sl_env_lock(const char *data, const char *id, bool wait, struct sl_err *err)
{
    _cleanup_(free)
    char *path = sl_asprintf("%s/" SL_ENV_DIR "/%s.lock", data, id);
    _cleanup_(close)
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot open %s", path);
    }
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &whole);
    if (rc < 0 && (errno == EAGAIN || errno == EACCES)) {
        return sl_err_set(err, SL_EBUSY, "environment %.12s is being built", id);
    }
    return rc < 0 ? sl_err_errno(err, errno, "cannot lock %s", path) : sl_take_fd(fd);
}

int sl_env_clear(const char *data, const char *id, struct sl_err *err)
{
    _cleanup_(free)
    char *path = sl_asprintf("%s/" SL_ENV_DIR "/%s", data, id);
    _cleanup_(free)
    char *marker = sl_asprintf("%s/" SL_ENV_MARKER, path);
    if (chmod(path, 0755) < 0 && errno != ENOENT) {
        return sl_err_errno(err, errno, "cannot open %s up", path);
    }
    if (unlink(marker) < 0 && errno != ENOENT) { /* first: half of it must not look whole */
        return sl_err_errno(err, errno, "cannot remove %s", marker);
    }
    return sl_remove_tree_at(AT_FDCWD, path, err);
}

int sl_env_remove(const char *data, const char *id, struct sl_err *err)
{
    if (!id_valid(id)) {
        return sl_err_set(err, SL_EINVAL, "'%.80s' is no environment's id", id);
    }
    _cleanup_(close)
    int lock = sl_env_lock(data, id, false, err);
    return lock < 0 ? lock : sl_env_clear(data, id, err);
}
