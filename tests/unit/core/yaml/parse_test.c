/** The tree that a text becomes: types, places, aliases, merges, and the budgets at and past the limit. */
#include "core/base/base.h"

#include <math.h>
#include <stdlib.h>

#include "core/yaml/yaml.h"
#include "tests/support/sl_test.h"

struct fixture {
    struct sl_arena arena;
    struct sl_diags diags;
    const struct sl_yaml *y;
    int rc;
};

static void parse_len(struct fixture *f, const char *text, size_t len)
{
    sl_arena_init(&f->arena, 0);
    sl_diags_init(&f->diags, &f->arena);
    f->y = NULL;
    f->rc = sl_yaml_parse("t.yml", (struct sl_str){text, len}, &f->arena, &f->diags, &f->y);
}

static void parse(struct fixture *f, const char *text)
{
    parse_len(f, text, strlen(text));
}

static void release(struct fixture *f)
{
    sl_diags_release(&f->diags);
    sl_arena_release(&f->arena);
}

static void expect_error(const char *text, size_t len, int line, int column, const char *needle)
{
    struct fixture f;
    parse_len(&f, text, len);
    SL_CHECK_EQ_INT(f.rc, -SL_EINVAL);
    SL_CHECK(f.diags.list.n >= 1);
    SL_CHECK_CONTAINS(f.diags.list.items[0].message, needle);
    SL_CHECK_EQ_INT(f.diags.list.items[0].loc.line, line);
    SL_CHECK_EQ_INT(f.diags.list.items[0].loc.column, column);
    release(&f);
}

static void expect_type(const char *scalar, enum sl_yaml_type type)
{
    struct fixture f;
    parse(&f, scalar);
    SL_CHECK_MSG(f.rc == 0, "%s", scalar);
    SL_CHECK_MSG(f.y->docs[0]->type == type, "%s is %s", scalar,
                 sl_yaml_type_name(f.y->docs[0]->type));
    release(&f);
}

/* YAML 1.2.2, example 10.3.2 and its regular expressions. */
SL_TEST(core_yaml_parse, core_schema__tag_resolution__as_published)
{
    static const struct {
        const char *text;
        enum sl_yaml_type type;
    } cases[] = {
        {"- ~", SL_YAML_SEQ},      {"null", SL_YAML_NULL},      {"Null", SL_YAML_NULL},
        {"NULL", SL_YAML_NULL},    {"~", SL_YAML_NULL},         {"nULL", SL_YAML_STR},
        {"true", SL_YAML_BOOL},    {"False", SL_YAML_BOOL},     {"TRUE", SL_YAML_BOOL},
        {"tRUE", SL_YAML_STR},     {"yes", SL_YAML_STR},        {"on", SL_YAML_STR},
        {"NO", SL_YAML_STR},       {"0", SL_YAML_INT},          {"-12", SL_YAML_INT},
        {"+12", SL_YAML_INT},      {"0o7", SL_YAML_INT},        {"0x3A", SL_YAML_INT},
        {"0o8", SL_YAML_STR},      {"0xG", SL_YAML_STR},        {"-0x1", SL_YAML_STR},
        {"0b1", SL_YAML_STR},      {"1_000", SL_YAML_STR},      {"0.", SL_YAML_FLOAT},
        {"-0.0", SL_YAML_FLOAT},   {".5", SL_YAML_FLOAT},       {"+12e03", SL_YAML_FLOAT},
        {"-2E+05", SL_YAML_FLOAT}, {".inf", SL_YAML_FLOAT},     {"-.Inf", SL_YAML_FLOAT},
        {"+.INF", SL_YAML_FLOAT},  {".NAN", SL_YAML_FLOAT},     {"-.nan", SL_YAML_STR},
        {".", SL_YAML_STR},        {"e3", SL_YAML_STR},         {"1e", SL_YAML_STR},
        {"12:30", SL_YAML_STR},    {"2026-11-20", SL_YAML_STR}, {"'1'", SL_YAML_STR},
        {"\"true\"", SL_YAML_STR}, {"|\n 1\n", SL_YAML_STR},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        expect_type(cases[i].text, cases[i].type);
    }
}

