/**
 * Says in numbers why a rule held or did not: every comparison with both its sides.
 *
 * Thread: any. Must not: decide anything; it evaluates again what was already decided.
 */
#include "core/base/base.h"

#include "core/expr/expr_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGITS_SHOWN 6 /* significant digits, more where two sides would look alike */
#define DIGITS_MAX   17
#define TEXT_SHOWN   80 /* bytes of a text or list that is no number */

struct explaining {
    const struct sl_expr *x;
    const struct sl_expr_scope *scope;
    struct sl_arena *arena;
    const struct bound_var *vars;
    struct sl_buf *out;
    size_t budget; /* nodes: nothing here may take longer than evaluation did */
};

static int eval(struct explaining *in, const struct node *node, struct sl_value *ret,
                struct sl_expr_err *err)
{
    struct evaluation ev = {
        .scope = in->scope, .arena = in->arena, .err = err, .vars = in->vars, .cost = in->budget};
    int r = expr_eval_node(&ev, node, ret);
    in->budget = ev.cost;
    return r;
}

static void put_node_text(struct explaining *in, const struct node *node)
{
    struct sl_str text = expr_node_text(in->x, node);
    for (size_t i = 0; i < text.len; i++) { /* one line, also of an expression over several */
        bool blank = text.ptr[i] == '\n' || text.ptr[i] == '\r' || text.ptr[i] == '\t';
        sl_buf_putc(in->out, blank ? ' ' : text.ptr[i]);
    }
}

static void put_value(struct explaining *in, const struct sl_value *v, int digits)
{
    if (v->type == SL_V_DOUBLE && isfinite(v->d)) {
        sl_buf_printf(in->out, "%.*g", digits, v->d);
        return;
    }
    if (v->type == SL_V_STRING) {
        sl_buf_json_str(in->out, v->s.ptr, SL_MIN(v->s.len, (size_t)TEXT_SHOWN));
        return;
    }
    if (v->type == SL_V_LIST || v->type == SL_V_MAP) {
        size_t n = v->type == SL_V_LIST ? v->list.n : v->map.n;
        sl_buf_printf(in->out, "%s of %zu", sl_value_type_name(v->type), n);
        return;
    }
    sl_value_text(v, in->out);
}

static void put_side(struct explaining *in, const struct node *node, const struct sl_value *v,
                     int digits)
{
    put_node_text(in, node);
    if (node->kind != NODE_LITERAL) {
        sl_buf_puts(in->out, " = ");
        put_value(in, v, digits);
    }
}

static double as_double(const struct sl_value *v)
{
    return v->type == SL_V_INT ? (double)v->i : v->d;
}

/** Enough digits that two different numbers look different. */
static int digits_for(const struct sl_value *a, const struct sl_value *b)
{
    bool numbers = (a->type == SL_V_DOUBLE || a->type == SL_V_INT) &&
                   (b->type == SL_V_DOUBLE || b->type == SL_V_INT);
    if (!numbers || sl_value_eq(a, b)) {
        return DIGITS_SHOWN;
    }
    for (int digits = DIGITS_SHOWN; digits < DIGITS_MAX; digits++) {
        char left[64];
        char right[64];
        (void)snprintf(left, sizeof(left), "%.*g", digits, as_double(a));
        (void)snprintf(right, sizeof(right), "%.*g", digits, as_double(b));
        if (!sl_streq(left, right)) {
            return digits;
        }
    }
    return DIGITS_MAX;
}

static const char *op_text(int op)
{
    static const char *const texts[] = {"==", "!=", "<=", ">=", "<", ">"};
    SL_ASSERT(op >= TOK_EQ && op <= TOK_GT);
    return texts[op - TOK_EQ];
}

static void explain_compare(struct explaining *in, const struct node *node)
{
    struct sl_value left;
    struct sl_value right;
    struct sl_expr_err err;
    for (int i = 0; i < 2; i++) {
        if (eval(in, node->args[i], i == 0 ? &left : &right, &err) < 0) {
            put_node_text(in, node);
            sl_buf_printf(in->out, ": %s", err.msg);
            return;
        }
    }
    int digits = digits_for(&left, &right);
    put_side(in, node->args[0], &left, digits);
    sl_buf_printf(in->out, " %s ", node->kind == NODE_IN ? "in" : op_text(node->op));
    put_side(in, node->args[1], &right, digits);
}

static void explain(struct explaining *in, const struct node *node);

/** The operands up to the one that decided, joined by the operator. */
static void explain_logic(struct explaining *in, const struct node *node)
{
    for (size_t i = 0; i < node->n; i++) {
        sl_buf_puts(in->out, i == 0 ? "" : node->kind == NODE_AND ? " && " : " || ");
        explain(in, node->args[i]);
        struct sl_value v;
        if (eval(in, node->args[i], &v, NULL) < 0 || v.type != SL_V_BOOL ||
            v.b == (node->kind == NODE_OR)) {
            return;
        }
    }
}

/** all(): the first item that fails; the others: what they gave. */
static void explain_macro(struct explaining *in, const struct node *node)
{
    put_node_text(in, node);
    struct sl_value of;
    struct sl_expr_err err;
    if (eval(in, node->args[0], &of, &err) < 0) {
        sl_buf_printf(in->out, ": %s", err.msg);
        return;
    }
    struct sl_value *items = NULL;
    size_t n = 0;
    struct evaluation ev = {.scope = in->scope, .arena = in->arena, .err = &err};
    if (expr_items(&ev, node, &of, &items, &n) < 0) {
        sl_buf_printf(in->out, ": %s", err.msg);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct bound_var var = {.name = node->name, .value = &items[i], .outer = in->vars};
        struct sl_value v;
        in->vars = &var;
        int r = eval(in, node->args[1], &v, &err);
        bool stops = r < 0 || (v.type == SL_V_BOOL && v.b != (node->op == FN_ALL));
        if (stops) {
            sl_buf_printf(in->out, ": item %zu: ", i + 1);
            explain(in, node->args[1]);
        }
        in->vars = var.outer;
        if (stops) {
            return;
        }
    }
    sl_buf_printf(in->out, ": %s of %zu items", node->op == FN_ALL ? "all" : "none", n);
}

static void explain_other(struct explaining *in, const struct node *node)
{
    struct sl_value v;
    struct sl_expr_err err;
    int r = eval(in, node, &v, &err);
    put_node_text(in, node);
    if (r < 0) {
        sl_buf_printf(in->out, ": %s", err.msg);
    } else if (node->kind != NODE_LITERAL) {
        sl_buf_puts(in->out, " = ");
        put_value(in, &v, DIGITS_SHOWN);
    }
}

static void explain(struct explaining *in, const struct node *node)
{
    if (in->budget >= SL_EXPR_COST_MAX) {
        put_node_text(in, node);
        return;
    }
    if (node->kind == NODE_COMPARE || node->kind == NODE_IN) {
        explain_compare(in, node);
    } else if (node->kind == NODE_AND || node->kind == NODE_OR) {
        explain_logic(in, node);
    } else if (node->kind == NODE_MACRO && (node->op == FN_ALL || node->op == FN_EXISTS)) {
        explain_macro(in, node);
    } else {
        explain_other(in, node);
    }
}

void sl_expr_explain(const struct sl_expr *x, const struct sl_expr_scope *scope, struct sl_buf *out)
{
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    struct explaining in = {.x = x, .scope = scope, .arena = &arena, .out = out};
    explain(&in, x->root);
    sl_arena_release(&arena);
}
