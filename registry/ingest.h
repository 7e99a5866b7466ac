/**
 * Ingest: a file or a folder into the content store and a manifest.
 *
 * Refuses what would not survive a round trip: devices, FIFOs, sockets, symlinks that leave the folder,
 * names that git reads as ".git", invalid UTF-8, names that differ only in case, files that change
 * while they are read. Thread: any; uses two threads itself. Blocks: yes.
 */
#ifndef SL_REGISTRY_INGEST_H
#define SL_REGISTRY_INGEST_H

#include "core/blob/blob.h"
#include "registry/object/manifest.h"

#define SL_INGEST_THREADS     2
#define SL_INGEST_SMALL_MAX   ((uint64_t)1 << 20) /* files up to here count as small */
#define SL_INGEST_FILTERS_MAX 1000

struct sl_ingest_opts {
    /* Patterns by fnmatch(3) over the relative path, "/" not matched by "*"; a pattern without "/"
     * matches the last component, a leading "/" anchors at the top. Excluded directories are not entered. */
    const char *const *exclude;
    size_t n_exclude;
    const struct sl_manifest
        *previous; /* NULL, or the last version: unchanged content is only hashed */
    bool allow_case_collisions;
    bool hash_only; /* digests and a manifest, nothing stored: for bytes that stay where they are */
    void (*on_file)(uint64_t bytes, void *data); /* NULL, or after each file, from any thread */
    void *data;
    const char *name;     /* path of a single file in the manifest; NULL: its base name */
    uint64_t max_entries; /* 0: SL_MANIFEST_ENTRIES_MAX */
};

/**
 * Adds the file or folder `path` below `dirfd` (AT_FDCWD allowed; a symlink as `path` itself is
 * followed) and seals `ret_manifest` (initialised, empty). Content is durable when it returns 0.
 *
 * @param opts  NULL for defaults
 * @return 0; -SL_ENOTFOUND; -SL_EINVAL naming the path; -SL_ELIMIT; -SL_ECONFLICT when a file changed
 *         meanwhile; -SL_ENOSPACE; -SL_EIO. On failure nothing of it is visible in the store.
 */
int sl_ingest_path(struct sl_blob_store *store, int dirfd, const char *path,
                   const struct sl_ingest_opts *opts, struct sl_manifest *ret_manifest,
                   struct sl_err *err) SL_MUST_CHECK;

/**
 * As sl_ingest_path, of the very file that is open: whatever its path leads to by now. For files that
 * somebody else may be replacing.
 *
 * @param fd    of a regular file, O_PATH is enough; the caller keeps it
 * @param name  its path in the manifest
 * @return      as sl_ingest_path; -SL_EINVAL when it is no regular file
 */
int sl_ingest_fd(struct sl_blob_store *store, int fd, const char *name,
                 struct sl_manifest *ret_manifest, struct sl_err *err) SL_MUST_CHECK;

#endif
