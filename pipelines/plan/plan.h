/**
 * The planner: a checked spec and parameter values become concrete steps with edges, conditions and
 * (once inputs are known) cache keys. Pure: no clock, no I/O; what the world holds is asked through
 * struct sl_plan_world.
 */
#ifndef SL_PLAN_H
#define SL_PLAN_H

#include "core/base/hash.h"
#include "pipelines/spec/spec.h"

#define SL_PLAN_EDGES_MAX 20000000 /* stored edges: the instances of one step share theirs */

/* ---- parameters ------------------------------------------------------------------------------- */

struct sl_param_arg { /* one `-p name=value` or one entry of a parameter file */
    const char *name, *value;
    const char *origin; /* "command line", "params.yml" */
};

struct sl_param_value {
    const struct sl_param *param;
    struct sl_value value;
    const char *origin; /* "default", or the arg's */
};

/** Types and bounds every parameter; all problems at once. ret has spec->n_params entries in spec order. */
int sl_plan_params(const struct sl_spec *spec, const struct sl_param_arg *args, size_t n_args,
                   struct sl_arena *a, struct sl_diags *diags, struct sl_param_value **ret)
    SL_MUST_CHECK;

/* ---- the graph -------------------------------------------------------------------------------- */

/** One concrete step. Index in sl_plan.steps is its identity within a run. */
struct sl_plan_step {
    const struct sl_step *spec;
    const char *key; /* "train" or "train[seed=2]" (axis order as written) or "gate:champion" */
    struct sl_value matrix; /* SL_V_MAP of this instance; SL_V_NULL without a matrix */
    uint32_t *needs;        /* indices; deduplicated; instances of one matrix share both arrays */
    uint32_t *dependents;
    uint32_t n_needs, n_dependents;
    const char *effective_cond; /* text: "success()" or the `if` as written, as `plan` shows it */
    bool cond_replaces_success; /* the `if` mentions a status */
    uint32_t group;             /* index of the spec step: instances of one matrix share it */
    bool is_finally;
    /* Inserted champion evaluation: runs spec (gate.evaluate's step) with its model input replaced by
     * the gate's champion; skipped when there is no champion or it has that evaluation already. */
    bool is_champion_eval;
    uint32_t gate_index;     /* of a champion evaluation: the gate step it serves */
    uint32_t evaluated_step; /* of a champion evaluation: the plan step it repeats */
};

struct sl_plan {
    const struct sl_spec *spec;
    const struct sl_param_value *params;
    struct sl_plan_step *steps; /* topological order */
    uint32_t n_steps;
    const uint32_t *group_first; /* per spec step: first plan step... */
    const uint32_t *group_count; /* ...and how many instances, contiguous */
    /* Per sub-pipeline: its parameters, and which written steps the step that stands for it waits for. */
    struct sl_param_value *const *sub_params;
    const bool *const *sub_needs;
};

#define SL_PLAN_ENV_OUTPUT     "wheels" /* of an inserted environment step */
#define SL_PLAN_ENV_TIMEOUT_MS (2LL * 3600 * 1000)

/** Index in plan->spec->steps of the inserted step that makes the environment which a written step runs in;
 * -1 when it runs on the host. */
int sl_plan_env_step(const struct sl_spec *spec, const struct sl_step *s);

/** Expands. plan->spec is the spec with environment steps (struct sl_step.builds) put before those that run in
 * them; the given one when there are none. Errors (expansion over the cap, unknown references in matrix include) go to diags. */
int sl_plan_build(const struct sl_spec *spec, const struct sl_param_value *params,
                  struct sl_arena *a, struct sl_diags *diags, const struct sl_plan **ret)
    SL_MUST_CHECK;

/* ---- evaluation in a run ---------------------------------------------------------------------- */

/** A version as steps pass it around. Texts live as long as the run. */
struct sl_artifact {
    enum sl_entity entity;
    const char *name;        /* "default/churn"; "" when unnamed */
    int64_t version;         /* vN; 0 when unnamed */
    struct sl_digest digest; /* manifest digest: the identity */
};

/** What the planner asks about steps that already ended and about the world. */
struct sl_plan_world {
    /* status text of a step: "succeeded", "failed", "skipped", "cached", "pending" ...; never NULL */
    const char *(*step_status)(void *data, uint32_t step);
    /* output of an ended step; NULL while unknown or absent */
    const struct sl_artifact *(*step_output)(void *data, uint32_t step, const char *output);
    /* registry reference -> version; negative code with err when unknown */
    int (*resolve)(void *data, enum sl_entity entity, const char *ref, struct sl_artifact *ret,
                   struct sl_err *err);
    /* The JSON of an artifact that is one file; borrowed, as long as the run lives. Negative code with err
     * when it is none. NULL: fan-outs cannot be decided here. */
    int (*read_json)(void *data, const struct sl_artifact *artifact, const json_t **ret,
                     struct sl_err *err);
    const char *run_id;
    int64_t run_number;
    const char *run_status; /* for finally: status so far */
    bool cancelled;
    void *data;
};

