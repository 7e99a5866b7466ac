/**
 * Two-sample statistics against published golden values and scipy 1.10.1.
 */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/stats/binning.h"
#include "core/stats/special.h"
#include "core/stats/stats.h"
#include "tests/support/sl_test.h"
#include "tests/unit/core/stats/golden.h"

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

#define N 200
#define M 150

struct golden {
    double ref[N], cur[M];
    uint64_t ref_counts[10], cur_counts[10];
    double edges[9];
    struct sl_err err;
};

static void set_up(struct golden *g)
{
    *g = (struct golden){0};
    uint32_t x = 1;
    for (size_t i = 0; i < N; i++) {
        g->ref[i] = floor(1000 * lcg(&x)) / 10;
    }
    x = 2;
    for (size_t i = 0; i < M; i++) {
        g->cur[i] = floor(1000 * pow(lcg(&x), 1.25)) / 10;
    }
    SL_CHECK_NEAR(g->ref[0], 23.6, 1e-12);
    SL_CHECK_NEAR(g->cur[0], 16.5, 1e-12);
    qsort(g->ref, N, sizeof(double), ascending);
    qsort(g->cur, M, sizeof(double), ascending);
    SL_CHECK_EQ_UINT(sl_quantile_edges(g->ref, N, 10, g->edges), 9);
    sl_bin_count(g->edges, 9, g->ref, N, g->ref_counts);
    sl_bin_count(g->edges, 9, g->cur, M, g->cur_counts);
}

static struct sl_stat of_counts(struct golden *g, const char *name)
{
    struct sl_counts in = {g->ref_counts, g->cur_counts, 10};
    struct sl_stat out = {0};
    SL_CHECK_NOT_NULL(sl_stat_find(name));
    SL_CHECK_OK(sl_stat_counts(sl_stat_find(name), &in, &out, &g->err), g->err);
    return out;
}

static struct sl_stat of_sorted(struct golden *g, const char *name)
{
    struct sl_samples in = {g->ref, g->cur, N, M};
    struct sl_stat out = {0};
    SL_CHECK_NOT_NULL(sl_stat_find(name));
    SL_CHECK_OK(sl_stat_samples(sl_stat_find(name), &in, &out, &g->err), g->err);
    return out;
}

SL_TEST(core_stats, bins__golden_data__published_counts)
{
    static const uint64_t ref[] = {20, 20, 20, 20, 20, 19, 21, 20, 20, 20};
    static const uint64_t cur[] = {18, 17, 16, 17, 11, 12, 14, 21, 16, 8};
    struct golden g;
    set_up(&g);
    SL_CHECK_EQ_MEM(g.ref_counts, ref, sizeof(ref));
    SL_CHECK_EQ_MEM(g.cur_counts, cur, sizeof(cur));
}

SL_TEST(core_stats, counts__golden_data__published_values)
{
    struct golden g;
    set_up(&g);
    SL_CHECK_NEAR(of_counts(&g, "psi").value, 0.0585495, 5e-8);
    SL_CHECK_NEAR(of_counts(&g, "js").value, 0.1059784, 5e-8);
    SL_CHECK_NEAR(of_counts(&g, "hellinger").value, 0.0884366, 5e-8);
    SL_CHECK_NEAR(of_counts(&g, "tv").value, 0.1, 1e-12);
    SL_CHECK_NEAR(of_counts(&g, "linf").value, 0.0466667, 5e-8);
    SL_CHECK_NEAR(of_counts(&g, "chi2").value, 5.204798, 5e-7);
    SL_CHECK_NEAR(of_counts(&g, "chi2").p, 0.816103, 5e-7);
    SL_CHECK_NEAR(of_counts(&g, "chi2").effect, 0, 1e-12);
    SL_CHECK_NEAR(of_counts(&g, "g").value, 5.307995, 5e-7);
    SL_CHECK_NEAR(of_counts(&g, "g").p, 0.806676, 5e-7);
}

