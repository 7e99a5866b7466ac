/** Manifests: canonical text against an independent writer, refusals, differences. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "registry/object/manifest.h"
#include "registry/object/name.h"
#include "registry/object/pointer.h"
#include "tests/support/sl_test.h"

/* Written by Python's json (sorted keys, no blanks), digest by hashlib. */
static const char golden[] =
    "{\"entries\":[{\"mode\":\"644\",\"path\":\"a.txt\",\"sha256\":"
    "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":3,\"type\":"
    "\"file\"},{\"mode\":\"755\",\"path\":\"dir/run.sh\",\"sha256\":"
    "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":0,\"type\":"
    "\"file\"},{\"mode\":\"755\",\"path\":\"empty\",\"type\":\"dir\"},{\"mode\":\"777\",\"path\":"
    "\"link \\\"q\\\" é\\\\\",\"sha256\":"
    "\"1479c4c60ec02fdba7d0872de203c6d589160b4f7bb5e8ea7db390bdd4178cc6\",\"size\":10,"
    "\"target\":\"dir/run.sh\",\"type\":\"symlink\"}],\"format\":\"sluice-manifest/1\"}";
#define GOLDEN_DIGEST "adeab18a5cef041f1972d879200e3bba37bbf0c10e7889cf5bff4f7ab9dca454"
#define EMPTY_DIGEST  "6413ec0c145ae92f4c385e5044f33a62add254664b6467dcb1f94381c3fd869a"

static void fill(struct sl_manifest *m)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_digest abc;
    struct sl_digest empty;
    sl_sha256("abc", 3, &abc);
    sl_sha256("", 0, &empty);
    sl_manifest_init(m);
    SL_CHECK_OK(sl_manifest_add_symlink(m, "link \"q\" é\\", "dir/run.sh", &err), err);
    SL_CHECK_OK(sl_manifest_add_dir(m, "empty", &err), err);
    SL_CHECK_OK(sl_manifest_add_file(m, "dir/run.sh", 0711, 0, &empty, &err), err);
    SL_CHECK_OK(sl_manifest_add_file(m, "a.txt", 0600, 3, &abc, &err), err);
}

SL_TEST(registry_object_manifest, encode__any_order__canonical_text_and_digest)
{
    struct sl_err err = SL_ERR_INIT;
    char hex[SL_DIGEST_HEX + 1];
    struct sl_manifest m;
    fill(&m);
    SL_CHECK_OK(sl_manifest_seal(&m, &err), err);
    struct sl_buf out = SL_BUF_INIT(1 << 20);
    SL_CHECK_OK(sl_manifest_encode(&m, &out, &err), err);
    SL_CHECK_EQ_STR(sl_buf_str(&out), golden);
    SL_CHECK_EQ_STR(sl_digest_hex(&m.digest, hex), GOLDEN_DIGEST);
    SL_CHECK_EQ_UINT(m.n_files, 2);
    SL_CHECK_EQ_UINT(m.total_bytes, 3);
    sl_buf_release(&out);
    sl_manifest_release(&m);
    sl_manifest_init(&m);
    SL_CHECK_OK(sl_manifest_seal(&m, &err), err);
    SL_CHECK_EQ_STR(sl_digest_hex(&m.digest, hex), EMPTY_DIGEST);
    sl_manifest_release(&m);
}

SL_TEST(registry_object_manifest, decode__golden__same_entries)
{
    struct sl_err err = SL_ERR_INIT;
    char hex[SL_DIGEST_HEX + 1];
    struct sl_manifest m;
    sl_manifest_init(&m);
    SL_CHECK_OK(sl_manifest_decode(golden, strlen(golden), &m, &err), err);
    SL_CHECK_EQ_STR(sl_digest_hex(&m.digest, hex), GOLDEN_DIGEST);
    const struct sl_manifest_entry *e = sl_manifest_find(&m, "dir/run.sh");
    SL_CHECK(e != NULL && e->mode == 0755 && e->type == SL_ENTRY_FILE);
    e = sl_manifest_find(&m, "link \"q\" é\\");
    SL_CHECK(e != NULL && e->type == SL_ENTRY_SYMLINK);
    SL_CHECK_EQ_STR(e->target, "dir/run.sh");
    SL_CHECK_NULL(sl_manifest_find(&m, "dir"));
    sl_manifest_release(&m);
}

