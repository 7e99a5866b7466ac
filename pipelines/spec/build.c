/**
 * Checked documents become structs: params, targets, the pipeline itself.
 *
 * Thread: any. Must not: trust types; what the checker refused is read as absent.
 */
#include "core/base/base.h"

#include <limits.h>

#include "core/base/time.h"
#include "pipelines/spec/spec_priv.h"

/* ---- lenient readers -------------------------------------------------------------------------- */

const char *sl_spec_text_of(const struct sl_yaml_node *map, const char *key)
{
    const struct sl_yaml_node *node = sl_yaml_get(map, key);
    return node != NULL && node->type == SL_YAML_STR ? node->text.ptr : NULL;
}

int64_t sl_spec_int_of(const struct sl_yaml_node *map, const char *key, int64_t fallback)
{
    const struct sl_yaml_node *node = sl_yaml_get(map, key);
    bool fits =
        node != NULL && node->type == SL_YAML_INT && node->i >= INT_MIN && node->i <= INT_MAX;
    return fits ? node->i : fallback;
}

bool sl_spec_bool_of(const struct sl_yaml_node *map, const char *key, bool fallback)
{
    const struct sl_yaml_node *node = sl_yaml_get(map, key);
    return node != NULL && node->type == SL_YAML_BOOL ? node->b : fallback;
}

int64_t sl_spec_ms_of(const struct sl_yaml_node *map, const char *key, int64_t fallback)
{
    const char *text = sl_spec_text_of(map, key);
    int64_t ms;
    return text != NULL && sl_duration_parse(text, &ms) ? ms : fallback;
}

const char **sl_spec_texts_of(struct spec_loader *l, const struct sl_yaml_node *list, size_t *ret_n)
{
    *ret_n = 0;
    if (list == NULL || list->type != SL_YAML_SEQ) {
        return NULL;
    }
    const char **texts = SL_ARENA_ARRAY(l->arena, const char *, list->seq.n + 1);
    for (size_t i = 0; i < list->seq.n; i++) {
        const struct sl_yaml_node *item = list->seq.items[i];
        if (item->type != SL_YAML_SEQ && item->type != SL_YAML_MAP) {
            texts[(*ret_n)++] = item->text.ptr;
        }
    }
    return texts; /* one more, NULL: usable as an argument list */
}

const struct sl_yaml_node *sl_spec_default(struct spec_loader *l, const char *key)
{
    for (size_t i = l->n_pipelines; i > 0; i--) {
        const struct sl_yaml_node *node =
            sl_yaml_get(sl_yaml_get(l->pipelines[i - 1].root, "defaults"), key);
        if (node != NULL) {
            return node;
        }
    }
    return NULL;
}

struct sl_value sl_spec_scalar(struct spec_loader *l, const struct sl_yaml_node *node)
{
    switch (node->type) {
    case SL_YAML_BOOL: return (struct sl_value){.type = SL_V_BOOL, .b = node->b};
    case SL_YAML_INT: return (struct sl_value){.type = SL_V_INT, .i = node->i};
    case SL_YAML_FLOAT: return (struct sl_value){.type = SL_V_DOUBLE, .d = node->d};
    case SL_YAML_STR: return sl_value_str(l->arena, node->text.ptr);
    case SL_YAML_NULL:
    case SL_YAML_SEQ:
    case SL_YAML_MAP: break;
    }
    return (struct sl_value){.type = SL_V_NULL};
}

/* ---- params ----------------------------------------------------------------------------------- */

static const char *const type_names[] = {"string", "int", "float", "bool"};

static bool read_type(const struct sl_yaml_node *node, enum sl_param_type *ret)
{
    const char *text = sl_spec_text_of(node, "type");
    for (size_t i = 0; text != NULL && i < SL_LEN(type_names); i++) {
        if (sl_streq(text, type_names[i])) {
            *ret = (enum sl_param_type)i;
            return true;
        }
    }
    return false;
}

static void check_limits(struct spec_loader *l, const struct sl_param *p, const char *key,
                         struct sl_loc loc, double value)
{
    if (p->has_min && value < p->min) {
        spec_error(l, loc, "'%s' of param '%s' is %.17g, below its min %.17g", key, p->name, value,
                   p->min);
    } else if (p->has_max && value > p->max) {
        spec_error(l, loc, "'%s' of param '%s' is %.17g, above its max %.17g", key, p->name, value,
                   p->max);
    }
}

