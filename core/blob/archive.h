/**
 * Archives, entry by entry into a session: nothing is ever unpacked to a path, so no name in an archive can
 * reach the file system. tar (plain, gzip, bzip2, xz, zstd) and zip only.
 *
 * Thread: any. Blocks: yes. Sole user of libarchive. Must not: trust a size that an archive announces.
 */
#ifndef SL_BLOB_ARCHIVE_H
#define SL_BLOB_ARCHIVE_H

#include "core/blob/blob.h"

#define SL_ARCHIVE_ENTRIES_MAX  1000000
#define SL_ARCHIVE_BYTES_MAX    ((uint64_t)1 << 40)  /* of all files together, unpacked */
#define SL_ARCHIVE_RATIO_MAX    250                  /* unpacked to packed bytes, ... */
#define SL_ARCHIVE_RATIO_BEYOND ((uint64_t)64 << 20) /* ... once this much is unpacked */

/** 0 fields: the maxima above. */
struct sl_archive_limits {
    uint64_t entries, bytes, ratio;
};

enum sl_archive_type { SL_ARCHIVE_FILE, SL_ARCHIVE_DIR, SL_ARCHIVE_SYMLINK, SL_ARCHIVE_HARDLINK };

struct sl_archive_entry {
    const char *path;   /* without leading "./" and trailing "/"; otherwise as it stands there */
    const char *target; /* of links; else NULL */
    enum sl_archive_type type;
    uint32_t mode;
    struct sl_blob_added added; /* files, in `done` only */
};

struct sl_archive_ops {
    /** Before an entry's content is read. Negative refuses the archive. */
    int (*check)(const struct sl_archive_entry *e, void *data, struct sl_err *err);
    /** After it is staged. Negative ends it. */
    int (*done)(const struct sl_archive_entry *e, void *data, struct sl_err *err);
    void *data;
};

/**
 * Reads the archive that `fd` (a regular file, offset 0) holds into the session.
 *
 * @return 0; -SL_EINVAL (no archive, damaged, devices and other entries that are no files); -SL_ELIMIT; what
 *         `ops` returned; as sl_blob_stream_write. The caller drops the session on failure.
 */
int sl_archive_ingest(struct sl_blob_session *session, int fd,
                      const struct sl_archive_limits *limits, const struct sl_archive_ops *ops,
                      struct sl_err *err) SL_MUST_CHECK;

#endif
