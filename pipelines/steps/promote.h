/**
 * Promotion: the only door through which aliases move.
 *
 * A protected alias (`champion`, unless unprotected) moves only onto a digest with a passing verdict whose
 * champion is still the alias's holder, with a recorded override, or back with a rollback. Order of effects:
 * intent row durable, then the registry's compare-and-swap, then outcome row, audit, lineage and event.
 * Thread: a lane (blocks). Must not: touch git or open databases itself; both come through the world.
 */
#ifndef SL_PROMOTE_H
#define SL_PROMOTE_H

#include "core/base/time.h"
#include "core/db/db.h"
#include "pipelines/plan/plan.h"

#define SL_PROMOTE_REASON_MAX 1000

/** Runs `fn` in one durable transaction and returns when it is durable (or failed). */
typedef int (*sl_promote_tx_fn)(struct sl_db *db, void *arg, struct sl_err *err);

/** What an alias points to. */
struct sl_alias_holder {
    bool exists;
    int64_t number;
    struct sl_digest digest;
};

/** What promotions and deployments ask of the world; the engine supplies it, tests replace it. */
struct sl_promote_world {
    int (*write)(void *data, sl_promote_tx_fn fn, void *arg, struct sl_err *err);
    /** The present holder, from the registry. An alias that does not exist is success with exists false. */
    int (*alias_get)(void *data, const char *entity, const char *alias, struct sl_alias_holder *ret,
                     struct sl_err *err);
    /** Compare-and-swap in the registry; durable on return. `to->exists` false deletes.
     * -SL_ECONFLICT when the present holder is not `from`. */
    int (*alias_cas)(void *data, const char *entity, const char *alias,
                     const struct sl_alias_holder *from, const struct sl_alias_holder *to,
                     struct sl_err *err);
    const struct sl_env *env; /* NULL: the real one */
    void *data;
};

enum sl_authority {
    SL_AUTHORITY_VERDICT,  /* the latest verdict on the digest permits it */
    SL_AUTHORITY_OVERRIDE, /* reason and actor are recorded as an override */
    SL_AUTHORITY_ROLLBACK  /* back to a version that was live; deployment_id names the rollback */
};
const char *sl_authority_name(enum sl_authority authority);

struct sl_promotion {
    const char *entity;        /* model, "default/churn" */
    const char *alias;         /* "champion" */
    struct sl_alias_holder to; /* exists false: delete the alias (protected: override only) */
    enum sl_authority authority;
    const char *reason;        /* of an override; NULL otherwise */
    const char *actor;         /* who asks, never NULL */
    const char *run_id;        /* or NULL */
    const char *deployment_id; /* or NULL */
};

struct sl_promoted {
    char id[SL_ID_HEX + 1]; /* of the promotion; "" when unchanged */
    bool unchanged;         /* the alias already pointed there */
    struct sl_alias_holder from;
    char verdict_id[SL_ID_HEX + 1]; /* "" when none was needed */
};

/**
 * Moves an alias, or refuses.
 *
 * @return 0; -SL_EREFUSED with a sentence (no verdict, refused, champion moved since the verdict);
 *         -SL_EINVAL (override without a reason); -SL_ECONFLICT when another mover was faster
 * Blocks: yes (two transactions and a git commit).
 */
int sl_promote_alias(const struct sl_promote_world *w, const struct sl_promotion *p,
                     struct sl_promoted *ret, struct sl_err *err) SL_MUST_CHECK;

/** What a check found. */
struct sl_promote_permit {
    bool is_protected;
    struct sl_alias_holder holder; /* of p->alias; exists false when p->alias is NULL */
    char verdict_id[SL_ID_HEX +
                    1]; /* what permits it; "" when nothing was needed, or an override will */
};

/**
 * Only the check: would the move be permitted now? Same errors; nothing is written.
 * `p->alias` NULL asks for a protected target instead of an alias.
 */
int sl_promote_check(const struct sl_promote_world *w, const struct sl_promotion *p,
                     struct sl_promote_permit *ret, struct sl_err *err) SL_MUST_CHECK;

/** Start-up: finishes promotions whose intent is recorded and whose outcome is not. Idempotent. */
int sl_promote_replay(const struct sl_promote_world *w, size_t *ret_finished, struct sl_err *err)
    SL_MUST_CHECK;

/** A protection mark. One on an entity wins over the general one. */
struct sl_alias_mark {
    const char *entity; /* NULL: every entity */
    const char *alias;
    bool is_protected;
    const char *actor;
    int64_t now_ms;
};
/** Sets a mark, with its audit entry, in the caller's transaction. */
int sl_alias_protect(struct sl_db *db, const struct sl_alias_mark *mark, struct sl_err *err)
    SL_MUST_CHECK;
/** `champion` is protected unless a mark says otherwise; other aliases are not unless a mark does. */
int sl_alias_is_protected(struct sl_db *db, const char *entity, const char *alias, bool *ret,
                          struct sl_err *err) SL_MUST_CHECK;

#endif