/* One value (the default, or an entry of `enum`) against the type and the bounds of its param. */
static struct sl_value typed_value(struct spec_loader *l, const struct sl_param *p, const char *key,
                                   const struct sl_yaml_node *node)
{
    struct sl_value value = sl_spec_scalar(l, node);
    if (p->type == SL_PARAM_FLOAT && value.type == SL_V_INT) {
        value = (struct sl_value){.type = SL_V_DOUBLE, .d = (double)value.i};
    }
    static const enum sl_value_type wanted[] = {SL_V_STRING, SL_V_INT, SL_V_DOUBLE, SL_V_BOOL};
    if (value.type != wanted[p->type]) {
        if (value.type != SL_V_NULL) { /* else refused by the checker */
            spec_error(l, node->loc,
                       "'%s' of param '%s' must be a value of type %s, found %s %.60s", key,
                       p->name, type_names[p->type], sl_yaml_type_name(node->type), node->text.ptr);
        }
        return (struct sl_value){.type = SL_V_NULL};
    }
    if (value.type == SL_V_INT) {
        check_limits(l, p, key, node->loc, (double)value.i);
    } else if (value.type == SL_V_DOUBLE) {
        check_limits(l, p, key, node->loc, value.d);
    }
    return value;
}

static void read_limits(struct spec_loader *l, struct sl_param *p, const struct sl_yaml_node *node)
{
    static const char *const keys[] = {"min", "max"};
    for (size_t i = 0; i < SL_LEN(keys); i++) {
        const struct sl_yaml_pair *pair = sl_yaml_pair(node, keys[i]);
        if (pair == NULL ||
            (pair->value->type != SL_YAML_INT && pair->value->type != SL_YAML_FLOAT)) {
            continue;
        }
        double limit = pair->value->type == SL_YAML_INT ? (double)pair->value->i : pair->value->d;
        if (p->type == SL_PARAM_STRING || p->type == SL_PARAM_BOOL) {
            spec_error(l, pair->key_loc, "'%s' has no meaning for param '%s' of type %s", keys[i],
                       p->name, type_names[p->type]);
            continue;
        }
        *(i == 0 ? &p->has_min : &p->has_max) = true;
        *(i == 0 ? &p->min : &p->max) = limit;
    }
    if (p->has_min && p->has_max && p->min > p->max) {
        spec_error(l, sl_yaml_pair(node, "min")->key_loc, "'min' of param '%s' is above its 'max'",
                   p->name);
        p->has_min = p->has_max = false;
    }
}

static void read_choices(struct spec_loader *l, struct sl_param *p, const struct sl_yaml_node *node)
{
    const struct sl_yaml_node *list = sl_yaml_get(node, "enum");
    if (list == NULL || list->type != SL_YAML_SEQ) {
        return;
    }
    struct sl_value *values = SL_ARENA_ARRAY(l->arena, struct sl_value, list->seq.n);
    for (size_t i = 0; i < list->seq.n; i++) {
        values[i] = typed_value(l, p, "enum", list->seq.items[i]);
    }
    p->choices = values;
    p->n_choices = list->seq.n;
}

static void read_pattern(struct spec_loader *l, struct sl_param *p, const struct sl_yaml_node *node)
{
    const struct sl_yaml_node *pattern = sl_yaml_get(node, "pattern");
    if (pattern == NULL || pattern->type != SL_YAML_STR) {
        return;
    }
    if (p->type != SL_PARAM_STRING) {
        spec_error(l, pattern->loc, "'pattern' has no meaning for param '%s' of type %s", p->name,
                   type_names[p->type]);
        return;
    }
    if (pattern->text.len > SPEC_REGEX_MAX) {
        spec_error(l, pattern->loc, "'pattern' of param '%s' has %zu bytes; at most %d are allowed",
                   p->name, pattern->text.len, SPEC_REGEX_MAX);
        return;
    }
    size_t at = 0;
    const char *why = NULL;
    const struct sl_regex *regex = sl_regex_compile(l->arena, pattern->text, &at, &why);
    if (regex == NULL) {
        spec_error(l, pattern->loc,
                   "'pattern' of param '%s' is no regular expression: %s at byte %zu", p->name, why,
                   at + 1);
        return;
    }
    p->pattern = pattern->text.ptr;
    const struct sl_yaml_node *text = sl_yaml_get(node, "default");
    if (text != NULL && text->type == SL_YAML_STR && !sl_regex_search(regex, text->text)) {
        spec_error(l, text->loc, "'default' of param '%s' does not match its pattern %s", p->name,
                   p->pattern);
    }
}

