/** RFC 3339 text, durations, sizes, identities. */
#include "core/base/base.h"

#include "core/base/time.h"

#include <string.h>

#include "tests/support/sl_test.h"

SL_TEST(core_base_time, format__known_instants__match)
{
    /* `date -u -d @N +%FT%TZ` of GNU coreutils. */
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {INT64_C(951782399999), "2000-02-28T23:59:59.999Z"},
        {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
        {INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {INT64_C(1763632800123), "2025-11-20T10:00:00.123Z"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        char text[SL_TIME_TEXT];
        SL_CHECK_EQ_STR(sl_time_format(cases[i].ms, text), cases[i].text);
    }
}

SL_TEST(core_base_time, parse__rfc3339_examples__are_read)
{
    int64_t ms = 0;
    /* RFC 3339 section 5.8. */
    SL_CHECK(sl_time_parse("1985-04-12T23:20:50.52Z", &ms));
    SL_CHECK_EQ_INT(ms, INT64_C(482196050520));
    SL_CHECK(sl_time_parse("1996-12-19T16:39:57-08:00", &ms));
    SL_CHECK_EQ_INT(ms, INT64_C(851042397000));
    SL_CHECK(sl_time_parse("1990-12-31T23:59:60Z", &ms)); /* leap second */
    SL_CHECK_EQ_INT(ms, INT64_C(662688000000));
    SL_CHECK(sl_time_parse("1937-01-01t12:00:27.87+00:20", &ms));
    SL_CHECK_EQ_INT(ms, INT64_C(-1041337172130));
}

SL_TEST(core_base_time, parse__malformed__is_refused)
{
    static const char *const bad[] = {"",
                                      "2025-11-20",
                                      "2025-11-20T10:00:00",
                                      "2025-13-01T00:00:00Z",
                                      "2025-02-29T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "2025-00-10T00:00:00Z",
                                      "2025-01-00T00:00:00Z",
                                      "2025-01-01T24:00:00Z",
                                      "2025-01-01T00:60:00Z",
                                      "2025-01-01T00:00:61Z",
                                      "2025-01-01T00:00:00.Z",
                                      "2025-01-01T00:00:00+25:00",
                                      "2025-01-01T00:00:00Zx",
                                      "25-01-01T00:00:00Z",
                                      "2025-1-01T00:00:00Z",
                                      "2025-01-01T00:00:00+0100"};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        int64_t ms = 77;
        SL_CHECK_MSG(!sl_time_parse(bad[i], &ms) && ms == 77, "'%s'", bad[i]);
    }
}

SL_TEST(core_base_time, format_and_parse__every_day_of_800_years__round_trips)
{
    for (int64_t day = -146097; day <= 146097; day += 13) {
        char text[SL_TIME_TEXT];
        int64_t back = 0, ms = day * INT64_C(86400000) + 12345678;
        SL_CHECK_MSG(sl_time_parse(sl_time_format(ms, text), &back), "%s", text);
        SL_CHECK_EQ_INT(back, ms);
    }
}

SL_TEST(core_base_time, duration_parse__good_and_bad)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0s", 0},
                {"90s", 90000},
                {"5m", 300000},
                {"1h30m", 5400000},
                {"2d", 172800000},
                {"1w", 604800000},
                {"850ms", 850},
                {"1.5h", 5400000},
                {"0.1s", 100},
                {"1m30s500ms", 90500},
                {"3650d", INT64_C(315360000000)},
                {"315576000s", INT64_C(315576000000)}};
    for (size_t i = 0; i < SL_LEN(good); i++) {
        int64_t ms = -1;
        SL_CHECK_MSG(sl_duration_parse(good[i].text, &ms), "'%s'", good[i].text);
        SL_CHECK_EQ_INT(ms, good[i].ms);
    }
    static const char *const bad[] = {
        "",     "5",   "s",   "-5s",   "5 s", "5x",         "30m1h",
        "5m5m", "1.",  ".5s", "1..5s", "5S",  "315576001s", "99999999999999999999s",
        "1e3s", " 5s", "5s "};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        int64_t ms = 77;
        SL_CHECK_MSG(!sl_duration_parse(bad[i], &ms) && ms == 77, "'%s'", bad[i]);
    }
}

