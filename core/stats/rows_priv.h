/** What the multivariate statistics share. Not for other rooms. */
#ifndef SL_STATS_ROWS_PRIV_H
#define SL_STATS_ROWS_PRIV_H

#include "core/stats/multivariate.h"

int sl_rows_check(const struct sl_row_sets *in, struct sl_err *err) SL_MUST_CHECK;

/** Row i of the pooled sets: reference first. */
static inline const double *sl_row(const struct sl_row_sets *in, size_t i)
{
    return i < in->n ? in->ref + i * in->columns : in->cur + (i - in->n) * in->columns;
}

uint64_t sl_random_next(uint64_t *state);
/** Fisher and Yates. */
void sl_random_shuffle(uint32_t *items, size_t n, uint64_t *state);

#endif
