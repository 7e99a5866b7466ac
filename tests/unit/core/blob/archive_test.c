/* Streams, adopted files and archives. Archives are made by Python's tarfile and zipfile. */
#include "core/base/base.h"

#include "core/blob/archive.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/blob/stream.h"
#include "tests/support/sl_test.h"

struct rig {
    char *dir;
    int fd;
    struct sl_blob_store *store;
    struct sl_blob_session *session;
};

static void rig_open(struct rig *r)
{
    struct sl_err err = SL_ERR_INIT;
    r->dir = sl_test_tmpdir();
    r->fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK_OK(sl_blob_store_open(r->fd, "blobs", &r->store, &err), err);
    SL_CHECK_OK(sl_blob_session_begin(r->store, &r->session, &err), err);
}

static void rig_close(struct rig *r)
{
    sl_blob_session_free(r->session);
    sl_blob_store_close(r->store);
    close(r->fd);
    sl_test_rmdir(r->dir);
}

SL_TEST(core_blob_stream, pieces__around_one_chunk__equal_content)
{
    static const size_t sizes[] = {0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20};
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    rig_open(&r);
    char *bytes = sl_malloc(3 << 20);
    struct sl_blob_added added[SL_LEN(sizes)];
    for (size_t i = 0; i < (size_t)3 << 20; i++) {
        bytes[i] = (char)(i * 31 + i / 4096);
    }
    for (size_t k = 0; k < SL_LEN(sizes); k++) {
        struct sl_blob_stream *s = NULL;
        struct sl_digest expected;
        SL_CHECK_OK(sl_blob_stream_open(r.session, &s, &err), err);
        for (size_t at = 0; at < sizes[k];) {
            size_t n = SL_MIN((size_t)77777, sizes[k] - at);
            SL_CHECK_OK(sl_blob_stream_write(s, bytes + at, n, &err), err);
            at += n;
        }
        SL_CHECK_OK(sl_blob_stream_close(s, &added[k], &err), err);
        sl_sha256(bytes, sizes[k], &expected);
        SL_CHECK(sl_digest_eq(&expected, &added[k].digest));
        SL_CHECK_EQ_INT((int64_t)added[k].size_bytes, (int64_t)sizes[k]);
    }
    SL_CHECK_OK(sl_blob_session_commit(r.session, &err), err);
    for (size_t k = 0; k < SL_LEN(sizes); k++) {
        SL_CHECK_OK(sl_blob_verify(r.store, &added[k].digest, &err), err);
    }
    free(bytes);
    rig_close(&r);
}

SL_TEST(core_blob_stream, aborted__leaves_nothing)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    struct sl_blob_stream *s = NULL;
    rig_open(&r);
    char *bytes = sl_calloc(1, 3 << 20);
    SL_CHECK_OK(sl_blob_stream_open(r.session, &s, &err), err);
    SL_CHECK_OK(sl_blob_stream_write(s, bytes, 3 << 20, &err), err);
    sl_blob_stream_abort(s);
    SL_CHECK_OK(sl_blob_session_commit(r.session, &err), err);
    free(bytes);
    rig_close(&r);
}

SL_TEST(core_blob_stream, adopted_file__is_content_and_gone)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    struct sl_digest d;
    struct sl_blob_added added;
    rig_open(&r);
    char *path = sl_test_path(r.dir, "part");
    sl_test_write_text(path, "hello");
    sl_sha256("hello", 5, &d);
    SL_CHECK_OK(sl_blob_session_adopt(r.session, r.fd, "part", &d, &added, &err), err);
    SL_CHECK(!sl_test_exists(path));
    SL_CHECK_OK(sl_blob_session_commit(r.session, &err), err);
    SL_CHECK_OK(sl_blob_verify(r.store, &d, &err), err);
    SL_CHECK_ERR(sl_blob_session_adopt(r.session, r.fd, "none", &d, &added, &err), SL_EIO, err,
                 "cannot take over 'none'");
    free(path);
    rig_close(&r);
}

/* ---- archives -------------------------------------------------------------------------------------- */

static const char hello_hex[] = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

static int check_any(const struct sl_archive_entry *e, void *data, struct sl_err *err)
{
    (void)data;
    return strstr(e->path, "..") != NULL ? sl_err_set(err, SL_EINVAL, "%s: refused", e->path) : 0;
}

static int list(const struct sl_archive_entry *e, void *data, struct sl_err *err)
{
    static const char types[] = "fdlh";
    char hex[SL_DIGEST_HEX + 1] = "";
    (void)err;
    sl_buf_printf(data, "%c %o %s", types[e->type], e->mode, e->path);
    if (e->type == SL_ARCHIVE_FILE) {
        sl_digest_hex(&e->added.digest, hex);
        sl_buf_printf(data, " %s", sl_streq(hex, hello_hex) ? "hello" : "other");
    } else if (e->target != NULL) {
        sl_buf_printf(data, " -> %s", e->target);
    }
    sl_buf_putc(data, '\n');
    return 0;
}

static const char tar_script[] = "import io,sys,tarfile\n"
                                 "t=tarfile.open(sys.argv[1],sys.argv[2])\n"
                                 "def add(name,data=b'hello',**k):\n"
                                 "    i=tarfile.TarInfo(name); i.size=len(data)\n"
                                 "    for a,v in k.items(): setattr(i,a,v)\n"
                                 "    t.addfile(i,io.BytesIO(data))\n"
                                 "exec(sys.argv[3]); t.close()\n";

