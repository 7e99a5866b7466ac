/**
 * Door of the secrets room: values encrypted at rest, versioned, given out to steps that declare them.
 *
 *     master key (<data>/secret.key, 0600) ──wraps──► data key per version ──seals──► value
 *
 * XChaCha20-Poly1305; project, name and version are associated data, so that a row cannot stand in for
 * another one. Only plain text in memory of libsodium's (locked, guarded, left out of core dumps) leaves
 * or enters this room: people's values come as boxes sealed to the data directory's public key, so
 * that sockets, parsers and logs between a terminal and the database see cipher text alone.
 *
 * Of a secret the current version can be used, the one before it can be recognised in what a running
 * attempt leaves behind; older ones and removed secrets are erased.
 *
 * Thread: any; a connection as elsewhere. Blocks: yes (files, database). Sole owner of sodium.h.
 * Must not: put a value or a key into an error, a log, a heap buffer or a file but secret.key.
 */
#ifndef SL_SECRET_H
#define SL_SECRET_H

#include "core/audit/audit.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#define SL_SECRET_NAME_MAX   128         /* [A-Za-z_][A-Za-z0-9_.-]*, bytes */
#define SL_SECRET_VALUE_MAX  (64u << 10) /* bytes of a value; at least one */
#define SL_SECRETS_MAX       10000       /* of a data directory */
#define SL_SECRET_KEY_FILE   "secret.key"
#define SL_SECRET_SEALED_MAX (SL_SECRET_VALUE_MAX + 48) /* bytes of a box: a value and its seal */

extern const struct sl_schema
    sl_secret_schema; /* secret, secret_version, secret_lease, secret_master */

/** -SL_EINVAL saying what a name may be. */
int sl_secret_name_check(const char *name, struct sl_err *err) SL_MUST_CHECK;

/* ---- values in memory ------------------------------------------------------------------------------ */

/** A plain value in locked memory. Zero-initialised is empty. */
struct sl_secret_value {
    unsigned char *bytes; /* len of them, and a NUL behind */
    size_t len;
    int64_t version; /* 0 while it is of none */
};
void sl_secret_value_release(
    struct sl_secret_value *v); /* overwrites and frees; NULL bytes are fine */
void sl_cleanup_secret_value(struct sl_secret_value *v); /* for _cleanup_(secret_value) */
/** Locked, guarded memory that core dumps leave out, for what holds plain text; aligned for any object. Aborts when
 * there is none. */
void *sl_secret_alloc(size_t size_bytes);
void sl_secret_free(void *memory); /* overwrites first; NULL is fine */
/** Reads a descriptor to its end. -SL_EINVAL when empty, -SL_ELIMIT past SL_SECRET_VALUE_MAX, -SL_EIO.
 * @param strip_newline  takes one newline off the end (a value typed or echoed has one) */
int sl_secret_read_fd(int fd, bool strip_newline, struct sl_secret_value *ret, struct sl_err *err)
    SL_MUST_CHECK;

/* ---- the master key -------------------------------------------------------------------------------- */

struct sl_secret_key;
/**
 * Opens the data directory's master key.
 *
 * @param db      says which key its rows are encrypted under; a rotation that died is completed here
 * @param create  makes a key where there is none and no secret yet
 * @return        0; -SL_ENOTFOUND without key and `create`; -SL_EREFUSED when the file can be read or written by
 *                others or belongs to somebody else; -SL_ECORRUPT when it is not the database's key
 * Owner:         caller, sl_secret_key_close. NULL is allowed there.
 */
int sl_secret_key_open(int data_dirfd, struct sl_db *db, bool create, struct sl_secret_key **ret,
                       struct sl_err *err) SL_MUST_CHECK;
void sl_secret_key_close(struct sl_secret_key *key);
void sl_cleanup_secret_key(struct sl_secret_key **key); /* for _cleanup_(secret_key) */

#define SL_SECRET_PUBLIC_HEX 64
/** The public key that values are sealed to: lowercase hex with NUL. */
void sl_secret_public(const struct sl_secret_key *key, char out[SL_SECRET_PUBLIC_HEX + 1]);
/** Seals a value to a public key: hex text (caller frees). -SL_EINVAL for a bad key. Needs no master key. */
int sl_secret_seal(const char *public_hex, const struct sl_secret_value *value, char **ret_hex,
                   struct sl_err *err) SL_MUST_CHECK;
