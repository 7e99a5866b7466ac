/**
 * Trees: walking in a fixed order, and removing whatever a step may have left behind.
 *
 * Thread: any. Blocks: yes. Must not: follow links, or trust that names stay what they were.
 */
#include "core/base/base.h"

#include "core/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/fs_priv.h"
#include "core/base/mem.h"

#define REMOVE_DEPTH_MAX 64 /* deeper directories are moved up and removed there */
#define REMOVE_PASSES    16

struct name_list {
    char **items;
    size_t n, cap;
};

static void free_names(struct name_list *names)
{
    for (size_t i = 0; i < names->n; i++) {
        free(names->items[i]);
    }
    sl_vec_free(names);
}

static int compare_names(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/** Names in a directory, sorted by bytes. Leaves `fd` open. @return 0, or a negative errno */
static int list_names(int fd, struct name_list *names)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL) {
        int saved = errno;
        if (own >= 0) {
            (void)close(own);
        }
        return -saved;
    }
    errno = 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (!is_dot(e->d_name)) {
            sl_vec_push(names, sl_strdup(e->d_name));
        }
        errno = 0;
    }
    int failed = errno;
    (void)closedir(dir);
    if (names->n > 0) {
        qsort(names->items, names->n, sizeof(*names->items), compare_names);
    }
    return -failed;
}

struct walk {
    sl_walk_fn fn;
    void *data;
    struct sl_buf path; /* of the entry at hand, below the root */
};

static int walk_dir(struct walk *w, int fd, int depth, struct sl_err *err);

static int walk_into(struct walk *w, int fd, const char *name, int depth, struct sl_err *err)
{
    _cleanup_(close)
    int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (sub < 0) {
        return errno == ENOENT
                   ? 0
                   : sl_err_errno(err, errno, "cannot open directory '%s'", sl_buf_str(&w->path));
    }
    return walk_dir(w, sub, depth + 1, err);
}

static int walk_entry(struct walk *w, int fd, const char *name, int depth, struct sl_err *err)
{
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 /* went away meanwhile */
                               : sl_err_errno(err, errno, "cannot stat '%s'", sl_buf_str(&w->path));
    }
    struct sl_walk_entry entry = {
        .path = sl_buf_str(&w->path), .st = &st, .dirfd = fd, .name = name};
    int rc = w->fn(&entry, w->data, err);
    if (rc < 0 || rc == 1 || !S_ISDIR(st.st_mode)) {
        return rc < 0 ? rc : 0;
    }
    return walk_into(w, fd, name, depth, err);
}

static int walk_dir(struct walk *w, int fd, int depth, struct sl_err *err)
{
    if (depth > SL_WALK_DEPTH_MAX) {
        return sl_err_set(err, SL_ELIMIT, "directories nested deeper than %d: '%.200s...'",
                          SL_WALK_DEPTH_MAX, sl_buf_str(&w->path));
    }
    struct name_list names = {0};
    int rc = list_names(fd, &names);
    if (rc != 0) {
        rc = sl_err_errno(err, -rc, "cannot list '%s'", sl_buf_str(&w->path));
    }
    size_t base_len = w->path.len;
    for (size_t i = 0; rc == 0 && i < names.n; i++) {
        if (base_len > 0) {
            sl_buf_putc(&w->path, '/');
        }
        sl_buf_puts(&w->path, names.items[i]);
        rc = walk_entry(w, fd, names.items[i], depth, err);
        w->path.len = base_len;
        w->path.ptr[base_len] = '\0';
    }
    free_names(&names);
    return rc;
}

int sl_walk_at(int dirfd, const char *path, sl_walk_fn fn, void *data, struct sl_err *err)
{
    _cleanup_(close)
    int fd = sl_opendir_at(dirfd, path, err);
    if (fd < 0) {
        return fd;
    }
    struct walk w = {.fn = fn, .data = data, .path = SL_BUF_INIT(1u << 20)};
    int rc = walk_dir(&w, fd, 1, err);
    sl_buf_release(&w.path);
    return rc;
}

/** State of one removal: deep directories are moved into `top` under fresh names. */
struct removal {
    int top;
    unsigned long n_moved;
};

/** Gives the owner all rights on a directory that is `name` itself, not what a link points at. */
static void make_writable(int fd, const char *name)
{
    _cleanup_(close)
    int self = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (self >= 0 && fstat(self, &st) == 0 && (st.st_mode & 0700) != 0700) {
        char proc[64];
        (void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", self);
        (void)chmod(proc, (st.st_mode & 07777) | 0700);
    }
}

static int remove_content(struct removal *r, int fd, int depth);

/** Opens, empties and removes the directory fd/name. @return 0, or a negative errno */
static int remove_dir(struct removal *r, int fd, const char *name, int depth)
{
    make_writable(fd, name);
    if (depth >= REMOVE_DEPTH_MAX && r->top >= 0) {
        char moved[64];
        (void)snprintf(moved, sizeof(moved), ".removed-%lu", r->n_moved++);
        if (renameat2(fd, name, r->top, moved, RENAME_NOREPLACE) == 0) {
            return 0;
        }
        if (errno != EEXIST) {
            return -errno;
        }
        return 0; /* the name is taken: the next pass tries another */
    }
    for (int pass = 0; pass < REMOVE_PASSES; pass++) {
        {
            _cleanup_(close)
            int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (sub < 0) {
                return errno == ENOENT ? 0 : -errno;
            }
            int rc = remove_content(r, sub, depth);
            if (rc != 0) {
                return rc;
            }
        }
        if (unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
            return 0;
        }
        if (errno != ENOTEMPTY && errno != EEXIST) {
            return -errno;
        }
    }
    return -ENOTEMPTY;
}

static int remove_name(struct removal *r, int fd, const char *name, int depth)
{
    if (unlinkat(fd, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    int why = errno;
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
        return remove_dir(r, fd, name, depth);
    }
    return -why;
}

static int remove_content(struct removal *r, int fd, int depth)
{
    bool is_top = r->top < 0;
    if (is_top) {
        r->top = fd;
    }
    int rc = 0;
    /* The top directory fills again with what was moved up from below. */
    for (;;) {
        struct name_list names = {0};
        rc = list_names(fd, &names);
        size_t n = names.n;
        for (size_t i = 0; rc == 0 && i < n; i++) {
            rc = remove_name(r, fd, names.items[i], depth + 1);
        }
        free_names(&names);
        if (rc != 0 || n == 0 || !is_top) {
            break;
        }
    }
    if (is_top) {
        r->top = -1;
    }
    return rc;
}

int sl_remove_tree_at(int dirfd, const char *path, struct sl_err *err)
{
    _cleanup_(free)
    char *trimmed = sl_strdup(path);
    for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--) {
        trimmed[n - 1] = '\0';
    }
    _cleanup_(free)
    char *parent_path = NULL;
    const char *name = sl_path_split(trimmed, &parent_path);
    if (name[0] == '\0' || is_dot(name)) {
        return sl_err_set(err, SL_EINVAL, "cannot remove '%s': not a name", path);
    }
    if (unlinkat(dirfd, trimmed, AT_REMOVEDIR) == 0) {
        return 0; /* it was empty */
    }
    _cleanup_(close)
    int parent = openat(dirfd, parent_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        return errno == ENOENT ? 0 : sl_err_errno(err, errno, "cannot remove '%s'", path);
    }
    struct removal r = {.top = -1};
    int rc = remove_name(&r, parent, name, 0);
    return rc == 0 ? 0 : sl_err_errno(err, -rc, "cannot remove '%s'", path);
}
