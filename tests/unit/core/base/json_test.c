/** JSON: strict parsing, canonical form against RFC 8785, accessors, escaping. */
#include "core/base/base.h"

#include "core/base/json.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tests/support/sl_test.h"

static void check_canonical(const char *input, const char *expected)
{
    struct sl_err err = SL_ERR_INIT;
    json_auto_t *value = sl_json_parse("test", input, strlen(input), &err);
    if (value == NULL) {
        SL_FAIL("cannot parse %s: %s", input, err.msg);
    }
    char *text = sl_json_canonical(value);
    SL_CHECK_EQ_STR(text, expected);
    free(text);
}

SL_TEST(core_base_json, parse__bad_texts__are_refused_with_place)
{
    static const struct {
        const char *text, *place;
        int code;
    } bad[] = {
        {"", "f:1:0: ", SL_EINVAL},
        {"{", "f:1:1: ", SL_EINVAL},
        {"{\"a\":1,\n\"a\":2}", "duplicate object key", SL_EINVAL},
        {"[1,]", "f:1:4: ", SL_EINVAL},
        {"[NaN]", "f:1:", SL_EINVAL},
        {"[1e999]", "f:1:", SL_EINVAL},
        {"[01]", "f:1:", SL_EINVAL},
        {"[9223372036854775808]", "f:1:", SL_EINVAL},
        {"[\"\\ud800\"]", "f:1:", SL_EINVAL},
        {"[\"\\u0000\"]", "f:1:", SL_EINVAL},
        {"[\"\xC0\xAF\"]", "f:1:", SL_EINVAL},
        {"[1] x", "f:1:", SL_EINVAL},
        {"{\n\"a\": tru}", "f:2:", SL_EINVAL},
    };
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        struct sl_err err = SL_ERR_INIT;
        json_t *value = sl_json_parse("f", bad[i].text, strlen(bad[i].text), &err);
        SL_CHECK_MSG(value == NULL, "%s", bad[i].text);
        SL_CHECK_EQ_INT(err.code, bad[i].code);
        SL_CHECK_CONTAINS(err.msg, bad[i].place);
    }
}

static json_t *parse_nested(size_t depth, struct sl_err *err)
{
    struct sl_buf b = SL_BUF_INIT(1u << 20);
    for (size_t i = 0; i < depth; i++) {
        sl_buf_putc(&b, '[');
    }
    sl_buf_puts(&b, "\"[[[[\"");
    for (size_t i = 0; i < depth; i++) {
        sl_buf_putc(&b, ']');
    }
    json_t *value = sl_json_parse("f", b.ptr, b.len, err);
    sl_buf_release(&b);
    return value;
}

SL_TEST(core_base_json, parse__depth_at_the_limit__is_read_and_one_past__is_refused)
{
    struct sl_err err = SL_ERR_INIT;
    json_t *value = parse_nested(SL_JSON_DEPTH_MAX, &err);
    SL_CHECK_NOT_NULL(value);
    json_decref(value);
    SL_CHECK_NULL(parse_nested(SL_JSON_DEPTH_MAX + 1, &err));
    SL_CHECK_EQ_INT(err.code, SL_ELIMIT);
    SL_CHECK_EQ_STR(err.msg, "f: JSON nested deeper than 64 levels");
    SL_CHECK_NULL(parse_nested(100000, &err));
}

SL_TEST(core_base_json, parse__larger_than_the_limit__is_refused_unread)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_NULL(sl_json_parse("f", "1", (size_t)SL_JSON_BYTES_MAX + 1, &err));
    SL_CHECK_EQ_INT(err.code, SL_ELIMIT);
}

