/**
 * The text before any parsing: what a file may consist of, and where its lines begin.
 *
 * Thread: any. Must not: interpret YAML.
 */
#include "core/base/base.h"

#include "core/yaml/yaml_priv.h"

#include <stdarg.h>
#include <stdio.h>

/* A caret in the middle of a megabyte helps nobody, and a hundred copies of it fill an arena. */
static bool is_line_shown(const struct sl_yaml *y, struct sl_loc loc)
{
    const struct yaml_file *file = (const struct yaml_file *)(const void *)y;
    size_t line = (size_t)loc.line;
    if (loc.line < 1 || line > file->n_lines) {
        return false;
    }
    size_t end = line < file->n_lines ? file->lines[line] : y->text.len;
    return end - file->lines[line - 1] <= SL_YAML_SHOWN_LINE_MAX;
}

void sl_yaml_diag(const struct sl_yaml *y, struct sl_diags *d, enum sl_severity severity,
                  struct sl_loc loc, const char *hint, const char *fmt, ...)
{
    char message[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args); /* cut: messages are one line */
    va_end(args);
    struct sl_str source = is_line_shown(y, loc) ? y->text : (struct sl_str){NULL, 0};
    sl_diag_add(d, severity, loc, source, hint, "%s", message);
}

static bool is_char_start(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

void sl_yaml_lines_init(struct yaml_file *y, struct sl_arena *a)
{
    struct sl_str text = y->pub.text;
    y->marks = SL_ARENA_ARRAY(a, uint32_t, text.len / SL_YAML_MARK_BYTES + 1);
    uint32_t chars = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (i % SL_YAML_MARK_BYTES == 0) {
            y->marks[i / SL_YAML_MARK_BYTES] = chars;
        }
        chars += is_char_start(text.ptr[i]);
    }
    if (text.len % SL_YAML_MARK_BYTES == 0) {
        y->marks[text.len / SL_YAML_MARK_BYTES] = chars;
    }
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == '\n';
    }
    y->lines = SL_ARENA_ARRAY(a, size_t, n);
    y->n_lines = n;
    size_t line = 0;
    y->lines[line++] = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            y->lines[line++] = i + 1;
        }
    }
}

/* Characters before a byte offset. */
static uint32_t chars_before(const struct yaml_file *y, size_t offset)
{
    size_t mark = offset / SL_YAML_MARK_BYTES;
    uint32_t chars = y->marks[mark];
    for (size_t i = mark * SL_YAML_MARK_BYTES; i < offset; i++) {
        chars += is_char_start(y->pub.text.ptr[i]);
    }
    return chars;
}

struct sl_loc sl_yaml_offset_loc(const struct yaml_file *y, size_t offset, size_t width)
{
    offset = SL_MIN(offset, y->pub.text.len);
    size_t low = 0, high = y->n_lines; /* the last line that begins at or before the offset */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (y->lines[middle] <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    uint32_t column = chars_before(y, offset) - chars_before(y, y->lines[low]) + 1;
    return (struct sl_loc){.file = y->pub.file,
                           .line = (int)low + 1,
                           .column = (int)column, /* characters, not bytes */
                           .width = (int)SL_MIN(SL_MAX(width, (size_t)1), (size_t)1000)};
}

static bool refuse(struct yaml_file *y, struct sl_diags *diags, size_t offset, const char *what)
{
    sl_yaml_diag(&y->pub, diags, SL_SEV_ERROR, sl_yaml_offset_loc(y, offset, 1), NULL, "%s", what);
    return false;
}

static bool refuse_control(struct yaml_file *y, struct sl_diags *diags, size_t offset)
{
    char what[120];
    unsigned char c = (unsigned char)y->pub.text.ptr[offset];
    if (c == 0) {
        return refuse(y, diags, offset, "NUL byte: this is not a text file");
    }
    if (c == '\r') {
        return refuse(y, diags, offset,
                      "carriage return without a line feed; end lines with LF or CRLF");
    }
    (void)snprintf(what, sizeof(what),
                   "control character U+%04X; write it as \"\\x%02x\" in double quotes", c, c);
    return refuse(y, diags, offset, what);
}

static bool check_blank_lines(struct yaml_file *y, struct sl_diags *diags)
{
    const char *text = y->pub.text.ptr;
    size_t blank = 0;
    for (size_t line = 0; line < y->n_lines; line++) {
        size_t at = y->lines[line];
        size_t end = line + 1 < y->n_lines ? y->lines[line + 1] : y->pub.text.len;
        while (at < end && strchr(" \t\r\n", text[at]) != NULL) {
            at++;
        }
        blank = at == end ? blank + 1 : 0;
        if (blank > SL_YAML_BLANK_LINES_MAX) {
            char what[80];
            (void)snprintf(what, sizeof(what), "more than %d blank lines in a row",
                           SL_YAML_BLANK_LINES_MAX);
            return refuse(y, diags, y->lines[line], what);
        }
    }
    return true;
}

/* Brackets in texts are counted too, so the limit is far above what any text leaves open. */
static bool check_brackets(struct yaml_file *y, struct sl_diags *diags)
{
    const char *text = y->pub.text.ptr;
    size_t open = 0;
    for (size_t i = 0; i < y->pub.text.len; i++) {
        if (text[i] == '[' || text[i] == '{') {
            open++;
        } else if (open > 0 && (text[i] == ']' || text[i] == '}')) {
            open--;
        }
        if (open > SL_YAML_OPEN_BRACKETS_MAX) {
            char what[80];
            (void)snprintf(what, sizeof(what), "more than %d open brackets",
                           SL_YAML_OPEN_BRACKETS_MAX);
            return refuse(y, diags, i, what);
        }
    }
    return true;
}

bool sl_yaml_input_check(struct yaml_file *y, struct sl_diags *diags)
{
    struct sl_str text = y->pub.text;
    if (text.len > SL_YAML_BYTES_MAX) {
        struct sl_loc top = {.file = y->pub.file, .line = 1, .column = 1, .width = 1};
        sl_diag_add(diags, SL_SEV_ERROR, top, (struct sl_str){NULL, 0}, NULL,
                    "file has %zu bytes; at most %zu are read", text.len, SL_YAML_BYTES_MAX);
        return false;
    }
    if (text.len >= 2 &&
        (memcmp(text.ptr, "\xFF\xFE", 2) == 0 || memcmp(text.ptr, "\xFE\xFF", 2) == 0)) {
        return refuse(y, diags, 0, "file is UTF-16; save it as UTF-8");
    }
    size_t bad = sl_utf8_check(text.ptr, text.len);
    for (size_t i = 0; i < bad; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool crlf = c == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n';
        if ((c < 0x20 && c != '\t' && c != '\n' && !crlf) || c == 0x7F) {
            return refuse_control(y, diags, i);
        }
    }
    if (bad < text.len) {
        char what[80];
        (void)snprintf(what, sizeof(what), "invalid UTF-8: byte 0x%02X",
                       (unsigned)(unsigned char)text.ptr[bad]);
        return refuse(y, diags, bad, what);
    }
    return check_blank_lines(y, diags) && check_brackets(y, diags);
}
