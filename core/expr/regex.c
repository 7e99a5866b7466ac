/**
 * Regular expressions, the compiler: a pattern becomes a tree, the tree a bounded program.
 *
 * Thread: any. Must not: accept what cannot be matched in linear time.
 */
#include "core/base/base.h"

#include "core/expr/regex_priv.h"

#include <stdlib.h>

enum tree_kind { TREE_EMPTY, TREE_CLASS, TREE_BEGIN, TREE_END, TREE_CONCAT, TREE_ALT, TREE_REPEAT };

struct tree {
    enum tree_kind kind;
    const struct class *class;
    struct tree *left, *right; /* concatenation and alternation are chains on the left */
    int min, max;              /* TREE_REPEAT; max -1 = no end */
};

struct parser {
    struct sl_arena *arena;
    const char *text;
    size_t pos, end;
    int depth;
    const char *msg;
};

static struct tree *parse_alternation(struct parser *p);

static struct tree *fail(struct parser *p, const char *msg)
{
    if (p->msg == NULL) {
        p->msg = msg;
    }
    return NULL;
}

static struct tree *tree_new(struct parser *p, enum tree_kind kind, struct tree *left,
                             struct tree *right)
{
    struct tree *t = SL_ARENA_NEW(p->arena, struct tree);
    t->kind = kind;
    t->left = left;
    t->right = right;
    return t;
}

static bool more(const struct parser *p)
{
    return p->pos < p->end;
}
static char peek(const struct parser *p)
{
    return more(p) ? p->text[p->pos] : '\0';
}

static void class_add(struct parser *p, struct class *class, uint32_t from, uint32_t to)
{
    if ((class->n & (class->n - 1)) == 0) { /* full at every power of two */
        size_t room = SL_MAX(class->n * 2, (size_t)1);
        struct range *wider = SL_ARENA_ARRAY(p->arena, struct range, room);
        if (class->n > 0) {
            memcpy(wider, class->ranges, class->n * sizeof(*wider));
        }
        class->ranges = wider;
    }
    class->ranges[class->n++] = (struct range){from, to};
}

/** Adds \d \w \s; the capital letters add what lies between. False for another letter. */
static bool class_add_named(struct parser *p, struct class *class, char name)
{
    static const struct range digit[] = {{'0', '9'}};
    static const struct range word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct range space[] = {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}};
    const struct range *ranges = NULL;
    size_t n = 0;
    switch (name | 0x20) {
    case 'd':
        ranges = digit;
        n = SL_LEN(digit);
        break;
    case 'w':
        ranges = word;
        n = SL_LEN(word);
        break;
    case 's':
        ranges = space;
        n = SL_LEN(space);
        break;
    default: return false;
    }
    bool complement = name < 'a';
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (!complement) {
            class_add(p, class, ranges[i].from, ranges[i].to);
        } else {
            class_add(p, class, from, ranges[i].from - 1);
            from = ranges[i].to + 1;
        }
    }
    if (complement) {
        class_add(p, class, from, 0x10FFFF);
    }
    return true;
}

/** The character that an escape names, at p->pos after the backslash; false when there is none. */
static bool escaped_char(struct parser *p, uint32_t *ret)
{
    static const char letters[] = "nrtfv";
    static const char meaning[] = "\n\r\t\f\v";
    char c = peek(p);
    const char *found = c != '\0' ? strchr(letters, c) : NULL;
    if (found != NULL) {
        *ret = (uint32_t)meaning[found - letters];
    } else if (c != '\0' && strchr("\\.+*?()|[]{}^$/-\"'", c) != NULL) {
        *ret = (uint32_t)c;
    } else {
        return false;
    }
    p->pos++;
    return true;
}

static const char POSIX_UNKNOWN[] = "unknown class name";

