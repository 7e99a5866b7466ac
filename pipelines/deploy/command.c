/**
 * Commands of a target: run in the release with a minimal environment, bounded in time and output.
 *
 * Thread: a lane (blocks until the command ends). Must not: use a shell, or inherit our environment.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/aio/proc.h"

#define COMMAND_PATH  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define KILL_WAIT_MS  10000 /* for the kernel to end what was killed */
#define DRAIN_WAIT_MS 100   /* for a pipe that a stray child holds open */

/** The last bytes of what a command printed. */
struct tail {
    char bytes[SL_DEPLOY_OUTPUT_MAX];
    size_t n;
};

static void tail_add(struct tail *t, const char *data, size_t len)
{
    if (len > sizeof(t->bytes)) {
        data += len - sizeof(t->bytes);
        len = sizeof(t->bytes);
    }
    size_t keep = SL_MIN(t->n, sizeof(t->bytes) - len);
    (void)memmove(t->bytes, t->bytes + (t->n - keep), keep);
    (void)memcpy(t->bytes + keep, data, len);
    t->n = keep + len;
}

/** One line for a message: blanks for control characters, trimmed. */
static void tail_text(const struct tail *t, char out[SL_DEPLOY_OUTPUT_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        unsigned char c = (unsigned char)t->bytes[i];
        bool blank = c <= 0x20 || c == 0x7F;
        if (!blank) {
            out[n++] = t->bytes[i];
        } else if (n > 0 && out[n - 1] != ' ') {
            out[n++] = ' ';
        }
    }
    while (n > 0 && out[n - 1] == ' ') {
        n--;
    }
    out[n] = '\0';
}

/** True while the pipe may bring more. */
static bool drain(int fd, struct tail *t)
{
    char chunk[4096];
    for (int i = 0; i < 64; i++) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n > 0) {
            tail_add(t, chunk, (size_t)n);
        } else {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
    }
    return true;
}

/** Reads output until the process has ended or the time is over; -SL_ETIMEOUT. */
static int watch(const struct sl_proc *proc, int out, int64_t timeout_ms, struct tail *t,
                 struct sl_err *err)
{
    int64_t deadline = sl_mono_ns() / 1000000 + timeout_ms;
    struct pollfd fds[] = {{.fd = proc->pidfd, .events = POLLIN}, {.fd = out, .events = POLLIN}};
    for (;;) {
        int64_t left = deadline - sl_mono_ns() / 1000000;
        if (left <= 0) {
            return sl_err_set(err, SL_ETIMEOUT, "timed out");
        }
        int n = poll(fds, SL_LEN(fds), (int)SL_MIN(left, (int64_t)INT32_MAX));
        if (n < 0 && errno != EINTR) {
            return sl_err_errno(err, errno, "cannot wait for the command");
        }
        if (n > 0 && fds[1].revents != 0 && !drain(out, t)) {
            fds[1].fd = -1;
        }
        if (n > 0 && fds[0].revents != 0) {
            break;
        }
    }
    struct pollfd rest = {.fd = out, .events = POLLIN};
    while (poll(&rest, 1, DRAIN_WAIT_MS) > 0 && drain(out, t)) {
        if ((rest.revents & POLLHUP) != 0) {
            break;
        }
    }
    return 0;
}

static int spawn(struct sl_exec *x, const char *const *argv, const struct sl_deployment *of,
                 int out, struct sl_proc *ret, struct sl_err *err)
{
    struct sl_arena *a = &x->arena;
    const char *release = sl_arena_printf(a, "%s/releases/%s", x->dir.path, of->release);
    char digest[SL_DEPLOY_DIGEST];
    const char *const env[] = {
        "PATH=" COMMAND_PATH,
        "LANG=C.UTF-8",
        sl_arena_printf(a, "SLUICE_RELEASE=%s", release),
        sl_arena_printf(a, "SLUICE_TARGET=%s", of->target),
        sl_arena_printf(a, "SLUICE_VERSION=%s@v%lld", of->entity, (long long)of->number),
        sl_arena_printf(a, "SLUICE_DIGEST=%s", sl_deploy_digest(&of->digest, digest)),
        NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    spec.env = env;
    spec.search_path = COMMAND_PATH;
    spec.cwd = release;
    spec.stdout_fd = out;
    spec.stderr_fd = out;
    spec.group = SL_PROC_NEW_GROUP;
    return sl_proc_spawn(&spec, ret, err);
}

static int judge_exit(const char *what, const char *program, const struct sl_proc_exit *end,
                      const struct tail *t, struct sl_err *err)
{
    char text[SL_DEPLOY_OUTPUT_MAX + 1];
    tail_text(t, text);
    const char *tail = strlen(text) > 300 ? text + strlen(text) - 300 : text;
    if (end->code == 0) {
        return 0;
    }
    if (end->signum != 0) {
        return sl_err_set(err, SL_EFAILED, "the %s (%s) was killed by signal %d%s%s", what, program,
                          end->signum, tail[0] != '\0' ? ": " : "", tail);
    }
    return sl_err_set(err, SL_EFAILED, "the %s (%s) ended with exit code %d%s%s", what, program,
                      end->code, tail[0] != '\0' ? ": " : "", tail);
}

int sl_deploy_command(struct sl_exec *x, const char *what, const char *const *argv,
                      const struct sl_deployment *of, struct sl_err *err)
{
    SL_ASSERT(argv != NULL && argv[0] != NULL);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return sl_err_errno(err, errno, "cannot make a pipe for the %s", what);
    }
    _cleanup_(close)
    int out = ends[0];
    int in = ends[1];
    struct sl_proc proc = SL_PROC_INIT;
    int rc = fcntl(out, F_SETFL, O_NONBLOCK) < 0
                 ? sl_err_errno(err, errno, "cannot prepare the pipe of the %s", what)
                 : spawn(x, argv, of, in, &proc, err);
    sl_cleanup_close(&in);
    if (rc < 0) {
        return sl_err_wrap(err, "the %s could not be started", what);
    }
    struct tail t = {.n = 0};
    struct sl_proc_exit end = {0};
    int watched = watch(&proc, out, x->target.timeout_ms, &t, err);
    (void)kill(-proc.pid, SIGKILL); /* the group: also what the command left behind */
    rc = sl_proc_wait(&proc, KILL_WAIT_MS, &end, watched < 0 ? NULL : err);
    sl_proc_release(&proc);
    if (watched == -SL_ETIMEOUT) {
        return sl_err_set(err, SL_ETIMEOUT, "the %s (%s) took longer than %lld ms and was killed",
                          what, argv[0], (long long)x->target.timeout_ms);
    }
    if (watched < 0 || rc < 0) {
        return watched < 0 ? watched : rc;
    }
    return judge_exit(what, argv[0], &end, &t, err);
}
