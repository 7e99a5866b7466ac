/**
 * Writing secrets: new versions, removal, leases. Every change appends its audit entry.
 *
 * Thread: that of the connection. Must not: commit, read a clock, or name a value in an error.
 */
#include "core/base/base.h"

#include "core/secret/secret_priv.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

static const char *const migrations[] = {
    "CREATE TABLE secret_master("
    " one INTEGER PRIMARY KEY CHECK(one = 1), id TEXT NOT NULL, created_ms INTEGER NOT NULL"
    ") STRICT;"
    /* A removed secret keeps its row: its numbers are never given out again. */
    "CREATE TABLE secret("
    " project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,"
    " removed INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL, used_ms INTEGER,"
    " used_run TEXT, PRIMARY KEY(project, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE secret_version("
    " project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,"
    " state TEXT NOT NULL CHECK(state IN ('current', 'previous', 'erased')),"
    " wrap_nonce BLOB, wrapped BLOB, nonce BLOB, text BLOB,"
    " created_ms INTEGER NOT NULL, created_by TEXT NOT NULL,"
    " PRIMARY KEY(project, name, version)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE secret_lease("
    " attempt_id TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL,"
    " version INTEGER NOT NULL, run_id TEXT NOT NULL, ts_ms INTEGER NOT NULL,"
    " PRIMARY KEY(attempt_id, project, name)) STRICT, WITHOUT ROWID;",
};
const struct sl_schema sl_secret_schema = {"secret", migrations, (int)SL_LEN(migrations)};

int sl_secret_name_check(const char *name, struct sl_err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t len = strlen(name);
    size_t first = strspn(name, letters);
    size_t good = 0;
    while (good < len &&
           (strchr(letters, name[good]) != NULL || strchr("0123456789.-", name[good]) != NULL)) {
        good++;
    }
    if (first == 0 || good != len || len > SL_SECRET_NAME_MAX) {
        return sl_err_set(err, SL_EINVAL,
                          "'%.140s' is no name for a secret: 1 to %d of letters, digits and _ . -, "
                          "a letter or _ first",
                          name, SL_SECRET_NAME_MAX);
    }
    return 0;
}

static int note(struct sl_db *db, const struct sl_secret_by *by, enum sl_act act, const char *name,
                int64_t version, struct sl_err *err)
{
    char id[SL_AUDIT_ID_MAX];
    if (version > 0) {
        (void)snprintf(id, sizeof(id), "%s/%s@v%lld", by->project, name, (long long)version);
    } else {
        (void)snprintf(id, sizeof(id), "%s/%s", by->project, name);
    }
    const struct sl_audit_obj obj = {"secret", id, NULL};
    struct sl_audit_entry entry = {
        .ts_ms = by->ts_ms, .act = act, .actor = by->actor, .objs = &obj, .n_objs = 1};
    return sl_audit_append(db, &entry, NULL, err);
}

/* ---- new versions --------------------------------------------------------------------------------- */

int sl_secret_check_key(struct sl_db *db, const struct sl_secret_key *key, struct sl_err *err)
{
    char id[SECRET_ID_HEX + 1];
    int rc = sl_secret_master_id(db, id, err);
    if (rc == 0 && id[0] != '\0' && strcmp(id, key->id) != 0) {
        rc = sl_err_set(err, SL_ECONFLICT, "the master key was rotated meanwhile");
    }
    return rc;
}

int sl_secret_store_row(struct sl_db *db, const struct sl_secret_ref *place,
                        const struct secret_row *row, struct sl_err *err)
{
    return sl_db_exec(db, err,
                      SL_SQL("UPDATE secret_version SET wrap_nonce = ?, wrapped = ?, nonce = ?, "
                             "text = ? WHERE project = ? AND name = ? AND version = ?"),
                      "bbbbssi", row->wrap_nonce, sizeof(row->wrap_nonce), row->wrapped,
                      sizeof(row->wrapped), row->nonce, sizeof(row->nonce), row->text,
                      row->text_len, place->project, place->name, place->version);
}

