/**
 * What the engine's files share: one engine, its runs and its attempts as the host sees them.
 *
 *   engine.c        open, close, lanes, subscribers
 *   engine_run.c    submissions and restored runs become struct eng_run
 *   engine_inputs.c versions that steps name exist, before anything starts
 *   engine_decide.c condition, binding, cache, on the read lane
 *   engine_start.c  attempt directory, start, go, adopt, cancel through the runner
 *   engine_env.c    the environment of a step
 *   engine_gpu.c    leases of GPUs
 *   engine_gpu_watch.c how GPUs of running attempts fare
 *   engine_sweep.c  attempt directories that an engine left before it recorded them
 *   engine_runtime.c environments: made by their steps, used by others
 *   engine_collect.c outputs, metrics and evaluations of an ended attempt
 *   engine_action.c gate, deploy, rollback
 *   engine_sandbox.c isolation of steps
 *   engine_approval.c steps that ask people
 *   engine_checkpoint.c what a step keeps across attempts
 *   engine_limits.c limits of groups of runs
 *   fanout.c        arrays that fan-outs are made of
 *   engine_notify.c messages to people
 *   engine_secret.c secrets of steps
 *   engine_leak.c   nothing that is stored holds one
 *   engine_journal.c the batch as rows, events, audit and lineage
 */
#ifndef SL_ENGINE_PRIV_H
#define SL_ENGINE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/aio/lane.h"
#include "core/secret/secret.h"
#include "pipelines/engine/engine.h"
#include "pipelines/run/fanout.h"
#include "pipelines/run/run_store.h"
#include "pipelines/run/runtime.h"
#include "pipelines/run/snapshot.h"
#include "runners/gpu/gpu.h"

#define ENG_PREP_LANES   2
#define ENG_ACT_LANES    4
#define ENG_DECIDING_MAX 64 /* steps on the read lane at once */

#define ENG_AHEAD_BYTES_MAX (16UL << 20) /* code and inputs of a step that is made ready ahead */
#define ENG_AHEAD_FILES_MAX 256

struct sl_engine {
    struct sl_loop *loop;
    struct sl_workspace *ws;
    struct sl_core *core;
    struct sl_lane *read_lane, *prep_lane, *tidy_lane, *act_lane;
    const struct sl_runner_ops *runner_ops;
    struct sl_runner *runner;
    struct eng_gpus *gpus;
    struct sl_sched_caps caps; /* what the machine offers */
    struct eng_limits *limits; /* of the project in force */
    struct sl_notifier *notifier;
    atomic_bool
        messages; /* the writer queued some; the loop wakes the notifier once they are durable */
    struct sl_engine_subscriber message_watch;
    struct eng_undecided *undecided, *undecided_last; /* FIFO before the read lane */
    unsigned n_deciding;
    struct sl_engine_subscriber *subscribers;
    struct sl_timer wake;
    json_t *runtime, *hardware, *runner_facts; /* read once */
    struct sl_digest runtime_digest;
    const char *program; /* as in struct sl_engine_opts */
    const char *const *host_env;
    bool failed, closing;
    struct sl_err failure;
    pthread_mutex_t reader_lock;
    SL_VEC(struct sl_db *) readers; /* idle connections */
};

/** The notifier, and what wakes it. */
int eng_notify_open(struct sl_engine *e, const struct sl_engine_opts *opts, struct sl_err *err)
    SL_MUST_CHECK;
void eng_notify_close(struct sl_engine *e);

/** A read connection for the moment; give it back. NULL with err. Thread: any. */
struct sl_db *eng_reader_get(struct sl_engine *e, struct sl_err *err);
void eng_reader_put(struct sl_engine *e, struct sl_db *db);

/** One bound step: what its command, inputs and environment came out as. Immutable once made. */
struct eng_bound {
    struct sl_arena arena;
    struct sl_bound_step step;
    struct sl_digest wheels; /* of an environment step: content to install from; zero: fetch it */
    json_t *message;         /* of a notify step; else NULL */
};
void eng_bound_free(struct eng_bound *b);
#define ENG_BOUND_KEPT                                                                             \
    5000 /* steps of a run up to which what they bind is kept from decision to start */

