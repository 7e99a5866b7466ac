/* Edges, bins and probabilities: see binning.h. Pure. */
#include "core/base/base.h"

#include "core/stats/binning.h"

#include <math.h>

double sl_quantile(const double *sorted, size_t n, double q)
{
    SL_ASSERT(n > 0);
    double at = q * (double)(n - 1);
    size_t below = (size_t)at;
    if (below + 1 >= n) {
        return sorted[n - 1];
    }
    double share = at - (double)below;
    return sorted[below] + share * (sorted[below + 1] - sorted[below]);
}

size_t sl_quantile_edges(const double *sorted, size_t n, size_t bins, double *ret_edges)
{
    SL_ASSERT(bins >= 2 && bins <= SL_STATS_BINS_MAX);
    size_t n_edges = 0;
    for (size_t i = 1; i < bins; i++) {
        double edge = sl_quantile(sorted, n, (double)i / (double)bins);
        if (n_edges == 0 || edge > ret_edges[n_edges - 1]) {
            ret_edges[n_edges++] = edge;
        }
    }
    return n_edges;
}

size_t sl_bin_of(const double *edges, size_t n_edges, double x)
{
    size_t low = 0;
    size_t high = n_edges;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (edges[middle] <= x) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void sl_bin_count(const double *edges, size_t n_edges, const double *values, size_t n,
                  uint64_t *counts)
{
    for (size_t i = 0; i < n; i++) {
        counts[sl_bin_of(edges, n_edges, values[i])]++;
    }
}

void sl_smooth(const uint64_t *counts, size_t n_cells, double *ret_p)
{
    double total = 0.5 * (double)n_cells;
    for (size_t i = 0; i < n_cells; i++) {
        total += (double)counts[i];
    }
    for (size_t i = 0; i < n_cells; i++) {
        ret_p[i] = ((double)counts[i] + 0.5) / total;
    }
}

static double deviation(const double *values, size_t n)
{
    double mean = 0;
    double m2 = 0;
    for (size_t i = 0; i < n; i++) {
        double delta = values[i] - mean;
        mean += delta / (double)(i + 1);
        m2 += delta * (values[i] - mean);
    }
    return sqrt(m2 / (double)n);
}

double sl_robust_scale(const double *sorted, size_t n)
{
    double scale = (sl_quantile(sorted, n, 0.75) - sl_quantile(sorted, n, 0.25)) / 1.349;
    scale = scale > 0 ? scale : deviation(sorted, n);
    return scale > 0 && isfinite(scale) ? scale : 1;
}
