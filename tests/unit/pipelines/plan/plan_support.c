/** A pipeline text becomes a plan; a world that tests fill in. Single-threaded. */
#include "core/base/base.h"

#include "tests/unit/pipelines/plan/plan_support.h"

static const char *world_status(void *data, uint32_t step)
{
    const struct planned *p = data;
    return p->status[step] != NULL ? p->status[step] : "pending";
}

static const struct sl_artifact *world_output(void *data, uint32_t step, const char *output)
{
    const struct planned *p = data;
    const struct sl_step *spec = p->plan->steps[step].spec;
    for (size_t i = 0; i < spec->n_outputs; i++) {
        if (sl_streq(spec->outputs[i].name, output)) {
            return p->has_output[step] ? &p->outputs[step] : NULL;
        }
    }
    return NULL;
}

/** Knows every dataset ("…@latest" is version 7) and the model champion. */
static int world_resolve(void *data, enum sl_entity entity, const char *ref,
                         struct sl_artifact *ret, struct sl_err *err)
{
    const struct planned *p = data;
    if (sl_starts_with(ref, "nothing") || (p->no_champion && entity == SL_ENT_MODEL)) {
        return sl_err_set(err, SL_ENOTFOUND, "no version '%s'", ref);
    }
    *ret = (struct sl_artifact){.entity = entity, .name = "default/known", .version = 7};
    sl_sha256(ref, strlen(ref), &ret->digest);
    return 0;
}

static bool split(struct planned *p, const char *const *args)
{
    struct sl_param_arg list[16];
    size_t n = 0;
    for (; args != NULL && args[n] != NULL; n++) {
        const char *equals = strchr(args[n], '=');
        SL_CHECK(equals != NULL && n < SL_LEN(list));
        list[n] = (struct sl_param_arg){
            .name = sl_arena_strndup(&p->arena, args[n], (size_t)(equals - args[n])),
            .value = equals + 1,
            .origin = "command line"};
    }
    return sl_plan_params(p->spec, list, n, &p->arena, &p->diags, &p->params) == 0;
}

static int world_json(void *data, const struct sl_artifact *artifact, const json_t **ret,
                      struct sl_err *err)
{
    const struct planned *p = data;
    (void)artifact;
    if (p->json == NULL) {
        return sl_err_set(err, SL_EINVAL, "it is not JSON");
    }
    *ret = p->json;
    return 0;
}

void planned_json(struct planned *p, const char *text)
{
    json_decref(p->json);
    p->json = json_loads(text, JSON_DECODE_ANY, NULL);
    SL_CHECK_NOT_NULL(p->json);
}

static int read_file(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                     struct sl_err *err)
{
    for (const struct planned_file *f = data; f->path != NULL; f++) {
        if (sl_streq(f->path, path)) {
            *ret = sl_str_c(sl_arena_strdup(a, f->text));
            return 0;
        }
    }
    return sl_err_set(err, SL_ENOTFOUND, "no such file");
}

static bool init(struct planned *p, const char *yaml, const char *const *args,
                 const struct planned_file *files)
{
    memset(p, 0, sizeof(*p));
    sl_arena_init(&p->arena, 0);
    sl_diags_init(&p->diags, &p->arena);
    const char *text =
        sl_arena_printf(&p->arena, "apiVersion: sluice/v1\nkind: Pipeline\nname: test\n%s", yaml);
    struct planned_file *copy = NULL;
    size_t n = 0;
    while (files != NULL && files[n].path != NULL) {
        n++;
    }
    copy = SL_ARENA_ARRAY(&p->arena, struct planned_file, n + 1);
    memcpy(copy, files != NULL ? files : copy, n * sizeof(*copy));
    struct sl_spec_source source = {
        .file = "test.yml", .text = sl_str_c(text), .read = read_file, .data = copy};
    p->world = (struct sl_plan_world){.step_status = world_status,
                                      .step_output = world_output,
                                      .resolve = world_resolve,
                                      .read_json = world_json,
                                      .run_id = "0123456789abcdef0123456789abcdef",
                                      .run_number = 5,
                                      .run_status = "succeeded",
                                      .data = p};
    return sl_spec_load(&source, &p->arena, &p->diags, &p->spec) == 0 && split(p, args) &&
           sl_plan_build(p->spec, p->params, &p->arena, &p->diags, &p->plan) == 0;
}

bool planned_init(struct planned *p, const char *yaml, const char *const *args)
{
    return init(p, yaml, args, NULL);
}

bool planned_init_files(struct planned *p, const char *yaml, const struct planned_file *files)
{
    return init(p, yaml, NULL, files);
}

void planned_release(struct planned *p)
{
    json_decref(p->json);
    sl_diags_release(&p->diags);
    sl_arena_release(&p->arena);
}

const char *planned_errors(struct planned *p)
{
    struct sl_buf b = SL_BUF_INIT(65536);
    for (size_t i = 0; i < p->diags.list.n; i++) {
        sl_buf_printf(&b, "%s\n", p->diags.list.items[i].message);
    }
    const char *text = sl_arena_strdup(&p->arena, sl_buf_str(&b));
    sl_buf_release(&b);
    return text;
}

uint32_t planned_step(const struct planned *p, const char *key)
{
    for (uint32_t i = 0; i < p->plan->n_steps; i++) {
        if (sl_streq(p->plan->steps[i].key, key)) {
            return i;
        }
    }
    SL_FAIL("no step '%s' in the plan", key);
}

const char *planned_needs(struct planned *p, const char *key)
{
    struct sl_buf b = SL_BUF_INIT(65536);
    const struct sl_plan_step *s = &p->plan->steps[planned_step(p, key)];
    for (uint32_t i = 0; i < s->n_needs; i++) {
        sl_buf_printf(&b, "%s%s", i > 0 ? " " : "", p->plan->steps[s->needs[i]].key);
    }
    const char *text = sl_arena_strdup(&p->arena, sl_buf_str(&b));
    sl_buf_release(&b);
    return text;
}

void planned_end(struct planned *p, const char *key, const char *status, uint8_t content)
{
    uint32_t step = planned_step(p, key);
    SL_CHECK(step < WORLD_STEPS_MAX);
    const struct sl_step *spec = p->plan->steps[step].spec;
    p->status[step] = status;
    p->has_output[step] = true;
    p->outputs[step] = (struct sl_artifact){.name = "", .version = 0};
    if (spec->n_outputs > 0 && spec->outputs[0].entity != SL_ENT_NONE) {
        p->outputs[step] = (struct sl_artifact){
            .entity = spec->outputs[0].entity, .name = "default/made", .version = 3};
    }
    memset(p->outputs[step].digest.b, content, SL_DIGEST_BYTES);
}
