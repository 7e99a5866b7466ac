/**
 * Deployments: which version is live on a target, since when, from which run, by whom and under which
 * verdict; and the executor that makes it so for targets of type `directory`.
 *
 * State is journaled before each effect and fenced by the target's generation, so that a crash at any
 * moment is resumed to the same end and a stale execution cannot act.
 * Thread: a lane (blocks on files and commands). Must not: run on the loop, open databases, touch git.
 */
#ifndef SL_DEPLOY_H
#define SL_DEPLOY_H

#include "core/base/sm.h"
#include "core/db/db.h"
#include "pipelines/steps/promote.h"

#define SL_DEPLOY_REASON_MAX 2000
#define SL_DEPLOY_OUTPUT_MAX 1024 /* last bytes of a failed command's output kept in the reason */
#define SL_DEPLOY_TARGET_MAX 128  /* bytes of a target's name */
#define SL_DEPLOY_LIST_MAX   10000

extern const struct sl_schema sl_deploy_schema; /* tables target, deployment */

enum sl_deploy_state {
    SL_DEPLOY_REQUESTED,
    SL_DEPLOY_PREPARING,
    SL_DEPLOY_WARMING,
    SL_DEPLOY_FLIPPING,
    SL_DEPLOY_CHECKING,
    SL_DEPLOY_PROMOTING,
    SL_DEPLOY_LIVE,
    SL_DEPLOY_REVERTING,
    SL_DEPLOY_SUPERSEDED,
    SL_DEPLOY_ROLLED_BACK,
    SL_DEPLOY_FAILED,
};
extern const struct sl_sm_table sl_deploy_machine;

struct sl_deploy_order;
struct sl_deploy_world {
    struct sl_promote_world promote; /* transactions, aliases, clock and ids */
    /** Writes the files of a version below `dirfd` (empty), each verified against its digest. */
    int (*materialise)(void *data, const struct sl_artifact *version, int dirfd,
                       struct sl_err *err);
    /** What the environment of the order's target demands beyond a verdict: 0 with the id of the approval
     * that permits it ("" when there is none and none is demanded), or -SL_EREFUSED with what is missing.
     * An override does not stand for it. NULL: nothing is demanded anywhere. */
    int (*approved)(void *data, const struct sl_deploy_order *order, char ret_id[SL_ID_HEX + 1],
                    struct sl_err *err);
    void *data; /* of materialise and approved */
};

struct sl_deploy_order {
    const struct sl_target *target;
    const char *base_dir;       /* absolute; a relative target path starts here */
    struct sl_artifact version; /* a model version with a name */
    const char *alias;          /* moved when live; NULL none */
    const char *run_id,
        *attempt_id;   /* NULL when asked by a person; the same attempt is the same deployment */
    const char *actor; /* never NULL */
    const char *
        override_reason; /* NULL: a passing verdict is needed where the target or alias is protected */
};

struct sl_rollback_order {
    const char *target; /* name; may be NULL when of_deployment is given */
    const char
        *of_deployment; /* no effect unless this deployment is live; NULL: whatever is live */
    const char *to;     /* NULL or "previous", "v3", "3", or a digest: must have been live before */
    const char *run_id, *attempt_id;
    const char *actor;
    const char *reason; /* why, shown in the list; NULL allowed */
};

enum sl_deploy_result {
    SL_DEPLOY_DONE,      /* it is live now */
    SL_DEPLOY_UNCHANGED, /* that digest was live already */
    SL_DEPLOY_NO_EFFECT  /* rollback of a deployment that is not live */
};

struct sl_deploy_outcome {
    enum sl_deploy_result result;
    char id[SL_ID_HEX + 1];          /* the deployment that is live for it; "" without effect */
    char previous_id[SL_ID_HEX + 1]; /* "" when nothing was live */
    struct sl_artifact version;      /* what is live now; name points into entity */
    char entity[256];
    int64_t generation;
    int64_t flip_ms; /* from the request to the flipped link; -1 when nothing was flipped */
    char note[256];  /* a warning worth showing, or "" */
};

/**
 * Deploys a version: check, materialise, warm up, flip, check, promote; flips back when a check fails.
 *
 * @return 0 with *ret; -SL_EREFUSED (no passing verdict, champion moved); -SL_EBUSY (another deployment is
 *         at work on the target); -SL_EFAILED with the reason when it failed and the previous release is live
 *         again; -SL_EINVAL for a target that cannot be used
 * Blocks: yes. An order with an attempt_id that was executed before gives that result again.
 */
int sl_deploy_run(const struct sl_deploy_world *w, const struct sl_deploy_order *order,
                  struct sl_deploy_outcome *ret, struct sl_err *err) SL_MUST_CHECK;

/**
 * Goes back to an earlier version that was live. A release that is still on disk is not written again.
 * A failing health check is noted and does not stop a rollback.
 *
 * @return as sl_deploy_run; -SL_ENOTFOUND when the target is unknown or there is nothing to go back to
 */
int sl_deploy_rollback(const struct sl_deploy_world *w, const struct sl_rollback_order *order,
                       struct sl_deploy_outcome *ret, struct sl_err *err) SL_MUST_CHECK;

/** Start-up: brings every deployment that a dead engine left unfinished to its end.
 * A deployment that fails then is recorded as failed and is no error here. */
int sl_deploy_resume(const struct sl_deploy_world *w, size_t *ret_resumed, struct sl_err *err)
    SL_MUST_CHECK;

/**
 * Deployments, newest first; `target` NULL: all. Array of {"id","target","generation","kind","state","live",
 * "entity","version","digest","run_id","actor","verdict_id","override_reason","approval_id","alias","alias_from",
 * "previous_id","reason","created_at","live_at","ended_at"}. New reference. Reads only.
 */
int sl_deploy_list(struct sl_db *db, const char *target, int limit, json_t **ret,
                   struct sl_err *err) SL_MUST_CHECK;
/** Targets: array of {"name","path","generation","spec","live":deployment or null}. New reference. */
int sl_deploy_targets(struct sl_db *db, json_t **ret, struct sl_err *err) SL_MUST_CHECK;
/** The table of `sluice deployments`: what is live first, then history. */
void sl_deploy_print(const json_t *list, bool color, int64_t now_ms, struct sl_buf *out);

#endif