/** [:alpha:] and its kin, at p->pos on "[:". */
static bool class_add_posix(struct parser *p, struct class *class)
{
    static const struct {
        const char *name;
        struct range ranges[4];
        size_t n;
    } known[] = {
        {"[:alnum:]", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}, 3},
        {"[:alpha:]", {{'A', 'Z'}, {'a', 'z'}}, 2},
        {"[:blank:]", {{' ', ' '}, {'\t', '\t'}}, 2},
        {"[:digit:]", {{'0', '9'}}, 1},
        {"[:lower:]", {{'a', 'z'}}, 1},
        {"[:punct:]", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}, 4},
        {"[:space:]", {{'\t', '\r'}, {' ', ' '}}, 2},
        {"[:upper:]", {{'A', 'Z'}}, 1},
        {"[:xdigit:]", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}, 3},
    };
    for (size_t i = 0; i < SL_LEN(known); i++) {
        size_t len = strlen(known[i].name);
        if (p->end - p->pos >= len && memcmp(p->text + p->pos, known[i].name, len) == 0) {
            for (size_t k = 0; k < known[i].n; k++) {
                class_add(p, class, known[i].ranges[k].from, known[i].ranges[k].to);
            }
            p->pos += len;
            return true;
        }
    }
    (void)fail(p, POSIX_UNKNOWN);
    return false;
}

/** One end of a range inside brackets. False when it was a named class (added) or an error. */
static bool class_char(struct parser *p, struct class *class, uint32_t *ret)
{
    if (peek(p) == '[' && p->pos + 1 < p->end && p->text[p->pos + 1] == ':') {
        (void)class_add_posix(p, class);
        return false;
    }
    if (peek(p) != '\\') {
        *ret = sl_regex_next_char(p->text, p->end, &p->pos);
        return true;
    }
    p->pos++;
    if (class_add_named(p, class, peek(p))) {
        p->pos++;
        return false;
    }
    if (!escaped_char(p, ret)) {
        (void)fail(p, "unknown escape");
        return false;
    }
    return true;
}

static struct tree *parse_class(struct parser *p)
{
    struct class *class = SL_ARENA_NEW(p->arena, struct class);
    p->pos++;
    if (peek(p) == '^') {
        class->negated = true;
        p->pos++;
    }
    bool first = true;
    while (more(p) && (peek(p) != ']' || first)) {
        first = false;
        uint32_t from = 0;
        if (!class_char(p, class, &from)) {
            if (p->msg != NULL) {
                return NULL;
            }
            continue;
        }
        uint32_t to = from;
        if (peek(p) == '-' && p->pos + 1 < p->end && p->text[p->pos + 1] != ']') {
            p->pos++;
            if (!class_char(p, class, &to)) {
                return fail(p, "a range needs a character at both ends");
            }
        }
        if (to < from) {
            return fail(p, "a range runs backwards");
        }
        class_add(p, class, from, to);
    }
    if (!more(p)) {
        return fail(p, "'[' without ']'");
    }
    p->pos++;
    struct tree *t = tree_new(p, TREE_CLASS, NULL, NULL);
    t->class = class;
    return t;
}

static struct tree *parse_escape(struct parser *p)
{
    p->pos++;
    struct class *class = SL_ARENA_NEW(p->arena, struct class);
    uint32_t c = 0;
    if (class_add_named(p, class, peek(p))) {
        p->pos++;
    } else if (escaped_char(p, &c)) {
        class_add(p, class, c, c);
    } else {
        return fail(p, peek(p) >= '0' && peek(p) <= '9' ? "back-references are not supported"
                                                        : "unknown escape");
    }
    struct tree *t = tree_new(p, TREE_CLASS, NULL, NULL);
    t->class = class;
    return t;
}

static struct tree *parse_group(struct parser *p)
{
    p->pos++;
    if (peek(p) == '?') {
        if (p->pos + 1 >= p->end || p->text[p->pos + 1] != ':') {
            return fail(p, "only plain groups and (?:...) are supported");
        }
        p->pos += 2;
    }
    if (++p->depth > SL_REGEX_DEPTH_MAX) {
        return fail(p, "groups are nested too deep");
    }
    struct tree *t = parse_alternation(p);
    p->depth--;
    if (t == NULL) {
        return NULL;
    }
    if (peek(p) != ')') {
        return fail(p, "'(' without ')'");
    }
    p->pos++;
    return t;
}

