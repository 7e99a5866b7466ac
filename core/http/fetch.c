/**
 * One request over libcurl: options, callbacks, hops. See fetch.h.
 *
 * Thread: the fetcher's. Must not: trust a name once it is resolved; connect before the address was judged.
 */
#include "core/base/base.h"

#include "core/http/fetch.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/http/fetch_priv.h"
#include "core/http/sigv4.h"

#define CONNECT_MS 15000
#define STALL_MS   60000
#define BASE_MS    500
#define TRIES      6

/* ---- callbacks: remember why, then stop the transfer ------------------------------------------------ */

static int give_up(struct sl_fetcher *f, int rc)
{
    f->failed = f->failed != 0 ? f->failed : rc;
    return 0;
}

static bool is_success(const struct sl_fetcher *f)
{
    return f->answer->head.status >= 200 && f->answer->head.status < 300;
}

static size_t take_header(char *bytes, size_t size, size_t n, void *data)
{
    struct sl_fetcher *f = data;
    size_t len = size * n;
    f->head_lines++;
    f->head_bytes += len;
    if (f->head_lines > SL_FETCH_HEADERS_MAX || f->head_bytes > SL_FETCH_HEAD_BYTES_MAX) {
        (void)give_up(f, sl_err_set(&f->why, SL_ELIMIT,
                                    "the answer's head has more than %d lines or %d bytes",
                                    SL_FETCH_HEADERS_MAX, SL_FETCH_HEAD_BYTES_MAX));
        return 0;
    }
    size_t used = len;
    while (used > 0 && (bytes[used - 1] == '\r' || bytes[used - 1] == '\n')) {
        used--;
    }
    if (used > 0) {
        fetch_head_line(f, bytes, used);
        return len;
    }
    if (is_success(f) && f->req->on_head != NULL) {
        int rc = f->req->on_head(&f->answer->head, f->req->data, &f->why);
        if (rc < 0) {
            (void)give_up(f, rc);
            return 0;
        }
    }
    return len;
}

static size_t take_body(char *bytes, size_t size, size_t n, void *data)
{
    struct sl_fetcher *f = data;
    size_t len = size * n;
    f->received += len;
    if (!is_success(f)) {
        size_t room =
            SL_FETCH_ERROR_BODY_MAX - SL_MIN(f->answer->body.len, (size_t)SL_FETCH_ERROR_BODY_MAX);
        sl_buf_add(&f->answer->body, bytes, SL_MIN(len, room));
        return len;
    }
    if (f->req->body_max > 0 && f->received > f->req->body_max) {
        (void)give_up(f, sl_err_set(&f->why, SL_ELIMIT, "the answer is longer than %llu bytes",
                                    (unsigned long long)f->req->body_max));
        return 0;
    }
    if (f->req->on_data == NULL) {
        sl_buf_add(&f->answer->body, bytes, len);
        if (f->answer->body.overflow) {
            (void)give_up(f, sl_err_set(&f->why, SL_ELIMIT, "the answer is too long to keep"));
            return 0;
        }
        return len;
    }
    int rc = f->req->on_data(bytes, len, f->req->data, &f->why);
    if (rc < 0) {
        (void)give_up(f, rc);
        return 0;
    }
    return len;
}

static int watch(void *data, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct sl_fetcher *f = data;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return f->opts.cancelled != NULL && f->opts.cancelled(f->opts.cancel_data) ? 1 : 0;
}

static bool allowed(const struct sl_fetcher *f, enum sl_address_kind kind)
{
    unsigned allow = f->opts.allow;
    switch (kind) {
    case SL_ADDRESS_LOOPBACK: return (allow & SL_FETCH_LOOPBACK) != 0;
    case SL_ADDRESS_PRIVATE:
        return (allow & SL_FETCH_PRIVATE) != 0 && (!f->plain || (allow & SL_FETCH_HTTP) != 0);
    case SL_ADDRESS_PUBLIC: return !f->plain || (allow & SL_FETCH_HTTP) != 0;
    }
    return false;
}

