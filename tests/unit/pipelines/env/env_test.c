/* Environments: what their record depends on, when one counts as whole, listing and removing. */
#include "core/base/base.h"

#include "pipelines/env/env.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "pipelines/env/build.h"
#include "pipelines/env/env_priv.h"
#include "tests/support/sl_test.h"

#define A "0000000000000000000000000000000000000000000000000000000000000000"
#define B "1111111111111111111111111111111111111111111111111111111111111111"

static json_t *record_of(const char *text, const char *version, struct sl_digest *ret)
{
    struct sl_arena a;
    struct sl_diags diags;
    struct sl_lock lock;
    sl_arena_init(&a, 0);
    sl_diags_init(&diags, &a);
    SL_CHECK_EQ_INT(sl_lock_read("x.lock", sl_str_c(text), &a, &diags, &lock), 0);
    json_auto_t *interp = json_pack("{s:s, s:s}", "version", version, "sha256", B);
    json_t *record = sl_env_record(&lock, interp, ret);
    sl_diags_release(&diags);
    sl_arena_release(&a);
    return record;
}

static bool same(const char *x, const char *x_version, const char *y, const char *y_version)
{
    struct sl_digest dx;
    struct sl_digest dy;
    json_decref(record_of(x, x_version, &dx));
    json_decref(record_of(y, y_version, &dy));
    return sl_digest_eq(&dx, &dy);
}

SL_TEST(env_env, record__names_content__not_layout_or_index)
{
    const char *plain = "a==1 --hash=sha256:" A "\nb==2 --hash=sha256:" B "\n";
    SL_CHECK(same(plain, "3.11.2",
                  "--index-url https://me:secret@example.org/\n# c\nB==2 \\\n --hash=sha256:" B
                  "\na==1 --hash=sha256:" A "\n",
                  "3.11.2"));
    SL_CHECK(!same(plain, "3.11.2", plain, "3.11.3"));
    SL_CHECK(
        !same(plain, "3.11.2", "a==1 --hash=sha256:" A "\nb==3 --hash=sha256:" B "\n", "3.11.2"));
    SL_CHECK(
        !same(plain, "3.11.2", "a==1 --hash=sha256:" A "\nb==2 --hash=sha256:" A "\n", "3.11.2"));
    SL_CHECK(!same(plain, "3.11.2",
                   "--no-binary b\na==1 --hash=sha256:" A "\nb==2 --hash=sha256:" B "\n",
                   "3.11.2"));
}

SL_TEST(env_env, record__one_package_for_two_markers__keeps_both)
{
    struct sl_digest d;
    json_auto_t *record = record_of("a==1 ; python_version < '3.12' --hash=sha256:" A
                                    "\na==2 ; python_version >= '3.12' --hash=sha256:" B "\n",
                                    "3.11", &d);
    SL_CHECK_EQ_STR(sl_json_str(json_object_get(record, "packages"), "a", ""),
                    "1 ; python_version < '3.12' | 2 ; python_version >= '3.12'");
}

/* ---- on disk ------------------------------------------------------------------------------------- */

struct place {
    char *data;
    struct sl_digest digest;
    char *dir;
};

static void put_marker(const struct place *p, const char *path, int format)
{
    char hex[SL_DIGEST_HEX + 1];
    json_auto_t *marker =
        json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:{s:s}}", "format", format, "digest",
                  sl_digest_hex(&p->digest, hex), "path", path, "bytes", (json_int_t)7, "files",
                  (json_int_t)2, "built_ms", (json_int_t)1000, "record", "kind", "venv");
    char *text = sl_json_canonical(marker);
    char *file = sl_test_path(p->dir, SL_ENV_MARKER);
    sl_test_write_text(file, text);
    free(file);
    free(text);
}

static void setup(struct place *p)
{
    p->data = sl_test_tmpdir();
    sl_sha256("x", 1, &p->digest);
    p->dir = sl_env_path(p->data, &p->digest);
    char *python = sl_test_path(p->dir, "bin/python");
    sl_test_write_text(python, "#!/bin/sh\n");
    SL_CHECK_EQ_INT(chmod(python, 0755), 0);
    free(python);
}

