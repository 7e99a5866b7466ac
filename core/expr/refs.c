/**
 * Which names an expression mentions, without evaluating it: for inferred needs and cache keys.
 *
 * Thread: any. Must not: report a macro's own variable, which belongs to nobody outside.
 */
#include "core/base/base.h"

#include "core/expr/expr_priv.h"

#include <stdio.h>

struct walk {
    sl_expr_ref_fn fn;
    void *data;
};

static bool is_bound(const struct bound_var *vars, const char *name)
{
    for (; vars != NULL; vars = vars->outer) {
        if (sl_streq(vars->name, name)) {
            return true;
        }
    }
    return false;
}

static bool is_member(const struct node *node)
{
    return node->kind == NODE_FIELD || node->kind == NODE_INDEX || node->kind == NODE_STAR;
}

/** The path part that a member adds; NULL when it is not known before evaluation. */
static const char *member_part(const struct node *node)
{
    if (node->kind == NODE_STAR) {
        return "*";
    }
    if (node->kind == NODE_FIELD) {
        return node->name;
    }
    const struct node *index = node->args[1];
    bool text = index->kind == NODE_LITERAL && index->value.type == SL_V_STRING;
    return text ? index->value.s.ptr : NULL;
}

/** Fills the reference from the root outwards; true while the path is still literal. */
static bool collect(const struct node *node, struct sl_expr_ref *ref)
{
    if (node->kind == NODE_IDENT) {
        ref->parts[ref->n++] = node->name;
        return true;
    }
    const char *part = member_part(node);
    if (!collect(node->args[0], ref) || part == NULL || ref->n >= (int)SL_LEN(ref->parts)) {
        return false;
    }
    ref->parts[ref->n++] = part;
    return true;
}

static void walk_node(const struct walk *w, const struct node *node, const struct bound_var *vars);

/** A chain of members: reported as one reference when it begins at a name of the scope. */
static void walk_chain(const struct walk *w, const struct node *node, const struct bound_var *vars)
{
    const struct node *root = node;
    for (; is_member(root); root = root->args[0]) {
        if (root->kind == NODE_INDEX) {
            walk_node(w, root->args[1], vars);
        }
    }
    if (root->kind != NODE_IDENT) {
        walk_node(w, root, vars);
        return;
    }
    if (!is_bound(vars, root->name)) {
        struct sl_expr_ref ref = {.offset = node->at, .width = node->width};
        (void)collect(node, &ref);
        w->fn(&ref, w->data);
    }
}

static void walk_node(const struct walk *w, const struct node *node, const struct bound_var *vars)
{
    if (node->kind == NODE_IDENT || is_member(node)) {
        walk_chain(w, node, vars);
        return;
    }
    if (node->kind == NODE_MACRO) {
        struct bound_var var = {.name = node->name, .outer = vars};
        walk_node(w, node->args[0], vars);
        walk_node(w, node->args[1], &var);
        return;
    }
    for (size_t i = 0; i < node->n; i++) {
        walk_node(w, node->args[i], vars);
    }
}

void sl_expr_refs(const struct sl_expr *x, sl_expr_ref_fn fn, void *data)
{
    struct walk w = {.fn = fn, .data = data};
    walk_node(&w, x->root, NULL);
}

static bool mentions_status(const struct node *node)
{
    if (node->kind == NODE_CALL && expr_fns[node->op].status) {
        return true;
    }
    for (size_t i = 0; i < node->n; i++) {
        if (mentions_status(node->args[i])) {
            return true;
        }
    }
    return false;
}

static void note_status(const struct sl_expr_ref *ref, void *data)
{
    bool *found = data;
    if (ref->n < 3 || !sl_streq(ref->parts[0], "steps")) {
        return;
    }
    int at = sl_streq(ref->parts[2], "*") ? 3 : 2; /* steps.train[*].status */
    *found = *found || (at < ref->n && sl_streq(ref->parts[at], "status"));
}

bool sl_expr_mentions_status(const struct sl_expr *x)
{
    bool found = mentions_status(x->root);
    sl_expr_refs(x, note_status, &found);
    return found;
}

struct whole {
    struct sl_expr_ref first;
    size_t n;
};

static void note_whole(const struct sl_expr_ref *ref, void *data)
{
    struct whole *w = data;
    if (w->n++ == 0) {
        w->first = *ref;
    }
}

bool sl_tmpl_ref(const struct sl_tmpl *t, struct sl_expr_ref *ret)
{
    struct whole w = {.n = 0};
    const struct sl_expr *x = sl_tmpl_single(t);
    if (x == NULL) {
        return false;
    }
    sl_expr_refs(x, note_whole, &w);
    if (w.n != 1 || w.first.width != strlen(sl_expr_source(x))) {
        return false;
    }
    *ret = w.first;
    return true;
}
