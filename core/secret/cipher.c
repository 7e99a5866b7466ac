/**
 * Locked memory, and the three ciphers: data keys wrapped by the master key, values under data keys, boxes
 * sealed to the data directory's public key.
 *
 * XChaCha20-Poly1305: draft-irtf-cfrg-xchacha-03, a random nonce of 24 bytes each time. Sealed boxes:
 * X25519, XSalsa20-Poly1305, an ephemeral key each (libsodium's crypto_box_seal).
 *
 * Thread: any. Must not: copy plain text anywhere but into memory of sodium_malloc.
 */
#include "core/base/base.h"

#include "core/secret/secret_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"

/* ---- memory --------------------------------------------------------------------------------------- */

void *sl_secret_alloc(size_t size_bytes)
{
    SL_ASSERT(sodium_init() >= 0); /* again is fine, on any thread */
    /* it ends at a page's end: only whole units begin where any object may */
    const size_t unit = _Alignof(max_align_t);
    void *memory = sodium_malloc((SL_MAX(size_bytes, (size_t)1) + unit - 1) / unit * unit);
    SL_ASSERT(memory != NULL);
    return memory;
}

void sl_secret_free(void *memory)
{
    sodium_free(memory);
}

void sl_secret_value_alloc(struct sl_secret_value *v, size_t len)
{
    *v = (struct sl_secret_value){.bytes = sl_secret_alloc(len + 1), .len = len};
    v->bytes[len] = '\0';
}

void sl_secret_value_release(struct sl_secret_value *v)
{
    sodium_free(v->bytes);
    *v = (struct sl_secret_value){0};
}

void sl_cleanup_secret_value(struct sl_secret_value *v)
{
    sl_secret_value_release(v);
}

int sl_secret_read_fd(int fd, bool strip_newline, struct sl_secret_value *ret, struct sl_err *err)
{
    _cleanup_(secret_value)
    struct sl_secret_value all = {0};
    size_t len = 0;
    sl_secret_value_alloc(&all, SL_SECRET_VALUE_MAX + 2);
    for (;;) {
        ssize_t n = read(fd, all.bytes + len, all.len - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return sl_err_errno(err, errno, "cannot read the value");
        }
        len += (size_t)n;
        if (n == 0 || len == all.len) {
            break;
        }
    }
    if (strip_newline && len > 0 && all.bytes[len - 1] == '\n') {
        len--;
    }
    if (len == 0 || len > SL_SECRET_VALUE_MAX) {
        return len == 0 ? sl_err_set(err, SL_EINVAL, "the value is empty")
                        : sl_err_set(err, SL_ELIMIT, "the value is longer than %u bytes",
                                     SL_SECRET_VALUE_MAX);
    }
    sl_secret_value_alloc(ret, len);
    memcpy(ret->bytes, all.bytes, len);
    sodium_stackzero(SECRET_STACK);
    return 0;
}

/* ---- rows ----------------------------------------------------------------------------------------- */

/** What is authenticated with a text but not in it: purpose, key, project, name, version. */
static size_t associate(const char *purpose, const struct sl_secret_key *key,
                        const struct sl_secret_ref *p, char out[SECRET_AAD_MAX])
{
    int n = snprintf(out, SECRET_AAD_MAX, "sluice-secret 1\n%s\n%s\n%s\n%s\n%lld\n", purpose,
                     key->id, p->project, p->name, (long long)p->version);
    SL_ASSERT(n > 0 && n < SECRET_AAD_MAX);
    return (size_t)n;
}

void sl_secret_row_release(struct secret_row *row)
{
    free(row->text);
    row->text = NULL;
}

void sl_secret_encrypt(const struct sl_secret_key *key, const struct sl_secret_ref *place,
                       const struct sl_secret_value *value, struct secret_row *ret)
{
    char aad[SECRET_AAD_MAX];
    unsigned char *data_key = sl_secret_alloc(SECRET_DATA_KEY);
    crypto_aead_xchacha20poly1305_ietf_keygen(data_key);
    randombytes_buf(ret->wrap_nonce, sizeof(ret->wrap_nonce));
    randombytes_buf(ret->nonce, sizeof(ret->nonce));
    size_t aad_len = associate("key", key, place, aad);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(ret->wrapped, NULL, data_key, SECRET_DATA_KEY,
                                                     (const unsigned char *)aad, aad_len, NULL,
                                                     ret->wrap_nonce, key->wrap);
    ret->text_len = value->len + SECRET_TAG;
    ret->text = sl_malloc(ret->text_len);
    aad_len = associate("value", key, place, aad);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(ret->text, NULL, value->bytes, value->len,
                                                     (const unsigned char *)aad, aad_len, NULL,
                                                     ret->nonce, data_key);
    sl_secret_free(data_key);
    sodium_stackzero(SECRET_STACK);
}

