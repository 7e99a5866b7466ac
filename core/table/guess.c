/**
 * Which type a column of texts has: the narrowest that all looked-at values fit, with the count and
 * the first example of those that spoke against it.
 *
 * Thread: any. Must not: turn identifiers into numbers (leading zeros, more digits than 64 bits hold).
 */
#include "core/base/base.h"

#include "core/table/text_priv.h"

#include <stdlib.h>
#include <string.h>

/** Narrowest first. */
static const enum sl_table_type candidates[] = {SL_TABLE_BOOL, SL_TABLE_INT64, SL_TABLE_FLOAT64,
                                                SL_TABLE_DATE, SL_TABLE_TIMESTAMP};

/** "007" and digit strings that neither an int64 nor a double can hold are names, not quantities. */
static bool is_code(const char *text, size_t len)
{
    size_t sign = len > 0 && (text[0] == '-' || text[0] == '+');
    text += sign;
    len -= sign;
    size_t whole = 0;
    while (whole < len && text[whole] >= '0' && text[whole] <= '9') {
        whole++;
    }
    int64_t value = 0;
    return (whole > 1 && text[0] == '0') || (whole == len && !table_text_int(text, len, &value));
}

static bool fits(enum sl_table_type type, const char *text, size_t len)
{
    union {
        uint8_t truth;
        int64_t integer;
        double real;
        int32_t days;
    } value;
    uint8_t zoned = 0;
    switch (type) {
    case SL_TABLE_BOOL: return table_text_bool(text, len, &value.truth);
    case SL_TABLE_INT64: return table_text_int(text, len, &value.integer) && !is_code(text, len);
    case SL_TABLE_FLOAT64: return table_text_float(text, len, &value.real) && !is_code(text, len);
    case SL_TABLE_DATE: return table_text_date(text, len, &value.days);
    case SL_TABLE_TIMESTAMP: return table_text_timestamp(text, len, &value.integer, &zoned);
    case SL_TABLE_DECIMAL: return false;
    case SL_TABLE_STRING: return true;
    }
    return false;
}

/** A shortened copy without control bytes, for messages. */
static void shorten(char *out, size_t size, const char *text, size_t len)
{
    size_t n = SL_MIN(len, size - 1);
    while (n > 0 && n < len && ((unsigned char)text[n] & 0xc0) == 0x80) {
        n--; /* not inside a character */
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
    }
    out[n] = '\0';
    if (sl_utf8_check(out, n) != n) {
        (void)memcpy(out, "(not UTF-8)", SL_MIN(size, sizeof("(not UTF-8)")));
        out[size - 1] = '\0';
    }
}

void table_guess_add(struct table_guess *g, unsigned mask, const char *text, size_t len,
                     uint64_t row)
{
    for (size_t i = 0; i < SL_LEN(candidates); i++) {
        enum sl_table_type type = candidates[i];
        if ((mask >> type & 1) != 0 && fits(type, text, len)) {
            g->fits[type]++;
        } else if (g->fits[type] == g->n_values) {
            g->against_row[type] = row;
            shorten(g->against[type], sizeof(g->against[type]), text, len);
        }
    }
    g->n_values++;
}

void table_guess_decide(const struct table_guess *g, struct sl_table *t,
                        struct sl_table_field *field)
{
    enum sl_table_type best = candidates[0];
    field->inferred = true;
    field->type = SL_TABLE_STRING;
    field->n_values = g->n_values;
    field->n_nulls = g->n_nulls;
    for (size_t i = 0; i < SL_LEN(candidates); i++) {
        best = g->fits[candidates[i]] > g->fits[best] ? candidates[i] : best;
    }
    if (g->n_values == 0) {
        field->why = "no value among the first rows";
        return;
    }
    unsigned long long n = g->n_values;
    unsigned long long n_nulls = g->n_nulls;
    if (g->fits[best] == g->n_values) {
        field->type = best;
        field->why =
            sl_arena_printf(&t->arena, "all of the first %llu values read as %s (%llu null)", n,
                            sl_table_type_name(best), n_nulls);
        return;
    }
    if (g->fits[best] == 0) {
        field->why = sl_arena_printf(
            &t->arena, "the first %llu values read as nothing narrower (%llu null)", n, n_nulls);
        return;
    }
    field->n_against = g->n_values - g->fits[best];
    field->against = sl_arena_strdup(&t->arena, g->against[best]);
    field->against_row = g->against_row[best];
    field->why = sl_arena_printf(
        &t->arena,
        "%llu of the first %llu values read as %s, but %llu do not, first \"%s\" in row %llu",
        (unsigned long long)g->fits[best], n, sl_table_type_name(best),
        (unsigned long long)field->n_against, field->against,
        (unsigned long long)field->against_row);
}

static struct sl_table_field *field_of(struct sl_table *t, const char *name)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        if (sl_streq(t->fields[i].name, name)) {
            return &t->fields[i];
        }
    }
    return NULL;
}

int table_overrides(struct sl_table *t, struct sl_err *err)
{
    for (size_t i = 0; i < t->opts.n_types; i++) {
        const struct sl_table_override *o = &t->opts.types[i];
        struct sl_table_field *field = field_of(t, o->name);
        if (field == NULL) {
            return sl_err_set(err, SL_ENOTFOUND,
                              "%s: a type is given for column \"%s\", which is not "
                              "among the columns read",
                              t->source.name, o->name);
        }
        if (o->type == SL_TABLE_DECIMAL && (o->scale < 0 || o->scale > 38)) {
            return sl_err_set(err, SL_EINVAL, "%s: column \"%s\": a decimal's scale is 0 to 38",
                              t->source.name, o->name);
        }
        field->type = o->type;
        field->scale = o->type == SL_TABLE_DECIMAL ? o->scale : 0;
        field->inferred = false;
        field->n_against = 0;
        field->against = NULL;
        field->why = "stated by the caller";
    }
    return 0;
}
