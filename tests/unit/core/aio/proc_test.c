/* Processes: what a child gets and does not get, how it ends, and whose number it is. */
#include "core/base/base.h"

#include "core/aio/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/aio/loop.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tests/support/sl_test.h"

#define PATH "/usr/local/bin:/usr/bin:/bin"

/* Runs the spec with its output in a pipe; returns the output (caller frees). */
static char *run(struct sl_proc_spec *spec, struct sl_proc_exit *ret_exit)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_proc proc = SL_PROC_INIT;
    struct sl_buf out = SL_BUF_INIT(1 << 20);
    int ends[2];
    SL_CHECK_EQ_INT(pipe2(ends, O_CLOEXEC), 0);
    spec->stdout_fd = ends[1];
    SL_CHECK_OK(sl_proc_spawn(spec, &proc, &err), err);
    close(ends[1]);
    SL_CHECK_OK(sl_read_fd(ends[0], 1 << 20, &out, &err), err);
    close(ends[0]);
    SL_CHECK_OK(sl_proc_wait(&proc, -1, ret_exit, &err), err);
    SL_CHECK(proc.start_ticks > 0);
    sl_proc_release(&proc);
    sl_proc_release(&proc);
    char *text = sl_strdup(sl_buf_str(&out));
    sl_buf_release(&out);
    return text;
}

static char *run_shell(const char *script, struct sl_proc_exit *ret_exit)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    const char *env[] = {"PATH=" PATH, "GREETING=hello", NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    spec.env = env;
    spec.search_path = PATH;
    return run(&spec, ret_exit);
}

SL_TEST(core_aio_proc, spawn__environment_given__child_sees_exactly_it)
{
    struct sl_proc_exit exit = {0};
    const char *argv[] = {"env", NULL};
    const char *env[] = {"A=1", "B=two words", NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    spec.env = env;
    spec.search_path = "relative/skipped::" PATH;
    char *out = run(&spec, &exit);
    SL_CHECK_EQ_STR(out, "A=1\nB=two words\n");
    SL_CHECK_EQ_INT(exit.code, 0);
    SL_CHECK_EQ_INT(exit.signum, 0);
    free(out);
}

SL_TEST(core_aio_proc, wait__exit_codes_and_signals__told_apart)
{
    struct sl_proc_exit exit = {0};
    free(run_shell("exit 7", &exit));
    SL_CHECK_EQ_INT(exit.code, 7);
    free(run_shell("exit 255", &exit));
    SL_CHECK_EQ_INT(exit.code, 255);
    free(run_shell("kill -TERM $$", &exit));
    SL_CHECK_EQ_INT(exit.code, -1);
    SL_CHECK_EQ_INT(exit.signum, SIGTERM);
}

SL_TEST(core_aio_proc, spawn__descriptors__only_those_named_arrive)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_proc_exit exit = {0};
    int leaked = open("/dev/zero", O_RDONLY); /* not CLOEXEC on purpose */
    int high = fcntl(leaked, F_DUPFD, 40);
    int ends[2];
    SL_CHECK_EQ_INT(pipe2(ends, O_CLOEXEC), 0);
    SL_CHECK_EQ_INT(write(ends[1], "through", 7), 7);
    close(ends[1]);
    SL_CHECK(leaked >= 0 && high >= 40);
    const char *argv[] = {"sh", "-c", "cat <&7; for f in /proc/self/fd/*; do echo ${f##*/}; done",
                          NULL};
    const char *env[] = {"PATH=" PATH, NULL};
    struct sl_proc_fd fds[] = {{.from = ends[0], .to = 7}};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    spec.env = env;
    spec.search_path = PATH;
    spec.fds = fds;
    spec.n_fds = 1;
    char *out = run(&spec, &exit);
    /* The shell's glob opens the directory itself, as the lowest free number. */
    SL_CHECK_EQ_STR(out, "through0\n1\n2\n3\n7\n");
    free(out);
    SL_CHECK_EQ_INT(fcntl(ends[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(ends[0]);
    close(high);
    close(leaked);

    struct sl_proc proc = SL_PROC_INIT;
    spec.stdout_fd = -1;
    fds[0] = (struct sl_proc_fd){.from = 0, .to = 2};
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_EINVAL, err, "cannot give descriptor 0");
    fds[0] = (struct sl_proc_fd){.from = 900, .to = 5};
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_EINVAL, err, "descriptor 900 is not open");
    fds[0] = (struct sl_proc_fd){.from = 0, .to = SL_PROC_FD_TO_MAX + 1};
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_EINVAL, err, "as 256");
}

