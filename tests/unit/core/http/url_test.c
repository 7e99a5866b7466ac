/* Addresses and routes, without sockets. */
#include "core/base/base.h"

#include "core/http/url.h"

#include <stdlib.h>

#include "core/http/router.h"
#include "tests/support/sl_test.h"

SL_TEST(core_http_url, decode__escapes__once_and_strictly)
{
    static const struct {
        const char *in, *out, *error;
        bool plus;
    } cases[] = {
        {"a%20b", "a b", NULL, false},
        {"%C3%A9", "\xc3\xa9", NULL, false},
        {"%c3%a9", "\xc3\xa9", NULL, false},
        {"%252e", "%2e", NULL, false}, /* decoded once */
        {"a%2Fb", "a/b", NULL, false},
        {"a+b", "a+b", NULL, false},
        {"a+b", "a b", NULL, true},
        {"", "", NULL, false},
        {"%", NULL, "broken percent escape at byte 1", false},
        {"ab%4", NULL, "broken percent escape at byte 3", false},
        {"%g0", NULL, "broken percent escape", false},
        {"%0g", NULL, "broken percent escape", false},
        {"%00", NULL, "NUL", false},
        {"%ff", NULL, "UTF-8", false},
        {"%c0%ae", NULL, "UTF-8", false}, /* overlong '.' */
        {"%ed%a0%80", NULL, "UTF-8", false},
    };
    struct sl_arena arena;
    sl_arena_init(&arena, 0);
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_err err = SL_ERR_INIT;
        const char *out = NULL;
        int rc = sl_url_decode(sl_str_c(cases[i].in), cases[i].plus, &arena, &out, &err);
        if (cases[i].error == NULL) {
            SL_CHECK_OK(rc, err);
            SL_CHECK_EQ_STR(out, cases[i].out);
        } else {
            SL_CHECK_ERR(rc, SL_EINVAL, err, cases[i].error);
        }
    }
    sl_arena_release(&arena);
}

SL_TEST(core_http_url, segments__dots_blanks_and_counts__refused)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_arena arena;
    const char *segments[SL_URL_SEGMENTS_MAX];
    size_t n = 99;
    sl_arena_init(&arena, 0);
    SL_CHECK_OK(sl_url_segments(SL_STR("/"), &arena, segments, &n, &err), err);
    SL_CHECK_EQ_UINT(n, 0);
    SL_CHECK_OK(sl_url_segments(SL_STR("/a/%2Fb/..."), &arena, segments, &n, &err), err);
    SL_CHECK_EQ_UINT(n, 3);
    SL_CHECK_EQ_STR(segments[1], "/b");
    static const char *const bad[] = {"",     "a",     "//",     "/a/",    "/a//b",
                                      "/.",   "/../a", "/%2e",   "/%2E.",  "/a/.%2e/b",
                                      "/%0a", "/%7f",  "/a%1fb", "/%2e%2e"};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        int rc = sl_url_segments(sl_str_c(bad[i]), &arena, segments, &n, &err);
        SL_CHECK_MSG(rc == -SL_EINVAL, "%s", bad[i]);
    }
    struct sl_buf many = SL_BUF_INIT(1000);
    for (int i = 0; i < SL_URL_SEGMENTS_MAX; i++) {
        sl_buf_puts(&many, "/s");
    }
    SL_CHECK_OK(sl_url_segments(sl_str_c(many.ptr), &arena, segments, &n, &err), err);
    SL_CHECK_EQ_UINT(n, SL_URL_SEGMENTS_MAX);
    sl_buf_puts(&many, "/s");
    SL_CHECK_ERR(sl_url_segments(sl_str_c(many.ptr), &arena, segments, &n, &err), SL_EINVAL, err,
                 "more than 64 segments");
    sl_buf_release(&many);
    sl_arena_release(&arena);
}

SL_TEST(core_http_url, query__pairs_at_limit_and_past__kept_and_refused)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_arena arena;
    struct sl_url_query query;
    sl_arena_init(&arena, 0);
    SL_CHECK_OK(sl_url_query(SL_STR("a=1&&b&c=x%3Dy=z&a=2&=e"), &arena, &query, &err), err);
    SL_CHECK_EQ_UINT(query.n, 5);
    SL_CHECK_EQ_STR(query.items[1].key, "b");
    SL_CHECK_EQ_STR(query.items[1].value, "");
    SL_CHECK_EQ_STR(query.items[2].value, "x=y=z");
    SL_CHECK_EQ_STR(query.items[4].key, "");
    SL_CHECK_ERR(sl_url_query(SL_STR("a=%"), &arena, &query, &err), SL_EINVAL, err, "broken");
    struct sl_buf many = SL_BUF_INIT(1000);
    for (int i = 0; i < SL_URL_QUERY_MAX; i++) {
        sl_buf_puts(&many, "a=1&");
    }
    SL_CHECK_OK(sl_url_query(sl_str_c(many.ptr), &arena, &query, &err), err);
    SL_CHECK_EQ_UINT(query.n, SL_URL_QUERY_MAX);
    sl_buf_puts(&many, "a");
    SL_CHECK_ERR(sl_url_query(sl_str_c(many.ptr), &arena, &query, &err), SL_EINVAL, err,
                 "more than 100 query parameters");
    sl_buf_release(&many);
    sl_arena_release(&arena);
}

