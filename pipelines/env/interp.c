/* Asking interpreters: see interp.h. */
#include "core/base/base.h"

#include "pipelines/env/interp.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/aio/proc.h"
#include "core/base/fs.h"
#include "pipelines/env/env.h"

#define INTERP_PATH      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define INTERP_FILE_MAX  ((size_t)256 << 20)
#define REMEMBERED_BYTES 65536

static const char question[] =
    "import json, platform, sys, sysconfig\n"
    "try:\n"
    "    import venv, ensurepip\n"
    "    pip = ensurepip.version()\n"
    "except ImportError:\n"
    "    pip = None\n"
    "print(json.dumps({'implementation': sys.implementation.name, 'pip': pip,\n"
    "                  'version': platform.python_version(), 'platform': "
    "sysconfig.get_platform(),\n"
    "                  'abi': sysconfig.get_config_var('SOABI') or '',\n"
    "                  'libc': ' '.join(platform.libc_ver())}))\n";

static int describe_exit(const struct sl_proc_exit *how, const char *python, const char *said,
                         struct sl_err *err)
{
    return sl_err_set(err, SL_EFAILED, "%s cannot be asked what it is: %s %d%s%.200s", python,
                      how->signum != 0 ? "signal" : "exit code",
                      how->signum != 0 ? how->signum : how->code, said[0] != '\0' ? ": " : "",
                      said);
}

static int run_question(const char *path, int out_fd, struct sl_proc_exit *ret, struct sl_err *err)
{
    const char *const argv[] = {path, "-I", "-c", question, NULL};
    static const char *const env[] = {"PATH=" INTERP_PATH, "LANG=C.UTF-8", NULL};
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    struct sl_proc proc = SL_PROC_INIT;
    spec.argv = argv;
    spec.env = env;
    spec.stdout_fd = out_fd;
    spec.stderr_fd = out_fd;
    int rc = sl_proc_spawn(&spec, &proc, err);
    if (rc < 0) {
        return rc;
    }
    rc = sl_proc_wait(&proc, SL_INTERP_TIMEOUT_MS, ret, err);
    if (rc == -SL_ETIMEOUT) {
        SL_IGNORE(sl_proc_signal(proc.pidfd, SIGKILL, NULL)); /* it may have ended by now */
        SL_IGNORE(sl_proc_wait(&proc, -1, ret, NULL));        /* killed: it ends */
        rc = sl_err_set(err, SL_ETIMEOUT, "%s did not say what it is within %d s", path,
                        SL_INTERP_TIMEOUT_MS / 1000);
    }
    sl_proc_release(&proc);
    return rc;
}

static int ask(const char *path, json_t **ret, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_INTERP_TEXT_MAX);
    struct sl_proc_exit how;
    _cleanup_(close)
    int fd = memfd_create("sluice-interpreter", MFD_CLOEXEC);
    if (fd < 0) {
        return sl_err_errno(err, errno, "memfd_create");
    }
    int rc = run_question(path, fd, &how, err);
    if (rc == 0 && lseek(fd, 0, SEEK_SET) < 0) {
        rc = sl_err_errno(err, errno, "lseek");
    }
    rc = rc < 0 ? rc : sl_read_fd(fd, SL_INTERP_TEXT_MAX, &text, err);
    if (rc < 0) {
        return rc;
    }
    if (how.code != 0) {
        return describe_exit(&how, path, sl_buf_str(&text), err);
    }
    *ret = sl_json_parse("interpreter", sl_buf_str(&text), text.len, err);
    return *ret != NULL ? 0 : sl_err_wrap(err, "%s is no Python", path);
}

static int add_digest(const char *path, json_t *facts, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf bytes = SL_BUF_INIT(INTERP_FILE_MAX);
    struct sl_digest d;
    char hex[SL_DIGEST_HEX + 1];
    int rc = sl_read_file_at(AT_FDCWD, path, INTERP_FILE_MAX, &bytes, err);
    if (rc == 0) {
        sl_sha256(sl_buf_str(&bytes), bytes.len, &d);
        sl_json_set_str(facts, "sha256", sl_digest_hex(&d, hex));
    }
    return rc;
}

