/* GPUs of attempts: leased when the scheduler hands a step out, given on only when the inventory shows no process
 * on them. Thread: loop; inventories are read on the blob lane. */
#include "core/base/base.h"

#include "pipelines/engine/engine_gpu_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "runners/gpu/owners.h"

#define POLL_MS 250 /* between looks at draining devices */

/* ---- what the scheduler asks ---------------------------------------------------------------------- */

static struct sl_gpu_request request_of(const struct sl_resources *want)
{
    return (struct sl_gpu_request){.count = want->gpu_count,
                                   .memory_min = want->gpu_mem_min_bytes,
                                   .memory_max = want->gpu_mem_max_bytes,
                                   .types = want->gpu_types,
                                   .n_types = want->n_gpu_types,
                                   .mig = want->mig == SL_MIG_FORBID    ? SL_GPU_MIG_FORBID
                                          : want->mig == SL_MIG_PROFILE ? SL_GPU_MIG_PROFILE
                                                                        : SL_GPU_MIG_ALLOW,
                                   .profile = want->mig_profile,
                                   .share_bytes = want->gpu_share_bytes};
}

static bool ops_fits(void *data, const struct sl_resources *want,
                     const struct sl_sched_holder *gone, size_t n_gone)
{
    const struct eng_gpus *g = data;
    struct sl_gpu_request r = request_of(want);
    const char **ids = sl_calloc(n_gone + 1, sizeof(*ids));
    size_t n = 0;
    for (size_t i = 0; i < n_gone; i++) {
        const struct sl_core_run *run = gone[i].run_data;
        const struct sl_core_attempt *a = run->steps[gone[i].step].att;
        if (a != NULL) {
            ids[n++] = a->id;
        }
    }
    bool fits = sl_gpu_pool_fits(g->pool, &r, ids, n);
    free(ids);
    return fits;
}

static bool ops_meet(void *data, const struct sl_resources *a, const struct sl_resources *b)
{
    const struct eng_gpus *g = data;
    struct sl_gpu_request x = request_of(a);
    struct sl_gpu_request y = request_of(b);
    return sl_gpu_pool_meet(g->pool, &x, &y);
}

static void ops_why(void *data, const struct sl_resources *want, struct sl_buf *out)
{
    const struct eng_gpus *g = data;
    struct sl_gpu_request r = request_of(want);
    sl_gpu_pool_why(g->pool, &r, out);
}

static int ops_check(void *data, const struct sl_resources *want, struct sl_err *err)
{
    const struct eng_gpus *g = data;
    struct sl_gpu_request r = request_of(want);
    return sl_gpu_pool_check(g->pool, &r, err);
}

const struct sl_sched_gpus *eng_gpus_ops(const struct sl_engine *e)
{
    return &e->gpus->ops;
}

/* ---- looking -------------------------------------------------------------------------------------- */

void eng_gpus_poll(struct eng_gpus *g, int64_t delay_ms)
{
    if (!g->reading && !g->e->closing) {
        sl_timer_start(g->e->loop, &g->timer, delay_ms);
    }
}

static bool draining(const struct eng_gpus *g)
{
    const struct sl_gpu_lease *l = NULL;
    for (size_t i = 0; (l = sl_gpu_pool_lease_at(g->pool, i)) != NULL; i++) {
        if (l->draining) {
            return true;
        }
    }
    return false;
}

static void read_fn(struct sl_work *work)
{
    struct eng_gpus *g = SL_CONTAINER_OF(work, struct eng_gpus, look.work);
    g->look.rc = sl_gpu_source_read(g->source, g->inventory, NULL);
    if (g->look.rc == 0) {
        sl_gpu_owners_fill(g->inventory);
    }
    eng_gpus_look(g);
}

static void answer_asking(struct eng_gpus *g)
{
    size_t n = g->look.n_asking;
    for (size_t i = 0; i < n; i++) {
        eng_exited(g->asking.items[i]);
    }
    for (size_t i = n; i < g->asking.n; i++) {
        g->asking.items[i - n] = g->asking.items[i];
    }
    g->asking.n -= n;
}

static void read_done(struct sl_work *work)
{
    struct eng_gpus *g = SL_CONTAINER_OF(work, struct eng_gpus, look.work);
    g->reading = false;
    if (g->e->closing) {
        return;
    }
    g->sample_ms = g->look.rc == 0 ? g->inventory->sample_ms : g->sample_ms;
    if (g->look.rc == 0) {
        (void)sl_gpu_pool_observe(g->pool, g->inventory, g->look.epoch);
        eng_gpus_judge(g);
    }
    answer_asking(g);
    bool newer = sl_gpu_pool_epoch(g->pool) != g->look.epoch; /* released while it looked */
    if (newer || g->asking.n > 0 || g->events.n > 0 || g->kills.n > 0) {
        eng_gpus_poll(g, 0);
    } else if (draining(g)) {
        eng_gpus_poll(g, SL_MIN((int64_t)POLL_MS, g->sample_ms));
    } else if (g->watched.n > 0) {
        eng_gpus_poll(g, g->sample_ms);
    }
    sl_core_pump(g->e->core);
}

