/**
 * Bars in time: what waited, what ran, matrices as one row, widths.
 */
#include "core/base/base.h"

#include "cmd/gantt.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "tests/support/sl_test.h"

static char *chart(const char *text, const struct sl_gantt_opts *opts)
{
    struct sl_err err = SL_ERR_INIT;
    json_t *run = sl_json_parse("run", text, strlen(text), &err);
    struct sl_buf out = SL_BUF_INIT(1 << 20);
    SL_CHECK(run != NULL);
    sl_gantt_print(run, opts, &out);
    json_decref(run);
    return sl_buf_take(&out);
}

/* From 0 to 1000 ms; 20 columns remain for bars of 50 ms each. */
static const char two_steps[] =
    "{\"started_ms\":10000,\"ended_ms\":11000,\"steps\":["
    "{\"key\":\"b\",\"step\":\"b\",\"state\":\"failed\",\"needs\":[1],\"attempt_list\":["
    "{\"started_ms\":10600,\"ended_ms\":10690},{\"started_ms\":10900,\"ended_ms\":10990}]},"
    "{\"key\":\"a\",\"step\":\"a\",\"state\":\"succeeded\",\"needs\":[],\"ended_ms\":10400,"
    "\"attempt_list\":[{\"started_ms\":10000,\"ended_ms\":10399}]},"
    "{\"key\":\"c\",\"step\":\"c\",\"state\":\"cached\",\"needs\":[]}]}";

SL_TEST(cmd_gantt, print__two_steps__are_bars_in_order_of_time)
{
    const struct sl_gantt_opts opts = {.now_ms = 99999, .width = 51};
    char *text = chart(two_steps, &opts);
    SL_CHECK_EQ_STR(text, "a        |########            |    399ms  succeeded\n"
                          "b        |        ....##....##|    390ms  failed\n"
                          "          0               1.0s\n"
                          ". waited  # ran; 1 steps without an attempt are left out\n");
    free(text);
}

SL_TEST(cmd_gantt, print__instances__are_one_row_until_now)
{
    const struct sl_gantt_opts opts = {.now_ms = 11000, .width = 51, .blocks = true};
    char *text = chart("{\"started_ms\":10000,\"steps\":["
                       "{\"key\":\"t[1]\",\"step\":\"t\",\"state\":\"succeeded\",\"needs\":[],"
                       "\"attempt_list\":[{\"started_ms\":10000,\"ended_ms\":10240}]},"
                       "{\"key\":\"t[2]\",\"step\":\"t\",\"state\":\"running\","
                       "\"attempt_list\":[{\"started_ms\":10500}]}]}",
                       &opts);
    SL_CHECK(strstr(text, "t x2     |█████░░░░░██████████|     1.0s  running\n") == text);
    free(text);
}

SL_TEST(cmd_gantt, print__widths__are_bounded)
{
    static const size_t widths[] = {0, SL_GANTT_WIDTH_MIN, SL_GANTT_WIDTH_MAX,
                                    SL_GANTT_WIDTH_MAX + 1};
    size_t lengths[SL_LEN(widths)];
    for (size_t i = 0; i < SL_LEN(widths); i++) {
        const struct sl_gantt_opts opts = {.now_ms = 11000, .width = widths[i]};
        char *text = chart(two_steps, &opts);
        lengths[i] = strcspn(text, "\n");
        free(text);
    }
    SL_CHECK_EQ_INT(lengths[0], lengths[1]);
    SL_CHECK_EQ_INT(lengths[2], lengths[3]);
    SL_CHECK(lengths[1] <= SL_GANTT_WIDTH_MIN + 2 && lengths[2] <= SL_GANTT_WIDTH_MAX);
}

SL_TEST(cmd_gantt, print__rows__end_at_the_limit)
{
    for (int extra = 0; extra < 2; extra++) {
        struct sl_buf text = SL_BUF_INIT(1 << 20);
        const struct sl_gantt_opts opts = {.now_ms = 2, .width = 80};
        sl_buf_puts(&text, "{\"started_ms\":1,\"steps\":[");
        for (int i = 0; i < SL_GANTT_ROWS_MAX + extra; i++) {
            sl_buf_printf(&text,
                          "%s{\"key\":\"s%d\",\"step\":\"s%d\",\"state\":\"running\","
                          "\"attempt_list\":[{\"started_ms\":1}]}",
                          i > 0 ? "," : "", i, i);
        }
        sl_buf_puts(&text, "]}");
        char *out = chart(sl_buf_str(&text), &opts);
        SL_CHECK_EQ_INT(strstr(out, "... 1 more rows\n") != NULL, extra);
        free(out);
        sl_buf_release(&text);
    }
}
