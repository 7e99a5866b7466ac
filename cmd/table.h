/**
 * Aligned text for terminals: tables with widths in columns, control characters made visible.
 *
 * Pure. Thread: one at a time.
 */
#ifndef SL_TABLE_H
#define SL_TABLE_H

#include "core/base/mem.h"
#include "core/base/str.h"

#define SL_TABLE_COLUMNS_MAX 16
#define SL_TABLE_FIT_MIN     12  /* no column is cut further than that */
#define SL_TABLE_CELL_MAX    200 /* columns shown of one cell; the rest is cut with "..." */

struct sl_table {
    int n_columns;
    const char *head[SL_TABLE_COLUMNS_MAX];
    bool right[SL_TABLE_COLUMNS_MAX]; /* numbers */
    size_t fit; /* columns that a line may take, 0 any: the widest texts are cut */
    SL_VEC(char *) cells;
};

/** Heads end with NULL; one that begins with '>' is aligned to the right. */
void sl_table_init(struct sl_table *t, const char *const *heads);
/** Adds a cell; rows fill from left to right. NULL is shown as "-". */
void sl_table_cell(struct sl_table *t, const char *text);
void sl_table_cellf(struct sl_table *t, const char *fmt, ...) SL_PRINTF(2, 3);
/** Prints heads (dimmed with `color`) and rows, and frees the cells. The last row must be full. */
void sl_table_print(struct sl_table *t, bool color, struct sl_buf *out);

/** Appends text with control characters and broken UTF-8 as \xHH. */
void sl_put_clean(struct sl_buf *out, const char *text);
/** ANSI colour of a state's name: good green, bad red, live yellow, else dim. "" without colour. */
const char *sl_state_color(const char *state, bool color);
#define SL_COLOR_END(color) ((color) ? "\033[0m" : "")
/** The reason of a step's state for a list: that of a cached one shortened to "as in run #1, 3m ago". */
void sl_put_reason(struct sl_buf *out, const char *state, const char *reason, int64_t now_ms);
/** Bytes of valid UTF-8 `text` to print before an ellipsis within `width` columns; all when it fits. */
size_t sl_utf8_cut(const char *text, size_t width);
/** "3m ago", "2h ago", "just now" within a second, or "-" for 0. */
void sl_put_ago(struct sl_buf *out, int64_t now_ms, int64_t ms);

#endif
