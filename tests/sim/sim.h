/**
 * The simulation of runs: the real language, planner, scheduler and core drive a world that exists only
 * in memory: a virtual clock, a store that keeps what was made durable, and processes that outlive the
 * engine. Everything follows from the seed.
 *
 * Thread: one. Must not: read a clock, the environment, or anything that differs between two calls.
 */
#ifndef SIM_H
#define SIM_H

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "pipelines/core/core.h"

#define SIM_RUNS_MAX   4
#define SIM_GROUPS_MAX 24
#define SIM_STEPS_MAX  160
#define SIM_POOL       4 /* scripts that several steps share, so that cache keys meet */
#define SIM_EVENTS_MAX 100000
#define SIM_FREE_MAX   5 /* restarts of attempts that never ran, which cost no retry */

/* ---- chance ------------------------------------------------------------------------------------- */

struct sim_rng {
    uint64_t state;
};
uint32_t sim_below(struct sim_rng *r, uint32_t n);
static inline bool sim_one_in(struct sim_rng *r, uint32_t n)
{
    return sim_below(r, n) == 0;
}
uint64_t sim_mix(uint64_t a, uint64_t b);

/* ---- the generated pipeline --------------------------------------------------------------------- */

enum sim_cond {
    COND_NONE,
    COND_ALWAYS,
    COND_SUCCESS,
    COND_FAILURE,
    COND_EITHER,        /* success() || failure() */
    COND_STATUS_GOOD,   /* steps.X.status == "succeeded" */
    COND_STATUS_FAILED, /* steps.X.status == "failed" */
    COND_TRUE,          /* a parameter; keeps the default condition */
    COND_FALSE,
    COND_COUNT
};

/** One written step, as the generator meant it: what the reference model goes by. */
struct sim_group {
    enum sim_cond cond;
    uint32_t cond_on; /* COND_STATUS_*: the written step */
    int pool;         /* shared script, or -1 */
    int retry_max;
    unsigned retry_on;
    bool external, cacheable, fail_fast, gate, is_finally, has_model, plain, notify;
    bool approval, times_out, yes_in_time; /* times_out: asked for so long only; then yes or no */
    bool hurried;                          /* has a queue_timeout */
    bool yields;                           /* keeps a checkpoint: may be preempted */
    int priority;
};

struct sim_pipeline {
    struct sl_arena arena;
    struct sl_diags diags;
    char *yaml; /* arena */
    struct sim_group groups[SIM_GROUPS_MAX];
    uint32_t n_groups;
    const struct sl_spec *spec;
    const struct sl_plan *plan;
    struct sl_digest keys[SIM_STEPS_MAX]; /* cache key of every plan step */
};

/** Writes, loads and plans a random pipeline. False with the problems on stderr: the generator is wrong. */
bool sim_pipeline_init(struct sim_pipeline *p, uint64_t seed);
void sim_pipeline_release(struct sim_pipeline *p);

/* ---- the world ---------------------------------------------------------------------------------- */

enum sim_proc_phase { PROC_BLOCKED, PROC_RUNNING, PROC_EXITED, PROC_GONE };

/** An attempt: its process, its row in the store, and the engine's handle while there is one. */
struct sim_proc {
    char id[SL_ID_HEX + 1];
    uint32_t run, step;
    int number;
    enum sim_proc_phase phase;
    bool action, went, committed, asked_to_stop;
    bool way, made_way;    /* was asked to make way, durably; and was stopped for that */
    struct sl_outcome out; /* the truth about its end, from PROC_EXITED on */
    /* the store */
    bool stored;
    enum sl_attempt_state stored_state;
    struct sl_outcome stored_out;
    int64_t stored_end;
    /* the engine */
    struct sl_core_attempt *a;
    bool exit_told;
};

/** A question to people: what the approval's own tables hold. */
struct sim_ask {
    bool asked, answered, yes, unchanged;
    int64_t until_ms; /* 0: no end */
};

struct sim_row { /* of a step, in the store */
    enum sl_step_state state;
    int attempts;
    int64_t not_before_ms;
    int64_t ended_ms;
    bool has_key, timed_out;
    struct sl_digest key;
};

struct sim_run {
    uint32_t index;
    int priority;
    bool replace, started; /* started: was durably running once */
    int64_t created_ms;
    uint64_t batch; /* the first that its submission may be in */
    struct sim_ask asks[SIM_STEPS_MAX];
    char id[SL_ID_HEX + 1];
    bool submitted, over;
    bool cancelled; /* the request became durable */
    enum sl_run_state state;
    bool timed_out;
    struct sim_row rows[SIM_STEPS_MAX];
    struct sl_core_run *core; /* while an engine lives */
    enum sl_step_state seen[SIM_STEPS_MAX];
};

struct sim_cached {
    struct sl_digest key;
    uint32_t run, step;
};

