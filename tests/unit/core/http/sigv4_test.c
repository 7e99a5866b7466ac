/* Signature Version 4 against the examples that AWS publishes (S3 API reference, "Signature Calculations
 * for the Authorization Header"; aws-sig-v4-test-suite get-vanilla). */
#include "core/base/base.h"

#include "core/http/sigv4.h"

#include "tests/support/sl_test.h"

static const struct sl_aws s3 = {.access_key = "AKIAIOSFODNN7EXAMPLE",
                                 .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                 .region = "us-east-1",
                                 .service = "s3"};

static void check(const struct sl_aws *aws, const struct sl_sigv4_request *r, const char *signature)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf out = SL_BUF_INIT(4096);
    SL_CHECK_EQ_INT(sl_sigv4_sign(aws, r, &out, &err), 0);
    SL_CHECK(sl_ends_with(sl_buf_str(&out), signature));
    sl_buf_release(&out);
}

SL_TEST(core_http_sigv4, s3_get_object__equal)
{
    static const char *const headers[] = {"Host",
                                          "examplebucket.s3.amazonaws.com",
                                          "Range",
                                          "bytes=0-9",
                                          "x-amz-content-sha256",
                                          SL_SIGV4_EMPTY_HASH,
                                          "x-amz-date",
                                          "20130524T000000Z",
                                          NULL};
    struct sl_sigv4_request r = {"GET",   "/test.txt",         NULL,
                                 headers, SL_SIGV4_EMPTY_HASH, "20130524T000000Z"};
    check(&s3, &r,
          "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature="
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

SL_TEST(core_http_sigv4, s3_put_object__equal)
{
    static const char hash[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    static const char *const headers[] = {"Host",
                                          "examplebucket.s3.amazonaws.com",
                                          "Date",
                                          "Fri, 24 May 2013 00:00:00 GMT",
                                          "x-amz-date",
                                          "20130524T000000Z",
                                          "x-amz-storage-class",
                                          "REDUCED_REDUNDANCY",
                                          "x-amz-content-sha256",
                                          hash,
                                          NULL};
    struct sl_sigv4_request r = {"PUT", "/test%24file.text", NULL, headers,
                                 hash,  "20130524T000000Z"};
    check(&s3, &r, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

SL_TEST(core_http_sigv4, s3_queries__equal)
{
    static const char *const headers[] = {"Host",
                                          "examplebucket.s3.amazonaws.com",
                                          "x-amz-date",
                                          "20130524T000000Z",
                                          "x-amz-content-sha256",
                                          SL_SIGV4_EMPTY_HASH,
                                          NULL};
    struct sl_sigv4_request r = {
        "GET", "/", "lifecycle", headers, SL_SIGV4_EMPTY_HASH, "20130524T000000Z"};
    check(&s3, &r, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    r.query = "prefix=J&max-keys=2"; /* sorted for signing */
    check(&s3, &r, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

SL_TEST(core_http_sigv4, suite_get_vanilla__equal)
{
    static const struct sl_aws aws = {.access_key = "AKIDEXAMPLE",
                                      .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                      .region = "us-east-1",
                                      .service = "service"};
    static const char *const headers[] = {"Host", "example.amazonaws.com", "X-Amz-Date",
                                          "20150830T123600Z", NULL};
    struct sl_sigv4_request r = {
        "GET", "/", NULL, headers, SL_SIGV4_EMPTY_HASH, "20150830T123600Z"};
    check(&aws, &r, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

SL_TEST(core_http_sigv4, date__from_time__basic_form)
{
    char out[SL_SIGV4_DATE];
    SL_CHECK_EQ_STR(sl_sigv4_date(1369353600000, out), "20130524T000000Z");
}

SL_TEST(core_http_sigv4, without_host__refused)
{
    static const char *const headers[] = {"X-Amz-Date", "20150830T123600Z", NULL};
    struct sl_sigv4_request r = {
        "GET", "/", NULL, headers, SL_SIGV4_EMPTY_HASH, "20150830T123600Z"};
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf out = SL_BUF_INIT(4096);
    SL_CHECK_EQ_INT(sl_sigv4_sign(&s3, &r, &out, &err), -SL_EINVAL);
    SL_CHECK_EQ_STR(err.msg, "a signature covers the header Host");
    sl_buf_release(&out);
}
