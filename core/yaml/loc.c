/**
 * From a byte of a scalar's text back to the byte of the file that it came from.
 *
 * Thread: any. Must not: report or allocate. Source: YAML 1.2.2, 5.7 (escapes), 6.5 (folding), 8.1.
 */
#include "core/base/base.h"

#include "core/yaml/yaml_priv.h"

/** Walks the text as read and the text as written side by side. */
struct walk {
    const char *file;
    size_t at, end;      /* in the file */
    const char *content; /* as read */
    size_t done, want;   /* bytes of content passed, and asked for */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
    return is_blank(c) || c == '\n' || c == '\r';
}

/* A run of white space in a flow scalar. Without a line break it is literal; otherwise one break became
 * a space and each further one a line feed. */
static void skip_flow_space(struct walk *w)
{
    size_t end = w->at, breaks = 0;
    while (end < w->end && is_space(w->file[end])) {
        breaks += w->file[end] == '\n';
        end++;
    }
    if (breaks == 0) {
        w->at++;
        w->done++;
        return;
    }
    size_t produced = breaks == 1 ? 1 : breaks - 1;
    w->done += SL_MIN(produced, w->want - w->done);
    w->at = end;
}

/* A backslash in double quotes: how many bytes it takes in the file and gives in the text. */
static void skip_escape(struct walk *w)
{
    char kind = w->at + 1 < w->end ? w->file[w->at + 1] : '\0';
    size_t taken = kind == 'x' ? 4 : kind == 'u' ? 6 : kind == 'U' ? 10 : 2;
    if (kind == '\n' || kind == '\r') { /* an escaped line break gives nothing */
        w->at++;
        while (w->at < w->end && is_space(w->file[w->at])) {
            w->at++;
        }
        return;
    }
    w->at = SL_MIN(w->at + taken, w->end);
    w->done++;
    while (w->done < w->want && ((unsigned char)w->content[w->done] & 0xC0) == 0x80) {
        w->done++;
    }
}

static void walk_flow(struct walk *w, enum sl_yaml_style style)
{
    while (w->done < w->want && w->at < w->end) {
        char c = w->file[w->at];
        if (style == SL_YAML_DOUBLE && c == '\\') {
            skip_escape(w);
        } else if (style == SL_YAML_SINGLE && c == '\'') {
            w->at += 2;
            w->done++;
        } else if (is_space(c)) {
            skip_flow_space(w);
        } else {
            w->at++;
            w->done++;
        }
    }
}

static size_t leading_spaces(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && text[n] == ' ') {
        n++;
    }
    return n;
}

/* Indentation of a block scalar: what the first line with text has in the file and not as read. */
static size_t block_indent(const struct walk *w, size_t content_len)
{
    size_t at = w->at, line = 0;
    for (size_t i = 0; i < content_len && w->content[i] == '\n'; i++) {
        line++;
    }
    size_t read = leading_spaces(w->content + line, content_len - line);
    while (at < w->end) {
        size_t spaces = leading_spaces(w->file + at, w->end - at);
        char c = at + spaces < w->end ? w->file[at + spaces] : '\n';
        if (c != '\n' && c != '\r') {
            return spaces > read ? spaces - read : 0;
        }
        while (at < w->end && w->file[at] != '\n') {
            at++;
        }
        at++;
    }
    return 0;
}

static void skip_indent(struct walk *w, size_t indent)
{
    size_t n = leading_spaces(w->file + w->at, w->end - w->at);
    w->at += SL_MIN(n, indent);
}

static void walk_block(struct walk *w, size_t indent)
{
    skip_indent(w, indent);
    while (w->done < w->want && w->at < w->end) {
        char c = w->file[w->at];
        if (c == '\r') {
            w->at++;
            continue;
        }
        w->at++;
        if (c != '\n') {
            w->done++;
            continue;
        }
        skip_indent(w, indent);
        char read = w->content[w->done];
        bool blank_follows = w->at < w->end && (w->file[w->at] == '\n' || w->file[w->at] == '\r');
        if (read == '\n' || (read == ' ' && !blank_follows)) {
            w->done++; /* a folded break before a blank line gives nothing itself */
        }
    }
}

struct sl_loc sl_yaml_loc_at(const struct sl_yaml *y, const struct sl_yaml_node *node,
                             size_t offset, size_t width)
{
    const struct yaml_file *file = (const struct yaml_file *)(const void *)y;
    struct walk w = {.file = y->text.ptr,
                     .at = node->raw_start,
                     .end = node->raw_end,
                     .content = node->text.ptr,
                     .want = SL_MIN(offset, node->text.len)};
    switch (node->style) {
    case SL_YAML_PLAIN:
    case SL_YAML_SINGLE:
    case SL_YAML_DOUBLE: walk_flow(&w, node->style); break;
    case SL_YAML_LITERAL:
    case SL_YAML_FOLDED: walk_block(&w, block_indent(&w, node->text.len)); break;
    }
    size_t left = 0;
    while (w.at + left < w.end && left < width && w.file[w.at + left] != '\n') {
        left++;
    }
    return sl_yaml_offset_loc(file, w.at, left);
}
