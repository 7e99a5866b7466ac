/**
 * Packed integers of Parquet: runs mixed with packed bits, and deltas in blocks.
 *
 * Thread: any. Must not: read past `end`, whatever the counts say.
 */
#include "core/base/base.h"

#include "core/table/parquet_priv.h"

#include <string.h>

/** `width` (0..64) bits from bit `at` on, low bits first. Bytes behind `end` read as zero. */
static uint64_t bits_at(const uint8_t *p, const uint8_t *end, uint64_t at, unsigned width)
{
    const uint8_t *from = p + at / 8;
    unsigned shift = (unsigned)(at % 8);
    unsigned __int128 word = 0;
    if (width <= 56 && end - from >= 8) {
        uint64_t half = 0;
        memcpy(&half, from, 8);
        return (half >> shift) & (((uint64_t)1 << width) - 1);
    }
    if (end - from >= 16) {
        memcpy(&word, from, 16);
    } else if (from < end) {
        memcpy(&word, from, (size_t)(end - from));
    }
    word >>= shift;
    return width == 64 ? (uint64_t)word : (uint64_t)word & (((uint64_t)1 << width) - 1);
}

/** The next run. */
static bool hybrid_run(struct pq_hybrid *h)
{
    struct thrift t = {.p = h->p, .end = h->end};
    uint64_t head = thrift_varint(&t);
    h->p = t.p;
    if (t.failed || head > UINT32_MAX) {
        return false;
    }
    h->packed = (head & 1) != 0;
    uint64_t avail = (uint64_t)(h->end - h->p);
    if (!h->packed) {
        size_t n = (h->width + 7) / 8;
        h->left = head >> 1;
        h->value = 0;
        if (n > avail) {
            return false;
        }
        memcpy(&h->value, h->p, n); /* little-endian, as this machine */
        h->p += n;
        return h->left > 0 && (h->width == 32 || h->value >> h->width == 0);
    }
    uint64_t bytes = (head >> 1) * h->width;
    h->left = (head >> 1) * 8;
    h->bits = h->p;
    h->bit = 0;
    if (bytes > avail) { /* some writers cut the last group short */
        bytes = avail;
        h->left = avail * 8 / h->width;
    }
    h->p += bytes;
    return h->left > 0;
}

/** `n` packed values of at most 32 bits. Where eight bytes can be loaded, one load is one value. */
static void unpack(struct pq_hybrid *h, size_t n, uint32_t *out)
{
    const uint8_t *p = h->bits;
    const uint64_t mask = ((uint64_t)1 << h->width) - 1;
    uint64_t bit = h->bit;
    uint64_t loadable = h->end - p >= 8 ? (uint64_t)(h->end - p - 7) * 8 : 0;
    size_t i = 0;
    for (; i < n && bit < loadable; i++, bit += h->width) {
        uint64_t word = 0;
        memcpy(&word, p + bit / 8, 8);
        out[i] = (uint32_t)(word >> (bit % 8) & mask);
    }
    for (; i < n; i++, bit += h->width) {
        out[i] = (uint32_t)bits_at(p, h->end, bit, h->width);
    }
    h->bit = bit;
}

bool pq_hybrid_read(struct pq_hybrid *h, size_t n, uint32_t *out)
{
    while (n > 0) {
        if (h->left == 0 && !hybrid_run(h)) {
            return false;
        }
        size_t k = (size_t)SL_MIN((uint64_t)n, h->left);
        for (size_t i = 0; i < k && !h->packed; i++) {
            out[i] = h->value;
        }
        if (h->packed) {
            unpack(h, k, out);
        }
        h->left -= k;
        out += k;
        n -= k;
    }
    return true;
}

bool pq_delta_start(struct pq_delta *d, const uint8_t *p, const uint8_t *end)
{
    struct thrift t = {.p = p, .end = end};
    uint64_t block = thrift_varint(&t);
    uint64_t minis = thrift_varint(&t);
    uint64_t total = thrift_varint(&t);
    uint64_t first = (uint64_t)thrift_zigzag(thrift_varint(&t));
    if (t.failed || block == 0 || block > (1u << 20) || minis == 0 || minis > 1024 ||
        block % minis != 0 || block / minis % 8 != 0 || total > INT32_MAX) {
        return false;
    }
    *d = (struct pq_delta){.p = t.p,
                           .end = end,
                           .per_mini = block / minis,
                           .n_minis = minis,
                           .left = total,
                           .last = first,
                           .first = true,
                           .mini = minis};
    return true;
}

/** Opens the next miniblock, and the next block when the last one is used up. */
static bool delta_mini(struct pq_delta *d)
{
    if (d->mini == d->n_minis) {
        struct thrift t = {.p = d->p, .end = d->end};
        d->min_delta = (uint64_t)thrift_zigzag(thrift_varint(&t));
        if (t.failed || (uint64_t)(t.end - t.p) < d->n_minis) {
            return false;
        }
        d->widths = t.p;
        d->p = t.p + d->n_minis;
        d->mini = 0;
    }
    d->width = d->widths[d->mini++];
    uint64_t bytes = d->per_mini / 8 * d->width;
    uint64_t avail = (uint64_t)(d->end - d->p);
    d->mini_left = d->per_mini;
    if (d->width > 64) {
        return false;
    }
    if (bytes > avail) { /* the last one may be cut short, but never by values that are there */
        if (SL_MIN(d->left, d->per_mini) * d->width > avail * 8) {
            return false;
        }
        bytes = avail;
    }
    d->bits = d->p;
    d->bit = 0;
    d->p += bytes;
    return true;
}

bool pq_delta_read(struct pq_delta *d, size_t n, uint64_t *out)
{
    if (n > d->left) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (d->first) {
            d->first = false;
        } else {
            if (d->mini_left == 0 && !delta_mini(d)) {
                return false;
            }
            d->last += d->min_delta + bits_at(d->bits, d->end, d->bit, d->width); /* wraps */
            d->bit += d->width;
            d->mini_left--;
        }
        d->left--;
        out[i] = d->last;
    }
    return true;
}

int pq_delta_lengths(struct sl_table *t, const uint8_t *p, const uint8_t *end, size_t n_max,
                     struct table_mem *lengths, size_t *ret_n, const uint8_t **ret_p,
                     struct sl_err *err)
{
    struct pq_delta d;
    if (!pq_delta_start(&d, p, end) || d.left > n_max) {
        return sl_err_set(err, SL_EINVAL, "lengths of strings are damaged");
    }
    size_t n = (size_t)d.left;
    int rc = table_mem_grow(t, lengths, SL_MAX(n, (size_t)1) * sizeof(uint32_t), err);
    if (rc != 0) {
        return rc;
    }
    uint32_t *out = lengths->ptr;
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 0;
        if (!pq_delta_read(&d, 1, &value) || value > INT32_MAX) {
            return sl_err_set(err, SL_EINVAL, "lengths of strings are damaged");
        }
        out[i] = (uint32_t)value;
    }
    *ret_n = n;
    *ret_p = d.p;
    return 0;
}
