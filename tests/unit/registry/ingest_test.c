/** Ingest and materialise: round trip, hazards, filters, limits. */
#include "core/base/base.h"

#include "tests/unit/registry/rig.h"

static int ingest(struct rig *r, const struct sl_ingest_opts *opts, struct sl_manifest *m)
{
    sl_manifest_init(m);
    return sl_ingest_path(r->store, r->fd, "in", opts, m, &r->err);
}

static void expect_refusal(struct rig *r, int code, const char *why)
{
    struct sl_manifest m;
    SL_CHECK_ERR(ingest(r, NULL, &m), code, r->err, why);
    sl_manifest_release(&m);
}

SL_TEST(registry_ingest, folder__files_modes_links_empty_dirs__round_trip)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    struct sl_manifest again;
    rig_write(&r, "in/a", "alpha");
    rig_write(&r, "in/sub/run.sh", "#!/bin/sh\n");
    rig_write(&r, "in/sub.x", "sorts between");
    rig_write(&r, "in/zero", "");
    SL_CHECK(fchmodat(r.fd, "in/sub/run.sh", 0700, 0) == 0);
    SL_CHECK(symlinkat("sub/run.sh", r.fd, "in/link") == 0);
    SL_CHECK(mkdirat(r.fd, "in/hollow", 0755) == 0 && mkdirat(r.fd, "in/hollow/deep", 0755) == 0);
    SL_CHECK_OK(ingest(&r, NULL, &m), r.err);
    SL_CHECK_EQ_UINT(m.entries.n, 6);
    SL_CHECK_EQ_UINT(m.n_files, 4);
    SL_CHECK_EQ_INT(sl_manifest_find(&m, "sub/run.sh")->mode, 0755);
    SL_CHECK_EQ_INT(sl_manifest_find(&m, "hollow/deep")->type, SL_ENTRY_DIR);
    SL_CHECK_NULL(sl_manifest_find(&m, "hollow"));
    SL_CHECK_OK(sl_manifest_materialise(r.store, &m, r.fd, "out", NULL, &r.err), r.err);
    sl_manifest_init(&again);
    SL_CHECK_OK(sl_ingest_path(r.store, r.fd, "out", NULL, &again, &r.err), r.err);
    SL_CHECK(sl_digest_eq(&again.digest, &m.digest));
    SL_CHECK_ERR(sl_manifest_materialise(r.store, &m, r.fd, "out", NULL, &r.err), SL_EEXISTS, r.err,
                 "not empty");
    sl_manifest_release(&again);
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry_ingest, materialise__read_only_and_single__modes_and_name)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    struct stat st;
    rig_write(&r, "in/sub/a", "alpha");
    SL_CHECK_OK(ingest(&r, NULL, &m), r.err);
    struct sl_materialise_opts opts = {.read_only = true};
    SL_CHECK_OK(sl_manifest_materialise(r.store, &m, r.fd, "ro", &opts, &r.err), r.err);
    SL_CHECK(fstatat(r.fd, "ro/sub/a", &st, 0) == 0 && (st.st_mode & 07777) == 0444);
    SL_CHECK(fstatat(r.fd, "ro/sub", &st, 0) == 0 && (st.st_mode & 07777) == 0555);
    opts = (struct sl_materialise_opts){.only = "sub/a"};
    SL_CHECK_OK(sl_manifest_materialise(r.store, &m, r.fd, "one", &opts, &r.err), r.err);
    SL_CHECK(fstatat(r.fd, "one/a", &st, 0) == 0 && st.st_size == 5);
    opts.only = "sub";
    SL_CHECK_ERR(sl_manifest_materialise(r.store, &m, r.fd, "two", &opts, &r.err), SL_ENOTFOUND,
                 r.err, "no file 'sub'");
    SL_CHECK(faccessat(r.fd, "two", F_OK, 0) != 0);
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry_ingest, file__alone_or_through_symlink__one_entry)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    rig_write(&r, "data.csv", "a,b\n");
    SL_CHECK(symlinkat("data.csv", r.fd, "in") == 0);
    SL_CHECK_OK(ingest(&r, NULL, &m), r.err);
    SL_CHECK_EQ_UINT(m.entries.n, 1);
    SL_CHECK_EQ_STR(m.entries.items[0].path, "in");
    sl_manifest_release(&m);
    sl_manifest_init(&m);
    struct sl_ingest_opts opts = {.name = "renamed/x.csv"};
    SL_CHECK_OK(sl_ingest_path(r.store, r.fd, "data.csv", &opts, &m, &r.err), r.err);
    SL_CHECK_EQ_STR(m.entries.items[0].path, "renamed/x.csv");
    SL_CHECK_EQ_UINT(m.total_bytes, 4);
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry_ingest, hazards__each__refused_by_name_and_nothing_stored)
{
    struct rig r = rig_open();
    rig_write(&r, "in/ok", "content that must not stay");
    struct sl_digest d;
    sl_sha256("content that must not stay", 26, &d);

    SL_CHECK(mkfifoat(r.fd, "in/pipe", 0600) == 0);
    expect_refusal(&r, SL_EINVAL, "pipe is a FIFO");
    SL_CHECK(unlinkat(r.fd, "in/pipe", 0) == 0);

    SL_CHECK(symlinkat("../secret", r.fd, "in/out") == 0);
    expect_refusal(&r, SL_EINVAL, "out: symlink to '../secret' leaves the folder");
    SL_CHECK(unlinkat(r.fd, "in/out", 0) == 0);
    SL_CHECK(symlinkat("/etc/passwd", r.fd, "in/out") == 0);
    expect_refusal(&r, SL_EINVAL, "leaves the folder");
    SL_CHECK(unlinkat(r.fd, "in/out", 0) == 0);

    SL_CHECK(mkdirat(r.fd, "in/.GIT", 0755) == 0);
    expect_refusal(&r, SL_EINVAL, "reserves for itself");
    SL_CHECK(unlinkat(r.fd, "in/.GIT", AT_REMOVEDIR) == 0);

    rig_write(&r, "in/bad\xff", "x");
    expect_refusal(&r, SL_EINVAL, "must be UTF-8");
    SL_CHECK(unlinkat(r.fd, "in/bad\xff", 0) == 0);

    SL_CHECK(!sl_blob_has(r.store, &d));
    rig_write(&r, "in/OK", "x");
    expect_refusal(&r, SL_EINVAL, "'OK' and 'ok' differ only in letter case");
    struct sl_ingest_opts opts = {.allow_case_collisions = true};
    struct sl_manifest m;
    SL_CHECK_OK(ingest(&r, &opts, &m), r.err);
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry_ingest, missing_and_special_roots__refused)
{
    struct rig r = rig_open();
    expect_refusal(&r, SL_ENOTFOUND, "cannot open 'in'");
    SL_CHECK(mkfifoat(r.fd, "in", 0600) == 0);
    expect_refusal(&r, SL_EINVAL, "'in' is a FIFO");
    rig_close(&r);
}

