/** What the files of the outgoing client share. Private to core/http. */
#ifndef SL_HTTP_FETCH_PRIV_H
#define SL_HTTP_FETCH_PRIV_H

#include "core/http/curl_load.h"
#include "core/http/fetch.h"

struct sl_fetcher {
    const struct curl_calls *curl;
    CURL *handle;
    struct sl_fetch_opts opts; /* defaults filled in */
    char *ca_file;
    /* of the hop that runs */
    const struct sl_fetch *req;
    struct sl_fetch_answer *answer;
    size_t head_lines, head_bytes;
    uint64_t received;
    char location[SL_FETCH_URL_MAX + 1];
    bool plain; /* http: the address must be loopback, or SL_FETCH_HTTP given */
    int failed; /* what a callback of ours decided, negative; 0: nothing */
    struct sl_err why;
};

/** Where a request goes, taken apart by the parser that connects. Release with fetch_target_release. */
struct fetch_target {
    char *url, *scheme, *host, *port, *path, *query; /* of libcurl; query NULL when none */
};
int fetch_target_parse(struct sl_fetcher *f, const char *base, const char *url,
                       struct fetch_target *ret, struct sl_err *err) SL_MUST_CHECK;
void fetch_target_release(struct sl_fetcher *f, struct fetch_target *t);

/** The header list of one hop; NULL with err. `foreign`: the hop is on another host than the request. */
struct curl_slist *fetch_headers(struct sl_fetcher *f, const struct fetch_target *t, bool foreign,
                                 struct sl_err *err);

/** Whether a host's name says that it is this machine: localhost, 127.x.y.z, [::1]. */
bool fetch_loopback_name(const char *host, size_t len);

/** Line of an answer's head, without its end. */
void fetch_head_line(struct sl_fetcher *f, const char *line, size_t len);

/** Resets the handle; what holds for every protocol: time limits, TLS, judged sockets, cancelling. */
void fetch_common_options(struct sl_fetcher *f);

/** Sleeps; -SL_ECANCELLED when told to stop. */
int fetch_pause(struct sl_fetcher *f, int64_t ms, struct sl_err *err) SL_MUST_CHECK;

#endif
