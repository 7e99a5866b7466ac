/* data, model and artifact: list, show, log, diff, add, get, alias. Thread: main. */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/import.h"
#include "cmd/table.h"
#include "core/base/time.h"
#include "pipelines/run/workspace.h"
#include "registry/ingest.h"

/* ---- reading -------------------------------------------------------------------------------------- */

static void aliases_cell(struct sl_table *t, const json_t *aliases)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(65536);
    const char *name = NULL;
    json_t *number = NULL;
    json_object_foreach ((json_t *)(uintptr_t)aliases, name, number) {
        sl_buf_printf(&text, "%s%s=v%lld", text.len > 0 ? " " : "", name,
                      (long long)json_integer_value(number));
    }
    sl_table_cell(t, sl_buf_str(&text));
}

static int list(struct sl_cmd *c, const char *kind)
{
    static const char *const heads[] = {"NAME",    "NEWEST", ">FILES",  ">SIZE",
                                        "CREATED", "DIGEST", "ALIASES", NULL};
    json_auto_t *answer = NULL;
    struct sl_table t;
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    char size[SL_TIME_TEXT];
    if (sl_call(c, "artifacts.list", json_pack("{s:s}", "kind", kind), &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    size_t i = 0;
    json_t *e = NULL;
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(answer, "entities"), i, e) {
        sl_table_cell(&t, sl_json_str(e, "name", ""));
        sl_table_cellf(&t, "v%lld", (long long)sl_json_i64(e, "version", 0));
        sl_table_cellf(&t, "%lld", (long long)sl_json_i64(e, "files", 0));
        sl_table_cell(&t, sl_size_format((uint64_t)sl_json_i64(e, "bytes", 0), size));
        sl_table_cellf(&t, "%.19sZ", sl_json_str(e, "created_at", ""));
        sl_table_cellf(&t, "%.12s", sl_json_str(e, "digest", ""));
        aliases_cell(&t, json_object_get(e, "aliases"));
    }
    if (t.cells.n == 0) {
        sl_buf_printf(&out, "no %ss\n", kind);
    } else {
        sl_table_print(&t, c->color, &out);
    }
    return sl_cmd_print(&out);
}

static int log_of(struct sl_cmd *c, const char *kind)
{
    static const char *const heads[] = {"VERSION", "CREATED", ">FILES",  ">SIZE",
                                        "DIGEST",  "MADE BY", "ALIASES", NULL};
    json_auto_t *answer = NULL;
    struct sl_table t;
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    char size[SL_TIME_TEXT];
    if (sl_call(c, "artifacts.log", json_pack("{s:s, s:s}", "kind", kind, "name", sl_cmd_arg(c, 0)),
                &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    size_t i = 0;
    size_t k = 0;
    json_t *v = NULL;
    json_t *alias = NULL;
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(answer, "versions"), i, v) {
        _cleanup_(buf)
        struct sl_buf aliases = SL_BUF_INIT(65536);
        json_array_foreach (json_object_get(v, "aliases"), k, alias) {
            sl_buf_printf(&aliases, "%s%s", k > 0 ? " " : "", json_string_value(alias));
        }
        sl_table_cellf(&t, "v%lld", (long long)sl_json_i64(v, "version", 0));
        sl_table_cellf(&t, "%.19sZ", sl_json_str(v, "created_at", ""));
        sl_table_cellf(&t, "%lld", (long long)sl_json_i64(v, "files", 0));
        sl_table_cell(&t, sl_size_format((uint64_t)sl_json_i64(v, "bytes", 0), size));
        sl_table_cellf(&t, "%.12s", sl_json_str(v, "digest", ""));
        sl_table_cell(&t, sl_json_str(v, "run_name", "a person"));
        sl_table_cell(&t, sl_buf_str(&aliases));
    }
    sl_table_print(&t, c->color, &out);
    return sl_cmd_print(&out);
}

/* Where a dataset came from and who answers for it; a blank line behind. */
static void put_facts(const json_t *version, struct sl_buf *out)
{
    static const char *const keys[][2] = {{"Source", "source"},
                                          {"Source-System", "system"},
                                          {"Source-Etag", "etag"},
                                          {"Source-Version-Id", "s3 id"},
                                          {"Source-Modified", "changed"},
                                          {"Imported-At", "imported"},
                                          {"Owner", "owner"},
                                          {"Licence", "licence"},
                                          {"Retention", "keep"}};
    const json_t *facts = json_object_get(version, "facts");
    for (size_t i = 0; i < SL_LEN(keys); i++) {
        const char *value = sl_json_str(facts, keys[i][0], NULL);
        if (value != NULL) {
            sl_buf_printf(out, "%-8s ", keys[i][1]);
            sl_put_clean(out, value);
            sl_buf_putc(out, '\n');
        }
    }
    if (sl_json_str(facts, SL_TRAILER_REFERENCE, NULL) != NULL) {
        sl_buf_puts(out, "bytes    stay at the source; checked when they are used\n");
    }
    sl_buf_putc(out, '\n');
}

static int show(struct sl_cmd *c, const char *kind)
{
    static const char *const heads[] = {">SIZE", "SHA-256", "FILE", NULL};
    json_auto_t *v = NULL;
    struct sl_table t;
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    char size[SL_TIME_TEXT];
    if (sl_call(c, "artifacts.show", json_pack("{s:s, s:s}", "kind", kind, "ref", sl_cmd_arg(c, 0)),
                &v) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(v));
    }
    sl_buf_printf(&out, "%s %s@v%lld\ndigest   %s\ncommit   %s\ncreated  %s\n", kind,
                  sl_json_str(v, "name", ""), (long long)sl_json_i64(v, "version", 0),
                  sl_json_str(v, "digest", ""), sl_json_str(v, "commit", ""),
                  sl_json_str(v, "created_at", ""));
    sl_buf_printf(&out, "made by  %s\n", sl_json_str(v, "run_name", "a person"));
    put_facts(v, &out);
    size_t i = 0;
    json_t *e = NULL;
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(v, "entries"), i, e) {
        sl_table_cell(&t, sl_size_format((uint64_t)sl_json_i64(e, "bytes", 0), size));
        sl_table_cellf(&t, "%.12s", sl_json_str(e, "sha256", ""));
        sl_table_cell(&t, sl_json_str(e, "path", ""));
    }
    sl_table_print(&t, c->color, &out);
    return sl_cmd_print(&out);
}

