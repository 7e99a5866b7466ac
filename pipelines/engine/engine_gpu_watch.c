/* How the GPUs of running attempts fare: series, idleness, faults, and processes that outlived their attempt.
 * Thread: eng_gpus_look on the blob lane, the rest on the loop. */
#include "core/base/base.h"

#include "pipelines/engine/engine_gpu_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/track/track.h"
#include "runners/gpu/owners.h"

#define IDLE_PERCENT 5.0

/* ---- on the lane ---------------------------------------------------------------------------------- */

static const struct sl_gpu *unit_of(const struct sl_gpu_inventory *inv, const char *uuid,
                                    size_t len)
{
    for (size_t i = 0; i < inv->n; i++) {
        if (strlen(inv->gpus[i].uuid) == len && memcmp(inv->gpus[i].uuid, uuid, len) == 0) {
            return &inv->gpus[i];
        }
    }
    return NULL;
}

static void add_point(struct sl_arena *a, struct sl_points *points, int number, const char *what,
                      double value)
{
    if (!isnan(value)) {
        points->items[points->n++] = (struct sl_point){
            .key = sl_arena_printf(a, SL_SYSTEM_METRIC "gpu.%d.%s", number, what), .value = value};
    }
}

/** Numbered as the program sees them: by their place in CUDA_VISIBLE_DEVICES. */
static void measure(struct sl_arena *a, const struct sl_gpu_inventory *inv, const char *visible,
                    struct sl_points *points)
{
    int number = 0;
    points->items = SL_ARENA_ARRAY(a, struct sl_point, SL_GPU_UNITS_MAX * 4);
    for (const char *s = visible; *s != '\0' && number < SL_GPU_UNITS_MAX; number++) {
        size_t len = strcspn(s, ",");
        const struct sl_gpu *gpu = unit_of(inv, s, len);
        if (gpu != NULL) {
            add_point(a, points, number, "util_percent", gpu->util);
            add_point(a, points, number, "memory_bytes", (double)gpu->memory_used);
            add_point(a, points, number, "power_watts", gpu->power_watts);
            add_point(a, points, number, "temperature_c", gpu->celsius);
        }
        s += len + (s[len] == ',' ? 1 : 0);
    }
}

static int append_event(struct sl_db *db, const struct gpu_event *ge, int64_t now,
                        struct sl_err *err)
{
    struct sl_event ev = {.ts_ms = now,
                          .type = ge->type,
                          .run_id = ge->run_id[0] != '\0' ? ge->run_id : NULL,
                          .subject = ge->gpu};
    json_auto_t *payload = json_pack("{s:s}", "reason", ge->reason);
    sl_json_set_str(payload, "attempt", ge->attempt_id[0] != '\0' ? ge->attempt_id : NULL);
    return sl_bus_append(db, &ev, payload, NULL, err);
}

static int write_look(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct eng_gpus *g = arg;
    struct sl_arena arena;
    int64_t now = sl_now_ms();
    int rc = 0;
    sl_arena_init(&arena, 0);
    for (size_t i = 0; rc == 0 && i < g->look.events.n; i++) {
        rc = append_event(db, &g->look.events.items[i], now, err);
    }
    for (size_t i = 0; rc == 0 && g->look.rc == 0 && i < g->look.samples.n; i++) {
        const struct gpu_sample *s = &g->look.samples.items[i];
        struct sl_points points = {0};
        measure(&arena, g->inventory, s->visible, &points);
        struct sl_track_batch batch = {.run_id = s->run_id,
                                       .attempt_id = s->attempt_id,
                                       .points = points.items,
                                       .n = points.n,
                                       .ts_ms = now,
                                       .offset_from = SL_TRACK_NO_OFFSET};
        rc = points.n > 0 ? sl_track_append(db, &batch, err) : 0;
    }
    sl_arena_release(&arena);
    return rc;
}

