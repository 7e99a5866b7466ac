/**
 * Rows of delimited text into column vectors.
 *
 * Numbers are read where they stand; only what the fast path does not take goes through a field.
 * A row is tried on what the window holds and tried again, from its first byte, when that ended.
 *
 * Thread: the table's. Must not: keep pointers into the window across a fill.
 */
#include "core/base/base.h"

#include "core/table/csv_priv.h"

#include <stdio.h>
#include <string.h>

enum row_result { ROW_OK, ROW_BLANK, ROW_MORE, ROW_BAD, ROW_ERROR };

/** One attempt at a row. */
struct attempt {
    struct sl_table *t;
    struct csv *c;
    const char *p, *end;
    size_t n; /* row of the vectors */
    uint64_t newlines;
    const char *reason, *column;
    char text[160]; /* of the reason */
    struct sl_err *err;
};

int csv_fill(struct sl_table *t, struct csv *c, struct sl_err *err)
{
    size_t kept = c->end - c->begin;
    if (c->eof) {
        return 0;
    }
    if (kept >= SL_TABLE_ROW_BYTES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: a row is longer than 16 MiB", t->source.name);
    }
    size_t room = SL_MAX((size_t)CSV_WINDOW_BYTES, c->window.cap - SL_MIN(c->window.cap, CSV_PAD));
    room = kept > room / 2 ? SL_MIN(kept * 2, (size_t)SL_TABLE_ROW_BYTES_MAX) : room;
    if (c->begin > 0 && kept > 0) {
        memmove(c->window.ptr, (char *)c->window.ptr + c->begin, kept);
    }
    c->base += c->begin;
    c->begin = 0;
    c->end = kept;
    int rc = table_mem_grow(t, &c->window, room + CSV_PAD, err);
    if (rc != 0) {
        return rc;
    }
    char *window = c->window.ptr;
    uint64_t left = c->limit - (c->base + kept);
    size_t want = (size_t)SL_MIN((uint64_t)(room - kept), left);
    rc = table_read(t, c->base + kept, window + kept, want, err);
    if (rc != 0) {
        return rc;
    }
    c->end = kept + want;
    c->eof = want == left;
    if (c->eof && c->end > 0 && window[c->end - 1] != '\n') {
        window[c->end++] = '\n'; /* the pad has room for it */
        c->virtual_newline = true;
    }
    memset(window + c->end, 0, CSV_PAD - 1);
    return 0;
}

void csv_seek(struct csv *c, uint64_t offset, uint64_t limit)
{
    c->base = offset;
    c->limit = limit;
    c->begin = c->end = 0;
    c->eof = false;
    c->virtual_newline = false;
}

static enum row_result bad(struct attempt *a, int32_t slot, const char *reason)
{
    a->reason = reason;
    a->column = slot >= 0 ? a->t->fields[slot].name : NULL;
    return ROW_BAD;
}

/** "'abc' is not int64" with where the type came from. */
static enum row_result bad_value(struct attempt *a, int32_t slot, const char *text, size_t len)
{
    const struct sl_table_field *f = &a->t->fields[slot];
    char shown[49];
    size_t n = SL_MIN(len, sizeof(shown) - 1);
    for (size_t i = 0; i < n; i++) {
        shown[i] = (unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x7f ? '?' : text[i];
    }
    shown[n] = '\0';
    (void)snprintf(a->text, sizeof(a->text), "\"%s%s\" is not %s (%s)", shown, n < len ? "..." : "",
                   sl_table_type_name(f->type),
                   f->inferred ? "the type of the first rows" : "the type that was stated");
    return bad(a, slot, a->text);
}

/** NUL and invalid UTF-8 are looked for where the text is kept. */
static const char *text_fault(const char *text, size_t len)
{
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, text + i, 8);
        /* some byte zero (Mycroft), or above 0x7f */
        if ((((word - 0x0101010101010101u) & ~word) | word) & 0x8080808080808080u) {
            break;
        }
    }
    if (memchr(text + i, '\0', len - i) != NULL) {
        return "a NUL byte";
    }
    return sl_utf8_check(text + i, len - i) != len - i ? "bytes that are not UTF-8" : NULL;
}

