/**
 * Arithmetic and comparison: int promotes to double, overflow and NaN are errors, types do not mix.
 *
 * Thread: any. Must not: wrap around, or let a NaN decide a comparison either way.
 */
#include "core/base/base.h"

#include "core/expr/expr_priv.h"

#include <math.h>

static bool is_number(const struct sl_value *v)
{
    return v->type == SL_V_INT || v->type == SL_V_DOUBLE;
}

static double as_double(const struct sl_value *v)
{
    return v->type == SL_V_INT ? (double)v->i : v->d;
}

static int int_arith(struct evaluation *ev, const struct node *node, int64_t a, int64_t b,
                     int64_t *ret)
{
    bool overflow = false;
    int64_t value = 0;
    if ((node->op == '/' || node->op == '%') && b == 0) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "division by zero");
    }
    switch (node->op) {
    case '+': overflow = __builtin_add_overflow(a, b, &value); break;
    case '-': overflow = __builtin_sub_overflow(a, b, &value); break;
    case '*': overflow = __builtin_mul_overflow(a, b, &value); break;
    case '/':
        overflow = a == INT64_MIN && b == -1;
        value = overflow ? 0 : a / b;
        break;
    default: value = b == -1 ? 0 : a % b; break;
    }
    if (overflow) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "integer overflow");
    }
    *ret = value;
    return 0;
}

static int double_arith(struct evaluation *ev, const struct node *node, double a, double b,
                        double *ret)
{
    switch (node->op) {
    case '+': *ret = a + b; return 0;
    case '-': *ret = a - b; return 0;
    case '*': *ret = a * b; return 0;
    case '/': *ret = a / b; return 0;
    default: return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "'%%' needs two ints");
    }
}

static int concat(struct evaluation *ev, const struct node *node, const struct sl_value *a,
                  const struct sl_value *b, struct sl_value *ret)
{
    bool strings = a->type == SL_V_STRING;
    size_t n_a = strings ? a->s.len : a->list.n;
    size_t n_b = strings ? b->s.len : b->list.n;
    size_t n = n_a + n_b;
    int r = expr_spend(ev, node, strings ? n / 16 : n);
    if (r < 0) {
        return r;
    }
    size_t item = strings ? 1 : sizeof(struct sl_value);
    char *joined = sl_arena_alloc(ev->arena, (n + 1) * item);
    const void *from_a = strings ? (const void *)a->s.ptr : (const void *)a->list.items;
    const void *from_b = strings ? (const void *)b->s.ptr : (const void *)b->list.items;
    if (n_a > 0) {
        memcpy(joined, from_a, n_a * item);
    }
    if (n_b > 0) {
        memcpy(joined + n_a * item, from_b, n_b * item);
    }
    *ret = (struct sl_value){.type = a->type};
    if (strings) {
        ret->s = (struct sl_str){joined, n};
    } else {
        ret->list.items = (void *)joined;
        ret->list.n = n;
    }
    return 0;
}

int expr_eval_arith(struct evaluation *ev, const struct node *node, const struct sl_value *left,
                    const struct sl_value *right, struct sl_value *ret)
{
    if (left->type == SL_V_INT && right->type == SL_V_INT) {
        ret->type = SL_V_INT;
        return int_arith(ev, node, left->i, right->i, &ret->i);
    }
    if (is_number(left) && is_number(right)) {
        double a = as_double(left);
        double b = as_double(right);
        ret->type = SL_V_DOUBLE;
        return double_arith(ev, node, a, b, &ret->d);
    }
    if (node->op == '+' && left->type == right->type &&
        (left->type == SL_V_STRING || left->type == SL_V_LIST)) {
        return concat(ev, node, left, right, ret);
    }
    const char *hint = "";
    if (node->op == '+' && (left->type == SL_V_STRING || right->type == SL_V_STRING)) {
        hint = "; string(x) makes text of a value";
    }
    return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "cannot use '%c' on %s and %s%s",
                     node->op, sl_value_type_name(left->type), sl_value_type_name(right->type),
                     hint);
}

static const char *op_text(int op)
{
    switch (op) {
    case TOK_EQ: return "==";
    case TOK_NE: return "!=";
    case TOK_LE: return "<=";
    case TOK_GE: return ">=";
    case TOK_LT: return "<";
    default: return ">";
    }
}

static bool by_order(int op, int order)
{
    switch (op) {
    case TOK_EQ: return order == 0;
    case TOK_NE: return order != 0;
    case TOK_LE: return order <= 0;
    case TOK_GE: return order >= 0;
    case TOK_LT: return order < 0;
    default: return order > 0;
    }
}

static int fail_types(struct evaluation *ev, const struct node *node, const struct sl_value *left,
                      const struct sl_value *right)
{
    return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "cannot compare %s %s %s",
                     sl_value_type_name(left->type), op_text(node->op),
                     sl_value_type_name(right->type));
}

static int compare_strings(const struct sl_str *a, const struct sl_str *b)
{
    size_t common = SL_MIN(a->len, b->len);
    int order = common > 0 ? memcmp(a->ptr, b->ptr, common) : 0;
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/** The size of a value as the number of values in it, up to a little over `limit`. */
static size_t weight(const struct sl_value *v, size_t limit)
{
    size_t total = 1;
    if (v->type == SL_V_STRING) {
        return total + v->s.len / 16;
    }
    size_t n = v->type == SL_V_LIST ? v->list.n : v->type == SL_V_MAP ? v->map.n : 0;
    for (size_t i = 0; i < n && total <= limit; i++) {
        const struct sl_value *item =
            v->type == SL_V_LIST ? &v->list.items[i] : &v->map.fields[i].value;
        size_t looked_up =
            v->type == SL_V_MAP ? n : 0; /* each field is searched in the other map */
        total += weight(item, limit - SL_MIN(total, limit)) + looked_up;
    }
    return total;
}

int expr_eval_compare(struct evaluation *ev, const struct node *node, const struct sl_value *left,
                      const struct sl_value *right, bool *ret)
{
    int order = 0;
    if (left->type == SL_V_INT && right->type == SL_V_INT) {
        order = (left->i > right->i) - (left->i < right->i);
    } else if (is_number(left) && is_number(right)) {
        double a = as_double(left);
        double b = as_double(right);
        if (isnan(a) || isnan(b)) {
            const struct node *side = node->args[isnan(a) ? 0 : 1];
            return expr_fail(ev->err, SL_EINVAL, side->at, side->width,
                             "comparison with NaN (not a number)");
        }
        order = (a > b) - (a < b);
    } else if (left->type == SL_V_STRING && right->type == SL_V_STRING) {
        order = compare_strings(&left->s, &right->s);
    } else if (left->type == SL_V_BOOL && right->type == SL_V_BOOL) {
        order = (int)left->b - (int)right->b;
    } else if (node->op != TOK_EQ && node->op != TOK_NE) {
        return fail_types(ev, node, left, right);
    } else if (left->type != right->type && left->type != SL_V_NULL && right->type != SL_V_NULL) {
        return fail_types(ev, node, left, right);
    } else {
        int r = expr_spend(ev, node, weight(left, SL_EXPR_COST_MAX));
        if (r < 0) {
            return r;
        }
        order = sl_value_eq(left, right) ? 0 : 1;
    }
    *ret = by_order(node->op, order);
    return 0;
}
