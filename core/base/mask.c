/* See mask.h. Patterns lie one after the other behind a table of their first four bytes; a bitmap over the
 * same hash lets most positions of a stream pass with one look.
 *
 * Forms: RFC 8259 section 7 (JSON strings), RFC 3986 section 2.1 (percent encoding), RFC 4648 sections 4, 5
 * and 8 (base64, base64url, base16), RFC 2045 section 6.8 (lines of 76) and RFC 7468 (lines of 64). */
#include "core/base/base.h"

#include "core/base/mask.h"

#include <string.h>

#define BUCKETS     4096u
#define FILTER_BITS 65536u
#define NONE        UINT32_MAX

struct pattern {
    uint32_t at;   /* of its text in `text` */
    uint32_t next; /* in the bucket */
    uint32_t len;
};

struct sl_mask {
    uint64_t filter[FILTER_BITS / 64];
    uint32_t heads[BUCKETS];
    uint32_t n;
    struct pattern *patterns;
    char *text;
};

/* ---- building ------------------------------------------------------------------------------------- */

/** Takes the characters of one form and cuts them into patterns. */
struct sink {
    struct sl_mask *m; /* NULL: only counts */
    size_t n, bytes;   /* patterns and their text so far */
    size_t piece;      /* characters of a pattern; 0: only measures the form */
    size_t fill;       /* of the present pattern; with piece 0 of the form */
};

static uint32_t hash_of(const char *four)
{
    uint32_t word = 0;
    memcpy(&word, four, 4);
    return (word * 2654435761u) >> 16;
}

static bool known(const struct sl_mask *m, const char *text, size_t len)
{
    for (uint32_t i = m->heads[hash_of(text) % BUCKETS]; i != NONE; i = m->patterns[i].next) {
        if (m->patterns[i].len == len && memcmp(m->text + m->patterns[i].at, text, len) == 0) {
            return true;
        }
    }
    return false;
}

/** Ends the present pattern; its text lies behind the others already. */
static void cut(struct sink *s)
{
    size_t len = s->fill;
    s->fill = 0;
    if (len < SL_MASK_MIN) {
        return;
    }
    if (s->m != NULL) {
        const char *text = s->m->text + s->bytes;
        uint32_t hash = hash_of(text);
        if (known(s->m, text, len)) {
            return; /* overwritten by the next */
        }
        uint32_t *head = &s->m->heads[hash % BUCKETS];
        s->m->patterns[s->n] = (struct pattern){(uint32_t)s->bytes, *head, (uint32_t)len};
        *head = (uint32_t)s->n;
        s->m->filter[hash / 64] |= (uint64_t)1 << (hash % 64);
        s->m->n++;
    }
    s->n++;
    s->bytes += len;
}

static void put(struct sink *s, char c)
{
    if (s->m != NULL && s->piece != 0) {
        s->m->text[s->bytes + s->fill] = c;
    }
    s->fill++;
    if (s->fill == s->piece) {
        cut(s);
    }
}

static void put_hex(struct sink *s, unsigned char c, const char *digits)
{
    put(s, digits[c >> 4]);
    put(s, digits[c & 15]);
}

static const char lower[] = "0123456789abcdef";
static const char upper[] = "0123456789ABCDEF";

struct form {
    void (*encode)(struct sink *s, const unsigned char *b, size_t len, const struct form *f);
    const char *digits; /* hex digits, or the base64 alphabet */
    char slash, space;  /* URL: what these become; 0: encoded as the rest */
    bool ascii;         /* JSON: everything beyond ASCII is escaped */
    bool whole;         /* of the whole value, not line by line */
    unsigned align;     /* base64: bytes before it in its group of three */
    enum { END_OPEN, END_BARE, END_PADDED } end;
};

static void encode_plain(struct sink *s, const unsigned char *b, size_t len, const struct form *f)
{
    (void)f;
    for (size_t i = 0; i < len; i++) {
        put(s, (char)b[i]);
    }
}

