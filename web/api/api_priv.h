/** Functions of the endpoint table, and what the serving files share. */
#ifndef SL_API_PRIV_H
#define SL_API_PRIV_H

#include "core/aio/lane.h"
#include "web/api/api.h"

#define SL_API(name, method, pattern, kind, fn, permission, summary)                               \
    int fn(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err);
#define SL_API_HANDLER(name, method, pattern, permission, summary)
#include "web/api/api.def"
#undef SL_API
#undef SL_API_HANDLER

/** Fills in trailers of a dataset from args (record, owner, source, licence, retention), obeying the project's
 * policy. Everything lives in the arena. */
int sl_api_commit_facts(struct sl_api_ctx *ctx, const json_t *args, struct sl_ws_commit *c,
                        struct sl_arena *a, struct sl_err *err);
/** Facts column to an object; NULL when there are none. New reference. */
json_t *sl_api_version_facts(const char *text);

struct api_stream;
struct sl_api_server {
    struct sl_engine *engine;
    struct sl_http_server *http;
    struct sl_route *routes;
    struct sl_lane *read_lane, *write_lane;
    struct sl_db *reader; /* of the read lane, which has one thread */
    struct sl_engine_subscriber subscriber;
    struct api_stream *streams;
    bool closed;
    bool shared; /* a group may pass through the data directory meanwhile */
};

/** GET /runs/{run}/events: the run's events as they are recorded. */
void sl_api_events(struct sl_req *req);
/** Wakes streams after something became durable. */
void sl_api_events_wake(struct sl_engine_subscriber *s, const struct sl_engine_event *e);
/** The read lane's connection; lane thread. NULL with err. */
struct sl_db *sl_api_reader(struct sl_api_server *s, struct sl_err *err);

#endif
