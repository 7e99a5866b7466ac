/** Shared by the expression tests: a scope with known values, and one-line evaluation. */
#ifndef EXPR_SUPPORT_H
#define EXPR_SUPPORT_H

#include "core/expr/expr.h"
#include "tests/support/sl_test.h"

struct world {
    struct sl_arena arena;
    struct sl_value roots; /* map */
    struct sl_expr_scope scope;
};

void world_init(struct world *w);
void world_release(struct world *w);
/** The value as text: strings in JSON quotes, "!" and the message when it fails to parse or evaluate. */
const char *world_eval(struct world *w, const char *text);
/** The same, wrapped as "offset+width message", for errors only. */
const char *world_error(struct world *w, const char *text);
const char *world_tmpl(struct world *w, const char *text);

#endif
