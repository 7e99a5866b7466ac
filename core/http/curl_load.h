/** The part of libcurl that this room uses, opened on first use. Private to core/http. */
#ifndef SL_HTTP_CURL_LOAD_H
#define SL_HTTP_CURL_LOAD_H

#include <curl/curl.h>

#include "core/base/err.h"

/* name, result, arguments */
#define CURL_CALLS(X)                                                                              \
    X(easy_init, CURL *, (void))                                                                   \
    X(easy_setopt, CURLcode, (CURL *, CURLoption, ...))                                            \
    X(easy_perform, CURLcode, (CURL *))                                                            \
    X(easy_getinfo, CURLcode, (CURL *, CURLINFO, ...))                                             \
    X(easy_cleanup, void, (CURL *))                                                                \
    X(easy_reset, void, (CURL *))                                                                  \
    X(easy_strerror, const char *, (CURLcode))                                                     \
    X(free, void, (void *))                                                                        \
    X(getdate, time_t, (const char *, const time_t *))                                             \
    X(global_init, CURLcode, (long))                                                               \
    X(slist_append, struct curl_slist *, (struct curl_slist *, const char *))                      \
    X(slist_free_all, void, (struct curl_slist *))                                                 \
    X(url, CURLU *, (void))                                                                        \
    X(url_cleanup, void, (CURLU *))                                                                \
    X(url_get, CURLUcode, (CURLU *, CURLUPart, char **, unsigned))                                 \
    X(url_set, CURLUcode, (CURLU *, CURLUPart, const char *, unsigned))

struct curl_calls {
#define X(name, result, args) result(*name) args;
    CURL_CALLS(X)
#undef X
};

/** The calls, or NULL with err (-SL_EUNSUPPORTED). Never closed. Thread: any. */
const struct curl_calls *curl_calls(struct sl_err *err);

#endif
