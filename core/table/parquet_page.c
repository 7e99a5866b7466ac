/**
 * Pages of a Parquet column: header, bytes, levels.
 *
 * Thread: the table's. Must not: keep more than one page of a column.
 */
#include "core/base/base.h"

#include "core/table/parquet_priv.h"

#include <string.h>

#define HEADER_FIRST_BYTES 4096

enum page_type { PAGE_DATA, PAGE_INDEX, PAGE_DICTIONARY, PAGE_DATA_V2 };

struct header {
    int64_t type, plain_bytes, packed_bytes;
    int64_t n_values, encoding, level_encoding;
    int64_t level_bytes, repeat_bytes; /* v2 */
    bool is_compressed;
    size_t len; /* of the header itself */
};

/** DataPageHeader, DictionaryPageHeader and DataPageHeaderV2 share what is needed. */
static void read_inner(struct thrift *th, int kind, struct header *h)
{
    struct thrift_field f = {0};
    while (thrift_field(th, &f)) {
        bool v2 = kind == 8;
        if (f.id == 1) {
            h->n_values = thrift_size(th, &f, INT32_MAX);
        } else if (f.id == (v2 ? 4 : 2)) {
            h->encoding = thrift_int(th, &f);
        } else if (f.id == 3 && kind == 5) {
            h->level_encoding = thrift_int(th, &f);
        } else if (f.id == 5 && v2) {
            h->level_bytes = thrift_size(th, &f, INT32_MAX);
        } else if (f.id == 6 && v2) {
            h->repeat_bytes = thrift_size(th, &f, INT32_MAX);
        } else if (f.id == 7 && v2) {
            h->is_compressed = thrift_bool(th, &f);
        } else {
            thrift_skip(th, f.type);
        }
    }
}

static void parse_header(struct thrift *th, struct header *h)
{
    struct thrift_field f = {0};
    const uint8_t *start = th->p;
    *h = (struct header){
        .type = -1, .encoding = -1, .level_encoding = PQ_RLE, .is_compressed = true};
    while (thrift_field(th, &f)) {
        switch (f.id) {
        case 1: h->type = thrift_int(th, &f); break;
        case 2: h->plain_bytes = thrift_size(th, &f, INT32_MAX); break;
        case 3: h->packed_bytes = thrift_size(th, &f, INT32_MAX); break;
        case 5:
        case 7:
        case 8:
            if (thrift_struct(th, &f)) {
                read_inner(th, f.id, h);
            }
            break;
        default: thrift_skip(th, f.type); break;
        }
    }
    h->len = (size_t)(th->p - start);
}

/** Reads more while the header does not end; statistics in it may be long. */
static int read_header(struct sl_table *t, struct pq *q, struct pq_column *c, struct header *h,
                       struct sl_err *err)
{
    for (uint64_t want = HEADER_FIRST_BYTES;; want *= 16) {
        size_t n = (size_t)SL_MIN(want, c->end - c->pos);
        int rc = table_mem_grow(t, &q->raw, SL_MAX(n, (size_t)1), err);
        rc = rc == 0 ? table_read(t, c->pos, q->raw.ptr, n, err) : rc;
        if (rc != 0) {
            return rc;
        }
        struct thrift th = {.p = q->raw.ptr, .end = (const uint8_t *)q->raw.ptr + n};
        parse_header(&th, h);
        if (!th.failed) {
            break;
        }
        if (!th.starved || n < want || want >= PQ_PAGE_HEADER_BYTES_MAX) {
            return pq_bad(t, c, "a page header is damaged", err);
        }
    }
    if ((uint64_t)h->packed_bytes > c->end - c->pos - h->len) {
        return pq_bad(t, c, "a page is longer than its chunk", err);
    }
    return 0;
}

