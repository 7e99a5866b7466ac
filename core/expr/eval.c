/**
 * The evaluator: walks the tree, strict from left to right, and counts every step against a cost.
 *
 * Thread: any (the tree and the scope's values are only read). Must not: run past SL_EXPR_COST_MAX
 * or turn a missing field into a value.
 */
#include "core/base/base.h"

#include "core/expr/expr_priv.h"

#include <stdlib.h>

#define SUGGEST_MAX 256 /* names looked at for a suggestion */

int expr_spend(struct evaluation *ev, const struct node *node, size_t steps)
{
    ev->cost += SL_MIN(steps, (size_t)SL_EXPR_COST_MAX);
    if (ev->cost > SL_EXPR_COST_MAX) {
        return expr_fail(ev->err, SL_ELIMIT, node->at, node->width,
                         "the expression takes more than %d steps", SL_EXPR_COST_MAX);
    }
    return 0;
}

static int fail_unknown(struct evaluation *ev, const struct node *node, const char *what,
                        const char *name, const char *near)
{
    return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "%s '%.60s'%s%s%s", what, name,
                     near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                     near != NULL ? "'?" : "");
}

static int eval_ident(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    for (const struct bound_var *v = ev->vars; v != NULL; v = v->outer) {
        if (sl_streq(v->name, node->name)) {
            *ret = *v->value;
            return 0;
        }
    }
    const struct sl_expr_scope *scope = ev->scope;
    const struct sl_value *found =
        scope->lookup != NULL ? scope->lookup(scope->data, node->name) : NULL;
    if (found != NULL) {
        *ret = *found;
        return 0;
    }
    size_t n = 0;
    while (scope->names != NULL && scope->names[n] != NULL) {
        n++;
    }
    return fail_unknown(ev, node, "unknown name", node->name,
                        n > 0 ? sl_nearest(node->name, scope->names, n) : NULL);
}

/** True when the path's root is a macro's variable, which hides the scope's name. */
static bool root_is_bound(const struct evaluation *ev, const char *root)
{
    for (const struct bound_var *v = ev->vars; v != NULL; v = v->outer) {
        if (sl_streq(v->name, root)) {
            return true;
        }
    }
    return false;
}

static const struct sl_value *lazy_field(const struct evaluation *ev, const struct node *node)
{
    if (node->path == NULL || ev->scope->field == NULL || root_is_bound(ev, node->path[0])) {
        return NULL;
    }
    return ev->scope->field(ev->scope->data, node->path, node->n_path);
}

static int fail_field(struct evaluation *ev, const struct node *node, const struct sl_value *map,
                      const char *name)
{
    const char *names[SUGGEST_MAX];
    size_t n = 0;
    for (; n < map->map.n && n < SUGGEST_MAX; n++) {
        names[n] = map->map.fields[n].name;
    }
    return fail_unknown(ev, node, "no field", name, n > 0 ? sl_nearest(name, names, n) : NULL);
}

static int get_field(struct evaluation *ev, const struct node *node, const struct sl_value *map,
                     const char *name, struct sl_value *ret)
{
    if (map->type != SL_V_MAP) {
        const char *hint = "";
        if (map->type == SL_V_LIST) {
            hint = "; [*] takes a field of every item";
        }
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "no field '%.60s' in a %s%s",
                         name, sl_value_type_name(map->type), hint);
    }
    int r = expr_spend(ev, node, map->map.n / 16);
    if (r < 0) {
        return r;
    }
    const struct sl_value *found = sl_value_get(map, name);
    if (found == NULL) {
        found = lazy_field(ev, node);
    }
    if (found == NULL) {
        return fail_field(ev, node, map, name);
    }
    *ret = *found;
    return 0;
}

static int get_index(struct evaluation *ev, const struct node *node, const struct sl_value *of,
                     const struct sl_value *index, struct sl_value *ret)
{
    if (of->type == SL_V_MAP && index->type == SL_V_STRING) {
        const char *name = sl_arena_strndup(ev->arena, index->s.ptr, index->s.len);
        return get_field(ev, node, of, name, ret);
    }
    if (of->type != SL_V_LIST || index->type != SL_V_INT) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "cannot index a %s with a %s",
                         sl_value_type_name(of->type), sl_value_type_name(index->type));
    }
    if (index->i < 0 || (uint64_t)index->i >= of->list.n) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width,
                         "index %lld is outside a list of %zu", (long long)index->i, of->list.n);
    }
    *ret = of->list.items[index->i];
    return 0;
}

