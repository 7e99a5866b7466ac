/* Retention in the database: see gc_store.h. Thread: that of the connection. Must not: read a clock. */
#include "core/base/base.h"

#include "pipelines/run/gc_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/blob/blob_ref.h"

static const char *const migrations[] = {
    /* content that removed runs named: what is still unnamed later goes */
    "CREATE TABLE gc_candidate("
    " digest BLOB PRIMARY KEY CHECK(length(digest) = 32), noted_ms INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;",
};
const struct sl_schema sl_gc_schema = {"gc", migrations, (int)SL_LEN(migrations)};

/* ---- which runs ----------------------------------------------------------------------------------- */

/* Why a run stays, in words; NULL when nothing holds it. */
#define HELD                                                                                       \
    "CASE WHEN r.ended_ms IS NULL THEN 'it has not ended' "                                        \
    "WHEN EXISTS(SELECT 1 FROM registry_version v WHERE v.run_id = r.id) "                         \
    "THEN 'a registered version comes from it' "                                                   \
    "WHEN EXISTS(SELECT 1 FROM deployment d WHERE d.run_id = r.id) THEN 'it deployed something' "  \
    "WHEN EXISTS(SELECT 1 FROM verdict v WHERE v.run_id = r.id AND v.result <> 'refuse') "         \
    "THEN 'its gate let something through' "                                                       \
    "WHEN EXISTS(SELECT 1 FROM approval_request a WHERE a.run_id = r.id AND "                      \
    "a.state IN ('open', 'approved')) THEN 'it holds an approval' "                                \
    "WHEN EXISTS(SELECT 1 FROM notification n WHERE n.run_id = r.id AND n.state = 'pending') "     \
    "THEN 'a message of it is not delivered' "                                                     \
    "WHEN EXISTS(SELECT 1 FROM run o WHERE o.retry_of = r.id AND o.ended_ms IS NULL) "             \
    "THEN 'it is being repeated' END"

static const char *static_reason(const char *text)
{
    static const char *const all[] = {
        "it has not ended",      "a registered version comes from it",
        "it deployed something", "its gate let something through",
        "it holds an approval",  "a message of it is not delivered",
        "it is being repeated",
    };
    for (size_t i = 0; text != NULL && i < SL_LEN(all); i++) {
        if (sl_streq(all[i], text)) {
            return all[i];
        }
    }
    return text != NULL ? "something needs it" : NULL;
}

int gc_runs(struct sl_db *db, const struct sl_gc_opts *opts, gc_run_fn fn, void *data,
            struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(
        db, &rows, err,
        SL_SQL("SELECT r.id, r.pipeline || '#' || r.number, r.ended_ms, " HELD
               ", (SELECT count(*) FROM (SELECT 1 FROM run n WHERE n.pipeline = r.pipeline AND "
               "n.number > r.number LIMIT ?1)) FROM run r WHERE r.ended_ms IS NOT NULL "
               "ORDER BY r.created_ms, r.id"),
        "i", opts->keep_last);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct gc_run run = {.ended_ms = sl_rows_i64(&rows, 2)};
        (void)snprintf(run.id, sizeof(run.id), "%s", sl_rows_str(&rows, 0));
        run.name = sl_strdup(sl_rows_str(&rows, 1));
        run.keep = static_reason(sl_rows_text(&rows, 3));
        if (run.keep == NULL && sl_rows_i64(&rows, 4) < opts->keep_last) {
            run.keep = "it is among the last of its pipeline";
        }
        rc = fn(&run, data, err);
        free(run.name);
    }
    return rc;
}

int gc_run_exists(struct sl_db *db, const char *id, struct sl_err *err)
{
    int64_t found = 0;
    int rc = sl_db_get_i64(db, &found, err, SL_SQL("SELECT EXISTS(SELECT 1 FROM run WHERE id = ?)"),
                           "s", id);
    return rc < 0 ? rc : found != 0;
}

/* ---- removing one --------------------------------------------------------------------------------- */

/** Everything it names by roles that are its own: records of environments are shared and stay. */
static int note_candidates(struct sl_db *db, const char *id, int64_t now_ms, struct sl_err *err)
{
    return sl_db_exec(
        db, err,
        SL_SQL("INSERT INTO gc_candidate SELECT DISTINCT digest, ? FROM blob_ref WHERE "
               "owner_kind = 'run' AND owner_id = ? AND (role IN ('pipeline', 'plan', 'code') OR "
               "role LIKE 'output:%') ON CONFLICT DO UPDATE SET noted_ms = excluded.noted_ms"),
        "is", now_ms, id);
}

static int remove_metrics(struct sl_db *db, const char *id, struct sl_err *err)
{
    int rc =
        sl_db_exec(db, err,
                   SL_SQL("DELETE FROM track_point WHERE id IN (SELECT p.id FROM track_series "
                          "s JOIN track_point p ON p.id BETWEEN s.first_row AND s.last_row AND "
                          "p.series = s.id WHERE s.run_id = ?)"),
                   "s", id);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err,
                             SL_SQL("DELETE FROM track_offset WHERE attempt_id IN (SELECT id FROM "
                                    "attempt WHERE run_id = ?)"),
                             "s", id);
    return rc < 0
               ? rc
               : sl_db_exec(db, err, SL_SQL("DELETE FROM track_series WHERE run_id = ?"), "s", id);
}

