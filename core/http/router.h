/**
 * Routes as a table, and the matching of request targets against it.
 *
 * Pure. Thread: any, the router is immutable. Must not: decode anything twice.
 */
#ifndef SL_HTTP_ROUTER_H
#define SL_HTTP_ROUTER_H

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#define SL_ROUTE_SEGMENTS_MAX 32
#define SL_ROUTES_MAX         1024

struct sl_req;

enum sl_route_flag {
    SL_ROUTE_STREAM_BODY = 1, /* the handler reads the body itself (sl_req_read) */
};

/** One endpoint. Pattern: "/api/v1/runs/{id}", "/files/{path...}" (the rest, at least one segment).
 * Literal segments win over parameters. GET routes answer HEAD too. */
struct sl_route {
    const char *method; /* upper case */
    const char *pattern;
    void (*handler)(struct sl_req *req);
    const char *permission; /* for the authorize hook and the docs; NULL: none */
    size_t body_max;        /* bytes; 0: no body allowed */
    unsigned flags;
    const char *summary; /* one line for help and OpenAPI */
};

struct sl_router;

/** Compiles the table; malformed or clashing rows are asserted. Owner: caller. */
struct sl_router *sl_router_new(const struct sl_route *routes, size_t n_routes);
void sl_router_free(struct sl_router *router);

struct sl_route_match {
    const struct sl_route *route;
    const char *names[SL_ROUTE_SEGMENTS_MAX];  /* of the parameters */
    const char *values[SL_ROUTE_SEGMENTS_MAX]; /* decoded, in the arena */
    size_t n_params;
    const char *allow;      /* with -SL_EUNSUPPORTED: the methods there are, "GET, HEAD, POST" */
    struct sl_arena *arena; /* set by the caller; owns the texts */
};

/**
 * Finds the route of a path (raw, as sent, without query).
 *
 * @param match  its arena set; filled
 * @return 0; -SL_EINVAL for a malformed path; -SL_ENOTFOUND, message with the nearest path;
 *         -SL_EUNSUPPORTED when only other methods match (match->allow names them)
 */
int sl_router_match(const struct sl_router *router, const char *method, struct sl_str path,
                    struct sl_route_match *match, struct sl_err *err) SL_MUST_CHECK;

#endif
