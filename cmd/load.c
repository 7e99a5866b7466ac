/* Reading pipelines and parameters: see load.h. Thread: main. */
#include "core/base/base.h"

#include "cmd/load.h"

#include <fcntl.h>
#include <stdlib.h>

#include "core/base/fs.h"
#include "core/yaml/yaml.h"
#include "pipelines/run/runtime.h"
#include "pipelines/spec/spec.h"

void sl_cmd_print_diags(const struct sl_cmd *c, const struct sl_diags *diags, FILE *to)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT((size_t)8 << 20);
    sl_diags_print(diags, c->color, &out);
    (void)fputs(sl_buf_str(&out), to);
}

static int read_text(struct sl_arena *a, const char *path, struct sl_str *ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_YAML_BYTES_MAX + 1);
    int rc = sl_read_file_at(AT_FDCWD, path, SL_YAML_BYTES_MAX, &text, err);
    if (rc == 0) {
        *ret = (struct sl_str){sl_arena_strndup(a, sl_buf_str(&text), text.len), text.len};
    }
    return rc;
}

static int read_beside(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                       struct sl_err *err)
{
    const char *dir = data;
    _cleanup_(free)
    char *full = path[0] == '/' ? sl_strdup(path) : sl_asprintf("%s/%s", dir, path);
    return read_text(a, full, ret, err);
}

int sl_cmd_check_file(struct sl_cmd *c, const char *path, struct sl_diags *diags)
{
    const struct sl_spec *spec = NULL;
    char *dir = sl_arena_strdup(&c->arena, path);
    char *slash = strrchr(dir, '/');
    struct sl_spec_source source = {.file = path, .read = read_beside, .any_kind = true};
    if (slash != NULL) {
        slash[slash == dir ? 1 : 0] = '\0';
    }
    source.data = slash != NULL ? dir : sl_arena_strdup(&c->arena, ".");
    int rc = read_text(&c->arena, path, &source.text, &c->err);
    if (rc < 0) { /* -SL_EINVAL means diagnostics to the caller */
        return rc == -SL_EINVAL ? -SL_EIO : rc;
    }
    rc = sl_spec_load(&source, &c->arena, diags, &spec);
    return rc < 0 ? rc : sl_run_envs_lint(spec, source.data, &c->arena, diags);
}

/* ---- parameters ----------------------------------------------------------------------------------- */

struct args {
    SL_VEC(struct sl_param_arg) list;
};

static int params_from_file(struct sl_cmd *c, const char *path, struct args *args)
{
    struct sl_str text;
    struct sl_diags diags;
    const struct sl_yaml *y = NULL;
    int rc = read_text(&c->arena, path, &text, &c->err);
    if (rc < 0) {
        return rc;
    }
    sl_diags_init(&diags, &c->arena);
    rc = sl_yaml_parse(path, text, &c->arena, &diags, &y);
    if (rc < 0) {
        sl_cmd_print_diags(c, &diags, stderr);
        rc = sl_err_set(&c->err, SL_EINVAL, "%s has errors", path);
    } else if (y->n_docs != 1 || y->docs[0]->type != SL_YAML_MAP) {
        rc = sl_err_set(&c->err, SL_EINVAL, "%s: expected one mapping of parameter names to values",
                        path);
    }
    for (size_t i = 0; rc == 0 && i < y->docs[0]->map.n; i++) {
        const struct sl_yaml_pair *p = &y->docs[0]->map.pairs[i];
        if (p->value->type == SL_YAML_MAP || p->value->type == SL_YAML_SEQ) {
            rc = sl_err_set(&c->err, SL_EINVAL, "%s:%d: '%.60s' must be a single value", path,
                            p->key_loc.line, p->key);
            break;
        }
        struct sl_param_arg a = {
            sl_arena_strndup(&c->arena, p->key, p->key_len),
            sl_arena_strndup(&c->arena, p->value->text.ptr, p->value->text.len), path};
        sl_vec_push(&args->list, a);
    }
    sl_diags_release(&diags);
    return rc;
}

static bool replace(struct args *args, const struct sl_param_arg *a)
{
    for (size_t i = 0; i < args->list.n; i++) {
        if (sl_streq(args->list.items[i].name, a->name)) {
            args->list.items[i] = *a;
            return true;
        }
    }
    return false;
}

static int collect_args(struct sl_cmd *c, struct args *args)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->opts->values.n; i++) {
        const struct sl_opt_value *v = &c->opts->values.items[i];
        if (sl_streq(v->opt->name, "params")) {
            rc = params_from_file(c, v->value, args);
        }
    }
    for (size_t i = 0; rc == 0 && i < c->opts->values.n; i++) {
        const struct sl_opt_value *v = &c->opts->values.items[i];
        if (!sl_streq(v->opt->name, "param")) {
            continue;
        }
        const char *eq = strchr(v->value, '=');
        if (eq == NULL || eq == v->value) {
            return sl_err_set(&c->err, SL_EINVAL, "-p %.80s: expected NAME=VALUE", v->value);
        }
        struct sl_param_arg a = {sl_arena_strndup(&c->arena, v->value, (size_t)(eq - v->value)),
                                 eq + 1, "command line"};
        if (!replace(args, &a)) {
            sl_vec_push(&args->list, a);
        }
    }
    return rc;
}

int sl_cmd_load(struct sl_cmd *c, const char *path, struct sl_loaded *ret,
                struct sl_submission_opts *ret_opts, int *ret_status)
{
    struct args args = {0};
    struct sl_diags diags;
    int rc = collect_args(c, &args);
    if (rc < 0) {
        *ret_status = sl_cmd_fail(c);
        sl_vec_free(&args.list);
        return rc;
    }
    size_t n = args.list.n;
    struct sl_param_arg *kept = SL_ARENA_ARRAY(&c->arena, struct sl_param_arg, n + 1);
    for (size_t i = 0; i < n; i++) {
        kept[i] = args.list.items[i];
    }
    sl_vec_free(&args.list);
    sl_diags_init(&diags, &c->arena);
    rc = sl_pipeline_load(path, kept, n, &c->arena, &diags, ret, &c->err);
    if (c->json && rc == -SL_EINVAL && diags.n_errors > 0) {
        (void)sl_cmd_print_json(
            json_pack("{s:s, s:b, s:o}", "file", path, "ok", 0, "problems", sl_diags_json(&diags)));
    } else {
        sl_cmd_print_diags(c, &diags, stderr);
    }
    if (rc < 0) {
        *ret_status = diags.n_errors > 0 ? SL_EXIT_USAGE : sl_cmd_fail(c);
    }
    sl_diags_release(&diags);
    *ret_opts = (struct sl_submission_opts){.args = kept, .n_args = n, .actor = sl_cmd_actor(c)};
    return rc;
}
