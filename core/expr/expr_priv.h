/**
 * Inside of core/expr: tokens, the syntax tree and the evaluation state. Stays in this room.
 */
#ifndef SL_EXPR_PRIV_H
#define SL_EXPR_PRIV_H

#include "core/expr/expr.h"
#include "core/expr/regex.h"

/* Height of a syntax tree: what bounds the evaluator's recursion for flat chains ("a + b + c ..."). */
#define EXPR_HEIGHT_MAX 256

enum expr_token {
    TOK_END, /* end of text, or "}}" of a template */
    TOK_INT,
    TOK_DOUBLE,
    TOK_STRING,
    TOK_IDENT,
    TOK_AND,
    TOK_OR,
    TOK_EQ,
    TOK_NE,
    TOK_LE,
    TOK_GE,
    TOK_LT,
    TOK_GT,
    TOK_PUNCT /* one of + - * / % ! ? : . , ( ) [ ] { } */
};

struct expr_lex {
    const char *text;
    size_t pos, end;
    struct sl_arena *arena;
    struct sl_expr_err *err;
    /* the current token */
    enum expr_token token;
    char punct;
    size_t at, width;
    uint64_t integer; /* magnitude: the parser applies the sign */
    double number;
    struct sl_str string; /* decoded, for TOK_STRING; the spelling, for TOK_IDENT */
};

/** Moves to the next token. 0 or a negative code with err filled. */
int expr_lex_next(struct expr_lex *lex);
/** Decodes the string literal that starts at lex->pos (after any r/R); sets the token. */
int expr_lex_string(struct expr_lex *lex, bool raw);
/** Fills `e` (NULL allowed); returns -code. */
int expr_fail(struct sl_expr_err *e, int code, size_t at, size_t width, const char *fmt, ...)
    SL_PRINTF(5, 6);

enum node_kind {
    NODE_LITERAL,
    NODE_LIST,
    NODE_MAP, /* args: key, value, key, value ... */
    NODE_IDENT,
    NODE_FIELD, /* args[0].name */
    NODE_INDEX, /* args[0][args[1]] */
    NODE_STAR,  /* args[0][*] */
    NODE_NOT,
    NODE_NEGATE,
    NODE_ARITH,   /* op: + - * / % */
    NODE_COMPARE, /* op: enum expr_token TOK_EQ .. TOK_GT */
    NODE_IN,
    NODE_AND, /* args: two or more */
    NODE_OR,
    NODE_COND, /* args: condition, then, else */
    NODE_CALL, /* fn */
    NODE_MACRO /* args: list, body; var */
};

enum expr_fn {
    FN_SIZE,
    FN_STRING,
    FN_INT,
    FN_DOUBLE,
    FN_HAS,
    FN_STARTS_WITH,
    FN_ENDS_WITH,
    FN_CONTAINS,
    FN_MATCHES,
    FN_SUCCESS,
    FN_FAILURE,
    FN_ALWAYS,
    FN_CANCELLED,
    FN_ALL,
    FN_EXISTS,
    FN_EXISTS_ONE,
    FN_MAP,
    FN_FILTER,
    FN_COUNT
};

struct node {
    enum node_kind kind;
    int op; /* NODE_ARITH: character; NODE_COMPARE: token; NODE_CALL, NODE_MACRO: enum expr_fn */
    bool mapped;           /* field or index after "[*]": applies to every element */
    uint32_t at, width;    /* bytes of the text given to the parser */
    uint16_t height;       /* 1 for a leaf */
    uint16_t n;            /* of args */
    struct node **args;    /* operands */
    const char *name;      /* identifier, field, macro variable */
    struct sl_value value; /* NODE_LITERAL */
    const char **path;     /* literal path from a root identifier; NULL when there is none */
    int n_path;
    const struct sl_regex *regex; /* FN_MATCHES with a literal pattern */
};

struct sl_expr {
    const char *text; /* the whole text given to the parser, NUL-terminated */
    const char *source;
    const struct node *root;
};

/**
 * Parses the expression that starts at `pos` of `text` (NUL-terminated, in the arena).
 *
 * In a template the expression ends at "}}" and *ret_end is the offset after it.
 */
int expr_parse_at(struct sl_arena *a, const char *text, size_t pos, size_t end, bool in_template,
                  const struct sl_expr **ret, size_t *ret_end, struct sl_expr_err *e);

/** The name of a function and whether it is called on a receiver, alone, or either way. */
struct fn_info {
    const char *name;
    bool method, global, macro, status;
    uint8_t n_args; /* arguments beside the receiver, as a method; with it, as a function */
};
extern const struct fn_info expr_fns[FN_COUNT];

struct bound_var {
    const char *name;
    const struct sl_value *value;
    const struct bound_var *outer;
};

struct evaluation {
    const struct sl_expr_scope *scope;
    struct sl_arena *arena;
    struct sl_expr_err *err;
    const struct bound_var *vars;
    size_t cost;
};

int expr_eval_node(struct evaluation *ev, const struct node *node, struct sl_value *ret);
int expr_eval_arith(struct evaluation *ev, const struct node *node, const struct sl_value *left,
                    const struct sl_value *right, struct sl_value *ret);
int expr_eval_compare(struct evaluation *ev, const struct node *node, const struct sl_value *left,
                      const struct sl_value *right, bool *ret);
int expr_eval_call(struct evaluation *ev, const struct node *node, struct sl_value *ret);
int expr_eval_macro(struct evaluation *ev, const struct node *node, struct sl_value *ret);
/** Adds to the cost; -SL_ELIMIT when it passes SL_EXPR_COST_MAX. */
int expr_spend(struct evaluation *ev, const struct node *node, size_t steps);
/** Items of a list; keys of a map as strings. */
int expr_items(struct evaluation *ev, const struct node *node, const struct sl_value *of,
               struct sl_value **ret, size_t *ret_n);
/** The source text of a node. */
struct sl_str expr_node_text(const struct sl_expr *x, const struct node *node);

#endif
