/* Being the engine, or following one: see follow.h. Thread: main. */
#include "core/base/base.h"

#include "cmd/follow.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "cmd/progress.h"
#include "core/base/time.h"
#include "core/http/client.h"
#include "core/http/url.h"
#include "pipelines/run/query.h"
#include "web/api/api.h"

#define LARGE_RUN    10000 /* steps */
#define TICK_MS      200
#define BUSY_TRIES   100
#define BUSY_WAIT_MS 50

struct host {
    struct sl_cmd *c;
    const struct sl_follow *f;
    struct sl_loop *loop;
    struct sl_engine *engine;
    struct sl_progress *progress;
    struct sl_engine_subscriber subscriber;
    struct sl_sigwatch sigint, sigterm, sighup;
    struct sl_timer tick;
    struct sl_submit submit;
    char run_id[SL_ID_HEX + 1]; /* the followed run; "" when all */
    bool submitted, ended, said_others, left;
    bool awaits; /* all that is left of what is followed awaits people */
    int interrupts;
    int status;
};

/* ---- as the engine -------------------------------------------------------------------------------- */

/** Live runs: those that are followed and those of others, as far as something of them can go on here. */
struct counts {
    struct host *h;
    size_t ours, others;
    size_t awaiting; /* those that only await people... */
    size_t stuck;    /* ...and followed ones, also when they are queued behind such runs */
};

static void count_one(const char *run_id, void *data)
{
    struct counts *n = data;
    bool ours = n->h->run_id[0] == '\0' || sl_streq(n->h->run_id, run_id);
    bool awaits = sl_engine_only_awaits(n->h->engine, run_id);
    bool stuck = awaits || sl_engine_is_queued(n->h->engine, run_id);
    n->ours += ours ? 1 : 0;
    n->awaiting += awaits ? 1 : 0;
    n->stuck += ours && stuck ? 1 : 0;
    n->others += !ours && !stuck ? 1 : 0;
}

static void stop_when_idle(struct host *h)
{
    struct counts n = {.h = h};
    sl_engine_each_run(h->engine, count_one, &n);
    h->awaits = !h->ended && n.ours > 0 && n.stuck == n.ours && n.awaiting > 0 && n.others == 0;
    if (h->f->forever || (!h->ended && !h->awaits)) {
        return;
    }
    if (n.others == 0) {
        sl_loop_stop(h->loop);
    } else if (!h->said_others) {
        h->said_others = true;
        sl_progress_note(
            h->progress,
            "other runs are still at work here; staying until they end (Ctrl-C leaves)");
    }
}

static const char *state_name(const struct sl_engine_event *e)
{
    return e->kind == SL_J_RUN ? sl_sm_name(&sl_run_machine, e->to)
                               : sl_sm_name(&sl_step_machine, e->to);
}

static void on_event(struct sl_engine_subscriber *s, const struct sl_engine_event *e)
{
    struct host *h = s->data;
    const struct sl_err *failure = sl_engine_failure(h->engine);
    if (failure != NULL) {
        h->c->err = *failure;
        h->status = -1;
        sl_loop_stop(h->loop);
        return;
    }
    bool ours = h->run_id[0] == '\0' || sl_streq(h->run_id, e->run_id);
    if (ours && e->kind != SL_J_ATTEMPT_START && !h->f->forever) {
        struct sl_change x = {e->run_id, e->key, state_name(e), e->reason, e->attempt, e->ts_ms};
        sl_progress_change(h->progress, &x);
    }
    if (e->kind == SL_J_RUN && sl_run_machine.states[e->to].final) {
        h->ended = h->ended || ours;
        if (h->run_id[0] == '\0') {
            h->ended = sl_engine_n_runs(h->engine) <= 1;
        }
        stop_when_idle(h);
    }
}

static void on_tick(struct sl_timer *timer)
{
    struct host *h = SL_CONTAINER_OF(timer, struct host, tick);
    sl_progress_tick(h->progress);
    stop_when_idle(h);
    sl_timer_start(h->loop, &h->tick, TICK_MS);
}

static void cancel_one(const char *run_id, void *data)
{
    struct host *h = data;
    if (h->run_id[0] == '\0' || sl_streq(h->run_id, run_id)) {
        SL_IGNORE(sl_engine_cancel(h->engine, run_id, sl_cmd_actor(h->c),
                                   NULL)); /* it may just have ended */
    }
}

static void leave(struct host *h)
{
    h->left = true;
    sl_loop_stop(h->loop);
}