SL_TEST(core_aio_proc, spawn__swapped_descriptors__no_dup_overwrites_a_source)
{
    struct sl_proc_exit exit = {0};
    int a[2], b[2];
    SL_CHECK_EQ_INT(pipe2(a, O_CLOEXEC) + pipe2(b, O_CLOEXEC), 0);
    SL_CHECK_EQ_INT(write(a[1], "A", 1) + write(b[1], "B", 1), 2);
    close(a[1]);
    close(b[1]);
    SL_CHECK(a[0] <= SL_PROC_FD_TO_MAX && b[0] <= SL_PROC_FD_TO_MAX);
    struct sl_proc_fd fds[] = {{.from = a[0], .to = b[0]}, {.from = b[0], .to = a[0]}};
    char *script = sl_asprintf("cat /proc/self/fd/%d; cat /proc/self/fd/%d", b[0], a[0]);
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    const char *env[] = {"PATH=" PATH, NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    spec.env = env;
    spec.fds = fds;
    spec.n_fds = 2;
    char *out = run(&spec, &exit);
    SL_CHECK_EQ_STR(out, "AB");
    free(out);
    free(script);
    close(a[0]);
    close(b[0]);
}

SL_TEST(core_aio_proc, spawn__signals_ignored_and_blocked_here__default_there)
{
    struct sl_proc_exit exit = {0};
    sigset_t all, old;
    sigfillset(&all);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    sigprocmask(SIG_SETMASK, &all, &old);
    char *out = run_shell("grep -E '^Sig(Blk|Ign)' /proc/self/status | "
                          "sed s/0000000180000000/0000000000000000/",
                          &exit);
    sigprocmask(SIG_SETMASK, &old, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
    /* 32 and 33 belong to the C library, which ignores them in the child. */
    SL_CHECK_EQ_STR(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    free(out);
}

SL_TEST(core_aio_proc, spawn__groups_and_cwd__as_asked)
{
    struct sl_proc_exit exit = {0};
    /* Fields 5 and 6 of stat: process group and session. */
    const char *argv[] = {"sh", "-c",
                          "pwd; read -r l < /proc/$$/stat; set -- ${l##*) }; "
                          "test $3 = $$ && echo group; test $4 = $$ && echo session; "
                          "true",
                          NULL};
    const char *env[] = {"PATH=" PATH, NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    spec.env = env;
    spec.search_path = PATH;
    spec.cwd = "/usr";
    char *out = run(&spec, &exit);
    SL_CHECK_EQ_STR(out, "/usr\n");
    free(out);
    spec.group = SL_PROC_NEW_GROUP;
    out = run(&spec, &exit);
    SL_CHECK_EQ_STR(out, "/usr\ngroup\n");
    free(out);
    spec.group = SL_PROC_NEW_SESSION;
    out = run(&spec, &exit);
    SL_CHECK_EQ_STR(out, "/usr\ngroup\nsession\n");
    free(out);
}

SL_TEST(core_aio_proc, spawn__what_cannot_start__names_the_reason)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_proc proc = SL_PROC_INIT;
    const char *argv[] = {"no-such-program", NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    spec.search_path = PATH;
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_ENOTFOUND, err,
                 "program 'no-such-program' is not in PATH (" PATH ")");
    spec.search_path = NULL;
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_ENOTFOUND, err, "is not in PATH (empty)");
    argv[0] = "/no/such/file";
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_ENOTFOUND, err,
                 "program '/no/such/file' does not exist");
    argv[0] = "/bin/sh";
    spec.cwd = "/no/such/dir";
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_ENOTFOUND, err,
                 "working directory '/no/such/dir' does not exist");
    spec.cwd = NULL;
    argv[0] = "/etc";
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_EINVAL, err, "'/etc' cannot be executed");
    argv[0] = "";
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_EINVAL, err, "no program is named");
    char *dir = sl_test_tmpdir();
    char *script = sl_test_path(dir, "script");
    sl_test_write_text(script, "#!/no/such/interpreter\n");
    SL_CHECK_EQ_INT(chmod(script, 0755), 0);
    argv[0] = script;
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_EINVAL, err,
                 "names an interpreter that does not exist");
    free(script);
    sl_test_rmdir(dir);
    struct sl_proc_fd fds[SL_PROC_FDS_MAX + 1];
    for (int i = 0; i <= SL_PROC_FDS_MAX; i++) {
        fds[i] = (struct sl_proc_fd){.from = 0, .to = 3 + i};
    }
    argv[0] = "/bin/true";
    spec.fds = fds;
    spec.n_fds = SL_PROC_FDS_MAX + 1;
    SL_CHECK_ERR(sl_proc_spawn(&spec, &proc, &err), SL_ELIMIT, err, "at most 16 extra");
    spec.n_fds = SL_PROC_FDS_MAX;
    SL_CHECK_OK(sl_proc_spawn(&spec, &proc, &err), err);
    struct sl_proc_exit exit = {0};
    SL_CHECK_OK(sl_proc_wait(&proc, -1, &exit, &err), err);
    sl_proc_release(&proc);
}

