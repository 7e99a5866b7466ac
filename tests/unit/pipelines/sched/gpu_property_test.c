/**
 * Random machines and workloads through the real scheduler and the real books of GPUs, against a world that keeps its
 * own: nothing is oversubscribed, a set is whole or not there, no unit is given on while a process of its last holder
 * is on it, nobody waits forever, and nothing stays held after any end, kill or restart of the engine.
 *
 * A failure names its seed; SLUICE_GPU_SEED replays one alone.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "runners/gpu/pool.h"
#include "tests/unit/pipelines/sched/sched_support.h"

#define WORKLOADS  10000
#define STEPS_MAX  24
#define PROCS_MAX  512
#define ROUNDS_MAX 200000
#define GB         1000000000ULL
#define BYPASS_MAX 64 /* as the scheduler says */

enum phase { WANTED, RUNNING, ENDED };

struct proc { /* on a device, while it is there */
    size_t unit;
    char attempt[SL_ID_HEX + 1];
    uint64_t bytes; /* of a share; 0: has the unit */
    bool doomed;    /* its attempt ended */
    bool stays;     /* an orphan that takes its time */
};

struct world {
    uint64_t seed;
    struct rng rng;
    struct hand_plan h;
    struct sl_gpu_inventory *machine, *seen;
    struct sl_gpu_pool *pool;
    struct sl_sched_gpus ops;
    struct sl_sched *s;
    struct sl_sched_run *run;
    const char *types[STEPS_MAX][1];
    enum phase phase[STEPS_MAX];
    char attempt[STEPS_MAX][SL_ID_HEX + 1];
    int repeats[STEPS_MAX], bypassed[STEPS_MAX];
    uint64_t since[STEPS_MAX]; /* order of joining the line */
    uint64_t clock;
    int64_t now_ms;
    bool drained[SL_GPU_UNITS_MAX];
    struct proc procs[PROCS_MAX];
    size_t n_procs;
    uint64_t seen_epoch; /* of a look that is under way */
    bool looking;
    bool unnamed; /* whole holders' processes do not say whose they are; the engine lives on */
    int attempts, restarts;
};

