/** Builder, UTF-8, nearest names, numbers from text, shell quoting. */
#include "core/base/base.h"

#include "core/base/str.h"

#include <math.h>
#include <stdlib.h>

#include "tests/support/sl_test.h"

SL_TEST(core_base_str, views__compare_by_content)
{
    SL_CHECK(sl_str_eq(SL_STR("abc"), "abc"));
    SL_CHECK(!sl_str_eq(SL_STR("abc"), "ab"));
    SL_CHECK(!sl_str_eq((struct sl_str){"abc", 2}, "abc"));
    SL_CHECK(sl_str_eq(sl_str_c(NULL), ""));
    SL_CHECK(sl_starts_with("sha256:x", "sha256:"));
    SL_CHECK(!sl_starts_with("sha", "sha256:"));
    SL_CHECK(sl_ends_with("a.yml", ".yml"));
    SL_CHECK(!sl_ends_with("yml", ".yml"));
}

SL_TEST(core_base_str, buf__exactly_at_the_maximum__does_not_overflow)
{
    struct sl_buf b = SL_BUF_INIT(5);
    sl_buf_puts(&b, "abcde");
    SL_CHECK(!b.overflow);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "abcde");
    sl_buf_release(&b);
}

SL_TEST(core_base_str, buf__one_past_the_maximum__keeps_what_fits_and_ignores_the_rest)
{
    struct sl_buf b = SL_BUF_INIT(5);
    sl_buf_printf(&b, "%s", "abcdef");
    SL_CHECK(b.overflow);
    sl_buf_puts(&b, "x");
    SL_CHECK_EQ_STR(sl_buf_str(&b), "abcde");
    sl_buf_clear(&b);
    SL_CHECK(!b.overflow);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "");
    sl_buf_puts(&b, "ok");
    SL_CHECK_EQ_STR(sl_buf_str(&b), "ok");
    sl_buf_release(&b);
}

SL_TEST(core_base_str, buf__long_printf_and_take)
{
    struct sl_buf b = SL_BUF_INIT(1u << 20);
    sl_buf_printf(&b, "%01000d", 1);
    sl_buf_putc(&b, '!');
    SL_CHECK_EQ_UINT(b.len, 1001);
    char *text = sl_buf_take(&b);
    SL_CHECK_EQ_STR(text + 999, "1!");
    SL_CHECK_NULL(b.ptr);
    free(text);
    text = sl_buf_take(&b);
    SL_CHECK_EQ_STR(text, "");
    free(text);
}

SL_TEST(core_base_str, utf8_check__well_formed__is_accepted)
{
    /* One of each row of the Unicode standard's table 3-7, at both ends. */
    static const char *const good[] = {
        "",
        "plain",
        "\x7F",
        "\xC2\x80",
        "\xDF\xBF",
        "\xE0\xA0\x80",
        "\xE0\xBF\xBF",
        "\xE1\x80\x80",
        "\xEC\xBF\xBF",
        "\xED\x80\x80",
        "\xED\x9F\xBF",
        "\xEE\x80\x80",
        "\xEF\xBF\xBF",
        "\xF0\x90\x80\x80",
        "\xF0\xBF\xBF\xBF",
        "\xF1\x80\x80\x80",
        "\xF3\xBF\xBF\xBF",
        "\xF4\x80\x80\x80",
        "\xF4\x8F\xBF\xBF",
    };
    for (size_t i = 0; i < SL_LEN(good); i++) {
        SL_CHECK_EQ_UINT(sl_utf8_check(good[i], strlen(good[i])), strlen(good[i]));
    }
    SL_CHECK_EQ_UINT(sl_utf8_check("a\0b", 3), 3); /* NUL is a character */
}

SL_TEST(core_base_str, utf8_check__hostile__is_refused_at_its_offset)
{
    static const struct {
        const char *text;
        size_t at;
    } bad[] = {
        {"\x80", 0},                 /* lone continuation */
        {"ab\xBF", 2},               /* lone continuation */
        {"\xC0\xAF", 0},             /* overlong "/" in two */
        {"\xC1\xBF", 0},             /* overlong */
        {"\xE0\x80\xAF", 0},         /* overlong "/" in three */
        {"\xE0\x9F\xBF", 0},         /* overlong */
        {"\xF0\x80\x80\xAF", 0},     /* overlong "/" in four */
        {"\xF0\x8F\xBF\xBF", 0},     /* overlong */
        {"\xED\xA0\x80", 0},         /* U+D800 */
        {"\xED\xBF\xBF", 0},         /* U+DFFF */
        {"\xF4\x90\x80\x80", 0},     /* U+110000 */
        {"\xF5\x80\x80\x80", 0},     /* past the range */
        {"\xF8\x88\x80\x80\x80", 0}, /* five bytes */
        {"\xFE", 0},
        {"\xFF", 0},
        {"x\xC3", 1},                      /* cut */
        {"x\xE2\x82", 1},                  /* cut */
        {"x\xF0\x9F\x98", 1},              /* cut */
        {"\xC3\x28", 0},                   /* wrong continuation */
        {"\xE2\x28\xA1", 0},               /* wrong second */
        {"\xE2\x82\x28", 0},               /* wrong third */
        {"\xF0\x9F\x98\xC0", 0},           /* wrong fourth */
        {"ok \xE2\x82\xAC then \xFF", 12}, /* after a good one */
    };
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        SL_CHECK_MSG(sl_utf8_check(bad[i].text, strlen(bad[i].text)) == bad[i].at, "case %zu", i);
    }
}

