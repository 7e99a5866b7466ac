/* Targets, request headers, answer heads. Thread: the fetcher's. Must not: connect. */
#include "core/base/base.h"

#include "core/http/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/http/fetch_priv.h"
#include "core/http/sigv4.h"

/* ---- targets ----------------------------------------------------------------------------------------- */

static int part(struct sl_fetcher *f, CURLU *u, CURLUPart what, char **ret, unsigned flags)
{
    CURLUcode code = f->curl->url_get(u, what, ret, flags);
    return code == CURLUE_OK ? 0 : -SL_EINVAL;
}

bool fetch_loopback_name(const char *host, size_t len)
{
    bool numbers = len > 4 && strncmp(host, "127.", 4) == 0 &&
                   strspn(host, "0123456789.") >= len; /* not 127.example.org */
    return numbers || (len == 9 && strncasecmp(host, "localhost", 9) == 0) ||
           (len == 5 && strncmp(host, "[::1]", 5) == 0);
}

static int take_apart(struct sl_fetcher *f, CURLU *u, struct fetch_target *t, struct sl_err *err)
{
    char *user = NULL;
    bool named = part(f, u, CURLUPART_USER, &user, 0) == 0;
    f->curl->free(user);
    if (named) {
        return sl_err_set(err, SL_EINVAL, "a URL with a user or password in it is not taken");
    }
    (void)f->curl->url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    int rc = part(f, u, CURLUPART_URL, &t->url, 0);
    rc = rc < 0 ? rc : part(f, u, CURLUPART_SCHEME, &t->scheme, 0);
    rc = rc < 0 ? rc : part(f, u, CURLUPART_HOST, &t->host, 0);
    rc = rc < 0 ? rc : part(f, u, CURLUPART_PORT, &t->port, CURLU_DEFAULT_PORT);
    rc = rc < 0 ? rc : part(f, u, CURLUPART_PATH, &t->path, 0);
    if (rc < 0 || t->host[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "the URL names no host");
    }
    (void)part(f, u, CURLUPART_QUERY, &t->query, 0);
    bool http = strcasecmp(t->scheme, "http") == 0;
    if (!http && strcasecmp(t->scheme, "https") != 0) {
        return sl_err_set(err, SL_EREFUSED, "%.20s:// is not allowed; use https", t->scheme);
    }
    /* Through a proxy the socket tells nothing about the host: its name has to. */
    bool far =
        (f->opts.allow & SL_FETCH_PROXY_ENV) != 0 && !fetch_loopback_name(t->host, strlen(t->host));
    if (http && (f->opts.allow & (far ? SL_FETCH_HTTP : SL_FETCH_HTTP | SL_FETCH_LOOPBACK)) == 0) {
        return sl_err_set(err, SL_EREFUSED, "plain http is not allowed; use https");
    }
    return 0;
}

int fetch_target_parse(struct sl_fetcher *f, const char *base, const char *url,
                       struct fetch_target *ret, struct sl_err *err)
{
    if (strlen(url) > SL_FETCH_URL_MAX) {
        return sl_err_set(err, SL_ELIMIT, "the URL is longer than %d bytes", SL_FETCH_URL_MAX);
    }
    CURLU *u = f->curl->url();
    if (u == NULL) {
        return sl_err_set(err, SL_ENOMEMORY, "no memory for a URL");
    }
    CURLUcode code = base != NULL ? f->curl->url_set(u, CURLUPART_URL, base, 0) : CURLUE_OK;
    code = code != CURLUE_OK ? code
                             : f->curl->url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    int rc = code == CURLUE_OK ? take_apart(f, u, ret, err)
                               : sl_err_set(err, SL_EINVAL, "'%.200s' is no URL", url);
    f->curl->url_cleanup(u);
    return rc;
}

void fetch_target_release(struct sl_fetcher *f, struct fetch_target *t)
{
    char *const parts[] = {t->url, t->scheme, t->host, t->port, t->path, t->query};
    for (size_t i = 0; i < SL_LEN(parts); i++) {
        f->curl->free(parts[i]);
    }
}

