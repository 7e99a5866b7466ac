/**
 * A step from its mapping: what it reads, makes, waits for and needs.
 *
 * Thread: any. Must not: trust types; what the checker refused is read as absent.
 */
#include "core/base/base.h"

#include <stdio.h>

#include "core/base/time.h"
#include "pipelines/spec/spec_priv.h"

const char *const sl_fail_class_names[SL_FAIL_COUNT] = {
    [SL_FAIL_NEVER_STARTED] = "never_started",
    [SL_FAIL_INFRA] = "infra",
    [SL_FAIL_LOST] = "lost",
    [SL_FAIL_OOM] = "oom",
    [SL_FAIL_TIMEOUT] = "timeout",
    [SL_FAIL_STALLED] = "stalled",
    [SL_FAIL_PREEMPTED] = "preempted",
    [SL_FAIL_EXIT] = "exit",
    [SL_FAIL_CANCELLED] = "cancelled",
    [SL_FAIL_REJECTED] = "rejected",
    [SL_FAIL_DISK] = "disk",
};

/* ---- uses, checked later ---------------------------------------------------------------------- */

const struct sl_tmpl *sl_spec_use_template(struct spec_loader *l, const struct sl_yaml_node *node)
{
    struct sl_expr_err e = {0};
    const struct sl_tmpl *tmpl = NULL;
    bool is_scalar = node != NULL && node->type != SL_YAML_SEQ && node->type != SL_YAML_MAP;
    if (!is_scalar || sl_tmpl_parse(l->arena, node->text, &tmpl, &e) != 0) {
        return NULL; /* reported by the checker */
    }
    struct spec_use use = {.node = node, .tmpl = tmpl, .step = l->steps.n, .roots = USE_STEP};
    sl_vec_push(&l->uses, use);
    return tmpl;
}

const struct sl_tmpl *sl_spec_use_params(struct spec_loader *l, const struct sl_yaml_node *node)
{
    const struct sl_tmpl *tmpl = sl_spec_use_template(l, node);
    if (tmpl != NULL) {
        l->uses.items[l->uses.n - 1].roots = USE_PARAMS;
    }
    return tmpl;
}

const struct sl_expr *sl_spec_use_expr(struct spec_loader *l, const struct sl_yaml_node *node,
                                       enum use_roots roots)
{
    struct sl_expr_err e = {0};
    const struct sl_expr *expr = NULL;
    bool is_text = node != NULL && (node->type == SL_YAML_STR || node->type == SL_YAML_BOOL);
    if (!is_text || sl_expr_parse(l->arena, node->text, &expr, &e) != 0) {
        return NULL;
    }
    struct spec_use use = {.node = node, .expr = expr, .step = l->steps.n, .roots = roots};
    sl_vec_push(&l->uses, use);
    return expr;
}

void sl_spec_use_name(struct spec_loader *l, const char *name, struct sl_loc loc, const char *key,
                      bool is_edge)
{
    struct spec_name_use use = {
        .name = name, .loc = loc, .step = l->steps.n, .key = key, .is_edge = is_edge};
    sl_vec_push(&l->names, use);
}

/* ---- pending keys ----------------------------------------------------------------------------- */

static size_t pending_below(struct spec_loader *l, const struct object *object,
                            const struct sl_yaml_node *node, const char *prefix, const char **keys,
                            size_t n)
{
    for (size_t i = 0; i < object->n_keys && node->type == SL_YAML_MAP; i++) {
        const struct key *key = &object->keys[i];
        const struct sl_yaml_node *value = sl_yaml_get(node, key->name);
        if (value == NULL || n == SPEC_PENDING_MAX) {
            continue;
        }
        const char *name = sl_arena_printf(l->arena, "%s%s", prefix, key->name);
        if (key->pending != NULL) {
            keys[n++] = name;
        }
        for (const struct shape *s = key->shape; s != NULL && key->pending == NULL; s = s->other) {
            if (s->pending != NULL && sl_spec_fits(s, value)) {
                keys[n++] = name;
            } else if (s->kind == SHAPE_OBJECT && value->type == SL_YAML_MAP) {
                const char *below = sl_arena_printf(l->arena, "%s.", name);
                n = pending_below(l, s->object, value, below, keys, n);
            }
        }
    }
    return n;
}

size_t sl_spec_pending(struct spec_loader *l, const struct object *object,
                       const struct sl_yaml_node *node, const char **keys, size_t n)
{
    return pending_below(l, object, node, "", keys, n);
}

/* ---- inputs and outputs ----------------------------------------------------------------------- */

