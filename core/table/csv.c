/**
 * Delimited text: opening, the delimiter, the header, the types.
 *
 * Thread: the table's. Must not: read more than the first window to learn the schema.
 */
#include "core/base/base.h"

#include "core/table/csv_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNIFF_ROWS 50

/** The scan's rows within the window from `begin` on: each one's fields counted. */
static size_t count_fields(const char *p, const char *end, char delim)
{
    size_t n = 0;
    struct csv_field f;
    while (csv_field(p, end, delim, &f)) {
        n++;
        p = f.next;
        while (*p != delim && *p != '\n') {
            p++; /* behind a closing quote */
        }
        if (*p == '\n') {
            return n;
        }
        p++;
    }
    return 0;
}

/** How well a delimiter cuts the first rows into as many fields each; 0 when it does not. */
static uint64_t delimiter_score(const struct csv *c, char delim)
{
    struct csv_scan s = {.state = CSV_START, .delim = delim};
    const char *p = (const char *)c->window.ptr + c->begin;
    const char *end = (const char *)c->window.ptr + c->end;
    size_t first = 0;
    uint64_t alike = 0;
    for (int i = 0; i < SNIFF_ROWS && p < end; i++) {
        const char *behind = csv_scan_row(&s, p, end);
        if (behind == NULL) {
            break;
        }
        size_t n =
            behind - p > 2 || (*p != '\n' && *p != '\r') ? count_fields(p, behind, delim) : 0;
        first = first == 0 ? n : first;
        alike += n > 0 && n == first;
        p = behind;
    }
    return first > 1 ? alike * 1000 + SL_MIN(first, (size_t)999) : 0;
}

static void sniff(struct csv *c)
{
    static const char candidates[] = {',', '\t', ';', '|'};
    uint64_t best = 0;
    c->delim = ',';
    for (size_t i = 0; i < sizeof(candidates); i++) {
        uint64_t score = delimiter_score(c, candidates[i]);
        if (score > best) {
            best = score;
            c->delim = candidates[i];
        }
    }
}

static int check_encoding(struct sl_table *t, struct csv *c, struct sl_err *err)
{
    const char *w = c->window.ptr;
    if (c->end >= 2 && (memcmp(w, "\xff\xfe", 2) == 0 || memcmp(w, "\xfe\xff", 2) == 0)) {
        return sl_err_set(err, SL_EUNSUPPORTED, "%s: is UTF-16; convert it to UTF-8",
                          t->source.name);
    }
    if (c->end >= 3 && memcmp(w, "\xef\xbb\xbf", 3) == 0) {
        c->begin = 3;
    }
    return 0;
}

/** The fields of a row, on the arena; `c->begin` moves behind it. */
static int header_row(struct sl_table *t, struct csv *c, char ***ret_texts, size_t *ret_n,
                      struct sl_err *err)
{
    SL_VEC(char *) texts = {0};
    const char *window = c->window.ptr;
    const char *p = window + c->begin;
    const char *end = window + c->end;
    struct csv_field f = {0};
    int rc = 0;
    for (bool go = true; go && rc == 0; p++) {
        if (!csv_field(p, end, c->delim, &f)) {
            rc = sl_err_set(err, SL_ELIMIT, "%s: no end of the first row within %u bytes",
                            t->source.name, SL_TABLE_HEADER_BYTES_MAX);
            break;
        }
        c->line += f.newlines;
        p = f.next;
        if (f.reason != NULL || texts.n >= SL_TABLE_COLUMNS_MAX ||
            f.len > SL_TABLE_NAME_BYTES_MAX || sl_utf8_check(f.ptr, f.len) != f.len ||
            memchr(f.ptr, '\0', f.len) != NULL) {
            rc = sl_err_set(err, SL_EINVAL, "%s: first row, field %zu: %s", t->source.name,
                            texts.n + 1,
                            f.reason != NULL                  ? f.reason
                            : texts.n >= SL_TABLE_COLUMNS_MAX ? "too many columns"
                            : f.len > SL_TABLE_NAME_BYTES_MAX ? "a name is too long"
                                                              : "not UTF-8 text");
            break;
        }
        rc = f.escaped ? csv_unescape(t, c, &f, err) : 0;
        sl_vec_push(&texts, sl_arena_strndup(&t->arena, f.ptr, f.len));
        go = *p == c->delim;
        p += *p == '\r';
    }
    if (rc == 0) {
        c->begin = (size_t)(p - window);
        c->line++;
        *ret_texts = sl_arena_memdup(&t->arena, texts.items, texts.n * sizeof(char *));
        *ret_n = texts.n;
    }
    sl_vec_free(&texts);
    return rc;
}

