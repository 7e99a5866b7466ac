/* Maximum mean discrepancy with permutations: see multivariate.h. Pure.
 *
 * The kernel matrix is never held: one row of it at a time is folded into every permutation's sum, so memory is
 * O(rows x permutations) bits and not O(rows^2). */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/stats/rows_priv.h"

#define MEDIAN_ROWS      2000
#define PERMUTATIONS_MAX 10000

static double distance2(const double *a, const double *b, size_t columns)
{
    double sum = 0;
    for (size_t k = 0; k < columns; k++) {
        sum += (a[k] - b[k]) * (a[k] - b[k]);
    }
    return sum;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/** Half the median squared distance between different pooled rows. */
static double median_sigma2(const struct sl_row_sets *in)
{
    struct sl_row_sets part = *in;
    part.n = SL_MIN(in->n, (size_t)MEDIAN_ROWS);
    part.m = SL_MIN(in->m, (size_t)MEDIAN_ROWS);
    size_t rows = part.n + part.m;
    size_t pairs = rows * (rows - 1) / 2;
    _cleanup_(free)
    double *d2 = sl_calloc(pairs, sizeof(*d2));
    size_t at = 0;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = i + 1; j < rows; j++) {
            d2[at++] = distance2(sl_row(&part, i), sl_row(&part, j), in->columns);
        }
    }
    qsort(d2, pairs, sizeof(*d2), ascending);
    double median = (d2[(pairs - 1) / 2] + d2[pairs / 2]) / 2;
    return median > 0 ? median / 2 : 1;
}

/** Sums of the kernel over pairs of different rows: all, and per split those within its first set and its rows. */
struct sums {
    double all;
    double *within; /* splits */
    double *rows;   /* splits: over rows of the first set of their whole row sum */
};

/** in_first[split * rows + i]: row i belongs to the first set of that split. */
static void fold_rows(const struct sl_row_sets *in, double sigma2, const uint8_t *in_first,
                      size_t splits, struct sums *ret)
{
    size_t rows = in->n + in->m;
    _cleanup_(free)
    double *kernel = sl_calloc(rows, sizeof(*kernel));
    for (size_t i = 0; i < rows; i++) {
        double total = 0;
        for (size_t j = 0; j < rows; j++) {
            double d2 = distance2(sl_row(in, i), sl_row(in, j), in->columns);
            kernel[j] = i == j ? 0 : exp(-d2 / (2 * sigma2));
            total += kernel[j];
        }
        ret->all += total;
        for (size_t s = 0; s < splits; s++) {
            const uint8_t *first = in_first + s * rows;
            if (first[i] == 0) {
                continue;
            }
            double within = 0;
            for (size_t j = 0; j < rows; j++) {
                within += kernel[j] * first[j];
            }
            ret->within[s] += within;
            ret->rows[s] += total;
        }
    }
}

static double mmd2_of(const struct sl_row_sets *in, double all, double within, double first_rows)
{
    double n = (double)in->n;
    double m = (double)in->m;
    double across = first_rows - within;
    double other = all - within - 2 * across;
    return within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * across / (n * m);
}

/** Split 0 is the true one; the others are shuffled. Caller frees. */
static uint8_t *make_splits(const struct sl_row_sets *in, size_t splits, uint64_t seed)
{
    size_t rows = in->n + in->m;
    uint8_t *in_first = sl_calloc(splits * rows, 1);
    _cleanup_(free)
    uint32_t *order = sl_calloc(rows, sizeof(*order));
    for (size_t i = 0; i < rows; i++) {
        order[i] = (uint32_t)i;
    }
    for (size_t s = 0; s < splits; s++) {
        for (size_t i = 0; i < in->n; i++) {
            in_first[s * rows + order[i]] = 1;
        }
        sl_random_shuffle(order, rows, &seed);
    }
    return in_first;
}

int sl_mmd(const struct sl_row_sets *in, double sigma2, unsigned permutations, uint64_t seed,
           struct sl_mmd *ret, struct sl_err *err)
{
    int rc = sl_rows_check(in, err);
    if (rc == 0 && (permutations > PERMUTATIONS_MAX || !(sigma2 >= 0))) {
        rc = sl_err_set(err, SL_EINVAL, "permutations are 0 to %d and sigma2 is not negative",
                        PERMUTATIONS_MAX);
    }
    if (rc < 0) {
        return rc;
    }
    size_t splits = permutations + 1;
    sigma2 = sigma2 > 0 ? sigma2 : median_sigma2(in);
    _cleanup_(free)
    uint8_t *in_first = make_splits(in, splits, seed);
    _cleanup_(free)
    double *cells = sl_calloc(2 * splits, sizeof(*cells));
    struct sums sums = {.within = cells, .rows = cells + splits};
    fold_rows(in, sigma2, in_first, splits, &sums);
    double value = mmd2_of(in, sums.all, sums.within[0], sums.rows[0]);
    double at_least = 0;
    for (size_t s = 1; s < splits; s++) {
        at_least += mmd2_of(in, sums.all, sums.within[s], sums.rows[s]) >= value ? 1 : 0;
    }
    *ret = (struct sl_mmd){
        .mmd2 = value, .sigma2 = sigma2, .p = (1 + at_least) / (1 + (double)permutations)};
    return 0;
}
