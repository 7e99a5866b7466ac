/* Shut-in steps with real processes: what they see, what they cannot reach, and how they end. */
#include "core/base/base.h"

#include "runners/sandbox/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "tests/support/runner_rig.h"

static const struct sl_sandbox_bind binds[] = {
    {"work", true}, {"tmp", true}, {"metrics.jsonl", true}, {"in", false}, {"absent", false}};

/* With CI set a machine without sandboxes is a failure: the tests would prove nothing. */
static bool can(struct rig *r)
{
    struct sl_err err = SL_ERR_INIT;
    if (sl_runner_can_isolate(r->runner, SL_ISOLATION_STRICT, &err) == 0) {
        return true;
    }
    SL_CHECK_MSG(getenv("CI") == NULL, "%s", err.msg);
    sl_test_note("skipped: this machine has no sandboxes");
    return false;
}

static void write_in(const struct rig_attempt *a, const char *name, const char *text)
{
    char *path = sl_test_path(a->dir, name);
    sl_test_write_text(path, text);
    free(path);
}

static void start_boxed(struct rig *r, struct rig_attempt *a, const char *const *argv,
                        const struct sl_attempt_sandbox *box, struct sl_attempt_limits limits)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", "LD_PRELOAD=./none.so",
                                      "ODD=a=b c", NULL};
    struct sl_err err = SL_ERR_INIT;
    write_in(a, "metrics.jsonl", "");
    write_in(a, "in/data/x", "input\n");
    write_in(a, "tmp/t", "");
    const struct sl_attempt_spec spec = {.attempt_id = a->id,
                                         .attempt_dir = a->dir,
                                         .argv = argv,
                                         .env = env,
                                         .limits = limits,
                                         .sandbox = *box};
    SL_CHECK_OK(r->runner->ops->start(r->runner, &spec, &a->handle, &err), err);
}

static char *run_boxed(struct rig *r, struct rig_attempt *a, const char *script, bool network,
                       struct sl_attempt_limits limits)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    const struct sl_attempt_sandbox box = {
        .level = SL_ISOLATION_STRICT, .network = network, .binds = binds, .n_binds = SL_LEN(binds)};
    rig_prepare(r, a);
    start_boxed(r, a, argv, &box, limits);
    rig_go(r, a);
    rig_wait(r, a);
    char *path = sl_test_path(a->dir, "log");
    char *log = sl_test_read(path, NULL);
    free(path);
    return log;
}

/* The script must exit with 0; its log is shown when it does not. */
static void check_script(const char *script, bool network)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    if (can(&r)) {
        char *log = run_boxed(&r, &a, script, network, (struct sl_attempt_limits){0});
        SL_CHECK_MSG(a.result.class == SL_CLASS_EXIT && a.result.exit_code == 0, "%s\n%s: %s, %d",
                     log, script, sl_runner_class_name(a.result.class), a.result.exit_code);
        free(log);
        rig_free(&a);
    }
    rig_close(&r);
}

SL_TEST(runners_sandbox, root__is_read_only_and_holds_nothing_of_the_machine)
{
    check_script("for d in / /usr /etc /dev /proc/sys/kernel /usr/bin ..; do "
                 "  if (: > $d/sluice-was-here) 2>/dev/null; then echo wrote $d; exit 1; fi; done; "
                 "for f in /etc/shadow /etc/ssh /root /home /var/lib /var/log /srv /opt /boot /sys "
                 "  /run/systemd /etc/sudoers; do "
                 "  if test -e $f; then echo saw $f; exit 1; fi; done; exit 0",
                 false);
}

SL_TEST(runners_sandbox, kernel_settings__cannot_be_opened_for_writing)
{
    /* Opened to append and closed: nothing is changed even where it works. */
    check_script(
        "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/kernel/hostname; "
        "do if (: >> $f) 2>/dev/null; then echo opened $f; exit 1; fi; done; exit 0",
        false);
}

SL_TEST(runners_sandbox, attempt__only_bound_parts_are_seen)
{
    check_script(
        "test \"$(ls .. | sort | tr '\\n' ' ')\" = 'in metrics.jsonl tmp work ' || "
        "  { ls ..; exit 1; }; "
        "echo y > out && echo '{}' >> ../metrics.jsonl && echo z > ../tmp/z && "
        "echo s > /dev/shm/s && echo s > /tmp/s && test \"$(cat ../in/data/x)\" = input && "
        "! (echo no > ../in/data/x) 2>/dev/null && ! rm ../in/data/x 2>/dev/null && "
        "! (: > ../exit) 2>/dev/null",
        false);
}