static void on_interrupt(struct host *h)
{
    if (h->f->forever || h->interrupts++ > 0 || h->ended) {
        leave(h);
        return;
    }
    sl_progress_note(h->progress, "cancelling; once more leaves with steps still running");
    sl_engine_each_run(h->engine, cancel_one, h);
}

static void on_sigint(struct sl_sigwatch *w, int signum)
{
    (void)signum;
    on_interrupt(SL_CONTAINER_OF(w, struct host, sigint));
}

static void on_sigterm(struct sl_sigwatch *w, int signum)
{
    (void)signum;
    on_interrupt(SL_CONTAINER_OF(w, struct host, sigterm));
}

static void on_sighup(struct sl_sigwatch *w, int signum)
{
    (void)signum;
    leave(SL_CONTAINER_OF(w, struct host, sighup));
}

static int watch_signals(struct host *h)
{
    h->sigint.fn = on_sigint;
    h->sigterm.fn = on_sigterm;
    h->sighup.fn = on_sighup;
    int rc = sl_sigwatch_start(h->loop, &h->sigint, SIGINT, &h->c->err);
    rc = rc < 0 ? rc : sl_sigwatch_start(h->loop, &h->sigterm, SIGTERM, &h->c->err);
    return rc < 0 ? rc : sl_sigwatch_start(h->loop, &h->sighup, SIGHUP, &h->c->err);
}

/** Shows where the followed run stands now. */
static void begin_progress(struct host *h)
{
    json_t *run = NULL;
    json_auto_t *args = json_pack("{s:s}", "run", h->run_id);
    if (h->run_id[0] != '\0' &&
        sl_api_call_local(h->c->data_path, sl_api_find("runs.show"), args, &run, &h->c->err) == 0) {
        sl_progress_begin(h->progress, run);
        h->ended = sl_json_bool(run, "final", false);
        bool large = json_array_size(json_object_get(run, "steps")) >= LARGE_RUN;
        json_decref(run);
        if (large) { /* what planning and that answer took is not needed again while it runs */
            (void)malloc_trim(0);
        }
    }
}

static void on_submitted(struct sl_submit *s)
{
    struct host *h = SL_CONTAINER_OF(s, struct host, submit);
    h->submitted = true;
    if (s->rc < 0) {
        h->c->err = s->err;
        h->status = -1;
        sl_loop_stop(h->loop);
        return;
    }
    memcpy(h->run_id, s->run_id, sizeof(h->run_id));
    _cleanup_(free)
    char *text = sl_asprintf("run %s#%lld (%.8s)", s->pipeline, (long long)s->number, s->run_id);
    sl_progress_note(h->progress, text);
    begin_progress(h);
}

static void start_work(struct host *h)
{
    if (h->f->submission != NULL) {
        h->submit.request = h->f->submission;
        h->submit.done = on_submitted;
        sl_engine_submit(h->engine, &h->submit);
    } else if (h->f->run != NULL) {
        (void)snprintf(h->run_id, sizeof(h->run_id), "%s", h->f->run);
        begin_progress(h);
        if (h->f->cancel) {
            SL_IGNORE(sl_engine_cancel(h->engine, h->run_id, sl_cmd_actor(h->c), NULL));
        }
    } else if (!h->f->forever) {
        h->ended = sl_engine_n_runs(h->engine) == 0;
    }
    if (!h->f->forever) {
        h->tick.fn = on_tick;
        sl_timer_start(h->loop, &h->tick, TICK_MS);
    }
    stop_when_idle(h);
}

static void run_loop(struct host *h)
{
    struct sl_api_server *server = NULL;
    h->subscriber.fn = on_event;
    h->subscriber.data = h;
    sl_engine_subscribe(h->engine, &h->subscriber);
    int rc = watch_signals(h);
    rc = rc < 0 ? rc : sl_api_serve(h->engine, h->f->group, &server, &h->c->err);
    if (rc == 0) {
        if (h->f->forever) {
            (void)printf("serving %s on %s (Unix socket only); SIGTERM ends it, steps go on\n",
                         h->c->data_path, sl_cmd_socket(h->c));
            (void)fflush(stdout);
        }
        start_work(h);
        sl_loop_run(h->loop);
        while (h->f->submission != NULL && !h->submitted) { /* its answer must find us */
            sl_loop_turn(h->loop, true);
        }
    } else {
        h->status = -1;
    }
    sl_timer_stop(&h->tick);
    sl_progress_end(h->progress);
    sl_engine_unsubscribe(h->engine, &h->subscriber);
    sl_api_close(server);
    sl_sigwatch_stop(&h->sigint);
    sl_sigwatch_stop(&h->sigterm);
    sl_sigwatch_stop(&h->sighup);
}

