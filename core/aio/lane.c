/**
 * Lanes: a bounded queue, its threads, and the way back: one list of finished work and one post.
 *
 * Thread: see each function. One lock guards queue, states and the finished list; user code runs
 * without it. Must not: deliver `done` from inside sl_lane_submit or sl_work_cancel.
 */
#include "core/base/base.h"

#include "core/aio/lane.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/aio/aio_priv.h"

#define THREAD_NAME_MAX 16 /* the kernel's, with NUL */

struct work_list {
    struct sl_work *first, *last;
    size_t n;
};

struct sl_lane {
    struct sl_loop *loop;
    struct sl_lane_opts opts;
    char name[THREAD_NAME_MAX];
    pthread_t *threads;
    int n_threads;
    size_t pending;  /* loop thread only: submitted, done not begun */
    bool delivering; /* loop thread only: inside `done` */
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct work_list queue, finished;
    int idle; /* threads that wait for `more` */
    bool closing;
    struct sl_post post; /* queued whenever `finished` is not empty */
};

static void list_push(struct work_list *list, struct sl_work *work)
{
    work->next = NULL;
    work->prev = list->last;
    if (list->last != NULL) {
        list->last->next = work;
    } else {
        list->first = work;
    }
    list->last = work;
    list->n++;
}

static void list_remove(struct work_list *list, struct sl_work *work)
{
    if (work->prev != NULL) {
        work->prev->next = work->next;
    } else {
        list->first = work->next;
    }
    if (work->next != NULL) {
        work->next->prev = work->prev;
    } else {
        list->last = work->prev;
    }
    work->next = work->prev = NULL;
    SL_ASSERT(list->n > 0);
    list->n--;
}

/* Called with the lock held. One post carries any number of finished pieces: true for the first of them, whose
 * caller sends the post once it has let go of the lock (the loop wakes at once, and would only wait for it). */
static bool finish(struct sl_lane *lane, struct sl_work *work)
{
    work->state = SL_WORK_DONE;
    bool first = lane->finished.n == 0;
    list_push(&lane->finished, work);
    return first;
}

static void *lane_main(void *data)
{
    struct sl_lane *lane = data;
    pthread_mutex_lock(&lane->lock); /* held by start_threads until `threads` is complete */
    pthread_mutex_unlock(&lane->lock);
    if (lane->opts.thread_start != NULL) {
        lane->opts.thread_start(lane->opts.data);
    }
    pthread_mutex_lock(&lane->lock);
    for (;;) {
        while (lane->queue.n == 0 && !lane->closing) {
            lane->idle++;
            pthread_cond_wait(&lane->more, &lane->lock);
            lane->idle--;
        }
        struct sl_work *work = lane->queue.first;
        if (work == NULL) {
            break;
        }
        list_remove(&lane->queue, work);
        work->state = SL_WORK_RUNNING;
        pthread_mutex_unlock(&lane->lock);
        work->fn(work);
        pthread_mutex_lock(&lane->lock);
        work->ran = true;
        if (finish(lane, work)) {
            pthread_mutex_unlock(&lane->lock);
            sl_loop_post(lane->loop, &lane->post);
            pthread_mutex_lock(&lane->lock);
        }
    }
    pthread_mutex_unlock(&lane->lock);
    if (lane->opts.thread_stop != NULL) {
        lane->opts.thread_stop(lane->opts.data);
    }
    return NULL;
}

/* Delivers what had finished when it began. False when there was nothing. */
static bool deliver(struct sl_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    struct work_list batch = lane->finished;
    lane->finished = (struct work_list){0};
    pthread_mutex_unlock(&lane->lock);
    bool any = batch.first != NULL;
    while (batch.first != NULL) {
        struct sl_work *work = batch.first;
        list_remove(&batch, work);
        SL_ASSERT(work->state == SL_WORK_DONE);
        SL_ASSERT(lane->pending > 0);
        work->state = SL_WORK_IDLE;
        lane->pending--;
        lane->delivering = true;
        work->done(work); /* may free the work, or submit it again */
        lane->delivering = false;
    }
    return any;
}

static void on_post(struct sl_post *post)
{
    (void)deliver(SL_CONTAINER_OF(post, struct sl_lane, post));
}

