/**
 * Git LFS pointers, written and read in canonical form only.
 *
 * Pure. Thread: any. Must not: accept what git-lfs would write differently.
 */
#include "core/base/base.h"

#include "registry/object/pointer.h"

#include <stdio.h>
#include <string.h>

size_t sl_pointer_format(const struct sl_digest *digest, uint64_t size_bytes,
                         char out[SL_POINTER_MAX])
{
    char hex[SL_DIGEST_HEX + 1];
    int n = snprintf(out, SL_POINTER_MAX,
                     "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %llu\n",
                     sl_digest_hex(digest, hex), (unsigned long long)size_bytes);
    SL_ASSERT(n > 0 && n < SL_POINTER_MAX);
    return (size_t)n;
}

int sl_pointer_parse(const char *text, size_t len, struct sl_digest *ret_digest,
                     uint64_t *ret_size_bytes, struct sl_err *err)
{
    char copy[SL_POINTER_MAX];
    char hex[SL_DIGEST_HEX + 1];
    unsigned long long size = 0;
    struct sl_digest digest;
    if (len >= sizeof(copy)) {
        return sl_err_set(err, SL_EINVAL, "not a pointer: %zu bytes are too many", len);
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (sscanf(copy,
               "version https://git-lfs.github.com/spec/v1\noid sha256:%64[0-9a-f]\nsize %19llu",
               hex, &size) != 2 ||
        !sl_digest_parse(hex, &digest)) {
        return sl_err_set(err, SL_EINVAL, "not a Git LFS pointer");
    }
    char again[SL_POINTER_MAX];
    size_t n = sl_pointer_format(&digest, size, again);
    if (n != len || memcmp(again, text, n) != 0) {
        return sl_err_set(err, SL_EINVAL, "not a canonical Git LFS pointer");
    }
    *ret_digest = digest;
    *ret_size_bytes = size;
    return 0;
}
