/**
 * Rules of gates, deployments and rollbacks that need more than one key or more than one step.
 *
 * Thread: any. Must not: report what is missing or mistyped; that was done before.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

static const char *entity_name(enum sl_entity entity)
{
    switch (entity) {
    case SL_ENT_DATASET: return "a dataset";
    case SL_ENT_MODEL: return "a model";
    case SL_ENT_ARTIFACT: return "an artifact";
    case SL_ENT_NONE: break;
    }
    return "unnamed";
}

struct found_output {
    struct spec_loader *l;
    const struct sl_step *step;
    const struct sl_output *output;
    bool is_list;
};

static void note_output(const struct sl_expr_ref *ref, void *data)
{
    struct found_output *found = data;
    if (ref->n < 4 || !sl_streq(ref->parts[0], "steps") || !sl_streq(ref->parts[2], "outputs")) {
        return;
    }
    for (size_t i = 0; i < found->l->steps.n; i++) {
        const struct sl_step *step = &found->l->steps.items[i];
        for (size_t k = 0; sl_streq(step->id, ref->parts[1]) && k < step->n_outputs; k++) {
            if (sl_streq(step->outputs[k].name, ref->parts[3])) {
                found->step = step;
                found->output = &step->outputs[k];
                found->is_list = ref->n > 4;
            }
        }
    }
}

/* The output that a template names when it is nothing but such a name. */
static struct found_output output_of(struct spec_loader *l, const struct sl_tmpl *tmpl)
{
    struct found_output found = {.l = l};
    const struct sl_expr *expr = tmpl != NULL ? sl_tmpl_single(tmpl) : NULL;
    if (expr != NULL) {
        sl_expr_refs(expr, note_output, &found);
    }
    return found;
}

static struct sl_loc key_loc(struct spec_loader *l, size_t step, const char *map, const char *key)
{
    const struct sl_yaml_pair *pair =
        sl_yaml_pair(sl_yaml_get(l->step_nodes.items[step], map), key);
    return pair != NULL ? pair->key_loc : l->steps.items[step].loc;
}

static void want_entity(struct spec_loader *l, size_t step, const char *map, const char *key,
                        const struct sl_tmpl *tmpl, enum sl_entity wanted)
{
    struct found_output found = output_of(l, tmpl);
    if (found.output == NULL) {
        return;
    }
    struct sl_loc loc = key_loc(l, step, map, key);
    if (found.is_list) {
        spec_error(l, loc, "'%s' of '%s' of step '%s' must be one version, found a list", key, map,
                   l->steps.items[step].id);
    } else if (found.output->entity != wanted) {
        spec_error(
            l, loc, "'%s' of '%s' of step '%s' must be %s, but output '%s' of step '%s' is %s", key,
            map, l->steps.items[step].id, entity_name(wanted), found.output->name, found.step->id,
            found.output->metrics ? "a metrics file" : entity_name(found.output->entity));
    }
}

/* Datasets that a step reads: registry references and other steps' dataset outputs. */
static size_t datasets_of(struct spec_loader *l, const struct sl_step *step, struct sl_buf *names)
{
    size_t n = 0;
    for (size_t i = 0; i < step->n_inputs; i++) {
        const struct sl_input *input = &step->inputs[i];
        struct found_output found = output_of(l, input->ref);
        bool is_dataset = input->entity == SL_ENT_DATASET ||
                          (input->entity == SL_ENT_NONE && found.output != NULL &&
                           found.output->entity == SL_ENT_DATASET);
        if (is_dataset) {
            sl_buf_printf(names, "%s%s", n > 0 ? ", " : "", input->name);
            n++;
        }
    }
    return n;
}

static const struct sl_step *evaluating_step(struct spec_loader *l, const struct sl_gate *gate)
{
    for (size_t i = 0; gate->evaluate != NULL && i < l->steps.n; i++) {
        if (sl_streq(l->steps.items[i].id, gate->evaluate)) {
            return &l->steps.items[i];
        }
    }
    return gate->evaluate == NULL ? output_of(l, gate->candidate).step : NULL;
}