enum sim_event_kind {
    EV_DECIDED,
    EV_STARTED,
    EV_EXITED,
    EV_COLLECTED,
    EV_COMMIT, /* the oldest batch that waits for the disk */
    EV_ANSWER, /* the oldest committed batch */
    EV_WAKE,
    EV_OF_WORLD, /* those below survive the engine */
    EV_PROC_END = EV_OF_WORLD,
    EV_VOTE, /* a person answers */
    EV_SUBMIT,
    EV_RESTART
};

struct sim_event {
    enum sim_event_kind kind;
    int64_t at_ms; /* not before */
    uint32_t run, step;
    struct sim_proc *proc;
    struct sl_decision *early; /* EV_DECIDED: judged when it was asked for */
};

struct sim_batch {
    struct sl_journal *j;
    bool committed;
    uint64_t number;
};

struct sim_counts {
    uint64_t crashes, faults, events, attempts, adopted, cached, parked, ahead, dropped, stopped,
        votes, replaced, late, preempted;
};

struct sim {
    uint64_t seed;
    struct sim_rng rng;
    struct sim_pipeline pipeline;
    struct sl_sched_caps caps;
    struct sl_core *core; /* NULL while no engine lives */
    bool halted, disk_full, crashing;
    uint32_t profile; /* which faults this seed has */
    int64_t true_ms, skew_ms;
    uint64_t next_id;
    int group_limit; /* all runs are of one group; 0: of none */
    struct sim_run runs[SIM_RUNS_MAX];
    uint32_t n_runs;
    SL_VEC(struct sim_proc *) procs;
    SL_VEC(struct sim_event) events;
    SL_VEC(struct sim_batch) batches;
    uint64_t n_batches, applying; /* handed over so far; the number of the one being applied */
    SL_VEC(struct sim_cached) cache;
    struct sl_buf trace;
    struct sim_counts counts;
};

enum { FAULT_CRASH = 1, FAULT_DISK = 2, FAULT_CLOCK = 4, FAULT_CANCEL = 8, FAULT_DOUBLE = 16 };

/** Simulates the seed to the end of its runs. Ends the process with status 1 at the first violation. */
void sim_play(uint64_t seed, bool verbose, struct sim_counts *counts);

/* ---- between the files -------------------------------------------------------------------------- */

void sim_trace(struct sim *w, const char *fmt, ...) SL_PRINTF(2, 3);
SL_NORETURN void sim_violation(struct sim *w, const char *fmt, ...) SL_PRINTF(2, 3);
#define SIM_CHECK(w, condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sim_violation((w), __VA_ARGS__);                                                       \
        }                                                                                          \
    } while (0)

int64_t sim_now(const struct sim *w); /* the wall clock as the engine reads it */
void sim_push(struct sim *w, struct sim_event e, uint32_t within_ms);
const char *sim_key(const struct sim *w, uint32_t step);
struct sim_proc *sim_proc_find(struct sim *w, const char *id);
/** A sibling's failure that stops the step (fail_fast) is durable. */
bool sim_group_failed(const struct sim *w, uint32_t run, uint32_t step);
int sim_never_started(const struct sim *w, uint32_t run, uint32_t step);
/** Which execution of its step an attempt is, from 0: those before it that count. */
int sim_execution(const struct sim *w, const struct sim_proc *p);

extern const struct sl_core_io sim_io;
/** Judges a step as the engine does: condition, key, cache. */
void sim_judge(struct sim *w, uint32_t run, uint32_t step, struct sl_decision *d);
void sim_collect(struct sim *w, struct sim_proc *p, struct sl_outcome *o);

/** Applies a batch to the store, checking every entry against what is there. */
void sim_store_apply(struct sim *w, const struct sl_journal *j);
const struct sim_cached *sim_store_cached(const struct sim *w, const struct sl_digest *key);

void sim_submit(struct sim *w, uint32_t run);
void sim_crash(struct sim *w);
void sim_restart(struct sim *w);

/** How execution `k` of a step ends. The truth of the world, and what the model predicts from. */
struct sl_outcome sim_fate(const struct sim *w, uint32_t run, uint32_t step, int k);
/** Compares the stored end of a run with the reference model. */
void sim_model_check(struct sim *w, const struct sim_run *r);
/** Who comes first in the group, from what is durable. */
bool sim_before(const struct sim_run *a, const struct sim_run *b);
/** A run of the group starts; one is cancelled, for that reason. */
void sim_check_admitted(struct sim *w, const struct sim_run *r);
void sim_check_replaced(struct sim *w, const struct sim_run *r, const char *reason);

/** How a step that asks or tells people is decided; a person answers. */
void sim_people_judge(struct sim *w, uint32_t run, uint32_t step, struct sl_decision *d);
void sim_people_vote(struct sim *w, uint32_t run, uint32_t step);
/** What must hold after every event. */
void sim_check_now(struct sim *w);
void sim_check_go(struct sim *w, const struct sim_proc *p);
void sim_check_start(struct sim *w, const struct sl_core_attempt *a);

#endif
