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

/** Whether a step lies in a sub-pipeline that these names see as one step from outside. */
static const struct sl_sub *seen_as_one(const struct sl_step *s, const struct sl_sub *names)
{
    const struct sl_sub *outermost = NULL;
    for (const struct sl_sub *at = s->sub; at != names && at != NULL; at = at->up) {
        outermost = at;
    }
    return sl_sub_within(s->sub, names) ? outermost : NULL;
}

static bool went_well(const char *status)
{
    return sl_streq(status, "succeeded") || sl_streq(status, "cached") ||
           sl_streq(status, "unchanged");
}

bool sl_plan_need_good(const struct sl_plan *plan, uint32_t need, const char *status,
                       const struct sl_sub *sub)
{
    const struct sl_plan_step *p = &plan->steps[need];
    if (went_well(status) || p->spec->allow_failure) {
        return true;
    }
    if (sl_streq(status, "omitted")) { /* what a sub-pipeline left out is its own affair */
        return seen_as_one(p->spec, sub) != NULL;
    }
    return sl_streq(status, "skipped") &&
           (p->is_champion_eval || sl_plan_is_fanout(p->spec) || seen_as_one(p->spec, sub) != NULL);
}

static const char *status_at(const struct sl_plan_scope *s, uint32_t step)
{
    return s->world->step_status(s->world->data, step);
}

/** Needs that the condition in hand is about: those of the step that stands for a sub-pipeline, or the step's
 * own, which are all but those. */
static bool concerns(const struct sl_plan_scope *s, uint32_t need)
{
    uint32_t group = s->plan->steps[need].group;
    if (s->inherited != NULL) {
        return s->inherited[group];
    }
    for (const struct sl_sub *at = s->sub; at != NULL; at = at->up) {
        if (s->plan->sub_needs[at->index][group]) {
            return false;
        }
    }
    return true;
}