SL_TEST(core_stats, counts__categories__published_values)
{
    static const uint64_t ref[] = {50, 30, 20, 0};
    static const uint64_t cur[] = {30, 40, 20, 10};
    struct sl_counts in = {ref, cur, 4};
    static const struct {
        const char *name;
        double value, p, within;
    } want[] = {{"chi2", 16.428571, 9.2615e-4, 5e-7},
                {"g", 20.349845, 1.43635e-4, 5e-7},
                {"js", 0.2709180, -1, 5e-8},
                {"hellinger", 0.2574714, -1, 5e-8},
                {"tv", 0.2, -1, 1e-12},
                {"linf", 0.2, -1, 1e-12},
                {"psi", 0.42516, -1, 5e-6}};
    for (size_t i = 0; i < SL_LEN(want); i++) {
        struct sl_stat out = {0};
        struct sl_err err = {0};
        SL_CHECK_OK(sl_stat_counts(sl_stat_find(want[i].name), &in, &out, &err), err);
        SL_CHECK_NEAR(out.value, want[i].value, want[i].within);
        if (want[i].p >= 0) {
            SL_CHECK_NEAR(out.p, want[i].p, 5e-9);
        }
    }
}

SL_TEST(core_stats, samples__golden_data__published_values)
{
    struct golden g;
    set_up(&g);
    SL_CHECK_NEAR(of_sorted(&g, "ks").value, 0.0583333, 5e-8);
    SL_CHECK_NEAR(of_sorted(&g, "ks").p, 0.918050, 5e-7);
    SL_CHECK_NEAR(of_sorted(&g, "w1").value, 2.733833, 5e-7);
    SL_CHECK_NEAR(of_sorted(&g, "energy").value, 0.4288933, 5e-8);
    SL_CHECK_NEAR(of_sorted(&g, "cvm").value, 0.0727226, 5e-8);
    SL_CHECK_NEAR(of_sorted(&g, "cvm").p, 0.7387282671556877, 1e-9);
    SL_CHECK_NEAR(of_sorted(&g, "ad").value, -0.532212, 5e-7);
    SL_CHECK_NEAR(of_sorted(&g, "ad").p, 0.25, 1e-12);
    SL_CHECK(of_sorted(&g, "ad").p_capped);
}

SL_TEST(core_stats, proportions__published_value)
{
    struct sl_stat out = {0};
    struct sl_err err = {0};
    SL_CHECK_OK(sl_stat_proportions(120, 1000, 160, 1100, &out, &err), err);
    SL_CHECK_NEAR(out.value, -1.713786, 5e-7);
    SL_CHECK_NEAR(out.p, 0.0865680, 5e-8);
    SL_CHECK_ERR(sl_stat_proportions(2, 1, 0, 1, &out, &err), SL_EINVAL, err, "0 <= hits");
    SL_CHECK_ERR(sl_stat_proportions(0, 0, 0, 1, &out, &err), SL_EINVAL, err, "at least one");
}

/* scipy.stats.kstwo.sf(d, n) */
SL_TEST(core_stats, ks_one_sample__scipy)
{
    static const struct {
        double d, n, p;
    } want[] = {
        {0.3, 5, 0.66400000000000003},
        {0.05, 100, 0.95321597106357248},
        {0.12, 100, 0.10330374901819871},
        {0.25, 100, 5.4088717764348473e-06},
        {0.02, 1000, 0.81089716568955772},
        {0.04, 999, 0.079593897269652714},
        {0.06, 1000, 0.0014285978879528911},
        {0.01, 5000, 0.69545572539138534},
        {0.02, 5000, 0.036139413953256372},
        {0.027, 5000, 0.0013391584264418684},
        {0.03, 20000, 4.5163300386709916e-16},
        {0.005, 20000, 0.69740884063276132},
        {0.009, 50000, 0.00060338036871407852},
        {0.0015, 500000, 0.21034190155828947},
        {0.003, 500000, 0.00024632301239186754},
        {0.9, 3, 0.0019999999999999987},
        {0.001, 100, 1},
    };
    for (size_t i = 0; i < SL_LEN(want); i++) {
        SL_CHECK_NEAR(sl_ks_one_sample_sf(want[i].d, want[i].n), want[i].p, 1e-7);
    }
}

