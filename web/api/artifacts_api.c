/* Datasets, models and artifacts: list, log, show, diff, commit, alias. Thread: see api.h. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/deploy/deploy.h"
#include "registry/object/name.h"
#include "web/api/api_priv.h"

static int kind_of(const json_t *args, enum sl_kind *ret, struct sl_err *err)
{
    const char *text = sl_api_arg(args, "kind", "");
    if (!sl_kind_parse(text, ret)) {
        return sl_err_set(err, SL_EINVAL, "no kind '%.40s'; kinds are dataset, model, artifact",
                          text);
    }
    return 0;
}

/** "heavy-use", or "project/heavy-use" outside the default project. */
static char *shown_name(const char *project, const char *name)
{
    return sl_streq(project, SL_DEFAULT_PROJECT) ? sl_strdup(name)
                                                 : sl_asprintf("%s/%s", project, name);
}

static int add_aliases(struct sl_db *db, const char *kind, json_t *entity, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    json_t *aliases = json_object();
    json_object_set_new(entity, "aliases", aliases);
    int rc = sl_db_query(
        db, &rows, err,
        SL_SQL("SELECT alias, number FROM registry_alias WHERE project = ? AND kind = ? "
               "AND name = ? ORDER BY alias"),
        "sss", sl_json_str(entity, "project", ""), kind, sl_json_str(entity, "entity", ""));
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        sl_json_set_i64(aliases, sl_rows_str(&rows, 0), sl_rows_i64(&rows, 1));
        rc = 0;
    }
    return rc;
}

int sl_api_artifacts_list(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                          struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    json_auto_t *list = json_array();
    enum sl_kind kind = SL_KIND_DATASET;
    int rc = kind_of(args, &kind, err);
    rc = rc < 0
             ? rc
             : sl_db_query(
                   ctx->db, &rows, err,
                   SL_SQL("SELECT project, name, max(number), digest, created_ms, n_files, bytes, "
                          "run_id FROM registry_version WHERE kind = ? GROUP BY project, name "
                          "ORDER BY project, name"),
                   "s", sl_kind_name(kind));
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_t *o = json_object();
        char time[SL_TIME_TEXT];
        _cleanup_(free)
        char *name = shown_name(sl_rows_str(&rows, 0), sl_rows_str(&rows, 1));
        sl_json_set_str(o, "name", name);
        sl_json_set_str(o, "project", sl_rows_str(&rows, 0));
        sl_json_set_str(o, "entity", sl_rows_str(&rows, 1));
        sl_json_set_i64(o, "version", sl_rows_i64(&rows, 2));
        sl_json_set_str(o, "digest", sl_rows_str(&rows, 3));
        sl_json_set_str(o, "created_at", sl_time_format(sl_rows_i64(&rows, 4), time));
        sl_json_set_i64(o, "files", sl_rows_i64(&rows, 5));
        sl_json_set_i64(o, "bytes", sl_rows_i64(&rows, 6));
        sl_json_set_str(o, "run", sl_rows_text(&rows, 7));
        json_array_append_new(list, o);
        rc = add_aliases(ctx->db, sl_kind_name(kind), o, err);
    }
    if (rc == 0) {
        *ret = json_pack("{s:s, s:O}", "kind", sl_kind_name(kind), "entities", list);
    }
    return rc;
}

static int resolve(struct sl_api_ctx *ctx, enum sl_kind kind, const char *ref, struct sl_arena *a,
                   struct sl_artifact *ret, struct sl_err *err)
{
    return sl_ws_resolve(ctx->db, sl_kind_entity(kind), ref, a, ret, err);
}

