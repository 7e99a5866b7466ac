/**
 * Matching by segments: patterns are split once, the most literal match wins, and misses name the
 * nearest path. Pure.
 */
#include "core/base/base.h"

#include "core/http/router.h"

#include <stdlib.h>

#include "core/http/url.h"

#define NEAREST_PATH_MAX 512 /* bytes of a path offered as a suggestion */

enum segment_kind { SEG_LITERAL, SEG_PARAM, SEG_REST };

struct segment {
    enum segment_kind kind;
    const char *text; /* literal text, or the parameter's name */
};

struct compiled {
    const struct sl_route *route;
    struct segment segments[SL_ROUTE_SEGMENTS_MAX];
    size_t n;
};

struct sl_router {
    struct sl_arena arena;
    struct compiled *rows;
    size_t n_rows;
};

static void compile(struct sl_router *router, struct compiled *row, const struct sl_route *route)
{
    SL_ASSERT(route->method != NULL && route->pattern != NULL && route->handler != NULL);
    SL_ASSERT(route->pattern[0] == '/');
    row->route = route;
    const char *at = route->pattern + 1;
    while (*at != '\0') {
        size_t len = strcspn(at, "/");
        SL_ASSERT(len > 0 && row->n < SL_ROUTE_SEGMENTS_MAX);
        SL_ASSERT(row->n == 0 || row->segments[row->n - 1].kind != SEG_REST);
        struct segment *segment = &row->segments[row->n++];
        if (at[0] == '{') {
            SL_ASSERT(len > 2 && at[len - 1] == '}');
            bool rest = len > 5 && memcmp(at + len - 4, "...}", 4) == 0;
            segment->kind = rest ? SEG_REST : SEG_PARAM;
            segment->text = sl_arena_strndup(&router->arena, at + 1, len - (rest ? 5 : 2));
        } else {
            segment->kind = SEG_LITERAL;
            segment->text = sl_arena_strndup(&router->arena, at, len);
        }
        at += len;
        at += *at == '/';
    }
}

/* Whether two rows would match the same paths with the same method. */
static bool clash(const struct compiled *a, const struct compiled *b)
{
    if (a->n != b->n || !sl_streq(a->route->method, b->route->method)) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (a->segments[i].kind != b->segments[i].kind ||
            (a->segments[i].kind == SEG_LITERAL &&
             !sl_streq(a->segments[i].text, b->segments[i].text))) {
            return false;
        }
    }
    return true;
}

struct sl_router *sl_router_new(const struct sl_route *routes, size_t n_routes)
{
    SL_ASSERT(n_routes <= SL_ROUTES_MAX);
    struct sl_router *router = SL_NEW(struct sl_router);
    sl_arena_init(&router->arena, 0);
    router->rows = SL_ARENA_ARRAY(&router->arena, struct compiled, n_routes + 1);
    for (size_t i = 0; i < n_routes; i++) {
        compile(router, &router->rows[i], &routes[i]);
        for (size_t k = 0; k < i; k++) {
            SL_ASSERT(!clash(&router->rows[k], &router->rows[i]));
        }
    }
    router->n_rows = n_routes;
    return router;
}

void sl_router_free(struct sl_router *router)
{
    if (router != NULL) {
        sl_arena_release(&router->arena);
        free(router);
    }
}

static bool matches(const struct compiled *row, const char *const *segments, size_t n)
{
    for (size_t i = 0; i < row->n; i++) {
        if (i >= n) {
            return false;
        }
        if (row->segments[i].kind == SEG_REST) {
            return true;
        }
        if (row->segments[i].kind == SEG_LITERAL && !sl_streq(row->segments[i].text, segments[i])) {
            return false;
        }
    }
    return row->n == n;
}

/* Literal before parameter before rest, at the first segment where they differ. */
static bool more_literal(const struct compiled *a, const struct compiled *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        if (a->segments[i].kind != b->segments[i].kind) {
            return a->segments[i].kind < b->segments[i].kind;
        }
    }
    return a->n > b->n;
}

static bool answers(const struct compiled *row, const char *method)
{
    return sl_streq(row->route->method, method) ||
           (sl_streq(method, "HEAD") && sl_streq(row->route->method, "GET"));
}