/* scipy.stats._stats_py._attempt_exact_2kssamp and ks_2samp's asymptotic branch */
SL_TEST(core_stats, ks_two_samples__scipy)
{
    static const struct {
        double d;
        size_t n, m;
        double p;
    } want[] = {
        {0.058333333333333334, 200, 150, 0.91805023919769402},
        {0.5714285714285714, 5, 7, 0.23737373737373738},
        {0.40000000000000002, 10, 10, 0.41752365281777043},
        {0.20000000000000001, 100, 100, 0.036384287874917327},
        {0.044444444444444446, 1000, 900, 0.296310030986914},
        {1, 3, 4, 0.057142857142857148},
        {0.59999999999999998, 50, 1, 0.82352941176470584},
        {0.015001500150015001, 10000, 9999, 0.20741010525300871},
        {0.059643747893830153, 997, 1009, 0.053275771057047096},
        {0.01, 20000, 30000, 0.18009691678286865},
        {0.29999999999999999, 10001, 5, 0.66400000000000003},
        {0.0040000000000000001, 100000, 100000, 0.39943166467557312},
    };
    for (size_t i = 0; i < SL_LEN(want); i++) {
        SL_CHECK_NEAR(sl_ks_p(want[i].d, want[i].n, want[i].m), want[i].p, 1e-9);
    }
}

/* scipy.stats: norm.sf, norm.ppf, chi2.sf, betainc, kv, t.sf, _cdf_cvm_inf */
SL_TEST(core_stats, special__scipy)
{
    SL_CHECK_NEAR(sl_norm_sf(0), 0.5, 1e-15);
    SL_CHECK_NEAR(sl_norm_sf(1.5), 0.066807201268858071, 1e-15);
    SL_CHECK_NEAR(sl_norm_sf(-2), 0.97724986805182079, 1e-15);
    SL_CHECK_NEAR(sl_norm_sf(8), 6.2209605742717405e-16, 1e-28);
    SL_CHECK_NEAR(sl_norm_quantile(0.5), 0, 1e-9);
    SL_CHECK_NEAR(sl_norm_quantile(0.975), 1.959963984540054, 1e-9);
    SL_CHECK_NEAR(sl_norm_quantile(1e-09), -5.9978070150076865, 1e-9);
    SL_CHECK_NEAR(sl_norm_quantile(0.01), -2.3263478740408408, 1e-9);
    SL_CHECK_NEAR(sl_chi2_sf(5.2, 9), 0.8165367975972474, 1e-12);
    SL_CHECK_NEAR(sl_chi2_sf(0.1, 1), 0.75182963404584924, 1e-12);
    SL_CHECK_NEAR(sl_chi2_sf(60, 9), 1.3406780483959625e-09, 1e-12);
    SL_CHECK_NEAR(sl_chi2_sf(1000, 900), 0.010994608942135844, 1e-12);
    SL_CHECK_NEAR(sl_chi2_sf(3, 2.5), 0.30584962944581906, 1e-12);
    SL_CHECK_NEAR(sl_beta_inc(2, 3, 0.4), 0.52479999999999993, 1e-11);
    SL_CHECK_NEAR(sl_beta_inc(0.5, 0.5, 0.9), 0.79516723530086619, 1e-11);
    SL_CHECK_NEAR(sl_beta_inc(50, 40, 0.5), 0.14454804034803007, 1e-11);
    SL_CHECK_NEAR(sl_beta_inc(1000, 2, 0.99), 0.00047488372151767888, 1e-11);
    SL_CHECK_NEAR(sl_bessel_k(0.25, 0.1), 2.6851568718760555, 1e-11);
    SL_CHECK_NEAR(sl_bessel_k(0.25, 1), 0.43073977444858141, 1e-11);
    SL_CHECK_NEAR(sl_bessel_k(0.25, 20), 5.750002072403683e-10, 1e-11);
    SL_CHECK_NEAR(sl_bessel_k(0.75, 2), 0.12790297862917527, 1e-11);
    SL_CHECK_NEAR(sl_student_two_sided(2, 5), 0.10193947882985828, 1e-12);
    SL_CHECK_NEAR(sl_student_two_sided(-1, 30), 0.32530861542602985, 1e-12);
    SL_CHECK_NEAR(sl_student_two_sided(0, 3), 1, 1e-12);
    SL_CHECK_NEAR(sl_cvm_limit_sf(0.01), 0.99999413556719008, 1e-10);
    SL_CHECK_NEAR(sl_cvm_limit_sf(0.05), 0.87628093104135085, 1e-10);
    SL_CHECK_NEAR(sl_cvm_limit_sf(0.2), 0.26747043054077702, 1e-10);
    SL_CHECK_NEAR(sl_cvm_limit_sf(0.5), 0.039833217565609313, 1e-10);
    SL_CHECK_NEAR(sl_cvm_limit_sf(1.2), 0.00084260191546037255, 1e-10);
}