struct eng_run {
    struct sl_core_run core; /* first: the core hands it back */
    struct sl_engine *e;
    struct sl_arena arena; /* spec, plan, outputs: loop thread and submission only */
    struct sl_run_record record;
    const struct sl_spec *spec;
    const struct sl_param_value *params;
    struct sl_run_env *envs;     /* parallel to spec->steps: what inserted steps make */
    struct sl_manifest code;     /* the whole snapshot */
    struct sl_manifest *code_of; /* per spec step with its own `code:`; else unsealed */
    struct eng_bound **bound;    /* per plan step */
    struct sl_fanout_cache fanouts;
    bool no_cache;
    struct sl_sandbox_spec least_sandbox; /* what the project demanded when it was submitted */
    atomic_int
        so_far; /* enum sl_run_state that it would end in now: written on the loop, read on lanes */
};
struct eng_run *eng_run_of(struct sl_core_run *r);
/** The code a step sees. */
const struct sl_manifest *eng_run_code(const struct eng_run *r, uint32_t step);
void eng_run_free(struct eng_run *r);
/** Versions that steps name literally exist, or the run makes them. -SL_ENOTFOUND naming step and input. */
int eng_check_inputs(const struct eng_run *r, struct sl_err *err) SL_MUST_CHECK;
/** Includes and sub-pipelines are pinned where the project's policy wants it. -SL_EREFUSED with the digest. */
int eng_check_pins(const struct eng_run *r, struct sl_err *err) SL_MUST_CHECK;

/** Isolation. check: reads the project's policy and refuses (-SL_EREFUSED) what this machine cannot do. */
int eng_check_sandbox(struct eng_run *r, struct sl_err *err) SL_MUST_CHECK;
/** The policy as a run's fact, NULL when there is none; and back. */
json_t *eng_sandbox_policy_json(const struct eng_run *r);
void eng_sandbox_policy_restore(struct eng_run *r, const json_t *policy);
/** Adds a shut-in step's isolation to its cache record. */
void eng_sandbox_key(const struct eng_run *r, uint32_t step, json_t *record, struct sl_digest *key);
/** Removes attempt directories of a restored run that were never recorded. Blocks: files. */
void eng_sweep_unrecorded(const struct eng_run *r, struct sl_db *db);
/** Takes up every unfinished run. Before the loop runs. */
int eng_restore_all(struct sl_engine *e, struct sl_err *err) SL_MUST_CHECK;

/** What became of an attempt's GPUs; the worse later. */
enum eng_gpu_state { ENG_GPU_FINE, ENG_GPU_APP, ENG_GPU_IDLE, ENG_GPU_FAULT };

struct eng_attempt {
    struct sl_work work;
    struct sl_post post;
    struct sl_core_attempt *a;
    struct eng_run *run;
    struct sl_attempt proc;      /* the runner's handle */
    char *dir;                   /* absolute attempt directory */
    char *identity;              /* journaled JSON, "{}" for actions */
    struct sl_outcome outcome;   /* being worked out on a lane */
    struct sl_artifact *outputs; /* heap, texts in `arena` */
    struct sl_arena arena;
    struct sl_err err;
    int rc;
    bool live;    /* the runner knows it */
    bool unheard; /* given up before anything of it was recorded */
    char *gpus;   /* CUDA_VISIBLE_DEVICES while leased, else NULL */
    enum eng_gpu_state gpu_state;
    char gpu_note[200]; /* why it is not fine */
    uint64_t gpu_bytes; /* memory of the one that it shares */
    bool gpu_slice;     /* it holds a MIG slice */
    struct sl_secret_receipt
        receipt; /* secrets that it received, in `arena`; attempt_id NULL: unknown */
};
/** What the attempt's step is bound to; binds it now when it is not (adopted, or of a large run). Thread: lane. */
int eng_bound_of(struct eng_attempt *ea, const struct eng_bound **ret, struct sl_err *err)
    SL_MUST_CHECK;
struct eng_attempt *eng_attempt_of(const struct sl_core_attempt *a);
/** Path of an attempt's directory below the data directory; caller frees. */
char *eng_attempt_dir(const struct sl_engine *e, const char *run_id, const char *attempt_id);

