/** The table blob_ref: one row per reference, dropped with its owner. */
#include "core/base/base.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/blob/blob_ref.h"
#include "tests/support/sl_test.h"

struct seen {
    int n;
    char last_role[64];
};

static int note(const struct sl_blob_ref *ref, void *data, struct sl_err *err)
{
    (void)err;
    struct seen *seen = data;
    seen->n++;
    SL_CHECK(strlen(ref->role) < sizeof(seen->last_role));
    memcpy(seen->last_role, ref->role, strlen(ref->role) + 1);
    return 0;
}

static int fill(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct sl_digest *d = arg;
    struct sl_blob_ref a = {"attempt", "1", "log", d[0]};
    struct sl_blob_ref b = {"attempt", "1", "output", d[1]};
    struct sl_blob_ref c = {"run", "1", "code", d[0]};
    int rc = sl_blob_ref_add(db, &a, err);
    rc = rc != 0 ? rc : sl_blob_ref_add(db, &a, err);
    rc = rc != 0 ? rc : sl_blob_ref_add(db, &b, err);
    return rc != 0 ? rc : sl_blob_ref_add(db, &c, err);
}

static int drop(struct sl_db *db, void *arg, struct sl_err *err)
{
    (void)arg;
    return sl_blob_ref_drop(db, "attempt", "1", err);
}

static int add_long(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct sl_blob_ref ref = {"attempt", "1", arg, {{1}}};
    return sl_blob_ref_add(db, &ref, err);
}

SL_TEST(core_blob_ref, add_drop__rows_of_owner__counted_once_and_gone)
{
    struct sl_err err = SL_ERR_INIT;
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "t.db");
    struct sl_db *db = NULL;
    const struct sl_schema *schemas[] = {&sl_blob_schema};
    struct sl_digest d[2];
    sl_sha256("a", 1, &d[0]);
    sl_sha256("b", 1, &d[1]);
    SL_CHECK_OK(sl_db_open(path, SL_DB_RW, &db, &err), err);
    SL_CHECK_OK(sl_db_migrate(db, schemas, 1, &err), err);
    SL_CHECK_OK(sl_db_tx(db, fill, d, &err), err);
    struct seen seen = {0};
    SL_CHECK_OK(sl_blob_ref_of_owner(db, "attempt", "1", note, &seen, &err), err);
    SL_CHECK_EQ_INT(seen.n, 2);
    SL_CHECK_EQ_STR(seen.last_role, "output");
    SL_CHECK_EQ_INT(sl_blob_ref_used(db, &d[1], &err), 1);
    SL_CHECK_OK(sl_db_tx(db, drop, NULL, &err), err);
    SL_CHECK_EQ_INT(sl_blob_ref_used(db, &d[1], &err), 0);
    SL_CHECK_EQ_INT(sl_blob_ref_used(db, &d[0], &err), 1);
    seen.n = 0;
    SL_CHECK_OK(sl_blob_ref_each(db, note, &seen, &err), err);
    SL_CHECK_EQ_INT(seen.n, 1);

    char text[SL_BLOB_REF_TEXT_MAX + 2];
    memset(text, 'r', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    SL_CHECK_ERR(sl_db_tx(db, add_long, text, &err), SL_EINVAL, err, "role of a content reference");
    text[SL_BLOB_REF_TEXT_MAX] = '\0';
    SL_CHECK_OK(sl_db_tx(db, add_long, text, &err), err);
    text[0] = '\0';
    SL_CHECK_ERR(sl_db_tx(db, add_long, text, &err), SL_EINVAL, err, "has 0");
    sl_db_close(db);
    free(path);
    sl_test_rmdir(dir);
}
