/*
 * A stand-in for libnvidia-ml.so.1: two devices. FAKE_NVML_INIT is the result of nvmlInit_v2,
 * FAKE_NVML_PROCESSES how many processes are on the second device.
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

static int devices[2] = {0, 1};

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
    return snprintf(out, size, "Fake H%d00", *device + 1) < (int)size ? 0 : 7;
}

int nvmlDeviceGetMemoryInfo(const int *device, struct memory *ret)
{
    ret->total = (unsigned long long)(*device + 1) << 34;
    ret->free = ret->total;
    ret->used = 0;
    return 0;
}

/* As the driver: with room for none and some running, "insufficient size" (7) and their number. */
int nvmlDeviceGetComputeRunningProcesses_v3(const int *device, unsigned *count, void *infos)
{
    (void)infos;
    unsigned running = *device == 1 ? setting("FAKE_NVML_PROCESSES") : 0;
    bool fits = *count >= running;
    *count = running;
    return fits ? 0 : 7;
}
