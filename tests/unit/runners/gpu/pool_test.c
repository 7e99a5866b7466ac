/* Leases of GPUs: what is chosen, what waits, when it comes free. */
#include "core/base/base.h"

#include "runners/gpu/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/sl_test.h"

#define GIB (1ULL << 30)

/* Large, and one test at a time uses them. */
static struct sl_gpu_inventory inv;
static char visible[SL_GPU_VISIBLE];

/* Four devices: 0-1 and 2-3 by NVLink, all else through the host; a large one apart; one cut in slices. */
static const char MACHINE[] =
    "{\"gpus\":["
    "{\"index\":0,\"uuid\":\"A0\",\"name\":\"NVIDIA A100-SXM4-40GB\",\"memory_bytes\":40000000000},"
    "{\"index\":1,\"uuid\":\"A1\",\"name\":\"NVIDIA A100-SXM4-40GB\",\"memory_bytes\":40000000000},"
    "{\"index\":2,\"uuid\":\"A2\",\"name\":\"NVIDIA A100-SXM4-40GB\",\"memory_bytes\":40000000000},"
    "{\"index\":3,\"uuid\":\"A3\",\"name\":\"NVIDIA A100-SXM4-40GB\",\"memory_bytes\":40000000000},"
    "{\"index\":4,\"uuid\":\"H4\",\"name\":\"NVIDIA H100 80GB HBM3\",\"memory_bytes\":80000000000},"
    "{\"index\":5,\"uuid\":\"H5\",\"name\":\"NVIDIA H100 80GB HBM3\",\"memory_bytes\":80000000000,"
    "\"mig\":[{\"uuid\":\"M0\",\"profile\":\"1g.10gb\",\"memory_bytes\":10000000000},"
    "{\"uuid\":\"M1\",\"profile\":\"1g.10gb\",\"memory_bytes\":10000000000},"
    "{\"uuid\":\"M2\",\"profile\":\"3g.40gb\",\"memory_bytes\":40000000000}]}],"
    "\"links\":[[0,1,\"nvlink\"],[2,3,\"nvlink\"],[0,2,\"host\"],[0,3,\"host\"],[1,2,\"host\"],"
    "[1,3,\"host\"]]}";

static struct sl_gpu_pool *pool_of(const char *text)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_gpu_inventory_parse("f", text, strlen(text), &inv, &err), err);
    return sl_gpu_pool_new(&inv);
}

static struct sl_gpu *unit(const char *uuid)
{
    for (size_t i = 0; i < inv.n; i++) {
        if (sl_streq(inv.gpus[i].uuid, uuid)) {
            return &inv.gpus[i];
        }
    }
    SL_FAIL("no unit %s", uuid);
    return NULL;
}

static const char *state_of(const struct sl_gpu_pool *p, const char *uuid)
{
    enum sl_gpu_state state = SL_GPU_FREE;
    const struct sl_gpu *gpu = NULL;
    for (size_t i = 0; (gpu = sl_gpu_pool_at(p, i, &state)) != NULL; i++) {
        if (sl_streq(gpu->uuid, uuid)) {
            return sl_gpu_state_name(state);
        }
    }
    return "missing";
}

static const char *lease(struct sl_gpu_pool *p, const char *who, struct sl_gpu_request r)
{
    struct sl_err err = SL_ERR_INIT;
    r.count = r.count == 0 ? 1 : r.count;
    int rc = sl_gpu_pool_lease(p, who, &r, visible, &err);
    return rc == 0 ? visible : rc == -SL_EBUSY ? "busy" : rc == -SL_ENOTFOUND ? "never" : "?";
}

static const char *const h100[] = {"H100"};
static const char *const either[] = {"H100", "A100-40GB"};