static curl_socket_t open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *a)
{
    static const char *const kinds[] = {"public", "a loopback", "a private or special"};
    struct sl_fetcher *f = data;
    (void)purpose;
    enum sl_address_kind kind = sl_fetch_address_kind(&a->addr);
    if (!allowed(f, kind)) {
        if (kind == SL_ADDRESS_PUBLIC) {
            (void)sl_err_set(&f->why, SL_EREFUSED, "plain http is for loopback only; use https");
        } else {
            (void)sl_err_set(&f->why, SL_EREFUSED, "the host has %s address, which is not allowed",
                             kinds[kind]);
        }
        return CURL_SOCKET_BAD;
    }
    f->why = SL_ERR_INIT; /* another address of the same host may have been refused before */
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- one hop ----------------------------------------------------------------------------------------- */

void fetch_common_options(struct sl_fetcher *f)
{
    const struct curl_calls *c = f->curl;
    CURL *h = f->handle;
    c->easy_reset(h);
    (void)c->easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)c->easy_setopt(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)c->easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)f->opts.connect_timeout_ms);
    (void)c->easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)c->easy_setopt(h, CURLOPT_LOW_SPEED_TIME,
                         (long)((f->opts.stall_timeout_ms + 999) / 1000));
    (void)c->easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)f->opts.total_timeout_ms);
    (void)c->easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)c->easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)c->easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (f->ca_file != NULL) {
        (void)c->easy_setopt(h, CURLOPT_CAINFO, f->ca_file);
    }
    (void)c->easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)c->easy_setopt(h, CURLOPT_OPENSOCKETDATA, f);
    (void)c->easy_setopt(h, CURLOPT_XFERINFOFUNCTION, watch);
    (void)c->easy_setopt(h, CURLOPT_XFERINFODATA, f);
    (void)c->easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
}

static void set_options(struct sl_fetcher *f, const struct fetch_target *t,
                        struct curl_slist *headers)
{
    const struct curl_calls *c = f->curl;
    CURL *h = f->handle;
    const struct sl_fetch *r = f->req;
    fetch_common_options(f);
    (void)c->easy_setopt(h, CURLOPT_URL, t->url);
    (void)c->easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)c->easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)c->easy_setopt(h, CURLOPT_HTTP09_ALLOWED, 0L);
    (void)c->easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    (void)c->easy_setopt(h, CURLOPT_BUFFERSIZE, 512L * 1024);
    if ((f->opts.allow & SL_FETCH_PROXY_ENV) == 0) {
        (void)c->easy_setopt(h, CURLOPT_PROXY, "");
    }
    (void)c->easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    (void)c->easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
    (void)c->easy_setopt(h, CURLOPT_HEADERDATA, f);
    (void)c->easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
    (void)c->easy_setopt(h, CURLOPT_WRITEDATA, f);
    if (sl_streq(r->method, "HEAD")) {
        (void)c->easy_setopt(h, CURLOPT_NOBODY, 1L);
    } else if (r->body.ptr != NULL) {
        (void)c->easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        (void)c->easy_setopt(h, CURLOPT_POSTFIELDS, r->body.ptr);
    }
    if (!sl_streq(r->method, "GET") && !sl_streq(r->method, "HEAD")) {
        (void)c->easy_setopt(h, CURLOPT_CUSTOMREQUEST, r->method);
    }
}

static int code_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT: return SL_EUNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT: return SL_ETIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM: return SL_EREFUSED;
    case CURLE_ABORTED_BY_CALLBACK: return SL_ECANCELLED;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return SL_EINVAL;
    default: return SL_EIO;
    }
}

static int perform(struct sl_fetcher *f, const struct fetch_target *t, bool foreign,
                   struct sl_err *err)
{
    static const struct sl_fetch_head blank = {
        .length = -1, .range_from = -1, .range_total = -1, .retry_after_ms = -1};
    struct curl_slist *headers = fetch_headers(f, t, foreign, err);
    if (headers == NULL) {
        return err != NULL && err->code != 0 ? -err->code : -SL_EINVAL;
    }
    char public_url[SL_FETCH_URL_MAX + 1];
    f->answer->head = blank;
    f->location[0] = '\0';
    f->head_lines = f->head_bytes = 0;
    f->received = 0;
    f->failed = 0;
    f->why = SL_ERR_INIT;
    f->plain = strcasecmp(t->scheme, "http") == 0;
    sl_buf_clear(&f->answer->body);
    set_options(f, t, headers);
    CURLcode code = f->curl->easy_perform(f->handle);
    f->curl->slist_free_all(headers);
    (void)sl_fetch_url_public(t->url, public_url);
    if (f->failed != 0) {
        if (err != NULL) {
            *err = f->why;
        }
        return f->failed;
    }
    if (code != CURLE_OK && f->why.code == SL_EREFUSED) {
        return sl_err_set(err, SL_EREFUSED, "%.300s: %s", public_url, f->why.msg);
    }
    if (code != CURLE_OK) {
        return sl_err_set(err, code_of(code), "%.300s: %s", public_url,
                          code == CURLE_ABORTED_BY_CALLBACK ? "cancelled"
                                                            : f->curl->easy_strerror(code));
    }
    return 0;
}

/* ---- a request -------------------------------------------------------------------------------------- */

static bool redirects(const struct sl_fetcher *f)
{
    int status = f->answer->head.status;
    bool moved = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    bool safe = sl_streq(f->req->method, "GET") || sl_streq(f->req->method, "HEAD");
    return moved && safe && f->req->aws == NULL && f->location[0] != '\0';
}

