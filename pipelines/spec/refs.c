/**
 * What expressions and keys name must exist: params, matrix axes, steps, outputs.
 *
 * Thread: any. Must not: look at structure; that was checked before.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/spec/spec_priv.h"

struct ref_check {
    struct spec_loader *l;
    const struct spec_use *use;
    const struct sl_step *step; /* that the use is in; NULL: in none */
};

static const struct sl_yaml *yaml_of(struct spec_loader *l, const struct sl_yaml_node *node)
{
    for (size_t i = 0; i < l->n_files; i++) {
        if (l->files[i].y != NULL && sl_streq(l->files[i].y->file, node->loc.file)) {
            return l->files[i].y;
        }
    }
    return NULL;
}

SL_PRINTF(3, 4)
static void bad_ref(struct ref_check *c, const struct sl_expr_ref *ref, const char *fmt, ...)
{
    struct spec_loader *l = c->l;
    const struct sl_yaml_node *node = c->use->node;
    char message[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args); /* cut: messages are one line */
    va_end(args);
    for (size_t i = 0; i < l->reported.n; i++) { /* a default is met once in every step */
        if (l->reported.items[i].node == node && l->reported.items[i].offset == ref->offset) {
            return;
        }
    }
    struct spec_reported seen = {.node = node, .offset = ref->offset};
    if (l->reported.n < SL_DIAGS_MAX) {
        sl_vec_push(&l->reported, seen);
    }
    const struct sl_yaml *y = yaml_of(l, node);
    struct sl_loc loc = y != NULL ? sl_yaml_loc_at(y, node, ref->offset, ref->width) : node->loc;
    sl_spec_report(l, SL_SEV_ERROR, loc, NULL, "%s", message);
}

/* `params.batch-size` is a subtraction. When the whole word is a name, shows how to write it. */
static const char *dash_hint(struct ref_check *c, const struct sl_expr_ref *ref,
                             const char *const *names, size_t n)
{
    const char *part = ref->parts[ref->n - 1];
    const char *text = c->use->node->text.ptr;
    size_t at = ref->offset + ref->width, end = at;
    if (end > c->use->node->text.len || text[end] != '-') {
        return NULL;
    }
    while (text[end] == '-' || text[end] == '_' || (text[end] >= '0' && text[end] <= '9') ||
           (text[end] >= 'a' && text[end] <= 'z') || (text[end] >= 'A' && text[end] <= 'Z')) {
        end++;
    }
    const char *word = sl_arena_printf(c->l->arena, "%.128s%.*s", part,
                                       (int)SL_MIN(end - at, (size_t)128), text + at);
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(names[i], word)) {
            return sl_arena_printf(c->l->arena, "; '-' is minus here: write [\"%s\"]", word);
        }
    }
    return NULL;
}

/* What to say behind an unknown last part of a reference. */
static const char *suggest_part(struct ref_check *c, const struct sl_expr_ref *ref,
                                const char *word, const char *const *names, size_t n)
{
    const char *dash = word == ref->parts[ref->n - 1] ? dash_hint(c, ref, names, n) : NULL;
    return dash != NULL ? dash : sl_spec_suggest(c->l, word, names, n);
}

static void check_param(struct ref_check *c, const struct sl_expr_ref *ref)
{
    const char *names[SL_SPEC_PARAMS_MAX];
    for (size_t i = 0; i < c->l->params.n; i++) {
        names[i] = c->l->params.items[i].name;
        if (ref->n > 1 && sl_streq(names[i], ref->parts[1])) {
            return;
        }
    }
    if (ref->n > 1) {
        bad_ref(c, ref, "unknown param '%.128s'%s", ref->parts[1],
                suggest_part(c, ref, ref->parts[1], names, c->l->params.n));
    }
}

static bool in_include(const struct sl_matrix *m, const char *name)
{
    for (size_t i = 0; m->include != NULL && i < m->include->list.n; i++) {
        if (sl_value_get(&m->include->list.items[i], name) != NULL) {
            return true;
        }
    }
    return false;
}

