/**
 * The list of runs: each filter against a plain walk over the same rows, pages in every order, and words for
 * what is not there.
 */
#include "core/base/base.h"

#include <stdlib.h>

#include "core/track/track.h"
#include "pipelines/run/query.h"
#include "pipelines/run/schemas.h"
#include "tests/support/sl_test_db.h"

#define N_RUNS 60

struct world {
    struct sl_test_db t;
    struct sl_query q;
};

/* What run i is. Times repeat, so that orders need their second key. */
static const char *pipeline_of(int i)
{
    return i % 3 == 0 ? "eval" : "train";
}
static const char *actor_of(int i)
{
    return i % 4 == 0 ? "ana" : "bo";
}
static enum sl_run_state state_of(int i)
{
    return i % 5 == 0 ? SL_RUN_FAILED : SL_RUN_SUCCEEDED;
}
static int64_t created_of(int i)
{
    return 1000 + i / 2 * 10;
}
static int64_t took_of(int i)
{
    return (i * 7) % 13;
}
static double value_of(int i)
{
    return (i * 37) % 20 / 20.0;
}

static int insert_run(struct sl_db *db, void *arg, struct sl_err *err)
{
    int i = *(const int *)arg;
    char params[200];
    struct sl_run_record r = {.pipeline = pipeline_of(i),
                              .actor = actor_of(i),
                              .file = "f",
                              .base_dir = "/",
                              .params = params,
                              .facts = "{}",
                              .code_commit = "",
                              .created_ms = created_of(i),
                              .n_steps = 3,
                              .state = SL_RUN_QUEUED};
    snprintf(params, sizeof(params),
             "{\"rate\":{\"origin\":\"default\",\"value\":%d.5},"
             "\"mode\":{\"origin\":\"cli\",\"value\":\"%s\"}}",
             i % 7, i % 2 == 0 ? "fast" : "slow");
    snprintf(r.id, sizeof(r.id), "%032x", (unsigned)i * 2654435761u);
    const struct sl_run_move moves[] = {
        {r.id, SL_RUN_QUEUED, SL_RUN_RUNNING, "", created_of(i), false},
        {r.id, SL_RUN_RUNNING, state_of(i), "", created_of(i) + took_of(i), false}};
    int rc = sl_run_insert(db, &r, err);
    for (size_t k = 0; rc == 0 && k < SL_LEN(moves); k++) {
        rc = sl_run_move(db, &moves[k], err);
    }
    struct sl_point points[] = {{.key = "auc", .value = value_of(i), .has_step = true},
                                {.key = "auc", .slice = "de", .value = 2, .has_step = true}};
    struct sl_track_batch batch = {.run_id = r.id,
                                   .attempt_id = r.id,
                                   .points = points,
                                   .n = SL_LEN(points),
                                   .ts_ms = 1,
                                   .offset_from = SL_TRACK_NO_OFFSET};
    return rc < 0 || i % 6 == 0 ? rc : sl_track_append(db, &batch, err);
}

static struct world *world_new(void)
{
    struct world *w = SL_NEW(struct world);
    sl_test_db_open(&w->t, sl_schemas, sl_n_schemas);
    w->q.db = w->t.db;
    for (int i = 0; i < N_RUNS; i++) {
        SL_CHECK_OK(sl_db_tx(w->t.db, insert_run, &i, &w->t.err), w->t.err);
    }
    return w;
}

static void world_free(struct world *w)
{
    sl_test_db_close(&w->t);
    free(w);
}

/** Ids of all pages, in order. */
static json_t *all_pages(struct world *w, struct sl_run_filter f)
{
    json_t *ids = json_array();
    char cursor[200];
    bool more = true;
    f.limit = 7;
    while (more) {
        json_t *page = NULL;
        size_t i = 0;
        json_t *r = NULL;
        SL_CHECK_OK(sl_query_runs(&w->q, &f, &page, &w->t.err), w->t.err);
        json_array_foreach (json_object_get(page, "runs"), i, r) {
            json_array_append(ids, json_object_get(r, "id"));
        }
        more = sl_json_bool(page, "more", false);
        snprintf(cursor, sizeof(cursor), "%s", sl_json_str(page, "next", ""));
        f.cursor = cursor;
        json_decref(page);
        SL_CHECK(json_array_size(ids) <= N_RUNS);
    }
    return ids;
}