/** A header is wanted and nothing in the row looks like a value. */
static bool looks_like_header(char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct table_guess g = {0};
        table_guess_add(&g, TABLE_GUESS_ANY, texts[i], strlen(texts[i]), 0);
        for (size_t k = 0; k < SL_TABLE_TYPE_N; k++) {
            if (g.fits[k] > 0 || texts[i][0] == '\0') {
                return false;
            }
        }
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(**(char **const *)a, **(char **const *)b);
}

/** "column_3" for an empty name; "x.1" for the second x, as pandas does. */
static void repair_names(struct sl_table *t, char **names, size_t n)
{
    char ***sorted = sl_calloc(n, sizeof(*sorted));
    for (size_t i = 0; i < n; i++) {
        if (names[i][0] == '\0') {
            names[i] = sl_arena_printf(&t->arena, "column_%zu", i + 1);
        }
        sorted[i] = &names[i];
    }
    qsort(sorted, n, sizeof(*sorted), compare_names);
    for (size_t i = 0; i + 1 < n;) {
        const char *name = *sorted[i];
        size_t k = 1;
        while (i + k < n && sl_streq(*sorted[i + k], name)) {
            k++;
        }
        for (size_t j = 1; j < k; j++) {
            *sorted[i + j] = sl_arena_printf(&t->arena, "%s.%zu", name, j);
        }
        i += k;
    }
    free(sorted);
}

/** Guesses of all selected columns from the rows that the first window holds. */
static int guess_types(struct sl_table *t, struct csv *c, struct table_guess *guesses,
                       struct sl_err *err)
{
    const char *window = c->window.ptr;
    const char *p = window + c->begin;
    const char *end = window + c->end;
    struct csv_scan s = {.state = CSV_START, .delim = c->delim};
    for (uint64_t row = 0; row < t->opts.infer_rows && p < end;) {
        const char *behind = csv_scan_row(&s, p, end);
        if (behind == NULL) {
            break;
        }
        if (c->n_slots > 1 && csv_at_newline(p, end)) {
            p = behind;
            continue;
        }
        if (count_fields(p, behind, c->delim) == c->n_slots) {
            struct csv_field f;
            for (size_t i = 0; i < c->n_slots && csv_field(p, behind, c->delim, &f); i++) {
                int32_t slot = c->slots[i];
                int rc = slot >= 0 && f.escaped ? csv_unescape(t, c, &f, err) : 0;
                if (rc != 0) {
                    return rc;
                }
                p = f.next + 1;
                for (; slot >= 0 && f.len > 0 && (*f.ptr == ' ' || *f.ptr == '\t'); f.ptr++) {
                    f.len--;
                }
                for (; slot >= 0 && f.len > 0 && strchr(" \t", f.ptr[f.len - 1]) != NULL;) {
                    f.len--;
                }
                if (slot >= 0 && table_is_null(t, f.ptr, f.len, false, f.quoted)) {
                    guesses[slot].n_nulls++;
                } else if (slot >= 0) {
                    table_guess_add(&guesses[slot], TABLE_GUESS_ANY, f.ptr, f.len, row);
                }
            }
        }
        row++;
        p = behind;
    }
    return 0;
}

static int find_types(struct sl_table *t, struct csv *c, struct sl_err *err)
{
    struct table_guess *guesses = sl_calloc(t->n_fields, sizeof(*guesses));
    int rc = guess_types(t, c, guesses, err);
    for (size_t i = 0; rc == 0 && i < t->n_fields; i++) {
        t->fields[i].nullable = true;
        table_guess_decide(&guesses[i], t, &t->fields[i]);
    }
    if (rc == 0) {
        rc = table_overrides(t, err);
    }
    free(guesses);
    c->strings = SL_ARENA_ARRAY(&t->arena, uint32_t, t->n_fields);
    for (size_t i = 0; rc == 0 && i < t->n_fields; i++) {
        if (t->fields[i].type == SL_TABLE_STRING) {
            c->strings[c->n_strings++] = (uint32_t)i;
        }
    }
    for (size_t i = 0; t->own_nulls && i < t->n_nulls; i++) {
        c->numbers_are_null |= t->nulls[i][0] != '\0' && strchr("+-.0123456789", t->nulls[i][0]);
    }
    return rc;
}

