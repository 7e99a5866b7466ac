/* Environments in the engine: which one a step runs in, how one is made by its step, and what both see of it.
 * Thread: lanes; the loop where said. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/blob/blob_ref.h"
#include "core/lineage/lineage.h"
#include "pipelines/env/env.h"
#include "pipelines/run/project.h"

#define WHEELS_IN "in/wheels"

static const struct sl_step *spec_of(const struct eng_run *r, uint32_t step)
{
    return r->core.plan->steps[step].spec;
}

static const struct sl_run_env *made_by(const struct eng_run *r, uint32_t step)
{
    return &r->envs[r->core.plan->steps[step].group];
}

static const struct sl_run_env *env_of(const struct eng_run *r, uint32_t step)
{
    return sl_run_env_of(r->spec, r->envs, spec_of(r, step));
}

const struct sl_digest *eng_run_runtime(const struct eng_run *r, uint32_t step)
{
    const struct sl_run_env *env = env_of(r, step);
    return env != NULL ? &env->digest : &r->record.runtime;
}

/* ---- a run's environments ------------------------------------------------------------------------- */

/** What the project in force demands of environments. */
struct demands {
    bool reproducible, wheels_only;
};

static int read_demands(struct sl_engine *e, struct demands *ret, struct sl_err *err)
{
    const struct sl_project *project = NULL;
    struct sl_arena arena;
    struct sl_db *db = eng_reader_get(e, err);
    if (db == NULL) {
        return -err->code;
    }
    sl_arena_init(&arena, 0);
    int rc = sl_project_current(db, &arena, &project, NULL, err);
    if (rc == 0) {
        ret->reproducible = project->policies.reproducible;
        ret->wheels_only = project->policies.sandbox.level == SL_SANDBOX_STRICT;
    }
    sl_arena_release(&arena);
    eng_reader_put(e, db);
    return rc;
}

/** Nothing may run in what nobody can make again. */
static int check_reproducible(const struct eng_run *r, struct sl_err *err)
{
    for (size_t i = 0; i < r->spec->n_steps; i++) {
        const struct sl_step *s = &r->spec->steps[i];
        bool process = s->action == SL_ACT_RUN || s->action == SL_ACT_COMMAND;
        if (process && s->builds == NULL && s->runtime.kind == SL_RUNTIME_HOST) {
            return sl_err_set(err, SL_EREFUSED,
                              "step '%.100s' runs on the host as it is; the project's policy "
                              "'reproducible' wants 'runtime: { venv: LOCK }'",
                              s->id);
        }
    }
    return 0;
}

static bool only_wheels(const char *record)
{
    bool found = false;
    json_auto_t *env = sl_json_parse("environment", record, strlen(record), NULL);
    json_t *options = json_object_get(env, "options");
    size_t i = 0;
    json_t *option = NULL;
    json_array_foreach (options, i, option) {
        found = found || sl_streq(json_string_value(option), "--only-binary :all:") ||
                sl_streq(json_string_value(option), "--only-binary=:all:");
    }
    return found || !sl_streq(sl_json_str(env, "kind", ""), "venv");
}

/** A source distribution runs code of its own while it is built, and that is done outside the sandbox. */
static int check_only_wheels(const struct eng_run *r, struct sl_err *err)
{
    for (size_t i = 0; i < r->spec->n_steps; i++) {
        if (r->envs[i].record != NULL && !only_wheels(r->envs[i].record)) {
            return sl_err_set(
                err, SL_EREFUSED,
                "%.100s: the project's policy 'sandbox: strict' takes wheels only; put "
                "the line '--only-binary :all:' into the lock",
                r->spec->steps[i].id);
        }
    }
    return 0;
}

