/**
 * JSON lines: one object per line, columns by key. Nested values are their JSON text.
 *
 * Columns are the keys of the first rows, in the order in which they were met; a key that comes later
 * makes a bad row unless columns were selected. Thread: the table's. Must not: keep pointers into the
 * window across a fill.
 */
#include "core/base/base.h"

#include "core/table/jsonl_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct key {
    UT_hash_handle hh;
    const char *name;
    size_t len;
    size_t place; /* order of its first meeting */
    int32_t slot; /* field, -1 when it is not selected */
    uint64_t row; /* last row that had it, plus one */
    struct table_guess guess;
};

struct jsonl {
    struct csv w; /* the window, row and line; nothing else of it */
    struct key *keys;
    size_t n_keys, name_bytes;
};

/** A line within the window. False when its end was not read yet. */
static bool line_at(const struct csv *w, size_t begin, struct json_line *ret)
{
    if (begin >= w->end) {
        return false;
    }
    const char *p = (const char *)w->window.ptr + begin;
    const char *newline = memchr(p, '\n', w->end - begin);
    if (newline == NULL) {
        return false;
    }
    *ret = (struct json_line){.p = p, .end = newline};
    return true;
}

static bool is_blank(const struct json_line *l)
{
    for (const char *p = l->p; p < l->end; p++) {
        if (*p != ' ' && *p != '\t' && *p != '\r') {
            return false;
        }
    }
    return true;
}

/** The text of a string token, resolved into scratch when it has escapes. Reason when it is none. */
static const char *resolve(struct sl_table *t, struct csv *w, struct json_token *k, int *ret_rc,
                           struct sl_err *err)
{
    if (k->len > SL_TABLE_FIELD_BYTES_MAX) {
        return "a field is longer than 1 MiB";
    }
    if (k->kind == JSON_TEXT && k->escaped) {
        *ret_rc = table_mem_grow(t, &w->scratch, SL_MAX(k->len, (size_t)1), err);
        int64_t n = *ret_rc == 0 ? json_unescape(k, w->scratch.ptr) : 0;
        if (n < 0) {
            return "an escape that is no character, or NUL";
        }
        k->ptr = w->scratch.ptr;
        k->len = (size_t)n;
    }
    if (*ret_rc == 0 &&
        (memchr(k->ptr, '\0', k->len) != NULL || sl_utf8_check(k->ptr, k->len) != k->len)) {
        return "bytes that are not UTF-8 text";
    }
    return NULL;
}

static struct key *key_of(struct jsonl *j, const struct json_token *name)
{
    struct key *k = NULL;
    HASH_FIND(hh, j->keys, name->ptr, name->len, k);
    return k;
}

static int add_key(struct sl_table *t, struct jsonl *j, const struct json_token *name,
                   struct key **ret, struct sl_err *err)
{
    j->name_bytes += name->len;
    if (j->n_keys >= SL_TABLE_COLUMNS_MAX || name->len > SL_TABLE_NAME_BYTES_MAX ||
        j->name_bytes > SL_TABLE_HEADER_BYTES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: too many keys, or too long ones", t->source.name);
    }
    struct key *k = SL_NEW(struct key);
    k->name = sl_arena_strndup(&t->arena, name->ptr, name->len);
    k->len = name->len;
    k->place = j->n_keys++;
    HASH_ADD_KEYPTR(hh, j->keys, k->name, k->len, k);
    *ret = k;
    return 0;
}

/** Types that a token of its kind may have; text may hold dates. */
static unsigned kinds_mask(enum json_kind kind)
{
    switch (kind) {
    case JSON_NOTHING:
    case JSON_NESTED: return 0;
    case JSON_TRUTH: return 1u << SL_TABLE_BOOL;
    case JSON_WHOLE: return 1u << SL_TABLE_INT64 | 1u << SL_TABLE_FLOAT64;
    case JSON_REAL: return 1u << SL_TABLE_FLOAT64;
    case JSON_TEXT: return 1u << SL_TABLE_DATE | 1u << SL_TABLE_TIMESTAMP;
    }
    return 0;
}

