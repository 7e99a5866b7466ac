/**
 * A request's way from head to handler, its body, and what handlers may ask of it.
 *
 * Thread: loop.
 */
#include "core/base/base.h"

#include "core/http/http_priv.h"

#include <stdlib.h>
#include <strings.h>

#include "core/http/url.h"

struct sl_req *sl_req_new(struct sl_conn *conn)
{
    struct sl_req *req = SL_NEW(struct sl_req);
    req->server = conn->server;
    req->conn = conn;
    req->peer_uid = conn->peer_uid;
    req->server->n_reqs++;
    sl_arena_init(&req->arena, SL_HTTP_ARENA_MAX);
    sl_http_parser_init(&req->parser, &conn->server->opts.limits, &req->arena);
    req->parser.body = sl_req_body_piece;
    req->parser.data = req;
    req->head = &req->parser.head;
    (void)sl_id_new(NULL, req->id);
    return req;
}

void sl_req_free(struct sl_req *req)
{
    if (req->parsing) {
        req->phase = SL_REQ_REPLIED;
        return; /* step_body frees it */
    }
    struct sl_http_server *server = req->server;
    if (req->keepalive != NULL) {
        sl_timer_stop(req->keepalive);
    }
    sl_buf_release(&req->body);
    sl_arena_release(&req->arena);
    free(req);
    SL_ASSERT(server->n_reqs > 0);
    server->n_reqs--;
    sl_http_server_settle(server);
}

void sl_req_gone(struct sl_req *req)
{
    req->conn = NULL;
    if (req->keepalive != NULL) {
        sl_timer_stop(req->keepalive);
    }
    if (!req->handed) {
        sl_req_free(req);
    } else if (req->reader_set && !req->body_done) {
        req->body_done = true;
        req->reader.gone(req);
    } else if (req->phase == SL_REQ_STREAMING && req->stream.gone != NULL) {
        void (*gone)(struct sl_req *) = req->stream.gone;
        req->stream.gone = NULL;
        gone(req);
    }
}

void sl_req_cut(struct sl_req *req)
{
    struct sl_conn *conn = req->conn;
    if (conn != NULL) {
        req->conn = NULL;
        conn->req = NULL;
        sl_conn_close(conn);
    }
}

/* ---- from head to handler ---- */

static void hand_over(struct sl_req *req)
{
    req->handed = true;
    req->match.route->handler(req);
}

/* Whether the declared body fits the route; answers when it does not. */
static bool body_fits(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    size_t max = req->match.route->body_max;
    if (max == 0 && !req->parser.complete) {
        (void)sl_err_set(&err, SL_ELIMIT, "%s %s takes no body", req->head->method,
                         req->match.route->pattern);
    } else if (req->head->content_length > max) {
        (void)sl_err_set(&err, SL_ELIMIT, "the body has %llu bytes, at most %zu are allowed",
                         (unsigned long long)req->head->content_length, max);
    } else {
        return true;
    }
    sl_reply_error(req, &err);
    return false;
}

/* Finds the route. Answers when there is none. */
static bool find_route(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    req->match.arena = &req->arena;
    int rc =
        sl_router_match(req->server->router, req->head->method, req->head->path, &req->match, &err);
    if (rc == 0) {
        rc = sl_url_query(req->head->query, &req->arena, &req->query, &err);
    }
    if (rc == -SL_EUNSUPPORTED) {
        rc = sl_reply_header(req, "Allow", req->match.allow, NULL);
        SL_ASSERT(rc == 0);
        sl_reply_status_error(req, 405, &err);
        return false;
    }
    if (rc != 0) {
        sl_reply_error(req, &err);
    }
    return rc == 0;
}

static void allow_body(struct sl_req *req)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (req->head->expect_continue && req->conn->len == 0) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)go_on, sizeof(go_on) - 1);
        (void)sl_conn_write(req->conn, &buf, 1); /* a failure shows up on reading */
    }
}

void sl_req_dispatch(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    if (!find_route(req) || !body_fits(req)) {
        return;
    }
    const struct sl_route *route = req->match.route;
    if (req->server->opts.authorize != NULL && req->server->opts.authorize(req, route, &err) != 0) {
        sl_reply_error(req, &err);
        return;
    }
    bool stream = (route->flags & SL_ROUTE_STREAM_BODY) != 0;
    req->body_done = req->parser.complete;
    if (req->parser.complete) {
        hand_over(req);
    } else if (stream) {
        req->paused = true;
        hand_over(req);
    } else {
        req->body.max_bytes = route->body_max;
        allow_body(req);
    }
}