#define CHECK(w, condition)                                                                        \
    SL_CHECK_MSG(condition, "seed %llu: " #condition, (unsigned long long)(w)->seed)

static uint32_t below(struct world *w, uint32_t n)
{
    return rng_below(&w->rng, n);
}

/* ---- machines and workloads ----------------------------------------------------------------------- */

static void add_unit(struct world *w, int index, int slice, uint64_t bytes)
{
    static const char *const names[] = {"NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB",
                                        "NVIDIA L4"};
    static const char *const types[] = {"H100", "A100", "L4"};
    struct sl_gpu *gpu = &w->machine->gpus[w->machine->n++];
    uint32_t kind = bytes >= 80 * GB ? 0 : bytes >= 40 * GB ? 1 : 2;
    *gpu = (struct sl_gpu){.index = index, .slice = slice, .memory_bytes = bytes};
    (void)snprintf(gpu->uuid, sizeof(gpu->uuid), "U%d.%d", index, slice);
    (void)snprintf(gpu->name, sizeof(gpu->name), "%s", names[slice >= 0 ? 0 : kind]);
    (void)snprintf(gpu->type, sizeof(gpu->type), "%s", types[slice >= 0 ? 0 : kind]);
    (void)snprintf(gpu->profile, sizeof(gpu->profile), "%s", slice >= 0 ? "1g.10gb" : "");
}

static void random_machine(struct world *w)
{
    static const uint64_t sizes[] = {80 * GB, 40 * GB, 24 * GB};
    int n = 1 + (int)below(w, 8);
    for (int i = 0; i < n; i++) {
        w->machine->devices[w->machine->n_devices++] = i;
        if (below(w, 6) == 0) {
            for (int k = 0; k < 1 + (int)below(w, 4); k++) {
                add_unit(w, i, k, 10 * GB);
            }
        } else {
            add_unit(w, i, -1, sizes[below(w, 3)]);
        }
    }
    for (int a = 0; a < n; a++) {
        for (int b = 0; b < a; b++) {
            uint8_t link = (uint8_t)below(w, SL_GPU_LINKS);
            w->machine->links[a][b] = w->machine->links[b][a] = link;
        }
    }
}

static struct sl_gpu_request request_of(const struct sl_resources *want)
{
    return (struct sl_gpu_request){.count = want->gpu_count,
                                   .memory_min = want->gpu_mem_min_bytes,
                                   .types = want->gpu_types,
                                   .n_types = want->n_gpu_types,
                                   .mig = want->mig == SL_MIG_FORBID ? SL_GPU_MIG_FORBID
                                                                     : SL_GPU_MIG_ALLOW,
                                   .share_bytes = want->gpu_share_bytes};
}

/** Something that the machine could do; when chance finds nothing, a step without GPUs. */
static void random_request(struct world *w, uint32_t step, struct sl_resources *r)
{
    static const char *const types[] = {"H100", "A100", "L4"};
    for (int tries = 0; tries < 8; tries++) {
        struct sl_err err = SL_ERR_INIT;
        *r = (struct sl_resources){.cpu_milli = 100 * (int)(1 + below(w, 4)),
                                   .gpu_count = 1 + (int)below(w, below(w, 3) == 0 ? 6 : 2),
                                   .priority = (int)below(w, 3)};
        if (below(w, 3) == 0) {
            w->types[step][0] = types[below(w, 3)];
            r->gpu_types = w->types[step];
            r->n_gpu_types = 1;
        }
        r->gpu_mem_min_bytes = below(w, 4) == 0 ? 30 * GB : 0;
        r->mig = below(w, 3) == 0 ? SL_MIG_FORBID : SL_MIG_ALLOW;
        if (below(w, 3) == 0) {
            r->gpu_count = 1;
            r->gpu_share_bytes = (1 + below(w, 30)) * GB;
        }
        struct sl_gpu_request q = request_of(r);
        if (sl_gpu_pool_check(w->pool, &q, &err) == 0) {
            return;
        }
    }
    *r = (struct sl_resources){.cpu_milli = 100};
}

static void random_workload(struct world *w)
{
    uint32_t n = 2 + below(w, STEPS_MAX - 2);
    bool pressure = below(w, 40) == 0; /* small ones come again and again */
    hand_init(&w->h);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t step = hand_add(&w->h, "s", 0);
        struct sl_resources *r = &hand_spec(&w->h, step)->resources;
        random_request(w, step, r);
        w->repeats[i] = pressure && r->gpu_count <= 1 ? 60 : (int)below(w, 3);
    }
}

/* ---- what the scheduler asks ---------------------------------------------------------------------- */

static bool ops_fits(void *data, const struct sl_resources *want,
                     const struct sl_sched_holder *gone, size_t n_gone)
{
    const struct world *w = data;
    struct sl_gpu_request r = request_of(want);
    (void)gone;
    CHECK(w, n_gone == 0);
    return sl_gpu_pool_fits(w->pool, &r, NULL, 0);
}

static bool ops_meet(void *data, const struct sl_resources *a, const struct sl_resources *b)
{
    const struct world *w = data;
    struct sl_gpu_request x = request_of(a);
    struct sl_gpu_request y = request_of(b);
    return sl_gpu_pool_meet(w->pool, &x, &y);
}

static void ops_why(void *data, const struct sl_resources *want, struct sl_buf *out)
{
    const struct world *w = data;
    struct sl_gpu_request r = request_of(want);
    sl_gpu_pool_why(w->pool, &r, out);
}

static int ops_check(void *data, const struct sl_resources *want, struct sl_err *err)
{
    const struct world *w = data;
    struct sl_gpu_request r = request_of(want);
    return sl_gpu_pool_check(w->pool, &r, err);
}

/* ---- starting ------------------------------------------------------------------------------------- */

