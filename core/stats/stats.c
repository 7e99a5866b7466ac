/* The table, the checks in front of it, and what needs no file of its own: see stats.h. Pure. */
#include "core/base/base.h"

#include "core/stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/stats/binning.h"
#include "core/stats/special.h"
#include "core/stats/stats_priv.h"

#define ROW_COUNTS(fn) .input = SL_STAT_COUNTS, .of_counts = (fn)
#define ROW_SORTED(fn) .input = SL_STAT_SORTED, .of_sorted = (fn)
#define SL_STAT(name_, input_, fn_, version_, text_)                                               \
    {.name = (name_), .text = (text_), ROW_##input_(fn_), .version = (version_)},
static const struct sl_stat_row rows[] = {
#include "core/stats/stats.def"
};
#undef SL_STAT

const struct sl_stat_row *sl_stat_at(size_t index)
{
    return index < SL_LEN(rows) ? &rows[index] : NULL;
}

const struct sl_stat_row *sl_stat_find(const char *name)
{
    for (size_t i = 0; i < SL_LEN(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

struct sl_count_totals sl_count_totals(const struct sl_counts *in)
{
    struct sl_count_totals t = {0};
    for (size_t i = 0; i < in->n_cells; i++) {
        t.ref += (double)in->ref[i];
        t.cur += (double)in->cur[i];
    }
    return t;
}

int sl_stat_counts(const struct sl_stat_row *row, const struct sl_counts *in, struct sl_stat *ret,
                   struct sl_err *err)
{
    SL_ASSERT(row->of_counts != NULL);
    if (in->n_cells == 0 || in->n_cells > SL_STATS_BINS_MAX) {
        return sl_err_set(err, SL_EINVAL, "a histogram of %zu cells; 1 to %d are possible",
                          in->n_cells, SL_STATS_BINS_MAX);
    }
    struct sl_count_totals totals = sl_count_totals(in);
    if (totals.ref <= 0 || totals.cur <= 0) {
        return sl_err_set(err, SL_EINVAL, "the %s histogram is empty",
                          totals.ref <= 0 ? "reference" : "current");
    }
    return row->of_counts(in, ret, err);
}

static int check_sample(const char *which, const double *x, size_t n, struct sl_err *err)
{
    if (n == 0) {
        return sl_err_set(err, SL_EINVAL, "the %s sample is empty", which);
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return sl_err_set(err, SL_EINVAL, "value %zu of the %s sample is not finite", i, which);
        }
        if (i > 0 && x[i] < x[i - 1]) {
            return sl_err_set(err, SL_EINVAL, "value %zu of the %s sample is out of order", i,
                              which);
        }
    }
    return 0;
}

int sl_stat_samples(const struct sl_stat_row *row, const struct sl_samples *in, struct sl_stat *ret,
                    struct sl_err *err)
{
    SL_ASSERT(row->of_sorted != NULL);
    int rc = check_sample("reference", in->ref, in->n, err);
    rc = rc < 0 ? rc : check_sample("current", in->cur, in->m, err);
    return rc < 0 ? rc : row->of_sorted(in, ret, err);
}

int sl_stat_proportions(uint64_t k, uint64_t n, uint64_t l, uint64_t m, struct sl_stat *ret,
                        struct sl_err *err)
{
    if (n == 0 || m == 0 || k > n || l > m) {
        return sl_err_set(err, SL_EINVAL, "rates need 0 <= hits <= trials and at least one trial");
    }
    double a = (double)k / (double)n;
    double b = (double)l / (double)m;
    double pooled = (double)(k + l) / ((double)n + (double)m);
    double variance = pooled * (1 - pooled) * (1 / (double)n + 1 / (double)m);
    double z = variance > 0 ? (a - b) / sqrt(variance) : 0;
    *ret = (struct sl_stat){
        .value = z, .p = 2 * sl_norm_sf(fabs(z)), .effect = fabs(a - b), .has_p = true};
    return 0;
}

/* ---- Benjamini-Hochberg ---------------------------------------------------------------------- */

struct ranked {
    double p;
    size_t at;
};

static int by_p(const void *left, const void *right)
{
    const struct ranked *a = left;
    const struct ranked *b = right;
    return (a->p > b->p) - (a->p < b->p);
}

void sl_adjust_bh(const double *p, size_t n, double *ret_adjusted)
{
    _cleanup_(free)
    struct ranked *order = sl_calloc(SL_MAX(n, (size_t)1), sizeof(*order));
    size_t tests = 0;
    for (size_t i = 0; i < n; i++) {
        ret_adjusted[i] = NAN;
        if (!isnan(p[i])) {
            order[tests++] = (struct ranked){p[i], i};
        }
    }
    qsort(order, tests, sizeof(*order), by_p);
    double least = 1;
    for (size_t i = tests; i-- > 0;) {
        least = fmin(least, order[i].p * (double)tests / (double)(i + 1));
        ret_adjusted[order[i].at] = least;
    }
}