SL_TEST(runners_sandbox, data_directory__is_invisible)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    if (can(&r)) {
        char *secret = sl_test_path(r.data, "secret.key");
        sl_test_write_text(secret, "key\n");
        char *script = sl_asprintf("! test -e %s && ! test -e %s && test \"$(ls %s)\" = %s", r.data,
                                   secret, r.dir, "00000000000000000000000000000001");
        char *log = run_boxed(&r, &a, script, false, (struct sl_attempt_limits){0});
        SL_CHECK_MSG(a.result.exit_code == 0, "%s", log);
        free(script);
        free(secret);
        free(log);
        rig_free(&a);
    }
    rig_close(&r);
}

SL_TEST(runners_sandbox, identity__is_an_ordinary_user_without_rights)
{
    check_script("test \"$(id -u)\" = 1000 && test \"$(id -un)\" = step && "
                 "grep -q '^CapEff:.0000000000000000$' /proc/self/status && "
                 "grep -q '^CapBnd:.0000000000000000$' /proc/self/status && "
                 "grep -q '^NoNewPrivs:.1$' /proc/self/status && "
                 "test \"$(hostname)\" = sandbox",
                 false);
}

SL_TEST(runners_sandbox, descriptors_and_environment__are_the_steps_own)
{
    check_script("test \"$(ls /proc/self/fd | wc -l)\" = 4 && test \"$ODD\" = 'a=b c' && "
                 "test \"$LD_PRELOAD\" = ./none.so && test -z \"$SHLVL$USER$HOME\"",
                 false);
}

SL_TEST(runners_sandbox, processes_outside__cannot_be_seen_or_signalled)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    if (can(&r)) {
        /* Our own number must name nobody inside, or somebody else: no process but the sandbox's and the
         * step's is there. */
        char *script = sl_asprintf("test $$ -lt 20 && ls -d /proc/[0-9]* | wc -l && "
                                   "test $(ls -d /proc/[0-9]* | wc -l) -le 6 && "
                                   "python3 -c \"import os,ctypes\n"
                                   "libc=ctypes.CDLL(None,use_errno=True)\n"
                                   "assert libc.ptrace(16,%d,0,0)==-1\n"
                                   "try: os.kill(%d,9)\nexcept ProcessLookupError: os._exit(0)\n"
                                   "os._exit(1)\"",
                                   (int)getpid(), (int)getpid());
        char *log = run_boxed(&r, &a, script, false, (struct sl_attempt_limits){0});
        SL_CHECK_MSG(a.result.exit_code == 0, "%s", log);
        free(script);
        free(log);
        rig_free(&a);
    }
    rig_close(&r);
}

