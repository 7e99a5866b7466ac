/**
 * The writer lane: order, grouping, isolation of failures, and what survives kill -9.
 */
#include "core/base/base.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/db/writer.h"
#include "tests/support/sl_test.h"

#define THREADS           64
#define WRITES_PER_THREAD 40
#define READERS           4

static const char *const tables[] = {
    "CREATE TABLE t(id INTEGER PRIMARY KEY, who INTEGER NOT NULL, n INTEGER NOT NULL) STRICT;"
    "CREATE TABLE u(x INTEGER UNIQUE) STRICT;"};
static const struct sl_schema schema = {"t", tables, 1};
static const struct sl_schema *const schemas[] = {&schema};

struct fixture {
    char *dir, *path;
    struct sl_db_writer *writer;
    struct sl_err err;
};

static void set_up(struct fixture *f, void (*post)(void *, struct sl_db_write *), void *data)
{
    *f = (struct fixture){0};
    f->dir = sl_test_tmpdir();
    f->path = sl_test_path(f->dir, "sluice.db");
    struct sl_db_writer_opts opts = {
        .path = f->path, .schemas = schemas, .n_schemas = 1, .post = post, .post_data = data};
    SL_CHECK_OK(sl_db_writer_start(&opts, &f->writer, &f->err), f->err);
}

static void tear_down(struct fixture *f)
{
    sl_db_writer_stop(f->writer);
    free(f->path);
    sl_test_rmdir(f->dir);
}

static int64_t query(struct fixture *f, struct sl_sql sql)
{
    struct sl_db *db = NULL;
    int64_t n = -1;
    SL_CHECK_OK(sl_db_open(f->path, SL_DB_RO, &db, &f->err), f->err);
    SL_CHECK_OK(sl_db_get_i64(db, &n, &f->err, sql, ""), f->err);
    sl_db_close(db);
    return n;
}

/* A lane that can be held, so that a known number of requests waits behind it. */
struct gate {
    struct sl_db_write w;
    sem_t entered, open;
};

static int gate_fn(struct sl_db *db SL_UNUSED, struct sl_db_write *w, struct sl_err *err SL_UNUSED)
{
    struct gate *g = SL_CONTAINER_OF(w, struct gate, w);
    (void)sem_post(&g->entered);
    (void)sem_wait(&g->open);
    return 0;
}

static void ignore_done(struct sl_db_write *w SL_UNUSED) {}

static void gate_close(struct gate *g, struct sl_db_writer *writer)
{
    *g = (struct gate){.w = {.fn = gate_fn, .done = ignore_done}};
    (void)sem_init(&g->entered, 0, 0);
    (void)sem_init(&g->open, 0, 0);
    SL_CHECK_EQ_INT(sl_db_write_submit(writer, &g->w), 0);
    (void)sem_wait(&g->entered);
}

struct item {
    struct sl_db_write w;
    int n, fail;     /* fail: the code to fail with after having written */
    int *done_order; /* where done writes its turn */
    _Atomic int *turn;
};

static int item_fn(struct sl_db *db, struct sl_db_write *w, struct sl_err *err)
{
    struct item *it = SL_CONTAINER_OF(w, struct item, w);
    int rc = sl_db_exec(db, err, SL_SQL("INSERT INTO t(who, n) VALUES (0, ?)"), "i", it->n);
    if (rc == 0 && it->fail == SL_ENOSPACE) { /* a real one: the whole transaction is lost */
        rc = sl_db_exec(db, err, SL_SQL("PRAGMA max_page_count = 1"), "");
        while (rc == 0) {
            rc = sl_db_exec(db, err, SL_SQL("INSERT INTO u(x) VALUES (random())"), "");
        }
        struct sl_err other = SL_ERR_INIT;
        SL_CHECK_OK(sl_db_exec(db, &other, SL_SQL("PRAGMA max_page_count = 1000000"), ""), other);
        return rc;
    }
    if (rc == 0 && it->fail != 0) {
        return sl_err_set(err, it->fail, "item %d was asked to fail", it->n);
    }
    return rc;
}

static void item_done(struct sl_db_write *w)
{
    struct item *it = SL_CONTAINER_OF(w, struct item, w);
    *it->done_order = atomic_fetch_add(it->turn, 1);
}

struct batch {
    struct item items[SL_DB_BATCH_MAX + 10];
    int order[SL_DB_BATCH_MAX + 10];
    _Atomic int turn;
};

static void submit(struct fixture *f, struct batch *b, int n)
{
    for (int i = 0; i < n; i++) {
        struct item *it = &b->items[i];
        it->w.fn = item_fn;
        it->w.done = item_done;
        it->n = i;
        it->turn = &b->turn;
        it->done_order = &b->order[i];
        SL_CHECK_EQ_INT(sl_db_write_submit(f->writer, &it->w), 0);
    }
}

