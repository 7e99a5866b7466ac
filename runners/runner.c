/**
 * What all backends share: names, the table, identities as JSON, and the check of a spec.
 *
 * Thread: any. Must not: know a backend beyond its line in runners.def.
 */
#include "core/base/base.h"

#include "runners/runner.h"

#include <stdio.h>
#include <string.h>

#include "core/base/str.h"

static const char *const class_names[SL_CLASS_COUNT] = {
    [SL_CLASS_EXIT] = "exit",
    [SL_CLASS_SIGNAL] = "signal",
    [SL_CLASS_TIMEOUT] = "timeout",
    [SL_CLASS_OOM] = "oom",
    [SL_CLASS_CANCELLED] = "cancelled",
    [SL_CLASS_EXEC_FAILED] = "exec_failed",
    [SL_CLASS_NEVER_STARTED] = "never_started",
    [SL_CLASS_LOST] = "lost",
    [SL_CLASS_INFRA] = "infra",
    [SL_CLASS_STALLED] = "stalled",
    [SL_CLASS_DISK] = "disk",
};

static const char *const mode_names[] = {
    [SL_CGROUP_V2] = "v2",
    [SL_CGROUP_V1] = "v1",
    [SL_CGROUP_RLIMIT] = "rlimit",
};

#define SL_RUNNER(name, operations) extern const struct sl_runner_ops operations;
#include "runners/runners.def"
#undef SL_RUNNER

static const struct sl_runner_ops *const table[] = {
#define SL_RUNNER(name, operations) &operations,
#include "runners/runners.def"
#undef SL_RUNNER
};

const char *sl_runner_class_name(enum sl_runner_class c)
{
    SL_ASSERT((size_t)c < SL_LEN(class_names));
    return class_names[c];
}

bool sl_runner_class_parse(const char *name, enum sl_runner_class *ret)
{
    for (size_t i = 0; i < SL_LEN(class_names); i++) {
        if (sl_streq(name, class_names[i])) {
            *ret = (enum sl_runner_class)i;
            return true;
        }
    }
    return false;
}

const char *sl_isolation_name(enum sl_isolation level)
{
    return level == SL_ISOLATION_STRICT ? "strict" : "none";
}

const char *sl_cgroup_mode_name(enum sl_cgroup_mode mode)
{
    SL_ASSERT((size_t)mode < SL_LEN(mode_names));
    return mode_names[mode];
}

bool sl_cgroup_mode_parse(const char *name, enum sl_cgroup_mode *ret)
{
    for (size_t i = 0; i < SL_LEN(mode_names); i++) {
        if (sl_streq(name, mode_names[i])) {
            *ret = (enum sl_cgroup_mode)i;
            return true;
        }
    }
    return false;
}

const struct sl_runner_ops *sl_runner_at(size_t index)
{
    return index < SL_LEN(table) ? table[index] : NULL;
}

const struct sl_runner_ops *sl_runner_find(const char *name)
{
    for (size_t i = 0; i < SL_LEN(table); i++) {
        if (sl_streq(name, table[i]->name)) {
            return table[i];
        }
    }
    return NULL;
}

int sl_runner_can_isolate(struct sl_runner *runner, enum sl_isolation level, struct sl_err *err)
{
    if (level == SL_ISOLATION_NONE) {
        return 0;
    }
    if (runner->ops->can_isolate == NULL) {
        return sl_err_set(err, SL_EREFUSED, "runner '%s' has no sandboxes", runner->ops->name);
    }
    return runner->ops->can_isolate(runner, level, err);
}

json_t *sl_attempt_identity_json(const struct sl_attempt_identity *identity)
{
    json_t *o = json_object();
    sl_json_set_str(o, "attempt_id", identity->attempt_id);
    sl_json_set_str(o, "nonce", identity->nonce);
    sl_json_set_str(o, "boot_id", identity->boot_id);
    sl_json_set_i64(o, "pid", identity->pid);
    sl_json_set_i64(o, "start_time", (int64_t)identity->start_time);
    sl_json_set_str(o, "mode", sl_cgroup_mode_name(identity->mode));
    sl_json_set_str(o, "cgroup", identity->cgroup);
    sl_json_set_str(o, "isolation", identity->isolation);
    return o;
}