static size_t unit_named(const struct world *w, const char *uuid, size_t len)
{
    for (size_t i = 0; i < w->machine->n; i++) {
        const char *name = w->machine->gpus[i].uuid;
        if (strlen(name) == len && memcmp(name, uuid, len) == 0) {
            return i;
        }
    }
    SL_FAIL("seed %llu: a unit that is not there", (unsigned long long)w->seed);
    return 0;
}

/** The world's own books: who is on the unit already. */
static void check_room(const struct world *w, size_t unit, const struct sl_resources *want)
{
    uint64_t bytes = want->gpu_share_bytes;
    for (size_t i = 0; i < w->n_procs; i++) {
        const struct proc *p = &w->procs[i];
        if (p->unit == unit) {
            CHECK(w, want->gpu_share_bytes > 0); /* a whole unit must be empty */
            CHECK(w, p->bytes > 0);              /* a share never joins a whole lease */
            bytes += p->bytes;
        }
    }
    CHECK(w, bytes <= w->machine->gpus[unit].memory_bytes);
    CHECK(w, !w->drained[unit]);
}

static void check_suits(const struct world *w, size_t unit, const struct sl_resources *want)
{
    const struct sl_gpu *gpu = &w->machine->gpus[unit];
    CHECK(w, want->n_gpu_types == 0 || sl_streq(want->gpu_types[0], gpu->type));
    CHECK(w, gpu->memory_bytes >= want->gpu_mem_min_bytes);
    CHECK(w, gpu->slice < 0 ||
                 (want->mig == SL_MIG_ALLOW && want->gpu_count == 1 && want->gpu_share_bytes == 0));
}

static void occupy(struct world *w, uint32_t step, const char *visible)
{
    const struct sl_resources *want = &w->h.steps[step].spec->resources;
    bool taken[SL_GPU_UNITS_MAX] = {false};
    int n = 0;
    for (const char *s = visible; *s != '\0'; n++) {
        size_t len = strcspn(s, ",");
        size_t unit = unit_named(w, s, len);
        CHECK(w, !taken[unit]);
        taken[unit] = true;
        check_room(w, unit, want);
        check_suits(w, unit, want);
        s += len + (s[len] == ',' ? 1 : 0);
    }
    CHECK(w, n == want->gpu_count); /* the whole set */
    for (size_t unit = 0; unit < w->machine->n; unit++) {
        if (taken[unit]) {
            CHECK(w, w->n_procs < PROCS_MAX);
            struct proc *p = &w->procs[w->n_procs++];
            *p = (struct proc){.unit = unit, .bytes = want->gpu_share_bytes};
            memcpy(p->attempt, w->attempt[step], sizeof(p->attempt));
        }
    }
}

/** Those that came first and could have used what it got were passed over once more, never without end. */
static void count_bypass(struct world *w, uint32_t started)
{
    const struct sl_resources *got = &w->h.steps[started].spec->resources;
    for (uint32_t i = 0; i < w->h.plan.n_steps; i++) {
        const struct sl_resources *r = &w->h.steps[i].spec->resources;
        bool before = r->priority > got->priority ||
                      (r->priority == got->priority && w->since[i] < w->since[started]);
        if (w->phase[i] == WANTED && before && r->gpu_count > 0 && got->gpu_count > 0 &&
            ops_meet(w, r, got)) {
            w->bypassed[i]++;
            CHECK(w, w->bypassed[i] <= BYPASS_MAX * STEPS_MAX);
        }
    }
}

static void start(struct world *w, uint32_t step)
{
    static char visible[SL_GPU_VISIBLE];
    struct sl_err err = SL_ERR_INIT;
    const struct sl_resources *want = &w->h.steps[step].spec->resources;
    CHECK(w, w->phase[step] == WANTED);
    w->phase[step] = RUNNING;
    w->bypassed[step] = 0;
    count_bypass(w, step);
    (void)snprintf(w->attempt[step], sizeof(w->attempt[step]), "%032d", ++w->attempts);
    if (want->gpu_count > 0) {
        struct sl_gpu_request r = request_of(want);
        SL_CHECK_OK(sl_gpu_pool_lease(w->pool, w->attempt[step], &r, visible, &err), err);
        occupy(w, step, visible);
    }
}

