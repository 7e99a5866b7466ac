/**
 * Who needs which content: rows that keep content alive (roots for collection).
 *
 * Every reference to content from outside git is one row, inserted in its owner's transaction.
 * Thread: the connection's. Blocks: yes. Must not: open files.
 */
#ifndef SL_BLOB_REF_H
#define SL_BLOB_REF_H

#include "core/base/hash.h"
#include "core/db/db.h"

#define SL_BLOB_REF_TEXT_MAX 250 /* bytes of owner kind, owner id and role each */

/** Table blob_ref(owner_kind, owner_id, role, digest), primary key all four. */
extern const struct sl_schema sl_blob_schema;

struct sl_blob_ref {
    const char *owner_kind; /* "attempt", "run", "cache", "deployment", ... */
    const char *owner_id;
    const char *role; /* "log", "code", "output:model", ... */
    struct sl_digest digest;
};

/** Inserts inside the caller's transaction; the same row twice is one row. -SL_EINVAL on empty or long texts. */
int sl_blob_ref_add(struct sl_db *db, const struct sl_blob_ref *ref, struct sl_err *err)
    SL_MUST_CHECK;
/** Removes all rows of an owner inside the caller's transaction. */
int sl_blob_ref_drop(struct sl_db *db, const char *owner_kind, const char *owner_id,
                     struct sl_err *err) SL_MUST_CHECK;

/** Texts live during the call; negative stops. */
typedef int (*sl_blob_ref_fn)(const struct sl_blob_ref *ref, void *data, struct sl_err *err);
/** Rows of one owner, by role then digest. */
int sl_blob_ref_of_owner(struct sl_db *db, const char *owner_kind, const char *owner_id,
                         sl_blob_ref_fn fn, void *data, struct sl_err *err) SL_MUST_CHECK;
/** Every row, by digest: for fsck and collection. */
int sl_blob_ref_each(struct sl_db *db, sl_blob_ref_fn fn, void *data, struct sl_err *err)
    SL_MUST_CHECK;
/** Whether any row names the content: 1, 0, or negative. */
int sl_blob_ref_used(struct sl_db *db, const struct sl_digest *digest, struct sl_err *err)
    SL_MUST_CHECK;

#endif
