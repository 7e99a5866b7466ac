/* Loop: posts, timers, watches, signals. */
#include "core/base/base.h"

#include "core/aio/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "tests/support/sl_test.h"

#define POST_THREADS 8
#define POSTS_EACH   2000

struct counted_post {
    struct sl_post post;
    struct post_world *world;
    int thread, number;
};

struct post_world {
    struct sl_loop *loop;
    struct counted_post *posts;
    int seen, last[POST_THREADS];
    bool order_kept;
};

static struct sl_loop *new_loop(void)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_loop *loop = NULL;
    SL_CHECK_OK(sl_loop_new(&loop, &err), err);
    return loop;
}

static void on_counted(struct sl_post *post)
{
    struct counted_post *me = SL_CONTAINER_OF(post, struct counted_post, post);
    struct post_world *world = me->world;
    SL_ON_LOOP(world->loop);
    world->order_kept &= world->last[me->thread] == me->number - 1;
    world->last[me->thread] = me->number;
    if (++world->seen == POST_THREADS * POSTS_EACH) {
        sl_loop_stop(world->loop);
    }
}

static void *post_many(void *data)
{
    struct counted_post *mine = data;
    for (int i = 0; i < POSTS_EACH; i++) {
        sl_loop_post(mine[i].world->loop, &mine[i].post);
    }
    return NULL;
}

SL_TEST(core_aio_loop, post__eight_threads__all_run_once_in_each_threads_order)
{
    struct post_world world = {.loop = new_loop(), .order_kept = true};
    world.posts = sl_calloc(POST_THREADS * POSTS_EACH, sizeof(*world.posts));
    pthread_t threads[POST_THREADS];
    for (int t = 0; t < POST_THREADS; t++) {
        struct counted_post *mine = &world.posts[t * POSTS_EACH];
        for (int i = 0; i < POSTS_EACH; i++) {
            mine[i] = (struct counted_post){{.fn = on_counted}, &world, t, i + 1};
        }
        SL_CHECK_EQ_INT(pthread_create(&threads[t], NULL, post_many, mine), 0);
    }
    sl_loop_run(world.loop);
    for (int t = 0; t < POST_THREADS; t++) {
        pthread_join(threads[t], NULL);
    }
    SL_CHECK_EQ_INT(world.seen, POST_THREADS * POSTS_EACH);
    SL_CHECK(world.order_kept);
    sl_loop_free(world.loop);
    free(world.posts);
}

static void *stop_it(void *loop)
{
    sl_loop_stop(loop);
    return NULL;
}

SL_TEST(core_aio_loop, stop__from_another_thread__ends_run)
{
    struct sl_loop *loop = new_loop();
    pthread_t thread;
    SL_CHECK_EQ_INT(pthread_create(&thread, NULL, stop_it, loop), 0);
    sl_loop_run(loop);
    pthread_join(thread, NULL);
    sl_loop_free(loop);
}

static void *is_current(void *loop)
{
    return sl_loop_is_current(loop) ? loop : NULL;
}

SL_TEST(core_aio_loop, is_current__other_thread__false)
{
    struct sl_loop *loop = new_loop();
    SL_CHECK(sl_loop_is_current(loop));
    pthread_t thread;
    void *result = loop;
    SL_CHECK_EQ_INT(pthread_create(&thread, NULL, is_current, loop), 0);
    pthread_join(thread, &result);
    SL_CHECK_NULL(result);
    sl_loop_free(loop);
}

static void on_unwanted(struct sl_post *post)
{
    (void)post;
    SL_FAIL("a post that was taken back has run");
}

static void count_post(struct sl_post *post);
struct one_post {
    struct sl_post post;
    int runs;
};
static void count_post(struct sl_post *post)
{
    SL_CONTAINER_OF(post, struct one_post, post)->runs++;
}

