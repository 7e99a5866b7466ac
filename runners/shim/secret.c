/**
 * Secrets of the step: variables that its environment gets, files that its variables name, and the mask
 * that keeps all of them out of the log.
 *
 * Values come in the spec, which is in memory only. Files lie in a directory of their own, in memory where
 * the machine has such a place, for the step's user alone; they are made before the start byte and removed
 * before the exit record.
 *
 * Thread: single. Must not: write a value to a disk, a command line or the log.
 */
#include "core/base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

static struct {
    struct secret {
        bool as_file;
        const char *name;
        char *value; /* in the spec's buffer, NUL behind */
        size_t len;
        char *entry; /* NAME=... as the environment has it */
        size_t entry_len;
    } list[SL_MASK_VALUES_MAX];
    size_t n;
    const char *dir;
    bool made;
    struct sl_mask *mask;
} sec;

bool shim_secret_add(char *value)
{
    char *name = value[0] != '\0' && value[1] == ' ' ? value + 2 : NULL;
    char *hex = name != NULL ? strchr(name, ' ') : NULL;
    if (hex == NULL || hex == name || sec.n >= SL_LEN(sec.list) ||
        (value[0] != 'e' && value[0] != 'f')) {
        return false;
    }
    *hex++ = '\0';
    struct secret *s = &sec.list[sec.n];
    *s = (struct secret){.as_file = value[0] == 'f', .name = name, .value = hex};
    if (!shim_hex_decode(hex, &s->len)) {
        return false;
    }
    sec.n++;
    return true;
}

void shim_secret_dir(const char *path)
{
    sec.dir = path;
}

const struct sl_mask *shim_secret_mask(void)
{
    return sec.mask;
}

/* ---- before the start byte ------------------------------------------------------------------------ */

static int write_file(int dirfd, const struct secret *s)
{
    int fd = openat(dirfd, s->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    if (fd < 0) {
        return errno;
    }
    int error = 0;
    for (size_t at = 0; error == 0 && at < s->len;) {
        ssize_t n = write(fd, s->value + at, s->len - at);
        at += n > 0 ? (size_t)n : 0;
        error = n > 0 || errno == EINTR ? 0 : errno;
    }
    (void)close(fd);
    return error;
}

static int write_files(void)
{
    if (mkdir(sec.dir, 0700) != 0) {
        return errno;
    }
    sec.made = true;
    int dirfd = open(sec.dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = dirfd < 0 ? errno : 0;
    for (size_t i = 0; error == 0 && i < sec.n; i++) {
        error = sec.list[i].as_file ? write_file(dirfd, &sec.list[i]) : 0;
    }
    if (error == 0 && fchmod(dirfd, 0500) != 0) {
        error = errno;
    }
    if (dirfd >= 0) {
        (void)close(dirfd);
    }
    return error;
}

static bool any_file(void)
{
    for (size_t i = 0; i < sec.n; i++) {
        if (sec.list[i].as_file) {
            return true;
        }
    }
    return false;
}

/* In the place of a variable of that name, else behind the others. */
static void put_variable(struct shim_spec *spec, char *entry, size_t head_len)
{
    size_t at = 0;
    while (at < spec->n_env && strncmp(spec->env[at], entry, head_len) != 0) {
        at++;
    }
    spec->env[at] = entry;
    if (at == spec->n_env) {
        spec->env[++spec->n_env] = NULL;
    }
}

static bool set_variable(struct shim_spec *spec, struct secret *s)
{
    size_t name_len = strlen(s->name);
    const char *value = s->as_file ? sec.dir : s->value;
    size_t value_len = s->as_file ? strlen(sec.dir) : s->len;
    s->entry_len = name_len + 1 + value_len + (s->as_file ? 1 + name_len : 0);
    s->entry = malloc(s->entry_len + 1);
    if (s->entry == NULL || spec->n_env >= SHIM_STRS_MAX) {
        return false;
    }
    char *at = s->entry;
    memcpy(at, s->name, name_len);
    at[name_len] = '=';
    memcpy(at + name_len + 1, value, value_len);
    at += name_len + 1 + value_len;
    if (s->as_file) {
        *at++ = '/';
        memcpy(at, s->name, name_len);
        at += name_len;
    }
    *at = '\0';
    put_variable(spec, s->entry, name_len + 1);
    return true;
}

static bool build_mask(void)
{
    struct sl_mask_value values[SL_MASK_VALUES_MAX];
    for (size_t i = 0; i < sec.n; i++) {
        values[i] = (struct sl_mask_value){sec.list[i].value, sec.list[i].len};
    }
    void *memory = malloc(sl_mask_size(values, sec.n));
    sec.mask = memory != NULL ? sl_mask_init(memory, values, sec.n) : NULL;
    return sec.mask != NULL;
}

bool shim_secret_prepare(struct shim_spec *spec, char reason[SHIM_REASON_MAX])
{
    struct rlimit core = {0};
    if (sec.n == 0) {
        return true;
    }
    /* This process holds them in the clear from here on. */
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        (void)setrlimit(RLIMIT_CORE, &core);
    }
    bool good = (sec.dir != NULL || !any_file()) && build_mask();
    for (size_t i = 0; good && i < sec.n; i++) {
        good = set_variable(spec, &sec.list[i]);
    }
    if (!good) {
        (void)snprintf(reason, SHIM_REASON_MAX, "cannot take up the step's secrets");
        return false;
    }
    int error = any_file() ? write_files() : 0;
    if (error != 0) {
        (void)snprintf(reason, SHIM_REASON_MAX, "cannot make the files of the step's secrets: %s",
                       strerror(error));
        shim_secret_remove();
        return false;
    }
    return true;
}

void shim_secret_forget(void)
{
    for (size_t i = 0; i < sec.n; i++) {
        explicit_bzero(sec.list[i].value, sec.list[i].len);
        if (sec.list[i].entry != NULL) {
            explicit_bzero(sec.list[i].entry, sec.list[i].entry_len);
        }
    }
}

/* ---- after the step ------------------------------------------------------------------------------- */

/* The step may have put anything there: nothing is followed; what is no file stays to the engine. */
void shim_secret_remove(void)
{
    if (!sec.made) {
        return;
    }
    sec.made = false;
    (void)chmod(sec.dir, 0700);
    DIR *d = opendir(sec.dir);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        (void)unlinkat(dirfd(d), e->d_name, 0); /* "." and ".." cannot be */
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    (void)rmdir(sec.dir);
}
