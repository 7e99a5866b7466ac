/**
 * Archives of arrays (zip, stored or deflated, 64-bit sizes too), and the bytes of one array.
 *
 * Thread: the table's. Must not: trust a local header beyond the length of its names.
 */
#include "core/base/base.h"

#include "core/table/npy_priv.h"

#include <string.h>

#define END_BYTES     22
#define END_SEARCH    (65535 + END_BYTES)
#define END64_BYTES   56
#define LOCATOR_BYTES 20
#define ENTRY_BYTES   46
#define LOCAL_BYTES   30

static uint64_t little(const uint8_t *p, int n)
{
    uint64_t value = 0;
    for (int i = n - 1; i >= 0; i--) {
        value = value << 8 | p[i];
    }
    return value;
}

struct directory {
    uint64_t at, size, n;
};

static int damaged(struct sl_table *t, struct sl_err *err)
{
    return sl_err_set(err, SL_EINVAL, "%s: the archive's directory is damaged (cut short?)",
                      t->source.name);
}

/** The 64-bit end record, where the small one says that its fields do not suffice. */
static int wide_end(struct sl_table *t, uint64_t end_at, struct directory *d, struct sl_err *err)
{
    uint8_t locator[LOCATOR_BYTES];
    uint8_t end[END64_BYTES];
    if (end_at < LOCATOR_BYTES) {
        return damaged(t, err);
    }
    int rc = table_read(t, end_at - LOCATOR_BYTES, locator, sizeof(locator), err);
    if (rc != 0) {
        return rc;
    }
    uint64_t at = little(locator + 8, 8);
    if (memcmp(locator, "PK\6\7", 4) != 0 || at > t->source.size ||
        t->source.size - at < END64_BYTES) {
        return damaged(t, err);
    }
    rc = table_read(t, at, end, sizeof(end), err);
    if (rc == 0 && memcmp(end, "PK\6\6", 4) != 0) {
        return damaged(t, err);
    }
    if (rc == 0) {
        *d = (struct directory){
            .n = little(end + 32, 8), .size = little(end + 40, 8), .at = little(end + 48, 8)};
    }
    return rc;
}

static int find_directory(struct sl_table *t, struct directory *d, struct sl_err *err)
{
    struct table_mem tail = {0};
    size_t len = (size_t)SL_MIN(t->source.size, (uint64_t)END_SEARCH);
    uint64_t from = t->source.size - len;
    int rc = len < END_BYTES ? damaged(t, err) : table_mem_grow(t, &tail, len, err);
    rc = rc == 0 ? table_read(t, from, tail.ptr, len, err) : rc;
    const uint8_t *p = tail.ptr;
    size_t i = len - SL_MIN(len, (size_t)END_BYTES);
    while (rc == 0 && memcmp(p + i, "PK\5\6", 4) != 0) {
        rc = i-- == 0 ? damaged(t, err) : 0;
    }
    if (rc == 0) {
        *d = (struct directory){
            .n = little(p + i + 10, 2), .size = little(p + i + 12, 4), .at = little(p + i + 16, 4)};
        if (d->n == 0xffff || d->size == UINT32_MAX || d->at == UINT32_MAX) {
            rc = wide_end(t, from + i, d, err);
        }
    }
    table_mem_free(t, &tail);
    if (rc == 0 && (d->size > NPZ_DIRECTORY_MAX || d->n > NPZ_MEMBERS_MAX)) {
        return sl_err_set(err, SL_ELIMIT, "%s: an archive of %llu members, at most %d",
                          t->source.name, (unsigned long long)d->n, NPZ_MEMBERS_MAX);
    }
    if (rc == 0 && (d->at > t->source.size || d->size > t->source.size - d->at)) {
        return damaged(t, err);
    }
    return rc;
}

/** Sizes and place that stand in the 64-bit extra field instead. */
static void wide_fields(const uint8_t *extra, size_t len, uint64_t *plain, uint64_t *packed,
                        uint64_t *at)
{
    uint64_t *fields[] = {plain, packed, at};
    while (len >= 4) {
        size_t n = (size_t)little(extra + 2, 2);
        if (n > len - 4) {
            return;
        }
        if (little(extra, 2) == 1) {
            const uint8_t *p = extra + 4;
            for (size_t i = 0; i < SL_LEN(fields); i++) {
                if (*fields[i] == UINT32_MAX && n >= 8) {
                    *fields[i] = little(p, 8);
                    p += 8;
                    n -= 8;
                }
            }
            return;
        }
        extra += 4 + n;
        len -= 4 + n;
    }
}

/** Where the member's bytes begin: the local header's names may have other lengths. */
static int local_header(struct sl_table *t, uint64_t at, struct npy_array *a, struct sl_err *err)
{
    uint8_t local[LOCAL_BYTES];
    if (at > t->source.size || t->source.size - at < LOCAL_BYTES) {
        return damaged(t, err);
    }
    int rc = table_read(t, at, local, sizeof(local), err);
    if (rc != 0) {
        return rc;
    }
    a->begin = at + LOCAL_BYTES + little(local + 26, 2) + little(local + 28, 2);
    if (memcmp(local, "PK\3\4", 4) != 0 || a->begin > t->source.size ||
        a->size > t->source.size - a->begin) {
        return damaged(t, err);
    }
    return 0;
}

