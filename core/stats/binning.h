/**
 * Histograms whose edges come from the reference: quantile edges, bins, probabilities without zeros.
 *
 * Pure. Thread: any.
 */
#ifndef SL_STATS_BINNING_H
#define SL_STATS_BINNING_H

#include <stddef.h>
#include <stdint.h>

#define SL_STATS_BINS_MAX 65536

/** Quantile q in 0..1 of n >= 1 ascending values, linearly interpolated (numpy's default, R's type 7). */
double sl_quantile(const double *sorted, size_t n, double q);

/**
 * The inner edges that cut n >= 1 ascending values into `bins` parts, equal ones merged.
 * @param bins       2..SL_STATS_BINS_MAX
 * @param ret_edges  room for bins - 1
 * @return           how many edges there are (0 for a constant column... or up to bins - 1); the effective number
 *                   of bins is one more
 */
size_t sl_quantile_edges(const double *sorted, size_t n, size_t bins, double *ret_edges);

/** The bin of x: how many of the n ascending edges are <= x. */
size_t sl_bin_of(const double *edges, size_t n_edges, double x);

/** Adds the bins of n values to counts (n_edges + 1 cells). Merging two histograms is adding their counts. */
void sl_bin_count(const double *edges, size_t n_edges, const double *values, size_t n,
                  uint64_t *counts);

/** Probabilities with half an observation added to each cell, so that none is zero. */
void sl_smooth(const uint64_t *counts, size_t n_cells, double *ret_p);

/** Median absolute scale of a reference: IQR / 1.349, else its standard deviation, else 1. Ascending values. */
double sl_robust_scale(const double *sorted, size_t n);

#endif