SL_TEST(core_aio_proc, wait__still_running__times_out_then_signal_then_reaped_once)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_proc proc = SL_PROC_INIT;
    struct sl_proc_exit exit = {0};
    const char *argv[] = {"/bin/sleep", "1000", NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    SL_CHECK_OK(sl_proc_spawn(&spec, &proc, &err), err);
    SL_CHECK_ERR(sl_proc_reap(&proc, &exit, &err), SL_EBUSY, err, "still runs");
    SL_CHECK_ERR(sl_proc_wait(&proc, 1, &exit, &err), SL_ETIMEOUT, err, "still runs after 1 ms");
    SL_CHECK_OK(sl_proc_signal(proc.pidfd, SIGKILL, &err), err);
    SL_CHECK_OK(sl_proc_wait(&proc, -1, &exit, &err), err);
    SL_CHECK_EQ_INT(exit.signum, SIGKILL);
    SL_CHECK_ERR(sl_proc_wait(&proc, -1, &exit, &err), SL_ENOTFOUND, err, "not a child");
    SL_CHECK_ERR(sl_proc_signal(proc.pidfd, SIGKILL, &err), SL_ENOTFOUND, err, "has ended");
    sl_proc_release(&proc);
}

SL_TEST(core_aio_proc, open_identity__same_reused_gone_other_boot__only_the_same_opens)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_proc proc = SL_PROC_INIT;
    struct sl_proc_exit exit = {0};
    char boot[SL_PROC_BOOT_ID];
    const char *argv[] = {"/bin/cat", NULL};
    int ends[2], fd = -1;
    SL_CHECK_OK(sl_proc_boot_id(boot, &err), err);
    SL_CHECK_EQ_UINT(strlen(boot), 36);
    SL_CHECK_EQ_INT(pipe2(ends, O_CLOEXEC), 0);
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    spec.stdin_fd = ends[0];
    SL_CHECK_OK(sl_proc_spawn(&spec, &proc, &err), err);
    SL_CHECK_OK(sl_proc_open_identity(proc.pid, proc.start_ticks, boot, &fd, &err), err);
    close(fd);
    fd = -1;
    SL_CHECK_ERR(sl_proc_open_identity(proc.pid, proc.start_ticks + 1, boot, &fd, &err),
                 SL_ENOTFOUND, err, "was given to another process");
    boot[0] = boot[0] == 'a' ? 'b' : 'a';
    SL_CHECK_ERR(sl_proc_open_identity(proc.pid, proc.start_ticks, boot, &fd, &err), SL_ENOTFOUND,
                 err, "the machine was restarted");
    SL_CHECK_OK(sl_proc_boot_id(boot, &err), err);
    close(ends[1]);
    close(ends[0]);
    SL_CHECK_OK(sl_proc_wait(&proc, -1, &exit, &err), err);
    SL_CHECK_ERR(sl_proc_open_identity(proc.pid, proc.start_ticks, boot, &fd, &err), SL_ENOTFOUND,
                 err, "is gone");
    SL_CHECK_ERR(sl_proc_open_identity(0, 1, boot, &fd, &err), SL_ENOTFOUND, err, "is gone");
    SL_CHECK_EQ_INT(fd, -1);
    sl_proc_release(&proc);
}