int sl_secret_decrypt(const struct sl_secret_key *key, const struct sl_secret_ref *place,
                      const struct secret_row *row, struct sl_secret_value *ret, struct sl_err *err)
{
    char aad[SECRET_AAD_MAX];
    _cleanup_(secret_value)
    struct sl_secret_value value = {0};
    unsigned char *data_key = sl_secret_alloc(SECRET_DATA_KEY);
    size_t aad_len = associate("key", key, place, aad);
    int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(data_key, NULL, NULL, row->wrapped,
                                                        SECRET_WRAPPED, (const unsigned char *)aad,
                                                        aad_len, row->wrap_nonce, key->wrap);
    if (rc == 0) {
        sl_secret_value_alloc(&value, row->text_len - SECRET_TAG);
        aad_len = associate("value", key, place, aad);
        rc = crypto_aead_xchacha20poly1305_ietf_decrypt(value.bytes, NULL, NULL, row->text,
                                                        row->text_len, (const unsigned char *)aad,
                                                        aad_len, row->nonce, data_key);
    }
    sl_secret_free(data_key);
    sodium_stackzero(SECRET_STACK);
    if (rc != 0) {
        return sl_err_set(err, SL_ECORRUPT, "secret '%s', version %lld: not what was stored for it",
                          place->name, (long long)place->version);
    }
    value.version = place->version;
    *ret = value;
    value = (struct sl_secret_value){0};
    return 0;
}

/* ---- boxes ---------------------------------------------------------------------------------------- */

int sl_secret_seal(const char *public_hex, const struct sl_secret_value *value, char **ret_hex,
                   struct sl_err *err)
{
    unsigned char public[crypto_box_PUBLICKEYBYTES];
    size_t n = 0;
    if (sodium_init() < 0 || strlen(public_hex) != SL_SECRET_PUBLIC_HEX ||
        sodium_hex2bin(public, sizeof(public), public_hex, SL_SECRET_PUBLIC_HEX, NULL, &n, NULL) !=
            0 ||
        n != sizeof(public)) {
        return sl_err_set(err, SL_EINVAL, "'%.80s' is no public key", public_hex);
    }
    size_t len = value->len + crypto_box_SEALBYTES;
    _cleanup_(free)
    unsigned char *box = sl_malloc(len);
    int rc = crypto_box_seal(box, value->bytes, value->len, public);
    sodium_stackzero(SECRET_STACK);
    if (rc != 0) {
        return sl_err_set(err, SL_EINVAL, "nothing can be sealed to this public key");
    }
    char *hex = sl_malloc(2 * len + 1);
    (void)sodium_bin2hex(hex, 2 * len + 1, box, len);
    *ret_hex = hex;
    return 0;
}

int sl_secret_unseal(const struct sl_secret_key *key, const char *sealed_hex,
                     struct sl_secret_value *ret, struct sl_err *err)
{
    size_t hex_len = strlen(sealed_hex);
    size_t len = hex_len / 2;
    if (len <= crypto_box_SEALBYTES || len > SL_SECRET_SEALED_MAX) {
        return sl_err_set(err, len > SL_SECRET_SEALED_MAX ? SL_ELIMIT : SL_EINVAL,
                          "sealed value: 1 to %u bytes are allowed", SL_SECRET_VALUE_MAX);
    }
    _cleanup_(free)
    unsigned char *box = sl_malloc(len);
    size_t n = 0;
    _cleanup_(secret_value)
    struct sl_secret_value value = {0};
    sl_secret_value_alloc(&value, len - crypto_box_SEALBYTES);
    int rc = sodium_hex2bin(box, len, sealed_hex, hex_len, NULL, &n, NULL);
    if (rc == 0 && n == len && hex_len == 2 * len) {
        rc = crypto_box_seal_open(value.bytes, box, len, key->box_public, key->box_secret);
    } else {
        rc = -1;
    }
    sodium_stackzero(SECRET_STACK);
    if (rc != 0) {
        return sl_err_set(err, SL_EINVAL,
                          "sealed value: it is not sealed to this data directory's public key");
    }
    *ret = value;
    value = (struct sl_secret_value){0};
    return 0;
}
