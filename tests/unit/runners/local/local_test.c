/* The local backend with real processes: endings, limits, containment, adoption. */
#include "core/base/base.h"

#include "runners/runner.h"

#include "runners/local/cgroup.h"
#include "tests/support/runner_rig.h"

static const struct sl_attempt_limits NO_LIMITS = {.grace_ms = 200};

static void check_exit(const char *script, struct sl_attempt_limits limits,
                       enum sl_runner_class class, int code, int signum)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_sh(&r, &a, script, limits);
    SL_CHECK_MSG(a.result.class == class, "%s: %s", script, sl_runner_class_name(a.result.class));
    SL_CHECK_EQ_INT(a.result.exit_code, code);
    SL_CHECK_EQ_INT(a.result.signal, signum);
    SL_CHECK_EQ_STR(a.result.reason, class == SL_CLASS_TIMEOUT
                                         ? "ran over its timeout and was stopped"
                                     : signum == SIGSEGV ? "killed by SIGSEGV"
                                     : signum == SIGKILL ? "killed by SIGKILL"
                                                         : "");
    rig_check_no_cgroup(&a);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, end__exit_codes_and_signals__are_told)
{
    check_exit("exit 0", NO_LIMITS, SL_CLASS_EXIT, 0, 0);
    check_exit("exit 255", NO_LIMITS, SL_CLASS_EXIT, 255, 0);
    check_exit("kill -SEGV $$", NO_LIMITS, SL_CLASS_SIGNAL, -1, SIGSEGV);
    check_exit("kill -KILL $$", NO_LIMITS, SL_CLASS_SIGNAL, -1, SIGKILL);
}

SL_TEST(runners_local, timeout__term_ignored__is_killed_after_grace)
{
    struct sl_attempt_limits limits = {.timeout_ms = 50, .grace_ms = 50};
    check_exit("trap '' TERM; while :; do sleep 9; done", limits, SL_CLASS_TIMEOUT, -1, SIGKILL);
}

SL_TEST(runners_local, timeout__term_obeyed__keeps_the_exit_code)
{
    struct sl_attempt_limits limits = {.timeout_ms = 50, .grace_ms = 30000};
    check_exit("trap 'exit 9' TERM; while :; do sleep 0.01; done", limits, SL_CLASS_TIMEOUT, 9, 0);
}

SL_TEST(runners_local, timeout__stopped_step__still_ends)
{
    struct sl_attempt_limits limits = {.timeout_ms = 50, .grace_ms = 30000};
    check_exit("kill -STOP $$", limits, SL_CLASS_TIMEOUT, -1, SIGTERM);
}

SL_TEST(runners_local, exec__missing_program__says_which)
{
    struct rig r = {0};
    struct rig_attempt a;
    const char *const argv[] = {"no-such-program", "x", NULL};
    rig_open(&r);
    rig_prepare(&r, &a);
    rig_start(&r, &a, argv, &NO_LIMITS);
    rig_go(&r, &a);
    rig_wait(&r, &a);
    SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "exec_failed");
    SL_CHECK_EQ_STR(a.result.reason, "cannot execute no-such-program: No such file or directory");
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, step__environment__is_exactly_what_was_given)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_prepare(&r, &a);
    const char *const argv[] = {"/usr/bin/env", NULL};
    rig_start(&r, &a, argv, &NO_LIMITS);
    rig_go(&r, &a);
    rig_wait(&r, &a);
    char *path = sl_test_path(a.dir, "log");
    char *log = sl_test_read(path, NULL);
    SL_CHECK_CONTAINS(log, " o F PATH=/usr/bin:/bin\n");
    SL_CHECK_CONTAINS(log, " o F LC_ALL=C\n");
    int lines = 0;
    for (const char *p = log; (p = strchr(p, '\n')) != NULL; p++) {
        lines++;
    }
    SL_CHECK_EQ_INT(lines, 2);
    free(log);
    free(path);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, step__descriptors_cwd_session__are_clean)
{
    /* Only 0, 1, 2 and the one ls opens; in work; leader of its own group. */
    check_exit("test \"$(ls /proc/self/fd | wc -l)\" = 4 && test \"$(basename $(pwd))\" = work && "
               "test \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$ && test \"$(umask)\" = 0022 && "
               "read x; test -z \"$x\"",
               NO_LIMITS, SL_CLASS_EXIT, 0, 0);
}

