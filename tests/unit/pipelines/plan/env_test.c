/* Inserted steps that make environments: one for each distinct one, before all that run in it. */
#include "core/base/base.h"

#include <stdlib.h>

#include "tests/unit/pipelines/plan/plan_support.h"

static void plan(struct planned *p, const char *yaml)
{
    bool ok = planned_init(p, yaml, NULL);
    SL_CHECK_MSG(ok, "%s", planned_errors(p));
}

static void check_keys(const struct planned *p, const char *want)
{
    struct sl_buf keys = SL_BUF_INIT(4096);
    for (uint32_t i = 0; i < p->plan->n_steps; i++) {
        sl_buf_printf(&keys, "%s ", p->plan->steps[i].key);
    }
    SL_CHECK_EQ_STR(sl_buf_str(&keys), want);
    sl_buf_release(&keys);
}

SL_TEST(pipelines_plan_env, host__only__adds_nothing)
{
    struct planned p;
    plan(&p, "steps:\n  a: { run: x, runtime: host }\n  b: { run: x }\n");
    check_keys(&p, "a b ");
    SL_CHECK(p.plan->spec == p.spec);
    SL_CHECK_EQ_INT(sl_plan_env_step(p.plan->spec, p.plan->steps[0].spec), -1);
    planned_release(&p);
}

SL_TEST(pipelines_plan_env, venv__of_several_steps__is_one_step_before_them)
{
    struct planned p;
    plan(&p, "defaults: { runtime: { venv: a.lock } }\n"
             "steps:\n"
             "  one: { run: x, matrix: { i: [1, 2] } }\n"
             "  two: { command: [x], needs: [one] }\n"
             "  out: { run: x, runtime: host }\n"
             "  other: { run: x, runtime: { venv: sub/b.lock } }\n"
             "finally: { end: { run: x } }\n");
    check_keys(&p, "env:a.lock env:sub/b.lock one[i=1] one[i=2] two out other end ");
    SL_CHECK_EQ_STR(planned_needs(&p, "one[i=2]"), "env:a.lock");
    SL_CHECK_EQ_STR(planned_needs(&p, "two"), "env:a.lock one[i=1] one[i=2]");
    SL_CHECK_EQ_STR(planned_needs(&p, "out"), "");
    SL_CHECK_EQ_STR(planned_needs(&p, "other"), "env:sub/b.lock");
    const struct sl_plan_step *env = &p.plan->steps[planned_step(&p, "env:sub/b.lock")];
    SL_CHECK_EQ_STR(env->spec->builds->venv, "sub/b.lock");
    SL_CHECK_EQ_STR(env->spec->code[0], "sub/b.lock"); /* it sees nothing but its lock */
    SL_CHECK_EQ_INT(env->spec->timeout_ms, SL_PLAN_ENV_TIMEOUT_MS);
    const struct sl_plan_step *other = &p.plan->steps[planned_step(&p, "other")];
    SL_CHECK_EQ_INT(sl_plan_env_step(p.plan->spec, other->spec), env->group);
    SL_CHECK_EQ_INT(sl_plan_env_step(p.plan->spec, env->spec), -1);
    planned_release(&p);
}

SL_TEST(pipelines_plan_env, venv__of_two_interpreters__is_two_steps)
{
    struct planned p;
    plan(&p, "steps:\n"
             "  a: { run: x, runtime: { venv: a.lock } }\n"
             "  b: { run: x, runtime: { venv: a.lock, python: python3.12 } }\n"
             "  c: { run: x, runtime: { venv: a.lock, python: python3 } }\n");
    check_keys(&p, "env:a.lock env:a.lock:python3.12 a b c ");
    SL_CHECK_EQ_STR(planned_needs(&p, "b"), "env:a.lock:python3.12");
    SL_CHECK_EQ_STR(planned_needs(&p, "c"), "env:a.lock");
    planned_release(&p);
}

SL_TEST(pipelines_plan_env, venv__inside_a_sub_pipeline__is_shared_with_the_outside)
{
    static const struct planned_file files[] = {
        {"inner.yml", "apiVersion: sluice/v1\nkind: Pipeline\nname: inner\n"
                      "steps: { fit: { run: x, runtime: { venv: a.lock } } }\n"},
        {NULL, NULL}};
    struct planned p;
    bool ok = planned_init_files(&p,
                                 "steps:\n"
                                 "  a: { run: x, runtime: { venv: a.lock } }\n"
                                 "  sub: { pipeline: { file: inner.yml }, needs: [a] }\n",
                                 files);
    SL_CHECK_MSG(ok, "%s", planned_errors(&p));
    check_keys(&p, "env:a.lock a sub/fit ");
    SL_CHECK_EQ_STR(planned_needs(&p, "sub/fit"), "env:a.lock a");
    planned_release(&p);
}

SL_TEST(pipelines_plan_env, actions_of_the_engine__need_no_environment)
{
    struct planned p;
    plan(&p,
         "defaults: { runtime: { venv: a.lock } }\n"
         "steps:\n"
         "  train: { run: x, inputs: { d: { dataset: d@latest } }, outputs: { m: { model: m } } }\n"
         "  gate: { gate: { candidate: '${{ steps.train.outputs.m }}', require: "
         "['candidate.auc > 0.5'] } }\n");
    check_keys(&p, "env:a.lock train gate ");
    SL_CHECK_EQ_STR(planned_needs(&p, "gate"), "train");
    planned_release(&p);
}
