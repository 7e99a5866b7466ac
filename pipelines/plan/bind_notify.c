/* What a notify step says, with its templates evaluated. Pure. */
#include "core/base/base.h"

#include "pipelines/plan/plan_priv.h"

int sl_plan_bind_notify(const struct sl_plan *plan, uint32_t step,
                        const struct sl_plan_world *world, struct sl_arena *a,
                        struct sl_bound_notify *ret, struct sl_err *err)
{
    const struct sl_notify *n = &plan->steps[step].spec->notify;
    struct sl_plan_scope scope;
    struct sl_bound_notify bound = {0};
    sl_plan_scope_init(&scope, plan, step, world, a);
    sl_plan_scope_load(&scope, NULL, n->text);
    int rc = sl_plan_text(&scope, n->text, "notify: text", &bound.text, err);
    if (rc == 0 && n->subject != NULL) {
        sl_plan_scope_load(&scope, NULL, n->subject);
        rc = sl_plan_text(&scope, n->subject, "notify: subject", &bound.subject, err);
    }
    if (rc == 0) {
        *ret = bound;
    }
    return rc;
}
