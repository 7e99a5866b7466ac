/**
 * Tables as streams of typed columns: one interface over CSV, TSV, JSON lines, npy, npz and Parquet.
 *
 * Pure: bytes come from the caller's random-access source, memory is bounded by the caller's limit,
 * nothing is logged. Thread: one table is used by one thread at a time; different tables over one
 * source may run in parallel when its read_at may.
 *
 *     sl_table_open(&source, &opts, &table, err)   schema known from here on
 *     sl_table_next(table, &batch, err)            until batch is NULL
 *     sl_table_free(table)
 */
#ifndef SL_TABLE_H
#define SL_TABLE_H

#include "core/base/err.h"

#define SL_TABLE_COLUMNS_MAX      16384
#define SL_TABLE_NAME_BYTES_MAX   1024        /* of one column's name */
#define SL_TABLE_HEADER_BYTES_MAX (4u << 20)  /* a header row, the names of all columns */
#define SL_TABLE_FIELD_BYTES_MAX  (1u << 20)  /* one value of text */
#define SL_TABLE_ROW_BYTES_MAX    (16u << 20) /* one row of text */
#define SL_TABLE_BATCH_ROWS       8192        /* default */
#define SL_TABLE_BATCH_ROWS_MAX   (1u << 20)
#define SL_TABLE_INFER_ROWS       1000 /* default */
#define SL_TABLE_INFER_ROWS_MAX   (1u << 20)
#define SL_TABLE_MEMORY_MIN       (4u << 20)
#define SL_TABLE_MEMORY           (128u << 20) /* default */
#define SL_TABLE_NULLS_MAX        64           /* null texts */
#define SL_TABLE_BAD_SAMPLES      10           /* default */
#define SL_TABLE_BAD_SAMPLES_MAX  1000
#define SL_TABLE_BAD_BYTES_MAX    65536 /* of a bad row that are shown to the callback */
#define SL_TABLE_SPLIT_MAX        1024

/** Random access to bytes that do not change while a table reads them. */
struct sl_table_source {
    /** Reads up to `len` bytes at `offset`; fewer only at the end. Returns 0 or a negative code. */
    int (*read_at)(void *data, uint64_t offset, void *buf, size_t len, size_t *ret_len,
                   struct sl_err *err);
    void *data;
    uint64_t size;
    const char *name; /* for messages, and for its extension */
};

/** Bytes in memory as a source. Both must outlive it. */
struct sl_table_memory {
    const void *bytes;
    size_t len;
};
struct sl_table_source sl_table_source_memory(const struct sl_table_memory *memory,
                                              const char *name);

enum sl_table_type {
    SL_TABLE_BOOL,
    SL_TABLE_INT64,
    SL_TABLE_FLOAT64,
    SL_TABLE_DATE,      /* days since 1970-01-01 */
    SL_TABLE_TIMESTAMP, /* microseconds since 1970, UTC when it had a zone, else as written */
    SL_TABLE_DECIMAL,   /* unscaled 128-bit integer; the column has the scale */
    SL_TABLE_STRING,    /* bytes; text formats see to it that they are UTF-8 */
};
#define SL_TABLE_TYPE_N 7
/** "int64"; never NULL. */
const char *sl_table_type_name(enum sl_table_type type);
bool sl_table_type_parse(const char *name, enum sl_table_type *ret_type);

/** One column of the schema. Strings live as long as the table. */
struct sl_table_field {
    const char *name;
    enum sl_table_type type;
    bool nullable;
    bool inferred;        /* from the values; else stated by the file or the caller */
    bool binary;          /* strings that the file does not call text */
    int scale;            /* decimal: digits behind the point */
    const char *why;      /* one sentence: why this type */
    uint64_t n_values;    /* looked at for the inference, nulls not counted */
    uint64_t n_nulls;     /* likewise */
    uint64_t n_against;   /* values that spoke against the type that most others had */
    const char *against;  /* the first of them, shortened; NULL when none */
    uint64_t against_row; /* where it was */
};

struct sl_table_schema {
    const struct sl_table_field *fields; /* selected columns, in the order of the selection */
    size_t n_fields;
    const char *format; /* name in formats.def */
    int64_t n_rows;     /* of the whole file; -1 where only reading tells */
    char delimiter;     /* of delimited text, else 0 */
};

/** A column of a batch. Where `valid[i]` is 0 the value is a zero or empty. */
struct sl_table_column {
    const struct sl_table_field *field;
    const uint8_t *valid; /* n_rows bytes, 1 or 0 */
    size_t n_nulls;
    union {
        const uint8_t *bools;
        const int64_t *ints;
        const double *floats;
        const int32_t *days;
        const int64_t *micros;
        const __int128 *decimals;
        const uint32_t *offsets; /* n_rows + 1, into bytes */
    };
    const char *bytes;       /* strings only */
    const uint8_t *had_zone; /* timestamps only, n_rows bytes */
};

