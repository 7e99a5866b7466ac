/* Reading runs, steps, attempts, outputs: see run_store.h. Thread: that of the connection. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/run/run_store.h"

#define RUN_COLUMNS                                                                                \
    "id, number, pipeline, file, base_dir, actor, params, facts, spec, plan, code, runtime, "      \
    "code_commit, code_dirty, override_reason, retry_of, n_steps, created_ms, started_ms, "        \
    "ended_ms, state, reason, timed_out"

static struct sl_digest digest_of(const char *hex)
{
    struct sl_digest d = {0};
    (void)sl_digest_parse(hex, &d); /* a damaged one stays zero and is found missing when used */
    return d;
}

static void fill_run(struct sl_rows *rows, struct sl_arena *a, struct sl_run_record *r)
{
    *r = (struct sl_run_record){.number = sl_rows_i64(rows, 1)};
    snprintf(r->id, sizeof(r->id), "%s", sl_rows_str(rows, 0));
    r->pipeline = sl_arena_strdup(a, sl_rows_str(rows, 2));
    r->file = sl_arena_strdup(a, sl_rows_str(rows, 3));
    r->base_dir = sl_arena_strdup(a, sl_rows_str(rows, 4));
    r->actor = sl_arena_strdup(a, sl_rows_str(rows, 5));
    r->params = sl_arena_strdup(a, sl_rows_str(rows, 6));
    r->facts = sl_arena_strdup(a, sl_rows_str(rows, 7));
    r->spec = digest_of(sl_rows_str(rows, 8));
    r->plan = digest_of(sl_rows_str(rows, 9));
    r->code = digest_of(sl_rows_str(rows, 10));
    r->runtime = digest_of(sl_rows_str(rows, 11));
    r->code_commit = sl_arena_strdup(a, sl_rows_str(rows, 12));
    r->code_dirty = sl_rows_i64(rows, 13) != 0;
    r->override_reason =
        sl_rows_is_null(rows, 14) ? NULL : sl_arena_strdup(a, sl_rows_str(rows, 14));
    r->retry_of = sl_rows_is_null(rows, 15) ? NULL : sl_arena_strdup(a, sl_rows_str(rows, 15));
    r->n_steps = sl_rows_i64(rows, 16);
    r->created_ms = sl_rows_i64(rows, 17);
    r->started_ms = sl_rows_i64(rows, 18);
    r->ended_ms = sl_rows_i64(rows, 19);
    r->state = (enum sl_run_state)SL_MAX(0, sl_sm_parse(&sl_run_machine, sl_rows_str(rows, 20)));
    r->reason = sl_arena_strdup(a, sl_rows_str(rows, 21));
    r->timed_out = sl_rows_i64(rows, 22) != 0;
}

/** Starts the query that fits the way the run is named. */
static int query_by_text(struct sl_db *db, struct sl_rows *rows, const char *text,
                         struct sl_err *err)
{
    const char *hash = strrchr(text, '#');
    int64_t number = 0;
    if (sl_streq(text, "last")) {
        return sl_db_query(
            db, rows, err,
            SL_SQL("SELECT " RUN_COLUMNS " FROM run ORDER BY created_ms DESC, id LIMIT 1"), "");
    }
    if (hash != NULL && sl_parse_i64(hash + 1, &number)) {
        _cleanup_(free)
        char *pipeline = sl_strndup(text, (size_t)(hash - text));
        if (pipeline[0] == '\0') {
            return sl_db_query(db, rows, err,
                               SL_SQL("SELECT " RUN_COLUMNS " FROM run WHERE number = ? LIMIT 2"),
                               "i", number);
        }
        return sl_db_query(
            db, rows, err,
            SL_SQL("SELECT " RUN_COLUMNS " FROM run WHERE pipeline = ? AND number = ?"), "si",
            pipeline, number);
    }
    if (strlen(text) < 4 || strspn(text, "0123456789abcdef") != strlen(text)) {
        return sl_db_query(db, rows, err,
                           SL_SQL("SELECT " RUN_COLUMNS " FROM run WHERE pipeline = ? "
                                  "ORDER BY number DESC LIMIT 1"),
                           "s", text);
    }
    _cleanup_(free)
    char *end = sl_asprintf("%sg", text); /* sorts behind every hex continuation */
    return sl_db_query(db, rows, err,
                       SL_SQL("SELECT " RUN_COLUMNS " FROM run WHERE id >= ? AND id < ? LIMIT 2"),
                       "ss", text, end);
}

int sl_run_find(struct sl_db *db, const char *text, struct sl_arena *a, struct sl_run_record *ret,
                struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    struct sl_run_record first;
    int rc = query_by_text(db, &rows, text, err);
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == 0) {
        return sl_err_set(err, SL_ENOTFOUND,
                          "no run '%.80s'; name it by id, id prefix, pipeline, pipeline#number or "
                          "'last' (sluice ls shows them)",
                          text);
    }
    fill_run(&rows, a, &first);
    rc = sl_rows_next(&rows, err);
    if (rc > 0) {
        return sl_err_set(err, SL_ECONFLICT, "'%.80s' names more than one run; give more of the id",
                          text);
    }
    if (rc < 0) {
        return rc;
    }
    *ret = first;
    return 0;
}