static void fill(const struct compiled *row, const char *const *segments, size_t n,
                 struct sl_route_match *match)
{
    match->route = row->route;
    match->n_params = 0;
    for (size_t i = 0; i < row->n; i++) {
        const struct segment *segment = &row->segments[i];
        if (segment->kind == SEG_LITERAL) {
            continue;
        }
        const char *value = segments[i];
        for (size_t k = i + 1; segment->kind == SEG_REST && k < n; k++) {
            value = sl_arena_printf(match->arena, "%s/%s", value, segments[k]);
        }
        match->names[match->n_params] = segment->text;
        match->values[match->n_params++] = value;
    }
}

static void add_method(struct sl_buf *out, const char *method)
{
    sl_buf_printf(out, "%s%s", out->len > 0 ? ", " : "", method);
}

/* The methods of every row that matches, each once, in table order. NULL when none does. */
static const char *allowed(const struct sl_router *router, const char *const *segments, size_t n,
                           struct sl_arena *arena)
{
    struct sl_buf out = SL_BUF_INIT(256);
    for (size_t i = 0; i < router->n_rows; i++) {
        const struct compiled *row = &router->rows[i];
        bool seen = !matches(row, segments, n);
        for (size_t k = 0; k < i && !seen; k++) {
            seen = matches(&router->rows[k], segments, n) &&
                   sl_streq(router->rows[k].route->method, row->route->method);
        }
        if (!seen) {
            add_method(&out, row->route->method);
            if (sl_streq(row->route->method, "GET")) {
                add_method(&out, "HEAD");
            }
        }
    }
    const char *text = out.len > 0 ? sl_arena_strdup(arena, sl_buf_str(&out)) : NULL;
    sl_buf_release(&out);
    return text;
}

/* The pattern as a path: parameters take what the request has in their place. */
static const char *as_path(const struct compiled *row, const char *const *segments, size_t n,
                           struct sl_arena *arena)
{
    struct sl_buf out = SL_BUF_INIT(NEAREST_PATH_MAX);
    for (size_t i = 0; i < row->n; i++) {
        bool literal = row->segments[i].kind == SEG_LITERAL;
        sl_buf_printf(&out, "/%s", literal || i >= n ? row->segments[i].text : segments[i]);
    }
    const char *text = sl_arena_strdup(arena, out.overflow ? "" : sl_buf_str(&out));
    sl_buf_release(&out);
    return text;
}

/* The decoded request path in pieces. */
struct asked {
    const char *segments[SL_URL_SEGMENTS_MAX];
    size_t n;
};

static int not_found(const struct sl_router *router, struct sl_str path, const struct asked *asked,
                     struct sl_arena *arena, struct sl_err *err)
{
    const char *near = NULL;
    char *text = sl_arena_strndup(arena, path.ptr, path.len);
    if (path.len <= NEAREST_PATH_MAX) {
        const char **names = SL_ARENA_ARRAY(arena, const char *, router->n_rows + 1);
        for (size_t i = 0; i < router->n_rows; i++) {
            names[i] = as_path(&router->rows[i], asked->segments, asked->n, arena);
        }
        near = sl_nearest(text, names, router->n_rows);
    }
    if (near != NULL && near[0] != '\0') {
        return sl_err_set(err, SL_ENOTFOUND, "no such path '%s'; did you mean '%s'?", text, near);
    }
    return sl_err_set(err, SL_ENOTFOUND, "no such path '%.200s'", text);
}

int sl_router_match(const struct sl_router *router, const char *method, struct sl_str path,
                    struct sl_route_match *match, struct sl_err *err)
{
    struct asked asked = {.n = 0};
    int rc = sl_url_segments(path, match->arena, asked.segments, &asked.n, err);
    if (rc != 0) {
        return rc;
    }
    const struct compiled *best = NULL;
    for (size_t i = 0; i < router->n_rows; i++) {
        const struct compiled *row = &router->rows[i];
        if (answers(row, method) && matches(row, asked.segments, asked.n) &&
            (best == NULL || more_literal(row, best))) {
            best = row;
        }
    }
    if (best != NULL) {
        fill(best, asked.segments, asked.n, match);
        return 0;
    }
    match->allow = allowed(router, asked.segments, asked.n, match->arena);
    if (match->allow != NULL) {
        return sl_err_set(err, SL_EUNSUPPORTED, "method %s is not allowed here, only %s", method,
                          match->allow);
    }
    return not_found(router, path, &asked, match->arena, err);
}
