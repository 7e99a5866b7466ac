/**
 * The canonical text of a manifest: RFC 8785 JSON, written and read in one form only.
 *
 * Pure. Must not: accept another spelling of the same facts, or two digests could name one content.
 */
#include "core/base/base.h"

#include "registry/object/manifest.h"

#include "registry/object/manifest_priv.h"
#include "registry/object/name.h"

static const char *const type_names[] = {
    [SL_ENTRY_FILE] = "file", [SL_ENTRY_SYMLINK] = "symlink", [SL_ENTRY_DIR] = "dir"};

/* RFC 8785 section 3.2.2.2; paths hold no control characters, targets may. */
static void write_string(struct sl_buf *out, const char *text)
{
    sl_buf_putc(out, '"');
    const char *run = text;
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        sl_buf_add(out, run, (size_t)(p - run));
        run = p + 1;
        static const char shorts[] = "\b\t\n\f\r\"\\";
        const char *found = strchr(shorts, c);
        if (found != NULL) {
            sl_buf_putc(out, '\\');
            sl_buf_putc(out, "btnfr\"\\"[found - shorts]);
        } else {
            sl_buf_printf(out, "\\u%04x", c);
        }
    }
    sl_buf_puts(out, run);
    sl_buf_putc(out, '"');
}

int manifest_write(const struct sl_manifest *m, struct sl_buf *out, struct sl_err *err)
{
    sl_buf_puts(out, "{\"entries\":[");
    for (size_t i = 0; i < m->entries.n; i++) {
        const struct sl_manifest_entry *e = &m->entries.items[i];
        char hex[SL_DIGEST_HEX + 1];
        sl_buf_printf(out, "%s{\"mode\":\"%o\",\"path\":", i == 0 ? "" : ",", e->mode);
        write_string(out, e->path);
        if (e->type != SL_ENTRY_DIR) {
            sl_buf_printf(out, ",\"sha256\":\"%s\",\"size\":%llu", sl_digest_hex(&e->sha256, hex),
                          (unsigned long long)e->size_bytes);
        }
        if (e->type == SL_ENTRY_SYMLINK) {
            sl_buf_puts(out, ",\"target\":");
            write_string(out, e->target);
        }
        sl_buf_printf(out, ",\"type\":\"%s\"}", type_names[e->type]);
    }
    sl_buf_puts(out, "],\"format\":\"" MANIFEST_FORMAT "\"}");
    return out->overflow ? sl_err_set(err, SL_ELIMIT, "the manifest is over its limit of bytes")
                         : 0;
}

int sl_manifest_encode(const struct sl_manifest *m, struct sl_buf *out, struct sl_err *err)
{
    SL_ASSERT(m->sealed);
    return manifest_write(m, out, err);
}

struct reader {
    const char *text;
    size_t len, at;
    struct sl_buf path, target;
};

static int bad(const struct reader *r, struct sl_err *err)
{
    return sl_err_set(err, SL_ECORRUPT, "not a canonical manifest at byte %zu", r->at + 1);
}

static bool skip(struct reader *r, const char *literal)
{
    size_t n = strlen(literal);
    if (r->len - r->at < n || memcmp(r->text + r->at, literal, n) != 0) {
        return false;
    }
    r->at += n;
    return true;
}

/* One escape after the backslash; only what write_string writes. */
static bool read_escape(struct reader *r, struct sl_buf *out)
{
    static const char from[] = "btnfr\"\\";
    const char *found =
        r->at < r->len && r->text[r->at] != '\0' ? strchr(from, r->text[r->at]) : NULL;
    if (found != NULL) {
        sl_buf_putc(out, "\b\t\n\f\r\"\\"[found - from]);
        r->at++;
        return true;
    }
    if (!skip(r, "u00") || r->len - r->at < 2) {
        return false;
    }
    int value = 0;
    for (int i = 0; i < 2; i++) {
        char c = r->text[r->at++];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) {
            return false;
        }
        value = value * 16 + digit;
    }
    sl_buf_putc(out, (char)value);
    return value != 0;
}

static bool read_string(struct reader *r, struct sl_buf *out)
{
    sl_buf_clear(out);
    if (!skip(r, "\"")) {
        return false;
    }
    while (r->at < r->len) {
        char c = r->text[r->at++];
        if (c == '"') {
            return !out->overflow;
        }
        if (c == '\0' || (c == '\\' && !read_escape(r, out))) {
            return false;
        }
        if (c != '\\') {
            sl_buf_putc(out, c);
        }
    }
    return false;
}

