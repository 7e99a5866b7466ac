/* Device nodes of leased GPUs, from a made-up copy of the driver's files. */
#include "core/base/base.h"

#include "runners/gpu/nodes.h"

#include <stdlib.h>

#include "tests/support/sl_test.h"

static char *driver_files(void)
{
    static const struct {
        const char *path, *uuid;
        int minor;
    } gpus[] = {{"0000:01:00.0/information", "GPU-aaaa", 3},
                {"0000:02:00.0/information", "GPU-bbbb", 0},
                {"0000:03:00.0/information", "GPU-aaaab", 7}};
    char *dir = sl_test_tmpdir();
    for (size_t i = 0; i < SL_LEN(gpus); i++) {
        char *path = sl_test_path(dir, gpus[i].path);
        char text[300];
        (void)snprintf(
            text, sizeof(text),
            "Model: \t\t NVIDIA H200\nIRQ:   \t\t 44\nGPU UUID: \t %s\nDevice Minor: \t %d\n",
            gpus[i].uuid, gpus[i].minor);
        sl_test_write_text(path, text);
        free(path);
    }
    return dir;
}

static bool has(const struct sl_gpu_nodes *nodes, const char *path)
{
    for (size_t i = 0; i < nodes->n; i++) {
        if (sl_streq(nodes->paths[i], path)) {
            return true;
        }
    }
    return false;
}

SL_TEST(runners_gpu_nodes, nodes__only_of_the_uuids_named)
{
    char *dir = driver_files();
    struct sl_gpu_nodes nodes;
    sl_gpu_nodes_of("GPU-aaaa,GPU-zzzz", dir, &nodes);
    SL_CHECK_EQ_UINT(nodes.n, 4);
    SL_CHECK(has(&nodes, "/dev/nvidia3"));
    SL_CHECK(has(&nodes, "/dev/nvidiactl"));
    SL_CHECK(has(&nodes, "/dev/nvidia-uvm"));
    SL_CHECK(has(&nodes, "/dev/nvidia-uvm-tools"));
    sl_gpu_nodes_of("GPU-bbbb,GPU-aaaab", dir, &nodes);
    SL_CHECK_EQ_UINT(nodes.n, 5);
    SL_CHECK(has(&nodes, "/dev/nvidia0"));
    SL_CHECK(has(&nodes, "/dev/nvidia7"));
    sl_test_rmdir(dir);
}

SL_TEST(runners_gpu_nodes, nodes__none_without_gpu_or_driver)
{
    char *dir = driver_files();
    struct sl_gpu_nodes nodes;
    sl_gpu_nodes_of("", dir, &nodes);
    SL_CHECK_EQ_UINT(nodes.n, 0);
    sl_gpu_nodes_of("GPU-aaaa", "/nonexistent", &nodes);
    SL_CHECK_EQ_UINT(nodes.n, 0);
    sl_test_rmdir(dir);
}