#define FILE_ENTRY(path)                                                                           \
    "{\"mode\":\"644\",\"path\":\"" path                                                           \
    "\",\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":" \
    "3,\"type\":\"file\"}"
#define WRAP(entries) "{\"entries\":[" entries "],\"format\":\"sluice-manifest/1\"}"

SL_TEST(registry_object_manifest, decode__other_spellings_and_bad_paths__refused)
{
    static const char *const bad[] = {
        "",
        "{}",
        WRAP("") " ",
        WRAP(FILE_ENTRY("a") ","),
        WRAP(FILE_ENTRY("b") "," FILE_ENTRY("a")),
        WRAP(FILE_ENTRY("a") "," FILE_ENTRY("a")),
        WRAP(FILE_ENTRY("a") "," FILE_ENTRY("a/b")),
        WRAP(FILE_ENTRY("a") "," FILE_ENTRY("a!") "," FILE_ENTRY("a/b")),
        WRAP(FILE_ENTRY("../a")),
        WRAP(FILE_ENTRY("/a")),
        WRAP(FILE_ENTRY(".git/config")),
        WRAP(FILE_ENTRY("\\u0061")),
        WRAP(FILE_ENTRY("a\\u0000")),
        WRAP(FILE_ENTRY("\xff")),
        "{\"entries\":[],\"format\":\"sluice-manifest/2\"}",
        "{ \"entries\":[],\"format\":\"sluice-manifest/1\"}",
        WRAP("{\"mode\":\"600\",\"path\":\"a\",\"sha256\":\"\",\"size\":3,\"type\":\"file\"}"),
        WRAP("{\"mode\":\"755\",\"path\":\"a\",\"type\":\"file\"}"),
        WRAP("{\"mode\":\"644\",\"path\":\"a\",\"sha256\":"
             "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":03,"
             "\"type\":\"file\"}"),
        WRAP("{\"mode\":\"644\",\"path\":\"a\",\"sha256\":"
             "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":"
             "18446744073709551616,\"type\":\"file\"}"),
        /* a target's digest and size are facts, not free fields */
        WRAP("{\"mode\":\"777\",\"path\":\"l\",\"sha256\":"
             "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":1,"
             "\"target\":\"x\",\"type\":\"symlink\"}"),
    };
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_manifest m;
        sl_manifest_init(&m);
        SL_CHECK_MSG(sl_manifest_decode(bad[i], strlen(bad[i]), &m, &err) == -SL_ECORRUPT,
                     "%zu: %s", i, bad[i]);
        sl_manifest_release(&m);
    }
    /* Every prefix of a good one. */
    for (size_t len = 0; len < strlen(golden); len++) {
        struct sl_manifest m;
        sl_manifest_init(&m);
        SL_CHECK(sl_manifest_decode(golden, len, &m, NULL) == -SL_ECORRUPT);
        sl_manifest_release(&m);
    }
}

SL_TEST(registry_object_manifest, seal__collisions__refused)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_digest d;
    struct sl_manifest m;
    sl_sha256("", 0, &d);
    sl_manifest_init(&m);
    SL_CHECK_OK(sl_manifest_add_file(&m, "d/x", 0, 0, &d, &err), err);
    SL_CHECK_OK(sl_manifest_add_dir(&m, "d", &err), err);
    SL_CHECK_ERR(sl_manifest_seal(&m, &err), SL_EINVAL, err,
                 "'d/x' lies below 'd', which is recorded as an empty directory");
    sl_manifest_release(&m);
    sl_manifest_init(&m);
    SL_CHECK_OK(sl_manifest_add_file(&m, "a", 0, 0, &d, &err), err);
    SL_CHECK_OK(sl_manifest_add_file(&m, "a", 0, 0, &d, &err), err);
    SL_CHECK_ERR(sl_manifest_seal(&m, &err), SL_EINVAL, err, "path 'a' occurs twice");
    sl_manifest_release(&m);
}