static int get_member(struct evaluation *ev, const struct node *node, const struct sl_value *of,
                      const struct sl_value *index, struct sl_value *ret)
{
    return index != NULL ? get_index(ev, node, of, index, ret)
                         : get_field(ev, node, of, node->name, ret);
}

/** A field or index; after "[*]", of every item of the list. */
static int eval_member(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    struct sl_value of;
    struct sl_value index = {.type = SL_V_NULL};
    int r = expr_eval_node(ev, node->args[0], &of);
    if (r == 0 && node->kind == NODE_INDEX) {
        r = expr_eval_node(ev, node->args[1], &index);
    }
    if (r < 0) {
        return r;
    }
    const struct sl_value *by = node->kind == NODE_INDEX ? &index : NULL;
    if (!node->mapped) {
        return get_member(ev, node, &of, by, ret);
    }
    SL_ASSERT(of.type == SL_V_LIST);
    r = expr_spend(ev, node, of.list.n);
    if (r < 0) {
        return r;
    }
    struct sl_value list = {.type = SL_V_LIST};
    list.list.items = of.list.n > 0 ? SL_ARENA_ARRAY(ev->arena, struct sl_value, of.list.n) : NULL;
    for (; list.list.n < of.list.n && r == 0; list.list.n++) {
        r = get_member(ev, node, &of.list.items[list.list.n], by, &list.list.items[list.list.n]);
    }
    *ret = list;
    return r;
}

static int eval_star(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    int r = expr_eval_node(ev, node->args[0], ret);
    if (r == 0 && ret->type != SL_V_LIST) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "[*] needs a list, not a %s",
                         sl_value_type_name(ret->type));
    }
    return r;
}

static int eval_list(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    struct sl_value list = {.type = SL_V_LIST};
    list.list.items = node->n > 0 ? SL_ARENA_ARRAY(ev->arena, struct sl_value, node->n) : NULL;
    for (; list.list.n < node->n; list.list.n++) {
        int r = expr_eval_node(ev, node->args[list.list.n], &list.list.items[list.list.n]);
        if (r < 0) {
            return r;
        }
    }
    *ret = list;
    return 0;
}

static int eval_map(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    struct sl_value map = {.type = SL_V_MAP};
    size_t n = node->n / 2;
    map.map.fields = n > 0 ? SL_ARENA_ARRAY(ev->arena, struct sl_value_field, n) : NULL;
    for (size_t i = 0; i < n; i++) {
        const struct node *key_node = node->args[2 * i];
        struct sl_value key;
        int r = expr_eval_node(ev, key_node, &key);
        if (r < 0) {
            return r;
        }
        if (key.type != SL_V_STRING) {
            return expr_fail(ev->err, SL_EINVAL, key_node->at, key_node->width,
                             "a map's key is a string, not a %s", sl_value_type_name(key.type));
        }
        const char *name = sl_arena_strndup(ev->arena, key.s.ptr, key.s.len);
        if (sl_value_get(&map, name) != NULL) {
            return expr_fail(ev->err, SL_EINVAL, key_node->at, key_node->width,
                             "key '%.60s' given twice", name);
        }
        r = expr_spend(ev, node, i / 16);
        if (r == 0) {
            r = expr_eval_node(ev, node->args[2 * i + 1], &map.map.fields[i].value);
        }
        if (r < 0) {
            return r;
        }
        map.map.fields[i].name = name;
        map.map.n = i + 1;
    }
    *ret = map;
    return 0;
}

static int eval_bool(struct evaluation *ev, const struct node *node, bool *ret)
{
    struct sl_value v;
    int r = expr_eval_node(ev, node, &v);
    if (r == 0 && v.type != SL_V_BOOL) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "expected a bool, not a %s",
                         sl_value_type_name(v.type));
    }
    *ret = r == 0 && v.b;
    return r;
}

/** Stops at the first operand that decides; an error before it is an error. */
static int eval_logic(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    bool decides = node->kind == NODE_OR;
    bool value = !decides;
    for (size_t i = 0; i < node->n && value != decides; i++) {
        int r = eval_bool(ev, node->args[i], &value);
        if (r < 0) {
            return r;
        }
    }
    *ret = (struct sl_value){.type = SL_V_BOOL, .b = value};
    return 0;
}

static int eval_negate(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    int r = expr_eval_node(ev, node->args[0], ret);
    if (r < 0) {
        return r;
    }
    if (ret->type == SL_V_DOUBLE) {
        ret->d = -ret->d;
        return 0;
    }
    if (ret->type != SL_V_INT) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "cannot negate a %s",
                         sl_value_type_name(ret->type));
    }
    if (ret->i == INT64_MIN) {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width, "integer overflow");
    }
    ret->i = -ret->i;
    return 0;
}

