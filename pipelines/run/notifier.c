/**
 * The notifier: one lane that takes events over, delivers what is due and records how it went; one timer for what
 * is due later.
 *
 * Thread: loop and lane, as marked. Must not: hold a transaction while it waits for a receiver.
 */
#include "core/base/base.h"

#include "pipelines/run/notifier.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/aio/lane.h"
#include "core/base/time.h"
#include "pipelines/run/project.h"

#define TRY_MS         30000
#define CONNECT_MS     10000
#define WINDOW_MS      60000 /* of SL_NOTIFY_PER_MINUTE */
#define RETRY_AFTER_MS ((int64_t)24 * 3600 * 1000)

struct sl_notifier {
    struct sl_loop *loop;
    struct sl_workspace *ws;
    struct sl_lane *lane;
    struct sl_timer timer;
    struct sl_work work;
    struct sl_db *db; /* the lane's, opened by its first work */
    unsigned allow;
    char *ca_file;
    bool busy, again, closing;
    atomic_int_least64_t deadline_ms; /* monotonic; 0: none */
    int64_t next_ms;                  /* found by the lane; 0: nothing pending */
};

/* ---- on the lane ---------------------------------------------------------------------------------------- */

static bool out_of_time(void *data)
{
    struct sl_notifier *n = data;
    int64_t deadline = atomic_load(&n->deadline_ms);
    return deadline > 0 && sl_mono_ns() / 1000000 > deadline;
}

static int take_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_notify_take(db, sl_now_ms(), arg, err);
}

static int record_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_notify_record(db, arg, err);
}

static int64_t wait_ms(int tries, int64_t retry_after_ms)
{
    uint32_t random = 0;
    sl_env_real.random(NULL, &random, sizeof(random));
    int64_t wait =
        SL_MIN((int64_t)SL_NOTIFY_BASE_MS << SL_MIN(tries, 20), (int64_t)SL_NOTIFY_WAIT_MAX);
    wait = wait / 2 + (int64_t)(random % (uint32_t)(wait / 2 + 1));
    return SL_MAX(wait, SL_MIN(retry_after_ms, RETRY_AFTER_MS));
}

/* Reasons that no further try can change; filled into the result. False: try. */
static bool hopeless(struct sl_notifier *n, const struct sl_notification *row,
                     const struct sl_channel *channel, int64_t generation, struct sl_arena *a,
                     struct sl_notify_result *r)
{
    struct sl_err err = SL_ERR_INIT;
    int64_t recent = 0;
    if (channel == NULL) {
        r->final = true;
        r->error = sl_arena_printf(a, "the project has no channel '%s' any more", row->channel);
        return true;
    }
    if (sl_notify_disabled(n->db, row->channel, generation, a, &r->error, &err) < 0 ||
        r->error != NULL) {
        r->final = r->error != NULL;
        r->error =
            r->error != NULL
                ? sl_arena_printf(a, "the channel is off until the project changes: %s", r->error)
                : sl_arena_strdup(a, err.msg);
        r->next_ms = r->now_ms + SL_NOTIFY_BASE_MS;
        return true;
    }
    if (sl_notify_recent(n->db, row->channel, r->now_ms - WINDOW_MS, &recent, &err) == 0 &&
        recent >= SL_NOTIFY_PER_MINUTE) {
        r->next_ms = r->now_ms + SL_NOTIFY_BASE_MS;
        r->error = "waits: the channel had its messages for this minute";
        return true;
    }
    return false;
}

static void try_row(struct sl_notifier *n, const struct sl_notification *row,
                    const struct sl_project *project, int64_t generation, struct sl_arena *a)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_notify_said said = {.retry_after_ms = -1};
    struct sl_notify_result r = {.id = row->id, .now_ms = sl_now_ms(), .generation = generation};
    const struct sl_channel *channel = sl_project_channel(project, row->channel);
    const struct sl_fetch_opts fetch = {.allow = n->allow,
                                        .ca_file = n->ca_file,
                                        .connect_timeout_ms = CONNECT_MS,
                                        .total_timeout_ms = TRY_MS,
                                        .tries = 1,
                                        .cancelled = out_of_time,
                                        .cancel_data = n};
    if (!hopeless(n, row, channel, generation, a, &r)) {
        struct sl_notify_send s = {.data_path = n->ws->path,
                                   .db = n->db,
                                   .channel = channel,
                                   .fetch = &fetch,
                                   .now_ms = r.now_ms};
        int rc = sl_notify_deliver(&s, row, &said, &err);
        bool cut = rc == -SL_ECANCELLED; /* by our own end: not the receiver's doing */
        r.sent = rc == 0;
        r.counts = !cut;
        r.error = rc < 0 ? sl_arena_strdup(a, err.msg) : NULL;
        r.final = rc < 0 && !cut && (said.gone || row->tries + 1 >= SL_NOTIFY_TRIES_MAX);
        r.disable = said.gone ? row->channel : NULL;
        r.now_ms = sl_now_ms();
        r.next_ms = r.now_ms + (cut ? 0 : wait_ms(row->tries, said.retry_after_ms));
    }
    /* When this fails the row is still pending, and the message is sent again: at least once. */
    SL_IGNORE(sl_ws_write(n->ws, record_tx, &r, &err));
}

