/**
 * The inside of the server: connections, requests, and who may touch what.
 *
 *   HEAD --head--> BODY --last byte--> BUSY --reply--> HEAD (keep-alive)
 *     |              |                   |
 *     +--fault-------+--early reply------+--> LINGER --eof, timeout--> CLOSING --> freed
 *
 * A connection has at most one request. A request may outlive its connection (conn is NULL then)
 * and lives until its reply is complete.
 */
#ifndef SL_HTTP_PRIV_H
#define SL_HTTP_PRIV_H

#include <sys/queue.h>
#include <uv.h>

#include "core/base/time.h"
#include "core/http/parse.h"
#include "core/http/url.h"

#define SL_HTTP_ARENA_MAX       (64u << 20) /* per request, beside the body */
#define SL_HTTP_LINGER_MS       1000        /* waiting for the client to read an early reply */
#define SL_HTTP_BACKLOG         511
#define SL_HTTP_REPLY_HEADERS   16
#define SL_HTTP_REPLY_VALUE_MAX 2048 /* bytes of one of them */
#define SL_HTTP_REPLY_HEAD_MAX  65536
#define SL_HTTP_JSON_MAX        (256u << 20) /* one JSON reply */

enum sl_conn_state { SL_CONN_HEAD, SL_CONN_BODY, SL_CONN_BUSY, SL_CONN_LINGER, SL_CONN_CLOSING };
enum sl_conn_clock { SL_CLOCK_NONE, SL_CLOCK_IDLE, SL_CLOCK_HEAD, SL_CLOCK_BODY, SL_CLOCK_LINGER };

struct sl_conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream; /* everything but opening and accepting speaks to this one */
        uv_pipe_t pipe;
    } io;
    struct sl_http_server *server;
    LIST_ENTRY(sl_conn) link;
    enum sl_conn_state state;
    uid_t peer_uid;
    struct sl_req *req; /* HEAD: NULL; BODY, BUSY: set */
    /* input not yet used: in the server's read buffer (lent) or our own */
    char *data;
    size_t len;
    char *own;
    size_t own_cap;
    size_t scanned; /* of a head that is not complete */
    size_t depth;   /* requests served from what was buffered */
    bool reading, processing, eof, close_after;
    bool shut; /* the end of our side was sent */
    /* time */
    struct sl_timer timer;
    enum sl_conn_clock clock;
    int64_t clock_start_ms;
    struct sl_timer write_timer;
    size_t write_left; /* seen by the write timer */
};

enum sl_req_phase {
    SL_REQ_OPEN,      /* no reply yet */
    SL_REQ_STREAMING, /* sl_reply_begin was called */
    SL_REQ_REPLIED,   /* about to be freed */
};

struct sl_req {
    struct sl_http_server *server;
    struct sl_conn *conn; /* NULL once the client is gone */
    struct sl_arena arena;
    struct sl_http_parser parser;
    const struct sl_http_head *head;
    struct sl_route_match match;
    struct sl_url_query query;
    char id[SL_ID_HEX + 1];
    uid_t peer_uid;
    void *data;
    enum sl_req_phase phase;
    bool handed;  /* the handler has been called */
    bool parsing; /* its parser is running: freeing waits */
    /* body */
    struct sl_buf body;
    struct sl_req_reader reader;
    bool reader_set, paused, body_done;
    uint64_t received;
    int64_t body_spent_ms;
    /* reply */
    struct sl_http_header extra[SL_HTTP_REPLY_HEADERS];
    size_t n_extra;
    struct sl_reply_stream stream;
    bool chunked;
    struct sl_timer *keepalive; /* SSE only */
};

struct sl_http_server {
    struct sl_loop *loop;
    struct sl_http_server_opts opts;
    struct sl_router *router;
    LIST_HEAD(, sl_conn) conns;
    size_t n_conns, n_reqs;
    uv_pipe_t listener;
    bool listening, listener_open;
    int dirfd; /* of the socket file, ours */
    char *name;
    char read_buffer[SL_HTTP_READ_BYTES]; /* libuv fills it, we use it up before the next read */
    int64_t date_s;
    char date[64];
    /* closing */
    bool closing, settled;
    struct sl_timer grace;
    struct sl_post closed_post;
    void (*closed)(void *data);
    void *closed_data;
};

/* conn.c */
void sl_conn_open(struct sl_conn *conn, uid_t peer_uid);
struct sl_conn *sl_conn_new(struct sl_http_server *server);
void sl_conn_close(struct sl_conn *conn); /* at once; tells the request that the client is gone */
void sl_conn_pump(struct sl_conn *conn);  /* go on with the input, then set reading and clocks */
/** The current request is answered: on to the next one, or close. */
void sl_conn_replied(struct sl_conn *conn);
/** Sends the end of our side after what is queued, then waits for the client's. */
void sl_conn_linger(struct sl_conn *conn);

/* conn_write.c */
int sl_conn_write(struct sl_conn *conn, const uv_buf_t *bufs, unsigned n);
size_t sl_conn_pending(const struct sl_conn *conn);

/* req.c */
struct sl_req *sl_req_new(struct sl_conn *conn);
void sl_req_free(struct sl_req *req);
void sl_req_dispatch(struct sl_req *req); /* after the head; may answer */
void sl_req_gone(struct sl_req *req);     /* the client left; the connection forgets the request */
void sl_req_body_piece(void *data, const char *bytes, size_t len);
void sl_req_body_end(struct sl_req *req);

/* reply.c */
void sl_reply_status_error(struct sl_req *req, int status, const struct sl_err *err);
/** The connection forgets the request and closes; the request knows. */
void sl_req_cut(struct sl_req *req);
/** Answers what never became a request, and closes. */
void sl_conn_refuse(struct sl_conn *conn, const struct sl_http_fault *fault);
const char *sl_http_status_text(int status);

/* server.c */
void sl_http_server_settle(struct sl_http_server *server); /* finishes a close once all is gone */

#endif
