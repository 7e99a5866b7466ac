/**
 * Values from text, and the guess which type a column of texts has.
 *
 * Stays inside the room.
 */
#ifndef SL_TABLE_TEXT_PRIV_H
#define SL_TABLE_TEXT_PRIV_H

#include "core/table/table_priv.h"

/** Each is true when the text is wholly such a value. No blanks around it, no locale. */
bool table_text_bool(const char *text, size_t len, uint8_t *ret);
bool table_text_int(const char *text, size_t len, int64_t *ret);
bool table_text_float(const char *text, size_t len, double *ret);
/** YYYY-MM-DD of the proleptic Gregorian calendar, years 0000..9999. */
bool table_text_date(const char *text, size_t len, int32_t *ret_days);
/** RFC 3339 and ISO 8601: "2026-11-20 10:00[:00[.123456789]][Z|+02[:00]]", T or a blank between. */
bool table_text_timestamp(const char *text, size_t len, int64_t *ret_micros, uint8_t *ret_zoned);
bool table_text_decimal(const char *text, size_t len, int scale, __int128 *ret);

/** The longest number at the beginning: returns the byte behind it, or NULL when there is none that
 * the fast path reads exactly. The text must end in a byte that is no part of a number. */
const char *table_fast_int(const char *p, int64_t *ret);
const char *table_fast_float(const char *p, double *ret);

/** Stores a value that is not null at row `i`. False when the text is none of the column's type. */
bool table_store_text(struct sl_table_field *field, struct table_vector *v, size_t i,
                      const char *text, size_t len);

/** What the values of one column fit, so far. */
struct table_guess {
    uint64_t n_values, n_nulls;
    uint64_t fits[SL_TABLE_TYPE_N];
    uint64_t against_row[SL_TABLE_TYPE_N]; /* first value that did not fit */
    char against[SL_TABLE_TYPE_N][40];
};
/** `mask` has a bit for each type that the value may have at all; TABLE_GUESS_ANY in plain text. */
#define TABLE_GUESS_ANY 0xffu
void table_guess_add(struct table_guess *g, unsigned mask, const char *text, size_t len,
                     uint64_t row);
/** Decides the type of the field and writes its report. */
void table_guess_decide(const struct table_guess *g, struct sl_table *t,
                        struct sl_table_field *field);
/** Applies opts.types; -SL_ENOTFOUND for a name that no field has. */
int table_overrides(struct sl_table *t, struct sl_err *err);

#endif
