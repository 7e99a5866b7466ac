/**
 * Parquet's footer: the schema, and where the chunks of a row group lie.
 *
 * Groups are parsed when they are opened, so that memory holds the footer once and one group's
 * places. Thread: the table's. Must not: believe a size before it was checked against the file's.
 */
#include "core/base/base.h"

#include "core/table/parquet_priv.h"

#include <stdlib.h>
#include <string.h>

/** A SchemaElement. */
struct element {
    const char *name;
    int64_t type, width, repetition, n_children, converted, scale, precision;
    int64_t logical; /* id of the union's member; 0 none */
    int64_t unit;    /* of TIME and TIMESTAMP: 1 ms, 2 us, 3 ns */
    bool utc, is_signed;
    int64_t bits;
};

int pq_bad(const struct sl_table *t, const struct pq_column *c, const char *what,
           struct sl_err *err)
{
    return sl_err_set(err, SL_EINVAL, "%s: column \"%s\": %s", t->source.name, c->name, what);
}

/** A member of LogicalType; f is the union's field. */
static void read_logical_member(struct thrift *t, struct element *e)
{
    struct thrift_field f = {0};
    while (thrift_field(t, &f)) {
        bool of_time = e->logical == 7 || e->logical == 8;
        if (e->logical == 5 && f.id == 1) {
            e->scale = thrift_int(t, &f);
        } else if (e->logical == 5 && f.id == 2) {
            e->precision = thrift_int(t, &f);
        } else if (of_time && f.id == 1) {
            e->utc = thrift_bool(t, &f);
        } else if (of_time && f.id == 2 && thrift_struct(t, &f)) {
            struct thrift_field unit = {0};
            while (thrift_field(t, &unit)) {
                e->unit = unit.id;
                thrift_skip(t, unit.type);
            }
        } else if (e->logical == 10 && f.id == 1) {
            e->bits = thrift_int(t, &f);
        } else if (e->logical == 10 && f.id == 2) {
            e->is_signed = thrift_bool(t, &f);
        } else {
            thrift_skip(t, f.type);
        }
    }
}

static void read_logical(struct thrift *t, struct element *e)
{
    struct thrift_field f = {0};
    while (thrift_field(t, &f)) {
        e->logical = f.id;
        if (f.type == THRIFT_STRUCT) {
            read_logical_member(t, e);
        } else {
            thrift_skip(t, f.type);
        }
    }
}

static void read_element(struct sl_table *t, struct thrift *th, struct element *e)
{
    struct thrift_field f = {0};
    const uint8_t *name = NULL;
    size_t len = 0;
    *e = (struct element){.type = -1, .converted = -1, .name = ""};
    while (thrift_field(th, &f)) {
        switch (f.id) {
        case 1: e->type = thrift_int(th, &f); break;
        case 2: e->width = thrift_int(th, &f); break;
        case 3: e->repetition = thrift_int(th, &f); break;
        case 4: name = thrift_binary(th, &f, &len); break;
        case 5: e->n_children = thrift_size(th, &f, INT32_MAX); break;
        case 6: e->converted = thrift_int(th, &f); break;
        case 7: e->scale = thrift_int(th, &f); break;
        case 8: e->precision = thrift_int(th, &f); break;
        case 10:
            if (thrift_struct(th, &f)) {
                read_logical(th, e);
            }
            break;
        default: thrift_skip(th, f.type); break;
        }
    }
    if (len > SL_TABLE_NAME_BYTES_MAX ||
        (len > 0 &&
         (memchr(name, '\0', len) != NULL || sl_utf8_check((const char *)name, len) != len))) {
        th->failed = true;
    } else if (len > 0) {
        e->name = sl_arena_strndup(&t->arena, (const char *)name, len);
    }
}

