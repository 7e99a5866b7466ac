/**
 * The synchronous client: one connection per call, poll for both directions, llhttp for the answer.
 *
 * Thread: any but the loop. Must not: use libuv, or retry.
 */
#include "core/base/base.h"

#include "core/http/client.h"

#include <errno.h>
#include <llhttp.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/http/sse_reader.h"
#include "core/http/unixsock.h"

#define DEFAULT_TIMEOUT_MS 30000
#define READ_BYTES         8192

/* One exchange. */
struct exchange {
    const struct sl_http_call *call;
    int fd;
    struct sl_buf request;
    size_t sent;
    llhttp_t ll;
    size_t head_bytes;
    struct sl_buf name, value; /* of the header that is being read */
    struct sl_http_answer answer;
    bool heard; /* anything of the answer */
    bool complete;
    bool interim; /* a 1xx answer: another follows */
    int rc;       /* of what a callback decided; 1: stop without error */
    struct sl_err *err;
    struct sl_sse_reader *events; /* NULL: collect the body */
};

/* ---- the request ---- */

static bool has_break(const char *text)
{
    return text[strcspn(text, "\r\n")] != '\0';
}

static int build_request(const struct sl_http_call *call, const char *last_id, struct sl_buf *out,
                         struct sl_err *err)
{
    bool bad = call->method == NULL || call->target == NULL || call->target[0] != '/' ||
               call->method[strcspn(call->method, " \r\n")] != '\0' ||
               call->target[strcspn(call->target, " \r\n")] != '\0';
    const char *type = call->content_type != NULL ? call->content_type : "application/json";
    bad = bad || has_break(type) || (last_id != NULL && has_break(last_id));
    for (size_t i = 0; !bad && call->headers != NULL && call->headers[i] != NULL; i++) {
        bad = has_break(call->headers[i]) || (i % 2 == 0 && call->headers[i + 1] == NULL);
    }
    if (bad) {
        return sl_err_set(err, SL_EINVAL, "malformed request");
    }
    sl_buf_printf(out, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", call->method,
                  call->target);
    for (size_t i = 0; call->headers != NULL && call->headers[i] != NULL; i += 2) {
        sl_buf_printf(out, "%s: %s\r\n", call->headers[i], call->headers[i + 1]);
    }
    if (last_id != NULL && last_id[0] != '\0') {
        sl_buf_printf(out, "Last-Event-ID: %s\r\n", last_id);
    }
    if (call->body.ptr != NULL) {
        sl_buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, call->body.len);
    }
    sl_buf_puts(out, "\r\n");
    return out->overflow ? sl_err_set(err, SL_ELIMIT, "the request head is too large") : 0;
}

/* ---- the answer ---- */

static int count_head(struct exchange *x, size_t n)
{
    x->head_bytes += n;
    if (x->head_bytes > SL_HTTP_ANSWER_HEAD_MAX) {
        x->rc = sl_err_set(x->err, SL_ELIMIT, "the answer's head is over %d bytes",
                           SL_HTTP_ANSWER_HEAD_MAX);
        return -1;
    }
    return 0;
}

static int on_field(llhttp_t *ll, const char *at, size_t n)
{
    struct exchange *x = ll->data;
    sl_buf_add(&x->name, at, n);
    return count_head(x, n);
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
    struct exchange *x = ll->data;
    sl_buf_add(&x->value, at, n);
    return count_head(x, n);
}

static void keep(char *out, size_t size, const char *value)
{
    size_t len = SL_MIN(strlen(value), size - 1);
    memcpy(out, value, len);
    out[len] = '\0';
}

static int on_value_complete(llhttp_t *ll)
{
    struct exchange *x = ll->data;
    const char *name = sl_buf_str(&x->name), *value = sl_buf_str(&x->value);
    if (strcasecmp(name, "content-type") == 0) {
        keep(x->answer.content_type, sizeof(x->answer.content_type), value);
    } else if (strcasecmp(name, "x-request-id") == 0) {
        keep(x->answer.request_id, sizeof(x->answer.request_id), value);
    }
    sl_buf_clear(&x->name);
    sl_buf_clear(&x->value);
    return 0;
}

