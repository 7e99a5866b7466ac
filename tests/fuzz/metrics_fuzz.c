/**
 * Fuzz target: $SLUICE_METRICS chunks and lines.
 *
 * Beside not crashing: a chunk is consumed without losing or repeating a byte, a point keeps the
 * documented limits, and points of a chunk equal those of its lines parsed one by one.
 */
#include "core/base/base.h"

#include <string.h>

#include "core/base/str.h"
#include "core/track/metrics.h"
#include "tests/support/sl_fuzz.h"

static void check_point(const struct sl_point *p)
{
    size_t len = strlen(p->key);
    SL_ASSERT(len >= 1 && len <= SL_METRICS_KEY_MAX);
    SL_ASSERT(sl_utf8_check(p->key, len) == len);
    SL_ASSERT(p->slice == NULL || (p->slice[0] != '\0' && strlen(p->slice) <= SL_METRICS_KEY_MAX));
    SL_ASSERT(p->dataset == NULL || strlen(p->dataset) <= SL_METRICS_REF_MAX);
    SL_ASSERT(p->model == NULL || strlen(p->model) <= SL_METRICS_REF_MAX);
    SL_ASSERT(!p->has_step || (p->step <= SL_METRICS_STEP_MAX && p->step >= -SL_METRICS_STEP_MAX));
    SL_ASSERT(!p->has_ts || p->ts_ms > -SL_METRICS_STEP_MAX);
}

/* Parses lines one by one, counting points and refusals. */
static void by_line(const struct sl_metrics_input *in, size_t consumed, struct sl_arena *arena,
                    size_t *ret_points, int64_t *ret_bad)
{
    int64_t line_no = in->first_line;
    for (size_t at = 0; at < consumed; line_no++) {
        const char *line = in->text + at;
        const char *newline = memchr(line, '\n', consumed - at);
        size_t len = newline != NULL ? (size_t)(newline - line) : consumed - at;
        struct sl_points points = {0};
        struct sl_err err = SL_ERR_INIT;
        int rc = sl_metrics_parse_line(line, len, line_no, arena, &points, &err);
        SL_ASSERT((rc < 0) == (err.code != 0));
        *ret_bad += rc < 0 ? 1 : 0;
        *ret_points += points.n;
        at += len + (newline != NULL ? 1 : 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int final = 0; final <= 1; final++) {
        struct sl_arena arena;
        sl_arena_init(&arena, 0);
        struct sl_metrics_input in = {
            .text = (const char *)data, .len = size, .first_line = 1, .final = final == 1};
        struct sl_metrics_chunk chunk;
        sl_metrics_parse_chunk(&in, &arena, &chunk);
        SL_ASSERT(chunk.consumed <= size && (final == 0 || chunk.consumed == size));
        SL_ASSERT(chunk.n_bad <= chunk.n_lines);
        SL_ASSERT((chunk.n_bad > 0) == (chunk.first_bad.code != 0));
        for (size_t i = 0; i < chunk.points.n; i++) {
            check_point(&chunk.points.items[i]);
        }
        size_t n_points = 0;
        int64_t n_bad = 0;
        by_line(&in, chunk.consumed, &arena, &n_points, &n_bad);
        SL_ASSERT(n_points == chunk.points.n && n_bad == chunk.n_bad);
        sl_arena_release(&arena);
    }
    return 0;
}
