/**
 * Events of libfyaml become our tree: anchors resolved, merges applied, budgets and keys checked.
 *
 * Thread: any. Must not: resolve documents through libfyaml (nine lines of aliases take it 4 GB), or
 * recurse: depth is a stack of frames.
 */
#include "core/base/base.h"

#include "core/yaml/yaml_priv.h"

#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>

struct anchor {
    const char *name;
    const struct yaml_node *node; /* NULL while it is still open */
};

/** A mapping or list that is being read. */
struct frame {
    struct yaml_node *node;
    struct yaml_node *key; /* of a mapping: the key whose value comes next */
    size_t anchor;         /* index + 1; 0 = none */
    SL_VEC(struct sl_yaml_pair) pairs;
    SL_VEC(const struct sl_yaml_node *) items;
    SL_VEC(const struct yaml_node *) merges; /* values of `<<` */
    bool is_flow;
};

struct builder {
    struct yaml_file *y;
    struct sl_arena *arena;
    struct sl_diags *diags;
    struct fy_parser *parser;
    struct frame frames[SL_YAML_DEPTH_MAX];
    size_t depth;
    struct anchor anchors[SL_YAML_ANCHORS_MAX];
    size_t n_anchors;
    SL_VEC(const struct sl_yaml_node *) docs;
    const struct sl_yaml_node *root; /* of the document being read */
    size_t n_nodes, n_merged;
    size_t last_offset; /* where something was last seen: the place of an empty value */
    bool failed;
};

/* ---- reporting -------------------------------------------------------------------------------- */

SL_PRINTF(3, 4) static void fail_at(struct builder *b, struct sl_loc loc, const char *fmt, ...)
{
    char message[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args); /* cut: messages are one line */
    va_end(args);
    sl_yaml_diag(&b->y->pub, b->diags, SL_SEV_ERROR, loc, NULL, "%s", message);
    b->failed = true;
}

static struct sl_loc event_loc(struct builder *b, struct fy_event *event)
{
    const struct fy_mark *start = fy_event_start_mark(event);
    const struct fy_mark *end = fy_event_end_mark(event);
    if (start == NULL || start->input_pos > b->y->pub.text.len) {
        return sl_yaml_offset_loc(b->y, b->last_offset, 1);
    }
    size_t width =
        end != NULL && end->input_pos > start->input_pos ? end->input_pos - start->input_pos : 1;
    return sl_yaml_offset_loc(b->y, start->input_pos, width);
}

/* ---- nodes ------------------------------------------------------------------------------------ */

static struct yaml_node *node_new(struct builder *b, enum sl_yaml_type type, struct sl_loc loc)
{
    if (++b->n_nodes > SL_YAML_NODES_MAX) {
        fail_at(b, loc, "more than %d values in one file", SL_YAML_NODES_MAX);
        return NULL;
    }
    struct yaml_node *node = SL_ARENA_NEW(b->arena, struct yaml_node);
    node->pub.type = type;
    node->pub.loc = loc;
    node->expanded = 1;
    node->height = 1;
    return node;
}

static enum sl_yaml_style style_of(struct fy_token *token)
{
    switch (fy_token_scalar_style(token)) {
    case FYSS_SINGLE_QUOTED: return SL_YAML_SINGLE;
    case FYSS_DOUBLE_QUOTED: return SL_YAML_DOUBLE;
    case FYSS_LITERAL: return SL_YAML_LITERAL;
    case FYSS_FOLDED: return SL_YAML_FOLDED;
    case FYSS_ANY:
    case FYSS_PLAIN:
    case FYSS_MAX: break;
    }
    return SL_YAML_PLAIN;
}

/* The `|` or `>` that opens a block scalar whose content begins at `start`. */
static size_t block_header(const struct yaml_file *y, size_t start)
{
    const char *text = y->pub.text.ptr;
    for (size_t i = SL_MIN(start, y->pub.text.len); i > 0; i--) {
        if (text[i - 1] == '|' || text[i - 1] == '>') {
            return i - 1;
        }
    }
    return start;
}