/** An entry of the directory; `*ret_len` is its length. Entries that are no arrays leave a->name NULL. */
static int entry(struct sl_table *t, const uint8_t *p, size_t len, struct npy_array *a,
                 size_t *ret_len, struct sl_err *err)
{
    if (len < ENTRY_BYTES || memcmp(p, "PK\1\2", 4) != 0) {
        return damaged(t, err);
    }
    size_t name_len = (size_t)little(p + 28, 2);
    size_t extra_len = (size_t)little(p + 30, 2);
    *ret_len = ENTRY_BYTES + name_len + extra_len + (size_t)little(p + 32, 2);
    if (*ret_len > len) {
        return damaged(t, err);
    }
    const char *name = (const char *)p + ENTRY_BYTES;
    uint64_t method = little(p + 10, 2);
    uint64_t at = little(p + 42, 4);
    a->size = little(p + 20, 4);
    a->plain_size = little(p + 24, 4);
    wide_fields(p + ENTRY_BYTES + name_len, extra_len, &a->plain_size, &a->size, &at);
    if (name_len < 5 || memcmp(name + name_len - 4, ".npy", 4) != 0) {
        return 0;
    }
    if (name_len > SL_TABLE_NAME_BYTES_MAX || sl_utf8_check(name, name_len) != name_len ||
        memchr(name, '\0', name_len) != NULL || (little(p + 8, 2) & 1) != 0 ||
        (method != 0 && method != 8) || (method == 0 && a->size != a->plain_size)) {
        return sl_err_set(err, SL_EUNSUPPORTED,
                          "%s: a member is encrypted, or packed or named in a way not known here",
                          t->source.name);
    }
    a->name = sl_arena_strndup(&t->arena, name, name_len - 4);
    a->deflated = method == 8;
    return local_header(t, at, a, err);
}

int npz_members(struct sl_table *t, struct npy_array **ret, size_t *ret_n, struct sl_err *err)
{
    struct directory d = {0};
    struct table_mem bytes = {0};
    int rc = find_directory(t, &d, err);
    rc = rc == 0 ? table_mem_grow(t, &bytes, (size_t)SL_MAX(d.size, (uint64_t)1), err) : rc;
    rc = rc == 0 ? table_read(t, d.at, bytes.ptr, (size_t)d.size, err) : rc;
    struct npy_array *arrays = SL_ARENA_ARRAY(&t->arena, struct npy_array, rc == 0 ? d.n + 1 : 1);
    const uint8_t *p = bytes.ptr;
    size_t left = (size_t)d.size;
    size_t n = 0;
    for (uint64_t i = 0; rc == 0 && i < d.n; i++) {
        size_t len = 0;
        arrays[n] = (struct npy_array){0};
        rc = entry(t, p, left, &arrays[n], &len, err);
        if (rc == 0) {
            n += arrays[n].name != NULL;
            p += len;
            left -= len;
        }
    }
    table_mem_free(t, &bytes);
    if (rc == 0 && n == 0) {
        return sl_err_set(err, SL_EINVAL, "%s: the archive has no arrays", t->source.name);
    }
    *ret = arrays;
    *ret_n = n;
    return rc;
}

/** Makes `len` more plain bytes; `out` NULL drops them. */
static int inflate_more(struct sl_table *t, struct npy_array *a, uint8_t *out, uint64_t len,
                        struct sl_err *err)
{
    uint8_t dropped[4096];
    z_stream *z = &a->stream;
    while (len > 0) {
        uint64_t n = out != NULL ? len : SL_MIN(len, (uint64_t)sizeof(dropped));
        if (z->avail_in == 0 && a->fed < a->size) {
            size_t want = (size_t)SL_MIN(a->size - a->fed, (uint64_t)NPY_INPUT_BYTES);
            int rc = table_read(t, a->begin + a->fed, a->input.ptr, want, err);
            if (rc != 0) {
                return rc;
            }
            z->next_in = a->input.ptr;
            z->avail_in = (uInt)want;
            a->fed += want;
        }
        z->next_out = out != NULL ? out : dropped;
        z->avail_out = (uInt)SL_MIN(n, (uint64_t)1 << 30);
        uInt before = z->avail_out;
        int rc = inflate(z, Z_NO_FLUSH);
        uInt made = before - z->avail_out;
        if ((rc != Z_OK && rc != Z_STREAM_END) ||
            (made == 0 && z->avail_in == 0 && a->fed == a->size)) {
            return sl_err_set(err, SL_EINVAL, "%s: the packed bytes of %s are damaged",
                              t->source.name, a->name);
        }
        if (rc == Z_STREAM_END && made < len) {
            return sl_err_set(err, SL_EINVAL, "%s: %s has fewer bytes than the archive says",
                              t->source.name, a->name);
        }
        out = out != NULL ? out + made : NULL;
        a->made += made;
        len -= made;
    }
    return 0;
}

int npy_bytes(struct sl_table *t, struct npy_array *a, uint64_t offset, void *out, size_t len,
              struct sl_err *err)
{
    if (!a->deflated) {
        return table_read(t, a->begin + offset, out, len, err);
    }
    if (!a->started) {
        int rc = table_mem_grow(t, &a->input, NPY_INPUT_BYTES, err);
        if (rc != 0) {
            return rc;
        }
        if (inflateInit2(&a->stream, -15) != Z_OK) {
            return sl_err_set(err, SL_ENOMEMORY, "%s: no memory to unpack", t->source.name);
        }
        a->started = true;
    }
    SL_ASSERT(offset >= a->made);
    int rc = inflate_more(t, a, NULL, offset - a->made, err);
    return rc == 0 ? inflate_more(t, a, out, len, err) : rc;
}

void npy_release(struct sl_table *t, struct npy_array *a)
{
    if (a->started) {
        (void)inflateEnd(&a->stream);
    }
    table_mem_free(t, &a->input);
    table_mem_free(t, &a->rows);
}
