/** Fuzz target: lines as entries of an image's layers ("f PATH", "d PATH", "s PATH>TARGET", "h PATH>TARGET", "-" for the
 * next layer). What is left is a manifest: sealed, and with no link that leads outside. */
#include "core/base/base.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "pipelines/env/image_tree.h"
#include "tests/support/sl_fuzz.h"

static void add_line(struct image_tree *t, char *line)
{
    struct sl_archive_entry e = {.mode = 0644};
    char *gt = strchr(line, '>');
    if (line[0] == '-') {
        image_tree_next_layer(t);
        return;
    }
    if (line[0] == '\0' || line[1] != ' ') {
        return;
    }
    e.type = line[0] == 'd'   ? SL_ARCHIVE_DIR
             : line[0] == 's' ? SL_ARCHIVE_SYMLINK
             : line[0] == 'h' ? SL_ARCHIVE_HARDLINK
                              : SL_ARCHIVE_FILE;
    if (e.type == SL_ARCHIVE_SYMLINK || e.type == SL_ARCHIVE_HARDLINK) {
        if (gt == NULL) {
            return;
        }
        *gt = '\0';
        e.target = gt + 1;
    }
    e.path = line + 2;
    SL_IGNORE(image_tree_add(t, &e, NULL)); /* refused ones are left out here */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image_tree *t = image_tree_new();
    struct sl_manifest m;
    char *text = sl_strndup((const char *)data, size);
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        add_line(t, line);
    }
    sl_manifest_init(&m);
    if (image_tree_manifest(t, &m, NULL) == 0) {
        SL_ASSERT(m.sealed);
        for (size_t i = 0; i < m.entries.n; i++) {
            const char *target = m.entries.items[i].target;
            SL_ASSERT(target == NULL || target[0] != '/');
        }
    }
    sl_manifest_release(&m);
    image_tree_free(t);
    free(text);
    return 0;
}
