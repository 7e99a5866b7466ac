/** Which names an expression mentions, and whether it mentions a state. */
#include "core/base/base.h"

#include "tests/unit/core/expr/expr_support.h"

static void note(const struct sl_expr_ref *ref, void *data)
{
    struct sl_buf *out = data;
    sl_buf_puts(out, out->len > 0 ? " " : "");
    for (int i = 0; i < ref->n; i++) {
        sl_buf_puts(out, i > 0 ? "." : "");
        sl_buf_puts(out, ref->parts[i]);
    }
    sl_buf_printf(out, "@%zu+%zu", ref->offset, ref->width);
}

static const char *refs(struct world *w, const char *text)
{
    const struct sl_expr *x = NULL;
    struct sl_expr_err e = {0};
    struct sl_buf out = SL_BUF_INIT(4096);
    SL_CHECK_MSG(sl_expr_parse(&w->arena, sl_str_c(text), &x, &e) == 0, "%s: %s", text, e.msg);
    sl_expr_refs(x, note, &out);
    const char *copy = sl_arena_strdup(&w->arena, sl_buf_str(&out));
    sl_buf_release(&out);
    return copy;
}

SL_TEST(core_expr_refs, expressions__paths__literal_part_reported)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"steps.train.outputs.model", "steps.train.outputs.model@0+25"},
        {"steps.train.outputs.model[*]", "steps.train.outputs.model.*@0+28"},
        {"steps['train'].outputs", "steps.train.outputs@0+22"},
        {"steps[matrix.s].outputs", "matrix.s@6+8 steps@0+23"},
        {"a.b[0].c", "a.b@0+8"},
        {"a + b.c * -d", "a@0+1 b.c@4+3 d@11+1"},
        {"list.all(x, x.y > limit)", "list@0+4 limit@18+5"},
        {"x.all(x, x) && x", "x@0+1 x@15+1"},
        {"success() && 'a' == \"b\"", ""},
        {"{'k': v}.k + [w][0]", "v@6+1 w@14+1"},
        {"has(a.b) ? c : d", "a.b@4+3 c@11+1 d@15+1"},
        {"a.b.c.d.e.f.g.h.i", "a.b.c.d.e.f.g.h@0+17"},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        SL_CHECK_EQ_STR(refs(&w, cases[i].text), cases[i].expected);
    }
    world_release(&w);
}

SL_TEST(core_expr_refs, templates__segments__offsets_in_the_whole_text)
{
    struct world w;
    world_init(&w);
    const struct sl_tmpl *t = NULL;
    struct sl_expr_err e = {0};
    struct sl_buf out = SL_BUF_INIT(4096);
    SL_CHECK_EQ_INT(sl_tmpl_parse(&w.arena, SL_STR("x ${{ params.a }}-${{matrix.b}}"), &t, &e), 0);
    sl_tmpl_refs(t, note, &out);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "params.a@6+8 matrix.b@21+8");
    sl_buf_release(&out);
    world_release(&w);
}

SL_TEST(core_expr_refs, mentions_status__functions_and_fields__found)
{
    static const struct {
        const char *text;
        bool expected;
    } cases[] = {
        {"success()", true},
        {"params.a && (1 > 2 || !failure())", true},
        {"steps.canary.status == \"failed\"", true},
        {"steps['canary'].status == 'x'", true},
        {"['a'].exists(s, s == steps.a.status)", true},
        {"steps.canary.outputs.status", false},
        {"run.status == 'x'", false},
        {"params.status", false},
        {"'always()' == 'x'", false},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        const struct sl_expr *x = NULL;
        struct sl_expr_err e = {0};
        SL_CHECK_EQ_INT(sl_expr_parse(&w.arena, sl_str_c(cases[i].text), &x, &e), 0);
        SL_CHECK_MSG(sl_expr_mentions_status(x) == cases[i].expected, "%s", cases[i].text);
    }
    world_release(&w);
}