/* A listener outside, on loopback. */
static int listener(int *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    SL_CHECK_EQ_INT(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    SL_CHECK_EQ_INT(listen(fd, 4), 0);
    SL_CHECK_EQ_INT(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

SL_TEST(runners_sandbox, network__only_when_declared)
{
    struct rig r = {0};
    rig_open(&r);
    if (can(&r)) {
        int port = 0;
        int fd = listener(&port);
        char *script = sl_asprintf("python3 -c \"import socket,sys\n"
                                   "try: socket.create_connection(('127.0.0.1',%d),5)\n"
                                   "except OSError: sys.exit(7)\"",
                                   port);
        for (int network = 0; network < 2; network++) {
            struct rig_attempt a;
            char *log = run_boxed(&r, &a, script, network == 1, (struct sl_attempt_limits){0});
            SL_CHECK_MSG(a.result.exit_code == (network == 1 ? 0 : 7), "%s", log);
            SL_CHECK_CONTAINS(a.handle.identity.isolation, "strict: bubblewrap ");
            SL_CHECK_CONTAINS(a.handle.identity.isolation,
                              network == 1 ? ", network of the machine" : ", no network");
            free(log);
            rig_free(&a);
        }
        free(script);
        (void)close(fd);
    }
    rig_close(&r);
}

SL_TEST(runners_sandbox, sockets_to_the_host_of_a_virtual_machine__are_refused)
{
    /* with and without network: no namespace holds them. Ordinary ones are not touched. */
    const char *script = "exec python3 -c \"import socket,errno,sys\n"
                         "for f in (socket.AF_INET,socket.AF_UNIX): socket.socket(f).close()\n"
                         "try: socket.socket(socket.AF_VSOCK)\n"
                         "except OSError as e: sys.exit(0 if e.errno==errno.EAFNOSUPPORT else 8)\n"
                         "sys.exit(7)\"";
    check_script(script, false);
    check_script(script, true);
}

SL_TEST(runners_sandbox, namespaces_inside__are_forbidden)
{
    check_script("! unshare -Ur true 2>/dev/null && ! unshare -m true 2>/dev/null", false);
}

SL_TEST(runners_sandbox, preload__does_not_reach_the_sandbox_program)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    if (can(&r)) { /* the loader warns of a missing library once per program that it starts */
        char *log = run_boxed(&r, &a, "exec sleep 0", false, (struct sl_attempt_limits){0});
        int warnings = 0;
        for (const char *p = log; (p = strstr(p, "none.so")) != NULL; p++) {
            warnings++;
        }
        SL_CHECK_MSG(warnings == 2, "%s", log); /* sh and sleep, not bwrap */
        free(log);
        rig_free(&a);
    }
    rig_close(&r);
}

SL_TEST(runners_sandbox, system_calls__without_use_for_a_step__are_refused)
{
    char script[512];
    check_script("grep -q '^Seccomp:.2$' /proc/self/status", false);
    const struct {
        long nr;
        int error;
    } calls[] = {{SYS_bpf, EPERM},
                 {SYS_keyctl, EPERM},
                 {SYS_perf_event_open, EPERM},
                 {SYS_userfaultfd, EPERM},
                 {SYS_mount, EPERM},
                 {SYS_open_by_handle_at, EPERM},
                 {SYS_io_uring_setup, ENOSYS}};
    for (size_t i = 0; i < SL_LEN(calls); i++) {
        (void)snprintf(
            script, sizeof(script),
            "exec python3 -c \"import ctypes,sys\nlibc=ctypes.CDLL(None,use_errno=True)\n"
            "r=libc.syscall(%ld,0,0,0,0,0)\n"
            "sys.exit(0 if r==-1 and ctypes.get_errno()==%d else 1)\"",
            calls[i].nr, calls[i].error);
        check_script(script, false);
    }
}

SL_TEST(runners_sandbox, keys_of_the_session__stay_outside)
{
    struct rig r = {0};
    rig_open(&r);
    /* A session of our own, so that no key stays behind: 1 joins a new one, -3 names it. */
    if (syscall(SYS_keyctl, 1, NULL) < 0 ||
        syscall(SYS_add_key, "user", "sluice-test", "x", 1, -3) < 0) {
        sl_test_note("skipped: this kernel keeps no keys for us");
    } else if (can(&r)) {
        char *script = sl_asprintf("exec python3 -c \"import ctypes,sys\n"
                                   "libc=ctypes.CDLL(None)\nsys.exit(7 if libc.syscall(%d,b'user',"
                                   "b'sluice-test',None,0)<0 else 0)\"",
                                   (int)SYS_request_key);
        struct rig_attempt a;
        rig_sh(&r, &a, script, (struct sl_attempt_limits){0});
        SL_CHECK_EQ_INT(a.result.exit_code, 0); /* without a sandbox it is found */
        rig_free(&a);
        char *log = run_boxed(&r, &a, script, false, (struct sl_attempt_limits){0});
        SL_CHECK_MSG(a.result.exit_code == 7, "%s", log);
        free(log);
        free(script);
        rig_free(&a);
    }
    rig_close(&r);
}

static void check_end(const char *script, struct sl_attempt_limits limits,
                      enum sl_runner_class class, int code, const char *reason)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    if (can(&r)) {
        char *log = run_boxed(&r, &a, script, false, limits);
        SL_CHECK_MSG(a.result.class == class, "%s\n%s: %s, %s", log, script,
                     sl_runner_class_name(a.result.class), a.result.reason);
        SL_CHECK_EQ_INT(a.result.exit_code, code);
        SL_CHECK_CONTAINS(a.result.reason, reason);
        rig_check_no_cgroup(&a);
        free(log);
        rig_free(&a);
    }
    rig_close(&r);
}

SL_TEST(runners_sandbox, end__codes_signals_and_programs_that_are_not_there)
{
    check_end("exit 9", (struct sl_attempt_limits){0}, SL_CLASS_EXIT, 9, "");
    check_end("kill -SEGV $$", (struct sl_attempt_limits){0}, SL_CLASS_EXIT, 139,
              "exit code 139: killed by signal 11?");
    struct rig r = {0};
    struct rig_attempt a;
    const char *const argv[] = {"no-such-program", NULL};
    const struct sl_attempt_sandbox box = {
        .level = SL_ISOLATION_STRICT, .binds = binds, .n_binds = SL_LEN(binds)};
    rig_open(&r);
    if (can(&r)) {
        rig_prepare(&r, &a);
        start_boxed(&r, &a, argv, &box, (struct sl_attempt_limits){0});
        rig_go(&r, &a);
        rig_wait(&r, &a);
        SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "exec_failed");
        SL_CHECK_CONTAINS(a.result.reason, "the sandbox could not begin no-such-program");
        rig_free(&a);
    }
    rig_close(&r);
}

