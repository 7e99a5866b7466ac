/**
 * Judging: values of both sides become expression maps, each rule is checked for missing and NaN
 * numbers first, then evaluated, then explained.
 *
 * Pure; thread: any. Must not: read clocks, files or databases; decide what a missing value means.
 */
#include "core/base/base.h"

#include "pipelines/steps/gate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REFS_MAX        64   /* references kept per rule; SL_EXPR_LEN_MAX bounds a rule anyway */
#define EXPLANATION_MAX 2000 /* bytes */
#define SLICES_SHOWN    5    /* failing slices named per rule */

/** One judging in progress. */
struct judge {
    const struct sl_gate_question *q;
    struct sl_arena *a;
    struct sl_value candidate, champion; /* maps; champion SL_V_NULL without one */
};

/** What one rule mentions. */
struct mentions {
    struct sl_expr_ref refs[REFS_MAX];
    size_t n;
    bool champion;                          /* at all */
    bool candidate_slices, champion_slices; /* .slices of either side */
};

static bool is_side(const struct sl_expr_ref *ref)
{
    return sl_streq(ref->parts[0], "candidate") || sl_streq(ref->parts[0], "champion");
}

static void note_ref(const struct sl_expr_ref *ref, void *data)
{
    struct mentions *m = data;
    bool champion = sl_streq(ref->parts[0], "champion");
    m->champion = m->champion || champion;
    if (is_side(ref) && ref->n >= 2 && sl_streq(ref->parts[1], "slices")) {
        m->champion_slices = m->champion_slices || champion;
        m->candidate_slices = m->candidate_slices || !champion;
    }
    if (m->n < REFS_MAX) {
        m->refs[m->n++] = *ref;
    }
}

static const double *find_metric(const struct sl_gate_metric *metrics, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(metrics[i].key, key)) {
            return &metrics[i].value;
        }
    }
    return NULL;
}

/* ---- values of the sides ------------------------------------------------------------------------ */

static void metric_fields(const struct sl_gate_metric *metrics, size_t n,
                          struct sl_value_field *fields)
{
    for (size_t i = 0; i < n; i++) {
        fields[i] = (struct sl_value_field){.name = metrics[i].key,
                                            .value = {.type = SL_V_DOUBLE, .d = metrics[i].value}};
    }
}

static struct sl_value slice_value(struct sl_arena *a, const struct sl_gate_slice *slice)
{
    struct sl_value_field *fields = SL_ARENA_ARRAY(a, struct sl_value_field, slice->n_metrics + 1);
    fields[0] = (struct sl_value_field){.name = "name", .value = sl_value_str(a, slice->name)};
    metric_fields(slice->metrics, slice->n_metrics, fields + 1);
    struct sl_value v = {.type = SL_V_MAP};
    v.map.fields = fields;
    v.map.n = slice->n_metrics + 1;
    return v;
}

/** The map of one side; `slices` instead of the side's own lets one slice be judged alone. */
static struct sl_value side_value(struct sl_arena *a, const struct sl_gate_side *side,
                                  const struct sl_gate_slice *slices, size_t n_slices)
{
    struct sl_value list = {.type = SL_V_LIST};
    list.list.items = SL_ARENA_ARRAY(a, struct sl_value, n_slices + 1);
    list.list.n = n_slices;
    for (size_t i = 0; i < n_slices; i++) {
        list.list.items[i] = slice_value(a, &slices[i]);
    }
    struct sl_value_field *fields = SL_ARENA_ARRAY(a, struct sl_value_field, side->n_metrics + 1);
    fields[0] = (struct sl_value_field){.name = "slices", .value = list};
    metric_fields(side->metrics, side->n_metrics, fields + 1);
    struct sl_value v = {.type = SL_V_MAP};
    v.map.fields = fields;
    v.map.n = side->n_metrics + 1;
    return v;
}

static const struct sl_value *look_up(void *data, const char *name)
{
    const struct judge *j = data;
    if (sl_streq(name, "candidate")) {
        return &j->candidate;
    }
    if (sl_streq(name, "champion") && j->champion.type == SL_V_MAP) {
        return &j->champion;
    }
    return NULL;
}

