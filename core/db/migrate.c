/**
 * Schema: each room's tables at the version this binary knows, recorded per room.
 *
 * Thread: that of the connection. Must not: touch a database newer than this binary.
 */
#include "core/base/base.h"

#include "core/db/db.h"

#include "core/base/mem.h"
#include "core/db/db_priv.h"

struct migration {
    const struct sl_schema *const *schemas;
    int n;
};

/* Version of a room; 0 for a room, or a database, that was never migrated. */
static int room_version(struct sl_db *db, const char *room, int64_t *ret, struct sl_err *err)
{
    int64_t has_table = 0;
    int rc = sl_db_get_i64(db, &has_table, err,
                           SL_SQL("SELECT count(*) FROM sqlite_schema "
                                  "WHERE type = 'table' AND name = 'schema_version'"),
                           "");
    if (rc < 0) {
        return rc;
    }
    *ret = 0;
    if (has_table == 0) {
        return 0;
    }
    rc = sl_db_get_i64(db, ret, err, SL_SQL("SELECT version FROM schema_version WHERE room = ?"),
                       "s", room);
    return rc == -SL_ENOTFOUND ? 0 : rc;
}

static int refuse_newer(const struct sl_schema *s, int64_t version, struct sl_err *err)
{
    return sl_err_set(err, SL_EUNSUPPORTED,
                      "the database was written by a newer sluice: '%s' is at version %lld, this "
                      "binary knows %d; use the newer binary",
                      s->room, (long long)version, s->n);
}

static int migrate_room(struct sl_db *db, const struct sl_schema *s, struct sl_err *err)
{
    int64_t version = 0;
    int rc = room_version(db, s->room, &version, err);
    if (rc < 0) {
        return rc;
    }
    if (version > s->n) {
        return refuse_newer(s, version, err);
    }
    if (version == s->n) {
        return 0;
    }
    for (int64_t i = version; i < s->n; i++) {
        rc = sl_db_script(db, s->migrations[i], s->room, err);
        if (rc < 0) {
            (void)sl_err_wrap(err, "migrating '%s' to version %lld", s->room, (long long)i + 1);
            return rc;
        }
    }
    return sl_db_exec(db, err,
                      SL_SQL("INSERT INTO schema_version(room, version) VALUES (?, ?) "
                             "ON CONFLICT(room) DO UPDATE SET version = excluded.version"),
                      "si", s->room, s->n);
}

static int migrate_all(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct migration *m = arg;
    int rc = sl_db_script(db,
                          "CREATE TABLE IF NOT EXISTS schema_version("
                          "room TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
                          "migrating", err);
    for (int i = 0; rc == 0 && i < m->n; i++) {
        rc = migrate_room(db, m->schemas[i], err);
    }
    return rc;
}

int sl_db_migrate(struct sl_db *db, const struct sl_schema *const *schemas, int n,
                  struct sl_err *err)
{
    SL_ASSERT(n >= 0 && (n == 0 || schemas != NULL));
    struct sl_err behind = SL_ERR_INIT;
    int rc = sl_db_check_schema(db, schemas, n, &behind);
    if (rc == 0) { /* the usual start: nothing to write, nothing to sync */
        return 0;
    }
    struct migration m = {.schemas = schemas, .n = n};
    return sl_db_tx(db, migrate_all, &m, err);
}

int sl_db_check_schema(struct sl_db *db, const struct sl_schema *const *schemas, int n,
                       struct sl_err *err)
{
    for (int i = 0; i < n; i++) {
        int64_t version = 0;
        int rc = room_version(db, schemas[i]->room, &version, err);
        if (rc < 0) {
            return rc;
        }
        if (version > schemas[i]->n) {
            return refuse_newer(schemas[i], version, err);
        }
        if (version < schemas[i]->n) {
            return sl_err_set(err, SL_EUNSUPPORTED,
                              "the database was written by an older sluice: '%s' is at version "
                              "%lld, this binary needs %d; start the engine once to migrate it",
                              schemas[i]->room, (long long)version, schemas[i]->n);
        }
    }
    return 0;
}
