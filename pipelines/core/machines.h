/**
 * The persisted machines of a run, a step and an attempt, as tables: states, legal transitions and the
 * reason of each. `sluice debug machines` renders them into docs/machines.md.
 */
#ifndef SL_RUN_MACHINES_H
#define SL_RUN_MACHINES_H

#include "core/base/sm.h"

enum sl_run_state {
    SL_RUN_QUEUED,
    SL_RUN_RUNNING,
    SL_RUN_CANCELLING,
    SL_RUN_SUCCEEDED,
    SL_RUN_FAILED,
    SL_RUN_REFUSED,
    SL_RUN_CANCELLED,
    SL_RUN_WAITING, /* ended; somebody has to decide about a step */
    SL_RUN_STATES
};

enum sl_step_state {
    SL_STEP_PENDING,
    SL_STEP_RUNNING,
    SL_STEP_BACKOFF,
    SL_STEP_AWAITING, /* somebody has to say yes or no; holds no slot */
    SL_STEP_SUCCEEDED,
    SL_STEP_CACHED,
    SL_STEP_UNCHANGED,
    SL_STEP_SKIPPED,
    SL_STEP_OMITTED,
    SL_STEP_FAILED,
    SL_STEP_REFUSED,
    SL_STEP_CANCELLED,
    SL_STEP_NEEDS_DECISION,
    SL_STEP_STATES
};

enum sl_attempt_state {
    SL_ATTEMPT_STARTED, /* durable permission to run: its process may exist from here on */
    SL_ATTEMPT_SUCCEEDED,
    SL_ATTEMPT_FAILED,
    SL_ATTEMPT_REFUSED,
    SL_ATTEMPT_CANCELLED,
    SL_ATTEMPT_LOST,
    SL_ATTEMPT_STATES
};

extern const struct sl_sm_table sl_run_machine, sl_step_machine, sl_attempt_machine;

/** The three tables, for rendering. */
extern const struct sl_sm_table *const sl_run_machines[3];

/** A step state after which its dependents may be decided. */
bool sl_step_state_final(enum sl_step_state s);
/** Final states that satisfy a dependent's default condition. */
bool sl_step_state_good(enum sl_step_state s);

#endif
