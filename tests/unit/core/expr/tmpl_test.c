/** Templates: types kept, text joined, offsets right, nothing pasted into anything parsed. */
#include "core/base/base.h"

#include "tests/unit/core/expr/expr_support.h"

#include <stdlib.h>

SL_TEST(core_expr_tmpl, texts__every_form__value)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"${{ params.epochs }}", "12"},
        {"${{params.on}}", "true"},
        {"${{ list }}", "[1,2,3]"},
        {" ${{ params.epochs }}", "\" 12\""},
        {"e=${{ params.epochs }} l=${{ params.lr }}", "\"e=12 l=0.5\""},
        {"${{ params.name }}${{ params.epochs }}", "\"churn12\""},
        {"${{ list }}.", "\"[1,2,3].\""},
        {"$${{ params.x }}", "\"${{ params.x }}\""},
        {"a$${{b}}${{ 1 }}", "\"a${{b}}1\""},
        {"$$ ${ {{ }} $", "\"$$ ${ {{ }} $\""},
        {"${{ '}}' }}", "\"}}\""},
        {"${{ {'a': {'b': 1}} }}", "{\"a\":{\"b\":1}}"},
        {"${{ {'a': {'b': 1}}}}", "{\"a\":{\"b\":1}}"},
        {"${{ '${{ params.epochs }}' }}", "\"${{ params.epochs }}\""},
        {"x ${{ params.x }}", "!6+8 no field 'x'"},
        {"ab ${{ 1 + }}", "!11+1 unexpected '}': expected a value"},
        {"${{ }}", "!4+1 empty expression"},
        {"${{ 1", "!5+1 the expression ends too early: expected an operator or '}}'"},
        {"${{ 1 } }", "!6+1 unexpected '}': expected an operator or '}}'"},
        {"${{", "!3+1 empty expression"},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        sl_test_note("case '%s'", cases[i].text);
        SL_CHECK_EQ_STR(world_tmpl(&w, cases[i].text), cases[i].expected);
    }
    world_release(&w);
}

SL_TEST(core_expr_tmpl, single__whole_or_part__told_apart)
{
    struct world w;
    world_init(&w);
    const struct sl_tmpl *t = NULL;
    struct sl_expr_err e = {0};
    SL_CHECK_EQ_INT(sl_tmpl_parse(&w.arena, SL_STR("${{ a.b }}"), &t, &e), 0);
    SL_CHECK_NOT_NULL(sl_tmpl_single(t));
    SL_CHECK_EQ_STR(sl_expr_source(sl_tmpl_single(t)), "a.b");
    SL_CHECK(!sl_tmpl_is_literal(t));
    SL_CHECK_EQ_INT(sl_tmpl_parse(&w.arena, SL_STR("${{ a.b }} "), &t, &e), 0);
    SL_CHECK_NULL(sl_tmpl_single(t));
    SL_CHECK_EQ_INT(sl_tmpl_parse(&w.arena, SL_STR("$${{ a.b }}"), &t, &e), 0);
    SL_CHECK(sl_tmpl_is_literal(t));
    SL_CHECK_EQ_STR(sl_tmpl_source(t), "$${{ a.b }}");
    world_release(&w);
}

SL_TEST(core_expr_tmpl, length__at_the_limit_and_past__accepted_and_refused)
{
    struct world w;
    world_init(&w);
    _cleanup_(free)
    char *text = sl_malloc(SL_TMPL_LEN_MAX + 1);
    memset(text, 'a', SL_TMPL_LEN_MAX + 1);
    const struct sl_tmpl *t = NULL;
    struct sl_expr_err e = {0};
    SL_CHECK_EQ_INT(sl_tmpl_parse(&w.arena, (struct sl_str){text, SL_TMPL_LEN_MAX}, &t, &e), 0);
    SL_CHECK_EQ_INT(sl_tmpl_parse(&w.arena, (struct sl_str){text, SL_TMPL_LEN_MAX + 1}, &t, &e),
                    -SL_ELIMIT);
    memset(text, ' ', SL_TMPL_LEN_MAX);
    memcpy(text, "${{ 1", 5);
    memcpy(text + SL_TMPL_LEN_MAX - 2, "}}", 2);
    SL_CHECK_EQ_INT(sl_tmpl_parse(&w.arena, (struct sl_str){text, SL_TMPL_LEN_MAX}, &t, &e),
                    -SL_ELIMIT);
    SL_CHECK_EQ_STR(e.msg, "expression longer than 4096 bytes");
    world_release(&w);
}
