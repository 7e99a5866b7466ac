/** What the files of the core share. Not for other rooms. */
#ifndef SL_RUN_CORE_PRIV_H
#define SL_RUN_CORE_PRIV_H

#include <uthash.h>

#include "pipelines/core/core.h"

/*
 * Phase of a step, in memory:
 *
 *   NONE ──► DECIDING ──► WANTED ─────────► LIVE ──► NONE (ended, or back through BACKOFF to WANTED)
 *                 │          └──► AHEAD ──────┘ (made ready while it waits for resources)
 *                 ├─► AWAITING (people are asked) ──► DECIDING
 *                 └─► PARKED (an identical step is in flight) ──► DECIDING
 */
enum step_phase {
    PH_NONE,
    PH_DECIDING,
    PH_PARKED,
    PH_WANTED,
    PH_AHEAD,
    PH_LIVE,
    PH_BACKOFF,
    PH_AWAITING
};

/* Phase of an attempt: STARTING ──► RECORDING ──► RUNNING ──► COLLECTING ──► OVER
 *                         └─► READY ──┘ (ahead) */
enum attempt_phase { AT_STARTING, AT_READY, AT_RECORDING, AT_RUNNING, AT_COLLECTING, AT_OVER };

#define SL_CORE_REASON 300 /* bytes of a reason */

/** Single flight: steps with the same cache key wait for the first one. */
struct flight_waiter {
    struct sl_core_run *run;
    uint32_t step;
};
struct flight {
    struct sl_digest key;
    struct sl_core_run *run; /* the leader */
    uint32_t step;
    SL_VEC(struct flight_waiter) waiters;
    UT_hash_handle hh;
};

/** When the core comes back to a step by itself. Counts only while it is the step's deadline. */
struct deadline {
    int64_t at_ms;
    struct sl_core_run *run;
    uint32_t step;
};

struct sl_core {
    const struct sl_core_io *io;
    void *data;
    struct sl_sched *sched;
    struct sl_core_run *runs;
    struct sl_journal *batch;
    struct flight *flights;
    SL_VEC(struct sl_core_attempt *) unrecorded; /* over, but their end could not be journaled */
    SL_VEC(struct deadline) deadlines;           /* a heap: core_wait.c */
    struct sl_sched_caps caps;
    bool admit_anew; /* a group may have room for a queued run */
    bool halted;
    bool pumping;
    bool postponed; /* a picked step went back to wait for its time */
};

/** Adds an entry to the open batch; the caller fills what its kind needs. Valid until the next call. */
struct sl_jentry *sl_core_entry(struct sl_core_run *r, enum sl_jkind kind, uint32_t step);

/** True when this step must not start, or go on, any more; the reason is for users. */
bool sl_core_called_off(const struct sl_core_run *r, uint32_t step,
                        char ret_reason[SL_CORE_REASON]);
/** What the scheduler handed out; also: a step that is asked again. */
void sl_core_decide(struct sl_core_run *r, uint32_t step);
void sl_core_prepare(struct sl_core_run *r, uint32_t step);
void sl_core_start(struct sl_core_run *r, uint32_t step);
/** Gives up an attempt that was made ready ahead: it provably never ran, and nobody hears of it. */
void sl_core_drop_ahead(struct sl_core_attempt *a);
void sl_core_fill_outcome(struct sl_core_attempt *a, struct sl_outcome *o, enum sl_fail_class fail,
                          const char *reason);

/** Moves the step to a final state, journals it, tells the scheduler, and ends the run when it was the last. */
void sl_core_end_step(struct sl_core_run *r, uint32_t step, enum sl_step_state to,
                      const char *reason, const struct sl_decision *from);
/** The attempt is over with this outcome: retry, or end its step. */
void sl_core_end_attempt(struct sl_core_attempt *a, const struct sl_outcome *o);
/** The step fails by a timeout: as the first failure, it gives the run its exit status. */
void sl_core_note_timeout(struct sl_core_run *r, uint32_t step);
/** A step has ended so: counts for the run's result, unless its failure is allowed. */
void sl_core_count_result(struct sl_core_run *r, uint32_t step, enum sl_step_state to);
void sl_core_run_check_done(struct sl_core_run *r);

/* core_admit.c */
/** Starts queued runs whose group has room; cancels those that a newer one replaces. */
void sl_core_admit(struct sl_core *c);
/** Its steps are scheduled from here on. */
void sl_core_begin_run(struct sl_core_run *r);
void sl_core_cancel_because(struct sl_core_run *r, const char *reason);

/* core_preempt.c */
/** The step is to make way for another: journals that; TERM follows when it is durable. */
void sl_core_preempt(struct sl_core_run *r, uint32_t step, const struct sl_core_run *by,
                     uint32_t by_step);
/** That it was asked is durable: stops it. */
void sl_core_stop_preempted(struct sl_core_attempt *a);
/** What a preempted attempt ended as, when it was stopped for that. */
void sl_core_judge_preempted(const struct sl_core_attempt *a, struct sl_outcome *o);

/* core_wait.c */
/** The core comes back to the step at that time; 0: never. Replaces an earlier deadline. */
void sl_core_set_deadline(struct sl_core_run *r, uint32_t step, int64_t at_ms);
/** Deals with deadlines that have passed; returns the next one, or -1. */
int64_t sl_core_meet_deadlines(struct sl_core *c, int64_t now_ms);
void sl_core_forget_deadlines(struct sl_core *c, const struct sl_core_run *r);
/** From `from_ms` on the step wants to start: its queue_timeout begins. */
void sl_core_start_clock(struct sl_core_run *r, uint32_t step, int64_t from_ms);
/** The step waited too long to start and has no attempt that may be executing. */
void sl_core_fail_late(struct sl_core_run *r, uint32_t step);
/** True when the attempt must not go: called off, or late. */
bool sl_core_must_not_go(const struct sl_core_attempt *a, enum sl_fail_class *ret_fail,
                         char ret_reason[SL_CORE_REASON]);
/** Sets the phase of a step; counts those that await people. */
void sl_core_set_phase(struct sl_core_run *r, uint32_t step, enum step_phase phase);
/** The decision says to wait for people: journals it, sets the deadline. */
void sl_core_await(struct sl_core_run *r, uint32_t step, const struct sl_decision *d);
/** A step failed: instances of its group that await people are decided anew (fail_fast). */
void sl_core_release_group(struct sl_core_run *r, uint32_t step);

/** True when the step leads (or needs no lead); false when it was parked behind another. */
bool sl_flight_lead(struct sl_core *c, struct sl_core_run *r, uint32_t step);
/** The leader ended durably: its waiters are decided anew. */
void sl_flight_land(struct sl_core *c, struct sl_core_run *r, uint32_t step);
void sl_flight_forget_run(struct sl_core *c, const struct sl_core_run *r);
void sl_flight_free_all(struct sl_core *c);

#endif
