/**
 * kill -9 at every deploy.* and promote.* fault point (and at every commit), then resume: the same end, and
 * `current` resolves to a whole release at every moment in between.
 *
 * The child is this binary again: a constructor takes over before the test runner's main when
 * SL_DEPLOY_CHILD names a story and a directory.
 */
#include "core/base/base.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/fault.h"
#include "tests/support/sl_test.h"
#include "tests/unit/pipelines/deploy/rig.h"

#define NTH_MAX 12 /* hits of one point tried */

extern char **environ;

static const char *const sick[] = {"/bin/sh", "-c", "test \"$(cat number)\" != 3", NULL};
static const char *const reload[] = {"/bin/sh", "-c", "cat ../../current/number", NULL};

/** With v1 and v2 deployed: 'd'eploy v4, 'f'ail with v3 (unhealthy), 'r'oll back. Resumes first. */
static int story(struct rig *r, char what)
{
    struct sl_deploy_outcome out;
    size_t n = 0;
    const char **health = sl_calloc(4, sizeof(*health)), **again = sl_calloc(4, sizeof(*again));
    (void)memcpy(health, sick, sizeof(sick));
    (void)memcpy(again, reload, sizeof(reload));
    r->target.health = health;
    r->target.reload = again;
    int rc = sl_promote_replay(&r->w.promote, &n, &r->err);
    if (rc == 0) {
        rc = sl_deploy_resume(&r->w, &n, &r->err);
    }
    if (rc == 0 && what == 'r') {
        const struct sl_rollback_order o = {.target = "churn-api",
                                            .actor = "bob",
                                            .attempt_id = "00000000000000000000000000000001"};
        rc = sl_deploy_rollback(&r->w, &o, &out, &r->err);
    } else if (rc == 0) {
        struct sl_deploy_order o = order_for(r, what == 'd' ? 4 : 3);
        o.attempt_id = "00000000000000000000000000000001";
        rc = sl_deploy_run(&r->w, &o, &out, &r->err);
    }
    free(health);
    free(again);
    return what == 'f' && rc == -SL_EFAILED ? 0 : rc;
}

static void child(const char *spec)
{
    struct sl_err err = SL_ERR_INIT;
    struct rig r;
    if (sl_fault_init(&err) < 0) {
        (void)fprintf(stderr, "child: %s\n", err.msg);
        _exit(8);
    }
    rig_open(&r, spec + 1);
    int rc = story(&r, spec[0]);
    if (rc < 0) {
        (void)fprintf(stderr, "child: %s\n", r.err.msg);
    }
    rig_close(&r);
    _exit(rc < 0 ? 7 : 0);
}

__attribute__((constructor)) static void maybe_child(void)
{
    static const char name[] = "SL_DEPLOY_CHILD=";
    for (char **e = environ; *e != NULL; e++) {
        if (strncmp(*e, name, sizeof(name) - 1) == 0) {
            child(*e + sizeof(name) - 1);
        }
    }
}

static int run_child(const char *dir, char what, const char *fault)
{
    _cleanup_(free)
    char *child_env = sl_asprintf("SL_DEPLOY_CHILD=%c%s", what, dir);
    _cleanup_(free)
    char *fault_env = sl_asprintf("SLUICE_FAULT=%s", fault);
    char asan_env[] = "ASAN_OPTIONS=detect_leaks=0"; /* it dies with its work open */
    char *env[] = {child_env, asan_env, fault[0] != '\0' ? fault_env : NULL, NULL};
    char exe[] = "/proc/self/exe";
    char *argv[] = {exe, NULL};
    pid_t pid = -1;
    int status = 0;
    SL_CHECK_EQ_INT(posix_spawn(&pid, exe, NULL, NULL, argv, env), 0);
    SL_CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
    return status;
}

/** What the story ends with, whatever happened on the way. */
static void check_end(struct rig *r, char what, const char *fault)
{
    int64_t live = what == 'd' ? 4 : what == 'f' ? 2 : 1;
    _cleanup_(free)
    char *state = newest_state(r);
    SL_CHECK_MSG(serving(r) == live, "%c %s: serves v%lld", what, fault, (long long)serving(r));
    SL_CHECK_MSG(champion(r) == live, "%c %s: champion v%lld", what, fault, (long long)champion(r));
    SL_CHECK_MSG(strcmp(state, what == 'f' ? "failed" : "live") == 0, "%c %s: %s", what, fault,
                 state);
    SL_CHECK_MSG(count(r, "open promotions") == 0, "%c %s", what, fault);
    SL_CHECK_MSG(count(r, "deployments") == 3, "%c %s", what, fault);
    SL_CHECK_MSG(count(r, "promotions") == (what == 'f' ? 2 : 3), "%c %s", what, fault);
}

/** True when the point was hit (and the child killed). */
static bool kill_once(char what, const char *point, int nth)
{
    char *dir = sl_test_tmpdir();
    struct rig *r = SL_NEW(struct rig);
    rig_open(r, dir);
    deploy_good(r, 1, 0);
    deploy_good(r, 2, 1);
    judged(r, 3, 2, SL_VERDICT_PASS);
    judged(r, 4, 2, SL_VERDICT_PASS);
    rig_close(r);
    _cleanup_(free)
    char *fault = sl_asprintf("%s:%d:kill", point, nth);
    int status = run_child(dir, what, fault);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    SL_CHECK_MSG(killed || status == 0, "%c %s: status %d", what, fault, status);
    rig_open(r, dir);
    int64_t between = serving(r); /* resolves, or the test fails */
    SL_CHECK_MSG(between != 0, "%c %s: nothing is served", what, fault);
    rig_close(r);
    status = run_child(dir, what, "");
    SL_CHECK_MSG(status == 0, "%c %s: resume ended with %d", what, fault, status);
    rig_open(r, dir);
    check_end(r, what, fault);
    rig_close(r);
    free(r);
    sl_test_rmdir(dir);
    return killed;
}

static int kill_everywhere(char what)
{
    int n_kills = 0;
    for (int p = 0; p < SL_FAULT_COUNT; p++) {
        const char *point = sl_fault_name((enum sl_fault_point)p);
        bool ours = strncmp(point, "deploy.", 7) == 0 || strncmp(point, "promote.", 8) == 0 ||
                    strcmp(point, "db.commit") == 0 || strcmp(point, "db.committed") == 0;
        for (int nth = 1; ours && nth <= NTH_MAX; nth++) {
            if (!kill_once(what, point, nth)) {
                break;
            }
            n_kills++;
        }
    }
    (void)printf("story %c: %d kills\n", what, n_kills);
    return n_kills;
}

SL_TEST(deploy_kill, deploy__killed_anywhere__ends_live, .timeout = 300)
{
    SL_CHECK(kill_everywhere('d') >= 15);
}

SL_TEST(deploy_kill, failing_deploy__killed_anywhere__ends_with_the_previous, .timeout = 300)
{
    SL_CHECK(kill_everywhere('f') >= 12);
}

SL_TEST(deploy_kill, rollback__killed_anywhere__ends_rolled_back, .timeout = 300)
{
    SL_CHECK(kill_everywhere('r') >= 12);
}