/** Learns from one line; one that is bad teaches nothing. */
static int learn_line(struct sl_table *t, struct jsonl *j, struct json_line *l, uint64_t row,
                      struct sl_err *err)
{
    struct json_line probe = *l;
    struct json_token name;
    struct json_token value;
    bool ok = json_object(&probe);
    for (bool first = true; ok && json_member(&probe, first, &name, &value); first = false) {
    }
    if (!ok || probe.fault != NULL || !json_end(&probe)) {
        return 0;
    }
    int rc = 0;
    (void)json_object(l);
    for (bool first = true; json_member(l, first, &name, &value); first = false) {
        struct key *k = NULL;
        if (resolve(t, &j->w, &name, &rc, err) != NULL) {
            return 0;
        }
        k = rc == 0 ? key_of(j, &name) : NULL;
        rc = rc == 0 && k == NULL ? add_key(t, j, &name, &k, err) : rc;
        if (rc != 0) {
            return rc;
        }
        if (value.kind == JSON_NOTHING) {
            k->guess.n_nulls++;
        } else {
            table_guess_add(&k->guess, kinds_mask(value.kind), value.ptr, value.len, row);
        }
    }
    return 0;
}

static int learn(struct sl_table *t, struct jsonl *j, struct sl_err *err)
{
    size_t at = j->w.begin;
    struct json_line l;
    uint64_t row = 0;
    int rc = 0;
    while (rc == 0 && row < t->opts.infer_rows && line_at(&j->w, at, &l)) {
        at = (size_t)(l.end + 1 - (const char *)j->w.window.ptr);
        if (!is_blank(&l)) {
            rc = learn_line(t, j, &l, row++, err);
        }
    }
    if (rc == 0 && j->n_keys == 0) {
        return sl_err_set(err, SL_EINVAL, "%s: no line of its beginning is a JSON object with keys",
                          t->source.name);
    }
    return rc;
}

static int use_keys(struct sl_table *t, struct jsonl *j, struct sl_err *err)
{
    const char **names = SL_ARENA_ARRAY(&t->arena, const char *, j->n_keys);
    struct key **keys = SL_ARENA_ARRAY(&t->arena, struct key *, j->n_keys);
    int32_t *slots = SL_ARENA_ARRAY(&t->arena, int32_t, j->n_keys);
    for (struct key *k = j->keys; k != NULL; k = k->hh.next) {
        names[k->place] = k->name;
        keys[k->place] = k;
    }
    int rc = table_select(t, names, j->n_keys, slots, err);
    for (size_t i = 0; rc == 0 && i < j->n_keys; i++) {
        keys[i]->slot = slots[i];
        if (slots[i] >= 0) {
            t->fields[slots[i]].nullable = true;
            table_guess_decide(&keys[i]->guess, t, &t->fields[slots[i]]);
        }
    }
    return rc == 0 ? table_overrides(t, err) : rc;
}

static int jsonl_open(struct sl_table *t, struct sl_err *err)
{
    struct jsonl *j = SL_ARENA_NEW(&t->arena, struct jsonl);
    t->reader = j;
    csv_seek(&j->w, 0, t->source.size);
    j->w.line = 1;
    int rc = csv_fill(t, &j->w, err);
    if (rc == 0 && j->w.end >= 3 && memcmp(j->w.window.ptr, "\xef\xbb\xbf", 3) == 0) {
        j->w.begin = 3;
    }
    struct json_line l;
    while (rc == 0 && !j->w.eof && !line_at(&j->w, j->w.begin, &l)) {
        rc = csv_fill(t, &j->w, err); /* a first line larger than the window */
    }
    j->w.data_begin = j->w.base + j->w.begin;
    rc = rc == 0 ? learn(t, j, err) : rc;
    rc = rc == 0 ? use_keys(t, j, err) : rc;
    rc = rc == 0 ? table_vectors_init(t, err) : rc;
    if (rc == 0 && t->has_range) {
        if (t->range.begin > t->range.end || t->range.end > t->source.size) {
            return sl_err_set(err, SL_EINVAL, "%s: not a range of this file", t->source.name);
        }
        j->w.row = t->range.first_row;
        j->w.line = t->range.line;
        csv_seek(&j->w, t->range.begin, t->range.end);
    }
    return rc;
}

