/* Messages to people: how their delivery stands, and once more. Thread: see api.h. */
#include "core/base/base.h"

#include "core/base/time.h"
#include "pipelines/run/notify_store.h"
#include "web/api/api_priv.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX     10000

int sl_api_notifications_list(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                              struct sl_err *err)
{
    json_t *list = NULL;
    const char *state = sl_api_arg(args, "state", "");
    int64_t limit = sl_api_arg_i64(args, "limit", LIMIT_DEFAULT);
    bool known = state[0] == '\0' || sl_streq(state, "pending") || sl_streq(state, "sent") ||
                 sl_streq(state, "failed");
    if (!known || limit < 1 || limit > LIMIT_MAX) {
        return sl_err_set(err, SL_EINVAL, "state is pending, sent or failed, and limit is 1 to %d",
                          LIMIT_MAX);
    }
    int rc = sl_notify_list(ctx->db, state, limit, &list, err);
    if (rc == 0) {
        *ret = json_pack("{s:o}", "notifications", list);
    }
    return rc;
}

static int retry_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_notify_retry(db, *(const int64_t *)arg, sl_now_ms(), err);
}

int sl_api_notifications_retry(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                               struct sl_err *err)
{
    int64_t id = sl_api_arg_i64(args, "id", -1);
    if (id <= 0) {
        return sl_err_set(err, SL_EINVAL, "id: expected the number of a message");
    }
    int rc = sl_ws_write(ctx->ws, retry_tx, &id, err);
    if (rc == 0) {
        *ret = json_pack("{s:I}", "id", (json_int_t)id);
    }
    return rc;
}
