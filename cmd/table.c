/* Aligned tables: see table.h. */
#include "core/base/base.h"

#include "cmd/table.h"

#include <stdlib.h>

#include "core/base/time.h"

void sl_table_init(struct sl_table *t, const char *const *heads)
{
    *t = (struct sl_table){0};
    for (; heads[t->n_columns] != NULL; t->n_columns++) {
        SL_ASSERT(t->n_columns < SL_TABLE_COLUMNS_MAX);
        t->right[t->n_columns] = heads[t->n_columns][0] == '>';
        t->head[t->n_columns] = heads[t->n_columns] + (t->right[t->n_columns] ? 1 : 0);
    }
}

void sl_put_clean(struct sl_buf *out, const char *text)
{
    size_t len = strlen(text);
    size_t i = 0;
    while (i < len) {
        size_t good = sl_utf8_check(text + i, len - i);
        for (size_t end = i + good; i < end; i++) {
            unsigned char c = (unsigned char)text[i];
            if (c < 0x20 || c == 0x7F) {
                sl_buf_printf(out, "\\x%02x", c);
            } else if (c == 0xC2 && i + 1 < end &&
                       (unsigned char)text[i + 1] < 0xA0) { /* C1 controls */
                sl_buf_printf(out, "\\u%04x", (unsigned char)text[++i]);
            } else {
                sl_buf_putc(out, text[i]);
            }
        }
        if (i < len) {
            sl_buf_printf(out, "\\x%02x", (unsigned char)text[i++]);
        }
    }
}

void sl_table_cell(struct sl_table *t, const char *text)
{
    struct sl_buf clean = SL_BUF_INIT((size_t)1 << 20);
    sl_put_clean(&clean, text != NULL ? text : "-");
    size_t len = clean.len;
    if (sl_utf8_width(sl_buf_str(&clean), len) > SL_TABLE_CELL_MAX) {
        len = SL_MIN(len, (size_t)SL_TABLE_CELL_MAX - 3);
        while (len > 0 && sl_utf8_check(clean.ptr, len) != len) {
            len--;
        }
        char *cut = sl_asprintf("%.*s...", (int)len, clean.ptr);
        sl_buf_release(&clean);
        sl_vec_push(&t->cells, cut);
        return;
    }
    sl_vec_push(&t->cells, clean.ptr != NULL ? sl_buf_take(&clean) : sl_strdup(""));
}

void sl_table_cellf(struct sl_table *t, const char *fmt, ...)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT((size_t)1 << 20);
    va_list args;
    va_start(args, fmt);
    sl_buf_vprintf(&text, fmt, args);
    va_end(args);
    sl_table_cell(t, sl_buf_str(&text));
}

static void pad(struct sl_buf *out, size_t n)
{
    while (n-- > 0) {
        sl_buf_putc(out, ' ');
    }
}

/** Takes columns from the widest texts until a line fits. */
static void fit_widths(const struct sl_table *t, size_t *width)
{
    size_t total = 2 * ((size_t)t->n_columns - 1);
    for (int i = 0; i < t->n_columns; i++) {
        total += width[i];
    }
    while (t->fit > 0 && total > t->fit) {
        int widest = -1;
        for (int i = 0; i < t->n_columns; i++) {
            bool may = !t->right[i] && width[i] > SL_TABLE_FIT_MIN;
            widest = may && (widest < 0 || width[i] > width[widest]) ? i : widest;
        }
        if (widest < 0) {
            return; /* it is too narrow for any table */
        }
        width[widest]--;
        total--;
    }
}

static void put_row(const struct sl_table *t, const size_t *width, char *const *cells,
                    struct sl_buf *out)
{
    for (int i = 0; i < t->n_columns; i++) {
        size_t w = sl_utf8_width(cells[i], strlen(cells[i]));
        if (w > width[i]) {
            size_t n = sl_utf8_cut(cells[i], width[i]);
            sl_buf_add(out, cells[i], n);
            sl_buf_puts(out, "…");
            pad(out, i + 1 < t->n_columns ? width[i] - sl_utf8_width(cells[i], n) - 1 + 2 : 0);
            continue;
        }
        size_t gap = width[i] - w;
        pad(out, t->right[i] ? gap : 0);
        sl_buf_puts(out, cells[i]);
        if (i + 1 < t->n_columns) { /* no blanks at the end of a line */
            pad(out, (t->right[i] ? 0 : gap) + 2);
        }
    }
    while (out->len > 0 && out->ptr[out->len - 1] == ' ') { /* empty last cells */
        out->ptr[--out->len] = '\0';
    }
}

