/**
 * One resource into a sink, whatever happens on the way: cut connections are resumed at the byte where they
 * broke (Range with If-Range), a resource that changed meanwhile starts again from its first byte.
 *
 * Thread: the fetcher's. Blocks: yes. Must not: keep bytes.
 */
#ifndef SL_HTTP_DOWNLOAD_H
#define SL_HTTP_DOWNLOAD_H

#include "core/http/fetch.h"

struct sl_download {
    const char *url;
    const char *const *headers; /* as in struct sl_fetch */
    const struct sl_aws *aws;
    uint64_t have_bytes;        /* the sink has the first bytes already ... */
    const char *have_etag;      /* ... of the resource with this strong ETag, or */
    const char *have_modified;  /* ... of this Last-Modified; both NULL or "": start at 0 */
    const char *known_etag;     /* NULL, or status 304 when it is still this one */
    const char *known_modified; /* the same by date, when there is no ETag */
    uint64_t bytes_max;         /* 0: no bound */
    /** The next byte is that of `offset` (0: everything before is void); `total` is -1 when unknown. */
    int (*on_start)(const struct sl_fetch_head *head, uint64_t offset, int64_t total, void *data,
                    struct sl_err *err);
    int (*on_data)(const void *bytes, size_t len, void *data, struct sl_err *err);
    void *data;
};

/** How it went. */
struct sl_downloaded {
    struct sl_fetch_head head; /* of the last answer; status 304: unchanged, nothing was written */
    uint64_t bytes;            /* of the whole resource */
    int resumed, restarted;    /* how often */
};

/**
 * @return 0 when the sink has every byte that the server announced, or the status is 304;
 *         else as sl_fetch and sl_fetch_error; -SL_ELIMIT past bytes_max
 */
int sl_download(struct sl_fetcher *f, const struct sl_download *d, struct sl_downloaded *ret,
                struct sl_err *err) SL_MUST_CHECK;

/** Whether an ETag names exactly these bytes (quoted, not W/). */
bool sl_etag_strong(const char *etag);

#endif
