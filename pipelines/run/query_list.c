/**
 * The list of runs: filters, orders, pages. See query.h.
 *
 * A filter that few runs pass names them first (candidates); one that many pass is tried on runs in order
 * until the page is full. Either way the time does not grow with the history.
 *
 * Thread: that of the connection. Must not: write, read a clock.
 */
#include "core/base/base.h"

#include "pipelines/run/query.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipelines/run/query_priv.h"
#include "pipelines/run/workspace.h"

#define FEW_MAX 2000 /* candidates that are looked at one by one */

const char *const sl_run_sort_names[SL_SORT_COUNT] = {
    [SL_SORT_NEWEST] = "newest",   [SL_SORT_OLDEST] = "oldest", [SL_SORT_LONGEST] = "longest",
    [SL_SORT_HIGHEST] = "highest", [SL_SORT_LOWEST] = "lowest",
};

/** The filter as the statements take it, by the numbers of their parameters. */
struct question {
    const struct sl_run_filter *f;
    int64_t until_ms;            /* 5 */
    char *params;                /* 6: [[NAME, VALUE], ...] */
    char *model;                 /* 7: "project/name" */
    int64_t version;             /* 8: 0 any */
    char *key;                   /* 9: the metric, and between what it lies: */
    double low, high;            /* 10, 11 */
    double from;                 /* 12: the cursor */
    char from_id[SL_ID_HEX + 2]; /* 13 */
    char *ids;                   /* 14: candidates */
    bool nothing;                /* no run can pass */
};

static void question_release(struct question *x)
{
    free(x->params);
    free(x->model);
    free(x->key);
    free(x->ids);
}

/* ---- reading the filter --------------------------------------------------------------------------- */

static int check_state(const char *state, struct sl_err *err)
{
    const char *names[SL_RUN_STATES];
    if (state == NULL || sl_sm_parse(&sl_run_machine, state) >= 0) {
        return 0;
    }
    for (int i = 0; i < SL_RUN_STATES; i++) {
        names[i] = sl_sm_name(&sl_run_machine, i);
    }
    const char *near = sl_nearest(state, names, SL_LEN(names));
    return sl_err_set(err, SL_EINVAL, "no run state '%.40s'%s%s%s", state,
                      near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                      near != NULL ? "'?" : "");
}

/** A pipeline without runs is most likely misspelt, unless nothing ran here yet. */
static int check_pipeline(const struct sl_query *q, const char *name, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    SL_VEC(char *) names = {0};
    int rc = sl_db_query(
        q->db, &rows, err,
        SL_SQL("WITH RECURSIVE p(name) AS (SELECT min(pipeline) FROM run UNION ALL "
               "SELECT (SELECT min(pipeline) FROM run WHERE pipeline > p.name) FROM p "
               "WHERE p.name IS NOT NULL) SELECT name FROM p WHERE name IS NOT NULL LIMIT 1000"),
        "");
    bool found = false;
    while (rc == 0 && !found && (rc = sl_rows_next(&rows, err)) > 0) {
        rc = 0;
        found = sl_streq(sl_rows_str(&rows, 0), name);
        sl_vec_push(&names, sl_strdup(sl_rows_str(&rows, 0)));
    }
    if (rc == 0 && !found && names.n > 0) {
        const char *near = sl_nearest(name, (const char *const *)names.items, names.n);
        rc = sl_err_set(err, SL_ENOTFOUND, "no pipeline '%.80s' has run here%s%s%s", name,
                        near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                        near != NULL ? "'?" : "");
    }
    for (size_t i = 0; i < names.n; i++) {
        free(names.items[i]);
    }
    sl_vec_free(&names);
    return SL_MIN(rc, 0);
}

static int known_value(struct sl_db *db, const char *name, const char *value, struct sl_err *err)
{
    int64_t found = 0;
    int rc = sl_db_get_i64(db, &found, err,
                           SL_SQL("SELECT EXISTS(SELECT 1 FROM run_param WHERE name = ? AND "
                                  "value = ?)"),
                           "ss", name, value);
    return rc < 0 ? rc : found != 0;
}