/** The page's bytes behind `skip` uncompressed ones, which are copied, into `into`. */
static int load_body(struct sl_table *t, struct pq *q, struct pq_column *c, const struct header *h,
                     size_t skip, struct table_mem *into, struct sl_err *err)
{
    size_t packed = (size_t)h->packed_bytes;
    size_t plain = (size_t)h->plain_bytes;
    if (skip > packed || skip > plain) {
        return pq_bad(t, c, "the levels of a page are longer than it", err);
    }
    int rc = table_mem_grow(t, into, SL_MAX(plain, (size_t)1), err);
    bool direct = c->codec == PQ_PLAIN_CODEC || !h->is_compressed;
    if (rc == 0 && direct) {
        rc = packed == plain ? table_read(t, c->pos + h->len, into->ptr, plain, err)
                             : pq_bad(t, c, "an uncompressed page has two sizes", err);
    } else if (rc == 0) {
        rc = table_mem_grow(t, &q->raw, SL_MAX(packed, (size_t)1), err);
        rc = rc == 0 ? table_read(t, c->pos + h->len, q->raw.ptr, packed, err) : rc;
        if (rc == 0) {
            memcpy(into->ptr, q->raw.ptr, skip);
            rc = pq_decompress(c->codec, (const uint8_t *)q->raw.ptr + skip, packed - skip,
                               (uint8_t *)into->ptr + skip, plain - skip, c->name, err);
            rc = rc != 0 ? sl_err_wrap(err, "%s", t->source.name) : 0;
        }
    }
    c->pos += h->len + packed;
    return rc;
}

static int take_dictionary(struct sl_table *t, struct pq *q, struct pq_column *c,
                           const struct header *h, struct sl_err *err)
{
    if (c->has_dict || (h->encoding != PQ_PLAIN && h->encoding != PQ_PLAIN_DICTIONARY)) {
        return pq_bad(t, c, "a second dictionary, or one that is itself encoded", err);
    }
    int rc = load_body(t, q, c, h, 0, &c->dict, err);
    return rc == 0 ? pq_dictionary(t, c, (size_t)h->plain_bytes, (size_t)h->n_values, err) : rc;
}

/** Where levels and values of the loaded page lie. */
static int start_page(struct sl_table *t, struct pq_column *c, const struct header *h,
                      struct sl_err *err)
{
    const uint8_t *p = c->page.ptr;
    const uint8_t *end = p + h->plain_bytes;
    uint32_t level_bytes = (uint32_t)h->level_bytes;
    if (h->type == PAGE_DATA && c->optional) {
        if (h->level_encoding != PQ_RLE) {
            return sl_err_set(err, SL_EUNSUPPORTED,
                              "%s: column \"%s\": levels in an encoding that "
                              "was given up in 2013",
                              t->source.name, c->name);
        }
        if (end - p < 4) {
            return pq_bad(t, c, "a page is shorter than its levels", err);
        }
        memcpy(&level_bytes, p, 4);
        p += 4;
    }
    if (level_bytes > (uint64_t)(end - p)) {
        return pq_bad(t, c, "a page is shorter than its levels", err);
    }
    c->levels = (struct pq_hybrid){.p = p, .end = p + level_bytes, .width = 1};
    if (h->encoding < 0 || h->encoding > PQ_BYTE_STREAM_SPLIT) {
        return sl_err_set(err, SL_EUNSUPPORTED,
                          "%s: column \"%s\": encoding %lld is not known here", t->source.name,
                          c->name, (long long)h->encoding);
    }
    c->encoding = (enum pq_encoding)h->encoding;
    return pq_values_start(t, c, p + level_bytes, end, (size_t)h->n_values, err);
}

int pq_page_next(struct sl_table *t, struct pq *q, struct pq_column *c, struct sl_err *err)
{
    while (c->page_left == 0) {
        struct header h;
        if (c->pos >= c->end || c->left == 0) {
            return pq_bad(t, c, "its pages hold fewer values than the footer says", err);
        }
        int rc = read_header(t, q, c, &h, err);
        if (rc != 0) {
            return rc;
        }
        if (h.type == PAGE_DICTIONARY) {
            rc = take_dictionary(t, q, c, &h, err);
        } else if (h.type == PAGE_DATA || h.type == PAGE_DATA_V2) {
            if ((uint64_t)h.n_values > c->left || h.repeat_bytes != 0) {
                return pq_bad(t, c, "a page has more values than its chunk", err);
            }
            size_t skip = h.type == PAGE_DATA_V2 ? (size_t)h.level_bytes : 0;
            h.level_bytes = h.type == PAGE_DATA_V2 ? h.level_bytes : 0;
            rc = load_body(t, q, c, &h, skip, &c->page, err);
            rc = rc == 0 ? start_page(t, c, &h, err) : rc;
            c->page_left = (size_t)h.n_values;
            c->left -= (uint64_t)h.n_values;
        } else if (h.type == PAGE_INDEX) {
            c->pos += h.len + (uint64_t)h.packed_bytes;
        } else {
            rc = pq_bad(t, c, "a page header is damaged", err);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