static const char *const root_names[] = {"candidate", "champion", NULL};

static struct sl_expr_scope scope_of(struct judge *j)
{
    return (struct sl_expr_scope){.lookup = look_up, .names = root_names, .data = j};
}

/* ---- missing and NaN ------------------------------------------------------------------------------ */

static const char *nearest_metric(const struct judge *j, const struct sl_gate_side *side,
                                  const char *key)
{
    const char **names = SL_ARENA_ARRAY(j->a, const char *, side->n_metrics + 1);
    for (size_t i = 0; i < side->n_metrics; i++) {
        names[i] = side->metrics[i].key;
    }
    return sl_nearest(key, names, side->n_metrics);
}

/** A sentence when the side's metric cannot be used, else NULL. */
static const char *metric_problem(const struct judge *j, const char *who,
                                  const struct sl_gate_side *side, const char *key)
{
    const double *value = find_metric(side->metrics, side->n_metrics, key);
    if (value == NULL) {
        const char *near = nearest_metric(j, side, key);
        return sl_arena_printf(j->a, "metric '%s' is missing for %s %s on dataset %s%s%s%s", key,
                               who, side->name, j->q->dataset,
                               near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                               near != NULL ? "'?" : "");
    }
    if (isnan(*value)) {
        return sl_arena_printf(j->a, "metric '%s' of %s %s on dataset %s is NaN", key, who,
                               side->name, j->q->dataset);
    }
    return NULL;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/** The text takes a field of this name: ".key" or a quoted "key". A macro's variable is no reference that
 * the parser reports, so slices are matched by the names of their metrics. */
static bool takes_field(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *at = text; len > 0 && (at = strstr(at, key)) != NULL; at++) {
        if (at > text && strchr(".\"'", at[-1]) != NULL && !is_word(at[len])) {
            return true;
        }
    }
    return false;
}

/** A metric that the rule takes from slices has to be in each of them, as a number. */
static const char *slice_problem(const struct judge *j, const struct sl_gate_side *side,
                                 const char *who, const char *text)
{
    for (size_t i = 0; i < side->n_slices; i++) {
        const struct sl_gate_slice *s = &side->slices[i];
        for (size_t k = 0; k < s->n_metrics; k++) {
            const char *key = s->metrics[k].key;
            if (isnan(s->metrics[k].value) && takes_field(text, key)) {
                return sl_arena_printf(j->a, "metric '%s' of %s %s in slice '%s' is NaN", key, who,
                                       side->name, s->name);
            }
            const struct sl_gate_slice *next = &side->slices[(i + 1) % side->n_slices];
            if (takes_field(text, key) &&
                find_metric(next->metrics, next->n_metrics, key) == NULL) {
                return sl_arena_printf(j->a, "metric '%s' is missing for %s %s in slice '%s'", key,
                                       who, side->name, next->name);
            }
        }
    }
    return NULL;
}

static const char *slices_problem(const struct judge *j, const struct sl_rule *rule,
                                  const struct mentions *m)
{
    const struct sl_gate_side *sides[] = {m->candidate_slices ? j->q->candidate : NULL,
                                          m->champion_slices ? j->q->champion : NULL};
    const char *const who[] = {"candidate", "champion"};
    const char *problem = NULL;
    for (size_t i = 0; i < SL_LEN(sides) && problem == NULL; i++) {
        if (sides[i] != NULL && sides[i]->n_slices == 0) {
            problem = sl_arena_printf(j->a, "%s %s has no slices on dataset %s", who[i],
                                      sides[i]->name, j->q->dataset);
        } else if (sides[i] != NULL) {
            problem = slice_problem(j, sides[i], who[i], rule->text);
        }
    }
    return problem;
}

static const char *ref_problem(const struct judge *j, const struct sl_expr_ref *ref)
{
    const struct sl_gate_question *q = j->q;
    if (!is_side(ref) || ref->n < 2 || sl_streq(ref->parts[1], "slices")) {
        return NULL;
    }
    bool champion = sl_streq(ref->parts[0], "champion");
    return metric_problem(j, ref->parts[0], champion ? q->champion : q->candidate, ref->parts[1]);
}

