/* show, why, lineage, metrics. Thread: main. */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "cmd/ask.h"
#include "cmd/gantt.h"
#include "cmd/table.h"
#include "core/base/time.h"
#include "pipelines/core/machines.h"

#define SHOW_EACH_MAX  200 /* instances of one step that are shown one by one */
#define SHOW_NAMED_MAX 50  /* failed ones that are named beside the counts of more */

/* ---- show ----------------------------------------------------------------------------------------- */

static void put_fact(struct sl_buf *out, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        sl_buf_printf(out, "%-9s ", name);
        sl_put_clean(out, value);
        sl_buf_putc(out, '\n');
    }
}

void sl_put_estimate(const json_t *estimate, struct sl_buf *out)
{
    char time[SL_TIME_TEXT];
    int64_t runs = sl_json_i64(estimate, "runs", 0);
    int64_t unknown = sl_json_i64(estimate, "steps_unknown", 0);
    sl_buf_printf(out, "about %s, from %lld run%s",
                  sl_duration_format(sl_json_i64(estimate, "left_ms", 0), time), (long long)runs,
                  runs == 1 ? "" : "s");
    if (unknown > 0) {
        sl_buf_printf(out, "; %lld steps never succeeded before", (long long)unknown);
    }
}

/** What its steps ran in; of the host, that nobody can make it again. */
static void put_runtimes(const json_t *facts, struct sl_buf *out)
{
    const char *step = NULL;
    json_t *env = NULL;
    json_object_foreach (json_object_get(facts, "runtimes"), step, env) {
        _cleanup_(free)
        char *text =
            sl_asprintf("%s  %.12s", step + strlen("env:"), sl_json_str(env, "digest", ""));
        put_fact(out, "runs in", text);
    }
    if (sl_json_i64(facts, "host_steps", 0) > 0) {
        put_fact(out, "runs in", "the host as it is: not reproducible");
    }
}

/** Whether nothing of a running run goes on before people have said their word. */
static bool only_awaits(const json_t *run)
{
    size_t i = 0;
    bool awaits = false;
    json_t *step = NULL;
    json_array_foreach (json_object_get(run, "steps"), i, step) {
        const char *state = sl_json_str(step, "state", "");
        if (sl_streq(state, "running") || sl_streq(state, "backoff")) {
            return false;
        }
        awaits = awaits || sl_streq(state, "awaiting_approval");
    }
    return awaits && sl_streq(sl_json_str(run, "state", ""), "running");
}

static void put_head(struct sl_cmd *c, const json_t *run, struct sl_buf *out)
{
    const json_t *code = json_object_get(run, "code");
    const char *state = sl_json_str(run, "state", "");
    const char *name = NULL;
    json_t *p = NULL;
    sl_buf_printf(out, "run %s  %s%s%s%s  %s\n", sl_json_str(run, "name", ""),
                  sl_state_color(state, c->color), state, SL_COLOR_END(c->color),
                  only_awaits(run) ? ", awaiting approval (sluice inbox)" : "",
                  sl_json_str(run, "id", ""));
    put_fact(out, "reason", sl_json_str(run, "reason", ""));
    put_fact(out, "by", sl_json_str(run, "actor", ""));
    put_fact(out, "started", sl_json_str(run, "started_at", ""));
    put_fact(out, "ended", sl_json_str(run, "ended_at", ""));
    if (json_object_get(run, "estimate") != NULL) {
        _cleanup_(buf)
        struct sl_buf text = SL_BUF_INIT(4096);
        sl_put_estimate(json_object_get(run, "estimate"), &text);
        put_fact(out, "expected", sl_buf_str(&text));
    }
    put_fact(out, "override", sl_json_str(run, "override_reason", ""));
    put_fact(out, "retry of", sl_json_str(run, "retry_of", ""));
    if (sl_json_str(code, "commit", "")[0] != '\0') {
        sl_buf_printf(out, "%-9s git %.12s%s\n", "code", sl_json_str(code, "commit", ""),
                      sl_json_bool(code, "dirty", false) ? " with changes" : "");
    } else {
        sl_buf_printf(out, "%-9s %.19s\n", "code", sl_json_str(code, "digest", ""));
    }
    put_runtimes(json_object_get(run, "facts"), out);
    json_object_foreach (json_object_get(run, "params"), name, p) {
        _cleanup_(free)
        char *value = sl_json_canonical(json_object_get(p, "value"));
        _cleanup_(free)
        char *text = sl_asprintf("%s = %s (%s)", name, value, sl_json_str(p, "origin", ""));
        put_fact(out, "param", text);
    }
}

