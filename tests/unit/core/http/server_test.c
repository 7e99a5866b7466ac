/* The server: limits at and past, timeouts, streaming with back-pressure, events, closing. */
#include "core/base/base.h"

#include "core/http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/http/unixsock.h"
#include "tests/unit/core/http/rig.h"

#define H "Host: a\r\n"
#define C "Connection: close\r\n"

/* n times the text. Caller frees. */
static char *repeat(const char *text, size_t n)
{
    struct sl_buf out = SL_BUF_INIT(64u << 20);
    for (size_t i = 0; i < n; i++) {
        sl_buf_puts(&out, text);
    }
    return sl_buf_take(&out);
}

static void expect(struct rig *rig, const char *request, int status, const char *needle)
{
    char *answer = rig_exchange(rig, request);
    SL_CHECK_MSG(rig_status(answer) == status, "%.200s\ngot: %s", request, answer);
    SL_CHECK_CONTAINS(answer, needle);
    free(answer);
}

SL_TEST(core_http_server, routes__misses__say_what_was_meant)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    expect(&rig, "GET /helo HTTP/1.1\r\n" H C "\r\n", 404,
           "no such path '/helo'; did you mean '/hello'?");
    expect(&rig, "GET /itms/7 HTTP/1.1\r\n" H C "\r\n", 404, "did you mean '/items/7'?");
    expect(&rig, "DELETE /hello HTTP/1.1\r\n" H C "\r\n", 405, "Allow: GET, HEAD\r\n");
    expect(&rig, "GET /secret HTTP/1.1\r\n" H C "\r\n", 401, "/secret needs permission admin");
    expect(&rig, "POST /secret HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", 401, "\"EAUTH\"");
    expect(&rig, "GET /boom HTTP/1.1\r\n" H C "\r\n", 409,
           "{\"error\":{\"code\":\"ECONFLICT\",\"message\":\"the \\\"alias\\\" "
           "moved\",\"request_id\":");
    expect(&rig, "GET /items/a%20b%2Fc?q=1%2B1+2 HTTP/1.1\r\n" H C "\r\n", 200,
           "id=a b/c q=1+1 2 path=/items/a%20b%2Fc");
    expect(&rig, "GET /files/a/b%2Fc/d HTTP/1.1\r\n" H C "\r\n", 200, "\r\n\r\na/b/c/d");
    expect(&rig, "GET /items/%2e%2e HTTP/1.1\r\n" H C "\r\n", 400, "'..' in the path");
    expect(&rig, "GET /items/%zz HTTP/1.1\r\n" H C "\r\n", 400, "broken percent escape");
    expect(&rig, "GET /items/%00 HTTP/1.1\r\n" H C "\r\n", 400, "NUL in the address");
    expect(&rig, "GET /items/7?q=%ff HTTP/1.1\r\n" H C "\r\n", 400, "not valid UTF-8");
    expect(&rig, "GET /headers HTTP/1.1\r\n" H C "\r\n", 204, "ETag: \"abc\"\r\n");
    rig_stop(&rig);
}

