/**
 * Gates: what passes, what refuses and with which words; missing and NaN never pass; goldens of the table.
 */
#include "core/base/base.h"

#include "pipelines/steps/gate.h"

#include <math.h>
#include <stdlib.h>

#include "tests/support/sl_test.h"

/** A gate on the heap of one arena. */
struct rig {
    struct sl_arena a;
    struct sl_rule rules[SL_GATE_RULES_MAX + 1];
    struct sl_gate_side candidate, champion;
    struct sl_gate_question q;
    struct sl_gate_verdict v;
    struct sl_err err;
};

static const struct sl_gate_metric good_metrics[] = {
    {"auc", 0.8123}, {"ece", 0.031}, {"p@1", 0.7}, {"broken", NAN}};
static const struct sl_gate_metric old_metrics[] = {{"auc", 0.8}, {"ece", 0.04}};
static const struct sl_gate_metric young[] = {{"recall", 0.9}, {"n", 120}};
static const struct sl_gate_metric aged[] = {{"recall", 0.71}, {"n", 40}};
static const struct sl_gate_slice slices[] = {{"age=young", young, 2}, {"age=65+", aged, 2}};

static struct rig *rig_new(void)
{
    struct rig *r = SL_NEW(struct rig);
    sl_arena_init(&r->a, 0);
    r->candidate = (struct sl_gate_side){.name = "churn@v7",
                                         .metrics = good_metrics,
                                         .n_metrics = 4,
                                         .slices = slices,
                                         .n_slices = 2};
    r->champion = (struct sl_gate_side){.name = "churn@v3", .metrics = old_metrics, .n_metrics = 2};
    r->q = (struct sl_gate_question){.candidate = &r->candidate,
                                     .champion = &r->champion,
                                     .champion_ref = "churn@champion",
                                     .dataset = "churn/heldout@v2",
                                     .rules = r->rules};
    return r;
}

static void rule(struct rig *r, const char *text)
{
    struct sl_expr_err e = {0};
    struct sl_rule *x = &r->rules[r->q.n_rules++];
    x->text = text;
    if (sl_expr_parse(&r->a, sl_str_c(text), &x->expr, &e) < 0) {
        SL_FAIL("%s: %s", text, e.msg);
    }
}

static void judge(struct rig *r)
{
    SL_CHECK_OK(sl_gate_evaluate(&r->q, &r->a, &r->v, &r->err), r->err);
}

static void rig_free(struct rig *r)
{
    sl_arena_release(&r->a);
    free(r);
}

/** Judges one rule alone. */
static void expect(const char *text, bool passed, const char *words)
{
    struct rig *r = rig_new();
    rule(r, text);
    judge(r);
    SL_CHECK_MSG(r->v.passed == passed, "%s: %s", text, r->v.rules[0].explanation);
    SL_CHECK_CONTAINS(r->v.rules[0].explanation, words);
    rig_free(r);
}

SL_TEST(steps_gate, evaluate__true_rules__pass_with_both_numbers)
{
    struct rig *r = rig_new();
    rule(r, "candidate.auc >= champion.auc - 0.002");
    rule(r, "candidate.ece <= 0.05");
    judge(r);
    SL_CHECK(r->v.passed);
    SL_CHECK_EQ_STR(r->v.summary, "passed: 2 of 2 rules");
    SL_CHECK_EQ_STR(r->v.rules[0].metric, "auc");
    SL_CHECK(r->v.rules[0].has_candidate && r->v.rules[0].has_champion);
    SL_CHECK_NEAR(r->v.rules[0].candidate, 0.8123, 0);
    SL_CHECK_NEAR(r->v.rules[0].champion, 0.8, 0);
    SL_CHECK_CONTAINS(r->v.rules[0].explanation, "0.8123");
    SL_CHECK_CONTAINS(r->v.rules[0].explanation, "0.798");
    rig_free(r);
}

SL_TEST(steps_gate, evaluate__false_rule__refuses)
{
    struct rig *r = rig_new();
    rule(r, "candidate.auc >= champion.auc + 0.05");
    rule(r, "candidate.ece <= 0.05");
    judge(r);
    SL_CHECK(!r->v.passed);
    SL_CHECK_EQ_STR(r->v.summary, "refused: 1 of 2 rules failed");
    SL_CHECK_EQ_INT(r->v.rules[0].outcome, SL_GATE_REFUSED);
    SL_CHECK_EQ_INT(r->v.rules[1].outcome, SL_GATE_PASSED);
    rig_free(r);
}