static void outputs_cell(struct sl_table *t, const json_t *step)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(65536);
    size_t i = 0;
    json_t *o = NULL;
    json_array_foreach (json_object_get(step, "outputs"), i, o) {
        const char *version = sl_json_str(o, "version", NULL);
        version = version != NULL && sl_starts_with(version, "default/") ? version + 8 : version;
        sl_buf_printf(&text, "%s%s", i > 0 ? " " : "",
                      version != NULL ? version : sl_json_str(o, "name", ""));
    }
    sl_table_cell(t, sl_buf_str(&text));
}

static void reason_cell(struct sl_table *t, const json_t *step)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(65536);
    const char *state = sl_json_str(step, "state", "");
    bool decided =
        sl_json_i64(step, "attempts", 0) == 0; /* by people: why is all there is to say */
    if (!sl_streq(state, "succeeded") || decided) {
        sl_put_reason(&text, state, sl_json_str(step, "reason", ""), sl_now_ms());
    }
    sl_table_cell(t, sl_buf_str(&text));
}

/** Block characters where the terminal's locale has them. */
static bool has_blocks(const struct sl_cmd *c)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *text = NULL;
    for (size_t i = 0; i < SL_LEN(names) && (text == NULL || text[0] == '\0'); i++) {
        text = getenv(names[i]);
    }
    return c->tty && text != NULL &&
           (strcasestr(text, "UTF-8") != NULL || strcasestr(text, "UTF8") != NULL);
}

static int show_gantt(struct sl_cmd *c, const json_t *run)
{
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    size_t columns = sl_cmd_columns(c);
    const struct sl_gantt_opts opts = {.now_ms = sl_now_ms(),
                                       .width = columns > 0 ? columns : 100,
                                       .blocks = has_blocks(c),
                                       .color = c->color};
    put_head(c, run, &out);
    sl_buf_putc(&out, '\n');
    sl_gantt_print(run, &opts, &out);
    return sl_cmd_print(&out);
}

static void put_step(struct sl_table *t, const json_t *s)
{
    sl_table_cell(t, sl_json_str(s, "key", ""));
    sl_table_cell(t, sl_json_str(s, "state", ""));
    if (sl_json_i64(s, "attempts", 0) > 0) {
        sl_table_cellf(t, "%lld", (long long)sl_json_i64(s, "attempts", 0));
    } else {
        sl_table_cell(t, "");
    }
    sl_duration_cell(t, s);
    outputs_cell(t, s);
    reason_cell(t, s);
}

/** Index behind the last instance of the step that begins at `first`. */
static size_t end_of_group(const json_t *steps, size_t first)
{
    const char *id = sl_json_str(json_array_get(steps, first), "step", "");
    size_t end = first + 1;
    while (end < json_array_size(steps) &&
           sl_streq(sl_json_str(json_array_get(steps, end), "step", "-"), id)) {
        end++;
    }
    return end;
}

