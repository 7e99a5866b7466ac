/* Null laws of the Kolmogorov-Smirnov distance: see stats.h. Pure. */
#include "core/base/base.h"

#include "core/stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define EXACT_MAX  10000
#define MATRIX_MAX 1000 /* one-sample size up to which the exact matrix form is used */

/* ---- two samples, exact ------------------------------------------------------------------------- */

static size_t gcd(size_t a, size_t b)
{
    while (b != 0) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/**
 * Share of lattice paths from (0,0) to (m,n) that leave the band |i/m - j/n| < h/lcm (Hodges 1957, "inside"
 * recursion in proportions, so that nothing overflows). m >= n.
 */
static double outside_share(size_t m, size_t n, size_t g, int64_t h)
{
    int64_t mg = (int64_t)(m / g);
    int64_t ng = (int64_t)(n / g);
    int64_t low = 0;
    int64_t high = SL_MIN((h + mg - 1) / mg, (int64_t)n + 1);
    size_t room = (size_t)SL_MIN(2 * high + 2, (int64_t)n + 1);
    _cleanup_(free)
    double *share = sl_calloc(room + 2, sizeof(*share));
    for (size_t i = (size_t)high; i < room; i++) {
        share[i] = 1;
    }
    int64_t width = high - low;
    for (int64_t i = 1; i <= (int64_t)m; i++) {
        int64_t last_low = low;
        int64_t last_width = width;
        int64_t edge = ng * i - h;
        low = edge < 0 ? 0 : SL_MIN(edge / mg + 1, (int64_t)n);
        high = SL_MIN((ng * i + h + mg - 1) / mg, (int64_t)n + 1);
        if (high <= low) {
            return 1;
        }
        double value = low == 0 ? 0 : 1;
        width = high - low;
        for (int64_t k = 0; k < width; k++) {
            int64_t j = k + low;
            size_t from = (size_t)(j - last_low);
            double below = (int64_t)from < last_width ? share[from] : 1;
            value = (below * (double)i + value * (double)j) / (double)(i + j);
            share[k] = value;
        }
    }
    return share[width - 1];
}

static double exact_p(double d, size_t n, size_t m)
{
    size_t g = gcd(n, m);
    double lcm = (double)(n / g) * (double)m;
    int64_t h = llround(d * lcm);
    if (h <= 0) {
        return 1;
    }
    double p = n >= m ? outside_share(n, m, g, h) : outside_share(m, n, g, h);
    return fmin(1, fmax(0, p));
}

double sl_ks_p(double d, size_t n, size_t m)
{
    if (SL_MAX(n, m) <= EXACT_MAX) {
        return exact_p(d, n, m);
    }
    double a = (double)n;
    double b = (double)m;
    return sl_ks_one_sample_sf(d, nearbyint(a * b / (a + b)));
}

/* ---- one sample ---------------------------------------------------------------------------------- */

/** P(D+ >= d), exact (Birnbaum and Tingey 1951): every term is positive. */
static double one_sided_sf(double d, double n)
{
    double sum = 0;
    double last = floor(n * (1 - d));
    for (double j = 0; j <= last; j++) {
        double a = d + j / n;
        double b = 1 - a;
        double term = lgamma(n + 1) - lgamma(j + 1) - lgamma(n - j + 1) + (j - 1) * log(a);
        term += b > 0 ? (n - j) * log(b) : (n - j > 0 ? -INFINITY : 0);
        sum += exp(term);
    }
    return fmin(1, d * sum);
}

struct matrix {
    size_t side;
    double *cells;
    int exponent; /* cells times 10^exponent */
};

static void multiply(const double *a, const double *b, double *out, size_t side)
{
    memset(out, 0, side * side * sizeof(*out));
    for (size_t i = 0; i < side; i++) {
        for (size_t k = 0; k < side; k++) {
            double left = a[i * side + k];
            for (size_t j = 0; j < side; j++) {
                out[i * side + j] += left * b[k * side + j];
            }
        }
    }
}

static void rescale(struct matrix *m)
{
    size_t centre = m->side / 2 * m->side + m->side / 2;
    if (m->cells[centre] > 1e140) {
        for (size_t i = 0; i < m->side * m->side; i++) {
            m->cells[i] *= 1e-140;
        }
        m->exponent += 140;
    }
}

/** power := base^n by squaring; `spare` is a third matrix. */
static void raise_to(struct matrix *base, struct matrix *power, struct matrix *spare, unsigned n)
{
    size_t bytes = base->side * base->side * sizeof(double);
    for (; n > 0; n >>= 1) {
        if ((n & 1) != 0) {
            multiply(power->cells, base->cells, spare->cells, base->side);
            memcpy(power->cells, spare->cells, bytes);
            power->exponent += base->exponent;
            rescale(power);
        }
        multiply(base->cells, base->cells, spare->cells, base->side);
        memcpy(base->cells, spare->cells, bytes);
        base->exponent *= 2;
        rescale(base);
    }
}

static void fill_durbin(struct matrix *m, double h)
{
    size_t side = m->side;
    for (size_t i = 0; i < side; i++) {
        for (size_t j = 0; j < side; j++) {
            m->cells[i * side + j] = i + 1 >= j ? 1 : 0;
        }
    }
    for (size_t i = 0; i < side; i++) {
        m->cells[i * side] -= pow(h, (double)(i + 1));
        m->cells[(side - 1) * side + i] -= pow(h, (double)(side - i));
    }
    m->cells[(side - 1) * side] += 2 * h - 1 > 0 ? pow(2 * h - 1, (double)side) : 0;
    for (size_t i = 0; i < side; i++) {
        for (size_t j = 0; j < side; j++) {
            for (size_t g = 1; i + 1 > j && g <= i + 1 - j; g++) {
                m->cells[i * side + j] /= (double)g;
            }
        }
    }
}

/** P(D_n < d), exact: Durbin's matrix as Marsaglia, Tsang and Wang (2003) raise it. */
static double matrix_cdf(double d, unsigned n)
{
    size_t k = (size_t)(n * d) + 1;
    double h = (double)k - n * d;
    size_t side = 2 * k - 1;
    _cleanup_(free)
    double *cells = sl_calloc(3 * side * side, sizeof(*cells));
    struct matrix base = {side, cells, 0};
    struct matrix power = {side, cells + side * side, 0};
    struct matrix spare = {side, cells + 2 * side * side, 0};
    fill_durbin(&base, h);
    for (size_t i = 0; i < side; i++) {
        power.cells[i * side + i] = 1;
    }
    raise_to(&base, &power, &spare, n);
    double s = power.cells[(k - 1) * side + k - 1];
    int exponent = power.exponent;
    for (unsigned i = 1; i <= n; i++) {
        s = s * i / n;
        if (s < 1e-140) {
            s *= 1e140;
            exponent -= 140;
        }
    }
    return s * pow(10, exponent);
}

/** P(D_n < d) by the expansion of Pelz and Good (1976), error O(1/n^2). */
static double pelz_good_cdf(double d, double n)
{
    double z = sqrt(n) * d;
    double z2 = z * z;
    double z4 = z2 * z2;
    double z6 = z4 * z2;
    const double pi2 = M_PI * M_PI;
    const double pi4 = pi2 * pi2;
    const double pi6 = pi4 * pi2;
    double k[4] = {0};
    for (int i = 0; i < 100; i++) {
        double m = i + 0.5;
        double m2 = m * m;
        double e = exp(-m2 * pi2 / (2 * z2));
        k[0] += e;
        k[1] += e * (pi2 * m2 - z2);
        k[2] += e * (6 * z6 + 2 * z4 + pi2 * (2 * z4 - 5 * z2) * m2 + pi4 * (1 - 2 * z2) * m2 * m2);
        k[3] += e * (-30 * z6 - 90 * z6 * z2 + pi2 * (135 * z4 - 96 * z6) * m2 +
                     pi4 * (212 * z4 - 60 * z2) * m2 * m2 + pi6 * (5 - 30 * z2) * m2 * m2 * m2);
    }
    double extra2 = 0;
    double extra3 = 0;
    for (int i = 1; i < 100; i++) {
        double w2 = (double)i * i;
        double f = exp(-w2 * pi2 / (2 * z2));
        extra2 += f * w2;
        extra3 += f * (3 * pi2 * w2 * z2 - pi4 * w2 * w2);
    }
    double root = sqrt(2 * M_PI);
    double half = sqrt(M_PI / 2);
    double a = k[0] * root / z;
    double b = k[1] * half / (3 * z4);
    double c = k[2] * half / (36 * z6 * z) - extra2 * pi2 * half / (18 * z2 * z);
    double e = k[3] * half / (3240 * z6 * z4) + extra3 * half / (108 * z6);
    return a + b / sqrt(n) + c / n + e / (n * sqrt(n));
}

double sl_ks_one_sample_sf(double d, double n)
{
    if (n < 1 || d <= 0.5 / n) {
        return 1;
    }
    if (d >= 1) {
        return 0;
    }
    if (n * d * d >= 4) { /* both sides at once is beyond the last digit there */
        return fmin(1, 2 * one_sided_sf(d, n));
    }
    double cdf = n <= MATRIX_MAX ? matrix_cdf(d, (unsigned)n) : pelz_good_cdf(d, n);
    return fmin(1, fmax(0, 1 - cdf));
}