SL_TEST(core_base_str, utf8_width__counts_terminal_columns)
{
    SL_CHECK_EQ_UINT(sl_utf8_width("abc", 3), 3);
    SL_CHECK_EQ_UINT(sl_utf8_width("\xC3\xA9", 2), 1);         /* e acute */
    SL_CHECK_EQ_UINT(sl_utf8_width("e\xCC\x81", 3), 1);        /* combining acute */
    SL_CHECK_EQ_UINT(sl_utf8_width("\xE6\xBC\xA2", 3), 2);     /* CJK */
    SL_CHECK_EQ_UINT(sl_utf8_width("\xF0\x9F\x98\x80", 4), 2); /* emoji */
    SL_CHECK_EQ_UINT(sl_utf8_width("\xFF\xFE", 2), 2);         /* bad bytes count one each */
}

SL_TEST(core_base_str, nearest__typo__finds_the_name)
{
    static const char *const names[] = {"run", "needs", "matrix", "inputs", "outputs", "timeout"};
    SL_CHECK_EQ_STR(sl_nearest("rum", names, SL_LEN(names)), "run");
    SL_CHECK_EQ_STR(sl_nearest("need", names, SL_LEN(names)), "needs");
    SL_CHECK_EQ_STR(sl_nearest("martix", names, SL_LEN(names)), "matrix"); /* transposition */
    SL_CHECK_EQ_STR(sl_nearest("timout", names, SL_LEN(names)), "timeout");
    SL_CHECK_EQ_STR(sl_nearest("ouptuts", names, SL_LEN(names)), "outputs");
    SL_CHECK_NULL(sl_nearest("deploy", names, SL_LEN(names)));
    SL_CHECK_NULL(sl_nearest("", names, SL_LEN(names)));
    SL_CHECK_NULL(sl_nearest("x", names, 0));
}

SL_TEST(core_base_str, nearest__distance_limit__is_a_third_of_the_word)
{
    static const char *const names[] = {"abcdefghi"};
    SL_CHECK_EQ_STR(sl_nearest("abcdefxyz", names, 1), "abcdefghi"); /* 3 of 9 */
    SL_CHECK_NULL(sl_nearest("abcdewxyz", names, 1));                /* 4 of 9 */
    char longest[66];
    memset(longest, 'a', 65);
    longest[65] = '\0';
    SL_CHECK_NULL(sl_nearest(longest, names, 1));
}

SL_TEST(core_base_str, parse_i64__limits_and_leftovers)
{
    int64_t v = 5;
    SL_CHECK(sl_parse_i64("-9223372036854775808", &v) && v == INT64_MIN);
    SL_CHECK(sl_parse_i64("9223372036854775807", &v) && v == INT64_MAX);
    SL_CHECK(sl_parse_i64("+7", &v) && v == 7);
    SL_CHECK(sl_parse_i64("-0", &v) && v == 0);
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "1x",
                                      "0x10",
                                      "-",
                                      "+",
                                      "-+1",
                                      "1.0",
                                      "1e3",
                                      "9223372036854775808",
                                      "-9223372036854775809"};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        v = 77;
        SL_CHECK_MSG(!sl_parse_i64(bad[i], &v) && v == 77, "'%s'", bad[i]);
    }
    uint64_t u = 0;
    SL_CHECK(sl_parse_u64("18446744073709551615", &u) && u == UINT64_MAX);
    SL_CHECK(!sl_parse_u64("18446744073709551616", &u));
    SL_CHECK(!sl_parse_u64("-1", &u));
}

SL_TEST(core_base_str, parse_double__json_and_yaml_spellings)
{
    double v = 0;
    SL_CHECK(sl_parse_double("1.5e3", &v) && v == 1500.0);
    SL_CHECK(sl_parse_double(".5", &v) && v == 0.5);
    SL_CHECK(sl_parse_double("-5.", &v) && v == -5.0);
    SL_CHECK(sl_parse_double("0.1", &v) && v == 0.1);
    SL_CHECK(sl_parse_double(".inf", &v) && isinf(v) && v > 0);
    SL_CHECK(sl_parse_double("-.inf", &v) && isinf(v) && v < 0);
    SL_CHECK(sl_parse_double("-Infinity", &v) && isinf(v) && v < 0);
    SL_CHECK(sl_parse_double(".nan", &v) && isnan(v));
    SL_CHECK(sl_parse_double("NaN", &v) && isnan(v));
    static const char *const bad[] = {"",      ".",  "e5", "1e",    "1e+",  "0x1p3", "1,5",
                                      "1e999", " 1", "1 ", "nan()", "-nan", "1_000", "--1"};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        v = 77;
        SL_CHECK_MSG(!sl_parse_double(bad[i], &v) && v == 77, "'%s'", bad[i]);
    }
}

SL_TEST(core_base_str, shell_quote__shows_what_a_shell_would_read_back)
{
    static const struct {
        const char *text, *quoted;
    } cases[] = {{"plain-1.0/x", "plain-1.0/x"}, {"", "''"},         {"a b", "'a b'"},
                 {"it's", "'it'\\''s'"},         {"$(x)", "'$(x)'"}, {"~", "'~'"}};
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_buf b = SL_BUF_INIT(100);
        sl_buf_shell_quote(&b, cases[i].text);
        SL_CHECK_EQ_STR(sl_buf_str(&b), cases[i].quoted);
        sl_buf_release(&b);
    }
}