static struct sl_loc scalar_loc(struct builder *b, enum sl_yaml_style style, size_t start,
                                size_t end)
{
    const char *text = b->y->pub.text.ptr;
    switch (style) {
    case SL_YAML_SINGLE:
    case SL_YAML_DOUBLE:
        start -= start > 0;
        end += end < b->y->pub.text.len;
        break;
    case SL_YAML_LITERAL:
    case SL_YAML_FOLDED: return sl_yaml_offset_loc(b->y, block_header(b->y, start), 1);
    case SL_YAML_PLAIN: break;
    }
    size_t line_end = start;
    while (line_end < end && text[line_end] != '\n') {
        line_end++;
    }
    size_t width = 0;
    for (size_t i = start; i < line_end; i++) {
        width += ((unsigned char)text[i] & 0xC0) != 0x80;
    }
    return sl_yaml_offset_loc(b->y, start, width);
}

static struct yaml_node *scalar_new(struct builder *b, struct fy_event *event)
{
    const struct fy_mark *start = fy_event_start_mark(event);
    const struct fy_mark *end = fy_event_end_mark(event);
    struct fy_token *token = event->scalar.value;
    if (token == NULL || start == NULL || end == NULL) {
        struct sl_loc loc = sl_yaml_offset_loc(b->y, b->last_offset, 1);
        struct yaml_node *empty = node_new(b, SL_YAML_NULL, loc);
        if (empty != NULL) {
            empty->pub.text = SL_STR("");
            empty->pub.raw_start = empty->pub.raw_end = b->last_offset;
        }
        return empty;
    }
    enum sl_yaml_style style = style_of(token);
    struct sl_loc loc = scalar_loc(b, style, start->input_pos, end->input_pos);
    struct yaml_node *node = node_new(b, SL_YAML_STR, loc);
    if (node == NULL) {
        return NULL;
    }
    node->pub.style = style;
    node->pub.raw_start = start->input_pos;
    node->pub.raw_end = end->input_pos;
    if (style == SL_YAML_SINGLE) {
        struct sl_str file = b->y->pub.text;
        size_t stop = SL_MIN(end->input_pos, file.len), from = SL_MIN(start->input_pos, stop);
        node->pub.text =
            sl_yaml_single_quoted(b->arena, (struct sl_str){file.ptr + from, stop - from});
    } else {
        size_t len = 0;
        const char *text = fy_token_get_text(token, &len);
        len = text != NULL ? len : 0;
        node->pub.text =
            (struct sl_str){sl_arena_strndup(b->arena, text != NULL ? text : "", len), len};
    }
    b->last_offset = end->input_pos > 0 ? end->input_pos - (style == SL_YAML_PLAIN) : 0;
    if (memchr(node->pub.text.ptr, 0, node->pub.text.len) != NULL) {
        fail_at(b, loc, "text contains a NUL character");
    } else if (!sl_yaml_scalar_type(&node->pub)) {
        fail_at(b, loc, "number %.60s is out of range", node->pub.text.ptr);
    }
    return node;
}

/* ---- anchors ---------------------------------------------------------------------------------- */

static size_t anchor_open(struct builder *b, struct fy_event *event)
{
    struct fy_token *token = fy_event_get_anchor_token(event);
    if (token == NULL) {
        return 0;
    }
    if (b->n_anchors == SL_YAML_ANCHORS_MAX) {
        fail_at(b, event_loc(b, event), "more than %d anchors in one document",
                SL_YAML_ANCHORS_MAX);
        return 0;
    }
    size_t len = 0;
    const char *name = fy_token_get_text(token, &len);
    b->anchors[b->n_anchors].name = sl_arena_strndup(b->arena, name != NULL ? name : "", len);
    b->anchors[b->n_anchors].node = NULL;
    return ++b->n_anchors;
}

static void anchor_close(struct builder *b, size_t anchor, const struct yaml_node *node)
{
    if (anchor != 0) {
        b->anchors[anchor - 1].node = node;
    }
}

static const char *nearest_anchor(struct builder *b, const char *name)
{
    const char *names[SL_YAML_ANCHORS_MAX];
    for (size_t i = 0; i < b->n_anchors; i++) {
        names[i] = b->anchors[i].name;
    }
    return sl_nearest(name, names, b->n_anchors);
}