/** Names of all columns, and where the data begins. */
static int read_names(struct sl_table *t, struct csv *c, char ***ret_names, size_t *ret_n,
                      struct sl_err *err)
{
    while (!c->eof && c->begin < c->end) { /* a first row larger than the window */
        struct csv_scan s = {.state = CSV_START, .delim = c->delim};
        const char *window = c->window.ptr;
        if (csv_scan_row(&s, window + c->begin, window + c->end) != NULL ||
            c->end - c->begin >= SL_TABLE_HEADER_BYTES_MAX) {
            break;
        }
        size_t bom = c->begin;
        int rc = csv_fill(t, c, err);
        if (rc != 0) {
            return rc;
        }
        SL_ASSERT(bom <= 3);
    }
    const char *window = c->window.ptr;
    while (c->begin < c->end && csv_at_newline(window + c->begin, window + c->end)) {
        c->begin += window[c->begin] == '\r' ? 2 : 1;
        c->line++;
    }
    if (c->begin == c->end) {
        return sl_err_set(err, SL_EINVAL, "%s: is empty: no header, no rows", t->source.name);
    }
    size_t begin = c->begin;
    uint64_t line = c->line;
    int rc = header_row(t, c, ret_names, ret_n, err);
    if (rc != 0) {
        return rc;
    }
    bool header = t->opts.header == SL_TABLE_HEADER_YES ||
                  (t->opts.header == SL_TABLE_HEADER_AUTO && looks_like_header(*ret_names, *ret_n));
    if (!header) {
        c->begin = begin;
        c->line = line;
        for (size_t i = 0; i < *ret_n; i++) {
            (*ret_names)[i][0] = '\0';
        }
    }
    repair_names(t, *ret_names, *ret_n);
    return 0;
}

static int csv_start(struct sl_table *t, char delim, struct sl_err *err)
{
    struct csv *c = SL_ARENA_NEW(&t->arena, struct csv);
    char **names = NULL;
    t->reader = c;
    csv_seek(c, 0, t->source.size);
    c->line = 1;
    int rc = csv_fill(t, c, err);
    if (rc == 0) {
        rc = check_encoding(t, c, err);
    }
    if (rc != 0) {
        return rc;
    }
    c->delim = delim;
    if (delim == '\0') {
        sniff(c);
    }
    rc = read_names(t, c, &names, &c->n_slots, err);
    if (rc != 0) {
        return rc;
    }
    c->slots = SL_ARENA_ARRAY(&t->arena, int32_t, c->n_slots);
    rc = table_select(t, (const char *const *)names, c->n_slots, c->slots, err);
    if (rc == 0) {
        rc = find_types(t, c, err);
    }
    if (rc == 0) {
        rc = table_vectors_init(t, err);
    }
    c->data_begin = SL_MIN(c->base + c->begin, t->source.size); /* the newline may be added */
    c->data_line = c->line;
    t->schema.delimiter = c->delim;
    if (rc == 0 && t->has_range) {
        c->row = t->range.first_row;
        c->line = t->range.line;
        csv_seek(c, SL_MIN(t->range.begin, t->source.size), SL_MIN(t->range.end, t->source.size));
        if (c->base > c->limit) {
            rc = sl_err_set(err, SL_EINVAL, "%s: not a range of this file", t->source.name);
        }
    }
    return rc;
}

static int csv_open(struct sl_table *t, struct sl_err *err)
{
    char d = t->opts.delimiter;
    if (d == '"' || d == '\n' || d == '\r' || (d >= '0' && d <= '9')) {
        return sl_err_set(err, SL_EINVAL, "%s: this byte cannot be a delimiter", t->source.name);
    }
    return csv_start(t, d, err);
}

static int tsv_open(struct sl_table *t, struct sl_err *err)
{
    return csv_start(t, '\t', err);
}

static void csv_close(struct sl_table *t)
{
    struct csv *c = t->reader;
    if (c != NULL) {
        table_mem_free(t, &c->window);
        table_mem_free(t, &c->scratch);
    }
}

const struct table_reader table_csv = {
    .open = csv_open, .next = csv_next, .split = csv_split, .close = csv_close};
const struct table_reader table_tsv = {
    .open = tsv_open, .next = csv_next, .split = csv_split, .close = csv_close};
