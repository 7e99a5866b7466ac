/* Secrets of a step: what it gets, what its log shows, and what is left when anybody dies. Digests by sha256sum. */
#include "core/base/base.h"

#include <dirent.h>

#include "core/base/fs.h"
#include "runners/local/shim_secret.h"

#include "tests/support/runner_rig.h"

#define TOKEN "hunter2-canary"
#define KEY   TOKEN "\nline two"

static const struct sl_attempt_secret both[] = {
    {.name = "TOKEN", .value = TOKEN, .len = sizeof(TOKEN) - 1},
    {.name = "KEY", .value = KEY, .len = sizeof(KEY) - 1, .as_file = true}};

static void start(struct rig *r, struct rig_attempt *a, const char *script)
{
    struct sl_err err = SL_ERR_INIT;
    const char *const argv[] = {"sh", "-c", script, NULL};
    const struct sl_attempt_spec spec = {.attempt_id = a->id,
                                         .attempt_dir = a->dir,
                                         .argv = argv,
                                         .env = rig_env,
                                         .limits = {.grace_ms = 200},
                                         .secrets = both,
                                         .n_secrets = SL_LEN(both)};
    SL_CHECK_OK(r->runner->ops->start(r->runner, &spec, &a->handle, &err), err);
}

static void run(struct rig *r, struct rig_attempt *a, const char *script)
{
    rig_prepare(r, a);
    start(r, a, script);
    rig_go(r, a);
    rig_wait(r, a);
}

/** The whole log, without the prefixes' times. Caller frees. */
static char *log_text(const struct rig_attempt *a)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_buf raw = SL_BUF_INIT(1 << 20);
    struct sl_buf out = SL_BUF_INIT(1 << 20);
    char *path = sl_test_path(a->dir, "log");
    SL_CHECK_OK(sl_read_file_at(AT_FDCWD, path, 1 << 20, &raw, &err), err);
    free(path);
    SL_CHECK(strstr(sl_buf_str(&raw), "canary") == NULL);
    for (const char *p = sl_buf_str(&raw); *p != '\0';) {
        size_t n = strcspn(p, "\n") + 1;
        SL_CHECK(n > 32);
        sl_buf_add(&out, p + 32, n - 32);
        p += n;
    }
    sl_buf_release(&raw);
    char *text = sl_strdup(sl_buf_str(&out));
    sl_buf_release(&out);
    return text;
}

static void check_log(const struct rig_attempt *a, const char *expected)
{
    char *text = log_text(a);
    SL_CHECK_EQ_STR(text, expected);
    free(text);
}

/** Names in /dev/shm that hold the attempt's nonce. */
static int directories(const struct rig_attempt *a)
{
    int n = 0;
    DIR *d = opendir("/dev/shm");
    SL_CHECK_NOT_NULL(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        n += strstr(e->d_name, a->handle.identity.nonce) != NULL;
    }
    closedir(d);
    return n;
}