/* The node that an alias names: the latest anchor of that name before it. */
static const struct yaml_node *alias_find(struct builder *b, struct fy_event *event,
                                          struct sl_loc loc)
{
    size_t len = 0;
    const char *text = fy_token_get_text(event->alias.anchor, &len);
    char *name = sl_arena_strndup(b->arena, text != NULL ? text : "", len);
    for (size_t i = b->n_anchors; i > 0; i--) {
        if (sl_streq(b->anchors[i - 1].name, name)) {
            if (b->anchors[i - 1].node == NULL) {
                fail_at(b, loc, "alias '*%.100s' is inside what it names", name);
            }
            return b->anchors[i - 1].node;
        }
    }
    const char *near = nearest_anchor(b, name);
    fail_at(b, loc, "unknown alias '*%.100s'%s%.100s%s", name,
            near != NULL ? "; did you mean '*" : "", near != NULL ? near : "",
            near != NULL ? "'?" : "");
    return NULL;
}

/* ---- putting nodes in their place ------------------------------------------------------------- */

static bool account(struct builder *b, struct yaml_node *parent, const struct yaml_node *child,
                    struct sl_loc loc)
{
    uint64_t expanded = (uint64_t)parent->expanded + child->expanded;
    if (expanded > SL_YAML_VISITS_MAX) {
        fail_at(b, loc, "aliases expand to more than %d values", SL_YAML_VISITS_MAX);
        return false;
    }
    parent->expanded = (uint32_t)expanded;
    parent->height = SL_MAX(parent->height, child->height + 1);
    if (b->depth + child->height > SL_YAML_DEPTH_MAX) {
        fail_at(b, loc, "nested deeper than %d levels", SL_YAML_DEPTH_MAX);
        return false;
    }
    return true;
}

static bool is_merge_key(const struct yaml_node *key)
{
    return key->pub.style == SL_YAML_PLAIN && sl_streq(key->pub.text.ptr, "<<");
}

static void merge_note(struct builder *b, struct frame *f, const struct yaml_node *value,
                       struct sl_loc loc)
{
    if (value->pub.type == SL_YAML_MAP) {
        sl_vec_push(&f->merges, value);
        return;
    }
    bool all_maps = value->pub.type == SL_YAML_SEQ;
    for (size_t i = 0; all_maps && i < value->pub.seq.n; i++) {
        const struct sl_yaml_node *item = value->pub.seq.items[i];
        all_maps = item->type == SL_YAML_MAP;
        if (all_maps) {
            sl_vec_push(&f->merges, (const struct yaml_node *)(const void *)item);
        }
    }
    if (!all_maps) {
        fail_at(b, loc, "'<<' takes a mapping or a list of mappings, found %s",
                sl_yaml_type_name(value->pub.type));
    }
}

static void place_in_map(struct builder *b, struct frame *f, struct yaml_node *node,
                         struct sl_loc loc)
{
    if (f->key == NULL) {
        if (node->pub.type == SL_YAML_SEQ || node->pub.type == SL_YAML_MAP) {
            fail_at(b, loc, "a mapping key must be a plain text, found %s",
                    sl_yaml_type_name(node->pub.type));
            return;
        }
        f->key = node;
        return;
    }
    struct yaml_node *key = sl_take(f->key);
    if (is_merge_key(key)) {
        merge_note(b, f, node, loc);
        return;
    }
    struct sl_yaml_pair pair = {.key = key->pub.text.ptr,
                                .key_len = key->pub.text.len,
                                .key_loc = key->pub.loc,
                                .value = &node->pub};
    sl_vec_push(&f->pairs, pair);
}

/* Puts a whole node (scalar, closed collection, alias target) where it belongs. */
static void place(struct builder *b, struct yaml_node *node, struct sl_loc loc)
{
    if (b->depth == 0) {
        b->root = &node->pub;
        return;
    }
    struct frame *f = &b->frames[b->depth - 1];
    if (!account(b, f->node, node, loc)) {
        return;
    }
    if (f->node->pub.type == SL_YAML_MAP) {
        place_in_map(b, f, node, loc);
    } else {
        sl_vec_push(&f->items, (const struct sl_yaml_node *)&node->pub);
    }
}

/* ---- closing a mapping ------------------------------------------------------------------------ */

static int compare_pairs(const void *left, const void *right)
{
    const struct sl_yaml_pair *a = *(const struct sl_yaml_pair *const *)left;
    const struct sl_yaml_pair *b = *(const struct sl_yaml_pair *const *)right;
    int order = strcmp(a->key, b->key);
    if (order != 0) {
        return order;
    }
    return a < b ? -1 : a > b;
}

