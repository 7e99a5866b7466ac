/**
 * The door to everything that executes attempts: one table of operations per backend, one spec in,
 * one identity to journal, one result out.
 *
 * Order of a life: start (the attempt exists, blocked: nothing of the step has run) -> the caller
 * journals attempt->identity -> go -> on_end once. Instead of go, release discards the attempt: it
 * then provably never runs. After a restart, adopt takes the place of start and go.
 *
 * Thread: loop, except start (any thread). Must not: journal, retry, or know pipelines.
 */
#ifndef SL_RUNNER_H
#define SL_RUNNER_H

#include <sys/types.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/time.h"

struct sl_loop;

#define SL_RUNNER_ARGV_MAX     4096               /* arguments of a step */
#define SL_RUNNER_ENV_MAX      4096               /* variables of a step */
#define SL_RUNNER_SPEC_MAX     (1024UL * 1024)    /* argv, env and all else together, bytes */
#define SL_RUNNER_PATH_MAX     3072               /* attempt_dir, bytes */
#define SL_RUNNER_GRACE_MS     10000              /* default between TERM and KILL */
#define SL_RUNNER_GRACE_MS_MAX (3600LL * 1000)    /* longest grace */
#define SL_RUNNER_TIMEOUT_MAX  (366LL * 86400000) /* longest time limit, ms */
#define SL_RUNNER_BINDS_MAX    256                /* binds of a sandbox; its devices */
#define SL_RUNNER_BOX_ENV_MAX  2000               /* variables of a shut-in step */
#define SL_RUNNER_SECRETS_MAX  64                 /* secrets of a step */
#define SL_RUNNER_SECRET_BYTES 65536UL            /* bytes of one secret */
#define SL_ISOLATION_TEXT      96

/** How an attempt ended. Names (sl_runner_class_name) are stored in exit records and journals. */
enum sl_runner_class {
    SL_CLASS_EXIT,      /* ended by itself with exit_code (0 is success) */
    SL_CLASS_SIGNAL,    /* ended by a signal; `reason` says when that was for its processes limit */
    SL_CLASS_TIMEOUT,   /* its time limit passed */
    SL_CLASS_OOM,       /* it was killed for its memory limit, and failed */
    SL_CLASS_CANCELLED, /* cancel was asked for */
    SL_CLASS_EXEC_FAILED,   /* the program could not be executed; `reason` says why */
    SL_CLASS_NEVER_STARTED, /* provably nothing of the step ran */
    SL_CLASS_LOST,          /* it may have run; how it ended cannot be known */
    SL_CLASS_INFRA,         /* the runner's own failure; `reason` says which */
    SL_CLASS_STALLED,       /* its log and metrics did not grow for limits.stall_ms */
    SL_CLASS_DISK,          /* it wrote more than limits.disk_bytes */
    SL_CLASS_COUNT
};
const char *sl_runner_class_name(enum sl_runner_class c);
/** The class of that name. False when there is none. */
bool sl_runner_class_parse(const char *name, enum sl_runner_class *ret);

/** How limits and containment are enforced on this machine. */
enum sl_cgroup_mode {
    SL_CGROUP_V2, /* unified hierarchy, delegated to us */
    SL_CGROUP_V1, /* separate hierarchies (a unified one without controllers may still contain) */
    SL_CGROUP_RLIMIT /* no writable cgroup: per-process rlimits, containment by the subreaper alone */
};
const char *sl_cgroup_mode_name(enum sl_cgroup_mode mode);
bool sl_cgroup_mode_parse(const char *name, enum sl_cgroup_mode *ret);

struct sl_attempt_limits {
    int64_t timeout_ms;     /* 0: none; counted from the step's exec */
    int64_t grace_ms;       /* TERM to KILL; 0: SL_RUNNER_GRACE_MS */
    uint64_t mem_bytes;     /* 0: none */
    int cpu_milli;          /* 0: none; 1000 is one CPU's time */
    int pids;               /* 0: none */
    uint64_t log_bytes_max; /* 0: none; output beyond it is dropped and counted */
    int64_t stall_ms;    /* 0: none; log and metrics.jsonl may stand still this long, then TERM */
    uint64_t disk_bytes; /* 0: none; growth of attempt_dir (inputs apart) and checkpoint_dir */
};

