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
    const char *data_dir; /* left out of the code snapshot; NULL: none */
    struct sl_db *db;     /* NULL: nothing is recorded yet */
    struct sl_blob_store *blobs;
    struct sl_digest runtime; /* of the machine (sl_facts_runtime) */
    bool no_cache;
};

/** One step as decided: {"key","step","action","decision","reason","condition","cache_key"?,"differences"?,
 * "compared_with"?,"resources":{...},...}. Borrowed during the call. */
typedef void (*sl_preview_fn)(const json_t *step, void *data);

/**
 * Decides every step in plan order and hands it to `fn`; nothing of it is kept, so that a plan of 100,000
 * steps stays small.
 *
 * @param ret  {"pipeline","params":{...},"code":{"files","bytes","commit","dirty","digest","in_git"},
 *             "counts":{"run","cached","skipped","waiting","error"}}
 * @return 0; errors of the snapshot (then fn was not called). A step that cannot be bound is decided
 *         "error" with the reason.
 * Owner: new reference.
 */
int sl_preview(const struct sl_loaded *l, const struct sl_preview_world *w, sl_preview_fn fn,
               void *data, json_t **ret, struct sl_err *err) SL_MUST_CHECK;

#endif
