/**
 * Statistics that compare a reference with current data: one row of stats.def each.
 *
 * Definitions, conventions and golden values: README.md and docs of drift. Pure; thread: any.
 */
#ifndef SL_STATS_H
#define SL_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/** What a statistic is computed from. */
enum sl_stat_input {
    SL_STAT_COUNTS, /* two histograms over the same cells */
    SL_STAT_SORTED, /* two ascending samples */
};

struct sl_counts {
    const uint64_t *ref, *cur; /* n_cells each */
    size_t n_cells;            /* 1..SL_STATS_BINS_MAX */
};

struct sl_samples {
    const double *ref, *cur; /* ascending, finite */
    size_t n, m;             /* each at least 1 */
};

/** A statistic's answer. */
struct sl_stat {
    double value; /* the statistic itself */
    double p;     /* under "one distribution"; meaningful when has_p */
    double
        effect; /* size of the difference, free of the sample size; equals value where value is one */
    bool has_p;
    bool p_capped; /* the law's table ends there: p is at least (or at most) this */
};

struct sl_stat_row {
    const char *name; /* "psi", "ks" ... */
    const char *text; /* one line */
    enum sl_stat_input input;
    int (*of_counts)(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err);
    int (*of_sorted)(const struct sl_samples *in, struct sl_stat *ret, struct sl_err *err);
    int version; /* of the method: grows when a number would change */
};

/** Rows by name and by index, sorted by name. NULL when there is none. */
const struct sl_stat_row *sl_stat_find(const char *name);
const struct sl_stat_row *sl_stat_at(size_t index);

/**
 * Computes the row's statistic. -SL_EINVAL when the input is empty, not ascending, or holds NaN or infinity.
 * of_counts rows refuse samples and the other way round (assertion).
 */
int sl_stat_counts(const struct sl_stat_row *row, const struct sl_counts *in, struct sl_stat *ret,
                   struct sl_err *err) SL_MUST_CHECK;
int sl_stat_samples(const struct sl_stat_row *row, const struct sl_samples *in, struct sl_stat *ret,
                    struct sl_err *err) SL_MUST_CHECK;

/** Two proportions, k of n against l of m: pooled two-sided z test; effect is the difference of the rates. */
int sl_stat_proportions(uint64_t k, uint64_t n, uint64_t l, uint64_t m, struct sl_stat *ret,
                        struct sl_err *err) SL_MUST_CHECK;

/** Benjamini-Hochberg: adjusted p-values of n tests, in place of the order given. NaN stays NaN and does not count. */
void sl_adjust_bh(const double *p, size_t n, double *ret_adjusted);

/** All that one merge of two ascending samples tells. */
struct sl_merged {
    double ks;        /* largest |F - G| */
    double w1;        /* integral of |F - G| */
    double square;    /* integral of (F - G)^2 */
    double rank_term; /* Cramér-von Mises U, from midranks */
    double tied;      /* share of values that stand in a tie, 0..1 */
};
void sl_merge(const struct sl_samples *in, struct sl_merged *ret);

/** p of the two-sample KS distance d: exact lattice paths while max(n, m) <= 10,000, else the one-sample law at the
 * effective size (scipy's rule). */
double sl_ks_p(double d, size_t n, size_t m);
/** P(D_n >= d) of the two-sided one-sample KS law. */
double sl_ks_one_sample_sf(double d, double n);
/** P(T >= t) of the limiting Cramér-von Mises law (Anderson and Darling 1952). */
double sl_cvm_limit_sf(double t);

#endif
