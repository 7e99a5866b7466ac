/**
 * Inclusion proofs from stored subtree hashes, and the recomputation of the whole tree.
 *
 * Thread: that of the connection. Must not: trust anything but leaf bytes in sl_audit_verify.
 */
#include "core/base/base.h"

#include "core/audit/audit.h"

#include <stdio.h>
#include <string.h>

#include "core/audit/audit_priv.h"
#include "core/base/json.h"

/* Copies a digest column; -SL_ECORRUPT when it is not one. */
static int digest_column(struct sl_rows *rows, int column, struct sl_digest *ret,
                         struct sl_err *err)
{
    size_t len = 0;
    const void *bytes = sl_rows_blob(rows, column, &len);
    if (len != SL_DIGEST_BYTES) {
        return sl_err_set(err, SL_ECORRUPT, "the audit log holds a hash of %zu bytes", len);
    }
    memcpy(ret->b, bytes, SL_DIGEST_BYTES);
    return 0;
}

static int query_hashes(struct sl_db *db, int level, uint64_t from, uint64_t to,
                        struct sl_rows *rows, struct sl_err *err)
{
    if (level == 0) {
        return sl_db_query(db, rows, err,
                           SL_SQL("SELECT idx, hash FROM audit_entry WHERE idx >= ? AND idx < ? "
                                  "ORDER BY idx"),
                           "ii", from, to);
    }
    return sl_db_query(db, rows, err,
                       SL_SQL("SELECT idx, hash FROM audit_node WHERE level = ? AND idx >= ? AND "
                              "idx < ? ORDER BY idx"),
                       "iii", level, from, to);
}

/* Pushes stored hashes of `level` with indexes [from, to) into a frontier that counts in that unit. */
static int push_range(struct sl_db *db, int level, uint64_t from, uint64_t to,
                      struct sl_merkle_frontier *f, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = query_hashes(db, level, from, to, &rows, err);
    uint64_t expected = from;
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_digest hash;
        rc = digest_column(&rows, 1, &hash, err);
        if (rc == 0 && (uint64_t)sl_rows_i64(&rows, 0) == expected) {
            rc = sl_merkle_push(f, &hash, NULL, NULL);
        }
        expected++;
    }
    if (rc == 0 && (expected != to || f->size != to - from)) {
        rc = sl_err_set(err, SL_ECORRUPT, "the audit log lacks hashes of level %d", level);
    }
    return rc;
}

/* Hash of the perfect subtree `index` of `level`: from the nearest stored level at or below it. */
static int perfect(struct sl_db *db, int level, uint64_t index, struct sl_digest *ret,
                   struct sl_err *err)
{
    int stored = level - level % SL_AUDIT_TILE_LEVELS;
    int up = level - stored;
    struct sl_merkle_frontier f = {0};
    int rc = push_range(db, stored, index << up, (index + 1) << up, &f, err);
    if (rc == 0) {
        sl_merkle_root(&f, ret);
    }
    return rc;
}

static int level_of(uint64_t size)
{
    return 63 - __builtin_clzll(size);
}

/* Hash of leaves [from, to), where from is a multiple of the largest power of two <= to - from. */
static int range_hash(struct sl_db *db, uint64_t from, uint64_t to, struct sl_digest *ret,
                      struct sl_err *err)
{
    struct sl_digest parts[SL_MERKLE_LEVELS];
    int n = 0;
    while (from < to) {
        int level = level_of(to - from);
        int rc = perfect(db, level, from >> level, &parts[n], err);
        if (rc < 0) {
            return rc;
        }
        n++;
        from += UINT64_C(1) << level;
    }
    SL_ASSERT(n > 0);
    *ret = parts[n - 1];
    for (int i = n - 2; i >= 0; i--) {
        sl_merkle_node(&parts[i], ret, ret);
    }
    return 0;
}

