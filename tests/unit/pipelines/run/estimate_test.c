/**
 * Expected times: medians of what ran, chains against work, and what is not known.
 */
#include "core/base/base.h"

#include "pipelines/run/estimate.h"

#include <stdlib.h>

#include "pipelines/run/schemas.h"
#include "tests/support/sl_test_db.h"

static void insert_run(struct sl_db *db, int number, bool ended)
{
    struct sl_err err = SL_ERR_INIT;
    char id[33];
    snprintf(id, sizeof(id), "%032x", (unsigned)number);
    SL_CHECK_OK(sl_db_exec(db, &err,
                           SL_SQL("INSERT INTO run(id, pipeline, number, state, file, base_dir, "
                                  "actor, params, facts, spec, plan, code, runtime, code_commit, "
                                  "code_dirty, n_steps, created_ms, ended_ms) VALUES(?, 'p', ?, "
                                  "'succeeded', '', '', '', '{}', '{}', '', '', '', '', '', 0, 0, "
                                  "1, nullif(?, 0))"),
                           "sii", id, number, ended ? 2 : 0),
                err);
}

struct ran {
    int run, step;
    const char *key, *id, *state;
    int64_t ms;
};

static void insert_step(struct sl_db *db, const struct ran *r)
{
    struct sl_err err = SL_ERR_INIT;
    char id[33];
    snprintf(id, sizeof(id), "%032x", (unsigned)r->run);
    SL_CHECK_OK(sl_db_exec(db, &err,
                           SL_SQL("INSERT INTO step(run_id, step, key, step_id, state, reason, "
                                  "attempts, started_ms, ended_ms) VALUES(?, ?, ?, ?, ?, '', 1, "
                                  "1000, 1000 + ?)"),
                           "sisssi", id, r->step, r->key, r->id, r->state, r->ms),
                err);
}

static void history(struct sl_test_db *t)
{
    static const struct ran rows[] = {
        {1, 0, "a", "a", "succeeded", 900},   {2, 0, "a", "a", "succeeded", 100},
        {3, 0, "a", "a", "succeeded", 200},   {4, 0, "a", "a", "failed", 5},
        {3, 1, "m[1]", "m", "succeeded", 50}, {3, 2, "m[2]", "m", "succeeded", 70},
        {5, 0, "a", "a", "succeeded", 1},
    };
    sl_test_db_open(t, sl_schemas, sl_n_schemas);
    for (int i = 1; i <= 5; i++) {
        insert_run(t->db, i, i != 5); /* the last one is live: nobody knows what it comes to */
    }
    for (size_t i = 0; i < SL_LEN(rows); i++) {
        insert_step(t->db, &rows[i]);
    }
}

static void add(struct sl_estimate *e, const char *text, int64_t now_ms)
{
    json_t *o = sl_json_parse("step", text, strlen(text), NULL);
    SL_CHECK(o != NULL);
    sl_estimate_add(e, o, now_ms);
    json_decref(o);
}

SL_TEST(pipelines_run_estimate, steps__are_medians_of_what_succeeded)
{
    struct sl_test_db t;
    struct sl_estimate *e = NULL;
    history(&t);
    SL_CHECK_OK(sl_estimate_load(t.db, "p", 0, &e, &t.err), t.err);
    SL_CHECK_EQ_INT(sl_estimate_step_ms(e, "a", "a"), 200);
    SL_CHECK_EQ_INT(sl_estimate_step_ms(e, "m[2]", "m"), 70);
    SL_CHECK_EQ_INT(sl_estimate_step_ms(e, "m[9]", "m"), 60); /* the others of its step */
    SL_CHECK_EQ_INT(sl_estimate_step_ms(e, "x", "x"), -1);
    sl_estimate_free(e);
    SL_CHECK_OK(sl_estimate_load(t.db, "p", 3, &e, &t.err), t.err);
    SL_CHECK_EQ_INT(sl_estimate_step_ms(e, "a", "a"), 500); /* runs 1 and 2 alone */
    sl_estimate_free(e);
    sl_test_db_close(&t);
}

SL_TEST(pipelines_run_estimate, run__is_its_chain_or_its_work)
{
    struct sl_test_db t;
    struct sl_estimate *e = NULL;
    struct sl_estimate_result r;
    history(&t);
    SL_CHECK_OK(sl_estimate_load(t.db, "p", 0, &e, &t.err), t.err);
    SL_CHECK(!sl_estimate_result(e, 1, &r));
    add(e, "{\"key\":\"a\",\"step\":\"a\",\"needs\":[],\"state\":\"running\",\"started_ms\":1000}",
        1050);
    add(e, "{\"key\":\"m[1]\",\"step\":\"m\",\"needs\":[0],\"state\":\"pending\"}", 1050);
    add(e, "{\"key\":\"m[2]\",\"step\":\"m\",\"state\":\"pending\"}", 1050);
    add(e, "{\"key\":\"x\",\"step\":\"x\",\"needs\":[1,2],\"decision\":\"run\"}", 1050);
    add(e, "{\"key\":\"a\",\"step\":\"a\",\"needs\":[],\"decision\":\"cached\"}", 1050);
    SL_CHECK(sl_estimate_result(e, 8, &r));
    SL_CHECK_EQ_INT(r.left_ms, 150 + 70); /* the longer instance behind what runs */
    SL_CHECK(sl_estimate_result(e, 1, &r));
    SL_CHECK_EQ_INT(r.left_ms, 150 + 50 + 70);
    SL_CHECK_EQ_INT(r.n_known, 3);
    SL_CHECK_EQ_INT(r.n_unknown, 1);
    SL_CHECK_EQ_INT(r.n_runs, 3); /* run 4 had nothing that succeeded */
    sl_estimate_free(e);
    sl_test_db_close(&t);
}

SL_TEST(pipelines_run_estimate, history__beyond_the_limits__is_not_read)
{
    struct sl_test_db t;
    struct sl_estimate *e = NULL;
    struct sl_estimate_result r;
    sl_test_db_open(&t, sl_schemas, sl_n_schemas);
    for (int i = 1; i <= SL_ESTIMATE_RUNS_MAX + 1; i++) {
        const struct ran row = {i, 0, "a", "a", "succeeded", i == 1 ? 1000000 : 10};
        insert_run(t.db, i, true);
        insert_step(t.db, &row);
    }
    SL_CHECK_OK(sl_estimate_load(t.db, "p", 0, &e, &t.err), t.err);
    add(e, "{\"key\":\"a\",\"step\":\"a\",\"needs\":[],\"state\":\"pending\"}", 0);
    SL_CHECK(sl_estimate_result(e, 1, &r));
    SL_CHECK_EQ_INT(r.n_runs, SL_ESTIMATE_RUNS_MAX);
    SL_CHECK_EQ_INT(r.left_ms, 10);
    sl_estimate_free(e);
    sl_test_db_close(&t);
}
