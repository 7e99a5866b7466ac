/* approve, reject, inbox: what people say about steps, and what waits for them. Thread: main. */
#include "core/base/base.h"

#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/table.h"
#include "core/base/time.h"

/* ---- voting --------------------------------------------------------------------------------------- */

static int split_step(struct sl_cmd *c, const char **ret_run, const char **ret_step)
{
    const char *text = sl_cmd_arg(c, 0);
    const char *slash = strchr(text, '/');
    if (slash == NULL || slash == text || slash[1] == '\0') {
        return sl_err_set(&c->err, SL_EINVAL, "expected RUN/STEP, as in churn#12/approve");
    }
    *ret_run = sl_arena_strndup(&c->arena, text, (size_t)(slash - text));
    *ret_step = slash + 1;
    return 0;
}

/** What to do next, after a vote that counted. */
static void put_next(const json_t *answer, struct sl_buf *out)
{
    _cleanup_(free)
    char *run = sl_asprintf("%s#%lld", sl_json_str(answer, "pipeline", ""),
                            (long long)sl_json_i64(answer, "number", 0));
    if (sl_json_bool(answer, "decision", false)) {
        sl_buf_puts(out, "next: sluice retry ");
        sl_buf_shell_quote(out, run);
        sl_buf_putc(out, '\n');
    } else if (sl_streq(sl_json_str(answer, "state", ""), "open")) {
        sl_buf_printf(
            out, "%lld more needed\n",
            (long long)(sl_json_i64(answer, "needed", 1) - sl_json_i64(answer, "given", 0)));
    } else {
        sl_buf_puts(out, sl_json_bool(answer, "engine", false)
                             ? "the engine goes on; follow it: sluice show "
                             : "no engine is running; go on with: sluice resume ");
        sl_buf_shell_quote(out, run);
        sl_buf_putc(out, '\n');
    }
}

