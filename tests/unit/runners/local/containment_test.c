/* Steps that misbehave, with control groups where the machine has them and without: each is contained, the
 * failure class says what it did, and nothing of it is left. */
#include "core/base/base.h"

#include "runners/runner.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/support/runner_rig.h"

#define MIB (1024UL * 1024)

enum { WITH_CGROUPS, WITHOUT, MODES };

/* Processes whose working directory lies in `dir`, dead ones apart. */
static int count_left(const char *dir)
{
    int n = 0;
    DIR *d = opendir("/proc");
    SL_CHECK_NOT_NULL(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char path[300];
        char at[4096];
        (void)snprintf(path, sizeof(path), "/proc/%s/cwd", e->d_name);
        ssize_t len = readlink(path, at, sizeof(at) - 1);
        at[len > 0 ? len : 0] = '\0';
        n += len > 0 && strncmp(at, dir, strlen(dir)) == 0 ? 1 : 0;
    }
    (void)closedir(d);
    return n;
}

struct expected {
    enum sl_runner_class class;
    const char *reason; /* part of it */
};

/* Runs the script in one mode and looks at what it came to and what is left. */
static void check_mode(int mode, const char *script, struct sl_attempt_limits limits,
                       struct expected want)
{
    struct rig r = {.no_cgroups = mode == WITHOUT};
    struct rig_attempt a;
    rig_open(&r);
    rig_sh(&r, &a, script, limits);
    SL_CHECK_MSG(a.result.class == want.class, "mode %s, %s: %s, %s",
                 sl_cgroup_mode_name(a.handle.identity.mode), script,
                 sl_runner_class_name(a.result.class), a.result.reason);
    SL_CHECK_CONTAINS(a.result.reason, want.reason);
    SL_CHECK_EQ_INT(count_left(a.dir), 0);
    rig_check_no_cgroup(&a);
    rig_free(&a);
    rig_close(&r);
}

static void check_modes(const char *script, struct sl_attempt_limits limits, struct expected want)
{
    for (int mode = 0; mode < MODES; mode++) {
        check_mode(mode, script, limits, want);
    }
}

SL_TEST(runners_local_containment, stall__silence__is_stopped)
{
    check_modes(
        "echo begun; sleep 1000", (struct sl_attempt_limits){.stall_ms = 200, .grace_ms = 100},
        (struct expected){SL_CLASS_STALLED, "neither its log nor its metrics grew for 0.200 s"});
}

SL_TEST(runners_local_containment, stall__metrics_or_log_grow__runs_on)
{
    /* Longer than the limit in all, far shorter between two signs of life, also on a busy machine. */
    const struct sl_attempt_limits limits = {.stall_ms = 1500, .grace_ms = 100};
    const struct expected fine = {SL_CLASS_EXIT, ""};
    check_mode(
        WITH_CGROUPS,
        "i=0; while [ $i -lt 20 ]; do i=$((i+1)); sleep 0.1; echo '{}' >> ../metrics.jsonl; done",
        limits, fine);
    check_mode(WITH_CGROUPS, "i=0; while [ $i -lt 20 ]; do i=$((i+1)); sleep 0.1; printf .; done",
               limits, fine);
}

SL_TEST(runners_local_containment, stall__term_obeyed__may_save_its_work)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_sh(&r, &a, "trap 'echo saved > saved; exit 3' TERM; while :; do sleep 0.01; done",
           (struct sl_attempt_limits){.stall_ms = 1000, .grace_ms = 30000});
    SL_CHECK_EQ_STR(sl_runner_class_name(a.result.class), "stalled");
    SL_CHECK_EQ_INT(a.result.exit_code, 3);
    SL_CHECK(rig_file(&a, "work/saved"));
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_containment, disk__filled_by_many_files__is_killed)
{
    check_modes(
        "i=0; while [ $i -lt 100000 ]; do head -c 1000000 /dev/zero > f$i; i=$((i+1)); done",
        (struct sl_attempt_limits){.disk_bytes = 8 * MIB, .timeout_ms = 60000},
        (struct expected){SL_CLASS_DISK, "its quota is 8192 KiB"});
}

