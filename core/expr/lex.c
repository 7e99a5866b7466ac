/**
 * Tokens of the expression language, with their byte offsets.
 *
 * Thread: any. Must not: evaluate anything or look past the end of an expression in a template.
 */
#include "core/base/base.h"

#include "core/expr/expr_priv.h"

#include <stdarg.h>
#include <stdio.h>

int expr_fail(struct sl_expr_err *e, int code, size_t at, size_t width, const char *fmt, ...)
{
    if (e != NULL) {
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(e->msg, sizeof(e->msg), fmt, args);
        va_end(args);
        e->offset = at;
        e->width = width > 0 ? width : 1;
    }
    return -code;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char peek(const struct expr_lex *lex, size_t ahead)
{
    return lex->pos + ahead < lex->end ? lex->text[lex->pos + ahead] : '\0';
}

static int finish(struct expr_lex *lex, enum expr_token token)
{
    lex->token = token;
    lex->width = lex->pos - lex->at;
    return 0;
}

static int fail_number(struct expr_lex *lex, const char *what)
{
    while (is_digit(peek(lex, 0)) || is_letter(peek(lex, 0)) || peek(lex, 0) == '.') {
        lex->pos++;
    }
    return expr_fail(lex->err, SL_EINVAL, lex->at, lex->pos - lex->at, "%s '%.*s'", what,
                     (int)SL_MIN(lex->pos - lex->at, (size_t)60), lex->text + lex->at);
}

static int lex_hex(struct expr_lex *lex)
{
    lex->pos += 2;
    uint64_t value = 0;
    if (hex_value(peek(lex, 0)) < 0) {
        return fail_number(lex, "malformed number");
    }
    for (int digit = hex_value(peek(lex, 0)); digit >= 0; digit = hex_value(peek(lex, 0))) {
        if (value > UINT64_MAX >> 4) {
            return fail_number(lex, "integer out of range");
        }
        value = value << 4 | (uint64_t)digit;
        lex->pos++;
    }
    lex->integer = value;
    if (is_letter(peek(lex, 0))) {
        return fail_number(lex, "malformed number");
    }
    return finish(lex, TOK_INT);
}

/** Reads a decimal integer or a double: 12, 1.5, .5, 2e-3. */
static int lex_number(struct expr_lex *lex)
{
    if (peek(lex, 0) == '0' && (peek(lex, 1) == 'x' || peek(lex, 1) == 'X')) {
        return lex_hex(lex);
    }
    bool is_double = false;
    while (is_digit(peek(lex, 0))) {
        lex->pos++;
    }
    if (peek(lex, 0) == '.' && is_digit(peek(lex, 1))) {
        is_double = true;
        lex->pos++;
        while (is_digit(peek(lex, 0))) {
            lex->pos++;
        }
    }
    if (peek(lex, 0) == 'e' || peek(lex, 0) == 'E') {
        size_t sign = peek(lex, 1) == '+' || peek(lex, 1) == '-' ? 1 : 0;
        if (is_digit(peek(lex, 1 + sign))) {
            is_double = true;
            lex->pos += 1 + sign;
            while (is_digit(peek(lex, 0))) {
                lex->pos++;
            }
        }
    }
    if (is_letter(peek(lex, 0))) {
        return fail_number(lex, "malformed number");
    }
    size_t len = lex->pos - lex->at;
    char copy[64];
    if (len >= sizeof(copy)) {
        return fail_number(lex, "number too long:");
    }
    memcpy(copy, lex->text + lex->at, len);
    copy[len] = '\0';
    if (is_double) {
        bool ok = sl_parse_double(copy, &lex->number);
        return ok ? finish(lex, TOK_DOUBLE) : fail_number(lex, "number out of range");
    }
    bool ok = sl_parse_u64(copy, &lex->integer);
    return ok ? finish(lex, TOK_INT) : fail_number(lex, "integer out of range");
}

/** Reads `n` digits of an escape in `base` at `pos`; -1 when one is missing. */
static int64_t escape_digits(const struct expr_lex *lex, size_t pos, int n, int base)
{
    int64_t value = 0;
    for (int i = 0; i < n; i++) {
        int digit = pos + (size_t)i < lex->end ? hex_value(lex->text[pos + (size_t)i]) : -1;
        if (digit < 0 || digit >= base) {
            return -1;
        }
        value = value * base + digit;
    }
    return value;
}

static void add_code_point(struct sl_buf *out, uint32_t c)
{
    if (c < 0x80) {
        sl_buf_putc(out, (char)c);
    } else if (c < 0x800) {
        sl_buf_putc(out, (char)(0xC0 | c >> 6));
        sl_buf_putc(out, (char)(0x80 | (c & 0x3F)));
    } else if (c < 0x10000) {
        sl_buf_putc(out, (char)(0xE0 | c >> 12));
        sl_buf_putc(out, (char)(0x80 | (c >> 6 & 0x3F)));
        sl_buf_putc(out, (char)(0x80 | (c & 0x3F)));
    } else {
        sl_buf_putc(out, (char)(0xF0 | c >> 18));
        sl_buf_putc(out, (char)(0x80 | (c >> 12 & 0x3F)));
        sl_buf_putc(out, (char)(0x80 | (c >> 6 & 0x3F)));
        sl_buf_putc(out, (char)(0x80 | (c & 0x3F)));
    }
}

/** Decodes the escape at lex->pos (a backslash) and moves past it. */
static int lex_escape(struct expr_lex *lex, struct sl_buf *out)
{
    static const char simple[] = "\\\"'`?abfnrtv";
    static const char meaning[] = "\\\"'`?\a\b\f\n\r\t\v";
    size_t start = lex->pos;
    char c = peek(lex, 1);
    const char *found = c != '\0' ? strchr(simple, c) : NULL;
    if (found != NULL) {
        sl_buf_putc(out, meaning[found - simple]);
        lex->pos += 2;
        return 0;
    }
    int digits = 0;
    int base = 16;
    size_t skip = 2;
    if (c == 'x' || c == 'X') {
        digits = 2;
    } else if (c == 'u') {
        digits = 4;
    } else if (c == 'U') {
        digits = 8;
    } else if (c >= '0' && c <= '3') {
        digits = 3;
        base = 8;
        skip = 1;
    }
    int64_t code = digits > 0 ? escape_digits(lex, start + skip, digits, base) : -1;
    if (code <= 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        return expr_fail(lex->err, SL_EINVAL, start, 2, "bad escape in a string");
    }
    add_code_point(out, (uint32_t)code);
    lex->pos = start + skip + (size_t)digits;
    return 0;
}

int expr_lex_string(struct expr_lex *lex, bool raw)
{
    char quote = peek(lex, 0);
    bool triple = peek(lex, 1) == quote && peek(lex, 2) == quote;
    size_t close = triple ? 3 : 1;
    lex->pos += close;
    struct sl_buf out = SL_BUF_INIT(SL_EXPR_LEN_MAX * 2);
    int r = 0;
    for (;;) {
        char c = peek(lex, 0);
        if (lex->pos >= lex->end || (!triple && (c == '\n' || c == '\r'))) {
            r = expr_fail(lex->err, SL_EINVAL, lex->at, 1, "string without its closing quote");
            break;
        }
        if (c == quote && (!triple || (peek(lex, 1) == quote && peek(lex, 2) == quote))) {
            lex->pos += close;
            break;
        }
        if (c == '\\' && !raw) {
            r = lex_escape(lex, &out);
            if (r < 0) {
                break;
            }
            continue;
        }
        sl_buf_putc(&out, c);
        lex->pos++;
    }
    if (r == 0 && out.overflow) {
        r = expr_fail(lex->err, SL_ELIMIT, lex->at, 1, "string longer than %d bytes",
                      SL_EXPR_LEN_MAX * 2);
    }
    if (r == 0) {
        lex->string.ptr = sl_arena_strndup(lex->arena, sl_buf_str(&out), out.len);
        lex->string.len = out.len;
        (void)finish(lex, TOK_STRING);
    }
    sl_buf_release(&out);
    return r;
}

static int lex_ident(struct expr_lex *lex)
{
    char c = peek(lex, 0);
    char after = peek(lex, 1);
    if ((c == 'r' || c == 'R') && (after == '"' || after == '\'')) {
        lex->pos++;
        return expr_lex_string(lex, true);
    }
    while (is_letter(peek(lex, 0)) || is_digit(peek(lex, 0))) {
        lex->pos++;
    }
    lex->string = (struct sl_str){lex->text + lex->at, lex->pos - lex->at};
    return finish(lex, TOK_IDENT);
}

static int lex_operator(struct expr_lex *lex)
{
    static const struct {
        char first, second;
        enum expr_token token;
    } pairs[] = {{'&', '&', TOK_AND}, {'|', '|', TOK_OR}, {'=', '=', TOK_EQ},
                 {'!', '=', TOK_NE},  {'<', '=', TOK_LE}, {'>', '=', TOK_GE}};
    char c = peek(lex, 0);
    for (size_t i = 0; i < SL_LEN(pairs); i++) {
        if (c == pairs[i].first && peek(lex, 1) == pairs[i].second) {
            lex->pos += 2;
            return finish(lex, pairs[i].token);
        }
    }
    if (c == '<' || c == '>') {
        lex->pos++;
        return finish(lex, c == '<' ? TOK_LT : TOK_GT);
    }
    if (strchr("+-*/%!?:.,()[]{}", c) != NULL) {
        lex->punct = c;
        lex->pos++;
        return finish(lex, TOK_PUNCT);
    }
    const char *hint = "";
    if (c == '=') {
        hint = "; equality is '=='";
    } else if (c == '&') {
        hint = "; 'and' is '&&'";
    } else if (c == '|') {
        hint = "; 'or' is '||'";
    }
    if ((unsigned char)c < 0x20 || (unsigned char)c >= 0x7F) {
        return expr_fail(lex->err, SL_EINVAL, lex->at, 1, "unexpected byte 0x%02x",
                         (unsigned)(unsigned char)c);
    }
    return expr_fail(lex->err, SL_EINVAL, lex->at, 1, "unexpected '%c'%s", c, hint);
}

int expr_lex_next(struct expr_lex *lex)
{
    while (lex->pos < lex->end && strchr(" \t\r\n", lex->text[lex->pos]) != NULL &&
           lex->text[lex->pos] != '\0') {
        lex->pos++;
    }
    lex->at = lex->pos;
    if (lex->pos >= lex->end) {
        return finish(lex, TOK_END);
    }
    char c = peek(lex, 0);
    if (c == '\0') {
        return expr_fail(lex->err, SL_EINVAL, lex->at, 1, "unexpected byte 0x00");
    }
    if (is_digit(c) || (c == '.' && is_digit(peek(lex, 1)))) {
        return lex_number(lex);
    }
    if (is_letter(c)) {
        return lex_ident(lex);
    }
    if (c == '"' || c == '\'') {
        return expr_lex_string(lex, false);
    }
    return lex_operator(lex);
}