/* Makes DIR/name with the statements given; opens it. */
static int make(const struct rig *r, const char *name, const char *mode, const char *statements)
{
    char *script = sl_test_path(r->dir, "make.py");
    char *path = sl_test_path(r->dir, name);
    sl_test_write_text(script, tar_script);
    char *command = sl_asprintf("/usr/bin/python3 %s %s %s \"%s\"", script, path, mode, statements);
    FILE *p = popen(command, "r");
    SL_CHECK(p != NULL && pclose(p) == 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    SL_CHECK(fd >= 0);
    free(command);
    free(path);
    free(script);
    return fd;
}

static int read_archive(struct rig *r, int fd, const struct sl_archive_limits *limits,
                        struct sl_buf *out, struct sl_err *err)
{
    struct sl_archive_ops ops = {check_any, list, out};
    int rc = sl_archive_ingest(r->session, fd, limits, &ops, err);
    close(fd);
    return rc;
}

SL_TEST(core_blob_archive, tar__each_compression__same_entries)
{
    static const char *const modes[] = {"w", "w:gz", "w:bz2", "w:xz"};
    for (size_t i = 0; i < SL_LEN(modes); i++) {
        struct rig r;
        struct sl_err err = SL_ERR_INIT;
        struct sl_buf out = SL_BUF_INIT(65536);
        rig_open(&r);
        int fd = make(&r, "a.tar", modes[i],
                      "add('./d/', b'', type=tarfile.DIRTYPE, mode=0o755);"
                      "add('./d/\xc3\xa4.txt', mode=0o755); add('b', b'other', mode=0o600);"
                      "add('l', b'', type=tarfile.SYMTYPE, linkname='b');"
                      "add('h', b'', type=tarfile.LNKTYPE, linkname='./b')");
        SL_CHECK_OK(read_archive(&r, fd, NULL, &out, &err), err);
        SL_CHECK_EQ_STR(sl_buf_str(&out), "d 755 d\nf 755 d/\xc3\xa4.txt hello\nf 600 b other\n"
                                          "l 644 l -> b\nh 644 h -> b\n");
        SL_CHECK_OK(sl_blob_session_commit(r.session, &err), err);
        sl_buf_release(&out);
        rig_close(&r);
    }
}

SL_TEST(core_blob_archive, hostile__refused_with_reason)
{
    static const struct {
        const char *statements, *needle;
        int code;
    } cases[] = {
        {"add('x', b'', type=tarfile.FIFOTYPE)", "x is a device, FIFO", SL_EINVAL},
        {"add('x', b'', type=tarfile.CHRTYPE)", "x is a device, FIFO", SL_EINVAL},
        {"add('../x')", "../x: refused", SL_EINVAL},
        {"pass", "archive is empty", SL_EINVAL},
    };
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct rig r;
        struct sl_err err = SL_ERR_INIT;
        struct sl_buf out = SL_BUF_INIT(65536);
        rig_open(&r);
        int fd = make(&r, "a.tar", "w", cases[i].statements);
        SL_CHECK_ERR(read_archive(&r, fd, NULL, &out, &err), cases[i].code, err, cases[i].needle);
        sl_buf_release(&out);
        rig_close(&r);
    }
}

SL_TEST(core_blob_archive, limits__at_and_one_past__told)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf out = SL_BUF_INIT(65536);
    struct sl_archive_limits two = {.entries = 2, .bytes = 10};
    rig_open(&r);
    SL_CHECK_OK(read_archive(&r, make(&r, "a.tar", "w", "add('a');add('b')"), &two, &out, &err),
                err);
    SL_CHECK_ERR(read_archive(&r, make(&r, "b.tar", "w", "add('a');add('b');add('c', b'')"), &two,
                              &out, &err),
                 SL_ELIMIT, err, "more than 2 entries");
    SL_CHECK_ERR(
        read_archive(&r, make(&r, "c.tar", "w", "add('a');add('b', b'123456')"), &two, &out, &err),
        SL_ELIMIT, err, "more than 10 bytes");
    sl_buf_release(&out);
    rig_close(&r);
}

SL_TEST(core_blob_archive, bomb__ratio__stopped)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf out = SL_BUF_INIT(65536);
    rig_open(&r);
    int fd = make(&r, "a.tgz", "w:gz", "add('zeros', bytes(80 << 20))");
    SL_CHECK_ERR(read_archive(&r, fd, NULL, &out, &err), SL_ELIMIT, err, "250 times its size");
    sl_buf_release(&out);
    rig_close(&r);
}

SL_TEST(core_blob_archive, damaged__refused)
{
    struct rig r;
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf out = SL_BUF_INIT(65536);
    rig_open(&r);
    char *path = sl_test_path(r.dir, "plain");
    sl_test_write_text(path, "id,value\n1,2\n");
    SL_CHECK_ERR(read_archive(&r, open(path, O_RDONLY | O_CLOEXEC), NULL, &out, &err), SL_EINVAL,
                 err, "no readable tar or zip archive");
    int fd = make(&r, "a.tgz", "w:gz", "add('a', bytes(range(256)) * 4096)");
    close(fd);
    char *cut = sl_test_path(r.dir, "a.tgz");
    SL_CHECK_EQ_INT(truncate(cut, 500), 0);
    SL_CHECK_ERR(read_archive(&r, open(cut, O_RDONLY | O_CLOEXEC), NULL, &out, &err), SL_EINVAL,
                 err, "no readable tar or zip archive");
    free(cut);
    free(path);
    sl_buf_release(&out);
    rig_close(&r);
}
