/**
 * $SLUICE_METRICS lines: both forms, special values, refusals with their places, chunks.
 */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/str.h"
#include "core/track/metrics.h"
#include "tests/support/sl_test.h"

static int parse(const char *text, struct sl_arena *arena, struct sl_points *points,
                 struct sl_err *err)
{
    return sl_metrics_parse_line(text, strlen(text), 7, arena, points, err);
}

static void add_part(struct sl_buf *out, const char *name, const char *text)
{
    if (text != NULL) {
        sl_buf_printf(out, " %s=%s", name, text);
    }
}

/* One line of text per point, for comparison. */
static void describe(const struct sl_points *points, struct sl_buf *out)
{
    for (size_t i = 0; i < points->n; i++) {
        const struct sl_point *p = &points->items[i];
        sl_buf_printf(out, "%s=%.17g", p->key, p->value);
        if (p->has_step) {
            sl_buf_printf(out, " step=%lld", (long long)p->step);
        }
        if (p->has_ts) {
            sl_buf_printf(out, " ts=%lld", (long long)p->ts_ms);
        }
        add_part(out, "slice", p->slice);
        add_part(out, "dataset", p->dataset);
        add_part(out, "model", p->model);
        sl_buf_puts(out, ";");
    }
}

SL_TEST(core_track_metrics, line__good__gives_these_points)
{
    static const struct {
        const char *line, *points;
    } cases[] = {
        {"{\"key\":\"auc\",\"value\":0.5,\"step\":3,\"ts\":1763632800.5,\"slice\":\"age>65\","
         "\"dataset\":\"heldout\",\"model\":\"best\"}",
         "auc=0.5 step=3 ts=1763632800500 slice=age>65 dataset=heldout model=best;"},
        {"{\"name\":\"auc\",\"value\":-2}", "auc=-2;"},
        {"{\"step\":1,\"loss\":0.25,\"auc\":0.75,\"slice\":\"s\"}",
         "loss=0.25 step=1 slice=s;auc=0.75 step=1 slice=s;"},
        {"  { \"loss\" : 1e-3 , \"step\" : 2.0 } \r", "loss=0.001 step=2;"},
        {"{\"loss\":NaN,\"a\":Infinity,\"b\":-Infinity}", "loss=nan;a=inf;b=-inf;"},
        {"{\"loss\":\"NaN\",\"a\":\"Infinity\",\"b\":\"-Infinity\"}", "loss=nan;a=inf;b=-inf;"},
        {"{\"key\":\"k\",\"value\":NaN}", "k=nan;"},
        {"{\"loss\":1,\"timestamp\":1763632800123}", "loss=1 ts=1763632800123;"},
        {"{\"loss\":1,\"ts\":\"2025-11-20T10:00:00Z\"}", "loss=1 ts=1763632800000;"},
        {"{\"loss\":1,\"ts\":0}", "loss=1 ts=0;"},
        {"{\"loss\":1,\"slice\":null,\"dataset\":\"\"}", "loss=1;"},
        {"{\"value\":3}", "value=3;"},
        {"{\"name\":3,\"key\":4}", "name=3;key=4;"},
        {"{\"step\":-5,\"x\":0}", "x=0 step=-5;"},
        {"{\"step\":9007199254740992,\"x\":0}", "x=0 step=9007199254740992;"},
        {"{\"caf\\u00e9 \\ud83d\\ude00 \\\"\\\\\\/\\n\":1}",
         "caf\xc3\xa9 \xf0\x9f\x98\x80 \"\\/\n=1;"},
        {"{\"x\":1.7976931348623157e308,\"y\":5e-324,\"z\":-0.0}",
         "x=1.7976931348623157e+308;y=4.9406564584124654e-324;z=-0;"},
        {"{\"x\":123456789012345678901234567890}", "x=1.2345678901234568e+29;"},
        {"", ""},
        {" \t \r", ""}};
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_arena arena;
        sl_arena_init(&arena, 0);
        struct sl_points points = {0};
        struct sl_err err = SL_ERR_INIT;
        sl_test_note("%s", cases[i].line);
        SL_CHECK_OK(parse(cases[i].line, &arena, &points, &err), err);
        struct sl_buf out = SL_BUF_INIT(4096);
        describe(&points, &out);
        SL_CHECK_EQ_STR(sl_buf_str(&out), cases[i].points);
        sl_buf_release(&out);
        sl_arena_release(&arena);
    }
}

