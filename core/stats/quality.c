/* Quality of predictions: see quality.h. Pure. */
#include "core/base/base.h"

#include "core/stats/quality.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"

#define Z95 1.959963984540054

static const struct sl_estimate unknown = {NAN, NAN, NAN};

struct sl_estimate sl_wilson(double k, double n)
{
    SL_ASSERT(n > 0);
    double p = k / n;
    double z2 = Z95 * Z95;
    double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = Z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    return (struct sl_estimate){p, fmax(0, centre - half), fmin(1, centre + half)};
}

static struct sl_estimate rate(uint64_t k, uint64_t n)
{
    return n > 0 ? sl_wilson((double)k, (double)n) : unknown;
}

/* ---- AUC ------------------------------------------------------------------------------------------- */

struct scored {
    double score;
    uint8_t y;
};

static int by_score(const void *left, const void *right)
{
    const struct scored *a = left;
    const struct scored *b = right;
    return (a->score > b->score) - (a->score < b->score);
}

static struct scored *sorted_scores(const double *score, const uint8_t *y, size_t n)
{
    struct scored *s = sl_calloc(n, sizeof(*s));
    for (size_t i = 0; i < n; i++) {
        s[i] = (struct scored){score[i], y[i]};
    }
    qsort(s, n, sizeof(*s), by_score);
    return s;
}

/** Sums over one class of its placement among the other, and of the square. */
struct placements {
    double sum, square;
};

static void place(struct placements *p, double placement, double count)
{
    p->sum += count * placement;
    p->square += count * placement * placement;
}

static double spread(const struct placements *p, double n)
{
    double mean = p->sum / n;
    return n > 1 ? (p->square - n * mean * mean) / (n - 1) : 0;
}

static void auc_of_sorted(const struct scored *s, size_t n, double positives, double *ret_auc,
                          double *ret_variance)
{
    double negatives = (double)n - positives;
    double below_pos = 0;
    double below_neg = 0;
    struct placements pos = {0};
    struct placements neg = {0};
    for (size_t i = 0; i < n;) {
        double here_pos = 0;
        double here_neg = 0;
        size_t j = i;
        for (; j < n && s[j].score == s[i].score; j++) {
            here_pos += s[j].y;
            here_neg += 1 - s[j].y;
        }
        place(&pos, (below_neg + here_neg / 2) / negatives, here_pos);
        place(&neg, (positives - below_pos - here_pos / 2) / positives, here_neg);
        below_pos += here_pos;
        below_neg += here_neg;
        i = j;
    }
    *ret_auc = pos.sum / positives;
    *ret_variance = spread(&pos, positives) / positives + spread(&neg, negatives) / negatives;
}

void sl_auc(const double *score, const uint8_t *y, size_t n, double *ret_auc, double *ret_variance)
{
    double positives = 0;
    for (size_t i = 0; i < n; i++) {
        positives += y[i];
    }
    *ret_auc = *ret_variance = NAN;
    if (positives > 0 && positives < (double)n) {
        _cleanup_(free)
        struct scored *s = sorted_scores(score, y, n);
        auc_of_sorted(s, n, positives, ret_auc, ret_variance);
    }
}

static struct sl_estimate auc_estimate(const double *score, const uint8_t *y, size_t n)
{
    double auc = 0;
    double variance = 0;
    sl_auc(score, y, n, &auc, &variance);
    if (!(auc > 0 && auc < 1)) {
        return (struct sl_estimate){auc, NAN, NAN};
    }
    double logit = log(auc / (1 - auc));
    double half = Z95 * sqrt(fmax(0, variance)) / (auc * (1 - auc));
    return (struct sl_estimate){auc, 1 / (1 + exp(-(logit - half))),
                                1 / (1 + exp(-(logit + half)))};
}

/* ---- classification -------------------------------------------------------------------------------- */

/** Sum over falling thresholds of precision times the gain in recall. */
static double average_precision(const double *score, const uint8_t *y, size_t n)
{
    _cleanup_(free)
    struct scored *s = sorted_scores(score, y, n);
    double positives = 0;
    for (size_t i = 0; i < n; i++) {
        positives += y[i];
    }
    double found = 0;
    double area = 0;
    for (size_t end = n; end > 0;) {
        size_t start = end;
        double here = 0;
        while (start > 0 && s[start - 1].score == s[end - 1].score) {
            here += s[--start].y;
        }
        found += here;
        area += here * found / (double)(n - start);
        end = start;
    }
    return positives > 0 ? area / positives : NAN;
}

