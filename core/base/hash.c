/**
 * SHA-256 through OpenSSL EVP and XXH3-64. Sole owner of libcrypto's digest interface.
 *
 * Thread: any; one context per thread at a time. A failure inside libcrypto's software digest is
 * exhaustion or a broken library, so it asserts.
 */
#include "core/base/base.h"

#include "core/base/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/base/mem.h"

struct sl_sha256_ctx {
    EVP_MD_CTX *md;
};

char *sl_digest_hex(const struct sl_digest *d, char out[SL_DIGEST_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SL_DIGEST_BYTES; i++) {
        out[2 * i] = digits[d->b[i] >> 4];
        out[2 * i + 1] = digits[d->b[i] & 15];
    }
    out[SL_DIGEST_HEX] = '\0';
    return out;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sl_digest_parse(const char *text, struct sl_digest *ret)
{
    static const char prefix[] = "sha256:";
    if (strncmp(text, prefix, sizeof(prefix) - 1) == 0) {
        text += sizeof(prefix) - 1;
    }
    struct sl_digest d;
    for (size_t i = 0; i < SL_DIGEST_BYTES; i++) {
        int high = nibble(text[2 * i]);
        int low = high >= 0 ? nibble(text[2 * i + 1]) : -1;
        if (low < 0) {
            return false;
        }
        d.b[i] = (uint8_t)(high << 4 | low);
    }
    if (text[SL_DIGEST_HEX] != '\0') {
        return false;
    }
    *ret = d;
    return true;
}

bool sl_digest_eq(const struct sl_digest *a, const struct sl_digest *b)
{
    return memcmp(a->b, b->b, SL_DIGEST_BYTES) == 0;
}

bool sl_digest_is_zero(const struct sl_digest *d)
{
    static const struct sl_digest zero;
    return sl_digest_eq(d, &zero);
}

void sl_sha256(const void *data, size_t len, struct sl_digest *ret)
{
    unsigned int n = 0;
    int ok = EVP_Digest(data, len, ret->b, &n, EVP_sha256(), NULL);
    SL_ASSERT(ok == 1 && n == SL_DIGEST_BYTES);
}

struct sl_sha256_ctx *sl_sha256_new(void)
{
    struct sl_sha256_ctx *c = SL_NEW(struct sl_sha256_ctx);
    c->md = EVP_MD_CTX_new();
    SL_ASSERT(c->md != NULL);
    sl_sha256_reset(c);
    return c;
}

void sl_sha256_reset(struct sl_sha256_ctx *c)
{
    int ok = EVP_DigestInit_ex(c->md, EVP_sha256(), NULL);
    SL_ASSERT(ok == 1);
}

void sl_sha256_update(struct sl_sha256_ctx *c, const void *data, size_t len)
{
    int ok = EVP_DigestUpdate(c->md, data, len);
    SL_ASSERT(ok == 1);
}

void sl_sha256_final(struct sl_sha256_ctx *c, struct sl_digest *ret)
{
    unsigned int n = 0;
    int ok = EVP_DigestFinal_ex(c->md, ret->b, &n);
    SL_ASSERT(ok == 1 && n == SL_DIGEST_BYTES);
    sl_sha256_reset(c);
}

void sl_sha256_free(struct sl_sha256_ctx *c)
{
    if (c != NULL) {
        EVP_MD_CTX_free(c->md);
        free(c);
    }
}

uint64_t sl_xxh3(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}
