/**
 * Exit records: the reader.
 *
 * Thread: any. Must not: guess; a damaged record is an error.
 */
#include "core/base/base.h"

#include "runners/local/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/fs.h"
#include "core/base/mem.h"

#define VERSION_LINE "sluice-exit 1\n"

/* CRC-32 of ISO 3309, as zlib's crc32. */
static uint32_t crc32_of(const char *data, size_t len)
{
    uint32_t crc = 0xFFFFFFFFU;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint8_t)data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xEDB88320U & (0U - (crc & 1U)));
        }
    }
    return ~crc;
}

static int check_sum(const char *text, size_t len, struct sl_err *err)
{
    size_t tail = strlen("sum=01234567\n");
    if (len < strlen(VERSION_LINE) + tail ||
        memcmp(text, VERSION_LINE, strlen(VERSION_LINE)) != 0) {
        return sl_err_set(err, SL_ECORRUPT, "exit record: not a record of version 1");
    }
    char want[16];
    (void)snprintf(want, sizeof(want), "sum=%08x\n", (unsigned)crc32_of(text, len - tail));
    if (memchr(text, '\0', len) != NULL || memcmp(text + len - tail, want, tail) != 0) {
        return sl_err_set(err, SL_ECORRUPT, "exit record: its checksum does not match");
    }
    return 0;
}

/* Cuts "key=value\n" off *cursor; the value, or NULL when another key stands there. */
static const char *take(char **cursor, const char *key)
{
    char *line = *cursor;
    size_t n = strlen(key);
    char *end = strchr(line, '\n');
    if (end == NULL || strncmp(line, key, n) != 0 || line[n] != '=') {
        return NULL;
    }
    *end = '\0';
    *cursor = end + 1;
    return line + n + 1;
}

static bool take_number(char **cursor, const char *key, int64_t min, int64_t max, int64_t *ret)
{
    const char *value = take(cursor, key);
    return value != NULL && sl_parse_i64(value, ret) && *ret >= min && *ret <= max;
}

/** The words for users when the record has none: -1 as an exit code would say nothing. */
static void explain(struct sl_attempt_result *r)
{
    const char *name = r->signal > 0 ? sigabbrev_np(r->signal) : NULL;
    if (r->class == SL_CLASS_TIMEOUT) {
        (void)snprintf(r->reason, sizeof(r->reason), "ran over its timeout and was stopped");
    } else if (r->class == SL_CLASS_OOM) {
        (void)snprintf(r->reason, sizeof(r->reason), "ran out of memory and was killed");
    } else if (r->class == SL_CLASS_STALLED) {
        (void)snprintf(r->reason, sizeof(r->reason), "wrote nothing for too long and was stopped");
    } else if (r->class == SL_CLASS_DISK) {
        (void)snprintf(r->reason, sizeof(r->reason), "wrote more than its disk quota");
    } else if (r->class == SL_CLASS_CANCELLED) {
        (void)snprintf(r->reason, sizeof(r->reason), "cancelled while it ran");
    } else if (r->class == SL_CLASS_SIGNAL && name != NULL) {
        (void)snprintf(r->reason, sizeof(r->reason), "killed by SIG%s", name);
    } else if (r->class == SL_CLASS_SIGNAL) {
        (void)snprintf(r->reason, sizeof(r->reason), "killed by signal %d", r->signal);
    }
}

static bool take_result(char **cursor, struct sl_attempt_result *r)
{
    const char *class = take(cursor, "class");
    if (class == NULL || !sl_runner_class_parse(class, &r->class) || r->class == SL_CLASS_LOST) {
        return false;
    }
    int64_t code = 0;
    int64_t signum = 0;
    int64_t oom = 0;
    int64_t dropped = 0;
    if (!take_number(cursor, "code", -1, 255, &code) ||
        !take_number(cursor, "signal", 0, 64, &signum) || !take_number(cursor, "oom", 0, 1, &oom) ||
        !take_number(cursor, "started_ms", 0, INT64_MAX, &r->started_ms) ||
        !take_number(cursor, "ended_ms", 0, INT64_MAX, &r->ended_ms) ||
        !take_number(cursor, "user_us", 0, INT64_MAX, &r->user_us) ||
        !take_number(cursor, "system_us", 0, INT64_MAX, &r->system_us) ||
        !take_number(cursor, "maxrss_kb", 0, INT64_MAX, &r->maxrss_kb) ||
        !take_number(cursor, "dropped", 0, INT64_MAX, &dropped)) {
        return false;
    }
    r->exit_code = (int)code;
    r->signal = (int)signum;
    r->oom = oom != 0;
    r->log_dropped_bytes = (uint64_t)dropped;
    const char *reason = take(cursor, "reason");
    if (reason != NULL) {
        (void)snprintf(r->reason, sizeof(r->reason), "%s", reason);
    }
    if (r->reason[0] == '\0') {
        explain(r);
    }
    return reason != NULL;
}

int sl_exit_record_parse(const char *text, size_t len, const char *nonce,
                         struct sl_attempt_result *ret, struct sl_err *err)
{
    if (len > SL_EXIT_RECORD_MAX) {
        return sl_err_set(err, SL_ECORRUPT, "exit record: longer than %d bytes",
                          SL_EXIT_RECORD_MAX);
    }
    int rc = check_sum(text, len, err);
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    char *copy = sl_strndup(text, len);
    char *cursor = copy + strlen(VERSION_LINE);
    const char *found = take(&cursor, "nonce");
    if (found == NULL || (nonce != NULL && !sl_streq(found, nonce))) {
        return sl_err_set(err, SL_ECORRUPT, "exit record: it belongs to another attempt");
    }
    struct sl_attempt_result result = {0};
    if (!take_result(&cursor, &result) || strncmp(cursor, "sum=", 4) != 0) {
        return sl_err_set(err, SL_ECORRUPT, "exit record: a field is missing or malformed");
    }
    *ret = result;
    return 0;
}

int sl_exit_record_read(int attempt_dirfd, const char *nonce, struct sl_attempt_result *ret,
                        struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_EXIT_RECORD_MAX);
    /* The step could have put anything here: this runs on the loop, which a FIFO must not stop. */
    struct stat st;
    _cleanup_(close)
    int fd = sl_openat_beneath(attempt_dirfd, "exit", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
    if (fd == -SL_EINVAL || (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))) {
        return sl_err_set(err, SL_ECORRUPT, "exit record: not a regular file");
    }
    int rc = fd < 0 ? fd : sl_read_fd(fd, SL_EXIT_RECORD_MAX, &text, err);
    if (rc == -SL_ELIMIT) {
        return sl_err_set(err, SL_ECORRUPT, "exit record: longer than %d bytes",
                          SL_EXIT_RECORD_MAX);
    }
    if (rc < 0) {
        return rc;
    }
    return sl_exit_record_parse(sl_buf_str(&text), text.len, nonce, ret, err);
}
