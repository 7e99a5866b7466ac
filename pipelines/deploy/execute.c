/**
 * The execution: one effect per state, journaled before it, repeated safely after a crash.
 *
 * Each function below does what its state says and moves on; a resumed execution enters at the state
 * that was recorded. An effect that fails leads to `failed` while the link was not touched, and to
 * `reverting` afterwards. A rollback never reverts because of a check: it notes the finding.
 *
 * Thread: a lane (blocks). Must not: act after its generation was overtaken.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

#include "core/base/fault.h"

#define KEEP_QUERY_MAX 200 /* releases named to the prune */

/** Yields 0, or fails here as the armed fault point says. */
#define FAULT(point, err)                                                                          \
    ({                                                                                             \
        int fault_ = SL_FAULT_POINT(point);                                                        \
        fault_ != 0 ? sl_err_errno((err), fault_, "deployment") : 0;                               \
    })

/* ---- opening -------------------------------------------------------------------------------------- */

struct loading {
    struct sl_exec *x;
    const char *id;
    struct sl_target_row row;
};

static int load_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct loading *l = arg;
    struct sl_exec *x = l->x;
    int rc = sl_deployment_load(db, l->id, &x->d, err);
    if (rc == 0) {
        rc = sl_target_load(db, x->d.target, &x->arena, &l->row, err);
    }
    if (rc == 0 && x->d.previous_id[0] != '\0') {
        rc = sl_deployment_load(db, x->d.previous_id, &x->previous, err);
    }
    return rc;
}

int sl_exec_open(struct sl_exec *x, const struct sl_deploy_world *w, const char *id,
                 struct sl_err *err)
{
    *x = (struct sl_exec){.w = w, .dir = SL_RELEASE_DIR_INIT};
    sl_arena_init(&x->arena, 0);
    struct loading l = {.x = x, .id = id};
    int rc = w->promote.write(w->promote.data, load_tx, &l, err);
    if (rc < 0) {
        return rc;
    }
    json_auto_t *spec = sl_json_parse("target", l.row.spec, strlen(l.row.spec), err);
    if (spec == NULL) {
        return sl_err_wrap(err, "the stored target %s", x->d.target);
    }
    rc = sl_target_from_json(&x->arena, spec, &x->target, err);
    return rc < 0 ? rc : sl_release_dir_open(x->target.path, &x->dir, err);
}

void sl_exec_release(struct sl_exec *x)
{
    sl_release_dir_release(&x->dir);
    sl_arena_release(&x->arena);
}

/* ---- before the flip -------------------------------------------------------------------------------- */

/** Ends an execution that has not touched the link. */
static int give_up(struct sl_exec *x, const struct sl_err *why, struct sl_err *err)
{
    return sl_deploy_move(x, SL_DEPLOY_FAILED, why->msg, err);
}

static int do_requested(struct sl_exec *x, struct sl_err *err)
{
    bool ready = x->d.is_rollback && sl_release_intact(&x->dir, x->d.release);
    return sl_deploy_move(x, ready ? SL_DEPLOY_FLIPPING : SL_DEPLOY_PREPARING, NULL, err);
}

static int do_preparing(struct sl_exec *x, struct sl_err *err)
{
    struct sl_err why = SL_ERR_INIT;
    int rc = FAULT(DEPLOY_PREPARING, &why);
    if (rc == 0) {
        rc = sl_release_prepare(x, &why);
    }
    if (rc == 0) {
        rc = FAULT(DEPLOY_PREPARED, &why);
    }
    return rc < 0 ? give_up(x, &why, err) : sl_deploy_move(x, SL_DEPLOY_WARMING, NULL, err);
}

static int do_warming(struct sl_exec *x, struct sl_err *err)
{
    struct sl_err why = SL_ERR_INIT;
    int rc = 0;
    if (x->target.warmup != NULL) {
        rc = sl_deploy_command(x, "warm-up", x->target.warmup, &x->d, &why);
    }
    if (rc == 0) {
        rc = FAULT(DEPLOY_WARMED, &why);
    }
    return rc < 0 ? give_up(x, &why, err) : sl_deploy_move(x, SL_DEPLOY_FLIPPING, NULL, err);
}

