/** Expansion, edges, order, keys and conditions as `plan` shows them. */
#include "core/base/base.h"

#include <stdlib.h>

#include "tests/unit/pipelines/plan/plan_support.h"

static const char churn[] =
    "params: { lr: { type: float, default: 0.1 } }\n"
    "steps:\n"
    "  gate:\n"
    "    gate:\n"
    "      candidate: '${{ steps.validate.outputs.best }}'\n"
    "      champion: churn@champion\n"
    "      no_champion: pass\n"
    "      on: '${{ steps.prepare.outputs.heldout }}'\n"
    "      evaluate: validate\n"
    "      require: [ 'candidate.auc >= champion.auc' ]\n"
    "  validate:\n"
    "    inputs: { models: '${{ steps.train.outputs.model[*] }}',\n"
    "              data: '${{ steps.prepare.outputs.heldout }}' }\n"
    "    command: [ evaluate ]\n"
    "    outputs: { best: { model: churn } }\n"
    "  train:\n"
    "    matrix: { seed: [1, 2], depth: [3, 4], max_parallel: 2, fail_fast: false }\n"
    "    inputs: { train: '${{ steps.prepare.outputs.train }}' }\n"
    "    env: { LR: '${{ params.lr }}', SEED: '${{ matrix.seed }}' }\n"
    "    run: train\n"
    "    outputs: { model: { model: churn } }\n"
    "  prepare:\n"
    "    run: prep\n"
    "    inputs: { labels: { dataset: churn/labels@latest } }\n"
    "    outputs: { train: { dataset: churn/train }, heldout: { dataset: churn/heldout } }\n"
    "  undo:\n"
    "    needs: [gate]\n"
    "    if: steps.gate.status == 'failed'\n"
    "    run: undo\n"
    "  extra:\n"
    "    needs: [gate]\n"
    "    if: params.lr > 0.5\n"
    "    run: extra\n"
    "finally:\n"
    "  tell: { run: tell }\n"
    "  maybe: { run: tell, if: params.lr > 0.5 }\n";

SL_TEST(pipelines_plan_graph, churn__inferred_edges__topological_and_stable)
{
    struct planned p;
    bool ok = planned_init(&p, churn, NULL);
    SL_CHECK_MSG(ok, "%s", planned_errors(&p));
    struct sl_buf keys = SL_BUF_INIT(4096);
    for (uint32_t i = 0; i < p.plan->n_steps; i++) {
        sl_buf_printf(&keys, "%s ", p.plan->steps[i].key);
    }
    SL_CHECK_EQ_STR(sl_buf_str(&keys),
                    "prepare train[seed=1,depth=3] train[seed=1,depth=4] train[seed=2,depth=3] "
                    "train[seed=2,depth=4] validate gate:champion gate undo extra tell maybe ");
    sl_buf_release(&keys);
    SL_CHECK_EQ_STR(planned_needs(&p, "prepare"), "");
    SL_CHECK_EQ_STR(planned_needs(&p, "train[seed=2,depth=3]"), "prepare");
    SL_CHECK_EQ_STR(planned_needs(&p, "validate"),
                    "train[seed=1,depth=3] train[seed=1,depth=4] train[seed=2,depth=3] "
                    "train[seed=2,depth=4] prepare");
    SL_CHECK_EQ_STR(planned_needs(&p, "gate:champion"), "validate prepare");
    SL_CHECK_EQ_STR(planned_needs(&p, "gate"), "validate prepare gate:champion");
    SL_CHECK_EQ_STR(planned_needs(&p, "undo"), "gate");
    const struct sl_plan_step *champion = &p.plan->steps[planned_step(&p, "gate:champion")];
    SL_CHECK(champion->is_champion_eval);
    SL_CHECK_EQ_STR(champion->spec->id, "validate");
    SL_CHECK_EQ_UINT(champion->gate_index, planned_step(&p, "gate"));
    SL_CHECK_EQ_UINT(champion->evaluated_step, planned_step(&p, "validate"));
    planned_release(&p);
}

SL_TEST(pipelines_plan_graph, conditions__effective_text__as_the_user_is_told)
{
    static const struct {
        const char *key, *expected;
    } cases[] = {
        {"prepare", "success()"},
        {"undo", "steps.gate.status == 'failed'"},
        {"extra", "success() && (params.lr > 0.5)"},
        {"tell", "always()"},
        {"maybe", "params.lr > 0.5"},
        {"gate:champion", "success() && the champion lacks this evaluation"},
    };
    struct planned p;
    SL_CHECK(planned_init(&p, churn, NULL));
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        SL_CHECK_EQ_STR(p.plan->steps[planned_step(&p, cases[i].key)].effective_cond,
                        cases[i].expected);
    }
    planned_release(&p);
}