void sl_req_body_piece(void *data, const char *bytes, size_t len)
{
    struct sl_req *req = data;
    if (req->phase == SL_REQ_REPLIED || req->conn == NULL) {
        return;
    }
    req->received += len;
    if (req->received > req->match.route->body_max) {
        req->parser.fault = (struct sl_http_fault){413, "the body is larger than allowed"};
    } else if (req->reader_set) {
        req->reader.piece(req, bytes, len);
    } else {
        sl_buf_add(&req->body, bytes, len);
        SL_ASSERT(!req->body.overflow);
    }
}

void sl_req_body_end(struct sl_req *req)
{
    req->body_done = true;
    if (req->reader_set) {
        req->reader.piece(req, NULL, 0);
    } else {
        hand_over(req);
    }
}

void sl_req_read(struct sl_req *req, const struct sl_req_reader *reader)
{
    SL_ASSERT((req->match.route->flags & SL_ROUTE_STREAM_BODY) != 0);
    SL_ASSERT(!req->reader_set && reader->piece != NULL && reader->gone != NULL);
    req->reader = *reader;
    req->reader_set = true;
    if (req->conn == NULL) {
        req->body_done = true;
        req->reader.gone(req);
    } else if (req->body_done) {
        req->reader.piece(req, NULL, 0);
    } else {
        allow_body(req);
        sl_req_read_resume(req);
    }
}

void sl_req_read_pause(struct sl_req *req)
{
    req->paused = true;
    if (req->conn != NULL) {
        sl_conn_pump(req->conn);
    }
}

void sl_req_read_resume(struct sl_req *req)
{
    req->paused = false;
    if (req->conn != NULL) {
        sl_conn_pump(req->conn);
    }
}

/* ---- questions ---- */

struct sl_arena *sl_req_arena(struct sl_req *req)
{
    return &req->arena;
}

const char *sl_req_id(const struct sl_req *req)
{
    return req->id;
}

const char *sl_req_method(const struct sl_req *req)
{
    return req->head->method;
}

const char *sl_req_path(const struct sl_req *req)
{
    /* The copy of the target ends at the query mark or at its NUL; cut once, on demand. */
    struct sl_req *mine = (struct sl_req *)(uintptr_t)req;
    return req->head->query.ptr == NULL
               ? req->head->target
               : sl_arena_strndup(&mine->arena, req->head->path.ptr, req->head->path.len);
}

const struct sl_route *sl_req_route(const struct sl_req *req)
{
    return req->match.route;
}

void *sl_req_server_data(const struct sl_req *req)
{
    return req->server->opts.data;
}

uid_t sl_req_peer_uid(const struct sl_req *req)
{
    return req->peer_uid;
}

const char *sl_req_param(const struct sl_req *req, const char *name)
{
    size_t i = 0;
    while (i < req->match.n_params && !sl_streq(req->match.names[i], name)) {
        i++;
    }
    SL_ASSERT(i < req->match.n_params);
    return req->match.values[i];
}

const char *sl_req_query(const struct sl_req *req, const char *key)
{
    for (size_t i = 0; i < req->query.n; i++) {
        if (sl_streq(req->query.items[i].key, key)) {
            return req->query.items[i].value;
        }
    }
    return NULL;
}

bool sl_req_query_at(const struct sl_req *req, size_t i, const char **ret_key,
                     const char **ret_value)
{
    if (i >= req->query.n) {
        return false;
    }
    *ret_key = req->query.items[i].key;
    *ret_value = req->query.items[i].value;
    return true;
}

const char *sl_req_header(const struct sl_req *req, const char *name)
{
    for (size_t i = 0; i < req->head->n_headers; i++) {
        if (strcasecmp(req->head->headers[i].name, name) == 0) {
            return req->head->headers[i].value;
        }
    }
    return NULL;
}

void sl_req_set_data(struct sl_req *req, void *data)
{
    req->data = data;
}

void *sl_req_data(const struct sl_req *req)
{
    return req->data;
}

struct sl_str sl_req_body(const struct sl_req *req)
{
    return (struct sl_str){sl_buf_str(&req->body), req->body.len};
}

json_t *sl_req_json(const struct sl_req *req, struct sl_err *err)
{
    return sl_json_parse("request body", sl_buf_str(&req->body), req->body.len, err);
}
