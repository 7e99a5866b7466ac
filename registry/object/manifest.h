/**
 * The manifest of a version: what its files are. Its SHA-256 is the version's identity.
 *
 * Canonical JSON (RFC 8785): {"entries":[{"mode","path","sha256","size","target","type"}...],
 * "format":"sluice-manifest/1"}, entries sorted by path bytes. Pure. Thread: one at a time.
 */
#ifndef SL_REGISTRY_MANIFEST_H
#define SL_REGISTRY_MANIFEST_H

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#define SL_MANIFEST_ENTRIES_MAX 10000000
#define SL_MANIFEST_BYTES_MAX   ((size_t)4 << 30)

enum sl_entry_type { SL_ENTRY_FILE, SL_ENTRY_SYMLINK, SL_ENTRY_DIR /* empty directories only */ };

struct sl_manifest_entry {
    const char *path;
    const char *target; /* symlinks: the text; else NULL */
    enum sl_entry_type type;
    uint32_t mode;           /* 0644 or 0755; symlinks 0777, directories 0755 */
    uint64_t size_bytes;     /* symlinks: length of target; directories 0 */
    struct sl_digest sha256; /* of the content or of the target; directories zero */
};

struct sl_manifest {
    struct sl_arena arena; /* owns the texts */
    SL_VEC(struct sl_manifest_entry) entries;
    uint64_t n_files, total_bytes; /* regular files; set by seal */
    struct sl_digest digest;       /* set by seal */
    bool sealed;
};

void sl_manifest_init(struct sl_manifest *m);
void sl_manifest_release(struct sl_manifest *m);
void sl_cleanup_manifest(struct sl_manifest *m); /* for _cleanup_(manifest) */

/** Adds a regular file; any execute bit of `mode` gives 0755, else 0644. Checks the path. */
int sl_manifest_add_file(struct sl_manifest *m, const char *path, uint32_t mode,
                         uint64_t size_bytes, const struct sl_digest *sha256, struct sl_err *err)
    SL_MUST_CHECK;
/** Adds a symlink; -SL_EINVAL unless it stays inside. */
int sl_manifest_add_symlink(struct sl_manifest *m, const char *path, const char *target,
                            struct sl_err *err) SL_MUST_CHECK;
/** Adds an empty directory. */
int sl_manifest_add_dir(struct sl_manifest *m, const char *path, struct sl_err *err) SL_MUST_CHECK;

/** Sorts, refuses duplicates and a path below a file, counts, computes the digest. Required before any
 * use of the fields marked "set by seal". */
int sl_manifest_seal(struct sl_manifest *m, struct sl_err *err) SL_MUST_CHECK;
/** Refuses two paths that differ only in letter case. Sealed manifests only. */
int sl_manifest_check_case(const struct sl_manifest *m, struct sl_err *err) SL_MUST_CHECK;

/** Appends the canonical bytes of a sealed manifest; out->max_bytes must allow them. */
int sl_manifest_encode(const struct sl_manifest *m, struct sl_buf *out, struct sl_err *err)
    SL_MUST_CHECK;
/** Reads exactly the canonical form into an initialised empty `m` and seals it.
 * @return 0, -SL_ECORRUPT with the byte offset, -SL_ELIMIT */
int sl_manifest_decode(const char *text, size_t len, struct sl_manifest *m, struct sl_err *err)
    SL_MUST_CHECK;
/** The entry of that path; NULL when there is none. */
const struct sl_manifest_entry *sl_manifest_find(const struct sl_manifest *m, const char *path);

/** One difference. `from` is NULL when added, `to` when removed. */
typedef int (*sl_manifest_diff_fn)(const struct sl_manifest_entry *from,
                                   const struct sl_manifest_entry *to, void *data,
                                   struct sl_err *err);
/** Reports every path that differs, in path order. Negative from `fn` stops. */
int sl_manifest_diff(const struct sl_manifest *from, const struct sl_manifest *to,
                     sl_manifest_diff_fn fn, void *data, struct sl_err *err) SL_MUST_CHECK;

#endif
