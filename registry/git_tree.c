/**
 * The git tree of a version: Git LFS pointers under data/, the manifest beside them, and the
 * .gitattributes that make stock git and git-lfs see a clean checkout.
 *
 * Thread: one at a time per registry. Must not: read file content; pointers need only the manifest.
 */
#include "core/base/base.h"

#include "registry/registry_priv.h"

#include <stdlib.h>

#include "registry/object/pointer.h"

static const char attributes[] = "data/** filter=lfs diff=lfs merge=lfs -text\n";

struct tree_item {
    char *name;
    unsigned mode;
    git_oid id;
};

/* A directory being filled; its entries arrive in path order and are sorted when it closes. */
struct open_dir {
    char *name; /* as stored */
    SL_VEC(struct tree_item) items;
};

struct tree_walk {
    struct sl_registry *registry;
    struct registry_batch *batch;
    struct open_dir dirs[SL_PATH_DEPTH_MAX + 1];
    size_t depth; /* dirs[0] is data/ */
};

/* Git's order: directories sort as if their names ended in "/". */
static int by_git_order(const void *a, const void *b)
{
    const struct tree_item *left = a;
    const struct tree_item *right = b;
    size_t left_len = strlen(left->name);
    size_t right_len = strlen(right->name);
    int order = memcmp(left->name, right->name, SL_MIN(left_len, right_len));
    if (order != 0) {
        return order;
    }
    unsigned char left_next = left_len > right_len ? (unsigned char)left->name[right_len] : 0;
    unsigned char right_next = right_len > left_len ? (unsigned char)right->name[left_len] : 0;
    if (left_len <= right_len && left->mode == GIT_FILEMODE_TREE) {
        left_next = '/';
    }
    if (right_len <= left_len && right->mode == GIT_FILEMODE_TREE) {
        right_next = '/';
    }
    return (int)left_next - (int)right_next;
}

static void release_items(struct open_dir *dir)
{
    for (size_t i = 0; i < dir->items.n; i++) {
        free(dir->items.items[i].name);
    }
    sl_vec_free(&dir->items);
    free(dir->name);
    dir->name = NULL;
}

static int write_tree(struct sl_registry *r, struct registry_batch *b, struct open_dir *dir,
                      git_oid *ret, struct sl_err *err)
{
    if (dir->items.n > 1) {
        qsort(dir->items.items, dir->items.n, sizeof(struct tree_item), by_git_order);
    }
    struct sl_buf text = SL_BUF_INIT(SL_MANIFEST_BYTES_MAX);
    for (size_t i = 0; i < dir->items.n; i++) {
        const struct tree_item *item = &dir->items.items[i];
        sl_buf_printf(&text, "%o %s", item->mode, item->name);
        sl_buf_putc(&text, '\0');
        sl_buf_add(&text, item->id.id, GIT_OID_RAWSZ);
    }
    int rc = registry_batch_add(r, b, GIT_OBJECT_TREE, (struct sl_str){sl_buf_str(&text), text.len},
                                ret, err);
    sl_buf_release(&text);
    return rc;
}

static void push_item(struct open_dir *dir, char *name, unsigned mode, const git_oid *id)
{
    struct tree_item item = {.name = name, .mode = mode, .id = *id};
    sl_vec_push(&dir->items, item);
}

/* Closes the innermost directory into the one around it. */
static int close_dir(struct tree_walk *w, struct sl_err *err)
{
    SL_ASSERT(w->depth > 0);
    struct open_dir *dir = &w->dirs[w->depth];
    git_oid id;
    int rc = write_tree(w->registry, w->batch, dir, &id, err);
    if (rc != 0) {
        return rc;
    }
    push_item(&w->dirs[w->depth - 1], sl_take(dir->name), GIT_FILEMODE_TREE, &id);
    release_items(dir);
    w->depth--;
    return 0;
}

static char *stored_name(const char *part, size_t len)
{
    struct sl_buf name = SL_BUF_INIT(SL_PATH_PART_MAX + 8);
    sl_path_part_encode(&name, part, len);
    return sl_buf_take(&name);
}

