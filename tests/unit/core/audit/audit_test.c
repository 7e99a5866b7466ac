/**
 * The log: canonical leaves, continuity, proofs, tampering, erasable words.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit_priv.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "tests/support/sl_test_db.h"

#define MANY 1500 /* crosses several tiles of 256 */

static void set_up(struct sl_test_db *f)
{
    static const struct sl_schema *const schemas[] = {&sl_audit_schema};
    sl_test_db_open(f, schemas, 1);
}

static const struct sl_audit_obj objs[] = {{"model_version", "model/heavy-use@v3", "sha256:00"},
                                           {"run", "r\"1", NULL}};

static struct sl_audit_entry sample(int64_t ts)
{
    return (struct sl_audit_entry){.ts_ms = ts,
                                   .act = SL_ACT_GATE_OVERRIDE,
                                   .result = SL_AUDIT_OK,
                                   .actor = {.id = "p_1", .kind = "user", .auth = "local"},
                                   .objs = objs,
                                   .n_objs = 2,
                                   .request = "req-1",
                                   .reason = "ann said so"};
}

struct appends {
    int n;
    struct sl_audit_entry e;
    int64_t last;
};

static int append_n(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct appends *a = arg;
    int rc = 0;
    for (int i = 0; i < a->n && rc == 0; i++) {
        rc = sl_audit_append(db, &a->e, &a->last, err);
        a->e.ts_ms++;
    }
    return rc;
}

static void append(struct sl_test_db *f, int n)
{
    struct appends a = {.n = n, .e = sample(1763632800000)};
    SL_CHECK_OK(sl_db_tx(f->db, append_n, &a, &f->err), f->err);
}

struct row {
    char leaf[2048];
    char reason[64];
    int n;
};

static int keep_row(const struct sl_audit_row *r, void *arg)
{
    struct row *out = arg;
    (void)snprintf(out->leaf, sizeof(out->leaf), "%.*s", (int)r->len, r->leaf);
    (void)snprintf(out->reason, sizeof(out->reason), "%s", r->reason != NULL ? r->reason : "-");
    out->n++;
    return 0;
}

SL_TEST(core_audit_audit, append__entry__has_the_documented_bytes)
{
    struct sl_test_db f;
    set_up(&f);
    append(&f, 1);
    struct row row = {0};
    SL_CHECK_EQ_INT(sl_audit_read(f.db, 0, 10, keep_row, &row, &f.err), 0);
    SL_CHECK_EQ_INT(row.n, 1);
    SL_CHECK_EQ_STR(
        row.leaf,
        "{\"act\":\"gate.override\",\"actor\":{\"auth\":\"local\",\"id\":\"p_1\",\"kind\":\"user\"}"
        ","
        "\"i\":0,\"obj\":[{\"digest\":\"sha256:00\",\"id\":\"model/heavy-use@v3\","
        "\"kind\":\"model_version\"},{\"id\":\"r\\\"1\",\"kind\":\"run\"}],\"req\":\"req-1\","
        "\"res\":\"ok\",\"ret\":\"10y\",\"t\":\"2025-11-20T10:00:00.000Z\",\"v\":1}");
    SL_CHECK_EQ_STR(row.reason, "ann said so"); /* beside the leaf, not in it */
    SL_CHECK_NULL(strstr(row.leaf, "ann"));
    sl_test_db_close(&f);
}

SL_TEST(core_audit_audit, append__every_act_and_result__is_canonical_json)
{
    struct sl_test_db f;
    set_up(&f);
    for (int act = 0; act < SL_ACT_COUNT; act++) {
        struct sl_audit_entry e = sample(act);
        e.act = (enum sl_act)act;
        e.result = (enum sl_audit_result)(act % 4);
        e.actor.auth = act % 2 == 0 ? NULL : "token";
        e.policy = act % 3 == 0 ? "sha256:11" : NULL;
        e.actor.id = "\xc3\xa9\t\x01\x7f/\\";
        struct appends a = {.n = 1, .e = e};
        SL_CHECK_OK(sl_db_tx(f.db, append_n, &a, &f.err), f.err);
        SL_CHECK_EQ_INT(a.last, act);
        SL_CHECK_EQ_INT(sl_act_parse(sl_act_name(e.act)), act);
        SL_CHECK(act == 0 || strcmp(sl_act_name((enum sl_act)(act - 1)), sl_act_name(e.act)) < 0);
    }
    uint64_t size = 0;
    struct sl_digest root;
    SL_CHECK_OK(sl_audit_verify(f.db, &size, &root, &f.err), f.err); /* compares canonical forms */
    SL_CHECK_EQ_UINT(size, SL_ACT_COUNT);
    SL_CHECK_EQ_INT(sl_act_parse("gate.maybe"), -1);
    sl_test_db_close(&f);
}

