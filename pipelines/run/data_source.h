/**
 * Where datasets came from, and those whose bytes stay there: facts for git and lineage, the project's demand
 * for metadata, and files of references at the moment of use.
 *
 * `<data>/references/<manifest digest>.json` says of a referenced version where its bytes are; it is written
 * before the version and can be written again by importing the same content.
 *
 * Thread: lanes, commands. Blocks: yes. Must not: be called on the loop.
 */
#ifndef SL_RUN_DATA_SOURCE_H
#define SL_RUN_DATA_SOURCE_H

#include "pipelines/run/workspace.h"
#include "pipelines/spec/spec.h"
#include "registry/source/source.h"

#define SL_REFERENCES_DIR "references"
#define SL_METADATA_MAX   1000 /* bytes of one field */

/** What people say about data. Each NULL when nothing is said. */
struct sl_metadata {
    const char *owner, *source, *licence, *retention;
};

/**
 * Checks lengths, lines, and that `retention` is a duration or "forever"; then that everything the project
 * asks for is there. A record of a source stands for `source`.
 * @return 0; -SL_EINVAL; -SL_EREFUSED naming every missing field
 */
int sl_metadata_check(const struct sl_metadata *m, bool has_source,
                      const struct sl_project *project, struct sl_err *err) SL_MUST_CHECK;

/** Trailers of a version: Owner, Licence, Retention, Source, Source-Kind, Source-Record, Source-Etag,
 * Source-Version-Id, Source-Modified, Imported-At, Tool, Reference. Record NULL allowed. In the arena. */
int sl_metadata_trailers(const struct sl_metadata *m, const json_t *record,
                         const struct sl_digest *record_digest, struct sl_arena *a,
                         struct sl_trailer **ret, size_t *ret_n, struct sl_err *err) SL_MUST_CHECK;

/** In the transaction that records a version: its source as a node of lineage, and its record kept alive.
 * Nothing when the trailers name no source. */
int sl_ws_source_outcome(struct sl_db *db, const struct sl_ws_commit *c,
                         const struct sl_version_ref *version, const char *full_name,
                         int64_t now_ms, struct sl_err *err) SL_MUST_CHECK;

/** Says durably where the bytes of a manifest are. */
int sl_ws_reference_put(int data_dirfd, const struct sl_digest *manifest, const json_t *record,
                        struct sl_err *err) SL_MUST_CHECK;
/** -SL_ENOTFOUND when the version is no reference. */
int sl_ws_reference_get(int data_dirfd, const struct sl_digest *manifest, json_t **ret,
                        struct sl_err *err) SL_MUST_CHECK;

/**
 * sl_manifest_materialise, for versions and references alike: what the store lacks is brought from its source and
 * verified.
 * @param access  signature and the like for the source; NULL: what its record says, with credentials from the
 *                secret that it names
 */
int sl_ws_materialise(const char *data_path, struct sl_blob_store *blobs,
                      const struct sl_source_access *access, const struct sl_manifest *manifest,
                      int dirfd, const char *path, const struct sl_materialise_opts *opts,
                      struct sl_err *err) SL_MUST_CHECK;

/** Reads every referenced file where it lies and checks it; `fn` gets each finding. Negative when it could not. */
int sl_ws_references_verify(const char *data_path, struct sl_blob_store *blobs, sl_fsck_fn fn,
                            void *data, struct sl_err *err) SL_MUST_CHECK;

/** Key pair "ACCESS:SECRET" or "ACCESS:SECRET:TOKEN" from a secret; release wipes it. */
struct sl_source_keys {
    struct sl_aws aws;
    char *memory; /* of sl_secret_alloc; NULL: none */
};
int sl_source_keys_load(const char *data_path, const char *secret, struct sl_source_keys *ret,
                        struct sl_err *err) SL_MUST_CHECK;
void sl_source_keys_release(struct sl_source_keys *k);

#endif
