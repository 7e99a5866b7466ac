/**
 * Deployments end to end on a real directory: what goes live, what is refused, what flips back, what stays.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/sl_test.h"
#include "tests/unit/pipelines/deploy/rig.h"

#define WITH_RIG(r)                                                                                \
    char *dir_ = sl_test_tmpdir();                                                                 \
    struct rig *r = SL_NEW(struct rig);                                                            \
    rig_open(r, dir_)
#define END_RIG(r)                                                                                 \
    rig_close(r);                                                                                  \
    free(r);                                                                                       \
    sl_test_rmdir(dir_)

static const char *shell[4] = {"/bin/sh", "-c", NULL, NULL};
static const char *other[4] = {"/bin/sh", "-c", NULL, NULL};

static const char **sh(const char *script)
{
    shell[2] = script;
    return shell;
}

static int deploy(struct rig *r, int64_t number, struct sl_deploy_outcome *out)
{
    struct sl_deploy_order o = order_for(r, number);
    return sl_deploy_run(&r->w, &o, out, &r->err);
}

static int roll_back(struct rig *r, const char *to, struct sl_deploy_outcome *out)
{
    const struct sl_rollback_order o = {
        .target = "churn-api", .to = to, .actor = "bob", .reason = "it is bad"};
    return sl_deploy_rollback(&r->w, &o, out, &r->err);
}

SL_TEST(deploy, run__judged_version__goes_live_with_alias_and_record)
{
    WITH_RIG(r);
    deploy_good(r, 1, 0);
    json_t *list = NULL;
    SL_CHECK_OK(sl_deploy_list(r->db, NULL, 10, &list, &r->err), r->err);
    SL_CHECK_EQ_INT(json_array_size(list), 1);
    const json_t *d = json_array_get(list, 0);
    SL_CHECK(sl_json_bool(d, "live", false));
    SL_CHECK_EQ_STR(sl_json_str(d, "state", ""), "live");
    SL_CHECK_EQ_STR(sl_json_str(d, "actor", ""), "ann");
    SL_CHECK_EQ_INT(sl_json_i64(d, "version", 0), 1);
    SL_CHECK_EQ_INT(strlen(sl_json_str(d, "verdict_id", "")), 32);
    json_decref(list);
    END_RIG(r);
}

SL_TEST(deploy, run__without_verdict__is_refused_and_leaves_nothing)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    SL_CHECK_ERR(deploy(r, 1, &out), SL_EREFUSED, r->err, "no gate has judged default/churn");
    judged(r, 1, 0, SL_VERDICT_REFUSE);
    SL_CHECK_ERR(deploy(r, 1, &out), SL_EREFUSED, r->err, "refused: 1 of 1 rules failed");
    SL_CHECK_EQ_INT(count(r, "deployments"), 0);
    SL_CHECK_EQ_INT(serving(r), 0);
    SL_CHECK_EQ_INT(champion(r), 0);
    END_RIG(r);
}

SL_TEST(deploy, run__later_refusal__withdraws_the_pass)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    judged(r, 1, 0, SL_VERDICT_PASS);
    judged(r, 1, 0, SL_VERDICT_REFUSE);
    SL_CHECK_ERR(deploy(r, 1, &out), SL_EREFUSED, r->err, "refused");
    END_RIG(r);
}

SL_TEST(deploy, run__champion_moved_since_verdict__is_refused)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    judged(r, 2, 0, SL_VERDICT_PASS);
    deploy_good(r, 1, 0);
    SL_CHECK_ERR(deploy(r, 2, &out), SL_EREFUSED, r->err,
                 "the champion has moved since the verdict: default/churn@champion was none then "
                 "and is v1 now; run the gate again");
    SL_CHECK_EQ_INT(serving(r), 1);
    END_RIG(r);
}

SL_TEST(deploy, run__override__is_recorded_and_goes_live)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    judged(r, 1, 0, SL_VERDICT_REFUSE);
    struct sl_deploy_order o = order_for(r, 1);
    o.override_reason = "";
    SL_CHECK_ERR(sl_deploy_run(&r->w, &o, &out, &r->err), SL_EINVAL, r->err, "reason");
    o.override_reason = "the fix is urgent";
    SL_CHECK_OK(sl_deploy_run(&r->w, &o, &out, &r->err), r->err);
    SL_CHECK_EQ_INT(champion(r), 1);
    SL_CHECK_EQ_INT(count(r, "overrides"), 1);
    json_t *list = NULL;
    SL_CHECK_OK(sl_deploy_list(r->db, "churn-api", 10, &list, &r->err), r->err);
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(list, 0), "override_reason", ""),
                    "the fix is urgent");
    json_decref(list);
    END_RIG(r);
}

SL_TEST(deploy, run__live_digest__is_unchanged)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    deploy_good(r, 1, 0);
    SL_CHECK_OK(deploy(r, 1, &out), r->err);
    SL_CHECK_EQ_INT(out.result, SL_DEPLOY_UNCHANGED);
    SL_CHECK_EQ_INT(count(r, "deployments"), 1);
    END_RIG(r);
}

SL_TEST(deploy, run__same_attempt__is_the_same_deployment)
{
    WITH_RIG(r);
    struct sl_deploy_outcome one, two;
    judged(r, 1, 0, SL_VERDICT_PASS);
    struct sl_deploy_order o = order_for(r, 1);
    o.attempt_id = "0123456789abcdef0123456789abcdef";
    SL_CHECK_OK(sl_deploy_run(&r->w, &o, &one, &r->err), r->err);
    SL_CHECK_OK(sl_deploy_run(&r->w, &o, &two, &r->err), r->err);
    SL_CHECK_EQ_STR(one.id, two.id);
    SL_CHECK_EQ_INT(two.result, SL_DEPLOY_DONE);
    SL_CHECK_EQ_INT(count(r, "deployments"), 1);
    END_RIG(r);
}

SL_TEST(deploy, run__bad_content__fails_before_the_flip)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    deploy_good(r, 1, 0);
    judged(r, 2, 1, SL_VERDICT_PASS);
    r->bad_content = true;
    SL_CHECK_ERR(deploy(r, 2, &out), SL_EFAILED, r->err, "sub/dir/weights: digest differs");
    SL_CHECK_EQ_INT(serving(r), 1);
    SL_CHECK_EQ_INT(champion(r), 1);
    SL_CHECK_EQ_INT(count(r, "releases"), 1);
    END_RIG(r);
}

SL_TEST(deploy, run__failing_warmup__never_flips)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    deploy_good(r, 1, 0);
    judged(r, 2, 1, SL_VERDICT_PASS);
    r->target.warmup = sh("echo cannot load the model; exit 7");
    SL_CHECK_ERR(deploy(r, 2, &out), SL_EFAILED, r->err,
                 "the warm-up (/bin/sh) ended with exit code 7: cannot load the model");
    SL_CHECK_EQ_INT(serving(r), 1);
    END_RIG(r);
}

SL_TEST(deploy, run__failing_health__flips_back_and_reloads)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    r->target.health = sh("test \"$(cat number)\" != 2");
    other[2] = "cat ../../current/number >> ../../reloads";
    r->target.reload = other;
    r->target.health_retries = 1;
    deploy_good(r, 1, 0);
    judged(r, 2, 1, SL_VERDICT_PASS);
    SL_CHECK_ERR(deploy(r, 2, &out), SL_EFAILED, r->err,
                 "after 2 tries: the health check (/bin/sh) ended with exit code 1; "
                 "default/churn@v1 is live again");
    SL_CHECK_EQ_INT(serving(r), 1);
    SL_CHECK_EQ_INT(champion(r), 1);
    _cleanup_(free)
    char *path = sl_asprintf("%s/reloads", r->path);
    _cleanup_(free)
    char *reloads = sl_test_read(path, NULL);
    SL_CHECK_EQ_STR(reloads, "121"); /* v1, then v2, then v1 again */
    _cleanup_(free)
    char *state = newest_state(r);
    SL_CHECK_EQ_STR(state, "failed");
    END_RIG(r);
}