static enum row_result store(struct attempt *a, int32_t slot, struct csv_field *f)
{
    struct sl_table *t = a->t;
    struct sl_table_field *field = &t->fields[slot];
    struct table_vector *v = &t->vectors[slot];
    if (f->reason != NULL) {
        return bad(a, slot, f->reason);
    }
    if (f->escaped && csv_unescape(t, a->c, f, a->err) != 0) {
        return ROW_ERROR;
    }
    const char *text = f->ptr;
    size_t len = f->len;
    bool is_string = field->type == SL_TABLE_STRING;
    if (!is_string) {
        for (; len > 0 && (*text == ' ' || *text == '\t'); text++) {
            len--;
        }
        for (; len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t');) {
            len--;
        }
    }
    v->valid[a->n] = !table_is_null(t, text, len, is_string, f->quoted);
    if (v->valid[a->n] == 0) {
        memset((char *)v->values + a->n * table_type_bytes(field->type), 0,
               is_string ? 0 : table_type_bytes(field->type));
        return ROW_OK;
    }
    if (is_string) {
        const char *fault = text_fault(text, len);
        if (fault != NULL) {
            return bad(a, slot, fault);
        }
        if (table_bytes_reserve(t, v, len, a->err) != 0) {
            return ROW_ERROR;
        }
    }
    return table_store_text(field, v, a->n, text, len) ? ROW_OK : bad_value(a, slot, text, len);
}

/** Reads a plain number in place. True when it was one, up to the end of its field. */
static inline bool fast_number(struct attempt *a, int32_t slot)
{
    struct table_vector *v = &a->t->vectors[slot];
    const char *next = NULL;
    if (a->t->fields[slot].type == SL_TABLE_FLOAT64) {
        next = table_fast_float(a->p, (double *)v->values + a->n);
    } else if (a->t->fields[slot].type == SL_TABLE_INT64) {
        next = table_fast_int(a->p, (int64_t *)v->values + a->n);
    }
    if (next == NULL || next >= a->end || (*next != a->c->delim && !csv_at_newline(next, a->end))) {
        return false;
    }
    v->valid[a->n] = 1;
    a->p = next;
    return true;
}

/** One column of the row, up to the delimiter or newline behind it. */
static enum row_result read_column(struct attempt *a, int32_t slot)
{
    if (slot >= 0 && !a->c->numbers_are_null && fast_number(a, slot)) {
        return ROW_OK;
    }
    struct csv_field f;
    if (!csv_field(a->p, a->end, a->c->delim, &f)) {
        return ROW_MORE;
    }
    if (*f.next == '\r' && f.next + 1 >= a->end) {
        return ROW_MORE;
    }
    a->newlines += f.newlines;
    a->p = f.next;
    if (slot < 0) {
        return f.reason != NULL ? bad(a, -1, f.reason) : ROW_OK;
    }
    return store(a, slot, &f);
}

static enum row_result read_row(struct attempt *a)
{
    struct csv *c = a->c;
    if (a->p >= a->end) {
        return ROW_MORE;
    }
    if (c->n_slots > 1 && csv_at_newline(a->p, a->end)) {
        a->p += *a->p == '\r' ? 2 : 1;
        return ROW_BLANK;
    }
    for (size_t i = 0;; i++) {
        enum row_result r = read_column(a, c->slots[i]);
        if (r != ROW_OK) {
            return r;
        }
        bool more = *a->p == c->delim;
        if (more && i + 1 < c->n_slots) {
            a->p++;
            continue;
        }
        if (more || i + 1 < c->n_slots) {
            (void)snprintf(a->text, sizeof(a->text), "%s %zu fields, the header has %zu",
                           more ? "more than" : "only", i + 1, c->n_slots);
            return bad(a, -1, a->text);
        }
        a->p += *a->p == '\r' ? 2 : 1;
        return ROW_OK;
    }
}

/** Keeps the first bytes of a bad row, which may run through many windows. */
static int keep_head(struct sl_table *t, struct csv *c, const char *p, size_t len, size_t *n,
                     struct sl_err *err)
{
    size_t take = SL_MIN(len, SL_TABLE_BAD_BYTES_MAX - *n);
    int rc = table_mem_grow(t, &c->scratch, SL_TABLE_BAD_BYTES_MAX, err);
    if (rc == 0) {
        memcpy((char *)c->scratch.ptr + *n, p, take);
        *n += take;
    }
    return rc;
}