/** A value into its field. NULL, or the reason why not. */
static const char *store(struct sl_table *t, struct jsonl *j, int32_t slot, struct json_token *v,
                         int *ret_rc, struct sl_err *err)
{
    struct sl_table_field *f = &t->fields[slot];
    struct table_vector *vector = &t->vectors[slot];
    bool is_string = f->type == SL_TABLE_STRING;
    const char *reason = resolve(t, &j->w, v, ret_rc, err);
    if (reason != NULL || *ret_rc != 0) {
        return reason;
    }
    bool named_null =
        v->kind == JSON_TEXT && t->own_nulls && table_is_null(t, v->ptr, v->len, is_string, false);
    if (v->kind == JSON_NOTHING || named_null) {
        return NULL; /* rows begin as nulls */
    }
    unsigned allowed = kinds_mask(v->kind) | (v->kind != JSON_TRUTH ? 1u << SL_TABLE_DECIMAL : 0);
    if (!is_string && (allowed >> f->type & 1) == 0) {
        return "is of another kind";
    }
    *ret_rc = is_string ? table_bytes_reserve(t, vector, v->len, err) : 0;
    if (*ret_rc != 0) {
        return NULL;
    }
    if (!table_store_text(f, vector, t->n_rows, v->ptr, v->len)) {
        return "is no such value";
    }
    vector->valid[t->n_rows] = 1;
    return NULL;
}

struct row_fault {
    const char *reason, *column;
    char text[200];
};

static void blank_row(struct sl_table *t)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        struct table_vector *v = &t->vectors[i];
        size_t width = table_type_bytes(t->fields[i].type);
        v->valid[t->n_rows] = 0;
        if (t->fields[i].type == SL_TABLE_STRING) {
            v->n_bytes = ((uint32_t *)v->values)[t->n_rows];
        } else {
            memset((char *)v->values + t->n_rows * width, 0, width);
        }
    }
}

/** Strings are appended, and the keys of a line may come in any order: each is its own vector, so
 * only its end has to be noted. */
static size_t close_row(struct sl_table *t)
{
    size_t bytes = 0;
    for (size_t i = 0; i < t->n_fields; i++) {
        struct table_vector *v = &t->vectors[i];
        if (t->fields[i].type == SL_TABLE_STRING) {
            ((uint32_t *)v->values)[t->n_rows + 1] = (uint32_t)v->n_bytes;
            bytes += v->n_bytes;
        }
    }
    return bytes;
}

static int read_member(struct sl_table *t, struct jsonl *j, struct json_token *name,
                       struct json_token *value, bool selected, struct row_fault *fault,
                       struct sl_err *err)
{
    int rc = 0;
    fault->reason = resolve(t, &j->w, name, &rc, err);
    if (rc != 0 || fault->reason != NULL) {
        return rc;
    }
    struct key *k = key_of(j, name);
    if (k == NULL) {
        (void)snprintf(fault->text, sizeof(fault->text),
                       "the key \"%.*s\" is not among those of the first rows",
                       (int)SL_MIN(name->len, (size_t)80), name->ptr);
        fault->reason = selected ? NULL : fault->text;
        return 0;
    }
    if (k->row == j->w.row + 1) {
        fault->reason = "a key stands twice";
        return 0;
    }
    k->row = j->w.row + 1;
    if (k->slot < 0) {
        return 0;
    }
    const char *reason = store(t, j, k->slot, value, &rc, err);
    if (rc == 0 && reason != NULL) {
        const struct sl_table_field *f = &t->fields[k->slot];
        (void)snprintf(fault->text, sizeof(fault->text), "the value %s: expected %s (%s)", reason,
                       sl_table_type_name(f->type),
                       f->inferred ? "the type of the first rows" : "the type that was stated");
        fault->reason = fault->text;
        fault->column = f->name;
    }
    return rc;
}

static int read_line(struct sl_table *t, struct jsonl *j, struct json_line *l,
                     struct row_fault *fault, struct sl_err *err)
{
    struct json_token name;
    struct json_token value;
    int rc = 0;
    blank_row(t);
    if (json_object(l)) {
        for (bool first = true; rc == 0 && fault->reason == NULL; first = false) {
            if (!json_member(l, first, &name, &value)) {
                break;
            }
            rc = read_member(t, j, &name, &value, t->opts.n_columns > 0, fault, err);
        }
    }
    if (rc == 0 && fault->reason == NULL && l->fault == NULL) {
        (void)json_end(l);
    }
    fault->reason = fault->reason != NULL ? fault->reason : l->fault;
    return rc;
}

