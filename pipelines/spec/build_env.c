/**
 * Where a step runs and what it may use: environment, machine, GPUs, secrets, isolation.
 *
 * Thread: any. Must not: trust types; what the checker refused is read as absent.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/time.h"
#include "pipelines/spec/spec_priv.h"

const struct sl_yaml_node *sl_spec_own_or_default(struct spec_loader *l,
                                                  const struct sl_yaml_node *node, const char *map,
                                                  const char *key)
{
    const struct sl_yaml_node *own = sl_yaml_get(sl_yaml_get(node, map), key);
    return own != NULL ? own : sl_yaml_get(sl_spec_default(l, map), key);
}

int sl_spec_bounded_int(const struct sl_yaml_node *node, int fallback)
{
    return node != NULL && node->type == SL_YAML_INT && node->i >= -1000000 && node->i <= 1000000
               ? (int)node->i
               : fallback;
}

static bool is_text(const struct sl_yaml_node *node)
{
    return node != NULL && node->type == SL_YAML_STR;
}

/* ---- runtime ---------------------------------------------------------------------------------- */

static void build_runtime(struct spec_loader *l, struct sl_step *step,
                          const struct sl_yaml_node *node)
{
    const struct sl_yaml_node *own = sl_yaml_get(node, "runtime");
    const struct sl_yaml_node *runtime = own != NULL ? own : sl_spec_default(l, "runtime");
    struct sl_runtime *r = &step->runtime;
    r->loc = runtime != NULL ? runtime->loc : step->loc;
    r->venv = sl_spec_text_of(runtime, "venv");
    r->image = sl_spec_text_of(runtime, "image");
    r->python = sl_spec_text_of(runtime, "python");
    r->kind = r->venv != NULL    ? SL_RUNTIME_VENV
              : r->image != NULL ? SL_RUNTIME_IMAGE
                                 : SL_RUNTIME_HOST;
    if (r->kind == SL_RUNTIME_IMAGE && r->python != NULL) {
        spec_error(l, sl_yaml_pair(runtime, "python")->key_loc,
                   "'python' of 'runtime' needs 'venv': an image brings its own");
    }
    if (r->kind == SL_RUNTIME_VENV && r->python == NULL) {
        r->python = "python3";
    }
}

/* ---- GPUs ------------------------------------------------------------------------------------- */

static void read_memory_range(struct spec_loader *l, struct sl_resources *r, const char *text,
                              struct sl_loc loc)
{
    bool is_read = sl_spec_read_range(text, &r->gpu_mem_min_bytes, &r->gpu_mem_max_bytes);
    if (is_read && r->gpu_mem_max_bytes != 0 && r->gpu_mem_min_bytes > r->gpu_mem_max_bytes) {
        spec_error(l, loc, "'memory' of 'gpu' must be a range from small to large, found '%.60s'",
                   text);
    }
}

/* "H100", "H100:8", "24GB..", "H100:2:40GB..80GB", "24GB:2": each part says by its form what it is. */
static void read_gpu_text(struct spec_loader *l, struct sl_resources *r,
                          const struct sl_yaml_node *node)
{
    r->gpu_count = 1;
    for (const char *p = node->text.ptr; *p != '\0';) {
        size_t len = strcspn(p, ":");
        const char *part = sl_arena_strndup(l->arena, p, len);
        int64_t count;
        if ((*part >= 'A' && *part <= 'Z') || (*part >= 'a' && *part <= 'z')) {
            r->gpu_types = SL_ARENA_ARRAY(l->arena, const char *, 1);
            r->gpu_types[0] = part;
            r->n_gpu_types = 1;
        } else if (sl_parse_i64(part, &count)) {
            r->gpu_count = (int)count;
        } else {
            read_memory_range(l, r, part, node->loc);
        }
        p += len + (p[len] == ':');
    }
    if (r->gpu_count < 1 || r->gpu_count > SL_SPEC_GPUS_MAX) {
        spec_error(l, node->loc, "the number of GPUs in '%.60s' must be from 1 to %d",
                   node->text.ptr, SL_SPEC_GPUS_MAX);
    }
}

static void read_gpu_types(struct spec_loader *l, struct sl_resources *r,
                           const struct sl_yaml_node *type)
{
    if (is_text(type)) {
        r->gpu_types = SL_ARENA_ARRAY(l->arena, const char *, 1);
        r->gpu_types[0] = type->text.ptr;
        r->n_gpu_types = 1;
    } else {
        r->gpu_types = sl_spec_texts_of(l, type, &r->n_gpu_types);
    }
}

static void read_mig(struct sl_resources *r, const char *mig)
{
    if (mig == NULL || sl_streq(mig, "allow")) {
        r->mig = SL_MIG_ALLOW;
    } else if (sl_streq(mig, "forbid")) {
        r->mig = SL_MIG_FORBID;
    } else {
        r->mig = SL_MIG_PROFILE;
        r->mig_profile = mig;
    }
}

static void read_share(struct spec_loader *l, struct sl_resources *r,
                       const struct sl_yaml_node *gpu)
{
    const struct sl_yaml_node *share = sl_yaml_get(gpu, "share");
    if (!is_text(share) || !sl_size_parse(share->text.ptr, &r->gpu_share_bytes)) {
        return;
    }
    if (r->gpu_share_bytes == 0) {
        spec_error(l, share->loc, "'share' of 'gpu' must be more than nothing");
    } else if (r->gpu_count != 1) {
        spec_error(l, share->loc, "'share' of 'gpu' is a part of one GPU; 'count' must be 1");
    } else if (r->mig == SL_MIG_PROFILE) {
        spec_error(l, share->loc, "'gpu' has 'share' and a MIG profile; give one of them");
    }
}

