/**
 * Which units serve a request: see sl_gpu_pool_lease for the order of preference.
 *
 * Thread: any. Pure.
 */
#include "core/base/base.h"

#include "runners/gpu/gpu_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool suits_type(const struct sl_gpu *gpu, const struct sl_gpu_request *r)
{
    bool suits = r->n_types == 0;
    for (size_t i = 0; !suits && i < r->n_types; i++) {
        suits =
            strcasecmp(r->types[i], gpu->type) == 0 || sl_gpu_type_matches(r->types[i], gpu->name);
    }
    return suits;
}

static bool suits_mig(const struct sl_gpu *gpu, const struct sl_gpu_request *r)
{
    if (r->share_bytes > 0) {
        return gpu->slice < 0 && gpu->memory_bytes >= r->share_bytes;
    }
    switch (r->mig) {
    case SL_GPU_MIG_ALLOW: return gpu->slice < 0 || r->count == 1;
    case SL_GPU_MIG_FORBID: return gpu->slice < 0;
    case SL_GPU_MIG_PROFILE: return gpu->slice >= 0 && strcasecmp(gpu->profile, r->profile) == 0;
    }
    return false;
}

bool gpu_suits(const struct gpu_unit *u, const struct sl_gpu_request *r)
{
    return u->gpu.memory_bytes >= r->memory_min &&
           (r->memory_max == 0 || u->gpu.memory_bytes <= r->memory_max) && suits_mig(&u->gpu, r) &&
           suits_type(&u->gpu, r);
}

void gpu_rooms(const struct sl_gpu_pool *p, const char *const *gone, size_t n_gone,
               struct gpu_room rooms[SL_GPU_UNITS_MAX])
{
    memset(rooms, 0, sizeof(rooms[0]) * SL_GPU_UNITS_MAX);
    for (size_t i = 0; i < p->leases.n; i++) {
        const struct sl_gpu_lease *l = &p->leases.items[i];
        size_t k = 0;
        while (k < n_gone && !sl_streq(gone[k], l->attempt_id)) {
            k++;
        }
        if (k < n_gone) {
            continue;
        }
        struct gpu_room *room = &rooms[l->unit];
        room->taken = room->taken || l->bytes == 0;
        room->shared_bytes += l->bytes;
        room->n_shares += l->bytes > 0 ? 1 : 0;
    }
}

static bool is_free(const struct gpu_unit *u, const struct gpu_room *room,
                    const struct sl_gpu_request *r)
{
    if (u->drained || room->taken) {
        return false;
    }
    return r->share_bytes == 0
               ? room->n_shares == 0
               : u->gpu.memory_bytes - SL_MIN(room->shared_bytes, u->gpu.memory_bytes) >=
                     r->share_bytes;
}

/* ---- whole units ---------------------------------------------------------------------------------- */

struct choice {
    size_t units[SL_GPU_UNITS_MAX];
    size_t n;
    int foreign;     /* units with processes of others */
    uint64_t memory; /* of all */
    int weakest;     /* link of any two */
    int links;       /* of all pairs, together */
    int outside;     /* links that the rest of the free units lose */
};

static int compare(const struct choice *a, const struct choice *b)
{
    if (a->foreign != b->foreign) {
        return a->foreign < b->foreign ? -1 : 1;
    }
    if (a->memory != b->memory) {
        return a->memory < b->memory ? -1 : 1;
    }
    if (a->weakest != b->weakest) {
        return a->weakest > b->weakest ? -1 : 1;
    }
    if (a->links != b->links) {
        return a->links > b->links ? -1 : 1;
    }
    return a->outside - b->outside;
}

static bool contains(const struct choice *c, size_t unit)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->units[i] == unit) {
            return true;
        }
    }
    return false;
}

static void judge(const struct sl_gpu_pool *p, const size_t *all, size_t n_all, struct choice *c)
{
    c->foreign = c->links = c->outside = 0;
    c->memory = 0;
    c->weakest = SL_GPU_LINKS;
    for (size_t i = 0; i < c->n; i++) {
        const struct sl_gpu *gpu = &p->units[c->units[i]].gpu;
        c->foreign += gpu->processes > 0 ? 1 : 0;
        c->memory += gpu->memory_bytes;
        for (size_t k = 0; k < i; k++) {
            int link = p->links[c->units[i]][c->units[k]];
            c->weakest = SL_MIN(c->weakest, link);
            c->links += link;
        }
        for (size_t k = 0; k < n_all; k++) {
            c->outside += contains(c, all[k]) ? 0 : p->links[c->units[i]][all[k]];
        }
    }
}

/** Adds from `tied` the unit that leaves the choice best. */
static void add_best(const struct sl_gpu_pool *p, const size_t *tied, size_t n_tied,
                     const size_t *all, size_t n_all, struct choice *c)
{
    struct choice best = {.n = 0};
    for (size_t i = 0; i < n_tied; i++) {
        if (contains(c, tied[i])) {
            continue;
        }
        struct choice next = *c;
        next.units[next.n++] = tied[i];
        judge(p, all, n_all, &next);
        if (best.n == 0 || compare(&next, &best) < 0) {
            best = next;
        }
    }
    SL_ASSERT(best.n > 0);
    *c = best;
}

