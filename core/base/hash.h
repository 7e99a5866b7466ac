/**
 * Digests: SHA-256 (identity, through OpenSSL EVP) and XXH3-64 (non-identity keys).
 * Sole owner of libcrypto's digest interface.
 */
#ifndef SL_HASH_H
#define SL_HASH_H

#include "core/base/err.h"

#define SL_DIGEST_BYTES 32
#define SL_DIGEST_HEX   64

struct sl_digest {
    uint8_t b[SL_DIGEST_BYTES];
};

/** Lowercase hex with NUL. `out` has SL_DIGEST_HEX + 1 bytes. Returns out. */
char *sl_digest_hex(const struct sl_digest *d, char out[SL_DIGEST_HEX + 1]);
/** Accepts 64 lowercase hex, with or without "sha256:" before it. False otherwise. */
bool sl_digest_parse(const char *text, struct sl_digest *ret);
bool sl_digest_eq(const struct sl_digest *a, const struct sl_digest *b);
bool sl_digest_is_zero(const struct sl_digest *d);

/** One-shot. */
void sl_sha256(const void *data, size_t len, struct sl_digest *ret);

/** Streaming; a context is reusable after sl_sha256_final. Single-threaded each. */
struct sl_sha256_ctx;
struct sl_sha256_ctx *sl_sha256_new(void);
void sl_sha256_reset(struct sl_sha256_ctx *c);
void sl_sha256_update(struct sl_sha256_ctx *c, const void *data, size_t len);
void sl_sha256_final(struct sl_sha256_ctx *c, struct sl_digest *ret); /* resets too */
void sl_sha256_free(struct sl_sha256_ctx *c);                         /* NULL allowed */

uint64_t sl_xxh3(const void *data, size_t len);

/** HMAC-SHA-256 (RFC 2104, RFC 4231) of one message, under a key of any length. */
void sl_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    struct sl_digest *ret);

/** Standard base64 with padding and NUL: needs SL_BASE64_BYTES(len). Returns out. */
#define SL_BASE64_BYTES(len) ((((size_t)(len) + 2) / 3) * 4 + 1)
char *sl_base64(const void *data, size_t len, char *out);
/** The reverse, strict, into len / 4 * 3 bytes at most. False when it is none. */
bool sl_base64_decode(const char *text, size_t len, void *out, size_t *ret_len);

/** MD5, streaming, for checksums that others define by it (S3's ETag); never an identity. */
#define SL_MD5_HEX 32
struct sl_md5_ctx;
struct sl_md5_ctx *sl_md5_new(void);
void sl_md5_update(struct sl_md5_ctx *c, const void *data, size_t len);
/** Lowercase hex with NUL; the context starts anew. Returns out. */
char *sl_md5_final(struct sl_md5_ctx *c, char out[SL_MD5_HEX + 1]);
void sl_md5_free(struct sl_md5_ctx *c); /* NULL allowed */

#endif