SL_TEST(registry_object_manifest, check_case__ascii_and_beyond__refused)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_digest d;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {{"README", "readme", true},
                 {"x/É", "x/é", true},
                 {"a", "b", false},
                 {"straße", "strasse", false}};
    sl_sha256("", 0, &d);
    for (size_t i = 0; i < SL_LEN(cases); i++) {
        struct sl_manifest m;
        sl_manifest_init(&m);
        SL_CHECK_OK(sl_manifest_add_file(&m, cases[i].a, 0, 0, &d, &err), err);
        SL_CHECK_OK(sl_manifest_add_file(&m, cases[i].b, 0, 0, &d, &err), err);
        SL_CHECK_OK(sl_manifest_seal(&m, &err), err);
        int rc = sl_manifest_check_case(&m, &err);
        SL_CHECK_MSG(rc == (cases[i].same ? -SL_EINVAL : 0), "%s %s", cases[i].a, cases[i].b);
        sl_manifest_release(&m);
    }
    SL_CHECK_CONTAINS(err.msg, "differ only in letter case");
}

static int note(const struct sl_manifest_entry *from, const struct sl_manifest_entry *to,
                void *data, struct sl_err *err)
{
    (void)err;
    struct sl_buf *out = data;
    sl_buf_printf(out, "%c%s ",
                  from == NULL ? '+'
                  : to == NULL ? '-'
                               : '~',
                  (from != NULL ? from : to)->path);
    return 0;
}

SL_TEST(registry_object_manifest, diff__added_removed_changed_mode__in_order)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_digest x;
    struct sl_digest y;
    struct sl_manifest a;
    struct sl_manifest b;
    sl_sha256("x", 1, &x);
    sl_sha256("y", 1, &y);
    sl_manifest_init(&a);
    sl_manifest_init(&b);
    SL_CHECK_OK(sl_manifest_add_file(&a, "same", 0644, 1, &x, &err), err);
    SL_CHECK_OK(sl_manifest_add_file(&b, "same", 0644, 1, &x, &err), err);
    SL_CHECK_OK(sl_manifest_add_file(&a, "gone", 0644, 1, &x, &err), err);
    SL_CHECK_OK(sl_manifest_add_file(&b, "come", 0644, 1, &x, &err), err);
    SL_CHECK_OK(sl_manifest_add_file(&a, "bytes", 0644, 1, &x, &err), err);
    SL_CHECK_OK(sl_manifest_add_file(&b, "bytes", 0644, 1, &y, &err), err);
    SL_CHECK_OK(sl_manifest_add_file(&a, "mode", 0644, 1, &x, &err), err);
    SL_CHECK_OK(sl_manifest_add_file(&b, "mode", 0755, 1, &x, &err), err);
    SL_CHECK_OK(sl_manifest_seal(&a, &err), err);
    SL_CHECK_OK(sl_manifest_seal(&b, &err), err);
    struct sl_buf out = SL_BUF_INIT(1000);
    SL_CHECK_OK(sl_manifest_diff(&a, &b, note, &out, &err), err);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "~bytes +come -gone ~mode ");
    sl_buf_release(&out);
    sl_manifest_release(&a);
    sl_manifest_release(&b);
}

SL_TEST(registry_object_pointer, format_parse__as_git_lfs_writes__exact)
{
    /* Output of git-lfs 3.3.0: git lfs pointer --file on "hello\n". */
    static const char expected[] =
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\nsize 6\n";
    struct sl_err err = SL_ERR_INIT;
    char out[SL_POINTER_MAX];
    struct sl_digest d;
    struct sl_digest back;
    uint64_t size = 0;
    sl_sha256("hello\n", 6, &d);
    size_t len = sl_pointer_format(&d, 6, out);
    SL_CHECK_EQ_STR(out, expected);
    SL_CHECK_EQ_UINT(len, strlen(expected));
    SL_CHECK_OK(sl_pointer_parse(out, len, &back, &size, &err), err);
    SL_CHECK(sl_digest_eq(&back, &d));
    SL_CHECK_EQ_UINT(size, 6);
    SL_CHECK_ERR(sl_pointer_parse(out, len - 1, &back, &size, &err), SL_EINVAL, err, "canonical");
    out[len - 2] = '0';
    out[len - 3] = '0';
    SL_CHECK_ERR(sl_pointer_parse(out, len, &back, &size, &err), SL_EINVAL, err, "pointer");
    SL_CHECK_ERR(sl_pointer_parse("hello", 5, &back, &size, &err), SL_EINVAL, err, "not a Git LFS");
}