/* the core's io, by file */
void eng_decide(void *data, struct sl_core_run *r, uint32_t step);
void eng_decide_close(struct sl_engine *e); /* forgets what was not yet on the lane */
/** Whether the step may be served from the cache, and by an identical step in flight. */
bool eng_cacheable(const struct eng_run *r, const struct sl_plan_step *p);
/** A step that asks people: asks, or tells how its request stands. Thread: read lane; writes. */
int eng_approval_decide(struct eng_run *r, uint32_t step, const struct eng_bound *b,
                        struct sl_db *db, struct sl_decision *d, struct sl_err *err) SL_MUST_CHECK;
void eng_start(void *data, struct sl_core_attempt *a);
void eng_go(void *data, struct sl_core_attempt *a);
void eng_discard(void *data, struct sl_core_attempt *a);
void eng_adopt(void *data, struct sl_core_attempt *a);
void eng_cancel(void *data, struct sl_core_attempt *a);
void eng_collect(void *data, struct sl_core_attempt *a);
void eng_journal(void *data, struct sl_journal *j);
void eng_attempt_over(void *data, struct sl_core_attempt *a);

/** GPUs. */
int eng_gpus_open(struct sl_engine *e, const char *inventory_file, struct sl_err *err)
    SL_MUST_CHECK;
void eng_gpus_close(struct sl_engine *e);
int eng_gpus_count(const struct sl_engine *e);
/** What the scheduler asks about them. */
const struct sl_sched_gpus *eng_gpus_ops(const struct sl_engine *e);
/** Leases what the step asks for; the scheduler has seen that it can be had. Sets ea->gpus or ea->err. */
int eng_gpus_lease(struct eng_attempt *ea) SL_MUST_CHECK;
void eng_gpus_release(struct eng_attempt *ea);
void eng_gpus_restore(struct eng_attempt *ea, const char *visible);
/** Variables that tell a step its GPUs. Thread: lane; its lease does not change meanwhile. */
void eng_gpus_env(struct eng_attempt *ea,
                  void (*set)(void *data, const char *name, const char *value), void *data);
/** It ended, as ea->outcome says. True when whether its GPUs failed is looked at first: eng_exited follows. */
bool eng_gpus_ask(struct eng_attempt *ea);
/** What its GPUs say about a failure. */
void eng_gpus_verdict(const struct eng_attempt *ea, struct sl_outcome *o);
json_t *eng_gpus_json(const struct sl_engine *e);
/** Tells the core how it ended. */
void eng_exited(struct eng_attempt *ea);

/**
 * Removes an attempt's inputs and working files; log, exit record and metrics stay. Only once its end is
 * durable: until then another engine may have to collect it again. Of an attempt that was never recorded
 * nothing stays.
 */
void eng_tidy(struct eng_attempt *ea);

/** Checkpoints: no code lies where one is linked (-SL_EINVAL naming step and file); its directory, which the
 * caller frees; linking it into an attempt's work directory. Thread: lane. */
int eng_check_checkpoints(const struct eng_run *r, struct sl_err *err) SL_MUST_CHECK;
char *eng_checkpoint_dir(const struct eng_run *r, uint32_t step);
int eng_checkpoint_link(const struct eng_attempt *ea, int attempt_fd, struct sl_err *err)
    SL_MUST_CHECK;

/** Limits of groups of runs. */
int eng_limits_load(struct sl_engine *e, struct sl_err *err) SL_MUST_CHECK;
void eng_limits_free(struct sl_engine *e);
int eng_group_limit(void *data, const char *group);

/** Channels that the run's messages go to exist in the project. -SL_ENOTFOUND naming step and channel. */
int eng_check_channels(const struct eng_run *r, struct sl_err *err) SL_MUST_CHECK;
/** A step that tells people something: its message is bound and kept for the transaction that ends the
 * step. Thread: read lane. */
void eng_notify_decide(struct eng_run *r, uint32_t step, const struct sl_plan_world *world,
                       struct eng_bound **ret_bound, struct sl_decision *ret);
