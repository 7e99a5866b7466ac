/**
 * Tails of standard laws. Accurate to about 1e-13 relative where the tail is above 1e-300.
 *
 * Pure. Thread: any.
 */
#ifndef SL_STATS_SPECIAL_H
#define SL_STATS_SPECIAL_H

/** P(Z >= z) of the standard normal law. */
double sl_norm_sf(double z);

/** z with P(Z <= z) = p, 0 < p < 1; infinities at 0 and 1. Acklam's approximation and one Halley step. */
double sl_norm_quantile(double p);

/** P(X >= x) of the chi-squared law with df > 0 degrees of freedom; 1 for x <= 0. */
double sl_chi2_sf(double x, double df);

/** Upper regularised incomplete gamma function Q(a, x), a > 0, x >= 0. Series below a + 1, else Lentz's
 * continued fraction (Numerical Recipes, 6.2). */
double sl_gamma_q(double a, double x);

/** Regularised incomplete beta function I_x(a, b), a, b > 0, 0 <= x <= 1 (continued fraction, DLMF 8.17.22). */
double sl_beta_inc(double a, double b, double x);

/** Two-sided P(|T| >= |t|) of Student's law. */
double sl_student_two_sided(double t, double df);

/** Modified Bessel function of the second kind, order nu, x > 0: trapezoidal rule on its integral over cosh. */
double sl_bessel_k(double nu, double x);

#endif
