/**
 * Reading an attempt's log while it is being written: from any offset, line by line.
 *
 * Thread: any, one at a time. Must not: write, or wait (followers ask again when the file grew).
 */
#ifndef SL_LOGREAD_H
#define SL_LOGREAD_H

#include "core/base/err.h"

#define SL_LOG_PREFIX   32    /* bytes before the content; runners/shim/README.md */
#define SL_LOG_LINE_MAX 65536 /* content bytes */

enum sl_log_stream { SL_LOG_STDOUT = 'o', SL_LOG_STDERR = 'e', SL_LOG_NOTE = 's' };

struct sl_log_line {
    int64_t ts_us; /* unix microseconds: when the shim read it */
    enum sl_log_stream stream;
    bool partial;     /* more of the same line follows, or the output ended without newline */
    bool damaged;     /* not a line of ours (a full disk tore it): all of it is text */
    const char *text; /* any bytes but newline, not terminated; valid until the next call */
    size_t len;
    uint64_t next_offset; /* where reading can be taken up again */
};

struct sl_logread;

/**
 * Opens `log` of an attempt directory at an offset given by an earlier next_offset, or 0.
 *
 * @return 0, -SL_ENOTFOUND when there is no log yet. Owner: caller, sl_logread_close.
 */
int sl_logread_open(int attempt_dirfd, uint64_t offset, struct sl_logread **ret, struct sl_err *err)
    SL_MUST_CHECK;

/** The next whole line: 1 with `ret` filled, 0 when there is none yet (ask again later), negative. */
int sl_logread_next(struct sl_logread *r, struct sl_log_line *ret, struct sl_err *err)
    SL_MUST_CHECK;
void sl_logread_close(struct sl_logread *r); /* NULL allowed */

/** Parses one line without its newline. False when it is not one of ours. */
bool sl_log_line_parse(const char *line, size_t len, struct sl_log_line *ret);

#endif
