/**
 * The project that is in force: groups, environments, policies, channels and limits, applied by a person
 * (`sluice project apply`), recorded with audit, and read from the database by everything that obeys it.
 * It is never read from a work tree: who may approve must not be up to the one who asks.
 *
 * Thread: that of the connection, or a command. Must not: read the user's files.
 */
#ifndef SL_RUN_PROJECT_H
#define SL_RUN_PROJECT_H

#include "core/db/db.h"
#include "pipelines/run/workspace.h"
#include "pipelines/spec/spec.h"

#define SL_PROJECT_BYTES_MAX ((size_t)1 << 20) /* of a project file */

extern const struct sl_schema sl_project_schema; /* table project_config */

/** Which one is in force; all zero, with empty texts, before the first is applied. */
struct sl_project_info {
    int64_t generation; /* 1, 2, ...; 0: none was applied yet */
    struct sl_digest digest;
    const char *file, *text;
    const char *applied_by; /* opaque id */
    int64_t applied_ms;
};

/**
 * The project in force. Before the first one is applied, an empty one (no groups, no environments, no
 * policies): *ret is never NULL on 0.
 *
 * @param a         holds the project
 * @param ret_info  NULL allowed
 * @return          0; -SL_ECORRUPT when the recorded text no longer loads; else of the database
 * Thread: of the connection; inside or outside a transaction.
 */
int sl_project_current(struct sl_db *db, struct sl_arena *a, const struct sl_project **ret,
                       struct sl_project_info *ret_info, struct sl_err *err) SL_MUST_CHECK;

struct sl_project_apply {
    const char *file; /* shown in messages and recorded */
    struct sl_str text;
    const char *actor;
    int64_t now_ms;
};
/**
 * Puts a project in force, in the caller's transaction, with audit entry and lineage. The same text again
 * changes nothing.
 *
 * @return 0; -SL_EINVAL with the first problem (lint tells all); -SL_ELIMIT
 */
int sl_project_apply(struct sl_db *db, const struct sl_project_apply *p, bool *ret_changed,
                     struct sl_err *err) SL_MUST_CHECK;

#endif