SL_TEST(core_aio_loop, unpost__first_middle_last__never_run_and_the_rest_does)
{
    struct sl_loop *loop = new_loop();
    struct sl_post gone[3] = {{.fn = on_unwanted}, {.fn = on_unwanted}, {.fn = on_unwanted}};
    struct one_post kept[2] = {{.post = {.fn = count_post}}, {.post = {.fn = count_post}}};
    sl_loop_post(loop, &gone[0]);
    sl_loop_post(loop, &kept[0].post);
    sl_loop_post(loop, &gone[1]);
    sl_loop_post(loop, &kept[1].post);
    sl_loop_post(loop, &gone[2]);
    for (int i = 0; i < 3; i++) {
        SL_CHECK(sl_loop_unpost(loop, &gone[i]));
        SL_CHECK(!sl_loop_unpost(loop, &gone[i]));
    }
    sl_loop_turn(loop, true);
    SL_CHECK_EQ_INT(kept[0].runs, 1);
    SL_CHECK_EQ_INT(kept[1].runs, 1);
    sl_loop_free(loop);
}

struct again {
    struct sl_post post;
    struct sl_loop *loop;
    int runs;
};
static void post_again(struct sl_post *post)
{
    struct again *me = SL_CONTAINER_OF(post, struct again, post);
    if (++me->runs < 5) {
        sl_loop_post(me->loop, post);
    }
}

SL_TEST(core_aio_loop, post__from_its_own_callback__one_run_per_turn_and_free_runs_the_rest)
{
    struct again again = {.post = {.fn = post_again}, .loop = new_loop()};
    sl_loop_post(again.loop, &again.post);
    sl_loop_turn(again.loop, true);
    SL_CHECK_EQ_INT(again.runs, 1);
    sl_loop_free(again.loop);
    SL_CHECK_EQ_INT(again.runs, 5);
}

/* ---- timers ---- */

#define TIMERS 200

struct timer_log {
    struct sl_loop *loop;
    int order[TIMERS], n;
};
struct logged_timer {
    struct sl_timer timer;
    struct timer_log *log;
    int number;
};
static void log_timer(struct sl_timer *timer)
{
    struct logged_timer *me = SL_CONTAINER_OF(timer, struct logged_timer, timer);
    SL_CHECK(!sl_timer_active(timer));
    me->log->order[me->log->n++] = me->number;
}

SL_TEST(core_aio_timer, start__mixed_delays_and_stops__fire_by_time_then_start)
{
    struct timer_log log = {.loop = new_loop()};
    struct logged_timer timers[TIMERS];
    /* Two classes: 0 ms and 20 ms, interleaved; every seventh is stopped. All the early ones were
     * started within the first millisecond or two, far before the late ones are due. */
    for (int i = 0; i < TIMERS; i++) {
        timers[i] = (struct logged_timer){{.fn = log_timer}, &log, i};
        sl_timer_start(log.loop, &timers[i].timer, i % 2 == 0 ? 2000 : 1000);
    }
    for (int i = 0; i < TIMERS; i += 7) {
        sl_timer_stop(&timers[i].timer);
        SL_CHECK(!sl_timer_active(&timers[i].timer));
        sl_timer_stop(&timers[i].timer);
    }
    /* Restarting moves it: everything is due at once now, evens after odds. */
    for (int pass = 1; pass >= 0; pass--) {
        for (int i = pass; i < TIMERS; i += 2) {
            if (i % 7 != 0) {
                sl_timer_start(log.loop, &timers[i].timer, 0);
            }
        }
    }
    int expected = 0;
    for (int i = 0; i < TIMERS; i++) {
        expected += i % 7 != 0;
    }
    while (log.n < expected) {
        sl_loop_turn(log.loop, true);
    }
    int at = 0;
    for (int pass = 1; pass >= 0; pass--) {
        for (int i = pass; i < TIMERS; i += 2) {
            if (i % 7 != 0) {
                SL_CHECK_EQ_INT(log.order[at++], i);
            }
        }
    }
    sl_loop_free(log.loop);
}

SL_TEST(core_aio_timer, start__longer_before_shorter__shorter_fires_first)
{
    struct timer_log log = {.loop = new_loop()};
    struct logged_timer late = {{.fn = log_timer}, &log, 1}, early = {{.fn = log_timer}, &log, 2};
    int64_t begun = sl_loop_now_ms();
    sl_timer_start(log.loop, &late.timer, 30);
    sl_timer_start(log.loop, &early.timer, 5);
    while (log.n < 2) {
        sl_loop_turn(log.loop, true);
    }
    SL_CHECK_EQ_INT(log.order[0], 2);
    SL_CHECK_EQ_INT(log.order[1], 1);
    SL_CHECK(sl_loop_now_ms() - begun >= 30);
    sl_loop_free(log.loop);
}

