/* Bars in time: see gantt.h. Pure. */
#include "core/base/base.h"

#include "cmd/gantt.h"

#include <stdlib.h>

#include "cmd/table.h"
#include "core/base/mem.h"
#include "core/base/time.h"

#define NAME_MAX_WIDTH 32
#define TIME_WIDTH     8

/** One row: a step, or all instances of one. */
struct row {
    const char *id;  /* of the written step */
    const char *key; /* of its first instance */
    const char *state;
    size_t n;                  /* instances that ran */
    int64_t from_ms, until_ms; /* of all attempts */
    unsigned char *cells;      /* enum cell, per column of the chart */
};
enum cell { NOTHING, WAITED, RAN };

struct chart {
    const struct sl_gantt_opts *opts;
    const json_t *steps;
    SL_VEC(struct row) rows;
    int64_t from_ms, until_ms;
    size_t name_width, columns;
    size_t n_idle; /* steps without an attempt */
};

static size_t column_of(const struct chart *g, int64_t ms)
{
    int64_t span = SL_MAX(g->until_ms - g->from_ms, (int64_t)1);
    int64_t at = SL_MAX(ms - g->from_ms, (int64_t)0) * (int64_t)g->columns / span;
    return SL_MIN((size_t)at, g->columns - 1);
}

/** What ran hides what waited at the same time. */
static void paint(const struct chart *g, struct row *r, int64_t from, int64_t until, enum cell cell)
{
    for (size_t i = column_of(g, from), end = column_of(g, until); i <= end; i++) {
        r->cells[i] = SL_MAX(r->cells[i], (unsigned char)cell);
    }
}

/** When the last of a step's needs ended: from then on it waited for its turn. */
static int64_t ready_at(const struct chart *g, const json_t *needs)
{
    int64_t at = g->from_ms;
    size_t i = 0;
    json_t *need = NULL;
    json_array_foreach (needs, i, need) {
        const json_t *s = json_array_get(g->steps, (size_t)json_integer_value(need));
        at = SL_MAX(at, sl_json_i64(s, "ended_ms", 0));
    }
    return at;
}

static void worse_state(struct row *r, const char *state)
{
    static const char *const order[] = {"succeeded", "cancelled", "running", "backoff", "failed"};
    size_t old = 0;
    size_t new = 0;
    for (size_t i = 0; i < SL_LEN(order); i++) {
        old = sl_streq(r->state, order[i]) ? i : old;
        new = sl_streq(state, order[i]) ? i : new;
    }
    r->state = new > old ? state : r->state;
}

static void paint_step(const struct chart *g, struct row *r, const json_t *step, int64_t ready)
{
    size_t i = 0;
    json_t *a = NULL;
    int64_t waited_from = ready;
    json_array_foreach (json_object_get(step, "attempt_list"), i, a) {
        int64_t from = sl_json_i64(a, "started_ms", g->until_ms);
        int64_t until = sl_json_i64(a, "ended_ms", g->until_ms);
        if (from > waited_from) {
            paint(g, r, waited_from, from, WAITED);
        }
        paint(g, r, from, until, RAN);
        r->from_ms = r->from_ms == 0 ? from : SL_MIN(r->from_ms, from);
        r->until_ms = SL_MAX(r->until_ms, until);
        waited_from = until;
    }
}

/** Instances follow each other in the plan. */
static struct row *row_of(struct chart *g, const json_t *step)
{
    const char *id = sl_json_str(step, "step", sl_json_str(step, "key", ""));
    for (size_t i = g->rows.n; i > 0 && i + 8 > g->rows.n; i--) {
        if (sl_streq(g->rows.items[i - 1].id, id)) {
            return &g->rows.items[i - 1];
        }
    }
    struct row r = {.id = id,
                    .key = sl_json_str(step, "key", ""),
                    .state = sl_json_str(step, "state", ""),
                    .cells = sl_calloc(g->columns, 1)};
    sl_vec_push(&g->rows, r);
    return &g->rows.items[g->rows.n - 1];
}

static void collect(struct chart *g)
{
    size_t i = 0;
    json_t *step = NULL;
    int64_t ready = g->from_ms;
    json_array_foreach (g->steps, i, step) {
        const json_t *needs = json_object_get(step, "needs");
        ready = needs != NULL ? ready_at(g, needs) : ready; /* instances share them */
        if (json_array_size(json_object_get(step, "attempt_list")) == 0) {
            g->n_idle++;
            continue;
        }
        struct row *r = row_of(g, step);
        r->n++;
        worse_state(r, sl_json_str(step, "state", ""));
        paint_step(g, r, step, ready);
    }
}

static int by_start(const void *a, const void *b)
{
    const struct row *x = a;
    const struct row *y = b;
    int later = (x->from_ms > y->from_ms) - (x->from_ms < y->from_ms);
    return later != 0 ? later : strcmp(x->id, y->id);
}

