/* GPUs of attempts: leased before the start, given back only when the inventory shows no process on them.
 * Thread: loop; inventories are read on the blob lane. */
#include "core/base/base.h"

#include "pipelines/run/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define POLL_MS 250 /* between looks at draining devices */

struct eng_gpus {
    struct sl_engine *e;
    struct sl_gpu_source *source;
    struct sl_gpu_pool *pool;
    struct sl_gpu_inventory inventory; /* as read last */
    struct sl_timer timer;
    struct sl_work work;
    uint64_t epoch;
    int rc;
    bool reading;
    SL_VEC(struct eng_attempt *) waiting; /* enough devices exist, but they are taken or drain */
};

static void poll_in(struct eng_gpus *g, int64_t delay_ms)
{
    if (!g->reading && !g->e->closing) {
        sl_timer_start(g->e->loop, &g->timer, delay_ms);
    }
}

static bool draining(const struct eng_gpus *g)
{
    struct sl_gpu gpu;
    enum sl_gpu_state state;
    char id[SL_ID_HEX + 1];
    for (size_t i = 0; sl_gpu_pool_at(g->pool, i, &gpu, &state, id); i++) {
        if (state == SL_GPU_DRAINING) {
            return true;
        }
    }
    return false;
}

static int lease(struct eng_gpus *g, struct eng_attempt *ea)
{
    const struct sl_resources *want = &ea->run->core.plan->steps[ea->a->step].spec->resources;
    const struct sl_gpu_request request = {.count = want->gpu_count,
                                           .memory_min = want->gpu_mem_min_bytes,
                                           .memory_max = want->gpu_mem_max_bytes};
    char visible[SL_GPU_VISIBLE];
    int rc = sl_gpu_pool_lease(g->pool, ea->a->id, &request, visible, &ea->err);
    if (rc == 0) {
        ea->gpus = sl_strdup(visible);
    }
    return rc;
}

/** Tries everybody who waits, first come first served; a larger request keeps its place. */
static void serve_waiting(struct eng_gpus *g)
{
    size_t kept = 0;
    size_t n = g->waiting.n;
    struct eng_attempt **list = g->waiting.items;
    g->waiting.items = NULL;
    g->waiting.n = g->waiting.cap = 0;
    for (size_t i = 0; i < n; i++) {
        bool called_off = ea_called_off(list[i]);
        int rc = called_off || kept > 0 ? -SL_EBUSY : lease(g, list[i]);
        if (called_off || rc != -SL_EBUSY) {
            eng_start_with_gpus(list[i], called_off ? 0 : rc);
        } else {
            kept++;
            sl_vec_push(&g->waiting, list[i]);
        }
    }
    free(list);
}

static void read_fn(struct sl_work *work)
{
    struct eng_gpus *g = SL_CONTAINER_OF(work, struct eng_gpus, work);
    g->rc = sl_gpu_source_read(g->source, &g->inventory, NULL);
}

static void read_done(struct sl_work *work)
{
    struct eng_gpus *g = SL_CONTAINER_OF(work, struct eng_gpus, work);
    g->reading = false;
    if (g->e->closing) {
        return;
    }
    if (g->rc == 0) {
        (void)sl_gpu_pool_observe(g->pool, &g->inventory, g->epoch);
    }
    serve_waiting(g);
    if (draining(g) || g->waiting.n > 0) {
        poll_in(g, POLL_MS);
    }
    sl_core_pump(g->e->core);
}

static void poll_now(struct sl_timer *timer)
{
    struct eng_gpus *g = SL_CONTAINER_OF(timer, struct eng_gpus, timer);
    if (g->e->closing) {
        return;
    }
    g->epoch = sl_gpu_pool_epoch(g->pool);
    g->work = (struct sl_work){.fn = read_fn, .done = read_done};
    g->reading = sl_lane_submit(g->e->prep_lane, &g->work, NULL) == 0;
}

int eng_gpus_open(struct sl_engine *e, const char *inventory_file, struct sl_err *err)
{
    struct eng_gpus *g = SL_NEW(struct eng_gpus);
    g->e = e;
    g->timer.fn = poll_now;
    e->gpus = g;
    int rc = sl_gpu_source_open(inventory_file, NULL, &g->source, err);
    rc = rc < 0 ? rc : sl_gpu_source_read(g->source, &g->inventory, err);
    if (rc == 0) {
        g->pool = sl_gpu_pool_new(&g->inventory);
    }
    return rc;
}

void eng_gpus_close(struct sl_engine *e)
{
    struct eng_gpus *g = e->gpus;
    if (g == NULL) {
        return;
    }
    sl_timer_stop(&g->timer);
    sl_vec_free(&g->waiting);
    sl_gpu_pool_free(g->pool);
    sl_gpu_source_close(g->source);
    free(g);
    e->gpus = NULL;
}

int eng_gpus_count(const struct sl_engine *e)
{
    return (int)e->gpus->inventory.n;
}

bool eng_gpus_lease(struct eng_attempt *ea, int *ret_rc)
{
    struct eng_gpus *g = ea->run->e->gpus;
    *ret_rc = g->waiting.n > 0 ? -SL_EBUSY : lease(g, ea); /* nobody overtakes those who wait */
    if (*ret_rc != -SL_EBUSY) {
        return true;
    }
    sl_vec_push(&g->waiting, ea);
    poll_in(g, POLL_MS);
    return false;
}

void eng_gpus_release(struct eng_attempt *ea)
{
    struct eng_gpus *g = ea->run->e->gpus;
    if (ea->gpus == NULL || g == NULL) {
        return;
    }
    sl_gpu_pool_release(g->pool, ea->a->id);
    free(ea->gpus);
    ea->gpus = NULL;
    poll_in(g, 0);
}

void eng_gpus_restore(struct eng_attempt *ea, const char *visible)
{
    if (visible != NULL && visible[0] != '\0') {
        (void)sl_gpu_pool_restore(ea->run->e->gpus->pool, ea->a->id, visible);
        ea->gpus = sl_strdup(visible);
    }
}

json_t *eng_gpus_json(const struct sl_engine *e)
{
    struct sl_gpu gpu;
    enum sl_gpu_state state;
    char id[SL_ID_HEX + 1];
    json_t *list = json_array();
    for (size_t i = 0; sl_gpu_pool_at(e->gpus->pool, i, &gpu, &state, id); i++) {
        json_array_append_new(list, json_pack("{s:i, s:s, s:s, s:I, s:s, s:s, s:i}", "index",
                                              gpu.index, "uuid", gpu.uuid, "name", gpu.name,
                                              "memory_bytes", (json_int_t)gpu.memory_bytes, "state",
                                              sl_gpu_state_name(state), "attempt", id, "processes",
                                              gpu.processes));
    }
    return json_pack("{s:s, s:o}", "source", sl_gpu_source_text(e->gpus->source), "devices", list);
}
