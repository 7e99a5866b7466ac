/** The content store: sessions, deduplication, verification, copies, damage, dead sessions. */
#include "core/base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/blob/blob.h"
#include "tests/support/sl_test.h"

/* FIPS 180-4 examples. */
#define SHA_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA_ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

struct rig {
    char *dir;
    int fd;
    struct sl_blob_store *store;
    struct sl_err err;
};

static struct rig rig_open(void)
{
    struct rig r = {.dir = sl_test_tmpdir()};
    r.fd = open(r.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK_OK(sl_blob_store_open(r.fd, "blobs", &r.store, &r.err), r.err);
    return r;
}

static void rig_close(struct rig *r)
{
    sl_blob_store_close(r->store);
    (void)close(r->fd);
    sl_test_rmdir(r->dir);
}

static void put_file(struct rig *r, const char *name, const void *data, size_t len)
{
    char *path = sl_test_path(r->dir, name);
    sl_test_write(path, data, len);
    free(path);
}

static char *stored_path(struct rig *r, const struct sl_digest *d)
{
    char hex[SL_DIGEST_HEX + 1];
    sl_digest_hex(d, hex);
    return sl_asprintf("%s/blobs/sha256/%.2s/%s", r->dir, hex, hex + 2);
}

/* Entries of a directory below the rig, "." and ".." not counted. */
static int count_entries(struct rig *r, const char *name)
{
    char *path = sl_test_path(r->dir, name);
    DIR *dir = opendir(path);
    free(path);
    SL_CHECK_NOT_NULL(dir);
    int n = -2;
    while (readdir(dir) != NULL) {
        n++;
    }
    (void)closedir(dir);
    return n;
}

/* Bytes that do not compress or repeat, the same every time. */
static char *noise(size_t len)
{
    char *bytes = sl_malloc(len + 1);
    uint64_t state = 88172645463325252ULL;
    for (size_t i = 0; i < len; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (char)state;
    }
    return bytes;
}

SL_TEST(core_blob, put_bytes__published_vectors__named_by_sha256_and_read_only)
{
    struct rig r = rig_open();
    char hex[SL_DIGEST_HEX + 1];
    struct sl_digest empty;
    struct sl_digest abc;
    SL_CHECK_OK(sl_blob_put_bytes(r.store, "", 0, &empty, &r.err), r.err);
    SL_CHECK_EQ_STR(sl_digest_hex(&empty, hex), SHA_EMPTY);
    SL_CHECK_OK(sl_blob_put_bytes(r.store, "abc", 3, &abc, &r.err), r.err);
    SL_CHECK_EQ_STR(sl_digest_hex(&abc, hex), SHA_ABC);
    SL_CHECK(sl_blob_has(r.store, &abc) && sl_blob_has(r.store, &empty));
    char *path = stored_path(&r, &abc);
    struct stat st;
    SL_CHECK(stat(path, &st) == 0);
    SL_CHECK_EQ_INT(st.st_mode & 07777, 0444);
    SL_CHECK_EQ_INT(count_entries(&r, "blobs/stage"), 0);
    free(path);
    rig_close(&r);
}

SL_TEST(core_blob, session__before_commit__nothing_visible)
{
    struct rig r = rig_open();
    struct sl_blob_session *s = NULL;
    struct sl_blob_added added;
    SL_CHECK_OK(sl_blob_session_begin(r.store, &s, &r.err), r.err);
    SL_CHECK_OK(sl_blob_session_add_bytes(s, "abc", 3, &added, &r.err), r.err);
    SL_CHECK(!added.existed);
    SL_CHECK(!sl_blob_has(r.store, &added.digest));
    sl_blob_session_free(s);
    SL_CHECK(!sl_blob_has(r.store, &added.digest));
    SL_CHECK_EQ_INT(count_entries(&r, "blobs/stage"), 0);
    rig_close(&r);
}

SL_TEST(core_blob, session__same_content_again__not_rewritten)
{
    struct rig r = rig_open();
    struct sl_digest abc;
    struct stat before;
    struct stat after;
    SL_CHECK_OK(sl_blob_put_bytes(r.store, "abc", 3, &abc, &r.err), r.err);
    char *path = stored_path(&r, &abc);
    SL_CHECK(stat(path, &before) == 0);
    struct sl_blob_session *s = NULL;
    struct sl_blob_added added;
    SL_CHECK_OK(sl_blob_session_begin(r.store, &s, &r.err), r.err);
    SL_CHECK_OK(sl_blob_session_add_bytes(s, "abc", 3, &added, &r.err), r.err);
    SL_CHECK(added.existed);
    SL_CHECK_OK(sl_blob_session_add_bytes(s, "abcd", 4, &added, &r.err), r.err);
    SL_CHECK(!added.existed);
    SL_CHECK_OK(sl_blob_session_add_bytes(s, "abcd", 4, &added, &r.err), r.err);
    SL_CHECK(added.existed);
    SL_CHECK_OK(sl_blob_session_commit(s, &r.err), r.err);
    sl_blob_session_free(s);
    SL_CHECK(stat(path, &after) == 0);
    SL_CHECK_EQ_UINT(after.st_ino, before.st_ino);
    SL_CHECK_EQ_INT(after.st_ino, before.st_ino); /* only marked as found again */
    free(path);
    rig_close(&r);
}

SL_TEST(core_blob, add_path__large_unaligned_file__same_digest_as_one_shot)
{
    struct rig r = rig_open();
    size_t len = (5U << 20) + 4097; /* five chunks, an aligned block and one byte */
    char *bytes = noise(len);
    struct sl_digest expected;
    sl_sha256(bytes, len, &expected);
    put_file(&r, "large", bytes, len);
    struct sl_blob_session *s = NULL;
    struct sl_blob_added added;
    SL_CHECK_OK(sl_blob_session_begin(r.store, &s, &r.err), r.err);
    SL_CHECK_OK(sl_blob_session_add_path(s, r.fd, "large", &added, &r.err), r.err);
    SL_CHECK(sl_digest_eq(&added.digest, &expected));
    SL_CHECK_EQ_UINT(added.size_bytes, len);
    SL_CHECK_OK(sl_blob_session_commit(s, &r.err), r.err);
    sl_blob_session_free(s);
    struct sl_buf out = SL_BUF_INIT(1);
    SL_CHECK_OK(sl_blob_read_all(r.store, &expected, len, &out, &r.err), r.err);
    SL_CHECK_EQ_UINT(out.len, len);
    SL_CHECK_EQ_MEM(out.ptr, bytes, len);
    sl_buf_release(&out);
    SL_CHECK_OK(sl_blob_verify(r.store, &expected, &r.err), r.err);
    char *path = stored_path(&r, &expected);
    struct stat st;
    SL_CHECK(stat(path, &st) == 0);
    SL_CHECK_EQ_INT(st.st_size, (off_t)len);
    free(path);
    free(bytes);
    rig_close(&r);
}

SL_TEST(core_blob, add_fd__likely_digest_known__existed_and_nothing_staged)
{
    struct rig r = rig_open();
    size_t len = 3U << 20;
    char *bytes = noise(len);
    struct sl_digest digest;
    put_file(&r, "large", bytes, len);
    SL_CHECK_OK(sl_blob_put_bytes(r.store, bytes, len, &digest, &r.err), r.err);
    struct sl_blob_session *s = NULL;
    struct sl_blob_added added;
    SL_CHECK_OK(sl_blob_session_begin(r.store, &s, &r.err), r.err);
    int fd = openat(r.fd, "large", O_RDONLY | O_CLOEXEC);
    SL_CHECK_OK(sl_blob_session_add_fd(s, fd, &digest, &added, &r.err), r.err);
    SL_CHECK(added.existed && sl_digest_eq(&added.digest, &digest));
    /* A wrong guess costs a second pass, not a wrong answer. */
    int other = openat(r.fd, "large", O_WRONLY | O_CLOEXEC);
    SL_CHECK(pwrite(other, "X", 1, 7) == 1);
    (void)close(other);
    SL_CHECK_OK(sl_blob_session_add_fd(s, fd, &digest, &added, &r.err), r.err);
    SL_CHECK(!added.existed && !sl_digest_eq(&added.digest, &digest));
    (void)close(fd);
    sl_blob_session_free(s);
    free(bytes);
    rig_close(&r);
}

SL_TEST(core_blob, add_path__not_a_regular_file__refused)
{
    struct rig r = rig_open();
    struct sl_blob_session *s = NULL;
    struct sl_blob_added added;
    SL_CHECK(mkfifoat(r.fd, "fifo", 0600) == 0 && mkdirat(r.fd, "sub", 0700) == 0);
    SL_CHECK(symlinkat("fifo", r.fd, "link") == 0);
    SL_CHECK_OK(sl_blob_session_begin(r.store, &s, &r.err), r.err);
    SL_CHECK_ERR(sl_blob_session_add_path(s, r.fd, "fifo", &added, &r.err), SL_EINVAL, r.err,
                 "fifo: not a regular file");
    SL_CHECK_ERR(sl_blob_session_add_path(s, r.fd, "sub", &added, &r.err), SL_EINVAL, r.err,
                 "not a regular file");
    SL_CHECK(sl_blob_session_add_path(s, r.fd, "link", &added, &r.err) < 0);
    SL_CHECK(sl_blob_session_add_path(s, r.fd, "../x", &added, &r.err) < 0);
    SL_CHECK_ERR(sl_blob_session_add_path(s, r.fd, "none", &added, &r.err), SL_ENOTFOUND, r.err,
                 "none");
    /* Refusals are no failed writes: the session goes on. */
    SL_CHECK_OK(sl_blob_session_add_bytes(s, "abc", 3, &added, &r.err), r.err);
    SL_CHECK_OK(sl_blob_session_commit(s, &r.err), r.err);
    sl_blob_session_free(s);
    rig_close(&r);
}

SL_TEST(core_blob, commit__many_files_of_one_session__all_readable)
{
    struct rig r = rig_open();
    struct sl_blob_session *s = NULL;
    struct sl_digest digests[3 * SL_BLOB_SYNC_EACH_MAX];
    SL_CHECK_OK(sl_blob_session_begin(r.store, &s, &r.err), r.err);
    for (size_t i = 0; i < SL_LEN(digests); i++) {
        struct sl_blob_added added;
        char text[32];
        int n = snprintf(text, sizeof(text), "content %zu", i);
        SL_CHECK_OK(sl_blob_session_add_bytes(s, text, (size_t)n, &added, &r.err), r.err);
        digests[i] = added.digest;
    }
    SL_CHECK_OK(sl_blob_session_commit(s, &r.err), r.err);
    sl_blob_session_free(s);
    for (size_t i = 0; i < SL_LEN(digests); i++) {
        SL_CHECK_OK(sl_blob_verify(r.store, &digests[i], &r.err), r.err);
    }
    rig_close(&r);
}

struct feeder {
    struct sl_blob_session *session;
    int first;
    struct sl_err err;
};

static void *feed(void *arg)
{
    struct feeder *f = arg;
    for (int i = f->first; i < f->first + 300; i++) {
        struct sl_blob_added added;
        char text[32];
        int n = snprintf(text, sizeof(text), "number %d", i);
        if (sl_blob_session_add_bytes(f->session, text, (size_t)n, &added, &f->err) != 0) {
            break;
        }
    }
    return NULL;
}

static int count_one(const struct sl_digest *digest, uint64_t size, void *data, struct sl_err *err)
{
    (void)digest;
    (void)size;
    (void)err;
    ++*(int *)data;
    return 0;
}

SL_TEST(core_blob, session__fed_by_two_threads_with_overlap__each_content_once)
{
    struct rig r = rig_open();
    struct sl_blob_session *s = NULL;
    SL_CHECK_OK(sl_blob_session_begin(r.store, &s, &r.err), r.err);
    struct feeder a = {s, 0, SL_ERR_INIT};
    struct feeder b = {s, 100, SL_ERR_INIT};
    pthread_t thread;
    SL_CHECK(pthread_create(&thread, NULL, feed, &a) == 0);
    (void)feed(&b);
    (void)pthread_join(thread, NULL);
    SL_CHECK_EQ_INT(a.err.code, 0);
    SL_CHECK_EQ_INT(b.err.code, 0);
    SL_CHECK_OK(sl_blob_session_commit(s, &r.err), r.err);
    sl_blob_session_free(s);
    int n = 0;
    SL_CHECK_OK(sl_blob_each(r.store, count_one, &n, &r.err), r.err);
    SL_CHECK_EQ_INT(n, 400);
    rig_close(&r);
}

SL_TEST(core_blob, read_all__limit_and_one_past__refused)
{
    struct rig r = rig_open();
    struct sl_digest d;
    struct sl_buf out = SL_BUF_INIT(1);
    SL_CHECK_OK(sl_blob_put_bytes(r.store, "12345678", 8, &d, &r.err), r.err);
    SL_CHECK_OK(sl_blob_read_all(r.store, &d, 8, &out, &r.err), r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "12345678");
    SL_CHECK_ERR(sl_blob_read_all(r.store, &d, 7, &out, &r.err), SL_ELIMIT, r.err, "8 bytes");
    sl_buf_release(&out);
    rig_close(&r);
}

static void damage(struct rig *r, const struct sl_digest *d)
{
    char *path = stored_path(r, d);
    SL_CHECK(chmod(path, 0644) == 0);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    SL_CHECK(fd >= 0 && pwrite(fd, "!", 1, 0) == 1);
    (void)close(fd);
    free(path);
}

SL_TEST(core_blob, damaged_content__every_reader__says_so_and_leaves_nothing)
{
    struct rig r = rig_open();
    struct sl_digest d;
    struct sl_digest large;
    struct sl_buf out = SL_BUF_INIT(1);
    size_t len = (2U << 20) + 1;
    char *bytes = noise(len);
    SL_CHECK_OK(sl_blob_put_bytes(r.store, "abc", 3, &d, &r.err), r.err);
    SL_CHECK_OK(sl_blob_put_bytes(r.store, bytes, len, &large, &r.err), r.err);
    damage(&r, &d);
    damage(&r, &large);
    SL_CHECK_ERR(sl_blob_read_all(r.store, &d, 100, &out, &r.err), SL_ECORRUPT, r.err, SHA_ABC);
    SL_CHECK_EQ_UINT(out.len, 0);
    SL_CHECK_ERR(sl_blob_verify(r.store, &d, &r.err), SL_ECORRUPT, r.err, "damaged");
    SL_CHECK_ERR(sl_blob_materialise(r.store, &d, r.fd, "copy", 0644, &r.err), SL_ECORRUPT, r.err,
                 "damaged");
    SL_CHECK_ERR(sl_blob_materialise(r.store, &large, r.fd, "copy", 0644, &r.err), SL_ECORRUPT,
                 r.err, "damaged");
    SL_CHECK(faccessat(r.fd, "copy", F_OK, 0) != 0);
    sl_buf_release(&out);
    free(bytes);
    rig_close(&r);
}

SL_TEST(core_blob, materialise__copy_altered__store_unharmed)
{
    struct rig r = rig_open();
    struct sl_digest d;
    struct stat copy;
    struct stat stored;
    SL_CHECK_OK(sl_blob_put_bytes(r.store, "abc", 3, &d, &r.err), r.err);
    SL_CHECK(mkdirat(r.fd, "sub", 0755) == 0);
    SL_CHECK_OK(sl_blob_materialise(r.store, &d, r.fd, "sub/copy", 0755, &r.err), r.err);
    char *path = stored_path(&r, &d);
    SL_CHECK(fstatat(r.fd, "sub/copy", &copy, 0) == 0 && stat(path, &stored) == 0);
    SL_CHECK(copy.st_ino != stored.st_ino);
    SL_CHECK_EQ_UINT(copy.st_nlink, 1);
    SL_CHECK_EQ_UINT(stored.st_nlink, 1);
    SL_CHECK_EQ_INT(copy.st_mode & 07777, 0755);
    int fd = openat(r.fd, "sub/copy", O_WRONLY | O_CLOEXEC);
    SL_CHECK(pwrite(fd, "XYZ", 3, 0) == 3);
    (void)close(fd);
    SL_CHECK_OK(sl_blob_verify(r.store, &d, &r.err), r.err);
    SL_CHECK_ERR(sl_blob_materialise(r.store, &d, r.fd, "sub/copy", 0644, &r.err), SL_EEXISTS,
                 r.err, "");
    free(path);
    rig_close(&r);
}

SL_TEST(core_blob, materialise__through_symlink_or_dotdot__refused)
{
    struct rig r = rig_open();
    struct sl_digest d;
    SL_CHECK_OK(sl_blob_put_bytes(r.store, "abc", 3, &d, &r.err), r.err);
    SL_CHECK(mkdirat(r.fd, "out", 0755) == 0 && symlinkat("/tmp", r.fd, "out/link") == 0);
    int out = openat(r.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK(sl_blob_materialise(r.store, &d, out, "link/sl-escape", 0644, &r.err) < 0);
    SL_CHECK(sl_blob_materialise(r.store, &d, out, "../sl-escape", 0644, &r.err) < 0);
    SL_CHECK(sl_blob_materialise(r.store, &d, out, "link", 0644, &r.err) < 0);
    SL_CHECK(!sl_test_exists("/tmp/sl-escape"));
    (void)close(out);
    rig_close(&r);
}

SL_TEST(core_blob, open__missing_content__names_the_digest)
{
    struct rig r = rig_open();
    struct sl_digest d;
    SL_CHECK(sl_digest_parse(SHA_ABC, &d));
    SL_CHECK_ERR(sl_blob_open(r.store, &d, NULL, &r.err), SL_ENOTFOUND, r.err,
                 "content sha256:" SHA_ABC " is not stored");
    rig_close(&r);
}

SL_TEST(core_blob, store_open__dead_and_live_sessions__clears_only_the_dead)
{
    struct rig r = rig_open();
    struct sl_blob_session *live = NULL;
    struct sl_blob_added added;
    SL_CHECK_OK(sl_blob_session_begin(r.store, &live, &r.err), r.err);
    SL_CHECK_OK(sl_blob_session_add_bytes(live, "abc", 3, &added, &r.err), r.err);
    put_file(&r, "blobs/stage/0123456789abcdef0123456789abcdef/0", "junk", 4);
    SL_CHECK_EQ_INT(count_entries(&r, "blobs/stage"), 2);
    struct sl_blob_store *second = NULL;
    SL_CHECK_OK(sl_blob_store_open(r.fd, "blobs", &second, &r.err), r.err);
    SL_CHECK_EQ_INT(count_entries(&r, "blobs/stage"), 1);
    SL_CHECK_OK(sl_blob_session_commit(live, &r.err), r.err);
    sl_blob_session_free(live);
    SL_CHECK(sl_blob_has(second, &added.digest));
    SL_CHECK_EQ_INT(count_entries(&r, "blobs/stage"), 0);
    sl_blob_store_close(second);
    rig_close(&r);
}