SL_TEST(core_http_server, head__of_a_get_route__length_but_no_body)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    char *answer = rig_exchange(&rig, "HEAD /hello HTTP/1.1\r\n" H C "\r\n");
    SL_CHECK_EQ_INT(rig_status(answer), 200);
    SL_CHECK_CONTAINS(answer, "Content-Length: 17\r\n");
    SL_CHECK_EQ_STR(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    free(answer);
    answer = rig_exchange(&rig, "HEAD /stream HTTP/1.1\r\n" H C "\r\n");
    SL_CHECK_EQ_STR(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    free(answer);
    rig_stop(&rig);
}

SL_TEST(core_http_server, limits__address_at_and_past__served_and_414)
{
    struct rig rig = {.limits = {.url_bytes_max = 100}};
    rig_start(&rig);
    char *at = repeat("a", 100 - 7), *past = repeat("a", 100 - 6), *far = repeat("a", 5000);
    char *request = sl_asprintf("GET /items/%s HTTP/1.1\r\n" H C "\r\n", at);
    expect(&rig, request, 200, "id=aaa");
    free(request);
    request = sl_asprintf("GET /items/%s HTTP/1.1\r\n" H C "\r\n", past);
    expect(&rig, request, 414, "the address is too long");
    free(request);
    request = sl_asprintf("GET /items/%s", far); /* its line never ends */
    expect(&rig, request, 414, "the address is too long");
    free(request);
    free(at);
    free(past);
    free(far);
    rig_stop(&rig);
}

SL_TEST(core_http_server, limits__header_count_at_and_past__served_and_431)
{
    struct rig rig = {.limits = {.header_count_max = 50}};
    rig_start(&rig);
    for (size_t n = 48; n <= 49; n++) {
        char *many = repeat("X: y\r\n", n);
        char *request = sl_asprintf("GET /hello HTTP/1.1\r\n" H C "%s\r\n", many);
        expect(&rig, request, n == 48 ? 200 : 431, n == 48 ? "world" : "too many headers");
        free(request);
        free(many);
    }
    char *flood = repeat("X: y\r\n", 2000);
    char *request = sl_asprintf("GET /hello HTTP/1.1\r\n" H "%s\r\n", flood);
    expect(&rig, request, 431, "too many headers");
    free(request);
    free(flood);
    rig_stop(&rig);
}

SL_TEST(core_http_server, limits__head_bytes_at_and_past__served_and_431)
{
    struct rig rig = {.limits = {.head_bytes_max = 1000}};
    rig_start(&rig);
    size_t fixed = strlen("GET /hello HTTP/1.1\r\n" H C "X: \r\n\r\n");
    for (size_t extra = 0; extra <= 1; extra++) {
        char *value = repeat("v", 1000 - fixed + extra);
        char *request = sl_asprintf("GET /hello HTTP/1.1\r\n" H C "X: %s\r\n\r\n", value);
        expect(&rig, request, extra == 0 ? 200 : 431, extra == 0 ? "world" : "head is too large");
        free(request);
        free(value);
    }
    char *endless = repeat("v", 100000);
    char *request = sl_asprintf("GET /hello HTTP/1.1\r\n" H "X: %s", endless);
    expect(&rig, request, 431, "head is too large");
    free(request);
    free(endless);
    rig_stop(&rig);
}

SL_TEST(core_http_server, limits__body_at_and_past__served_and_413)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    char *body = repeat("0123456789abcdef", 65536);
    char *request =
        sl_asprintf("POST /echo HTTP/1.1\r\n" H C "Content-Length: 1048576\r\n\r\n%s", body);
    char *answer = rig_exchange(&rig, request);
    SL_CHECK_EQ_INT(rig_status(answer), 200);
    SL_CHECK(strcmp(strstr(answer, "\r\n\r\n") + 4, body) == 0);
    free(answer);
    free(request);
    expect(&rig, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1048577\r\n\r\n", 413,
           "the body has 1048577 bytes, at most 1048576 are allowed");
    expect(&rig, "GET /hello HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx", 413, "takes no body");
    request = sl_asprintf("POST /echo HTTP/1.1\r\n" H
                          "Transfer-Encoding: chunked\r\n\r\n100001\r\n%sx\r\n0\r\n\r\n",
                          body);
    expect(&rig, request, 413, "the body is larger than allowed");
    free(request);
    SL_CHECK_EQ_INT(atomic_load(&rig.bodies), 1);
    expect(&rig,
           "PUT /small HTTP/1.1\r\n" H C
           "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
           200, "10");
    expect(&rig,
           "PUT /small HTTP/1.1\r\n" H
           "Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n",
           413, "larger");
    SL_CHECK_EQ_INT(atomic_load(&rig.gone), 1);
    free(body);
    rig_stop(&rig);
}

SL_TEST(core_http_server, limits__chunk_extensions_at_and_past__served_and_400)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    /* Counted: each piece and one for its sign. "x" in one chunk makes two. */
    for (size_t n = 120; n <= 200; n += 80) {
        char *chunks = repeat("1;x\r\na\r\n", n);
        char *request = sl_asprintf(
            "POST /echo HTTP/1.1\r\n" H C "Transfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n", chunks);
        expect(&rig, request, n == 120 ? 200 : 400, n == 120 ? "aaa" : "chunk extensions");
        free(request);
        free(chunks);
    }
    rig_stop(&rig);
}

