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

/* Large, and one test at a time uses it. */
static struct sl_gpu_inventory inv;

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
    inv.n = 9;
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
    char *path = nvml_path();
    SL_CHECK_EQ_INT(unsetenv("FAKE_NVML_INIT"), 0);
    SL_CHECK_EQ_INT(setenv("FAKE_NVML_PROCESSES", "3", 1), 0);
    SL_CHECK_OK(sl_gpu_source_open(NULL, path, &s, &err), err);
    SL_CHECK_EQ_STR(sl_gpu_source_text(s), "nvml (driver 550.54.15)");
    SL_CHECK_OK(sl_gpu_source_read(s, &inv, &err), err);
    SL_CHECK_EQ_UINT(inv.n, 2);
    SL_CHECK_EQ_STR(inv.gpus[1].uuid, "GPU-00000002-0000-0000-0000-000000000000");
    SL_CHECK_EQ_STR(inv.gpus[1].name, "Fake H200");
    SL_CHECK_EQ_UINT(inv.gpus[1].memory_bytes, 32 * GIB);
    SL_CHECK_EQ_INT(inv.gpus[0].processes, 0);
    SL_CHECK_EQ_INT(inv.gpus[1].processes, 3);
    SL_CHECK_EQ_INT(inv.gpus[1].n_pids, 3);
    SL_CHECK_EQ_INT(inv.gpus[1].pids[2].pid, 4003);
    SL_CHECK_EQ_STR(inv.gpus[1].type, "H200");
    SL_CHECK_EQ_UINT(inv.gpus[1].memory_used, GIB);
    SL_CHECK_NEAR(inv.gpus[1].util, 40, 0);
    SL_CHECK_NEAR(inv.gpus[1].power_watts, 123.5, 1e-9);
    SL_CHECK_NEAR(inv.gpus[1].celsius, 55, 0);
    SL_CHECK_EQ_INT((int)sl_gpu_link_of(&inv, 0, 1), (int)SL_GPU_LINK_NVLINK);
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
        {"{\"gpus\":[],\"gpu\":1}", "f: the file.gpu: no such field"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1,\"memory\":2}]}",
         "gpus[0].memory: no such field"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1,\"processes\":[0]}]}",
         "gpus[0].processes[0]: a process number is needed"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1,\"util_percent\":\"9\"}]}",
         "gpus[0].util_percent: a number from 0"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1,\"mig\":[{\"uuid\":\"m\","
         "\"profile\":\"1g.10gb\"}]}]}",
         "gpus[0].mig[0].memory_bytes: bytes are needed"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1,\"mig\":[{\"uuid\":\"m\","
         "\"memory_bytes\":1}]}]}",
         "gpus[0].mig[0].profile: a text of"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1}],\"links\":[[0,0,\"pcie\"]]"
         "}",
         "links[0]: [INDEX, INDEX, LINK] of two GPUs"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1,\"index\":3},"
         "{\"uuid\":\"b\",\"name\":\"x\",\"memory_bytes\":1,\"index\":3}]}",
         "gpus[1].index: is there twice"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1},"
         "{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1}]}",
         "gpus[1].uuid: 'a' is there twice"},
        {"{\"gpus\":[{\"uuid\":\"a\",\"name\":\"x\",\"memory_bytes\":1,\"index\":-1}]}",
         "gpus[0].index: out of range"},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_err err = SL_ERR_INIT;
        SL_CHECK_ERR(sl_gpu_inventory_parse("f", cases[i].text, strlen(cases[i].text), &inv, &err),
                     SL_EINVAL, err, cases[i].message);
    }
}

