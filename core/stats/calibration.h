/**
 * How far predicted probabilities can be believed, and maps that make them believable.
 *
 * Pure. Thread: any. Labels are 0 or 1; probabilities lie in 0..1, scores are any finite number.
 */
#ifndef SL_STATS_CALIBRATION_H
#define SL_STATS_CALIBRATION_H

#include <stdint.h>

#include "core/base/err.h"

struct sl_calibration {
    double ece;      /* expected calibration error, equal-width bins */
    double mce;      /* largest error of a bin */
    double ece_mass; /* expected error over bins of equal mass */
    double brier;    /* mean (p - y)^2 */
};

/** @param bins 1..1000; equal-width bin of p is min(floor(bins p), bins - 1). -SL_EINVAL for n = 0, bad p, y or bins. */
int sl_calibration(const double *p, const uint8_t *y, size_t n, size_t bins,
                   struct sl_calibration *ret, struct sl_err *err) SL_MUST_CHECK;

/** A non-decreasing step-free map: linear between the knots, flat outside. */
struct sl_isotonic {
    double *x, *y; /* n ascending knots */
    size_t n;
};
/** Least squares under monotony: pool adjacent violators, equal scores first averaged. Owner: caller, release. */
int sl_isotonic_fit(const double *score, const uint8_t *y, size_t n, struct sl_isotonic *ret,
                    struct sl_err *err) SL_MUST_CHECK;
double sl_isotonic_at(const struct sl_isotonic *map, double score);
void sl_isotonic_release(struct sl_isotonic *map);

/** p = 1 / (1 + exp(a score + b)). */
struct sl_platt {
    double a, b;
};
/** Newton's method with the smoothed targets of Platt, as Lin, Lin and Weng (2007) give it. -SL_EINVAL for n = 0. */
int sl_platt_fit(const double *score, const uint8_t *y, size_t n, struct sl_platt *ret,
                 struct sl_err *err) SL_MUST_CHECK;
double sl_platt_at(const struct sl_platt *map, double score);

/** Performance without labels (CBPE): valid while only the inputs shift; a changed concept is invisible to it. */
struct sl_cbpe {
    double tp, fp, tn, fn;                                    /* expected counts */
    double accuracy, precision, recall, f1, specificity, auc; /* NaN where undefined */
};
/** @param calibrated believable probabilities; @param score what `threshold` decides on (score >= threshold: positive) */
int sl_cbpe(const double *calibrated, const double *score, size_t n, double threshold,
            struct sl_cbpe *ret, struct sl_err *err) SL_MUST_CHECK;

#endif
