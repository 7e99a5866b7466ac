/**
 * Secrets: versions and what of them stays readable, the key file, rotation across crashes, boxes, and that
 * rows cannot stand in for each other.
 */
#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/secret/secret_priv.h"

#include "core/base/mem.h"
#include "tests/support/sl_test_db.h"

#define CANARY "canary-7f3a-\xc3\xb6-value"

struct fixture {
    struct sl_test_db t;
    int dirfd;
    struct sl_secret_key *key;
};

static void set_up(struct fixture *f)
{
    static const struct sl_schema *const schemas[] = {&sl_audit_schema, &sl_secret_schema};
    *f = (struct fixture){.dirfd = -1};
    sl_test_db_open(&f->t, schemas, 2);
    f->dirfd = open(f->t.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SL_CHECK(f->dirfd >= 0);
    SL_CHECK_OK(sl_secret_key_open(f->dirfd, f->t.db, true, &f->key, &f->t.err), f->t.err);
}

static void tear_down(struct fixture *f)
{
    sl_secret_key_close(f->key);
    close(f->dirfd);
    sl_test_db_close(&f->t);
}

static const struct sl_secret_by by = {
    .project = "default", .actor = {"p_1", "user", "local"}, .ts_ms = 1763632800000};

static struct sl_secret_value value_of(const char *text)
{
    struct sl_secret_value v = {0};
    sl_secret_value_alloc(&v, strlen(text));
    memcpy(v.bytes, text, v.len);
    return v;
}

struct change {
    struct fixture *f;
    struct sl_secret_new what;
    int64_t version;
    const struct sl_secret_receipt *receipt;
};

static int put_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct change *c = arg;
    return sl_secret_put(db, c->f->key, &by, &c->what, &c->version, err);
}

static int remove_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct change *c = arg;
    return sl_secret_remove(db, &by, c->what.name, err);
}

static int lease_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct change *c = arg;
    return sl_secret_lease_add(db, &by, c->receipt, err);
}

static int try_put(struct fixture *f, const char *name, const struct sl_secret_value *v,
                   enum sl_secret_mode mode)
{
    struct change c = {.f = f, .what = {name, v, mode}};
    int rc = sl_db_tx(f->t.db, put_tx, &c, &f->t.err);
    return rc < 0 ? rc : (int)c.version;
}

static int put(struct fixture *f, const char *name, const char *text, enum sl_secret_mode mode)
{
    _cleanup_(secret_value)
    struct sl_secret_value v = value_of(text);
    return try_put(f, name, &v, mode);
}

static int get(struct fixture *f, const char *name, int64_t version, struct sl_secret_value *ret)
{
    struct sl_secret_ref which = {"default", name, version};
    return sl_secret_get(f->t.db, f->key, &which, ret, &f->t.err);
}

static void check_value(struct fixture *f, const char *name, int64_t version, const char *text)
{
    _cleanup_(secret_value)
    struct sl_secret_value v = {0};
    SL_CHECK_OK(get(f, name, version, &v), f->t.err);
    SL_CHECK_EQ_UINT(v.len, strlen(text));
    SL_CHECK_EQ_STR((const char *)v.bytes, text);
}

/* ---- versions ------------------------------------------------------------------------------------- */

SL_TEST(core_secret, alloc__any_size__aligned_for_any_object)
{
    for (size_t size = 0; size < 40; size++) {
        void *memory = sl_secret_alloc(size);
        SL_CHECK_EQ_UINT((uintptr_t)memory % _Alignof(max_align_t), 0);
        sl_secret_free(memory);
    }
}

SL_TEST(core_secret_store, put__versions__current_and_previous_are_readable_older_are_erased)
{
    struct fixture f;
    struct sl_secret_value v = {0};
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "TOKEN", "one", SL_SECRET_SET), 1);
    SL_CHECK_EQ_INT(put(&f, "TOKEN", CANARY, SL_SECRET_ROTATE), 2);
    check_value(&f, "TOKEN", 0, CANARY);
    check_value(&f, "TOKEN", 1, "one");
    SL_CHECK_EQ_INT(put(&f, "TOKEN", "three", SL_SECRET_SET), 3);
    check_value(&f, "TOKEN", 0, "three");
    check_value(&f, "TOKEN", 2, CANARY);
    SL_CHECK_ERR(get(&f, "TOKEN", 1, &v), SL_ENOTFOUND, f.t.err, "version 1 is erased");
    int64_t n = -1;
    SL_CHECK_OK(sl_db_get_i64(f.t.db, &n, &f.t.err,
                              SL_SQL("SELECT count(*) FROM secret_version WHERE version = ? AND "
                                     "coalesce(text, wrapped, nonce, wrap_nonce) IS NOT NULL"),
                              "i", 1),
                f.t.err);
    SL_CHECK_EQ_INT(n, 0);
    tear_down(&f);
}