/* Sorts pointers rather than hashing: no input can make it quadratic. */
static const struct sl_yaml_pair **sorted_pairs(const struct sl_yaml_pair *pairs, size_t n)
{
    const struct sl_yaml_pair **sorted =
        sl_calloc(SL_MAX(n, (size_t)1), sizeof(struct sl_yaml_pair *));
    for (size_t i = 0; i < n; i++) {
        sorted[i] = &pairs[i];
    }
    qsort(sorted, n, sizeof(struct sl_yaml_pair *), compare_pairs);
    return sorted;
}

static void check_duplicates(struct builder *b, struct frame *f)
{
    if (f->pairs.n < 2) {
        return;
    }
    const struct sl_yaml_pair **sorted = sorted_pairs(f->pairs.items, f->pairs.n);
    size_t first = 0;
    for (size_t i = 1; i < f->pairs.n; i++) {
        if (sl_streq(sorted[i]->key, sorted[first]->key)) {
            fail_at(b, sorted[i]->key_loc, "duplicate key '%.100s'; the first is in line %d",
                    sorted[i]->key, sorted[first]->key_loc.line);
        } else {
            first = i;
        }
    }
    free(sorted);
}

/* Own keys win over merged ones, earlier merged mappings over later ones. */
static void merge_apply(struct builder *b, struct frame *f)
{
    for (size_t m = 0; m < f->merges.n && !b->failed; m++) {
        const struct sl_yaml_node *from = &f->merges.items[m]->pub;
        b->n_merged += from->map.n + f->pairs.n;
        if (b->n_merged > SL_YAML_VISITS_MAX) {
            fail_at(b, f->node->pub.loc, "merges expand to more than %d values",
                    SL_YAML_VISITS_MAX);
            return;
        }
        size_t own = f->pairs.n;
        const struct sl_yaml_pair **sorted = sorted_pairs(f->pairs.items, own);
        SL_VEC(struct sl_yaml_pair) fresh = {0};
        for (size_t i = 0; i < from->map.n; i++) {
            size_t low = 0, high = own;
            bool found = false;
            while (low < high && !found) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(sorted[middle]->key, from->map.pairs[i].key);
                found = order == 0;
                low = order < 0 ? middle + 1 : low;
                high = order > 0 ? middle : high;
            }
            if (!found) {
                sl_vec_push(&fresh, from->map.pairs[i]);
            }
        }
        for (size_t i = 0; i < fresh.n; i++) {
            sl_vec_push(&f->pairs, fresh.items[i]);
        }
        sl_vec_free(&fresh);
        free(sorted);
    }
}

/* ---- events ----------------------------------------------------------------------------------- */

static void frame_free(struct frame *f)
{
    sl_vec_free(&f->pairs);
    sl_vec_free(&f->items);
    sl_vec_free(&f->merges);
    *f = (struct frame){0};
}

static void on_open(struct builder *b, struct fy_event *event, enum sl_yaml_type type)
{
    struct sl_loc loc = event_loc(b, event);
    if (b->depth == SL_YAML_DEPTH_MAX) {
        fail_at(b, loc, "nested deeper than %d levels", SL_YAML_DEPTH_MAX);
        return;
    }
    if (b->depth > 0 && b->frames[b->depth - 1].node->pub.type == SL_YAML_MAP &&
        b->frames[b->depth - 1].key == NULL) {
        fail_at(b, loc, "a mapping key must be a plain text, found %s", sl_yaml_type_name(type));
        return;
    }
    struct yaml_node *node = node_new(b, type, loc);
    if (node == NULL) {
        return;
    }
    const struct fy_mark *start = fy_event_start_mark(event);
    char opener = start != NULL && start->input_pos < b->y->pub.text.len
                      ? b->y->pub.text.ptr[start->input_pos]
                      : '\0';
    struct frame *f = &b->frames[b->depth];
    *f = (struct frame){
        .node = node, .anchor = anchor_open(b, event), .is_flow = opener == '[' || opener == '{'};
    f->node->pub.loc.width = 1;
    b->depth++;
    if (start != NULL) {
        b->last_offset = start->input_pos;
    }
}