SL_TEST(core_yaml_parse, core_schema__values__are_read)
{
    struct fixture f;
    parse(&f, "[0o17, 0xff, -9223372036854775808, 1e3, .inf, .nan, true, 0x7fffffffffffffff]");
    const struct sl_yaml_node *list = f.y->docs[0];
    SL_CHECK_EQ_INT(list->seq.items[0]->i, 15);
    SL_CHECK_EQ_INT(list->seq.items[1]->i, 255);
    SL_CHECK(list->seq.items[2]->i == INT64_MIN);
    SL_CHECK_NEAR(list->seq.items[3]->d, 1000, 0);
    SL_CHECK(isinf(list->seq.items[4]->d));
    SL_CHECK(isnan(list->seq.items[5]->d));
    SL_CHECK(list->seq.items[6]->b);
    SL_CHECK(list->seq.items[7]->i == INT64_MAX);
    release(&f);
    expect_error("[0x8000000000000000]", 20, 1, 2, "out of range");
    expect_error("a: 1e999", 8, 1, 4, "out of range");
}

SL_TEST(core_yaml_parse, documents__several__keep_their_order)
{
    struct fixture f;
    parse(&f, "a: 1\n---\nb: 2\n...\n---\n- 3\n");
    SL_CHECK_EQ_INT(f.rc, 0);
    SL_CHECK_EQ_UINT(f.y->n_docs, 3);
    SL_CHECK_NOT_NULL(sl_yaml_get(f.y->docs[1], "b"));
    SL_CHECK_EQ_INT(f.y->docs[2]->type, SL_YAML_SEQ);
    release(&f);
    parse(&f, "");
    SL_CHECK_EQ_INT(f.rc, 0);
    SL_CHECK_EQ_UINT(f.y->n_docs, 0);
    release(&f);
}

SL_TEST(core_yaml_parse, byte_order_mark_and_crlf__are_accepted)
{
    struct fixture f;
    parse(&f, "\xEF\xBB\xBF"
              "a: one\r\nb: |\r\n  x\r\n  y\r\n");
    SL_CHECK_EQ_INT(f.rc, 0);
    SL_CHECK_EQ_INT(sl_yaml_pair(f.y->docs[0], "a")->key_loc.column, 1);
    SL_CHECK_EQ_STR(sl_yaml_get(f.y->docs[0], "a")->text.ptr, "one");
    SL_CHECK_EQ_STR(sl_yaml_get(f.y->docs[0], "b")->text.ptr, "x\ny\n");
    release(&f);
}

SL_TEST(core_yaml_parse, places__count_characters_from_one)
{
    struct fixture f;
    parse(&f, "# é\n\"é\": [ü, 'x y', \"z\"]\nempty:\nlast: &n |\n  text\n");
    const struct sl_yaml_node *list = f.y->docs[0]->map.pairs[0].value;
    SL_CHECK_EQ_INT(f.y->docs[0]->map.pairs[0].key_loc.line, 2);
    SL_CHECK_EQ_INT(list->loc.column, 6);
    SL_CHECK_EQ_INT(list->seq.items[0]->loc.column, 7);
    SL_CHECK_EQ_INT(list->seq.items[1]->loc.column, 10);
    SL_CHECK_EQ_INT(list->seq.items[1]->loc.width, 5);
    SL_CHECK_EQ_INT(list->seq.items[2]->loc.column, 17);
    SL_CHECK_EQ_INT(sl_yaml_get(f.y->docs[0], "last")->loc.line, 4);
    SL_CHECK_EQ_INT(sl_yaml_get(f.y->docs[0], "last")->loc.column, 10);
    release(&f);
}

