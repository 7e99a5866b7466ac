/* What is remembered of a source. Thread: any. Must not: hold a secret. */
#include "core/base/base.h"

#include <strings.h>

#include "core/base/time.h"
#include "registry/source/source_priv.h"

const char *sl_source_kind_name(enum sl_source_kind kind)
{
    static const char *const names[] = {"path", "http", "s3"};
    return names[kind];
}

bool url_has_secret(const char *url)
{
    static const char *const words[] = {
        "access_token", "api_key", "apikey", "auth", "credential", "key",   "pass",
        "password",     "sas",     "secret", "sig",  "signature",  "token", "x-amz-signature"};
    const char *at = strchr(url, '?');
    while (at != NULL) {
        at++;
        size_t n = strcspn(at, "=&");
        for (size_t i = 0; i < SL_LEN(words); i++) {
            size_t len = strlen(words[i]);
            if ((n == len && strncasecmp(at, words[i], n) == 0) ||
                (n > len && (at[n - len - 1] == '-' || at[n - len - 1] == '_') &&
                 strncasecmp(at + n - len, words[i], len) == 0)) {
                return true;
            }
        }
        at = strchr(at, '&');
    }
    return false;
}

static void put_text(json_t *o, const char *key, const char *value)
{
    sl_json_set_str(o, key, value != NULL && value[0] != '\0' ? value : NULL);
}

static json_t *object_json(const struct object *from, bool s3)
{
    char hex[SL_DIGEST_HEX + 1];
    json_t *o = json_object();
    sl_json_set_str(o, "path", from->path);
    if (s3) {
        sl_json_set_str(o, "key", from->key);
    }
    put_text(o, "etag", from->result.etag);
    put_text(o, "version_id", from->result.version_id);
    put_text(o, "modified", from->result.modified);
    sl_json_set_i64(o, "size", (int64_t)from->result.size);
    sl_json_set_str(o, "sha256", sl_digest_hex(&from->result.sha256, hex));
    return o;
}

static void put_source(json_t *r, const struct sl_source *s)
{
    if (s->kind == SL_SOURCE_PATH) {
        sl_json_set_str(r, "source", s->path);
    } else if (s->kind == SL_SOURCE_S3) {
        _cleanup_(buf)
        struct sl_buf text = SL_BUF_INIT(SL_SOURCE_TEXT_MAX);
        sl_buf_printf(&text, "s3://%s/%s", s->bucket, s->prefix);
        sl_json_set_str(r, "source", sl_buf_str(&text));
    } else {
        char plain[SL_FETCH_URL_MAX + 1];
        bool secret = url_has_secret(s->url);
        sl_json_set_str(r, "source", secret ? NULL : s->url);
        sl_json_set_str(r, "address", sl_fetch_url_public(s->url, plain));
    }
}

static void put_allowed(json_t *r, unsigned allow)
{
    json_t *list = json_array();
    if ((allow & SL_FETCH_HTTP) != 0) {
        json_array_append_new(list, json_string("http"));
    }
    if ((allow & SL_FETCH_PRIVATE) != 0) {
        json_array_append_new(list, json_string("private"));
    }
    json_object_set_new(r, "allow", list);
}

void sl_source_record_access(const json_t *record, struct sl_source_access *ret)
{
    size_t i = 0;
    json_t *v = NULL;
    memset(ret, 0, sizeof(*ret));
    ret->fetch.allow = SL_FETCH_LOOPBACK;
    json_array_foreach (json_object_get(record, "allow"), i, v) {
        const char *text = json_string_value(v);
        ret->fetch.allow |= text == NULL                ? 0u
                            : sl_streq(text, "http")    ? (unsigned)SL_FETCH_HTTP
                            : sl_streq(text, "private") ? (unsigned)SL_FETCH_PRIVATE
                                                        : 0u;
    }
    ret->fetch.ca_file = sl_json_str(record, "ca_file", NULL);
    ret->region = sl_json_str(record, "region", NULL);
    ret->endpoint = sl_json_str(record, "endpoint", NULL);
}

json_t *record_new(const struct sl_import_opts *opts, const struct object *objects, size_t n)
{
    char time[SL_TIME_TEXT];
    json_t *r = json_object();
    bool s3 = opts->source.kind == SL_SOURCE_S3;
    sl_json_set_str(r, "format", SL_SOURCE_FORMAT);
    sl_json_set_str(r, "kind", sl_source_kind_name(opts->source.kind));
    put_source(r, &opts->source);
    if (s3 && opts->access != NULL) {
        sl_json_set_str(r, "endpoint", opts->access->endpoint);
        sl_json_set_str(r, "region", opts->access->region);
        sl_json_set_str(r, "credentials", opts->credentials);
    }
    if (opts->source.kind != SL_SOURCE_PATH) {
        unsigned allow = opts->access->fetch.allow;
        put_allowed(r, allow & (SL_FETCH_HTTP | SL_FETCH_PRIVATE));
        sl_json_set_str(r, "ca_file", opts->access->fetch.ca_file);
    }
    sl_json_set_bool(r, "extract", opts->extract);
    sl_json_set_bool(r, "reference", opts->reference);
    sl_json_set_str(r, "as", opts->as);
    sl_json_set_str(r, "imported_at", sl_time_format(sl_now_ms(), time));
    sl_json_set_str(r, "tool", opts->tool != NULL ? opts->tool : "sluice");
    if (opts->n_exclude > 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < opts->n_exclude; i++) {
            json_array_append_new(list, json_string(opts->exclude[i]));
        }
        json_object_set_new(r, "exclude", list);
    }
    json_t *list = json_array();
    for (size_t i = 0; i < n && (opts->reference || n <= SL_SOURCE_PINS_MAX); i++) {
        json_array_append_new(list, object_json(&objects[i], s3));
    }
    json_object_set_new(r, "objects", list);
    return r;
}

int sl_source_record_check(const json_t *record, struct sl_err *err)
{
    const char *kind = sl_json_str(record, "kind", "");
    bool known = sl_streq(kind, "path") || sl_streq(kind, "http") || sl_streq(kind, "s3");
    if (!sl_streq(sl_json_str(record, "format", ""), SL_SOURCE_FORMAT) || !known ||
        !json_is_array(json_object_get(record, "objects"))) {
        return sl_err_set(err, SL_EINVAL, "no record of a source (%s)", SL_SOURCE_FORMAT);
    }
    const char *source = sl_json_str(record, "source", "");
    if (sl_streq(kind, "http") && url_has_secret(source)) {
        return sl_err_set(err, SL_EINVAL, "the record of a source must not hold a secret");
    }
    return strlen(source) <= SL_SOURCE_TEXT_MAX
               ? 0
               : sl_err_set(err, SL_ELIMIT, "a source is longer than %d bytes", SL_SOURCE_TEXT_MAX);
}