SL_TEST(core_db_writer, submit__many_waiting__one_commit_in_order)
{
    struct fixture f;
    set_up(&f, NULL, NULL);
    struct gate g;
    struct batch *b = SL_NEW(struct batch);
    gate_close(&g, f.writer);
    submit(&f, b, SL_DB_BATCH_MAX + 10);
    (void)sem_post(&g.open);
    sl_db_writer_stop(sl_take(f.writer));
    for (int i = 0; i < SL_DB_BATCH_MAX + 10; i++) {
        SL_CHECK_EQ_INT(b->items[i].w.rc, 0);
        SL_CHECK_EQ_INT(b->order[i], i);
    }
    SL_CHECK_EQ_INT(query(&f, SL_SQL("SELECT count(*) FROM t WHERE id = n + 1")),
                    SL_DB_BATCH_MAX + 10);
    free(b);
    tear_down(&f);
}

SL_TEST(core_db_writer, batch__is_bounded_and_commits_are_fewer_than_requests)
{
    struct fixture f;
    set_up(&f, NULL, NULL);
    struct gate g;
    struct batch *b = SL_NEW(struct batch);
    gate_close(&g, f.writer);
    submit(&f, b, SL_DB_BATCH_MAX + 1);
    (void)sem_post(&g.open);
    struct gate last;
    gate_close(&last, f.writer); /* entered once the others are answered, or in their last batch */
    (void)sem_post(&last.open);
    struct sl_db_writer *writer = sl_take(f.writer);
    struct sl_db_writer_stats stats = {0};
    while (stats.requests < SL_DB_BATCH_MAX + 3) { /* the last commit is under way */
        sl_db_writer_stats(writer, &stats);
    }
    SL_CHECK_EQ_UINT(stats.batch_max, SL_DB_BATCH_MAX);
    SL_CHECK(stats.commits >= 3 && stats.commits <= 4);
    SL_CHECK_EQ_UINT(stats.failed, 0);
    sl_db_writer_stop(writer);
    free(b);
    tear_down(&f);
}

SL_TEST(core_db_writer, failing_request__does_not_hurt_its_batch)
{
    struct fixture f;
    set_up(&f, NULL, NULL);
    struct gate g;
    struct batch *b = SL_NEW(struct batch);
    gate_close(&g, f.writer);
    b->items[3].fail = SL_EREFUSED;
    submit(&f, b, 10);
    (void)sem_post(&g.open);
    sl_db_writer_stop(sl_take(f.writer));
    for (int i = 0; i < 10; i++) {
        SL_CHECK_EQ_INT(b->items[i].w.rc, i == 3 ? -SL_EREFUSED : 0);
    }
    SL_CHECK_EQ_STR(b->items[3].w.err.msg, "item 3 was asked to fail");
    SL_CHECK_EQ_INT(query(&f, SL_SQL("SELECT count(*) FROM t")), 9);
    SL_CHECK_EQ_INT(query(&f, SL_SQL("SELECT count(*) FROM t WHERE n = 3")), 0);
    free(b);
    tear_down(&f);
}

SL_TEST(core_db_writer, full_disk__no_request_with_success_is_lost)
{
    struct fixture f;
    set_up(&f, NULL, NULL);
    struct gate g;
    struct batch *b = SL_NEW(struct batch);
    gate_close(&g, f.writer);
    b->items[4].fail = SL_ENOSPACE;
    submit(&f, b, 10);
    (void)sem_post(&g.open);
    sl_db_writer_stop(sl_take(f.writer));
    SL_CHECK_EQ_INT(b->items[4].w.rc, -SL_ENOSPACE);
    int64_t ok = 0;
    for (int i = 0; i < 10; i++) {
        ok += b->items[i].w.rc == 0 ? 1 : 0;
    }
    SL_CHECK(ok >= 5); /* those after the failure, at least */
    SL_CHECK_EQ_INT(query(&f, SL_SQL("SELECT count(*) FROM t")), ok);
    SL_CHECK_EQ_INT(query(&f, SL_SQL("SELECT count(*) FROM u")), 0);
    free(b);
    tear_down(&f);
}

SL_TEST(core_db_writer, queue__one_past_maximum__is_busy)
{
    struct fixture f;
    set_up(&f, NULL, NULL);
    struct gate g;
    gate_close(&g, f.writer);
    struct item *items = sl_calloc(SL_DB_QUEUE_MAX + 1, sizeof(*items));
    _Atomic int turn = 0;
    int order = 0;
    for (int i = 0; i <= SL_DB_QUEUE_MAX; i++) {
        items[i] = (struct item){.w = {.fn = item_fn, .done = item_done},
                                 .fail = SL_EREFUSED,
                                 .turn = &turn,
                                 .done_order = &order};
        int rc = sl_db_write_submit(f.writer, &items[i].w);
        SL_CHECK_EQ_INT(rc, i < SL_DB_QUEUE_MAX ? 0 : -SL_EBUSY);
    }
    (void)sem_post(&g.open);
    sl_db_writer_stop(sl_take(f.writer));
    SL_CHECK_EQ_INT(turn, SL_DB_QUEUE_MAX);
    free(items);
    tear_down(&f);
}