SL_TEST(core_yaml_parse, alias__names_the_latest_anchor__and_shares_its_node)
{
    struct fixture f;
    parse(&f, "a: &x {v: 1}\nb: *x\nc: &x {v: 2}\nd: *x\n");
    SL_CHECK_EQ_INT(f.rc, 0);
    SL_CHECK(sl_yaml_get(f.y->docs[0], "a") == sl_yaml_get(f.y->docs[0], "b"));
    SL_CHECK(sl_yaml_get(f.y->docs[0], "c") == sl_yaml_get(f.y->docs[0], "d"));
    release(&f);
    expect_error("a: &x 1\n---\nb: *x\n", 18, 3, 4, "unknown alias '*x'");
}

/* The YAML merge type: own keys win, then the earlier mapping of the list. */
SL_TEST(core_yaml_parse, merge__own_keys_win_then_earlier_mappings)
{
    struct fixture f;
    parse(&f, "- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {<<: [*a, *b], x: 0}\n- {\"<<\": 5}\n");
    SL_CHECK_EQ_INT(f.rc, 0);
    const struct sl_yaml_node *merged = f.y->docs[0]->seq.items[2];
    SL_CHECK_EQ_UINT(merged->map.n, 3);
    SL_CHECK_EQ_INT(sl_yaml_get(merged, "x")->i, 0);
    SL_CHECK_EQ_INT(sl_yaml_get(merged, "y")->i, 1);
    SL_CHECK_EQ_INT(sl_yaml_get(merged, "z")->i, 2);
    SL_CHECK_EQ_INT(sl_yaml_get(f.y->docs[0]->seq.items[3], "<<")->i, 5);
    release(&f);
}

SL_TEST(core_yaml_parse, duplicate_keys__each_is_reported)
{
    struct fixture f;
    parse(&f, "a: 1\nb: 2\na: 3\n\"a\": 4\n");
    SL_CHECK_EQ_INT(f.rc, -SL_EINVAL);
    SL_CHECK_EQ_UINT(f.diags.n_errors, 2);
    SL_CHECK_EQ_STR(f.diags.list.items[0].message, "duplicate key 'a'; the first is in line 1");
    SL_CHECK_EQ_INT(f.diags.list.items[1].loc.line, 4);
    release(&f);
}

static void expect_text(const char *yaml, const char *text)
{
    struct fixture f;
    parse(&f, yaml);
    SL_CHECK_EQ_INT(f.rc, 0);
    SL_CHECK_EQ_STR(f.y->docs[0]->text.ptr, text);
    SL_CHECK_EQ_UINT(f.y->docs[0]->text.len, strlen(text));
    release(&f);
}

/* YAML 1.2.2, examples 7.5, 7.7 and 7.9; and the run of quotes that makes libfyaml leak. */
SL_TEST(core_yaml_parse, quoted_texts__as_published)
{
    expect_text("'here''s to \"quotes\"'", "here's to \"quotes\"");
    expect_text("' 1st non-empty\n\n 2nd non-empty \n\t3rd non-empty '",
                " 1st non-empty\n2nd non-empty 3rd non-empty ");
    expect_text("\"folded \nto a space,\t\n \nto a line feed, or \t\\\n \\ \tnon-content\"",
                "folded to a space,\nto a line feed, or \t \tnon-content");
    expect_text("''''''''''''''''''''''''''''''''''''''''''''''", "''''''''''''''''''''''");
    expect_text("''", "");
    expect_text("'a\r\n  b\r\n\r\n  c'", "a b\nc");
}

/* ---- limits ----------------------------------------------------------------------------------- */

static char *repeated(const char *unit, size_t times, const char *before, const char *after)
{
    struct sl_buf b = SL_BUF_INIT((size_t)64 << 20);
    sl_buf_puts(&b, before);
    for (size_t i = 0; i < times; i++) {
        sl_buf_puts(&b, unit);
    }
    sl_buf_puts(&b, after);
    SL_CHECK(!b.overflow);
    return sl_buf_take(&b);
}

