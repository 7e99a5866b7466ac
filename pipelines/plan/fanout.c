/* Fan-outs: a step runs once per element of a JSON array that another step made. Pure but for the world. */
#include "core/base/base.h"

#include "pipelines/plan/plan_priv.h"

uint32_t sl_plan_element_index(const struct sl_plan_step *p)
{
    SL_ASSERT(p->matrix.type == SL_V_MAP && p->matrix.map.n == 1);
    return (uint32_t)p->matrix.map.fields[0].value.i;
}

static const char *type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a bool";
    case JSON_NULL: break;
    }
    return "null";
}

int sl_plan_elements(const struct sl_plan *plan, uint32_t step, const struct sl_plan_world *world,
                     const json_t **ret, struct sl_err *err)
{
    const struct sl_step *s = plan->steps[step].spec;
    struct sl_expr_ref ref = {.n = 0};
    const json_t *array = NULL;
    bool is_ref = sl_tmpl_ref(s->matrix->from, &ref) && ref.n >= 4;
    SL_ASSERT(is_ref); /* the spec's rules */
    struct sl_spec_output made =
        sl_spec_find_output(plan->spec, s->sub, ref.parts[1], ref.parts[3]);
    const struct sl_artifact *artifact = NULL;
    if (made.step != NULL) {
        uint32_t first = plan->group_first[made.step - plan->spec->steps];
        artifact = world->step_output(world->data, first, made.output->name);
    }
    if (artifact == NULL) {
        return sl_err_set(err, SL_ENOTFOUND, "fan-out: step '%s' has no output '%s'", ref.parts[1],
                          ref.parts[3]);
    }
    if (world->read_json == NULL) {
        return sl_err_set(err, SL_EUNSUPPORTED, "fan-out: outputs cannot be read here");
    }
    int rc = world->read_json(world->data, artifact, &array, err);
    if (rc < 0) {
        return sl_err_wrap(err, "fan-out: output '%s' of step '%s'", ref.parts[3], ref.parts[1]);
    }
    if (!json_is_array(array)) {
        return sl_err_set(err, SL_EINVAL,
                          "fan-out: output '%s' of step '%s' must be a JSON array, found %s",
                          ref.parts[3], ref.parts[1], type_of(array));
    }
    *ret = array;
    return 0;
}

int sl_plan_scope_element(struct sl_plan_scope *s, struct sl_err *err)
{
    const struct sl_plan_step *p = &s->plan->steps[s->step];
    const json_t *array = NULL;
    if (!sl_plan_is_fanout(p->spec)) {
        return 0;
    }
    uint32_t index = sl_plan_element_index(p);
    int rc = sl_plan_elements(s->plan, s->step, s->world, &array, err);
    if (rc < 0) {
        return rc;
    }
    const json_t *element = json_array_get(array, index);
    if (element == NULL) {
        return sl_err_set(err, SL_EINVAL, "fan-out has %zu items, this is number %u",
                          json_array_size(array), index);
    }
    if (json_is_array(element) || json_is_null(element)) {
        return sl_err_set(err, SL_EINVAL,
                          "fan-out: item %u must be a string, a number, a bool or an object, found "
                          "%s",
                          index, type_of(element));
    }
    struct sl_value_field *fields = SL_ARENA_ARRAY(s->a, struct sl_value_field, 2);
    fields[0] = (struct sl_value_field){p->spec->matrix->as, sl_value_from_json(s->a, element)};
    fields[1] = p->matrix.map.fields[0];
    s->matrix.map.fields = fields;
    s->matrix.map.n = 2;
    return 0;
}
