/** The index: follows the ledger, skips what it has, is rebuilt without touching others. */
#include "core/base/base.h"

#include "core/base/err.h"
#include "registry/index.h"
#include "tests/unit/registry/rig.h"

static struct sl_db *open_db(struct rig *r)
{
    struct sl_db *db = NULL;
    const struct sl_schema *schemas[] = {&sl_registry_schema};
    char *path = sl_test_path(r->dir, "t.db");
    SL_CHECK_OK(sl_db_open(path, SL_DB_RW, &db, &r->err), r->err);
    SL_CHECK_OK(sl_db_migrate(db, schemas, 1, &r->err), r->err);
    free(path);
    return db;
}

static int64_t count(struct rig *r, struct sl_db *db, struct sl_sql sql)
{
    int64_t n = -1;
    SL_CHECK_OK(sl_db_get_i64(db, &n, &r->err, sql, ""), r->err);
    return n;
}

static void set_alias(struct rig *r, const struct sl_version_ref *to)
{
    struct sl_alias_move move = {
        .kind = SL_KIND_MODEL, .name = "m", .alias = "champion", .to = to, .mode = SL_ALIAS_ANY};
    SL_CHECK_OK(sl_registry_alias_move(r->reg, &move, &r->err), r->err);
}

#define N_VERSIONS SL_SQL("SELECT count(*) FROM registry_version WHERE project = 'default'")
#define N_ALIASES  SL_SQL("SELECT count(*) FROM registry_alias")
#define AT         SL_SQL("SELECT number FROM registry_alias WHERE alias = 'champion'")

SL_TEST(registry_index, sync__incremental__shows_the_ledger)
{
    struct rig r = rig_open();
    struct sl_db *db = open_db(&r);
    struct sl_version_ref v1 = rig_commit(&r, "m", "one");
    SL_CHECK_OK(sl_registry_index_sync(r.reg, db, &r.err), r.err);
    SL_CHECK_EQ_INT(count(&r, db, N_VERSIONS), 1);
    struct sl_version_ref v2 = rig_commit(&r, "m", "two");
    set_alias(&r, &v1);
    set_alias(&r, &v2);
    SL_CHECK_OK(sl_registry_index_sync(r.reg, db, &r.err), r.err);
    SL_CHECK_OK(sl_registry_index_sync(r.reg, db, &r.err), r.err);
    SL_CHECK_EQ_INT(count(&r, db, N_VERSIONS), 2);
    SL_CHECK_EQ_INT(count(&r, db, AT), 2);
    set_alias(&r, NULL);
    SL_CHECK_OK(sl_registry_index_sync(r.reg, db, &r.err), r.err);
    SL_CHECK_EQ_INT(count(&r, db, N_ALIASES), 0);
    sl_db_close(db);
    rig_close(&r);
}

static int spoil(struct sl_db *db, void *arg, struct sl_err *err)
{
    (void)arg;
    int rc = sl_db_exec(db, err, SL_SQL("DELETE FROM registry_version WHERE number = 1"), "");
    rc = rc != 0 ? rc : sl_db_exec(db, err, SL_SQL("UPDATE registry_alias SET number = 77"), "");
    return rc != 0
               ? rc
               : sl_db_exec(db, err,
                            SL_SQL("INSERT INTO registry_version VALUES ('other', 'model', 'm', 1,"
                                   " 'd', 'c', 0, 0, 0, NULL, NULL, NULL)"),
                            "");
}

SL_TEST(registry_index, rebuild__spoiled_rows__right_again_and_other_projects_untouched)
{
    struct rig r = rig_open();
    struct sl_db *db = open_db(&r);
    struct sl_version_ref v1 = rig_commit(&r, "m", "one");
    (void)rig_commit(&r, "m", "two");
    set_alias(&r, &v1);
    SL_CHECK_OK(sl_registry_index_sync(r.reg, db, &r.err), r.err);
    SL_CHECK_OK(sl_db_tx(db, spoil, NULL, &r.err), r.err);
    SL_CHECK_OK(sl_registry_index_sync(r.reg, db, &r.err), r.err);
    SL_CHECK_EQ_INT(count(&r, db, AT), 77); /* a sync trusts its cursor */
    SL_CHECK_OK(sl_registry_index_rebuild(r.reg, db, &r.err), r.err);
    SL_CHECK_EQ_INT(count(&r, db, AT), 1);
    SL_CHECK_EQ_INT(count(&r, db, N_VERSIONS), 2);
    SL_CHECK_EQ_INT(
        count(&r, db, SL_SQL("SELECT count(*) FROM registry_version WHERE project = 'other'")), 1);
    sl_db_close(db);
    rig_close(&r);
}

static int apply(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_registry_index_apply(db, arg, err);
}

SL_TEST(registry_index, apply__stale_changes__conflict_or_no_effect)
{
    struct rig r = rig_open();
    struct sl_db *db = open_db(&r);
    struct sl_registry_changes *early = NULL;
    struct sl_registry_changes *late = NULL;
    char cursor[SL_COMMIT_HEX + 1];
    (void)rig_commit(&r, "m", "one");
    SL_CHECK_OK(sl_registry_index_sync(r.reg, db, &r.err), r.err);
    SL_CHECK_OK(sl_registry_index_cursor(db, "default", cursor, &r.err), r.err);
    (void)rig_commit(&r, "m", "two");
    SL_CHECK_OK(sl_registry_index_collect(r.reg, cursor, &early, &r.err), r.err);
    (void)rig_commit(&r, "m", "three");
    SL_CHECK_OK(sl_registry_index_collect(r.reg, cursor, &late, &r.err), r.err);
    SL_CHECK_OK(sl_db_tx(db, apply, late, &r.err), r.err);
    SL_CHECK_OK(sl_db_tx(db, apply, late, &r.err), r.err);
    SL_CHECK_ERR(sl_db_tx(db, apply, early, &r.err), SL_ECONFLICT, r.err, "moved meanwhile");
    SL_CHECK_EQ_INT(count(&r, db, N_VERSIONS), 3);
    sl_registry_changes_free(early);
    sl_registry_changes_free(late);
    sl_db_close(db);
    rig_close(&r);
}
