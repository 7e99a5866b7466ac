/* Building an environment: see build.h. Thread: main of the builder's process. */
#include "core/base/base.h"

#include "pipelines/env/build.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/aio/proc.h"
#include "core/base/fault.h"
#include "core/base/fs.h"
#include "core/base/time.h"
#include "pipelines/env/env_priv.h"
#include "pipelines/env/image.h"
#include "pipelines/env/lock.h"

struct build {
    const struct sl_env_build *b;
    json_t *record;
    struct sl_digest digest;
    char id[SL_ENV_ID_HEX + 1];
    char *dir;    /* of the environment */
    char *python; /* in it */
    int64_t bytes, files;
    SL_VEC(char *) wheels; /* absolute paths, sorted */
    json_t *config;        /* of an image */
};

static int fault(int code, const char *where, struct sl_err *err)
{
    return code == 0 ? 0 : sl_err_errno(err, code, "%s", where);
}

static void say(const char *text)
{
    (void)printf("%s\n", text);
    (void)fflush(stdout);
}

/* ---- programs ------------------------------------------------------------------------------------- */

/** Runs a program to its end, its output going where ours goes. `what` says what failed. */
static int run(const struct build *x, const char *const *argv, const char *what, struct sl_err *err)
{
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    struct sl_proc proc = SL_PROC_INIT;
    struct sl_proc_exit how;
    spec.argv = argv;
    spec.env = x->b->env;
    spec.stdout_fd = STDOUT_FILENO;
    spec.stderr_fd = STDERR_FILENO;
    int rc = sl_proc_spawn(&spec, &proc, err);
    rc = rc < 0 ? rc : sl_proc_wait(&proc, -1, &how, err);
    sl_proc_release(&proc);
    if (rc == 0 && how.code != 0) {
        rc = how.signum != 0
                 ? sl_err_set(err, SL_EFAILED, "%s: ended by signal %d", what, how.signum)
                 : sl_err_set(err, SL_EFAILED, "%s: exit code %d", what, how.code);
    }
    return rc;
}

static int make_venv(const struct build *x, struct sl_err *err)
{
    const char *const argv[] = {x->b->python, "-I", "-m", "venv", x->dir, NULL};
    say("making the environment");
    int rc = run(x, argv, "python -m venv", err);
    return rc < 0 ? rc : fault(SL_FAULT_POINT(ENV_VENV), "environment", err);
}

/* ---- wheels --------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** pip reads the lock by itself; what it brings must be what the record names. */
static int check_wheel(const struct build *x, const char *file, struct sl_err *err)
{
    struct sl_arena a;
    sl_arena_init(&a, 0);
    const char *name = sl_lock_normal_name(&a, file, strcspn(file, "-"));
    bool named = json_object_get(json_object_get(x->record, "packages"), name) != NULL;
    sl_arena_release(&a);
    return named ? 0 : sl_err_set(err, SL_EREFUSED, "%.200s: the lock does not name it", file);
}

static int list_wheels(struct build *x, const char *dir, struct sl_err *err)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        return sl_err_errno(err, errno, "cannot list %s", dir);
    }
    int rc = 0;
    for (const struct dirent *e = readdir(d); e != NULL && rc == 0; e = readdir(d)) {
        if (!sl_ends_with(e->d_name, ".whl")) {
            continue;
        }
        if (x->wheels.n == SL_ENV_WHEELS_MAX) {
            rc = sl_err_set(err, SL_ELIMIT, "more than %d wheels", SL_ENV_WHEELS_MAX);
        } else if ((rc = check_wheel(x, e->d_name, err)) == 0) {
            sl_vec_push(&x->wheels, sl_asprintf("%s/%s", dir, e->d_name));
        }
    }
    (void)closedir(d);
    if (x->wheels.n > 0) {
        qsort(x->wheels.items, x->wheels.n, sizeof(*x->wheels.items), by_text);
    }
    return rc;
}

static int fetch_wheels(struct build *x, struct sl_err *err)
{
    const char *const argv[] = {x->python,
                                "-I",
                                "-m",
                                "pip",
                                "--disable-pip-version-check",
                                "--no-input",
                                "wheel",
                                "--require-hashes",
                                "--progress-bar",
                                "off",
                                "-r",
                                x->b->lock,
                                "-w",
                                x->b->wheels_out,
                                NULL};
    say("fetching the locked packages");
    return run(x, argv, "pip wheel --require-hashes", err);
}

