/**
 * The parser's other half: literals, names, calls, macros, and what follows them (".", "[]").
 *
 * Thread: any. Must not: evaluate.
 */
#include "core/base/base.h"

#include "core/expr/parse_priv.h"

#include <stdlib.h>

#define METHOD .method = true
#define GLOBAL .global = true

const struct fn_info expr_fns[FN_COUNT] = {
    [FN_SIZE] = {.name = "size", METHOD, GLOBAL, .n_args = 0},
    [FN_STRING] = {.name = "string", GLOBAL, .n_args = 1},
    [FN_INT] = {.name = "int", GLOBAL, .n_args = 1},
    [FN_DOUBLE] = {.name = "double", GLOBAL, .n_args = 1},
    [FN_HAS] = {.name = "has", GLOBAL, .n_args = 1},
    [FN_STARTS_WITH] = {.name = "startsWith", METHOD, .n_args = 1},
    [FN_ENDS_WITH] = {.name = "endsWith", METHOD, .n_args = 1},
    [FN_CONTAINS] = {.name = "contains", METHOD, .n_args = 1},
    [FN_MATCHES] = {.name = "matches", METHOD, GLOBAL, .n_args = 1},
    [FN_SUCCESS] = {.name = "success", GLOBAL, .status = true},
    [FN_FAILURE] = {.name = "failure", GLOBAL, .status = true},
    [FN_ALWAYS] = {.name = "always", GLOBAL, .status = true},
    [FN_CANCELLED] = {.name = "cancelled", GLOBAL, .status = true},
    [FN_ALL] = {.name = "all", METHOD, .macro = true},
    [FN_EXISTS] = {.name = "exists", METHOD, .macro = true},
    [FN_EXISTS_ONE] = {.name = "exists_one", METHOD, .macro = true},
    [FN_MAP] = {.name = "map", METHOD, .macro = true},
    [FN_FILTER] = {.name = "filter", METHOD, .macro = true},
};

static const char *const reserved_words[] = {
    "as", "break", "const", "continue",  "else",    "for",    "function", "if",   "import",
    "in", "let",   "loop",  "namespace", "package", "return", "var",      "void", "while",
};

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < SL_LEN(reserved_words); i++) {
        if (sl_streq(name, reserved_words[i])) {
            return true;
        }
    }
    return false;
}

/** The function of that name for the way it is called; FN_COUNT, with err filled, when there is none. */
static enum expr_fn find_fn(struct expr_parser *p, const char *name, size_t at, bool method)
{
    const char *names[FN_COUNT];
    size_t n = 0;
    size_t width = strlen(name);
    for (int i = 0; i < FN_COUNT; i++) {
        bool fits = method ? expr_fns[i].method : expr_fns[i].global;
        if (sl_streq(expr_fns[i].name, name)) {
            if (fits) {
                return (enum expr_fn)i;
            }
            (void)expr_fail(p->err, SL_EINVAL, at, width,
                            method ? "'%s' is not called on a value: write %s(value)"
                                   : "'%s' is called on a value: write value.%s(...)",
                            name, name);
            return FN_COUNT;
        }
        if (fits) {
            names[n++] = expr_fns[i].name;
        }
    }
    const char *near = sl_nearest(name, names, n);
    (void)expr_fail(p->err, SL_EINVAL, at, width, "unknown function '%.60s'%s%s%s", name,
                    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                    near != NULL ? "'?" : "");
    return FN_COUNT;
}