SL_TEST(runners_local, containment__daemonised_grandchildren__are_killed)
{
    struct rig r = {0};
    for (int mode = 0; mode < 2; mode++) {
        r = (struct rig){.no_cgroups = mode == 1};
        struct rig_attempt a;
        rig_open(&r);
        rig_sh(&r, &a,
               "setsid sh -c 'trap \"\" TERM HUP INT; echo $$ > pid1; sleep 1000' & "
               "(setsid sh -c 'echo $$ > pid2; setsid sleep 1000 & wait' &) ; "
               "until test -s pid1 && test -s pid2; do sleep 0.01; done; echo bye",
               NO_LIMITS);
        SL_CHECK_EQ_INT(a.result.class, SL_CLASS_EXIT);
        SL_CHECK_EQ_INT(a.result.exit_code, 0);
        for (int i = 1; i <= 2; i++) {
            char name[24];
            (void)snprintf(name, sizeof(name), "work/pid%d", i);
            char *path = sl_test_path(a.dir, name);
            char *text = sl_test_read(path, NULL);
            SL_CHECK_EQ_INT(kill((pid_t)strtol(text, NULL, 10), 0), -1);
            free(text);
            free(path);
        }
        rig_check_no_cgroup(&a);
        rig_free(&a);
        rig_close(&r);
    }
}

SL_TEST(runners_local, containment__fork_bomb_within_limit__is_ended)
{
    struct rig r = {0};
    rig_open(&r);
    json_t *facts = NULL;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(r.runner->ops->probe(r.runner, &facts, &err), err);
    bool limited =
        strcmp(sl_json_str(json_object_get(facts, "cgroup"), "pids", ""), "not enforced") != 0;
    json_decref(facts);
    if (limited) {
        struct rig_attempt a;
        rig_sh(&r, &a, "f() { f | f & }; trap '' TERM; f 2>/dev/null; sleep 1000",
               (struct sl_attempt_limits){
                   .timeout_ms = 300, .grace_ms = 50, .pids = 40, .log_bytes_max = 65536});
        SL_CHECK_EQ_INT(a.result.class == SL_CLASS_TIMEOUT || a.result.class == SL_CLASS_EXIT, 1);
        rig_check_no_cgroup(&a);
        rig_free(&a);
    } else {
        sl_test_note("skipped: this machine offers no pids controller");
    }
    rig_close(&r);
}

