/* Second tries, and failures as errors. Thread: the fetcher's. */
#include "core/base/base.h"

#include "core/http/fetch.h"

#include <time.h>

#include "core/http/fetch_priv.h"

#define SLICE_MS    100
#define WAIT_MAX_MS 30000

bool sl_fetch_transient(int status)
{
    return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
           status == 503 || status == 504;
}

int64_t sl_fetch_backoff_ms(int64_t base_ms, int n, uint32_t random)
{
    int64_t wait = SL_MIN(base_ms << SL_MIN(SL_MAX(n - 1, 0), 20), (int64_t)WAIT_MAX_MS);
    int64_t half = wait / 2;
    return half + (int64_t)(random % (uint32_t)(wait - half + 1));
}

int fetch_pause(struct sl_fetcher *f, int64_t ms, struct sl_err *err)
{
    while (ms > 0) {
        if (f->opts.cancelled != NULL && f->opts.cancelled(f->opts.cancel_data)) {
            return sl_err_set(err, SL_ECANCELLED, "cancelled while waiting for another try");
        }
        int64_t slice = SL_MIN(ms, (int64_t)SLICE_MS);
        struct timespec t = {.tv_nsec = slice * 1000000};
        (void)nanosleep(&t, NULL);
        ms -= slice;
    }
    return 0;
}

static bool worth_another(int rc, const struct sl_fetcher *f, const struct sl_fetch_answer *a)
{
    if (rc == 0) {
        return sl_fetch_transient(a->head.status) &&
               a->head.retry_after_ms <= SL_FETCH_RETRY_AFTER_MAX;
    }
    /* What a callback decided is not the network's doing. */
    return f->failed == 0 && (rc == -SL_EUNREACHABLE || rc == -SL_ETIMEOUT || rc == -SL_EIO);
}

int sl_fetch(struct sl_fetcher *f, const struct sl_fetch *req, struct sl_fetch_answer *ret,
             struct sl_err *err)
{
    for (int n = 1;; n++) {
        f->failed = 0;
        int rc = sl_fetch_once(f, req, ret, err);
        if (n >= f->opts.tries || !worth_another(rc, f, ret)) {
            return rc;
        }
        uint32_t random = 0;
        sl_env_real.random(NULL, &random, sizeof(random));
        int64_t wait = sl_fetch_backoff_ms(f->opts.retry_base_ms, n, random);
        wait = rc == 0 ? SL_MAX(wait, ret->head.retry_after_ms) : wait;
        sl_fetch_answer_release(ret);
        rc = fetch_pause(f, wait, err);
        if (rc < 0) {
            ret->body = SL_BUF_INIT(SL_FETCH_ERROR_BODY_MAX);
            return rc;
        }
    }
}

/* Printable words of a body, on one line, without tags of XML or HTML. */
static void first_words(const struct sl_buf *body, char out[121])
{
    size_t n = 0;
    bool tag = false;
    for (size_t i = 0; i < body->len && n < 120; i++) {
        unsigned char c = (unsigned char)body->ptr[i];
        tag = c == '<' || (tag && c != '>');
        if (c > ' ' && c < 0x7f && c != '>' && !tag) {
            out[n++] = (char)c;
        } else if (n > 0 && out[n - 1] != ' ') {
            out[n++] = ' ';
        }
    }
    out[n] = '\0';
}

int sl_fetch_error(const struct sl_fetch *req, const struct sl_fetch_answer *a, struct sl_err *err)
{
    char url[SL_FETCH_URL_MAX + 1];
    char words[121];
    int status = a->head.status;
    if (status < 300) {
        return 0;
    }
    first_words(&a->body, words);
    int code = status == 404 || status == 410   ? SL_ENOTFOUND
               : status == 401 || status == 403 ? SL_EAUTH
               : status == 409 || status == 412 ? SL_ECONFLICT
                                                : SL_EFAILED;
    return sl_err_set(err, code, "%.250s: the server answered %d%s%s",
                      sl_fetch_url_public(req->url, url), status, words[0] != '\0' ? ": " : "",
                      words);
}
