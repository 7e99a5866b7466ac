/* Parameter values: typed, bounded, with their origin. Pure. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/expr/regex.h"
#include "pipelines/plan/plan_priv.h"

static const char *const type_names[] = {"string", "int", "float", "bool"};

static void complain(struct sl_diags *d, const struct sl_param_arg *arg, const char *hint,
                     const char *text)
{
    struct sl_loc loc = {.file = arg->origin};
    sl_diag_add(d, SL_SEV_ERROR, loc, (struct sl_str){0}, hint, "parameter '%s': %s", arg->name,
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

static void take(const struct sl_param *p, const struct sl_param_arg *arg, struct sl_arena *a,
                 struct sl_diags *d, struct sl_param_value *out)
{
    struct sl_value v = {0};
    if (sl_utf8_check(arg->value, strlen(arg->value)) < strlen(arg->value)) {
        complain(d, arg, NULL, "its value is not valid UTF-8");
    } else if (!convert(p, arg->value, a, &v)) {
        complain(
            d, arg, NULL,
            sl_arena_printf(a, "expected %s, found '%.100s'", type_names[p->type], arg->value));
    } else if (!in_bounds(p, &v)) {
        const char *low = p->has_min ? sl_arena_printf(a, "at least %g", p->min) : "";
        const char *high = p->has_max ? sl_arena_printf(a, "at most %g", p->max) : "";
        complain(d, arg, NULL,
                 sl_arena_printf(a, "%.100s is out of bounds: %s%s%s", arg->value, low,
                                 p->has_min && p->has_max ? " and " : "", high));
    } else if (!is_choice(p, &v)) {
        complain(d, arg, NULL,
                 sl_arena_printf(a, "'%.100s' is not one of its choices", arg->value));
    } else if (!matches(p, arg->value, a)) {
        complain(
            d, arg, NULL,
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
    complain(d, arg, NULL,
             near != NULL ? sl_arena_printf(
                                a, "the pipeline has no such parameter; did you mean '%s'?", near)
                          : "the pipeline has no such parameter");
}

int sl_plan_params(const struct sl_spec *spec, const struct sl_param_arg *args, size_t n_args,
                   struct sl_arena *a, struct sl_diags *diags, struct sl_param_value **ret)
{
    size_t before = diags->n_errors;
    struct sl_param_value *values = SL_ARENA_ARRAY(a, struct sl_param_value, spec->n_params + 1);
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
            take(&spec->params[i], &args[k], a, diags, &values[i]);
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