SL_TEST(core_base_json, canonical__example_of_rfc8785__matches)
{
    /* RFC 8785 section 3.2.2 and 3.2.3. */
    check_canonical("{ \"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, "
                    "0.000000000000000000000000001],"
                    "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\","
                    "  \"literals\": [null, true, false] }",
                    "{\"literals\":[null,true,false],"
                    "\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
                    "\"string\":\"\xE2\x82\xAC$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

SL_TEST(core_base_json, canonical__keys__sort_as_utf16_like_rfc8785)
{
    check_canonical("{\"\\u20ac\": \"Euro Sign\", \"\\r\": \"Carriage Return\","
                    " \"\\ufb33\": \"Hebrew Letter Dalet With Dagesh\", \"1\": \"One\","
                    " \"\\ud83d\\ude00\": \"Emoji: Grinning Face\", \"\\u0080\": \"Control\","
                    " \"\\u00f6\": \"Latin Small Letter O With Diaeresis\"}",
                    "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xC2\x80\":\"Control\","
                    "\"\xC3\xB6\":\"Latin Small Letter O With Diaeresis\","
                    "\"\xE2\x82\xAC\":\"Euro Sign\","
                    "\"\xF0\x9F\x98\x80\":\"Emoji: Grinning Face\","
                    "\"\xEF\xAC\xB3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

SL_TEST(core_base_json, canonical__large_integers__are_exact)
{
    check_canonical("[9007199254740993, -9223372036854775808]",
                    "[9007199254740993,-9223372036854775808]");
}

/* RFC 8785 appendix B: bits of the double, its text; from 2^63 on with an exponent. */
static const struct {
    uint64_t bits;
    const char *text;
} number_vectors[] = {
    {UINT64_C(0x0000000000000001), "5e-324"},
    {UINT64_C(0x8000000000000001), "-5e-324"},
    {UINT64_C(0x7fefffffffffffff), "1.7976931348623157e+308"},
    {UINT64_C(0xffefffffffffffff), "-1.7976931348623157e+308"},
    {UINT64_C(0x4340000000000000), "9007199254740992"},
    {UINT64_C(0xc340000000000000), "-9007199254740992"},
    {UINT64_C(0x4430000000000000), "2.9514790517935283e+20"},
    {UINT64_C(0x44b52d02c7e14af5), "9.999999999999997e+22"},
    {UINT64_C(0x44b52d02c7e14af6), "1e+23"},
    {UINT64_C(0x44b52d02c7e14af7), "1.0000000000000001e+23"},
    {UINT64_C(0x444b1ae4d6e2ef4e), "9.999999999999997e+20"},
    {UINT64_C(0x444b1ae4d6e2ef4f), "9.999999999999999e+20"},
    {UINT64_C(0x444b1ae4d6e2ef50), "1e+21"},
    {UINT64_C(0x3eb0c6f7a0b5ed8c), "9.999999999999997e-7"},
    {UINT64_C(0x3eb0c6f7a0b5ed8d), "0.000001"},
    {UINT64_C(0x41b3de4355555553), "333333333.3333332"},
    {UINT64_C(0x41b3de4355555554), "333333333.33333325"},
    {UINT64_C(0x41b3de4355555555), "333333333.3333333"},
    {UINT64_C(0x41b3de4355555556), "333333333.3333334"},
    {UINT64_C(0x41b3de4355555557), "333333333.33333343"},
    {UINT64_C(0xbecbf647612f3696), "-0.0000033333333333333333"},
    {UINT64_C(0x43143ff3c1cb0959), "1424953923781206.2"},
};

SL_TEST(core_base_json, buf_json_num__rfc8785_samples__match)
{
    for (size_t i = 0; i < SL_LEN(number_vectors); i++) {
        double value = 0;
        memcpy(&value, &number_vectors[i].bits, sizeof(value));
        struct sl_buf b = SL_BUF_INIT(64);
        sl_buf_json_num(&b, value);
        SL_CHECK_EQ_STR(sl_buf_str(&b), number_vectors[i].text);
        sl_buf_release(&b);
    }
}

SL_TEST(core_base_json, buf_json_num__powers_of_two__use_the_wider_gap_above)
{
    /* 2^-44: ECMAScript prints 16 digits, the nearest 16-digit decimal does not read back. */
    struct sl_buf b = SL_BUF_INIT(64);
    sl_buf_json_num(&b, 0x1p-44);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "5.684341886080802e-14");
    sl_buf_release(&b);
}

SL_TEST(core_base_json, buf_json_num__random_doubles__read_back_the_same)
{
    uint64_t x = UINT64_C(0x9E3779B97F4A7C15);
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        double value = 0, back = 0;
        memcpy(&value, &x, sizeof(value));
        if (!isfinite(value)) {
            continue;
        }
        struct sl_buf b = SL_BUF_INIT(64);
        sl_buf_json_num(&b, value);
        SL_CHECK_MSG(sl_parse_double(b.ptr, &back), "%s", b.ptr);
        SL_CHECK_EQ_MEM(&back, &value, sizeof(value));
        sl_buf_release(&b);
    }
}

SL_TEST(core_base_json, buf_json_num__special_values__are_quoted)
{
    struct sl_buf b = SL_BUF_INIT(64);
    sl_buf_json_num(&b, (double)NAN);
    sl_buf_json_num(&b, (double)INFINITY);
    sl_buf_json_num(&b, -(double)INFINITY);
    sl_buf_json_num(&b, -0.0);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "\"NaN\"\"Infinity\"\"-Infinity\"-0.0");
    sl_buf_release(&b);
}

SL_TEST(core_base_json, buf_json_str__controls_and_bad_bytes__are_escaped_and_replaced)
{
    struct sl_buf b = SL_BUF_INIT(256);
    sl_buf_json_str(&b, "a\"\\/\b\f\n\r\t\x01\x7F\0z", 13);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7F\\u0000z\"");
    sl_buf_clear(&b);
    sl_buf_json_str(&b, "x\xFFy\xE2\x82", 5);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "\"x\xEF\xBF\xBDy\xEF\xBF\xBD\xEF\xBF\xBD\"");
    sl_buf_release(&b);
}

