/**
 * Series, offsets, histories, evaluations.
 */
#include "core/base/base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/track/track.h"
#include "tests/support/sl_test_db.h"

static void set_up(struct sl_test_db *f)
{
    static const struct sl_schema *const schemas[] = {&sl_track_schema};
    sl_test_db_open(f, schemas, 1);
}

static int append_fn(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_track_append(db, arg, err);
}

static int append_then_fail(struct sl_db *db, void *arg, struct sl_err *err)
{
    int rc = sl_track_append(db, arg, err);
    return rc < 0 ? rc : sl_err_set(err, SL_EFAILED, "later in the transaction");
}

static struct sl_track_batch batch_of(const struct sl_point *points, size_t n)
{
    return (struct sl_track_batch){.run_id = "r1",
                                   .attempt_id = "a1",
                                   .points = points,
                                   .n = n,
                                   .ts_ms = 1000,
                                   .offset_from = SL_TRACK_NO_OFFSET};
}

static void append(struct sl_test_db *f, const struct sl_point *points, size_t n)
{
    struct sl_track_batch b = batch_of(points, n);
    SL_CHECK_OK(sl_db_tx(f->db, append_fn, &b, &f->err), f->err);
}

struct seen {
    struct sl_series s[16];
    char text[16][64];
    int n;
};

static int keep_series(const struct sl_series *s, void *arg)
{
    struct seen *seen = arg;
    (void)snprintf(seen->text[seen->n], sizeof(seen->text[0]), "%s/%s/%s/%s/%s", s->attempt_id,
                   s->key, s->slice, s->dataset, s->model);
    seen->s[seen->n++] = *s;
    return 0;
}

struct hist {
    struct sl_bucket b[64];
    int n;
};

static int keep_bucket(const struct sl_bucket *b, void *arg)
{
    struct hist *h = arg;
    h->b[h->n++] = *b;
    return 0;
}

static int64_t only_series(struct sl_test_db *f, const char *attempt)
{
    struct seen seen = {0};
    SL_CHECK_OK(sl_track_series(f->db, NULL, attempt, keep_series, &seen, &f->err), f->err);
    SL_CHECK_EQ_INT(seen.n, 1);
    return seen.s[0].id;
}

SL_TEST(core_track_track, append__series__latest_min_max_and_counted_steps)
{
    struct sl_test_db f;
    set_up(&f);
    const struct sl_point first[] = {{.key = "loss", .value = 3},
                                     {.key = "loss", .value = 1},
                                     {.key = "loss", .value = NAN},
                                     {.key = "auc", .slice = "age>65", .value = INFINITY}};
    const struct sl_point second[] = {
        {.key = "loss", .value = 2, .ts_ms = 5000, .has_ts = true},
        {.key = "loss", .value = -INFINITY, .step = 1, .has_step = true}, /* late: not the latest */
        {.key = "auc", .slice = "age>65", .dataset = "heldout", .value = 0.5}};
    append(&f, first, SL_LEN(first));
    append(&f, second, SL_LEN(second));
    struct seen seen = {0};
    SL_CHECK_OK(sl_track_series(f.db, "r1", NULL, keep_series, &seen, &f.err), f.err);
    SL_CHECK_EQ_INT(seen.n, 3);
    SL_CHECK_EQ_STR(seen.text[0], "a1/auc/age>65//");
    SL_CHECK_EQ_STR(seen.text[1], "a1/auc/age>65/heldout/");
    SL_CHECK_EQ_STR(seen.text[2], "a1/loss///");
    SL_CHECK(isinf(seen.s[0].last) && seen.s[0].count == 1);
    const struct sl_series *loss = &seen.s[2];
    SL_CHECK_EQ_INT(loss->count, 5);
    SL_CHECK_EQ_INT(loss->count_nan, 1);
    SL_CHECK_EQ_INT(loss->last_step, 3);
    SL_CHECK(loss->last == 2);
    SL_CHECK_EQ_INT(loss->first_ts_ms, 1000);
    SL_CHECK_EQ_INT(loss->last_ts_ms, 5000);
    SL_CHECK(isinf(loss->min) && loss->min < 0);
    SL_CHECK(loss->max == 3);
    struct hist h = {0};
    SL_CHECK_OK(sl_track_history(f.db, loss->id, 64, keep_bucket, &h, &f.err), f.err);
    SL_CHECK_EQ_INT(h.n, 5);
    const int64_t steps[] = {0, 1, 2, 3, 1};
    for (int i = 0; i < 5; i++) {
        SL_CHECK_EQ_INT(h.b[i].step_first, steps[i]);
        SL_CHECK_EQ_INT(h.b[i].count, 1);
    }
    SL_CHECK(isnan(h.b[2].last) && isnan(h.b[2].mean) && h.b[2].count_nan == 1);
    sl_test_db_close(&f);
}

