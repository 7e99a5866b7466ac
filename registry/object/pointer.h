/**
 * The Git LFS pointer: what git holds in place of a file's bytes.
 *
 * Format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md, version 1. Pure. Thread: any.
 */
#ifndef SL_REGISTRY_POINTER_H
#define SL_REGISTRY_POINTER_H

#include "core/base/err.h"
#include "core/base/hash.h"

#define SL_POINTER_MAX 160 /* bytes of the text with NUL */

/** Writes the canonical text. Returns its length. An empty file has no pointer: it stays empty. */
size_t sl_pointer_format(const struct sl_digest *digest, uint64_t size_bytes,
                         char out[SL_POINTER_MAX]);
/** Reads exactly the canonical text. -SL_EINVAL otherwise. */
int sl_pointer_parse(const char *text, size_t len, struct sl_digest *ret_digest,
                     uint64_t *ret_size_bytes, struct sl_err *err) SL_MUST_CHECK;

#endif
