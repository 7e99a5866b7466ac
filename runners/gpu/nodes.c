/* GPU uuids to device nodes: see nodes.h. Source: the NVIDIA driver's README, "/proc interface". */
#include "core/base/base.h"

#include "runners/gpu/nodes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/fs.h"
#include "core/base/str.h"

#define INFORMATION_MAX 65536UL
#define PROC_ROOT       "/proc/driver/nvidia/gpus"

static const char *const shared[] = {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"};

/* The value of a "Key:   value" line; its length in *ret_len. NULL when absent. */
static const char *value_of(const char *text, const char *key, size_t *ret_len)
{
    const char *p = strstr(text, key);
    if (p == NULL) {
        return NULL;
    }
    p += strlen(key);
    p += strspn(p, ": \t");
    *ret_len = strcspn(p, " \t\n");
    return *ret_len > 0 ? p : NULL;
}

static bool lists(const char *visible, const char *uuid, size_t len)
{
    for (const char *p = visible; *p != '\0';) {
        size_t n = strcspn(p, ",");
        if (n == len && strncmp(p, uuid, n) == 0) {
            return true;
        }
        p += n + (p[n] == ',' ? 1 : 0);
    }
    return false;
}

static void take_gpu(int dirfd_, const char *name, const char *visible, struct sl_gpu_nodes *ret)
{
    char path[300];
    size_t len = 0;
    struct sl_err ignored = SL_ERR_INIT;
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(INFORMATION_MAX);
    (void)snprintf(path, sizeof(path), "%s/information", name);
    if (sl_read_file_at(dirfd_, path, INFORMATION_MAX, &text, &ignored) < 0) {
        return;
    }
    const char *uuid = value_of(sl_buf_str(&text), "GPU UUID", &len);
    if (uuid == NULL || !lists(visible, uuid, len)) {
        return;
    }
    const char *minor = value_of(sl_buf_str(&text), "Device Minor", &len);
    if (minor != NULL && ret->n < SL_GPU_MAX) {
        (void)snprintf(ret->paths[ret->n++], SL_GPU_NODE_BYTES, "/dev/nvidia%d",
                       (int)strtol(minor, NULL, 10));
    }
}

void sl_gpu_nodes_of(const char *visible, const char *proc_root, struct sl_gpu_nodes *ret)
{
    *ret = (struct sl_gpu_nodes){.n = 0};
    DIR *d = opendir(proc_root != NULL ? proc_root : PROC_ROOT);
    if (d == NULL) {
        return;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] != '.') {
            take_gpu(dirfd(d), e->d_name, visible, ret);
        }
    }
    (void)closedir(d);
    for (size_t i = 0; ret->n > 0 && i < SL_LEN(shared); i++) {
        (void)snprintf(ret->paths[ret->n++], SL_GPU_NODE_BYTES, "%s", shared[i]);
        if (ret->n >= SL_GPU_NODES_MAX) {
            break;
        }
    }
}
