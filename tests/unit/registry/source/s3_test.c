/* Lists of objects and addresses. The first list is the sample of S3's API reference (ListObjectsV2). */
#include "core/base/base.h"

#include <stdlib.h>

#include "registry/source/s3_priv.h"
#include "registry/source/source_priv.h"
#include "tests/support/sl_test.h"

static const char sample[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
    "    <Name>bucket</Name>\n    <Prefix/>\n    <KeyCount>205</KeyCount>\n"
    "    <MaxKeys>1000</MaxKeys>\n    <IsTruncated>false</IsTruncated>\n"
    "    <Contents>\n        <Key>my-image.jpg</Key>\n"
    "        <LastModified>2009-10-12T17:50:30.000Z</LastModified>\n"
    "        <ETag>\"fba9dede5f27731c9771645a39863328\"</ETag>\n"
    "        <Size>434234</Size>\n        <StorageClass>STANDARD</StorageClass>\n"
    "        <Owner><ID>x</ID><DisplayName>Key</DisplayName></Owner>\n    </Contents>\n"
    "</ListBucketResult>\n";

static int list(const struct s3_object *o, void *data, struct sl_err *err)
{
    (void)err;
    sl_buf_printf(data, "%s|%s|%llu|%s\n", o->key, o->etag, (unsigned long long)o->size,
                  o->modified);
    return 0;
}

static int read_text(const char *xml, struct sl_buf *out, struct s3_page *page, struct sl_err *err)
{
    sl_buf_clear(out);
    *err = SL_ERR_INIT;
    return s3_page_read(xml, strlen(xml), list, out, page, err);
}

SL_TEST(registry_source_s3, list__sample_of_the_reference__read)
{
    struct sl_buf out = SL_BUF_INIT(4096);
    struct s3_page page;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(read_text(sample, &out, &page, &err), err);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "my-image.jpg|\"fba9dede5f27731c9771645a39863328\"|434234|"
                                      "2009-10-12T17:50:30.000Z\n");
    SL_CHECK(!page.truncated);
    sl_buf_release(&out);
}

SL_TEST(registry_source_s3, list__more_pages_and_escapes__told)
{
    struct sl_buf out = SL_BUF_INIT(4096);
    struct s3_page page;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(read_text("<ListBucketResult><Contents><Key>a&amp;b &#228;</Key><Size>0</Size>"
                          "</Contents><IsTruncated>true</IsTruncated><NextContinuationToken>t=="
                          "</NextContinuationToken></ListBucketResult>",
                          &out, &page, &err),
                err);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "a&b \xc3\xa4||0|\n");
    SL_CHECK(page.truncated);
    SL_CHECK_EQ_STR(page.next, "t==");
    sl_buf_release(&out);
}

SL_TEST(registry_source_s3, list__hostile__refused_with_reason)
{
    static const char *const cases[][2] = {
        {"", "no element found"},
        {"<html/>", "is this an S3 server"},
        {"<!DOCTYPE a [<!ENTITY b \"c\">]><ListBucketResult/>", "document type is not accepted"},
        {"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
         "without key or size"},
        {"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
         "without key or size"},
        {"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
         "does not say where"},
        {"<ListBucketResult><Contents>", "no element found"},
    };
    struct sl_buf out = SL_BUF_INIT(4096);
    struct s3_page page;
    struct sl_err err = SL_ERR_INIT;
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        SL_CHECK_ERR(read_text(cases[i][0], &out, &page, &err), SL_EINVAL, err, cases[i][1]);
    }
    sl_buf_release(&out);
}

static char *nested(int depth)
{
    struct sl_buf b = SL_BUF_INIT(65536);
    sl_buf_puts(&b, "<ListBucketResult>");
    for (int i = 1; i < depth; i++) {
        sl_buf_puts(&b, "<x>");
    }
    for (int i = 1; i < depth; i++) {
        sl_buf_puts(&b, "</x>");
    }
    sl_buf_puts(&b, "</ListBucketResult>");
    return sl_buf_take(&b);
}

static char *with_key(int len)
{
    char *key = sl_calloc(1, (size_t)len + 1);
    memset(key, 'k', (size_t)len);
    char *xml = sl_asprintf("<ListBucketResult><Contents><Key>%s</Key><Size>1</Size></Contents>"
                            "</ListBucketResult>",
                            key);
    free(key);
    return xml;
}

