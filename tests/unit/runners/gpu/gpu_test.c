/* GPU inventories from a file and from a stand-in for the driver's library; leases. */
#include "core/base/base.h"

#include "runners/gpu/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "tests/support/sl_test.h"

#define GIB (1ULL << 30)

static const char FILE_TEXT[] =
    "{\"gpus\":[{\"index\":1,\"uuid\":\"GPU-b\",\"name\":\"Big\",\"memory_bytes\":85899345920},"
    "{\"index\":0,\"uuid\":\"GPU-a\",\"name\":\"Small\",\"memory_bytes\":17179869184,"
    "\"processes\":2},{\"index\":2,\"uuid\":\"GPU-c\",\"name\":\"Small\","
    "\"memory_bytes\":17179869184}]}";

static struct sl_gpu_inventory inventory(void)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_inventory inv;
    SL_CHECK_OK(sl_gpu_inventory_parse("f", FILE_TEXT, strlen(FILE_TEXT), &inv, &err), err);
    return inv;
}

static char *nvml_path(void)
{
    char exe[3000];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    SL_CHECK(n > 0);
    exe[n] = '\0';
    *strrchr(exe, '/') = '\0';
    return sl_test_path(exe, "fake_nvml.so");
}

SL_TEST(runners_gpu, source__file__is_read_afresh)
{
    struct sl_err err = SL_ERR_INIT;
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "gpus.json");
    struct sl_gpu_source *s = NULL;
    struct sl_gpu_inventory inv;
    sl_test_write_text(path, FILE_TEXT);
    SL_CHECK_OK(sl_gpu_source_open(path, NULL, &s, &err), err);
    SL_CHECK_EQ_STR(sl_gpu_source_text(s), "file");
    SL_CHECK_OK(sl_gpu_source_read(s, &inv, &err), err);
    SL_CHECK_EQ_UINT(inv.n, 3);
    SL_CHECK_EQ_STR(inv.gpus[0].uuid, "GPU-b");
    SL_CHECK_EQ_INT(inv.gpus[1].processes, 2);
    sl_test_write_text(path, "{\"gpus\":[]}");
    SL_CHECK_OK(sl_gpu_source_read(s, &inv, &err), err);
    SL_CHECK_EQ_UINT(inv.n, 0);
    sl_gpu_source_close(s);
    free(path);
    sl_test_rmdir(dir);
}

SL_TEST(runners_gpu, source__missing_file__is_an_error)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_source *s = NULL;
    SL_CHECK_ERR(sl_gpu_source_open("/nonexistent/g.json", NULL, &s, &err), SL_ENOTFOUND, err,
                 "/nonexistent/g.json");
    SL_CHECK_NULL(s);
}

SL_TEST(runners_gpu, source__no_driver__is_a_machine_without_gpus)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_source *s = NULL;
    struct sl_gpu_inventory inv = {.n = 9};
    SL_CHECK_OK(sl_gpu_source_open(NULL, "libno-such-thing.so.1", &s, &err), err);
    SL_CHECK_EQ_STR(sl_gpu_source_text(s), "none: libno-such-thing.so.1 cannot be opened");
    SL_CHECK_OK(sl_gpu_source_read(s, &inv, &err), err);
    SL_CHECK_EQ_UINT(inv.n, 0);
    sl_gpu_source_close(s);
}