SL_TEST(core_base_json, pretty__keeps_order_and_real_types)
{
    const char *input = "{\"b\":1.0,\"a\":[],\"c\":[1,{\"x\":0.1}],\"d\":{}}";
    json_auto_t *value = sl_json_parse("f", input, strlen(input), NULL);
    char *text = sl_json_pretty(value);
    SL_CHECK_EQ_STR(text, "{\n  \"b\": 1.0,\n  \"a\": [],\n  \"c\": [\n    1,\n    {\n"
                          "      \"x\": 0.1\n    }\n  ],\n  \"d\": {}\n}\n");
    free(text);
}

SL_TEST(core_base_json, accessors__absent_null_or_other_type__give_the_fallback)
{
    const char *input =
        "{\"s\":\"x\",\"i\":7,\"r\":1.5,\"b\":true,\"n\":null,\"inf\":\"-Infinity\"}";
    json_auto_t *o = sl_json_parse("f", input, strlen(input), NULL);
    SL_CHECK_EQ_STR(sl_json_str(o, "s", "d"), "x");
    SL_CHECK_EQ_STR(sl_json_str(o, "i", "d"), "d");
    SL_CHECK_EQ_STR(sl_json_str(o, "n", "d"), "d");
    SL_CHECK_EQ_STR(sl_json_str(o, "absent", "d"), "d");
    SL_CHECK_EQ_INT(sl_json_i64(o, "i", 1), 7);
    SL_CHECK_EQ_INT(sl_json_i64(o, "s", 1), 1);
    SL_CHECK_NEAR(sl_json_num(o, "i", 0), 7.0, 0);
    SL_CHECK_NEAR(sl_json_num(o, "r", 0), 1.5, 0);
    SL_CHECK_NEAR(sl_json_num(o, "inf", 0), -(double)INFINITY, 0);
    SL_CHECK_NEAR(sl_json_num(o, "s", 9), 9.0, 0);
    SL_CHECK(sl_json_bool(o, "b", false));
    SL_CHECK(sl_json_bool(o, "s", true));
}

SL_TEST(core_base_json, setters__store_what_the_accessors_read)
{
    json_auto_t *o = json_object();
    sl_json_set_str(o, "s", "x");
    sl_json_set_str(o, "none", NULL);
    sl_json_set_str(o, "bad", "a\xFF");
    sl_json_set_i64(o, "i", INT64_MIN);
    sl_json_set_num(o, "nan", (double)NAN);
    sl_json_set_num(o, "r", 0.5);
    sl_json_set_bool(o, "b", true);
    SL_CHECK_NULL(json_object_get(o, "none"));
    char *text = sl_json_canonical(o);
    SL_CHECK_EQ_STR(text, "{\"b\":true,\"bad\":\"a\xEF\xBF\xBD\",\"i\":-9223372036854775808,"
                          "\"nan\":\"NaN\",\"r\":0.5,\"s\":\"x\"}");
    free(text);
    SL_CHECK(isnan(sl_json_num(o, "nan", 0)));
}
