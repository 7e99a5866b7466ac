/* See admit_store.h. */
#include "core/base/base.h"

#include "pipelines/run/admit_store.h"

#include <stdio.h>

#include "pipelines/run/project.h"

/** A run from whose place the group is looked at. */
struct place {
    const char *group;
    struct sl_admit_key key; /* id NULL: not recorded yet */
    int limit;               /* of the newest; in: when there is none */
};

static bool queued(const char *state)
{
    return sl_streq(state, "queued");
}

/** Live runs of the group, oldest first, so that the last one's limit is the group's. */
static int look(struct sl_db *db, const struct place *p, struct sl_admit_view *v, int *ret_queued,
                struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT id, pipeline, number, state, priority, created_ms, "
                                "conc_limit FROM run WHERE conc_group = ? AND ended_ms IS NULL "
                                "ORDER BY created_ms, id"),
                         "s", p->group);
    *v = (struct sl_admit_view){.group = p->group, .limit = p->limit};
    *ret_queued = 0;
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_admit_key key = {.priority = sl_rows_int(&rows, 4),
                                   .created_ms = sl_rows_i64(&rows, 5),
                                   .id = sl_rows_str(&rows, 0)};
        bool waits = queued(sl_rows_str(&rows, 3));
        *ret_queued += waits ? 1 : 0;
        if (!waits) {
            sl_admit_view_running(v, sl_rows_str(&rows, 1), sl_rows_i64(&rows, 2));
        } else if (p->key.id != NULL && sl_admit_compare(&key, &p->key) < 0) {
            v->before++;
        }
        v->limit = p->key.id != NULL ? sl_rows_int(&rows, 6) : v->limit;
        rc = 0;
    }
    return rc;
}

/** The project's limit wins, when it has one. */
static int ask_project(struct sl_db *db, struct sl_admit_view *v, struct sl_err *err)
{
    struct sl_arena a;
    const struct sl_project *project = NULL;
    sl_arena_init(&a, 0);
    int rc = sl_project_current(db, &a, &project, NULL, err);
    for (size_t i = 0; rc == 0 && i < project->n_concurrency; i++) {
        if (sl_streq(project->concurrency[i].group, v->group)) {
            v->limit = project->concurrency[i].limit;
        }
    }
    sl_arena_release(&a);
    return rc;
}

int sl_admit_check(struct sl_db *db, const struct sl_admit_ask *ask, struct sl_err *err)
{
    struct place p = {.group = ask->group, .limit = ask->limit};
    struct sl_admit_view v;
    int waiting = 0;
    bool bounded = ask->on_conflict == SL_CONFLICT_QUEUE && ask->max_queued > 0;
    if (ask->group == NULL || (ask->on_conflict != SL_CONFLICT_REJECT && !bounded)) {
        return 0;
    }
    int rc = look(db, &p, &v, &waiting, err);
    rc = rc < 0 ? rc : ask_project(db, &v, err);
    int over = v.running + waiting - v.limit; /* queued ones for which there is no room */
    if (rc < 0 || over < (bounded ? ask->max_queued : 0)) {
        return rc;
    }
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(4096);
    if (v.running < v.limit) {
        sl_buf_printf(&text, "group %s is full (%d of %d, %d more about to start)", v.group,
                      v.running, v.limit, SL_MIN(waiting, v.limit - v.running));
    } else {
        sl_admit_view_text(&v, &text);
    }
    if (bounded) {
        return sl_err_set(err, SL_EREFUSED, "%s; %d wait already (max_queued: %d)",
                          sl_buf_str(&text), over, ask->max_queued);
    }
    return sl_err_set(err, SL_EREFUSED, "%s (on_conflict: reject)", sl_buf_str(&text));
}

int sl_admit_why(struct sl_db *db, const char *run_id, struct sl_buf *out, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    struct sl_admit_view v;
    int waiting = 0;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT conc_group, priority, created_ms FROM run WHERE id = ? "
                                "AND state = 'queued' AND conc_group IS NOT NULL"),
                         "s", run_id);
    rc = rc < 0 ? rc : sl_rows_next(&rows, err);
    if (rc <= 0) {
        return rc;
    }
    struct place p = {.group = sl_rows_str(&rows, 0),
                      .key = {sl_rows_int(&rows, 1), sl_rows_i64(&rows, 2), run_id}};
    rc = look(db, &p, &v, &waiting, err);
    rc = rc < 0 ? rc : ask_project(db, &v, err);
    if (rc == 0 && (v.running >= v.limit || v.before > 0)) { /* else it is about to start */
        sl_admit_view_text(&v, out);
    }
    return rc;
}
