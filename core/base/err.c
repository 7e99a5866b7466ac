/**
 * Errors: filling, wrapping, and the table that errors.def generates.
 *
 * Thread: any. Must not: allocate or log.
 */
#include "core/base/base.h"

#include "core/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct error_row {
    int code;
    const char *name, *text;
    int http, exit;
};

static const struct error_row error_rows[] = {
#define SL_ERROR(name, number, text, http, exit) {(number), "SL_" #name, (text), (http), (exit)},
#include "core/base/errors.def"
#undef SL_ERROR
};

static const char ELLIPSIS[] = "...";

static const struct error_row *find_row(int code)
{
    int wanted = code < 0 ? -code : code;
    for (size_t i = 0; i < SL_LEN(error_rows); i++) {
        if (error_rows[i].code == wanted) {
            return &error_rows[i];
        }
    }
    return &error_rows[0]; /* SL_EINTERNAL */
}

/** Marks a cut message, without leaving half of a UTF-8 sequence before the mark. */
static void mark_cut(char *msg, size_t size)
{
    size_t at = size - sizeof(ELLIPSIS);
    while (at > 0 && ((unsigned char)msg[at] & 0xC0) == 0x80) {
        at--;
    }
    memcpy(msg + at, ELLIPSIS, sizeof(ELLIPSIS));
}

/** Messages are one line whatever was put into them. */
static void flatten(char *msg)
{
    size_t len = strlen(msg);
    while (len > 0 && (msg[len - 1] == '\n' || msg[len - 1] == '\r')) {
        msg[--len] = '\0';
    }
    for (size_t i = 0; i < len; i++) {
        if (msg[i] == '\n' || msg[i] == '\r') {
            msg[i] = ' ';
        }
    }
}

static SL_PRINTF(4, 0) void fill(struct sl_err *err, const char *file, int line, const char *fmt,
                                 va_list args)
{
    char msg[sizeof(err->msg)]; /* arguments may point into err->msg */
    int wanted = vsnprintf(msg, sizeof(msg), fmt, args);
    if (wanted < 0) {
        msg[0] = '\0';
    } else if ((size_t)wanted >= sizeof(msg)) {
        mark_cut(msg, sizeof(msg));
    }
    flatten(msg);
    memcpy(err->msg, msg, sizeof(msg));
    err->file = file;
    err->line = line;
}

int sl_err_set_at(struct sl_err *err, int code, const char *file, int line, const char *fmt, ...)
{
    SL_ASSERT(code > 0);
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        fill(err, file, line, fmt, args);
        va_end(args);
        err->code = code;
    }
    return -code;
}

static int code_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT: return SL_ENOSPACE;
    case ENOENT: return SL_ENOTFOUND;
    case EEXIST: return SL_EEXISTS;
    case ENOMEM: return SL_ENOMEMORY;
    default: return SL_EIO;
    }
}

static void append(struct sl_err *err, const char *text)
{
    size_t len = strlen(err->msg);
    int wanted = snprintf(err->msg + len, sizeof(err->msg) - len, "%s", text);
    if (wanted > 0 && len + (size_t)wanted >= sizeof(err->msg)) {
        mark_cut(err->msg, sizeof(err->msg));
    }
}

int sl_err_errno_at(struct sl_err *err, int errno_value, const char *file, int line,
                    const char *fmt, ...)
{
    int code = code_of_errno(errno_value);
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        fill(err, file, line, fmt, args);
        va_end(args);
        err->code = code;
        char reason[128];
        append(err, ": ");
        append(err, strerror_r(errno_value, reason, sizeof(reason)));
    }
    return -code;
}

int sl_err_wrap(struct sl_err *err, const char *fmt, ...)
{
    if (err == NULL) {
        return -SL_EINTERNAL;
    }
    struct sl_err outer = SL_ERR_INIT;
    va_list args;
    va_start(args, fmt);
    fill(&outer, err->file, err->line, fmt, args);
    va_end(args);
    append(&outer, ": ");
    append(&outer, err->msg);
    memcpy(err->msg, outer.msg, sizeof(err->msg));
    return -(err->code != 0 ? err->code : SL_EINTERNAL);
}

const char *sl_err_text(int code)
{
    return code == 0 ? "success" : find_row(code)->text;
}

const char *sl_err_name(int code)
{
    return code == 0 ? "0" : find_row(code)->name;
}

int sl_err_http(int code)
{
    return code == 0 ? 200 : find_row(code)->http;
}

int sl_err_exit(int code)
{
    return code == 0 ? 0 : find_row(code)->exit;
}