SL_TEST(core_secret_store, remove__all_versions_gone_and_numbers_not_given_again)
{
    struct fixture f;
    struct sl_secret_value v = {0};
    struct change c = {.f = &f, .what = {.name = "TOKEN"}};
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "TOKEN", "one", SL_SECRET_SET), 1);
    SL_CHECK_OK(sl_db_tx(f.t.db, remove_tx, &c, &f.t.err), f.t.err);
    SL_CHECK_ERR(get(&f, "TOKEN", 0, &v), SL_ENOTFOUND, f.t.err, "sluice secret set TOKEN");
    SL_CHECK_ERR(get(&f, "TOKEN", 1, &v), SL_ENOTFOUND, f.t.err, "");
    SL_CHECK_ERR(sl_db_tx(f.t.db, remove_tx, &c, &f.t.err), SL_ENOTFOUND, f.t.err, "TOKEN");
    SL_CHECK_ERR(put(&f, "TOKEN", "x", SL_SECRET_ROTATE), SL_ENOTFOUND, f.t.err, "TOKEN");
    SL_CHECK_EQ_INT(put(&f, "TOKEN", "two", SL_SECRET_SET), 2);
    check_value(&f, "TOKEN", 0, "two");
    tear_down(&f);
}

SL_TEST(core_secret_store, get__unknown__names_the_nearest)
{
    struct fixture f;
    struct sl_secret_value v = {0};
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "HUB_TOKEN", "one", SL_SECRET_SET), 1);
    SL_CHECK_ERR(get(&f, "HUB_TOKN", 0, &v), SL_ENOTFOUND, f.t.err, "did you mean 'HUB_TOKEN'?");
    SL_CHECK_ERR(sl_secret_exists(f.t.db, "other", "HUB_TOKEN", &f.t.err), SL_ENOTFOUND, f.t.err,
                 "there is no secret 'HUB_TOKEN'");
    tear_down(&f);
}

SL_TEST(core_secret_store, put__limits__at_them_and_one_past)
{
    struct fixture f;
    char name[SL_SECRET_NAME_MAX + 2];
    set_up(&f);
    struct sl_secret_value v = {0};
    sl_secret_value_alloc(&v, SL_SECRET_VALUE_MAX);
    memset(v.bytes, 0, v.len); /* any byte, NUL too */
    SL_CHECK_EQ_INT(try_put(&f, "large", &v, SL_SECRET_SET), 1);
    sl_secret_value_release(&v);
    SL_CHECK_OK(get(&f, "large", 0, &v), f.t.err);
    SL_CHECK_EQ_UINT(v.len, SL_SECRET_VALUE_MAX);
    sl_secret_value_release(&v);
    sl_secret_value_alloc(&v, SL_SECRET_VALUE_MAX + 1);
    SL_CHECK_ERR(try_put(&f, "larger", &v, SL_SECRET_SET), SL_ELIMIT, f.t.err, "1 to 65536 bytes");
    sl_secret_value_release(&v);
    SL_CHECK_ERR(put(&f, "empty", "", SL_SECRET_SET), SL_EINVAL, f.t.err, "1 to 65536 bytes");
    memset(name, 'a', sizeof(name) - 1);
    name[SL_SECRET_NAME_MAX] = '\0';
    SL_CHECK_EQ_INT(put(&f, name, "x", SL_SECRET_SET), 1);
    name[SL_SECRET_NAME_MAX] = 'a';
    name[SL_SECRET_NAME_MAX + 1] = '\0';
    SL_CHECK_ERR(put(&f, name, "x", SL_SECRET_SET), SL_EINVAL, f.t.err, "no name for a secret");
    tear_down(&f);
}