SL_TEST(deploy, run__first_release_unhealthy__leaves_nothing_live)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    r->target.health = sh("exit 1");
    judged(r, 1, 0, SL_VERDICT_PASS);
    SL_CHECK_ERR(deploy(r, 1, &out), SL_EFAILED, r->err, "nothing is live");
    SL_CHECK_EQ_INT(serving(r), 0);
    SL_CHECK_EQ_INT(champion(r), 0);
    END_RIG(r);
}

SL_TEST(deploy, run__command_environment__is_minimal_and_told)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    r->target.warmup =
        sh("test \"$SLUICE_TARGET\" = churn-api && test -f \"$SLUICE_RELEASE/number\""
           " && test \"$SLUICE_VERSION\" = default/churn@v1 &&"
           " test -z \"$HOME\" && test \"$(pwd)\" = \"$SLUICE_RELEASE\"");
    judged(r, 1, 0, SL_VERDICT_PASS);
    SL_CHECK_OK(deploy(r, 1, &out), r->err);
    END_RIG(r);
}

SL_TEST(deploy, run__hanging_command__is_killed_with_its_children)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    r->target.timeout_ms = 100;
    r->target.warmup = sh("tail -f /dev/null & tail -f /dev/null");
    judged(r, 1, 0, SL_VERDICT_PASS);
    SL_CHECK_ERR(deploy(r, 1, &out), SL_EFAILED, r->err, "took longer than 100 ms and was killed");
    END_RIG(r);
}

