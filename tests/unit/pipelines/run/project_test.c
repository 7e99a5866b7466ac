/**
 * The project in force: none, applied, applied again, refused.
 */
#include "core/base/base.h"

#include "pipelines/run/project.h"

#include <stdlib.h>

#include "pipelines/run/schemas.h"
#include "tests/support/sl_test.h"

struct world {
    char *dir;
    struct sl_db *db;
    struct sl_arena a;
    struct sl_err err;
    struct sl_project_apply order;
    const struct sl_project *now;
    struct sl_project_info info;
    bool changed;
};

static struct world *world_new(void)
{
    struct world *w = SL_NEW(struct world);
    w->dir = sl_test_tmpdir();
    _cleanup_(free)
    char *path = sl_test_path(w->dir, "sluice.db");
    sl_arena_init(&w->a, 0);
    SL_CHECK_OK(sl_db_open(path, SL_DB_RW, &w->db, &w->err), w->err);
    SL_CHECK_OK(sl_db_migrate(w->db, sl_schemas, sl_n_schemas, &w->err), w->err);
    return w;
}

static void world_free(struct world *w)
{
    sl_db_close(w->db);
    sl_arena_release(&w->a);
    sl_test_rmdir(w->dir);
    free(w);
}

static int do_apply(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct world *w = arg;
    return sl_project_apply(db, &w->order, &w->changed, err);
}

static int apply(struct world *w, const char *text)
{
    w->order = (struct sl_project_apply){
        .file = "project.yml", .text = sl_str_c(text), .actor = "ana", .now_ms = 7};
    return sl_db_tx(w->db, do_apply, w, &w->err);
}

static void read_now(struct world *w)
{
    SL_CHECK_OK(sl_project_current(w->db, &w->a, &w->now, &w->info, &w->err), w->err);
}

static const char first[] = "apiVersion: sluice/v1\nkind: Project\nname: churn\n"
                            "groups: {ml-leads: [user:ana, user:bo]}\n"
                            "environments:\n"
                            "  prod: {targets: [churn-api], approval: {from: role:ml-leads}}\n";
static const char second[] = "apiVersion: sluice/v1\nkind: Project\nname: churn\n"
                             "groups: {ml-leads: [user:cy]}\n";

SL_TEST(run_project, current__none_applied__empty_and_never_null)
{
    struct world *w = world_new();
    read_now(w);
    SL_CHECK_NOT_NULL(w->now);
    SL_CHECK_EQ_INT(w->now->n_groups, 0);
    SL_CHECK_EQ_INT(w->info.generation, 0);
    SL_CHECK_NULL(sl_project_environment_of(w->now, "churn-api"));
    world_free(w);
}

SL_TEST(run_project, apply__then_current__gives_it_back)
{
    struct world *w = world_new();
    SL_CHECK_OK(apply(w, first), w->err);
    SL_CHECK(w->changed);
    read_now(w);
    SL_CHECK_EQ_STR(w->now->name, "churn");
    SL_CHECK_EQ_INT(w->info.generation, 1);
    SL_CHECK_EQ_INT(w->info.applied_ms, 7);
    SL_CHECK_NOT_NULL(sl_project_group(w->now, "ml-leads"));
    const struct sl_environment *env = sl_project_environment_of(w->now, "churn-api");
    SL_CHECK_NOT_NULL(env);
    SL_CHECK_EQ_STR(env->approval.from[0], "role:ml-leads");
    SL_CHECK(env->approval.deny_requester);
    SL_CHECK_OK(apply(w, first), w->err);
    SL_CHECK(!w->changed);
    SL_CHECK_OK(apply(w, second), w->err);
    SL_CHECK_OK(apply(w, first), w->err); /* back to what was before is a change */
    SL_CHECK(w->changed);
    read_now(w);
    SL_CHECK_EQ_INT(w->info.generation, 3);
    world_free(w);
}

SL_TEST(run_project, apply__with_errors__changes_nothing)
{
    struct world *w = world_new();
    SL_CHECK_OK(apply(w, second), w->err);
    SL_CHECK_EQ_INT(apply(w, "apiVersion: sluice/v1\nkind: Project\nname: x\ngroup: {}\n"),
                    -SL_EINVAL);
    SL_CHECK_CONTAINS(w->err.msg, "project.yml:4:1: ");
    SL_CHECK_CONTAINS(w->err.msg, "groups");
    SL_CHECK_EQ_INT(apply(w, "apiVersion: sluice/v1\nkind: Pipeline\nname: x\nsteps: {}\n"),
                    -SL_EINVAL);
    w->order.text = (struct sl_str){"a\0b", 3};
    SL_CHECK_EQ_INT(sl_db_tx(w->db, do_apply, w, &w->err), -SL_EINVAL);
    read_now(w);
    SL_CHECK_EQ_INT(w->info.generation, 1);
    world_free(w);
}

SL_TEST(run_project, apply__at_the_size_limit_and_one_past)
{
    struct world *w = world_new();
    char *text = sl_malloc(SL_PROJECT_BYTES_MAX + 2);
    size_t n = strlen(second);
    memcpy(text, second, n);
    for (size_t i = n; i <= SL_PROJECT_BYTES_MAX; i++) { /* comments, 99 columns each */
        text[i] = (i - n) % 100 == 99 ? '\n' : '#';
    }
    text[SL_PROJECT_BYTES_MAX + 1] = '\0';
    SL_CHECK_EQ_INT(apply(w, text), -SL_ELIMIT);
    text[SL_PROJECT_BYTES_MAX] = '\0';
    SL_CHECK_OK(apply(w, text), w->err);
    free(text);
    world_free(w);
}

SL_TEST(run_project, rows__once_applied__are_never_changed)
{
    struct world *w = world_new();
    SL_CHECK_OK(apply(w, first), w->err);
    SL_CHECK(sl_db_exec(w->db, &w->err, SL_SQL("UPDATE project_config SET text = ''"), "") < 0);
    SL_CHECK(sl_db_exec(w->db, &w->err, SL_SQL("DELETE FROM project_config"), "") < 0);
    world_free(w);
}
