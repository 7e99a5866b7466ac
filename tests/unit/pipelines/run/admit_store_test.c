/** Groups of runs in the database: who may join, and why a recorded run waits. */
#include "core/base/base.h"

#include "pipelines/run/admit_store.h"

#include <stdio.h>

#include "pipelines/run/project.h"
#include "pipelines/run/run_store.h"
#include "pipelines/run/schemas.h"
#include "tests/support/sl_test_db.h"

struct order { /* one run to record */
    struct sl_run_record record;
    bool running;
};

static int insert(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct order *o = arg;
    struct sl_run_move m = {
        .id = o->record.id, .from = SL_RUN_QUEUED, .to = SL_RUN_RUNNING, .reason = "", .ts_ms = 1};
    int rc = sl_run_insert(db, &o->record, err);
    return rc < 0 || !o->running ? rc : sl_run_move(db, &m, err);
}

static void add(struct sl_test_db *f, int i, int limit, int priority, bool running)
{
    struct order o = {.running = running,
                      .record = {.pipeline = "churn",
                                 .file = "p.yml",
                                 .base_dir = "/",
                                 .actor = "ana",
                                 .params = "{}",
                                 .facts = "{}",
                                 .code_commit = "",
                                 .group = "g",
                                 .group_limit = limit,
                                 .priority = priority,
                                 .created_ms = 1000 + i}};
    snprintf(o.record.id, sizeof(o.record.id), "%032d", i);
    SL_CHECK_OK(sl_db_tx(f->db, insert, &o, &f->err), f->err);
}

static const char *why(struct sl_test_db *f, int i, char ret[400])
{
    char id[SL_ID_HEX + 1];
    struct sl_buf b = SL_BUF_INIT(4096);
    snprintf(id, sizeof(id), "%032d", i);
    SL_CHECK_OK(sl_admit_why(f->db, id, &b, &f->err), f->err);
    snprintf(ret, 400, "%s", sl_buf_str(&b));
    sl_buf_release(&b);
    return ret;
}

static int apply(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct sl_project_apply p = {
        .file = "project.yml", .text = sl_str_c(arg), .actor = "ana", .now_ms = 7};
    bool changed = false;
    return sl_project_apply(db, &p, &changed, err);
}

SL_TEST(pipelines_run_admit_store, reject__full_group__names_who_runs)
{
    struct sl_test_db f;
    struct sl_admit_ask ask = {.group = "g", .limit = 2, .on_conflict = SL_CONFLICT_REJECT};
    sl_test_db_open(&f, sl_schemas, sl_n_schemas);
    add(&f, 1, 2, 0, true);
    SL_CHECK_OK(sl_admit_check(f.db, &ask, &f.err), f.err); /* at the limit */
    add(&f, 2, 2, 0, false);
    SL_CHECK_EQ_INT(sl_admit_check(f.db, &ask, &f.err), -SL_EREFUSED);
    SL_CHECK_EQ_STR(f.err.msg,
                    "group g is full (1 of 2, 1 more about to start) (on_conflict: reject)");
    add(&f, 3, 2, 0, true);
    SL_CHECK_EQ_INT(sl_admit_check(f.db, &ask, &f.err), -SL_EREFUSED);
    SL_CHECK_EQ_STR(f.err.msg, "group g is full (2 of 2: churn#1, churn#3) (on_conflict: reject)");
    ask.group = "other";
    SL_CHECK_OK(sl_admit_check(f.db, &ask, &f.err), f.err);
    ask.group = NULL;
    SL_CHECK_OK(sl_admit_check(f.db, &ask, &f.err), f.err);
    sl_test_db_close(&f);
}

