/* The synchronous client against the real server, and the event reader by bytes. */
#include "core/base/base.h"

#include "core/http/client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/http/sse_reader.h"
#include "core/http/unixsock.h"
#include "tests/unit/core/http/rig.h"

SL_TEST(core_http_client, call__get_post_and_error__status_body_and_code)
{
    struct sl_err err = SL_ERR_INIT;
    struct rig rig = {.hold = false};
    rig_start(&rig);
    struct sl_http_answer answer;
    struct sl_http_call call = {
        .socket_path = rig.socket_path, .method = "GET", .target = "/hello"};
    SL_CHECK_OK(sl_http_call(&call, &answer, &err), err);
    SL_CHECK_EQ_INT(answer.status, 200);
    SL_CHECK_EQ_STR(answer.content_type, "application/json");
    SL_CHECK_EQ_UINT(strlen(answer.request_id), 32);
    SL_CHECK_EQ_STR(sl_buf_str(&answer.body), "{\"hello\":\"world\"}");
    SL_CHECK_EQ_INT(sl_http_answer_error(&answer, &err), 0);
    sl_http_answer_release(&answer);

    char *body = sl_calloc(1, (1 << 20) + 2);
    memset(body, 'b', (1 << 20) + 1);
    call = (struct sl_http_call){.socket_path = rig.socket_path,
                                 .method = "POST",
                                 .target = "/echo",
                                 .content_type = "text/plain",
                                 .body = {body, 1 << 20}};
    SL_CHECK_OK(sl_http_call(&call, &answer, &err), err);
    SL_CHECK_EQ_UINT(answer.body.len, 1 << 20);
    sl_http_answer_release(&answer);
    call.body_max = (1 << 20) - 1;
    SL_CHECK_ERR(sl_http_call(&call, &answer, &err), SL_ELIMIT, err, "over 1048575 bytes");
    call.body_max = 1 << 20;
    call.body.len = (1 << 20) + 1; /* refused before it is sent: the answer still arrives */
    SL_CHECK_OK(sl_http_call(&call, &answer, &err), err);
    SL_CHECK_EQ_INT(answer.status, 413);
    SL_CHECK_ERR(sl_http_answer_error(&answer, &err), SL_ELIMIT, err, "at most 1048576");
    sl_http_answer_release(&answer);
    free(body);

    call =
        (struct sl_http_call){.socket_path = rig.socket_path, .method = "GET", .target = "/boom"};
    SL_CHECK_OK(sl_http_call(&call, &answer, &err), err);
    SL_CHECK_ERR(sl_http_answer_error(&answer, &err), SL_ECONFLICT, err, "the \"alias\" moved");
    sl_http_answer_release(&answer);
    call.method = "HEAD";
    call.target = "/hello";
    SL_CHECK_OK(sl_http_call(&call, &answer, &err), err);
    SL_CHECK_EQ_UINT(answer.body.len, 0);
    sl_http_answer_release(&answer);
    call.method = "GET";
    call.target = "/abort";
    SL_CHECK_ERR(sl_http_call(&call, &answer, &err), SL_EIO, err, "in the middle of the answer");
    call.target = "/hello\r\nX: y";
    SL_CHECK_ERR(sl_http_call(&call, &answer, &err), SL_EINVAL, err, "malformed request");
    const char *bad[] = {"Name", "a\r\nb", NULL};
    call.target = "/hello";
    call.headers = bad;
    SL_CHECK_ERR(sl_http_call(&call, &answer, &err), SL_EINVAL, err, "malformed request");
    rig_stop(&rig);
}

SL_TEST(core_http_client, call__nobody_listens__unreachable)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_http_answer answer;
    char *dir = sl_test_tmpdir(), *path = sl_test_path(dir, "sock");
    struct sl_http_call call = {.socket_path = path, .method = "GET", .target = "/"};
    SL_CHECK_ERR(sl_http_call(&call, &answer, &err), SL_EUNREACHABLE, err, "nobody listens");
    call.socket_path = "/no/such/dir/sock";
    SL_CHECK_ERR(sl_http_call(&call, &answer, &err), SL_EUNREACHABLE, err,
                 "nobody listens on socket '/no/such/dir/sock'");
    free(path);
    sl_test_rmdir(dir);
}

/** A server that dies when it has a connection: takes one, reads nothing, lets go. */
static void *take_and_drop(void *data)
{
    int taken = accept(*(int *)data, NULL, NULL);
    close(taken);
    return NULL;
}

/* A dying engine's socket may still take connections: a question goes to the database then, an order must not
 * be given twice. */
SL_TEST(core_http_client, call__dropped_before_any_answer__question_unreachable_order_broken)
{
    static const struct {
        const char *method;
        int code;
    } cases[] = {{"GET", SL_EUNREACHABLE}, {"POST", SL_EIO}};
    char *dir = sl_test_tmpdir(), *path = sl_test_path(dir, "sock");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SL_CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0);
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_http_answer answer;
        struct sl_http_call call = {.socket_path = path, .method = cases[i].method, .target = "/"};
        pthread_t thread;
        SL_CHECK(pthread_create(&thread, NULL, take_and_drop, &fd) == 0);
        SL_CHECK_ERR(sl_http_call(&call, &answer, &err), cases[i].code, err, "");
        SL_CHECK(pthread_join(thread, NULL) == 0);
    }
    close(fd);
    free(path);
    sl_test_rmdir(dir);
}