SL_TEST(registry_source_s3, list__limits__at_and_one_past)
{
    struct sl_buf out = SL_BUF_INIT(4096);
    struct s3_page page;
    struct sl_err err = SL_ERR_INIT;
    char *text = nested(S3_DEPTH_MAX);
    SL_CHECK_OK(read_text(text, &out, &page, &err), err);
    free(text);
    text = nested(S3_DEPTH_MAX + 1);
    SL_CHECK_ERR(read_text(text, &out, &page, &err), SL_EINVAL, err, "too deep");
    free(text);
    text = with_key(S3_KEY_MAX);
    SL_CHECK_OK(read_text(text, &out, &page, &err), err);
    free(text);
    text = with_key(S3_KEY_MAX + 1);
    SL_CHECK_ERR(read_text(text, &out, &page, &err), SL_EINVAL, err, "text is too long");
    free(text);
    sl_buf_release(&out);
}

SL_TEST(registry_source_s3, address__styles__as_the_server_wants)
{
    struct sl_arena a;
    struct sl_source_access aws = {.region = "eu-west-1"};
    struct sl_source_access own = {.endpoint = "http://127.0.0.1:9000/"};
    sl_arena_init(&a, 0);
    SL_CHECK_EQ_STR(s3_url(&aws, "bucket", "a b/c+d", NULL, &a),
                    "https://bucket.s3.eu-west-1.amazonaws.com/a%20b/c%2Bd");
    SL_CHECK_EQ_STR(s3_url(&aws, "my.bucket", "k", "v1", &a),
                    "https://s3.eu-west-1.amazonaws.com/my.bucket/k?versionId=v1");
    SL_CHECK_EQ_STR(s3_url(&own, "bucket", "k", "null", &a), "http://127.0.0.1:9000/bucket/k");
    sl_arena_release(&a);
}

SL_TEST(registry_source_s3, secrets__in_queries__seen)
{
    static const char *const with[] = {"https://h/?X-Amz-Signature=1", "https://h/x?a=b&sig=1",
                                       "https://h/?token=1", "https://h/?x_key=1",
                                       "https://h/?AccessKey=1&my-secret=2"};
    static const char *const without[] = {"https://h/", "https://h/?id=3", "https://h/?monkey=1",
                                          "https://h/sig=1"};
    for (size_t i = 0; i < SL_LEN(with); i++) {
        SL_CHECK(url_has_secret(with[i]));
    }
    for (size_t i = 0; i < SL_LEN(without); i++) {
        SL_CHECK(!url_has_secret(without[i]));
    }
}

SL_TEST(registry_source_s3, texts__of_sources__taken_apart_or_refused)
{
    struct sl_arena a;
    struct sl_source s;
    struct sl_err err = SL_ERR_INIT;
    sl_arena_init(&a, 0);
    SL_CHECK_OK(sl_source_parse("s3://bucket/a/b", &a, &s, &err), err);
    SL_CHECK_EQ_STR(s.bucket, "bucket");
    SL_CHECK_EQ_STR(s.prefix, "a/b");
    SL_CHECK_OK(sl_source_parse("s3://bucket", &a, &s, &err), err);
    SL_CHECK_EQ_STR(s.prefix, "");
    SL_CHECK_OK(sl_source_parse("HTTPS://h/x", &a, &s, &err), err);
    SL_CHECK_EQ_INT(s.kind, SL_SOURCE_HTTP);
    SL_CHECK_OK(sl_source_parse("/", &a, &s, &err), err);
    SL_CHECK_EQ_STR(s.path, "/");
    SL_CHECK_ERR(sl_source_parse("s3://x", &a, &s, &err), SL_EINVAL, err, "s3://BUCKET/PREFIX");
    SL_CHECK_ERR(sl_source_parse("s3://a?b/c", &a, &s, &err), SL_EINVAL, err, "s3://BUCKET/PREFIX");
    SL_CHECK_ERR(sl_source_parse("ftp://h/x", &a, &s, &err), SL_EINVAL, err, "is no source");
    SL_CHECK_ERR(sl_source_parse("/no/such/path", &a, &s, &err), SL_ENOTFOUND, err,
                 "cannot open '/no/such/path'");
    sl_arena_release(&a);
}
