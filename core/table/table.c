/**
 * The door: opening by format, batches, selection, bad rows, accounted memory.
 *
 * Thread: one table, one thread at a time. Must not: read anything but the source.
 */
#include "core/base/base.h"

#include "core/table/text_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAGIC_BYTES 16

static const struct table_format formats[] = {
#define SL_FORMAT(name, reader, magic, extensions, help) {name, magic, extensions, &table_##reader},
#include "core/table/formats.def"
#undef SL_FORMAT
};

static const char *const type_names[SL_TABLE_TYPE_N] = {"bool",      "int64",   "float64", "date",
                                                        "timestamp", "decimal", "string"};

const char *sl_table_type_name(enum sl_table_type type)
{
    return type_names[type];
}

bool sl_table_type_parse(const char *name, enum sl_table_type *ret_type)
{
    for (size_t i = 0; i < SL_TABLE_TYPE_N; i++) {
        if (sl_streq(type_names[i], name)) {
            *ret_type = (enum sl_table_type)i;
            return true;
        }
    }
    return false;
}

static int memory_read(void *data, uint64_t offset, void *buf, size_t len, size_t *ret_len,
                       struct sl_err *err)
{
    (void)err;
    const struct sl_table_memory *memory = data;
    size_t from = (size_t)SL_MIN(offset, memory->len);
    size_t n = SL_MIN(len, memory->len - from);
    if (n > 0) {
        memcpy(buf, (const char *)memory->bytes + from, n);
    }
    *ret_len = n;
    return 0;
}

struct sl_table_source sl_table_source_memory(const struct sl_table_memory *memory,
                                              const char *name)
{
    /* Only memory_read sees the pointer, and it takes it back as const. */
    return (struct sl_table_source){.read_at = memory_read,
                                    .data = (void *)(uintptr_t)memory,
                                    .size = memory->len,
                                    .name = name};
}

int table_mem_grow(struct sl_table *t, struct table_mem *m, size_t want, struct sl_err *err)
{
    if (want <= m->cap) {
        return 0;
    }
    size_t room = t->opts.memory_max - t->memory_used;
    if (want - m->cap > room) {
        return sl_err_set(
            err, SL_ELIMIT,
            "%s: %zu more bytes of memory are needed beside %zu, over the limit of %zu",
            t->source.name, want - m->cap, t->memory_used, t->opts.memory_max);
    }
    void *grown = realloc(m->ptr, want);
    if (grown == NULL) {
        return sl_err_set(err, SL_ENOMEMORY, "%s: no memory for %zu bytes", t->source.name, want);
    }
    t->memory_used += want - m->cap;
    m->ptr = grown;
    m->cap = want;
    return 0;
}

void table_mem_free(struct sl_table *t, struct table_mem *m)
{
    free(m->ptr);
    t->memory_used -= m->cap;
    *m = (struct table_mem){0};
}

int table_read(struct sl_table *t, uint64_t offset, void *buf, size_t len, struct sl_err *err)
{
    size_t done = 0;
    while (done < len) {
        size_t n = 0;
        int rc = t->source.read_at(t->source.data, offset + done, (char *)buf + done, len - done,
                                   &n, err);
        if (rc != 0) {
            return rc;
        }
        if (n == 0) {
            return sl_err_set(err, SL_EINVAL, "%s: ends at byte %llu, %zu bytes early",
                              t->source.name, (unsigned long long)(offset + done), len - done);
        }
        done += n;
    }
    return 0;
}

size_t table_type_bytes(enum sl_table_type type)
{
    switch (type) {
    case SL_TABLE_BOOL: return 1;
    case SL_TABLE_DATE:
    case SL_TABLE_STRING: return 4;
    case SL_TABLE_INT64:
    case SL_TABLE_FLOAT64:
    case SL_TABLE_TIMESTAMP: return 8;
    case SL_TABLE_DECIMAL: return 16;
    }
    return 16;
}

