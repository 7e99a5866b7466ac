/** What the planner's files share. Not for other rooms. */
#ifndef SL_PLAN_PRIV_H
#define SL_PLAN_PRIV_H

#include "pipelines/plan/plan.h"

#define SL_PLAN_ITEM_NAME_MAX 200 /* bytes of one entry of a list input; longer ones go by index */

/** The spec with a step for each environment, which those that run in it need. */
const struct sl_spec *sl_plan_add_envs(const struct sl_spec *spec, struct sl_arena *a);

/** Index of a written step; -1 when there is none of that name. */
int sl_plan_spec_index(const struct sl_spec *spec, const char *id);

/** Calls fn for every reference in the templates and expressions of a step. */
void sl_plan_step_refs(const struct sl_step *s, sl_expr_ref_fn fn, void *data);

/** The instances of a step with matrix: an array of maps (SL_V_MAP). Without one: a single SL_V_NULL. */
int sl_plan_instances(const struct sl_step *s, struct sl_arena *a, struct sl_diags *diags,
                      struct sl_value **ret, size_t *ret_n);
/** "seed=2,depth=3"; "" for SL_V_NULL. */
const char *sl_plan_matrix_text(const struct sl_value *matrix, struct sl_arena *a);

/** A scope over params, matrix, run and the steps that an expression mentions. */
struct sl_plan_scope {
    struct sl_expr_scope scope;
    const struct sl_plan *plan;
    const struct sl_plan_world *world;
    uint32_t step;
    struct sl_arena *a;
    struct sl_value params, matrix, run, steps;
    size_t steps_room;
};
void sl_plan_scope_init(struct sl_plan_scope *s, const struct sl_plan *plan, uint32_t step,
                        const struct sl_plan_world *world, struct sl_arena *a);
/** Makes the steps that the expression or template mentions known to the scope. One of x, t is NULL. */
void sl_plan_scope_load(struct sl_plan_scope *s, const struct sl_expr *x, const struct sl_tmpl *t);
/** Evaluates a template to text in the arena. Errors name `what`. */
int sl_plan_text(struct sl_plan_scope *s, const struct sl_tmpl *t, const char *what,
                 const char **ret, struct sl_err *err);

#endif
