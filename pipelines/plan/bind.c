/* Binding: every template of a step evaluated, every input named by its version. Pure but for the world. */
#include "core/base/base.h"

#include <stdio.h>

#include "pipelines/plan/plan_priv.h"

struct binder {
    struct sl_plan_scope scope;
    const struct sl_plan *plan;
    const struct sl_plan_step *p;
    const struct sl_plan_world *world;
    struct sl_arena *a;
};

/* ---- references to outputs ------------------------------------------------------------------------ */

struct output_ref {
    const char *step, *output;
    bool star;
};

/** Whether the template is one expression naming steps.X.outputs.Y. */
static bool names_output(const struct sl_tmpl *t, struct output_ref *ret)
{
    struct sl_expr_ref ref;
    if (!sl_tmpl_ref(t, &ref) || ref.n < 4 || !sl_streq(ref.parts[0], "steps") ||
        !sl_streq(ref.parts[2], "outputs")) {
        return false;
    }
    *ret = (struct output_ref){.step = ref.parts[1], .output = ref.parts[3]};
    ret->star = ref.n >= 5 && sl_streq(ref.parts[4], "*");
    return true;
}

/** A template with the sub-pipeline whose names it uses, and the kind of registry reference that it is. */
struct written {
    const struct sl_tmpl *t;
    const struct sl_sub *sub;
    enum sl_entity entity; /* SL_ENT_NONE: an expression */
};

/** From `inputs.NAME` to what the step that stands for the sub-pipeline passes under that name. */
static struct written follow(struct written w)
{
    struct sl_expr_ref ref;
    while (w.sub != NULL && sl_tmpl_ref(w.t, &ref) && ref.n == 2 &&
           sl_streq(ref.parts[0], "inputs")) {
        const struct sl_input *passed = NULL;
        for (size_t i = 0; i < w.sub->n_inputs && passed == NULL; i++) {
            passed = sl_streq(w.sub->inputs[i].name, ref.parts[1]) ? &w.sub->inputs[i] : NULL;
        }
        if (passed == NULL) {
            break; /* the spec's rules do not let this happen */
        }
        w = (struct written){passed->ref, w.sub->up, passed->entity};
    }
    return w;
}

/** The name of an instance as one path component: "/", "%" and control characters percent-encoded; the
 * index when that is empty, too long, or starts with a dot. */
static const char *item_name(const char *text, uint32_t index, struct sl_arena *a)
{
    _cleanup_(buf)
    struct sl_buf b = SL_BUF_INIT(SL_PLAN_ITEM_NAME_MAX);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '/' || *c == '%' || (unsigned char)*c < 0x20 || *c == 0x7f) {
            sl_buf_printf(&b, "%%%02X", (unsigned)(unsigned char)*c);
        } else {
            sl_buf_putc(&b, *c);
        }
    }
    if (b.len == 0 || b.overflow || b.ptr[0] == '.') {
        return sl_arena_printf(a, "%u", index);
    }
    return sl_arena_strndup(a, sl_buf_str(&b), b.len);
}

static const char *instance_text(const struct sl_plan_step *p, struct sl_arena *a)
{
    return sl_plan_is_fanout(p->spec) ? sl_arena_printf(a, "%u", sl_plan_element_index(p))
                                      : sl_plan_matrix_text(&p->matrix, a);
}

/** One artifact per instance of the step, in plan order. */
static int outputs(struct binder *b, const struct sl_sub *sub, const struct output_ref *o,
                   struct sl_bound_input *in, struct sl_err *err)
{
    struct sl_spec_output made = sl_spec_find_output(b->plan->spec, sub, o->step, o->output);
    if (made.step == NULL) {
        return sl_err_set(err, SL_EINVAL, "no output '%s' of a step '%s'", o->output, o->step);
    }
    size_t group = (size_t)(made.step - b->plan->spec->steps);
    uint32_t first = b->plan->group_first[group];
    uint32_t n = b->plan->group_count[group];
    if (!o->star && made.step->matrix != NULL && n > 1) {
        return sl_err_set(err, SL_EINVAL,
                          "step '%s' has %u instances: write steps.%s.outputs.%s[*]", o->step, n,
                          o->step, o->output);
    }
    in->items = SL_ARENA_ARRAY(b->a, struct sl_artifact, n + 1U);
    in->item_names = SL_ARENA_ARRAY(b->a, const char *, n + 1U);
    in->is_list = o->star;
    for (uint32_t i = 0; i < n; i++) {
        const struct sl_artifact *v =
            b->world->step_output(b->world->data, first + i, made.output->name);
        if (v == NULL) {
            continue; /* an instance that was skipped, or an optional output that was not written */
        }
        in->item_names[in->n] = item_name(instance_text(&b->plan->steps[first + i], b->a), i, b->a);
        in->items[in->n++] = *v;
    }
    if (in->n == 0 && !(o->star && sl_plan_is_fanout(made.step))) { /* of nothing, nothing */
        return sl_err_set(err, SL_ENOTFOUND, "step '%s' has no output '%s'", o->step, o->output);
    }
    return 0;
}

