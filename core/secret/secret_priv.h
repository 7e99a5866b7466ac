/**
 * Inside of the secrets room: the opened key, ciphers, and what its files share.
 */
#ifndef SL_SECRET_PRIV_H
#define SL_SECRET_PRIV_H

#include <sodium.h>

#include "core/secret/secret.h"

#define SECRET_KEY_NEW  SL_SECRET_KEY_FILE ".new" /* while a rotation is going on */
#define SECRET_STACK    16384 /* bytes below a call that are overwritten after it handled plain text */
#define SECRET_ID_HEX   32
#define SECRET_NONCE    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define SECRET_TAG      crypto_aead_xchacha20poly1305_ietf_ABYTES
#define SECRET_DATA_KEY crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define SECRET_WRAPPED  (SECRET_DATA_KEY + SECRET_TAG)
#define SECRET_AAD_MAX  1024

/** An opened master key, in locked memory. */
struct sl_secret_key {
    char id[SECRET_ID_HEX + 1];
    unsigned char master[crypto_kdf_KEYBYTES];
    unsigned char wrap[SECRET_DATA_KEY]; /* derived: wraps data keys */
    unsigned char box_secret[crypto_box_SECRETKEYBYTES];
    unsigned char box_public[crypto_box_PUBLICKEYBYTES];
};

/* key.c */
/** A new random key; nothing is written. Caller closes. */
struct sl_secret_key *sl_secret_key_random(void);
/** Writes a key file that must not exist. Durable. */
int sl_secret_key_write(int dirfd, const char *name, const struct sl_secret_key *key,
                        struct sl_err *err) SL_MUST_CHECK;
/** Reads one. -SL_ENOTFOUND, -SL_EREFUSED, -SL_ECORRUPT. */
int sl_secret_key_read(int dirfd, const char *name, struct sl_secret_key **ret, struct sl_err *err)
    SL_MUST_CHECK;
/** Id of the key that rows are encrypted under; "" when there are none. */
int sl_secret_master_id(struct sl_db *db, char out[SECRET_ID_HEX + 1], struct sl_err *err)
    SL_MUST_CHECK;

/* cipher.c */
/* A struct sl_secret_ref with a version says whose value it is: part of what is authenticated. */
/** As it lies in a row. */
struct secret_row {
    unsigned char wrap_nonce[SECRET_NONCE], wrapped[SECRET_WRAPPED], nonce[SECRET_NONCE];
    unsigned char *text; /* heap; value and tag */
    size_t text_len;
};
void sl_secret_row_release(struct secret_row *row);
/** Encrypts under a new data key. */
void sl_secret_encrypt(const struct sl_secret_key *key, const struct sl_secret_ref *place,
                       const struct sl_secret_value *value, struct secret_row *ret);
/** -SL_ECORRUPT when the row is not what was encrypted for this place under this key. */
int sl_secret_decrypt(const struct sl_secret_key *key, const struct sl_secret_ref *place,
                      const struct secret_row *row, struct sl_secret_value *ret, struct sl_err *err)
    SL_MUST_CHECK;
/** Locked memory for a value of `len` bytes. */
void sl_secret_value_alloc(struct sl_secret_value *v, size_t len);

/* read.c */
/** Reads the row of a version that is not erased. Caller releases. -SL_ENOTFOUND. */
int sl_secret_load(struct sl_db *db, const struct sl_secret_ref *place, struct secret_row *ret,
                   struct sl_err *err) SL_MUST_CHECK;
/** -SL_ENOTFOUND that names the nearest secret there is. */
int sl_secret_unknown(struct sl_db *db, const char *project, const char *name, struct sl_err *err);
/** -SL_ECONFLICT unless rows are encrypted under this key (or there are none). */
int sl_secret_check_key(struct sl_db *db, const struct sl_secret_key *key, struct sl_err *err)
    SL_MUST_CHECK;
int sl_secret_store_row(struct sl_db *db, const struct sl_secret_ref *place,
                        const struct secret_row *row, struct sl_err *err) SL_MUST_CHECK;

#endif
