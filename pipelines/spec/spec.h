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
#define SL_SPEC_SUBS_MAX        200   /* sub-pipelines of one pipeline, at all levels */
#define SL_SPEC_SUB_DEPTH       8     /* sub-pipelines inside each other */
#define SL_SPEC_SUB_OUTPUTS_MAX 100   /* top-level outputs of one file */
#define SL_SPEC_FANOUT_MAX      10000 /* `max` of a matrix over an output */
#define SL_SPEC_FANOUT_DEFAULT  100
#define SL_SPEC_APPROVERS_MAX   100
#define SL_SPEC_QUORUM_MAX      20
#define SL_SPEC_SECRETS_MAX     60
#define SL_SPEC_GPU_TYPES_MAX   16
#define SL_SPEC_GPUS_MAX        1024 /* of one step */

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
    /* Fan-out: no axes; the instances are the elements of a JSON array that a step made. */
    const struct sl_tmpl *from; /* expression naming the output; NULL = not a fan-out */
    const char *as;             /* an element is `matrix.<as>`; default "item" */
    int max;                    /* elements at most */
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
                     SL_FAIL_DISK, /* the quota of the attempt's directory was exceeded */
                     SL_FAIL_COUNT
};
extern const char *const sl_fail_class_names[SL_FAIL_COUNT];

struct sl_retry {
    int max;     /* further attempts after the first, 0..100 */
    unsigned on; /* classes; default never_started|infra|lost; `error` in YAML means exit */
    int64_t initial_ms, max_ms; /* backoff, defaults 1s and 5m */
    double factor;              /* default 2 */
};

enum sl_mig { SL_MIG_ALLOW, SL_MIG_FORBID, SL_MIG_PROFILE };

struct sl_resources {
    int cpu_milli;       /* request, default 1000; "500m" or 0.5 */
    uint64_t mem_bytes;  /* request and limit, 0 = none */
    int cpu_limit_milli; /* 0 = none */
    int gpu_count;
    uint64_t gpu_mem_min_bytes, gpu_mem_max_bytes; /* 0 = no bound */
    const char **gpu_types;                        /* any of these; none = any type */
    size_t n_gpu_types;
    enum sl_mig mig;          /* default allow */
    const char *mig_profile;  /* SL_MIG_PROFILE: "1g.10gb"; else NULL */
    uint64_t gpu_share_bytes; /* this much memory of one GPU, shared with others; 0 = whole GPUs */
    int64_t gpu_idle_timeout_ms; /* 0 = none */
    uint64_t disk_bytes;         /* quota of the attempt's directory; 0 = none */
    int priority;                /* -1000..1000; the pipeline's is added */
    int pids;                    /* 0 = default */
};

