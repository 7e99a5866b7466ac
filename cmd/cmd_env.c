/* env: environments of steps. Thread: main. */
#include "core/base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/follow.h"
#include "cmd/load.h"
#include "cmd/table.h"
#include "core/base/time.h"
#include "pipelines/env/build.h"
#include "pipelines/run/submission.h"
#include "pipelines/run/workspace.h"

/* ---- the process of an environment step ------------------------------------------------------------ */

int sl_cmd_env_step(struct sl_cmd *c)
{
    const struct sl_env_build b = {.data = sl_cmd_opt(c, "data"),
                                   .record = sl_cmd_opt(c, "record"),
                                   .lock = sl_cmd_arg(c, 0),
                                   .python = sl_cmd_opt(c, "python"),
                                   .wheels_in = sl_cmd_opt(c, "wheels"),
                                   .wheels_out = sl_cmd_opt(c, "out"),
                                   .env = (const char *const *)(uintptr_t)environ};
    if (b.data == NULL || b.record == NULL || b.wheels_out == NULL) {
        (void)sl_err_set(&c->err, SL_EINVAL,
                         "env step is what an environment's step runs; people run 'sluice env "
                         "build'");
        return sl_cmd_fail(c);
    }
    return sl_env_build(&b, &c->err) < 0 ? sl_cmd_fail(c) : SL_EXIT_OK;
}

/* ---- listing -------------------------------------------------------------------------------------- */

static void size_cell(struct sl_table *t, const json_t *o)
{
    char size[SL_TIME_TEXT];
    sl_table_cell(t, sl_size_format((uint64_t)sl_json_i64(o, "bytes", 0), size));
}

static void ago_cell(struct sl_table *t, const json_t *o, const char *key)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(100);
    sl_put_ago(&text, sl_now_ms(), sl_json_i64(o, key, 0));
    sl_table_cell(t, sl_buf_str(&text));
}

static void put_env(struct sl_table *t, const json_t *o)
{
    const json_t *by = json_object_get(o, "in_use_by");
    sl_table_cellf(t, "%.12s", sl_json_str(o, "id", ""));
    sl_table_cell(t, sl_json_bool(o, "ready", false) ? sl_json_str(o, "kind", "") : "not whole");
    sl_table_cell(t, sl_json_str(o, "python", ""));
    sl_table_cellf(t, "%lld", (long long)sl_json_i64(o, "packages", 0));
    size_cell(t, o);
    ago_cell(t, o, "built_ms");
    ago_cell(t, o, "used_ms");
    sl_table_cell(t, json_array_size(by) > 0 ? json_string_value(json_array_get(by, 0)) : "-");
}

int sl_cmd_env_ls(struct sl_cmd *c)
{
    static const char *const heads[] = {"ENV",   "KIND", ">PYTHON",   ">PACKAGES", ">SIZE",
                                        "BUILT", "USED", "IN USE BY", NULL};
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)16 << 20);
    struct sl_table t;
    size_t i = 0;
    json_t *o = NULL;
    if (sl_call(c, "envs.list", json_object(), &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    if (json_array_size(json_object_get(answer, "environments")) == 0) {
        sl_buf_puts(&out, "no environments\n");
        return sl_cmd_print(&out);
    }
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(answer, "environments"), i, o) {
        put_env(&t, o);
    }
    sl_table_print(&t, c->color, &out);
    return sl_cmd_print(&out);
}