SL_TEST(core_audit_audit, append__limits__at_and_one_past)
{
    struct sl_test_db f;
    set_up(&f);
    char id[SL_AUDIT_ID_MAX + 2];
    memset(id, 'i', sizeof(id));
    id[SL_AUDIT_ID_MAX] = '\0';
    struct sl_audit_obj many[SL_AUDIT_OBJS_MAX + 1];
    for (int i = 0; i <= SL_AUDIT_OBJS_MAX; i++) {
        many[i] = (struct sl_audit_obj){"k", "id", NULL};
    }
    struct appends a = {.n = 1, .e = sample(0)};
    a.e.actor.id = id;
    a.e.objs = many;
    a.e.n_objs = SL_AUDIT_OBJS_MAX;
    SL_CHECK_OK(sl_db_tx(f.db, append_n, &a, &f.err), f.err);
    a.e.n_objs++;
    SL_CHECK_ERR(sl_db_tx(f.db, append_n, &a, &f.err), SL_ELIMIT, f.err, "more than 64 objects");
    a.e = sample(0);
    id[SL_AUDIT_ID_MAX] = 'i';
    id[SL_AUDIT_ID_MAX + 1] = '\0';
    a.e.request = id;
    SL_CHECK_ERR(sl_db_tx(f.db, append_n, &a, &f.err), SL_ELIMIT, f.err,
                 "the request is longer than 512 bytes");
    a.e.request = "\xff";
    SL_CHECK_ERR(sl_db_tx(f.db, append_n, &a, &f.err), SL_EINVAL, f.err,
                 "the request is not valid UTF-8");
    char *reason = calloc(1, SL_AUDIT_REASON_MAX + 2);
    SL_CHECK_NOT_NULL(reason);
    memset(reason, 'r', SL_AUDIT_REASON_MAX);
    a.e = sample(0);
    a.e.reason = reason;
    SL_CHECK_OK(sl_db_tx(f.db, append_n, &a, &f.err), f.err);
    reason[SL_AUDIT_REASON_MAX] = 'r';
    SL_CHECK_ERR(sl_db_tx(f.db, append_n, &a, &f.err), SL_ELIMIT, f.err, "the reason");
    free(reason);
    uint64_t size = 0;
    struct sl_digest root;
    SL_CHECK_OK(sl_audit_root(f.db, &size, &root, &f.err), f.err);
    SL_CHECK_EQ_UINT(size, 2); /* refused ones left nothing */
    sl_test_db_close(&f);
}

static int append_raw(struct sl_db *db, void *arg, struct sl_err *err)
{
    static const struct {
        const char *bytes;
        size_t len;
    } raw[] = {{"", 0}, {"\x00", 1}, {"\x10", 1}};
    (void)arg;
    struct sl_merkle_frontier f;
    int rc = sl_audit_load_frontier(db, &f, err);
    for (size_t i = 0; i < SL_LEN(raw) && rc == 0; i++) {
        rc = sl_audit_append_leaf(db, &f, (struct sl_str){raw[i].bytes, raw[i].len}, err);
    }
    return rc;
}

