/**
 * Leases of GPUs: free -> leased -> draining -> free. Pure: what the devices do is told by observe.
 *
 * Thread: one at a time. Must not: do I/O, or end a draining lease on an observation older than its release.
 */
#include "core/base/base.h"

#include "runners/gpu/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "runners/gpu/gpu_priv.h"

static int by_place(const void *a, const void *b)
{
    const struct gpu_unit *x = a;
    const struct gpu_unit *y = b;
    return x->gpu.index != y->gpu.index
               ? (x->gpu.index > y->gpu.index ? 1 : -1)
               : (x->gpu.slice > y->gpu.slice) - (x->gpu.slice < y->gpu.slice);
}

struct sl_gpu_pool *sl_gpu_pool_new(const struct sl_gpu_inventory *inventory)
{
    struct sl_gpu_pool *p = SL_NEW(struct sl_gpu_pool);
    SL_ASSERT(inventory->n <= SL_GPU_UNITS_MAX);
    for (size_t i = 0; i < inventory->n; i++) {
        p->units[i].gpu = inventory->gpus[i];
    }
    p->n = inventory->n;
    qsort(p->units, p->n, sizeof(p->units[0]), by_place);
    for (size_t a = 0; a < p->n; a++) {
        for (size_t b = 0; b < p->n; b++) {
            p->links[a][b] =
                (uint8_t)sl_gpu_link_of(inventory, p->units[a].gpu.index, p->units[b].gpu.index);
        }
    }
    return p;
}

void sl_gpu_pool_free(struct sl_gpu_pool *p)
{
    if (p != NULL) {
        sl_vec_free(&p->leases);
        free(p);
    }
}

/* ---- questions ------------------------------------------------------------------------------------ */

static int n_suiting(const struct sl_gpu_pool *p, const struct sl_gpu_request *r)
{
    int n = 0;
    for (size_t i = 0; i < p->n; i++) {
        n += gpu_suits(&p->units[i], r) ? 1 : 0;
    }
    return n;
}

/** " of type H100 or A100", " of MIG profile 1g.10gb", " with 8GB to share". */
static void put_kind(const struct sl_gpu_request *r, struct sl_buf *out)
{
    char size[SL_TIME_TEXT];
    for (size_t i = 0; i < r->n_types; i++) {
        sl_buf_printf(out, "%s%s", i == 0 ? " of type " : " or ", r->types[i]);
    }
    if (r->mig == SL_GPU_MIG_PROFILE) {
        sl_buf_printf(out, " of MIG profile %s", r->profile);
    } else if (r->mig == SL_GPU_MIG_FORBID) {
        sl_buf_puts(out, " without MIG");
    }
    if (r->share_bytes > 0) {
        sl_buf_printf(out, " with %s to share", sl_size_format(r->share_bytes, size));
    }
}

int sl_gpu_pool_check(const struct sl_gpu_pool *p, const struct sl_gpu_request *request,
                      struct sl_err *err)
{
    int n = n_suiting(p, request);
    if (request->count >= 1 && request->count <= n) {
        return 0;
    }
    _cleanup_(buf)
    struct sl_buf kind = SL_BUF_INIT(400);
    put_kind(request, &kind);
    return sl_err_set(err, SL_ENOTFOUND, "%d GPUs%s are asked for, this machine has %d that fit",
                      request->count, sl_buf_str(&kind), n);
}

bool sl_gpu_pool_fits(const struct sl_gpu_pool *p, const struct sl_gpu_request *request,
                      const char *const *gone, size_t n_gone)
{
    struct gpu_room rooms[SL_GPU_UNITS_MAX];
    size_t units[SL_GPU_UNITS_MAX];
    gpu_rooms(p, gone, n_gone, rooms);
    return gpu_choose(p, request, rooms, units);
}

bool sl_gpu_pool_meet(const struct sl_gpu_pool *p, const struct sl_gpu_request *a,
                      const struct sl_gpu_request *b)
{
    for (size_t i = 0; i < p->n; i++) {
        if (gpu_suits(&p->units[i], a) && gpu_suits(&p->units[i], b)) {
            return true;
        }
    }
    return false;
}