/** Converted types are the older way to say what logical types say. */
static void unify_logical(struct element *e)
{
    static const struct {
        int64_t converted, logical, unit, bits;
        bool is_signed;
    } table[] = {{0, 1, 0, 0, false},    {4, 1, 0, 0, false},    {5, 5, 0, 0, false},
                 {6, 6, 0, 0, false},    {7, 7, 1, 0, false},    {8, 7, 2, 0, false},
                 {9, 8, 1, 0, false},    {10, 8, 2, 0, false},   {11, 10, 0, 8, false},
                 {12, 10, 0, 16, false}, {13, 10, 0, 32, false}, {14, 10, 0, 64, false},
                 {15, 10, 0, 8, true},   {16, 10, 0, 16, true},  {17, 10, 0, 32, true},
                 {18, 10, 0, 64, true},  {19, 12, 0, 0, false},  {20, 13, 0, 0, false}};
    for (size_t i = 0; e->logical == 0 && i < SL_LEN(table); i++) {
        if (table[i].converted == e->converted) {
            e->logical = table[i].logical;
            e->unit = table[i].unit;
            e->utc = table[i].logical == 8; /* the old types meant UTC */
            e->bits = table[i].bits;
            e->is_signed = table[i].is_signed;
            return;
        }
    }
}

/** Decimal, where the physical type can hold one. */
static bool as_decimal(const struct element *e, struct pq_column *c, struct sl_table_field *f)
{
    bool holds = c->physical == PQ_INT32 || c->physical == PQ_INT64 || c->physical == PQ_BYTES ||
                 (c->physical == PQ_FIXED && c->width >= 1 && c->width <= 16);
    if (!holds || e->precision < 1 || e->precision > 38 || e->scale < 0 ||
        e->scale > e->precision) {
        return false;
    }
    c->convert = PQ_AS_DECIMAL;
    f->type = SL_TABLE_DECIMAL;
    f->scale = (int)e->scale;
    return true;
}

static void as_integer(const struct element *e, struct pq_column *c, struct sl_table_field *f)
{
    bool is_unsigned = e->logical == 10 && !e->is_signed;
    f->type = SL_TABLE_INT64;
    c->convert = PQ_AS_INT;
    if (is_unsigned && c->physical == PQ_INT32) {
        c->convert = PQ_AS_UINT32;
    } else if (is_unsigned && c->physical == PQ_INT64) {
        c->convert = PQ_AS_UINT64; /* an int64 would not hold the upper half */
        f->type = SL_TABLE_DECIMAL;
    }
}

/** How this column's stored values become ours. False when they cannot. */
static bool find_type(const struct element *e, struct pq_column *c, struct sl_table_field *f)
{
    static const size_t widths[] = {1, 4, 8, 12, 4, 8, 0, 0};
    static const enum pq_convert of_unit[] = {PQ_AS_MILLIS, PQ_AS_MICROS, PQ_AS_NANOS};
    if (e->type < PQ_BOOLEAN || e->type > PQ_FIXED) {
        return false;
    }
    c->physical = (enum pq_physical)e->type;
    c->width = c->physical == PQ_FIXED ? (size_t)SL_MAX(e->width, (int64_t)0) : widths[e->type];
    if (c->physical == PQ_FIXED && (e->width < 1 || e->width > SL_TABLE_FIELD_BYTES_MAX)) {
        return false;
    }
    if (e->logical == 5) {
        return as_decimal(e, c, f);
    }
    f->type = SL_TABLE_FLOAT64;
    c->convert = PQ_AS_FLOAT;
    switch (c->physical) {
    case PQ_BOOLEAN:
        f->type = SL_TABLE_BOOL;
        c->convert = PQ_AS_BOOL;
        break;
    case PQ_INT32:
    case PQ_INT64:
        as_integer(e, c, f);
        if (e->logical == 6 && c->physical == PQ_INT32) {
            f->type = SL_TABLE_DATE;
            c->convert = PQ_AS_DATE;
        } else if (e->logical == 8 && c->physical == PQ_INT64) {
            f->type = SL_TABLE_TIMESTAMP;
            if (e->unit < 1 || e->unit > 3) {
                return false;
            }
            c->convert = of_unit[e->unit - 1];
            c->zoned = e->utc;
        }
        break;
    case PQ_INT96:
        f->type = SL_TABLE_TIMESTAMP;
        c->convert = PQ_AS_INT96;
        break;
    case PQ_FLOAT:
    case PQ_DOUBLE: break;
    case PQ_BYTES:
    case PQ_FIXED:
        f->type = SL_TABLE_STRING;
        c->convert = PQ_AS_BYTES;
        f->binary = e->logical != 1 && e->logical != 4 && e->logical != 12;
        if (c->physical == PQ_FIXED && e->logical == 15 && c->width == 2) {
            f->type = SL_TABLE_FLOAT64;
            f->binary = false;
            c->convert = PQ_AS_HALF;
        }
        break;
    }
    return true;
}

