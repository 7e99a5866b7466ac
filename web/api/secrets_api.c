/* Secrets: list, set, rotate, remove, and the key to seal values to. Thread: see api.h. Must not: take a value
 * that is not sealed, or give one out. */
#include "core/base/base.h"

#include "core/base/time.h"
#include "core/secret/secret.h"
#include "pipelines/steps/actor.h"
#include "web/api/api_priv.h"

int sl_api_secrets_list(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                        struct sl_err *err)
{
    json_t *list = NULL;
    int rc = sl_secret_list(ctx->db, sl_api_arg(args, "project", SL_DEFAULT_PROJECT), &list, err);
    if (rc == 0) {
        *ret = json_pack("{s:o}", "secrets", list);
    }
    return rc;
}

int sl_api_secrets_key(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    (void)args;
    char public[SL_SECRET_PUBLIC_HEX + 1];
    _cleanup_(secret_key)
    struct sl_secret_key *key = NULL;
    int rc = sl_secret_key_open(ctx->ws->fd, ctx->db, true, &key, err);
    if (rc == 0) {
        sl_secret_public(key, public);
        *ret = json_pack("{s:s}", "public_key", public);
    }
    return rc;
}

/* ---- changes -------------------------------------------------------------------------------------- */

struct change {
    const char *actor, *project;
    const struct sl_secret_key *key;
    struct sl_secret_new what;
    int64_t version;
    struct sl_actor_id actor_id;
    int (*fn)(struct sl_db *db, struct change *c, const struct sl_secret_by *by,
              struct sl_err *err);
};

static int change_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct change *c = arg;
    int rc = sl_actor_id(db, c->actor, &c->actor_id, err);
    if (rc < 0) {
        return rc;
    }
    struct sl_secret_by by = {
        .project = c->project, .actor = sl_actor_of(&c->actor_id), .ts_ms = sl_now_ms()};
    return c->fn(db, c, &by, err);
}

static int put(struct sl_db *db, struct change *c, const struct sl_secret_by *by,
               struct sl_err *err)
{
    return sl_secret_put(db, c->key, by, &c->what, &c->version, err);
}

static int take_off(struct sl_db *db, struct change *c, const struct sl_secret_by *by,
                    struct sl_err *err)
{
    return sl_secret_remove(db, by, c->what.name, err);
}

static int init_change(const struct sl_api_ctx *ctx, const json_t *args, struct change *ret,
                       struct sl_err *err)
{
    *ret = (struct change){.actor = sl_api_arg(args, "actor", ctx->actor),
                           .project = sl_api_arg(args, "project", SL_DEFAULT_PROJECT)};
    return sl_api_arg_need(args, "name", &ret->what.name, err);
}

/** Unseals and stores. A box from before a rotation of the master key is refused: the caller seals again. */
static int put_sealed(struct sl_api_ctx *ctx, const char *sealed, struct change *c,
                      struct sl_err *err)
{
    _cleanup_(secret_key)
    struct sl_secret_key *key = NULL;
    _cleanup_(secret_value)
    struct sl_secret_value value = {0};
    int rc = sl_secret_key_open(ctx->ws->fd, ctx->db, true, &key, err);
    rc = rc < 0 ? rc : sl_secret_unseal(key, sealed, &value, err);
    c->key = key;
    c->what.value = &value;
    return rc < 0 ? rc : sl_ws_write(ctx->ws, change_tx, c, err);
}

int sl_api_secrets_put(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    struct change c;
    const char *sealed = NULL;
    int rc = init_change(ctx, args, &c, err);
    rc = rc < 0 ? rc : sl_secret_name_check(c.what.name, err);
    rc = rc < 0 ? rc : sl_api_arg_need(args, "sealed", &sealed, err);
    c.fn = put;
    c.what.mode = sl_api_arg_bool(args, "rotate") ? SL_SECRET_ROTATE : SL_SECRET_SET;
    rc = rc < 0 ? rc : put_sealed(ctx, sealed, &c, err);
    if (rc == 0) {
        *ret = json_pack("{s:s, s:I}", "name", c.what.name, "version", (json_int_t)c.version);
    }
    return rc;
}

int sl_api_secrets_remove(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                          struct sl_err *err)
{
    struct change c;
    int rc = init_change(ctx, args, &c, err);
    c.fn = take_off;
    rc = rc < 0 ? rc : sl_ws_write(ctx->ws, change_tx, &c, err);
    if (rc == 0) {
        *ret = json_pack("{s:s}", "name", c.what.name);
    }
    return rc;
}

/* ---- the master key ------------------------------------------------------------------------------- */

static int find_actor(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct change *c = arg;
    return sl_actor_id(db, c->actor, &c->actor_id, err);
}

static int write_durably(void *data, sl_db_fn fn, void *arg, struct sl_err *err)
{
    return sl_ws_write(data, fn, arg, err);
}

int sl_api_secrets_rotate_master(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                                 struct sl_err *err)
{
    struct change c = {.actor = sl_api_arg(args, "actor", ctx->actor)};
    int64_t n = 0;
    int rc = sl_ws_write(ctx->ws, find_actor, &c, err);
    if (rc < 0) {
        return rc;
    }
    struct sl_secret_writer writer = {write_durably, ctx->ws};
    struct sl_secret_by by = {
        .project = SL_DEFAULT_PROJECT, .actor = sl_actor_of(&c.actor_id), .ts_ms = sl_now_ms()};
    rc = sl_secret_rotate_master(ctx->ws->fd, &writer, &by, &n, err);
    if (rc == 0) {
        *ret = json_pack("{s:I}", "versions", (json_int_t)n);
    }
    return rc;
}
