/** Diagnostics: drawing, order, limits, JSON. */
#include "core/base/base.h"

#include "core/base/diag.h"

#include <stdlib.h>

#include "tests/support/sl_test.h"

static const char source[] = "steps:\n"
                             "  a:\n"
                             "    rum: echo\n"
                             "\tt\xC3\xA4st\x1b[31m: \xE6\xBC\xA2\xE5\xAD\x97 x\n"
                             "last without newline";

static struct sl_str text(void)
{
    return SL_STR(source);
}

static void check_print(const struct sl_diags *d, const char *expected)
{
    struct sl_buf b = SL_BUF_INIT(1u << 16);
    sl_diags_print(d, false, &b);
    SL_CHECK_EQ_STR(sl_buf_str(&b), expected);
    sl_buf_release(&b);
}

struct fixture {
    struct sl_arena arena;
    struct sl_diags d;
};

static void fixture_init(struct fixture *f)
{
    sl_arena_init(&f->arena, 0);
    sl_diags_init(&f->d, &f->arena);
}

static void fixture_release(struct fixture *f)
{
    sl_diags_release(&f->d);
    sl_arena_release(&f->arena);
}

SL_TEST(core_base_diag, print__caret_and_hint_under_the_source_line)
{
    struct fixture f;
    fixture_init(&f);
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"p.yml", 3, 5, 3}, text(),
                "write it so:\n  run: echo", "unknown key '%s'; did you mean 'run'?", "rum");
    check_print(&f.d, "p.yml:3:5: error: unknown key 'rum'; did you mean 'run'?\n"
                      "        rum: echo\n"
                      "        ^~~\n"
                      "  write it so:\n"
                      "    run: echo\n");
    fixture_release(&f);
}

SL_TEST(core_base_diag, print__tabs_controls_and_wide_characters__keep_the_caret_in_place)
{
    struct fixture f;
    fixture_init(&f);
    /* Character columns: tab t ae s t ESC [ 3 1 m : space wide wide space x */
    sl_diag_add(&f.d, SL_SEV_WARNING, (struct sl_loc){"p.yml", 4, 13, 2}, text(), NULL, "wide");
    sl_diag_add(&f.d, SL_SEV_WARNING, (struct sl_loc){"p.yml", 4, 16, 1}, text(), NULL, "x");
    check_print(&f.d, "p.yml:4:13: warning: wide\n"
                      "     t\xC3\xA4st\\x1b[31m: \xE6\xBC\xA2\xE5\xAD\x97 x\n"
                      "                   ^~~~\n"
                      "p.yml:4:16: warning: x\n"
                      "     t\xC3\xA4st\\x1b[31m: \xE6\xBC\xA2\xE5\xAD\x97 x\n"
                      "                        ^\n");
    fixture_release(&f);
}

SL_TEST(core_base_diag, print__unknown_places__are_left_out)
{
    struct fixture f;
    fixture_init(&f);
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){NULL, 0, 0, 0}, (struct sl_str){0}, NULL, "a");
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"f", 0, 0, 0}, text(), NULL, "b\nc");
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"f", 5, 0, 0}, text(), NULL, "d");
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"f", 99, 1, 0}, text(), NULL, "e");
    check_print(&f.d, "error: a\n"
                      "f: error: b\\x0ac\n"
                      "f:5: error: d\n"
                      "    last without newline\n"
                      "f:99:1: error: e\n");
    fixture_release(&f);
}

SL_TEST(core_base_diag, print__long_line__is_cut_around_the_caret)
{
    struct fixture f;
    fixture_init(&f);
    char line[2000];
    memset(line, 'a', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    line[999] = 'X';
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"f", 1, 1000, 1}, sl_str_c(line), NULL, "m");
    struct sl_buf b = SL_BUF_INIT(1u << 16);
    sl_diags_print(&f.d, false, &b);
    const char *second = strchr(sl_buf_str(&b), '\n') + 1;
    const char *third = strchr(second, '\n') + 1;
    SL_CHECK(third - second < 120);
    SL_CHECK(sl_starts_with(second, "    ...aaa"));
    SL_CHECK_EQ_INT(strchr(second, 'X') - second, strchr(third, '^') - third);
    SL_CHECK_CONTAINS(second, "a...\n");
    sl_buf_release(&b);
    fixture_release(&f);
}

SL_TEST(core_base_diag, print__color__marks_severity_and_caret)
{
    struct fixture f;
    fixture_init(&f);
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"f", 1, 1, 5}, text(), NULL, "m");
    struct sl_buf b = SL_BUF_INIT(1u << 16);
    sl_diags_print(&f.d, true, &b);
    SL_CHECK_EQ_STR(sl_buf_str(&b), "\033[1mf:1:1: \033[31merror: \033[0m\033[1mm\033[0m\n"
                                    "    steps:\n    \033[1;32m^~~~~\033[0m\n");
    sl_buf_release(&b);
    fixture_release(&f);
}

SL_TEST(core_base_diag, sort__file_of_first_appearance_line_column_stable)
{
    struct fixture f;
    fixture_init(&f);
    struct sl_str none = {0};
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"b", 2, 1, 1}, none, NULL, "1");
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"a", 1, 1, 1}, none, NULL, "2");
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"b", 1, 9, 1}, none, NULL, "3");
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"b", 1, 2, 1}, none, NULL, "4");
    sl_diag_add(&f.d, SL_SEV_ERROR, (struct sl_loc){"b", 1, 2, 1}, none, NULL, "5");
    sl_diags_sort(&f.d);
    check_print(&f.d, "b:1:2: error: 4\nb:1:2: error: 5\nb:1:9: error: 3\nb:2:1: error: 1\n"
                      "a:1:1: error: 2\n");
    fixture_release(&f);
}

SL_TEST(core_base_diag, add__past_the_limit__is_counted)
{
    struct fixture f;
    fixture_init(&f);
    for (int i = 0; i < SL_DIAGS_MAX + 5; i++) {
        sl_diag_add(&f.d, i % 2 == 0 ? SL_SEV_ERROR : SL_SEV_WARNING, (struct sl_loc){"f", 1, 1, 1},
                    (struct sl_str){0}, NULL, "m");
    }
    SL_CHECK_EQ_UINT(f.d.list.n, SL_DIAGS_MAX);
    SL_CHECK_EQ_UINT(f.d.n_errors, 53);
    SL_CHECK_EQ_UINT(f.d.n_warnings, 52);
    struct sl_buf b = SL_BUF_INIT(1u << 16);
    sl_diags_print(&f.d, false, &b);
    SL_CHECK(sl_ends_with(sl_buf_str(&b), "\n5 more not shown\n"));
    sl_buf_release(&b);
    fixture_release(&f);
}

SL_TEST(core_base_diag, json__has_the_documented_fields)
{
    struct fixture f;
    fixture_init(&f);
    sl_diag_add(&f.d, SL_SEV_WARNING, (struct sl_loc){"f", 1, 2, 3}, text(), "h", "m");
    json_auto_t *array = sl_diags_json(&f.d);
    char *json = sl_json_canonical(array);
    SL_CHECK_EQ_STR(json, "[{\"column\":2,\"file\":\"f\",\"hint\":\"h\",\"line\":1,"
                          "\"message\":\"m\",\"severity\":\"warning\"}]");
    free(json);
    fixture_release(&f);
}