int sl_audit_prove(struct sl_db *db, uint64_t index, uint64_t size, struct sl_merkle_proof *ret,
                   struct sl_err *err)
{
    struct sl_merkle_frontier f;
    int rc = sl_audit_load_frontier(db, &f, err);
    if (rc < 0) {
        return rc;
    }
    if (size > f.size || index >= size) {
        return sl_err_set(
            err, SL_EINVAL, "no entry %llu in an audit log of %llu (it has %llu entries)",
            (unsigned long long)index, (unsigned long long)size, (unsigned long long)f.size);
    }
    struct sl_merkle_proof p = {.index = index, .size = size};
    struct sl_digest down[SL_MERKLE_LEVELS]; /* from the root to the leaf: reversed at the end */
    uint64_t from = 0, to = size;
    while (to - from > 1) {
        uint64_t split = from + (UINT64_C(1) << level_of(to - from - 1));
        bool right = index >= split;
        rc = range_hash(db, right ? from : split, right ? split : to, &down[p.n], err);
        if (rc < 0) {
            return rc;
        }
        p.n++;
        from = right ? split : from;
        to = right ? to : split;
    }
    for (int i = 0; i < p.n; i++) {
        p.path[i] = down[p.n - 1 - i];
    }
    *ret = p;
    return 0;
}

/* The leaf must be canonical JSON that carries its own index. */
static int check_leaf(int64_t index, const char *leaf, size_t len, struct sl_err *err)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "audit entry %lld", (long long)index);
    json_auto_t *value = sl_json_parse(name, leaf, len, err);
    if (value == NULL) {
        return sl_err_set(err, SL_ECORRUPT, "%s is not JSON", name);
    }
    _cleanup_(free)
    char *canonical = sl_json_canonical(value);
    if (strlen(canonical) != len || memcmp(canonical, leaf, len) != 0) {
        return sl_err_set(err, SL_ECORRUPT, "%s is not in canonical form", name);
    }
    if (sl_json_i64(value, "i", -1) != index) {
        return sl_err_set(err, SL_ECORRUPT, "%s carries another index", name);
    }
    return 0;
}

static int verify_row(struct sl_rows *rows, struct sl_merkle_frontier *f, struct sl_err *err)
{
    int64_t index = sl_rows_i64(rows, 0);
    if (index != (int64_t)f->size) {
        return sl_err_set(err, SL_ECORRUPT, "audit entry %llu is missing",
                          (unsigned long long)f->size);
    }
    size_t len = 0;
    const char *leaf = sl_rows_blob(rows, 1, &len);
    struct sl_digest stored, computed;
    int rc = digest_column(rows, 2, &stored, err);
    if (rc == 0) {
        rc = check_leaf(index, leaf, len, err);
    }
    if (rc < 0) {
        return rc;
    }
    sl_merkle_leaf(leaf, len, &computed);
    if (!sl_digest_eq(&stored, &computed)) {
        return sl_err_set(err, SL_ECORRUPT, "audit entry %lld was changed", (long long)index);
    }
    return sl_merkle_push(f, &computed, NULL, NULL);
}

static bool same_frontier(const struct sl_merkle_frontier *a, const struct sl_merkle_frontier *b)
{
    struct sl_digest root_a, root_b;
    sl_merkle_root(a, &root_a);
    sl_merkle_root(b, &root_b);
    return a->size == b->size && sl_digest_eq(&root_a, &root_b);
}

struct verification {
    uint64_t *ret_size;
    struct sl_digest *ret_root;
};

static int verify(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct verification *v = arg;
    struct sl_merkle_frontier head, f = {0};
    int rc = sl_audit_load_frontier(db, &head, err);
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    if (rc == 0) {
        rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT idx, leaf, hash FROM audit_entry ORDER BY idx"), "");
    }
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        rc = verify_row(&rows, &f, err);
    }
    if (rc == 0 && !same_frontier(&head, &f)) {
        rc = sl_err_set(err, SL_ECORRUPT,
                        "the audit log's head (%llu entries) does not match its entries (%llu)",
                        (unsigned long long)head.size, (unsigned long long)f.size);
    }
    if (rc == 0) {
        *v->ret_size = f.size;
        sl_merkle_root(&f, v->ret_root);
    }
    return rc;
}

int sl_audit_verify(struct sl_db *db, uint64_t *ret_size, struct sl_digest *ret_root,
                    struct sl_err *err)
{
    struct verification v = {.ret_size = ret_size, .ret_root = ret_root};
    return sl_db_snapshot(db, verify, &v, err);
}
