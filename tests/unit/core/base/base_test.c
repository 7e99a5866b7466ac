/** Cleanup helpers and hand-over macros. */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/sl_test.h"

SL_TEST(core_base_base, take__pointer__leaves_null)
{
    char text[] = "x";
    char *p = text;
    char *taken = sl_take(p);
    SL_CHECK(taken == text);
    SL_CHECK_NULL(p);
}

SL_TEST(core_base_base, cleanup_close__scope_ends__descriptor_is_closed_and_errno_kept)
{
    int kept = -1;
    errno = 0;
    {
        _cleanup_(close)
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        SL_CHECK(fd >= 0);
        kept = fd;
        errno = EDOM;
    }
    SL_CHECK_EQ_INT(errno, EDOM);
    SL_CHECK_EQ_INT(fcntl(kept, F_GETFD), -1);
    SL_CHECK_EQ_INT(errno, EBADF);
}

SL_TEST(core_base_base, cleanup_close__taken__stays_open)
{
    int kept = -1;
    {
        _cleanup_(close)
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        kept = sl_take_fd(fd);
        SL_CHECK_EQ_INT(fd, -1);
    }
    SL_CHECK(fcntl(kept, F_GETFD) >= 0);
    SL_CHECK_EQ_INT(close(kept), 0);
}
