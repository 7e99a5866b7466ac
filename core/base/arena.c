/**
 * Arena: bump allocation from growing blocks, freed together.
 *
 * Thread: one at a time. Must not: free or grow single objects.
 */
#include "core/base/base.h"

#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN     16
#define ARENA_BLOCK_MIN 4096
#define ARENA_BLOCK_MAX (1u << 20) /* larger objects get a block of their own */

struct sl_arena_block {
    struct sl_arena_block *next;
    size_t size_bytes, used_bytes; /* of data */
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

void sl_arena_init(struct sl_arena *a, size_t max_bytes)
{
    *a = (struct sl_arena){.max_bytes = max_bytes};
}

void sl_arena_release(struct sl_arena *a)
{
    struct sl_arena_block *block = a->head;
    while (block != NULL) {
        struct sl_arena_block *next = block->next;
        free(block);
        block = next;
    }
    a->head = NULL;
    a->used_bytes = 0;
}

/** A zeroed block with room for `need`, put first; an oversized one second, so that the current
 * block stays in use. NULL on exhaustion. */
static struct sl_arena_block *add_block(struct sl_arena *a, size_t need)
{
    size_t size = a->head != NULL ? a->head->size_bytes * 2 : ARENA_BLOCK_MIN;
    size = SL_MIN(size, (size_t)ARENA_BLOCK_MAX);
    size = SL_MAX(size, (size_t)ARENA_BLOCK_MIN);
    bool oversized = need > size;
    if (oversized) {
        size = need;
    }
    struct sl_arena_block *block = calloc(1, sizeof(*block) + size);
    if (block == NULL) {
        return NULL;
    }
    block->size_bytes = size;
    if (oversized && a->head != NULL) {
        block->next = a->head->next;
        a->head->next = block;
    } else {
        block->next = a->head;
        a->head = block;
    }
    return block;
}

void *sl_arena_try_alloc(struct sl_arena *a, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX / 2) {
        return NULL;
    }
    size_t need = (SL_MAX(size_bytes, (size_t)1) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (a->max_bytes != 0 && (need > a->max_bytes || a->used_bytes > a->max_bytes - need)) {
        return NULL;
    }
    struct sl_arena_block *block = a->head;
    if (block == NULL || block->size_bytes - block->used_bytes < need) {
        block = add_block(a, need);
        if (block == NULL) {
            return NULL;
        }
    }
    void *p = block->data + block->used_bytes;
    block->used_bytes += need;
    a->used_bytes += need;
    return p;
}

void *sl_arena_alloc(struct sl_arena *a, size_t size_bytes)
{
    void *p = sl_arena_try_alloc(a, size_bytes);
    if (p == NULL) {
        (void)fprintf(stderr, "sluice: arena exhausted (%zu bytes wanted, %zu of %zu used)\n",
                      size_bytes, a->used_bytes, a->max_bytes);
        abort();
    }
    return p;
}

char *sl_arena_strdup(struct sl_arena *a, const char *text)
{
    return text != NULL ? sl_arena_strndup(a, text, strlen(text)) : NULL;
}

char *sl_arena_strndup(struct sl_arena *a, const char *text, size_t len)
{
    char *copy = sl_arena_alloc(a, len + 1);
    if (len > 0) {
        memcpy(copy, text, len);
    }
    return copy;
}

char *sl_arena_printf(struct sl_arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    SL_ASSERT(n >= 0);
    char *text = sl_arena_alloc(a, (size_t)n + 1);
    (void)vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

void *sl_arena_memdup(struct sl_arena *a, const void *data, size_t len)
{
    void *copy = sl_arena_alloc(a, len);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}
