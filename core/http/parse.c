/**
 * Requests from bytes. llhttp in strict mode does the grammar; around it stand the rules that it
 * lacks (RFC 9112): version and Host exactly once, no folding, no bare CR or LF, counted headers,
 * one unambiguous framing, no trailers.
 *
 * Pure but for the arena. Must not: know sockets or time.
 */
#include "core/base/base.h"

#include "core/http/parse.h"

#include <assert.h>
#include <strings.h>

static_assert(LLHTTP_STRICT_MODE == 1, "llhttp must be compiled and included strict");

#define REQUEST_LINE_EXTRA 64 /* method, blanks and version beside the address */
#define LENGTH_DIGITS_MAX  18

static size_t or_default(size_t value, size_t fallback)
{
    return value != 0 ? value : fallback;
}

static int64_t or_default_ms(int64_t value, int64_t fallback)
{
    return value != 0 ? value : fallback;
}

void sl_http_limits_complete(struct sl_http_limits *l)
{
    l->url_bytes_max = or_default(l->url_bytes_max, 8192);
    l->head_bytes_max = or_default(l->head_bytes_max, 32768);
    l->header_count_max = or_default(l->header_count_max, 100);
    l->pipeline_depth_max = or_default(l->pipeline_depth_max, 64);
    l->connections_max = or_default(l->connections_max, 4096);
    l->write_queue_max = or_default(l->write_queue_max, 8u << 20);
    l->head_timeout_ms = or_default_ms(l->head_timeout_ms, 10000);
    l->body_timeout_ms = or_default_ms(l->body_timeout_ms, 30000);
    l->body_rate_min = or_default(l->body_rate_min, 1024);
    l->idle_timeout_ms = or_default_ms(l->idle_timeout_ms, 75000);
    l->write_timeout_ms = or_default_ms(l->write_timeout_ms, 30000);
    l->sse_keepalive_ms = or_default_ms(l->sse_keepalive_ms, 15000);
}

static int refuse(struct sl_http_fault *fault, int status, const char *text)
{
    if (fault->status == 0) {
        *fault = (struct sl_http_fault){status, text};
    }
    return -1;
}

/* ---- the scan ---- */

/* Judges one byte after `previous` and `before_that`; NULL when it may stand there. */
static const char *bad_byte(char c, char previous, char before_that)
{
    if (previous == '\r' && c != '\n') {
        return "bare CR in the request head";
    }
    if (c == '\n' && previous != '\r') {
        return "bare LF in the request head";
    }
    if (((unsigned char)c < 0x20 && c != '\r' && c != '\n' && c != '\t') || c == 0x7f) {
        return "control character in the request head";
    }
    if ((c == ' ' || c == '\t') && previous == '\n' && before_that == '\r') {
        return "folded header line";
    }
    return NULL;
}

long sl_http_head_scan(const char *data, size_t len, size_t *at,
                       const struct sl_http_limits *limits, struct sl_http_fault *fault)
{
    size_t i = *at;
    const char *first_end =
        memchr(data, '\n', SL_MIN(len, limits->url_bytes_max + REQUEST_LINE_EXTRA));
    if (first_end == NULL && len >= limits->url_bytes_max + REQUEST_LINE_EXTRA) {
        return refuse(fault, 414, "the address is too long");
    }
    for (; i < len; i++) {
        char previous = i > 0 ? data[i - 1] : '\0', before_that = i > 1 ? data[i - 2] : '\0';
        if (i == 0 && (data[0] == ' ' || data[0] == '\t')) {
            return refuse(fault, 400, "blank before the request line");
        }
        const char *bad = bad_byte(data[i], previous, before_that);
        if (bad != NULL) {
            return refuse(fault, 400, bad);
        }
        if (i >= limits->head_bytes_max) {
            break;
        }
        if (i == 1 && data[0] == '\r') {
            return refuse(fault, 400, "empty line before the request line");
        }
        if (i >= 3 && memcmp(data + i - 3, "\r\n\r\n", 4) == 0) {
            *at = i + 1;
            return (long)(i + 1);
        }
    }
    *at = i;
    if (i >= limits->head_bytes_max) {
        return refuse(fault, 431, "the request head is too large");
    }
    return 0;
}

/* ---- llhttp's callbacks ---- */

/* Pieces of one span follow each other in the head's buffer; anything else is a parser's surprise. */
static int extend(const char **start, size_t *len, const char *at, size_t n)
{
    if (*start == NULL) {
        *start = at;
    } else if (*start + *len != at) {
        return -1;
    }
    *len += n;
    return 0;
}

static int on_url(llhttp_t *ll, const char *at, size_t n)
{
    struct sl_http_parser *p = ll->data;
    return extend(&p->url, &p->url_len, at, n);
}

