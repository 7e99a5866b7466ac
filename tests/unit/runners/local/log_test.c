/* The log: what the shim writes, what the reader reads. */
#include "core/base/base.h"

#include "runners/local/logread.h"

#include "tests/support/runner_rig.h"

static const struct sl_attempt_limits NO_LIMITS = {.grace_ms = 200};

static struct sl_logread *open_log(const struct rig_attempt *a, uint64_t offset)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_logread *log = NULL;
    int fd = open(a->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK_OK(sl_logread_open(fd, offset, &log, &err), err);
    (void)close(fd);
    return log;
}

static bool next(struct sl_logread *log, struct sl_log_line *line)
{
    struct sl_err err = SL_ERR_INIT;
    int rc = sl_logread_next(log, line, &err);
    SL_CHECK_OK(rc, err);
    return rc == 1;
}

static void check_line(struct sl_logread *log, char stream, bool partial, const char *text,
                       size_t len)
{
    struct sl_log_line line;
    SL_CHECK(next(log, &line));
    SL_CHECK_EQ_INT(line.stream, stream);
    SL_CHECK_EQ_INT(line.partial, partial);
    SL_CHECK(!line.damaged);
    SL_CHECK_EQ_UINT(line.len, len);
    SL_CHECK_EQ_MEM(line.text, text, len);
}

