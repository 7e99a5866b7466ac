/** Versions: numbering, identity, idempotence, resolving, listing, manifests, damage. */
#include "core/base/base.h"

#include "tests/unit/registry/rig.h"

SL_TEST(registry, commit__first_and_second_content__numbered_from_one)
{
    struct rig r = rig_open();
    struct sl_version_ref v1 = rig_commit(&r, "churn", "one");
    struct sl_version_ref v2 = rig_commit(&r, "churn", "two");
    char text[SL_VERSION_TEXT];
    SL_CHECK_EQ_INT(v1.number, 1);
    SL_CHECK_EQ_STR(sl_version_text(&v2, text), "churn@v2");
    SL_CHECK_EQ_INT(v2.created_ms, 1700000000000);
    SL_CHECK(!sl_digest_eq(&v1.digest, &v2.digest));
    rig_close(&r);
}

SL_TEST(registry, commit__content_of_existing_version__that_one_and_no_new)
{
    struct rig r = rig_open();
    struct sl_version_ref v1 = rig_commit(&r, "churn", "one");
    (void)rig_commit(&r, "churn", "two");
    struct sl_version_ref again = rig_commit(&r, "churn", "one");
    SL_CHECK_EQ_INT(again.number, 1);
    SL_CHECK_EQ_STR(again.commit, v1.commit);
    /* Another entity numbers for itself. */
    SL_CHECK_EQ_INT(rig_commit(&r, "other", "one").number, 1);
    rig_close(&r);
}

SL_TEST(registry, commit__always_new__numbers_unless_same_attempt_replays)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    struct sl_version_ref made;
    bool created = false;
    rig_manifest(&r, "one", &m);
    struct sl_version_spec spec = {.kind = SL_KIND_MODEL,
                                   .name = "m",
                                   .manifest = &m,
                                   .attempt_id = "00000000000000000000000000000001",
                                   .always_new = true};
    SL_CHECK_OK(sl_registry_commit(r.reg, &spec, &made, &created, &r.err), r.err);
    SL_CHECK(created && made.number == 1);
    SL_CHECK_OK(sl_registry_commit(r.reg, &spec, &made, &created, &r.err), r.err);
    SL_CHECK(!created && made.number == 1);
    spec.attempt_id = "00000000000000000000000000000002";
    SL_CHECK_OK(sl_registry_commit(r.reg, &spec, &made, &created, &r.err), r.err);
    SL_CHECK(created && made.number == 2);
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry, commit__content_not_stored__refused_by_path)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    struct sl_digest d;
    struct sl_version_ref made;
    sl_sha256("never stored", 12, &d);
    sl_manifest_init(&m);
    SL_CHECK_OK(sl_manifest_add_file(&m, "dir/lost", 0644, 12, &d, &r.err), r.err);
    SL_CHECK_OK(sl_manifest_seal(&m, &r.err), r.err);
    struct sl_version_spec spec = {.kind = SL_KIND_DATASET, .name = "d", .manifest = &m};
    SL_CHECK_ERR(sl_registry_commit(r.reg, &spec, &made, NULL, &r.err), SL_ENOTFOUND, r.err,
                 "content of 'dir/lost'");
    SL_CHECK_ERR(sl_registry_resolve(r.reg, SL_KIND_DATASET, "d", &made, &r.err), SL_ENOTFOUND,
                 r.err, "no dataset 'd'");
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry, commit__bad_names_and_trailers__refused)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    struct sl_version_ref made;
    rig_manifest(&r, "one", &m);
    static const struct {
        struct sl_trailer trailer;
        const char *why;
    } bad[] = {{{"Version", "9"}, "cannot be a trailer's key"},
               {{"run", "x"}, "cannot be a trailer's key"},
               {{"Run: x\nSluice-Version", "9"}, "cannot be a trailer's key"},
               {{"Run", "a\nSluice-Version: 9"}, "single line"},
               {{"Run", ""}, "1 to 4096 bytes"},
               {{"Run", "\xff"}, "UTF-8"}};
    struct sl_version_spec spec = {
        .kind = SL_KIND_MODEL, .name = "m", .manifest = &m, .n_trailers = 1};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        spec.trailers = &bad[i].trailer;
        SL_CHECK_ERR(sl_registry_commit(r.reg, &spec, &made, NULL, &r.err), SL_EINVAL, r.err,
                     bad[i].why);
    }
    spec.n_trailers = 0;
    spec.name = "a/b";
    SL_CHECK_ERR(sl_registry_commit(r.reg, &spec, &made, NULL, &r.err), SL_EINVAL, r.err, "'/'");
    spec.name = "m";
    spec.attempt_id = "short";
    SL_CHECK_ERR(sl_registry_commit(r.reg, &spec, &made, NULL, &r.err), SL_EINVAL, r.err,
                 "'short'");
    sl_manifest_release(&m);
    rig_close(&r);
}

