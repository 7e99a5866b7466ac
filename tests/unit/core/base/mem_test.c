/** Heap helpers, growing arrays, arenas. */
#include "core/base/base.h"

#include "core/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/sl_test.h"

SL_TEST(core_base_mem, strndup__stops_at_length)
{
    char *text = sl_strndup("abcdef", 3);
    SL_CHECK_EQ_STR(text, "abc");
    free(text);
    SL_CHECK_NULL(sl_strdup(NULL));
    char *line = sl_asprintf("%d-%s", 5, "x");
    SL_CHECK_EQ_STR(line, "5-x");
    free(line);
}

SL_TEST(core_base_mem, vec_push__many__keeps_all)
{
    SL_VEC(int) list = {0};
    for (int i = 0; i < 1000; i++) {
        sl_vec_push(&list, i * i);
    }
    SL_CHECK_EQ_UINT(list.n, 1000);
    SL_CHECK(list.cap >= 1000 && list.cap <= 2000);
    for (int i = 0; i < 1000; i++) {
        SL_CHECK_EQ_INT(list.items[i], i * i);
    }
    sl_vec_free(&list);
    SL_CHECK_NULL(list.items);
    SL_CHECK_EQ_UINT(list.cap, 0);
}

SL_TEST(core_base_mem, arena__objects__are_aligned_zeroed_and_apart)
{
    struct sl_arena a;
    sl_arena_init(&a, 0);
    unsigned char *before = NULL;
    for (size_t size = 1; size < 3000; size += 7) {
        unsigned char *p = sl_arena_alloc(&a, size);
        SL_CHECK_EQ_UINT((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++) {
            SL_CHECK(p[i] == 0);
        }
        memset(p, 0xAB, size);
        SL_CHECK(before == NULL || before[0] == 0xAB);
        before = p;
    }
    sl_arena_release(&a);
}

SL_TEST(core_base_mem, arena__object_larger_than_a_block__fits_and_keeps_the_block)
{
    struct sl_arena a;
    sl_arena_init(&a, 0);
    char *small = sl_arena_strdup(&a, "small");
    unsigned char *large = sl_arena_alloc(&a, 5u << 20);
    large[(5u << 20) - 1] = 1;
    char *next = sl_arena_strdup(&a, "next");
    SL_CHECK_EQ_STR(small, "small");
    SL_CHECK(next - small == 16); /* still the first block */
    sl_arena_release(&a);
    SL_CHECK_EQ_STR(sl_arena_strdup(&a, "again"), "again");
    sl_arena_release(&a);
}

SL_TEST(core_base_mem, arena__at_the_cap__fits_and_one_past__does_not)
{
    struct sl_arena a;
    sl_arena_init(&a, 64);
    SL_CHECK_NOT_NULL(sl_arena_try_alloc(&a, 48));
    SL_CHECK_NOT_NULL(sl_arena_try_alloc(&a, 16));
    SL_CHECK_EQ_UINT(a.used_bytes, 64);
    SL_CHECK_NULL(sl_arena_try_alloc(&a, 1));
    SL_CHECK_NULL(sl_arena_try_alloc(&a, SIZE_MAX - 3));
    sl_arena_release(&a);
}

SL_TEST(core_base_mem, arena_printf__long_text__is_whole)
{
    struct sl_arena a;
    sl_arena_init(&a, 0);
    char *text = sl_arena_printf(&a, "%05000d|%s", 7, "end");
    SL_CHECK_EQ_UINT(strlen(text), 5004);
    SL_CHECK_EQ_STR(text + 4999, "7|end");
    const int numbers[] = {1, 2, 3};
    const int *copy = sl_arena_memdup(&a, numbers, sizeof(numbers));
    SL_CHECK_EQ_MEM(copy, numbers, sizeof(numbers));
    sl_arena_release(&a);
}