/** Expressions up to `close`, which is taken too; a trailing comma is allowed in lists and maps. */
static int parse_items(struct expr_parser *p, char close, bool pairs, struct node ***ret,
                       size_t *ret_n)
{
    SL_VEC(struct node *) items = {0};
    int r = 0;
    while (r == 0 && !expr_is_punct(p, close)) {
        struct node *item = NULL;
        r = expr_parse_any(p, &item);
        if (r == 0) {
            sl_vec_push(&items, item);
        }
        if (r == 0 && pairs) {
            r = expr_expect(p, ':', "':' and the value of the key");
            if (r == 0) {
                r = expr_parse_any(p, &item);
            }
            if (r == 0) {
                sl_vec_push(&items, item);
            }
        }
        if (r == 0 && !expr_is_punct(p, ',')) {
            break;
        }
        if (r == 0) {
            r = expr_advance(p);
        }
    }
    const char *wanted = close == ')' ? "',' or ')'" : close == ']' ? "',' or ']'" : "',' or '}'";
    if (r == 0) {
        r = expr_expect(p, close, wanted);
    }
    if (r == 0) {
        *ret_n = items.n;
        *ret = items.n == 0
                   ? NULL
                   : sl_arena_memdup(p->lex.arena, items.items, items.n * sizeof(struct node *));
    }
    sl_vec_free(&items);
    return r;
}

static int check_arguments(struct expr_parser *p, enum expr_fn fn, const struct node *call,
                           bool method)
{
    const struct fn_info *info = &expr_fns[fn];
    size_t want = info->n_args;
    if (!method && info->method) {
        want++;
    }
    size_t got = call->n - (method ? 1u : 0u);
    if (got != want) {
        return expr_fail(p->err, SL_EINVAL, call->at, call->width,
                         "%s() takes %zu argument%s, not %zu", info->name, want,
                         want == 1 ? "" : "s", got);
    }
    if (fn == FN_HAS && call->args[0]->kind != NODE_FIELD) {
        return expr_fail(p->err, SL_EINVAL, call->args[0]->at, call->args[0]->width,
                         "has() asks for a field: has(value.field)");
    }
    return 0;
}

/** A literal pattern is compiled here, so that a mistake in it is found before anything runs. */
static int compile_pattern(struct expr_parser *p, struct node *call)
{
    const struct node *pattern = call->args[call->n - 1];
    if (pattern->kind != NODE_LITERAL || pattern->value.type != SL_V_STRING) {
        return 0;
    }
    size_t at = 0;
    const char *msg = NULL;
    call->regex = sl_regex_compile(p->lex.arena, pattern->value.s, &at, &msg);
    if (call->regex == NULL) {
        return expr_fail(p->err, SL_EINVAL, pattern->at, pattern->width,
                         "bad pattern at character %zu: %s", at + 1, msg);
    }
    return 0;
}

/** `receiver.all(v, body)` after its "(". */
static int parse_macro(struct expr_parser *p, enum expr_fn fn, size_t at, struct node *receiver,
                       struct node **ret)
{
    if (p->lex.token != TOK_IDENT) {
        return expr_token_unexpected(p, "the name of a variable, then ',' and an expression");
    }
    const char *var = sl_arena_strndup(p->lex.arena, p->lex.string.ptr, p->lex.string.len);
    if (is_reserved(var) || sl_streq(var, "true") || sl_streq(var, "false") ||
        sl_streq(var, "null")) {
        return expr_token_unexpected(p, "the name of a variable");
    }
    int r = expr_advance(p);
    if (r == 0) {
        r = expr_expect(p, ',', "',' and an expression");
    }
    struct node *args[2] = {receiver, NULL};
    if (r == 0) {
        r = expr_parse_any(p, &args[1]);
    }
    if (r == 0) {
        r = expr_expect(p, ')', "')'");
    }
    if (r == 0) {
        r = expr_node_new(p, NODE_MACRO, at, args, 2, ret);
    }
    if (r == 0) {
        (*ret)->op = (int)fn;
        (*ret)->name = var;
    }
    return r;
}

/** A call after its "("; receiver is NULL for a function. */
static int parse_call(struct expr_parser *p, enum expr_fn fn, size_t at, struct node *receiver,
                      struct node **ret)
{
    struct node **items = NULL;
    size_t n = 0;
    int r = parse_items(p, ')', false, &items, &n);
    if (r < 0) {
        return r;
    }
    struct node *args[4] = {receiver, NULL, NULL, NULL};
    size_t n_args = receiver != NULL ? 1 : 0;
    for (size_t i = 0; i < n && n_args < SL_LEN(args); i++) {
        args[n_args++] = items[i];
    }
    r = expr_node_new(p, NODE_CALL, at, args, n_args, ret);
    if (r == 0) {
        (*ret)->op = (int)fn;
        r = check_arguments(p, fn, *ret, receiver != NULL);
    }
    return r == 0 && fn == FN_MATCHES ? compile_pattern(p, *ret) : r;
}