static enum sl_entity entity_of(const struct sl_yaml_node *map, const struct sl_yaml_node **ret_ref)
{
    static const char *const names[] = {"dataset", "model", "artifact"};
    static const enum sl_entity entities[] = {SL_ENT_DATASET, SL_ENT_MODEL, SL_ENT_ARTIFACT};
    for (size_t i = 0; i < SL_LEN(names); i++) {
        const struct sl_yaml_node *ref = sl_yaml_get(map, names[i]);
        if (ref != NULL) {
            *ret_ref = ref;
            return entities[i];
        }
    }
    *ret_ref = NULL;
    return SL_ENT_NONE;
}

static void build_inputs(struct spec_loader *l, struct sl_step *step,
                         const struct sl_yaml_node *map)
{
    if (map == NULL || map->type != SL_YAML_MAP) {
        return;
    }
    step->inputs = SL_ARENA_ARRAY(l->arena, struct sl_input, map->map.n);
    for (size_t i = 0; i < map->map.n; i++) {
        const struct sl_yaml_pair *pair = &map->map.pairs[i];
        struct sl_input input = {.name = pair->key, .loc = pair->key_loc};
        const struct sl_yaml_node *ref = pair->value;
        if (ref->type == SL_YAML_MAP) {
            input.entity = entity_of(ref, &ref);
        }
        input.ref = sl_spec_use_template(l, ref);
        if (input.ref != NULL) {
            step->inputs[step->n_inputs++] = input;
        }
    }
}

static void build_outputs(struct spec_loader *l, struct sl_step *step,
                          const struct sl_yaml_node *map)
{
    if (map == NULL || map->type != SL_YAML_MAP) {
        return;
    }
    step->outputs = SL_ARENA_ARRAY(l->arena, struct sl_output, map->map.n);
    for (size_t i = 0; i < map->map.n; i++) {
        const struct sl_yaml_pair *pair = &map->map.pairs[i];
        const struct sl_yaml_node *ref;
        struct sl_output output = {.name = pair->key, .loc = pair->key_loc};
        const char *metrics = sl_spec_text_of(pair->value, "metrics");
        output.entity = entity_of(pair->value, &ref);
        output.ref = ref != NULL ? sl_spec_use_template(l, ref) : NULL;
        output.path = metrics != NULL ? metrics : sl_spec_text_of(pair->value, "path");
        output.metrics = metrics != NULL;
        output.optional = sl_spec_bool_of(pair->value, "optional", false);
        if (metrics != NULL && sl_yaml_get(pair->value, "path") != NULL) {
            spec_error(l, sl_yaml_pair(pair->value, "path")->key_loc,
                       "output '%s' of step '%s' has 'metrics' and 'path'; 'metrics' names the "
                       "file already",
                       pair->key, step->id);
        }
        step->outputs[step->n_outputs++] = output;
    }
}

/* ---- env -------------------------------------------------------------------------------------- */

static void put_env(struct spec_loader *l, struct sl_step *step, const struct sl_yaml_pair *pair,
                    size_t capacity)
{
    struct sl_env_var var = {
        .name = pair->key, .loc = pair->key_loc, .value = sl_spec_use_template(l, pair->value)};
    if (sl_starts_with(pair->key, "SLUICE_")) {
        spec_error(l, pair->key_loc,
                   "variable '%s' of step '%s': names with SLUICE_ are set by the engine",
                   pair->key, step->id);
        return;
    }
    for (size_t i = 0; i < step->n_env; i++) {
        if (sl_streq(step->env[i].name, pair->key)) {
            step->env[i] = var;
            return;
        }
    }
    if (var.value != NULL && step->n_env < capacity) {
        step->env[step->n_env++] = var;
    }
}

/* The same name may come from several places; only the value that counts is checked for references. */
static void build_env(struct spec_loader *l, struct sl_step *step, const struct sl_yaml_node *own)
{
    size_t capacity = 0, n = 0;
    const struct sl_yaml_node *maps[SPEC_DOCS_MAX + 1];
    for (size_t i = 0; i < l->n_pipelines; i++) {
        maps[n++] = sl_yaml_get(sl_yaml_get(l->pipelines[i].root, "defaults"), "env");
    }
    maps[n++] = own;
    for (size_t i = 0; i < n; i++) {
        capacity += maps[i] != NULL && maps[i]->type == SL_YAML_MAP
                        ? SL_MIN(maps[i]->map.n, (size_t)SL_SPEC_ENV_MAX)
                        : 0;
    }
    step->env = SL_ARENA_ARRAY(l->arena, struct sl_env_var, SL_MAX(capacity, (size_t)1));
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; maps[i] != NULL && maps[i]->type == SL_YAML_MAP && k < maps[i]->map.n;
             k++) {
            const struct sl_yaml_pair *pair = &maps[i]->map.pairs[k];
            bool is_overridden = false;
            for (size_t later = i + 1; later < n && !is_overridden; later++) {
                is_overridden = sl_yaml_get(maps[later], pair->key) != NULL;
            }
            if (!is_overridden) {
                put_env(l, step, pair, capacity);
            }
        }
    }
    if (step->n_env > SL_SPEC_ENV_MAX) {
        spec_error(l, step->loc,
                   "step '%s' has %zu variables with the defaults; at most %d are allowed",
                   step->id, step->n_env, SL_SPEC_ENV_MAX);
    }
}

