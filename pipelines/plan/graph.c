/* The graph: written steps in topological order, their instances, edges shared between instances. Pure. */
#include "core/base/base.h"

#include <stdlib.h>

#include "pipelines/plan/plan_priv.h"

int sl_plan_spec_index(const struct sl_spec *spec, const char *id)
{
    for (size_t i = 0; i < spec->n_steps; i++) {
        if (sl_streq(spec->steps[i].id, id)) {
            return (int)i;
        }
    }
    return -1;
}

static void tmpl_refs(const struct sl_tmpl *t, sl_expr_ref_fn fn, void *data)
{
    if (t != NULL) {
        sl_tmpl_refs(t, fn, data);
    }
}

void sl_plan_step_refs(const struct sl_step *s, sl_expr_ref_fn fn, void *data)
{
    for (size_t i = 0; i < s->n_argv; i++) {
        tmpl_refs(s->argv[i], fn, data);
    }
    for (size_t i = 0; i < s->n_inputs; i++) {
        tmpl_refs(s->inputs[i].ref, fn, data);
    }
    for (size_t i = 0; i < s->n_outputs; i++) {
        tmpl_refs(s->outputs[i].ref, fn, data);
    }
    for (size_t i = 0; i < s->n_env; i++) {
        tmpl_refs(s->env[i].value, fn, data);
    }
    if (s->cond != NULL) {
        sl_expr_refs(s->cond, fn, data);
    }
    tmpl_refs(s->gate.candidate, fn, data);
    tmpl_refs(s->gate.champion, fn, data);
    tmpl_refs(s->gate.on, fn, data);
    for (size_t i = 0; i < s->gate.n_require; i++) {
        sl_expr_refs(s->gate.require[i].expr, fn, data);
    }
    tmpl_refs(s->deploy.model, fn, data);
    tmpl_refs(s->rollback.to, fn, data);
    tmpl_refs(s->approval.candidate, fn, data);
    tmpl_refs(s->notify.text, fn, data);
    tmpl_refs(s->notify.subject, fn, data);
    tmpl_refs(s->matrix != NULL ? s->matrix->from : NULL, fn, data);
}

/* ---- needs between written steps ------------------------------------------------------------------ */

struct needs { /* of one written step: a set of written steps */
    bool *has;
    const struct sl_spec *spec;
    const struct sl_sub *sub; /* whose names are meant */
};

/** A step, or every step of a sub-pipeline. */
static void note_named(struct needs *n, const struct sl_sub *names, const char *name)
{
    struct sl_spec_named named = sl_spec_find(n->spec, names, name);
    if (named.step != NULL) {
        n->has[named.step - n->spec->steps] = true;
    }
    for (size_t i = 0; named.sub != NULL && i < n->spec->n_steps; i++) {
        n->has[i] = n->has[i] || (n->spec->steps[i].sub != NULL &&
                                  sl_sub_within(n->spec->steps[i].sub, named.sub));
    }
}

static void note_ref(const struct sl_expr_ref *ref, void *data)
{
    struct needs *n = data;
    if (ref->n >= 2 && sl_streq(ref->parts[0], "steps")) {
        note_named(n, n->sub, ref->parts[1]);
    }
}

static void note_full(struct needs *n, const char *id)
{
    if (id != NULL) {
        note_named(n, NULL, id);
    }
}

/** What the step that stands for a sub-pipeline waits for. Its names are those of the file that it is in. */
static void sub_needs_of(const struct sl_spec *spec, const struct sl_sub *sub, bool *has)
{
    struct needs n = {has, spec, sub->up};
    for (size_t i = 0; i < sub->n_needs; i++) {
        note_full(&n, sub->needs[i]);
    }
    for (size_t i = 0; i < sub->n_inputs; i++) {
        sl_tmpl_refs(sub->inputs[i].ref, note_ref, &n);
    }
    if (sub->cond != NULL) {
        sl_expr_refs(sub->cond, note_ref, &n);
    }
}

static const bool *const *all_sub_needs(const struct sl_spec *spec, struct sl_arena *a)
{
    const bool **all = SL_ARENA_ARRAY(a, const bool *, spec->n_subs + 1);
    for (size_t i = 0; i < spec->n_subs; i++) {
        bool *has = SL_ARENA_ARRAY(a, bool, spec->n_steps + 1);
        sub_needs_of(spec, spec->subs[i], has);
        all[i] = has;
    }
    return (const bool *const *)all;
}

