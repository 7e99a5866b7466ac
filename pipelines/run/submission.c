/* Collecting and reading submissions: see submission.h. */
#include "core/base/base.h"

#include "pipelines/run/submission.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/fs.h"
#include "pipelines/run/runtime.h"
#include "pipelines/run/snapshot.h"

#define PIPELINE_BYTES_MAX ((size_t)4 << 20)

/* ---- reading from disk --------------------------------------------------------------------------- */

static int read_text(const char *path, struct sl_arena *a, struct sl_str *ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(PIPELINE_BYTES_MAX);
    int rc = sl_read_file_at(AT_FDCWD, path, PIPELINE_BYTES_MAX, &text, err);
    if (rc < 0) {
        return rc;
    }
    *ret = (struct sl_str){sl_arena_strndup(a, sl_buf_str(&text), text.len), text.len};
    return 0;
}

/** Included paths are relative to the main file's directory. */
static int read_include(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                        struct sl_err *err)
{
    const char *dir = data;
    _cleanup_(free)
    char *full = path[0] == '/' ? sl_strdup(path) : sl_asprintf("%s/%s", dir, path);
    return read_text(full, a, ret, err);
}

static int split_path(const char *path, struct sl_loaded *l, struct sl_err *err)
{
    _cleanup_(free)
    char *real = realpath(path, NULL);
    if (real == NULL) {
        return sl_err_errno(err, errno, "cannot open %s", path);
    }
    char *slash = strrchr(real, '/');
    l->main_name = sl_strdup(slash + 1);
    l->base_dir = slash == real ? sl_strdup("/") : sl_strndup(real, (size_t)(slash - real));
    return 0;
}

struct loading {
    const struct sl_param_arg *args;
    size_t n_args;
    struct sl_arena *a;
    struct sl_diags *diags;
};

/** Checks and expands; l has its two names. */
static int load_text(const struct loading *x, struct sl_str text, struct sl_loaded *l)
{
    struct sl_arena *a = x->a;
    struct sl_param_value *params = NULL;
    struct sl_spec_source source = {.file = sl_arena_strdup(a, l->main_name),
                                    .text = text,
                                    .read = read_include,
                                    .data = sl_arena_strdup(a, l->base_dir)};
    int rc = sl_spec_load(&source, a, x->diags, &l->spec);
    rc = rc < 0 ? rc : sl_plan_params(l->spec, x->args, x->n_args, a, x->diags, &params);
    l->params = params;
    rc = rc < 0 ? rc : sl_run_envs_lint(l->spec, l->base_dir, a, x->diags);
    return rc < 0 ? rc : sl_plan_build(l->spec, params, a, x->diags, &l->plan);
}

int sl_pipeline_load(const char *path, const struct sl_param_arg *args, size_t n_args,
                     struct sl_arena *a, struct sl_diags *diags, struct sl_loaded *ret,
                     struct sl_err *err)
{
    struct sl_loaded l = {0};
    struct sl_str text;
    const struct loading x = {args, n_args, a, diags};
    int rc = read_text(path, a, &text, err);
    rc = rc < 0 ? rc : split_path(path, &l, err);
    if (rc == 0 && load_text(&x, text, &l) < 0) {
        rc = sl_err_set(err, SL_EINVAL, "%s has errors", path);
    }
    if (rc < 0) {
        sl_loaded_release(&l);
        return rc;
    }
    *ret = l;
    return 0;
}

int sl_pipeline_load_text(const char *dir, const char *name, const char *text, struct sl_arena *a,
                          struct sl_diags *diags, struct sl_loaded *ret, struct sl_err *err)
{
    struct sl_loaded l = {.base_dir = sl_strdup(dir), .main_name = sl_strdup(name)};
    const struct loading x = {NULL, 0, a, diags};
    if (load_text(&x, sl_str_c(text), &l) < 0) {
        sl_loaded_release(&l);
        return sl_err_set(err, SL_EINVAL, "%s has errors", name);
    }
    *ret = l;
    return 0;
}

void sl_loaded_release(struct sl_loaded *l)
{
    free(l->base_dir);
    free(l->main_name);
    l->base_dir = l->main_name = NULL;
}

/* ---- building ------------------------------------------------------------------------------------ */

static json_t *texts_json(const struct sl_spec *spec)
{
    json_t *files = json_object();
    for (size_t i = 0; i < spec->n_files; i++) {
        _cleanup_(free)
        char *name = sl_strndup(spec->files[i].ptr, spec->files[i].len);
        json_object_set_new(files, name, json_stringn(spec->texts[i].ptr, spec->texts[i].len));
    }
    return files;
}

static json_t *args_json(const struct sl_submission_opts *opts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < opts->n_args; i++) {
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s}", "name", opts->args[i].name, "value",
                                        opts->args[i].value, "origin", opts->args[i].origin));
    }
    return list;
}