static enum sl_gpu_state state_of(const struct sl_gpu_pool *p, size_t unit)
{
    bool whole = false;
    bool shared = false;
    bool draining = false;
    for (size_t i = 0; i < p->leases.n; i++) {
        const struct sl_gpu_lease *l = &p->leases.items[i];
        if (l->unit == unit) {
            draining = draining || l->draining;
            shared = shared || (!l->draining && l->bytes > 0);
            whole = whole || (!l->draining && l->bytes == 0);
        }
    }
    return whole                    ? SL_GPU_LEASED
           : shared                 ? SL_GPU_SHARED
           : draining               ? SL_GPU_DRAINING
           : p->units[unit].drained ? SL_GPU_DRAINED
                                    : SL_GPU_FREE;
}

void sl_gpu_pool_why(const struct sl_gpu_pool *p, const struct sl_gpu_request *request,
                     struct sl_buf *out)
{
    struct gpu_room rooms[SL_GPU_UNITS_MAX];
    size_t units[SL_GPU_UNITS_MAX];
    struct sl_gpu_request one = *request;
    int n = 0;
    int n_free = 0;
    int in_state[SL_GPU_DRAINED + 1] = {0};
    gpu_rooms(p, NULL, 0, rooms);
    for (size_t i = 0; i < p->n; i++) {
        if (gpu_suits(&p->units[i], request)) {
            n++;
            in_state[state_of(p, i)]++;
        }
    }
    one.count = 1;
    n_free = request->share_bytes > 0 ? (gpu_choose(p, &one, rooms, units) ? 1 : 0)
                                      : in_state[SL_GPU_FREE];
    sl_buf_printf(out, "waiting for %d GPU%s", request->count, request->count == 1 ? "" : "s");
    put_kind(request, out);
    sl_buf_printf(out, ": %d of %d free", n_free, n);
    for (size_t s = SL_GPU_LEASED; s < SL_LEN(in_state); s++) {
        if (in_state[s] > 0) {
            sl_buf_printf(out, ", %d %s", in_state[s], sl_gpu_state_name((enum sl_gpu_state)s));
        }
    }
}

/* ---- leasing -------------------------------------------------------------------------------------- */

static int write_visible(const struct sl_gpu_pool *p, const char *attempt_id,
                         char ret_visible[SL_GPU_VISIBLE])
{
    int n = 0;
    size_t len = 0;
    ret_visible[0] = '\0';
    for (size_t u = 0; u < p->n; u++) {
        for (size_t i = 0; i < p->leases.n; i++) {
            const struct sl_gpu_lease *l = &p->leases.items[i];
            if (l->unit == u && !l->draining && sl_streq(l->attempt_id, attempt_id)) {
                len += (size_t)snprintf(ret_visible + len, SL_GPU_VISIBLE - len, "%s%s",
                                        n > 0 ? "," : "", p->units[u].gpu.uuid);
                n++;
            }
        }
    }
    return n;
}

/** Processes on the unit that are nobody's as far as we know. */
static int unnamed(const struct sl_gpu *gpu)
{
    int n = gpu->processes;
    for (int i = 0; i < gpu->n_pids; i++) {
        n -= gpu->pids[i].attempt_id[0] != '\0' ? 1 : 0;
    }
    return SL_MAX(n, 0);
}

static void add_lease(struct sl_gpu_pool *p, const char *attempt_id, size_t unit, uint64_t bytes)
{
    struct sl_gpu_lease l = {.unit = unit, .bytes = bytes, .foreign = unnamed(&p->units[unit].gpu)};
    (void)snprintf(l.attempt_id, sizeof(l.attempt_id), "%s", attempt_id);
    sl_vec_push(&p->leases, l);
}