/** The first reason why the rule's numbers cannot be judged, or NULL. */
static const char *numbers_problem(const struct judge *j, const struct sl_rule *rule,
                                   const struct mentions *m)
{
    const char *problem = slices_problem(j, rule, m);
    for (size_t i = 0; i < m->n && problem == NULL; i++) {
        problem = ref_problem(j, &m->refs[i]);
    }
    return problem;
}

/* ---- one rule --------------------------------------------------------------------------------------- */

/** Both numbers of the first metric that the rule names, for the table. */
static void fill_numbers(const struct judge *j, const struct mentions *m,
                         struct sl_gate_rule_result *r)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct sl_expr_ref *ref = &m->refs[i];
        if (!is_side(ref) || ref->n < 2 || sl_streq(ref->parts[1], "slices")) {
            continue;
        }
        r->metric = sl_arena_strdup(j->a, ref->parts[1]);
        const struct sl_gate_side *c = j->q->candidate, *h = j->q->champion;
        const double *value = find_metric(c->metrics, c->n_metrics, r->metric);
        r->has_candidate = value != NULL;
        r->candidate = value != NULL ? *value : 0;
        value = h != NULL ? find_metric(h->metrics, h->n_metrics, r->metric) : NULL;
        r->has_champion = value != NULL;
        r->champion = value != NULL ? *value : 0;
        return;
    }
}

/** "; fails for age=65+ (recall 0.71)": the rule is judged again with each slice alone. */
static void add_failing_slices(struct judge *j, const struct sl_rule *rule, struct sl_buf *out)
{
    const struct sl_gate_side *side = j->q->candidate;
    struct sl_value whole = j->candidate;
    size_t n_failing = 0;
    for (size_t i = 0; i < side->n_slices; i++) {
        const struct sl_gate_slice *s = &side->slices[i];
        bool holds = false;
        struct sl_expr_err e;
        struct sl_expr_scope scope = scope_of(j);
        j->candidate = side_value(j->a, side, s, 1);
        int rc = sl_expr_eval_bool(rule->expr, &scope, j->a, &holds, &e);
        if ((rc == 0 && holds) || n_failing++ >= SLICES_SHOWN) {
            continue;
        }
        sl_buf_printf(out, "%s%s", n_failing == 1 ? "; fails for " : ", ", s->name);
        for (size_t k = 0; k < s->n_metrics; k++) {
            if (takes_field(rule->text, s->metrics[k].key)) {
                sl_buf_printf(out, " (%s = %.6g)", s->metrics[k].key, s->metrics[k].value);
            }
        }
    }
    j->candidate = whole;
    if (n_failing > SLICES_SHOWN) {
        sl_buf_printf(out, " and %zu more", n_failing - SLICES_SHOWN);
    }
}

static void judge_numbers(struct judge *j, const struct sl_rule *rule, const struct mentions *m,
                          struct sl_gate_rule_result *r)
{
    struct sl_expr_scope scope = scope_of(j);
    struct sl_expr_err e = {0};
    bool holds = false;
    struct sl_buf text = SL_BUF_INIT(EXPLANATION_MAX);
    if (sl_expr_eval_bool(rule->expr, &scope, j->a, &holds, &e) < 0) {
        sl_buf_puts(&text, e.msg);
    } else {
        sl_expr_explain(rule->expr, &scope, &text);
    }
    r->outcome = holds ? SL_GATE_PASSED : SL_GATE_REFUSED;
    if (!holds && m->candidate_slices) {
        add_failing_slices(j, rule, &text);
    }
    r->explanation = sl_arena_strdup(j->a, sl_buf_str(&text));
    sl_buf_release(&text);
}

