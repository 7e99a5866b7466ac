/** What the files of this room share. Not for other rooms. */
#ifndef SL_GPU_PRIV_H
#define SL_GPU_PRIV_H

#include "core/base/mem.h"
#include "runners/gpu/gpu.h"
#include "runners/gpu/pool.h"

/* nvml.c */
struct gpu_nvml;
/** NULL with the reason in `why` when the library is not there or does not answer. */
struct gpu_nvml *gpu_nvml_open(const char *library, char *why, size_t size);
void gpu_nvml_close(struct gpu_nvml *n); /* NULL allowed */
int gpu_nvml_read(struct gpu_nvml *n, struct sl_gpu_inventory *ret, struct sl_err *err);
const char *gpu_nvml_driver(const struct gpu_nvml *n);

/** A unit of which nothing is known yet. */
void gpu_unit_init(struct sl_gpu *gpu, int index, int slice);
/** The place of a device in inv->devices; it is added when it is new. -1 when there is no room. */
int gpu_device_place(struct sl_gpu_inventory *inv, int index);
void gpu_set_link(struct sl_gpu_inventory *inv, int place_a, int place_b, enum sl_gpu_link link);

/* pool.c, choose.c */
struct gpu_unit {
    struct sl_gpu gpu;
    bool drained;
    char reason[SL_GPU_REASON];
};
struct sl_gpu_pool {
    struct gpu_unit units[SL_GPU_UNITS_MAX];
    size_t n;
    uint8_t links[SL_GPU_UNITS_MAX][SL_GPU_UNITS_MAX]; /* of the units' devices */
    SL_VEC(struct sl_gpu_lease) leases;
    uint64_t epoch;
};
struct gpu_room { /* what of a unit is taken */
    bool taken;   /* whole */
    uint64_t shared_bytes;
    int n_shares;
};
/** `gone`: attempts whose leases do not count. */
void gpu_rooms(const struct sl_gpu_pool *p, const char *const *gone, size_t n_gone,
               struct gpu_room rooms[SL_GPU_UNITS_MAX]);
/** Whether the unit could serve the request if it were free. */
bool gpu_suits(const struct gpu_unit *u, const struct sl_gpu_request *r);
/** Units for the request, `r->count` of them, into `ret`. False when not enough are free. */
bool gpu_choose(const struct sl_gpu_pool *p, const struct sl_gpu_request *r,
                const struct gpu_room *rooms, size_t ret[SL_GPU_UNITS_MAX]);

#endif
