/**
 * Runs, steps, attempts, outputs and cache entries in SQLite. All SQL about them lives in run_store.c and
 * run_read.c. State moves are compare-and-set: a move from a state that is not there is -SL_ECONFLICT.
 *
 * Thread: that of the connection; writing calls inside a transaction. Must not: read a clock.
 */
#ifndef SL_RUN_STORE_H
#define SL_RUN_STORE_H

#include "core/base/time.h"
#include "core/db/db.h"
#include "pipelines/core/core.h"

#define SL_RUN_PARAM_INDEX_MAX 1000 /* characters of a parameter's JSON that runs can be found by */

/** A run as recorded. Texts borrowed on insert; in the arena on read. */
struct sl_run_record {
    char id[SL_ID_HEX + 1];
    int64_t number; /* per pipeline, from 1; given by insert */
    const char *pipeline, *file, *base_dir, *actor;
    const char *params;    /* canonical JSON: {name: {"value","origin"}} */
    const char *facts;     /* canonical JSON of host facts */
    struct sl_digest spec; /* content: JSON {"main":name,"files":{name:text}} */
    struct sl_digest plan; /* content: the expanded plan as JSON */
    struct sl_digest code; /* manifest of the code snapshot */
    struct sl_digest runtime;
    const char *code_commit; /* git commit or "" */
    bool code_dirty;
    const char *override_reason; /* of refused gates; NULL none */
    const char *retry_of;        /* run id or NULL */
    const char *group;           /* of runs that share a limit; NULL none. Not read back */
    int group_limit, priority;   /* likewise */
    int64_t n_steps;
    int64_t created_ms, started_ms, ended_ms; /* 0 unknown */
    enum sl_run_state state;
    const char *reason;
    bool timed_out;
};

int sl_run_insert(struct sl_db *db, struct sl_run_record *r, struct sl_err *err) SL_MUST_CHECK;
struct sl_run_move {
    const char *id;
    enum sl_run_state from, to;
    const char *reason;
    int64_t ts_ms;
    bool timed_out;
};
int sl_run_move(struct sl_db *db, const struct sl_run_move *m, struct sl_err *err) SL_MUST_CHECK;

/** A step's row is made on its first move. */
struct sl_step_move {
    const char *run_id;
    uint32_t step;
    const char *key;     /* "train[seed=2]" */
    const char *step_id; /* "train" */
    const struct sl_jentry *entry;
};
int sl_step_store_move(struct sl_db *db, const struct sl_step_move *m, struct sl_err *err)
    SL_MUST_CHECK;

int sl_attempt_store_start(struct sl_db *db, const struct sl_core_attempt *a, const char *identity,
                           int64_t ts_ms, struct sl_err *err) SL_MUST_CHECK;
/** It was asked to make way. */
int sl_attempt_store_preempt(struct sl_db *db, const struct sl_core_attempt *a, const char *way,
                             struct sl_err *err) SL_MUST_CHECK;
int sl_attempt_store_end(struct sl_db *db, const struct sl_core_attempt *a,
                         enum sl_attempt_state to, struct sl_err *err) SL_MUST_CHECK;

int sl_output_store(struct sl_db *db, const char *run_id, uint32_t step, const char *name,
                    const struct sl_artifact *artifact, struct sl_err *err) SL_MUST_CHECK;
/** Outputs of a recorded step, parallel to spec's outputs; unknown ones stay zero. */
int sl_outputs_load(struct sl_db *db, const char *run_id, int64_t step, const struct sl_step *spec,
                    struct sl_arena *a, struct sl_artifact **ret, struct sl_err *err) SL_MUST_CHECK;

struct sl_cache_hit {
    char run_id[SL_ID_HEX + 1];
    int64_t step, run_number, created_ms;
};
int sl_cache_put(struct sl_db *db, const struct sl_digest *key, const char *run_id, uint32_t step,
                 int64_t ts_ms, struct sl_err *err) SL_MUST_CHECK;
/** -SL_ENOTFOUND when there is none. */
int sl_cache_get(struct sl_db *db, const struct sl_digest *key, struct sl_cache_hit *ret,
                 struct sl_err *err) SL_MUST_CHECK;
/** For `retry`: the step with that key record that ended well in another run. -SL_ENOTFOUND. */
int sl_reuse_get(struct sl_db *db, const char *run_id, const char *key,
                 const struct sl_digest *cache_key, struct sl_cache_hit *ret, struct sl_err *err)
    SL_MUST_CHECK;

/* ---- reading (run_read.c) ------------------------------------------------------------------------- */

/** By id, unique id prefix of 4 or more, "pipeline#number", "#number" or "last". */
int sl_run_find(struct sl_db *db, const char *text, struct sl_arena *a, struct sl_run_record *ret,
                struct sl_err *err) SL_MUST_CHECK;
/** Ids of runs that have not ended, oldest first. */
int sl_run_unfinished(struct sl_db *db,
                      int (*fn)(const char *run_id, void *data, struct sl_err *err), void *data,
                      struct sl_err *err) SL_MUST_CHECK;

struct sl_step_row {
    int64_t step;
    const char *key, *step_id, *reason, *cache_record, *from_run;
    enum sl_step_state state;
    int attempts;
    int64_t not_before_ms, started_ms, ended_ms, from_step;
    struct sl_digest cache_key;
    bool has_key, timed_out;
};
typedef int (*sl_step_row_fn)(const struct sl_step_row *row, void *data, struct sl_err *err);
int sl_steps_load(struct sl_db *db, const char *run_id, sl_step_row_fn fn, void *data,
                  struct sl_err *err) SL_MUST_CHECK;

struct sl_attempt_row {
    const char *id, *reason, *class_name, *identity;
    const char *way; /* what it was asked to make way for; NULL: it was not */
    int64_t step;
    int number;
    enum sl_attempt_state state;
    int exit_code, signal;
    bool oom;
    int64_t started_ms, ended_ms, user_us, system_us, maxrss_kb;
};
typedef int (*sl_attempt_row_fn)(const struct sl_attempt_row *row, void *data, struct sl_err *err);
/** Attempts of a run (step < 0: all), by step and number. */
int sl_attempts_load(struct sl_db *db, const char *run_id, int64_t step, sl_attempt_row_fn fn,
                     void *data, struct sl_err *err) SL_MUST_CHECK;

#endif
