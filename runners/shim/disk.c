/**
 * How much the attempt has on disk: a walk over its directory and its checkpoint.
 *
 * What is deleted and still open is not seen; RLIMIT_FSIZE keeps each such file below the quota.
 *
 * Thread: single. Must not: follow a link, or leave the directories that it is given.
 */
#include "core/base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

#define DEPTH_MAX  128 /* one descriptor per level */
#define NAME_BYTES 512 /* counted for each name: a million empty files are not nothing */

static void walk(int dirfd, int depth, struct shim_disk *sum);

static void count(int dirfd, const char *name, int depth, struct shim_disk *sum)
{
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return; /* gone meanwhile */
    }
    sum->bytes += NAME_BYTES + (uint64_t)st.st_blocks * 512 / SL_MAX((uint64_t)st.st_nlink, 1U);
    if (!S_ISDIR(st.st_mode)) {
        return;
    }
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        walk(fd, depth + 1, sum);
    }
}

/* Takes the descriptor. */
static void walk(int dirfd, int depth, struct shim_disk *sum)
{
    DIR *d = depth < DEPTH_MAX ? fdopendir(dirfd) : NULL;
    if (d == NULL) {
        sum->too_deep = sum->too_deep || depth >= DEPTH_MAX;
        (void)close(dirfd);
        return;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            count(dirfd, e->d_name, depth, sum);
        }
    }
    (void)closedir(d);
}

void shim_disk_measure(const struct shim_spec *spec, struct shim_disk *ret)
{
    *ret = (struct shim_disk){0};
    const char *const roots[] = {".", spec->checkpoint};
    for (size_t i = 0; i < SL_LEN(roots); i++) {
        int fd = roots[i] != NULL ? open(roots[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (fd >= 0) {
            walk(fd, 0, ret);
        }
    }
}
