/**
 * RFC 6962 hashing, the right edge of a growing tree, and verification of inclusion proofs.
 *
 * Pure. Thread: any.
 */
#include "core/base/base.h"

#include "core/audit/merkle.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define LEAF_INLINE 2048 /* leaves up to this size are hashed without an allocation */

void sl_merkle_leaf(const void *leaf, size_t len, struct sl_digest *ret)
{
    uint8_t small[LEAF_INLINE + 1];
    uint8_t *bytes = len <= LEAF_INLINE ? small : sl_malloc(len + 1);
    bytes[0] = 0x00;
    if (len > 0) {
        memcpy(bytes + 1, leaf, len);
    }
    sl_sha256(bytes, len + 1, ret);
    if (bytes != small) {
        free(bytes);
    }
}

void sl_merkle_node(const struct sl_digest *left, const struct sl_digest *right,
                    struct sl_digest *ret)
{
    uint8_t bytes[1 + 2 * SL_DIGEST_BYTES];
    bytes[0] = 0x01;
    memcpy(bytes + 1, left->b, SL_DIGEST_BYTES);
    memcpy(bytes + 1 + SL_DIGEST_BYTES, right->b, SL_DIGEST_BYTES);
    sl_sha256(bytes, sizeof(bytes), ret);
}

int sl_merkle_push(struct sl_merkle_frontier *f, const struct sl_digest *leaf_hash, sl_merkle_fn fn,
                   void *arg)
{
    SL_ASSERT(f->size < (UINT64_C(1) << SL_MERKLE_LEVELS) - 1);
    struct sl_digest hash = *leaf_hash;
    int level = 0;
    for (; ((f->size >> level) & 1) != 0; level++) {
        struct sl_digest left = f->nodes[level];
        sl_merkle_node(&left, &hash, &hash);
        int rc = fn != NULL ? fn(level + 1, f->size >> (level + 1), &hash, arg) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    f->nodes[level] = hash;
    f->size++;
    return 0;
}

void sl_merkle_root(const struct sl_merkle_frontier *f, struct sl_digest *ret)
{
    bool have = false;
    struct sl_digest root;
    for (int level = 0; level < SL_MERKLE_LEVELS; level++) {
        if (((f->size >> level) & 1) == 0) {
            continue;
        }
        if (have) {
            sl_merkle_node(&f->nodes[level], &root, &root);
        } else {
            root = f->nodes[level];
            have = true;
        }
    }
    if (have) {
        *ret = root;
    } else {
        sl_sha256("", 0, ret);
    }
}

bool sl_merkle_verify(const struct sl_merkle_proof *p, const struct sl_digest *leaf_hash,
                      const struct sl_digest *root)
{
    if (p->index >= p->size || p->n < 0 || p->n > SL_MERKLE_LEVELS) {
        return false;
    }
    uint64_t fn = p->index, sn = p->size - 1;
    struct sl_digest r = *leaf_hash;
    for (int i = 0; i < p->n; i++) {
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) != 0 || fn == sn) {
            sl_merkle_node(&p->path[i], &r, &r);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            sl_merkle_node(&r, &p->path[i], &r);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && sl_digest_eq(&r, root);
}