SL_TEST(core_base_time, duration_format__each_range)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "0ms"},         {850, "850ms"},       {999, "999ms"},
                 {1000, "1.0s"},     {12345, "12.3s"},     {59999, "59.9s"},
                 {60000, "1m00s"},   {245000, "4m05s"},    {3599999, "59m59s"},
                 {7380000, "2h03m"}, {86399999, "23h59m"}, {273600000, "3d04h"},
                 {-1500, "-1.5s"}};
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        char text[SL_TIME_TEXT];
        SL_CHECK_EQ_STR(sl_duration_format(cases[i].ms, text), cases[i].text);
    }
}

SL_TEST(core_base_time, size__parse_and_format)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0B", 0},        {"40GB", UINT64_C(40000000000)},   {"8 KiB", 8192},
        {"1.5KiB", 1536}, {"2TiB", UINT64_C(2199023255552)}, {"18446744073709551615B", UINT64_MAX}};
    for (size_t i = 0; i < SL_LEN(good); i++) {
        uint64_t bytes = 1;
        SL_CHECK_MSG(sl_size_parse(good[i].text, &bytes), "'%s'", good[i].text);
        SL_CHECK_EQ_UINT(bytes, good[i].bytes);
    }
    static const char *const bad[] = {"",    "40",    "GB",   "40G",         "40gb",
                                      "-1B", "1  KB", "1KBx", "99999999TiB", "1,5KB"};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        uint64_t bytes = 77;
        SL_CHECK_MSG(!sl_size_parse(bad[i], &bytes) && bytes == 77, "'%s'", bad[i]);
    }
    char text[SL_TIME_TEXT];
    SL_CHECK_EQ_STR(sl_size_format(1023, text), "1023 B");
    SL_CHECK_EQ_STR(sl_size_format(1024, text), "1.0 KiB");
    SL_CHECK_EQ_STR(sl_size_format(1610612736, text), "1.5 GiB");
    SL_CHECK_EQ_STR(sl_size_format(UINT64_MAX, text), "15.9 EiB");
}

static void counting_random(void *data, void *out, size_t len)
{
    unsigned char *p = out, *next = data;
    for (size_t i = 0; i < len; i++) {
        p[i] = (*next)++;
    }
}

SL_TEST(core_base_time, id__comes_from_the_environment_given)
{
    unsigned char next = 0xF0;
    struct sl_env env = {.random = counting_random, .data = &next};
    char id[SL_ID_HEX + 1], other[SL_ID_HEX + 1];
    SL_CHECK_EQ_STR(sl_id_new(&env, id), "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    SL_CHECK(sl_id_valid(id));
    SL_CHECK(sl_id_valid(sl_id_new(NULL, id)));
    SL_CHECK(strcmp(id, sl_id_new(NULL, other)) != 0);
    SL_CHECK(!sl_id_valid(""));
    SL_CHECK(!sl_id_valid("f0f1f2f3f4f5f6f7f8f9fafbfcfdfef"));
    SL_CHECK(!sl_id_valid("f0f1f2f3f4f5f6f7f8f9fafbfcfdfefff"));
    SL_CHECK(!sl_id_valid("F0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"));
}

static int64_t example_now_ms(void *data)
{
    (void)data;
    return 0x017F22E279B0; /* the example of RFC 9562, appendix A.6 */
}

SL_TEST(core_base_time, id__ordered__begins_with_the_time)
{
    unsigned char next = 0xF0;
    struct sl_env env = {.now_ms = example_now_ms, .random = counting_random, .data = &next};
    char id[SL_ID_HEX + 1], other[SL_ID_HEX + 1];
    SL_CHECK_EQ_STR(sl_id_ordered(&env, id), "017f22e279b0f6f7f8f9fafbfcfdfeff");
    SL_CHECK(sl_id_valid(sl_id_ordered(NULL, other)));
    SL_CHECK(strcmp(id, other) < 0);
}

SL_TEST(core_base_time, clocks__real__move_forward)
{
    int64_t before = sl_mono_ns();
    SL_CHECK(sl_mono_ns() >= before);
    SL_CHECK(sl_now_ms() > INT64_C(1600000000000));
    SL_CHECK(sl_env_real.mono_ms(sl_env_real.data) >= before / 1000000);
}
