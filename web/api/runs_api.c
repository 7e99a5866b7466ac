/* Runs: list, show, why, verdicts, metrics, submission, cancel. Thread: see api.h. */
#include "core/base/base.h"

#include <math.h>
#include <unistd.h>

#include "core/track/track.h"
#include "pipelines/run/estimate.h"
#include "pipelines/run/query.h"
#include "pipelines/steps/verdict.h"
#include "web/api/api_priv.h"

static struct sl_query query_of(const struct sl_api_ctx *ctx)
{
    return (struct sl_query){ctx->db, ctx->blobs};
}

int sl_api_runs_list(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    struct sl_query q = query_of(ctx);
    const char *sort = sl_api_arg(args, "sort", sl_run_sort_names[SL_SORT_NEWEST]);
    struct sl_run_filter f = {.state = sl_api_arg(args, "state", NULL),
                              .pipeline = sl_api_arg(args, "pipeline", NULL),
                              .actor = sl_api_arg(args, "by", NULL),
                              .since_ms = sl_api_arg_i64(args, "since_ms", 0),
                              .until_ms = sl_api_arg_i64(args, "until_ms", 0),
                              .params = sl_api_arg(args, "param", NULL),
                              .model = sl_api_arg(args, "model", NULL),
                              .metric = sl_api_arg(args, "metric", NULL),
                              .cursor = sl_api_arg(args, "cursor", NULL),
                              .limit = sl_api_arg_i64(args, "limit", SL_QUERY_RUNS_DEFAULT),
                              .offset = sl_api_arg_i64(args, "offset", 0)};
    while (f.sort < SL_SORT_COUNT && !sl_streq(sl_run_sort_names[f.sort], sort)) {
        f.sort++;
    }
    if (f.sort == SL_SORT_COUNT || f.since_ms < 0 || f.until_ms < 0) {
        return sl_err_set(err, SL_EINVAL,
                          f.sort == SL_SORT_COUNT
                              ? "sort is newest, oldest, longest, highest or lowest"
                              : "since_ms and until_ms are milliseconds since 1970");
    }
    return sl_query_runs(&q, &f, ret, err);
}

/** What is left of a run that has not ended, as far as history tells. */
static int add_estimate(struct sl_api_ctx *ctx, json_t *run, struct sl_err *err)
{
    struct sl_estimate *e = NULL;
    struct sl_estimate_result r;
    size_t i = 0;
    json_t *step = NULL;
    if (sl_json_bool(run, "final", true)) {
        return 0;
    }
    int rc = sl_estimate_load(ctx->db, sl_json_str(run, "pipeline", ""),
                              sl_json_i64(run, "number", 0), &e, err);
    if (rc < 0) {
        return rc;
    }
    json_array_foreach (json_object_get(run, "steps"), i, step) {
        sl_estimate_add(e, step, sl_now_ms());
    }
    if (sl_estimate_result(e, sysconf(_SC_NPROCESSORS_ONLN), &r)) {
        json_object_set_new(run, "estimate",
                            json_pack("{s:I, s:I, s:I, s:I}", "left_ms", (json_int_t)r.left_ms,
                                      "runs", (json_int_t)r.n_runs, "steps_known",
                                      (json_int_t)r.n_known, "steps_unknown",
                                      (json_int_t)r.n_unknown));
    }
    sl_estimate_free(e);
    return 0;
}

int sl_api_runs_show(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    struct sl_query q = query_of(ctx);
    const char *run = NULL;
    json_t *found = NULL;
    int rc = sl_api_arg_need(args, "run", &run, err);
    rc = rc < 0 ? rc : sl_query_run(&q, run, sl_api_arg_bool(args, "records"), &found, err);
    rc = rc < 0 ? rc : add_estimate(ctx, found, err);
    if (rc < 0) {
        json_decref(found);
        return rc;
    }
    *ret = found;
    return 0;
}

int sl_api_runs_diff(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    struct sl_query q = query_of(ctx);
    const char *run = NULL;
    const char *other = NULL;
    int rc = sl_api_arg_need(args, "run", &run, err);
    rc = rc < 0 ? rc : sl_api_arg_need(args, "other", &other, err);
    return rc < 0 ? rc : sl_query_diff(&q, run, other, ret, err);
}

int sl_api_runs_why(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    struct sl_query q = query_of(ctx);
    const char *run = NULL;
    const char *step = NULL;
    int rc = sl_api_arg_need(args, "run", &run, err);
    rc = rc < 0 ? rc : sl_api_arg_need(args, "step", &step, err);
    return rc < 0 ? rc : sl_query_why(&q, run, step, ret, err);
}

int sl_api_runs_waiting(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                        struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(4096);
    const char *run = sl_api_arg(args, "run", "");
    int64_t step = sl_api_arg_i64(args, "step", -1);
    if (step < 0 || step > UINT32_MAX ||
        !sl_engine_why_waiting(ctx->engine, run, (uint32_t)step, &text)) {
        return sl_err_set(err, SL_ENOTFOUND, "run %s is not live", run);
    }
    *ret = json_pack("{s:s}", "text", sl_buf_str(&text));
    return 0;
}

int sl_api_runs_submission(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                           struct sl_err *err)
{
    struct sl_query q = query_of(ctx);
    const char *run = NULL;
    int rc = sl_api_arg_need(args, "run", &run, err);
    return rc < 0 ? rc
                  : sl_query_submission(&q, run, sl_api_arg(args, "actor", ctx->actor), ret, err);
}

