/**
 * Sub-pipelines: a step that stands for another file's steps.
 *
 * The file is loaded by a loader of its own, so its names are judged inside it. While the outer file is
 * judged, the step stands there like any other, with the outputs that the file declares; afterwards the
 * file's steps take its place, named "<outer>/<inner>".
 *
 * Thread: any. Must not: open files; included text comes through the caller's function.
 */
#include "core/base/base.h"

#include "pipelines/spec/spec_priv.h"

/* ---- outputs of a file ------------------------------------------------------------------------ */

static void build_output(struct spec_loader *l, const struct sl_yaml_pair *pair,
                         struct sl_sub_output *list, size_t *n)
{
    struct sl_expr_ref ref;
    const struct sl_tmpl *tmpl = sl_spec_use_template(l, pair->value);
    if (tmpl == NULL) {
        return;
    }
    l->uses.items[l->uses.n - 1].roots = USE_OUTPUTS;
    if (!sl_tmpl_ref(tmpl, &ref) || ref.n < 4 || ref.n > 5 || !sl_streq(ref.parts[0], "steps") ||
        !sl_streq(ref.parts[2], "outputs") || (ref.n == 5 && !sl_streq(ref.parts[4], "*"))) {
        spec_error(l, pair->value->loc,
                   "output '%s' must be \"${{ steps.STEP.outputs.NAME }}\" and nothing else",
                   pair->key);
        return;
    }
    list[(*n)++] = (struct sl_sub_output){.name = pair->key,
                                          .loc = pair->key_loc,
                                          .step = ref.parts[1],
                                          .output = ref.parts[3],
                                          .is_list = ref.n == 5};
}

void sl_spec_build_outputs(struct spec_loader *l, const struct sl_yaml_node *map)
{
    if (map == NULL || map->type != SL_YAML_MAP || map->map.n > SL_SPEC_SUB_OUTPUTS_MAX) {
        return;
    }
    size_t n = 0;
    struct sl_sub_output *list =
        SL_ARENA_ARRAY(l->arena, struct sl_sub_output, SL_MAX(map->map.n, (size_t)1));
    for (size_t i = 0; i < map->map.n; i++) {
        build_output(l, &map->map.pairs[i], list, &n);
    }
    l->spec->outputs = list;
    l->spec->n_outputs = n;
}

/* ---- the inner file --------------------------------------------------------------------------- */

static struct spec_loader *root_of(struct spec_loader *l)
{
    while (l->parent != NULL) {
        l = l->parent;
    }
    return l;
}

static bool is_cycle(struct spec_loader *l, const char *path, struct sl_loc loc)
{
    const struct spec_loader *found = l;
    while (found != NULL && !sl_streq(found->files[0].path, path)) {
        found = found->parent;
    }
    if (found == NULL) {
        return false;
    }
    const struct spec_loader *chain[SL_SPEC_SUB_DEPTH + 2];
    struct sl_buf b = SL_BUF_INIT(4096);
    size_t n = 0;
    for (const struct spec_loader *at = l; n < SL_LEN(chain); at = at->parent) {
        chain[n++] = at;
        if (at == found) {
            break;
        }
    }
    while (n > 0) {
        sl_buf_printf(&b, "%s → ", chain[--n]->files[0].path);
    }
    sl_buf_puts(&b, path);
    spec_error(l, loc, "sub-pipelines contain each other: %s", sl_buf_str(&b));
    sl_buf_release(&b);
    return true;
}

static bool may_load(struct spec_loader *l, const char *path, struct sl_loc loc)
{
    struct spec_loader *root = root_of(l);
    size_t depth = 0;
    for (const struct spec_loader *at = l; at != NULL; at = at->parent) {
        depth++;
    }
    if (is_cycle(l, path, loc)) {
        return false;
    }
    if (l->source->read == NULL) {
        spec_error(l, loc, "cannot read '%s': files cannot be read here", path);
    } else if (depth > SL_SPEC_SUB_DEPTH) {
        spec_error(l, loc, "sub-pipelines are nested deeper than %d", SL_SPEC_SUB_DEPTH);
    } else if (root->n_sub_loads == SL_SPEC_SUBS_MAX) {
        spec_error(l, loc, "more than %d sub-pipelines", SL_SPEC_SUBS_MAX);
    } else {
        root->n_sub_loads++;
        return true;
    }
    return false;
}

