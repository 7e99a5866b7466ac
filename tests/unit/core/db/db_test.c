/**
 * Connections, statements, transactions, schema.
 */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/db/db.h"
#include "tests/support/sl_test.h"

static const char *const v1[] = {"CREATE TABLE t(a TEXT, b INTEGER UNIQUE, c REAL, d BLOB) STRICT"};
static const char *const v2[] = {"CREATE TABLE t(a TEXT, b INTEGER UNIQUE, c REAL, d BLOB) STRICT",
                                 "ALTER TABLE t ADD COLUMN e TEXT; CREATE INDEX t_a ON t(a)"};
static const char *const v2_bad[] = {"", "CREATE TABLE u(x INTEGER) STRICT; SELECT nonsense"};
static const struct sl_schema schema_v1 = {"t", v1, 1};
static const struct sl_schema schema_v2 = {"t", v2, 2};
static const struct sl_schema schema_bad = {"t", v2_bad, 2};

struct fixture {
    char *dir, *path;
    struct sl_db *db;
    struct sl_err err;
};

static void set_up(struct fixture *f)
{
    *f = (struct fixture){0};
    f->dir = sl_test_tmpdir();
    f->path = sl_test_path(f->dir, "sluice.db");
    SL_CHECK_OK(sl_db_open(f->path, SL_DB_RW, &f->db, &f->err), f->err);
    const struct sl_schema *list[] = {&schema_v1};
    SL_CHECK_OK(sl_db_migrate(f->db, list, 1, &f->err), f->err);
}

static void tear_down(struct fixture *f)
{
    sl_db_close(f->db);
    free(f->path);
    sl_test_rmdir(f->dir);
}

static int64_t count_rows(struct fixture *f)
{
    int64_t n = -1;
    SL_CHECK_OK(sl_db_get_i64(f->db, &n, &f->err, SL_SQL("SELECT count(*) FROM t"), ""), f->err);
    return n;
}

SL_TEST(core_db_db, open__new_file__is_private_wal_full)
{
    struct fixture f;
    set_up(&f);
    struct stat st;
    SL_CHECK_EQ_INT(stat(f.path, &st), 0);
    SL_CHECK_EQ_INT(st.st_mode & 0777, 0600);
    char *mode = NULL;
    SL_CHECK_OK(sl_db_get_text(f.db, &mode, &f.err, SL_SQL("PRAGMA journal_mode"), ""), f.err);
    SL_CHECK_EQ_STR(mode, "wal");
    free(mode);
    int64_t value = -1;
    SL_CHECK_OK(sl_db_get_i64(f.db, &value, &f.err, SL_SQL("PRAGMA synchronous"), ""), f.err);
    SL_CHECK_EQ_INT(value, 2); /* FULL */
    SL_CHECK_OK(sl_db_get_i64(f.db, &value, &f.err, SL_SQL("PRAGMA foreign_keys"), ""), f.err);
    SL_CHECK_EQ_INT(value, 1);
    tear_down(&f);
}

SL_TEST(core_db_db, open__read_only__missing_is_not_found__existing_cannot_write)
{
    struct fixture f;
    set_up(&f);
    struct sl_db *ro = NULL;
    SL_CHECK_ERR(sl_db_open("/nonexistent/x.db", SL_DB_RO, &ro, &f.err), SL_ENOTFOUND, f.err,
                 "/nonexistent/x.db: cannot open the database");
    SL_CHECK_NULL(ro);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(a) VALUES (?)"), "s", "x"), f.err);
    SL_CHECK_OK(sl_db_open(f.path, SL_DB_RO, &ro, &f.err), f.err);
    int64_t n = 0;
    SL_CHECK_OK(sl_db_get_i64(ro, &n, &f.err, SL_SQL("SELECT count(*) FROM t"), ""), f.err);
    SL_CHECK_EQ_INT(n, 1);
    SL_CHECK_ERR(sl_db_exec(ro, &f.err, SL_SQL("DELETE FROM t"), ""), SL_EIO, f.err, "readonly");
    sl_db_close(ro);
    /* also when no writer is there and the -wal file is gone */
    sl_db_close(f.db);
    f.db = NULL;
    SL_CHECK_OK(sl_db_open(f.path, SL_DB_RO, &ro, &f.err), f.err);
    SL_CHECK_OK(sl_db_get_i64(ro, &n, &f.err, SL_SQL("SELECT count(*) FROM t"), ""), f.err);
    sl_db_close(ro);
    tear_down(&f);
}

