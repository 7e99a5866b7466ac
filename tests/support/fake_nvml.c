/*
 * A stand-in for libnvidia-ml.so.1: two devices joined by NVLink. FAKE_NVML_INIT is the result of nvmlInit_v2,
 * FAKE_NVML_PROCESSES how many processes (pids 4001...) are on the second device, FAKE_NVML_MIG how many slices
 * it has (0: not in MIG mode), FAKE_NVML_XID an XID that it reports at the next look, FAKE_NVML_ECC its
 * uncorrected errors.
 *
 * Thread: any. Must not: be linked; tests open it.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

struct memory {
    unsigned long long total, free, used;
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
const char *nvmlErrorString(int result);
int nvmlDeviceGetCount_v2(unsigned *ret);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **ret);
int nvmlDeviceGetUUID(const int *device, char *out, unsigned size);
int nvmlDeviceGetName(const int *device, char *out, unsigned size);
int nvmlDeviceGetMemoryInfo(const int *device, struct memory *ret);
int nvmlDeviceGetComputeRunningProcesses_v3(const int *device, unsigned *count, void *infos);

struct process {
    unsigned pid;
    unsigned long long memory;
    unsigned gpu_instance, compute_instance;
};
struct rates {
    unsigned gpu, memory;
};
struct event {
    int *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};
int nvmlSystemGetDriverVersion(char *out, unsigned size);
int nvmlDeviceGetUtilizationRates(const int *device, struct rates *ret);
int nvmlDeviceGetPowerUsage(const int *device, unsigned *ret_mw);
int nvmlDeviceGetTemperature(const int *device, int sensor, unsigned *ret);
int nvmlDeviceGetTotalEccErrors(const int *device, int type, int counter, unsigned long long *ret);
int nvmlDeviceGetMigMode(const int *device, unsigned *current, unsigned *pending);
int nvmlDeviceGetMaxMigDeviceCount(const int *device, unsigned *ret);
int nvmlDeviceGetMigDeviceHandleByIndex(const int *device, unsigned index, int **ret);
int nvmlDeviceGetTopologyCommonAncestor(const int *a, const int *b, int *ret);
int nvmlDeviceGetP2PStatus(const int *a, const int *b, int index, int *ret);
int nvmlEventSetCreate(void **ret);
int nvmlEventSetFree(void *set);
int nvmlDeviceRegisterEvents(const int *device, unsigned long long types, void *set);
int nvmlEventSetWait_v2(void *set, struct event *ret, unsigned timeout_ms);

static int devices[5] = {0, 1, 2, 3, 4}; /* the last three: slices of the second */
static unsigned told_xid;

static unsigned setting(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : 0;
}

int nvmlInit_v2(void)
{
    return (int)setting("FAKE_NVML_INIT");
}

int nvmlShutdown(void)
{
    return 0;
}

const char *nvmlErrorString(int result)
{
    return result == 9 ? "Driver Not Loaded" : "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned *ret)
{
    *ret = 2;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **ret)
{
    *ret = &devices[index];
    return index < 2 ? 0 : 2;
}

int nvmlDeviceGetUUID(const int *device, char *out, unsigned size)
{
    return snprintf(out, size, "GPU-%08x-0000-0000-0000-000000000000", *device + 1) < (int)size ? 0
                                                                                                : 7;
}

int nvmlDeviceGetName(const int *device, char *out, unsigned size)
{
    int len = *device < 2 ? snprintf(out, size, "Fake H%d00", *device + 1)
                          : snprintf(out, size, "Fake H200 MIG %dg.10gb", *device - 1);
    return len < (int)size ? 0 : 7;
}

int nvmlDeviceGetMemoryInfo(const int *device, struct memory *ret)
{
    ret->total = *device < 2 ? (unsigned long long)(*device + 1) << 34 : 10ULL << 30;
    ret->used = 1ULL << 30;
    ret->free = ret->total - ret->used;
    return 0;
}

/* As the driver: "insufficient size" (7) and their number when there is no room for all. */
int nvmlDeviceGetComputeRunningProcesses_v3(const int *device, unsigned *count, void *infos)
{
    struct process *list = infos;
    unsigned running = *device == 1 ? setting("FAKE_NVML_PROCESSES") : 0;
    bool fits = *count >= running;
    for (unsigned i = 0; fits && i < running; i++) {
        list[i] = (struct process){.pid = 4001 + i};
    }
    *count = running;
    return fits ? 0 : 7;
}

int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    return snprintf(out, size, "550.54.15") < (int)size ? 0 : 7;
}

int nvmlDeviceGetUtilizationRates(const int *device, struct rates *ret)
{
    *ret = (struct rates){40, 10};
    return *device < 2 ? 0 : 3; /* not of slices */
}

int nvmlDeviceGetPowerUsage(const int *device, unsigned *ret_mw)
{
    *ret_mw = 123500;
    return *device < 2 ? 0 : 3;
}

int nvmlDeviceGetTemperature(const int *device, int sensor, unsigned *ret)
{
    *ret = 55;
    return *device < 2 && sensor == 0 ? 0 : 3;
}

int nvmlDeviceGetTotalEccErrors(const int *device, int type, int counter, unsigned long long *ret)
{
    *ret = *device == 1 && type == 1 && counter == 0 ? setting("FAKE_NVML_ECC") : 0;
    return *device < 2 ? 0 : 3;
}

int nvmlDeviceGetMigMode(const int *device, unsigned *current, unsigned *pending)
{
    *current = *pending = *device == 1 && setting("FAKE_NVML_MIG") > 0 ? 1 : 0;
    return 0;
}

int nvmlDeviceGetMaxMigDeviceCount(const int *device, unsigned *ret)
{
    *ret = *device == 1 ? 7 : 0;
    return 0;
}

int nvmlDeviceGetMigDeviceHandleByIndex(const int *device, unsigned index, int **ret)
{
    if (*device != 1 || index >= setting("FAKE_NVML_MIG") || index >= 3) {
        return 6; /* not found */
    }
    *ret = &devices[2 + index];
    return 0;
}

int nvmlDeviceGetTopologyCommonAncestor(const int *a, const int *b, int *ret)
{
    *ret = *a == *b ? 0 : 30;
    return 0;
}

int nvmlDeviceGetP2PStatus(const int *a, const int *b, int index, int *ret)
{
    *ret = *a != *b && index == 2 ? 0 : 1;
    return 0;
}

int nvmlEventSetCreate(void **ret)
{
    *ret = &told_xid;
    return 0;
}

int nvmlEventSetFree(void *set)
{
    return set == &told_xid ? 0 : 2;
}

int nvmlDeviceRegisterEvents(const int *device, unsigned long long types, void *set)
{
    return *device < 2 && types == 8 && set == &told_xid ? 0 : 2;
}

int nvmlEventSetWait_v2(void *set, struct event *ret, unsigned timeout_ms)
{
    unsigned xid = setting("FAKE_NVML_XID");
    if (set != &told_xid || timeout_ms != 0 || xid == 0 || xid == told_xid) {
        told_xid = xid;
        return 10; /* timeout */
    }
    told_xid = xid;
    *ret = (struct event){.device = &devices[1], .type = 8, .data = xid};
    return 0;
}
