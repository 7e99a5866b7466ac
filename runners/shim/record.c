/**
 * The marker `exec` and the exit record: what the engine, also a later one, learns of the attempt.
 *
 * exit.tmp is created and its blocks reserved before the step runs, so that a disk filled by the
 * step cannot swallow how it ended. Format: README.md of this room.
 *
 * Thread: single. Must not: overwrite a record or a marker.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

static int record_fd = -1;

static const char *const class_names[] = {
    [SHIM_EXIT] = "exit",
    [SHIM_SIGNAL] = "signal",
    [SHIM_TIMEOUT] = "timeout",
    [SHIM_OOM] = "oom",
    [SHIM_CANCELLED] = "cancelled",
    [SHIM_EXEC_FAILED] = "exec_failed",
    [SHIM_NEVER_STARTED] = "never_started",
    [SHIM_INFRA] = "infra",
    [SHIM_STALLED] = "stalled",
    [SHIM_DISK] = "disk",
};

/* CRC-32 of ISO 3309 (the one of zlib and Ethernet), bit by bit: records are short. */
uint32_t shim_crc32(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t crc = 0xFFFFFFFFU;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xEDB88320U & (0U - (crc & 1U)));
        }
    }
    return ~crc;
}

int shim_record_reserve(void)
{
    record_fd = open("exit.tmp", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (record_fd < 0) {
        return errno;
    }
    int error = posix_fallocate(record_fd, 0, SHIM_RECORD_MAX);
    return error == EOPNOTSUPP || error == EINVAL || error == ENOSYS ? 0 : error;
}

void shim_record_discard(void)
{
    if (record_fd >= 0) {
        (void)unlink("exit.tmp"); /* an empty file is all that can stay behind */
    }
}

static void sync_dir(void)
{
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* best effort: the journal is the authority after a power loss */
        (void)close(fd);
    }
}

int shim_mark_exec(const struct shim_spec *spec)
{
    int fd = open("exec", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (fd < 0) {
        return errno;
    }
    char text[80];
    int n = snprintf(text, sizeof(text), "sluice-exec 1 %.32s\n", spec->nonce);
    /* The name alone counts; its text is for people. */
    ssize_t written = write(fd, text, n > 0 ? (size_t)n : 0);
    (void)written;
    int error = 0;
    if (spec->durable) {
        error = fsync(fd) == 0 ? 0 : errno;
        sync_dir();
    }
    (void)close(fd);
    return error;
}

size_t shim_record_format(char *out, size_t size, const char *nonce, const struct shim_result *r)
{
    char reason[SHIM_REASON_MAX];
    size_t i = 0;
    for (; r->reason[i] != '\0' && i + 1 < sizeof(reason); i++) {
        reason[i] = (unsigned char)r->reason[i] < ' ' ? ' ' : r->reason[i];
    }
    reason[i] = '\0';
    int n = snprintf(out, size,
                     "sluice-exit 1\nnonce=%.32s\nclass=%s\ncode=%d\nsignal=%d\noom=%d\n"
                     "started_ms=%lld\nended_ms=%lld\nuser_us=%lld\nsystem_us=%lld\n"
                     "maxrss_kb=%lld\ndropped=%llu\nreason=%s\n",
                     nonce, class_names[r->class], r->code, r->signal, r->oom ? 1 : 0,
                     (long long)r->started_ms, (long long)r->ended_ms, (long long)r->user_us,
                     (long long)r->system_us, (long long)r->maxrss_kb,
                     (unsigned long long)r->dropped, reason);
    SL_ASSERT(n > 0 && (size_t)n + 14 < size);
    size_t len = (size_t)n;
    n = snprintf(out + len, size - len, "sum=%08x\n", (unsigned)shim_crc32(out, len));
    return len + (size_t)n;
}

bool shim_record_publish(const struct shim_spec *spec, const struct shim_result *result)
{
    char text[SHIM_RECORD_MAX];
    size_t len = shim_record_format(text, sizeof(text), spec->nonce, result);
    if (record_fd < 0) {
        return false;
    }
    if (pwrite(record_fd, text, len, 0) != (ssize_t)len || ftruncate(record_fd, (off_t)len) != 0) {
        return false;
    }
    if (spec->durable && fsync(record_fd) != 0) {
        return false;
    }
    if (rename("exit.tmp", "exit") != 0) {
        return false;
    }
    if (spec->durable) {
        sync_dir();
    }
    return true;
}
