/**
 * Lanes: threads that own a resource, and work embedded in the caller's request struct: `fn` runs
 * on the lane, `done` on the loop.
 *
 * Thread: the loop thread, except where said. Must not: run `done` from inside sl_lane_submit or
 * sl_work_cancel, lose or double it.
 */
#ifndef SL_AIO_LANE_H
#define SL_AIO_LANE_H

#include <stdatomic.h>

#include "core/aio/loop.h"

#define SL_LANE_THREADS_MAX 64
#define SL_LANE_QUEUE_MAX   1000000 /* largest bound a lane may ask for */

struct sl_lane;

struct sl_lane_opts {
    const char *name; /* at most 15 bytes show up as the thread name */
    int threads;      /* 1..SL_LANE_THREADS_MAX; one keeps the order of submission */
    size_t queue_max; /* work waiting to begin, 1..SL_LANE_QUEUE_MAX */
    void (*thread_start)(void *data); /* NULL, or run first on each thread */
    void (*thread_stop)(void *data);  /* NULL, or run last on each thread */
    void *data;
};

enum sl_work_state { SL_WORK_IDLE, SL_WORK_QUEUED, SL_WORK_RUNNING, SL_WORK_DONE };

/** One piece of work. Zeroed before first use; reusable from inside `done`. */
struct sl_work {
    void (*fn)(struct sl_work *work);   /* on a lane thread; skipped when cancelled in time */
    void (*done)(struct sl_work *work); /* on the loop, exactly once; may free the work */
    bool ran;                           /* for done: fn was run to its end */
    /* private */
    atomic_bool cancelled;
    enum sl_work_state state;
    struct sl_lane *lane;
    struct sl_work *next, *prev;
};

/** Starts the threads (all signals blocked in them). Owner: caller, sl_lane_close. */
int sl_lane_open(struct sl_loop *loop, const struct sl_lane_opts *opts, struct sl_lane **ret_lane,
                 struct sl_err *err) SL_MUST_CHECK;

/**
 * Queues the work. `fn` and `done` must be set, and the work must stay alive until `done`.
 *
 * @return 0 (done will run), -SL_EBUSY when queue_max pieces wait, -SL_ECANCELLED when the lane is
 *         being closed. On failure nothing runs.
 */
int sl_lane_submit(struct sl_lane *lane, struct sl_work *work, struct sl_err *err) SL_MUST_CHECK;

/** Asks for less: waiting work never begins, running work sees sl_work_cancelled. `done` still runs,
 * later, and sees sl_work_cancelled. Idle work is left alone. */
void sl_work_cancel(struct sl_work *work);
bool sl_work_cancelled(const struct sl_work *work); /* Thread: any */

/** Work submitted whose `done` has not begun. */
size_t sl_lane_pending(const struct sl_lane *lane);

/** Whether the caller is one of the lane's threads. Thread: any. */
bool sl_lane_is_current(const struct sl_lane *lane);
#define SL_ON_LANE(lane) SL_ASSERT(sl_lane_is_current(lane))

/**
 * Closes: refuses new work; with `drain` waits for all that is queued, else cancels what has not
 * begun; joins the threads, runs every outstanding `done`, frees the lane. NULL allowed.
 * Not from inside a `done` of the same lane (asserted). Thread: loop. Blocks: yes, for as long as the work that runs.
 */
void sl_lane_close(struct sl_lane *lane, bool drain);

#endif
