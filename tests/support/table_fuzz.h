/**
 * Any bytes as a table: batches that keep their invariants, or an error with a message; memory within
 * its limit (the table asserts at its end that all of it was given back).
 */
#ifndef SL_TABLE_FUZZ_H
#define SL_TABLE_FUZZ_H

#include "core/base/base.h"

#include <string.h>

#include "core/table/table.h"

#define TABLE_FUZZ_BATCHES 64 /* a few bytes may stand for billions of rows */
#define TABLE_FUZZ_MEMORY  (8u << 20)

static inline void table_fuzz_column(const struct sl_table_column *c, size_t n_rows)
{
    size_t n_nulls = 0;
    for (size_t i = 0; i < n_rows; i++) {
        SL_ASSERT(c->valid[i] <= 1);
        n_nulls += c->valid[i] == 0;
        if (c->field->type == SL_TABLE_STRING) {
            SL_ASSERT(c->offsets[i] <= c->offsets[i + 1]);
        } else if (c->field->type == SL_TABLE_BOOL) {
            SL_ASSERT(c->bools[i] <= 1);
        }
    }
    SL_ASSERT(n_nulls == c->n_nulls);
    uint64_t sum = 0; /* touch all that is promised */
    if (c->field->type == SL_TABLE_STRING) {
        for (size_t i = 0; i < c->offsets[n_rows]; i++) {
            sum += (uint8_t)c->bytes[i];
        }
    }
    __asm__ volatile("" : : "r"(sum));
}

/** Returns the rows read, bad ones counted, or a negative code. */
static inline int64_t table_fuzz_read(const struct sl_table_source *source,
                                      const struct sl_table_opts *opts, bool *ret_whole)
{
    struct sl_table *t = NULL;
    const struct sl_table_batch *b = NULL;
    struct sl_err err = SL_ERR_INIT;
    int64_t n = 0;
    *ret_whole = false;
    int rc = sl_table_open(source, opts, &t, &err);
    for (int i = 0; rc == 0 && i < TABLE_FUZZ_BATCHES; i++) {
        rc = sl_table_next(t, &b, &err);
        if (rc != 0 || b == NULL) {
            *ret_whole = rc == 0;
            break;
        }
        SL_ASSERT(b->n_rows > 0 && b->n_columns == sl_table_schema(t)->n_fields);
        n += (int64_t)b->n_rows;
        for (size_t k = 0; k < b->n_columns; k++) {
            table_fuzz_column(&b->columns[k], b->n_rows);
        }
    }
    SL_ASSERT(rc == 0 || (rc < 0 && err.code == -rc && err.msg[0] != '\0'));
    n += rc == 0 ? (int64_t)sl_table_bad_count(t) : 0;
    sl_table_free(t);
    return rc == 0 ? n : rc;
}

/** The whole, and a split into three that must have as many rows. */
static inline void table_fuzz(const char *format, const uint8_t *data, size_t size)
{
    struct sl_table_memory memory = {data, size};
    struct sl_table_source source = sl_table_source_memory(&memory, "input");
    struct sl_table_opts opts = {
        .format = format, .on_bad = SL_TABLE_BAD_SKIP, .memory_max = TABLE_FUZZ_MEMORY};
    struct sl_table_range ranges[3];
    struct sl_table *t = NULL;
    struct sl_err err = SL_ERR_INIT;
    size_t n_ranges = 0;
    bool whole = false;
    int64_t n = table_fuzz_read(&source, &opts, &whole);
    if (n < 0 || !whole || sl_table_open(&source, &opts, &t, &err) != 0) {
        return;
    }
    int rc = sl_table_split(t, 3, ranges, &n_ranges, &err);
    sl_table_free(t);
    SL_ASSERT(rc == 0 && n_ranges >= 1 && n_ranges <= 3);
    int64_t parts = 0;
    for (size_t i = 0; i < n_ranges; i++) {
        opts.range = &ranges[i];
        int64_t part = table_fuzz_read(&source, &opts, &whole);
        if (part == -SL_ELIMIT) {
            return; /* batches of a part may lie otherwise */
        }
        SL_ASSERT(part >= 0 && (!whole || part == (int64_t)ranges[i].n_rows));
        parts += part;
    }
    SL_ASSERT(parts == n);
}

#endif