static int select_one(struct sl_table *t, const char *const *names, size_t n, size_t place,
                      int32_t *slots, struct sl_err *err)
{
    const char *wanted = t->opts.columns[place];
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(names[i], wanted)) {
            if (slots[i] >= 0) {
                return sl_err_set(err, SL_EINVAL, "%s: column \"%s\" is selected twice",
                                  t->source.name, wanted);
            }
            slots[i] = (int32_t)place;
            t->fields[place].name = sl_arena_strdup(&t->arena, wanted);
            return 0;
        }
    }
    const char *near = sl_nearest(wanted, names, n);
    return sl_err_set(err, SL_ENOTFOUND, "%s: no column \"%s\"%s%s%s", t->source.name, wanted,
                      near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
                      near != NULL ? "\"?" : "");
}

int table_select(struct sl_table *t, const char *const *names, size_t n, int32_t *ret_slots,
                 struct sl_err *err)
{
    size_t n_fields = t->opts.columns != NULL ? t->opts.n_columns : n;
    if (n > SL_TABLE_COLUMNS_MAX || n_fields > SL_TABLE_COLUMNS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: %zu columns, at most %d", t->source.name,
                          SL_MAX(n, n_fields), SL_TABLE_COLUMNS_MAX);
    }
    if (n_fields == 0) {
        return sl_err_set(err, SL_EINVAL, "%s: no columns", t->source.name);
    }
    t->fields = SL_ARENA_ARRAY(&t->arena, struct sl_table_field, n_fields);
    t->n_fields = n_fields;
    for (size_t i = 0; i < n; i++) {
        ret_slots[i] = t->opts.columns == NULL ? (int32_t)i : -1;
        if (t->opts.columns == NULL) {
            t->fields[i].name = sl_arena_strdup(&t->arena, names[i]);
        }
    }
    for (size_t i = 0; t->opts.columns != NULL && i < n_fields; i++) {
        int rc = select_one(t, names, n, i, ret_slots, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/** values, valid and zoned of one vector lie in one block. */
static int vector_init(struct sl_table *t, size_t i, struct sl_err *err)
{
    struct table_vector *v = &t->vectors[i];
    size_t rows = t->batch_rows;
    size_t values = ((rows + 1) * table_type_bytes(t->fields[i].type) + 15) & ~(size_t)15;
    bool zoned = t->fields[i].type == SL_TABLE_TIMESTAMP;
    size_t want = values + rows * (zoned ? 2 : 1);
    int rc = table_mem_grow(t, &v->block, want, err);
    if (rc != 0) {
        return rc;
    }
    memset(v->block.ptr, 0, want);
    v->values = v->block.ptr;
    v->valid = (uint8_t *)v->block.ptr + values;
    v->zoned = zoned ? v->valid + rows : NULL;
    return t->fields[i].type == SL_TABLE_STRING ? table_bytes_reserve(t, v, 1, err) : 0;
}

int table_vectors_init(struct sl_table *t, struct sl_err *err)
{
    size_t row_bytes = 8;
    for (size_t i = 0; i < t->n_fields; i++) {
        row_bytes += table_type_bytes(t->fields[i].type) + 2;
    }
    size_t fit = t->opts.memory_max / 4 / row_bytes;
    t->batch_rows = SL_MAX(SL_MIN((size_t)t->opts.batch_rows, fit), (size_t)1);
    t->batch_bytes_max = t->opts.memory_max / 8;
    t->vectors = SL_ARENA_ARRAY(&t->arena, struct table_vector, t->n_fields);
    t->columns = SL_ARENA_ARRAY(&t->arena, struct sl_table_column, t->n_fields);
    int rc = table_mem_grow(t, &t->row_block, t->batch_rows * sizeof(uint64_t), err);
    for (size_t i = 0; rc == 0 && i < t->n_fields; i++) {
        rc = vector_init(t, i, err);
    }
    t->rows = t->row_block.ptr;
    return rc;
}

int table_bytes_reserve(struct sl_table *t, struct table_vector *v, size_t len, struct sl_err *err)
{
    size_t want = v->n_bytes + len;
    if (want <= v->bytes.cap) {
        return 0;
    }
    if (want > UINT32_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: more than 4 GiB of text in one batch",
                          t->source.name);
    }
    size_t doubled = SL_MAX(v->bytes.cap * 2, (size_t)4096);
    if (doubled > want && doubled - v->bytes.cap <= t->opts.memory_max - t->memory_used) {
        want = doubled;
    }
    return table_mem_grow(t, &v->bytes, want, err);
}

int table_bad_row(struct sl_table *t, const struct sl_table_bad *bad, struct sl_err *err)
{
    t->n_bad++;
    if (t->opts.on_bad == SL_TABLE_BAD_FAIL) {
        char line[32] = "";
        if (bad->line > 0) {
            (void)snprintf(line, sizeof(line), ", line %llu", (unsigned long long)bad->line);
        }
        return sl_err_set(
            err, SL_EINVAL, "%s: row %llu%s%s%s%s: %s", t->source.name,
            (unsigned long long)bad->row, line, bad->column != NULL ? ", column \"" : "",
            bad->column != NULL ? bad->column : "", bad->column != NULL ? "\"" : "", bad->reason);
    }
    if (t->n_samples < t->opts.bad_samples) {
        struct sl_table_bad *sample = &t->samples[t->n_samples++];
        *sample = *bad;
        sample->column = bad->column != NULL ? sl_arena_strdup(&t->arena, bad->column) : NULL;
        sample->reason = sl_arena_strdup(&t->arena, bad->reason);
        sample->bytes = NULL;
        sample->n_bytes = 0;
    }
    if (t->opts.on_bad == SL_TABLE_BAD_QUARANTINE && t->opts.bad != NULL) {
        t->opts.bad(bad, t->opts.bad_data);
    }
    return 0;
}

bool table_is_null(const struct sl_table *t, const char *text, size_t len, bool is_string,
                   bool quoted)
{
    if (is_string && (quoted || !t->own_nulls)) {
        return !quoted && len == 0;
    }
    for (size_t i = 0; i < t->n_nulls; i++) {
        if (strlen(t->nulls[i]) == len && memcmp(t->nulls[i], text, len) == 0) {
            return true;
        }
    }
    return false;
}

static int fill_opts(struct sl_table *t, const struct sl_table_opts *opts, struct sl_err *err)
{
    static const char *const usual[] = {"",     "NA",   "N/A", "n/a", "#N/A", "<NA>", "NULL",
                                        "null", "None", "NaN", "nan", "-nan", "-NaN"};
    struct sl_table_opts *o = &t->opts;
    *o = opts != NULL ? *opts : (struct sl_table_opts){0};
    o->infer_rows = o->infer_rows != 0 ? o->infer_rows : SL_TABLE_INFER_ROWS;
    o->batch_rows = o->batch_rows != 0 ? o->batch_rows : SL_TABLE_BATCH_ROWS;
    o->memory_max = o->memory_max != 0 ? o->memory_max : SL_TABLE_MEMORY;
    o->bad_samples = o->bad_samples != 0 ? o->bad_samples : SL_TABLE_BAD_SAMPLES;
    if (o->infer_rows > SL_TABLE_INFER_ROWS_MAX || o->batch_rows > SL_TABLE_BATCH_ROWS_MAX ||
        o->bad_samples > SL_TABLE_BAD_SAMPLES_MAX || o->memory_max < SL_TABLE_MEMORY_MIN ||
        o->n_nulls > SL_TABLE_NULLS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: an option is over its limit", t->source.name);
    }
    if (o->range != NULL && (o->row_first != 0 || o->row_count != 0)) {
        return sl_err_set(err, SL_EINVAL,
                          "%s: a range of a split and a range of rows exclude one "
                          "another",
                          t->source.name);
    }
    t->has_range = o->range != NULL;
    t->range = t->has_range ? *o->range : (struct sl_table_range){0};
    t->row_begin = o->row_first;
    t->row_end = o->row_count == 0 || o->row_count > UINT64_MAX - o->row_first
                     ? UINT64_MAX
                     : o->row_first + o->row_count;
    t->own_nulls = o->nulls != NULL;
    const char *const *nulls = t->own_nulls ? o->nulls : usual;
    t->n_nulls = t->own_nulls ? o->n_nulls : SL_LEN(usual);
    t->nulls = SL_ARENA_ARRAY(&t->arena, const char *, t->n_nulls + 1);
    for (size_t i = 0; i < t->n_nulls; i++) {
        t->nulls[i] = sl_arena_strdup(&t->arena, nulls[i]);
    }
    t->samples = SL_ARENA_ARRAY(&t->arena, struct sl_table_bad, o->bad_samples);
    return 0;
}

/** One of the blank-separated extensions ends the name. */
static bool has_extension(const char *name, const char *extensions)
{
    for (const char *p = extensions; *p != '\0';) {
        size_t len = strcspn(p, " ");
        size_t name_len = strlen(name);
        if (name_len > len && strncasecmp(name + name_len - len, p, len) == 0) {
            return true;
        }
        p += len + (p[len] == ' ');
    }
    return false;
}

static const struct table_format *detect(const struct sl_table_source *source, struct sl_err *err)
{
    char head[MAGIC_BYTES] = "";
    size_t n = 0;
    if (source->size > 0 && source->read_at(source->data, 0, head, sizeof(head), &n, err) != 0) {
        return NULL;
    }
    for (size_t i = 0; i < SL_LEN(formats); i++) {
        size_t len = strlen(formats[i].magic);
        if (len > 0 && n >= len && memcmp(head, formats[i].magic, len) == 0) {
            return &formats[i];
        }
    }
    for (size_t i = 0; i < SL_LEN(formats); i++) {
        if (has_extension(source->name, formats[i].extensions)) {
            return &formats[i];
        }
    }
    (void)sl_err_set(err, SL_EUNSUPPORTED,
                     "%s: neither its first bytes nor its name say which format it is; name one",
                     source->name);
    return NULL;
}

const char *sl_table_format_of(const struct sl_table_source *source, struct sl_err *err)
{
    const struct table_format *format = detect(source, err);
    return format != NULL ? format->name : NULL;
}

static int find_format(struct sl_table *t, struct sl_err *err)
{
    const char *names[SL_LEN(formats)];
    if (t->opts.format == NULL) {
        t->format = detect(&t->source, err);
        return t->format != NULL ? 0 : -err->code;
    }
    for (size_t i = 0; i < SL_LEN(formats); i++) {
        names[i] = formats[i].name;
        if (sl_streq(names[i], t->opts.format)) {
            t->format = &formats[i];
            return 0;
        }
    }
    const char *near = sl_nearest(t->opts.format, names, SL_LEN(names));
    return sl_err_set(err, SL_EINVAL, "%s: no table format \"%s\"%s%s", t->source.name,
                      t->opts.format, near != NULL ? "; did you mean " : "",
                      near != NULL ? near : "");
}

int sl_table_open(const struct sl_table_source *source, const struct sl_table_opts *opts,
                  struct sl_table **ret_table, struct sl_err *err)
{
    struct sl_err local = SL_ERR_INIT;
    err = err != NULL ? err : &local;
    struct sl_table *t = SL_NEW(struct sl_table);
    sl_arena_init(&t->arena, 0);
    t->source = *source;
    t->source.name = sl_arena_strdup(&t->arena, source->name != NULL ? source->name : "table");
    int rc = fill_opts(t, opts, err);
    if (rc == 0) {
        rc = find_format(t, err);
    }
    if (rc == 0) {
        t->schema.n_rows = -1;
        rc = t->format->reader->open(t, err);
    }
    if (rc != 0) {
        sl_table_free(t);
        return rc;
    }
    t->schema.format = t->format->name;
    t->schema.fields = t->fields;
    t->schema.n_fields = t->n_fields;
    t->opts.columns = NULL;
    t->opts.nulls = NULL;
    t->opts.types = NULL;
    t->opts.range = NULL;
    t->opts.format = NULL;
    *ret_table = t;
    return 0;
}

void sl_table_free(struct sl_table *t)
{
    if (t == NULL) {
        return;
    }
    if (t->format != NULL) {
        t->format->reader->close(t);
    }
    for (size_t i = 0; t->vectors != NULL && i < t->n_fields; i++) {
        table_mem_free(t, &t->vectors[i].block);
        table_mem_free(t, &t->vectors[i].bytes);
    }
    table_mem_free(t, &t->row_block);
    SL_ASSERT(t->memory_used == 0);
    sl_arena_release(&t->arena);
    free(t);
}

const struct sl_table_schema *sl_table_schema(const struct sl_table *t)
{
    return &t->schema;
}

static void show_column(struct sl_table *t, size_t i)
{
    struct table_vector *v = &t->vectors[i];
    struct sl_table_column *c = &t->columns[i];
    size_t n_valid = 0;
    for (size_t k = 0; k < t->n_rows; k++) {
        n_valid += v->valid[k];
    }
    c->field = &t->fields[i];
    c->valid = v->valid;
    c->n_nulls = t->n_rows - n_valid;
    c->ints = v->values; /* the union's members are pointers of one size */
    c->bytes = t->fields[i].type == SL_TABLE_STRING ? v->bytes.ptr : NULL;
    c->had_zone = v->zoned;
}

int sl_table_next(struct sl_table *t, const struct sl_table_batch **ret_batch, struct sl_err *err)
{
    struct sl_err local = SL_ERR_INIT;
    err = err != NULL ? err : &local;
    t->n_rows = 0;
    for (size_t i = 0; i < t->n_fields; i++) {
        t->vectors[i].n_bytes = 0;
    }
    int rc = t->done ? 0 : t->format->reader->next(t, err);
    if (rc != 0) {
        t->done = true;
        return rc;
    }
    t->done = t->n_rows == 0;
    if (t->done) {
        *ret_batch = NULL;
        return 0;
    }
    for (size_t i = 0; i < t->n_fields; i++) {
        show_column(t, i);
    }
    bool gaps = t->rows[t->n_rows - 1] - t->rows[0] != t->n_rows - 1;
    t->batch = (struct sl_table_batch){.n_rows = t->n_rows,
                                       .columns = t->columns,
                                       .n_columns = t->n_fields,
                                       .first_row = t->rows[0],
                                       .rows = gaps ? t->rows : NULL};
    *ret_batch = &t->batch;
    return 0;
}

uint64_t sl_table_bad_count(const struct sl_table *t)
{
    return t->n_bad;
}

const struct sl_table_bad *sl_table_bad_samples(const struct sl_table *t, size_t *ret_n)
{
    *ret_n = t->n_samples;
    return t->samples;
}

int sl_table_split(struct sl_table *t, size_t n, struct sl_table_range *ret_ranges, size_t *ret_n,
                   struct sl_err *err)
{
    struct sl_err local = SL_ERR_INIT;
    if (n < 1 || n > SL_TABLE_SPLIT_MAX) {
        return sl_err_set(err, SL_EINVAL, "a table is split into 1 to %d ranges",
                          SL_TABLE_SPLIT_MAX);
    }
    return t->format->reader->split(t, n, ret_ranges, ret_n, err != NULL ? err : &local);
}
