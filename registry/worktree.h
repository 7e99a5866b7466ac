/**
 * The user's own git work tree, read only: which files are tracked, at which commit, and whether they differ
 * from it. Not a registry: nothing here writes.
 *
 * Thread: any, one at a time per call. Blocks: yes.
 */
#ifndef SL_REGISTRY_WORKTREE_H
#define SL_REGISTRY_WORKTREE_H

#include "core/base/err.h"
#include "core/base/mem.h"

#define SL_WORKTREE_FILES_MAX 200000

struct sl_worktree {
    char *top;            /* absolute path of the work tree, no trailing slash */
    char commit[41];      /* HEAD as hex; "" before the first commit */
    char author[256];     /* of HEAD, "Ana <ana@example.org>"; "" unknown */
    bool dirty;           /* a tracked file differs from HEAD */
    SL_VEC(char *) files; /* tracked paths relative to top, sorted, as in the index */
};

/**
 * Reads the work tree around `dir`.
 * @return 0; -SL_ENOTFOUND when `dir` is in none; -SL_ELIMIT; -SL_EIO
 * Owner: caller, sl_worktree_release (also after an error: harmless)
 */
int sl_worktree_read(const char *dir, struct sl_worktree *ret, struct sl_err *err) SL_MUST_CHECK;
void sl_worktree_release(struct sl_worktree *w);

#endif
