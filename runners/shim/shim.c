/**
 * The shim: one tiny process per attempt. It waits for the start byte, runs the step, keeps its log,
 * its limits and its deadline, empties and removes its cgroup, and leaves an exit record behind.
 * The engine may die and come back meanwhile.
 *
 * Started by runners/local in the attempt directory as "sluice-shim NONCE ATTEMPT". Protocol and
 * formats: README.md of this room.
 *
 * Thread: single. Must not: let the step run before the start byte, or twice; leave a process or a
 * cgroup behind.
 */
#include "core/base/base.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runners/shim/shim_priv.h"

#define EXIT_AGAIN    3  /* the attempt was begun before */
#define EXIT_ERRNO    64 /* plus an errno value: no record could be made */
#define KILL_EVERY_MS 20
#define NEVER         INT64_MAX

/*
 *   RUNNING --deadline, TERM to us--> ENDING --grace over--> KILLING
 *      |                                 |                      |
 *      | step exits, others left         | nobody left          | nobody left
 *      v                                 v                      v
 *   LINGERING --250 ms--> KILLING      (done)                 (done)
 */
enum phase { RUNNING, LINGERING, ENDING, KILLING };

static struct shim {
    struct shim_spec spec;
    struct shim_result result;
    struct shim_step step;
    enum phase phase;
    int signal_fd;
    int64_t phase_until; /* monotonic ms: deadline, end of linger or grace, next KILL */
    int64_t flush_at;
    bool step_ended, nobody_left;
    bool cancelled; /* asked for while the step ran */
    bool out_open, err_open;
} shim;

static void finish_record(enum shim_class class, const char *reason)
{
    shim.result.class = class;
    if (reason != NULL) {
        (void)snprintf(shim.result.reason, sizeof(shim.result.reason), "%s", reason);
    }
    (void)shim_record_publish(&shim.spec, &shim.result); /* without it the engine says lost */
}

static int open_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGHUP, &ignore, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigprocmask(SIG_SETMASK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Takes all pending signals. True when one of them asks for the end. */
static bool drain_signals(void)
{
    struct signalfd_siginfo info[8];
    bool end = false;
    for (;;) {
        ssize_t n = read(shim.signal_fd, info, sizeof(info));
        if (n <= 0) {
            return end;
        }
        for (size_t i = 0; i < (size_t)n / sizeof(info[0]); i++) {
            end = end || info[i].ssi_signo != SIGCHLD;
        }
    }
}

enum start { START_GO, START_NEVER, START_CANCELLED };

static enum start await_start(void)
{
    for (;;) {
        struct pollfd fds[2] = {{SHIM_START_FD, POLLIN, 0}, {shim.signal_fd, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0) {
            continue; /* EINTR */
        }
        if (fds[1].revents != 0 && drain_signals()) {
            return START_CANCELLED;
        }
        if (fds[0].revents != 0) {
            char byte = 0;
            ssize_t n = read(SHIM_START_FD, &byte, 1);
            if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
                continue;
            }
            return n == 1 && byte == 'G' ? START_GO : START_NEVER;
        }
    }
}

static void kill_all(void)
{
    shim_cgroup_kill(&shim.spec);
    shim_sweep();
}

static void enter(enum phase phase, int64_t for_ms)
{
    int64_t now = shim_mono_ms();
    shim.phase = phase;
    shim.phase_until = for_ms > NEVER - now ? NEVER : now + for_ms;
}

static void begin_ending(enum shim_class class)
{
    if (shim.phase != RUNNING) {
        return;
    }
    /* Inside a sandbox the step leads a group of its own; the sandbox's program must not die of it. */
    pid_t inside = shim.spec.n_box > 0 ? shim_box_group() : 0;
    pid_t group = inside > 0 ? inside : shim.step.pid;
    shim.result.class = class;
    (void)kill(-group, SIGTERM);
    (void)kill(-group, SIGCONT); /* a stopped step could not see it */
    enter(ENDING, shim.spec.grace_ms);
}

/* A step that is silent may still save its work; one that takes too much is ended at once. */
static void over_limit(void)
{
    struct shim_result seen = {0};
    if (shim.phase == KILLING || !shim_watch_look(&shim.spec, &seen)) {
        return;
    }
    if (shim.phase == RUNNING) {
        memcpy(shim.result.reason, seen.reason, sizeof(seen.reason));
        shim.result.oom = seen.oom;
        if (seen.class == SHIM_STALLED) {
            begin_ending(SHIM_STALLED);
            return;
        }
        shim.result.class = seen.class;
    }
    if (seen.class != SHIM_STALLED) {
        kill_all();
        enter(KILLING, KILL_EVERY_MS);
    }
}

static void phase_over(void)
{
    switch (shim.phase) {
    case RUNNING: begin_ending(SHIM_TIMEOUT); return;
    case LINGERING:
    case ENDING:
    case KILLING: break;
    }
    kill_all();
    enter(KILLING, KILL_EVERY_MS);
}

static void note_step_end(int status)
{
    shim.step_ended = true;
    shim.result.ended_ms = shim_wall_us() / 1000;
    shim.result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    shim.result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (shim.phase == RUNNING) {
        shim.result.class = WIFEXITED(status) ? SHIM_EXIT : SHIM_SIGNAL;
        enter(LINGERING, SHIM_LINGER_MS);
    }
}

static void reap(void)
{
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == shim.step.pid) {
            note_step_end(status);
        }
        if (pid < 0 && errno == ECHILD) {
            shim.nobody_left = true; /* orphans are inherited: no child means no descendant */
        }
        if (pid <= 0) {
            return;
        }
    }
}

