/**
 * What differs between two runs: see query.h. Steps are matched by key; what went into a step is compared by
 * its recorded cache record, so the answer names exactly the fields that made it run again.
 *
 * Thread: that of the connection. Must not: write, read a clock.
 */
#include "core/base/base.h"

#include "pipelines/run/query.h"

#include <math.h>
#include <stdlib.h>

#include "pipelines/run/query_priv.h"
#include "pipelines/run/workspace.h"

struct side {
    json_t *run;     /* of sl_query_run, with records */
    json_t *metrics; /* {STEP: {METRIC: value}}, a slice in brackets behind its name */
};

static void side_release(struct side *s)
{
    json_decref(s->run);
    json_decref(s->metrics);
}

/* ---- metrics -------------------------------------------------------------------------------------- */

/** Last values of a run's own attempts; later attempts win. */
static int read_metrics(struct sl_db *db, const char *run_id, json_t *into, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(
        db, &rows, err,
        SL_SQL("SELECT s.key, CASE t.slice WHEN '' THEN t.key ELSE t.key || '[' || t.slice || ']' "
               "END, t.last FROM track_series t JOIN attempt a ON a.id = t.attempt_id "
               "JOIN step s ON s.run_id = a.run_id AND s.step = a.step WHERE t.run_id = ? "
               "ORDER BY s.step, a.number, t.id"),
        "s", run_id);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_t *step = json_object_get(into, sl_rows_str(&rows, 0));
        if (step == NULL) {
            step = json_object();
            json_object_set_new(into, sl_rows_str(&rows, 0), step);
        }
        sl_json_set_num(step, sl_rows_str(&rows, 1), sl_rows_double(&rows, 2));
        rc = 0;
    }
    return rc;
}

/** Those of cached steps are where they ran. */
static int borrow_metrics(struct sl_db *db, struct side *s, json_t *known, struct sl_err *err)
{
    size_t i = 0;
    json_t *step = NULL;
    json_array_foreach (json_object_get(s->run, "steps"), i, step) {
        const char *from = sl_json_str(step, "from_run", NULL);
        const char *key = sl_json_str(step, "key", "");
        if (from == NULL) {
            continue;
        }
        json_t *theirs = json_object_get(known, from);
        if (theirs == NULL) {
            theirs = json_object();
            json_object_set_new(known, from, theirs);
            int rc = read_metrics(db, from, theirs, err);
            if (rc < 0) {
                return rc;
            }
        }
        json_object_set(s->metrics, key, json_object_get(theirs, key));
    }
    return 0;
}

static int load_side(const struct sl_query *q, const char *run, struct side *s, struct sl_err *err)
{
    json_auto_t *known = json_object();
    s->metrics = json_object();
    int rc = sl_query_run(q, run, true, &s->run, err);
    rc = rc < 0 ? rc : read_metrics(q->db, sl_json_str(s->run, "id", ""), s->metrics, err);
    return rc < 0 ? rc : borrow_metrics(q->db, s, known, err);
}

static void diff_metrics(const char *step, const json_t *old, const json_t *new, json_t *out)
{
    json_auto_t *all = old != NULL ? json_copy((json_t *)(uintptr_t)old) : json_object();
    const char *name = NULL;
    json_t *any = NULL;
    (void)json_object_update_missing(all, (json_t *)(uintptr_t) new);
    json_object_foreach (all, name, any) {
        const json_t *a = json_object_get(old, name);
        const json_t *b = json_object_get(new, name);
        double delta = sl_json_num(new, name, NAN) - sl_json_num(old, name, NAN);
        if (a != NULL && b != NULL && json_equal(a, b)) {
            continue;
        }
        json_t *o =
            json_pack("{s:s, s:s, s:O*, s:O*}", "step", step, "metric", name, "old", a, "new", b);
        if (isfinite(delta)) {
            sl_json_set_num(o, "delta", delta);
        }
        json_array_append_new(out, o);
    }
}

/* ---- files ---------------------------------------------------------------------------------------- */