static int check_info(const struct sl_version_info *info, void *data, struct sl_err *err)
{
    (void)err;
    ++*(int *)data;
    SL_CHECK_EQ_STR(info->message, "Subject\n\nSluice-Version: 77\nnot a trailer");
    SL_CHECK_EQ_STR(info->author_name, "A_na_");
    SL_CHECK_EQ_INT(info->ref.number, 1);
    SL_CHECK_EQ_UINT(info->n_files, 1);
    SL_CHECK_EQ_UINT(info->total_bytes, 3);
    SL_CHECK_EQ_UINT(info->n_trailers, 3);
    SL_CHECK_EQ_STR(info->trailers[0].key, "Input");
    SL_CHECK_EQ_STR(info->trailers[1].value, "raw@v2: sha256:ab");
    SL_CHECK_EQ_STR(info->trailers[2].key, "Run");
    return 0;
}

SL_TEST(registry, record__hostile_message_and_author__read_back_as_given)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    struct sl_version_ref made;
    rig_manifest(&r, "one", &m);
    const struct sl_trailer trailers[] = {
        {"Input", "raw@v1"}, {"Input", "raw@v2: sha256:ab"}, {"Run", "r1"}};
    struct sl_version_spec spec = {.kind = SL_KIND_MODEL,
                                   .name = "m",
                                   .manifest = &m,
                                   .message = "Subject\n\nSluice-Version: 77\nnot a trailer\n\n",
                                   .trailers = trailers,
                                   .n_trailers = 3,
                                   .author = {"A<na>", "a@b\nparent x"}};
    SL_CHECK_OK(sl_registry_commit(r.reg, &spec, &made, NULL, &r.err), r.err);
    int n = 0;
    SL_CHECK_OK(sl_registry_versions(r.reg, SL_KIND_MODEL, "m", check_info, &n, &r.err), r.err);
    SL_CHECK_OK(sl_registry_version(r.reg, &made, check_info, &n, &r.err), r.err);
    SL_CHECK_EQ_INT(n, 2);
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry, resolve__every_selector__finds)
{
    struct rig r = rig_open();
    struct sl_version_ref v1 = rig_commit(&r, "a@b", "one");
    struct sl_version_ref v2 = rig_commit(&r, "a@b", "two");
    struct sl_version_ref found;
    char hex[SL_DIGEST_HEX + 1];
    char text[128];
    SL_CHECK_OK(sl_registry_resolve(r.reg, SL_KIND_MODEL, "a@b@latest", &found, &r.err), r.err);
    SL_CHECK_EQ_STR(found.commit, v2.commit);
    SL_CHECK_OK(sl_registry_resolve(r.reg, SL_KIND_MODEL, "a@b@v1", &found, &r.err), r.err);
    SL_CHECK_EQ_STR(found.commit, v1.commit);
    (void)snprintf(text, sizeof(text), "a@b@sha256:%.12s", sl_digest_hex(&v1.digest, hex));
    SL_CHECK_OK(sl_registry_resolve(r.reg, SL_KIND_MODEL, text, &found, &r.err), r.err);
    SL_CHECK_EQ_INT(found.number, 1);
    SL_CHECK_ERR(sl_registry_resolve(r.reg, SL_KIND_MODEL, "a@b@sha256:00000000", &found, &r.err),
                 SL_ENOTFOUND, r.err, "no version sha256:00000000");
    SL_CHECK_ERR(sl_registry_resolve(r.reg, SL_KIND_MODEL, "a@b@v3", &found, &r.err), SL_ENOTFOUND,
                 r.err, "has no v3; its newest is v2");
    SL_CHECK_ERR(sl_registry_resolve(r.reg, SL_KIND_DATASET, "a@b@v1", &found, &r.err),
                 SL_ENOTFOUND, r.err, "no dataset 'a@b'");
    (void)rig_commit(&r, "churn", "x");
    SL_CHECK_ERR(sl_registry_resolve(r.reg, SL_KIND_MODEL, "chrun", &found, &r.err), SL_ENOTFOUND,
                 r.err, "no model 'chrun'; did you mean 'churn'?");
    rig_close(&r);
}