static int on_header_field(llhttp_t *ll, const char *at, size_t n)
{
    struct sl_http_parser *p = ll->data;
    if ((ll->flags & F_TRAILING) != 0) {
        return refuse(&p->fault, 400, "trailer fields are not accepted");
    }
    return extend(&p->name, &p->name_len, at, n);
}

static int on_header_value(llhttp_t *ll, const char *at, size_t n)
{
    struct sl_http_parser *p = ll->data;
    return extend(&p->value, &p->value_len, at, n);
}

static int on_header_value_complete(llhttp_t *ll)
{
    struct sl_http_parser *p = ll->data;
    if (p->head.n_headers >= p->limits->header_count_max) {
        return refuse(&p->fault, 431, "too many headers");
    }
    if (p->name_len == 0) {
        return refuse(&p->fault, 400, "header without a name"); /* llhttp lets it pass */
    }
    while (p->value_len > 0 &&
           (p->value[p->value_len - 1] == ' ' || p->value[p->value_len - 1] == '\t')) {
        p->value_len--;
    }
    p->head.headers[p->head.n_headers++] = (struct sl_http_header){
        sl_arena_strndup(p->arena, p->name, p->name_len),
        p->value_len > 0 ? sl_arena_strndup(p->arena, p->value, p->value_len) : ""};
    p->name = p->value = NULL;
    p->name_len = p->value_len = 0;
    return 0;
}

static int on_headers_complete(llhttp_t *ll)
{
    ll->upgrade = 0; /* RFC 9110 7.8: a server may ignore Upgrade, and this one does */
    return 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
    struct sl_http_parser *p = ll->data;
    if (p->body != NULL && p->fault.status == 0) {
        p->body(p->data, at, n);
    }
    return 0;
}

static int on_chunk_extension(llhttp_t *ll, const char *at, size_t n)
{
    (void)at;
    struct sl_http_parser *p = ll->data;
    p->ext_bytes += n + 1;
    if (p->ext_bytes > SL_HTTP_CHUNK_EXT_MAX) {
        return refuse(&p->fault, 400, "too many chunk extensions");
    }
    return 0;
}

static int on_message_complete(llhttp_t *ll)
{
    struct sl_http_parser *p = ll->data;
    p->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_message_complete = on_message_complete,
};

void sl_http_parser_init(struct sl_http_parser *p, const struct sl_http_limits *limits,
                         struct sl_arena *arena)
{
    *p = (struct sl_http_parser){.limits = limits, .arena = arena};
    llhttp_init(&p->ll, HTTP_REQUEST, &settings);
    p->ll.data = p;
}

/* ---- our rules about a parsed head ---- */

/* METHOD SP target SP HTTP/1.x, single blanks, before llhttp is more generous. */
static int check_request_line(struct sl_http_parser *p, const char *head, size_t len)
{
    const char *end = memchr(head, '\r', len);
    SL_ASSERT(end != NULL);
    const char *first = memchr(head, ' ', (size_t)(end - head));
    const char *second = first != NULL ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
    if (second == NULL) {
        return refuse(&p->fault, 400, "the request line lacks its HTTP version");
    }
    if ((size_t)(second - first - 1) > p->limits->url_bytes_max) {
        return refuse(&p->fault, 414, "the address is too long");
    }
    size_t n = (size_t)(end - second - 1);
    if (n != 8 || memcmp(second + 1, "HTTP/", 5) != 0 || second[7] != '.') {
        return refuse(&p->fault, 400, "malformed HTTP version");
    }
    if (second[6] != '1' || (second[8] != '0' && second[8] != '1')) {
        return refuse(&p->fault, 505, "only HTTP versions 1.1 and 1.0 are spoken here");
    }
    return 0;
}

/* The only header of that name; NULL with *ret_n other than 1 otherwise. */
static const char *only(const struct sl_http_head *head, const char *name, size_t *ret_n)
{
    const char *value = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < head->n_headers; i++) {
        if (strcasecmp(head->headers[i].name, name) == 0) {
            value = head->headers[i].value;
            (*ret_n)++;
        }
    }
    return *ret_n == 1 ? value : NULL;
}

static int check_host(struct sl_http_parser *p)
{
    size_t n = 0;
    const char *host = only(&p->head, "host", &n);
    if (n != 1) {
        return refuse(&p->fault, 400,
                      n == 0 ? "the Host header is missing" : "more than one Host header");
    }
    size_t len = strlen(host);
    /* uri-host [":" port], RFC 3986: letters, digits and these, brackets for IPv6. */
    if (len == 0 || len > 255 ||
        strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                     "-._~!$&'()*+;=%:[]") != len) {
        return refuse(&p->fault, 400, "malformed Host header");
    }
    return 0;
}

