/* The tables of machines.h. Pure data; no thread, no I/O. */
#include "core/base/base.h"

#include <assert.h>

#include "pipelines/core/machines.h"

static const struct sl_sm_state run_states[] = {
    [SL_RUN_QUEUED] = {"queued", "recorded; an engine takes it up, and its group must have room",
                       false},
    [SL_RUN_RUNNING] = {"running", "its steps are being scheduled", false},
    [SL_RUN_CANCELLING] = {"cancelling", "no new step starts; running ones are being stopped",
                           false},
    [SL_RUN_SUCCEEDED] = {"succeeded", "every step succeeded, was cached, unchanged or skipped",
                          true},
    [SL_RUN_FAILED] = {"failed", "a step failed", true},
    [SL_RUN_REFUSED] = {"refused", "a gate or policy refused", true},
    [SL_RUN_CANCELLED] = {"cancelled", "somebody cancelled it", true},
    [SL_RUN_WAITING] =
        {"waiting",
         "ended with a step whose external effect a person has to look at; retry runs it again",
         true},
};

static const struct sl_sm_edge run_edges[] = {
    {SL_RUN_QUEUED, SL_RUN_RUNNING, "an engine took it up; its group had room"},
    {SL_RUN_QUEUED, SL_RUN_CANCELLING, "cancelled or replaced before it started"},
    {SL_RUN_QUEUED, SL_RUN_FAILED, "it could not be taken up"},
    {SL_RUN_RUNNING, SL_RUN_CANCELLING,
     "cancel was asked for, or a newer run of its group replaces it"},
    {SL_RUN_RUNNING, SL_RUN_SUCCEEDED, "every step ended well"},
    {SL_RUN_RUNNING, SL_RUN_FAILED, "at least one step failed"},
    {SL_RUN_RUNNING, SL_RUN_REFUSED, "at least one gate refused and no step failed"},
    {SL_RUN_RUNNING, SL_RUN_WAITING, "a step with external effects was lost; a person must decide"},
    {SL_RUN_CANCELLING, SL_RUN_CANCELLED, "every step has ended after the cancel"},
};

static const struct sl_sm_state step_states[] = {
    [SL_STEP_PENDING] = {"pending", "waits for its needs or for resources", false},
    [SL_STEP_RUNNING] = {"running", "an attempt was journaled and may be executing", false},
    [SL_STEP_BACKOFF] = {"backoff", "an attempt failed; the next one waits", false},
    [SL_STEP_AWAITING] = {"awaiting_approval", "people were asked; it holds no slot", false},
    [SL_STEP_SUCCEEDED] = {"succeeded", "its outputs are committed", true},
    [SL_STEP_CACHED] = {"cached", "outputs of an identical earlier step were reused", true},
    [SL_STEP_UNCHANGED] = {"unchanged", "what it asks for is already so", true},
    [SL_STEP_SKIPPED] = {"skipped", "its condition was false", true},
    [SL_STEP_OMITTED] = {"omitted", "a step it needs did not succeed", true},
    [SL_STEP_FAILED] = {"failed", "its last attempt failed", true},
    [SL_STEP_REFUSED] = {"refused", "its rules or a policy said no", true},
    [SL_STEP_CANCELLED] = {"cancelled", "stopped on request or because its group failed", true},
    [SL_STEP_NEEDS_DECISION] = {"needs_decision", "its external effect may have happened", true},
};