static int eval_in(struct evaluation *ev, const struct node *node, const struct sl_value *item,
                   const struct sl_value *of, struct sl_value *ret)
{
    bool found = false;
    if (of->type == SL_V_LIST) {
        int r = expr_spend(ev, node, of->list.n);
        if (r < 0) {
            return r;
        }
        for (size_t i = 0; i < of->list.n && !found; i++) {
            found = sl_value_eq(item, &of->list.items[i]);
        }
    } else if (of->type == SL_V_MAP && item->type == SL_V_STRING) {
        int r = expr_spend(ev, node, of->map.n / 16);
        if (r < 0) {
            return r;
        }
        const char *name = sl_arena_strndup(ev->arena, item->s.ptr, item->s.len);
        found = sl_value_get(of, name) != NULL;
    } else {
        return expr_fail(ev->err, SL_EINVAL, node->at, node->width,
                         "cannot look for a %s in a %s%s", sl_value_type_name(item->type),
                         sl_value_type_name(of->type),
                         of->type == SL_V_STRING ? "; text.contains(part) looks inside text" : "");
    }
    *ret = (struct sl_value){.type = SL_V_BOOL, .b = found};
    return 0;
}

/** Operators with two operands, both always evaluated. */
static int eval_pair(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    struct sl_value left;
    struct sl_value right;
    int r = expr_eval_node(ev, node->args[0], &left);
    if (r == 0) {
        r = expr_eval_node(ev, node->args[1], &right);
    }
    if (r < 0) {
        return r;
    }
    if (node->kind == NODE_ARITH) {
        return expr_eval_arith(ev, node, &left, &right, ret);
    }
    if (node->kind == NODE_IN) {
        return eval_in(ev, node, &left, &right, ret);
    }
    bool holds = false;
    r = expr_eval_compare(ev, node, &left, &right, &holds);
    *ret = (struct sl_value){.type = SL_V_BOOL, .b = holds};
    return r;
}

int expr_eval_node(struct evaluation *ev, const struct node *node, struct sl_value *ret)
{
    *ret = (struct sl_value){.type = SL_V_NULL};
    int r = expr_spend(ev, node, 1);
    if (r < 0) {
        return r;
    }
    bool flag = false;
    switch (node->kind) {
    case NODE_LITERAL: *ret = node->value; return 0;
    case NODE_LIST: return eval_list(ev, node, ret);
    case NODE_MAP: return eval_map(ev, node, ret);
    case NODE_IDENT: return eval_ident(ev, node, ret);
    case NODE_FIELD:
    case NODE_INDEX: return eval_member(ev, node, ret);
    case NODE_STAR: return eval_star(ev, node, ret);
    case NODE_NOT:
        r = eval_bool(ev, node->args[0], &flag);
        *ret = (struct sl_value){.type = SL_V_BOOL, .b = !flag};
        return r;
    case NODE_NEGATE: return eval_negate(ev, node, ret);
    case NODE_ARITH:
    case NODE_COMPARE:
    case NODE_IN: return eval_pair(ev, node, ret);
    case NODE_AND:
    case NODE_OR: return eval_logic(ev, node, ret);
    case NODE_COND:
        r = eval_bool(ev, node->args[0], &flag);
        return r < 0 ? r : expr_eval_node(ev, node->args[flag ? 1 : 2], ret);
    case NODE_CALL: return expr_eval_call(ev, node, ret);
    case NODE_MACRO: return expr_eval_macro(ev, node, ret);
    }
    return expr_fail(ev->err, SL_EINTERNAL, node->at, node->width, "unknown kind of node");
}

int sl_expr_eval(const struct sl_expr *x, const struct sl_expr_scope *scope, struct sl_arena *a,
                 struct sl_value *ret, struct sl_expr_err *e)
{
    struct evaluation ev = {.scope = scope, .arena = a, .err = e};
    struct sl_value value;
    int r = expr_eval_node(&ev, x->root, &value);
    if (r == 0) {
        *ret = value;
    }
    return r;
}

int sl_expr_eval_bool(const struct sl_expr *x, const struct sl_expr_scope *scope,
                      struct sl_arena *a, bool *ret, struct sl_expr_err *e)
{
    struct evaluation ev = {.scope = scope, .arena = a, .err = e};
    bool value = false;
    int r = eval_bool(&ev, x->root, &value);
    if (r == 0) {
        *ret = value;
    }
    return r;
}