/** The version number that comes next; the secret's row is there afterwards. */
static int next_version(struct sl_db *db, const struct sl_secret_by *by,
                        const struct sl_secret_new *what, int64_t *ret, struct sl_err *err)
{
    int64_t n = 0;
    const char *name = what->name;
    if (what->mode == SL_SECRET_ROTATE) {
        int rc = sl_secret_exists(db, by->project, name, err);
        if (rc < 0) {
            return rc;
        }
    }
    int rc = sl_db_get_i64(db, &n, err,
                           SL_SQL("SELECT count(*) FROM secret WHERE NOT removed AND "
                                  "NOT (project = ? AND name = ?)"),
                           "ss", by->project, name);
    if (rc == 0 && n >= SL_SECRETS_MAX) {
        rc = sl_err_set(err, SL_ELIMIT, "there are %d secrets, the most that can be",
                        SL_SECRETS_MAX);
    }
    rc = rc < 0 ? rc
                : sl_db_exec(db, err,
                             SL_SQL("INSERT INTO secret(project, name, version, created_ms) "
                                    "VALUES(?, ?, 1, ?) ON CONFLICT DO UPDATE SET "
                                    "version = version + 1, removed = 0, "
                                    "created_ms = iif(removed, excluded.created_ms, created_ms)"),
                             "ssi", by->project, name, by->ts_ms);
    return rc < 0 ? rc
                  : sl_db_get_i64(db, ret, err,
                                  SL_SQL("SELECT version FROM secret WHERE project = ? AND "
                                         "name = ?"),
                                  "ss", by->project, name);
}

/** The current version becomes the previous one, the previous one noise. */
static int step_back(struct sl_db *db, const struct sl_secret_ref *p, struct sl_err *err)
{
    int rc = sl_db_exec(db, err,
                        SL_SQL("UPDATE secret_version SET state = 'erased', wrap_nonce = NULL, "
                               "wrapped = NULL, nonce = NULL, text = NULL "
                               "WHERE project = ? AND name = ? AND state = 'previous'"),
                        "ss", p->project, p->name);
    return rc < 0 ? rc
                  : sl_db_exec(db, err,
                               SL_SQL("UPDATE secret_version SET state = 'previous' "
                                      "WHERE project = ? AND name = ? AND state = 'current'"),
                               "ss", p->project, p->name);
}

static int adopt_master(struct sl_db *db, const struct sl_secret_key *key, int64_t ts_ms,
                        struct sl_err *err)
{
    int rc = sl_secret_check_key(db, key, err);
    return rc < 0 ? rc
                  : sl_db_exec(db, err,
                               SL_SQL("INSERT OR IGNORE INTO secret_master(one, id, created_ms) "
                                      "VALUES(1, ?, ?)"),
                               "si", key->id, ts_ms);
}

static int add_version(struct sl_db *db, const struct sl_secret_key *key,
                       const struct sl_secret_by *by, const struct sl_secret_ref *place,
                       const struct sl_secret_value *value, struct sl_err *err)
{
    struct secret_row row = {0};
    int rc = step_back(db, place, err);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err,
                             SL_SQL("INSERT INTO secret_version(project, name, version, state, "
                                    "created_ms, created_by) VALUES(?, ?, ?, 'current', ?, ?)"),
                             "ssiis", place->project, place->name, place->version, by->ts_ms,
                             by->actor.id);
    if (rc == 0) {
        sl_secret_encrypt(key, place, value, &row);
        rc = sl_secret_store_row(db, place, &row, err);
        sl_secret_row_release(&row);
    }
    return rc;
}