int sl_gpu_pool_lease(struct sl_gpu_pool *p, const char *attempt_id,
                      const struct sl_gpu_request *request, char ret_visible[SL_GPU_VISIBLE],
                      struct sl_err *err)
{
    SL_ASSERT(strlen(attempt_id) <= SL_ID_HEX);
    struct gpu_room rooms[SL_GPU_UNITS_MAX];
    size_t units[SL_GPU_UNITS_MAX];
    char visible[SL_GPU_VISIBLE];
    if (write_visible(p, attempt_id, visible) > 0) {
        memcpy(ret_visible, visible, strlen(visible) + 1);
        return 0;
    }
    int rc = sl_gpu_pool_check(p, request, err);
    if (rc < 0) {
        return rc;
    }
    gpu_rooms(p, NULL, 0, rooms);
    if (p->leases.n + (size_t)request->count > SL_GPU_LEASES_MAX ||
        !gpu_choose(p, request, rooms, units)) {
        _cleanup_(buf)
        struct sl_buf why = SL_BUF_INIT(400);
        sl_gpu_pool_why(p, request, &why);
        return sl_err_set(err, SL_EBUSY, "%s", sl_buf_str(&why));
    }
    for (int i = 0; i < request->count; i++) {
        add_lease(p, attempt_id, units[i], request->share_bytes);
    }
    (void)write_visible(p, attempt_id, ret_visible);
    return 0;
}

/** What was taken for an orphan's turns out to be held. */
static void forget(struct sl_gpu_pool *p, const char *attempt_id, size_t unit)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->leases.n; i++) {
        const struct sl_gpu_lease l = p->leases.items[i];
        if (l.unit != unit || !sl_streq(l.attempt_id, attempt_id)) {
            p->leases.items[kept++] = l;
        }
    }
    p->leases.n = kept;
}

int sl_gpu_pool_restore(struct sl_gpu_pool *p, const char *attempt_id, const char *visible,
                        uint64_t share_bytes)
{
    int n = 0;
    for (const char *s = visible; *s != '\0';) {
        size_t len = strcspn(s, ",");
        for (size_t i = 0; i < p->n; i++) {
            const char *uuid = p->units[i].gpu.uuid;
            if (strlen(uuid) == len && memcmp(uuid, s, len) == 0 && n < SL_GPU_UNITS_MAX) {
                forget(p, attempt_id, i);
                add_lease(p, attempt_id, i, share_bytes);
                p->leases.items[p->leases.n - 1].foreign = 0;
                n++;
            }
        }
        s += len + (s[len] == ',' ? 1 : 0);
    }
    return n;
}

void sl_gpu_pool_release(struct sl_gpu_pool *p, const char *attempt_id)
{
    bool any = false;
    for (size_t i = 0; i < p->leases.n; i++) {
        struct sl_gpu_lease *l = &p->leases.items[i];
        if (!l->draining && sl_streq(l->attempt_id, attempt_id)) {
            l->draining = true;
            l->released = p->epoch + 1;
            any = true;
        }
    }
    p->epoch += any ? 1 : 0;
}

uint64_t sl_gpu_pool_epoch(const struct sl_gpu_pool *p)
{
    return p->epoch;
}

/* ---- observing ------------------------------------------------------------------------------------ */

/** What a unit is stays as it was: sl_gpu_pool_check reads it on other threads. */
static void refresh(struct sl_gpu *gpu, const struct sl_gpu_inventory *inv)
{
    for (size_t k = 0; k < inv->n; k++) {
        const struct sl_gpu *now = &inv->gpus[k];
        if (sl_streq(now->uuid, gpu->uuid)) {
            gpu->memory_used = now->memory_used;
            gpu->util = now->util;
            gpu->power_watts = now->power_watts;
            gpu->celsius = now->celsius;
            gpu->ecc_errors = now->ecc_errors;
            gpu->xid = now->xid;
            gpu->xid_count = now->xid_count;
            gpu->processes = now->processes;
            gpu->n_pids = now->n_pids;
            memcpy(gpu->pids, now->pids, sizeof(gpu->pids));
            return;
        }
    }
    gpu->processes = gpu->n_pids = 0; /* it vanished, and everybody on it */
}

/** Whether the lease holds the unit back: a process of its attempt, or an unnamed one that was not there before
 * and that no live holder of another share explains. */
static bool still_used(const struct sl_gpu_pool *p, const struct sl_gpu_lease *l)
{
    const struct sl_gpu *gpu = &p->units[l->unit].gpu;
    for (int i = 0; i < gpu->n_pids; i++) {
        if (sl_streq(gpu->pids[i].attempt_id, l->attempt_id)) {
            return true;
        }
    }
    if (unnamed(gpu) <= l->foreign) {
        return false;
    }
    for (size_t i = 0; i < p->leases.n; i++) {
        const struct sl_gpu_lease *other = &p->leases.items[i];
        if (other->unit == l->unit && !other->draining) {
            return false;
        }
    }
    return true;
}

