/* Code snapshots: what is in them, what is not, and what a step's `code:` selects. */
#include "core/base/base.h"

#include "pipelines/run/snapshot.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/aio/proc.h"
#include "core/base/fs.h"
#include "tests/support/sl_test.h"

struct rig {
    char *dir, *blob_dir;
    const char *data_dir;
    struct sl_blob_store *blobs;
    struct sl_snapshot snap;
    struct sl_str name;
    struct sl_spec spec;
};

static void put(const struct rig *r, const char *name, const char *text)
{
    char *path = sl_test_path(r->dir, name);
    sl_test_write_text(path, text);
    free(path);
}

static void setup(struct rig *r)
{
    struct sl_err err = SL_ERR_INIT;
    *r = (struct rig){
        .dir = sl_test_tmpdir(), .blob_dir = sl_test_tmpdir(), .name = SL_STR("p.yml")};
    r->spec = (struct sl_spec){.files = &r->name, .n_files = 1};
    SL_CHECK_OK(sl_blob_store_open(AT_FDCWD, r->blob_dir, &r->blobs, &err), err);
    put(r, "p.yml", "x");
    put(r, "train.py", "print(1)\n");
    put(r, "notes.txt", "n\n");
}

static void take(struct rig *r)
{
    struct sl_err err = SL_ERR_INIT;
    SL_CHECK_OK(sl_snapshot_take(r->blobs, r->dir, &r->spec, r->data_dir, &r->snap, &err), err);
}

static void teardown(struct rig *r)
{
    sl_snapshot_release(&r->snap);
    sl_blob_store_close(r->blobs);
    sl_test_rmdir(r->blob_dir);
    sl_test_rmdir(r->dir);
}

static bool has(const struct rig *r, const char *path)
{
    return sl_manifest_find(&r->snap.manifest, path) != NULL;
}