SL_TEST(runners_gpu, source__nvml__devices_and_processes)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_source *s = NULL;
    struct sl_gpu_inventory inv;
    char *path = nvml_path();
    SL_CHECK_EQ_INT(unsetenv("FAKE_NVML_INIT"), 0);
    SL_CHECK_EQ_INT(setenv("FAKE_NVML_PROCESSES", "3", 1), 0);
    SL_CHECK_OK(sl_gpu_source_open(NULL, path, &s, &err), err);
    SL_CHECK_EQ_STR(sl_gpu_source_text(s), "nvml");
    SL_CHECK_OK(sl_gpu_source_read(s, &inv, &err), err);
    SL_CHECK_EQ_UINT(inv.n, 2);
    SL_CHECK_EQ_STR(inv.gpus[1].uuid, "GPU-00000002-0000-0000-0000-000000000000");
    SL_CHECK_EQ_STR(inv.gpus[1].name, "Fake H200");
    SL_CHECK_EQ_UINT(inv.gpus[1].memory_bytes, 32 * GIB);
    SL_CHECK_EQ_INT(inv.gpus[0].processes, 0);
    SL_CHECK_EQ_INT(inv.gpus[1].processes, 3);
    sl_gpu_source_close(s);
    SL_CHECK_EQ_INT(setenv("FAKE_NVML_INIT", "9", 1), 0);
    SL_CHECK_OK(sl_gpu_source_open(NULL, path, &s, &err), err);
    SL_CHECK_EQ_STR(sl_gpu_source_text(s), "none: NVML: Driver Not Loaded");
    sl_gpu_source_close(s);
    SL_CHECK_EQ_INT(unsetenv("FAKE_NVML_INIT"), 0);
    free(path);
}

SL_TEST(runners_gpu, parse__bad_entries__are_named)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "f: an object with a list 'gpus' is needed"},
        {"{\"gpus\":[{\"name\":\"x\",\"memory_bytes\":1}]}", "f: gpus[0].uuid: a text of"},
        {"{\"gpus\":[{\"uuid\":\"a,b\",\"name\":\"x\",\"memory_bytes\":1}]}", "without comma"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\"}]}", "gpus[0].memory_bytes: bytes are needed"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1},"
         "{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1}]}",
         "gpus[1].uuid: 'a' is there twice"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1,\"index\":-1}]}",
         "gpus[0].index: out of range"},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_gpu_inventory inv;
        SL_CHECK_ERR(sl_gpu_inventory_parse("f", cases[i].text, strlen(cases[i].text), &inv, &err),
                     SL_EINVAL, err, cases[i].message);
    }
}

SL_TEST(runners_gpu, parse__devices_at_and_past_the_limit)
{
    for (int n = SL_GPU_MAX; n <= SL_GPU_MAX + 1; n++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_gpu_inventory inv;
        struct sl_buf b = SL_BUF_INIT(65536);
        for (int i = 0; i < n; i++) {
            sl_buf_printf(&b, "%s{\"uuid\":\"u%d\",\"name\":\"n\",\"memory_bytes\":1}",
                          i == 0 ? "{\"gpus\":[" : ",", i);
        }
        sl_buf_puts(&b, "]}");
        int rc = sl_gpu_inventory_parse("f", b.ptr, b.len, &inv, &err);
        SL_CHECK_EQ_INT(rc, n == SL_GPU_MAX ? 0 : -SL_ELIMIT);
        sl_buf_release(&b);
    }
}

