/* Tables: widths in columns, alignment, control characters, cuts. */
#include "core/base/base.h"

#include "cmd/table.h"

#include "core/base/err.h"
#include "tests/support/sl_test.h"

static const char *const heads[] = {"NAME", ">N", "NOTE", NULL};

SL_TEST(cmd_table, print__wide_characters__aligns_by_columns)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(10000);
    struct sl_table t;
    sl_table_init(&t, heads);
    sl_table_cell(&t, "日本");
    sl_table_cell(&t, "7");
    sl_table_cell(&t, "x");
    sl_table_cell(&t, "abcde");
    sl_table_cellf(&t, "%d", 1234);
    sl_table_cell(&t, NULL);
    sl_table_print(&t, false, &out);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "NAME      N  NOTE\n"
                                      "日本      7  x\n"
                                      "abcde  1234  -\n");
}

SL_TEST(cmd_table, put_clean__control_characters_and_bad_bytes__shows_them)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(10000);
    sl_put_clean(&out, "a\033[31m\nb\x7f\xc3(\xc2\x9b é");
    SL_CHECK_EQ_STR(sl_buf_str(&out), "a\\x1b[31m\\x0ab\\x7f\\xc3(\\u009b é");
}

SL_TEST(cmd_table, cell__at_and_past_the_widest__keeps_and_cuts)
{
    char text[SL_TABLE_CELL_MAX + 2];
    static const char *const one[] = {"A", NULL};
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(10000);
    struct sl_table t;
    memset(text, 'x', sizeof(text));
    text[SL_TABLE_CELL_MAX] = '\0';
    sl_table_init(&t, one);
    sl_table_cell(&t, text);
    SL_CHECK_EQ_INT((int)strlen(t.cells.items[0]), SL_TABLE_CELL_MAX);
    text[SL_TABLE_CELL_MAX] = 'x';
    text[SL_TABLE_CELL_MAX + 1] = '\0';
    sl_table_cell(&t, text);
    SL_CHECK_EQ_INT((int)strlen(t.cells.items[1]), SL_TABLE_CELL_MAX);
    SL_CHECK(sl_ends_with(t.cells.items[1], "x..."));
    sl_table_print(&t, false, &out);
}

SL_TEST(cmd_table, state_color__without_color__is_empty)
{
    SL_CHECK_EQ_STR(sl_state_color("failed", false), "");
    SL_CHECK_EQ_STR(sl_state_color("failed", true), "\033[31m");
    SL_CHECK_EQ_STR(sl_state_color("succeeded", true), "\033[32m");
}

SL_TEST(cmd_table, exit_codes__of_errors__are_the_documented_ones)
{
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EFAILED), 1);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EINVAL), 2);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EREFUSED), 3);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EWAITING), 4);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EAUTH), 5);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_EUNREACHABLE), 6);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_ECANCELLED), 7);
    SL_CHECK_EQ_INT(sl_err_exit(-SL_ETIMEOUT), 124);
}

SL_TEST(cmd_table, print__empty_last_cell__leaves_no_blanks_at_the_end)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(10000);
    struct sl_table t;
    sl_table_init(&t, heads);
    sl_table_cell(&t, "a");
    sl_table_cell(&t, "7");
    sl_table_cell(&t, "");
    sl_table_print(&t, false, &out);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "NAME  N  NOTE\na     7\n");
}

static void check_reason(const char *state, const char *reason, const char *shown)
{
    _cleanup_(buf)
    struct sl_buf out = SL_BUF_INIT(10000);
    int64_t now_ms = 1795240167000; /* 2026-11-21T05:49:27Z */
    sl_put_reason(&out, state, reason, now_ms);
    SL_CHECK_EQ_STR(sl_buf_str(&out), shown);
}

SL_TEST(cmd_table, put_reason__cached__is_short_and_others_stay)
{
    static const char same[] = "same command, code, inputs and environment as run #12 of "
                               "2026-11-21T05:47:27.000Z";
    check_reason("cached", same, "as in run #12, 2m00s ago");
    check_reason("failed", same, same);
    check_reason("cached", "same command, code, inputs and environment as run #12 of old",
                 "same command, code, inputs and environment as run #12 of old");
    check_reason("failed", "exit\tcode 3", "exit\\x09code 3");
}

SL_TEST(cmd_table, utf8_cut__wide_and_split__leaves_room_for_the_ellipsis)
{
    SL_CHECK_EQ_INT((int)sl_utf8_cut("abcdef", 6), 6);
    SL_CHECK_EQ_INT((int)sl_utf8_cut("abcdef", 5), 4);
    SL_CHECK_EQ_INT((int)sl_utf8_cut("日本語", 6), 9);
    SL_CHECK_EQ_INT((int)sl_utf8_cut("日本語", 5), 6);
    SL_CHECK_EQ_INT((int)sl_utf8_cut("日本語", 4), 3);
    SL_CHECK_EQ_INT((int)sl_utf8_cut("abc", 0), 0);
}

SL_TEST(cmd_table, print__that_must_fit__cuts_the_widest_texts)
{
    static const char *const columns[] = {"NAME", ">N", "WHY", NULL};
    static const size_t fits[] = {0, 30, 33, 34, 5};
    static const char *const wants[] = {
        "NAME   N  WHY\nab    12  for what comes before it\n",
        "NAME   N  WHY\nab    12  for what comes befo…\n",
        "NAME   N  WHY\nab    12  for what comes before …\n",
        "NAME   N  WHY\nab    12  for what comes before it\n",
        "NAME   N  WHY\nab    12  for what co…\n",
    };
    for (size_t i = 0; i < SL_LEN(fits); i++) {
        struct sl_table t;
        struct sl_buf out = SL_BUF_INIT(10000);
        sl_table_init(&t, columns);
        t.fit = fits[i];
        sl_table_cell(&t, "ab");
        sl_table_cell(&t, "12");
        sl_table_cell(&t, "for what comes before it");
        sl_table_print(&t, false, &out);
        SL_CHECK_EQ_STR(sl_buf_str(&out), wants[i]);
        sl_buf_release(&out);
    }
}
