/* The workspace: finding, locking, committing versions, resolving references, replaying intents. */
#include "core/base/base.h"

#include "pipelines/run/workspace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/audit/audit.h"
#include "registry/ingest.h"
#include "tests/support/sl_test.h"

static struct sl_workspace *open_in(const char *dir)
{
    struct sl_workspace *ws = NULL;
    struct sl_err err = SL_ERR_INIT;
    char *path = sl_asprintf("%s/.sluice", dir);
    SL_CHECK_OK(sl_workspace_init(path, &err), err);
    SL_CHECK_OK(sl_workspace_open(path, NULL, &ws, &err), err);
    free(path);
    return ws;
}

static struct sl_version_ref commit(struct sl_workspace *ws, const char *dir, const char *text,
                                    bool *created)
{
    struct sl_manifest m;
    struct sl_version_ref v;
    struct sl_err err = SL_ERR_INIT;
    char *file = sl_test_path(dir, "data.csv");
    sl_test_write_text(file, text);
    sl_manifest_init(&m);
    SL_CHECK_OK(sl_ingest_path(ws->blobs, AT_FDCWD, file, NULL, &m, &err), err);
    struct sl_ws_commit c = {.kind = SL_KIND_DATASET, .ref_name = "claims", .manifest = &m};
    SL_CHECK_OK(sl_ws_commit_version(ws, &c, &v, created, NULL, &err), err);
    sl_manifest_release(&m);
    free(file);
    return v;
}

SL_TEST(pipelines_run_workspace, find__from_below__is_the_nearest_upwards)
{
    char *dir = sl_test_tmpdir();
    char *found = NULL;
    struct sl_err err = SL_ERR_INIT;
    char *sub = sl_test_path(dir, "sub");
    SL_CHECK_EQ_INT(mkdir(sub, 0755), 0);
    SL_CHECK_ERR(sl_workspace_find(NULL, sub, &found, &err), SL_ENOTFOUND, err, "sluice init");
    sl_workspace_close(open_in(dir));
    SL_CHECK_OK(sl_workspace_find(NULL, sub, &found, &err), err);
    SL_CHECK(sl_ends_with(found, "/.sluice"));
    free(found);
    SL_CHECK_ERR(sl_workspace_find("/nonexistent/x", sub, &found, &err), SL_ENOTFOUND, err,
                 "SLUICE_DATA");
    free(sub);
    sl_test_rmdir(dir);
}

SL_TEST(pipelines_run_workspace, open__twice__second_is_told_who_holds_it)
{
    char *dir = sl_test_tmpdir();
    struct sl_workspace *ws = open_in(dir);
    struct sl_workspace *other = NULL;
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_ERR(sl_workspace_open(ws->path, NULL, &other, &err), SL_EBUSY, err,
                 "another sluice process");
    sl_workspace_close(ws);
    sl_test_rmdir(dir);
}

SL_TEST(pipelines_run_workspace, commit__same_content__is_the_same_version)
{
    char *dir = sl_test_tmpdir();
    struct sl_workspace *ws = open_in(dir);
    bool created = false;
    SL_CHECK_EQ_INT(commit(ws, dir, "a,b\n1,2\n", &created).number, 1);
    SL_CHECK(created);
    SL_CHECK_EQ_INT(commit(ws, dir, "a,b\n1,3\n", &created).number, 2);
    SL_CHECK(created);
    SL_CHECK_EQ_INT(commit(ws, dir, "a,b\n1,2\n", &created).number, 1);
    SL_CHECK(!created);
    sl_workspace_close(ws);
    sl_test_rmdir(dir);
}

struct resolved {
    const char *ref;
    struct sl_arena arena;
    struct sl_artifact v;
};

static int resolve_fn(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct resolved *r = arg;
    return sl_ws_resolve(db, SL_ENT_DATASET, r->ref, &r->arena, &r->v, err);
}

