/**
 * Shared by the files of this room: the deployment row, the execution, the release directory.
 *
 * Layout of a target of type `directory`:
 *
 *     <path>/current                      link to releases/<name>, replaced by rename only
 *     <path>/releases/<digest12>-g<N>/    one release, complete or absent
 *     <path>/releases/.<name>.json        its marker: every file with its size, written before the rename
 *     <path>/releases/.tmp-<name>/        a release on its way
 */
#ifndef SL_DEPLOY_PRIV_H
#define SL_DEPLOY_PRIV_H

#include "core/base/mem.h"
#include "pipelines/deploy/deploy.h"
#include "pipelines/steps/actor.h"

#define SL_RELEASE_NAME      64 /* "<12 hex>-g<number>" and NUL */
#define SL_DEPLOY_ENTITY     256
#define SL_DEPLOY_DIGEST     (7 + SL_DIGEST_HEX + 1)
#define SL_RELEASE_FILES_MAX 1000000

/** A row of table deployment. */
struct sl_deployment {
    char id[SL_ID_HEX + 1];
    char target[SL_DEPLOY_TARGET_MAX + 1];
    int64_t generation;
    bool is_rollback;
    int state; /* enum sl_deploy_state */
    char entity[SL_DEPLOY_ENTITY];
    int64_t number;
    struct sl_digest digest;
    char release[SL_RELEASE_NAME];
    char previous_id[SL_ID_HEX + 1]; /* live when this one was requested; "" none */
    char run_id[SL_ID_HEX + 1], attempt_id[SL_ID_HEX + 1];
    char actor[SL_AUDIT_PRINCIPAL];
    char verdict_id[SL_ID_HEX + 1];
    char approval_id[SL_ID_HEX + 1]; /* "" none was given */
    char alias[SL_DEPLOY_ENTITY];    /* "" none */
    char reason[SL_DEPLOY_REASON_MAX + 1];
    char note[SL_DEPLOY_REASON_MAX + 1]; /* of a live one: a warning; "" none */
    int64_t created_ms, flipped_ms;      /* flipped_ms 0 while not flipped */
    bool was_live;
};

/** A row of table target. */
struct sl_target_row {
    bool exists;
    int64_t generation;
    char live_id[SL_ID_HEX + 1]; /* "" nothing is live */
    char *spec;                  /* JSON, in the arena of the load; NULL when there is no row */
};

/** The directory of a target, open. */
struct sl_release_dir {
    char *path; /* absolute */
    int root, releases;
};
#define SL_RELEASE_DIR_INIT ((struct sl_release_dir){.root = -1, .releases = -1})

/** One execution: from an existing row to its end. */
struct sl_exec {
    const struct sl_deploy_world *w;
    struct sl_arena arena;
    struct sl_target target;
    struct sl_release_dir dir;
    struct sl_deployment d;
    struct sl_deployment previous; /* live when it began; id "" none */
};

/* ---- store.c: rows --------------------------------------------------------------------------------- */

/** Columns of sl_deployment_fill, for SELECT ... FROM deployment. */
#define SL_DEPLOYMENT_COLUMNS                                                                      \
    "id, target, generation, kind, state, entity, number, digest, release, previous_id, run_id,"   \
    " attempt_id, actor, verdict_id, alias, reason, note, created_ms, flipped_ms, live_ms,"        \
    " approval_id"
void sl_deployment_fill(struct sl_rows *rows, struct sl_deployment *ret);
/** -SL_ENOTFOUND without a row. */
int sl_deployment_load(struct sl_db *db, const char *id, struct sl_deployment *ret,
                       struct sl_err *err) SL_MUST_CHECK;
int sl_deployment_by_attempt(struct sl_db *db, const char *attempt_id, struct sl_deployment *ret,
                             bool *ret_found, struct sl_err *err) SL_MUST_CHECK;
int sl_target_load(struct sl_db *db, const char *name, struct sl_arena *a,
                   struct sl_target_row *ret, struct sl_err *err) SL_MUST_CHECK;
const char *sl_deploy_digest(const struct sl_digest *d, char out[SL_DEPLOY_DIGEST]);
/** The artifact of a row; its name points into the row. */
struct sl_artifact sl_deployment_version(const struct sl_deployment *d);
int64_t sl_deploy_now(const struct sl_deploy_world *w);

