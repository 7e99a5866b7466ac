/**
 * Lock files of Python environments: pip's requirements format with `==` and `--hash=` on every line.
 *
 * A lock is one file that names every package, its version and the bytes that may be installed. What leaves a
 * choice open (a range, a missing hash, another file, a local folder) is an error that names the line and what
 * makes a lock of it. Format: pip 23 documentation, "Requirements File Format".
 *
 * Pure: text in, structs and diagnostics out. Thread: any.
 */
#ifndef SL_ENV_LOCK_H
#define SL_ENV_LOCK_H

#include "core/base/diag.h"
#include "core/base/hash.h"

#define SL_LOCK_BYTES_MAX    ((size_t)4 << 20)
#define SL_LOCK_PACKAGES_MAX 5000
#define SL_LOCK_HASHES_MAX   1000   /* of one package */
#define SL_LOCK_LINE_MAX     131072 /* bytes of one line with its continuations */
#define SL_LOCK_NAME_MAX     200

struct sl_lock_package {
    const char *name;    /* as PEP 503 writes it: lower case, '-' for runs of '-', '_' and '.' */
    const char *version; /* "1.26.4"; with a marker "1.26.4 ; python_version < '3.12'" */
    struct sl_digest hashes; /* of the sorted list of allowed hashes */
    int line;                /* from 1 */
};

struct sl_lock {
    struct sl_lock_package *packages; /* by name, then version */
    size_t n_packages;
    const char **options; /* that change what is installed: "--no-binary numpy"; sorted */
    size_t n_options;
};

/**
 * Reads a lock; all problems at once into `diags`, each with its line.
 *
 * @param file  as shown in messages; also tells what kind of file was meant ("uv.lock")
 * @return 0; -SL_EINVAL with diags
 * Owner: everything lives in `a`.
 */
int sl_lock_read(const char *file, struct sl_str text, struct sl_arena *a, struct sl_diags *diags,
                 struct sl_lock *ret) SL_MUST_CHECK;

/** PEP 503's name of a package: lower case, one '-' for every run of '-', '_' and '.'. Text in `a`. */
const char *sl_lock_normal_name(struct sl_arena *a, const char *name, size_t len);

#endif