/** Notes which sub-pipelines, seen as one, had a step that went well: the others were left out whole. */
static const char *left_out_sub(const struct sl_plan_scope *s)
{
    const struct sl_plan_step *p = &s->plan->steps[s->step];
    size_t n = s->plan->spec->n_subs;
    bool *met = n > 0 ? SL_ARENA_ARRAY(s->a, bool, n) : NULL;
    bool *ran = n > 0 ? SL_ARENA_ARRAY(s->a, bool, n) : NULL;
    for (uint32_t i = 0; i < p->n_needs && n > 0; i++) {
        const struct sl_sub *sub = seen_as_one(s->plan->steps[p->needs[i]].spec, s->sub);
        if (sub != NULL && concerns(s, p->needs[i])) {
            met[sub->index] = true;
            ran[sub->index] = ran[sub->index] || went_well(status_at(s, p->needs[i]));
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (met[i] && !ran[i]) {
            return sl_arena_printf(s->a, "needs %s, which is skipped", s->plan->spec->subs[i]->id);
        }
    }
    return NULL;
}

const char *sl_plan_bad_need(const struct sl_plan_scope *s)
{
    const struct sl_plan_step *p = &s->plan->steps[s->step];
    for (uint32_t i = 0; i < p->n_needs; i++) {
        const char *status = status_at(s, p->needs[i]);
        if (!sl_plan_need_good(s->plan, p->needs[i], status, s->sub) && concerns(s, p->needs[i])) {
            return sl_arena_printf(s->a, "needs %s, which is %s", s->plan->steps[p->needs[i]].key,
                                   status);
        }
    }
    return left_out_sub(s);
}

/** Whether a need failed, or one behind a need that was omitted for it. Instances share their needs, so
 * each written step is looked behind once. */
static bool any_failed(const struct sl_plan_scope *s, const struct sl_plan_step *p, bool *seen)
{
    for (uint32_t i = 0; i < p->n_needs; i++) {
        const struct sl_plan_step *need = &s->plan->steps[p->needs[i]];
        const char *status = status_at(s, p->needs[i]);
        bool counts = p != &s->plan->steps[s->step] || concerns(s, p->needs[i]);
        if (!counts || need->spec->allow_failure) {
            continue;
        }
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
static bool status_function(void *data, char which)
{
    const struct sl_plan_scope *s = data;
    bool finally = s->plan->steps[s->step].is_finally;
    bool *seen = which == 'f' ? SL_ARENA_ARRAY(s->a, bool, s->plan->spec->n_steps + 1) : NULL;
    switch (which) {
    case 'a': return true;
    case 'c': return s->world->cancelled;
    case 's':
        return finally ? sl_streq(s->world->run_status, "succeeded") : sl_plan_bad_need(s) == NULL;
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

void sl_plan_scope_move(struct sl_plan_scope *s, const struct sl_sub *sub)
{
    const struct sl_plan_step *p = &s->plan->steps[s->step];
    size_t n = sub != NULL ? sub->n_params : s->plan->spec->n_params;
    const struct sl_param_value *values =
        sub != NULL ? s->plan->sub_params[sub->index] : s->plan->params;
    s->sub = sub;
    s->params = map_of(s->a, n);
    for (size_t i = 0; i < n; i++) {
        put(&s->params, values[i].param->name, values[i].value);
    }
    s->matrix = p->matrix.type == SL_V_MAP && sub == p->spec->sub ? p->matrix : map_of(s->a, 0);
    s->steps_room = STEPS_ROOM;
    s->steps = map_of(s->a, STEPS_ROOM);
}

void sl_plan_scope_init(struct sl_plan_scope *s, const struct sl_plan *plan, uint32_t step,
                        const struct sl_plan_world *world, struct sl_arena *a)
{
    const struct sl_spec *spec = plan->spec;
    *s = (struct sl_plan_scope){.plan = plan, .world = world, .step = step, .a = a};
    s->run = map_of(a, 4);
    put(&s->run, "id", sl_value_str(a, world->run_id));
    put(&s->run, "number", (struct sl_value){.type = SL_V_INT, .i = world->run_number});
    put(&s->run, "status", sl_value_str(a, world->run_status));
    put(&s->run, "pipeline", sl_value_str(a, spec->name));
    sl_plan_scope_move(s, plan->steps[step].spec->sub);
    s->scope = (struct sl_expr_scope){
        .lookup = look_up, .names = roots, .status = status_function, .data = s};
}

/* ---- steps ---------------------------------------------------------------------------------------- */

static struct sl_value version_text(struct sl_arena *a, const struct sl_artifact *v)
{
    char hex[SL_DIGEST_HEX + 1];
    return sl_value_str(a, v->version > 0
                               ? sl_arena_printf(a, "%s@v%lld", v->name, (long long)v->version)
                               : sl_arena_printf(a, "sha256:%s", sl_digest_hex(&v->digest, hex)));
}

/** One output of a written step: a list when it has a matrix; NULL-typed when there is none. */
static struct sl_value output_of(const struct sl_plan_scope *s, const struct sl_step *step,
                                 const char *output)
{
    size_t group = (size_t)(step - s->plan->spec->steps);
    uint32_t first = s->plan->group_first[group];
    uint32_t n = s->plan->group_count[group];
    struct sl_value list = {.type = SL_V_LIST};
    list.list.items = SL_ARENA_ARRAY(s->a, struct sl_value, n + 1U);
    for (uint32_t i = 0; i < n; i++) {
        const struct sl_artifact *v = s->world->step_output(s->world->data, first + i, output);
        if (v != NULL) {
            list.list.items[list.list.n++] = version_text(s->a, v);
        }
    }
    if (step->matrix != NULL) {
        return list;
    }
    return list.list.n == 1 ? list.list.items[0] : (struct sl_value){.type = SL_V_NULL};
}

static struct sl_value outputs_of(const struct sl_plan_scope *s, const struct sl_step *step)
{
    struct sl_value outputs = map_of(s->a, step->n_outputs);
    for (size_t o = 0; o < step->n_outputs; o++) {
        struct sl_value v = output_of(s, step, step->outputs[o].name);
        if (v.type != SL_V_NULL) {
            put(&outputs, step->outputs[o].name, v);
        }
    }
    return outputs;
}

static struct sl_value sub_outputs(const struct sl_plan_scope *s, const struct sl_sub *sub)
{
    struct sl_value outputs = map_of(s->a, sub->n_outputs);
    for (size_t o = 0; o < sub->n_outputs; o++) {
        struct sl_spec_output made =
            sl_spec_find_output(s->plan->spec, NULL, sub->outputs[o].step, sub->outputs[o].output);
        struct sl_value v = {.type = SL_V_NULL};
        if (made.step != NULL) {
            v = output_of(s, made.step, made.output->name);
        }
        if (v.type != SL_V_NULL) {
            put(&outputs, sub->outputs[o].name, v);
        }
    }
    return outputs;
}

/** One word for several steps: a failure first, then a refusal, then whatever else kept one from going well. */
static void gather(const char **word, const char *status)
{
    static const char *const worst[] = {"failed", "refused"};
    for (size_t i = 0; i < SL_LEN(worst); i++) {
        if (*word != NULL && sl_streq(*word, worst[i])) {
            return;
        }
        if (sl_streq(status, worst[i])) {
            *word = status;
            return;
        }
    }
    *word = *word != NULL ? *word : status;
}

static const char *status_of(const struct sl_plan_scope *s, size_t group)
{
    uint32_t first = s->plan->group_first[group];
    const char *word = NULL;
    for (uint32_t i = 0; i < s->plan->group_count[group]; i++) {
        const char *status = status_at(s, first + i);
        if (!sl_plan_need_good(s->plan, first + i, status, s->sub)) {
            gather(&word, status);
        }
    }
    return word != NULL ? word : "succeeded";
}

/** Of a sub-pipeline: "skipped" when no step did anything. */
static const char *sub_status(const struct sl_plan_scope *s, const struct sl_sub *sub)
{
    const char *word = NULL;
    bool ran = false;
    for (uint32_t i = 0; i < s->plan->n_steps; i++) {
        const struct sl_step *step = s->plan->steps[i].spec;
        if (step->sub == NULL || !sl_sub_within(step->sub, sub)) {
            continue;
        }
        const char *status = status_at(s, i);
        if (!sl_plan_need_good(s->plan, i, status, s->sub) && !step->allow_failure) {
            gather(&word, status);
        }
        ran = ran || went_well(status);
    }
    return word != NULL ? word : ran ? "succeeded" : "skipped";
}

static void mention(const struct sl_expr_ref *ref, void *data)
{
    struct sl_plan_scope *s = data;
    if (ref->n < 2 || !sl_streq(ref->parts[0], "steps") ||
        sl_value_get(&s->steps, ref->parts[1]) != NULL) {
        return;
    }
    struct sl_spec_named named = sl_spec_find(s->plan->spec, s->sub, ref->parts[1]);
    if (named.step == NULL && named.sub == NULL) {
        return;
    }
    if (s->steps.map.n == s->steps_room) {
        struct sl_value wider = map_of(s->a, 2 * s->steps_room);
        memcpy(wider.map.fields, s->steps.map.fields, s->steps.map.n * sizeof(*wider.map.fields));
        s->steps.map.fields = wider.map.fields;
        s->steps_room *= 2;
    }
    struct sl_value v = map_of(s->a, 2);
    if (named.step != NULL) {
        size_t group = (size_t)(named.step - s->plan->spec->steps);
        put(&v, "status", sl_value_str(s->a, status_of(s, group)));
        put(&v, "outputs", outputs_of(s, named.step));
    } else {
        put(&v, "status", sl_value_str(s->a, sub_status(s, named.sub)));
        put(&v, "outputs", sub_outputs(s, named.sub));
    }
    put(&s->steps, ref->parts[1], v);
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
