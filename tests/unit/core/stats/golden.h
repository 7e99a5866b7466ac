/** The random numbers of golden data: x(0) = seed, x = (1664525 x + 1013904223) mod 2^32, u = x / 2^32. */
#ifndef SL_TEST_STATS_GOLDEN_H
#define SL_TEST_STATS_GOLDEN_H

#include <stdint.h>

static inline double lcg(uint32_t *x)
{
    *x = *x * 1664525U + 1013904223U;
    return (double)*x / 4294967296.0;
}

#endif