static void needs_of(const struct sl_spec *spec, size_t at, const bool *const *sub_needs, bool *has)
{
    const struct sl_step *s = &spec->steps[at];
    struct needs n = {has, spec, s->sub};
    for (size_t i = 0; i < s->n_needs; i++) {
        note_full(&n, s->needs[i]);
    }
    sl_plan_step_refs(s, note_ref, &n);
    note_full(&n, s->rollback.of_step);
    note_full(&n, s->gate.evaluate);
    for (const struct sl_sub *sub = s->sub; sub != NULL; sub = sub->up) {
        for (size_t i = 0; i < spec->n_steps; i++) {
            has[i] = has[i] || sub_needs[sub->index][i];
        }
    }
    for (size_t i = 0; s->is_finally && i < spec->n_steps; i++) {
        has[i] = has[i] || !spec->steps[i].is_finally;
    }
    has[at] = false;
}

struct builder {
    const struct sl_spec *spec;
    struct sl_arena *a;
    struct sl_diags *diags;
    bool *has;     /* n x n */
    size_t *order; /* written steps, topological */
    struct sl_plan *plan;
    uint32_t *first, *count;
    size_t edges;  /* stored so far */
    int *champion; /* per written step: plan index of its champion evaluation, or -1 */
};

static int fail_cycle(struct builder *b)
{
    sl_diag_add(b->diags, SL_SEV_ERROR, b->spec->steps[0].loc, (struct sl_str){0}, NULL,
                "the steps need each other in a cycle");
    return -SL_EINVAL;
}

/** Kahn's algorithm, keeping the written order among what is free. */
static int sort(struct builder *b)
{
    size_t n = b->spec->n_steps;
    size_t *needs_left = SL_ARENA_ARRAY(b->a, size_t, n + 1); /* SIZE_MAX once placed */
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            needs_left[i] += b->has[i * n + j];
        }
    }
    for (size_t k = 0; k < n; k++) {
        size_t pick = 0;
        while (pick < n && needs_left[pick] != 0) {
            pick++;
        }
        if (pick == n) {
            return fail_cycle(b);
        }
        needs_left[pick] = SIZE_MAX;
        b->order[k] = pick;
        for (size_t i = 0; i < n; i++) {
            if (b->has[i * n + pick]) {
                needs_left[i]--;
            }
        }
    }
    return 0;
}

/* ---- instances ------------------------------------------------------------------------------------ */

static bool wants_champion(const struct sl_step *s)
{
    return s->action == SL_ACT_GATE && s->gate.champion != NULL && s->gate.evaluate != NULL;
}

static struct sl_plan_step *add(struct builder *b, size_t spec_index)
{
    struct sl_plan_step *p = &b->plan->steps[b->plan->n_steps++];
    p->spec = &b->spec->steps[spec_index];
    p->group = (uint32_t)spec_index;
    p->is_finally = p->spec->is_finally;
    p->cond_replaces_success = p->spec->cond != NULL && sl_expr_mentions_status(p->spec->cond);
    const char *hook = p->spec->hook_of != NULL ? strrchr(p->spec->id, ':') : NULL;
    p->effective_cond =
        hook != NULL            ? sl_arena_printf(b->a, "%s of %s", hook + 1, p->spec->hook_of)
        : p->spec->cond == NULL ? (p->is_finally ? "always()" : "success()")
        : p->cond_replaces_success || p->is_finally
            ? sl_expr_source(p->spec->cond)
            : sl_arena_printf(b->a, "success() && (%s)", sl_expr_source(p->spec->cond));
    for (const struct sl_sub *sub = p->spec->sub; sub != NULL; sub = sub->up) {
        if (sub->cond != NULL) { /* of the step that stands for the sub-pipeline */
            p->effective_cond = sl_arena_printf(b->a, "%s: %s; %s", sub->id,
                                                sl_expr_source(sub->cond), p->effective_cond);
        }
    }
    return p;
}

static int fail_edges(struct builder *b, const struct sl_step *at)
{
    sl_diag_add(b->diags, SL_SEV_ERROR, at->loc, (struct sl_str){0}, NULL,
                "the pipeline expands to more than %d edges between steps", SL_PLAN_EDGES_MAX);
    return -SL_EINVAL;
}

