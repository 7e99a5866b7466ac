/* Environments of a run: see runtime.h. */
#include "core/base/base.h"

#include "pipelines/run/runtime.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

#include "core/base/fs.h"
#include "pipelines/env/env.h"
#include "pipelines/env/image.h"
#include "pipelines/run/workspace.h"

/* ---- lock files ----------------------------------------------------------------------------------- */

static int first_problem(const struct sl_diags *d, struct sl_err *err)
{
    for (size_t i = 0; i < d->list.n; i++) {
        const struct sl_diag *p = &d->list.items[i];
        if (p->severity == SL_SEV_ERROR) {
            return sl_err_set(err, SL_EINVAL, "%s:%d: %s%s%.250s", p->loc.file, p->loc.line,
                              p->message, p->hint != NULL ? "; " : "",
                              p->hint != NULL ? p->hint : "");
        }
    }
    return sl_err_set(err, SL_EINVAL, "the lock file has errors");
}

static int not_there(const struct sl_manifest *code, const char *path, struct sl_err *err)
{
    SL_VEC(const char *) names = {0};
    for (size_t i = 0; i < code->entries.n; i++) {
        sl_vec_push(&names, code->entries.items[i].path);
    }
    const char *near = names.n > 0 ? sl_nearest(path, names.items, names.n) : NULL;
    int rc = sl_err_set(err, SL_ENOTFOUND,
                        "lock file '%.200s' is not in the code snapshot (not tracked by git, "
                        "ignored, or missing)%s%.200s%s",
                        path, near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                        near != NULL ? "'?" : "");
    sl_vec_free(&names);
    return rc;
}

static int read_lock(const struct sl_manifest *code, const char *path, struct sl_blob_store *blobs,
                     struct sl_arena *a, struct sl_lock *ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_LOCK_BYTES_MAX);
    struct sl_diags diags;
    const struct sl_manifest_entry *e = sl_manifest_find(code, path);
    if (e == NULL || e->type != SL_ENTRY_FILE) {
        return not_there(code, path, err);
    }
    int rc = sl_blob_read_all(blobs, &e->sha256, SL_LOCK_BYTES_MAX, &text, err);
    if (rc < 0) {
        return sl_err_wrap(err, "%s", path);
    }
    sl_diags_init(&diags, a);
    rc = sl_lock_read(path, (struct sl_str){sl_buf_str(&text), text.len}, a, &diags, ret);
    rc = rc < 0 ? first_problem(&diags, err) : 0;
    sl_diags_release(&diags);
    return rc;
}

static int resolve_venv(const struct sl_runtime *r, const struct sl_manifest *code,
                        const struct sl_run_envs_world *w, struct sl_arena *a,
                        struct sl_run_env *ret, struct sl_err *err)
{
    struct sl_lock lock;
    struct sl_interp interp;
    int rc = read_lock(code, r->venv, w->blobs, a, &lock, err);
    rc = rc < 0 ? rc : sl_interp_find(r->python, w->data, a, &interp, err);
    if (rc < 0) {
        return rc;
    }
    json_auto_t *record = sl_env_record(&lock, interp.facts, &ret->digest);
    json_decref(interp.facts);
    _cleanup_(free)
    char *text = sl_json_canonical(record);
    ret->record = sl_arena_strdup(a, text);
    ret->python = interp.path;
    return 0;
}

static int resolve_image(const struct sl_runtime *r, struct sl_arena *a, struct sl_run_env *ret,
                         struct sl_err *err)
{
    _cleanup_(free)
    char *dir = NULL;
    struct sl_digest image;
    int rc = sl_image_parse(r->image, &dir, &image, err);
    if (rc < 0) {
        return rc;
    }
    json_auto_t *record = sl_image_record(&image, &ret->digest);
    _cleanup_(free)
    char *text = sl_json_canonical(record);
    ret->record = sl_arena_strdup(a, text);
    return 0;
}

int sl_run_envs_resolve(const struct sl_spec *spec, const struct sl_manifest *code,
                        const struct sl_run_envs_world *w, struct sl_arena *a,
                        struct sl_run_env **ret, struct sl_err *err)
{
    struct sl_run_env *envs = SL_ARENA_ARRAY(a, struct sl_run_env, spec->n_steps + 1);
    for (size_t i = 0; i < spec->n_steps; i++) {
        const struct sl_runtime *r = spec->steps[i].builds;
        int rc = r == NULL                    ? 0
                 : r->kind == SL_RUNTIME_VENV ? resolve_venv(r, code, w, a, &envs[i], err)
                                              : resolve_image(r, a, &envs[i], err);
        if (rc < 0) {
            return sl_err_wrap(err, "%s:%d: runtime", r->loc.file != NULL ? r->loc.file : "",
                               r->loc.line);
        }
    }
    *ret = envs;
    return 0;
}

/* ---- as recorded ---------------------------------------------------------------------------------- */