static json_t *version_row(struct sl_rows *rows)
{
    json_t *o = json_object();
    char time[SL_TIME_TEXT];
    sl_json_set_i64(o, "version", sl_rows_i64(rows, 0));
    sl_json_set_str(o, "digest", sl_rows_str(rows, 1));
    sl_json_set_str(o, "commit", sl_rows_str(rows, 2));
    sl_json_set_str(o, "created_at", sl_time_format(sl_rows_i64(rows, 3), time));
    sl_json_set_i64(o, "files", sl_rows_i64(rows, 4));
    sl_json_set_i64(o, "bytes", sl_rows_i64(rows, 5));
    sl_json_set_str(o, "run", sl_rows_text(rows, 6));
    sl_json_set_str(o, "attempt", sl_rows_text(rows, 7));
    sl_json_set_str(o, "run_name", sl_rows_text(rows, 8));
    json_t *facts = sl_api_version_facts(sl_rows_text(rows, 10));
    if (facts != NULL) {
        json_object_set_new(o, "facts", facts);
    }
    json_t *aliases = json_array();
    const char *names = sl_rows_str(rows, 9);
    while (names[0] != '\0') {
        size_t len = strcspn(names, ",");
        json_array_append_new(aliases, json_stringn(names, len));
        names += len + (names[len] == ',' ? 1 : 0);
    }
    json_object_set_new(o, "aliases", aliases);
    return o;
}

static int versions(struct sl_api_ctx *ctx, enum sl_kind kind, const struct sl_artifact *v,
                    bool one, json_t *list, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    char project[SL_NAME_MAX + 1];
    const char *name = NULL;
    int rc = sl_ref_split(v->name, project, &name, err);
    rc = rc < 0
             ? rc
             : sl_db_query(
                   ctx->db, &rows, err,
                   SL_SQL(
                       "SELECT v.number, v.digest, v.commit_id, v.created_ms, v.n_files, v.bytes, "
                       "nullif(v.run_id, ''), nullif(v.attempt_id, ''), r.pipeline || '#' || "
                       "r.number,"
                       " (SELECT group_concat(alias) FROM registry_alias a WHERE a.project = "
                       "v.project"
                       " AND a.kind = v.kind AND a.name = v.name AND a.number = v.number), v.facts "
                       "FROM registry_version v LEFT JOIN run r ON r.id = v.run_id "
                       "WHERE v.project = ?1 AND v.kind = ?2 AND v.name = ?3 AND "
                       "(?4 = 0 OR v.number = ?4) ORDER BY v.number DESC"),
                   "sssi", project, sl_kind_name(kind), name, one ? v->version : 0);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_array_append_new(list, version_row(&rows));
        rc = 0;
    }
    return rc;
}

int sl_api_artifacts_log(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                         struct sl_err *err)
{
    struct sl_arena a;
    struct sl_artifact v;
    enum sl_kind kind = SL_KIND_DATASET;
    const char *name = NULL;
    json_auto_t *list = json_array();
    sl_arena_init(&a, 0);
    int rc = kind_of(args, &kind, err);
    rc = rc < 0 ? rc : sl_api_arg_need(args, "name", &name, err);
    rc = rc < 0 ? rc : resolve(ctx, kind, name, &a, &v, err);
    rc = rc < 0 ? rc : versions(ctx, kind, &v, false, list, err);
    if (rc == 0) {
        *ret = json_pack("{s:s, s:s, s:O}", "kind", sl_kind_name(kind), "name", name, "versions",
                         list);
    }
    sl_arena_release(&a);
    return rc;
}

/* ---- content -------------------------------------------------------------------------------------- */

static json_t *entry_json(const struct sl_manifest_entry *e)
{
    static const char *const types[] = {"file", "symlink", "dir"};
    char hex[SL_DIGEST_HEX + 1];
    json_t *o = json_object();
    sl_json_set_str(o, "path", e->path);
    sl_json_set_str(o, "type", types[e->type]);
    sl_json_set_i64(o, "mode", (int64_t)e->mode);
    sl_json_set_i64(o, "bytes", (int64_t)e->size_bytes);
    sl_json_set_str(o, "target", e->target);
    sl_json_set_str(o, "sha256", e->type == SL_ENTRY_DIR ? NULL : sl_digest_hex(&e->sha256, hex));
    return o;
}

