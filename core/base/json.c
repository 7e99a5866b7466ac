/**
 * JSON in: parsing with our limits, and reading and setting fields. Sole owner of jansson.
 *
 * Thread: any; a json_t belongs to one thread at a time. Must not: let input reach an assertion.
 */
#include "core/base/base.h"

#include "core/base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"

/** Deepest nesting of the text; brackets inside strings do not count. */
static size_t nesting(const char *text, size_t len)
{
    size_t depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            depth++;
            deepest = SL_MAX(deepest, depth);
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

json_t *sl_json_parse(const char *name, const char *text, size_t len, struct sl_err *err)
{
    if (len > SL_JSON_BYTES_MAX) {
        sl_err_set(err, SL_ELIMIT, "%s: JSON of %zu bytes, at most %zu are read", name, len,
                   (size_t)SL_JSON_BYTES_MAX);
        return NULL;
    }
    if (nesting(text, len) > SL_JSON_DEPTH_MAX) {
        sl_err_set(err, SL_ELIMIT, "%s: JSON nested deeper than %d levels", name,
                   SL_JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t e;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (value == NULL) {
        sl_err_set(err, SL_EINVAL, "%s:%d:%d: %s", name, e.line, e.column, e.text);
    }
    return value;
}

const char *sl_json_str(const json_t *object, const char *key, const char *fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? json_string_value(v) : fallback;
}

int64_t sl_json_i64(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : fallback;
}

double sl_json_num(const json_t *object, const char *key, double fallback)
{
    const json_t *v = json_object_get(object, key);
    if (json_is_number(v)) {
        return json_number_value(v);
    }
    const char *word = json_is_string(v) ? json_string_value(v) : "";
    if (strcmp(word, "NaN") == 0) {
        return (double)NAN;
    }
    if (strcmp(word, "Infinity") == 0) {
        return (double)INFINITY;
    }
    return strcmp(word, "-Infinity") == 0 ? -(double)INFINITY : fallback;
}

bool sl_json_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

static void set_new(json_t *object, const char *key, json_t *value)
{
    int rc = json_object_set_new(object, key, value);
    SL_ASSERT(rc == 0); /* not an object, a key that is not UTF-8, or exhaustion */
}

void sl_json_set_str(json_t *object, const char *key, const char *value)
{
    if (value == NULL) {
        return;
    }
    size_t len = strlen(value);
    if (sl_utf8_check(value, len) == len) {
        set_new(object, key, json_stringn(value, len));
        return;
    }
    struct sl_buf fixed = SL_BUF_INIT(SIZE_MAX / 2);
    sl_utf8_repair(value, len, &fixed);
    set_new(object, key, json_stringn(fixed.ptr, fixed.len));
    sl_buf_release(&fixed);
}

void sl_json_set_i64(json_t *object, const char *key, int64_t value)
{
    set_new(object, key, json_integer(value));
}

void sl_json_set_num(json_t *object, const char *key, double value)
{
    const char *special = sl_json_special(value);
    set_new(object, key, special != NULL ? json_string(special) : json_real(value));
}

void sl_json_set_bool(json_t *object, const char *key, bool value)
{
    set_new(object, key, json_boolean(value));
}