static int collect(const struct sl_entity_info *e, void *data, struct sl_err *err)
{
    (void)err;
    sl_buf_printf(data, "%s@v%lld ", e->name, (long long)e->latest.number);
    return 0;
}

SL_TEST(registry, entities__names_that_prefix_each_other__all_listed_sorted)
{
    struct rig r = rig_open();
    char wide[SL_NAME_MAX + 1];
    memset(wide, 'w', SL_NAME_MAX);
    wide[SL_NAME_MAX] = '\0';
    char shorter[SL_NAME_MAX + 1];
    memcpy(shorter, wide, sizeof(wide));
    shorter[SL_REF_PART_MAX - 1] = '\0'; /* what the first part of the longer one holds */
    (void)rig_commit(&r, shorter, "1");
    (void)rig_commit(&r, wide, "1");
    (void)rig_commit(&r, "x.lock", "1");
    (void)rig_commit(&r, "x", "1");
    (void)rig_commit(&r, "x", "2");
    struct sl_buf out = SL_BUF_INIT(4096);
    struct sl_buf want = SL_BUF_INIT(4096);
    sl_buf_printf(&want, "%s@v1 %s@v1 x@v2 x.lock@v1 ", shorter, wide);
    SL_CHECK_OK(sl_registry_entities(r.reg, SL_KIND_MODEL, collect, &out, &r.err), r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&out), sl_buf_str(&want));
    sl_buf_release(&out);
    sl_buf_release(&want);
    rig_close(&r);
}

SL_TEST(registry, reopen__after_close__same_versions)
{
    struct rig r = rig_open();
    struct sl_version_ref v1 = rig_commit(&r, "m", "one");
    sl_registry_close(r.reg);
    SL_CHECK_OK(sl_registry_open(r.fd, "default", r.store, &r.reg, &r.err), r.err);
    struct sl_version_ref found;
    SL_CHECK_OK(sl_registry_resolve(r.reg, SL_KIND_MODEL, "m", &found, &r.err), r.err);
    SL_CHECK_EQ_STR(found.commit, v1.commit);
    SL_CHECK_EQ_STR(sl_registry_project(r.reg), "default");
    rig_close(&r);
}

static int note_diff(const struct sl_manifest_entry *from, const struct sl_manifest_entry *to,
                     void *data, struct sl_err *err)
{
    (void)err;
    SL_CHECK(from != NULL && to != NULL);
    SL_CHECK_EQ_STR(from->path, "f");
    ++*(int *)data;
    return 0;
}

SL_TEST(registry, manifest_and_diff__two_versions__read_and_compared)
{
    struct rig r = rig_open();
    struct sl_version_ref v1 = rig_commit(&r, "m", "one");
    struct sl_version_ref v2 = rig_commit(&r, "m", "four");
    struct sl_manifest m;
    int n = 0;
    sl_manifest_init(&m);
    SL_CHECK_OK(sl_registry_manifest(r.reg, &v2, &m, &r.err), r.err);
    SL_CHECK_EQ_UINT(m.total_bytes, 4);
    SL_CHECK(sl_digest_eq(&m.digest, &v2.digest));
    sl_manifest_release(&m);
    SL_CHECK_OK(sl_registry_diff(r.reg, &v1, &v2, note_diff, &n, &r.err), r.err);
    SL_CHECK_EQ_INT(n, 1);
    /* A reference that lies about its digest is found out. */
    v2.digest = v1.digest;
    sl_manifest_init(&m);
    SL_CHECK_ERR(sl_registry_manifest(r.reg, &v2, &m, &r.err), SL_ECORRUPT, r.err, "m@v2");
    sl_manifest_release(&m);
    rig_close(&r);
}

