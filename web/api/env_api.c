/* Environments: which there are, who uses them, removing what nothing uses. Thread: see api.h. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/time.h"
#include "pipelines/env/env.h"
#include "pipelines/run/run_store.h"
#include "web/api/api_priv.h"

#define GC_DEFAULT_MS (30LL * 24 * 3600 * 1000)

/* ---- who uses them -------------------------------------------------------------------------------- */

struct users {
    struct sl_db *db;
    json_t *by_digest; /* hex -> [run name] */
};

static int note_run(const char *run_id, void *data, struct sl_err *err)
{
    struct users *u = data;
    struct sl_arena a;
    struct sl_run_record run;
    sl_arena_init(&a, 0);
    int rc = sl_run_find(u->db, run_id, &a, &run, err);
    json_auto_t *facts = rc < 0 ? NULL : sl_json_parse("facts", run.facts, strlen(run.facts), NULL);
    const char *step = NULL;
    json_t *env = NULL;
    json_object_foreach (json_object_get(facts, "runtimes"), step, env) {
        const char *digest = sl_json_str(env, "digest", "");
        json_t *list = json_object_get(u->by_digest, digest);
        if (list == NULL) {
            list = json_array();
            json_object_set_new(u->by_digest, digest, list);
        }
        json_array_append_new(list, json_sprintf("%s#%lld", run.pipeline, (long long)run.number));
    }
    sl_arena_release(&a);
    return rc;
}

/** Runs that have not ended, by the digest of what they run in. New reference. */
static int find_users(struct sl_db *db, json_t **ret, struct sl_err *err)
{
    struct users u = {db, json_object()};
    int rc = sl_run_unfinished(db, note_run, &u, err);
    if (rc < 0) {
        json_decref(u.by_digest);
        return rc;
    }
    *ret = u.by_digest;
    return 0;
}

/* ---- listing -------------------------------------------------------------------------------------- */

struct listing {
    const json_t *users;
    json_t *list;
    const char *prefix; /* only those; NULL: all */
    bool records;
};

static json_t *env_json(const struct sl_env_info *e, const json_t *users)
{
    char hex[SL_DIGEST_HEX + 1];
    const json_t *interp = json_object_get(e->record, "interpreter");
    const json_t *by = json_object_get(users, sl_digest_hex(&e->digest, hex));
    json_t *o = json_pack("{s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "id", e->id, "ready",
                          e->ready, "kind", sl_json_str(e->record, "kind", "unknown"), "python",
                          sl_json_str(interp, "version", ""), "packages",
                          (json_int_t)json_object_size(json_object_get(e->record, "packages")),
                          "bytes", (json_int_t)e->bytes, "files", (json_int_t)e->files, "built_ms",
                          (json_int_t)e->built_ms, "used_ms", (json_int_t)e->used_ms);
    SL_ASSERT(o != NULL);
    json_object_set_new(o, "in_use_by", by != NULL ? json_deep_copy(by) : json_array());
    if (e->ready) {
        sl_json_set_str(o, "digest", hex);
    }
    return o;
}

static int list_one(const struct sl_env_info *info, void *data, struct sl_err *err)
{
    struct listing *l = data;
    (void)err;
    if (l->prefix != NULL && !sl_starts_with(info->id, l->prefix)) {
        return 0;
    }
    json_t *o = env_json(info, l->users);
    if (l->records && info->record != NULL) {
        json_object_set_new(o, "record", json_deep_copy(info->record));
    }
    json_array_append_new(l->list, o);
    return 0;
}

int sl_api_envs_list(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    json_auto_t *users = NULL;
    json_auto_t *list = json_array();
    (void)args;
    int rc = find_users(ctx->db, &users, err);
    struct listing l = {.users = users, .list = list};
    rc = rc < 0 ? rc : sl_env_each(ctx->data_path, list_one, &l, err);
    if (rc == 0) {
        *ret = json_pack("{s:O}", "environments", list);
    }
    return rc;
}

