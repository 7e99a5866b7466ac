/**
 * Inside of the database room: the connection struct and the mapping of SQLite's results.
 */
#ifndef SL_DB_PRIV_H
#define SL_DB_PRIV_H

#include <sqlite3.h>

#include "core/db/db.h"

struct sl_db_slot {
    const char *text; /* address of the literal: the key */
    sqlite3_stmt *stmt;
    bool busy;
    bool reads; /* changes nothing */
};

struct sl_db {
    sqlite3 *handle;
    enum sl_db_mode mode;
    int n_cursors; /* open, so that close can assert */
    int n_savepoints;
    struct sl_db_slot slots[SL_DB_STMT_CACHE];
};

/** Fills err from the connection's failure `rc` while doing `what`; returns the negative code. */
int sl_db_fail(struct sl_db *db, int rc, const char *what, struct sl_err *err);

/** Runs several statements without arguments (schema, pragmas). */
int sl_db_script(struct sl_db *db, const char *text, const char *what, struct sl_err *err);

/** Finalises all cached statements. */
void sl_db_stmt_clear(struct sl_db *db);

/** Pieces of a transaction, for tx.c and writer.c. They hold the fault points. */
int sl_db_begin(struct sl_db *db, struct sl_err *err);
int sl_db_commit(struct sl_db *db, struct sl_err *err);
void sl_db_rollback(struct sl_db *db);

#endif