int sl_submission_build(const struct sl_loaded *l, struct sl_blob_store *blobs,
                        const struct sl_submission_opts *opts, json_t **ret, struct sl_err *err)
{
    struct sl_snapshot snap;
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_SUBMISSION_BYTES_MAX);
    struct sl_digest stored;
    char hex[SL_DIGEST_HEX + 1];
    int rc = sl_snapshot_take(blobs, l->base_dir, l->spec, opts->data_dir, &snap, err);
    if (rc < 0) {
        return rc;
    }
    rc = sl_manifest_encode(&snap.manifest, &text, err);
    if (rc == 0 && !sl_blob_has(blobs, &snap.manifest.digest)) {
        rc = sl_blob_put_bytes(blobs, sl_buf_str(&text), text.len, &stored, err);
    }
    if (rc == 0) {
        *ret = json_pack(
            "{s:s, s:s, s:o, s:o, s:s, s:s, s:b, s:s, s:s?, s:s?, s:b}", "main", l->main_name,
            "base_dir", l->base_dir, "files", texts_json(l->spec), "params", args_json(opts),
            "code", sl_digest_hex(&snap.manifest.digest, hex), "code_commit", snap.commit,
            "code_dirty", snap.dirty, "actor", opts->actor, "override", opts->override_reason,
            "retry_of", opts->retry_of, "no_cache", opts->no_cache);
        SL_ASSERT(*ret != NULL);
        if (sl_utf8_check(snap.author, strlen(snap.author)) == strlen(snap.author)) {
            sl_json_set_str(*ret, "code_author", snap.author);
        }
    }
    sl_snapshot_release(&snap);
    return rc;
}

/* ---- reading it back ----------------------------------------------------------------------------- */

static int find_text(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                     struct sl_err *err)
{
    const json_t *files = data;
    const json_t *text = json_object_get(files, path);
    if (!json_is_string(text)) {
        return sl_err_set(err, SL_ENOTFOUND, "%s is not among the submitted files", path);
    }
    ret->len = json_string_length(text);
    ret->ptr = sl_arena_strndup(a, json_string_value(text), ret->len);
    return 0;
}

static int first_problem(const struct sl_diags *d, struct sl_err *err)
{
    for (size_t i = 0; i < d->list.n; i++) {
        const struct sl_diag *p = &d->list.items[i];
        if (p->severity == SL_SEV_ERROR) {
            return sl_err_set(err, SL_EINVAL, "%s:%d:%d: %s", p->loc.file, p->loc.line,
                              p->loc.column, p->message);
        }
    }
    return sl_err_set(err, SL_EINVAL, "the pipeline has errors");
}

/** Parameters come as a list (a submission) or as {NAME: {"value", "origin"}} (a recorded run). */
static size_t read_args(const json_t *params, struct sl_arena *a, struct sl_param_arg **ret)
{
    size_t n = json_is_array(params) ? json_array_size(params) : json_object_size(params);
    struct sl_param_arg *args = SL_ARENA_ARRAY(a, struct sl_param_arg, n + 1);
    size_t used = 0;
    if (json_is_array(params)) {
        for (size_t i = 0; i < n; i++) {
            const json_t *p = json_array_get(params, i);
            args[used].name = sl_arena_strdup(a, sl_json_str(p, "name", ""));
            args[used].value = sl_arena_strdup(a, sl_json_str(p, "value", ""));
            args[used++].origin = sl_arena_strdup(a, sl_json_str(p, "origin", "submission"));
        }
    }
    *ret = args;
    return used;
}

/** A recorded run's values replace what defaults would give. */
static void restore_params(const struct sl_spec *spec, const json_t *recorded, struct sl_arena *a,
                           struct sl_param_value *values)
{
    for (size_t i = 0; i < spec->n_params; i++) {
        const json_t *p = json_object_get(recorded, spec->params[i].name);
        if (p != NULL) {
            values[i].value = sl_value_from_json(a, json_object_get(p, "value"));
            values[i].origin = sl_arena_strdup(a, sl_json_str(p, "origin", "recorded"));
        }
    }
}

static int params_of(const struct sl_spec *spec, const json_t *params, struct sl_arena *a,
                     struct sl_diags *diags, struct sl_param_value **ret)
{
    if (json_is_object(params)) {
        struct sl_param_value *values =
            SL_ARENA_ARRAY(a, struct sl_param_value, spec->n_params + 1);
        for (size_t i = 0; i < spec->n_params; i++) {
            values[i] = (struct sl_param_value){&spec->params[i], spec->params[i].value, "default"};
        }
        restore_params(spec, params, a, values);
        *ret = values;
        return 0;
    }
    struct sl_param_arg *args = NULL;
    size_t n = read_args(params, a, &args);
    return sl_plan_params(spec, args, n, a, diags, ret);
}

int sl_submission_plan(const json_t *texts, const json_t *params, struct sl_arena *a,
                       const struct sl_spec **ret_spec, const struct sl_param_value **ret_params,
                       const struct sl_plan **ret_plan, struct sl_err *err)
{
    struct sl_diags diags;
    struct sl_param_value *values = NULL;
    json_t *files = json_object_get(texts, "files");
    const char *name = sl_json_str(texts, "main", NULL);
    struct sl_spec_source source = {.read = find_text, .data = files};
    if (name == NULL || find_text(files, a, name, &source.text, err) < 0) {
        return sl_err_set(err, SL_EINVAL, "the submission lacks its main file");
    }
    source.file = sl_arena_strdup(a, name);
    sl_diags_init(&diags, a);
    int rc = sl_spec_load(&source, a, &diags, ret_spec);
    rc = rc < 0 ? rc : params_of(*ret_spec, params, a, &diags, &values);
    rc = rc < 0 ? rc : sl_plan_build(*ret_spec, values, a, &diags, ret_plan);
    if (rc < 0) {
        rc = first_problem(&diags, err);
    }
    *ret_params = values;
    sl_diags_release(&diags);
    return rc;
}

json_t *sl_params_json(const struct sl_spec *spec, const struct sl_param_value *values)
{
    json_t *all = json_object();
    for (size_t i = 0; i < spec->n_params; i++) {
        json_object_set_new(all, spec->params[i].name,
                            json_pack("{s:o, s:s}", "value", sl_value_json(&values[i].value),
                                      "origin", values[i].origin));
    }
    return all;
}
