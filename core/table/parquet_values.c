/**
 * Stored values of a Parquet page, encoding by encoding, as numbers of the physical width or slices.
 *
 * Thread: the table's. Must not: interpret them.
 */
#include "core/base/base.h"

#include "core/table/parquet_priv.h"

#include <string.h>

static bool is_sliced(const struct pq_column *c)
{
    return c->physical == PQ_BYTES || c->physical == PQ_FIXED;
}

/** A length-prefixed value at *p. */
static bool take_slice(const uint8_t **p, const uint8_t *end, struct pq_slice *ret)
{
    uint32_t len = 0;
    if (end - *p < 4) {
        return false;
    }
    memcpy(&len, *p, 4);
    if (len > (uint64_t)(end - *p) - 4) {
        return false;
    }
    *ret = (struct pq_slice){*p + 4, len};
    *p += 4 + (size_t)len;
    return true;
}

int pq_dictionary(struct sl_table *t, struct pq_column *c, size_t len, size_t n, struct sl_err *err)
{
    size_t least = c->physical == PQ_BYTES ? 4 : c->width;
    if (c->physical == PQ_BOOLEAN || n > len / least) {
        return pq_bad(t, c, "a dictionary is shorter than its count", err);
    }
    c->dict_n = n;
    c->has_dict = true;
    if (!is_sliced(c)) {
        return 0;
    }
    int rc =
        table_mem_grow(t, &c->dict_slices, SL_MAX(n, (size_t)1) * sizeof(struct pq_slice), err);
    if (rc != 0) {
        return rc;
    }
    struct pq_slice *slices = c->dict_slices.ptr;
    const uint8_t *p = c->dict.ptr;
    const uint8_t *end = p + len;
    for (size_t i = 0; i < n; i++) {
        if (c->physical == PQ_FIXED) {
            slices[i] = (struct pq_slice){p + i * c->width, c->width};
        } else if (!take_slice(&p, end, &slices[i])) {
            return pq_bad(t, c, "a dictionary is damaged", err);
        }
    }
    return 0;
}

static int start_dictionary(struct sl_table *t, struct pq_column *c, const uint8_t *p,
                            const uint8_t *end, struct sl_err *err)
{
    unsigned width = p < end ? *p++ : 0;
    if (!c->has_dict || width > 32) {
        return pq_bad(t, c, "a page refers to a dictionary that is not there", err);
    }
    c->indexes = (struct pq_hybrid){.p = p, .end = end, .width = width};
    return 0;
}

/** Booleans as runs, with their length in front. */
static int start_runs(struct sl_table *t, struct pq_column *c, const uint8_t *p, const uint8_t *end,
                      struct sl_err *err)
{
    uint32_t len = 0;
    if (end - p >= 4) {
        memcpy(&len, p, 4);
        p += 4;
    }
    if (len > (uint64_t)(end - p)) {
        return pq_bad(t, c, "a page is damaged", err);
    }
    c->indexes = (struct pq_hybrid){.p = p, .end = p + len, .width = 1};
    return 0;
}

static int start_lengths(struct sl_table *t, struct pq_column *c, const uint8_t *p,
                         const uint8_t *end, size_t n, struct sl_err *err)
{
    size_t n_prefixes = 0;
    int rc = 0;
    c->at = 0;
    c->last_len = 0;
    c->n_lengths = 0;
    if (p == end) {
        c->p = c->p_end = p;
        return 0; /* only nulls */
    }
    if (c->encoding == PQ_DELTA_BYTE_ARRAY) {
        rc = pq_delta_lengths(t, p, end, n, &c->prefixes, &n_prefixes, &p, err);
    }
    rc = rc == 0 ? pq_delta_lengths(t, p, end, n, &c->lengths, &c->n_lengths, &p, err) : rc;
    if (rc == 0 && c->encoding == PQ_DELTA_BYTE_ARRAY && n_prefixes != c->n_lengths) {
        return pq_bad(t, c, "a page has more prefixes than values, or fewer", err);
    }
    c->p = p;
    c->p_end = end;
    return rc != 0 ? sl_err_wrap(err, "%s: column \"%s\"", t->source.name, c->name) : 0;
}

static bool encoding_fits(const struct pq_column *c)
{
    bool integer = c->physical == PQ_INT32 || c->physical == PQ_INT64;
    switch (c->encoding) {
    case PQ_PLAIN:
    case PQ_PLAIN_DICTIONARY:
    case PQ_RLE_DICTIONARY: return true;
    case PQ_RLE: return c->physical == PQ_BOOLEAN;
    case PQ_BIT_PACKED: return false;
    case PQ_DELTA_BINARY_PACKED: return integer;
    case PQ_DELTA_LENGTH_BYTE_ARRAY: return c->physical == PQ_BYTES;
    case PQ_DELTA_BYTE_ARRAY: return is_sliced(c);
    case PQ_BYTE_STREAM_SPLIT:
        return integer || c->physical == PQ_FLOAT || c->physical == PQ_DOUBLE ||
               c->physical == PQ_FIXED;
    }
    return false;
}

