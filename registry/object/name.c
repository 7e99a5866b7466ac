/**
 * Kinds, entity names, aliases and reference texts, and their reversible form inside git references.
 *
 * Pure. Thread: any. Must not: look anything up.
 */
#include "core/base/base.h"

#include "registry/object/name.h"

#include <stdio.h>

static const struct {
    const char *name, *ref;
} kinds[SL_KIND_COUNT] = {
    [SL_KIND_DATASET] = {"dataset", "ds"},
    [SL_KIND_MODEL] = {"model", "model"},
    [SL_KIND_ARTIFACT] = {"artifact", "art"},
};

const char *sl_kind_name(enum sl_kind kind)
{
    SL_ASSERT((unsigned)kind < SL_KIND_COUNT);
    return kinds[kind].name;
}

const char *sl_kind_ref(enum sl_kind kind)
{
    SL_ASSERT((unsigned)kind < SL_KIND_COUNT);
    return kinds[kind].ref;
}

bool sl_kind_parse(const char *text, enum sl_kind *ret)
{
    for (unsigned i = 0; i < SL_KIND_COUNT; i++) {
        if (sl_streq(text, kinds[i].name) || sl_streq(text, kinds[i].ref)) {
            *ret = (enum sl_kind)i;
            return true;
        }
    }
    return false;
}

int sl_name_check(const char *name, struct sl_err *err)
{
    size_t len = name != NULL ? strlen(name) : 0;
    if (len == 0) {
        return sl_err_set(err, SL_EINVAL, "a name must not be empty");
    }
    if (len > SL_NAME_MAX) {
        return sl_err_set(err, SL_EINVAL, "a name must have at most %d bytes, this one has %zu",
                          SL_NAME_MAX, len);
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f) {
            return sl_err_set(err, SL_EINVAL, "a name must not hold control characters (byte %zu)",
                              i + 1);
        }
        if (c == '/' || c == ':') {
            return sl_err_set(err, SL_EINVAL, "name '%s' must not hold '%c'", name, c);
        }
    }
    if (sl_utf8_check(name, len) != len) {
        return sl_err_set(err, SL_EINVAL, "a name must be UTF-8");
    }
    return 0;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* v followed by digits, in any case. */
