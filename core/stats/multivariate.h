/**
 * Differences of whole rows: maximum mean discrepancy, and a classifier that tries to tell the two sets apart.
 *
 * Pure; randomness comes from the seed. Thread: any (slow: a lane or a work process).
 */
#ifndef SL_STATS_MULTIVARIATE_H
#define SL_STATS_MULTIVARIATE_H

#include <stdint.h>

#include "core/base/err.h"

#define SL_STATS_ROWS_MAX    100000
#define SL_STATS_COLUMNS_MAX 1000

/** Two sets of rows, row by row, finite. */
struct sl_row_sets {
    const double *ref, *cur;
    size_t n, m;    /* rows, each at least 2; together at most SL_STATS_ROWS_MAX */
    size_t columns; /* 1..SL_STATS_COLUMNS_MAX */
};

struct sl_mmd {
    double mmd2;   /* unbiased, so it may be below zero */
    double sigma2; /* of the kernel exp(-d^2 / (2 sigma2)); store it with the score */
    double p;      /* (1 + #{permuted >= mmd2}) / (1 + permutations) */
};
/**
 * @param sigma2        0: half the median of the pooled squared distances between different rows (at most the
 *                      first 2,000 of each set take part in that)
 * @param permutations  0..10,000
 */
int sl_mmd(const struct sl_row_sets *in, double sigma2, unsigned permutations, uint64_t seed,
           struct sl_mmd *ret, struct sl_err *err) SL_MUST_CHECK;

struct sl_domain {
    double auc;       /* out of fold; 0.5: the sets cannot be told apart */
    double low, high; /* 95 % */
};
/**
 * Five-fold logistic regression (ridge 1, standardised columns) between the sets.
 * @param ret_weight  `columns` numbers: mean absolute weight of each standardised column, the culprits' order
 */
int sl_domain_auc(const struct sl_row_sets *in, uint64_t seed, struct sl_domain *ret,
                  double *ret_weight, struct sl_err *err) SL_MUST_CHECK;

#endif