SL_TEST(core_secret_store, name_check__what_names_may_be)
{
    struct sl_err err = SL_ERR_INIT;
    const char *const good[] = {"a", "_x", "API_KEY", "hub.token-2"};
    const char *const bad[] = {"", "1a", "-a", "a b", "a/b", "a\n", "../x", "\xc3\xb6", "a="};
    for (size_t i = 0; i < SL_LEN(good); i++) {
        SL_CHECK_OK(sl_secret_name_check(good[i], &err), err);
    }
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        SL_CHECK_ERR(sl_secret_name_check(bad[i], &err), SL_EINVAL, err, "no name for a secret");
    }
}

SL_TEST(core_secret_store, list__names_versions_and_last_use__never_a_value)
{
    struct fixture f;
    json_auto_t *list = NULL;
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "b", CANARY, SL_SECRET_SET), 1);
    SL_CHECK_EQ_INT(put(&f, "a", CANARY "2", SL_SECRET_SET), 1);
    SL_CHECK_EQ_INT(put(&f, "b", CANARY "3", SL_SECRET_SET), 2);
    const struct sl_secret_lease leases[] = {{"b", 2}};
    const struct sl_secret_receipt receipt = {"run1", "attempt1", leases, 1};
    struct change c = {.f = &f, .receipt = &receipt};
    SL_CHECK_OK(sl_db_tx(f.t.db, lease_tx, &c, &f.t.err), f.t.err);
    SL_CHECK_OK(sl_secret_list(f.t.db, "default", &list, &f.t.err), f.t.err);
    SL_CHECK_EQ_UINT(json_array_size(list), 2);
    const json_t *a = json_array_get(list, 0);
    const json_t *b = json_array_get(list, 1);
    SL_CHECK_EQ_STR(sl_json_str(a, "name", ""), "a");
    SL_CHECK_EQ_INT(sl_json_i64(a, "used_ms", -1), -1);
    SL_CHECK_EQ_INT(sl_json_i64(b, "version", 0), 2);
    SL_CHECK_EQ_STR(sl_json_str(b, "by", ""), "p_1"); /* its name is not known */
    SL_CHECK_EQ_STR(sl_json_str(b, "used_run", ""), "run1");
    SL_CHECK_EQ_UINT(json_array_size(json_object_get(b, "versions")), 2);
    _cleanup_(free)
    char *text = sl_json_canonical(list);
    SL_CHECK(strstr(text, "canary") == NULL);
    tear_down(&f);
}

SL_TEST(core_secret_store, leases__come_back_as_given)
{
    struct fixture f;
    struct sl_arena arena;
    struct sl_secret_receipt got;
    set_up(&f);
    sl_arena_init(&arena, 0);
    const struct sl_secret_lease leases[] = {{"a", 3}, {"b", 2}};
    const struct sl_secret_receipt receipt = {"run1", "attempt1", leases, 2};
    struct change c = {.f = &f, .receipt = &receipt};
    SL_CHECK_OK(sl_db_tx(f.t.db, lease_tx, &c, &f.t.err), f.t.err);
    SL_CHECK_OK(sl_secret_leases(f.t.db, "attempt1", &arena, &got, &f.t.err), f.t.err);
    SL_CHECK_EQ_UINT(got.n, 2);
    SL_CHECK_EQ_STR(got.leases[1].name, "b");
    SL_CHECK_EQ_INT(got.leases[0].version, 3);
    SL_CHECK_OK(sl_secret_leases(f.t.db, "attempt2", &arena, &got, &f.t.err), f.t.err);
    SL_CHECK_EQ_UINT(got.n, 0);
    sl_arena_release(&arena);
    tear_down(&f);
}

/* ---- what is stored ------------------------------------------------------------------------------- */

static void exec(struct fixture *f, struct sl_sql sql)
{
    SL_CHECK_OK(sl_db_exec(f->t.db, &f->t.err, sql, "i", 1), f->t.err);
}

