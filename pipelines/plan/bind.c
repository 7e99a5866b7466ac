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
    size_t whole; /* bytes of the expression: the reference must be all of it */
    bool star, found;
};

static void take_ref(const struct sl_expr_ref *ref, void *data)
{
    struct output_ref *o = data;
    if (!o->found && ref->width == o->whole && ref->n >= 4 && sl_streq(ref->parts[0], "steps") &&
        sl_streq(ref->parts[2], "outputs")) {
        o->step = ref->parts[1];
        o->output = ref->parts[3];
        o->star = ref->n >= 5 && sl_streq(ref->parts[4], "*");
        o->found = true;
    }
}

/** Whether the template is one expression naming steps.X.outputs.Y. */
static bool names_output(const struct sl_tmpl *t, struct output_ref *ret)
{
    const struct sl_expr *x = sl_tmpl_single(t);
    *ret = (struct output_ref){0};
    if (x != NULL) {
        ret->whole = strlen(sl_expr_source(x));
        sl_expr_refs(x, take_ref, ret);
    }
    return ret->found;
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

/** One artifact per instance of the step, in plan order. */
static int outputs(struct binder *b, const struct output_ref *o, struct sl_bound_input *in,
                   struct sl_err *err)
{
    int group = sl_plan_spec_index(b->plan->spec, o->step);
    if (group < 0) {
        return sl_err_set(err, SL_EINVAL, "no step '%s'", o->step);
    }
    uint32_t first = b->plan->group_first[group];
    uint32_t n = b->plan->group_count[group];
    if (!o->star && b->plan->spec->steps[group].matrix != NULL && n > 1) {
        return sl_err_set(err, SL_EINVAL,
                          "step '%s' has %u instances: write steps.%s.outputs.%s[*]", o->step, n,
                          o->step, o->output);
    }
    in->items = SL_ARENA_ARRAY(b->a, struct sl_artifact, n + 1U);
    in->item_names = SL_ARENA_ARRAY(b->a, const char *, n + 1U);
    in->is_list = o->star;
    for (uint32_t i = 0; i < n; i++) {
        const struct sl_artifact *v = b->world->step_output(b->world->data, first + i, o->output);
        if (v == NULL) {
            continue; /* an instance that was skipped, or an optional output that was not written */
        }
        const char *text = sl_plan_matrix_text(&b->plan->steps[first + i].matrix, b->a);
        in->item_names[in->n] = item_name(text, i, b->a);
        in->items[in->n++] = *v;
    }
    if (in->n == 0) {
        return sl_err_set(err, SL_ENOTFOUND, "step '%s' has no output '%s'", o->step, o->output);
    }
    return 0;
}

/** A template that names one version: an output, or a registry reference of the given kind. */
static int version(struct binder *b, const struct sl_tmpl *t, enum sl_entity entity,
                   const char *what, struct sl_artifact *ret, struct sl_err *err)
{
    struct output_ref o;
    struct sl_bound_input in = {0};
    const char *text = NULL;
    int rc = 0;
    if (names_output(t, &o)) {
        rc = outputs(b, &o, &in, err);
        if (rc == 0 && in.n != 1) {
            rc = sl_err_set(err, SL_EINVAL, "names %zu versions; exactly one is needed", in.n);
        }
        *ret = rc == 0 ? in.items[0] : *ret;
        return rc < 0 ? sl_err_wrap(err, "%s", what) : 0;
    }
    rc = sl_plan_text(&b->scope, t, what, &text, err);
    if (rc < 0) {
        return rc;
    }
    rc = b->world->resolve(b->world->data, entity, text, ret, err);
    if (rc < 0) {
        (void)sl_err_wrap(err, "%s", what);
    }
    return rc;
}

/* ---- inputs --------------------------------------------------------------------------------------- */

static int bind_input(struct binder *b, const struct sl_input *input, struct sl_bound_input *in,
                      struct sl_err *err)
{
    struct output_ref o;
    const char *what = sl_arena_printf(b->a, "input '%s'", input->name);
    in->input = input;
    if (input->entity == SL_ENT_NONE && names_output(input->ref, &o)) {
        int rc = outputs(b, &o, in, err);
        return rc < 0 ? sl_err_wrap(err, "%s", what) : 0;
    }
    if (input->entity == SL_ENT_NONE) {
        return sl_err_set(err, SL_EINVAL, "%s: expected an output of a step", what);
    }
    in->items = SL_ARENA_NEW(b->a, struct sl_artifact);
    in->n = 1;
    return version(b, input->ref, input->entity, what, &in->items[0], err);
}

static int bind_inputs(struct binder *b, struct sl_bound_step *ret, struct sl_err *err)
{
    const struct sl_step *s = b->p->spec;
    ret->inputs = SL_ARENA_ARRAY(b->a, struct sl_bound_input, s->n_inputs + 1);
    ret->n_inputs = s->n_inputs;
    for (size_t i = 0; i < s->n_inputs; i++) {
        int rc = bind_input(b, &s->inputs[i], &ret->inputs[i], err);
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
        return version(b, gate->gate.on, SL_ENT_DATASET, "on", &ret->on, err);
    }
    const char *id = gate->gate.evaluate;
    if (id == NULL && names_output(gate->gate.candidate, &o)) {
        id = o.step;
    }
    int at = id != NULL ? sl_plan_spec_index(b->plan->spec, id) : -1;
    size_t n = 0;
    for (size_t i = 0; at >= 0 && i < b->plan->spec->steps[at].n_inputs; i++) {
        const struct sl_input *input = &b->plan->spec->steps[at].inputs[i];
        struct sl_bound_input in = {0};
        if (bind_input(b, input, &in, NULL) == 0 && in.n == 1 &&
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
    int rc = version(b, gate->gate.champion, SL_ENT_MODEL, "champion", &ret->champion, err);
    ret->has_champion = rc == 0;
    return rc == -SL_ENOTFOUND ? 0 : rc; /* none yet: the gate's policy decides */
}

static int bind_gate(struct binder *b, struct sl_bound_step *ret, struct sl_err *err)
{
    const struct sl_step *s = b->p->spec;
    int rc = version(b, s->gate.candidate, SL_ENT_MODEL, "candidate", &ret->candidate, err);
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
    const struct sl_plan *plan;
    json_t *out;
};

static void use_param(const struct sl_expr_ref *ref, void *data)
{
    struct used *u = data;
    if (ref->n < 1 || !sl_streq(ref->parts[0], "params")) {
        return;
    }
    for (size_t i = 0; i < u->plan->spec->n_params; i++) {
        const struct sl_param_value *p = &u->plan->params[i];
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
        rc = version(b, s->deploy.model, SL_ENT_MODEL, "model", &ret->candidate, err);
    } else if (s->action == SL_ACT_APPROVAL && s->approval.candidate != NULL) {
        rc = version(b, s->approval.candidate, SL_ENT_MODEL, "candidate", &ret->candidate, err);
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
    struct used used = {plan, out.used_params};
    sl_plan_scope_init(&b.scope, plan, step, world, a);
    sl_plan_step_refs(b.p->spec, use_param, &used);
    int rc = bind_all(&b, &out, err);
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
