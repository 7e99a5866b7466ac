/**
 * Percent-decoding of paths and queries. Pure. Must not: decode twice, or let NUL, control
 * characters or invalid UTF-8 through.
 */
#include "core/base/base.h"

#include "core/http/url.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int sl_url_decode(struct sl_str text, bool plus_is_blank, struct sl_arena *arena,
                  const char **ret_text, struct sl_err *err)
{
    char *out = sl_arena_alloc(arena, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 1 < text.len ? hex_value(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return sl_err_set(err, SL_EINVAL, "broken percent escape at byte %zu", i + 1);
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        if (c == '\0') {
            return sl_err_set(err, SL_EINVAL, "NUL in the address");
        }
        out[n++] = c;
    }
    out[n] = '\0';
    if (sl_utf8_check(out, n) != n) {
        return sl_err_set(err, SL_EINVAL, "the address is not valid UTF-8");
    }
    *ret_text = out;
    return 0;
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

int sl_url_segments(struct sl_str path, struct sl_arena *arena, const char **ret_segments,
                    size_t *ret_n, struct sl_err *err)
{
    if (path.len == 0 || path.ptr[0] != '/') {
        return sl_err_set(err, SL_EINVAL, "the path must begin with '/'");
    }
    size_t n = 0, at = 1;
    while (path.len > 1 && at <= path.len) {
        const char *slash = at < path.len ? memchr(path.ptr + at, '/', path.len - at) : NULL;
        size_t end = slash != NULL ? (size_t)(slash - path.ptr) : path.len;
        if (end == at) {
            return sl_err_set(err, SL_EINVAL, "empty segment in the path");
        }
        if (n == SL_URL_SEGMENTS_MAX) {
            return sl_err_set(err, SL_EINVAL, "more than %d segments in the path",
                              SL_URL_SEGMENTS_MAX);
        }
        const char *text = NULL;
        int rc = sl_url_decode((struct sl_str){path.ptr + at, end - at}, false, arena, &text, err);
        if (rc != 0) {
            return rc;
        }
        if (sl_streq(text, ".") || sl_streq(text, "..")) {
            return sl_err_set(err, SL_EINVAL, "'%s' in the path", text);
        }
        if (has_control(text)) {
            return sl_err_set(err, SL_EINVAL, "control character in the path");
        }
        ret_segments[n++] = text;
        at = end + 1;
    }
    *ret_n = n;
    return 0;
}

int sl_url_query(struct sl_str query, struct sl_arena *arena, struct sl_url_query *ret_query,
                 struct sl_err *err)
{
    struct sl_url_pair *items = NULL;
    size_t n = 0, at = 0;
    while (at < query.len) {
        const char *amp = memchr(query.ptr + at, '&', query.len - at);
        size_t end = amp != NULL ? (size_t)(amp - query.ptr) : query.len;
        if (end > at) {
            if (items == NULL) {
                items = SL_ARENA_ARRAY(arena, struct sl_url_pair, SL_URL_QUERY_MAX);
            }
            if (n == SL_URL_QUERY_MAX) {
                return sl_err_set(err, SL_EINVAL, "more than %d query parameters",
                                  SL_URL_QUERY_MAX);
            }
            const char *eq = memchr(query.ptr + at, '=', end - at);
            size_t key_end = eq != NULL ? (size_t)(eq - query.ptr) : end;
            size_t value_at = eq != NULL ? key_end + 1 : end;
            struct sl_str key = {query.ptr + at, key_end - at};
            struct sl_str value = {query.ptr + value_at, end - value_at};
            int rc = sl_url_decode(key, true, arena, &items[n].key, err);
            rc = rc != 0 ? rc : sl_url_decode(value, true, arena, &items[n].value, err);
            if (rc != 0) {
                return rc;
            }
            n++;
        }
        at = end + 1;
    }
    *ret_query = (struct sl_url_query){items, n};
    return 0;
}

void sl_url_encode(struct sl_buf *out, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || strchr("-._~", c) != NULL;
        if (unreserved) {
            sl_buf_putc(out, (char)c);
        } else {
            sl_buf_putc(out, '%');
            sl_buf_putc(out, digits[c >> 4]);
            sl_buf_putc(out, digits[c & 15]);
        }
    }
}