/** One NAME=VALUE: the value as it was recorded, which for numbers may be another spelling. */
static int add_param(struct sl_db *db, char *line, json_t *list, bool *nothing, struct sl_err *err)
{
    char *value = strchr(line, '=');
    if (value == NULL || value == line) {
        return sl_err_set(err, SL_EINVAL, "expected NAME=VALUE, not '%.80s'", line);
    }
    *value++ = '\0';
    if (strlen(value) > SL_RUN_PARAM_INDEX_MAX) {
        return sl_err_set(err, SL_ELIMIT, "runs are found by values of at most %d characters",
                          SL_RUN_PARAM_INDEX_MAX);
    }
    json_auto_t *number = sl_json_parse("value", value, strlen(value), NULL);
    _cleanup_(free)
    char *canonical = number != NULL ? sl_json_canonical(number) : sl_strdup(value);
    int rc = known_value(db, line, value, err);
    const char *spelling = rc > 0 ? value : canonical;
    rc = rc != 0 ? rc : known_value(db, line, canonical, err);
    *nothing = *nothing || rc == 0;
    json_array_append_new(list, json_pack("[s, s]", line, spelling));
    return SL_MIN(rc, 0);
}

static int read_params(const struct sl_query *q, struct question *x, struct sl_err *err)
{
    if (x->f->params == NULL) {
        return 0;
    }
    if (strlen(x->f->params) > SL_QUERY_TEXT_MAX) {
        return sl_err_set(err, SL_ELIMIT, "parameters of more than %d bytes", SL_QUERY_TEXT_MAX);
    }
    json_auto_t *list = json_array();
    _cleanup_(free)
    char *text = sl_strdup(x->f->params);
    char *at = text;
    char *line = NULL;
    int rc = 0;
    while (rc == 0 && (line = strsep(&at, "\n")) != NULL) {
        rc = add_param(q->db, line, list, &x->nothing, err);
    }
    if (rc == 0 && json_array_size(list) > SL_QUERY_PARAMS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "more than %d parameters", SL_QUERY_PARAMS_MAX);
    }
    x->params = rc == 0 ? sl_json_canonical(list) : NULL;
    return rc;
}

static int read_model(const struct sl_query *q, struct question *x, struct sl_err *err)
{
    struct sl_arena a;
    struct sl_artifact found;
    if (x->f->model == NULL) {
        return 0;
    }
    sl_arena_init(&a, 0);
    int rc = sl_ws_resolve(q->db, SL_ENT_MODEL, x->f->model, &a, &found, err);
    if (rc == 0) {
        x->model = sl_strdup(found.name);
        x->version = strchr(x->f->model, '@') != NULL ? found.version : 0;
    }
    sl_arena_release(&a);
    return rc;
}

/** "auc>=0.8" as a closed interval. */
static int read_metric(struct question *x, struct sl_err *err)
{
    const char *text = x->f->metric;
    size_t n = text != NULL ? strcspn(text, "<>=") : 0;
    x->low = -INFINITY;
    x->high = INFINITY;
    if (text == NULL) {
        return x->f->sort < SL_SORT_HIGHEST
                   ? 0
                   : sl_err_set(err, SL_EINVAL, "sorting by %s needs a metric",
                                sl_run_sort_names[x->f->sort]);
    }
    const char *sign = text + n;
    bool equal = sign[0] != '\0' && sign[1] == '=';
    double value = 0;
    while (n > 0 && text[n - 1] == ' ') {
        n--;
    }
    if (n == 0 || n > SL_QUERY_TEXT_MAX ||
        (sign[0] != '\0' &&
         !sl_parse_double(sign + 1 + equal + strspn(sign + 1 + equal, " "), &value))) {
        return sl_err_set(err, SL_EINVAL,
                          "expected METRIC or METRIC>NUMBER (also >=, <, <=, =), not '%.80s'",
                          text);
    }
    if (sign[0] == '>' || sign[0] == '=') {
        x->low = equal || sign[0] == '=' ? value : nextafter(value, INFINITY);
    }
    if (sign[0] == '<' || sign[0] == '=') {
        x->high = equal || sign[0] == '=' ? value : nextafter(value, -INFINITY);
    }
    x->key = sl_strndup(text, n);
    return 0;
}

static bool ascends(enum sl_run_sort sort)
{
    return sort == SL_SORT_OLDEST || sort == SL_SORT_LOWEST;
}