/** Opens such a box. -SL_EINVAL when it is not one for this key. */
int sl_secret_unseal(const struct sl_secret_key *key, const char *sealed_hex,
                     struct sl_secret_value *ret, struct sl_err *err) SL_MUST_CHECK;

/* ---- secrets: inside the caller's transaction (asserted where it writes) ---------------------------- */

/** Who does it and when; every change appends its audit entry. */
struct sl_secret_by {
    const char *project;
    struct sl_actor actor;
    int64_t ts_ms;
};

enum sl_secret_mode {
    SL_SECRET_SET,   /* new, or a new version of an existing one */
    SL_SECRET_ROTATE /* a new version: -SL_ENOTFOUND naming the nearest when there is none */
};
/** A new version. */
struct sl_secret_new {
    const char *name;
    const struct sl_secret_value *value;
    enum sl_secret_mode mode;
};
/**
 * Stores a value as the new current version. The one before stays recognisable; older ones are erased.
 *
 * @return 0; -SL_EINVAL, -SL_ELIMIT, -SL_ENOTFOUND; -SL_ECONFLICT when the master key was rotated meanwhile:
 *         open it again
 */
int sl_secret_put(struct sl_db *db, const struct sl_secret_key *key, const struct sl_secret_by *by,
                  const struct sl_secret_new *what, int64_t *ret_version, struct sl_err *err)
    SL_MUST_CHECK;
/** Erases every version; name and history stay listed in the audit log only. -SL_ENOTFOUND with the nearest. */
int sl_secret_remove(struct sl_db *db, const struct sl_secret_by *by, const char *name,
                     struct sl_err *err) SL_MUST_CHECK;
/** [{name, version, versions: [{version, state, created_ms, by}], created_ms, set_ms, by, used_ms, used_run}], by
 * name.
 * Never a value. New reference. */
int sl_secret_list(struct sl_db *db, const char *project, json_t **ret, struct sl_err *err)
    SL_MUST_CHECK;
/** 0 when it exists; -SL_ENOTFOUND with the nearest name. */
int sl_secret_exists(struct sl_db *db, const char *project, const char *name, struct sl_err *err)
    SL_MUST_CHECK;

/** One version of one secret. */
struct sl_secret_ref {
    const char *project, *name;
    int64_t version; /* 0: the current one */
};
/**
 * Decrypts the current version, or a certain one that is still recognisable.
 * @return 0; -SL_ENOTFOUND (erased too); -SL_ECORRUPT when it does not decrypt; -SL_ECONFLICT as above
 */
int sl_secret_get(struct sl_db *db, const struct sl_secret_key *key,
                  const struct sl_secret_ref *which, struct sl_secret_value *ret,
                  struct sl_err *err) SL_MUST_CHECK;

/** What an attempt receives. */
struct sl_secret_lease {
    const char *name;
    int64_t version;
};
struct sl_secret_receipt {
    const char *run_id, *attempt_id;
    const struct sl_secret_lease *leases;
    size_t n; /* at most SL_SECRET_LEASES_MAX */
};
#define SL_SECRET_LEASES_MAX 63 /* objects of one audit entry, the attempt apart */
/** Records with one audit entry which versions an attempt receives. */
int sl_secret_lease_add(struct sl_db *db, const struct sl_secret_by *by,
                        const struct sl_secret_receipt *receipt, struct sl_err *err) SL_MUST_CHECK;
/** What an attempt received, into `arena`. run_id is not filled in. */
int sl_secret_leases(struct sl_db *db, const char *attempt_id, struct sl_arena *arena,
                     struct sl_secret_receipt *ret, struct sl_err *err) SL_MUST_CHECK;

/* ---- a new master key ------------------------------------------------------------------------------ */

/**
 * Encrypts every secret anew under a new master key, with new data keys. Whatever dies when, key file and
 * rows fit together afterwards: new key in secret.key.new, rows in one transaction, rename.
 *
 * @param write  runs a function in one durable transaction (as sl_ws_write does)
 * @return       0 with the number of versions; -SL_EBUSY while another rotation is going on
 */
struct sl_secret_writer {
    int (*write)(void *data, sl_db_fn fn, void *arg, struct sl_err *err);
    void *data;
};
int sl_secret_rotate_master(int data_dirfd, const struct sl_secret_writer *writer,
                            const struct sl_secret_by *by, int64_t *ret_versions,
                            struct sl_err *err) SL_MUST_CHECK;

#endif