static int take_text(const json_t *value, const char *key, char *out, size_t size,
                     struct sl_err *err)
{
    const char *text = sl_json_str(value, key, NULL);
    if (text == NULL || strlen(text) >= size) {
        return sl_err_set(err, SL_EINVAL, "attempt identity: '%s' is %s", key,
                          text == NULL ? "missing" : "too long");
    }
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

int sl_attempt_identity_parse(const json_t *value, struct sl_attempt_identity *ret,
                              struct sl_err *err)
{
    struct sl_attempt_identity id = {0};
    int rc = take_text(value, "attempt_id", id.attempt_id, sizeof(id.attempt_id), err);
    rc = rc < 0 ? rc : take_text(value, "nonce", id.nonce, sizeof(id.nonce), err);
    rc = rc < 0 ? rc : take_text(value, "boot_id", id.boot_id, sizeof(id.boot_id), err);
    rc = rc < 0 ? rc : take_text(value, "cgroup", id.cgroup, sizeof(id.cgroup), err);
    if (rc < 0) {
        return rc;
    }
    /* Attempts journaled before there were sandboxes have none. */
    (void)snprintf(id.isolation, sizeof(id.isolation), "%s",
                   sl_json_str(value, "isolation", sl_isolation_name(SL_ISOLATION_NONE)));
    if (!sl_id_valid(id.attempt_id) || !sl_id_valid(id.nonce)) {
        return sl_err_set(err, SL_EINVAL, "attempt identity: '%s' is not 32 lowercase hex digits",
                          sl_id_valid(id.attempt_id) ? "nonce" : "attempt_id");
    }
    int64_t start_time = sl_json_i64(value, "start_time", -1);
    id.pid = sl_json_i64(value, "pid", -1);
    if (id.pid <= 0 || id.pid > INT32_MAX || start_time < 0) {
        return sl_err_set(err, SL_EINVAL, "attempt identity: '%s' is missing or out of range",
                          start_time < 0 ? "start_time" : "pid");
    }
    id.start_time = (uint64_t)start_time;
    if (!sl_cgroup_mode_parse(sl_json_str(value, "mode", ""), &id.mode)) {
        return sl_err_set(err, SL_EINVAL, "attempt identity: 'mode' is none of v2, v1, rlimit");
    }
    *ret = id;
    return 0;
}

static int check_list(const char *what, const char *const *list, size_t max, size_t *bytes,
                      struct sl_err *err)
{
    size_t n = 0;
    for (; list[n] != NULL; n++) {
        if (n >= max) {
            return sl_err_set(err, SL_ELIMIT, "%s: more than %zu entries", what, max);
        }
        *bytes += strlen(list[n]) + 8; /* with the terminator and its key */
        if (*bytes > SL_RUNNER_SPEC_MAX) {
            return sl_err_set(err, SL_ELIMIT, "%s: command and environment exceed %lu bytes", what,
                              SL_RUNNER_SPEC_MAX);
        }
    }
    return 0;
}

static int check_limits(const struct sl_attempt_limits *l, struct sl_err *err)
{
    if (l->timeout_ms < 0 || l->timeout_ms > SL_RUNNER_TIMEOUT_MAX) {
        return sl_err_set(err, SL_EINVAL, "timeout_ms: %lld is out of range",
                          (long long)l->timeout_ms);
    }
    if (l->grace_ms < 0 || l->grace_ms > SL_RUNNER_GRACE_MS_MAX) {
        return sl_err_set(err, SL_EINVAL, "grace_ms: %lld is out of range", (long long)l->grace_ms);
    }
    if (l->stall_ms < 0 || l->stall_ms > SL_RUNNER_TIMEOUT_MAX) {
        return sl_err_set(err, SL_EINVAL, "stall_ms: %lld is out of range", (long long)l->stall_ms);
    }
    if (l->cpu_milli < 0 || l->pids < 0 || l->mem_bytes > (uint64_t)INT64_MAX ||
        l->disk_bytes > (uint64_t)INT64_MAX) {
        return sl_err_set(err, SL_EINVAL, "%s: out of range",
                          l->cpu_milli < 0                      ? "cpu_milli"
                          : l->pids < 0                         ? "pids"
                          : l->disk_bytes > (uint64_t)INT64_MAX ? "disk_bytes"
                                                                : "mem_bytes");
    }
    return 0;
}

static bool is_inside(const char *path)
{
    for (const char *p = path; p != NULL; p = strchr(p, '/')) {
        p += *p == '/' ? 1 : 0;
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0')) {
            return false;
        }
    }
    return path[0] != '/' && path[0] != '\0';
}

