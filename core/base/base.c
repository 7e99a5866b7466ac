/**
 * Cleanup helpers of base.h and the end of a failed assertion.
 *
 * Thread: any. Must not: allocate.
 */
#include "core/base/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log_priv.h"

void sl_assert_fail(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "sluice: bug: %s:%d: assertion failed: %s\n", file, line, condition);
    sl_trace_dump();
    (void)fflush(stderr);
    abort();
}

void sl_cleanup_free(void *pointer_to_pointer)
{
    void **slot = pointer_to_pointer;
    free(*slot);
}

void sl_cleanup_close(const int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        (void)close(*fd);
        errno = saved;
    }
}
