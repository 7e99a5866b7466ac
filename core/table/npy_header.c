/**
 * The header of an array: a Python dictionary literal with descr, fortran_order and shape.
 *
 * Thread: the table's. Must not: take any other literal.
 */
#include "core/base/base.h"

#include "core/table/npy_priv.h"

#include <stdlib.h>
#include <string.h>

struct parser {
    struct sl_table *t;
    const char *p, *end;
    const char *fault;
};

static bool fail(struct parser *h, const char *fault)
{
    h->fault = h->fault != NULL ? h->fault : fault;
    return false;
}

static void blanks(struct parser *h)
{
    while (h->p < h->end && (*h->p == ' ' || *h->p == '\n' || *h->p == '\t')) {
        h->p++;
    }
}

static bool take(struct parser *h, char c)
{
    blanks(h);
    if (h->p < h->end && *h->p == c) {
        h->p++;
        return true;
    }
    return false;
}

static bool expect(struct parser *h, char c)
{
    return take(h, c) || fail(h, "its header is damaged");
}

/** 'text', without escapes. */
static bool quoted(struct parser *h, struct sl_str *ret)
{
    blanks(h);
    if (h->p >= h->end || (*h->p != '\'' && *h->p != '"')) {
        return fail(h, "its header is damaged");
    }
    const char *close = memchr(h->p + 1, *h->p, (size_t)(h->end - h->p) - 1);
    if (close == NULL || memchr(h->p, '\\', (size_t)(close - h->p)) != NULL) {
        return fail(h, "its header is damaged");
    }
    *ret = (struct sl_str){h->p + 1, (size_t)(close - h->p) - 1};
    h->p = close + 1;
    return true;
}

static bool natural(struct parser *h, uint64_t *ret)
{
    blanks(h);
    const char *first = h->p;
    uint64_t value = 0;
    for (; h->p < h->end && *h->p >= '0' && *h->p <= '9'; h->p++) {
        value = value * 10 + (uint64_t)(*h->p - '0');
        if (value > (uint64_t)1 << 48) {
            return fail(h, "its shape is too large");
        }
    }
    if (h->p < h->end && *h->p == 'L') {
        h->p++; /* Python 2 */
    }
    *ret = value;
    return h->p > first || fail(h, "its header is damaged");
}

static bool time_unit(struct parser *h, struct sl_str s, struct npy_element *e)
{
    static const struct {
        const char *text;
        char unit;
    } units[] = {{"[D]", 'D'}, {"[s]", 's'}, {"[ms]", 'm'}, {"[us]", 'u'}, {"[ns]", 'n'}};
    for (size_t i = 0; i < SL_LEN(units); i++) {
        if (sl_str_eq(s, units[i].text)) {
            e->unit = units[i].unit;
            return true;
        }
    }
    return fail(h, "has times in a unit that is not known here (D, s, ms, us, ns are)");
}

/** "<f8", "|b1", ">U12", "<M8[ns]". */
static bool element(struct parser *h, struct sl_str s, struct npy_element *e)
{
    uint64_t size = 0;
    if (s.len >= 2 && s.ptr[1] == 'O') {
        return fail(h, "holds pickled Python objects, which are not read");
    }
    if (s.len < 3 || memchr("<>|=", s.ptr[0], 4) == NULL) {
        return fail(h, "has elements of a kind that is not known here");
    }
    struct parser number = {.p = s.ptr + 2, .end = s.ptr + s.len};
    if (!natural(&number, &size)) {
        return fail(h, "has elements of a kind that is not known here");
    }
    struct sl_str rest = {number.p, (size_t)(number.end - number.p)};
    e->swapped = s.ptr[0] == '>';
    e->kind = (enum npy_kind)s.ptr[1];
    bool power = size == 1 || size == 2 || size == 4 || size == 8;
    bool ok = false;
    switch (e->kind) {
    case NPY_BOOL: ok = size == 1; break;
    case NPY_INT:
    case NPY_UINT: ok = power; break;
    case NPY_FLOAT: ok = power && size > 1; break;
    case NPY_BYTES: ok = true; break;
    case NPY_TEXT:
        size *= 4;
        ok = true;
        break;
    case NPY_TIME: ok = size == 8 && time_unit(h, rest, e); break;
    }
    if (!ok || size == 0 || size > SL_TABLE_FIELD_BYTES_MAX ||
        (e->kind != NPY_TIME && rest.len > 0)) {
        return fail(h, "has elements of a kind that is not known here");
    }
    e->size = (uint32_t)size;
    return true;
}

