/* Distances between two histograms over the same cells: see stats.h. Pure.
 *
 * PSI, Jensen-Shannon and squared Hellinger have one null law up to a factor: d / (1/n + 1/m) is chi-squared with
 * (cells - 1) degrees, where d is PSI, 8 JSD (nats) or 8 H^2 (checked by simulation within 2 %). */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/stats/binning.h"
#include "core/stats/special.h"
#include "core/stats/stats_priv.h"

/** Sums over the cells, all that the distances need: p of the reference, q of the current data. */
struct sums {
    double kl_pq, kl_qp; /* nats */
    double js;           /* divergence, nats */
    double root;         /* sum of sqrt(p q) */
    double absolute, largest;
};

static void add_cell(struct sums *s, double p, double q)
{
    double middle = (p + q) / 2;
    s->kl_pq += p > 0 && q > 0 ? p * log(p / q) : 0;
    s->kl_qp += p > 0 && q > 0 ? q * log(q / p) : 0;
    s->js += (p > 0 ? 0.5 * p * log(p / middle) : 0) + (q > 0 ? 0.5 * q * log(q / middle) : 0);
    s->root += sqrt(p * q);
    s->absolute += fabs(p - q);
    s->largest = fmax(s->largest, fabs(p - q));
}

/** smooth: half an observation per cell (where a zero would be infinite), else plain shares. */
static struct sums sum_cells(const struct sl_counts *in, bool smooth)
{
    struct sums s = {0};
    struct sl_count_totals t = sl_count_totals(in);
    double half = smooth ? 0.5 : 0;
    double extra = half * (double)in->n_cells;
    for (size_t i = 0; i < in->n_cells; i++) {
        add_cell(&s, ((double)in->ref[i] + half) / (t.ref + extra),
                 ((double)in->cur[i] + half) / (t.cur + extra));
    }
    return s;
}

static void answer(const struct sl_counts *in, double value, double psi_like, struct sl_stat *ret)
{
    *ret = (struct sl_stat){.value = value, .effect = value};
    if (psi_like >= 0) {
        struct sl_count_totals t = sl_count_totals(in);
        ret->has_p = true;
        ret->p = in->n_cells > 1
                     ? sl_chi2_sf(psi_like / (1 / t.ref + 1 / t.cur), (double)(in->n_cells - 1))
                     : 1;
    }
}

int sl_stat_psi(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    struct sums s = sum_cells(in, true);
    double psi = s.kl_pq + s.kl_qp;
    answer(in, psi, psi, ret);
    return 0;
}

int sl_stat_kl(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    answer(in, sum_cells(in, true).kl_pq, -1, ret);
    return 0;
}

int sl_stat_js(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    double js = fmax(0, sum_cells(in, false).js);
    answer(in, sqrt(js / M_LN2), 8 * js, ret);
    return 0;
}

int sl_stat_hellinger(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    double square = fmax(0, 1 - sum_cells(in, false).root);
    answer(in, sqrt(square), 8 * square, ret);
    return 0;
}

int sl_stat_tv(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    answer(in, sum_cells(in, false).absolute / 2, -1, ret);
    return 0;
}

int sl_stat_linf(const struct sl_counts *in, struct sl_stat *ret, struct sl_err *err)
{
    (void)err;
    answer(in, sum_cells(in, false).largest, -1, ret);
    return 0;
}