static double log_loss(const double *p, const uint8_t *y, size_t n)
{
    double loss = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < 0 || p[i] > 1) {
            return NAN;
        }
        double q = fmin(1 - 1e-15, fmax(1e-15, p[i]));
        loss -= y[i] != 0 ? log(q) : log1p(-q);
    }
    return loss / (double)n;
}

static void from_counts(struct sl_binary_quality *q)
{
    q->accuracy = rate(q->tp + q->tn, q->tp + q->fp + q->tn + q->fn);
    q->precision = rate(q->tp, q->tp + q->fp);
    q->recall = rate(q->tp, q->tp + q->fn);
    q->specificity = rate(q->tn, q->tn + q->fp);
    q->balanced_accuracy = (q->recall.value + q->specificity.value) / 2;
    double tp = (double)q->tp;
    double fp = (double)q->fp;
    double tn = (double)q->tn;
    double fn = (double)q->fn;
    q->f1 = 2 * tp + fp + fn > 0 ? 2 * tp / (2 * tp + fp + fn) : NAN;
    double product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn);
    q->mcc = product > 0 ? (tp * tn - fp * fn) / sqrt(product) : 0;
}

int sl_binary_quality(const double *score, const uint8_t *y, size_t n, double threshold,
                      struct sl_binary_quality *ret, struct sl_err *err)
{
    struct sl_binary_quality q = {0};
    if (n == 0) {
        return sl_err_set(err, SL_EINVAL, "no predictions");
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(score[i]) || y[i] > 1) {
            return sl_err_set(err, SL_EINVAL, "row %zu: %s", i,
                              y[i] > 1 ? "the label is neither 0 nor 1"
                                       : "the score is not finite");
        }
        bool positive = score[i] >= threshold;
        uint64_t *cell = y[i] != 0 ? (positive ? &q.tp : &q.fn) : (positive ? &q.fp : &q.tn);
        ++*cell;
    }
    from_counts(&q);
    q.auc = auc_estimate(score, y, n);
    q.average_precision = average_precision(score, y, n);
    q.log_loss = log_loss(score, y, n);
    *ret = q;
    return 0;
}

/* ---- regression ------------------------------------------------------------------------------------ */

/** Mean and the sum of squares around it, in one pass (Welford). */
struct moments {
    double n, mean, m2;
};

static void add(struct moments *m, double x)
{
    m->n++;
    double delta = x - m->mean;
    m->mean += delta / m->n;
    m->m2 += delta * (x - m->mean);
}

static struct sl_estimate mean_estimate(const struct moments *m)
{
    if (m->n < 2) {
        return (struct sl_estimate){m->mean, NAN, NAN};
    }
    double half = Z95 * sqrt(m->m2 / (m->n - 1) / m->n);
    return (struct sl_estimate){m->mean, m->mean - half, m->mean + half};
}

int sl_regression_quality(const double *predicted, const double *y, size_t n,
                          struct sl_regression_quality *ret, struct sl_err *err)
{
    struct moments absolute = {0};
    struct moments plain = {0};
    struct moments square = {0};
    struct moments target = {0};
    struct moments relative = {0};
    if (n == 0) {
        return sl_err_set(err, SL_EINVAL, "no predictions");
    }
    for (size_t i = 0; i < n; i++) {
        double off = predicted[i] - y[i];
        if (!isfinite(off)) {
            return sl_err_set(err, SL_EINVAL, "row %zu is not finite", i);
        }
        add(&absolute, fabs(off));
        add(&plain, off);
        add(&square, off * off);
        add(&target, y[i]);
        if (y[i] != 0) {
            add(&relative, fabs(off / y[i]));
        }
    }
    struct sl_estimate mse = mean_estimate(&square);
    *ret = (struct sl_regression_quality){
        .mae = mean_estimate(&absolute),
        .bias = mean_estimate(&plain),
        .rmse = {sqrt(mse.value), sqrt(fmax(0, mse.low)), sqrt(mse.high)},
        .r2 = target.m2 > 0 ? 1 - square.mean * square.n / target.m2 : NAN,
        .mape = relative.n > 0 ? relative.mean : NAN};
    if (n < 2) {
        ret->rmse.low = NAN;
    }
    return 0;
}