static void check_gate(struct spec_loader *l, size_t index)
{
    const struct sl_step *step = &l->steps.items[index];
    const struct sl_gate *gate = &step->gate;
    const struct sl_yaml_node *node = sl_yaml_get(l->step_nodes.items[index], "gate");
    want_entity(l, index, "gate", "candidate", gate->candidate, SL_ENT_MODEL);
    want_entity(l, index, "gate", "on", gate->on, SL_ENT_DATASET);
    const struct sl_step *evaluator = evaluating_step(l, gate);
    if (gate->evaluate != NULL && evaluator != NULL && evaluator->action != SL_ACT_RUN &&
        evaluator->action != SL_ACT_COMMAND) {
        spec_error(
            l, key_loc(l, index, "gate", "evaluate"),
            "'evaluate' of step '%s' must name a step that runs something; step '%s' does not",
            step->id, evaluator->id);
    }
    if (evaluator != NULL && evaluator->action == SL_ACT_UNSUPPORTED && gate->evaluate == NULL &&
        sl_yaml_get(node, "on") == NULL) {
        spec_error(l, step->loc,
                   "gate of step '%s' needs 'on': its candidate is made by sub-pipeline '%s'",
                   step->id, evaluator->id);
    } else if (evaluator != NULL && sl_yaml_get(node, "on") == NULL) {
        struct sl_buf names = SL_BUF_INIT(512);
        size_t n = datasets_of(l, evaluator, &names);
        if (n > 1) {
            spec_error(l, step->loc,
                       "gate of step '%s' needs 'on': step '%s' reads more than one dataset (%s)",
                       step->id, evaluator->id, sl_buf_str(&names));
        }
        sl_buf_release(&names);
    }
}

static void check_target(struct spec_loader *l, const struct sl_step *step, const char *name,
                         struct sl_loc loc)
{
    const char *names[SPEC_DOCS_MAX];
    for (size_t i = 0; i < l->spec->n_targets; i++) {
        names[i] = l->spec->targets[i].name;
        if (sl_streq(names[i], name)) {
            return;
        }
    }
    spec_error(l, loc, "unknown target '%.128s' in step '%s'%s", name, step->id,
               l->spec->n_targets == 0 ? "; no file here has a document with 'kind: Target'"
                                       : sl_spec_suggest(l, name, names, l->spec->n_targets));
}

static void check_rollback(struct spec_loader *l, size_t index)
{
    const struct sl_step *step = &l->steps.items[index];
    const struct sl_rollback *rollback = &step->rollback;
    if (rollback->target != NULL) {
        check_target(l, step, rollback->target, key_loc(l, index, "rollback", "target"));
    }
    for (size_t i = 0; rollback->of_step != NULL && i < l->steps.n; i++) {
        const struct sl_step *of = &l->steps.items[i];
        if (sl_streq(of->id, rollback->of_step) && of->action != SL_ACT_DEPLOY) {
            spec_error(l, key_loc(l, index, "rollback", "of"),
                       "'of' of step '%s' must name a step that deploys; step '%s' does not",
                       step->id, of->id);
        }
    }
}

/* `from` of a fan-out is one file of JSON. */
static void check_fanout(struct spec_loader *l, size_t index)
{
    const struct sl_step *step = &l->steps.items[index];
    const struct sl_tmpl *from = step->matrix->from;
    struct sl_expr_ref ref;
    struct found_output found = output_of(l, from);
    struct sl_loc loc = key_loc(l, index, "matrix", "from");
    if (!sl_tmpl_ref(from, &ref) || !sl_streq(ref.parts[0], "steps")) {
        spec_error(l, loc,
                   "'from' of 'matrix' of step '%s' must be \"${{ steps.STEP.outputs.NAME }}\" and "
                   "nothing else",
                   step->id);
    } else if (found.output != NULL && found.is_list) {
        spec_error(l, loc, "'from' of 'matrix' of step '%s' must be one output, found a list",
                   step->id);
    } else if (found.output != NULL && found.output->metrics) {
        spec_error(
            l, loc,
            "'from' of 'matrix' of step '%s' must be a file of JSON, but output '%s' of step "
            "'%s' is a metrics file",
            step->id, found.output->name, found.step->id);
    }
}

void sl_spec_check_rules(struct spec_loader *l)
{
    for (size_t i = 0; i < l->steps.n; i++) {
        const struct sl_step *step = &l->steps.items[i];
        if (step->matrix != NULL && step->matrix->from != NULL) {
            check_fanout(l, i);
        }
        switch (step->action) {
        case SL_ACT_GATE: check_gate(l, i); break;
        case SL_ACT_DEPLOY:
            want_entity(l, i, "deploy", "model", step->deploy.model, SL_ENT_MODEL);
            if (step->deploy.target != NULL) {
                check_target(l, step, step->deploy.target, key_loc(l, i, "deploy", "target"));
            }
            break;
        case SL_ACT_ROLLBACK: check_rollback(l, i); break;
        case SL_ACT_APPROVAL:
            want_entity(l, i, "approval", "candidate", step->approval.candidate, SL_ENT_MODEL);
            if (step->approval.target != NULL) {
                check_target(l, step, step->approval.target, key_loc(l, i, "approval", "target"));
            }
            break;
        case SL_ACT_RUN:
        case SL_ACT_COMMAND:
        case SL_ACT_NOTIFY:
        case SL_ACT_UNSUPPORTED: break;
        }
    }
}
