/** What the planner's files share. Not for other rooms. */
#ifndef SL_PLAN_PRIV_H
#define SL_PLAN_PRIV_H

#include "pipelines/plan/plan.h"

#define SL_PLAN_ITEM_NAME_MAX 200 /* bytes of one entry of a list input; longer ones go by index */

/** The spec with a step for each environment, which those that run in it need. */
const struct sl_spec *sl_plan_add_envs(const struct sl_spec *spec, struct sl_arena *a);

/** Whether a need that ended so does not keep a step whose names are those of `sub` from running. */
bool sl_plan_need_good(const struct sl_plan *plan, uint32_t need, const char *status,
                       const struct sl_sub *sub);

struct sl_plan_scope;
/** Why the step must not run by its default condition; NULL when all that it needs went well. */
const char *sl_plan_bad_need(const struct sl_plan_scope *s);

/** Types the parameters of every sub-pipeline from what the steps that stand for them pass. */
int sl_plan_sub_params(const struct sl_spec *spec, const struct sl_param_value *params,
                       struct sl_arena *a, struct sl_diags *diags, struct sl_param_value ***ret);

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
    const struct sl_sub *sub; /* whose names are meant; NULL: the main pipeline's */
    const bool *inherited;    /* of a sub-pipeline's own condition: the needs that it is about */
};
void sl_plan_scope_init(struct sl_plan_scope *s, const struct sl_plan *plan, uint32_t step,
                        const struct sl_plan_world *world, struct sl_arena *a);
/** Means the names of this sub-pipeline (NULL: of the main one) from here on. */
void sl_plan_scope_move(struct sl_plan_scope *s, const struct sl_sub *sub);
/** A fan-out: makes the element known as `matrix.<as>`. Other steps: no effect. */
int sl_plan_scope_element(struct sl_plan_scope *s, struct sl_err *err);
/** The array that a fan-out is made of; borrowed. */
int sl_plan_elements(const struct sl_plan *plan, uint32_t step, const struct sl_plan_world *world,
                     const json_t **ret, struct sl_err *err);
/** Number of an instance of a fan-out. */
uint32_t sl_plan_element_index(const struct sl_plan_step *p);
static inline bool sl_plan_is_fanout(const struct sl_step *s)
{
    return s->matrix != NULL && s->matrix->from != NULL;
}
/** Makes the steps that the expression or template mentions known to the scope. One of x, t is NULL. */
void sl_plan_scope_load(struct sl_plan_scope *s, const struct sl_expr *x, const struct sl_tmpl *t);
/** Evaluates a template to text in the arena. Errors name `what`. */
int sl_plan_text(struct sl_plan_scope *s, const struct sl_tmpl *t, const char *what,
                 const char **ret, struct sl_err *err);

#endif
