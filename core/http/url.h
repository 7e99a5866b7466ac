/**
 * Request targets: percent-decoding, path segments and query pairs, once and strictly.
 *
 * Pure. Thread: any. Source: RFC 3986; '+' means a blank in queries (WHATWG URL, form encoding).
 */
#ifndef SL_HTTP_URL_H
#define SL_HTTP_URL_H

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#define SL_URL_SEGMENTS_MAX 64
#define SL_URL_QUERY_MAX    100 /* pairs */

struct sl_url_pair {
    const char *key, *value; /* decoded, NUL-terminated, valid UTF-8 without NUL */
};

struct sl_url_query {
    struct sl_url_pair *items; /* in the arena */
    size_t n;
};

/**
 * Decodes one path segment or query part.
 *
 * @return 0; -SL_EINVAL for a broken escape, NUL, other control characters, invalid UTF-8
 */
int sl_url_decode(struct sl_str text, bool plus_is_blank, struct sl_arena *arena,
                  const char **ret_text, struct sl_err *err) SL_MUST_CHECK;

/**
 * Splits an absolute path into decoded segments ("/" has none). Refuses empty segments, "." and
 * ".." however they are spelled. An encoded slash stays inside its segment.
 *
 * @param ret_segments  room for SL_URL_SEGMENTS_MAX
 */
int sl_url_segments(struct sl_str path, struct sl_arena *arena, const char **ret_segments,
                    size_t *ret_n, struct sl_err *err) SL_MUST_CHECK;

/** Splits a query ("a=1&b", without '?'); a key without '=' has value "". */
int sl_url_query(struct sl_str query, struct sl_arena *arena, struct sl_url_query *ret_query,
                 struct sl_err *err) SL_MUST_CHECK;

/** Appends `text` so encoded that it is one segment or query part (only unreserved stay). */
void sl_url_encode(struct sl_buf *out, const char *text);

#endif
