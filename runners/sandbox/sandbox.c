/* Finding bubblewrap, trying it once, and an attempt's words: see sandbox.h. */
#include "core/base/base.h"

#include "runners/sandbox/sandbox_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/time.h"

#define SYSTEM_PATH "/usr/local/bin:/usr/bin:/bin"
#define SAYS_MAX    4096UL      /* bytes of what a trial says */
#define WORDS_MAX   (1UL << 20) /* bytes of an attempt's words */
#define TRIAL_WORDS 256
#define FILTER_FD   3
#define FILTER_TEXT "3"
#define ETC_DIR     "sandbox/etc-1" /* number: version of the files below */
#define INSTALL     "install bubblewrap (for example: apt install bubblewrap)"
#define ALLOW                                                                                      \
    "allow unprivileged user namespaces (sysctl user.max_user_namespaces, "                        \
    "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; in a "        \
    "container: its seccomp profile and a /proc that is not masked)"

static const struct {
    const char *name, *text;
} etc_files[] = {
    {"passwd", "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
               "step:x:1000:1000:step:/tmp:/bin/sh\n"
               "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"group", "root:x:0:\nstep:x:1000:\nnogroup:x:65534:\n"},
    {"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
    {"hosts", "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 sandbox\n"},
};

struct sl_sandbox *sl_sandbox_new(const struct sl_sandbox_config *config)
{
    struct sl_sandbox *s = SL_NEW(struct sl_sandbox);
    SL_ASSERT(config->data_dir[0] == '/');
    SL_ASSERT(pthread_mutex_init(&s->lock, NULL) == 0);
    s->data_dirfd = config->data_dirfd;
    s->etc = sl_asprintf("%s/%s", config->data_dir, ETC_DIR);
    s->search_path = config->search_path != NULL ? config->search_path : SYSTEM_PATH;
    return s;
}

void sl_sandbox_free(struct sl_sandbox *s)
{
    if (s != NULL) {
        (void)pthread_mutex_destroy(&s->lock);
        free(s->etc);
        free(s);
    }
}

static int place_etc(const struct sl_sandbox *s, struct sl_err *err)
{
    int rc = sl_mkdirs_at(s->data_dirfd, ETC_DIR, 0755, err);
    for (size_t i = 0; rc == 0 && i < SL_LEN(etc_files); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/%s", ETC_DIR, etc_files[i].name);
        if (faccessat(s->data_dirfd, path, R_OK, AT_SYMLINK_NOFOLLOW) != 0) {
            rc = sl_publish_file_at(s->data_dirfd, path, etc_files[i].text,
                                    strlen(etc_files[i].text), 0444, false, err);
        }
    }
    return rc < 0 ? sl_err_wrap(err, "cannot place the sandbox's files") : 0;
}

/* ---- the trial ------------------------------------------------------------------------------------ */

/* Reads until the other end is closed or the time is over. */
static void hear(int fd, int64_t until_ns, struct sl_buf *out)
{
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        int64_t left_ms = (until_ns - sl_mono_ns()) / 1000000;
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) <= 0) {
            return;
        }
        char text[512];
        ssize_t n = read(fd, text, sizeof(text));
        if (n <= 0) {
            return;
        }
        sl_buf_add(out, text, (size_t)n);
    }
}

/* Runs a short program; its exit code, or -1. What it says on either stream is gathered.
 * filter_fd is FILTER_FD there; -1: none. */
static int run_short(const char *const *argv, int filter_fd, struct sl_buf *says)
{
    int64_t until = sl_mono_ns() + SL_SANDBOX_TRIAL_MS * 1000000LL;
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0) {
        sl_buf_puts(says, "no pipe can be made");
        return -1;
    }
    struct sl_proc_spec spec = SL_PROC_SPEC_INIT;
    struct sl_proc proc = SL_PROC_INIT;
    struct sl_proc_exit end = {.code = -1};
    struct sl_err err = SL_ERR_INIT;
    spec.argv = argv;
    spec.stdout_fd = pair[1];
    spec.stderr_fd = pair[1];
    spec.cwd = "/";
    const struct sl_proc_fd fds[] = {{filter_fd, FILTER_FD}};
    spec.fds = fds;
    spec.n_fds = filter_fd >= 0 ? 1 : 0;
    int rc = sl_proc_spawn(&spec, &proc, &err);
    (void)close(pair[1]);
    if (rc == 0) {
        hear(pair[0], until, says);
        int64_t left_ms = (until - sl_mono_ns()) / 1000000;
        rc = sl_proc_wait(&proc, SL_MAX(left_ms, (int64_t)0), &end, &err);
        if (rc == -SL_ETIMEOUT) {
            struct sl_err ignored = SL_ERR_INIT;
            rc = sl_proc_signal(proc.pidfd, SIGKILL, &ignored); /* ended meanwhile is fine */
            rc = sl_proc_wait(&proc, -1, &end, &err);
            end.code = -1;
        }
        sl_proc_release(&proc);
    } else {
        sl_buf_puts(says, err.msg);
    }
    (void)close(pair[0]);
    return rc < 0 ? -1 : end.code;
}