/** A text in the names of a sub-pipeline further out, or of the step's own. */
static int text_of(struct binder *b, const struct written *w, const char *what, const char **ret,
                   struct sl_err *err)
{
    struct sl_plan_scope outer = b->scope;
    if (w->sub == b->p->spec->sub) {
        return sl_plan_text(&b->scope, w->t, what, ret, err);
    }
    outer.scope.data = &outer;
    sl_plan_scope_move(&outer, w->sub);
    return sl_plan_text(&outer, w->t, what, ret, err);
}

static const char *entity_name(enum sl_entity entity)
{
    return entity == SL_ENT_DATASET ? "dataset" : entity == SL_ENT_MODEL ? "model" : "artifact";
}

/** A template that names one version: an output, or a registry reference of the given kind. */
static int version(struct binder *b, struct written w, const char *what, struct sl_artifact *ret,
                   struct sl_err *err)
{
    struct output_ref o;
    struct sl_bound_input in = {0};
    const char *text = NULL;
    enum sl_entity wanted = w.entity;
    int rc = 0;
    w = follow(w);
    if (names_output(w.t, &o)) {
        rc = outputs(b, w.sub, &o, &in, err);
        if (rc == 0 && in.n != 1) {
            rc = sl_err_set(err, SL_EINVAL, "names %zu versions; exactly one is needed", in.n);
        }
        *ret = rc == 0 ? in.items[0] : *ret;
        return rc < 0 ? sl_err_wrap(err, "%s", what) : 0;
    }
    if (w.entity != wanted) {
        return sl_err_set(err, SL_EINVAL, "%s: expected a %s, but a%s %s is passed in", what,
                          entity_name(wanted), w.entity == SL_ENT_ARTIFACT ? "n" : "",
                          entity_name(w.entity));
    }
    rc = text_of(b, &w, what, &text, err);
    if (rc < 0) {
        return rc;
    }
    rc = b->world->resolve(b->world->data, w.entity, text, ret, err);
    if (rc < 0) {
        (void)sl_err_wrap(err, "%s", what);
    }
    return rc;
}

static int own_version(struct binder *b, const struct sl_tmpl *t, enum sl_entity entity,
                       const char *what, struct sl_artifact *ret, struct sl_err *err)
{
    return version(b, (struct written){t, b->p->spec->sub, entity}, what, ret, err);
}

/* ---- inputs --------------------------------------------------------------------------------------- */

/** `sub`: whose names the input is written in. */
static int bind_input(struct binder *b, const struct sl_sub *sub, const struct sl_input *input,
                      struct sl_bound_input *in, struct sl_err *err)
{
    struct output_ref o;
    const char *what = sl_arena_printf(b->a, "input '%s'", input->name);
    struct written w = follow((struct written){input->ref, sub, input->entity});
    in->input = input;
    if (w.entity == SL_ENT_NONE && names_output(w.t, &o)) {
        int rc = outputs(b, w.sub, &o, in, err);
        return rc < 0 ? sl_err_wrap(err, "%s", what) : 0;
    }
    if (w.entity == SL_ENT_NONE) {
        return sl_err_set(err, SL_EINVAL, "%s: expected an output of a step", what);
    }
    in->items = SL_ARENA_NEW(b->a, struct sl_artifact);
    in->n = 1;
    return version(b, w, what, &in->items[0], err);
}

