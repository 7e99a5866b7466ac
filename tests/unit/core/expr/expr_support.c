/**
 * A scope with known values, and one-line evaluation. Test support; single-threaded.
 */
#include "core/base/base.h"

#include "tests/unit/core/expr/expr_support.h"

static const char roots_json[] =
    "{\"params\":{\"epochs\":12,\"lr\":0.5,\"name\":\"churn\",\"on\":true},"
    "\"matrix\":{\"seed\":2},"
    "\"candidate\":{\"auc\":0.8123,\"ece\":0.04,\"slices\":["
    "{\"name\":\"a\",\"recall\":0.9},{\"name\":\"b\",\"recall\":0.75}]},"
    "\"champion\":{\"auc\":0.812},"
    "\"steps\":{\"train\":{\"status\":\"succeeded\",\"outputs\":{\"model\":[\"m1\",\"m2\"]}}},"
    "\"list\":[1,2,3],\"empty\":[],\"nothing\":null,\"text\":\"h\\u00e9llo\"}";

static const struct sl_value *lookup(void *data, const char *name)
{
    const struct world *w = data;
    return sl_value_get(&w->roots, name);
}

static bool status(void *data, char which)
{
    (void)data;
    return which == 's' || which == 'a';
}

static const struct sl_value *field(void *data, const char *const *path, int n)
{
    static const struct sl_value lazy = {.type = SL_V_STRING, .s = {"lazy", 4}};
    (void)data;
    bool is_lazy = n == 3 && sl_streq(path[0], "steps") && sl_streq(path[1], "train") &&
                   sl_streq(path[2], "later");
    return is_lazy ? &lazy : NULL;
}

void world_init(struct world *w)
{
    static const char *const names[] = {"params", "matrix", "candidate", "champion", "steps", NULL};
    struct sl_err err = SL_ERR_INIT;
    sl_arena_init(&w->arena, 0);
    json_auto_t *json = sl_json_parse("roots", roots_json, sizeof(roots_json) - 1, &err);
    SL_CHECK_MSG(json != NULL, "%s", err.msg);
    w->roots = sl_value_from_json(&w->arena, json);
    w->scope = (struct sl_expr_scope){
        .lookup = lookup, .names = names, .status = status, .field = field, .data = w};
}

void world_release(struct world *w)
{
    sl_arena_release(&w->arena);
}

static const char *show(struct world *w, const struct sl_value *v)
{
    struct sl_buf out = SL_BUF_INIT(65536);
    if (v->type == SL_V_STRING) {
        sl_buf_json_str(&out, v->s.ptr, v->s.len);
    } else {
        sl_value_text(v, &out);
    }
    if (v->type == SL_V_DOUBLE && strpbrk(sl_buf_str(&out), ".eNI") == NULL) {
        sl_buf_puts(&out, ".0"); /* so that a double never looks like an int here */
    }
    const char *text = sl_arena_strdup(&w->arena, sl_buf_str(&out));
    sl_buf_release(&out);
    return text;
}

const char *world_eval(struct world *w, const char *text)
{
    const struct sl_expr *x = NULL;
    struct sl_value v;
    struct sl_expr_err e = {0};
    int r = sl_expr_parse(&w->arena, sl_str_c(text), &x, &e);
    if (r == 0) {
        r = sl_expr_eval(x, &w->scope, &w->arena, &v, &e);
    }
    return r == 0 ? show(w, &v) : sl_arena_printf(&w->arena, "!%s", e.msg);
}

const char *world_error(struct world *w, const char *text)
{
    const struct sl_expr *x = NULL;
    struct sl_value v;
    struct sl_expr_err e = {0};
    int r = sl_expr_parse(&w->arena, sl_str_c(text), &x, &e);
    if (r == 0) {
        r = sl_expr_eval(x, &w->scope, &w->arena, &v, &e);
    }
    SL_CHECK_MSG(r < 0, "'%s' should fail", text);
    return sl_arena_printf(&w->arena, "%zu+%zu %s", e.offset, e.width, e.msg);
}

const char *world_tmpl(struct world *w, const char *text)
{
    const struct sl_tmpl *t = NULL;
    struct sl_value v;
    struct sl_expr_err e = {0};
    int r = sl_tmpl_parse(&w->arena, sl_str_c(text), &t, &e);
    if (r == 0) {
        r = sl_tmpl_eval(t, &w->scope, &w->arena, &v, &e);
    }
    return r == 0 ? show(w, &v)
                  : sl_arena_printf(&w->arena, "!%zu+%zu %s", e.offset, e.width, e.msg);
}
