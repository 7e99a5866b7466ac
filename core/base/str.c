/**
 * Bounded builder and string helpers.
 *
 * Thread: one per builder. Must not: depend on the locale.
 */
#include "core/base/base.h"

#include "core/base/str.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

bool sl_str_eq(struct sl_str a, const char *b)
{
    size_t len = strlen(b);
    return a.len == len && (len == 0 || memcmp(a.ptr, b, len) == 0);
}

bool sl_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool sl_ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

void sl_buf_release(struct sl_buf *b)
{
    free(b->ptr);
    b->ptr = NULL;
    b->len = b->cap = 0;
    b->overflow = false;
}

void sl_cleanup_buf(struct sl_buf *b)
{
    sl_buf_release(b);
}

/** Room for `len` more bytes and the NUL; `len` fits the maximum. */
static void reserve(struct sl_buf *b, size_t len)
{
    size_t want = b->len + len + 1;
    if (want <= b->cap) {
        return;
    }
    size_t cap = SL_MAX(b->cap, (size_t)64);
    while (cap < want) {
        cap = cap > SIZE_MAX / 2 ? want : cap * 2;
    }
    b->ptr = sl_realloc(b->ptr, cap);
    b->cap = cap;
}

void sl_buf_add(struct sl_buf *b, const void *data, size_t len)
{
    SL_ASSERT(b->max_bytes > 0);
    if (b->overflow) {
        return;
    }
    size_t fits = b->max_bytes - b->len;
    if (len > fits) {
        b->overflow = true;
        len = fits;
    }
    reserve(b, len);
    if (len > 0) {
        memcpy(b->ptr + b->len, data, len);
    }
    b->len += len;
    b->ptr[b->len] = '\0';
}

void sl_buf_puts(struct sl_buf *b, const char *text)
{
    sl_buf_add(b, text, strlen(text));
}

void sl_buf_putc(struct sl_buf *b, char c)
{
    sl_buf_add(b, &c, 1);
}

void sl_buf_printf(struct sl_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sl_buf_vprintf(b, fmt, args);
    va_end(args);
}

void sl_buf_vprintf(struct sl_buf *b, const char *fmt, va_list args)
{
    char small[512];
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(small, sizeof(small), fmt, args);
    SL_ASSERT(n >= 0);
    if ((size_t)n < sizeof(small)) {
        sl_buf_add(b, small, (size_t)n);
    } else {
        char *large = NULL;
        int m = vasprintf(&large, fmt, again);
        SL_ASSERT(m >= 0 && large != NULL);
        sl_buf_add(b, large, (size_t)m);
        free(large);
    }
    va_end(again);
}

void sl_buf_clear(struct sl_buf *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->ptr != NULL) {
        b->ptr[0] = '\0';
    }
}

const char *sl_buf_str(const struct sl_buf *b)
{
    return b->ptr != NULL ? b->ptr : "";
}

char *sl_buf_take(struct sl_buf *b)
{
    char *text = b->ptr != NULL ? b->ptr : sl_strndup("", 0);
    b->ptr = NULL;
    b->len = b->cap = 0;
    b->overflow = false;
    return text;
}

void sl_buf_shell_quote(struct sl_buf *b, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (text[0] != '\0' && strspn(text, plain) == strlen(text)) {
        sl_buf_puts(b, text);
        return;
    }
    sl_buf_putc(b, '\'');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'') {
            sl_buf_puts(b, "'\\''");
        } else {
            sl_buf_putc(b, *p);
        }
    }
    sl_buf_putc(b, '\'');
}