/** The line at `begin` is done. */
static int finish_line(struct sl_table *t, struct jsonl *j, const struct json_line *whole,
                       const struct row_fault *fault, size_t *bytes, struct sl_err *err)
{
    struct csv *w = &j->w;
    size_t len = (size_t)(whole->end - whole->p);
    struct sl_table_bad bad = {.row = w->row,
                               .line = w->line,
                               .offset = w->base + w->begin,
                               .column = fault->column,
                               .reason = fault->reason,
                               .bytes = whole->p,
                               .n_bytes = SL_MIN(len, (size_t)SL_TABLE_BAD_BYTES_MAX)};
    if (fault->reason == NULL) {
        t->rows[t->n_rows] = w->row;
        *bytes = close_row(t);
        t->n_rows++;
    } else {
        blank_row(t);
    }
    w->row++;
    w->line++;
    w->begin += len + 1;
    return fault->reason != NULL ? table_bad_row(t, &bad, err) : 0;
}

static int jsonl_next(struct sl_table *t, struct sl_err *err)
{
    struct jsonl *j = t->reader;
    struct csv *w = &j->w;
    size_t bytes = 0;
    int rc = 0;
    while (rc == 0 && t->n_rows < t->batch_rows && w->row < t->row_end &&
           bytes <= t->batch_bytes_max && !(w->eof && w->begin == w->end)) {
        struct json_line l;
        struct row_fault fault = {0};
        if (!line_at(w, w->begin, &l)) {
            rc = csv_fill(t, w, err);
            continue;
        }
        struct json_line whole = l;
        if (is_blank(&l)) {
            w->line++;
            w->begin += (size_t)(l.end - l.p) + 1;
        } else if (w->row < t->row_begin) {
            w->row++;
            w->line++;
            w->begin += (size_t)(l.end - l.p) + 1;
        } else {
            rc = read_line(t, j, &l, &fault, err);
            rc = rc == 0 ? finish_line(t, j, &whole, &fault, &bytes, err) : rc;
        }
    }
    return rc;
}

static int jsonl_split(struct sl_table *t, size_t n, struct sl_table_range *ranges, size_t *ret_n,
                       struct sl_err *err)
{
    const struct jsonl *own = t->reader;
    struct csv w = {.line = 1};
    csv_seek(&w, own->w.data_begin, t->source.size);
    uint64_t step = SL_MAX((w.limit - w.base) / n, (uint64_t)1);
    size_t made = 1;
    ranges[0] = (struct sl_table_range){.begin = w.base, .line = 1};
    int rc = 0;
    while (rc == 0 && !(w.eof && w.begin == w.end)) {
        struct json_line l;
        if (!line_at(&w, w.begin, &l)) {
            rc = csv_fill(t, &w, err);
            continue;
        }
        uint64_t offset = w.base + w.begin;
        if (made < n && offset >= own->w.data_begin + step * made &&
            offset > ranges[made - 1].begin) {
            ranges[made - 1].end = offset;
            ranges[made - 1].n_rows = w.row - ranges[made - 1].first_row;
            ranges[made++] =
                (struct sl_table_range){.begin = offset, .line = w.line, .first_row = w.row};
        }
        w.row += !is_blank(&l);
        w.line++;
        w.begin += (size_t)(l.end - l.p) + 1;
    }
    table_mem_free(t, &w.window);
    ranges[made - 1].end = t->source.size;
    ranges[made - 1].n_rows = w.row - ranges[made - 1].first_row;
    *ret_n = rc == 0 ? made : 0;
    return rc;
}

static void jsonl_close(struct sl_table *t)
{
    struct jsonl *j = t->reader;
    struct key *k = NULL;
    struct key *next = NULL;
    if (j == NULL) {
        return;
    }
    HASH_ITER (hh, j->keys, k, next) {
        HASH_DEL(j->keys, k);
        free(k);
    }
    table_mem_free(t, &j->w.window);
    table_mem_free(t, &j->w.scratch);
}

const struct table_reader table_jsonl = {
    .open = jsonl_open, .next = jsonl_next, .split = jsonl_split, .close = jsonl_close};