SL_TEST(runners_local_secret, step__gets_its_values_byte_for_byte)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    run(&r, &a, "printf %s \"$TOKEN\" | sha256sum; sha256sum <\"$KEY\"; stat -c %a \"$KEY\"");
    SL_CHECK_EQ_INT(a.result.exit_code, 0);
    check_log(&a, "35ec275e3c878ba6a3eebbabf6bef484df67eef38bcc2e0fe3a4ae9a47889245  -\n"
                  "e58e65639cc048a006896a7da9949a8fe46e7236eadece780368d9bb9d35ddf3  -\n400\n");
    SL_CHECK_EQ_INT(directories(&a), 0);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_secret, variable__of_the_environment_too__the_secret_is_what_counts)
{
    struct rig r = {0};
    struct rig_attempt a;
    struct sl_err err = SL_ERR_INIT;
    const char *const argv[] = {"sh", "-c", "env | grep -c ^LC_ALL=; printenv LC_ALL", NULL};
    const struct sl_attempt_secret one = {
        .name = "LC_ALL", .value = TOKEN, .len = sizeof(TOKEN) - 1};
    rig_open(&r);
    rig_prepare(&r, &a);
    const struct sl_attempt_spec spec = {.attempt_id = a.id,
                                         .attempt_dir = a.dir,
                                         .argv = argv,
                                         .env = rig_env,
                                         .secrets = &one,
                                         .n_secrets = 1};
    SL_CHECK_OK(r.runner->ops->start(r.runner, &spec, &a.handle, &err), err);
    rig_go(&r, &a);
    rig_wait(&r, &a);
    check_log(&a, "1\n***\n");
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_secret, log__shows_stars_however_a_value_is_printed)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    /* pieces in writes of their own, the silence after which pieces are written out, both
     * streams, forms, a last line without its newline */
    run(&r, &a,
        "echo \"is $TOKEN.\"\nprintf hunter2; printf %s -can; printf x >&2; until grep -q 'e P x' "
        "../log; do :; done;"
        "printf 'ary end\\n'\nprintf %s \"$TOKEN\" | base64\ncat \"$KEY\"; echo\n"
        "printf 'hunter2-cana\\n'\nprintf %s \"$TOKEN\" >&2; wait");
    SL_CHECK_EQ_INT(a.result.exit_code, 0);
    char *text = log_text(&a);
    SL_CHECK_CONTAINS(text, "is ***.\n");
    SL_CHECK_CONTAINS(text, "*** end\n***\n***\n***\nhunter2-cana\n");
    SL_CHECK(strstr(text, "aHVudGVy") == NULL);
    free(text);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_secret, shim__shows_nothing_and_leaves_nothing)
{
    struct rig r = {0};
    struct rig_attempt a;
    struct sl_err err = SL_ERR_INIT;
    rig_open(&r);
    rig_prepare(&r, &a);
    char *fifo = rig_fifo(&a);
    start(&r, &a, "echo up >fifo; cat \"$KEY\" >/dev/null; read x <fifo");
    rig_go(&r, &a);
    free(rig_await_line(fifo));
    SL_CHECK_EQ_INT(directories(&a), 1);
    const char *const files[] = {"cmdline", "environ"};
    for (size_t i = 0; i < SL_LEN(files); i++) {
        char path[64];
        struct sl_buf text = SL_BUF_INIT(1 << 20);
        snprintf(path, sizeof(path), "/proc/%lld/%s", (long long)a.handle.identity.pid, files[i]);
        SL_CHECK_OK(sl_read_file_at(AT_FDCWD, path, 1 << 20, &text, &err), err);
        SL_CHECK(text.len == 0 || memmem(text.ptr, text.len, "canary", 6) == NULL);
        sl_buf_release(&text);
    }
    FILE *f = fopen(fifo, "we");
    fputs("end\n", f);
    fclose(f);
    rig_wait(&r, &a);
    SL_CHECK_EQ_INT(directories(&a), 0);
    free(fifo);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_secret, release__before_go__files_are_removed)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_prepare(&r, &a);
    start(&r, &a, "true");
    int pidfd = rig_shim_pidfd(&a);
    r.runner->ops->release(&a.handle);
    rig_await_shim(pidfd);
    SL_CHECK_EQ_INT(directories(&a), 0);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_secret, shim_killed__files_are_removed_with_its_end)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    rig_prepare(&r, &a);
    char *fifo = rig_fifo(&a);
    start(&r, &a, "echo up >fifo; read x <fifo");
    rig_go(&r, &a);
    free(rig_await_line(fifo));
    SL_CHECK_EQ_INT(kill((pid_t)a.handle.identity.pid, SIGKILL), 0);
    rig_wait(&r, &a);
    SL_CHECK_EQ_INT(a.result.class, SL_CLASS_LOST);
    SL_CHECK_EQ_INT(directories(&a), 0);
    free(fifo);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_secret, sweep__removes_what_no_live_attempt_has)
{
    struct rig r = {0};
    struct rig_attempt a;
    struct sl_err err = SL_ERR_INIT;
    rig_open(&r);
    rig_prepare(&r, &a);
    char *fifo = rig_fifo(&a);
    start(&r, &a, "echo up >fifo; read x <fifo; stat -c %a \"$KEY\"");
    rig_go(&r, &a);
    free(rig_await_line(fifo));
    const char *const known[] = {a.handle.identity.nonce};
    (void)r.runner->ops->sweep(r.runner, known, 1, &err);
    SL_CHECK_EQ_INT(directories(&a), 1);
    FILE *f = fopen(fifo, "we");
    fputs("end\n", f);
    fclose(f);
    rig_wait(&r, &a);
    check_log(&a, "400\n");
    /* one that a killed shim left, and a stranger's */
    char path[SL_SHIM_SECRET_DIR];
    char *dir = sl_test_tmpdir();
    sl_shim_secret_dir("sluice-test0000-", "0123456789abcdef0123456789abcdef", dir, path);
    SL_CHECK_EQ_INT(mkdir(path, 0500), 0);
    SL_CHECK_EQ_INT(sl_shim_secret_sweep("sluice-test1111-", NULL, 0), 0);
    SL_CHECK_EQ_INT(sl_shim_secret_sweep("sluice-test0000-", NULL, 0), 1);
    SL_CHECK(!sl_test_exists(path));
    sl_test_rmdir(dir);
    free(fifo);
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_secret, step__that_leaves_things_in_the_directory__all_is_removed)
{
    struct rig r = {0};
    struct rig_attempt a;
    rig_open(&r);
    run(&r, &a,
        "d=${KEY%/*}; chmod 700 \"$d\"; mkdir -p \"$d/deep/er\"; cp \"$KEY\" \"$d/deep/er/\";"
        "ln -s /etc/passwd \"$d/link\"; rm -f \"$KEY\"; ln -s /etc/passwd \"$KEY\"");
    SL_CHECK_EQ_INT(a.result.exit_code, 0);
    SL_CHECK_EQ_INT(directories(&a), 0);
    SL_CHECK(sl_test_exists("/etc/passwd"));
    rig_free(&a);
    rig_close(&r);
}

