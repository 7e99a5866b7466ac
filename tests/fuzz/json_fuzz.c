/** JSON records: what parses has one canonical form; texts of core/base round-trip. */
#include "core/base/base.h"

#include <stdlib.h>

#include "core/base/diag.h"
#include "core/base/json.h"
#include "core/base/time.h"
#include "tests/support/sl_fuzz.h"

static void check_json(const char *text, size_t len)
{
    struct sl_err err = SL_ERR_INIT;
    json_t *value = sl_json_parse("input", text, len, &err);
    if (value == NULL) {
        SL_ASSERT(err.code == SL_EINVAL || err.code == SL_ELIMIT);
        SL_ASSERT(err.msg[0] != '\0');
        return;
    }
    char *once = sl_json_canonical(value);
    SL_ASSERT(sl_utf8_check(once, strlen(once)) == strlen(once));
    json_t *again = sl_json_parse("canonical", once, strlen(once), &err);
    SL_ASSERT(again != NULL);
    char *twice = sl_json_canonical(again);
    SL_ASSERT(sl_streq(once, twice));
    free(twice);
    char *pretty = sl_json_pretty(value);
    json_t *reread = sl_json_parse("pretty", pretty, strlen(pretty), &err);
    SL_ASSERT(reread != NULL && json_equal(value, reread));
    json_decref(reread);
    json_decref(again);
    json_decref(value);
    free(pretty);
    free(once);
}

static void check_texts(const char *text, size_t len)
{
    char *copy = strndup(text, len);
    SL_ASSERT(copy != NULL);
    int64_t ms = 0, back = 0;
    uint64_t bytes = 0;
    double number = 0;
    char out[SL_TIME_TEXT];
    if (sl_time_parse(copy, &ms) && ms >= 0) {
        SL_ASSERT(sl_time_parse(sl_time_format(ms, out), &back) && back == ms);
    }
    if (sl_duration_parse(copy, &ms)) {
        SL_ASSERT(ms >= 0);
    }
    (void)sl_size_parse(copy, &bytes);
    (void)sl_parse_i64(copy, &ms);
    (void)sl_parse_double(copy, &number);
    free(copy);
}

static void check_diag(const char *text, size_t len)
{
    struct sl_arena arena;
    struct sl_diags d;
    sl_arena_init(&arena, 0);
    sl_diags_init(&d, &arena);
    struct sl_loc loc = {"f", 1 + (int)(len % 5), 1 + (int)(len % 200), 1 + (int)(len % 9)};
    sl_diag_add(&d, SL_SEV_ERROR, loc, (struct sl_str){text, len}, "hint", "message");
    struct sl_buf out = SL_BUF_INIT(1u << 20);
    sl_diags_print(&d, false, &out);
    for (size_t i = 0; i < out.len; i++) {
        SL_ASSERT((unsigned char)out.ptr[i] >= 0x20 || out.ptr[i] == '\n');
    }
    sl_buf_release(&out);
    sl_diags_release(&d);
    sl_arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = size > 0 ? (const char *)data : "";
    check_json(text, size);
    check_texts(text, size);
    check_diag(text, size);
    return 0;
}