SL_TEST(runners_local_log, lines__100000__all_arrive_in_order)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_sh(&r, &a, "seq 1 100000; seq 1 1000 >&2", NO_LIMITS);
    SL_CHECK_EQ_INT(a.result.exit_code, 0);
    struct sl_logread *log = open_log(&a, 0);
    struct sl_log_line line;
    int out = 0;
    int err_lines = 0;
    int64_t last_us = a.result.started_ms * 1000;
    while (next(log, &line)) {
        char text[16] = "";
        SL_CHECK(line.len < sizeof(text) && !line.partial && !line.damaged);
        memcpy(text, line.text, line.len);
        int *n = line.stream == SL_LOG_STDOUT ? &out : &err_lines;
        SL_CHECK_EQ_INT(strtol(text, NULL, 10), ++*n);
        SL_CHECK(line.ts_us >= last_us);
        last_us = line.ts_us;
    }
    SL_CHECK_EQ_INT(out, 100000);
    SL_CHECK_EQ_INT(err_lines, 1000);
    sl_logread_close(log);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_log, content__binary_partial_and_long__is_kept)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_sh(&r, &a,
           "printf 'a\\000b\\377\\r\\n\\n'; head -c 65536 /dev/zero | tr '\\0' x; echo; "
           "head -c 65537 /dev/zero | tr '\\0' y; printf '\\nend'",
           NO_LIMITS);
    char *xs = sl_malloc(65536);
    struct sl_logread *log = open_log(&a, 0);
    struct sl_log_line line;
    check_line(log, 'o', false, "a\0b\377\r", 5);
    check_line(log, 'o', false, "", 0);
    memset(xs, 'x', 65536);
    check_line(log, 'o', false, xs, 65536); /* at the limit: one line */
    memset(xs, 'y', 65536);
    check_line(log, 'o', true, xs, 65536); /* one past: a piece and its rest */
    check_line(log, 'o', false, "y", 1);
    check_line(log, 'o', true, "end", 3);
    SL_CHECK(!next(log, &line));
    sl_logread_close(log);
    free(xs);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_log, unfinished_line__is_shown_while_the_step_waits)
{
    struct rig r = {0};
    struct rig_attempt a;
    const char *const argv[] = {"sh", "-c", "printf 'password: '; cat fifo", NULL};
    rig_open(&r);
    rig_prepare(&r, &a);
    char *fifo = rig_fifo(&a);
    rig_start(&r, &a, argv, &NO_LIMITS);
    rig_go(&r, &a);
    int hold = open(fifo, O_WRONLY | O_CLOEXEC); /* cat is there: the prompt is out */
    struct sl_logread *log = open_log(&a, 0);
    struct sl_log_line line;
    while (!next(log, &line)) {
        (void)sched_yield();
    }
    SL_CHECK(line.partial);
    SL_CHECK_EQ_MEM(line.text, "password: ", line.len);
    SL_CHECK_EQ_INT(write(hold, "rest\n", 5), 5);
    (void)close(hold);
    rig_wait(&r, &a);
    check_line(log, 'o', false, "rest", 4);
    sl_logread_close(log);
    free(fifo);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_log, limit__beyond__is_dropped_and_counted)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_sh(&r, &a, "echo 12345; echo 67890; echo abcdef; echo more",
           (struct sl_attempt_limits){.log_bytes_max = 10});
    struct sl_logread *log = open_log(&a, 0);
    struct sl_log_line line;
    check_line(log, 'o', false, "12345", 5);
    check_line(log, 'o', false, "67890", 5);
    const char *note = "the limit of the log is reached: further output is dropped";
    check_line(log, 's', false, note, strlen(note));
    SL_CHECK(!next(log, &line));
    SL_CHECK_EQ_UINT(a.result.log_dropped_bytes, 10);
    sl_logread_close(log);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_log, disk_full__step_and_record_survive)
{
    /* A file system of two pages: the log fills it, the record's place was reserved before. */
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_prepare(&r, &a);
    char *work = sl_test_path(a.dir, "work");
    SL_CHECK_EQ_INT(rmdir(work), 0);
    char command[512];
    (void)snprintf(command, sizeof(command), "mount -t tmpfs -o size=16k tmpfs '%s' 2>/dev/null",
                   a.dir);
    const char *const mount_argv[] = {"sh", "-c", command, NULL};
    struct rig_attempt m;
    rig_prepare(&r, &m);
    rig_start(&r, &m, mount_argv, &NO_LIMITS);
    rig_go(&r, &m);
    rig_wait(&r, &m);
    if (m.result.exit_code != 0) {
        sl_test_note("skipped: no file system can be mounted here");
    } else {
        SL_CHECK_EQ_INT(mkdir(work, 0755), 0);
        const char *const argv[] = {"sh", "-c", "seq 1 100000; exit 3", NULL};
        rig_start(&r, &a, argv, &NO_LIMITS);
        rig_go(&r, &a);
        rig_wait(&r, &a);
        SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "exit");
        SL_CHECK_EQ_INT(a.result.exit_code, 3);
        SL_CHECK(a.result.log_dropped_bytes > 100000);
        (void)snprintf(command, sizeof(command), "umount '%s'", a.dir);
        struct rig_attempt u;
        rig_sh(&r, &u, command, NO_LIMITS);
        SL_CHECK_EQ_INT(u.result.exit_code, 0);
        rig_free(&u);
    }
    free(work);
    rig_free(&m);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_log, reader__while_written__sees_whole_lines_only_and_resumes)
{
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "log");
    struct rig_attempt a = {.dir = dir};
    sl_test_write_text(path, "2026-11-20T10:00:00.123456Z o F one\n2026-11-20T10:00:00.");
    struct sl_logread *log = open_log(&a, 0);
    struct sl_log_line line;
    SL_CHECK(next(log, &line));
    SL_CHECK_EQ_INT(line.ts_us, 1795168800123456LL); /* date -ud 2026-11-20T10:00:00 +%s */
    uint64_t offset = line.next_offset;
    SL_CHECK_EQ_UINT(offset, 36);
    SL_CHECK(!next(log, &line));
    SL_CHECK(!next(log, &line));
    sl_test_write_text(path, "2026-11-20T10:00:00.123456Z o F one\n"
                             "2026-11-20T10:00:00.999999Z e P two\nnonsense\n");
    check_line(log, 'e', true, "two", 3);
    SL_CHECK(next(log, &line));
    SL_CHECK(line.damaged);
    SL_CHECK_EQ_MEM(line.text, "nonsense", line.len);
    SL_CHECK(!next(log, &line));
    sl_logread_close(log);
    log = open_log(&a, offset);
    check_line(log, 'e', true, "two", 3);
    sl_logread_close(log);
    free(path);
    sl_test_rmdir(dir);
}

SL_TEST(runners_local_log, line_parse__not_ours__is_refused)
{
    static const char *const bad[] = {
        "",
        "2026-11-20T10:00:00.123456Z o F", /* one short */
        "2026-11-20T10:00:00.123456Z x F text",
        "2026-11-20T10:00:00.123456Z o X text",
        "2026-11-20T10:00:00,123456Z o F text",
        "2026-13-20T10:00:00.123456Z o F text",
        "2026-11-20T10:00:00.12345xZ o F text",
        "2026-11-20T10:00:00.123456Z o-F text",
    };
    struct sl_log_line line;
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        SL_CHECK_MSG(!sl_log_line_parse(bad[i], strlen(bad[i]), &line), "%s", bad[i]);
    }
    SL_CHECK(sl_log_line_parse("2026-11-20T10:00:00.123456Z o F ", 32, &line));
    SL_CHECK_EQ_UINT(line.len, 0);
}