SL_TEST(core_secret_store, get__row_of_another_name_or_version__does_not_decrypt)
{
    struct fixture f;
    struct sl_secret_value v = {0};
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "a", "one", SL_SECRET_SET), 1);
    SL_CHECK_EQ_INT(put(&f, "b", "two", SL_SECRET_SET), 1);
    exec(&f, SL_SQL("UPDATE secret_version SET (wrap_nonce, wrapped, nonce, text) = (SELECT "
                    "wrap_nonce, wrapped, nonce, text FROM secret_version WHERE name = 'b') WHERE "
                    "name = 'a' AND ?"));
    SL_CHECK_ERR(get(&f, "a", 0, &v), SL_ECORRUPT, f.t.err, "not what was stored");
    SL_CHECK_EQ_INT(put(&f, "b", "three", SL_SECRET_SET), 2);
    exec(&f, SL_SQL("UPDATE secret_version SET text = (SELECT text FROM secret_version WHERE name "
                    "= 'b' AND version = 1) WHERE name = 'b' AND version = 2 AND ?"));
    SL_CHECK_ERR(get(&f, "b", 0, &v), SL_ECORRUPT, f.t.err, "not what was stored");
    exec(&f, SL_SQL("UPDATE secret_version SET text = x'00' WHERE version = 2 AND ?"));
    SL_CHECK_ERR(get(&f, "b", 0, &v), SL_ECORRUPT, f.t.err, "damaged");
    tear_down(&f);
}

SL_TEST(core_secret_store, put__same_value_twice__different_bytes)
{
    struct fixture f;
    int64_t n = -1;
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "a", CANARY, SL_SECRET_SET), 1);
    SL_CHECK_EQ_INT(put(&f, "a", CANARY, SL_SECRET_SET), 2);
    SL_CHECK_OK(sl_db_get_i64(f.t.db, &n, &f.t.err,
                              SL_SQL("SELECT count(DISTINCT text) + count(DISTINCT nonce) + "
                                     "count(DISTINCT wrapped) FROM secret_version WHERE ?"),
                              "i", 1),
                f.t.err);
    SL_CHECK_EQ_INT(n, 6);
    tear_down(&f);
}

SL_TEST(core_secret_store, put__audit_names_it__never_the_value)
{
    struct fixture f;
    char *leaf = NULL;
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "TOKEN", CANARY, SL_SECRET_SET), 1);
    SL_CHECK_OK(sl_db_get_text(f.t.db, &leaf, &f.t.err,
                               SL_SQL("SELECT CAST(leaf AS TEXT) FROM audit_entry WHERE idx = ?"),
                               "i", 0),
                f.t.err);
    SL_CHECK_CONTAINS(leaf, "\"act\":\"secret.set\"");
    SL_CHECK_CONTAINS(leaf, "default/TOKEN@v1");
    SL_CHECK(strstr(leaf, "canary") == NULL);
    free(leaf);
    tear_down(&f);
}

/* ---- the key file --------------------------------------------------------------------------------- */

static int reopen(struct fixture *f)
{
    sl_secret_key_close(f->key);
    f->key = NULL;
    return sl_secret_key_open(f->dirfd, f->t.db, true, &f->key, &f->t.err);
}

SL_TEST(core_secret_key, open__first_use__makes_a_private_file_once)
{
    struct fixture f;
    struct stat st;
    char before[SL_SECRET_PUBLIC_HEX + 1];
    char after[SL_SECRET_PUBLIC_HEX + 1];
    set_up(&f);
    SL_CHECK(fstatat(f.dirfd, "secret.key", &st, AT_SYMLINK_NOFOLLOW) == 0);
    SL_CHECK_EQ_UINT(st.st_mode & 07777, 0600);
    SL_CHECK_EQ_UINT(st.st_nlink, 1);
    sl_secret_public(f.key, before);
    SL_CHECK_OK(reopen(&f), f.t.err);
    sl_secret_public(f.key, after);
    SL_CHECK_EQ_STR(after, before);
    tear_down(&f);
}

SL_TEST(core_secret_key, open__without_create__says_that_there_is_none)
{
    struct fixture f;
    set_up(&f);
    SL_CHECK(unlinkat(f.dirfd, "secret.key", 0) == 0);
    sl_secret_key_close(f.key);
    f.key = NULL;
    SL_CHECK_ERR(sl_secret_key_open(f.dirfd, f.t.db, false, &f.key, &f.t.err), SL_ENOTFOUND,
                 f.t.err, "no secret yet");
    tear_down(&f);
}