static bool holds(const struct sl_gpu_pool *p, const char *attempt_id, size_t unit)
{
    for (size_t i = 0; i < p->leases.n; i++) {
        const struct sl_gpu_lease *l = &p->leases.items[i];
        if (l->unit == unit && sl_streq(l->attempt_id, attempt_id)) {
            return true;
        }
    }
    return false;
}

static void note_orphans(struct sl_gpu_pool *p, uint64_t epoch)
{
    for (size_t u = 0; u < p->n; u++) {
        const struct sl_gpu *gpu = &p->units[u].gpu;
        for (int i = 0; i < gpu->n_pids; i++) {
            const char *id = gpu->pids[i].attempt_id;
            if (id[0] != '\0' && p->leases.n < SL_GPU_LEASES_MAX && !holds(p, id, u)) {
                add_lease(p, id, u, 0);
                p->leases.items[p->leases.n - 1].draining = true;
                p->leases.items[p->leases.n - 1].released = epoch;
            }
        }
    }
}

int sl_gpu_pool_observe(struct sl_gpu_pool *p, const struct sl_gpu_inventory *inventory,
                        uint64_t epoch)
{
    size_t kept = 0;
    int ended = 0;
    for (size_t i = 0; i < p->n; i++) {
        refresh(&p->units[i].gpu, inventory);
    }
    for (size_t i = 0; i < p->leases.n; i++) {
        struct sl_gpu_lease l = p->leases.items[i];
        if (l.draining && l.released <= epoch && !still_used(p, &l)) {
            ended++;
            p->leases.items[i].unit =
                SL_GPU_UNITS_MAX; /* of no unit: it explains nobody any more */
        }
    }
    for (size_t i = 0; i < p->leases.n; i++) {
        if (p->leases.items[i].unit != SL_GPU_UNITS_MAX) {
            p->leases.items[kept++] = p->leases.items[i];
        }
    }
    p->leases.n = kept;
    note_orphans(p, epoch);
    return ended;
}

/* ---- setting aside -------------------------------------------------------------------------------- */

static bool is_named(const struct sl_gpu *gpu, const char *name)
{
    char index[16];
    (void)snprintf(index, sizeof(index), "%d", gpu->index);
    return sl_streq(gpu->uuid, name) || sl_streq(gpu->device, name) || sl_streq(index, name);
}

bool sl_gpu_pool_drain(struct sl_gpu_pool *p, const char *uuid, const char *reason)
{
    bool found = false;
    for (size_t i = 0; i < p->n; i++) {
        struct gpu_unit *u = &p->units[i];
        if (is_named(&u->gpu, uuid)) {
            u->drained = found = true;
            (void)snprintf(u->reason, sizeof(u->reason), "%s", reason);
        }
    }
    return found;
}

int sl_gpu_pool_undrain(struct sl_gpu_pool *p, const char *uuid)
{
    int n = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct gpu_unit *u = &p->units[i];
        if (u->drained && (uuid == NULL || is_named(&u->gpu, uuid))) {
            u->drained = false;
            u->reason[0] = '\0';
            n++;
        }
    }
    return n;
}

/* ---- showing -------------------------------------------------------------------------------------- */

const char *sl_gpu_state_name(enum sl_gpu_state state)
{
    static const char *const names[] = {"free", "leased", "shared", "draining", "set aside"};
    SL_ASSERT((size_t)state < SL_LEN(names));
    return names[state];
}

const struct sl_gpu *sl_gpu_pool_at(const struct sl_gpu_pool *p, size_t i,
                                    enum sl_gpu_state *ret_state)
{
    if (i >= p->n) {
        return NULL;
    }
    *ret_state = state_of(p, i);
    return &p->units[i].gpu;
}

const char *sl_gpu_pool_drained(const struct sl_gpu_pool *p, size_t i)
{
    SL_ASSERT(i < p->n);
    return p->units[i].drained ? p->units[i].reason : "";
}

const struct sl_gpu_lease *sl_gpu_pool_lease_at(const struct sl_gpu_pool *p, size_t i)
{
    return i < p->leases.n ? &p->leases.items[i] : NULL;
}
