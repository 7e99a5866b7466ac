/**
 * Inside of the parser: its state and the steps that its two files share. Stays in core/expr.
 */
#ifndef SL_EXPR_PARSE_PRIV_H
#define SL_EXPR_PARSE_PRIV_H

#include "core/expr/expr_priv.h"

struct expr_parser {
    struct expr_lex lex;
    struct sl_expr_err *err;
    size_t last_end; /* end of the last token taken */
    int depth;
    bool negative; /* the next number has a minus before it */
};

int expr_token_unexpected(struct expr_parser *p, const char *wanted);
bool expr_is_punct(const struct expr_parser *p, char c);
int expr_expect(struct expr_parser *p, char c, const char *wanted);
int expr_advance(struct expr_parser *p);
/** A node from `at` to the end of the last token taken. -SL_ELIMIT when the tree gets too high. */
int expr_node_new(struct expr_parser *p, enum node_kind kind, size_t at, struct node *const *args,
                  size_t n, struct node **ret);
int expr_parse_any(struct expr_parser *p, struct node **ret);
int expr_parse_postfix(struct expr_parser *p, struct node **ret);

#endif