/** "VALUE:ID" of the last run of the page before. */
static int read_cursor(struct question *x, struct sl_err *err)
{
    const char *text = x->f->cursor;
    const char *id = text != NULL ? strchr(text, ':') : NULL;
    x->from = ascends(x->f->sort) ? -INFINITY : INFINITY;
    (void)snprintf(x->from_id, sizeof(x->from_id), "%s", ascends(x->f->sort) ? "" : "g");
    if (text == NULL) {
        return 0;
    }
    _cleanup_(free)
    char *value = sl_strndup(text, id != NULL ? (size_t)(id - text) : 0);
    if (id == NULL || !sl_id_valid(id + 1) || !sl_parse_double(value, &x->from)) {
        return sl_err_set(err, SL_EINVAL, "'%.80s' is no place to go on from", text);
    }
    (void)snprintf(x->from_id, sizeof(x->from_id), "%s", id + 1);
    return 0;
}

/* ---- candidates ----------------------------------------------------------------------------------- */

#define MODEL_RUNS                                                                                 \
    "SELECT run_id FROM step_output WHERE entity = 2 AND entity_name = ?7 AND "                    \
    "(?8 = 0 OR version = ?8) UNION SELECT e.run_id FROM registry_version v "                      \
    "JOIN lineage_node n ON n.id = 'sha256:' || v.digest AND n.kind = 'model_version' "            \
    "JOIN lineage_edge e ON e.to_nid = n.nid AND e.kind = 'used' "                                 \
    "WHERE v.project = substr(?7, 1, instr(?7, '/') - 1) AND v.kind = 'model' AND "                \
    "v.name = substr(?7, instr(?7, '/') + 1) AND (?8 = 0 OR v.number = ?8)"

static int query_candidates(const struct sl_query *q, const struct question *x,
                            struct sl_rows *rows, struct sl_err *err)
{
    if (x->model != NULL) {
        return sl_db_query(q->db, rows, err, SL_SQL("SELECT run_id FROM (" MODEL_RUNS ") LIMIT ?9"),
                           "zzzzzzsii", x->model, x->version, FEW_MAX + 1);
    }
    return sl_db_query(q->db, rows, err,
                       SL_SQL("SELECT DISTINCT run_id FROM track_series "
                              "INDEXED BY track_series_value WHERE key = ? AND slice = '' AND "
                              "last BETWEEN ? AND ? LIMIT ?"),
                       "sddi", x->key, x->low, x->high, FEW_MAX + 1);
}

/** Names the runs that a selective filter leaves, when they are few. */
static int find_candidates(const struct sl_query *q, struct question *x, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    json_auto_t *ids = json_array();
    if (x->model == NULL && x->key == NULL) {
        return 0;
    }
    int rc = query_candidates(q, x, &rows, err);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_array_append_new(ids, json_string(sl_rows_str(&rows, 0)));
        rc = 0;
    }
    if (rc == 0 && json_array_size(ids) <= FEW_MAX) {
        x->ids = sl_json_canonical(ids);
    }
    return rc;
}

/* ---- the statements ------------------------------------------------------------------------------- */

#define VALUE                                                                                      \
    "CASE WHEN ?9 IS NULL THEN NULL ELSE (SELECT max(t.last) FROM track_series t "                 \
    "INDEXED BY track_series_run WHERE t.run_id = run.id AND t.key = ?9 AND t.slice = '' AND "     \
    "t.last BETWEEN ?10 AND ?11) END"
#define SELECT(value)                                                                              \
    "SELECT run.id, run.pipeline, run.number, run.state, run.reason, run.actor, run.created_ms, "  \
    "run.started_ms, run.ended_ms, run.n_steps, c.n_ended, c.n_cached, " value " FROM "
#define COUNTS " LEFT JOIN run_count c ON c.run_id = run.id WHERE "
#define FACTS                                                                                      \
    "(?1 IS NULL OR run.state = ?1) AND (?2 IS NULL OR run.pipeline = ?2) AND "                    \
    "(?3 IS NULL OR run.actor = ?3) AND run.created_ms >= ?4 AND run.created_ms < ?5 AND "         \
    "(?6 IS NULL OR NOT EXISTS(SELECT 1 FROM json_each(?6) w WHERE NOT EXISTS(SELECT 1 FROM "      \
    "run_param p WHERE p.name = w.value ->> 0 AND p.value = w.value ->> 1 AND "                    \
    "p.created_ms = run.created_ms AND p.run_id = run.id))) AND "                                  \
    "(?7 IS NULL OR run.id IN (" MODEL_RUNS ")) AND "