/** Indices of all instances of the needed written steps; shared by all instances of `at`. */
static int link_needs(struct builder *b, size_t at, struct sl_plan_step *p, int extra)
{
    size_t n = b->spec->n_steps;
    size_t total = extra >= 0 ? 1 : 0;
    for (size_t j = 0; j < n; j++) {
        total += b->has[at * n + j] ? b->count[j] : 0;
    }
    b->edges += total;
    if (b->edges > SL_PLAN_EDGES_MAX) {
        return fail_edges(b, p->spec);
    }
    p->needs = SL_ARENA_ARRAY(b->a, uint32_t, total + 1);
    for (size_t j = 0; j < n; j++) {
        for (uint32_t k = 0; b->has[at * n + j] && k < b->count[j]; k++) {
            p->needs[p->n_needs++] = b->first[j] + k;
        }
    }
    if (extra >= 0) {
        p->needs[p->n_needs++] = (uint32_t)extra;
    }
    return 0;
}

static int add_champion(struct builder *b, size_t gate)
{
    int evaluated = sl_plan_spec_index(b->spec, b->spec->steps[gate].gate.evaluate);
    if (evaluated < 0) {
        return 0;
    }
    b->champion[gate] = (int)b->plan->n_steps;
    struct sl_plan_step *p = add(b, (size_t)evaluated);
    p->key = sl_arena_printf(b->a, "%s:champion", b->spec->steps[gate].id);
    p->matrix = b->plan->steps[b->first[evaluated]].matrix;
    p->is_champion_eval = true;
    p->evaluated_step = b->first[evaluated];
    p->effective_cond = "success() && the champion lacks this evaluation";
    return link_needs(b, gate, p, -1);
}

/** Keys name steps for users and in the store: a matrix may not give one name to two instances. */
static int check_keys(struct builder *b, size_t at)
{
    const struct sl_plan_step *steps = b->plan->steps + b->first[at];
    size_t n = b->count[at];
    size_t room = 2;
    while (room < n * 2) {
        room *= 2;
    }
    _cleanup_(free)
    uint32_t *table = sl_calloc(room, sizeof(uint32_t)); /* index + 1 */
    for (uint32_t i = 0; i < n; i++) {
        size_t slot = sl_xxh3(steps[i].key, strlen(steps[i].key)) & (room - 1);
        while (table[slot] != 0 && !sl_streq(steps[table[slot] - 1].key, steps[i].key)) {
            slot = (slot + 1) & (room - 1);
        }
        if (table[slot] != 0) {
            sl_diag_add(b->diags, SL_SEV_ERROR, steps[i].spec->loc, (struct sl_str){0}, NULL,
                        "the matrix gives the name '%.200s' to two steps", steps[i].key);
            return -SL_EINVAL;
        }
        table[slot] = i + 1;
    }
    return 0;
}

static const char *key_of(struct builder *b, const struct sl_step *s, const struct sl_value *matrix)
{
    if (s->matrix == NULL) {
        return s->id;
    }
    if (sl_plan_is_fanout(s)) {
        return sl_arena_printf(b->a, "%s[%lld]", s->id, (long long)matrix->map.fields[0].value.i);
    }
    return sl_arena_printf(b->a, "%s[%s]", s->id, sl_plan_matrix_text(matrix, b->a));
}

static int add_group(struct builder *b, size_t at, struct sl_value *instances, size_t n)
{
    const struct sl_step *s = &b->spec->steps[at];
    int rc = wants_champion(s) ? add_champion(b, at) : 0;
    b->first[at] = b->plan->n_steps;
    b->count[at] = (uint32_t)n;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct sl_plan_step *p = add(b, at);
        p->matrix = instances[i];
        p->key = key_of(b, s, &instances[i]);
        if (i == 0) {
            rc = link_needs(b, at, p, b->champion[at]);
        } else { /* every instance needs the same steps */
            p->needs = b->plan->steps[b->first[at]].needs;
            p->n_needs = b->plan->steps[b->first[at]].n_needs;
        }
    }
    if (b->champion[at] >= 0) {
        b->plan->steps[b->champion[at]].gate_index = b->first[at];
    }
    return rc == 0 && s->matrix != NULL ? check_keys(b, at) : rc;
}

/** What depends on every instance of a written step: written steps that need it, and, where those are
 * gates, their champion evaluations. Counts into *n; fills `out` unless NULL. */
static void collect_dependents(const struct builder *b, size_t of, uint32_t *n, uint32_t *out)
{
    *n = 0;
    for (size_t k = 0; k < b->spec->n_steps; k++) {
        size_t at = b->order[k];
        if (!b->has[at * b->spec->n_steps + of]) {
            continue;
        }
        uint32_t from = b->champion[at] >= 0 ? (uint32_t)b->champion[at] : b->first[at];
        for (uint32_t i = from; i < b->first[at] + b->count[at]; i++) {
            if (out != NULL) {
                out[*n] = i;
            }
            (*n)++;
        }
    }
}