char *sl_fetch_url_public(const char *url, char *out)
{
    const char *scheme_end = strstr(url, "://");
    out[0] = '\0';
    if (scheme_end == NULL) {
        return out;
    }
    const char *host = scheme_end + 3;
    size_t authority = strcspn(host, "/?#");
    for (size_t i = 0; i < authority; i++) { /* whatever stands before the last @ is a secret */
        if (host[i] == '@') {
            host += i + 1;
            authority -= i + 1;
            i = (size_t)-1;
        }
    }
    (void)snprintf(out, SL_FETCH_URL_MAX + 1, "%.*s://%.*s", (int)SL_MIN(scheme_end - url, 20), url,
                   (int)SL_MIN(strcspn(host, "?#"), (size_t)SL_FETCH_URL_MAX - 30), host);
    return out;
}

/* ---- request headers --------------------------------------------------------------------------------- */

static bool add(struct sl_fetcher *f, struct curl_slist **list, const char *name, const char *value)
{
    _cleanup_(free)
    char *line = value[0] != '\0' ? sl_asprintf("%s: %s", name, value) : sl_asprintf("%s;", name);
    struct curl_slist *more = f->curl->slist_append(*list, line);
    if (more == NULL) {
        return false;
    }
    *list = more;
    return true;
}

static int sign(struct sl_fetcher *f, const struct fetch_target *t, struct curl_slist **list,
                struct sl_err *err)
{
    const struct sl_aws *aws = f->req->aws;
    bool own_port = !sl_streq(t->port, strcasecmp(t->scheme, "https") == 0 ? "443" : "80");
    _cleanup_(free)
    char *host = own_port ? sl_asprintf("%s:%s", t->host, t->port) : sl_strdup(t->host);
    char date[SL_SIGV4_DATE];
    char hash[SL_DIGEST_HEX + 1];
    struct sl_digest digest;
    sl_sha256(f->req->body.ptr != NULL ? f->req->body.ptr : "", f->req->body.len, &digest);
    sl_digest_hex(&digest, hash);
    bool token = aws->session_token != NULL && aws->session_token[0] != '\0';
    const char *const headers[] = {"host",
                                   host,
                                   "x-amz-content-sha256",
                                   hash,
                                   "x-amz-date",
                                   sl_sigv4_date(sl_now_ms(), date),
                                   token ? "x-amz-security-token" : NULL,
                                   aws->session_token,
                                   NULL};
    struct sl_sigv4_request r = {.method = f->req->method,
                                 .path = t->path,
                                 .query = t->query,
                                 .headers = headers,
                                 .payload_hash = hash,
                                 .amz_date = date};
    _cleanup_(buf)
    struct sl_buf value = SL_BUF_INIT(SL_FETCH_HEAD_BYTES_MAX);
    int rc = sl_sigv4_sign(aws, &r, &value, err);
    if (rc < 0) {
        return rc;
    }
    bool ok = add(f, list, "Authorization", sl_buf_str(&value));
    for (size_t i = 0; headers[i] != NULL; i += 2) {
        ok = ok && add(f, list, headers[i], headers[i + 1]);
    }
    return ok ? 0 : sl_err_set(err, SL_ENOMEMORY, "no memory for headers");
}

/* What may follow a redirect to another host: nothing that could authenticate. */
static bool harmless(const char *name)
{
    return strcasecmp(name, "Range") == 0 || strcasecmp(name, "Accept") == 0 ||
           strncasecmp(name, "If-", 3) == 0;
}

struct curl_slist *fetch_headers(struct sl_fetcher *f, const struct fetch_target *t, bool foreign,
                                 struct sl_err *err)
{
    struct curl_slist *list = NULL;
    bool ok = add(f, &list, "User-Agent", "sluice");
    struct curl_slist *plain = ok ? f->curl->slist_append(list, "Expect:") : NULL; /* send none */
    ok = ok && plain != NULL;
    for (const char *const *h = f->req->headers; ok && h != NULL && h[0] != NULL; h += 2) {
        if (!foreign || harmless(h[0])) {
            ok = add(f, &list, h[0], h[1]);
        }
    }
    int rc = ok ? 0 : sl_err_set(err, SL_ENOMEMORY, "no memory for headers");
    rc = rc < 0 || f->req->aws == NULL ? rc : sign(f, t, &list, err);
    if (rc < 0) {
        f->curl->slist_free_all(list);
        return NULL;
    }
    return list;
}

