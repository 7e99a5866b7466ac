/**
 * A run's steps as bars in time: when they waited and when they ran. Instances of a matrix are one row.
 *
 * Pure. Thread: any.
 */
#ifndef SL_GANTT_H
#define SL_GANTT_H

#include "core/base/json.h"

#define SL_GANTT_ROWS_MAX  200 /* rows; further ones are counted */
#define SL_GANTT_WIDTH_MIN 40  /* columns; narrower terminals get lines that wrap */
#define SL_GANTT_WIDTH_MAX 500

struct sl_gantt_opts {
    int64_t now_ms; /* where bars of what runs end */
    size_t width;   /* columns of the terminal */
    bool blocks;    /* block characters; else plain ASCII */
    bool color;
};

/** Appends the chart of a run (of runs.show, with attempts). Steps that did not run are counted below it. */
void sl_gantt_print(const json_t *run, const struct sl_gantt_opts *opts, struct sl_buf *out);

#endif
