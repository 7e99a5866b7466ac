/** What the files of this room share: the file with its line table, and the growing tree. */
#ifndef SL_YAML_PRIV_H
#define SL_YAML_PRIV_H

#include "core/yaml/yaml.h"

#define SL_YAML_ANCHORS_MAX    1000
#define SL_YAML_SHOWN_LINE_MAX ((size_t)256 * 1024) /* bytes of a source line in a diagnostic */

/** A node with what the budgets need: its size and height after expansion. */
struct yaml_node {
    struct sl_yaml_node pub; /* first: the public pointer is this one */
    uint32_t expanded;
    uint32_t height;
};

#define SL_YAML_MARK_BYTES 1024

/** A file with the offset of every line's first byte, and a count of characters every kilobyte, so
 * that a column costs the same in a file that is one long line. */
struct yaml_file {
    struct sl_yaml pub;
    size_t *lines;
    size_t n_lines;
    uint32_t *marks; /* marks[k]: characters before byte k * SL_YAML_MARK_BYTES */
};

/** Refuses what is not plain UTF-8 text: false when a diagnostic was added. */
bool sl_yaml_input_check(struct yaml_file *y, struct sl_diags *diags);
void sl_yaml_lines_init(struct yaml_file *y, struct sl_arena *a);
/** The place of a byte offset, `width` columns wide. */
struct sl_loc sl_yaml_offset_loc(const struct yaml_file *y, size_t offset, size_t width);

/** Types a plain scalar by the core schema. False: a number out of range (64 bits, a double). */
bool sl_yaml_scalar_type(struct sl_yaml_node *node);

/** The text of a single-quoted scalar from what stands between its quotes. libfyaml 0.7.12 leaks its
 * chunks when such a text has eight or more doubled quotes in a row. */
struct sl_str sl_yaml_single_quoted(struct sl_arena *a, struct sl_str raw);

#endif
