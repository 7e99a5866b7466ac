/* One merge of two ascending samples, and the statistics that come from it: see stats.h. Pure. */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/stats/binning.h"
#include "core/stats/stats_priv.h"

/** A group of equal values: how many stand in each sample, and before it. */
struct group {
    double value;
    size_t in_ref, in_cur, before_ref, before_cur;
};

/** Takes the next group off both samples. False at the end. */
static bool next_group(const struct sl_samples *in, struct group *g)
{
    size_t i = g->before_ref + g->in_ref;
    size_t j = g->before_cur + g->in_cur;
    if (i >= in->n && j >= in->m) {
        return false;
    }
    double x = j >= in->m || (i < in->n && in->ref[i] <= in->cur[j]) ? in->ref[i] : in->cur[j];
    *g = (struct group){.value = x, .before_ref = i, .before_cur = j};
    while (i + g->in_ref < in->n && in->ref[i + g->in_ref] == x) {
        g->in_ref++;
    }
    while (j + g->in_cur < in->m && in->cur[j + g->in_cur] == x) {
        g->in_cur++;
    }
    return true;
}

/** Sum over a tied block of (midrank - own rank)^2, own ranks first..first+count-1. */
static double rank_squares(double midrank, double first, double count)
{
    double centre = first + (count - 1) / 2;
    double off = midrank - centre;
    return count * off * off + count * (count * count - 1) / 12;
}

void sl_merge(const struct sl_samples *in, struct sl_merged *ret)
{
    struct group g = {0};
    double n = (double)in->n;
    double m = (double)in->m;
    double gap = 0; /* F - G left of the group */
    double last = 0;
    double tied = 0;
    *ret = (struct sl_merged){0};
    for (bool first = true; next_group(in, &g); first = false) {
        double width = first ? 0 : g.value - last;
        ret->w1 += fabs(gap) * width;
        ret->square += gap * gap * width;
        double here = (double)(g.in_ref + g.in_cur);
        double before = (double)(g.before_ref + g.before_cur);
        double midrank = before + (here + 1) / 2;
        tied += here > 1 ? here : 0;
        ret->rank_term += n * rank_squares(midrank, (double)g.before_ref + 1, (double)g.in_ref);
        ret->rank_term += m * rank_squares(midrank, (double)g.before_cur + 1, (double)g.in_cur);
        gap = (double)(g.before_ref + g.in_ref) / n - (double)(g.before_cur + g.in_cur) / m;
        ret->ks = fmax(ret->ks, fabs(gap));
        last = g.value;
    }
    ret->tied = tied / (n + m);
}

int sl_stat_ks(const struct sl_samples *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    struct sl_merged merged;
    sl_merge(in, &merged);
    *ret = (struct sl_stat){.value = merged.ks,
                            .effect = merged.ks,
                            .p = sl_ks_p(merged.ks, in->n, in->m),
                            .has_p = true};
    return 0;
}

int sl_stat_w1(const struct sl_samples *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    struct sl_merged merged;
    sl_merge(in, &merged);
    *ret =
        (struct sl_stat){.value = merged.w1, .effect = merged.w1 / sl_robust_scale(in->ref, in->n)};
    return 0;
}

int sl_stat_energy(const struct sl_samples *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    struct sl_merged merged;
    sl_merge(in, &merged);
    double scale = sl_robust_scale(in->ref, in->n);
    double distance = sqrt(2 * merged.square);
    *ret = (struct sl_stat){.value = distance, .effect = distance / sqrt(scale)};
    return 0;
}

/** Moments of T under the null, then the limiting law (Anderson 1962), as scipy's method="asymptotic". */
int sl_stat_cvm(const struct sl_samples *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    struct sl_merged merged;
    sl_merge(in, &merged);
    double n = (double)in->n;
    double m = (double)in->m;
    double k = n * m;
    double all = n + m;
    double t = merged.rank_term / (k * all) - (4 * k - 1) / (6 * all);
    double mean = (1 + 1 / all) / 6;
    double variance =
        (all + 1) * (4 * k * all - 3 * (n * n + m * m) - 2 * k) / (45 * all * all * 4 * k);
    double limit = 1.0 / 6 + (variance > 0 ? (t - mean) / sqrt(45 * variance) : 0);
    *ret = (struct sl_stat){
        .value = t, .effect = t * all / k, .p = sl_cvm_limit_sf(limit), .has_p = true};
    return 0;
}

/* ---- Anderson-Darling, k = 2 samples (Scholz and Stephens 1987, midrank version) ---------------- */