static bool read_digest(struct reader *r, struct sl_digest *ret)
{
    char hex[SL_DIGEST_HEX + 1];
    if (r->len - r->at < SL_DIGEST_HEX) {
        return false;
    }
    memcpy(hex, r->text + r->at, SL_DIGEST_HEX);
    hex[SL_DIGEST_HEX] = '\0';
    r->at += SL_DIGEST_HEX;
    return sl_digest_parse(hex, ret);
}

static bool read_size(struct reader *r, uint64_t *ret)
{
    uint64_t value = 0;
    size_t start = r->at;
    while (r->at < r->len && r->text[r->at] >= '0' && r->text[r->at] <= '9') {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(r->text[r->at] - '0'), &value)) {
            return false;
        }
        r->at++;
    }
    *ret = value;
    return r->at > start;
}

static int read_entry(struct reader *r, struct sl_manifest *m, struct sl_err *err)
{
    struct sl_digest sha256 = {{0}};
    uint64_t size = 0;
    bool executable = false;
    bool file = skip(r, "{\"mode\":\"644\",\"path\":");
    if (!file) {
        file = executable = skip(r, "{\"mode\":\"755\",\"path\":");
    }
    bool link = !file && skip(r, "{\"mode\":\"777\",\"path\":");
    if ((!file && !link) || !read_string(r, &r->path)) {
        return bad(r, err);
    }
    const char *path = sl_buf_str(&r->path);
    if (executable && skip(r, ",\"type\":\"dir\"}")) {
        return sl_manifest_add_dir(m, path, err);
    }
    if (!skip(r, ",\"sha256\":\"") || !read_digest(r, &sha256) || !skip(r, "\",\"size\":") ||
        !read_size(r, &size)) {
        return bad(r, err);
    }
    if (file) {
        return skip(r, ",\"type\":\"file\"}")
                   ? sl_manifest_add_file(m, path, executable ? 0755 : 0644, size, &sha256, err)
                   : bad(r, err);
    }
    if (!skip(r, ",\"target\":") || !read_string(r, &r->target) ||
        !skip(r, ",\"type\":\"symlink\"}")) {
        return bad(r, err);
    }
    return sl_manifest_add_symlink(m, path, sl_buf_str(&r->target), err);
}

static int read_all(struct reader *r, struct sl_manifest *m, struct sl_err *err)
{
    if (!skip(r, "{\"entries\":[")) {
        return bad(r, err);
    }
    bool more = !skip(r, "],\"format\":\"" MANIFEST_FORMAT "\"}");
    while (more) {
        int rc = read_entry(r, m, err);
        if (rc != 0) {
            return rc;
        }
        more = skip(r, ",");
        if (!more && !skip(r, "],\"format\":\"" MANIFEST_FORMAT "\"}")) {
            return bad(r, err);
        }
    }
    return r->at == r->len ? 0 : bad(r, err);
}

int sl_manifest_decode(const char *text, size_t len, struct sl_manifest *m, struct sl_err *err)
{
    if (len > SL_MANIFEST_BYTES_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a manifest of %zu bytes is over the limit", len);
    }
    struct reader r = {.text = text,
                       .len = len,
                       .path = SL_BUF_INIT(SL_PATH_MAX_BYTES),
                       .target = SL_BUF_INIT(SL_PATH_MAX_BYTES)};
    struct sl_err inner = SL_ERR_INIT;
    int rc = read_all(&r, m, &inner);
    if (rc == 0) {
        rc = sl_manifest_seal(m, &inner);
    }
    sl_buf_release(&r.path);
    sl_buf_release(&r.target);
    if (rc != 0) { /* bad paths and duplicates are damage here */
        return sl_err_set(err, rc == -SL_EINVAL ? SL_ECORRUPT : -rc, "%s", inner.msg);
    }
    /* What was read differently from how it is written (order, numbers, escapes) shows here. */
    struct sl_digest digest;
    sl_sha256(text, len, &digest);
    return sl_digest_eq(&digest, &m->digest)
               ? 0
               : sl_err_set(err, SL_ECORRUPT,
                            "not a canonical manifest: another order or spelling");
}
