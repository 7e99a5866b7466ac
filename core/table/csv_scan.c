/**
 * Where fields and rows of delimited text end, and cutting a file at such places.
 *
 * Thread: any. Must not: decide anything about values.
 */
#include "core/base/base.h"

#include "core/table/csv_priv.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/** First of two bytes, or `end`. The 16 bytes behind `end` are readable. */
static const char *find_either(const char *p, const char *end, char a, char b)
{
#ifdef __SSE2__
    const __m128i first = _mm_set1_epi8(a);
    const __m128i second = _mm_set1_epi8(b);
    for (; p < end; p += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(block, first), _mm_cmpeq_epi8(block, second));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);
        if (mask != 0) {
            p += __builtin_ctz(mask);
            return SL_MIN(p, end);
        }
    }
    return end;
#else
    while (p < end && *p != a && *p != b) {
        p++;
    }
    return p;
#endif
}

static uint64_t count_newlines(const char *p, const char *end)
{
    uint64_t n = 0;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        n++;
        p++;
    }
    return n;
}

/** A step from inside quotes: to behind the quote, or NULL when there is none. */
static const char *scan_quoted(struct csv_scan *s, const char *p, const char *end)
{
    const char *quote = memchr(p, '"', (size_t)(end - p));
    s->newlines += count_newlines(p, quote != NULL ? quote : end);
    if (quote == NULL) {
        return NULL;
    }
    s->state = CSV_CLOSED;
    return quote + 1;
}

static const char *scan(struct csv_scan *s, const char *p, const char *end)
{
    if (s->state == CSV_START && p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (newline != NULL && memchr(p, '"', (size_t)(newline - p)) == NULL) {
            s->newlines++;
            return newline + 1;
        }
    }
    while (p < end) {
        if (s->state == CSV_QUOTED) {
            p = scan_quoted(s, p, end);
            if (p == NULL) {
                return NULL;
            }
            continue;
        }
        if (s->state == CSV_PLAIN) {
            p = find_either(p, end, s->delim, '\n');
            if (p == end) {
                return NULL;
            }
        }
        char byte = *p++;
        if (byte == '\n') {
            s->state = CSV_START;
            s->newlines++;
            return p;
        }
        if (byte == s->delim) {
            s->state = CSV_START;
        } else if (byte == '"' && s->state != CSV_PLAIN) {
            s->state = CSV_QUOTED;
        } else {
            s->state = CSV_PLAIN;
        }
    }
    return NULL;
}

const char *csv_scan_row(struct csv_scan *s, const char *p, const char *end)
{
    const char *behind = scan(s, p, end);
    s->inside = behind == NULL && (s->inside || p < end);
    return behind;
}

size_t csv_scan_keep(struct csv_scan *s, const char *p, const char *end, bool was_inside)
{
    if (was_inside || end - p != 1 || *p != '\r') {
        return 0;
    }
    s->state = CSV_START;
    s->inside = false;
    return 1;
}

static bool field_quoted(const char *p, const char *end, char delim, struct csv_field *f)
{
    const char *start = p + 1;
    const char *at = start;
    f->quoted = true;
    for (;;) {
        const char *quote = at < end ? memchr(at, '"', (size_t)(end - at)) : NULL;
        if (quote == NULL || quote + 1 >= end) {
            return false;
        }
        if (quote[1] != '"') {
            f->ptr = start;
            f->len = (size_t)(quote - start);
            f->next = quote + 1;
            break;
        }
        f->escaped = true;
        at = quote + 2;
    }
    f->newlines = count_newlines(start, f->next);
    if (*f->next != delim && !csv_at_newline(f->next, end)) {
        if (*f->next == '\r' && f->next + 1 >= end) {
            return false;
        }
        f->reason = "text follows a closing quote";
    }
    return true;
}

bool csv_field(const char *p, const char *end, char delim, struct csv_field *ret)
{
    *ret = (struct csv_field){.ptr = p};
    if (p >= end) {
        return false;
    }
    if (*p == '"') {
        if (!field_quoted(p, end, delim, ret)) {
            return false;
        }
    } else {
        const char *stop = find_either(p, end, delim, '\n');
        if (stop >= end) {
            return false;
        }
        if (*stop == '\n' && stop > p && stop[-1] == '\r') {
            stop--;
        }
        ret->len = (size_t)(stop - p);
        ret->next = stop;
    }
    if (ret->len > SL_TABLE_FIELD_BYTES_MAX) {
        ret->reason = "a field is longer than 1 MiB";
    }
    return true;
}

