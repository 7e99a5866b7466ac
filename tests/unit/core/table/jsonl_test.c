/** JSON lines: kinds and types, keys that come and go, bad lines, splits, limits. */
#include "core/base/base.h"

#include "core/table/jsonl_priv.h"
#include "tests/unit/core/table/rig.h"

SL_TEST(core_table_jsonl, lines__all_kinds__cells)
{
    RIG_IS("a.jsonl",
           "{\"i\":1,\"f\":1.5,\"b\":true,\"s\":\"x\",\"d\":\"2026-01-01\",\"t\":\"2026-01-01T00:"
           "00:00Z\","
           "\"n\":{\"k\":[1, \"}\"]}}\n"
           "\n"
           "{ \"f\" : 2 , \"i\" : null , \"n\" : [ ] , \"s\":\"\\u00e4\\ud83d\\ude00\\n\" }\r\n"
           "{}",
           NULL,
           "i:int64|f:float64|b:bool|s:string|d:date|t:timestamp|n:string\n"
           "1|1.5|true|\"x\"|20454d|1767225600000000usZ|\"{\\x22k\\x22:[1, \\x22}\\x22]}\"\n"
           "-|2|-|\"\\xc3\\xa4\\xf0\\x9f\\x98\\x80\\x0a\"|-|-|\"[ ]\"\n"
           "-|-|-|-|-|-|-\n");
    RIG_IS("a.ndjson", "{\"x\":NaN}\n{\"x\":-Infinity}\n{\"x\":1e5}\n", NULL,
           "x:float64\nnan\n-inf\n100000\n");
    RIG_IS("a.jsonl", "{\"x\":1}\n{\"x\":\"1\"}\n{\"x\":true}\n", NULL,
           "x:string\n\"1\"\n\"1\"\n\"true\"\n"); /* mixed kinds: as written */
    RIG_IS("a.jsonl", "{\"x\":\"007\",\"y\":\"12\"}\n", NULL,
           "x:string|y:string\n\"007\"|\"12\"\n"); /* strings of digits stay strings */
}

SL_TEST(core_table_jsonl, bad_lines__each__said_so)
{
    struct sl_table_opts one = {.infer_rows = 1};
    static const struct {
        const char *line, *fault;
    } cases[] = {
        {"[1]", "no JSON object"},
        {"{\"a\":1", "a comma or the end of the object"},
        {"{\"a\" 1}", "a colon"},
        {"{\"a\":1,}", "a key was expected"},
        {"{\"a\":1}x", "something follows"},
        {"{\"a\":01}", "no JSON value"},
        {"{\"a\":1.}", "a number without digits"},
        {"{\"a\":\"x}", "not closed"},
        {"{\"a\":\"\\x\"}", "escape that JSON does not have"},
        {"{\"a\":1,\"a\":2}", "a key stands twice"},
        {"{\"c\":1}", "the key \"c\" is not among those of the first rows"},
        {"{\"b\":\"\\u0000\"}", "NUL"},
        {"{\"b\":\"\\ud800\"}", "no character"},
        {"{\"b\":\"\xff\"}", "not UTF-8"},
        {"{\"b\":[1,}", "no JSON value"},
        {"{\"b\":[1", "inside a nested value"},
        {"{\"a\":\"x\"}", "column \"a\": the value is of another kind: expected int64"},
        {"{\"a\":99999999999999999999}", "the value is no such value: expected int64"},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        char text[200];
        struct rig r;
        int n = snprintf(text, sizeof(text), "{\"a\":1,\"b\":\"\"}\n%s\n", cases[i].line);
        SL_CHECK_ERR(rig_bytes(&r, "a.jsonl", text, (size_t)n, &one), SL_EINVAL, r.err,
                     cases[i].fault);
        SL_CHECK_CONTAINS(r.err.msg, "row 1, line 2");
        rig_release(&r);
    }
    RIG_FAILS("a.jsonl", "no json\n", NULL, SL_EINVAL, "no line of its beginning");
    RIG_FAILS("a.jsonl", "", NULL, SL_EINVAL, "no line of its beginning");
}

