/**
 * Alias moves: check, intent, compare-and-swap, outcome; and the replay of what a crash left between.
 *
 *     check ──► intent (durable) ──► registry CAS ──► outcome: done | failed
 *
 * Thread: a lane. Must not: move an alias without an intent row, or decide protection elsewhere.
 */
#include "core/base/base.h"

#include "pipelines/steps/promote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/fault.h"
#include "core/base/mem.h"
#include "core/bus/bus.h"
#include "core/lineage/lineage.h"
#include "pipelines/steps/actor.h"
#include "pipelines/steps/promote_priv.h"
#include "pipelines/steps/verdict.h"

#define REPLAY_MAX 10000 /* open promotions finished by one replay */

/* ---- intent and outcome ---------------------------------------------------------------------------- */

/** One move on its way. */
struct moving {
    const struct sl_promote_world *w;
    const struct sl_promotion *p;
    struct sl_promote_permit permit;
    char id[SL_ID_HEX + 1];
    int64_t now_ms;
    const char *failure; /* of the registry's refusal; NULL when it moved */
};

static int add_audit(struct sl_db *db, const struct moving *m, enum sl_audit_result result,
                     struct sl_err *err)
{
    char from[SL_HOLDER_DIGEST], to[SL_HOLDER_DIGEST];
    struct sl_actor_id actor;
    int rc = sl_actor_id(db, m->p->actor, &actor, err);
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    char *alias = sl_asprintf("%s@%s", m->p->entity, m->p->alias);
    const struct sl_audit_obj objs[] = {
        {.kind = "promotion", .id = m->id},
        {.kind = "alias_from", .id = alias, .digest = sl_holder_digest(&m->permit.holder, from)},
        {.kind = "alias_to", .id = alias, .digest = sl_holder_digest(&m->p->to, to)},
        {.kind = "verdict", .id = m->permit.verdict_id},
    };
    const struct sl_audit_entry entry = {
        .ts_ms = m->now_ms,
        .act = SL_ACT_MODEL_ALIAS,
        .result = result,
        .actor = sl_actor_of(&actor),
        .objs = objs,
        .n_objs = (int)SL_LEN(objs) - (m->permit.verdict_id[0] == '\0'),
        .request = m->p->run_id,
        .reason = m->p->authority == SL_AUTHORITY_OVERRIDE ? m->p->reason : NULL,
    };
    return sl_audit_append(db, &entry, NULL, err);
}

static int intent_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct moving *m = arg;
    const struct sl_promotion *p = m->p;
    char from[SL_HOLDER_DIGEST], to[SL_HOLDER_DIGEST];
    struct sl_actor_id actor;
    int rc = sl_actor_id(db, p->actor, &actor, err);
    if (rc == 0 && p->authority == SL_AUTHORITY_OVERRIDE && p->to.exists) {
        const struct sl_override o = {.entity = p->entity,
                                      .number = p->to.number,
                                      .digest = p->to.digest,
                                      .reason = p->reason,
                                      .actor = p->actor,
                                      .run_id = p->run_id,
                                      .now_ms = m->now_ms,
                                      .env = m->w->env};
        rc = sl_verdict_override(db, &o, m->permit.verdict_id, err);
    }
    if (rc < 0) {
        return rc;
    }
    const char *verdict = m->permit.verdict_id[0] != '\0' ? m->permit.verdict_id : NULL;
    rc = sl_db_exec(db, err,
                    SL_SQL("INSERT INTO promotion(id, entity, alias, from_number, from_digest,"
                           " to_number, to_digest, authority, verdict_id, run_id, deployment_id,"
                           " actor, state, reason, created_ms)"
                           " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,'intent',?,?)"),
                    "sssisisssssssi", (const char *)m->id, p->entity, p->alias,
                    m->permit.holder.exists ? m->permit.holder.number : (int64_t)0,
                    sl_holder_digest(&m->permit.holder, from),
                    p->to.exists ? p->to.number : (int64_t)0, sl_holder_digest(&p->to, to),
                    sl_authority_name(p->authority), verdict, p->run_id, p->deployment_id,
                    (const char *)actor.id, p->reason, m->now_ms);
    return rc < 0 ? rc : add_audit(db, m, SL_AUDIT_INTENT, err);
}

