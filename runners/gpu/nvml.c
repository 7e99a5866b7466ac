/**
 * NVML, opened at run time with our own prototypes. What a driver of another age does not know is left out;
 * what is needed to hand out devices must be there.
 *
 * Prototypes: NVIDIA Management Library reference, "Device Queries", "Event Handling Methods", "Multi
 * Instance GPU Management" (the _v2 and _v3 symbols are the ones its header maps the plain names to).
 *
 * Thread: any, one at a time. Must not: link against a driver.
 */
#include "core/base/base.h"

#include "runners/gpu/gpu_priv.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define NVML_SUCCESS           0
#define NVML_INSUFFICIENT_SIZE 7
#define NVML_XID_EVENT         0x8ULL
#define NVML_ECC_UNCORRECTED   1
#define NVML_ECC_VOLATILE      0
#define NVML_P2P_NVLINK        2
#define EVENTS_MAX             256 /* read at one look */

struct nvml_memory {
    unsigned long long total, free, used;
};
struct nvml_rates {
    unsigned gpu, memory;
};
struct nvml_process { /* v2 and v3 */
    unsigned pid;
    unsigned long long memory;
    unsigned gpu_instance, compute_instance;
};
struct nvml_process_v1 {
    unsigned pid;
    unsigned long long memory;
};
struct nvml_event {
    void *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

struct gpu_nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error_string)(int result);
    int (*count)(unsigned *ret);
    int (*handle)(unsigned index, void **ret);
    int (*uuid)(void *device, char *out, unsigned size);
    int (*name)(void *device, char *out, unsigned size);
    int (*memory)(void *device, struct nvml_memory *ret);
    int (*processes)(void *device, unsigned *count, void *infos);
    bool old_processes; /* entries are those of version 1 */
    /* NULL where the driver has none */
    int (*driver_version)(char *out, unsigned size);
    int (*utilisation)(void *device, struct nvml_rates *ret);
    int (*power)(void *device, unsigned *ret_mw);
    int (*temperature)(void *device, int sensor, unsigned *ret);
    int (*ecc)(void *device, int type, int counter, unsigned long long *ret);
    int (*mig_mode)(void *device, unsigned *current, unsigned *pending);
    int (*mig_max)(void *device, unsigned *ret);
    int (*mig_handle)(void *device, unsigned index, void **ret);
    int (*ancestor)(void *a, void *b, int *ret);
    int (*p2p)(void *a, void *b, int index, int *ret);
    int (*event_set)(void **ret);
    int (*event_free)(void *set);
    int (*event_register)(void *device, unsigned long long types, void *set);
    int (*event_wait)(void *set, struct nvml_event *ret, unsigned timeout_ms);

    char driver[80];
    void *events; /* NULL: XIDs are not told */
    void *devices[SL_GPU_MAX];
    int64_t xid[SL_GPU_MAX]; /* the last, by device */
    uint64_t xids[SL_GPU_MAX];
    size_t n_devices;
};

static bool load(void *library, const char *symbol, void *ret_function)
{
    void *found = dlsym(library, symbol);
    memcpy(ret_function, &found,
           sizeof(found)); /* ISO C forbids the cast, POSIX demands it works */
    return found != NULL;
}

static bool load_needed(void *lib, struct gpu_nvml *f)
{
    bool ok = load(lib, "nvmlInit_v2", &f->init) && load(lib, "nvmlShutdown", &f->shutdown) &&
              load(lib, "nvmlErrorString", &f->error_string) &&
              load(lib, "nvmlDeviceGetCount_v2", &f->count) &&
              load(lib, "nvmlDeviceGetHandleByIndex_v2", &f->handle) &&
              load(lib, "nvmlDeviceGetUUID", &f->uuid) &&
              load(lib, "nvmlDeviceGetName", &f->name) &&
              load(lib, "nvmlDeviceGetMemoryInfo", &f->memory);
    if (!ok || load(lib, "nvmlDeviceGetComputeRunningProcesses_v3", &f->processes) ||
        load(lib, "nvmlDeviceGetComputeRunningProcesses_v2", &f->processes)) {
        return ok;
    }
    f->old_processes = true;
    return load(lib, "nvmlDeviceGetComputeRunningProcesses", &f->processes);
}