static int bind_inputs(struct binder *b, struct sl_bound_step *ret, struct sl_err *err)
{
    const struct sl_step *s = b->p->spec;
    ret->inputs = SL_ARENA_ARRAY(b->a, struct sl_bound_input, s->n_inputs + 1);
    ret->n_inputs = s->n_inputs;
    for (size_t i = 0; i < s->n_inputs; i++) {
        int rc = bind_input(b, s->sub, &s->inputs[i], &ret->inputs[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/** The champion stands where the step would take candidate models. */
static void replace_models(struct binder *b, struct sl_bound_step *ret)
{
    static const char name[] = "champion";
    for (size_t i = 0; i < ret->n_inputs; i++) {
        struct sl_bound_input *in = &ret->inputs[i];
        if (in->n > 0 && in->items[0].entity == SL_ENT_MODEL) {
            in->items = sl_arena_memdup(b->a, &ret->champion, sizeof(ret->champion));
            in->item_names = SL_ARENA_ARRAY(b->a, const char *, 1);
            in->item_names[0] = name;
            in->n = 1;
        }
    }
}

/* ---- gates ---------------------------------------------------------------------------------------- */

/** The dataset both sides are judged on: `on`, else the only one that the evaluating step reads. */
static int bind_on(struct binder *b, const struct sl_step *gate, struct sl_bound_step *ret,
                   struct sl_err *err)
{
    struct output_ref o;
    if (gate->gate.on != NULL) {
        ret->has_on = true;
        return own_version(b, gate->gate.on, SL_ENT_DATASET, "on", &ret->on, err);
    }
    const struct sl_spec *spec = b->plan->spec;
    const struct sl_step *by = NULL;
    if (gate->gate.evaluate != NULL) {
        by = sl_spec_find(spec, NULL, gate->gate.evaluate).step;
    } else if (names_output(gate->gate.candidate, &o)) {
        by = sl_spec_find_output(spec, gate->sub, o.step, o.output).step;
    }
    size_t n = 0;
    for (size_t i = 0; by != NULL && i < by->n_inputs; i++) {
        struct sl_bound_input in = {0};
        if (bind_input(b, by->sub, &by->inputs[i], &in, NULL) == 0 && in.n == 1 &&
            in.items[0].entity == SL_ENT_DATASET) {
            ret->on = in.items[0];
            n++;
        }
    }
    ret->has_on = n == 1;
    return n == 1 ? 0
                  : sl_err_set(err, SL_EINVAL,
                               "gate '%s': %zu datasets could be meant; say which with 'on:'",
                               gate->id, n);
}

static int bind_champion(struct binder *b, const struct sl_step *gate, struct sl_bound_step *ret,
                         struct sl_err *err)
{
    if (gate->gate.champion == NULL) {
        return 0;
    }
    int rc = own_version(b, gate->gate.champion, SL_ENT_MODEL, "champion", &ret->champion, err);
    ret->has_champion = rc == 0;
    return rc == -SL_ENOTFOUND ? 0 : rc; /* none yet: the gate's policy decides */
}

static int bind_gate(struct binder *b, struct sl_bound_step *ret, struct sl_err *err)
{
    const struct sl_step *s = b->p->spec;
    int rc = own_version(b, s->gate.candidate, SL_ENT_MODEL, "candidate", &ret->candidate, err);
    rc = rc < 0 ? rc : bind_champion(b, s, ret, err);
    return rc < 0 ? rc : bind_on(b, s, ret, err);
}

/* ---- the rest ------------------------------------------------------------------------------------- */

static int bind_env(struct binder *b, struct sl_bound_step *ret, struct sl_err *err)
{
    const struct sl_step *s = b->p->spec;
    ret->env = SL_ARENA_ARRAY(b->a, struct sl_bound_env, s->n_env + 1);
    for (size_t i = 0; i < s->n_env; i++) {
        ret->env[i].name = s->env[i].name;
        int rc = sl_plan_text(&b->scope, s->env[i].value,
                              sl_arena_printf(b->a, "env '%s'", s->env[i].name), &ret->env[i].value,
                              err);
        if (rc < 0) {
            return rc;
        }
    }
    ret->n_env = s->n_env;
    return 0;
}

static int bind_argv(struct binder *b, struct sl_bound_step *ret, struct sl_err *err)
{
    const struct sl_step *s = b->p->spec;
    size_t n = s->action == SL_ACT_RUN ? 4 : s->n_argv;
    ret->argv = SL_ARENA_ARRAY(b->a, const char *, n + 1);
    if (s->action == SL_ACT_RUN) {
        static const char *const shell[] = {"/bin/sh", "-eu", "-c"};
        for (size_t i = 0; i < SL_LEN(shell); i++) {
            ret->argv[i] = shell[i];
        }
        ret->argv[3] = s->run;
        return 0;
    }
    for (size_t i = 0; i < s->n_argv; i++) {
        int rc = sl_plan_text(&b->scope, s->argv[i], sl_arena_printf(b->a, "command[%zu]", i),
                              &ret->argv[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int bind_outputs(struct binder *b, struct sl_bound_step *ret, struct sl_err *err)
{
    const struct sl_step *s = b->p->spec;
    ret->output_names = SL_ARENA_ARRAY(b->a, const char *, s->n_outputs + 1);
    for (size_t i = 0; i < s->n_outputs; i++) {
        ret->output_names[i] = "";
        int rc = s->outputs[i].ref == NULL
                     ? 0
                     : sl_plan_text(&b->scope, s->outputs[i].ref,
                                    sl_arena_printf(b->a, "output '%s'", s->outputs[i].name),
                                    &ret->output_names[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

struct used {
    const struct sl_param_value
        *params; /* of the pipeline, or of the sub-pipeline that the step is in */
    size_t n;
    json_t *out;
};

static void use_param(const struct sl_expr_ref *ref, void *data)
{
    struct used *u = data;
    if (ref->n < 1 || !sl_streq(ref->parts[0], "params")) {
        return;
    }
    for (size_t i = 0; i < u->n; i++) {
        const struct sl_param_value *p = &u->params[i];
        if (ref->n == 1 || sl_streq(ref->parts[1], p->param->name)) {
            json_object_set_new(u->out, p->param->name, sl_value_json(&p->value));
        }
    }
}

static int bind_all(struct binder *b, struct sl_bound_step *ret, struct sl_err *err)
{
    const struct sl_step *s = b->p->spec;
    int rc = 0;
    if (b->p->is_champion_eval) {
        const struct sl_step *gate = b->plan->steps[b->p->gate_index].spec;
        rc = bind_champion(b, gate, ret, err);
        rc = rc < 0 || !ret->has_champion ? rc : bind_on(b, gate, ret, err);
    } else if (s->action == SL_ACT_GATE) {
        rc = bind_gate(b, ret, err);
    } else if (s->action == SL_ACT_DEPLOY) {
        rc = own_version(b, s->deploy.model, SL_ENT_MODEL, "model", &ret->candidate, err);
    } else if (s->action == SL_ACT_APPROVAL && s->approval.candidate != NULL) {
        rc = own_version(b, s->approval.candidate, SL_ENT_MODEL, "candidate", &ret->candidate, err);
    }
    rc = rc < 0 ? rc : bind_inputs(b, ret, err);
    if (rc == 0 && ret->has_champion && b->p->is_champion_eval) {
        replace_models(b, ret);
    }
    rc = rc < 0 ? rc : bind_env(b, ret, err);
    rc = rc < 0 ? rc : bind_argv(b, ret, err);
    return rc < 0 ? rc : bind_outputs(b, ret, err);
}

int sl_plan_bind(const struct sl_plan *plan, uint32_t step, const struct sl_plan_world *world,
                 struct sl_arena *a, struct sl_bound_step *ret, struct sl_err *err)
{
    struct binder b = {.plan = plan, .p = &plan->steps[step], .world = world, .a = a};
    struct sl_bound_step out = {.used_params = json_object()};
    const struct sl_sub *sub = b.p->spec->sub;
    struct used used = {.params = plan->params, .n = plan->spec->n_params, .out = out.used_params};
    if (sub != NULL) {
        used.params = plan->sub_params[sub->index];
        used.n = sub->n_params;
    }
    sl_plan_scope_init(&b.scope, plan, step, world, a);
    sl_plan_step_refs(b.p->spec, use_param, &used);
    int rc = sl_plan_scope_element(&b.scope, err);
    if (b.p->matrix.type == SL_V_MAP) {
        out.matrix = b.scope.matrix;
    }
    rc = rc < 0 ? rc : bind_all(&b, &out, err);
    if (rc < 0) {
        sl_bound_step_release(&out);
        return rc;
    }
    *ret = out;
    return 0;
}

void sl_bound_step_release(struct sl_bound_step *b)
{
    json_decref(b->used_params);
    b->used_params = NULL;
}
