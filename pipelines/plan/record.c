/* Cache records and their differences, and the expanded plan as JSON. Pure. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/plan/plan_priv.h"

#define RECORD_SCHEMA 1

static json_t *digest_json(const struct sl_digest *d)
{
    char hex[SL_DIGEST_HEX + 1];
    return json_string(sl_digest_hex(d, hex));
}

static json_t *argv_json(const struct sl_bound_step *b)
{
    json_t *list = json_array();
    for (size_t i = 0; b->argv != NULL && b->argv[i] != NULL; i++) {
        json_array_append_new(list, json_string(b->argv[i]));
    }
    return list;
}

static json_t *inputs_json(const struct sl_bound_step *b)
{
    json_t *all = json_object();
    for (size_t i = 0; i < b->n_inputs; i++) {
        const struct sl_bound_input *in = &b->inputs[i];
        json_t *value = in->is_list ? json_object() : NULL;
        for (size_t k = 0; in->is_list && k < in->n; k++) {
            json_object_set_new(value, in->item_names[k], digest_json(&in->items[k].digest));
        }
        json_object_set_new(all, in->input->name,
                            in->is_list ? value : digest_json(&in->items[0].digest));
    }
    return all;
}

static json_t *env_json(const struct sl_bound_step *b)
{
    json_t *all = json_object();
    for (size_t i = 0; i < b->n_env; i++) {
        json_object_set_new(all, b->env[i].name, json_string(b->env[i].value));
    }
    return all;
}

static json_t *outputs_json(const struct sl_step *s, const struct sl_bound_step *b)
{
    json_t *all = json_object();
    for (size_t i = 0; i < s->n_outputs; i++) {
        json_object_set_new(all, s->outputs[i].name,
                            json_pack("{s:i, s:s, s:s?, s:b}", "entity", (int)s->outputs[i].entity,
                                      "name", b->output_names[i], "path", s->outputs[i].path,
                                      "metrics", s->outputs[i].metrics));
    }
    return all;
}

static json_t *code_json(const struct sl_step *s, const struct sl_digest *digest)
{
    json_t *paths = json_array();
    for (size_t i = 0; i < s->n_code; i++) {
        json_array_append_new(paths, json_string(s->code[i]));
    }
    return json_pack("{s:o, s:o}", "digest", digest_json(digest), "paths", paths);
}

struct index_use {
    bool is_used;
};

static void note_index(const struct sl_expr_ref *ref, void *data)
{
    struct index_use *u = data;
    u->is_used = u->is_used || (sl_streq(ref->parts[0], "matrix") &&
                                (ref->n == 1 || sl_streq(ref->parts[1], "index")));
}

/** Of a fan-out the number counts only where the step uses it: an element that moved is the same work. */
static json_t *matrix_json(const struct sl_step *s, const struct sl_value *matrix)
{
    struct index_use use = {false};
    if (matrix->type != SL_V_MAP) {
        return NULL;
    }
    json_t *o = sl_value_json(matrix);
    if (sl_plan_is_fanout(s)) {
        sl_plan_step_refs(s, note_index, &use);
        if (!use.is_used) {
            (void)json_object_del(o, "index");
        }
    }
    return o;
}

/** Names only: a value that was rotated changes no result, and must not be guessed from a digest. */
static json_t *secrets_json(const struct sl_step *s)
{
    json_t *o = s->n_secrets > 0 ? json_object() : NULL;
    for (size_t i = 0; i < s->n_secrets; i++) {
        const struct sl_secret_use *use = &s->secrets[i];
        (void)json_object_set_new(o, use->var,
                                  json_pack("{s:s, s:s}", "secret", use->secret, "as",
                                            use->as == SL_SECRET_FILE ? "file" : "env"));
    }
    return o;
}

int sl_plan_cache_record(const struct sl_plan *plan, uint32_t step,
                         const struct sl_bound_step *bound, const struct sl_digest *code_digest,
                         const struct sl_digest *runtime_digest, json_t **ret_record,
                         struct sl_digest *ret_key)
{
    const struct sl_plan_step *p = &plan->steps[step];
    json_t *r = json_pack(
        "{s:i, s:s, s:b, s:o, s:o, s:o, s:o*, s:O, s:o, s:o, s:o, s:o*}", "schema", RECORD_SCHEMA,
        "action", sl_action_name(p->spec->action), "champion", p->is_champion_eval, "command",
        argv_json(bound), "code", code_json(p->spec, code_digest), "runtime",
        digest_json(runtime_digest), "matrix", matrix_json(p->spec, &bound->matrix), "params",
        bound->used_params, "env", env_json(bound), "inputs", inputs_json(bound), "outputs",
        outputs_json(p->spec, bound), "secrets", secrets_json(p->spec));
    SL_ASSERT(r != NULL);
    _cleanup_(free)
    char *text = sl_json_canonical(r);
    sl_sha256(text, strlen(text), ret_key);
    *ret_record = r;
    return 0;
}

