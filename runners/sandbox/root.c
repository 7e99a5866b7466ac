/* A directory tree in the place of the machine's own files: the options that show it read-only at the root, with room
 * for the places that the sandbox fills itself. Those cannot be made inside what is bound read-only, so a directory on
 * the way to one is not bound whole: its entries are. */
#include "core/base/base.h"

#include "runners/sandbox/sandbox_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"

#define PLACES_MAX 8

struct rooted {
    const char *root;
    const char *places[PLACES_MAX]; /* filled by the sandbox: left free */
    size_t n_places;
    struct sl_buf *out;
};

enum relation { APART, IS_PLACE, HOLDS_PLACE };

static enum relation relate(const struct rooted *r, const char *path)
{
    size_t len = strlen(path);
    enum relation found = APART;
    for (size_t i = 0; i < r->n_places; i++) {
        if (sl_streq(r->places[i], path)) {
            return IS_PLACE;
        }
        if (strncmp(r->places[i], path, len) == 0 && r->places[i][len] == '/') {
            found = HOLDS_PLACE;
        }
    }
    return found;
}

static void put3(struct sl_buf *out, const char *a, const char *b, const char *c)
{
    sl_sandbox_put(out, a);
    sl_sandbox_put(out, b);
    sl_sandbox_put(out, c);
}

static int put_entry(const struct sl_walk_entry *e, void *data, struct sl_err *err)
{
    struct rooted *r = data;
    _cleanup_(free)
    char *path = sl_asprintf("/%s", e->path);
    _cleanup_(free)
    char *from = sl_asprintf("%s%s", r->root, path);
    enum relation relation = relate(r, path);
    (void)err;
    if (relation == IS_PLACE) {
        return 1;
    }
    if (S_ISLNK(e->st->st_mode)) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(e->dirfd, e->name, target, sizeof(target) - 1);
        if (n > 0 && relation == APART) {
            target[n] = '\0';
            put3(r->out, "--symlink", target, path);
        }
        return 0;
    }
    if (S_ISDIR(e->st->st_mode) && relation == HOLDS_PLACE) {
        sl_sandbox_put(r->out, "--dir");
        sl_sandbox_put(r->out, path);
        return 0; /* its entries follow */
    }
    put3(r->out, "--ro-bind", from, path);
    return 1;
}

int sl_sandbox_put_root(const char *root, const char *attempt_dir, struct sl_buf *out,
                        struct sl_err *err)
{
    struct rooted r = {.root = root,
                       .places = {"/dev", "/proc", "/sys", "/tmp", "/var/tmp", "/run", attempt_dir},
                       .n_places = 7,
                       .out = out};
    return sl_walk_at(AT_FDCWD, root, put_entry, &r, err);
}
