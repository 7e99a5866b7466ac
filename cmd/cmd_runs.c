/* runs, ls: the list of runs by filter and page. Thread: main. */
#include "core/base/base.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "core/base/time.h"

size_t sl_cmd_columns(const struct sl_cmd *c)
{
    struct winsize size = {0};
    return c->tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void sl_ask_option(const struct sl_cmd *c, json_t *args, const char *option)
{
    sl_json_set_str(args, option, sl_cmd_opt(c, option));
}

int sl_ask(struct sl_cmd *c, const char *op, json_t *args, json_t **ret)
{
    int rc = sl_call(c, op, args, ret);
    if (rc == 0 && c->json) {
        (void)sl_cmd_print_json(*ret);
        *ret = NULL;
    }
    return rc;
}

void sl_duration_cell(struct sl_table *t, const json_t *o)
{
    char text[SL_TIME_TEXT];
    int64_t started = sl_json_i64(o, "started_ms", 0);
    int64_t ended = sl_json_i64(o, "ended_ms", 0);
    const char *state = sl_json_str(o, "state", "");
    bool shown = started > 0 && !sl_streq(state, "cached") && !sl_streq(state, "skipped") &&
                 !sl_streq(state, "omitted");
    int64_t took = (ended > 0 ? ended : sl_now_ms()) - started;
    sl_table_cell(t, shown ? sl_duration_format(SL_MAX(took, (int64_t)0), text) : "");
}

/* ---- the question --------------------------------------------------------------------------------- */

/** "2026-11-20", "2026-11-20T10:00:00Z", or a time that has passed since, like 7d. */
static int read_time(struct sl_cmd *c, json_t *args, const char *option)
{
    const char *text = sl_cmd_opt(c, option);
    int64_t ms = 0;
    _cleanup_(free)
    char *key = sl_asprintf("%s_ms", option);
    if (text == NULL) {
        return 0;
    }
    if (sl_duration_parse(text, &ms)) {
        ms = sl_now_ms() - ms;
    } else {
        _cleanup_(free)
        char *day = sl_asprintf("%sT00:00:00Z", text);
        if (!sl_time_parse(text, &ms) && !sl_time_parse(day, &ms)) {
            return sl_err_set(&c->err, SL_EINVAL,
                              "--%s: expected a time span like 12h or 7d, or a date like "
                              "2026-11-20 or 2026-11-20T10:00:00Z, not '%.60s'",
                              option, text);
        }
    }
    sl_json_set_i64(args, key, ms);
    return 0;
}

/** The values of -p, one a line. */
static void set_params(const struct sl_cmd *c, json_t *args)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(65536);
    for (size_t i = 0; i < c->opts->values.n; i++) {
        const struct sl_opt_value *v = &c->opts->values.items[i];
        if (sl_streq(v->opt->name, "param")) {
            sl_buf_puts(&text, text.len > 0 ? "\n" : "");
            sl_buf_puts(&text, v->value);
        }
    }
    sl_json_set_str(args, "param", text.len > 0 ? sl_buf_str(&text) : NULL);
}

/** A filter that was set but is empty would be none at all. */
static int check_empty(struct sl_cmd *c)
{
    for (size_t i = 0; i < c->opts->values.n; i++) {
        const struct sl_opt_value *v = &c->opts->values.items[i];
        if (v->value != NULL && v->value[0] == '\0') {
            return sl_err_set(&c->err, SL_EINVAL, "--%s must not be empty", v->opt->name);
        }
    }
    return 0;
}

static int ask_runs(struct sl_cmd *c, json_t **ret)
{
    static const char *const options[] = {"state", "by",     "model", "metric",
                                          "sort",  "cursor", "limit", "offset"};
    json_auto_t *args = json_object();
    int rc = check_empty(c);
    sl_json_set_str(args, "pipeline", sl_cmd_arg(c, 0));
    if (rc == 0 && sl_cmd_opt(c, "pipeline") != NULL) {
        if (sl_cmd_arg(c, 0) != NULL) {
            return sl_err_set(&c->err, SL_EINVAL, "name the pipeline once");
        }
        sl_ask_option(c, args, "pipeline");
    }
    for (size_t i = 0; i < SL_LEN(options); i++) {
        sl_ask_option(c, args, options[i]);
    }
    set_params(c, args);
    rc = rc < 0 ? rc : read_time(c, args, "since");
    rc = rc < 0 ? rc : read_time(c, args, "until");
    return rc < 0 ? rc : sl_ask(c, "runs.list", json_incref(args), ret);
}

/* ---- the answer ----------------------------------------------------------------------------------- */

static void put_row(const json_t *r, bool metric, struct sl_table *t)
{
    _cleanup_(buf)
    struct sl_buf ago = SL_BUF_INIT(100);
    sl_put_ago(&ago, sl_now_ms(), sl_json_i64(r, "created_ms", 0));
    sl_table_cell(t, sl_json_str(r, "name", ""));
    sl_table_cell(t, sl_json_str(r, "state", ""));
    sl_table_cellf(t, "%lld/%lld", (long long)sl_json_i64(r, "steps_ended", 0),
                   (long long)sl_json_i64(r, "steps", 0));
    sl_table_cellf(t, "%lld", (long long)sl_json_i64(r, "steps_cached", 0));
    sl_duration_cell(t, r);
    sl_table_cell(t, sl_buf_str(&ago));
    sl_table_cell(t, sl_json_str(r, "actor", ""));
    sl_table_cellf(t, "%.8s", sl_json_str(r, "id", ""));
    if (metric) {
        sl_table_cellf(t, "%.6g", sl_json_num(r, "metric", 0));
    }
}

/** The metric's name as a head that is aligned to the right. */
static const char *metric_head(struct sl_cmd *c)
{
    const char *text = sl_cmd_opt(c, "metric");
    return text == NULL ? NULL
                        : sl_arena_printf(&c->arena, ">%.*s", (int)strcspn(text, "<>= "), text);
}

int sl_cmd_runs(struct sl_cmd *c)
{
    const char *metric = metric_head(c);
    const char *const heads[] = {"RUN",     "STATE", "STEPS", "CACHED", ">TIME",
                                 "STARTED", "BY",    "ID",    metric,   NULL};
    json_auto_t *answer = NULL;
    struct sl_table t;
    struct sl_buf out = SL_BUF_INIT((size_t)8 << 20);
    int rc = ask_runs(c, &answer);
    if (rc < 0) {
        int status = sl_cmd_fail(c);
        return rc == -SL_ENOTFOUND && c->data_path != NULL ? SL_EXIT_FAILED : status;
    }
    size_t i = 0;
    json_t *r = NULL;
    sl_table_init(&t, heads);
    json_array_foreach (json_object_get(answer, "runs"), i, r) {
        put_row(r, metric != NULL, &t);
    }
    if (answer != NULL && t.cells.n == 0) {
        sl_buf_puts(&out, c->opts->values.n > 0 ? "no runs that match\n" : "no runs\n");
    } else if (answer != NULL) {
        sl_table_print(&t, c->color, &out);
        if (sl_json_bool(answer, "more", false)) {
            sl_buf_printf(&out, "next page: the same with --cursor %s\n",
                          sl_json_str(answer, "next", ""));
        }
    }
    return sl_cmd_print(&out);
}