struct posted {
    pthread_mutex_t lock;
    struct sl_db_write *w[100];
    int n;
    pthread_t thread;
};

static void collect(void *data, struct sl_db_write *w)
{
    struct posted *p = data;
    (void)pthread_mutex_lock(&p->lock);
    p->w[p->n++] = w;
    p->thread = pthread_self();
    (void)pthread_mutex_unlock(&p->lock);
}

SL_TEST(core_db_writer, post__delivers_instead_of_done)
{
    struct fixture f;
    struct posted p = {.lock = PTHREAD_MUTEX_INITIALIZER};
    set_up(&f, collect, &p);
    struct batch *b = SL_NEW(struct batch);
    submit(&f, b, 20);
    sl_db_writer_stop(sl_take(f.writer));
    SL_CHECK_EQ_INT(b->turn, 0);
    SL_CHECK_EQ_INT(p.n, 20);
    SL_CHECK(!pthread_equal(p.thread, pthread_self()));
    for (int i = 0; i < 20; i++) {
        SL_CHECK(p.w[i] == &b->items[i].w);
        p.w[i]->done(p.w[i]);
    }
    SL_CHECK_EQ_INT(b->turn, 20);
    free(b);
    tear_down(&f);
}

struct crowd {
    struct fixture *f;
    _Atomic int failures, reads;
    _Atomic bool stop;
};
struct member {
    struct crowd *crowd;
    int who, n;
};

static int crowd_insert(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct member *m = arg;
    return sl_db_exec(db, err, SL_SQL("INSERT INTO t(who, n) VALUES (?, ?)"), "ii", m->who, m->n);
}

static void *crowd_write(void *arg)
{
    struct member *m = arg;
    for (m->n = 0; m->n < WRITES_PER_THREAD; m->n++) {
        struct sl_err err = SL_ERR_INIT;
        if (sl_db_write_sync(m->crowd->f->writer, crowd_insert, m, &err) < 0) {
            sl_test_note("write failed: %s", err.msg);
            atomic_fetch_add(&m->crowd->failures, 1);
        }
    }
    return NULL;
}

/* Opens and closes too: opening is where a lock could be met. */
static void *crowd_read(void *arg)
{
    struct crowd *c = arg;
    int64_t seen = 0;
    while (!atomic_load(&c->stop)) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_db *db = NULL;
        int rc = sl_db_open(c->f->path, SL_DB_RO, &db, &err);
        for (int i = 0; i < 20 && rc == 0; i++) {
            int64_t n = 0;
            rc = sl_db_get_i64(db, &n, &err, SL_SQL("SELECT count(*) FROM t"), "");
            SL_CHECK(rc < 0 || n >= seen);
            seen = n;
            atomic_fetch_add(&c->reads, 1);
        }
        if (rc < 0) {
            sl_test_note("read failed: %s", err.msg);
            atomic_fetch_add(&c->failures, 1);
        }
        sl_db_close(db);
    }
    return NULL;
}

SL_TEST(core_db_writer, crowd__64_writers_and_readers__never_locked)
{
    struct fixture f;
    set_up(&f, NULL, NULL);
    struct crowd c = {.f = &f};
    pthread_t writers[THREADS], readers[READERS];
    struct member members[THREADS];
    for (int i = 0; i < READERS; i++) {
        SL_CHECK_EQ_INT(pthread_create(&readers[i], NULL, crowd_read, &c), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        members[i] = (struct member){.crowd = &c, .who = i};
        SL_CHECK_EQ_INT(pthread_create(&writers[i], NULL, crowd_write, &members[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(writers[i], NULL);
    }
    atomic_store(&c.stop, true);
    for (int i = 0; i < READERS; i++) {
        (void)pthread_join(readers[i], NULL);
    }
    struct sl_db_writer_stats stats;
    sl_db_writer_stats(f.writer, &stats);
    SL_CHECK_EQ_INT(c.failures, 0);
    SL_CHECK(c.reads > 0);
    SL_CHECK_EQ_UINT(stats.requests, THREADS * WRITES_PER_THREAD);
    SL_CHECK(stats.commits < stats.requests / 2);
    SL_CHECK_EQ_INT(query(&f, SL_SQL("SELECT count(*) FROM t")), THREADS * WRITES_PER_THREAD);
    /* each writer's own order was kept */
    SL_CHECK_EQ_INT(query(&f, SL_SQL("SELECT count(*) FROM t AS a JOIN t AS b ON a.who = b.who "
                                     "AND a.n < b.n AND a.id > b.id")),
                    0);
    tear_down(&f);
}
