/**
 * Who holds which GPUs: leases of whole units, and of shares of a device's memory.
 *
 * Thread: one at a time; sl_gpu_pool_check any. Pure. Must not: do I/O; give a unit on while a process of its
 * last holder is still on it.
 */
#ifndef SL_GPU_POOL_H
#define SL_GPU_POOL_H

#include "core/base/str.h"
#include "runners/gpu/gpu.h"

#define SL_GPU_LEASES_MAX 4096 /* at once */
#define SL_GPU_REASON     160

enum sl_gpu_mig { SL_GPU_MIG_ALLOW, SL_GPU_MIG_FORBID, SL_GPU_MIG_PROFILE };

struct sl_gpu_request {
    int count;                /* 1..SL_GPU_UNITS_MAX, all or none */
    uint64_t memory_min;      /* bytes each unit must have; 0: any */
    uint64_t memory_max;      /* and may have at most; 0: any */
    const char *const *types; /* any of these (sl_gpu_type_matches); NULL: any */
    size_t n_types;
    enum sl_gpu_mig
        mig; /* allow: a slice will do when one unit is asked for. A process cannot use two */
    const char *profile;  /* SL_GPU_MIG_PROFILE */
    uint64_t share_bytes; /* so much memory of one whole device; 0: whole units */
};

struct sl_gpu_pool;

struct sl_gpu_pool *sl_gpu_pool_new(const struct sl_gpu_inventory *inventory);
void sl_gpu_pool_free(struct sl_gpu_pool *p); /* NULL allowed */

/** Whether this machine can ever satisfy it, drained units counted: 0 or -SL_ENOTFOUND with the numbers. */
int sl_gpu_pool_check(const struct sl_gpu_pool *p, const struct sl_gpu_request *request,
                      struct sl_err *err) SL_MUST_CHECK;

/** Whether a lease would succeed now, or could once the attempts in `gone` have gone. */
bool sl_gpu_pool_fits(const struct sl_gpu_pool *p, const struct sl_gpu_request *request,
                      const char *const *gone, size_t n_gone);
/** Whether some unit could serve either: then one may keep the other waiting. */
bool sl_gpu_pool_meet(const struct sl_gpu_pool *p, const struct sl_gpu_request *a,
                      const struct sl_gpu_request *b);
/** "waiting for 2 GPUs of type H100: 1 of the 4 that fit is free (1 draining, 1 set aside)". Appends. */
void sl_gpu_pool_why(const struct sl_gpu_pool *p, const struct sl_gpu_request *request,
                     struct sl_buf *out);

/**
 * Leases all units asked for or none. Of those that fit: of one type if it can be, without foreign processes,
 * the smallest, the best connected, and those that leave the best connected to others. A share goes where the
 * least memory is left that suffices.
 *
 * @param ret_visible  value of CUDA_VISIBLE_DEVICES (uuids), SL_GPU_VISIBLE bytes
 * @return  0 (also when the attempt holds a lease: the same value); -SL_EBUSY when enough exist but
 *          are not free; -SL_ENOTFOUND as sl_gpu_pool_check
 */
int sl_gpu_pool_lease(struct sl_gpu_pool *p, const char *attempt_id,
                      const struct sl_gpu_request *request, char ret_visible[SL_GPU_VISIBLE],
                      struct sl_err *err) SL_MUST_CHECK;

/** Takes a journaled lease up again after a restart. Unknown uuids are skipped; returns how many
 * units it holds now. */
int sl_gpu_pool_restore(struct sl_gpu_pool *p, const char *attempt_id, const char *visible,
                        uint64_t share_bytes);

/** The attempt is over: what it holds drains. Unknown attempts are ignored. */
void sl_gpu_pool_release(struct sl_gpu_pool *p, const char *attempt_id);

/** Counts releases. Read it before reading an inventory, and hand it over with that inventory. */
uint64_t sl_gpu_pool_epoch(const struct sl_gpu_pool *p);

/**
 * An inventory read after `epoch`. Draining leases end when no process of their attempt, and none that came
 * unnamed while they lasted, is on the unit any more; so do those of units that vanished. A process of an
 * attempt that holds nothing there (its engine died before it did) makes a draining lease of that attempt.
 *
 * @return how many leases ended
 */
int sl_gpu_pool_observe(struct sl_gpu_pool *p, const struct sl_gpu_inventory *inventory,
                        uint64_t epoch);

/** Sets a unit aside: it is not handed out until undrain. False for an unknown uuid. */
bool sl_gpu_pool_drain(struct sl_gpu_pool *p, const char *uuid, const char *reason);
/** `uuid` NULL: all. Returns how many were set aside. */
int sl_gpu_pool_undrain(struct sl_gpu_pool *p, const char *uuid);

enum sl_gpu_state { SL_GPU_FREE, SL_GPU_LEASED, SL_GPU_SHARED, SL_GPU_DRAINING, SL_GPU_DRAINED };
const char *sl_gpu_state_name(enum sl_gpu_state state);

/** The unit in order of index and slice; NULL past the last. */
const struct sl_gpu *sl_gpu_pool_at(const struct sl_gpu_pool *p, size_t i,
                                    enum sl_gpu_state *ret_state);
/** Why it was set aside; "" when it was not. */
const char *sl_gpu_pool_drained(const struct sl_gpu_pool *p, size_t i);

struct sl_gpu_lease {
    char attempt_id[SL_ID_HEX + 1];
    size_t unit;
    uint64_t bytes; /* of a share; 0: the whole unit */
    bool draining;
    int foreign;       /* unnamed processes that were there before it */
    uint64_t released; /* epoch of its release */
};
/** Any lease, draining ones included; NULL past the last. */
const struct sl_gpu_lease *sl_gpu_pool_lease_at(const struct sl_gpu_pool *p, size_t i);

/** Everything of it, for people: {"source", "devices": [...], "links": [...]}. New reference. */
json_t *sl_gpu_pool_json(const struct sl_gpu_pool *p, const char *source);

#endif
