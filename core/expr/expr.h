/**
 * Expressions: a CEL subset (typed, side-effect free, terminating, cost-bounded) and `${{ }}` templates.
 *
 * Pure: no clock, no I/O, no globals. Parsed expressions and values live in the caller's arena and
 * are immutable afterwards, so they may be shared between threads.
 * Source: the Common Expression Language definition; differences: int promotes to double in mixed
 * arithmetic and comparison, `list[*].field` projects, status functions.
 */
#ifndef SL_EXPR_H
#define SL_EXPR_H

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#define SL_EXPR_LEN_MAX   4096
#define SL_EXPR_DEPTH_MAX 32
#define SL_EXPR_COST_MAX  100000 /* evaluation steps */
#define SL_TMPL_LEN_MAX   65536 /* bytes of a template; each expression in it obeys SL_EXPR_LEN_MAX */

enum sl_value_type {
    SL_V_NULL,
    SL_V_BOOL,
    SL_V_INT,
    SL_V_DOUBLE,
    SL_V_STRING,
    SL_V_LIST,
    SL_V_MAP
};

struct sl_value {
    enum sl_value_type type;
    union {
        bool b;
        int64_t i;
        double d;
        struct sl_str s;
        struct {
            struct sl_value *items;
            size_t n;
        } list;
        struct {
            struct sl_value_field *fields; /* insertion order */
            size_t n;
        } map;
    };
};

struct sl_value_field {
    const char *name;
    struct sl_value value;
};

const char *sl_value_type_name(
    enum sl_value_type type); /* "int", "double", ... as messages show it */
struct sl_value sl_value_str(struct sl_arena *a, const char *text);
const struct sl_value *sl_value_get(const struct sl_value *map,
                                    const char *field); /* NULL when absent */
/** Appends the text a template or environment variable gets: strings verbatim, true/false, integers,
 * shortest doubles, lists and maps as canonical JSON. */
void sl_value_text(const struct sl_value *v, struct sl_buf *out);
json_t *sl_value_json(const struct sl_value *v);
struct sl_value sl_value_from_json(struct sl_arena *a, const json_t *json);
bool sl_value_eq(const struct sl_value *a, const struct sl_value *b); /* 1 == 1.0 */

/** An error inside an expression: where and what. */
struct sl_expr_err {
    size_t offset, width; /* bytes from the start of the text given to the parser */
    char msg[300];
};

struct sl_expr; /* parsed, immutable */

/** Parses one bare expression (as in `if`, `require`). 0 or -SL_EINVAL/-SL_ELIMIT with e filled. */
int sl_expr_parse(struct sl_arena *a, struct sl_str text, const struct sl_expr **ret,
                  struct sl_expr_err *e) SL_MUST_CHECK;
const char *sl_expr_source(const struct sl_expr *x);

/**
 * What names mean during evaluation. `lookup` gives the value of a root identifier (params, matrix,
 * steps, run, candidate, champion, env ...). Returning NULL = unknown.
 * Fields may be lazy: when a looked-up map lacks a field, `field` (may be NULL) is asked with the
 * dotted path walked so far ("steps", "train", "outputs", "model").
 */
struct sl_expr_scope {
    const struct sl_value *(*lookup)(void *data, const char *name);
    const char *const *names; /* known roots, for suggestions; NULL-terminated; may be NULL */
    /* status functions; NULL = using them is an error. which: 's'uccess 'f'ailure 'a'lways 'c'ancelled */
    bool (*status)(void *data, char which);
    /* NULL, or the value at the end of a literal path from a root; NULL = no such field */
    const struct sl_value *(*field)(void *data, const char *const *path, int n);
    void *data;
};

/** Evaluates. The result may point into scope values and the arena. */
int sl_expr_eval(const struct sl_expr *x, const struct sl_expr_scope *scope, struct sl_arena *a,
                 struct sl_value *ret, struct sl_expr_err *e) SL_MUST_CHECK;
/** Evaluates and demands a bool. */
int sl_expr_eval_bool(const struct sl_expr *x, const struct sl_expr_scope *scope,
                      struct sl_arena *a, bool *ret, struct sl_expr_err *e) SL_MUST_CHECK;

/**
 * Explains a bool expression after evaluation: the comparison's sides with their numbers, e.g.
 * "candidate.auc = 0.8123 >= champion.auc - 0.002 = 0.8100". Appends one line to `out`.
 */
void sl_expr_explain(const struct sl_expr *x, const struct sl_expr_scope *scope,
                     struct sl_buf *out);

/** One reference met in an expression: root and the literal path that follows ("steps","train","outputs","model"). */
struct sl_expr_ref {
    const char *parts[8];
    int n; /* parts given; a non-literal index ends the path; "[*]" appears as part "*" */
    size_t offset, width;
};
typedef void (*sl_expr_ref_fn)(const struct sl_expr_ref *ref, void *data);
void sl_expr_refs(const struct sl_expr *x, sl_expr_ref_fn fn, void *data);
/** True when success(), failure(), always(), cancelled() or steps.X.status is mentioned. */
bool sl_expr_mentions_status(const struct sl_expr *x);

/* ---- templates -------------------------------------------------------------------------------- */

/** Text with `${{ expr }}` segments; "$${{" is a literal "${{". */
struct sl_tmpl;
int sl_tmpl_parse(struct sl_arena *a, struct sl_str text, const struct sl_tmpl **ret,
                  struct sl_expr_err *e) SL_MUST_CHECK;
bool sl_tmpl_is_literal(const struct sl_tmpl *t); /* no expression inside */
const char *sl_tmpl_source(const struct sl_tmpl *t);
/** The single expression when the whole text is one; NULL otherwise. */
const struct sl_expr *sl_tmpl_single(const struct sl_tmpl *t);
/** The reference that the whole text is, such as "${{ steps.a.outputs.b[*] }}"; false when it is more. */
bool sl_tmpl_ref(const struct sl_tmpl *t, struct sl_expr_ref *ret);
void sl_tmpl_refs(const struct sl_tmpl *t, sl_expr_ref_fn fn, void *data);
/** A text that is wholly one expression keeps its type; otherwise a string. */
int sl_tmpl_eval(const struct sl_tmpl *t, const struct sl_expr_scope *scope, struct sl_arena *a,
                 struct sl_value *ret, struct sl_expr_err *e) SL_MUST_CHECK;

#endif