static double ad_statistic(const struct sl_samples *in)
{
    struct group g = {0};
    double total = (double)in->n + (double)in->m;
    double of_ref = 0;
    double of_cur = 0;
    while (next_group(in, &g)) {
        double here = (double)(g.in_ref + g.in_cur);
        double middle = (double)(g.before_ref + g.before_cur) + here / 2;
        double weight = middle * (total - middle) - total * here / 4;
        if (weight <= 0) {
            continue; /* everything is one value */
        }
        double a = (double)g.before_ref + (double)g.in_ref / 2;
        double b = (double)g.before_cur + (double)g.in_cur / 2;
        double off_a = total * a - middle * (double)in->n;
        double off_b = total * b - middle * (double)in->m;
        of_ref += here / total * off_a * off_a / weight;
        of_cur += here / total * off_b * off_b / weight;
    }
    return (of_ref / (double)in->n + of_cur / (double)in->m) * (total - 1) / total;
}

/** Variance under the null for k = 2. */
static double ad_variance(double n, double m)
{
    double total = n + m;
    double inverse = 1 / n + 1 / m;
    double harmonic = 0;
    double g = 0;
    for (double i = total - 1; i >= 1; i--) { /* sum of 1/i from i to total-1 is built backwards */
        if (i < total - 1) {
            g += harmonic / (total - i);
        }
        harmonic += 1 / i;
    }
    double a = (4 * g - 6) + (10 - 6 * g) * inverse;
    double b = (2 * g - 4) * 4 + 8 * harmonic * 2 + (2 * g - 14 * harmonic - 4) * inverse -
               8 * harmonic + 4 * g - 6;
    double c = (6 * harmonic + 2 * g - 2) * 4 + (4 * harmonic - 4 * g + 6) * 2 +
               (2 * harmonic - 6) * inverse + 4 * harmonic;
    double d = (2 * harmonic + 6) * 4 - 4 * harmonic * 2;
    return (((a * total + b) * total + c) * total + d) / ((total - 1) * (total - 2) * (total - 3));
}

/** Quadratic least squares of log p over the critical values, as the authors interpolate. */
static double ad_p(double standardised, bool *ret_capped)
{
    static const double at[] = {0.325, 1.226, 1.961, 2.718, 3.752, 4.592, 6.546};
    static const double p[] = {0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001};
    double s[5] = {0};
    double y[3] = {0};
    *ret_capped = standardised < at[0] || standardised > at[SL_LEN(at) - 1];
    if (*ret_capped) {
        return standardised < at[0] ? p[0] : p[SL_LEN(p) - 1];
    }
    for (size_t i = 0; i < SL_LEN(at); i++) {
        double power = 1;
        for (int k = 0; k < 5; k++, power *= at[i]) {
            s[k] += power;
            y[k < 3 ? k : 0] += k < 3 ? power * log(p[i]) : 0;
        }
    }
    double det = s[0] * (s[2] * s[4] - s[3] * s[3]) - s[1] * (s[1] * s[4] - s[2] * s[3]) +
                 s[2] * (s[1] * s[3] - s[2] * s[2]);
    double c0 = y[0] * (s[2] * s[4] - s[3] * s[3]) - s[1] * (y[1] * s[4] - y[2] * s[3]) +
                s[2] * (y[1] * s[3] - y[2] * s[2]);
    double c1 = s[0] * (y[1] * s[4] - y[2] * s[3]) - y[0] * (s[1] * s[4] - s[2] * s[3]) +
                s[2] * (s[1] * y[2] - s[2] * y[1]);
    double c2 = s[0] * (s[2] * y[2] - s[3] * y[1]) - s[1] * (s[1] * y[2] - s[2] * y[1]) +
                y[0] * (s[1] * s[3] - s[2] * s[2]);
    return exp((c0 + c1 * standardised + c2 * standardised * standardised) / det);
}

int sl_stat_ad(const struct sl_samples *in, struct sl_stat *ret, struct sl_err *err)
{
    double n = (double)in->n;
    double m = (double)in->m;
    if (n + m < 4) {
        return sl_err_set(err, SL_EINVAL, "Anderson-Darling needs four values or more");
    }
    double value = (ad_statistic(in) - 1) / sqrt(ad_variance(n, m));
    *ret = (struct sl_stat){.value = value, .effect = value * (n + m) / (n * m), .has_p = true};
    ret->p = ad_p(value, &ret->p_capped);
    return 0;
}