static void teardown(struct place *p)
{
    free(p->dir);
    sl_test_rmdir(p->data);
}

SL_TEST(env_env, ready__only_with_its_marker_at_its_place)
{
    struct place p;
    struct sl_digest other;
    setup(&p);
    SL_CHECK(!sl_env_ready(p.data, &p.digest));
    put_marker(&p, p.dir, SL_ENV_FORMAT);
    SL_CHECK(sl_env_ready(p.data, &p.digest));
    other = p.digest;
    other.b[31] ^= 1; /* the same directory, another environment */
    SL_CHECK(!sl_env_ready(p.data, &other));
    put_marker(&p, "/elsewhere", SL_ENV_FORMAT); /* the data directory was moved */
    SL_CHECK(!sl_env_ready(p.data, &p.digest));
    put_marker(&p, p.dir, SL_ENV_FORMAT + 1);
    SL_CHECK(!sl_env_ready(p.data, &p.digest));
    put_marker(&p, p.dir, SL_ENV_FORMAT);
    char *python = sl_test_path(p.dir, "bin/python"); /* its interpreter went away */
    SL_CHECK_EQ_INT(remove(python), 0);
    SL_CHECK(!sl_env_ready(p.data, &p.digest));
    free(python);
    teardown(&p);
}

static int count(const struct sl_env_info *info, void *data, struct sl_err *err)
{
    int *n = data;
    (void)err;
    n[0]++;
    n[1] += info->ready;
    if (info->ready) {
        SL_CHECK_EQ_INT(info->bytes, 7);
        SL_CHECK_EQ_INT(info->built_ms, 1000);
        SL_CHECK_EQ_STR(sl_json_str(info->record, "kind", ""), "venv");
        SL_CHECK(info->used_ms > 0);
    }
    return 0;
}

SL_TEST(env_env, each__lists_whole_and_half_made_ones__remove_takes_one)
{
    struct place p;
    struct sl_err err = SL_ERR_INIT;
    int n[2] = {0, 0};
    char id[SL_ENV_ID_HEX + 1];
    setup(&p);
    put_marker(&p, p.dir, SL_ENV_FORMAT);
    char *half = sl_asprintf("%s/" SL_ENV_DIR "/%s/x", p.data, "0123456789abcdef0123456789abcdef");
    char *memory = sl_asprintf("%s/" SL_ENV_DIR "/interpreters/x.json", p.data);
    sl_test_write_text(half, "x");
    sl_test_write_text(memory, "{}");
    SL_CHECK_OK(sl_env_each(p.data, count, n, &err), err);
    SL_CHECK_EQ_INT(n[0], 2);
    SL_CHECK_EQ_INT(n[1], 1);
    sl_env_id(&p.digest, id);
    int lock = sl_env_lock(p.data, id, false, &err);
    SL_CHECK_OK(lock, err);
    SL_CHECK_ERR(sl_env_remove(p.data, id, &err), SL_EBUSY, err, "is being built");
    sl_cleanup_close(&lock);
    SL_CHECK_EQ_INT(chmod(p.dir, 0555), 0); /* as a builder leaves it */
    SL_CHECK_OK(sl_env_remove(p.data, id, &err), err);
    SL_CHECK(!sl_test_exists(p.dir));
    SL_CHECK_ERR(sl_env_remove(p.data, "../../etc", &err), SL_EINVAL, err, "no environment's id");
    free(half);
    free(memory);
    teardown(&p);
}

SL_TEST(env_env, each__without_a_directory__lists_nothing)
{
    struct sl_err err = SL_ERR_INIT;
    int n[2] = {0, 0};
    char *data = sl_test_tmpdir();
    SL_CHECK_OK(sl_env_each(data, count, n, &err), err);
    SL_CHECK_EQ_INT(n[0], 0);
    sl_test_rmdir(data);
}

/* ---- interpreters and building -------------------------------------------------------------------- */

