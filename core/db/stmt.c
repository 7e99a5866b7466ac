/**
 * Statements: a cache keyed by the address of the literal, typed binding, and the row cursor.
 *
 * The key is an address because every statement is a literal: looking one up costs a hash of
 * a pointer instead of hashing or parsing text. The same text written in two places is cached twice.
 *
 * Thread: that of the connection. Must not: log.
 */
#include "core/base/base.h"

#include "core/db/db.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/fault.h"
#include "core/base/mem.h"
#include "core/db/db_priv.h"

#define PROBES  8  /* slots tried for one statement */
#define NO_SLOT -1 /* the cursor owns its statement */

_Static_assert((SL_DB_STMT_CACHE & (SL_DB_STMT_CACHE - 1)) == 0, "the cache is indexed by a mask");

static size_t slot_of(const char *text)
{
    uint64_t h = (uint64_t)(uintptr_t)text * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 40);
}

static int prepare(struct sl_db *db, struct sl_sql sql, unsigned flags, sqlite3_stmt **ret,
                   struct sl_err *err)
{
    const char *tail = NULL;
    int rc = sqlite3_prepare_v3(db->handle, sql.text, sql.len + 1, flags, ret, &tail);
    if (rc != SQLITE_OK) {
        return sl_db_fail(db, rc, sql.text, err);
    }
    SL_ASSERT(*ret != NULL);  /* an empty statement */
    SL_ASSERT(*tail == '\0'); /* two statements in one text */
    return 0;
}

/* Finds or prepares; -1 in ret_slot when all candidates are busy or it is in use by a cursor. */
static int acquire(struct sl_db *db, struct sl_sql sql, sqlite3_stmt **ret_stmt, int *ret_slot,
                   struct sl_err *err)
{
    size_t home = slot_of(sql.text);
    struct sl_db_slot *victim = NULL;
    for (size_t i = 0; i < PROBES; i++) {
        struct sl_db_slot *s = &db->slots[(home + i) & (SL_DB_STMT_CACHE - 1)];
        if (s->text == sql.text && !s->busy) {
            s->busy = true;
            *ret_stmt = s->stmt;
            *ret_slot = (int)(s - db->slots);
            return 0;
        }
        if (!s->busy && (victim == NULL || (victim->text != NULL && s->text == NULL))) {
            victim = s;
        }
    }
    sqlite3_stmt *stmt = NULL;
    int rc = prepare(db, sql, victim != NULL ? SQLITE_PREPARE_PERSISTENT : 0, &stmt, err);
    if (rc < 0) {
        return rc;
    }
    *ret_stmt = stmt;
    *ret_slot = NO_SLOT;
    if (victim != NULL) {
        (void)sqlite3_finalize(victim->stmt); /* reports an old failure of that statement only */
        *victim = (struct sl_db_slot){.text = sql.text, .stmt = stmt, .busy = true};
        *ret_slot = (int)(victim - db->slots);
    }
    return 0;
}

static void give_back(struct sl_db *db, sqlite3_stmt *stmt, int slot)
{
    if (slot == NO_SLOT) {
        (void)sqlite3_finalize(stmt); /* the failure, if any, was reported by step */
        return;
    }
    (void)sqlite3_reset(stmt); /* same */
    (void)sqlite3_clear_bindings(stmt);
    db->slots[slot].busy = false;
}

void sl_db_stmt_clear(struct sl_db *db)
{
    for (size_t i = 0; i < SL_DB_STMT_CACHE; i++) {
        SL_ASSERT(!db->slots[i].busy);
        (void)sqlite3_finalize(db->slots[i].stmt); /* NULL allowed; old failures do not matter */
        db->slots[i] = (struct sl_db_slot){0};
    }
}

static int bind_text(sqlite3_stmt *stmt, int at, const struct sl_bind *b, bool copy)
{
    const char *text = b->v.p;
    if (text == NULL) {
        return sqlite3_bind_null(stmt, at);
    }
    SL_ASSERT(b->kind == SL_BIND_TEXT);
    size_t len = strlen(text);
    return sqlite3_bind_text64(stmt, at, text, len, copy ? SQLITE_TRANSIENT : SQLITE_STATIC,
                               SQLITE_UTF8);
}

