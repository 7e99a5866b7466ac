/**
 * Durations and sizes: text for people, and strict parsing.
 *
 * Thread: any. Must not: use floating point; 0.1 of a unit is exact.
 */
#include "core/base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/time.h"

#define DURATION_MAX_MS INT64_C(315576000000) /* 10 years of 365.25 days */
#define FRACTION_DIGITS 9

struct unit {
    const char *name;
    uint64_t factor;
};

/** Largest first: parts of a duration must come in this order. */
static const struct unit duration_units[] = {
    {"w", 604800000}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

static const struct unit size_units[] = {
    {"B", 1},
    {"KB", 1000},
    {"MB", UINT64_C(1000000)},
    {"GB", UINT64_C(1000000000)},
    {"TB", UINT64_C(1000000000000)},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};

/** A decimal number as whole + fraction / 10^digits. */
struct amount {
    uint64_t whole, fraction, scale;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/** Digits, and optionally a point with 1 to FRACTION_DIGITS digits. */
static bool take_amount(const char **p, struct amount *ret)
{
    struct amount a = {.scale = 1};
    if (!is_digit(**p)) {
        return false;
    }
    for (; is_digit(**p); (*p)++) {
        if (__builtin_mul_overflow(a.whole, UINT64_C(10), &a.whole) ||
            __builtin_add_overflow(a.whole, (uint64_t)(**p - '0'), &a.whole)) {
            return false;
        }
    }
    if (**p == '.') {
        (*p)++;
        int n = 0;
        for (; is_digit(**p); (*p)++, n++) {
            if (n == FRACTION_DIGITS) {
                return false;
            }
            a.fraction = a.fraction * 10 + (uint64_t)(**p - '0');
            a.scale *= 10;
        }
        if (n == 0) {
            return false;
        }
    }
    *ret = a;
    return true;
}

/** Length of the letters that follow. */
static size_t word_len(const char *p)
{
    size_t n = 0;
    while ((p[n] >= 'a' && p[n] <= 'z') || (p[n] >= 'A' && p[n] <= 'Z')) {
        n++;
    }
    return n;
}

/** Index of the unit, or -1. */
static int find_unit(const struct unit *units, size_t n, const char *word, size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(units[i].name) == len && memcmp(units[i].name, word, len) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/** amount * factor rounded down. False past 64 bits. */
static bool scale(const struct amount *a, uint64_t factor, uint64_t *ret)
{
    unsigned __int128 value =
        (unsigned __int128)a->whole * factor + (unsigned __int128)a->fraction * factor / a->scale;
    if (value > UINT64_MAX) {
        return false;
    }
    *ret = (uint64_t)value;
    return true;
}

bool sl_duration_parse(const char *text, int64_t *ret_ms)
{
    int64_t total = 0;
    int last = -1;
    const char *p = text;
    do {
        struct amount a;
        uint64_t part = 0;
        if (!take_amount(&p, &a)) {
            return false;
        }
        size_t len = word_len(p);
        int unit = find_unit(duration_units, SL_LEN(duration_units), p, len);
        if (unit <= last || !scale(&a, duration_units[unit].factor, &part) ||
            part > (uint64_t)DURATION_MAX_MS) {
            return false;
        }
        last = unit;
        p += len;
        total += (int64_t)part;
    } while (*p != '\0' && total <= DURATION_MAX_MS);
    if (total > DURATION_MAX_MS) {
        return false;
    }
    *ret_ms = total;
    return true;
}

char *sl_duration_format(int64_t ms, char out[SL_TIME_TEXT])
{
    const char *sign = ms < 0 ? "-" : "";
    uint64_t t = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    if (t < 1000) {
        (void)snprintf(out, SL_TIME_TEXT, "%s%" PRIu64 "ms", sign, t);
    } else if (t < 60000) {
        (void)snprintf(out, SL_TIME_TEXT, "%s%" PRIu64 ".%" PRIu64 "s", sign, t / 1000,
                       t % 1000 / 100);
    } else if (t < 3600000) {
        (void)snprintf(out, SL_TIME_TEXT, "%s%" PRIu64 "m%02" PRIu64 "s", sign, t / 60000,
                       t / 1000 % 60);
    } else if (t < 86400000) {
        (void)snprintf(out, SL_TIME_TEXT, "%s%" PRIu64 "h%02" PRIu64 "m", sign, t / 3600000,
                       t / 60000 % 60);
    } else {
        (void)snprintf(out, SL_TIME_TEXT, "%s%" PRIu64 "d%02" PRIu64 "h", sign, t / 86400000,
                       t / 3600000 % 24);
    }
    return out;
}

char *sl_size_format(uint64_t bytes, char out[SL_TIME_TEXT])
{
    static const char *const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        (void)snprintf(out, SL_TIME_TEXT, "%" PRIu64 " B", bytes);
        return out;
    }
    size_t i = 0;
    unsigned shift = 10;
    while (i + 1 < SL_LEN(names) && bytes >> (shift + 10) > 0) {
        shift += 10;
        i++;
    }
    unsigned whole = (unsigned)(bytes >> shift & 1023);
    uint64_t rest = bytes & ((UINT64_C(1) << shift) - 1);
    unsigned tenth = (unsigned)(((unsigned __int128)rest * 10) >> shift);
    (void)snprintf(out, SL_TIME_TEXT, "%u.%u %s", whole, tenth % 10, names[i]);
    return out;
}

bool sl_size_parse(const char *text, uint64_t *ret_bytes)
{
    struct amount a;
    const char *p = text;
    if (!take_amount(&p, &a)) {
        return false;
    }
    p += *p == ' ';
    size_t len = word_len(p);
    int unit = find_unit(size_units, SL_LEN(size_units), p, len);
    if (unit < 0 || p[len] != '\0') {
        return false;
    }
    return scale(&a, size_units[unit].factor, ret_bytes);
}