SL_TEST(core_http_server, limits__pipeline_depth_at_and_past__served_and_refused)
{
    struct rig rig = {.limits = {.pipeline_depth_max = 10}};
    rig_start(&rig);
    for (size_t n = 9; n <= 20; n += 11) {
        char *many = repeat("GET /hello HTTP/1.1\r\n" H "\r\n", n);
        char *request = sl_asprintf("%sGET /hello HTTP/1.1\r\n" H C "\r\n", many);
        char *answer = rig_exchange(&rig, request);
        SL_CHECK_EQ_INT(rig_count(answer, "HTTP/1.1 200 OK"), 10);
        SL_CHECK_EQ_INT(rig_count(answer, "too many pipelined requests"), n == 9 ? 0 : 1);
        free(answer);
        free(request);
        free(many);
    }
    rig_stop(&rig);
}

SL_TEST(core_http_server, limits__connections_past__503)
{
    struct rig rig = {.limits = {.connections_max = 2}};
    rig_start(&rig);
    int a = rig_connect(&rig), b = rig_connect(&rig);
    rig_send_text(a, "GET /hello HTTP/1.1\r\n" H "\r\n");
    rig_send_text(b, "GET /hello HTTP/1.1\r\n" H "\r\n");
    free(rig_read_until(a, "world"));
    free(rig_read_until(b, "world"));
    int c = rig_connect(&rig);
    char *answer = rig_read_all(c);
    SL_CHECK_EQ_INT(rig_status(answer), 503);
    SL_CHECK_CONTAINS(answer, "too many connections");
    free(answer);
    close(a);
    close(b);
    close(c);
    rig_stop(&rig);
}

