/**
 * What the readers of core/table share: the table, its column vectors, accounted memory.
 *
 * Stays inside the room.
 */
#ifndef SL_TABLE_PRIV_H
#define SL_TABLE_PRIV_H

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/table/table.h"

/** A buffer whose size counts against the table's memory_max. */
struct table_mem {
    void *ptr;
    size_t cap;
};

/** The growing side of a column of a batch. */
struct table_vector {
    void *values; /* by type; strings: offsets */
    uint8_t *valid;
    uint8_t *zoned; /* timestamps */
    struct table_mem block;
    struct table_mem bytes;
    size_t n_bytes; /* strings: used of bytes */
};

/** The functions of a format of formats.def. */
struct table_reader {
    /** Fills fields and the reader's state; on failure `close` is called. */
    int (*open)(struct sl_table *t, struct sl_err *err);
    /** Fills vectors from row 0 and sets n_rows (0 at the end). */
    int (*next)(struct sl_table *t, struct sl_err *err);
    int (*split)(struct sl_table *t, size_t n, struct sl_table_range *ranges, size_t *ret_n,
                 struct sl_err *err);
    void (*close)(struct sl_table *t);
};

struct table_format {
    const char *name, *magic, *extensions;
    const struct table_reader *reader;
};

struct sl_table {
    struct sl_table_source source;
    struct sl_table_opts opts;         /* defaults filled in; pointers valid while opening only */
    const struct table_format *format; /* row of formats.def */
    void *reader;                      /* the format's own */
    struct sl_arena arena;
    size_t memory_used;

    struct sl_table_schema schema;
    struct sl_table_field *fields;
    struct table_vector *vectors;
    struct sl_table_column *columns;
    size_t n_fields;

    struct sl_table_range range; /* opts.range when has_range */
    bool has_range;
    uint64_t row_begin, row_end; /* half open, from opts */

    const char **nulls;
    size_t n_nulls;
    bool own_nulls; /* the caller named them: strings take them too */

    struct sl_table_batch batch;
    struct table_mem row_block;
    uint64_t *rows; /* batch_rows */
    size_t n_rows;
    size_t batch_rows;      /* after memory was considered */
    size_t batch_bytes_max; /* of text in one batch */

    uint64_t n_bad;
    struct sl_table_bad *samples;
    size_t n_samples;
    bool done;
};

/** Grows a buffer to at least `want` bytes, keeping its content. -SL_ELIMIT over memory_max. */
int table_mem_grow(struct sl_table *t, struct table_mem *m, size_t want, struct sl_err *err);
void table_mem_free(struct sl_table *t, struct table_mem *m);
/** Reads exactly `len` bytes; fewer is -SL_EINVAL. */
int table_read(struct sl_table *t, uint64_t offset, void *buf, size_t len, struct sl_err *err);

/** The fields of the selection, in its order. `names` are all columns of the file; `ret_slots` (n)
 * gets each one's place in the selection or -1. Fields get their names; types are the caller's. */
int table_select(struct sl_table *t, const char *const *names, size_t n, int32_t *ret_slots,
                 struct sl_err *err);
/** Sets up vectors for fields with their final types, and batch_rows. */
int table_vectors_init(struct sl_table *t, struct sl_err *err);
/** Room for `len` more bytes of strings. */
int table_bytes_reserve(struct sl_table *t, struct table_vector *v, size_t len, struct sl_err *err);
size_t table_type_bytes(enum sl_table_type type);

/** Counts, samples and hands over a bad row. Under `fail` it is the error (-SL_EINVAL). */
int table_bad_row(struct sl_table *t, const struct sl_table_bad *bad, struct sl_err *err);

/** True when the text means null in this type of column. */
bool table_is_null(const struct sl_table *t, const char *text, size_t len, bool is_string,
                   bool quoted);

/** Readers of formats.def. */
#define SL_FORMAT(name, reader, magic, extensions, help)                                           \
    extern const struct table_reader table_##reader;
#include "core/table/formats.def"
#undef SL_FORMAT

#endif
