/* Limits of groups of runs, as the project in force gives them. Thread: loop. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "pipelines/run/project.h"

struct eng_limits {
    struct sl_arena arena;
    const struct sl_project *project;
};

int eng_limits_load(struct sl_engine *e, struct sl_err *err)
{
    struct eng_limits *l = SL_NEW(struct eng_limits);
    sl_arena_init(&l->arena, 0);
    struct sl_db *db = eng_reader_get(e, err);
    int rc = db == NULL ? -err->code : sl_project_current(db, &l->arena, &l->project, NULL, err);
    if (db != NULL) {
        eng_reader_put(e, db);
    }
    if (rc < 0) {
        sl_arena_release(&l->arena);
        free(l);
        return rc;
    }
    eng_limits_free(e);
    e->limits = l;
    return 0;
}

void eng_limits_free(struct sl_engine *e)
{
    if (e->limits != NULL) {
        sl_arena_release(&e->limits->arena);
        free(e->limits);
        e->limits = NULL;
    }
}

int eng_group_limit(void *data, const char *group)
{
    const struct sl_engine *e = data;
    const struct sl_project *p = e->limits != NULL ? e->limits->project : NULL;
    for (size_t i = 0; p != NULL && i < p->n_concurrency; i++) {
        if (sl_streq(p->concurrency[i].group, group)) {
            return p->concurrency[i].limit;
        }
    }
    return 0;
}

void sl_engine_project_changed(struct sl_engine *e)
{
    struct sl_err err = SL_ERR_INIT;
    if (eng_limits_load(e, &err) < 0) { /* the old limits stay until the next engine */
        sl_warn("the project in force cannot be read: %s", err.msg);
        return;
    }
    sl_core_limits_changed(e->core);
    sl_core_pump(e->core);
}
