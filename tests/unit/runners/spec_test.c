/* What a spec may ask for: each limit at its edge and one past it, the field named. */
#include "core/base/base.h"

#include "runners/runner.h"

#include "tests/support/sl_test.h"

static const char *const argv_true[] = {"true", NULL};
static const char *const no_env[] = {NULL};

static struct sl_attempt_spec good(void)
{
    return (struct sl_attempt_spec){.attempt_id = "0123456789abcdef0123456789abcdef",
                                    .attempt_dir = "/x",
                                    .argv = argv_true,
                                    .env = no_env};
}

SL_TEST(runners_spec, limits__stall_and_disk_at_and_past_the_edge)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_attempt_spec s = good();
    s.limits.stall_ms = SL_RUNNER_TIMEOUT_MAX;
    s.limits.disk_bytes = (uint64_t)INT64_MAX;
    SL_CHECK_OK(sl_attempt_spec_check(&s, &err), err);
    s.limits.stall_ms++;
    SL_CHECK_ERR(sl_attempt_spec_check(&s, &err), SL_EINVAL, err, "stall_ms: ");
    s.limits.stall_ms = -1;
    SL_CHECK_ERR(sl_attempt_spec_check(&s, &err), SL_EINVAL, err, "stall_ms: -1 is out of range");
    s.limits.stall_ms = 0;
    s.limits.disk_bytes++;
    SL_CHECK_ERR(sl_attempt_spec_check(&s, &err), SL_EINVAL, err, "disk_bytes: out of range");
}

SL_TEST(runners_spec, isolation__without_a_sandbox_backend__is_refused)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_runner fake = {.ops = sl_runner_find("fake")};
    SL_CHECK_OK(sl_runner_can_isolate(&fake, SL_ISOLATION_NONE, &err), err);
    SL_CHECK_ERR(sl_runner_can_isolate(&fake, SL_ISOLATION_STRICT, &err), SL_EREFUSED, err,
                 "runner 'fake' has no sandboxes");
}

SL_TEST(runners_spec, identity__isolation__round_trip_and_absent)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_attempt_identity back;
    struct sl_attempt_identity id = {.attempt_id = "0123456789abcdef0123456789abcdef",
                                     .nonce = "0123456789abcdef0123456789abcdef",
                                     .boot_id = "b",
                                     .pid = 7,
                                     .isolation = "strict: bubblewrap 0.8.0, no network"};
    json_t *json = sl_attempt_identity_json(&id);
    SL_CHECK_OK(sl_attempt_identity_parse(json, &back, &err), err);
    SL_CHECK_EQ_STR(back.isolation, id.isolation);
    (void)json_object_del(json, "isolation"); /* journaled before there were sandboxes */
    SL_CHECK_OK(sl_attempt_identity_parse(json, &back, &err), err);
    SL_CHECK_EQ_STR(back.isolation, "none");
    json_decref(json);
}