SL_TEST(core_stats, bh__published_example)
{
    /* Benjamini and Hochberg (1995), table 1; adjusted by R's p.adjust(method = "BH") */
    static const double p[] = {0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
                               0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000};
    static const double want[] = {0.0015,  0.003,     0.0095,    0.035625,  0.0603,
                                  0.06386, 0.06386,   0.0645,    0.0765,    0.486,
                                  0.58118, 0.7148750, 0.7532308, 0.8132143, 1.0};
    double out[SL_LEN(p)];
    sl_adjust_bh(p, SL_LEN(p), out);
    for (size_t i = 0; i < SL_LEN(p); i++) {
        SL_CHECK_NEAR(out[i], want[i], 5e-5);
    }
    const double with_gap[] = {0.01, NAN, 0.04};
    sl_adjust_bh(with_gap, 3, out);
    SL_CHECK_NEAR(out[0], 0.02, 1e-15);
    SL_CHECK(isnan(out[1]));
    SL_CHECK_NEAR(out[2], 0.04, 1e-15);
}

/* ---- properties ---------------------------------------------------------------------------------- */

SL_TEST(core_stats, every_row__same_data__no_difference)
{
    struct golden g;
    set_up(&g);
    struct sl_counts counts = {g.ref_counts, g.ref_counts, 10};
    struct sl_samples samples = {g.ref, g.ref, N, N};
    for (size_t i = 0; sl_stat_at(i) != NULL; i++) {
        const struct sl_stat_row *row = sl_stat_at(i);
        struct sl_stat out = {0};
        if (row->input == SL_STAT_COUNTS) {
            SL_CHECK_OK(sl_stat_counts(row, &counts, &out, &g.err), g.err);
        } else {
            SL_CHECK_OK(sl_stat_samples(row, &samples, &out, &g.err), g.err);
        }
        SL_CHECK_MSG(out.effect <= 1e-7, "%s: effect %g", row->name, out.effect);
        SL_CHECK_MSG(!out.has_p || out.p >= 0.25, "%s: p %g", row->name, out.p);
    }
}

/** Ranks alone count for KS, CvM and AD: a rising map changes nothing. */
SL_TEST(core_stats, rank_statistics__monotone_map__unchanged)
{
    struct golden g;
    set_up(&g);
    struct golden mapped = g;
    for (size_t i = 0; i < N; i++) {
        mapped.ref[i] = exp(g.ref[i] / 25);
    }
    for (size_t i = 0; i < M; i++) {
        mapped.cur[i] = exp(g.cur[i] / 25);
    }
    static const char *const names[] = {"ks", "cvm", "ad"};
    for (size_t i = 0; i < SL_LEN(names); i++) {
        SL_CHECK_NEAR(of_sorted(&mapped, names[i]).value, of_sorted(&g, names[i]).value, 1e-12);
    }
}

SL_TEST(core_stats, bounds__disjoint_samples__largest_distance)
{
    static const double low[] = {1, 2, 3};
    static const double high[] = {10, 11, 12, 13};
    struct sl_samples in = {low, high, 3, 4};
    struct sl_merged merged;
    sl_merge(&in, &merged);
    SL_CHECK_NEAR(merged.ks, 1, 1e-15);
    SL_CHECK_NEAR(merged.w1, 9.5, 1e-12); /* difference of the means */
    static const uint64_t left[] = {10, 0};
    static const uint64_t right[] = {0, 10};
    struct sl_counts counts = {left, right, 2};
    static const char *const whole[] = {"js", "hellinger", "tv", "linf"};
    for (size_t i = 0; i < SL_LEN(whole); i++) {
        struct sl_stat out = {0};
        struct sl_err err = {0};
        SL_CHECK_OK(sl_stat_counts(sl_stat_find(whole[i]), &counts, &out, &err), err);
        SL_CHECK_NEAR(out.value, 1, 1e-12);
    }
}