static int poll_timeout(void)
{
    int64_t until = SL_MIN(shim.phase_until, shim_watch_due());
    if (shim_log_has_partial()) {
        until = SL_MIN(until, shim.flush_at);
    }
    if (until == NEVER) {
        return -1;
    }
    int64_t left = until - shim_mono_ms();
    return left < 0 ? 0 : (int)SL_MIN(left, 3600000);
}

static void pump(bool out_ready, bool err_ready)
{
    if (shim.out_open && out_ready) {
        shim.out_open = shim_log_pump(SHIM_OUT, shim.step.out_fd);
    }
    if (shim.err_open && err_ready) {
        shim.err_open = shim_log_pump(SHIM_ERR, shim.step.err_fd);
    }
    if (out_ready || err_ready) {
        shim.flush_at = shim_mono_ms() + SHIM_FLUSH_MS;
    }
}

/* One round of waiting and handling. */
static void turn(void)
{
    struct pollfd fds[3] = {{shim.signal_fd, POLLIN, 0},
                            {shim.out_open ? shim.step.out_fd : -1, POLLIN, 0},
                            {shim.err_open ? shim.step.err_fd : -1, POLLIN, 0}};
    if (poll(fds, 3, poll_timeout()) < 0) {
        return; /* EINTR */
    }
    pump(fds[1].revents != 0, fds[2].revents != 0);
    if (fds[0].revents != 0) {
        if (drain_signals()) {
            begin_ending(SHIM_CANCELLED);
        }
        reap();
    }
    int64_t now = shim_mono_ms();
    if (shim_log_has_partial() && now >= shim.flush_at) {
        shim_log_flush_partial();
    }
    if (now >= shim_watch_due() && !shim.nobody_left) {
        over_limit();
    }
    if (now >= shim.phase_until && !shim.nobody_left) {
        phase_over();
    }
    shim_log_flush();
}

/* Nobody can write any more, unless a pipe's end was sent to a stranger: take what is there, and from
 * a stranger that goes on writing no more than SHIM_DRAIN_MAX. */
static void drain_streams(void)
{
    for (int i = 0; i < 2; i++) {
        bool *open = i == 0 ? &shim.out_open : &shim.err_open;
        int fd = i == 0 ? shim.step.out_fd : shim.step.err_fd;
        struct pollfd p = {fd, POLLIN, 0};
        uint64_t end = shim_log_taken() + SHIM_DRAIN_MAX;
        while (*open && shim_log_taken() < end && poll(&p, 1, 0) > 0) {
            *open = shim_log_pump(i == 0 ? SHIM_OUT : SHIM_ERR, fd);
        }
    }
    shim_log_finish();
    shim_log_flush();
}

static void run_step(void)
{
    shim.result.started_ms = shim_wall_us() / 1000;
    shim_step_start(&shim.spec, &shim.step);
    shim_secret_forget();
    shim_box_forget();
    if (shim.step.pid < 0) {
        shim.step.stage = shim.step.stage != NULL ? shim.step.stage : "cannot start";
        shim.nobody_left = true;
    } else {
        shim.out_open = true;
        shim.err_open = true;
        enter(RUNNING, shim.spec.timeout_ms > 0 ? shim.spec.timeout_ms : NEVER);
        shim_watch_begin(&shim.spec);
    }
    while (!shim.nobody_left) {
        turn();
    }
    drain_streams();
}

/* The sandbox's program passes an exit code on, tells a signal as 128 and its number, and fails with
 * 1 when it could not begin the step: told apart here. */
