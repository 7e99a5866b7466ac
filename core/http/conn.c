/**
 * A connection's machine: reads, finds heads, feeds bodies, keeps the clocks, closes.
 *
 * Thread: loop. Must not: read ahead without bound, or free itself before libuv has let go.
 */
#include "core/base/base.h"

#include "core/http/http_priv.h"

#include <stdlib.h>

static const struct sl_http_limits *limits_of(const struct sl_conn *conn)
{
    return &conn->server->opts.limits;
}

struct sl_conn *sl_conn_new(struct sl_http_server *server)
{
    struct sl_conn *conn = SL_NEW(struct sl_conn);
    conn->server = server;
    SL_ASSERT(uv_pipe_init(sl_loop_uv(server->loop), &conn->io.pipe, 0) == 0);
    conn->io.handle.data = conn;
    LIST_INSERT_HEAD(&server->conns, conn, link);
    server->n_conns++;
    return conn;
}

static void on_closed(uv_handle_t *handle)
{
    struct sl_conn *conn = handle->data;
    struct sl_http_server *server = conn->server;
    LIST_REMOVE(conn, link);
    SL_ASSERT(server->n_conns > 0);
    server->n_conns--;
    free(conn->own);
    free(conn);
    sl_http_server_settle(server);
}

void sl_conn_close(struct sl_conn *conn)
{
    if (conn->state == SL_CONN_CLOSING) {
        return;
    }
    conn->state = SL_CONN_CLOSING;
    sl_timer_stop(&conn->timer);
    sl_timer_stop(&conn->write_timer);
    uv_close(&conn->io.handle, on_closed);
    struct sl_req *req = conn->req;
    conn->req = NULL;
    if (req != NULL) {
        sl_req_gone(req);
    }
}

/* ---- clocks ---- */

static void on_clock(struct sl_timer *timer)
{
    static const struct sl_http_fault slow_head = {408, "the request head took too long"};
    static const struct sl_http_fault slow_body = {408, "the request body came too slowly"};
    struct sl_conn *conn = SL_CONTAINER_OF(timer, struct sl_conn, timer);
    enum sl_conn_clock clock = conn->clock;
    conn->clock = SL_CLOCK_NONE;
    switch (clock) {
    case SL_CLOCK_NONE: break;
    case SL_CLOCK_IDLE:
    case SL_CLOCK_LINGER: sl_conn_close(conn); break;
    case SL_CLOCK_HEAD: sl_conn_refuse(conn, &slow_head); break;
    case SL_CLOCK_BODY: {
        struct sl_req *req = conn->req;
        req->body_spent_ms += sl_loop_now_ms() - conn->clock_start_ms;
        int64_t earned = (int64_t)(req->received * 1000 / limits_of(conn)->body_rate_min);
        if (req->body_spent_ms < limits_of(conn)->body_timeout_ms + earned) {
            sl_conn_pump(conn);
        } else {
            sl_conn_refuse(conn, &slow_body);
        }
        break;
    }
    }
}

static int64_t clock_ms(const struct sl_conn *conn, enum sl_conn_clock clock)
{
    const struct sl_http_limits *limits = limits_of(conn);
    switch (clock) {
    case SL_CLOCK_NONE: break;
    case SL_CLOCK_IDLE: return limits->idle_timeout_ms;
    case SL_CLOCK_HEAD: return limits->head_timeout_ms;
    case SL_CLOCK_LINGER: return SL_HTTP_LINGER_MS;
    case SL_CLOCK_BODY: {
        int64_t earned = (int64_t)(conn->req->received * 1000 / limits->body_rate_min);
        int64_t left = limits->body_timeout_ms + earned - conn->req->body_spent_ms;
        return SL_MAX(left, 1);
    }
    }
    return 0;
}

/* One clock at a time; staying in a phase does not restart it, so trickling does not help. */
static void set_clock(struct sl_conn *conn, enum sl_conn_clock clock)
{
    if (conn->clock == clock) {
        return;
    }
    if (conn->clock == SL_CLOCK_BODY && conn->req != NULL) {
        conn->req->body_spent_ms += sl_loop_now_ms() - conn->clock_start_ms;
    }
    sl_timer_stop(&conn->timer);
    conn->clock = clock;
    if (clock != SL_CLOCK_NONE) {
        conn->clock_start_ms = sl_loop_now_ms();
        sl_timer_start(conn->server->loop, &conn->timer, clock_ms(conn, clock));
    }
}