static void check_axis(struct ref_check *c, const struct sl_expr_ref *ref)
{
    const struct sl_matrix *m = c->step->matrix;
    const char *names[SL_SPEC_MATRIX_AXES_MAX];
    if (m == NULL) {
        bad_ref(c, ref, "step '%s' has no matrix", c->step->id);
        return;
    }
    if (m->as != NULL) {
        const char *fields[] = {m->as, "index"};
        if (ref->n > 1 && !sl_streq(ref->parts[1], m->as) && !sl_streq(ref->parts[1], "index")) {
            bad_ref(c, ref,
                    "the fan-out of step '%s' has 'matrix.%.128s' and 'matrix.index', not "
                    "'matrix.%.128s'%s",
                    c->step->id, m->as, ref->parts[1],
                    suggest_part(c, ref, ref->parts[1], fields, SL_LEN(fields)));
        }
        return;
    }
    for (size_t i = 0; i < m->n_axes; i++) {
        names[i] = m->axes[i].name;
        if (ref->n > 1 && sl_streq(names[i], ref->parts[1])) {
            return;
        }
    }
    if (ref->n > 1 && !in_include(m, ref->parts[1])) {
        bad_ref(c, ref, "matrix of step '%s' has no axis '%.128s'%s", c->step->id, ref->parts[1],
                suggest_part(c, ref, ref->parts[1], names, m->n_axes));
    }
}

static void check_run(struct ref_check *c, const struct sl_expr_ref *ref)
{
    static const char *const fields[] = {"id", "number", "pipeline", "status"};
    for (size_t i = 0; i < SL_LEN(fields); i++) {
        if (ref->n < 2 || sl_streq(ref->parts[1], fields[i])) {
            return;
        }
    }
    bad_ref(c, ref, "a run has 'id', 'number', 'pipeline' and 'status', not '%.128s'%s",
            ref->parts[1], suggest_part(c, ref, ref->parts[1], fields, SL_LEN(fields)));
}

/* ---- steps ------------------------------------------------------------------------------------ */