SL_TEST(runners_local, memory__over_limit__is_oom)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    json_t *facts = NULL;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(r.runner->ops->probe(r.runner, &facts, &err), err);
    bool by_cgroup =
        strstr(sl_json_str(json_object_get(facts, "cgroup"), "memory", ""), "cgroup") != NULL;
    json_decref(facts);
    rig_sh(&r, &a, "exec python3 -c 'x = bytearray(200 << 20)'",
           (struct sl_attempt_limits){.mem_bytes = 50U << 20});
    if (by_cgroup) {
        SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "oom");
        SL_CHECK(a.result.oom);
    } else { /* the step itself sees that it gets no more */
        sl_test_note("memory is limited by rlimit here: no OOM kill to be seen");
        SL_CHECK_EQ_INT(a.result.exit_code, 1);
    }
    rig_check_no_cgroup(&a);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, cancel__before_go__never_runs)
{
    struct rig r = {0};
    struct rig_attempt a;
    const char *const argv[] = {"sh", "-c", "echo ran", NULL};
    struct sl_err err = SL_ERR_INIT;
    rig_open(&r);
    rig_prepare(&r, &a);
    rig_start(&r, &a, argv, &NO_LIMITS);
    SL_CHECK_OK(r.runner->ops->cancel(&a.handle, &err), err);
    rig_go(&r, &a);
    rig_wait(&r, &a);
    SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "cancelled");
    SL_CHECK(!rig_file(&a, "exec"));
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, release__before_go__leaves_nothing)
{
    struct rig r = {0};
    struct rig_attempt a;
    const char *const argv[] = {"sh", "-c", "echo ran", NULL};
    rig_open(&r);
    rig_prepare(&r, &a);
    rig_start(&r, &a, argv, &NO_LIMITS);
    r.runner->ops->release(&a.handle);
    rig_close_runner(&r); /* waits for the shim */
    rig_open_runner(&r);
    SL_CHECK(!rig_file(&a, "exec"));
    SL_CHECK(!rig_file(&a, "exit"));
    SL_CHECK(!rig_file(&a, "log"));
    SL_CHECK(!rig_file(&a, "exit.tmp"));
    rig_check_no_cgroup(&a);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, start__attempt_begun_before__does_not_run_again)
{
    struct rig r = {0};
    struct rig_attempt a;
    const char *const argv[] = {"sh", "-c", "echo x >> count", NULL};
    rig_open(&r);
    rig_prepare(&r, &a);
    rig_start(&r, &a, argv, &NO_LIMITS);
    rig_go(&r, &a);
    rig_wait(&r, &a);
    struct rig_attempt again = {.handle.on_end = rig_on_end, .dir = a.dir};
    memcpy(again.id, a.id, sizeof(again.id));
    rig_start(&r, &again, argv, &NO_LIMITS);
    rig_go(&r, &again);
    rig_wait(&r, &again);
    SL_CHECK(again.result.class == SL_CLASS_LOST); /* the record is another attempt's */
    char *path = sl_test_path(a.dir, "work/count");
    char *text = sl_test_read(path, NULL);
    SL_CHECK_EQ_STR(text, "x\n");
    free(text);
    free(path);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, start__bad_specs__name_the_field)
{
    struct rig r = {0};
    rig_open(&r);
    const char *const argv[] = {"true", NULL};
    const struct sl_attempt_spec good = {.attempt_id = "0123456789abcdef0123456789abcdef",
                                         .attempt_dir = r.dir,
                                         .argv = argv,
                                         .env = rig_env};
    struct sl_attempt a = {0};
    struct sl_err err = SL_ERR_INIT;
    struct sl_attempt_spec s = good;
    s.attempt_id = "XYZ";
    SL_CHECK_ERR(r.runner->ops->start(r.runner, &s, &a, &err), SL_EINVAL, err, "attempt_id:");
    s = good;
    s.attempt_dir = "runs/x";
    SL_CHECK_ERR(r.runner->ops->start(r.runner, &s, &a, &err), SL_EINVAL, err, "attempt_dir:");
    s = good;
    s.cwd = "work/../../etc";
    SL_CHECK_ERR(r.runner->ops->start(r.runner, &s, &a, &err), SL_EINVAL, err, "cwd:");
    s = good;
    s.limits.grace_ms = -1;
    SL_CHECK_ERR(r.runner->ops->start(r.runner, &s, &a, &err), SL_EINVAL, err, "grace_ms:");
    s = good;
    s.attempt_dir = "/nonexistent/x";
    SL_CHECK_ERR(r.runner->ops->start(r.runner, &s, &a, &err), SL_ENOTFOUND, err, "/nonexistent/x");
    SL_CHECK_NULL(a.impl);
    rig_close(&r);
}