/* ---- remembered answers --------------------------------------------------------------------------- */

/** Names the program as it lies there now: another one, or a changed one, has another name. */
static char *memory_path(const char *real, const struct stat *st)
{
    char hex[SL_DIGEST_HEX + 1];
    struct sl_digest d;
    _cleanup_(free)
    char *text = sl_asprintf(
        "1 %s %llu %llu %lld %lld.%ld %lld.%ld", real, (unsigned long long)st->st_dev,
        (unsigned long long)st->st_ino, (long long)st->st_size, (long long)st->st_mtim.tv_sec,
        st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
    sl_sha256(text, strlen(text), &d);
    return sl_asprintf(SL_ENV_DIR "/interpreters/%.32s.json", sl_digest_hex(&d, hex));
}

static json_t *recall(const char *data, const char *path)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(REMEMBERED_BYTES);
    _cleanup_(free)
    char *full = sl_asprintf("%s/%s", data, path);
    if (sl_read_file_at(AT_FDCWD, full, REMEMBERED_BYTES, &text, NULL) < 0) {
        return NULL;
    }
    json_t *facts = sl_json_parse("interpreter", sl_buf_str(&text), text.len, NULL);
    if (facts != NULL && sl_json_str(facts, "sha256", NULL) == NULL) {
        json_decref(facts);
        return NULL;
    }
    return facts;
}

/** Best effort: without it the interpreter is asked again. */
static void remember(const char *data, const char *path, const json_t *facts)
{
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, data, NULL);
    _cleanup_(free)
    char *text = sl_json_canonical(facts);
    if (fd >= 0 && sl_mkdirs_at(fd, SL_ENV_DIR "/interpreters", 0755, NULL) == 0) {
        SL_IGNORE(sl_publish_file_at(fd, path, text, strlen(text), 0644, false, NULL));
    }
}

static int facts_of(const char *real, const char *data, json_t **ret, struct sl_err *err)
{
    struct stat st;
    if (stat(real, &st) < 0) {
        return sl_err_errno(err, errno, "cannot look at %s", real);
    }
    _cleanup_(free)
    char *memory = memory_path(real, &st);
    *ret = data != NULL ? recall(data, memory) : NULL;
    if (*ret != NULL) {
        return 0;
    }
    json_t *facts = NULL;
    int rc = ask(real, &facts, err);
    rc = rc < 0 ? rc : add_digest(real, facts, err);
    if (rc == 0 && sl_json_str(facts, "pip", NULL) == NULL) {
        rc = sl_err_set(err, SL_EUNSUPPORTED,
                        "%s cannot make environments: its modules venv and ensurepip are missing "
                        "(Debian: apt install python3-venv)",
                        real);
    }
    if (rc < 0) {
        json_decref(facts);
        return rc;
    }
    if (data != NULL) {
        remember(data, memory, facts);
    }
    *ret = facts;
    return 0;
}

int sl_interp_find(const char *python, const char *data, struct sl_arena *a, struct sl_interp *ret,
                   struct sl_err *err)
{
    char path[SL_PROC_PATH_MAX];
    int rc = 0;
    if (python[0] == '/') {
        rc = snprintf(path, sizeof(path), "%s", python) < (int)sizeof(path)
                 ? 0
                 : sl_err_set(err, SL_ELIMIT, "the interpreter's path is too long");
    } else if (strchr(python, '/') != NULL) {
        rc = sl_err_set(err, SL_EINVAL, "python: expected a program's name or an absolute path");
    } else {
        rc = sl_proc_lookup(python, INTERP_PATH, path, err);
    }
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    char *real = realpath(path, NULL);
    if (real == NULL) {
        return sl_err_errno(err, errno, "interpreter %s", path);
    }
    json_t *facts = NULL;
    rc = facts_of(real, data, &facts, err);
    if (rc == 0) {
        *ret = (struct sl_interp){sl_arena_strdup(a, real), facts};
    }
    return rc;
}
