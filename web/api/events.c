/* Event streams of runs, read from the outbox: nothing is missed and nothing comes before it is durable.
 *
 *   idle --wake--> reading (lane) --done--> sent; again when there was more; ends with run.finished
 *
 * Thread: loop; reading on the read lane. */
#include "core/base/base.h"

#include <stdlib.h>

#include "core/bus/bus.h"
#include "pipelines/run/run_store.h"
#include "web/api/api_priv.h"

#define EVENTS_BATCH 500

struct api_event {
    int64_t id;
    const char *name;
    char *data;
};

struct api_stream {
    struct sl_work work;
    struct sl_req *req;
    struct sl_api_server *server;
    struct api_stream *next;
    const char *run; /* as named; lives in the request's arena */
    char run_id[SL_ID_HEX + 1];
    int64_t after;
    SL_VEC(struct api_event) batch;
    bool begun, reading, again, gone, finished, more;
    int rc;
    struct sl_err err;
};

static int keep(const struct sl_event *e, void *arg)
{
    struct api_stream *s = arg;
    json_auto_t *o = json_object();
    char time[SL_TIME_TEXT];
    sl_json_set_str(o, "time", sl_time_format(e->ts_ms, time));
    sl_json_set_i64(o, "ms", e->ts_ms);
    sl_json_set_str(o, "event", sl_event_name(e->type));
    sl_json_set_str(o, "run", e->run_id);
    sl_json_set_str(o, "subject", e->subject);
    if (e->payload != NULL) {
        json_t *payload = sl_json_parse("payload", e->payload, strlen(e->payload), NULL);
        json_object_set_new(o, "payload", payload != NULL ? payload : json_null());
    }
    sl_vec_push(&s->batch,
                ((struct api_event){e->id, sl_event_name(e->type), sl_json_canonical(o)}));
    s->finished = s->finished || e->type == SL_EVENT_RUN_FINISHED;
    return 0;
}

static int name_run(struct api_stream *s, struct sl_db *db)
{
    struct sl_arena a;
    struct sl_run_record r;
    sl_arena_init(&a, 0);
    int rc = sl_run_find(db, s->run, &a, &r, &s->err);
    if (rc == 0) {
        memcpy(s->run_id, r.id, sizeof(s->run_id));
    }
    sl_arena_release(&a);
    return rc;
}

static void read_events(struct sl_work *work)
{
    struct api_stream *s = SL_CONTAINER_OF(work, struct api_stream, work);
    struct sl_db *db = sl_api_reader(s->server, &s->err);
    s->rc = db == NULL ? -s->err.code : 0;
    if (s->rc == 0 && s->run_id[0] == '\0') {
        s->rc = name_run(s, db);
    }
    struct sl_bus_query q = {.after_id = s->after, .run_id = s->run_id, .limit = EVENTS_BATCH};
    s->rc = s->rc < 0 ? s->rc : sl_bus_read(db, &q, keep, s, &s->err);
    s->more = s->batch.n == EVENTS_BATCH;
}

static void stream_end(struct api_stream *s)
{
    struct api_stream **at = &s->server->streams;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    if (s->begun) {
        sl_reply_end(s->req);
    } else {
        sl_reply_error(s->req, &s->err);
    }
    sl_vec_free(&s->batch);
    free(s);
}

static void stream_gone(struct sl_req *req)
{
    struct api_stream *s = sl_req_data(req);
    s->gone = true;
    if (!s->reading) {
        stream_end(s);
    }
}

static const struct sl_reply_stream reply_stream = {.gone = stream_gone};

static void send_batch(struct api_stream *s)
{
    for (size_t i = 0; i < s->batch.n; i++) {
        struct api_event *e = &s->batch.items[i];
        if (!s->gone &&
            sl_sse_send(s->req, (uint64_t)e->id, e->name, sl_str_c(e->data), NULL) < 0) {
            s->gone = true;
        }
        s->after = e->id;
        free(e->data);
    }
    s->batch.n = 0;
}

static void read_on(struct api_stream *s);

static void read_done(struct sl_work *work)
{
    struct api_stream *s = SL_CONTAINER_OF(work, struct api_stream, work);
    s->reading = false;
    if (s->rc == 0 && work->ran && !s->begun) {
        s->begun = true;
        sl_sse_begin(s->req, &reply_stream);
    }
    if (!work->ran && s->rc == 0) {
        s->rc = sl_err_set(&s->err, SL_ECANCELLED, "the engine is stopping");
    }
    send_batch(s);
    if (s->rc < 0 || s->gone || (s->finished && !s->more)) {
        stream_end(s);
    } else if (s->again || s->more) {
        read_on(s);
    }
}

static void read_on(struct api_stream *s)
{
    s->again = false;
    s->reading = true;
    s->work = (struct sl_work){.fn = read_events, .done = read_done};
    struct sl_err err = SL_ERR_INIT;
    int rc = sl_lane_submit(s->server->read_lane, &s->work, &err);
    if (rc < 0) { /* else s belongs to the lane from here on */
        s->reading = false;
        s->rc = rc;
        s->err = err;
        stream_end(s);
    }
}

void sl_api_events(struct sl_req *req)
{
    struct sl_err err = SL_ERR_INIT;
    uint64_t after = 0;
    if (sl_sse_last_id(req, &after, &err) < 0 || after > INT64_MAX) {
        (void)sl_err_set(&err, SL_EINVAL, "Last-Event-ID must be the number of an event");
        sl_reply_error(req, &err);
        return;
    }
    struct api_stream *s = SL_NEW(struct api_stream);
    s->req = req;
    s->server = sl_req_server_data(req);
    s->run = sl_req_param(req, "run");
    s->after = (int64_t)after;
    s->next = s->server->streams;
    s->server->streams = s;
    sl_req_set_data(req, s);
    read_on(s);
}

void sl_api_events_wake(struct sl_engine_subscriber *sub, const struct sl_engine_event *e)
{
    struct sl_api_server *server = sub->data;
    struct api_stream *next = NULL;
    for (struct api_stream *s = server->streams; s != NULL; s = next) {
        next = s->next;
        if (s->reading) { /* the lane may be writing run_id */
            s->again = true;
        } else if (sl_streq(s->run_id, e->run_id)) {
            read_on(s);
        }
    }
}
