/**
 * Replies: whole, streamed, and errors. Each request is answered once; with the last byte queued it
 * is freed and its connection goes on.
 *
 * Thread: loop.
 */
#include "core/base/base.h"

#include "core/http/http_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    int status;
    const char *text;
} status_texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *sl_http_status_text(int status)
{
    for (size_t i = 0; i < SL_LEN(status_texts); i++) {
        if (status_texts[i].status == status) {
            return status_texts[i].text;
        }
    }
    return "Unknown";
}

/* ---- heads ---- */

/* RFC 9110 5.6.7; made once per second. */
static const char *date_of(struct sl_http_server *server)
{
    int64_t now_s = sl_now_ms() / 1000;
    if (now_s != server->date_s) {
        static const char days[] = "SunMonTueWedThuFriSat";
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        time_t t = (time_t)now_s;
        struct tm tm = {0};
        (void)gmtime_r(&t, &tm);
        (void)snprintf(server->date, sizeof(server->date),
                       "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
                       tm.tm_mday % 100, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000,
                       tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
        server->date_s = now_s;
    }
    return server->date;
}

static bool is_token(const char *name)
{
    /* RFC 9110 5.6.2 */
    return name[0] != '\0' && strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(name);
}

int sl_reply_header(struct sl_req *req, const char *name, const char *value, struct sl_err *err)
{
    SL_ASSERT(req->phase == SL_REQ_OPEN);
    if (!is_token(name) || value[strcspn(value, "\r\n")] != '\0') {
        return sl_err_set(err, SL_EINVAL, "malformed reply header '%.60s'", name);
    }
    if (req->n_extra == SL_HTTP_REPLY_HEADERS || strlen(name) > 64 ||
        strlen(value) > SL_HTTP_REPLY_VALUE_MAX) {
        return sl_err_set(err, SL_ELIMIT, "too many or too large reply headers");
    }
    req->extra[req->n_extra++] = (struct sl_http_header){sl_arena_strdup(&req->arena, name),
                                                         sl_arena_strdup(&req->arena, value)};
    return 0;
}

/* The head but for the length of the body. */
static void add_head(struct sl_req *req, int status, const char *content_type, struct sl_buf *out)
{
    SL_ASSERT(status >= 200 && status <= 599);
    sl_buf_printf(out,
                  "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: %s\r\n"
                  "X-Content-Type-Options: nosniff\r\n",
                  status, sl_http_status_text(status), date_of(req->server), req->id);
    if (content_type != NULL) {
        SL_ASSERT(content_type[strcspn(content_type, "\r\n")] == '\0');
        sl_buf_printf(out, "Content-Type: %s\r\n", content_type);
    }
    for (size_t i = 0; i < req->n_extra; i++) {
        sl_buf_printf(out, "%s: %s\r\n", req->extra[i].name, req->extra[i].value);
    }
    bool unread = req->conn->state == SL_CONN_BODY; /* then the connection cannot go on */
    if (req->conn->close_after || unread) {
        sl_buf_puts(out, "Connection: close\r\n");
    }
}

static uv_buf_t as_buf(const void *data, size_t len)
{
    SL_ASSERT(len <= UINT32_MAX);
    return uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
}

/* The reply is complete: the request ends here. */
static void finish(struct sl_req *req)
{
    struct sl_conn *conn = req->conn;
    req->phase = SL_REQ_REPLIED;
    req->conn = NULL;
    if (conn != NULL) {
        conn->req = NULL;
    }
    sl_req_free(req);
    if (conn != NULL && conn->state != SL_CONN_CLOSING) {
        sl_conn_replied(conn);
    }
}

static bool is_head(const struct sl_req *req)
{
    return sl_streq(req->head->method, "HEAD");
}

/* ---- whole replies ---- */

void sl_reply_bytes(struct sl_req *req, int status, const char *content_type, const void *data,
                    size_t len)
{
    SL_ASSERT(req->phase == SL_REQ_OPEN); /* exactly once */
    if (req->conn != NULL) {
        struct sl_buf head = SL_BUF_INIT(SL_HTTP_REPLY_HEAD_MAX);
        bool bodiless = status == 204 || status == 304;
        add_head(req, status, bodiless ? NULL : content_type, &head);
        if (!bodiless) {
            sl_buf_printf(&head, "Content-Length: %zu\r\n", len);
        }
        sl_buf_puts(&head, "\r\n");
        SL_ASSERT(!head.overflow);
        uv_buf_t bufs[2] = {as_buf(head.ptr, head.len), as_buf(data, len)};
        bool no_body = bodiless || is_head(req) || len == 0;
        if (sl_conn_write(req->conn, bufs, no_body ? 1 : 2) != 0) {
            sl_req_cut(req);
        }
        sl_buf_release(&head);
    }
    finish(req);
}

void sl_reply_empty(struct sl_req *req, int status)
{
    sl_reply_bytes(req, status, NULL, "", 0);
}

void sl_reply_json(struct sl_req *req, int status, const json_t *value)
{
    _cleanup_(free)
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t len = text != NULL ? strlen(text) : 0;
    if (text == NULL || len > SL_HTTP_JSON_MAX) {
        struct sl_err err = SL_ERR_INIT;
        (void)sl_err_set(&err, SL_EINTERNAL, "the reply cannot be written as JSON");
        sl_reply_error(req, &err);
        return;
    }
    sl_reply_bytes(req, status, "application/json", text, len);
}

/* {"error":{...}} with the code's name without its prefix. */
static void add_error(struct sl_buf *out, int code, const char *message, const char *request_id)
{
    const char *name = sl_err_name(code);
    name += sl_starts_with(name, "SL_") ? 3 : 0;
    sl_buf_printf(out, "{\"error\":{\"code\":\"%s\",\"message\":", name);
    size_t len = strlen(message);
    sl_buf_json_str(out, message, sl_utf8_check(message, len));
    if (request_id != NULL) {
        sl_buf_printf(out, ",\"request_id\":\"%s\"", request_id);
    }
    sl_buf_puts(out, "}}");
}

void sl_reply_status_error(struct sl_req *req, int status, const struct sl_err *err)
{
    struct sl_buf body = SL_BUF_INIT(8192);
    add_error(&body, err->code, err->msg, req->id);
    sl_reply_bytes(req, status, "application/json", body.ptr, body.len);
    sl_buf_release(&body);
}

void sl_reply_error(struct sl_req *req, const struct sl_err *err)
{
    sl_reply_status_error(req, sl_err_http(err->code), err);
}

/* The error code that goes with a status of the connection's own. */
static int code_of(int status)
{
    switch (status) {
    case 408: return SL_ETIMEOUT;
    case 413:
    case 414:
    case 431: return SL_ELIMIT;
    case 417:
    case 501:
    case 505: return SL_EUNSUPPORTED;
    case 503: return SL_EBUSY;
    default: return SL_EINVAL;
    }
}

void sl_conn_refuse(struct sl_conn *conn, const struct sl_http_fault *fault)
{
    struct sl_req *req = conn->req;
    if (req != NULL && req->phase == SL_REQ_STREAMING) {
        sl_conn_close(conn); /* half a reply is out: the cut is the message */
        return;
    }
    struct sl_buf body = SL_BUF_INIT(1024), head = SL_BUF_INIT(1024);
    add_error(&body, code_of(fault->status), fault->text, NULL);
    sl_buf_printf(&head,
                  "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: application/json\r\n"
                  "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                  fault->status, sl_http_status_text(fault->status), date_of(conn->server),
                  body.len);
    SL_ASSERT(!head.overflow && !body.overflow);
    uv_buf_t bufs[2] = {as_buf(head.ptr, head.len), as_buf(body.ptr, body.len)};
    conn->req = NULL;
    if (sl_conn_write(conn, bufs, 2) != 0) {
        sl_conn_close(conn);
    } else {
        sl_conn_linger(conn);
        sl_conn_pump(conn);
    }
    sl_buf_release(&head);
    sl_buf_release(&body);
    if (req != NULL) {
        sl_req_gone(req);
    }
}

/* ---- streamed replies ---- */

void sl_reply_begin(struct sl_req *req, int status, const char *content_type,
                    const struct sl_reply_stream *stream)
{
    SL_ASSERT(req->phase == SL_REQ_OPEN);
    SL_ASSERT(status != 204 && status != 304);
    req->phase = SL_REQ_STREAMING;
    req->stream = stream != NULL ? *stream : (struct sl_reply_stream){NULL, NULL};
    struct sl_conn *conn = req->conn;
    if (conn == NULL) {
        return;
    }
    req->chunked = req->head->minor == 1;
    conn->close_after = conn->close_after || !req->chunked;
    struct sl_buf head = SL_BUF_INIT(SL_HTTP_REPLY_HEAD_MAX);
    add_head(req, status, content_type, &head);
    sl_buf_puts(&head, req->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    SL_ASSERT(!head.overflow);
    uv_buf_t buf = as_buf(head.ptr, head.len);
    if (sl_conn_write(conn, &buf, 1) != 0) {
        sl_req_cut(req);
    }
    sl_buf_release(&head);
}

int sl_reply_write(struct sl_req *req, const void *data, size_t len, struct sl_err *err)
{
    SL_ASSERT(req->phase == SL_REQ_STREAMING);
    if (req->conn == NULL) {
        return sl_err_set(err, SL_ECANCELLED, "the client is gone");
    }
    if (len == 0 || is_head(req)) {
        return 0;
    }
    size_t max = req->server->opts.limits.write_queue_max;
    if (len > max || sl_conn_pending(req->conn) > max - len) {
        sl_req_cut(req);
        return sl_err_set(err, SL_ELIMIT, "the client reads too slowly: over %zu bytes wait", max);
    }
    char size[24];
    int size_len = snprintf(size, sizeof(size), "%zx\r\n", len);
    uv_buf_t bufs[3] = {as_buf(size, (size_t)size_len), as_buf(data, len), as_buf("\r\n", 2)};
    int rc =
        req->chunked ? sl_conn_write(req->conn, bufs, 3) : sl_conn_write(req->conn, bufs + 1, 1);
    if (rc != 0) {
        sl_req_cut(req);
        return sl_err_set(err, SL_ECANCELLED, "the client is gone");
    }
    return 0;
}

size_t sl_reply_pending(const struct sl_req *req)
{
    return req->conn != NULL ? sl_conn_pending(req->conn) : 0;
}

bool sl_reply_gone(const struct sl_req *req)
{
    return req->conn == NULL;
}

void sl_reply_end(struct sl_req *req)
{
    SL_ASSERT(req->phase == SL_REQ_STREAMING);
    if (req->conn != NULL && req->chunked && !is_head(req)) {
        uv_buf_t buf = as_buf("0\r\n\r\n", 5);
        if (sl_conn_write(req->conn, &buf, 1) != 0) {
            sl_req_cut(req);
        }
    }
    finish(req);
}

void sl_reply_abort(struct sl_req *req)
{
    SL_ASSERT(req->phase == SL_REQ_STREAMING);
    sl_req_cut(req);
    finish(req);
}