/** The wheels of an earlier build become those of this one. */
static int keep_wheels(struct build *x, struct sl_err *err)
{
    say("installing from the stored wheels, without network");
    int rc = list_wheels(x, x->b->wheels_in, err);
    for (size_t i = 0; rc == 0 && i < x->wheels.n; i++) {
        const char *name = strrchr(x->wheels.items[i], '/') + 1;
        _cleanup_(free)
        char *to = sl_asprintf("%s/%s", x->b->wheels_out, name);
        if (link(x->wheels.items[i], to) < 0) {
            rc = sl_err_errno(err, errno, "cannot link %s", to);
        }
    }
    return rc;
}

static int get_wheels(struct build *x, struct sl_err *err)
{
    int rc = sl_mkdirs_at(AT_FDCWD, x->b->wheels_out, 0755, err);
    if (rc == 0 && json_object_size(json_object_get(x->record, "packages")) == 0) {
        return 0;
    }
    if (rc == 0 && x->b->wheels_in != NULL) {
        rc = keep_wheels(x, err);
    } else if (rc == 0) {
        rc = fetch_wheels(x, err);
        rc = rc < 0 ? rc : list_wheels(x, x->b->wheels_out, err);
    }
    return rc < 0 ? rc : fault(SL_FAULT_POINT(ENV_WHEELS), "environment", err);
}

static int install(const struct build *x, struct sl_err *err)
{
    static const char *const head[] = {"-I",
                                       "-m",
                                       "pip",
                                       "--disable-pip-version-check",
                                       "--no-input",
                                       "install",
                                       "--no-index",
                                       "--no-deps",
                                       "--no-cache-dir",
                                       "--no-warn-script-location",
                                       "--progress-bar",
                                       "off"};
    _cleanup_(free)
    const char **argv = sl_calloc(SL_LEN(head) + x->wheels.n + 2, sizeof(*argv));
    const char *const check[] = {x->python, "-I", "-m", "pip", "--disable-pip-version-check",
                                 "check",   NULL};
    argv[0] = x->python;
    for (size_t i = 0; i < SL_LEN(head); i++) {
        argv[1 + i] = head[i];
    }
    for (size_t i = 0; i < x->wheels.n; i++) {
        argv[1 + SL_LEN(head) + i] = x->wheels.items[i];
    }
    int rc = x->wheels.n == 0 ? 0 : run(x, argv, "pip install", err);
    rc = rc < 0 ? rc : run(x, check, "pip check: the lock is not complete", err);
    return rc < 0 ? rc : fault(SL_FAULT_POINT(ENV_INSTALLED), "environment", err);
}

/* ---- sealing -------------------------------------------------------------------------------------- */

static int make_read_only(const struct sl_walk_entry *entry, void *data, struct sl_err *err)
{
    struct build *x = data;
    if (S_ISREG(entry->st->st_mode)) {
        x->files++;
        x->bytes += entry->st->st_size;
    }
    if (!S_ISREG(entry->st->st_mode) && !S_ISDIR(entry->st->st_mode)) {
        return 0;
    }
    mode_t mode = (entry->st->st_mode & 0111) != 0 ? 0555 : 0444;
    return fchmodat(entry->dirfd, entry->name, mode, 0) < 0
               ? sl_err_errno(err, errno, "cannot make %s read-only", entry->path)
               : 0;
}

static int write_marker(const struct build *x, int dirfd, struct sl_err *err)
{
    char hex[SL_DIGEST_HEX + 1];
    json_auto_t *marker = json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:O}", "format", SL_ENV_FORMAT,
                                    "digest", sl_digest_hex(&x->digest, hex), "path", x->dir,
                                    "bytes", (json_int_t)x->bytes, "files", (json_int_t)x->files,
                                    "built_ms", (json_int_t)sl_now_ms(), "record", x->record);
    if (x->config != NULL) {
        json_object_set(marker, "config", x->config);
    }
    _cleanup_(free)
    char *text = sl_json_canonical(marker);
    return sl_publish_file_at(dirfd, SL_ENV_MARKER, text, strlen(text), 0444, true, err);
}