static struct tree *parse_atom(struct parser *p)
{
    char c = peek(p);
    switch (c) {
    case '(': return parse_group(p);
    case '[': return parse_class(p);
    case '\\': return parse_escape(p);
    case '^':
    case '$': p->pos++; return tree_new(p, c == '^' ? TREE_BEGIN : TREE_END, NULL, NULL);
    case '*':
    case '+':
    case '?': return fail(p, "nothing to repeat");
    default: break;
    }
    struct class *class = SL_ARENA_NEW(p->arena, struct class);
    if (c == '.') {
        p->pos++;
        class_add(p, class, 0, '\n' - 1);
        class_add(p, class, '\n' + 1, 0x10FFFF);
    } else {
        uint32_t point = sl_regex_next_char(p->text, p->end, &p->pos);
        class_add(p, class, point, point);
    }
    struct tree *t = tree_new(p, TREE_CLASS, NULL, NULL);
    t->class = class;
    return t;
}

static bool parse_number(struct parser *p, int *ret)
{
    int value = 0;
    bool any = false;
    while (peek(p) >= '0' && peek(p) <= '9') {
        value = value * 10 + (peek(p) - '0');
        any = true;
        p->pos++;
        if (value > SL_REGEX_REPEAT_MAX) {
            (void)fail(p, "a repetition count is over 1000");
            return false;
        }
    }
    *ret = value;
    return any;
}

/** {m}, {m,} or {m,n}; as in RE2, a brace that opens none of them is itself. */
static bool parse_count(struct parser *p, int *ret_min, int *ret_max)
{
    size_t start = p->pos;
    p->pos++;
    bool ok = parse_number(p, ret_min);
    *ret_max = *ret_min;
    if (ok && peek(p) == ',') {
        p->pos++;
        if (!parse_number(p, ret_max)) {
            *ret_max = -1;
        }
    }
    if (ok && peek(p) == '}' && p->msg == NULL) {
        p->pos++;
        if (*ret_max >= 0 && *ret_max < *ret_min) {
            (void)fail(p, "a repetition runs backwards");
        }
        return true;
    }
    p->pos = start;
    return false;
}

static struct tree *parse_repeat(struct parser *p)
{
    struct tree *t = parse_atom(p);
    int repeats = 0;
    while (t != NULL && more(p)) {
        char c = peek(p);
        int min = c == '+' ? 1 : 0;
        int max = c == '?' ? 1 : -1;
        if (c == '*' || c == '+' || c == '?') {
            p->pos++;
        } else if (c != '{' || !parse_count(p, &min, &max)) {
            break;
        }
        if (p->msg != NULL ||
            ++repeats > 2) { /* a second '?' asks for the shortest match: no change */
            return fail(p, "repeated repetition");
        }
        if (repeats == 2 && c == '?') {
            continue;
        }
        if (repeats == 2) {
            return fail(p, "repeated repetition");
        }
        t = tree_new(p, TREE_REPEAT, t, NULL);
        t->min = min;
        t->max = max;
    }
    return p->msg == NULL ? t : NULL;
}

static struct tree *parse_sequence(struct parser *p)
{
    struct tree *all = tree_new(p, TREE_EMPTY, NULL, NULL);
    while (more(p) && peek(p) != '|' && peek(p) != ')') {
        if (peek(p) == '{') {
            size_t before = p->pos;
            int min = 0;
            int max = 0;
            if (parse_count(p, &min, &max)) {
                p->pos = before;
                return fail(p, "nothing to repeat");
            }
            if (p->msg != NULL) {
                return NULL;
            }
        }
        struct tree *next = parse_repeat(p);
        if (next == NULL) {
            return NULL;
        }
        all = all->kind == TREE_EMPTY ? next : tree_new(p, TREE_CONCAT, all, next);
    }
    return all;
}

