/**
 * What the files of this room share.
 *
 * The language is written down once, as tables of keys and shapes (tables_*.c). Three readers use
 * them: check.c (lint of structure), schema.c (JSON Schema) and build.c (which trusts what was checked).
 */
#ifndef SL_SPEC_PRIV_H
#define SL_SPEC_PRIV_H

#include "core/expr/regex.h"
#include "core/yaml/yaml.h"
#include "pipelines/spec/spec.h"

#define SPEC_TEXT_MAX           4096
#define SPEC_NEEDS_MAX          1000
#define SPEC_ARGV_MAX           1000
#define SPEC_AXIS_MAX           100000
#define SPEC_RULES_MAX          100
#define SPEC_ITEMS_MAX          1000
#define SPEC_PENDING_MAX        32
#define SPEC_DOCS_MAX           200
#define SPEC_SCRIPT_REPORTS_MAX 20 /* interpolations shown of one script */
#define SPEC_PATTERNS_MAX       96
#define SPEC_REGEX_MAX          256          /* bytes of a param's pattern */
#define SPEC_SUB_BYTES_MAX      (16UL << 20) /* text of all sub-pipelines together */
#define SPEC_FILES_MAX          (SL_SPEC_INCLUDES_MAX + 1)

/* ---- the language as tables ------------------------------------------------------------------- */

enum shape_kind {
    SHAPE_ANY,
    SHAPE_TEXT, /* a string; `words` or `pattern` narrow it */
    SHAPE_BOOL,
    SHAPE_INT,
    SHAPE_NUMBER,
    SHAPE_SCALAR, /* string, number or bool; strings may hold ${{ }} when is_template */
    SHAPE_DURATION,
    SHAPE_SIZE,
    SHAPE_TEMPLATE, /* a string that may hold ${{ }} */
    SHAPE_EXPR,     /* a bare expression */
    SHAPE_SCRIPT,   /* a shell script: ${{ }} is an error */
    SHAPE_OBJECT,
    SHAPE_MAP, /* free names, one shape */
    SHAPE_LIST
};

/** What a value may be. */
struct shape {
    enum shape_kind kind;
    const char *what;         /* "a duration such as 30s": completes "must be ..." */
    const char *const *words; /* TEXT: the only values, NULL-terminated */
    const char *pattern; /* TEXT, TEMPLATE, names of a MAP: ERE that also JSON Schema understands */
    const char *names;   /* MAP: what its names must be, in words */
    double min, max;     /* INT, NUMBER when has_bounds */
    bool has_bounds;
    bool is_template; /* SCALAR */
    size_t min_items,
        max_items; /* LIST, MAP; bytes of TEXT, TEMPLATE, SCRIPT (0 = SPEC_TEXT_MAX) */
    const struct object *object;
    const struct shape *of;    /* LIST, MAP: of each item */
    const char *noun;          /* MAP: "step", "param": how messages call an entry */
    const struct shape *other; /* tried when the YAML type of the value does not fit this one */
    const char *pending;       /* what must be there before this form has an effect */
};

enum key_flags { KEY_REQUIRED = 1, KEY_CHOICE = 2 };

struct key {
    const char *name;
    const struct shape *shape;
    unsigned flags;
    const char *description;
    const char *pending; /* what must be there before it has an effect; NULL = supported */
};

enum choice {
    CHOICE_NONE,
    CHOICE_EXACTLY_ONE,
    CHOICE_AT_MOST_ONE
}; /* of the keys with KEY_CHOICE */

struct object {
    const char *name; /* of its schema definition */
    const struct key *keys;
    size_t n_keys;
    enum choice choice;
    const char *choice_noun; /* "action" */
    const struct shape
        *others; /* of keys that are not in the table; NULL = unknown keys are errors */
    const char *others_pattern; /* of their names */
};

extern const struct object sl_spec_pipeline_object, sl_spec_project_object, sl_spec_target_object;
extern const struct object sl_spec_step_object, sl_spec_gate_object, sl_spec_hook_object,
    sl_spec_default_object;
/* shapes that both table files use */
extern const struct shape sl_spec_text, sl_spec_bool, sl_spec_any, sl_spec_duration, sl_spec_size,
    sl_spec_template, sl_spec_expr, sl_spec_path, sl_spec_ident, sl_spec_name, sl_spec_argv,
    sl_spec_env, sl_spec_runtime, sl_spec_retry, sl_spec_resources, sl_spec_cache, sl_spec_steps,
    sl_spec_priority, sl_spec_positive, sl_spec_quorum, sl_spec_sha256, sl_spec_secrets,
    sl_spec_sandbox, sl_spec_approval, sl_spec_notify, sl_spec_hooks, sl_spec_subpipeline,
    sl_spec_output_ref, sl_spec_approvers, sl_spec_include_path, sl_spec_api_version;
