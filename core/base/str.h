/**
 * Strings: a (pointer, length) view and a bounded builder whose error is sticky and checked once.
 */
#ifndef SL_STR_H
#define SL_STR_H

#include <stdarg.h>
#include <string.h>

#include "core/base/base.h"

/** A view: not owned, not necessarily NUL-terminated. */
struct sl_str {
    const char *ptr;
    size_t len;
};

#define SL_STR(literal) ((struct sl_str){(literal), sizeof(literal) - 1})
static inline struct sl_str sl_str_c(const char *text)
{
    return (struct sl_str){text, text != NULL ? strlen(text) : 0};
}
bool sl_str_eq(struct sl_str a, const char *b);
static inline bool sl_streq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}
bool sl_starts_with(const char *text, const char *prefix);
bool sl_ends_with(const char *text, const char *suffix);

/**
 * Builder. Always NUL-terminated once something was added. Past `max_bytes` it keeps what fits,
 * sets `overflow`, and ignores the rest: check `overflow` once at the end.
 */
struct sl_buf {
    char *ptr; /* NULL while empty */
    size_t len, cap;
    size_t max_bytes; /* mandatory; not counting the NUL */
    bool overflow;
};

#define SL_BUF_INIT(max) ((struct sl_buf){.max_bytes = (max)})
void sl_buf_release(struct sl_buf *b);
void sl_cleanup_buf(struct sl_buf *b); /* for _cleanup_(buf) */
void sl_buf_add(struct sl_buf *b, const void *data, size_t len);
void sl_buf_puts(struct sl_buf *b, const char *text);
void sl_buf_putc(struct sl_buf *b, char c);
void sl_buf_printf(struct sl_buf *b, const char *fmt, ...) SL_PRINTF(2, 3);
void sl_buf_vprintf(struct sl_buf *b, const char *fmt, va_list args) SL_PRINTF(2, 0);
void sl_buf_clear(struct sl_buf *b);            /* length 0, keeps memory, clears overflow */
const char *sl_buf_str(const struct sl_buf *b); /* "" when empty; valid until the next change */
char *sl_buf_take(struct sl_buf *b);            /* caller frees; the builder is empty afterwards */

/** Strict UTF-8 (no overlong forms, no surrogates, at most U+10FFFF). Returns the offset of the
 * first bad byte, or `len` when all is valid. */
size_t sl_utf8_check(const char *text, size_t len);
/** Columns a terminal gives to the text (wcwidth; invalid bytes count one). */
size_t sl_utf8_width(const char *text, size_t len);

/** The candidate nearest to `word` by Damerau-Levenshtein distance, when it is at most
 * max(1, strlen(word)/3); NULL otherwise. `names` has `n` entries. */
const char *sl_nearest(const char *word, const char *const *names, size_t n);

/** Decimal integers without locale or leftovers. False when text is not wholly a number in range. */
bool sl_parse_i64(const char *text, int64_t *ret);
bool sl_parse_u64(const char *text, uint64_t *ret);
bool sl_parse_double(
    const char *text,
    double *ret); /* C locale; accepts inf and nan spellings of YAML (.inf .nan) too */

/** Shell-quotes for display only (never to build a command). Appends to `b`. */
void sl_buf_shell_quote(struct sl_buf *b, const char *text);

#endif
