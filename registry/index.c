/**
 * The index, second half: tables that show what the ledger says.
 *
 * Thread: the connection's. Must not: be asked for truth; it can be derived again at any time.
 */
#include "core/base/base.h"

#include "registry/index.h"

#include <stdio.h>
#include <stdlib.h>

#include "registry/index_priv.h"

static const char *const migrations[] = {
    "CREATE TABLE registry_version("
    " project TEXT NOT NULL,"
    " kind TEXT NOT NULL CHECK(kind IN ('dataset', 'model', 'artifact')),"
    " name TEXT NOT NULL,"
    " number INTEGER NOT NULL CHECK(number > 0),"
    " digest TEXT NOT NULL,"
    " commit_id TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL,"
    " n_files INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL,"
    " run_id TEXT,"
    " attempt_id TEXT,"
    " PRIMARY KEY(project, kind, name, number)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX registry_version_by_digest ON registry_version(digest);"
    "CREATE INDEX registry_version_by_run ON registry_version(run_id) WHERE run_id IS NOT NULL;"
    "CREATE TABLE registry_alias("
    " project TEXT NOT NULL,"
    " kind TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " alias TEXT NOT NULL,"
    " number INTEGER NOT NULL,"
    " digest TEXT NOT NULL,"
    " moved_ms INTEGER NOT NULL,"
    " PRIMARY KEY(project, kind, name, alias)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE registry_cursor("
    " project TEXT PRIMARY KEY NOT NULL,"
    " ledger TEXT NOT NULL) STRICT, WITHOUT ROWID;",
    "ALTER TABLE registry_version ADD COLUMN facts TEXT;",
};

const struct sl_schema sl_registry_schema = {"registry", migrations, SL_LEN(migrations)};

int sl_registry_index_cursor(struct sl_db *db, const char *project, char *out, struct sl_err *err)
{
    _cleanup_(free)
    char *text = NULL;
    struct sl_err inner = SL_ERR_INIT;
    int rc = sl_db_get_text(db, &text, &inner,
                            SL_SQL("SELECT ledger FROM registry_cursor WHERE project = ?"), "s",
                            project);
    if (rc != 0 && rc != -SL_ENOTFOUND) {
        return sl_err_set(err, -rc, "%s", inner.msg);
    }
    (void)snprintf(out, SL_COMMIT_HEX + 1, "%s", rc == 0 ? text : "");
    return 0;
}

static int delete_rows(struct sl_db *db, const char *project, struct sl_err *err)
{
    int rc =
        sl_db_exec(db, err, SL_SQL("DELETE FROM registry_version WHERE project = ?"), "s", project);
    rc = rc != 0 ? rc
                 : sl_db_exec(db, err, SL_SQL("DELETE FROM registry_alias WHERE project = ?"), "s",
                              project);
    return rc != 0 ? rc
                   : sl_db_exec(db, err, SL_SQL("DELETE FROM registry_cursor WHERE project = ?"),
                                "s", project);
}

static int apply_one(struct sl_db *db, const char *project, const struct change *c,
                     struct sl_err *err)
{
    char hex[SL_DIGEST_HEX + 1];
    const char *kind = sl_kind_name(c->ref.kind);
    sl_digest_hex(&c->ref.digest, hex);
    switch (c->what) {
    case CHANGE_VERSION:
        return sl_db_exec(
            db, err,
            SL_SQL("INSERT INTO registry_version(project, kind, name, number, digest, commit_id,"
                   " created_ms, n_files, bytes, run_id, attempt_id, facts)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                   " ON CONFLICT(project, kind, name, number) DO UPDATE SET digest ="
                   " excluded.digest, commit_id = excluded.commit_id,"
                   " created_ms = excluded.created_ms, n_files = excluded.n_files,"
                   " bytes = excluded.bytes, run_id = excluded.run_id,"
                   " attempt_id = excluded.attempt_id, facts = excluded.facts"),
            "sssissiiisss", project, kind, (const char *)c->ref.name, c->ref.number,
            (const char *)hex, (const char *)c->ref.commit, c->ref.created_ms, c->n_files,
            c->total_bytes, c->run_id, c->attempt_id, c->facts);
    case CHANGE_ALIAS:
        return sl_db_exec(
            db, err,
            SL_SQL("INSERT INTO registry_alias(project, kind, name, alias, number, digest,"
                   " moved_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
                   " ON CONFLICT(project, kind, name, alias) DO UPDATE SET"
                   " number = excluded.number, digest = excluded.digest,"
                   " moved_ms = excluded.moved_ms"),
            "ssssisi", project, kind, (const char *)c->ref.name, c->alias, c->ref.number,
            (const char *)hex, c->when_ms);
    case CHANGE_ALIAS_GONE:
        return sl_db_exec(db, err,
                          SL_SQL("DELETE FROM registry_alias WHERE project = ? AND kind = ?"
                                 " AND name = ? AND alias = ?"),
                          "ssss", project, kind, (const char *)c->ref.name, c->alias);
    }
    return 0;
}

int sl_registry_index_apply(struct sl_db *db, const struct sl_registry_changes *c,
                            struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    char cursor[SL_COMMIT_HEX + 1];
    int rc = sl_registry_index_cursor(db, c->project, cursor, err);
    if (rc != 0 || sl_streq(cursor, c->tip)) {
        return rc; /* somebody applied the same entries already */
    }
    if (!c->rebuild && !sl_streq(cursor, c->since)) {
        return sl_err_set(err, SL_ECONFLICT, "the index of '%s' moved meanwhile", c->project);
    }
    rc = c->rebuild ? delete_rows(db, c->project, err) : 0;
    for (size_t i = 0; rc == 0 && i < c->list.n; i++) {
        rc = apply_one(db, c->project, &c->list.items[i], err);
    }
    return rc != 0 ? rc
                   : sl_db_exec(db, err,
                                SL_SQL("INSERT INTO registry_cursor(project, ledger) VALUES (?, ?)"
                                       " ON CONFLICT(project) DO UPDATE SET"
                                       " ledger = excluded.ledger"),
                                "ss", (const char *)c->project, (const char *)c->tip);
}

static int apply_in_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct sl_registry_changes *c = arg;
    return sl_registry_index_apply(db, c, err);
}

int sl_registry_index_sync(struct sl_registry *r, struct sl_db *db, struct sl_err *err)
{
    char cursor[SL_COMMIT_HEX + 1];
    struct sl_registry_changes *changes = NULL;
    int rc = sl_registry_index_cursor(db, sl_registry_project(r), cursor, err);
    rc = rc != 0 ? rc : sl_registry_index_collect(r, cursor, &changes, err);
    if (rc == 0 && (changes->list.n > 0 || changes->rebuild || !sl_streq(cursor, changes->tip))) {
        rc = sl_db_tx(db, apply_in_tx, changes, err);
    }
    sl_registry_changes_free(changes);
    return rc;
}

static int rebuild_in_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct sl_registry_changes *c = arg;
    int rc = delete_rows(db, c->project, err);
    return rc != 0 ? rc : sl_registry_index_apply(db, c, err);
}

int sl_registry_index_rebuild(struct sl_registry *r, struct sl_db *db, struct sl_err *err)
{
    struct sl_registry_changes *changes = NULL;
    int rc = sl_registry_index_collect(r, "", &changes, err);
    rc = rc != 0 ? rc : sl_db_tx(db, rebuild_in_tx, changes, err);
    sl_registry_changes_free(changes);
    return rc;
}
