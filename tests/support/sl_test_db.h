/**
 * A database of its own in a temporary directory, with the schemas that a test names.
 */
#ifndef SL_TEST_DB_H
#define SL_TEST_DB_H

#include <stdlib.h>

#include "core/db/db.h"
#include "tests/support/sl_test.h"

struct sl_test_db {
    char *dir, *path;
    struct sl_db *db;
    struct sl_err err;
};

static inline void sl_test_db_open(struct sl_test_db *f, const struct sl_schema *const *schemas,
                                   int n)
{
    *f = (struct sl_test_db){.dir = sl_test_tmpdir()};
    f->path = sl_test_path(f->dir, "sluice.db");
    SL_CHECK_OK(sl_db_open(f->path, SL_DB_RW, &f->db, &f->err), f->err);
    SL_CHECK_OK(sl_db_migrate(f->db, schemas, n, &f->err), f->err);
}

static inline void sl_test_db_close(struct sl_test_db *f)
{
    sl_db_close(f->db);
    free(f->path);
    sl_test_rmdir(f->dir);
}

#endif