enum sl_cache_mode { SL_CACHE_AUTO, SL_CACHE_OFF };
enum sl_action {
    SL_ACT_RUN,
    SL_ACT_COMMAND,
    SL_ACT_GATE,
    SL_ACT_DEPLOY,
    SL_ACT_ROLLBACK,
    SL_ACT_APPROVAL,
    SL_ACT_NOTIFY,
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

/* ---- environment, secrets, isolation ---------------------------------------------------------- */

enum sl_runtime_kind { SL_RUNTIME_HOST, SL_RUNTIME_VENV, SL_RUNTIME_IMAGE };

struct sl_runtime {
    enum sl_runtime_kind kind;
    const char *venv;   /* lock file, path below the code root */
    const char *python; /* interpreter of the venv; default "python3" */
    const char *image;  /* name@sha256:... */
    struct sl_loc loc;  /* of the value; of the step for the default */
};

enum sl_secret_as { SL_SECRET_ENV, SL_SECRET_FILE };

struct sl_secret_use {
    const char *var;      /* environment variable */
    const char *secret;   /* name in the secret store */
    enum sl_secret_as as; /* file: the variable holds the path of a file with the value */
    struct sl_loc loc;
};

enum sl_sandbox { SL_SANDBOX_NONE, SL_SANDBOX_STRICT };

struct sl_sandbox_spec {
    enum sl_sandbox level;
    bool network; /* strict: network allowed all the same */
};

/* ---- approvals, notifications, groups of runs -------------------------------------------------- */

enum sl_on_timeout { SL_ON_TIMEOUT_REJECT, SL_ON_TIMEOUT_APPROVE };

struct sl_approval {
    const char **from; /* "role:ml-leads", "user:ana"; at least one */
    size_t n_from;
    int quorum;                    /* approvals of different people needed; default 1 */
    bool deny_requester;           /* whoever submitted the run may not approve; default true */
    int64_t timeout_ms;            /* 0 = waits for ever */
    enum sl_on_timeout on_timeout; /* default reject */
    const struct sl_tmpl
        *candidate;     /* NULL: the candidate of the gates among its transitive needs */
    const char *target; /* NULL: targets of the deploy steps that depend on it */
    const char *text;   /* shown to the approver; NULL = none */
};

struct sl_notify {
    bool mail;                            /* else a webhook */
    const char *channel;                  /* a channel of the project */
    const struct sl_tmpl *text, *subject; /* subject: NULL = made from the run */
};

enum sl_on_conflict { SL_CONFLICT_QUEUE, SL_CONFLICT_REPLACE, SL_CONFLICT_REJECT };

/** Runs with the same group share a limit. */
struct sl_concurrency {
    const struct sl_tmpl *group; /* NULL = in no group */
    int limit;                   /* runs at the same time; default 1; the project's wins */
    enum sl_on_conflict on_conflict;
    int max_queued; /* 0 = no bound */
};

/** A step that stands for the steps of another file. Those are named "<outer>/<inner>", use names
 * of their own file, and wait for what the outer step waits for. */
struct sl_sub {
    const char *id;          /* "outer", or "outer/inner" when nested */
    const char *file;        /* as loaded */
    const struct sl_sub *up; /* the sub-pipeline that it is in, or NULL */
    uint32_t index;          /* in sl_spec.subs */
    struct sl_loc loc;       /* of the outer step */
    struct sl_param *params; /* of its file */
    size_t n_params;
    const struct sl_tmpl **args; /* parallel to params, in the names of `up`; NULL = the default */
    const struct sl_sub_output *outputs;
    size_t n_outputs;
    const char **needs; /* full names: of the outer step */
    size_t n_needs;
    const struct sl_input *inputs; /* of the outer step */
    size_t n_inputs;
    const struct sl_expr *cond; /* `if` of the outer step, in the names of `up`; or NULL */
    bool is_finally;
};

/** Top-level `outputs` of a file: what a sub-pipeline gives to the outside. */
struct sl_sub_output {
    const char *name;
    struct sl_loc loc;
    const char *step;   /* full name of the step or sub-pipeline that makes it */
    const char *output; /* its output */
    bool is_list;       /* written with [*] */
};

struct sl_step {
    const char *id;
    struct sl_loc loc;
    const struct sl_sub *sub; /* the sub-pipeline that it is a step of; NULL = the main pipeline */
    const char *hook_of;      /* a hook: full name of its step; NULL otherwise */
    bool allow_failure;       /* its failure is shown and does not change the run's result */
    enum sl_action action;
    const char *unsupported;     /* SL_ACT_UNSUPPORTED: the key and what it waits for */
    const char *run;             /* SL_ACT_RUN: script for /bin/sh -eu */
    const struct sl_tmpl **argv; /* SL_ACT_COMMAND */
    size_t n_argv;
    struct sl_gate gate;
    struct sl_deploy deploy;
    struct sl_rollback rollback;
    struct sl_approval approval;
    struct sl_notify notify;
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
    struct sl_runtime runtime;       /* own or the defaults'; host when neither */
    const struct sl_runtime *builds; /* a step that the planner inserted: the environment that it
                                        makes; NULL otherwise */
    struct sl_secret_use *secrets;
    size_t n_secrets;
    struct sl_sandbox_spec sandbox;
    int64_t timeout_ms;          /* 0 = none */
    int64_t grace_ms;            /* after TERM, default 10 s */
    int64_t stall_timeout_ms;    /* longest time without growth of log or metrics; 0 = none */
    int64_t queue_timeout_ms;    /* from ended needs to start; 0 = none */
    bool checkpoint;             /* has $SLUICE_CHECKPOINT, may be preempted */
    const char *checkpoint_path; /* directory below the work directory kept as that; NULL = none */
    enum sl_cache_mode cache;    /* default auto for run/command, always off with effects */
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
    struct sl_sub **subs; /* sub-pipelines, outer ones first */
    size_t n_subs;
    const struct sl_sub_output *outputs; /* of this file, for those that run it as a sub-pipeline */
    size_t n_outputs;
    int concurrency_limit; /* `concurrency.steps`: steps of one run at once, 0 = no limit */
    struct sl_concurrency concurrency;
    int priority;              /* added to that of every step */
    const char **pending_keys; /* top level: triggers, monitors ... */
    size_t n_pending_keys;
    const struct sl_include_pin *includes; /* of the main file and all that it includes */
    size_t n_includes;
    struct sl_str *files; /* every file read: names... */
    struct sl_str *texts; /* ...and their text, for recording the pipeline as written */
    size_t n_files;
};

/** A file that was included or run as a sub-pipeline. */
struct sl_include_pin {
    const char *file; /* as loaded */
    struct sl_loc loc;
    bool is_pinned; /* written with a sha256, which was checked */
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

/* ---- projects --------------------------------------------------------------------------------- */

struct sl_group {
    const char *name;
    struct sl_loc loc;
    const char **members; /* "user:ana" */
    size_t n_members;
};

struct sl_environment {
    const char *name;
    struct sl_loc loc;
    const char **targets;
    size_t n_targets;
    bool has_approval;
    struct sl_approval approval; /* from, n_from, quorum, deny_requester, timeout_ms only */
};

struct sl_group_limit {
    const char *group; /* a concurrency group */
    struct sl_loc loc;
    int limit;
};

struct sl_channel {
    const char *name;
    struct sl_loc loc;
    bool mail; /* else a webhook */
    const char *url, *url_secret,
        *secret;     /* webhook: one of the first two; secret signs, or NULL */
    const char **to; /* mail */
    size_t n_to;
    const char *from, *smtp, *user, *password_secret; /* the last two: NULL = none */
};

struct sl_policies {
    const char **dataset_metadata; /* keys that a dataset must have: owner, source, ... */
    size_t n_dataset_metadata;
    struct sl_sandbox_spec sandbox; /* of steps that do not say otherwise, and at least this */
    bool reproducible;              /* `runtime: host` is refused */
    bool pinned_includes;           /* an include without sha256 is refused */
    int64_t retain_runs_ms, retain_logs_ms; /* 0 = for ever */
    int keep_last; /* runs of a pipeline kept whatever their age; 0 = none */
};

/** `kind: Project`. */
struct sl_project {
    const char *name, *description;
    const char *file;
    struct sl_group *groups;
    size_t n_groups;
    struct sl_environment *environments;
    size_t n_environments;
    struct sl_group_limit *concurrency;
    size_t n_concurrency;
    struct sl_channel *channels;
    size_t n_channels;
    struct sl_policies policies;
};

/**
 * Loads the one Project document of a file: parses, checks everything, reports all problems at once.
 *
 * @return 0 (warnings possible) or -SL_EINVAL when diags has errors; *ret is set only on 0
 * Owner: everything lives in `a`. Thread: any. Blocks: no.
 */
int sl_project_load(const struct sl_spec_source *source, struct sl_arena *a, struct sl_diags *diags,
                    const struct sl_project **ret) SL_MUST_CHECK;

const struct sl_group *sl_project_group(const struct sl_project *p, const char *name); /* or NULL */
const struct sl_channel *sl_project_channel(const struct sl_project *p,
                                            const char *name); /* or NULL */
/** The environment that a target belongs to, or NULL. */
const struct sl_environment *sl_project_environment_of(const struct sl_project *p,
                                                       const char *target);

/* ---- what a loaded pipeline has ---------------------------------------------------------------- */

const struct sl_step *sl_spec_step(const struct sl_spec *spec, const char *id); /* or NULL */
/** What `steps.NAME` means inside a sub-pipeline (NULL: the main one): its step, or its
 * sub-pipeline. Both NULL when there is neither. */
struct sl_spec_named {
    const struct sl_step *step;
    const struct sl_sub *sub;
};
struct sl_spec_named sl_spec_find(const struct sl_spec *spec, const struct sl_sub *sub,
                                  const char *name);
/** The output that `steps.STEP.outputs.NAME` names inside a sub-pipeline (NULL: the main one), through
 * the outputs of sub-pipelines; step and output NULL when there is none. */
struct sl_spec_output {
    const struct sl_step *step;
    const struct sl_output *output;
    bool is_list; /* a sub-pipeline gives the outputs of all instances */
};
struct sl_spec_output sl_spec_find_output(const struct sl_spec *spec, const struct sl_sub *sub,
                                          const char *step, const char *output);
/** Whether `inner` is `outer` or inside it. outer NULL: always. */
bool sl_sub_within(const struct sl_sub *inner, const struct sl_sub *outer);
const struct sl_target *sl_spec_target(const struct sl_spec *spec, const char *name); /* or NULL */
const char *sl_action_name(enum sl_action action); /* "run", "command", ... */

/** JSON Schema (draft 2020-12) of Pipeline, Project and Target. New reference. */
json_t *sl_spec_schema(void);

/** A target as JSON (recorded with each deployment, so that a rollback needs no pipeline file) and back. */
json_t *sl_target_json(const struct sl_target *t);
int sl_target_from_json(struct sl_arena *a, const json_t *json, struct sl_target *ret,
                        struct sl_err *err);

#endif