static int bind_blob(sqlite3_stmt *stmt, int at, const struct sl_bind *b, bool copy)
{
    SL_ASSERT(b[0].kind == SL_BIND_PTR || b[0].kind == SL_BIND_TEXT);
    SL_ASSERT(b[1].kind == SL_BIND_I64 && b[1].v.i >= 0);
    SL_ASSERT(b[0].v.p != NULL || b[1].v.i == 0);
    const void *bytes = b[0].v.p != NULL ? b[0].v.p : "";
    return sqlite3_bind_blob64(stmt, at, bytes, (sqlite3_uint64)b[1].v.i,
                               copy ? SQLITE_TRANSIENT : SQLITE_STATIC);
}

/* Binds what the format says; every disagreement between format, arguments and SQL is a bug. */
static int bind_all(struct sl_db *db, sqlite3_stmt *stmt, const struct sl_bind *binds, int n_binds,
                    bool copy, struct sl_err *err)
{
    SL_ASSERT(n_binds >= 1 && binds[0].kind == SL_BIND_TEXT);
    int arg = 1, at = 1, rc = SQLITE_OK;
    for (const char *f = binds[0].v.p; *f != '\0' && rc == SQLITE_OK; f++, at++) {
        SL_ASSERT(*f == 'z' || arg < n_binds);
        switch (*f) {
        case 's': rc = bind_text(stmt, at, &binds[arg++], copy); break;
        case 'i':
            SL_ASSERT(binds[arg].kind == SL_BIND_I64);
            rc = sqlite3_bind_int64(stmt, at, binds[arg++].v.i);
            break;
        case 'd':
            SL_ASSERT(binds[arg].kind == SL_BIND_DOUBLE);
            rc = sqlite3_bind_double(stmt, at, binds[arg++].v.d);
            break;
        case 'b':
            SL_ASSERT(arg + 1 < n_binds);
            rc = bind_blob(stmt, at, &binds[arg], copy);
            arg += 2;
            break;
        case 'z': rc = sqlite3_bind_null(stmt, at); break;
        default: sl_assert_fail("a letter of sidbz", __FILE__, __LINE__);
        }
    }
    if (rc != SQLITE_OK) {
        return sl_db_fail(db, rc, sqlite3_sql(stmt), err);
    }
    SL_ASSERT(arg == n_binds);                               /* arguments without a letter */
    SL_ASSERT(at - 1 == sqlite3_bind_parameter_count(stmt)); /* question marks without a letter */
    return 0;
}

static int before_write(sqlite3_stmt *stmt, struct sl_err *err)
{
    if (!sqlite3_stmt_readonly(stmt)) {
        int fault = SL_FAULT_POINT(DB_WRITE);
        if (fault != 0) {
            return sl_err_errno(err, fault, "%s", sqlite3_sql(stmt));
        }
    }
    return 0;
}

int sl_db_exec_binds(struct sl_db *db, struct sl_err *err, struct sl_sql sql,
                     const struct sl_bind *binds, int n_binds)
{
    sqlite3_stmt *stmt = NULL;
    int slot = NO_SLOT;
    int rc = acquire(db, sql, &stmt, &slot, err);
    if (rc < 0) {
        return rc;
    }
    rc = bind_all(db, stmt, binds, n_binds, false, err);
    if (rc == 0) {
        rc = before_write(stmt, err);
    }
    if (rc == 0) {
        int step = sqlite3_step(stmt);
        while (step == SQLITE_ROW) { /* pragmas and RETURNING answer; exec does not look */
            step = sqlite3_step(stmt);
        }
        if (step != SQLITE_DONE) {
            rc = sl_db_fail(db, step, sql.text, err);
        }
    }
    give_back(db, stmt, slot);
    return rc;
}

int sl_db_query_binds(struct sl_db *db, struct sl_rows *rows, struct sl_err *err, struct sl_sql sql,
                      const struct sl_bind *binds, int n_binds)
{
    *rows = SL_ROWS_INIT;
    sqlite3_stmt *stmt = NULL;
    int slot = NO_SLOT;
    int rc = acquire(db, sql, &stmt, &slot, err);
    if (rc < 0) {
        return rc;
    }
    rc = bind_all(db, stmt, binds, n_binds, true, err);
    if (rc == 0) {
        rc = before_write(stmt, err);
    }
    if (rc < 0) {
        give_back(db, stmt, slot);
        return rc;
    }
    *rows = (struct sl_rows){.db = db, .stmt = stmt, .slot = slot};
    db->n_cursors++;
    return 0;
}