SL_TEST(core_http_server, timeouts__slow_head_slow_body_idle__408_408_closed)
{
    struct rig rig = {.limits = {.head_timeout_ms = 60,
                                 .body_timeout_ms = 60,
                                 .body_rate_min = 1000000,
                                 .idle_timeout_ms = 60}};
    rig_start(&rig);
    /* Trickling does not help: a byte now and then does not restart the clock. */
    int fd = rig_connect(&rig);
    const char *slow =
        "GET /hello HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct sl_buf got = SL_BUF_INIT(4096);
    for (const char *at = slow; *at != '\0' && got.len == 0; at++) {
        char bytes[2048];
        rig_send(fd, at, 1);
        struct timeval limit = {.tv_usec = 20000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        sl_buf_add(&got, bytes, n > 0 ? (size_t)n : 0);
    }
    SL_CHECK_EQ_INT(rig_status(sl_buf_str(&got)), 408);
    SL_CHECK_CONTAINS(sl_buf_str(&got), "the request head took too long");
    sl_buf_release(&got);
    close(fd);
    fd = rig_connect(&rig);
    rig_send_text(fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nabc");
    char *answer = rig_read_all(fd);
    SL_CHECK_EQ_INT(rig_status(answer), 408);
    SL_CHECK_CONTAINS(answer, "the request body came too slowly");
    free(answer);
    close(fd);
    fd = rig_connect(&rig);
    rig_send_text(fd, "PUT /upload HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nabc");
    answer = rig_read_all(fd);
    SL_CHECK_EQ_INT(rig_status(answer), 408);
    free(answer);
    close(fd);
    SL_CHECK_EQ_INT(atomic_load(&rig.gone), 1);
    fd = rig_connect(&rig);
    answer = rig_read_all(fd); /* silent */
    SL_CHECK_EQ_STR(answer, "");
    free(answer);
    close(fd);
    fd = rig_connect(&rig);
    rig_send_text(fd, "GET /hello HTTP/1.1\r\n" H "\r\n");
    answer = rig_read_all(fd); /* one answer, then the idle limit */
    SL_CHECK_EQ_INT(rig_count(answer, "HTTP/1.1 200"), 1);
    free(answer);
    close(fd);
    rig_stop(&rig);
}

SL_TEST(core_http_server, expect__continue__said_before_the_body_and_not_when_refused)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    int fd = rig_connect(&rig);
    rig_send_text(fd, "POST /echo HTTP/1.1\r\n" H C
                      "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    char *answer = rig_read_until(fd, "100 Continue\r\n\r\n");
    SL_CHECK_EQ_STR(answer, "HTTP/1.1 100 Continue\r\n\r\n");
    free(answer);
    rig_send_text(fd, "ab");
    answer = rig_read_all(fd);
    SL_CHECK_EQ_INT(rig_status(answer), 200);
    free(answer);
    close(fd);
    expect(&rig, "POST /secret HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
           401, "HTTP/1.1 401 Unauthorized");
    expect(&rig,
           "PUT /upload HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 0\r\n" C "\r\n",
           200, "HTTP/1.1 200 OK");
    rig_stop(&rig);
}

SL_TEST(core_http_server, stream__upload_of_one_MiB_pieces__all_counted)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    char *block = repeat("x", 1 << 20);
    int fd = rig_connect(&rig);
    rig_send_text(fd, "PUT /upload HTTP/1.1\r\n" H C "Content-Length: 33554432\r\n\r\n");
    for (int i = 0; i < 32; i++) {
        rig_send(fd, block, 1 << 20);
    }
    char *answer = rig_read_all(fd);
    SL_CHECK_EQ_INT(rig_status(answer), 200);
    SL_CHECK_CONTAINS(answer, "\r\n\r\n33554432");
    free(answer);
    close(fd);
    free(block);
    rig_stop(&rig);
}

static void rig_nothing(struct rig *rig)
{
    (void)rig;
}

static void *send_block(void *data)
{
    char *block = repeat("x", 1 << 20);
    for (int i = 0; i < 16; i++) {
        rig_send(*(int *)data, block, 1 << 20);
    }
    free(block);
    return NULL;
}

SL_TEST(core_http_server, stream__handler_pauses__socket_is_not_read_until_resumed)
{
    struct rig rig = {.hold = true};
    rig_start(&rig);
    int fd = rig_connect(&rig);
    rig_send_text(fd, "PUT /hold HTTP/1.1\r\n" H C "Content-Length: 16777216\r\n\r\n");
    pthread_t sender;
    SL_CHECK_EQ_INT(pthread_create(&sender, NULL, send_block, &fd), 0);
    while (sem_wait(&rig.holding) != 0) {
    }
    /* The sender fills the socket: it is stuck once poll says that there is no room. Only what one
     * read had brought has reached the handler. */
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    while (poll(&pfd, 1, 0) > 0) {
        sched_yield();
    }
    for (int turn = 0; turn < 100; turn++) {
        rig_on_loop(&rig, rig_nothing);
    }
    SL_CHECK(atomic_load(&rig.received) <= SL_HTTP_READ_BYTES);
    rig_on_loop(&rig, rig_resume);
    pthread_join(sender, NULL);
    char *answer = rig_read_all(fd);
    SL_CHECK_CONTAINS(answer, "\r\n\r\n16777216");
    free(answer);
    close(fd);
    rig_stop(&rig);
}

SL_TEST(core_http_server, stream__client_leaves_in_the_body__handler_is_told)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    int fd = rig_connect(&rig);
    rig_send_text(fd, "PUT /upload HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nabc");
    close(fd);
    fd = rig_connect(&rig);
    while (atomic_load(&rig.gone) == 0) {
        sched_yield();
    }
    rig_send_text(fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nabc");
    close(fd);
    rig_stop(&rig); /* waits for every request */
    SL_CHECK_EQ_INT(atomic_load(&rig.gone), 1);
    SL_CHECK_EQ_INT(atomic_load(&rig.bodies), 0);
}

SL_TEST(core_http_server, reply__in_the_middle_of_the_body__arrives_and_closes)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    char *block = repeat("x", 8 << 20);
    int fd = rig_connect(&rig);
    rig_send_text(fd, "PUT /early HTTP/1.1\r\n" H "Content-Length: 134217728\r\n\r\n");
    rig_send(fd, block, 1 << 19);
    char *answer = rig_read_until(fd, "not a model");
    SL_CHECK_EQ_INT(rig_status(answer), 400);
    SL_CHECK_CONTAINS(answer, "Connection: close");
    free(answer);
    close(fd);
    free(block);
    rig_stop(&rig);
}