static int pass(struct sl_notifier *n, struct sl_err *err)
{
    struct sl_arena a;
    struct sl_notification *rows = NULL;
    struct sl_project_info info = {.generation = 0};
    const struct sl_project *project = NULL;
    size_t n_rows = 0;
    int taken = 0;
    sl_arena_init(&a, 0);
    int rc = n->db == NULL ? sl_workspace_open_reader(n->ws->path, &n->db, err) : 0;
    rc = rc < 0 ? rc : sl_ws_write(n->ws, take_tx, &taken, err);
    rc = rc < 0 ? rc : sl_notify_due(n->db, sl_now_ms(), &a, &rows, &n_rows, err);
    rc = rc < 0 || n_rows == 0 ? rc : sl_project_current(n->db, &a, &project, &info, err);
    for (size_t i = 0; rc == 0 && i < n_rows && !out_of_time(n); i++) {
        try_row(n, &rows[i], project, info.generation, &a);
    }
    rc = rc < 0 ? rc : sl_notify_next_ms(n->db, &n->next_ms, err);
    sl_arena_release(&a);
    return rc;
}

static void work_fn(struct sl_work *work)
{
    struct sl_notifier *n = SL_CONTAINER_OF(work, struct sl_notifier, work);
    struct sl_err err = SL_ERR_INIT;
    if (pass(n, &err) < 0) { /* a full disk, say: later again */
        n->next_ms = sl_now_ms() + SL_NOTIFY_POLL_MS;
    }
}

/* ---- on the loop ---------------------------------------------------------------------------------------- */

static void start_work(struct sl_notifier *n)
{
    struct sl_err err = SL_ERR_INIT;
    if (n->busy) {
        n->again = true;
        return;
    }
    n->again = false;
    n->busy = sl_lane_submit(n->lane, &n->work, &err) == 0;
}

static void work_done(struct sl_work *work)
{
    struct sl_notifier *n = SL_CONTAINER_OF(work, struct sl_notifier, work);
    n->busy = false;
    if (n->closing) {
        return;
    }
    if (n->again) {
        start_work(n);
        return;
    }
    int64_t wait = SL_NOTIFY_POLL_MS;
    if (n->next_ms > 0) {
        wait = SL_MIN(wait, SL_MAX(n->next_ms - sl_now_ms(), (int64_t)0));
    }
    sl_timer_start(n->loop, &n->timer, wait);
}

static void timer_fn(struct sl_timer *timer)
{
    start_work(SL_CONTAINER_OF(timer, struct sl_notifier, timer));
}

void sl_notifier_wake(struct sl_notifier *n)
{
    sl_timer_stop(&n->timer);
    start_work(n);
}

int sl_notifier_new(struct sl_loop *loop, struct sl_workspace *ws,
                    const struct sl_notifier_opts *opts, struct sl_notifier **ret,
                    struct sl_err *err)
{
    const struct sl_lane_opts lane = {.name = "notify", .threads = 1, .queue_max = 4};
    struct sl_notifier *n = SL_NEW(struct sl_notifier);
    n->loop = loop;
    n->ws = ws;
    n->allow = opts->allow;
    n->ca_file = sl_strdup(opts->ca_file);
    n->timer.fn = timer_fn;
    n->work.fn = work_fn;
    n->work.done = work_done;
    int rc = sl_lane_open(loop, &lane, &n->lane, err);
    if (rc < 0) {
        sl_notifier_close(n);
        return rc;
    }
    sl_timer_start(loop, &n->timer, 0);
    *ret = n;
    return 0;
}

void sl_notifier_close(struct sl_notifier *n)
{
    if (n == NULL) {
        return;
    }
    n->closing = true;
    sl_timer_stop(&n->timer);
    if (n->lane != NULL) {
        atomic_store(&n->deadline_ms, sl_mono_ns() / 1000000 + SL_NOTIFY_CLOSING_MS);
        sl_lane_close(n->lane, true); /* what runs; then once more what was queued meanwhile */
        struct sl_err err = SL_ERR_INIT;
        if (n->again || !n->busy) {
            SL_IGNORE(pass(n, &err));
        }
    }
    sl_db_close(n->db);
    free(n->ca_file);
    free(n);
}

int sl_notifier_allow(const char *text, unsigned *ret, struct sl_err *err)
{
    static const struct {
        const char *word;
        unsigned flag;
    } words[] = {
        {"http", SL_FETCH_HTTP}, {"loopback", SL_FETCH_LOOPBACK}, {"private", SL_FETCH_PRIVATE}};
    unsigned flags = 0;
    for (const char *at = text; at != NULL && *at != '\0';) {
        size_t n = strcspn(at, ",");
        unsigned flag = 0;
        for (size_t i = 0; i < SL_LEN(words); i++) {
            flag |= strlen(words[i].word) == n && strncmp(at, words[i].word, n) == 0 ? words[i].flag
                                                                                     : 0;
        }
        if (flag == 0) {
            return sl_err_set(err, SL_EINVAL,
                              "SLUICE_NOTIFY_ALLOW: '%.*s' is none of http, loopback, private",
                              (int)SL_MIN(n, (size_t)40), at);
        }
        flags |= flag;
        at += n + (at[n] == ',' ? 1 : 0);
    }
    *ret = flags;
    return 0;
}
