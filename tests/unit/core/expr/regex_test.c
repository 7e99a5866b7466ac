/** Patterns: what matches, what is refused, and that no pattern is slow. Expected results are those of
 * RE2 and of POSIX ERE (`grep -E`) for the same pattern. */
#include "core/base/base.h"

#include "core/expr/regex.h"
#include "tests/support/sl_test.h"

#include <stdlib.h>

/** 1 match, 0 no match, -1 malformed. */
static int match(const char *pattern, const char *text)
{
    struct sl_arena a;
    sl_arena_init(&a, 0);
    size_t at = 0;
    const char *msg = NULL;
    const struct sl_regex *re = sl_regex_compile(&a, sl_str_c(pattern), &at, &msg);
    int result = re == NULL ? -1 : sl_regex_search(re, sl_str_c(text));
    sl_arena_release(&a);
    return result;
}

static const struct {
    const char *pattern, *text;
    int expected;
} cases[] = {
    {"", "", 1},
    {"", "x", 1},
    {"a", "cat", 1},
    {"^a", "cat", 0},
    {"t$", "cat", 1},
    {"^cat$", "cat", 1},
    {"^$", "", 1},
    {"^$", "x", 0},
    {"a|b", "xbx", 1},
    {"a|b", "xcx", 0},
    {"^(a|b)*$", "abba", 1},
    {"^(a|b)*$", "abca", 0},
    {"ab+c", "abbbc", 1},
    {"ab+c", "ac", 0},
    {"ab?c", "ac", 1},
    {"a.c", "a\nc", 0},
    {"a.c", "abc", 1},
    {"^a{3}$", "aaa", 1},
    {"^a{3}$", "aa", 0},
    {"^a{2,}$", "aaaa", 1},
    {"^a{2,3}$", "aaaa", 0},
    {"^a{0}$", "", 1},
    {"a{,2}", "a{,2}", 1},
    {"[a-c]+", "xxb", 1},
    {"[^a-c]", "abc", 0},
    {"[]a]", "]", 1},
    {"[^]a]", "]", 0},
    {"[a-]", "-", 1},
    {"\\d+", "a1", 1},
    {"\\D", "12", 0},
    {"^\\w+$", "a_9", 1},
    {"\\W", "a_9", 0},
    {"\\s", "a b", 1},
    {"^\\S+$", "a b", 0},
    {"[\\d.]+$", "1.5", 1},
    {"\\.", "ab", 0},
    {"[[:alpha:]]+", "1a", 1},
    {"[[:digit:]]", "a", 0},
    {"^.$", "\xc3\xa9", 1},
    {"^[\xc3\xa0-\xc3\xbf]$", "\xc3\xa9", 1},
    {"(?:ab)+", "abab", 1},
    {"a*?b", "aab", 1},
    {"(a*)*", "b", 1},
    {"(a*)*$", "b", 1},
    {"()*", "", 1},
    {"(^a)|b", "ba", 1},
    {"a$b", "ab", 0},
    {"(a|ab)(c|bcd)$", "abcd", 1},
    {"(", "", -1},
    {")", "", -1},
    {"[a", "", -1},
    {"*a", "", -1},
    {"a**", "", -1},
    {"a{2,1}", "", -1},
    {"a{1001}", "", -1},
    {"[b-a]", "", -1},
    {"\\1", "", -1},
    {"\\q", "", -1},
    {"(?=a)", "", -1},
    {"[[:nope:]]", "", -1},
    {"{2}", "", -1},
    {"\xff", "", -1},
    {"a\\", "", -1},
    {"[a-\\d]", "", -1},
    {"x|*", "", -1},
};

SL_TEST(core_expr_regex, patterns__known_results__agree)
{
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        int got = match(cases[i].pattern, cases[i].text);
        SL_CHECK_MSG(got == cases[i].expected, "'%s' on '%s': %d", cases[i].pattern, cases[i].text,
                     got);
    }
}

SL_TEST(core_expr_regex, program_size__at_the_limit_and_past__accepted_and_refused)
{
    /* (a{1000}){4} has 4,000 instructions and the end; two more dozens fit, five thousand do not */
    SL_CHECK_EQ_INT(match("^(a{1000}){4}$", "a"), 0);
    SL_CHECK_EQ_INT(match("(a{1000}){4}(a{95})", "a"), 0);
    SL_CHECK_EQ_INT(match("(a{1000}){4}(a{96})", "a"), -1);
    SL_CHECK_EQ_INT(match("((a{1000}){1000}){1000}", "a"), -1);
    SL_CHECK_EQ_INT(match("(((){1000}){1000}){1000}", "a"), 1);
}

static char *repeated(const char *unit, size_t n, const char *end)
{
    struct sl_buf b = SL_BUF_INIT(1 << 20);
    for (size_t i = 0; i < n; i++) {
        sl_buf_puts(&b, unit);
    }
    sl_buf_puts(&b, end);
    return sl_buf_take(&b);
}

SL_TEST(core_expr_regex, hostile_patterns__long_text__linear, .timeout = 20)
{
    /* each takes exponential or cubic time by backtracking */
    _cleanup_(free)
    char *as = repeated("a", 20000, "!");
    SL_CHECK_EQ_INT(match("^(a+)+$", as), 0);
    SL_CHECK_EQ_INT(match("^(a|a)*$", as), 0);
    SL_CHECK_EQ_INT(match("^(a|aa)+$", as), 0);
    SL_CHECK_EQ_INT(match("^(.*)*x$", as), 0);
    _cleanup_(free)
    char *optional = repeated("a?", 30, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    SL_CHECK_EQ_INT(match(optional, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 1);
}

SL_TEST(core_expr_regex, limits__length_and_groups__refused_past)
{
    _cleanup_(free)
    char *fits = repeated("a", SL_REGEX_LEN_MAX, "");
    _cleanup_(free)
    char *past = repeated("a", SL_REGEX_LEN_MAX + 1, "");
    SL_CHECK_EQ_INT(match(fits, "a"), 0);
    SL_CHECK_EQ_INT(match(past, "a"), -1);
    _cleanup_(free)
    char *open = repeated("(", SL_REGEX_DEPTH_MAX, "a");
    _cleanup_(free)
    char *close = repeated(")", SL_REGEX_DEPTH_MAX, "");
    _cleanup_(free)
    char *deep = sl_asprintf("%s%s", open, close);
    _cleanup_(free)
    char *deeper = sl_asprintf("(%s%s)", open, close);
    SL_CHECK_EQ_INT(match(deep, "a"), 1);
    SL_CHECK_EQ_INT(match(deeper, "a"), -1);
}
