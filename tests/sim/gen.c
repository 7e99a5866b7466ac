/* Random pipelines as YAML text. Thread: one. Must not: use anything but its seed. */
#include "core/base/base.h"

#include "tests/sim/sim.h"

#include <stdio.h>

#include "pipelines/plan/plan.h"
#include "pipelines/spec/spec.h"

uint32_t sim_below(struct sim_rng *r, uint32_t n)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (uint32_t)((r->state * 0x2545F4914F6CDD1DULL) >> 33) % n;
}

uint64_t sim_mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ (b + 0x9E3779B97F4A7C15ULL)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 30)) * 0x94D049BB133111EBULL;
    return (x ^ (x >> 31)) | 1;
}

struct gen {
    struct sim_pipeline *p;
    uint64_t seed;
    struct sim_rng rng;
    struct sl_buf out;
    uint32_t n_steps; /* instances so far */
};

static const struct {
    unsigned class;
    const char *word;
} retried[] = {{SL_FAIL_INFRA, "infra"},
               {SL_FAIL_LOST, "lost"},
               {SL_FAIL_OOM, "oom"},
               {SL_FAIL_TIMEOUT, "timeout"},
               {SL_FAIL_EXIT, "error"}};

static void write_retry(struct gen *g, struct sim_group *s, struct sim_rng *rng)
{
    s->retry_on =
        1U << SL_FAIL_NEVER_STARTED | 1U << SL_FAIL_INFRA | 1U << SL_FAIL_LOST; /* default */
    if (sim_one_in(rng, 3)) {
        return;
    }
    s->retry_max = (int)sim_below(rng, 4);
    sl_buf_printf(&g->out, "    retry:\n      max: %d\n      backoff: {initial: %ums, max: 5s}\n",
                  s->retry_max, 1 + sim_below(rng, 2000));
    if (sim_one_in(rng, 2)) {
        return;
    }
    sl_buf_puts(&g->out, "      on: [never_started");
    s->retry_on = 1U << SL_FAIL_NEVER_STARTED;
    for (size_t i = 0; i < SL_LEN(retried); i++) {
        if (sim_one_in(rng, 2)) {
            s->retry_on |= 1U << retried[i].class;
            sl_buf_printf(&g->out, ", %s", retried[i].word);
        }
    }
    sl_buf_puts(&g->out, "]\n");
}

static void write_cond(struct gen *g, struct sim_group *s, uint32_t before)
{
    static const enum sim_cond for_finally[] = {COND_NONE, COND_NONE, COND_SUCCESS, COND_FAILURE};
    s->cond = s->is_finally ? for_finally[sim_below(&g->rng, 4)]
              : sim_one_in(&g->rng, 3)
                  ? (enum sim_cond)sim_below(&g->rng, before > 0 ? COND_COUNT : COND_ALWAYS + 1)
                  : COND_NONE;
    switch (s->cond) {
    case COND_ALWAYS: sl_buf_puts(&g->out, "    if: always()\n"); break;
    case COND_SUCCESS: sl_buf_puts(&g->out, "    if: success()\n"); break;
    case COND_FAILURE: sl_buf_puts(&g->out, "    if: failure()\n"); break;
    case COND_EITHER: sl_buf_puts(&g->out, "    if: success() || failure()\n"); break;
    case COND_TRUE: sl_buf_puts(&g->out, "    if: params.yes\n"); break;
    case COND_FALSE: sl_buf_puts(&g->out, "    if: params.no\n"); break;
    case COND_STATUS_GOOD:
    case COND_STATUS_FAILED:
        s->cond_on = sim_below(&g->rng, before);
        sl_buf_printf(&g->out, "    if: steps.s%u.status == \"%s\"\n", s->cond_on,
                      s->cond == COND_STATUS_GOOD ? "succeeded" : "failed");
        break;
    case COND_NONE:
    case COND_COUNT: break;
    }
}