SL_TEST(core_secret_key, open__readable_by_others__refused)
{
    struct fixture f;
    set_up(&f);
    const mode_t bad[] = {0640, 0604, 0620, 0601};
    for (size_t i = 0; i < SL_LEN(bad); i++) {
        SL_CHECK(fchmodat(f.dirfd, "secret.key", bad[i], 0) == 0);
        SL_CHECK_ERR(reopen(&f), SL_EREFUSED, f.t.err, "others may read or change it");
    }
    SL_CHECK(fchmodat(f.dirfd, "secret.key", 0400, 0) == 0);
    SL_CHECK_OK(reopen(&f), f.t.err);
    tear_down(&f);
}

SL_TEST(core_secret_key, open__of_another_user__refused)
{
    struct fixture f;
    set_up(&f);
    if (geteuid() != 0) {
        tear_down(&f);
        return; /* only root can give a file away */
    }
    SL_CHECK(fchownat(f.dirfd, "secret.key", 65534, 65534, 0) == 0);
    SL_CHECK_ERR(reopen(&f), SL_EREFUSED, f.t.err, "belongs to user 65534");
    tear_down(&f);
}

SL_TEST(core_secret_key, open__link_or_garbage__refused)
{
    struct fixture f;
    set_up(&f);
    SL_CHECK(renameat(f.dirfd, "secret.key", f.dirfd, "real") == 0);
    SL_CHECK(symlinkat("real", f.dirfd, "secret.key") == 0);
    SL_CHECK(reopen(&f) < 0);
    SL_CHECK(unlinkat(f.dirfd, "secret.key", 0) == 0);
    int fd = openat(f.dirfd, "secret.key", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    SL_CHECK(write(fd, "sluice-secret-key 1\n", 20) == 20);
    close(fd);
    SL_CHECK_ERR(reopen(&f), SL_ECORRUPT, f.t.err, "is not a master key");
    tear_down(&f);
}

SL_TEST(core_secret_key, open__file_of_another_directory__said_before_anything_is_decrypted)
{
    struct fixture f;
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "a", CANARY, SL_SECRET_SET), 1);
    SL_CHECK(unlinkat(f.dirfd, "secret.key", 0) == 0);
    SL_CHECK_ERR(reopen(&f), SL_ECORRUPT, f.t.err, "'secret.key' is missing");
    struct sl_secret_key *other = sl_secret_key_random();
    SL_CHECK_OK(sl_secret_key_write(f.dirfd, "secret.key", other, &f.t.err), f.t.err);
    sl_secret_key_close(other);
    SL_CHECK_ERR(reopen(&f), SL_ECORRUPT, f.t.err, "'secret.key' is another one");
    tear_down(&f);
}

/* ---- rotation ------------------------------------------------------------------------------------- */

static int write_now(void *data, sl_db_fn fn, void *arg, struct sl_err *err)
{
    struct fixture *f = data;
    return sl_db_tx(f->t.db, fn, arg, err);
}

struct interrupted {
    sl_db_fn fn;
    void *arg;
};

static int fail_after(struct sl_db *db, void *arg, struct sl_err *err)
{
    const struct interrupted *i = arg;
    int rc = i->fn(db, i->arg, err);
    return rc < 0 ? rc : sl_err_set(err, SL_EIO, "interrupted before the commit");
}

static int write_and_fail(void *data, sl_db_fn fn, void *arg, struct sl_err *err)
{
    struct fixture *f = data;
    struct interrupted i = {fn, arg};
    return sl_db_tx(f->t.db, fail_after, &i, err);
}

/** Commits, and hides the new file from the rename, as if the process had died between the two. */
static int write_and_die(void *data, sl_db_fn fn, void *arg, struct sl_err *err)
{
    struct fixture *f = data;
    int rc = sl_db_tx(f->t.db, fn, arg, err);
    SL_CHECK(renameat(f->dirfd, "secret.key.new", f->dirfd, "kept") == 0);
    return rc;
}

static int rotate(struct fixture *f, int (*write)(void *, sl_db_fn, void *, struct sl_err *),
                  int64_t *ret_n)
{
    struct sl_secret_writer w = {write, f};
    return sl_secret_rotate_master(f->dirfd, &w, &by, ret_n, &f->t.err);
}