SL_TEST(deploy, run__current_is_a_directory__is_invalid)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    _cleanup_(free)
    char *inside = sl_asprintf("%s/current/x", r->path);
    sl_test_write_text(inside, "mine");
    judged(r, 1, 0, SL_VERDICT_PASS);
    SL_CHECK(deploy(r, 1, &out) < 0);
    SL_CHECK_CONTAINS(r->err.msg, "current exists and is not a link");
    SL_CHECK(sl_test_exists(inside));
    END_RIG(r);
}

SL_TEST(deploy, run__two_targets_one_directory__is_invalid)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    deploy_good(r, 1, 0);
    judged(r, 2, 1, SL_VERDICT_PASS);
    r->target.name = "another";
    SL_CHECK_ERR(deploy(r, 2, &out), SL_EINVAL, r->err, "belongs to another target");
    END_RIG(r);
}

SL_TEST(deploy, run__many_versions__keeps_the_last_and_prunes)
{
    WITH_RIG(r);
    for (int64_t n = 1; n <= 5; n++) {
        deploy_good(r, n, n - 1);
    }
    SL_CHECK_EQ_INT(count(r, "releases"), 2);
    END_RIG(r);
}

SL_TEST(deploy, rollback__previous__flips_to_the_warm_release_with_alias)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    deploy_good(r, 1, 0);
    deploy_good(r, 2, 1);
    r->bad_content = true; /* nothing may be written again */
    SL_CHECK_OK(roll_back(r, NULL, &out), r->err);
    SL_CHECK_EQ_INT(out.result, SL_DEPLOY_DONE);
    SL_CHECK_EQ_INT(out.version.version, 1);
    SL_CHECK_EQ_INT(serving(r), 1);
    SL_CHECK_EQ_INT(champion(r), 1);
    json_t *list = NULL;
    SL_CHECK_OK(sl_deploy_list(r->db, NULL, 10, &list, &r->err), r->err);
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(list, 0), "kind", ""), "rollback");
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(list, 1), "state", ""), "rolled_back");
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(list, 1), "reason", ""),
                    "rolled back to default/churn@v1 (#3): it is bad");
    json_decref(list);
    (void)printf("rollback: link flipped after %lld ms\n", (long long)out.flip_ms);
    END_RIG(r);
}