/** What a new deployment starts from; the claim fills id, generation, release (when ""), times. */
struct sl_claim {
    const struct sl_deploy_world *w;
    struct sl_deployment d;
    const char *actor;           /* as given */
    const char *override_reason; /* NULL none */
    const char *path;            /* absolute; NULL: the target's row must exist */
    const char *spec;            /* JSON; NULL: keeps the row's */
    const char *expected_live;   /* id that must be live; NULL: any */
    bool not_live;               /* result: expected_live is not live; nothing was claimed */
};
/** One transaction: fences older executions, numbers and records the deployment. */
int sl_deploy_claim(struct sl_claim *c, struct sl_err *err) SL_MUST_CHECK;

/* ---- move.c: transitions ------------------------------------------------------------------------------- */

/** Moves the row to `to`, when it is in its known state and its generation is the target's still.
 * `reason` NULL: the table's. -SL_ECONFLICT when it was overtaken. */
int sl_deploy_move(struct sl_exec *x, enum sl_deploy_state to, const char *reason,
                   struct sl_err *err) SL_MUST_CHECK;
/** Nothing changes; -SL_ECONFLICT when it was overtaken. */
int sl_deploy_still_ours(struct sl_exec *x, struct sl_err *err) SL_MUST_CHECK;
/** Sets flipped_ms once. */
int sl_deploy_note_flip(struct sl_exec *x, struct sl_err *err) SL_MUST_CHECK;
/** The last move: this one is live, the one before it is superseded or rolled back. */
int sl_deploy_go_live(struct sl_exec *x, const char *note, struct sl_err *err) SL_MUST_CHECK;

/* ---- facts.c: what others are told, in the caller's transaction ----------------------------------------- */

int sl_deploy_fact_event(struct sl_db *db, const struct sl_deployment *d, int from, int64_t now_ms,
                         struct sl_err *err) SL_MUST_CHECK;
int sl_deploy_fact_audit(struct sl_db *db, const struct sl_deployment *d, enum sl_act act,
                         int64_t now_ms, struct sl_err *err) SL_MUST_CHECK;
int sl_deploy_fact_lineage(struct sl_db *db, const struct sl_deployment *d, int64_t now_ms,
                           struct sl_err *err) SL_MUST_CHECK;

/* ---- release.c: the directory ---------------------------------------------------------------------------- */

int sl_release_dir_open(const char *path, struct sl_release_dir *ret, struct sl_err *err)
    SL_MUST_CHECK;
void sl_release_dir_release(struct sl_release_dir *dir);
/** Complete and with the sizes that its marker says. */
bool sl_release_intact(const struct sl_release_dir *dir, const char *name);
/** Writes the release, verified by the world, durable before it gets its name. Idempotent. */
int sl_release_prepare(struct sl_exec *x, struct sl_err *err) SL_MUST_CHECK;
/** Name that `current` leads to, or "" (no link, or not into releases). */
void sl_release_current(const struct sl_release_dir *dir, char ret[SL_RELEASE_NAME]);
/** Points `current` at the release ("" removes the link): atomic and durable. */
int sl_release_flip(const struct sl_release_dir *dir, const char *name, struct sl_err *err)
    SL_MUST_CHECK;
/** Removes releases that are not in `keep`, and leftovers. */
void sl_release_prune(const struct sl_release_dir *dir, const char *const *keep, size_t n_keep);

/* ---- command.c: warm-up, reload, health -------------------------------------------------------------------- */

/**
 * Runs one command in the release: minimal environment, own process group, killed at the target's time-out.
 *
 * @param what  for messages: "warm-up", "health check", "reload"
 * @return      0, or -SL_EFAILED / -SL_ETIMEOUT with the command, its end and its last output
 */
int sl_deploy_command(struct sl_exec *x, const char *what, const char *const *argv,
                      const struct sl_deployment *of, struct sl_err *err) SL_MUST_CHECK;

/* ---- execute.c --------------------------------------------------------------------------------------------- */

/** Opens everything for a row; release in any case. */
int sl_exec_open(struct sl_exec *x, const struct sl_deploy_world *w, const char *id,
                 struct sl_err *err) SL_MUST_CHECK;
void sl_exec_release(struct sl_exec *x);
/** Drives the row to its end (or to being overtaken). */
int sl_exec_drive(struct sl_exec *x, struct sl_err *err) SL_MUST_CHECK;
/** Opens, drives, and tells. */
int sl_exec_run(const struct sl_deploy_world *w, const char *id, struct sl_deploy_outcome *ret,
                struct sl_err *err) SL_MUST_CHECK;
/** An outcome from a row that is at its end. */
void sl_deploy_outcome_fill(const struct sl_deployment *d, enum sl_deploy_result result,
                            struct sl_deploy_outcome *ret);

#endif
