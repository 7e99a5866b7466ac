/* Parameter values: typed, bounded, with their origin. Pure. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/expr/regex.h"
#include "pipelines/plan/plan_priv.h"

static const char *const type_names[] = {"string", "int", "float", "bool"};

/** `at` is where the value is written; without a file, the argument's origin stands for it. */
static void complain(struct sl_diags *d, const struct sl_param_arg *arg, struct sl_loc at,
                     const char *text)
{
    at.file = at.file != NULL ? at.file : arg->origin;
    sl_diag_add(d, SL_SEV_ERROR, at, (struct sl_str){0}, NULL, "parameter '%s': %s", arg->name,
                text);
}

static bool convert(const struct sl_param *p, const char *text, struct sl_arena *a,
                    struct sl_value *ret)
{
    switch (p->type) {
    case SL_PARAM_STRING: *ret = sl_value_str(a, text); return true;
    case SL_PARAM_INT: ret->type = SL_V_INT; return sl_parse_i64(text, &ret->i);
    case SL_PARAM_FLOAT: ret->type = SL_V_DOUBLE; return sl_parse_double(text, &ret->d);
    case SL_PARAM_BOOL:
        ret->type = SL_V_BOOL;
        ret->b = sl_streq(text, "true");
        return ret->b || sl_streq(text, "false");
    }
    return false;
}

static bool in_bounds(const struct sl_param *p, const struct sl_value *v)
{
    double x = v->type == SL_V_INT ? (double)v->i : v->type == SL_V_DOUBLE ? v->d : 0;
    bool number = v->type == SL_V_INT || v->type == SL_V_DOUBLE;
    return !number || ((!p->has_min || x >= p->min) && (!p->has_max || x <= p->max));
}

static bool is_choice(const struct sl_param *p, const struct sl_value *v)
{
    for (size_t i = 0; i < p->n_choices; i++) {
        if (sl_value_eq(&p->choices[i], v)) {
            return true;
        }
    }
    return p->n_choices == 0;
}

/** The spec's reader compiled the pattern once already: here it is known to be well formed. */
static bool matches(const struct sl_param *p, const char *text, struct sl_arena *a)
{
    size_t at = 0;
    const char *msg = NULL;
    if (p->pattern == NULL) {
        return true;
    }
    const struct sl_regex *re = sl_regex_compile(a, sl_str_c(p->pattern), &at, &msg);
    return re == NULL || sl_regex_search(re, sl_str_c(text));
}

struct typing {
    struct sl_arena *a;
    struct sl_diags *d;
    struct sl_loc at;
};

static void take(const struct typing *t, const struct sl_param *p, const struct sl_param_arg *arg,
                 struct sl_param_value *out)
{
    struct sl_arena *a = t->a;
    struct sl_diags *d = t->d;
    struct sl_value v = {0};
    if (sl_utf8_check(arg->value, strlen(arg->value)) < strlen(arg->value)) {
        complain(d, arg, t->at, "its value is not valid UTF-8");
    } else if (!convert(p, arg->value, a, &v)) {
        complain(
            d, arg, t->at,
            sl_arena_printf(a, "expected %s, found '%.100s'", type_names[p->type], arg->value));
    } else if (!in_bounds(p, &v)) {
        const char *low = p->has_min ? sl_arena_printf(a, "at least %g", p->min) : "";
        const char *high = p->has_max ? sl_arena_printf(a, "at most %g", p->max) : "";
        complain(d, arg, t->at,
                 sl_arena_printf(a, "%.100s is out of bounds: %s%s%s", arg->value, low,
                                 p->has_min && p->has_max ? " and " : "", high));
    } else if (!is_choice(p, &v)) {
        complain(d, arg, t->at,
                 sl_arena_printf(a, "'%.100s' is not one of its choices", arg->value));
    } else if (!matches(p, arg->value, a)) {
        complain(
            d, arg, t->at,
            sl_arena_printf(a, "'%.100s' does not match pattern '%s'", arg->value, p->pattern));
    } else {
        out->value = v;
        out->origin = arg->origin;
    }
}

static void unknown(const struct sl_spec *spec, const struct sl_param_arg *arg, struct sl_arena *a,
                    struct sl_diags *d)
{
    const char **names = SL_ARENA_ARRAY(a, const char *, spec->n_params + 1);
    for (size_t i = 0; i < spec->n_params; i++) {
        names[i] = spec->params[i].name;
    }
    const char *near = sl_nearest(arg->name, names, spec->n_params);
    complain(d, arg, (struct sl_loc){0},
             near != NULL ? sl_arena_printf(
                                a, "the pipeline has no such parameter; did you mean '%s'?", near)
                          : "the pipeline has no such parameter");
}