#define FILTER                                                                                     \
    FACTS "(?9 IS NULL OR EXISTS(SELECT 1 FROM track_series t INDEXED BY track_series_run "        \
          "WHERE t.run_id = run.id AND t.key = ?9 AND t.slice = '' AND "                           \
          "t.last BETWEEN ?10 AND ?11)) AND "
#define AFTER    "(run.created_ms, run.id) < (?12, ?13) ORDER BY run.created_ms DESC, run.id DESC"
#define PAGE     " LIMIT ?15 OFFSET ?16"
#define TOOK     "run.ended_ms - run.started_ms"
#define BY_VALUE "track_series s INDEXED BY track_series_value CROSS JOIN run ON run.id = s.run_id"
/* Of a run's series of that name the one that counts. An order that an index gives takes no row values. */
#define BEST(better)                                                                               \
    "s.key = ?9 AND s.slice = '' AND NOT EXISTS(SELECT 1 FROM track_series b INDEXED BY "          \
    "track_series_run WHERE b.run_id = s.run_id AND b.key = ?9 AND b.slice = '' AND "              \
    "b.last BETWEEN ?10 AND ?11 AND (b.last, b.id) " better " (s.last, s.id)) AND "

static struct sl_sql newest(const struct question *x)
{
    if (x->ids != NULL) {
        return SL_SQL(SELECT(
            VALUE) "json_each(?14) j CROSS JOIN run ON run.id = j.value" COUNTS FILTER AFTER PAGE);
    }
    if (x->params != NULL) { /* the first parameter's runs in order */
        return SL_SQL(SELECT(VALUE) "run_param d CROSS JOIN run ON run.id = d.run_id" COUNTS FILTER
                                    "d.name = ?6 ->> '$[0][0]' AND d.value = ?6 ->> '$[0][1]' AND "
                                    "(d.created_ms, d.run_id) < (?12, ?13) "
                                    "ORDER BY d.created_ms DESC, d.run_id DESC" PAGE);
    }
    if (x->f->state != NULL) {
        return SL_SQL(SELECT(VALUE) "run INDEXED BY run_state" COUNTS
                                    "run.state = ?1 AND " FILTER AFTER PAGE);
    }
    if (x->f->pipeline != NULL) {
        return SL_SQL(SELECT(VALUE) "run INDEXED BY run_pipeline" COUNTS
                                    "run.pipeline = ?2 AND " FILTER AFTER PAGE);
    }
    if (x->f->actor != NULL) {
        return SL_SQL(SELECT(VALUE) "run INDEXED BY run_actor" COUNTS
                                    "run.actor = ?3 AND " FILTER AFTER PAGE);
    }
    return SL_SQL(SELECT(VALUE) "run INDEXED BY run_created" COUNTS FILTER AFTER PAGE);
}

static struct sl_sql statement(const struct question *x)
{
    switch (x->f->sort) {
    case SL_SORT_OLDEST:
        return SL_SQL(SELECT(VALUE) "run" COUNTS FILTER "(run.created_ms, run.id) > (?12, ?13) "
                                    "ORDER BY run.created_ms, run.id" PAGE);
    case SL_SORT_LONGEST:
        return SL_SQL(SELECT(VALUE) "run INDEXED BY run_took" COUNTS TOOK " <= ?12 AND (" TOOK
                                    " < ?12 OR run.id < ?13) AND " FILTER "TRUE ORDER BY " TOOK
                                    " DESC, run.id DESC" PAGE);
    case SL_SORT_HIGHEST:
        return SL_SQL(SELECT("s.last") BY_VALUE COUNTS BEST(">") FACTS
                      "s.last >= ?10 AND s.last <= min(?11, ?12) AND (s.last < ?12 OR "
                      "s.run_id < ?13) ORDER BY s.last DESC, s.run_id DESC" PAGE);
    case SL_SORT_LOWEST:
        return SL_SQL(SELECT("s.last") BY_VALUE COUNTS BEST("<") FACTS
                      "s.last >= max(?10, ?12) AND s.last <= ?11 AND (s.last > ?12 OR "
                      "s.run_id > ?13) ORDER BY s.last, s.run_id" PAGE);
    case SL_SORT_NEWEST:
    case SL_SORT_COUNT: break;
    }
    return newest(x);
}

