/**
 * JSON out: escaped strings, shortest numbers, the canonical form (RFC 8785, with integers of 64
 * bits printed exactly and larger reals with an exponent) and the indented form.
 *
 * Thread: any. Must not: fail; bytes that are not UTF-8 become U+FFFD.
 */
#include "core/base/base.h"

#include "core/base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"

#define WRITE_DEPTH_MAX 2048 /* as jansson's own */

void sl_utf8_repair(const char *text, size_t len, struct sl_buf *out)
{
    size_t at = 0;
    while (at < len) {
        size_t good = sl_utf8_check(text + at, len - at);
        sl_buf_add(out, text + at, good);
        at += good;
        if (at < len) {
            sl_buf_puts(out, "\xEF\xBF\xBD");
            at++;
        }
    }
}

static void add_escape(struct sl_buf *b, unsigned char c)
{
    switch (c) {
    case '"': sl_buf_puts(b, "\\\""); break;
    case '\\': sl_buf_puts(b, "\\\\"); break;
    case '\b': sl_buf_puts(b, "\\b"); break;
    case '\f': sl_buf_puts(b, "\\f"); break;
    case '\n': sl_buf_puts(b, "\\n"); break;
    case '\r': sl_buf_puts(b, "\\r"); break;
    case '\t': sl_buf_puts(b, "\\t"); break;
    default: sl_buf_printf(b, "\\u%04x", (unsigned)c); break;
    }
}

/** Appends valid UTF-8 with what JSON demands escaped. */
static void add_escaped(struct sl_buf *b, const char *text, size_t len)
{
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == '"' || c == '\\') {
            sl_buf_add(b, text + from, i - from);
            add_escape(b, c);
            from = i + 1;
        }
    }
    sl_buf_add(b, text + from, len - from);
}

void sl_buf_json_str(struct sl_buf *b, const char *text, size_t len)
{
    sl_buf_putc(b, '"');
    if (sl_utf8_check(text, len) == len) {
        add_escaped(b, text, len);
    } else {
        struct sl_buf fixed = SL_BUF_INIT(SIZE_MAX / 2);
        sl_utf8_repair(text, len, &fixed);
        add_escaped(b, fixed.ptr, fixed.len);
        sl_buf_release(&fixed);
    }
    sl_buf_putc(b, '"');
}

const char *sl_json_special(double value)
{
    if (isnan(value)) {
        return "NaN";
    }
    if (isinf(value)) {
        return value > 0 ? "Infinity" : "-Infinity";
    }
    return NULL;
}

void sl_buf_json_num(struct sl_buf *b, double value)
{
    const char *special = sl_json_special(value);
    if (special != NULL) {
        sl_buf_printf(b, "\"%s\"", special);
        return;
    }
    if (value == 0.0 && signbit(value)) {
        sl_buf_puts(b, "-0.0"); /* "-0" would read back as the integer 0 */
        return;
    }
    char text[SL_NUMBER_TEXT];
    sl_buf_add(b, text, sl_number_text(value, text));
}

/** How a tree is laid out. */
struct layout {
    bool canonical; /* sorted, no blanks, reals as in RFC 8785; else indented, reals stay reals */
};

static void add_real(struct sl_buf *b, double value, bool canonical)
{
    char text[SL_NUMBER_TEXT];
    sl_buf_add(b, text, sl_number_text(value, text));
    if (!canonical && strpbrk(text, ".e") == NULL) {
        sl_buf_puts(b, ".0");
    }
}

/** Order of UTF-16 code units (RFC 8785 §3.2.3): as bytes, but U+E000..U+FFFF after the rest. */
static int compare_keys(const void *left, const void *right)
{
    const char *const *l = left, *const *r = right;
    const unsigned char *a = (const unsigned char *)*l, *b = (const unsigned char *)*r;
    while (*a == *b && *a != 0) {
        a++;
        b++;
    }
    if (*a >= 0xEE && *b >= 0xEE && (*a >= 0xF0) != (*b >= 0xF0)) {
        return *a >= 0xF0 ? -1 : 1;
    }
    return (int)*a - (int)*b;
}

static const char **keys_of(const json_t *object, bool sorted, size_t *ret_n)
{
    size_t n = json_object_size(object), i = 0;
    const char **keys = sl_calloc(n, sizeof(*keys));
    json_t *mutable_object = json_incref((json_t *)(uintptr_t)object);
    for (void *it = json_object_iter(mutable_object); it != NULL;
         it = json_object_iter_next(mutable_object, it)) {
        keys[i++] = json_object_iter_key(it);
    }
    json_decref(mutable_object);
    if (sorted) {
        qsort(keys, n, sizeof(*keys), compare_keys);
    }
    *ret_n = n;
    return keys;
}

static void newline(struct sl_buf *b, const struct layout *layout, int depth)
{
    if (!layout->canonical) {
        sl_buf_putc(b, '\n');
        for (int i = 0; i < depth; i++) {
            sl_buf_puts(b, "  ");
        }
    }
}

static void add_value(struct sl_buf *b, const json_t *value, const struct layout *layout,
                      int depth);

static void add_object(struct sl_buf *b, const json_t *object, const struct layout *layout,
                       int depth)
{
    size_t n = 0;
    const char **keys = keys_of(object, layout->canonical, &n);
    sl_buf_putc(b, '{');
    for (size_t i = 0; i < n; i++) {
        sl_buf_puts(b, i > 0 ? "," : "");
        newline(b, layout, depth + 1);
        sl_buf_json_str(b, keys[i], strlen(keys[i]));
        sl_buf_puts(b, layout->canonical ? ":" : ": ");
        add_value(b, json_object_get(object, keys[i]), layout, depth + 1);
    }
    if (n > 0) {
        newline(b, layout, depth);
    }
    sl_buf_putc(b, '}');
    free(keys);
}

static void add_array(struct sl_buf *b, const json_t *array, const struct layout *layout, int depth)
{
    size_t n = json_array_size(array);
    sl_buf_putc(b, '[');
    for (size_t i = 0; i < n; i++) {
        sl_buf_puts(b, i > 0 ? "," : "");
        newline(b, layout, depth + 1);
        add_value(b, json_array_get(array, i), layout, depth + 1);
    }
    if (n > 0) {
        newline(b, layout, depth);
    }
    sl_buf_putc(b, ']');
}

static void add_value(struct sl_buf *b, const json_t *value, const struct layout *layout, int depth)
{
    SL_ASSERT(depth < WRITE_DEPTH_MAX);
    switch (json_typeof(value)) {
    case JSON_OBJECT: add_object(b, value, layout, depth); break;
    case JSON_ARRAY: add_array(b, value, layout, depth); break;
    case JSON_STRING:
        sl_buf_json_str(b, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER: sl_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); break;
    case JSON_REAL: add_real(b, json_real_value(value), layout->canonical); break;
    case JSON_TRUE: sl_buf_puts(b, "true"); break;
    case JSON_FALSE: sl_buf_puts(b, "false"); break;
    case JSON_NULL: sl_buf_puts(b, "null"); break;
    }
}

char *sl_json_canonical(const json_t *value)
{
    struct sl_buf b = SL_BUF_INIT(SIZE_MAX / 2);
    add_value(&b, value, &(struct layout){.canonical = true}, 0);
    return sl_buf_take(&b);
}

char *sl_json_pretty(const json_t *value)
{
    struct sl_buf b = SL_BUF_INIT(SIZE_MAX / 2);
    add_value(&b, value, &(struct layout){.canonical = false}, 0);
    sl_buf_putc(&b, '\n');
    return sl_buf_take(&b);
}