SL_TEST(core_http_server, reply__later_and_after_half_close__arrives)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    int fd = rig_connect(&rig);
    rig_send_text(fd, "GET /later HTTP/1.1\r\n" H "\r\nGET /hello HTTP/1.1\r\n" H "\r\n");
    while (sem_wait(&rig.holding) != 0) {
    }
    rig_on_loop(&rig, rig_reply_held);
    char *answer = rig_read_until(fd, "world"); /* the pipelined one follows */
    SL_CHECK_CONTAINS(answer, "\r\n\r\nlaterHTTP/1.1 200");
    free(answer);
    rig_send_text(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
    while (sem_wait(&rig.holding) != 0) {
    }
    shutdown(fd, SHUT_WR);
    rig_on_loop(&rig, rig_reply_held);
    answer = rig_read_all(fd);
    SL_CHECK_CONTAINS(answer, "\r\n\r\nlater");
    free(answer);
    close(fd);
    /* Gone for good: the reply is dropped, nothing breaks. */
    fd = rig_connect(&rig);
    rig_send_text(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
    while (sem_wait(&rig.holding) != 0) {
    }
    close(fd);
    rig_on_loop(&rig, rig_reply_held);
    rig_stop(&rig);
}

SL_TEST(core_http_server, reply_stream__chunked_for_1_1_and_plain_for_1_0)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    expect(
        &rig, "GET /stream HTTP/1.1\r\n" H C "\r\n", 200,
        "Transfer-Encoding: chunked\r\n\r\n6\r\npiece \r\n6\r\npiece \r\n6\r\npiece \r\n0\r\n\r\n");
    expect(&rig, "GET /stream HTTP/1.0\r\n" H "\r\n", 200, "\r\n\r\npiece piece piece ");
    char *answer = rig_exchange(&rig, "GET /abort HTTP/1.1\r\n" H "\r\n");
    SL_CHECK_CONTAINS(answer, "4\r\nhalf\r\n");
    SL_CHECK(strstr(answer, "0\r\n\r\n") == NULL);
    free(answer);
    rig_stop(&rig);
}

SL_TEST(core_http_server, reply_stream__client_does_not_read__cut_at_the_queue_limit)
{
    struct rig rig = {.limits = {.write_queue_max = 1 << 20}};
    rig_start(&rig);
    int fd = rig_connect(&rig);
    rig_send_text(fd, "GET /flood HTTP/1.1\r\n" H "\r\n");
    while (sem_wait(&rig.holding) != 0) {
    }
    /* What was written: the queue's limit and what the kernel took, no more. */
    SL_CHECK(atomic_load(&rig.received) < (size_t)4 << 20);
    SL_CHECK_EQ_INT(atomic_load(&rig.gone), 1);
    close(fd);
    rig_stop(&rig);
}

SL_TEST(core_http_server, reply__client_does_not_read__write_timeout_cuts_it)
{
    struct rig rig = {.limits = {.write_timeout_ms = 50}};
    rig_start(&rig);
    char *body = repeat("y", 1 << 20);
    int fd = rig_connect(&rig);
    char *request =
        sl_asprintf("POST /echo HTTP/1.1\r\n" H "Content-Length: 1048576\r\n\r\n%s", body);
    rig_send_text(fd, request);
    /* Reading nothing: the server must end the connection by itself. */
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    for (;;) {
        ssize_t n = send(fd, body, 1 << 20, MSG_NOSIGNAL);
        if (n < 0) {
            SL_CHECK(errno == EPIPE || errno == ECONNRESET);
            break;
        }
    }
    close(fd);
    free(request);
    free(body);
    rig_stop(&rig);
}

SL_TEST(core_http_server, events__resume_keepalive_and_gone)
{
    struct rig rig = {.limits = {.sse_keepalive_ms = 20}};
    rig_start(&rig);
    char *answer = rig_exchange(&rig, "GET /events HTTP/1.0\r\n" H "\r\n");
    SL_CHECK_CONTAINS(answer, "Content-Type: text/event-stream\r\nCache-Control: no-store\r\n");
    SL_CHECK_CONTAINS(answer,
                      "id: 1\ndata: a\ndata: b\n\nid: 2\nevent: even\ndata: a\ndata: b\n\n");
    SL_CHECK_EQ_INT(rig_count(answer, "\n\n"), 5);
    free(answer);
    answer = rig_exchange(&rig, "GET /events HTTP/1.0\r\n" H "Last-Event-ID: 3\r\n\r\n");
    SL_CHECK_EQ_INT(rig_count(answer, "\n\n"), 2);
    SL_CHECK_CONTAINS(answer, "\r\n\r\nid: 4\n");
    free(answer);
    expect(&rig, "GET /events?last_event_id=4 HTTP/1.1\r\n" H C "\r\n", 200, "\r\nid: 5\n");
    expect(&rig, "GET /events HTTP/1.1\r\n" H C "Last-Event-ID: x\r\n\r\n", 400, "is not a number");
    int fd = rig_connect(&rig);
    rig_send_text(fd, "GET /events?stay HTTP/1.1\r\n" H "\r\n");
    answer = rig_read_until(fd, ": keep-alive\n\n");
    free(answer);
    answer = rig_read_until(fd, ": keep-alive\n\n");
    free(answer);
    close(fd);
    fd = rig_connect(&rig); /* this one is told by the closing server, and ends cleanly */
    rig_send_text(fd, "GET /events?stay HTTP/1.1\r\n" H "\r\n");
    while (sem_wait(&rig.streaming) != 0) {
    }
    while (sem_wait(&rig.streaming) != 0) {
    }
    rig_stop(&rig);
    SL_CHECK_EQ_INT(atomic_load(&rig.gone), 2);
    answer = rig_read_all(fd);
    SL_CHECK_CONTAINS(answer, "\r\n0\r\n\r\n");
    free(answer);
    close(fd);
}

