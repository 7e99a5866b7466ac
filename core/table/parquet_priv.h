/**
 * Parquet: what the footer says, a column's state between pages, decoders of encoded values.
 *
 * Stays inside the room. Source: https://github.com/apache/parquet-format (README, Encodings.md,
 * LogicalTypes.md, parquet.thrift).
 */
#ifndef SL_TABLE_PARQUET_PRIV_H
#define SL_TABLE_PARQUET_PRIV_H

#include "core/table/parquet_thrift.h"
#include "core/table/table_priv.h"

#define PQ_FOOTER_BYTES_MAX      (64u << 20)
#define PQ_PAGE_HEADER_BYTES_MAX (1u << 20)
#define PQ_GROUPS_MAX            (1u << 20)
#define PQ_LEAVES_MAX            (1u << 18) /* columns below columns counted */
#define PQ_STEP                  1024       /* values decoded at once */

enum pq_physical {
    PQ_BOOLEAN,
    PQ_INT32,
    PQ_INT64,
    PQ_INT96,
    PQ_FLOAT,
    PQ_DOUBLE,
    PQ_BYTES,
    PQ_FIXED,
};

enum pq_codec {
    PQ_PLAIN_CODEC,
    PQ_SNAPPY,
    PQ_GZIP,
    PQ_LZO,
    PQ_BROTLI,
    PQ_LZ4,
    PQ_ZSTD,
    PQ_LZ4_RAW
};

enum pq_encoding {
    PQ_PLAIN = 0,
    PQ_PLAIN_DICTIONARY = 2,
    PQ_RLE = 3,
    PQ_BIT_PACKED = 4,
    PQ_DELTA_BINARY_PACKED = 5,
    PQ_DELTA_LENGTH_BYTE_ARRAY = 6,
    PQ_DELTA_BYTE_ARRAY = 7,
    PQ_RLE_DICTIONARY = 8,
    PQ_BYTE_STREAM_SPLIT = 9,
};

/** How stored values become ours. */
enum pq_convert {
    PQ_AS_BOOL,
    PQ_AS_INT,
    PQ_AS_UINT32,
    PQ_AS_UINT64, /* decimal of scale 0 */
    PQ_AS_FLOAT,
    PQ_AS_HALF,
    PQ_AS_DATE,
    PQ_AS_MILLIS,
    PQ_AS_MICROS,
    PQ_AS_NANOS,
    PQ_AS_INT96,
    PQ_AS_DECIMAL,
    PQ_AS_BYTES,
};

struct pq_slice {
    const uint8_t *ptr;
    size_t len;
};

/** Runs of one value and runs of packed bits, mixed (Encodings.md, RLE). */
struct pq_hybrid {
    const uint8_t *p, *end;
    unsigned width; /* 0..32 bits */
    uint64_t left;  /* of the current run */
    bool packed;
    uint32_t value;      /* of a run of one value */
    const uint8_t *bits; /* of a packed run */
    uint64_t bit;        /* next, from bits */
};
/** Exactly `n` values, or false. */
bool pq_hybrid_read(struct pq_hybrid *h, size_t n, uint32_t *out);

/** Deltas packed in blocks (Encodings.md, DELTA_BINARY_PACKED). */
struct pq_delta {
    const uint8_t *p, *end;
    uint64_t per_mini, n_minis;
    uint64_t left; /* values not yet read */
    uint64_t last, min_delta;
    bool first;
    const uint8_t *widths;
    uint64_t mini, mini_left; /* within the block */
    const uint8_t *bits;
    uint64_t bit;
    unsigned width;
};
bool pq_delta_start(struct pq_delta *d, const uint8_t *p, const uint8_t *end);
bool pq_delta_read(struct pq_delta *d, size_t n, uint64_t *out);
/** Reads all values as lengths, into accounted memory; `*ret_p` is behind them. */
int pq_delta_lengths(struct sl_table *t, const uint8_t *p, const uint8_t *end, size_t n_max,
                     struct table_mem *lengths, size_t *ret_n, const uint8_t **ret_p,
                     struct sl_err *err);