static void on_close(struct builder *b)
{
    SL_ASSERT(b->depth > 0);
    struct frame *f = &b->frames[b->depth - 1];
    struct yaml_node *node = f->node;
    if (node->pub.type == SL_YAML_MAP) {
        check_duplicates(b, f);
        merge_apply(b, f);
        node->pub.map.n = f->pairs.n;
        node->pub.map.pairs =
            sl_arena_memdup(b->arena, f->pairs.items, f->pairs.n * sizeof(struct sl_yaml_pair));
    } else {
        node->pub.seq.n = f->items.n;
        node->pub.seq.items =
            sl_arena_memdup(b->arena, f->items.items, f->items.n * sizeof(struct sl_yaml_node *));
    }
    anchor_close(b, f->anchor, node);
    frame_free(f);
    b->depth--;
    place(b, node, node->pub.loc);
}

static void on_scalar(struct builder *b, struct fy_event *event)
{
    size_t anchor = anchor_open(b, event);
    struct yaml_node *node = scalar_new(b, event);
    if (node != NULL) {
        anchor_close(b, anchor, node);
        place(b, node, node->pub.loc);
    }
}

static void on_alias(struct builder *b, struct fy_event *event)
{
    struct sl_loc loc = event_loc(b, event);
    const struct fy_mark *start = fy_event_start_mark(event);
    const char *text = b->y->pub.text.ptr;
    if (start != NULL && start->input_pos > 0 && start->input_pos < b->y->pub.text.len &&
        text[start->input_pos] != '*') {
        loc.column -= 1; /* the mark is sometimes behind the star */
        loc.width += 1;
    }
    if (++b->n_nodes > SL_YAML_NODES_MAX) {
        fail_at(b, loc, "more than %d values in one file", SL_YAML_NODES_MAX);
        return;
    }
    const struct yaml_node *target = alias_find(b, event, loc);
    if (target != NULL) {
        /* shared, and never changed again: only open collections are written to */
        place(b, (struct yaml_node *)(uintptr_t)target, loc);
    }
}

static void on_document_end(struct builder *b)
{
    if (b->docs.n == SL_YAML_DOCS_MAX) {
        fail_at(b, sl_yaml_offset_loc(b->y, b->last_offset, 1),
                "more than %d documents in one file", SL_YAML_DOCS_MAX);
        return;
    }
    if (b->root != NULL) {
        sl_vec_push(&b->docs, b->root);
    }
    b->root = NULL;
    b->n_anchors = 0;
}

static void on_event(struct builder *b, struct fy_event *event)
{
    struct fy_token *tag = fy_event_get_tag_token(event);
    if (tag != NULL && (event->type == FYET_SCALAR || event->type == FYET_MAPPING_START ||
                        event->type == FYET_SEQUENCE_START)) {
        fail_at(b, event_loc(b, event),
                "tags are not supported; quote the value to make it a string");
        return;
    }
    switch (event->type) {
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_START: break;
    case FYET_DOCUMENT_END: on_document_end(b); break;
    case FYET_MAPPING_START: on_open(b, event, SL_YAML_MAP); break;
    case FYET_SEQUENCE_START: on_open(b, event, SL_YAML_SEQ); break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END: on_close(b); break;
    case FYET_SCALAR: on_scalar(b, event); break;
    case FYET_ALIAS: on_alias(b, event); break;
    }
}

/* ---- syntax errors ---------------------------------------------------------------------------- */

/* The innermost open bracket: the library reports at the end of the file, the reader wants the opener. */
static bool report_unclosed(struct builder *b)
{
    for (size_t i = b->depth; i > 0; i--) {
        struct frame *f = &b->frames[i - 1];
        if (f->is_flow) {
            fail_at(b, f->node->pub.loc, "'%c' is never closed",
                    f->node->pub.type == SL_YAML_MAP ? '{' : '[');
            return true;
        }
    }
    return false;
}

static bool only_space_from(struct sl_str text, size_t offset)
{
    while (offset < text.len && strchr(" \t\r\n", text.ptr[offset]) != NULL) {
        offset++;
    }
    return offset >= text.len;
}

