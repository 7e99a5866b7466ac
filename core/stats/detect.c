/* Detectors of change in a stream: see detect.h. Pure. */
#include "core/base/base.h"

#include "core/stats/detect.h"

#include <math.h>
#include <string.h>

#define DDM_WARM_UP    30
#define DDM_WARNING    2.0
#define DDM_DRIFT      3.0
#define ADWIN_WARM_UP  10
#define ADWIN_SIDE_MIN 5

enum sl_change sl_ddm_add(struct sl_ddm *d, double error)
{
    d->n++;
    d->mean += (error - d->mean) / d->n;
    if (d->n < DDM_WARM_UP) {
        return SL_CHANGE_NONE;
    }
    double s = sqrt(d->mean * (1 - d->mean) / d->n);
    if (!d->has_least || d->mean + s < d->least_p + d->least_s) {
        d->least_p = d->mean;
        d->least_s = s;
        d->has_least = true;
    }
    double level = d->mean + s;
    if (level > d->least_p + DDM_DRIFT * d->least_s) {
        *d = (struct sl_ddm){0};
        return SL_CHANGE_DRIFT;
    }
    return level > d->least_p + DDM_WARNING * d->least_s ? SL_CHANGE_WARNING : SL_CHANGE_NONE;
}

void sl_page_hinkley_init(struct sl_page_hinkley *d)
{
    *d = (struct sl_page_hinkley){.delta = 0.005, .lambda = 50};
}

enum sl_change sl_page_hinkley_add(struct sl_page_hinkley *d, double x)
{
    d->n++;
    d->mean += (x - d->mean) / d->n;
    d->sum += x - d->mean - d->delta;
    d->least = fmin(d->least, d->sum);
    if (d->sum - d->least <= d->lambda) {
        return SL_CHANGE_NONE;
    }
    d->n = d->mean = d->sum = d->least = 0;
    return SL_CHANGE_DRIFT;
}

/* ---- ADWIN ----------------------------------------------------------------------------------------- */

void sl_adwin_init(struct sl_adwin *d)
{
    *d = (struct sl_adwin){.delta = 0.002, .check_every = 32, .n_rows = 1};
}

static double row_size(int row)
{
    return ldexp(1, row);
}

static void remove_first(struct sl_adwin *d, int row, int count)
{
    int left = d->n_buckets[row] - count;
    memmove(d->sums[row], d->sums[row] + count, (size_t)left * sizeof(double));
    memmove(d->vars[row], d->vars[row] + count, (size_t)left * sizeof(double));
    d->n_buckets[row] = left;
}

static void append(struct sl_adwin *d, int row, double sum, double var)
{
    d->sums[row][d->n_buckets[row]] = sum;
    d->vars[row][d->n_buckets[row]++] = var;
}

/** Two oldest buckets of a full row join into one of the next. */
static void compress(struct sl_adwin *d)
{
    for (int row = 0; row < d->n_rows && d->n_buckets[row] > SL_ADWIN_BUCKETS; row++) {
        SL_ASSERT(row + 1 < SL_ADWIN_ROWS); /* 2^40 values */
        d->n_rows = SL_MAX(d->n_rows, row + 2);
        double size = row_size(row);
        double a = d->sums[row][0];
        double b = d->sums[row][1];
        double apart = (a - b) / size;
        append(d, row + 1, a + b, d->vars[row][0] + d->vars[row][1] + size * apart * apart / 2);
        remove_first(d, row, 2);
    }
}

static void drop_oldest(struct sl_adwin *d)
{
    int row = d->n_rows - 1;
    double size = row_size(row);
    double sum = d->sums[row][0];
    double mean = sum / size;
    d->width -= size;
    d->total -= sum;
    if (d->width > 0) {
        double apart = mean - d->total / d->width;
        d->variance -= d->vars[row][0] + size * d->width / (size + d->width) * apart * apart;
        d->variance = fmax(0, d->variance);
    }
    remove_first(d, row, 1);
    while (d->n_rows > 1 && d->n_buckets[d->n_rows - 1] == 0) {
        d->n_rows--;
    }
}

/** Whether the window, cut after its oldest n0 values (sum0), has two different means. */
static bool differ(const struct sl_adwin *d, double n0, double sum0)
{
    double n1 = d->width - n0;
    double apart = fabs(sum0 / n0 - (d->total - sum0) / n1);
    double log_term = log(2 * log(d->width) / d->delta);
    double harmonic = 1 / (n0 - ADWIN_SIDE_MIN + 1) + 1 / (n1 - ADWIN_SIDE_MIN + 1);
    double bound =
        sqrt(2 * harmonic * d->variance / d->width * log_term) + 2.0 / 3 * log_term * harmonic;
    return apart > bound;
}

static bool cut_found(const struct sl_adwin *d)
{
    double n0 = 0;
    double sum0 = 0;
    for (int row = d->n_rows - 1; row >= 0; row--) {
        for (int k = 0; k < d->n_buckets[row]; k++) {
            n0 += row_size(row);
            sum0 += d->sums[row][k];
            if (d->width - n0 <= ADWIN_SIDE_MIN) {
                return false;
            }
            if (n0 > ADWIN_SIDE_MIN && differ(d, n0, sum0)) {
                return true;
            }
        }
    }
    return false;
}

enum sl_change sl_adwin_add(struct sl_adwin *d, double x)
{
    if (d->width > 0) {
        double apart = x - d->total / d->width;
        d->variance += d->width * apart * apart / (d->width + 1);
    }
    d->width++;
    d->total += x;
    d->seen++;
    append(d, 0, x, 0);
    compress(d);
    enum sl_change change = SL_CHANGE_NONE;
    if (d->seen % d->check_every != 0 || d->width <= ADWIN_WARM_UP) {
        return change;
    }
    while (d->width > ADWIN_WARM_UP && cut_found(d)) {
        drop_oldest(d);
        change = SL_CHANGE_DRIFT;
    }
    return change;
}