static void set_path(struct expr_parser *p, struct node *node, const struct node *base,
                     const char *part)
{
    int n = base != NULL ? base->n_path : 0;
    if (base != NULL && (base->path == NULL || base->mapped || base->kind == NODE_STAR)) {
        return;
    }
    if (n >= 8) {
        return;
    }
    node->path = SL_ARENA_ARRAY(p->lex.arena, const char *, n + 1);
    if (n > 0) {
        memcpy(node->path, base->path, (size_t)n * sizeof(*node->path));
    }
    node->path[n] = part;
    node->n_path = n + 1;
}

/** ".name" or ".method(...)" after its ".". */
static int parse_member(struct expr_parser *p, size_t at, struct node *base, struct node **ret)
{
    if (p->lex.token != TOK_IDENT) {
        return expr_token_unexpected(p, "the name of a field");
    }
    size_t name_at = p->lex.at;
    const char *name = sl_arena_strndup(p->lex.arena, p->lex.string.ptr, p->lex.string.len);
    int r = expr_advance(p);
    if (r < 0) {
        return r;
    }
    if (expr_is_punct(p, '(')) {
        enum expr_fn fn = find_fn(p, name, name_at, true);
        if (fn == FN_COUNT) {
            return -SL_EINVAL;
        }
        r = expr_advance(p);
        if (r < 0) {
            return r;
        }
        return expr_fns[fn].macro ? parse_macro(p, fn, at, base, ret)
                                  : parse_call(p, fn, at, base, ret);
    }
    r = expr_node_new(p, NODE_FIELD, at, &base, 1, ret);
    if (r == 0) {
        (*ret)->name = name;
        (*ret)->mapped = base->mapped || base->kind == NODE_STAR;
        set_path(p, *ret, base, name);
    }
    return r;
}

/** "[index]" or "[*]" after its "[". */
static int parse_index(struct expr_parser *p, size_t at, struct node *base, struct node **ret)
{
    if (expr_is_punct(p, '*')) {
        if (base->mapped || base->kind == NODE_STAR) {
            return expr_fail(p->err, SL_EINVAL, p->lex.at, 1, "only one [*] in a path");
        }
        int r = expr_advance(p);
        if (r == 0) {
            r = expr_expect(p, ']', "']'");
        }
        return r < 0 ? r : expr_node_new(p, NODE_STAR, at, &base, 1, ret);
    }
    struct node *pair[2] = {base, NULL};
    int r = expr_parse_any(p, &pair[1]);
    if (r == 0) {
        r = expr_expect(p, ']', "']'");
    }
    if (r == 0) {
        r = expr_node_new(p, NODE_INDEX, at, pair, 2, ret);
    }
    if (r == 0) {
        (*ret)->mapped = base->mapped || base->kind == NODE_STAR;
        if (pair[1]->kind == NODE_LITERAL && pair[1]->value.type == SL_V_STRING) {
            set_path(p, *ret, base, pair[1]->value.s.ptr);
        }
    }
    return r;
}

static int literal(struct expr_parser *p, struct sl_value value, struct node **ret)
{
    size_t at = p->lex.at;
    int r = expr_advance(p);
    if (r == 0) {
        r = expr_node_new(p, NODE_LITERAL, at, NULL, 0, ret);
    }
    if (r == 0) {
        (*ret)->value = value;
    }
    return r;
}

static int parse_integer(struct expr_parser *p, struct node **ret)
{
    uint64_t magnitude = p->lex.integer;
    uint64_t most = (uint64_t)INT64_MAX + (p->negative ? 1u : 0u);
    if (magnitude > most) {
        return expr_fail(p->err, SL_EINVAL, p->lex.at, p->lex.width, "integer out of range '%.*s'",
                         (int)SL_MIN(p->lex.width, (size_t)60), p->lex.text + p->lex.at);
    }
    int64_t value = 0;
    if (p->negative) {
        value = magnitude == most ? INT64_MIN : -(int64_t)magnitude;
    } else {
        value = (int64_t)magnitude;
    }
    return literal(p, (struct sl_value){.type = SL_V_INT, .i = value}, ret);
}