/** "1000 instances: 12 running, 340 succeeded, 648 pending", and those that failed by name. */
static void put_group(struct sl_table *t, const json_t *steps, size_t first, size_t end)
{
    size_t counts[SL_STEP_STATES] = {0};
    size_t named = 0;
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(4096);
    for (size_t i = first; i < end; i++) {
        const json_t *s = json_array_get(steps, i);
        int state = sl_sm_parse(&sl_step_machine, sl_json_str(s, "state", ""));
        counts[SL_MAX(state, 0)]++;
        if ((state == SL_STEP_FAILED || state == SL_STEP_NEEDS_DECISION) &&
            named++ < SHOW_NAMED_MAX) {
            put_step(t, s);
        }
    }
    for (int i = 0; i < SL_STEP_STATES; i++) {
        if (counts[i] > 0) {
            sl_buf_printf(&text, "%s%zu %s", text.len > 0 ? ", " : "", counts[i],
                          sl_sm_name(&sl_step_machine, i));
        }
    }
    sl_table_cell(t, sl_json_str(json_array_get(steps, first), "step", ""));
    sl_table_cellf(t, "x%zu", end - first);
    sl_table_cell(t, "");
    sl_table_cell(t, "");
    sl_table_cell(t, "");
    sl_table_cell(t, sl_buf_str(&text));
}

static void put_steps(const json_t *run, struct sl_table *t)
{
    const json_t *steps = json_object_get(run, "steps");
    size_t end = 0;
    for (size_t i = 0; i < json_array_size(steps); i = end) {
        end = end_of_group(steps, i);
        if (end - i > SHOW_EACH_MAX) {
            put_group(t, steps, i, end);
            continue;
        }
        for (; i < end; i++) {
            put_step(t, json_array_get(steps, i));
        }
    }
}

int sl_cmd_show(struct sl_cmd *c)
{
    static const char *const heads[] = {"STEP",    "STATE",  ">ATTEMPT", ">TIME",
                                        "OUTPUTS", "REASON", NULL};
    json_auto_t *run = NULL;
    struct sl_table t;
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    if (sl_ask(c, "runs.show", json_pack("{s:s}", "run", sl_cmd_arg(c, 0)), &run) < 0) {
        return sl_cmd_fail(c);
    }
    if (run == NULL) {
        return SL_EXIT_OK;
    }
    if (sl_cmd_flag(c, "gantt")) {
        return show_gantt(c, run);
    }
    put_head(c, run, &out);
    sl_buf_putc(&out, '\n');
    sl_table_init(&t, heads);
    t.fit = sl_cmd_columns(c);
    put_steps(run, &t);
    sl_table_print(&t, c->color, &out);
    return sl_cmd_print(&out);
}

/* ---- why ------------------------------------------------------------------------------------------ */

/** "RUN/STEP": the step's key may hold slashes, the run's name may not. */
static int split_step(struct sl_cmd *c, const char **ret_run, const char **ret_step)
{
    const char *text = sl_cmd_arg(c, 0);
    const char *slash = strchr(text, '/');
    if (slash == NULL || slash == text || slash[1] == '\0') {
        return sl_err_set(&c->err, SL_EINVAL, "expected RUN/STEP, as in last/train");
    }
    *ret_run = sl_arena_strndup(&c->arena, text, (size_t)(slash - text));
    *ret_step = slash + 1;
    return 0;
}

static void put_value(struct sl_buf *out, const char *sign, const json_t *value)
{
    _cleanup_(free)
    char *text = value != NULL ? sl_json_canonical(value) : NULL;
    if (value != NULL && !json_is_null(value)) {
        sl_buf_printf(out, "    %s ", sign);
        sl_put_clean(out, json_is_string(value) ? json_string_value(value) : text);
        sl_buf_putc(out, '\n');
    }
}

static void put_differences(const json_t *answer, struct sl_buf *out)
{
    size_t i = 0;
    json_t *d = NULL;
    json_array_foreach (json_object_get(answer, "differences"), i, d) {
        sl_buf_puts(out, "  ");
        sl_put_clean(out, sl_json_str(d, "field", ""));
        sl_buf_putc(out, '\n');
        put_value(out, "-", json_object_get(d, "old"));
        put_value(out, "+", json_object_get(d, "new"));
    }
}

