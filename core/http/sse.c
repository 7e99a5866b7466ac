/**
 * Server-sent events over a streamed reply (WHATWG HTML, "Server-sent events").
 *
 * Thread: loop.
 */
#include "core/base/base.h"

#include "core/http/http_priv.h"

#include <string.h>

struct sse_clock {
    struct sl_timer timer;
    struct sl_req *req;
};

static void restart(struct sl_req *req)
{
    sl_timer_start(req->server->loop, req->keepalive, req->server->opts.limits.sse_keepalive_ms);
}

static void on_silence(struct sl_timer *timer)
{
    struct sl_req *req = SL_CONTAINER_OF(timer, struct sse_clock, timer)->req;
    if (sl_reply_pending(req) == 0 && sl_reply_write(req, ": keep-alive\n\n", 14, NULL) != 0) {
        void (*gone)(struct sl_req *) = req->stream.gone;
        req->stream.gone = NULL;
        if (gone != NULL) {
            gone(req); /* nobody else would notice */
        }
        return;
    }
    restart(req);
}

void sl_sse_begin(struct sl_req *req, const struct sl_reply_stream *stream)
{
    int rc = sl_reply_header(req, "Cache-Control", "no-store", NULL);
    SL_ASSERT(rc == 0);
    struct sse_clock *clock = SL_ARENA_NEW(&req->arena, struct sse_clock);
    clock->timer.fn = on_silence;
    clock->req = req;
    req->keepalive = &clock->timer;
    sl_reply_begin(req, 200, "text/event-stream", stream);
    if (req->conn != NULL) {
        restart(req);
    }
}

/* One "data:" line for each line; CR, LF and CRLF all end one. */
static void add_data(struct sl_buf *out, struct sl_str data)
{
    size_t at = 0;
    for (;;) {
        size_t end = at;
        while (end < data.len && data.ptr[end] != '\n' && data.ptr[end] != '\r') {
            end++;
        }
        sl_buf_puts(out, "data: ");
        sl_buf_add(out, data.ptr + at, end - at);
        sl_buf_putc(out, '\n');
        if (end >= data.len) {
            return;
        }
        at = end + 1;
        if (data.ptr[end] == '\r' && at < data.len && data.ptr[at] == '\n') {
            at++;
        }
    }
}

int sl_sse_send(struct sl_req *req, uint64_t id, const char *event, struct sl_str data,
                struct sl_err *err)
{
    SL_ASSERT(req->keepalive != NULL);
    if (event != NULL && event[strcspn(event, "\r\n")] != '\0') {
        return sl_err_set(err, SL_EINVAL, "line break in an event's name");
    }
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(req->server->opts.limits.write_queue_max);
    if (id != 0) {
        sl_buf_printf(&out, "id: %llu\n", (unsigned long long)id);
    }
    if (event != NULL) {
        sl_buf_printf(&out, "event: %s\n", event);
    }
    add_data(&out, data);
    sl_buf_putc(&out, '\n');
    if (out.overflow) {
        return sl_err_set(err, SL_ELIMIT, "the event is over %zu bytes", out.max_bytes);
    }
    int rc = sl_reply_write(req, out.ptr, out.len, err);
    if (rc == 0) {
        restart(req);
    } else {
        sl_timer_stop(req->keepalive);
    }
    return rc;
}

int sl_sse_last_id(const struct sl_req *req, uint64_t *ret_id, struct sl_err *err)
{
    const char *text = sl_req_header(req, "last-event-id");
    if (text == NULL) {
        text = sl_req_query(req, "last_event_id");
    }
    if (text == NULL || text[0] == '\0') {
        *ret_id = 0;
        return 0;
    }
    if (!sl_parse_u64(text, ret_id)) {
        return sl_err_set(err, SL_EINVAL, "the last event id '%.40s' is not a number", text);
    }
    return 0;
}
