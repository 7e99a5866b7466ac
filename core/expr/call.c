/**
 * Functions and macros of the language.
 *
 * Thread: any. Must not: take longer than what they charge (text is charged by its length, a pattern
 * by text length × program size).
 */
#include "core/base/base.h"

#include "core/expr/expr_priv.h"

#include <math.h>
#include <stdlib.h>

#define TEXT_MAX (1024 * 1024) /* bytes of one value's text */

static int fail_argument(struct evaluation *ev, const struct node *node, const struct sl_value *v)
{
    return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "%s() does not take a %s",
                     expr_fns[node->op].name, sl_value_type_name(v->type));
}

static struct sl_value of_bool(bool b)
{
    return (struct sl_value){.type = SL_V_BOOL, .b = b};
}
static struct sl_value of_int(int64_t i)
{
    return (struct sl_value){.type = SL_V_INT, .i = i};
}

static int64_t count_code_points(struct sl_str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    }
    return n;
}

static int call_size(struct evaluation *ev, const struct node *node, const struct sl_value *v,
                     struct sl_value *ret)
{
    int r = 0;
    switch (v->type) {
    case SL_V_STRING:
        r = expr_spend(ev, node, v->s.len / 16);
        *ret = of_int(count_code_points(v->s));
        return r;
    case SL_V_LIST: *ret = of_int((int64_t)v->list.n); return 0;
    case SL_V_MAP: *ret = of_int((int64_t)v->map.n); return 0;
    case SL_V_NULL:
    case SL_V_BOOL:
    case SL_V_INT:
    case SL_V_DOUBLE: break;
    }
    return fail_argument(ev, node, v);
}

static int call_string(struct evaluation *ev, const struct node *node, const struct sl_value *v,
                       struct sl_value *ret)
{
    if (v->type == SL_V_LIST || v->type == SL_V_MAP || v->type == SL_V_NULL) {
        return fail_argument(ev, node, v);
    }
    struct sl_buf text = SL_BUF_INIT(TEXT_MAX);
    sl_value_text(v, &text);
    int r = expr_spend(ev, node, text.len / 16);
    if (r == 0) {
        char *copy = sl_arena_strndup(ev->arena, sl_buf_str(&text), text.len);
        *ret = (struct sl_value){.type = SL_V_STRING, .s = {copy, text.len}};
    }
    sl_buf_release(&text);
    return r;
}

/** A number out of text, which may not be NUL-terminated. */
static bool text_number(struct sl_str s, int64_t *ret_int, double *ret_double)
{
    char copy[64];
    if (s.len == 0 || s.len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return ret_int != NULL ? sl_parse_i64(copy, ret_int) : sl_parse_double(copy, ret_double);
}

static int call_int(struct evaluation *ev, const struct node *node, const struct sl_value *v,
                    struct sl_value *ret)
{
    if (v->type == SL_V_INT) {
        *ret = *v;
        return 0;
    }
    if (v->type == SL_V_DOUBLE) {
        if (!(v->d > -9223372036854775808.0 && v->d < 9223372036854775808.0)) {
            return expr_fail(ev->err, SL_EINVAL, node->at, node->width,
                             "int() of a number out of range");
        }
        *ret = of_int((int64_t)v->d);
        return 0;
    }
    if (v->type != SL_V_STRING) {
        return fail_argument(ev, node, v);
    }
    int64_t i = 0;
    if (!text_number(v->s, &i, NULL)) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "int() of '%.*s', not a number",
                         (int)SL_MIN(v->s.len, (size_t)60), v->s.ptr);
    }
    *ret = of_int(i);
    return 0;
}

static int call_double(struct evaluation *ev, const struct node *node, const struct sl_value *v,
                       struct sl_value *ret)
{
    struct sl_value d = {.type = SL_V_DOUBLE};
    if (v->type == SL_V_DOUBLE) {
        d.d = v->d;
    } else if (v->type == SL_V_INT) {
        d.d = (double)v->i;
    } else if (v->type != SL_V_STRING) {
        return fail_argument(ev, node, v);
    } else if (!text_number(v->s, NULL, &d.d)) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width,
                         "double() of '%.*s', not a number", (int)SL_MIN(v->s.len, (size_t)60),
                         v->s.ptr);
    }
    *ret = d;
    return 0;
}

