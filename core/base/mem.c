/**
 * Heap calls that never return NULL, and growing arrays.
 *
 * Thread: any. Must not: be used for sizes that input decides (those have limits and fallible calls).
 */
#include "core/base/base.h"

#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static SL_NORETURN void exhausted(size_t size_bytes)
{
    (void)fprintf(stderr, "sluice: out of memory (%zu bytes wanted)\n", size_bytes);
    abort();
}

void *sl_malloc(size_t size_bytes)
{
    void *p = malloc(size_bytes > 0 ? size_bytes : 1);
    if (p == NULL) {
        exhausted(size_bytes);
    }
    return p;
}

void *sl_calloc(size_t count, size_t size_bytes)
{
    void *p = calloc(count > 0 ? count : 1, size_bytes > 0 ? size_bytes : 1);
    if (p == NULL) {
        exhausted(size_bytes);
    }
    return p;
}

void *sl_realloc(void *old, size_t size_bytes)
{
    void *p = realloc(old, size_bytes > 0 ? size_bytes : 1);
    if (p == NULL) {
        exhausted(size_bytes);
    }
    return p;
}

char *sl_strdup(const char *text)
{
    return text != NULL ? sl_strndup(text, strlen(text)) : NULL;
}

char *sl_strndup(const char *text, size_t len)
{
    char *copy = sl_malloc(len + 1);
    if (len > 0) {
        memcpy(copy, text, len);
    }
    copy[len] = '\0';
    return copy;
}

char *sl_asprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0 || text == NULL) {
        exhausted(0);
    }
    return text;
}

void sl_grow(void *array, size_t *capacity, size_t want, size_t item_bytes)
{
    if (want <= *capacity) {
        return;
    }
    size_t cap = *capacity < 8 ? 8 : *capacity;
    while (cap < want) {
        SL_ASSERT(cap <= SIZE_MAX / 2);
        cap *= 2;
    }
    size_t bytes = 0;
    if (__builtin_mul_overflow(cap, item_bytes, &bytes)) {
        exhausted(SIZE_MAX);
    }
    void *items = NULL;
    memcpy(&items, array, sizeof(items)); /* any object pointer type may stand behind `array` */
    items = sl_realloc(items, bytes);
    memcpy(array, &items, sizeof(items));
    *capacity = cap;
}