static int add_file(const struct sl_manifest_entry *from, const struct sl_manifest_entry *to,
                    void *data, struct sl_err *err)
{
    json_t *list = data;
    (void)err;
    if (json_array_size(list) < SL_QUERY_DIFF_MAX) {
        json_array_append_new(list, json_pack("{s:s, s:s}", "path",
                                              from != NULL ? from->path : to->path, "change",
                                              from == NULL ? "added"
                                              : to == NULL ? "removed"
                                                           : "changed"));
    }
    return 0;
}

static int diff_code(const struct sl_query *q, const json_t *a, const json_t *b, json_t *list,
                     struct sl_err *err)
{
    const char *const texts[] = {sl_json_str(json_object_get(a, "code"), "digest", ""),
                                 sl_json_str(json_object_get(b, "code"), "digest", "")};
    struct sl_digest digests[2];
    _cleanup_(manifest)
    struct sl_manifest old;
    _cleanup_(manifest)
    struct sl_manifest new;
    sl_manifest_init(&old);
    sl_manifest_init(&new);
    if (sl_streq(texts[0], texts[1]) || !sl_digest_parse(texts[0], &digests[0]) ||
        !sl_digest_parse(texts[1], &digests[1])) {
        return 0;
    }
    int rc = sl_ws_manifest(q->blobs, &digests[0], &old, err);
    rc = rc < 0 ? rc : sl_ws_manifest(q->blobs, &digests[1], &new, err);
    return rc < 0 ? rc : sl_manifest_diff(&old, &new, add_file, list, err);
}

/** Pipeline files by text. */
static int diff_pipeline(const struct sl_query *q, const json_t *a, const json_t *b, json_t *list,
                         struct sl_err *err)
{
    struct sl_digest digests[2];
    json_auto_t *old = NULL;
    json_auto_t *new = NULL;
    if (!sl_digest_parse(sl_json_str(a, "pipeline_digest", ""), &digests[0]) ||
        !sl_digest_parse(sl_json_str(b, "pipeline_digest", ""), &digests[1]) ||
        sl_digest_eq(&digests[0], &digests[1])) {
        return 0;
    }
    int rc = query_read_json(q, &digests[0], "pipeline", &old, err);
    rc = rc < 0 ? rc : query_read_json(q, &digests[1], "pipeline", &new, err);
    if (rc < 0) {
        return rc;
    }
    const json_t *was = json_object_get(old, "files");
    const json_t *is = json_object_get(new, "files");
    json_auto_t *all = json_copy((json_t *)(uintptr_t)was);
    const char *name = NULL;
    json_t *any = NULL;
    (void)json_object_update_missing(all, (json_t *)(uintptr_t)is);
    json_object_foreach (all, name, any) {
        const json_t *x = json_object_get(was, name);
        const json_t *y = json_object_get(is, name);
        if (x == NULL || y == NULL || !json_equal(x, y)) {
            json_array_append_new(list, json_pack("{s:s, s:s}", "path", name, "change",
                                                  x == NULL   ? "added"
                                                  : y == NULL ? "removed"
                                                              : "changed"));
        }
    }
    return 0;
}

/* ---- steps ---------------------------------------------------------------------------------------- */

/** Digests of inputs by the names of the versions that they are. */
static int name_inputs(struct sl_db *db, json_t *differences, struct sl_err *err)
{
    size_t i = 0;
    json_t *d = NULL;
    int rc = 0;
    json_array_foreach (differences, i, d) {
        for (int side = 0; side < 2 && rc >= 0; side++) {
            const char *key = side == 0 ? "old" : "new";
            _cleanup_(rows)
            struct sl_rows rows = SL_ROWS_INIT;
            struct sl_digest digest;
            const char *text = sl_json_str(d, key, "");
            if (!sl_starts_with(sl_json_str(d, "field", ""), "inputs.") ||
                !sl_digest_parse(text, &digest)) {
                continue;
            }
            rc = sl_db_query(db, &rows, err,
                             SL_SQL("SELECT project, name, number FROM registry_version "
                                    "WHERE digest = ? ORDER BY created_ms LIMIT 1"),
                             "s", text);
            rc = rc < 0 ? rc : sl_rows_next(&rows, err);
            if (rc > 0) {
                const char *project = sl_rows_str(&rows, 0);
                bool plain = sl_streq(project, SL_DEFAULT_PROJECT);
                _cleanup_(free)
                char *name =
                    sl_asprintf("%s%s%s@v%lld sha256:%.12s", plain ? "" : project, plain ? "" : "/",
                                sl_rows_str(&rows, 1), (long long)sl_rows_i64(&rows, 2), text);
                sl_json_set_str(d, key, name);
            }
        }
    }
    return SL_MIN(rc, 0);
}

