/** Inside core/base: what reading and writing of JSON share. */
#ifndef SL_JSON_PRIV_H
#define SL_JSON_PRIV_H

#include "core/base/str.h"

/** "NaN", "Infinity" or "-Infinity"; NULL for finite values. Static. */
const char *sl_json_special(double value);

/** Appends the text with U+FFFD in place of every byte that is not part of valid UTF-8. */
void sl_utf8_repair(const char *text, size_t len, struct sl_buf *out);

/**
 * Shortest decimal of a finite double, laid out as ECMAScript's Number::toString does (the number
 * form of RFC 8785) below 2^63, with an exponent from there on: 1e+19, 0.000001, 1e-7, 100.
 *
 * @param out  receives the text with NUL; SL_NUMBER_TEXT bytes
 * @return     length without NUL
 */
#define SL_NUMBER_TEXT 40
size_t sl_number_text(double value, char out[SL_NUMBER_TEXT]);

#endif
