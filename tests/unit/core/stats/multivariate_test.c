/**
 * MMD and the domain classifier: golden value, properties, limits.
 */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/stats/multivariate.h"
#include "tests/support/sl_test.h"
#include "tests/unit/core/stats/golden.h"

#define ROWS    120
#define COLUMNS 3

/** Uniform rows; column 1 of the second set is moved. */
static struct sl_row_sets two_sets(double *room, double moved)
{
    uint32_t x = 9;
    for (size_t i = 0; i < (size_t)2 * ROWS * COLUMNS; i++) {
        room[i] = lcg(&x) + (i >= (size_t)ROWS * COLUMNS && i % COLUMNS == 1 ? moved : 0);
    }
    return (struct sl_row_sets){room, room + (size_t)ROWS * COLUMNS, ROWS, ROWS, COLUMNS};
}

SL_TEST(core_stats_multivariate, mmd__golden_data__published_values)
{
    double ref[50];
    double cur[40];
    uint32_t x = 1;
    for (size_t i = 0; i < SL_LEN(ref); i++) {
        ref[i] = floor(1000 * lcg(&x)) / 10;
    }
    x = 2;
    for (size_t i = 0; i < SL_LEN(cur); i++) {
        cur[i] = floor(1000 * pow(lcg(&x), 1.25)) / 10;
    }
    struct sl_row_sets in = {ref, cur, SL_LEN(ref), SL_LEN(cur), 1};
    struct sl_mmd out = {0};
    struct sl_err err = {0};
    SL_CHECK_OK(sl_mmd(&in, 0, 199, 1, &out, &err), err);
    SL_CHECK_NEAR(out.sigma2, 406.125, 1e-9);
    SL_CHECK_NEAR(out.mmd2, -0.00172636, 5e-9);
    SL_CHECK(out.p > 0.2);
}

SL_TEST(core_stats_multivariate, mmd__moved__least_possible_p)
{
    _cleanup_(free)
    double *room = sl_calloc((size_t)2 * ROWS * COLUMNS, sizeof(*room));
    struct sl_row_sets in = two_sets(room, 0.5);
    struct sl_mmd out = {0};
    struct sl_mmd again = {0};
    struct sl_err err = {0};
    SL_CHECK_OK(sl_mmd(&in, 0, 99, 3, &out, &err), err);
    SL_CHECK_NEAR(out.p, 0.01, 1e-12); /* never zero */
    SL_CHECK_OK(sl_mmd(&in, 0, 99, 3, &again, &err), err);
    SL_CHECK_EQ_MEM(&out, &again, sizeof(out)); /* a seed repeats */
}

SL_TEST(core_stats_multivariate, domain__same__near_one_half)
{
    _cleanup_(free)
    double *room = sl_calloc((size_t)2 * ROWS * COLUMNS, sizeof(*room));
    struct sl_row_sets in = two_sets(room, 0);
    struct sl_domain out = {0};
    struct sl_err err = {0};
    double weight[COLUMNS];
    SL_CHECK_OK(sl_domain_auc(&in, 1, &out, weight, &err), err);
    SL_CHECK(out.low < 0.5 && 0.5 < out.high);
}

SL_TEST(core_stats_multivariate, domain__moved__found_and_named)
{
    _cleanup_(free)
    double *room = sl_calloc((size_t)2 * ROWS * COLUMNS, sizeof(*room));
    struct sl_row_sets in = two_sets(room, 0.5);
    struct sl_domain out = {0};
    struct sl_err err = {0};
    double weight[COLUMNS];
    SL_CHECK_OK(sl_domain_auc(&in, 1, &out, weight, &err), err);
    SL_CHECK(out.low > 0.6);
    SL_CHECK(weight[1] > 3 * weight[0] && weight[1] > 3 * weight[2]);
}

SL_TEST(core_stats_multivariate, bad__refused)
{
    double room[20] = {0};
    struct sl_mmd out = {0};
    struct sl_domain domain = {0};
    struct sl_err err = {0};
    double weight[1];
    const struct sl_row_sets few = {room, room, 1, 2, 1};
    const struct sl_row_sets small = {room, room, 4, 5, 1};
    const struct sl_row_sets wide = {room, room, 2, 2, SL_STATS_COLUMNS_MAX + 1};
    const struct sl_row_sets fine = {room, room, 5, 5, 1};
    SL_CHECK_ERR(sl_mmd(&few, 0, 0, 1, &out, &err), SL_EINVAL, err, "at least 2 each");
    SL_CHECK_ERR(sl_mmd(&wide, 0, 0, 1, &out, &err), SL_EINVAL, err, "1 to 1000");
    SL_CHECK_ERR(sl_mmd(&fine, 0, 10001, 1, &out, &err), SL_EINVAL, err, "0 to 10000");
    SL_CHECK_ERR(sl_mmd(&fine, NAN, 0, 1, &out, &err), SL_EINVAL, err, "sigma2");
    SL_CHECK_ERR(sl_domain_auc(&small, 1, &domain, weight, &err), SL_EINVAL, err, "5 rows");
    SL_CHECK_OK(sl_mmd(&fine, 0, 10, 1, &out, &err), err); /* all one point */
    SL_CHECK_NEAR(out.p, 1, 1e-12);
    SL_CHECK_OK(sl_domain_auc(&fine, 1, &domain, weight, &err), err);
    SL_CHECK_NEAR(domain.auc, 0.5, 1e-12);
    room[3] = INFINITY;
    SL_CHECK_ERR(sl_mmd(&fine, 0, 0, 1, &out, &err), SL_EINVAL, err, "row 3 is not finite");
}
