/* The environment of a step: a small fixed base, what the pipeline declares, and the SLUICE_ variables.
 * Nothing of the engine's own environment is passed on. Thread: lane. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct env_list {
    struct sl_arena *a;
    const char **items;
    size_t n, cap;
};

static void set(struct env_list *l, const char *name, const char *value)
{
    size_t len = strlen(name);
    const char *entry = sl_arena_printf(l->a, "%s=%s", name, value);
    for (size_t i = 0; i < l->n; i++) {
        if (strncmp(l->items[i], name, len) == 0 && l->items[i][len] == '=') {
            l->items[i] = entry; /* later wins: a declared variable replaces the base */
            return;
        }
    }
    SL_ASSERT(l->n + 1 < l->cap);
    l->items[l->n++] = entry;
}

static void set_one(void *data, const char *name, const char *value)
{
    set(data, name, value);
}

static void set_path(struct env_list *l, const char *name, const struct eng_attempt *ea,
                     const char *rest)
{
    set(l, name, sl_arena_printf(l->a, "%s/%s", ea->dir, rest));
}

/** An input version that is one file at its root is given as that file, all else as a directory. */
static const char *single_file(const struct eng_attempt *ea, const struct sl_artifact *v,
                               struct sl_arena *a)
{
    struct sl_manifest m;
    const char *name = NULL;
    sl_manifest_init(&m);
    if (sl_ws_manifest(ea->run->e->ws->blobs, &v->digest, &m, NULL) == 0 && m.entries.n == 1 &&
        m.entries.items[0].type == SL_ENTRY_FILE && strchr(m.entries.items[0].path, '/') == NULL) {
        name = sl_arena_strdup(a, m.entries.items[0].path);
    }
    sl_manifest_release(&m);
    return name;
}

static void set_inputs(struct env_list *l, const struct eng_attempt *ea, const struct eng_bound *b)
{
    for (size_t i = 0; i < b->step.n_inputs; i++) {
        const struct sl_bound_input *in = &b->step.inputs[i];
        const char *dir = sl_arena_printf(l->a, "%s/in/%s", ea->dir, in->input->name);
        const char *file = in->is_list || in->n != 1 ? NULL : single_file(ea, &in->items[0], l->a);
        set(l, sl_arena_printf(l->a, "SLUICE_IN_%s", in->input->name),
            file != NULL ? sl_arena_printf(l->a, "%s/%s", dir, file) : dir);
        set(l, sl_arena_printf(l->a, "SLUICE_IN_%s_DIR", in->input->name), dir);
    }
}

static void set_sluice(struct env_list *l, const struct eng_attempt *ea, const struct eng_bound *b)
{
    const struct eng_run *r = ea->run;
    const struct sl_plan_step *p = &r->core.plan->steps[ea->a->step];
    set(l, "SLUICE_RUN_ID", r->record.id);
    set(l, "SLUICE_RUN_NUMBER", sl_arena_printf(l->a, "%lld", (long long)r->record.number));
    set(l, "SLUICE_PIPELINE", r->record.pipeline);
    set(l, "SLUICE_STEP", p->key);
    set(l, "SLUICE_ATTEMPT", sl_arena_printf(l->a, "%d", ea->a->number));
    set(l, "SLUICE_ATTEMPT_ID", ea->a->id);
    set_path(l, "SLUICE_METRICS", ea, "metrics.jsonl");
    set_path(l, "SLUICE_PARAMS", ea, "params.json");
    _cleanup_(free)
    char *checkpoint = eng_checkpoint_dir(r, ea->a->step);
    set(l, "SLUICE_CHECKPOINT", checkpoint);
    for (size_t i = 0; i < p->spec->n_outputs; i++) {
        const struct sl_output *o = &p->spec->outputs[i];
        set_path(l, sl_arena_printf(l->a, "SLUICE_OUT_%s", o->name), ea,
                 o->path != NULL ? sl_arena_printf(l->a, "work/%s", o->path)
                                 : sl_arena_printf(l->a, "out/%s", o->name));
    }
    set_inputs(l, ea, b);
}

/** The programs of its environment come before those of the machine. */
static void set_venv(struct env_list *l, const struct eng_attempt *ea)
{
    _cleanup_(free)
    char *dir = eng_env_dir(ea->run, ea->a->step);
    if (dir != NULL) {
        set(l, "PATH", sl_arena_printf(l->a, "%s/bin:" STEP_PATH, dir));
        set(l, "VIRTUAL_ENV", dir);
    }
}

/** What an image was published with: PATH and the like. */
static void set_image(struct env_list *l, const json_t *vars)
{
    size_t i = 0;
    json_t *v = NULL;
    json_array_foreach (vars, i, v) {
        const char *text = json_is_string(v) ? json_string_value(v) : "";
        const char *eq = strchr(text, '=');
        if (eq != NULL && eq != text) {
            set(l, sl_arena_strndup(l->a, text, (size_t)(eq - text)), eq + 1);
        }
    }
}

const char *const *eng_step_env(struct eng_attempt *ea, const struct eng_bound *b)
{
    const struct sl_step *spec = ea->run->core.plan->steps[ea->a->step].spec;
    struct env_list l = {.a = &ea->arena};
    if (spec->builds != NULL) {
        return eng_env_build_vars(ea);
    }
    json_auto_t *config = eng_env_config(ea->run, ea->a->step);
    const json_t *vars = json_object_get(config, "env");
    l.cap = 40 + b->step.n_env + 2 * b->step.n_inputs + spec->n_outputs + json_array_size(vars);
    l.items = SL_ARENA_ARRAY(&ea->arena, const char *, l.cap);
    set(&l, "PATH", STEP_PATH);
    set_venv(&l, ea);
    set_image(&l, vars);
    eng_gpus_env(ea, set_one, &l);
    set(&l, "LANG", "C.UTF-8");
    set(&l, "TZ", "UTC");
    set_path(&l, "HOME", ea, "tmp");
    set_path(&l, "TMPDIR", ea, "tmp");
    for (size_t i = 0; i < b->step.n_env; i++) {
        set(&l, b->step.env[i].name, b->step.env[i].value);
    }
    set_sluice(&l, ea, b);
    l.items[l.n] = NULL;
    return l.items;
}
