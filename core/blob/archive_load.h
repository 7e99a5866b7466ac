/** The part of libarchive that this room uses, opened on first use: with what it brings along (ICU through
 * libxml2) every command would pay for it. Private to core/blob. */
#ifndef SL_BLOB_ARCHIVE_LOAD_H
#define SL_BLOB_ARCHIVE_LOAD_H

#include <archive.h>
#include <archive_entry.h>

#include "core/base/err.h"

/* name, result, arguments */
#define ARCHIVE_CALLS(X)                                                                           \
    X(entry_filetype, __LA_MODE_T, (struct archive_entry *))                                       \
    X(entry_hardlink, const char *, (struct archive_entry *))                                      \
    X(entry_is_encrypted, int, (struct archive_entry *))                                           \
    X(entry_pathname, const char *, (struct archive_entry *))                                      \
    X(entry_pathname_utf8, const char *, (struct archive_entry *))                                 \
    X(entry_perm, __LA_MODE_T, (struct archive_entry *))                                           \
    X(entry_symlink, const char *, (struct archive_entry *))                                       \
    X(entry_symlink_utf8, const char *, (struct archive_entry *))                                  \
    X(error_string, const char *, (struct archive *))                                              \
    X(read_data, la_ssize_t, (struct archive *, void *, size_t))                                   \
    X(read_free, int, (struct archive *))                                                          \
    X(read_new, struct archive *, (void))                                                          \
    X(read_next_header, int, (struct archive *, struct archive_entry **))                          \
    X(read_open_fd, int, (struct archive *, int, size_t))                                          \
    X(read_support_filter_bzip2, int, (struct archive *))                                          \
    X(read_support_filter_gzip, int, (struct archive *))                                           \
    X(read_support_filter_xz, int, (struct archive *))                                             \
    X(read_support_filter_zstd, int, (struct archive *))                                           \
    X(read_support_format_tar, int, (struct archive *))                                            \
    X(read_support_format_zip, int, (struct archive *))

struct archive_calls {
#define X(name, result, args) result(*name) args;
    ARCHIVE_CALLS(X)
#undef X
};

/** The calls, or NULL with err (-SL_EUNSUPPORTED). Never closed. Thread: any. */
const struct archive_calls *archive_calls(struct sl_err *err);

#endif
