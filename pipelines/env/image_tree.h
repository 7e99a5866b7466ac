/** What the layers of an image put one over the other. Not for other rooms. */
#ifndef SL_ENV_IMAGE_TREE_H
#define SL_ENV_IMAGE_TREE_H

#include "core/blob/archive.h"
#include "registry/object/manifest.h"

struct image_tree;

struct image_tree *image_tree_new(void);
void image_tree_free(struct image_tree *t); /* NULL allowed */
/** A further layer begins: its whiteouts take away what came before. */
void image_tree_next_layer(struct image_tree *t);
/** Takes one entry: a file, directory, link or whiteout. -SL_EINVAL naming a path that cannot be; -SL_ELIMIT */
int image_tree_add(struct image_tree *t, const struct sl_archive_entry *e, struct sl_err *err)
    SL_MUST_CHECK;
/** What is left, sealed. `m` initialised, empty. */
int image_tree_manifest(const struct image_tree *t, struct sl_manifest *m, struct sl_err *err)
    SL_MUST_CHECK;

#endif