static bool contains(struct sl_str text, struct sl_str part)
{
    return part.len == 0 ||
           (text.len > 0 && memmem(text.ptr, text.len, part.ptr, part.len) != NULL);
}

static int call_matches(struct evaluation *ev, const struct node *node, struct sl_str text,
                        struct sl_str pattern, struct sl_value *ret)
{
    const struct sl_regex *re = node->regex;
    if (re == NULL) {
        size_t at = 0;
        const char *msg = NULL;
        int r = expr_spend(ev, node, 64 + pattern.len); /* compiling */
        if (r < 0) {
            return r;
        }
        re = sl_regex_compile(ev->arena, pattern, &at, &msg);
        if (re == NULL) {
            return expr_fail(ev->err, SL_EINVAL, node->at, node->width,
                             "bad pattern at character %zu: %s", at + 1, msg);
        }
    }
    int r = expr_spend(ev, node, (text.len + 1) * sl_regex_program_size(re) / 32);
    if (r == 0) {
        *ret = of_bool(sl_regex_search(re, text));
    }
    return r;
}

/** The functions on two texts. */
static int call_text(struct evaluation *ev, const struct node *node, const struct sl_value *args,
                     struct sl_value *ret)
{
    for (int i = 0; i < 2; i++) {
        if (args[i].type != SL_V_STRING) {
            return fail_argument(ev, node, &args[i]);
        }
    }
    struct sl_str text = args[0].s;
    struct sl_str part = args[1].s;
    if (node->op == FN_MATCHES) {
        return call_matches(ev, node, text, part, ret);
    }
    int r = expr_spend(ev, node, text.len / 16);
    bool fits = part.len <= text.len;
    if (node->op == FN_CONTAINS) {
        *ret = of_bool(contains(text, part));
    } else if (!fits || part.len == 0) {
        *ret = of_bool(fits);
    } else if (node->op == FN_STARTS_WITH) {
        *ret = of_bool(memcmp(text.ptr, part.ptr, part.len) == 0);
    } else {
        *ret = of_bool(memcmp(text.ptr + text.len - part.len, part.ptr, part.len) == 0);
    }
    return r;
}

/** has(x.f): whether the field is there; everything before it must be. */
static int call_has(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    const struct node *field = node->args[0];
    struct sl_value of;
    int r = expr_eval_node(ev, field->args[0], &of);
    if (r < 0) {
        return r;
    }
    if (of.type != SL_V_MAP) {
        return fail_argument(ev, node, &of);
    }
    struct sl_expr_err ignored;
    struct sl_expr_err *err = ev->err;
    struct sl_value value;
    ev->err = &ignored;
    r = expr_eval_node(ev, field, &value);
    ev->err = err;
    if (r == -SL_ELIMIT) {
        return expr_spend(ev, node, SL_EXPR_COST_MAX);
    }
    *ret = of_bool(r == 0);
    return 0;
}

static int call_status(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    static const char which[] = {[FN_SUCCESS - FN_SUCCESS] = 's',
                                 [FN_FAILURE - FN_SUCCESS] = 'f',
                                 [FN_ALWAYS - FN_SUCCESS] = 'a',
                                 [FN_CANCELLED - FN_SUCCESS] = 'c'};
    if (ev->scope->status == NULL) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "%s() has no meaning here",
                         expr_fns[node->op].name);
    }
    *ret = of_bool(ev->scope->status(ev->scope->data, which[node->op - FN_SUCCESS]));
    return 0;
}

