/* Request heads, bodies, targets and event streams: the layers of core/http below the sockets. */
#include "core/base/base.h"

#include <stdlib.h>

#include "core/http/parse.h"
#include "core/http/sse_reader.h"
#include "core/http/url.h"
#include "tests/support/sl_fuzz.h"

static void check_target(const struct sl_http_head *head, struct sl_arena *arena)
{
    const char *segments[SL_URL_SEGMENTS_MAX];
    struct sl_url_query query;
    size_t n = 0;
    if (sl_url_segments(head->path, arena, segments, &n, NULL) == 0) {
        for (size_t i = 0; i < n; i++) {
            SL_ASSERT(segments[i][0] != '\0');
            SL_ASSERT(!sl_streq(segments[i], ".") && !sl_streq(segments[i], ".."));
            SL_ASSERT(sl_utf8_check(segments[i], strlen(segments[i])) == strlen(segments[i]));
        }
    }
    if (sl_url_query(head->query, arena, &query, NULL) == 0) {
        SL_ASSERT(query.n <= SL_URL_QUERY_MAX);
    }
}

static void check_request(const char *data, size_t size)
{
    struct sl_http_limits limits = {.url_bytes_max = 200, .head_bytes_max = 4096};
    struct sl_http_fault fault = {0, NULL};
    struct sl_http_parser parser;
    struct sl_arena arena;
    size_t at = 0, again = 0;
    sl_http_limits_complete(&limits);
    sl_arena_init(&arena, 0);
    long len = sl_http_head_scan(data, size, &at, &limits, &fault);
    SL_ASSERT(len <= (long)size && (len >= 0 || fault.status >= 400));
    /* In two pieces the verdict is the same. */
    struct sl_http_fault fault2 = {0, NULL};
    long len2 = sl_http_head_scan(data, size / 2, &again, &limits, &fault2);
    if (len2 == 0) {
        len2 = sl_http_head_scan(data, size, &again, &limits, &fault2);
    }
    SL_ASSERT(len == len2 || (len > 0 && len2 > 0));
    sl_http_parser_init(&parser, &limits, &arena);
    if (len > 0 && sl_http_parse_head(&parser, data, (size_t)len) == 0) {
        SL_ASSERT(parser.head.path.len > 0 && parser.head.path.ptr[0] == '/');
        SL_ASSERT(!parser.head.chunked || !parser.head.has_length);
        check_target(&parser.head, &arena);
        size_t left = size - (size_t)len;
        const char *body = data + len;
        while (left > 0 && !parser.complete) {
            long used = sl_http_parse_body(&parser, body, SL_MIN(left, (size_t)7));
            if (used < 0) {
                SL_ASSERT(parser.fault.status >= 400);
                break;
            }
            body += used;
            left -= (size_t)used;
        }
    }
    sl_arena_release(&arena);
}

static int on_event(const struct sl_http_event *event, void *data, struct sl_err *err)
{
    (void)err;
    *(size_t *)data += event->data.len;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct sl_sse_reader reader;
    struct sl_arena arena;
    size_t total = 0;
    check_request(text, size);
    sl_sse_reader_init(&reader, on_event, &total);
    (void)sl_sse_feed(&reader, text, size, NULL);
    SL_ASSERT(total <= size);
    sl_sse_reader_release(&reader);
    sl_arena_init(&arena, 0);
    struct sl_http_head head = {.path = {text, size}, .query = {text, size}};
    check_target(&head, &arena);
    sl_arena_release(&arena);
    return 0;
}
