/**
 * The run engine's core: every live run's steps and attempts as machines, driven by events, acting only
 * through struct sl_core_io. Deterministic: no clock, no I/O, no threads of its own; the simulation is
 * merely another io.
 *
 * Rules it keeps (each is a test):
 *  - journal before effect: `go` and `cancel` are called only after the entry that permits them is durable;
 *  - an attempt that was journaled is never started again: it is adopted, or ends as lost;
 *  - terminal states are terminal: a late or doubled completion changes nothing;
 *  - an attempt made ready ahead of its turn holds nothing and is not recorded: its step is still pending. Its
 *    start is journaled when its resources are free, together with the end that freed them;
 *  - what fail_fast stops is stopped once the failure that did it is durable;
 *  - after a failed journal write the core halts: nothing further starts, what runs goes on.
 *
 * Thread: loop. All sl_core_* calls return at once; io calls may complete later, never from inside.
 */
#ifndef SL_RUN_CORE_H
#define SL_RUN_CORE_H

#include "core/base/time.h"
#include "pipelines/core/machines.h"
#include "pipelines/plan/plan.h"
#include "pipelines/sched/sched.h"

struct sl_core;

/** How an attempt ended, as its runner or action reports it. */
struct sl_outcome {
    bool ok;
    enum sl_fail_class fail; /* when !ok */
    bool unchanged;          /* ok, and nothing had to be done */
    int exit_code, signal;   /* 0 when not applicable */
    bool oom;
    int64_t started_ms, ended_ms;
    int64_t user_us, system_us, maxrss_kb;
    char reason[300]; /* shown to users */
    struct sl_artifact
        *outputs; /* parallel to the step's outputs; arena of the run; NULL when !ok */
};

/** One execution of a step. Immutable fields are safe to read from lanes once `start` was called. */
struct sl_core_attempt {
    char id[SL_ID_HEX + 1];
    struct sl_core_run *run;
    uint32_t step;
    int number;   /* from 1 */
    bool adopted; /* taken over from a dead engine */
    bool action;  /* gate, deploy, rollback: runs inside the engine */
    bool ahead;   /* made ready while its step still waits: nothing of it is recorded */
    struct sl_outcome outcome; /* valid from collected on */
    void *host;                /* the host's own state */
    /* private */
    int phase;
    bool cancel_sent;
    bool unable;    /* could not be started: the outcome says why */
    bool late;      /* its queue_timeout passed before it could go */
    bool preempted; /* asked to make way... */
    char way[300];  /* ...for this */
};

/** What the host decided about a step whose needs have ended. */
enum sl_decide {
    SL_DECIDE_RUN,
    SL_DECIDE_SKIP,
    SL_DECIDE_OMIT,
    SL_DECIDE_CACHED,
    SL_DECIDE_FAIL,
    SL_DECIDE_WAIT,  /* people are asked: the step awaits them, until until_ms */
    SL_DECIDE_DONE,  /* it has succeeded (or is `unchanged`) without an attempt */
    SL_DECIDE_REFUSE /* a person or a policy said no, without an attempt */
};
struct sl_decision {
    enum sl_decide kind;
    char reason[300];
    bool has_key;
    bool share;       /* an identical step in flight may serve it: it waits for that one */
    bool light;       /* RUN: making it ready costs little, so that may be done ahead */
    bool unchanged;   /* DONE: what it asks for was so already */
    int64_t until_ms; /* WAIT: when it is decided anew by itself; 0 never */
    struct sl_digest key;
    char *key_record;             /* canonical JSON, heap; the core takes it */
    struct sl_artifact *outputs;  /* CACHED: parallel to the step's outputs; arena of the run */
    char from_run[SL_ID_HEX + 1]; /* CACHED: where the outputs were made */
    int64_t from_step;
};

struct sl_core_step {
    enum sl_step_state state;
    uint8_t phase; /* in memory only */
    int attempts;
    int free_starts; /* attempts that never ran: they cost no retry */
    int preempted;   /* attempts that made way: nor do they */
    int64_t not_before_ms;
    int64_t deadline_ms;         /* when the core comes back to it; 0 never */
    bool timed_out;              /* failed because it waited too long to start */
    int64_t ended_ms;            /* while restoring: of an ended step */
    bool ask_again;              /* while it is being decided: something changed meanwhile */
    struct sl_core_attempt *att; /* the live one */
    struct sl_artifact *outputs; /* parallel to spec outputs once ended well */
    char *key_record;            /* of the latest decision */
    struct sl_digest key;
    bool has_key, share;
};