static void load_optional(void *lib, struct gpu_nvml *f)
{
    (void)load(lib, "nvmlSystemGetDriverVersion", &f->driver_version);
    (void)load(lib, "nvmlDeviceGetUtilizationRates", &f->utilisation);
    (void)load(lib, "nvmlDeviceGetPowerUsage", &f->power);
    (void)load(lib, "nvmlDeviceGetTemperature", &f->temperature);
    (void)load(lib, "nvmlDeviceGetTotalEccErrors", &f->ecc);
    (void)load(lib, "nvmlDeviceGetMigMode", &f->mig_mode);
    (void)load(lib, "nvmlDeviceGetMaxMigDeviceCount", &f->mig_max);
    (void)load(lib, "nvmlDeviceGetMigDeviceHandleByIndex", &f->mig_handle);
    (void)load(lib, "nvmlDeviceGetTopologyCommonAncestor", &f->ancestor);
    (void)load(lib, "nvmlDeviceGetP2PStatus", &f->p2p);
    (void)load(lib, "nvmlEventSetCreate", &f->event_set);
    (void)load(lib, "nvmlEventSetFree", &f->event_free);
    (void)load(lib, "nvmlDeviceRegisterEvents", &f->event_register);
    (void)load(lib, "nvmlEventSetWait_v2", &f->event_wait);
}

/** Asks to be told of XIDs. A device that cannot tell keeps nobody else from it. */
static void watch_events(struct gpu_nvml *f)
{
    if (f->event_set == NULL || f->event_free == NULL || f->event_register == NULL ||
        f->event_wait == NULL || f->event_set(&f->events) != NVML_SUCCESS) {
        f->events = NULL;
        return;
    }
    unsigned n = 0;
    if (f->count(&n) != NVML_SUCCESS) {
        n = 0;
    }
    for (unsigned i = 0; i < n && i < SL_GPU_MAX; i++) {
        void *device = NULL;
        if (f->handle(i, &device) == NVML_SUCCESS) {
            (void)f->event_register(device, NVML_XID_EVENT, f->events);
            f->devices[i] = device;
            f->n_devices = i + 1U;
        }
    }
}

struct gpu_nvml *gpu_nvml_open(const char *library, char *why, size_t size)
{
    struct gpu_nvml *f = SL_NEW(struct gpu_nvml);
    f->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (f->library == NULL) {
        (void)snprintf(why, size, "%s cannot be opened", library);
    } else if (!load_needed(f->library, f)) {
        (void)snprintf(why, size, "%s lacks a function that is needed", library);
    } else {
        int rc = f->init();
        if (rc == NVML_SUCCESS) {
            load_optional(f->library, f);
            if (f->driver_version == NULL ||
                f->driver_version(f->driver, sizeof(f->driver)) != NVML_SUCCESS) {
                f->driver[0] = '\0';
            }
            watch_events(f);
            return f;
        }
        (void)snprintf(why, size, "NVML: %s", f->error_string(rc));
    }
    if (f->library != NULL) {
        (void)dlclose(f->library);
    }
    free(f);
    return NULL;
}

void gpu_nvml_close(struct gpu_nvml *n)
{
    if (n == NULL) {
        return;
    }
    if (n->events != NULL) {
        (void)n->event_free(n->events);
    }
    (void)n->shutdown(); /* nothing could be done about a failure */
    (void)dlclose(n->library);
    free(n);
}

const char *gpu_nvml_driver(const struct gpu_nvml *n)
{
    return n->driver;
}

static int nvml_failed(const struct gpu_nvml *f, int rc, const char *what, struct sl_err *err)
{
    return sl_err_set(err, SL_EFAILED, "NVML cannot tell %s: %s", what, f->error_string(rc));
}

/* ---- processes ------------------------------------------------------------------------------------ */

