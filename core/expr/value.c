/**
 * Values: their names, text, equality, and the way from and to JSON.
 *
 * Thread: any. Must not: own anything; values point into an arena or into their source.
 */
#include "core/base/base.h"

#include "core/expr/expr.h"

#include <math.h>
#include <stdlib.h>

const char *sl_value_type_name(enum sl_value_type type)
{
    switch (type) {
    case SL_V_NULL: return "null";
    case SL_V_BOOL: return "bool";
    case SL_V_INT: return "int";
    case SL_V_DOUBLE: return "double";
    case SL_V_STRING: return "string";
    case SL_V_LIST: return "list";
    case SL_V_MAP: return "map";
    }
    return "unknown";
}

struct sl_value sl_value_str(struct sl_arena *a, const char *text)
{
    size_t len = strlen(text);
    return (struct sl_value){.type = SL_V_STRING, .s = {sl_arena_strndup(a, text, len), len}};
}

const struct sl_value *sl_value_get(const struct sl_value *map, const char *field)
{
    if (map->type != SL_V_MAP) {
        return NULL;
    }
    for (size_t i = 0; i < map->map.n; i++) {
        if (sl_streq(map->map.fields[i].name, field)) {
            return &map->map.fields[i].value;
        }
    }
    return NULL;
}

void sl_value_text(const struct sl_value *v, struct sl_buf *out)
{
    switch (v->type) {
    case SL_V_NULL: sl_buf_puts(out, "null"); return;
    case SL_V_BOOL: sl_buf_puts(out, v->b ? "true" : "false"); return;
    case SL_V_INT: sl_buf_printf(out, "%lld", (long long)v->i); return;
    case SL_V_DOUBLE:
        if (isfinite(v->d)) {
            sl_buf_json_num(out, v->d);
        } else {
            sl_buf_puts(out, isnan(v->d) ? "NaN" : v->d > 0 ? "Infinity" : "-Infinity");
        }
        return;
    case SL_V_STRING: sl_buf_add(out, v->s.ptr, v->s.len); return;
    case SL_V_LIST:
    case SL_V_MAP: {
        json_auto_t *json = sl_value_json(v);
        _cleanup_(free)
        char *text = sl_json_canonical(json);
        sl_buf_puts(out, text);
        return;
    }
    }
}

static json_t *double_json(double d)
{
    if (isfinite(d)) {
        return json_real(d);
    }
    return json_string(isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
}

json_t *sl_value_json(const struct sl_value *v)
{
    json_t *json = NULL;
    switch (v->type) {
    case SL_V_NULL: return json_null();
    case SL_V_BOOL: return json_boolean(v->b);
    case SL_V_INT: return json_integer((json_int_t)v->i);
    case SL_V_DOUBLE: return double_json(v->d);
    case SL_V_STRING: return json_stringn(v->s.ptr, v->s.len);
    case SL_V_LIST:
        json = json_array();
        for (size_t i = 0; i < v->list.n; i++) {
            (void)json_array_append_new(json, sl_value_json(&v->list.items[i]));
        }
        return json;
    case SL_V_MAP:
        json = json_object();
        for (size_t i = 0; i < v->map.n; i++) {
            (void)json_object_set_new(json, v->map.fields[i].name,
                                      sl_value_json(&v->map.fields[i].value));
        }
        return json;
    }
    return json_null();
}

static struct sl_value list_from_json(struct sl_arena *a, const json_t *json)
{
    size_t n = json_array_size(json);
    struct sl_value v = {.type = SL_V_LIST};
    v.list.items = n > 0 ? SL_ARENA_ARRAY(a, struct sl_value, n) : NULL;
    v.list.n = n;
    for (size_t i = 0; i < n; i++) {
        v.list.items[i] = sl_value_from_json(a, json_array_get(json, i));
    }
    return v;
}

static struct sl_value map_from_json(struct sl_arena *a, const json_t *json)
{
    size_t n = json_object_size(json);
    struct sl_value v = {.type = SL_V_MAP};
    v.map.fields = n > 0 ? SL_ARENA_ARRAY(a, struct sl_value_field, n) : NULL;
    const char *name = NULL;
    const json_t *item = NULL;
    /* jansson's iteration takes a non-const object, and does not change it */
    json_t *object = (json_t *)(uintptr_t)json;
    json_object_foreach (object, name, item) {
        v.map.fields[v.map.n].name = sl_arena_strdup(a, name);
        v.map.fields[v.map.n].value = sl_value_from_json(a, item);
        v.map.n++;
    }
    return v;
}

struct sl_value sl_value_from_json(struct sl_arena *a, const json_t *json)
{
    switch (json != NULL ? json_typeof(json) : JSON_NULL) {
    case JSON_OBJECT: return map_from_json(a, json);
    case JSON_ARRAY: return list_from_json(a, json);
    case JSON_STRING: {
        size_t len = json_string_length(json);
        char *copy = sl_arena_memdup(a, json_string_value(json), len + 1);
        return (struct sl_value){.type = SL_V_STRING, .s = {copy, len}};
    }
    case JSON_INTEGER:
        return (struct sl_value){.type = SL_V_INT, .i = (int64_t)json_integer_value(json)};
    case JSON_REAL: return (struct sl_value){.type = SL_V_DOUBLE, .d = json_real_value(json)};
    case JSON_TRUE:
    case JSON_FALSE: return (struct sl_value){.type = SL_V_BOOL, .b = json_is_true(json)};
    case JSON_NULL: break;
    }
    return (struct sl_value){.type = SL_V_NULL};
}

static bool map_eq(const struct sl_value *a, const struct sl_value *b)
{
    if (a->map.n != b->map.n) {
        return false;
    }
    for (size_t i = 0; i < a->map.n; i++) {
        const struct sl_value *other = sl_value_get(b, a->map.fields[i].name);
        if (other == NULL || !sl_value_eq(&a->map.fields[i].value, other)) {
            return false;
        }
    }
    return true;
}

static bool list_eq(const struct sl_value *a, const struct sl_value *b)
{
    if (a->list.n != b->list.n) {
        return false;
    }
    for (size_t i = 0; i < a->list.n; i++) {
        if (!sl_value_eq(&a->list.items[i], &b->list.items[i])) {
            return false;
        }
    }
    return true;
}

/* Equality of numbers is exact on purpose: it is what `==` means in the language. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wfloat-equal"
bool sl_value_eq(const struct sl_value *a, const struct sl_value *b)
{
    if (a->type != b->type) {
        if (a->type == SL_V_INT && b->type == SL_V_DOUBLE) {
            return (double)a->i == b->d;
        }
        return a->type == SL_V_DOUBLE && b->type == SL_V_INT && a->d == (double)b->i;
    }
    switch (a->type) {
    case SL_V_NULL: return true;
    case SL_V_BOOL: return a->b == b->b;
    case SL_V_INT: return a->i == b->i;
    case SL_V_DOUBLE: return a->d == b->d;
    case SL_V_STRING:
        return a->s.len == b->s.len && (a->s.len == 0 || memcmp(a->s.ptr, b->s.ptr, a->s.len) == 0);
    case SL_V_LIST: return list_eq(a, b);
    case SL_V_MAP: return map_eq(a, b);
    }
    return false;
}
#pragma GCC diagnostic pop
