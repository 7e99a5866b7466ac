/**
 * Parsing of requests, free of sockets: our rules about the head, then llhttp (strict) for head and
 * body. Fuzzed and probed through this header.
 */
#ifndef SL_HTTP_PARSE_H
#define SL_HTTP_PARSE_H

#include <llhttp.h>

#include "core/http/server.h"

#define SL_HTTP_CHUNK_EXT_MAX 256 /* bytes of chunk extensions in one request */

/** Why a request is refused: a status and one line. */
struct sl_http_fault {
    int status; /* 0: none */
    const char *text;
};

struct sl_http_header {
    const char *name, *value; /* NUL-terminated, in the arena */
};

struct sl_http_head {
    const char *method;
    const char *target; /* as sent */
    struct sl_str path, query;
    int minor; /* HTTP/1.minor */
    struct sl_http_header *headers;
    size_t n_headers;
    bool keep_alive, chunked, has_length, expect_continue;
    uint64_t content_length;
};

struct sl_http_parser {
    llhttp_t ll;
    const struct sl_http_limits *limits;
    struct sl_arena *arena;
    struct sl_http_head head;
    struct sl_http_fault fault;
    bool complete; /* the whole message was seen */
    size_t ext_bytes;
    /* spans that are being read */
    const char *name, *value, *url;
    size_t name_len, value_len, url_len;
    /* body pieces; called from inside sl_http_parse_body */
    void (*body)(void *data, const char *bytes, size_t len);
    void *data;
};

/** Fills in defaults for zero fields. */
void sl_http_limits_complete(struct sl_http_limits *limits);

/**
 * Looks for the end of the head and refuses what llhttp would let pass: bare CR or LF, folded lines,
 * control characters, blank lines before the request, too much.
 *
 * @param at  where to go on, 0 at first; kept by the caller between calls with more data
 * @return    length of the head with its empty line; 0: more is needed; -1: fault is set
 */
long sl_http_head_scan(const char *data, size_t len, size_t *at,
                       const struct sl_http_limits *limits, struct sl_http_fault *fault);

void sl_http_parser_init(struct sl_http_parser *p, const struct sl_http_limits *limits,
                         struct sl_arena *arena);

/** Parses a whole head as found by sl_http_head_scan; texts go to the arena.
 * @return 0, or -1 with p->fault set */
int sl_http_parse_head(struct sl_http_parser *p, const char *head, size_t len);

/** Feeds body bytes. @return bytes used (fewer than len only at the message's end), -1 on a fault */
long sl_http_parse_body(struct sl_http_parser *p, const char *data, size_t len);

#endif
