/* Deployments, rollback, lineage, audit and fsck. Thread: see api.h. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit.h"
#include "core/lineage/lineage.h"
#include "pipelines/deploy/deploy.h"
#include "pipelines/run/data_source.h"
#include "registry/index.h"
#include "web/api/api_priv.h"

/* ---- deployments ---------------------------------------------------------------------------------- */

int sl_api_deployments_list(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                            struct sl_err *err)
{
    int64_t limit = sl_api_arg_i64(args, "limit", 50);
    json_t *list = NULL;
    json_auto_t *targets = NULL;
    if (limit < 1 || limit > SL_DEPLOY_LIST_MAX) {
        return sl_err_set(err, SL_EINVAL, "limit must be 1 to %d", SL_DEPLOY_LIST_MAX);
    }
    int rc = sl_deploy_targets(ctx->db, &targets, err);
    rc = rc < 0 ? rc
                : sl_deploy_list(ctx->db, sl_api_arg(args, "target", NULL), (int)limit, &list, err);
    if (rc == 0) {
        *ret = json_pack("{s:O, s:o}", "targets", targets, "deployments", list);
    }
    return rc;
}

int sl_api_rollback(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    struct sl_deploy_world world;
    struct sl_deploy_outcome done = {0};
    struct sl_rollback_order order = {.to = sl_api_arg(args, "to", NULL),
                                      .actor = sl_api_arg(args, "actor", ctx->actor),
                                      .reason = sl_api_arg(args, "reason", NULL)};
    int rc = sl_api_arg_need(args, "target", &order.target, err);
    if (rc < 0) {
        return rc;
    }
    sl_workspace_deploy_world(ctx->ws, &world);
    rc = sl_deploy_rollback(&world, &order, &done, err);
    if (rc == 0) {
        static const char *const results[] = {"done", "unchanged", "no effect"};
        *ret = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "target", order.target, "result",
                         results[done.result], "deployment", done.id, "entity", done.entity,
                         "version", (json_int_t)done.version.version, "flip_ms",
                         (json_int_t)done.flip_ms, "note", done.note);
    }
    return rc;
}

/* ---- lineage -------------------------------------------------------------------------------------- */

struct found {
    struct sl_arena *a;
    struct sl_lineage_ref ref;
    int n;
};

static int keep_node(const struct sl_graph_node *node, void *arg)
{
    struct found *f = arg;
    if (f->n++ == 0) {
        f->ref = (struct sl_lineage_ref){node->kind, sl_arena_strdup(f->a, node->id)};
    }
    return 0;
}

static int find_version(struct sl_api_ctx *ctx, const char *ref, struct found *f,
                        struct sl_err *err)
{
    static const enum sl_entity order[] = {SL_ENT_MODEL, SL_ENT_DATASET, SL_ENT_ARTIFACT};
    struct sl_artifact v;
    char hex[SL_DIGEST_HEX + 1];
    for (size_t i = 0; i < SL_LEN(order); i++) {
        int rc = sl_ws_resolve(ctx->db, order[i], ref, f->a, &v, i == 0 ? err : NULL);
        if (rc == 0) {
            f->ref = (struct sl_lineage_ref){
                (enum sl_node_kind)sl_entity_node(order[i]),
                sl_arena_printf(f->a, "sha256:%s", sl_digest_hex(&v.digest, hex))};
            f->n = 1;
            return 0;
        }
    }
    return -SL_ENOTFOUND;
}

/** What live deployment a target has. */
static int find_target(struct sl_api_ctx *ctx, const char *ref, struct found *f, struct sl_err *err)
{
    _cleanup_(free)
    char *live = NULL;
    int rc = sl_db_get_text(ctx->db, &live, err,
                            SL_SQL("SELECT live_id FROM target WHERE name = ?"), "s", ref);
    if (rc == 0) {
        f->ref = (struct sl_lineage_ref){SL_NODE_DEPLOYMENT, sl_arena_strdup(f->a, live)};
        f->n = 1;
    }
    return rc;
}