static void take_some(struct world *w)
{
    for (uint32_t left = 1 + below(w, 6); left > 0; left--) {
        struct sl_sched_item item = sl_sched_next(w->s);
        if (item.kind == SL_PICK_NONE) {
            return;
        }
        if (item.kind == SL_PICK_DECIDE) {
            w->phase[item.step] = WANTED;
            w->since[item.step] = ++w->clock;
            sl_sched_want_run(w->s, w->run, item.step);
        } else {
            CHECK(w, item.kind == SL_PICK_START);
            start(w, item.step);
        }
    }
}

/* ---- ending, looking, dying ----------------------------------------------------------------------- */

/** A running step ends or is killed; its processes go when they go. */
static void end_one(struct world *w)
{
    uint32_t step = below(w, w->h.plan.n_steps);
    if (w->phase[step] != RUNNING) {
        return;
    }
    for (size_t i = 0; i < w->n_procs; i++) {
        if (sl_streq(w->procs[i].attempt, w->attempt[step])) {
            w->procs[i].doomed = true;
            w->procs[i].stays = below(w, 8) == 0;
        }
    }
    sl_gpu_pool_release(w->pool, w->attempt[step]);
    if (w->repeats[step]-- > 0) {
        w->phase[step] = WANTED;
        w->since[step] = ++w->clock;
        sl_sched_later(w->s, w->run, step, w->now_ms);
    } else {
        w->phase[step] = ENDED;
        sl_sched_ended(w->s, w->run, step, false);
    }
}

static void reap(struct world *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n_procs; i++) {
        const struct proc p = w->procs[i];
        if (!p.doomed || below(w, p.stays ? 12 : 2) != 0) {
            w->procs[kept++] = p;
        }
    }
    w->n_procs = kept;
}

/** What the driver would show now. */
static void photograph(struct world *w, struct sl_gpu_inventory *out)
{
    *out = *w->machine;
    for (size_t i = 0; i < w->n_procs; i++) {
        struct sl_gpu *gpu = &out->gpus[w->procs[i].unit];
        gpu->processes++;
        bool named = !w->unnamed || w->procs[i].bytes > 0;
        if (named && gpu->n_pids < SL_GPU_PIDS_MAX) {
            memcpy(gpu->pids[gpu->n_pids++].attempt_id, w->procs[i].attempt, SL_ID_HEX + 1);
        }
    }
}

/** Looks take time: what is told may be old by then. */
static void look(struct world *w)
{
    if (!w->looking) {
        w->seen_epoch = sl_gpu_pool_epoch(w->pool);
        photograph(w, w->seen);
        w->looking = true;
    } else if (below(w, 2) == 0) {
        (void)sl_gpu_pool_observe(w->pool, w->seen, w->seen_epoch);
        w->looking = false;
    }
}

/** The engine dies; the next one knows what was journaled and what the driver shows. */
static void restart(struct world *w)
{
    char visible[SL_GPU_VISIBLE];
    photograph(w, w->seen);
    sl_gpu_pool_free(w->pool);
    w->pool = sl_gpu_pool_new(w->seen);
    (void)sl_gpu_pool_observe(w->pool, w->seen, 0);
    for (uint32_t i = 0; i < w->h.plan.n_steps; i++) {
        size_t len = 0;
        for (size_t k = 0; w->phase[i] == RUNNING && k < w->n_procs; k++) {
            if (sl_streq(w->procs[k].attempt, w->attempt[i])) {
                len +=
                    (size_t)snprintf(visible + len, sizeof(visible) - len, "%s%s",
                                     len > 0 ? "," : "", w->machine->gpus[w->procs[k].unit].uuid);
            }
        }
        if (len > 0) {
            (void)sl_gpu_pool_restore(w->pool, w->attempt[i], visible,
                                      w->h.steps[i].spec->resources.gpu_share_bytes);
        }
    }
    memset(w->drained, 0, sizeof(w->drained));
    w->looking = false;
    w->restarts++;
}

