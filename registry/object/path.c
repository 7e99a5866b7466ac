/**
 * Paths inside a version: what may be stored, and how a component is spelled in a git tree.
 *
 * Pure. Thread: any. Must not: resolve anything on disk.
 */
#include "core/base/base.h"

#include "registry/object/name.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool begins_nocase(const char *text, size_t len, const char *word)
{
    size_t n = strlen(word);
    if (len < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (lower(text[i]) != word[i]) {
            return false;
        }
    }
    return true;
}

/* Length of an HFS+-ignorable code point at text, 0 when there is none. */
static size_t ignorable(const unsigned char *p, size_t len)
{
    if (len < 3) {
        return 0;
    }
    /* U+200C..U+200F, U+202A..U+202E, U+206A..U+206F, U+FEFF */
    if (p[0] == 0xe2 && p[1] == 0x80) {
        return (p[2] >= 0x8c && p[2] <= 0x8f) || (p[2] >= 0xaa && p[2] <= 0xae) ? 3 : 0;
    }
    if (p[0] == 0xe2 && p[1] == 0x81) {
        return p[2] >= 0xaa && p[2] <= 0xaf ? 3 : 0;
    }
    return p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf ? 3 : 0;
}

/* ".git" as git itself, NTFS (trailing dots and blanks, git~1, streams) and HFS+ read it. */
static bool is_dotgit(const char *part, size_t len)
{
    char plain[SL_PATH_PART_MAX + 1] = {0};
    size_t n = 0;
    for (size_t i = 0; i < len && n < sizeof(plain);) {
        size_t skip = ignorable((const unsigned char *)part + i, len - i);
        if (skip == 0) {
            plain[n++] = lower(part[i]);
            skip = 1;
        }
        i += skip;
    }
    size_t rest = 0;
    if (begins_nocase(plain, n, ".git")) {
        rest = 4;
    } else if (begins_nocase(plain, n, "git~1")) {
        rest = 5;
    } else {
        return false;
    }
    if (rest < n && (plain[rest] == ':' || plain[rest] == '\\')) {
        return true;
    }
    while (rest < n && (plain[rest] == '.' || plain[rest] == ' ')) {
        rest++;
    }
    return rest == n;
}

static int check_part(const char *part, size_t len, struct sl_err *err)
{
    if (len == 0) {
        return sl_err_set(err, SL_EINVAL, "a path must be relative, without empty components");
    }
    if (len > SL_PATH_PART_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a path component of %zu bytes is over the limit of %d",
                          len, SL_PATH_PART_MAX);
    }
    if ((len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.')) {
        return sl_err_set(err, SL_EINVAL, "a path must not hold '.' or '..'");
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)part[i];
        if (c < 0x20 || c == 0x7f) {
            return sl_err_set(err, SL_EINVAL, "a path must not hold control characters");
        }
    }
    if (is_dotgit(part, len)) {
        return sl_err_set(err, SL_EINVAL, "'%.*s' is a name that git reserves for itself", (int)len,
                          part);
    }
    return 0;
}

int sl_path_check(const char *path, struct sl_err *err)
{
    size_t len = strlen(path);
    if (len > SL_PATH_MAX_BYTES) {
        return sl_err_set(err, SL_ELIMIT, "a path of %zu bytes is over the limit of %d", len,
                          SL_PATH_MAX_BYTES);
    }
    size_t bad = sl_utf8_check(path, len);
    if (bad != len) {
        return sl_err_set(err, SL_EINVAL, "a path must be UTF-8 (byte %zu is not)", bad + 1);
    }
    int depth = 0;
    for (const char *part = path;; depth++) {
        const char *end = strchrnul(part, '/');
        int rc = check_part(part, (size_t)(end - part), err);
        if (rc != 0) {
            return rc;
        }
        if (*end == '\0') {
            break;
        }
        part = end + 1;
    }
    if (depth >= SL_PATH_DEPTH_MAX) {
        return sl_err_set(err, SL_ELIMIT, "a path of %d components is over the limit of %d",
                          depth + 1, SL_PATH_DEPTH_MAX);
    }
    return 0;
}

bool sl_path_link_inside(const char *path, const char *target)
{
    size_t len = strlen(target);
    if (len == 0 || len > SL_PATH_MAX_BYTES || target[0] == '/' ||
        sl_utf8_check(target, len) != len) {
        return false;
    }
    int depth = 0; /* of the directory that the link lies in */
    for (const char *p = path; *p != '\0'; p++) {
        depth += *p == '/' ? 1 : 0;
    }
    for (const char *part = target; *part != '\0';) {
        const char *end = strchrnul(part, '/');
        size_t n = (size_t)(end - part);
        if (n == 2 && part[0] == '.' && part[1] == '.') {
            depth--;
        } else if (is_dotgit(part, n)) {
            return false;
        } else if (n > 0 && !(n == 1 && part[0] == '.')) {
            depth++;
        }
        if (depth < 0) {
            return false;
        }
        part = *end == '\0' ? end : end + 1;
    }
    return true;
}

static bool equals_nocase(const char *part, size_t len, const char *word)
{
    return len == strlen(word) && begins_nocase(part, len, word);
}

void sl_path_part_encode(struct sl_buf *out, const char *part, size_t len)
{
    if (equals_nocase(part, len, ".gitattributes") || equals_nocase(part, len, ".gitmodules") ||
        equals_nocase(part, len, ".lfsconfig")) {
        sl_buf_puts(out, "%2E");
        sl_buf_add(out, part + 1, len - 1);
    } else if (len >= 3 && (memcmp(part, "%2E", 3) == 0 || memcmp(part, "%25", 3) == 0)) {
        sl_buf_puts(out, "%25");
        sl_buf_add(out, part + 1, len - 1);
    } else {
        sl_buf_add(out, part, len);
    }
}

void sl_path_part_decode(struct sl_buf *out, const char *part, size_t len)
{
    bool dot = len >= 3 && memcmp(part, "%2E", 3) == 0;
    bool percent = len >= 3 && memcmp(part, "%25", 3) == 0;
    if (dot || percent) {
        sl_buf_putc(out, dot ? '.' : '%');
        part += 3;
        len -= 3;
    }
    sl_buf_add(out, part, len);
}
