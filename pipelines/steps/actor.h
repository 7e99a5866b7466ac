/**
 * Who did it, in the form that the audit log wants: an opaque id, never a name.
 *
 * Thread: that of the connection. Must not: keep names outside the audit room's erasable table.
 */
#ifndef SL_STEPS_ACTOR_H
#define SL_STEPS_ACTOR_H

#include "core/audit/audit.h"

#define SL_ACTOR_ENGINE "engine"

struct sl_actor_id {
    char id[SL_AUDIT_PRINCIPAL];
};

/**
 * The opaque id of an actor: "engine" and ids ("p_...") stay as they are, any other text is the name
 * of a person or service and is looked up, or made. Inside a transaction.
 *
 * @return 0, -SL_EINVAL for an empty or overlong actor, or the database's error
 */
int sl_actor_id(struct sl_db *db, const char *actor, struct sl_actor_id *ret, struct sl_err *err)
    SL_MUST_CHECK;

/** As the audit log takes it; points into `id`. */
struct sl_actor sl_actor_of(const struct sl_actor_id *id);

#endif
