/**
 * Retention: removing old runs with their logs, and then the content that nothing names any more.
 *
 * Kept whatever the rule says: runs that have not ended, the newest of each pipeline (numbers are never given
 * out again), runs behind a registered version, a deployment, a verdict that lets through, an approval, or an
 * undelivered message. Lineage, audit, evaluations and verdicts are never removed.
 *
 * Crash-safe: rows go in transactions, and with them the digests that they named are noted as candidates; files
 * and content go afterwards, and whatever a crash leaves is found by the next collection.
 *
 * Thread: one that may write the workspace (sl_ws_write). Blocks: yes. Must not: read a clock.
 */
#ifndef SL_GC_H
#define SL_GC_H

#include "core/base/json.h"
#include "pipelines/run/workspace.h"

#define SL_GC_BATCH_MAX 50    /* runs in one transaction */
#define SL_GC_LIST_MAX  10000 /* runs named in one answer */
#define SL_GC_LIVE_WAIT_MS                                                                         \
    (10LL * 60 * 1000) /* content waits so long while an engine decides on it */

extern const struct sl_schema sl_gc_schema; /* table gc_candidate */

struct sl_gc_opts {
    int64_t now_ms;
    int64_t runs_ms;   /* runs that ended so long ago go; -1: none by age */
    int64_t logs_ms;   /* logs of runs that ended so long ago go; -1: none */
    int64_t keep_last; /* of each pipeline, whatever their age; at least 1 */
    int64_t grace_ms;  /* content written or found so lately stays */
    bool dry_run;
    bool live; /* an engine works here */
};

/**
 * Collects. *ret: {"dry_run","runs":[{"id","name","ended_at","action":"remove|keep|logs","reason","bytes"}],
 * "removed","kept","logs","bytes","content":{"candidates","removed","waiting","bytes"},"left_out"}. With dry_run
 * nothing changes and "action" is what would be done.
 *
 * @return 0; errors of database and files: what was done until then stays done
 * Owner: new reference.
 */
int sl_gc(struct sl_workspace *ws, struct sl_db *reader, const struct sl_gc_opts *opts,
          json_t **ret, struct sl_err *err) SL_MUST_CHECK;

#endif
