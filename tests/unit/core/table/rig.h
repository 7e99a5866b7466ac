/** A table in memory, read whole into text. */
#ifndef SL_TEST_TABLE_RIG_H
#define SL_TEST_TABLE_RIG_H

#include "core/base/base.h"

#include <stdlib.h>
#include <string.h>

#include "core/table/table.h"
#include "tests/support/sl_test.h"
#include "tests/support/table_dump.h"

struct rig {
    struct sl_err err;
    struct sl_buf out; /* schema, then rows */
    size_t n_batches;
    uint64_t n_rows, n_bad;
    struct sl_table_bad sample; /* the first; its strings are copies */
    char reason[256], column[64];
};

static inline void rig_release(struct rig *r)
{
    sl_buf_release(&r->out);
}

static inline void rig_keep_sample(struct rig *r, const struct sl_table *t)
{
    size_t n = 0;
    const struct sl_table_bad *samples = sl_table_bad_samples(t, &n);
    r->n_bad = sl_table_bad_count(t);
    if (n > 0) {
        r->sample = samples[0];
        (void)snprintf(r->reason, sizeof(r->reason), "%s", samples[0].reason);
        (void)snprintf(r->column, sizeof(r->column), "%s",
                       samples[0].column != NULL ? samples[0].column : "");
    }
}

/** Reads all of a source. Returns the first code that is not 0. */
static inline int rig_read(struct rig *r, const struct sl_table_source *source,
                           const struct sl_table_opts *opts, bool schema, bool numbered)
{
    struct sl_table *t = NULL;
    const struct sl_table_batch *b = NULL;
    int rc = sl_table_open(source, opts, &t, &r->err);
    if (rc != 0) {
        return rc;
    }
    if (schema) {
        table_dump_schema(&r->out, t);
    }
    while ((rc = sl_table_next(t, &b, &r->err)) == 0 && b != NULL) {
        SL_ASSERT(b->n_rows > 0);
        table_dump_batch(&r->out, b, numbered);
        r->n_rows += b->n_rows;
        r->n_batches++;
    }
    rig_keep_sample(r, t);
    sl_table_free(t);
    return rc;
}

static inline int rig_bytes(struct rig *r, const char *name, const void *bytes, size_t len,
                            const struct sl_table_opts *opts)
{
    /* An exact copy, so that the sanitizer sees one byte too many. */
    void *copy = malloc(len > 0 ? len : 1);
    SL_ASSERT(copy != NULL);
    memcpy(copy, bytes, len);
    struct sl_table_memory memory = {copy, len};
    struct sl_table_source source = sl_table_source_memory(&memory, name);
    *r = (struct rig){.out = SL_BUF_INIT(64u << 20)};
    int rc = rig_read(r, &source, opts, true, false);
    free(copy);
    return rc;
}

/** The text reads without error and is `expected`: schema line, then rows. */
#define RIG_IS(name, text, opts, expected)                                                         \
    do {                                                                                           \
        struct rig r_;                                                                             \
        SL_CHECK_OK(rig_bytes(&r_, (name), (text), sizeof(text) - 1, (opts)), r_.err);             \
        SL_CHECK_EQ_STR(sl_buf_str(&r_.out), (expected));                                          \
        rig_release(&r_);                                                                          \
    } while (0)

#define RIG_FAILS(name, text, opts, code, needle)                                                  \
    do {                                                                                           \
        struct rig r_;                                                                             \
        SL_CHECK_ERR(rig_bytes(&r_, (name), (text), sizeof(text) - 1, (opts)), (code), r_.err,     \
                     (needle));                                                                    \
        rig_release(&r_);                                                                          \
    } while (0)

/** Every split into 1..n ranges, read one after the other, equals the whole, row numbers included. */
static inline void rig_splits(const char *name, const void *bytes, size_t len, size_t n,
                              const struct sl_table_opts *opts)
{
    struct sl_table_memory memory = {bytes, len};
    struct sl_table_source source = sl_table_source_memory(&memory, name);
    struct rig whole = {.out = SL_BUF_INIT(64u << 20)};
    SL_CHECK_OK(rig_read(&whole, &source, opts, false, true), whole.err);
    for (size_t k = 1; k <= n; k++) {
        struct sl_table_range ranges[64];
        size_t n_ranges = 0;
        struct sl_table *t = NULL;
        struct rig parts = {.out = SL_BUF_INIT(64u << 20)};
        SL_CHECK_OK(sl_table_open(&source, opts, &t, &parts.err), parts.err);
        SL_CHECK_OK(sl_table_split(t, k, ranges, &n_ranges, &parts.err), parts.err);
        sl_table_free(t);
        SL_CHECK(n_ranges >= 1 && n_ranges <= k);
        uint64_t n_bad = 0;
        uint64_t next = 0;
        for (size_t i = 0; i < n_ranges; i++) {
            struct sl_table_opts part = *opts;
            part.range = &ranges[i];
            SL_CHECK_OK(rig_read(&parts, &source, &part, false, true), parts.err);
            n_bad += parts.n_bad;
            SL_CHECK_EQ_UINT(ranges[i].first_row, next);
            next += ranges[i].n_rows;
        }
        SL_CHECK_EQ_UINT(next, whole.n_rows + whole.n_bad);
        SL_CHECK_EQ_UINT(n_bad, whole.n_bad);
        SL_CHECK_EQ_STR(sl_buf_str(&parts.out), sl_buf_str(&whole.out));
        rig_release(&parts);
    }
    rig_release(&whole);
}

#endif