/** "name" in a file of its own, "member.name" in an archive. */
static const char *column_name(struct parser *h, const struct npy_array *a, struct sl_str s)
{
    if (s.len == 0 || s.len > SL_TABLE_NAME_BYTES_MAX || sl_utf8_check(s.ptr, s.len) != s.len ||
        memchr(s.ptr, '\0', s.len) != NULL) {
        (void)fail(h, "has a field without a usable name");
        return "";
    }
    return sl_arena_printf(&h->t->arena, "%s%s%.*s", a->name != NULL ? a->name : "",
                           a->name != NULL ? "." : "", (int)s.len, s.ptr);
}

/** [('a', '<i4'), ('b', '|S5')] */
static bool record(struct parser *h, struct npy_array *a)
{
    SL_VEC(struct npy_column) columns = {0};
    uint64_t offset = 0;
    while (h->fault == NULL && !take(h, ']')) {
        struct npy_column c = {.offset = (uint32_t)offset};
        struct sl_str name = {0};
        struct sl_str kind = {0};
        blanks(h);
        bool ok = expect(h, '(') && quoted(h, &name) && expect(h, ',');
        blanks(h);
        if (ok && h->p < h->end && *h->p == '[') {
            ok = fail(h, "has nested records, which are not read");
        }
        ok = ok && quoted(h, &kind) && element(h, kind, &c.element);
        if (ok && take(h, ',')) {
            blanks(h);
            if (h->p < h->end && *h->p == '(') {
                ok = fail(h, "has arrays within records, which are not read");
            }
        }
        ok = ok && expect(h, ')');
        (void)take(h, ',');
        offset += c.element.size;
        if (!ok || columns.n >= SL_TABLE_COLUMNS_MAX || offset > NPY_ROW_BYTES_MAX) {
            (void)fail(h, "has too many fields");
            break;
        }
        if (name.len == 0) {
            continue; /* padding of aligned records */
        }
        c.name = column_name(h, a, name);
        sl_vec_push(&columns, c);
    }
    a->row_bytes = (uint32_t)offset;
    a->n_columns = columns.n;
    if (columns.n > 0) {
        a->columns =
            sl_arena_memdup(&h->t->arena, columns.items, columns.n * sizeof(struct npy_column));
    }
    sl_vec_free(&columns);
    return h->fault == NULL && a->n_columns > 0;
}

/** The columns of a plain array: one of 1-D, as many as the second dimension of 2-D. */
static bool plain(struct parser *h, struct npy_array *a, const struct npy_element *e,
                  const uint64_t *shape, size_t n_dims)
{
    uint64_t n = n_dims == 2 ? shape[1] : 1;
    if (n == 0 || n > SL_TABLE_COLUMNS_MAX || n * e->size > NPY_ROW_BYTES_MAX) {
        return fail(h, "has no columns, or too many");
    }
    a->columns = SL_ARENA_ARRAY(&h->t->arena, struct npy_column, n);
    a->n_columns = (size_t)n;
    a->row_bytes = (uint32_t)n * e->size;
    const char *base = a->name != NULL ? a->name : "column";
    for (uint32_t i = 0; i < n; i++) {
        a->columns[i] = (struct npy_column){.element = *e, .offset = i * e->size};
        a->columns[i].name = n_dims == 1 && a->name != NULL
                                 ? a->name
                                 : sl_arena_printf(&h->t->arena, "%s_%u", base, i + 1);
    }
    return true;
}

static bool shape_of(struct parser *h, uint64_t *shape, size_t *n)
{
    *n = 0;
    if (!expect(h, '(')) {
        return false;
    }
    while (h->fault == NULL && !take(h, ')')) {
        uint64_t size = 0;
        if (!natural(h, &size)) {
            return false;
        }
        if (*n < 2) {
            shape[*n] = size;
        }
        ++*n;
        blanks(h);
        if (!take(h, ',') && (h->p >= h->end || *h->p != ')')) {
            return fail(h, "its header is damaged");
        }
    }
    if (*n < 1 || *n > 2) {
        return fail(h, "is no table: it has neither one dimension nor two");
    }
    return h->fault == NULL;
}