SL_TEST(runners_local_containment, disk__filled_by_one_file__is_named_however_it_ends)
{
    const struct sl_attempt_limits limits = {.disk_bytes = 4 * MIB};
    const struct expected want = {SL_CLASS_DISK, "its quota is 4096 KiB"};
    check_modes("exec head -c 100000000 /dev/zero > f", limits, want); /* SIGXFSZ */
    check_modes("exec python3 -c \"open('f','wb').write(bytes(1<<23))\"", limits, want); /* EFBIG */
    check_modes("head -c 3000000 /dev/zero > f; head -c 3000000 /dev/zero > g; exit 0", limits,
                want);
}

SL_TEST(runners_local_containment, disk__nested_too_deep__is_killed)
{
    check_modes("i=0; while [ $i -lt 140 ]; do mkdir d; cd -P d; i=$((i+1)); done; sleep 1000",
                (struct sl_attempt_limits){.disk_bytes = 64 * MIB},
                (struct expected){SL_CLASS_DISK, "nested its directories too deep"});
}

SL_TEST(runners_local_containment, disk__code_and_inputs_before__do_not_count)
{
    struct rig r = {0};
    struct rig_attempt a;
    const char *const argv[] = {"sh", "-c", "head -c 500000 /dev/zero > out", NULL};
    const struct sl_attempt_limits limits = {.disk_bytes = MIB};
    rig_open(&r);
    rig_prepare(&r, &a);
    char *path = sl_test_path(a.dir, "work/data");
    char *data = sl_calloc(1, 4 * MIB);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    SL_CHECK_EQ_INT(write(fd, data, 4 * MIB), (ssize_t)(4 * MIB));
    (void)close(fd);
    rig_start(&r, &a, argv, &limits);
    rig_go(&r, &a);
    rig_wait(&r, &a);
    SL_CHECK_EQ_STR(a.result.reason, "");
    SL_CHECK_EQ_INT(a.result.exit_code, 0);
    free(data);
    free(path);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_containment, memory__hog_by_one_process__is_oom)
{
    /* Page by page, so that the rlimit does not come first; ends by itself at 150 MiB. */
    check_modes(
        "exec python3 -c \"import time\nl=[]\nfor i in range(300):\n l.append(bytearray(b'x')*"
        "(1<<19)); time.sleep(0.005)\ntime.sleep(600)\"",
        (struct sl_attempt_limits){.mem_bytes = 64 * MIB, .timeout_ms = 60000},
        (struct expected){SL_CLASS_OOM, "memory"});
}

SL_TEST(runners_local_containment, memory__hog_by_many_processes__is_oom)
{
    /* A control group of version 1 kills one process only: the step ends with it. */
    check_modes("exec python3 -c \"import os,time,sys\nfor i in range(4):\n if os.fork()==0:\n"
                "  x=bytearray(b'x')*(24<<20); time.sleep(600)\nos.wait(); sys.exit(1)\"",
                (struct sl_attempt_limits){.mem_bytes = 64 * MIB, .timeout_ms = 60000},
                (struct expected){SL_CLASS_OOM, "memory"});
}

SL_TEST(runners_local_containment, memory__pages_shared_by_forks__count_once)
{
    check_mode(WITHOUT,
               "exec python3 -c \"import os,time\nx=bytearray(b'x')*(40<<20)\nfor i in range(4):\n"
               " if os.fork()==0:\n  time.sleep(0.8); os._exit(0)\nfor i in range(4): os.wait()\"",
               (struct sl_attempt_limits){.mem_bytes = 96 * MIB},
               (struct expected){SL_CLASS_EXIT, ""});
}

