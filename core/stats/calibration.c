/* Calibration errors, maps, and performance without labels: see calibration.h. Pure. */
#include "core/base/base.h"

#include "core/stats/calibration.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"

#define BINS_MAX 1000

struct pair {
    double score, mass; /* what is sorted by, and what goes with it */
    double y;
};

static int by_score(const void *left, const void *right)
{
    const struct pair *a = left;
    const struct pair *b = right;
    return (a->score > b->score) - (a->score < b->score);
}

static int check(const double *score, const uint8_t *y, size_t n, bool probability,
                 struct sl_err *err)
{
    if (n == 0) {
        return sl_err_set(err, SL_EINVAL, "no values");
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(score[i]) || (probability && (score[i] < 0 || score[i] > 1))) {
            return sl_err_set(err, SL_EINVAL, "value %zu is not %s", i,
                              probability ? "a probability" : "finite");
        }
        if (y != NULL && y[i] > 1) {
            return sl_err_set(err, SL_EINVAL, "label %zu is neither 0 nor 1", i);
        }
    }
    return 0;
}

static struct pair *sorted_pairs(const double *score, const uint8_t *y, size_t n)
{
    struct pair *pairs = sl_calloc(n, sizeof(*pairs));
    for (size_t i = 0; i < n; i++) {
        pairs[i] = (struct pair){.score = score[i], .mass = 1, .y = y[i]};
    }
    qsort(pairs, n, sizeof(*pairs), by_score);
    return pairs;
}

/* ---- errors --------------------------------------------------------------------------------------- */

struct bin {
    double n, p, y;
};

static double bin_error(const struct bin *b)
{
    return b->n > 0 ? fabs(b->p - b->y) / b->n : 0;
}

static void equal_width(const double *p, const uint8_t *y, size_t n, size_t bins,
                        struct sl_calibration *ret)
{
    _cleanup_(free)
    struct bin *cells = sl_calloc(bins, sizeof(*cells));
    for (size_t i = 0; i < n; i++) {
        size_t at = SL_MIN((size_t)(p[i] * (double)bins), bins - 1);
        cells[at].n++;
        cells[at].p += p[i];
        cells[at].y += y[i];
        ret->brier += (p[i] - y[i]) * (p[i] - y[i]) / (double)n;
    }
    for (size_t b = 0; b < bins; b++) {
        ret->ece += cells[b].n / (double)n * bin_error(&cells[b]);
        ret->mce = fmax(ret->mce, bin_error(&cells[b]));
    }
}

static double equal_mass(const double *p, const uint8_t *y, size_t n, size_t bins)
{
    _cleanup_(free)
    struct pair *pairs = sorted_pairs(p, y, n);
    double ece = 0;
    for (size_t b = 0; b < bins; b++) {
        struct bin cell = {0};
        for (size_t i = b * n / bins; i < (b + 1) * n / bins; i++) {
            cell.n++;
            cell.p += pairs[i].score;
            cell.y += pairs[i].y;
        }
        ece += cell.n / (double)n * bin_error(&cell);
    }
    return ece;
}

int sl_calibration(const double *p, const uint8_t *y, size_t n, size_t bins,
                   struct sl_calibration *ret, struct sl_err *err)
{
    int rc = check(p, y, n, true, err);
    if (rc == 0 && (bins == 0 || bins > BINS_MAX)) {
        rc = sl_err_set(err, SL_EINVAL, "%zu bins; 1 to %d are possible", bins, BINS_MAX);
    }
    if (rc < 0) {
        return rc;
    }
    *ret = (struct sl_calibration){.ece_mass = equal_mass(p, y, n, bins)};
    equal_width(p, y, n, bins, ret);
    return 0;
}

/* ---- isotonic ------------------------------------------------------------------------------------- */