static struct sl_spec *load_inner(struct spec_loader *l, const struct sl_step *step,
                                  const struct sl_yaml_node *node)
{
    const struct sl_yaml_node *file = sl_yaml_get(node, "file");
    const struct sl_yaml_node *sha256 = sl_yaml_get(node, "sha256");
    struct sl_str text = {NULL, 0};
    struct sl_err err = SL_ERR_INIT;
    if (file == NULL || file->type != SL_YAML_STR || file->text.len == 0 ||
        file->text.ptr[0] == '/') {
        return NULL; /* reported by the checker */
    }
    const char *path = sl_spec_join_path(l, file->loc.file, file->text.ptr);
    if (!may_load(l, path, file->loc)) {
        return NULL;
    }
    if (l->source->read(l->source->data, l->arena, path, &text, &err) < 0) {
        spec_error(l, file->loc, "cannot read '%s': %s", path, err.msg);
        return NULL;
    }
    root_of(l)->sub_bytes += text.len;
    if (root_of(l)->sub_bytes > SPEC_SUB_BYTES_MAX) {
        spec_error(l, file->loc, "sub-pipelines have more than %lu MiB of text in all",
                   SPEC_SUB_BYTES_MAX >> 20);
        return NULL;
    }
    sl_spec_pin(l, path, file->loc, text, sha256);
    struct sl_spec_source source = {
        .file = path, .text = text, .read = l->source->read, .data = l->source->data};
    return sl_spec_load_inner(l, step, &source);
}

/* ---- what is passed in ------------------------------------------------------------------------ */

static void take_argument(struct spec_loader *l, struct sl_sub *sub,
                          const struct sl_yaml_pair *pair)
{
    const char *names[SL_SPEC_PARAMS_MAX];
    const struct sl_tmpl *value = sl_spec_use_params(l, pair->value);
    for (size_t i = 0; i < sub->n_params; i++) {
        names[i] = sub->params[i].name;
        if (sl_streq(names[i], pair->key)) {
            sub->args[i] = value;
            return;
        }
    }
    spec_error(l, pair->key_loc, "'%s' has no param '%.128s'%s", sub->file, pair->key,
               sl_spec_suggest(l, pair->key, names, sub->n_params));
}

static void take_arguments(struct spec_loader *l, struct sl_sub *sub,
                           const struct sl_yaml_node *node)
{
    const struct sl_yaml_node *params = sl_yaml_get(node, "params");
    bool is_map = params != NULL && params->type == SL_YAML_MAP;
    sub->args = SL_ARENA_ARRAY(l->arena, const struct sl_tmpl *, sub->n_params + 1);
    for (size_t i = 0; is_map && i < params->map.n; i++) {
        take_argument(l, sub, &params->map.pairs[i]);
    }
    for (size_t i = 0; i < sub->n_params; i++) {
        if (sub->params[i].required && sub->args[i] == NULL &&
            sl_yaml_get(params, sub->params[i].name) == NULL) {
            spec_error(l, sub->loc, "step '%s' must give param '%s' of '%s', which has no default",
                       sub->id, sub->params[i].name, sub->file);
        }
    }
}

/* The outputs of the file as those of the step that stands for it. */
static void declare_outputs(struct spec_loader *l, struct sl_step *step,
                            const struct sl_spec *inner)
{
    step->outputs = SL_ARENA_ARRAY(l->arena, struct sl_output, inner->n_outputs + 1);
    for (size_t i = 0; i < inner->n_outputs; i++) {
        const struct sl_sub_output *o = &inner->outputs[i];
        struct sl_output output = {.name = o->name, .loc = o->loc};
        struct sl_spec_output made = sl_spec_find_output(inner, NULL, o->step, o->output);
        if (made.output != NULL) {
            output.entity = made.output->entity;
            output.metrics = made.output->metrics;
            output.optional = made.output->optional;
        }
        step->outputs[step->n_outputs++] = output;
    }
}

static void refuse_keys(struct spec_loader *l, const struct sl_step *step,
                        const struct sl_yaml_node *node)
{
    static const char *const allowed[] = {"description", "if", "inputs", "needs", "pipeline"};
    for (size_t i = 0; i < node->map.n; i++) {
        const struct sl_yaml_pair *pair = &node->map.pairs[i];
        bool is_allowed = false;
        for (size_t k = 0; k < SL_LEN(allowed); k++) {
            is_allowed = is_allowed || sl_streq(pair->key, allowed[k]);
        }
        if (!is_allowed) {
            spec_error(l, pair->key_loc,
                       "'%s' has no meaning for step '%s', which stands for the steps of a file: "
                       "write it there",
                       pair->key, step->id);
        }
    }
}

static void refuse_finally(struct spec_loader *l, const struct sl_spec *inner,
                           const struct sl_yaml_node *node)
{
    for (size_t i = 0; i < inner->n_steps; i++) {
        if (inner->steps[i].is_finally) {
            spec_error(l, sl_yaml_get(node, "file")->loc,
                       "'%s' has 'finally', which a sub-pipeline cannot have; write its steps into "
                       "the pipeline that runs it",
                       inner->file);
            return;
        }
    }
}

