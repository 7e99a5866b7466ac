/**
 * Errors: a caller-owned struct passed last, filled by whoever fails first, wrapped on the way up.
 *
 * Functions that can fail return 0 or a negative -SL_E* code (positive results are documented).
 * Library rooms set errors and never log them. No allocation: an error survives exhaustion and
 * crosses threads by value.
 */
#ifndef SL_ERR_H
#define SL_ERR_H

#include "core/base/base.h"

enum sl_errcode {
#define SL_ERROR(name, number, text, http, exit) SL_##name = (number),
#include "core/base/errors.def"
#undef SL_ERROR
};

struct sl_err {
    int code;         /* positive SL_E*, 0 while unset */
    int line;         /* where it was first set */
    const char *file; /* static string */
    char msg[512];    /* one line, no trailing newline; truncated with "..." */
};

#define SL_ERR_INIT ((struct sl_err){0})

/**
 * Fills `err` (NULL allowed) and returns `-code`, so `return sl_err_set(err, SL_EINVAL, "...")`.
 * Overwrites what was there. Thread: any.
 */
#define sl_err_set(err, code, ...) sl_err_set_at((err), (code), __FILE__, __LINE__, __VA_ARGS__)

/** As sl_err_set, with ": " and strerror(errno_value); maps ENOSPC/EDQUOT to SL_ENOSPACE, ENOENT to
 * SL_ENOTFOUND, EEXIST to SL_EEXISTS, ENOMEM to SL_ENOMEMORY, else SL_EIO. */
#define sl_err_errno(err, errno_value, ...)                                                        \
    sl_err_errno_at((err), (errno_value), __FILE__, __LINE__, __VA_ARGS__)

int sl_err_set_at(struct sl_err *err, int code, const char *file, int line, const char *fmt, ...)
    SL_PRINTF(5, 6);
int sl_err_errno_at(struct sl_err *err, int errno_value, const char *file, int line,
                    const char *fmt, ...) SL_PRINTF(5, 6);

/** Puts "new facts: " before the message; keeps code and place. Returns `-err->code`
 * (-SL_EINTERNAL when err is NULL). */
int sl_err_wrap(struct sl_err *err, const char *fmt, ...) SL_PRINTF(2, 3);

/** Static text of a positive or negative code; its symbol ("SL_EINVAL"); HTTP status; exit status. */
const char *sl_err_text(int code);
const char *sl_err_name(int code);
int sl_err_http(int code);
int sl_err_exit(int code);

#endif
