/**
 * HMAC-SHA-256 and MD5: what protocols of others are defined by. Not for identities.
 *
 * Thread: any; one context per thread at a time. Must not: fail but by an assertion, as hash.c.
 */
#include "core/base/base.h"

#include "core/base/hash.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define BLOCK_BYTES 64
#define MD5_BYTES   16

struct sl_md5_ctx {
    EVP_MD_CTX *md;
};

void sl_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    struct sl_digest *ret)
{
    uint8_t block[BLOCK_BYTES] = {0};
    uint8_t pad[BLOCK_BYTES];
    struct sl_digest inner;
    if (key_len > BLOCK_BYTES) {
        struct sl_digest hashed;
        sl_sha256(key, key_len, &hashed);
        memcpy(block, hashed.b, sizeof(hashed.b));
    } else if (key_len > 0) {
        memcpy(block, key, key_len);
    }
    struct sl_sha256_ctx *ctx = sl_sha256_new();
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        pad[i] = block[i] ^ 0x36;
    }
    sl_sha256_update(ctx, pad, sizeof(pad));
    sl_sha256_update(ctx, data, len);
    sl_sha256_final(ctx, &inner);
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        pad[i] = block[i] ^ 0x5c;
    }
    sl_sha256_update(ctx, pad, sizeof(pad));
    sl_sha256_update(ctx, inner.b, sizeof(inner.b));
    sl_sha256_final(ctx, ret);
    sl_sha256_free(ctx);
    explicit_bzero(block, sizeof(block));
    explicit_bzero(pad, sizeof(pad));
}

char *sl_base64(const void *data, size_t len, char *out)
{
    SL_ASSERT(len <= INT32_MAX / 2);
    (void)EVP_EncodeBlock((unsigned char *)out, data, (int)len);
    out[SL_BASE64_BYTES(len) - 1] = '\0';
    return out;
}

bool sl_base64_decode(const char *text, size_t len, void *out, size_t *ret_len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t pad = len >= 2 && text[len - 2] == '=' ? 2 : len >= 1 && text[len - 1] == '=' ? 1 : 0;
    if (len == 0 || len % 4 != 0 || len > INT32_MAX / 2 || strspn(text, alphabet) < len - pad ||
        (pad == 2 && text[len - 1] != '=')) {
        return false;
    }
    int n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
    if (n < 0) {
        return false;
    }
    *ret_len = (size_t)n - pad;
    return true;
}

static void md5_reset(struct sl_md5_ctx *c)
{
    int ok = EVP_DigestInit_ex(c->md, EVP_md5(), NULL);
    SL_ASSERT(ok == 1);
}

struct sl_md5_ctx *sl_md5_new(void)
{
    struct sl_md5_ctx *c = SL_NEW(struct sl_md5_ctx);
    c->md = EVP_MD_CTX_new();
    SL_ASSERT(c->md != NULL);
    md5_reset(c);
    return c;
}

void sl_md5_update(struct sl_md5_ctx *c, const void *data, size_t len)
{
    int ok = EVP_DigestUpdate(c->md, data, len);
    SL_ASSERT(ok == 1);
}

char *sl_md5_final(struct sl_md5_ctx *c, char out[SL_MD5_HEX + 1])
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    int ok = EVP_DigestFinal_ex(c->md, sum, &n);
    SL_ASSERT(ok == 1 && n == MD5_BYTES);
    for (size_t i = 0; i < MD5_BYTES; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", sum[i]);
    }
    md5_reset(c);
    return out;
}

void sl_md5_free(struct sl_md5_ctx *c)
{
    if (c != NULL) {
        EVP_MD_CTX_free(c->md);
        free(c);
    }
}
