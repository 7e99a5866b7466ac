/**
 * Diagnostics: collecting, sorting, and drawing the caret.
 *
 * Thread: one per collection. Must not: print control characters of the source as they are.
 */
#include "core/base/base.h"

#include "core/base/diag.h"

#include <stdio.h>
#include <stdlib.h>

#define SOURCE_COLUMNS 96 /* of a source line around the caret */
#define MESSAGE_BYTES  4096

void sl_diags_init(struct sl_diags *d, struct sl_arena *arena)
{
    *d = (struct sl_diags){.arena = arena};
}

void sl_diags_release(struct sl_diags *d)
{
    sl_vec_free(&d->list);
    d->n_errors = d->n_warnings = 0;
}

/** Line number `line` (from 1) of a text, without its end. Empty and false when there is none. */
static bool cut_line(struct sl_str text, int line, struct sl_str *ret)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    for (int i = 1; i < line; i++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (newline == NULL) {
            return false;
        }
        p = newline + 1;
    }
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    size_t len = (size_t)((newline != NULL ? newline : end) - p);
    if (len > 0 && p[len - 1] == '\r') {
        len--;
    }
    *ret = (struct sl_str){p, len};
    return true;
}

void sl_diag_add(struct sl_diags *d, enum sl_severity severity, struct sl_loc loc,
                 struct sl_str source_text, const char *hint, const char *fmt, ...)
{
    if (severity == SL_SEV_ERROR) {
        d->n_errors++;
    } else {
        d->n_warnings++;
    }
    if (d->list.n >= SL_DIAGS_MAX) {
        return;
    }
    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    struct sl_diag diag = {.severity = severity, .loc = loc};
    diag.message = sl_arena_strdup(d->arena, message);
    diag.loc.file = sl_arena_strdup(d->arena, loc.file);
    diag.hint = sl_arena_strdup(d->arena, hint);
    struct sl_str line;
    if (source_text.ptr != NULL && loc.line > 0 && cut_line(source_text, loc.line, &line)) {
        diag.source = sl_arena_strndup(d->arena, line.ptr, line.len);
    }
    sl_vec_push(&d->list, diag);
}

static bool same_file(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && sl_streq(a, b));
}

/** Position of the first diagnostic about the same file. */
static size_t file_rank(const struct sl_diag *list, size_t n, const char *file)
{
    size_t i = 0;
    while (i < n && !same_file(list[i].loc.file, file)) {
        i++;
    }
    return i;
}

void sl_diags_sort(struct sl_diags *d)
{
    size_t n = d->list.n;
    size_t rank[SL_DIAGS_MAX];
    for (size_t i = 0; i < n; i++) {
        rank[i] = file_rank(d->list.items, n, d->list.items[i].loc.file);
    }
    for (size_t i = 1; i < n; i++) { /* insertion sort: stable, and n is at most 100 */
        struct sl_diag diag = d->list.items[i];
        size_t r = rank[i], j = i;
        for (; j > 0; j--) {
            const struct sl_loc *before = &d->list.items[j - 1].loc;
            bool in_order = rank[j - 1] != r                ? rank[j - 1] < r
                            : before->line != diag.loc.line ? before->line < diag.loc.line
                                                            : before->column <= diag.loc.column;
            if (in_order) {
                break;
            }
            d->list.items[j] = d->list.items[j - 1];
            rank[j] = rank[j - 1];
        }
        d->list.items[j] = diag;
        rank[j] = r;
    }
}

/** Length in bytes of the character at p: a UTF-8 sequence, or one bad byte. */
static size_t char_len(const char *p, size_t len)
{
    for (size_t n = 1; n <= 4 && n <= len; n++) {
        if (sl_utf8_check(p, n) == n) {
            return n;
        }
    }
    return 1;
}

/** One character as the terminal may show it: tabs as a space, controls and bad bytes escaped. */
static void add_char(struct sl_buf *out, const char *p, size_t n)
{
    unsigned char c = (unsigned char)p[0];
    bool is_c1 = n == 2 && c == 0xC2 && (unsigned char)p[1] < 0xA0;
    if (c == '\t') {
        sl_buf_putc(out, ' ');
    } else if (n == 1 && (c < 0x20 || c >= 0x7F)) {
        sl_buf_printf(out, "\\x%02x", (unsigned)c);
    } else if (is_c1) {
        sl_buf_printf(out, "\\u%04x", (unsigned)(unsigned char)p[1]);
    } else {
        sl_buf_add(out, p, n);
    }
}

static void add_safe(struct sl_buf *out, const char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        size_t n = char_len(text + at, len - at);
        add_char(out, text + at, n);
        at += n;
    }
}

/** A source line split around its caret; widths are terminal columns. */
struct drawing {
    struct sl_buf text;
    size_t before, under; /* columns left of the mark, and under it */
    bool cut_left, cut_right;
};

