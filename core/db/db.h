/**
 * Door of the database room: one connection to sluice.db, safe statements, transactions, schema.
 *
 * Short calling forms, because stores are most of the code:
 *
 *     rc = sl_db_exec(db, err, SL_SQL("INSERT INTO t(a, b) VALUES (?, ?)"), "si", name, count);
 *
 *     _cleanup_(rows) struct sl_rows rows = SL_ROWS_INIT;
 *     rc = sl_db_query(db, &rows, err, SL_SQL("SELECT a, b FROM t WHERE c = ?"), "s", text);
 *     while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
 *         use(sl_rows_text(&rows, 0), sl_rows_i64(&rows, 1));
 *         rc = 0;
 *     }
 *
 * SQL is a string literal (anything else does not compile). Arguments are converted by their C type
 * and checked against the format at run time (an assertion: a mismatch is a bug):
 *
 *     s  text, NULL gives SQL NULL       i  any integer type up to int64_t
 *     d  double, see NaN below           b  blob: pointer, then its size in bytes
 *     z  SQL NULL, takes no argument
 *
 * NaN: SQLite stores NaN as NULL; infinities are kept. So a REAL column that may hold NaN is
 * declared without NOT NULL, "d" with NaN stores NULL, and sl_rows_double gives NaN for NULL.
 * (MIN, MAX and AVG in SQL therefore skip NaN.)
 *
 * Thread: a connection is used by one thread at a time. Blocks: yes. Sole owner of sqlite3.h.
 */
#ifndef SL_DB_H
#define SL_DB_H

#include "core/base/err.h"
#include "core/db/bind.h"

#define SL_DB_BUSY_TIMEOUT_MS 60000      /* waited for another process before -SL_EBUSY */
#define SL_DB_ARGS_MAX        25         /* arguments of one call, the format not counted */
#define SL_DB_VALUE_MAX       (64 << 20) /* bytes of one text or blob; more is -SL_ELIMIT */
#define SL_DB_STMT_CACHE      256        /* prepared statements kept per connection */

struct sl_db;
struct sqlite3_stmt;

enum sl_db_mode {
    SL_DB_RO, /* reads only; the file must exist */
    SL_DB_RW  /* creates the file (0600) when missing */
};

/**
 * Opens a connection: WAL, synchronous=FULL, foreign keys on, no mmap, defensive, schema untrusted.
 *
 * @param path     of the database file; its directory must exist
 * @param ret_db   the connection
 * @return         0; -SL_ENOTFOUND (read-only and missing), -SL_ECORRUPT, -SL_EIO, -SL_ENOSPACE
 * Owner:          caller closes with sl_db_close
 */
int sl_db_open(const char *path, enum sl_db_mode mode, struct sl_db **ret_db, struct sl_err *err)
    SL_MUST_CHECK;

/** Closes; open cursors must have been closed (asserted). NULL allowed. */
void sl_db_close(struct sl_db *db);
void sl_cleanup_db(struct sl_db **db); /* for _cleanup_(db) */

/**
 * Runs one statement that returns no rows.
 *
 * Call: sl_db_exec(db, err, SL_SQL("..."), "format", arguments...)
 * @return  0; -SL_EEXISTS (unique or primary key), -SL_EINVAL (check, not null, foreign key, type),
 *          -SL_EREFUSED (a trigger said no), -SL_ENOSPACE, -SL_EIO, -SL_ECORRUPT, -SL_ELIMIT
 */
#define sl_db_exec(db, err, sql, ...) sl_db_exec_binds((db), (err), (sql), SL_BINDS(__VA_ARGS__))
int sl_db_exec_binds(struct sl_db *db, struct sl_err *err, struct sl_sql sql,
                     const struct sl_bind *binds, int n_binds) SL_MUST_CHECK;

/** A row cursor. Zero-initialised is closed. Private fields. */
struct sl_rows {
    struct sl_db *db;
    struct sqlite3_stmt *stmt;
    int slot; /* index into the statement cache; -1 = owned by this cursor */
};
#define SL_ROWS_INIT ((struct sl_rows){0})

/**
 * Starts a query. Call: sl_db_query(db, &rows, err, SL_SQL("..."), "format", arguments...)
 * Text and blob arguments are copied. On error `rows` is closed. Nested queries are allowed,
 * also of the same SQL.
 */
#define sl_db_query(db, rows, err, sql, ...)                                                       \
    sl_db_query_binds((db), (rows), (err), (sql), SL_BINDS(__VA_ARGS__))
int sl_db_query_binds(struct sl_db *db, struct sl_rows *rows, struct sl_err *err, struct sl_sql sql,
                      const struct sl_bind *binds, int n_binds) SL_MUST_CHECK;

