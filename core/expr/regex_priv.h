/**
 * The program that a regular expression becomes. Stays in core/expr.
 */
#ifndef SL_REGEX_PRIV_H
#define SL_REGEX_PRIV_H

#include "core/expr/regex.h"

enum op { OP_CLASS, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_MATCH };

struct range {
    uint32_t from, to;
};

struct class {
    struct range *ranges;
    size_t n;
    bool negated;
};

struct inst {
    enum op op;
    uint32_t x, y;             /* targets */
    const struct class *class; /* OP_CLASS */
};

struct sl_regex {
    struct inst *program;
    size_t n;
};

/** Decodes the code point at *pos of valid UTF-8 and moves past it. */
uint32_t sl_regex_next_char(const char *text, size_t len, size_t *pos);

#endif
