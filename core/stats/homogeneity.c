/* Tests that two histograms come from one distribution: chi-squared, G; Cramér's V: see stats.h. Pure. */
#include "core/base/base.h"

#include <math.h>

#include "core/stats/special.h"
#include "core/stats/stats_priv.h"

/** Both statistics of the 2 x B table, and how many cells hold anything. */
struct table {
    double chi2, g, total;
    size_t cells;
};

static void add(struct table *t, double observed, double expected)
{
    t->chi2 += (observed - expected) * (observed - expected) / expected;
    t->g += observed > 0 ? 2 * observed * log(observed / expected) : 0;
}

static struct table table_of(const struct sl_counts *in)
{
    struct sl_count_totals sum = sl_count_totals(in);
    struct table t = {.total = sum.ref + sum.cur};
    for (size_t i = 0; i < in->n_cells; i++) {
        double column = (double)in->ref[i] + (double)in->cur[i];
        if (column > 0) {
            add(&t, (double)in->ref[i], column * sum.ref / t.total);
            add(&t, (double)in->cur[i], column * sum.cur / t.total);
            t.cells++;
        }
    }
    return t;
}

/** Bergsma's bias-corrected V of a 2 x k table. */
static double cramers_v(const struct table *t)
{
    double k = (double)t->cells;
    double n = t->total;
    if (k < 2 || n < 2) {
        return 0;
    }
    double phi2 = fmax(0, t->chi2 / n - (k - 1) / (n - 1));
    double columns = k - (k - 1) * (k - 1) / (n - 1);
    double rows = 2 - 1 / (n - 1);
    double least = fmin(columns - 1, rows - 1);
    return least > 0 ? sqrt(phi2 / least) : 0;
}

static void answer(const struct table *t, double value, struct sl_stat *ret)
{
    double p = t->cells > 1 ? sl_chi2_sf(value, (double)(t->cells - 1)) : 1;
    *ret = (struct sl_stat){.value = value, .p = p, .effect = cramers_v(t), .has_p = true};
}

int sl_stat_chi2(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    struct table t = table_of(in);
    answer(&t, t.chi2, ret);
    return 0;
}

int sl_stat_g(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    struct table t = table_of(in);
    answer(&t, t.g, ret);
    return 0;
}
