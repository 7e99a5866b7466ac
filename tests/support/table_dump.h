/**
 * A table as text, one line per row: what unit tests and the clients' comparison read.
 *
 * Doubles with 17 digits, timestamps as microseconds with "Z" when they had a zone, decimals as
 * unscaled integers with "e-scale", null as "-", text in quotes with \xNN for all that is not plain.
 */
#ifndef SL_TABLE_DUMP_H
#define SL_TABLE_DUMP_H

#include "core/base/base.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/base/str.h"
#include "core/table/table.h"

static inline void table_dump_decimal(struct sl_buf *out, __int128 value, int scale)
{
    char text[48];
    size_t at = sizeof(text);
    unsigned __int128 rest = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    do {
        text[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    } while (rest > 0);
    sl_buf_printf(out, "%s%.*se-%d", value < 0 ? "-" : "", (int)(sizeof(text) - at), text + at,
                  scale);
}

static inline void table_dump_text(struct sl_buf *out, const char *text, size_t len)
{
    sl_buf_putc(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\') {
            sl_buf_printf(out, "\\x%02x", byte);
        } else {
            sl_buf_putc(out, text[i]);
        }
    }
    sl_buf_putc(out, '"');
}

static inline void table_dump_cell(struct sl_buf *out, const struct sl_table_column *c, size_t i)
{
    if (!c->valid[i]) {
        sl_buf_putc(out, '-');
        return;
    }
    switch (c->field->type) {
    case SL_TABLE_BOOL: sl_buf_puts(out, c->bools[i] ? "true" : "false"); break;
    case SL_TABLE_INT64: sl_buf_printf(out, "%" PRId64, c->ints[i]); break;
    case SL_TABLE_FLOAT64: sl_buf_printf(out, "%.17g", c->floats[i]); break;
    case SL_TABLE_DATE: sl_buf_printf(out, "%" PRId32 "d", c->days[i]); break;
    case SL_TABLE_TIMESTAMP:
        sl_buf_printf(out, "%" PRId64 "us%s", c->micros[i], c->had_zone[i] ? "Z" : "");
        break;
    case SL_TABLE_DECIMAL: table_dump_decimal(out, c->decimals[i], c->field->scale); break;
    case SL_TABLE_STRING:
        SL_ASSERT(c->offsets[i] <= c->offsets[i + 1]);
        table_dump_text(out, c->bytes + c->offsets[i], c->offsets[i + 1] - c->offsets[i]);
        break;
    }
}

/** "name:type|name:type\n" */
static inline void table_dump_schema(struct sl_buf *out, const struct sl_table *t)
{
    const struct sl_table_schema *s = sl_table_schema(t);
    for (size_t i = 0; i < s->n_fields; i++) {
        sl_buf_printf(out, "%s%s:%s", i > 0 ? "|" : "", s->fields[i].name,
                      sl_table_type_name(s->fields[i].type));
    }
    sl_buf_putc(out, '\n');
}

/** "cell|cell\n" per row; with `numbered`, "7: cell|cell\n". */
static inline void table_dump_batch(struct sl_buf *out, const struct sl_table_batch *b,
                                    bool numbered)
{
    for (size_t i = 0; i < b->n_rows; i++) {
        if (numbered) {
            sl_buf_printf(out, "%" PRIu64 ": ", b->rows != NULL ? b->rows[i] : b->first_row + i);
        }
        for (size_t k = 0; k < b->n_columns; k++) {
            if (k > 0) {
                sl_buf_putc(out, '|');
            }
            table_dump_cell(out, &b->columns[k], i);
        }
        sl_buf_putc(out, '\n');
    }
}

#endif
