/**
 * YAML 1.2 text as an immutable tree whose every node knows its place in the file.
 *
 * Core schema typing, several documents in a file, anchors, aliases and `<<` under a budget, strict
 * about duplicate keys. Pure: text in, tree and diagnostics out; everything lives in the caller's
 * arena. Built on libfyaml's event parser; the room is the sole owner of that library.
 */
#ifndef SL_YAML_H
#define SL_YAML_H

#include "core/base/diag.h"

#define SL_YAML_BYTES_MAX  ((size_t)4 * 1024 * 1024) /* of one file */
#define SL_YAML_DEPTH_MAX  64                        /* nesting, counted through aliases */
#define SL_YAML_NODES_MAX  200000                    /* as written, in one file */
#define SL_YAML_VISITS_MAX 1000000                   /* after expansion of aliases and merges */
/* What the tokeniser is not given: it is quadratic in the one and spends 350 bytes on each of the other. */
#define SL_YAML_BLANK_LINES_MAX   200
#define SL_YAML_OPEN_BRACKETS_MAX 200000
#define SL_YAML_DOCS_MAX          1000

enum sl_yaml_type {
    SL_YAML_NULL,
    SL_YAML_BOOL,
    SL_YAML_INT,
    SL_YAML_FLOAT,
    SL_YAML_STR,
    SL_YAML_SEQ,
    SL_YAML_MAP
};

enum sl_yaml_style {
    SL_YAML_PLAIN,
    SL_YAML_SINGLE,
    SL_YAML_DOUBLE,
    SL_YAML_LITERAL,
    SL_YAML_FOLDED
};

struct sl_yaml_node;

/** One entry of a mapping. Keys are always texts (`1:` is the key "1"). */
struct sl_yaml_pair {
    const char *key;
    size_t key_len;
    struct sl_loc key_loc;
    const struct sl_yaml_node *value;
};

struct sl_yaml_node {
    enum sl_yaml_type type;
    enum sl_yaml_style style;  /* of scalars */
    struct sl_loc loc;         /* the quote, the `|`, the bracket, or the first character */
    struct sl_str text;        /* scalars: the text after unescaping and folding, NUL-terminated */
    size_t raw_start, raw_end; /* scalars: bytes of the content as written, without quotes */
    union {
        bool b;
        int64_t i;
        double d;
        struct {
            const struct sl_yaml_node **items;
            size_t n;
        } seq;
        struct {
            struct sl_yaml_pair *pairs; /* in order of writing; merged keys after the own ones */
            size_t n;
        } map;
    };
};

/** A parsed file. */
struct sl_yaml {
    const char *file;   /* as given */
    struct sl_str text; /* the caller's, must outlive the tree */
    const struct sl_yaml_node **docs;
    size_t n_docs;
};

/**
 * Parses a whole file.
 *
 * @param file   name for messages
 * @param text   must live as long as the tree (diagnostics and sl_yaml_loc_at read it)
 * @return       0, or -SL_EINVAL (also for a cap) when `diags` got at least one error; *ret only on 0
 * Owner: everything in `a`. Thread: any. Blocks: no (4 MiB take about 100 ms).
 * Limits: SL_YAML_*_MAX. Source: YAML 1.2.2, chapters 5 to 10 (core schema).
 */
int sl_yaml_parse(const char *file, struct sl_str text, struct sl_arena *a, struct sl_diags *diags,
                  const struct sl_yaml **ret) SL_MUST_CHECK;

/** "null", "bool", "int", "float", "string", "list", "mapping". Static. */
const char *sl_yaml_type_name(enum sl_yaml_type type);

/** The value of a key, or NULL when absent or when `map` (NULL allowed) is no mapping. */
const struct sl_yaml_node *sl_yaml_get(const struct sl_yaml_node *map, const char *key);
const struct sl_yaml_pair *sl_yaml_pair(const struct sl_yaml_node *map, const char *key);

/**
 * The place in the file of a byte of a scalar's text: quotes, escapes, indentation and folding are
 * followed back to what was written.
 *
 * @param offset  0..node->text.len, bytes from the start of node->text
 * @param width   columns to underline; cut at the end of the line
 */
struct sl_loc sl_yaml_loc_at(const struct sl_yaml *y, const struct sl_yaml_node *node,
                             size_t offset, size_t width);

/** Adds a diagnostic with the source line of this file. */
void sl_yaml_diag(const struct sl_yaml *y, struct sl_diags *d, enum sl_severity severity,
                  struct sl_loc loc, const char *hint, const char *fmt, ...) SL_PRINTF(6, 7);

/** The tree as JSON (ints beyond 64 bits and .inf/.nan as strings). New reference. */
json_t *sl_yaml_json(const struct sl_yaml_node *node);

#endif
