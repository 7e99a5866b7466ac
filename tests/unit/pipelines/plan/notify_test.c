/** What a notify step says. */
#include "core/base/base.h"

#include "tests/unit/pipelines/plan/plan_support.h"

#define HEAD "steps:\n  a: {run: echo a}\n"

SL_TEST(pipelines_plan_notify, texts__run_steps_and_params__put_in)
{
    struct planned p;
    struct sl_bound_notify n;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK(planned_init(&p,
                          HEAD "finally:\n  tell:\n    notify:\n      mail: team\n      subject: "
                               "\"${{ run.pipeline }} ${{ run.status }}\"\n      text: \"run "
                               "${{ run.number }}: a ${{ steps.a.status }}\"\n",
                          NULL));
    planned_end(&p, "a", "failed", 1);
    p.world.run_status = "failed";
    p.world.run_number = 12;
    SL_CHECK_OK(sl_plan_bind_notify(p.plan, planned_step(&p, "tell"), &p.world, &p.arena, &n, &err),
                err);
    SL_CHECK_EQ_STR(n.text, "run 12: a failed");
    SL_CHECK_EQ_STR(n.subject, "test failed");
    planned_release(&p);
}

SL_TEST(pipelines_plan_notify, subject__not_written__none)
{
    struct planned p;
    struct sl_bound_notify n;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK(planned_init(&p, HEAD "  tell: {notify: {webhook: ops, text: \"hi\"}, needs: [a]}\n",
                          NULL));
    SL_CHECK_OK(sl_plan_bind_notify(p.plan, planned_step(&p, "tell"), &p.world, &p.arena, &n, &err),
                err);
    SL_CHECK_EQ_STR(n.text, "hi");
    SL_CHECK(n.subject == NULL);
    planned_release(&p);
}