int pq_values_start(struct sl_table *t, struct pq_column *c, const uint8_t *p, const uint8_t *end,
                    size_t n_values, struct sl_err *err)
{
    if (!encoding_fits(c)) {
        return sl_err_set(err, SL_EUNSUPPORTED,
                          "%s: column \"%s\": encoding %d does not go with its type",
                          t->source.name, c->name, (int)c->encoding);
    }
    c->p = p;
    c->p_end = end;
    c->bit = 0;
    c->at = 0;
    switch (c->encoding) {
    case PQ_PLAIN_DICTIONARY:
    case PQ_RLE_DICTIONARY: return start_dictionary(t, c, p, end, err);
    case PQ_RLE: return start_runs(t, c, p, end, err);
    case PQ_DELTA_BINARY_PACKED:
        c->delta = (struct pq_delta){0};
        return p == end || pq_delta_start(&c->delta, p, end)
                   ? 0
                   : pq_bad(t, c, "a page of deltas is damaged", err);
    case PQ_DELTA_LENGTH_BYTE_ARRAY:
    case PQ_DELTA_BYTE_ARRAY: return start_lengths(t, c, p, end, n_values, err);
    case PQ_BYTE_STREAM_SPLIT:
        c->stride = (size_t)(end - p) / c->width;
        return (size_t)(end - p) % c->width == 0 ? 0 : pq_bad(t, c, "a page is cut short", err);
    case PQ_PLAIN:
    case PQ_BIT_PACKED: return 0;
    }
    return 0;
}

static bool read_plain(struct pq *q, struct pq_column *c, size_t n)
{
    struct pq_slice *slices = q->scratch.slices;
    if (c->physical == PQ_BOOLEAN) {
        if (n > (size_t)(c->p_end - c->p) * 8 - c->bit) {
            return false;
        }
        for (size_t i = 0; i < n; i++, c->bit++) {
            q->scratch.u8[i] = (c->p[c->bit / 8] >> (c->bit % 8)) & 1;
        }
        return true;
    }
    if (c->physical == PQ_BYTES) {
        for (size_t i = 0; i < n; i++) {
            if (!take_slice(&c->p, c->p_end, &slices[i])) {
                return false;
            }
        }
        return true;
    }
    if (n > (size_t)(c->p_end - c->p) / c->width) {
        return false;
    }
    if (c->physical == PQ_FIXED) {
        for (size_t i = 0; i < n; i++) {
            slices[i] = (struct pq_slice){c->p + i * c->width, c->width};
        }
    } else if (n > 0) {
        memcpy(q->scratch.u8, c->p, n * c->width);
    }
    c->p += n * c->width;
    return true;
}

static bool read_dictionary(struct pq *q, struct pq_column *c, size_t n)
{
    uint32_t most = 0;
    if (!pq_hybrid_read(&c->indexes, n, q->indexes)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        most = SL_MAX(most, q->indexes[i]);
    }
    if (n > 0 && most >= c->dict_n) {
        return false;
    }
    if (is_sliced(c)) {
        const struct pq_slice *from = c->dict_slices.ptr;
        for (size_t i = 0; i < n; i++) {
            q->scratch.slices[i] = from[q->indexes[i]];
        }
    } else if (c->width == 8) {
        for (size_t i = 0; i < n; i++) {
            q->scratch.u64[i] = ((const uint64_t *)c->dict.ptr)[q->indexes[i]];
        }
    } else if (c->width == 4) {
        for (size_t i = 0; i < n; i++) {
            q->scratch.u32[i] = ((const uint32_t *)c->dict.ptr)[q->indexes[i]];
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            memcpy(q->scratch.u8 + i * c->width,
                   (const uint8_t *)c->dict.ptr + q->indexes[i] * c->width, c->width);
        }
    }
    return true;
}

static bool read_runs(struct pq *q, struct pq_column *c, size_t n)
{
    if (!pq_hybrid_read(&c->indexes, n, q->indexes)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        q->scratch.u8[i] = (uint8_t)q->indexes[i];
    }
    return true;
}

static bool read_delta(struct pq *q, struct pq_column *c, size_t n)
{
    if (!pq_delta_read(&c->delta, n, q->scratch.u64)) {
        return false;
    }
    if (c->width == 4) {
        for (size_t i = 0; i < n; i++) { /* writes behind the place that is read, never before it */
            uint64_t value = q->scratch.u64[i];
            q->scratch.u32[i] = (uint32_t)value;
        }
    }
    return true;
}

