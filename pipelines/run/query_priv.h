/** What the files of the read models share. */
#ifndef SL_QUERY_PRIV_H
#define SL_QUERY_PRIV_H

#include "core/base/json.h"
#include "pipelines/run/query.h"

/** Sets NAME_at (text) and NAME_ms; nothing for 0. */
void query_set_time(json_t *o, const char *name, int64_t ms);
/** A queued run says what it waits for, as its reason. */
int query_explain_queued(struct sl_db *db, json_t *run, struct sl_err *err) SL_MUST_CHECK;
/** Recorded content that is one JSON text; `what` is for messages. New reference. */
int query_read_json(const struct sl_query *q, const struct sl_digest *digest, const char *what,
                    json_t **ret, struct sl_err *err) SL_MUST_CHECK;

#endif