int eng_envs_resolve(struct eng_run *r, struct sl_err *err)
{
    struct sl_engine *e = r->e;
    const struct sl_run_envs_world w = {.blobs = e->ws->blobs, .data = e->ws->path};
    struct demands demands = {false, false};
    int rc = read_demands(e, &demands, err);
    rc = rc == 0 && demands.reproducible ? check_reproducible(r, err) : rc;
    rc = rc < 0 ? rc : sl_run_envs_resolve(r->spec, &r->code, &w, &r->arena, &r->envs, err);
    rc = rc == 0 && demands.wheels_only ? check_only_wheels(r, err) : rc;
    rc = rc < 0 ? rc : sl_run_envs_store(r->spec, r->envs, e->ws->blobs, err);
    if (rc == 0 && !sl_blob_has(e->ws->blobs, &e->runtime_digest)) { /* of the host: for 'why' */
        struct sl_digest stored;
        _cleanup_(free)
        char *text = sl_json_canonical(e->runtime);
        rc = sl_blob_put_bytes(e->ws->blobs, text, strlen(text), &stored, err);
    }
    return rc;
}

static int keep_record(struct sl_db *db, const struct eng_run *r, const char *role,
                       const struct sl_digest *d, struct sl_err *err)
{
    struct sl_blob_ref ref = {
        .owner_kind = "run", .owner_id = r->record.id, .role = role, .digest = *d};
    return sl_blob_ref_add(db, &ref, err);
}

static int link_env(struct sl_db *db, const struct eng_run *r, size_t i, struct sl_err *err)
{
    const struct sl_run_env *env = &r->envs[i];
    char id[SL_DIGEST_HEX + 16];
    char hex[SL_DIGEST_HEX + 1];
    snprintf(id, sizeof(id), "sha256:%s", sl_digest_hex(&env->digest, hex));
    json_auto_t *attrs = sl_json_parse("environment", env->record, strlen(env->record), err);
    struct sl_lineage_node node = {.ref = {SL_NODE_ENVIRONMENT, id},
                                   .name = r->spec->steps[i].id,
                                   .attrs = attrs,
                                   .ts_ms = r->record.created_ms};
    struct sl_lineage_edge link = {.from = {SL_NODE_RUN, r->record.id},
                                   .to = node.ref,
                                   .kind = SL_EDGE_RAN_IN,
                                   .run_id = r->record.id,
                                   .ts_ms = r->record.created_ms,
                                   .audit_index = -1};
    int rc = attrs == NULL ? -SL_EINVAL : sl_lineage_node(db, &node, err);
    rc = rc < 0 ? rc : sl_lineage_edge(db, &link, err);
    hex[SL_ENV_ID_HEX] = '\0';
    _cleanup_(free)
    char *role = sl_asprintf("runtime:%s", hex);
    return rc < 0 ? rc : keep_record(db, r, role, &env->digest, err);
}

int eng_envs_insert(struct sl_db *db, const struct eng_run *r, struct sl_err *err)
{
    int rc = keep_record(db, r, "runtime", &r->record.runtime, err);
    for (size_t i = 0; rc == 0 && i < r->spec->n_steps; i++) {
        rc = r->envs[i].record != NULL ? link_env(db, r, i, err) : 0;
    }
    return rc;
}

int eng_envs_link_attempt(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    const struct eng_run *r = eng_run_of(e->run);
    bool makes = spec_of(r, e->step)->builds != NULL;
    const struct sl_run_env *env = makes ? made_by(r, e->step) : env_of(r, e->step);
    char id[SL_DIGEST_HEX + 16];
    char hex[SL_DIGEST_HEX + 1];
    if (env == NULL) {
        return 0;
    }
    snprintf(id, sizeof(id), "sha256:%s", sl_digest_hex(&env->digest, hex));
    struct sl_lineage_ref exec = {SL_NODE_STEP_EXECUTION, e->att->id};
    struct sl_lineage_ref it = {SL_NODE_ENVIRONMENT, id};
    struct sl_lineage_edge link = {.from = makes ? it : exec,
                                   .to = makes ? exec : it,
                                   .kind = makes ? SL_EDGE_GENERATED : SL_EDGE_RAN_IN,
                                   .run_id = e->run->id,
                                   .attempt_id = e->att->id,
                                   .ts_ms = e->ts_ms,
                                   .audit_index = -1};
    return sl_lineage_edge(db, &link, err);
}

/* ---- deciding ------------------------------------------------------------------------------------- */