int sl_api_envs_show(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    json_auto_t *users = NULL;
    json_auto_t *list = json_array();
    struct listing l = {.list = list, .records = true};
    int rc = sl_api_arg_need(args, "env", &l.prefix, err);
    if (rc == 0 && strlen(l.prefix) < SL_ENV_ID_MIN) {
        rc =
            sl_err_set(err, SL_EINVAL, "an environment's id has at least %d digits", SL_ENV_ID_MIN);
    }
    rc = rc < 0 ? rc : find_users(ctx->db, &users, err);
    l.users = users;
    rc = rc < 0 ? rc : sl_env_each(ctx->data_path, list_one, &l, err);
    if (rc == 0 && json_array_size(list) != 1) {
        rc = json_array_size(list) == 0
                 ? sl_err_set(err, SL_ENOTFOUND, "no environment '%.80s'", l.prefix)
                 : sl_err_set(err, SL_EINVAL, "'%.80s' is the beginning of %zu environments",
                              l.prefix, json_array_size(list));
    }
    if (rc == 0) {
        *ret = json_incref(json_array_get(list, 0));
    }
    return rc;
}

/* ---- removing ------------------------------------------------------------------------------------- */

struct collecting {
    const char *data;
    const json_t *users;
    json_t *list;
    int64_t now_ms, older_ms;
    bool dry_run;
    uint64_t freed;
};

/** Whether one goes, and why or why not. */
static bool goes(const struct collecting *c, const json_t *o, char *why, size_t size)
{
    const json_t *by = json_object_get(o, "in_use_by");
    int64_t unused_ms = c->now_ms - sl_json_i64(o, "used_ms", 0);
    char unused[SL_TIME_TEXT];
    char limit[SL_TIME_TEXT];
    sl_duration_format(SL_MAX(unused_ms, 0), unused);
    sl_duration_format(c->older_ms, limit);
    if (json_array_size(by) > 0) {
        snprintf(why, size, "%.200s runs in it", json_string_value(json_array_get(by, 0)));
        return false;
    }
    if (!sl_json_bool(o, "ready", false)) {
        snprintf(why, size, "it is not whole: its builder died, or the data directory was moved");
        return true;
    }
    if (unused_ms < c->older_ms) {
        snprintf(why, size, "used %s ago, kept for %s", unused, limit);
        return false;
    }
    snprintf(why, size, "not used for %s", unused);
    return true;
}

static int collect_one(const struct sl_env_info *info, void *data, struct sl_err *err)
{
    struct collecting *c = data;
    char why[300];
    struct sl_err own = SL_ERR_INIT;
    json_t *o = env_json(info, c->users);
    bool remove = goes(c, o, why, sizeof(why));
    if (remove && !c->dry_run && sl_env_remove(c->data, info->id, &own) < 0) {
        snprintf(why, sizeof(why), "%.280s", own.msg);
        remove = false;
    }
    (void)err;
    c->freed += remove ? info->bytes : 0;
    sl_json_set_bool(o, "removed", remove);
    sl_json_set_str(o, "reason", why);
    json_array_append_new(c->list, o);
    return 0;
}

int sl_api_envs_gc(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    json_auto_t *users = NULL;
    json_auto_t *list = json_array();
    struct collecting c = {.data = ctx->data_path,
                           .list = list,
                           .now_ms = sl_now_ms(),
                           .older_ms = GC_DEFAULT_MS,
                           .dry_run = sl_api_arg_bool(args, "dry_run")};
    const char *older = sl_api_arg(args, "older", NULL);
    if (older != NULL && !sl_streq(older, "0") && !sl_duration_parse(older, &c.older_ms)) {
        return sl_err_set(err, SL_EINVAL, "older: '%.60s' is no time like 12h or 30d", older);
    }
    if (older != NULL && sl_streq(older, "0")) {
        c.older_ms = 0;
    }
    int rc = find_users(ctx->db, &users, err);
    c.users = users;
    rc = rc < 0 ? rc : sl_env_each(ctx->data_path, collect_one, &c, err);
    if (rc == 0) {
        *ret = json_pack("{s:O, s:I, s:b}", "environments", list, "freed_bytes",
                         (json_int_t)c.freed, "dry_run", c.dry_run);
    }
    return rc;
}
