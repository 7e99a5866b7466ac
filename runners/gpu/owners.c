/* Whose the processes on GPUs are: see owners.h. Source: proc(5). */
#include "core/base/base.h"

#include "runners/gpu/owners.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/aio/proc.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#define ENV_MAX (256UL * 1024) /* bytes of an environment that are looked through */

/** The environment that the process was started with, or nothing. */
static void read_environ(int pid, struct sl_buf *out)
{
    char path[48];
    struct sl_err ignored = SL_ERR_INIT;
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    _cleanup_(close)
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && sl_read_fd(fd, ENV_MAX, out, &ignored) < 0) {
        out->overflow = true; /* longer: what was read is looked through */
    }
}

/** The value of a variable, or NULL. */
static const char *variable(const struct sl_buf *env, const char *name)
{
    size_t len = strlen(name);
    for (size_t at = 0; at < env->len; at += strlen(env->ptr + at) + 1) {
        if (strncmp(env->ptr + at, name, len) == 0 && env->ptr[at + len] == '=') {
            return env->ptr + at + len + 1;
        }
    }
    return NULL;
}

void sl_gpu_owners_fill(struct sl_gpu_inventory *inventory)
{
    _cleanup_(buf)
    struct sl_buf env = SL_BUF_INIT(ENV_MAX);
    for (size_t i = 0; i < inventory->n; i++) {
        struct sl_gpu *gpu = &inventory->gpus[i];
        for (int k = 0; k < gpu->n_pids; k++) {
            sl_buf_clear(&env);
            read_environ(gpu->pids[k].pid, &env);
            const char *id = variable(&env, "SLUICE_ATTEMPT_ID");
            (void)snprintf(gpu->pids[k].attempt_id, sizeof(gpu->pids[k].attempt_id), "%s",
                           id != NULL && sl_id_valid(id) ? id : "");
        }
    }
}

bool sl_gpu_owner_kill(int pid, const char *attempt_id, const char *data_dir)
{
    _cleanup_(buf)
    struct sl_buf env = SL_BUF_INIT(ENV_MAX);
    struct sl_err ignored = SL_ERR_INIT;
    /* opened before it is looked at, so that the number cannot come to mean another process */
    _cleanup_(close)
    int pidfd = pid > 1 && pid != getpid() ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd < 0) {
        return false;
    }
    read_environ(pid, &env);
    const char *id = variable(&env, "SLUICE_ATTEMPT_ID");
    const char *metrics = variable(&env, "SLUICE_METRICS");
    size_t len = strlen(data_dir);
    bool ours = id != NULL && sl_streq(id, attempt_id) && metrics != NULL &&
                strncmp(metrics, data_dir, len) == 0 && metrics[len] == '/';
    return ours && sl_proc_signal(pidfd, SIGKILL, &ignored) == 0;
}
