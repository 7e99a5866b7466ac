/** Values from text: numbers exactly as strtod reads them, dates, timestamps, decimals. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/table/text_priv.h"
#include "tests/support/sl_test.h"

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void same_as_strtod(const char *text)
{
    double ours = 0;
    bool ok = table_text_float(text, strlen(text), &ours);
    double theirs = strtod(text, NULL);
    SL_CHECK_MSG(ok, "%s", text);
    SL_CHECK_MSG(memcmp(&ours, &theirs, sizeof(ours)) == 0, "%s: %a, strtod %a", text, ours,
                 theirs);
}

SL_TEST(core_table_text, float__known_hard_cases__as_strtod)
{
    static const char *const cases[] = {"0",
                                        "-0",
                                        "1",
                                        "0.1",
                                        "-2.5e-3",
                                        "1e22",
                                        "1e23",
                                        "9007199254740993",
                                        "9007199254740992.5",
                                        "1.7976931348623157e308",
                                        "2.2250738585072014e-308",
                                        "4.9e-324",
                                        "0.000001",
                                        "1.",
                                        ".5",
                                        "6.631236846766476e-316",
                                        "9214843084008499",
                                        "30078505129381147446200",
                                        "1777820000000000000001",
                                        "0.500000000000000166533453693773481063544750213623046875",
                                        "3.518437208883201171875e13",
                                        "8.5",
                                        "1e-27",
                                        "123456789012345678e-27",
                                        "7e27"};
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        same_as_strtod(cases[i]);
    }
}

SL_TEST(core_table_text, float__random_texts__as_strtod)
{
    uint64_t state = 7;
    for (int i = 0; i < 400000; i++) {
        char text[64];
        uint64_t bits = next_random(&state);
        double value = 0;
        switch (i % 4) {
        case 0:
            memcpy(&value, &bits, sizeof(value));
            if (value - value != 0) {
                continue;
            }
            (void)snprintf(text, sizeof(text), "%.17g", value);
            break;
        case 1: (void)snprintf(text, sizeof(text), "%.17g", (double)(bits >> 11) * 0x1p-53); break;
        case 2:
            (void)snprintf(text, sizeof(text), "%llu.%llu", (unsigned long long)(bits >> 44),
                           (unsigned long long)(bits & 0xfffffffffff));
            break;
        default:
            (void)snprintf(text, sizeof(text), "%llue%d", (unsigned long long)bits >> 1,
                           (int)(bits % 60) - 30);
            break;
        }
        same_as_strtod(text);
    }
}

SL_TEST(core_table_text, float__no_number__refused)
{
    static const char *const cases[] = {"",     "-",     "e5",     "1e",    "1e+",
                                        "0x10", "1 ",    " 1",     "1,5",   "1.2.3",
                                        "--1",  "1e999", "nan(1)", "infin", "."};
    double value = 0;
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        SL_CHECK_MSG(!table_text_float(cases[i], strlen(cases[i]), &value), "%s", cases[i]);
    }
    SL_CHECK(table_text_float("-inf", 4, &value) && value == -__builtin_inf());
    SL_CHECK(table_text_float("NaN", 3, &value) && value != value);
}

SL_TEST(core_table_text, int__ends_of_range__exact)
{
    int64_t value = 0;
    SL_CHECK(table_text_int("9223372036854775807", 19, &value) && value == INT64_MAX);
    SL_CHECK(table_text_int("-9223372036854775808", 20, &value) && value == INT64_MIN);
    SL_CHECK(table_text_int("+12", 3, &value) && value == 12);
    SL_CHECK(!table_text_int("9223372036854775808", 19, &value));
    SL_CHECK(!table_text_int("-9223372036854775809", 20, &value));
    SL_CHECK(!table_text_int("", 0, &value));
    SL_CHECK(!table_text_int("-", 1, &value));
    SL_CHECK(!table_text_int("1.0", 3, &value));
    SL_CHECK(!table_text_int("99999999999999999999", 20, &value));
}

SL_TEST(core_table_text, date__calendar__days_since_1970)
{
    static const struct {
        const char *text;
        int32_t days;
    } cases[] = {{"1970-01-01", 0},      {"1969-12-31", -1},      {"2000-02-29", 11016},
                 {"2026-11-20", 20777},  {"0000-01-01", -719528}, {"9999-12-31", 2932896},
                 {"1900-03-01", -25508}, {"1600-02-29", -135081}};
    int32_t days = 0;
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        SL_CHECK(table_text_date(cases[i].text, 10, &days));
        SL_CHECK_EQ_INT(days, cases[i].days);
    }
    static const char *const wrong[] = {"1900-02-29", "2026-13-01", "2026-00-10",
                                        "2026-01-00", "2026-01-32", "2026/01/01",
                                        "20260101",   "2026-1-1",   "2026-01-011"};
    for (size_t i = 0; i < SL_LEN(wrong); i++) {
        SL_CHECK_MSG(!table_text_date(wrong[i], strlen(wrong[i]), &days), "%s", wrong[i]);
    }
}

SL_TEST(core_table_text, timestamp__offsets_and_fractions__utc_micros)
{
    static const struct {
        const char *text;
        int64_t micros;
        uint8_t zoned;
    } cases[] = {{"1970-01-01T00:00:00Z", 0, 1},
                 {"1970-01-01 00:00", 0, 0},
                 {"1970-01-01 01:00:00+01:00", 0, 1},
                 {"1969-12-31T19:30:00.5-0430", 500000, 1},
                 {"2026-11-20T10:00:00.123456789Z", 1795168800123456, 1},
                 {"2026-11-20 10:00:00.12", 1795168800120000, 0},
                 {"2026-11-20 10:00:00 +00", 1795168800000000, 1}};
    int64_t micros = 0;
    uint8_t zoned = 9;
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        SL_CHECK_MSG(table_text_timestamp(cases[i].text, strlen(cases[i].text), &micros, &zoned),
                     "%s", cases[i].text);
        SL_CHECK_EQ_INT(micros, cases[i].micros);
        SL_CHECK_EQ_INT(zoned, cases[i].zoned);
    }
    static const char *const wrong[] = {"1970-01-01",
                                        "1970-01-01T24:00:00",
                                        "1970-01-01T00:60:00",
                                        "1970-01-01T00:00:61Z",
                                        "1970-01-01T00:00:00.",
                                        "1970-01-01T00:00:00 ",
                                        "1970-01-01T00:00:00+25:00",
                                        "1970-01-01T00:00:00+1",
                                        "1970-01-01T00:00:00.1234567890Z"};
    for (size_t i = 0; i < SL_LEN(wrong); i++) {
        SL_CHECK_MSG(!table_text_timestamp(wrong[i], strlen(wrong[i]), &micros, &zoned), "%s",
                     wrong[i]);
    }
}

SL_TEST(core_table_text, decimal__scale__exact_or_refused)
{
    __int128 value = 0;
    SL_CHECK(table_text_decimal("-12.3", 5, 2, &value) && value == -1230);
    SL_CHECK(table_text_decimal("7", 1, 0, &value) && value == 7);
    SL_CHECK(!table_text_decimal("1.234", 5, 2, &value));
    SL_CHECK(!table_text_decimal("", 0, 2, &value));
    SL_CHECK(!table_text_decimal(".", 1, 2, &value));
    char digits[40];
    memset(digits, '9', sizeof(digits));
    SL_CHECK(table_text_decimal(digits, 38, 0, &value));
    SL_CHECK(!table_text_decimal(digits, 39, 0, &value));
    SL_CHECK(!table_text_decimal(digits, 38, 1, &value));
}
