/** Parameters: types, bounds, choices, patterns, origins; all problems at once. */
#include "core/base/base.h"

#include "tests/unit/pipelines/plan/plan_support.h"

static const char yaml[] = "params:\n"
                           "  n: { type: int, default: 5, min: 1, max: 10 }\n"
                           "  x: { type: float, default: 0.5, min: 0 }\n"
                           "  b: { type: bool, default: false }\n"
                           "  s: { type: string, default: ab, pattern: '^[a-z]{2}$' }\n"
                           "  c: { type: string, default: red, enum: [red, green] }\n"
                           "  must: { type: int }\n"
                           "steps: { a: { run: a } }\n";

SL_TEST(pipelines_plan_params, values__given_and_default__typed_with_origin)
{
    struct planned p;
    static const char *const args[] = {"n=10", "x=3", "b=true", "s=zz", "must=-1", NULL};
    bool ok = planned_init(&p, yaml, args);
    SL_CHECK_MSG(ok, "%s", planned_errors(&p));
    SL_CHECK_EQ_INT(p.params[0].value.i, 10);
    SL_CHECK_EQ_STR(p.params[0].origin, "command line");
    SL_CHECK_EQ_INT(p.params[1].value.type, SL_V_DOUBLE);
    SL_CHECK_NEAR(p.params[1].value.d, 3.0, 0);
    SL_CHECK(p.params[2].value.b);
    SL_CHECK_EQ_STR(p.params[4].origin, "default");
    SL_CHECK_EQ_INT(p.params[5].value.i, -1);
    planned_release(&p);
}

SL_TEST(pipelines_plan_params, mistakes__one_each__exact_words)
{
    static const struct {
        const char *arg, *message;
    } cases[] = {
        {"n=11", "parameter 'n': 11 is out of bounds: at least 1 and at most 10\n"},
        {"n=0", "parameter 'n': 0 is out of bounds: at least 1 and at most 10\n"},
        {"n=2.5", "parameter 'n': expected int, found '2.5'\n"},
        {"n=", "parameter 'n': expected int, found ''\n"},
        {"x=-1", "parameter 'x': -1 is out of bounds: at least 0\n"},
        {"x=nan", "parameter 'x': nan is out of bounds: at least 0\n"},
        {"b=yes", "parameter 'b': expected bool, found 'yes'\n"},
        {"s=abc", "parameter 's': 'abc' does not match pattern '^[a-z]{2}$'\n"},
        {"c=blue", "parameter 'c': 'blue' is not one of its choices\n"},
        {"s=\xff\xff", "parameter 's': its value is not valid UTF-8\n"},
        {"mist=1", "parameter 'mist': the pipeline has no such parameter; did you mean 'must'?\n"},
        {"zzzzz=1", "parameter 'zzzzz': the pipeline has no such parameter\n"},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct planned p;
        const char *const args[] = {"must=1", cases[i].arg, NULL};
        SL_CHECK(!planned_init(&p, yaml, args));
        SL_CHECK_EQ_STR(planned_errors(&p), cases[i].message);
        planned_release(&p);
    }
}

SL_TEST(pipelines_plan_params, mistakes__several__all_at_once)
{
    struct planned p;
    static const char *const args[] = {"n=x", "b=1", NULL};
    SL_CHECK(!planned_init(&p, yaml, args));
    SL_CHECK_EQ_STR(planned_errors(&p),
                    "parameter 'n': expected int, found 'x'\n"
                    "parameter 'b': expected bool, found '1'\n"
                    "parameter 'must' has no default and was not given; pass -p must=VALUE\n");
    planned_release(&p);
}