int sl_api_artifacts_show(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                          struct sl_err *err)
{
    struct sl_arena a;
    struct sl_artifact v;
    enum sl_kind kind = SL_KIND_DATASET;
    const char *ref = NULL;
    json_auto_t *list = json_array();
    _cleanup_(manifest)
    struct sl_manifest m;
    sl_manifest_init(&m);
    sl_arena_init(&a, 0);
    int rc = kind_of(args, &kind, err);
    rc = rc < 0 ? rc : sl_api_arg_need(args, "ref", &ref, err);
    rc = rc < 0 ? rc : resolve(ctx, kind, ref, &a, &v, err);
    rc = rc < 0 ? rc : versions(ctx, kind, &v, true, list, err);
    rc = rc < 0 ? rc : sl_ws_manifest(ctx->blobs, &v.digest, &m, err);
    if (rc == 0) {
        json_t *entries = json_array();
        for (size_t i = 0; i < SL_MIN(m.entries.n, (size_t)SL_API_DIFF_MAX); i++) {
            json_array_append_new(entries, entry_json(&m.entries.items[i]));
        }
        *ret = json_deep_copy(json_array_get(list, 0));
        *ret = *ret != NULL ? *ret : json_object();
        sl_json_set_str(*ret, "kind", sl_kind_name(kind));
        sl_json_set_str(*ret, "name", v.name);
        json_object_set_new(*ret, "entries", entries);
        sl_json_set_bool(*ret, "truncated", m.entries.n > SL_API_DIFF_MAX);
    }
    sl_arena_release(&a);
    return rc;
}

static int add_difference(const struct sl_manifest_entry *from, const struct sl_manifest_entry *to,
                          void *data, struct sl_err *err)
{
    json_t *list = data;
    (void)err;
    if (json_array_size(list) >= SL_API_DIFF_MAX) {
        return 0;
    }
    json_t *o = json_object();
    sl_json_set_str(o, "path", from != NULL ? from->path : to->path);
    sl_json_set_str(o, "change", from == NULL ? "added" : to == NULL ? "removed" : "changed");
    if (from != NULL) {
        json_object_set_new(o, "from", entry_json(from));
    }
    if (to != NULL) {
        json_object_set_new(o, "to", entry_json(to));
    }
    json_array_append_new(list, o);
    return 0;
}

/** The version before `v`; the reference is in the arena. */
static int before(const struct sl_artifact *v, struct sl_arena *a, const char **ret,
                  struct sl_err *err)
{
    if (v->version <= 1) {
        return sl_err_set(err, SL_ENOTFOUND, "%s@v1 has no version before it to compare with",
                          v->name);
    }
    *ret = sl_arena_printf(a, "%s@v%lld", v->name, (long long)v->version - 1);
    return 0;
}