/** A column of the file that is read. */
struct pq_column {
    const char *name;
    enum pq_physical physical;
    size_t width; /* bytes of a stored value; 0 for PQ_BYTES */
    enum pq_convert convert;
    bool zoned;
    bool optional;
    uint32_t leaf; /* place among the chunks of a group */

    enum pq_codec codec; /* of the chunk */
    uint64_t pos, end;   /* bytes of the chunk not yet read */
    uint64_t left;       /* values of the chunk not yet loaded as pages */

    struct table_mem dict, dict_slices;
    size_t dict_n;
    bool has_dict;

    struct table_mem page;
    size_t page_left; /* values, nulls counted */
    enum pq_encoding encoding;
    struct pq_hybrid levels, indexes;
    struct pq_delta delta;
    const uint8_t *p, *p_end; /* PLAIN and the bytes of others */
    size_t bit;               /* PLAIN booleans */
    size_t stride;            /* BYTE_STREAM_SPLIT: values in the page */
    struct table_mem lengths, prefixes, built, last;
    size_t n_lengths, at; /* of lengths; next one */
    size_t last_len;
};

struct pq_group {
    size_t at; /* of its struct in the footer */
    uint64_t n_rows;
};

struct pq {
    struct table_mem footer;
    struct table_mem groups; /* struct pq_group */
    size_t n_groups;
    uint32_t n_leaves;
    struct table_mem of_leaf;  /* struct pq_column *, NULL when it is not read */
    struct pq_column *columns; /* n_fields */
    struct table_mem raw;      /* a page as stored */
    size_t group, group_end;   /* next to open; behind the last */
    uint64_t group_left;       /* rows of the open one */
    uint64_t row;
    size_t step; /* rows at once, by the size of text met */
    union {      /* stored values of one column */
        uint64_t u64[PQ_STEP];
        int64_t i64[PQ_STEP];
        double f64[PQ_STEP];
        uint32_t u32[PQ_STEP];
        int32_t i32[PQ_STEP];
        float f32[PQ_STEP];
        uint8_t u8[PQ_STEP * 12];
        struct pq_slice slices[PQ_STEP];
    } scratch;
    uint32_t indexes[PQ_STEP];
};

/** Reads the footer: schema of the selection, groups. */
int pq_meta_read(struct sl_table *t, struct pq *q, struct sl_err *err);
/** Where the selected chunks of a group lie. */
int pq_meta_group(struct sl_table *t, struct pq *q, size_t group, struct sl_err *err);

/** Loads the next page with values. */
int pq_page_next(struct sl_table *t, struct pq *q, struct pq_column *c, struct sl_err *err);
/** Exactly `want` bytes out of `len`. -SL_EINVAL when they are not that, -SL_EUNSUPPORTED for a codec
 * that this reader lacks. */
int pq_decompress(enum pq_codec codec, const uint8_t *bytes, size_t len, uint8_t *out, size_t want,
                  const char *where, struct sl_err *err);

/** Sets up the decoder for the values of a page. */
int pq_values_start(struct sl_table *t, struct pq_column *c, const uint8_t *p, const uint8_t *end,
                    size_t n_values, struct sl_err *err);
/** `n` (<= PQ_STEP) stored values: numbers of the physical width, or slices, in q->scratch. */
int pq_values_read(struct sl_table *t, struct pq *q, struct pq_column *c, size_t n,
                   struct sl_err *err);
/** Takes over a dictionary page's bytes, which lie in c->dict. */
int pq_dictionary(struct sl_table *t, struct pq_column *c, size_t len, size_t n,
                  struct sl_err *err);

/** `n` rows (<= PQ_STEP) of column `i` into its vector from row `at` on. */
int pq_convert_rows(struct sl_table *t, struct pq *q, size_t i, size_t at, size_t n,
                    struct sl_err *err);

/** "file: column "x": what", as -SL_EINVAL. */
int pq_bad(const struct sl_table *t, const struct pq_column *c, const char *what,
           struct sl_err *err);

#endif