void sl_table_print(struct sl_table *t, bool color, struct sl_buf *out)
{
    size_t width[SL_TABLE_COLUMNS_MAX];
    char *heads[SL_TABLE_COLUMNS_MAX];
    size_t n = (size_t)t->n_columns;
    SL_ASSERT(n > 0 && t->cells.n % n == 0);
    for (size_t i = 0; i < n; i++) {
        heads[i] = sl_strdup(t->head[i]);
        width[i] = sl_utf8_width(heads[i], strlen(heads[i]));
    }
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t w = sl_utf8_width(t->cells.items[i], strlen(t->cells.items[i]));
        width[i % n] = SL_MAX(width[i % n], w);
    }
    fit_widths(t, width);
    sl_buf_puts(out, color ? "\033[2m" : "");
    put_row(t, width, heads, out);
    sl_buf_printf(out, "%s\n", SL_COLOR_END(color));
    for (size_t i = 0; i < t->cells.n; i += n) {
        put_row(t, width, &t->cells.items[i], out);
        sl_buf_putc(out, '\n');
    }
    for (size_t i = 0; i < n; i++) {
        free(heads[i]);
    }
    for (size_t i = 0; i < t->cells.n; i++) {
        free(t->cells.items[i]);
    }
    sl_vec_free(&t->cells);
}

const char *sl_state_color(const char *state, bool color)
{
    static const char *const good[] = {"succeeded", "cached", "unchanged", "live", "passed"};
    static const char *const bad[] = {"failed", "refused",        "cancelled",
                                      "lost",   "needs_decision", "waiting"};
    static const char *const busy[] = {"running", "backoff", "cancelling", "queued"};
    for (size_t i = 0; color && i < SL_LEN(good); i++) {
        if (sl_streq(state, good[i])) {
            return "\033[32m";
        }
    }
    for (size_t i = 0; color && i < SL_LEN(bad); i++) {
        if (sl_streq(state, bad[i])) {
            return "\033[31m";
        }
    }
    for (size_t i = 0; color && i < SL_LEN(busy); i++) {
        if (sl_streq(state, busy[i])) {
            return "\033[33m";
        }
    }
    return color ? "\033[2m" : "";
}

void sl_put_ago(struct sl_buf *out, int64_t now_ms, int64_t ms)
{
    char text[SL_TIME_TEXT];
    if (ms <= 0) {
        sl_buf_putc(out, '-');
        return;
    }
    if (now_ms - ms < 1000) {
        sl_buf_puts(out, "just now");
        return;
    }
    sl_buf_printf(out, "%s ago",
                  sl_duration_format(SL_MAX(now_ms - ms, (int64_t)0) / 1000 * 1000, text));
}

void sl_put_reason(struct sl_buf *out, const char *state, const char *reason, int64_t now_ms)
{
    static const char same[] = "same command, code, inputs and environment as run ";
    const char *run = reason + sizeof(same) - 1;
    const char *time = NULL;
    int64_t ms = 0;
    if (!sl_streq(state, "cached") || !sl_starts_with(reason, same) ||
        (time = strstr(run, " of ")) == NULL || !sl_time_parse(time + 4, &ms)) {
        sl_put_clean(out, reason);
        return;
    }
    sl_buf_printf(out, "as in run %.*s, ", (int)(time - run), run);
    sl_put_ago(out, now_ms, ms);
}

size_t sl_utf8_cut(const char *text, size_t width)
{
    size_t n = strlen(text);
    if (sl_utf8_width(text, n) <= width) {
        return n;
    }
    while (n > 0 && (sl_utf8_check(text, n) != n || sl_utf8_width(text, n) + 1 > width)) {
        n--;
    }
    return n;
}
