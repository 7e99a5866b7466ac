/**
 * Random pipelines: the plan's order agrees with the edges, edges with a brute-force expansion of what
 * was written, and the same text always gives the same plan.
 */
#include "core/base/base.h"

#include <stdlib.h>

#include "tests/unit/pipelines/plan/plan_support.h"

#define SEEDS     400
#define STEPS_MAX 12

static uint32_t below(uint64_t *state, uint32_t n)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 0x2545F4914F6CDD1DULL) >> 33) % n;
}

struct written {
    uint32_t n, instances[STEPS_MAX];
    bool needs[STEPS_MAX][STEPS_MAX];
    uint32_t
        place[STEPS_MAX]; /* order in the text: a shuffle, so that edges point both ways in it */
};

static void random_pipeline(uint64_t *state, struct written *w, struct sl_buf *yaml)
{
    *w = (struct written){.n = 1 + below(state, STEPS_MAX)};
    for (uint32_t i = 0; i < w->n; i++) {
        w->instances[i] = below(state, 3) == 0 ? 1 + below(state, 4) : 0;
        w->place[i] = i;
        for (uint32_t j = 0; j < i; j++) {
            w->needs[i][j] = below(state, 3) == 0;
        }
    }
    for (uint32_t i = w->n; i > 1; i--) {
        uint32_t k = below(state, i);
        uint32_t t = w->place[i - 1];
        w->place[i - 1] = w->place[k];
        w->place[k] = t;
    }
    sl_buf_puts(yaml, "steps:\n");
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t i = w->place[k];
        sl_buf_printf(yaml, "  s%u:\n    run: x\n", i);
        for (uint32_t v = 0; v < w->instances[i]; v++) {
            sl_buf_printf(yaml, "%s%u%s", v == 0 ? "    matrix: { v: [" : ", ", v,
                          v + 1 == w->instances[i] ? "] }\n" : "");
        }
        const char *before = "    needs: [";
        for (uint32_t j = 0; j < i; j++) {
            if (w->needs[i][j]) {
                sl_buf_printf(yaml, "%ss%u", before, j);
                before = ", ";
            }
        }
        sl_buf_puts(yaml, before[0] == ',' ? "]\n" : "");
    }
}

/** The written step of a plan step, by its id. */
static uint32_t id_of(const struct sl_plan_step *s)
{
    return (uint32_t)strtoul(s->spec->id + 1, NULL, 10);
}

static void check_plan(const struct written *w, const struct sl_plan *plan)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        total += SL_MAX(w->instances[i], 1U);
    }
    SL_CHECK_EQ_UINT(plan->n_steps, total);
    for (uint32_t a = 0; a < total; a++) {
        for (uint32_t b = 0; b < total; b++) { /* brute force: every pair */
            bool expected = w->needs[id_of(&plan->steps[a])][id_of(&plan->steps[b])];
            uint32_t found = 0;
            for (uint32_t k = 0; k < plan->steps[a].n_needs; k++) {
                found += plan->steps[a].needs[k] == b;
            }
            SL_CHECK_EQ_UINT(found, expected ? 1 : 0);
            SL_CHECK(!expected || b < a); /* topological */
            uint32_t back = 0;
            for (uint32_t k = 0; k < plan->steps[b].n_dependents; k++) {
                back += plan->steps[b].dependents[k] == a;
            }
            SL_CHECK_EQ_UINT(back, found);
        }
    }
}

SL_TEST(pipelines_plan_property, random_pipelines__every_seed__order_and_edges, .timeout = 60)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
        struct written w;
        struct sl_buf yaml = SL_BUF_INIT(65536);
        struct planned p;
        struct planned again;
        sl_test_note("seed %llu", (unsigned long long)seed);
        random_pipeline(&state, &w, &yaml);
        bool ok = planned_init(&p, sl_buf_str(&yaml), NULL);
        SL_CHECK_MSG(ok, "%s\n%s", planned_errors(&p), sl_buf_str(&yaml));
        check_plan(&w, p.plan);
        SL_CHECK(planned_init(&again, sl_buf_str(&yaml), NULL));
        json_auto_t *one = sl_plan_json(p.plan);
        json_auto_t *two = sl_plan_json(again.plan);
        _cleanup_(free)
        char *one_text = sl_json_canonical(one);
        _cleanup_(free)
        char *two_text = sl_json_canonical(two);
        SL_CHECK_EQ_STR(one_text, two_text);
        planned_release(&again);
        planned_release(&p);
        sl_buf_release(&yaml);
    }
}
