/**
 * A step from its mapping: what it reads, makes, waits for and needs.
 *
 * Thread: any. Must not: trust types; what the checker refused is read as absent.
 */
#include "core/base/base.h"

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
            if (s->kind == SHAPE_OBJECT && value->type == SL_YAML_MAP) {
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

/* ---- resources, retry ------------------------------------------------------------------------- */

/* KEY of the step's own mapping, else of the defaults'. */
static const struct sl_yaml_node *own_or_default(struct spec_loader *l,
                                                 const struct sl_yaml_node *node, const char *map,
                                                 const char *key)
{
    const struct sl_yaml_node *own = sl_yaml_get(sl_yaml_get(node, map), key);
    return own != NULL ? own : sl_yaml_get(sl_spec_default(l, map), key);
}

static int cpu_of(const struct sl_yaml_node *node, int fallback)
{
    int milli;
    bool is_scalar = node != NULL && node->type != SL_YAML_SEQ && node->type != SL_YAML_MAP;
    return is_scalar && sl_spec_read_cpu(node->text.ptr, &milli) ? milli : fallback;
}

static int int_of(const struct sl_yaml_node *node, int fallback)
{
    return node != NULL && node->type == SL_YAML_INT && node->i >= -1000000 && node->i <= 1000000
               ? (int)node->i
               : fallback;
}

static void read_gpu(struct spec_loader *l, struct sl_resources *r, const struct sl_yaml_node *gpu)
{
    if (gpu == NULL || gpu->type != SL_YAML_MAP) {
        r->gpu_count = int_of(gpu, 0);
        return;
    }
    r->gpu_count = (int)sl_spec_int_of(gpu, "count", 1);
    const struct sl_yaml_node *memory = sl_yaml_get(gpu, "memory");
    bool is_read =
        memory != NULL && memory->type == SL_YAML_STR &&
        sl_spec_read_range(memory->text.ptr, &r->gpu_mem_min_bytes, &r->gpu_mem_max_bytes);
    if (is_read && r->gpu_mem_max_bytes != 0 && r->gpu_mem_min_bytes > r->gpu_mem_max_bytes) {
        spec_error(l, memory->loc,
                   "'memory' of 'gpu' must be a range from small to large, found '%.60s'",
                   memory->text.ptr);
    }
}

static void build_resources(struct spec_loader *l, struct sl_step *step,
                            const struct sl_yaml_node *node)
{
    struct sl_resources *r = &step->resources;
    const struct sl_yaml_node *memory = own_or_default(l, node, "resources", "memory");
    r->cpu_milli = cpu_of(own_or_default(l, node, "resources", "cpu"), 1000);
    r->cpu_limit_milli = cpu_of(own_or_default(l, node, "resources", "cpu_limit"), 0);
    r->priority = int_of(own_or_default(l, node, "resources", "priority"), 0);
    r->pids = int_of(own_or_default(l, node, "resources", "pids"), 0);
    if (memory != NULL && memory->type == SL_YAML_STR) {
        (void)sl_size_parse(memory->text.ptr,
                            &r->mem_bytes); /* malformed: reported by the checker */
    }
    read_gpu(l, r, own_or_default(l, node, "resources", "gpu"));
    if (r->cpu_limit_milli != 0 && r->cpu_limit_milli < r->cpu_milli) {
        spec_error(l, step->loc, "'cpu_limit' of step '%s' is below its 'cpu'", step->id);
    }
}

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
        sl_yaml_get(own_or_default(l, node, "retry", "backoff"), "factor");
    r->max = SL_MAX(0, int_of(own_or_default(l, node, "retry", "max"), 0));
    r->on = classes_of(own_or_default(l, node, "retry", "on"));
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
    static const char *const keys[] = {"code", "inputs", "matrix", "outputs"};
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

static void build_pending(struct spec_loader *l, struct sl_step *step,
                          const struct sl_yaml_node *node)
{
    step->pending_keys = SL_ARENA_ARRAY(l->arena, const char *, SPEC_PENDING_MAX + 1);
    size_t n = sl_spec_pending(l, &sl_spec_step_object, node, step->pending_keys, 0);
    const struct sl_yaml_node *runtime = sl_spec_default(l, "runtime");
    if (sl_yaml_get(node, "runtime") == NULL && runtime != NULL && runtime->type == SL_YAML_MAP) {
        step->pending_keys[n++] = "runtime";
    }
    step->n_pending_keys = n;
}

void sl_spec_build_step(struct spec_loader *l, const char *id, struct sl_loc loc,
                        const struct sl_yaml_node *node, bool is_finally)
{
    for (size_t i = 0; i < l->steps.n; i++) {
        if (sl_streq(l->steps.items[i].id, id)) {
            spec_error(l, loc, "step '%s' is already defined in %s:%d", id,
                       l->steps.items[i].loc.file, l->steps.items[i].loc.line);
            return;
        }
    }
    struct sl_step step = {.id = id, .loc = loc, .is_finally = is_finally};
    sl_spec_build_action(l, &step, node);
    build_needs(l, &step, sl_yaml_get(node, "needs"));
    step.cond = sl_spec_use_expr(l, sl_yaml_get(node, "if"), USE_STEP);
    sl_spec_build_matrix(l, &step, sl_yaml_get(node, "matrix"));
    build_inputs(l, &step, sl_yaml_get(node, "inputs"));
    build_outputs(l, &step, sl_yaml_get(node, "outputs"));
    if (step.action == SL_ACT_RUN || step.action == SL_ACT_COMMAND) {
        build_env(l, &step, sl_yaml_get(node, "env"));
    }
    step.code = sl_spec_texts_of(l, sl_yaml_get(node, "code"), &step.n_code);
    build_resources(l, &step, node);
    build_retry(l, &step, node);
    step.timeout_ms = ms_or_default(l, node, "timeout", 0);
    step.grace_ms = ms_or_default(l, node, "grace", 10000);
    build_cache(l, &step, node);
    refuse_process_keys(l, &step, node);
    build_pending(l, &step, node);
    sl_vec_push(&l->steps, step);
    sl_vec_push(&l->step_nodes, node);
}
