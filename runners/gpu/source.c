/**
 * Where GPU inventories come from: NVML, opened at run time with our own prototypes, or a file.
 *
 * Prototypes: NVIDIA Management Library reference, "Device Queries" (the _v2 and _v3 symbols are the
 * ones its header maps the plain names to).
 *
 * Thread: any, one at a time per source. Must not: link against a driver.
 */
#include "core/base/base.h"

#include "runners/gpu/gpu.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/fs.h"
#include "core/base/mem.h"

#define NVML_SUCCESS           0
#define NVML_INSUFFICIENT_SIZE 7

struct nvml_memory {
    unsigned long long total, free, used;
};

struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error_string)(int result);
    int (*count)(unsigned *ret);
    int (*handle)(unsigned index, void **ret);
    int (*uuid)(void *device, char *out, unsigned size);
    int (*name)(void *device, char *out, unsigned size);
    int (*memory)(void *device, struct nvml_memory *ret);
    int (*processes)(void *device, unsigned *count, void *infos);
};

struct sl_gpu_source {
    char *file;    /* NULL unless read from a file */
    void *library; /* NULL without NVML */
    struct nvml nvml;
    char text[300];
};

static bool load(void *library, const char *symbol, void *ret_function)
{
    void *found = dlsym(library, symbol);
    memcpy(ret_function, &found,
           sizeof(found)); /* ISO C forbids the cast, POSIX demands it works */
    return found != NULL;
}

static bool load_all(void *lib, struct nvml *f)
{
    return load(lib, "nvmlInit_v2", &f->init) && load(lib, "nvmlShutdown", &f->shutdown) &&
           load(lib, "nvmlErrorString", &f->error_string) &&
           load(lib, "nvmlDeviceGetCount_v2", &f->count) &&
           load(lib, "nvmlDeviceGetHandleByIndex_v2", &f->handle) &&
           load(lib, "nvmlDeviceGetUUID", &f->uuid) && load(lib, "nvmlDeviceGetName", &f->name) &&
           load(lib, "nvmlDeviceGetMemoryInfo", &f->memory) &&
           (load(lib, "nvmlDeviceGetComputeRunningProcesses_v3", &f->processes) ||
            load(lib, "nvmlDeviceGetComputeRunningProcesses_v2", &f->processes) ||
            load(lib, "nvmlDeviceGetComputeRunningProcesses", &f->processes));
}

static void open_nvml(struct sl_gpu_source *s, const char *library)
{
    s->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (s->library == NULL) {
        (void)snprintf(s->text, sizeof(s->text), "none: %s cannot be opened", library);
        return;
    }
    if (!load_all(s->library, &s->nvml)) {
        (void)snprintf(s->text, sizeof(s->text), "none: %s lacks a function that is needed",
                       library);
    } else {
        int rc = s->nvml.init();
        if (rc == NVML_SUCCESS) {
            (void)snprintf(s->text, sizeof(s->text), "nvml");
            return;
        }
        (void)snprintf(s->text, sizeof(s->text), "none: NVML: %s", s->nvml.error_string(rc));
    }
    (void)dlclose(s->library);
    s->library = NULL;
}

