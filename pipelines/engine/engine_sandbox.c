/* Isolation in the engine: what a step gets (its own wish, and at least what the project in force demands),
 * refused before anything starts where this machine cannot, and what a shut-in step is given to see.
 * Thread: lanes. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "pipelines/run/project.h"
#include "runners/gpu/nodes.h"

#define PARTS_MAX 9 /* binds of an attempt */

static bool runs_process(const struct sl_step *s)
{
    return s->action == SL_ACT_RUN || s->action == SL_ACT_COMMAND;
}

/** A step that makes an environment is a program of ours: it writes what others are given read-only. */
static struct sl_sandbox_spec wanted(const struct eng_run *r, const struct sl_step *s)
{
    struct sl_sandbox_spec spec = s->sandbox;
    if (!runs_process(s) || s->builds != NULL) {
        return (struct sl_sandbox_spec){.level = SL_SANDBOX_NONE};
    }
    spec = spec.level == SL_SANDBOX_NONE ? r->least_sandbox : spec;
    if (spec.level == SL_SANDBOX_NONE && s->runtime.kind == SL_RUNTIME_IMAGE) {
        spec = (struct sl_sandbox_spec){.level = SL_SANDBOX_STRICT, .network = true};
    }
    return spec;
}

/* ---- before anything starts ----------------------------------------------------------------------- */

static int load_policy(struct eng_run *r, struct sl_err *err)
{
    const struct sl_project *project = NULL;
    struct sl_arena arena;
    struct sl_db *db = eng_reader_get(r->e, err);
    if (db == NULL) {
        return -err->code;
    }
    sl_arena_init(&arena, 0);
    int rc = sl_project_current(db, &arena, &project, NULL, err);
    if (rc == 0) {
        r->least_sandbox = project->policies.sandbox;
    }
    sl_arena_release(&arena);
    eng_reader_put(r->e, db);
    return rc;
}

int eng_check_sandbox(struct eng_run *r, struct sl_err *err)
{
    int rc = load_policy(r, err);
    for (size_t i = 0; rc == 0 && i < r->spec->n_steps; i++) {
        const struct sl_step *s = &r->spec->steps[i];
        struct sl_err why = SL_ERR_INIT;
        if (wanted(r, s).level == SL_SANDBOX_NONE) {
            continue;
        }
        rc = sl_runner_can_isolate(r->e->runner, SL_ISOLATION_STRICT, &why);
        if (rc < 0) {
            rc = sl_err_set(err, why.code, "step '%.60s' must run in a strict sandbox (%s); %s",
                            s->id,
                            s->runtime.kind == SL_RUNTIME_IMAGE   ? "it runs in an image"
                            : s->sandbox.level == SL_SANDBOX_NONE ? "the project's policy"
                                                                  : "it says so",
                            why.msg);
        }
    }
    return rc;
}

json_t *eng_sandbox_policy_json(const struct eng_run *r)
{
    return r->least_sandbox.level == SL_SANDBOX_NONE
               ? NULL
               : json_pack("{s:s, s:b}", "level", sl_isolation_name(SL_ISOLATION_STRICT), "network",
                           r->least_sandbox.network);
}

void eng_sandbox_policy_restore(struct eng_run *r, const json_t *policy)
{
    if (sl_streq(sl_json_str(policy, "level", ""), sl_isolation_name(SL_ISOLATION_STRICT))) {
        r->least_sandbox = (struct sl_sandbox_spec){
            .level = SL_SANDBOX_STRICT, .network = sl_json_bool(policy, "network", false)};
    }
}

void eng_sandbox_key(const struct eng_run *r, uint32_t step, json_t *record, struct sl_digest *key)
{
    struct sl_sandbox_spec spec = wanted(r, r->core.plan->steps[step].spec);
    if (spec.level == SL_SANDBOX_NONE) {
        return; /* the record stays what it was before there were sandboxes */
    }
    json_object_set_new(record, "sandbox",
                        json_pack("{s:s, s:b}", "level", sl_isolation_name(SL_ISOLATION_STRICT),
                                  "network", spec.network));
    _cleanup_(free)
    char *text = sl_json_canonical(record);
    sl_sha256(text, strlen(text), key);
}

