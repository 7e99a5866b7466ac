/**
 * Actors: names become opaque ids at the door of the stores.
 *
 * Thread: that of the connection. Must not: write names anywhere itself.
 */
#include "core/base/base.h"

#include "pipelines/steps/actor.h"

#include <stdio.h>
#include <string.h>

#include "core/base/str.h"

int sl_actor_id(struct sl_db *db, const char *actor, struct sl_actor_id *ret, struct sl_err *err)
{
    if (actor == NULL || actor[0] == '\0' || strlen(actor) > SL_AUDIT_ID_MAX) {
        return sl_err_set(err, SL_EINVAL, "an actor is a name of 1 to %d bytes", SL_AUDIT_ID_MAX);
    }
    bool opaque = sl_streq(actor, SL_ACTOR_ENGINE) || sl_starts_with(actor, "p_");
    if (opaque && strlen(actor) < sizeof(ret->id)) {
        (void)snprintf(ret->id, sizeof(ret->id), "%s", actor);
        return 0;
    }
    return sl_audit_principal(db, "user", actor, ret->id, err);
}

struct sl_actor sl_actor_of(const struct sl_actor_id *id)
{
    bool engine = sl_streq(id->id, SL_ACTOR_ENGINE);
    return (struct sl_actor){
        .id = id->id, .kind = engine ? "engine" : "user", .auth = engine ? "internal" : "local"};
}