json_t *eng_env_key(const struct eng_run *r, uint32_t step, struct sl_digest *ret_key)
{
    return sl_run_env_key(made_by(r, step), ret_key);
}

bool eng_env_usable(const struct eng_run *r, uint32_t step, const struct sl_artifact *outputs,
                    struct eng_bound *b)
{
    const struct sl_run_env *env = made_by(r, step);
    struct sl_manifest m;
    if (sl_env_ready(r->e->ws->path, &env->digest)) {
        sl_env_touch(r->e->ws->path, &env->digest);
        return true;
    }
    sl_manifest_init(&m);
    if (!sl_digest_is_zero(&outputs[0].digest) &&
        sl_ws_manifest(r->e->ws->blobs, &outputs[0].digest, &m, NULL) == 0) {
        b->wheels = outputs[0].digest; /* it was removed: made again from what is stored */
    }
    sl_manifest_release(&m);
    return false;
}

/* ---- starting ------------------------------------------------------------------------------------- */

static int put_wheels(const struct eng_attempt *ea, const struct eng_bound *b, int dirfd,
                      struct sl_err *err)
{
    struct sl_manifest m;
    sl_manifest_init(&m);
    int rc = sl_mkdirs_at(dirfd, "in", 0755, err);
    rc = rc < 0 ? rc : sl_ws_manifest(ea->run->e->ws->blobs, &b->wheels, &m, err);
    rc = rc < 0 ? rc
                : sl_manifest_materialise(ea->run->e->ws->blobs, &m, dirfd, WHEELS_IN, NULL, err);
    sl_manifest_release(&m);
    return rc < 0 ? sl_err_wrap(err, "stored wheels") : 0;
}

int eng_env_prepare(struct eng_attempt *ea, const struct eng_bound *b, int dirfd,
                    struct sl_err *err)
{
    const struct eng_run *r = ea->run;
    if (spec_of(r, ea->a->step)->builds != NULL) {
        const char *record = made_by(r, ea->a->step)->record;
        int rc =
            sl_publish_file_at(dirfd, "runtime.json", record, strlen(record), 0444, false, err);
        return rc < 0 || sl_digest_is_zero(&b->wheels) ? rc : put_wheels(ea, b, dirfd, err);
    }
    const struct sl_run_env *env = env_of(r, ea->a->step);
    if (env == NULL || sl_env_ready(r->e->ws->path, &env->digest)) {
        return 0;
    }
    return sl_err_set(err, SL_EFAILED,
                      "its environment is not there: the step that makes it did not succeed, or it "
                      "was removed since; run again");
}

const char *const *eng_env_argv(struct eng_attempt *ea, const struct eng_bound *b)
{
    const struct eng_run *r = ea->run;
    struct sl_arena *a = &ea->arena;
    const struct sl_step *s = spec_of(r, ea->a->step);
    const char **argv = SL_ARENA_ARRAY(a, const char *, 16);
    size_t n = 0;
    argv[n++] = r->e->program != NULL ? r->e->program : "sluice";
    argv[n++] = "env";
    argv[n++] = "step";
    argv[n++] = "--data";
    argv[n++] = r->e->ws->path;
    argv[n++] = "--record";
    argv[n++] = sl_arena_printf(a, "%s/runtime.json", ea->dir);
    if (s->builds->kind == SL_RUNTIME_VENV) {
        argv[n++] = "--python";
        argv[n++] = made_by(r, ea->a->step)->python;
    }
    argv[n++] = "--out";
    argv[n++] = sl_arena_printf(a, "%s/out/" SL_PLAN_ENV_OUTPUT, ea->dir);
    if (!sl_digest_is_zero(&b->wheels)) {
        argv[n++] = "--wheels";
        argv[n++] = sl_arena_printf(a, "%s/" WHEELS_IN, ea->dir);
    }
    argv[n++] = s->builds->kind == SL_RUNTIME_VENV ? s->builds->venv : s->builds->image;
    argv[n] = NULL;
    return argv;
}

