/* Tails of standard laws: see special.h. Pure. */
#include "core/base/base.h"

#include "core/stats/special.h"

#include <float.h>
#include <math.h>

#define ITERATIONS_MAX 100000
#define TINY           1e-300

double sl_norm_sf(double z)
{
    return 0.5 * erfc(z * M_SQRT1_2);
}

/* Coefficients of P. J. Acklam's rational approximation (relative error 1.15e-9 before the step). */
static double quantile_start(double p)
{
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                               -2.759285104469687e+02, 1.383577518672690e+02,
                               -3.066479806614716e+01, 2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                               -1.556989798598866e+02, 6.680131188771972e+01,
                               -1.328068155288572e+01};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                               -2.400758277161838e+00, -2.549732539343734e+00,
                               4.374664141464968e+00,  2.938163982698783e+00};
    static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    const double low = 0.02425;
    if (p < low || p > 1 - low) {
        double q = sqrt(-2 * log(p < low ? p : 1 - p));
        double x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
                   ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
        return p < low ? x : -x;
    }
    double q = p - 0.5;
    double r = q * q;
    return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
           (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

double sl_norm_quantile(double p)
{
    if (p <= 0 || p >= 1) {
        return p <= 0 ? -INFINITY : INFINITY;
    }
    double x = quantile_start(p);
    double e = 0.5 * erfc(-x * M_SQRT1_2) - p;
    double u = e * sqrt(2 * M_PI) * exp(x * x / 2);
    return x - u / (1 + x * u / 2);
}

/** Lower function by its series; right below a + 1. */
static double gamma_p_series(double a, double x)
{
    double term = 1 / a;
    double sum = term;
    for (int i = 1; i < ITERATIONS_MAX; i++) {
        term *= x / (a + i);
        sum += term;
        if (fabs(term) < fabs(sum) * DBL_EPSILON) {
            break;
        }
    }
    return sum * exp(-x + a * log(x) - lgamma(a));
}

static double gamma_q_fraction(double a, double x)
{
    double b = x + 1 - a;
    double c = 1 / TINY;
    double d = 1 / b;
    double h = d;
    for (int i = 1; i < ITERATIONS_MAX; i++) {
        double an = -i * (i - a);
        b += 2;
        d = an * d + b;
        d = fabs(d) < TINY ? 1 / TINY : 1 / d;
        c = b + an / c;
        c = fabs(c) < TINY ? TINY : c;
        h *= d * c;
        if (fabs(d * c - 1) < DBL_EPSILON) {
            break;
        }
    }
    return exp(-x + a * log(x) - lgamma(a)) * h;
}

double sl_gamma_q(double a, double x)
{
    if (x <= 0) {
        return 1;
    }
    return x < a + 1 ? 1 - gamma_p_series(a, x) : gamma_q_fraction(a, x);
}

double sl_chi2_sf(double x, double df)
{
    return x <= 0 ? 1 : sl_gamma_q(df / 2, x / 2);
}

/** Lentz's method on the even and odd terms of DLMF 8.17.22. */
static double beta_fraction(double a, double b, double x)
{
    double c = 1;
    double d = 1 - (a + b) * x / (a + 1);
    d = fabs(d) < TINY ? 1 / TINY : 1 / d;
    double h = d;
    for (int m = 1; m < ITERATIONS_MAX; m++) {
        double factor = 1;
        for (int odd = 0; odd < 2; odd++) {
            double term = odd == 0 ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                                   : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
            d = 1 + term * d;
            d = fabs(d) < TINY ? 1 / TINY : 1 / d;
            c = 1 + term / c;
            c = fabs(c) < TINY ? TINY : c;
            factor = d * c;
            h *= factor;
        }
        if (fabs(factor - 1) < DBL_EPSILON) {
            break;
        }
    }
    return h;
}

double sl_beta_inc(double a, double b, double x)
{
    if (x <= 0 || x >= 1) {
        return x <= 0 ? 0 : 1;
    }
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) {
        return front * beta_fraction(a, b, x) / a;
    }
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double sl_student_two_sided(double t, double df)
{
    return sl_beta_inc(df / 2, 0.5, df / (df + t * t));
}

double sl_bessel_k(double nu, double x)
{
    const double step = 1.0 / 64; /* the trapezoidal rule converges faster than any power here */
    double sum = 0.5 * exp(-x);
    for (int i = 1; i < ITERATIONS_MAX; i++) {
        double t = i * step;
        double term = exp(-x * cosh(t)) * cosh(nu * t);
        sum += term;
        if (term < sum * 1e-18) {
            break;
        }
    }
    return sum * step;
}