static void take_samples(struct eng_gpus *g)
{
    int64_t now = sl_mono_ns() / 1000000;
    if (now - g->sampled_ms < g->sample_ms) {
        return; /* a look at draining devices in between */
    }
    g->sampled_ms = now;
    for (size_t i = 0; i < g->watched.n; i++) {
        const struct eng_attempt *ea = g->watched.items[i].ea;
        if (ea->proc.on_end != NULL) { /* recorded */
            struct gpu_sample s = {.visible = sl_strdup(ea->gpus)};
            snprintf(s.run_id, sizeof(s.run_id), "%s", ea->run->record.id);
            snprintf(s.attempt_id, sizeof(s.attempt_id), "%s", ea->a->id);
            sl_vec_push(&g->look.samples, s);
        }
    }
}

static void poll_now(struct sl_timer *timer)
{
    struct eng_gpus *g = SL_CONTAINER_OF(timer, struct eng_gpus, timer);
    if (g->e->closing || g->reading) {
        return;
    }
    g->look.epoch = sl_gpu_pool_epoch(g->pool);
    g->look.n_asking = g->asking.n;
    take_samples(g);
    for (size_t i = 0; i < g->events.n; i++) {
        sl_vec_push(&g->look.events, g->events.items[i]);
    }
    for (size_t i = 0; i < g->kills.n; i++) {
        sl_vec_push(&g->look.kills, g->kills.items[i]);
    }
    g->events.n = g->kills.n = 0;
    g->look.work = (struct sl_work){.fn = read_fn, .done = read_done};
    g->reading = sl_lane_submit(g->e->prep_lane, &g->look.work, NULL) == 0;
}

/* ---- opening -------------------------------------------------------------------------------------- */

int eng_gpus_open(struct sl_engine *e, const char *inventory_file, struct sl_err *err)
{
    struct eng_gpus *g = SL_NEW(struct eng_gpus);
    g->e = e;
    g->timer.fn = poll_now;
    g->inventory = SL_NEW(struct sl_gpu_inventory);
    g->ops = (struct sl_sched_gpus){ops_fits, ops_meet, ops_why, ops_check, g};
    e->gpus = g;
    int rc = sl_gpu_source_open(inventory_file, NULL, &g->source, err);
    rc = rc < 0 ? rc : sl_gpu_source_read(g->source, g->inventory, err);
    if (rc < 0) {
        return rc;
    }
    sl_gpu_owners_fill(g->inventory);
    g->pool = sl_gpu_pool_new(g->inventory);
    (void)sl_gpu_pool_observe(g->pool, g->inventory, 0); /* attempts that an earlier engine lost */
    g->sample_ms = g->inventory->sample_ms;
    enum sl_gpu_state state;
    const struct sl_gpu *gpu = NULL;
    for (size_t i = 0; (gpu = sl_gpu_pool_at(g->pool, i, &state)) != NULL; i++) {
        g->before[i].xids = gpu->xid_count;
        g->before[i].ecc = gpu->ecc_errors;
        if (gpu->n_pids > 0) { /* once all runs are back it is clear whose they are */
            eng_gpus_poll(g, 0);
        }
    }
    return 0;
}

void eng_gpus_close(struct sl_engine *e)
{
    struct eng_gpus *g = e->gpus;
    if (g == NULL) {
        return;
    }
    sl_timer_stop(&g->timer);
    for (size_t i = 0; i < g->look.samples.n; i++) {
        free(g->look.samples.items[i].visible);
    }
    sl_vec_free(&g->look.samples);
    sl_vec_free(&g->look.events);
    sl_vec_free(&g->look.kills);
    sl_vec_free(&g->watched);
    sl_vec_free(&g->asking);
    sl_vec_free(&g->events);
    sl_vec_free(&g->kills);
    sl_gpu_pool_free(g->pool);
    sl_gpu_source_close(g->source);
    free(g->inventory);
    free(g);
    e->gpus = NULL;
}

int eng_gpus_count(const struct sl_engine *e)
{
    enum sl_gpu_state state;
    int n = 0;
    while (sl_gpu_pool_at(e->gpus->pool, (size_t)n, &state) != NULL) {
        n++;
    }
    return n;
}

