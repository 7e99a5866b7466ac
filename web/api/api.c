/* The endpoint table, arguments, and calling an operation without an engine. Thread: any. */
#include "core/base/base.h"

#include "web/api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/user.h"
#include "web/api/api_priv.h"

const struct sl_api_op sl_api_ops[] = {
#define SL_API(name_, method_, pattern_, kind_, fn_, permission_, summary_)                        \
    {method_, SL_API_PREFIX pattern_, name_, SL_API_##kind_, fn_, permission_, summary_},
#define SL_API_HANDLER(name_, method_, pattern_, permission_, summary_)                            \
    {method_, SL_API_PREFIX pattern_, name_, SL_API_ENGINE, NULL, permission_, summary_},
#include "web/api/api.def"
#undef SL_API
#undef SL_API_HANDLER
};
const size_t sl_api_n_ops = SL_LEN(sl_api_ops);

const struct sl_api_op *sl_api_find(const char *name)
{
    for (size_t i = 0; i < sl_api_n_ops; i++) {
        if (sl_streq(sl_api_ops[i].name, name)) {
            return &sl_api_ops[i];
        }
    }
    sl_assert_fail("an operation of that name", __FILE__, __LINE__);
}

/* ---- arguments ------------------------------------------------------------------------------------ */

const char *sl_api_arg(const json_t *args, const char *name, const char *fallback)
{
    const char *text = sl_json_str(args, name, NULL);
    return text != NULL && text[0] != '\0' ? text : fallback;
}

int sl_api_arg_need(const json_t *args, const char *name, const char **ret, struct sl_err *err)
{
    const char *text = sl_api_arg(args, name, NULL);
    if (text == NULL) {
        return sl_err_set(err, SL_EINVAL, "'%s' is missing", name);
    }
    *ret = text;
    return 0;
}

int64_t sl_api_arg_i64(const json_t *args, const char *name, int64_t fallback)
{
    const char *text = sl_json_str(args, name, NULL);
    int64_t value = 0;
    if (text != NULL) { /* an unreadable number is out of every range */
        return sl_parse_i64(text, &value) ? value : INT64_MIN;
    }
    return sl_json_i64(args, name, fallback);
}

bool sl_api_arg_bool(const json_t *args, const char *name)
{
    const char *text = sl_json_str(args, name, NULL);
    return text != NULL ? sl_streq(text, "true") || sl_streq(text, "1")
                        : sl_json_bool(args, name, false);
}

/* ---- without an engine ---------------------------------------------------------------------------- */

static int call_reading(struct sl_api_ctx *ctx, const struct sl_api_op *op, const json_t *args,
                        json_t **ret, struct sl_err *err)
{
    int rc = sl_workspace_open_reader(ctx->data_path, &ctx->db, err);
    rc = rc < 0 ? rc : sl_workspace_open_blobs(ctx->data_path, &ctx->blobs, err);
    rc = rc < 0 ? rc : op->fn(ctx, args, ret, err);
    sl_blob_store_close(ctx->blobs);
    sl_db_close(ctx->db);
    return rc;
}

static int call_writing(struct sl_api_ctx *ctx, const struct sl_api_op *op, const json_t *args,
                        json_t **ret, struct sl_err *err)
{
    int rc = sl_workspace_open(ctx->data_path, NULL, &ctx->ws, err);
    if (rc < 0) {
        return rc;
    }
    ctx->blobs = ctx->ws->blobs;
    rc = sl_workspace_open_reader(ctx->data_path, &ctx->db, err);
    rc = rc < 0 ? rc : op->fn(ctx, args, ret, err);
    sl_db_close(ctx->db);
    sl_workspace_close(ctx->ws);
    return rc;
}

int sl_api_call_local(const char *data_path, const struct sl_api_op *op, const json_t *args,
                      json_t **ret, struct sl_err *err)
{
    char actor[SL_USER_NAME];
    struct sl_api_ctx ctx = {.data_path = data_path, .actor = sl_user_name(geteuid(), actor)};
    switch (op->kind) {
    case SL_API_READ: return call_reading(&ctx, op, args, ret, err);
    case SL_API_WRITE: return call_writing(&ctx, op, args, ret, err);
    case SL_API_ENGINE: break;
    }
    return sl_err_set(err, SL_EUNREACHABLE, "no engine is running here: nothing is executing");
}
