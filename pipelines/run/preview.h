/**
 * What a run of a loaded pipeline would do now, per step, and why: the planner's decisions on what is
 * recorded, without making a version or running anything.
 *
 * A step whose inputs are all known is decided: run, cached or skipped. What stands behind a step that will
 * run waits for it: nobody can know its inputs yet.
 *
 * Thread: that of the connection. Blocks: yes (the snapshot's content is stored). Must not: write rows.
 */
#ifndef SL_PREVIEW_H
#define SL_PREVIEW_H

#include "pipelines/run/run_store.h"
#include "pipelines/run/submission.h"

struct sl_preview_world {
    struct sl_db *db; /* NULL: nothing is recorded yet */
    struct sl_blob_store *blobs;
    struct sl_digest runtime; /* of the machine (sl_facts_runtime) */
    bool no_cache;
};

/**
 * {"pipeline","params":{...},"code":{"files","bytes","commit","dirty","digest","in_git"},
 *  "counts":{"run","cached","skipped","waiting"},"steps":[{"key","step","action","decision","reason",
 *  "condition","cache_key"?,"differences"?,"compared_with"?,"resources":{...},...}]}
 * @return 0; errors of the snapshot. A step that cannot be bound is decided "error" with the reason.
 * Owner: new reference.
 */
int sl_preview(const struct sl_loaded *l, const struct sl_preview_world *w, json_t **ret,
               struct sl_err *err) SL_MUST_CHECK;

#endif
