/**
 * numpy's .npy and .npz as tables: a 1-D array is a column, a 2-D one several, records one per field; the arrays of
 * an archive stand side by side.
 *
 * Thread: the table's. Must not: unpickle anything.
 */
#include "core/base/base.h"

#include "core/table/npy_priv.h"

#include <math.h>
#include <string.h>

struct npy {
    struct npy_array *arrays;
    size_t n_arrays;
    uint64_t row, row_end;
    struct {
        uint32_t array, column;
    } * sources; /* per field */
};

static uint64_t load(const uint8_t *p, const struct npy_element *e)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < e->size; i++) {
        value |= (uint64_t)p[e->swapped ? e->size - 1 - i : i] << (8 * i);
    }
    return value;
}

static double half(uint64_t bits)
{
    double sign = (bits & 0x8000) != 0 ? -1 : 1;
    int exponent = (int)(bits >> 10 & 0x1f);
    int fraction = (int)(bits & 0x3ff);
    if (exponent == 0x1f) {
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    }
    return sign * (exponent == 0 ? ldexp(fraction, -24) : ldexp(fraction + 1024, exponent - 25));
}

static double real(uint64_t bits, uint32_t size)
{
    if (size == 2) {
        return half(bits);
    }
    if (size == 4) {
        float value = 0;
        uint32_t low = (uint32_t)bits;
        memcpy(&value, &low, sizeof(value));
        return (double)value;
    }
    double value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void field_type(const struct npy_element *e, struct sl_table_field *f)
{
    f->nullable = e->kind == NPY_TIME; /* NaT */
    f->why = "stated by the file";
    switch (e->kind) {
    case NPY_BOOL: f->type = SL_TABLE_BOOL; break;
    case NPY_INT: f->type = SL_TABLE_INT64; break;
    case NPY_UINT: f->type = e->size == 8 ? SL_TABLE_DECIMAL : SL_TABLE_INT64; break;
    case NPY_FLOAT: f->type = SL_TABLE_FLOAT64; break;
    case NPY_BYTES:
        f->type = SL_TABLE_STRING;
        f->binary = true;
        break;
    case NPY_TEXT: f->type = SL_TABLE_STRING; break;
    case NPY_TIME: f->type = e->unit == 'D' ? SL_TABLE_DATE : SL_TABLE_TIMESTAMP; break;
    }
}

/** A time of its unit. False when int64 microseconds, or days of 32 bits, cannot hold it. */
static bool put_time(int64_t value, char unit, struct table_vector *v, size_t i)
{
    v->valid[i] = value != INT64_MIN;
    if (v->valid[i] == 0) {
        value = 0;
    }
    if (unit == 'D') {
        ((int32_t *)v->values)[i] = (int32_t)value;
        return value >= INT32_MIN && value <= INT32_MAX;
    }
    v->zoned[i] = 0;
    int64_t *out = (int64_t *)v->values + i;
    if (unit == 'n') {
        *out = value / 1000 - (value % 1000 < 0);
        return true;
    }
    return !__builtin_mul_overflow(value,
                                   (int64_t)(unit == 's'   ? 1000000
                                             : unit == 'm' ? 1000
                                                           : 1),
                                   out);
}

/** A code point as UTF-8. Returns its length, 0 when it is none. */
static size_t utf8(uint64_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return code >= 0xd800 && code < 0xe000 ? 0 : 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return code > 0x10ffff ? 0 : 4;
}

/** Text without the zeros that fill it up. */
static int put_text(struct sl_table *t, const struct npy_element *e, const uint8_t *p,
                    struct table_vector *v, size_t i, struct sl_err *err)
{
    int rc = table_bytes_reserve(t, v, SL_MAX(e->size, 1u), err);
    if (rc != 0) {
        return rc;
    }
    char *out = (char *)v->bytes.ptr + v->n_bytes;
    uint32_t step = e->kind == NPY_TEXT ? 4 : 1;
    uint32_t len = e->size;
    static const uint8_t zeros[4];
    while (len > 0 && memcmp(p + len - step, zeros, step) == 0) {
        len -= step;
    }
    if (step == 1) {
        memcpy(out, p, len);
        v->n_bytes += len;
    }
    const struct npy_element unit = {.size = 4, .swapped = e->swapped};
    for (uint32_t at = 0; step == 4 && at < len; at += 4) {
        size_t n = utf8(load(p + at, &unit), out);
        if (n == 0) {
            return sl_err_set(err, SL_EINVAL, "%s: text with a code that is no character",
                              t->source.name);
        }
        out += n;
        v->n_bytes += n;
    }
    v->valid[i] = 1;
    ((uint32_t *)v->values)[i + 1] = (uint32_t)v->n_bytes;
    return 0;
}

static int put(struct sl_table *t, size_t field, const struct npy_element *e, const uint8_t *p,
               size_t i, struct sl_err *err)
{
    struct table_vector *v = &t->vectors[field];
    uint64_t bits = e->kind != NPY_BYTES && e->kind != NPY_TEXT ? load(p, e) : 0;
    unsigned shift = 64 - 8 * SL_MIN(e->size, 8u);
    v->valid[i] = 1;
    switch (e->kind) {
    case NPY_BOOL: ((uint8_t *)v->values)[i] = bits != 0; return 0;
    case NPY_INT: ((int64_t *)v->values)[i] = (int64_t)(bits << shift) >> shift; return 0;
    case NPY_UINT:
        if (e->size == 8) {
            ((__int128 *)v->values)[i] = bits;
        } else {
            ((int64_t *)v->values)[i] = (int64_t)bits;
        }
        return 0;
    case NPY_FLOAT: ((double *)v->values)[i] = real(bits, e->size); return 0;
    case NPY_BYTES:
    case NPY_TEXT: return put_text(t, e, p, v, i, err);
    case NPY_TIME:
        return put_time((int64_t)bits, e->unit, v, i)
                   ? 0
                   : sl_err_set(err, SL_EINVAL, "%s: column \"%s\": a time out of range",
                                t->source.name, t->fields[field].name);
    }
    return 0;
}

/** `n` rows of one field from `bytes`, `stride` apart. */
static int put_rows(struct sl_table *t, size_t field, const struct npy_element *e,
                    const uint8_t *bytes, size_t stride, size_t n, struct sl_err *err)
{
    int rc = 0;
    if (e->kind == NPY_FLOAT && e->size == 8 && !e->swapped) {
        double *out = (double *)t->vectors[field].values;
        for (size_t i = 0; i < n; i++) {
            memcpy(&out[i], bytes + i * stride, sizeof(double));
        }
        memset(t->vectors[field].valid, 1, n);
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = put(t, field, e, bytes + i * stride, i, err);
    }
    return rc;
}

/** The next `n` rows of an array into its fields. */
static int read_array(struct sl_table *t, struct npy *r, uint32_t which, size_t n,
                      struct sl_err *err)
{
    struct npy_array *a = &r->arrays[which];
    int rc = 0;
    if (!a->fortran) {
        size_t len = n * a->row_bytes;
        rc = table_mem_grow(t, &a->rows, SL_MAX(len, (size_t)1), err);
        rc = rc == 0 ? npy_bytes(t, a, a->data + r->row * a->row_bytes, a->rows.ptr, len, err) : rc;
    }
    for (size_t f = 0; rc == 0 && f < t->n_fields; f++) {
        if (r->sources[f].array != which) {
            continue;
        }
        const struct npy_column *c = &a->columns[r->sources[f].column];
        const uint8_t *bytes = a->rows.ptr;
        if (a->fortran) {
            size_t len = n * c->element.size;
            uint64_t at = r->sources[f].column * a->n_rows + r->row;
            rc = table_mem_grow(t, &a->rows, SL_MAX(len, (size_t)1), err);
            rc = rc == 0 ? npy_bytes(t, a, a->data + at * c->element.size, a->rows.ptr, len, err)
                         : rc;
            bytes = a->rows.ptr;
        } else {
            bytes += c->offset;
        }
        rc = rc == 0 ? put_rows(t, f, &c->element, bytes,
                                a->fortran ? c->element.size : a->row_bytes, n, err)
                     : rc;
    }
    return rc;
}

static int npy_next(struct sl_table *t, struct sl_err *err)
{
    struct npy *r = t->reader;
    uint64_t end = SL_MIN(r->row_end, t->row_end);
    size_t n = r->row < end ? (size_t)SL_MIN((uint64_t)t->batch_rows, end - r->row) : 0;
    for (uint32_t i = 0; n > 0 && i < r->n_arrays; i++) {
        if (!r->arrays[i].used) {
            continue;
        }
        size_t fit = t->opts.memory_max / 16 / SL_MAX(r->arrays[i].row_bytes, 1u);
        n = SL_MIN(n, SL_MAX(fit, (size_t)1));
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && n > 0 && i < r->n_arrays; i++) {
        rc = r->arrays[i].used ? read_array(t, r, i, n, err) : 0;
    }
    for (size_t i = 0; i < n; i++) {
        t->rows[i] = r->row + i;
    }
    t->n_rows = rc == 0 ? n : 0;
    r->row += n;
    return rc;
}

/** Arrays of the selection stand side by side only when they have as many rows each. */
static int check_rows(struct sl_table *t, struct npy *r, struct sl_err *err)
{
    const struct npy_array *first = NULL;
    for (size_t i = 0; i < r->n_arrays; i++) {
        const struct npy_array *a = &r->arrays[i];
        if (!a->used) {
            continue;
        }
        if (a->deflated && a->fortran && a->n_columns > 1) {
            return sl_err_set(
                err, SL_EUNSUPPORTED,
                "%s: %s is packed column by column; save it in C order, or not packed",
                t->source.name, a->name);
        }
        if (first != NULL && first->n_rows != a->n_rows) {
            return sl_err_set(err, SL_EINVAL,
                              "%s: %s has %llu rows, %s %llu: select columns of one length",
                              t->source.name, first->name, (unsigned long long)first->n_rows,
                              a->name, (unsigned long long)a->n_rows);
        }
        first = first != NULL ? first : a;
    }
    r->row_end = first != NULL ? first->n_rows : 0;
    t->schema.n_rows = (int64_t)r->row_end;
    return 0;
}

static int use_columns(struct sl_table *t, struct npy *r, struct sl_err *err)
{
    size_t n = 0;
    size_t at = 0;
    for (size_t i = 0; i < r->n_arrays; i++) {
        n += r->arrays[i].n_columns;
    }
    if (n > SL_TABLE_COLUMNS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: %zu columns, at most %d", t->source.name, n,
                          SL_TABLE_COLUMNS_MAX);
    }
    const char **names = SL_ARENA_ARRAY(&t->arena, const char *, n);
    int32_t *slots = SL_ARENA_ARRAY(&t->arena, int32_t, n);
    for (size_t i = 0; i < r->n_arrays; i++) {
        for (size_t k = 0; k < r->arrays[i].n_columns; k++) {
            names[at++] = r->arrays[i].columns[k].name;
        }
    }
    int rc = table_select(t, names, n, slots, err);
    if (rc != 0) {
        return rc;
    }
    r->sources = sl_arena_alloc(&t->arena, t->n_fields * sizeof(*r->sources));
    at = 0;
    for (uint32_t i = 0; i < r->n_arrays; i++) {
        for (uint32_t k = 0; k < r->arrays[i].n_columns; k++, at++) {
            if (slots[at] >= 0) {
                r->arrays[i].used = true;
                r->sources[slots[at]].array = i;
                r->sources[slots[at]].column = k;
                field_type(&r->arrays[i].columns[k].element, &t->fields[slots[at]]);
            }
        }
    }
    return check_rows(t, r, err);
}