SL_TEST(core_http_url, encode__any_text__decodes_to_itself)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_arena arena;
    struct sl_buf out = SL_BUF_INIT(4096);
    char text[128];
    for (int i = 0; i < 127; i++) {
        text[i] = (char)(i + 1);
    }
    text[127] = '\0';
    sl_arena_init(&arena, 0);
    sl_url_encode(&out, text);
    SL_CHECK(strspn(out.ptr, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "-._~%") == out.len);
    const char *back = NULL;
    SL_CHECK_OK(sl_url_decode(sl_str_c(out.ptr), true, &arena, &back, &err), err);
    SL_CHECK_EQ_STR(back, text);
    sl_buf_release(&out);
    sl_arena_release(&arena);
}

static void nothing(struct sl_req *req)
{
    (void)req;
}

static const struct sl_route routes[] = {
    {"GET", "/", nothing, NULL, 0, 0, "root"},
    {"GET", "/runs", nothing, NULL, 0, 0, "list"},
    {"POST", "/runs", nothing, NULL, 1, 0, "new"},
    {"GET", "/runs/{id}", nothing, NULL, 0, 0, "one"},
    {"GET", "/runs/latest", nothing, NULL, 0, 0, "latest"},
    {"DELETE", "/runs/{run}", nothing, NULL, 0, 0, "drop"},
    {"GET", "/runs/{id}/logs/{step}", nothing, NULL, 0, 0, "log"},
    {"GET", "/git/{path...}", nothing, NULL, 0, 0, "git"},
    {"GET", "/git/{name}/info", nothing, NULL, 0, 0, "info"},
};

SL_TEST(core_http_router, match__table__most_literal_wins)
{
    static const struct {
        const char *method, *path, *pattern;
        int rc;
        const char *text; /* the first value, the allowed methods, or the message */
    } cases[] = {
        {"GET", "/", "/", 0, NULL},
        {"GET", "/runs", "/runs", 0, NULL},
        {"HEAD", "/runs", "/runs", 0, NULL},
        {"GET", "/runs/7", "/runs/{id}", 0, "7"},
        {"GET", "/runs/latest", "/runs/latest", 0, NULL},
        {"DELETE", "/runs/latest", "/runs/{run}", 0, "latest"},
        {"GET", "/runs/a%2Fb/logs/c", "/runs/{id}/logs/{step}", 0, "a/b"},
        {"GET", "/git/a", "/git/{path...}", 0, "a"},
        {"GET", "/git/a/b/c", "/git/{path...}", 0, "a/b/c"},
        {"GET", "/git/a/info", "/git/{name}/info", 0, "a"},
        {"PUT", "/runs", NULL, -SL_EUNSUPPORTED, "GET, HEAD, POST"},
        {"PUT", "/runs/latest", NULL, -SL_EUNSUPPORTED, "GET, HEAD, DELETE"},
        {"HEAD", "/nothing/like/it", NULL, -SL_ENOTFOUND, "no such path '/nothing/like/it'"},
        {"GET", "/git", NULL, -SL_ENOTFOUND, "no such path '/git'"},
        {"GET", "/rnus", NULL, -SL_ENOTFOUND, "did you mean '/runs'?"},
        {"GET", "/runs/7/log/x", NULL, -SL_ENOTFOUND, "did you mean '/runs/7/logs/x'?"},
        {"GET", "/runs/", NULL, -SL_EINVAL, "empty segment"},
    };
    struct sl_router *router = sl_router_new(routes, SL_LEN(routes));
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_arena arena;
        sl_arena_init(&arena, 0);
        struct sl_route_match match = {.arena = &arena};
        int rc = sl_router_match(router, cases[i].method, sl_str_c(cases[i].path), &match, &err);
        SL_CHECK_MSG(rc == cases[i].rc, "%s %s: %d %s", cases[i].method, cases[i].path, rc,
                     err.msg);
        if (rc == 0) {
            SL_CHECK_EQ_STR(match.route->pattern, cases[i].pattern);
            SL_CHECK_EQ_STR(match.n_params > 0 ? match.values[0] : NULL, cases[i].text);
        } else {
            SL_CHECK_CONTAINS(rc == -SL_EUNSUPPORTED ? match.allow : err.msg, cases[i].text);
        }
        sl_arena_release(&arena);
    }
    sl_router_free(router);
}