/** Dependents: the instances of one written step have the same ones and share the array. */
static int link_dependents(struct builder *b)
{
    struct sl_plan_step *steps = b->plan->steps;
    for (size_t at = 0; at < b->spec->n_steps; at++) {
        uint32_t n = 0;
        collect_dependents(b, at, &n, NULL);
        b->edges += n;
        if (b->edges > 2 * (size_t)SL_PLAN_EDGES_MAX) { /* needs and dependents */
            return fail_edges(b, &b->spec->steps[at]);
        }
        uint32_t *shared = SL_ARENA_ARRAY(b->a, uint32_t, n + 1U);
        collect_dependents(b, at, &n, shared);
        for (uint32_t i = b->first[at]; i < b->first[at] + b->count[at]; i++) {
            steps[i].dependents = shared;
            steps[i].n_dependents = n;
        }
        if (b->champion[at] >= 0) { /* its gate waits for it */
            struct sl_plan_step *champion = &steps[b->champion[at]];
            champion->dependents = SL_ARENA_ARRAY(b->a, uint32_t, b->count[at] + 1U);
            for (uint32_t i = 0; i < b->count[at]; i++) {
                champion->dependents[champion->n_dependents++] = b->first[at] + i;
            }
        }
    }
    return 0;
}

static int expand(struct builder *b)
{
    size_t n = b->spec->n_steps;
    struct sl_value **instances = SL_ARENA_ARRAY(b->a, struct sl_value *, n + 1);
    size_t *counts = SL_ARENA_ARRAY(b->a, size_t, n + 1);
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        int rc = sl_plan_instances(&b->spec->steps[i], b->a, b->diags, &instances[i], &counts[i]);
        if (rc < 0) {
            return rc;
        }
        total += counts[i] + (wants_champion(&b->spec->steps[i]) ? 1 : 0);
    }
    if (total > SL_SPEC_EXPANSION_MAX + SL_SPEC_STEPS_MAX) {
        sl_diag_add(b->diags, SL_SEV_ERROR, b->spec->steps[0].loc, (struct sl_str){0}, NULL,
                    "the pipeline expands to %zu steps; at most %d are allowed", total,
                    SL_SPEC_EXPANSION_MAX);
        return -SL_EINVAL;
    }
    b->plan->steps = SL_ARENA_ARRAY(b->a, struct sl_plan_step, total + 1);
    for (size_t k = 0; k < n; k++) {
        int rc = add_group(b, b->order[k], instances[b->order[k]], counts[b->order[k]]);
        if (rc < 0) {
            return rc;
        }
    }
    return link_dependents(b);
}

int sl_plan_build(const struct sl_spec *spec, const struct sl_param_value *params,
                  struct sl_arena *a, struct sl_diags *diags, const struct sl_plan **ret)
{
    spec = sl_plan_add_envs(spec, a);
    size_t n = spec->n_steps;
    struct builder b = {.spec = spec, .a = a, .diags = diags};
    b.plan = SL_ARENA_NEW(a, struct sl_plan);
    b.has = SL_ARENA_ARRAY(a, bool, n *n + 1);
    b.order = SL_ARENA_ARRAY(a, size_t, n + 1);
    b.first = SL_ARENA_ARRAY(a, uint32_t, n + 1);
    b.count = SL_ARENA_ARRAY(a, uint32_t, n + 1);
    b.champion = SL_ARENA_ARRAY(a, int, n + 1);
    const bool *const *sub_needs = all_sub_needs(spec, a);
    for (size_t i = 0; i < n; i++) {
        b.champion[i] = -1;
        needs_of(spec, i, sub_needs, b.has + i * n);
    }
    struct sl_param_value **sub_params = NULL;
    int rc = sl_plan_sub_params(spec, params, a, diags, &sub_params);
    b.plan->spec = spec;
    b.plan->params = params;
    b.plan->sub_params = sub_params;
    b.plan->sub_needs = sub_needs;
    b.plan->group_first = b.first;
    b.plan->group_count = b.count;
    rc = rc < 0 ? rc : sort(&b);
    rc = rc < 0 ? rc : expand(&b);
    if (rc == 0) {
        *ret = b.plan;
    }
    return rc;
}
