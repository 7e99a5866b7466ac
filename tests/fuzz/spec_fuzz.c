/**
 * Any bytes as a pipeline: no crash, no leak; an accepted one has what others rely on. The file may
 * include or run itself by any name, so that files in files are tried too. Also as a project.
 */
#include "core/base/base.h"

#include "core/base/err.h"
#include "pipelines/plan/plan.h"
#include "tests/support/sl_fuzz.h"

static int read_same(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                     struct sl_err *err)
{
    (void)a;
    if (strlen(path) % 2 == 0) {
        return sl_err_set(err, SL_ENOTFOUND, "no such file");
    }
    *ret = *(const struct sl_str *)data;
    return 0;
}

static void check_step(const struct sl_step *step)
{
    SL_ASSERT(step->id != NULL && step->id[0] != '\0');
    SL_ASSERT(step->retry.max >= 0 && step->retry.max <= 100 && step->retry.on != 0);
    SL_ASSERT(step->n_env <= SL_SPEC_ENV_MAX && step->grace_ms >= 0 && step->timeout_ms >= 0);
    switch (step->action) {
    case SL_ACT_RUN: SL_ASSERT(step->run != NULL); break;
    case SL_ACT_COMMAND: SL_ASSERT(step->n_argv > 0); break;
    case SL_ACT_GATE: SL_ASSERT(step->gate.candidate != NULL && step->gate.n_require > 0); break;
    case SL_ACT_DEPLOY: SL_ASSERT(step->deploy.target != NULL && step->deploy.model != NULL); break;
    case SL_ACT_ROLLBACK:
        SL_ASSERT((step->rollback.of_step != NULL) != (step->rollback.target != NULL));
        break;
    case SL_ACT_APPROVAL: SL_ASSERT(step->approval.n_from > 0); break;
    case SL_ACT_NOTIFY: SL_ASSERT(step->notify.channel != NULL); break;
    case SL_ACT_UNSUPPORTED: SL_ASSERT(step->unsupported != NULL); break;
    }
    if (step->matrix != NULL && step->matrix->from != NULL) {
        SL_ASSERT(step->matrix->max >= 1 && step->matrix->max <= SL_SPEC_FANOUT_MAX);
    }
    for (size_t i = 0; i < step->n_env; i++) {
        SL_ASSERT(step->env[i].value != NULL);
    }
    for (size_t i = 0; i < step->n_inputs; i++) {
        SL_ASSERT(step->inputs[i].ref != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_arena arena;
    struct sl_diags diags;
    const struct sl_spec *spec = NULL;
    struct sl_str text = {(const char *)data, size};
    struct sl_spec_source source = {
        .file = "fuzz.yml", .text = text, .read = read_same, .data = &text};
    sl_arena_init(&arena, 0);
    sl_diags_init(&diags, &arena);
    int rc = sl_spec_load(&source, &arena, &diags, &spec);
    SL_ASSERT((rc == 0) == (diags.n_errors == 0));
    if (rc == 0) {
        SL_ASSERT(spec->name != NULL && spec->n_steps > 0);
        for (size_t i = 0; i < spec->n_steps; i++) {
            check_step(&spec->steps[i]);
        }
    }
    const struct sl_project *project = NULL;
    if (rc == 0) {
        struct sl_param_value *params = NULL;
        const struct sl_plan *plan = NULL;
        bool planned = sl_plan_params(spec, NULL, 0, &arena, &diags, &params) == 0 &&
                       sl_plan_build(spec, params, &arena, &diags, &plan) == 0;
        SL_ASSERT(!planned || plan->n_steps > 0);
    }
    if (sl_project_load(&source, &arena, &diags, &project) == 0) {
        SL_ASSERT(project->name != NULL);
    }
    struct sl_buf out = SL_BUF_INIT((size_t)1 << 20);
    sl_diags_print(&diags, false, &out);
    sl_buf_release(&out);
    sl_diags_release(&diags);
    sl_arena_release(&arena);
    return 0;
}
