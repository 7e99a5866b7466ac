/**
 * Transitions: one transaction each, a compare-and-set on state and generation.
 *
 * Thread: a lane. Must not: touch files.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct move {
    struct sl_exec *x;
    int to;
    const char *reason; /* shown; the table's or a specific one */
    const char *note;
    int64_t now_ms;
};

static int overtaken(const struct sl_deployment *d, struct sl_err *err)
{
    return sl_err_set(err, SL_ECONFLICT,
                      "deployment %.8s of target %s was overtaken by a newer one", d->id,
                      d->target);
}

/** 1 when the row is still in the state that we know, at the target's generation. */
static int ours(struct sl_db *db, const struct sl_deployment *d, struct sl_err *err)
{
    int64_t n = 0;
    int rc = sl_db_get_i64(db, &n, err,
                           SL_SQL("SELECT count(*) FROM deployment d JOIN target t"
                                  " ON t.name = d.target WHERE d.id = ? AND d.state = ? AND"
                                  " d.generation = t.generation"),
                           "ss", (const char *)d->id, sl_sm_name(&sl_deploy_machine, d->state));
    return rc < 0 ? rc : (int)n;
}

static int still_ours_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct sl_exec *x = arg;
    int rc = ours(db, &x->d, err);
    return rc > 0 ? 0 : rc < 0 ? rc : overtaken(&x->d, err);
}

int sl_deploy_still_ours(struct sl_exec *x, struct sl_err *err)
{
    return x->w->promote.write(x->w->promote.data, still_ours_tx, x, err);
}

static int set_state(struct sl_db *db, const struct move *m, struct sl_err *err)
{
    const struct sl_deployment *d = &m->x->d;
    bool final = m->to == SL_DEPLOY_FAILED;
    return sl_db_exec(db, err,
                      SL_SQL("UPDATE deployment SET state = ?1, reason = coalesce(?2, reason),"
                             " note = coalesce(?3, note),"
                             " live_ms = CASE WHEN ?1 = 'live' THEN ?4 ELSE live_ms END,"
                             " ended_ms = CASE WHEN ?5 THEN ?4 ELSE ended_ms END WHERE id = ?6"),
                      "sssiis", sl_sm_name(&sl_deploy_machine, m->to), m->reason, m->note,
                      m->now_ms, final, (const char *)d->id);
}

static int move_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct move *m = arg;
    int rc = ours(db, &m->x->d, err);
    if (rc == 0) {
        return overtaken(&m->x->d, err);
    }
    if (rc > 0) {
        rc = set_state(db, m, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct sl_deployment told = m->x->d;
    told.state = m->to;
    if (m->reason != NULL) {
        (void)snprintf(told.reason, sizeof(told.reason), "%s", m->reason);
    }
    rc = sl_deploy_fact_event(db, &told, m->x->d.state, m->now_ms, err);
    if (rc == 0 && m->to == SL_DEPLOY_FAILED) {
        rc = sl_deploy_fact_audit(db, &told, SL_ACT_DEPLOYMENT_FAIL, m->now_ms, err);
    }
    return rc;
}

int sl_deploy_move(struct sl_exec *x, enum sl_deploy_state to, const char *reason,
                   struct sl_err *err)
{
    struct move m = {.x = x, .to = (int)to, .reason = reason, .now_ms = sl_deploy_now(x->w)};
    SL_ASSERT(sl_sm_allowed(&sl_deploy_machine, x->d.state, m.to));
    int rc = x->w->promote.write(x->w->promote.data, move_tx, &m, err);
    if (rc < 0) {
        return rc;
    }
    sl_sm_move(&sl_deploy_machine, &x->d.state, m.to);
    if (reason != NULL) {
        (void)snprintf(x->d.reason, sizeof(x->d.reason), "%s", reason);
    }
    return 0;
}

static int note_flip_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct move *m = arg;
    return sl_db_exec(db, err,
                      SL_SQL("UPDATE deployment SET flipped_ms = coalesce(flipped_ms, ?)"
                             " WHERE id = ?"),
                      "is", m->now_ms, (const char *)m->x->d.id);
}

int sl_deploy_note_flip(struct sl_exec *x, struct sl_err *err)
{
    struct move m = {.x = x, .now_ms = sl_deploy_now(x->w)};
    if (x->d.flipped_ms == 0) {
        x->d.flipped_ms = m.now_ms;
    }
    m.now_ms = x->d.flipped_ms;
    return x->w->promote.write(x->w->promote.data, note_flip_tx, &m, err);
}

/* ---- going live ------------------------------------------------------------------------------------ */

/** The one that was live until now ends: superseded, or rolled back. */
static int end_previous(struct sl_db *db, const struct move *m, struct sl_err *err)
{
    const struct sl_deployment *d = &m->x->d;
    struct sl_deployment old;
    if (d->previous_id[0] == '\0') {
        return 0;
    }
    int rc = sl_deployment_load(db, d->previous_id, &old, err);
    if (rc < 0 || old.state != SL_DEPLOY_LIVE) {
        return rc;
    }
    old.state = d->is_rollback ? SL_DEPLOY_ROLLED_BACK : SL_DEPLOY_SUPERSEDED;
    (void)snprintf(old.reason, sizeof(old.reason), "%s %s@v%lld (#%lld)%s%.1000s",
                   d->is_rollback ? "rolled back to" : "superseded by", d->entity,
                   (long long)d->number, (long long)d->generation,
                   d->is_rollback && d->reason[0] != '\0' ? ": " : "",
                   d->is_rollback ? d->reason : "");
    rc = sl_db_exec(
        db, err, SL_SQL("UPDATE deployment SET state = ?, reason = ?, ended_ms = ? WHERE id = ?"),
        "ssis", sl_sm_name(&sl_deploy_machine, old.state), (const char *)old.reason, m->now_ms,
        (const char *)old.id);
    return rc < 0 ? rc : sl_deploy_fact_event(db, &old, SL_DEPLOY_LIVE, m->now_ms, err);
}

static int live_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct move *m = arg;
    const struct sl_deployment *d = &m->x->d;
    int rc = move_tx(db, m, err);
    if (rc == 0) {
        rc = sl_db_exec(db, err, SL_SQL("UPDATE target SET live_id = ? WHERE name = ?"), "ss",
                        (const char *)d->id, (const char *)d->target);
    }
    if (rc == 0) {
        rc = end_previous(db, m, err);
    }
    if (rc == 0) {
        rc = sl_deploy_fact_audit(
            db, d, d->is_rollback ? SL_ACT_DEPLOYMENT_ROLLBACK : SL_ACT_DEPLOYMENT_FLIP, m->now_ms,
            err);
    }
    return rc < 0 ? rc : sl_deploy_fact_lineage(db, d, m->now_ms, err);
}

int sl_deploy_go_live(struct sl_exec *x, const char *note, struct sl_err *err)
{
    struct move m = {.x = x, .to = SL_DEPLOY_LIVE, .note = note, .now_ms = sl_deploy_now(x->w)};
    SL_ASSERT(sl_sm_allowed(&sl_deploy_machine, x->d.state, SL_DEPLOY_LIVE));
    int rc = x->w->promote.write(x->w->promote.data, live_tx, &m, err);
    if (rc == 0) {
        sl_sm_move(&sl_deploy_machine, &x->d.state, SL_DEPLOY_LIVE);
        x->d.was_live = true;
    }
    return rc;
}
