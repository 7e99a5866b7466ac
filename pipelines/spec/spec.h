/**
 * The pipeline language as structs: what a YAML file says, checked, before anything is expanded.
 *
 * Pure: text in, structs and diagnostics out. Everything lives in the caller's arena and is
 * immutable after loading. Normative: the language section of the design and docs/pipelines.md.
 */
#ifndef SL_SPEC_H
#define SL_SPEC_H

#include "core/base/diag.h"
#include "core/expr/expr.h"

#define SL_SPEC_STEPS_MAX       1000 /* as written; matrices expand further */
#define SL_SPEC_PARAMS_MAX      100
#define SL_SPEC_INCLUDES_MAX    32
#define SL_SPEC_INCLUDE_DEPTH   8
#define SL_SPEC_MATRIX_AXES_MAX 8
#define SL_SPEC_EXPANSION_MAX   100000
#define SL_SPEC_ENV_MAX         200
#define SL_SPEC_NAME_MAX        128 /* step, param, input, output ids: [A-Za-z_][A-Za-z0-9_-]* */
#define SL_SPEC_RUN_MAX         (256 * 1024)

enum sl_param_type { SL_PARAM_STRING, SL_PARAM_INT, SL_PARAM_FLOAT, SL_PARAM_BOOL };

struct sl_param {
    const char *name, *description;
    struct sl_loc loc;
    enum sl_param_type type;
    bool required;         /* no default given */
    struct sl_value value; /* the default; SL_V_NULL when required */
    bool has_min, has_max;
    double min, max;
    const struct sl_value *choices; /* `enum`: n_choices values, or NULL */
    size_t n_choices;
    const char *pattern; /* ERE for strings, or NULL */
};

enum sl_entity { SL_ENT_NONE, SL_ENT_DATASET, SL_ENT_MODEL, SL_ENT_ARTIFACT };

/** An input: a registry reference or an expression naming other steps' outputs. */
struct sl_input {
    const char *name;
    struct sl_loc loc;
    enum sl_entity entity;     /* of a registry reference; SL_ENT_NONE for an expression */
    const struct sl_tmpl *ref; /* "churn/labels@latest" (may contain params) or the expression */
};

/** An output. Bytes come from $SLUICE_OUT_<name> unless `path` (below the working directory) is given. */
struct sl_output {
    const char *name;
    struct sl_loc loc;
    enum sl_entity entity; /* SL_ENT_NONE: an unnamed artifact, kept with the run only */
    const struct sl_tmpl
        *ref;         /* entity name to publish under ("churn", "churn/train"); NULL when unnamed */
    const char *path; /* NULL = $SLUICE_OUT_<name> */
    bool metrics; /* `{metrics: FILE}`: a JSON object or JSON lines read as metrics; path is set */
    bool optional;
};

struct sl_env_var {
    const char *name;
    struct sl_loc loc;
    const struct sl_tmpl *value;
};

struct sl_matrix_axis {
    const char *name;
    struct sl_value *values; /* scalars */
    size_t n;
};

struct sl_matrix {
    struct sl_matrix_axis *axes;
    size_t n_axes;
    const struct sl_value *include, *exclude; /* lists of maps (SL_V_LIST) or NULL */
    int max_parallel;                         /* 0 = no limit */
    bool fail_fast;                           /* default true */
};

enum sl_fail_class { /* failure classes; bit n of sl_retry.on is class n */
                     SL_FAIL_NEVER_STARTED,
                     SL_FAIL_INFRA,
                     SL_FAIL_LOST,
                     SL_FAIL_OOM,
                     SL_FAIL_TIMEOUT,
                     SL_FAIL_STALLED,
                     SL_FAIL_PREEMPTED,
                     SL_FAIL_EXIT,
                     SL_FAIL_CANCELLED,
                     SL_FAIL_REJECTED,
                     SL_FAIL_COUNT
};
extern const char *const sl_fail_class_names[SL_FAIL_COUNT];

struct sl_retry {
    int max;     /* further attempts after the first, 0..100 */
    unsigned on; /* classes; default never_started|infra|lost; `error` in YAML means exit */
    int64_t initial_ms, max_ms; /* backoff, defaults 1s and 5m */
    double factor;              /* default 2 */
};

struct sl_resources {
    int cpu_milli;       /* request, default 1000; "500m" or 0.5 */
    uint64_t mem_bytes;  /* request and limit, 0 = none */
    int cpu_limit_milli; /* 0 = none */
    int gpu_count;
    uint64_t gpu_mem_min_bytes, gpu_mem_max_bytes; /* 0 = no bound */
    int priority;                                  /* -1000..1000 */
    int pids;                                      /* 0 = default */
};

enum sl_cache_mode { SL_CACHE_AUTO, SL_CACHE_OFF };
enum sl_action {
    SL_ACT_RUN,
    SL_ACT_COMMAND,
    SL_ACT_GATE,
    SL_ACT_DEPLOY,
    SL_ACT_ROLLBACK,
    SL_ACT_UNSUPPORTED
};
enum sl_no_champion { SL_NO_CHAMPION_REFUSE, SL_NO_CHAMPION_PASS };

struct sl_rule {
    const struct sl_expr *expr;
    const char *text;
    struct sl_loc loc;
};