extern const char *const sl_spec_action_keys[]; /* NULL-terminated */

/* ---- loading ---------------------------------------------------------------------------------- */

struct spec_file {
    const struct sl_yaml *y;
    const char *path; /* normalised, for cycles */
    struct sl_str text;
};

/** One checked document. Order: included files before the one that includes them. */
struct spec_doc {
    const struct sl_yaml *y;
    const struct sl_yaml_node *root;
};

enum use_roots { USE_STEP, USE_GATE_RULE, USE_ANALYSIS, USE_PARAMS, USE_OUTPUTS };

/** An expression or template met while building, checked once all names are known. */
struct spec_use {
    const struct sl_yaml_node *node;
    const struct sl_expr *expr; /* either */
    const struct sl_tmpl *tmpl; /* or */
    size_t step;                /* index while building */
    enum use_roots roots;
};

/** A step name written in `needs`, `evaluate` or `of`. */
struct spec_name_use {
    const char *name;
    struct sl_loc loc;
    size_t step;
    const char *key; /* "needs" */
    bool is_edge;
};

struct spec_edge {
    size_t from, to; /* `from` waits for `to` */
};

/** An expression's reference that was reported. */
struct spec_reported {
    const struct sl_yaml_node *node;
    size_t offset;
};

/** A step that stands for another file's steps. */
struct spec_sub {
    size_t step; /* index while building */
    struct sl_spec *inner;
    struct sl_sub *sub;
};

struct spec_loader {
    struct spec_loader *parent;  /* of a sub-pipeline: the loader of the file that runs it... */
    const struct sl_step *outer; /* ...and the step there */
    SL_VEC(struct spec_sub) subs;
    size_t n_sub_loads, sub_bytes; /* of the outermost loader: loaded as sub-pipelines so far */
    SL_VEC(struct sl_include_pin) pins;
    const struct sl_spec_source *source;
    struct sl_arena *arena;
    struct sl_diags *diags;
    struct spec_file files[SPEC_FILES_MAX];
    size_t n_files;
    size_t stack[SL_SPEC_INCLUDE_DEPTH]; /* files being included, outermost first */
    size_t depth;
    struct spec_doc pipelines[SPEC_DOCS_MAX], targets[SPEC_DOCS_MAX];
    size_t n_pipelines, n_targets;
    bool has_main;
    bool wants_project;         /* sl_project_load: one Project document */
    struct sl_project *project; /* the first one met */
    bool is_broken;             /* a file is not YAML: names cannot be judged */
    struct spec_pattern {
        const char *pattern; /* a constant of the tables */
        const struct sl_regex *regex;
    } patterns[SPEC_PATTERNS_MAX];
    size_t n_patterns;
    SL_VEC(struct sl_step) steps;
    SL_VEC(const struct sl_yaml_node *) step_nodes; /* parallel */
    SL_VEC(struct sl_param) params;
    SL_VEC(struct spec_use) uses;
    SL_VEC(struct spec_name_use) names;
    SL_VEC(struct spec_edge) edges;
    SL_VEC(struct spec_reported) reported;
    struct spec_step_name {
        const char *name;
        size_t index;
    } * by_name; /* steps, sorted by name; on the heap */
    struct sl_spec *spec;
};

/** A diagnostic with the source line of whichever file the place is in. */
void sl_spec_report(struct spec_loader *l, enum sl_severity severity, struct sl_loc loc,
                    const char *hint, const char *fmt, ...) SL_PRINTF(5, 6);
#define spec_error(l, loc, ...) sl_spec_report((l), SL_SEV_ERROR, (loc), NULL, __VA_ARGS__)
/** "; did you mean 'x'?" or "". In the arena. */
const char *sl_spec_suggest(struct spec_loader *l, const char *word, const char *const *names,
                            size_t n);

/** Joins with the directory of `base` and takes "." and "x/.." out, so that one file has one name. */
const char *sl_spec_join_path(struct spec_loader *l, const char *base, const char *path);
/** Notes a file that was read; `sha256` (NULL: not pinned) must be that of its text. */
void sl_spec_pin(struct spec_loader *l, const char *path, struct sl_loc loc, struct sl_str text,
                 const struct sl_yaml_node *sha256);
/** Loads a sub-pipeline; NULL when it has errors. */
struct sl_spec *sl_spec_load_inner(struct spec_loader *parent, const struct sl_step *outer,
                                   const struct sl_spec_source *source);
/** The step's sub-pipeline, loaded; nothing is kept of one with errors. */
void sl_spec_build_sub(struct spec_loader *l, struct sl_step *step,
                       const struct sl_yaml_node *node);
const struct spec_sub *sl_spec_sub_of(const struct spec_loader *l, size_t step); /* or NULL */
void sl_spec_build_outputs(struct spec_loader *l, const struct sl_yaml_node *map);
/** The steps of sub-pipelines in place of those that stand for them. After all checks. */
void sl_spec_expand_subs(struct spec_loader *l);

