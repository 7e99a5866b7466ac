/* What names mean inside a run: params, matrix, run, and the steps that an expression mentions. Pure. */
#include "core/base/base.h"

#include <stdio.h>

#include "pipelines/plan/plan_priv.h"

#define STEPS_ROOM 4 /* mentioned steps before the first growth */

static const char *const roots[] = {"params", "matrix", "run", "steps", NULL};

static const struct sl_value *look_up(void *data, const char *name)
{
    const struct sl_plan_scope *s = data;
    if (sl_streq(name, "params")) {
        return &s->params;
    }
    if (sl_streq(name, "matrix")) {
        return &s->matrix;
    }
    if (sl_streq(name, "run")) {
        return &s->run;
    }
    return sl_streq(name, "steps") ? &s->steps : NULL;
}

static bool good(const struct sl_plan *plan, uint32_t need, const char *status)
{
    return sl_streq(status, "succeeded") || sl_streq(status, "cached") ||
           sl_streq(status, "unchanged") ||
           (plan->steps[need].is_champion_eval && sl_streq(status, "skipped"));
}

static bool all_good(const struct sl_plan_scope *s)
{
    const struct sl_plan_step *p = &s->plan->steps[s->step];
    for (uint32_t i = 0; i < p->n_needs; i++) {
        const char *status = s->world->step_status(s->world->data, p->needs[i]);
        if (!good(s->plan, p->needs[i], status)) {
            return false;
        }
    }
    return true;
}

/** Whether a need failed, or one behind a need that was omitted for it. Instances share their needs, so
 * each written step is looked behind once. */
static bool any_failed(const struct sl_plan_scope *s, const struct sl_plan_step *p, bool *seen)
{
    for (uint32_t i = 0; i < p->n_needs; i++) {
        const struct sl_plan_step *need = &s->plan->steps[p->needs[i]];
        const char *status = s->world->step_status(s->world->data, p->needs[i]);
        if (sl_streq(status, "failed") || sl_streq(status, "refused")) {
            return true;
        }
        if (sl_streq(status, "omitted") && !seen[need->group]) {
            seen[need->group] = !need->is_champion_eval;
            if (any_failed(s, need, seen)) {
                return true;
            }
        }
    }
    return false;
}

/** success() and failure() follow the needs; in `finally`, the run so far. */
static bool status(void *data, char which)
{
    const struct sl_plan_scope *s = data;
    bool finally = s->plan->steps[s->step].is_finally;
    bool *seen = which == 'f' ? SL_ARENA_ARRAY(s->a, bool, s->plan->spec->n_steps + 1) : NULL;
    switch (which) {
    case 'a': return true;
    case 'c': return s->world->cancelled;
    case 's': return finally ? sl_streq(s->world->run_status, "succeeded") : all_good(s);
    case 'f':
        return finally ? sl_streq(s->world->run_status, "failed") ||
                             sl_streq(s->world->run_status, "refused")
                       : any_failed(s, &s->plan->steps[s->step], seen);
    default: return false;
    }
}

static struct sl_value map_of(struct sl_arena *a, size_t n)
{
    struct sl_value v = {.type = SL_V_MAP};
    v.map.fields = SL_ARENA_ARRAY(a, struct sl_value_field, n + 1);
    return v;
}

static void put(struct sl_value *map, const char *name, struct sl_value value)
{
    map->map.fields[map->map.n++] = (struct sl_value_field){name, value};
}

void sl_plan_scope_init(struct sl_plan_scope *s, const struct sl_plan *plan, uint32_t step,
                        const struct sl_plan_world *world, struct sl_arena *a)
{
    const struct sl_spec *spec = plan->spec;
    *s = (struct sl_plan_scope){.plan = plan, .world = world, .step = step, .a = a};
    s->params = map_of(a, spec->n_params);
    for (size_t i = 0; i < spec->n_params; i++) {
        put(&s->params, plan->params[i].param->name, plan->params[i].value);
    }
    s->matrix = plan->steps[step].matrix;
    if (s->matrix.type != SL_V_MAP) {
        s->matrix = map_of(a, 0);
    }
    s->run = map_of(a, 4);
    put(&s->run, "id", sl_value_str(a, world->run_id));
    put(&s->run, "number", (struct sl_value){.type = SL_V_INT, .i = world->run_number});
    put(&s->run, "status", sl_value_str(a, world->run_status));
    put(&s->run, "pipeline", sl_value_str(a, spec->name));
    s->steps_room = STEPS_ROOM;
    s->steps = map_of(a, STEPS_ROOM);
    s->scope =
        (struct sl_expr_scope){.lookup = look_up, .names = roots, .status = status, .data = s};
}

/* ---- steps ---------------------------------------------------------------------------------------- */

static struct sl_value version_text(struct sl_arena *a, const struct sl_artifact *v)
{
    char hex[SL_DIGEST_HEX + 1];
    return sl_value_str(a, v->version > 0
                               ? sl_arena_printf(a, "%s@v%lld", v->name, (long long)v->version)
                               : sl_arena_printf(a, "sha256:%s", sl_digest_hex(&v->digest, hex)));
}

