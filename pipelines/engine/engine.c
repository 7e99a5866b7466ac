/* Opening and closing the engine, its lanes, subscribers and small questions. Thread: loop. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "pipelines/deploy/deploy.h"
#include "pipelines/run/facts.h"

#define LANE_QUEUE 1000000

/* ---- hops from the writer thread ------------------------------------------------------------------ */

struct hop {
    struct sl_post post;
    struct sl_db_write *w;
};

static void hop_landed(struct sl_post *post)
{
    struct hop *hop = SL_CONTAINER_OF(post, struct hop, post);
    struct sl_db_write *w = hop->w;
    free(hop);
    w->done(w);
}

static void post_write(void *data, struct sl_db_write *w)
{
    struct hop *hop = SL_NEW(struct hop);
    hop->post.fn = hop_landed;
    hop->w = w;
    sl_loop_post(data, &hop->post);
}

/* ---- readers -------------------------------------------------------------------------------------- */

struct sl_db *eng_reader_get(struct sl_engine *e, struct sl_err *err)
{
    struct sl_db *db = NULL;
    pthread_mutex_lock(&e->reader_lock);
    if (e->readers.n > 0) {
        db = e->readers.items[--e->readers.n];
    }
    pthread_mutex_unlock(&e->reader_lock);
    if (db == NULL && sl_workspace_open_reader(e->ws->path, &db, err) < 0) {
        return NULL;
    }
    return db;
}

void eng_reader_put(struct sl_engine *e, struct sl_db *db)
{
    pthread_mutex_lock(&e->reader_lock);
    sl_vec_push(&e->readers, db);
    pthread_mutex_unlock(&e->reader_lock);
}

/* ---- the core's io -------------------------------------------------------------------------------- */

static int64_t io_now(void *data)
{
    (void)data;
    return sl_now_ms();
}

static void io_new_id(void *data, char out[SL_ID_HEX + 1])
{
    (void)data;
    sl_id_ordered(NULL, out); /* attempts are the key of several large tables */
}

static void io_wake_at(void *data, int64_t at_ms)
{
    struct sl_engine *e = data;
    sl_timer_start(e->loop, &e->wake, SL_MAX(at_ms - sl_now_ms(), (int64_t)0));
}

static void wake(struct sl_timer *timer)
{
    struct sl_engine *e = SL_CONTAINER_OF(timer, struct sl_engine, wake);
    sl_core_pump(e->core);
}

static void io_run_over(void *data, struct sl_core_run *r)
{
    struct sl_engine *e = data;
    sl_core_remove_run(e->core, r);
    eng_run_free(eng_run_of(r));
}

static void io_halted(void *data, const struct sl_err *err)
{
    struct sl_engine *e = data;
    e->failed = true;
    e->failure = *err;
    struct sl_engine_event ev = {.kind = SL_J_RUN, .run_id = "", .reason = e->failure.msg};
    for (struct sl_engine_subscriber *s = e->subscribers; s != NULL; s = s->next) {
        s->fn(s, &ev);
    }
}

static const struct sl_core_io engine_io = {
    .now_ms = io_now,
    .new_id = io_new_id,
    .decide = eng_decide,
    .start = eng_start,
    .go = eng_go,
    .discard = eng_discard,
    .adopt = eng_adopt,
    .cancel = eng_cancel,
    .collect = eng_collect,
    .journal = eng_journal,
    .group_limit = eng_group_limit,
    .wake_at = io_wake_at,
    .attempt_over = eng_attempt_over,
    .run_over = io_run_over,
    .halted = io_halted,
};

/* ---- opening -------------------------------------------------------------------------------------- */

static int open_lanes(struct sl_engine *e, struct sl_err *err)
{
    const struct sl_lane_opts read = {.name = "db-read", .threads = 2, .queue_max = LANE_QUEUE};
    const struct sl_lane_opts prep = {
        .name = "blob", .threads = ENG_PREP_LANES, .queue_max = LANE_QUEUE};
    /* its own: where freed blocks are discarded at once, removing a directory waits for the disk */
    const struct sl_lane_opts tidy = {.name = "tidy", .threads = 1, .queue_max = LANE_QUEUE};
    const struct sl_lane_opts act = {
        .name = "act", .threads = ENG_ACT_LANES, .queue_max = LANE_QUEUE};
    int rc = sl_lane_open(e->loop, &read, &e->read_lane, err);
    rc = rc < 0 ? rc : sl_lane_open(e->loop, &prep, &e->prep_lane, err);
    rc = rc < 0 ? rc : sl_lane_open(e->loop, &tidy, &e->tidy_lane, err);
    return rc < 0 ? rc : sl_lane_open(e->loop, &act, &e->act_lane, err);
}