/** Draws the characters from `first` on; those in [caret, caret + width) are to be underlined. */
static void draw(struct drawing *g, const char *line, size_t first, size_t caret, size_t width)
{
    size_t len = strlen(line), index = 0, shown = 0;
    g->cut_left = first > 0;
    if (g->cut_left) {
        sl_buf_puts(&g->text, "...");
        g->before = 3;
    }
    for (size_t at = 0; at < len; index++) {
        size_t n = char_len(line + at, len - at);
        if (index >= first) {
            size_t from = g->text.len;
            add_char(&g->text, line + at, n);
            size_t columns = sl_utf8_width(g->text.ptr + from, g->text.len - from);
            shown += columns;
            g->before += index < caret ? columns : 0;
            g->under += index >= caret && index < caret + width ? columns : 0;
        }
        at += n;
        if (shown >= SOURCE_COLUMNS && at < len) {
            sl_buf_puts(&g->text, "...");
            g->cut_right = true;
            break;
        }
    }
}

static void print_source(const struct sl_diag *diag, bool color, struct sl_buf *out)
{
    size_t caret = diag->loc.column > 0 ? (size_t)diag->loc.column - 1 : 0;
    size_t width = diag->loc.width > 0 ? (size_t)diag->loc.width : 1;
    struct drawing g = {.text = SL_BUF_INIT(1u << 20)};
    size_t lead = SOURCE_COLUMNS / 2;
    bool fits = sl_utf8_width(diag->source, strlen(diag->source)) <= SOURCE_COLUMNS;
    draw(&g, diag->source, fits || caret <= lead ? 0 : caret - lead, caret, width);
    sl_buf_printf(out, "    %s\n", sl_buf_str(&g.text));
    if (diag->loc.column > 0) {
        sl_buf_printf(out, "    %*s%s^", (int)g.before, "", color ? "\033[1;32m" : "");
        for (size_t i = 1; i < g.under; i++) {
            sl_buf_putc(out, '~');
        }
        sl_buf_puts(out, color ? "\033[0m\n" : "\n");
    }
    sl_buf_release(&g.text);
}

static void print_hint(const char *hint, struct sl_buf *out)
{
    for (const char *p = hint; *p != '\0';) {
        size_t len = strcspn(p, "\n");
        sl_buf_puts(out, "  ");
        for (size_t at = 0; at < len;) {
            size_t n = char_len(p + at, len - at);
            add_char(out, p + at, n);
            at += n;
        }
        sl_buf_putc(out, '\n');
        p += len + (p[len] == '\n' ? 1 : 0);
    }
}

static void print_one(const struct sl_diag *diag, bool color, struct sl_buf *out)
{
    bool error = diag->severity == SL_SEV_ERROR;
    sl_buf_puts(out, color ? "\033[1m" : "");
    if (diag->loc.file != NULL) {
        add_safe(out, diag->loc.file);
        if (diag->loc.line > 0) {
            sl_buf_printf(out, ":%d", diag->loc.line);
        }
        if (diag->loc.line > 0 && diag->loc.column > 0) {
            sl_buf_printf(out, ":%d", diag->loc.column);
        }
        sl_buf_puts(out, ": ");
    }
    sl_buf_puts(out, !color ? "" : error ? "\033[31m" : "\033[35m");
    sl_buf_puts(out, error ? "error: " : "warning: ");
    sl_buf_puts(out, color ? "\033[0m\033[1m" : "");
    add_safe(out, diag->message);
    sl_buf_puts(out, color ? "\033[0m\n" : "\n");
    if (diag->source != NULL && diag->source[0] != '\0') {
        print_source(diag, color, out);
    }
    if (diag->hint != NULL) {
        print_hint(diag->hint, out);
    }
}

void sl_diags_print(const struct sl_diags *d, bool color, struct sl_buf *out)
{
    for (size_t i = 0; i < d->list.n; i++) {
        print_one(&d->list.items[i], color, out);
    }
    size_t total = d->n_errors + d->n_warnings;
    if (total > d->list.n) {
        sl_buf_printf(out, "%zu more not shown\n", total - d->list.n);
    }
}

json_t *sl_diags_json(const struct sl_diags *d)
{
    json_t *array = json_array();
    for (size_t i = 0; i < d->list.n; i++) {
        const struct sl_diag *diag = &d->list.items[i];
        json_t *object = json_object();
        sl_json_set_str(object, "severity", diag->severity == SL_SEV_ERROR ? "error" : "warning");
        sl_json_set_str(object, "file", diag->loc.file);
        sl_json_set_i64(object, "line", diag->loc.line);
        sl_json_set_i64(object, "column", diag->loc.column);
        sl_json_set_str(object, "message", diag->message);
        sl_json_set_str(object, "hint", diag->hint);
        json_array_append_new(array, object);
    }
    return array;
}