static int add_lineage(struct sl_db *db, const struct moving *m, struct sl_err *err)
{
    char from[SL_HOLDER_DIGEST], to[SL_HOLDER_DIGEST];
    if (!m->p->to.exists || !m->permit.holder.exists) {
        return 0;
    }
    const struct sl_lineage_edge edge = {
        .from = {SL_NODE_MODEL_VERSION, sl_holder_digest(&m->p->to, to)},
        .to = {SL_NODE_MODEL_VERSION, sl_holder_digest(&m->permit.holder, from)},
        .kind =
            m->p->authority == SL_AUTHORITY_ROLLBACK ? SL_EDGE_ROLLS_BACK_TO : SL_EDGE_SUPERSEDES,
        .role = m->p->alias,
        .run_id = m->p->run_id,
        .ts_ms = m->now_ms,
        .audit_index = -1,
    };
    if (edge.kind == SL_EDGE_SUPERSEDES) {
        return sl_lineage_edge(db, &edge, err);
    }
    struct sl_lineage_edge back = edge; /* the version that was left rolls back to the one before */
    back.from = edge.to;
    back.to = edge.from;
    return sl_lineage_edge(db, &back, err);
}

static int outcome_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct moving *m = arg;
    const struct sl_promotion *p = m->p;
    int rc = sl_db_exec(db, err,
                        SL_SQL("UPDATE promotion SET state = ?, reason = coalesce(?, reason),"
                               " ended_ms = ? WHERE id = ? AND state = 'intent'"),
                        "ssis", m->failure == NULL ? "done" : "failed", m->failure, m->now_ms,
                        (const char *)m->id);
    if (rc < 0 || sl_db_changes(db) == 0) {
        return rc; /* no row: another replay was faster */
    }
    rc = add_audit(db, m, m->failure == NULL ? SL_AUDIT_OK : SL_AUDIT_ERROR, err);
    if (rc < 0 || m->failure != NULL) {
        return rc;
    }
    char from[SL_HOLDER_TEXT], to[SL_HOLDER_TEXT], digest[SL_HOLDER_DIGEST];
    _cleanup_(free)
    char *subject = sl_asprintf("%s@%s", p->entity, p->alias);
    json_auto_t *payload = json_object();
    sl_json_set_str(payload, "from", sl_holder_text(&m->permit.holder, from));
    sl_json_set_str(payload, "to", sl_holder_text(&p->to, to));
    sl_json_set_str(payload, "digest", sl_holder_digest(&p->to, digest));
    sl_json_set_str(payload, "authority", sl_authority_name(p->authority));
    const struct sl_event event = {.ts_ms = m->now_ms,
                                   .type = SL_EVENT_REGISTRY_ALIAS,
                                   .run_id = p->run_id,
                                   .subject = subject};
    rc = sl_bus_append(db, &event, payload, NULL, err);
    return rc < 0 ? rc : add_lineage(db, m, err);
}

/** After a failed swap: did it move all the same? -1: nobody knows now, a replay will. */
static int moved_anyway(const struct moving *m)
{
    struct sl_alias_holder now = {0};
    if (m->w->alias_get(m->w->data, m->p->entity, m->p->alias, &now, NULL) < 0) {
        return -1;
    }
    return sl_holder_same(&now, &m->p->to);
}

/** Moves the alias and records the outcome. */
static int carry_out(struct moving *m, struct sl_err *err)
{
    const struct sl_promote_world *w = m->w;
    struct sl_err refusal = SL_ERR_INIT;
    int rc =
        w->alias_cas(w->data, m->p->entity, m->p->alias, &m->permit.holder, &m->p->to, &refusal);
    int fault = SL_FAULT_POINT(PROMOTE_MOVED);
    if (rc == 0 && fault != 0) {
        return sl_err_errno(err, fault, "after %s@%s moved", m->p->entity, m->p->alias);
    }
    int moved = rc < 0 ? moved_anyway(m) : 1;
    m->failure = moved == 1 ? NULL : refusal.msg;
    m->now_ms = sl_promote_env(w)->now_ms(sl_promote_env(w)->data);
    int recorded = moved >= 0 ? w->write(w->data, outcome_tx, m, err) : 0;
    if (moved != 1) {
        if (err != NULL) {
            *err = refusal;
        }
        return rc;
    }
    return recorded;
}

int sl_promote_alias(const struct sl_promote_world *w, const struct sl_promotion *p,
                     struct sl_promoted *ret, struct sl_err *err)
{
    SL_ASSERT(p->alias != NULL);
    struct moving m = {.w = w, .p = p};
    int rc = sl_promote_check(w, p, &m.permit, err);
    if (rc < 0) {
        return rc;
    }
    struct sl_promoted done = {.from = m.permit.holder};
    if (sl_holder_same(&m.permit.holder, &p->to)) {
        done.unchanged = true;
        *ret = done;
        return 0;
    }
    (void)sl_id_new(w->env, m.id);
    m.now_ms = sl_promote_env(w)->now_ms(sl_promote_env(w)->data);
    rc = w->write(w->data, intent_tx, &m, err);
    if (rc < 0) {
        return rc;
    }
    int fault = SL_FAULT_POINT(PROMOTE_INTENT);
    if (fault != 0) {
        return sl_err_errno(err, fault, "before %s@%s moves", p->entity, p->alias);
    }
    rc = carry_out(&m, err);
    if (rc < 0) {
        return rc;
    }
    (void)memcpy(done.id, m.id, sizeof(done.id));
    (void)memcpy(done.verdict_id, m.permit.verdict_id, sizeof(done.verdict_id));
    *ret = done;
    return 0;
}