static const char *stated_type(const struct element *e)
{
    static const char *const names[] = {"BOOLEAN", "INT32",  "INT64",      "INT96",
                                        "FLOAT",   "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"};
    return e->type >= 0 && e->type < (int64_t)SL_LEN(names) ? names[e->type] : "a group";
}

/** Top-level columns: each one's element, and its place among the leaves. */
struct tops {
    struct element *items;
    uint32_t *leaves;
    const char **names;
    size_t n;
};

/** The flat list in depth-first order: what is not a leaf right below the root is nested. */
static int read_tops(struct sl_table *t, struct pq *q, struct thrift *th, size_t n_elements,
                     struct tops *tops, struct sl_err *err)
{
    struct element root;
    read_element(t, th, &root);
    if (n_elements < 1 || root.n_children < 1 || (uint64_t)root.n_children >= n_elements ||
        root.n_children > SL_TABLE_COLUMNS_MAX) {
        th->failed = true;
        return sl_err_set(err, SL_EINVAL, "%s: its schema has no columns, or more than %d",
                          t->source.name, SL_TABLE_COLUMNS_MAX);
    }
    size_t n = (size_t)root.n_children;
    tops->items = SL_ARENA_ARRAY(&t->arena, struct element, n);
    tops->leaves = SL_ARENA_ARRAY(&t->arena, uint32_t, n);
    tops->names = SL_ARENA_ARRAY(&t->arena, const char *, n);
    uint64_t below = 0; /* elements still due below the current top */
    for (size_t i = 1; i < n_elements && !th->failed; i++) {
        struct element e;
        read_element(t, th, &e);
        if (below == 0 && tops->n == n) {
            break;
        }
        if (below == 0) {
            tops->leaves[tops->n] = q->n_leaves;
            tops->names[tops->n] = e.name;
            tops->items[tops->n++] = e;
        } else {
            below--;
        }
        below += (uint64_t)e.n_children;
        q->n_leaves += e.n_children == 0;
    }
    if (th->failed || tops->n != n || below != 0 || q->n_leaves == 0 ||
        q->n_leaves > PQ_LEAVES_MAX) {
        return sl_err_set(err, SL_EINVAL, "%s: its schema is damaged", t->source.name);
    }
    return 0;
}

static int use_columns(struct sl_table *t, struct pq *q, struct tops *tops, struct sl_err *err)
{
    int32_t *slots = SL_ARENA_ARRAY(&t->arena, int32_t, tops->n);
    int rc = table_select(t, tops->names, tops->n, slots, err);
    if (rc != 0) {
        return rc;
    }
    q->columns = SL_ARENA_ARRAY(&t->arena, struct pq_column, t->n_fields);
    rc = table_mem_grow(t, &q->of_leaf, q->n_leaves * sizeof(struct pq_column *), err);
    if (rc != 0) {
        return rc;
    }
    struct pq_column **of_leaf = q->of_leaf.ptr;
    memset(of_leaf, 0, q->n_leaves * sizeof(*of_leaf));
    for (size_t i = 0; i < tops->n; i++) {
        if (slots[i] < 0) {
            continue;
        }
        struct element *e = &tops->items[i];
        struct pq_column *c = &q->columns[slots[i]];
        struct sl_table_field *f = &t->fields[slots[i]];
        c->name = f->name;
        c->leaf = tops->leaves[i];
        if (c->leaf < q->n_leaves) {
            of_leaf[c->leaf] = c;
        }
        if (e->n_children > 0 || e->repetition == 2) {
            return sl_err_set(
                err, SL_EUNSUPPORTED,
                "%s: column \"%s\" is nested: select the columns to be read without it",
                t->source.name, f->name);
        }
        unify_logical(e);
        if (!find_type(e, c, f)) {
            return sl_err_set(
                err, SL_EUNSUPPORTED,
                "%s: column \"%s\" has a type that is not known here (%s): select the "
                "columns to be read without it",
                t->source.name, f->name, stated_type(e));
        }
        c->optional = e->repetition == 1;
        f->nullable = c->optional;
        f->why = sl_arena_printf(&t->arena, "stated by the file (%s)", stated_type(e));
    }
    return 0;
}