static void judge_rule(struct judge *j, const struct sl_rule *rule, struct sl_gate_rule_result *r)
{
    struct mentions *m = SL_ARENA_NEW(j->a, struct mentions);
    sl_expr_refs(rule->expr, note_ref, m);
    r->text = rule->text;
    fill_numbers(j, m, r);
    r->outcome = SL_GATE_REFUSED;
    if (m->champion && j->q->champion == NULL) {
        if (j->q->champion_ref == NULL) {
            r->explanation = "the rule names a champion, the gate does not";
        } else if (j->q->no_champion == SL_NO_CHAMPION_PASS) {
            r->outcome = SL_GATE_NOT_APPLIED;
            r->explanation = sl_arena_printf(j->a, "%s names no version yet (no_champion: pass)",
                                             j->q->champion_ref);
        } else {
            r->explanation = sl_arena_printf(j->a, "%s names no version yet", j->q->champion_ref);
        }
        return;
    }
    r->explanation = numbers_problem(j, rule, m);
    if (r->explanation == NULL) {
        judge_numbers(j, rule, m, r);
    }
}

/* ---- the whole -------------------------------------------------------------------------------------- */

static int check_side(const struct sl_gate_side *side, struct sl_err *err)
{
    bool too_many = side->n_metrics > SL_GATE_METRICS_MAX;
    for (size_t i = 0; i < side->n_slices && i < SL_GATE_SLICES_MAX; i++) {
        too_many = too_many || side->slices[i].n_metrics > SL_GATE_METRICS_MAX;
    }
    if (too_many) {
        return sl_err_set(err, SL_ELIMIT, "%s has more than %d metrics", side->name,
                          SL_GATE_METRICS_MAX);
    }
    if (side->n_slices > SL_GATE_SLICES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s has %zu slices, at most %d are judged", side->name,
                          side->n_slices, SL_GATE_SLICES_MAX);
    }
    return 0;
}

static const char *summary_of(const struct sl_gate_question *q, const struct sl_gate_verdict *v,
                              struct sl_arena *a)
{
    size_t n_refused = 0, n_judged = 0;
    for (size_t i = 0; i < v->n_rules; i++) {
        n_refused += v->rules[i].outcome == SL_GATE_REFUSED;
        n_judged += v->rules[i].outcome != SL_GATE_NOT_APPLIED;
    }
    if (q->n_rules == 0) {
        return "refused: the gate has no rules";
    }
    if (q->champion_ref != NULL && q->champion == NULL) {
        if (q->no_champion == SL_NO_CHAMPION_REFUSE) {
            return sl_arena_printf(a,
                                   "refused: %s names no version yet; write 'no_champion: pass' to "
                                   "let the first one through",
                                   q->champion_ref);
        }
        if (n_refused == 0) {
            return sl_arena_printf(a, "passed: %zu of %zu rules; there is no champion yet",
                                   n_judged, n_judged);
        }
    }
    return n_refused > 0
               ? sl_arena_printf(a, "refused: %zu of %zu rules failed", n_refused, n_judged)
               : sl_arena_printf(a, "passed: %zu of %zu rules", n_judged, n_judged);
}

int sl_gate_evaluate(const struct sl_gate_question *q, struct sl_arena *a,
                     struct sl_gate_verdict *ret, struct sl_err *err)
{
    SL_ASSERT(q->candidate != NULL);
    SL_ASSERT(q->dataset != NULL);
    if (q->n_rules > SL_GATE_RULES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "the gate has %zu rules, at most %d are judged",
                          q->n_rules, SL_GATE_RULES_MAX);
    }
    int rc = check_side(q->candidate, err);
    if (rc == 0 && q->champion != NULL) {
        rc = check_side(q->champion, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct judge j = {.q = q, .a = a};
    j.candidate = side_value(a, q->candidate, q->candidate->slices, q->candidate->n_slices);
    if (q->champion != NULL) {
        j.champion = side_value(a, q->champion, q->champion->slices, q->champion->n_slices);
    }
    struct sl_gate_verdict v = {.n_rules = q->n_rules};
    v.rules = SL_ARENA_ARRAY(a, struct sl_gate_rule_result, q->n_rules + 1);
    v.passed = q->n_rules > 0 && (q->champion_ref == NULL || q->champion != NULL ||
                                  q->no_champion == SL_NO_CHAMPION_PASS);
    for (size_t i = 0; i < q->n_rules; i++) {
        judge_rule(&j, &q->rules[i], &v.rules[i]);
        v.passed = v.passed && v.rules[i].outcome != SL_GATE_REFUSED;
    }
    v.summary = summary_of(q, &v, a);
    *ret = v;
    return 0;
}
