/**
 * The table blob_ref: who needs which content.
 *
 * Thread: the connection's. Must not: look at the store.
 */
#include "core/base/base.h"

#include "core/blob/blob_ref.h"

#include <string.h>

static const char *const migrations[] = {
    "CREATE TABLE blob_ref("
    " owner_kind TEXT NOT NULL,"
    " owner_id TEXT NOT NULL,"
    " role TEXT NOT NULL,"
    " digest BLOB NOT NULL CHECK(length(digest) = 32),"
    " PRIMARY KEY(owner_kind, owner_id, role, digest)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX blob_ref_by_digest ON blob_ref(digest);",
};

const struct sl_schema sl_blob_schema = {"blob", migrations, SL_LEN(migrations)};

static int check_text(const char *what, const char *text, struct sl_err *err)
{
    size_t len = text != NULL ? strlen(text) : 0;
    if (len == 0 || len > SL_BLOB_REF_TEXT_MAX) {
        return sl_err_set(err, SL_EINVAL,
                          "%s of a content reference must have 1 to %d bytes, has %zu", what,
                          SL_BLOB_REF_TEXT_MAX, len);
    }
    return 0;
}

int sl_blob_ref_add(struct sl_db *db, const struct sl_blob_ref *ref, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    int rc = check_text("owner kind", ref->owner_kind, err);
    if (rc == 0) {
        rc = check_text("owner id", ref->owner_id, err);
    }
    if (rc == 0) {
        rc = check_text("role", ref->role, err);
    }
    if (rc != 0) {
        return rc;
    }
    return sl_db_exec(db, err,
                      SL_SQL("INSERT INTO blob_ref(owner_kind, owner_id, role, digest)"
                             " VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"),
                      "sssb", ref->owner_kind, ref->owner_id, ref->role,
                      (const void *)ref->digest.b, sizeof(ref->digest.b));
}

int sl_blob_ref_drop(struct sl_db *db, const char *owner_kind, const char *owner_id,
                     struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    return sl_db_exec(db, err, SL_SQL("DELETE FROM blob_ref WHERE owner_kind = ? AND owner_id = ?"),
                      "ss", owner_kind, owner_id);
}

static int visit(struct sl_rows *rows, sl_blob_ref_fn fn, void *data, struct sl_err *err)
{
    int rc = 0;
    while ((rc = sl_rows_next(rows, err)) > 0) {
        struct sl_blob_ref ref = {.owner_kind = sl_rows_str(rows, 0),
                                  .owner_id = sl_rows_str(rows, 1),
                                  .role = sl_rows_str(rows, 2)};
        size_t len = 0;
        const void *digest = sl_rows_blob(rows, 3, &len);
        if (digest == NULL || len != sizeof(ref.digest.b)) {
            return sl_err_set(err, SL_ECORRUPT, "blob_ref holds a digest of %zu bytes", len);
        }
        memcpy(ref.digest.b, digest, len);
        rc = fn(&ref, data, err);
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

int sl_blob_ref_of_owner(struct sl_db *db, const char *owner_kind, const char *owner_id,
                         sl_blob_ref_fn fn, void *data, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT owner_kind, owner_id, role, digest FROM blob_ref"
                                " WHERE owner_kind = ? AND owner_id = ? ORDER BY role, digest"),
                         "ss", owner_kind, owner_id);
    return rc != 0 ? rc : visit(&rows, fn, data, err);
}

int sl_blob_ref_each(struct sl_db *db, sl_blob_ref_fn fn, void *data, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT owner_kind, owner_id, role, digest FROM blob_ref"
                                " ORDER BY digest, owner_kind, owner_id, role"),
                         "");
    return rc != 0 ? rc : visit(&rows, fn, data, err);
}

int sl_blob_ref_used(struct sl_db *db, const struct sl_digest *digest, struct sl_err *err)
{
    int64_t used = 0;
    int rc = sl_db_get_i64(db, &used, err,
                           SL_SQL("SELECT EXISTS(SELECT 1 FROM blob_ref WHERE digest = ?)"), "b",
                           (const void *)digest->b, sizeof(digest->b));
    return rc != 0 ? rc : used != 0;
}
