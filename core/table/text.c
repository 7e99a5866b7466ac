/**
 * Values from text: booleans, numbers, dates, timestamps, decimals.
 *
 * Thread: any. Must not: depend on the locale, accept blanks, or round a number otherwise than to
 * the nearest double.
 */
#include "core/base/base.h"

#include "core/table/text_priv.h"

#include <float.h>
#include <string.h>

#define FLOAT_TEXT_MAX 400 /* longer numbers are no numbers */

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

bool table_text_bool(const char *text, size_t len, uint8_t *ret)
{
    static const struct {
        const char *text;
        uint8_t value;
    } words[] = {{"true", 1}, {"True", 1}, {"TRUE", 1}, {"false", 0}, {"False", 0}, {"FALSE", 0}};
    for (size_t i = 0; i < SL_LEN(words); i++) {
        if (strlen(words[i].text) == len && memcmp(words[i].text, text, len) == 0) {
            *ret = words[i].value;
            return true;
        }
    }
    return false;
}

const char *table_fast_int(const char *p, int64_t *ret)
{
    bool minus = *p == '-';
    p += minus || *p == '+';
    const char *start = p;
    uint64_t value = 0;
    while (is_digit(*p)) {
        value = value * 10 + (uint64_t)(*p - '0');
        p++;
    }
    if (p == start || p - start > 18) {
        return NULL; /* 18 digits always fit; the slow way checks the rest */
    }
    *ret = minus ? -(int64_t)value : (int64_t)value;
    return p;
}