struct ended {
    struct sl_fdwatch watch;
    bool called;
};
static void on_end(struct sl_fdwatch *watch, unsigned events)
{
    SL_CHECK((events & SL_FD_READ) != 0);
    SL_CONTAINER_OF(watch, struct ended, watch)->called = true;
    sl_fdwatch_stop(watch);
}

SL_TEST(core_aio_proc, pidfd__watched_on_the_loop__tells_the_end)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_loop *loop = NULL;
    struct sl_proc proc = SL_PROC_INIT;
    struct sl_proc_exit exit = {0};
    const char *argv[] = {"/bin/sh", "-c", "exit 3", NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    struct ended ended = {.watch = {.fn = on_end}};
    SL_CHECK_OK(sl_loop_new(&loop, &err), err);
    SL_CHECK_OK(sl_proc_spawn(&spec, &proc, &err), err);
    SL_CHECK_OK(sl_fdwatch_start(loop, &ended.watch, proc.pidfd, SL_FD_READ, &err), err);
    while (!ended.called) {
        sl_loop_turn(loop, true);
    }
    SL_CHECK_OK(sl_proc_reap(&proc, &exit, &err), err);
    SL_CHECK_EQ_INT(exit.code, 3);
    sl_proc_release(&proc);
    sl_loop_free(loop);
}

SL_TEST(core_aio_proc, start_time__names_with_blanks_and_parentheses__read_past_them)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_proc_exit exit = {0};
    char *dir = sl_test_tmpdir();
    char *odd = sl_test_path(dir, "a) R 1 2 (b");
    char *command = sl_asprintf("cp /bin/cat '%s'", odd);
    free(run_shell(command, &exit));
    const char *argv[] = {odd, NULL};
    int ends[2];
    SL_CHECK_EQ_INT(pipe2(ends, O_CLOEXEC), 0);
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    struct sl_proc proc = SL_PROC_INIT, plain = SL_PROC_INIT;
    spec.argv = argv;
    spec.stdin_fd = ends[0];
    SL_CHECK_OK(sl_proc_spawn(&spec, &proc, &err), err);
    argv[0] = "/bin/true";
    SL_CHECK_OK(sl_proc_spawn(&spec, &plain, &err), err);
    /* Both began within this test: an hour of ticks apart would mean that a wrong field was read. */
    uint64_t apart = plain.start_ticks - proc.start_ticks;
    SL_CHECK(plain.start_ticks >= proc.start_ticks && apart < 360000);
    close(ends[1]);
    close(ends[0]);
    SL_CHECK_OK(sl_proc_wait(&proc, -1, &exit, &err), err);
    SL_CHECK_OK(sl_proc_wait(&plain, -1, &exit, &err), err);
    sl_proc_release(&proc);
    sl_proc_release(&plain);
    free(command);
    free(odd);
    sl_test_rmdir(dir);
}

SL_TEST(core_aio_proc, spawn__from_a_parent_of_500_MiB__no_page_is_made_copy_on_write)
{
    size_t size = (size_t)500 << 20;
    char *big = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SL_CHECK(big != MAP_FAILED);
    for (size_t i = 0; i < size; i += 4096) {
        big[i] = 1;
    }
    struct sl_proc_exit exit = {0};
    char *out = run_shell("echo $GREETING", &exit);
    SL_CHECK_EQ_STR(out, "hello\n");
    free(out);
    /* A fork would have write-protected every page: at least 250 faults, with huge pages. */
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < size; i += 4096) {
        big[i] = 2;
    }
    getrusage(RUSAGE_SELF, &after);
    SL_CHECK(after.ru_minflt - before.ru_minflt < 100);
    munmap(big, size);
}
