/**
 * The parser: recursive descent by precedence, every nesting counted against SL_EXPR_DEPTH_MAX.
 *
 * Thread: any. Must not: evaluate; a tree that leaves here has names and shapes checked, not types.
 * Grammar: the Common Expression Language definition, "Syntax".
 */
#include "core/base/base.h"

#include "core/expr/parse_priv.h"

#include <stdlib.h>

int expr_token_unexpected(struct expr_parser *p, const char *wanted)
{
    const struct expr_lex *lex = &p->lex;
    if (lex->token == TOK_END) {
        return expr_fail(p->err, SL_EINVAL, lex->at, 1,
                         "the expression ends too early: expected %s", wanted);
    }
    return expr_fail(p->err, SL_EINVAL, lex->at, lex->width, "unexpected '%.*s': expected %s",
                     (int)SL_MIN(lex->width, (size_t)60), lex->text + lex->at, wanted);
}

bool expr_is_punct(const struct expr_parser *p, char c)
{
    return p->lex.token == TOK_PUNCT && p->lex.punct == c;
}

int expr_expect(struct expr_parser *p, char c, const char *wanted)
{
    if (!expr_is_punct(p, c)) {
        return expr_token_unexpected(p, wanted);
    }
    p->last_end = p->lex.pos;
    return expr_lex_next(&p->lex);
}

int expr_advance(struct expr_parser *p)
{
    p->last_end = p->lex.pos;
    return expr_lex_next(&p->lex);
}

int expr_node_new(struct expr_parser *p, enum node_kind kind, size_t at, struct node *const *args,
                  size_t n, struct node **ret)
{
    struct node *node = SL_ARENA_NEW(p->lex.arena, struct node);
    node->kind = kind;
    node->at = (uint32_t)at;
    node->width = (uint32_t)(p->last_end - at);
    node->n = (uint16_t)n;
    uint16_t height = 0;
    for (size_t i = 0; i < n; i++) {
        height = SL_MAX(height, args[i]->height);
    }
    node->height = (uint16_t)(height + 1);
    if (node->height > EXPR_HEIGHT_MAX) {
        return expr_fail(p->err, SL_ELIMIT, at, node->width,
                         "expression too long: more than %d operators in a row", EXPR_HEIGHT_MAX);
    }
    if (n > 0) {
        node->args = sl_arena_memdup(p->lex.arena, args, n * sizeof(*args));
    }
    *ret = node;
    return 0;
}

static int enter(struct expr_parser *p)
{
    if (++p->depth > SL_EXPR_DEPTH_MAX) {
        return expr_fail(p->err, SL_ELIMIT, p->lex.at, p->lex.width,
                         "nested more than %d levels deep", SL_EXPR_DEPTH_MAX);
    }
    return 0;
}

/** "!" and "-", each a level of nesting; -9223372036854775808 is one literal. */
static int parse_unary(struct expr_parser *p, struct node **ret)
{
    size_t at = p->lex.at;
    bool negate = expr_is_punct(p, '-');
    if (!negate && !expr_is_punct(p, '!')) {
        return expr_parse_postfix(p, ret);
    }
    int r = enter(p);
    if (r == 0) {
        r = expr_advance(p);
    }
    struct node *operand = NULL;
    bool folds = r == 0 && negate && (p->lex.token == TOK_INT || p->lex.token == TOK_DOUBLE);
    p->negative = folds;
    if (r == 0) {
        r = parse_unary(p, &operand);
    }
    p->negative = false;
    p->depth--;
    if (r < 0) {
        return r;
    }
    if (folds) { /* the literal took the sign; in "-1[0]" it stands deeper */
        operand->at = (uint32_t)at;
        operand->width = (uint32_t)(p->last_end - at);
        *ret = operand;
        return 0;
    }
    return expr_node_new(p, negate ? NODE_NEGATE : NODE_NOT, at, &operand, 1, ret);
}

static int parse_product(struct expr_parser *p, struct node **ret)
{
    size_t at = p->lex.at;
    struct node *pair[2] = {NULL, NULL};
    int r = parse_unary(p, &pair[0]);
    while (r == 0 && (expr_is_punct(p, '*') || expr_is_punct(p, '/') || expr_is_punct(p, '%'))) {
        char op = p->lex.punct;
        r = expr_advance(p);
        if (r == 0) {
            r = parse_unary(p, &pair[1]);
        }
        if (r == 0) {
            r = expr_node_new(p, NODE_ARITH, at, pair, 2, ret);
        }
        if (r == 0) {
            (*ret)->op = op;
            pair[0] = *ret;
        }
    }
    *ret = pair[0];
    return r;
}

static int parse_sum(struct expr_parser *p, struct node **ret)
{
    size_t at = p->lex.at;
    struct node *pair[2] = {NULL, NULL};
    int r = parse_product(p, &pair[0]);
    while (r == 0 && (expr_is_punct(p, '+') || expr_is_punct(p, '-'))) {
        char op = p->lex.punct;
        r = expr_advance(p);
        if (r == 0) {
            r = parse_product(p, &pair[1]);
        }
        if (r == 0) {
            r = expr_node_new(p, NODE_ARITH, at, pair, 2, ret);
        }
        if (r == 0) {
            (*ret)->op = op;
            pair[0] = *ret;
        }
    }
    *ret = pair[0];
    return r;
}

static bool is_relation(const struct expr_parser *p)
{
    if (p->lex.token >= TOK_EQ && p->lex.token <= TOK_GT) {
        return true;
    }
    return p->lex.token == TOK_IDENT && sl_str_eq(p->lex.string, "in");
}