static void expect_limit(const char *unit, const char *before, const char *after, size_t limit,
                         const char *needle)
{
    struct fixture f;
    char *at = repeated(unit, limit, before, after),
         *past = repeated(unit, limit + 1, before, after);
    parse(&f, at);
    SL_CHECK_MSG(f.rc == 0, "%s: %s", needle,
                 f.diags.list.n > 0 ? f.diags.list.items[0].message : "");
    release(&f);
    parse(&f, past);
    SL_CHECK_EQ_INT(f.rc, -SL_EINVAL);
    SL_CHECK_CONTAINS(f.diags.list.items[0].message, needle);
    release(&f);
    free(at);
    free(past);
}

SL_TEST(core_yaml_parse, bytes__at_and_past_the_limit)
{
    expect_limit("#", "a: 1 ", "", SL_YAML_BYTES_MAX - 5, "bytes; at most 4194304 are read");
}

SL_TEST(core_yaml_parse, values__at_and_past_the_limit)
{
    expect_limit("1,", "[", "]", SL_YAML_NODES_MAX - 1, "more than 200000 values in one file");
}

SL_TEST(core_yaml_parse, documents__at_and_past_the_limit)
{
    expect_limit("--- 1\n", "", "", SL_YAML_DOCS_MAX, "more than 1000 documents in one file");
}

SL_TEST(core_yaml_parse, anchors__at_and_past_the_limit)
{
    expect_limit("- &a 1\n", "", "", 1000, "more than 1000 anchors in one document");
}

SL_TEST(core_yaml_parse, blank_lines__at_and_past_the_limit)
{
    expect_limit(" \n", "a: |\n", "  x\n", SL_YAML_BLANK_LINES_MAX,
                 "more than 200 blank lines in a row");
}

/* In a text, where the depth of lists does not matter. */
SL_TEST(core_yaml_parse, open_brackets__at_and_past_the_limit)
{
    expect_limit("[", "a: '", "'\n", SL_YAML_OPEN_BRACKETS_MAX, "more than 200000 open brackets");
}

static void expect_depth(size_t depth, int rc)
{
    struct fixture f;
    char *open = repeated("[", depth, "", ""), *text = repeated("]", depth, open, "");
    parse(&f, text);
    SL_CHECK_EQ_INT(f.rc, rc);
    if (rc != 0) {
        SL_CHECK_EQ_STR(f.diags.list.items[0].message, "nested deeper than 64 levels");
        SL_CHECK_EQ_INT(f.diags.list.items[0].loc.column, 65);
    }
    release(&f);
    free(open);
    free(text);
}

SL_TEST(core_yaml_parse, depth__at_and_past_the_limit)
{
    expect_depth(SL_YAML_DEPTH_MAX, 0);
    expect_depth(SL_YAML_DEPTH_MAX + 1, -SL_EINVAL);
    expect_depth(100000, -SL_EINVAL);
}

/* 40 levels below an anchor and 30 above its alias: neither alone is too deep. */
SL_TEST(core_yaml_parse, depth__through_an_alias__is_counted)
{
    struct fixture f;
    char *open = repeated("[", 40, "- &a ", ""), *inner = repeated("]", 40, open, "\n- ");
    char *more = repeated("[", 30, inner, "*a"), *text = repeated("]", 30, more, "\n");
    parse(&f, text);
    SL_CHECK_EQ_INT(f.rc, -SL_EINVAL);
    SL_CHECK_EQ_STR(f.diags.list.items[0].message, "nested deeper than 64 levels");
    SL_CHECK_EQ_INT(f.diags.list.items[0].loc.line, 2);
    release(&f);
    free(open);
    free(inner);
    free(more);
    free(text);
}