static int compare_names(const void *left, const void *right)
{
    const struct spec_step_name *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static void index_names(struct spec_loader *l)
{
    l->by_name = sl_calloc(l->steps.n + 1, sizeof(struct spec_step_name));
    for (size_t i = 0; i < l->steps.n; i++) {
        l->by_name[i] = (struct spec_step_name){.name = l->steps.items[i].id, .index = i};
    }
    qsort(l->by_name, l->steps.n, sizeof(struct spec_step_name), compare_names);
}

/* Its index, or the number of steps when there is none of that name. */
static size_t find_step(struct spec_loader *l, const char *name)
{
    struct spec_step_name wanted = {.name = name};
    const struct spec_step_name *found =
        bsearch(&wanted, l->by_name, l->steps.n, sizeof(struct spec_step_name), compare_names);
    return found != NULL ? found->index : l->steps.n;
}

static const char **step_names(struct spec_loader *l)
{
    const char **names = SL_ARENA_ARRAY(l->arena, const char *, l->steps.n + 1);
    for (size_t i = 0; i < l->steps.n; i++) {
        names[i] = l->steps.items[i].id;
    }
    return names;
}

static void add_edge(struct spec_loader *l, size_t from, size_t to)
{
    struct spec_edge edge = {.from = from, .to = to};
    sl_vec_push(&l->edges, edge);
}

static const struct sl_output *find_output(const struct sl_step *step, const char *name)
{
    for (size_t i = 0; i < step->n_outputs; i++) {
        if (sl_streq(step->outputs[i].name, name)) {
            return &step->outputs[i];
        }
    }
    return NULL;
}

/* Of a sub-pipeline: whether the output is a list is what its file says. */
static void check_sub_output(struct ref_check *c, const struct sl_expr_ref *ref,
                             const struct spec_sub *sub)
{
    for (size_t i = 0; i < sub->sub->n_outputs; i++) {
        const struct sl_sub_output *o = &sub->sub->outputs[i];
        if (!sl_streq(o->name, ref->parts[3])) {
            continue;
        }
        if (o->is_list && ref->n == 4) {
            bad_ref(c, ref, "output '%s' of '%s' is a list; steps.%s.outputs.%s[*] names all of it",
                    o->name, sub->sub->file, sub->sub->id, o->name);
        } else if (!o->is_list && ref->n > 4) {
            bad_ref(c, ref, "output '%s' of '%s' is one version, not a list", o->name,
                    sub->sub->file);
        }
    }
}

static void check_output(struct ref_check *c, const struct sl_expr_ref *ref, size_t index, int at)
{
    const char *names[SPEC_ITEMS_MAX];
    const struct sl_step *target = &c->l->steps.items[index];
    const struct spec_sub *sub = sl_spec_sub_of(c->l, index);
    if (at >= ref->n || (sub == NULL && target->action == SL_ACT_UNSUPPORTED)) {
        return; /* nothing is known of a file with errors */
    }
    if (find_output(target, ref->parts[at]) == NULL) {
        size_t n = SL_MIN(target->n_outputs, SL_LEN(names));
        for (size_t i = 0; i < n; i++) {
            names[i] = target->outputs[i].name;
        }
        bad_ref(c, ref, "step '%s' has no output '%.128s'%s", target->id, ref->parts[at],
                suggest_part(c, ref, ref->parts[at], names, n));
    } else if (sub != NULL && at == 3) {
        check_sub_output(c, ref, sub);
    } else if (target->matrix != NULL && at == 3 && ref->n == 4) {
        bad_ref(c, ref,
                "step '%s' has a matrix; steps.%s.outputs.%s[*] names the outputs of all instances",
                target->id, target->id, ref->parts[at]);
    }
}

static void check_step(struct ref_check *c, const struct sl_expr_ref *ref)
{
    static const char *const fields[] = {"outputs", "status"};
    struct spec_loader *l = c->l;
    if (ref->n < 2) {
        return;
    }
    size_t target = find_step(l, ref->parts[1]);
    if (target == l->steps.n) {
        bad_ref(c, ref, "unknown step '%.128s'%s", ref->parts[1],
                suggest_part(c, ref, ref->parts[1], step_names(l), l->steps.n));
        return;
    }
    const struct sl_step *step = &l->steps.items[target];
    if (c->step == NULL) { /* an output of the whole file */
        if (ref->n > 3) {
            check_output(c, ref, target, 3);
        }
        return;
    }
    if (step->is_finally && !c->step->is_finally) {
        bad_ref(c, ref, "step '%s' cannot use step '%s', which is in 'finally' and runs after it",
                c->step->id, step->id);
        return;
    }
    add_edge(l, c->use->step, target);
    int at = ref->n > 2 && sl_streq(ref->parts[2], "*") ? 3 : 2;
    if (at >= ref->n) {
        return;
    }
    if (sl_streq(ref->parts[at], "outputs")) {
        check_output(c, ref, target, at + 1);
    } else if (!sl_streq(ref->parts[at], "status")) {
        bad_ref(c, ref, "a step has 'outputs' and 'status', not '%.128s'%s", ref->parts[at],
                sl_spec_suggest(l, ref->parts[at], fields, SL_LEN(fields)));
    }
}

/* ---- inputs of the outer step ----------------------------------------------------------------- */

/* `inputs.NAME`: what the step that runs this file as a sub-pipeline passes in. */
static void check_passed(struct ref_check *c, const struct sl_expr_ref *ref)
{
    const char *names[SPEC_ITEMS_MAX];
    const struct sl_step *outer = c->l->outer;
    struct sl_expr_ref whole;
    if (c->use->tmpl == NULL || !sl_tmpl_ref(c->use->tmpl, &whole)) {
        bad_ref(c, ref, "'inputs' stands alone, as the value of an input, a candidate or a model");
        return;
    }
    if (outer == NULL && !c->l->source->any_kind) {
        bad_ref(c, ref,
                "'inputs' are what a step with 'pipeline' passes to the file that it runs; "
                "this file is run by itself");
    }
    size_t n = outer != NULL ? SL_MIN(outer->n_inputs, SL_LEN(names)) : 0;
    for (size_t i = 0; i < n; i++) {
        names[i] = outer->inputs[i].name;
        if (ref->n > 1 && sl_streq(names[i], ref->parts[1])) {
            return;
        }
    }
    if (outer != NULL && ref->n > 1) {
        bad_ref(c, ref, "step '%s' of %s passes no input '%.128s'%s", outer->id, outer->loc.file,
                ref->parts[1], suggest_part(c, ref, ref->parts[1], names, n));
    }
}

/* ---- roots ------------------------------------------------------------------------------------ */

static bool is_among(const char *word, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(word, names[i])) {
            return true;
        }
    }
    return false;
}

