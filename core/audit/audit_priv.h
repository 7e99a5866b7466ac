/**
 * Inside of the audit room: leaves as bytes, the stored frontier, and the names of the vocabulary.
 */
#ifndef SL_AUDIT_PRIV_H
#define SL_AUDIT_PRIV_H

#include "core/audit/audit.h"
#include "core/base/str.h"

/* Every TILE_LEVELS levels the hashes of perfect subtrees are stored, so proofs need not read all. */
#define SL_AUDIT_TILE_LEVELS 8

/** Canonical JSON of an entry at its index. -SL_EINVAL, -SL_ELIMIT. */
int sl_audit_encode(const struct sl_audit_entry *e, int64_t index, struct sl_buf *out,
                    struct sl_err *err);

int sl_audit_load_frontier(struct sl_db *db, struct sl_merkle_frontier *ret, struct sl_err *err);

/** Appends ready bytes as a leaf: what sl_audit_append does after encoding. */
int sl_audit_append_leaf(struct sl_db *db, struct sl_merkle_frontier *f, struct sl_str leaf,
                         struct sl_err *err);

#endif