/* Threads inherit the mask: signals belong to the loop. */
static int start_threads(struct sl_lane *lane, struct sl_err *err)
{
    sigset_t all, old;
    sigfillset(&all);
    SL_ASSERT(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
    int status = 0;
    pthread_mutex_lock(&lane->lock);
    while (lane->n_threads < lane->opts.threads && status == 0) {
        status = pthread_create(&lane->threads[lane->n_threads], NULL, lane_main, lane);
        if (status == 0) {
            (void)pthread_setname_np(lane->threads[lane->n_threads], lane->name);
            lane->n_threads++;
        }
    }
    pthread_mutex_unlock(&lane->lock);
    SL_ASSERT(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    if (status != 0) {
        return sl_err_errno(err, status, "cannot start a thread of lane '%s'", lane->name);
    }
    return 0;
}

int sl_lane_open(struct sl_loop *loop, const struct sl_lane_opts *opts, struct sl_lane **ret_lane,
                 struct sl_err *err)
{
    SL_ON_LOOP(loop);
    SL_ASSERT(opts->name != NULL);
    SL_ASSERT(opts->threads >= 1 && opts->threads <= SL_LANE_THREADS_MAX);
    SL_ASSERT(opts->queue_max >= 1 && opts->queue_max <= SL_LANE_QUEUE_MAX);
    struct sl_lane *lane = SL_NEW(struct sl_lane);
    lane->loop = loop;
    lane->opts = *opts;
    size_t len = SL_MIN(strlen(opts->name), sizeof(lane->name) - 1);
    memcpy(lane->name, opts->name, len);
    lane->opts.name = lane->name;
    lane->threads = sl_calloc((size_t)opts->threads, sizeof(*lane->threads));
    SL_ASSERT(pthread_mutex_init(&lane->lock, NULL) == 0);
    SL_ASSERT(pthread_cond_init(&lane->more, NULL) == 0);
    lane->post.fn = on_post;
    loop->n_users++;
    int rc = start_threads(lane, err);
    if (rc != 0) {
        sl_lane_close(lane, false);
        return rc;
    }
    *ret_lane = lane;
    return 0;
}

int sl_lane_submit(struct sl_lane *lane, struct sl_work *work, struct sl_err *err)
{
    SL_ON_LOOP(lane->loop);
    SL_ASSERT(work->fn != NULL && work->done != NULL);
    SL_ASSERT(work->state == SL_WORK_IDLE);
    bool wake = false;
    pthread_mutex_lock(&lane->lock);
    int code = lane->closing ? SL_ECANCELLED : lane->queue.n >= lane->opts.queue_max ? SL_EBUSY : 0;
    if (code == 0) {
        work->lane = lane;
        work->ran = false;
        atomic_store(&work->cancelled, false);
        work->state = SL_WORK_QUEUED;
        list_push(&lane->queue, work);
        lane->pending++;
        wake = lane->idle > 0;
    }
    pthread_mutex_unlock(&lane->lock);
    if (wake) { /* outside: who wakes needs the lock first */
        pthread_cond_signal(&lane->more);
    }
    if (code == SL_ECANCELLED) {
        return sl_err_set(err, code, "lane '%s' is closing", lane->name);
    }
    if (code == SL_EBUSY) {
        return sl_err_set(err, code, "lane '%s' has %zu requests waiting already", lane->name,
                          lane->opts.queue_max);
    }
    return 0;
}

void sl_work_cancel(struct sl_work *work)
{
    struct sl_lane *lane = work->lane;
    if (lane == NULL) {
        return; /* never submitted */
    }
    SL_ON_LOOP(lane->loop);
    pthread_mutex_lock(&lane->lock);
    if (work->state != SL_WORK_IDLE) {
        atomic_store(&work->cancelled, true);
    }
    bool post = false;
    if (work->state == SL_WORK_QUEUED) {
        list_remove(&lane->queue, work);
        post = finish(lane, work);
    }
    pthread_mutex_unlock(&lane->lock);
    if (post) {
        sl_loop_post(lane->loop, &lane->post);
    }
}

bool sl_work_cancelled(const struct sl_work *work)
{
    return atomic_load(&work->cancelled);
}

size_t sl_lane_pending(const struct sl_lane *lane)
{
    SL_ON_LOOP(lane->loop);
    return lane->pending;
}

bool sl_lane_is_current(const struct sl_lane *lane)
{
    for (int i = 0; i < lane->n_threads; i++) {
        if (pthread_equal(lane->threads[i], pthread_self())) {
            return true;
        }
    }
    return false;
}

void sl_lane_close(struct sl_lane *lane, bool drain)
{
    if (lane == NULL) {
        return;
    }
    SL_ON_LOOP(lane->loop);
    SL_ASSERT(!lane->delivering); /* the rest of the batch would be lost */
    pthread_mutex_lock(&lane->lock);
    lane->closing = true;
    while (!drain && lane->queue.first != NULL) {
        struct sl_work *work = lane->queue.first;
        atomic_store(&work->cancelled, true);
        list_remove(&lane->queue, work);
        (void)finish(lane, work); /* delivered below */
    }
    pthread_cond_broadcast(&lane->more);
    pthread_mutex_unlock(&lane->lock);
    for (int i = 0; i < lane->n_threads; i++) {
        SL_ASSERT(pthread_join(lane->threads[i], NULL) == 0);
    }
    while (deliver(lane)) {
    }
    SL_ASSERT(lane->pending == 0 && lane->queue.n == 0);
    (void)sl_loop_unpost(lane->loop, &lane->post);
    lane->loop->n_users--;
    pthread_cond_destroy(&lane->more);
    pthread_mutex_destroy(&lane->lock);
    free(lane->threads);
    free(lane);
}