static void put_cells(const struct chart *g, const struct row *r, struct sl_buf *out)
{
    static const char *const plain[] = {" ", ".", "#"};
    static const char *const blocks[] = {" ", "░", "█"};
    size_t end = g->columns;
    while (end > 0 && r->cells[end - 1] == NOTHING) {
        end--;
    }
    sl_buf_puts(out, sl_state_color(r->state, g->opts->color));
    for (size_t i = 0; i < g->columns; i++) {
        sl_buf_puts(out, (g->opts->blocks ? blocks : plain)[i < end ? r->cells[i] : NOTHING]);
    }
    sl_buf_puts(out, SL_COLOR_END(g->opts->color));
}

static void put_row(const struct chart *g, const struct row *r, struct sl_buf *out)
{
    _cleanup_(buf)
    struct sl_buf name = SL_BUF_INIT(65536);
    char time[SL_TIME_TEXT];
    if (r->n > 1) {
        _cleanup_(free)
        char *count = sl_asprintf(" x%zu", r->n);
        size_t room = g->name_width > strlen(count) ? g->name_width - strlen(count) : 1;
        sl_buf_add(&name, r->id, sl_utf8_cut(r->id, room));
        sl_buf_puts(&name, count);
    } else {
        _cleanup_(buf)
        struct sl_buf clean = SL_BUF_INIT(65536);
        sl_put_clean(&clean, r->key);
        sl_buf_add(&name, sl_buf_str(&clean), sl_utf8_cut(sl_buf_str(&clean), g->name_width));
    }
    size_t width = sl_utf8_width(sl_buf_str(&name), name.len);
    sl_buf_puts(out, sl_buf_str(&name));
    sl_buf_printf(out, "%*s |", (int)(g->name_width - SL_MIN(width, g->name_width)), "");
    put_cells(g, r, out);
    sl_buf_printf(out, "| %*s  %s\n", TIME_WIDTH,
                  sl_duration_format(SL_MAX(r->until_ms - r->from_ms, (int64_t)0), time), r->state);
}

static void put_axis(const struct chart *g, struct sl_buf *out)
{
    char time[SL_TIME_TEXT];
    (void)sl_duration_format(g->until_ms - g->from_ms, time);
    sl_buf_printf(out, "%*s  0%*s\n", (int)g->name_width, "", (int)g->columns - 1, time);
    sl_buf_printf(out, "%s waited  %s ran", g->opts->blocks ? "░" : ".",
                  g->opts->blocks ? "█" : "#");
    if (g->n_idle > 0) {
        sl_buf_printf(out, "; %zu steps without an attempt are left out", g->n_idle);
    }
    sl_buf_putc(out, '\n');
}

static void measure(struct chart *g, const json_t *run)
{
    size_t i = 0;
    json_t *step = NULL;
    size_t width =
        SL_MIN(SL_MAX(g->opts->width, (size_t)SL_GANTT_WIDTH_MIN), (size_t)SL_GANTT_WIDTH_MAX);
    g->from_ms = sl_json_i64(run, "started_ms", sl_json_i64(run, "created_ms", g->opts->now_ms));
    g->until_ms = SL_MAX(sl_json_i64(run, "ended_ms", g->opts->now_ms), g->from_ms);
    json_array_foreach (g->steps, i, step) {
        const char *key = sl_json_str(step, "key", "");
        g->name_width = SL_MAX(g->name_width, sl_utf8_width(key, strlen(key)));
    }
    g->name_width = SL_MIN(g->name_width, SL_MIN((size_t)NAME_MAX_WIDTH, width / 3));
    g->name_width = SL_MAX(g->name_width, (size_t)8);
    size_t rest = g->name_width + TIME_WIDTH + 4 + strlen("  succeeded");
    g->columns = width > rest + 10 ? width - rest : 10;
}

void sl_gantt_print(const json_t *run, const struct sl_gantt_opts *opts, struct sl_buf *out)
{
    struct chart g = {.opts = opts, .steps = json_object_get(run, "steps")};
    measure(&g, run);
    collect(&g);
    if (g.rows.n > 1) {
        qsort(g.rows.items, g.rows.n, sizeof(g.rows.items[0]), by_start);
    }
    for (size_t i = 0; i < g.rows.n; i++) {
        if (i < SL_GANTT_ROWS_MAX) {
            put_row(&g, &g.rows.items[i], out);
        }
        free(g.rows.items[i].cells);
    }
    if (g.rows.n > SL_GANTT_ROWS_MAX) {
        sl_buf_printf(out, "... %zu more rows\n", g.rows.n - SL_GANTT_ROWS_MAX);
    }
    put_axis(&g, out);
    sl_vec_free(&g.rows);
}