static struct tree *parse_alternation(struct parser *p)
{
    struct tree *all = parse_sequence(p);
    while (all != NULL && peek(p) == '|') {
        p->pos++;
        struct tree *next = parse_sequence(p);
        all = next == NULL ? NULL : tree_new(p, TREE_ALT, all, next);
    }
    return all;
}

static uint32_t emit_one(struct sl_regex *re, enum op op)
{
    if (re->n <= SL_REGEX_PROGRAM_MAX) {
        re->program[re->n] = (struct inst){.op = op};
        re->n++;
    }
    return (uint32_t)re->n - 1;
}

static void emit(struct sl_regex *re, const struct tree *t);

static void emit_repeat(struct sl_regex *re, const struct tree *t)
{
    for (int i = 0; i < t->min && re->n <= SL_REGEX_PROGRAM_MAX; i++) {
        size_t before = re->n;
        emit(re, t->left);
        if (re->n == before) {
            break; /* a thousand times nothing is nothing, however deep it nests */
        }
    }
    if (t->max < 0) {
        uint32_t split = emit_one(re, OP_SPLIT);
        emit(re, t->left);
        uint32_t back = emit_one(re, OP_JUMP);
        re->program[back].x = split;
        re->program[split].x = split + 1;
        re->program[split].y = (uint32_t)re->n;
        return;
    }
    for (int i = t->min; i < t->max && re->n <= SL_REGEX_PROGRAM_MAX; i++) {
        uint32_t split = emit_one(re, OP_SPLIT);
        emit(re, t->left);
        re->program[split].x = split + 1;
        re->program[split].y = (uint32_t)re->n;
    }
}

static void emit(struct sl_regex *re, const struct tree *t)
{
    uint32_t at = 0;
    uint32_t jump = 0;
    switch (t->kind) {
    case TREE_EMPTY: break;
    case TREE_CLASS:
        at = emit_one(re, OP_CLASS);
        re->program[at].class = t->class;
        break;
    case TREE_BEGIN: (void)emit_one(re, OP_BEGIN); break;
    case TREE_END: (void)emit_one(re, OP_END); break;
    case TREE_CONCAT:
        emit(re, t->left);
        emit(re, t->right);
        break;
    case TREE_ALT:
        at = emit_one(re, OP_SPLIT);
        emit(re, t->left);
        jump = emit_one(re, OP_JUMP);
        re->program[at].x = at + 1;
        re->program[at].y = (uint32_t)re->n;
        emit(re, t->right);
        re->program[jump].x = (uint32_t)re->n;
        break;
    case TREE_REPEAT: emit_repeat(re, t); break;
    }
}

const struct sl_regex *sl_regex_compile(struct sl_arena *a, struct sl_str pattern, size_t *ret_at,
                                        const char **ret_msg)
{
    struct parser p = {.arena = a, .text = pattern.ptr, .end = pattern.len};
    *ret_at = 0;
    if (pattern.len > SL_REGEX_LEN_MAX) {
        *ret_msg = "longer than 1024 bytes";
        return NULL;
    }
    if (sl_utf8_check(pattern.ptr, pattern.len) < pattern.len) {
        *ret_msg = "invalid UTF-8";
        return NULL;
    }
    struct tree *tree = parse_alternation(&p);
    if (tree != NULL && more(&p)) {
        (void)fail(&p, "')' without '('");
    }
    if (p.msg != NULL || tree == NULL) {
        *ret_at = p.pos;
        *ret_msg = p.msg != NULL ? p.msg : "malformed";
        return NULL;
    }
    struct sl_regex whole = {.program = sl_calloc(SL_REGEX_PROGRAM_MAX + 2, sizeof(struct inst))};
    emit(&whole, tree);
    (void)emit_one(&whole, OP_MATCH);
    struct sl_regex *re = NULL;
    if (whole.n <= SL_REGEX_PROGRAM_MAX) {
        re = SL_ARENA_NEW(a, struct sl_regex);
        re->n = whole.n;
        re->program = sl_arena_memdup(a, whole.program, whole.n * sizeof(struct inst));
    } else {
        *ret_msg = "the pattern is too large once its repetitions are written out";
    }
    free(whole.program);
    return re;
}