json_t *sl_run_envs_json(const struct sl_spec *spec, const struct sl_run_env *envs)
{
    json_t *all = json_object();
    char hex[SL_DIGEST_HEX + 1];
    for (size_t i = 0; i < spec->n_steps; i++) {
        if (envs[i].record != NULL) {
            json_object_set_new(all, spec->steps[i].id,
                                json_pack("{s:s, s:s*}", "digest",
                                          sl_digest_hex(&envs[i].digest, hex), "python",
                                          envs[i].python));
        }
    }
    return all;
}

int sl_run_envs_restore(const struct sl_spec *spec, const json_t *recorded,
                        struct sl_blob_store *blobs, struct sl_arena *a, struct sl_run_env **ret,
                        struct sl_err *err)
{
    struct sl_run_env *envs = SL_ARENA_ARRAY(a, struct sl_run_env, spec->n_steps + 1);
    for (size_t i = 0; i < spec->n_steps; i++) {
        const char *id = spec->steps[i].id;
        const json_t *one = json_object_get(recorded, id);
        _cleanup_(buf)
        struct sl_buf text = SL_BUF_INIT(SL_ENV_RECORD_BYTES_MAX);
        if (spec->steps[i].builds == NULL) {
            continue;
        }
        if (!sl_digest_parse(sl_json_str(one, "digest", ""), &envs[i].digest)) {
            return sl_err_set(err, SL_ECORRUPT, "the record of '%s' is missing", id);
        }
        int rc = sl_blob_read_all(blobs, &envs[i].digest, SL_ENV_RECORD_BYTES_MAX, &text, err);
        if (rc < 0) {
            return sl_err_wrap(err, "the record of '%s'", id);
        }
        envs[i].record = sl_arena_strdup(a, sl_buf_str(&text));
        envs[i].python = sl_arena_strdup(a, sl_json_str(one, "python", ""));
    }
    *ret = envs;
    return 0;
}

int sl_run_envs_store(const struct sl_spec *spec, const struct sl_run_env *envs,
                      struct sl_blob_store *blobs, struct sl_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < spec->n_steps; i++) {
        struct sl_digest stored;
        if (envs[i].record != NULL && !sl_blob_has(blobs, &envs[i].digest)) {
            rc = sl_blob_put_bytes(blobs, envs[i].record, strlen(envs[i].record), &stored, err);
            SL_ASSERT(rc < 0 || sl_digest_eq(&stored, &envs[i].digest));
        }
    }
    return rc;
}

const struct sl_run_env *sl_run_env_of(const struct sl_spec *spec, const struct sl_run_env *envs,
                                       const struct sl_step *s)
{
    int i = envs != NULL ? sl_plan_env_step(spec, s) : -1;
    return i < 0 ? NULL : &envs[i];
}

size_t sl_run_host_steps(const struct sl_spec *spec)
{
    size_t n = 0;
    for (size_t i = 0; i < spec->n_steps; i++) {
        const struct sl_step *s = &spec->steps[i];
        bool process = s->action == SL_ACT_RUN || s->action == SL_ACT_COMMAND;
        n += process && s->builds == NULL && s->runtime.kind == SL_RUNTIME_HOST ? 1 : 0;
    }
    return n;
}

json_t *sl_run_env_key(const struct sl_run_env *env, struct sl_digest *ret_key)
{
    char hex[SL_DIGEST_HEX + 1];
    json_t *record = json_pack("{s:i, s:s, s:s}", "schema", 1, "action", "env", "runtime",
                               sl_digest_hex(&env->digest, hex));
    SL_ASSERT(record != NULL);
    _cleanup_(free)
    char *text = sl_json_canonical(record);
    sl_sha256(text, strlen(text), ret_key);
    return record;
}

/* ---- differences ---------------------------------------------------------------------------------- */

static json_t *load_record(struct sl_blob_store *blobs, const json_t *digest)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_ENV_RECORD_BYTES_MAX);
    struct sl_digest d;
    if (!json_is_string(digest) || !sl_digest_parse(json_string_value(digest), &d) ||
        sl_blob_read_all(blobs, &d, SL_ENV_RECORD_BYTES_MAX, &text, NULL) < 0) {
        return NULL;
    }
    return sl_json_parse("environment", sl_buf_str(&text), text.len, NULL);
}

/** Hashes follow versions: they are told only where the version stayed. */
static bool follows_version(const json_t *parts, const char *field)
{
    static const char hashes[] = "hashes.";
    size_t i = 0;
    json_t *p = NULL;
    if (!sl_starts_with(field, hashes)) {
        return false;
    }
    _cleanup_(free)
    char *package = sl_asprintf("packages.%s", field + strlen(hashes));
    json_array_foreach (parts, i, p) {
        if (sl_streq(sl_json_str(p, "field", ""), package)) {
            return true;
        }
    }
    return false;
}