/* "bubblewrap 0.8.0\n" -> "0.8.0" */
static void ask_version(struct sl_sandbox *s)
{
    const char *const argv[] = {s->program, "--version", NULL};
    _cleanup_(buf)
    struct sl_buf says = SL_BUF_INIT(SAYS_MAX);
    (void)run_short(argv, -1, &says);
    const char *text = sl_buf_str(&says);
    const char *blank = strchr(text, ' ');
    const char *from = blank != NULL ? blank + 1 : text;
    (void)snprintf(s->version, sizeof(s->version), "%.*s", (int)SL_MIN(strcspn(from, "\n"), 24U),
                   from);
}

/* The filter in a memory file, at its start; negative when none can be made. */
static int filter_file(void)
{
    struct sl_err ignored = SL_ERR_INIT;
    _cleanup_(buf)
    struct sl_buf filter = SL_BUF_INIT(SL_SANDBOX_FILTER_MAX);
    _cleanup_(close)
    int fd = memfd_create("sluice-filter", MFD_CLOEXEC);
    sl_sandbox_filter(&filter);
    if (fd < 0 || sl_write_all(fd, filter.ptr, filter.len, &ignored) < 0 ||
        lseek(fd, 0, SEEK_SET) != 0) {
        return -1;
    }
    return sl_take_fd(fd);
}

static bool try_it(const struct sl_sandbox *s, struct sl_buf *says)
{
    static const struct sl_attempt_sandbox box = {.level = SL_ISOLATION_STRICT};
    static const struct sl_attempt_limits limits = {0};
    const char *argv[TRIAL_WORDS + 5];
    size_t n = 0;
    _cleanup_(buf)
    struct sl_buf words = SL_BUF_INIT(WORDS_MAX);
    sl_sandbox_put_base(s, &box, &limits, &words);
    sl_sandbox_put_end(&words);
    SL_ASSERT(!words.overflow);
    for (const char *p = words.ptr; p < words.ptr + words.len && n < TRIAL_WORDS;
         p += strlen(p) + 1) {
        argv[n++] = p + strlen("box=");
    }
    argv[n++] = "--seccomp";
    argv[n++] = FILTER_TEXT;
    argv[n++] = "--";
    argv[n++] = "/usr/bin/true";
    argv[n] = NULL;
    _cleanup_(close)
    int filter = filter_file();
    sl_buf_clear(says);
    return filter >= 0 && run_short(argv, filter, says) == 0;
}

static int check_now(struct sl_sandbox *s, struct sl_err *err)
{
    struct sl_err missing = SL_ERR_INIT;
    int rc = place_etc(s, err);
    if (rc < 0) {
        return rc;
    }
    if (sl_proc_lookup("bwrap", s->search_path, s->program, &missing) < 0) {
        (void)snprintf(s->why_not, sizeof(s->why_not), "bubblewrap is not installed; %s", INSTALL);
        return 0;
    }
    _cleanup_(buf)
    struct sl_buf says = SL_BUF_INIT(SAYS_MAX);
    ask_version(s);
    s->no_nested = true;
    if (!try_it(s, &says)) {
        s->no_nested = false; /* before 0.8 it cannot forbid namespaces inside */
        if (!try_it(s, &says)) {
            const char *text = sl_buf_str(&says);
            (void)snprintf(s->why_not, sizeof(s->why_not), "%.64s failed: %.*s; %s", s->program,
                           (int)SL_MIN(strcspn(text, "\n"), 120U),
                           text[0] != '\0' ? text : "it said nothing", ALLOW);
            return 0;
        }
    }
    s->usable = true;
    return 0;
}

