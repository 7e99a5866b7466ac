/**
 * Detectors against published values (DDM, Page-Hinkley) and a plain replica (ADWIN: tests/golden/stats/adwin.py).
 */
#include "core/base/base.h"

#include "core/stats/detect.h"
#include "tests/support/sl_test.h"
#include "tests/unit/core/stats/golden.h"

/** Errors at a rate of 0.1, from value 2000 on 0.25. */
static double next_error(uint32_t *x, int t)
{
    return lcg(x) < (t < 2000 ? 0.1 : 0.25) ? 1 : 0;
}

SL_TEST(core_stats_detect, ddm__rate_rises__published_places)
{
    struct sl_ddm d = {0};
    uint32_t x = 42;
    int warned = -1;
    int drifted = -1;
    for (int t = 0; t < 6000 && drifted < 0; t++) {
        enum sl_change change = sl_ddm_add(&d, next_error(&x, t));
        warned = change == SL_CHANGE_WARNING && warned < 0 ? t : warned;
        drifted = change == SL_CHANGE_DRIFT ? t : drifted;
    }
    SL_CHECK_EQ_INT(warned, 1632);
    SL_CHECK_EQ_INT(drifted, 2142);
    SL_CHECK(d.n == 0); /* fresh again */
}

SL_TEST(core_stats_detect, page_hinkley__rate_rises__published_place)
{
    struct sl_page_hinkley d;
    sl_page_hinkley_init(&d);
    uint32_t x = 42;
    int drifted = -1;
    for (int t = 0; t < 6000 && drifted < 0; t++) {
        drifted = sl_page_hinkley_add(&d, next_error(&x, t)) == SL_CHANGE_DRIFT ? t : -1;
    }
    SL_CHECK_EQ_INT(drifted, 2242);
}

/** Feeds `n` values and compares places of drift and the window that is left. */
static void check_adwin(double (*value)(uint32_t *x, int t), uint32_t seed, int n,
                        const int *places, size_t n_places, struct sl_adwin *d)
{
    sl_adwin_init(d);
    size_t found = 0;
    for (int t = 0; t < n; t++) {
        if (sl_adwin_add(d, value(&seed, t)) == SL_CHANGE_DRIFT) {
            SL_CHECK(found < n_places);
            SL_CHECK_EQ_INT(t, places[found]);
            found++;
        }
    }
    SL_CHECK_EQ_UINT(found, n_places);
}

SL_TEST(core_stats_detect, adwin__rate_rises__replica)
{
    static const int places[] = {2175, 2207, 2239, 2303, 2335, 2367};
    struct sl_adwin d;
    check_adwin(next_error, 42, 6000, places, SL_LEN(places), &d);
    SL_CHECK_NEAR(d.width, 4208, 0);
    SL_CHECK_NEAR(d.total, 1024, 1e-9);
    SL_CHECK_NEAR(d.variance, 774.81368821292779, 1e-6);
}

static double level(uint32_t *x, int t)
{
    return lcg(x) + (t >= 3000 && t < 5000 ? 0.8 : 0);
}

SL_TEST(core_stats_detect, adwin__level_goes_up_and_down__replica)
{
    static const int places[] = {3039, 3103, 3199, 5023, 5055};
    struct sl_adwin d;
    check_adwin(level, 5, 8000, places, SL_LEN(places), &d);
    SL_CHECK_NEAR(d.width, 3024, 0);
    SL_CHECK_NEAR(d.total, 1551.4205447796733, 1e-6);
    SL_CHECK_NEAR(d.variance, 262.6136955006578, 1e-6);
}

SL_TEST(core_stats_detect, every_detector__steady__silent)
{
    struct sl_ddm ddm = {0};
    struct sl_page_hinkley ph;
    struct sl_adwin adwin;
    sl_page_hinkley_init(&ph);
    sl_adwin_init(&adwin);
    for (int t = 0; t < 20000; t++) {
        double x = t % 10 == 0 ? 1 : 0;
        SL_CHECK(sl_ddm_add(&ddm, x) != SL_CHANGE_DRIFT);
        SL_CHECK(sl_page_hinkley_add(&ph, x) == SL_CHANGE_NONE);
        SL_CHECK(sl_adwin_add(&adwin, x) == SL_CHANGE_NONE);
    }
}
