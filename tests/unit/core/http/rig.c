/* The test server of this folder. */
#include "core/base/base.h"

#include "tests/unit/core/http/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/http/unixsock.h"

#define READ_MAX (64u << 20)

static struct rig *rig_of(struct sl_req *req)
{
    return sl_req_server_data(req);
}

static void hello(struct sl_req *req)
{
    atomic_fetch_add(&rig_of(req)->handled, 1);
    json_auto_t *value = json_pack("{s:s}", "hello", "world");
    sl_reply_json(req, 200, value);
}

static void item(struct sl_req *req)
{
    const char *id = sl_req_param(req, "id"), *q = sl_req_query(req, "q");
    char *text = sl_arena_printf(sl_req_arena(req), "id=%s q=%s path=%s", id, q != NULL ? q : "-",
                                 sl_req_path(req));
    sl_reply_bytes(req, 200, "text/plain", text, strlen(text));
}

static void echo(struct sl_req *req)
{
    struct sl_str body = sl_req_body(req);
    atomic_fetch_add(&rig_of(req)->bodies, 1);
    sl_reply_bytes(req, 200, "application/octet-stream", body.ptr, body.len);
}

static void boom(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    (void)sl_err_set(&err, SL_ECONFLICT, "the \"alias\" moved");
    sl_reply_error(req, &err);
}

static void headers(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_reply_header(req, "ETag", "\"abc\"", &err), err);
    SL_CHECK_ERR(sl_reply_header(req, "X", "a\r\nb: c", &err), SL_EINVAL, err, "malformed reply");
    SL_CHECK_ERR(sl_reply_header(req, "X y", "a", &err), SL_EINVAL, err, "malformed reply header");
    sl_reply_empty(req, 204);
}

/* Counts bytes as they come. */
static void count_piece(struct sl_req *req, const void *data, size_t len)
{
    struct rig *rig = rig_of(req);
    atomic_fetch_add(&rig->received, len);
    if (data == NULL) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%zu", atomic_load(&rig->received));
        sl_reply_bytes(req, 200, "text/plain", text, (size_t)n);
    }
}

static void reader_gone(struct sl_req *req)
{
    atomic_fetch_add(&rig_of(req)->gone, 1);
    sl_reply_empty(req, 204);
}

static void upload(struct sl_req *req)
{
    static const struct sl_req_reader reader = {count_piece, reader_gone};
    sl_req_read(req, &reader);
}

static void hold_piece(struct sl_req *req, const void *data, size_t len)
{
    struct rig *rig = rig_of(req);
    if (data != NULL && atomic_exchange(&rig->hold, false)) {
        rig->held = req;
        sl_req_read_pause(req);
        sem_post(&rig->holding);
    }
    count_piece(req, data, len);
}

static void hold(struct sl_req *req)
{
    static const struct sl_req_reader reader = {hold_piece, reader_gone};
    sl_req_read(req, &reader);
}

/* Answers in the middle of the body. */
static void early_piece(struct sl_req *req, const void *data, size_t len)
{
    (void)data;
    (void)len;
    struct sl_err err = SL_ERR_INIT;
    (void)sl_err_set(&err, SL_EINVAL, "not a model");
    sl_reply_error(req, &err);
}

static void early(struct sl_req *req)
{
    static const struct sl_req_reader reader = {early_piece, reader_gone};
    sl_req_read(req, &reader);
}

static void later(struct sl_req *req)
{
    rig_of(req)->held = req;
    sem_post(&rig_of(req)->holding);
}

static void stream(struct sl_req *req)
{
    sl_reply_begin(req, 200, "text/plain", NULL);
    for (int i = 0; i < 3; i++) {
        struct sl_err err = SL_ERR_INIT;
        SL_CHECK_OK(sl_reply_write(req, "piece ", 6, &err), err);
    }
    sl_reply_end(req);
}

static void flood(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    char *block = sl_calloc(1, 65536);
    sl_reply_begin(req, 200, "application/octet-stream", NULL);
    int rc = 0;
    while (rc == 0) {
        rc = sl_reply_write(req, block, 65536, &err);
        atomic_fetch_add(&rig_of(req)->received, 65536);
    }
    free(block);
    SL_CHECK_EQ_INT(rc, -SL_ELIMIT);
    SL_CHECK(sl_reply_gone(req));
    atomic_fetch_add(&rig_of(req)->gone, 1);
    sem_post(&rig_of(req)->holding);
    sl_reply_end(req);
}

