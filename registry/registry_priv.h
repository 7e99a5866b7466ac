/**
 * Inside of the registry: the repository handle, batches of new objects, the ledger, commit texts.
 * Only this room includes git2.h.
 */
#ifndef SL_REGISTRY_PRIV_H
#define SL_REGISTRY_PRIV_H

#include <git2.h>
#include <git2/sys/odb_backend.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "registry/registry.h"

#define REF_LEDGER       "refs/sluice/ledger"
#define REF_MAIN         "refs/heads/main"
#define REF_ALIAS_PREFIX "refs/sluice/alias/"
#define REF_HEADS_PREFIX "refs/heads/"
#define REF_TAGS_PREFIX  "refs/tags/"
#define MOVES_MAX        16 /* ref moves of one ledger entry */
#define LOOSE_MAX        12 /* new objects up to here are written loose, above as a pack */
#define COMMIT_TEXT_MAX  ((size_t)8 << 20) /* bytes of one commit object */
#define REF_TEXT_MAX     (SL_REF_MAX + SL_NAME_MAX + 64)

struct sl_registry {
    git_repository *repo;
    git_odb *odb;            /* the repository's, with `memory` in front */
    git_odb *disk;           /* a second view of the same directory, for loose writes */
    git_odb_backend *memory; /* mempack; owned by odb */
    struct sl_blob_store *store;
    char *project;
    bool torn; /* a ledger entry's moves are not all done: finish before anything else */
};

/** A callback's result: negative stops, anything else goes on. */
static inline int registry_stop(int rc)
{
    return rc < 0 ? rc : 0;
}

/** Turns libgit2's last error into ours: "what: message". `code` is the value that failed. */
int registry_git_error(int code, struct sl_err *err, const char *fmt, ...) SL_PRINTF(3, 4);

/* ---- new objects ---- */

/** Objects that one commit adds. Zero-initialise; release with registry_batch_release. */
struct registry_batch {
    SL_VEC(git_oid) ids;
};
/** Adds an object to memory unless the repository has it. */
int registry_batch_add(struct sl_registry *r, struct registry_batch *b, git_object_t type,
                       struct sl_str bytes, git_oid *ret_id, struct sl_err *err) SL_MUST_CHECK;
/** Makes every added object durable. */
int registry_batch_flush(struct sl_registry *r, struct registry_batch *b, struct sl_err *err)
    SL_MUST_CHECK;
void registry_batch_release(struct sl_registry *r, struct registry_batch *b);

/** Builds the tree of a version: .gitattributes, .sluice/manifest.json, data/... */
int registry_tree_build(struct sl_registry *r, struct registry_batch *b,
                        const struct sl_manifest *manifest, git_oid *ret_tree, struct sl_err *err)
    SL_MUST_CHECK;

/** One commit object's facts. */
struct registry_commit_text {
    git_oid tree;
    const git_oid *parent; /* NULL: none */
    struct sl_author author;
    int64_t when_ms;
    const char *message;
};
int registry_commit_add(struct sl_registry *r, struct registry_batch *b,
                        const struct registry_commit_text *text, git_oid *ret_id,
                        struct sl_err *err) SL_MUST_CHECK;

/* ---- the ledger ---- */

/** One ref move; a zero id means that the ref does not exist on that side. */
struct registry_move {
    char *ref;
    git_oid from, to;
};
struct registry_moves {
    struct registry_move items[MOVES_MAX];
    size_t n;
};
void registry_moves_add(struct registry_moves *m, const char *ref, const git_oid *from,
                        const git_oid *to);
void registry_moves_release(struct registry_moves *m);

/** What a ledger entry says beside its moves. */
struct registry_entry {
    const char *subject; /* one line */
    const char *reason;  /* NULL or one line */
    struct sl_author author;
    int64_t when_ms;
};
/** The commit point: flushes the batch with the entry, swaps the ledger, moves the refs. */
int registry_ledger_append(struct sl_registry *r, struct registry_batch *b,
                           const struct registry_moves *moves, const struct registry_entry *entry,
                           struct sl_err *err) SL_MUST_CHECK;
/** Completes the moves of the newest entry. */
int registry_ledger_settle(struct sl_registry *r, struct sl_err *err) SL_MUST_CHECK;
/** Reads the moves of a ledger commit. Caller releases. -SL_ECORRUPT */
int registry_ledger_read(git_commit *commit, struct registry_moves *ret, struct sl_err *err)
    SL_MUST_CHECK;
/** Where a ref stands; zero when it does not exist. */
int registry_ref_read(struct sl_registry *r, const char *ref, git_oid *ret, struct sl_err *err)
    SL_MUST_CHECK;
/** Settles if needed; every public function that touches the repository calls it first. */
int registry_enter(struct sl_registry *r, struct sl_err *err) SL_MUST_CHECK;

/* ---- names of refs ---- */

char *registry_ref_branch(enum sl_kind kind, const char *name, char out[REF_TEXT_MAX]);
char *registry_ref_tag(enum sl_kind kind, const char *name, int64_t number, char out[REF_TEXT_MAX]);
char *registry_ref_alias(enum sl_kind kind, const char *name, const char *alias,
                         char out[REF_TEXT_MAX]);
/** Takes "KIND/NAME" or, with a leaf wanted, "KIND/NAME/LEAF" apart. False when it is not ours. */
bool registry_ref_split(const char *rest, enum sl_kind *ret_kind, char name[SL_NAME_MAX + 1],
                        char leaf[SL_NAME_MAX + 1]);

/* ---- versions as commits ---- */

/** A version's record read back from its commit; texts live in the arena. */
struct registry_record {
    struct sl_version_info info;
    const char *attempt_id; /* NULL when none */
    git_oid id;
    git_oid parent; /* zero when first */
    struct sl_arena arena;
};
void registry_record_release(struct registry_record *rec);
/** Reads a version commit. -SL_ENOTFOUND, -SL_ECORRUPT */
int registry_record_read(struct sl_registry *r, const git_oid *id, struct registry_record *ret,
                         struct sl_err *err) SL_MUST_CHECK;
/** Writes the message of a version commit: text, blank line, trailers. */
int registry_record_write(const struct sl_version_spec *spec, int64_t number,
                          const struct sl_digest *parent, struct sl_buf *out, struct sl_err *err)
    SL_MUST_CHECK;

/** Calls back for refs matching a prefix, in libgit2's order. Negative stops. */
typedef int (*registry_ref_fn)(const char *ref, const git_oid *id, void *data, struct sl_err *err);
int registry_refs_each(struct sl_registry *r, const char *prefix, registry_ref_fn fn, void *data,
                       struct sl_err *err) SL_MUST_CHECK;

#endif