static void put_waiting(struct sl_cmd *c, const json_t *answer, struct sl_buf *out)
{
    json_auto_t *waiting = NULL;
    _cleanup_(free)
    char *step = sl_asprintf("%lld", (long long)sl_json_i64(answer, "index", 0));
    const char *state = sl_json_str(answer, "state", "");
    if ((sl_streq(state, "pending") || sl_streq(state, "backoff")) &&
        sl_call(c, "runs.waiting",
                json_pack("{s:s, s:s}", "run", sl_json_str(answer, "run", ""), "step", step),
                &waiting) == 0) {
        sl_put_clean(out, sl_json_str(waiting, "text", ""));
        sl_buf_putc(out, '\n');
    }
}

int sl_cmd_why(struct sl_cmd *c)
{
    const char *run = NULL;
    const char *step = NULL;
    json_auto_t *answer = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    int rc = split_step(c, &run, &step);
    rc = rc < 0 ? rc
                : sl_ask(c, "runs.why", json_pack("{s:s, s:s}", "run", run, "step", step), &answer);
    if (rc < 0) {
        return sl_cmd_fail(c);
    }
    if (answer == NULL) {
        return SL_EXIT_OK;
    }
    const char *state = sl_json_str(answer, "state", "");
    const char *text = sl_json_str(answer, "text", "");
    const char *reason = sl_json_str(answer, "reason", "");
    sl_buf_printf(&out, "%s/", sl_json_str(answer, "run_name", ""));
    sl_put_clean(&out, step);
    sl_buf_printf(&out, ": %s%s%s\n", sl_state_color(state, c->color), state,
                  SL_COLOR_END(c->color));
    if (reason[0] != '\0' && !sl_streq(reason, text)) {
        sl_put_clean(&out, reason);
        sl_buf_putc(&out, '\n');
    }
    if (text[0] != '\0') {
        sl_put_clean(&out, text);
        if (sl_json_str(answer, "compared_with", NULL) != NULL) {
            sl_buf_printf(&out, " (%s)", sl_json_str(answer, "compared_with", ""));
        }
        sl_buf_putc(&out, '\n');
    }
    put_differences(answer, &out);
    put_waiting(c, answer, &out);
    return sl_cmd_print(&out);
}

/* ---- lineage -------------------------------------------------------------------------------------- */

