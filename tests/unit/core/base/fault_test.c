/** Fault points: parsing of SLUICE_FAULT, and what a strike does to the file functions. */
#include "core/base/base.h"

#include "core/base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "tests/support/sl_test.h"

static int arm(const char *text, struct sl_err *err)
{
    SL_CHECK_EQ_INT(setenv("SLUICE_FAULT", text, 1), 0);
    return sl_fault_init(err);
}

static void disarm(void)
{
    SL_CHECK_EQ_INT(unsetenv("SLUICE_FAULT"), 0);
    SL_CHECK_EQ_INT(sl_fault_init(NULL), 0);
    SL_CHECK(!sl_fault_armed);
}

SL_TEST(core_base_fault, table__names_are_sorted_and_described)
{
    for (int i = 0; i < SL_FAULT_COUNT; i++) {
        SL_CHECK(sl_fault_text((enum sl_fault_point)i)[0] != '\0');
        if (i > 0) {
            SL_CHECK_MSG(strcmp(sl_fault_name((enum sl_fault_point)(i - 1)),
                                sl_fault_name((enum sl_fault_point)i)) < 0,
                         "%s", sl_fault_name((enum sl_fault_point)i));
        }
    }
}

SL_TEST(core_base_fault, init__malformed__is_refused_with_a_suggestion)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"fs.publis:1:kill", "unknown fault point 'fs.publis'; did you mean 'fs.publish'?"},
        {"fs.publish:1:explode", "unknown effect 'explode'"},
        {"fs.publish:0:kill", "'0' is not a hit number from 1 on"},
        {"fs.publish:x:kill", "'x' is not a hit number"},
        {"fs.publish:1", "is not point:nth:what"},
        {"fs.publish:1:kill,junk", "'junk' is not point:nth:what"},
    };
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        struct sl_err err = SL_ERR_INIT;
        SL_CHECK_ERR(arm(bad[i].text, &err), SL_EINVAL, err, bad[i].message);
        SL_CHECK(!sl_fault_armed);
    }
    disarm();
}

SL_TEST(core_base_fault, init__sixteen_rules__are_taken_and_one_more__is_refused)
{
    struct sl_err err = SL_ERR_INIT;
    char text[17 * 16 + 1] = "";
    for (int i = 0; i < 16; i++) {
        memcpy(text + i * 16, "fs.fsync:99:eio,", 17);
    }
    SL_CHECK_OK(arm(text, &err), err);
    memcpy(text + 16 * 16, "fs.fsync:99:eio", 16);
    SL_CHECK_ERR(arm(text, &err), SL_EINVAL, err, "at most 16");
    disarm();
}

SL_TEST(core_base_fault, hit__only_the_nth__or_from_the_nth_on)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(arm("fs.fsync:2:eio,fs.write:2+:enospc", &err), err);
    SL_CHECK_EQ_INT(SL_FAULT_POINT(FS_FSYNC), 0);
    SL_CHECK_EQ_INT(SL_FAULT_POINT(FS_FSYNC), EIO);
    SL_CHECK_EQ_INT(SL_FAULT_POINT(FS_FSYNC), 0);
    SL_CHECK_EQ_INT(SL_FAULT_POINT(FS_WRITE), 0);
    SL_CHECK_EQ_INT(SL_FAULT_POINT(FS_WRITE), ENOSPC);
    SL_CHECK_EQ_INT(SL_FAULT_POINT(FS_WRITE), ENOSPC);
    disarm();
    SL_CHECK_EQ_INT(SL_FAULT_POINT(FS_WRITE), 0);
}

SL_TEST(core_base_fault, publish__failing_at_each_point__leaves_the_old_file_and_nothing_else)
{
    static const struct {
        const char *fault;
        int code;
    } cases[] = {{"fs.write:1:enospc", SL_ENOSPACE},
                 {"fs.fsync:1:eio", SL_EIO},
                 {"fs.publish:1:enospc", SL_ENOSPACE}};
    char *dir = sl_test_tmpdir();
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *path = sl_test_path(dir, "f");
    sl_test_write_text(path, "old");
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_err err = SL_ERR_INIT;
        SL_CHECK_OK(arm(cases[i].fault, &err), err);
        SL_CHECK_ERR(sl_publish_file_at(fd, "f", "new", 3, 0644, true, &err), cases[i].code, err,
                     "cannot publish 'f'");
        char *text = sl_test_read(path, NULL);
        SL_CHECK_EQ_STR(text, "old");
        free(text);
    }
    disarm();
    SL_CHECK_EQ_INT(unlink(path), 0);
    SL_CHECK_EQ_INT(rmdir(dir), 0); /* empty: no temporary file stayed */
    free(path);
    free(dir);
    (void)close(fd);
}

/** Runs a publish in a child that is killed at the fault; returns the file's content then. */
static char *content_after_kill(const char *dir, const char *fault)
{
    char *path = sl_test_path(dir, "f");
    sl_test_write_text(path, "old");
    pid_t pid = fork();
    if (pid == 0) {
        struct sl_err err = SL_ERR_INIT;
        (void)setenv("SLUICE_FAULT", fault, 1);
        (void)sl_fault_init(&err);
        int rc = sl_publish_file_at(AT_FDCWD, path, "new", 3, 0644, true, &err);
        _exit(rc == 0 ? 0 : 1);
    }
    int status = 0;
    SL_CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
    SL_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    char *text = sl_test_read(path, NULL);
    free(path);
    return text;
}

SL_TEST(core_base_fault, publish__killed_around_the_rename__has_the_old_or_the_new_file)
{
    char *dir = sl_test_tmpdir();
    char *text = content_after_kill(dir, "fs.write:1:kill");
    SL_CHECK_EQ_STR(text, "old");
    free(text);
    text = content_after_kill(dir, "fs.publish:1:kill");
    SL_CHECK_EQ_STR(text, "old");
    free(text);
    text = content_after_kill(dir, "fs.published:1:kill");
    SL_CHECK_EQ_STR(text, "new");
    free(text);
    sl_test_rmdir(dir);
}