static int resolve(struct sl_workspace *ws, const char *ref, int64_t *version, struct sl_err *err)
{
    struct resolved r = {.ref = ref};
    sl_arena_init(&r.arena, 0);
    int rc = sl_ws_write(ws, resolve_fn, &r, err);
    *version = r.v.version;
    sl_arena_release(&r.arena);
    return rc;
}

SL_TEST(pipelines_run_workspace, resolve__every_form__and_the_nearest_name)
{
    char *dir = sl_test_tmpdir();
    struct sl_workspace *ws = open_in(dir);
    struct sl_err err = SL_ERR_INIT;
    int64_t version = 0;
    char hex[SL_DIGEST_HEX + 1];
    struct sl_version_ref first = commit(ws, dir, "a\n", NULL);
    (void)commit(ws, dir, "b\n", NULL);
    char *by_digest = sl_asprintf("default/claims@sha256:%.12s", sl_digest_hex(&first.digest, hex));
    SL_CHECK_OK(resolve(ws, "claims", &version, &err), err);
    SL_CHECK_EQ_INT(version, 2);
    SL_CHECK_OK(resolve(ws, "claims@v1", &version, &err), err);
    SL_CHECK_EQ_INT(version, 1);
    SL_CHECK_OK(resolve(ws, by_digest, &version, &err), err);
    SL_CHECK_EQ_INT(version, 1);
    SL_CHECK_ERR(resolve(ws, "clams", &version, &err), SL_ENOTFOUND, err, "did you mean 'claims'?");
    SL_CHECK_ERR(resolve(ws, "claims@v9", &version, &err), SL_ENOTFOUND, err,
                 "no dataset 'claims@v9'");
    free(by_digest);
    sl_workspace_close(ws);
    sl_test_rmdir(dir);
}

static int plant_intent(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_db_exec(db, err, SL_SQL("INSERT INTO version_intent VALUES('x', ?, 1)"), "s",
                      (const char *)arg);
}

static int count_intents(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_db_get_i64(db, arg, err, SL_SQL("SELECT count(*) FROM version_intent"), "");
}

SL_TEST(pipelines_run_workspace, replay__intent_without_outcome__is_finished_at_open)
{
    char *dir = sl_test_tmpdir();
    struct sl_workspace *ws = open_in(dir);
    struct sl_err err = SL_ERR_INIT;
    char hex[SL_DIGEST_HEX + 1];
    int64_t n = 0;
    struct sl_version_ref v = commit(ws, dir, "a\n", NULL);
    char *record =
        sl_asprintf("{\"kind\":\"dataset\",\"ref\":\"copy\",\"digest\":\"%s\",\"trailers\":[]}",
                    sl_digest_hex(&v.digest, hex));
    SL_CHECK_OK(sl_ws_write(ws, plant_intent, record, &err), err);
    sl_workspace_close(ws);
    ws = open_in(dir); /* as after a crash between intent and git */
    SL_CHECK_OK(resolve(ws, "copy@v1", &n, &err), err);
    SL_CHECK_EQ_INT(n, 1);
    SL_CHECK_OK(sl_ws_write(ws, count_intents, &n, &err), err);
    SL_CHECK_EQ_INT(n, 0);
    free(record);
    sl_workspace_close(ws);
    sl_test_rmdir(dir);
}

static int verify_audit(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct sl_digest root;
    return sl_audit_verify(db, arg, &root, err);
}

SL_TEST(pipelines_run_workspace, commit__every_version__is_in_the_audit_log)
{
    char *dir = sl_test_tmpdir();
    struct sl_workspace *ws = open_in(dir);
    struct sl_err err = SL_ERR_INIT;
    uint64_t before = 0;
    uint64_t after = 0;
    SL_CHECK_OK(sl_ws_write(ws, verify_audit, &before, &err), err);
    (void)commit(ws, dir, "a\n", NULL);
    SL_CHECK_OK(sl_ws_write(ws, verify_audit, &after, &err), err);
    SL_CHECK_EQ_UINT(after, before + 2); /* intent and outcome */
    sl_workspace_close(ws);
    sl_test_rmdir(dir);
}