/* ---- answer heads ------------------------------------------------------------------------------------ */

static void copy(char *out, size_t size, const char *value, size_t len)
{
    if (len < size) { /* a cut ETag or URL would be another one: better none */
        memcpy(out, value, len);
        out[len] = '\0';
    }
}

static int64_t number(const char *text, size_t len)
{
    char copy_of[24];
    int64_t n = -1;
    if (len == 0 || len >= sizeof(copy_of)) {
        return -1;
    }
    memcpy(copy_of, text, len);
    copy_of[len] = '\0';
    return sl_parse_i64(copy_of, &n) && n >= 0 ? n : -1;
}

/* "bytes 100-199/1000", "bytes 0-9/", "bytes 0-9/[*]", "bytes [*]/1000" (brackets not in the text). */
static void content_range(struct sl_fetch_head *h, const char *value, size_t len)
{
    const char *end = value + len;
    if (len < 6 || strncasecmp(value, "bytes ", 6) != 0) {
        return;
    }
    value += 6;
    const char *slash = memchr(value, '/', (size_t)(end - value));
    const char *dash = memchr(value, '-', (size_t)(end - value));
    if (slash == NULL) {
        return;
    }
    h->range_total = number(slash + 1, (size_t)(end - slash - 1));
    if (dash != NULL && dash < slash) {
        h->range_from = number(value, (size_t)(dash - value));
    }
}

static void retry_after(struct sl_fetcher *f, const char *value, size_t len)
{
    int64_t s = number(value, len);
    if (s >= 0) {
        f->answer->head.retry_after_ms = SL_MIN(s, (int64_t)1000000) * 1000;
        return;
    }
    _cleanup_(free)
    char *text = sl_strndup(value, len);
    time_t when = f->curl->getdate(text, NULL);
    if (when > 0) {
        int64_t ms = (int64_t)when * 1000 - sl_now_ms();
        f->answer->head.retry_after_ms = SL_MAX(ms, (int64_t)0);
    }
}

void fetch_head_line(struct sl_fetcher *f, const char *line, size_t len)
{
    static const struct sl_fetch_head blank = {
        .length = -1, .range_from = -1, .range_total = -1, .retry_after_ms = -1};
    struct sl_fetch_head *h = &f->answer->head;
    if (len > 9 && strncasecmp(line, "HTTP/", 5) == 0) { /* also after a 100 */
        const char *blank_at = memchr(line, ' ', len);
        *h = blank;
        f->location[0] = '\0';
        h->status =
            blank_at != NULL
                ? (int)number(blank_at + 1, SL_MIN((size_t)3, len - (size_t)(blank_at + 1 - line)))
                : 0;
        return;
    }
    const char *colon = memchr(line, ':', len);
    if (colon == NULL) {
        return;
    }
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1;
    size_t n = len - name - 1;
    while (n > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        n--;
    }
    while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t')) {
        n--;
    }
#define IS(text) (name == sizeof(text) - 1 && strncasecmp(line, text, name) == 0)
    if (IS("Content-Length")) {
        h->length = number(value, n);
    } else if (IS("Content-Range")) {
        content_range(h, value, n);
    } else if (IS("ETag")) {
        copy(h->etag, sizeof(h->etag), value, n);
    } else if (IS("Last-Modified")) {
        copy(h->last_modified, sizeof(h->last_modified), value, n);
    } else if (IS("Location")) {
        copy(f->location, sizeof(f->location), value, n);
    } else if (IS("Content-Type")) {
        copy(h->content_type, sizeof(h->content_type), value, n);
    } else if (IS("Retry-After")) {
        retry_after(f, value, n);
    } else if (IS("x-amz-version-id")) {
        copy(h->version_id, sizeof(h->version_id), value, n);
    } else if (IS("x-amz-checksum-sha256")) {
        copy(h->sha256, sizeof(h->sha256), value, n);
    } else if (IS("x-amz-server-side-encryption")) {
        copy(h->encryption, sizeof(h->encryption), value, n);
    }
#undef IS
}
