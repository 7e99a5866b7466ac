/**
 * GPUs of this machine: what there is and how it fares (NVML opened at run time, or a file for tests).
 * Who holds which is pool.h's.
 *
 * A unit is what can be handed out: a whole device, or, of a device in MIG mode, each of its slices.
 *
 * Thread: a source: any, one at a time, blocking; all else pure. Must not: need a GPU, a driver or its
 * headers to build or run.
 */
#ifndef SL_GPU_H
#define SL_GPU_H

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/time.h"

#define SL_GPU_MAX        32          /* devices of one machine */
#define SL_GPU_SLICES_MAX 8           /* MIG slices of one device */
#define SL_GPU_UNITS_MAX  64          /* units of one machine */
#define SL_GPU_TEXT       96          /* bytes of a uuid or name */
#define SL_GPU_TYPE       64          /* bytes of a type */
#define SL_GPU_PROFILE    16          /* bytes of a MIG profile */
#define SL_GPU_PIDS_MAX   32          /* processes told apart per unit */
#define SL_GPU_FILE_MAX   (1UL << 20) /* bytes of an inventory file */
#define SL_GPU_VISIBLE    ((size_t)SL_GPU_UNITS_MAX * SL_GPU_TEXT) /* bytes of CUDA_VISIBLE_DEVICES */

/** How two devices reach each other, near last. Names: sl_gpu_link_name. */
enum sl_gpu_link {
    SL_GPU_LINK_UNKNOWN,
    SL_GPU_LINK_SYSTEM, /* across CPU sockets */
    SL_GPU_LINK_NODE,   /* across host bridges of one socket */
    SL_GPU_LINK_HOST,   /* through one host bridge */
    SL_GPU_LINK_PCIE,   /* through PCIe switches */
    SL_GPU_LINK_BOARD,  /* on one board */
    SL_GPU_LINK_NVLINK,
    SL_GPU_LINKS
};
const char *sl_gpu_link_name(enum sl_gpu_link link); /* "nvlink", ... */

struct sl_gpu_process {
    int pid;
    char attempt_id[SL_ID_HEX + 1]; /* whose it is, as far as it can be known; else "" (owners.h) */
};

struct sl_gpu {                   /* one unit */
    int index;                    /* of the device */
    int slice;                    /* number of the MIG slice; -1: the whole device */
    char uuid[SL_GPU_TEXT];       /* of the unit, as CUDA_VISIBLE_DEVICES takes it */
    char device[SL_GPU_TEXT];     /* of the device */
    char name[SL_GPU_TEXT];       /* "NVIDIA H100 80GB HBM3" */
    char type[SL_GPU_TYPE];       /* "H100" */
    char profile[SL_GPU_PROFILE]; /* "1g.10gb"; "" of a whole device */
    uint64_t memory_bytes;
    uint64_t memory_used;
    double util, power_watts, celsius; /* percent; NaN where the driver does not tell */
    uint64_t ecc_errors;               /* uncorrected, since the driver was loaded */
    int64_t xid; /* the last critical one since the source was opened; 0 none */
    uint64_t xid_count;
    int processes; /* compute processes on it now */
    struct sl_gpu_process pids[SL_GPU_PIDS_MAX];
    int n_pids; /* of these, at most `processes` */
};

/** About 150 KB: not for the stack. */
struct sl_gpu_inventory {
    struct sl_gpu gpus[SL_GPU_UNITS_MAX];
    size_t n;
    uint8_t links[SL_GPU_MAX][SL_GPU_MAX]; /* enum sl_gpu_link, by place in `devices` */
    int devices[SL_GPU_MAX];               /* their indices */
    size_t n_devices;
    int64_t sample_ms; /* how often a look is worth it */
};

/** The link of two devices by their index. */
enum sl_gpu_link sl_gpu_link_of(const struct sl_gpu_inventory *inventory, int index_a, int index_b);

struct sl_gpu_source;

/**
 * Opens where inventories come from.
 *
 * @param file     NULL, or a JSON file (docs/gpus.md, "Made-up GPUs")
 * @param library  NULL: libnvidia-ml.so.1. A machine without it is one without GPUs, no error
 * @return         0; -SL_EINVAL or -SL_ENOTFOUND for a bad or missing file
 * Owner: caller, sl_gpu_source_close.
 */
int sl_gpu_source_open(const char *file, const char *library, struct sl_gpu_source **ret,
                       struct sl_err *err) SL_MUST_CHECK;
void sl_gpu_source_close(struct sl_gpu_source *s); /* NULL allowed */

/** Reads units, their processes and how they fare afresh. -SL_EFAILED with the driver's words. */
int sl_gpu_source_read(struct sl_gpu_source *s, struct sl_gpu_inventory *ret, struct sl_err *err)
    SL_MUST_CHECK;

/** "nvml (driver 550.54)", "file", or "none: WHY". Lives as long as the source. */
const char *sl_gpu_source_text(const struct sl_gpu_source *s);

/** Parses the file's text, strictly. -SL_EINVAL naming entry and field, -SL_ELIMIT past a limit. */
int sl_gpu_inventory_parse(const char *name, const char *text, size_t len,
                           struct sl_gpu_inventory *ret, struct sl_err *err) SL_MUST_CHECK;

/** "H100" of "NVIDIA H100 80GB HBM3", "RTX-4090" of "NVIDIA GeForce RTX 4090". */
void sl_gpu_type_of(const char *name, char out[SL_GPU_TYPE]);
/** Whether a device of that name is of the type asked for: all words of the type are words of the name, in
 * that order, whatever the case. "A100-80GB" is "NVIDIA A100-SXM4-80GB"; "A10" is not "NVIDIA A100". */
bool sl_gpu_type_matches(const char *type, const char *name);

/** A critical XID that the program caused (a bad kernel), not the device. Source: NVIDIA k8s-device-plugin,
 * health.go, application errors. */
bool sl_gpu_xid_is_application(int64_t xid);

#endif