int sl_plan_params(const struct sl_spec *spec, const struct sl_param_arg *args, size_t n_args,
                   struct sl_arena *a, struct sl_diags *diags, struct sl_param_value **ret)
{
    size_t before = diags->n_errors;
    struct sl_param_value *values = SL_ARENA_ARRAY(a, struct sl_param_value, spec->n_params + 1);
    struct typing t = {.a = a, .d = diags};
    bool *given = SL_ARENA_ARRAY(a, bool, spec->n_params + 1);
    for (size_t i = 0; i < spec->n_params; i++) {
        values[i] = (struct sl_param_value){&spec->params[i], spec->params[i].value, "default"};
    }
    for (size_t k = 0; k < n_args; k++) {
        size_t i = 0;
        while (i < spec->n_params && !sl_streq(spec->params[i].name, args[k].name)) {
            i++;
        }
        if (i == spec->n_params) {
            unknown(spec, &args[k], a, diags);
        } else {
            given[i] = true;
            take(&t, &spec->params[i], &args[k], &values[i]);
        }
    }
    for (size_t i = 0; i < spec->n_params; i++) {
        if (spec->params[i].required && !given[i]) {
            sl_diag_add(diags, SL_SEV_ERROR, spec->params[i].loc, (struct sl_str){0}, NULL,
                        "parameter '%s' has no default and was not given; pass -p %s=VALUE",
                        spec->params[i].name, spec->params[i].name);
        }
    }
    if (diags->n_errors > before) {
        return -SL_EINVAL;
    }
    *ret = values;
    return 0;
}

/* ---- sub-pipelines ----------------------------------------------------------------------------- */

struct passing { /* what the step that stands for a sub-pipeline gives */
    struct typing t;
    const struct sl_sub *sub;
    struct sl_value outer; /* parameters of the file that it is written in */
};

static const struct sl_value *look_up(void *data, const char *name)
{
    const struct passing *p = data;
    return sl_streq(name, "params") ? &p->outer : NULL;
}

static struct sl_value map_of(const struct sl_param_value *values, size_t n, struct sl_arena *a)
{
    struct sl_value v = {.type = SL_V_MAP};
    v.map.fields = SL_ARENA_ARRAY(a, struct sl_value_field, n + 1);
    for (size_t i = 0; i < n; i++) {
        v.map.fields[v.map.n++] = (struct sl_value_field){values[i].param->name, values[i].value};
    }
    return v;
}

static void pass(struct passing *p, size_t i, struct sl_param_value *out)
{
    static const char *const roots[] = {"params", NULL};
    const struct sl_param *param = &p->sub->params[i];
    struct sl_expr_scope scope = {.lookup = look_up, .names = roots, .data = p};
    struct sl_param_arg arg = {.name = param->name, .origin = p->sub->id};
    struct sl_expr_err e;
    struct sl_value v;
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_TMPL_LEN_MAX);
    *out = (struct sl_param_value){param, param->value, "default"};
    if (p->sub->args[i] == NULL) {
        return;
    }
    if (sl_tmpl_eval(p->sub->args[i], &scope, p->t.a, &v, &e) < 0) {
        complain(p->t.d, &arg, p->t.at, e.msg);
        return;
    }
    sl_value_text(&v, &text);
    arg.value = sl_arena_strndup(p->t.a, sl_buf_str(&text), text.len);
    arg.origin = sl_arena_printf(p->t.a, "step %s", p->sub->id);
    take(&p->t, param, &arg, out);
}

int sl_plan_sub_params(const struct sl_spec *spec, const struct sl_param_value *params,
                       struct sl_arena *a, struct sl_diags *diags, struct sl_param_value ***ret)
{
    size_t before = diags->n_errors;
    struct sl_param_value **all = SL_ARENA_ARRAY(a, struct sl_param_value *, spec->n_subs + 1);
    for (size_t k = 0; k < spec->n_subs; k++) { /* outer ones come first */
        const struct sl_sub *sub = spec->subs[k];
        struct passing p = {.t = {.a = a, .d = diags, .at = sub->loc}, .sub = sub};
        p.outer = sub->up != NULL ? map_of(all[sub->up->index], sub->up->n_params, a)
                                  : map_of(params, spec->n_params, a);
        all[k] = SL_ARENA_ARRAY(a, struct sl_param_value, sub->n_params + 1);
        for (size_t i = 0; i < sub->n_params; i++) {
            pass(&p, i, &all[k][i]);
        }
    }
    if (diags->n_errors > before) {
        return -SL_EINVAL;
    }
    *ret = all;
    return 0;
}