static enum sl_conn_clock wanted_clock(const struct sl_conn *conn)
{
    switch (conn->state) {
    case SL_CONN_HEAD:
        return sl_conn_pending(conn) > 0 ? SL_CLOCK_NONE
               : conn->len > 0           ? SL_CLOCK_HEAD
                                         : SL_CLOCK_IDLE;
    case SL_CONN_BODY: return conn->req->paused ? SL_CLOCK_NONE : SL_CLOCK_BODY;
    case SL_CONN_LINGER: return sl_conn_pending(conn) > 0 ? SL_CLOCK_NONE : SL_CLOCK_LINGER;
    case SL_CONN_BUSY:
    case SL_CONN_CLOSING: break;
    }
    return SL_CLOCK_NONE;
}

/* ---- the machine ---- */

static void consume(struct sl_conn *conn, size_t n)
{
    SL_ASSERT(n <= conn->len);
    conn->data += n;
    conn->len -= n;
}

/* Looks for a request in the input. False when more is needed. */
static bool step_head(struct sl_conn *conn)
{
    if (conn->len == 0 || sl_conn_pending(conn) > 0) {
        return false; /* a client that does not read its replies gets no further ones */
    }
    struct sl_http_fault fault = {0, NULL};
    long head_len =
        sl_http_head_scan(conn->data, conn->len, &conn->scanned, limits_of(conn), &fault);
    if (head_len == 0) {
        return false;
    }
    if (head_len > 0 && conn->depth++ >= limits_of(conn)->pipeline_depth_max) {
        fault = (struct sl_http_fault){400, "too many pipelined requests"};
    }
    if (fault.status != 0) {
        sl_conn_refuse(conn, &fault);
        return false;
    }
    conn->scanned = 0;
    struct sl_req *req = sl_req_new(conn);
    char *head = sl_arena_memdup(&req->arena, conn->data, (size_t)head_len);
    consume(conn, (size_t)head_len);
    if (sl_http_parse_head(&req->parser, head, (size_t)head_len) != 0) {
        fault = req->parser.fault;
        sl_req_free(req);
        sl_conn_refuse(conn, &fault);
        return false;
    }
    conn->req = req;
    conn->close_after = !req->head->keep_alive || conn->server->closing;
    conn->state = req->parser.complete ? SL_CONN_BUSY : SL_CONN_BODY;
    sl_req_dispatch(req);
    return true;
}

/* Feeds the body. The handler may answer, or the connection close, from inside. */
static bool step_body(struct sl_conn *conn)
{
    struct sl_req *req = conn->req;
    if (req->paused || conn->len == 0) {
        return false;
    }
    req->parsing = true; /* an answer from inside must not free the parser */
    long used = sl_http_parse_body(&req->parser, conn->data, conn->len);
    req->parsing = false;
    if (req->phase == SL_REQ_REPLIED) {
        sl_req_free(req);
    }
    if (conn->req != req) {
        return conn->state != SL_CONN_CLOSING;
    }
    if (used < 0) {
        struct sl_http_fault fault = req->parser.fault;
        sl_conn_refuse(conn, &fault);
        return false;
    }
    consume(conn, (size_t)used);
    if (req->parser.complete) {
        conn->state = SL_CONN_BUSY;
        sl_req_body_end(req);
    }
    return true;
}

static bool step(struct sl_conn *conn)
{
    switch (conn->state) {
    case SL_CONN_HEAD: return step_head(conn);
    case SL_CONN_BODY: return step_body(conn);
    case SL_CONN_LINGER: consume(conn, conn->len); return false;
    case SL_CONN_BUSY:
    case SL_CONN_CLOSING: break;
    }
    return false;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct sl_conn *conn = handle->data;
    *buf = uv_buf_init(conn->server->read_buffer, sizeof(conn->server->read_buffer));
}

/* Appends to our own copy, or lends the server's buffer for this turn. */
static void take_input(struct sl_conn *conn, char *bytes, size_t n)
{
    if (conn->len == 0) {
        conn->data = bytes;
        conn->len = n;
        return;
    }
    if (conn->data != conn->own) {
        memmove(conn->own, conn->data, conn->len); /* what is kept is always in `own` */
    }
    sl_grow((void *)&conn->own, &conn->own_cap, conn->len + n, 1);
    memcpy(conn->own + conn->len, bytes, n);
    conn->data = conn->own;
    conn->len += n;
}