int sl_rows_next(struct sl_rows *rows, struct sl_err *err)
{
    if (rows->stmt == NULL) {
        return 0;
    }
    int rc = sqlite3_step(rows->stmt);
    if (rc == SQLITE_ROW) {
        return 1;
    }
    int result = 0;
    if (rc != SQLITE_DONE) {
        result = sl_db_fail(rows->db, rc, sqlite3_sql(rows->stmt), err);
    }
    sl_rows_close(rows);
    return result;
}

void sl_rows_close(struct sl_rows *rows)
{
    if (rows->stmt == NULL) {
        return;
    }
    give_back(rows->db, rows->stmt, rows->slot);
    rows->db->n_cursors--;
    *rows = SL_ROWS_INIT;
}

void sl_cleanup_rows(struct sl_rows *rows)
{
    sl_rows_close(rows);
}

static void check_column(const struct sl_rows *rows, int column)
{
    SL_ASSERT(rows->stmt != NULL);
    SL_ASSERT(column >= 0 && column < sqlite3_data_count(rows->stmt));
}

const char *sl_rows_text(struct sl_rows *rows, int column)
{
    check_column(rows, column);
    return (const char *)sqlite3_column_text(rows->stmt, column);
}

const char *sl_rows_str(struct sl_rows *rows, int column)
{
    const char *text = sl_rows_text(rows, column);
    return text != NULL ? text : "";
}

int64_t sl_rows_i64(struct sl_rows *rows, int column)
{
    check_column(rows, column);
    return sqlite3_column_int64(rows->stmt, column);
}

int sl_rows_int(struct sl_rows *rows, int column)
{
    int64_t value = sl_rows_i64(rows, column);
    SL_ASSERT(value >= INT_MIN && value <= INT_MAX);
    return (int)value;
}

double sl_rows_double(struct sl_rows *rows, int column)
{
    check_column(rows, column);
    if (sqlite3_column_type(rows->stmt, column) == SQLITE_NULL) {
        return (double)NAN;
    }
    return sqlite3_column_double(rows->stmt, column);
}

const void *sl_rows_blob(struct sl_rows *rows, int column, size_t *ret_len)
{
    check_column(rows, column);
    const void *bytes = sqlite3_column_blob(rows->stmt, column);
    *ret_len = (size_t)sqlite3_column_bytes(rows->stmt, column);
    return bytes;
}

bool sl_rows_is_null(struct sl_rows *rows, int column)
{
    check_column(rows, column);
    return sqlite3_column_type(rows->stmt, column) == SQLITE_NULL;
}

/* Steps to the first row for the get functions; -SL_ENOTFOUND without one, or for NULL. */
static int first_value(struct sl_rows *rows, struct sl_err *err)
{
    int rc = sl_rows_next(rows, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == 0 || sl_rows_is_null(rows, 0)) {
        return sl_err_set(err, SL_ENOTFOUND, "no row");
    }
    return 0;
}

int sl_db_get_i64_binds(struct sl_db *db, int64_t *ret, struct sl_err *err, struct sl_sql sql,
                        const struct sl_bind *binds, int n_binds)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query_binds(db, &rows, err, sql, binds, n_binds);
    if (rc == 0) {
        rc = first_value(&rows, err);
    }
    if (rc == 0) {
        *ret = sl_rows_i64(&rows, 0);
    }
    return rc;
}

int sl_db_get_text_binds(struct sl_db *db, char **ret, struct sl_err *err, struct sl_sql sql,
                         const struct sl_bind *binds, int n_binds)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query_binds(db, &rows, err, sql, binds, n_binds);
    if (rc == 0) {
        rc = first_value(&rows, err);
    }
    if (rc == 0) {
        *ret = sl_strdup(sl_rows_str(&rows, 0));
    }
    return rc;
}

int64_t sl_db_changes(struct sl_db *db)
{
    return sqlite3_changes64(db->handle);
}

int64_t sl_db_last_id(struct sl_db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}
