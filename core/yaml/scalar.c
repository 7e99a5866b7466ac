/**
 * Core schema typing: which plain scalars are null, bool, int or float. All others are strings.
 *
 * Also the text of single-quoted scalars.
 *
 * Thread: any. Must not: report. Source: YAML 1.2.2, 10.3.2 (tag resolution), 7.3.2 (single quotes).
 */
#include "core/base/base.h"

#include "core/yaml/yaml_priv.h"

static bool is_any_of(const char *text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(text, words[i])) {
            return true;
        }
    }
    return false;
}

static const char *skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

static const char *skip_sign(const char *p)
{
    return *p == '-' || *p == '+' ? p + 1 : p;
}

static bool is_decimal(const char *text)
{
    const char *digits = skip_sign(text);
    const char *end = skip_digits(digits);
    return end > digits && *end == '\0';
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(const char *text)
{
    const char *whole = skip_sign(text);
    const char *p = skip_digits(whole);
    bool digits = p > whole;
    if (*p == '.') {
        const char *fraction = p + 1;
        p = skip_digits(fraction);
        digits = digits || p > fraction;
    }
    if (!digits) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        const char *exponent = skip_sign(p + 1);
        p = skip_digits(exponent);
        if (p == exponent) {
            return false;
        }
    }
    return *p == '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* 0o17 and 0x1F: 1 = read, 0 = not such a number, -1 = too large. */
static int read_radix(const char *text, int64_t *ret)
{
    int radix = text[0] != '0' ? 0 : text[1] == 'o' ? 8 : text[1] == 'x' ? 16 : 0;
    if (radix == 0 || text[2] == '\0') {
        return 0;
    }
    uint64_t value = 0;
    bool over = false;
    for (const char *p = text + 2; *p != '\0'; p++) {
        int digit = digit_value(*p);
        if (digit >= radix) {
            return 0;
        }
        over = over || value > (INT64_MAX - (uint64_t)digit) / (uint64_t)radix;
        value = value * (uint64_t)radix + (uint64_t)digit;
    }
    if (over) {
        return -1;
    }
    *ret = (int64_t)value;
    return 1;
}

static bool read_special_float(const char *text, double *ret)
{
    static const char *const infinities[] = {".inf", ".Inf", ".INF"};
    static const char *const nans[] = {".nan", ".NaN", ".NAN"};
    if (is_any_of(skip_sign(text), infinities, SL_LEN(infinities))) {
        *ret = text[0] == '-' ? -__builtin_inf() : __builtin_inf();
        return true;
    }
    if (is_any_of(text, nans, SL_LEN(nans))) {
        *ret = __builtin_nan("");
        return true;
    }
    return false;
}

bool sl_yaml_scalar_type(struct sl_yaml_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const trues[] = {"true", "True", "TRUE"};
    static const char *const falses[] = {"false", "False", "FALSE"};
    const char *text = node->text.ptr;
    node->type = SL_YAML_STR;
    if (node->style != SL_YAML_PLAIN) {
        return true;
    }
    if (is_any_of(text, nulls, SL_LEN(nulls))) {
        node->type = SL_YAML_NULL;
    } else if (is_any_of(text, trues, SL_LEN(trues)) || is_any_of(text, falses, SL_LEN(falses))) {
        node->type = SL_YAML_BOOL;
        node->b = text[0] == 't' || text[0] == 'T';
    } else if (is_decimal(text)) {
        node->type = SL_YAML_INT;
        return sl_parse_i64(text[0] == '+' ? text + 1 : text, &node->i);
    } else if (read_special_float(text, &node->d)) {
        node->type = SL_YAML_FLOAT;
    } else if (is_float(text)) {
        node->type = SL_YAML_FLOAT;
        return sl_parse_double(text, &node->d);
    } else {
        int radix = read_radix(text, &node->i);
        if (radix != 0) {
            node->type = SL_YAML_INT;
            return radix > 0;
        }
    }
    return true;
}

/* 7.3.2: two quotes are one; one line break is a space, further ones stay; blanks around breaks go. */
struct sl_str sl_yaml_single_quoted(struct sl_arena *a, struct sl_str raw)
{
    char *text = sl_arena_alloc(a, raw.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < raw.len;) {
        size_t end = i, breaks = 0;
        while (end < raw.len && strchr(" \t\r\n", raw.ptr[end]) != NULL) {
            breaks += raw.ptr[end] == '\n';
            end++;
        }
        if (breaks > 0) {
            size_t kept = SL_MAX(breaks - 1, (size_t)1);
            (void)memset(text + n, breaks == 1 ? ' ' : '\n', kept);
            n += kept;
            i = end;
        } else {
            i += raw.ptr[i] == '\'' && i + 1 < raw.len; /* the first of two */
            text[n++] = raw.ptr[i++];
        }
    }
    return (struct sl_str){text, n};
}