void sl_spec_build_param(struct spec_loader *l, const char *name, struct sl_loc loc,
                         const struct sl_yaml_node *node)
{
    struct sl_param p = {.name = name, .loc = loc, .required = true};
    bool has_type = read_type(node, &p.type);
    p.description = sl_spec_text_of(node, "description");
    for (size_t i = 0; i < l->params.n; i++) {
        if (sl_streq(l->params.items[i].name, name)) {
            spec_error(l, loc, "param '%s' is already defined in %s:%d", name,
                       l->params.items[i].loc.file, l->params.items[i].loc.line);
            return;
        }
    }
    if (!has_type) { /* reported; its values cannot be judged */
        sl_vec_push(&l->params, p);
        return;
    }
    read_limits(l, &p, node);
    read_choices(l, &p, node);
    read_pattern(l, &p, node);
    const struct sl_yaml_node *value = sl_yaml_get(node, "default");
    if (value != NULL) {
        p.required = false;
        p.value = typed_value(l, &p, "default", value);
        bool is_choice = p.n_choices == 0 || p.value.type == SL_V_NULL;
        for (size_t i = 0; i < p.n_choices; i++) {
            is_choice = is_choice || sl_value_eq(&p.choices[i], &p.value);
        }
        if (!is_choice) {
            spec_error(l, value->loc, "'default' of param '%s' is not one of its 'enum' values",
                       name);
        }
    }
    sl_vec_push(&l->params, p);
}

/* ---- targets ---------------------------------------------------------------------------------- */

static const char **argv_of(struct spec_loader *l, const struct sl_yaml_node *root, const char *key)
{
    size_t n = 0;
    return sl_spec_texts_of(l, sl_yaml_get(root, key), &n);
}

void sl_spec_build_target(struct spec_loader *l, const struct spec_doc *doc, struct sl_target *ret)
{
    const struct sl_yaml_node *root = doc->root;
    const struct sl_yaml_pair *name = sl_yaml_pair(root, "name");
    *ret = (struct sl_target){
        .name = sl_spec_text_of(root, "name"),
        .loc = name != NULL ? name->value->loc : root->loc,
        .type = sl_spec_text_of(root, "type"),
        .path = sl_spec_text_of(root, "path"),
        .keep = (int)sl_spec_int_of(root, "keep", 3),
        .is_protected = sl_spec_bool_of(root, "protected", true),
        .warmup = argv_of(l, root, "warmup"),
        .health = argv_of(l, root, "health"),
        .reload = argv_of(l, root, "reload"),
        .timeout_ms = sl_spec_ms_of(root, "timeout", 60000),
        .health_retries = (int)sl_spec_int_of(root, "health_retries", 3),
        .health_interval_ms = sl_spec_ms_of(root, "health_interval", 1000),
    };
}

static void build_targets(struct spec_loader *l)
{
    struct sl_target *targets = SL_ARENA_ARRAY(l->arena, struct sl_target, l->n_targets);
    size_t n = 0;
    for (size_t i = 0; i < l->n_targets; i++) {
        sl_spec_build_target(l, &l->targets[i], &targets[n]);
        bool is_new = targets[n].name != NULL;
        for (size_t k = 0; is_new && k < n; k++) {
            if (sl_streq(targets[k].name, targets[n].name)) {
                spec_error(l, targets[n].loc, "target '%s' is already defined in %s:%d",
                           targets[n].name, targets[k].loc.file, targets[k].loc.line);
                is_new = false;
            }
        }
        n += is_new;
    }
    l->spec->targets = targets;
    l->spec->n_targets = n;
}

/* ---- the pipeline ----------------------------------------------------------------------------- */

static void build_params(struct spec_loader *l, const struct sl_yaml_node *params)
{
    for (size_t i = 0; params != NULL && params->type == SL_YAML_MAP && i < params->map.n; i++) {
        const struct sl_yaml_pair *pair = &params->map.pairs[i];
        if (l->params.n == SL_SPEC_PARAMS_MAX) {
            spec_error(l, pair->key_loc, "more than %d params in all files", SL_SPEC_PARAMS_MAX);
            return;
        }
        sl_spec_build_param(l, pair->key, pair->key_loc, pair->value);
    }
}

