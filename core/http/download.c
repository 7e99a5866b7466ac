/* Downloads that survive cut connections; see download.h. Thread: the fetcher's. */
#include "core/base/base.h"

#include "core/http/download.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/http/fetch_priv.h"

#define HEADERS_MAX 32

struct transfer {
    const struct sl_download *d;
    struct sl_downloaded *out;
    uint64_t at;    /* bytes that the sink has */
    int64_t total;  /* -1 unknown */
    char etag[256]; /* of what the sink has */
    char modified[64];
    bool moved; /* this try brought bytes */
    bool known; /* the whole body is announced again under the ETag that is known */
};

bool sl_etag_strong(const char *etag)
{
    size_t n = strlen(etag);
    return n >= 2 && etag[0] == '"' && etag[n - 1] == '"';
}

static bool same_resource(const struct transfer *t, const struct sl_fetch_head *h)
{
    if (t->etag[0] != '\0') {
        return sl_streq(t->etag, h->etag);
    }
    return t->modified[0] != '\0' && sl_streq(t->modified, h->last_modified);
}

static int start(struct transfer *t, const struct sl_fetch_head *h, uint64_t offset, int64_t total,
                 struct sl_err *err)
{
    if (t->d->bytes_max > 0 && total > 0 && (uint64_t)total > t->d->bytes_max) {
        return sl_err_set(err, SL_ELIMIT, "the source has %lld bytes, the limit is %llu",
                          (long long)total, (unsigned long long)t->d->bytes_max);
    }
    if (offset == 0 && t->at > 0) {
        t->out->restarted++;
    } else if (offset > 0) {
        t->out->resumed++;
    }
    t->at = offset;
    t->total = total;
    (void)snprintf(t->etag, sizeof(t->etag), "%s", sl_etag_strong(h->etag) ? h->etag : "");
    (void)snprintf(t->modified, sizeof(t->modified), "%s", h->last_modified);
    return t->d->on_start(h, offset, total, t->d->data, err);
}

static int take_head(const struct sl_fetch_head *h, void *data, struct sl_err *err)
{
    struct transfer *t = data;
    const char *known = t->d->known_etag;
    if (h->status == 200 && known != NULL && sl_etag_strong(known) && sl_streq(known, h->etag)) {
        t->known = true; /* a server that does not answer 304 */
        return sl_err_set(err, SL_ECANCELLED, "unchanged");
    }
    if (h->status != 206) {
        return start(t, h, 0, h->length, err);
    }
    if (h->range_from < 0 || (uint64_t)h->range_from != t->at || !same_resource(t, h)) {
        /* Not the part that was asked for, or of something else: from the first byte then. */
        t->etag[0] = t->modified[0] = '\0';
        return sl_err_set(err, SL_ECONFLICT, "the source changed while it was read");
    }
    return start(t, h, t->at, h->range_total, err);
}

static int take_data(const void *bytes, size_t len, void *data, struct sl_err *err)
{
    struct transfer *t = data;
    t->at += len;
    t->moved = true;
    if (t->d->bytes_max > 0 && t->at > t->d->bytes_max) {
        return sl_err_set(err, SL_ELIMIT, "the source is longer than the limit of %llu bytes",
                          (unsigned long long)t->d->bytes_max);
    }
    return t->d->on_data(bytes, len, t->d->data, err);
}

static void put(const char **headers, size_t *n, const char *name, const char *value)
{
    headers[(*n)++] = name;
    headers[(*n)++] = value;
    headers[*n] = NULL;
}

/* Headers of the next try. `range` holds 40 bytes. */
static void next_headers(const struct transfer *t, char *range, const char **headers)
{
    size_t n = 0;
    for (const char *const *h = t->d->headers; h != NULL && h[0] != NULL && n < HEADERS_MAX - 8;
         h += 2) {
        put(headers, &n, h[0], h[1]);
    }
    headers[n] = NULL;
    if (t->at > 0 && (t->etag[0] != '\0' || t->modified[0] != '\0')) {
        (void)snprintf(range, 40, "bytes=%llu-", (unsigned long long)t->at);
        put(headers, &n, "Range", range);
        put(headers, &n, "If-Range", t->etag[0] != '\0' ? t->etag : t->modified);
    } else if (t->d->known_etag != NULL && t->d->known_etag[0] != '\0') {
        put(headers, &n, "If-None-Match", t->d->known_etag);
    } else if (t->d->known_modified != NULL && t->d->known_modified[0] != '\0') {
        put(headers, &n, "If-Modified-Since", t->d->known_modified);
    }
}

