/**
 * Timers: a binary heap over embedded structs and one uv_timer armed for the earliest, so that
 * stopping is immediate and a thousand connections cost one kernel timer.
 *
 * Thread: loop. Must not: run a timer from inside sl_timer_start.
 */
#include "core/base/base.h"

#include "core/aio/loop.h"

#include <stdlib.h>

#include "core/aio/aio_priv.h"
#include "core/base/time.h"

#define NS_PER_MS 1000000

int64_t sl_loop_now_ms(void)
{
    return sl_mono_ns() / NS_PER_MS;
}

static bool before(const struct sl_timer *a, const struct sl_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->seq < b->seq;
}

static void place(struct sl_loop *loop, struct sl_timer *timer, size_t at)
{
    loop->heap.items[at] = timer;
    timer->slot = at + 1;
}

static void sift_up(struct sl_loop *loop, size_t at)
{
    struct sl_timer *timer = loop->heap.items[at];
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!before(timer, loop->heap.items[parent])) {
            break;
        }
        place(loop, loop->heap.items[parent], at);
        at = parent;
    }
    place(loop, timer, at);
}

static void sift_down(struct sl_loop *loop, size_t at)
{
    struct sl_timer *timer = loop->heap.items[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= loop->heap.n) {
            break;
        }
        if (child + 1 < loop->heap.n &&
            before(loop->heap.items[child + 1], loop->heap.items[child])) {
            child++;
        }
        if (!before(loop->heap.items[child], timer)) {
            break;
        }
        place(loop, loop->heap.items[child], at);
        at = child;
    }
    place(loop, timer, at);
}

static void remove_at(struct sl_loop *loop, size_t at)
{
    SL_ASSERT(at < loop->heap.n);
    loop->heap.items[at]->slot = 0;
    struct sl_timer *moved = loop->heap.items[--loop->heap.n];
    if (at < loop->heap.n) {
        place(loop, moved, at);
        sift_up(loop, at);
        sift_down(loop, moved->slot - 1);
    }
}

static void on_clock(uv_timer_t *clock);

/* Arms the clock for the earliest timer; leaves it alone when it fires early enough already. */
static void arm(struct sl_loop *loop)
{
    if (loop->heap.n == 0) {
        return; /* an idle wake-up is cheaper than stopping and starting on every request */
    }
    int64_t due = loop->heap.items[0]->due_ms;
    if (loop->armed_ms <= due) {
        return;
    }
    int64_t delay = due - sl_loop_now_ms();
    uv_update_time(&loop->uv);
    SL_ASSERT(uv_timer_start(&loop->clock, on_clock, delay > 0 ? (uint64_t)delay : 0, 0) == 0);
    loop->armed_ms = due;
}

static void on_clock(uv_timer_t *clock)
{
    struct sl_loop *loop = SL_CONTAINER_OF(clock, struct sl_loop, clock);
    loop->armed_ms = INT64_MAX;
    int64_t now = sl_loop_now_ms();
    uint64_t seq_end =
        loop->next_seq; /* timers started by these callbacks wait for the next turn */
    while (loop->heap.n > 0) {
        struct sl_timer *timer = loop->heap.items[0];
        if (timer->due_ms > now || timer->seq >= seq_end) {
            break;
        }
        remove_at(loop, 0);
        timer->fn(timer);
    }
    arm(loop);
    if (loop->turning) {
        /* UV_RUN_ONCE polls after its timers, for ever when none is left: make it return. */
        SL_ASSERT(uv_async_send(&loop->wake) == 0);
    }
}

void sl_timers_init(struct sl_loop *loop)
{
    SL_ASSERT(uv_timer_init(&loop->uv, &loop->clock) == 0);
    loop->armed_ms = INT64_MAX;
}

void sl_timers_release(struct sl_loop *loop)
{
    uv_close((uv_handle_t *)&loop->clock, NULL);
    sl_vec_free(&loop->heap);
}

void sl_timer_start(struct sl_loop *loop, struct sl_timer *timer, int64_t delay_ms)
{
    SL_ON_LOOP(loop);
    SL_ASSERT(timer->fn != NULL);
    SL_ASSERT(delay_ms >= 0);
    sl_timer_stop(timer);
    timer->loop = loop;
    timer->due_ms = sl_loop_now_ms() + SL_MIN(delay_ms, SL_TIMER_MS_MAX);
    timer->seq = loop->next_seq++;
    sl_vec_push(&loop->heap, timer);
    timer->slot = loop->heap.n;
    sift_up(loop, loop->heap.n - 1);
    arm(loop);
}

void sl_timer_stop(struct sl_timer *timer)
{
    if (timer->slot != 0) {
        SL_ON_LOOP(timer->loop);
        remove_at(timer->loop, timer->slot - 1);
    }
}

bool sl_timer_active(const struct sl_timer *timer)
{
    return timer->slot != 0;
}