SL_TEST(core_http_server, close__grace_over__stuck_clients_are_cut)
{
    struct rig rig = {.grace_ms = 30};
    rig_start(&rig);
    int fd = rig_connect(&rig);
    rig_send_text(fd, "GET /hello HTTP/1.1\r\n" H "\r\n");
    free(rig_read_until(fd, "world"));
    rig_send_text(fd, "POST /echo HTTP/1.1\r\n" H
                      "Expect: 100-continue\r\nContent-Length: 100\r\n\r\n");
    free(rig_read_until(fd, "100 Continue\r\n\r\n"));
    rig_stop(&rig);
    char *answer = rig_read_all(fd);
    SL_CHECK_EQ_STR(answer, "");
    free(answer);
    close(fd);
}

SL_TEST(core_http_server, connections__1000_idle__all_served_in_little_memory)
{
    enum { MANY = 1000 };
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < 2 * MANY + 100) {
        SL_FAIL("this machine allows only %llu descriptors", (unsigned long long)files.rlim_cur);
    }
    struct rig rig = {.hold = false};
    rig_start(&rig);
    int fds[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = rig_connect(&rig);
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < MANY; i++) {
            rig_send_text(fds[i], "GET /hello HTTP/1.1\r\n" H "\r\n");
        }
        for (int i = 0; i < MANY; i++) {
            free(rig_read_until(fds[i], "world"));
        }
    }
    SL_CHECK_EQ_INT(atomic_load(&rig.handled), 2 * MANY);
    for (int i = 0; i < MANY; i++) {
        close(fds[i]);
    }
    rig_stop(&rig);
}

SL_TEST(core_http_server, socket__mode_long_path_second_server_and_leftovers)
{
    struct sl_err err = SL_ERR_INIT;
    struct rig rig = {.hold = false};
    rig_start(&rig);
    struct stat st;
    SL_CHECK_EQ_INT(lstat(rig.socket_path, &st), 0);
    SL_CHECK_EQ_INT(st.st_mode & 07777, 0600);
    int dirfd = open(rig.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK_ERR(sl_unix_listen(dirfd, "sock", &err), SL_EBUSY, err,
                 "another process answers on socket 'sock'");
    SL_CHECK_ERR(sl_unix_listen(dirfd, "a/b", &err), SL_EINVAL, err, "cannot name a socket");
    close(dirfd);
    rig_stop(&rig);

    char *dir = sl_test_tmpdir(), *part = repeat("d", 200);
    char *deep = sl_asprintf("%s/%s", dir, part);
    SL_CHECK_EQ_INT(mkdir(deep, 0700), 0);
    dirfd = open(deep, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *path = sl_test_path(deep, "sock");
    SL_CHECK_ERR(sl_unix_connect(path, &err), SL_EUNREACHABLE, err, "nobody listens");
    int listener = sl_unix_listen(dirfd, "sock", &err);
    SL_CHECK_OK(listener, err);
    int fd = sl_unix_connect(path, &err);
    SL_CHECK_OK(fd, err);
    uid_t uid = 0;
    SL_CHECK_OK(sl_unix_peer_uid(fd, &uid, &err), err);
    SL_CHECK_EQ_INT(uid, geteuid());
    close(fd);
    close(listener); /* the file stays, dead */
    SL_CHECK_ERR(sl_unix_connect(path, &err), SL_EUNREACHABLE, err, "nobody listens");
    listener = sl_unix_listen(dirfd, "sock", &err);
    SL_CHECK_OK(listener, err);
    close(listener);
    SL_CHECK_EQ_INT(unlink(path), 0);
    sl_test_write_text(path, "a file");
    SL_CHECK_ERR(sl_unix_listen(dirfd, "sock", &err), SL_EEXISTS, err, "is not a socket");
    close(dirfd);
    free(path);
    free(deep);
    free(part);
    sl_test_rmdir(dir);
}