static int read_processes(const struct gpu_nvml *f, void *device, struct sl_gpu *gpu,
                          struct sl_err *err)
{
    struct nvml_process v2[SL_GPU_PIDS_MAX] = {{0}};
    struct nvml_process_v1 v1[SL_GPU_PIDS_MAX] = {{0}};
    unsigned n = SL_GPU_PIDS_MAX;
    int rc = f->processes(device, &n, f->old_processes ? (void *)v1 : (void *)v2);
    if (rc != NVML_SUCCESS && rc != NVML_INSUFFICIENT_SIZE) {
        return nvml_failed(f, rc, "which processes use a device", err);
    }
    gpu->processes = (int)SL_MIN(n, 1000000U);
    gpu->n_pids = rc == NVML_SUCCESS ? (int)SL_MIN(n, (unsigned)SL_GPU_PIDS_MAX) : 0;
    for (int i = 0; i < gpu->n_pids; i++) {
        gpu->pids[i].pid = (int)(f->old_processes ? v1[i].pid : v2[i].pid);
    }
    return 0;
}

/* ---- units ---------------------------------------------------------------------------------------- */

/** What is worth knowing but not needed: absent stays unknown. */
static void read_state(const struct gpu_nvml *f, void *device, struct sl_gpu *gpu)
{
    struct nvml_rates rates = {0};
    unsigned value = 0;
    unsigned long long errors = 0;
    if (f->utilisation != NULL && f->utilisation(device, &rates) == NVML_SUCCESS) {
        gpu->util = rates.gpu;
    }
    if (f->power != NULL && f->power(device, &value) == NVML_SUCCESS) {
        gpu->power_watts = value / 1000.0;
    }
    if (f->temperature != NULL && f->temperature(device, 0, &value) == NVML_SUCCESS) {
        gpu->celsius = value;
    }
    if (f->ecc != NULL &&
        f->ecc(device, NVML_ECC_UNCORRECTED, NVML_ECC_VOLATILE, &errors) == NVML_SUCCESS) {
        gpu->ecc_errors = errors;
    }
}

static int read_unit(const struct gpu_nvml *f, void *device, struct sl_gpu *gpu, struct sl_err *err)
{
    struct nvml_memory memory = {0};
    int rc = f->uuid(device, gpu->uuid, sizeof(gpu->uuid));
    rc = rc != NVML_SUCCESS ? rc : f->name(device, gpu->name, sizeof(gpu->name));
    rc = rc != NVML_SUCCESS ? rc : f->memory(device, &memory);
    if (rc != NVML_SUCCESS) {
        return nvml_failed(f, rc, "about a device", err);
    }
    gpu->memory_bytes = memory.total;
    gpu->memory_used = memory.used;
    read_state(f, device, gpu);
    return read_processes(f, device, gpu, err);
}

/** Slices are named "NVIDIA H100 80GB HBM3 MIG 1g.10gb". */
static void split_name(struct sl_gpu *slice, const struct sl_gpu *device)
{
    const char *mig = strstr(slice->name, " MIG ");
    (void)snprintf(slice->profile, sizeof(slice->profile), "%.15s", mig != NULL ? mig + 5 : "?");
    memcpy(slice->name, device->name, sizeof(slice->name));
    memcpy(slice->type, device->type, sizeof(slice->type));
    memcpy(slice->device, device->uuid, sizeof(slice->device));
}

static bool in_mig_mode(const struct gpu_nvml *f, void *device, unsigned *ret_max)
{
    unsigned current = 0;
    unsigned pending = 0;
    return f->mig_mode != NULL && f->mig_max != NULL && f->mig_handle != NULL &&
           f->mig_mode(device, &current, &pending) == NVML_SUCCESS && current == 1 &&
           f->mig_max(device, ret_max) == NVML_SUCCESS;
}

static int read_slices(const struct gpu_nvml *f, void *device, const struct sl_gpu *whole,
                       unsigned max, struct sl_gpu_inventory *inv, struct sl_err *err)
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < SL_MIN(max, (unsigned)SL_GPU_SLICES_MAX); i++) {
        void *slice = NULL;
        if (f->mig_handle(device, i, &slice) != NVML_SUCCESS) {
            continue; /* not made */
        }
        if (inv->n == SL_GPU_UNITS_MAX) {
            return sl_err_set(err, SL_ELIMIT, "more than %d GPUs and slices", SL_GPU_UNITS_MAX);
        }
        struct sl_gpu *gpu = &inv->gpus[inv->n];
        gpu_unit_init(gpu, whole->index, (int)i);
        rc = read_unit(f, slice, gpu, err);
        split_name(gpu, whole);
        gpu->ecc_errors = whole->ecc_errors;
        gpu->xid = whole->xid;
        gpu->xid_count = whole->xid_count;
        inv->n += rc == 0 ? 1 : 0;
    }
    return rc;
}