SL_TEST(deploy, rollback__again__skips_what_was_rolled_back)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    r->target.keep = 5;
    deploy_good(r, 1, 0);
    deploy_good(r, 2, 1);
    deploy_good(r, 3, 2);
    SL_CHECK_OK(roll_back(r, "previous", &out), r->err);
    SL_CHECK_EQ_INT(serving(r), 2);
    SL_CHECK_OK(roll_back(r, "previous", &out), r->err);
    SL_CHECK_EQ_INT(serving(r), 1); /* not 3, which was rolled back */
    SL_CHECK_EQ_INT(champion(r), 1);
    SL_CHECK_ERR(roll_back(r, "previous", &out), SL_ENOTFOUND, r->err, "no earlier version");
    SL_CHECK_OK(roll_back(r, "v3", &out), r->err); /* asked for by name */
    SL_CHECK_EQ_INT(serving(r), 3);
    END_RIG(r);
}

SL_TEST(deploy, rollback__of_a_deployment_that_is_not_live__has_no_effect)
{
    WITH_RIG(r);
    struct sl_deploy_outcome first, out;
    judged(r, 1, 0, SL_VERDICT_PASS);
    SL_CHECK_OK(deploy(r, 1, &first), r->err);
    deploy_good(r, 2, 1);
    const struct sl_rollback_order o = {.of_deployment = first.id, .actor = "engine"};
    SL_CHECK_OK(sl_deploy_rollback(&r->w, &o, &out, &r->err), r->err);
    SL_CHECK_EQ_INT(out.result, SL_DEPLOY_NO_EFFECT);
    SL_CHECK_EQ_INT(serving(r), 2);
    SL_CHECK_EQ_INT(count(r, "deployments"), 2);
    END_RIG(r);
}

SL_TEST(deploy, rollback__unknown_names__are_told)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    deploy_good(r, 1, 0);
    const struct sl_rollback_order o = {.target = "churn-apu", .actor = "bob"};
    SL_CHECK_ERR(sl_deploy_rollback(&r->w, &o, &out, &r->err), SL_ENOTFOUND, r->err,
                 "did you mean 'churn-api'?");
    SL_CHECK_ERR(roll_back(r, "v9", &out), SL_ENOTFOUND, r->err, "'v9' was never live");
    SL_CHECK_ERR(roll_back(r, NULL, &out), SL_ENOTFOUND, r->err, "no earlier version");
    SL_CHECK_OK(roll_back(r, "v1", &out), r->err);
    SL_CHECK_EQ_INT(out.result, SL_DEPLOY_UNCHANGED);
    END_RIG(r);
}

SL_TEST(deploy, rollback__release_is_gone__is_written_again)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    deploy_good(r, 1, 0);
    deploy_good(r, 2, 1);
    _cleanup_(free)
    char *weights = sl_asprintf("%s/releases", r->path);
    char hex[SL_DIGEST_HEX + 1];
    struct sl_artifact one = version_of(1);
    _cleanup_(free)
    char *file =
        sl_asprintf("%s/%.12s-g1/sub/dir/weights", weights, sl_digest_hex(&one.digest, hex));
    SL_CHECK_EQ_INT(unlink(file), 0);
    SL_CHECK_OK(roll_back(r, NULL, &out), r->err);
    SL_CHECK_EQ_INT(serving(r), 1);
    SL_CHECK(sl_test_exists(file));
    END_RIG(r);
}

SL_TEST(deploy, rollback__unhealthy__is_noted_and_stays)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    deploy_good(r, 1, 0);
    r->target.health = sh("test \"$(cat number)\" != 1");
    deploy_good(r, 2, 1);
    SL_CHECK_OK(roll_back(r, NULL, &out), r->err);
    SL_CHECK_EQ_INT(serving(r), 1);
    SL_CHECK_CONTAINS(out.note, "the health check (/bin/sh) ended with exit code 1");
    END_RIG(r);
}

