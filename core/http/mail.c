/* Sending a mail. Thread: any. */
#include "core/base/base.h"

#include "core/http/mail.h"

#include <stdlib.h>
#include <strings.h>

#include "core/base/mem.h"
#include "core/http/fetch_priv.h"

#define TOTAL_MS 120000

struct upload {
    struct sl_buf text;
    size_t at;
};

static size_t give(char *out, size_t size, size_t n, void *data)
{
    struct upload *u = data;
    size_t len = SL_MIN(size * n, u->text.len - u->at);
    memcpy(out, sl_buf_str(&u->text) + u->at, len);
    u->at += len;
    return len;
}

static size_t ignore(char *bytes, size_t size, size_t n, void *data)
{
    (void)bytes;
    (void)data;
    return size * n;
}

static bool on_loopback(const char *server)
{
    const char *host = strstr(server, "://") + 3; /* checked before */
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    return fetch_loopback_name(host, SL_MIN(len, strlen(host)));
}

static int result(struct sl_fetcher *f, CURLcode code, const char *server, struct sl_err *err)
{
    long status = 0;
    (void)f->curl->easy_getinfo(f->handle, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK) {
        return 0;
    }
    if (f->why.code == SL_EREFUSED) {
        return sl_err_set(err, SL_EREFUSED, "%.200s: %s", server, f->why.msg);
    }
    int kind = code == CURLE_LOGIN_DENIED ? SL_EAUTH
               : code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST
                   ? SL_EUNREACHABLE
               : code == CURLE_OPERATION_TIMEDOUT       ? SL_ETIMEOUT
               : code == CURLE_ABORTED_BY_CALLBACK      ? SL_ECANCELLED
               : code == CURLE_PEER_FAILED_VERIFICATION ? SL_EREFUSED
                                                        : SL_EFAILED;
    return sl_err_set(err, kind, "%.200s: %s (the server's last answer was %ld)", server,
                      f->curl->easy_strerror(code), status);
}

static void set_options(struct sl_fetcher *f, const struct sl_mail *m, struct curl_slist *to,
                        struct upload *u)
{
    const struct curl_calls *c = f->curl;
    CURL *h = f->handle;
    bool must = m->password != NULL || !on_loopback(m->server);
    fetch_common_options(f);
    (void)c->easy_setopt(h, CURLOPT_URL, m->server);
    (void)c->easy_setopt(h, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    (void)c->easy_setopt(h, CURLOPT_PROXY, "");
    (void)c->easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)TOTAL_MS);
    (void)c->easy_setopt(h, CURLOPT_USE_SSL, (long)(must ? CURLUSESSL_ALL : CURLUSESSL_TRY));
    (void)c->easy_setopt(h, CURLOPT_MAIL_FROM, m->from);
    (void)c->easy_setopt(h, CURLOPT_MAIL_RCPT, to);
    if (m->user != NULL) {
        (void)c->easy_setopt(h, CURLOPT_USERNAME, m->user);
    }
    if (m->password != NULL) {
        (void)c->easy_setopt(h, CURLOPT_PASSWORD, m->password);
    }
    (void)c->easy_setopt(h, CURLOPT_READFUNCTION, give);
    (void)c->easy_setopt(h, CURLOPT_READDATA, u);
    (void)c->easy_setopt(h, CURLOPT_UPLOAD, 1L);
    (void)c->easy_setopt(h, CURLOPT_WRITEFUNCTION, ignore);
}

int sl_mail_send(const struct sl_fetch_opts *opts, const struct sl_mail *m, struct sl_err *err)
{
    struct upload u = {.text = SL_BUF_INIT(2 * SL_MAIL_TEXT_MAX + 65536)};
    struct sl_fetcher *f = NULL;
    struct curl_slist *to = NULL;
    if (strncasecmp(m->server, "smtp://", 7) != 0 && strncasecmp(m->server, "smtps://", 8) != 0) {
        return sl_err_set(err, SL_EINVAL, "'%.100s' is no mail server: smtp://HOST:PORT",
                          m->server);
    }
    int rc = sl_mail_compose(m, &u.text, err);
    rc = rc < 0 ? rc : sl_fetcher_new(opts, &f, err);
    for (size_t i = 0; rc == 0 && i < m->n_to; i++) {
        struct curl_slist *more = f->curl->slist_append(to, m->to[i]);
        rc = more == NULL ? sl_err_set(err, SL_ENOMEMORY, "no memory for receivers") : 0;
        to = more != NULL ? more : to;
    }
    if (rc == 0) {
        f->why = SL_ERR_INIT;
        f->plain = false; /* what smtp:// may carry in the clear is decided by USE_SSL */
        set_options(f, m, to, &u);
        rc = result(f, f->curl->easy_perform(f->handle), m->server, err);
    }
    if (f != NULL) {
        f->curl->slist_free_all(to);
    }
    sl_fetcher_free(f);
    sl_buf_release(&u.text);
    return rc;
}