SL_TEST(runners_gpu_pool, lease__pairs_are_joined_and_leave_pairs)
{
    struct sl_gpu_pool *p = pool_of(MACHINE);
    SL_CHECK_EQ_STR(lease(p, "one", (struct sl_gpu_request){.mig = SL_GPU_MIG_FORBID}), "A0");
    SL_CHECK_EQ_STR(lease(p, "two", (struct sl_gpu_request){.mig = SL_GPU_MIG_FORBID}), "A1");
    SL_CHECK_EQ_STR(lease(p, "pair", (struct sl_gpu_request){.count = 2}), "A2,A3");
    SL_CHECK_EQ_STR(lease(p, "pair", (struct sl_gpu_request){.count = 2}),
                    "A2,A3"); /* asked again */
    SL_CHECK_EQ_STR(lease(p, "more", (struct sl_gpu_request){.count = 2}), "busy");
    SL_CHECK_EQ_STR(lease(p, "last", (struct sl_gpu_request){.mig = SL_GPU_MIG_FORBID}), "H4");
    sl_gpu_pool_free(p);
    p = pool_of(MACHINE);
    SL_CHECK_EQ_INT(sl_gpu_pool_restore(p, "old", "A1,gone", 0), 1);
    SL_CHECK_EQ_STR(lease(p, "pair", (struct sl_gpu_request){.count = 2}),
                    "A2,A3"); /* not 0 and 2 */
    SL_CHECK_EQ_STR(lease(p, "three", (struct sl_gpu_request){.count = 3}), "busy");
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu_pool, lease__types_memory_and_slices)
{
    struct sl_gpu_pool *p = pool_of(MACHINE);
    struct sl_gpu_request h = {.types = h100, .n_types = 1, .mig = SL_GPU_MIG_FORBID};
    SL_CHECK_EQ_STR(lease(p, "h", h), "H4");
    SL_CHECK_EQ_STR(lease(p, "h2", h), "busy");
    h.mig = SL_GPU_MIG_ALLOW;
    SL_CHECK_EQ_STR(lease(p, "h2", h), "M0"); /* a slice will do, the smallest */
    SL_CHECK_EQ_STR(lease(p, "any", (struct sl_gpu_request){.count = 1}), "M1");
    SL_CHECK_EQ_STR(
        lease(p, "p", (struct sl_gpu_request){.mig = SL_GPU_MIG_PROFILE, .profile = "3g.40gb"}),
        "M2");
    SL_CHECK_EQ_STR(
        lease(p, "p2", (struct sl_gpu_request){.mig = SL_GPU_MIG_PROFILE, .profile = "3g.40gb"}),
        "busy");
    SL_CHECK_EQ_STR(
        lease(p, "p3", (struct sl_gpu_request){.mig = SL_GPU_MIG_PROFILE, .profile = "7g.80gb"}),
        "never");
    SL_CHECK_EQ_STR(
        lease(p, "few", (struct sl_gpu_request){.types = h100, .n_types = 1, .count = 2}),
        "never"); /* a process cannot use a slice and a device */
    SL_CHECK_EQ_STR(
        lease(p, "e",
              (struct sl_gpu_request){
                  .types = either, .n_types = 2, .memory_min = 30 * GIB, .memory_max = 50 * GIB}),
        "A0");
    SL_CHECK_EQ_STR(lease(p, "m", (struct sl_gpu_request){.memory_min = 90 * GIB}), "never");
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu_pool, share__packs_and_never_mixes)
{
    struct sl_gpu_pool *p = pool_of(MACHINE);
    struct sl_gpu_request r = {.share_bytes = 16000000000ULL};
    SL_CHECK_EQ_STR(lease(p, "s1", r), "A0");
    SL_CHECK_EQ_STR(lease(p, "s2", r), "A0");
    SL_CHECK_EQ_STR(state_of(p, "A0"), "shared");
    SL_CHECK_EQ_STR(lease(p, "s3", r), "A1"); /* 8 GB are left on the first */
    SL_CHECK_EQ_STR(lease(p, "s4", (struct sl_gpu_request){.share_bytes = 8000000000ULL}), "A0");
    SL_CHECK_EQ_STR(lease(p, "s5", (struct sl_gpu_request){.share_bytes = 1}), "A1");
    SL_CHECK_EQ_STR(lease(p, "w", (struct sl_gpu_request){.count = 4, .mig = SL_GPU_MIG_FORBID}),
                    "busy");
    SL_CHECK_EQ_STR(lease(p, "s6", (struct sl_gpu_request){.share_bytes = 90000000000ULL}),
                    "never");
    SL_CHECK_EQ_STR(lease(p, "pair", (struct sl_gpu_request){.count = 2}), "A2,A3");
    SL_CHECK_EQ_STR(lease(p, "s7", (struct sl_gpu_request){.share_bytes = 70000000000ULL}), "H4");
    SL_CHECK_EQ_STR(lease(p, "s8", (struct sl_gpu_request){.share_bytes = 30000000000ULL}), "busy");
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu_pool, release__drains_until_a_later_inventory_shows_no_process)
{
    struct sl_gpu_pool *p = pool_of(MACHINE);
    SL_CHECK_EQ_STR(lease(p, "one", (struct sl_gpu_request){.count = 4}), "A0,A1,A2,A3");
    uint64_t before = sl_gpu_pool_epoch(p);
    sl_gpu_pool_release(p, "one");
    sl_gpu_pool_release(p, "one");
    sl_gpu_pool_release(p, "nobody");
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, before), 0); /* read before the release */
    unit("A1")->processes = 1;
    uint64_t after = sl_gpu_pool_epoch(p);
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, after), 3);
    SL_CHECK_EQ_STR(state_of(p, "A1"), "draining");
    SL_CHECK_EQ_STR(lease(p, "two", (struct sl_gpu_request){.count = 4, .memory_max = 50 * GIB}),
                    "busy");
    unit("A1")->processes = 0;
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, after), 1);
    SL_CHECK_EQ_STR(lease(p, "two", (struct sl_gpu_request){.count = 4, .memory_max = 50 * GIB}),
                    "A0,A1,A2,A3");
    SL_CHECK_NULL(sl_gpu_pool_lease_at(p, 4));
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu_pool, release__processes_of_others_do_not_hold_it)
{
    struct sl_gpu_pool *p = pool_of(MACHINE);
    unit("A0")->processes = 1; /* somebody's notebook */
    (void)sl_gpu_pool_observe(p, &inv, 0);
    struct sl_gpu_request r = {.mig = SL_GPU_MIG_FORBID, .memory_max = 50 * GIB};
    SL_CHECK_EQ_STR(lease(p, "a", r), "A1"); /* the empty ones first */
    SL_CHECK_EQ_STR(lease(p, "b", r), "A2");
    SL_CHECK_EQ_STR(lease(p, "c", r), "A3");
    SL_CHECK_EQ_STR(lease(p, "d", r), "A0");
    unit("A0")->processes = 2;
    sl_gpu_pool_release(p, "d");
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, sl_gpu_pool_epoch(p)), 0);
    unit("A0")->processes = 1;
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, sl_gpu_pool_epoch(p)), 1);
    sl_gpu_pool_free(p);
}

