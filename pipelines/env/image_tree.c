/* Layers over layers: see image_tree.h. Nothing here touches a file system: paths are names in a table, and links
 * on the way are followed in that table, so that no entry can reach outside. */
#include "core/base/base.h"

#include "pipelines/env/image_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "core/base/mem.h"
#include "pipelines/env/image.h"

#define WHITEOUT        ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define PATH_BYTES      4096

struct node {
    char *path; /* of the root, without leading slash */
    char *target;
    enum sl_archive_type type; /* no hard links: they became files */
    uint32_t mode;
    uint64_t size_bytes;
    struct sl_digest digest;
    int layer;
    UT_hash_handle hh;
};

struct image_tree {
    struct node *nodes;
    size_t n;
    int layer;
};

struct image_tree *image_tree_new(void)
{
    return SL_NEW(struct image_tree);
}

static void drop(struct image_tree *t, struct node *n)
{
    HASH_DEL(t->nodes, n);
    free(n->path);
    free(n->target);
    free(n);
}

void image_tree_free(struct image_tree *t)
{
    struct node *n = NULL;
    struct node *next = NULL;
    if (t == NULL) {
        return;
    }
    HASH_ITER (hh, t->nodes, n, next) {
        drop(t, n);
    }
    free(t);
}

void image_tree_next_layer(struct image_tree *t)
{
    t->layer++;
}

static struct node *find(const struct image_tree *t, const char *path)
{
    struct node *n = NULL;
    HASH_FIND_STR(t->nodes, path, n);
    return n;
}

/* ---- paths ---------------------------------------------------------------------------------------- */

/** Appends the components of `more` to `path`; ".." goes up, and stays at the root as in a chroot. */
static bool append(char path[PATH_BYTES], const char *more)
{
    size_t len = strlen(path);
    while (*more != '\0') {
        size_t n = strcspn(more, "/");
        if (n == 2 && more[0] == '.' && more[1] == '.') {
            const char *slash = strrchr(path, '/');
            len = slash != NULL ? (size_t)(slash - path) : 0;
        } else if (n > 0 && !(n == 1 && more[0] == '.')) {
            if (len + n + 2 > PATH_BYTES) {
                return false;
            }
            len += (size_t)snprintf(path + len, PATH_BYTES - len, "%s%.*s", len > 0 ? "/" : "",
                                    (int)n, more);
        }
        path[len] = '\0';
        more += n + (more[n] == '/' ? 1 : 0);
    }
    return true;
}

/** The directory of `path` with its links followed, then its last component. */
static int resolve(const struct image_tree *t, const char *path, char out[PATH_BYTES],
                   struct sl_err *err)
{
    char rest[PATH_BYTES] = "";
    int links = 0;
    out[0] = '\0';
    if (!append(rest, path)) {
        return sl_err_set(err, SL_ELIMIT, "a path of the image is too long");
    }
    for (char *at = rest; *at != '\0';) {
        size_t n = strcspn(at, "/");
        char *next = at[n] == '/' ? at + n + 1 : at + n;
        bool last = *next == '\0';
        at[n] = '\0';
        char before[PATH_BYTES];
        snprintf(before, sizeof(before), "%s", out);
        if (!append(out, at)) {
            return sl_err_set(err, SL_ELIMIT, "a path of the image is too long");
        }
        const struct node *link = last ? NULL : find(t, out);
        if (link != NULL && link->type == SL_ARCHIVE_SYMLINK) {
            char further[PATH_BYTES];
            if (++links > SL_IMAGE_LINKS_MAX ||
                snprintf(further, sizeof(further), "%s/%s", link->target, next) >=
                    (int)sizeof(further)) {
                return sl_err_set(err, SL_EINVAL, "'%.200s' of the image: too many links", path);
            }
            snprintf(out, PATH_BYTES, "%s", link->target[0] == '/' ? "" : before);
            snprintf(rest, sizeof(rest), "%s", further + strspn(further, "/"));
            at = rest;
            continue;
        }
        at = next;
    }
    return 0;
}

/* ---- taking away ---------------------------------------------------------------------------------- */

/** Removes what lies below a path ("": everything) and came before this layer; with `itself` the path too. */
static void take_away(struct image_tree *t, const char *path, bool itself)
{
    size_t len = strlen(path);
    struct node *n = NULL;
    struct node *next = NULL;
    HASH_ITER (hh, t->nodes, n, next) {
        bool below = len == 0 || (strncmp(n->path, path, len) == 0 && n->path[len] == '/');
        if ((below || (itself && sl_streq(n->path, path))) && n->layer < t->layer) {
            drop(t, n);
        }
    }
}

static void white_out(struct image_tree *t, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t dir = (size_t)(name - path);
    char target[PATH_BYTES];
    if (sl_streq(name, WHITEOUT_OPAQUE)) {
        snprintf(target, sizeof(target), "%.*s", (int)(dir > 0 ? dir - 1 : 0), path);
        take_away(t, target, false);
    } else {
        snprintf(target, sizeof(target), "%.*s%s", (int)dir, path, name + strlen(WHITEOUT));
        take_away(t, target, true);
    }
}

/* ---- adding --------------------------------------------------------------------------------------- */

