/* Checks and randomness shared by the multivariate statistics. Pure. */
#include "core/base/base.h"

#include <math.h>

#include "core/stats/rows_priv.h"

int sl_rows_check(const struct sl_row_sets *in, struct sl_err *err)
{
    if (in->n < 2 || in->m < 2 || in->n + in->m > SL_STATS_ROWS_MAX) {
        return sl_err_set(err, SL_EINVAL,
                          "%zu and %zu rows; at least 2 each and together at most %d", in->n, in->m,
                          SL_STATS_ROWS_MAX);
    }
    if (in->columns == 0 || in->columns > SL_STATS_COLUMNS_MAX) {
        return sl_err_set(err, SL_EINVAL, "%zu columns; 1 to %d are possible", in->columns,
                          SL_STATS_COLUMNS_MAX);
    }
    for (size_t i = 0; i < (in->n + in->m) * in->columns; i++) {
        double x = sl_row(in, i / in->columns)[i % in->columns];
        if (!isfinite(x)) {
            return sl_err_set(err, SL_EINVAL, "column %zu of row %zu is not finite",
                              i % in->columns, i / in->columns);
        }
    }
    return 0;
}

/* splitmix64 (Steele, Lea, Flood 2014): small, seedable, good enough for permutations. */
uint64_t sl_random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

void sl_random_shuffle(uint32_t *items, size_t n, uint64_t *state)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)(((unsigned __int128)sl_random_next(state) * i) >> 64);
        uint32_t kept = items[i - 1];
        items[i - 1] = items[j];
        items[j] = kept;
    }
}
