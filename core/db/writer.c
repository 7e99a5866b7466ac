/**
 * The writer lane: queue, batch, savepoint per request, one commit, then the answers.
 *
 * Thread: `run` is the writer thread and alone touches the connection; the queue and the counters
 * are under `lock`. Must not: answer a request before its commit is durable.
 */
#include "core/base/base.h"

#include "core/db/writer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/db/db_priv.h"

struct sl_db_writer {
    struct sl_db *db;
    void (*post)(void *post_data, struct sl_db_write *w);
    void *post_data;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;  /* something was queued, or stop */
    pthread_cond_t space; /* the queue shrank */
    struct sl_db_write *head, **tail;
    size_t n_queued;
    bool stopping;
    struct sl_db_writer_stats stats;
};

/* Takes up to a batch from the queue; waits for the first. 0 = stopping and empty. */
static size_t take_batch(struct sl_db_writer *wr, struct sl_db_write *batch[SL_DB_BATCH_MAX])
{
    (void)pthread_mutex_lock(&wr->lock);
    while (wr->head == NULL && !wr->stopping) {
        (void)pthread_cond_wait(&wr->wake, &wr->lock);
    }
    size_t n = 0;
    while (wr->head != NULL && n < SL_DB_BATCH_MAX) {
        struct sl_db_write *w = wr->head;
        wr->head = w->next;
        w->next = NULL;
        batch[n++] = w;
    }
    if (wr->head == NULL) {
        wr->tail = &wr->head;
    }
    wr->n_queued -= n;
    (void)pthread_cond_broadcast(&wr->space);
    (void)pthread_mutex_unlock(&wr->lock);
    return n;
}

static int call_fn(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct sl_db_write *w = arg;
    return w->fn(db, w, err);
}

static void fail_range(struct sl_db_write **batch, size_t n, const struct sl_err *why)
{
    for (size_t i = 0; i < n; i++) {
        if (batch[i]->rc == 0) {
            batch[i]->rc = -why->code;
            batch[i]->err = *why;
        }
    }
}

/* A request that has the transaction to itself needs no savepoint, for which SQLite copies every page before its
 * first change: when it fails, all of it is undone. */
static void run_alone(struct sl_db_writer *wr, struct sl_db_write *w)
{
    w->rc = call_fn(wr->db, w, &w->err);
    SL_ASSERT(w->rc <= 0);
    SL_ASSERT(wr->db->n_cursors == 0);
    if (w->rc == 0 && !sl_db_in_tx(wr->db)) {
        w->rc = sl_err_set(&w->err, SL_EIO, "the transaction was rolled back");
    }
    if (w->rc < 0) {
        sl_db_rollback(wr->db);
    }
}

/*
 * Runs requests of one transaction until all ran or the transaction was lost; returns how many ran.
 * A lost transaction (full disk, I/O error) took the earlier requests' changes with it, so they fail
 * too; the remaining ones get a transaction of their own.
 */
static size_t run_requests(struct sl_db_writer *wr, struct sl_db_write **batch, size_t n)
{
    if (n == 1) {
        run_alone(wr, batch[0]);
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        struct sl_db_write *w = batch[i];
        w->rc = sl_db_savepoint(wr->db, call_fn, w, &w->err);
        SL_ASSERT(wr->db->n_cursors == 0);
        if (!sl_db_in_tx(wr->db)) {
            struct sl_err why = w->err;
            fail_range(batch, i, &why);
            return i + 1;
        }
    }
    return n;
}

/* One transaction over the first requests of the batch; returns how many were settled. */
static size_t run_tx(struct sl_db_writer *wr, struct sl_db_write **batch, size_t n, bool *committed)
{
    struct sl_err err = SL_ERR_INIT;
    *committed = false;
    if (sl_db_begin(wr->db, &err) < 0) {
        fail_range(batch, n, &err);
        return n;
    }
    size_t ran = run_requests(wr, batch, n);
    if (!sl_db_in_tx(wr->db)) {
        return ran;
    }
    if (sl_db_commit(wr->db, &err) < 0) {
        sl_db_rollback(wr->db);
        fail_range(batch, ran, &err);
        return ran;
    }
    *committed = true;
    return ran;
}

static void answer(struct sl_db_writer *wr, struct sl_db_write **batch, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sl_db_write *w = batch[i];
        if (w->direct || wr->post == NULL) {
            w->done(w);
        } else {
            wr->post(wr->post_data, w);
        }
    }
}

static void count(struct sl_db_writer *wr, struct sl_db_write **batch, size_t n, bool committed)
{
    uint64_t failed = 0;
    for (size_t i = 0; i < n; i++) {
        failed += batch[i]->rc < 0 ? 1 : 0;
    }
    (void)pthread_mutex_lock(&wr->lock);
    wr->stats.requests += n;
    wr->stats.failed += failed;
    wr->stats.commits += committed ? 1 : 0;
    wr->stats.batch_max = SL_MAX(wr->stats.batch_max, (uint64_t)n);
    (void)pthread_mutex_unlock(&wr->lock);
}