/* ---- retry ------------------------------------------------------------------------------------ */

static unsigned classes_of(const struct sl_yaml_node *list)
{
    unsigned on = 0;
    for (size_t i = 0; list != NULL && list->type == SL_YAML_SEQ && i < list->seq.n; i++) {
        const char *word =
            list->seq.items[i]->type == SL_YAML_STR ? list->seq.items[i]->text.ptr : "";
        for (size_t k = 0; k < SL_FAIL_COUNT; k++) {
            on |= sl_streq(word, sl_fail_class_names[k]) ? 1u << k : 0;
        }
        on |= sl_streq(word, "error") ? 1u << SL_FAIL_EXIT : 0;
    }
    return on;
}

static int64_t backoff_ms(struct spec_loader *l, const struct sl_yaml_node *node, const char *key,
                          int64_t fallback)
{
    const struct sl_yaml_node *own = sl_yaml_get(sl_yaml_get(node, "retry"), "backoff");
    const struct sl_yaml_node *other = sl_yaml_get(sl_spec_default(l, "retry"), "backoff");
    return sl_spec_ms_of(own, key, sl_spec_ms_of(other, key, fallback));
}

static void build_retry(struct spec_loader *l, struct sl_step *step,
                        const struct sl_yaml_node *node)
{
    struct sl_retry *r = &step->retry;
    const struct sl_yaml_node *factor =
        sl_yaml_get(sl_spec_own_or_default(l, node, "retry", "backoff"), "factor");
    r->max = SL_MAX(0, sl_spec_bounded_int(sl_spec_own_or_default(l, node, "retry", "max"), 0));
    r->on = classes_of(sl_spec_own_or_default(l, node, "retry", "on"));
    if (r->on == 0) {
        r->on = 1u << SL_FAIL_NEVER_STARTED | 1u << SL_FAIL_INFRA | 1u << SL_FAIL_LOST;
    }
    r->initial_ms = backoff_ms(l, node, "initial", 1000);
    r->max_ms = backoff_ms(l, node, "max", 300000);
    r->factor = 2;
    if (factor != NULL && factor->type == SL_YAML_INT) {
        r->factor = (double)factor->i;
    } else if (factor != NULL && factor->type == SL_YAML_FLOAT) {
        r->factor = factor->d;
    }
    if (r->initial_ms > r->max_ms) {
        spec_error(l, step->loc, "first wait of 'backoff' of step '%s' is longer than its max",
                   step->id);
    }
}

/* ---- the rest --------------------------------------------------------------------------------- */

static void build_needs(struct spec_loader *l, struct sl_step *step,
                        const struct sl_yaml_node *needs)
{
    if (needs == NULL || (needs->type != SL_YAML_STR && needs->type != SL_YAML_SEQ)) {
        return;
    }
    size_t n = needs->type == SL_YAML_SEQ ? SL_MIN(needs->seq.n, (size_t)SPEC_NEEDS_MAX) : 1;
    step->needs = SL_ARENA_ARRAY(l->arena, const char *, SL_MAX(n, (size_t)1));
    for (size_t i = 0; i < n; i++) {
        const struct sl_yaml_node *item = needs->type == SL_YAML_SEQ ? needs->seq.items[i] : needs;
        if (item->type != SL_YAML_STR) {
            continue;
        }
        for (size_t k = 0; k < step->n_needs; k++) {
            if (sl_streq(step->needs[k], item->text.ptr)) {
                spec_error(l, item->loc, "step '%s' needs '%s' twice", step->id, item->text.ptr);
            }
        }
        step->needs[step->n_needs++] = item->text.ptr;
        sl_spec_use_name(l, item->text.ptr, item->loc, "needs", true);
    }
}

static int64_t ms_or_default(struct spec_loader *l, const struct sl_yaml_node *node,
                             const char *key, int64_t fallback)
{
    const struct sl_yaml_node *other = sl_spec_default(l, key);
    int64_t ms = fallback;
    if (other != NULL && other->type == SL_YAML_STR && !sl_duration_parse(other->text.ptr, &ms)) {
        ms = fallback;
    }
    return sl_spec_ms_of(node, key, ms);
}