int csv_unescape(struct sl_table *t, struct csv *c, struct csv_field *f, struct sl_err *err)
{
    int rc = table_mem_grow(t, &c->scratch, f->len + 1, err);
    if (rc != 0) {
        return rc;
    }
    char *out = c->scratch.ptr;
    size_t n = 0;
    for (const char *p = f->ptr, *end = p + f->len; p < end;) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        size_t len = (size_t)((quote != NULL ? quote + 1 : end) - p); /* one quote of two */
        memcpy(out + n, p, len);
        n += len;
        p += len + (quote != NULL);
    }
    f->ptr = out;
    f->len = n;
    f->escaped = false;
    return 0;
}

/** A row that is only a newline is no row, unless an empty text is what a single column holds. */
static bool is_blank(const struct csv *c, const char *from, const char *to)
{
    size_t len = (size_t)(to - from);
    return c->n_slots > 1 && (len == 1 || (len == 2 && from[0] == '\r'));
}

struct cutter {
    struct sl_table_range *ranges;
    size_t n, wanted;
    uint64_t step, next; /* bytes */
};

/** A row begins here: the place for a cut, if one is due. */
static void cut(struct cutter *k, uint64_t offset, uint64_t row, uint64_t line)
{
    if (offset < k->next || k->n >= k->wanted) {
        return;
    }
    if (k->n > 0) {
        k->ranges[k->n - 1].end = offset;
        k->ranges[k->n - 1].n_rows = row - k->ranges[k->n - 1].first_row;
    }
    k->ranges[k->n++] = (struct sl_table_range){.begin = offset, .line = line, .first_row = row};
    while (k->next <= offset) {
        k->next += k->step;
    }
}

/** Scans what the window holds. */
static void cut_window(struct csv *c, struct csv_scan *s, struct cutter *k, uint64_t *row_begin)
{
    const char *window = c->window.ptr;
    const char *p = window + c->begin;
    const char *end = window + c->end;
    c->begin = c->end;
    while (p < end) {
        bool was_inside = s->inside;
        const char *behind = csv_scan_row(s, p, end);
        if (behind == NULL) {
            c->begin -= csv_scan_keep(s, p, end, was_inside);
            return;
        }
        uint64_t next = c->base + (uint64_t)(behind - window);
        bool whole = *row_begin >= c->base;
        if (!whole || !is_blank(c, window + (*row_begin - c->base), behind)) {
            cut(k, *row_begin, c->row, c->line);
            c->row++;
        }
        c->line += s->newlines;
        s->newlines = 0;
        *row_begin = next;
        p = behind;
    }
}

int csv_split(struct sl_table *t, size_t n, struct sl_table_range *ranges, size_t *ret_n,
              struct sl_err *err)
{
    const struct csv *own = t->reader;
    struct csv c = {.delim = own->delim, .n_slots = own->n_slots};
    csv_seek(&c, own->data_begin, t->source.size);
    c.line = own->data_line;
    struct cutter k = {.ranges = ranges, .wanted = n, .next = own->data_begin};
    k.step = SL_MAX((t->source.size - own->data_begin) / n, (uint64_t)1);
    struct csv_scan s = {.state = CSV_START, .delim = own->delim};
    uint64_t row_begin = own->data_begin;
    int rc = 0;
    while (rc == 0 && !(c.eof && c.begin == c.end)) {
        rc = csv_fill(t, &c, err);
        if (rc == 0) {
            cut_window(&c, &s, &k, &row_begin);
        }
    }
    table_mem_free(t, &c.window);
    if (rc != 0) {
        return rc;
    }
    if (s.inside) { /* a quote that nobody closed: one more, bad row */
        cut(&k, row_begin, c.row, c.line);
        c.row++;
    }
    if (k.n == 0) {
        cut(&k, own->data_begin, 0, own->data_line);
    }
    ranges[k.n - 1].end = t->source.size;
    ranges[k.n - 1].n_rows = c.row - ranges[k.n - 1].first_row;
    *ret_n = k.n;
    return 0;
}