void sl_spec_build_sub(struct spec_loader *l, struct sl_step *step, const struct sl_yaml_node *node)
{
    const struct sl_yaml_node *pipeline = sl_yaml_get(node, "pipeline");
    refuse_keys(l, step, node);
    struct sl_spec *inner = load_inner(l, step, pipeline);
    if (inner == NULL) {
        return;
    }
    refuse_finally(l, inner, pipeline);
    struct sl_sub *sub = SL_ARENA_NEW(l->arena, struct sl_sub);
    *sub = (struct sl_sub){.id = step->id,
                           .file = inner->file,
                           .loc = step->loc,
                           .params = inner->params,
                           .n_params = inner->n_params,
                           .outputs = inner->outputs,
                           .n_outputs = inner->n_outputs,
                           .needs = step->needs,
                           .n_needs = step->n_needs,
                           .inputs = step->inputs,
                           .n_inputs = step->n_inputs,
                           .cond = step->cond,
                           .is_finally = step->is_finally};
    take_arguments(l, sub, pipeline);
    declare_outputs(l, step, inner);
    struct spec_sub entry = {.step = l->steps.n, .inner = inner, .sub = sub};
    sl_vec_push(&l->subs, entry);
}

const struct spec_sub *sl_spec_sub_of(const struct spec_loader *l, size_t step)
{
    for (size_t i = 0; i < l->subs.n; i++) {
        if (l->subs.items[i].step == step) {
            return &l->subs.items[i];
        }
    }
    return NULL;
}

/* ---- taking its place ------------------------------------------------------------------------- */

static const char *prefixed(struct spec_loader *l, const char *prefix, const char *name)
{
    return name != NULL ? sl_arena_printf(l->arena, "%s/%s", prefix, name) : NULL;
}

static void prefix_all(struct spec_loader *l, const char *prefix, const char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        names[i] = prefixed(l, prefix, names[i]);
    }
}

static void move_step(struct spec_loader *l, const struct sl_sub *sub, struct sl_step *s)
{
    s->id = prefixed(l, sub->id, s->id);
    prefix_all(l, sub->id, s->needs, s->n_needs);
    s->hook_of = prefixed(l, sub->id, s->hook_of);
    s->gate.evaluate = prefixed(l, sub->id, s->gate.evaluate);
    s->rollback.of_step = prefixed(l, sub->id, s->rollback.of_step);
    s->sub = s->sub == NULL ? sub : s->sub;
    s->is_finally = sub->is_finally;
}

static void move_outputs(struct spec_loader *l, const struct sl_sub *of, const char *prefix,
                         struct sl_sub *sub)
{
    struct sl_sub_output *outputs =
        SL_ARENA_ARRAY(l->arena, struct sl_sub_output, of->n_outputs + 1);
    for (size_t i = 0; i < of->n_outputs; i++) {
        outputs[i] = of->outputs[i];
        outputs[i].step = prefixed(l, prefix, outputs[i].step);
    }
    sub->outputs = outputs;
}

/* Sub-pipelines of the sub-pipeline. */
static void move_subs(struct spec_loader *l, const struct spec_sub *entry, struct sl_sub **all,
                      size_t *n)
{
    for (size_t i = 0; i < entry->inner->n_subs; i++) {
        struct sl_sub *sub = entry->inner->subs[i];
        sub->id = prefixed(l, entry->sub->id, sub->id);
        prefix_all(l, entry->sub->id, sub->needs, sub->n_needs);
        move_outputs(l, sub, entry->sub->id, sub);
        sub->up = sub->up == NULL ? entry->sub : sub->up;
        sub->is_finally = entry->sub->is_finally;
        sub->index = (uint32_t)*n;
        all[(*n)++] = sub;
    }
}

/* Targets of the files that are run here too. */
static void merge_targets(struct spec_loader *l)
{
    struct sl_spec *spec = l->spec;
    size_t n = spec->n_targets;
    for (size_t i = 0; i < l->subs.n; i++) {
        n += l->subs.items[i].inner->n_targets;
    }
    struct sl_target *all = SL_ARENA_ARRAY(l->arena, struct sl_target, n + 1);
    memcpy(all, spec->targets, spec->n_targets * sizeof(*all));
    for (size_t i = 0; i < l->subs.n; i++) {
        const struct sl_spec *inner = l->subs.items[i].inner;
        for (size_t k = 0; k < inner->n_targets; k++) {
            const struct sl_target *t = &inner->targets[k], *same = NULL;
            for (size_t m = 0; m < spec->n_targets && same == NULL; m++) {
                same = sl_streq(all[m].name, t->name) ? &all[m] : NULL;
            }
            if (same == NULL) {
                all[spec->n_targets++] = *t;
            } else if (!sl_streq(same->loc.file, t->loc.file) || same->loc.line != t->loc.line) {
                spec_error(l, l->subs.items[i].sub->loc,
                           "target '%s' of '%s' is already defined in %s:%d", t->name, inner->file,
                           same->loc.file, same->loc.line);
            }
        }
    }
    spec->targets = all;
}