/** Equal scores become one pair of their mean. Returns how many remain. */
static size_t join_ties(struct pair *pairs, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && pairs[kept - 1].score == pairs[i].score) {
            struct pair *last = &pairs[kept - 1];
            last->y = (last->y * last->mass + pairs[i].y) / (last->mass + 1);
            last->mass++;
        } else {
            pairs[kept++] = pairs[i];
        }
    }
    return kept;
}

/** Runs of equal fitted value: first and last pair, mean, mass. */
struct block {
    size_t first, last;
    double y, mass;
};

static size_t pool(const struct pair *pairs, size_t n, struct block *blocks)
{
    size_t top = 0;
    for (size_t i = 0; i < n; i++) {
        blocks[top++] = (struct block){i, i, pairs[i].y, pairs[i].mass};
        while (top > 1 && blocks[top - 2].y >= blocks[top - 1].y) {
            struct block *left = &blocks[top - 2];
            const struct block *right = &blocks[top - 1];
            double mass = left->mass + right->mass;
            left->y = (left->y * left->mass + right->y * right->mass) / mass;
            left->mass = mass;
            left->last = right->last;
            top--;
        }
    }
    return top;
}

int sl_isotonic_fit(const double *score, const uint8_t *y, size_t n, struct sl_isotonic *ret,
                    struct sl_err *err)
{
    int rc = check(score, y, n, false, err);
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    struct pair *pairs = sorted_pairs(score, y, n);
    _cleanup_(free)
    struct block *blocks = sl_calloc(n, sizeof(*blocks));
    size_t kept = join_ties(pairs, n);
    size_t n_blocks = pool(pairs, kept, blocks);
    *ret = (struct sl_isotonic){.x = sl_calloc(2 * n_blocks, sizeof(double)),
                                .y = sl_calloc(2 * n_blocks, sizeof(double))};
    for (size_t i = 0; i < n_blocks; i++) {
        size_t ends[] = {blocks[i].first, blocks[i].last};
        for (size_t k = 0; k < (ends[0] == ends[1] ? 1U : 2U); k++) {
            ret->x[ret->n] = pairs[ends[k]].score;
            ret->y[ret->n++] = blocks[i].y;
        }
    }
    return 0;
}

double sl_isotonic_at(const struct sl_isotonic *map, double score)
{
    SL_ASSERT(map->n > 0);
    if (score <= map->x[0]) {
        return map->y[0];
    }
    size_t low = 0;
    size_t high = map->n - 1;
    if (score >= map->x[high]) {
        return map->y[high];
    }
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (map->x[middle] <= score) {
            low = middle;
        } else {
            high = middle;
        }
    }
    double share = (score - map->x[low]) / (map->x[high] - map->x[low]);
    return map->y[low] + share * (map->y[high] - map->y[low]);
}

void sl_isotonic_release(struct sl_isotonic *map)
{
    free(map->x);
    free(map->y);
    *map = (struct sl_isotonic){0};
}

/* ---- Platt ---------------------------------------------------------------------------------------- */

struct platt_fit {
    const double *score;
    const uint8_t *y;
    size_t n;
    double high, low; /* smoothed targets */
};

/** Log-loss of sigmoid(-(a s + b)), without overflow. */
static double platt_loss(const struct platt_fit *f, double a, double b)
{
    double loss = 0;
    for (size_t i = 0; i < f->n; i++) {
        double at = a * f->score[i] + b;
        double target = f->y[i] != 0 ? f->high : f->low;
        loss += at >= 0 ? target * at + log1p(exp(-at)) : (target - 1) * at + log1p(exp(at));
    }
    return loss;
}