int sl_gpu_source_open(const char *file, const char *library, struct sl_gpu_source **ret,
                       struct sl_err *err)
{
    struct sl_gpu_source *s = SL_NEW(struct sl_gpu_source);
    if (file == NULL) {
        open_nvml(s, library != NULL ? library : "libnvidia-ml.so.1");
        *ret = s;
        return 0;
    }
    s->file = sl_strdup(file);
    (void)snprintf(s->text, sizeof(s->text), "file");
    struct sl_gpu_inventory first;
    int rc = sl_gpu_source_read(s, &first, err);
    if (rc < 0) {
        sl_gpu_source_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void sl_gpu_source_close(struct sl_gpu_source *s)
{
    if (s == NULL) {
        return;
    }
    if (s->library != NULL) {
        (void)s->nvml.shutdown(); /* nothing could be done about a failure */
        (void)dlclose(s->library);
    }
    free(s->file);
    free(s);
}

const char *sl_gpu_source_text(const struct sl_gpu_source *s)
{
    return s->text;
}

static int nvml_failed(const struct nvml *f, int rc, const char *what, struct sl_err *err)
{
    return sl_err_set(err, SL_EFAILED, "NVML cannot tell %s: %s", what, f->error_string(rc));
}

static int read_device(const struct nvml *f, unsigned index, struct sl_gpu *ret, struct sl_err *err)
{
    struct sl_gpu gpu = {.index = (int)index};
    struct nvml_memory memory = {0};
    void *device = NULL;
    unsigned processes = 0;
    int rc = f->handle(index, &device);
    rc = rc != NVML_SUCCESS ? rc : f->uuid(device, gpu.uuid, sizeof(gpu.uuid));
    rc = rc != NVML_SUCCESS ? rc : f->name(device, gpu.name, sizeof(gpu.name));
    rc = rc != NVML_SUCCESS ? rc : f->memory(device, &memory);
    if (rc != NVML_SUCCESS) {
        return nvml_failed(f, rc, "about a device", err);
    }
    /* Room for none: the call answers with how many there are. */
    rc = f->processes(device, &processes, NULL);
    if (rc != NVML_SUCCESS && rc != NVML_INSUFFICIENT_SIZE) {
        return nvml_failed(f, rc, "which processes use a device", err);
    }
    gpu.memory_bytes = memory.total;
    gpu.processes = (int)SL_MIN(processes, 1000000U);
    *ret = gpu;
    return 0;
}

static int read_nvml(const struct nvml *f, struct sl_gpu_inventory *ret, struct sl_err *err)
{
    unsigned n = 0;
    int rc = f->count(&n);
    if (rc != NVML_SUCCESS) {
        return nvml_failed(f, rc, "how many GPUs there are", err);
    }
    if (n > SL_GPU_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%u GPUs; at most %d are supported", n, SL_GPU_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        rc = read_device(f, i, &ret->gpus[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    ret->n = n;
    return 0;
}

int sl_gpu_source_read(struct sl_gpu_source *s, struct sl_gpu_inventory *ret, struct sl_err *err)
{
    struct sl_gpu_inventory inventory = {.n = 0};
    int rc = 0;
    if (s->file != NULL) {
        _cleanup_(buf)
        struct sl_buf text = SL_BUF_INIT(SL_GPU_FILE_MAX);
        rc = sl_read_file_at(AT_FDCWD, s->file, SL_GPU_FILE_MAX, &text, err);
        rc = rc < 0 ? rc
                    : sl_gpu_inventory_parse(s->file, sl_buf_str(&text), text.len, &inventory, err);
    } else if (s->library != NULL) {
        rc = read_nvml(&s->nvml, &inventory, err);
    }
    if (rc == 0) {
        *ret = inventory;
    }
    return rc;
}

static int take_text(const char *file, size_t i, const json_t *entry, const char *key,
                     char out[SL_GPU_TEXT], struct sl_err *err)
{
    const char *text = sl_json_str(entry, key, "");
    if (text[0] == '\0' || strlen(text) >= SL_GPU_TEXT || strchr(text, ',') != NULL) {
        return sl_err_set(err, SL_EINVAL,
                          "%s: gpus[%zu].%s: a text of 1 to %d bytes without comma is needed", file,
                          i, key, SL_GPU_TEXT - 1);
    }
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int take_device(const char *file, size_t i, const json_t *entry, struct sl_gpu *gpu,
                       struct sl_err *err)
{
    int rc = take_text(file, i, entry, "uuid", gpu->uuid, err);
    rc = rc < 0 ? rc : take_text(file, i, entry, "name", gpu->name, err);
    if (rc < 0) {
        return rc;
    }
    int64_t index = sl_json_i64(entry, "index", (int64_t)i);
    int64_t memory = sl_json_i64(entry, "memory_bytes", -1);
    int64_t processes = sl_json_i64(entry, "processes", 0);
    if (memory < 0) {
        return sl_err_set(err, SL_EINVAL, "%s: gpus[%zu].memory_bytes: bytes are needed", file, i);
    }
    if (index < 0 || index > 1000000 || processes < 0 || processes > 1000000) {
        return sl_err_set(err, SL_EINVAL, "%s: gpus[%zu].%s: out of range", file, i,
                          index < 0 || index > 1000000 ? "index" : "processes");
    }
    gpu->index = (int)index;
    gpu->memory_bytes = (uint64_t)memory;
    gpu->processes = (int)processes;
    return 0;
}

static int take_devices(const char *file, const json_t *list, struct sl_gpu_inventory *inventory,
                        struct sl_err *err)
{
    inventory->n = json_array_size(list);
    if (inventory->n > SL_GPU_MAX) {
        return sl_err_set(err, SL_ELIMIT, "%s: %zu GPUs; at most %d are supported", file,
                          inventory->n, SL_GPU_MAX);
    }
    for (size_t i = 0; i < inventory->n; i++) {
        int rc = take_device(file, i, json_array_get(list, i), &inventory->gpus[i], err);
        if (rc < 0) {
            return rc;
        }
        for (size_t k = 0; k < i; k++) {
            if (sl_streq(inventory->gpus[k].uuid, inventory->gpus[i].uuid)) {
                return sl_err_set(err, SL_EINVAL, "%s: gpus[%zu].uuid: '%s' is there twice", file,
                                  i, inventory->gpus[i].uuid);
            }
        }
    }
    return 0;
}

int sl_gpu_inventory_parse(const char *name, const char *text, size_t len,
                           struct sl_gpu_inventory *ret, struct sl_err *err)
{
    json_t *root = sl_json_parse(name, text, len, err);
    if (root == NULL) {
        return err != NULL ? -err->code : -SL_EINVAL;
    }
    struct sl_gpu_inventory inventory = {.n = 0};
    const json_t *list = json_object_get(root, "gpus");
    int rc = json_is_array(list)
                 ? take_devices(name, list, &inventory, err)
                 : sl_err_set(err, SL_EINVAL, "%s: an object with a list 'gpus' is needed", name);
    json_decref(root);
    if (rc == 0) {
        *ret = inventory;
    }
    return rc;
}