SL_TEST(core_db_db, open__not_a_database__is_corrupt)
{
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "x.db");
    char garbage[4096];
    memset(garbage, 'g', sizeof(garbage));
    sl_test_write(path, garbage, sizeof(garbage));
    struct sl_err err = SL_ERR_INIT;
    struct sl_db *db = NULL;
    SL_CHECK_ERR(sl_db_open(path, SL_DB_RW, &db, &err), SL_ECORRUPT, err, "damaged");
    SL_CHECK_ERR(sl_db_open(path, SL_DB_RO, &db, &err), SL_ECORRUPT, err, path);
    free(path);
    sl_test_rmdir(dir);
}

SL_TEST(core_db_db, exec__every_letter__round_trips)
{
    struct fixture f;
    set_up(&f);
    const uint8_t blob[] = {0, 1, 255, 0};
    size_t len = sizeof(blob);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(a, b, c, d) VALUES (?, ?, ?, ?)"),
                           "sidb", "caf\xc3\xa9", INT64_MIN, 0.1, blob, len),
                f.err);
    SL_CHECK_EQ_INT(sl_db_changes(f.db), 1);
    SL_CHECK_EQ_INT(sl_db_last_id(f.db), 1);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(a, b, c, d) VALUES (?, ?, ?, ?)"),
                           "sizb", NULL, -1, NULL, (size_t)0),
                f.err);
    struct sl_rows rows;
    SL_CHECK_OK(
        sl_db_query(f.db, &rows, &f.err, SL_SQL("SELECT a, b, c, d FROM t ORDER BY rowid"), ""),
        f.err);
    SL_CHECK_EQ_INT(sl_rows_next(&rows, &f.err), 1);
    SL_CHECK_EQ_STR(sl_rows_text(&rows, 0), "caf\xc3\xa9");
    SL_CHECK_EQ_INT(sl_rows_i64(&rows, 1), INT64_MIN);
    SL_CHECK(sl_rows_double(&rows, 2) == 0.1);
    size_t got = 0;
    const void *bytes = sl_rows_blob(&rows, 3, &got);
    SL_CHECK_EQ_UINT(got, len);
    SL_CHECK_EQ_MEM(bytes, blob, len);
    SL_CHECK_EQ_INT(sl_rows_next(&rows, &f.err), 1);
    SL_CHECK_NULL(sl_rows_text(&rows, 0));
    SL_CHECK_EQ_STR(sl_rows_str(&rows, 0), "");
    SL_CHECK_EQ_INT(sl_rows_int(&rows, 1), -1); /* a plain int argument keeps its sign */
    SL_CHECK(sl_rows_is_null(&rows, 2));
    (void)sl_rows_blob(&rows, 3, &got);
    SL_CHECK_EQ_UINT(got, 0);
    SL_CHECK(!sl_rows_is_null(&rows, 3));
    SL_CHECK_EQ_INT(sl_rows_next(&rows, &f.err), 0);
    SL_CHECK_EQ_INT(sl_rows_next(&rows, &f.err), 0);
    sl_rows_close(&rows);
    sl_rows_close(&rows);
    tear_down(&f);
}

SL_TEST(core_db_db, exec__nan_and_infinities__round_trip)
{
    struct fixture f;
    set_up(&f);
    const double values[] = {NAN, INFINITY, -INFINITY, -0.0, 5e-324, 1.7976931348623157e308};
    for (size_t i = 0; i < SL_LEN(values); i++) {
        SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(b, c) VALUES (?, ?)"), "id", i,
                               values[i]),
                    f.err);
    }
    struct sl_rows rows;
    SL_CHECK_OK(sl_db_query(f.db, &rows, &f.err, SL_SQL("SELECT c FROM t ORDER BY b"), ""), f.err);
    for (size_t i = 0; i < SL_LEN(values); i++) {
        SL_CHECK_EQ_INT(sl_rows_next(&rows, &f.err), 1);
        double got = sl_rows_double(&rows, 0);
        SL_CHECK_MSG(isnan(values[i]) ? isnan(got) : got == values[i], "value %zu", i);
    }
    sl_rows_close(&rows);
    tear_down(&f);
}