static void build_cache(struct spec_loader *l, struct sl_step *step,
                        const struct sl_yaml_node *node)
{
    const struct sl_yaml_node *own = sl_yaml_get(node, "cache");
    const struct sl_yaml_node *cache = own != NULL ? own : sl_spec_default(l, "cache");
    const char *effects = sl_spec_text_of(node, "effects");
    bool is_off = cache != NULL && cache->type == SL_YAML_STR && sl_streq(cache->text.ptr, "off");
    bool can = step->action == SL_ACT_RUN || step->action == SL_ACT_COMMAND;
    step->effects_external = effects != NULL && sl_streq(effects, "external");
    step->cache = can && !is_off && !step->effects_external ? SL_CACHE_AUTO : SL_CACHE_OFF;
    if (step->effects_external && own != NULL && !is_off) {
        spec_error(l, own->loc, "step '%s' has 'effects: external', so it is never cached",
                   step->id);
    }
}

static void refuse_process_keys(struct spec_loader *l, const struct sl_step *step,
                                const struct sl_yaml_node *node)
{
    static const char *const keys[] = {"checkpoint", "code",    "env",           "inputs", "matrix",
                                       "outputs",    "sandbox", "stall_timeout", "secrets"};
    bool can = step->action == SL_ACT_RUN || step->action == SL_ACT_COMMAND ||
               step->action == SL_ACT_UNSUPPORTED;
    for (size_t i = 0; i < SL_LEN(keys) && !can; i++) {
        const struct sl_yaml_pair *pair = sl_yaml_pair(node, keys[i]);
        if (pair != NULL) {
            spec_error(l, pair->key_loc,
                       "'%s' has no meaning for step '%s': only 'run' and 'command' have it",
                       keys[i], step->id);
        }
    }
}

/* Pending keys of the defaults that reach this step: a step that says otherwise is not held back. */
static size_t inherit_pending(struct spec_loader *l, const struct sl_yaml_node *node,
                              const char **keys, size_t n)
{
    const char *all[SPEC_PENDING_MAX];
    for (size_t i = 0; i < l->n_pipelines; i++) {
        const struct sl_yaml_node *defaults = sl_yaml_get(l->pipelines[i].root, "defaults");
        size_t n_all =
            defaults != NULL ? sl_spec_pending(l, &sl_spec_default_object, defaults, all, 0) : 0;
        for (size_t k = 0; k < n_all && n < SPEC_PENDING_MAX; k++) {
            char first[64];
            (void)snprintf(first, sizeof(first), "%.*s", (int)strcspn(all[k], "."), all[k]);
            if (sl_yaml_get(node, first) == NULL) {
                keys[n++] = all[k];
            }
        }
    }
    return n;
}

static void build_pending(struct spec_loader *l, struct sl_step *step, const struct object *object,
                          const struct sl_yaml_node *node)
{
    bool can = step->action == SL_ACT_RUN || step->action == SL_ACT_COMMAND;
    step->pending_keys = SL_ARENA_ARRAY(l->arena, const char *, SPEC_PENDING_MAX + 1);
    step->n_pending_keys = sl_spec_pending(l, object, node, step->pending_keys, 0);
    if (can) {
        step->n_pending_keys = inherit_pending(l, node, step->pending_keys, step->n_pending_keys);
    }
}

static bool is_defined(struct spec_loader *l, const char *id, struct sl_loc loc)
{
    for (size_t i = 0; i < l->steps.n; i++) {
        if (sl_streq(l->steps.items[i].id, id)) {
            spec_error(l, loc, "step '%s' is already defined in %s:%d", id,
                       l->steps.items[i].loc.file, l->steps.items[i].loc.line);
            return true;
        }
    }
    return false;
}

static void build_checkpoint(struct sl_step *step, const struct sl_yaml_node *node)
{
    step->checkpoint_path = sl_spec_text_of(node, "checkpoint");
    step->checkpoint = step->checkpoint_path != NULL || sl_spec_bool_of(node, "checkpoint", false);
}

/* What steps and hooks have in common. */
static void build_body(struct spec_loader *l, struct sl_step *step, const struct sl_yaml_node *node)
{
    sl_spec_build_action(l, step, node);
    if (step->action == SL_ACT_RUN || step->action == SL_ACT_COMMAND) {
        build_env(l, step, sl_yaml_get(node, "env"));
    }
    sl_spec_build_env(l, step, node);
    build_retry(l, step, node);
    step->timeout_ms = ms_or_default(l, node, "timeout", 0);
    step->grace_ms = ms_or_default(l, node, "grace", 10000);
}

