/**
 * Transactions: BEGIN IMMEDIATE so that a lock is taken at the start or not at all, savepoints
 * for parts that may fail alone, snapshots for reads of one moment.
 *
 * Thread: that of the connection. Must not: commit when fn failed.
 */
#include "core/base/base.h"

#include "core/db/db.h"

#include "core/base/fault.h"
#include "core/db/db_priv.h"

#define SAVEPOINTS_MAX 8 /* nested */

bool sl_db_in_tx(const struct sl_db *db)
{
    return sqlite3_get_autocommit(db->handle) == 0;
}

int sl_db_begin(struct sl_db *db, struct sl_err *err)
{
    SL_ASSERT(!sl_db_in_tx(db));
    SL_ASSERT(db->mode == SL_DB_RW);
    int fault = SL_FAULT_POINT(DB_BEGIN);
    if (fault != 0) {
        return sl_err_errno(err, fault, "beginning a transaction");
    }
    return sl_db_exec(db, err, SL_SQL("BEGIN IMMEDIATE"), "");
}

int sl_db_commit(struct sl_db *db, struct sl_err *err)
{
    SL_ASSERT(db->n_savepoints == 0);
    int fault = SL_FAULT_POINT(DB_COMMIT);
    if (fault != 0) {
        return sl_err_errno(err, fault, "committing a transaction");
    }
    int rc = sl_db_exec(db, err, SL_SQL("COMMIT"), "");
    if (rc == 0) {
        (void)SL_FAULT_POINT(DB_COMMITTED); /* only death matters here: it is committed */
    }
    return rc;
}

void sl_db_rollback(struct sl_db *db)
{
    db->n_savepoints = 0;
    if (sl_db_in_tx(db)) { /* a full disk or an I/O error may have rolled back already */
        int rc = sl_db_exec(db, NULL, SL_SQL("ROLLBACK"), "");
        SL_ASSERT(rc == 0 || !sl_db_in_tx(db));
    }
}

int sl_db_tx(struct sl_db *db, sl_db_fn fn, void *arg, struct sl_err *err)
{
    int rc = sl_db_begin(db, err);
    if (rc < 0) {
        return rc;
    }
    rc = fn(db, arg, err);
    SL_ASSERT(rc <= 0);
    if (rc == 0) {
        rc = sl_db_commit(db, err);
    }
    if (rc < 0) {
        sl_db_rollback(db);
    }
    return rc;
}

int sl_db_snapshot(struct sl_db *db, sl_db_fn fn, void *arg, struct sl_err *err)
{
    if (sl_db_in_tx(db)) {
        return fn(db, arg, err);
    }
    int rc = sl_db_exec(db, err, SL_SQL("BEGIN DEFERRED"), "");
    if (rc < 0) {
        return rc;
    }
    rc = fn(db, arg, err);
    sl_db_rollback(db); /* reads only: nothing to keep */
    return rc;
}

static int release(struct sl_db *db, struct sl_err *err)
{
    return sl_db_exec(db, err, SL_SQL("RELEASE sl"), "");
}

int sl_db_savepoint(struct sl_db *db, sl_db_fn fn, void *arg, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    SL_ASSERT(db->n_savepoints < SAVEPOINTS_MAX);
    int rc = sl_db_exec(db, err, SL_SQL("SAVEPOINT sl"), "");
    if (rc < 0) {
        return rc;
    }
    int depth = db->n_savepoints++;
    rc = fn(db, arg, err);
    SL_ASSERT(rc <= 0);
    if (!sl_db_in_tx(db)) { /* lost as a whole: savepoints went with it */
        db->n_savepoints = 0;
        return rc < 0 ? rc : sl_err_set(err, SL_EIO, "the transaction was rolled back");
    }
    db->n_savepoints = depth;
    if (rc == 0) {
        return release(db, err);
    }
    if (sl_db_exec(db, NULL, SL_SQL("ROLLBACK TO sl"), "") < 0 || release(db, NULL) < 0) {
        sl_db_rollback(db); /* what cannot be undone in part is undone as a whole */
    }
    return rc;
}
