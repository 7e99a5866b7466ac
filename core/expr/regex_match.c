/**
 * Regular expressions, the matcher: the program runs over the text with a set of states.
 *
 * Thread: any. Must not: backtrack. Every byte of text costs at most one visit per instruction.
 */
#include "core/base/base.h"

#include "core/expr/regex_priv.h"

#include <stdlib.h>

size_t sl_regex_program_size(const struct sl_regex *re)
{
    return re->n;
}

uint32_t sl_regex_next_char(const char *text, size_t len, size_t *pos)
{
    unsigned char first = (unsigned char)text[*pos];
    size_t more_bytes = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
    uint32_t c = first;
    if (more_bytes > 0) {
        c = first & (0x3FU >> more_bytes);
    }
    (*pos)++;
    for (size_t i = 0; i < more_bytes && *pos < len; i++, (*pos)++) {
        c = c << 6 | ((unsigned char)text[*pos] & 0x3FU);
    }
    return c;
}

struct states {
    uint32_t *list;
    size_t n;
    uint32_t *mark; /* mark[i] == generation: instruction i is in the list */
    uint32_t generation;
};

static bool class_has(const struct class *class, uint32_t c)
{
    bool in = false;
    for (size_t i = 0; i < class->n && !in; i++) {
        in = c >= class->ranges[i].from && c <= class->ranges[i].to;
    }
    return in != class->negated;
}

/** Adds an instruction and all that is reached without reading; `stack` holds one entry each. */
static bool add_state(const struct sl_regex *re, struct states *s, uint32_t *stack, uint32_t start,
                      bool at_begin, bool at_end)
{
    size_t depth = 0;
    bool matched = false;
    if (s->mark[start] != s->generation) {
        s->mark[start] = s->generation;
        stack[depth++] = start;
    }
    while (depth > 0) {
        uint32_t i = stack[--depth];
        const struct inst *inst = &re->program[i];
        uint32_t next[2] = {0, 0};
        int n_next = 0;
        switch (inst->op) {
        case OP_CLASS: s->list[s->n++] = i; break;
        case OP_MATCH: matched = true; break;
        case OP_SPLIT:
            next[n_next++] = inst->y;
            next[n_next++] = inst->x;
            break;
        case OP_JUMP: next[n_next++] = inst->x; break;
        case OP_BEGIN:
        case OP_END:
            if (inst->op == OP_BEGIN ? at_begin : at_end) {
                next[n_next++] = i + 1;
            }
            break;
        }
        for (int k = 0; k < n_next; k++) {
            if (s->mark[next[k]] != s->generation) {
                s->mark[next[k]] = s->generation;
                stack[depth++] = next[k];
            }
        }
    }
    return matched;
}

bool sl_regex_search(const struct sl_regex *re, struct sl_str text)
{
    _cleanup_(free)
    uint32_t *memory = sl_calloc(re->n * 5, sizeof(uint32_t));
    struct states now = {.list = memory, .mark = memory + re->n};
    struct states next = {.list = memory + 2 * re->n, .mark = memory + 3 * re->n};
    uint32_t *stack = memory + 4 * re->n;
    now.generation = next.generation = 1;
    size_t pos = 0;
    for (;;) {
        /* a match may start anywhere: the program's begin joins the set at every position */
        if (add_state(re, &now, stack, 0, pos == 0, pos == text.len)) {
            return true;
        }
        if (pos >= text.len) {
            return false;
        }
        uint32_t c = sl_regex_next_char(text.ptr, text.len, &pos);
        next.n = 0;
        next.generation++;
        for (size_t i = 0; i < now.n; i++) {
            const struct inst *inst = &re->program[now.list[i]];
            if (class_has(inst->class, c) &&
                add_state(re, &next, stack, now.list[i] + 1, false, pos == text.len)) {
                return true;
            }
        }
        struct states swap = now;
        now = next;
        next = swap;
    }
}
