/**
 * Numbers from text, wholly and without the locale.
 *
 * Thread: any. Must not: accept leading blanks, leftovers, or values out of range.
 */
#include "core/base/base.h"

#include "core/base/str.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

bool sl_parse_u64(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    const char *p = text;
    if (*p == '+') {
        p++;
    }
    if (*p == '\0') {
        return false;
    }
    for (; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
            return false;
        }
    }
    *ret = value;
    return true;
}

bool sl_parse_i64(const char *text, int64_t *ret)
{
    bool negative = text[0] == '-';
    uint64_t magnitude = 0;
    if ((negative && text[1] == '+') || !sl_parse_u64(text + (negative ? 1 : 0), &magnitude)) {
        return false;
    }
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

/** Only what JSON and YAML 1.2 core spell: digits, one point, an exponent. No hexadecimal. */
static bool is_decimal(const char *p)
{
    p += *p == '+' || *p == '-';
    size_t whole = strspn(p, "0123456789");
    p += whole;
    size_t fraction = 0;
    if (*p == '.') {
        p++;
        fraction = strspn(p, "0123456789");
        p += fraction;
    }
    if (whole + fraction == 0) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        size_t digits = strspn(p, "0123456789");
        if (digits == 0) {
            return false;
        }
        p += digits;
    }
    return *p == '\0';
}

static bool is_one_of(const char *word, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(word, names[i])) {
            return true;
        }
    }
    return false;
}

static bool parse_special(const char *text, double *ret)
{
    static const char *const nans[] = {"nan", "NaN", "NAN", ".nan", ".NaN", ".NAN"};
    static const char *const infs[] = {"inf",      "Inf",  "INF",  "infinity",
                                       "Infinity", ".inf", ".Inf", ".INF"};
    if (is_one_of(text, nans, SL_LEN(nans))) {
        *ret = (double)NAN;
        return true;
    }
    bool negative = text[0] == '-';
    const char *word = text + (negative || text[0] == '+' ? 1 : 0);
    if (!is_one_of(word, infs, SL_LEN(infs))) {
        return false;
    }
    *ret = negative ? -(double)INFINITY : (double)INFINITY;
    return true;
}

bool sl_parse_double(const char *text, double *ret)
{
    if (!is_decimal(text)) {
        return parse_special(text, ret);
    }
    /* strtod obeys LC_NUMERIC of the process; a "C" locale object of our own does not. */
    locale_t c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        return false;
    }
    double value = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    if (!isfinite(value)) {
        return false; /* 1e999: out of range */
    }
    *ret = value;
    return true;
}