struct sl_core_run {
    char id[SL_ID_HEX + 1];
    int64_t number;
    int64_t created_ms; /* orders the runs of a group, then the id */
    const char *group;  /* of runs that share a limit; NULL: none, it starts at once */
    int group_limit;    /* as its pipeline says, at least 1; the newest run of the group counts */
    bool replace;       /* it takes the place of older runs of its group */
    int priority;       /* among the queued runs of its group: higher first */
    const struct sl_plan *plan;
    struct sl_arena *arena; /* of the run; loop thread allocates */
    enum sl_run_state state;
    struct sl_core_step *steps;
    struct sl_sched_run *sched;
    uint32_t n_live;     /* attempts in flight */
    uint32_t n_awaiting; /* steps that wait for people, and are not just being asked about */
    uint32_t n_failed, n_refused, n_undecided;
    bool admitted;            /* its group had room, or it has none */
    bool timed_out;           /* the first failure was a timeout: exit status 124 */
    int64_t first_failure_ms; /* while restoring: when that was, 0 when unknown */
    void *host;
    struct sl_core *core;
    struct sl_core_run *next; /* list of live runs */
};

/* ---- the journal ------------------------------------------------------------------------------- */

enum sl_jkind {
    SL_J_RUN,
    SL_J_STEP,
    SL_J_ATTEMPT_START,
    SL_J_ATTEMPT_END,
    SL_J_ATTEMPT_PREEMPT /* it is asked to make way; `reason` says for what */
};

struct sl_jentry {
    enum sl_jkind kind;
    struct sl_core_run *run;
    uint32_t step;
    int from, to; /* states of the machine in question */
    struct sl_core_attempt *att;
    int64_t ts_ms;
    int64_t not_before_ms; /* SL_J_STEP to backoff; to awaiting: until when, or 0 */
    int attempts;
    bool timed_out; /* SL_J_STEP to failed: its queue_timeout passed */
    struct sl_artifact *outputs;
    const char *key_record; /* SL_J_STEP; borrowed from the step */
    struct sl_digest key;
    bool has_key;
    char from_run[SL_ID_HEX + 1]; /* SL_J_STEP to cached */
    int64_t from_step;
    char reason[300];
};

struct sl_journal {
    SL_VEC(struct sl_jentry) entries;
};

/* ---- effects ----------------------------------------------------------------------------------- */

struct sl_core_io {
    int64_t (*now_ms)(void *data);
    void (*new_id)(void *data, char out[SL_ID_HEX + 1]);
    /** Condition, binding, cache. Answer: sl_core_decided. */
    void (*decide)(void *data, struct sl_core_run *r, uint32_t step);
    /** Prepare and create the attempt, blocked. `ahead`: it has no resources yet. Answer: sl_core_started. */
    void (*start)(void *data, struct sl_core_attempt *a);
    /** Its record is durable: let it run. Answer: sl_core_exited. */
    void (*go)(void *data, struct sl_core_attempt *a);
    /** Created but never to run. No answer; attempt_over follows, at once when it was `ahead`. */
    void (*discard)(void *data, struct sl_core_attempt *a);
    /** Watch an attempt that an earlier engine started. Answer: sl_core_exited. */
    void (*adopt)(void *data, struct sl_core_attempt *a);
    /** Stop it. Idempotent; no answer of its own (the attempt exits). */
    void (*cancel)(void *data, struct sl_core_attempt *a);
    /** Read and commit outputs and metrics. Answer: sl_core_collected. */
    void (*collect)(void *data, struct sl_core_attempt *a);
    /** Make the batch durable, in order of calls. Answer: sl_core_journaled. */
    void (*journal)(void *data, struct sl_journal *j);
    /** Runs of a group at once that the project allows; 0: it says nothing. NULL: no project. */
    int (*group_limit)(void *data, const char *group);
    /** Call sl_core_pump at that time. */
    void (*wake_at)(void *data, int64_t at_ms);
    /** The attempt is over and journaled, or was never recorded (`ahead`): free what is the host's. */
    void (*attempt_over)(void *data, struct sl_core_attempt *a);
    /** The run's final state is durable. The host removes it with sl_core_remove_run. */
    void (*run_over)(void *data, struct sl_core_run *r);
    /** The journal could not be written: the core has halted. */
    void (*halted)(void *data, const struct sl_err *err);
};

