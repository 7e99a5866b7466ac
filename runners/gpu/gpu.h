/**
 * GPUs of this machine: what there is (NVML opened at run time, or a file for tests) and who holds
 * which. A device is leased whole.
 *
 * Thread: a source: any, one at a time, blocking; the pool: loop, pure. Must not: need a GPU, a
 * driver or its headers to build or run; give a device on while a process is still on it.
 */
#ifndef SL_GPU_H
#define SL_GPU_H

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/time.h"

#define SL_GPU_MAX      32                         /* devices of one machine */
#define SL_GPU_TEXT     96                         /* bytes of a uuid or name */
#define SL_GPU_FILE_MAX (1UL << 20)                /* bytes of an inventory file */
#define SL_GPU_VISIBLE  (SL_GPU_MAX * SL_GPU_TEXT) /* bytes of a CUDA_VISIBLE_DEVICES value */

struct sl_gpu {
    int index;
    char uuid[SL_GPU_TEXT];
    char name[SL_GPU_TEXT];
    uint64_t memory_bytes;
    int processes; /* compute processes on it now */
};

struct sl_gpu_inventory {
    struct sl_gpu gpus[SL_GPU_MAX];
    size_t n;
};

struct sl_gpu_source;

/**
 * Opens where inventories come from.
 *
 * @param file     NULL, or a JSON file {"gpus":[{"index","uuid","name","memory_bytes","processes"}]}
 * @param library  NULL: libnvidia-ml.so.1. A machine without it is one without GPUs, no error
 * @return         0; -SL_EINVAL or -SL_ENOTFOUND for a bad or missing file
 * Owner: caller, sl_gpu_source_close.
 */
int sl_gpu_source_open(const char *file, const char *library, struct sl_gpu_source **ret,
                       struct sl_err *err) SL_MUST_CHECK;
void sl_gpu_source_close(struct sl_gpu_source *s); /* NULL allowed */

/** Reads devices and their process counts afresh. -SL_EFAILED with the driver's words. */
int sl_gpu_source_read(struct sl_gpu_source *s, struct sl_gpu_inventory *ret, struct sl_err *err)
    SL_MUST_CHECK;

/** "nvml", "file", or "none: WHY". Lives as long as the source. */
const char *sl_gpu_source_text(const struct sl_gpu_source *s);

/** Parses the file's text. -SL_EINVAL naming entry and field, -SL_ELIMIT past SL_GPU_MAX. */
int sl_gpu_inventory_parse(const char *name, const char *text, size_t len,
                           struct sl_gpu_inventory *ret, struct sl_err *err) SL_MUST_CHECK;

/* ---- leases: pure ------------------------------------------------------------------------------ */

struct sl_gpu_request {
    int count;           /* 1..SL_GPU_MAX */
    uint64_t memory_min; /* bytes each device must have; 0: any */
    uint64_t memory_max; /* and may have at most; 0: any */
};

struct sl_gpu_pool;

struct sl_gpu_pool *sl_gpu_pool_new(const struct sl_gpu_inventory *inventory);
void sl_gpu_pool_free(struct sl_gpu_pool *p); /* NULL allowed */

/**
 * Leases all devices asked for or none: the smallest that fit, then by index.
 *
 * @param ret_visible  value of CUDA_VISIBLE_DEVICES (uuids), SL_GPU_VISIBLE bytes
 * @return  0 (also when the attempt holds a lease: the same value); -SL_EBUSY when enough exist but
 *          are not free; -SL_ENOTFOUND when this machine can never satisfy it, with the numbers
 */
int sl_gpu_pool_lease(struct sl_gpu_pool *p, const char *attempt_id,
                      const struct sl_gpu_request *request, char ret_visible[SL_GPU_VISIBLE],
                      struct sl_err *err) SL_MUST_CHECK;

/** Takes a journaled lease up again after a restart. Unknown uuids are skipped; returns how many
 * devices it holds now. */
int sl_gpu_pool_restore(struct sl_gpu_pool *p, const char *attempt_id, const char *visible);

/** The attempt is over: its devices drain. Unknown attempts are ignored. */
void sl_gpu_pool_release(struct sl_gpu_pool *p, const char *attempt_id);

/** Counts releases. Read it before reading an inventory, and hand it over with that inventory. */
uint64_t sl_gpu_pool_epoch(const struct sl_gpu_pool *p);

/** An inventory read after `epoch`: draining devices without processes become free, as do those that
 * vanished. Returns how many. */
int sl_gpu_pool_observe(struct sl_gpu_pool *p, const struct sl_gpu_inventory *inventory,
                        uint64_t epoch);

enum sl_gpu_state { SL_GPU_FREE, SL_GPU_LEASED, SL_GPU_DRAINING };
const char *sl_gpu_state_name(enum sl_gpu_state state);
/** Device `i` in order of index; false past the last. `attempt_id` "" while free. */
bool sl_gpu_pool_at(const struct sl_gpu_pool *p, size_t i, struct sl_gpu *ret_gpu,
                    enum sl_gpu_state *ret_state, char ret_attempt_id[SL_ID_HEX + 1]);

#endif