static int on_headers_complete(llhttp_t *ll)
{
    struct exchange *x = ll->data;
    x->answer.status = ll->status_code;
    x->interim = ll->status_code / 100 == 1;
    return sl_streq(x->call->method, "HEAD") && !x->interim ? 1 : 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
    struct exchange *x = ll->data;
    if (x->events != NULL && x->answer.status == 200) {
        x->rc = sl_sse_feed(x->events, at, n, x->err);
        return x->rc != 0 ? -1 : 0;
    }
    sl_buf_add(&x->answer.body, at, n);
    if (x->answer.body.overflow) {
        x->rc =
            sl_err_set(x->err, SL_ELIMIT, "the answer is over %zu bytes", x->answer.body.max_bytes);
        return -1;
    }
    return 0;
}

static int on_message_complete(llhttp_t *ll)
{
    struct exchange *x = ll->data;
    x->complete = !x->interim;
    return x->complete ? HPE_PAUSED : 0;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- the exchange ---- */

/* Sends what the kernel takes. A server may answer and stop reading: then the answer counts. */
static int send_some(struct exchange *x)
{
    size_t head = x->request.len, total = head + x->call->body.len;
    const char *from =
        x->sent < head ? x->request.ptr + x->sent : x->call->body.ptr + (x->sent - head);
    size_t n = x->sent < head ? head - x->sent : total - x->sent;
    ssize_t done = send(x->fd, from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done >= 0) {
        x->sent += (size_t)done;
    } else if (errno == EPIPE || errno == ECONNRESET) {
        x->sent = total;
    } else if (errno != EAGAIN && errno != EINTR) {
        return sl_err_errno(x->err, errno, "cannot send the request");
    }
    return 0;
}

/* Reads and parses once. 1 when the answer is complete or reading was stopped. */
static int receive_some(struct exchange *x)
{
    char bytes[READ_BYTES];
    ssize_t n = recv(x->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if ((n == 0 || (n < 0 && errno == ECONNRESET)) && !x->heard &&
        sl_streq(x->call->method, "GET")) {
        return sl_err_set(x->err, SL_EUNREACHABLE, "the server went away without an answer");
    }
    if (n < 0) {
        return sl_err_errno(x->err, errno, "the connection broke");
    }
    x->heard = true;
    llhttp_errno_t status =
        n > 0 ? llhttp_execute(&x->ll, bytes, (size_t)n) : llhttp_finish(&x->ll);
    if (x->rc != 0) {
        return x->rc;
    }
    if (x->complete) {
        return 1;
    }
    if (n == 0) {
        return sl_err_set(x->err, SL_EIO, "the connection was closed in the middle of the answer");
    }
    return status != HPE_OK
               ? sl_err_set(x->err, SL_EIO, "malformed answer: %s", llhttp_get_error_reason(&x->ll))
               : 0;
}

static int exchange_bytes(struct exchange *x)
{
    int64_t timeout_ms = x->call->timeout_ms > 0 ? x->call->timeout_ms : DEFAULT_TIMEOUT_MS;
    for (;;) {
        bool unsent = x->sent < x->request.len + x->call->body.len;
        struct pollfd pfd = {.fd = x->fd, .events = (short)(POLLIN | (unsent ? POLLOUT : 0))};
        int n = poll(&pfd, 1, (int)SL_MIN(timeout_ms, INT32_MAX));
        if (n < 0 && errno != EINTR) {
            return sl_err_errno(x->err, errno, "cannot wait for the answer");
        }
        if (n == 0) {
            return sl_err_set(x->err, SL_ETIMEOUT, "no answer within %lld ms",
                              (long long)timeout_ms);
        }
        int rc = 0;
        if (n > 0 && (pfd.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            rc = receive_some(x);
        }
        if (rc == 0 && n > 0 && unsent && (pfd.revents & POLLOUT) != 0) {
            rc = send_some(x);
        }
        if (rc != 0) {
            return rc < 0 ? rc : 0;
        }
    }
}

static void exchange_release(struct exchange *x)
{
    sl_cleanup_close(&x->fd);
    sl_buf_release(&x->request);
    sl_buf_release(&x->name);
    sl_buf_release(&x->value);
    sl_http_answer_release(&x->answer);
}

static int run_exchange(struct exchange *x, const char *last_id)
{
    const struct sl_http_call *call = x->call;
    x->fd = -1;
    x->request = SL_BUF_INIT(SL_HTTP_ANSWER_HEAD_MAX);
    x->name = x->value = SL_BUF_INIT(SL_HTTP_ANSWER_HEAD_MAX);
    x->answer.body = SL_BUF_INIT(call->body_max != 0 ? call->body_max : SL_HTTP_ANSWER_BODY_MAX);
    llhttp_init(&x->ll, HTTP_RESPONSE, &settings);
    x->ll.data = x;
    int rc = build_request(call, last_id, &x->request, x->err);
    if (rc != 0) {
        return rc;
    }
    int fd = sl_unix_connect(call->socket_path, x->err);
    if (fd < 0) {
        return fd;
    }
    x->fd = fd;
    return exchange_bytes(x);
}

int sl_http_call(const struct sl_http_call *call, struct sl_http_answer *ret_answer,
                 struct sl_err *err)
{
    struct exchange x = {.call = call, .err = err};
    int rc = run_exchange(&x, NULL);
    if (rc == 0) {
        *ret_answer = x.answer;
        x.answer = (struct sl_http_answer){0};
    }
    exchange_release(&x);
    return rc;
}

int sl_http_follow(const struct sl_http_call *call, const char *last_id, sl_http_event_fn fn,
                   void *data, struct sl_err *err)
{
    struct sl_sse_reader events;
    sl_sse_reader_init(&events, fn, data);
    struct exchange x = {.call = call, .err = err, .events = &events};
    int rc = run_exchange(&x, last_id);
    if (rc == 0 && x.answer.status != 200) {
        rc = sl_http_answer_error(&x.answer, err);
        if (rc == 0) {
            rc = sl_err_set(err, SL_EIO, "expected events, the answer is %d", x.answer.status);
        }
    }
    exchange_release(&x);
    sl_sse_reader_release(&events);
    return rc;
}

void sl_http_answer_release(struct sl_http_answer *answer)
{
    sl_buf_release(&answer->body);
}

/* ---- errors ---- */

static const struct {
    const char *name;
    int code;
} codes[] = {
#define SL_ERROR(name_, number_, text_, http_, exit_) {#name_, number_},
#include "core/base/errors.def"
#undef SL_ERROR
};

static int code_of_status(int status)
{
    switch (status) {
    case 401:
    case 403: return SL_EAUTH;
    case 404: return SL_ENOTFOUND;
    case 409: return SL_ECONFLICT;
    case 503: return SL_EBUSY;
    default: return status < 500 ? SL_EINVAL : SL_EFAILED;
    }
}

int sl_http_answer_error(const struct sl_http_answer *answer, struct sl_err *err)
{
    if (answer->status < 400) {
        return 0;
    }
    int code = code_of_status(answer->status);
    json_auto_t *body = sl_json_parse("answer", sl_buf_str(&answer->body), answer->body.len, NULL);
    const json_t *error = json_object_get(body, "error");
    const char *name = sl_json_str(error, "code", "");
    const char *message = sl_json_str(error, "message", NULL);
    for (size_t i = 0; i < SL_LEN(codes); i++) {
        if (sl_streq(codes[i].name, name)) {
            code = codes[i].code;
        }
    }
    if (message == NULL) {
        return sl_err_set(err, code, "the server answered %d", answer->status);
    }
    return sl_err_set(err, code, "%s", message);
}
