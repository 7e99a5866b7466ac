/** Sub-pipelines in a plan: names, edges, parameters, passed inputs, conditions of the outer step. */
#include "core/base/base.h"

#include <stdlib.h>

#include "tests/unit/pipelines/plan/plan_support.h"

#define HEAD "apiVersion: sluice/v1\nkind: Pipeline\nname: inner\n"

static const struct planned_file files[] = {
    {"fit.yml", HEAD "params: { n: { type: int, min: 1 }, tag: { type: string, default: plain } }\n"
                     "outputs: { best: \"${{ steps.pick.outputs.best }}\",\n"
                     "           all: \"${{ steps.fit.outputs.model[*] }}\" }\n"
                     "steps:\n"
                     "  fit:\n"
                     "    matrix: { seed: [1, 2] }\n"
                     "    run: fit\n"
                     "    inputs: { rows: \"${{ inputs.rows }}\" }\n"
                     "    env: { N: \"${{ params.n }}\", TAG: \"${{ params.tag }}\" }\n"
                     "    outputs: { model: { model: m } }\n"
                     "    hooks: { on_failure: { run: tidy } }\n"
                     "  pick:\n"
                     "    run: pick\n"
                     "    inputs: { models: \"${{ steps.fit.outputs.model[*] }}\" }\n"
                     "    outputs: { best: { model: m } }\n"
                     "  extra: { run: x, if: params.n > 100 }\n"
                     "  after: { run: x, needs: extra }\n"},
    {"wrap.yml", HEAD "params: { n: { type: int, default: 7 } }\n"
                      "outputs: { best: \"${{ steps.deep.outputs.best }}\" }\n"
                      "steps:\n"
                      "  deep:\n"
                      "    inputs: { rows: \"${{ inputs.data }}\" }\n"
                      "    pipeline: { file: fit.yml, params: { n: \"${{ params.n + 1 }}\" } }\n"},
    {NULL, NULL}};

static const char outer[] =
    "params: { n: { type: int, default: 3 }, go: { type: bool, default: true } }\n"
    "steps:\n"
    "  data: { run: d, outputs: { rows: { dataset: rows } } }\n"
    "  a:\n"
    "    if: params.go\n"
    "    inputs: { rows: \"${{ steps.data.outputs.rows }}\" }\n"
    "    pipeline: { file: fit.yml, params: { n: \"${{ params.n }}\" } }\n"
    "  b:\n"
    "    needs: a\n"
    "    inputs: { data: { dataset: \"known-${{ params.n }}@latest\" } }\n"
    "    pipeline: { file: wrap.yml }\n"
    "  use:\n"
    "    run: use\n"
    "    inputs: { one: \"${{ steps.a.outputs.best }}\", two: \"${{ steps.b.outputs.best }}\",\n"
    "              all: \"${{ steps.a.outputs.all[*] }}\" }\n"
    "    env: { A: \"${{ steps.a.status }} ${{ steps.a.outputs.best }}\" }\n"
    "  mourn: { run: m, if: steps.a.status == 'failed' }\n";

static const char *judge(struct planned *p, const char *key)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_plan_judgement j = {0};
    SL_CHECK_OK(sl_plan_judge(p->plan, planned_step(p, key), &p->world, &p->arena, &j, &err), err);
    return j.verdict == SL_PLAN_RUN    ? "run"
           : j.verdict == SL_PLAN_SKIP ? sl_arena_printf(&p->arena, "skip: %s", j.why)
                                       : sl_arena_printf(&p->arena, "omit: %s", j.why);
}

static void bind(struct planned *p, const char *key, struct sl_bound_step *ret)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_plan_bind(p->plan, planned_step(p, key), &p->world, &p->arena, ret, &err), err);
}

static void start(struct planned *p)
{
    SL_CHECK_MSG(planned_init_files(p, outer, files), "%s", planned_errors(p));
}

SL_TEST(pipelines_plan_sub, steps__take_the_place_of_the_outer_one)
{
    struct planned p;
    start(&p);
    SL_CHECK_EQ_STR(planned_needs(&p, "a/fit[seed=2]"), "data");
    SL_CHECK_EQ_STR(p.plan->steps[planned_step(&p, "a/pick")].effective_cond,
                    "a: params.go; success()");
    SL_CHECK_EQ_STR(planned_needs(&p, "a/pick"), "data a/fit[seed=1] a/fit[seed=2]");
    SL_CHECK_EQ_STR(planned_needs(&p, "a/fit:on_failure"), "data a/fit[seed=1] a/fit[seed=2]");
    SL_CHECK_EQ_STR(planned_needs(&p, "a/after"), "data a/extra");
    SL_CHECK_EQ_STR(planned_needs(&p, "b/deep/extra"),
                    "a/fit[seed=1] a/fit[seed=2] a/fit:on_failure a/pick a/extra a/after");
    planned_release(&p);
}