/* ---- an attempt ----------------------------------------------------------------------------------- */

static void add(struct sl_attempt_sandbox *box, struct sl_sandbox_bind *binds, const char *path,
                bool writable)
{
    SL_ASSERT(box->n_binds < PARTS_MAX);
    binds[box->n_binds++] = (struct sl_sandbox_bind){path, writable};
}

/** The nodes of the GPUs that the attempt holds, and no others. */
static const char *const *devices_of(struct eng_attempt *ea)
{
    if (ea->gpus == NULL || ea->gpus[0] == '\0') {
        return NULL;
    }
    const char **list = SL_ARENA_ARRAY(&ea->arena, const char *, SL_GPU_NODES_MAX + 1);
    struct sl_gpu_nodes *nodes = SL_ARENA_ARRAY(&ea->arena, struct sl_gpu_nodes, 1);
    sl_gpu_nodes_of(ea->gpus, NULL, nodes);
    for (size_t i = 0; i < nodes->n; i++) {
        list[i] = nodes->paths[i];
    }
    list[nodes->n] = NULL;
    return list;
}

void eng_sandbox_fill(struct eng_attempt *ea, struct sl_attempt_spec *spec)
{
    const struct eng_run *r = ea->run;
    const struct sl_step *s = r->core.plan->steps[ea->a->step].spec;
    const struct sl_sandbox_spec want = wanted(r, s);
    spec->limits.stall_ms = s->stall_timeout_ms;
    spec->limits.disk_bytes = s->resources.disk_bytes;
    spec->checkpoint_dir = sl_arena_printf(&ea->arena, "%s/runs/%s/checkpoint-%u", r->e->ws->path,
                                           r->record.id, ea->a->step);
    if (want.level == SL_SANDBOX_NONE) {
        return;
    }
    struct sl_sandbox_bind *binds = SL_ARENA_ARRAY(&ea->arena, struct sl_sandbox_bind, PARTS_MAX);
    struct sl_attempt_sandbox *box = &spec->sandbox;
    _cleanup_(free)
    char *env_dir = eng_env_dir(r, ea->a->step);
    box->level = SL_ISOLATION_STRICT;
    box->network = want.network;
    box->binds = binds;
    add(box, binds, "work", true);
    add(box, binds, "out", true);
    add(box, binds, "tmp", true);
    add(box, binds, "metrics.jsonl", true);
    add(box, binds, "params.json", false);
    add(box, binds, "in", false);
    add(box, binds, spec->checkpoint_dir, true);
    if (env_dir != NULL) {
        add(box, binds, sl_arena_strdup(&ea->arena, env_dir), false);
    }
    _cleanup_(free)
    char *prefix = eng_env_prefix(r, ea->a->step);
    if (prefix != NULL) {
        add(box, binds, sl_arena_strdup(&ea->arena, prefix), false);
    }
    _cleanup_(free)
    char *root = eng_env_root(r, ea->a->step);
    box->root = root != NULL ? sl_arena_strdup(&ea->arena, root) : NULL;
    box->devices = devices_of(ea);
}

int eng_sandbox_prepare(const struct eng_attempt *ea, int dirfd, struct sl_err *err)
{
    if (wanted(ea->run, ea->run->core.plan->steps[ea->a->step].spec).level == SL_SANDBOX_NONE) {
        return 0;
    }
    /* A step cannot make a file beside its work: it is given an empty one to append to. */
    _cleanup_(close)
    int fd =
        openat(dirfd, "metrics.jsonl", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? sl_err_errno(err, errno, "cannot make metrics.jsonl") : 0;
}