struct sl_table_batch {
    size_t n_rows;
    const struct sl_table_column *columns; /* as schema.fields */
    size_t n_columns;
    uint64_t first_row;   /* number of its first row in the file, from 0, header not counted */
    const uint64_t *rows; /* number of each row; NULL when they follow without a gap */
};

enum sl_table_on_bad {
    SL_TABLE_BAD_FAIL,       /* the first bad row is the error of sl_table_next */
    SL_TABLE_BAD_SKIP,       /* counted and sampled */
    SL_TABLE_BAD_QUARANTINE, /* likewise, and handed to the callback */
};

/** A row of a text format that does not fit; damage in other formats is an error of the whole. Pointers live until the call they came from returns; of samples, as long
 * as the table. */
struct sl_table_bad {
    uint64_t row;       /* from 0, header not counted */
    uint64_t line;      /* from 1; 0 in formats without lines */
    uint64_t offset;    /* of its first byte in the file */
    const char *column; /* NULL when it is the row as a whole */
    const char *reason;
    const char *bytes; /* the row itself, at most SL_TABLE_BAD_BYTES_MAX; NULL in samples */
    size_t n_bytes;
};

enum sl_table_header { SL_TABLE_HEADER_YES, SL_TABLE_HEADER_NO, SL_TABLE_HEADER_AUTO };

struct sl_table_override {
    const char *name;
    enum sl_table_type type;
    int scale; /* decimal: 0..38 */
};

/** A part of a file, made by sl_table_split. Only first_row and n_rows have a meaning outside. */
struct sl_table_range {
    uint64_t begin, end; /* the format's own units */
    uint64_t line;
    uint64_t first_row, n_rows;
};

/** All zero is a good default. Nothing in it is kept after sl_table_open but bad_data. */
struct sl_table_opts {
    const char *format;         /* of formats.def; NULL: by first bytes, then by extension */
    const char *const *columns; /* selection in this order; NULL for all */
    size_t n_columns;
    uint64_t row_first;                 /* rows before it are not delivered */
    uint64_t row_count;                 /* 0: to the end */
    const struct sl_table_range *range; /* NULL: the whole file. Not together with rows */
    char delimiter;                     /* 0: sniffed */
    enum sl_table_header header;
    const char *const *nulls; /* texts that mean null in every column; NULL: the usual ones, of
                                 which string columns take only the empty one, not in quotes */
    size_t n_nulls;
    const struct sl_table_override *types; /* text formats only */
    size_t n_types;
    uint32_t infer_rows;
    enum sl_table_on_bad on_bad;
    void (*bad)(const struct sl_table_bad *bad, void *data); /* for quarantine */
    void *bad_data;
    size_t bad_samples;
    uint32_t batch_rows; /* at most; a batch ends earlier where memory asks for it */
    size_t memory_max;   /* bytes of all buffers together */
};

struct sl_table; /* opaque */

/**
 * Opens a table and learns its schema, from the file's own or from its first rows.
 *
 * @param opts  NULL for the defaults
 * @return      0; -SL_EINVAL for options or content that is no such table, -SL_ENOTFOUND for a
 *              selected column that is not there (with the nearest name), -SL_EUNSUPPORTED for what
 *              this reader does not know (nested columns are named), -SL_ELIMIT over a limit,
 *              or the source's error
 * Owner:       caller frees with sl_table_free; `source` is copied, its data must outlive the table
 */
int sl_table_open(const struct sl_table_source *source, const struct sl_table_opts *opts,
                  struct sl_table **ret_table, struct sl_err *err) SL_MUST_CHECK;
/** NULL is allowed. */
void sl_table_free(struct sl_table *t);

/** Known since the opening; lives as long as the table. */
const struct sl_table_schema *sl_table_schema(const struct sl_table *t);

/**
 * The next rows: at least one, or NULL at the end.
 *
 * @param ret_batch  borrowed until the next call on this table
 * @return           0; -SL_EINVAL for a bad row under SL_TABLE_BAD_FAIL or damaged content, -SL_ELIMIT
 *                   when a part does not fit in memory_max; after an error only sl_table_free
 */
int sl_table_next(struct sl_table *t, const struct sl_table_batch **ret_batch, struct sl_err *err)
    SL_MUST_CHECK;

/** Bad rows met so far, and the first of them. */
uint64_t sl_table_bad_count(const struct sl_table *t);
const struct sl_table_bad *sl_table_bad_samples(const struct sl_table *t, size_t *ret_n);

/**
 * Cuts the file into at most `n` ranges of about equal size: every row is in exactly one, in order.
 * Each can be read by a table of its own (opts.range). The table's own position is not touched.
 *
 * @param n           1..SL_TABLE_SPLIT_MAX
 * @param ret_ranges  room for n
 * @param ret_n       how many were made, at least 1
 */
int sl_table_split(struct sl_table *t, size_t n, struct sl_table_range *ret_ranges, size_t *ret_n,
                   struct sl_err *err) SL_MUST_CHECK;

/** The format that the source seems to have ("csv"), or NULL. */
const char *sl_table_format_of(const struct sl_table_source *source, struct sl_err *err);

#endif