static int open_runner(struct sl_engine *e, const struct sl_engine_opts *opts, struct sl_err *err)
{
    const char *name = opts->runner != NULL ? opts->runner : "local";
    e->runner_ops = sl_runner_find(name);
    if (e->runner_ops == NULL) {
        return sl_err_set(err, SL_EINVAL, "no runner '%s'", name);
    }
    struct sl_runner_config config = {
        .loop = e->loop, .data_dirfd = e->ws->fd, .data_dir = e->ws->path};
    return e->runner_ops->open(&config, &e->runner, err);
}

static struct sl_sched_caps machine_caps(const struct sl_engine *e,
                                         const struct sl_engine_opts *opts)
{
    struct sl_sched_caps caps = {.slots = opts->slots, .ahead = SL_SCHED_AHEAD_MAX};
    caps.cpu_milli =
        opts->cpu_milli > 0 ? opts->cpu_milli : (int)sl_json_i64(e->hardware, "cpus", 1) * 1000;
    caps.gpu_count = eng_gpus_count(e);
    caps.gpus = eng_gpus_ops(e);
    caps.mem_bytes = (uint64_t)sl_json_i64(e->hardware, "memory_bytes", 1LL << 30);
    return caps;
}

static int resume_deployments(struct sl_engine *e, struct sl_err *err)
{
    struct sl_deploy_world world;
    size_t n = 0;
    sl_workspace_deploy_world(e->ws, &world);
    int rc = sl_promote_replay(&world.promote, &n, err);
    return rc < 0 ? rc : sl_deploy_resume(&world, &n, err);
}

static int open_parts(struct sl_engine *e, const struct sl_engine_opts *opts, struct sl_err *err)
{
    struct sl_workspace_opts ws_opts = {post_write, e->loop};
    int rc = sl_workspace_open(opts->path, &ws_opts, &e->ws, err);
    rc = rc < 0 ? rc : open_lanes(e, err);
    rc = rc < 0 ? rc : open_runner(e, opts, err);
    rc = rc < 0 ? rc : eng_gpus_open(e, opts->gpu_inventory, err);
    rc = rc < 0 ? rc : resume_deployments(e, err);
    if (rc < 0) {
        return rc;
    }
    e->runtime = sl_facts_runtime(&e->runtime_digest);
    e->program = opts->program;
    e->host_env = opts->host_env;
    e->hardware = sl_facts_hardware();
    if (e->runner_ops->probe(e->runner, &e->runner_facts, err) < 0) {
        return -err->code;
    }
    e->caps = machine_caps(e, opts);
    e->core = sl_core_new(&engine_io, e, &e->caps);
    rc = eng_limits_load(e, err);
    rc = rc < 0 ? rc : eng_notify_open(e, opts, err);
    rc = rc < 0 ? rc : eng_restore_all(e, err);
    if (rc == 0) {
        sl_core_pump(e->core);
    }
    return rc;
}

int sl_engine_open(struct sl_loop *loop, const struct sl_engine_opts *opts, struct sl_engine **ret,
                   struct sl_err *err)
{
    struct sl_engine *e = SL_NEW(struct sl_engine);
    e->loop = loop;
    e->wake.fn = wake;
    pthread_mutex_init(&e->reader_lock, NULL);
    int rc = open_parts(e, opts, err);
    if (rc < 0) {
        sl_engine_close(e);
        return rc;
    }
    *ret = e;
    return 0;
}

static void release_live(struct sl_engine *e, struct eng_run *r)
{
    for (uint32_t i = 0; i < r->core.plan->n_steps; i++) {
        struct sl_core_attempt *a = r->core.steps[i].att;
        if (a != NULL && a->host != NULL) {
            struct eng_attempt *ea = eng_attempt_of(a);
            if (ea->live) {
                e->runner_ops->release(&ea->proc);
                ea->live = false;
            }
            a->host = NULL;
            sl_arena_release(&ea->arena);
            free(ea->dir);
            free(ea->identity);
            free(ea->outputs);
            free(ea->gpus);
            free(ea);
        }
    }
}

static void close_runs(struct sl_engine *e)
{
    struct sl_core_run *r = NULL;
    while (e->core != NULL && (r = sl_core_find_run(e->core, NULL)) != NULL) {
        release_live(e, eng_run_of(r));
        sl_core_remove_run(e->core, r);
        eng_run_free(eng_run_of(r));
    }
}

