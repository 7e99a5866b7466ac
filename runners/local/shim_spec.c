/**
 * The spec that a shim reads: the writer. A memory file, so that secrets in the environment never
 * touch a disk and the engine never waits for a reader.
 *
 * Thread: any. Must not: keep the spec anywhere else.
 */
#include "core/base/base.h"

#include "runners/local/shim_spec.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "runners/local/shim_secret.h"

static void pair(struct sl_buf *out, const char *key, const char *value)
{
    sl_buf_puts(out, key);
    sl_buf_putc(out, '=');
    sl_buf_puts(out, value);
    sl_buf_putc(out, '\0');
}

static void number(struct sl_buf *out, const char *key, uint64_t value)
{
    if (value != 0) {
        sl_buf_printf(out, "%s=%llu", key, (unsigned long long)value);
        sl_buf_putc(out, '\0');
    }
}

/* The sandbox's own processes are in the step's control group and tree: they are not the step's. */
static struct sl_attempt_limits enforced(const struct sl_attempt_spec *s)
{
    struct sl_attempt_limits l = s->limits;
    if (s->sandbox.level != SL_ISOLATION_NONE && l.pids > 0) {
        l.pids = l.pids <= INT_MAX - SL_SANDBOX_PROCESSES ? l.pids + SL_SANDBOX_PROCESSES : INT_MAX;
    }
    return l;
}

static void write_spec(const struct sl_attempt_spec *s, const char *nonce,
                       const struct sl_cgroup_facts *facts, struct sl_buf *out)
{
    const struct sl_attempt_limits *l = &s->limits;
    const struct sl_attempt_limits in_groups = enforced(s);
    sl_buf_puts(out, "sluice-shim-spec 1");
    sl_buf_putc(out, '\0');
    pair(out, "nonce", nonce);
    pair(out, "cwd", s->cwd != NULL ? s->cwd : "work");
    number(out, "timeout_ms", (uint64_t)l->timeout_ms);
    number(out, "grace_ms", (uint64_t)(l->grace_ms > 0 ? l->grace_ms : SL_RUNNER_GRACE_MS));
    number(out, "log_bytes_max", l->log_bytes_max);
    number(out, "umask", s->umask != 0 ? (uint64_t)s->umask : 022);
    number(out, "durable", s->durable_exit ? 1 : 0);
    number(out, "stall_ms", (uint64_t)l->stall_ms);
    number(out, "disk_bytes", l->disk_bytes);
    number(out, "pids", (uint64_t)l->pids);
    if (s->checkpoint_dir != NULL) {
        pair(out, "checkpoint", s->checkpoint_dir);
    }
    sl_cgroup_words(facts, nonce, &in_groups, out);
    for (size_t i = 0; s->argv[i] != NULL; i++) {
        pair(out, "arg", s->argv[i]);
    }
    for (size_t i = 0; s->env[i] != NULL; i++) {
        pair(out, "env", s->env[i]);
    }
}

/* The sandbox shows a step the directory of its secrets as well. */
static int put_box(const struct sl_attempt_spec *spec, const char *secret_dir,
                   struct sl_sandbox *sandbox, struct sl_buf *out, struct sl_err *err)
{
    struct sl_sandbox_bind binds[SL_RUNNER_BINDS_MAX + 1];
    struct sl_attempt_spec shown = *spec;
    if (spec->sandbox.level == SL_ISOLATION_NONE) {
        return 0;
    }
    if (sl_shim_secret_files(spec)) {
        size_t n = spec->sandbox.n_binds;
        if (n > 0) {
            memcpy(binds, spec->sandbox.binds, n * sizeof(*binds));
        }
        binds[n] = (struct sl_sandbox_bind){.path = secret_dir};
        shown.sandbox.binds = binds;
        shown.sandbox.n_binds = n + 1;
    }
    return sl_sandbox_words(sandbox, &shown, out, err);
}

int sl_shim_spec_fd(const struct sl_attempt_spec *spec, const char *nonce,
                    const struct sl_shim_world *world, struct sl_err *err)
{
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(SL_SHIM_SPEC_MAX);
    char secret_dir[SL_SHIM_SECRET_DIR] = "";
    if (sl_shim_secret_files(spec)) {
        sl_shim_secret_dir(world->cgroups->prefix, nonce, spec->attempt_dir, secret_dir);
    }
    write_spec(spec, nonce, world->cgroups, &text);
    int rc = put_box(spec, secret_dir, world->sandbox, &text, err);
    if (rc < 0) {
        return rc;
    }
    SL_ASSERT(!text.overflow); /* the checked spec is at most half of it */
    _cleanup_(close)
    int fd = memfd_create("sluice-spec", MFD_CLOEXEC);
    if (fd < 0) {
        return sl_err_errno(err, errno, "cannot create the shim's spec");
    }
    rc = sl_write_all(fd, text.ptr, text.len, err);
    if (rc < 0) {
        return sl_err_wrap(err, "cannot write the shim's spec");
    }
    rc = sl_shim_secret_write(fd, spec, secret_dir, err);
    if (rc < 0) {
        return rc;
    }
    if (lseek(fd, 0, SEEK_SET) != 0) {
        return sl_err_errno(err, errno, "cannot rewind the shim's spec");
    }
    return sl_take_fd(fd);
}