SL_TEST(core_audit_audit, root__stored_published_leaves__published_root)
{
    struct sl_test_db f;
    set_up(&f);
    uint64_t size = 9;
    struct sl_digest root;
    char hex[SL_DIGEST_HEX + 1];
    SL_CHECK_OK(sl_audit_root(f.db, &size, &root, &f.err), f.err);
    SL_CHECK_EQ_UINT(size, 0);
    SL_CHECK_EQ_STR(sl_digest_hex(&root, hex),
                    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    SL_CHECK_OK(sl_db_tx(f.db, append_raw, NULL, &f.err), f.err);
    SL_CHECK_OK(sl_audit_root(f.db, &size, &root, &f.err), f.err);
    SL_CHECK_EQ_UINT(size, 3);
    SL_CHECK_EQ_STR(sl_digest_hex(&root, hex),
                    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
    sl_test_db_close(&f);
}

struct all_rows {
    struct sl_digest hashes[MANY];
    int n;
};

static int hash_row(const struct sl_audit_row *r, void *arg)
{
    struct all_rows *all = arg;
    SL_CHECK_EQ_INT(r->index, all->n);
    sl_merkle_leaf(r->leaf, r->len, &all->hashes[all->n++]);
    return 0;
}

/* Root of the first n leaves, by the pure tree. */
static struct sl_digest root_of(const struct all_rows *all, int n)
{
    struct sl_merkle_frontier f = {0};
    struct sl_digest root;
    for (int i = 0; i < n; i++) {
        SL_CHECK_EQ_INT(sl_merkle_push(&f, &all->hashes[i], NULL, NULL), 0);
    }
    sl_merkle_root(&f, &root);
    return root;
}

SL_TEST(core_audit_audit, prove__any_leaf_of_any_size__verifies)
{
    struct sl_test_db f;
    set_up(&f);
    append(&f, MANY - 7);
    append(&f, 7);
    struct all_rows *all = SL_NEW(struct all_rows);
    SL_CHECK_EQ_INT(sl_audit_read(f.db, 0, MANY, hash_row, all, &f.err), 0);
    SL_CHECK_EQ_INT(all->n, MANY);
    const int sizes[] = {1, 2, 3, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 1280, MANY};
    for (size_t s = 0; s < SL_LEN(sizes); s++) {
        struct sl_digest root = root_of(all, sizes[s]);
        for (int i = 0; i < sizes[s]; i += 1 + sizes[s] / 20) {
            struct sl_merkle_proof p;
            SL_CHECK_OK(sl_audit_prove(f.db, (uint64_t)i, (uint64_t)sizes[s], &p, &f.err), f.err);
            SL_CHECK_MSG(sl_merkle_verify(&p, &all->hashes[i], &root), "%d of %d", i, sizes[s]);
        }
    }
    struct sl_merkle_proof p;
    SL_CHECK_ERR(sl_audit_prove(f.db, 5, 5, &p, &f.err), SL_EINVAL, f.err, "no entry 5");
    SL_CHECK_ERR(sl_audit_prove(f.db, 0, MANY + 1, &p, &f.err), SL_EINVAL, f.err, "1500 entries");
    uint64_t size = 0;
    struct sl_digest root, expected = root_of(all, MANY);
    SL_CHECK_OK(sl_audit_verify(f.db, &size, &root, &f.err), f.err);
    SL_CHECK_EQ_UINT(size, MANY);
    SL_CHECK(sl_digest_eq(&root, &expected));
    free(all);
    sl_test_db_close(&f);
}

SL_TEST(core_audit_audit, triggers__change_delete_gap_replace__are_refused)
{
    struct sl_test_db f;
    set_up(&f);
    append(&f, 3);
    struct sl_err *e = &f.err;
    SL_CHECK_ERR(
        sl_db_exec(f.db, e, SL_SQL("UPDATE audit_entry SET leaf = x'00' WHERE idx = 1"), ""),
        SL_EREFUSED, f.err, "audit entries are never changed");
    SL_CHECK_ERR(sl_db_exec(f.db, e, SL_SQL("DELETE FROM audit_entry WHERE idx = 2"), ""),
                 SL_EREFUSED, f.err, "audit entries are never deleted");
    SL_CHECK_ERR(sl_db_exec(f.db, e, SL_SQL("INSERT INTO audit_entry VALUES (7, x'', x'')"), ""),
                 SL_EREFUSED, f.err, "numbered without gaps");
    SL_CHECK_ERR(
        sl_db_exec(f.db, e, SL_SQL("INSERT OR REPLACE INTO audit_entry VALUES (1, x'', x'')"), ""),
        SL_EREFUSED, f.err, "numbered without gaps");
    SL_CHECK_ERR(sl_db_exec(f.db, e, SL_SQL("UPDATE audit_head SET size = 0"), ""), SL_EREFUSED,
                 f.err, "only grows");
    SL_CHECK_ERR(sl_db_exec(f.db, e, SL_SQL("DELETE FROM audit_head"), ""), SL_EREFUSED, f.err,
                 "never deleted");
    sl_test_db_close(&f);
}

/* Each mutation is what a person with the file could do; the triggers are dropped first. */
SL_TEST(core_audit_audit, verify__every_mutation__names_the_place)
{
    static const struct {
        struct sl_sql sql;
        const char *message;
    } cases[] = {
        {{"UPDATE audit_entry SET leaf = cast(replace(cast(leaf AS TEXT), 'ok', 'no') AS BLOB) "
          "WHERE idx = 4",
          0},
         "audit entry 4 was changed"},
        {{"UPDATE audit_entry SET leaf = x'7b7d20' WHERE idx = 4", 0},
         "audit entry 4 is not in canonical form"},
        {{"UPDATE audit_entry SET leaf = x'7b' WHERE idx = 4", 0}, "audit entry 4 is not JSON"},
        {{"DELETE FROM audit_entry WHERE idx = 4", 0}, "audit entry 4 is missing"},
        {{"DELETE FROM audit_entry WHERE idx = 9", 0},
         "head (10 entries) does not match its entries (9)"},
        {{"UPDATE audit_entry SET idx = CASE idx WHEN 3 THEN -4 WHEN 4 THEN -3 END "
          "WHERE idx IN (3, 4)",
          0},
         "audit entry 0 is missing"},
        {{"UPDATE audit_entry SET leaf = (SELECT leaf FROM audit_entry WHERE idx = 3), "
          "hash = (SELECT hash FROM audit_entry WHERE idx = 3) WHERE idx = 4",
          0},
         "audit entry 4 carries another index"},
        {{"UPDATE audit_entry SET hash = x'00' WHERE idx = 4", 0}, "a hash of 1 bytes"},
        {{"UPDATE audit_head SET frontier = x'00'", 0}, "the head of the audit log is damaged"},
        {{"UPDATE audit_head SET size = 9, frontier = zeroblob(64)", 0}, "does not match"},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_test_db f;
        set_up(&f);
        append(&f, 10);
        static const char *const triggers[] = {"DROP TRIGGER audit_entry_update",
                                               "DROP TRIGGER audit_entry_delete",
                                               "DROP TRIGGER audit_head_update"};
        for (size_t t = 0; t < SL_LEN(triggers); t++) {
            struct sl_sql drop = {triggers[t], (int)strlen(triggers[t])};
            SL_CHECK_OK(sl_db_exec(f.db, &f.err, drop, ""), f.err);
        }
        struct sl_sql sql = {cases[i].sql.text, (int)strlen(cases[i].sql.text)};
        SL_CHECK_OK(sl_db_exec(f.db, &f.err, sql, ""), f.err);
        uint64_t size = 0;
        struct sl_digest root;
        SL_CHECK_ERR(sl_audit_verify(f.db, &size, &root, &f.err), SL_ECORRUPT, f.err,
                     cases[i].message);
        sl_test_db_close(&f);
    }
}

SL_TEST(core_audit_audit, reason__erased__leaves_the_tree_valid)
{
    struct sl_test_db f;
    set_up(&f);
    append(&f, 2);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("DELETE FROM audit_reason"), ""), f.err);
    struct row row = {0};
    SL_CHECK_EQ_INT(sl_audit_read(f.db, 1, 1, keep_row, &row, &f.err), 0);
    SL_CHECK_EQ_STR(row.reason, "-");
    uint64_t size = 0;
    struct sl_digest root;
    SL_CHECK_OK(sl_audit_verify(f.db, &size, &root, &f.err), f.err);
    sl_test_db_close(&f);
}