/* Exactly one way to tell where the body ends: one Content-Length of digits, or chunked. */
static int check_framing(struct sl_http_parser *p)
{
    struct sl_http_head *head = &p->head;
    size_t n_length = 0, n_coding = 0;
    const char *length = only(head, "content-length", &n_length);
    const char *coding = only(head, "transfer-encoding", &n_coding);
    if (n_length > 1 || n_coding > 1 || (n_length > 0 && n_coding > 0)) {
        return refuse(&p->fault, 400, "ambiguous body length");
    }
    if (coding != NULL) {
        if (head->minor == 0) {
            return refuse(&p->fault, 400, "Transfer-Encoding in an HTTP/1.0 request");
        }
        if (strcasecmp(coding, "chunked") != 0) {
            return refuse(&p->fault, 501, "only the transfer coding 'chunked' is known");
        }
        head->chunked = true;
    }
    if (length != NULL) {
        size_t digits = strspn(length, "0123456789");
        if (digits == 0 || length[digits] != '\0' || digits > LENGTH_DIGITS_MAX) {
            return refuse(&p->fault, 400, "malformed Content-Length");
        }
        head->has_length = true;
        for (size_t i = 0; i < digits; i++) {
            head->content_length = head->content_length * 10 + (uint64_t)(length[i] - '0');
        }
    }
    /* What llhttp will do must be what the headers say. */
    if (p->complete == (head->chunked || head->content_length > 0)) {
        return refuse(&p->fault, 400, "ambiguous body length");
    }
    return 0;
}

/* Whether a comma-separated list has the token, in any case. */
static bool has_token(const char *list, const char *token)
{
    size_t len = strlen(token);
    while (*list != '\0') {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, " \t,");
        if (n == len && strncasecmp(list, token, n) == 0) {
            return true;
        }
        list += n;
    }
    return false;
}

/* RFC 9112 9.3. The flags of llhttp forget "close" when another option follows. */
static void judge_keep_alive(struct sl_http_head *head)
{
    head->keep_alive = head->minor == 1;
    for (size_t i = 0; i < head->n_headers; i++) {
        if (strcasecmp(head->headers[i].name, "connection") == 0 &&
            has_token(head->headers[i].value, "close")) {
            head->keep_alive = false;
        }
    }
}

static int check_expect(struct sl_http_parser *p)
{
    size_t n = 0;
    const char *expect = only(&p->head, "expect", &n);
    if (n == 0 || p->head.minor == 0) {
        return 0;
    }
    if (expect == NULL || strcasecmp(expect, "100-continue") != 0) {
        return refuse(&p->fault, 417, "only the expectation 100-continue can be met");
    }
    p->head.expect_continue = true;
    return 0;
}

static int check_target(struct sl_http_parser *p, const char *target, size_t len)
{
    if (len == 0 || target[0] != '/') {
        return refuse(&p->fault, 400, "the address must begin with '/'");
    }
    if (memchr(target, '#', len) != NULL) {
        return refuse(&p->fault, 400, "the address has a fragment");
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)target[i] <= 0x20 || (unsigned char)target[i] >= 0x7f) {
            return refuse(&p->fault, 400, "the address must be percent-encoded ASCII");
        }
    }
    p->head.target = sl_arena_strndup(p->arena, target, len);
    const char *mark = memchr(p->head.target, '?', len);
    size_t path_len = mark != NULL ? (size_t)(mark - p->head.target) : len;
    p->head.path = (struct sl_str){p->head.target, path_len};
    if (mark != NULL) {
        p->head.query = (struct sl_str){mark + 1, len - path_len - 1};
    }
    return 0;
}

int sl_http_parse_head(struct sl_http_parser *p, const char *head, size_t len)
{
    p->head.headers = SL_ARENA_ARRAY(p->arena, struct sl_http_header, p->limits->header_count_max);
    if (check_request_line(p, head, len) != 0) {
        return -1;
    }
    llhttp_errno_t status = llhttp_execute(&p->ll, head, len);
    if (status != HPE_OK && !(status == HPE_PAUSED && p->complete)) {
        return refuse(&p->fault, 400, "malformed request head");
    }
    if (p->url == NULL) {
        return refuse(&p->fault, 400, "malformed request head");
    }
    p->head.method = llhttp_method_name((llhttp_method_t)p->ll.method);
    p->head.minor = p->ll.http_minor;
    judge_keep_alive(&p->head);
    int rc = check_target(p, p->url, p->url_len);
    rc = rc != 0 ? rc : check_host(p);
    rc = rc != 0 ? rc : check_framing(p);
    return rc != 0 ? rc : check_expect(p);
}

long sl_http_parse_body(struct sl_http_parser *p, const char *data, size_t len)
{
    SL_ASSERT(!p->complete);
    llhttp_errno_t status = llhttp_execute(&p->ll, data, len);
    if (p->fault.status != 0) {
        return -1;
    }
    if (status == HPE_OK) {
        return (long)len;
    }
    if (status == HPE_PAUSED && p->complete) {
        return (long)(llhttp_get_error_pos(&p->ll) - data);
    }
    return refuse(&p->fault, 400, "malformed request body");
}
