/**
 * Reading secrets: lists without values, one value into locked memory, what an attempt received.
 *
 * Thread: that of the connection. Must not: put a value anywhere but where it was asked for.
 */
#include "core/base/base.h"

#include "core/secret/secret_priv.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* ---- names ---------------------------------------------------------------------------------------- */

int sl_secret_unknown(struct sl_db *db, const char *project, const char *name, struct sl_err *err)
{
    SL_VEC(char *) names = {0};
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT name FROM secret WHERE project = ? AND NOT removed "
                                "ORDER BY name"),
                         "s", project);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        sl_vec_push(&names, sl_strdup(sl_rows_str(&rows, 0)));
        rc = 0;
    }
    if (rc == 0) {
        const char *near = sl_nearest(name, (const char *const *)names.items, names.n);
        if (near != NULL) {
            rc = sl_err_set(err, SL_ENOTFOUND, "there is no secret '%s'; did you mean '%s'?", name,
                            near);
        } else {
            rc = sl_err_set(err, SL_ENOTFOUND,
                            "there is no secret '%s'; store one with: sluice secret set %s", name,
                            name);
        }
    }
    for (size_t i = 0; i < names.n; i++) {
        free(names.items[i]);
    }
    sl_vec_free(&names);
    return rc;
}

int sl_secret_exists(struct sl_db *db, const char *project, const char *name, struct sl_err *err)
{
    int64_t n = 0;
    int rc = sl_db_get_i64(db, &n, err,
                           SL_SQL("SELECT count(*) FROM secret WHERE project = ? AND name = ? AND "
                                  "NOT removed"),
                           "ss", project, name);
    return rc < 0 || n > 0 ? rc : sl_secret_unknown(db, project, name, err);
}

/* ---- lists ---------------------------------------------------------------------------------------- */

static int list_versions(struct sl_db *db, const char *project, const char *name, json_t *secret,
                         struct sl_err *err)
{
    json_t *list = json_array();
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    (void)json_object_set_new(secret, "versions", list);
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT version, state, created_ms, created_by FROM secret_version "
                                "WHERE project = ? AND name = ? ORDER BY version DESC"),
                         "ss", project, name);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        _cleanup_(free)
        char *who = NULL;
        rc = sl_audit_principal_name(db, sl_rows_str(&rows, 3), &who, err);
        json_t *o = json_object();
        sl_json_set_i64(o, "version", sl_rows_i64(&rows, 0));
        sl_json_set_str(o, "state", sl_rows_str(&rows, 1));
        sl_json_set_i64(o, "created_ms", sl_rows_i64(&rows, 2));
        sl_json_set_str(o, "by", who);
        if (json_array_size(list) == 0) {
            sl_json_set_i64(secret, "set_ms", sl_rows_i64(&rows, 2));
            sl_json_set_str(secret, "by", who);
        }
        (void)json_array_append_new(list, o);
    }
    return rc;
}

int sl_secret_list(struct sl_db *db, const char *project, json_t **ret, struct sl_err *err)
{
    json_auto_t *list = json_array();
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT name, version, created_ms, used_ms, used_run FROM secret "
                                "WHERE project = ? AND NOT removed ORDER BY name"),
                         "s", project);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_t *o = json_object();
        (void)json_array_append_new(list, o);
        sl_json_set_str(o, "name", sl_rows_str(&rows, 0));
        sl_json_set_i64(o, "version", sl_rows_i64(&rows, 1));
        sl_json_set_i64(o, "created_ms", sl_rows_i64(&rows, 2));
        if (!sl_rows_is_null(&rows, 3)) {
            sl_json_set_i64(o, "used_ms", sl_rows_i64(&rows, 3));
            sl_json_set_str(o, "used_run", sl_rows_str(&rows, 4));
        }
        rc = list_versions(db, project, sl_rows_str(&rows, 0), o, err);
    }
    if (rc == 0) {
        *ret = json_incref(list);
    }
    return rc;
}

/* ---- values --------------------------------------------------------------------------------------- */

static bool take_blob(struct sl_rows *rows, int column, unsigned char *out, size_t size)
{
    size_t len = 0;
    const void *blob = sl_rows_blob(rows, column, &len);
    if (blob == NULL || len != size) {
        return false;
    }
    memcpy(out, blob, size);
    return true;
}

int sl_secret_load(struct sl_db *db, const struct sl_secret_ref *place, struct secret_row *ret,
                   struct sl_err *err)
{
    struct secret_row row = {0};
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT wrap_nonce, wrapped, nonce, text FROM secret_version WHERE "
                                "project = ? AND name = ? AND version = ? AND text IS NOT NULL"),
                         "ssi", place->project, place->name, place->version);
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc <= 0) {
        return rc < 0 ? rc
                      : sl_err_set(err, SL_ENOTFOUND, "secret '%s': version %lld is erased",
                                   place->name, (long long)place->version);
    }
    const void *text = sl_rows_blob(&rows, 3, &row.text_len);
    if (!take_blob(&rows, 0, row.wrap_nonce, sizeof(row.wrap_nonce)) ||
        !take_blob(&rows, 1, row.wrapped, sizeof(row.wrapped)) ||
        !take_blob(&rows, 2, row.nonce, sizeof(row.nonce)) || text == NULL ||
        row.text_len <= SECRET_TAG || row.text_len > SL_SECRET_VALUE_MAX + SECRET_TAG) {
        return sl_err_set(err, SL_ECORRUPT, "secret '%s', version %lld: its row is damaged",
                          place->name, (long long)place->version);
    }
    row.text = sl_malloc(row.text_len);
    memcpy(row.text, text, row.text_len);
    *ret = row;
    return 0;
}

int sl_secret_get(struct sl_db *db, const struct sl_secret_key *key,
                  const struct sl_secret_ref *which, struct sl_secret_value *ret,
                  struct sl_err *err)
{
    struct sl_secret_ref place = *which;
    struct secret_row row = {0};
    int rc = sl_secret_check_key(db, key, err);
    if (rc == 0 && which->version == 0) {
        rc = sl_db_get_i64(db, &place.version, err,
                           SL_SQL("SELECT version FROM secret WHERE project = ? AND name = ? AND "
                                  "NOT removed"),
                           "ss", which->project, which->name);
        rc = rc == -SL_ENOTFOUND ? sl_secret_unknown(db, which->project, which->name, err) : rc;
    }
    rc = rc < 0 ? rc : sl_secret_load(db, &place, &row, err);
    rc = rc < 0 ? rc : sl_secret_decrypt(key, &place, &row, ret, err);
    sl_secret_row_release(&row);
    return rc;
}

int sl_secret_leases(struct sl_db *db, const char *attempt_id, struct sl_arena *arena,
                     struct sl_secret_receipt *ret, struct sl_err *err)
{
    SL_VEC(struct sl_secret_lease) list = {0};
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT name, version FROM secret_lease WHERE attempt_id = ? "
                                "ORDER BY name"),
                         "s", attempt_id);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_secret_lease lease = {sl_arena_strdup(arena, sl_rows_str(&rows, 0)),
                                        sl_rows_i64(&rows, 1)};
        sl_vec_push(&list, lease);
        rc = 0;
    }
    if (rc == 0) {
        *ret = (struct sl_secret_receipt){.attempt_id = attempt_id, .n = list.n};
        if (list.n > 0) {
            ret->leases = sl_arena_memdup(arena, list.items, list.n * sizeof(*list.items));
        }
    }
    sl_vec_free(&list);
    return rc;
}
