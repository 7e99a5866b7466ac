/** Hooks run or not by what became of their step. */
#include "core/base/base.h"

#include "tests/unit/pipelines/plan/plan_support.h"

SL_TEST(pipelines_plan_hooks, hooks__follow_what_became_of_their_step)
{
    static const char yaml[] = "steps:\n"
                               "  a:\n    run: a\n    matrix: { i: [1, 2] }\n    hooks:\n"
                               "      on_success: { run: s }\n      on_failure: { run: f }\n"
                               "      on_end: { run: e }\n"
                               "  b: { run: b, needs: a, if: failure() }\n";
    static const struct {
        const char *first, *second, *success, *failure, *end;
    } cases[] = {
        {"succeeded", "cached", "run", "a is succeeded", "run"},
        {"cancelled", "failed", "a is failed", "run", "run"},
        {"refused", "succeeded", "a is refused", "run", "run"},
        {"cancelled", "succeeded", "a is cancelled", "a is cancelled", "run"},
        {"omitted", "omitted", "a is omitted", "a is omitted", "a is omitted"},
    };
    struct planned p;
    SL_CHECK(planned_init(&p, yaml, NULL));
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_err err = SL_ERR_INIT;
        const char *keys[] = {"a:on_success", "a:on_failure", "a:on_end"};
        const char *expected[] = {cases[i].success, cases[i].failure, cases[i].end};
        planned_end(&p, "a[i=1]", cases[i].first, 0);
        planned_end(&p, "a[i=2]", cases[i].second, 0);
        for (size_t k = 0; k < SL_LEN(keys); k++) {
            struct sl_plan_judgement j;
            uint32_t step = planned_step(&p, keys[k]);
            SL_CHECK_OK(sl_plan_judge(p.plan, step, &p.world, &p.arena, &j, &err), err);
            SL_CHECK_EQ_STR(j.verdict == SL_PLAN_RUN ? "run" : j.why, expected[k]);
            SL_CHECK(j.verdict != SL_PLAN_OMIT);
        }
    }
    SL_CHECK_EQ_STR(p.plan->steps[planned_step(&p, "a:on_end")].effective_cond, "on_end of a");
    planned_release(&p);
}
