/**
 * Writing to a connection: at once as far as the kernel takes it, the rest queued in one block, and
 * a clock that cuts clients which do not read.
 *
 * Thread: loop.
 */
#include "core/base/base.h"

#include "core/http/http_priv.h"

#include <stdlib.h>

struct queued_write {
    uv_write_t write;
    struct sl_conn *conn;
    char data[];
};

size_t sl_conn_pending(const struct sl_conn *conn)
{
    return uv_stream_get_write_queue_size(&conn->io.stream);
}

static void on_write_clock(struct sl_timer *timer)
{
    struct sl_conn *conn = SL_CONTAINER_OF(timer, struct sl_conn, write_timer);
    size_t left = sl_conn_pending(conn);
    if (left < conn->write_left) {
        conn->write_left = left;
        sl_timer_start(conn->server->loop, timer, conn->server->opts.limits.write_timeout_ms);
    } else {
        sl_conn_close(conn);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct queued_write *queued = write->data;
    struct sl_conn *conn = queued->conn;
    free(queued);
    if (conn->state == SL_CONN_CLOSING) {
        return;
    }
    if (status != 0) {
        sl_conn_close(conn);
        return;
    }
    if (sl_conn_pending(conn) > 0) {
        return;
    }
    sl_timer_stop(&conn->write_timer);
    struct sl_req *req = conn->req;
    if (req != NULL && req->phase == SL_REQ_STREAMING && req->stream.drained != NULL) {
        req->stream.drained(req);
    } else {
        sl_conn_pump(conn);
    }
}

/* Queues what the kernel did not take. */
static int queue_rest(struct sl_conn *conn, const uv_buf_t *bufs, unsigned n, size_t skip)
{
    size_t total = 0;
    for (unsigned i = 0; i < n; i++) {
        total += bufs[i].len;
    }
    size_t left = total - skip;
    struct queued_write *queued = sl_malloc(sizeof(*queued) + left);
    queued->conn = conn;
    queued->write.data = queued;
    size_t at = 0;
    for (unsigned i = 0; i < n; i++) {
        size_t drop = SL_MIN(skip, bufs[i].len);
        skip -= drop;
        memcpy(queued->data + at, bufs[i].base + drop, bufs[i].len - drop);
        at += bufs[i].len - drop;
    }
    uv_buf_t buf = uv_buf_init(queued->data, (unsigned)left);
    if (uv_write(&queued->write, &conn->io.stream, &buf, 1, on_written) != 0) {
        free(queued);
        return -1;
    }
    if (!sl_timer_active(&conn->write_timer)) {
        conn->write_timer.fn = on_write_clock;
        conn->write_left = sl_conn_pending(conn);
        sl_timer_start(conn->server->loop, &conn->write_timer,
                       conn->server->opts.limits.write_timeout_ms);
    }
    return 0;
}

int sl_conn_write(struct sl_conn *conn, const uv_buf_t *bufs, unsigned n)
{
    SL_ASSERT(n <= 4 && conn->state != SL_CONN_CLOSING);
    size_t total = 0;
    for (unsigned i = 0; i < n; i++) {
        total += bufs[i].len;
    }
    int taken = UV_EAGAIN;
    if (sl_conn_pending(conn) == 0) {
        taken = uv_try_write(&conn->io.stream, bufs, n);
    }
    if (taken < 0 && taken != UV_EAGAIN) {
        return -1;
    }
    size_t done = taken < 0 ? 0 : (size_t)taken;
    return done < total ? queue_rest(conn, bufs, n, done) : 0;
}
