/**
 * UTF-8: strict validation (RFC 3629 table of well-formed sequences) and terminal width.
 *
 * Thread: any. Must not: allocate.
 */
#include "core/base/base.h"

#include "core/base/str.h"

/**
 * Decodes one well-formed sequence.
 *
 * @return its length 1..4, or 0 when the bytes are not well-formed UTF-8 (Unicode table 3-7)
 */
static size_t decode(const unsigned char *p, size_t len, uint32_t *ret)
{
    unsigned char lead = p[0];
    if (lead < 0x80) {
        *ret = lead;
        return 1;
    }
    size_t n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || len < n) {
        return 0;
    }
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
    if (lead == 0xE0) {
        low = 0xA0; /* overlong */
    } else if (lead == 0xED) {
        high = 0x9F; /* surrogates */
    } else if (lead == 0xF0) {
        low = 0x90; /* overlong */
    } else if (lead == 0xF4) {
        high = 0x8F; /* past U+10FFFF */
    }
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    uint32_t code = lead & (0x7Fu >> n);
    code = code << 6 | (p[1] & 0x3Fu);
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
        code = code << 6 | (p[i] & 0x3Fu);
    }
    *ret = code;
    return n;
}

size_t sl_utf8_check(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t at = 0;
    while (at < len) {
        uint32_t code = 0;
        size_t n = decode(p + at, len - at, &code);
        if (n == 0) {
            return at;
        }
        at += n;
    }
    return len;
}

/** Columns of a code point without asking the locale for plain ranges. */
static size_t columns(uint32_t code)
{
    if (code >= 0x20 && code < 0x7F) {
        return 1;
    }
    /* Combining marks, zero-width space to joiner, variation selectors. */
    if ((code >= 0x300 && code <= 0x36F) || (code >= 0x200B && code <= 0x200F) ||
        (code >= 0xFE00 && code <= 0xFE0F) || code == 0xFEFF) {
        return 0;
    }
    /* East Asian wide and emoji blocks (Unicode EastAsianWidth W and F, by block). */
    if ((code >= 0x1100 && code <= 0x115F) || (code >= 0x2E80 && code <= 0xA4CF) ||
        (code >= 0xAC00 && code <= 0xD7A3) || (code >= 0xF900 && code <= 0xFAFF) ||
        (code >= 0xFE30 && code <= 0xFE6F) || (code >= 0xFF00 && code <= 0xFF60) ||
        (code >= 0xFFE0 && code <= 0xFFE6) || (code >= 0x1F300 && code <= 0x1F64F) ||
        (code >= 0x1F900 && code <= 0x1F9FF) || (code >= 0x20000 && code <= 0x3FFFD)) {
        return 2;
    }
    return 1;
}

size_t sl_utf8_width(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t at = 0, width = 0;
    while (at < len) {
        uint32_t code = 0;
        size_t n = decode(p + at, len - at, &code);
        width += n == 0 ? 1 : columns(code);
        at += n == 0 ? 1 : n;
    }
    return width;
}