static void abort_reply(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    sl_reply_begin(req, 200, "text/plain", NULL);
    SL_CHECK_OK(sl_reply_write(req, "half", 4, &err), err);
    sl_reply_abort(req);
}

static void events_gone(struct sl_req *req)
{
    atomic_fetch_add(&rig_of(req)->gone, 1);
    sl_reply_end(req);
}

/* Events after the last id, up to 5; with ?stay the stream stays open. */
static void events(struct sl_req *req)
{
    static const struct sl_reply_stream callbacks = {.gone = events_gone};
    struct sl_err err = SL_ERR_INIT;
    uint64_t last = 0;
    if (sl_sse_last_id(req, &last, &err) != 0) {
        sl_reply_error(req, &err);
        return;
    }
    bool stay = sl_req_query(req, "stay") != NULL;
    sl_sse_begin(req, &callbacks);
    int rc = 0;
    for (uint64_t id = last + 1; id <= 5 && rc == 0; id++) {
        rc = sl_sse_send(req, id, id % 2 == 0 ? "even" : NULL, SL_STR("a\nb"), &err);
    }
    if (rc != 0) { /* a client that stopped early */
        SL_CHECK_EQ_INT(rc, -SL_ECANCELLED);
        sl_reply_end(req);
        return;
    }
    SL_CHECK_ERR(sl_sse_send(req, 0, "a\nb", SL_STR(""), &err), SL_EINVAL, err, "line break");
    if (stay) {
        sem_post(&rig_of(req)->streaming);
    } else {
        sl_reply_end(req);
    }
}

static void rest(struct sl_req *req)
{
    const char *path = sl_req_param(req, "path");
    sl_reply_bytes(req, 200, "text/plain", path, strlen(path));
}

static const struct sl_route routes[] = {
    {"GET", "/hello", hello, NULL, 0, 0, "say hello"},
    {"GET", "/items/{id}", item, "items.read", 0, 0, "one item"},
    {"GET", "/files/{path...}", rest, NULL, 0, 0, "a file"},
    {"POST", "/echo", echo, NULL, 1 << 20, 0, "the body"},
    {"GET", "/boom", boom, NULL, 0, 0, "an error"},
    {"GET", "/headers", headers, NULL, 0, 0, "headers"},
    {"PUT", "/upload", upload, NULL, 256 << 20, SL_ROUTE_STREAM_BODY, "bytes"},
    {"PUT", "/small", upload, NULL, 10, SL_ROUTE_STREAM_BODY, "few bytes"},
    {"PUT", "/hold", hold, NULL, 256 << 20, SL_ROUTE_STREAM_BODY, "slow bytes"},
    {"PUT", "/early", early, NULL, 256 << 20, SL_ROUTE_STREAM_BODY, "early answer"},
    {"GET", "/later", later, NULL, 0, 0, "answers later"},
    {"GET", "/stream", stream, NULL, 0, 0, "pieces"},
    {"GET", "/flood", flood, NULL, 0, 0, "too much"},
    {"GET", "/abort", abort_reply, NULL, 0, 0, "half"},
    {"GET", "/events", events, NULL, 0, 0, "events"},
    {"GET", "/secret", hello, "admin", 0, 0, "refused"},
    {"POST", "/secret", echo, "admin", 100, 0, "refused"},
};

static int authorize(struct sl_req *req, const struct sl_route *route, struct sl_err *err)
{
    SL_CHECK(sl_req_peer_uid(req) == geteuid());
    if (route->permission != NULL && strcmp(route->permission, "admin") == 0) {
        return sl_err_set(err, SL_EAUTH, "%s needs permission %s", route->pattern,
                          route->permission);
    }
    return 0;
}

