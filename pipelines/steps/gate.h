/**
 * The gate: judges a candidate against rules and, where there is one, a champion, on one dataset.
 *
 * Pure: values in, verdict out; no clock, no I/O, no globals. Thread: any. It must not decide what a
 * missing value might have been: missing and NaN refuse.
 */
#ifndef SL_GATE_H
#define SL_GATE_H

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "pipelines/spec/spec.h"

#define SL_GATE_RULES_MAX   200
#define SL_GATE_METRICS_MAX 10000 /* per side, and per slice */
#define SL_GATE_SLICES_MAX  10000 /* per side */

struct sl_gate_metric {
    const char *key; /* "auc", "p@1" */
    double value;    /* NaN and infinities as measured */
};

struct sl_gate_slice {
    const char *name; /* "age=65+" */
    const struct sl_gate_metric *metrics;
    size_t n_metrics;
};

/** One side's evaluation on the gate's dataset. */
struct sl_gate_side {
    const char *name; /* as shown: "churn@v7" */
    const struct sl_gate_metric *metrics;
    size_t n_metrics;
    const struct sl_gate_slice *slices;
    size_t n_slices;
};

struct sl_gate_question {
    const struct sl_gate_side *candidate;
    const struct sl_gate_side *champion; /* NULL: the champion reference names nothing yet */
    const char *champion_ref;            /* "churn@champion"; NULL: the gate has no champion side */
    enum sl_no_champion no_champion;
    const char *dataset; /* as shown in messages */
    const struct sl_rule *rules;
    size_t n_rules;
};

enum sl_gate_outcome {
    SL_GATE_PASSED,
    SL_GATE_REFUSED,
    SL_GATE_NOT_APPLIED /* compares with a champion that does not exist, and no_champion is pass */
};

struct sl_gate_rule_result {
    const char *text;
    enum sl_gate_outcome outcome;
    const char
        *explanation;   /* "candidate.auc = 0.81 >= champion.auc - 0.002 = 0.808", or the problem */
    const char *metric; /* first metric that the rule names, or NULL */
    bool has_candidate, has_champion; /* the numbers of that metric are known */
    double candidate, champion;
};

struct sl_gate_verdict {
    bool passed;
    const char *summary; /* one line: "passed: 3 of 3 rules", "refused: 1 of 3 rules failed" */
    struct sl_gate_rule_result *rules;
    size_t n_rules;
};

/**
 * Judges every rule; a verdict passes when no rule is refused. A rule is refused when it is false,
 * cannot be evaluated, or names a metric (also inside slices) that is missing or NaN. A rule over
 * slices is refused when there are no slices. Without a champion: policy `refuse` refuses the gate;
 * `pass` leaves out the rules that mention the champion and judges the others.
 *
 * @param ret written on 0; its texts live in `a` (and in the question)
 * @return    0 for both verdicts; -SL_ELIMIT over SL_GATE_*_MAX
 */
int sl_gate_evaluate(const struct sl_gate_question *q, struct sl_arena *a,
                     struct sl_gate_verdict *ret, struct sl_err *err) SL_MUST_CHECK;

/** {"result","summary","dataset","candidate","champion","rules":[{"rule","outcome","explanation",
 * "metric","candidate","champion"}]}. New reference. This is what the verdict store keeps. */
json_t *sl_gate_json(const struct sl_gate_question *q, const struct sl_gate_verdict *v);

/** The rules, as they were written, in canonical JSON form; its SHA-256 is a verdict's rules digest. */
void sl_gate_rules_digest(const struct sl_gate *gate, struct sl_digest *ret);

/**
 * The table of rules with both numbers, for a terminal. `detail` is sl_gate_json's value, so a stored
 * verdict prints like a fresh one. Control characters in names are shown escaped.
 */
void sl_gate_print(const json_t *detail, bool color, struct sl_buf *out);

#endif