static int seal(struct build *x, struct sl_err *err)
{
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, x->dir, err);
    int rc = fd < 0 ? fd : sl_walk_at(fd, ".", make_read_only, x, err);
    if (rc == 0 && syncfs(fd) < 0) {
        rc = sl_err_errno(err, errno, "cannot sync %s", x->dir);
    }
    rc = rc < 0 ? rc : fault(SL_FAULT_POINT(ENV_SEALED), "environment", err);
    rc = rc < 0 ? rc : write_marker(x, fd, err);
    rc = rc < 0 ? rc : fault(SL_FAULT_POINT(ENV_MARKED), "environment", err);
    if (rc == 0 && fchmod(fd, 0555) < 0) {
        rc = sl_err_errno(err, errno, "cannot make %s read-only", x->dir);
    }
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static int read_record(struct build *x, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_ENV_RECORD_BYTES_MAX);
    int rc = sl_read_file_at(AT_FDCWD, x->b->record, SL_ENV_RECORD_BYTES_MAX, &text, err);
    if (rc < 0) {
        return rc;
    }
    x->record = sl_json_parse("the environment's record", sl_buf_str(&text), text.len, err);
    if (x->record == NULL) {
        return -SL_EINVAL;
    }
    _cleanup_(free)
    char *canonical = sl_json_canonical(x->record);
    sl_sha256(canonical, strlen(canonical), &x->digest);
    sl_env_id(&x->digest, x->id);
    x->dir = sl_env_path(x->b->data, &x->digest);
    x->python = sl_asprintf("%s/bin/python", x->dir);
    return 0;
}

static int build_image(struct build *x, struct sl_err *err)
{
    _cleanup_(free)
    char *layout = NULL;
    _cleanup_(free)
    char *root = sl_asprintf("%s/root", x->dir);
    struct sl_image_unpack u = {.data = x->b->data, .root = root, .keep = x->b->wheels_out};
    say("unpacking the image");
    int rc = sl_image_parse(x->b->lock, &layout, &u.image, err);
    u.layout = x->b->wheels_in != NULL ? x->b->wheels_in : layout;
    rc = rc < 0 ? rc : sl_mkdirs_at(AT_FDCWD, x->dir, 0755, err);
    rc = rc < 0 ? rc : sl_image_unpack(&u, &x->config, err);
    return rc < 0 ? rc : fault(SL_FAULT_POINT(ENV_INSTALLED), "environment", err);
}

static int build(struct build *x, struct sl_err *err)
{
    int rc = sl_env_clear(x->b->data, x->id, err);
    rc = rc < 0 ? rc : fault(SL_FAULT_POINT(ENV_BEGIN), "environment", err);
    if (rc == 0 && sl_streq(sl_json_str(x->record, "kind", ""), "image")) {
        rc = build_image(x, err);
        return rc < 0 ? rc : seal(x, err);
    }
    rc = rc < 0 ? rc : make_venv(x, err);
    rc = rc < 0 ? rc : get_wheels(x, err);
    rc = rc < 0 ? rc : install(x, err);
    return rc < 0 ? rc : seal(x, err);
}

int sl_env_build(const struct sl_env_build *b, struct sl_err *err)
{
    struct build x = {.b = b};
    _cleanup_(close)
    int lock = -1;
    _cleanup_(free)
    char *place = sl_asprintf("%s/" SL_ENV_DIR, b->data);
    int rc = read_record(&x, err);
    rc = rc < 0 ? rc : sl_mkdirs_at(AT_FDCWD, place, 0755, err);
    if (rc == 0) {
        lock = sl_env_lock(b->data, x.id, true, err);
        rc = lock < 0 ? lock : 0;
    }
    if (rc == 0 && sl_env_ready(b->data, &x.digest)) {
        say("the environment is there already");
    } else if (rc == 0) {
        rc = build(&x, err);
    }
    for (size_t i = 0; i < x.wheels.n; i++) {
        free(x.wheels.items[i]);
    }
    sl_vec_free(&x.wheels);
    json_decref(x.record);
    json_decref(x.config);
    free(x.dir);
    free(x.python);
    return rc;
}