int sl_secret_put(struct sl_db *db, const struct sl_secret_key *key, const struct sl_secret_by *by,
                  const struct sl_secret_new *what, int64_t *ret_version, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    size_t len = what->value->len;
    struct sl_secret_ref place = {by->project, what->name, 0};
    int rc = sl_secret_name_check(what->name, err);
    if (rc == 0 && (len == 0 || len > SL_SECRET_VALUE_MAX)) {
        rc = sl_err_set(err, len == 0 ? SL_EINVAL : SL_ELIMIT,
                        "secret '%s': a value has 1 to %u bytes", what->name, SL_SECRET_VALUE_MAX);
    }
    rc = rc < 0 ? rc : adopt_master(db, key, by->ts_ms, err);
    rc = rc < 0 ? rc : next_version(db, by, what, &place.version, err);
    rc = rc < 0 ? rc : add_version(db, key, by, &place, what->value, err);
    enum sl_act act = what->mode == SL_SECRET_SET ? SL_ACT_SECRET_SET : SL_ACT_SECRET_ROTATE;
    rc = rc < 0 ? rc : note(db, by, act, what->name, place.version, err);
    if (rc == 0) {
        *ret_version = place.version;
    }
    return rc;
}

int sl_secret_remove(struct sl_db *db, const struct sl_secret_by *by, const char *name,
                     struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    int rc = sl_secret_exists(db, by->project, name, err);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err,
                             SL_SQL("DELETE FROM secret_version WHERE project = ? AND name = ?"),
                             "ss", by->project, name);
    rc = rc < 0
             ? rc
             : sl_db_exec(db, err,
                          SL_SQL("UPDATE secret SET removed = 1, used_ms = NULL, used_run = NULL "
                                 "WHERE project = ? AND name = ?"),
                          "ss", by->project, name);
    return rc < 0 ? rc : note(db, by, SL_ACT_SECRET_REMOVE, name, 0, err);
}

/* ---- leases --------------------------------------------------------------------------------------- */

static int add_lease(struct sl_db *db, const struct sl_secret_by *by,
                     const struct sl_secret_receipt *r, const struct sl_secret_lease *lease,
                     struct sl_err *err)
{
    int rc = sl_db_exec(db, err,
                        SL_SQL("INSERT OR IGNORE INTO secret_lease(attempt_id, project, name, "
                               "version, run_id, ts_ms) VALUES(?, ?, ?, ?, ?, ?)"),
                        "sssisi", r->attempt_id, by->project, lease->name, lease->version,
                        r->run_id, by->ts_ms);
    return rc < 0 ? rc
                  : sl_db_exec(db, err,
                               SL_SQL("UPDATE secret SET used_ms = ?, used_run = ? WHERE "
                                      "project = ? AND name = ? AND NOT removed"),
                               "isss", by->ts_ms, r->run_id, by->project, lease->name);
}

int sl_secret_lease_add(struct sl_db *db, const struct sl_secret_by *by,
                        const struct sl_secret_receipt *receipt, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db) && receipt->n <= SL_SECRET_LEASES_MAX);
    struct sl_audit_obj objs[SL_SECRET_LEASES_MAX + 1];
    struct sl_arena arena;
    int rc = 0;
    sl_arena_init(&arena, 0);
    objs[0] = (struct sl_audit_obj){"attempt", receipt->attempt_id, NULL};
    for (size_t i = 0; rc == 0 && i < receipt->n; i++) {
        const struct sl_secret_lease *lease = &receipt->leases[i];
        objs[i + 1] = (struct sl_audit_obj){"secret",
                                            sl_arena_printf(&arena, "%s/%s@v%lld", by->project,
                                                            lease->name, (long long)lease->version),
                                            NULL};
        rc = add_lease(db, by, receipt, lease, err);
    }
    struct sl_audit_entry entry = {.ts_ms = by->ts_ms,
                                   .act = SL_ACT_SECRET_LEASE,
                                   .actor = by->actor,
                                   .objs = objs,
                                   .n_objs = (int)receipt->n + 1,
                                   .request = receipt->run_id};
    rc = rc < 0 ? rc : sl_audit_append(db, &entry, NULL, err);
    sl_arena_release(&arena);
    return rc;
}