SL_TEST(steps_gate, evaluate__bracketed_metric__is_found)
{
    expect("candidate[\"p@1\"] > 0.6", true, "0.7");
    expect("candidate[\"p@1\"] > 0.8", false, "0.7");
}

SL_TEST(steps_gate, evaluate__missing_metric__refuses_with_suggestion)
{
    expect("candidate.aucs > 0.5", false,
           "metric 'aucs' is missing for candidate churn@v7 on dataset churn/heldout@v2; did you "
           "mean 'auc'?");
    expect("champion.broken > 0 || true", false,
           "metric 'broken' is missing for champion churn@v3 on dataset churn/heldout@v2");
}

SL_TEST(steps_gate, evaluate__nan__refuses_whatever_the_rule_says)
{
    const char *words = "metric 'broken' of candidate churn@v7 on dataset churn/heldout@v2 is NaN";
    expect("candidate.broken < 1", false, words);
    expect("!(candidate.broken < 1)", false, words);
    expect("true || candidate.broken > 0", false, words);
}

SL_TEST(steps_gate, evaluate__slices__name_those_that_fail)
{
    expect("candidate.slices.all(s, s.recall >= 0.7)", true, "");
    expect("candidate.slices.all(s, s.recall >= 0.8)", false, "fails for age=65+ (recall = 0.71)");
    expect("candidate.slices.exists(s, s.recall >= 0.8)", true, "");
}

SL_TEST(steps_gate, evaluate__slices_with_nan_or_missing__refuse)
{
    static const struct sl_gate_metric nan_recall[] = {{"recall", NAN}, {"n", 3}};
    static const struct sl_gate_metric no_recall[] = {{"n", 3}};
    static const struct sl_gate_slice with_nan[] = {{"a", young, 2}, {"b", nan_recall, 2}};
    static const struct sl_gate_slice without[] = {{"a", young, 2}, {"b", no_recall, 1}};
    static const char *const texts[] = {"candidate.slices.all(s, !(s.recall < 0.8))",
                                        "candidate.slices.exists(s, s.recall > 0.8)"};
    for (size_t i = 0; i < SL_LEN(texts); i++) {
        struct rig *r = rig_new();
        r->candidate.slices = with_nan;
        rule(r, texts[i]);
        judge(r);
        SL_CHECK(!r->v.passed);
        SL_CHECK_EQ_STR(r->v.rules[0].explanation,
                        "metric 'recall' of candidate churn@v7 in slice 'b' is NaN");
        r->candidate.slices = without;
        judge(r);
        SL_CHECK(!r->v.passed);
        SL_CHECK_EQ_STR(r->v.rules[0].explanation,
                        "metric 'recall' is missing for candidate churn@v7 in slice 'b'");
        rig_free(r);
    }
}

SL_TEST(steps_gate, evaluate__no_slices_at_all__refuses)
{
    struct rig *r = rig_new();
    r->candidate.n_slices = 0;
    rule(r, "candidate.slices.all(s, s.recall >= 0.8)");
    judge(r);
    SL_CHECK(!r->v.passed);
    SL_CHECK_EQ_STR(r->v.rules[0].explanation,
                    "candidate churn@v7 has no slices on dataset churn/heldout@v2");
    rig_free(r);
}

SL_TEST(steps_gate, evaluate__no_champion__follows_the_policy)
{
    struct rig *r = rig_new();
    r->q.champion = NULL;
    rule(r, "candidate.auc >= champion.auc");
    rule(r, "candidate.ece <= 0.05");
    r->q.no_champion = SL_NO_CHAMPION_PASS;
    judge(r);
    SL_CHECK(r->v.passed);
    SL_CHECK_EQ_INT(r->v.rules[0].outcome, SL_GATE_NOT_APPLIED);
    SL_CHECK_EQ_STR(r->v.summary, "passed: 1 of 1 rules; there is no champion yet");
    r->q.no_champion = SL_NO_CHAMPION_REFUSE;
    judge(r);
    SL_CHECK(!r->v.passed);
    SL_CHECK_CONTAINS(r->v.summary, "churn@champion names no version yet");
    rig_free(r);
}

