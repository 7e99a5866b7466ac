/* Retention. Thread: see api.h. */
#include "core/base/base.h"

#include <stdio.h>

#include "core/base/time.h"
#include "pipelines/run/gc.h"
#include "pipelines/run/project.h"
#include "web/api/api_priv.h"

#define GRACE_DEFAULT_MS (60LL * 60 * 1000)

/** A time by name, or what the project says; 0 there is for ever. */
static int time_of(const json_t *args, const char *name, int64_t policy_ms, int64_t *ret,
                   struct sl_err *err)
{
    const char *text = sl_api_arg(args, name, NULL);
    *ret = policy_ms > 0 ? policy_ms : -1;
    if (text == NULL) {
        return 0;
    }
    if (sl_streq(text, "0")) {
        *ret = 0;
        return 0;
    }
    return sl_duration_parse(text, ret)
               ? 0
               : sl_err_set(err, SL_EINVAL, "%s: '%.60s' is no time like 12h or 90d", name, text);
}

/** The project's policy under what was asked for. */
static int read_rule(struct sl_api_ctx *ctx, const json_t *args, struct sl_gc_opts *o,
                     struct sl_err *err)
{
    struct sl_arena a;
    const struct sl_project *project = NULL;
    sl_arena_init(&a, 0);
    int rc = sl_project_current(ctx->db, &a, &project, NULL, err);
    bool logs_only = sl_api_arg_bool(args, "logs_only");
    bool asked = sl_api_arg(args, "older_than", NULL) != NULL;
    int64_t runs_ms = project != NULL ? project->policies.retain_runs_ms : 0;
    int64_t logs_ms = project != NULL ? project->policies.retain_logs_ms : 0;
    o->keep_last =
        sl_api_arg_i64(args, "keep_last", project != NULL ? project->policies.keep_last : 0);
    rc = rc < 0 ? rc : time_of(args, "older_than", logs_only ? logs_ms : runs_ms, &o->runs_ms, err);
    rc = rc < 0 ? rc : time_of(args, "grace", GRACE_DEFAULT_MS, &o->grace_ms, err);
    o->logs_ms = logs_only ? o->runs_ms : asked || logs_ms <= 0 ? -1 : logs_ms;
    o->runs_ms = logs_only ? -1 : o->runs_ms;
    if (rc == 0 && o->keep_last < 0) {
        rc = sl_err_set(err, SL_EINVAL, "keep_last must be at least 0");
    }
    sl_arena_release(&a);
    return rc;
}

/** Gives the space back. Not beside an engine: its writer would have to wait; it uses the space again. */
static int shrink(struct sl_api_ctx *ctx, int64_t *ret_bytes, struct sl_err *err)
{
    _cleanup_(db)
    struct sl_db *db = NULL;
    _cleanup_(free)
    char *path = sl_asprintf("%s/" SL_DB_NAME, ctx->data_path);
    int64_t free_pages = 0;
    int64_t pages = 0;
    int64_t page_bytes = 0;
    int rc = sl_db_open(path, SL_DB_RW, &db, err);
    rc = rc < 0 ? rc : sl_db_get_i64(db, &free_pages, err, SL_SQL("PRAGMA freelist_count"), "");
    rc = rc < 0 ? rc : sl_db_get_i64(db, &pages, err, SL_SQL("PRAGMA page_count"), "");
    rc = rc < 0 ? rc : sl_db_get_i64(db, &page_bytes, err, SL_SQL("PRAGMA page_size"), "");
    if (rc < 0 || free_pages * 10 < pages) { /* not worth copying the rest */
        return rc;
    }
    rc = sl_db_exec(db, err, SL_SQL("VACUUM"), "");
    *ret_bytes = rc == 0 ? free_pages * page_bytes : 0;
    return rc;
}

int sl_api_gc(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    struct sl_gc_opts o = {.now_ms = sl_now_ms(),
                           .dry_run = sl_api_arg_bool(args, "dry_run"),
                           .live = ctx->engine != NULL};
    int64_t database = 0;
    int rc = read_rule(ctx, args, &o, err);
    bool none = rc == 0 && o.runs_ms < 0 && o.logs_ms < 0;
    json_t *answer = NULL;
    rc = rc < 0 ? rc : sl_gc(ctx->ws, ctx->db, &o, &answer, err);
    if (rc < 0) {
        return rc;
    }
    if (!o.dry_run && !o.live && shrink(ctx, &database, err) < 0) {
        sl_json_set_str(answer, "note", err->msg); /* nothing is wrong but its size */
        *err = SL_ERR_INIT;
    }
    sl_json_set_bool(answer, "has_rule", !none);
    sl_json_set_i64(answer, "database_bytes", database);
    *ret = answer;
    return 0;
}
