/**
 * A verdict as JSON, and that JSON as a table for the terminal.
 *
 * Pure; thread: any. Must not: judge.
 */
#include "core/base/base.h"

#include "pipelines/steps/gate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RULE_COLUMNS_MAX 60 /* longer rules are cut in the table; the JSON has them whole */

static const char *outcome_name(enum sl_gate_outcome outcome)
{
    switch (outcome) {
    case SL_GATE_PASSED: return "passed";
    case SL_GATE_REFUSED: return "refused";
    case SL_GATE_NOT_APPLIED: return "not_applied";
    }
    return "refused";
}

static json_t *rule_json(const struct sl_gate_rule_result *r)
{
    json_t *o = json_object();
    sl_json_set_str(o, "rule", r->text);
    sl_json_set_str(o, "outcome", outcome_name(r->outcome));
    sl_json_set_str(o, "explanation", r->explanation);
    sl_json_set_str(o, "metric", r->metric);
    if (r->has_candidate) {
        sl_json_set_num(o, "candidate", r->candidate);
    }
    if (r->has_champion) {
        sl_json_set_num(o, "champion", r->champion);
    }
    return o;
}

json_t *sl_gate_json(const struct sl_gate_question *q, const struct sl_gate_verdict *v)
{
    json_t *o = json_object();
    sl_json_set_str(o, "result", v->passed ? "pass" : "refuse");
    sl_json_set_str(o, "summary", v->summary);
    sl_json_set_str(o, "dataset", q->dataset);
    sl_json_set_str(o, "candidate", q->candidate->name);
    sl_json_set_str(o, "champion", q->champion != NULL ? q->champion->name : NULL);
    json_t *rules = json_array();
    for (size_t i = 0; i < v->n_rules; i++) {
        json_array_append_new(rules, rule_json(&v->rules[i]));
    }
    json_object_set_new(o, "rules", rules);
    return o;
}

void sl_gate_rules_digest(const struct sl_gate *gate, struct sl_digest *ret)
{
    json_auto_t *o = json_object();
    json_t *rules = json_array();
    for (size_t i = 0; i < gate->n_require; i++) {
        json_array_append_new(rules, json_string(gate->require[i].text));
    }
    json_object_set_new(o, "require", rules);
    sl_json_set_str(o, "no_champion", gate->no_champion == SL_NO_CHAMPION_PASS ? "pass" : "refuse");
    sl_json_set_str(o, "champion", gate->champion != NULL ? sl_tmpl_source(gate->champion) : NULL);
    _cleanup_(free)
    char *text = sl_json_canonical(o);
    sl_sha256(text, strlen(text), ret);
}

/* ---- the table ------------------------------------------------------------------------------------ */

/** Text with control characters shown as \xNN, cut to `columns` (0: whole) with "...". */
static void add_text(struct sl_buf *out, const char *text, size_t columns)
{
    size_t used = 0;
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (columns > 0 && used + 3 >= columns && strlen(p) > columns - used &&
            (c & 0xC0) != 0x80) {
            sl_buf_puts(out, "...");
            return;
        }
        if (c < 0x20 || c == 0x7F) {
            sl_buf_printf(out, "\\x%02x", c);
            used += 4;
        } else {
            sl_buf_putc(out, *p);
            used += (c & 0xC0) != 0x80;
        }
    }
}

static void add_padded(struct sl_buf *out, const char *text, size_t columns)
{
    struct sl_buf cell = SL_BUF_INIT(8 * RULE_COLUMNS_MAX);
    add_text(&cell, text, columns);
    size_t width = sl_utf8_width(sl_buf_str(&cell), cell.len);
    sl_buf_puts(out, sl_buf_str(&cell));
    for (; width < columns; width++) {
        sl_buf_putc(out, ' ');
    }
    sl_buf_release(&cell);
}

static void add_number(struct sl_buf *out, const json_t *rule, const char *side)
{
    char text[40];
    if (json_object_get(rule, side) == NULL) {
        (void)snprintf(text, sizeof(text), "-");
    } else {
        double value = sl_json_num(rule, side, NAN);
        (void)snprintf(text, sizeof(text), "%.4f", value);
        if (value != 0 && (fabs(value) < 0.001 || fabs(value) >= 1e6)) {
            (void)snprintf(text, sizeof(text), "%.4g", value);
        }
    }
    sl_buf_printf(out, "  %10s", text);
}

struct look {
    const char *mark, *color;
};

static struct look look_of(const char *outcome)
{
    if (sl_streq(outcome, "passed")) {
        return (struct look){"pass", "\033[32m"};
    }
    if (sl_streq(outcome, "not_applied")) {
        return (struct look){"n/a ", "\033[2m"};
    }
    return (struct look){"FAIL", "\033[31m"};
}

static size_t rule_columns(const json_t *rules)
{
    size_t widest = strlen("rule");
    size_t i;
    const json_t *rule;
    json_array_foreach (rules, i, rule) {
        const char *text = sl_json_str(rule, "rule", "");
        widest = SL_MAX(widest, sl_utf8_width(text, strlen(text)));
    }
    return SL_MIN(widest, (size_t)RULE_COLUMNS_MAX);
}

static void print_rule(const json_t *rule, size_t columns, bool color, struct sl_buf *out)
{
    const char *outcome = sl_json_str(rule, "outcome", "refused");
    struct look look = look_of(outcome);
    sl_buf_printf(out, "  %s%s%s  ", color ? look.color : "", look.mark, color ? "\033[0m" : "");
    add_padded(out, sl_json_str(rule, "rule", ""), columns);
    add_number(out, rule, "candidate");
    add_number(out, rule, "champion");
    sl_buf_putc(out, '\n');
    if (!sl_streq(outcome, "passed")) {
        sl_buf_puts(out, "        ");
        add_text(out, sl_json_str(rule, "explanation", ""), 0);
        sl_buf_putc(out, '\n');
    }
}

void sl_gate_print(const json_t *detail, bool color, struct sl_buf *out)
{
    const json_t *rules = json_object_get(detail, "rules");
    bool passed = sl_streq(sl_json_str(detail, "result", ""), "pass");
    if (color) {
        sl_buf_puts(out, passed ? "\033[1;32m" : "\033[1;31m");
    }
    add_text(out, sl_json_str(detail, "summary", ""), 0);
    sl_buf_printf(out, "%s\n  candidate ", color ? "\033[0m" : "");
    add_text(out, sl_json_str(detail, "candidate", "-"), 0);
    sl_buf_puts(out, ", champion ");
    add_text(out, sl_json_str(detail, "champion", "none"), 0);
    sl_buf_puts(out, ", on ");
    add_text(out, sl_json_str(detail, "dataset", "-"), 0);
    sl_buf_puts(out, "\n\n        ");
    size_t columns = rule_columns(rules);
    add_padded(out, "rule", columns);
    sl_buf_printf(out, "  %10s  %10s\n", "candidate", "champion");
    size_t i;
    const json_t *rule;
    json_array_foreach (rules, i, rule) {
        print_rule(rule, columns, color, out);
    }
}
