/* gc: what goes and what stays of history, and why. Thread: main. */
#include "core/base/base.h"

#include <stdlib.h>

#include "cmd/ask.h"
#include "core/base/time.h"

static void put_runs(struct sl_cmd *c, const json_t *answer, bool dry, struct sl_buf *out)
{
    static const char *const heads[] = {"RUN", "ENDED", "WHAT", ">SIZE", "WHY", NULL};
    struct sl_table t;
    size_t i = 0;
    json_t *o = NULL;
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(answer, "runs"), i, o) {
        const char *action = sl_json_str(o, "action", "");
        char size[SL_TIME_TEXT];
        bool keep = sl_streq(action, "keep");
        bool logs = sl_streq(action, "logs");
        sl_table_cell(&t, sl_json_str(o, "name", ""));
        sl_table_cellf(&t, "%.10s", sl_json_str(o, "ended_at", ""));
        sl_table_cell(&t, keep          ? "kept"
                          : logs && dry ? "logs would go"
                          : logs        ? "logs removed"
                          : dry         ? "would go"
                                        : "removed");
        sl_table_cell(&t, keep ? "" : sl_size_format((uint64_t)sl_json_i64(o, "bytes", 0), size));
        sl_table_cell(&t, sl_json_str(o, "reason", ""));
    }
    if (t.cells.n > 0) {
        sl_table_print(&t, c->color, out);
    } else {
        sl_vec_free(&t.cells);
    }
}

static void put_sums(const json_t *answer, bool dry, struct sl_buf *out)
{
    const json_t *content = json_object_get(answer, "content");
    char size[SL_TIME_TEXT];
    sl_buf_printf(out, "%lld runs %s, of %lld more %s; %lld kept; files of %s\n",
                  (long long)sl_json_i64(answer, "removed", 0), dry ? "would go" : "removed",
                  (long long)sl_json_i64(answer, "logs", 0),
                  dry ? "the logs would go" : "the logs removed",
                  (long long)sl_json_i64(answer, "kept", 0),
                  sl_size_format((uint64_t)sl_json_i64(answer, "bytes", 0), size));
    if (sl_json_i64(answer, "left_out", 0) > 0) {
        sl_buf_printf(out, "%lld runs are not listed\n",
                      (long long)sl_json_i64(answer, "left_out", 0));
    }
    if (dry) {
        sl_buf_puts(out, "content that only they name would go, too\n");
        return;
    }
    sl_buf_printf(out, "content: %lld pieces of %s removed",
                  (long long)sl_json_i64(content, "removed", 0),
                  sl_size_format((uint64_t)sl_json_i64(content, "bytes", 0), size));
    if (sl_json_i64(content, "waiting", 0) > 0) {
        sl_buf_printf(out, ", %lld too young", (long long)sl_json_i64(content, "waiting", 0));
    }
    sl_buf_putc(out, '\n');
    if (sl_json_i64(answer, "database_bytes", 0) > 0) {
        sl_buf_printf(out, "database: %s given back\n",
                      sl_size_format((uint64_t)sl_json_i64(answer, "database_bytes", 0), size));
    }
}

int sl_cmd_gc(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)16 << 20);
    bool dry = sl_cmd_flag(c, "dry-run");
    json_t *args =
        json_pack("{s:b, s:b}", "dry_run", dry, "logs_only", sl_cmd_flag(c, "logs-only"));
    sl_json_set_str(args, "older_than", sl_cmd_opt(c, "older-than"));
    sl_json_set_str(args, "keep_last", sl_cmd_opt(c, "keep-last"));
    sl_json_set_str(args, "grace", sl_cmd_opt(c, "grace"));
    if (sl_ask(c, "gc", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (answer == NULL) {
        return SL_EXIT_OK;
    }
    put_runs(c, answer, dry, &out);
    if (!sl_json_bool(answer, "has_rule", false)) {
        sl_buf_puts(&out,
                    "no rule: runs and logs stay (--older-than TIME, or policies.retention of "
                    "the project)\n");
    }
    put_sums(answer, dry, &out);
    return sl_cmd_print(&out);
}
