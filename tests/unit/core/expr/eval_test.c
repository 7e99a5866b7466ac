/** Values of expressions. The cases follow the CEL specification's conformance suite (basic, string,
 * lists, macros, integer_math, fp_math, comparisons, logic) where the languages agree. */
#include "core/base/base.h"

#include "tests/unit/core/expr/expr_support.h"

#include <stdio.h>

struct pair {
    const char *text, *expected;
};

static void check_all(const struct pair *cases, size_t n)
{
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < n; i++) {
        sl_test_note("case '%s'", cases[i].text);
        SL_CHECK_EQ_STR(world_eval(&w, cases[i].text), cases[i].expected);
    }
    world_release(&w);
}

SL_TEST(core_expr_eval, literals__every_form__their_value)
{
    static const struct pair cases[] = {
        {"0", "0"},
        {"42", "42"},
        {"0x55555555", "1431655765"},
        {"-0x55555555", "-1431655765"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"-2.3e+1", "-23.0"},
        {".5", "0.5"},
        {"1e3", "1000.0"},
        {"true", "true"},
        {"null", "null"},
        {"''", "\"\""},
        {"\"\"", "\"\""},
        {"'''x\n'y'''", "\"x\\n'y\""},
        {"'a\\x41\\u00e9\\101\\n\\\\'", "\"aA\xc3\xa9"
                                        "A\\n\\\\\""},
        {"r'a\\n'", "\"a\\\\n\""},
        {"[]", "[]"},
        {"[1, 'a', [true]]", "[1,\"a\",[true]]"},
        {"[1,2,]", "[1,2]"},
        {"{}", "{}"},
        {"{'k': 1, 'a': {'b': 2}}", "{\"a\":{\"b\":2},\"k\":1}"},
        {"{'a': {'b': 1}}['a']['b']", "1"},
    };
    check_all(cases, SL_LEN(cases));
}

SL_TEST(core_expr_eval, arithmetic__ints_and_doubles__promotes)
{
    static const struct pair cases[] = {
        {"40 + 2", "42"},
        {"42 - 2", "40"},
        {"6 * 7", "42"},
        {"43 / 5", "8"},
        {"-43 / 5", "-8"},
        {"43 % 5", "3"},
        {"-43 % 5", "-3"},
        {"-9223372036854775808 % -1", "0"},
        {"1 + 2 * 3 - 4", "3"},
        {"(1 + 2) * 3", "9"},
        {"10 - 4 - 3", "3"},
        {"1 + 1.5", "2.5"},
        {"7 / 2.0", "3.5"},
        {"1.0 / 0.0", "Infinity"},
        {"-(5)", "-5"},
        {"- -5", "5"},
        {"--5", "5"},
        {"2--1", "3"},
        {"2-1", "1"},
        {"-[1][0]", "-1"},
        {"'a' + 'b'", "\"ab\""},
        {"[1] + [2, 3]", "[1,2,3]"},
        {"params.epochs * 2", "24"},
        {"params.lr * params.epochs", "6.0"},
    };
    check_all(cases, SL_LEN(cases));
}

SL_TEST(core_expr_eval, arithmetic__overflow_and_zero__errors)
{
    static const struct pair cases[] = {
        {"9223372036854775807 + 1", "!integer overflow"},
        {"-9223372036854775808 - 1", "!integer overflow"},
        {"9223372036854775807 * 2", "!integer overflow"},
        {"-9223372036854775808 / -1", "!integer overflow"},
        {"-(-9223372036854775808)", "!integer overflow"},
        {"1 / 0", "!division by zero"},
        {"1 % 0", "!division by zero"},
        {"9223372036854775808", "!integer out of range '9223372036854775808'"},
        {"1e999", "!number out of range '1e999'"},
        {"5.0 % 2", "!'%' needs two ints"},
        {"'a' + 1", "!cannot use '+' on string and int; string(x) makes text of a value"},
        {"[1] - [1]", "!cannot use '-' on list and list"},
        {"-'a'", "!cannot negate a string"},
        {"-1[0]", "!cannot index a int with a int"},
    };
    check_all(cases, SL_LEN(cases));
}

SL_TEST(core_expr_eval, comparison__same_types__ordered)
{
    static const struct pair cases[] = {
        {"1 == 1.0", "true"},        {"1 != 2", "true"},
        {"1 < 1.5", "true"},         {"2 >= 2.0", "true"},
        {"'a' < 'b'", "true"},       {"'abc' < 'ab'", "false"},
        {"'' < 'a'", "true"},        {"false < true", "true"},
        {"'a' == 'a'", "true"},      {"[1, 2] == [1, 2.0]", "true"},
        {"[1] == [1, 2]", "false"},  {"{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", "true"},
        {"nothing == null", "true"}, {"null == 1", "false"},
        {"1 != null", "true"},       {"null == null", "true"},
    };
    check_all(cases, SL_LEN(cases));
}