static json_t *outputs_of(const json_t *step)
{
    json_t *all = json_object();
    size_t i = 0;
    json_t *o = NULL;
    json_array_foreach (json_object_get(step, "outputs"), i, o) {
        json_object_set_new(all, sl_json_str(o, "name", ""),
                            json_string(sl_json_str(o, "version", sl_json_str(o, "digest", ""))));
    }
    return all;
}

/** What the last attempt used: not compared, shown beside each other. */
static void set_usage(json_t *out, const char *key, const json_t *step)
{
    const json_t *attempts = json_object_get(step, "attempt_list");
    size_t n = json_array_size(attempts);
    int64_t took = sl_json_i64(step, "ended_ms", 0) - sl_json_i64(step, "started_ms", 0);
    json_t *o = json_object();
    sl_json_set_str(o, "state", sl_json_str(step, "state", NULL));
    if (n > 0) {
        const json_t *last = json_array_get(attempts, n - 1);
        sl_json_set_i64(o, "took_ms", SL_MAX(took, (int64_t)0));
        sl_json_set_i64(o, "attempts", (int64_t)n);
        sl_json_set_i64(o, "cpu_us",
                        sl_json_i64(last, "user_us", 0) + sl_json_i64(last, "system_us", 0));
        sl_json_set_i64(o, "maxrss_kb", sl_json_i64(last, "maxrss_kb", 0));
    }
    json_object_set_new(out, key, o);
}

/** A step of both runs, or of one (the other NULL). *ret NULL: nothing differs. */
static int diff_step(const struct sl_query *q, const json_t *old, const json_t *new, json_t **ret,
                     struct sl_err *err)
{
    json_auto_t *was = outputs_of(old);
    json_auto_t *is = outputs_of(new);
    json_auto_t *outputs = sl_plan_diff_records(was, is);
    const json_t *x = json_object_get(old, "cache_record");
    const json_t *y = json_object_get(new, "cache_record");
    json_auto_t *fields = x != NULL && y != NULL ? sl_plan_diff_records(x, y) : json_array();
    json_auto_t *resources =
        sl_plan_diff_records(json_object_get(old, "resources"), json_object_get(new, "resources"));
    bool same = old != NULL && new != NULL &&sl_streq(sl_json_str(old, "state", ""),
                                                      sl_json_str(new, "state", ""));
    *ret = NULL;
    if (same &&
        json_array_size(outputs) + json_array_size(fields) + json_array_size(resources) == 0) {
        return 0;
    }
    sl_run_envs_explain(q->blobs, fields);
    int rc = name_inputs(q->db, fields, err);
    if (rc == 0) {
        *ret = json_pack("{s:s, s:s, s:O, s:O, s:O}", "key",
                         sl_json_str(old != NULL ? old : new, "key", ""), "change",
                         old == NULL   ? "added"
                         : new == NULL ? "removed"
                                       : "changed",
                         "differences", fields, "resources", resources, "outputs", outputs);
        set_usage(*ret, "old", old);
        set_usage(*ret, "new", new);
    }
    return rc;
}

/** Steps of `steps` by key. */
static json_t *by_key(const json_t *steps)
{
    json_t *all = json_object();
    size_t i = 0;
    json_t *s = NULL;
    json_array_foreach (steps, i, s) {
        json_object_set(all, sl_json_str(s, "key", ""), s);
    }
    return all;
}

struct found {
    json_t *steps, *metrics;
    size_t n_same, n_left_out;
};

