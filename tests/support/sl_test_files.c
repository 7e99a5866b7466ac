/**
 * Files for tests: temporary directories, whole-file reads and writes, golden comparison.
 *
 * Thread: any. Must not: use core/base/fs.h, which is itself under test.
 */
#include "core/base/base.h"

#include "tests/support/sl_test.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char *join(const char *dir, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", dir, name) < 0) {
        abort();
    }
    return path;
}

char *sl_test_path(const char *dir, const char *name)
{
    return join(dir, name);
}

char *sl_test_source_path(const char *relative)
{
    return join(SL_SOURCE_DIR, relative);
}

char *sl_test_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = join(base != NULL && base[0] != '\0' ? base : "/tmp", "sl-test-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        SL_FAIL("cannot make a temporary directory %s: %s", dir, strerror(errno));
    }
    return dir;
}

static int make_writable(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    if ((type == FTW_D || type == FTW_DNR) && (st->st_mode & 0700) != 0700) {
        (void)chmod(path, 0700);
    }
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void sl_test_rmdir(char *dir)
{
    if (dir == NULL) {
        return;
    }
    (void)nftw(dir, make_writable, 32, FTW_PHYS);
    if (nftw(dir, remove_one, 32, FTW_PHYS | FTW_DEPTH) != 0) {
        SL_FAIL("cannot remove %s: %s", dir, strerror(errno));
    }
    free(dir);
}

static void make_parents(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL) {
        abort();
    }
    for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(copy, 0755);
        *slash = '/';
    }
    free(copy);
}

void sl_test_write(const char *path, const void *data, size_t len)
{
    make_parents(path);
    FILE *f = fopen(path, "wbe");
    if (f == NULL) {
        SL_FAIL("cannot write %s: %s", path, strerror(errno));
    }
    size_t written = len > 0 ? fwrite(data, 1, len, f) : 0;
    if (fclose(f) != 0 || written != len) {
        SL_FAIL("cannot write %s: %s", path, strerror(errno));
    }
}

void sl_test_write_text(const char *path, const char *text)
{
    sl_test_write(path, text, strlen(text));
}

static char *read_or_null(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        return NULL;
    }
    size_t len = 0, cap = 4096;
    char *text = malloc(cap + 1);
    for (;;) {
        if (text == NULL) {
            abort();
        }
        size_t n = fread(text + len, 1, cap - len, f);
        len += n;
        if (n == 0) {
            break;
        }
        if (len == cap) {
            cap *= 2;
            text = realloc(text, cap + 1);
        }
    }
    (void)fclose(f);
    text[len] = '\0';
    if (ret_len != NULL) {
        *ret_len = len;
    }
    return text;
}

char *sl_test_read(const char *path, size_t *ret_len)
{
    char *text = read_or_null(path, ret_len);
    if (text == NULL) {
        SL_FAIL("cannot read %s: %s", path, strerror(errno));
    }
    return text;
}

bool sl_test_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

void sl_test_golden(const char *file, int line, const char *relative, const char *text)
{
    char *path = join(SL_SOURCE_DIR, relative);
    const char *update = getenv("UPDATE_GOLDEN");
    if (update != NULL && strcmp(update, "1") == 0) {
        sl_test_write_text(path, text);
    }
    char *golden = read_or_null(path, NULL);
    if (golden == NULL) {
        sl_test_fail(file, line, "golden file %s is missing; UPDATE_GOLDEN=1 writes it", relative);
    }
    if (strcmp(golden, text) != 0) {
        size_t at = 0;
        int at_line = 1;
        while (golden[at] != '\0' && golden[at] == text[at]) {
            at_line += golden[at] == '\n';
            at++;
        }
        sl_test_fail(file, line,
                     "differs from %s at line %d (UPDATE_GOLDEN=1 rewrites it)\n--- golden\n%s\n"
                     "--- actual\n%s",
                     relative, at_line, golden, text);
    }
    free(golden);
    free(path);
}
