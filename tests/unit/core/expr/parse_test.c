/** What does not parse: exact messages with their offsets; limits at the limit and one past. */
#include "core/base/base.h"

#include "tests/unit/core/expr/expr_support.h"

#include <stdlib.h>

struct pair {
    const char *text, *expected;
};

SL_TEST(core_expr_parse, mistakes__every_kind__offset_and_words)
{
    static const struct pair cases[] = {
        {"", "0+1 empty expression"},
        {"   ", "3+1 empty expression"},
        {"1 +", "3+1 the expression ends too early: expected a value"},
        {"1 2", "2+1 unexpected '2': expected an operator or the end"},
        {"(1", "2+1 the expression ends too early: expected ')'"},
        {"[1", "2+1 the expression ends too early: expected ',' or ']'"},
        {"{'a' 1}", "5+1 unexpected '1': expected ':' and the value of the key"},
        {"a.", "2+1 the expression ends too early: expected the name of a field"},
        {"a.5", "1+2 unexpected '.5': expected an operator or the end"},
        {"a = 1", "2+1 unexpected '='; equality is '=='"},
        {"a & b", "2+1 unexpected '&'; 'and' is '&&'"},
        {"a | b", "2+1 unexpected '|'; 'or' is '||'"},
        {"a # b", "2+1 unexpected '#'"},
        {"'abc", "0+1 string without its closing quote"},
        {"'a\nb'", "0+1 string without its closing quote"},
        {"'\\q'", "1+2 bad escape in a string"},
        {"'\\ud800'", "1+2 bad escape in a string"},
        {"'\\000'", "1+2 bad escape in a string"},
        {"1x", "0+2 malformed number '1x'"},
        {"0x", "0+2 malformed number '0x'"},
        {"0x1FFFFFFFFFFFFFFFFF", "0+20 integer out of range '0x1FFFFFFFFFFFFFFFFF'"},
        {"1 < 2 < 3", "6+1 comparisons do not chain: write 'a < b && b < c'"},
        {"if", "0+2 'if' is a reserved word"},
        {"a ? b", "5+1 the expression ends too early: expected ':' and the value when false"},
        {"siz('a')", "0+3 unknown function 'siz'; did you mean 'size'?"},
        {"foo()", "0+3 unknown function 'foo'"},
        {"'a'.startswith('b')", "4+10 unknown function 'startswith'; did you mean 'startsWith'?"},
        {"startsWith('a', 'b')",
         "0+10 'startsWith' is called on a value: write value.startsWith(...)"},
        {"'a'.string()", "4+6 'string' is not called on a value: write string(value)"},
        {"size()", "0+6 size() takes 1 argument, not 0"},
        {"'a'.contains()", "0+14 contains() takes 1 argument, not 0"},
        {"matches('a')", "0+12 matches() takes 2 arguments, not 1"},
        {"success(1)", "0+10 success() takes 0 arguments, not 1"},
        {"has(a)", "4+1 has() asks for a field: has(value.field)"},
        {"a.all(1, true)",
         "6+1 unexpected '1': expected the name of a variable, then ',' and an expression"},
        {"a.all(x)", "7+1 unexpected ')': expected ',' and an expression"},
        {"a.all(in, true)", "6+2 unexpected 'in': expected the name of a variable"},
        {"a[*].b[*]", "7+1 only one [*] in a path"},
        {"a.matches('(')", "10+3 bad pattern at character 2: '(' without ')'"},
        {"\x01", "0+1 unexpected byte 0x01"},
        {"a \xff", "2+1 invalid UTF-8"},
        {"\xc3\xa9", "0+1 unexpected byte 0xc3"},
        {"1 }}", "2+1 unexpected '}': expected an operator or the end"},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        sl_test_note("case '%s'", cases[i].text);
        SL_CHECK_EQ_STR(world_error(&w, cases[i].text), cases[i].expected);
    }
    world_release(&w);
}

SL_TEST(core_expr_parse, errors_of_evaluation__offset__points_at_the_part)
{
    struct world w;
    world_init(&w);
    SL_CHECK_EQ_STR(world_error(&w, "1 < 2 && params.epoch > 3"),
                    "9+12 no field 'epoch'; did you mean 'epochs'?");
    SL_CHECK_EQ_STR(world_error(&w, "true && (1 + 'a') == 2"),
                    "8+9 cannot use '+' on int and string; string(x) makes text of a value");
    world_release(&w);
}

