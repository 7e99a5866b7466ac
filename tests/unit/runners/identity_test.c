/* Identities as JSON, names of classes and modes, limits of a spec. */
#include "core/base/base.h"

#include "runners/runner.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "tests/support/sl_test.h"

static const struct sl_attempt_identity SAMPLE = {
    .attempt_id = "0123456789abcdef0123456789abcdef",
    .nonce = "fedcba9876543210fedcba9876543210",
    .boot_id = "0f3c9a52-6c4f-4d7e-9d0e-0b6a6c3b7f11",
    .pid = 4242,
    .start_time = 987654321,
    .mode = SL_CGROUP_V1,
    .cgroup = "/sys/fs/cgroup/unified/sluice-x-n:/sys/fs/cgroup/memory/sluice-x-n",
};

SL_TEST(runners_identity, json__round_trip__is_equal)
{
    struct sl_err err = SL_ERR_INIT;
    json_t *o = sl_attempt_identity_json(&SAMPLE);
    struct sl_attempt_identity back;
    SL_CHECK_OK(sl_attempt_identity_parse(o, &back, &err), err);
    SL_CHECK_EQ_STR(back.attempt_id, SAMPLE.attempt_id);
    SL_CHECK_EQ_STR(back.nonce, SAMPLE.nonce);
    SL_CHECK_EQ_STR(back.boot_id, SAMPLE.boot_id);
    SL_CHECK_EQ_STR(back.cgroup, SAMPLE.cgroup);
    SL_CHECK_EQ_INT(back.pid, 4242);
    SL_CHECK_EQ_INT(back.start_time, 987654321);
    SL_CHECK_EQ_INT(back.mode, SL_CGROUP_V1);
    json_decref(o);
}

SL_TEST(runners_identity, parse__bad_fields__are_named)
{
    static const struct {
        const char *key, *value, *message;
    } cases[] = {
        {"attempt_id", NULL, "'attempt_id' is missing"},
        {"attempt_id", "ABC", "'attempt_id' is not 32 lowercase hex digits"},
        {"nonce", "0123456789abcdef0123456789abcdefff", "'nonce' is too long"},
        {"nonce", "0123456789ABCDEF0123456789abcdef", "'nonce' is not 32 lowercase hex digits"},
        {"pid", "7", "'pid' is missing or out of range"},
        {"start_time", "x", "'start_time' is missing or out of range"},
        {"mode", "v3", "'mode' is none of v2, v1, rlimit"},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_attempt_identity back;
        json_t *o = sl_attempt_identity_json(&SAMPLE);
        (void)json_object_del(o, cases[i].key);
        sl_json_set_str(o, cases[i].key, cases[i].value);
        SL_CHECK_ERR(sl_attempt_identity_parse(o, &back, &err), SL_EINVAL, err, cases[i].message);
        json_decref(o);
    }
}

SL_TEST(runners_identity, class_names__parse_back)
{
    for (int i = 0; i < SL_CLASS_COUNT; i++) {
        enum sl_runner_class c = SL_CLASS_COUNT;
        SL_CHECK(sl_runner_class_parse(sl_runner_class_name((enum sl_runner_class)i), &c));
        SL_CHECK_EQ_INT(c, i);
    }
    enum sl_runner_class c;
    SL_CHECK(!sl_runner_class_parse("exploded", &c));
}

SL_TEST(runners_identity, spec__bytes_at_and_past_the_limit)
{
    struct sl_err err = SL_ERR_INIT;
    char *big = sl_malloc(SL_RUNNER_SPEC_MAX);
    memset(big, 'x', SL_RUNNER_SPEC_MAX);
    const char *argv[] = {"true", big, NULL};
    const char *env[] = {NULL};
    const struct sl_attempt_spec spec = {
        .attempt_id = SAMPLE.attempt_id, .attempt_dir = "/x", .argv = argv, .env = env};
    size_t rest = SL_RUNNER_SPEC_MAX - (4 + 8) - 8; /* "true" and what each string costs */
    big[rest] = '\0';
    SL_CHECK_OK(sl_attempt_spec_check(&spec, &err), err);
    big[rest] = 'x';
    big[rest + 1] = '\0';
    SL_CHECK_ERR(sl_attempt_spec_check(&spec, &err), SL_ELIMIT, err, "exceed 1048576 bytes");
    free(big);
}