static bool dictionary(struct parser *h, struct npy_array *a)
{
    struct npy_element e = {0};
    uint64_t shape[2] = {0};
    size_t n_dims = 0;
    bool has_kind = false;
    bool is_record = false;
    if (!expect(h, '{')) {
        return false;
    }
    while (h->fault == NULL && !take(h, '}')) {
        struct sl_str key = {0};
        struct sl_str value = {0};
        if (!quoted(h, &key) || !expect(h, ':')) {
            return false;
        }
        blanks(h);
        if (sl_str_eq(key, "descr") && !has_kind) {
            has_kind = true;
            is_record = take(h, '[');
            if (is_record ? !record(h, a) : !(quoted(h, &value) && element(h, value, &e))) {
                return fail(h, "its header is damaged");
            }
        } else if (sl_str_eq(key, "fortran_order")) {
            a->fortran = h->end - h->p >= 4 && memcmp(h->p, "True", 4) == 0;
            while (h->p < h->end && *h->p >= 'A' && *h->p <= 'z') {
                h->p++;
            }
        } else if (!sl_str_eq(key, "shape") || !shape_of(h, shape, &n_dims)) {
            return fail(h, "its header is damaged");
        }
        (void)take(h, ',');
    }
    if (h->fault != NULL || !has_kind || n_dims == 0) {
        return fail(h, "its header is damaged");
    }
    if (is_record && n_dims != 1) {
        return fail(h, "is no table: records in two dimensions");
    }
    a->n_rows = shape[0];
    a->fortran = a->fortran && n_dims == 2;
    return is_record || plain(h, a, &e, shape, n_dims);
}

int npy_header(struct sl_table *t, struct npy_array *a, struct sl_err *err)
{
    uint8_t head[12];
    const char *what = a->name != NULL ? a->name : "the array";
    if (a->plain_size < 10) {
        return sl_err_set(err, SL_EINVAL, "%s: %s is too short", t->source.name, what);
    }
    int rc = npy_bytes(t, a, 0, head, 10, err);
    if (rc != 0) {
        return rc;
    }
    if (memcmp(head, "\x93NUMPY", 6) != 0 || head[6] < 1 || head[6] > 3) {
        return sl_err_set(err, SL_EINVAL, "%s: %s is no numpy array of version 1 to 3",
                          t->source.name, what);
    }
    uint64_t start = head[6] == 1 ? 10 : 12;
    uint32_t len = (uint32_t)head[8] | (uint32_t)head[9] << 8;
    rc = start == 12 && a->plain_size >= 12 ? npy_bytes(t, a, 10, head + 10, 2, err) : 0;
    if (start == 12) {
        len |= (uint32_t)head[10] << 16 | (uint32_t)head[11] << 24;
    }
    if (rc == 0 && (len > NPY_HEADER_BYTES_MAX || start + len > a->plain_size)) {
        return sl_err_set(err, SL_EINVAL, "%s: the header of %s is longer than it", t->source.name,
                          what);
    }
    struct table_mem text = {0};
    rc = rc == 0 ? table_mem_grow(t, &text, SL_MAX(len, 1u), err) : rc;
    rc = rc == 0 ? npy_bytes(t, a, start, text.ptr, len, err) : rc;
    if (rc == 0) {
        struct parser h = {.t = t, .p = text.ptr, .end = (const char *)text.ptr + len};
        a->data = start + len;
        if (!dictionary(&h, a)) {
            rc = sl_err_set(err, SL_EUNSUPPORTED, "%s: %s %s", t->source.name, what,
                            h.fault != NULL ? h.fault : "is damaged");
        } else if (a->row_bytes > 0 && a->n_rows > (a->plain_size - a->data) / a->row_bytes) {
            rc = sl_err_set(err, SL_EINVAL,
                            "%s: %s is cut short: %llu rows of %u bytes are not there",
                            t->source.name, what, (unsigned long long)a->n_rows, a->row_bytes);
        }
    }
    table_mem_free(t, &text);
    return rc;
}
