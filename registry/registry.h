/**
 * The registry of one project: numbered, immutable versions of datasets, models and artifacts and the
 * aliases that point at them, kept in a bare git repository that stock git and git-lfs can read.
 *
 * The compare-and-swap of refs/sluice/ledger is the only commit point: each ledger commit lists its
 * (ref, old, new) moves, and opening the registry rolls the other refs forward. Identity of a version
 * is the SHA-256 of its manifest.
 *
 * Thread: any, but one at a time per registry (callers use the git lane). Blocks: yes.
 * Fault points: registry.* of faults.def. Must not: log, know about runs beyond the trailers given.
 */
#ifndef SL_REGISTRY_H
#define SL_REGISTRY_H

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/blob/blob.h"
#include "registry/object/manifest.h"
#include "registry/object/name.h"

#define SL_TRAILERS_MAX        1000  /* per version */
#define SL_TRAILER_BYTES_MAX   4096  /* one value */
#define SL_VERSION_MESSAGE_MAX 65536 /* bytes */
#define SL_COMMIT_HEX          40

struct sl_registry;

/** Names one version. By value, owns nothing. */
struct sl_version_ref {
    enum sl_kind kind;
    char name[SL_NAME_MAX + 1];
    int64_t number;                 /* the N of vN, from 1 */
    struct sl_digest digest;        /* of the manifest: the version's identity */
    char commit[SL_COMMIT_HEX + 1]; /* git commit */
    int64_t created_ms;             /* whole seconds, unix */
};

/** Longest text: kind/name@vN. */
#define SL_VERSION_TEXT (SL_NAME_MAX + 32)
/** "name@vN". `out` needs SL_VERSION_TEXT bytes. Returns out. */
char *sl_version_text(const struct sl_version_ref *version, char *out);

struct sl_author {
    const char *name;  /* NULL: "sluice" */
    const char *email; /* NULL: "sluice@localhost" */
};

/** Facts of a version, kept as commit trailers: key one of Run, Input, Pipeline, Env, Code (the
 * "Sluice-" is added), or another of the same form; values are single lines. With the key
 * SL_TRAILER_REFERENCE the version's bytes lie elsewhere: they need not be in the store. */
struct sl_trailer {
    const char *key;
    const char *value;
};
#define SL_TRAILER_REFERENCE "Reference"
bool sl_trailers_reference(const struct sl_trailer *trailers, size_t n);

/** What to commit. */
struct sl_version_spec {
    enum sl_kind kind;
    const char *name;
    const struct sl_manifest *manifest; /* sealed; its content durable in the store */
    const char *message;                /* NULL or free text */
    const struct sl_trailer *trailers;
    size_t n_trailers;
    struct sl_author author;
    int64_t when_ms;        /* 0: now */
    const char *attempt_id; /* NULL or 32 hex: who made it */
    bool always_new; /* number a new version even when the content is an existing one's; a replay
                               with the same attempt_id and content still returns the first result */
};

/**
 * Opens `registry/<project>.git` below the data directory, creating it on first use, and completes
 * what a crash left half done, stale locks of git included: the caller holds the data directory's lock.
 *
 * @param project  an entity name by sl_name_check
 * @param store    outlives the registry
 * @return 0; -SL_EINVAL; -SL_ECORRUPT when a ref contradicts the ledger; -SL_EIO; -SL_ENOSPACE
 * Owner: caller closes.
 */
int sl_registry_open(int data_dirfd, const char *project, struct sl_blob_store *store,
                     struct sl_registry **ret_registry, struct sl_err *err) SL_MUST_CHECK;
void sl_registry_close(struct sl_registry *registry); /* NULL allowed */
const char *sl_registry_project(const struct sl_registry *registry);

/**
 * Makes a version, or returns the entity's newest one with the same content.
 *
 * @param ret_created  whether a version was made; may be NULL
 * @return 0; -SL_EINVAL (names, trailers); -SL_ENOTFOUND when content is missing from the store;
 *         -SL_ECONFLICT when the ledger moved meanwhile; -SL_ENOSPACE; -SL_EIO
 * Durable when it returns 0; idempotent, so it may be repeated after a crash.
 */
int sl_registry_commit(struct sl_registry *registry, const struct sl_version_spec *spec,
                       struct sl_version_ref *ret_version, bool *ret_created, struct sl_err *err)
    SL_MUST_CHECK;

/**
 * Finds the version that a reference names ("name", "name@vN", "name@latest", "name@alias",
 * "name@sha256:HEX" with at least 8 digits).
 * @return 0; -SL_ENOTFOUND with the nearest valid name; -SL_EINVAL; -SL_ECONFLICT (ambiguous digest)
 */
int sl_registry_resolve(struct sl_registry *registry, enum sl_kind kind, const char *text,
                        struct sl_version_ref *ret_version, struct sl_err *err) SL_MUST_CHECK;

struct sl_entity_info {
    enum sl_kind kind;
    const char *name; /* during the call */
    struct sl_version_ref latest;
};
typedef int (*sl_entity_fn)(const struct sl_entity_info *entity, void *data, struct sl_err *err);
/** Entities of one kind, sorted by name. Negative from `fn` stops. */
int sl_registry_entities(struct sl_registry *registry, enum sl_kind kind, sl_entity_fn fn,
                         void *data, struct sl_err *err) SL_MUST_CHECK;