/* Closes and opens directories until `path`'s is the innermost. Returns the leaf in ret_leaf. */
static int enter_dir(struct tree_walk *w, const char *path, const char *before,
                     const char **ret_leaf, struct sl_err *err)
{
    size_t keep = 0; /* leading directories shared with the entry before */
    const char *part = path;
    for (const char *p = path, *q = before; q != NULL; keep++) {
        const char *end = strchr(p, '/');
        const char *end_q = strchr(q, '/');
        if (end == NULL || end_q == NULL || end - p != end_q - q ||
            memcmp(p, q, (size_t)(end - p)) != 0) {
            break;
        }
        part = p = end + 1;
        q = end_q + 1;
    }
    while (w->depth > keep) {
        int rc = close_dir(w, err);
        if (rc != 0) {
            return rc;
        }
    }
    for (const char *end = strchr(part, '/'); end != NULL; end = strchr(part, '/')) {
        w->depth++;
        SL_ASSERT(w->depth <= SL_PATH_DEPTH_MAX);
        w->dirs[w->depth] = (struct open_dir){.name = stored_name(part, (size_t)(end - part))};
        part = end + 1;
    }
    *ret_leaf = part;
    return 0;
}

static int add_entry(struct tree_walk *w, const struct sl_manifest_entry *e, const char *leaf,
                     struct sl_err *err)
{
    char pointer[SL_POINTER_MAX];
    struct sl_str bytes = {pointer, 0};
    unsigned mode = e->mode == 0755 ? GIT_FILEMODE_BLOB_EXECUTABLE : GIT_FILEMODE_BLOB;
    if (e->type == SL_ENTRY_SYMLINK) {
        bytes = sl_str_c(e->target);
        mode = GIT_FILEMODE_LINK;
    } else if (e->size_bytes > 0) { /* git-lfs keeps empty files as they are */
        bytes.len = sl_pointer_format(&e->sha256, e->size_bytes, pointer);
    }
    git_oid id;
    int rc = registry_batch_add(w->registry, w->batch, GIT_OBJECT_BLOB, bytes, &id, err);
    if (rc == 0) {
        push_item(&w->dirs[w->depth], stored_name(leaf, strlen(leaf)), mode, &id);
    }
    return rc;
}

static int build_data(struct tree_walk *w, const struct sl_manifest *m, struct sl_err *err)
{
    const char *before = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->entries.n; i++) {
        const struct sl_manifest_entry *e = &m->entries.items[i];
        if (e->type == SL_ENTRY_DIR) {
            continue; /* git has no empty directories; the manifest keeps them */
        }
        const char *leaf = NULL;
        rc = enter_dir(w, e->path, before, &leaf, err);
        rc = rc != 0 ? rc : add_entry(w, e, leaf, err);
        before = e->path;
    }
    while (rc == 0 && w->depth > 0) {
        rc = close_dir(w, err);
    }
    return rc;
}

static int add_manifest(struct sl_registry *r, struct registry_batch *b,
                        const struct sl_manifest *m, git_oid *ret_tree, struct sl_err *err)
{
    struct sl_buf text = SL_BUF_INIT(SL_MANIFEST_BYTES_MAX);
    git_oid id;
    int rc = sl_manifest_encode(m, &text, err);
    rc = rc != 0 ? rc
                 : registry_batch_add(r, b, GIT_OBJECT_BLOB,
                                      (struct sl_str){sl_buf_str(&text), text.len}, &id, err);
    sl_buf_release(&text);
    if (rc != 0) {
        return rc;
    }
    struct open_dir dir = {0};
    push_item(&dir, sl_strdup("manifest.json"), GIT_FILEMODE_BLOB, &id);
    rc = write_tree(r, b, &dir, ret_tree, err);
    release_items(&dir);
    return rc;
}

int registry_tree_build(struct sl_registry *r, struct registry_batch *b,
                        const struct sl_manifest *manifest, git_oid *ret_tree, struct sl_err *err)
{
    SL_ASSERT(manifest->sealed);
    struct tree_walk *w = SL_NEW(struct tree_walk);
    w->registry = r;
    w->batch = b;
    struct open_dir root = {0};
    git_oid id;
    int rc = registry_batch_add(r, b, GIT_OBJECT_BLOB, SL_STR(attributes), &id, err);
    if (rc == 0) {
        push_item(&root, sl_strdup(".gitattributes"), GIT_FILEMODE_BLOB, &id);
        rc = add_manifest(r, b, manifest, &id, err);
    }
    if (rc == 0) {
        push_item(&root, sl_strdup(".sluice"), GIT_FILEMODE_TREE, &id);
        rc = build_data(w, manifest, err);
    }
    if (rc == 0 && w->dirs[0].items.n > 0) {
        rc = write_tree(r, b, &w->dirs[0], &id, err);
        if (rc == 0) {
            push_item(&root, sl_strdup("data"), GIT_FILEMODE_TREE, &id);
        }
    }
    rc = rc != 0 ? rc : write_tree(r, b, &root, ret_tree, err);
    for (size_t i = 0; i <= w->depth; i++) {
        release_items(&w->dirs[i]);
    }
    release_items(&root);
    free(w);
    return rc;
}