static void build_steps(struct spec_loader *l, const struct sl_yaml_node *steps, bool is_finally)
{
    for (size_t i = 0; steps != NULL && steps->type == SL_YAML_MAP && i < steps->map.n; i++) {
        const struct sl_yaml_pair *pair = &steps->map.pairs[i];
        if (l->steps.n == SL_SPEC_STEPS_MAX) {
            spec_error(l, pair->key_loc, "more than %d steps in all files; use a matrix",
                       SL_SPEC_STEPS_MAX);
            return;
        }
        if (pair->value->type == SL_YAML_MAP) {
            sl_spec_build_step(l, pair->key, pair->key_loc, pair->value, is_finally);
        }
    }
}

static void build_pending(struct spec_loader *l)
{
    const char **keys = SL_ARENA_ARRAY(l->arena, const char *, SPEC_PENDING_MAX);
    size_t n = 0;
    for (size_t i = 0; i < l->n_pipelines; i++) {
        n = sl_spec_pending(l, &sl_spec_pipeline_object, l->pipelines[i].root, keys, n);
    }
    l->spec->pending_keys = keys;
    l->spec->n_pending_keys = n;
}

static void build_concurrency(struct spec_loader *l, const struct sl_yaml_node *node)
{
    static const char *const of_groups[] = {"limit", "max_queued", "on_conflict"};
    const char *on_conflict = sl_spec_text_of(node, "on_conflict");
    struct sl_concurrency *c = &l->spec->concurrency;
    l->spec->concurrency_limit = (int)sl_spec_int_of(node, "steps", 0);
    c->group = sl_spec_use_params(l, sl_yaml_get(node, "group"));
    c->limit = (int)sl_spec_int_of(node, "limit", 1);
    c->max_queued = (int)sl_spec_int_of(node, "max_queued", 0);
    c->on_conflict = SL_CONFLICT_QUEUE;
    if (on_conflict != NULL && sl_streq(on_conflict, "replace")) {
        c->on_conflict = SL_CONFLICT_REPLACE;
    } else if (on_conflict != NULL && sl_streq(on_conflict, "reject")) {
        c->on_conflict = SL_CONFLICT_REJECT;
    }
    for (size_t i = 0; i < SL_LEN(of_groups) && sl_yaml_get(node, "group") == NULL; i++) {
        const struct sl_yaml_pair *pair = sl_yaml_pair(node, of_groups[i]);
        if (pair != NULL) {
            spec_error(
                l, pair->key_loc,
                "'%s' of 'concurrency' needs 'group'; for the steps of one run write 'steps'",
                of_groups[i]);
        }
    }
}

static void build_head(struct spec_loader *l)
{
    const struct sl_yaml_node *root =
        l->pipelines[l->n_pipelines - 1].root; /* the main one is last */
    l->spec->name = sl_spec_text_of(root, "name");
    l->spec->description = sl_spec_text_of(root, "description");
    l->spec->priority = sl_spec_bounded_int(sl_yaml_get(root, "priority"), 0);
    build_concurrency(l, sl_yaml_get(root, "concurrency"));
    if (l->steps.n == 0 && sl_yaml_get(root, "steps") == NULL) {
        spec_error(l, root->loc, "the pipeline has no steps");
    } else if (l->steps.n == 0) {
        spec_error(l, sl_yaml_pair(root, "steps")->key_loc, "the pipeline has no steps");
    }
}

void sl_spec_build(struct spec_loader *l)
{
    build_targets(l);
    if (!l->has_main) {
        return;
    }
    for (size_t i = 0; i < l->n_pipelines; i++) {
        build_params(l, sl_yaml_get(l->pipelines[i].root, "params"));
    }
    for (size_t i = 0; i < l->n_pipelines; i++) {
        build_steps(l, sl_yaml_get(l->pipelines[i].root, "steps"), false);
    }
    for (size_t i = 0; i < l->n_pipelines; i++) {
        build_steps(l, sl_yaml_get(l->pipelines[i].root, "finally"), true);
    }
    build_head(l);
    sl_spec_build_outputs(l, sl_yaml_get(l->pipelines[l->n_pipelines - 1].root, "outputs"));
    build_pending(l);
    l->spec->params =
        sl_arena_memdup(l->arena, l->params.items, l->params.n * sizeof(struct sl_param));
    l->spec->n_params = l->params.n;
}
