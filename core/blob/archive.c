/* See archive.h. */
#include "core/base/base.h"

#include "core/blob/archive.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/mem.h"
#include "core/blob/archive_load.h"
#include "core/blob/stream.h"

#define READ_BYTES ((size_t)1 << 18)

struct unpack {
    struct sl_blob_session *session;
    const struct archive_calls *la;
    struct archive *a;
    struct sl_archive_limits limits;
    const struct sl_archive_ops *ops;
    uint64_t packed, entries, bytes;
    char *buffer;
};

static int broken(const struct unpack *u, struct sl_err *err)
{
    const char *text = u->la->error_string(u->a);
    return sl_err_set(err, SL_EINVAL, "no readable tar or zip archive: %.200s",
                      text != NULL ? text : "it is damaged");
}

static int count(struct unpack *u, uint64_t n, struct sl_err *err)
{
    u->bytes += n;
    if (u->bytes > u->limits.bytes) {
        return sl_err_set(err, SL_ELIMIT, "the archive unpacks to more than %llu bytes",
                          (unsigned long long)u->limits.bytes);
    }
    if (u->bytes > SL_ARCHIVE_RATIO_BEYOND &&
        u->bytes / SL_MAX(u->packed, (uint64_t)1) >= u->limits.ratio) {
        return sl_err_set(err, SL_ELIMIT, "the archive unpacks to more than %llu times its size",
                          (unsigned long long)u->limits.ratio);
    }
    return 0;
}

static int stage(struct unpack *u, struct sl_blob_added *ret, struct sl_err *err)
{
    struct sl_blob_stream *s = NULL;
    int rc = sl_blob_stream_open(u->session, &s, err);
    while (rc == 0) {
        la_ssize_t n = u->la->read_data(u->a, u->buffer, READ_BYTES);
        if (n <= 0) {
            rc = n < 0 ? broken(u, err) : 0;
            break;
        }
        rc = count(u, (uint64_t)n, err);
        rc = rc < 0 ? rc : sl_blob_stream_write(s, u->buffer, (size_t)n, err);
    }
    if (rc < 0) {
        sl_blob_stream_abort(s);
        return rc;
    }
    return sl_blob_stream_close(s, ret, err);
}

/* Fills everything but `added`; the path is the caller's to free. */
static int describe(const struct unpack *u, struct archive_entry *from, char **ret_path,
                    struct sl_archive_entry *e, struct sl_err *err)
{
    const char *path = u->la->entry_pathname_utf8(from);
    path = path != NULL ? path : u->la->entry_pathname(from);
    if (path == NULL) {
        return sl_err_set(err, SL_EINVAL, "an entry's name cannot be read");
    }
    while (path[0] == '.' && path[1] == '/') {
        path += 2;
    }
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    *ret_path = sl_strndup(path, len);
    e->path = *ret_path;
    e->mode = (uint32_t)u->la->entry_perm(from);
    const char *hard = u->la->entry_hardlink(from);
    mode_t type = u->la->entry_filetype(from);
    if (hard != NULL) {
        e->type = SL_ARCHIVE_HARDLINK;
        e->target = hard[0] == '.' && hard[1] == '/' ? hard + 2 : hard;
    } else if (type == AE_IFDIR) {
        e->type = SL_ARCHIVE_DIR;
    } else if (type == AE_IFLNK) {
        e->type = SL_ARCHIVE_SYMLINK;
        e->target = u->la->entry_symlink_utf8(from);
        e->target = e->target != NULL ? e->target : u->la->entry_symlink(from);
    } else if (type == AE_IFREG) {
        e->type = SL_ARCHIVE_FILE;
    } else {
        return sl_err_set(err, SL_EINVAL,
                          "%s is a device, FIFO or socket; a version holds files, "
                          "folders and symlinks",
                          e->path);
    }
    if (u->la->entry_is_encrypted(from)) {
        return sl_err_set(err, SL_EINVAL, "%s is encrypted", e->path);
    }
    bool link = e->type == SL_ARCHIVE_SYMLINK || e->type == SL_ARCHIVE_HARDLINK;
    return link && e->target == NULL
               ? sl_err_set(err, SL_EINVAL, "%s is a link to nothing", e->path)
               : 0;
}

static int take(struct unpack *u, struct archive_entry *from, struct sl_err *err)
{
    _cleanup_(free)
    char *path = NULL;
    struct sl_archive_entry e = {.target = NULL};
    if (++u->entries > u->limits.entries) {
        return sl_err_set(err, SL_ELIMIT, "the archive has more than %llu entries",
                          (unsigned long long)u->limits.entries);
    }
    int rc = describe(u, from, &path, &e, err);
    if (rc < 0 || sl_streq(e.path, ".") || e.path[0] == '\0') {
        return rc; /* the root itself */
    }
    rc = u->ops->check(&e, u->ops->data, err);
    if (rc == 0 && e.type == SL_ARCHIVE_FILE) {
        rc = stage(u, &e.added, err);
        rc = rc < 0 ? sl_err_wrap(err, "%s", e.path) : 0;
    }
    return rc < 0 ? rc : u->ops->done(&e, u->ops->data, err);
}

static int take_all(struct unpack *u, struct sl_err *err)
{
    struct archive_entry *entry = NULL;
    for (;;) {
        int status = u->la->read_next_header(u->a, &entry);
        if (status == ARCHIVE_EOF) {
            return u->entries > 0 ? 0 : sl_err_set(err, SL_EINVAL, "the archive is empty");
        }
        if (status < ARCHIVE_WARN) {
            return broken(u, err);
        }
        int rc = take(u, entry, err);
        if (rc < 0) {
            return rc;
        }
    }
}

int sl_archive_ingest(struct sl_blob_session *session, int fd,
                      const struct sl_archive_limits *limits, const struct sl_archive_ops *ops,
                      struct sl_err *err)
{
    struct stat st;
    struct sl_archive_limits l = limits != NULL ? *limits : (struct sl_archive_limits){0};
    l.entries = l.entries > 0 ? l.entries : SL_ARCHIVE_ENTRIES_MAX;
    l.bytes = l.bytes > 0 ? l.bytes : SL_ARCHIVE_BYTES_MAX;
    l.ratio = l.ratio > 0 ? l.ratio : SL_ARCHIVE_RATIO_MAX;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return sl_err_set(err, SL_EINVAL, "not a regular file");
    }
    const struct archive_calls *la = archive_calls(err);
    if (la == NULL) {
        return -SL_EUNSUPPORTED;
    }
    struct unpack u = {
        .session = session, .la = la, .limits = l, .ops = ops, .packed = (uint64_t)st.st_size};
    u.a = la->read_new();
    if (u.a == NULL) {
        return sl_err_set(err, SL_ENOMEMORY, "no memory to read an archive");
    }
    u.buffer = sl_malloc(READ_BYTES);
    (void)la->read_support_filter_gzip(u.a);
    (void)la->read_support_filter_bzip2(u.a);
    (void)la->read_support_filter_xz(u.a);
    (void)la->read_support_filter_zstd(u.a);
    (void)la->read_support_format_tar(u.a);
    (void)la->read_support_format_zip(u.a);
    int rc =
        la->read_open_fd(u.a, fd, READ_BYTES) == ARCHIVE_OK ? take_all(&u, err) : broken(&u, err);
    (void)la->read_free(u.a);
    free(u.buffer);
    return rc;
}