SL_TEST(runners_gpu, parse__devices_at_and_past_the_limit)
{
    for (int n = SL_GPU_MAX; n <= SL_GPU_MAX + 1; n++) {
        struct sl_err err = SL_ERR_INIT;
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

SL_TEST(runners_gpu, source__nvml__slices_and_faults)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_gpu_source *s = NULL;
    char *path = nvml_path();
    SL_CHECK_EQ_INT(setenv("FAKE_NVML_MIG", "2", 1), 0);
    SL_CHECK_EQ_INT(setenv("FAKE_NVML_PROCESSES", "0", 1), 0);
    SL_CHECK_OK(sl_gpu_source_open(NULL, path, &s, &err), err);
    SL_CHECK_OK(sl_gpu_source_read(s, &inv, &err), err);
    SL_CHECK_EQ_UINT(inv.n, 3); /* the whole first device, two slices of the second */
    SL_CHECK_EQ_INT(inv.gpus[0].slice, -1);
    SL_CHECK_EQ_STR(inv.gpus[2].profile, "2g.10gb");
    SL_CHECK_EQ_STR(inv.gpus[2].name, "Fake H200");
    SL_CHECK_EQ_STR(inv.gpus[2].device, "GPU-00000002-0000-0000-0000-000000000000");
    SL_CHECK_EQ_INT(inv.gpus[2].index, 1);
    SL_CHECK_EQ_UINT(inv.gpus[2].memory_bytes, 10 * GIB);
    SL_CHECK(inv.gpus[2].util != inv.gpus[2].util); /* unknown of slices */
    SL_CHECK_EQ_INT((int)inv.gpus[1].xid, 0);
    SL_CHECK_EQ_INT(setenv("FAKE_NVML_XID", "79", 1), 0);
    SL_CHECK_EQ_INT(setenv("FAKE_NVML_ECC", "2", 1), 0);
    SL_CHECK_OK(sl_gpu_source_read(s, &inv, &err), err);
    SL_CHECK_OK(sl_gpu_source_read(s, &inv, &err), err); /* told once */
    SL_CHECK_EQ_INT((int)inv.gpus[1].xid, 79);
    SL_CHECK_EQ_UINT(inv.gpus[1].xid_count, 1);
    SL_CHECK_EQ_UINT(inv.gpus[1].ecc_errors, 2);
    SL_CHECK_EQ_INT((int)inv.gpus[0].xid, 0);
    SL_CHECK_EQ_INT(unsetenv("FAKE_NVML_MIG"), 0);
    SL_CHECK_EQ_INT(unsetenv("FAKE_NVML_XID"), 0);
    SL_CHECK_EQ_INT(unsetenv("FAKE_NVML_ECC"), 0);
    sl_gpu_source_close(s);
    free(path);
}

SL_TEST(runners_gpu, names__types_by_words)
{
    static const struct {
        const char *type, *name;
        bool is;
    } cases[] = {
        {"H100", "NVIDIA H100 80GB HBM3", true},
        {"h100", "NVIDIA H100 PCIe", true},
        {"A100-80GB", "NVIDIA A100-SXM4-80GB", true},
        {"A100-40GB", "NVIDIA A100-SXM4-80GB", false},
        {"80GB-A100", "NVIDIA A100-SXM4-80GB", false},
        {"A10", "NVIDIA A100-SXM4-80GB", false},
        {"L4", "NVIDIA L40S", false},
        {"RTX-4090", "NVIDIA GeForce RTX 4090", true},
        {"-", "NVIDIA L4", false},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        SL_CHECK_MSG(sl_gpu_type_matches(cases[i].type, cases[i].name) == cases[i].is, "%s of %s",
                     cases[i].type, cases[i].name);
    }
    static const char *const types[][2] = {{"NVIDIA H100 80GB HBM3", "H100"},
                                           {"Tesla V100-SXM2-16GB", "V100"},
                                           {"NVIDIA GeForce RTX 4090", "RTX-4090"},
                                           {"Quadro", "Quadro"}};
    for (size_t i = 0; i < SL_LEN(types); i++) {
        char type[SL_GPU_TYPE];
        sl_gpu_type_of(types[i][0], type);
        SL_CHECK_EQ_STR(type, types[i][1]);
    }
}

SL_TEST(runners_gpu, parse__slices_at_and_past_the_limits)
{
    for (int n = SL_GPU_SLICES_MAX; n <= SL_GPU_SLICES_MAX + 1; n++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_buf b = SL_BUF_INIT(65536);
        for (int i = 0; i < n; i++) {
            sl_buf_printf(&b, "%s{\"uuid\":\"m%d\",\"profile\":\"1g.10gb\",\"memory_bytes\":1}",
                          i == 0 ? "{\"gpus\":[{\"uuid\":\"u\",\"name\":\"n\",\"memory_bytes\":8,"
                                   "\"mig\":["
                                 : ",",
                          i);
        }
        sl_buf_puts(&b, "]}]}");
        int rc = sl_gpu_inventory_parse("f", b.ptr, b.len, &inv, &err);
        SL_CHECK_EQ_INT(rc, n == SL_GPU_SLICES_MAX ? 0 : -SL_EINVAL);
        sl_buf_release(&b);
    }
}
