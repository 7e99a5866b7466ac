/**
 * The server's life: listening, accepting, closing gracefully.
 *
 * Thread: loop.
 */
#include "core/base/base.h"

#include "core/http/http_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/http/unixsock.h"

int sl_http_server_new(struct sl_loop *loop, const struct sl_http_server_opts *opts,
                       struct sl_http_server **ret_server, struct sl_err *err)
{
    SL_ON_LOOP(loop);
    (void)err;
    struct sl_http_server *server = SL_NEW(struct sl_http_server);
    server->loop = loop;
    server->opts = *opts;
    sl_http_limits_complete(&server->opts.limits);
    server->router = sl_router_new(opts->routes, opts->n_routes);
    server->dirfd = -1;
    LIST_INIT(&server->conns);
    *ret_server = server;
    return 0;
}

/* Only our own user and root get in; others are dropped without a word. */
static bool may_connect(struct sl_conn *conn, uid_t *ret_uid)
{
    uv_os_fd_t fd = -1;
    uid_t uid = (uid_t)-1;
    if (uv_fileno(&conn->io.handle, &fd) != 0 || sl_unix_peer_uid(fd, &uid, NULL) != 0) {
        return false;
    }
    *ret_uid = uid;
    return conn->server->opts.shared || uid == geteuid() || uid == 0;
}

static void on_connection(uv_stream_t *listener, int status)
{
    static const struct sl_http_fault full = {503, "too many connections"};
    struct sl_http_server *server = listener->data;
    if (status != 0) {
        return; /* a connection that went away before it was accepted */
    }
    struct sl_conn *conn = sl_conn_new(server);
    uid_t uid = (uid_t)-1;
    if (uv_accept(listener, &conn->io.stream) != 0 || !may_connect(conn, &uid)) {
        sl_conn_close(conn);
        return;
    }
    sl_conn_open(conn, uid);
    if (server->n_conns > server->opts.limits.connections_max && conn->state == SL_CONN_HEAD) {
        sl_conn_refuse(conn, &full);
    }
}

int sl_http_server_listen_unix(struct sl_http_server *server, int dirfd, const char *name,
                               struct sl_err *err)
{
    SL_ON_LOOP(server->loop);
    SL_ASSERT(!server->listening && !server->closing);
    _cleanup_(close)
    int own_dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
    if (own_dirfd < 0) {
        return sl_err_errno(err, errno, "cannot keep the socket's directory");
    }
    int fd = sl_unix_listen(own_dirfd, name, err);
    if (fd < 0) {
        return fd;
    }
    const struct sl_http_server_opts *o = &server->opts;
    if (o->shared && (fchownat(own_dirfd, name, (uid_t)-1, o->gid, AT_SYMLINK_NOFOLLOW) != 0 ||
                      fchmodat(own_dirfd, name, 0660, 0) != 0)) {
        int cause = errno;
        (void)close(fd);
        (void)unlinkat(own_dirfd, name, 0);
        return sl_err_errno(err, cause, "cannot share socket '%s' with the group", name);
    }
    SL_ASSERT(uv_pipe_init(sl_loop_uv(server->loop), &server->listener, 0) == 0);
    server->listener.data = server;
    server->listening = server->listener_open = true;
    server->dirfd = sl_take_fd(own_dirfd);
    server->name = sl_strdup(name);
    int status = uv_pipe_open(&server->listener, fd);
    if (status != 0) {
        (void)close(fd);
    } else {
        status = uv_listen((uv_stream_t *)&server->listener, SL_HTTP_BACKLOG, on_connection);
    }
    /* On failure the half-open listener goes with the server. */
    return status != 0 ? sl_err_errno(err, -status, "cannot listen on socket '%s'", name) : 0;
}

int sl_http_server_adopt(struct sl_http_server *server, int fd, struct sl_err *err)
{
    SL_ON_LOOP(server->loop);
    SL_ASSERT(!server->closing);
    struct sl_conn *conn = sl_conn_new(server);
    int status = uv_pipe_open(&conn->io.pipe, fd);
    if (status != 0) {
        (void)close(fd);
        sl_conn_close(conn);
        return sl_err_errno(err, -status, "cannot take the connection over");
    }
    uid_t uid = (uid_t)-1;
    if (sl_unix_peer_uid(fd, &uid, NULL) != 0) {
        uid = (uid_t)-1; /* a socket of another family */
    }
    sl_conn_open(conn, uid);
    return 0;
}

size_t sl_http_server_connections(const struct sl_http_server *server)
{
    return server->n_conns;
}

/* ---- closing ---- */

static void on_settled(struct sl_post *post)
{
    struct sl_http_server *server = SL_CONTAINER_OF(post, struct sl_http_server, closed_post);
    void (*closed)(void *) = server->closed;
    void *data = server->closed_data;
    sl_cleanup_close(&server->dirfd);
    sl_router_free(server->router);
    free(server->name);
    free(server);
    if (closed != NULL) {
        closed(data);
    }
}

void sl_http_server_settle(struct sl_http_server *server)
{
    if (!server->closing || server->settled || server->listener_open || server->n_conns > 0 ||
        server->n_reqs > 0) {
        return;
    }
    server->settled = true;
    sl_timer_stop(&server->grace);
    server->closed_post.fn = on_settled;
    sl_loop_post(server->loop, &server->closed_post);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct sl_http_server *server = handle->data;
    server->listener_open = false;
    sl_http_server_settle(server);
}

static void on_grace_over(struct sl_timer *timer)
{
    struct sl_http_server *server = SL_CONTAINER_OF(timer, struct sl_http_server, grace);
    struct sl_conn *conn;
    LIST_FOREACH (conn, &server->conns, link) {
        sl_conn_close(conn); /* leaves the list only when libuv has let go, later */
    }
}

static void say_goodbye(struct sl_conn *conn)
{
    conn->close_after = true;
    struct sl_req *req = conn->req;
    if (conn->state == SL_CONN_HEAD && sl_conn_pending(conn) == 0) {
        sl_conn_close(conn);
    } else if (conn->state == SL_CONN_HEAD) {
        sl_conn_linger(conn);
        sl_conn_pump(conn);
    } else if (req != NULL && req->phase == SL_REQ_STREAMING && req->stream.gone != NULL) {
        void (*gone)(struct sl_req *) = req->stream.gone;
        req->stream.gone = NULL;
        gone(req);
    }
}

void sl_http_server_close(struct sl_http_server *server, int64_t grace_ms,
                          void (*closed)(void *data), void *data)
{
    SL_ON_LOOP(server->loop);
    SL_ASSERT(!server->closing);
    server->closing = true;
    server->closed = closed;
    server->closed_data = data;
    if (server->listening) {
        (void)unlinkat(server->dirfd, server->name, 0); /* before closing: no refused connects */
        uv_close((uv_handle_t *)&server->listener, on_listener_closed);
    }
    server->grace.fn = on_grace_over;
    sl_timer_start(server->loop, &server->grace, grace_ms);
    struct sl_conn *conn;
    LIST_FOREACH (conn, &server->conns, link) {
        say_goodbye(conn);
    }
    sl_http_server_settle(server);
}
