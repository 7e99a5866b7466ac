/**
 * Groups of runs as the database tells of them: whether a submission may join, why a recorded run waits.
 *
 * Thread: that of the connection. Must not: decide what starts (core_admit.c does).
 */
#ifndef SL_RUN_ADMIT_STORE_H
#define SL_RUN_ADMIT_STORE_H

#include "core/db/db.h"
#include "pipelines/core/admit.h"

/** A submission that wants to join its group. */
struct sl_admit_ask {
    const char *group; /* NULL: none, always welcome */
    int limit;         /* as its pipeline says; the project's wins */
    enum sl_on_conflict on_conflict;
    int max_queued; /* 0: no bound */
};
/** In the transaction that would record the run. -SL_EREFUSED naming who is in the way. */
int sl_admit_check(struct sl_db *db, const struct sl_admit_ask *ask, struct sl_err *err)
    SL_MUST_CHECK;

/** Why a queued run waits; nothing when it is in no group. Appends. */
int sl_admit_why(struct sl_db *db, const char *run_id, struct sl_buf *out, struct sl_err *err)
    SL_MUST_CHECK;

#endif