SL_TEST(core_http_client, call__no_answer__times_out)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_http_answer answer;
    struct rig rig = {.hold = false};
    rig_start(&rig);
    struct sl_http_call call = {
        .socket_path = rig.socket_path, .method = "GET", .target = "/later", .timeout_ms = 20};
    SL_CHECK_ERR(sl_http_call(&call, &answer, &err), SL_ETIMEOUT, err, "no answer within 20 ms");
    while (sem_wait(&rig.holding) != 0) {
    }
    rig_on_loop(&rig, rig_reply_held);
    rig_stop(&rig);
}

struct seen {
    int n, stop_at;
    struct sl_buf log;
};

static int on_event(const struct sl_http_event *event, void *data, struct sl_err *err)
{
    struct seen *seen = data;
    (void)err;
    sl_buf_printf(&seen->log, "[%s|%s|%.*s]", event->id, event->event, (int)event->data.len,
                  event->data.ptr);
    return ++seen->n == seen->stop_at ? 1 : 0;
}

SL_TEST(core_http_client, follow__resume_stop_and_refusal__events_in_order)
{
    struct sl_err err = SL_ERR_INIT;
    struct rig rig = {.hold = false};
    rig_start(&rig);
    struct seen seen = {.log = SL_BUF_INIT(4096)};
    struct sl_http_call call = {
        .socket_path = rig.socket_path, .method = "GET", .target = "/events"};
    SL_CHECK_OK(sl_http_follow(&call, "3", on_event, &seen, &err), err);
    SL_CHECK_EQ_STR(sl_buf_str(&seen.log), "[4|even|a\nb][5|message|a\nb]");
    sl_buf_clear(&seen.log);
    seen.n = 0;
    seen.stop_at = 2;
    call.target = "/events?stay";
    SL_CHECK_OK(sl_http_follow(&call, NULL, on_event, &seen, &err), err);
    SL_CHECK_EQ_STR(sl_buf_str(&seen.log), "[1|message|a\nb][2|even|a\nb]");
    SL_CHECK_ERR(sl_http_follow(&call, "x", on_event, &seen, &err), SL_EINVAL, err,
                 "is not a number");
    call.target = "/hello2";
    SL_CHECK_ERR(sl_http_follow(&call, NULL, on_event, &seen, &err), SL_ENOTFOUND, err,
                 "did you mean '/hello'?");
    sl_buf_release(&seen.log);
    rig_stop(&rig);
}

static void feed(const char *text, size_t step, const char *expected)
{
    struct sl_err err = SL_ERR_INIT;
    struct seen seen = {.log = SL_BUF_INIT(4096)};
    struct sl_sse_reader reader;
    sl_sse_reader_init(&reader, on_event, &seen);
    for (size_t at = 0, len = strlen(text); at < len; at += step) {
        SL_CHECK_OK(sl_sse_feed(&reader, text + at, SL_MIN(step, len - at), &err), err);
    }
    SL_CHECK_EQ_STR(sl_buf_str(&seen.log), expected);
    sl_buf_release(&seen.log);
    sl_sse_reader_release(&reader);
}

/* The examples of the WHATWG HTML standard, section 9.2.6, and its line-ending rules. */
SL_TEST(core_http_client, sse_reader__standards_examples__in_any_pieces)
{
    for (size_t step = 1; step <= 64; step++) {
        feed("data: YHOO\ndata: +2\ndata: 10\n\n", step, "[|message|YHOO\n+2\n10]");
        feed(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third "
             "event\n\n",
             step, "[1|message|first event][|message|second event][|message| third event]");
        feed("data\n\ndata\ndata\n\ndata:", step, "[|message|][|message|\n]");
        feed("data:test\n\ndata: test\n\n", step, "[|message|test][|message|test]");
        feed("\xef\xbb\xbf"
             "data: a\r\n\r\ndata: b\r\rdata: c\n\n",
             step, "[|message|a][|message|b][|message|c]");
        feed("event: x\n\nevent: y\ndata: 1\n\nunknownfield: 3\nretry: 5\ndata: 2\n\n", step,
             "[|y|1][|message|2]");
    }
}

SL_TEST(core_http_client, sse_reader__event_at_limit_and_past__taken_and_refused)
{
    struct sl_err err = SL_ERR_INIT;
    struct seen seen = {.log = SL_BUF_INIT(2 << 20)};
    struct sl_sse_reader reader;
    sl_sse_reader_init(&reader, on_event, &seen);
    char *text = sl_calloc(1, SL_HTTP_EVENT_MAX + 2);
    memset(text, 'x', SL_HTTP_EVENT_MAX);
    memcpy(text, "data: ", 6);
    SL_CHECK_OK(sl_sse_feed(&reader, text, SL_HTTP_EVENT_MAX, &err), err);
    SL_CHECK_ERR(sl_sse_feed(&reader, "y", 1, &err), SL_ELIMIT, err, "an event is over 1048576");
    free(text);
    sl_buf_release(&seen.log);
    sl_sse_reader_release(&reader);
}
