/**
 * Outgoing HTTP: one blocking client for data sources and webhooks, over libcurl.
 *
 * Who may be spoken to is decided on the address of the socket, at connect time, for every hop: a name
 * that resolves to something else between check and use, a decimal or IPv4-mapped spelling, or a
 * redirect to the inside all end there. https only, unless a flag says otherwise; certificates and
 * names are always verified; no netrc, no cookies, no compression, proxies only where allowed.
 *
 * libcurl is opened on first use, so that commands without outgoing requests do not pay its start.
 * Thread: a fetcher belongs to one thread at a time. Blocks: yes; never on the loop.
 */
#ifndef SL_HTTP_FETCH_H
#define SL_HTTP_FETCH_H

#include "core/base/err.h"
#include "core/base/str.h"
#include "core/base/time.h"

#define SL_FETCH_URL_MAX         8192   /* bytes */
#define SL_FETCH_HEADERS_MAX     200    /* lines of one answer */
#define SL_FETCH_HEAD_BYTES_MAX  65536  /* of one answer */
#define SL_FETCH_HOPS_MAX        5      /* redirects followed */
#define SL_FETCH_TRIES_MAX       20     /* upper bound of opts.tries */
#define SL_FETCH_RETRY_AFTER_MAX 300000 /* ms; a server that asks for more ends the tries */
#define SL_FETCH_ERROR_BODY_MAX  8192   /* bytes kept of an answer that is no success */

/** What is allowed beyond https to public addresses. */
enum sl_fetch_allow {
    SL_FETCH_LOOPBACK = 1, /* 127.0.0.0/8 and ::1, by plain http too */
    SL_FETCH_PRIVATE = 2,  /* RFC 1918, ULA, CGNAT, link-local and other special ranges */
    SL_FETCH_HTTP = 4,     /* plain http to whatever else is allowed */
    SL_FETCH_PROXY_ENV =
        8 /* http_proxy, https_proxy, no_proxy; the proxy's address is judged then */
};

struct sl_fetch_opts {
    unsigned allow;                /* of enum sl_fetch_allow */
    const char *ca_file;           /* NULL: the system's */
    int64_t connect_timeout_ms;    /* 0: 15 s */
    int64_t stall_timeout_ms;      /* without a byte; 0: 60 s */
    int64_t total_timeout_ms;      /* of one try; 0: none */
    int hops_max;                  /* redirects; 0: none; at most SL_FETCH_HOPS_MAX */
    int tries;                     /* 0: 6; 1: no second try */
    int64_t retry_base_ms;         /* first wait; doubles, with jitter, up to 30 s; 0: 500 */
    bool (*cancelled)(void *data); /* NULL, or asked several times a second */
    void *cancel_data;
};

struct sl_fetcher;

/** Copies the options' texts. -SL_EUNSUPPORTED when libcurl is not installed. Owner: caller. */
int sl_fetcher_new(const struct sl_fetch_opts *opts, struct sl_fetcher **ret, struct sl_err *err)
    SL_MUST_CHECK;
void sl_fetcher_free(struct sl_fetcher *f); /* NULL allowed */

/** What an answer says about itself. Missing texts are "". */
struct sl_fetch_head {
    int status;
    int64_t length;         /* of this body; -1 unknown */
    int64_t range_from;     /* of Content-Range; -1 when absent */
    int64_t range_total;    /* of Content-Range; -1 when absent or unknown */
    int64_t retry_after_ms; /* -1 when absent */
    char etag[256];         /* as sent, quotes included */
    char last_modified[64];
    char version_id[256]; /* x-amz-version-id */
    char sha256[64];      /* x-amz-checksum-sha256, base64 */
    char encryption[32];  /* x-amz-server-side-encryption */
    char content_type[128];
};

struct sl_aws; /* sigv4.h */

struct sl_fetch {
    const char *method; /* GET, HEAD, POST, PUT, DELETE */
    const char *url;
    const char *const *headers; /* NULL, or "name", "value", ..., NULL; no control characters */
    struct sl_str body;         /* ptr NULL: none */
    const struct sl_aws *aws;   /* NULL, or signs each try; redirects are then not followed */
    uint64_t body_max;          /* of a success; 0: no bound, for streaming callers */
    /** Before the first byte of a success (2xx), again when a try is repeated. Negative ends it. */
    int (*on_head)(const struct sl_fetch_head *head, void *data, struct sl_err *err);
    /** The body of a success as it comes. Negative ends it with that code. */
    int (*on_data)(const void *bytes, size_t len, void *data, struct sl_err *err);
    void *data;
};

struct sl_fetch_answer {
    struct sl_fetch_head head;
    struct sl_buf body; /* without on_data the whole body; else what a failure said */
};
void sl_fetch_answer_release(struct sl_fetch_answer *a);

/**
 * One request, without a second try. Any status is success.
 *
 * @param ret  initialised by the call; released by the caller also on failure
 * @return 0; -SL_EINVAL (URL, headers); -SL_EREFUSED (address, scheme, certificate: not worth a second
 *         try); -SL_EUNREACHABLE, -SL_ETIMEOUT, -SL_EIO (cut short: worth one); -SL_ELIMIT;
 *         -SL_ECANCELLED; or what a callback returned
 */
int sl_fetch_once(struct sl_fetcher *f, const struct sl_fetch *req, struct sl_fetch_answer *ret,
                  struct sl_err *err) SL_MUST_CHECK;

/** The same with further tries after transport failures and 408, 425, 429, 500, 502, 503, 504, waiting in
 * between as Retry-After says or with doubling and jitter. Only for requests that may be repeated. */
int sl_fetch(struct sl_fetcher *f, const struct sl_fetch *req, struct sl_fetch_answer *ret,
             struct sl_err *err) SL_MUST_CHECK;

/** Turns an answer of status >= 300 into an error that says status, URL without query, and the first words
 * of the body: -SL_ENOTFOUND (404, 410), -SL_EAUTH (401, 403), -SL_ECONFLICT (409, 412), else -SL_EFAILED. */
int sl_fetch_error(const struct sl_fetch *req, const struct sl_fetch_answer *a, struct sl_err *err);

/** Whether a second try may help. */
bool sl_fetch_transient(int status);
/** Wait before try `n` (from 1): base doubled n-1 times, at most 30 s, half of it random. */
int64_t sl_fetch_backoff_ms(int64_t base_ms, int n, uint32_t random);

/** Whether an IPv4 or IPv6 socket address may be connected to. Pure. */
struct sockaddr;
enum sl_address_kind { SL_ADDRESS_PUBLIC, SL_ADDRESS_LOOPBACK, SL_ADDRESS_PRIVATE };
enum sl_address_kind sl_fetch_address_kind(const struct sockaddr *address);

/** "https://host/path" of a URL: no user, no query, no fragment; for messages and records. `out` needs
 * SL_FETCH_URL_MAX + 1 bytes. Returns out; "" when it is no URL. */
char *sl_fetch_url_public(const char *url, char *out);

#endif