SL_TEST(core_stats, histogram__merged_parts__equal_the_whole)
{
    struct golden g;
    set_up(&g);
    uint64_t parts[10] = {0};
    sl_bin_count(g.edges, 9, g.cur, 70, parts);
    sl_bin_count(g.edges, 9, g.cur + 70, M - 70, parts);
    SL_CHECK_EQ_MEM(parts, g.cur_counts, sizeof(parts));
}

/* ---- bad and degenerate input -------------------------------------------------------------------- */

SL_TEST(core_stats, samples__bad__refused)
{
    struct sl_stat out = {0};
    struct sl_err err = {0};
    static const double good[] = {1, 2};
    const double nan_in[] = {1, NAN};
    static const double falling[] = {2, 1};
    const struct sl_stat_row *ks = sl_stat_find("ks");
    const struct sl_samples empty = {good, good, 2, 0};
    const struct sl_samples with_nan = {nan_in, good, 2, 2};
    const struct sl_samples unsorted = {good, falling, 2, 2};
    SL_CHECK_ERR(sl_stat_samples(ks, &empty, &out, &err), SL_EINVAL, err,
                 "current sample is empty");
    SL_CHECK_ERR(sl_stat_samples(ks, &with_nan, &out, &err), SL_EINVAL, err,
                 "value 1 of the reference sample is not finite");
    SL_CHECK_ERR(sl_stat_samples(ks, &unsorted, &out, &err), SL_EINVAL, err,
                 "value 1 of the current sample is out of order");
    SL_CHECK_NULL(sl_stat_find("kss"));
}

SL_TEST(core_stats, counts__bad__refused)
{
    struct sl_stat out = {0};
    struct sl_err err = {0};
    static const uint64_t some[] = {1, 2};
    static const uint64_t none[] = {0, 0};
    const struct sl_counts empty = {some, none, 2};
    const struct sl_counts no_cells = {some, some, 0};
    const struct sl_counts too_many = {some, some, SL_STATS_BINS_MAX + 1};
    const struct sl_stat_row *psi = sl_stat_find("psi");
    SL_CHECK_ERR(sl_stat_counts(psi, &empty, &out, &err), SL_EINVAL, err, "current histogram");
    SL_CHECK_ERR(sl_stat_counts(psi, &no_cells, &out, &err), SL_EINVAL, err, "0 cells");
    SL_CHECK_ERR(sl_stat_counts(psi, &too_many, &out, &err), SL_EINVAL, err, "1 to 65536");
}

/** Constant columns: no NaN anywhere (Evidently returns NaN: its issue 1929). */
SL_TEST(core_stats, every_row__constant_and_single_values__finite)
{
    static const double same[] = {5, 5, 5, 5, 5};
    static const double other[] = {7, 7, 7};
    static const uint64_t one_cell[] = {5};
    const struct sl_samples pairs[] = {
        {same, same, 5, 5}, {same, other, 5, 3}, {same, same, 1, 5}, {other, same, 3, 2}};
    const struct sl_counts single = {one_cell, one_cell, 1};
    for (size_t i = 0; sl_stat_at(i) != NULL; i++) {
        const struct sl_stat_row *row = sl_stat_at(i);
        for (size_t k = 0; k < SL_LEN(pairs); k++) {
            struct sl_stat out = {0};
            struct sl_err err = {0};
            if (row->input == SL_STAT_COUNTS) {
                SL_CHECK_OK(sl_stat_counts(row, &single, &out, &err), err);
            } else {
                SL_CHECK_OK(sl_stat_samples(row, &pairs[k], &out, &err), err);
            }
            SL_CHECK_MSG(isfinite(out.value) && isfinite(out.effect), "%s on pair %zu", row->name,
                         k);
            SL_CHECK_MSG(!out.has_p || (out.p >= 0 && out.p <= 1), "%s: p %g", row->name, out.p);
        }
    }
}
