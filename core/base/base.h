/**
 * First include of every .c file: attributes, assertions, cleanup helpers.
 *
 * Thread: any. Must not: include anything of ours, allocate, or hold state.
 */
#ifndef SL_BASE_H
#define SL_BASE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_PRINTF(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))
#define SL_MUST_CHECK              __attribute__((warn_unused_result))
#define SL_NORETURN                __attribute__((noreturn))
/** Deliberately drops a must-check result (gcc does not take a cast to void); say why beside it. */
#define SL_IGNORE(call) ((void)!(call))
#define SL_UNUSED       __attribute__((unused))
#define SL_PURE         __attribute__((pure))

/** Number of elements of a true array. */
#define SL_LEN(array) (sizeof(array) / sizeof((array)[0]))

#define SL_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SL_MAX(a, b) ((a) > (b) ? (a) : (b))

/** The object that embeds `ptr` as its field `member`. */
#define SL_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/** Prints the failed condition with its place, flushes the trace ring and aborts. */
SL_NORETURN void sl_assert_fail(const char *condition, const char *file, int line);

/**
 * Stays on in release builds. For bugs only: input from outside never reaches an assertion.
 */
#define SL_ASSERT(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sl_assert_fail(#condition, __FILE__, __LINE__);                                        \
        }                                                                                          \
    } while (0)

/** Runs `sl_cleanup_<name>` on the variable when it leaves scope: `_cleanup_(free) char *p = NULL;` */
#define _cleanup_(name) __attribute__((cleanup(sl_cleanup_##name)))

void sl_cleanup_free(void *pointer_to_pointer); /* free(*p) */
void sl_cleanup_close(const int *fd);           /* close(*fd) unless negative; keeps errno */

/** Hands a cleanup-owned pointer over: yields its value and leaves NULL behind. */
#define sl_take(p)                                                                                 \
    ({                                                                                             \
        __typeof__(p) sl_taken_ = (p);                                                             \
        (p) = NULL;                                                                                \
        sl_taken_;                                                                                 \
    })

/** The same for descriptors: yields the number and leaves -1 behind. */
#define sl_take_fd(fd)                                                                             \
    ({                                                                                             \
        int sl_taken_ = (fd);                                                                      \
        (fd) = -1;                                                                                 \
        sl_taken_;                                                                                 \
    })

#endif