int sl_cmd_env_show(struct sl_cmd *c)
{
    static const char *const heads[] = {"PACKAGE", "VERSION", NULL};
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)16 << 20);
    struct sl_table t;
    if (sl_call(c, "envs.show", json_pack("{s:s}", "env", sl_cmd_arg(c, 0)), &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    const json_t *record = json_object_get(answer, "record");
    const json_t *interp = json_object_get(record, "interpreter");
    char size[SL_TIME_TEXT];
    sl_buf_printf(
        &out, "environment %s\nstate     %s\npython    %s %s on %s\nsize      %s in %lld files\n\n",
        sl_json_str(answer, "id", ""), sl_json_bool(answer, "ready", false) ? "whole" : "not whole",
        sl_json_str(interp, "implementation", "?"), sl_json_str(interp, "version", "?"),
        sl_json_str(interp, "platform", "?"),
        sl_size_format((uint64_t)sl_json_i64(answer, "bytes", 0), size),
        (long long)sl_json_i64(answer, "files", 0));
    const char *name = NULL;
    json_t *version = NULL;
    sl_table_init(&t, heads);
    json_object_foreach (json_object_get(record, "packages"), name, version) {
        sl_table_cell(&t, name);
        sl_table_cell(&t, json_string_value(version));
    }
    sl_table_print(&t, c->color, &out);
    return sl_cmd_print(&out);
}

int sl_cmd_env_gc(struct sl_cmd *c)
{
    static const char *const heads[] = {"ENV", "WHAT", ">SIZE", "WHY", NULL};
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)16 << 20);
    struct sl_table t;
    size_t i = 0;
    json_t *o = NULL;
    bool dry = sl_cmd_flag(c, "dry-run");
    json_t *args = json_pack("{s:b}", "dry_run", dry);
    sl_json_set_str(args, "older", sl_cmd_opt(c, "older"));
    if (sl_call(c, "envs.gc", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(answer, "environments"), i, o) {
        bool goes = sl_json_bool(o, "removed", false);
        sl_table_cellf(&t, "%.12s", sl_json_str(o, "id", ""));
        sl_table_cell(&t, !goes ? "kept" : dry ? "would go" : "removed");
        size_cell(&t, o);
        sl_table_cell(&t, sl_json_str(o, "reason", ""));
    }
    char size[SL_TIME_TEXT];
    sl_table_print(&t, c->color, &out);
    sl_buf_printf(&out, "%s %s\n", dry ? "would free" : "freed",
                  sl_size_format((uint64_t)sl_json_i64(answer, "freed_bytes", 0), size));
    return sl_cmd_print(&out);
}

/* ---- building ------------------------------------------------------------------------------------- */

/** The path of a file below the root of the code, as a pipeline there names it. NULL with c->err. */
static const char *below_root(struct sl_cmd *c, const char *path, const char **ret_root)
{
    _cleanup_(free)
    char *real = realpath(path, NULL);
    if (real == NULL) {
        (void)sl_err_errno(&c->err, errno, "cannot open %s", path);
        return NULL;
    }
    _cleanup_(free)
    char *dir = sl_strndup(real, (size_t)(strrchr(real, '/') - real));
    _cleanup_(free)
    char *data = sl_workspace_default_path(dir[0] != '\0' ? dir : "/");
    *strrchr(data, '/') = '\0';
    *ret_root = sl_arena_strdup(&c->arena, data[0] != '\0' ? data : "/");
    return sl_arena_strdup(&c->arena, real + strlen(data) + 1);
}

/** A pipeline whose one step runs in the environment. */
static const char *pipeline_text(struct sl_cmd *c, const char *lock)
{
    json_auto_t *venv = json_string(lock);
    json_auto_t *python =
        json_string(sl_cmd_opt(c, "python") != NULL ? sl_cmd_opt(c, "python") : "python3");
    _cleanup_(free)
    char *venv_text = json_dumps(venv, JSON_ENCODE_ANY);
    _cleanup_(free)
    char *python_text = json_dumps(python, JSON_ENCODE_ANY);
    return sl_arena_printf(&c->arena,
                           "apiVersion: sluice/v1\nkind: Pipeline\nname: environment\nsteps:\n"
                           "  check:\n    runtime: { venv: %s, python: %s }\n    cache: \"off\"\n"
                           "    command: [python, --version]\n",
                           venv_text, python_text);
}

static int submit(struct sl_cmd *c, const struct sl_loaded *l)
{
    json_auto_t *submission = NULL;
    struct sl_blob_store *blobs = NULL;
    bool made = false;
    int rc = sl_cmd_data_or_make(c, &made);
    struct sl_submission_opts opts = {.actor = sl_cmd_actor(c), .data_dir = c->data_path};
    rc = rc < 0 ? rc : sl_workspace_open_blobs(c->data_path, &blobs, &c->err);
    rc = rc < 0 ? rc : sl_submission_build(l, blobs, &opts, &submission, &c->err);
    sl_blob_store_close(blobs);
    struct sl_follow f = {.submission = submission};
    return rc < 0 ? sl_cmd_fail(c) : sl_follow(c, &f);
}

int sl_cmd_env_build(struct sl_cmd *c)
{
    struct sl_loaded l = {0};
    struct sl_diags diags;
    const char *root = NULL;
    const char *lock = below_root(c, sl_cmd_arg(c, 0), &root);
    if (lock == NULL) {
        return sl_cmd_fail(c);
    }
    sl_diags_init(&diags, &c->arena);
    int rc = sl_pipeline_load_text(root, "environment.yml", pipeline_text(c, lock), &c->arena,
                                   &diags, &l, &c->err);
    sl_cmd_print_diags(c, &diags, stderr);
    sl_diags_release(&diags);
    int status = rc < 0 ? SL_EXIT_USAGE : submit(c, &l);
    sl_loaded_release(&l);
    return status;
}
