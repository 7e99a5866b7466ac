/**
 * Stored values of Parquet into column vectors, with nulls put between them.
 *
 * Thread: the table's. Must not: wrap or round silently: what int64 microseconds cannot hold is an
 * error.
 */
#include "core/base/base.h"

#include "core/table/parquet_priv.h"

#include <math.h>
#include <string.h>

#define EPOCH_JULIAN_DAY 2440588 /* 1970-01-01 */

/** A half-precision number (IEEE 754 binary16). */
static double half(uint16_t bits)
{
    double sign = (bits & 0x8000) != 0 ? -1 : 1;
    int exponent = (bits >> 10) & 0x1f;
    int fraction = bits & 0x3ff;
    if (exponent == 0x1f) {
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    }
    return sign * (exponent == 0 ? ldexp(fraction, -24) : ldexp(fraction + 1024, exponent - 25));
}

/** A big-endian two's complement number. False over 128 bits. */
static bool big_integer(const struct pq_slice *s, __int128 *ret)
{
    size_t len = s->len;
    const uint8_t *p = s->ptr;
    uint8_t fill = len > 0 && (p[0] & 0x80) != 0 ? 0xff : 0;
    for (; len > 16; len--, p++) {
        if (p[0] != fill || ((p[1] ^ fill) & 0x80) != 0) {
            return false;
        }
    }
    unsigned __int128 value = fill != 0 ? ~(unsigned __int128)0 : 0;
    for (size_t i = 0; i < len; i++) {
        value = value << 8 | p[i];
    }
    *ret = (__int128)value;
    return true;
}

static int64_t floor_thousand(int64_t value)
{
    return value / 1000 - (value % 1000 < 0);
}

static bool int96(const uint8_t *p, int64_t *ret)
{
    int64_t nanos = 0;
    uint32_t day = 0;
    memcpy(&nanos, p, 8);
    memcpy(&day, p + 8, 4);
    int64_t micros = 0;
    return !__builtin_mul_overflow((int64_t)day - EPOCH_JULIAN_DAY, (int64_t)86400000000,
                                   &micros) &&
           !__builtin_add_overflow(micros, floor_thousand(nanos), ret);
}

/** Stored value `k` as an integer: of 32 bits, sign taken along, or of 64. */
static int64_t integer(const struct pq *q, const struct pq_column *c, size_t k)
{
    return c->width == 4 ? q->scratch.i32[k] : q->scratch.i64[k];
}

/** Stored value `k` to row `i`. */
static bool put(const struct pq *q, const struct pq_column *c, size_t k, struct table_vector *v,
                size_t i)
{
    const struct pq_slice *slices = q->scratch.slices;
    int64_t *ints = v->values;
    switch (c->convert) {
    case PQ_AS_BOOL: ((uint8_t *)v->values)[i] = q->scratch.u8[k]; return true;
    case PQ_AS_INT: ints[i] = integer(q, c, k); return true;
    case PQ_AS_UINT32: ints[i] = q->scratch.u32[k]; return true;
    case PQ_AS_UINT64: ((__int128 *)v->values)[i] = q->scratch.u64[k]; return true;
    case PQ_AS_FLOAT:
        ((double *)v->values)[i] = c->width == 4 ? (double)q->scratch.f32[k] : q->scratch.f64[k];
        return true;
    case PQ_AS_HALF: {
        uint16_t bits = (uint16_t)(slices[k].ptr[0] | slices[k].ptr[1] << 8);
        ((double *)v->values)[i] = half(bits);
        return true;
    }
    case PQ_AS_DATE: ((int32_t *)v->values)[i] = q->scratch.i32[k]; return true;
    case PQ_AS_MILLIS:
        v->zoned[i] = c->zoned;
        return !__builtin_mul_overflow(q->scratch.i64[k], (int64_t)1000, &ints[i]);
    case PQ_AS_MICROS:
        v->zoned[i] = c->zoned;
        ints[i] = q->scratch.i64[k];
        return true;
    case PQ_AS_NANOS:
        v->zoned[i] = c->zoned;
        ints[i] = floor_thousand(q->scratch.i64[k]);
        return true;
    case PQ_AS_INT96: v->zoned[i] = c->zoned; return int96(q->scratch.u8 + k * 12, &ints[i]);
    case PQ_AS_DECIMAL:
        if (c->physical == PQ_INT32 || c->physical == PQ_INT64) {
            ((__int128 *)v->values)[i] = integer(q, c, k);
            return true;
        }
        return big_integer(&slices[k], (__int128 *)v->values + i);
    case PQ_AS_BYTES: return true;
    }
    return false;
}

