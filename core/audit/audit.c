/**
 * Appending to the log, reading it, and its root.
 *
 * Stored: leaf bytes and leaf hash per entry, hashes of perfect subtrees of 256^k leaves, and in one
 * row the size with the right edge of the tree, so that an append reads and writes O(log n) bytes.
 *
 * Thread: that of the connection. Must not: commit.
 */
#include "core/base/base.h"

#include "core/audit/audit.h"

#include <string.h>

#include "core/audit/audit_priv.h"
#include "core/base/mem.h"

static const char *const migrations[] = {
    "CREATE TABLE audit_entry("
    " idx INTEGER PRIMARY KEY,"
    " hash BLOB NOT NULL,"
    " leaf BLOB NOT NULL"
    ") STRICT;"
    "CREATE TABLE audit_node("
    " level INTEGER NOT NULL,"
    " idx INTEGER NOT NULL,"
    " hash BLOB NOT NULL,"
    " PRIMARY KEY(level, idx)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE audit_head("
    " id INTEGER PRIMARY KEY CHECK(id = 1),"
    " size INTEGER NOT NULL,"
    " frontier BLOB NOT NULL"
    ") STRICT;"
    "INSERT INTO audit_head(id, size, frontier) VALUES (1, 0, x'');"
    "CREATE TABLE audit_reason("
    " idx INTEGER PRIMARY KEY,"
    " reason TEXT NOT NULL"
    ") STRICT;"
    "CREATE TABLE principal("
    " id TEXT PRIMARY KEY,"
    " kind TEXT NOT NULL,"
    " name TEXT UNIQUE"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER audit_entry_insert BEFORE INSERT ON audit_entry"
    " WHEN NEW.idx IS NOT (SELECT size FROM audit_head)"
    " BEGIN SELECT RAISE(ABORT, 'audit entries are numbered without gaps'); END;"
    "CREATE TRIGGER audit_entry_update BEFORE UPDATE ON audit_entry"
    " BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END;"
    "CREATE TRIGGER audit_entry_delete BEFORE DELETE ON audit_entry"
    " BEGIN SELECT RAISE(ABORT, 'audit entries are never deleted'); END;"
    "CREATE TRIGGER audit_node_update BEFORE UPDATE ON audit_node"
    " BEGIN SELECT RAISE(ABORT, 'audit nodes are never changed'); END;"
    "CREATE TRIGGER audit_node_delete BEFORE DELETE ON audit_node"
    " BEGIN SELECT RAISE(ABORT, 'audit nodes are never deleted'); END;"
    "CREATE TRIGGER audit_head_delete BEFORE DELETE ON audit_head"
    " BEGIN SELECT RAISE(ABORT, 'the audit head is never deleted'); END;"
    "CREATE TRIGGER audit_head_update BEFORE UPDATE ON audit_head"
    " WHEN NEW.size IS NOT OLD.size + 1"
    " BEGIN SELECT RAISE(ABORT, 'the audit log only grows, by one'); END;"};

const struct sl_schema sl_audit_schema = {"audit", migrations, (int)SL_LEN(migrations)};

/* Nodes of the set bits of size, lowest level first. */
static size_t pack(const struct sl_merkle_frontier *f, uint8_t *out)
{
    size_t n = 0;
    for (int level = 0; level < SL_MERKLE_LEVELS; level++) {
        if (((f->size >> level) & 1) != 0) {
            memcpy(out + n, f->nodes[level].b, SL_DIGEST_BYTES);
            n += SL_DIGEST_BYTES;
        }
    }
    return n;
}

static int unpack(int64_t size, const uint8_t *bytes, size_t len, struct sl_merkle_frontier *ret)
{
    if (size < 0 || len != (size_t)__builtin_popcountll((uint64_t)size) * SL_DIGEST_BYTES) {
        return -SL_ECORRUPT;
    }
    ret->size = (uint64_t)size;
    for (int level = 0; level < SL_MERKLE_LEVELS; level++) {
        if (((ret->size >> level) & 1) != 0) {
            memcpy(ret->nodes[level].b, bytes, SL_DIGEST_BYTES);
            bytes += SL_DIGEST_BYTES;
        }
    }
    return 0;
}

int sl_audit_load_frontier(struct sl_db *db, struct sl_merkle_frontier *ret, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err, SL_SQL("SELECT size, frontier FROM audit_head"), "");
    if (rc == 0) {
        rc = sl_rows_next(&rows, err);
    }
    if (rc < 0) {
        return rc;
    }
    size_t len = 0;
    const uint8_t *bytes = rc > 0 ? sl_rows_blob(&rows, 1, &len) : NULL;
    if (rc == 0 || unpack(sl_rows_i64(&rows, 0), bytes, len, ret) < 0) {
        return sl_err_set(err, SL_ECORRUPT, "the head of the audit log is damaged");
    }
    return 0;
}

