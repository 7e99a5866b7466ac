/* A classifier between two sets of rows: see multivariate.h. Pure. */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/stats/quality.h"
#include "core/stats/rows_priv.h"

#define FOLDS       5
#define RIDGE       1.0
#define NEWTON_MAX  50
#define NEWTON_STOP 1e-8
#define Z95         1.959963984540054

/** The pooled rows, standardised, with a 1 before them. */
struct design {
    double *x; /* rows x width */
    size_t rows, width;
    uint8_t *y;    /* 1: current */
    uint8_t *fold; /* 0..FOLDS-1, each set spread evenly */
};

static void design_release(struct design *d)
{
    free(d->x);
    free(d->y);
    free(d->fold);
}

static void standardise(struct design *d, size_t column)
{
    double mean = 0;
    double square = 0;
    for (size_t i = 0; i < d->rows; i++) {
        double delta = d->x[i * d->width + column] - mean;
        mean += delta / (double)(i + 1);
        square += delta * (d->x[i * d->width + column] - mean);
    }
    double scale = sqrt(square / (double)d->rows);
    for (size_t i = 0; i < d->rows; i++) {
        double *x = &d->x[i * d->width + column];
        *x = scale > 0 ? (*x - mean) / scale : 0;
    }
}

static void spread_folds(struct design *d, size_t first, size_t count, uint64_t *seed)
{
    _cleanup_(free)
    uint32_t *order = sl_calloc(count, sizeof(*order));
    for (size_t i = 0; i < count; i++) {
        order[i] = (uint32_t)i;
    }
    sl_random_shuffle(order, count, seed);
    for (size_t i = 0; i < count; i++) {
        d->fold[first + order[i]] = (uint8_t)(i % FOLDS);
    }
}

static struct design design_of(const struct sl_row_sets *in, uint64_t seed)
{
    struct design d = {.rows = in->n + in->m, .width = in->columns + 1};
    d.x = sl_calloc(d.rows * d.width, sizeof(*d.x));
    d.y = sl_calloc(d.rows, 1);
    d.fold = sl_calloc(d.rows, 1);
    for (size_t i = 0; i < d.rows; i++) {
        d.x[i * d.width] = 1;
        memcpy(d.x + i * d.width + 1, sl_row(in, i), in->columns * sizeof(double));
        d.y[i] = i >= in->n ? 1 : 0;
    }
    for (size_t k = 1; k < d.width; k++) {
        standardise(&d, k);
    }
    spread_folds(&d, 0, in->n, &seed);
    spread_folds(&d, in->n, in->m, &seed);
    return d;
}

static double predict(const struct design *d, const double *weight, size_t row)
{
    double sum = 0;
    for (size_t k = 0; k < d->width; k++) {
        sum += weight[k] * d->x[row * d->width + k];
    }
    return sum;
}

/** Solves the symmetric positive definite system in place (Cholesky); b becomes the answer. */
static void solve(double *a, double *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++) {
                sum -= a[i * n + k] * a[j * n + k];
            }
            a[i * n + j] = i == j ? sqrt(fmax(sum, 1e-12)) : sum / a[j * n + j];
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            b[i] -= a[i * n + k] * b[k];
        }
        b[i] /= a[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++) {
            b[i] -= a[k * n + i] * b[k];
        }
        b[i] /= a[i * n + i];
    }
}

/** Gradient and Hessian of the penalised likelihood over all rows outside the fold. */
static void gather(const struct design *d, const double *weight, int fold, double *hessian,
                   double *gradient)
{
    size_t w = d->width;
    memset(hessian, 0, w * w * sizeof(*hessian));
    for (size_t k = 0; k < w; k++) {
        double ridge = k > 0 ? RIDGE : 0;
        hessian[k * w + k] = ridge;
        gradient[k] = -ridge * weight[k];
    }
    for (size_t i = 0; i < d->rows; i++) {
        if (d->fold[i] == fold) {
            continue;
        }
        const double *x = d->x + i * w;
        double p = 1 / (1 + exp(-predict(d, weight, i)));
        double curve = fmax(p * (1 - p), 1e-10);
        for (size_t k = 0; k < w; k++) {
            gradient[k] += (d->y[i] - p) * x[k];
            for (size_t j = 0; j <= k; j++) {
                hessian[k * w + j] += curve * x[k] * x[j];
            }
        }
    }
}

static void fit(const struct design *d, int fold, double *weight, double *room)
{
    double *step = room + d->width * d->width;
    memset(weight, 0, d->width * sizeof(*weight));
    for (int i = 0; i < NEWTON_MAX; i++) {
        gather(d, weight, fold, room, step);
        solve(room, step, d->width);
        double largest = 0;
        for (size_t k = 0; k < d->width; k++) {
            weight[k] += step[k];
            largest = fmax(largest, fabs(step[k]));
        }
        if (largest < NEWTON_STOP) {
            break;
        }
    }
}

static void out_of_fold(const struct design *d, double *score, double *ret_weight)
{
    _cleanup_(free)
    double *weight = sl_calloc(d->width, sizeof(*weight));
    _cleanup_(free)
    double *room = sl_calloc(d->width * (d->width + 1), sizeof(*room));
    memset(ret_weight, 0, (d->width - 1) * sizeof(*ret_weight));
    for (int fold = 0; fold < FOLDS; fold++) {
        fit(d, fold, weight, room);
        for (size_t i = 0; i < d->rows; i++) {
            if (d->fold[i] == fold) {
                score[i] = predict(d, weight, i);
            }
        }
        for (size_t k = 1; k < d->width; k++) {
            ret_weight[k - 1] += fabs(weight[k]) / FOLDS;
        }
    }
}

int sl_domain_auc(const struct sl_row_sets *in, uint64_t seed, struct sl_domain *ret,
                  double *ret_weight, struct sl_err *err)
{
    int rc = sl_rows_check(in, err);
    if (rc == 0 && SL_MIN(in->n, in->m) < FOLDS) {
        rc = sl_err_set(err, SL_EINVAL, "each set needs %d rows or more", FOLDS);
    }
    if (rc < 0) {
        return rc;
    }
    struct design d = design_of(in, seed);
    _cleanup_(free)
    double *score = sl_calloc(d.rows, sizeof(*score));
    double variance = 0;
    out_of_fold(&d, score, ret_weight);
    sl_auc(score, d.y, d.rows, &ret->auc, &variance);
    double half = Z95 * sqrt(fmax(0, variance));
    ret->low = fmax(0, ret->auc - half);
    ret->high = fmin(1, ret->auc + half);
    design_release(&d);
    return 0;
}