int sl_api_artifacts_diff(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                          struct sl_err *err)
{
    struct sl_arena a;
    struct sl_artifact from;
    struct sl_artifact to;
    enum sl_kind kind = SL_KIND_DATASET;
    const char *from_ref = sl_api_arg(args, "from", NULL);
    const char *to_ref = NULL;
    _cleanup_(manifest)
    struct sl_manifest old;
    _cleanup_(manifest)
    struct sl_manifest new;
    json_auto_t *list = json_array();
    sl_manifest_init(&old);
    sl_manifest_init(&new);
    sl_arena_init(&a, 0);
    int rc = kind_of(args, &kind, err);
    rc = rc < 0 ? rc : sl_api_arg_need(args, "to", &to_ref, err);
    rc = rc < 0 ? rc : resolve(ctx, kind, to_ref, &a, &to, err);
    if (rc == 0 && from_ref == NULL) {
        rc = before(&to, &a, &from_ref, err);
    }
    rc = rc < 0 ? rc : resolve(ctx, kind, from_ref, &a, &from, err);
    rc = rc < 0 ? rc : sl_ws_manifest(ctx->blobs, &from.digest, &old, err);
    rc = rc < 0 ? rc : sl_ws_manifest(ctx->blobs, &to.digest, &new, err);
    rc = rc < 0 ? rc : sl_manifest_diff(&old, &new, add_difference, list, err);
    if (rc == 0) {
        *ret = json_pack("{s:s, s:I, s:s, s:I, s:O}", "from", from.name, "from_version",
                         (json_int_t)from.version, "to", to.name, "to_version",
                         (json_int_t)to.version, "differences", list);
    }
    sl_arena_release(&a);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------------- */

int sl_api_artifacts_commit(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                            struct sl_err *err)
{
    enum sl_kind kind = SL_KIND_DATASET;
    struct sl_digest digest;
    struct sl_version_ref v;
    bool created = false;
    char full[2 * SL_NAME_MAX + 2];
    char hex[SL_DIGEST_HEX + 1];
    const char *name = NULL;
    struct sl_arena a;
    _cleanup_(manifest)
    struct sl_manifest m;
    sl_manifest_init(&m);
    sl_arena_init(&a, 0);
    int rc = kind_of(args, &kind, err);
    rc = rc < 0 ? rc : sl_api_arg_need(args, "name", &name, err);
    if (rc == 0 && !sl_digest_parse(sl_api_arg(args, "manifest", ""), &digest)) {
        rc = sl_err_set(err, SL_EINVAL, "manifest: expected the digest of a stored manifest");
    }
    rc = rc < 0 ? rc : sl_ws_manifest(ctx->ws->blobs, &digest, &m, err);
    struct sl_ws_commit c = {.kind = kind,
                             .ref_name = name,
                             .manifest = &m,
                             .message = sl_api_arg(args, "message", "added from the command line")};
    rc = rc < 0 ? rc : sl_api_commit_facts(ctx, args, &c, &a, err);
    rc = rc < 0 ? rc : sl_ws_commit_version(ctx->ws, &c, &v, &created, full, err);
    if (rc == 0) {
        *ret = json_pack("{s:s, s:s, s:I, s:s, s:b, s:I, s:I}", "kind", sl_kind_name(kind), "name",
                         full, "version", (json_int_t)v.number, "digest",
                         sl_digest_hex(&v.digest, hex), "created", created, "files",
                         (json_int_t)m.n_files, "bytes", (json_int_t)m.total_bytes);
    }
    sl_arena_release(&a);
    return rc;
}

static int move_alias(struct sl_api_ctx *ctx, const struct sl_promotion *p, json_t **ret,
                      struct sl_err *err)
{
    struct sl_deploy_world world;
    struct sl_promoted done = {0};
    sl_workspace_deploy_world(ctx->ws, &world);
    int rc = sl_promote_alias(&world.promote, p, &done, err);
    if (rc == 0) {
        *ret = json_object();
        sl_json_set_str(*ret, "entity", p->entity);
        sl_json_set_str(*ret, "alias", p->alias);
        sl_json_set_bool(*ret, "unchanged", done.unchanged);
        sl_json_set_i64(*ret, "from", done.from.exists ? done.from.number : 0);
        sl_json_set_i64(*ret, "to", p->to.exists ? p->to.number : 0);
        sl_json_set_str(*ret, "verdict", done.verdict_id[0] != '\0' ? done.verdict_id : NULL);
    }
    return rc;
}

int sl_api_models_alias(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                        struct sl_err *err)
{
    struct sl_arena a;
    struct sl_artifact v;
    const char *ref = NULL;
    const char *alias = NULL;
    bool remove = sl_api_arg_bool(args, "delete");
    const char *reason = sl_api_arg(args, "reason", NULL);
    sl_arena_init(&a, 0);
    int rc = sl_api_arg_need(args, "ref", &ref, err);
    rc = rc < 0 ? rc : sl_api_arg_need(args, "alias", &alias, err);
    rc = rc < 0 ? rc : sl_alias_check(alias, err);
    rc = rc < 0 ? rc : resolve(ctx, SL_KIND_MODEL, ref, &a, &v, err);
    if (rc == 0 && sl_api_arg_bool(args, "override") && reason == NULL) {
        rc = sl_err_set(err, SL_EINVAL, "an override needs a reason");
    }
    if (rc == 0) {
        struct sl_promotion p = {.entity = v.name,
                                 .alias = alias,
                                 .to = {.exists = !remove, .number = v.version, .digest = v.digest},
                                 .authority = sl_api_arg_bool(args, "override")
                                                  ? SL_AUTHORITY_OVERRIDE
                                                  : SL_AUTHORITY_VERDICT,
                                 .reason = sl_api_arg_bool(args, "override") ? reason : NULL,
                                 .actor = sl_api_arg(args, "actor", ctx->actor)};
        rc = move_alias(ctx, &p, ret, err);
    }
    sl_arena_release(&a);
    return rc;
}
