/* Signature Version 4; see sigv4.h. Thread: any. Must not: read a clock. */
#include "core/base/base.h"

#include "core/http/sigv4.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/time.h"

#define TEXT_MAX 65536

struct pair {
    const char *name, *value; /* not NUL-terminated when from the query */
    size_t name_len, value_len;
};

char *sl_sigv4_date(int64_t unix_ms, char out[SL_SIGV4_DATE])
{
    char text[SL_TIME_TEXT];
    size_t n = 0;
    for (const char *p = sl_time_format(unix_ms, text); *p != '\0' && *p != '.'; p++) {
        if (*p != '-' && *p != ':' && n < SL_SIGV4_DATE - 2) {
            out[n++] = *p;
        }
    }
    out[n++] = 'Z';
    out[n] = '\0';
    return out;
}

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t n = SL_MIN(a_len, b_len);
    int c = n > 0 ? memcmp(a, b, n) : 0;
    return c != 0 ? c : a_len < b_len ? -1 : a_len > b_len ? 1 : 0;
}

static int compare_pairs(const void *left, const void *right)
{
    const struct pair *a = left;
    const struct pair *b = right;
    int c = compare_bytes(a->name, a->name_len, b->name, b->name_len);
    return c != 0 ? c : compare_bytes(a->value, a->value_len, b->value, b->value_len);
}

static int add_query(const char *query, struct sl_buf *out, struct sl_err *err)
{
    struct pair pairs[SL_SIGV4_PAIRS_MAX];
    size_t n = 0;
    for (const char *at = query; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, "&");
        const char *eq = memchr(at, '=', len);
        if (n == SL_SIGV4_PAIRS_MAX) {
            return sl_err_set(err, SL_ELIMIT, "more than %d query parts to sign",
                              SL_SIGV4_PAIRS_MAX);
        }
        size_t name_len = eq != NULL ? (size_t)(eq - at) : len;
        pairs[n++] = (struct pair){at, eq != NULL ? eq + 1 : at + len, name_len,
                                   eq != NULL ? len - name_len - 1 : 0};
        at += len + (at[len] == '&' ? 1 : 0);
    }
    qsort(pairs, n, sizeof(pairs[0]), compare_pairs);
    for (size_t i = 0; i < n; i++) {
        sl_buf_add(out, i > 0 ? "&" : "", i > 0 ? 1 : 0);
        sl_buf_add(out, pairs[i].name, pairs[i].name_len);
        sl_buf_putc(out, '=');
        sl_buf_add(out, pairs[i].value, pairs[i].value_len);
    }
    return 0;
}

static int compare_headers(const void *left, const void *right)
{
    return strcasecmp(((const struct pair *)left)->name, ((const struct pair *)right)->name);
}

static void add_lower(struct sl_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        sl_buf_putc(out, (char)tolower((unsigned char)*text));
    }
}

/* Without blanks around, runs of blanks as one. */
static void add_trimmed(struct sl_buf *out, const char *text)
{
    text += strspn(text, " \t");
    for (; *text != '\0'; text++) {
        if (*text != ' ' && *text != '\t') {
            sl_buf_putc(out, *text);
        } else if (text[1 + strspn(text + 1, " \t")] == '\0') {
            return;
        } else if (text[1] != ' ' && text[1] != '\t') {
            sl_buf_putc(out, ' ');
        }
    }
}

static int add_headers(const char *const *headers, struct sl_buf *out, struct sl_buf *names,
                       struct sl_err *err)
{
    struct pair pairs[SL_SIGV4_HEADERS_MAX];
    size_t n = 0;
    bool host = false;
    for (const char *const *h = headers; *h != NULL; h += 2) {
        if (n == SL_SIGV4_HEADERS_MAX) {
            return sl_err_set(err, SL_ELIMIT, "more than %d headers to sign", SL_SIGV4_HEADERS_MAX);
        }
        host = host || strcasecmp(h[0], "host") == 0;
        pairs[n++] = (struct pair){.name = h[0], .value = h[1]};
    }
    if (!host) {
        return sl_err_set(err, SL_EINVAL, "a signature covers the header Host");
    }
    qsort(pairs, n, sizeof(pairs[0]), compare_headers);
    for (size_t i = 0; i < n; i++) {
        add_lower(out, pairs[i].name);
        sl_buf_putc(out, ':');
        add_trimmed(out, pairs[i].value);
        sl_buf_putc(out, '\n');
        sl_buf_add(names, ";", i > 0 ? 1 : 0);
        add_lower(names, pairs[i].name);
    }
    return 0;
}

static void mac_text(const struct sl_digest *key, const char *text, struct sl_digest *ret)
{
    sl_hmac_sha256(key->b, sizeof(key->b), text, strlen(text), ret);
}

static void signing_key(const struct sl_aws *aws, const char *day, struct sl_digest *ret)
{
    _cleanup_(free)
    char *first = sl_asprintf("AWS4%s", aws->secret_key);
    struct sl_digest a;
    struct sl_digest b;
    sl_hmac_sha256(first, strlen(first), day, strlen(day), &a);
    mac_text(&a, aws->region, &b);
    mac_text(&b, aws->service, &a);
    mac_text(&a, "aws4_request", ret);
    explicit_bzero(first, strlen(first));
}

int sl_sigv4_sign(const struct sl_aws *aws, const struct sl_sigv4_request *r, struct sl_buf *out,
                  struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf canonical = SL_BUF_INIT(TEXT_MAX);
    _cleanup_(buf)
    struct sl_buf names = SL_BUF_INIT(TEXT_MAX);
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(TEXT_MAX);
    struct sl_digest digest;
    struct sl_digest key;
    char hex[SL_DIGEST_HEX + 1];
    char day[9];
    (void)snprintf(day, sizeof(day), "%.8s", r->amz_date);
    sl_buf_printf(&canonical, "%s\n%s\n", r->method, r->path);
    int rc = add_query(r->query, &canonical, err);
    sl_buf_putc(&canonical, '\n');
    rc = rc < 0 ? rc : add_headers(r->headers, &canonical, &names, err);
    if (rc < 0) {
        return rc;
    }
    sl_buf_printf(&canonical, "\n%s\n%s", sl_buf_str(&names), r->payload_hash);
    sl_sha256(sl_buf_str(&canonical), canonical.len, &digest);
    sl_buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", r->amz_date, day,
                  aws->region, aws->service, sl_digest_hex(&digest, hex));
    if (canonical.overflow || text.overflow) {
        return sl_err_set(err, SL_ELIMIT, "the request to sign is longer than %d bytes", TEXT_MAX);
    }
    signing_key(aws, day, &key);
    mac_text(&key, sl_buf_str(&text), &digest);
    sl_buf_printf(out,
                  "AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request,SignedHeaders=%s,"
                  "Signature=%s",
                  aws->access_key, day, aws->region, aws->service, sl_buf_str(&names),
                  sl_digest_hex(&digest, hex));
    explicit_bzero(&key, sizeof(key));
    return 0;
}