bool table_text_int(const char *text, size_t len, int64_t *ret)
{
    size_t i = len > 0 && (text[0] == '-' || text[0] == '+');
    bool minus = i == 1 && text[0] == '-';
    uint64_t most = minus ? (uint64_t)1 << 63 : INT64_MAX;
    uint64_t value = 0;
    if (i == len) {
        return false;
    }
    for (; i < len; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (!is_digit(text[i]) || value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret = minus ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/**
 * mantissa * 10^exponent, when that is exactly what one rounding gives (Clinger, "How to read
 * floating point numbers accurately", 1990): both factors exact doubles; or both exact 80-bit
 * numbers, whose one rounding decides the second unless it falls on the middle of two doubles.
 */
static bool scale_exactly(uint64_t mantissa, int exponent, double *ret)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (mantissa <= (uint64_t)1 << 53 && exponent >= -22 && exponent <= 22) {
        *ret = exponent < 0 ? (double)mantissa / powers[-exponent]
                            : (double)mantissa * powers[exponent];
        return true;
    }
#if LDBL_MANT_DIG == 64
    static const long double wide[] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,
                                       1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
                                       1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L, 1e20L,
                                       1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
    if (mantissa != 0 && exponent >= -27 && exponent <= 27) {
        long double value = exponent < 0 ? (long double)mantissa / wide[-exponent]
                                         : (long double)mantissa * wide[exponent];
        uint64_t bits = 0;
        memcpy(&bits, &value, sizeof(bits)); /* the explicit 64-bit significand comes first */
        if ((bits & 0x7ff) != 0x400) {
            *ret = (double)value;
            return true;
        }
    }
#endif
    return false;
}

const char *table_fast_float(const char *p, double *ret)
{
    bool minus = *p == '-';
    p += minus || *p == '+';
    const char *start = p;
    uint64_t mantissa = 0;
    while (is_digit(*p)) {
        mantissa = mantissa * 10 + (uint64_t)(*p++ - '0');
    }
    ptrdiff_t digits = p - start;
    int exponent = 0;
    if (*p == '.') {
        const char *point = ++p;
        while (is_digit(*p)) {
            mantissa = mantissa * 10 + (uint64_t)(*p++ - '0');
        }
        digits += p - point;
        exponent = (int)-SL_MIN(p - point, 1000);
    }
    if (digits == 0 || digits > 19) {
        return NULL; /* 19 digits fit 64 bits */
    }
    if (*p == 'e' || *p == 'E') {
        const char *e = p + 1;
        bool down = *e == '-';
        e += down || *e == '+';
        int value = 0;
        const char *first = e;
        while (is_digit(*e) && value < 10000) {
            value = value * 10 + (*e++ - '0');
        }
        if (e == first) {
            return NULL;
        }
        exponent += down ? -value : value;
        p = e;
    }
    double value = 0;
    if (mantissa != 0 && !scale_exactly(mantissa, exponent, &value)) {
        return NULL;
    }
    *ret = minus ? -value : value;
    return p;
}

/** Infinity and NaN as pandas, numpy, C and JSON-minded writers spell them. */
static bool text_special(const char *text, size_t len, double *ret)
{
    size_t sign = len > 0 && (text[0] == '-' || text[0] == '+');
    static const char *const infinite[] = {"inf", "Inf", "INF", "infinity", "Infinity"};
    static const char *const none[] = {"nan", "NaN", "NAN"};
    for (size_t i = 0; i < SL_LEN(infinite); i++) {
        if (strlen(infinite[i]) == len - sign &&
            memcmp(infinite[i], text + sign, len - sign) == 0) {
            *ret = text[0] == '-' ? -__builtin_inf() : __builtin_inf();
            return true;
        }
    }
    for (size_t i = 0; i < SL_LEN(none); i++) {
        if (len == 3 && memcmp(none[i], text, 3) == 0) {
            *ret = __builtin_nan("");
            return true;
        }
    }
    return false;
}

bool table_text_float(const char *text, size_t len, double *ret)
{
    char copy[FLOAT_TEXT_MAX + 1];
    if (len == 0 || len > FLOAT_TEXT_MAX) {
        return false;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    const char *end = table_fast_float(copy, ret);
    if (end != NULL && *end == '\0' && end == copy + len) {
        return true;
    }
    if (text_special(text, len, ret)) {
        return true;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(copy[i]) && memchr("+-.eE", copy[i], 5) == NULL) {
            return false; /* no hexadecimal floats, and no NUL inside */
        }
    }
    double value = 0;
    if (!sl_parse_double(copy + (copy[0] == '+'), &value)) {
        return false;
    }
    *ret = value;
    return true;
}

/** Days from 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono-compatible low-level date
 * algorithms", days_from_civil). */
static int32_t days_of(int year, int month, int day)
{
    year -= month <= 2;
    int era = (year >= 0 ? year : year - 399) / 400;
    int year_of_era = year - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

/** `n` digits as a number, or -1. */
static int digits(const char *p, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        if (!is_digit(p[i])) {
            return -1;
        }
        value = value * 10 + (p[i] - '0');
    }
    return value;
}

bool table_text_date(const char *text, size_t len, int32_t *ret_days)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (len != 10 || text[4] != '-' || text[7] != '-') {
        return false;
    }
    int year = digits(text, 4);
    int month = digits(text + 5, 2);
    int day = digits(text + 8, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1) {
        return false;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > lengths[month - 1] + (month == 2 && leap)) {
        return false;
    }
    *ret_days = days_of(year, month, day);
    return true;
}

/** "Z", "+02", "+0200", "+02:00" or nothing. */
static bool zone(const char *p, size_t len, int *ret_minutes, uint8_t *ret_zoned)
{
    *ret_minutes = 0;
    *ret_zoned = len > 0;
    if (len == 0 || (len == 1 && (*p == 'Z' || *p == 'z'))) {
        return true;
    }
    if ((*p != '+' && *p != '-') || (len != 3 && len != 5 && (len != 6 || p[3] != ':'))) {
        return false;
    }
    int hours = digits(p + 1, 2);
    int minutes = len == 3 ? 0 : digits(p + len - 2, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) {
        return false;
    }
    *ret_minutes = (*p == '-' ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

/** ":SS[.fraction]" at p; more than six digits of the fraction are cut. Returns what follows. */
static const char *seconds(const char *p, const char *end, int64_t *ret_micros)
{
    int whole = end - p >= 3 ? digits(p + 1, 2) : -1;
    if (whole < 0 || whole > 59) {
        return NULL;
    }
    p += 3;
    int64_t micros = 0;
    if (p < end && (*p == '.' || *p == ',')) {
        int n = 0;
        for (p++; p < end && is_digit(*p); p++, n++) {
            micros = n < 6 ? micros * 10 + (*p - '0') : micros;
        }
        if (n < 1 || n > 9) {
            return NULL;
        }
        for (; n < 6; n++) {
            micros *= 10;
        }
    }
    *ret_micros = (int64_t)whole * 1000000 + micros;
    return p;
}

bool table_text_timestamp(const char *text, size_t len, int64_t *ret_micros, uint8_t *ret_zoned)
{
    int32_t days = 0;
    if (len < 16 || !table_text_date(text, 10, &days) ||
        (text[10] != 'T' && text[10] != ' ' && text[10] != 't') || text[13] != ':') {
        return false;
    }
    int hour = digits(text + 11, 2);
    int minute = digits(text + 14, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) {
        return false;
    }
    const char *p = text + 16;
    const char *end = text + len;
    int64_t micros = 0;
    if (p < end && *p == ':') {
        p = seconds(p, end, &micros);
        if (p == NULL) {
            return false;
        }
    }
    if (p < end && *p == ' ') {
        p++; /* PostgreSQL and pandas may put a blank before the offset */
        if (p == end) {
            return false;
        }
    }
    int offset_minutes = 0;
    if (!zone(p, (size_t)(end - p), &offset_minutes, ret_zoned)) {
        return false;
    }
    int64_t minutes = (int64_t)days * 1440 + hour * 60 + minute - offset_minutes;
    *ret_micros = minutes * 60000000 + micros;
    return true;
}

bool table_text_decimal(const char *text, size_t len, int scale, __int128 *ret)
{
    size_t i = len > 0 && (text[0] == '-' || text[0] == '+');
    bool minus = i == 1 && text[0] == '-';
    __int128 value = 0;
    int n = 0;
    int behind = -1; /* digits behind the point, -1 before it */
    int significant = 0;
    for (; i < len; i++) {
        if (text[i] == '.' && behind < 0) {
            behind = 0;
            continue;
        }
        significant += significant > 0 || text[i] != '0';
        if (!is_digit(text[i]) || significant > 38 || (behind >= 0 && ++behind > scale)) {
            return false;
        }
        value = value * 10 + (text[i] - '0');
        n++;
    }
    for (int k = SL_MAX(behind, 0); k < scale; k++) {
        significant += significant > 0;
        if (significant > 38) {
            return false;
        }
        value *= 10;
    }
    *ret = minus ? -value : value;
    return n > 0;
}

bool table_store_text(struct sl_table_field *field, struct table_vector *v, size_t i,
                      const char *text, size_t len)
{
    switch (field->type) {
    case SL_TABLE_BOOL: return table_text_bool(text, len, (uint8_t *)v->values + i);
    case SL_TABLE_INT64: return table_text_int(text, len, (int64_t *)v->values + i);
    case SL_TABLE_FLOAT64: return table_text_float(text, len, (double *)v->values + i);
    case SL_TABLE_DATE: return table_text_date(text, len, (int32_t *)v->values + i);
    case SL_TABLE_TIMESTAMP:
        return table_text_timestamp(text, len, (int64_t *)v->values + i, v->zoned + i);
    case SL_TABLE_DECIMAL:
        return table_text_decimal(text, len, field->scale, (__int128 *)v->values + i);
    case SL_TABLE_STRING:
        memcpy((char *)v->bytes.ptr + v->n_bytes, text, len);
        v->n_bytes += len;
        return true;
    }
    return false;
}