/* ---- the flip ------------------------------------------------------------------------------------------ */

/** Leads the link to `name` while nobody else may, and only at our generation. */
static int flip_locked(struct sl_exec *x, const char *name, struct sl_err *err)
{
    char now[SL_RELEASE_NAME];
    if (flock(x->dir.root, LOCK_EX) < 0) {
        return sl_err_errno(err, errno, "cannot lock %s", x->dir.path);
    }
    int rc = sl_deploy_still_ours(x, err);
    sl_release_current(&x->dir, now);
    if (rc == 0 && !sl_streq(now, name)) {
        rc = sl_release_flip(&x->dir, name, err);
    }
    (void)flock(x->dir.root, LOCK_UN);
    return rc;
}

static int do_flipping(struct sl_exec *x, struct sl_err *err)
{
    struct sl_err why = SL_ERR_INIT;
    int rc = FAULT(DEPLOY_FLIP, &why);
    if (rc == 0) {
        rc = flip_locked(x, x->d.release, &why);
    }
    if (rc == 0) {
        rc = FAULT(DEPLOY_FLIPPED, &why);
    }
    if (rc == -SL_ECONFLICT) {
        return sl_err_set(err, SL_ECONFLICT, "%s", why.msg);
    }
    if (rc < 0) {
        return sl_deploy_move(x, SL_DEPLOY_REVERTING, why.msg, err);
    }
    rc = sl_deploy_note_flip(x, err);
    return rc < 0 ? rc : sl_deploy_move(x, SL_DEPLOY_CHECKING, NULL, err);
}

/* ---- after the flip ------------------------------------------------------------------------------------- */

static int check_health(struct sl_exec *x, struct sl_err *err)
{
    int tries = 1 + SL_MAX(x->target.health_retries, 0);
    int rc = 0;
    for (int i = 0; i < tries; i++) {
        if (i > 0 && x->target.health_interval_ms > 0) {
            (void)poll(NULL, 0, (int)SL_MIN(x->target.health_interval_ms, (int64_t)INT32_MAX));
        }
        rc = sl_deploy_command(x, "health check", x->target.health, &x->d, err);
        if (rc == 0) {
            return 0;
        }
    }
    return tries > 1 ? sl_err_wrap(err, "after %d tries", tries) : rc;
}

/** A finding after the flip: a deployment reverts, a rollback only notes it. */
static int finding(struct sl_exec *x, const struct sl_err *why, struct sl_err *err)
{
    if (!x->d.is_rollback) {
        return sl_deploy_move(x, SL_DEPLOY_REVERTING, why->msg, err);
    }
    (void)snprintf(x->d.note, sizeof(x->d.note), "%s", why->msg);
    return 0;
}

static int do_checking(struct sl_exec *x, struct sl_err *err)
{
    struct sl_err why = SL_ERR_INIT;
    int rc = 0;
    if (x->target.reload != NULL) {
        rc = sl_deploy_command(x, "reload", x->target.reload, &x->d, &why);
    }
    if (rc == 0 && x->target.health != NULL) {
        rc = check_health(x, &why);
    }
    if (rc == 0) {
        rc = FAULT(DEPLOY_CHECKED, &why);
    }
    if (rc < 0) {
        rc = finding(x, &why, err);
    }
    if (rc < 0 || x->d.state == SL_DEPLOY_REVERTING) {
        return rc;
    }
    return sl_deploy_move(x, SL_DEPLOY_PROMOTING, NULL, err);
}

/** A rollback takes the alias back only from the version that it leaves. */
static int alias_is_ours(struct sl_exec *x, bool *ret, struct sl_err *err)
{
    struct sl_alias_holder now = {0};
    *ret = true;
    if (!x->d.is_rollback) {
        return 0;
    }
    int rc = x->w->promote.alias_get(x->w->promote.data, x->d.entity, x->d.alias, &now, err);
    if (rc < 0) {
        return rc;
    }
    *ret = now.exists && (sl_digest_eq(&now.digest, &x->previous.digest) ||
                          sl_digest_eq(&now.digest, &x->d.digest));
    if (!*ret) {
        (void)snprintf(x->d.note, sizeof(x->d.note),
                       "%s@%s was left where it is: it did not point to the version rolled back",
                       x->d.entity, x->d.alias);
    }
    return 0;
}