char *eng_env_dir(const struct eng_run *r, uint32_t step)
{
    const struct sl_run_env *env = env_of(r, step);
    bool venv = env != NULL && spec_of(r, step)->runtime.kind == SL_RUNTIME_VENV;
    return venv ? sl_env_path(r->e->ws->path, &env->digest) : NULL;
}

char *eng_env_prefix(const struct eng_run *r, uint32_t step)
{
    const struct sl_run_env *env = env_of(r, step);
    if (env == NULL || env->python == NULL || sl_starts_with(env->python, "/usr/")) {
        return NULL;
    }
    char *path = sl_strdup(env->python); /* PREFIX/bin/python */
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(path, '/');
        *(slash != NULL ? slash : path) = '\0';
    }
    if (path[0] == '\0') { /* it lies at the root, or in /bin */
        free(path);
        return NULL;
    }
    return path;
}

char *eng_env_root(const struct eng_run *r, uint32_t step)
{
    const struct sl_run_env *env = env_of(r, step);
    bool image = env != NULL && spec_of(r, step)->runtime.kind == SL_RUNTIME_IMAGE;
    return image ? sl_env_root(r->e->ws->path, &env->digest) : NULL;
}

json_t *eng_env_config(const struct eng_run *r, uint32_t step)
{
    const struct sl_run_env *env = env_of(r, step);
    bool image = env != NULL && spec_of(r, step)->runtime.kind == SL_RUNTIME_IMAGE;
    return image ? sl_env_config(r->e->ws->path, &env->digest) : NULL;
}

/** What pip, the interpreter and a compiler read from the environment of the engine's user. Nothing else is passed on:
 * building a package from source runs its code. Of pip's own what would put packages elsewhere is held back. */
static bool passed_on(const char *entry)
{
    static const char *const prefixes[] = {"PATH=",
                                           "HOME=",
                                           "USER=",
                                           "LOGNAME=",
                                           "LANG=",
                                           "LC_",
                                           "TZ=",
                                           "PIP_",
                                           "http_proxy=",
                                           "https_proxy=",
                                           "no_proxy=",
                                           "all_proxy=",
                                           "HTTP_PROXY=",
                                           "HTTPS_PROXY=",
                                           "NO_PROXY=",
                                           "ALL_PROXY=",
                                           "SSL_CERT_",
                                           "NETRC=",
                                           "XDG_",
                                           "REQUESTS_CA_",
                                           "CURL_CA_",
                                           "CC=",
                                           "CXX=",
                                           "CFLAGS=",
                                           "CXXFLAGS=",
                                           "CPPFLAGS=",
                                           "LDFLAGS=",
                                           "LD_LIBRARY_PATH=",
                                           "MAKEFLAGS=",
                                           "ASAN_OPTIONS=",
                                           "UBSAN_OPTIONS=",
                                           "LSAN_OPTIONS=",
                                           "SLUICE_FAULT="};
    static const char *const held_back[] = {
        "PIP_TARGET=",  "PIP_PREFIX=",      "PIP_ROOT=",     "PIP_USER=",
        "PIP_NO_DEPS=", "PIP_REQUIREMENT=", "PIP_EDITABLE=", "PIP_DRY_RUN="};
    bool passed = false;
    for (size_t i = 0; i < SL_LEN(prefixes); i++) {
        passed = passed || sl_starts_with(entry, prefixes[i]);
    }
    for (size_t i = 0; i < SL_LEN(held_back); i++) {
        passed = passed && !sl_starts_with(entry, held_back[i]);
    }
    return passed;
}

const char *const *eng_env_build_vars(struct eng_attempt *ea)
{
    const char *const *host = ea->run->e->host_env;
    struct sl_arena *a = &ea->arena;
    size_t n = 0;
    while (host != NULL && host[n] != NULL) {
        n++;
    }
    const char **out = SL_ARENA_ARRAY(a, const char *, n + 2);
    size_t used = 0;
    for (size_t i = 0; i < n && used < SL_RUNNER_ENV_MAX - 1; i++) {
        if (passed_on(host[i])) {
            out[used++] = host[i];
        }
    }
    out[used++] = sl_arena_printf(a, "TMPDIR=%s/tmp", ea->dir);
    out[used] = NULL;
    return out;
}