static bool listed(const json_t *ids, int i)
{
    char id[SL_ID_HEX + 1];
    size_t k = 0;
    json_t *o = NULL;
    int n = 0;
    snprintf(id, sizeof(id), "%032x", (unsigned)i * 2654435761u);
    json_array_foreach (ids, k, o) {
        n += sl_streq(json_string_value(o), id) ? 1 : 0;
    }
    SL_CHECK(n <= 1);
    return n == 1;
}

static bool no_metric(int i)
{
    return i % 6 == 0;
}
static bool is_high(int i)
{
    return !no_metric(i) && value_of(i) > 0.5;
}
static bool is_failed(int i)
{
    return state_of(i) == SL_RUN_FAILED;
}
static bool is_anas_training(int i)
{
    return sl_streq(actor_of(i), "ana") && sl_streq(pipeline_of(i), "train");
}
static bool is_fast_at_three(int i)
{
    return i % 2 == 0 && i % 7 == 3;
}
static bool is_between(int i)
{
    return created_of(i) >= 1050 && created_of(i) < 1100;
}
static bool is_any(int i)
{
    return i >= 0;
}

SL_TEST(pipelines_run_query_list, filters__in_pages__are_what_a_plain_walk_finds)
{
    static const struct {
        struct sl_run_filter f;
        bool (*passes)(int i);
    } cases[] = {
        {{.state = "failed"}, is_failed},
        {{.actor = "ana", .pipeline = "train"}, is_anas_training},
        {{.params = "mode=fast\nrate=3.50"}, is_fast_at_three}, /* another spelling of 3.5 */
        {{.since_ms = 1050, .until_ms = 1100}, is_between},
        {{.metric = "auc > 0.5"}, is_high},
        {{.sort = SL_SORT_OLDEST}, is_any},
        {{.sort = SL_SORT_LONGEST}, is_any},
        {{.sort = SL_SORT_OLDEST, .state = "failed"}, is_failed},
        {{.sort = SL_SORT_HIGHEST, .metric = "auc>0.5"}, is_high},
        {{.sort = SL_SORT_LOWEST, .metric = "auc>0.5"}, is_high},
        {{0}, is_any},
    };
    struct world *w = world_new();
    for (size_t c = 0; c < SL_LEN(cases); c++) {
        json_t *ids = all_pages(w, cases[c].f);
        for (int i = 0; i < N_RUNS; i++) {
            SL_CHECK_EQ_INT(listed(ids, i), cases[c].passes(i));
        }
        json_decref(ids);
    }
    world_free(w);
}

SL_TEST(pipelines_run_query_list, orders__are_by_what_they_say)
{
    struct world *w = world_new();
    for (enum sl_run_sort sort = SL_SORT_NEWEST; sort < SL_SORT_COUNT; sort++) {
        static const char *const keys[] = {"created_ms", "created_ms", "", "metric", "metric"};
        struct sl_run_filter f = {
            .sort = sort, .limit = 60, .metric = sort >= SL_SORT_HIGHEST ? "auc" : NULL};
        json_t *page = NULL;
        SL_CHECK_OK(sl_query_runs(&w->q, &f, &page, &w->t.err), w->t.err);
        const json_t *runs = json_object_get(page, "runs");
        SL_CHECK_EQ_INT(json_array_size(runs), sort >= SL_SORT_HIGHEST ? 50 : 60);
        bool ascends = sort == SL_SORT_OLDEST || sort == SL_SORT_LOWEST;
        for (size_t i = 1; i < json_array_size(runs); i++) {
            const json_t *a = json_array_get(runs, i - 1);
            const json_t *b = json_array_get(runs, i);
            double x = sl_json_num(a, keys[sort], 0);
            double y = sl_json_num(b, keys[sort], 0);
            if (sort == SL_SORT_LONGEST) {
                x = (double)(sl_json_i64(a, "ended_ms", 0) - sl_json_i64(a, "started_ms", 0));
                y = (double)(sl_json_i64(b, "ended_ms", 0) - sl_json_i64(b, "started_ms", 0));
            }
            SL_CHECK(ascends ? x <= y : x >= y);
        }
        json_decref(page);
    }
    world_free(w);
}

