/* The embedded shim and its place in the data directory. */
#include "core/base/base.h"

#include "runners/local/shim_image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/sl_test.h"

SL_TEST(runners_local_shim_image, image__is_a_small_static_elf)
{
    size_t len = 0;
    const unsigned char *image = sl_shim_image(&len);
    SL_CHECK_EQ_MEM(image, "\177ELF", 4);
    SL_CHECK(len < 900U * 1024);
    /* No program header of type PT_INTERP (3): ELF64, e_phoff at 32, e_phnum at 56. */
    uint64_t at = 0;
    uint16_t n = 0;
    memcpy(&at, image + 32, sizeof(at));
    memcpy(&n, image + 56, sizeof(n));
    for (uint16_t i = 0; i < n; i++) {
        uint32_t type = 0;
        memcpy(&type, image + at + (uint64_t)i * 56, sizeof(type));
        SL_CHECK(type != 3);
    }
}

SL_TEST(runners_local_shim_image, install__damaged_copy__is_replaced)
{
    struct sl_err err = SL_ERR_INIT;
    char *dir = sl_test_tmpdir();
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char path[SL_SHIM_PATH_BYTES];
    char again[SL_SHIM_PATH_BYTES];
    struct stat first;
    struct stat st;
    SL_CHECK_OK(sl_shim_install(fd, path, &err), err);
    SL_CHECK_EQ_INT(fstatat(fd, path, &first, 0), 0);
    SL_CHECK_EQ_INT(first.st_mode & 07777, 0555);
    SL_CHECK_OK(sl_shim_install(fd, again, &err), err);
    SL_CHECK_EQ_STR(again, path);
    SL_CHECK_EQ_INT(fstatat(fd, path, &st, 0), 0);
    SL_CHECK_EQ_UINT(st.st_ino, first.st_ino); /* left alone */
    SL_CHECK_EQ_INT(fchmodat(fd, path, 0755, 0), 0);
    int shim = openat(fd, path, O_WRONLY | O_CLOEXEC);
    SL_CHECK_EQ_INT(pwrite(shim, "X", 1, 1000), 1);
    SL_CHECK_EQ_INT(fchmod(shim, 0555), 0);
    (void)close(shim);
    SL_CHECK_OK(sl_shim_install(fd, path, &err), err);
    char *full = sl_test_path(dir, path);
    size_t len = 0;
    size_t want = 0;
    char *text = sl_test_read(full, &len);
    const void *image = sl_shim_image(&want);
    SL_CHECK_EQ_UINT(len, want);
    SL_CHECK_EQ_MEM(text, image, len);
    free(text);
    free(full);
    (void)close(fd);
    sl_test_rmdir(dir);
}
