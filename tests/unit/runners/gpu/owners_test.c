/* Whose processes are, told by their environment; only those of this data directory are ended. */
#include "core/base/base.h"

#include "runners/gpu/owners.h"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "tests/support/sl_test.h"

#define ATTEMPT "0123456789abcdef0123456789abcdef"

/** A process that waits for its end. It has its environment once it answers. */
static pid_t start(const char *const *env, int *ret_pipe)
{
    int fds[2];
    int ready[2];
    pid_t pid = 0;
    char byte = 0;
    static const char *const argv[] = {"cat", NULL};
    posix_spawn_file_actions_t actions;
    SL_CHECK_EQ_INT(pipe(fds), 0);
    SL_CHECK_EQ_INT(pipe(ready), 0);
    SL_CHECK_EQ_INT(posix_spawn_file_actions_init(&actions), 0);
    SL_CHECK_EQ_INT(posix_spawn_file_actions_adddup2(&actions, fds[0], 0), 0);
    SL_CHECK_EQ_INT(posix_spawn_file_actions_adddup2(&actions, ready[1], 1), 0);
    SL_CHECK_EQ_INT(posix_spawn_file_actions_addclose(&actions, fds[1]), 0);
    SL_CHECK_EQ_INT(posix_spawn(&pid, "/bin/cat", &actions, NULL, (char *const *)(uintptr_t)argv,
                                (char *const *)(uintptr_t)env),
                    0);
    (void)posix_spawn_file_actions_destroy(&actions);
    SL_CHECK_EQ_INT((int)write(fds[1], "x", 1), 1);
    SL_CHECK_EQ_INT((int)read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    (void)close(fds[0]);
    *ret_pipe = fds[1];
    return pid;
}

static const char *owner_of(pid_t pid)
{
    static struct sl_gpu_inventory inv;
    memset(&inv, 0, sizeof(inv));
    inv.n = 1;
    inv.gpus[0].processes = inv.gpus[0].n_pids = 1;
    inv.gpus[0].pids[0].pid = (int)pid;
    sl_gpu_owners_fill(&inv);
    return inv.gpus[0].pids[0].attempt_id;
}

SL_TEST(runners_gpu_owners, owner__by_environment__ended_only_when_ours)
{
    static const char *const env[] = {"A=SLUICE_ATTEMPT_ID=no", "SLUICE_ATTEMPT_ID=" ATTEMPT,
                                      "SLUICE_METRICS=/data/runs/r/a/metrics.jsonl", NULL};
    int fd = -1;
    int status = 0;
    pid_t pid = start(env, &fd);
    SL_CHECK_EQ_STR(owner_of(pid), ATTEMPT);
    SL_CHECK(!sl_gpu_owner_kill(pid, "ffffffffffffffffffffffffffffffff", "/data"));
    SL_CHECK(!sl_gpu_owner_kill(pid, ATTEMPT, "/dat")); /* another engine's */
    SL_CHECK(!sl_gpu_owner_kill(pid, ATTEMPT, "/data/runs/r/a/metrics.jsonl"));
    SL_CHECK_EQ_INT((int)waitpid(pid, &status, WNOHANG), 0);
    SL_CHECK(sl_gpu_owner_kill(pid, ATTEMPT, "/data"));
    SL_CHECK_EQ_INT((int)waitpid(pid, &status, 0), (int)pid);
    SL_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    SL_CHECK_EQ_STR(owner_of(pid), ""); /* gone */
    (void)close(fd);
}

SL_TEST(runners_gpu_owners, owner__none_or_no_id__is_nobody)
{
    static const char *const env[] = {"SLUICE_ATTEMPT_ID=../../etc", "SLUICE_METRICS=/data/x",
                                      NULL};
    int fd = -1;
    int status = 0;
    pid_t pid = start(env, &fd);
    SL_CHECK_EQ_STR(owner_of(pid), "");
    SL_CHECK(!sl_gpu_owner_kill(pid, ATTEMPT, "/data"));
    SL_CHECK(!sl_gpu_owner_kill(getpid(), ATTEMPT, "/data"));
    SL_CHECK(!sl_gpu_owner_kill(1, ATTEMPT, "/data"));
    (void)close(fd); /* cat ends */
    SL_CHECK_EQ_INT((int)waitpid(pid, &status, 0), (int)pid);
    SL_CHECK(WIFEXITED(status));
}
