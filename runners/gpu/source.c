/**
 * Where GPU inventories come from: NVML, or a file that stands for it.
 *
 * Thread: any, one at a time per source. Must not: fail on a machine without GPUs.
 */
#include "core/base/base.h"

#include "runners/gpu/gpu.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "runners/gpu/gpu_priv.h"

struct sl_gpu_source {
    char *file;            /* NULL unless read from a file */
    struct gpu_nvml *nvml; /* NULL without NVML */
    char text[300];
};

int sl_gpu_source_open(const char *file, const char *library, struct sl_gpu_source **ret,
                       struct sl_err *err)
{
    struct sl_gpu_source *s = SL_NEW(struct sl_gpu_source);
    if (file == NULL) {
        char why[280];
        s->nvml = gpu_nvml_open(library != NULL ? library : "libnvidia-ml.so.1", why, sizeof(why));
        if (s->nvml == NULL) {
            (void)snprintf(s->text, sizeof(s->text), "none: %s", why);
        } else {
            const char *driver = gpu_nvml_driver(s->nvml);
            (void)snprintf(s->text, sizeof(s->text),
                           driver[0] != '\0' ? "nvml (driver %s)" : "nvml", driver);
        }
        *ret = s;
        return 0;
    }
    s->file = sl_strdup(file);
    (void)snprintf(s->text, sizeof(s->text), "file");
    struct sl_gpu_inventory *first = SL_NEW(struct sl_gpu_inventory);
    int rc = sl_gpu_source_read(s, first, err);
    free(first);
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
    gpu_nvml_close(s->nvml);
    free(s->file);
    free(s);
}

const char *sl_gpu_source_text(const struct sl_gpu_source *s)
{
    return s->text;
}

int sl_gpu_source_read(struct sl_gpu_source *s, struct sl_gpu_inventory *ret, struct sl_err *err)
{
    if (s->nvml != NULL) {
        return gpu_nvml_read(s->nvml, ret, err);
    }
    if (s->file == NULL) {
        ret->n = ret->n_devices = 0;
        return 0;
    }
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_GPU_FILE_MAX);
    int rc = sl_read_file_at(AT_FDCWD, s->file, SL_GPU_FILE_MAX, &text, err);
    return rc < 0 ? rc : sl_gpu_inventory_parse(s->file, sl_buf_str(&text), text.len, ret, err);
}
