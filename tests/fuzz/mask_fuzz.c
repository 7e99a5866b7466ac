/**
 * Fuzz target: masking. First byte: how the stream is cut; then a value of up to 255 bytes (its length
 * first), then the stream.
 *
 * Beside not crashing: however the stream is cut, the same comes out, the value does not, and what does
 * not occur is not changed.
 */
#include "core/base/base.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mask.h"
#include "core/base/mem.h"
#include "tests/support/sl_fuzz.h"

static size_t run(const struct sl_mask *m, const char *in, size_t len, size_t piece, char *all)
{
    struct sl_mask_stream s = {0};
    char *out = sl_malloc(piece + SL_MASK_ROOM);
    size_t at = 0;
    for (size_t i = 0; i < len; i += piece) {
        size_t n = sl_mask_feed(m, &s, in + i, SL_MIN(piece, len - i), out);
        SL_ASSERT(at + n <= i + piece);
        memcpy(all + at, out, n);
        at += n;
    }
    free(out);
    return at + sl_mask_end(m, &s, all + at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t piece = data[0] % 64 + 1u;
    size_t value_len = SL_MIN((size_t)data[1], size - 2);
    const char *value = (const char *)data + 2;
    const char *stream = value + value_len;
    size_t len = size - 2 - value_len;
    const struct sl_mask_value v = {value, value_len};
    struct sl_mask *m = sl_mask_init(sl_malloc(sl_mask_size(&v, 1)), &v, 1);
    char *one = sl_malloc(len + SL_MASK_ROOM);
    char *other = sl_malloc(len + SL_MASK_ROOM);
    size_t n = run(m, stream, len, len + 1, one);
    SL_ASSERT(run(m, stream, len, piece, other) == n && memcmp(one, other, n) == 0);
    if (sl_mask_find(m, stream, len) < 0) {
        SL_ASSERT(n == len && memcmp(one, stream, len) == 0);
    }
    bool one_line = value_len >= SL_MASK_MIN && memchr(value, '\n', value_len) == NULL;
    bool stars = memchr(value, '*', value_len) != NULL;
    if (one_line && !stars) {
        SL_ASSERT(memmem(one, n, value, value_len) == NULL);
    }
    free(one);
    free(other);
    free(m);
    return 0;
}