SL_TEST(core_track_track, append__only_nan__has_no_min_or_max)
{
    struct sl_test_db f;
    set_up(&f);
    const struct sl_point p = {.key = "loss", .value = NAN};
    append(&f, &p, 1);
    struct seen seen = {0};
    SL_CHECK_OK(sl_track_series(f.db, NULL, "a1", keep_series, &seen, &f.err), f.err);
    SL_CHECK(isnan(seen.s[0].last) && isnan(seen.s[0].min) && isnan(seen.s[0].max));
    sl_test_db_close(&f);
}

SL_TEST(core_track_track, append__names_that_join_alike__are_other_series)
{
    struct sl_test_db f;
    set_up(&f);
    const struct sl_point p[] = {{.key = "ab", .value = 1},
                                 {.key = "a", .slice = "b", .value = 2},
                                 {.key = "a", .dataset = "b", .value = 3},
                                 {.key = "a", .model = "b", .value = 4},
                                 {.key = "a", .value = 5}};
    append(&f, p, SL_LEN(p));
    struct seen seen = {0};
    SL_CHECK_OK(sl_track_series(f.db, NULL, "a1", keep_series, &seen, &f.err), f.err);
    SL_CHECK_EQ_INT(seen.n, 5);
    sl_test_db_close(&f);
}

SL_TEST(core_track_track, offset__moves_with_the_rows__and_a_batch_read_twice_is_stored_once)
{
    struct sl_test_db f;
    set_up(&f);
    const struct sl_point p = {.key = "loss", .value = 1};
    struct sl_track_batch b = batch_of(&p, 1);
    b.offset_from = 0;
    b.offset_to = 120;
    b.n_lines = 3;
    SL_CHECK_ERR(sl_db_tx(f.db, append_then_fail, &b, &f.err), SL_EFAILED, f.err, "later");
    int64_t offset = -1, lines = -1;
    SL_CHECK_OK(sl_track_offset(f.db, "a1", &offset, &lines, &f.err), f.err);
    SL_CHECK_EQ_INT(offset, 0);
    SL_CHECK_OK(sl_db_tx(f.db, append_fn, &b, &f.err), f.err);
    SL_CHECK_ERR(sl_db_tx(f.db, append_fn, &b, &f.err), SL_ECONFLICT, f.err,
                 "metrics of attempt a1 are stored up to byte 120, not 0");
    b.offset_from = 120;
    b.offset_to = 150;
    b.n_lines = 1;
    SL_CHECK_OK(sl_db_tx(f.db, append_fn, &b, &f.err), f.err);
    SL_CHECK_OK(sl_track_offset(f.db, "a1", &offset, &lines, &f.err), f.err);
    SL_CHECK_EQ_INT(offset, 150);
    SL_CHECK_EQ_INT(lines, 4);
    struct seen seen = {0};
    SL_CHECK_OK(sl_track_series(f.db, NULL, "a1", keep_series, &seen, &f.err), f.err);
    SL_CHECK_EQ_INT(seen.s[0].count, 2);
    sl_test_db_close(&f);
}

SL_TEST(core_track_track, history__downsampled__covers_every_point_once)
{
    struct sl_test_db f;
    set_up(&f);
    struct sl_point p[100];
    for (int i = 0; i < 100; i++) { /* two series interleaved */
        p[i] = (struct sl_point){.key = i % 2 == 0 ? "even" : "odd", .value = i};
    }
    append(&f, p, SL_LEN(p));
    struct seen seen = {0};
    SL_CHECK_OK(sl_track_series(f.db, NULL, "a1", keep_series, &seen, &f.err), f.err);
    for (int buckets = 1; buckets <= 50; buckets += 7) {
        struct hist h = {0};
        SL_CHECK_OK(sl_track_history(f.db, seen.s[0].id, buckets, keep_bucket, &h, &f.err), f.err);
        SL_CHECK_EQ_INT(h.n, buckets);
        int64_t total = 0;
        for (int i = 0; i < h.n; i++) {
            SL_CHECK_EQ_INT(h.b[i].step_first, total); /* steps count up from 0 */
            total += h.b[i].count;
            SL_CHECK_EQ_INT(h.b[i].step_last, total - 1);
            SL_CHECK(h.b[i].min == 2.0 * (double)h.b[i].step_first);
            SL_CHECK(h.b[i].max == 2.0 * (double)h.b[i].step_last);
            SL_CHECK_NEAR(h.b[i].mean, (h.b[i].min + h.b[i].max) / 2, 1e-9);
            SL_CHECK(h.b[i].count >= 50 / buckets && h.b[i].count <= 50 / buckets + 1);
        }
        SL_CHECK_EQ_INT(total, 50);
    }
    struct hist h = {0};
    SL_CHECK_ERR(sl_track_history(f.db, 999, 10, keep_bucket, &h, &f.err), SL_ENOTFOUND, f.err,
                 "no metric series 999");
    sl_test_db_close(&f);
}