SL_TEST(runners_local_containment, pids__fork_bomb__is_ended)
{
    /* At most 400 processes, should nothing stop them. */
    const char *bomb =
        "exec python3 -c \"import os,time,sys\nroot=os.getpid()\nfor i in range(200):\n"
        " try:\n  if os.fork()==0:\n   os.fork(); time.sleep(600)\n"
        " except OSError:\n  if os.getpid()==root: sys.exit(3)\n  time.sleep(600)\n"
        " time.sleep(0.005)\ntime.sleep(600)\"";
    const struct sl_attempt_limits limits = {.pids = 40, .timeout_ms = 60000, .grace_ms = 50};
    check_mode(WITH_CGROUPS, bomb, limits,
               (struct expected){SL_CLASS_EXIT, "its limit of 40 processes"});
    check_mode(WITHOUT, bomb, limits,
               (struct expected){SL_CLASS_SIGNAL, "its limit is 40: killed"});
}

SL_TEST(runners_local_containment, daemon__forked_twice__is_killed_after_the_step)
{
    check_modes(
        "python3 -c \"import os,time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): "
        "os._exit(0)\nos.close(0);os.close(1);os.close(2)\nopen('up','w').close()\n"
        "time.sleep(600)\"; until test -e up; do sleep 0.01; done",
        (struct sl_attempt_limits){0}, (struct expected){SL_CLASS_EXIT, ""});
}

SL_TEST(runners_local_containment, term_ignored_by_a_tree__is_killed)
{
    check_modes("trap '' TERM; (trap '' TERM; setsid sleep 1000) & sleep 1000",
                (struct sl_attempt_limits){.timeout_ms = 100, .grace_ms = 50},
                (struct expected){SL_CLASS_TIMEOUT, "ran over its timeout"});
}

SL_TEST(runners_local_containment, streams_closed__step_goes_on)
{
    check_modes("exec >&- 2>&-; sleep 0.3; exit 0", (struct sl_attempt_limits){.timeout_ms = 60000},
                (struct expected){SL_CLASS_EXIT, ""});
}

SL_TEST(runners_local_containment, shim_killed_by_its_step__nothing_is_left)
{
    check_modes("setsid sleep 1000 & sleep 1000 & kill -KILL $PPID; sleep 1000",
                (struct sl_attempt_limits){.timeout_ms = 60000},
                (struct expected){SL_CLASS_LOST, "its shim was killed"});
}

/* Takes a descriptor that a step sends over a Unix socket, and writes to it without end. */
static void stranger(const char *path, int ready)
{
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    (void)signal(SIGPIPE, SIG_DFL);
    if (bind(s, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(s, 1) != 0 ||
        write(ready, "r", 1) != 1) {
        _exit(1);
    }
    int c = accept(s, NULL, NULL);
    char byte = 0;
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof(control.space)};
    int fd = -1;
    if (recvmsg(c, &m, 0) == 1 && CMSG_FIRSTHDR(&m) != NULL) {
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
    }
    static const char line[4096] = "more and more\n";
    for (;;) {
        if (write(fd, line, sizeof(line)) < 0 && errno != EAGAIN) {
            _exit(0); /* nobody reads any more: SIGPIPE comes first */
        }
    }
}

SL_TEST(runners_local_containment, log_pipe_in_foreign_hands__the_attempt_still_ends)
{
    struct rig r = {0};
    struct rig_attempt a;
    int ready[2];
    char byte = 0;
    rig_open(&r);
    rig_prepare(&r, &a);
    char *path = sl_test_path(a.dir, "s");
    SL_CHECK_EQ_INT(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        stranger(path, ready[1]);
    }
    SL_CHECK_EQ_INT(read(ready[0], &byte, 1), 1);
    const char *const argv[] = {"python3", "-c",
                                "import socket,array\ns=socket.socket(socket.AF_UNIX)\n"
                                "s.connect('../s')\nsocket.send_fds(s,[b'x'],[1])",
                                NULL};
    const struct sl_attempt_limits limits = {.log_bytes_max = MIB};
    rig_start(&r, &a, argv, &limits);
    rig_go(&r, &a);
    rig_wait(&r, &a);
    SL_CHECK_EQ_STR(a.result.reason, "");
    SL_CHECK_EQ_INT(a.result.exit_code, 0);
    SL_CHECK_EQ_INT(waitpid(pid, NULL, 0), pid); /* the pipe has no reader any more */
    (void)close(ready[0]);
    (void)close(ready[1]);
    free(path);
    rig_free(&a);
    rig_close(&r);
}
