/**
 * Compressed pages: snappy, gzip, zstd, LZ4 raw and LZ4 in Hadoop's frames.
 *
 * Thread: any. Must not: write past the size that the page header states.
 */
#include "core/base/base.h"

#include "core/table/parquet_priv.h"

#include <lz4.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static bool take_snappy(const uint8_t *bytes, size_t len, uint8_t *out, size_t want)
{
    size_t n = 0;
    return snappy_uncompressed_length((const char *)bytes, len, &n) == SNAPPY_OK && n == want &&
           snappy_uncompress((const char *)bytes, len, (char *)out, &n) == SNAPPY_OK && n == want;
}

/** Members may follow one another. */
static bool take_gzip(const uint8_t *bytes, size_t len, uint8_t *out, size_t want)
{
    z_stream z = {0};
    if (inflateInit2(&z, 15 + 32) != Z_OK) { /* a zlib header is taken too */
        return false;
    }
    union {
        const uint8_t *in;
        Bytef *next; /* zlib does not write there */
    } input = {.in = bytes};
    z.next_in = input.next;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)want;
    int rc = inflate(&z, Z_FINISH);
    while (rc == Z_STREAM_END && z.avail_in > 0 && z.avail_out > 0 && inflateReset(&z) == Z_OK) {
        rc = inflate(&z, Z_FINISH);
    }
    bool ok = rc == Z_STREAM_END && z.avail_out == 0;
    (void)inflateEnd(&z);
    return ok;
}

static bool take_lz4(const uint8_t *bytes, size_t len, uint8_t *out, size_t want)
{
    if (len > INT32_MAX || want > INT32_MAX) {
        return false;
    }
    int n = LZ4_decompress_safe((const char *)bytes, (char *)out, (int)len, (int)want);
    return n >= 0 && (size_t)n == want;
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/** Blocks of {uncompressed size, compressed size, bytes}, sizes with the high byte first. */
static bool take_hadoop_lz4(const uint8_t *bytes, size_t len, uint8_t *out, size_t want)
{
    size_t done = 0;
    while (len >= 8) {
        uint32_t plain = big_endian(bytes);
        uint32_t packed = big_endian(bytes + 4);
        if (packed > len - 8 || plain > want - done ||
            !take_lz4(bytes + 8, packed, out + done, plain)) {
            return false;
        }
        done += plain;
        bytes += 8 + packed;
        len -= 8 + packed;
    }
    return len == 0 && done == want;
}

static bool take_zstd(const uint8_t *bytes, size_t len, uint8_t *out, size_t want)
{
    size_t n = ZSTD_decompress(out, want, bytes, len);
    return !ZSTD_isError(n) && n == want;
}

int pq_decompress(enum pq_codec codec, const uint8_t *bytes, size_t len, uint8_t *out, size_t want,
                  const char *where, struct sl_err *err)
{
    static const char *const names[] = {"no",     "snappy", "gzip", "lzo",
                                        "brotli", "lz4",    "zstd", "lz4_raw"};
    bool ok = false;
    if (want == 0) {
        return 0;
    }
    switch (codec) {
    case PQ_PLAIN_CODEC:
        ok = len == want;
        if (ok) {
            memcpy(out, bytes, want);
        }
        break;
    case PQ_SNAPPY: ok = take_snappy(bytes, len, out, want); break;
    case PQ_GZIP: ok = take_gzip(bytes, len, out, want); break;
    case PQ_LZ4:
        ok = take_hadoop_lz4(bytes, len, out, want) || take_lz4(bytes, len, out, want);
        break;
    case PQ_LZ4_RAW: ok = take_lz4(bytes, len, out, want); break;
    case PQ_ZSTD: ok = take_zstd(bytes, len, out, want); break;
    case PQ_LZO:
    case PQ_BROTLI:
        return sl_err_set(err, SL_EUNSUPPORTED, "%s: %s compression is not known to this reader",
                          where, names[codec]);
    }
    if (!ok) {
        return sl_err_set(err, SL_EINVAL, "%s: a page of %s compression is damaged", where,
                          names[codec]);
    }
    return 0;
}
