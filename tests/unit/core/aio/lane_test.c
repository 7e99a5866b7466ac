/* Lanes: order, bounds, cancel, exactly one completion, closing. */
#include "core/base/base.h"

#include "core/aio/lane.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/time.h"
#include "tests/support/sl_test.h"

struct world {
    struct sl_loop *loop;
    struct sl_lane *lane;
    int n_done, expected;
    int order[64];
    atomic_int n_ran, inside, inside_max;
    sem_t begun, go; /* for blockers */
};

struct job {
    struct sl_work work;
    struct world *world;
    int number, done_calls;
    bool saw_cancelled, saw_ran;
};

static void open_world(struct world *world, int threads, size_t queue_max)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_loop_new(&world->loop, &err), err);
    struct sl_lane_opts opts = {.name = "test", .threads = threads, .queue_max = queue_max};
    SL_CHECK_OK(sl_lane_open(world->loop, &opts, &world->lane, &err), err);
    sem_init(&world->begun, 0, 0);
    sem_init(&world->go, 0, 0);
}

static void close_world(struct world *world)
{
    sl_lane_close(world->lane, true);
    sl_loop_free(world->loop);
    sem_destroy(&world->begun);
    sem_destroy(&world->go);
}

static void run_job(struct sl_work *work)
{
    struct job *job = SL_CONTAINER_OF(work, struct job, work);
    SL_ON_LANE(job->world->lane);
    atomic_fetch_add(&job->world->n_ran, 1);
}

static void block_job(struct sl_work *work)
{
    struct world *world = SL_CONTAINER_OF(work, struct job, work)->world;
    sem_post(&world->begun);
    while (sem_wait(&world->go) != 0) {
    }
}

static void job_done(struct sl_work *work)
{
    struct job *job = SL_CONTAINER_OF(work, struct job, work);
    struct world *world = job->world;
    SL_ON_LOOP(world->loop);
    job->done_calls++;
    job->saw_cancelled = sl_work_cancelled(work);
    job->saw_ran = work->ran;
    if (world->n_done < 64) {
        world->order[world->n_done] = job->number;
    }
    world->n_done++;
}

static struct job make_job(struct world *world, int number, void (*fn)(struct sl_work *))
{
    return (struct job){.work = {.fn = fn, .done = job_done}, .world = world, .number = number};
}

static void submit(struct job *job)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_lane_submit(job->world->lane, &job->work, &err), err);
}

static void run_until_done(struct world *world, int n)
{
    while (world->n_done < n) {
        sl_loop_turn(world->loop, true);
    }
}

SL_TEST(core_aio_lane, submit__one_thread__keeps_the_order)
{
    struct world world = {0};
    open_world(&world, 1, 100);
    struct job jobs[40];
    for (int i = 0; i < 40; i++) {
        jobs[i] = make_job(&world, i, run_job);
        submit(&jobs[i]);
    }
    SL_CHECK_EQ_INT(world.n_done, 0); /* always later */
    SL_CHECK_EQ_UINT(sl_lane_pending(world.lane), 40);
    run_until_done(&world, 40);
    for (int i = 0; i < 40; i++) {
        SL_CHECK_EQ_INT(world.order[i], i);
        SL_CHECK_EQ_INT(jobs[i].done_calls, 1);
        SL_CHECK(jobs[i].saw_ran && !jobs[i].saw_cancelled);
    }
    SL_CHECK_EQ_UINT(sl_lane_pending(world.lane), 0);
    close_world(&world);
}

SL_TEST(core_aio_lane, submit__four_threads_10k_items__each_done_exactly_once)
{
    enum { ITEMS = 10000 };
    struct world world = {0};
    open_world(&world, 4, 64);
    struct job *jobs = sl_calloc(ITEMS, sizeof(*jobs));
    struct sl_err err = SL_ERR_INIT;
    int next = 0, busy = 0;
    while (world.n_done < ITEMS) {
        while (next < ITEMS) {
            jobs[next] = make_job(&world, next, run_job);
            int rc = sl_lane_submit(world.lane, &jobs[next].work, &err);
            if (rc == -SL_EBUSY) {
                busy++;
                break;
            }
            SL_CHECK_EQ_INT(rc, 0);
            next++;
        }
        sl_loop_turn(world.loop, true);
    }
    SL_CHECK_EQ_INT(atomic_load(&world.n_ran), ITEMS);
    for (int i = 0; i < ITEMS; i++) {
        SL_CHECK_EQ_INT(jobs[i].done_calls, 1);
    }
    close_world(&world);
    free(jobs);
}

SL_TEST(core_aio_lane, submit__queue_at_limit_and_one_past__ebusy_and_nothing_runs)
{
    struct world world = {0};
    open_world(&world, 1, 2);
    struct job blocker = make_job(&world, 0, block_job), jobs[3];
    submit(&blocker);
    sem_wait(&world.begun);
    for (int i = 0; i < 3; i++) {
        jobs[i] = make_job(&world, i + 1, run_job);
    }
    submit(&jobs[0]);
    submit(&jobs[1]);
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_ERR(sl_lane_submit(world.lane, &jobs[2].work, &err), SL_EBUSY, err,
                 "lane 'test' has 2 requests waiting already");
    sem_post(&world.go);
    run_until_done(&world, 3);
    SL_CHECK_EQ_INT(jobs[2].done_calls, 0);
    SL_CHECK_EQ_INT(atomic_load(&world.n_ran), 2);
    close_world(&world);
}