struct principal {
    const char *name;
    char id[SL_AUDIT_PRINCIPAL];
};

static int principal_fn(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct principal *p = arg;
    return sl_audit_principal(db, "user", p->name, p->id, err);
}

SL_TEST(core_audit_audit, principal__same_name_same_opaque_id__erasable)
{
    struct sl_test_db f;
    set_up(&f);
    struct principal a = {.name = "unix:1000:ann"}, b = {.name = "unix:1001:bob"}, c = a;
    SL_CHECK_OK(sl_db_tx(f.db, principal_fn, &a, &f.err), f.err);
    SL_CHECK_OK(sl_db_tx(f.db, principal_fn, &b, &f.err), f.err);
    SL_CHECK_OK(sl_db_tx(f.db, principal_fn, &c, &f.err), f.err);
    SL_CHECK_EQ_STR(c.id, a.id);
    SL_CHECK(strcmp(a.id, b.id) != 0);
    SL_CHECK_NULL(strstr(a.id, "ann"));
    char *name = NULL;
    SL_CHECK_OK(sl_audit_principal_name(f.db, a.id, &name, &f.err), f.err);
    SL_CHECK_EQ_STR(name, "unix:1000:ann");
    free(name);
    SL_CHECK_OK(sl_db_exec(f.db, &f.err, SL_SQL("UPDATE principal SET name = NULL"), ""), f.err);
    SL_CHECK_OK(sl_audit_principal_name(f.db, a.id, &name, &f.err), f.err);
    SL_CHECK_EQ_STR(name, a.id);
    free(name);
    sl_test_db_close(&f);
}
