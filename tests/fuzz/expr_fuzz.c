/** Fuzz target: any bytes as an expression, a template and a pattern; parsed, walked, evaluated. */
#include "core/base/base.h"

#include "core/expr/expr.h"
#include "core/expr/regex.h"
#include "tests/support/sl_fuzz.h"

static const struct sl_value *lookup(void *data, const char *name)
{
    return sl_value_get(data, name);
}

static bool status(void *data, char which)
{
    (void)data;
    return which == 's';
}

static void count_ref(const struct sl_expr_ref *ref, void *data)
{
    SL_ASSERT(ref->n >= 1 && ref->n <= 8);
    *(size_t *)data += (size_t)ref->n;
}

static void try_expr(struct sl_arena *a, struct sl_str text, const struct sl_expr_scope *scope)
{
    const struct sl_expr *x = NULL;
    struct sl_expr_err e;
    struct sl_value v;
    size_t n = 0;
    if (sl_expr_parse(a, text, &x, &e) < 0) {
        SL_ASSERT(e.offset <= text.len);
        return;
    }
    sl_expr_refs(x, count_ref, &n);
    (void)sl_expr_mentions_status(x);
    if (sl_expr_eval(x, scope, a, &v, &e) == 0) {
        struct sl_buf out = SL_BUF_INIT(65536);
        sl_value_text(&v, &out);
        sl_buf_release(&out);
    } else {
        SL_ASSERT(e.offset <= text.len);
    }
    struct sl_buf out = SL_BUF_INIT(65536);
    sl_expr_explain(x, scope, &out);
    sl_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_value items[] = {{.type = SL_V_INT, .i = 1}, {.type = SL_V_STRING, .s = {"ab", 2}}};
    struct sl_value_field fields[] = {
        {"list", {.type = SL_V_LIST, .list = {items, 2}}},
        {"a", {.type = SL_V_DOUBLE, .d = 0.5}},
        {"s", {.type = SL_V_STRING, .s = {"text", 4}}},
        {"m", {.type = SL_V_MAP, .map = {NULL, 0}}},
    };
    fields[3].value.map.fields = fields;
    fields[3].value.map.n = 3;
    struct sl_value roots = {.type = SL_V_MAP, .map = {fields, SL_LEN(fields)}};
    struct sl_expr_scope scope = {.lookup = lookup, .status = status, .data = &roots};
    struct sl_str text = {(const char *)data, size};
    struct sl_arena a;
    sl_arena_init(&a, 0);
    try_expr(&a, text, &scope);
    const struct sl_tmpl *t = NULL;
    struct sl_expr_err e;
    struct sl_value v;
    if (sl_tmpl_parse(&a, text, &t, &e) < 0 || sl_tmpl_eval(t, &scope, &a, &v, &e) < 0) {
        SL_ASSERT(e.offset <= size);
    }
    size_t at = 0;
    const char *msg = NULL;
    const struct sl_regex *re = sl_regex_compile(&a, text, &at, &msg);
    if (re != NULL) {
        (void)sl_regex_search(re, SL_STR("some text 123 \xc3\xa9"));
    }
    sl_arena_release(&a);
    return 0;
}