struct sl_core *sl_core_new(const struct sl_core_io *io, void *data,
                            const struct sl_sched_caps *caps);
void sl_core_free(struct sl_core *c); /* forgets all runs; live attempts go on by themselves */
/** Before closing, while the runs still live: hands back (attempt_over) attempts whose end no journal took. They
 * are not recorded as ended: a later engine collects them again, so the host keeps their files. */
void sl_core_drop_unrecorded(struct sl_core *c);

/** Takes up a new run (its row is durable as queued). plan and arena outlive the run. */
int sl_core_add_run(struct sl_core *c, struct sl_core_run *r, struct sl_err *err) SL_MUST_CHECK;

/** Restoring: call begin, then restore_step / restore_attempt / restore_ended per recorded row, then go. */
int sl_core_restore_begin(struct sl_core *c, struct sl_core_run *r, struct sl_err *err)
    SL_MUST_CHECK;
void sl_core_restore_step(struct sl_core_run *r, uint32_t step,
                          const struct sl_core_step *recorded);
/** A step recorded as running: its attempt is adopted. */
void sl_core_restore_attempt(struct sl_core_run *r, struct sl_core_attempt *a);
/** ...which was asked to make way, for what it says. After restore_attempt. */
void sl_core_restore_preempted(struct sl_core_attempt *a, const char *way);
/** An attempt recorded as ended, `fail` SL_FAIL_COUNT when it went well: retries and the exit status of the
 * run count them. After restore_step of its step; in any order. */
void sl_core_restore_ended(struct sl_core_run *r, uint32_t step, int number,
                           enum sl_fail_class fail, int64_t ended_ms);
void sl_core_restore_go(struct sl_core_run *r);
void sl_core_remove_run(struct sl_core *c, struct sl_core_run *r);

/** Asks for the end of a run. Idempotent. finally steps still run. */
void sl_core_cancel(struct sl_core_run *r, const char *who);

/** Limits of groups may have changed: the next pump admits anew. */
void sl_core_limits_changed(struct sl_core *c);
/** Why a run is queued: "group churn is full (1 of 1: churn#12)". Appends; nothing when it is not queued. */
void sl_core_why_queued(const struct sl_core_run *r, struct sl_buf *out);

/** What an awaiting step waits for may have happened: it is decided anew. Any other step: no effect. */
void sl_core_ask_again(struct sl_core_run *r, uint32_t step);
/** True when nothing of the run can go on until somebody decides about an awaiting step. After a pump. */
bool sl_core_only_awaits(const struct sl_core_run *r);

/* ---- answers and events ------------------------------------------------------------------------ */

void sl_core_decided(struct sl_core_run *r, uint32_t step, struct sl_decision *d);
/** ret 0: created and blocked. Negative: could not be created (err). */
void sl_core_started(struct sl_core_attempt *a, int ret, const struct sl_err *err);
/** `fail`/codes of a->outcome are filled by the host before the call. Late or doubled calls are ignored. */
void sl_core_exited(struct sl_core_attempt *a, const struct sl_outcome *o);
void sl_core_collected(struct sl_core_attempt *a, const struct sl_outcome *o);
/** ret < 0: nothing of the batch is durable; the core halts. Frees the batch. */
void sl_core_journaled(struct sl_core *c, struct sl_journal *j, int ret, const struct sl_err *err);
/** Schedules what can be scheduled and hands the journal over. Hosts call it after a group of answers. */
void sl_core_pump(struct sl_core *c);
/** Stops as after a failed journal write: the machine cannot go on (a full disk), the runs can, later. */
void sl_core_halt(struct sl_core *c, const struct sl_err *err);
bool sl_core_halted(const struct sl_core *c);
/** The live run of that id; NULL when there is none. run_id NULL: any (the head of the list), or NULL. */
struct sl_core_run *sl_core_find_run(struct sl_core *c, const char *run_id);
size_t sl_core_n_runs(const struct sl_core *c);
const struct sl_sched *sl_core_sched(const struct sl_core *c);

/** Status text of a step for expressions and displays, live phases included. */
const char *sl_core_step_status(const struct sl_core_run *r, uint32_t step);
/** Exit status of a run that ended (design: exit codes). */
int sl_run_exit_status(enum sl_run_state s, bool timed_out);

#endif
