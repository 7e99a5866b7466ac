/**
 * Thrift's compact protocol, read only, over bytes in memory: what Parquet's footer and page headers
 * are written in.
 *
 * Errors are sticky: a reader that met one yields zeros and no more fields. Thread: any.
 * Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
 */
#ifndef SL_TABLE_PARQUET_THRIFT_H
#define SL_TABLE_PARQUET_THRIFT_H

#include "core/base/base.h"

#define THRIFT_DEPTH_MAX 16

enum thrift_type {
    THRIFT_STOP,
    THRIFT_TRUE,
    THRIFT_FALSE,
    THRIFT_I8,
    THRIFT_I16,
    THRIFT_I32,
    THRIFT_I64,
    THRIFT_DOUBLE,
    THRIFT_BINARY,
    THRIFT_LIST,
    THRIFT_SET,
    THRIFT_MAP,
    THRIFT_STRUCT,
};

struct thrift {
    const uint8_t *p, *end;
    bool failed;  /* malformed */
    bool starved; /* it may be well formed, but the bytes ended */
};

/** One struct being read: `while (thrift_field(t, &f)) switch (f.id)`, each case reading or skipping. */
struct thrift_field {
    int id;
    enum thrift_type type;
};

bool thrift_field(struct thrift *t, struct thrift_field *f);
/** An integer of any width; 0 with failure when the field has another type. */
int64_t thrift_int(struct thrift *t, const struct thrift_field *f);
/** An integer that must lie in 0..max. */
int64_t thrift_size(struct thrift *t, const struct thrift_field *f, int64_t max);
bool thrift_bool(struct thrift *t, const struct thrift_field *f);
/** Bytes in place. */
const uint8_t *thrift_binary(struct thrift *t, const struct thrift_field *f, size_t *ret_len);
/** Length of a list whose elements have the type; at most as many as bytes are left. */
size_t thrift_list(struct thrift *t, const struct thrift_field *f, enum thrift_type element);
/** Expects a struct: false (failed) otherwise. */
bool thrift_struct(struct thrift *t, const struct thrift_field *f);
void thrift_skip(struct thrift *t, enum thrift_type type);
/** An unsigned LEB128 number of at most 64 bits, as elsewhere in Parquet too. */
uint64_t thrift_varint(struct thrift *t);
static inline int64_t thrift_zigzag(uint64_t n)
{
    return (int64_t)((n >> 1) ^ (0 - (n & 1)));
}

#endif
