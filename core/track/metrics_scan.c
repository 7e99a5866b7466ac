/**
 * Scanner of one metrics line: a flat JSON object into fields.
 *
 * Written by hand because Python prints NaN and Infinity as bare tokens, which strict JSON refuses, and
 * because a line becomes points without a tree in between. Nothing nests, so nothing recurses.
 *
 * Pure. Thread: any.
 */
#include "core/base/base.h"

#include "core/track/metrics_priv.h"

#include <math.h>
#include <string.h>

#include "core/base/str.h"

#define NUMBER_MAX 128 /* characters of one number */

int sl_metric_fail(struct sl_metric_parser *p, size_t at, const char *message)
{
    return sl_err_set(p->err, SL_EINVAL, "line %lld, column %zu: %s", (long long)p->line_no, at + 1,
                      message);
}

void sl_metric_skip_blanks(struct sl_metric_parser *p)
{
    while (p->at < p->len && strchr(" \t\r\n", p->text[p->at]) != NULL && p->text[p->at] != '\0') {
        p->at++;
    }
}

static bool take(struct sl_metric_parser *p, char c)
{
    if (p->at < p->len && p->text[p->at] == c) {
        p->at++;
        return true;
    }
    return false;
}

static bool take_word(struct sl_metric_parser *p, const char *word)
{
    size_t n = strlen(word);
    if (p->len - p->at >= n && memcmp(p->text + p->at, word, n) == 0) {
        p->at += n;
        return true;
    }
    return false;
}