enum sl_plan_verdict {
    SL_PLAN_RUN,
    SL_PLAN_SKIP, /* its condition is false, or the fan-out has fewer elements */
    SL_PLAN_OMIT  /* what it needs did not go well */
};

struct sl_plan_judgement {
    enum sl_plan_verdict verdict;
    const char *why; /* NULL for RUN */
};

/** Whether a step runs, all its needs having ended. ret->why: the reason against it ("if: ... is
 * false", "needs train, which is failed"). Status functions follow the needs, failure() also those behind
 * omitted ones (finally: the run). A step of a sub-pipeline also obeys the step that stands for that. */
int sl_plan_judge(const struct sl_plan *plan, uint32_t step, const struct sl_plan_world *world,
                  struct sl_arena *a, struct sl_plan_judgement *ret, struct sl_err *err)
    SL_MUST_CHECK;

struct sl_bound_input {
    const struct sl_input *input;
    struct sl_artifact *items; /* one, or several for `[*]`; ordered by plan step */
    size_t n;
    bool is_list;
    const char **item_names; /* of a list: matrix text of each ("seed=2"), else index */
};

struct sl_bound_env {
    const char *name, *value;
};

/** Everything a step's process gets, with all templates evaluated. */
struct sl_bound_step {
    struct sl_bound_input *inputs; /* parallel to spec->inputs */
    size_t n_inputs;
    struct sl_bound_env *env;
    size_t n_env;
    const char **argv; /* NULL-terminated: {"/bin/sh","-eu","-c",run} for run, or the command */
    const char *
        *output_names; /* entity name per output ("" when unnamed), parallel to spec->outputs */
    /* parameters that the step mentions, as {name: value}: part of the key, and what $SLUICE_PARAMS holds */
    json_t *used_params; /* borrowed by the arena's owner: released by sl_bound_step_release */
    struct sl_artifact candidate, champion,
        on; /* gates and deploys: candidate/model, champion, dataset */
    bool has_champion, has_on;
    struct sl_value
        matrix; /* of this instance, the element of a fan-out included; else SL_V_NULL */
};

/** Binds inputs, env and command of a step whose needs have ended. champion: for is_champion_eval. */
int sl_plan_bind(const struct sl_plan *plan, uint32_t step, const struct sl_plan_world *world,
                 struct sl_arena *a, struct sl_bound_step *ret, struct sl_err *err) SL_MUST_CHECK;
void sl_bound_step_release(struct sl_bound_step *b);

/** What a notify step says. */
struct sl_bound_notify {
    const char *text, *subject; /* subject NULL: none written */
};
int sl_plan_bind_notify(const struct sl_plan *plan, uint32_t step,
                        const struct sl_plan_world *world, struct sl_arena *a,
                        struct sl_bound_notify *ret, struct sl_err *err) SL_MUST_CHECK;

/**
 * The canonical cache record of a bound step and its SHA-256:
 * {"schema":1,"action":...,"command":[...],"code":{"digest":...} or per-path digests of declared code,
 *  "runtime":{...},"matrix":{...},"params":{used},"env":{declared},"inputs":{name:[digest...]},"outputs":{name:spec},"seed"?}
 *
 * @param code_digest   digest of the used code content (declared paths or whole snapshot)
 * @param runtime_digest digest that names the environment
 */
int sl_plan_cache_record(const struct sl_plan *plan, uint32_t step,
                         const struct sl_bound_step *bound, const struct sl_digest *code_digest,
                         const struct sl_digest *runtime_digest, json_t **ret_record,
                         struct sl_digest *ret_key);

/** Exactly the differing fields of two records, as an array of {"field","old","new"}. New reference. */
json_t *sl_plan_diff_records(const json_t *old_record, const json_t *new_record);

/** The expanded plan as JSON (recorded with the run; also `sluice plan --json`). New reference. */
json_t *sl_plan_json(const struct sl_plan *plan);
/** Its parts, for those who must not hold a large plan at once: {"pipeline","params"}, and one step.
 * New references. */
json_t *sl_plan_head_json(const struct sl_plan *plan);
json_t *sl_plan_step_json(const struct sl_plan *plan, uint32_t step);

#endif
