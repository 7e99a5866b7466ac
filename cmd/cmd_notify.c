/* notifications: how the delivery of messages stands, and once more. Thread: main. */
#include "core/base/base.h"

#include "cmd/cmd.h"
#include "cmd/table.h"

static int retry(struct sl_cmd *c, const char *id)
{
    json_auto_t *answer = NULL;
    if (sl_call(c, "notifications.retry", json_pack("{s:s}", "id", id), &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    (void)printf("message %s waits for delivery again; an engine delivers it\n", id);
    return SL_EXIT_OK;
}

static void put_row(struct sl_table *t, const json_t *n)
{
    bool waits = sl_streq(sl_json_str(n, "state", ""), "pending");
    const char *sent = sl_json_str(n, "sent_at", "");
    sl_table_cellf(t, "%lld", (long long)sl_json_i64(n, "id", 0));
    sl_table_cell(t, sl_json_str(n, "state", ""));
    sl_table_cellf(t, "%s %s", sl_json_str(n, "kind", ""), sl_json_str(n, "channel", ""));
    sl_table_cellf(t, "%s/%s", sl_json_str(n, "run_name", ""), sl_json_str(n, "step", ""));
    sl_table_cellf(t, "%lld", (long long)sl_json_i64(n, "tries", 0));
    sl_table_cellf(t, "%.19s%s", waits ? sl_json_str(n, "next_at", "") : sent,
                   waits || sent[0] != '\0' ? "Z" : "");
    sl_table_cell(t, sl_json_str(n, "error", ""));
}

int sl_cmd_notifications(struct sl_cmd *c)
{
    static const char *const heads[] = {">ID",    "STATE",      "CHANNEL", "STEP",
                                        ">TRIES", "SENT, NEXT", "REASON",  NULL};
    json_auto_t *answer = NULL;
    struct sl_table t;
    struct sl_buf out = SL_BUF_INIT((size_t)16 << 20);
    if (sl_cmd_opt(c, "retry") != NULL) {
        return retry(c, sl_cmd_opt(c, "retry"));
    }
    json_t *args = json_object();
    sl_json_set_str(args, "state", sl_cmd_flag(c, "failed") ? "failed" : NULL);
    sl_json_set_str(args, "limit", sl_cmd_opt(c, "limit"));
    if (sl_call(c, "notifications.list", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    size_t i = 0;
    json_t *n = NULL;
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(answer, "notifications"), i, n) {
        put_row(&t, n);
    }
    if (i == 0) {
        sl_buf_puts(&out, "no messages\n");
    } else {
        sl_table_print(&t, c->color, &out);
    }
    return sl_cmd_print(&out);
}