static int diff(struct sl_cmd *c, const char *kind)
{
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    bool two = sl_cmd_arg(c, 1) != NULL;
    json_t *args = json_pack("{s:s, s:s}", "kind", kind, "to", sl_cmd_arg(c, two ? 1 : 0));
    sl_json_set_str(args, "from", two ? sl_cmd_arg(c, 0) : NULL);
    if (sl_call(c, "artifacts.diff", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    size_t i = 0;
    json_t *d = NULL;
    sl_buf_printf(&out, "%s@v%lld -> %s@v%lld\n", sl_json_str(answer, "from", ""),
                  (long long)sl_json_i64(answer, "from_version", 0), sl_json_str(answer, "to", ""),
                  (long long)sl_json_i64(answer, "to_version", 0));
    json_array_foreach (json_object_get(answer, "differences"), i, d) {
        const json_t *from = json_object_get(d, "from");
        const json_t *to = json_object_get(d, "to");
        int64_t change = sl_json_i64(to, "bytes", 0) - sl_json_i64(from, "bytes", 0);
        sl_buf_printf(&out, "  %-8s %+12lld bytes  ", sl_json_str(d, "change", ""),
                      (long long)change);
        sl_put_clean(&out, sl_json_str(d, "path", ""));
        sl_buf_putc(&out, '\n');
    }
    if (i == 0) {
        sl_buf_puts(&out, "no difference\n");
    }
    return sl_cmd_print(&out);
}

/* ---- writing -------------------------------------------------------------------------------------- */

static int ingest(struct sl_cmd *c, const char *path, struct sl_manifest *m)
{
    struct sl_blob_store *blobs = NULL;
    SL_VEC(const char *) exclude = {0};
    for (size_t i = 0; i < c->opts->values.n; i++) {
        if (sl_streq(c->opts->values.items[i].opt->name, "exclude")) {
            sl_vec_push(&exclude, c->opts->values.items[i].value);
        }
    }
    struct sl_ingest_opts opts = {.exclude = exclude.items, .n_exclude = exclude.n};
    int rc = sl_workspace_open_blobs(c->data_path, &blobs, &c->err);
    rc = rc < 0 ? rc : sl_ingest_path(blobs, AT_FDCWD, path, &opts, m, &c->err);
    rc = rc < 0 ? rc : sl_ws_put_manifest(blobs, m, &c->err);
    sl_blob_store_close(blobs);
    sl_vec_free(&exclude);
    return rc;
}

int sl_cmd_data_add(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    char hex[SL_DIGEST_HEX + 1];
    char project[SL_NAME_MAX + 1];
    const char *name = NULL;
    bool made = false;
    _cleanup_(manifest)
    struct sl_manifest m;
    sl_manifest_init(&m);
    int rc = sl_ref_split(sl_cmd_arg(c, 0), project, &name, &c->err);
    rc = rc < 0 ? rc : sl_name_check(name, &c->err);
    rc = rc < 0 ? rc : sl_cmd_data_or_make(c, &made);
    rc = rc < 0 ? rc : ingest(c, sl_cmd_arg(c, 1), &m);
    if (rc == 0) {
        json_t *args = json_pack("{s:s, s:s, s:s}", "kind", "dataset", "name", sl_cmd_arg(c, 0),
                                 "manifest", sl_digest_hex(&m.digest, hex));
        sl_json_set_str(args, "message", sl_cmd_opt(c, "message"));
        sl_cmd_put_metadata(c, args);
        rc = sl_call(c, "artifacts.commit", args, &answer);
    }
    if (rc < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    sl_cmd_print_version(answer);
    return SL_EXIT_OK;
}

static int materialise(struct sl_cmd *c, const struct sl_digest *digest, const char *dir)
{
    struct sl_blob_store *blobs = NULL;
    _cleanup_(manifest)
    struct sl_manifest m;
    struct sl_materialise_opts opts = {.only = sl_cmd_opt(c, "only")};
    struct sl_source_access access;
    struct sl_source_keys keys = {.memory = NULL};
    sl_manifest_init(&m);
    int rc = sl_workspace_open_blobs(c->data_path, &blobs, &c->err);
    rc = rc < 0 ? rc : sl_ws_manifest(blobs, digest, &m, &c->err);
    rc = rc < 0 ? rc : sl_cmd_access(c, &access, &keys);
    rc = rc < 0
             ? rc
             : sl_ws_materialise(c->data_path, blobs, &access, &m, AT_FDCWD, dir, &opts, &c->err);
    sl_source_keys_release(&keys);
    sl_blob_store_close(blobs);
    return rc;
}

static int get(struct sl_cmd *c, const char *kind)
{
    json_auto_t *v = NULL;
    struct sl_digest digest;
    const char *dir = sl_cmd_arg(c, 1);
    int rc = sl_call(c, "artifacts.show",
                     json_pack("{s:s, s:s}", "kind", kind, "ref", sl_cmd_arg(c, 0)), &v);
    if (rc == 0 && !sl_digest_parse(sl_json_str(v, "digest", ""), &digest)) {
        rc = sl_err_set(&c->err, SL_ECORRUPT,
                        "the index has a malformed digest; run sluice fsck --rebuild");
    }
    rc = rc < 0 ? rc : materialise(c, &digest, dir);
    if (rc < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_pack("{s:s, s:s, s:I}", "name", sl_json_str(v, "name", ""),
                                           "dir", dir, "version",
                                           (json_int_t)sl_json_i64(v, "version", 0)));
    }
    (void)printf("%s@v%lld -> %s\n", sl_json_str(v, "name", ""),
                 (long long)sl_json_i64(v, "version", 0), dir);
    return SL_EXIT_OK;
}

int sl_cmd_model_alias(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    json_t *args = json_pack("{s:s, s:s, s:b, s:b, s:s}", "ref", sl_cmd_arg(c, 0), "alias",
                             sl_cmd_arg(c, 1), "delete", sl_cmd_flag(c, "delete"), "override",
                             sl_cmd_flag(c, "override"), "actor", sl_cmd_actor(c));
    sl_json_set_str(args, "reason", sl_cmd_opt(c, "reason"));
    if (sl_call(c, "models.alias", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    int64_t from = sl_json_i64(answer, "from", 0);
    int64_t to = sl_json_i64(answer, "to", 0);
    const char *entity = sl_json_str(answer, "entity", "");
    if (sl_json_bool(answer, "unchanged", false)) {
        (void)printf("%s@%s is v%lld already\n", entity, sl_cmd_arg(c, 1), (long long)to);
    } else if (to == 0) {
        (void)printf("%s@%s removed (was v%lld)\n", entity, sl_cmd_arg(c, 1), (long long)from);
    } else if (from == 0) {
        (void)printf("%s@%s -> v%lld\n", entity, sl_cmd_arg(c, 1), (long long)to);
    } else {
        (void)printf("%s@%s -> v%lld (was v%lld)\n", entity, sl_cmd_arg(c, 1), (long long)to,
                     (long long)from);
    }
    return SL_EXIT_OK;
}

/* ---- one verb for every kind ---------------------------------------------------------------------- */

int sl_cmd_data_ls(struct sl_cmd *c)
{
    return list(c, "dataset");
}

int sl_cmd_data_show(struct sl_cmd *c)
{
    return show(c, "dataset");
}

int sl_cmd_data_log(struct sl_cmd *c)
{
    return log_of(c, "dataset");
}

int sl_cmd_data_diff(struct sl_cmd *c)
{
    return diff(c, "dataset");
}

int sl_cmd_data_get(struct sl_cmd *c)
{
    return get(c, "dataset");
}

int sl_cmd_model_ls(struct sl_cmd *c)
{
    return list(c, "model");
}

int sl_cmd_model_show(struct sl_cmd *c)
{
    return show(c, "model");
}

int sl_cmd_model_log(struct sl_cmd *c)
{
    return log_of(c, "model");
}

int sl_cmd_model_diff(struct sl_cmd *c)
{
    return diff(c, "model");
}

int sl_cmd_model_get(struct sl_cmd *c)
{
    return get(c, "model");
}

int sl_cmd_artifact_ls(struct sl_cmd *c)
{
    return list(c, "artifact");
}

int sl_cmd_artifact_show(struct sl_cmd *c)
{
    return show(c, "artifact");
}

int sl_cmd_artifact_get(struct sl_cmd *c)
{
    return get(c, "artifact");
}