/* ---- differences ---------------------------------------------------------------------------------- */

static void differ(json_t *out, const char *field, const json_t *old, const json_t *new)
{
    json_array_append_new(out,
                          json_pack("{s:s, s:O?, s:O?}", "field", field, "old", old, "new", new));
}

static void compare(json_t *out, const char *field, const json_t *old, const json_t *new)
{
    if (old != NULL && new != NULL && json_equal(old, new)) {
        return;
    }
    if (!json_is_object(old) || !json_is_object(new)) {
        differ(out, field, old, new);
        return;
    }
    json_auto_t *both = json_copy((json_t *)(uintptr_t)old);
    (void)json_object_update_missing(both, (json_t *)(uintptr_t) new);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach (both, key, value) {
        _cleanup_(free)
        char *path = field[0] != '\0' ? sl_asprintf("%s.%s", field, key) : sl_strdup(key);
        compare(out, path, json_object_get(old, key), json_object_get(new, key));
    }
}

json_t *sl_plan_diff_records(const json_t *old_record, const json_t *new_record)
{
    json_t *out = json_array();
    compare(out, "", old_record, new_record);
    return out;
}

/* ---- the plan as JSON ----------------------------------------------------------------------------- */

static json_t *resources_json(const struct sl_resources *r)
{
    return json_pack("{s:i, s:I, s:i, s:i}", "cpu_milli", r->cpu_milli, "memory_bytes",
                     (json_int_t)r->mem_bytes, "gpu", r->gpu_count, "priority", r->priority);
}

/** What the instances of one written step have in common: made once, referred to by each. */
struct common {
    const struct sl_step *spec;
    const char *condition;
    json_t *step, *action, *cond, *resources;
};

static void common_release(struct common *c)
{
    json_decref(c->step);
    json_decref(c->action);
    json_decref(c->cond);
    json_decref(c->resources);
}

static void common_set(struct common *c, const struct sl_plan_step *p)
{
    if (c->spec == p->spec && sl_streq(c->condition, p->effective_cond)) {
        return;
    }
    common_release(c);
    *c = (struct common){
        .spec = p->spec,
        .condition = p->effective_cond,
        .step = json_string(p->spec->id),
        .action = json_string(sl_action_name(p->spec->action)),
        .cond = json_string(p->effective_cond),
        .resources = resources_json(&p->spec->resources),
    };
}

static json_t *step_json(const struct sl_plan *plan, uint32_t i, const struct common *c)
{
    const struct sl_plan_step *p = &plan->steps[i];
    bool repeats = i > 0 && plan->steps[i - 1].needs == p->needs && p->n_needs > 0;
    json_t *needs =
        NULL; /* instances of one matrix share their needs: written once, for the first */
    if (!repeats) {
        needs = json_array();
        for (uint32_t k = 0; k < p->n_needs; k++) {
            json_array_append_new(needs, json_integer(p->needs[k]));
        }
    }
    return json_pack("{s:s, s:O, s:O, s:O, s:o*, s:o*, s:O, s:b, s:b}", "key", p->key, "step",
                     c->step, "action", c->action, "condition", c->cond, "needs", needs, "matrix",
                     p->matrix.type == SL_V_MAP ? sl_value_json(&p->matrix) : NULL, "resources",
                     c->resources, "finally", p->is_finally, "champion", p->is_champion_eval);
}

json_t *sl_plan_step_json(const struct sl_plan *plan, uint32_t step)
{
    struct common common = {0};
    common_set(&common, &plan->steps[step]);
    json_t *o = step_json(plan, step, &common);
    common_release(&common);
    return o;
}

json_t *sl_plan_head_json(const struct sl_plan *plan)
{
    json_t *params = json_object();
    for (size_t i = 0; i < plan->spec->n_params; i++) {
        const struct sl_param_value *v = &plan->params[i];
        json_object_set_new(
            params, v->param->name,
            json_pack("{s:o, s:s}", "value", sl_value_json(&v->value), "origin", v->origin));
    }
    return json_pack("{s:s, s:o}", "pipeline", plan->spec->name, "params", params);
}

json_t *sl_plan_json(const struct sl_plan *plan)
{
    json_t *all = sl_plan_head_json(plan);
    json_t *steps = json_array();
    struct common common = {0};
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        common_set(&common, &plan->steps[i]);
        json_array_append_new(steps, step_json(plan, i, &common));
    }
    common_release(&common);
    json_object_set_new(all, "steps", steps);
    return all;
}