SL_TEST(pipelines_plan_sub, params__are_bound_from_outside_in)
{
    struct planned p;
    struct sl_bound_step b;
    start(&p);
    planned_end(&p, "data", "succeeded", 0x11);
    bind(&p, "a/fit[seed=1]", &b);
    SL_CHECK_EQ_STR(b.env[0].value, "3");
    SL_CHECK_EQ_STR(b.env[1].value, "plain");
    SL_CHECK_EQ_INT(b.inputs[0].items[0].digest.b[0], 0x11);
    SL_CHECK_EQ_INT(sl_json_i64(b.used_params, "n", 0), 3);
    sl_bound_step_release(&b);
    bind(&p, "b/deep/fit[seed=1]", &b);
    SL_CHECK_EQ_STR(b.env[0].value, "8");
    SL_CHECK_EQ_INT(b.inputs[0].items[0].version, 7); /* a reference, in the outer file's params */
    struct sl_digest expected;
    sl_sha256("known-3@latest", strlen("known-3@latest"), &expected);
    SL_CHECK(sl_digest_eq(&expected, &b.inputs[0].items[0].digest));
    sl_bound_step_release(&b);
    planned_release(&p);
}

SL_TEST(pipelines_plan_sub, bad_param__is_an_error_of_the_plan)
{
    struct planned p;
    SL_CHECK(
        !planned_init_files(&p,
                            "steps:\n  a:\n    inputs: { rows: { dataset: d } }\n"
                            "    pipeline: { file: fit.yml, params: { n: \"${{ 1 - 1 }}\" } }\n",
                            files));
    SL_CHECK_EQ_STR(planned_errors(&p), "parameter 'n': 0 is out of bounds: at least 1\n");
    planned_release(&p);
}

/** Ends everything of `a` well, what is conditional being skipped. */
static void end_a(struct planned *p)
{
    planned_end(p, "data", "succeeded", 0x11);
    planned_end(p, "a/fit[seed=1]", "succeeded", 0x21);
    planned_end(p, "a/fit[seed=2]", "cached", 0x22);
    planned_end(p, "a/fit:on_failure", "skipped", 0);
    planned_end(p, "a/pick", "succeeded", 0x23);
    planned_end(p, "a/extra", "skipped", 0);
    planned_end(p, "a/after", "omitted", 0);
}

SL_TEST(pipelines_plan_sub, outside__what_was_left_out_inside_does_not_count)
{
    struct planned p;
    start(&p);
    end_a(&p);
    SL_CHECK_EQ_STR(judge(&p, "a/after"), "omit: needs a/extra, which is skipped");
    SL_CHECK_EQ_STR(judge(&p, "b/deep/extra"), "skip: if: params.n > 100 is false");
    SL_CHECK_EQ_STR(judge(&p, "b/deep/fit[seed=1]"), "run");
    SL_CHECK_EQ_STR(judge(&p, "mourn"), "skip: if: steps.a.status == 'failed' is false");
    planned_end(&p, "a/fit:on_failure", "failed", 0); /* nor does a hook that failed */
    SL_CHECK_EQ_STR(judge(&p, "b/deep/fit[seed=1]"), "run");
    SL_CHECK_EQ_STR(judge(&p, "mourn"), "skip: if: steps.a.status == 'failed' is false");
    planned_end(&p, "a/pick", "failed", 0);
    SL_CHECK_EQ_STR(judge(&p, "b/deep/fit[seed=1]"), "omit: needs a/pick, which is failed");
    SL_CHECK_EQ_STR(judge(&p, "mourn"), "run");
    planned_release(&p);
}

SL_TEST(pipelines_plan_sub, outer_condition__holds_for_every_step)
{
    struct planned p;
    struct sl_param_value *values;
    start(&p);
    planned_end(&p, "data", "succeeded", 0x11);
    SL_CHECK_EQ_STR(judge(&p, "a/fit[seed=1]"), "run");
    values = p.params;
    values[1].value.b = false;
    SL_CHECK_EQ_STR(judge(&p, "a/fit[seed=1]"), "skip: a: if: params.go is false");
    planned_end(&p, "data", "failed", 0);
    SL_CHECK_EQ_STR(judge(&p, "a/fit[seed=1]"), "omit: needs data, which is failed");
    end_a(&p);
    static const char *const all[] = {"a/fit[seed=1]", "a/fit[seed=2]", "a/pick"};
    for (size_t i = 0; i < SL_LEN(all); i++) {
        planned_end(&p, all[i], "skipped", 0);
    }
    SL_CHECK_EQ_STR(judge(&p, "b/deep/fit[seed=1]"), "omit: needs a, which is skipped");
    planned_release(&p);
}

SL_TEST(pipelines_plan_sub, outputs__of_the_file_are_the_outer_steps)
{
    struct planned p;
    struct sl_bound_step b;
    start(&p);
    end_a(&p);
    planned_end(&p, "b/deep/pick", "succeeded", 0x33);
    bind(&p, "use", &b);
    SL_CHECK_EQ_INT(b.inputs[0].items[0].digest.b[0], 0x23);
    SL_CHECK_EQ_INT(b.inputs[1].items[0].digest.b[0], 0x33);
    SL_CHECK_EQ_UINT(b.inputs[2].n, 2);
    SL_CHECK_EQ_STR(b.inputs[2].item_names[1], "seed=2");
    SL_CHECK(sl_starts_with(b.env[0].value, "succeeded "));
    sl_bound_step_release(&b);
    planned_release(&p);
}