SL_TEST(core_secret_key, rotate_master__every_version_readable_under_the_new_key_only)
{
    struct fixture f;
    struct sl_secret_value v = {0};
    int64_t n = 0;
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "a", "one", SL_SECRET_SET), 1);
    SL_CHECK_EQ_INT(put(&f, "a", CANARY, SL_SECRET_SET), 2);
    SL_CHECK_EQ_INT(put(&f, "b", "two", SL_SECRET_SET), 1);
    SL_CHECK_OK(rotate(&f, write_now, &n), f.t.err);
    SL_CHECK_EQ_INT(n, 3);
    SL_CHECK(faccessat(f.dirfd, "secret.key.new", F_OK, 0) != 0);
    /* a key opened before is told so, for reading and for writing */
    SL_CHECK_ERR(get(&f, "a", 0, &v), SL_ECONFLICT, f.t.err, "rotated meanwhile");
    SL_CHECK_ERR(put(&f, "a", "x", SL_SECRET_SET), SL_ECONFLICT, f.t.err, "rotated meanwhile");
    SL_CHECK_OK(reopen(&f), f.t.err);
    check_value(&f, "a", 0, CANARY);
    check_value(&f, "a", 1, "one");
    check_value(&f, "b", 0, "two");
    tear_down(&f);
}

SL_TEST(core_secret_key, rotate_master__dies_before_its_commit__the_old_key_holds)
{
    struct fixture f;
    int64_t n = 0;
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "a", CANARY, SL_SECRET_SET), 1);
    SL_CHECK_ERR(rotate(&f, write_and_fail, &n), SL_EIO, f.t.err, "interrupted");
    SL_CHECK(faccessat(f.dirfd, "secret.key.new", F_OK, 0) == 0);
    SL_CHECK_OK(reopen(&f), f.t.err);
    check_value(&f, "a", 0, CANARY);
    SL_CHECK_OK(rotate(&f, write_now, &n), f.t.err);
    SL_CHECK_OK(reopen(&f), f.t.err);
    check_value(&f, "a", 0, CANARY);
    tear_down(&f);
}

SL_TEST(core_secret_key, rotate_master__dies_after_its_commit__whoever_opens_completes_it)
{
    struct fixture f;
    int64_t n = 0;
    set_up(&f);
    SL_CHECK_EQ_INT(put(&f, "a", CANARY, SL_SECRET_SET), 1);
    SL_CHECK_OK(rotate(&f, write_and_die, &n), f.t.err);
    SL_CHECK(renameat(f.dirfd, "kept", f.dirfd, "secret.key.new") == 0);
    SL_CHECK_OK(reopen(&f), f.t.err);
    SL_CHECK(faccessat(f.dirfd, "secret.key.new", F_OK, 0) != 0);
    check_value(&f, "a", 0, CANARY);
    SL_CHECK_OK(reopen(&f), f.t.err);
    check_value(&f, "a", 0, CANARY);
    tear_down(&f);
}

SL_TEST(core_secret_key, rotate_master__without_secrets__says_so)
{
    struct fixture f;
    int64_t n = 0;
    set_up(&f);
    SL_CHECK_ERR(rotate(&f, write_now, &n), SL_ENOTFOUND, f.t.err, "no secret yet");
    tear_down(&f);
}

/* ---- boxes ---------------------------------------------------------------------------------------- */

SL_TEST(core_secret_seal, unseal__what_was_sealed_to_this_key_and_nothing_else)
{
    struct fixture f;
    struct sl_secret_value out = {0};
    char public[SL_SECRET_PUBLIC_HEX + 1];
    char *box = NULL;
    set_up(&f);
    sl_secret_public(f.key, public);
    struct sl_secret_value v = value_of(CANARY);
    SL_CHECK_OK(sl_secret_seal(public, &v, &box, &f.t.err), f.t.err);
    SL_CHECK(strstr(box, "canary") == NULL);
    SL_CHECK_OK(sl_secret_unseal(f.key, box, &out, &f.t.err), f.t.err);
    SL_CHECK_EQ_STR((const char *)out.bytes, CANARY);
    sl_secret_value_release(&out);
    box[100] = box[100] == '0' ? '1' : '0';
    SL_CHECK_ERR(sl_secret_unseal(f.key, box, &out, &f.t.err), SL_EINVAL, f.t.err, "not sealed");
    free(box);
    struct sl_secret_key *other = sl_secret_key_random();
    sl_secret_public(other, public);
    SL_CHECK_OK(sl_secret_seal(public, &v, &box, &f.t.err), f.t.err);
    SL_CHECK_ERR(sl_secret_unseal(f.key, box, &out, &f.t.err), SL_EINVAL, f.t.err, "not sealed");
    free(box);
    sl_secret_key_close(other);
    SL_CHECK_ERR(sl_secret_unseal(f.key, "", &out, &f.t.err), SL_EINVAL, f.t.err, "1 to 65536");
    SL_CHECK_ERR(sl_secret_unseal(f.key, "zz", &out, &f.t.err), SL_EINVAL, f.t.err, "");
    SL_CHECK_ERR(sl_secret_seal("12", &v, &box, &f.t.err), SL_EINVAL, f.t.err, "no public key");
    sl_secret_value_release(&v);
    tear_down(&f);
}

