/* Environments as steps: for each distinct one that steps run in, a step "env:<lock file>" that makes it is put
 * before them. It is an ordinary step from there on: attempts, logs, limits, cancel, cache. Pure. */
#include "core/base/base.h"

#include "pipelines/plan/plan_priv.h"

static bool same(const struct sl_runtime *a, const struct sl_runtime *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    return a->kind == SL_RUNTIME_VENV ? sl_streq(a->venv, b->venv) && sl_streq(a->python, b->python)
                                      : sl_streq(strrchr(a->image, '@'), strrchr(b->image, '@'));
}

/** Whether a step runs in an environment that has to be made first. */
static bool wants(const struct sl_step *s)
{
    return s->runtime.kind != SL_RUNTIME_HOST && s->builds == NULL &&
           (s->action == SL_ACT_RUN || s->action == SL_ACT_COMMAND);
}

static const struct sl_step *find(const struct sl_step *made, size_t n, const struct sl_runtime *r)
{
    for (size_t i = 0; i < n; i++) {
        if (same(made[i].builds, r)) {
            return &made[i];
        }
    }
    return NULL;
}

/** Of an image: the last part of its name and the beginning of its digest. */
static const char *image_name(const char *image, struct sl_arena *a)
{
    const char *at = strrchr(image, '@');
    const char *from = at;
    while (from > image && from[-1] != '/' && from[-1] != ':') {
        from--;
    }
    return sl_arena_printf(a, "env:%.*s@%.12s", (int)(at - from), from, at + strlen("@sha256:"));
}

/** Two interpreters for one lock are told apart by the interpreter's name. */
static const char *name_of(const struct sl_step *made, size_t n, const struct sl_runtime *r,
                           struct sl_arena *a)
{
    if (r->kind == SL_RUNTIME_IMAGE) {
        return image_name(r->image, a);
    }
    for (size_t i = 0; i < n; i++) {
        const struct sl_runtime *other = made[i].builds;
        if (other->kind == SL_RUNTIME_VENV && sl_streq(other->venv, r->venv)) {
            return sl_arena_printf(a, "env:%s:%s", r->venv, r->python);
        }
    }
    return sl_arena_printf(a, "env:%s", r->venv);
}

static void fill(struct sl_step *s, const struct sl_step *user, const char *id, struct sl_arena *a)
{
    const char **code = SL_ARENA_ARRAY(a, const char *, 1);
    struct sl_output *wheels = SL_ARENA_NEW(a, struct sl_output);
    code[0] = user->runtime.venv;
    *wheels = (struct sl_output){.name = SL_PLAN_ENV_OUTPUT, .loc = user->runtime.loc};
    wheels->optional = true; /* an environment that is there already leaves none */
    *s = (struct sl_step){
        .id = id,
        .loc = user->runtime.loc,
        .action = SL_ACT_COMMAND,
        .builds = &user->runtime,
        .outputs = wheels,
        .n_outputs = 1,
        .code = code,
        .n_code = user->runtime.kind == SL_RUNTIME_VENV ? 1 : 0,
        .resources = {.cpu_milli = 1000, .priority = user->resources.priority},
        .retry = {.max = 1,
                  .on = 1U << SL_FAIL_NEVER_STARTED | 1U << SL_FAIL_INFRA | 1U << SL_FAIL_LOST,
                  .initial_ms = 1000,
                  .max_ms = 300000,
                  .factor = 2},
        .timeout_ms = SL_PLAN_ENV_TIMEOUT_MS,
        .grace_ms = 10000,
        .cache = SL_CACHE_AUTO,
    };
}

static void add_need(struct sl_step *s, const char *id, struct sl_arena *a)
{
    const char **needs = SL_ARENA_ARRAY(a, const char *, s->n_needs + 1);
    for (size_t i = 0; i < s->n_needs; i++) {
        needs[i] = s->needs[i];
    }
    needs[s->n_needs++] = id;
    s->needs = needs;
}

const struct sl_spec *sl_plan_add_envs(const struct sl_spec *spec, struct sl_arena *a)
{
    size_t n = 0;
    for (size_t i = 0; i < spec->n_steps; i++) {
        n += wants(&spec->steps[i]) ? 1 : 0;
    }
    if (n == 0) {
        return spec;
    }
    struct sl_spec *out = sl_arena_memdup(a, spec, sizeof(*spec));
    struct sl_step *made = SL_ARENA_ARRAY(a, struct sl_step, n + spec->n_steps);
    size_t n_made = 0;
    for (size_t i = 0; i < spec->n_steps; i++) {
        const struct sl_step *s = &spec->steps[i];
        if (wants(s) && find(made, n_made, &s->runtime) == NULL) {
            fill(&made[n_made], s, name_of(made, n_made, &s->runtime, a), a);
            n_made++;
        }
    }
    for (size_t i = 0; i < spec->n_steps;
         i++) { /* behind them the written ones: finally stays last */
        struct sl_step *s = &made[n_made + i];
        *s = spec->steps[i];
        if (wants(s)) {
            const struct sl_step *env = find(made, n_made, &s->runtime);
            SL_ASSERT(env != NULL);
            add_need(s, env->id, a);
        }
    }
    out->steps = made;
    out->n_steps = n_made + spec->n_steps;
    return out;
}

int sl_plan_env_step(const struct sl_spec *spec, const struct sl_step *s)
{
    for (size_t i = 0; wants(s) && i < spec->n_steps; i++) {
        if (spec->steps[i].builds != NULL && same(spec->steps[i].builds, &s->runtime)) {
            return (int)i;
        }
    }
    return -1;
}