int expr_eval_call(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    if (node->op == FN_HAS) {
        return call_has(ev, node, ret);
    }
    if (expr_fns[node->op].status) {
        return call_status(ev, node, ret);
    }
    struct sl_value args[2];
    SL_ASSERT(node->n >= 1 && node->n <= 2);
    for (size_t i = 0; i < node->n; i++) {
        int r = expr_eval_node(ev, node->args[i], &args[i]);
        if (r < 0) {
            return r;
        }
    }
    switch (node->op) {
    case FN_SIZE: return call_size(ev, node, &args[0], ret);
    case FN_STRING: return call_string(ev, node, &args[0], ret);
    case FN_INT: return call_int(ev, node, &args[0], ret);
    case FN_DOUBLE: return call_double(ev, node, &args[0], ret);
    default: SL_ASSERT(node->n == 2); return call_text(ev, node, args, ret);
    }
}

int expr_items(struct evaluation *ev, const struct node *node, const struct sl_value *of,
               struct sl_value **ret, size_t *ret_n)
{
    if (of->type == SL_V_LIST) {
        *ret = of->list.items;
        *ret_n = of->list.n;
        return 0;
    }
    if (of->type != SL_V_MAP) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "%s() needs a list or a map",
                         expr_fns[node->op].name);
    }
    int r = expr_spend(ev, node, of->map.n);
    if (r < 0) {
        return r;
    }
    struct sl_value *keys = SL_ARENA_ARRAY(ev->arena, struct sl_value, of->map.n + 1);
    for (size_t i = 0; i < of->map.n; i++) {
        keys[i] = (struct sl_value){.type = SL_V_STRING, .s = sl_str_c(of->map.fields[i].name)};
    }
    *ret = keys;
    *ret_n = of->map.n;
    return 0;
}

/** Evaluates a macro's body for one item; all but map() want a bool. */
static int eval_body(struct evaluation *ev, const struct node *node, const struct sl_value *item,
                     struct sl_value *ret)
{
    struct bound_var var = {.name = node->name, .value = item, .outer = ev->vars};
    const struct node *body = node->args[1];
    ev->vars = &var;
    int r = expr_eval_node(ev, body, ret);
    ev->vars = var.outer;
    if (r == 0 && node->op != FN_MAP && ret->type != SL_V_BOOL) {
        return expr_fail(ev->err, SL_EINVAL, body->at, body->width, "expected a bool, not a %s",
                         sl_value_type_name(ret->type));
    }
    return r;
}

/** map() and filter(). */
static int eval_listing(struct evaluation *ev, const struct node *node, struct sl_value *items,
                        size_t n, struct sl_value *ret)
{
    struct sl_value list = {.type = SL_V_LIST};
    list.list.items = SL_ARENA_ARRAY(ev->arena, struct sl_value, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct sl_value value;
        int r = eval_body(ev, node, &items[i], &value);
        if (r < 0) {
            return r;
        }
        if (node->op == FN_MAP) {
            list.list.items[list.list.n++] = value;
        } else if (value.b) {
            list.list.items[list.list.n++] = items[i];
        }
    }
    *ret = list;
    return 0;
}

int expr_eval_macro(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    struct sl_value of;
    struct sl_value *items = NULL;
    size_t n = 0;
    int r = expr_eval_node(ev, node->args[0], &of);
    if (r == 0) {
        r = expr_items(ev, node, &of, &items, &n);
    }
    if (r == 0) {
        r = expr_spend(ev, node, n);
    }
    if (r < 0) {
        return r;
    }
    if (node->op == FN_MAP || node->op == FN_FILTER) {
        return eval_listing(ev, node, items, n, ret);
    }
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) {
        struct sl_value value;
        r = eval_body(ev, node, &items[i], &value);
        if (r < 0) {
            return r;
        }
        hits += value.b;
        if ((node->op == FN_ALL && !value.b) || (node->op == FN_EXISTS && value.b)) {
            break;
        }
    }
    bool holds = node->op == FN_ALL ? hits == n : node->op == FN_EXISTS ? hits > 0 : hits == 1;
    *ret = of_bool(holds);
    return 0;
}