SL_TEST(pipelines_plan_graph, dependents__of_every_step__mirror_the_needs)
{
    struct planned p;
    SL_CHECK(planned_init(&p, churn, NULL));
    size_t edges = 0;
    for (uint32_t i = 0; i < p.plan->n_steps; i++) {
        const struct sl_plan_step *s = &p.plan->steps[i];
        for (uint32_t k = 0; k < s->n_dependents; k++) {
            const struct sl_plan_step *d = &p.plan->steps[s->dependents[k]];
            size_t found = 0;
            for (uint32_t n = 0; n < d->n_needs; n++) {
                found += d->needs[n] == i;
            }
            SL_CHECK_MSG(found == 1, "%s -> %s", s->key, d->key);
            edges++;
        }
        edges -= s->n_needs;
    }
    SL_CHECK_EQ_UINT(edges, 0);
    planned_release(&p);
}

SL_TEST(pipelines_plan_graph, matrix__include_and_exclude__as_documented)
{
    static const char yaml[] = "steps:\n"
                               "  m:\n"
                               "    matrix:\n"
                               "      os: [a, b]\n"
                               "      n: [1, 2]\n"
                               "      exclude: [ { os: a, n: 2 } ]\n"
                               "      include: [ { os: b, extra: x }, { os: c, n: 9 } ]\n"
                               "    run: m\n";
    struct planned p;
    bool ok = planned_init(&p, yaml, NULL);
    SL_CHECK_MSG(ok, "%s", planned_errors(&p));
    static const char *const keys[] = {"m[os=a,n=1]", "m[os=b,n=1,extra=x]", "m[os=b,n=2,extra=x]",
                                       "m[os=c,n=9]"};
    SL_CHECK_EQ_UINT(p.plan->n_steps, SL_LEN(keys));
    for (uint32_t i = 0; i < SL_LEN(keys); i++) {
        SL_CHECK_EQ_STR(p.plan->steps[i].key, keys[i]);
    }
    SL_CHECK_EQ_UINT(p.plan->group_first[0], 0);
    SL_CHECK_EQ_UINT(p.plan->group_count[0], 4);
    planned_release(&p);
}

SL_TEST(pipelines_plan_graph, matrix__nothing_left_or_two_of_a_name__refused)
{
    struct planned p;
    SL_CHECK(!planned_init(&p,
                           "steps:\n  m:\n    matrix: { n: [1], exclude: [ { n: 1 } ] }\n"
                           "    run: m\n",
                           NULL));
    SL_CHECK_EQ_STR(planned_errors(&p), "step 'm': the matrix has no combination left\n");
    planned_release(&p);
    SL_CHECK(!planned_init(&p,
                           "steps:\n  m:\n    matrix: { n: [1], include: [ { n: 2 }, { n: 2 } ] }\n"
                           "    run: m\n",
                           NULL));
    SL_CHECK_EQ_STR(planned_errors(&p), "the matrix gives the name 'm[n=2]' to two steps\n");
    planned_release(&p);
}

/** "prefix", then a matrix of a × b values; each number once. */
static char *big_matrix(int a, int b, const char *rest)
{
    struct sl_buf y = SL_BUF_INIT(1 << 22);
    sl_buf_puts(&y, "steps:\n  m:\n    matrix:\n      a: [0");
    for (int i = 1; i < a; i++) {
        sl_buf_printf(&y, ",%d", i);
    }
    sl_buf_puts(&y, "]\n      b: [0");
    for (int i = 1; i < b; i++) {
        sl_buf_printf(&y, ",%d", i);
    }
    sl_buf_printf(&y, "]\n    run: m\n%s", rest);
    return sl_buf_take(&y);
}

SL_TEST(pipelines_plan_graph, expansion__at_the_limit_and_past__accepted_and_refused)
{
    struct planned p;
    _cleanup_(free)
    char *fits = big_matrix(400, 250, "");
    _cleanup_(free)
    char *past = big_matrix(401, 250, "");
    bool ok = planned_init(&p, fits, NULL);
    SL_CHECK_MSG(ok, "%s", planned_errors(&p));
    SL_CHECK_EQ_UINT(p.plan->n_steps, 100000);
    planned_release(&p);
    SL_CHECK(!planned_init(&p, past, NULL));
    SL_CHECK_CONTAINS(planned_errors(&p), "100000");
    planned_release(&p);
}

SL_TEST(pipelines_plan_graph, matrix_after_matrix__many_edges__stored_once)
{
    struct planned p;
    _cleanup_(free)
    char *yaml = big_matrix(200, 200,
                            "  n:\n    needs: [m]\n    matrix: { c: [0,1,2,3,4,5,6,7,8,9] }\n"
                            "    run: n\n");
    bool ok = planned_init(&p, yaml, NULL);
    SL_CHECK_MSG(ok, "%s", planned_errors(&p));
    const struct sl_plan_step *first = &p.plan->steps[0];
    const struct sl_plan_step *last = &p.plan->steps[p.plan->n_steps - 1];
    SL_CHECK_EQ_UINT(first->n_dependents, 10);
    SL_CHECK_EQ_UINT(last->n_needs, 40000);
    SL_CHECK(first->dependents == p.plan->steps[1].dependents);
    SL_CHECK(last->needs == p.plan->steps[p.plan->n_steps - 2].needs);
    planned_release(&p);
}
