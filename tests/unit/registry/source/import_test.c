/* Sinks, journals and places: what an interrupted import goes on from. */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry/source/source_priv.h"
#include "tests/support/sl_test.h"

struct rig {
    char *dir;
    int fd;
    struct sl_err err;
};

static struct rig rig_open(void)
{
    struct rig r = {.dir = sl_test_tmpdir()};
    r.fd = open(r.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return r;
}

static void rig_close(struct rig *r)
{
    close(r->fd);
    sl_test_rmdir(r->dir);
}

/* ---- sink ----------------------------------------------------------------------------------------- */

static void feed(struct sink *s, const char *bytes, size_t len, size_t piece, struct sl_err *err)
{
    for (size_t at = 0; at < len; at += piece) {
        SL_CHECK_OK(sink_write(s, bytes + at, SL_MIN(piece, len - at), err), *err);
    }
}

SL_TEST(registry_source_sink, bytes_in_pieces__file_and_both_sums)
{
    static const size_t sizes[] = {0, 1, 524287, 524288, 524289, 5000000};
    char *bytes = sl_malloc(5000000);
    for (size_t i = 0; i < 5000000; i++) {
        bytes[i] = (char)(i * 7 + i / 1000);
    }
    for (size_t k = 0; k < SL_LEN(sizes); k++) {
        struct rig r = rig_open();
        struct sink *s = NULL;
        struct sink_sums sums;
        struct sl_digest expected;
        char md5[SL_MD5_HEX + 1];
        int fd = openat(r.fd, "part", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        SL_CHECK_OK(sink_open(fd, true, &s, &r.err), r.err);
        feed(s, bytes, sizes[k], 99991, &r.err);
        SL_CHECK_OK(sink_finish(s, &sums, &r.err), r.err);
        sink_free(s);
        sl_sha256(bytes, sizes[k], &expected);
        struct sl_md5_ctx *ctx = sl_md5_new();
        sl_md5_update(ctx, bytes, sizes[k]);
        SL_CHECK_EQ_STR(sums.md5, sl_md5_final(ctx, md5));
        sl_md5_free(ctx);
        SL_CHECK(sl_digest_eq(&sums.sha256, &expected));
        SL_CHECK_EQ_INT((int64_t)sums.bytes, (int64_t)sizes[k]);
        struct stat st;
        SL_CHECK(fstat(fd, &st) == 0 && (size_t)st.st_size == sizes[k]);
        close(fd);
        rig_close(&r);
    }
    free(bytes);
}

SL_TEST(registry_source_sink, resumed_and_restarted__sum_of_what_is_there)
{
    struct rig r = rig_open();
    struct sink *s = NULL;
    struct sink_sums sums;
    struct sl_digest expected;
    char *path = sl_test_path(r.dir, "part");
    sl_test_write_text(path, "hello ");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    SL_CHECK_OK(sink_open(fd, false, &s, &r.err), r.err);
    SL_CHECK_OK(sink_preload(s, 6, &r.err), r.err);
    SL_CHECK_OK(sink_write(s, "world", 5, &r.err), r.err);
    SL_CHECK_OK(sink_finish(s, &sums, &r.err), r.err);
    sl_sha256("hello world", 11, &expected);
    SL_CHECK(sl_digest_eq(&sums.sha256, &expected) && sums.bytes == 11);
    SL_CHECK_OK(sink_restart(s, &r.err), r.err);
    SL_CHECK_OK(sink_write(s, "new", 3, &r.err), r.err);
    SL_CHECK_OK(sink_finish(s, &sums, &r.err), r.err);
    sl_sha256("new", 3, &expected);
    SL_CHECK(sl_digest_eq(&sums.sha256, &expected) && sums.bytes == 3);
    sink_free(s);
    close(fd);
    char *text = sl_test_read(path, NULL);
    SL_CHECK_EQ_STR(text, "new");
    free(text);
    free(path);
    rig_close(&r);
}

SL_TEST(registry_source_sink, full_disk__told_and_no_more_is_taken)
{
    struct sink *s = NULL;
    struct sink_sums sums;
    struct sl_err err = SL_ERR_INIT;
    int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    SL_CHECK_OK(sink_open(fd, false, &s, &err), err);
    SL_CHECK_OK(sink_write(s, "x", 1, &err), err);
    SL_CHECK_ERR(sink_finish(s, &sums, &err), SL_ENOSPACE, err, "cannot write what arrives");
    sink_free(s);
    close(fd);
}

/* ---- journal --------------------------------------------------------------------------------------- */

static struct done row(const char *key, const char *etag, const char *text)
{
    struct done d = {.key = key, .etag = etag, .version_id = "", .modified = "", .size = 5};
    sl_sha256(text, strlen(text), &d.sha256);
    return d;
}

SL_TEST(registry_source_journal, rows__survive_and_the_newest_of_a_key_counts)
{
    struct rig r = rig_open();
    struct journal *j = NULL;
    struct done list[] = {row("a", "\"1\"", "x"), row("b", "\"2\"", "y"), row("a", "\"3\"", "z")};
    SL_CHECK_OK(journal_open(r.fd, &j, &r.err), r.err);
    SL_CHECK_OK(journal_add(j, list, 3, &r.err), r.err);
    journal_close(j);
    SL_CHECK_OK(journal_open(r.fd, &j, &r.err), r.err);
    SL_CHECK_EQ_STR(journal_find(j, "a")->etag, "\"3\"");
    SL_CHECK(sl_digest_eq(&journal_find(j, "a")->sha256, &list[2].sha256));
    SL_CHECK_EQ_STR(journal_find(j, "b")->etag, "\"2\"");
    SL_CHECK(journal_find(j, "c") == NULL);
    journal_close(j);
    rig_close(&r);
}

SL_TEST(registry_source_journal, torn_and_damaged_lines__passed_over_the_rest_kept)
{
    struct rig r = rig_open();
    struct journal *j = NULL;
    struct done d = row("b", "", "y");
    char *path = sl_test_path(r.dir, "done");
    sl_test_write_text(path, "not json\n{\"key\":\"k\"}\n"
                             "{\"key\":\"a\",\"sha256\":\""
                             "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
                             "\",\"size\":5}\n{\"key\":\"torn");
    SL_CHECK_OK(journal_open(r.fd, &j, &r.err), r.err);
    SL_CHECK(journal_find(j, "a") != NULL && journal_find(j, "k") == NULL);
    SL_CHECK_OK(journal_add(j, &d, 1, &r.err), r.err);
    journal_close(j);
    SL_CHECK_OK(journal_open(r.fd, &j, &r.err), r.err);
    SL_CHECK(journal_find(j, "a") != NULL && journal_find(j, "b") != NULL);
    journal_close(j);
    free(path);
    rig_close(&r);
}

/* ---- place ----------------------------------------------------------------------------------------- */

static struct sl_import_opts opts_of(const struct rig *r)
{
    return (struct sl_import_opts){
        .source = {.kind = SL_SOURCE_HTTP, .url = "https://h/x"}, .data_dirfd = r->fd, .name = "n"};
}

static void write_part(struct place *p, const char *key, const char *etag, const char *text)
{
    struct sl_err err = SL_ERR_INIT;
    struct part part;
    int fd = -1;
    SL_CHECK_OK(place_part(p, 0, key, &part, &fd, &err), err);
    (void)snprintf(part.etag, sizeof(part.etag), "%s", etag);
    SL_CHECK_OK(place_note(p, 0, &part, 0, &err), err);
    SL_CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
    close(fd);
}

static uint64_t part_bytes(struct place *p, const char *key)
{
    struct sl_err err = SL_ERR_INIT;
    struct part part;
    int fd = -1;
    SL_CHECK_OK(place_part(p, 0, key, &part, &fd, &err), err);
    close(fd);
    return part.bytes;
}

SL_TEST(registry_source_place, part__of_the_same_file__is_believed)
{
    struct rig r = rig_open();
    struct sl_import_opts opts = opts_of(&r);
    struct place p;
    SL_CHECK_OK(place_open(&opts, &p, &r.err), r.err);
    write_part(&p, "k", "\"1\"", "hello");
    SL_CHECK_EQ_INT((int64_t)part_bytes(&p, "k"), 5);
    SL_CHECK_EQ_INT((int64_t)part_bytes(&p, "other"), 0);
    write_part(&p, "k", "", "hello"); /* nothing tells whether the source is still the same */
    SL_CHECK_EQ_INT((int64_t)part_bytes(&p, "k"), 0);
    place_close(&p);
    rig_close(&r);
}

SL_TEST(registry_source_place, part__of_another_boot__only_what_was_synced)
{
    struct rig r = rig_open();
    struct sl_import_opts opts = opts_of(&r);
    struct sl_err err = SL_ERR_INIT;
    struct place p;
    SL_CHECK_OK(place_open(&opts, &p, &err), err);
    write_part(&p, "k", "\"1\"", "hello world");
    int fd = openat(p.dirfd, "part.json", O_WRONLY | O_TRUNC | O_CLOEXEC);
    static const char text[] = "{\"boot\":\"another\",\"etag\":\"\\\"1\\\"\",\"key\":\"k\","
                               "\"modified\":\"\",\"synced\":4}";
    SL_CHECK(write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
    close(fd);
    SL_CHECK_EQ_INT((int64_t)part_bytes(&p, "k"), 4);
    place_close(&p);
    rig_close(&r);
}

SL_TEST(registry_source_place, two_at_once__the_second_is_told)
{
    struct rig r = rig_open();
    struct sl_import_opts opts = opts_of(&r);
    struct place first;
    struct place second;
    SL_CHECK_OK(place_open(&opts, &first, &r.err), r.err);
    SL_CHECK_ERR(place_open(&opts, &second, &r.err), SL_EBUSY, r.err, "into 'n' is running");
    opts.name = "m";
    SL_CHECK_OK(place_open(&opts, &second, &r.err), r.err);
    place_close(&first);
    place_close(&second);
    rig_close(&r);
}

SL_TEST(registry_source_place, clean__old_and_idle__removed)
{
    struct rig r = rig_open();
    struct sl_import_opts opts = opts_of(&r);
    struct place p;
    SL_CHECK_OK(place_open(&opts, &p, &r.err), r.err);
    SL_CHECK_EQ_INT(sl_source_clean(r.fd, -10000, &r.err), 0); /* works there */
    place_close(&p);
    SL_CHECK_EQ_INT(sl_source_clean(r.fd, 3600000, &r.err), 0); /* young */
    SL_CHECK_EQ_INT(sl_source_clean(r.fd, -10000, &r.err), 1);
    rig_close(&r);
}