static void *run(void *arg)
{
    struct sl_db_writer *wr = arg;
    struct sl_db_write *batch[SL_DB_BATCH_MAX];
    size_t n = 0;
    while ((n = take_batch(wr, batch)) > 0) {
        for (size_t at = 0; at < n;) {
            bool committed = false;
            size_t settled = run_tx(wr, batch + at, n - at, &committed);
            count(wr, batch + at, settled, committed);
            answer(wr, batch + at, settled);
            at += settled;
        }
    }
    return NULL;
}

/* Signals belong to the loop's thread. */
static int start_thread(struct sl_db_writer *wr)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&wr->thread, NULL, run, wr);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

int sl_db_writer_start(const struct sl_db_writer_opts *opts, struct sl_db_writer **ret_writer,
                       struct sl_err *err)
{
    _cleanup_(db)
    struct sl_db *db = NULL;
    int rc = sl_db_open(opts->path, SL_DB_RW, &db, err);
    if (rc == 0) {
        rc = sl_db_migrate(db, opts->schemas, opts->n_schemas, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct sl_db_writer *wr = SL_NEW(struct sl_db_writer);
    wr->post = opts->post;
    wr->post_data = opts->post_data;
    wr->tail = &wr->head;
    wr->db = db;
    (void)pthread_mutex_init(&wr->lock, NULL);
    (void)pthread_cond_init(&wr->wake, NULL);
    (void)pthread_cond_init(&wr->space, NULL);
    rc = start_thread(wr);
    if (rc != 0) {
        free(wr);
        return sl_err_errno(err, rc, "starting the database writer");
    }
    (void)sl_take(db); /* the thread's now */
    *ret_writer = wr;
    return 0;
}

void sl_db_writer_stop(struct sl_db_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&writer->lock);
    writer->stopping = true;
    (void)pthread_cond_signal(&writer->wake);
    (void)pthread_mutex_unlock(&writer->lock);
    (void)pthread_join(writer->thread, NULL);
    sl_db_close(writer->db);
    (void)pthread_mutex_destroy(&writer->lock);
    (void)pthread_cond_destroy(&writer->wake);
    (void)pthread_cond_destroy(&writer->space);
    free(writer);
}

static int enqueue(struct sl_db_writer *wr, struct sl_db_write *w, bool wait)
{
    SL_ASSERT(w->fn != NULL && w->done != NULL);
    w->rc = 0;
    w->err = SL_ERR_INIT;
    w->next = NULL;
    (void)pthread_mutex_lock(&wr->lock);
    SL_ASSERT(!wr->stopping);
    while (wait && wr->n_queued >= SL_DB_QUEUE_MAX) {
        (void)pthread_cond_wait(&wr->space, &wr->lock);
    }
    bool full = wr->n_queued >= SL_DB_QUEUE_MAX;
    if (!full) {
        *wr->tail = w;
        wr->tail = &w->next;
        wr->n_queued++;
    }
    (void)pthread_mutex_unlock(&wr->lock);
    if (!full) { /* outside: the writer needs the lock first */
        (void)pthread_cond_signal(&wr->wake);
    }
    return full ? -SL_EBUSY : 0;
}

int sl_db_write_submit(struct sl_db_writer *writer, struct sl_db_write *w)
{
    w->direct = false;
    return enqueue(writer, w, false);
}

/* A caller that waits: lives on its stack. */
struct sync_write {
    struct sl_db_write w;
    sl_db_fn fn;
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool is_done;
};

static int sync_fn(struct sl_db *db, struct sl_db_write *w, struct sl_err *err)
{
    struct sync_write *s = SL_CONTAINER_OF(w, struct sync_write, w);
    return s->fn(db, s->arg, err);
}

static void sync_done(struct sl_db_write *w)
{
    struct sync_write *s = SL_CONTAINER_OF(w, struct sync_write, w);
    (void)pthread_mutex_lock(&s->lock);
    s->is_done = true;
    (void)pthread_cond_signal(&s->finished);
    (void)pthread_mutex_unlock(&s->lock);
}

int sl_db_write_sync(struct sl_db_writer *writer, sl_db_fn fn, void *arg, struct sl_err *err)
{
    SL_ASSERT(!pthread_equal(pthread_self(), writer->thread));
    struct sync_write s = {.w = {.fn = sync_fn, .done = sync_done, .direct = true},
                           .fn = fn,
                           .arg = arg,
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .finished = PTHREAD_COND_INITIALIZER};
    int rc = enqueue(writer, &s.w, true);
    SL_ASSERT(rc == 0);
    (void)pthread_mutex_lock(&s.lock);
    while (!s.is_done) {
        (void)pthread_cond_wait(&s.finished, &s.lock);
    }
    (void)pthread_mutex_unlock(&s.lock);
    if (s.w.rc < 0 && err != NULL) {
        *err = s.w.err;
    }
    return s.w.rc;
}

void sl_db_writer_stats(struct sl_db_writer *writer, struct sl_db_writer_stats *ret)
{
    (void)pthread_mutex_lock(&writer->lock);
    *ret = writer->stats;
    (void)pthread_mutex_unlock(&writer->lock);
}
