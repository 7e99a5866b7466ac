/* Versions whose bytes lie elsewhere: committed without content, written through `absent`, indexed facts. */
#include "core/base/base.h"

#include "registry/registry.h"

#include "core/db/db.h"
#include "registry/index.h"
#include "tests/unit/registry/rig.h"

static const struct sl_trailer trailers[] = {
    {"Owner", "ann"}, {SL_TRAILER_REFERENCE, "yes"}, {"Run", "x"}};

static int write_elsewhere(void *data, const struct sl_manifest_entry *e, int dirfd,
                           const char *path, mode_t mode, struct sl_err *err)
{
    int *calls = data;
    (*calls)++;
    if (!sl_streq(e->path, "d/f")) {
        return sl_err_set(err, SL_ECORRUPT, "not the file");
    }
    int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    SL_CHECK(fd >= 0 && write(fd, "alpha", 5) == 5);
    close(fd);
    return 0;
}

static void hash_only(struct rig *r, struct sl_manifest *m)
{
    struct sl_ingest_opts opts = {.hash_only = true};
    rig_write(r, "in/d/f", "alpha");
    sl_manifest_init(m);
    SL_CHECK_OK(sl_ingest_path(r->store, r->fd, "in", &opts, m, &r->err), r->err);
    SL_CHECK(!sl_blob_has(r->store, &m->entries.items[0].sha256));
}

SL_TEST(registry_reference, hashed_only__same_digest_as_stored)
{
    struct rig r = rig_open();
    struct sl_manifest away;
    struct sl_manifest here;
    hash_only(&r, &away);
    sl_manifest_init(&here);
    SL_CHECK_OK(sl_ingest_path(r.store, r.fd, "in", NULL, &here, &r.err), r.err);
    SL_CHECK(sl_digest_eq(&away.digest, &here.digest));
    sl_manifest_release(&away);
    sl_manifest_release(&here);
    rig_close(&r);
}

SL_TEST(registry_reference, committed_without_content__only_with_the_trailer)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    struct sl_version_ref v;
    hash_only(&r, &m);
    struct sl_version_spec spec = {.kind = SL_KIND_DATASET, .name = "d", .manifest = &m};
    SL_CHECK_ERR(sl_registry_commit(r.reg, &spec, &v, NULL, &r.err), SL_ENOTFOUND, r.err,
                 "content of 'd/f'");
    spec.trailers = trailers;
    spec.n_trailers = SL_LEN(trailers);
    SL_CHECK_OK(sl_registry_commit(r.reg, &spec, &v, NULL, &r.err), r.err);
    struct sl_fsck_report report;
    SL_CHECK_OK(sl_registry_fsck(r.reg, true, NULL, NULL, &report, &r.err), r.err);
    SL_CHECK_EQ_INT((int64_t)report.n_findings, 0);
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry_reference, materialised__through_absent__else_not_found)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    int calls = 0;
    struct sl_absent absent = {write_elsewhere, &calls};
    struct sl_materialise_opts opts = {.read_only = false};
    hash_only(&r, &m);
    SL_CHECK_ERR(sl_manifest_materialise(r.store, &m, r.fd, "out", &opts, &r.err), SL_ENOTFOUND,
                 r.err, "d/f");
    opts.absent = &absent;
    SL_CHECK_OK(sl_manifest_materialise(r.store, &m, r.fd, "out", &opts, &r.err), r.err);
    SL_CHECK_EQ_INT(calls, 1);
    opts.only = "d/f";
    SL_CHECK_OK(sl_manifest_materialise(r.store, &m, r.fd, "one", &opts, &r.err), r.err);
    char *path = sl_test_path(r.dir, "one/f");
    char *text = sl_test_read(path, NULL);
    SL_CHECK_EQ_STR(text, "alpha");
    free(text);
    free(path);
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry_reference, index__has_the_facts__rebuilt_too)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    struct sl_version_ref v;
    struct sl_db *db = NULL;
    static const struct sl_schema *const schemas[] = {&sl_registry_schema};
    char *path = sl_test_path(r.dir, "db");
    hash_only(&r, &m);
    struct sl_version_spec spec = {.kind = SL_KIND_DATASET,
                                   .name = "d",
                                   .manifest = &m,
                                   .trailers = trailers,
                                   .n_trailers = SL_LEN(trailers)};
    SL_CHECK_OK(sl_registry_commit(r.reg, &spec, &v, NULL, &r.err), r.err);
    SL_CHECK_OK(sl_db_open(path, SL_DB_RW, &db, &r.err), r.err);
    SL_CHECK_OK(sl_db_migrate(db, schemas, 1, &r.err), r.err);
    for (int round = 0; round < 2; round++) {
        char *facts = NULL;
        SL_CHECK_OK(round == 0 ? sl_registry_index_sync(r.reg, db, &r.err)
                               : sl_registry_index_rebuild(r.reg, db, &r.err),
                    r.err);
        SL_CHECK_OK(
            sl_db_get_text(db, &facts, &r.err, SL_SQL("SELECT facts FROM registry_version"), ""),
            r.err);
        SL_CHECK_EQ_STR(facts, "{\"Owner\":\"ann\",\"Reference\":\"yes\"}");
        free(facts);
    }
    sl_db_close(db);
    free(path);
    sl_manifest_release(&m);
    rig_close(&r);
}
