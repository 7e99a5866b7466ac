/**
 * The Merkle tree of RFC 6962: leaf hash SHA-256(0x00 ‖ leaf), node hash SHA-256(0x01 ‖ left ‖ right),
 * empty tree SHA-256(""). Pure: no clock, no I/O, no globals. Thread: any.
 */
#ifndef SL_AUDIT_MERKLE_H
#define SL_AUDIT_MERKLE_H

#include "core/base/hash.h"

#define SL_MERKLE_LEVELS 62 /* a tree holds fewer than 2^62 leaves */

void sl_merkle_leaf(const void *leaf, size_t len, struct sl_digest *ret);
void sl_merkle_node(const struct sl_digest *left, const struct sl_digest *right,
                    struct sl_digest *ret);

/** Right edge of a tree: for each bit set in size, the hash of that perfect subtree. */
struct sl_merkle_frontier {
    uint64_t size;
    struct sl_digest nodes[SL_MERKLE_LEVELS]; /* nodes[k] valid where bit k of size is set */
};

/** Called per perfect subtree that a push completes, leaf excluded: its level (>= 1) and index. */
typedef int (*sl_merkle_fn)(int level, uint64_t index, const struct sl_digest *hash, void *arg);

/** Adds one leaf hash: O(log n). fn may be NULL; its non-zero result is returned, and the frontier
 * is then undefined. */
int sl_merkle_push(struct sl_merkle_frontier *f, const struct sl_digest *leaf_hash, sl_merkle_fn fn,
                   void *arg);
void sl_merkle_root(const struct sl_merkle_frontier *f, struct sl_digest *ret);

/** An inclusion proof (RFC 6962 §2.1.1): sibling hashes from the leaf up. */
struct sl_merkle_proof {
    uint64_t index, size;
    int n;
    struct sl_digest path[SL_MERKLE_LEVELS];
};

/** True when the proof shows that leaf_hash is leaf `index` of the tree of `size` with `root`
 * (RFC 9162 §2.1.3.2). Any malformed proof is false. */
bool sl_merkle_verify(const struct sl_merkle_proof *p, const struct sl_digest *leaf_hash,
                      const struct sl_digest *root);

#endif
