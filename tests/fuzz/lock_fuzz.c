/** Fuzz target: any bytes as a lock file. What is accepted keeps the documented limits and order. */
#include "core/base/base.h"

#include "pipelines/env/lock.h"

#include <string.h>

#include "tests/support/sl_fuzz.h"

static void check(const struct sl_lock *lock)
{
    SL_ASSERT(lock->n_packages <= SL_LOCK_PACKAGES_MAX);
    for (size_t i = 0; i < lock->n_packages; i++) {
        const struct sl_lock_package *p = &lock->packages[i];
        size_t len = strlen(p->name);
        SL_ASSERT(len >= 1 && len <= SL_LOCK_NAME_MAX && p->version[0] != '\0' && p->line >= 1);
        SL_ASSERT(strspn(p->name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len);
        SL_ASSERT(!sl_digest_is_zero(&p->hashes));
        SL_ASSERT(i == 0 || strcmp(lock->packages[i - 1].name, p->name) <= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_arena arena;
    struct sl_diags diags;
    struct sl_lock lock;
    sl_arena_init(&arena, 0);
    sl_diags_init(&diags, &arena);
    int rc =
        sl_lock_read("x.lock", (struct sl_str){(const char *)data, size}, &arena, &diags, &lock);
    SL_ASSERT((rc < 0) == (diags.n_errors > 0));
    if (rc == 0) {
        check(&lock);
    }
    struct sl_buf text = SL_BUF_INIT(1 << 20);
    sl_diags_print(&diags, false, &text);
    sl_buf_release(&text);
    sl_diags_release(&diags);
    sl_arena_release(&arena);
    return 0;
}