/** One Newton step with line search. False when there is nothing left to gain. */
static bool platt_step(const struct platt_fit *f, double *a, double *b, double *loss)
{
    double h11 = 1e-12;
    double h22 = 1e-12;
    double h21 = 0;
    double g1 = 0;
    double g2 = 0;
    for (size_t i = 0; i < f->n; i++) {
        double p = 1 / (1 + exp(*a * f->score[i] + *b));
        double weight = p * (1 - p);
        double off = (f->y[i] != 0 ? f->high : f->low) - p;
        h11 += f->score[i] * f->score[i] * weight;
        h21 += f->score[i] * weight;
        h22 += weight;
        g1 += f->score[i] * off;
        g2 += off;
    }
    if (fabs(g1) < 1e-10 && fabs(g2) < 1e-10) {
        return false;
    }
    double det = h11 * h22 - h21 * h21;
    double da = -(h22 * g1 - h21 * g2) / det;
    double db = -(h11 * g2 - h21 * g1) / det;
    double slope = g1 * da + g2 * db;
    for (double step = 1; step >= 1e-10; step /= 2) {
        double next = platt_loss(f, *a + step * da, *b + step * db);
        if (next < *loss + 1e-4 * step * slope) {
            *a += step * da;
            *b += step * db;
            *loss = next;
            return true;
        }
    }
    return false;
}

int sl_platt_fit(const double *score, const uint8_t *y, size_t n, struct sl_platt *ret,
                 struct sl_err *err)
{
    int rc = check(score, y, n, false, err);
    if (rc < 0) {
        return rc;
    }
    double positives = 0;
    for (size_t i = 0; i < n; i++) {
        positives += y[i];
    }
    double negatives = (double)n - positives;
    struct platt_fit f = {.score = score,
                          .y = y,
                          .n = n,
                          .high = (positives + 1) / (positives + 2),
                          .low = 1 / (negatives + 2)};
    double a = 0;
    double b = log((negatives + 1) / (positives + 1));
    double loss = platt_loss(&f, a, b);
    for (int i = 0; i < 100 && platt_step(&f, &a, &b, &loss); i++) {
    }
    *ret = (struct sl_platt){a, b};
    return 0;
}

double sl_platt_at(const struct sl_platt *map, double score)
{
    return 1 / (1 + exp(map->a * score + map->b));
}

/* ---- CBPE ------------------------------------------------------------------------------------------ */

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

/** AUC with each row counted as `mass` of a positive and the rest of a negative; ties count half. */
static double expected_auc(const double *calibrated, const double *score, size_t n)
{
    _cleanup_(free)
    struct pair *pairs = sl_calloc(n, sizeof(*pairs));
    double positives = 0;
    for (size_t i = 0; i < n; i++) {
        pairs[i] = (struct pair){.score = score[i], .mass = calibrated[i]};
        positives += calibrated[i];
    }
    qsort(pairs, n, sizeof(*pairs), by_score);
    double below = 0; /* negatives with a lower score */
    double wins = 0;
    for (size_t i = 0; i < n;) {
        double p = 0;
        double q = 0;
        size_t j = i;
        for (; j < n && pairs[j].score == pairs[i].score; j++) {
            p += pairs[j].mass;
            q += 1 - pairs[j].mass;
        }
        wins += p * (below + q / 2);
        below += q;
        i = j;
    }
    return ratio(wins, positives * ((double)n - positives));
}

int sl_cbpe(const double *calibrated, const double *score, size_t n, double threshold,
            struct sl_cbpe *ret, struct sl_err *err)
{
    int rc = check(calibrated, NULL, n, true, err);
    rc = rc < 0 ? rc : check(score, NULL, n, false, err);
    if (rc < 0) {
        return rc;
    }
    struct sl_cbpe c = {0};
    for (size_t i = 0; i < n; i++) {
        bool positive = score[i] >= threshold;
        c.tp += positive ? calibrated[i] : 0;
        c.fp += positive ? 1 - calibrated[i] : 0;
        c.fn += positive ? 0 : calibrated[i];
        c.tn += positive ? 0 : 1 - calibrated[i];
    }
    c.accuracy = (c.tp + c.tn) / (double)n;
    c.precision = ratio(c.tp, c.tp + c.fp);
    c.recall = ratio(c.tp, c.tp + c.fn);
    c.f1 = ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn);
    c.specificity = ratio(c.tn, c.tn + c.fp);
    c.auc = expected_auc(calibrated, score, n);
    *ret = c;
    return 0;
}