SL_TEST(core_table_jsonl, skip_and_selection__rest__cells)
{
    static const char text[] =
        "{\"a\":1,\"b\":\"x\"}\nbad\n{\"b\":\"y\",\"new\":[]}\n{\"a\":true}\n{\"a\":3}\n";
    const char *const names[] = {"b"};
    struct sl_table_opts select = {.columns = names, .n_columns = 1, .infer_rows = 1};
    struct sl_table_opts skip = {.on_bad = SL_TABLE_BAD_SKIP, .infer_rows = 1};
    struct rig r;
    select.on_bad = SL_TABLE_BAD_SKIP;
    SL_CHECK_OK(rig_bytes(&r, "a.jsonl", text, sizeof(text) - 1, &select), r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&r.out), "b:string\n\"x\"\n\"y\"\n-\n-\n");
    SL_CHECK_EQ_UINT(r.n_bad, 1);
    rig_release(&r);
    SL_CHECK_OK(rig_bytes(&r, "a.jsonl", text, sizeof(text) - 1, &skip), r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&r.out), "a:int64|b:string\n1|\"x\"\n3|-\n");
    SL_CHECK_EQ_UINT(r.n_bad, 3);
    SL_CHECK_EQ_UINT(r.sample.line, 2);
    SL_CHECK_EQ_UINT(r.sample.offset, 16);
    rig_release(&r);
    rig_splits("a.jsonl", text, sizeof(text) - 1, 6, &skip);
}

SL_TEST(core_table_jsonl, split__large__equals_the_whole)
{
    struct sl_buf b = SL_BUF_INIT(16u << 20);
    struct sl_table_opts opts = {.on_bad = SL_TABLE_BAD_SKIP};
    for (size_t i = 0; i < 40000; i++) {
        sl_buf_printf(
            &b, i % 50 == 49 ? "\r\n{\"i\":%zu\n" : "{\"i\":%zu,\"s\":\"text of a row\"}\r\n", i);
    }
    rig_splits("a.jsonl", b.ptr, b.len, 4, &opts);
    sl_buf_release(&b);
}

SL_TEST(core_table_jsonl, depth__at_and_past_the_limit__read_and_refused)
{
    for (size_t depth = JSONL_DEPTH_MAX; depth <= JSONL_DEPTH_MAX + 1; depth++) {
        struct sl_buf b = SL_BUF_INIT(4096);
        struct rig r;
        sl_buf_puts(&b, "{\"a\":1,\"b\":[]}\n{\"b\":");
        for (size_t i = 0; i < depth; i++) {
            sl_buf_putc(&b, '[');
        }
        for (size_t i = 0; i < depth; i++) {
            sl_buf_putc(&b, ']');
        }
        sl_buf_puts(&b, "}\n");
        int rc = rig_bytes(&r, "a.jsonl", b.ptr, b.len, NULL);
        SL_CHECK_EQ_INT(rc, depth > JSONL_DEPTH_MAX ? -SL_EINVAL : 0);
        SL_CHECK(rc == 0 || strstr(r.err.msg, "nested deeper than 64") != NULL);
        rig_release(&r);
        sl_buf_release(&b);
    }
}

SL_TEST(core_table_jsonl, line__past_the_row_limit__refused)
{
    struct sl_buf b = SL_BUF_INIT(64u << 20);
    struct rig r;
    sl_buf_puts(&b, "{\"a\":1}\n{\"a\":");
    while (b.len < SL_TABLE_ROW_BYTES_MAX + 64) {
        sl_buf_puts(&b, "                                                                ");
    }
    sl_buf_puts(&b, "2}\n");
    SL_CHECK_ERR(rig_bytes(&r, "a.jsonl", b.ptr, b.len, NULL), SL_ELIMIT, r.err,
                 "a.jsonl: a row is longer than 16 MiB");
    rig_release(&r);
    sl_buf_release(&b);
}
