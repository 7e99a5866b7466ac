/**
 * The registry's index in SQLite: tables registry_version and registry_alias, derived from the ledger
 * and rebuilt from it at any time. Never a source of truth.
 *
 * Collecting needs the git lane, applying the writer's connection; a caller with both (the command
 * line, start-up) uses sl_registry_index_sync. Blocks: yes.
 */
#ifndef SL_REGISTRY_INDEX_H
#define SL_REGISTRY_INDEX_H

#include "core/db/db.h"
#include "registry/registry.h"

/**
 * registry_version(project, kind, name, number, digest, commit_id, created_ms, n_files, bytes, run_id,
 *   attempt_id, facts: JSON of the trailers), key (project, kind, name, number);
 * registry_alias(project, kind, name, alias, number, digest, moved_ms), key (project, kind, name, alias);
 * registry_cursor(project, ledger): the ledger commit that the tables show.
 */
extern const struct sl_schema sl_registry_schema;

/** Ledger moves not yet in the index. */
struct sl_registry_changes;

/** Reads the ledger from `since` (40 hex, or "" for all) to its tip. Thread: git lane.
 * Owner: caller frees. A `since` that is not in the ledger gives everything, marked as a rebuild. */
int sl_registry_index_collect(struct sl_registry *registry, const char *since,
                              struct sl_registry_changes **ret_changes, struct sl_err *err)
    SL_MUST_CHECK;
/** Applies them inside the caller's transaction; changes that the index already has are skipped.
 * -SL_ECONFLICT when the index stands at another ledger commit than `since` (collect again). */
int sl_registry_index_apply(struct sl_db *db, const struct sl_registry_changes *changes,
                            struct sl_err *err) SL_MUST_CHECK;
void sl_registry_changes_free(struct sl_registry_changes *changes); /* NULL allowed */

/** The ledger commit that the index shows, "" when none. `out` has SL_COMMIT_HEX + 1 bytes. */
int sl_registry_index_cursor(struct sl_db *db, const char *project, char *out, struct sl_err *err)
    SL_MUST_CHECK;

/** Brings the index up to the ledger, in one transaction of its own. */
int sl_registry_index_sync(struct sl_registry *registry, struct sl_db *db, struct sl_err *err)
    SL_MUST_CHECK;
/** Deletes this project's rows and derives them again, in one transaction; touches nothing else. */
int sl_registry_index_rebuild(struct sl_registry *registry, struct sl_db *db, struct sl_err *err)
    SL_MUST_CHECK;

#endif