SL_TEST(runners_local, start__arguments_at_and_past_the_limit)
{
    struct rig r = {0};
    rig_open(&r);
    const char **argv = sl_calloc(SL_RUNNER_ARGV_MAX + 2, sizeof(*argv));
    for (size_t i = 0; i < SL_RUNNER_ARGV_MAX; i++) {
        argv[i] = "true";
    }
    struct rig_attempt a;
    rig_prepare(&r, &a);
    rig_start(&r, &a, argv, &NO_LIMITS);
    rig_go(&r, &a);
    rig_wait(&r, &a);
    SL_CHECK_EQ_INT(a.result.exit_code, 0);
    argv[SL_RUNNER_ARGV_MAX] = "true";
    struct sl_attempt b = {0};
    struct sl_err err = SL_ERR_INIT;
    const struct sl_attempt_spec spec = {
        .attempt_id = a.id, .attempt_dir = a.dir, .argv = argv, .env = rig_env};
    SL_CHECK_ERR(r.runner->ops->start(r.runner, &spec, &b, &err), SL_ELIMIT, err,
                 "argv: more than 4096 entries");
    free(argv);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, adopt__shim_killed__is_lost_and_nothing_is_left)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_prepare(&r, &a);
    char *fifo = rig_fifo(&a);
    rig_dead_engine(&r, &a, "setsid sleep 1000 & echo $! > fifo; sleep 1000", true);
    char *line = rig_await_line(fifo);
    rig_adopt(&r, &a);
    SL_CHECK_EQ_INT(kill((pid_t)a.handle.identity.pid, SIGKILL), 0);
    rig_wait(&r, &a);
    SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "lost");
    SL_CHECK_CONTAINS(a.result.reason, "its shim was killed");
    if (a.handle.identity.cgroup[0] != '\0') {
        rig_check_no_cgroup(&a); /* a group can only be removed once it is empty */
    } else {
        (void)kill((pid_t)strtol(line, NULL, 10), SIGKILL);
    }
    free(line);
    free(fifo);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, adopt__other_boot__is_lost)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_prepare(&r, &a);
    a.handle.identity = (struct sl_attempt_identity){.pid = getpid(), .start_time = 1};
    memcpy(a.handle.identity.attempt_id, a.id, sizeof(a.id));
    memcpy(a.handle.identity.nonce, a.id, sizeof(a.id));
    memcpy(a.handle.identity.boot_id, "another", 8);
    rig_adopt(&r, &a);
    rig_wait(&r, &a);
    SL_CHECK_EQ_STR(a.result.reason, "the machine was restarted while it ran");
    SL_CHECK(a.result.class == SL_CLASS_LOST);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, adopt__pid_reused__is_not_taken_for_the_shim)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_prepare(&r, &a);
    rig_dead_engine(&r, &a, "exit 0", false);
    int shim = rig_shim_pidfd(&a);
    a.handle.identity.pid = getpid(); /* alive, but another process */
    rig_adopt(&r, &a);
    rig_wait(&r, &a);
    rig_await_shim(shim); /* it removes its files at its own time */
    SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "never_started");
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, adopt__damaged_record__is_lost)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_sh(&r, &a, "exit 4", NO_LIMITS);
    char *path = sl_test_path(a.dir, "exit");
    char *text = sl_test_read(path, NULL);
    char *code = strstr(text, "code=4");
    SL_CHECK_NOT_NULL(code);
    code[5] = '0';
    SL_CHECK_EQ_INT(unlink(path), 0);
    sl_test_write_text(path, text);
    a.ends = 0;
    rig_adopt(&r, &a);
    rig_wait(&r, &a);
    SL_CHECK(a.result.class == SL_CLASS_LOST);
    SL_CHECK_EQ_STR(a.result.reason, "exit record: its checksum does not match");
    free(text);
    free(path);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local, sweep__unknown_nonce__is_ended_and_known_ones_stay)
{
    struct rig r = {0};
    struct rig_attempt known;
    struct rig_attempt stray;
    struct sl_err err = SL_ERR_INIT;
    rig_open(&r);
    rig_prepare(&r, &known);
    rig_prepare(&r, &stray);
    char *fifo1 = rig_fifo(&known);
    char *fifo2 = rig_fifo(&stray);
    rig_dead_engine(&r, &known, "echo up > fifo; cat fifo; exit 5", true);
    rig_dead_engine(&r, &stray, "echo up > fifo; sleep 1000", true);
    free(rig_await_line(fifo1));
    free(rig_await_line(fifo2));
    const char *const nonces[] = {known.handle.identity.nonce};
    int n = r.runner->ops->sweep(r.runner, nonces, 1, &err);
    SL_CHECK_EQ_INT(n, known.handle.identity.cgroup[0] != '\0' ? 1 : 0);
    if (n == 0) {
        SL_CHECK_EQ_INT(kill((pid_t)stray.handle.identity.pid, SIGTERM), 0);
    }
    rig_adopt(&r, &known);
    sl_test_write_text(fifo1, "go on\n");
    rig_wait(&r, &known);
    SL_CHECK_EQ_INT(known.result.exit_code, 5);
    rig_adopt(&r, &stray);
    rig_wait(&r, &stray);
    SL_CHECK_EQ_INT(stray.result.signal, n == 0 ? SIGTERM : SIGKILL);
    rig_check_no_cgroup(&stray);
    free(fifo1);
    free(fifo2);
    rig_free(&known);
    rig_free(&stray);
    rig_close(&r);
}
