/* See shim_secret.h. In memory means a tmpfs at /dev/shm: names there begin with the data directory's prefix and end
 * with the attempt's nonce, as those of control groups do. */
#include "core/base/base.h"

#include "runners/local/shim_secret.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/fs.h"

#define MEMORY_DIR  "/dev/shm"
#define TMPFS       0x01021994 /* f_type: TMPFS_MAGIC of linux/magic.h */
#define OWN_DIR     "secret"
#define CHUNK_BYTES 512

static bool in_memory(void)
{
    struct statfs st;
    return statfs(MEMORY_DIR, &st) == 0 && (unsigned long)st.f_type == TMPFS &&
           access(MEMORY_DIR, W_OK | X_OK) == 0;
}

void sl_shim_secret_dir(const char *prefix, const char *nonce, const char *attempt_dir,
                        char out[SL_SHIM_SECRET_DIR])
{
    if (in_memory()) {
        (void)snprintf(out, SL_SHIM_SECRET_DIR, MEMORY_DIR "/%s%s", prefix, nonce);
    } else {
        (void)snprintf(out, SL_SHIM_SECRET_DIR, "%s/" OWN_DIR, attempt_dir);
    }
}

bool sl_shim_secret_files(const struct sl_attempt_spec *spec)
{
    for (size_t i = 0; i < spec->n_secrets; i++) {
        if (spec->secrets[i].as_file) {
            return true;
        }
    }
    return false;
}

static int write_hex(int fd, const unsigned char *value, size_t len, struct sl_err *err)
{
    static const char digits[] = "0123456789abcdef";
    char chunk[2 * CHUNK_BYTES];
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < len; at += CHUNK_BYTES) {
        size_t n = SL_MIN(len - at, (size_t)CHUNK_BYTES);
        for (size_t i = 0; i < n; i++) {
            chunk[2 * i] = digits[value[at + i] >> 4];
            chunk[2 * i + 1] = digits[value[at + i] & 15];
        }
        rc = sl_write_all(fd, chunk, 2 * n, err);
    }
    explicit_bzero(chunk, sizeof(chunk));
    return rc;
}

int sl_shim_secret_write(int fd, const struct sl_attempt_spec *spec, const char *dir,
                         struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf head = SL_BUF_INIT(SL_SHIM_SECRET_DIR + 1024);
    int rc = 0;
    if (sl_shim_secret_files(spec)) {
        sl_buf_printf(&head, "secret_dir=%s", dir);
        rc = sl_write_all(fd, sl_buf_str(&head), head.len + 1, err);
    }
    for (size_t i = 0; rc == 0 && i < spec->n_secrets; i++) {
        const struct sl_attempt_secret *s = &spec->secrets[i];
        sl_buf_clear(&head);
        sl_buf_printf(&head, "secret=%c %s ", s->as_file ? 'f' : 'e', s->name);
        if (head.overflow) {
            return sl_err_set(err, SL_ELIMIT, "secrets: a variable's name is too long");
        }
        rc = sl_write_all(fd, sl_buf_str(&head), head.len, err);
        rc = rc < 0 ? rc : write_hex(fd, s->value, s->len, err);
        rc = rc < 0 ? rc : sl_write_all(fd, "", 1, err);
    }
    return rc < 0 ? sl_err_wrap(err, "cannot write the shim's spec") : 0;
}

/* ---- afterwards ----------------------------------------------------------------------------------- */

void sl_shim_secret_end(const char *prefix, const char *nonce, int attempt_dirfd)
{
    char path[SL_SHIM_SECRET_DIR];
    struct sl_err ignored = SL_ERR_INIT; /* the next sweep tries again */
    (void)snprintf(path, sizeof(path), MEMORY_DIR "/%s%s", prefix, nonce);
    SL_IGNORE(sl_remove_tree_at(AT_FDCWD, path, &ignored));
    if (attempt_dirfd >= 0) {
        SL_IGNORE(sl_remove_tree_at(attempt_dirfd, OWN_DIR, &ignored));
    }
}

static bool is_known(const char *nonce, const char *const *known, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(nonce, known[i])) {
            return true;
        }
    }
    return false;
}

int sl_shim_secret_sweep(const char *prefix, const char *const *known, size_t n)
{
    int count = 0;
    DIR *d = opendir(MEMORY_DIR);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        const char *nonce = e->d_name + strlen(prefix);
        if (sl_starts_with(e->d_name, prefix) && !is_known(nonce, known, n)) {
            sl_shim_secret_end(prefix, nonce, -1);
            count++;
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return count;
}