SL_TEST(runners_local_secret, start__limits__at_them_and_one_past)
{
    struct rig r = {0};
    struct rig_attempt a;
    struct sl_err err = SL_ERR_INIT;
    static char names[SL_RUNNER_SECRETS_MAX + 1][8];
    static char large[SL_RUNNER_SECRET_BYTES + 1];
    struct sl_attempt_secret many[SL_RUNNER_SECRETS_MAX + 1];
    const char *const argv[] = {"sh", "-c", "printf %s \"$S63\"; wc -c <\"$S0\"", NULL};
    rig_open(&r);
    rig_prepare(&r, &a);
    memset(large, 'x', sizeof(large));
    for (size_t i = 0; i < SL_LEN(many); i++) {
        snprintf(names[i], sizeof(names[i]), "S%zu", i);
        many[i] = (struct sl_attempt_secret){.name = names[i], .value = "good", .len = 4};
    }
    many[0].value = large;
    many[0].len = SL_RUNNER_SECRET_BYTES;
    many[0].as_file = true;
    struct sl_attempt_spec spec = {.attempt_id = a.id,
                                   .attempt_dir = a.dir,
                                   .argv = argv,
                                   .env = rig_env,
                                   .secrets = many,
                                   .n_secrets = SL_LEN(many)};
    SL_CHECK_ERR(r.runner->ops->start(r.runner, &spec, &a.handle, &err), SL_ELIMIT, err,
                 "secrets: more than 64");
    spec.n_secrets = SL_RUNNER_SECRETS_MAX;
    many[0].len++;
    SL_CHECK_ERR(r.runner->ops->start(r.runner, &spec, &a.handle, &err), SL_ELIMIT, err,
                 "longer than 65536");
    many[0].len--;
    many[1].value = "a\0b";
    many[1].len = 3;
    SL_CHECK_ERR(r.runner->ops->start(r.runner, &spec, &a.handle, &err), SL_EINVAL, err,
                 "can only be a file");
    many[1].len = 1;
    SL_CHECK_OK(r.runner->ops->start(r.runner, &spec, &a.handle, &err), err);
    rig_go(&r, &a);
    rig_wait(&r, &a);
    SL_CHECK_EQ_INT(a.result.exit_code, 0);
    check_log(&a, "***65536\n");
    rig_free(&a);
    rig_close(&r);
}
