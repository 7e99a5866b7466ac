/**
 * Calibration, quality and performance without labels, against scikit-learn 1.2.1 and published values.
 */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "core/stats/calibration.h"
#include "core/stats/quality.h"
#include "tests/support/sl_test.h"
#include "tests/unit/core/stats/golden.h"

#define N 1000

struct golden {
    double p[N];
    uint8_t y[N];
    struct sl_err err;
};

static void set_up(struct golden *g)
{
    *g = (struct golden){0};
    uint32_t x = 7;
    uint32_t z = 11;
    int positives = 0;
    for (size_t i = 0; i < N; i++) {
        g->p[i] = lcg(&x);
        g->y[i] = lcg(&z) < pow(g->p[i], 1.3) ? 1 : 0;
        positives += g->y[i];
    }
    SL_CHECK_EQ_INT(positives, 417);
}

SL_TEST(core_stats_quality, calibration__golden_data__published_values)
{
    static struct golden g;
    set_up(&g);
    struct sl_calibration c = {0};
    SL_CHECK_OK(sl_calibration(g.p, g.y, N, 10, &c, &g.err), g.err);
    SL_CHECK_NEAR(c.brier, 0.1496013, 5e-8);
    SL_CHECK_NEAR(c.ece, 0.0756071, 5e-8);
    SL_CHECK_NEAR(c.mce, 0.1686332, 5e-8);
    SL_CHECK_NEAR(c.ece_mass, 0.0752192, 5e-8);
}

SL_TEST(core_stats_quality, cbpe__golden_data__published_values)
{
    static struct golden g;
    set_up(&g);
    struct sl_cbpe c = {0};
    SL_CHECK_OK(sl_cbpe(g.p, g.p, N, 0.5, &c, &g.err), g.err);
    SL_CHECK_NEAR(c.accuracy, 0.7553282, 5e-8);
    SL_CHECK_NEAR(c.tp + c.fp + c.tn + c.fn, N, 1e-9);
}

/** Certain probabilities turn the expectation into the fact. */
SL_TEST(core_stats_quality, cbpe__certain__equals_the_real_quality)
{
    static struct golden g;
    set_up(&g);
    static double certain[N];
    for (size_t i = 0; i < N; i++) {
        certain[i] = g.y[i];
    }
    struct sl_cbpe c = {0};
    struct sl_binary_quality q = {0};
    SL_CHECK_OK(sl_cbpe(certain, g.p, N, 0.5, &c, &g.err), g.err);
    SL_CHECK_OK(sl_binary_quality(g.p, g.y, N, 0.5, &q, &g.err), g.err);
    SL_CHECK_NEAR(c.accuracy, q.accuracy.value, 1e-12);
    SL_CHECK_NEAR(c.precision, q.precision.value, 1e-12);
    SL_CHECK_NEAR(c.recall, q.recall.value, 1e-12);
    SL_CHECK_NEAR(c.f1, q.f1, 1e-12);
    SL_CHECK_NEAR(c.auc, q.auc.value, 1e-12);
}

SL_TEST(core_stats_quality, isotonic__scikit_learn)
{
    static const struct {
        double score, p;
    } want[] = {{0.0, 0},
                {0.1, 0},
                {0.33, 0.29069767441860467},
                {0.5, 0.3611111111111111},
                {0.77, 0.77777777777777779},
                {0.9, 0.93181818181818177},
                {1.0, 1}};
    static struct golden g;
    set_up(&g);
    struct sl_isotonic map = {0};
    SL_CHECK_OK(sl_isotonic_fit(g.p, g.y, N, &map, &g.err), g.err);
    for (size_t i = 0; i < SL_LEN(want); i++) {
        SL_CHECK_NEAR(sl_isotonic_at(&map, want[i].score), want[i].p, 1e-9);
    }
    for (size_t i = 1; i < map.n; i++) {
        SL_CHECK(map.x[i] > map.x[i - 1] && map.y[i] >= map.y[i - 1]);
    }
    sl_isotonic_release(&map);
}

SL_TEST(core_stats_quality, platt__scikit_learn)
{
    static struct golden g;
    set_up(&g);
    struct sl_platt map = {0};
    SL_CHECK_OK(sl_platt_fit(g.p, g.y, N, &map, &g.err), g.err);
    SL_CHECK_NEAR(map.a, -6.2425411984465127, 1e-4); /* scikit-learn stops BFGS at 1e-5 */
    SL_CHECK_NEAR(map.b, 3.6247742395774853, 1e-4);
    SL_CHECK_NEAR(sl_platt_at(&map, 0.5), 1 / (1 + exp(map.a / 2 + map.b)), 1e-15);
}