static int check_box(const struct sl_attempt_sandbox *box, size_t *bytes, struct sl_err *err)
{
    if (box->level == SL_ISOLATION_NONE) {
        return 0;
    }
    if (box->n_binds > SL_RUNNER_BINDS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "sandbox: more than %d binds", SL_RUNNER_BINDS_MAX);
    }
    for (size_t i = 0; i < box->n_binds; i++) {
        const char *path = box->binds[i].path;
        if (path == NULL || (path[0] == '/' ? !is_inside(path + 1) : !is_inside(path)) ||
            strlen(path) > SL_RUNNER_PATH_MAX) {
            return sl_err_set(err, SL_EINVAL, "sandbox: '%.200s' is no path to bind",
                              path != NULL ? path : "");
        }
        *bytes += 2 * strlen(path) + 64; /* its words for the shim */
    }
    for (size_t i = 0; box->devices != NULL && box->devices[i] != NULL; i++) {
        if (i >= SL_RUNNER_BINDS_MAX || strncmp(box->devices[i], "/dev/", 5) != 0 ||
            !is_inside(box->devices[i] + 1)) {
            return sl_err_set(err, SL_EINVAL, "sandbox: '%.200s' is no device node",
                              box->devices[i]);
        }
    }
    return 0;
}

static int check_secrets(const struct sl_attempt_spec *spec, size_t *bytes, struct sl_err *err)
{
    if (spec->n_secrets > SL_RUNNER_SECRETS_MAX) {
        return sl_err_set(err, SL_ELIMIT, "secrets: more than %d", SL_RUNNER_SECRETS_MAX);
    }
    for (size_t i = 0; i < spec->n_secrets; i++) {
        const struct sl_attempt_secret *s = &spec->secrets[i];
        if (s->name == NULL || s->name[0] == '\0' || strchr(s->name, '=') != NULL) {
            return sl_err_set(err, SL_EINVAL, "secrets: one has no name that a variable can have");
        }
        if (s->len > SL_RUNNER_SECRET_BYTES) {
            return sl_err_set(err, SL_ELIMIT, "secrets: '%.100s' is longer than %lu bytes", s->name,
                              SL_RUNNER_SECRET_BYTES);
        }
        if (!s->as_file && s->len > 0 && memchr(s->value, '\0', s->len) != NULL) {
            return sl_err_set(err, SL_EINVAL,
                              "secrets: '%.100s' holds a NUL byte, so it can only be a file",
                              s->name);
        }
        *bytes += 2 * s->len + strlen(s->name) + 32; /* written as hex */
    }
    return *bytes > SL_RUNNER_SPEC_MAX
               ? sl_err_set(err, SL_ELIMIT, "command, environment and secrets exceed %lu bytes",
                            SL_RUNNER_SPEC_MAX)
               : 0;
}

int sl_attempt_spec_check(const struct sl_attempt_spec *spec, struct sl_err *err)
{
    if (spec->attempt_id == NULL || !sl_id_valid(spec->attempt_id)) {
        return sl_err_set(err, SL_EINVAL, "attempt_id: not 32 lowercase hex digits");
    }
    if (spec->nonce != NULL && !sl_id_valid(spec->nonce)) {
        return sl_err_set(err, SL_EINVAL, "nonce: not 32 lowercase hex digits");
    }
    if (spec->attempt_dir == NULL || spec->attempt_dir[0] != '/') {
        return sl_err_set(err, SL_EINVAL, "attempt_dir: not an absolute path");
    }
    if (strlen(spec->attempt_dir) > SL_RUNNER_PATH_MAX) {
        return sl_err_set(err, SL_ELIMIT, "attempt_dir: longer than %d bytes", SL_RUNNER_PATH_MAX);
    }
    if (spec->cwd != NULL && (!is_inside(spec->cwd) || strlen(spec->cwd) > SL_RUNNER_PATH_MAX)) {
        return sl_err_set(err, SL_EINVAL, "cwd: not a relative path inside the attempt directory");
    }
    if (spec->argv == NULL || spec->argv[0] == NULL || spec->argv[0][0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "argv: no program");
    }
    if (spec->env == NULL) {
        return sl_err_set(err, SL_EINVAL, "env: missing");
    }
    size_t bytes = 0;
    int rc = check_list("argv", spec->argv, SL_RUNNER_ARGV_MAX, &bytes, err);
    rc = rc < 0 ? rc : check_list("env", spec->env, SL_RUNNER_ENV_MAX, &bytes, err);
    rc = rc < 0 ? rc : check_box(&spec->sandbox, &bytes, err);
    if (rc == 0 && spec->sandbox.level != SL_ISOLATION_NONE) {
        rc = check_list("env in a sandbox", spec->env, SL_RUNNER_BOX_ENV_MAX, &bytes, err);
    }
    rc = rc < 0 ? rc : check_secrets(spec, &bytes, err);
    return rc < 0 ? rc : check_limits(&spec->limits, err);
}