/** Consumes the bad row at `begin`, as the automaton sees it, and reports it. */
static int pass_bad(struct sl_table *t, struct csv *c, const char *column, const char *reason,
                    struct sl_err *err)
{
    struct sl_table_bad b = {.row = c->row,
                             .line = c->line,
                             .offset = c->base + c->begin,
                             .column = column,
                             .reason = reason};
    struct csv_scan s = {.state = CSV_START, .delim = c->delim};
    size_t n = 0;
    for (;;) {
        const char *window = c->window.ptr;
        const char *p = window + c->begin;
        const char *behind = csv_scan_row(&s, p, window + c->end);
        const char *stop = behind != NULL ? behind : window + c->end;
        int rc = keep_head(t, c, p, (size_t)(stop - p), &n, err);
        if (rc != 0) {
            return rc;
        }
        c->begin = (size_t)(stop - window);
        if (behind != NULL || c->eof) {
            n -= c->virtual_newline && c->begin == c->end && n > 0 && n < SL_TABLE_BAD_BYTES_MAX;
            break;
        }
        rc = csv_fill(t, c, err);
        if (rc != 0) {
            return rc;
        }
    }
    b.bytes = c->scratch.ptr;
    b.n_bytes = n;
    c->row++;
    c->line += s.newlines;
    return table_bad_row(t, &b, err);
}

/** What stands in front of the first row wanted is only counted. */
static int skip_rows(struct sl_table *t, struct csv *c, struct sl_err *err)
{
    struct csv_scan s = {.state = CSV_START, .delim = c->delim};
    while (c->row < t->row_begin && !(c->eof && c->begin == c->end)) {
        const char *window = c->window.ptr;
        const char *p = window + c->begin;
        bool was_inside = s.inside;
        const char *behind = c->begin < c->end ? csv_scan_row(&s, p, window + c->end) : NULL;
        if (behind == NULL) {
            c->begin = c->end - csv_scan_keep(&s, p, window + c->end, was_inside);
            int rc = csv_fill(t, c, err);
            if (rc != 0) {
                return rc;
            }
            continue;
        }
        bool blank = !was_inside && c->n_slots > 1 && csv_at_newline(p, window + c->end);
        c->row += !blank;
        c->line += s.newlines;
        s.newlines = 0;
        c->begin = (size_t)(behind - window);
    }
    return 0;
}

/** Forgets string bytes of a row that did not come to its end. */
static void roll_back(struct sl_table *t, size_t n)
{
    const struct csv *c = t->reader;
    for (size_t i = 0; i < c->n_strings; i++) {
        struct table_vector *v = &t->vectors[c->strings[i]];
        v->n_bytes = ((uint32_t *)v->values)[n];
    }
}

/** Closes row `n`. Returns the bytes of text in the batch. */
static size_t close_row(struct sl_table *t, size_t n)
{
    size_t bytes = 0;
    const struct csv *c = t->reader;
    for (size_t i = 0; i < c->n_strings; i++) {
        struct table_vector *v = &t->vectors[c->strings[i]];
        ((uint32_t *)v->values)[n + 1] = (uint32_t)v->n_bytes;
        bytes += v->n_bytes;
    }
    return bytes;
}

static int more(struct sl_table *t, struct csv *c, struct sl_err *err)
{
    if (c->eof) {
        return pass_bad(t, c, NULL, "a quote is opened and never closed", err);
    }
    if (c->end - c->begin >= SL_TABLE_ROW_BYTES_MAX) {
        return pass_bad(t, c, NULL, "the row is longer than 16 MiB", err);
    }
    return csv_fill(t, c, err);
}

int csv_next(struct sl_table *t, struct sl_err *err)
{
    struct csv *c = t->reader;
    int rc = skip_rows(t, c, err);
    size_t bytes = 0;
    while (rc == 0 && t->n_rows < t->batch_rows && c->row < t->row_end &&
           bytes <= t->batch_bytes_max && !(c->eof && c->begin == c->end)) {
        const char *window = c->window.ptr;
        struct attempt a = {.t = t, .c = c, .n = t->n_rows, .err = err};
        a.p = window + c->begin;
        a.end = window + c->end;
        switch (read_row(&a)) {
        case ROW_OK:
            t->rows[t->n_rows] = c->row++;
            bytes = close_row(t, t->n_rows++);
            c->line += 1 + a.newlines;
            c->begin = (size_t)(a.p - window);
            break;
        case ROW_BLANK:
            c->line++;
            c->begin = (size_t)(a.p - window);
            break;
        case ROW_MORE:
            roll_back(t, t->n_rows);
            rc = more(t, c, err);
            break;
        case ROW_BAD:
            roll_back(t, t->n_rows);
            rc = pass_bad(t, c, a.column, a.reason, err);
            break;
        case ROW_ERROR: rc = -err->code; break;
        }
    }
    return rc;
}