/** Less wanted later: with processes of others, larger; then by order. */
static bool goes_before(const struct sl_gpu_pool *p, size_t a, size_t b)
{
    const struct sl_gpu *x = &p->units[a].gpu;
    const struct sl_gpu *y = &p->units[b].gpu;
    int fx = x->processes > 0 ? 1 : 0;
    int fy = y->processes > 0 ? 1 : 0;
    return fx != fy ? fx < fy : x->memory_bytes < y->memory_bytes;
}

static void sort(const struct sl_gpu_pool *p, size_t *units, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        size_t unit = units[i];
        size_t k = i;
        for (; k > 0 && goes_before(p, unit, units[k - 1]); k--) {
            units[k] = units[k - 1];
        }
        units[k] = unit;
    }
}

/** The best `count` of `all`, which are sorted: those before the last needed are taken, of its equals the best
 * connected, grown from each in turn. */
static void choose_among(const struct sl_gpu_pool *p, const size_t *all, size_t n_all, size_t count,
                         struct choice *ret)
{
    size_t first = count - 1; /* of the units that are as good as the last needed */
    size_t end = count;
    while (first > 0 && !goes_before(p, all[first - 1], all[count - 1])) {
        first--;
    }
    while (end < n_all && !goes_before(p, all[count - 1], all[end])) {
        end++;
    }
    *ret = (struct choice){.n = 0};
    for (size_t seed = first; seed < end; seed++) {
        struct choice c = {.n = 0};
        for (size_t i = 0; i < first; i++) {
            c.units[c.n++] = all[i];
        }
        c.units[c.n++] = all[seed];
        judge(p, all, n_all, &c);
        while (c.n < count) {
            add_best(p, all + first, end - first, all, n_all, &c);
        }
        if (ret->n == 0 || compare(&c, ret) < 0) {
            *ret = c;
        }
    }
}

/** Of one type when there are enough of one; else of any that fit. */
static void choose_whole(const struct sl_gpu_pool *p, const size_t *all, size_t n_all, size_t count,
                         struct choice *best)
{
    *best = (struct choice){.n = 0};
    for (size_t i = 0; i < n_all && count > 1; i++) {
        const char *type = p->units[all[i]].gpu.type;
        size_t same[SL_GPU_UNITS_MAX];
        size_t n = 0;
        bool seen = false;
        for (size_t k = 0; k < n_all; k++) {
            bool is = sl_streq(p->units[all[k]].gpu.type, type);
            seen = seen || (is && k < i);
            if (is) {
                same[n++] = all[k];
            }
        }
        if (!seen && n >= count) {
            struct choice c;
            choose_among(p, same, n, count, &c);
            if (best->n == 0 || compare(&c, best) < 0) {
                *best = c;
            }
        }
    }
    if (best->n == 0) {
        choose_among(p, all, n_all, count, best);
    }
}

/* ---- shares --------------------------------------------------------------------------------------- */

/** Where the least is left: devices that are shared already before fresh ones. */
static size_t choose_share(const struct sl_gpu_pool *p, const size_t *all, size_t n_all,
                           const struct gpu_room *rooms)
{
    size_t best = all[0];
    for (size_t i = 1; i < n_all; i++) {
        const struct gpu_room *a = &rooms[all[i]];
        const struct gpu_room *b = &rooms[best];
        bool fresh = a->n_shares == 0;
        if (fresh != (b->n_shares == 0)) {
            best = fresh ? best : all[i];
        } else if (p->units[all[i]].gpu.memory_bytes - a->shared_bytes <
                   p->units[best].gpu.memory_bytes - b->shared_bytes) {
            best = all[i];
        }
    }
    return best;
}

static int by_number(const void *a, const void *b)
{
    const size_t *x = a;
    const size_t *y = b;
    return (*x > *y) - (*x < *y);
}

bool gpu_choose(const struct sl_gpu_pool *p, const struct sl_gpu_request *r,
                const struct gpu_room *rooms, size_t ret[SL_GPU_UNITS_MAX])
{
    size_t all[SL_GPU_UNITS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (gpu_suits(&p->units[i], r) && is_free(&p->units[i], &rooms[i], r)) {
            all[n++] = i;
        }
    }
    if (r->count < 1 || n < (size_t)r->count) {
        return false;
    }
    if (r->share_bytes > 0) {
        ret[0] = choose_share(p, all, n, rooms);
        return true;
    }
    struct choice c;
    sort(p, all, n);
    choose_whole(p, all, n, (size_t)r->count, &c);
    memcpy(ret, c.units, sizeof(ret[0]) * c.n);
    qsort(ret, c.n, sizeof(ret[0]), by_number);
    return true;
}
