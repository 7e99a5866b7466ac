/** Digests against published vectors. */
#include "core/base/base.h"

#include "core/base/hash.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/sl_test.h"

/* FIPS 180-2 appendix B and the NIST examples page. */
static const struct {
    const char *text, *hex;
} sha_vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

SL_TEST(core_base_hash, sha256__nist_vectors__match)
{
    for (size_t i = 0; i < SL_LEN(sha_vectors); i++) {
        struct sl_digest d;
        char hex[SL_DIGEST_HEX + 1];
        sl_sha256(sha_vectors[i].text, strlen(sha_vectors[i].text), &d);
        SL_CHECK_EQ_STR(sl_digest_hex(&d, hex), sha_vectors[i].hex);
    }
}

SL_TEST(core_base_hash, sha256__million_a_in_uneven_pieces__matches_nist)
{
    struct sl_sha256_ctx *c = sl_sha256_new();
    char piece[997];
    memset(piece, 'a', sizeof(piece));
    for (size_t left = 1000000; left > 0;) {
        size_t n = SL_MIN(left, sizeof(piece));
        sl_sha256_update(c, piece, n);
        left -= n;
    }
    struct sl_digest d;
    char hex[SL_DIGEST_HEX + 1];
    sl_sha256_final(c, &d);
    SL_CHECK_EQ_STR(sl_digest_hex(&d, hex),
                    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    sl_sha256_update(c, "abc", 3); /* reusable */
    sl_sha256_final(c, &d);
    SL_CHECK_EQ_STR(sl_digest_hex(&d, hex), sha_vectors[1].hex);
    sl_sha256_free(c);
    sl_sha256_free(NULL);
}

SL_TEST(core_base_hash, digest_parse__accepts_lowercase_with_or_without_prefix_only)
{
    struct sl_digest d, e;
    char text[100];
    SL_CHECK(sl_digest_parse(sha_vectors[1].hex, &d));
    (void)snprintf(text, sizeof(text), "sha256:%s", sha_vectors[1].hex);
    SL_CHECK(sl_digest_parse(text, &e));
    SL_CHECK(sl_digest_eq(&d, &e));
    SL_CHECK(!sl_digest_is_zero(&d));
    (void)snprintf(text, sizeof(text), "%s0", sha_vectors[1].hex);
    SL_CHECK(!sl_digest_parse(text, &e));
    text[63] = '\0';
    SL_CHECK(!sl_digest_parse(text, &e));
    SL_CHECK(!sl_digest_parse("", &e));
    SL_CHECK(
        !sl_digest_parse("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", &e));
}

SL_TEST(core_base_hash, xxh3__reference_values__match)
{
    /* XXH3_64bits of "" and of single texts, as printed by `xxhsum -H3`. */
    SL_CHECK_EQ_UINT(sl_xxh3("", 0), UINT64_C(0x2d06800538d394c2));
    SL_CHECK_EQ_UINT(sl_xxh3("a", 1), UINT64_C(0xe6c632b61e964e1f));
    SL_CHECK_EQ_UINT(sl_xxh3("abc", 3), UINT64_C(0x78af5f94892f3950));
}