static void write_matrix(struct gen *g, struct sim_group *s)
{
    uint32_t n = 1 + sim_below(&g->rng, 6);
    s->plain = !sim_one_in(&g->rng, 3) || g->n_steps + n > SIM_STEPS_MAX - SIM_GROUPS_MAX;
    if (s->plain) {
        g->n_steps++;
        return;
    }
    g->n_steps += n;
    sl_buf_puts(&g->out, "    matrix:\n      i: [0");
    for (uint32_t i = 1; i < n; i++) {
        sl_buf_printf(&g->out, ", %u", i);
    }
    sl_buf_puts(&g->out, "]\n");
    s->fail_fast = sim_one_in(&g->rng, 2);
    if (!s->fail_fast) {
        sl_buf_puts(&g->out, "      fail_fast: false\n");
    }
    if (sim_one_in(&g->rng, 2)) {
        sl_buf_printf(&g->out, "      max_parallel: %u\n", 1 + sim_below(&g->rng, 3));
    }
}

/** A step that runs a process. Steps of one pool entry agree in everything that decides their fate. */
static void write_process(struct gen *g, struct sim_group *s, uint32_t at)
{
    s->pool = sim_one_in(&g->rng, 3) ? (int)sim_below(&g->rng, SIM_POOL) : -1;
    struct sim_rng own = {sim_mix(g->seed, 100 + (uint64_t)s->pool)};
    struct sim_rng *rng = s->pool >= 0 ? &own : &g->rng;
    write_retry(g, s, rng);
    write_matrix(g, s);
    s->external = s->pool < 0 && sim_one_in(&g->rng, 6);
    bool off = s->pool < 0 && sim_one_in(&g->rng, 4);
    s->cacheable = !s->external && !off && !s->is_finally;
    if (s->external) {
        sl_buf_puts(&g->out, "    effects: external\n");
    } else if (off) {
        sl_buf_puts(&g->out, "    cache: off\n");
    }
    if (s->pool >= 0) {
        sl_buf_printf(&g->out, "    run: echo shared %d\n", s->pool);
    } else {
        sl_buf_printf(&g->out, "    run: echo own %u\n", at);
    }
    s->has_model = s->plain && s->pool < 0 && !s->is_finally && sim_one_in(&g->rng, 2);
    sl_buf_puts(&g->out, s->has_model
                             ? "    outputs:\n      m: {model: made}\n      d: {dataset: read}\n"
                             : "    outputs:\n      m: {}\n");
    s->hurried = s->pool < 0 && sim_one_in(&g->rng, 6);
    if (s->hurried) {
        sl_buf_printf(&g->out, "    queue_timeout: %ums\n", 1 + sim_below(&g->rng, 8000));
    }
    s->priority = 5 * (int)sim_below(&g->rng, 4);
    s->yields = sim_one_in(&g->rng, 2);
    if (s->yields) {
        sl_buf_puts(&g->out, "    checkpoint: true\n");
    }
    sl_buf_printf(&g->out, "    resources: {cpu: %s, priority: %d}\n",
                  (const char *[]){"0.5", "1", "2", "3500m"}[sim_below(&g->rng, 4)], s->priority);
}

static bool write_gate(struct gen *g, struct sim_group *s, uint32_t at)
{
    uint32_t of = at > 0 ? sim_below(&g->rng, at) : 0;
    if (at == 0 || !g->p->groups[of].has_model || s->is_finally) {
        return false;
    }
    s->gate = s->plain = true;
    s->pool = -1;
    g->n_steps++;
    sl_buf_printf(&g->out,
                  "    gate:\n      candidate: \"${{ steps.s%u.outputs.m }}\"\n"
                  "      on: \"${{ steps.s%u.outputs.d }}\"\n"
                  "      require: [\"candidate.acc > 0\"]\n",
                  of, of);
    return true;
}

/** A step that waits for people, or tells them something. */
static void write_people(struct gen *g, struct sim_group *s)
{
    s->plain = true;
    s->pool = -1;
    g->n_steps++;
    s->notify = s->is_finally || sim_one_in(&g->rng, 4);
    s->approval = !s->notify;
    if (s->notify) {
        sl_buf_puts(&g->out, "    notify: {webhook: ops, text: \"${{ run.status }}\"}\n");
        return;
    }
    s->times_out = sim_one_in(&g->rng, 2);
    s->yes_in_time = s->times_out && sim_one_in(&g->rng, 3);
    sl_buf_printf(&g->out, "    approval: {from: user:ana%s%s}\n",
                  s->times_out ? ", timeout: 4s" : "",
                  s->yes_in_time ? ", on_timeout: approve" : "");
}

