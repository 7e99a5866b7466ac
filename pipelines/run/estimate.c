/* Expected times from history: see estimate.h. Thread: that of the connection. Must not: write. */
#include "core/base/base.h"

#include "pipelines/run/estimate.h"

#include <stdlib.h>
#include <uthash.h>

#include "core/base/mem.h"
#include "pipelines/core/machines.h"

struct known {
    UT_hash_handle hh;
    char *name;
    int64_t samples[SL_ESTIMATE_SAMPLES_MAX]; /* newest first */
    int n;
};

struct sl_estimate {
    struct known *keys, *steps; /* by instance and by written step */
    int64_t n_runs;
    SL_VEC(int64_t) ends; /* per step added: when its chain is over */
    int64_t longest, work_cpu_ms;
    int64_t n_known, n_unknown;
    int64_t starts; /* when the needs of the step before are over: instances share them */
};

/* ---- history -------------------------------------------------------------------------------------- */

static void note(struct known **table, const char *name, int64_t ms)
{
    struct known *k = NULL;
    HASH_FIND_STR(*table, name, k);
    if (k == NULL) {
        k = SL_NEW(struct known);
        k->name = sl_strdup(name);
        HASH_ADD_KEYPTR(hh, *table, k->name, strlen(k->name), k);
    }
    if (k->n < SL_ESTIMATE_SAMPLES_MAX) {
        k->samples[k->n++] = ms;
    }
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t median(const struct known *k)
{
    int64_t sorted[SL_ESTIMATE_SAMPLES_MAX];
    memcpy(sorted, k->samples, sizeof(sorted));
    qsort(sorted, (size_t)k->n, sizeof(sorted[0]), by_size);
    return (sorted[(k->n - 1) / 2] + sorted[k->n / 2]) / 2;
}

static int read_run(struct sl_db *db, const char *run_id, struct sl_estimate *e, int64_t *left,
                    struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int64_t before = *left;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT key, step_id, ended_ms - started_ms FROM step WHERE "
                                "run_id = ? AND state = 'succeeded' AND attempts > 0 LIMIT ?"),
                         "si", run_id, *left);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        int64_t ms = SL_MAX(sl_rows_i64(&rows, 2), (int64_t)0);
        note(&e->keys, sl_rows_str(&rows, 0), ms);
        note(&e->steps, sl_rows_str(&rows, 1), ms);
        (*left)--;
        rc = 0;
    }
    e->n_runs += *left < before ? 1 : 0;
    return rc;
}

static int read_runs(struct sl_db *db, const char *pipeline, int64_t before, struct sl_estimate *e,
                     struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int64_t left = SL_ESTIMATE_STEPS_MAX;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT id FROM run WHERE pipeline = ?1 AND "
                                "(?2 = 0 OR number < ?2) AND ended_ms IS NOT NULL "
                                "ORDER BY number DESC LIMIT ?3"),
                         "sii", pipeline, before, SL_ESTIMATE_RUNS_MAX);
    while (rc == 0 && left > 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        rc = read_run(db, sl_rows_str(&rows, 0), e, &left, err);
    }
    return rc;
}

int sl_estimate_load(struct sl_db *db, const char *pipeline, int64_t before,
                     struct sl_estimate **ret, struct sl_err *err)
{
    struct sl_estimate *e = SL_NEW(struct sl_estimate);
    int rc = read_runs(db, pipeline, before, e, err);
    if (rc < 0) {
        sl_estimate_free(e);
        return rc;
    }
    *ret = e;
    return 0;
}

static void free_table(struct known **table)
{
    struct known *k = NULL;
    struct known *next = NULL;
    HASH_ITER (hh, *table, k, next) {
        HASH_DEL(*table, k);
        free(k->name);
        free(k);
    }
}

void sl_estimate_free(struct sl_estimate *e)
{
    if (e != NULL) {
        free_table(&e->keys);
        free_table(&e->steps);
        sl_vec_free(&e->ends);
        free(e);
    }
}

/* ---- a run ---------------------------------------------------------------------------------------- */

int64_t sl_estimate_step_ms(const struct sl_estimate *e, const char *key, const char *step)
{
    struct known *k = NULL;
    HASH_FIND_STR(e->keys, key, k);
    if (k == NULL) {
        HASH_FIND_STR(e->steps, step, k);
    }
    return k != NULL ? median(k) : -1;
}

/** Whether work on the step is still to be done. */
static bool is_left(const json_t *step)
{
    const char *decision = sl_json_str(step, "decision", NULL);
    int state = sl_sm_parse(&sl_step_machine, sl_json_str(step, "state", "pending"));
    return decision != NULL ? sl_streq(decision, "run") || sl_streq(decision, "waiting")
                            : state >= 0 && !sl_step_state_final((enum sl_step_state)state);
}

/** When the last of the needs is over. */
static int64_t over_at(const struct sl_estimate *e, const json_t *needs)
{
    size_t i = 0;
    json_t *need = NULL;
    int64_t at = 0;
    json_array_foreach (needs, i, need) {
        int64_t index = json_integer_value(need);
        if (index >= 0 && (size_t)index < e->ends.n) {
            at = SL_MAX(at, e->ends.items[index]);
        }
    }
    return at;
}

void sl_estimate_add(struct sl_estimate *e, const json_t *step, int64_t now_ms)
{
    const json_t *needs = json_object_get(step, "needs");
    int64_t took = 0;
    e->starts = needs != NULL ? over_at(e, needs) : e->starts;
    if (is_left(step)) {
        int64_t started = sl_json_i64(step, "started_ms", 0);
        took = sl_estimate_step_ms(e, sl_json_str(step, "key", ""), sl_json_str(step, "step", ""));
        e->n_known += took >= 0 ? 1 : 0;
        e->n_unknown += took < 0 ? 1 : 0;
        took = SL_MAX(took - (started > 0 ? now_ms - started : 0), (int64_t)0);
        e->work_cpu_ms +=
            took *
            SL_MAX(sl_json_i64(json_object_get(step, "resources"), "cpu_milli", 1000), (int64_t)1) /
            1000;
    }
    int64_t end = e->starts + took;
    e->longest = SL_MAX(e->longest, end);
    sl_vec_push(&e->ends, end);
}

bool sl_estimate_result(const struct sl_estimate *e, int64_t n_cpus, struct sl_estimate_result *ret)
{
    *ret = (struct sl_estimate_result){
        .left_ms = SL_MAX(e->longest, e->work_cpu_ms / SL_MAX(n_cpus, (int64_t)1)),
        .n_runs = e->n_runs,
        .n_known = e->n_known,
        .n_unknown = e->n_unknown};
    return e->n_known > 0;
}