static const struct {
    const char *line, *message;
} bad_lines[] = {
    {"loss=3", "line 7, column 1: expected a JSON object, as {\"step\": 1, \"loss\": 0.3}"},
    {"[1]", "line 7, column 1: expected a JSON object, as {\"step\": 1, \"loss\": 0.3}"},
    {"{\"a\":1} x", "line 7, column 9: something follows the object"},
    {"{\"a\":1", "line 7, column 7: expected ',' or '}'"},
    {"{\"a\":1,}", "line 7, column 8: expected a key in quotes"},
    {"{a:1}", "line 7, column 2: expected a key in quotes"},
    {"{\"a\" 1}", "line 7, column 6: expected ':' after the key"},
    {"{\"a\":}",
     "line 7, column 6: expected a value: a number, NaN, Infinity, -Infinity or a text"},
    {"{\"a\":nan}",
     "line 7, column 6: expected a value: a number, NaN, Infinity, -Infinity or a text"},
    {"{\"a\":+1}",
     "line 7, column 6: expected a value: a number, NaN, Infinity, -Infinity or a text"},
    {"{\"a\":01}",
     "line 7, column 6: expected a value: a number, NaN, Infinity, -Infinity or a text"},
    {"{\"a\":1.}",
     "line 7, column 6: expected a value: a number, NaN, Infinity, -Infinity or a text"},
    {"{\"a\":1e}",
     "line 7, column 6: expected a value: a number, NaN, Infinity, -Infinity or a text"},
    {"{\"a\":0x10}", "line 7, column 7: expected ',' or '}'"},
    {"{\"a\":1e999}", "line 7, column 6: a number out of the range of a double"},
    {"{\"a\":true}", "line 7, column 6: 'a' must be a number, NaN, Infinity or -Infinity"},
    {"{\"a\":null}", "line 7, column 6: 'a' must be a number, NaN, Infinity or -Infinity"},
    {"{\"a\":\"high\"}", "line 7, column 6: 'a' must be a number, NaN, Infinity or -Infinity"},
    {"{\"a\":{\"b\":1}}",
     "line 7, column 6: a metrics line is one flat object: no objects or lists inside"},
    {"{\"a\":[1]}",
     "line 7, column 6: a metrics line is one flat object: no objects or lists inside"},
    {"{\"a\":1,\"b\":2,\"a\":3}", "'a' is given twice"},
    {"{\"a\":1,\"ts\":1,\"timestamp\":2}", "line 7, column 27: 'timestamp' is given twice"},
    {"{\"a\":1,\"step\":1.5}",
     "line 7, column 15: 'step' must be an integer between -2^53 and 2^53"},
    {"{\"a\":1,\"step\":9007199254740994}",
     "line 7, column 15: 'step' must be an integer between -2^53 and 2^53"},
    {"{\"a\":1,\"step\":NaN}",
     "line 7, column 15: 'step' must be an integer between -2^53 and 2^53"},
    {"{\"a\":1,\"ts\":\"noon\"}",
     "line 7, column 13: 'ts' must be a Unix time in seconds or milliseconds, or RFC 3339"},
    {"{\"a\":1,\"ts\":-1}",
     "line 7, column 13: 'ts' must be a Unix time in seconds or milliseconds, or RFC 3339"},
    {"{\"a\":1,\"ts\":1e300}",
     "line 7, column 13: 'ts' must be a Unix time in seconds or milliseconds, or RFC 3339"},
    {"{\"a\":1,\"slice\":3}", "line 7, column 16: 'slice' must be a text"},
    {"{\"key\":\"k\"}", "line 7, column 1: a key without a value"},
    {"{\"key\":\"\",\"value\":1}", "line 7, column 1: a metric with an empty key"},
    {"{\"\":1}", "line 7, column 5: a metric with an empty key"},
    {"{\"key\":\"k\",\"value\":1,\"vlaue\":2}",
     "line 7, column 30: 'vlaue' is not a field of a line with a key"},
    {"{\"key\":\"k\",\"value\":\"1\"}",
     "line 7, column 20: 'value' must be a number, NaN, Infinity or -Infinity"},
    {"{}", "line 7, column 1: no metric in this line"},
    {"{\"step\":4}", "line 7, column 1: no metric in this line"},
    {"{\"a", "line 7, column 2: a text without its closing quote"},
    {"{\"a\\", "line 7, column 2: a text without its closing quote"},
    {"{\"a\\q\":1}", "line 7, column 5: an unknown escape in a text"},
    {"{\"a\\u12g4\":1}", "line 7, column 8: expected four hexadecimal digits after \\u"},
    {"{\"a\\ud83d\":1}", "line 7, column 6: half a surrogate pair"},
    {"{\"a\\ud83d\\u0041\":1}", "line 7, column 6: half a surrogate pair"},
    {"{\"a\\udc00\":1}", "line 7, column 6: half a surrogate pair"},
    {"{\"a\\u0000\":1}", "line 7, column 6: a NUL character"},
    {"{\"a\tb\":1}", "line 7, column 4: a control character in a text"},
    {"{\"a\xff\":1}", "line 7, column 4: not valid UTF-8"}};

