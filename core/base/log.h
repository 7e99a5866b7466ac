/**
 * The process log: one sink on standard error, levelled; and the trace ring dumped on assertion.
 *
 * Only boundaries log (a command, a request handler, a machine's terminal state), once per event.
 */
#ifndef SL_LOG_H
#define SL_LOG_H

#include "core/base/base.h"

enum sl_log_level { SL_LOG_ERROR, SL_LOG_WARN, SL_LOG_INFO, SL_LOG_DEBUG };

void sl_log_set_level(enum sl_log_level level); /* default SL_LOG_WARN */
void sl_log(enum sl_log_level level, const char *fmt, ...) SL_PRINTF(2, 3);

#define sl_error(...) sl_log(SL_LOG_ERROR, __VA_ARGS__)
#define sl_warn(...)  sl_log(SL_LOG_WARN, __VA_ARGS__)
#define sl_info(...)  sl_log(SL_LOG_INFO, __VA_ARGS__)
#define sl_debug(...) sl_log(SL_LOG_DEBUG, __VA_ARGS__)

/** Adds a line to the in-memory ring (256 lines, any thread); printed only when an assertion fails. */
void sl_trace(const char *fmt, ...) SL_PRINTF(1, 2);

#endif