/** In that transaction: the message as one event, which is delivered later. */
int eng_notify_record(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
    SL_MUST_CHECK;

/** Limits and isolation of the attempt, into ea->arena. */
void eng_sandbox_fill(struct eng_attempt *ea, struct sl_attempt_spec *spec);
/** What a shut-in step cannot make by itself. */
int eng_sandbox_prepare(const struct eng_attempt *ea, int dirfd, struct sl_err *err) SL_MUST_CHECK;

/** Actions on the act lane. */
void eng_action_go(struct eng_attempt *ea);

/** Binds a step: needs ended. Thread: lane; `db` reads. Caller frees with eng_bound_free. */
int eng_bind(struct eng_run *r, uint32_t step, struct sl_db *db, struct eng_bound **ret,
             struct sl_err *err) SL_MUST_CHECK;

/** Secrets that steps declare exist. -SL_ENOTFOUND naming step, variable and the nearest. */
int eng_check_secrets(const struct eng_run *r, struct sl_err *err) SL_MUST_CHECK;
/** Values for one attempt, until it is spawned. */
struct eng_secrets {
    struct sl_secret_value *values;
    struct sl_attempt_secret *items; /* point into values */
    size_t n, n_values;
};
/** Decrypts what the step declares and notes the versions in ea->receipt. Release also after a failure. */
int eng_secrets_load(struct eng_attempt *ea, struct eng_secrets *ret, struct sl_err *err)
    SL_MUST_CHECK;
void eng_secrets_release(struct eng_secrets *s);
/** Leases, audit and lineage of what a started attempt received. */
int eng_secrets_record(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
    SL_MUST_CHECK;
/** -SL_EREFUSED when outputs or metrics of an ended attempt hold a secret that it received. */
int eng_leak_check(struct eng_attempt *ea, int dirfd, struct sl_err *err) SL_MUST_CHECK;
/** Where an output lies, below the attempt directory. */
void eng_output_path(const struct sl_output *o, char *out, size_t size);

/* environments (engine_runtime.c) */
/** Finds what the run's steps run in, and stores its description. Needs the code. */
int eng_envs_resolve(struct eng_run *r, struct sl_err *err) SL_MUST_CHECK;
/** Lineage and content references of a new run; inside its transaction. */
int eng_envs_insert(struct sl_db *db, const struct eng_run *r, struct sl_err *err) SL_MUST_CHECK;
/** Lineage of an attempt that makes an environment or runs in one. */
int eng_envs_link_attempt(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
    SL_MUST_CHECK;
/** What names the environment that a step runs in: part of its key. */
const struct sl_digest *eng_run_runtime(const struct eng_run *r, uint32_t step);
/** The cache record and key of a step that makes an environment. New reference. */
json_t *eng_env_key(const struct eng_run *r, uint32_t step, struct sl_digest *ret_key);
/** Whether the environment that a step makes is there. When it is not, notes wheels among `outputs`. */
bool eng_env_usable(const struct eng_run *r, uint32_t step, const struct sl_artifact *outputs,
                    struct eng_bound *b);
/** What an attempt needs beside code and inputs, below its directory. */
int eng_env_prepare(struct eng_attempt *ea, const struct eng_bound *b, int dirfd,
                    struct sl_err *err) SL_MUST_CHECK;
/** Command and variables of an attempt that makes an environment; in ea->arena. */
const char *const *eng_env_argv(struct eng_attempt *ea, const struct eng_bound *b);
const char *const *eng_env_build_vars(struct eng_attempt *ea);
/** Directory of the venv that a step runs in; NULL for another runtime. Caller frees. */
char *eng_env_dir(const struct eng_run *r, uint32_t step);
/** Where the interpreter of that venv lies, unless it is part of the system. Caller frees. */
char *eng_env_prefix(const struct eng_run *r, uint32_t step);
/** Tree and settings of the image that a step runs in; NULL for another runtime. Caller frees, decrefs. */
char *eng_env_root(const struct eng_run *r, uint32_t step);
json_t *eng_env_config(const struct eng_run *r, uint32_t step);

/** NAME=value list, NULL-terminated, in ea->arena. */
const char *const *eng_step_env(struct eng_attempt *ea, const struct eng_bound *b);

#endif