static void write_step(struct gen *g, uint32_t at, uint32_t first_finally)
{
    struct sim_group *s = &g->p->groups[at];
    s->is_finally = at >= first_finally;
    uint32_t before = s->is_finally ? 0 : at;
    sl_buf_printf(&g->out, "  s%u:\n", at);
    write_cond(g, s, before);
    if (before > 0 && !sim_one_in(&g->rng, 4)) {
        uint32_t a = sim_below(&g->rng, before);
        uint32_t b = sim_below(&g->rng, before);
        sl_buf_printf(&g->out, a == b ? "    needs: [s%u]\n" : "    needs: [s%u, s%u]\n", a, b);
    }
    if (sim_one_in(&g->rng, 7)) {
        write_people(g, s);
    } else if (!sim_one_in(&g->rng, 3) || !write_gate(g, s, at)) {
        write_process(g, s, at);
    }
}

static void write_all(struct gen *g)
{
    uint32_t n = 1 + sim_below(&g->rng, SIM_GROUPS_MAX - 3);
    uint32_t n_finally = sim_below(&g->rng, 3);
    g->p->n_groups = n + n_finally;
    sl_buf_puts(&g->out, "apiVersion: sluice/v1\nkind: Pipeline\nname: sim\n"
                         "params:\n  yes: {type: bool, default: true}\n"
                         "  no: {type: bool, default: false}\n");
    if (sim_one_in(&g->rng, 3)) {
        sl_buf_printf(&g->out, "concurrency: {steps: %u}\n", 1 + sim_below(&g->rng, 4));
    }
    sl_buf_puts(&g->out, "steps:\n");
    for (uint32_t i = 0; i < n + n_finally; i++) {
        if (i == n) {
            sl_buf_puts(&g->out, "finally:\n");
        }
        write_step(g, i, n);
    }
}

static bool complain(struct sim_pipeline *p)
{
    struct sl_buf b = SL_BUF_INIT(1 << 20);
    sl_diags_print(&p->diags, false, &b);
    (void)fprintf(stderr, "sim: the generated pipeline is refused:\n%s\n%s", sl_buf_str(&b),
                  p->yaml);
    sl_buf_release(&b);
    return false;
}

static void make_keys(struct sim_pipeline *p)
{
    for (uint32_t i = 0; i < p->plan->n_steps; i++) {
        const struct sl_plan_step *s = &p->plan->steps[i];
        const char *matrix = strchr(s->key, '[');
        const char *text =
            sl_arena_printf(&p->arena, "%s|%s", s->spec->run != NULL ? s->spec->run : s->key,
                            matrix != NULL ? matrix : "");
        sl_sha256(text, strlen(text), &p->keys[i]);
    }
}

bool sim_pipeline_init(struct sim_pipeline *p, uint64_t seed)
{
    struct gen g = {.p = p, .seed = seed, .rng = {sim_mix(seed, 1)}, .out = SL_BUF_INIT(1 << 20)};
    struct sl_param_value *params = NULL;
    *p = (struct sim_pipeline){0};
    sl_arena_init(&p->arena, 0);
    sl_diags_init(&p->diags, &p->arena);
    write_all(&g);
    p->yaml = sl_arena_strdup(&p->arena, sl_buf_str(&g.out));
    sl_buf_release(&g.out);
    struct sl_spec_source source = {.file = "sim.yml", .text = sl_str_c(p->yaml)};
    if (sl_spec_load(&source, &p->arena, &p->diags, &p->spec) < 0 ||
        sl_plan_params(p->spec, NULL, 0, &p->arena, &p->diags, &params) < 0 ||
        sl_plan_build(p->spec, params, &p->arena, &p->diags, &p->plan) < 0) {
        return complain(p);
    }
    SL_ASSERT(p->plan->n_steps <= SIM_STEPS_MAX);
    make_keys(p);
    return true;
}

void sim_pipeline_release(struct sim_pipeline *p)
{
    sl_diags_release(&p->diags);
    sl_arena_release(&p->arena);
}
