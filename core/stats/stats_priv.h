/** One function per row of stats.def, behind the checks of stats.c. Not for other rooms. */
#ifndef SL_STATS_PRIV_H
#define SL_STATS_PRIV_H

#include "core/stats/stats.h"

#define SL_STAT(name, input, fn, version, text) SL_STAT_DECLARE_##input(fn);
#define SL_STAT_DECLARE_COUNTS(fn)                                                                 \
    int fn(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err)
#define SL_STAT_DECLARE_SORTED(fn)                                                                 \
    int fn(const struct sl_samples *in, struct sl_stat *ret, struct sl_err *err)
#include "core/stats/stats.def"
#undef SL_STAT
#undef SL_STAT_DECLARE_COUNTS
#undef SL_STAT_DECLARE_SORTED

/** Sums of both histograms. */
struct sl_count_totals {
    double ref, cur;
};
struct sl_count_totals sl_count_totals(const struct sl_counts *in);

#endif