static void encode_hex(struct sink *s, const unsigned char *b, size_t len, const struct form *f)
{
    for (size_t i = 0; i < len; i++) {
        put_hex(s, b[i], f->digits);
    }
}

static bool unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void encode_url(struct sink *s, const unsigned char *b, size_t len, const struct form *f)
{
    for (size_t i = 0; i < len; i++) {
        if (unreserved(b[i]) || (b[i] == '/' && f->slash != 0)) {
            put(s, (char)b[i]);
        } else if (b[i] == ' ' && f->space != 0) {
            put(s, f->space);
        } else {
            put(s, '%');
            put_hex(s, b[i], f->digits);
        }
    }
}

/** Code point at b, its bytes in *n. A broken sequence is taken as one byte. */
static uint32_t code_point(const unsigned char *b, size_t len, size_t *n)
{
    size_t need = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : b[0] >= 0xc0 ? 2 : 1;
    *n = 1;
    if (need == 1 || need > len) {
        return b[0];
    }
    uint32_t c = b[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((b[i] & 0xc0) != 0x80) {
            return b[0];
        }
        c = (c << 6) | (b[i] & 0x3fu);
    }
    *n = need;
    return c;
}

static void put_u(struct sink *s, uint32_t unit)
{
    put(s, '\\');
    put(s, 'u');
    put_hex(s, (unsigned char)(unit >> 8), lower);
    put_hex(s, (unsigned char)(unit & 0xff), lower);
}

static void encode_json(struct sink *s, const unsigned char *b, size_t len, const struct form *f)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i < len;) {
        size_t n = 1;
        const char *pair = NULL;
        for (size_t k = 0; pair == NULL && k + 1 < sizeof(shorts); k += 2) {
            pair = shorts[k] == (char)b[i] ? &shorts[k] : NULL;
        }
        uint32_t c = b[i] < 0x80 || !f->ascii ? b[i] : code_point(b + i, len - i, &n);
        if (pair != NULL) {
            put(s, '\\');
            put(s, pair[1]);
        } else if (c >= 0x10000) {
            put_u(s, 0xd800 + ((c - 0x10000) >> 10));
            put_u(s, 0xdc00 + ((c - 0x10000) & 0x3ff));
        } else if (c < 0x20 || n > 1) {
            put_u(s, c);
        } else {
            put(s, (char)b[i]);
        }
        i += n;
    }
}

/** The value stands at `align` bytes into a group; characters that depend on its neighbours are left out, or
 * (END_BARE, END_PADDED) it is the end of what is encoded. */
static void encode_base64(struct sink *s, const unsigned char *b, size_t len, const struct form *f)
{
    size_t bits = 8 * (f->align + len);
    size_t to = f->end == END_OPEN ? bits / 6 : (bits + 5) / 6;
    for (size_t j = (8 * (size_t)f->align + 5) / 6; j < to; j++) {
        size_t at = j * 6 / 8; /* in the group's bytes */
        unsigned high = at < f->align || at - f->align >= len ? 0 : b[at - f->align];
        unsigned low = at + 1 < f->align || at + 1 - f->align >= len ? 0 : b[at + 1 - f->align];
        put(s, f->digits[(((high << 8) | low) >> (10 - j * 6 % 8)) & 63]);
    }
    for (size_t i = 0; f->end == END_PADDED && i < (3 - (f->align + len) % 3) % 3; i++) {
        put(s, '=');
    }
}

#define ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define B64(at, how)                                                                               \
    {.encode = encode_base64,                                                                      \
     .digits = ALPHABET "+/",                                                                      \
     .whole = true,                                                                                \
     .align = (at),                                                                                \
     .end = (how)},                                                                                \
    {                                                                                              \
        .encode = encode_base64, .digits = ALPHABET "-_", .whole = true, .align = (at),            \
        .end = (how)                                                                               \
    }