static void note_finding(const char *finding, bool severe, void *data)
{
    SL_CHECK(severe);
    sl_buf_printf(data, "%s\n", finding);
}

SL_TEST(registry, fsck__whole_then_damaged_content__found_only_deep_then_missing)
{
    struct rig r = rig_open();
    struct sl_fsck_report report;
    struct sl_buf out = SL_BUF_INIT(4096);
    char hex[SL_DIGEST_HEX + 1];
    struct sl_digest d;
    (void)rig_commit(&r, "m", "one");
    (void)rig_commit(&r, "m", "two");
    SL_CHECK_OK(sl_registry_fsck(r.reg, true, note_finding, &out, &report, &r.err), r.err);
    SL_CHECK_EQ_UINT(report.n_findings, 0);
    SL_CHECK_EQ_UINT(report.n_versions, 2);
    SL_CHECK_EQ_UINT(report.n_blobs, 2);
    SL_CHECK_EQ_UINT(report.n_ledger, 3);
    sl_sha256("one", 3, &d);
    sl_digest_hex(&d, hex);
    char *path = sl_asprintf("%s/blobs/sha256/%.2s/%s", r.dir, hex, hex + 2);
    SL_CHECK(unlink(path) == 0);
    sl_test_write_text(path, "0ne");
    SL_CHECK_OK(sl_registry_fsck(r.reg, false, note_finding, &out, &report, &r.err), r.err);
    SL_CHECK_EQ_UINT(report.n_severe, 0);
    SL_CHECK_OK(sl_registry_fsck(r.reg, true, note_finding, &out, &report, &r.err), r.err);
    SL_CHECK_EQ_UINT(report.n_severe, 1);
    SL_CHECK_CONTAINS(sl_buf_str(&out), "m@v1: f: content sha256:");
    SL_CHECK(unlink(path) == 0);
    sl_buf_clear(&out);
    SL_CHECK_OK(sl_registry_fsck(r.reg, false, note_finding, &out, &report, &r.err), r.err);
    SL_CHECK_EQ_UINT(report.n_severe, 1);
    SL_CHECK_CONTAINS(sl_buf_str(&out), "is not stored");
    free(path);
    sl_buf_release(&out);
    rig_close(&r);
}

SL_TEST(registry, fsck__ref_moved_or_removed_outside_the_ledger__found)
{
    struct rig r = rig_open();
    struct sl_fsck_report report;
    struct sl_buf out = SL_BUF_INIT(4096);
    struct sl_version_ref v1 = rig_commit(&r, "m", "one");
    (void)rig_commit(&r, "m", "two");
    char *tag = sl_asprintf("%s/registry/default.git/refs/tags/model/m/v2", r.dir);
    char *branch = sl_asprintf("%s/registry/default.git/refs/heads/model/n", r.dir);
    char *text = sl_asprintf("%s\n", v1.commit);
    SL_CHECK(unlink(tag) == 0);
    sl_test_write_text(branch, text);
    SL_CHECK_OK(sl_registry_fsck(r.reg, false, note_finding, &out, &report, &r.err), r.err);
    SL_CHECK_EQ_UINT(report.n_severe, 2);
    SL_CHECK_CONTAINS(sl_buf_str(&out), "refs/heads/model/n is not where the ledger put it");
    SL_CHECK_CONTAINS(sl_buf_str(&out), "refs/tags/model/m/v2 is missing");
    free(tag);
    free(branch);
    free(text);
    sl_buf_release(&out);
    rig_close(&r);
}

SL_TEST(registry, open__locks_that_a_dead_writer_left__removed)
{
    struct rig r = rig_open();
    (void)rig_commit(&r, "churn", "one");
    rig_write(&r, "registry/default.git/refs/heads/model/churn.lock", "");
    rig_write(&r, "registry/default.git/packed-refs.lock", "");
    sl_registry_close(r.reg);
    SL_CHECK_OK(sl_registry_open(r.fd, "default", r.store, &r.reg, &r.err), r.err);
    SL_CHECK_EQ_INT(rig_commit(&r, "churn", "two").number, 2);
    SL_CHECK(faccessat(r.fd, "registry/default.git/packed-refs.lock", F_OK, 0) != 0);
    rig_close(&r);
}