int sl_cmd_lineage(struct sl_cmd *c)
{
    json_auto_t *answer = NULL;
    const char *format = c->json ? "json" : sl_cmd_opt(c, "format");
    json_t *args = json_pack("{s:s, s:b}", "ref", sl_cmd_arg(c, 0), "down", sl_cmd_flag(c, "down"));
    format = format != NULL ? format : "tree";
    sl_json_set_str(args, "format", format);
    sl_ask_option(c, args, "depth");
    if (sl_cmd_flag(c, "up") && sl_cmd_flag(c, "down")) {
        json_decref(args);
        (void)sl_err_set(&c->err, SL_EINVAL, "--up and --down exclude each other");
        return sl_cmd_fail(c);
    }
    if (sl_call(c, "lineage", args, &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (sl_streq(format, "json")) {
        return sl_cmd_print_json(json_incref(answer));
    }
    (void)fputs(sl_json_str(answer, "text", ""), stdout);
    return SL_EXIT_OK;
}

/* ---- metrics -------------------------------------------------------------------------------------- */

#define SPARK_WIDTH 24

static void sparkline_cell(struct sl_table *t, const json_t *s)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(4096);
    double low = sl_json_num(s, "min", NAN);
    double high = sl_json_num(s, "max", NAN);
    size_t i = 0;
    json_t *b = NULL;
    json_array_foreach (json_object_get(s, "history"), i, b) {
        double v = sl_json_num(b, "value", NAN);
        double part = high > low ? (v - low) / (high - low) : 0.5;
        bool known = isfinite(v) && isfinite(part);
        sl_buf_puts(&text,
                    known ? bars[(size_t)(SL_MIN(SL_MAX(part, 0.0), 1.0) * 7.0 + 0.5)] : "·");
    }
    sl_table_cell(t, json_array_size(json_object_get(s, "history")) > 1 ? sl_buf_str(&text) : "");
}

static void number_cell(struct sl_table *t, const json_t *s, const char *key)
{
    sl_table_cellf(t, "%.6g", sl_json_num(s, key, NAN));
}

static void put_csv_text(struct sl_buf *out, const char *text)
{
    bool quote = strpbrk(text, ",\"\r\n") != NULL;
    sl_buf_puts(out, quote ? "\"" : "");
    for (; *text != '\0'; text++) {
        sl_buf_puts(out, *text == '"' ? "\"" : "");
        sl_buf_putc(out, *text);
    }
    sl_buf_puts(out, quote ? "\"," : ",");
}

static void put_csv(const json_t *answer, struct sl_buf *out)
{
    static const char *const texts[] = {"key", "slice", "dataset", "model"};
    size_t i = 0;
    size_t k = 0;
    json_t *s = NULL;
    json_t *b = NULL;
    sl_buf_puts(out, "step,attempt,key,slice,dataset,model,index,ms,value\n");
    json_array_foreach (json_object_get(answer, "series"), i, s) {
        json_array_foreach (json_object_get(s, "history"), k, b) {
            put_csv_text(out, sl_json_str(s, "step_key", ""));
            sl_buf_printf(out, "%lld,", (long long)sl_json_i64(s, "attempt_number", 0));
            for (size_t n = 0; n < SL_LEN(texts); n++) {
                put_csv_text(out, sl_json_str(s, texts[n], ""));
            }
            sl_buf_printf(out, "%lld,%lld,", (long long)sl_json_i64(b, "step", 0),
                          (long long)sl_json_i64(b, "ms", 0));
            sl_buf_json_num(out, sl_json_num(b, "value", NAN));
            sl_buf_putc(out, '\n');
        }
    }
}

int sl_cmd_metrics(struct sl_cmd *c)
{
    static const char *const heads[] = {"STEP", "METRIC",  "SLICE",  ">LAST", ">MIN",
                                        ">MAX", ">POINTS", "COURSE", NULL};
    json_auto_t *answer = NULL;
    struct sl_table t;
    struct sl_buf out = SL_BUF_INIT((size_t)64 << 20);
    bool csv = sl_cmd_flag(c, "csv");
    if (sl_ask(c, "runs.metrics",
               json_pack("{s:s, s:i, s:b}", "run", sl_cmd_arg(c, 0), "history",
                         csv ? 500 : SPARK_WIDTH, "system", sl_cmd_flag(c, "system")),
               &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (answer == NULL) {
        return SL_EXIT_OK;
    }
    if (csv) {
        put_csv(answer, &out);
        return sl_cmd_print(&out);
    }
    size_t i = 0;
    json_t *s = NULL;
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(answer, "series"), i, s) {
        sl_table_cell(&t, sl_json_str(s, "step_key", "-"));
        sl_table_cell(&t, sl_json_str(s, "key", ""));
        sl_table_cell(&t, sl_json_str(s, "slice", ""));
        number_cell(&t, s, "last");
        number_cell(&t, s, "min");
        number_cell(&t, s, "max");
        sl_table_cellf(&t, "%lld", (long long)sl_json_i64(s, "count", 0));
        sparkline_cell(&t, s);
    }
    if (t.cells.n == 0) {
        sl_buf_puts(&out, "this run's own attempts recorded no metrics ('sluice show' tells which "
                          "steps were cached)\n");
    } else {
        sl_table_print(&t, c->color, &out);
    }
    return sl_cmd_print(&out);
}