SL_TEST(core_track_metrics, line__bad__is_refused_with_its_place)
{
    for (size_t i = 0; i < SL_LEN(bad_lines); i++) {
        struct sl_arena arena;
        sl_arena_init(&arena, 0);
        struct sl_points points = {.n = 77};
        struct sl_err err = SL_ERR_INIT;
        sl_test_note("%s", bad_lines[i].line);
        SL_CHECK_ERR(parse(bad_lines[i].line, &arena, &points, &err), SL_EINVAL, err,
                     bad_lines[i].message);
        SL_CHECK_EQ_UINT(points.n, 77); /* written only on success */
        sl_arena_release(&arena);
    }
}

SL_TEST(core_track_metrics, line__nul_inside__is_refused)
{
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    struct sl_points points;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_ERR(sl_metrics_parse_line("{\"a\":1}\0", 8, 1, &arena, &points, &err), SL_EINVAL, err,
                 "line 1, column 8: something follows the object");
    SL_CHECK_ERR(sl_metrics_parse_line("{\"a\0b\":1}", 9, 1, &arena, &points, &err), SL_EINVAL, err,
                 "column 4: a control character in a text");
    sl_arena_release(&arena);
}

/* {"kkk...":1} with a key of n bytes, or {"a":1,"field":"vvv..."} */
static int parse_long(const char *field, size_t n, struct sl_err *err)
{
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    struct sl_buf line = SL_BUF_INIT(1 << 20);
    sl_buf_puts(&line, field == NULL ? "{\"" : "{\"a\":1,\"");
    sl_buf_puts(&line, field == NULL ? "" : field);
    sl_buf_puts(&line, field == NULL ? "" : "\":\"");
    for (size_t i = 0; i < n; i++) {
        sl_buf_putc(&line, 'k');
    }
    sl_buf_puts(&line, field == NULL ? "\":1}" : "\"}");
    struct sl_points points;
    int rc = sl_metrics_parse_line(line.ptr, line.len, 7, &arena, &points, err);
    sl_buf_release(&line);
    sl_arena_release(&arena);
    return rc;
}

SL_TEST(core_track_metrics, line__limits__at_and_one_past)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(parse_long(NULL, SL_METRICS_KEY_MAX, &err), err);
    SL_CHECK_ERR(parse_long(NULL, SL_METRICS_KEY_MAX + 1, &err), SL_ELIMIT, err,
                 "a key longer than 250 bytes");
    SL_CHECK_OK(parse_long("slice", SL_METRICS_KEY_MAX, &err), err);
    SL_CHECK_ERR(parse_long("slice", SL_METRICS_KEY_MAX + 1, &err), SL_ELIMIT, err,
                 "line 7, column 16: 'slice' is longer than 250 bytes");
    SL_CHECK_OK(parse_long("dataset", SL_METRICS_REF_MAX, &err), err);
    SL_CHECK_ERR(parse_long("model", SL_METRICS_REF_MAX + 1, &err), SL_ELIMIT, err,
                 "'model' is longer than 500 bytes");
}