/* After the machine has stopped: what is left must not stay in the lent buffer. */
static void keep_input(struct sl_conn *conn)
{
    if (conn->len == 0) {
        free(conn->own);
        conn->own = NULL;
        conn->own_cap = 0;
        conn->data = NULL;
        conn->depth = 0;
        return;
    }
    bool lent = conn->data >= conn->server->read_buffer &&
                conn->data < conn->server->read_buffer + sizeof(conn->server->read_buffer);
    if (lent) {
        sl_grow((void *)&conn->own, &conn->own_cap, conn->len, 1);
        memcpy(conn->own, conn->data, conn->len);
        conn->data = conn->own;
    }
}

static void on_end(struct sl_conn *conn)
{
    conn->eof = true;
    bool streaming = conn->req != NULL && conn->req->phase == SL_REQ_STREAMING;
    if (conn->state == SL_CONN_LINGER && !conn->shut) {
        return; /* on_shutdown closes */
    }
    if (conn->state != SL_CONN_BUSY || streaming) {
        sl_conn_close(conn);
        return;
    }
    conn->close_after = true; /* half-closed: the reply still goes out */
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct sl_conn *conn = stream->data;
    if (n > 0) {
        take_input(conn, buf->base, (size_t)n);
    } else if (n == UV_EOF) {
        on_end(conn);
    } else if (n < 0) {
        sl_conn_close(conn);
    }
    sl_conn_pump(conn);
}

static void update_reading(struct sl_conn *conn)
{
    bool want = !conn->eof && conn->len < SL_HTTP_READ_BYTES;
    if (conn->state == SL_CONN_BODY) {
        want = want && !conn->req->paused;
    } else if (conn->state == SL_CONN_HEAD) {
        want = !conn->eof && sl_conn_pending(conn) == 0;
    }
    if (want && !conn->reading) {
        conn->reading = uv_read_start(&conn->io.stream, on_alloc, on_read) == 0;
    } else if (!want && conn->reading) {
        (void)uv_read_stop(&conn->io.stream);
        conn->reading = false;
    }
}

void sl_conn_pump(struct sl_conn *conn)
{
    if (conn->processing || conn->state == SL_CONN_CLOSING) {
        return;
    }
    conn->processing = true;
    while (step(conn)) {
    }
    conn->processing = false;
    if (conn->state == SL_CONN_CLOSING) {
        return;
    }
    keep_input(conn);
    if (conn->eof && conn->state == SL_CONN_HEAD) {
        sl_conn_close(conn);
        return;
    }
    update_reading(conn);
    set_clock(conn, wanted_clock(conn));
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    struct sl_conn *conn = shutdown->data;
    free(shutdown);
    if (conn->state == SL_CONN_CLOSING) {
        return;
    }
    conn->shut = true;
    /* Let the client read the reply and close first: closing with bytes unread resets it. */
    if (status != 0 || conn->eof) {
        sl_conn_close(conn);
    } else {
        sl_conn_pump(conn);
    }
}

void sl_conn_linger(struct sl_conn *conn)
{
    conn->close_after = true;
    conn->state = SL_CONN_LINGER;
    uv_shutdown_t *shutdown = SL_NEW(uv_shutdown_t);
    shutdown->data = conn;
    if (uv_shutdown(shutdown, &conn->io.stream, on_shutdown) != 0) {
        free(shutdown);
        sl_conn_close(conn);
    }
}

void sl_conn_replied(struct sl_conn *conn)
{
    conn->req = NULL;
    sl_timer_stop(&conn->timer);
    conn->clock = SL_CLOCK_NONE;
    if (conn->state == SL_CONN_BODY || conn->close_after) {
        sl_conn_linger(conn);
    } else {
        conn->state = SL_CONN_HEAD;
    }
    sl_conn_pump(conn);
}

void sl_conn_open(struct sl_conn *conn, uid_t peer_uid)
{
    conn->peer_uid = peer_uid;
    conn->timer.fn = on_clock;
    sl_conn_pump(conn);
}