static int check_request(const struct sl_fetch *r, struct sl_err *err)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE"};
    bool known = false;
    for (size_t i = 0; i < SL_LEN(methods); i++) {
        known = known || sl_streq(r->method, methods[i]);
    }
    SL_ASSERT(known);
    for (const char *const *h = r->headers; h != NULL && *h != NULL; h++) {
        for (const char *p = *h; *p != '\0'; p++) {
            if ((unsigned char)*p < 0x20 || *p == 0x7f) {
                return sl_err_set(err, SL_EINVAL, "a request header has a control character");
            }
        }
    }
    return 0;
}

static int run_hops(struct sl_fetcher *f, const char *first, struct sl_err *err)
{
    _cleanup_(free)
    char *url = sl_strdup(first);
    _cleanup_(free)
    char *home = NULL; /* host of the first hop */
    bool was_https = false;
    for (int hop = 0;; hop++) {
        struct fetch_target t = {0};
        _cleanup_(free)
        char *base = hop > 0 ? sl_strdup(url) : NULL;
        int rc = fetch_target_parse(f, base, hop > 0 ? f->location : url, &t, err);
        bool https = rc == 0 && strcasecmp(t.scheme, "https") == 0;
        if (rc == 0 && was_https && !https) {
            rc = sl_err_set(err, SL_EREFUSED, "a redirect leads from https to plain http");
        }
        if (rc == 0) {
            home = home != NULL ? home : sl_asprintf("%s:%s", t.host, t.port);
            _cleanup_(free)
            char *here = sl_asprintf("%s:%s", t.host, t.port);
            free(url);
            url = sl_strdup(t.url);
            was_https = https;
            rc = perform(f, &t, strcasecmp(here, home) != 0, err);
        }
        fetch_target_release(f, &t);
        if (rc < 0 || !redirects(f) || f->opts.hops_max == 0) {
            return rc;
        }
        if (hop + 1 > f->opts.hops_max) {
            return sl_err_set(err, SL_EREFUSED, "more than %d redirects", f->opts.hops_max);
        }
    }
}

int sl_fetch_once(struct sl_fetcher *f, const struct sl_fetch *req, struct sl_fetch_answer *ret,
                  struct sl_err *err)
{
    struct sl_err local = SL_ERR_INIT;
    err = err != NULL ? err : &local;
    memset(ret, 0, sizeof(*ret));
    uint64_t most = req->on_data != NULL || req->body_max == 0 ? (uint64_t)64 << 20 : req->body_max;
    ret->body = SL_BUF_INIT((size_t)SL_MAX(most, (uint64_t)SL_FETCH_ERROR_BODY_MAX));
    f->req = req;
    f->answer = ret;
    int rc = check_request(req, err);
    rc = rc < 0 ? rc : run_hops(f, req->url, err);
    f->req = NULL;
    f->answer = NULL;
    return rc;
}

/* ---- the fetcher ------------------------------------------------------------------------------------ */

int sl_fetcher_new(const struct sl_fetch_opts *opts, struct sl_fetcher **ret, struct sl_err *err)
{
    const struct curl_calls *calls = curl_calls(err);
    if (calls == NULL) {
        return -SL_EUNSUPPORTED;
    }
    SL_ASSERT(opts->tries <= SL_FETCH_TRIES_MAX && opts->hops_max <= SL_FETCH_HOPS_MAX);
    struct sl_fetcher *f = SL_NEW(struct sl_fetcher);
    f->curl = calls;
    f->opts = *opts;
    f->opts.connect_timeout_ms =
        opts->connect_timeout_ms > 0 ? opts->connect_timeout_ms : CONNECT_MS;
    f->opts.stall_timeout_ms = opts->stall_timeout_ms > 0 ? opts->stall_timeout_ms : STALL_MS;
    f->opts.tries = opts->tries > 0 ? opts->tries : TRIES;
    f->opts.retry_base_ms = opts->retry_base_ms > 0 ? opts->retry_base_ms : BASE_MS;
    f->ca_file = sl_strdup(opts->ca_file);
    f->opts.ca_file = f->ca_file;
    f->handle = calls->easy_init();
    if (f->handle == NULL) {
        sl_fetcher_free(f);
        return sl_err_set(err, SL_ENOMEMORY, "cannot start a transfer");
    }
    *ret = f;
    return 0;
}

void sl_fetcher_free(struct sl_fetcher *f)
{
    if (f != NULL) {
        if (f->handle != NULL) {
            f->curl->easy_cleanup(f->handle);
        }
        free(f->ca_file);
        free(f);
    }
}

void sl_fetch_answer_release(struct sl_fetch_answer *a)
{
    sl_buf_release(&a->body);
}
