/** What retention asks of the database and removes from it. Inside pipelines/run only. */
#ifndef SL_GC_STORE_H
#define SL_GC_STORE_H

#include "core/base/time.h"
#include "pipelines/run/gc.h"

struct gc_run {
    char id[SL_ID_HEX + 1];
    char *name;
    int64_t ended_ms;
    const char *keep; /* why, static; NULL: it may go */
};

/** Ended runs, oldest first; `fn` may keep nothing of them. */
typedef int (*gc_run_fn)(const struct gc_run *run, void *data, struct sl_err *err);
int gc_runs(struct sl_db *db, const struct sl_gc_opts *opts, gc_run_fn fn, void *data,
            struct sl_err *err) SL_MUST_CHECK;

/** Removes everything recorded of one run but lineage, audit, verdicts, evaluations, in the caller's transaction;
 * notes what it named as candidates. -SL_ECONFLICT: meanwhile something needs it; nothing is changed. */
int gc_remove_run(struct sl_db *db, const char *id, const struct sl_gc_opts *opts,
                  struct sl_err *err) SL_MUST_CHECK;
/** Whether a run is recorded: 1, 0. */
int gc_run_exists(struct sl_db *db, const char *id, struct sl_err *err) SL_MUST_CHECK;

/** Digests noted before `before_ms`, in order. */
typedef int (*gc_digest_fn)(const struct sl_digest *d, void *data, struct sl_err *err);
int gc_candidates(struct sl_db *db, int64_t before_ms, gc_digest_fn fn, void *data,
                  struct sl_err *err) SL_MUST_CHECK;
int gc_candidate_add(struct sl_db *db, const struct sl_digest *d, int64_t now_ms,
                     struct sl_err *err) SL_MUST_CHECK;
int gc_candidate_drop(struct sl_db *db, const struct sl_digest *d, struct sl_err *err)
    SL_MUST_CHECK;

/** Everything recorded that names content, and whether that names further content as a manifest. */
enum gc_tree { GC_NO_TREE, GC_MAYBE_TREE, GC_TREE };
typedef int (*gc_root_fn)(const struct sl_digest *d, enum gc_tree tree, void *data,
                          struct sl_err *err);
int gc_roots(struct sl_db *db, gc_root_fn fn, void *data, struct sl_err *err) SL_MUST_CHECK;

#endif