struct sl_gate {
    const struct sl_tmpl *candidate; /* expression naming a model output */
    const struct sl_tmpl *champion;  /* "churn@champion"; NULL = no champion side */
    enum sl_no_champion no_champion; /* default pass only when written; default refuse */
    const struct sl_tmpl *on;        /* dataset expression; NULL = the only dataset evaluated on */
    const char *evaluate;            /* step to rerun for the champion, or NULL */
    struct sl_rule *require;
    size_t n_require;
};

struct sl_deploy {
    const char *target;          /* name of a Target document */
    const struct sl_tmpl *model; /* expression naming a model output, or a registry reference */
    const char *alias;           /* then: {alias: champion}; NULL = none */
};

struct sl_rollback {
    const char *of_step; /* `of: steps.canary` */
    const char *target;  /* or `target:` with optional `to:` (default previous) */
    const struct sl_tmpl *to;
};

struct sl_step {
    const char *id;
    struct sl_loc loc;
    enum sl_action action;
    const char *unsupported;     /* SL_ACT_UNSUPPORTED: the key and what it waits for */
    const char *run;             /* SL_ACT_RUN: script for /bin/sh -eu */
    const struct sl_tmpl **argv; /* SL_ACT_COMMAND */
    size_t n_argv;
    struct sl_gate gate;
    struct sl_deploy deploy;
    struct sl_rollback rollback;
    const char **needs;
    size_t n_needs;
    const struct sl_expr *cond; /* `if`, or NULL */
    struct sl_matrix *matrix;   /* or NULL */
    struct sl_input *inputs;
    size_t n_inputs;
    struct sl_output *outputs;
    size_t n_outputs;
    struct sl_env_var *env; /* merged with defaults.env; step wins */
    size_t n_env;
    const char **code; /* paths below the code root; n_code 0 = all of the snapshot */
    size_t n_code;
    struct sl_resources resources;
    struct sl_retry retry;
    int64_t timeout_ms;       /* 0 = none */
    int64_t grace_ms;         /* after TERM, default 10 s */
    enum sl_cache_mode cache; /* default auto for run/command, always off with effects */
    bool effects_external;
    bool is_finally;
    const char **pending_keys; /* keys understood by the language whose system is not there yet */
    size_t n_pending_keys;
};

/** `kind: Target`. */
struct sl_target {
    const char *name;
    struct sl_loc loc;
    const char *type;  /* "directory" */
    const char *path;  /* directory: absolute, or relative to the file that declares it */
    int keep;          /* releases kept, default 3, 1..100 */
    bool is_protected; /* default true */
    const char **warmup, **health, **reload; /* argv, NULL-terminated, or NULL */
    int64_t timeout_ms;                      /* per command, default 60 s */
    int health_retries;                      /* default 3 */
    int64_t health_interval_ms;              /* default 1 s */
};

struct sl_spec {
    const char *name;
    const char *file; /* as given */
    const char *description;
    struct sl_param *params;
    size_t n_params;
    struct sl_step *steps; /* finally steps last */
    size_t n_steps;
    struct sl_target *targets;
    size_t n_targets;
    int concurrency_limit;     /* `concurrency.steps`: steps of one run at once, 0 = no limit */
    const char **pending_keys; /* top level: triggers, monitors ... */
    size_t n_pending_keys;
    struct sl_str *files; /* every file read: names... */
    struct sl_str *texts; /* ...and their text, for recording the pipeline as written */
    size_t n_files;
};

/** Gives the text of an included file. `path` is relative to the including file's directory and already
 * joined with it. Text is allocated in the arena. Negative code with err when it cannot. */
typedef int (*sl_spec_read_fn)(void *data, struct sl_arena *a, const char *path, struct sl_str *ret,
                               struct sl_err *err);

struct sl_spec_source {
    const char *file; /* shown in messages */
    struct sl_str text;
    sl_spec_read_fn read; /* NULL: include is an error */
    void *data;
    bool
        any_kind; /* lint: a file of Targets or a Project alone is good too; then spec->name is NULL */
};

/**
 * Loads a pipeline: parses, checks everything, reports all problems at once into `diags`.
 *
 * @return 0 (warnings possible) or -SL_EINVAL when diags has errors; *ret is set only on 0
 * Owner: everything lives in `a`. Thread: any (cpu lane for large files). Blocks: only in `read`.
 */
int sl_spec_load(const struct sl_spec_source *source, struct sl_arena *a, struct sl_diags *diags,
                 const struct sl_spec **ret) SL_MUST_CHECK;

const struct sl_step *sl_spec_step(const struct sl_spec *spec, const char *id);       /* or NULL */
const struct sl_target *sl_spec_target(const struct sl_spec *spec, const char *name); /* or NULL */
const char *sl_action_name(enum sl_action action); /* "run", "command", ... */

/** JSON Schema (draft 2020-12) of Pipeline, Project and Target. New reference. */
json_t *sl_spec_schema(void);

/** A target as JSON (recorded with each deployment, so that a rollback needs no pipeline file) and back. */
json_t *sl_target_json(const struct sl_target *t);
int sl_target_from_json(struct sl_arena *a, const json_t *json, struct sl_target *ret,
                        struct sl_err *err);

#endif