static bool looks_like_number(const char *text)
{
    if ((text[0] != 'v' && text[0] != 'V') || text[1] == '\0') {
        return false;
    }
    for (const char *p = text + 1; *p != '\0'; p++) {
        if (!is_digit(*p)) {
            return false;
        }
    }
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool equal_nocase(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

int sl_alias_check(const char *alias, struct sl_err *err)
{
    size_t len = alias != NULL ? strlen(alias) : 0;
    if (len == 0 || len > SL_NAME_MAX) {
        return sl_err_set(err, SL_EINVAL, "an alias must have 1 to %d bytes, this one has %zu",
                          SL_NAME_MAX, len);
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_word(alias[i])) {
            return sl_err_set(err, SL_EINVAL,
                              "alias '%s' may hold letters, digits, '_' and '-' only", alias);
        }
    }
    if (equal_nocase(alias, "latest")) {
        return sl_err_set(err, SL_EINVAL,
                          "alias 'latest' is reserved: it is always the newest version");
    }
    if (looks_like_number(alias)) {
        return sl_err_set(err, SL_EINVAL, "alias '%s' is reserved: it names a version number",
                          alias);
    }
    return 0;
}

/* Dots that git refuses or treats specially: first, last, doubled, or of a final ".lock". */
static bool dot_is_plain(const char *name, size_t at, size_t len)
{
    return at > 0 && at + 1 < len && name[at - 1] != '.' && !sl_streq(name + at, ".lock");
}

char *sl_name_encode(const char *name, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = strlen(name);
    SL_ASSERT(len <= SL_NAME_MAX);
    size_t n = 0;
    size_t part = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        char unit[4] = {(char)c, '\0', '\0', '\0'};
        /* No part may begin with a dot, also not after a cut. */
        bool plain = is_word((char)c) || (c == '.' && dot_is_plain(name, i, len) && part > 0 &&
                                          part + 1 < SL_REF_PART_MAX);
        if (!plain) {
            unit[0] = '%';
            unit[1] = hex[c >> 4];
            unit[2] = hex[c & 15];
        }
        size_t unit_len = plain ? 1 : 3;
        if (part + unit_len > SL_REF_PART_MAX - 1) {
            memcpy(out + n, "%/", 2);
            n += 2;
            part = 0;
        }
        memcpy(out + n, unit, unit_len);
        n += unit_len;
        part += unit_len;
    }
    out[n] = '\0';
    return out;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool sl_name_decode(const char *encoded, char *out)
{
    char name[SL_NAME_MAX + 1];
    size_t n = 0;
    for (const char *p = encoded; *p != '\0';) {
        if (p[0] == '%' && p[1] == '/') {
            p += 2;
            continue;
        }
        if (n == SL_NAME_MAX) {
            return false;
        }
        if (*p != '%') {
            name[n++] = *p++;
            continue;
        }
        int high = hex_value(p[1]);
        int low = high < 0 ? -1 : hex_value(p[2]);
        if (low < 0) {
            return false;
        }
        name[n++] = (char)(high * 16 + low);
        p += 3;
    }
    name[n] = '\0';
    /* One name, one encoding: what would be written differently is not ours. */
    char again[SL_REF_MAX];
    if (sl_name_check(name, NULL) != 0 || !sl_streq(sl_name_encode(name, again), encoded)) {
        return false;
    }
    memcpy(out, name, n + 1);
    return true;
}

static int parse_digest(const char *hex, struct sl_ref_text *ref, const char *text,
                        struct sl_err *err)
{
    size_t len = strlen(hex);
    bool ok = len >= SL_VERSION_HEX_MIN && len <= SL_DIGEST_HEX;
    for (size_t i = 0; ok && i < len; i++) {
        ok = is_digit(hex[i]) || (hex[i] >= 'a' && hex[i] <= 'f');
    }
    if (!ok) {
        return sl_err_set(err, SL_EINVAL, "'%s': sha256: takes %d to %d lowercase hex digits", text,
                          SL_VERSION_HEX_MIN, SL_DIGEST_HEX);
    }
    memcpy(ref->hex, hex, len + 1);
    ref->select = SL_SELECT_DIGEST;
    return 0;
}

static int parse_selector(const char *selector, struct sl_ref_text *ref, const char *text,
                          struct sl_err *err)
{
    if (sl_starts_with(selector, "sha256:")) {
        return parse_digest(selector + 7, ref, text, err);
    }
    if (sl_streq(selector, "latest")) {
        ref->select = SL_SELECT_LATEST;
        return 0;
    }
    if (looks_like_number(selector) && selector[0] == 'v') {
        if (!sl_parse_i64(selector + 1, &ref->number) || ref->number < 1 || selector[1] == '0') {
            return sl_err_set(err, SL_EINVAL, "'%s': version numbers count from v1", text);
        }
        ref->select = SL_SELECT_NUMBER;
        return 0;
    }
    int rc = sl_alias_check(selector, err);
    if (rc != 0) {
        return sl_err_wrap(err, "'%s'", text);
    }
    (void)snprintf(ref->alias, sizeof(ref->alias), "%s", selector);
    ref->select = SL_SELECT_ALIAS;
    return 0;
}

int sl_ref_parse(const char *text, struct sl_ref_text *ret, struct sl_err *err)
{
    struct sl_ref_text ref = {.select = SL_SELECT_LATEST};
    const char *at = strrchr(text, '@');
    size_t len = at != NULL ? (size_t)(at - text) : strlen(text);
    if (len > SL_NAME_MAX) {
        return sl_err_set(err, SL_EINVAL, "a name must have at most %d bytes, this one has %zu",
                          SL_NAME_MAX, len);
    }
    memcpy(ref.name, text, len);
    int rc = sl_name_check(ref.name, err);
    if (rc != 0) {
        return sl_err_wrap(err, "'%s'", text);
    }
    if (at != NULL) {
        rc = parse_selector(at + 1, &ref, text, err);
        if (rc != 0) {
            return rc;
        }
    }
    *ret = ref;
    return 0;
}