static void set_aside(struct world *w)
{
    size_t unit = below(w, (uint32_t)w->machine->n);
    const char *uuid = w->machine->gpus[unit].uuid;
    if (w->drained[unit]) {
        w->drained[unit] = false;
        CHECK(w, sl_gpu_pool_undrain(w->pool, uuid) == 1);
    } else {
        w->drained[unit] = true;
        CHECK(w, sl_gpu_pool_drain(w->pool, uuid, "XID 79"));
    }
}

/* ---- one workload --------------------------------------------------------------------------------- */

static void open_world(struct world *w, uint64_t seed)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_inventory *machine = w->machine;
    struct sl_gpu_inventory *seen = w->seen;
    memset(w, 0, sizeof(*w));
    memset(machine, 0, sizeof(*machine));
    w->machine = machine;
    w->seen = seen;
    w->seed = seed;
    w->rng.state = seed * 0x9E3779B97F4A7C15ULL + 1;
    w->unnamed = seed % 4 == 0;
    random_machine(w);
    w->pool = sl_gpu_pool_new(w->machine);
    random_workload(w);
    w->ops = (struct sl_sched_gpus){ops_fits, ops_meet, ops_why, ops_check, w};
    const struct sl_sched_caps caps = {.cpu_milli = 4000,
                                       .mem_bytes = 1,
                                       .gpu_count = (int)w->machine->n,
                                       .gpus = &w->ops,
                                       .slots = (int)below(w, 6)};
    w->s = sl_sched_new(&caps);
    SL_CHECK_OK(sl_sched_add_run(w->s, hand_finish(&w->h), w, &w->run, &err), err);
}

static void close_world(struct world *w)
{
    for (size_t i = 0; i < w->n_procs; i++) {
        CHECK(w, w->procs[i].doomed);
    }
    w->n_procs = 0;
    photograph(w, w->seen);
    (void)sl_gpu_pool_observe(w->pool, w->seen, sl_gpu_pool_epoch(w->pool));
    (void)sl_gpu_pool_undrain(w->pool, NULL);
    enum sl_gpu_state state = SL_GPU_FREE;
    for (size_t i = 0; sl_gpu_pool_at(w->pool, i, &state) != NULL; i++) {
        CHECK(w, state == SL_GPU_FREE);
    }
    CHECK(w, sl_gpu_pool_lease_at(w->pool, 0) == NULL); /* nothing leaks */
    sl_sched_free(w->s);
    sl_gpu_pool_free(w->pool);
    hand_release(&w->h);
}

static void run_seed(struct world *w, uint64_t seed)
{
    int rounds = 0;
    open_world(w, seed);
    while (!sl_sched_run_done(w->run)) {
        int64_t next_ms = 0;
        CHECK(w, ++rounds < ROUNDS_MAX);
        take_some(w);
        end_one(w);
        reap(w);
        look(w);
        if (!w->unnamed && below(w, 200) == 0) {
            restart(w);
        }
        if (below(w, 100) == 0) {
            set_aside(w);
        }
        sl_sched_tick(w->s, ++w->now_ms, &next_ms);
    }
    close_world(w);
}

SL_TEST(pipelines_sched_gpu_property, workloads__every_seed__invariants_hold)
{
    static struct world w;
    uint64_t attempts = 0;
    uint64_t restarts = 0;
    const char *one = secure_getenv("SLUICE_GPU_SEED");
    w.machine = SL_NEW(struct sl_gpu_inventory);
    w.seen = SL_NEW(struct sl_gpu_inventory);
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t last = one != NULL ? first : WORKLOADS;
    for (uint64_t seed = first; seed <= last; seed++) {
        run_seed(&w, seed);
        attempts += (uint64_t)w.attempts;
        restarts += (uint64_t)w.restarts;
    }
    (void)printf("%llu workloads, %llu attempts, %llu restarts of the engine\n",
                 (unsigned long long)(last - first + 1), (unsigned long long)attempts,
                 (unsigned long long)restarts);
    SL_CHECK(one != NULL || restarts > 0);
    free(w.machine);
    free(w.seen);
}

