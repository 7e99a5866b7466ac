/**
 * Exit records: what a shim wrote about how its attempt ended. Format: runners/shim/README.md.
 *
 * Thread: any. Must not: accept a record whose sum, version or nonce is not right.
 */
#ifndef SL_EXIT_RECORD_H
#define SL_EXIT_RECORD_H

#include "runners/runner.h"

#define SL_EXIT_RECORD_MAX 4096 /* bytes */

/**
 * Parses a record.
 *
 * @param nonce  that it must carry; NULL accepts any
 * @return       0, or -SL_ECORRUPT naming what is wrong
 */
int sl_exit_record_parse(const char *text, size_t len, const char *nonce,
                         struct sl_attempt_result *ret, struct sl_err *err) SL_MUST_CHECK;

/** Reads and parses `exit` of an attempt directory. -SL_ENOTFOUND when there is none yet.
 * Blocks: shortly (one small file, from the page cache). */
int sl_exit_record_read(int attempt_dirfd, const char *nonce, struct sl_attempt_result *ret,
                        struct sl_err *err) SL_MUST_CHECK;

#endif