SL_TEST(pipelines_run_query_list, what_is_not_there__is_said)
{
    static const struct {
        struct sl_run_filter f;
        int code;
        const char *says;
    } cases[] = {
        {{.pipeline = "trian", .limit = 1}, SL_ENOTFOUND, "did you mean 'train'"},
        {{.model = "churn", .limit = 1}, SL_ENOTFOUND, "no model 'churn'"},
        {{.state = "faild", .limit = 1}, SL_EINVAL, "did you mean 'failed'"},
        {{.metric = "auc>x", .limit = 1}, SL_EINVAL, "expected METRIC"},
        {{.metric = ">3", .limit = 1}, SL_EINVAL, "expected METRIC"},
        {{.sort = SL_SORT_LOWEST, .limit = 1}, SL_EINVAL, "needs a metric"},
        {{.params = "rate", .limit = 1}, SL_EINVAL, "expected NAME=VALUE"},
        {{.cursor = "12", .limit = 1}, SL_EINVAL, "no place"},
        {{.limit = 0}, SL_EINVAL, "limit"},
        {{.limit = SL_QUERY_RUNS_MAX + 1}, SL_EINVAL, "limit"},
    };
    struct world *w = world_new();
    json_t *page = NULL;
    for (size_t c = 0; c < SL_LEN(cases); c++) {
        SL_CHECK_ERR(sl_query_runs(&w->q, &cases[c].f, &page, &w->t.err), cases[c].code, w->t.err,
                     cases[c].says);
    }
    const struct sl_run_filter unknown = {.params = "mode=warp", .limit = 1};
    SL_CHECK_OK(sl_query_runs(&w->q, &unknown, &page, &w->t.err), w->t.err);
    SL_CHECK_EQ_INT(json_array_size(json_object_get(page, "runs")), 0);
    json_decref(page);
    world_free(w);
}

SL_TEST(pipelines_run_query_list, bounds__at_the_limit_and_one_past)
{
    struct world *w = world_new();
    struct sl_buf many = SL_BUF_INIT(100000);
    json_t *page = NULL;
    struct sl_run_filter f = {.limit = SL_QUERY_RUNS_MAX};
    for (int i = 0; i < SL_QUERY_PARAMS_MAX; i++) {
        sl_buf_puts(&many, i > 0 ? "\nmode=fast" : "mode=fast");
    }
    f.params = sl_buf_str(&many);
    SL_CHECK_OK(sl_query_runs(&w->q, &f, &page, &w->t.err), w->t.err);
    SL_CHECK_EQ_INT(json_array_size(json_object_get(page, "runs")), N_RUNS / 2);
    json_decref(page);
    sl_buf_puts(&many, "\nmode=fast");
    f.params = sl_buf_str(&many);
    SL_CHECK_ERR(sl_query_runs(&w->q, &f, &page, &w->t.err), SL_ELIMIT, w->t.err, "16 parameters");
    sl_buf_clear(&many);
    sl_buf_printf(&many, "mode=%01000d", 0);
    f.params = sl_buf_str(&many);
    SL_CHECK_OK(sl_query_runs(&w->q, &f, &page, &w->t.err), w->t.err);
    json_decref(page);
    sl_buf_puts(&many, "0");
    f.params = sl_buf_str(&many);
    SL_CHECK_ERR(sl_query_runs(&w->q, &f, &page, &w->t.err), SL_ELIMIT, w->t.err, "1000");
    sl_buf_release(&many);
    world_free(w);
}
