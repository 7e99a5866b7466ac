/* The engine's HTTP server on <data>/sock: requests become calls of the table's functions, on lanes or on
 * the loop. Thread: loop; `fn` of the calls on lanes. */
#include "core/base/base.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/user.h"
#include "web/api/api_priv.h"

#define LANE_QUEUE  10000
#define CLOSE_GRACE 2000 /* ms that running requests get */
#define SMALL_BODY  ((size_t)1 << 20)

struct sl_db *sl_api_reader(struct sl_api_server *s, struct sl_err *err)
{
    if (s->reader == NULL &&
        sl_workspace_open_reader(sl_engine_workspace(s->engine)->path, &s->reader, err) < 0) {
        return NULL;
    }
    return s->reader;
}

static struct sl_api_server *server_of(const struct sl_req *req)
{
    return sl_req_server_data(req);
}

static const struct sl_api_op *op_of(const struct sl_req *req)
{
    const struct sl_api_server *s = server_of(req);
    return &sl_api_ops[sl_req_route(req) - s->routes];
}

/* ---- arguments ------------------------------------------------------------------------------------ */

static void add_params(const struct sl_req *req, json_t *args)
{
    for (const char *p = strchr(op_of(req)->pattern, '{'); p != NULL; p = strchr(p + 1, '{')) {
        char name[64];
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(p + 1, ".}"), p + 1);
        sl_json_set_str(args, name, sl_req_param(req, name));
    }
}

/** Body fields, then query, then path: the more visible one wins. */
static int collect_args(struct sl_req *req, json_t **ret, struct sl_err *err)
{
    const char *key = NULL;
    const char *value = NULL;
    json_t *args = NULL;
    if (sl_req_body(req).len > 0) {
        args = sl_req_json(req, err);
        if (args == NULL || !json_is_object(args)) {
            int rc = args == NULL ? -SL_EINVAL
                                  : sl_err_set(err, SL_EINVAL, "the body must be a JSON object");
            json_decref(args);
            return rc;
        }
    } else {
        args = json_object();
    }
    for (size_t i = 0; sl_req_query_at(req, i, &key, &value); i++) {
        sl_json_set_str(args, key, value);
    }
    add_params(req, args);
    *ret = args;
    return 0;
}

/** Who asks, by the kernel's word. A connection without one was made by this process. */
static void name_peer(const struct sl_req *req, char out[SL_USER_NAME])
{
    uid_t uid = sl_req_peer_uid(req);
    (void)sl_user_name(uid != (uid_t)-1 ? uid : geteuid(), out);
}

/* ---- calls on lanes ------------------------------------------------------------------------------- */

struct call {
    struct sl_work work;
    struct sl_req *req;
    struct sl_api_server *server;
    const struct sl_api_op *op;
    json_t *args, *result;
    char actor[SL_USER_NAME];      /* the peer's name */
    char ask_again[SL_ID_HEX + 1]; /* a step of this run is to be decided anew */
    int64_t ask_again_step;
    bool project_changed;
    int rc;
    struct sl_err err;
};

static void call_free(struct call *c)
{
    json_decref(c->args);
    json_decref(c->result);
    free(c);
}

static void call_done(struct sl_work *work)
{
    struct call *c = SL_CONTAINER_OF(work, struct call, work);
    if (!work->ran) {
        c->rc = sl_err_set(&c->err, SL_ECANCELLED, "the engine is stopping");
    } else if (c->ask_again[0] != '\0') {
        sl_engine_ask_again(c->server->engine, c->ask_again, c->ask_again_step);
    } else if (c->project_changed) {
        sl_engine_project_changed(c->server->engine);
    }
    if (c->rc < 0) {
        sl_reply_error(c->req, &c->err);
    } else {
        sl_reply_json(c->req, 200, c->result);
    }
    call_free(c);
}

static void call_read(struct sl_work *work)
{
    struct call *c = SL_CONTAINER_OF(work, struct call, work);
    struct sl_workspace *ws = sl_engine_workspace(c->server->engine);
    struct sl_api_ctx ctx = {.data_path = ws->path, .blobs = ws->blobs, .actor = c->actor};
    ctx.db = sl_api_reader(c->server, &c->err);
    c->rc = ctx.db == NULL ? -c->err.code : c->op->fn(&ctx, c->args, &c->result, &c->err);
}

