/**
 * May an alias move? Protection marks, verdicts, and whether the champion is still the one compared with.
 *
 * Thread: a lane. Must not: write anything but protection marks, or move aliases.
 */
#include "core/base/base.h"

#include "pipelines/steps/promote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/steps/actor.h"
#include "pipelines/steps/promote_priv.h"
#include "pipelines/steps/verdict.h"

static const char *const authority_names[] = {"verdict", "override", "rollback"};

const char *sl_authority_name(enum sl_authority authority)
{
    return authority_names[authority];
}

const struct sl_env *sl_promote_env(const struct sl_promote_world *w)
{
    return w->env != NULL ? w->env : &sl_env_real;
}

bool sl_holder_same(const struct sl_alias_holder *a, const struct sl_alias_holder *b)
{
    return a->exists == b->exists && (!a->exists || sl_digest_eq(&a->digest, &b->digest));
}

const char *sl_holder_text(const struct sl_alias_holder *h, char out[SL_HOLDER_TEXT])
{
    (void)snprintf(out, SL_HOLDER_TEXT, h->exists ? "v%lld" : "none", (long long)h->number);
    return out;
}

const char *sl_holder_digest(const struct sl_alias_holder *h, char out[SL_HOLDER_DIGEST])
{
    char hex[SL_DIGEST_HEX + 1];
    if (!h->exists) {
        return NULL;
    }
    (void)snprintf(out, SL_HOLDER_DIGEST, "sha256:%s", sl_digest_hex(&h->digest, hex));
    return out;
}

/* ---- protection ---------------------------------------------------------------------------------- */

int sl_alias_is_protected(struct sl_db *db, const char *entity, const char *alias, bool *ret,
                          struct sl_err *err)
{
    int64_t value = 0;
    int rc = sl_db_get_i64(db, &value, err,
                           SL_SQL("SELECT is_protected FROM protected_alias WHERE alias = ?1 AND"
                                  " entity IN ('', ?2) ORDER BY entity DESC LIMIT 1"),
                           "ss", alias, entity != NULL ? entity : "");
    if (rc < 0 && rc != -SL_ENOTFOUND) {
        return rc;
    }
    *ret = rc == 0 && value != 0;
    return 0;
}

int sl_alias_protect(struct sl_db *db, const struct sl_alias_mark *mark, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    struct sl_actor_id actor;
    int rc = sl_actor_id(db, mark->actor, &actor, err);
    if (rc < 0) {
        return rc;
    }
    const char *entity = mark->entity != NULL ? mark->entity : "";
    rc = sl_db_exec(db, err,
                    SL_SQL("INSERT INTO protected_alias VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE"
                           " SET is_protected = excluded.is_protected, actor = excluded.actor,"
                           " changed_ms = excluded.changed_ms"),
                    "ssisi", entity, mark->alias, mark->is_protected, (const char *)actor.id,
                    mark->now_ms);
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    char *id = sl_asprintf("%s@%s %s", entity[0] != '\0' ? entity : "*", mark->alias,
                           mark->is_protected ? "protected" : "unprotected");
    const struct sl_audit_obj obj = {.kind = "protected_alias", .id = id};
    const struct sl_audit_entry entry = {.ts_ms = mark->now_ms,
                                         .act = SL_ACT_CONFIG_CHANGE,
                                         .result = SL_AUDIT_OK,
                                         .actor = sl_actor_of(&actor),
                                         .objs = &obj,
                                         .n_objs = 1};
    return sl_audit_append(db, &entry, NULL, err);
}

/* ---- the check ----------------------------------------------------------------------------------- */

/** What the database knows, read in one transaction. */
struct asking {
    const struct sl_promotion *p;
    bool is_protected;
    bool held_before; /* the alias pointed to this digest before, through this door */
    bool has_verdict;
    struct sl_verdict_found verdict;
};