SL_TEST(core_track_track, append__series_at_limit_and_one_past)
{
    struct sl_test_db f;
    set_up(&f);
    const struct sl_point p = {.key = "first", .value = 1};
    append(&f, &p, 1);
    (void)only_series(&f, "a1");
    SL_CHECK_OK(
        sl_db_exec(f.db, &f.err,
                   SL_SQL("WITH RECURSIVE c(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM c "
                          "WHERE i < ?) INSERT INTO track_series SELECT i, 'r1', 'a1', "
                          "'k' || i, '', '', '', 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL FROM c"),
                   "i", SL_TRACK_SERIES_MAX - 1),
        f.err);
    const struct sl_point last = {.key = "last", .value = 1}, over = {.key = "over", .value = 1};
    append(&f, &last, 1);
    append(&f, &p, 1); /* a known series goes on */
    struct sl_track_batch b = batch_of(&over, 1);
    SL_CHECK_ERR(sl_db_tx(f.db, append_fn, &b, &f.err), SL_ELIMIT, f.err,
                 "more than 100000 metric series in one attempt");
    sl_test_db_close(&f);
}

static int eval_fn(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_eval_add(db, arg, err);
}

static void evaluate(struct sl_test_db *f, const char *attempt, const char *key, const char *slice,
                     double value)
{
    struct sl_eval e = {.model_digest = "sha256:m",
                        .dataset_digest = "sha256:d",
                        .key = key,
                        .slice = slice,
                        .value = value,
                        .attempt_id = attempt,
                        .run_id = "r1",
                        .ts_ms = 9};
    SL_CHECK_OK(sl_db_tx(f->db, eval_fn, &e, &f->err), f->err);
}

struct evals {
    char text[512];
};

static int keep_eval(const struct sl_eval *e, void *arg)
{
    struct evals *out = arg;
    size_t n = strlen(out->text);
    (void)snprintf(out->text + n, sizeof(out->text) - n, "%s:%s[%s]=%g ", e->attempt_id, e->key,
                   e->slice, e->value);
    return 0;
}

SL_TEST(core_track_eval, latest__is_the_set_of_one_attempt)
{
    struct sl_test_db f;
    set_up(&f);
    struct sl_eval pair = {.model_digest = "sha256:m", .dataset_digest = "sha256:d"};
    struct evals got = {0};
    SL_CHECK_ERR(sl_eval_latest(f.db, &pair, keep_eval, &got, &f.err), SL_ENOTFOUND, f.err,
                 "model sha256:m was not evaluated on dataset sha256:d");
    evaluate(&f, "a1", "auc", NULL, 0.5);
    evaluate(&f, "a1", "f1", NULL, 0.25); /* not computed by the later attempt: must not appear */
    evaluate(&f, "a2", "auc", "age>65", 0.75);
    evaluate(&f, "a2", "auc", "", NAN);
    evaluate(&f, "a2", "auc", NULL, 0.625); /* within an attempt the last word counts */
    SL_CHECK_OK(sl_eval_latest(f.db, &pair, keep_eval, &got, &f.err), f.err);
    SL_CHECK_EQ_STR(got.text, "a2:auc[]=0.625 a2:auc[age>65]=0.75 ");
    got.text[0] = '\0';
    pair.attempt_id = "a1";
    SL_CHECK_OK(sl_eval_latest(f.db, &pair, keep_eval, &got, &f.err), f.err);
    SL_CHECK_EQ_STR(got.text, "a1:auc[]=0.5 a1:f1[]=0.25 ");
    pair.attempt_id = "a3";
    SL_CHECK_ERR(sl_eval_latest(f.db, &pair, keep_eval, &got, &f.err), SL_ENOTFOUND, f.err,
                 "attempt a3 did not evaluate");
    sl_test_db_close(&f);
}

SL_TEST(core_track_eval, add__nan_and_bad_keys)
{
    struct sl_test_db f;
    set_up(&f);
    evaluate(&f, "a1", "auc", NULL, NAN);
    struct sl_eval pair = {.model_digest = "sha256:m", .dataset_digest = "sha256:d"};
    struct evals got = {0};
    SL_CHECK_OK(sl_eval_latest(f.db, &pair, keep_eval, &got, &f.err), f.err);
    SL_CHECK_EQ_STR(got.text, "a1:auc[]=nan ");
    char key[SL_METRICS_KEY_MAX + 2];
    memset(key, 'k', sizeof(key));
    key[SL_METRICS_KEY_MAX] = '\0';
    evaluate(&f, "a1", key, NULL, 1);
    key[SL_METRICS_KEY_MAX] = 'k';
    key[SL_METRICS_KEY_MAX + 1] = '\0';
    struct sl_eval e = {
        .model_digest = "m", .dataset_digest = "d", .key = key, .attempt_id = "a", .run_id = "r"};
    SL_CHECK_ERR(sl_db_tx(f.db, eval_fn, &e, &f.err), SL_ELIMIT, f.err, "at most 250 bytes");
    e.key = "";
    SL_CHECK_ERR(sl_db_tx(f.db, eval_fn, &e, &f.err), SL_EINVAL, f.err, "an empty key");
    sl_test_db_close(&f);
}