SL_TEST(core_db_db, exec__constraints__have_codes)
{
    struct fixture f;
    set_up(&f);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(b) VALUES (?)"), "i", 7), f.err);
    SL_CHECK_ERR(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(b) VALUES (?)"), "i", 7),
                 SL_EEXISTS, f.err, "UNIQUE constraint failed: t.b");
    SL_CHECK_ERR(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(b) VALUES (?)"), "s", "text"),
                 SL_EINVAL, f.err, "cannot store TEXT value in INTEGER column");
    SL_CHECK_ERR(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO nowhere VALUES (1)"), ""),
                 SL_EINTERNAL, f.err, "no such table");
    tear_down(&f);
}

SL_TEST(core_db_db, exec__value_at_limit_and_one_past)
{
    struct fixture f;
    set_up(&f);
    size_t max = SL_DB_VALUE_MAX - 1024; /* the row's other columns and header count too */
    char *big = calloc(1, SL_DB_VALUE_MAX + 1);
    SL_CHECK_NOT_NULL(big);
    SL_CHECK_OK(
        sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(d) VALUES (?)"), "b", (void *)big, max),
        f.err);
    SL_CHECK_ERR(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(d) VALUES (?)"), "b", (void *)big,
                            (size_t)SL_DB_VALUE_MAX + 1),
                 SL_ELIMIT, f.err, "too big");
    free(big);
    tear_down(&f);
}

static int nested(struct fixture *f, int depth)
{
    struct sl_rows rows;
    SL_CHECK_OK(sl_db_query(f->db, &rows, &f->err, SL_SQL("SELECT b FROM t WHERE b < ? ORDER BY b"),
                            "i", depth),
                f->err);
    int sum = 0;
    while (sl_rows_next(&rows, &f->err) > 0) {
        sum += 1 + nested(f, sl_rows_int(&rows, 0));
    }
    return sum;
}

SL_TEST(core_db_db, query__nested_same_statement__each_has_its_own_cursor)
{
    struct fixture f;
    set_up(&f);
    for (int i = 0; i < 5; i++) {
        SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(b) VALUES (?)"), "i", i), f.err);
    }
    SL_CHECK_EQ_INT(nested(&f, 5), 31); /* 2^5 - 1 chains of descending numbers */
    tear_down(&f);
}

SL_TEST(core_db_db, query__argument_freed_before_next__was_copied)
{
    struct fixture f;
    set_up(&f);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(a) VALUES ('k')"), ""), f.err);
    char *key = strdup("k");
    struct sl_rows rows;
    SL_CHECK_OK(sl_db_query(f.db, &rows, &f.err, SL_SQL("SELECT 1 FROM t WHERE a = ?"), "s", key),
                f.err);
    key[0] = 'x';
    free(key);
    SL_CHECK_EQ_INT(sl_rows_next(&rows, &f.err), 1);
    sl_rows_close(&rows);
    tear_down(&f);
}

SL_TEST(core_db_db, get__no_row_or_null__is_not_found)
{
    struct fixture f;
    set_up(&f);
    int64_t n = 77;
    SL_CHECK_ERR(sl_db_get_i64(f.db, &n, &f.err, SL_SQL("SELECT b FROM t"), ""), SL_ENOTFOUND,
                 f.err, "no row");
    SL_CHECK_ERR(sl_db_get_i64(f.db, &n, &f.err, SL_SQL("SELECT max(b) FROM t"), ""), SL_ENOTFOUND,
                 f.err, "no row");
    SL_CHECK_EQ_INT(n, 77);
    tear_down(&f);
}