static int move_alias(struct sl_exec *x, struct sl_err *err)
{
    bool ours = false;
    int rc = alias_is_ours(x, &ours, err);
    if (rc < 0 || !ours) {
        return rc;
    }
    const struct sl_promotion p = {
        .entity = x->d.entity,
        .alias = x->d.alias,
        .to = {.exists = true, .number = x->d.number, .digest = x->d.digest},
        .authority = x->d.is_rollback ? SL_AUTHORITY_ROLLBACK : SL_AUTHORITY_VERDICT,
        .actor = x->d.actor,
        .run_id = x->d.run_id[0] != '\0' ? x->d.run_id : NULL,
        .deployment_id = x->d.id,
    };
    struct sl_promoted moved;
    return sl_promote_alias(&x->w->promote, &p, &moved, err);
}

/** Whether an alias error is a decision (refused, moved by another), not a broken machine. */
static bool is_decision(int rc)
{
    return rc == -SL_EREFUSED || rc == -SL_ECONFLICT || rc == -SL_ENOTFOUND || rc == -SL_EINVAL;
}

static int do_promoting(struct sl_exec *x, struct sl_err *err)
{
    struct sl_err why = SL_ERR_INIT;
    int rc = x->d.alias[0] != '\0' ? move_alias(x, &why) : 0;
    if (rc < 0 && !is_decision(rc)) {
        if (err != NULL) {
            *err = why; /* stays in promoting: a resume goes on from here */
        }
        return rc;
    }
    if (rc < 0) {
        rc = finding(x, &why, err);
    }
    if (rc < 0 || x->d.state == SL_DEPLOY_REVERTING) {
        return rc;
    }
    rc = FAULT(DEPLOY_PROMOTED, err);
    return rc < 0 ? rc : sl_deploy_go_live(x, x->d.note[0] != '\0' ? x->d.note : NULL, err);
}

static int do_reverting(struct sl_exec *x, struct sl_err *err)
{
    bool back = x->previous.id[0] != '\0' && sl_release_intact(&x->dir, x->previous.release);
    char now[SL_RELEASE_NAME];
    int rc = FAULT(DEPLOY_REVERT, err);
    sl_release_current(&x->dir, now);
    if (rc == 0 && sl_streq(now, x->d.release)) {
        rc = flip_locked(x, back ? x->previous.release : "", err);
    }
    if (rc == 0) {
        rc = FAULT(DEPLOY_REVERTED, err);
    }
    if (rc < 0) {
        return rc;
    }
    char reason[SL_DEPLOY_REASON_MAX + 1];
    struct sl_err reload = SL_ERR_INIT;
    if (back && x->target.reload != NULL) {
        int told = sl_deploy_command(x, "reload", x->target.reload, &x->previous, &reload);
        (void)told; /* its message is part of the reason */
    }
    if (back) {
        (void)snprintf(reason, sizeof(reason), "%.1200s; %s@v%lld is live again%s%s", x->d.reason,
                       x->previous.entity, (long long)x->previous.number,
                       reload.code != 0 ? "; " : "", reload.msg);
    } else {
        (void)snprintf(reason, sizeof(reason), "%.1200s; nothing is live", x->d.reason);
    }
    return sl_deploy_move(x, SL_DEPLOY_FAILED, reason, err);
}

/* ---- after the end ---------------------------------------------------------------------------------------- */

struct keeping {
    const struct sl_exec *x;
    char names[KEEP_QUERY_MAX][SL_RELEASE_NAME];
    size_t n;
};