static const struct sl_sm_edge step_edges[] = {
    {SL_STEP_PENDING, SL_STEP_RUNNING, "needs ended well and resources were free"},
    {SL_STEP_PENDING, SL_STEP_CACHED, "the same command, code, inputs and environment ran before"},
    {SL_STEP_PENDING, SL_STEP_UNCHANGED, "already in the wanted state"},
    {SL_STEP_PENDING, SL_STEP_SKIPPED, "its condition is false"},
    {SL_STEP_PENDING, SL_STEP_OMITTED, "a needed step did not succeed"},
    {SL_STEP_PENDING, SL_STEP_FAILED, "it could not be prepared, or waited too long to start"},
    {SL_STEP_PENDING, SL_STEP_REFUSED, "a policy refused it before it started"},
    {SL_STEP_PENDING, SL_STEP_CANCELLED, "the run was cancelled or its matrix group failed"},
    {SL_STEP_RUNNING, SL_STEP_SUCCEEDED, "exit 0 and outputs committed"},
    {SL_STEP_RUNNING, SL_STEP_UNCHANGED, "already in the wanted state"},
    {SL_STEP_RUNNING, SL_STEP_FAILED, "the attempt failed and no retry is left for its class"},
    {SL_STEP_RUNNING, SL_STEP_REFUSED, "a rule or policy said no"},
    {SL_STEP_RUNNING, SL_STEP_CANCELLED, "stopped on request or because its group failed"},
    {SL_STEP_RUNNING, SL_STEP_BACKOFF,
     "the attempt failed with a class that is retried, or made way"},
    {SL_STEP_RUNNING, SL_STEP_NEEDS_DECISION, "an external effect was lost from sight"},
    {SL_STEP_BACKOFF, SL_STEP_RUNNING, "the wait is over"},
    {SL_STEP_BACKOFF, SL_STEP_FAILED,
     "the next attempt could not be prepared, or waited too long to start"},
    {SL_STEP_BACKOFF, SL_STEP_CACHED, "an identical step succeeded meanwhile"},
    {SL_STEP_BACKOFF, SL_STEP_CANCELLED, "the run was cancelled"},
    {SL_STEP_BACKOFF, SL_STEP_SKIPPED, "its condition, asked again, no longer holds"},
    {SL_STEP_BACKOFF, SL_STEP_OMITTED, "its needs, asked again, no longer suffice"},
    {SL_STEP_BACKOFF, SL_STEP_BACKOFF, "the next attempt could not be started"},
    {SL_STEP_PENDING, SL_STEP_BACKOFF, "the first attempt could not be started"},
    {SL_STEP_PENDING, SL_STEP_AWAITING, "its needs ended well; people are asked"},
    {SL_STEP_PENDING, SL_STEP_SUCCEEDED, "done without an attempt: approved, or a message queued"},
    {SL_STEP_AWAITING, SL_STEP_SUCCEEDED, "approved"},
    {SL_STEP_AWAITING, SL_STEP_UNCHANGED, "the same was approved already"},
    {SL_STEP_AWAITING, SL_STEP_REFUSED, "rejected, or its time passed"},
    {SL_STEP_AWAITING, SL_STEP_FAILED, "what was asked about cannot be read any more"},
    {SL_STEP_AWAITING, SL_STEP_CANCELLED, "the run was cancelled or its matrix group failed"},
    {SL_STEP_AWAITING, SL_STEP_SKIPPED, "its condition, asked again, no longer holds"},
    {SL_STEP_AWAITING, SL_STEP_OMITTED, "its needs, asked again, no longer suffice"},
};

static const struct sl_sm_state attempt_states[] = {
    [SL_ATTEMPT_STARTED] = {"started", "journaled; its process was told to go or will be", false},
    [SL_ATTEMPT_SUCCEEDED] = {"succeeded", "exit 0 and outputs committed", true},
    [SL_ATTEMPT_FAILED] = {"failed", "exited otherwise, timed out, ran out of memory", true},
    [SL_ATTEMPT_REFUSED] = {"refused", "a gate's rules or a policy said no", true},
    [SL_ATTEMPT_CANCELLED] = {"cancelled", "stopped on request", true},
    [SL_ATTEMPT_LOST] = {"lost", "its process vanished without an exit record", true},
};

static const struct sl_sm_edge attempt_edges[] = {
    {SL_ATTEMPT_STARTED, SL_ATTEMPT_SUCCEEDED, "exit record says 0"},
    {SL_ATTEMPT_STARTED, SL_ATTEMPT_FAILED, "exit record says otherwise"},
    {SL_ATTEMPT_STARTED, SL_ATTEMPT_REFUSED, "a rule or policy said no"},
    {SL_ATTEMPT_STARTED, SL_ATTEMPT_CANCELLED, "cancel was asked for"},
    {SL_ATTEMPT_STARTED, SL_ATTEMPT_LOST, "no exit record and no process"},
};

#define TABLE(id, title, first)                                                                    \
    const struct sl_sm_table sl_##id##_machine = {.name = (title),                                 \
                                                  .states = id##_states,                           \
                                                  .n_states = (int)SL_LEN(id##_states),            \
                                                  .edges = id##_edges,                             \
                                                  .n_edges = (int)SL_LEN(id##_edges),              \
                                                  .start = (first)}

TABLE(run, "run", SL_RUN_QUEUED);
TABLE(step, "step", SL_STEP_PENDING);
TABLE(attempt, "attempt", SL_ATTEMPT_STARTED);

static_assert(SL_LEN(run_states) == SL_RUN_STATES, "a row per run state");
static_assert(SL_LEN(step_states) == SL_STEP_STATES, "a row per step state");
static_assert(SL_LEN(attempt_states) == SL_ATTEMPT_STATES, "a row per attempt state");

const struct sl_sm_table *const sl_run_machines[3] = {&sl_run_machine, &sl_step_machine,
                                                      &sl_attempt_machine};

bool sl_step_state_final(enum sl_step_state s)
{
    return step_states[s].final;
}

bool sl_step_state_good(enum sl_step_state s)
{
    return s == SL_STEP_SUCCEEDED || s == SL_STEP_CACHED || s == SL_STEP_UNCHANGED;
}
