/**
 * The log's reader. A line counts once its newline is there, so a reader never sees half a write.
 *
 * Thread: any, one at a time. Must not: trust the content.
 */
#include "core/base/base.h"

#include "runners/local/logread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/time.h"

#define BUFFER_BYTES (2UL * (SL_LOG_PREFIX + SL_LOG_LINE_MAX + 1))
#define STAMP_BYTES  27 /* "2026-11-20T10:00:00.123456Z" */

struct sl_logread {
    int fd;
    uint64_t offset; /* in the file, of buf[at] */
    size_t at, len;
    char buf[BUFFER_BYTES];
};

int sl_logread_open(int attempt_dirfd, uint64_t offset, struct sl_logread **ret, struct sl_err *err)
{
    int fd = sl_openat_beneath(attempt_dirfd, "log", O_RDONLY, 0, err);
    if (fd < 0) {
        return fd;
    }
    struct sl_logread *r = SL_NEW(struct sl_logread);
    r->fd = fd;
    r->offset = offset;
    *ret = r;
    return 0;
}

void sl_logread_close(struct sl_logread *r)
{
    if (r != NULL) {
        sl_cleanup_close(&r->fd);
        free(r);
    }
}

static bool parse_stamp(const char *text, int64_t *ret_us)
{
    char stamp[STAMP_BYTES + 1];
    int64_t ms = 0;
    memcpy(stamp, text, STAMP_BYTES);
    stamp[STAMP_BYTES] = '\0';
    if (stamp[19] != '.' || stamp[26] != 'Z' || strspn(stamp + 20, "0123456789") != 6) {
        return false;
    }
    int64_t us = (int64_t)(stamp[23] - '0') * 100 + (stamp[24] - '0') * 10 + (stamp[25] - '0');
    stamp[23] = 'Z';
    stamp[24] = '\0';
    if (!sl_time_parse(stamp, &ms)) {
        return false;
    }
    *ret_us = ms * 1000 + us;
    return true;
}

bool sl_log_line_parse(const char *line, size_t len, struct sl_log_line *ret)
{
    struct sl_log_line l = {0};
    if (len < SL_LOG_PREFIX || len > SL_LOG_PREFIX + SL_LOG_LINE_MAX ||
        !parse_stamp(line, &l.ts_us)) {
        return false;
    }
    char mark = line[STAMP_BYTES + 1];
    char flag = line[STAMP_BYTES + 3];
    if (line[STAMP_BYTES] != ' ' || line[STAMP_BYTES + 2] != ' ' || line[STAMP_BYTES + 4] != ' ' ||
        (mark != 'o' && mark != 'e' && mark != 's') || (flag != 'F' && flag != 'P')) {
        return false;
    }
    l.stream = mark == 'o' ? SL_LOG_STDOUT : mark == 'e' ? SL_LOG_STDERR : SL_LOG_NOTE;
    l.partial = flag == 'P';
    l.text = line + SL_LOG_PREFIX;
    l.len = len - SL_LOG_PREFIX;
    *ret = l;
    return true;
}

/* More bytes behind what is there. 1 when some came, 0 at the present end, negative. */
static int fill(struct sl_logread *r, struct sl_err *err)
{
    if (r->at > 0) {
        memmove(r->buf, r->buf + r->at, r->len - r->at);
        r->len -= r->at;
        r->at = 0;
    }
    ssize_t n = 0;
    do {
        n = pread(r->fd, r->buf + r->len, sizeof(r->buf) - r->len, (off_t)(r->offset + r->len));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return sl_err_errno(err, errno, "cannot read the log");
    }
    r->len += (size_t)n;
    return n > 0 ? 1 : 0;
}

static void take(struct sl_logread *r, size_t len, size_t skip, struct sl_log_line *ret)
{
    const char *line = r->buf + r->at;
    if (!sl_log_line_parse(line, len, ret)) {
        *ret =
            (struct sl_log_line){.stream = SL_LOG_NOTE, .damaged = true, .text = line, .len = len};
    }
    r->at += len + skip;
    r->offset += len + skip;
    ret->next_offset = r->offset;
}

int sl_logread_next(struct sl_logread *r, struct sl_log_line *ret, struct sl_err *err)
{
    size_t searched = 0;
    for (;;) {
        size_t have = r->len - r->at;
        const char *from = r->buf + r->at + searched;
        const char *newline = have > searched ? memchr(from, '\n', have - searched) : NULL;
        if (newline != NULL) {
            take(r, (size_t)(newline - (r->buf + r->at)), 1, ret);
            return 1;
        }
        if (have == sizeof(r->buf)) { /* no line of ours is that long */
            take(r, have, 0, ret);
            return 1;
        }
        searched = have;
        int rc = fill(r, err);
        if (rc <= 0) {
            return rc;
        }
    }
}