void sl_engine_close(struct sl_engine *e)
{
    if (e == NULL) {
        return;
    }
    e->closing = true;
    sl_timer_stop(&e->wake);
    sl_lane_close(e->act_lane, true); /* actions finish: their effects must not be cut in half */
    sl_lane_close(e->prep_lane, true);
    sl_lane_close(e->tidy_lane, true);
    sl_lane_close(e->read_lane, false);
    eng_decide_close(e);
    eng_notify_close(e);
    if (e->ws != NULL) { /* what was journaled by then is answered before the runs go */
        sl_db_writer_stop(e->ws->writer);
        e->ws->writer = NULL;
        sl_loop_turn(e->loop, false);
    }
    if (e->core != NULL) {
        sl_core_drop_unrecorded(e->core);
    }
    close_runs(e);
    eng_gpus_close(e);
    sl_core_free(e->core);
    eng_limits_free(e);
    if (e->runner != NULL) {
        e->runner_ops->close(e->runner);
    }
    for (size_t i = 0; i < e->readers.n; i++) {
        sl_db_close(e->readers.items[i]);
    }
    sl_vec_free(&e->readers);
    pthread_mutex_destroy(&e->reader_lock);
    sl_workspace_close(e->ws);
    json_decref(e->runtime);
    json_decref(e->hardware);
    json_decref(e->runner_facts);
    free(e);
}

/* ---- small questions ------------------------------------------------------------------------------ */

struct sl_workspace *sl_engine_workspace(struct sl_engine *e)
{
    return e->ws;
}

struct sl_loop *sl_engine_loop(struct sl_engine *e)
{
    return e->loop;
}

void sl_engine_subscribe(struct sl_engine *e, struct sl_engine_subscriber *s)
{
    s->next = e->subscribers;
    e->subscribers = s;
}

void sl_engine_unsubscribe(struct sl_engine *e, struct sl_engine_subscriber *s)
{
    struct sl_engine_subscriber **at = &e->subscribers;
    while (*at != NULL && *at != s) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = s->next;
    }
}

int sl_engine_cancel(struct sl_engine *e, const char *run_id, const char *who, struct sl_err *err)
{
    struct sl_core_run *r = sl_core_find_run(e->core, run_id);
    if (r == NULL) {
        return sl_err_set(err, SL_ENOTFOUND, "run %s is not live: it has ended", run_id);
    }
    sl_core_cancel(r, who);
    return 0;
}

void sl_engine_ask_again(struct sl_engine *e, const char *run_id, int64_t step)
{
    struct sl_core_run *r = sl_core_find_run(e->core, run_id);
    if (r != NULL && step >= 0 && step < r->plan->n_steps) {
        sl_core_ask_again(r, (uint32_t)step);
        sl_core_pump(e->core);
    }
}

bool sl_engine_is_queued(const struct sl_engine *e, const char *run_id)
{
    const struct sl_core_run *r = sl_core_find_run(e->core, run_id);
    return r != NULL && !r->admitted;
}

bool sl_engine_only_awaits(const struct sl_engine *e, const char *run_id)
{
    const struct sl_core_run *r = sl_core_find_run(e->core, run_id);
    return r != NULL && sl_core_only_awaits(r);
}

size_t sl_engine_n_runs(const struct sl_engine *e)
{
    return sl_core_n_runs(e->core);
}

bool sl_engine_has_run(const struct sl_engine *e, const char *run_id)
{
    return sl_core_find_run(e->core, run_id) != NULL;
}

void sl_engine_each_run(struct sl_engine *e, void (*fn)(const char *run_id, void *data), void *data)
{
    struct sl_core_run *next = NULL;
    for (struct sl_core_run *r = sl_core_find_run(e->core, NULL); r != NULL; r = next) {
        next = r->next;
        fn(r->id, data);
    }
}

const struct sl_err *sl_engine_failure(const struct sl_engine *e)
{
    return e->failed ? &e->failure : NULL;
}

bool sl_engine_why_waiting(struct sl_engine *e, const char *run_id, uint32_t step,
                           struct sl_buf *out)
{
    struct sl_core_run *r = sl_core_find_run(e->core, run_id);
    if (r == NULL || step >= r->plan->n_steps) {
        return false;
    }
    if (r->steps[step].state == SL_STEP_AWAITING) {
        sl_buf_puts(out, "waiting for people to approve: sluice inbox --all");
    } else if (r->admitted) {
        sl_sched_why(sl_core_sched(e->core), r->sched, step, out);
    } else {
        sl_buf_puts(out, "the run is queued: ");
        sl_core_why_queued(r, out);
    }
    return true;
}

json_t *sl_engine_runner_facts(struct sl_engine *e)
{
    json_t *facts = NULL;
    struct sl_err err = SL_ERR_INIT;
    if (e->runner_ops->probe(e->runner, &facts, &err) < 0) {
        facts = json_pack("{s:s}", "error", err.msg);
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:O, s:O}", "name", e->runner_ops->name, "text",
                     e->runner_ops->text, "facts", facts, "gpus", eng_gpus_json(e), "hardware",
                     e->hardware, "runtime", e->runtime);
}