/** How far a step is shut in. Names: sl_isolation_name. */
enum sl_isolation {
    SL_ISOLATION_NONE, /* a process like any other, of our user */
    SL_ISOLATION_STRICT /* bubblewrap: sees nothing but what it was given; refused where it cannot be */
};
const char *sl_isolation_name(enum sl_isolation level);

/** A path that a shut-in step sees at the same place. What is not there when it starts is left out. */
struct sl_sandbox_bind {
    const char *path; /* absolute, or below attempt_dir */
    bool writable;
};

struct sl_attempt_sandbox {
    enum sl_isolation level;
    bool network; /* keeps the machine's network; else loopback only */
    const struct sl_sandbox_bind
        *binds; /* inputs, environment, work, outputs: nothing is implied */
    size_t n_binds;
    const char *const *devices; /* device nodes, absolute, NULL-terminated; NULL: none */
    const char *root; /* absolute directory seen in the place of the machine's files; NULL: those */
};

/** A secret for the step: never in argv, environment or files of anybody but the step. */
struct sl_attempt_secret {
    const char *name;  /* variable */
    const void *value; /* no NUL bytes when it is a variable */
    size_t len;
    bool as_file; /* the variable holds the path of a file in memory, for the step's user alone */
};

/** What to run. Borrowed during start only. */
struct sl_attempt_spec {
    const char *attempt_id;  /* 32 lowercase hex */
    const char *nonce;       /* 32 lowercase hex, fresh per attempt; NULL: start makes one.
                                Names processes and cgroups, so it is not a secret */
    const char *attempt_dir; /* absolute, exists, ours alone. Holds log, exec, exit */
    const char *cwd;         /* relative to attempt_dir; NULL: "work" */
    const char *const *argv; /* NULL-terminated; argv[0] with a slash, or looked up in env's PATH */
    const char *const *env;  /* the complete environment, NULL-terminated */
    struct sl_attempt_limits limits;
    struct sl_attempt_sandbox sandbox;
    const char *checkpoint_dir;              /* absolute; NULL: none. Counts for disk_bytes */
    const struct sl_attempt_secret *secrets; /* masked in the log; wiped after use */
    size_t n_secrets;
    mode_t umask;      /* 0: 022 */
    bool durable_exit; /* sync marker and exit record to disk (effects: external) */
};

#define SL_BOOT_ID_TEXT 40

/** Which attempt this is, beyond doubt, also after a restart. Journal it between start and go. */
struct sl_attempt_identity {
    char attempt_id[SL_ID_HEX + 1];
    char nonce[SL_ID_HEX + 1];
    char boot_id[SL_BOOT_ID_TEXT];
    int64_t pid;         /* of the shim */
    uint64_t start_time; /* of the shim: clock ticks since boot */
    enum sl_cgroup_mode mode;
    char cgroup[1024]; /* absolute directories of the cgroups, ":"-separated; "" when none */
    char isolation[SL_ISOLATION_TEXT]; /* "none", or the level and what enforces it */
};
/** To and from the journal's JSON. parse: -SL_EINVAL naming the field. */
json_t *sl_attempt_identity_json(const struct sl_attempt_identity *identity);
int sl_attempt_identity_parse(const json_t *value, struct sl_attempt_identity *ret,
                              struct sl_err *err) SL_MUST_CHECK;

/** What on_end reports. Times are 0 when unknown. */
struct sl_attempt_result {
    enum sl_runner_class class;
    int exit_code;                         /* 0..255; -1 unless the step exited */
    int signal;                            /* 0 unless a signal ended it */
    bool oom;                              /* the kernel killed in it for memory */
    int64_t started_ms, ended_ms;          /* wall clock of the step itself, unix ms */
    int64_t user_us, system_us, maxrss_kb; /* of the step and all it waited for */
    uint64_t log_dropped_bytes; /* output beyond log_bytes_max or that the disk refused */
    char reason[300];           /* one line for users */
};

struct sl_runner;

/** A live attempt: embedded in the caller's struct, zeroed before start or adopt. */
struct sl_attempt {
    /** Called once, on the loop, after go or adopt, never from inside them; the attempt is released
     * by then and may be freed. Not called after release. */
    void (*on_end)(struct sl_attempt *attempt, const struct sl_attempt_result *result);
    void *data;
    struct sl_attempt_identity identity; /* valid after start; input of adopt is copied here */
    /* private */
    struct sl_runner *runner;
    void *impl;
};