static int insert_then(struct sl_db *db, void *arg, struct sl_err *err)
{
    int result = *(int *)arg;
    int rc = sl_db_exec(db, err, SL_SQL("INSERT INTO t(a) VALUES ('tx')"), "");
    if (rc < 0) {
        return rc;
    }
    return result == 0 ? 0 : sl_err_set(err, result, "asked to fail");
}

SL_TEST(core_db_db, tx__result_decides)
{
    struct fixture f;
    set_up(&f);
    int ok = 0, bad = SL_EREFUSED;
    SL_CHECK_OK(sl_db_tx(f.db, insert_then, &ok, &f.err), f.err);
    SL_CHECK_EQ_INT(count_rows(&f), 1);
    SL_CHECK_ERR(sl_db_tx(f.db, insert_then, &bad, &f.err), SL_EREFUSED, f.err, "asked to fail");
    SL_CHECK_EQ_INT(count_rows(&f), 1);
    SL_CHECK(!sl_db_in_tx(f.db));
    tear_down(&f);
}

static int two_parts(struct sl_db *db, void *arg, struct sl_err *err)
{
    int ok = 0, bad = SL_EREFUSED;
    struct sl_err inner = SL_ERR_INIT;
    SL_CHECK_OK(sl_db_savepoint(db, insert_then, &ok, &inner), inner);
    SL_CHECK_EQ_INT(sl_db_savepoint(db, insert_then, &bad, &inner), -SL_EREFUSED);
    SL_CHECK(sl_db_in_tx(db));
    return sl_db_savepoint(db, arg == NULL ? insert_then : two_parts, &ok, err);
}

SL_TEST(core_db_db, savepoint__failing_part__is_undone_alone)
{
    struct fixture f;
    set_up(&f);
    SL_CHECK_OK(sl_db_tx(f.db, two_parts, NULL, &f.err), f.err);
    SL_CHECK_EQ_INT(count_rows(&f), 2);
    tear_down(&f);
}

struct snapshot {
    struct fixture *f;
    struct sl_db *ro;
};

static int read_twice(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct snapshot *s = arg;
    int64_t before = 0, after = 0;
    int rc = sl_db_get_i64(db, &before, err, SL_SQL("SELECT count(*) FROM t"), "");
    SL_CHECK_EQ_INT(rc, 0);
    int ok = 0;
    SL_CHECK_OK(sl_db_tx(s->f->db, insert_then, &ok, err), *err);
    SL_CHECK_OK(sl_db_get_i64(db, &after, err, SL_SQL("SELECT count(*) FROM t"), ""), *err);
    SL_CHECK_EQ_INT(after, before);
    return 0;
}

SL_TEST(core_db_db, snapshot__concurrent_write__is_not_seen)
{
    struct fixture f;
    set_up(&f);
    struct snapshot s = {.f = &f};
    SL_CHECK_OK(sl_db_open(f.path, SL_DB_RO, &s.ro, &f.err), f.err);
    SL_CHECK_OK(sl_db_snapshot(s.ro, read_twice, &s, &f.err), f.err);
    int64_t n = 0;
    SL_CHECK_OK(sl_db_get_i64(s.ro, &n, &f.err, SL_SQL("SELECT count(*) FROM t"), ""), f.err);
    SL_CHECK_EQ_INT(n, 1);
    sl_db_close(s.ro);
    tear_down(&f);
}

SL_TEST(core_db_db, migrate__older__is_brought_up_once)
{
    struct fixture f;
    set_up(&f);
    const struct sl_schema *list[] = {&schema_v2};
    SL_CHECK_ERR(sl_db_check_schema(f.db, list, 1, &f.err), SL_EUNSUPPORTED, f.err,
                 "the database was written by an older sluice: 't' is at version 1, this binary "
                 "needs 2; start the engine once to migrate it");
    SL_CHECK_OK(sl_db_migrate(f.db, list, 1, &f.err), f.err);
    SL_CHECK_OK(sl_db_migrate(f.db, list, 1, &f.err), f.err);
    SL_CHECK_OK(sl_db_check_schema(f.db, list, 1, &f.err), f.err);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(e) VALUES ('x')"), ""), f.err);
    tear_down(&f);
}