static int note_step(const struct sl_query *q, const json_t *old, const json_t *new,
                     struct found *f, struct sl_err *err)
{
    json_t *o = NULL;
    int rc = diff_step(q, old, new, &o, err);
    if (rc < 0) {
        return rc;
    }
    if (o == NULL) {
        f->n_same++;
    } else if (json_array_size(f->steps) >= SL_QUERY_DIFF_MAX) {
        f->n_left_out++;
        json_decref(o);
    } else {
        json_array_append_new(f->steps, o);
    }
    return 0;
}

static int diff_steps(const struct sl_query *q, const struct side *a, const struct side *b,
                      struct found *f, struct sl_err *err)
{
    json_auto_t *was = by_key(json_object_get(a->run, "steps"));
    json_auto_t *is = by_key(json_object_get(b->run, "steps"));
    const char *key = NULL;
    json_t *s = NULL;
    int rc = 0;
    json_object_foreach (is, key, s) {
        rc = rc < 0 ? rc : note_step(q, json_object_get(was, key), s, f, err);
        diff_metrics(key, json_object_get(a->metrics, key), json_object_get(b->metrics, key),
                     f->metrics);
    }
    json_object_foreach (was, key, s) {
        if (json_object_get(is, key) == NULL) {
            rc = rc < 0 ? rc : note_step(q, s, NULL, f, err);
            diff_metrics(key, json_object_get(a->metrics, key), NULL, f->metrics);
        }
    }
    return rc;
}

/* ---- all ------------------------------------------------------------------------------------------ */

static json_t *head(const json_t *run)
{
    int64_t started = sl_json_i64(run, "started_ms", 0);
    int64_t ended = sl_json_i64(run, "ended_ms", 0);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "id", sl_json_str(run, "id", ""), "name",
                          sl_json_str(run, "name", ""), "state", sl_json_str(run, "state", ""),
                          "actor", sl_json_str(run, "actor", ""));
    if (started > 0 && ended > 0) {
        sl_json_set_i64(o, "took_ms", ended - started);
    }
    sl_json_set_str(o, "commit", sl_json_str(json_object_get(run, "code"), "commit", NULL));
    return o;
}

/** Values only: where one came from says nothing about the result. */
static json_t *params_of(const json_t *run)
{
    json_t *all = json_object();
    const char *name = NULL;
    json_t *p = NULL;
    json_object_foreach (json_object_get(run, "params"), name, p) {
        json_object_set(all, name, json_object_get(p, "value"));
    }
    return all;
}

int sl_query_diff(const struct sl_query *q, const char *old_run, const char *new_run, json_t **ret,
                  struct sl_err *err)
{
    struct side a = {0};
    struct side b = {0};
    struct found f = {.steps = json_array(), .metrics = json_array()};
    json_auto_t *code = json_array();
    json_auto_t *pipeline = json_array();
    int rc = load_side(q, old_run, &a, err);
    rc = rc < 0 ? rc : load_side(q, new_run, &b, err);
    rc = rc < 0 ? rc : diff_code(q, a.run, b.run, code, err);
    rc = rc < 0 ? rc : diff_pipeline(q, a.run, b.run, pipeline, err);
    rc = rc < 0 ? rc : diff_steps(q, &a, &b, &f, err);
    if (rc == 0) {
        json_auto_t *old_params = params_of(a.run);
        json_auto_t *new_params = params_of(b.run);
        *ret = json_pack(
            "{s:o, s:o, s:o, s:o, s:O, s:O, s:O, s:I, s:I, s:O}", "old", head(a.run), "new",
            head(b.run), "params", sl_plan_diff_records(old_params, new_params), "environment",
            sl_plan_diff_records(json_object_get(a.run, "facts"), json_object_get(b.run, "facts")),
            "code", code, "pipeline", pipeline, "steps", f.steps, "steps_same",
            (json_int_t)f.n_same, "steps_left_out", (json_int_t)f.n_left_out, "metrics", f.metrics);
    }
    json_decref(f.steps);
    json_decref(f.metrics);
    side_release(&a);
    side_release(&b);
    return rc;
}