static bool read_lengths(struct pq *q, struct pq_column *c, size_t n)
{
    struct pq_slice *slices = q->scratch.slices;
    const uint32_t *lengths = c->lengths.ptr;
    if (n > c->n_lengths - c->at) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t len = lengths[c->at++];
        if (len > (uint64_t)(c->p_end - c->p)) {
            return false;
        }
        slices[i] = (struct pq_slice){c->p, len};
        c->p += len;
    }
    return true;
}

/** Each value is a beginning of the one before, and its own rest. */
static int read_prefixed(struct sl_table *t, struct pq *q, struct pq_column *c, size_t n,
                         struct sl_err *err)
{
    const uint32_t *prefixes = c->prefixes.ptr;
    const uint32_t *lengths = c->lengths.ptr;
    struct pq_slice *slices = q->scratch.slices;
    uint64_t total = 0;
    uint64_t before = c->last_len;
    uint64_t left = (uint64_t)(c->p_end - c->p);
    if (n > c->n_lengths - c->at) {
        return pq_bad(t, c, "a page has fewer values than it says", err);
    }
    for (size_t i = c->at; i < c->at + n; i++) {
        if (prefixes[i] > before || lengths[i] > left) {
            return pq_bad(t, c, "a prefix is longer than the value before", err);
        }
        left -= lengths[i];
        before = (uint64_t)prefixes[i] + lengths[i];
        if (c->physical == PQ_FIXED && before != c->width) {
            return pq_bad(t, c, "a value of fixed length has another length", err);
        }
        total += before;
    }
    int rc = table_mem_grow(t, &c->built, SL_MAX(total, (uint64_t)1), err);
    if (rc != 0) {
        return rc;
    }
    uint8_t *out = c->built.ptr;
    const uint8_t *last = c->last.ptr;
    for (size_t i = 0; i < n; i++, c->at++) {
        size_t prefix = prefixes[c->at];
        size_t rest = lengths[c->at];
        if (prefix > 0) {
            memcpy(out, last, prefix);
        }
        if (rest > 0) {
            memcpy(out + prefix, c->p, rest);
        }
        slices[i] = (struct pq_slice){out, prefix + rest};
        last = out;
        c->p += rest;
        out += prefix + rest;
    }
    if (n > 0) { /* the next call builds over these bytes */
        c->last_len = slices[n - 1].len;
        rc = table_mem_grow(t, &c->last, SL_MAX(c->last_len, (size_t)1), err);
        if (rc == 0) {
            memcpy(c->last.ptr, slices[n - 1].ptr, c->last_len);
        }
    }
    return rc;
}

/** Byte k of value i lies at k * stride + i. */
static int read_split(struct sl_table *t, struct pq *q, struct pq_column *c, size_t n,
                      struct sl_err *err)
{
    uint8_t *out = q->scratch.u8;
    if (n > c->stride - c->at) {
        return pq_bad(t, c, "a page has fewer values than it says", err);
    }
    if (c->physical == PQ_FIXED) {
        int rc = table_mem_grow(t, &c->built, SL_MAX(n * c->width, (size_t)1), err);
        if (rc != 0) {
            return rc;
        }
        out = c->built.ptr;
    }
    for (size_t k = 0; k < c->width; k++) {
        const uint8_t *stream = c->p + k * c->stride + c->at;
        for (size_t i = 0; i < n; i++) {
            out[i * c->width + k] = stream[i];
        }
    }
    c->at += n;
    for (size_t i = 0; i < n && c->physical == PQ_FIXED; i++) {
        q->scratch.slices[i] = (struct pq_slice){out + i * c->width, c->width};
    }
    return 0;
}

int pq_values_read(struct sl_table *t, struct pq *q, struct pq_column *c, size_t n,
                   struct sl_err *err)
{
    bool ok = true;
    if (n == 0) {
        return 0;
    }
    switch (c->encoding) {
    case PQ_PLAIN: ok = read_plain(q, c, n); break;
    case PQ_PLAIN_DICTIONARY:
    case PQ_RLE_DICTIONARY: ok = read_dictionary(q, c, n); break;
    case PQ_RLE: ok = read_runs(q, c, n); break;
    case PQ_DELTA_BINARY_PACKED: ok = read_delta(q, c, n); break;
    case PQ_DELTA_LENGTH_BYTE_ARRAY: ok = read_lengths(q, c, n); break;
    case PQ_DELTA_BYTE_ARRAY: return read_prefixed(t, q, c, n, err);
    case PQ_BYTE_STREAM_SPLIT: return read_split(t, q, c, n, err);
    case PQ_BIT_PACKED: ok = false; break;
    }
    return ok ? 0 : pq_bad(t, c, "a page is damaged, or has fewer values than it says", err);
}
