/* HMAC-SHA-256 against RFC 4231, MD5 against RFC 1321. */
#include "core/base/base.h"

#include "core/base/hash.h"

#include <string.h>

#include "tests/support/sl_test.h"

static void check(const char *key, size_t key_len, const char *data, const char *expected)
{
    struct sl_digest d;
    char hex[SL_DIGEST_HEX + 1];
    sl_hmac_sha256(key, key_len, data, strlen(data), &d);
    SL_CHECK_EQ_STR(sl_digest_hex(&d, hex), expected);
}

SL_TEST(core_base_hmac, hmac__rfc_4231__equal)
{
    char key[131];
    memset(key, 0x0b, 20);
    check(key, 20, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    check("Jefe", 4, "what do ya want for nothing?",
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    check(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First",
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

SL_TEST(core_base_hmac, base64__rfc_4648__both_ways)
{
    static const char *const pairs[][2] = {{"f", "Zg=="},         {"fo", "Zm8="},
                                           {"foo", "Zm9v"},       {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < SL_LEN(pairs); i++) {
        char out[16];
        size_t n = 0;
        SL_CHECK_EQ_STR(sl_base64(pairs[i][0], strlen(pairs[i][0]), out), pairs[i][1]);
        SL_CHECK(sl_base64_decode(pairs[i][1], strlen(pairs[i][1]), out, &n));
        SL_CHECK_EQ_INT((int64_t)n, (int64_t)strlen(pairs[i][0]));
        SL_CHECK(memcmp(out, pairs[i][0], n) == 0);
    }
    static const char *const bad[] = {"", "Zg", "Zg=", "Z===", "Zg =", "====", "Z=g="};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        char out[16];
        size_t n = 0;
        SL_CHECK(!sl_base64_decode(bad[i], strlen(bad[i]), out, &n));
    }
}

SL_TEST(core_base_hmac, md5__rfc_1321__equal)
{
    char hex[SL_MD5_HEX + 1];
    struct sl_md5_ctx *c = sl_md5_new();
    SL_CHECK_EQ_STR(sl_md5_final(c, hex), "d41d8cd98f00b204e9800998ecf8427e");
    sl_md5_update(c, "message ", 8);
    sl_md5_update(c, "digest", 6);
    SL_CHECK_EQ_STR(sl_md5_final(c, hex), "f96b697d7cb7938d525a2f31aaf161d0");
    sl_md5_free(c);
}