static int find_run(struct sl_api_ctx *ctx, const char *ref, struct found *f)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    const char *hash = strrchr(ref, '#');
    int64_t number = 0;
    if (hash == NULL || !sl_parse_i64(hash + 1, &number)) {
        return -SL_ENOTFOUND;
    }
    const char *pipeline = sl_arena_strndup(f->a, ref, (size_t)(hash - ref));
    int rc = sl_db_query(ctx->db, &rows, NULL,
                         SL_SQL("SELECT id FROM run WHERE pipeline = ? AND number = ?"), "si",
                         pipeline, number);
    if (rc == 0 && sl_rows_next(&rows, NULL) > 0) {
        f->ref = (struct sl_lineage_ref){SL_NODE_RUN, sl_arena_strdup(f->a, sl_rows_str(&rows, 0))};
        f->n = 1;
        return 0;
    }
    return -SL_ENOTFOUND;
}

static int find_start(struct sl_api_ctx *ctx, const char *ref, struct found *f, struct sl_err *err)
{
    if (find_version(ctx, ref, f, err) == 0 || find_target(ctx, ref, f, NULL) == 0 ||
        find_run(ctx, ref, f) == 0) {
        return 0;
    }
    int rc = sl_lineage_find(ctx->db, ref, 2, keep_node, f, NULL);
    if (rc == 0 && f->n == 1) {
        return 0;
    }
    return f->n > 1 ? sl_err_set(err, SL_ECONFLICT,
                                 "'%.80s' names more than one thing; give more of the id", ref)
                    : sl_err_set(err, SL_ENOTFOUND,
                                 "nothing recorded is named '%.80s': give a version (name@v3, "
                                 "name@champion), a "
                                 "run (pipeline#2), a target, or an id",
                                 ref);
}

/** People are opaque ids in what is never changed; whoever asks sees names, as long as they are kept. */
static int name_people(struct sl_db *db, struct sl_graph *g, struct sl_arena *a, struct sl_err *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < g->n_nodes; i++) {
        struct sl_graph_node *n = &g->nodes[i];
        if (n->kind != SL_NODE_PRINCIPAL || n->name != NULL) {
            continue;
        }
        _cleanup_(free)
        char *name = NULL;
        rc = sl_audit_principal_name(db, n->id, &name, err);
        n->name = rc == 0 ? sl_arena_strdup(a, name) : NULL;
    }
    return rc;
}

struct walking {
    struct sl_api_ctx *ctx;
    const json_t *args;
    json_t **ret;
    struct sl_arena *a;
};

static int walk(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct walking *w = arg;
    struct found f = {.a = w->a};
    struct sl_graph g;
    const char *ref = NULL;
    const char *format = sl_api_arg(w->args, "format", "json");
    int64_t depth = sl_api_arg_i64(w->args, "depth", 0);
    int rc = sl_api_arg_need(w->args, "ref", &ref, err);
    rc = rc < 0 ? rc : find_start(w->ctx, ref, &f, err);
    if (rc == 0 && (depth < 0 || depth > SL_LINEAGE_DEPTH_MAX)) {
        rc = sl_err_set(err, SL_EINVAL, "depth must be 1 to %d", SL_LINEAGE_DEPTH_MAX);
    }
    if (rc < 0) {
        return rc;
    }
    struct sl_lineage_walk how = {.start = f.ref,
                                  .dir = sl_api_arg_bool(w->args, "down") ? SL_LINEAGE_DOWN
                                                                          : SL_LINEAGE_UP,
                                  .depth_max = (int)depth};
    rc = sl_lineage_walk(db, &how, w->a, &g, err);
    rc = rc < 0 ? rc : name_people(db, &g, w->a, err);
    if (rc < 0) {
        return rc;
    }
    if (sl_streq(format, "json")) {
        *w->ret = sl_graph_json(&g);
        return 0;
    }
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT((size_t)32 << 20);
    if (sl_streq(format, "dot")) {
        sl_graph_dot(&g, &text);
    } else if (sl_streq(format, "tree")) {
        sl_graph_tree(&g, &text);
    } else {
        return sl_err_set(err, SL_EINVAL, "no format '%.20s'; formats are tree, json, dot", format);
    }
    *w->ret = json_pack("{s:s, s:b}", "text", sl_buf_str(&text), "truncated", g.truncated);
    return *w->ret != NULL ? 0 : sl_err_set(err, SL_ECORRUPT, "a recorded text is no UTF-8");
}

int sl_api_lineage(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    struct sl_arena a;
    sl_arena_init(&a, 0);
    struct walking w = {ctx, args, ret, &a};
    int rc = sl_db_snapshot(ctx->db, walk, &w, err);
    sl_arena_release(&a);
    return rc;
}

/* ---- audit ---------------------------------------------------------------------------------------- */