int sl_run_unfinished(struct sl_db *db,
                      int (*fn)(const char *run_id, void *data, struct sl_err *err), void *data,
                      struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc =
        sl_db_query(db, &rows, err,
                    SL_SQL("SELECT id FROM run WHERE ended_ms IS NULL ORDER BY created_ms"), "");
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        rc = fn(sl_rows_str(&rows, 0), data, err);
    }
    return rc;
}

int sl_steps_load(struct sl_db *db, const char *run_id, sl_step_row_fn fn, void *data,
                  struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(
        db, &rows, err,
        SL_SQL("SELECT step, key, step_id, state, reason, attempts, not_before_ms, "
               "cache_key, cache_record, from_run, from_step, started_ms, ended_ms, timed_out "
               "FROM step WHERE run_id = ? ORDER BY step"),
        "s", run_id);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_step_row row = {
            .step = sl_rows_i64(&rows, 0),
            .key = sl_rows_str(&rows, 1),
            .step_id = sl_rows_str(&rows, 2),
            .state =
                (enum sl_step_state)SL_MAX(0, sl_sm_parse(&sl_step_machine, sl_rows_str(&rows, 3))),
            .reason = sl_rows_str(&rows, 4),
            .attempts = sl_rows_int(&rows, 5),
            .not_before_ms = sl_rows_i64(&rows, 6),
            .has_key = !sl_rows_is_null(&rows, 7),
            .cache_key = digest_of(sl_rows_str(&rows, 7)),
            .cache_record = sl_rows_text(&rows, 8),
            .from_run = sl_rows_text(&rows, 9),
            .from_step = sl_rows_i64(&rows, 10),
            .started_ms = sl_rows_i64(&rows, 11),
            .ended_ms = sl_rows_i64(&rows, 12),
            .timed_out = sl_rows_i64(&rows, 13) != 0,
        };
        rc = fn(&row, data, err);
    }
    return rc;
}

int sl_attempts_load(struct sl_db *db, const char *run_id, int64_t step, sl_attempt_row_fn fn,
                     void *data, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc =
        sl_db_query(db, &rows, err,
                    SL_SQL("SELECT id, step, number, state, class, reason, exit_code, signal, oom, "
                           "identity, started_ms, ended_ms, user_us, system_us, maxrss_kb, way "
                           "FROM attempt WHERE run_id = ?1 AND (?2 < 0 OR step = ?2) "
                           "ORDER BY step, number"),
                    "si", run_id, step);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_attempt_row row = {
            .id = sl_rows_str(&rows, 0),
            .step = sl_rows_i64(&rows, 1),
            .number = sl_rows_int(&rows, 2),
            .state = (enum sl_attempt_state)SL_MAX(
                0, sl_sm_parse(&sl_attempt_machine, sl_rows_str(&rows, 3))),
            .class_name = sl_rows_str(&rows, 4),
            .reason = sl_rows_str(&rows, 5),
            .exit_code = sl_rows_int(&rows, 6),
            .signal = sl_rows_int(&rows, 7),
            .oom = sl_rows_i64(&rows, 8) != 0,
            .identity = sl_rows_str(&rows, 9),
            .started_ms = sl_rows_i64(&rows, 10),
            .ended_ms = sl_rows_i64(&rows, 11),
            .user_us = sl_rows_i64(&rows, 12),
            .system_us = sl_rows_i64(&rows, 13),
            .maxrss_kb = sl_rows_i64(&rows, 14),
            .way = sl_rows_text(&rows, 15),
        };
        rc = fn(&row, data, err);
    }
    return rc;
}

int sl_outputs_load(struct sl_db *db, const char *run_id, int64_t step, const struct sl_step *spec,
                    struct sl_arena *a, struct sl_artifact **ret, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    struct sl_artifact *list =
        SL_ARENA_ARRAY(a, struct sl_artifact, SL_MAX(spec->n_outputs, (size_t)1));
    int rc =
        sl_db_query(db, &rows, err,
                    SL_SQL("SELECT name, entity, entity_name, version, digest FROM step_output "
                           "WHERE run_id = ? AND step = ?"),
                    "si", run_id, step);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        rc = 0;
        for (size_t i = 0; i < spec->n_outputs; i++) {
            if (sl_streq(spec->outputs[i].name, sl_rows_str(&rows, 0))) {
                list[i].entity = (enum sl_entity)sl_rows_int(&rows, 1);
                list[i].name = sl_arena_strdup(a, sl_rows_str(&rows, 2));
                list[i].version = sl_rows_i64(&rows, 3);
                list[i].digest = digest_of(sl_rows_str(&rows, 4));
            }
        }
    }
    if (rc < 0) {
        return rc;
    }
    *ret = list;
    return 0;
}