SL_TEST(core_expr_eval, comparison__mixed_types_or_nan__errors)
{
    static const struct pair cases[] = {
        {"1 == '1'", "!cannot compare int == string"},
        {"'a' < 1", "!cannot compare string < int"},
        {"null < 1", "!cannot compare null < int"},
        {"[1] < [2]", "!cannot compare list < list"},
        {"double('nan') == 1.0", "!comparison with NaN (not a number)"},
        {"!(double('nan') > 1)", "!comparison with NaN (not a number)"},
        {"1.0 / 0.0 - 1.0 / 0.0 <= 1", "!comparison with NaN (not a number)"},
    };
    check_all(cases, SL_LEN(cases));
}

SL_TEST(core_expr_eval, logic__operands__strict_from_the_left)
{
    static const struct pair cases[] = {
        {"true && false", "false"},
        {"true || false", "true"},
        {"!true", "false"},
        {"!!true", "true"},
        {"true || params.x", "true"},
        {"false && params.x", "false"},
        {"params.x || true", "!no field 'x'"},
        {"true && 1", "!expected a bool, not a int"},
        {"!1", "!expected a bool, not a int"},
        {"true ? 1 : params.x", "1"},
        {"false ? params.x : 2", "2"},
        {"false ? 1 : false ? 2 : 3", "3"},
        {"1 ? 2 : 3", "!expected a bool, not a int"},
        {"true || false && false", "true"},
        {"1 + 1 == 2 && !('a' == 'b')", "true"},
        {"'a' in ['a', 'b']", "true"},
        {"1.0 in [1, 2]", "true"},
        {"'seed' in matrix", "true"},
        {"'x' in matrix", "false"},
        {"'a' in 'abc'",
         "!cannot look for a string in a string; text.contains(part) looks inside text"},
    };
    check_all(cases, SL_LEN(cases));
}

SL_TEST(core_expr_eval, access__fields_and_indexes__values_or_suggestions)
{
    static const struct pair cases[] = {
        {"params.epochs", "12"},
        {"params['epochs']", "12"},
        {"list[1]", "2"},
        {"list[3]", "!index 3 is outside a list of 3"},
        {"list[-1]", "!index -1 is outside a list of 3"},
        {"list['a']", "!cannot index a list with a string"},
        {"params.epoch", "!no field 'epoch'; did you mean 'epochs'?"},
        {"param.epochs", "!unknown name 'param'; did you mean 'params'?"},
        {"zzz", "!unknown name 'zzz'"},
        {"text.x", "!no field 'x' in a string"},
        {"candidate.slices.recall",
         "!no field 'recall' in a list; [*] takes a field of every item"},
        {"candidate.slices[*].recall", "[0.9,0.75]"},
        {"candidate.slices[*]['name']", "[\"a\",\"b\"]"},
        {"list[*]", "[1,2,3]"},
        {"empty[*].x", "[]"},
        {"params[*]", "![*] needs a list, not a map"},
        {"candidate.slices[*].recall.all(r, r > 0.5)", "true"},
        {"size(candidate.slices[*].recall)", "2"},
        {"steps.train.later", "\"lazy\""},
        {"steps['train'].later", "\"lazy\""},
        {"steps.train.never", "!no field 'never'"},
        {"has(params.epochs)", "true"},
        {"has(params.x)", "false"},
        {"has(steps.train.later)", "true"},
        {"has(params.x.y)", "!no field 'x'"},
    };
    check_all(cases, SL_LEN(cases));
}

SL_TEST(core_expr_eval, functions__texts_and_numbers__values)
{
    static const struct pair cases[] = {
        {"size('abc')", "3"},
        {"size(text)", "5"},
        {"text.size()", "5"},
        {"[1, 2].size()", "2"},
        {"size({'a': 1})", "1"},
        {"size(1)", "!size() does not take a int"},
        {"'foobar'.startsWith('foo')", "true"},
        {"'foobar'.startsWith('bar')", "false"},
        {"'foobar'.startsWith('')", "true"},
        {"'foobar'.endsWith('bar')", "true"},
        {"'a'.endsWith('ba')", "false"},
        {"'foobar'.contains('oba')", "true"},
        {"''.contains('')", "true"},
        {"'foobar'.contains(1)", "!contains() does not take a int"},
        {"'hubba'.matches('ubb')", "true"},
        {"matches('hubba', '^h.*a$')", "true"},
        {"'v12'.matches('^v' + '[0-9]+$')", "true"},
        {"'x'.matches('^v' + '[')", "!bad pattern at character 4: '[' without ']'"},
        {"string(12)", "\"12\""},
        {"string(0.5)", "\"0.5\""},
        {"string(true)", "\"true\""},
        {"string(null)", "!string() does not take a null"},
        {"int('-7')", "-7"},
        {"int(2.9)", "2"},
        {"int(-2.9)", "-2"},
        {"int(1e30)", "!int() of a number out of range"},
        {"int('x')", "!int() of 'x', not a number"},
        {"int('')", "!int() of '', not a number"},
        {"double('2.5')", "2.5"},
        {"double(2)", "2.0"},
        {"double('2x')", "!double() of '2x', not a number"},
        {"success()", "true"},
        {"always() && !failure() && !cancelled()", "true"},
    };
    check_all(cases, SL_LEN(cases));
}

