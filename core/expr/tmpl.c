/**
 * Templates: text with `${{ expression }}` segments.
 *
 * Thread: any. Must not: paste values into anything that is parsed again; the result is data.
 */
#include "core/base/base.h"

#include "core/expr/expr_priv.h"

#include <stdlib.h>

#define RESULT_MAX (1024 * 1024) /* bytes of an evaluated template */

struct segment {
    const struct sl_expr *expr; /* NULL: literal text */
    struct sl_str text;
};

struct sl_tmpl {
    const char *source;
    struct segment *segments;
    size_t n;
};

static bool is_at(const char *text, size_t len, size_t pos, const char *what)
{
    size_t n = strlen(what);
    return len - pos >= n && memcmp(text + pos, what, n) == 0;
}

/** Adds the literal text from..to unless it is empty. */
static void add_text(struct segment *segments, size_t *n, struct sl_str text)
{
    if (text.len > 0) {
        segments[(*n)++] = (struct segment){.text = text};
    }
}

/** How many segments there can be: two for every "${{", and one. */
static size_t count_segments(const char *text, size_t len)
{
    size_t n = 1;
    for (size_t i = 0; i < len; i++) {
        n += is_at(text, len, i, "${{") ? 2 : 0;
    }
    return n;
}

static int parse_segments(struct sl_arena *a, struct sl_tmpl *t, size_t len, struct sl_expr_err *e)
{
    const char *text = t->source;
    size_t from = 0;
    size_t pos = 0;
    while (pos < len) {
        if (is_at(text, len, pos, "$${{")) { /* the first '$' goes, the rest stays as text */
            add_text(t->segments, &t->n, (struct sl_str){text + from, pos - from});
            from = pos + 1;
            pos += 4;
        } else if (is_at(text, len, pos, "${{")) {
            add_text(t->segments, &t->n, (struct sl_str){text + from, pos - from});
            struct segment *segment = &t->segments[t->n];
            int r = expr_parse_at(a, text, pos + 3, len, true, &segment->expr, &pos, e);
            if (r < 0) {
                return r;
            }
            from = pos;
            t->n++;
        } else {
            pos++;
        }
    }
    add_text(t->segments, &t->n, (struct sl_str){text + from, len - from});
    return 0;
}

int sl_tmpl_parse(struct sl_arena *a, struct sl_str text, const struct sl_tmpl **ret,
                  struct sl_expr_err *e)
{
    if (text.len > SL_TMPL_LEN_MAX) {
        return expr_fail(e, SL_ELIMIT, 0, 1, "text longer than %d bytes", SL_TMPL_LEN_MAX);
    }
    size_t valid = sl_utf8_check(text.ptr, text.len);
    if (valid < text.len) {
        return expr_fail(e, SL_EINVAL, valid, 1, "invalid UTF-8");
    }
    struct sl_tmpl *t = SL_ARENA_NEW(a, struct sl_tmpl);
    t->source = sl_arena_strndup(a, text.len > 0 ? text.ptr : "", text.len);
    size_t most = count_segments(t->source, text.len);
    t->segments = SL_ARENA_ARRAY(a, struct segment, most);
    int r = parse_segments(a, t, text.len, e);
    SL_ASSERT(t->n <= most);
    if (r == 0) {
        *ret = t;
    }
    return r;
}

bool sl_tmpl_is_literal(const struct sl_tmpl *t)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->segments[i].expr != NULL) {
            return false;
        }
    }
    return true;
}

const char *sl_tmpl_source(const struct sl_tmpl *t)
{
    return t->source;
}

const struct sl_expr *sl_tmpl_single(const struct sl_tmpl *t)
{
    return t->n == 1 ? t->segments[0].expr : NULL;
}

void sl_tmpl_refs(const struct sl_tmpl *t, sl_expr_ref_fn fn, void *data)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->segments[i].expr != NULL) {
            sl_expr_refs(t->segments[i].expr, fn, data);
        }
    }
}

int sl_tmpl_eval(const struct sl_tmpl *t, const struct sl_expr_scope *scope, struct sl_arena *a,
                 struct sl_value *ret, struct sl_expr_err *e)
{
    if (sl_tmpl_single(t) != NULL) {
        return sl_expr_eval(sl_tmpl_single(t), scope, a, ret, e);
    }
    struct sl_buf out = SL_BUF_INIT(RESULT_MAX);
    int r = 0;
    for (size_t i = 0; i < t->n && r == 0; i++) {
        const struct segment *segment = &t->segments[i];
        struct sl_value value = {.type = SL_V_STRING, .s = segment->text};
        if (segment->expr != NULL) {
            r = sl_expr_eval(segment->expr, scope, a, &value, e);
        }
        if (r == 0) {
            sl_value_text(&value, &out);
        }
    }
    if (r == 0 && out.overflow) {
        r = expr_fail(e, SL_ELIMIT, 0, 1, "the text is longer than %d bytes", RESULT_MAX);
    }
    if (r == 0) {
        char *copy = sl_arena_strndup(a, sl_buf_str(&out), out.len);
        *ret = (struct sl_value){.type = SL_V_STRING, .s = {copy, out.len}};
    }
    sl_buf_release(&out);
    return r;
}
