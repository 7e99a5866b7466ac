/**
 * Evaluations: values of a model version on a dataset version, kept per attempt.
 *
 * Thread: that of the connection.
 */
#include "core/base/base.h"

#include "core/track/track.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"

static int check(const struct sl_eval *e, struct sl_err *err)
{
    SL_ASSERT(e->model_digest != NULL && e->dataset_digest != NULL && e->key != NULL);
    SL_ASSERT(e->attempt_id != NULL && e->run_id != NULL);
    if (e->key[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "an evaluation with an empty key");
    }
    if (strlen(e->key) > SL_METRICS_KEY_MAX ||
        (e->slice != NULL && strlen(e->slice) > SL_METRICS_KEY_MAX)) {
        return sl_err_set(err, SL_ELIMIT, "evaluation '%.64s': key and slice have at most %d bytes",
                          e->key, SL_METRICS_KEY_MAX);
    }
    return 0;
}

int sl_eval_add(struct sl_db *db, const struct sl_eval *e, struct sl_err *err)
{
    SL_ASSERT(sl_db_in_tx(db));
    int rc = check(e, err);
    if (rc < 0) {
        return rc;
    }
    return sl_db_exec(db, err,
                      SL_SQL("INSERT INTO evaluation(model_digest, dataset_digest, attempt_id, "
                             "key, slice, value, run_id, ts) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                             "ON CONFLICT(model_digest, dataset_digest, attempt_id, key, slice) "
                             "DO UPDATE SET value = excluded.value, ts = excluded.ts"),
                      "sssssdsi", e->model_digest, e->dataset_digest, e->attempt_id, e->key,
                      e->slice != NULL ? e->slice : "", e->value, e->run_id, e->ts_ms);
}

/* The attempt that first wrote about the pair last: ids grow in commit order. */
static int latest_attempt(struct sl_db *db, const struct sl_eval *pair, char **ret,
                          struct sl_err *err)
{
    int rc = sl_db_get_text(db, ret, err,
                            SL_SQL("SELECT attempt_id FROM evaluation WHERE model_digest = ? "
                                   "AND dataset_digest = ? ORDER BY id DESC LIMIT 1"),
                            "ss", pair->model_digest, pair->dataset_digest);
    if (rc == -SL_ENOTFOUND) {
        return sl_err_set(err, SL_ENOTFOUND, "model %s was not evaluated on dataset %s",
                          pair->model_digest, pair->dataset_digest);
    }
    return rc;
}

int sl_eval_latest(struct sl_db *db, const struct sl_eval *pair, sl_eval_fn fn, void *arg,
                   struct sl_err *err)
{
    _cleanup_(free)
    char *found = NULL;
    int rc = pair->attempt_id == NULL ? latest_attempt(db, pair, &found, err) : 0;
    if (rc < 0) {
        return rc;
    }
    const char *attempt = pair->attempt_id != NULL ? pair->attempt_id : found;
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    rc = sl_db_query(db, &rows, err,
                     SL_SQL("SELECT key, slice, value, run_id, ts FROM evaluation "
                            "WHERE model_digest = ? AND dataset_digest = ? AND attempt_id = ? "
                            "ORDER BY key, slice"),
                     "sss", pair->model_digest, pair->dataset_digest, attempt);
    int n = 0;
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_eval e = {.model_digest = pair->model_digest,
                            .dataset_digest = pair->dataset_digest,
                            .attempt_id = attempt,
                            .key = sl_rows_str(&rows, 0),
                            .slice = sl_rows_str(&rows, 1),
                            .value = sl_rows_double(&rows, 2),
                            .run_id = sl_rows_str(&rows, 3),
                            .ts_ms = sl_rows_i64(&rows, 4)};
        n++;
        rc = fn(&e, arg);
        if (rc != 0) {
            return rc;
        }
    }
    if (rc == 0 && n == 0) {
        rc = sl_err_set(err, SL_ENOTFOUND, "attempt %s did not evaluate model %s on dataset %s",
                        attempt, pair->model_digest, pair->dataset_digest);
    }
    return rc;
}