SL_TEST(core_expr_eval, macros__lists_and_maps__values)
{
    static const struct pair cases[] = {
        {"list.all(x, x > 0)", "true"},
        {"list.all(x, x > 1)", "false"},
        {"[].all(x, false)", "true"},
        {"list.exists(x, x == 2)", "true"},
        {"[].exists(x, true)", "false"},
        {"list.exists_one(x, x > 2)", "true"},
        {"list.exists_one(x, x > 1)", "false"},
        {"list.map(x, x * x)", "[1,4,9]"},
        {"list.filter(x, x % 2 == 1)", "[1,3]"},
        {"{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])", "true"},
        {"list.map(x, list.map(y, x * y))", "[[1,2,3],[2,4,6],[3,6,9]]"},
        {"list.map(params, params)", "[1,2,3]"},
        {"list.map(x, 1)[0] + matrix.seed", "3"},
        {"candidate.slices.all(s, s.recall >= 0.8)", "false"},
        {"candidate.slices.all(s, s.recal >= 0.8)", "!no field 'recal'; did you mean 'recall'?"},
        {"list.all(x, x)", "!expected a bool, not a int"},
        {"params.epochs.all(x, true)", "!all() needs a list or a map"},
        {"list.map(x, x).all(x, x > 0) && x", "!unknown name 'x'"},
    };
    check_all(cases, SL_LEN(cases));
}

SL_TEST(core_expr_eval, bool_form__other_type__refused)
{
    struct world w;
    world_init(&w);
    const struct sl_expr *x = NULL;
    struct sl_expr_err e = {0};
    bool holds = true;
    SL_CHECK_EQ_INT(sl_expr_parse(&w.arena, SL_STR("1 + 1"), &x, &e), 0);
    SL_CHECK_EQ_INT(sl_expr_eval_bool(x, &w.scope, &w.arena, &holds, &e), -SL_EINVAL);
    SL_CHECK_EQ_STR(e.msg, "expected a bool, not a int");
    SL_CHECK(holds); /* written only on success */
    SL_CHECK_EQ_INT(sl_expr_parse(&w.arena, SL_STR("1 > 2"), &x, &e), 0);
    SL_CHECK_EQ_INT(sl_expr_eval_bool(x, &w.scope, &w.arena, &holds, &e), 0);
    SL_CHECK(!holds);
    world_release(&w);
}

SL_TEST(core_expr_eval, status__without_meaning__refused)
{
    struct world w;
    world_init(&w);
    w.scope.status = NULL;
    SL_CHECK_EQ_STR(world_error(&w, "1 > 0 && success()"), "9+9 success() has no meaning here");
    world_release(&w);
}

SL_TEST(core_expr_eval, cost__nested_loops__bounded)
{
    struct world w;
    world_init(&w);
    SL_CHECK_EQ_STR(world_eval(&w, "list.map(a, list.map(b, a + b)).size()"), "3");
    const char *ten = "[1,2,3,4,5,6,7,8,9,10]";
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   "%s.all(a, %s.all(b, %s.all(c, %s.all(d, %s.all(e, %s.all(f, true))))))", ten,
                   ten, ten, ten, ten, ten);
    SL_CHECK_CONTAINS(world_eval(&w, text), "!the expression takes more than 100000 steps");
    /* doubling text: 2^k bytes from k steps */
    (void)snprintf(text, sizeof(text), "%s",
                   "[['aaaaaaaaaaaaaaaa']].map(s, s.map(a, a + a + a + a).map(a, a + a + a + a)"
                   ".map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a)"
                   ".map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a)"
                   ".map(a, a + a + a + a).map(a, a + a + a + a))");
    SL_CHECK_CONTAINS(world_eval(&w, text), "!the expression takes more than 100000 steps");
    world_release(&w);
}

SL_TEST(core_expr_eval, values__json__round_trip)
{
    struct world w;
    world_init(&w);
    json_auto_t *json = sl_value_json(&w.roots);
    struct sl_value again = sl_value_from_json(&w.arena, json);
    SL_CHECK(sl_value_eq(&w.roots, &again));
    SL_CHECK_EQ_STR(sl_value_type_name(SL_V_DOUBLE), "double");
    struct sl_value text = sl_value_str(&w.arena, "x");
    SL_CHECK_EQ_UINT(text.s.len, 1);
    world_release(&w);
}