/** One version as recorded. Texts live during the call. */
struct sl_version_info {
    struct sl_version_ref ref;
    const char *message;
    const char *author_name, *author_email;
    uint64_t n_files, total_bytes;
    struct sl_digest parent;           /* digest of the version before; zero for the first */
    const struct sl_trailer *trailers; /* those given at commit, "Sluice-" removed, in order */
    size_t n_trailers;
};
typedef int (*sl_version_fn)(const struct sl_version_info *info, void *data, struct sl_err *err);
/** Versions of an entity, newest first. -SL_ENOTFOUND with the nearest name. */
int sl_registry_versions(struct sl_registry *registry, enum sl_kind kind, const char *name,
                         sl_version_fn fn, void *data, struct sl_err *err) SL_MUST_CHECK;
/** The record of one version. */
int sl_registry_version(struct sl_registry *registry, const struct sl_version_ref *version,
                        sl_version_fn fn, void *data, struct sl_err *err) SL_MUST_CHECK;

/** Reads the manifest into an initialised empty one and checks it against version->digest. */
int sl_registry_manifest(struct sl_registry *registry, const struct sl_version_ref *version,
                         struct sl_manifest *ret_manifest, struct sl_err *err) SL_MUST_CHECK;

/** Reports paths that differ between two versions (sl_manifest_diff). */
int sl_registry_diff(struct sl_registry *registry, const struct sl_version_ref *from,
                     const struct sl_version_ref *to, sl_manifest_diff_fn fn, void *data,
                     struct sl_err *err) SL_MUST_CHECK;

/** What an alias move needs. */
struct sl_alias_move {
    enum sl_kind kind;
    const char *name;
    const char *alias;
    const struct sl_version_ref *to;             /* NULL: delete */
    const struct sl_version_ref *expected;       /* what it must be now; NULL: see `mode` */
    enum { SL_ALIAS_EXPECT, SL_ALIAS_ANY } mode; /* EXPECT with NULL: it must not exist */
    const char *reason;                          /* NULL or one line */
    struct sl_author author;
    int64_t when_ms; /* 0: now */
};
/** Moves, sets or deletes an alias through the ledger. Moving to where it already is changes nothing.
 * @return 0; -SL_ECONFLICT naming what it is now; -SL_ENOTFOUND (deleting none); -SL_EINVAL
 * Whether an alias is protected is decided above, before this call. */
int sl_registry_alias_move(struct sl_registry *registry, const struct sl_alias_move *move,
                           struct sl_err *err) SL_MUST_CHECK;

typedef int (*sl_alias_fn)(const char *alias, const struct sl_version_ref *version, void *data,
                           struct sl_err *err);
/** Aliases of an entity, sorted. */
int sl_registry_aliases(struct sl_registry *registry, enum sl_kind kind, const char *name,
                        sl_alias_fn fn, void *data, struct sl_err *err) SL_MUST_CHECK;

/** One move of an alias, from the ledger. */
struct sl_alias_event {
    const char *alias;
    const struct sl_version_ref *from, *to; /* NULL: did not exist, was deleted */
    const char *author_name, *reason;
    int64_t when_ms;
};
typedef int (*sl_alias_event_fn)(const struct sl_alias_event *event, void *data,
                                 struct sl_err *err);
/** Moves of one alias (or of all the entity's, alias NULL), newest first. */
int sl_registry_alias_history(struct sl_registry *registry, enum sl_kind kind, const char *name,
                              const char *alias, sl_alias_event_fn fn, void *data,
                              struct sl_err *err) SL_MUST_CHECK;

/** Where files come from that the store does not hold: writes one as a new file `path` below `dirfd`, every
 * byte verified, as sl_blob_materialise does. */
struct sl_absent {
    int (*write)(void *data, const struct sl_manifest_entry *entry, int dirfd, const char *path,
                 mode_t mode, struct sl_err *err);
    void *data;
};
struct sl_materialise_opts {
    const char *only; /* NULL, or one path of the manifest: that file alone, by its base name */
    bool read_only;   /* files 0444 or 0555 and directories 0555 instead of the recorded modes */
    const struct sl_absent *absent; /* NULL: what the store lacks is -SL_ENOTFOUND */
};
/**
 * Writes a version's files below `dirfd`/`path` (created; must be empty or missing), every byte
 * verified: directories first, files, symlinks last. On failure what was written is removed.
 * @return 0; -SL_EEXISTS; -SL_ENOTFOUND; -SL_ECORRUPT; -SL_ENOSPACE; -SL_EIO
 */
int sl_registry_materialise(struct sl_registry *registry, const struct sl_version_ref *version,
                            int dirfd, const char *path, const struct sl_materialise_opts *opts,
                            struct sl_err *err) SL_MUST_CHECK;

/** The same for a manifest at hand; needs no repository. Thread: any. */
int sl_manifest_materialise(struct sl_blob_store *store, const struct sl_manifest *manifest,
                            int dirfd, const char *path, const struct sl_materialise_opts *opts,
                            struct sl_err *err) SL_MUST_CHECK;

/** One finding of fsck: one line. `severe` findings mean loss or contradiction. */
typedef void (*sl_fsck_fn)(const char *finding, bool severe, void *data);
struct sl_fsck_report {
    uint64_t n_versions, n_entries, n_blobs, n_ledger, n_findings, n_severe;
};
/**
 * Checks that refs resolve and equal the ledger's replay, that the ledger chain is whole, that trees
 * match manifests, that every piece of content is present; `deep` rehashes the content too.
 * @return 0 when the check ran (findings are in the report), -SL_EIO when it could not
 */
int sl_registry_fsck(struct sl_registry *registry, bool deep, sl_fsck_fn fn, void *data,
                     struct sl_fsck_report *ret_report, struct sl_err *err) SL_MUST_CHECK;

#endif