/** 1 = a row is ready, 0 = no more (the cursor closed itself), negative = error (closed too). */
int sl_rows_next(struct sl_rows *rows, struct sl_err *err) SL_MUST_CHECK;

/** Values of the current row, columns from 0. Pointers live until the next sl_rows_next or close. */
const char *sl_rows_text(struct sl_rows *rows, int column); /* NULL for SQL NULL */
const char *sl_rows_str(struct sl_rows *rows, int column);  /* "" for SQL NULL */
int64_t sl_rows_i64(struct sl_rows *rows, int column);      /* 0 for SQL NULL */
int sl_rows_int(struct sl_rows *rows, int column);          /* asserts that it fits */
double sl_rows_double(struct sl_rows *rows, int column);    /* NaN for SQL NULL */
const void *sl_rows_blob(struct sl_rows *rows, int column, size_t *ret_len); /* NULL when empty */
bool sl_rows_is_null(struct sl_rows *rows, int column);

/** Always safe, also twice. */
void sl_rows_close(struct sl_rows *rows);
void sl_cleanup_rows(struct sl_rows *rows); /* for _cleanup_(rows) */

/**
 * First column of the first row. Call: sl_db_get_i64(db, &value, err, SL_SQL("..."), "fmt", ...)
 * @return 0; -SL_ENOTFOUND when there is no row or its value is NULL.
 */
#define sl_db_get_i64(db, ret, err, sql, ...)                                                      \
    sl_db_get_i64_binds((db), (ret), (err), (sql), SL_BINDS(__VA_ARGS__))
int sl_db_get_i64_binds(struct sl_db *db, int64_t *ret, struct sl_err *err, struct sl_sql sql,
                        const struct sl_bind *binds, int n_binds) SL_MUST_CHECK;

/** The same for text; the caller frees. */
#define sl_db_get_text(db, ret, err, sql, ...)                                                     \
    sl_db_get_text_binds((db), (ret), (err), (sql), SL_BINDS(__VA_ARGS__))
int sl_db_get_text_binds(struct sl_db *db, char **ret, struct sl_err *err, struct sl_sql sql,
                         const struct sl_bind *binds, int n_binds) SL_MUST_CHECK;

/** Rows changed by the last sl_db_exec (0 tells a lost compare-and-set); rowid it inserted last. */
int64_t sl_db_changes(struct sl_db *db);
int64_t sl_db_last_id(struct sl_db *db);

/** Work inside a transaction; a negative result rolls it back and is returned. */
typedef int (*sl_db_fn)(struct sl_db *db, void *arg, struct sl_err *err);

/** BEGIN IMMEDIATE, fn, COMMIT; 0 means that the changes are durable. Not nested (asserted). */
int sl_db_tx(struct sl_db *db, sl_db_fn fn, void *arg, struct sl_err *err) SL_MUST_CHECK;
/** Several reads of one moment. May be called inside a transaction (then it only runs fn). */
int sl_db_snapshot(struct sl_db *db, sl_db_fn fn, void *arg, struct sl_err *err) SL_MUST_CHECK;
/** A part of a transaction that can fail alone: its changes are undone, the transaction goes on.
 * When the whole transaction was lost (full disk), sl_db_in_tx is false afterwards. */
int sl_db_savepoint(struct sl_db *db, sl_db_fn fn, void *arg, struct sl_err *err) SL_MUST_CHECK;
/** Stores assert this before they write. */
bool sl_db_in_tx(const struct sl_db *db);

/** A room's tables: migrations[i] brings version i to i+1; entries are never edited, only added. */
struct sl_schema {
    const char *room;
    const char *const *migrations; /* each one or more statements */
    int n;
};

/**
 * Applies what is missing, all in one transaction, recorded in schema_version(room, version).
 *
 * @return 0; -SL_EUNSUPPORTED when the database is newer than this binary (nothing is changed)
 */
int sl_db_migrate(struct sl_db *db, const struct sl_schema *const *schemas, int n,
                  struct sl_err *err) SL_MUST_CHECK;
/** For read-only connections: 0 when every room is exactly at our version; -SL_EUNSUPPORTED with a
 * message that names the room and what to do. */
int sl_db_check_schema(struct sl_db *db, const struct sl_schema *const *schemas, int n,
                       struct sl_err *err) SL_MUST_CHECK;

/** Structural check (integrity_check, foreign keys). -SL_ECORRUPT with the first finding. */
int sl_db_check_integrity(struct sl_db *db, struct sl_err *err) SL_MUST_CHECK;

#endif