static void check_ref(const struct sl_expr_ref *ref, void *data)
{
    static const char *const step_roots[] = {"matrix", "params", "run", "steps", "inputs"};
    static const char *const output_roots[] = {"steps"};
    static const char *const rule_roots[] = {"matrix", "params",    "run",
                                             "steps",  "candidate", "champion"};
    static const char *const param_roots[] = {"params"};
    static const char *const live_roots[] = {"candidate", "champion", "live", "params"};
    struct ref_check *c = data;
    const char *const *roots = step_roots;
    size_t n = SL_LEN(step_roots);
    switch (c->use->roots) {
    case USE_STEP: break;
    case USE_GATE_RULE:
        roots = rule_roots;
        n = SL_LEN(rule_roots);
        break;
    case USE_OUTPUTS:
        roots = output_roots;
        n = SL_LEN(output_roots);
        break;
    case USE_PARAMS:
        roots = param_roots;
        n = SL_LEN(param_roots);
        break;
    case USE_ANALYSIS:
        roots = live_roots;
        n = SL_LEN(live_roots);
        break;
    }
    const char *root = ref->parts[0];
    if (!is_among(root, roots, n)) {
        bad_ref(c, ref, "unknown name '%.128s'%s", root, sl_spec_suggest(c->l, root, roots, n));
    } else if (sl_streq(root, "params")) {
        check_param(c, ref);
    } else if (sl_streq(root, "run")) {
        check_run(c, ref);
    } else if (sl_streq(root, "inputs")) {
        check_passed(c, ref);
    } else if (sl_streq(root, "matrix")) {
        check_axis(c, ref);
    } else if (sl_streq(root, "steps")) {
        check_step(c, ref);
    } else if (sl_streq(root, "champion") && c->use->roots == USE_GATE_RULE &&
               c->step->gate.champion == NULL &&
               sl_yaml_get(sl_yaml_get(c->l->step_nodes.items[c->use->step], "gate"), "champion") ==
                   NULL) {
        bad_ref(c, ref, "the gate has no 'champion' to compare with");
    }
}

static void check_names(struct spec_loader *l)
{
    for (size_t i = 0; i < l->names.n; i++) {
        const struct spec_name_use *use = &l->names.items[i];
        const struct sl_step *from = &l->steps.items[use->step];
        size_t target = find_step(l, use->name);
        if (target == l->steps.n) {
            spec_error(l, use->loc, "unknown step '%.128s' in '%s' of step '%s'%s", use->name,
                       use->key, from->id,
                       sl_spec_suggest(l, use->name, step_names(l), l->steps.n));
        } else if (l->steps.items[target].is_finally && !from->is_finally) {
            spec_error(l, use->loc,
                       "step '%s' cannot use step '%s', which is in 'finally' and runs after it",
                       from->id, use->name);
        } else if (use->is_edge) {
            add_edge(l, use->step, target);
        }
    }
}

void sl_spec_check_refs(struct spec_loader *l)
{
    index_names(l);
    for (size_t i = 0; i < l->uses.n; i++) {
        const struct spec_use *use = &l->uses.items[i];
        bool in_step = use->roots != USE_PARAMS && use->roots != USE_OUTPUTS;
        struct ref_check c = {
            .l = l, .use = use, .step = in_step ? &l->steps.items[use->step] : NULL};
        if (use->expr != NULL) {
            sl_expr_refs(use->expr, check_ref, &c);
        } else {
            sl_tmpl_refs(use->tmpl, check_ref, &c);
        }
    }
    check_names(l);
}