static json_t *root_json(uint64_t size, const struct sl_digest *root)
{
    char hex[SL_DIGEST_HEX + 1];
    return json_pack("{s:I, s:s}", "entries", (json_int_t)size, "root", sl_digest_hex(root, hex));
}

int sl_api_audit_root(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    uint64_t size = 0;
    struct sl_digest root;
    (void)args;
    int rc = sl_audit_root(ctx->db, &size, &root, err);
    if (rc == 0) {
        *ret = root_json(size, &root);
    }
    return rc;
}

int sl_api_audit_verify(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                        struct sl_err *err)
{
    uint64_t size = 0;
    struct sl_digest root;
    (void)args;
    int rc = sl_audit_verify(ctx->db, &size, &root, err);
    if (rc == 0) {
        *ret = root_json(size, &root);
    }
    return rc;
}

/* ---- fsck ----------------------------------------------------------------------------------------- */

struct checking {
    struct sl_api_ctx *ctx;
    json_t *projects, *findings;
    bool deep, rebuild;
    const char *project;
};

static void keep_finding(const char *finding, bool severe, void *data)
{
    struct checking *c = data;
    if (json_array_size(c->findings) < SL_API_DIFF_MAX) {
        json_array_append_new(c->findings, json_pack("{s:s, s:s, s:b}", "project", c->project,
                                                     "text", finding, "severe", severe));
    }
}

static int check_project(const char *project, void *data, struct sl_err *err)
{
    struct checking *c = data;
    struct sl_registry *reg = NULL;
    struct sl_fsck_report r = {0};
    c->project = project;
    int rc = sl_ws_registry(c->ctx->ws, project, &reg, err);
    if (rc < 0) {
        return rc;
    }
    rc = sl_registry_fsck(reg, c->deep, keep_finding, c, &r, err);
    sl_ws_registry_done(c->ctx->ws);
    if (rc == 0) {
        json_array_append_new(
            c->projects, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "project", project, "versions",
                                   (json_int_t)r.n_versions, "entries", (json_int_t)r.n_entries,
                                   "blobs", (json_int_t)r.n_blobs, "findings",
                                   (json_int_t)r.n_findings, "severe", (json_int_t)r.n_severe));
    }
    return rc;
}

static int drop_index(struct sl_db *db, void *arg, struct sl_err *err)
{
    (void)arg;
    int rc = sl_db_exec(db, err, SL_SQL("DELETE FROM registry_version"), "");
    rc = rc < 0 ? rc : sl_db_exec(db, err, SL_SQL("DELETE FROM registry_alias"), "");
    return rc < 0 ? rc : sl_db_exec(db, err, SL_SQL("DELETE FROM registry_cursor"), "");
}

static int index_project(const char *project, void *data, struct sl_err *err)
{
    return sl_ws_index(data, project, err);
}

int sl_api_fsck(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    json_auto_t *projects = json_array();
    json_auto_t *findings = json_array();
    struct checking c = {.ctx = ctx,
                         .projects = projects,
                         .findings = findings,
                         .deep = sl_api_arg_bool(args, "deep"),
                         .rebuild = sl_api_arg_bool(args, "rebuild")};
    struct sl_err bad = SL_ERR_INIT;
    uint64_t size = 0;
    struct sl_digest root;
    c.project = "";
    int rc = 0;
    if (c.rebuild) {
        rc = sl_ws_write(ctx->ws, drop_index, NULL, err);
        rc = rc < 0 ? rc : sl_ws_projects(ctx->ws->fd, index_project, ctx->ws, err);
    }
    rc = rc < 0 ? rc : sl_ws_projects(ctx->ws->fd, check_project, &c, err);
    if (rc == 0 && c.deep) { /* bytes that stay at their sources */
        c.project = "references";
        rc = sl_ws_references_verify(ctx->ws->path, ctx->ws->blobs, keep_finding, &c, err);
    }
    if (rc == 0 && sl_db_check_integrity(ctx->db, &bad) < 0) {
        c.project = "database";
        keep_finding(bad.msg, true, &c);
    }
    if (rc == 0 && sl_audit_verify(ctx->db, &size, &root, &bad) < 0) {
        c.project = "audit log";
        keep_finding(bad.msg, true, &c);
    }
    if (rc == 0) {
        *ret = json_pack("{s:O, s:O, s:I, s:b}", "projects", projects, "findings", findings,
                         "audit_entries", (json_int_t)size, "rebuilt", c.rebuild);
    }
    return rc;
}