/* ---- leases --------------------------------------------------------------------------------------- */

static const struct sl_resources *resources_of(const struct eng_attempt *ea)
{
    return &ea->run->core.plan->steps[ea->a->step].spec->resources;
}

static void watch(struct eng_gpus *g, struct eng_attempt *ea, const char *visible)
{
    enum sl_gpu_state state;
    const struct sl_gpu *gpu = NULL;
    for (size_t i = 0; (gpu = sl_gpu_pool_at(g->pool, i, &state)) != NULL; i++) {
        ea->gpu_bytes = sl_streq(gpu->uuid, visible) ? gpu->memory_bytes : ea->gpu_bytes;
        ea->gpu_slice = ea->gpu_slice || (gpu->slice >= 0 && sl_streq(gpu->uuid, visible));
    }
    ea->gpus = sl_strdup(visible);
    sl_vec_push(&g->watched, ((struct gpu_watch){.ea = ea}));
    eng_gpus_poll(g, g->sample_ms);
}

int eng_gpus_lease(struct eng_attempt *ea)
{
    struct eng_gpus *g = ea->run->e->gpus;
    struct sl_gpu_request r = request_of(resources_of(ea));
    char visible[SL_GPU_VISIBLE];
    int rc = sl_gpu_pool_lease(g->pool, ea->a->id, &r, visible, &ea->err);
    if (rc == 0) {
        watch(g, ea, visible);
    }
    return rc;
}

void eng_gpus_release(struct eng_attempt *ea)
{
    struct eng_gpus *g = ea->run->e->gpus;
    if (ea->gpus == NULL || g == NULL) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < g->watched.n; i++) {
        if (g->watched.items[i].ea != ea) {
            g->watched.items[kept++] = g->watched.items[i];
        }
    }
    g->watched.n = kept;
    sl_gpu_pool_release(g->pool, ea->a->id);
    free(ea->gpus);
    ea->gpus = NULL;
    eng_gpus_poll(g, 0);
}

void eng_gpus_restore(struct eng_attempt *ea, const char *visible)
{
    struct eng_gpus *g = ea->run->e->gpus;
    if (visible != NULL && visible[0] != '\0') {
        (void)sl_gpu_pool_restore(g->pool, ea->a->id, visible, resources_of(ea)->gpu_share_bytes);
        watch(g, ea, visible);
    }
}

bool eng_gpus_ask(struct eng_attempt *ea)
{
    struct eng_gpus *g = ea->run->e->gpus;
    if (ea->outcome.ok || ea->gpus == NULL) {
        return false;
    }
    sl_vec_push(&g->asking, ea);
    eng_gpus_poll(g, 0);
    return true;
}

void eng_gpus_env(struct eng_attempt *ea,
                  void (*set)(void *data, const char *name, const char *value), void *data)
{
    const struct sl_resources *want = resources_of(ea);
    set(data, "CUDA_VISIBLE_DEVICES", ea->gpus != NULL ? ea->gpus : ""); /* none unless asked for */
    if (ea->gpus == NULL) {
        return;
    }
    set(data, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
    if (want->gpu_share_bytes == 0) {
        return;
    }
    struct sl_arena *a = &ea->arena;
    if (ea->gpu_bytes > 0) {
        const char *part =
            sl_arena_printf(a, "%.4f", (double)want->gpu_share_bytes / (double)ea->gpu_bytes);
        set(data, "SLUICE_GPU_FRACTION", part);
        set(data, "XLA_PYTHON_CLIENT_MEM_FRACTION", part);
    }
    unsigned long long bytes = want->gpu_share_bytes;
    set(data, "SLUICE_GPU_SHARE_BYTES", sl_arena_printf(a, "%llu", bytes));
    set(data, "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", sl_arena_printf(a, "0=%lluM", bytes >> 20));
    set(data, "TF_FORCE_GPU_ALLOW_GROWTH", "true");
}

/* ---- people --------------------------------------------------------------------------------------- */

json_t *eng_gpus_json(const struct sl_engine *e)
{
    return sl_gpu_pool_json(e->gpus->pool, sl_gpu_source_text(e->gpus->source));
}

int sl_engine_gpu_undrain(struct sl_engine *e, const char *gpu, struct sl_err *err)
{
    int n = sl_gpu_pool_undrain(e->gpus->pool, gpu);
    if (n == 0 && gpu != NULL) {
        return sl_err_set(err, SL_ENOTFOUND, "no GPU '%.100s' is set aside", gpu);
    }
    sl_core_pump(e->core);
    return n;
}
