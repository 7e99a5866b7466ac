/**
 * The process log on standard error and the trace ring.
 *
 * Thread: any; a line is written by one write(2), so lines of several threads do not mix.
 * Must not: allocate, or be called by library rooms (they set errors).
 */
#include "core/base/base.h"

#include "core/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log_priv.h"

#define LOG_LINE_MAX   2048
#define TRACE_LINES    256
#define TRACE_LINE_MAX 200

static atomic_int log_level = SL_LOG_WARN;

static pthread_mutex_t trace_lock = PTHREAD_MUTEX_INITIALIZER;
static char trace_ring[TRACE_LINES][TRACE_LINE_MAX];
static size_t trace_next, trace_used;

void sl_log_set_level(enum sl_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

/** Length that snprintf really stored in a buffer of `size`. */
static size_t stored(int wanted, size_t size)
{
    if (wanted < 0) {
        return 0;
    }
    return (size_t)wanted < size ? (size_t)wanted : size - 1;
}

void sl_log(enum sl_log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed)) {
        return;
    }
    char line[LOG_LINE_MAX];
    size_t room = sizeof(line) - 1; /* for the newline */
    size_t n = stored(snprintf(line, room, "sluice: %s: ", names[level]), room);
    va_list args;
    va_start(args, fmt);
    n += stored(vsnprintf(line + n, room - n, fmt, args), room - n);
    va_end(args);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = ' '; /* one event, one line; no terminal control from logged data */
        }
    }
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written; /* nowhere left to report to */
}

void sl_trace(const char *fmt, ...)
{
    char line[TRACE_LINE_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    (void)pthread_mutex_lock(&trace_lock);
    memcpy(trace_ring[trace_next], line, sizeof(line));
    trace_next = (trace_next + 1) % TRACE_LINES;
    trace_used = trace_used < TRACE_LINES ? trace_used + 1 : TRACE_LINES;
    (void)pthread_mutex_unlock(&trace_lock);
}

void sl_trace_dump(void)
{
    if (pthread_mutex_trylock(&trace_lock) != 0) {
        return;
    }
    for (size_t i = 0; i < trace_used; i++) {
        size_t at = (trace_next + TRACE_LINES - trace_used + i) % TRACE_LINES;
        (void)fprintf(stderr, "  trace: %s\n", trace_ring[at]);
    }
    (void)pthread_mutex_unlock(&trace_lock);
}