struct stopper {
    struct sl_timer timer;
    struct sl_timer *victim;
};
static void stop_victim(struct sl_timer *timer)
{
    sl_timer_stop(SL_CONTAINER_OF(timer, struct stopper, timer)->victim);
}

SL_TEST(core_aio_timer, stop__by_an_earlier_timer_of_the_same_turn__does_not_fire)
{
    struct timer_log log = {.loop = new_loop()};
    struct logged_timer victim = {{.fn = log_timer}, &log, 1}, last = {{.fn = log_timer}, &log, 2};
    struct stopper stopper = {{.fn = stop_victim}, &victim.timer};
    sl_timer_start(log.loop, &stopper.timer, 0);
    sl_timer_start(log.loop, &victim.timer, 0);
    sl_timer_start(log.loop, &last.timer, 0);
    while (log.n < 1) {
        sl_loop_turn(log.loop, true);
    }
    SL_CHECK_EQ_INT(log.order[0], 2);
    sl_loop_free(log.loop);
}

/* ---- descriptors and signals ---- */

struct watch_world {
    struct sl_fdwatch watch;
    struct sl_sigwatch signals;
    struct sl_loop *loop;
    int fd, calls, signum;
    unsigned events;
};
static void read_one(struct sl_fdwatch *watch, unsigned events)
{
    struct watch_world *world = SL_CONTAINER_OF(watch, struct watch_world, watch);
    char c = 0;
    world->events = events;
    world->calls++;
    if (read(world->fd, &c, 1) == 0) {
        sl_fdwatch_stop(watch);
        sl_fdwatch_stop(watch);
    }
}

SL_TEST(core_aio_watch, fdwatch__pipe__called_until_read_and_at_hang_up)
{
    struct sl_err err = SL_ERR_INIT;
    struct watch_world world = {.watch = {.fn = read_one}, .loop = new_loop()};
    int ends[2];
    SL_CHECK_EQ_INT(pipe(ends), 0);
    world.fd = ends[0];
    SL_CHECK_OK(sl_fdwatch_start(world.loop, &world.watch, ends[0], SL_FD_READ, &err), err);
    SL_CHECK_EQ_INT(write(ends[1], "ab", 2), 2);
    while (world.calls < 2) {
        sl_loop_turn(world.loop, true);
    }
    SL_CHECK_EQ_UINT(world.events, SL_FD_READ);
    close(ends[1]);
    while (world.watch.io != NULL) {
        sl_loop_turn(world.loop, true);
    }
    SL_CHECK_EQ_INT(world.calls, 3);
    close(ends[0]);
    sl_loop_free(world.loop);
}

SL_TEST(core_aio_watch, fdwatch__regular_or_bad_descriptor__einval)
{
    struct sl_err err = SL_ERR_INIT;
    struct watch_world world = {.watch = {.fn = read_one}, .loop = new_loop()};
    SL_CHECK_ERR(sl_fdwatch_start(world.loop, &world.watch, -1, SL_FD_READ, &err), SL_EINVAL, err,
                 "cannot watch descriptor -1");
    char name[] = "/tmp/sl_watch_XXXXXX";
    int fd = mkstemp(name);
    SL_CHECK(fd >= 0);
    unlink(name);
    SL_CHECK_ERR(sl_fdwatch_start(world.loop, &world.watch, fd, SL_FD_READ, &err), SL_EINVAL, err,
                 "cannot watch descriptor");
    close(fd);
    sl_loop_free(world.loop);
}

static void on_signal(struct sl_sigwatch *watch, int signum)
{
    SL_CONTAINER_OF(watch, struct watch_world, signals)->signum = signum;
}

SL_TEST(core_aio_watch, sigwatch__sigterm__arrives_on_the_loop)
{
    struct sl_err err = SL_ERR_INIT;
    struct watch_world world = {.signals = {.fn = on_signal}, .loop = new_loop()};
    SL_CHECK_OK(sl_sigwatch_start(world.loop, &world.signals, SIGTERM, &err), err);
    SL_CHECK_EQ_INT(kill(getpid(), SIGTERM), 0);
    while (world.signum == 0) {
        sl_loop_turn(world.loop, true);
    }
    SL_CHECK_EQ_INT(world.signum, SIGTERM);
    sl_sigwatch_stop(&world.signals);
    sl_loop_free(world.loop);
}