SL_TEST(env_interp, find__this_machines_python__says_what_it_is_and_is_remembered)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_arena a;
    struct sl_interp first;
    struct sl_interp again;
    char *data = sl_test_tmpdir();
    sl_arena_init(&a, 0);
    SL_CHECK_OK(sl_interp_find("python3", data, &a, &first, &err), err);
    SL_CHECK_OK(sl_interp_find("/usr/bin/python3", data, &a, &again, &err), err);
    SL_CHECK_EQ_STR(sl_json_str(first.facts, "implementation", ""), "cpython");
    SL_CHECK(sl_starts_with(sl_json_str(first.facts, "version", ""), "3."));
    SL_CHECK_EQ_INT(strlen(sl_json_str(first.facts, "sha256", "")), SL_DIGEST_HEX);
    SL_CHECK(first.path[0] == '/');
    char *text = sl_json_canonical(first.facts);
    SL_CHECK_NULL(strstr(text, "/usr")); /* no path in what names it */
    free(text);
    json_decref(first.facts);
    json_decref(again.facts);
    SL_CHECK_ERR(sl_interp_find("python9.99", data, &a, &first, &err), SL_ENOTFOUND, err,
                 "python9.99");
    SL_CHECK_ERR(sl_interp_find("bin/python", data, &a, &first, &err), SL_EINVAL, err,
                 "absolute path");
    SL_CHECK_ERR(sl_interp_find("/bin/false", data, &a, &first, &err), SL_EFAILED, err,
                 "exit code 1");
    SL_CHECK_ERR(sl_interp_find("/bin/true", data, &a, &first, &err), SL_EINVAL, err, "no Python");
    sl_arena_release(&a);
    sl_test_rmdir(data);
}

SL_TEST(env_build, build__program_fails__leaves_no_marker)
{
    struct sl_err err = SL_ERR_INIT;
    char *data = sl_test_tmpdir();
    char *record = sl_test_path(data, "runtime.json");
    char *out = sl_test_path(data, "out");
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    sl_test_write_text(record, "{\"kind\":\"venv\",\"packages\":{\"a\":\"1\"}}");
    const struct sl_env_build b = {.data = data,
                                   .record = record,
                                   .lock = "nothing.lock",
                                   .python = "/bin/false",
                                   .wheels_out = out,
                                   .env = env};
    struct sl_digest d;
    const char *text = "{\"kind\":\"venv\",\"packages\":{\"a\":\"1\"}}";
    sl_sha256(text, strlen(text), &d);
    SL_CHECK_ERR(sl_env_build(&b, &err), SL_EFAILED, err, "python -m venv: exit code 1");
    SL_CHECK(!sl_env_ready(data, &d));
    free(record);
    free(out);
    sl_test_rmdir(data);
}

SL_TEST(env_build, build__wheel_that_the_record_does_not_name__is_refused)
{
    struct sl_err err = SL_ERR_INIT;
    char *data = sl_test_tmpdir();
    char *record = sl_test_path(data, "runtime.json");
    char *out = sl_test_path(data, "out");
    char *in = sl_test_path(data, "in");
    char *named = sl_test_path(data, "in/Zope.Interface-1-py3-none-any.whl");
    char *other = sl_test_path(data, "in/evil-1-py3-none-any.whl");
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    SL_CHECK(mkdir(in, 0700) == 0);
    sl_test_write_text(record, "{\"kind\":\"venv\",\"packages\":{\"zope-interface\":\"1\"}}");
    sl_test_write_text(named, "x");
    sl_test_write_text(other, "x");
    const struct sl_env_build b = {.data = data,
                                   .record = record,
                                   .lock = "nothing.lock",
                                   .python = "/bin/true",
                                   .wheels_in = in,
                                   .wheels_out = out,
                                   .env = env};
    SL_CHECK_ERR(sl_env_build(&b, &err), SL_EREFUSED, err,
                 "evil-1-py3-none-any.whl: the lock does not name it");
    free(record);
    free(out);
    free(in);
    free(named);
    free(other);
    sl_test_rmdir(data);
}