static void put_process(const char *uuid, const char *attempt)
{
    struct sl_gpu *gpu = unit(uuid);
    gpu->pids[gpu->n_pids].pid = 77;
    (void)snprintf(gpu->pids[gpu->n_pids].attempt_id, sizeof(gpu->pids[0].attempt_id), "%s",
                   attempt);
    gpu->n_pids++;
    gpu->processes++;
}

SL_TEST(runners_gpu_pool, shares__end_with_their_own_processes)
{
    struct sl_gpu_pool *p = pool_of(MACHINE);
    struct sl_gpu_request r = {.share_bytes = 16000000000ULL};
    SL_CHECK_EQ_STR(lease(p, "s1", r), "A0");
    SL_CHECK_EQ_STR(lease(p, "s2", r), "A0");
    put_process("A0", "s1");
    put_process("A0", "s2");
    sl_gpu_pool_release(p, "s1");
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, sl_gpu_pool_epoch(p)), 0);
    unit("A0")->n_pids = unit("A0")->processes = 0;
    put_process("A0", "s2");
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, sl_gpu_pool_epoch(p)), 1);
    SL_CHECK_EQ_STR(state_of(p, "A0"), "shared");
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu_pool, orphan__of_an_earlier_engine__holds_its_unit)
{
    struct sl_gpu_pool *p = pool_of(MACHINE);
    put_process("M0", "dead");
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, 0), 0);
    SL_CHECK_EQ_STR(state_of(p, "M0"), "draining");
    SL_CHECK_EQ_STR(sl_gpu_pool_lease_at(p, 0)->attempt_id, "dead");
    SL_CHECK_EQ_STR(lease(p, "any", (struct sl_gpu_request){.count = 1}), "M1");
    SL_CHECK_EQ_INT(sl_gpu_pool_restore(p, "dead", "M0", 0), 1); /* it was journaled after all */
    SL_CHECK_EQ_STR(state_of(p, "M0"), "leased");
    SL_CHECK_NULL(sl_gpu_pool_lease_at(p, 2));
    sl_gpu_pool_release(p, "dead");
    unit("M0")->n_pids = unit("M0")->processes = 0;
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, sl_gpu_pool_epoch(p)), 1);
    SL_CHECK_EQ_STR(state_of(p, "M0"), "free");
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu_pool, drained__is_not_handed_out)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_pool *p = pool_of(MACHINE);
    struct sl_gpu_request r = {.count = 1, .types = h100, .n_types = 1, .mig = SL_GPU_MIG_FORBID};
    SL_CHECK(!sl_gpu_pool_drain(p, "nothing", "x"));
    SL_CHECK(sl_gpu_pool_drain(p, "H4", "XID 79 on H4"));
    SL_CHECK_EQ_STR(state_of(p, "H4"), "set aside");
    SL_CHECK_OK(sl_gpu_pool_check(p, &r, &err), err); /* it may come back */
    struct sl_buf why = SL_BUF_INIT(400);
    sl_gpu_pool_why(p, &r, &why);
    SL_CHECK_EQ_STR(sl_buf_str(&why),
                    "waiting for 1 GPU of type H100 without MIG: 0 of 1 free, 1 set aside");
    sl_buf_release(&why);
    SL_CHECK_EQ_STR(lease(p, "h", r), "busy");
    SL_CHECK_EQ_INT(sl_gpu_pool_undrain(p, "4"), 1); /* by its index */
    SL_CHECK_EQ_STR(lease(p, "h", r), "H4");
    SL_CHECK(sl_gpu_pool_drain(p, "H5", "x")); /* a device: all its slices */
    SL_CHECK_EQ_STR(
        lease(p, "any", (struct sl_gpu_request){.mig = SL_GPU_MIG_PROFILE, .profile = "1g.10gb"}),
        "busy");
    SL_CHECK_EQ_INT(sl_gpu_pool_undrain(p, NULL), 3);
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu_pool, fits_and_meet__as_lease_does)
{
    struct sl_gpu_pool *p = pool_of(MACHINE);
    struct sl_gpu_request four = {.count = 4};
    struct sl_gpu_request h = {.count = 1, .types = h100, .n_types = 1};
    static const char *const gone[] = {"one"};
    SL_CHECK(sl_gpu_pool_fits(p, &four, NULL, 0));
    SL_CHECK_EQ_STR(lease(p, "one", four), "A0,A1,A2,A3");
    SL_CHECK(!sl_gpu_pool_fits(p, &four, NULL, 0));
    SL_CHECK(sl_gpu_pool_fits(p, &four, gone, 1));
    SL_CHECK(sl_gpu_pool_meet(p, &four, &four));
    struct sl_gpu_request profile = {.count = 1, .mig = SL_GPU_MIG_PROFILE, .profile = "1g.10gb"};
    SL_CHECK(!sl_gpu_pool_meet(p, &four, &profile));
    SL_CHECK(sl_gpu_pool_meet(p, &h, &profile));
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu_pool, check__never_possible__says_the_numbers)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_pool *p = pool_of(MACHINE);
    struct sl_gpu_request big = {.count = 2, .types = either, .n_types = 2, .memory_min = 60 * GIB};
    SL_CHECK_ERR(sl_gpu_pool_check(p, &big, &err), SL_ENOTFOUND, err,
                 "2 GPUs of type H100 or A100-40GB are asked for, this machine has 1 that fit");
    struct sl_gpu_request none = {.count = 0};
    SL_CHECK_ERR(sl_gpu_pool_lease(p, "x", &none, visible, &err), SL_ENOTFOUND, err, "0 GPUs");
    sl_gpu_pool_free(p);
}