SL_TEST(runners_gpu, lease__all_or_nothing__smallest_that_fit)
{
    struct sl_err err = SL_ERR_INIT;
    char visible[SL_GPU_VISIBLE];
    struct sl_gpu_inventory inv = inventory();
    struct sl_gpu_pool *p = sl_gpu_pool_new(&inv);
    struct sl_gpu_request two = {.count = 2};
    SL_CHECK_OK(sl_gpu_pool_lease(p, "one", &two, visible, &err), err);
    SL_CHECK_EQ_STR(visible, "GPU-a,GPU-c");
    SL_CHECK_ERR(sl_gpu_pool_lease(p, "two", &two, visible, &err), SL_EBUSY, err,
                 "2 GPUs are asked for, 1 of those that fit are free");
    struct sl_gpu_request one = {.count = 1};
    SL_CHECK_OK(sl_gpu_pool_lease(p, "two", &one, visible, &err), err);
    SL_CHECK_EQ_STR(visible, "GPU-b"); /* nothing was kept by the refused request */
    SL_CHECK_OK(sl_gpu_pool_lease(p, "one", &two, visible, &err), err);
    SL_CHECK_EQ_STR(visible, "GPU-a,GPU-c"); /* asked again: the same */
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu, lease__never_possible__says_the_numbers)
{
    struct sl_err err = SL_ERR_INIT;
    char visible[SL_GPU_VISIBLE];
    struct sl_gpu_inventory inv = inventory();
    struct sl_gpu_pool *p = sl_gpu_pool_new(&inv);
    struct sl_gpu_request big = {.count = 2, .memory_min = 40 * GIB};
    SL_CHECK_ERR(sl_gpu_pool_lease(p, "x", &big, visible, &err), SL_ENOTFOUND, err,
                 "2 GPUs are asked for, this machine has 1 that fit");
    struct sl_gpu_request small = {.count = 1, .memory_max = 8 * GIB};
    SL_CHECK_ERR(sl_gpu_pool_lease(p, "x", &small, visible, &err), SL_ENOTFOUND, err, "has 0");
    struct sl_gpu_request none = {.count = 0};
    SL_CHECK_ERR(sl_gpu_pool_lease(p, "x", &none, visible, &err), SL_ENOTFOUND, err, "0 GPUs");
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu, release__drains_until_a_later_inventory_shows_no_process)
{
    struct sl_err err = SL_ERR_INIT;
    char visible[SL_GPU_VISIBLE];
    struct sl_gpu_inventory inv = inventory();
    inv.gpus[1].processes = 0;
    struct sl_gpu_pool *p = sl_gpu_pool_new(&inv);
    struct sl_gpu_request all = {.count = 3};
    SL_CHECK_OK(sl_gpu_pool_lease(p, "one", &all, visible, &err), err);
    uint64_t before = sl_gpu_pool_epoch(p);
    sl_gpu_pool_release(p, "one");
    sl_gpu_pool_release(p, "one");
    sl_gpu_pool_release(p, "nobody");
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, before), 0); /* read before the release */
    inv.gpus[1].processes = 1;
    uint64_t after = sl_gpu_pool_epoch(p);
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, after), 2);
    struct sl_gpu gpu;
    enum sl_gpu_state state;
    char holder[SL_ID_HEX + 1];
    SL_CHECK(sl_gpu_pool_at(p, 0, &gpu, &state, holder));
    SL_CHECK_EQ_STR(gpu.uuid, "GPU-a");
    SL_CHECK_EQ_STR(sl_gpu_state_name(state), "draining");
    SL_CHECK_EQ_STR(holder, "one");
    SL_CHECK_ERR(sl_gpu_pool_lease(p, "two", &all, visible, &err), SL_EBUSY, err, "2 of those");
    inv.gpus[1].processes = 0;
    SL_CHECK_EQ_INT(sl_gpu_pool_observe(p, &inv, after), 1);
    SL_CHECK_OK(sl_gpu_pool_lease(p, "two", &all, visible, &err), err);
    SL_CHECK(!sl_gpu_pool_at(p, 3, &gpu, &state, holder));
    sl_gpu_pool_free(p);
}

SL_TEST(runners_gpu, restore__journaled_lease__is_held_again)
{
    struct sl_err err = SL_ERR_INIT;
    char visible[SL_GPU_VISIBLE];
    struct sl_gpu_inventory inv = inventory();
    struct sl_gpu_pool *p = sl_gpu_pool_new(&inv);
    SL_CHECK_EQ_INT(sl_gpu_pool_restore(p, "one", "GPU-b,GPU-gone,GPU-c"), 2);
    struct sl_gpu_request any = {.count = 1};
    SL_CHECK_OK(sl_gpu_pool_lease(p, "one", &any, visible, &err), err);
    SL_CHECK_EQ_STR(visible, "GPU-b,GPU-c");
    SL_CHECK_OK(sl_gpu_pool_lease(p, "two", &any, visible, &err), err);
    SL_CHECK_EQ_STR(visible, "GPU-a");
    sl_gpu_pool_free(p);
}
