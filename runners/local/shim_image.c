/**
 * The shim's program: embedding and placing.
 *
 * Thread: any. Must not: trust what already lies at its place.
 */
#include "core/base/base.h"

#include "runners/local/shim_image.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/fs.h"

__asm__(".section .rodata\n"
        ".global sl_shim_image_start\n"
        ".balign 16\n"
        "sl_shim_image_start:\n"
        ".incbin \"" SL_SHIM_ELF "\"\n"
        ".global sl_shim_image_end\n"
        "sl_shim_image_end:\n"
        ".byte 0\n"
        ".previous\n");

extern const uint8_t sl_shim_image_start[];
extern const uint8_t sl_shim_image_end[];

const void *sl_shim_image(size_t *ret_bytes)
{
    *ret_bytes = (size_t)((uintptr_t)sl_shim_image_end - (uintptr_t)sl_shim_image_start);
    return sl_shim_image_start;
}

void sl_shim_digest(struct sl_digest *ret)
{
    size_t len = 0;
    const void *image = sl_shim_image(&len);
    sl_sha256(image, len, ret);
}

static bool is_in_place(int data_dirfd, const char *path, const struct sl_digest *want)
{
    size_t len = 0;
    (void)sl_shim_image(&len);
    struct stat st;
    if (fstatat(data_dirfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
        (st.st_mode & 07777) != 0555 || (size_t)st.st_size != len) {
        return false;
    }
    _cleanup_(buf)
    struct sl_buf found = SL_BUF_INIT(len);
    struct sl_err ignored = SL_ERR_INIT;
    if (sl_read_file_at(data_dirfd, path, len, &found, &ignored) < 0) {
        return false; /* it will be written again, and that tells what is wrong */
    }
    struct sl_digest digest;
    sl_sha256(found.ptr, found.len, &digest);
    return sl_digest_eq(&digest, want);
}

int sl_shim_install(int data_dirfd, char ret_path[SL_SHIM_PATH_BYTES], struct sl_err *err)
{
    char path[SL_SHIM_PATH_BYTES];
    char hex[SL_DIGEST_HEX + 1];
    struct sl_digest digest;
    size_t len = 0;
    const void *image = sl_shim_image(&len);
    sl_shim_digest(&digest);
    (void)snprintf(path, sizeof(path), "shim/%s", sl_digest_hex(&digest, hex));
    if (!is_in_place(data_dirfd, path, &digest)) {
        int ret = sl_mkdirs_at(data_dirfd, "shim", 0755, err);
        if (ret == 0) {
            ret = sl_publish_file_at(data_dirfd, path, image, len, 0555, true, err);
        }
        if (ret < 0) {
            return sl_err_wrap(err, "cannot place the shim");
        }
    }
    memcpy(ret_path, path, sizeof(path));
    return 0;
}