static void check_total(struct spec_loader *l, size_t n)
{
    if (n > SL_SPEC_STEPS_MAX) {
        spec_error(l, l->pipelines[l->n_pipelines - 1].root->loc,
                   "more than %d steps with those of the sub-pipelines", SL_SPEC_STEPS_MAX);
    }
}

void sl_spec_expand_subs(struct spec_loader *l)
{
    size_t n = l->steps.n, n_subs = l->subs.n;
    for (size_t i = 0; i < l->subs.n; i++) {
        n += l->subs.items[i].inner->n_steps;
        n_subs += l->subs.items[i].inner->n_subs;
    }
    struct sl_step *steps = SL_ARENA_ARRAY(l->arena, struct sl_step, n + 1);
    struct sl_sub **subs = SL_ARENA_ARRAY(l->arena, struct sl_sub *, n_subs + 1);
    n = n_subs = 0;
    for (size_t i = 0; i < l->steps.n; i++) {
        const struct spec_sub *entry = sl_spec_sub_of(l, i);
        if (entry == NULL) {
            steps[n++] = l->steps.items[i];
            continue;
        }
        entry->sub->index = (uint32_t)n_subs;
        move_outputs(l, entry->sub, entry->sub->id, entry->sub);
        subs[n_subs++] = entry->sub;
        move_subs(l, entry, subs, &n_subs);
        for (size_t k = 0; k < entry->inner->n_steps; k++) {
            move_step(l, entry->sub, &entry->inner->steps[k]);
            steps[n++] = entry->inner->steps[k];
        }
    }
    check_total(l, n);
    merge_targets(l);
    l->spec->steps = steps;
    l->spec->n_steps = n;
    l->spec->subs = subs;
    l->spec->n_subs = n_subs;
}

/* ---- looking up ------------------------------------------------------------------------------- */

bool sl_sub_within(const struct sl_sub *inner, const struct sl_sub *outer)
{
    while (inner != outer && inner != NULL) {
        inner = inner->up;
    }
    return inner == outer;
}

/* Whether `id` is the name `name` inside `sub`. */
static bool is_named(const char *id, const struct sl_sub *sub, const char *name)
{
    size_t len = sub != NULL ? strlen(sub->id) : 0;
    if (sub == NULL) {
        return sl_streq(id, name);
    }
    return strncmp(id, sub->id, len) == 0 && id[len] == '/' && sl_streq(id + len + 1, name);
}

struct sl_spec_named sl_spec_find(const struct sl_spec *spec, const struct sl_sub *sub,
                                  const char *name)
{
    struct sl_spec_named found = {NULL, NULL};
    for (size_t i = 0; i < spec->n_steps && found.step == NULL; i++) {
        found.step = is_named(spec->steps[i].id, sub, name) ? &spec->steps[i] : NULL;
    }
    for (size_t i = 0; i < spec->n_subs && found.step == NULL && found.sub == NULL; i++) {
        found.sub = is_named(spec->subs[i]->id, sub, name) ? spec->subs[i] : NULL;
    }
    return found;
}

struct sl_spec_output sl_spec_find_output(const struct sl_spec *spec, const struct sl_sub *sub,
                                          const char *step, const char *output)
{
    struct sl_spec_output found = {.is_list = false};
    struct sl_spec_named named = sl_spec_find(spec, sub, step);
    while (named.sub != NULL) { /* on to the step that makes it; each is further inside */
        const struct sl_sub_output *o = NULL;
        for (size_t i = 0; i < named.sub->n_outputs && o == NULL; i++) {
            o = sl_streq(named.sub->outputs[i].name, output) ? &named.sub->outputs[i] : NULL;
        }
        if (o == NULL) {
            return found;
        }
        found.is_list = found.is_list || o->is_list;
        output = o->output;
        named = sl_spec_find(spec, NULL, o->step);
    }
    for (size_t i = 0; named.step != NULL && i < named.step->n_outputs; i++) {
        if (sl_streq(named.step->outputs[i].name, output)) {
            found.step = named.step;
            found.output = &named.step->outputs[i];
        }
    }
    return found;
}