static void call_write(struct sl_work *work)
{
    struct call *c = SL_CONTAINER_OF(work, struct call, work);
    struct sl_workspace *ws = sl_engine_workspace(c->server->engine);
    struct sl_api_ctx ctx = {.data_path = ws->path,
                             .blobs = ws->blobs,
                             .ws = ws,
                             .engine = c->server->engine,
                             .actor = c->actor};
    c->rc = sl_workspace_open_reader(ws->path, &ctx.db, &c->err);
    c->rc = c->rc < 0 ? c->rc : c->op->fn(&ctx, c->args, &c->result, &c->err);
    memcpy(c->ask_again, ctx.ask_again, sizeof(c->ask_again));
    c->ask_again_step = ctx.ask_again_step;
    c->project_changed = ctx.project_changed;
    sl_db_close(ctx.db);
}

/** Engine questions are short and answer on the loop; they may look runs up by name. */
static void call_engine(struct call *c)
{
    struct sl_workspace *ws = sl_engine_workspace(c->server->engine);
    struct sl_api_ctx ctx = {.data_path = ws->path,
                             .blobs = ws->blobs,
                             .ws = ws,
                             .engine = c->server->engine,
                             .actor = c->actor};
    c->rc = sl_workspace_open_reader(ws->path, &ctx.db, &c->err);
    c->rc = c->rc < 0 ? c->rc : c->op->fn(&ctx, c->args, &c->result, &c->err);
    sl_db_close(ctx.db);
    c->work.ran = true;
    call_done(&c->work);
}

static void handle(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    struct call *c = SL_NEW(struct call);
    c->req = req;
    c->server = server_of(req);
    c->op = op_of(req);
    int rc = collect_args(req, &c->args, &err);
    if (rc == 0) { /* nobody acts under another name */
        name_peer(req, c->actor);
        sl_json_set_str(c->args, "actor", c->actor);
    }
    if (rc == 0 && c->op->kind == SL_API_ENGINE) {
        call_engine(c);
        return;
    }
    bool reads = c->op->kind == SL_API_READ;
    c->work.fn = reads ? call_read : call_write;
    c->work.done = call_done;
    rc = rc < 0
             ? rc
             : sl_lane_submit(reads ? c->server->read_lane : c->server->write_lane, &c->work, &err);
    if (rc < 0) {
        sl_reply_error(req, &err);
        call_free(c);
    }
}

/* ---- submissions ---------------------------------------------------------------------------------- */

struct submitting {
    struct sl_submit submit;
    struct sl_req *req;
};

static void submitted(struct sl_submit *s)
{
    struct submitting *x = SL_CONTAINER_OF(s, struct submitting, submit);
    if (s->rc < 0) {
        sl_reply_error(x->req, &s->err);
    } else {
        json_auto_t *answer = json_pack("{s:s, s:s, s:I}", "id", s->run_id, "pipeline", s->pipeline,
                                        "number", (json_int_t)s->number);
        sl_reply_json(x->req, 201, answer);
    }
    json_decref(s->request);
    free(x);
}

static void submit(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    json_t *body = sl_req_json(req, &err);
    if (body == NULL) {
        sl_reply_error(req, &err);
        return;
    }
    char actor[SL_USER_NAME];
    name_peer(req, actor);
    sl_json_set_str(body, "actor", actor);
    struct submitting *x = SL_NEW(struct submitting);
    x->req = req;
    x->submit.request = body;
    x->submit.done = submitted;
    sl_engine_submit(server_of(req)->engine, &x->submit);
}

/* ---- opening and closing -------------------------------------------------------------------------- */

static void make_routes(struct sl_api_server *s)
{
    s->routes = sl_calloc(sl_api_n_ops, sizeof(*s->routes));
    for (size_t i = 0; i < sl_api_n_ops; i++) {
        const struct sl_api_op *op = &sl_api_ops[i];
        bool submits = sl_streq(op->name, "runs.submit");
        bool posts = sl_streq(op->method, "POST");
        s->routes[i] = (struct sl_route){
            .method = op->method,
            .pattern = op->pattern,
            .handler = op->fn != NULL ? handle
                       : submits      ? submit
                                      : sl_api_events,
            .permission = op->permission,
            .body_max = submits ? SL_API_BODY_MAX
                        : posts ? SMALL_BODY
                                : 0,
            .summary = op->summary,
        };
    }
}