static void explain_box(struct shim_result *r)
{
    if (r->class != SHIM_EXIT || r->reason[0] != '\0') {
        return;
    }
    if (!shim_box_began()) {
        r->class = SHIM_EXEC_FAILED;
        r->code = -1;
        (void)snprintf(r->reason, sizeof(r->reason),
                       "the sandbox could not begin %.100s: its log says why", shim.spec.argv[0]);
    } else if (r->code > 128 && r->code < 128 + NSIG) {
        (void)snprintf(r->reason, sizeof(r->reason), "exit code %d: killed by signal %d?", r->code,
                       r->code - 128);
    }
}

static void conclude(void)
{
    struct shim_result *r = &shim.result;
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_CHILDREN, &usage);
    r->user_us = (int64_t)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec;
    r->system_us = (int64_t)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
    r->maxrss_kb = usage.ru_maxrss;
    r->dropped = shim_log_dropped();
    r->oom = r->oom || shim_cgroup_oom(&shim.spec);
    if (r->oom && (r->class == SHIM_EXIT ? r->code != 0 : r->class == SHIM_SIGNAL)) {
        r->class = SHIM_OOM;
    }
    shim_watch_end(&shim.spec, r);
    if (shim.spec.n_box > 0) {
        explain_box(r);
    }
    if (shim.step.error != 0) {
        r->class = shim.step.infra ? SHIM_INFRA : SHIM_EXEC_FAILED;
        r->code = -1;
        bool exec = strcmp(shim.step.stage, "cannot execute") == 0;
        bool box = strcmp(shim.step.stage, "cannot execute the sandbox") == 0;
        (void)snprintf(r->reason, sizeof(r->reason), "%s %.180s: %s", shim.step.stage,
                       exec  ? shim.spec.argv[0]
                       : box ? shim.spec.box[0]
                             : shim.spec.cwd,
                       strerror(shim.step.error));
    }
    shim_secret_remove();
    shim_cgroup_remove(&shim.spec);
    (void)shim_record_publish(&shim.spec, r); /* without it the engine says lost */
}

static void discard(void)
{
    shim_secret_remove();
    shim_cgroup_remove(&shim.spec);
    shim_log_discard();
}

/* Everything that can be done before the start byte, so that the step begins at once after it. */
static int prepare(void)
{
    char reason[SHIM_REASON_MAX] = "";
    shim.result.code = -1;
    if (!shim_spec_read(SHIM_SPEC_FD, &shim.spec, reason)) {
        return EXIT_ERRNO + EINVAL;
    }
    (void)close(SHIM_SPEC_FD);
    if (access("exec", F_OK) == 0) {
        return EXIT_AGAIN;
    }
    int error = shim_record_reserve();
    if (error != 0) {
        return EXIT_ERRNO + (error & 63);
    }
    error = shim_log_open(shim.spec.log_bytes_max);
    if (error != 0) {
        (void)snprintf(reason, sizeof(reason), "cannot create the log: %s", strerror(error));
    } else if (!shim_secret_prepare(&shim.spec, reason)) {
        error = EIO;
    } else if (shim.spec.n_box > 0 && (error = shim_box_prepare(&shim.spec)) != 0) {
        (void)snprintf(reason, sizeof(reason), "cannot make the sandbox's orders: %s",
                       strerror(error));
    } else if (shim_cgroup_create(&shim.spec, reason)) {
        shim_watch_prepare(&shim.spec);
        return 0;
    }
    shim_secret_remove();
    shim_log_discard();
    finish_record(SHIM_NEVER_STARTED, reason);
    return 1;
}

int main(void)
{
    (void)syscall(SYS_close_range, SHIM_START_FD + 1, ~0U, 0); /* old kernels: nothing inherited */
    (void)prctl(PR_SET_NAME, "sluice-shim");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    shim.signal_fd = open_signals();
    int status = shim.signal_fd < 0 ? EXIT_ERRNO + (errno & 63) : prepare();
    if (status != 0) {
        return status;
    }
    enum start start = await_start();
    (void)close(SHIM_START_FD);
    if (start != START_GO) {
        discard();
        if (start == START_CANCELLED) {
            finish_record(SHIM_CANCELLED, "cancelled before it began");
        } else {
            shim_record_discard();
        }
        return 0;
    }
    int error = shim_mark_exec(&shim.spec);
    if (error != 0) {
        discard();
        if (error == EEXIST) {
            shim_record_discard();
            return EXIT_AGAIN;
        }
        (void)snprintf(shim.result.reason, sizeof(shim.result.reason),
                       "cannot write the start marker: %s", strerror(error));
        finish_record(SHIM_NEVER_STARTED, NULL);
        return 1;
    }
    run_step();
    conclude();
    return 0;
}