static void read_gpu(struct spec_loader *l, struct sl_resources *r, const struct sl_yaml_node *gpu)
{
    if (is_text(gpu)) {
        read_gpu_text(l, r, gpu);
        return;
    }
    if (gpu == NULL || gpu->type != SL_YAML_MAP) {
        r->gpu_count = sl_spec_bounded_int(gpu, 0);
        return;
    }
    const struct sl_yaml_node *memory = sl_yaml_get(gpu, "memory");
    r->gpu_count = (int)sl_spec_int_of(gpu, "count", 1);
    r->gpu_idle_timeout_ms = sl_spec_ms_of(gpu, "idle_timeout", 0);
    if (is_text(memory)) {
        read_memory_range(l, r, memory->text.ptr, memory->loc);
    }
    read_gpu_types(l, r, sl_yaml_get(gpu, "type"));
    read_mig(r, sl_spec_text_of(gpu, "mig"));
    read_share(l, r, gpu);
}

/* ---- the machine ------------------------------------------------------------------------------ */

static int cpu_of(const struct sl_yaml_node *node, int fallback)
{
    int milli;
    bool is_scalar = node != NULL && node->type != SL_YAML_SEQ && node->type != SL_YAML_MAP;
    return is_scalar && sl_spec_read_cpu(node->text.ptr, &milli) ? milli : fallback;
}

/* Malformed ones were reported by the checker. */
static uint64_t size_of(const struct sl_yaml_node *node)
{
    uint64_t bytes = 0;
    return is_text(node) && sl_size_parse(node->text.ptr, &bytes) ? bytes : 0;
}

static void build_resources(struct spec_loader *l, struct sl_step *step,
                            const struct sl_yaml_node *node)
{
    static const char map[] = "resources";
    struct sl_resources *r = &step->resources;
    r->cpu_milli = cpu_of(sl_spec_own_or_default(l, node, map, "cpu"), 1000);
    r->cpu_limit_milli = cpu_of(sl_spec_own_or_default(l, node, map, "cpu_limit"), 0);
    r->priority = sl_spec_bounded_int(sl_spec_own_or_default(l, node, map, "priority"), 0);
    r->pids = sl_spec_bounded_int(sl_spec_own_or_default(l, node, map, "pids"), 0);
    r->mem_bytes = size_of(sl_spec_own_or_default(l, node, map, "memory"));
    r->disk_bytes = size_of(sl_spec_own_or_default(l, node, map, "disk"));
    read_gpu(l, r, sl_spec_own_or_default(l, node, map, "gpu"));
    if (r->cpu_limit_milli != 0 && r->cpu_limit_milli < r->cpu_milli) {
        spec_error(l, step->loc, "'cpu_limit' of step '%s' is below its 'cpu'", step->id);
    }
}

/* ---- secrets, isolation ----------------------------------------------------------------------- */

static void put_secret(struct spec_loader *l, struct sl_step *step, const struct sl_yaml_pair *pair)
{
    const char *as = sl_spec_text_of(pair->value, "as");
    struct sl_secret_use use = {.var = pair->key, .loc = pair->key_loc};
    use.secret =
        is_text(pair->value) ? pair->value->text.ptr : sl_spec_text_of(pair->value, "secret");
    use.as = as != NULL && sl_streq(as, "file") ? SL_SECRET_FILE : SL_SECRET_ENV;
    if (sl_starts_with(use.var, "SLUICE_")) {
        spec_error(l, pair->key_loc,
                   "variable '%s' of step '%s': names with SLUICE_ are set by the engine", use.var,
                   step->id);
    }
    for (size_t i = 0; i < step->n_env; i++) {
        if (sl_streq(step->env[i].name, use.var)) {
            spec_error(l, pair->key_loc, "variable '%s' of step '%s' is in 'env' and in 'secrets'",
                       use.var, step->id);
        }
    }
    if (use.secret != NULL) {
        step->secrets[step->n_secrets++] = use;
    }
}

static void build_secrets(struct spec_loader *l, struct sl_step *step,
                          const struct sl_yaml_node *map)
{
    if (map == NULL || map->type != SL_YAML_MAP) {
        return;
    }
    step->secrets = SL_ARENA_ARRAY(l->arena, struct sl_secret_use, SL_MAX(map->map.n, (size_t)1));
    for (size_t i = 0; i < map->map.n; i++) {
        put_secret(l, step, &map->map.pairs[i]);
    }
}

struct sl_sandbox_spec sl_spec_sandbox_of(const struct sl_yaml_node *node)
{
    struct sl_sandbox_spec spec = {.level = SL_SANDBOX_NONE};
    const char *level = is_text(node) ? node->text.ptr : sl_spec_text_of(node, "level");
    if (level != NULL && sl_streq(level, "strict")) {
        spec.level = SL_SANDBOX_STRICT;
        spec.network = sl_spec_bool_of(node, "network", false);
    }
    return spec;
}

void sl_spec_build_env(struct spec_loader *l, struct sl_step *step, const struct sl_yaml_node *node)
{
    bool can = step->action == SL_ACT_RUN || step->action == SL_ACT_COMMAND;
    const struct sl_yaml_node *sandbox = sl_yaml_get(node, "sandbox");
    build_resources(l, step, node);
    step->runtime.loc = step->loc;
    if (can) {
        build_runtime(l, step, node);
        build_secrets(l, step, sl_yaml_get(node, "secrets"));
        step->sandbox =
            sl_spec_sandbox_of(sandbox != NULL ? sandbox : sl_spec_default(l, "sandbox"));
    }
}