int sl_sandbox_check(struct sl_sandbox *s, struct sl_err *err)
{
    SL_ASSERT(pthread_mutex_lock(&s->lock) == 0);
    int rc = s->checked ? 0 : check_now(s, err);
    s->checked = s->checked || rc == 0;
    (void)pthread_mutex_unlock(&s->lock);
    if (rc == 0 && !s->usable) {
        rc = sl_err_set(err, SL_EREFUSED, "a strict sandbox cannot be had on this machine: %s",
                        s->why_not);
    }
    return rc;
}

/* ---- answers -------------------------------------------------------------------------------------- */

json_t *sl_sandbox_json(struct sl_sandbox *s)
{
    SL_ASSERT(pthread_mutex_lock(&s->lock) == 0);
    bool checked = s->checked;
    (void)pthread_mutex_unlock(&s->lock);
    if (!checked) {
        return NULL;
    }
    json_t *o = json_object(); /* nothing changes after the check */
    sl_json_set_str(o, "strict", s->usable ? "available" : s->why_not);
    if (s->usable) {
        sl_json_set_str(o, "program", s->program);
        sl_json_set_str(o, "version", s->version);
        sl_json_set_str(o, "nested_namespaces", s->no_nested ? "forbidden" : "possible");
    }
    return o;
}

void sl_sandbox_text(struct sl_sandbox *s, const struct sl_attempt_sandbox *box,
                     char ret_text[SL_ISOLATION_TEXT])
{
    if (box->level == SL_ISOLATION_NONE) {
        (void)snprintf(ret_text, SL_ISOLATION_TEXT, "none");
        return;
    }
    (void)snprintf(ret_text, SL_ISOLATION_TEXT, "%s: bubblewrap %.24s, %s",
                   sl_isolation_name(box->level), s->version,
                   box->network ? "network of the machine" : "no network");
}

/* The shim makes a file of it. */
static void put_filter(struct sl_buf *out)
{
    static const char digits[] = "0123456789abcdef";
    _cleanup_(buf)
    struct sl_buf filter = SL_BUF_INIT(SL_SANDBOX_FILTER_MAX);
    sl_sandbox_filter(&filter);
    sl_buf_puts(out, "box_filter=");
    for (size_t i = 0; i < filter.len; i++) {
        uint8_t byte = (uint8_t)filter.ptr[i];
        sl_buf_putc(out, digits[byte >> 4]);
        sl_buf_putc(out, digits[byte & 15]);
    }
    sl_buf_putc(out, '\0');
}

static void put_bind(const struct sl_attempt_spec *spec, const struct sl_sandbox_bind *bind,
                     struct sl_buf *out)
{
    _cleanup_(free)
    char *path = bind->path[0] == '/' ? sl_strdup(bind->path)
                                      : sl_asprintf("%s/%s", spec->attempt_dir, bind->path);
    sl_sandbox_put(out, bind->writable ? "--bind-try" : "--ro-bind-try");
    sl_sandbox_put(out, path);
    sl_sandbox_put(out, path);
}

int sl_sandbox_words(struct sl_sandbox *s, const struct sl_attempt_spec *spec, struct sl_buf *out,
                     struct sl_err *err)
{
    SL_ASSERT(spec->sandbox.level == SL_ISOLATION_STRICT);
    int rc = sl_sandbox_check(s, err);
    if (rc < 0) {
        return rc;
    }
    _cleanup_(free)
    char *cwd = sl_asprintf("%s/%s", spec->attempt_dir, spec->cwd != NULL ? spec->cwd : "work");
    if (spec->sandbox.root == NULL) {
        sl_sandbox_put_base(s, &spec->sandbox, &spec->limits, out);
    } else {
        rc = sl_sandbox_put_rooted(s, spec, out, err);
        if (rc < 0) {
            return rc;
        }
    }
    /* A file system of its own, so that beside the binds nothing can be made there, wherever it lies. */
    sl_sandbox_put(out, "--tmpfs");
    sl_sandbox_put(out, spec->attempt_dir);
    for (size_t i = 0; i < spec->sandbox.n_binds; i++) {
        put_bind(spec, &spec->sandbox.binds[i], out);
    }
    sl_sandbox_put(out, "--chdir");
    sl_sandbox_put(out, cwd);
    sl_sandbox_put(out, "--remount-ro");
    sl_sandbox_put(out, spec->attempt_dir);
    sl_sandbox_put_end(out);
    put_filter(out);
    return 0;
}