/** Checks a document against its table. */
void sl_spec_check(struct spec_loader *l, const struct sl_yaml *y, const struct sl_yaml_node *root,
                   const struct object *object, const char *label);
/** Matches a text against a pattern of the tables; compiled once per load. */
bool sl_spec_matches(struct spec_loader *l, const char *pattern, const char *text);
/** Whether a shape is meant when the value has this YAML type: chooses among alternatives. */
bool sl_spec_fits(const struct shape *shape, const struct sl_yaml_node *node);
bool sl_spec_read_cpu(const char *text, int *ret_milli);
/** "A", "A..", "..B" or "A..B"; 0 = no bound. */
bool sl_spec_read_range(const char *text, uint64_t *ret_min, uint64_t *ret_max);
/** Lint of `run:`: each ${{ }} is an error with its rewrite. */
void sl_spec_check_script(struct spec_loader *l, const struct sl_yaml *y,
                          const struct sl_yaml_node *node, const char *what);

/** Builders; they trust the checker and give defaults for what it refused. */
void sl_spec_build(struct spec_loader *l);
void sl_spec_build_step(struct spec_loader *l, const char *id, struct sl_loc loc,
                        const struct sl_yaml_node *node, bool is_finally);
void sl_spec_build_action(struct spec_loader *l, struct sl_step *step,
                          const struct sl_yaml_node *node);
void sl_spec_build_matrix(struct spec_loader *l, struct sl_step *step,
                          const struct sl_yaml_node *node);
/** runtime, resources, secrets, sandbox. */
void sl_spec_build_env(struct spec_loader *l, struct sl_step *step,
                       const struct sl_yaml_node *node);
void sl_spec_build_approval(struct spec_loader *l, const struct sl_yaml_node *node,
                            struct sl_approval *ret);
struct sl_sandbox_spec sl_spec_sandbox_of(const struct sl_yaml_node *node);
/** The step's hooks, as further steps. The step itself has been pushed. */
void sl_spec_build_hooks(struct spec_loader *l, const char *id, const struct sl_yaml_node *node,
                         bool is_finally);
void sl_spec_build_project(struct spec_loader *l, const struct spec_doc *doc,
                           struct sl_project *ret);
void sl_spec_build_param(struct spec_loader *l, const char *name, struct sl_loc loc,
                         const struct sl_yaml_node *node);
void sl_spec_build_target(struct spec_loader *l, const struct spec_doc *doc, struct sl_target *ret);
const struct sl_tmpl *sl_spec_use_template(struct spec_loader *l, const struct sl_yaml_node *node);
/** A template that may name params only. */
const struct sl_tmpl *sl_spec_use_params(struct spec_loader *l, const struct sl_yaml_node *node);
const struct sl_expr *sl_spec_use_expr(struct spec_loader *l, const struct sl_yaml_node *node,
                                       enum use_roots roots);
void sl_spec_use_name(struct spec_loader *l, const char *name, struct sl_loc loc, const char *key,
                      bool is_edge);
/** The value of defaults.KEY that counts: the including file wins over the included one. */
const struct sl_yaml_node *sl_spec_default(struct spec_loader *l, const char *key);
/** KEY of the mapping MAP of the step, else of the defaults'. */
const struct sl_yaml_node *sl_spec_own_or_default(struct spec_loader *l,
                                                  const struct sl_yaml_node *node, const char *map,
                                                  const char *key);
struct sl_value sl_spec_scalar(struct spec_loader *l, const struct sl_yaml_node *node);

/** Appends the dotted names of keys whose system is not there yet. Returns the new count. */
size_t sl_spec_pending(struct spec_loader *l, const struct object *object,
                       const struct sl_yaml_node *node, const char **keys, size_t n);

/** References between steps, params and outputs; cycles; rules that need more than one key. */
void sl_spec_check_refs(struct spec_loader *l);
void sl_spec_check_cycles(struct spec_loader *l);
void sl_spec_check_rules(struct spec_loader *l);

/* lenient readers */
int sl_spec_bounded_int(const struct sl_yaml_node *node, int fallback); /* within +-1,000,000 */
const char *sl_spec_text_of(const struct sl_yaml_node *map, const char *key); /* NULL when absent */
int64_t sl_spec_int_of(const struct sl_yaml_node *map, const char *key, int64_t fallback);
bool sl_spec_bool_of(const struct sl_yaml_node *map, const char *key, bool fallback);
int64_t sl_spec_ms_of(const struct sl_yaml_node *map, const char *key, int64_t fallback);
const char **sl_spec_texts_of(struct spec_loader *l, const struct sl_yaml_node *list,
                              size_t *ret_n);

#endif