/** Full id of the run that an argument names. */
static int run_id(struct sl_api_ctx *ctx, const json_t *args, char out[SL_ID_HEX + 1],
                  struct sl_err *err)
{
    struct sl_arena a;
    struct sl_run_record r;
    const char *run = NULL;
    int rc = sl_api_arg_need(args, "run", &run, err);
    if (rc < 0) {
        return rc;
    }
    sl_arena_init(&a, 0);
    rc = sl_run_find(ctx->db, run, &a, &r, err);
    if (rc == 0) {
        memcpy(out, r.id, sizeof(r.id));
    }
    sl_arena_release(&a);
    return rc;
}

int sl_api_runs_verdicts(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                         struct sl_err *err)
{
    char id[SL_ID_HEX + 1];
    json_t *list = NULL;
    int rc = run_id(ctx, args, id, err);
    rc = rc < 0 ? rc : sl_verdict_list(ctx->db, id, &list, err);
    if (rc == 0) {
        *ret = json_pack("{s:s, s:o}", "run", id, "verdicts", list);
    }
    return rc;
}

/* ---- metrics -------------------------------------------------------------------------------------- */

struct series_list {
    json_t *list;
    bool system; /* what was measured about steps, instead of what they recorded */
};

static int add_series(const struct sl_series *s, void *arg)
{
    const struct series_list *l = arg;
    if (sl_starts_with(s->key, SL_SYSTEM_METRIC) != l->system) {
        return 0;
    }
    json_t *o = json_object();
    sl_json_set_i64(o, "series", s->id);
    sl_json_set_str(o, "attempt", s->attempt_id);
    sl_json_set_str(o, "key", s->key);
    const char *const names[] = {"slice", "dataset", "model"};
    const char *const values[] = {s->slice, s->dataset, s->model};
    for (size_t i = 0; i < SL_LEN(names); i++) {
        sl_json_set_str(o, names[i], values[i][0] != '\0' ? values[i] : NULL);
    }
    sl_json_set_i64(o, "count", s->count);
    sl_json_set_i64(o, "last_step", s->last_step);
    sl_json_set_num(o, "last", s->last);
    sl_json_set_num(o, "min", s->min);
    sl_json_set_num(o, "max", s->max);
    sl_json_set_i64(o, "last_ms", s->last_ts_ms);
    json_array_append_new(l->list, o);
    return 0;
}

static int add_bucket(const struct sl_bucket *b, void *arg)
{
    json_t *o = json_object();
    sl_json_set_i64(o, "step", b->step_last);
    sl_json_set_i64(o, "ms", b->ts_last_ms);
    sl_json_set_num(o, "value", b->count == 1 ? b->last : b->mean);
    json_array_append_new(arg, o);
    return 0;
}

/** Names the step and attempt number that a series belongs to. */
static int name_steps(struct sl_api_ctx *ctx, json_t *list, struct sl_err *err)
{
    int rc = 0;
    size_t i = 0;
    json_t *s = NULL;
    json_array_foreach (list, i, s) {
        _cleanup_(rows)
        struct sl_rows rows = SL_ROWS_INIT;
        rc = rc < 0 ? rc
                    : sl_db_query(ctx->db, &rows, err,
                                  SL_SQL("SELECT s.key, a.number FROM attempt a JOIN step s ON "
                                         "s.run_id = a.run_id AND s.step = a.step WHERE a.id = ?"),
                                  "s", sl_json_str(s, "attempt", ""));
        rc = rc < 0 ? rc : sl_rows_next(&rows, err);
        if (rc > 0) {
            sl_json_set_str(s, "step_key", sl_rows_str(&rows, 0));
            sl_json_set_i64(s, "attempt_number", sl_rows_i64(&rows, 1));
        }
    }
    return SL_MIN(rc, 0);
}

int sl_api_runs_metrics(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                        struct sl_err *err)
{
    char id[SL_ID_HEX + 1];
    int64_t buckets = sl_api_arg_i64(args, "history", 0);
    json_auto_t *list = json_array();
    struct series_list l = {list, sl_api_arg_bool(args, "system")};
    if (buckets < 0 || buckets > SL_API_HISTORY_MAX) {
        return sl_err_set(err, SL_EINVAL, "history must be 0 to %d", SL_API_HISTORY_MAX);
    }
    int rc = run_id(ctx, args, id, err);
    rc = rc < 0 ? rc : sl_track_series(ctx->db, id, NULL, add_series, &l, err);
    rc = rc < 0 ? rc : name_steps(ctx, list, err);
    for (size_t i = 0; rc == 0 && buckets > 0 && i < json_array_size(list); i++) {
        json_t *s = json_array_get(list, i);
        json_t *history = json_array();
        json_object_set_new(s, "history", history);
        rc = sl_track_history(ctx->db, sl_json_i64(s, "series", 0), (int)buckets, add_bucket,
                              history, err);
    }
    if (rc == 0) {
        *ret = json_pack("{s:s, s:O}", "run", id, "series", list);
    }
    return rc;
}

/* ---- with an engine ------------------------------------------------------------------------------- */

int sl_api_runs_cancel(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    char id[SL_ID_HEX + 1];
    int rc = run_id(ctx, args, id, err);
    rc =
        rc < 0 ? rc : sl_engine_cancel(ctx->engine, id, sl_api_arg(args, "actor", ctx->actor), err);
    if (rc == 0) {
        *ret = json_pack("{s:s}", "run", id);
    }
    return rc;
}

int sl_api_runners(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    (void)args;
    (void)err;
    *ret = sl_engine_runner_facts(ctx->engine);
    sl_json_set_i64(*ret, "live_runs", (int64_t)sl_engine_n_runs(ctx->engine));
    return 0;
}

int sl_api_runners_undrain(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                           struct sl_err *err)
{
    int n = sl_engine_gpu_undrain(ctx->engine, sl_api_arg(args, "gpu", NULL), err);
    if (n >= 0) {
        *ret = json_pack("{s:i}", "gpus", n);
    }
    return SL_MIN(n, 0);
}