static int read_device(struct gpu_nvml *f, unsigned index, struct sl_gpu_inventory *inv,
                       struct sl_err *err)
{
    struct sl_gpu gpu;
    unsigned slices = 0;
    gpu_unit_init(&gpu, (int)index, -1);
    int rc = f->handle(index, &f->devices[index]);
    if (rc != NVML_SUCCESS) {
        return nvml_failed(f, rc, "about a device", err);
    }
    rc = read_unit(f, f->devices[index], &gpu, err);
    if (rc < 0) {
        return rc;
    }
    memcpy(gpu.device, gpu.uuid, sizeof(gpu.device));
    sl_gpu_type_of(gpu.name, gpu.type);
    gpu.xid = f->xid[index];
    gpu.xid_count = f->xids[index];
    (void)gpu_device_place(inv, (int)index);
    if (in_mig_mode(f, f->devices[index], &slices)) {
        return read_slices(f, f->devices[index], &gpu, slices, inv, err);
    }
    if (inv->n == SL_GPU_UNITS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "more than %d GPUs and slices", SL_GPU_UNITS_MAX);
    }
    inv->gpus[inv->n++] = gpu;
    return 0;
}

/* ---- links and events ----------------------------------------------------------------------------- */

/** Levels of nvmlGpuTopologyLevel_t: 0 board, 10 one switch, 20 several, 30 host bridge, 40 node, 50 system. */
static enum sl_gpu_link link_of(const struct gpu_nvml *f, void *a, void *b)
{
    int level = -1;
    int status = -1;
    if (f->p2p != NULL && f->p2p(a, b, NVML_P2P_NVLINK, &status) == NVML_SUCCESS && status == 0) {
        return SL_GPU_LINK_NVLINK;
    }
    if (f->ancestor == NULL || f->ancestor(a, b, &level) != NVML_SUCCESS || level < 0) {
        return SL_GPU_LINK_UNKNOWN;
    }
    return level < 10   ? SL_GPU_LINK_BOARD
           : level < 30 ? SL_GPU_LINK_PCIE
           : level < 40 ? SL_GPU_LINK_HOST
           : level < 50 ? SL_GPU_LINK_NODE
                        : SL_GPU_LINK_SYSTEM;
}

static void read_events(struct gpu_nvml *f, unsigned n)
{
    struct nvml_event e = {0};
    for (int k = 0; f->events != NULL && k < EVENTS_MAX; k++) {
        if (f->event_wait(f->events, &e, 0) != NVML_SUCCESS) {
            return; /* none any more */
        }
        for (unsigned i = 0; i < n; i++) {
            if (e.type == NVML_XID_EVENT && e.device == f->devices[i]) {
                f->xid[i] = (int64_t)e.data;
                f->xids[i]++;
            }
        }
    }
}

int gpu_nvml_read(struct gpu_nvml *n, struct sl_gpu_inventory *ret, struct sl_err *err)
{
    unsigned count = 0;
    int rc = n->count(&count);
    if (rc != NVML_SUCCESS) {
        return nvml_failed(n, rc, "how many GPUs there are", err);
    }
    if (count > SL_GPU_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%u GPUs; at most %d are supported", count, SL_GPU_MAX);
    }
    struct sl_gpu_inventory *inv = SL_NEW(struct sl_gpu_inventory);
    inv->sample_ms = 2000;
    read_events(n, (unsigned)n->n_devices);
    rc = 0;
    for (unsigned i = 0; rc == 0 && i < count; i++) {
        rc = read_device(n, i, inv, err);
    }
    for (unsigned a = 0; rc == 0 && a < count; a++) {
        for (unsigned b = a + 1; b < count; b++) {
            gpu_set_link(inv, (int)a, (int)b, link_of(n, n->devices[a], n->devices[b]));
        }
    }
    if (rc == 0) {
        n->n_devices = count;
        *ret = *inv;
    }
    free(inv);
    return rc;
}
