/** What a rule's explanation says. */
#include "core/base/base.h"

#include "tests/unit/core/expr/expr_support.h"

SL_TEST(core_expr_explain, rules__every_form__both_sides_in_numbers)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"candidate.auc >= champion.auc - 0.002",
         "candidate.auc = 0.8123 >= champion.auc - 0.002 = 0.81"},
        {"candidate.ece <= 0.05", "candidate.ece = 0.04 <= 0.05"},
        {"1.0000001 * 1 > 1.0", "1.0000001 * 1 = 1.0000001 > 1.0"},
        {"params.name == 'x'", "params.name = \"churn\" == 'x'"},
        {"candidate.slices.all(s, s.recall >= 0.80)",
         "candidate.slices.all(s, s.recall >= 0.80): item 2: s.recall = 0.75 >= 0.80"},
        {"list.all(x, x > 0)", "list.all(x, x > 0): all of 3 items"},
        {"list.exists(x, x > 5)", "list.exists(x, x > 5): none of 3 items"},
        {"candidate.ece <= 0.01 && candidate.auc > 0.5", "candidate.ece = 0.04 <= 0.01"},
        {"candidate.ece <= 0.05 && candidate.auc > 0.9",
         "candidate.ece = 0.04 <= 0.05 && candidate.auc = 0.8123 > 0.9"},
        {"candidate.ece <= 0.01 || candidate.auc > 0.9",
         "candidate.ece = 0.04 <= 0.01 || candidate.auc = 0.8123 > 0.9"},
        {"candidate.f1 > 0.5", "candidate.f1 > 0.5: no field 'f1'"},
        {"params.on", "params.on = true"},
        {"true", "true"},
        {"!(candidate.auc > 0.5)", "!(candidate.auc > 0.5) = false"},
        {"list == [1,\n2]", "list = list of 3 == [1, 2] = list of 2"},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        const struct sl_expr *x = NULL;
        struct sl_expr_err e = {0};
        struct sl_buf out = SL_BUF_INIT(4096);
        SL_CHECK_EQ_INT(sl_expr_parse(&w.arena, sl_str_c(cases[i].text), &x, &e), 0);
        sl_expr_explain(x, &w.scope, &out);
        SL_CHECK_EQ_STR(sl_buf_str(&out), cases[i].expected);
        sl_buf_release(&out);
    }
    world_release(&w);
}