/** Notes where each group's struct begins, and its rows. */
static int read_groups(struct sl_table *t, struct pq *q, struct thrift *th, size_t n,
                       struct sl_err *err)
{
    uint64_t rows = 0;
    int rc = n <= PQ_GROUPS_MAX ? 0
                                : sl_err_set(err, SL_ELIMIT, "%s: %zu row groups, at most %u",
                                             t->source.name, n, PQ_GROUPS_MAX);
    rc = rc == 0
             ? table_mem_grow(t, &q->groups, SL_MAX(n, (size_t)1) * sizeof(struct pq_group), err)
             : rc;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct pq_group *g = (struct pq_group *)q->groups.ptr + i;
        *g = (struct pq_group){.at = (size_t)(th->p - (const uint8_t *)q->footer.ptr)};
        struct thrift_field f = {0};
        while (thrift_field(th, &f)) {
            if (f.id == 3) {
                g->n_rows = (uint64_t)thrift_size(th, &f, INT64_MAX);
            } else {
                thrift_skip(th, f.type);
            }
        }
        if (th->failed || g->n_rows > INT64_MAX - rows) {
            return sl_err_set(err, SL_EINVAL, "%s: row group %zu of its footer is damaged",
                              t->source.name, i);
        }
        rows += g->n_rows;
    }
    q->n_groups = rc == 0 ? n : 0;
    t->schema.n_rows = (int64_t)rows;
    return rc;
}

static int load_footer(struct sl_table *t, struct pq *q, size_t *ret_len, struct sl_err *err)
{
    uint8_t tail[8];
    uint32_t len = 0;
    if (t->source.size < 12) {
        return sl_err_set(err, SL_EINVAL, "%s: too short for a Parquet file", t->source.name);
    }
    int rc = table_read(t, t->source.size - 8, tail, 8, err);
    if (rc != 0) {
        return rc;
    }
    memcpy(&len, tail, 4);
    if (memcmp(tail + 4, "PARE", 4) == 0) {
        return sl_err_set(err, SL_EUNSUPPORTED, "%s: its footer is encrypted", t->source.name);
    }
    if (memcmp(tail + 4, "PAR1", 4) != 0 || len > t->source.size - 12) {
        return sl_err_set(err, SL_EINVAL, "%s: does not end in a Parquet footer (cut short?)",
                          t->source.name);
    }
    if (len > PQ_FOOTER_BYTES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: a footer of %u bytes, at most %u", t->source.name,
                          len, PQ_FOOTER_BYTES_MAX);
    }
    rc = table_mem_grow(t, &q->footer, SL_MAX(len, 1u), err);
    *ret_len = len;
    return rc != 0 ? rc : table_read(t, t->source.size - 8 - len, q->footer.ptr, len, err);
}

int pq_meta_read(struct sl_table *t, struct pq *q, struct sl_err *err)
{
    size_t len = 0;
    int rc = load_footer(t, q, &len, err);
    if (rc != 0) {
        return rc;
    }
    struct thrift th = {.p = q->footer.ptr, .end = (const uint8_t *)q->footer.ptr + len};
    struct thrift_field f = {0};
    struct tops tops = {0};
    bool has_groups = false;
    while (rc == 0 && thrift_field(&th, &f)) {
        if (f.id == 2 && tops.n == 0) {
            rc = read_tops(t, q, &th, thrift_list(&th, &f, THRIFT_STRUCT), &tops, err);
        } else if (f.id == 4 && !has_groups) {
            has_groups = true;
            rc = read_groups(t, q, &th, thrift_list(&th, &f, THRIFT_STRUCT), err);
        } else {
            thrift_skip(&th, f.type);
        }
    }
    if (rc == 0 && (th.failed || tops.n == 0 || !has_groups)) {
        return sl_err_set(err, SL_EINVAL, "%s: its footer is damaged", t->source.name);
    }
    q->group_end = q->n_groups;
    return rc == 0 ? use_columns(t, q, &tops, err) : rc;
}