static struct sl_value outputs_of(const struct sl_plan_scope *s, uint32_t first, uint32_t n,
                                  const struct sl_step *spec)
{
    struct sl_value outputs = map_of(s->a, spec->n_outputs);
    for (size_t o = 0; o < spec->n_outputs; o++) {
        struct sl_value list = {.type = SL_V_LIST};
        list.list.items = SL_ARENA_ARRAY(s->a, struct sl_value, n + 1U);
        for (uint32_t i = 0; i < n; i++) {
            const struct sl_artifact *v =
                s->world->step_output(s->world->data, first + i, spec->outputs[o].name);
            if (v != NULL) {
                list.list.items[list.list.n++] = version_text(s->a, v);
            }
        }
        if (spec->matrix != NULL) {
            put(&outputs, spec->outputs[o].name, list);
        } else if (list.list.n == 1) {
            put(&outputs, spec->outputs[o].name, list.list.items[0]);
        }
    }
    return outputs;
}

/** One word for all instances: the first that did not go well, else "succeeded". */
static const char *status_of(const struct sl_plan_scope *s, uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const char *status = s->world->step_status(s->world->data, first + i);
        if (!good(s->plan, first + i, status)) {
            return status;
        }
    }
    return "succeeded";
}

static void mention(const struct sl_expr_ref *ref, void *data)
{
    struct sl_plan_scope *s = data;
    if (ref->n < 2 || !sl_streq(ref->parts[0], "steps") ||
        sl_value_get(&s->steps, ref->parts[1]) != NULL) {
        return;
    }
    int i = sl_plan_spec_index(s->plan->spec, ref->parts[1]);
    if (i < 0) {
        return;
    }
    const struct sl_step *spec = &s->plan->spec->steps[i];
    if (s->steps.map.n == s->steps_room) {
        struct sl_value wider = map_of(s->a, 2 * s->steps_room);
        memcpy(wider.map.fields, s->steps.map.fields, s->steps.map.n * sizeof(*wider.map.fields));
        s->steps.map.fields = wider.map.fields;
        s->steps_room *= 2;
    }
    struct sl_value v = map_of(s->a, 2);
    uint32_t first = s->plan->group_first[i];
    uint32_t n = s->plan->group_count[i];
    put(&v, "status", sl_value_str(s->a, status_of(s, first, n)));
    put(&v, "outputs", outputs_of(s, first, n, spec));
    put(&s->steps, spec->id, v);
}

void sl_plan_scope_load(struct sl_plan_scope *s, const struct sl_expr *x, const struct sl_tmpl *t)
{
    if (x != NULL) {
        sl_expr_refs(x, mention, s);
    }
    if (t != NULL) {
        sl_tmpl_refs(t, mention, s);
    }
}

int sl_plan_text(struct sl_plan_scope *s, const struct sl_tmpl *t, const char *what,
                 const char **ret, struct sl_err *err)
{
    struct sl_value v;
    struct sl_expr_err e;
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(1 << 20);
    sl_plan_scope_load(s, NULL, t);
    if (sl_tmpl_eval(t, &s->scope, s->a, &v, &e) < 0) {
        return sl_err_set(err, SL_EINVAL, "%s: %s", what, e.msg);
    }
    sl_value_text(&v, &text);
    if (text.overflow) {
        return sl_err_set(err, SL_ELIMIT, "%s: the text is longer than 1 MiB", what);
    }
    *ret = sl_arena_strndup(s->a, sl_buf_str(&text), text.len);
    return 0;
}

/* ---- conditions ----------------------------------------------------------------------------------- */

/** The need that keeps a step from its default condition; NULL when all went well. */
static const char *bad_need(const struct sl_plan_scope *s)
{
    const struct sl_plan_step *p = &s->plan->steps[s->step];
    for (uint32_t i = 0; i < p->n_needs; i++) {
        const char *status = s->world->step_status(s->world->data, p->needs[i]);
        if (!good(s->plan, p->needs[i], status)) {
            return sl_arena_printf(s->a, "needs %s, which is %s", s->plan->steps[p->needs[i]].key,
                                   status);
        }
    }
    return NULL;
}

int sl_plan_condition(const struct sl_plan *plan, uint32_t step, const struct sl_plan_world *world,
                      struct sl_arena *a, bool *ret_run, const char **ret_why, struct sl_err *err)
{
    const struct sl_plan_step *p = &plan->steps[step];
    struct sl_plan_scope s;
    sl_plan_scope_init(&s, plan, step, world, a);
    *ret_why = NULL;
    *ret_run = false;
    if (!p->is_finally && !p->cond_replaces_success && (*ret_why = bad_need(&s)) != NULL) {
        return 0;
    }
    if (p->spec->cond == NULL || p->is_champion_eval) {
        *ret_run = true;
        return 0;
    }
    struct sl_expr_err e;
    bool holds = false;
    sl_plan_scope_load(&s, p->spec->cond, NULL);
    if (sl_expr_eval_bool(p->spec->cond, &s.scope, a, &holds, &e) < 0) {
        return sl_err_set(err, SL_EINVAL, "step '%s': if: %s", p->key, e.msg);
    }
    *ret_run = holds;
    if (!holds) {
        *ret_why = sl_arena_printf(a, "if: %s is false", sl_expr_source(p->spec->cond));
    }
    return 0;
}