struct node_sink {
    struct sl_db *db;
    struct sl_err *err;
};

static int store_node(int level, uint64_t index, const struct sl_digest *hash, void *arg)
{
    if (level % SL_AUDIT_TILE_LEVELS != 0) {
        return 0;
    }
    struct node_sink *sink = arg;
    return sl_db_exec(sink->db, sink->err,
                      SL_SQL("INSERT INTO audit_node(level, idx, hash) VALUES (?, ?, ?)"), "iib",
                      level, index, hash->b, sizeof(hash->b));
}

int sl_audit_append_leaf(struct sl_db *db, struct sl_merkle_frontier *f, struct sl_str leaf,
                         struct sl_err *err)
{
    struct sl_digest hash;
    sl_merkle_leaf(leaf.ptr, leaf.len, &hash);
    int rc =
        sl_db_exec(db, err, SL_SQL("INSERT INTO audit_entry(idx, hash, leaf) VALUES (?, ?, ?)"),
                   "ibb", f->size, hash.b, sizeof(hash.b), leaf.ptr, leaf.len);
    struct node_sink sink = {.db = db, .err = err};
    if (rc == 0) {
        rc = sl_merkle_push(f, &hash, store_node, &sink);
    }
    if (rc < 0) {
        return rc;
    }
    uint8_t packed[SL_MERKLE_LEVELS * SL_DIGEST_BYTES];
    size_t len = pack(f, packed);
    return sl_db_exec(db, err, SL_SQL("UPDATE audit_head SET size = ?, frontier = ?"), "ib",
                      f->size, packed, len);
}

static int store_reason(struct sl_db *db, int64_t index, const char *reason, struct sl_err *err)
{
    size_t len = strlen(reason);
    if (len > SL_AUDIT_REASON_MAX) {
        return sl_err_set(err, SL_ELIMIT, "the reason is longer than %d bytes",
                          SL_AUDIT_REASON_MAX);
    }
    if (sl_utf8_check(reason, len) != len) {
        return sl_err_set(err, SL_EINVAL, "the reason is not valid UTF-8");
    }
    return sl_db_exec(db, err, SL_SQL("INSERT INTO audit_reason(idx, reason) VALUES (?, ?)"), "is",
                      index, reason);
}

int sl_audit_append(struct sl_db *db, const struct sl_audit_entry *e, int64_t *ret_index,
                    struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    struct sl_merkle_frontier f;
    int rc = sl_audit_load_frontier(db, &f, err);
    if (rc < 0) {
        return rc;
    }
    int64_t index = (int64_t)f.size;
    _cleanup_(buf)
    struct sl_buf leaf = SL_BUF_INIT(SL_AUDIT_LEAF_MAX);
    rc = sl_audit_encode(e, index, &leaf, err);
    if (rc == 0) {
        rc = sl_audit_append_leaf(db, &f, (struct sl_str){leaf.ptr, leaf.len}, err);
    }
    if (rc == 0 && e->reason != NULL) {
        rc = store_reason(db, index, e->reason, err);
    }
    if (rc == 0 && ret_index != NULL) {
        *ret_index = index;
    }
    return rc;
}

int sl_audit_root(struct sl_db *db, uint64_t *ret_size, struct sl_digest *ret_root,
                  struct sl_err *err)
{
    struct sl_merkle_frontier f;
    int rc = sl_audit_load_frontier(db, &f, err);
    if (rc == 0) {
        sl_merkle_root(&f, ret_root);
        *ret_size = f.size;
    }
    return rc;
}

int sl_audit_read(struct sl_db *db, int64_t from, int limit, sl_audit_fn fn, void *arg,
                  struct sl_err *err)
{
    SL_ASSERT(limit >= 1 && limit <= SL_AUDIT_READ_MAX);
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT e.idx, e.leaf, r.reason FROM audit_entry AS e "
                                "LEFT JOIN audit_reason AS r ON r.idx = e.idx "
                                "WHERE e.idx >= ? ORDER BY e.idx LIMIT ?"),
                         "ii", from, limit);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_audit_row row = {.index = sl_rows_i64(&rows, 0),
                                   .reason = sl_rows_text(&rows, 2)};
        row.leaf = sl_rows_blob(&rows, 1, &row.len);
        rc = fn(&row, arg);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}