static int remove_rows(struct sl_db *db, const char *id, struct sl_err *err)
{
    int rc = sl_db_exec(db, err, SL_SQL("DELETE FROM step_output WHERE run_id = ?"), "s", id);
    rc = rc < 0 ? rc : sl_db_exec(db, err, SL_SQL("DELETE FROM attempt WHERE run_id = ?"), "s", id);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err,
                             SL_SQL("DELETE FROM cache WHERE run_id = ?1 AND key IN (SELECT "
                                    "cache_key FROM step WHERE run_id = ?1)"),
                             "s", id);
    rc = rc < 0 ? rc : sl_db_exec(db, err, SL_SQL("DELETE FROM step WHERE run_id = ?"), "s", id);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err, SL_SQL("DELETE FROM run_count WHERE run_id = ?"), "s", id);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err,
                             SL_SQL("DELETE FROM run_param WHERE run_id = ?1 AND name IN (SELECT "
                                    "j.key FROM run r, json_each(r.params) j WHERE r.id = ?1)"),
                             "s", id);
    rc = rc < 0 ? rc
                : sl_db_exec(db, err,
                             SL_SQL("DELETE FROM event WHERE run_id = ? AND type <> "
                                    "'notify.queued'"),
                             "s", id);
    rc = rc < 0 ? rc : sl_blob_ref_drop(db, "run", id, err);
    return rc < 0 ? rc : sl_db_exec(db, err, SL_SQL("DELETE FROM run WHERE id = ?"), "s", id);
}

int gc_remove_run(struct sl_db *db, const char *id, const struct sl_gc_opts *opts,
                  struct sl_err *err)
{
    int64_t held = 0;
    int rc = sl_db_get_i64(
        db, &held, err, SL_SQL("SELECT " HELD " IS NOT NULL FROM run r WHERE r.id = ?"), "s", id);
    if (rc == 0 && held != 0) {
        rc = sl_err_set(err, SL_ECONFLICT, "run %s is needed meanwhile", id);
    }
    rc = rc < 0 ? rc : note_candidates(db, id, opts->now_ms, err);
    rc = rc < 0 ? rc : remove_metrics(db, id, err);
    return rc < 0 ? rc : remove_rows(db, id, err);
}

/* ---- content -------------------------------------------------------------------------------------- */

static int each_digest(struct sl_rows *rows, gc_digest_fn fn, void *data, struct sl_err *err)
{
    int rc = 0;
    while (rc == 0 && (rc = sl_rows_next(rows, err)) > 0) {
        struct sl_digest d;
        size_t len = 0;
        const void *bytes = sl_rows_blob(rows, 0, &len);
        SL_ASSERT(len == sizeof(d.b));
        memcpy(d.b, bytes, sizeof(d.b));
        rc = fn(&d, data, err);
    }
    return rc;
}

int gc_candidates(struct sl_db *db, int64_t before_ms, gc_digest_fn fn, void *data,
                  struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT digest FROM gc_candidate WHERE noted_ms <= ? "
                                "ORDER BY digest"),
                         "i", before_ms);
    return rc < 0 ? rc : each_digest(&rows, fn, data, err);
}

int gc_candidate_add(struct sl_db *db, const struct sl_digest *d, int64_t now_ms,
                     struct sl_err *err)
{
    return sl_db_exec(db, err,
                      SL_SQL("INSERT INTO gc_candidate VALUES(?, ?) ON CONFLICT DO NOTHING"), "bi",
                      (const void *)d->b, sizeof(d->b), now_ms);
}

int gc_candidate_drop(struct sl_db *db, const struct sl_digest *d, struct sl_err *err)
{
    return sl_db_exec(db, err, SL_SQL("DELETE FROM gc_candidate WHERE digest = ?"), "b",
                      (const void *)d->b, sizeof(d->b));
}

struct root_walk {
    gc_root_fn fn;
    void *data;
};

static int ref_root(const struct sl_blob_ref *ref, void *data, struct sl_err *err)
{
    const struct root_walk *w = data;
    bool text = sl_streq(ref->role, "pipeline") || sl_streq(ref->role, "plan");
    bool tree = sl_streq(ref->role, "code") || sl_starts_with(ref->role, "output:");
    return w->fn(&ref->digest, text ? GC_NO_TREE : tree ? GC_TREE : GC_MAYBE_TREE, w->data, err);
}

int gc_roots(struct sl_db *db, gc_root_fn fn, void *data, struct sl_err *err)
{
    struct root_walk w = {fn, data};
    int rc = sl_blob_ref_each(db, ref_root, &w, err);
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    rc = rc < 0 ? rc
                : sl_db_query(db, &rows, err,
                              SL_SQL("SELECT DISTINCT digest FROM registry_version"), "");
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_digest d;
        rc = sl_digest_parse(sl_rows_str(&rows, 0), &d)
                 ? fn(&d, GC_TREE, data, err)
                 : sl_err_set(err, SL_ECORRUPT, "the index has a malformed digest");
    }
    return rc;
}
