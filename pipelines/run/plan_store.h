/** The expanded plan of a run as content. Thread: any. Blocks: yes. Must not: hold a large plan whole. */
#ifndef SL_RUN_PLAN_STORE_H
#define SL_RUN_PLAN_STORE_H

#include "core/blob/blob.h"
#include "pipelines/plan/plan.h"

/** Stores the canonical form of sl_plan_json, byte for byte; durable when it returns 0. -SL_ENOSPACE, -SL_EIO. */
int sl_plan_store(struct sl_blob_store *blobs, const struct sl_plan *plan, struct sl_digest *ret,
                  struct sl_err *err) SL_MUST_CHECK;

#endif