static int finish(struct host *h)
{
    if (h->status < 0) {
        return sl_cmd_fail(h->c);
    }
    if (h->f->forever) {
        return SL_EXIT_OK;
    }
    if (h->awaits && !h->left) {
        return sl_summary_awaiting(h->c, h->run_id, false);
    }
    if (h->left && !h->ended) {
        (void)fprintf(stderr, "left with steps still running; 'sluice resume' takes them up\n");
        return h->interrupts > 0 ? SL_EXIT_CANCELLED : SL_EXIT_OK;
    }
    return h->run_id[0] != '\0' ? sl_summary(h->c, h->run_id) : SL_EXIT_OK;
}

/** -SL_EBUSY: somebody else is the engine. Else the work is done and *ret_status set. */
static int as_engine(struct sl_cmd *c, const struct sl_follow *f, int *ret_status)
{
    struct host h = {.c = c, .f = f};
    struct sl_engine_opts opts = {
        .path = c->data_path,
        .gpu_inventory = getenv("SLUICE_GPU_INVENTORY"), /* stands for NVML in tests */
        .program = sl_cmd_program(c),
        .host_env = (const char *const *)(uintptr_t)environ,
        .notify_allow = getenv("SLUICE_NOTIFY_ALLOW"),
        .ca_file = getenv("SLUICE_CA_FILE"),
    };
    int rc = sl_loop_new(&h.loop, &c->err);
    if (rc < 0) {
        return rc;
    }
    rc = sl_engine_open(h.loop, &opts, &h.engine, &c->err);
    if (rc == 0) {
        h.progress = sl_progress_new(c);
        run_loop(&h);
        sl_engine_close(h.engine);
        sl_progress_free(h.progress);
    }
    sl_loop_free(h.loop);
    if (rc == 0) {
        *ret_status = finish(&h);
    }
    return rc;
}

/* ---- as a follower -------------------------------------------------------------------------------- */

struct following {
    struct sl_progress *progress;
    const char *run;
    char last_id[32];
    bool ended;
    bool asks; /* a step of it awaits people: after each event, see whether anything else goes on */
};

static int on_sse(const struct sl_http_event *event, void *data, struct sl_err *err)
{
    struct following *w = data;
    json_auto_t *o = sl_json_parse("event", event->data.ptr, event->data.len, err);
    const json_t *payload = json_object_get(o, "payload");
    if (o == NULL) {
        return -SL_EIO;
    }
    (void)snprintf(w->last_id, sizeof(w->last_id), "%s", event->id);
    bool step = sl_streq(event->event, "step.state");
    if (step || sl_starts_with(event->event, "run.")) {
        struct sl_change x = {.run = w->run,
                              .key = step ? sl_json_str(o, "subject", NULL) : NULL,
                              .state = sl_json_str(payload, "to", "queued"),
                              .reason = sl_json_str(payload, "reason", ""),
                              .attempt = sl_json_i64(payload, "attempts", 0),
                              .ts_ms = sl_json_i64(o, "ms", 0)};
        sl_progress_change(w->progress, &x);
    }
    w->ended = w->ended || sl_streq(event->event, "run.finished");
    w->asks = w->asks || (step && sl_streq(sl_json_str(payload, "to", ""), "awaiting_approval"));
    return w->ended || (w->asks && step) ? 1 : 0;
}

/** Whether all that is left of the run awaits people. */
static bool only_awaits(struct sl_cmd *c, const char *run)
{
    json_auto_t *answer = NULL;
    return sl_call(c, "runs.awaits", json_pack("{s:s}", "run", run), &answer) == 0 &&
           sl_json_bool(answer, "awaits", false);
}

