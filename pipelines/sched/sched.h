/**
 * The scheduler: which ready step may start now. Pure and deterministic: it holds counters and queues,
 * never a clock; each completion costs O(out-degree).
 *
 * One scheduler serves all live runs of an engine. A step is identified by (run handle, plan index).
 */
#ifndef SL_SCHED_H
#define SL_SCHED_H

#include "core/base/err.h"
#include "pipelines/plan/plan.h"

struct sl_sched;
struct sl_sched_run; /* one live run inside the scheduler */

/** A step that holds resources. */
struct sl_sched_holder {
    void *run_data;
    uint32_t step;
};

/** GPUs that are not all alike: what the machine's own books say. Called from the scheduler's thread alone,
 * `check` from any. */
struct sl_sched_gpus {
    /** Whether the request could be served now, or once the holders in `gone` have gone. */
    bool (*fits)(void *data, const struct sl_resources *want, const struct sl_sched_holder *gone,
                 size_t n_gone);
    /** Whether one of the two may keep the other waiting. */
    bool (*meet)(void *data, const struct sl_resources *a, const struct sl_resources *b);
    /** What a request waits for, in words. */
    void (*why)(void *data, const struct sl_resources *want, struct sl_buf *out);
    /** Whether the machine can ever serve it: 0 or a negative code. */
    int (*check)(void *data, const struct sl_resources *want, struct sl_err *err);
    void *data;
};

struct sl_sched_caps { /* what the machine offers; requests above are refused at add time */
    int cpu_milli;
    uint64_t mem_bytes;
    int gpu_count;
    const struct sl_sched_gpus *gpus; /* NULL: GPUs are a number */
    int slots;                        /* attempts at once, 0 = no limit */
    int ahead; /* steps prepared while they wait for resources, at most; 0 = none */
};

#define SL_SCHED_AHEAD_MAX         16 /* what an engine sets as `ahead` */
#define SL_SCHED_AHEAD_PER_RUNNING 2  /* and no more than this many for each that holds resources */

struct sl_sched *sl_sched_new(const struct sl_sched_caps *caps);
void sl_sched_free(struct sl_sched *s);

/** Whether a machine of these caps can ever run every step: -SL_EINVAL naming the step that asks for more. */
int sl_sched_check(const struct sl_sched_caps *caps, const struct sl_plan *plan,
                   struct sl_err *err);

/** Adds a run; every step starts as waiting for its needs. `data` comes back with each pick.
 * `plan` must outlive the run. -SL_EINVAL naming the step when a request exceeds the machine. */
int sl_sched_add_run(struct sl_sched *s, const struct sl_plan *plan, void *data,
                     struct sl_sched_run **ret, struct sl_err *err) SL_MUST_CHECK;
void sl_sched_remove_run(struct sl_sched *s, struct sl_sched_run *r);

/**
 * A step whose needs have all ended is first *decided* by the engine (condition, cache); only then does
 * it ask for resources. While none are free, the next few may be *prepared*: they go on waiting in their
 * line and hold nothing. The scheduler therefore hands out three kinds of work.
 */
enum sl_sched_pick {
    SL_PICK_NONE,
    SL_PICK_DECIDE, /* needs ended: evaluate condition and cache; answer with run, or ended */
    SL_PICK_PREPARE, /* it is among the next to start: may be made ready; its START follows, or DECIDE when
                        its group fails; answer with nothing, ended or later() */
    SL_PICK_START, /* resources are reserved for it; answer with ended or later() */
    SL_PICK_PREEMPT /* it holds resources, and shall give them up for `by`, which is of higher priority and
                       cannot start otherwise; answer with ended or later(), when it has stopped */
};
struct sl_sched_item {
    enum sl_sched_pick kind;
    struct sl_sched_run *run;
    void *run_data;
    uint32_t step;
    void *by_data; /* PREEMPT: the run and step that it makes way for */
    uint32_t by_step;
};
/** The next thing to do, in order of priority then FIFO; SL_PICK_NONE when nothing can be done now. */
struct sl_sched_item sl_sched_next(struct sl_sched *s);

/** Answer to DECIDE: the step shall run; it joins the queue for resources. */
void sl_sched_want_run(struct sl_sched *s, struct sl_sched_run *r, uint32_t step);
/** Permits (or not) that the step is handed out as PREPARE. Until said, no step is; steps with GPUs, with
 * external effects, and what is no process never are. Before want_run. */
void sl_sched_may_prepare(struct sl_sched_run *r, uint32_t step, bool may);
/** The step ended for good (any way); frees its resources if it held some, releases dependents.
 * `failed` counts for fail_fast of its matrix group: the group's unstarted steps are then handed out as
 * DECIDE with sl_sched_group_failed true; those that hold resources are the caller's to stop. */
void sl_sched_ended(struct sl_sched *s, struct sl_sched_run *r, uint32_t step, bool failed);
/** Gives back resources that it may hold and waits until `not_before_ms` (retry backoff), then queues again for START. */
void sl_sched_later(struct sl_sched *s, struct sl_sched_run *r, uint32_t step,
                    int64_t not_before_ms);
/** Restoring after a restart: the step holds resources and is running / has ended already. */
void sl_sched_restore_running(struct sl_sched *s, struct sl_sched_run *r, uint32_t step);
/** ... and was asked to make way before. After restore_running. */
void sl_sched_restore_leaving(struct sl_sched *s, struct sl_sched_run *r, uint32_t step);
void sl_sched_restore_ended(struct sl_sched *s, struct sl_sched_run *r, uint32_t step, bool failed);
/** Moves backoffs that are due into the queue; *ret_next_ms: when to call again, or -1. */
void sl_sched_tick(struct sl_sched *s, int64_t now_ms, int64_t *ret_next_ms);
/** Whether fail_fast stops this step; *ret_by (when asked for and true): the step whose failure did. */
bool sl_sched_group_failed(const struct sl_sched_run *r, uint32_t step, uint32_t *ret_by);
bool sl_sched_run_done(const struct sl_sched_run *r); /* every step ended */

/** Why a step is not running: "needs train (running)", "waiting for 2 GPUs: 1 of 4 free", "backoff until ...",
 * "max_parallel 2 of step train". Appends to out. */
void sl_sched_why(const struct sl_sched *s, const struct sl_sched_run *r, uint32_t step,
                  struct sl_buf *out);

#endif