void eng_gpus_look(struct eng_gpus *g)
{
    struct gpu_look *look = &g->look;
    for (size_t i = 0; i < look->kills.n; i++) {
        (void)sl_gpu_owner_kill(look->kills.items[i].pid, look->kills.items[i].attempt_id,
                                g->e->ws->path);
    }
    if (look->samples.n > 0 || look->events.n > 0) {
        struct sl_err lost = SL_ERR_INIT; /* a measurement, and no more: the steps go on */
        int rc = sl_ws_write(g->e->ws, write_look, g, &lost);
        (void)rc;
    }
    for (size_t i = 0; i < look->samples.n; i++) {
        free(look->samples.items[i].visible);
    }
    look->samples.n = look->events.n = look->kills.n = 0;
}

/* ---- on the loop ---------------------------------------------------------------------------------- */

void eng_gpus_note(struct eng_gpus *g, enum sl_event_type type, const struct eng_attempt *ea,
                   const char *gpu, const char *reason)
{
    struct gpu_event ev = {.type = type};
    snprintf(ev.run_id, sizeof(ev.run_id), "%s", ea != NULL ? ea->run->record.id : "");
    snprintf(ev.attempt_id, sizeof(ev.attempt_id), "%s", ea != NULL ? ea->a->id : "");
    snprintf(ev.gpu, sizeof(ev.gpu), "%s", gpu);
    snprintf(ev.reason, sizeof(ev.reason), "%s", reason);
    sl_vec_push(&g->events, ev);
}

static bool holds(const struct eng_attempt *ea, const char *uuid)
{
    size_t len = strlen(uuid);
    for (const char *s = ea->gpus; *s != '\0';) {
        size_t n = strcspn(s, ",");
        if (n == len && memcmp(s, uuid, n) == 0) {
            return true;
        }
        s += n + (s[n] == ',' ? 1 : 0);
    }
    return false;
}

/** Ends the attempt for the sake of its GPUs. The first reason counts. */
static void stop(struct eng_attempt *ea, enum eng_gpu_state state, const char *note)
{
    if (ea->gpu_state < state) {
        ea->gpu_state = state;
        snprintf(ea->gpu_note, sizeof(ea->gpu_note), "%s", note);
        if (state != ENG_GPU_APP) {
            eng_cancel(ea->run->e, ea->a);
        }
    }
}

static void blame(struct eng_gpus *g, const struct sl_gpu *gpu, enum eng_gpu_state state,
                  const char *note)
{
    const struct eng_attempt *holder = NULL;
    for (size_t i = 0; i < g->watched.n; i++) {
        if (holds(g->watched.items[i].ea, gpu->uuid)) {
            holder = g->watched.items[i].ea;
            stop(g->watched.items[i].ea, state, note);
        }
    }
    if (state == ENG_GPU_FAULT && sl_gpu_pool_drain(g->pool, gpu->uuid, note)) {
        eng_gpus_note(g, SL_EVENT_GPU_DRAINED, holder, gpu->uuid, note);
    }
}

/** What the driver newly reports of a unit. */
static void judge_unit(struct eng_gpus *g, size_t i, const struct sl_gpu *gpu)
{
    char note[200];
    uint64_t xids = g->before[i].xids;
    uint64_t ecc = g->before[i].ecc;
    g->before[i].xids = gpu->xid_count;
    g->before[i].ecc = gpu->ecc_errors;
    if (gpu->xid_count > xids) {
        bool app = sl_gpu_xid_is_application(gpu->xid);
        snprintf(note, sizeof(note), "XID %lld on %s%s", (long long)gpu->xid, gpu->uuid,
                 app ? " (caused by the program)" : "");
        blame(g, gpu, app ? ENG_GPU_APP : ENG_GPU_FAULT, note);
    }
    if (gpu->ecc_errors > ecc) {
        snprintf(note, sizeof(note), "%llu uncorrected ECC error%s on %s",
                 (unsigned long long)(gpu->ecc_errors - ecc), gpu->ecc_errors - ecc == 1 ? "" : "s",
                 gpu->uuid);
        blame(g, gpu, ENG_GPU_FAULT, note);
    }
}

/** Whether all its GPUs are known to do next to nothing. */
static bool is_idle(const struct eng_gpus *g, const struct eng_attempt *ea)
{
    int n = 0;
    for (size_t i = 0; i < g->inventory->n; i++) {
        const struct sl_gpu *gpu = &g->inventory->gpus[i];
        if (holds(ea, gpu->uuid)) {
            n++;
            if (isnan(gpu->util) || gpu->util >= IDLE_PERCENT) {
                return false;
            }
        }
    }
    return n > 0;
}