static void *rig_main(void *data)
{
    struct rig *rig = data;
    struct sl_err err = SL_ERR_INIT;
    struct sl_http_server_opts opts = {.routes = routes,
                                       .n_routes = SL_LEN(routes),
                                       .limits = rig->limits,
                                       .authorize = authorize,
                                       .data = rig};
    SL_CHECK_OK(sl_loop_new(&rig->loop, &err), err);
    SL_CHECK_OK(sl_http_server_new(rig->loop, &opts, &rig->server, &err), err);
    int dirfd = open(rig->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK_OK(sl_http_server_listen_unix(rig->server, dirfd, "sock", &err), err);
    close(dirfd);
    sem_post(&rig->ready);
    sl_loop_run(rig->loop);
    sl_loop_free(rig->loop);
    return NULL;
}

void rig_start(struct rig *rig)
{
    rig->dir = sl_test_tmpdir();
    rig->socket_path = sl_test_path(rig->dir, "sock");
    sem_init(&rig->ready, 0, 0);
    sem_init(&rig->holding, 0, 0);
    sem_init(&rig->streaming, 0, 0);
    SL_CHECK_EQ_INT(pthread_create(&rig->thread, NULL, rig_main, rig), 0);
    while (sem_wait(&rig->ready) != 0) {
    }
}

static void on_server_closed(void *data)
{
    struct rig *rig = data;
    sl_loop_stop(rig->loop);
}

static void close_server(struct rig *rig)
{
    sl_http_server_close(rig->server, rig->grace_ms > 0 ? rig->grace_ms : 5000, on_server_closed,
                         rig);
}

void rig_stop(struct rig *rig)
{
    rig_on_loop(rig, close_server);
    pthread_join(rig->thread, NULL);
    SL_CHECK(!sl_test_exists(rig->socket_path));
    free(rig->socket_path);
    sl_test_rmdir(rig->dir);
    sem_destroy(&rig->ready);
    sem_destroy(&rig->holding);
    sem_destroy(&rig->streaming);
}

struct loop_call {
    struct sl_post post;
    struct rig *rig;
    void (*fn)(struct rig *rig);
    sem_t done;
};

static void run_call(struct sl_post *post)
{
    struct loop_call *call = SL_CONTAINER_OF(post, struct loop_call, post);
    call->fn(call->rig);
    sem_post(&call->done);
}

void rig_on_loop(struct rig *rig, void (*fn)(struct rig *rig))
{
    struct loop_call call = {.post = {.fn = run_call}, .rig = rig, .fn = fn};
    sem_init(&call.done, 0, 0);
    sl_loop_post(rig->loop, &call.post);
    while (sem_wait(&call.done) != 0) {
    }
    sem_destroy(&call.done);
}

void rig_resume(struct rig *rig)
{
    sl_req_read_resume(rig->held);
}

void rig_reply_held(struct rig *rig)
{
    sl_reply_bytes(rig->held, 200, "text/plain", "later", 5);
    rig->held = NULL;
}

int rig_connect(struct rig *rig)
{
    struct sl_err err = SL_ERR_INIT;
    int fd = sl_unix_connect(rig->socket_path, &err);
    SL_CHECK_OK(fd, err);
    struct timeval limit = {.tv_sec = 20};
    SL_CHECK_EQ_INT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    SL_CHECK_EQ_INT(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
    return fd;
}

void rig_send(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return;
        }
        SL_CHECK(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

void rig_send_text(int fd, const char *text)
{
    rig_send(fd, text, strlen(text));
}

static char *read_text(int fd, const char *needle)
{
    struct sl_buf out = SL_BUF_INIT(READ_MAX);
    for (;;) {
        char bytes[8192];
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        if (n < 0 && errno == ECONNRESET) {
            break;
        }
        SL_CHECK_MSG(n >= 0, "no more came within 20 s; so far: %s", sl_buf_str(&out));
        if (n == 0) {
            SL_CHECK_MSG(needle == NULL, "closed before '%s'; got: %s", needle, sl_buf_str(&out));
            break;
        }
        sl_buf_add(&out, bytes, (size_t)n);
        if (needle != NULL && strstr(sl_buf_str(&out), needle) != NULL) {
            break;
        }
    }
    char *text = sl_strdup(sl_buf_str(&out));
    sl_buf_release(&out);
    return text;
}

char *rig_read_all(int fd)
{
    return read_text(fd, NULL);
}

char *rig_read_until(int fd, const char *needle)
{
    return read_text(fd, needle);
}

char *rig_exchange(struct rig *rig, const char *text)
{
    int fd = rig_connect(rig);
    rig_send_text(fd, text);
    char *answer = rig_read_all(fd);
    close(fd);
    return answer;
}

int rig_count(const char *text, const char *needle)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, needle)) != NULL; at += strlen(needle)) {
        n++;
    }
    return n;
}

int rig_status(const char *text)
{
    int status = 0;
    return strncmp(text, "HTTP/1.1 ", 9) == 0 && sscanf(text + 9, "%d", &status) == 1 ? status : 0;
}