static int put_strings(struct sl_table *t, const struct pq *q, struct table_vector *v, size_t at,
                       size_t n, struct sl_err *err)
{
    const struct pq_slice *slices = q->scratch.slices;
    uint32_t *offsets = (uint32_t *)v->values + at;
    const uint8_t *valid = v->valid + at;
    size_t total = 0;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        total += valid[i] ? slices[k++].len : 0;
    }
    int rc = table_bytes_reserve(t, v, total, err);
    if (rc != 0) {
        return rc;
    }
    char *bytes = v->bytes.ptr;
    k = 0;
    for (size_t i = 0; i < n; i++) {
        if (valid[i]) {
            if (slices[k].len > 0) {
                memcpy(bytes + v->n_bytes, slices[k].ptr, slices[k].len);
            }
            v->n_bytes += slices[k++].len;
        }
        offsets[i + 1] = (uint32_t)v->n_bytes;
    }
    return 0;
}

/** The common cases: numbers that need no conversion. False for all others. */
static bool put_plain(const struct pq *q, const struct pq_column *c, struct table_vector *v,
                      size_t at, size_t n)
{
    const uint8_t *valid = v->valid + at;
    size_t k = 0;
    if (c->width == 8 && c->convert == PQ_AS_FLOAT) {
        double *out = (double *)v->values + at;
        for (size_t i = 0; i < n; i++) {
            out[i] = valid[i] ? q->scratch.f64[k] : 0;
            k += valid[i];
        }
        return true;
    }
    if (c->width == 8 && c->convert == PQ_AS_INT) {
        int64_t *out = (int64_t *)v->values + at;
        for (size_t i = 0; i < n; i++) {
            out[i] = valid[i] ? q->scratch.i64[k] : 0;
            k += valid[i];
        }
        return true;
    }
    return false;
}

static int put_all(struct sl_table *t, const struct pq *q, const struct pq_column *c,
                   struct table_vector *v, size_t at, size_t n, struct sl_err *err)
{
    size_t width = table_type_bytes(t->fields[c - q->columns].type);
    size_t k = 0;
    if (c->convert == PQ_AS_BYTES) {
        return put_strings(t, q, v, at, n, err);
    }
    if (put_plain(q, c, v, at, n)) {
        return 0;
    }
    for (size_t i = at; i < at + n; i++) {
        if (v->valid[i] == 0) {
            memset((uint8_t *)v->values + i * width, 0, width);
        } else if (!put(q, c, k++, v, i)) {
            return pq_bad(t, c, "a value is out of the range of its type here", err);
        }
    }
    return 0;
}

/** Which of the next rows have a value; returns how many, or a negative code. */
static int64_t read_levels(struct sl_table *t, struct pq *q, struct pq_column *c, uint8_t *valid,
                           size_t n, struct sl_err *err)
{
    if (!c->optional) {
        memset(valid, 1, n);
        return (int64_t)n;
    }
    if (!pq_hybrid_read(&c->levels, n, q->indexes)) {
        return pq_bad(t, c, "the levels of a page are damaged", err);
    }
    int64_t n_valid = 0;
    for (size_t i = 0; i < n; i++) {
        valid[i] = (uint8_t)q->indexes[i];
        n_valid += valid[i];
    }
    return n_valid;
}

int pq_convert_rows(struct sl_table *t, struct pq *q, size_t i, size_t at, size_t n,
                    struct sl_err *err)
{
    struct pq_column *c = &q->columns[i];
    struct table_vector *v = &t->vectors[i];
    while (n > 0) {
        int rc = pq_page_next(t, q, c, err);
        if (rc != 0) {
            return rc;
        }
        size_t k = SL_MIN(n, c->page_left);
        int64_t n_valid = read_levels(t, q, c, v->valid + at, k, err);
        if (n_valid < 0) {
            return (int)n_valid;
        }
        rc = pq_values_read(t, q, c, (size_t)n_valid, err);
        rc = rc == 0 ? put_all(t, q, c, v, at, k, err) : rc;
        if (rc != 0) {
            return rc;
        }
        c->page_left -= k;
        at += k;
        n -= k;
    }
    return 0;
}