/* 1 + 997 + 1 + 1,002 aliases of those 997 + 7 are exactly 1,000,000 values. */
SL_TEST(core_yaml_parse, visits__at_and_past_the_limit)
{
    char *list = repeated("1,", 996, "- &a [", "]\n- [");
    expect_limit("*a,", list, "]\n- [1,1,1,1,1,1]\n", 1002,
                 "aliases expand to more than 1000000 values");
    free(list);
}

SL_TEST(core_yaml_parse, merges__budget__stops_quadratic_work)
{
    struct sl_buf b = SL_BUF_INIT((size_t)4 << 20);
    struct fixture f;
    sl_buf_puts(&b, "- &a {");
    for (int i = 0; i < 5000; i++) {
        sl_buf_printf(&b, "k%d: 1, ", i);
    }
    sl_buf_puts(&b, "}\n");
    for (int i = 0; i < 400; i++) {
        sl_buf_puts(&b, "- {<<: *a}\n");
    }
    parse(&f, b.ptr);
    SL_CHECK_EQ_INT(f.rc, -SL_EINVAL);
    SL_CHECK_CONTAINS(f.diags.list.items[0].message, "expand to more than 1000000 values");
    release(&f);
    sl_buf_release(&b);
}

/* ---- places inside scalars -------------------------------------------------------------------- */

static void expect_place(const char *text, const char *what, int line, int column)
{
    struct fixture f;
    parse(&f, text);
    SL_CHECK_MSG(f.rc == 0, "%s", text);
    const struct sl_yaml_node *node = sl_yaml_get(f.y->docs[0], "k");
    const char *at = strstr(node->text.ptr, what);
    SL_CHECK_MSG(at != NULL, "%s not in %s", what, node->text.ptr);
    struct sl_loc loc = sl_yaml_loc_at(f.y, node, (size_t)(at - node->text.ptr), strlen(what));
    SL_CHECK_MSG(loc.line == line && loc.column == column, "%s: %d:%d", text, loc.line, loc.column);
    release(&f);
}

SL_TEST(core_yaml_parse, loc_at__follows_quotes_escapes_and_folding)
{
    expect_place("k: one HERE\n", "HERE", 1, 8);
    expect_place("k: one\n  two HERE\n", "HERE", 2, 7);
    expect_place("k: one\n\n\n  two HERE\n", "HERE", 4, 7);
    expect_place("k: 'it''s HERE'\n", "HERE", 1, 11);
    expect_place("k: \"\\t\\u00e9\\x41 HERE\"\n", "HERE", 1, 18);
    expect_place("k: \"a \\\n   b HERE\"\n", "HERE", 2, 6);
    expect_place("k: \"a\n   b HERE\"\n", "HERE", 2, 6);
    expect_place("k: |\n  one\n    two HERE\n", "HERE", 3, 9);
    expect_place("k: |\n\n  one\n\n  HERE\n", "HERE", 5, 3);
    expect_place("k: |2\n   one\n  HERE\n", "HERE", 3, 3);
    expect_place("k: |\r\n  one\r\n  two HERE\r\n", "HERE", 3, 7);
    expect_place("k: >-\n  one\n  two HERE\n", "HERE", 3, 7);
    expect_place("k: >\n  one\n\n  two\n  HERE\n", "HERE", 5, 3);
    expect_place("k: >\n  one\n    more\n  HERE\n", "HERE", 4, 3);
    expect_place("k: é HERE\n", "HERE", 1, 6);
}

SL_TEST(core_yaml_parse, json__keeps_types)
{
    struct fixture f;
    parse(&f, "{a: [1, 1.5, true, ~, x], b: .inf}");
    json_t *json = sl_yaml_json(f.y->docs[0]);
    char *text = sl_json_canonical(json);
    SL_CHECK_EQ_STR(text, "{\"a\":[1,1.5,true,null,\"x\"],\"b\":\".inf\"}");
    free(text);
    json_decref(json);
    release(&f);
}