static int ask_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct asking *ask = arg;
    const struct sl_promotion *p = ask->p;
    char digest[SL_HOLDER_DIGEST];
    int rc = 0;
    ask->is_protected = true;
    if (p->alias != NULL) {
        rc = sl_alias_is_protected(db, p->entity, p->alias, &ask->is_protected, err);
    }
    if (rc < 0 || !ask->is_protected || p->authority == SL_AUTHORITY_OVERRIDE) {
        return rc;
    }
    if (p->authority == SL_AUTHORITY_ROLLBACK) {
        int64_t seq = 0;
        rc = sl_db_get_i64(db, &seq, err,
                           SL_SQL("SELECT seq FROM promotion WHERE entity = ? AND alias = ? AND"
                                  " to_digest = ? AND state = 'done' LIMIT 1"),
                           "sss", p->entity, p->alias, sl_holder_digest(&p->to, digest));
        ask->held_before = rc == 0;
        return rc == -SL_ENOTFOUND ? 0 : rc;
    }
    if (!p->to.exists) {
        return sl_err_set(err, SL_EREFUSED,
                          "%s@%s is protected; deleting it needs an override with a reason",
                          p->entity, p->alias);
    }
    rc = sl_verdict_permit(db, p->entity, &p->to.digest, &ask->verdict, err);
    ask->has_verdict = rc == 0;
    return rc;
}

/** The verdict compared with a champion: it has to hold the alias still. */
static int check_champion(const struct sl_promote_world *w, const struct sl_promotion *p,
                          const struct sl_verdict_found *v, struct sl_err *err)
{
    if (v->champion_alias[0] == '\0') {
        return 0;
    }
    struct sl_alias_holder now = {0};
    int rc = w->alias_get(w->data, v->champion_entity, v->champion_alias, &now, err);
    if (rc < 0) {
        return rc;
    }
    const struct sl_alias_holder then = {.exists = v->has_champion, .digest = v->champion_digest};
    if (sl_holder_same(&now, &then) || (now.exists && sl_holder_same(&now, &p->to))) {
        return 0;
    }
    char is[SL_HOLDER_TEXT], was[SL_HOLDER_DIGEST];
    return sl_err_set(err, SL_EREFUSED,
                      "the champion has moved since the verdict: %s@%s was %.19s%s then and is %s "
                      "now; run the gate again",
                      v->champion_entity, v->champion_alias,
                      then.exists ? sl_holder_digest(&then, was) : "none", then.exists ? "..." : "",
                      sl_holder_text(&now, is));
}

static int check_reason(const struct sl_promotion *p, struct sl_err *err)
{
    if (p->authority != SL_AUTHORITY_OVERRIDE) {
        return 0;
    }
    if (p->reason == NULL || p->reason[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "an override needs a reason");
    }
    if (strlen(p->reason) > SL_PROMOTE_REASON_MAX) {
        return sl_err_set(err, SL_ELIMIT, "the reason is longer than %d bytes",
                          SL_PROMOTE_REASON_MAX);
    }
    return 0;
}

int sl_promote_check(const struct sl_promote_world *w, const struct sl_promotion *p,
                     struct sl_promote_permit *ret, struct sl_err *err)
{
    SL_ASSERT(p->entity != NULL);
    SL_ASSERT(p->actor != NULL);
    SL_ASSERT(p->alias != NULL || p->to.exists);
    struct asking ask = {.p = p};
    struct sl_promote_permit permit = {0};
    int rc = check_reason(p, err);
    if (rc == 0) {
        rc = w->write(w->data, ask_tx, &ask, err);
    }
    if (rc == 0 && p->alias != NULL) {
        rc = w->alias_get(w->data, p->entity, p->alias, &permit.holder, err);
    }
    if (rc == 0 && ask.has_verdict) {
        rc = check_champion(w, p, &ask.verdict, err);
        (void)memcpy(permit.verdict_id, ask.verdict.id, sizeof(permit.verdict_id));
    }
    if (rc < 0) {
        return rc;
    }
    if (ask.is_protected && p->authority == SL_AUTHORITY_ROLLBACK && !ask.held_before &&
        !sl_holder_same(&permit.holder, &p->to)) {
        return sl_err_set(err, SL_EREFUSED,
                          "%s@%s never pointed to v%lld, so a rollback cannot bring it there",
                          p->entity, p->alias, (long long)p->to.number);
    }
    permit.is_protected = ask.is_protected;
    *ret = permit;
    return 0;
}