/** A link that leads out of the root when read from outside of it is rewritten to lead where it does inside. */
static char *inside_target(const char *path, const char *target)
{
    char to[PATH_BYTES] = "";
    const char *slash = strrchr(path, '/');
    int depth = 0;
    int lowest = 0;
    int levels = 0;
    for (const char *p = path; *p != '\0'; p++) {
        levels += *p == '/' ? 1 : 0;
    }
    for (const char *p = target; *p != '\0';) { /* how far up it goes */
        size_t n = strcspn(p, "/");
        depth += n == 2 && strncmp(p, "..", 2) == 0 ? -1 : n > 0 && !(n == 1 && *p == '.') ? 1 : 0;
        lowest = SL_MIN(lowest, depth);
        p += n + (p[n] == '/' ? 1 : 0);
    }
    if (target[0] != '/' && -lowest <= levels) {
        return sl_strdup(target);
    }
    if (target[0] != '/' && slash != NULL) {
        snprintf(to, sizeof(to), "%.*s", (int)(slash - path), path);
    }
    if (!append(to, target)) {
        return NULL;
    }
    struct sl_buf out = SL_BUF_INIT(PATH_BYTES + (size_t)levels * 3);
    for (int i = 0; i < levels; i++) {
        sl_buf_puts(&out, "../");
    }
    sl_buf_puts(&out, to[0] != '\0' ? to : ".");
    return sl_buf_take(&out);
}

static int set(struct image_tree *t, const char *path, const struct node *as, struct sl_err *err)
{
    struct node *n = find(t, path);
    if (n != NULL && n->type == SL_ARCHIVE_DIR && as->type != SL_ARCHIVE_DIR) {
        take_away(t, path, false); /* a file or link in the place of a directory */
    }
    if (n == NULL) {
        if (++t->n > SL_IMAGE_ENTRIES_MAX) {
            return sl_err_set(err, SL_ELIMIT, "the image has more than %d entries",
                              SL_IMAGE_ENTRIES_MAX);
        }
        n = SL_NEW(struct node);
        n->path = sl_strdup(path);
        HASH_ADD_KEYPTR(hh, t->nodes, n->path, strlen(n->path), n);
    }
    free(n->target);
    n->target = sl_strdup(as->target);
    n->type = as->type;
    n->mode = as->mode;
    n->size_bytes = as->size_bytes;
    n->digest = as->digest;
    n->layer = t->layer;
    return 0;
}

static int add_hard_link(struct image_tree *t, const char *path, const struct sl_archive_entry *e,
                         struct sl_err *err)
{
    char target[PATH_BYTES];
    int rc = resolve(t, e->target, target, err);
    const struct node *to = rc < 0 ? NULL : find(t, target);
    if (rc == 0 && (to == NULL || to->type == SL_ARCHIVE_DIR)) {
        return sl_err_set(err, SL_EINVAL,
                          "'%.200s' of the image is a hard link to '%.200s', which "
                          "is no file of it",
                          path, e->target);
    }
    if (rc < 0) {
        return rc;
    }
    struct node as = *to; /* what stands at `path` goes, and `to` may be part of it */
    _cleanup_(free)
    char *link = sl_strdup(to->target);
    as.target = link;
    return set(t, path, &as, err);
}

int image_tree_add(struct image_tree *t, const struct sl_archive_entry *e, struct sl_err *err)
{
    char path[PATH_BYTES];
    int rc = resolve(t, e->path, path, err);
    if (rc < 0 || path[0] == '\0') {
        return rc; /* the root itself */
    }
    const char *slash = strrchr(path, '/');
    if (sl_starts_with(slash != NULL ? slash + 1 : path, WHITEOUT)) {
        white_out(t, path);
        return 0;
    }
    if (e->type == SL_ARCHIVE_HARDLINK) {
        return add_hard_link(t, path, e, err);
    }
    _cleanup_(free)
    char *target = e->type == SL_ARCHIVE_SYMLINK ? inside_target(path, e->target) : NULL;
    if (e->type == SL_ARCHIVE_SYMLINK && target == NULL) {
        return sl_err_set(err, SL_ELIMIT, "'%.200s' of the image: its target is too long", path);
    }
    struct node as = {.target = target, .type = e->type, .mode = e->mode};
    if (e->type == SL_ARCHIVE_FILE) {
        as.size_bytes = e->added.size_bytes;
        as.digest = e->added.digest;
    }
    return set(t, path, &as, err);
}

/* ---- what is left --------------------------------------------------------------------------------- */

static void note_parents(const struct image_tree *t, json_t *parents)
{
    for (const struct node *n = t->nodes; n != NULL; n = n->hh.next) {
        _cleanup_(free)
        char *path = sl_strdup(n->path);
        for (char *slash = strrchr(path, '/'); slash != NULL; slash = strrchr(path, '/')) {
            *slash = '\0';
            if (json_object_get(parents, path) != NULL) {
                break; /* and so are those above */
            }
            json_object_set_new(parents, path, json_true());
        }
    }
}

int image_tree_manifest(const struct image_tree *t, struct sl_manifest *m, struct sl_err *err)
{
    json_auto_t *parents = json_object(); /* directories that hold something need no entry */
    int rc = 0;
    note_parents(t, parents);
    for (const struct node *n = t->nodes; rc == 0 && n != NULL; n = n->hh.next) {
        switch (n->type) {
        case SL_ARCHIVE_FILE:
            rc = sl_manifest_add_file(m, n->path, n->mode, n->size_bytes, &n->digest, err);
            break;
        case SL_ARCHIVE_SYMLINK: rc = sl_manifest_add_symlink(m, n->path, n->target, err); break;
        case SL_ARCHIVE_DIR:
            rc = json_object_get(parents, n->path) == NULL ? sl_manifest_add_dir(m, n->path, err)
                                                           : 0;
            break;
        case SL_ARCHIVE_HARDLINK: break;
        }
        if (rc < 0) {
            return sl_err_wrap(err, "the image's '%.200s'", n->path);
        }
    }
    return sl_manifest_seal(m, err);
}