/* Where the library saw the error; marks of quoted texts are behind the quote. */
static size_t error_offset(struct builder *b, const struct fy_diag_error *error)
{
    const struct fy_mark *mark = error->fyt != NULL ? fy_token_start_mark(error->fyt) : NULL;
    const char *text = b->y->pub.text.ptr;
    if (mark == NULL || mark->input_pos > b->y->pub.text.len) {
        bool has_line = error->line > 0 && (size_t)error->line <= b->y->n_lines;
        return has_line ? b->y->lines[error->line - 1] : b->last_offset;
    }
    size_t offset = mark->input_pos;
    bool is_unclosed_quote = strstr(error->msg, "without closing quote") != NULL;
    bool behind_quote = offset > 0 && (text[offset - 1] == '"' || text[offset - 1] == '\'');
    return is_unclosed_quote && behind_quote ? offset - 1 : offset;
}

static void report_syntax(struct builder *b, struct fy_diag *diag)
{
    void *cursor = NULL;
    struct fy_diag_error *error = fy_diag_errors_iterate(diag, &cursor);
    if (error == NULL || error->msg == NULL) {
        fail_at(b, sl_yaml_offset_loc(b->y, b->last_offset, 1), "malformed YAML");
        return;
    }
    size_t offset = error_offset(b, error);
    bool at_end = only_space_from(b->y->pub.text, offset);
    if ((at_end || strstr(error->msg, "without a closing") != NULL) && report_unclosed(b)) {
        return;
    }
    const char *text = b->y->pub.text.ptr;
    bool tab = offset < b->y->pub.text.len && text[offset] == '\t';
    fail_at(b, sl_yaml_offset_loc(b->y, offset, 1), "%s",
            tab ? "tab used for indentation; use spaces" : error->msg);
}

static void read_events(struct builder *b, struct fy_diag *diag)
{
    while (!b->failed) {
        struct fy_event *event = fy_parser_parse(b->parser);
        if (event == NULL) {
            break;
        }
        on_event(b, event);
        fy_parser_event_free(b->parser, event);
    }
    if (!b->failed && fy_parser_get_stream_error(b->parser)) {
        report_syntax(b, diag);
    }
    while (b->depth > 0) {
        frame_free(&b->frames[--b->depth]);
    }
}

static int run_parser(struct builder *b)
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    SL_ASSERT(diag != NULL);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = {.flags = FYPCF_DEFAULT_VERSION_1_2 | FYPCF_ALLOW_DUPLICATE_KEYS |
                                        FYPCF_QUIET | FYPCF_DISABLE_MMAP_OPT,
                               .diag = diag};
    b->parser = fy_parser_create(&cfg);
    SL_ASSERT(b->parser != NULL);
    if (fy_parser_set_string(b->parser, b->y->pub.text.ptr, b->y->pub.text.len) == 0) {
        read_events(b, diag);
    } else {
        fail_at(b, sl_yaml_offset_loc(b->y, 0, 1), "malformed YAML");
    }
    fy_parser_destroy(b->parser);
    fy_diag_destroy(diag);
    return b->failed ? -SL_EINVAL : 0;
}

int sl_yaml_parse(const char *file, struct sl_str text, struct sl_arena *a, struct sl_diags *diags,
                  const struct sl_yaml **ret)
{
    struct yaml_file *y = SL_ARENA_NEW(a, struct yaml_file);
    if (text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0) {
        text = (struct sl_str){text.ptr + 3,
                               text.len - 3}; /* a byte order mark says nothing in UTF-8 */
    }
    y->pub.file = sl_arena_strdup(a, file);
    y->pub.text = text;
    if (text.len <= SL_YAML_BYTES_MAX) {
        sl_yaml_lines_init(y, a);
    }
    if (!sl_yaml_input_check(y, diags)) {
        return -SL_EINVAL;
    }
    if (text.len > 0) {
        struct builder *b = sl_calloc(1, sizeof(*b)); /* too large for a stack */
        b->y = y;
        b->arena = a;
        b->diags = diags;
        int rc = run_parser(b);
        y->pub.n_docs = b->docs.n;
        y->pub.docs = sl_arena_memdup(a, b->docs.items, b->docs.n * sizeof(struct sl_yaml_node *));
        sl_vec_free(&b->docs);
        free(b);
        if (rc != 0) {
            return rc;
        }
    }
    *ret = &y->pub;
    return 0;
}