/* ---- a set behind a stream of single ones ---------------------------------------------------------- */

SL_TEST(pipelines_sched_gpu_property, gang__behind_a_stream__starts_after_a_bounded_wait)
{
    static struct world w;
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_request whole = {.count = 1};
    char visible[SL_GPU_VISIBLE];
    w.machine = SL_NEW(struct sl_gpu_inventory);
    w.seen = SL_NEW(struct sl_gpu_inventory);
    for (int i = 0; i < 4; i++) {
        w.machine->devices[w.machine->n_devices++] = i;
        add_unit(&w, i, -1, 80 * GB);
    }
    add_unit(&w, 4, -1, 24 * GB); /* an L4, which the set has no use for */
    w.pool = sl_gpu_pool_new(w.machine);
    w.ops = (struct sl_sched_gpus){ops_fits, ops_meet, ops_why, ops_check, &w};
    hand_init(&w.h);
    static const char *h100[] = {"H100"};
    static const char *l4[] = {"L4"};
    for (uint32_t i = 0; i < 8; i++) { /* six singles that come again and again, the set, an L4's */
        struct sl_resources *r = &hand_spec(&w.h, hand_add(&w.h, "s", 0))->resources;
        *r = (struct sl_resources){.cpu_milli = 100, .gpu_count = i == 6 ? 4 : 1};
        r->gpu_types = i == 7 ? l4 : h100;
        r->n_gpu_types = 1;
    }
    const struct sl_sched_caps caps = {.cpu_milli = 64000, .gpu_count = 5, .gpus = &w.ops};
    w.s = sl_sched_new(&caps);
    SL_CHECK_OK(sl_sched_add_run(w.s, hand_finish(&w.h), &w, &w.run, &err), err);
    int starts[8] = {0};
    uint32_t running[8];
    size_t n = 0;
    for (int round = 0; starts[6] == 0; round++) {
        SL_CHECK_MSG(round < 1000, "the set never starts");
        struct sl_sched_item item = sl_sched_next(w.s);
        if (item.kind == SL_PICK_DECIDE) {
            sl_sched_want_run(w.s, w.run, item.step);
        } else if (item.kind == SL_PICK_START) {
            whole = request_of(&w.h.steps[item.step].spec->resources);
            char id[16];
            (void)snprintf(id, sizeof(id), "%u", item.step);
            SL_CHECK_OK(sl_gpu_pool_lease(w.pool, id, &whole, visible, &err), err);
            starts[item.step]++;
            running[n++] = item.step;
        } else { /* one ends, is freed and comes again at once: never are two units free together */
            char id[16];
            int64_t next_ms = 0;
            SL_CHECK(n > 0);
            uint32_t step = running[0];
            memmove(running, running + 1, --n * sizeof(running[0]));
            (void)snprintf(id, sizeof(id), "%u", step);
            sl_gpu_pool_release(w.pool, id);
            (void)sl_gpu_pool_observe(w.pool, w.machine, sl_gpu_pool_epoch(w.pool));
            sl_sched_later(w.s, w.run, step, 0);
            sl_sched_tick(w.s, 1, &next_ms);
        }
    }
    int singles = starts[0] + starts[1] + starts[2] + starts[3] + starts[4] + starts[5];
    SL_CHECK_MSG(singles >= 20 && singles <= BYPASS_MAX + 12, "%d singles went past", singles);
    SL_CHECK(starts[7] > 1); /* what the set cannot use is not kept from others */
    sl_sched_free(w.s);
    sl_gpu_pool_free(w.pool);
    hand_release(&w.h);
    free(w.machine);
    free(w.seen);
}
