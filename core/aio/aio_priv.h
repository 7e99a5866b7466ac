/**
 * The inside of the loop, shared by the files of this room only.
 */
#ifndef SL_AIO_PRIV_H
#define SL_AIO_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "core/aio/loop.h"
#include "core/base/mem.h"

struct sl_loop {
    uv_loop_t uv;
    uv_async_t wake;        /* posts and stop */
    uv_timer_t clock;       /* armed for the earliest timer */
    atomic_uintptr_t owner; /* pthread_t of the loop thread */
    atomic_bool stop;
    bool turning;   /* inside a waiting sl_loop_turn */
    size_t n_users; /* watches, signals, lanes: must be 0 at sl_loop_free */
    /* posts, under lock */
    pthread_mutex_t lock;
    struct sl_post *first, *last;
    size_t n_posts;
    /* timers: a binary heap by (due_ms, seq) */
    SL_VEC(struct sl_timer *) heap;
    uint64_t next_seq;
    int64_t armed_ms; /* what `clock` waits for; INT64_MAX while stopped */
};

/** Fires what is due and arms the clock for the rest. */
void sl_timers_init(struct sl_loop *loop);
void sl_timers_release(struct sl_loop *loop);

/** Message of a libuv status. */
int sl_uv_err(struct sl_err *err, int status, const char *what);

#endif