/* A step that stands for another file's steps has no body of its own. */
static void build_outer(struct spec_loader *l, struct sl_step *step,
                        const struct sl_yaml_node *node)
{
    step->action = SL_ACT_UNSUPPORTED;
    step->unsupported = "pipeline";
    sl_spec_build_sub(l, step, node);
    sl_vec_push(&l->steps, *step);
    sl_vec_push(&l->step_nodes, node);
}

void sl_spec_build_step(struct spec_loader *l, const char *id, struct sl_loc loc,
                        const struct sl_yaml_node *node, bool is_finally)
{
    if (is_defined(l, id, loc)) {
        return;
    }
    struct sl_step step = {.id = id, .loc = loc, .is_finally = is_finally};
    build_needs(l, &step, sl_yaml_get(node, "needs"));
    step.cond = sl_spec_use_expr(l, sl_yaml_get(node, "if"), USE_STEP);
    sl_spec_build_matrix(l, &step, sl_yaml_get(node, "matrix"));
    build_inputs(l, &step, sl_yaml_get(node, "inputs"));
    if (sl_yaml_get(node, "pipeline") != NULL) {
        build_outer(l, &step, node);
        return;
    }
    build_outputs(l, &step, sl_yaml_get(node, "outputs"));
    step.code = sl_spec_texts_of(l, sl_yaml_get(node, "code"), &step.n_code);
    build_body(l, &step, node);
    step.stall_timeout_ms = sl_spec_ms_of(node, "stall_timeout", 0);
    step.queue_timeout_ms = sl_spec_ms_of(node, "queue_timeout", 0);
    build_checkpoint(&step, node);
    build_cache(l, &step, node);
    refuse_process_keys(l, &step, node);
    build_pending(l, &step, &sl_spec_step_object, node);
    sl_vec_push(&l->steps, step);
    sl_vec_push(&l->step_nodes, node);
    sl_spec_build_hooks(l, id, sl_yaml_get(node, "hooks"), is_finally);
}

/* ---- hooks ------------------------------------------------------------------------------------ */

static const struct sl_expr *hook_condition(struct spec_loader *l, const char *id, const char *good)
{
    const struct sl_expr *cond = NULL;
    struct sl_expr_err e = {0};
    const char *text = sl_arena_printf(l->arena, "steps[\"%s\"].status in [%s]", id, good);
    int rc = sl_expr_parse(l->arena, sl_str_c(text), &cond, &e);
    SL_ASSERT(rc == 0); /* ids hold nothing that ends a string */
    return cond;
}

static void build_hook(struct spec_loader *l, const char *of, const struct sl_yaml_pair *pair,
                       const char *good)
{
    const char *id = sl_arena_printf(l->arena, "%s:%s", of, pair->key);
    struct sl_step step = {.id = id, .loc = pair->key_loc, .hook_of = of, .allow_failure = true};
    step.needs = SL_ARENA_ARRAY(l->arena, const char *, 1);
    step.needs[step.n_needs++] = of;
    sl_spec_use_name(l, of, pair->key_loc, pair->key, true);
    step.cond = hook_condition(l, of, good);
    build_body(l, &step, pair->value);
    step.cache = SL_CACHE_OFF;
    build_pending(l, &step, &sl_spec_hook_object, pair->value);
    sl_vec_push(&l->steps, step);
    sl_vec_push(&l->step_nodes, pair->value);
}

void sl_spec_build_hooks(struct spec_loader *l, const char *id, const struct sl_yaml_node *node,
                         bool is_finally)
{
    static const struct {
        const char *key, *statuses;
    } hooks[] = {
        {"on_success", "\"succeeded\", \"cached\", \"unchanged\""},
        {"on_failure", "\"failed\", \"refused\""},
        {"on_end", "\"succeeded\", \"cached\", \"unchanged\", \"failed\", \"refused\", "
                   "\"cancelled\""},
    };
    for (size_t i = 0; i < SL_LEN(hooks); i++) {
        const struct sl_yaml_pair *pair = sl_yaml_pair(node, hooks[i].key);
        if (pair == NULL || pair->value->type != SL_YAML_MAP) {
            continue;
        }
        if (l->steps.n == SL_SPEC_STEPS_MAX) {
            spec_error(l, pair->key_loc, "more than %d steps and hooks in all files",
                       SL_SPEC_STEPS_MAX);
            return;
        }
        build_hook(l, id, pair, hooks[i].statuses);
        l->steps.items[l->steps.n - 1].is_finally = is_finally;
    }
}