SL_TEST(runners_sandbox, timeout__the_step_gets_its_term_and_its_grace)
{
    check_end("trap 'exit 9' TERM; while :; do sleep 0.01; done",
              (struct sl_attempt_limits){.timeout_ms = 1500, .grace_ms = 30000}, SL_CLASS_TIMEOUT,
              9, "ran over its timeout");
    check_end("trap '' TERM; setsid sleep 1000 & while :; do sleep 9; done",
              (struct sl_attempt_limits){.timeout_ms = 300, .grace_ms = 100}, SL_CLASS_TIMEOUT, -1,
              "ran over its timeout");
}

SL_TEST(runners_sandbox, limits__hold_inside)
{
    check_end("i=0; while [ $i -lt 10000 ]; do head -c 1000000 /dev/zero > f$i; i=$((i+1)); done",
              (struct sl_attempt_limits){.disk_bytes = 8UL << 20, .timeout_ms = 60000},
              SL_CLASS_DISK, -1, "its quota is 8192 KiB");
    check_end("exec >&- 2>&-; sleep 1000",
              (struct sl_attempt_limits){.stall_ms = 1500, .grace_ms = 10000}, SL_CLASS_STALLED,
              143, "neither its log");
}

SL_TEST(runners_sandbox, check__missing_program__is_refused_with_what_to_do)
{
    char *dir = sl_test_tmpdir();
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct sl_err err = SL_ERR_INIT;
    const struct sl_sandbox_config config = {
        .data_dirfd = fd, .data_dir = dir, .search_path = "/nonexistent"};
    struct sl_sandbox *s = sl_sandbox_new(&config);
    SL_CHECK_NULL(sl_sandbox_json(s));
    for (int i = 0; i < 2; i++) {
        SL_CHECK_ERR(sl_sandbox_check(s, &err), SL_EREFUSED, err, "bubblewrap is not installed");
    }
    json_t *facts = sl_sandbox_json(s);
    SL_CHECK_CONTAINS(sl_json_str(facts, "strict", ""), "apt install bubblewrap");
    json_decref(facts);
    sl_sandbox_free(s);
    (void)close(fd);
    sl_test_rmdir(dir);
}

SL_TEST(runners_sandbox, check__program_that_cannot__is_refused_with_its_words)
{
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "bin/bwrap");
    sl_test_write_text(
        path, "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n");
    SL_CHECK_EQ_INT(chmod(path, 0755), 0);
    char *bin = sl_test_path(dir, "bin");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct sl_err err = SL_ERR_INIT;
    const struct sl_sandbox_config config = {.data_dirfd = fd, .data_dir = dir, .search_path = bin};
    struct sl_sandbox *s = sl_sandbox_new(&config);
    SL_CHECK_ERR(
        sl_sandbox_check(s, &err), SL_EREFUSED, err,
        "bwrap: No permissions to create new namespace; allow unprivileged user namespaces");
    sl_sandbox_free(s);
    (void)close(fd);
    free(bin);
    free(path);
    sl_test_rmdir(dir);
}

SL_TEST(runners_sandbox, spec__bad_binds_and_too_much_environment__are_refused)
{
    struct rig r = {0};
    rig_open(&r);
    const char *const argv[] = {"true", NULL};
    struct sl_sandbox_bind bad = {"../../etc", false};
    struct sl_attempt_spec s = {
        .attempt_id = "0123456789abcdef0123456789abcdef",
        .attempt_dir = r.dir,
        .argv = argv,
        .env = rig_env,
        .sandbox = {.level = SL_ISOLATION_STRICT, .binds = &bad, .n_binds = 1}};
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_ERR(sl_attempt_spec_check(&s, &err), SL_EINVAL, err, "'../../etc' is no path to bind");
    s.sandbox.n_binds = SL_RUNNER_BINDS_MAX + 1;
    SL_CHECK_ERR(sl_attempt_spec_check(&s, &err), SL_ELIMIT, err, "more than 256 binds");
    s.sandbox.n_binds = 0;
    const char *const devices[] = {"/dev/../etc/shadow", NULL};
    s.sandbox.devices = devices;
    SL_CHECK_ERR(sl_attempt_spec_check(&s, &err), SL_EINVAL, err, "is no device node");
    s.sandbox.devices = NULL;
    const char **env = sl_calloc(SL_RUNNER_BOX_ENV_MAX + 2, sizeof(*env));
    for (size_t i = 0; i < SL_RUNNER_BOX_ENV_MAX; i++) {
        env[i] = "A=b";
    }
    s.env = env;
    SL_CHECK_OK(sl_attempt_spec_check(&s, &err), err);
    env[SL_RUNNER_BOX_ENV_MAX] = "A=b";
    SL_CHECK_ERR(sl_attempt_spec_check(&s, &err), SL_ELIMIT, err,
                 "env in a sandbox: more than 2000");
    free(env);
    rig_close(&r);
}
