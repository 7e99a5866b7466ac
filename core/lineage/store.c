/**
 * Recording nodes and edges, and finding nodes by what people type.
 *
 * Thread: that of the connection. Must not: change a recorded fact.
 */
#include "core/base/base.h"

#include "core/lineage/lineage.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX_MIN 8 /* characters of an id that may stand for it */

static const char *const migrations[] = {
    "CREATE TABLE lineage_node("
    " nid INTEGER PRIMARY KEY,"
    " kind TEXT NOT NULL,"
    " id TEXT NOT NULL,"
    " name TEXT,"
    " attrs TEXT,"
    " ts INTEGER NOT NULL,"
    " UNIQUE(id, kind)"
    ") STRICT;"
    "CREATE INDEX lineage_node_name ON lineage_node(name) WHERE name IS NOT NULL;"
    "CREATE TABLE lineage_edge("
    " eid INTEGER PRIMARY KEY,"
    " from_nid INTEGER NOT NULL REFERENCES lineage_node(nid),"
    " to_nid INTEGER NOT NULL REFERENCES lineage_node(nid),"
    " kind TEXT NOT NULL,"
    " role TEXT NOT NULL DEFAULT '',"
    " run_id TEXT NOT NULL DEFAULT '',"
    " attempt_id TEXT NOT NULL DEFAULT '',"
    " ts INTEGER NOT NULL,"
    " audit_index INTEGER,"
    " UNIQUE(from_nid, to_nid, kind, role, attempt_id)"
    ") STRICT;"
    "CREATE INDEX lineage_edge_to ON lineage_edge(to_nid);"};

const struct sl_schema sl_lineage_schema = {"lineage", migrations, (int)SL_LEN(migrations)};

static int check_text(const char *what, const char *text, struct sl_err *err)
{
    if (text != NULL && strlen(text) > SL_LINEAGE_ID_MAX) {
        return sl_err_set(err, SL_ELIMIT, "lineage: %s is longer than %d bytes", what,
                          SL_LINEAGE_ID_MAX);
    }
    return 0;
}

static int check_ref(const struct sl_lineage_ref *ref, struct sl_err *err)
{
    if (ref->id == NULL || ref->id[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "lineage: a %s without an id",
                          sl_node_kind_name(ref->kind));
    }
    return check_text("an id", ref->id, err);
}

static int node_id(struct sl_db *db, const struct sl_lineage_ref *ref, int64_t *ret,
                   struct sl_err *err)
{
    return sl_db_get_i64(db, ret, err,
                         SL_SQL("SELECT nid FROM lineage_node WHERE id = ? AND kind = ?"), "ss",
                         ref->id, sl_node_kind_name(ref->kind));
}

int sl_lineage_node(struct sl_db *db, const struct sl_lineage_node *node, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    int rc = check_ref(&node->ref, err);
    if (rc == 0) {
        rc = check_text("a name", node->name, err);
    }
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    char *attrs = node->attrs != NULL ? sl_json_canonical(node->attrs) : NULL;
    if (attrs != NULL && strlen(attrs) > SL_LINEAGE_ATTRS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "lineage: the attributes of %s are longer than %d bytes",
                          node->ref.id, SL_LINEAGE_ATTRS_MAX);
    }
    return sl_db_exec(db, err,
                      SL_SQL("INSERT INTO lineage_node(kind, id, name, attrs, ts) "
                             "VALUES (?, ?, ?, ?, ?) ON CONFLICT(id, kind) DO UPDATE SET "
                             "name = coalesce(name, excluded.name), "
                             "attrs = coalesce(attrs, excluded.attrs) "
                             "WHERE (name IS NULL AND excluded.name IS NOT NULL) "
                             "OR (attrs IS NULL AND excluded.attrs IS NOT NULL)"),
                      "ssssi", sl_node_kind_name(node->ref.kind), node->ref.id, node->name, attrs,
                      node->ts_ms);
}

/* The node's row, made bare when it was not recorded before. */
static int find_or_make(struct sl_db *db, const struct sl_lineage_ref *ref, int64_t ts_ms,
                        int64_t *ret, struct sl_err *err)
{
    int rc = check_ref(ref, err);
    if (rc < 0) {
        return rc;
    }
    rc = node_id(db, ref, ret, err);
    if (rc != -SL_ENOTFOUND) {
        return rc;
    }
    rc = sl_db_exec(db, err, SL_SQL("INSERT INTO lineage_node(kind, id, ts) VALUES (?, ?, ?)"),
                    "ssi", sl_node_kind_name(ref->kind), ref->id, ts_ms);
    if (rc == 0) {
        *ret = sl_db_last_id(db);
    }
    return rc;
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

int sl_lineage_edge(struct sl_db *db, const struct sl_lineage_edge *e, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    int64_t from = 0, to = 0;
    int rc = check_text("a role", e->role, err);
    if (rc == 0) {
        rc = find_or_make(db, &e->from, e->ts_ms, &from, err);
    }
    if (rc == 0) {
        rc = find_or_make(db, &e->to, e->ts_ms, &to, err);
    }
    if (rc < 0) {
        return rc;
    }
    return sl_db_exec(db, err,
                      SL_SQL("INSERT INTO lineage_edge(from_nid, to_nid, kind, role, run_id, "
                             "attempt_id, ts, audit_index) "
                             "VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, -1)) ON CONFLICT DO NOTHING"),
                      "iissssii", from, to, sl_edge_kind_name(e->kind), or_empty(e->role),
                      or_empty(e->run_id), or_empty(e->attempt_id), e->ts_ms, e->audit_index);
}

/* The end of the range of ids that start with text: the last byte is raised. */
static char *prefix_end(const char *text)
{
    char *end = NULL;
    size_t len = strlen(text);
    if (len >= PREFIX_MIN && (unsigned char)text[len - 1] < 0x7f) {
        end = sl_strdup(text);
        end[len - 1]++;
    }
    return end;
}

int sl_lineage_find(struct sl_db *db, const char *text, int limit, sl_lineage_fn fn, void *arg,
                    struct sl_err *err)
{
    SL_ASSERT(limit >= 1);
    _cleanup_(free)
    char *end = prefix_end(text);
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT kind, id, name, attrs, ts FROM ("
                                "SELECT 0 AS rank, * FROM lineage_node WHERE id = ?1 "
                                "UNION ALL SELECT 1, * FROM lineage_node WHERE name = ?1 "
                                "AND id <> ?1 "
                                "UNION ALL SELECT 2, * FROM lineage_node WHERE ?2 IS NOT NULL "
                                "AND id > ?1 AND id < ?2 AND name IS NOT ?1) "
                                "ORDER BY rank, ts DESC, nid DESC LIMIT ?3"),
                         "ssi", text, end, limit);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        int kind = sl_node_kind_parse(sl_rows_str(&rows, 0));
        rc = 0;
        if (kind >= 0) {
            struct sl_graph_node node = {.kind = (enum sl_node_kind)kind,
                                         .id = sl_rows_str(&rows, 1),
                                         .name = sl_rows_text(&rows, 2),
                                         .attrs = sl_rows_text(&rows, 3),
                                         .ts_ms = sl_rows_i64(&rows, 4)};
            rc = fn(&node, arg);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}