static const struct form forms[] = {
    {.encode = encode_plain},
    {.encode = encode_json},
    {.encode = encode_json, .ascii = true},
    {.encode = encode_url, .digits = upper},
    {.encode = encode_url, .digits = upper, .slash = '/'},
    {.encode = encode_url, .digits = upper, .space = '+'},
    {.encode = encode_url, .digits = lower},
    {.encode = encode_hex, .digits = lower, .whole = true},
    {.encode = encode_hex, .digits = upper, .whole = true},
    B64(0, END_OPEN),
    B64(1, END_OPEN),
    B64(2, END_OPEN),
    B64(0, END_BARE),
    B64(1, END_BARE),
    B64(2, END_BARE),
    B64(0, END_PADDED),
    B64(1, END_PADDED),
    B64(2, END_PADDED),
};

static size_t measure(const struct form *f, const unsigned char *b, size_t len)
{
    struct sink s = {0};
    f->encode(&s, b, len, f);
    return s.fill;
}

static void add_pieces(struct sink *s, const struct form *f, const unsigned char *b, size_t len,
                       size_t piece)
{
    s->piece = piece;
    s->fill = 0;
    f->encode(s, b, len, f);
    cut(s);
}

static void add_form(struct sink *s, const struct form *f, const unsigned char *b, size_t len)
{
    size_t total = measure(f, b, len);
    size_t pieces = (total + SL_MASK_PIECE_MAX - 1) / SL_MASK_PIECE_MAX;
    bool base64 = f->encode == encode_base64;
    if (total < SL_MASK_MIN || (base64 && pieces > 1 && f->end != END_OPEN)) {
        return; /* of a long value the pieces before its end do */
    }
    add_pieces(s, f, b, len, (total + pieces - 1) / pieces);
    if (base64 && f->align == 0 && f->end == END_OPEN && total > 64) {
        add_pieces(s, f, b, len, 64);
        add_pieces(s, f, b, len, 76);
    }
}

static bool blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/** One line of a value: without the blanks around it when there are others, which may be indented. */
static void add_line(struct sink *s, const unsigned char *b, size_t len, bool alone)
{
    while (!alone && len > 0 && blank(b[0])) {
        b++;
        len--;
    }
    while (!alone && len > 0 && blank(b[len - 1])) {
        len--;
    }
    for (size_t i = 0; len >= SL_MASK_MIN && i < SL_LEN(forms); i++) {
        if (!forms[i].whole) {
            add_form(s, &forms[i], b, len);
        }
    }
}

static void add_value(struct sink *s, const struct sl_mask_value *v)
{
    const unsigned char *b = v->bytes;
    size_t len = v->len;
    if (len < SL_MASK_MIN) {
        return;
    }
    bool alone = memchr(b, '\n', len) == NULL;
    for (size_t at = 0; at < len;) {
        const unsigned char *newline = memchr(b + at, '\n', len - at);
        size_t n = newline == NULL ? len - at : (size_t)(newline - b) - at;
        add_line(s, b + at, n, alone);
        at += n + 1;
    }
    for (size_t i = 0; i < SL_LEN(forms); i++) {
        if (forms[i].whole) {
            add_form(s, &forms[i], b, len);
        }
    }
}

static struct sink count(const struct sl_mask_value *values, size_t n)
{
    struct sink s = {0};
    SL_ASSERT(n <= SL_MASK_VALUES_MAX);
    for (size_t i = 0; i < n; i++) {
        add_value(&s, &values[i]);
    }
    return s;
}

/* The text of a pattern that turns out to be known is written behind the others before it is dropped. */
size_t sl_mask_size(const struct sl_mask_value *values, size_t n)
{
    struct sink s = count(values, n);
    return sizeof(struct sl_mask) + s.n * sizeof(struct pattern) + s.bytes + SL_MASK_PIECE_MAX;
}

