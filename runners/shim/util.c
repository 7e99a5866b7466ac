/**
 * Clock readings, small files and numbers.
 *
 * Thread: single. Must not: allocate.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

int64_t shim_wall_us(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_REALTIME, &t); /* cannot fail for this clock */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t shim_mono_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

ssize_t shim_read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    size_t len = 0;
    while (len + 1 < size) {
        ssize_t n = read(fd, out + len, size - 1 - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    (void)close(fd); /* nothing was written */
    out[len] = '\0';
    return (ssize_t)len;
}

bool shim_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t len = strlen(text);
    ssize_t n = write(fd, text, len);
    int error = errno;
    (void)close(fd); /* kernel files report through write */
    errno = error;
    return n == (ssize_t)len;
}

bool shim_parse_u64(const char *text, uint64_t *ret)
{
    if (*text < '0' || *text > '9') {
        return false;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        return false;
    }
    *ret = v;
    return true;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool shim_hex_decode(char *hex, size_t *ret_len)
{
    size_t len = strlen(hex);
    for (size_t i = 0; i + 1 < len; i += 2) {
        int high = digit(hex[i]);
        int low = digit(hex[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        hex[i / 2] = (char)(high * 16 + low);
    }
    explicit_bzero(hex + len / 2, len - len / 2);
    *ret_len = len / 2;
    return len % 2 == 0;
}

void sl_assert_fail(const char *condition, const char *file, int line)
{
    (void)condition;
    (void)file;
    (void)line;
    abort(); /* standard error is closed: the engine sees a shim that died */
}
