/* Whether a step runs: its needs, its condition, and those of the sub-pipelines that it is in. Pure. */
#include "core/base/base.h"

#include "pipelines/plan/plan_priv.h"

struct judge {
    struct sl_plan_scope scope;
    const struct sl_plan_step *p;
    struct sl_plan_judgement *out;
    struct sl_err *err;
};

static void against(struct judge *j, enum sl_plan_verdict verdict, const char *why)
{
    *j->out = (struct sl_plan_judgement){verdict, why};
}

/** Of the step, or of the step that stands for the sub-pipeline that it is in. */
static int condition(struct judge *j, const struct sl_expr *cond, const char *prefix)
{
    struct sl_plan_scope *s = &j->scope;
    struct sl_expr_err e;
    bool holds = false;
    sl_plan_scope_load(s, cond, NULL);
    if (sl_expr_eval_bool(cond, &s->scope, s->a, &holds, &e) < 0) {
        return sl_err_set(j->err, SL_EINVAL, "step '%s': %sif: %s", j->p->key, prefix, e.msg);
    }
    if (!holds && j->p->spec->hook_of != NULL && prefix[0] == '\0') {
        const struct sl_value *of = &s->steps.map.fields[0].value; /* all that a hook asks about */
        against(j, SL_PLAN_SKIP,
                sl_arena_printf(s->a, "%s is %s", j->p->spec->hook_of,
                                sl_value_get(of, "status")->s.ptr));
    } else if (!holds) {
        against(j, SL_PLAN_SKIP,
                sl_arena_printf(s->a, "%sif: %s is false", prefix, sl_expr_source(cond)));
    }
    return 0;
}

/** The needs and the condition of the step that stands for a sub-pipeline hold for all its steps. */
static int judge_sub(struct judge *j, const struct sl_sub *sub)
{
    struct sl_plan_scope *s = &j->scope;
    const char *why = NULL;
    int rc = sub->up != NULL ? judge_sub(j, sub->up) : 0;
    if (rc < 0 || j->out->verdict != SL_PLAN_RUN) {
        return rc;
    }
    sl_plan_scope_move(s, sub->up);
    s->inherited = s->plan->sub_needs[sub->index];
    bool replaces = sub->cond != NULL && sl_expr_mentions_status(sub->cond);
    if (!sub->is_finally && !replaces && (why = sl_plan_bad_need(s)) != NULL) {
        against(j, SL_PLAN_OMIT, why);
    } else if (sub->cond != NULL) {
        rc = condition(j, sub->cond, sl_arena_printf(s->a, "%s: ", sub->id));
    }
    return rc;
}

/** Past the end of a fan-out nothing runs; what is longer than planned for fails, once. */
static int judge_element(struct judge *j)
{
    struct sl_plan_scope *s = &j->scope;
    const json_t *array = NULL;
    uint32_t index = sl_plan_element_index(j->p);
    int max = j->p->spec->matrix->max;
    int rc = sl_plan_elements(s->plan, s->step, s->world, &array, j->err);
    if (rc < 0) {
        return rc;
    }
    size_t n = json_array_size(array);
    if (n > (size_t)max && index == 0) {
        return sl_err_set(j->err, SL_ELIMIT,
                          "fan-out has %zu items; 'max' of the matrix of step '%s' allows %d", n,
                          j->p->spec->id, max);
    }
    if (n > (size_t)max) {
        against(j, SL_PLAN_OMIT, sl_arena_printf(s->a, "fan-out has %zu items, max is %d", n, max));
    } else if (index >= n) {
        against(j, SL_PLAN_SKIP,
                sl_arena_printf(s->a, "fan-out has %zu item%s", n, n == 1 ? "" : "s"));
    } else if (j->p->spec->cond != NULL) {
        rc = sl_plan_scope_element(s, j->err);
    }
    return rc;
}

static int judge_own(struct judge *j)
{
    struct sl_plan_scope *s = &j->scope;
    const char *why = NULL;
    int rc = 0;
    sl_plan_scope_move(s, j->p->spec->sub);
    s->inherited = NULL;
    if (!j->p->is_finally && !j->p->cond_replaces_success && (why = sl_plan_bad_need(s)) != NULL) {
        against(j, SL_PLAN_OMIT, why);
        return 0;
    }
    if (j->p->is_champion_eval) {
        return 0;
    }
    rc = sl_plan_is_fanout(j->p->spec) ? judge_element(j) : 0;
    if (rc == 0 && j->out->verdict == SL_PLAN_RUN && j->p->spec->cond != NULL) {
        rc = condition(j, j->p->spec->cond, "");
    }
    return rc;
}

int sl_plan_judge(const struct sl_plan *plan, uint32_t step, const struct sl_plan_world *world,
                  struct sl_arena *a, struct sl_plan_judgement *ret, struct sl_err *err)
{
    struct sl_plan_judgement out = {.verdict = SL_PLAN_RUN};
    struct judge j = {.p = &plan->steps[step], .out = &out, .err = err};
    sl_plan_scope_init(&j.scope, plan, step, world, a);
    int rc = j.p->spec->sub != NULL ? judge_sub(&j, j.p->spec->sub) : 0;
    if (rc == 0 && out.verdict == SL_PLAN_RUN) {
        rc = judge_own(&j);
    }
    if (rc == 0) {
        *ret = out;
    }
    return rc;
}