static int hex4(struct sl_metric_parser *p, uint32_t *ret)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        char c = p->at < p->len ? p->text[p->at] : '\0';
        uint32_t digit = 0;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a') + 10;
        } else {
            return sl_metric_fail(p, p->at, "expected four hexadecimal digits after \\u");
        }
        value = value * 16 + digit;
    }
    *ret = value;
    return 0;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((c >> 6) & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* After "\u": a code point, of a surrogate pair where needed. */
static int unicode_escape(struct sl_metric_parser *p, char *out, size_t *n)
{
    size_t at = p->at;
    uint32_t c = 0, low = 0;
    int rc = hex4(p, &c);
    if (rc == 0 && c >= 0xd800 && c < 0xdc00) {
        if (!take_word(p, "\\u")) {
            return sl_metric_fail(p, at, "half a surrogate pair");
        }
        rc = hex4(p, &low);
        if (rc == 0 && (low < 0xdc00 || low > 0xdfff)) {
            return sl_metric_fail(p, at, "half a surrogate pair");
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    } else if (rc == 0 && c >= 0xdc00 && c < 0xe000) {
        return sl_metric_fail(p, at, "half a surrogate pair");
    }
    if (rc == 0 && c == 0) {
        return sl_metric_fail(p, at, "a NUL character");
    }
    if (rc == 0) {
        *n += put_utf8(out + *n, c);
    }
    return rc;
}

static int escape(struct sl_metric_parser *p, char *out, size_t *n)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->len ? p->text[p->at] : '\0';
    const char *found = c != '\0' ? strchr(names, c) : NULL;
    if (found != NULL) {
        p->at++;
        out[(*n)++] = values[found - names];
        return 0;
    }
    if (!take(p, 'u')) {
        return sl_metric_fail(p, p->at, "an unknown escape in a text");
    }
    return unicode_escape(p, out, n);
}

/* A text between quotes, unescaped into the arena. The line was checked to be UTF-8. */
static int parse_text(struct sl_metric_parser *p, const char **ret)
{
    size_t start = p->at;
    SL_ASSERT(take(p, '"'));
    size_t end = p->at;
    while (end < p->len && p->text[end] != '"') {
        end += p->text[end] == '\\' ? 2 : 1;
    }
    if (end >= p->len) {
        return sl_metric_fail(p, start, "a text without its closing quote");
    }
    char *out = sl_arena_alloc(p->arena, end - p->at + 1); /* an escape never grows */
    size_t n = 0;
    while (p->text[p->at] != '"') {
        char c = p->text[p->at];
        if ((unsigned char)c < 0x20) {
            return sl_metric_fail(p, p->at, "a control character in a text");
        }
        p->at++;
        if (c != '\\') {
            out[n++] = c;
            continue;
        }
        int rc = escape(p, out, &n);
        if (rc < 0) {
            return rc;
        }
    }
    p->at++;
    out[n] = '\0';
    *ret = out;
    return 0;
}

static size_t digits(const struct sl_metric_parser *p, size_t at)
{
    size_t n = 0;
    while (at + n < p->len && p->text[at + n] >= '0' && p->text[at + n] <= '9') {
        n++;
    }
    return n;
}

/* Length of a JSON number at p->at, 0 when there is none. */
static size_t number_length(const struct sl_metric_parser *p, bool *ret_integer)
{
    size_t at = p->at;
    *ret_integer = true;
    if (at < p->len && p->text[at] == '-') {
        at++;
    }
    size_t n = digits(p, at);
    if (n == 0 || (n > 1 && p->text[at] == '0')) {
        return 0;
    }
    at += n;
    if (at < p->len && p->text[at] == '.') {
        n = digits(p, at + 1);
        if (n == 0) {
            return 0;
        }
        at += n + 1;
        *ret_integer = false;
    }
    if (at < p->len && (p->text[at] == 'e' || p->text[at] == 'E')) {
        at++;
        if (at < p->len && (p->text[at] == '+' || p->text[at] == '-')) {
            at++;
        }
        n = digits(p, at);
        if (n == 0) {
            return 0;
        }
        at += n;
        *ret_integer = false;
    }
    return at - p->at;
}

static int parse_number(struct sl_metric_parser *p, struct sl_metric_value *v)
{
    size_t n = number_length(p, &v->is_integer);
    if (n == 0) {
        return sl_metric_fail(p, p->at,
                              "expected a value: a number, NaN, Infinity, -Infinity or a text");
    }
    char text[NUMBER_MAX + 1];
    if (n > NUMBER_MAX) {
        return sl_metric_fail(p, p->at, "a number of more than 128 characters");
    }
    memcpy(text, p->text + p->at, n);
    text[n] = '\0';
    if (!sl_parse_double(text, &v->number) || isinf(v->number)) {
        return sl_metric_fail(p, p->at, "a number out of the range of a double");
    }
    p->at += n;
    v->kind = VALUE_NUMBER;
    return 0;
}

bool sl_metric_special(const char *text, double *ret)
{
    if (strcmp(text, "NaN") == 0) {
        *ret = (double)NAN;
    } else if (strcmp(text, "Infinity") == 0) {
        *ret = (double)INFINITY;
    } else if (strcmp(text, "-Infinity") == 0) {
        *ret = -(double)INFINITY;
    } else {
        return false;
    }
    return true;
}

static int parse_value(struct sl_metric_parser *p, struct sl_metric_value *v)
{
    static const char *const specials[] = {"NaN", "Infinity", "-Infinity"};
    static const char *const words[] = {"true", "false", "null"};
    *v = (struct sl_metric_value){.at = p->at};
    char c = p->at < p->len ? p->text[p->at] : '\0';
    if (c == '"') {
        v->kind = VALUE_TEXT;
        return parse_text(p, &v->text);
    }
    if (c == '{' || c == '[') {
        return sl_metric_fail(p, p->at,
                              "a metrics line is one flat object: no objects or lists inside");
    }
    for (size_t i = 0; i < SL_LEN(specials); i++) {
        if (take_word(p, specials[i])) {
            v->kind = VALUE_NUMBER;
            SL_ASSERT(sl_metric_special(specials[i], &v->number));
            return 0;
        }
    }
    for (size_t i = 0; i < SL_LEN(words); i++) {
        if (take_word(p, words[i])) {
            v->kind = VALUE_OTHER;
            v->what = words[i];
            return 0;
        }
    }
    return parse_number(p, v);
}

static int push_field(struct sl_metric_parser *p, const struct sl_metric_field *f)
{
    /* the long form's other names come on top of the metrics */
    if (p->n_fields >= SL_METRICS_KEYS_MAX + 8) {
        return sl_err_set(p->err, SL_ELIMIT, "line %lld: more than %d metrics",
                          (long long)p->line_no, SL_METRICS_KEYS_MAX);
    }
    sl_grow((void *)&p->fields, &p->cap_fields, p->n_fields + 1, sizeof(*p->fields));
    p->fields[p->n_fields++] = *f;
    return 0;
}

static int parse_field(struct sl_metric_parser *p)
{
    struct sl_metric_field f = {0};
    sl_metric_skip_blanks(p);
    if (p->at >= p->len || p->text[p->at] != '"') {
        return sl_metric_fail(p, p->at, "expected a key in quotes");
    }
    int rc = parse_text(p, &f.key);
    if (rc < 0) {
        return rc;
    }
    sl_metric_skip_blanks(p);
    if (!take(p, ':')) {
        return sl_metric_fail(p, p->at, "expected ':' after the key");
    }
    sl_metric_skip_blanks(p);
    rc = parse_value(p, &f.value);
    return rc < 0 ? rc : push_field(p, &f);
}

int sl_metric_parse_object(struct sl_metric_parser *p)
{
    sl_metric_skip_blanks(p);
    if (!take(p, '{')) {
        return sl_metric_fail(p, p->at, "expected a JSON object, as {\"step\": 1, \"loss\": 0.3}");
    }
    sl_metric_skip_blanks(p);
    if (!take(p, '}')) {
        do {
            int rc = parse_field(p);
            if (rc < 0) {
                return rc;
            }
            sl_metric_skip_blanks(p);
        } while (take(p, ','));
        if (!take(p, '}')) {
            return sl_metric_fail(p, p->at, "expected ',' or '}'");
        }
    }
    sl_metric_skip_blanks(p);
    return p->at < p->len ? sl_metric_fail(p, p->at, "something follows the object") : 0;
}
