/**
 * Opening and closing connections, and turning SQLite's results into ours.
 *
 * Thread: that of the connection. Must not: log.
 */
#include "core/base/base.h"

#include "core/db/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/db/db_priv.h"

static int constraint_code(int rc)
{
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID: return SL_EEXISTS;
    case SQLITE_CONSTRAINT_TRIGGER: return SL_EREFUSED;
    default: return SL_EINVAL;
    }
}

static bool is_no_space(int errno_value)
{
    return errno_value == ENOSPC || errno_value == EDQUOT;
}

/* A full disk shows as SQLITE_FULL from writes, but as an I/O error from the shared-memory file. */
static int error_code(struct sl_db *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL: return SL_ENOSPACE;
    case SQLITE_IOERR: return is_no_space(sqlite3_system_errno(db->handle)) ? SL_ENOSPACE : SL_EIO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return SL_ECORRUPT;
    case SQLITE_BUSY:
    case SQLITE_PROTOCOL:
    case SQLITE_LOCKED: return SL_EBUSY;
    case SQLITE_CONSTRAINT: return constraint_code(rc);
    case SQLITE_MISMATCH: return SL_EINVAL;
    case SQLITE_NOMEM: return SL_ENOMEMORY;
    case SQLITE_TOOBIG: return SL_ELIMIT;
    case SQLITE_INTERRUPT: return SL_ECANCELLED;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY: return SL_EIO;
    default: return SL_EINTERNAL;
    }
}

int sl_db_fail(struct sl_db *db, int rc, const char *what, struct sl_err *err)
{
    int code = error_code(db, rc);
    const char *text = sqlite3_errmsg(db->handle);
    if (code == SL_ENOSPACE) {
        text = "no space left for the database";
    } else if (code == SL_ECORRUPT) {
        return sl_err_set(err, code, "%s: the database is damaged: %s", what, text);
    }
    return sl_err_set(err, code, "%s: %s", what, text);
}

int sl_db_script(struct sl_db *db, const char *text, const char *what, struct sl_err *err)
{
    int rc = sqlite3_exec(db->handle, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sl_db_fail(db, rc, what, err);
}

/*
 * SQLite would create the file with the umask's mode. O_EXCL makes sure that we never close
 * a descriptor of a database that is in use here: closing one drops the process' POSIX locks on it.
 */
static int create_private(const char *path, struct sl_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno == EEXIST ? 0
                               : sl_err_errno(err, errno, "%s: cannot create the database", path);
    }
    (void)close(fd); /* nothing was written */
    return 0;
}

static const char pragmas[] = "PRAGMA foreign_keys=ON;"
                              "PRAGMA trusted_schema=OFF;"
                              "PRAGMA cell_size_check=ON;"
                              "PRAGMA mmap_size=0;"
                              "PRAGMA temp_store=MEMORY;";

static const char pragmas_rw[] = "PRAGMA journal_mode=WAL;"
                                 "PRAGMA synchronous=FULL;"
                                 "PRAGMA secure_delete=ON;"
                                 "PRAGMA cache_size=-8000;"
                                 "PRAGMA wal_autocheckpoint=2000;"
                                 "PRAGMA journal_size_limit=67108864;";

static int configure(struct sl_db *db, struct sl_err *err)
{
    sqlite3 *h = db->handle;
    (void)sqlite3_extended_result_codes(h, 1);
    (void)sqlite3_busy_timeout(h, SL_DB_BUSY_TIMEOUT_MS);
    (void)sqlite3_limit(h, SQLITE_LIMIT_LENGTH, SL_DB_VALUE_MAX);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    (void)sqlite3_db_config(h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    int rc = sl_db_script(db, pragmas, "opening the database", err);
    if (rc == 0 && db->mode == SL_DB_RW) {
        rc = sl_db_script(db, pragmas_rw, "opening the database", err);
    }
    if (rc == 0) { /* reads the file for the first time: not a database shows here */
        rc = sl_db_script(db, "SELECT count(*) FROM sqlite_schema", "opening the database", err);
    }
    return rc;
}

int sl_db_open(const char *path, enum sl_db_mode mode, struct sl_db **ret_db, struct sl_err *err)
{
    SL_ASSERT(path != NULL && ret_db != NULL);
    if (mode == SL_DB_RW) {
        int rc = create_private(path, err);
        if (rc < 0) {
            return rc;
        }
    } else if (access(path, F_OK) != 0) {
        return sl_err_errno(err, errno, "%s: cannot open the database", path);
    }
    _cleanup_(db)
    struct sl_db *db = SL_NEW(struct sl_db);
    db->mode = mode;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    flags |= mode == SL_DB_RW ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    int rc = sqlite3_open_v2(path, &db->handle, flags, NULL);
    if (rc != SQLITE_OK) {
        SL_ASSERT(db->handle != NULL);
        return sl_db_fail(db, rc, path, err);
    }
    rc = configure(db, err);
    if (rc < 0) {
        (void)sl_err_wrap(err, "%s", path);
        return rc;
    }
    *ret_db = sl_take(db);
    return 0;
}

void sl_db_close(struct sl_db *db)
{
    if (db == NULL) {
        return;
    }
    SL_ASSERT(db->n_cursors == 0);
    sl_db_stmt_clear(db);
    if (db->handle != NULL) {
        int rc = sqlite3_close(db->handle);
        SL_ASSERT(rc == SQLITE_OK);
    }
    free(db);
}

void sl_cleanup_db(struct sl_db **db)
{
    sl_db_close(*db);
}

int sl_db_check_integrity(struct sl_db *db, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err, SL_SQL("PRAGMA integrity_check(1)"), "");
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (rc > 0 && strcmp(sl_rows_str(&rows, 0), "ok") != 0) {
        return sl_err_set(err, SL_ECORRUPT, "the database is damaged: %s", sl_rows_str(&rows, 0));
    }
    sl_rows_close(&rows);
    rc = sl_db_query(db, &rows, err, SL_SQL("PRAGMA foreign_key_check"), "");
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc > 0) {
        return sl_err_set(err, SL_ECORRUPT, "table %s refers to a missing row of %s",
                          sl_rows_str(&rows, 0), sl_rows_str(&rows, 2));
    }
    return rc;
}
