/** Files: publishing, capped reads, copies, opening beneath a directory. */
#include "core/base/base.h"

#include "core/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/fs_priv.h"
#include "core/base/mem.h"
#include "tests/support/sl_test.h"

/** A temporary directory and a descriptor of it. */
struct place {
    char *path;
    int fd;
};

static struct place place_new(void)
{
    struct place p = {.path = sl_test_tmpdir(), .fd = -1};
    p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK(p.fd >= 0);
    return p;
}

static void place_free(struct place *p)
{
    (void)close(p->fd);
    sl_test_rmdir(p->path);
}

static void put(const struct place *p, const char *name, const char *text)
{
    char *path = sl_test_path(p->path, name);
    sl_test_write_text(path, text);
    free(path);
}

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    SL_CHECK_NOT_NULL(dir);
    size_t n = 0;
    while (readdir(dir) != NULL) {
        n++;
    }
    (void)closedir(dir);
    return n - 2;
}

SL_TEST(core_base_fs, publish__new_and_over_old__has_content_mode_and_no_leftover)
{
    struct place p = place_new();
    struct sl_err err = SL_ERR_INIT;
    put(&p, "f", "old");
    mode_t before = umask(077);
    SL_CHECK_OK(sl_publish_file_at(p.fd, "f", "new text", 8, 0644, true, &err), err);
    SL_CHECK_OK(sl_publish_file_at(p.fd, "g", "", 0, 0444, false, &err), err);
    (void)umask(before);
    struct sl_buf b = SL_BUF_INIT(100);
    SL_CHECK_OK(sl_read_file_at(p.fd, "f", 100, &b, &err), err);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "new text");
    struct stat st;
    SL_CHECK_EQ_INT(fstatat(p.fd, "f", &st, 0), 0);
    SL_CHECK_EQ_INT(st.st_mode & 07777, 0644);
    SL_CHECK_EQ_INT(fstatat(p.fd, "g", &st, 0), 0);
    SL_CHECK_EQ_INT(st.st_mode & 07777, 0444);
    SL_CHECK_EQ_UINT(count_entries(p.path), 2);
    sl_buf_release(&b);
    place_free(&p);
}

SL_TEST(core_base_fs, publish__target_is_a_directory__fails_and_leaves_nothing)
{
    struct place p = place_new();
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_EQ_INT(mkdirat(p.fd, "d", 0755), 0);
    SL_CHECK_ERR(sl_publish_file_at(p.fd, "d", "x", 1, 0644, true, &err), SL_EIO, err,
                 "cannot publish 'd': cannot rename into place: Is a directory");
    SL_CHECK_ERR(sl_publish_file_at(p.fd, "no/f", "x", 1, 0644, true, &err), SL_ENOTFOUND, err,
                 "cannot publish 'no/f': cannot open directory 'no'");
    SL_CHECK_EQ_UINT(count_entries(p.path), 1);
    place_free(&p);
}

SL_TEST(core_base_fs, read_file__at_the_cap__is_read_and_one_past__is_refused)
{
    struct place p = place_new();
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf b = SL_BUF_INIT(100);
    put(&p, "f", "12345");
    SL_CHECK_OK(sl_read_file_at(p.fd, "f", 5, &b, &err), err);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "12345");
    SL_CHECK_ERR(sl_read_file_at(p.fd, "f", 4, &b, &err), SL_ELIMIT, err,
                 "file 'f': larger than 4 bytes");
    SL_CHECK_ERR(sl_read_file_at(p.fd, "none", 4, &b, &err), SL_ENOTFOUND, err, "'none'");
    SL_CHECK_ERR(sl_read_file_at(p.fd, ".", 4, &b, &err), SL_EIO, err, "Is a directory");
    sl_buf_release(&b);
    place_free(&p);
}

SL_TEST(core_base_fs, mkdirs__makes_all_levels_and_accepts_existing)
{
    struct place p = place_new();
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_mkdirs_at(p.fd, "a/b/c", 0755, &err), err);
    SL_CHECK_OK(sl_mkdirs_at(p.fd, "a/b/c", 0755, &err), err);
    SL_CHECK_OK(sl_mkdirs_at(p.fd, "a/b/d/", 0755, &err), err);
    char *absolute = sl_test_path(p.path, "x/y");
    SL_CHECK_OK(sl_mkdirs_at(AT_FDCWD, absolute, 0755, &err), err);
    SL_CHECK(sl_test_exists(absolute));
    free(absolute);
    put(&p, "file", "");
    SL_CHECK_EQ_INT(symlinkat("a", p.fd, "link"), 0);
    SL_CHECK_ERR(sl_mkdirs_at(p.fd, "file/x", 0755, &err), SL_EEXISTS, err,
                 "'file' exists and is not a directory");
    SL_CHECK_ERR(sl_mkdirs_at(p.fd, "link/x", 0755, &err), SL_EEXISTS, err, "'link'");
    SL_CHECK_ERR(sl_mkdirs_at(p.fd, "a/../z", 0755, &err), SL_EINVAL, err, "'..'");
    SL_CHECK_ERR(sl_mkdirs_at(p.fd, "a//z", 0755, &err), SL_EINVAL, err, "empty components");
    SL_CHECK_ERR(sl_mkdirs_at(p.fd, "/tmp", 0755, &err), SL_EINVAL, err, "");
    SL_CHECK_ERR(sl_mkdirs_at(p.fd, "", 0755, &err), SL_EINVAL, err, "");
    place_free(&p);
}

