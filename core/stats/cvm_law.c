/* The limiting Cramér-von Mises law: see stats.h. Pure.
 * Anderson and Darling (1952), as the series of Csörgő and Faraway (1996), equation 1.2. */
#include "core/base/base.h"

#include "core/stats/stats.h"

#include <math.h>

#include "core/stats/special.h"

#define TERMS_MAX 1000

double sl_cvm_limit_sf(double t)
{
    if (t < 0.003) {
        return 1; /* the series loses its digits there; the law has none left */
    }
    double sum = 0;
    for (int k = 0; k < TERMS_MAX; k++) {
        double u = exp(lgamma(k + 0.5) - lgamma(k + 1.0)) / (pow(M_PI, 1.5) * sqrt(t));
        double y = 4.0 * k + 1;
        double q = y * y / (16 * t);
        double term = q > 700 ? 0 : u * sqrt(y) * exp(-q) * sl_bessel_k(0.25, q);
        sum += term;
        if (fabs(term) < 1e-14) {
            break;
        }
    }
    return fmin(1, fmax(0, 1 - sum));
}