static int start(struct sl_table *t, struct npy *r, struct sl_err *err)
{
    if (t->opts.n_types > 0) {
        return sl_err_set(err, SL_EINVAL, "%s: numpy's files state their types themselves",
                          t->source.name);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < r->n_arrays; i++) {
        rc = npy_header(t, &r->arrays[i], err);
        if (rc == -SL_EUNSUPPORTED && t->opts.columns != NULL) {
            r->arrays[i].n_columns = 0; /* a selection goes around it */
            *err = SL_ERR_INIT;
            rc = 0;
        }
    }
    rc = rc == 0 ? use_columns(t, r, err) : rc;
    rc = rc == 0 ? table_vectors_init(t, err) : rc;
    if (rc == 0 && t->has_range) {
        if (t->range.begin > t->range.end || t->range.end > r->row_end) {
            return sl_err_set(err, SL_EINVAL, "%s: not a range of this file", t->source.name);
        }
        r->row = t->range.begin;
        r->row_end = t->range.end;
    }
    r->row = SL_MAX(r->row, t->row_begin);
    return rc;
}

static int npy_open(struct sl_table *t, struct sl_err *err)
{
    struct npy *r = SL_ARENA_NEW(&t->arena, struct npy);
    t->reader = r;
    r->arrays = SL_ARENA_NEW(&t->arena, struct npy_array);
    r->arrays[0].size = r->arrays[0].plain_size = t->source.size;
    r->n_arrays = 1;
    return start(t, r, err);
}

