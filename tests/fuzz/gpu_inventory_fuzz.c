/** Fuzz target: any bytes as a file of GPUs. What is accepted keeps the documented limits. */
#include "core/base/base.h"

#include "runners/gpu/gpu.h"

#include <string.h>

#include "runners/gpu/pool.h"
#include "tests/support/sl_fuzz.h"

static void check(const struct sl_gpu_inventory *inv)
{
    SL_ASSERT(inv->n <= SL_GPU_UNITS_MAX && inv->n_devices <= SL_GPU_MAX && inv->sample_ms > 0);
    for (size_t i = 0; i < inv->n; i++) {
        const struct sl_gpu *gpu = &inv->gpus[i];
        SL_ASSERT(gpu->uuid[0] != '\0' && strchr(gpu->uuid, ',') == NULL);
        SL_ASSERT(gpu->name[0] != '\0' && gpu->type[0] != '\0');
        SL_ASSERT((gpu->slice >= 0) == (gpu->profile[0] != '\0'));
        SL_ASSERT(gpu->processes >= gpu->n_pids && gpu->n_pids <= SL_GPU_PIDS_MAX);
        for (size_t k = 0; k < i; k++) {
            SL_ASSERT(!sl_streq(gpu->uuid, inv->gpus[k].uuid));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sl_gpu_inventory inv;
    char visible[SL_GPU_VISIBLE];
    const struct sl_gpu_request any = {.count = 1};
    struct sl_err err = SL_ERR_INIT;
    if (sl_gpu_inventory_parse("gpus.json", (const char *)data, size, &inv, &err) < 0) {
        SL_ASSERT(err.msg[0] != '\0');
        return 0;
    }
    check(&inv);
    struct sl_gpu_pool *pool = sl_gpu_pool_new(&inv);
    int rc = sl_gpu_pool_lease(pool, "a", &any, visible, &err);
    SL_ASSERT((rc == 0) == (inv.n > 0));
    json_t *shown = sl_gpu_pool_json(pool, "file");
    SL_ASSERT(json_array_size(json_object_get(shown, "devices")) == inv.n);
    json_decref(shown);
    sl_gpu_pool_free(pool);
    return 0;
}