SL_TEST(core_expr_parse, nul__inside__refused)
{
    struct world w;
    world_init(&w);
    const struct sl_expr *x = NULL;
    struct sl_expr_err e = {0};
    SL_CHECK_EQ_INT(sl_expr_parse(&w.arena, (struct sl_str){"1\0+1", 4}, &x, &e), -SL_EINVAL);
    SL_CHECK_EQ_STR(e.msg, "unexpected byte 0x00");
    SL_CHECK_EQ_UINT(e.offset, 1);
    SL_CHECK_EQ_INT(sl_expr_parse(&w.arena, (struct sl_str){NULL, 0}, &x, NULL), -SL_EINVAL);
    world_release(&w);
}

/** `n` copies of open, a 1, `n` copies of close. */
static char *nested(const char *open, const char *close, int n)
{
    struct sl_buf b = SL_BUF_INIT(1 << 20);
    for (int i = 0; i < n; i++) {
        sl_buf_puts(&b, open);
    }
    sl_buf_puts(&b, "1");
    for (int i = 0; i < n; i++) {
        sl_buf_puts(&b, close);
    }
    return sl_buf_take(&b);
}

SL_TEST(core_expr_parse, depth__at_the_limit_and_past__accepted_and_refused)
{
    static const struct pair brackets[] = {{"(", ")"}, {"[", "]"}, {"-", ""}, {"size([", "])"}};
    static const int deepest[] = {31, 31, 31, 15};
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < SL_LEN(brackets); i++) {
        _cleanup_(free)
        char *fits = nested(brackets[i].text, brackets[i].expected, deepest[i]);
        _cleanup_(free)
        char *past = nested(brackets[i].text, brackets[i].expected, deepest[i] + 1);
        _cleanup_(free)
        char *far = nested(brackets[i].text, brackets[i].expected, 500);
        SL_CHECK_MSG(strstr(world_eval(&w, fits), "nested") == NULL, "%s", brackets[i].text);
        SL_CHECK_EQ_STR(world_eval(&w, past), "!nested more than 32 levels deep");
        SL_CHECK_EQ_STR(world_eval(&w, far), "!nested more than 32 levels deep");
    }
    world_release(&w);
}

/** "1", then `n` times the tail. */
static char *chain(const char *tail, int n)
{
    struct sl_buf b = SL_BUF_INIT(1 << 20);
    sl_buf_puts(&b, "1");
    for (int i = 0; i < n; i++) {
        sl_buf_puts(&b, tail);
    }
    return sl_buf_take(&b);
}

SL_TEST(core_expr_parse, chains__at_the_limit_and_past__accepted_and_refused)
{
    struct world w;
    world_init(&w);
    _cleanup_(free)
    char *fits = chain("+1", 255);
    _cleanup_(free)
    char *past = chain("+1", 256);
    _cleanup_(free)
    char *dots = chain("[0]", 1000);
    SL_CHECK_EQ_STR(world_eval(&w, fits), "256");
    SL_CHECK_EQ_STR(world_eval(&w, past), "!expression too long: more than 256 operators in a row");
    SL_CHECK_EQ_STR(world_eval(&w, dots), "!expression too long: more than 256 operators in a row");
    _cleanup_(free)
    char *flat = chain(" == 1 && 1", 300); /* logic is flat: no height */
    SL_CHECK_EQ_STR(world_eval(&w, flat), "!expected a bool, not a int");
    world_release(&w);
}

SL_TEST(core_expr_parse, length__at_the_limit_and_past__accepted_and_refused)
{
    struct world w;
    world_init(&w);
    char text[SL_EXPR_LEN_MAX + 2];
    memset(text, ' ', sizeof(text));
    text[0] = '7';
    text[SL_EXPR_LEN_MAX] = '\0';
    SL_CHECK_EQ_STR(world_eval(&w, text), "7");
    text[SL_EXPR_LEN_MAX] = ' ';
    text[SL_EXPR_LEN_MAX + 1] = '\0';
    SL_CHECK_EQ_STR(world_eval(&w, text), "!expression longer than 4096 bytes");
    world_release(&w);
}

SL_TEST(core_expr_parse, source__blanks_around__trimmed)
{
    struct world w;
    world_init(&w);
    const struct sl_expr *x = NULL;
    struct sl_expr_err e = {0};
    SL_CHECK_EQ_INT(sl_expr_parse(&w.arena, SL_STR("  a.b == 1 \n"), &x, &e), 0);
    SL_CHECK_EQ_STR(sl_expr_source(x), "a.b == 1");
    world_release(&w);
}
