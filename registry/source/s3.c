/* See s3.h. The XML is read by expat with everything dangerous refused. */
#include "core/base/base.h"

#include "registry/source/s3_priv.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/http/url.h"

#define TEXT_MAX 4096

enum field { F_NONE, F_KEY, F_ETAG, F_SIZE, F_MODIFIED, F_TRUNCATED, F_NEXT };

struct reader {
    XML_Parser parser;
    s3_object_fn fn;
    void *data;
    struct s3_page page;
    struct sl_err *err;
    int rc;
    int depth;
    bool is_list, in_object;
    enum field field;
    char text[TEXT_MAX + 1];
    size_t len;
    char key[S3_KEY_MAX + 1], etag[256], modified[64], size[24];
};

static void stop(struct reader *r, int rc)
{
    r->rc = r->rc != 0 ? r->rc : rc;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

static void refuse(struct reader *r, const char *what)
{
    stop(r, sl_err_set(r->err, SL_EINVAL, "the list of objects, line %lu: %s",
                       (unsigned long)XML_GetCurrentLineNumber(r->parser), what));
}

static enum field field_of(const struct reader *r, const char *name)
{
    static const struct {
        const char *name;
        bool in_object;
        enum field field;
    } fields[] = {{"ETag", true, F_ETAG},
                  {"IsTruncated", false, F_TRUNCATED},
                  {"Key", true, F_KEY},
                  {"LastModified", true, F_MODIFIED},
                  {"NextContinuationToken", false, F_NEXT},
                  {"Size", true, F_SIZE}};
    for (size_t i = 0; i < SL_LEN(fields); i++) {
        if (sl_streq(fields[i].name, name) && fields[i].in_object == r->in_object &&
            r->depth == (r->in_object ? 3 : 2)) {
            return fields[i].field;
        }
    }
    return F_NONE;
}

static void begin(void *data, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = data;
    (void)attributes;
    r->depth++;
    if (r->depth > S3_DEPTH_MAX) {
        refuse(r, "elements lie too deep");
    } else if (r->depth == 1) {
        r->is_list = sl_streq(name, "ListBucketResult");
        if (!r->is_list) {
            refuse(r, "no ListBucketResult; is this an S3 server?");
        }
    } else if (r->depth == 2 && sl_streq(name, "Contents")) {
        r->in_object = true;
        r->key[0] = r->etag[0] = r->modified[0] = r->size[0] = '\0';
    } else {
        r->field = field_of(r, name);
        r->len = 0;
        r->text[0] = '\0';
    }
}

static void characters(void *data, const XML_Char *text, int len)
{
    struct reader *r = data;
    if (r->field == F_NONE) {
        return;
    }
    if (r->len + (size_t)len > TEXT_MAX) {
        refuse(r, "a text is too long");
        return;
    }
    memcpy(r->text + r->len, text, (size_t)len);
    r->len += (size_t)len;
    r->text[r->len] = '\0';
}

static void keep(struct reader *r, char *out, size_t size)
{
    if (r->len >= size) {
        refuse(r, "a text is too long");
        return;
    }
    memcpy(out, r->text, r->len + 1);
}

static void end_object(struct reader *r)
{
    struct s3_object o = {.key = r->key, .etag = r->etag, .modified = r->modified};
    r->in_object = false;
    if (r->key[0] == '\0' || !sl_parse_u64(r->size, &o.size)) {
        refuse(r, "an object without key or size");
        return;
    }
    int rc = r->fn(&o, r->data, r->err);
    if (rc < 0) {
        stop(r, rc);
    }
}

static void end(void *data, const XML_Char *name)
{
    struct reader *r = data;
    switch (r->field) {
    case F_KEY: keep(r, r->key, sizeof(r->key)); break;
    case F_ETAG: keep(r, r->etag, sizeof(r->etag)); break;
    case F_SIZE: keep(r, r->size, sizeof(r->size)); break;
    case F_MODIFIED: keep(r, r->modified, sizeof(r->modified)); break;
    case F_TRUNCATED: r->page.truncated = sl_streq(r->text, "true"); break;
    case F_NEXT: keep(r, r->page.next, sizeof(r->page.next)); break;
    case F_NONE: break;
    }
    r->field = F_NONE;
    if (r->depth == 2 && r->in_object && sl_streq(name, "Contents") && r->rc == 0) {
        end_object(r);
    }
    r->depth--;
}

static void doctype(void *data, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid,
                    int internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)internal;
    refuse(data, "a document type is not accepted");
}

int s3_page_read(const char *xml, size_t len, s3_object_fn fn, void *data, struct s3_page *ret,
                 struct sl_err *err)
{
    struct sl_err local = SL_ERR_INIT;
    if (len > S3_PAGE_BYTES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a list of objects is longer than %zu bytes",
                          S3_PAGE_BYTES_MAX);
    }
    struct reader *r = SL_NEW(struct reader);
    r->fn = fn;
    r->data = data;
    r->err = err != NULL ? err : &local;
    r->parser = XML_ParserCreate(NULL);
    SL_ASSERT(r->parser != NULL);
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, begin, end);
    XML_SetCharacterDataHandler(r->parser, characters);
    XML_SetStartDoctypeDeclHandler(r->parser, doctype);
    enum XML_Status status = XML_Parse(r->parser, xml, (int)len, XML_TRUE);
    int rc = r->rc;
    if (rc == 0 && status != XML_STATUS_OK) {
        rc = sl_err_set(err, SL_EINVAL, "the list of objects, line %lu: %s",
                        (unsigned long)XML_GetCurrentLineNumber(r->parser),
                        XML_ErrorString(XML_GetErrorCode(r->parser)));
    }
    if (rc == 0 && r->page.truncated && r->page.next[0] == '\0') {
        rc = sl_err_set(err, SL_EINVAL, "the list of objects goes on but does not say where");
    }
    if (rc == 0) {
        *ret = r->page;
    }
    XML_ParserFree(r->parser);
    free(r);
    return rc;
}

