/** Walking and removing trees, hostile ones included. */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tests/support/sl_test.h"

static void put(const char *dir, const char *name, const char *text)
{
    char *path = sl_test_path(dir, name);
    sl_test_write_text(path, text);
    free(path);
}

/** Makes `depth` directories "d" in each other below `fd`. */
static void nest(int fd, int depth)
{
    int at = dup(fd);
    for (int i = 0; i < depth; i++) {
        SL_CHECK_EQ_INT(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        SL_CHECK(next >= 0);
        (void)close(at);
        at = next;
    }
    int f = openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    SL_CHECK(f >= 0);
    (void)close(f);
    (void)close(at);
}

/** Appends "path\n", skips directories named "skip", stops at "stop". */
static int note(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    struct sl_buf *b = data;
    struct stat st;
    SL_CHECK_EQ_INT(fstatat(entry->dirfd, entry->name, &st, AT_SYMLINK_NOFOLLOW), 0);
    SL_CHECK_EQ_UINT(st.st_ino, entry->st->st_ino);
    sl_buf_printf(b, "%s%s\n", entry->path, S_ISLNK(st.st_mode) ? "@" : "");
    if (sl_streq(entry->name, "stop")) {
        return sl_err_set(err, SL_EREFUSED, "stopped");
    }
    return sl_streq(entry->name, "skip") ? 1 : 0;
}

SL_TEST(core_base_fs_tree, walk__sorted_by_bytes_parents_first_links_not_followed)
{
    struct sl_err err = SL_ERR_INIT;
    char *dir = sl_test_tmpdir();
    put(dir, "b/z", "");
    put(dir, "b/a", "");
    put(dir, "a.c", "");
    put(dir, "a/x", "");
    put(dir, "Z", "");
    put(dir, "skip/hidden", "");
    char *link = sl_test_path(dir, "link");
    SL_CHECK_EQ_INT(symlink("b", link), 0);
    free(link);
    struct sl_buf b = SL_BUF_INIT(1000);
    SL_CHECK_OK(sl_walk_at(AT_FDCWD, dir, note, &b, &err), err);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "Z\na\na/x\na.c\nb\nb/a\nb/z\nlink@\nskip\n");
    sl_buf_clear(&b);
    put(dir, "b/stop", "");
    SL_CHECK_ERR(sl_walk_at(AT_FDCWD, dir, note, &b, &err), SL_EREFUSED, err, "stopped");
    SL_CHECK(!sl_ends_with(sl_buf_str(&b), "skip\n"));
    sl_buf_release(&b);
    sl_test_rmdir(dir);
}

static int count(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    (void)entry;
    (void)err;
    ++*(int *)data;
    return 0;
}

SL_TEST(core_base_fs_tree, walk__depth_at_the_limit__is_walked_and_one_past__is_refused)
{
    struct sl_err err = SL_ERR_INIT;
    char *dir = sl_test_tmpdir();
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
    nest(fd, SL_WALK_DEPTH_MAX - 1); /* its file is on level SL_WALK_DEPTH_MAX */
    SL_CHECK_OK(sl_walk_at(fd, ".", count, &n, &err), err);
    SL_CHECK_EQ_INT(n, SL_WALK_DEPTH_MAX);
    SL_CHECK_OK(sl_remove_tree_at(fd, "d", &err), err);
    nest(fd, SL_WALK_DEPTH_MAX);
    SL_CHECK_ERR(sl_walk_at(fd, ".", count, &n, &err), SL_ELIMIT, err,
                 "directories nested deeper than 128");
    SL_CHECK_OK(sl_remove_tree_at(fd, "d", &err), err);
    (void)close(fd);
    sl_test_rmdir(dir);
}

SL_TEST(core_base_fs_tree, remove__missing_file_link_and_tree__all_go)
{
    struct sl_err err = SL_ERR_INIT;
    char *dir = sl_test_tmpdir();
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK_OK(sl_remove_tree_at(fd, "none", &err), err);
    SL_CHECK_OK(sl_remove_tree_at(fd, "none/deeper", &err), err);
    put(dir, "keep/file", "");
    put(dir, "tree/a/b/file", "");
    char *link = sl_test_path(dir, "tree/link");
    SL_CHECK_EQ_INT(symlink("../keep", link), 0);
    free(link);
    SL_CHECK_EQ_INT(symlinkat("keep", fd, "toplink"), 0);
    SL_CHECK_OK(sl_remove_tree_at(fd, "toplink", &err), err);
    SL_CHECK_OK(sl_remove_tree_at(fd, "tree/", &err), err);
    char *kept = sl_test_path(dir, "keep/file"), *tree = sl_test_path(dir, "tree");
    SL_CHECK(sl_test_exists(kept)); /* no link was followed */
    SL_CHECK(!sl_test_exists(tree));
    free(kept);
    free(tree);
    SL_CHECK_ERR(sl_remove_tree_at(fd, "..", &err), SL_EINVAL, err, "'..'");
    SL_CHECK_ERR(sl_remove_tree_at(fd, "keep/.", &err), SL_EINVAL, err, "");
    SL_CHECK_ERR(sl_remove_tree_at(fd, "/", &err), SL_EINVAL, err, "");
    (void)close(fd);
    sl_test_rmdir(dir);
}

SL_TEST(core_base_fs_tree, remove__read_only_directories_and_great_depth__all_go)
{
    struct sl_err err = SL_ERR_INIT;
    char *dir = sl_test_tmpdir();
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put(dir, "ro/sub/file", "");
    char *path = sl_test_path(dir, "ro/sub");
    SL_CHECK_EQ_INT(chmod(path, 0000), 0);
    free(path);
    path = sl_test_path(dir, "ro");
    SL_CHECK_EQ_INT(chmod(path, 0500), 0);
    SL_CHECK_OK(sl_remove_tree_at(fd, "ro", &err), err);
    SL_CHECK(!sl_test_exists(path));
    free(path);
    nest(fd, 3000);
    SL_CHECK_OK(sl_remove_tree_at(fd, "d", &err), err);
    path = sl_test_path(dir, "d");
    SL_CHECK(!sl_test_exists(path));
    free(path);
    (void)close(fd);
    sl_test_rmdir(dir);
}