SL_TEST(pipelines_run_admit_store, max_queued__reached__refused__replace_never)
{
    struct sl_test_db f;
    struct sl_admit_ask ask = {.group = "g", .limit = 1, .max_queued = 2};
    sl_test_db_open(&f, sl_schemas, sl_n_schemas);
    add(&f, 1, 1, 0, true);
    add(&f, 2, 1, 0, false);
    SL_CHECK_OK(sl_admit_check(f.db, &ask, &f.err), f.err); /* it would be the second */
    add(&f, 3, 1, 0, false);
    SL_CHECK_EQ_INT(sl_admit_check(f.db, &ask, &f.err), -SL_EREFUSED);
    SL_CHECK_EQ_STR(f.err.msg, "group g is full (1 of 1: churn#1); 2 wait already (max_queued: 2)");
    ask.max_queued = 0;
    SL_CHECK_OK(sl_admit_check(f.db, &ask, &f.err), f.err);
    ask.max_queued = 2;
    ask.on_conflict = SL_CONFLICT_REPLACE;
    SL_CHECK_OK(sl_admit_check(f.db, &ask, &f.err), f.err);
    sl_test_db_close(&f);
}

SL_TEST(pipelines_run_admit_store, why__queued__by_priority_then_age)
{
    struct sl_test_db f;
    char text[400];
    sl_test_db_open(&f, sl_schemas, sl_n_schemas);
    add(&f, 1, 1, 0, false);
    SL_CHECK_EQ_STR(why(&f, 1, text), ""); /* about to start */
    add(&f, 2, 1, 0, true);
    add(&f, 3, 1, 5, false);
    add(&f, 4, 1, 0, false);
    SL_CHECK_EQ_STR(why(&f, 3, text), "group g is full (1 of 1: churn#2)");
    SL_CHECK_EQ_STR(why(&f, 1, text), "group g is full (1 of 1: churn#2); 1 run goes first");
    SL_CHECK_EQ_STR(why(&f, 4, text), "group g is full (1 of 1: churn#2); 2 runs go first");
    SL_CHECK_EQ_STR(why(&f, 2, text), "");
    add(&f, 5, 3, 0, false); /* the newest brings a higher limit */
    SL_CHECK_EQ_STR(why(&f, 1, text), "group g has room (1 of 3); 1 run goes first");
    sl_test_db_close(&f);
}

SL_TEST(pipelines_run_admit_store, project__has_a_limit__it_wins)
{
    struct sl_test_db f;
    char text[400];
    char project[] = "apiVersion: sluice/v1\nkind: Project\nname: p\nconcurrency: {g: 1}\n";
    struct sl_admit_ask ask = {.group = "g", .limit = 9, .on_conflict = SL_CONFLICT_REJECT};
    sl_test_db_open(&f, sl_schemas, sl_n_schemas);
    SL_CHECK_OK(sl_db_tx(f.db, apply, project, &f.err), f.err);
    add(&f, 1, 9, 0, true);
    add(&f, 2, 9, 0, false);
    SL_CHECK_EQ_STR(why(&f, 2, text), "group g is full (1 of 1: churn#1)");
    SL_CHECK_EQ_INT(sl_admit_check(f.db, &ask, &f.err), -SL_EREFUSED);
    sl_test_db_close(&f);
}

static int cancel(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct sl_run_move m = {.id = arg, .ts_ms = 2, .reason = "replaced by churn#2"};
    m.from = SL_RUN_RUNNING;
    m.to = SL_RUN_CANCELLING;
    int rc = sl_run_move(db, &m, err);
    m.reason = "";
    m.from = SL_RUN_CANCELLING;
    m.to = SL_RUN_CANCELLED;
    return rc < 0 ? rc : sl_run_move(db, &m, err);
}

SL_TEST(pipelines_run_admit_store, cancelled_run__keeps_its_reason)
{
    struct sl_test_db f;
    char id[SL_ID_HEX + 1];
    struct sl_run_record r;
    struct sl_arena a;
    sl_arena_init(&a, 0);
    sl_test_db_open(&f, sl_schemas, sl_n_schemas);
    add(&f, 1, 1, 0, true);
    snprintf(id, sizeof(id), "%032d", 1);
    SL_CHECK_OK(sl_db_tx(f.db, cancel, id, &f.err), f.err);
    SL_CHECK_OK(sl_run_find(f.db, id, &a, &r, &f.err), f.err);
    SL_CHECK_EQ_STR(r.reason, "replaced by churn#2");
    sl_arena_release(&a);
    sl_test_db_close(&f);
}