/* ---- addresses ---------------------------------------------------------------------------------------- */

static void put_key(struct sl_buf *out, const char *key)
{
    while (*key != '\0') {
        size_t n = strcspn(key, "/");
        _cleanup_(free)
        char *part = sl_strndup(key, n);
        sl_url_encode(out, part);
        key += n;
        if (*key == '/') {
            sl_buf_putc(out, '/');
            key++;
        }
    }
}

static void put_bucket(const struct sl_source_access *access, const char *bucket,
                       struct sl_buf *out)
{
    const char *region = access->region != NULL ? access->region : "us-east-1";
    if (access->endpoint != NULL) {
        size_t n = strlen(access->endpoint);
        n -= n > 0 && access->endpoint[n - 1] == '/' ? 1 : 0;
        sl_buf_add(out, access->endpoint, n);
        sl_buf_printf(out, "/%s/", bucket);
    } else if (strchr(bucket, '.') != NULL) { /* a certificate covers one label */
        sl_buf_printf(out, "https://s3.%s.amazonaws.com/%s/", region, bucket);
    } else {
        sl_buf_printf(out, "https://%s.s3.%s.amazonaws.com/", bucket, region);
    }
}

const char *s3_url(const struct sl_source_access *access, const char *bucket, const char *key,
                   const char *version_id, struct sl_arena *a)
{
    _cleanup_(buf)
    struct sl_buf url = SL_BUF_INIT(SL_FETCH_URL_MAX);
    put_bucket(access, bucket, &url);
    put_key(&url, key);
    if (version_id != NULL && version_id[0] != '\0' && !sl_streq(version_id, "null")) {
        sl_buf_puts(&url, "?versionId=");
        sl_url_encode(&url, version_id);
    }
    return sl_arena_strdup(a, sl_buf_str(&url));
}

/* ---- listing ------------------------------------------------------------------------------------------ */

struct filter {
    const char *prefix;
    size_t len;
    s3_object_fn fn;
    void *data;
};

/* "data" means the object "data" and what lies below "data/", not "database". */
static int pass(const struct s3_object *o, void *data, struct sl_err *err)
{
    const struct filter *f = data;
    bool below = f->len == 0 || f->prefix[f->len - 1] == '/' || o->key[f->len] == '/' ||
                 o->key[f->len] == '\0';
    bool marker = o->size == 0 && sl_ends_with(o->key, "/"); /* how consoles make "folders" */
    if (strncmp(o->key, f->prefix, f->len) != 0 || !below || marker) {
        return 0;
    }
    return f->fn(o, f->data, err);
}

static int list_page(struct sl_fetcher *f, const struct sl_source_access *access, const char *url,
                     struct filter *filter, struct s3_page *ret, struct sl_err *err)
{
    struct sl_fetch_answer answer;
    struct sl_fetch req = {
        .method = "GET", .url = url, .aws = access->aws, .body_max = S3_PAGE_BYTES_MAX};
    int rc = sl_fetch(f, &req, &answer, err);
    rc = rc < 0 ? rc : sl_fetch_error(&req, &answer, err);
    rc = rc < 0 ? rc
                : s3_page_read(sl_buf_str(&answer.body), answer.body.len, pass, filter, ret, err);
    sl_fetch_answer_release(&answer);
    return rc;
}

int s3_list(struct sl_fetcher *f, const struct sl_source_access *access,
            const struct sl_source *source, s3_object_fn fn, void *data, struct sl_err *err)
{
    struct filter filter = {source->prefix, strlen(source->prefix), fn, data};
    struct s3_page *page = SL_NEW(struct s3_page);
    int rc = 0;
    for (int n = 0; rc == 0; n++) {
        _cleanup_(buf)
        struct sl_buf url = SL_BUF_INIT(SL_FETCH_URL_MAX);
        put_bucket(access, source->bucket, &url);
        sl_buf_puts(&url, "?list-type=2&max-keys=1000&prefix=");
        sl_url_encode(&url, source->prefix);
        if (page->next[0] != '\0') {
            sl_buf_puts(&url, "&continuation-token=");
            sl_url_encode(&url, page->next);
        }
        if (n >= S3_PAGES_MAX || url.overflow) {
            rc = sl_err_set(err, SL_ELIMIT, "s3://%s/%s has more than %d pages of objects",
                            source->bucket, source->prefix, S3_PAGES_MAX);
            break;
        }
        rc = list_page(f, access, sl_buf_str(&url), &filter, page, err);
        if (rc == 0 && !page->truncated) {
            break;
        }
    }
    free(page);
    return rc;
}
