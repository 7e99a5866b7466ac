/**
 * Cutting what a step has written so far into lines. A line without its newline stays for the next chunk.
 *
 * Pure. Thread: any.
 */
#include "core/base/base.h"

#include "core/track/metrics.h"

#include <stdlib.h>
#include <string.h>

struct gathering {
    SL_VEC(struct sl_point) points;
    struct sl_metrics_chunk *ret;
    struct sl_arena *arena;
    int64_t first_line;
};

static void take_line(struct gathering *g, const char *text, size_t len, size_t consumed)
{
    struct sl_points points = {0};
    struct sl_err err = SL_ERR_INIT;
    int64_t line_no = g->first_line + g->ret->n_lines;
    if (sl_metrics_parse_line(text, len, line_no, g->arena, &points, &err) < 0) {
        if (g->ret->n_bad == 0) {
            g->ret->first_bad = err;
        }
        g->ret->n_bad++;
    }
    for (size_t i = 0; i < points.n; i++) {
        sl_vec_push(&g->points, points.items[i]);
    }
    g->ret->n_lines++;
    g->ret->consumed += consumed;
}

void sl_metrics_parse_chunk(const struct sl_metrics_input *in, struct sl_arena *arena,
                            struct sl_metrics_chunk *ret)
{
    *ret = (struct sl_metrics_chunk){0};
    struct gathering g = {.ret = ret, .arena = arena, .first_line = in->first_line};
    while (ret->consumed < in->len) {
        const char *line = in->text + ret->consumed;
        size_t left = in->len - ret->consumed;
        const char *newline = memchr(line, '\n', left);
        if (newline != NULL) {
            size_t len = (size_t)(newline - line);
            take_line(&g, line, len, len + 1);
        } else if (in->final || left > SL_METRICS_LINE_MAX) {
            take_line(&g, line, left, left);
        } else {
            break;
        }
    }
    if (g.points.n > 0) {
        ret->points.items =
            sl_arena_memdup(arena, g.points.items, g.points.n * sizeof(*g.points.items));
        ret->points.n = g.points.n;
    }
    sl_vec_free(&g.points);
}