/* 416 to a resume: everything is there already, or the rest makes no sense. */
static bool complete_already(const struct transfer *t, const struct sl_fetch_head *h)
{
    return h->status == 416 && h->range_total >= 0 && (uint64_t)h->range_total == t->at &&
           (h->etag[0] == '\0' || same_resource(t, h));
}

enum verdict { DONE, AGAIN, FAILED };

static enum verdict judge(struct sl_fetcher *f, struct transfer *t, const struct sl_fetch *req,
                          const struct sl_fetch_answer *a, int *rc, struct sl_err *err)
{
    if (t->known) {
        *rc = 0;
        return DONE;
    }
    if (*rc == -SL_ECONFLICT && f->failed == -SL_ECONFLICT && t->etag[0] == '\0' &&
        t->modified[0] == '\0') {
        return AGAIN;
    }
    if (*rc < 0) {
        bool network = *rc == -SL_EUNREACHABLE || *rc == -SL_ETIMEOUT || *rc == -SL_EIO;
        return f->failed == 0 && network ? AGAIN : FAILED;
    }
    if (a->head.status == 304 || complete_already(t, &a->head)) {
        return DONE;
    }
    if (a->head.status == 416 && t->at > 0) {
        t->etag[0] = t->modified[0] = '\0';
        return AGAIN;
    }
    if (sl_fetch_transient(a->head.status) && a->head.retry_after_ms <= SL_FETCH_RETRY_AFTER_MAX) {
        *rc = sl_fetch_error(req, a, err);
        return AGAIN;
    }
    *rc = sl_fetch_error(req, a, err);
    if (*rc == 0 && t->total >= 0 && (uint64_t)t->total != t->at) {
        *rc = sl_err_set(err, SL_EIO, "the source announced %lld bytes and sent %llu",
                         (long long)t->total, (unsigned long long)t->at);
        return AGAIN;
    }
    return *rc < 0 ? FAILED : DONE;
}

int sl_download(struct sl_fetcher *f, const struct sl_download *d, struct sl_downloaded *ret,
                struct sl_err *err)
{
    struct sl_downloaded out = {.resumed = 0};
    struct transfer t = {.d = d, .out = &out, .at = d->have_bytes, .total = -1};
    (void)snprintf(t.etag, sizeof(t.etag), "%s",
                   d->have_etag != NULL && sl_etag_strong(d->have_etag) ? d->have_etag : "");
    (void)snprintf(t.modified, sizeof(t.modified), "%s",
                   d->have_modified != NULL ? d->have_modified : "");
    for (int n = 1;; n++) {
        char range[40];
        const char *headers[HEADERS_MAX + 1];
        struct sl_fetch_answer a;
        next_headers(&t, range, headers);
        struct sl_fetch req = {.method = "GET",
                               .url = d->url,
                               .headers = headers,
                               .aws = d->aws,
                               .on_head = take_head,
                               .on_data = take_data,
                               .data = &t};
        t.moved = false;
        f->failed = 0;
        int rc = sl_fetch_once(f, &req, &a, err);
        enum verdict v = judge(f, &t, &req, &a, &rc, err);
        out.head = a.head;
        out.head.status = t.known ? 304 : a.head.status;
        int64_t asked = a.head.retry_after_ms;
        sl_fetch_answer_release(&a);
        if (v == DONE) {
            out.bytes = t.at;
            *ret = out;
            return 0;
        }
        n = t.moved ? 1 : n; /* what makes progress may go on for ever */
        if (v == FAILED || n >= f->opts.tries) {
            return rc < 0 ? rc : sl_err_set(err, SL_EIO, "the source could not be read");
        }
        uint32_t random = 0;
        sl_env_real.random(NULL, &random, sizeof(random));
        rc = fetch_pause(f, SL_MAX(sl_fetch_backoff_ms(f->opts.retry_base_ms, n, random), asked),
                         err);
        if (rc < 0) {
            return rc;
        }
    }
}
