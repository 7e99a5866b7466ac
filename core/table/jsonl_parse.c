/**
 * Tokens of JSON.
 *
 * Thread: any. Must not: allocate, or recurse.
 */
#include "core/base/base.h"

#include "core/table/jsonl_priv.h"

#include <string.h>

static bool fail(struct json_line *l, const char *fault)
{
    l->fault = l->fault != NULL ? l->fault : fault;
    return false;
}

static void blanks(struct json_line *l)
{
    while (l->p < l->end && (*l->p == ' ' || *l->p == '\t' || *l->p == '\r' || *l->p == '\n')) {
        l->p++;
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool text(struct json_line *l, struct json_token *ret)
{
    const char *p = l->p + 1;
    ret->kind = JSON_TEXT;
    ret->ptr = p;
    for (;; p++) {
        if (p >= l->end) {
            return fail(l, "a string is not closed");
        }
        if (*p == '"') {
            break;
        }
        if ((unsigned char)*p < 0x20) {
            return fail(l, "a control character in a string");
        }
        if (*p == '\\') {
            ret->escaped = true;
            p++;
            if (p >= l->end || memchr("\"\\/bfnrtu", *p, 9) == NULL) {
                return fail(l, "an escape that JSON does not have");
            }
        }
    }
    ret->len = (size_t)(p - ret->ptr);
    l->p = p + 1;
    return true;
}

static bool number(struct json_line *l, struct json_token *ret)
{
    const char *p = l->p;
    const char *end = l->end;
    ret->kind = JSON_WHOLE;
    ret->ptr = p;
    p += p < end && *p == '-';
    const char *first = p;
    while (p < end && is_digit(*p)) {
        p++;
    }
    if (p == first || (*first == '0' && p - first > 1)) {
        return fail(l, "something that is no JSON value");
    }
    for (int part = 0; part < 2; part++) {
        bool here = p < end && (part == 0 ? *p == '.' : (*p == 'e' || *p == 'E'));
        if (!here) {
            continue;
        }
        ret->kind = JSON_REAL;
        p++;
        p += part == 1 && p < end && (*p == '+' || *p == '-');
        first = p;
        while (p < end && is_digit(*p)) {
            p++;
        }
        if (p == first) {
            return fail(l, "a number without digits");
        }
    }
    ret->len = (size_t)(p - ret->ptr);
    l->p = p;
    return true;
}

static bool word(struct json_line *l, struct json_token *ret)
{
    static const struct {
        const char *text;
        enum json_kind kind;
    } words[] = {{"null", JSON_NOTHING}, {"true", JSON_TRUTH},    {"false", JSON_TRUTH},
                 {"NaN", JSON_REAL},     {"Infinity", JSON_REAL}, {"-Infinity", JSON_REAL}};
    for (size_t i = 0; i < SL_LEN(words); i++) {
        size_t len = strlen(words[i].text);
        if ((size_t)(l->end - l->p) >= len && memcmp(l->p, words[i].text, len) == 0) {
            *ret = (struct json_token){.kind = words[i].kind, .ptr = l->p, .len = len};
            l->p += len;
            return true;
        }
    }
    return number(l, ret);
}

static bool scalar(struct json_line *l, struct json_token *ret)
{
    return *l->p == '"' ? text(l, ret) : word(l, ret);
}

/** An element's place inside an array or object: a key first in objects. */
static bool element_start(struct json_line *l, bool object)
{
    struct json_token key = {0};
    blanks(l);
    if (!object) {
        return l->p < l->end || fail(l, "the line ends inside an array");
    }
    if (l->p >= l->end || *l->p != '"') {
        return fail(l, "a key was expected");
    }
    if (!text(l, &key)) {
        return false;
    }
    blanks(l);
    if (l->p >= l->end || *l->p != ':') {
        return fail(l, "a colon was expected");
    }
    l->p++;
    blanks(l);
    return l->p < l->end || fail(l, "the line ends behind a key");
}

/** Behind an element: closes what ends here. Returns false with a fault; `*depth` 0 at the end. */
static bool close_elements(struct json_line *l, const bool *objects, size_t *depth)
{
    for (;;) {
        blanks(l);
        if (*depth == 0) {
            return true;
        }
        if (l->p >= l->end) {
            return fail(l, "the line ends inside a nested value");
        }
        bool object = objects[*depth - 1];
        if (*l->p == ',') {
            l->p++;
            return element_start(l, object);
        }
        if (*l->p != (object ? '}' : ']')) {
            return fail(l, "a comma or the end of a nested value was expected");
        }
        l->p++;
        --*depth;
    }
}

static bool nested(struct json_line *l, struct json_token *ret)
{
    bool objects[JSONL_DEPTH_MAX];
    size_t depth = 0;
    struct json_token inner;
    ret->kind = JSON_NESTED;
    ret->ptr = l->p;
    do {
        if (*l->p == '{' || *l->p == '[') {
            if (depth == JSONL_DEPTH_MAX) {
                return fail(l, "nested deeper than 64");
            }
            objects[depth++] = *l->p++ == '{';
            blanks(l);
            if (l->p < l->end && *l->p == (objects[depth - 1] ? '}' : ']')) {
                l->p++;
                depth--;
            } else if (!element_start(l, objects[depth - 1])) {
                return false;
            } else {
                continue;
            }
        } else if (inner = (struct json_token){0}, !scalar(l, &inner)) {
            return false;
        }
        ret->len = (size_t)(l->p - ret->ptr);
        if (!close_elements(l, objects, &depth)) {
            return false;
        }
    } while (depth > 0);
    const char *last = l->p;
    while (last > ret->ptr && last[-1] != '}' && last[-1] != ']') {
        last--; /* blanks behind it */
    }
    ret->len = (size_t)(last - ret->ptr);
    return true;
}

bool json_value(struct json_line *l, struct json_token *ret)
{
    *ret = (struct json_token){0};
    blanks(l);
    if (l->p >= l->end) {
        return fail(l, "a value was expected");
    }
    return *l->p == '{' || *l->p == '[' ? nested(l, ret) : scalar(l, ret);
}

bool json_object(struct json_line *l)
{
    blanks(l);
    if (l->p >= l->end || *l->p != '{') {
        return fail(l, "the line is no JSON object");
    }
    l->p++;
    return true;
}

bool json_member(struct json_line *l, bool first, struct json_token *ret_key,
                 struct json_token *ret_value)
{
    *ret_key = (struct json_token){0};
    blanks(l);
    if (l->p < l->end && *l->p == '}') {
        l->p++;
        return false;
    }
    if (!first) {
        if (l->p >= l->end || *l->p != ',') {
            return fail(l, "a comma or the end of the object was expected");
        }
        l->p++;
        blanks(l);
    }
    if (l->p >= l->end || *l->p != '"') {
        return fail(l, "a key was expected");
    }
    if (!text(l, ret_key)) {
        return false;
    }
    blanks(l);
    if (l->p >= l->end || *l->p != ':') {
        return fail(l, "a colon was expected");
    }
    l->p++;
    return json_value(l, ret_value);
}

bool json_end(struct json_line *l)
{
    blanks(l);
    return l->p == l->end || fail(l, "something follows the object");
}

static int64_t four_hex(const char *p, const char *end)
{
    int64_t value = 0;
    if (end - p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *out, int64_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | ((code >> 6) & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | ((code >> 12) & 0x3f));
        *out++ = (char)(0x80 | ((code >> 6) & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

/** Behind "\u": one code point of one or two units. Negative when it is none. */
static int64_t code_point(const char **p, const char *end)
{
    int64_t high = four_hex(*p, end);
    if (high <= 0 || (high >= 0xdc00 && high < 0xe000)) {
        return -1;
    }
    *p += 4;
    if (high < 0xd800 || high >= 0xe000) {
        return high;
    }
    if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u') {
        return -1;
    }
    int64_t low = four_hex(*p + 2, end);
    if (low < 0xdc00 || low >= 0xe000) {
        return -1;
    }
    *p += 6;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

int64_t json_unescape(const struct json_token *t, char *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *p = t->ptr;
    const char *end = p + t->len;
    char *start = out;
    while (p < end) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }
        p += 2; /* the tokenizer has seen that a known letter follows */
        if (p[-1] != 'u') {
            *out++ = to[strchr(from, p[-1]) - from];
            continue;
        }
        int64_t code = code_point(&p, end);
        if (code < 0) {
            return -1;
        }
        out = put_utf8(out, code);
    }
    return out - start;
}