/** What members of the group may do, who are not the engine's own user: look, and say yes or no. */
static const char *const group_permissions[] = {"audit.read",    "deploy.read", "lineage.read",
                                                "registry.read", "runs.read",   "runs.vote"};

static int authorize(struct sl_req *req, const struct sl_route *route, struct sl_err *err)
{
    uid_t uid = sl_req_peer_uid(req);
    char name[SL_USER_NAME];
    if (uid == geteuid() || uid == 0 || uid == (uid_t)-1) {
        return 0;
    }
    for (size_t i = 0; i < SL_LEN(group_permissions); i++) {
        if (sl_streq(route->permission, group_permissions[i])) {
            return 0;
        }
    }
    return sl_err_set(err, SL_EREFUSED,
                      "%s may look and vote here, but not this (%s): it is for the user who runs "
                      "the engine",
                      sl_user_name(uid, name), route->permission);
}

/** Lets the group pass through the data directory, to the socket and nothing else: the rest is 0600 and 0700. */
static int share_directory(struct sl_api_server *s, const char *group, gid_t *ret_gid,
                           struct sl_err *err)
{
    struct group entry;
    struct group *found = NULL;
    char buf[8192];
    int fd = sl_engine_workspace(s->engine)->fd;
    if (getgrnam_r(group, &entry, buf, sizeof(buf), &found) != 0 || found == NULL) {
        return sl_err_set(err, SL_ENOTFOUND, "there is no group '%.100s' on this machine", group);
    }
    if (fchown(fd, (uid_t)-1, found->gr_gid) != 0 || fchmod(fd, 0710) != 0) {
        return sl_err_errno(err, errno, "cannot share the data directory with group '%.100s'",
                            group);
    }
    s->shared = true;
    *ret_gid = found->gr_gid;
    return 0;
}

static int open_parts(struct sl_api_server *s, const char *group, struct sl_err *err)
{
    struct sl_loop *loop = sl_engine_loop(s->engine);
    const struct sl_lane_opts read = {.name = "api-read", .threads = 1, .queue_max = LANE_QUEUE};
    const struct sl_lane_opts write = {.name = "api-write", .threads = 1, .queue_max = LANE_QUEUE};
    struct sl_http_server_opts http = {.routes = s->routes,
                                       .n_routes = sl_api_n_ops,
                                       .authorize = authorize,
                                       .data = s,
                                       .shared = group != NULL};
    int rc = group != NULL ? share_directory(s, group, &http.gid, err) : 0;
    rc = rc < 0 ? rc : sl_lane_open(loop, &read, &s->read_lane, err);
    rc = rc < 0 ? rc : sl_lane_open(loop, &write, &s->write_lane, err);
    rc = rc < 0 ? rc : sl_http_server_new(loop, &http, &s->http, err);
    return rc < 0 ? rc
                  : sl_http_server_listen_unix(s->http, sl_engine_workspace(s->engine)->fd,
                                               SL_SOCK_NAME, err);
}

int sl_api_serve(struct sl_engine *engine, const char *group, struct sl_api_server **ret,
                 struct sl_err *err)
{
    struct sl_api_server *s = SL_NEW(struct sl_api_server);
    s->engine = engine;
    s->subscriber.fn = sl_api_events_wake;
    s->subscriber.data = s;
    make_routes(s);
    sl_engine_subscribe(engine, &s->subscriber);
    int rc = open_parts(s, group, err);
    if (rc < 0) {
        sl_api_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

static void closed(void *data)
{
    struct sl_api_server *s = data;
    s->closed = true;
}

void sl_api_close(struct sl_api_server *s)
{
    if (s == NULL) {
        return;
    }
    sl_engine_unsubscribe(s->engine, &s->subscriber);
    s->closed = s->http == NULL;
    if (s->http != NULL) {
        sl_http_server_close(s->http, CLOSE_GRACE, closed, s);
    }
    while (!s->closed) {
        sl_loop_turn(sl_engine_loop(s->engine), true);
    }
    sl_lane_close(s->read_lane, true);
    sl_lane_close(s->write_lane, true);
    if (s->shared) { /* nothing is left to reach in there */
        SL_IGNORE(fchmod(sl_engine_workspace(s->engine)->fd, 0700));
    }
    sl_db_close(s->reader);
    free(s->routes);
    free(s);
}
