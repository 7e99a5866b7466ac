/**
 * How good predictions are: classification and regression, each number with its 95 % interval where one is known.
 *
 * Pure. Thread: any. Slices are subsets that the caller picks.
 */
#ifndef SL_STATS_QUALITY_H
#define SL_STATS_QUALITY_H

#include <stdint.h>

#include "core/base/err.h"

/** A number and its interval; low = high = NaN without one; value NaN where undefined (no positives ...). */
struct sl_estimate {
    double value, low, high;
};

struct sl_binary_quality {
    uint64_t tp, fp, tn, fn;
    struct sl_estimate accuracy, precision, recall, specificity; /* Wilson intervals */
    double f1, balanced_accuracy, mcc;
    struct sl_estimate auc;   /* DeLong variance on the logit scale */
    double average_precision; /* step-wise, ties together */
    double log_loss;          /* of scores in 0..1, clipped to 1e-15; else NaN */
};
/** score >= threshold means positive. -SL_EINVAL: n = 0, a score not finite, a label not 0 or 1. */
int sl_binary_quality(const double *score, const uint8_t *y, size_t n, double threshold,
                      struct sl_binary_quality *ret, struct sl_err *err) SL_MUST_CHECK;

struct sl_regression_quality {
    struct sl_estimate mae, bias; /* normal intervals of the mean */
    struct sl_estimate rmse;      /* of the mean square, by its normal interval */
    double r2, mape;              /* mape over rows with y != 0, as a share */
};
int sl_regression_quality(const double *predicted, const double *y, size_t n,
                          struct sl_regression_quality *ret, struct sl_err *err) SL_MUST_CHECK;

/** Wilson's interval of k of n at 95 %. n > 0. */
struct sl_estimate sl_wilson(double k, double n);

/** AUC of scores with labels and its DeLong variance (midranks; Sun and Xu 2014). NaN when one class is missing. */
void sl_auc(const double *score, const uint8_t *y, size_t n, double *ret_auc, double *ret_variance);

#endif
