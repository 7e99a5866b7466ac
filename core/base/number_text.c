/**
 * The shortest decimal text of a double (ECMA-262 Number::toString, required by RFC 8785), but with
 * an exponent from 2^63 on instead of from 10^21: readers that keep integers in 64 bits, ours among
 * them, refuse longer digit strings.
 *
 * Thread: any. Must not: depend on the locale's decimal point; so digits are taken one by one and
 * read back in the form "digits e exponent".
 */
#include "core/base/base.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json_priv.h"

#define DIGITS_MAX 17

/** value = 0.digits * 10^point */
struct decimal {
    char digits[DIGITS_MAX + 1];
    int n, point;
};

static double read_back(const struct decimal *d)
{
    char text[DIGITS_MAX + 16];
    (void)snprintf(text, sizeof(text), "%se%d", d->digits, d->point - d->n);
    return strtod(text, NULL);
}

/** The `n` digits nearest to a positive value. */
static struct decimal round_to(double value, int n)
{
    char text[64];
    struct decimal d = {.n = 0};
    (void)snprintf(text, sizeof(text), "%.*e", n - 1, value);
    const char *p = text;
    for (; *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') {
            d.digits[d.n++] = *p;
        }
    }
    d.digits[d.n] = '\0';
    d.point = (int)strtol(p + 1, NULL, 10) + 1;
    return d;
}

/** The next larger number of as many digits. False when a carry would change the digit count. */
static bool step_up(struct decimal *d)
{
    for (int i = d->n - 1; i >= 0; i--) {
        if (d->digits[i] != '9') {
            d->digits[i]++;
            return true;
        }
        d->digits[i] = '0';
    }
    return false;
}

/** Fewest digits that read back as the same positive double; of those the nearest. */
static struct decimal shortest(double value)
{
    int exponent = 0;
    bool power_of_two = frexp(value, &exponent) == 0.5;
    /* Normal doubles hold 15 digits, so shorter ones show as trailing zeros; subnormals do not. */
    for (int n = value < DBL_MIN ? 1 : 15; n < DIGITS_MAX; n++) {
        struct decimal d = round_to(value, n);
        if (read_back(&d) == value) {
            return d;
        }
        /* Below a power of two the gap is half as wide: the nearest may fail, the next not. */
        if (power_of_two && step_up(&d) && read_back(&d) == value) {
            return d;
        }
    }
    return round_to(value, DIGITS_MAX);
}

size_t sl_number_text(double value, char out[SL_NUMBER_TEXT])
{
    SL_ASSERT(isfinite(value));
    if (value == 0.0) {
        memcpy(out, "0", 2);
        return 1;
    }
    struct decimal d = shortest(fabs(value));
    while (d.n > 1 && d.digits[d.n - 1] == '0') {
        d.digits[--d.n] = '\0';
    }
    const char *sign = value < 0 ? "-" : "";
    int n = 0;
    bool plain = fabs(value) < 0x1p63; /* past it, digits alone would not read back as a number */
    if (plain && d.n <= d.point) {
        n = snprintf(out, SL_NUMBER_TEXT, "%s%s%.*s", sign, d.digits, d.point - d.n,
                     "000000000000000000000");
    } else if (plain && d.point > 0) {
        n = snprintf(out, SL_NUMBER_TEXT, "%s%.*s.%s", sign, d.point, d.digits, d.digits + d.point);
    } else if (d.point > -6 && d.point <= 0) {
        n = snprintf(out, SL_NUMBER_TEXT, "%s0.%.*s%s", sign, -d.point, "00000", d.digits);
    } else {
        n = snprintf(out, SL_NUMBER_TEXT, "%s%.1s%s%se%+d", sign, d.digits, d.n > 1 ? "." : "",
                     d.digits + 1, d.point - 1);
    }
    SL_ASSERT(n > 0 && n < SL_NUMBER_TEXT);
    return (size_t)n;
}
