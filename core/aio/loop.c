/**
 * The loop's life, and posts from other threads: a locked list and one uv_async.
 *
 * Thread: loop, except sl_loop_post, sl_loop_stop, sl_loop_is_current. Must not: run user code with
 * the lock held.
 */
#include "core/base/base.h"

#include "core/aio/loop.h"

#include <signal.h>
#include <stdlib.h>

#include "core/aio/aio_priv.h"

int sl_uv_err(struct sl_err *err, int status, const char *what)
{
    /* libuv's codes are negated errno values on this platform. */
    return sl_err_errno(err, -status, "%s", what);
}

/* Takes the first post off; NULL when there is none. */
static struct sl_post *take_post(struct sl_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct sl_post *post = loop->first;
    if (post != NULL) {
        loop->first = post->next;
        if (loop->first == NULL) {
            loop->last = NULL;
        }
        loop->n_posts--;
        post->next = NULL;
        post->queued = false;
    }
    pthread_mutex_unlock(&loop->lock);
    return post;
}

/* Runs what was queued when it began: a post that posts itself again cannot starve the rest. */
static void run_posts(struct sl_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    size_t n = loop->n_posts;
    pthread_mutex_unlock(&loop->lock);
    for (; n > 0; n--) {
        struct sl_post *post = take_post(loop);
        if (post == NULL) {
            return; /* taken back meanwhile */
        }
        post->fn(post);
    }
    pthread_mutex_lock(&loop->lock);
    bool more = loop->first != NULL;
    pthread_mutex_unlock(&loop->lock);
    if (more) {
        SL_ASSERT(uv_async_send(&loop->wake) == 0);
    }
}

static void on_wake(uv_async_t *wake)
{
    struct sl_loop *loop = SL_CONTAINER_OF(wake, struct sl_loop, wake);
    run_posts(loop);
    if (atomic_load(&loop->stop)) {
        uv_stop(&loop->uv);
    }
}

/* libuv writes without MSG_NOSIGNAL: a vanished peer must be an error code here, not a signal. The
 * mask is the thread's own; children start with an empty one. */
static void block_sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    SL_ASSERT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

int sl_loop_new(struct sl_loop **ret_loop, struct sl_err *err)
{
    struct sl_loop *loop = SL_NEW(struct sl_loop);
    int status = uv_loop_init(&loop->uv);
    if (status != 0) {
        free(loop);
        return sl_uv_err(err, status, "cannot make an event loop");
    }
    status = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (status != 0) {
        (void)uv_loop_close(&loop->uv);
        free(loop);
        return sl_uv_err(err, status, "cannot make an event loop");
    }
    SL_ASSERT(pthread_mutex_init(&loop->lock, NULL) == 0);
    block_sigpipe();
    atomic_store(&loop->owner, (uintptr_t)pthread_self());
    sl_timers_init(loop);
    *ret_loop = loop;
    return 0;
}

void sl_loop_run(struct sl_loop *loop)
{
    atomic_store(&loop->owner, (uintptr_t)pthread_self());
    block_sigpipe();
    while (!atomic_load(&loop->stop)) {
        (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    }
    atomic_store(&loop->stop, false);
}

void sl_loop_turn(struct sl_loop *loop, bool wait)
{
    SL_ON_LOOP(loop);
    loop->turning = wait;
    (void)uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    loop->turning = false;
}

void sl_loop_stop(struct sl_loop *loop)
{
    atomic_store(&loop->stop, true);
    SL_ASSERT(uv_async_send(&loop->wake) == 0);
}

void sl_loop_free(struct sl_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    SL_ON_LOOP(loop);
    while (loop->first != NULL) {
        run_posts(loop);
    }
    SL_ASSERT(loop->n_users == 0);
    SL_ASSERT(loop->heap.n == 0);
    sl_timers_release(loop);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT); /* lets closing handles finish */
    SL_ASSERT(uv_loop_close(&loop->uv) == 0);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

bool sl_loop_is_current(const struct sl_loop *loop)
{
    return atomic_load_explicit(&loop->owner, memory_order_relaxed) == (uintptr_t)pthread_self();
}

struct uv_loop_s *sl_loop_uv(struct sl_loop *loop)
{
    return &loop->uv;
}

void sl_loop_post(struct sl_loop *loop, struct sl_post *post)
{
    SL_ASSERT(post->fn != NULL);
    pthread_mutex_lock(&loop->lock);
    SL_ASSERT(!post->queued);
    post->queued = true;
    post->next = NULL;
    if (loop->last != NULL) {
        loop->last->next = post;
    } else {
        loop->first = post;
    }
    loop->last = post;
    loop->n_posts++;
    /* Inside the lock: afterwards the post may have run and the loop may be gone. */
    SL_ASSERT(uv_async_send(&loop->wake) == 0);
    pthread_mutex_unlock(&loop->lock);
}

bool sl_loop_unpost(struct sl_loop *loop, struct sl_post *post)
{
    SL_ON_LOOP(loop);
    pthread_mutex_lock(&loop->lock);
    bool found = post->queued;
    struct sl_post **at = &loop->first;
    struct sl_post *before = NULL;
    while (found && *at != post) {
        SL_ASSERT(*at != NULL); /* queued on another loop */
        before = *at;
        at = &(*at)->next;
    }
    if (found) {
        *at = post->next;
        if (loop->last == post) {
            loop->last = before;
        }
        loop->n_posts--;
        post->next = NULL;
        post->queued = false;
    }
    pthread_mutex_unlock(&loop->lock);
    return found;
}
