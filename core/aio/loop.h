/**
 * The event loop: one thread that runs callbacks, and the ways onto it: posts from other threads,
 * timers, readable descriptors and signals.
 *
 * Thread: the loop thread, except sl_loop_post and sl_loop_stop. Must not: block, or show libuv to
 * other rooms. Stopping a timer, watch or signal takes effect at once: the embedding memory may be
 * freed in the next line.
 */
#ifndef SL_AIO_LOOP_H
#define SL_AIO_LOOP_H

#include "core/base/err.h"

#define SL_TIMER_MS_MAX (10LL * 366 * 24 * 3600 * 1000) /* longest delay; longer ones are cut */

struct uv_loop_s;
struct sl_loop;

/**
 * A new loop, owned by the calling thread until another thread runs it. SIGPIPE is blocked in the
 * loop's threads.
 *
 * @return 0, or -SL_EIO when the kernel refuses descriptors. Owner: caller, sl_loop_free.
 */
int sl_loop_new(struct sl_loop **ret_loop, struct sl_err *err) SL_MUST_CHECK;

/** Runs callbacks until sl_loop_stop. The calling thread becomes the loop thread. */
void sl_loop_run(struct sl_loop *loop);

/** One turn: runs what is due. With `wait`, blocks until something was. Thread: loop. */
void sl_loop_turn(struct sl_loop *loop, bool wait);

/** Makes sl_loop_run return after the current callback. Thread: any. */
void sl_loop_stop(struct sl_loop *loop);

/** Frees it. Timers, watches, lanes and servers must be stopped or closed before (asserted);
 * pending posts are run first. NULL allowed. */
void sl_loop_free(struct sl_loop *loop);

/** Whether the caller is the loop thread. */
bool sl_loop_is_current(const struct sl_loop *loop);
#define SL_ON_LOOP(loop) SL_ASSERT(sl_loop_is_current(loop))

/** For core/http only, the other owner of uv.h. */
struct uv_loop_s *sl_loop_uv(struct sl_loop *loop);

/** Monotonic milliseconds as this loop's timers count them. Thread: any. */
int64_t sl_loop_now_ms(void);

/** A hop onto the loop, embedded in the caller's struct. Zeroed before first use. */
struct sl_post {
    void (*fn)(struct sl_post *post);
    /* private */
    struct sl_post *next;
    bool queued;
};

/**
 * Runs `post->fn` on the loop thread, once, always later; in the order of posting. The post must
 * stay alive until then and must not be posted again before (asserted). Never fails. Thread: any.
 */
void sl_loop_post(struct sl_loop *loop, struct sl_post *post);

/** Takes a post back. False when it was not queued (any more). Thread: loop. */
bool sl_loop_unpost(struct sl_loop *loop, struct sl_post *post);

/** A one-shot timer, embedded. Zeroed before first use. */
struct sl_timer {
    void (*fn)(struct sl_timer *timer);
    /* private */
    struct sl_loop *loop;
    int64_t due_ms;
    uint64_t seq;
    size_t slot; /* place in the heap + 1; 0 while stopped */
};

/** (Re)starts the timer: `timer->fn` runs once, `delay_ms` (>= 0) from now, never from inside this
 * call. Equal times fire in the order of starting. */
void sl_timer_start(struct sl_loop *loop, struct sl_timer *timer, int64_t delay_ms);
void sl_timer_stop(struct sl_timer *timer); /* a stopped one is allowed */
bool sl_timer_active(const struct sl_timer *timer);

enum sl_fd_event { SL_FD_READ = 1, SL_FD_WRITE = 2 };

/** Watches a descriptor (pidfd, pipe, socket, inotify), embedded. Zeroed before first use. */
struct sl_fdwatch {
    void (*fn)(struct sl_fdwatch *watch, unsigned events);
    /* private */
    struct sl_fdwatch_io *io;
};

/**
 * Calls `watch->fn` whenever `fd` is ready (level-triggered) until stopped. Sets O_NONBLOCK on it.
 * Hang-up and error count as readable. The descriptor must stay open until sl_fdwatch_stop.
 *
 * @param events  SL_FD_READ | SL_FD_WRITE
 * @return        0, -SL_EINVAL when the descriptor cannot be watched (regular file, closed)
 */
int sl_fdwatch_start(struct sl_loop *loop, struct sl_fdwatch *watch, int fd, unsigned events,
                     struct sl_err *err) SL_MUST_CHECK;
void sl_fdwatch_stop(struct sl_fdwatch *watch); /* a stopped one is allowed */

/** Receives a signal on the loop, embedded. Zeroed before first use. */
struct sl_sigwatch {
    void (*fn)(struct sl_sigwatch *watch, int signum);
    /* private */
    struct sl_sigwatch_io *io;
};

/** Calls `watch->fn` on the loop for every delivery of `signum` (SIGINT, SIGTERM, SIGHUP, ...). */
int sl_sigwatch_start(struct sl_loop *loop, struct sl_sigwatch *watch, int signum,
                      struct sl_err *err) SL_MUST_CHECK;
void sl_sigwatch_stop(struct sl_sigwatch *watch);

#endif
