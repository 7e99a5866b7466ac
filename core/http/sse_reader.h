/**
 * The reader of server-sent events, apart from sockets so that it can be tested by bytes.
 */
#ifndef SL_HTTP_SSE_READER_H
#define SL_HTTP_SSE_READER_H

#include "core/http/client.h"

struct sl_sse_reader {
    sl_http_event_fn fn;
    void *data;
    struct sl_buf line, event, value, id;
    bool has_data, after_cr, begun;
};

void sl_sse_reader_init(struct sl_sse_reader *r, sl_http_event_fn fn, void *data);
void sl_sse_reader_release(struct sl_sse_reader *r);
/** Feeds bytes. 0, or what `fn` returned, or -SL_ELIMIT past SL_HTTP_EVENT_MAX. */
int sl_sse_feed(struct sl_sse_reader *r, const char *bytes, size_t len, struct sl_err *err);

#endif