SL_TEST(steps_gate, evaluate__no_champion_passes__other_rules_still_refuse)
{
    struct rig *r = rig_new();
    r->q.champion = NULL;
    r->q.no_champion = SL_NO_CHAMPION_PASS;
    rule(r, "candidate.auc >= champion.auc");
    rule(r, "candidate.auc >= 0.9");
    judge(r);
    SL_CHECK(!r->v.passed);
    SL_CHECK_EQ_STR(r->v.summary, "refused: 1 of 1 rules failed");
    rig_free(r);
}

SL_TEST(steps_gate, evaluate__no_rules__refuses)
{
    struct rig *r = rig_new();
    judge(r);
    SL_CHECK(!r->v.passed);
    SL_CHECK_EQ_STR(r->v.summary, "refused: the gate has no rules");
    rig_free(r);
}

SL_TEST(steps_gate, evaluate__limits__hold_at_and_one_past)
{
    struct rig *r = rig_new();
    for (int i = 0; i < SL_GATE_RULES_MAX; i++) {
        rule(r, "candidate.auc > 0");
    }
    judge(r);
    SL_CHECK(r->v.passed);
    r->q.n_rules++;
    SL_CHECK_ERR(sl_gate_evaluate(&r->q, &r->a, &r->v, &r->err), SL_ELIMIT, r->err, "201 rules");
    r->q.n_rules = 1;
    struct sl_gate_metric *many = sl_calloc(SL_GATE_METRICS_MAX + 1, sizeof(*many));
    for (size_t i = 0; i <= SL_GATE_METRICS_MAX; i++) {
        many[i] = (struct sl_gate_metric){.key = "auc", .value = 1};
    }
    r->candidate.metrics = many;
    r->candidate.n_metrics = SL_GATE_METRICS_MAX;
    judge(r);
    r->candidate.n_metrics++;
    SL_CHECK_ERR(sl_gate_evaluate(&r->q, &r->a, &r->v, &r->err), SL_ELIMIT, r->err, "metrics");
    free(many);
    rig_free(r);
}

SL_TEST(steps_gate, print__mixed_verdict__equals_golden)
{
    struct rig *r = rig_new();
    struct sl_buf out = SL_BUF_INIT(1 << 16);
    rule(r, "candidate.auc >= champion.auc - 0.002");
    rule(r, "candidate.ece <= 0.02");
    rule(r, "candidate.slices.all(s, s.recall >= 0.8)");
    judge(r);
    json_auto_t *detail = sl_gate_json(&r->q, &r->v);
    sl_gate_print(detail, false, &out);
    SL_CHECK_GOLDEN("tests/golden/gate/mixed.txt", sl_buf_str(&out));
    sl_buf_clear(&out);
    sl_gate_print(detail, true, &out);
    SL_CHECK_GOLDEN("tests/golden/gate/mixed-color.txt", sl_buf_str(&out));
    sl_buf_release(&out);
    rig_free(r);
}

SL_TEST(steps_gate, print__control_characters__are_shown_escaped)
{
    struct rig *r = rig_new();
    struct sl_buf out = SL_BUF_INIT(1 << 16);
    r->candidate.name = "evil\033[2J@v1";
    rule(r, "candidate.ece <= 0.05");
    judge(r);
    json_auto_t *detail = sl_gate_json(&r->q, &r->v);
    sl_gate_print(detail, false, &out);
    SL_CHECK_NULL(strchr(sl_buf_str(&out), '\033'));
    SL_CHECK_CONTAINS(sl_buf_str(&out), "evil\\x1b[2J@v1");
    sl_buf_release(&out);
    rig_free(r);
}

SL_TEST(steps_gate, rules_digest__changes_with_the_rules_only)
{
    struct sl_rule rules[] = {{.text = "candidate.auc > 0.8"}, {.text = "candidate.ece < 0.1"}};
    struct sl_gate gate = {.require = rules, .n_require = 2};
    struct sl_digest one, same, other;
    sl_gate_rules_digest(&gate, &one);
    gate.evaluate = "validate";
    sl_gate_rules_digest(&gate, &same);
    SL_CHECK(sl_digest_eq(&one, &same));
    rules[1].text = "candidate.ece < 0.2";
    sl_gate_rules_digest(&gate, &other);
    SL_CHECK(!sl_digest_eq(&one, &other));
}