SL_TEST(core_aio_lane, cancel__queued_running_finished_idle__done_once_and_told)
{
    struct world world = {0};
    open_world(&world, 1, 10);
    struct job running = make_job(&world, 0, block_job), queued = make_job(&world, 1, run_job),
               kept = make_job(&world, 2, run_job), idle = make_job(&world, 3, run_job);
    sl_work_cancel(&idle.work);
    submit(&running);
    submit(&queued);
    submit(&kept);
    sem_wait(&world.begun);
    sl_work_cancel(&queued.work);
    sl_work_cancel(&queued.work);
    sl_work_cancel(&running.work);
    SL_CHECK_EQ_INT(world.n_done, 0); /* never from inside cancel */
    run_until_done(&world, 1);
    SL_CHECK_EQ_INT(world.order[0], 1); /* does not wait for the thread */
    sem_post(&world.go);
    run_until_done(&world, 3);
    SL_CHECK(queued.saw_cancelled && !queued.saw_ran);
    SL_CHECK(running.saw_cancelled && running.saw_ran);
    SL_CHECK(!kept.saw_cancelled && kept.saw_ran);
    SL_CHECK_EQ_INT(queued.done_calls + running.done_calls + kept.done_calls, 3);
    SL_CHECK_EQ_INT(idle.done_calls, 0);
    /* Reuse after a cancel starts clean. */
    submit(&queued);
    run_until_done(&world, 4);
    SL_CHECK(!queued.saw_cancelled && queued.saw_ran);
    close_world(&world);
}

SL_TEST(core_aio_lane, close__without_drain__running_ends_queued_cancelled_all_done)
{
    struct world world = {0};
    open_world(&world, 1, 10);
    struct job blocker = make_job(&world, 0, block_job), jobs[3];
    submit(&blocker);
    for (int i = 0; i < 3; i++) {
        jobs[i] = make_job(&world, i + 1, run_job);
        submit(&jobs[i]);
    }
    sem_wait(&world.begun);
    sem_post(&world.go);
    sl_lane_close(world.lane, false);
    world.lane = NULL;
    SL_CHECK_EQ_INT(world.n_done, 4);
    SL_CHECK(blocker.saw_ran);
    for (int i = 0; i < 3; i++) {
        SL_CHECK_EQ_INT(jobs[i].done_calls, 1);
        SL_CHECK(jobs[i].saw_cancelled || jobs[i].saw_ran);
    }
    close_world(&world);
}

SL_TEST(core_aio_lane, close__with_drain__everything_ran)
{
    struct world world = {0};
    open_world(&world, 3, 1000);
    struct job *jobs = sl_calloc(500, sizeof(*jobs));
    for (int i = 0; i < 500; i++) {
        jobs[i] = make_job(&world, i, run_job);
        submit(&jobs[i]);
    }
    sl_lane_close(world.lane, true);
    world.lane = NULL;
    SL_CHECK_EQ_INT(world.n_done, 500);
    SL_CHECK_EQ_INT(atomic_load(&world.n_ran), 500);
    close_world(&world);
    free(jobs);
}

struct resubmit {
    struct job job;
    int refused;
};
static void submit_again(struct sl_work *work)
{
    struct resubmit *me = SL_CONTAINER_OF(work, struct resubmit, job.work);
    struct sl_err err = SL_ERR_INIT;
    me->job.done_calls++;
    if (sl_lane_submit(me->job.world->lane, work, &err) == -SL_ECANCELLED) {
        me->refused++;
    }
}

SL_TEST(core_aio_lane, submit__from_done_during_close__refused_as_cancelled)
{
    struct world world = {0};
    open_world(&world, 1, 10);
    struct resubmit again = {.job = make_job(&world, 0, run_job)};
    again.job.work.done = submit_again;
    submit(&again.job);
    sl_lane_close(world.lane, true);
    world.lane = NULL;
    SL_CHECK_EQ_INT(again.job.done_calls, 1);
    SL_CHECK_EQ_INT(again.refused, 1);
    close_world(&world);
}

static void note_start(void *data)
{
    atomic_fetch_add((atomic_int *)data, 1);
}
static void note_stop(void *data)
{
    atomic_fetch_add((atomic_int *)data, 100);
}

SL_TEST(core_aio_lane, open__thread_hooks__run_once_per_thread)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_loop *loop = NULL;
    struct sl_lane *lane = NULL;
    atomic_int calls = 0;
    SL_CHECK_OK(sl_loop_new(&loop, &err), err);
    struct sl_lane_opts opts = {.name = "a name of more than fifteen bytes",
                                .threads = 4,
                                .queue_max = 1,
                                .thread_start = note_start,
                                .thread_stop = note_stop,
                                .data = &calls};
    SL_CHECK_OK(sl_lane_open(loop, &opts, &lane, &err), err);
    SL_CHECK(!sl_lane_is_current(lane));
    sl_lane_close(lane, false);
    SL_CHECK_EQ_INT(atomic_load(&calls), 404);
    sl_loop_free(loop);
}