SL_TEST(deploy, print__history__shows_live_first_and_no_control_characters)
{
    struct sl_buf out = SL_BUF_INIT(1 << 16);
    static const char text[] =
        "[{\"target\":\"api\",\"state\":\"failed\",\"entity\":\"m\",\"version\":2,\"kind\":"
        "\"deploy\","
        "\"reason\":\"printed \\u001b[2J\"},"
        "{\"target\":\"api\",\"state\":\"live\",\"live\":true,\"entity\":\"m\",\"version\":1,"
        "\"kind\":\"deploy\",\"live_at\":\"2026-01-01T00:00:00.000Z\",\"actor\":\"ann\"}]";
    json_auto_t *list = sl_json_parse("list", text, sizeof(text) - 1, NULL);
    int64_t now_ms = 0;
    SL_CHECK(sl_time_parse("2026-01-01T00:01:30.000Z", &now_ms));
    sl_deploy_print(list, false, now_ms, &out);
    SL_CHECK_CONTAINS(sl_buf_str(&out), "printed \\x1b[2J");
    SL_CHECK_CONTAINS(sl_buf_str(&out), "1m30s ago");
    SL_CHECK(strstr(sl_buf_str(&out), "live  ") < strstr(sl_buf_str(&out), "failed  "));
    sl_buf_release(&out);
}

SL_TEST(deploy, machine__every_state__is_reachable_and_named)
{
    for (int s = 0; s < sl_deploy_machine.n_states; s++) {
        bool entered = s == sl_deploy_machine.start;
        for (int i = 0; i < sl_deploy_machine.n_edges; i++) {
            entered = entered || sl_deploy_machine.edges[i].to == s;
        }
        SL_CHECK_MSG(entered, "%s", sl_sm_name(&sl_deploy_machine, s));
        SL_CHECK_EQ_INT(sl_sm_parse(&sl_deploy_machine, sl_sm_name(&sl_deploy_machine, s)), s);
    }
}

/* ---- the approval that an environment demands ----------------------------------------------------- */

#define APPROVAL "00000000000000000000000000000abc"

/** Version 1 is approved, nothing else. */
static int only_first(void *data, const struct sl_deploy_order *o, char ret_id[SL_ID_HEX + 1],
                      struct sl_err *err)
{
    (void)data;
    if (o->version.version != 1) {
        return sl_err_set(err, SL_EREFUSED, "target %s needs an approval", o->target->name);
    }
    memcpy(ret_id, APPROVAL, SL_ID_HEX + 1);
    return 0;
}

SL_TEST(deploy, run__where_an_approval_is_demanded__only_what_was_approved_goes_live)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    json_t *list = NULL;
    r->w.approved = only_first;
    deploy_good(r, 1, 0);
    judged(r, 2, 1, SL_VERDICT_PASS);
    SL_CHECK_ERR(deploy(r, 2, &out), SL_EREFUSED, r->err,
                 "cannot deploy default/churn@v2 to churn-api: target churn-api needs an approval");
    struct sl_deploy_order o = order_for(r, 2);
    o.override_reason = "one person's word";
    SL_CHECK_ERR(sl_deploy_run(&r->w, &o, &out, &r->err), SL_EREFUSED, r->err, "approval");
    SL_CHECK_EQ_INT(count(r, "deployments"), 1);
    SL_CHECK_OK(sl_deploy_list(r->db, NULL, 10, &list, &r->err), r->err);
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(list, 0), "approval_id", ""), APPROVAL);
    json_decref(list);
    END_RIG(r);
}

SL_TEST(deploy, rollback__to_what_was_live__waits_for_no_approval)
{
    WITH_RIG(r);
    struct sl_deploy_outcome out;
    json_t *list = NULL;
    r->w.approved = only_first;
    deploy_good(r, 1, 0);
    r->w.approved = NULL;
    deploy_good(r, 2, 1);
    r->w.approved = only_first;
    SL_CHECK_OK(roll_back(r, NULL, &out), r->err);
    SL_CHECK_EQ_INT(out.version.version, 1);
    SL_CHECK_OK(sl_deploy_list(r->db, NULL, 10, &list, &r->err), r->err);
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(list, 0), "approval_id", ""), APPROVAL);
    json_decref(list);
    END_RIG(r);
}