/** A ColumnMetaData's places. */
static void read_chunk_meta(struct thrift *th, struct pq_column *c, int64_t *ret_type)
{
    struct thrift_field f = {0};
    int64_t data = -1;
    int64_t dictionary = -1;
    int64_t bytes = 0;
    while (thrift_field(th, &f)) {
        switch (f.id) {
        case 1: *ret_type = thrift_int(th, &f); break;
        case 4: c->codec = (enum pq_codec)thrift_size(th, &f, PQ_LZ4_RAW); break;
        case 5: c->left = (uint64_t)thrift_size(th, &f, INT64_MAX); break;
        case 7: bytes = thrift_size(th, &f, INT64_MAX); break;
        case 9: data = thrift_size(th, &f, INT64_MAX); break;
        case 11: dictionary = thrift_size(th, &f, INT64_MAX); break;
        default: thrift_skip(th, f.type); break;
        }
    }
    /* Some writers state 0 for a dictionary that is not there, or one behind the data. */
    int64_t from = dictionary > 0 && dictionary < data ? dictionary : data;
    th->failed |= from < 0 || bytes > INT64_MAX - from;
    c->pos = th->failed ? 0 : (uint64_t)from;
    c->end = th->failed ? 0 : (uint64_t)(from + bytes);
}

static void read_chunk(struct thrift *th, struct pq_column *c, int64_t *ret_type, bool *ret_other)
{
    struct thrift_field f = {0};
    while (thrift_field(th, &f)) {
        if (f.id == 1) {
            *ret_other = true; /* data in another file */
            thrift_skip(th, f.type);
        } else if (f.id == 3 && thrift_struct(th, &f)) {
            read_chunk_meta(th, c, ret_type);
        } else {
            thrift_skip(th, f.type);
        }
    }
}

static int check_chunk(struct sl_table *t, struct pq_column *c, int64_t type, bool other,
                       uint64_t n_rows, struct sl_err *err)
{
    if (other) {
        return sl_err_set(err, SL_EUNSUPPORTED, "%s: column \"%s\" lies in another file",
                          t->source.name, c->name);
    }
    if (type != (int64_t)c->physical || c->left != n_rows || c->end > t->source.size) {
        return pq_bad(t, c, "its place in the footer contradicts the schema or the file's size",
                      err);
    }
    c->has_dict = false;
    c->page_left = 0;
    return 0;
}

int pq_meta_group(struct sl_table *t, struct pq *q, size_t group, struct sl_err *err)
{
    const struct pq_group *g = (const struct pq_group *)q->groups.ptr + group;
    const uint8_t *footer = q->footer.ptr;
    struct pq_column *const *of_leaf = q->of_leaf.ptr;
    struct thrift th = {.p = footer + g->at, .end = footer + q->footer.cap};
    struct thrift_field f = {0};
    size_t n_found = 0;
    while (thrift_field(&th, &f)) {
        size_t n = 0;
        if (f.id != 1) {
            thrift_skip(&th, f.type);
            continue;
        }
        n = thrift_list(&th, &f, THRIFT_STRUCT);
        for (size_t leaf = 0; leaf < n && !th.failed; leaf++) {
            struct pq_column skipped = {0};
            struct pq_column *c = &skipped;
            if (leaf < q->n_leaves && of_leaf[leaf] != NULL) {
                c = of_leaf[leaf];
            }
            int64_t type = -1;
            bool other = false;
            read_chunk(&th, c, &type, &other);
            int rc =
                c != &skipped && !th.failed ? check_chunk(t, c, type, other, g->n_rows, err) : 0;
            if (rc != 0) {
                return rc;
            }
            n_found += c != &skipped;
        }
    }
    if (th.failed || n_found != t->n_fields) {
        return sl_err_set(err, SL_EINVAL, "%s: row group %zu of its footer is damaged",
                          t->source.name, group);
    }
    return 0;
}