/** Things that must not be reached: an outer file, and links of all kinds to it. */
static void build_maze(const struct place *p)
{
    put(p, "secret", "s");
    put(p, "root/dir/file", "f");
    char *root = sl_test_path(p->path, "root");
    char *link = sl_test_path(root, "abs");
    char *target = sl_test_path(p->path, "secret");
    SL_CHECK_EQ_INT(symlink(target, link), 0);
    free(link);
    link = sl_test_path(root, "up");
    SL_CHECK_EQ_INT(symlink("..", link), 0);
    free(link);
    link = sl_test_path(root, "inner");
    SL_CHECK_EQ_INT(symlink("dir", link), 0);
    free(link);
    free(target);
    free(root);
}

static const char *const escapes[] = {
    "../secret", "abs", "up/secret", "inner/file", "inner", "dir/../../secret", "/etc/passwd", ""};

SL_TEST(core_base_fs, openat_beneath__escapes__are_refused)
{
    struct place p = place_new();
    struct sl_err err = SL_ERR_INIT;
    build_maze(&p);
    int root = openat(p.fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < SL_LEN(escapes); i++) {
        err = SL_ERR_INIT;
        int fd = sl_openat_beneath(root, escapes[i], O_RDONLY, 0, &err);
        SL_CHECK_MSG(fd == -SL_EINVAL, "'%s' gave %d: %s", escapes[i], fd, err.msg);
    }
    int fd = sl_openat_beneath(root, "dir/file", O_RDONLY, 0, &err);
    SL_CHECK_OK(fd, err);
    SL_CHECK_EQ_INT(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    (void)close(fd);
    fd = sl_openat_beneath(root, "dir/new", O_WRONLY | O_CREAT | O_EXCL, 0600, &err);
    SL_CHECK_OK(fd, err);
    (void)close(fd);
    SL_CHECK_ERR(sl_openat_beneath(root, "dir/none", O_RDONLY, 0, &err), SL_ENOTFOUND, err,
                 "cannot open 'dir/none'");
    (void)close(root);
    place_free(&p);
}

SL_TEST(core_base_fs, openat_walk__without_openat2__refuses_the_same_links)
{
    struct place p = place_new();
    build_maze(&p);
    int root = openat(p.fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK(sl_openat_walk(root, "abs", O_RDONLY, 0) < 0);
    SL_CHECK(sl_openat_walk(root, "up/secret", O_RDONLY, 0) < 0);
    SL_CHECK(sl_openat_walk(root, "inner/file", O_RDONLY, 0) < 0);
    SL_CHECK(sl_openat_walk(root, "inner", O_RDONLY, 0) < 0);
    SL_CHECK(sl_openat_walk(root, "dir/file/", O_RDONLY, 0) < 0);
    int fd = sl_openat_walk(root, "./dir//file", O_RDONLY, 0);
    SL_CHECK(fd >= 0);
    (void)close(fd);
    char name[300];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    SL_CHECK_EQ_INT(sl_openat_walk(root, name, O_RDONLY, 0), -ENAMETOOLONG);
    (void)close(root);
    place_free(&p);
}

static char *random_text(size_t len)
{
    char *text = sl_malloc(len);
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        text[i] = (char)(x >> 24);
    }
    return text;
}

static void check_copy(const struct place *p, size_t len, bool hashed)
{
    struct sl_err err = SL_ERR_INIT;
    char *text = random_text(len + 1);
    char *from_path = sl_test_path(p->path, "from"), *to_path = sl_test_path(p->path, "to");
    sl_test_write(from_path, text, len);
    int from = open(from_path, O_RDONLY | O_CLOEXEC);
    int to = open(to_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct sl_digest digest = {{0}}, expected;
    uint64_t bytes = 1;
    SL_CHECK_OK(sl_copy_fd(from, to, hashed ? &digest : NULL, &bytes, &err), err);
    SL_CHECK_EQ_UINT(bytes, len);
    (void)close(from);
    (void)close(to);
    size_t got = 0;
    char *back = sl_test_read(to_path, &got);
    SL_CHECK_EQ_UINT(got, len);
    SL_CHECK_EQ_MEM(back, text, len);
    if (hashed) {
        sl_sha256(text, len, &expected);
        SL_CHECK(sl_digest_eq(&digest, &expected));
    }
    free(back);
    free(from_path);
    free(to_path);
    free(text);
}

SL_TEST(core_base_fs, copy__sizes_around_the_buffer__are_whole)
{
    static const size_t sizes[] = {0, 1, (1u << 20) - 1, 1u << 20, (1u << 20) + 1, 3u << 20};
    struct place p = place_new();
    for (size_t i = 0; i < SL_LEN(sizes); i++) {
        check_copy(&p, sizes[i], true);
        check_copy(&p, sizes[i], false);
    }
    place_free(&p);
}

SL_TEST(core_base_fs, copy__file_without_a_size__is_read)
{
    struct sl_err err = SL_ERR_INIT;
    struct place p = place_new();
    int from = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    int to = openat(p.fd, "to", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    uint64_t bytes = 0;
    SL_CHECK_OK(sl_copy_fd(from, to, NULL, &bytes, &err), err);
    SL_CHECK(bytes > 100);
    (void)close(from);
    (void)close(to);
    place_free(&p);
}