SL_TEST(core_stats_quality, binary__scikit_learn)
{
    static struct golden g;
    set_up(&g);
    struct sl_binary_quality q = {0};
    SL_CHECK_OK(sl_binary_quality(g.p, g.y, N, 0.5, &q, &g.err), g.err);
    SL_CHECK_NEAR(q.accuracy.value, 0.772, 1e-12);
    SL_CHECK_NEAR(q.auc.value, 0.87375314156907757, 1e-9);
    SL_CHECK_NEAR(q.average_precision, 0.83691272536806427, 1e-9);
    SL_CHECK_NEAR(q.log_loss, 0.45400179521264128, 1e-9);
    SL_CHECK_NEAR(q.mcc, 0.54565113336801063, 1e-9);
    SL_CHECK_NEAR(q.f1, 0.74610244988864138, 1e-9);
    SL_CHECK_NEAR(q.balanced_accuracy, 0.77646424884106435, 1e-9);
    SL_CHECK_NEAR(q.precision.value, 0.69646569646569645, 1e-9);
    SL_CHECK_NEAR(q.recall.value, 0.80335731414868106, 1e-9);
    SL_CHECK(q.auc.low < q.auc.value && q.auc.value < q.auc.high);
}

SL_TEST(core_stats_quality, auc__ties_and_variance__scikit_learn_and_delong)
{
    static struct golden g;
    set_up(&g);
    static double rounded[N];
    for (size_t i = 0; i < N; i++) {
        rounded[i] = nearbyint(g.p[i] * 5) / 5;
    }
    struct sl_binary_quality q = {0};
    double auc = 0;
    double variance = 0;
    SL_CHECK_OK(sl_binary_quality(rounded, g.y, N, 0.5, &q, &g.err), g.err);
    SL_CHECK_NEAR(q.auc.value, 0.86183677414843429, 1e-9);
    SL_CHECK_NEAR(q.average_precision, 0.77871681306770846, 1e-9);
    sl_auc(g.p, g.y, N, &auc, &variance);
    SL_CHECK_NEAR(variance, 0.00011383958427802138, 1e-12); /* all pairs, numpy */
}

SL_TEST(core_stats_quality, wilson__statsmodels)
{
    struct sl_estimate e = sl_wilson(7, 20);
    SL_CHECK_NEAR(e.value, 0.35, 1e-15);
    SL_CHECK_NEAR(e.low, 0.18119182410108203, 1e-9);
    SL_CHECK_NEAR(e.high, 0.5671457233147638, 1e-9);
    SL_CHECK_NEAR(sl_wilson(0, 5).low, 0, 1e-15);
    SL_CHECK_NEAR(sl_wilson(5, 5).high, 1, 1e-15);
}

SL_TEST(core_stats_quality, regression__scikit_learn)
{
    static struct golden g;
    set_up(&g);
    static double t[N];
    static double predicted[N];
    for (size_t i = 0; i < N; i++) {
        t[i] = 10 * g.p[i] + g.y[i];
        predicted[i] = 10 * g.p[i] + 0.5;
    }
    struct sl_regression_quality q = {0};
    SL_CHECK_OK(sl_regression_quality(predicted, t, N, &q, &g.err), g.err);
    SL_CHECK_NEAR(q.mae.value, 0.5, 1e-12);
    SL_CHECK_NEAR(q.rmse.value, 0.5, 1e-12);
    SL_CHECK_NEAR(q.bias.value, 0.083, 1e-12); /* 0.5 - 417/1000 */
    SL_CHECK_NEAR(q.r2, 0.97658151562603845, 1e-9);
    SL_CHECK_NEAR(q.mape, 0.62515639014366342, 1e-9);
}

SL_TEST(core_stats_quality, degenerate__undefined_is_nan_and_bad_is_refused)
{
    static const double score[] = {0.2, 0.7, 0.9};
    static const uint8_t all_negative[] = {0, 0, 0};
    static const uint8_t bad[] = {0, 1, 2};
    const double nan_in[] = {0.2, NAN, 0.9};
    struct sl_err err = {0};
    struct sl_binary_quality q = {0};
    struct sl_calibration c = {0};
    struct sl_regression_quality r = {0};
    SL_CHECK_OK(sl_binary_quality(score, all_negative, 3, 0.5, &q, &err), err);
    SL_CHECK(isnan(q.recall.value) && isnan(q.auc.value) && isnan(q.average_precision));
    SL_CHECK_NEAR(q.specificity.value, 1.0 / 3, 1e-15);
    SL_CHECK_ERR(sl_binary_quality(score, bad, 3, 0.5, &q, &err), SL_EINVAL, err, "row 2");
    SL_CHECK_ERR(sl_binary_quality(nan_in, bad, 3, 0.5, &q, &err), SL_EINVAL, err, "row 1");
    SL_CHECK_ERR(sl_binary_quality(score, bad, 0, 0.5, &q, &err), SL_EINVAL, err, "no predictions");
    SL_CHECK_ERR(sl_calibration(nan_in, all_negative, 3, 10, &c, &err), SL_EINVAL, err, "value 1");
    SL_CHECK_ERR(sl_calibration(score, all_negative, 3, 0, &c, &err), SL_EINVAL, err, "0 bins");
    SL_CHECK_ERR(sl_calibration(score, all_negative, 3, 1001, &c, &err), SL_EINVAL, err,
                 "1 to 1000");
    SL_CHECK_OK(sl_calibration(score, all_negative, 3, 1000, &c, &err), err);
    SL_CHECK_ERR(sl_regression_quality(nan_in, score, 3, &r, &err), SL_EINVAL, err, "row 1");
    SL_CHECK_OK(sl_regression_quality(score, score, 1, &r, &err), err);
    SL_CHECK(isnan(r.mae.low) && isnan(r.r2));
}