/** Follows over the socket: 0 when the run ended or awaits people, -SL_EUNREACHABLE when the engine went away. */
static int follow_events(struct sl_cmd *c, const char *run, struct following *w)
{
    _cleanup_(buf)
    struct sl_buf target = SL_BUF_INIT(4096);
    sl_buf_puts(&target, SL_API_PREFIX "/runs/");
    sl_url_encode(&target, run);
    sl_buf_puts(&target, "/events");
    struct sl_http_call call = {.socket_path = sl_cmd_socket(c),
                                .method = "GET",
                                .target = sl_buf_str(&target),
                                .timeout_ms = 120000};
    int rc = 0;
    do {
        rc = sl_http_follow(&call, w->last_id, on_sse, w, &c->err);
    } while (rc == 0 && w->asks && !w->ended && !only_awaits(c, run));
    if (rc == 0 && w->asks && !w->ended) {
        return 0;
    }
    if (rc < 0 && rc != -SL_EIO && rc != -SL_ECANCELLED && rc != -SL_ETIMEOUT) {
        return rc;
    }
    return w->ended ? 0 : -SL_EUNREACHABLE;
}

static int submit_remote(struct sl_cmd *c, json_t *submission, char run_id[SL_ID_HEX + 1])
{
    _cleanup_(free)
    char *body = sl_json_canonical(submission);
    struct sl_http_answer answer;
    struct sl_http_call call = {.socket_path = sl_cmd_socket(c),
                                .method = "POST",
                                .target = SL_API_PREFIX "/runs",
                                .body = sl_str_c(body),
                                .timeout_ms = 120000};
    int rc = sl_http_call(&call, &answer, &c->err);
    if (rc < 0) {
        return rc;
    }
    rc = sl_http_answer_error(&answer, &c->err);
    if (rc == 0) {
        json_auto_t *o =
            sl_json_parse("answer", sl_buf_str(&answer.body), answer.body.len, &c->err);
        (void)snprintf(run_id, SL_ID_HEX + 1, "%s", sl_json_str(o, "id", ""));
        (void)fprintf(
            c->json ? stderr : stdout, "run %s#%lld (%.8s), by the engine that works here\n",
            sl_json_str(o, "pipeline", ""), (long long)sl_json_i64(o, "number", 0), run_id);
    }
    sl_http_answer_release(&answer);
    return rc;
}

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
    (void)nanosleep(&pause, NULL);
}

/** The other engine has the lock: hand over and follow. -SL_EUNREACHABLE: it went away meanwhile. */
static int as_follower(struct sl_cmd *c, struct sl_follow *f, char run_id[SL_ID_HEX + 1],
                       int *ret_status)
{
    int rc = 0;
    if (f->submission != NULL) {
        rc = submit_remote(c, f->submission, run_id);
        if (rc < 0) {
            return rc;
        }
        f->submission = NULL; /* it is the engine's now: whoever goes on follows */
        f->run = run_id;
    }
    if (f->only_submit) {
        *ret_status = SL_EXIT_OK;
        return 0;
    }
    if (f->run == NULL) {
        return sl_err_set(&c->err, SL_EBUSY,
                          "an engine is at work here already: nothing needs resuming");
    }
    struct following w = {.progress = sl_progress_new(c), .run = f->run};
    json_t *run = NULL;
    rc = sl_call(c, "runs.show", json_pack("{s:s}", "run", f->run), &run);
    if (rc == 0) {
        sl_progress_begin(w.progress, run);
        w.ended = sl_json_bool(run, "final", false);
        json_decref(run);
        w.asks = !w.ended && only_awaits(c, f->run);
        rc = w.ended || w.asks ? 0 : follow_events(c, f->run, &w);
    }
    sl_progress_end(w.progress);
    sl_progress_free(w.progress);
    if (rc == 0) {
        *ret_status = w.ended ? sl_summary(c, f->run) : sl_summary_awaiting(c, f->run, true);
    }
    return rc;
}

int sl_follow(struct sl_cmd *c, const struct sl_follow *given)
{
    struct sl_follow f = *given;
    char run_id[SL_ID_HEX + 1] = "";
    int status = SL_EXIT_FAILED;
    int rc = -SL_EBUSY;
    for (int i = 0; i < BUSY_TRIES && (rc == -SL_EBUSY || rc == -SL_EUNREACHABLE); i++) {
        rc = f.only_submit ? -SL_EBUSY : as_engine(c, &f, &status);
        if (rc == -SL_EBUSY && f.forever) {
            break;
        }
        if (rc == -SL_EBUSY) { /* starting and stopping engines hold the lock without answering */
            rc = as_follower(c, &f, run_id, &status);
        }
        if (rc == -SL_EBUSY || (rc == -SL_EUNREACHABLE && f.only_submit)) {
            break;
        }
        if (rc == -SL_EUNREACHABLE) {
            pause_ms(BUSY_WAIT_MS);
        }
    }
    return rc < 0 ? sl_cmd_fail(c) : status;
}