SL_TEST(core_secret_seal, unseal__limits__at_them_and_one_past)
{
    struct fixture f;
    struct sl_secret_value out = {0};
    struct sl_secret_value v = {0};
    char public[SL_SECRET_PUBLIC_HEX + 1];
    char *box = NULL;
    set_up(&f);
    sl_secret_public(f.key, public);
    sl_secret_value_alloc(&v, SL_SECRET_VALUE_MAX);
    SL_CHECK_OK(sl_secret_seal(public, &v, &box, &f.t.err), f.t.err);
    SL_CHECK_OK(sl_secret_unseal(f.key, box, &out, &f.t.err), f.t.err);
    SL_CHECK_EQ_UINT(out.len, SL_SECRET_VALUE_MAX);
    free(box);
    sl_secret_value_release(&out);
    sl_secret_value_release(&v);
    sl_secret_value_alloc(&v, SL_SECRET_VALUE_MAX + 1);
    SL_CHECK_OK(sl_secret_seal(public, &v, &box, &f.t.err), f.t.err);
    SL_CHECK_ERR(sl_secret_unseal(f.key, box, &out, &f.t.err), SL_ELIMIT, f.t.err, "1 to 65536");
    free(box);
    sl_secret_value_release(&v);
    tear_down(&f);
}

/* ---- reading values ------------------------------------------------------------------------------- */

static int read_text(const char *text, size_t len, bool strip, struct sl_secret_value *ret,
                     struct sl_err *err)
{
    char *dir = sl_test_tmpdir();
    char *path = sl_test_path(dir, "value");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    SL_CHECK(write(fd, text, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0);
    int rc = sl_secret_read_fd(fd, strip, ret, err);
    close(fd);
    free(path);
    sl_test_rmdir(dir);
    return rc;
}

SL_TEST(core_secret_read, read_fd__newline_and_limits)
{
    struct sl_secret_value v = {0};
    struct sl_err err = SL_ERR_INIT;
    char *large = sl_calloc(1, SL_SECRET_VALUE_MAX + 2);
    SL_CHECK_OK(read_text("abc\n", 4, true, &v, &err), err);
    SL_CHECK_EQ_STR((const char *)v.bytes, "abc");
    sl_secret_value_release(&v);
    SL_CHECK_OK(read_text("abc\n", 4, false, &v, &err), err);
    SL_CHECK_EQ_UINT(v.len, 4);
    sl_secret_value_release(&v);
    SL_CHECK_ERR(read_text("", 0, true, &v, &err), SL_EINVAL, err, "empty");
    SL_CHECK_ERR(read_text("\n", 1, true, &v, &err), SL_EINVAL, err, "empty");
    SL_CHECK_OK(read_text(large, SL_SECRET_VALUE_MAX, true, &v, &err), err);
    sl_secret_value_release(&v);
    large[SL_SECRET_VALUE_MAX] = '\n';
    SL_CHECK_OK(read_text(large, SL_SECRET_VALUE_MAX + 1, true, &v, &err), err);
    SL_CHECK_EQ_UINT(v.len, SL_SECRET_VALUE_MAX);
    sl_secret_value_release(&v);
    SL_CHECK_ERR(read_text(large, SL_SECRET_VALUE_MAX + 1, false, &v, &err), SL_ELIMIT, err,
                 "longer than 65536");
    free(large);
}
