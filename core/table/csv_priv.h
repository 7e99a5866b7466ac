/**
 * Delimited text: the window over the file, the automaton that finds where rows end, one field.
 *
 * Stays inside the room.
 */
#ifndef SL_TABLE_CSV_PRIV_H
#define SL_TABLE_CSV_PRIV_H

#include "core/table/text_priv.h"

#define CSV_WINDOW_BYTES (1u << 20)
#define CSV_PAD          32 /* readable bytes behind the window, all zero */

/**
 * Where a scan stands. A quote opens only at the start of a field; whatever follows a closing quote
 * but a delimiter or the row's end makes the row bad, and reads on as a field without quotes. So the
 * places where rows end depend on this automaton alone, for good rows and bad ones.
 *
 *     START -"-> QUOTED -"-> CLOSED -"-> QUOTED
 *     START -other-> PLAIN <-other- CLOSED;   delimiter -> START;   newline ends the row
 */
enum csv_state { CSV_START, CSV_PLAIN, CSV_QUOTED, CSV_CLOSED };

struct csv_scan {
    enum csv_state state;
    char delim;
    bool inside;       /* part of a row was passed */
    uint64_t newlines; /* met since it was last cleared, the row's own included */
};

/** Goes on to the end of the row: the byte behind its newline, or NULL when `end` came first. */
const char *csv_scan_row(struct csv_scan *s, const char *p, const char *end);

struct csv {
    struct table_mem window;
    size_t begin, end; /* of what is read and not yet consumed */
    uint64_t base;     /* place of the window's first byte in the file */
    uint64_t limit;    /* where this reader stops */
    bool eof;          /* everything up to limit is in the window, a newline added if need be */
    bool virtual_newline;
    char delim;
    uint64_t data_begin, data_line; /* of the first data row */
    uint64_t row, line;             /* at `begin` */
    int32_t *slots;                 /* per column of the file */
    size_t n_slots;
    bool numbers_are_null; /* a null text looks like a number */
    uint32_t *strings;     /* fields of text */
    size_t n_strings;
    struct table_mem scratch; /* unescaped field; head of a bad row */
};

/** A scan came to the window's end at `p`, begun at `p`: what is to be kept. A carriage return alone
 * may be the first half of an empty line, which only the next byte tells. */
size_t csv_scan_keep(struct csv_scan *s, const char *p, const char *end, bool was_inside);

/** Reads on; what was consumed is dropped. Grows the window when one row fills it.
 * -SL_ELIMIT when it has SL_TABLE_ROW_BYTES_MAX. */
int csv_fill(struct sl_table *t, struct csv *c, struct sl_err *err);
/** Restarts at a byte. */
void csv_seek(struct csv *c, uint64_t offset, uint64_t limit);

struct csv_field {
    const char *ptr;
    size_t len;
    const char *next;   /* at the delimiter or newline behind it */
    const char *reason; /* why it is bad, or NULL */
    bool quoted;
    bool escaped;      /* holds doubled quotes */
    uint64_t newlines; /* inside */
};
/** One field from `p`. False when `end` came before its end. */
bool csv_field(const char *p, const char *end, char delim, struct csv_field *ret);
/** Takes doubled quotes out, into scratch. */
int csv_unescape(struct sl_table *t, struct csv *c, struct csv_field *f, struct sl_err *err);

int csv_next(struct sl_table *t, struct sl_err *err);
int csv_split(struct sl_table *t, size_t n, struct sl_table_range *ranges, size_t *ret_n,
              struct sl_err *err);

/** True at "\n" and "\r\n". */
static inline bool csv_at_newline(const char *p, const char *end)
{
    return *p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n');
}

#endif
