/* diff: two runs beside each other. Thread: main. */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "cmd/ask.h"
#include "core/base/hash.h"
#include "core/base/time.h"

#define LIST_MAX 40 /* lines of one section; --json has all */

static void put_head(struct sl_cmd *c, const char *sign, const json_t *run, struct sl_buf *out)
{
    const char *state = sl_json_str(run, "state", "");
    const char *commit = sl_json_str(run, "commit", "");
    char time[SL_TIME_TEXT];
    sl_buf_printf(out, "%s %s  %s%s%s", sign, sl_json_str(run, "name", ""),
                  sl_state_color(state, c->color), state, SL_COLOR_END(c->color));
    if (json_object_get(run, "took_ms") != NULL) {
        sl_buf_printf(out, " in %s", sl_duration_format(sl_json_i64(run, "took_ms", 0), time));
    }
    sl_buf_puts(out, "  by ");
    sl_put_clean(out, sl_json_str(run, "actor", ""));
    if (commit[0] != '\0') {
        sl_buf_printf(out, "  git %.12s", commit);
    }
    sl_buf_putc(out, '\n');
}

static void put_value(struct sl_buf *out, const json_t *value)
{
    _cleanup_(free)
    char *text = value != NULL ? sl_json_canonical(value) : NULL;
    struct sl_digest digest;
    if (value == NULL || json_is_null(value)) {
        sl_buf_putc(out, '-');
    } else if (json_is_string(value) && sl_digest_parse(json_string_value(value), &digest)) {
        char hex[SL_DIGEST_HEX + 1];
        sl_buf_printf(out, "sha256:%.12s", sl_digest_hex(&digest, hex));
    } else if (json_is_string(value) && sl_starts_with(json_string_value(value), "default/")) {
        sl_put_clean(out, json_string_value(value) + strlen("default/"));
    } else {
        sl_put_clean(out, json_is_string(value) ? json_string_value(value) : text);
    }
}

static void put_left_out(size_t n, const char *indent, struct sl_buf *out)
{
    if (n > LIST_MAX) {
        sl_buf_printf(out, "%s... %zu more; --json has all\n", indent, n - LIST_MAX);
    }
}

/** [{"field","old","new"}] as "field: old -> new". */
static void put_fields(const json_t *list, const char *title, const char *indent,
                       struct sl_buf *out)
{
    size_t i = 0;
    json_t *d = NULL;
    if (json_array_size(list) > 0 && title != NULL) {
        sl_buf_printf(out, "\n%s\n", title);
    }
    json_array_foreach (list, i, d) {
        if (i >= LIST_MAX) {
            continue;
        }
        sl_buf_puts(out, indent);
        sl_put_clean(out, sl_json_str(d, "field", ""));
        sl_buf_puts(out, ": ");
        put_value(out, json_object_get(d, "old"));
        sl_buf_puts(out, " -> ");
        put_value(out, json_object_get(d, "new"));
        sl_buf_putc(out, '\n');
    }
    put_left_out(json_array_size(list), indent, out);
}

static void put_files(const json_t *list, const char *title, struct sl_buf *out)
{
    size_t i = 0;
    json_t *d = NULL;
    if (json_array_size(list) > 0) {
        sl_buf_printf(out, "\n%s\n", title);
    }
    json_array_foreach (list, i, d) {
        const char *change = sl_json_str(d, "change", "");
        if (i < LIST_MAX) {
            sl_buf_printf(out, "  %c ",
                          sl_streq(change, "added")     ? '+'
                          : sl_streq(change, "removed") ? '-'
                                                        : '~');
            sl_put_clean(out, sl_json_str(d, "path", ""));
            sl_buf_putc(out, '\n');
        }
    }
    put_left_out(json_array_size(list), "  ", out);
}

/** "failed 3.2s" */
static void put_end(const json_t *o, struct sl_buf *out)
{
    char time[SL_TIME_TEXT];
    sl_put_clean(out, sl_json_str(o, "state", "-"));
    if (json_object_get(o, "took_ms") != NULL) {
        sl_buf_printf(out, " %s", sl_duration_format(sl_json_i64(o, "took_ms", 0), time));
    }
}

static void put_step(const json_t *s, struct sl_buf *out)
{
    sl_buf_puts(out, "  ");
    sl_put_clean(out, sl_json_str(s, "key", ""));
    sl_buf_puts(out, ": ");
    put_end(json_object_get(s, "old"), out);
    sl_buf_puts(out, " -> ");
    put_end(json_object_get(s, "new"), out);
    sl_buf_putc(out, '\n');
    put_fields(json_object_get(s, "differences"), NULL, "    ", out);
    put_fields(json_object_get(s, "resources"), NULL, "    resources.", out);
    put_fields(json_object_get(s, "outputs"), NULL, "    output ", out);
}

static void put_steps(const json_t *answer, struct sl_buf *out)
{
    const json_t *steps = json_object_get(answer, "steps");
    size_t i = 0;
    json_t *s = NULL;
    if (json_array_size(steps) > 0) {
        sl_buf_puts(out, "\nsteps\n");
    }
    json_array_foreach (steps, i, s) {
        if (i < LIST_MAX) {
            put_step(s, out);
        }
    }
    put_left_out(json_array_size(steps) + (size_t)sl_json_i64(answer, "steps_left_out", 0), "  ",
                 out);
}

static void metric_cell(struct sl_table *t, const json_t *m, const char *name)
{
    if (json_object_get(m, name) == NULL) {
        sl_table_cell(t, "-");
    } else {
        sl_table_cellf(t, sl_streq(name, "delta") ? "%+.6g" : "%.6g", sl_json_num(m, name, NAN));
    }
}

static void put_metrics(struct sl_cmd *c, const json_t *list, struct sl_buf *out)
{
    static const char *const heads[] = {"METRIC", "STEP", ">OLD", ">NEW", ">DELTA", NULL};
    struct sl_table t;
    size_t i = 0;
    json_t *m = NULL;
    if (json_array_size(list) == 0) {
        return;
    }
    sl_table_init(&t, heads);
    json_array_foreach (list, i, m) {
        if (i < LIST_MAX) {
            sl_table_cell(&t, sl_json_str(m, "metric", ""));
            sl_table_cell(&t, sl_json_str(m, "step", ""));
            metric_cell(&t, m, "old");
            metric_cell(&t, m, "new");
            metric_cell(&t, m, "delta");
        }
    }
    sl_buf_putc(out, '\n');
    sl_table_print(&t, c->color, out);
    put_left_out(json_array_size(list), "", out);
}

int sl_cmd_diff(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    json_t *args = json_pack("{s:s, s:s}", "run", sl_cmd_arg(c, 0), "other", sl_cmd_arg(c, 1));
    if (sl_ask(c, "runs.diff", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (answer == NULL) {
        return SL_EXIT_OK;
    }
    put_head(c, "-", json_object_get(answer, "old"), &out);
    put_head(c, "+", json_object_get(answer, "new"), &out);
    size_t heads = out.len;
    put_fields(json_object_get(answer, "params"), "parameters", "  ", &out);
    put_files(json_object_get(answer, "code"), "code", &out);
    put_files(json_object_get(answer, "pipeline"), "pipeline", &out);
    put_fields(json_object_get(answer, "environment"), "machine and environment", "  ", &out);
    put_steps(answer, &out);
    put_metrics(c, json_object_get(answer, "metrics"), &out);
    sl_buf_printf(&out, out.len == heads ? "no difference in %lld steps\n" : "\n%lld steps alike\n",
                  (long long)sl_json_i64(answer, "steps_same", 0));
    return sl_cmd_print(&out);
}
