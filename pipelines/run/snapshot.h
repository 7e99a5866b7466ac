/**
 * Code as a run sees it: a snapshot taken at submit, as content. In a git work tree the tracked files as they
 * are now (modified ones included) below its top; elsewhere the folder of the pipeline file; minus
 * .sluiceignore and minus the pipeline files themselves.
 *
 * Thread: a lane or a command. Blocks: yes.
 */
#ifndef SL_SNAPSHOT_H
#define SL_SNAPSHOT_H

#include "core/blob/blob.h"
#include "pipelines/spec/spec.h"
#include "registry/object/manifest.h"

#define SL_SNAPSHOT_FILE_MAX ((uint64_t)512 << 20) /* one file; data belongs into a dataset */
#define SL_IGNORE_BYTES_MAX  (64 << 10)
#define SL_IGNORE_LINES_MAX  900

struct sl_snapshot {
    struct sl_manifest manifest; /* sealed */
    char *root;                  /* absolute directory the paths are relative to */
    char commit[41];             /* "" outside git */
    char author[256];            /* of the commit; "" unknown */
    bool dirty, in_git;
};

/**
 * @param dir    absolute directory of the pipeline file
 * @param spec   its files are left out; outside git the directories of its targets, too
 * @param data_dir  the data directory, left out too when it lies inside (it may have any name); NULL: none
 * @return 0; -SL_ELIMIT; -SL_ECONFLICT when a file changed meanwhile; ...
 * Owner: caller, sl_snapshot_release (harmless after an error)
 */
int sl_snapshot_take(struct sl_blob_store *blobs, const char *dir, const struct sl_spec *spec,
                     const char *data_dir, struct sl_snapshot *ret, struct sl_err *err)
    SL_MUST_CHECK;
void sl_snapshot_release(struct sl_snapshot *s);

/**
 * The part of a snapshot that a step declared: entries equal to or below one of `paths` (n 0: everything).
 * -SL_ENOTFOUND naming a path that matches nothing. ret initialised by the call; sealed.
 */
int sl_snapshot_select(const struct sl_manifest *all, const char *const *paths, size_t n,
                       struct sl_manifest *ret, struct sl_err *err) SL_MUST_CHECK;

#endif