/** Comparisons and `in`. `a < b < c` parses in CEL and never type-checks: refused here, with words. */
static int parse_relation(struct expr_parser *p, struct node **ret)
{
    size_t at = p->lex.at;
    struct node *pair[2] = {NULL, NULL};
    int r = parse_sum(p, &pair[0]);
    if (r < 0 || !is_relation(p)) {
        *ret = pair[0];
        return r;
    }
    bool is_in = p->lex.token == TOK_IDENT;
    int op = (int)p->lex.token;
    r = expr_advance(p);
    if (r == 0) {
        r = parse_sum(p, &pair[1]);
    }
    if (r == 0) {
        r = expr_node_new(p, is_in ? NODE_IN : NODE_COMPARE, at, pair, 2, ret);
    }
    if (r == 0) {
        (*ret)->op = op;
    }
    if (r == 0 && is_relation(p)) {
        return expr_fail(p->err, SL_EINVAL, p->lex.at, p->lex.width,
                         "comparisons do not chain: write 'a < b && b < c'");
    }
    return r;
}

/** `&&` and `||` take all their operands at once, so that long rules stay flat. */
static int parse_logic(struct expr_parser *p, enum expr_token token, struct node **ret)
{
    size_t at = p->lex.at;
    SL_VEC(struct node *) operands = {0};
    int r = 0;
    for (;;) {
        struct node *operand = NULL;
        r = token == TOK_OR ? parse_logic(p, TOK_AND, &operand) : parse_relation(p, &operand);
        if (r < 0) {
            break;
        }
        sl_vec_push(&operands, operand);
        if (p->lex.token != token) {
            break;
        }
        r = expr_advance(p);
        if (r < 0) {
            break;
        }
    }
    if (r == 0 && operands.n == 1) {
        *ret = operands.items[0];
    } else if (r == 0) {
        r = expr_node_new(p, token == TOK_OR ? NODE_OR : NODE_AND, at, operands.items, operands.n,
                          ret);
    }
    sl_vec_free(&operands);
    return r;
}

int expr_parse_any(struct expr_parser *p, struct node **ret)
{
    size_t at = p->lex.at;
    struct node *parts[3] = {NULL, NULL, NULL};
    int r = enter(p);
    if (r == 0) {
        r = parse_logic(p, TOK_OR, &parts[0]);
    }
    if (r == 0 && expr_is_punct(p, '?')) {
        r = expr_advance(p);
        if (r == 0) {
            r = parse_logic(p, TOK_OR, &parts[1]);
        }
        if (r == 0) {
            r = expr_expect(p, ':', "':' and the value when false");
        }
        if (r == 0) {
            r = expr_parse_any(p, &parts[2]);
        }
        if (r == 0) {
            r = expr_node_new(p, NODE_COND, at, parts, 3, &parts[0]);
        }
    }
    p->depth--;
    *ret = parts[0];
    return r;
}

static const char *trimmed_copy(struct sl_arena *a, const char *text, size_t from, size_t to)
{
    while (from < to && strchr(" \t\r\n", text[from]) != NULL) {
        from++;
    }
    while (to > from && strchr(" \t\r\n", text[to - 1]) != NULL) {
        to--;
    }
    return sl_arena_strndup(a, text + from, to - from);
}

int expr_parse_at(struct sl_arena *a, const char *text, size_t pos, size_t end, bool in_template,
                  const struct sl_expr **ret, size_t *ret_end, struct sl_expr_err *e)
{
    struct expr_parser parser = {
        .lex = {.text = text, .pos = pos, .end = end, .arena = a, .err = e},
        .err = e,
        .last_end = pos,
    };
    struct expr_parser *p = &parser;
    int r = expr_lex_next(&p->lex);
    if (r == 0 && (p->lex.token == TOK_END || (in_template && expr_is_punct(p, '}')))) {
        return expr_fail(e, SL_EINVAL, p->lex.at, 1, "empty expression");
    }
    struct node *root = NULL;
    if (r == 0) {
        r = expr_parse_any(p, &root);
    }
    if (r < 0) {
        return r;
    }
    size_t stop = p->lex.at;
    if (in_template) {
        if (!expr_is_punct(p, '}') || stop + 1 >= end || text[stop + 1] != '}') {
            return expr_token_unexpected(p, "an operator or '}}'");
        }
        *ret_end = stop + 2;
    } else if (p->lex.token != TOK_END) {
        return expr_token_unexpected(p, "an operator or the end");
    }
    if (stop - pos > SL_EXPR_LEN_MAX) {
        return expr_fail(e, SL_ELIMIT, pos, 1, "expression longer than %d bytes", SL_EXPR_LEN_MAX);
    }
    struct sl_expr *x = SL_ARENA_NEW(a, struct sl_expr);
    x->text = text;
    x->source = trimmed_copy(a, text, pos, stop);
    x->root = root;
    *ret = x;
    return 0;
}

int sl_expr_parse(struct sl_arena *a, struct sl_str text, const struct sl_expr **ret,
                  struct sl_expr_err *e)
{
    if (text.len > SL_EXPR_LEN_MAX) {
        return expr_fail(e, SL_ELIMIT, 0, 1, "expression longer than %d bytes", SL_EXPR_LEN_MAX);
    }
    size_t valid = sl_utf8_check(text.ptr, text.len);
    if (valid < text.len) {
        return expr_fail(e, SL_EINVAL, valid, 1, "invalid UTF-8");
    }
    const char *copy = sl_arena_strndup(a, text.len > 0 ? text.ptr : "", text.len);
    return expr_parse_at(a, copy, 0, text.len, false, ret, NULL, e);
}

const char *sl_expr_source(const struct sl_expr *x)
{
    return x->source;
}

struct sl_str expr_node_text(const struct sl_expr *x, const struct node *node)
{
    return (struct sl_str){x->text + node->at, node->width};
}