enum sl_runner_cap {
    SL_RUNNER_CAP_PROCESSES = 1, /* runs real programs and writes log and exit files */
    SL_RUNNER_CAP_ADOPT = 2,     /* attempts outlive the engine */
    SL_RUNNER_CAP_GPU = 4,
    SL_RUNNER_CAP_SANDBOX =
        8, /* knows sandboxes; facts' "sandbox" says whether this machine does */
};

struct sl_runner_config {
    struct sl_loop *loop;      /* callbacks run here */
    int data_dirfd;            /* the data directory, kept open by the caller */
    const char *data_dir;      /* its absolute path */
    const char *cgroup_parent; /* tests: place of our cgroups below each root; NULL: found out */
    bool no_cgroups;           /* use rlimits even where cgroups could be written */
    const void *backend;       /* backend-specific (fake: struct sl_fake_config) */
};

struct sl_runner_ops {
    const char *name;
    const char *text; /* one line for `sluice runners` */
    unsigned caps;    /* enum sl_runner_cap */

    /** Prepares the backend. Owner: caller, close. Blocks: shortly (files). */
    int (*open)(const struct sl_runner_config *config, struct sl_runner **ret, struct sl_err *err);

    /** What this machine offers, as recorded facts (an object). Caller decrefs. */
    int (*probe)(struct sl_runner *runner, json_t **ret_facts, struct sl_err *err);

    /**
     * Whether attempts can be shut in like that on this machine. NULL: the backend has no sandboxes.
     *
     * @return 0; -SL_EREFUSED saying why not and how to enable it
     * Thread: any. Blocks: the first question about a sandbox, about 20 ms.
     */
    int (*can_isolate)(struct sl_runner *runner, enum sl_isolation level, struct sl_err *err);

    /**
     * Creates the attempt, blocked before its first instruction, and fills attempt->identity.
     *
     * @return 0; -SL_EINVAL or -SL_ELIMIT for a bad spec (field named); -SL_EREFUSED when the
     *         isolation asked for cannot be had; -SL_EBUSY, -SL_EIO, -SL_ENOSPACE when the machine
     *         refuses. On failure nothing is left behind.
     * Thread: any. Blocks: until the shim is executed (well below a millisecond).
     */
    int (*start)(struct sl_runner *runner, const struct sl_attempt_spec *spec,
                 struct sl_attempt *attempt, struct sl_err *err);

    /** Lets it run and watches it. A second call changes nothing. on_end tells if it had died. */
    int (*go)(struct sl_attempt *attempt, struct sl_err *err);

    /** TERM to the step, after its grace KILL to all of it; on_end follows. Idempotent; also for
     * adopted attempts. Before go: the attempt never starts, and go reports that. */
    int (*cancel)(struct sl_attempt *attempt, struct sl_err *err);

    /**
     * Takes up an attempt that an earlier engine journaled; on_end reports what became of it.
     * @param attempt_dir  as in its spec
     */
    int (*adopt)(struct sl_runner *runner, const struct sl_attempt_identity *identity,
                 const char *attempt_dir, struct sl_attempt *attempt, struct sl_err *err);

    /** Lets go of the handle without on_end: a blocked attempt dies unstarted, a running one goes
     * on by itself (to be adopted). Idempotent; a zeroed attempt is allowed. */
    void (*release)(struct sl_attempt *attempt);

    /**
     * Start-up sweep: ends what is left of attempts whose nonce is not in `known`.
     * @param known  nonces of journaled live attempts, `n` of them
     * @return       how many were removed, or negative
     */
    int (*sweep)(struct sl_runner *runner, const char *const *known, size_t n, struct sl_err *err);

    /** All attempts must be released or ended (asserted). NULL allowed. */
    void (*close)(struct sl_runner *runner);
};

/** Every backend starts with this. */
struct sl_runner {
    const struct sl_runner_ops *ops;
};

/** Backends by name, from runners.def. find: NULL when there is none. */
const struct sl_runner_ops *sl_runner_find(const char *name);
const struct sl_runner_ops *sl_runner_at(size_t index); /* NULL past the last */

/** As ops->can_isolate, for backends without it too. Ask before anything starts: start refuses as well. */
int sl_runner_can_isolate(struct sl_runner *runner, enum sl_isolation level, struct sl_err *err)
    SL_MUST_CHECK;

/** Checks a spec against the limits above, naming the field. Backends call it first. */
int sl_attempt_spec_check(const struct sl_attempt_spec *spec, struct sl_err *err) SL_MUST_CHECK;

#endif
