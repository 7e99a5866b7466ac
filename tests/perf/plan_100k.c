/**
 * Plans 100,000 steps out of a pipeline text (a matrix of 98,000 between two others), makes them known
 * to a scheduler and runs it dry. Prints one JSON line: seconds and memory beside their targets.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/base/time.h"
#include "pipelines/plan/plan.h"
#include "pipelines/sched/sched.h"

#define TARGET_S  2.0
#define TARGET_MB 200.0

static void axis(struct sl_buf *y, const char *name, int n)
{
    sl_buf_printf(y, "      %s: [0", name);
    for (int i = 1; i < n; i++) {
        sl_buf_printf(y, ",%d", i);
    }
    sl_buf_puts(y, "]\n");
}

static void write_pipeline(struct sl_buf *y)
{
    sl_buf_puts(y, "apiVersion: sluice/v1\nkind: Pipeline\nname: large\nsteps:\n"
                   "  prepare:\n    run: prep\n    outputs: { data: { dataset: d } }\n"
                   "  train:\n    run: train\n    matrix:\n");
    axis(y, "seed", 490);
    axis(y, "depth", 200);
    sl_buf_puts(y, "    inputs: { data: '${{ steps.prepare.outputs.data }}' }\n"
                   "    env: { SEED: '${{ matrix.seed }}' }\n"
                   "    outputs: { model: { model: m } }\n"
                   "  check:\n    run: check\n    needs: [prepare]\n    matrix:\n");
    axis(y, "part", 1997);
    sl_buf_puts(y, "  join:\n    run: join\n    needs: [train, check]\n"
                   "finally:\n  tell: { run: tell }\n");
}

static double rss_mb(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

static double since_s(int64_t start_ns)
{
    return (double)(sl_mono_ns() - start_ns) / 1e9;
}

/** Runs the whole plan with everything succeeding at once. Returns completions. */
static uint32_t run_dry(const struct sl_plan *plan)
{
    const struct sl_sched_caps caps = {.cpu_milli = 64000, .mem_bytes = UINT64_MAX, .slots = 64};
    struct sl_sched *s = sl_sched_new(&caps);
    struct sl_sched_run *run = NULL;
    struct sl_err err = SL_ERR_INIT;
    uint32_t ended = 0;
    if (sl_sched_add_run(s, plan, NULL, &run, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    for (struct sl_sched_item item = sl_sched_next(s); item.kind != SL_PICK_NONE;
         item = sl_sched_next(s)) {
        if (item.kind == SL_PICK_DECIDE) {
            sl_sched_want_run(s, run, item.step);
        } else {
            sl_sched_ended(s, run, item.step, false);
            ended++;
        }
    }
    SL_ASSERT(sl_sched_run_done(run));
    sl_sched_free(s);
    return ended;
}

int main(void)
{
    struct sl_arena a;
    struct sl_diags diags;
    struct sl_buf yaml = SL_BUF_INIT(1 << 20);
    const struct sl_spec *spec = NULL;
    const struct sl_plan *plan = NULL;
    struct sl_param_value *params = NULL;
    sl_arena_init(&a, 0);
    sl_diags_init(&diags, &a);
    write_pipeline(&yaml);
    struct sl_spec_source source = {.file = "large.yml", .text = {yaml.ptr, yaml.len}};
    int64_t start_ns = sl_mono_ns();
    int rc = sl_spec_load(&source, &a, &diags, &spec);
    rc = rc < 0 ? rc : sl_plan_params(spec, NULL, 0, &a, &diags, &params);
    rc = rc < 0 ? rc : sl_plan_build(spec, params, &a, &diags, &plan);
    double plan_s = since_s(start_ns);
    double plan_mb = rss_mb();
    if (rc < 0) {
        struct sl_buf out = SL_BUF_INIT(1 << 20);
        sl_diags_print(&diags, false, &out);
        (void)fprintf(stderr, "%s", sl_buf_str(&out));
        return 1;
    }
    start_ns = sl_mono_ns();
    uint32_t ended = run_dry(plan);
    double sched_s = since_s(start_ns);
    start_ns = sl_mono_ns();
    for (uint32_t i = 0; i < plan->n_steps; i++) { /* as a run records it */
        json_t *json = sl_plan_step_json(plan, i);
        char *text = sl_json_canonical(json);
        free(text);
        json_decref(json);
    }
    double json_s = since_s(start_ns);
    (void)printf("{\"name\":\"plan_100k\",\"steps\":%u,\"plan_s\":%.3f,\"target_s\":%.1f,"
                 "\"rss_mb\":%.1f,\"target_mb\":%.0f,\"sched_us_per_step\":%.3f,\"ended\":%u,"
                 "\"json_s\":%.3f,\"json_rss_mb\":%.1f,\"ok\":%s}\n",
                 plan->n_steps, plan_s, TARGET_S, plan_mb, TARGET_MB, sched_s * 1e6 / plan->n_steps,
                 ended, json_s, rss_mb(),
                 plan_s <= TARGET_S && plan_mb <= TARGET_MB ? "true" : "false");
    sl_buf_release(&yaml);
    sl_diags_release(&diags);
    sl_arena_release(&a);
    return 0;
}