/* ---- replay ---------------------------------------------------------------------------------------- */

/** An intent without outcome, with its own texts. */
struct open_move {
    struct sl_promotion p;
    struct sl_alias_holder from;
    char id[SL_ID_HEX + 1];
    char verdict_id[SL_ID_HEX + 1];
};

struct replay {
    struct sl_arena arena;
    SL_VEC(struct open_move) moves;
};

static struct sl_alias_holder holder_of(struct sl_rows *rows, int number_column)
{
    struct sl_alias_holder h = {.exists = !sl_rows_is_null(rows, number_column + 1),
                                .number = sl_rows_i64(rows, number_column)};
    (void)sl_digest_parse(sl_rows_str(rows, number_column + 1), &h.digest);
    return h;
}

static const char *kept(struct replay *r, struct sl_rows *rows, int column)
{
    const char *text = sl_rows_text(rows, column);
    return text != NULL ? sl_arena_strdup(&r->arena, text) : NULL;
}

static enum sl_authority authority_parse(const char *name)
{
    for (int i = 0; i <= SL_AUTHORITY_ROLLBACK; i++) {
        if (sl_streq(name, sl_authority_name((enum sl_authority)i))) {
            return (enum sl_authority)i;
        }
    }
    return SL_AUTHORITY_VERDICT;
}

static int load_open(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct replay *r = arg;
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT id, entity, alias, from_number, from_digest, to_number,"
                                " to_digest, authority, verdict_id, run_id, deployment_id, actor,"
                                " reason FROM promotion WHERE state = 'intent' ORDER BY seq"
                                " LIMIT ?"),
                         "i", (int64_t)REPLAY_MAX);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct open_move move = {
            .p = {.entity = kept(r, &rows, 1),
                  .alias = kept(r, &rows, 2),
                  .to = holder_of(&rows, 5),
                  .authority = authority_parse(sl_rows_str(&rows, 7)),
                  .run_id = kept(r, &rows, 9),
                  .deployment_id = kept(r, &rows, 10),
                  .actor = kept(r, &rows, 11),
                  .reason = kept(r, &rows, 12)},
            .from = holder_of(&rows, 3),
        };
        (void)snprintf(move.id, sizeof(move.id), "%s", sl_rows_str(&rows, 0));
        (void)snprintf(move.verdict_id, sizeof(move.verdict_id), "%s", sl_rows_str(&rows, 8));
        sl_vec_push(&r->moves, move);
        rc = 0;
    }
    return rc;
}

/** 0 when the move has its outcome now, also when that is "failed". */
static int finish_one(const struct sl_promote_world *w, const struct open_move *o,
                      struct sl_err *err)
{
    struct moving m = {.w = w, .p = &o->p, .permit = {.holder = o->from}};
    struct sl_alias_holder now = {0};
    (void)memcpy(m.id, o->id, sizeof(m.id));
    (void)memcpy(m.permit.verdict_id, o->verdict_id, sizeof(m.permit.verdict_id));
    int rc = w->alias_get(w->data, o->p.entity, o->p.alias, &now, err);
    if (rc < 0) {
        return rc;
    }
    if (sl_holder_same(&now, &o->from)) {
        rc = carry_out(&m, err);
        return rc == -SL_ECONFLICT || rc == -SL_ENOTFOUND ? 0 : rc;
    }
    m.failure = sl_holder_same(&now, &o->p.to) ? NULL : "the alias was moved by somebody else";
    m.now_ms = sl_promote_env(w)->now_ms(sl_promote_env(w)->data);
    return w->write(w->data, outcome_tx, &m, err);
}

int sl_promote_replay(const struct sl_promote_world *w, size_t *ret_finished, struct sl_err *err)
{
    struct replay r = {0};
    sl_arena_init(&r.arena, 0);
    int rc = w->write(w->data, load_open, &r, err);
    size_t n = 0;
    for (; n < r.moves.n && rc == 0; n++) {
        rc = finish_one(w, &r.moves.items[n], err);
    }
    sl_vec_free(&r.moves);
    sl_arena_release(&r.arena);
    if (rc == 0) {
        *ret_finished = n;
    }
    return rc;
}