static void git(const struct rig *r, const char *const *argv)
{
    struct sl_proc proc = SL_PROC_INIT;
    struct sl_proc_exit end;
    struct sl_err err = SL_ERR_INIT;
    static const char *const env[] = {"HOME=/nonexistent",
                                      "GIT_AUTHOR_NAME=t",
                                      "GIT_AUTHOR_EMAIL=t@t",
                                      "GIT_COMMITTER_NAME=t",
                                      "GIT_COMMITTER_EMAIL=t@t",
                                      "PATH=/usr/bin:/bin",
                                      NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    spec.argv = argv;
    spec.env = env;
    spec.search_path = "/usr/bin:/bin";
    spec.cwd = r->dir;
    SL_CHECK_OK(sl_proc_spawn(&spec, &proc, &err), err);
    SL_CHECK_OK(sl_proc_wait(&proc, 20000, &end, &err), err);
    SL_CHECK_EQ_INT(end.code, 0);
    sl_proc_release(&proc);
}

SL_TEST(pipelines_run_snapshot, folder__outside_git__takes_files_but_not_the_pipeline)
{
    struct rig r;
    setup(&r);
    take(&r);
    SL_CHECK(has(&r, "train.py"));
    SL_CHECK(has(&r, "notes.txt"));
    SL_CHECK(!has(&r, "p.yml")); /* a changed comment in it must not change every key */
    SL_CHECK(!r.snap.in_git);
    teardown(&r);
}

SL_TEST(pipelines_run_snapshot, folder__outside_git__leaves_out_what_was_deployed)
{
    struct rig r;
    setup(&r);
    static const char *const dirs[] = {"live", "parts", "parts/live", "livery"};
    for (size_t i = 0; i < SL_LEN(dirs); i++) {
        char *path = sl_test_path(r.dir, dirs[i]);
        SL_CHECK_EQ_INT(mkdir(path, 0755), 0);
        free(path);
    }
    put(&r, "live/model", "1");
    put(&r, "parts/live/model", "2");
    put(&r, "livery/blue", "3");
    struct sl_target targets[] = {{.path = "live/", .loc = {.file = "p.yml"}},
                                  {.path = "live", .loc = {.file = "parts/t.yml"}},
                                  {.path = "gone", .loc = {.file = "p.yml"}},
                                  {.path = ".", .loc = {.file = "p.yml"}}};
    r.spec.targets = targets;
    r.spec.n_targets = SL_LEN(targets);
    take(&r);
    SL_CHECK(!has(&r, "live/model"));
    SL_CHECK(!has(&r, "parts/live/model"));
    SL_CHECK(has(&r, "livery/blue"));
    SL_CHECK(has(&r, "train.py"));
    teardown(&r);
}

SL_TEST(pipelines_run_snapshot, ignore__patterns__leave_files_out)
{
    struct rig r;
    setup(&r);
    put(&r, ".sluiceignore", "# data\n*.txt\n/big\n");
    char *big = sl_test_path(r.dir, "big");
    SL_CHECK_EQ_INT(mkdir(big, 0755), 0);
    free(big);
    put(&r, "big/blob", "b");
    take(&r);
    SL_CHECK(has(&r, "train.py"));
    SL_CHECK(!has(&r, "notes.txt"));
    SL_CHECK(!has(&r, "big/blob"));
    teardown(&r);
}

SL_TEST(pipelines_run_snapshot, data_directory__of_any_name__is_left_out_where_it_lies)
{
    struct rig r;
    setup(&r);
    char *state = sl_test_path(r.dir, "state");
    char *nested = sl_test_path(r.dir, "src");
    char *same = sl_test_path(r.dir, "src/state");
    SL_CHECK_EQ_INT(mkdir(state, 0755) + mkdir(nested, 0755) + mkdir(same, 0755), 0);
    put(&r, "state/sluice.db", "d");
    put(&r, "src/state/model.py", "m");
    r.data_dir = state;
    take(&r);
    SL_CHECK(!has(&r, "state/sluice.db"));
    SL_CHECK(has(&r, "src/state/model.py")); /* only its name is the same */
    free(state);
    free(nested);
    free(same);
    teardown(&r);
}

SL_TEST(pipelines_run_snapshot, git__tracked_files_only__modified_as_they_are)
{
    struct rig r;
    setup(&r);
    git(&r, (const char *const[]){"git", "init", "-q", NULL});
    git(&r, (const char *const[]){"git", "add", "train.py", "p.yml", NULL});
    git(&r, (const char *const[]){"git", "commit", "-q", "-m", "x", NULL});
    take(&r);
    SL_CHECK(r.snap.in_git);
    SL_CHECK(!r.snap.dirty);
    SL_CHECK_EQ_INT((int)strlen(r.snap.commit), 40);
    SL_CHECK(has(&r, "train.py"));
    SL_CHECK(!has(&r, "notes.txt")); /* not tracked */
    struct sl_digest before = r.snap.manifest.digest;
    sl_snapshot_release(&r.snap);
    put(&r, "train.py", "print(2)\n");
    take(&r);
    SL_CHECK(r.snap.dirty);
    SL_CHECK(!sl_digest_eq(&before, &r.snap.manifest.digest));
    teardown(&r);
}

SL_TEST(pipelines_run_snapshot, select__declared_paths__are_all_that_counts)
{
    struct rig r;
    struct sl_manifest part;
    struct sl_err err = SL_ERR_INIT;
    setup(&r);
    take(&r);
    SL_CHECK_OK(
        sl_snapshot_select(&r.snap.manifest, (const char *const[]){"train.py"}, 1, &part, &err),
        err);
    SL_CHECK_EQ_UINT(part.entries.n, 1);
    struct sl_digest before = part.digest;
    sl_manifest_release(&part);
    sl_snapshot_release(&r.snap);
    put(&r, "notes.txt", "changed\n"); /* an undeclared file */
    take(&r);
    SL_CHECK_OK(
        sl_snapshot_select(&r.snap.manifest, (const char *const[]){"train.py"}, 1, &part, &err),
        err);
    SL_CHECK(sl_digest_eq(&before, &part.digest));
    sl_manifest_release(&part);
    SL_CHECK_ERR(
        sl_snapshot_select(&r.snap.manifest, (const char *const[]){"trian.py"}, 1, &part, &err),
        SL_ENOTFOUND, err, "'trian.py' is not in the snapshot");
    teardown(&r);
}