static int parse_keys(int n, size_t pad_to, struct sl_err *err)
{
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    struct sl_buf line = SL_BUF_INIT(1 << 20);
    sl_buf_puts(&line, "{\"step\":1");
    for (int i = 0; i < n; i++) {
        sl_buf_printf(&line, ",\"k%d\":%d", i, i);
    }
    sl_buf_puts(&line, "}");
    while (line.len < pad_to) {
        sl_buf_putc(&line, ' ');
    }
    struct sl_points points = {0};
    int rc = sl_metrics_parse_line(line.ptr, line.len, 7, &arena, &points, err);
    SL_CHECK(rc < 0 || points.n == (size_t)n);
    sl_buf_release(&line);
    sl_arena_release(&arena);
    return rc;
}

SL_TEST(core_track_metrics, line__keys_and_length__at_and_one_past)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(parse_keys(SL_METRICS_KEYS_MAX, 0, &err), err);
    SL_CHECK_ERR(parse_keys(SL_METRICS_KEYS_MAX + 1, 0, &err), SL_ELIMIT, err,
                 "line 7: more than 1000 metrics");
    SL_CHECK_ERR(parse_keys(SL_METRICS_KEYS_MAX + 100, 0, &err), SL_ELIMIT, err,
                 "line 7: more than 1000 metrics");
    SL_CHECK_OK(parse_keys(1, SL_METRICS_LINE_MAX, &err), err);
    SL_CHECK_ERR(parse_keys(1, SL_METRICS_LINE_MAX + 1, &err), SL_ELIMIT, err,
                 "line 7: longer than 65536 bytes");
}

static struct sl_metrics_chunk chunk(struct sl_arena *arena, const char *text, bool final)
{
    struct sl_metrics_chunk out;
    struct sl_metrics_input in = {
        .text = text, .len = strlen(text), .first_line = 10, .final = final};
    sl_metrics_parse_chunk(&in, arena, &out);
    return out;
}

SL_TEST(core_track_metrics, chunk__whole_lines_only__until_final)
{
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    const char *text = "{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}";
    struct sl_metrics_chunk c = chunk(&arena, text, false);
    SL_CHECK_EQ_UINT(c.points.n, 2);
    SL_CHECK_EQ_UINT(c.consumed, strlen("{\"a\":1}\n\n{\"a\":2}\r\n"));
    SL_CHECK_EQ_INT(c.n_lines, 3);
    c = chunk(&arena, text, true);
    SL_CHECK_EQ_UINT(c.points.n, 3);
    SL_CHECK_EQ_UINT(c.consumed, strlen(text));
    SL_CHECK_EQ_INT(c.n_bad, 0);
    c = chunk(&arena, "", true);
    SL_CHECK_EQ_INT(c.n_lines, 0);
    sl_arena_release(&arena);
}

SL_TEST(core_track_metrics, chunk__bad_lines__are_counted_and_the_first_is_kept)
{
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    struct sl_metrics_chunk c = chunk(&arena, "{\"a\":1}\noops\n{}\n{\"a\":2}\n", false);
    SL_CHECK_EQ_UINT(c.points.n, 2);
    SL_CHECK_EQ_INT(c.n_bad, 2);
    SL_CHECK_EQ_INT(c.n_lines, 4);
    SL_CHECK_CONTAINS(c.first_bad.msg, "line 11, column 1: expected a JSON object");
    sl_arena_release(&arena);
}

SL_TEST(core_track_metrics, chunk__endless_line__is_consumed_as_bad)
{
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    char *text = calloc(1, SL_METRICS_LINE_MAX + 2);
    SL_CHECK_NOT_NULL(text);
    memset(text, 'x', SL_METRICS_LINE_MAX);
    SL_CHECK_EQ_UINT(chunk(&arena, text, false).consumed, 0);
    text[SL_METRICS_LINE_MAX] = 'x';
    struct sl_metrics_chunk c = chunk(&arena, text, false);
    SL_CHECK_EQ_UINT(c.consumed, SL_METRICS_LINE_MAX + 1);
    SL_CHECK_EQ_INT(c.n_bad, 1);
    free(text);
    sl_arena_release(&arena);
}
