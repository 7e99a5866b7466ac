/**
 * $SLUICE_METRICS: JSON lines written by a step, read while it writes.
 *
 * Long form:  {"key": "auc", "value": 0.9, "step": 3, "ts": 1763632800.5, "slice": "age>65",
 *              "dataset": "heldout", "model": "best"}     ("name" is "key", "timestamp" is "ts")
 * Flat form:  {"step": 1, "loss": 0.3, "auc": 0.9, "slice": "age>65"}    other fields are metrics
 *
 * A line is long when "key" or "name" is a text. Values are JSON numbers, the bare tokens NaN,
 * Infinity, -Infinity (as Python's json prints them), or those tokens as texts. "ts" is Unix time in
 * seconds (milliseconds when 1e11 or more) or RFC 3339 text. A missing step counts up per series.
 *
 * Pure: no clock, no I/O. Thread: any.
 */
#ifndef SL_TRACK_METRICS_H
#define SL_TRACK_METRICS_H

#include "core/base/err.h"
#include "core/base/mem.h"

#define SL_METRICS_LINE_MAX (64 << 10) /* bytes without the newline */
#define SL_METRICS_KEY_MAX  250        /* bytes of a key or slice */
#define SL_METRICS_REF_MAX  500        /* bytes of a dataset or model */
#define SL_METRICS_KEYS_MAX 1000       /* metrics per line */
#define SL_METRICS_STEP_MAX (INT64_C(1) << 53)

struct sl_point {
    const char *key;
    const char *slice, *dataset, *model; /* NULL when not named */
    double value;                        /* NaN and infinities are values */
    int64_t step;                        /* used when has_step, else counted up */
    int64_t ts_ms;                       /* used when has_ts */
    bool has_step, has_ts;
};

struct sl_points {
    struct sl_point *items; /* in the arena given, with all texts */
    size_t n;
};

/**
 * Parses one line (no newline inside; a trailing CR is ignored; a blank line gives no point).
 *
 * @param line_no  counted from 1, for messages: "line 7: ..."
 * @return         0; -SL_EINVAL with line and column, -SL_ELIMIT
 */
int sl_metrics_parse_line(const char *text, size_t len, int64_t line_no, struct sl_arena *arena,
                          struct sl_points *ret, struct sl_err *err) SL_MUST_CHECK;

/** What a chunk of the file held. */
struct sl_metrics_chunk {
    struct sl_points points;
    size_t consumed; /* bytes of whole lines, bad ones included: the file offset moves by this */
    int64_t n_lines; /* lines consumed */
    int64_t n_bad;   /* lines that were refused */
    struct sl_err first_bad;
};

struct sl_metrics_input {
    const char *text;
    size_t len;
    int64_t first_line; /* number of the first line in text, from 1 */
    bool final;         /* the writer has ended: a last line without newline counts */
};

/** Parses all whole lines of a chunk. When it is longer than SL_METRICS_LINE_MAX and holds no
 * newline, all of it is consumed as a bad line. Never fails: bad lines are counted, the first is
 * kept. */
void sl_metrics_parse_chunk(const struct sl_metrics_input *in, struct sl_arena *arena,
                            struct sl_metrics_chunk *ret);

#endif