static void explain_one(json_t *into, const json_t *old, const json_t *new)
{
    json_auto_t *parts = sl_plan_diff_records(old, new);
    size_t i = 0;
    json_t *p = NULL;
    json_array_foreach (parts, i, p) {
        const char *field = sl_json_str(p, "field", "");
        _cleanup_(free)
        char *full = sl_asprintf("runtime.%s", field);
        if (!follows_version(parts, field)) {
            json_array_append_new(into, json_pack("{s:s, s:O?, s:O?}", "field", full, "old",
                                                  json_object_get(p, "old"), "new",
                                                  json_object_get(p, "new")));
        }
    }
}

void sl_run_envs_explain(struct sl_blob_store *blobs, json_t *diff)
{
    json_auto_t *out = json_array();
    size_t i = 0;
    json_t *d = NULL;
    json_array_foreach (diff, i, d) {
        json_auto_t *old = NULL;
        json_auto_t *new = NULL;
        if (blobs != NULL && sl_streq(sl_json_str(d, "field", ""), "runtime")) {
            old = load_record(blobs, json_object_get(d, "old"));
            new = load_record(blobs, json_object_get(d, "new"));
        }
        if (old != NULL && new != NULL) {
            explain_one(out, old, new);
        } else {
            json_array_append(out, d);
        }
    }
    json_array_clear(diff);
    json_array_extend(diff, out);
}

/* ---- lint ----------------------------------------------------------------------------------------- */

/** A file beside the one that is missing, with a name like it; caller frees. NULL: none. */
static char *like_it(int rootfd, const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_(free)
    char *dir = slash != NULL ? sl_strndup(path, (size_t)(slash - path)) : sl_strdup(".");
    int fd = sl_openat_beneath(rootfd, dir, O_RDONLY | O_DIRECTORY, 0, NULL);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    SL_VEC(char *) names = {0};
    if (d == NULL) {
        sl_cleanup_close(&fd);
        return NULL;
    }
    for (const struct dirent *e = readdir(d); e != NULL && names.n < 10000; e = readdir(d)) {
        sl_vec_push(&names, sl_strdup(e->d_name));
    }
    (void)closedir(d);
    const char *near =
        sl_nearest(slash != NULL ? slash + 1 : path, (const char *const *)names.items, names.n);
    char *found = near == NULL    ? NULL
                  : slash != NULL ? sl_asprintf("%s/%s", dir, near)
                                  : sl_strdup(near);
    for (size_t i = 0; i < names.n; i++) {
        free(names.items[i]);
    }
    sl_vec_free(&names);
    return found;
}

static void lint_one(const struct sl_runtime *r, int rootfd, struct sl_arena *a,
                     struct sl_diags *diags)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_LOCK_BYTES_MAX);
    struct sl_err err = SL_ERR_INIT;
    struct sl_lock lock;
    int rc = sl_read_file_at(rootfd, r->venv, SL_LOCK_BYTES_MAX, &text, &err);
    if (rc < 0) {
        _cleanup_(free)
        char *near = rc == -SL_ENOTFOUND ? like_it(rootfd, r->venv) : NULL;
        sl_diag_add(diags, SL_SEV_ERROR, r->loc, (struct sl_str){0}, NULL,
                    "lock file '%s' %s%s%s%s", r->venv,
                    rc == -SL_ENOTFOUND ? "is not below the root of the code" : "cannot be read",
                    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'?" : "");
        return;
    }
    SL_IGNORE(sl_lock_read(r->venv, (struct sl_str){sl_buf_str(&text), text.len}, a, diags, &lock));
}

static bool linted(const struct sl_spec *spec, size_t n, const char *venv)
{
    for (size_t i = 0; i < n; i++) {
        const struct sl_runtime *r = &spec->steps[i].runtime;
        if (r->kind == SL_RUNTIME_VENV && sl_streq(r->venv, venv)) {
            return true;
        }
    }
    return false;
}

/** The root of the code: where the data directory of a work tree would be made. */
static int open_root(const char *dir)
{
    _cleanup_(free)
    char *real = realpath(dir, NULL);
    if (real == NULL) {
        return -1;
    }
    _cleanup_(free)
    char *data = sl_workspace_default_path(real);
    *strrchr(data, '/') = '\0';
    return sl_opendir_at(AT_FDCWD, data[0] != '\0' ? data : "/", NULL);
}

int sl_run_envs_lint(const struct sl_spec *spec, const char *dir, struct sl_arena *a,
                     struct sl_diags *diags)
{
    size_t before = diags->n_errors;
    _cleanup_(close)
    int rootfd = open_root(dir);
    for (size_t i = 0; rootfd >= 0 && i < spec->n_steps; i++) {
        const struct sl_runtime *r = &spec->steps[i].runtime;
        if (r->kind == SL_RUNTIME_VENV && !linted(spec, i, r->venv)) {
            lint_one(r, rootfd, a, diags);
        }
    }
    return diags->n_errors > before ? -SL_EINVAL : 0;
}