SL_TEST(core_db_db, migrate__newer_database__is_refused)
{
    struct fixture f;
    set_up(&f);
    const struct sl_schema *newer[] = {&schema_v2}, *ours[] = {&schema_v1};
    SL_CHECK_OK(sl_db_migrate(f.db, newer, 1, &f.err), f.err);
    const char *text = "the database was written by a newer sluice: 't' is at version 2, this "
                       "binary knows 1; use the newer binary";
    SL_CHECK_ERR(sl_db_migrate(f.db, ours, 1, &f.err), SL_EUNSUPPORTED, f.err, text);
    SL_CHECK_ERR(sl_db_check_schema(f.db, ours, 1, &f.err), SL_EUNSUPPORTED, f.err, text);
    tear_down(&f);
}

SL_TEST(core_db_db, migrate__failing_script__changes_nothing)
{
    struct fixture f;
    set_up(&f);
    const struct sl_schema *bad[] = {&schema_bad};
    SL_CHECK_ERR(sl_db_migrate(f.db, bad, 1, &f.err), SL_EINTERNAL, f.err,
                 "migrating 't' to version 2");
    int64_t n = 0;
    SL_CHECK_OK(sl_db_get_i64(f.db, &n, &f.err,
                              SL_SQL("SELECT count(*) FROM sqlite_schema WHERE name = 'u'"), ""),
                f.err);
    SL_CHECK_EQ_INT(n, 0);
    tear_down(&f);
}

SL_TEST(core_db_db, full_database__is_no_space__and_stays_usable)
{
    struct fixture f;
    set_up(&f);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("PRAGMA max_page_count = 20"), ""), f.err);
    int rc = 0;
    for (int i = 0; i < 100 && rc == 0; i++) {
        rc = sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(d) VALUES (zeroblob(3000))"), "");
    }
    SL_CHECK_EQ_INT(rc, -SL_ENOSPACE);
    SL_CHECK_CONTAINS(f.err.msg, "no space left for the database");
    SL_CHECK(count_rows(&f) > 3);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("DELETE FROM t"), ""), f.err);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(a) VALUES ('y')"), ""), f.err);
    SL_CHECK_OK(sl_db_check_integrity(f.db, &f.err), f.err);
    tear_down(&f);
}

SL_TEST(core_db_db, check_integrity__damaged_page__is_found)
{
    struct fixture f;
    set_up(&f);
    for (int i = 0; i < 200; i++) {
        SL_CHECK_OK(sl_db_exec(f.db, &f.err,
                               SL_SQL("INSERT INTO t(b, d) VALUES (?, zeroblob(900))"), "i", i),
                    f.err);
    }
    sl_db_close(f.db);
    size_t len = 0;
    char *bytes = sl_test_read(f.path, &len);
    memset(bytes + 8 * 4096, 0x5a, 4096);
    sl_test_write(f.path, bytes, len);
    free(bytes);
    f.db = NULL;
    SL_CHECK_OK(sl_db_open(f.path, SL_DB_RW, &f.db, &f.err), f.err);
    SL_CHECK_ERR(sl_db_check_integrity(f.db, &f.err), SL_ECORRUPT, f.err, "damaged");
    tear_down(&f);
}

SL_TEST(core_db_db, statements__more_than_the_cache__still_work)
{
    struct fixture f;
    set_up(&f);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("INSERT INTO t(b) VALUES (1)"), ""), f.err);
    /* addresses are keys: each offset of one long run of blanks is another statement */
    static const char text[] = "                                                                "
                               "                                                                "
                               "                                                                "
                               "                                                                "
                               "                                                                "
                               "SELECT count(*) FROM t";
    size_t offsets = sizeof(text) - sizeof("SELECT count(*) FROM t");
    SL_CHECK(offsets > SL_DB_STMT_CACHE);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < offsets; i++) {
            struct sl_sql sql = {text + i, (int)(sizeof(text) - 1 - i)};
            int64_t n = 0;
            SL_CHECK_OK(sl_db_get_i64(f.db, &n, &f.err, sql, ""), f.err);
            SL_CHECK_EQ_INT(n, 1);
        }
    }
    tear_down(&f);
}
