/**
 * The tree against published values and against a direct transcription of RFC 6962 §2.1.
 */
#include "core/base/base.h"

#include <stdlib.h>

#include "core/audit/merkle.h"
#include "tests/support/sl_test.h"

#define PROOF_TREES 40

/* The eight leaves used by the Certificate Transparency reference implementations' tests. */
static const struct {
    const char *bytes;
    size_t len;
} leaves[] = {{"", 0},
              {"\x00", 1},
              {"\x10", 1},
              {"\x20\x21", 2},
              {"\x30\x31", 2},
              {"\x40\x41\x42\x43", 4},
              {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
              {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16}};

static void check_root(const struct sl_merkle_frontier *f, const char *hex)
{
    struct sl_digest root;
    char text[SL_DIGEST_HEX + 1];
    sl_merkle_root(f, &root);
    SL_CHECK_EQ_STR(sl_digest_hex(&root, text), hex);
}

SL_TEST(core_audit_merkle, root__published_leaves__published_roots)
{
    static const char *const roots[] = {
        [0] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        [1] = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        [2] = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        [3] = "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        [4] = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        [5] = "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        [6] = "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        [7] = "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        [8] = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    struct sl_merkle_frontier f = {0};
    check_root(&f, roots[0]);
    for (size_t i = 0; i < SL_LEN(leaves); i++) {
        struct sl_digest hash;
        sl_merkle_leaf(leaves[i].bytes, leaves[i].len, &hash);
        SL_CHECK_EQ_INT(sl_merkle_push(&f, &hash, NULL, NULL), 0);
        check_root(&f, roots[i + 1]);
    }
}

SL_TEST(core_audit_merkle, leaf__around_the_inline_size__is_prefix_and_bytes)
{
    uint8_t bytes[5000];
    memset(bytes, 7, sizeof(bytes));
    bytes[0] = 0;
    for (size_t len = 2040; len < 2060; len++) {
        struct sl_digest expected, got;
        sl_sha256(bytes, len + 1, &expected); /* a zero byte, then len times 7 */
        sl_merkle_leaf(bytes + 1, len, &got);
        SL_CHECK(sl_digest_eq(&expected, &got));
    }
}

/* MTH and PATH as the RFC writes them, on leaf hashes. */
static size_t split(size_t n)
{
    size_t k = 1;
    while (k * 2 < n) {
        k *= 2;
    }
    return k;
}

static struct sl_digest mth(const struct sl_digest *d, size_t n)
{
    if (n == 1) {
        return d[0];
    }
    size_t k = split(n);
    struct sl_digest left = mth(d, k), right = mth(d + k, n - k), out;
    sl_merkle_node(&left, &right, &out);
    return out;
}

static void path(size_t m, const struct sl_digest *d, size_t n, struct sl_merkle_proof *p)
{
    if (n == 1) {
        return;
    }
    size_t k = split(n);
    if (m < k) {
        path(m, d, k, p);
        p->path[p->n++] = mth(d + k, n - k);
    } else {
        path(m - k, d + k, n - k, p);
        p->path[p->n++] = mth(d, k);
    }
}

static void make_leaves(struct sl_digest *d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sl_merkle_leaf(&i, sizeof(i), &d[i]);
    }
}

SL_TEST(core_audit_merkle, push__any_size__equals_the_definition)
{
    struct sl_digest d[300];
    make_leaves(d, SL_LEN(d));
    struct sl_merkle_frontier f = {0};
    for (size_t i = 0; i < SL_LEN(d); i++) {
        SL_CHECK_EQ_INT(sl_merkle_push(&f, &d[i], NULL, NULL), 0);
        struct sl_digest root, expected = mth(d, i + 1);
        sl_merkle_root(&f, &root);
        SL_CHECK_MSG(sl_digest_eq(&root, &expected), "size %zu", i + 1);
    }
}

SL_TEST(core_audit_merkle, verify__every_proof_holds__every_mutation_fails)
{
    struct sl_digest d[PROOF_TREES];
    make_leaves(d, SL_LEN(d));
    for (size_t n = 1; n <= PROOF_TREES; n++) {
        struct sl_digest root = mth(d, n);
        for (size_t m = 0; m < n; m++) {
            struct sl_merkle_proof p = {.index = m, .size = n};
            path(m, d, n, &p);
            SL_CHECK_MSG(sl_merkle_verify(&p, &d[m], &root), "leaf %zu of %zu", m, n);
            SL_CHECK(!sl_merkle_verify(&p, &d[(m + 1) % PROOF_TREES], &root));
            struct sl_merkle_proof bad = p;
            bad.index = n; /* beyond the tree */
            SL_CHECK(!sl_merkle_verify(&bad, &d[m], &root));
            bad = p;
            bad.n++; /* longer */
            SL_CHECK(!sl_merkle_verify(&bad, &d[m], &root));
            if (p.n > 0) {
                bad = p;
                bad.n--; /* shorter */
                SL_CHECK(!sl_merkle_verify(&bad, &d[m], &root));
                bad = p;
                bad.path[p.n / 2].b[5] ^= 1;
                SL_CHECK(!sl_merkle_verify(&bad, &d[m], &root));
                bad = p;
                bad.index = m ^ 1;
                SL_CHECK(!sl_merkle_verify(&bad, &d[m], &root));
            }
        }
    }
    struct sl_merkle_proof empty = {.index = 0, .size = 0};
    SL_CHECK(!sl_merkle_verify(&empty, &d[0], &d[0]));
}
