/* References to versions through the registry's index: see workspace.h. Thread: that of the connection. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/run/workspace.h"

struct wanted {
    char project[SL_NAME_MAX + 1];
    struct sl_ref_text ref;
    const char *kind;
};

static int query(struct sl_db *db, struct sl_rows *rows, const struct wanted *w, struct sl_err *err)
{
    switch (w->ref.select) {
    case SL_SELECT_LATEST:
        return sl_db_query(
            db, rows, err,
            SL_SQL("SELECT number, digest FROM registry_version WHERE project = ? AND "
                   "kind = ? AND name = ? ORDER BY number DESC LIMIT 1"),
            "sss", w->project, w->kind, w->ref.name);
    case SL_SELECT_NUMBER:
        return sl_db_query(
            db, rows, err,
            SL_SQL("SELECT number, digest FROM registry_version WHERE project = ? AND "
                   "kind = ? AND name = ? AND number = ?"),
            "sssi", w->project, w->kind, w->ref.name, w->ref.number);
    case SL_SELECT_ALIAS:
        return sl_db_query(db, rows, err,
                           SL_SQL("SELECT number, digest FROM registry_alias WHERE project = ? AND "
                                  "kind = ? AND name = ? AND alias = ?"),
                           "ssss", w->project, w->kind, w->ref.name, w->ref.alias);
    case SL_SELECT_DIGEST:
        return sl_db_query(
            db, rows, err,
            SL_SQL("SELECT number, digest FROM registry_version WHERE project = ? AND "
                   "kind = ? AND name = ? AND substr(digest, 1, ?) = ? "
                   "ORDER BY number DESC LIMIT 1"),
            "sssis", w->project, w->kind, w->ref.name, (int64_t)strlen(w->ref.hex), w->ref.hex);
    }
    return -SL_EINVAL;
}

/** The entity of this kind nearest to a name that is not there; NULL when none is near. */
static const char *nearest(struct sl_db *db, const struct wanted *w, struct sl_arena *a)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    SL_VEC(const char *) names = {0};
    const char *found = NULL;
    if (sl_db_query(
            db, &rows, NULL,
            SL_SQL("SELECT DISTINCT name FROM registry_version WHERE project = ? AND kind = ? "
                   "LIMIT 1000"),
            "ss", w->project, w->kind) == 0) {
        while (sl_rows_next(&rows, NULL) > 0) {
            sl_vec_push(&names, sl_arena_strdup(a, sl_rows_str(&rows, 0)));
        }
        found = names.n > 0 ? sl_nearest(w->ref.name, names.items, names.n) : NULL;
    }
    sl_vec_free(&names);
    return found;
}

static int unknown(struct sl_db *db, const struct wanted *w, const char *text, struct sl_arena *a,
                   struct sl_err *err)
{
    const char *near = nearest(db, w, a);
    if (near != NULL && !sl_streq(near, w->ref.name)) {
        return sl_err_set(err, SL_ENOTFOUND, "no %s '%.200s'; did you mean '%s'?", w->kind, text,
                          near);
    }
    return sl_err_set(err, SL_ENOTFOUND, "no %s '%.200s'", w->kind, text);
}

int sl_ws_resolve(struct sl_db *db, enum sl_entity entity, const char *text, struct sl_arena *a,
                  struct sl_artifact *ret, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    struct wanted w = {.kind = sl_entity_name(entity)};
    const char *rest = NULL;
    int rc = sl_ref_split(text, w.project, &rest, err);
    rc = rc < 0 ? rc : sl_ref_parse(rest, &w.ref, err);
    rc = rc < 0 ? rc : query(db, &rows, &w, err);
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc == 0) {
        return unknown(db, &w, text, a, err);
    }
    struct sl_artifact found = {.entity = entity, .version = rc > 0 ? sl_rows_i64(&rows, 0) : 0};
    if (rc > 0 && !sl_digest_parse(sl_rows_str(&rows, 1), &found.digest)) {
        rc = sl_err_set(err, SL_ECORRUPT,
                        "the index has a malformed digest; run sluice fsck --rebuild");
    }
    if (rc < 0) {
        return rc;
    }
    found.name = sl_arena_printf(a, "%s/%s", w.project, w.ref.name);
    *ret = found;
    return 0;
}