static int vote(struct sl_cmd *c, bool approve)
{
    json_auto_t *answer = NULL;
    const char *run = NULL;
    const char *step = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    if (split_step(c, &run, &step) < 0) {
        return sl_cmd_fail(c);
    }
    json_t *args = json_pack("{s:s, s:s, s:b}", "run", run, "step", step, "approve", approve);
    sl_json_set_str(args, "reason", sl_cmd_opt(c, "reason"));
    if (sl_call(c, "runs.vote", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    sl_put_clean(&out, sl_json_str(answer, "text", ""));
    sl_buf_putc(&out, '\n');
    put_next(answer, &out);
    return sl_cmd_print(&out);
}

int sl_cmd_approve(struct sl_cmd *c)
{
    return vote(c, true);
}

int sl_cmd_reject(struct sl_cmd *c)
{
    return vote(c, false);
}

/* ---- inbox ---------------------------------------------------------------------------------------- */

static void put_from(const json_t *item, struct sl_buf *out)
{
    size_t i = 0;
    json_t *from = NULL;
    sl_buf_printf(out, "  by       %lld of ", (long long)sl_json_i64(item, "quorum", 1));
    json_array_foreach (json_object_get(item, "from"), i, from) {
        sl_buf_puts(out, i > 0 ? ", " : "");
        sl_put_clean(out, json_string_value(from));
    }
    json_array_foreach (json_object_get(item, "members"), i, from) {
        sl_buf_puts(out, i == 0 ? " (" : ", ");
        sl_put_clean(out, json_string_value(from));
    }
    sl_buf_puts(out, i > 0 ? ")" : " (nobody: the applied project has no such group)");
    json_array_foreach (json_object_get(item, "votes"), i, from) {
        sl_buf_puts(out, i == 0 ? "; approved by " : ", ");
        sl_put_clean(out, sl_json_str(from, "name", ""));
    }
    sl_buf_putc(out, '\n');
}

static void put_gate(const json_t *item, struct sl_buf *out)
{
    const json_t *gate = json_object_get(item, "gate");
    size_t i = 0;
    json_t *rule = NULL;
    if (gate == NULL) {
        return;
    }
    sl_buf_puts(out, "  gate     ");
    sl_put_clean(out, sl_json_str(gate, "summary", ""));
    sl_buf_putc(out, '\n');
    json_array_foreach (json_object_get(gate, "rules"), i, rule) {
        sl_buf_puts(out, "           ");
        sl_put_clean(out, sl_json_str(rule, "explanation", sl_json_str(rule, "rule", "")));
        sl_buf_putc(out, '\n');
    }
}

static void put_line(const char *label, const char *text, struct sl_buf *out)
{
    if (text != NULL && text[0] != '\0') {
        sl_buf_printf(out, "  %-8s ", label);
        sl_put_clean(out, text);
        sl_buf_putc(out, '\n');
    }
}

static void put_candidate(const json_t *item, struct sl_buf *out)
{
    const char *entity = sl_json_str(item, "entity", NULL);
    if (entity != NULL) {
        sl_buf_puts(out, "  version  ");
        sl_put_clean(out, entity);
        sl_buf_printf(out, "@v%lld (%.19s)\n", (long long)sl_json_i64(item, "version", 0),
                      sl_json_str(item, "candidate", ""));
    }
}

static void put_deadline(const json_t *item, int64_t now_ms, struct sl_buf *out)
{
    int64_t deadline = sl_json_i64(item, "deadline_ms", 0);
    char when[SL_TIME_TEXT];
    char left[SL_TIME_TEXT];
    if (deadline > 0) {
        sl_buf_printf(out, "  until    %s (%s left)\n", sl_time_format(deadline, when),
                      sl_duration_format(SL_MAX(deadline - now_ms, (int64_t)0), left));
    }
}

static void put_item(const struct sl_cmd *c, const json_t *item, int64_t now_ms, struct sl_buf *out)
{
    bool decision = sl_streq(sl_json_str(item, "kind", ""), "decision");
    _cleanup_(free)
    char *step =
        sl_asprintf("%s#%lld/%s", sl_json_str(item, "pipeline", ""),
                    (long long)sl_json_i64(item, "number", 0), sl_json_str(item, "step", ""));
    sl_buf_printf(out, "%s", c->color ? "\033[1m" : "");
    sl_put_clean(out, step);
    sl_buf_printf(out, "%s%s\n", SL_COLOR_END(c->color),
                  decision                            ? ": did its effect happen?"
                  : sl_json_bool(item, "mine", false) ? ""
                                                      : " (not for you)");
    put_line("text", sl_json_str(item, "text", NULL), out);
    put_candidate(item, out);
    put_line("target", sl_json_str(item, "targets", NULL), out);
    put_gate(item, out);
    put_line("asked by", sl_json_str(item, "requester", NULL), out);
    if (decision) {
        put_line("reason", sl_json_str(item, "reason", NULL), out);
    } else {
        put_from(item, out);
    }
    put_deadline(item, now_ms, out);
    sl_buf_puts(out, "  say      sluice approve ");
    sl_buf_shell_quote(out, step);
    sl_buf_puts(out, decision ? " --reason TEXT (it happened; 'sluice reject': it did not)\n"
                              : " --reason TEXT\n");
}

int sl_cmd_inbox(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)16 << 20);
    size_t i = 0;
    json_t *item = NULL;
    json_t *args = json_object();
    if (sl_cmd_flag(c, "all")) {
        sl_json_set_str(args, "all", "true");
    }
    if (sl_call(c, "inbox", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return sl_cmd_print_json(json_incref(answer));
    }
    json_array_foreach (json_object_get(answer, "waiting"), i, item) {
        sl_buf_puts(&out, i > 0 ? "\n" : "");
        put_item(c, item, sl_now_ms(), &out);
    }
    if (i == 0) {
        sl_buf_puts(&out, "nothing waits for ");
        sl_put_clean(&out, sl_cmd_flag(c, "all") ? "anybody" : sl_json_str(answer, "user", ""));
        sl_buf_putc(&out, '\n');
    }
    return sl_cmd_print(&out);
}
