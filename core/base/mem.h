/**
 * Memory: small allocations abort on exhaustion, sizes derived from input go through the fallible
 * calls with a limit, and everything of one command, plan or request lives in one arena.
 */
#ifndef SL_MEM_H
#define SL_MEM_H

#include <stdarg.h>

#include "core/base/base.h"

/** Never return NULL: print and abort on exhaustion. `sl_calloc` checks the multiplication. */
void *sl_malloc(size_t size_bytes);
void *sl_calloc(size_t count, size_t size_bytes);
void *sl_realloc(void *old, size_t size_bytes);
char *sl_strdup(const char *text); /* NULL gives NULL */
char *sl_strndup(const char *text, size_t len);
char *sl_asprintf(const char *fmt, ...) SL_PRINTF(1, 2);

/** A zeroed new object of the type, on the heap. */
#define SL_NEW(type) ((type *)sl_calloc(1, sizeof(type)))

/**
 * Grows `array` (pointer to pointer) so that it holds at least `want` items of `item_bytes`:
 * amortised doubling. `capacity` is updated. Never fails (aborts).
 */
void sl_grow(void *array, size_t *capacity, size_t want, size_t item_bytes);

/** Appends to `{T *items; size_t n, cap;}` shaped structs. */
#define SL_VEC(type)                                                                               \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t n, cap;                                                                             \
    }
#define sl_vec_push(vec, value)                                                                    \
    do {                                                                                           \
        sl_grow((void *)&(vec)->items, &(vec)->cap, (vec)->n + 1, sizeof(*(vec)->items));          \
        (vec)->items[(vec)->n++] = (value);                                                        \
    } while (0)
#define sl_vec_free(vec)                                                                           \
    do {                                                                                           \
        free((vec)->items);                                                                        \
        (vec)->items = NULL;                                                                       \
        (vec)->n = (vec)->cap = 0;                                                                 \
    } while (0)

/**
 * Arena: many small allocations, freed together. 16-byte aligned, zeroed. Single-threaded.
 * Over `max_bytes` (0 = no cap) it returns NULL from sl_arena_try_alloc and aborts in the others.
 */
struct sl_arena {
    struct sl_arena_block *head; /* private */
    size_t used_bytes;           /* handed out so far */
    size_t max_bytes;
};

void sl_arena_init(struct sl_arena *a, size_t max_bytes);
void sl_arena_release(struct sl_arena *a); /* frees all; the struct is usable again */
void *sl_arena_alloc(struct sl_arena *a, size_t size_bytes);
void *sl_arena_try_alloc(struct sl_arena *a, size_t size_bytes);
char *sl_arena_strdup(struct sl_arena *a, const char *text);
char *sl_arena_strndup(struct sl_arena *a, const char *text, size_t len);
char *sl_arena_printf(struct sl_arena *a, const char *fmt, ...) SL_PRINTF(2, 3);
void *sl_arena_memdup(struct sl_arena *a, const void *data, size_t len);

#define SL_ARENA_NEW(arena, type)      ((type *)sl_arena_alloc((arena), sizeof(type)))
#define SL_ARENA_ARRAY(arena, type, n) ((type *)sl_arena_alloc((arena), sizeof(type) * (size_t)(n)))

#endif