/** A name: true, false, null, a function, or a root of the scope. */
static int parse_name(struct expr_parser *p, struct node **ret)
{
    size_t at = p->lex.at;
    size_t width = p->lex.width;
    const char *name = sl_arena_strndup(p->lex.arena, p->lex.string.ptr, p->lex.string.len);
    if (sl_streq(name, "null")) {
        return literal(p, (struct sl_value){.type = SL_V_NULL}, ret);
    }
    if (sl_streq(name, "true") || sl_streq(name, "false")) {
        return literal(p, (struct sl_value){.type = SL_V_BOOL, .b = name[0] == 't'}, ret);
    }
    if (is_reserved(name)) {
        return expr_fail(p->err, SL_EINVAL, at, width, "'%s' is a reserved word", name);
    }
    int r = expr_advance(p);
    if (r < 0) {
        return r;
    }
    if (expr_is_punct(p, '(')) {
        enum expr_fn fn = find_fn(p, name, at, false);
        r = fn == FN_COUNT ? -SL_EINVAL : expr_advance(p);
        return r < 0 ? r : parse_call(p, fn, at, NULL, ret);
    }
    r = expr_node_new(p, NODE_IDENT, at, NULL, 0, ret);
    if (r == 0) {
        (*ret)->name = name;
        set_path(p, *ret, NULL, name);
    }
    return r;
}

/** "(...)", "[...]" or "{...}". */
static int parse_bracket(struct expr_parser *p, struct node **ret)
{
    size_t at = p->lex.at;
    char open = p->lex.punct;
    int r = expr_advance(p);
    if (r < 0) {
        return r;
    }
    if (open == '(') {
        r = expr_parse_any(p, ret);
        if (r == 0) {
            r = expr_expect(p, ')', "')'");
        }
        if (r == 0) { /* the parentheses belong to the text shown for it */
            (*ret)->at = (uint32_t)at;
            (*ret)->width = (uint32_t)(p->last_end - at);
        }
        return r;
    }
    struct node **items = NULL;
    size_t n = 0;
    r = parse_items(p, open == '[' ? ']' : '}', open == '{', &items, &n);
    return r < 0 ? r : expr_node_new(p, open == '[' ? NODE_LIST : NODE_MAP, at, items, n, ret);
}

static int parse_primary(struct expr_parser *p, struct node **ret)
{
    switch (p->lex.token) {
    case TOK_INT: return parse_integer(p, ret);
    case TOK_DOUBLE: {
        double d = p->negative ? -p->lex.number : p->lex.number;
        return literal(p, (struct sl_value){.type = SL_V_DOUBLE, .d = d}, ret);
    }
    case TOK_STRING:
        return literal(p, (struct sl_value){.type = SL_V_STRING, .s = p->lex.string}, ret);
    case TOK_IDENT: return parse_name(p, ret);
    case TOK_PUNCT:
        if (expr_is_punct(p, '(') || expr_is_punct(p, '[') || expr_is_punct(p, '{')) {
            return parse_bracket(p, ret);
        }
        break;
    case TOK_END:
    case TOK_AND:
    case TOK_OR:
    case TOK_EQ:
    case TOK_NE:
    case TOK_LE:
    case TOK_GE:
    case TOK_LT:
    case TOK_GT: break;
    }
    return expr_token_unexpected(p, "a value");
}

int expr_parse_postfix(struct expr_parser *p, struct node **ret)
{
    size_t at = p->lex.at;
    struct node *node = NULL;
    int r = parse_primary(p, &node);
    p->negative = false;
    while (r == 0 && (expr_is_punct(p, '.') || expr_is_punct(p, '['))) {
        bool member = p->lex.punct == '.';
        r = expr_advance(p);
        if (r == 0) {
            r = member ? parse_member(p, at, node, &node) : parse_index(p, at, node, &node);
        }
    }
    *ret = node;
    return r;
}