struct sl_mask *sl_mask_init(void *memory, const struct sl_mask_value *values, size_t n)
{
    struct sl_mask *m = memory;
    struct sink total = count(values, n);
    memset(m, 0, sizeof(*m));
    memset(m->heads, 0xff, sizeof(m->heads));
    m->patterns = (struct pattern *)(void *)(m + 1);
    m->text = (char *)(m->patterns + total.n);
    struct sink s = {.m = m};
    for (size_t i = 0; i < n; i++) {
        add_value(&s, &values[i]);
    }
    SL_ASSERT(s.n <= total.n && s.bytes <= total.bytes);
    return m;
}

/* ---- looking -------------------------------------------------------------------------------------- */

static bool maybe(const struct sl_mask *m, const char *at)
{
    uint32_t hash = hash_of(at);
    return (m->filter[hash / 64] >> (hash % 64) & 1) != 0;
}

/** Length of the longest pattern at `at`, or 0; *ret_open: a longer one may begin here and go on behind. */
static size_t match(const struct sl_mask *m, const char *at, size_t avail, bool *ret_open)
{
    size_t longest = 0;
    *ret_open = false;
    if (avail < SL_MASK_MIN) {
        for (uint32_t i = 0; i < m->n && !*ret_open; i++) {
            *ret_open = memcmp(m->text + m->patterns[i].at, at, avail) == 0;
        }
        return 0;
    }
    if (!maybe(m, at)) {
        return 0;
    }
    for (uint32_t i = m->heads[hash_of(at) % BUCKETS]; i != NONE; i = m->patterns[i].next) {
        const struct pattern *p = &m->patterns[i];
        if (memcmp(m->text + p->at, at, SL_MIN((size_t)p->len, avail)) != 0) {
            continue;
        }
        if (p->len > avail) {
            *ret_open = true;
        } else {
            longest = SL_MAX(longest, (size_t)p->len);
        }
    }
    return longest;
}

/** Masks the n bytes that lie at out + SHIFT. What is looked at lies in `out` itself, far enough behind what is
 * given out: before a match begins no more was given than looked at, and it gives 3 bytes for at least 4. */
#define SHIFT (sizeof(SL_MASK_TEXT) - 1)
static size_t run(const struct sl_mask *m, struct sl_mask_stream *s, size_t n, bool final,
                  char *out)
{
    const char *buf = out + SHIFT;
    size_t covered = s->covered; /* up to here all belongs to a match */
    size_t given = 0;
    size_t i = 0;
    for (; i < n; i++) {
        bool open = false;
        size_t found = match(m, buf + i, n - i, &open);
        if (open && !final) {
            break;
        }
        covered = SL_MAX(covered, found == 0 ? 0 : i + found);
        if (i >= covered) {
            out[given++] = buf[i];
            s->masked = false;
        } else if (!s->masked) {
            memcpy(out + given, SL_MASK_TEXT, SHIFT);
            given += SHIFT;
            s->masked = true;
        }
    }
    s->len = n - i;
    s->covered = covered > i ? covered - i : 0;
    SL_ASSERT(s->len <= sizeof(s->held));
    memcpy(s->held, buf + i, s->len);
    return given;
}

size_t sl_mask_feed(const struct sl_mask *m, struct sl_mask_stream *s, const char *in, size_t len,
                    char *out)
{
    memcpy(out + SHIFT, s->held, s->len);
    memcpy(out + SHIFT + s->len, in, len);
    return run(m, s, s->len + len, false, out);
}

size_t sl_mask_end(const struct sl_mask *m, struct sl_mask_stream *s, char *out)
{
    memcpy(out + SHIFT, s->held, s->len);
    size_t n = run(m, s, s->len, true, out);
    memset(s, 0, sizeof(*s));
    return n;
}

ptrdiff_t sl_mask_find(const struct sl_mask *m, const char *data, size_t len)
{
    for (size_t i = 0; i + SL_MASK_MIN <= len; i++) {
        bool open = false;
        if (maybe(m, data + i) && match(m, data + i, len - i, &open) > 0) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}
