/**
 * Door of the audit log: an entry per state change, leaf of one RFC 6962 tree, in the caller's
 * transaction. If the entry cannot be written, the change does not happen.
 *
 * A leaf holds canonical JSON (RFC 8785 form; integers and strings only):
 *   {"act":"deployment.flip","actor":{"auth":"local","id":"p_…","kind":"user"},"i":7,
 *    "obj":[{"digest":"sha256:…","id":"…","kind":"model_version"}],"req":"…","res":"ok","ret":"10y",
 *    "t":"2026-11-20T10:00:00.000Z","v":1}
 * Absent fields are left out. Personal data never enters a leaf: an actor is an opaque id whose name
 * lives in the erasable table `principal`, a reason that a person wrote lives in the erasable table
 * `audit_reason`, beside the log.
 *
 * Thread: that of the connection. Must not: read a clock, commit by itself.
 */
#ifndef SL_AUDIT_H
#define SL_AUDIT_H

#include "core/audit/merkle.h"
#include "core/db/db.h"

#define SL_AUDIT_LEAF_MAX   65535 /* bytes; a tile entry has a 16-bit length */
#define SL_AUDIT_OBJS_MAX   64
#define SL_AUDIT_ID_MAX     512  /* bytes of any id in an entry */
#define SL_AUDIT_REASON_MAX 4096 /* bytes */
#define SL_AUDIT_READ_MAX   10000

/** What was done: a closed enumeration, acts.def. */
enum sl_act {
#define SL_ACT(id, name, retention) SL_ACT_##id,
#include "core/audit/acts.def"
#undef SL_ACT
    SL_ACT_COUNT
};
const char *sl_act_name(enum sl_act act);
int sl_act_parse(const char *name); /* -1 when unknown */

enum sl_audit_result {
    SL_AUDIT_OK,
    SL_AUDIT_DENIED,
    SL_AUDIT_ERROR,
    SL_AUDIT_INTENT /* before an effect outside the database; an outcome entry follows */
};

struct sl_actor {
    const char *id;   /* opaque: from sl_audit_principal, or "engine" */
    const char *kind; /* "user", "engine", "ci", ... */
    const char *auth; /* how it was known: "local", "token", "internal" */
};

struct sl_audit_obj {
    const char *kind;
    const char *id;
    const char *digest; /* "sha256:<hex>" or NULL */
};

struct sl_audit_entry {
    int64_t ts_ms;
    enum sl_act act;
    enum sl_audit_result result;
    struct sl_actor actor;
    const struct sl_audit_obj *objs;
    int n_objs;
    const char *policy;  /* digest of the policy or gate rules in force; NULL allowed */
    const char *request; /* request or run id that caused it; NULL allowed */
    const char *reason;  /* a person's words; kept outside the leaf; NULL allowed */
};

extern const struct sl_schema sl_audit_schema;

/**
 * Appends one entry in the caller's transaction (asserted). About 10 µs.
 *
 * @param ret_index  its index, from 0, without gaps; NULL allowed
 * @return           0; -SL_EINVAL (a text that is not UTF-8), -SL_ELIMIT, else of sl_db_exec
 */
int sl_audit_append(struct sl_db *db, const struct sl_audit_entry *e, int64_t *ret_index,
                    struct sl_err *err) SL_MUST_CHECK;

/** Size and root of the tree as it is now (of the transaction, inside one). */
int sl_audit_root(struct sl_db *db, uint64_t *ret_size, struct sl_digest *ret_root,
                  struct sl_err *err) SL_MUST_CHECK;

/** Proof that leaf `index` belongs to the tree of the first `size` entries. -SL_EINVAL when
 * index >= size or size is larger than the tree. Reads some hundred hashes, whatever the size. */
int sl_audit_prove(struct sl_db *db, uint64_t index, uint64_t size, struct sl_merkle_proof *ret,
                   struct sl_err *err) SL_MUST_CHECK;

/** One stored entry; pointers live during the call. */
struct sl_audit_row {
    int64_t index;
    const char *leaf; /* canonical JSON, not NUL-terminated */
    size_t len;
    const char *reason; /* NULL when none, or erased */
};
typedef int (*sl_audit_fn)(const struct sl_audit_row *row, void *arg);
/** Entries from `from`, at most `limit`, in order. Non-zero from fn stops and is returned. */
int sl_audit_read(struct sl_db *db, int64_t from, int limit, sl_audit_fn fn, void *arg,
                  struct sl_err *err) SL_MUST_CHECK;

/** Recomputes the whole tree from the leaf bytes: -SL_ECORRUPT naming the first bad index. */
int sl_audit_verify(struct sl_db *db, uint64_t *ret_size, struct sl_digest *ret_root,
                    struct sl_err *err) SL_MUST_CHECK;

/**
 * The opaque id of a person or service known by `name` ("unix:1000:ann"), made on first use.
 * Inside a transaction. `out` has SL_AUDIT_PRINCIPAL bytes.
 */
#define SL_AUDIT_PRINCIPAL 40
int sl_audit_principal(struct sl_db *db, const char *kind, const char *name,
                       char out[SL_AUDIT_PRINCIPAL], struct sl_err *err) SL_MUST_CHECK;
/** Display name of an opaque id; the id itself when it was erased or is unknown. Caller frees. */
int sl_audit_principal_name(struct sl_db *db, const char *id, char **ret, struct sl_err *err)
    SL_MUST_CHECK;

#endif