static int start_query(const struct sl_query *q, const struct question *x, struct sl_rows *rows,
                       struct sl_err *err)
{
    const struct sl_run_filter *f = x->f;
    return sl_db_query(q->db, rows, err, statement(x), "sssiissisdddssii", f->state, f->pipeline,
                       f->actor, f->since_ms, x->until_ms, x->params, x->model, x->version, x->key,
                       x->low, x->high, x->from, (const char *)x->from_id, x->ids, f->limit + 1,
                       f->offset);
}

/* ---- rows ----------------------------------------------------------------------------------------- */

static json_t *list_row(struct sl_rows *rows)
{
    json_t *o = json_object();
    _cleanup_(free)
    char *name = sl_asprintf("%s#%lld", sl_rows_str(rows, 1), (long long)sl_rows_i64(rows, 2));
    sl_json_set_str(o, "id", sl_rows_str(rows, 0));
    sl_json_set_str(o, "name", name);
    sl_json_set_str(o, "pipeline", sl_rows_str(rows, 1));
    sl_json_set_i64(o, "number", sl_rows_i64(rows, 2));
    sl_json_set_str(o, "state", sl_rows_str(rows, 3));
    sl_json_set_str(o, "reason", sl_rows_str(rows, 4));
    sl_json_set_str(o, "actor", sl_rows_str(rows, 5));
    query_set_time(o, "created", sl_rows_i64(rows, 6));
    query_set_time(o, "started", sl_rows_i64(rows, 7));
    query_set_time(o, "ended", sl_rows_i64(rows, 8));
    sl_json_set_i64(o, "steps", sl_rows_i64(rows, 9));
    sl_json_set_i64(o, "steps_ended", sl_rows_i64(rows, 10));
    sl_json_set_i64(o, "steps_cached", sl_rows_i64(rows, 11));
    if (!sl_rows_is_null(rows, 12)) {
        sl_json_set_num(o, "metric", sl_rows_double(rows, 12));
    }
    return o;
}

/** By what the list is ordered, of its last row. */
static void set_next(json_t *answer, const json_t *last, enum sl_run_sort sort)
{
    double value = (double)sl_json_i64(last, "created_ms", 0);
    if (sort == SL_SORT_LONGEST) {
        value = (double)(sl_json_i64(last, "ended_ms", 0) - sl_json_i64(last, "started_ms", 0));
    } else if (sort == SL_SORT_HIGHEST || sort == SL_SORT_LOWEST) {
        value = sl_json_num(last, "metric", 0);
    }
    _cleanup_(free)
    char *next = sl_asprintf("%.17g:%s", value, sl_json_str(last, "id", ""));
    sl_json_set_str(answer, "next", next);
}

static int read_page(const struct sl_query *q, const struct question *x, json_t *list, bool *more,
                     struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = start_query(q, x, &rows, err);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        if (json_array_size(list) == (size_t)x->f->limit) {
            *more = true;
            return 0;
        }
        json_t *row = list_row(&rows);
        json_array_append_new(list, row);
        rc = query_explain_queued(q->db, row, err);
    }
    return rc;
}

int sl_query_runs(const struct sl_query *q, const struct sl_run_filter *f, json_t **ret,
                  struct sl_err *err)
{
    struct question x = {.f = f, .until_ms = f->until_ms > 0 ? f->until_ms : INT64_MAX};
    json_auto_t *list = json_array();
    bool more = false;
    if (f->limit < 1 || f->limit > SL_QUERY_RUNS_MAX || f->offset < 0) {
        return sl_err_set(err, SL_EINVAL, "limit must be 1 to %d, offset at least 0",
                          SL_QUERY_RUNS_MAX);
    }
    int rc = check_state(f->state, err);
    rc = rc < 0 || f->pipeline == NULL ? rc : check_pipeline(q, f->pipeline, err);
    rc = rc < 0 ? rc : read_params(q, &x, err);
    rc = rc < 0 ? rc : read_model(q, &x, err);
    rc = rc < 0 ? rc : read_metric(&x, err);
    rc = rc < 0 ? rc : read_cursor(&x, err);
    rc = rc < 0 ? rc : find_candidates(q, &x, err);
    rc = rc < 0 || x.nothing ? rc : read_page(q, &x, list, &more, err);
    if (rc == 0) {
        *ret = json_pack("{s:O, s:b}", "runs", list, "more", more);
        if (more) {
            set_next(*ret, json_array_get(list, json_array_size(list) - 1), f->sort);
        }
    }
    question_release(&x);
    return rc;
}
