/**
 * Leases of GPUs: free -> leased -> draining -> free. Pure: what the devices do is told by observe.
 *
 * Thread: loop. Must not: do I/O, or free a draining device on an observation older than its release.
 */
#include "core/base/base.h"

#include "runners/gpu/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

struct device {
    struct sl_gpu gpu;
    enum sl_gpu_state state;
    char attempt_id[SL_ID_HEX + 1];
    uint64_t released; /* epoch of its release */
};

struct sl_gpu_pool {
    struct device devices[SL_GPU_MAX];
    size_t n;
    uint64_t epoch;
};

static int by_index(const void *a, const void *b)
{
    const struct device *x = a;
    const struct device *y = b;
    return (x->gpu.index > y->gpu.index) - (x->gpu.index < y->gpu.index);
}

struct sl_gpu_pool *sl_gpu_pool_new(const struct sl_gpu_inventory *inventory)
{
    struct sl_gpu_pool *p = SL_NEW(struct sl_gpu_pool);
    SL_ASSERT(inventory->n <= SL_GPU_MAX);
    for (size_t i = 0; i < inventory->n; i++) {
        p->devices[i].gpu = inventory->gpus[i];
    }
    p->n = inventory->n;
    qsort(p->devices, p->n, sizeof(p->devices[0]), by_index);
    return p;
}

void sl_gpu_pool_free(struct sl_gpu_pool *p)
{
    free(p);
}

static bool fits(const struct device *d, const struct sl_gpu_request *r)
{
    return d->gpu.memory_bytes >= r->memory_min &&
           (r->memory_max == 0 || d->gpu.memory_bytes <= r->memory_max);
}

/* The free device that fits with the least memory, the first of equals; NULL when none is left. */
static struct device *smallest_free(struct sl_gpu_pool *p, const struct sl_gpu_request *r)
{
    struct device *best = NULL;
    for (size_t i = 0; i < p->n; i++) {
        struct device *d = &p->devices[i];
        if (d->state == SL_GPU_FREE && fits(d, r) &&
            (best == NULL || d->gpu.memory_bytes < best->gpu.memory_bytes)) {
            best = d;
        }
    }
    return best;
}

static int write_visible(const struct sl_gpu_pool *p, const char *attempt_id,
                         char ret_visible[SL_GPU_VISIBLE])
{
    int n = 0;
    size_t len = 0;
    ret_visible[0] = '\0';
    for (size_t i = 0; i < p->n; i++) {
        const struct device *d = &p->devices[i];
        if (d->state == SL_GPU_LEASED && sl_streq(d->attempt_id, attempt_id)) {
            len += (size_t)snprintf(ret_visible + len, SL_GPU_VISIBLE - len, "%s%s",
                                    n > 0 ? "," : "", d->gpu.uuid);
            n++;
        }
    }
    return n;
}

static int check_possible(const struct sl_gpu_pool *p, const struct sl_gpu_request *r,
                          int *ret_free, struct sl_err *err)
{
    int fitting = 0;
    int free_now = 0;
    for (size_t i = 0; i < p->n; i++) {
        bool ok = fits(&p->devices[i], r);
        fitting += ok ? 1 : 0;
        free_now += ok && p->devices[i].state == SL_GPU_FREE ? 1 : 0;
    }
    if (r->count < 1 || r->count > fitting) {
        return sl_err_set(err, SL_ENOTFOUND, "%d GPUs are asked for, this machine has %d that fit",
                          r->count, fitting);
    }
    *ret_free = free_now;
    return 0;
}

int sl_gpu_pool_lease(struct sl_gpu_pool *p, const char *attempt_id,
                      const struct sl_gpu_request *request, char ret_visible[SL_GPU_VISIBLE],
                      struct sl_err *err)
{
    SL_ASSERT(strlen(attempt_id) <= SL_ID_HEX);
    char visible[SL_GPU_VISIBLE];
    if (write_visible(p, attempt_id, visible) > 0) {
        memcpy(ret_visible, visible, strlen(visible) + 1);
        return 0;
    }
    int free_now = 0;
    int rc = check_possible(p, request, &free_now, err);
    if (rc < 0) {
        return rc;
    }
    if (free_now < request->count) {
        return sl_err_set(err, SL_EBUSY, "%d GPUs are asked for, %d of those that fit are free",
                          request->count, free_now);
    }
    for (int i = 0; i < request->count; i++) {
        struct device *d = smallest_free(p, request);
        SL_ASSERT(d != NULL);
        d->state = SL_GPU_LEASED;
        (void)snprintf(d->attempt_id, sizeof(d->attempt_id), "%s", attempt_id);
    }
    (void)write_visible(p, attempt_id, ret_visible);
    return 0;
}

int sl_gpu_pool_restore(struct sl_gpu_pool *p, const char *attempt_id, const char *visible)
{
    int n = 0;
    for (const char *s = visible; *s != '\0';) {
        size_t len = strcspn(s, ",");
        for (size_t i = 0; i < p->n; i++) {
            struct device *d = &p->devices[i];
            if (d->state == SL_GPU_FREE && strlen(d->gpu.uuid) == len &&
                memcmp(d->gpu.uuid, s, len) == 0) {
                d->state = SL_GPU_LEASED;
                (void)snprintf(d->attempt_id, sizeof(d->attempt_id), "%s", attempt_id);
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
    for (size_t i = 0; i < p->n; i++) {
        struct device *d = &p->devices[i];
        if (d->state == SL_GPU_LEASED && sl_streq(d->attempt_id, attempt_id)) {
            d->state = SL_GPU_DRAINING;
            d->released = p->epoch + 1;
            any = true;
        }
    }
    p->epoch += any ? 1 : 0;
}

uint64_t sl_gpu_pool_epoch(const struct sl_gpu_pool *p)
{
    return p->epoch;
}

int sl_gpu_pool_observe(struct sl_gpu_pool *p, const struct sl_gpu_inventory *inventory,
                        uint64_t epoch)
{
    int freed = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct device *d = &p->devices[i];
        int processes = 0;
        for (size_t k = 0; k < inventory->n; k++) {
            if (sl_streq(inventory->gpus[k].uuid, d->gpu.uuid)) {
                processes = inventory->gpus[k].processes;
            }
        }
        d->gpu.processes = processes;
        if (d->state == SL_GPU_DRAINING && processes == 0 && d->released <= epoch) {
            d->state = SL_GPU_FREE;
            d->attempt_id[0] = '\0';
            freed++;
        }
    }
    return freed;
}

const char *sl_gpu_state_name(enum sl_gpu_state state)
{
    static const char *const names[] = {"free", "leased", "draining"};
    SL_ASSERT((size_t)state < SL_LEN(names));
    return names[state];
}

bool sl_gpu_pool_at(const struct sl_gpu_pool *p, size_t i, struct sl_gpu *ret_gpu,
                    enum sl_gpu_state *ret_state, char ret_attempt_id[SL_ID_HEX + 1])
{
    if (i >= p->n) {
        return false;
    }
    *ret_gpu = p->devices[i].gpu;
    *ret_state = p->devices[i].state;
    memcpy(ret_attempt_id, p->devices[i].attempt_id, sizeof(p->devices[i].attempt_id));
    return true;
}
