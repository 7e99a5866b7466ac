/**
 * Clocks, RFC 3339 text, and identities.
 *
 * Thread: any. Must not: use the process time zone; all text is UTC.
 */
#include "core/base/base.h"

#include "core/base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define MS_PER_DAY    INT64_C(86400000)
#define MS_YEAR_0     INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define MS_YEAR_10000 INT64_C(253402300800000)

int64_t sl_now_ms(void)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);
    SL_ASSERT(rc == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t sl_mono_ns(void)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_MONOTONIC, &ts);
    SL_ASSERT(rc == 0);
    return (int64_t)ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/** Days since 1970-01-01 of a proleptic Gregorian date (Hinnant, "days_from_civil"). */
static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

/** The inverse (Hinnant, "civil_from_days"). */
static void civil_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    *ret_day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *ret_month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *ret_year = (int)(year_of_era + era * 400 + (*ret_month <= 2));
}

char *sl_time_format(int64_t unix_ms, char out[SL_TIME_TEXT])
{
    unix_ms = SL_MAX(unix_ms, MS_YEAR_0); /* four-digit years only */
    unix_ms = SL_MIN(unix_ms, MS_YEAR_10000 - 1);
    int64_t days = (unix_ms >= 0 ? unix_ms : unix_ms - (MS_PER_DAY - 1)) / MS_PER_DAY;
    int ms = (int)(unix_ms - days * MS_PER_DAY);
    int year = 0, month = 0, day = 0;
    civil_from_days(days, &year, &month, &day);
    (void)snprintf(out, SL_TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year % 10000,
                   (unsigned)month % 100, (unsigned)day % 100, (unsigned)(ms / 3600000) % 100,
                   (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
    return out;
}

/** Reads exactly `n` digits and moves on. */
static bool take_digits(const char **p, int n, int *ret)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        char c = (*p)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *p += n;
    *ret = value;
    return true;
}

static bool take_char(const char **p, const char *allowed)
{
    if (**p == '\0' || strchr(allowed, **p) == NULL) {
        return false;
    }
    (*p)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(const char **p, int64_t *ret_days)
{
    int year = 0, month = 0, day = 0;
    if (!take_digits(p, 4, &year) || !take_char(p, "-") || !take_digits(p, 2, &month) ||
        !take_char(p, "-") || !take_digits(p, 2, &day)) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    *ret_days = days_from_civil(year, month, day);
    return true;
}

/** hh:mm:ss with an optional fraction, of which milliseconds are kept. */
static bool take_clock(const char **p, int64_t *ret_ms)
{
    int hour = 0, minute = 0, second = 0, fraction_ms = 0;
    if (!take_digits(p, 2, &hour) || !take_char(p, ":") || !take_digits(p, 2, &minute) ||
        !take_char(p, ":") || !take_digits(p, 2, &second)) {
        return false;
    }
    if (take_char(p, ".")) {
        int scale = 100;
        if (**p < '0' || **p > '9') {
            return false;
        }
        for (; **p >= '0' && **p <= '9'; (*p)++) {
            fraction_ms += (**p - '0') * scale;
            scale /= 10;
        }
    }
    *ret_ms = ((hour * INT64_C(60) + minute) * 60 + second) * 1000 + fraction_ms;
    return hour <= 23 && minute <= 59 && second <= 60; /* 60: a leap second */
}

static bool take_offset(const char **p, int64_t *ret_ms)
{
    if (take_char(p, "Zz")) {
        *ret_ms = 0;
        return true;
    }
    bool west = **p == '-';
    int hour = 0, minute = 0;
    if (!take_char(p, "+-") || !take_digits(p, 2, &hour) || !take_char(p, ":") ||
        !take_digits(p, 2, &minute) || hour > 23 || minute > 59) {
        return false;
    }
    int64_t ms = (hour * INT64_C(60) + minute) * 60000;
    *ret_ms = west ? -ms : ms;
    return true;
}

bool sl_time_parse(const char *text, int64_t *ret_unix_ms)
{
    int64_t days = 0, clock_ms = 0, offset_ms = 0;
    const char *p = text;
    if (!take_date(&p, &days) || !take_char(&p, "Tt ") || !take_clock(&p, &clock_ms) ||
        !take_offset(&p, &offset_ms) || *p != '\0') {
        return false;
    }
    *ret_unix_ms = days * MS_PER_DAY + clock_ms - offset_ms;
    return true;
}

static int64_t real_now_ms(void *data)
{
    (void)data;
    return sl_now_ms();
}

static int64_t real_mono_ms(void *data)
{
    (void)data;
    return sl_mono_ns() / 1000000;
}

static void real_random(void *data, void *out, size_t len)
{
    (void)data;
    unsigned char *p = out;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        SL_ASSERT(n > 0 || errno == EINTR);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

const struct sl_env sl_env_real = {
    .now_ms = real_now_ms,
    .mono_ms = real_mono_ms,
    .random = real_random,
};

static char *id_text(const unsigned char bytes[SL_ID_HEX / 2], char out[SL_ID_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SL_ID_HEX / 2; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[SL_ID_HEX] = '\0';
    return out;
}

char *sl_id_new(const struct sl_env *env, char out[SL_ID_HEX + 1])
{
    unsigned char bytes[SL_ID_HEX / 2];
    env = env != NULL ? env : &sl_env_real;
    env->random(env->data, bytes, sizeof(bytes));
    return id_text(bytes, out);
}

char *sl_id_ordered(const struct sl_env *env, char out[SL_ID_HEX + 1])
{
    unsigned char bytes[SL_ID_HEX / 2];
    env = env != NULL ? env : &sl_env_real;
    uint64_t ms = (uint64_t)env->now_ms(env->data);
    env->random(env->data, bytes, sizeof(bytes));
    for (size_t i = 0; i < 6; i++) {
        bytes[i] = (unsigned char)(ms >> (40 - 8 * i));
    }
    return id_text(bytes, out);
}

bool sl_id_valid(const char *text)
{
    return strspn(text, "0123456789abcdef") == SL_ID_HEX && text[SL_ID_HEX] == '\0';
}