SL_TEST(registry_ingest, exclude__patterns__files_and_whole_folders)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    static const char *const patterns[] = {"*.tmp", "cache", "sub/*.log"};
    rig_write(&r, "in/a", "1");
    rig_write(&r, "in/a.tmp", "2");
    rig_write(&r, "in/x/cache/deep/b", "3");
    rig_write(&r, "in/sub/c.log", "4");
    rig_write(&r, "in/c.log", "5");
    struct sl_ingest_opts opts = {.exclude = patterns, .n_exclude = SL_LEN(patterns)};
    SL_CHECK_OK(ingest(&r, &opts, &m), r.err);
    SL_CHECK_EQ_UINT(m.n_files, 2);
    SL_CHECK_NOT_NULL(sl_manifest_find(&m, "a"));
    SL_CHECK_NOT_NULL(sl_manifest_find(&m, "c.log"));
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry_ingest, max_entries__limit_and_one_past__refused)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    rig_write(&r, "in/a", "1");
    rig_write(&r, "in/b", "2");
    struct sl_ingest_opts opts = {.max_entries = 2};
    SL_CHECK_OK(ingest(&r, &opts, &m), r.err);
    sl_manifest_release(&m);
    opts.max_entries = 1;
    SL_CHECK_ERR(ingest(&r, &opts, &m), SL_ELIMIT, r.err, "more than 1 entries");
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry_ingest, many_small_files__two_threads__every_digest_right)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    for (int i = 0; i < 500; i++) {
        char name[32];
        char text[32];
        (void)snprintf(name, sizeof(name), "in/%d/f%d", i % 7, i);
        (void)snprintf(text, sizeof(text), "content %d", i);
        rig_write(&r, name, text);
    }
    SL_CHECK_OK(ingest(&r, NULL, &m), r.err);
    SL_CHECK_EQ_UINT(m.n_files, 500);
    for (int i = 0; i < 500; i++) {
        char name[32];
        char text[32];
        struct sl_digest d;
        (void)snprintf(name, sizeof(name), "%d/f%d", i % 7, i);
        int n = snprintf(text, sizeof(text), "content %d", i);
        sl_sha256(text, (size_t)n, &d);
        const struct sl_manifest_entry *e = sl_manifest_find(&m, name);
        SL_CHECK(e != NULL && sl_digest_eq(&e->sha256, &d) && sl_blob_has(r.store, &d));
    }
    sl_manifest_release(&m);
    rig_close(&r);
}

SL_TEST(registry_ingest, fd__path_replaced_meanwhile__the_open_file_is_taken)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    struct sl_manifest by_path;
    rig_write(&r, "in/a", "mine");
    rig_write(&r, "foreign", "not mine");
    sl_manifest_init(&by_path);
    SL_CHECK_OK(sl_ingest_path(r.store, r.fd, "in/a", NULL, &by_path, &r.err), r.err);
    int fd = openat(r.fd, "in/a", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    SL_CHECK(fd >= 0);
    SL_CHECK(unlinkat(r.fd, "in/a", 0) == 0 && symlinkat("../foreign", r.fd, "in/a") == 0);
    sl_manifest_init(&m);
    SL_CHECK_OK(sl_ingest_fd(r.store, fd, "a", &m, &r.err), r.err);
    SL_CHECK(sl_digest_eq(&m.digest, &by_path.digest));
    sl_manifest_release(&m);
    sl_manifest_release(&by_path);
    (void)close(fd);
    rig_close(&r);
}

SL_TEST(registry_ingest, fd__no_regular_file__refused)
{
    struct rig r = rig_open();
    struct sl_manifest m;
    SL_CHECK(mkfifoat(r.fd, "fifo", 0644) == 0);
    int fd = openat(r.fd, "fifo", O_PATH | O_CLOEXEC);
    sl_manifest_init(&m);
    SL_CHECK_ERR(sl_ingest_fd(r.store, fd, "fifo", &m, &r.err), SL_EINVAL, r.err,
                 "'fifo' is a FIFO");
    SL_CHECK_ERR(sl_ingest_fd(r.store, fd, "../a", &m, &r.err), SL_EINVAL, r.err, "../a");
    sl_manifest_release(&m);
    (void)close(fd);
    rig_close(&r);
}