static int npz_open(struct sl_table *t, struct sl_err *err)
{
    struct npy *r = SL_ARENA_NEW(&t->arena, struct npy);
    t->reader = r;
    int rc = npz_members(t, &r->arrays, &r->n_arrays, err);
    return rc == 0 ? start(t, r, err) : rc;
}

static int npy_split(struct sl_table *t, size_t n, struct sl_table_range *ranges, size_t *ret_n,
                     struct sl_err *err)
{
    (void)err;
    uint64_t total = (uint64_t)t->schema.n_rows;
    uint64_t made = SL_MAX(SL_MIN((uint64_t)n, total), (uint64_t)1);
    for (uint64_t i = 0; i < made; i++) {
        uint64_t begin = total / made * i + SL_MIN(i, total % made);
        uint64_t rows = total / made + (i < total % made);
        ranges[i] = (struct sl_table_range){
            .begin = begin, .end = begin + rows, .first_row = begin, .n_rows = rows};
    }
    *ret_n = (size_t)made;
    return 0;
}

static void npy_close(struct sl_table *t)
{
    struct npy *r = t->reader;
    for (size_t i = 0; r != NULL && i < r->n_arrays; i++) {
        npy_release(t, &r->arrays[i]);
    }
}

const struct table_reader table_npy = {
    .open = npy_open, .next = npy_next, .split = npy_split, .close = npy_close};
const struct table_reader table_npz = {
    .open = npz_open, .next = npy_next, .split = npy_split, .close = npy_close};