static void judge_idle(struct eng_gpus *g, struct gpu_watch *w, int64_t now)
{
    struct eng_attempt *ea = w->ea;
    int64_t limit = ea->run->core.plan->steps[ea->a->step].spec->resources.gpu_idle_timeout_ms;
    if (limit == 0 || !ea->live || ea->proc.on_end == NULL || !is_idle(g, ea)) {
        w->idle_since_ms = 0;
        return;
    }
    w->idle_since_ms = w->idle_since_ms == 0 ? now : w->idle_since_ms;
    if (now - w->idle_since_ms >= limit) {
        char note[200];
        char span[SL_TIME_TEXT];
        snprintf(note, sizeof(note), "GPU idle: below %g %% of use for %s", IDLE_PERCENT,
                 sl_duration_format(limit, span));
        stop(ea, ENG_GPU_IDLE, note);
    }
}

/* ---- orphans -------------------------------------------------------------------------------------- */

static bool attempt_lives(const struct eng_gpus *g, const char *attempt_id)
{
    for (const struct sl_core_run *r = sl_core_find_run(g->e->core, NULL); r != NULL; r = r->next) {
        for (uint32_t i = 0; i < r->plan->n_steps; i++) {
            if (r->steps[i].att != NULL && sl_streq(r->steps[i].att->id, attempt_id)) {
                return true;
            }
        }
    }
    return false;
}

static bool was_told(struct eng_gpus *g, const char *attempt_id)
{
    for (size_t i = 0; i < SL_MIN(g->n_told, (size_t)GPU_TOLD_MAX); i++) {
        if (sl_streq(g->told[i], attempt_id)) {
            return true;
        }
    }
    snprintf(g->told[g->n_told++ % GPU_TOLD_MAX], sizeof(g->told[0]), "%s", attempt_id);
    return false;
}

static void judge_orphan(struct eng_gpus *g, const struct sl_gpu *gpu,
                         const struct sl_gpu_process *p)
{
    struct gpu_orphan orphan = {.pid = p->pid};
    char note[200];
    if (attempt_lives(g, p->attempt_id)) {
        return; /* it was told of no GPU and took one all the same */
    }
    snprintf(orphan.attempt_id, sizeof(orphan.attempt_id), "%s", p->attempt_id);
    if (!was_told(g, p->attempt_id)) {
        snprintf(note, sizeof(note), "process %d of attempt %s outlived it and is on %s", p->pid,
                 p->attempt_id, gpu->uuid);
        eng_gpus_note(g, SL_EVENT_GPU_ORPHAN, NULL, gpu->uuid, note);
        sl_vec_push(&g->kills, orphan);
    }
}

void eng_gpus_judge(struct eng_gpus *g)
{
    const struct sl_gpu *gpu = NULL;
    enum sl_gpu_state state;
    int64_t now = sl_mono_ns() / 1000000;
    for (size_t i = 0; (gpu = sl_gpu_pool_at(g->pool, i, &state)) != NULL; i++) {
        judge_unit(g, i, gpu);
        for (int k = 0; k < gpu->n_pids; k++) {
            if (gpu->pids[k].attempt_id[0] != '\0') {
                judge_orphan(g, gpu, &gpu->pids[k]);
            }
        }
    }
    for (size_t i = 0; i < g->watched.n; i++) {
        judge_idle(g, &g->watched.items[i], now);
    }
}

void eng_gpus_verdict(const struct eng_attempt *ea, struct sl_outcome *o)
{
    char before[sizeof(o->reason)];
    if (o->ok || ea->gpu_state == ENG_GPU_FINE) {
        return;
    }
    snprintf(before, sizeof(before), "%s", o->reason);
    if (ea->gpu_state == ENG_GPU_APP) {
        snprintf(o->reason, sizeof(o->reason), "%.130s; %.160s", before, ea->gpu_note);
        return;
    }
    o->fail = ea->gpu_state == ENG_GPU_FAULT ? SL_FAIL_INFRA : SL_FAIL_STALLED;
    snprintf(o->reason, sizeof(o->reason), "%s", ea->gpu_note);
}