/** Live, the one before it, and the last `keep` that were live. */
static int keep_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct keeping *k = arg;
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT release FROM deployment WHERE target = ?1 AND"
                                " (id IN (?2, ?3) OR state NOT IN"
                                "   ('live', 'superseded', 'rolled_back', 'failed'))"
                                " UNION SELECT release FROM (SELECT release, max(seq) AS at FROM"
                                "   deployment WHERE target = ?1 AND live_ms IS NOT NULL"
                                "   GROUP BY release ORDER BY at DESC LIMIT ?4)"),
                         "sssi", (const char *)k->x->d.target, (const char *)k->x->d.id,
                         (const char *)k->x->d.previous_id, k->x->target.keep);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        if (k->n < KEEP_QUERY_MAX) {
            (void)snprintf(k->names[k->n++], SL_RELEASE_NAME, "%s", sl_rows_str(&rows, 0));
        }
        rc = 0;
    }
    return rc;
}

static void prune(struct sl_exec *x)
{
    struct keeping *k = sl_calloc(1, sizeof(*k));
    const char *names[KEEP_QUERY_MAX];
    k->x = x;
    if (x->w->promote.write(x->w->promote.data, keep_tx, k, NULL) == 0 && k->n > 0 &&
        k->n < KEEP_QUERY_MAX) {
        for (size_t i = 0; i < k->n; i++) {
            names[i] = k->names[i];
        }
        sl_release_prune(&x->dir, names, k->n);
    }
    free(k);
}

/** One state's work; 1 at the end. */
static int tick(struct sl_exec *x, struct sl_err *err)
{
    switch ((enum sl_deploy_state)x->d.state) {
    case SL_DEPLOY_REQUESTED: return do_requested(x, err);
    case SL_DEPLOY_PREPARING: return do_preparing(x, err);
    case SL_DEPLOY_WARMING: return do_warming(x, err);
    case SL_DEPLOY_FLIPPING: return do_flipping(x, err);
    case SL_DEPLOY_CHECKING: return do_checking(x, err);
    case SL_DEPLOY_PROMOTING: return do_promoting(x, err);
    case SL_DEPLOY_REVERTING: return do_reverting(x, err);
    case SL_DEPLOY_LIVE:
    case SL_DEPLOY_SUPERSEDED:
    case SL_DEPLOY_ROLLED_BACK:
    case SL_DEPLOY_FAILED: return 1;
    }
    return 1;
}

int sl_exec_drive(struct sl_exec *x, struct sl_err *err)
{
    int rc = 0;
    while (rc == 0) {
        rc = tick(x, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (x->d.state == SL_DEPLOY_LIVE) {
        rc = FAULT(DEPLOY_LIVE, err);
        prune(x);
    }
    return rc < 0 ? rc : 0;
}

void sl_deploy_outcome_fill(const struct sl_deployment *d, enum sl_deploy_result result,
                            struct sl_deploy_outcome *ret)
{
    *ret = (struct sl_deploy_outcome){.result = result, .generation = d->generation, .flip_ms = -1};
    (void)snprintf(ret->id, sizeof(ret->id), "%s", d->id);
    (void)snprintf(ret->previous_id, sizeof(ret->previous_id), "%s", d->previous_id);
    (void)snprintf(ret->entity, sizeof(ret->entity), "%s", d->entity);
    (void)snprintf(ret->note, sizeof(ret->note), "%.255s", d->note);
    ret->version = sl_deployment_version(d);
    ret->version.name = ret->entity;
    if (result == SL_DEPLOY_DONE && d->flipped_ms > 0) {
        ret->flip_ms = d->flipped_ms - d->created_ms;
    }
}

int sl_exec_run(const struct sl_deploy_world *w, const char *id, struct sl_deploy_outcome *ret,
                struct sl_err *err)
{
    struct sl_exec *x = SL_NEW(struct sl_exec);
    int rc = sl_exec_open(x, w, id, err);
    if (rc == 0) {
        rc = sl_exec_drive(x, err);
    }
    if (rc == 0 && x->d.state == SL_DEPLOY_FAILED) {
        rc = sl_err_set(err, SL_EFAILED, "%s", x->d.reason);
    }
    if (rc == 0) {
        sl_deploy_outcome_fill(&x->d, SL_DEPLOY_DONE, ret);
        ret->version.name = ret->entity;
    }
    sl_exec_release(x);
    free(x);
    return rc;
}
