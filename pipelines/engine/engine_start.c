/* From a picked step to a running process: attempt directory, code and inputs, start, go, adopt, cancel.
 * Thread: files on the blob lane, the rest on the loop. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "pipelines/run/data_source.h"

struct eng_attempt *eng_attempt_of(const struct sl_core_attempt *a)
{
    return a->host;
}

char *eng_attempt_dir(const struct sl_engine *e, const char *run_id, const char *attempt_id)
{
    return sl_asprintf("%s/runs/%s/%s", e->ws->path, run_id, attempt_id);
}

/* ---- the attempt directory ------------------------------------------------------------------------ */

static int put_version(const struct eng_attempt *ea, const struct sl_digest *digest, int dirfd,
                       const char *path, struct sl_err *err)
{
    static const struct sl_materialise_opts read_only = {.read_only = true};
    struct sl_manifest m;
    sl_manifest_init(&m);
    int rc = sl_ws_manifest(ea->run->e->ws->blobs, digest, &m, err);
    rc = rc < 0 ? rc
                : sl_ws_materialise(ea->run->e->ws->path, ea->run->e->ws->blobs, NULL, &m, dirfd,
                                    path, &read_only, err);
    sl_manifest_release(&m);
    return rc;
}

static int put_inputs(const struct eng_attempt *ea, const struct eng_bound *b, int dirfd,
                      struct sl_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < b->step.n_inputs; i++) {
        const struct sl_bound_input *in = &b->step.inputs[i];
        for (size_t k = 0; rc == 0 && k < in->n; k++) {
            char path[2 * SL_SPEC_NAME_MAX + 300];
            snprintf(path, sizeof(path), in->is_list ? "in/%s/%s" : "in/%s", in->input->name,
                     in->is_list ? in->item_names[k] : "");
            if (in->is_list && k == 0) {
                char parent[SL_SPEC_NAME_MAX + 8];
                snprintf(parent, sizeof(parent), "in/%s", in->input->name);
                rc = sl_mkdirs_at(dirfd, parent, 0755, err);
            }
            rc = rc < 0 ? rc : put_version(ea, &in->items[k].digest, dirfd, path, err);
        }
        if (rc < 0) {
            return sl_err_wrap(err, "input '%s'", in->input->name);
        }
    }
    return rc;
}

/** Only what the step mentions: anything else would be an input that its cache key does not know. Nobody
 * looks before the attempt is recorded, so the file need not appear at once. */
static int put_params(const struct eng_bound *b, int dirfd, struct sl_err *err)
{
    _cleanup_(free)
    char *text = sl_json_canonical(b->step.used_params);
    _cleanup_(close)
    int fd =
        openat(dirfd, "params.json", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
    return fd < 0 ? sl_err_errno(err, errno, "cannot make params.json")
                  : sl_write_all(fd, text, strlen(text), err);
}

/** Opens the run's directory; its first attempt makes it. */
static int open_run_dir(const struct eng_run *r, struct sl_err *err)
{
    char path[64];
    snprintf(path, sizeof(path), "runs/%s", r->record.id);
    int fd = sl_opendir_at(r->e->ws->fd, path, NULL);
    if (fd >= 0) {
        return fd;
    }
    int rc = sl_mkdirs_at(r->e->ws->fd, path, 0755, err);
    return rc < 0 ? rc : sl_opendir_at(r->e->ws->fd, path, err);
}

/** A step without inputs or outputs has no directory for them: making and removing one costs more than
 * all else that is done for a short step. */
static int make_parts(const struct eng_attempt *ea, const struct eng_bound *b, int fd,
                      struct sl_err *err)
{
    int rc = sl_mkdirs_at(fd, "tmp", 0755, err);
    if (rc == 0 && b->step.n_inputs > 0) {
        rc = sl_mkdirs_at(fd, "in", 0755, err);
    }
    if (rc == 0 && ea->run->core.plan->steps[ea->a->step].spec->n_outputs > 0) {
        rc = sl_mkdirs_at(fd, "out", 0755, err);
    }
    return rc;
}

static int make_dirs(const struct eng_attempt *ea, const struct eng_bound *b, int *ret_fd,
                     struct sl_err *err)
{
    char checkpoint[32];
    _cleanup_(close)
    int run_fd = open_run_dir(ea->run, err);
    if (run_fd < 0) {
        return run_fd;
    }
    snprintf(checkpoint, sizeof(checkpoint), "checkpoint-%u", ea->a->step);
    int rc = sl_mkdirs_at(run_fd, checkpoint, 0755, err);
    rc = rc < 0 ? rc : sl_mkdirs_at(run_fd, ea->a->id, 0755, err);
    _cleanup_(close)
    int fd = rc < 0 ? rc : sl_opendir_at(run_fd, ea->a->id, err);
    rc = fd < 0 ? fd : make_parts(ea, b, fd, err);
    if (rc == 0) {
        *ret_fd = fd;
        fd = -1;
    }
    return rc;
}

static int prepare(struct eng_attempt *ea, const struct eng_bound *b, struct sl_err *err)
{
    _cleanup_(close)
    int fd = -1;
    const struct sl_manifest *code = eng_run_code(ea->run, ea->a->step);
    int rc = make_dirs(ea, b, &fd, err);
    rc = rc < 0 ? rc : sl_manifest_materialise(ea->run->e->ws->blobs, code, fd, "work", NULL, err);
    rc = rc < 0 ? rc : eng_checkpoint_link(ea, fd, err);
    rc = rc < 0 ? rc : put_inputs(ea, b, fd, err);
    rc = rc < 0 ? rc : eng_env_prepare(ea, b, fd, err);
    rc = rc < 0 ? rc : eng_sandbox_prepare(ea, fd, err);
    return rc < 0 ? rc : put_params(b, fd, err);
}

/* ---- start ---------------------------------------------------------------------------------------- */

static int spawn(struct eng_attempt *ea, const struct eng_bound *b, struct sl_err *err)
{
    const struct sl_step *step = ea->run->core.plan->steps[ea->a->step].spec;
    struct sl_attempt_spec spec = {
        .attempt_id = ea->a->id,
        .attempt_dir = ea->dir,
        .argv = step->builds != NULL ? eng_env_argv(ea, b) : b->step.argv,
        .env = eng_step_env(ea, b),
        .limits = {.timeout_ms = step->timeout_ms,
                   .grace_ms = step->grace_ms,
                   .mem_bytes = step->resources.mem_bytes,
                   .cpu_milli = step->resources.cpu_limit_milli,
                   .pids = step->resources.pids},
        .durable_exit = step->effects_external,
    };
    struct eng_secrets secrets;
    eng_sandbox_fill(ea, &spec);
    int rc = spec.sandbox.level != SL_ISOLATION_NONE && ea->gpu_slice
                 ? sl_err_set(err, SL_EREFUSED,
                              "a MIG slice cannot be had in a strict sandbox; ask with mig: forbid")
                 : 0;
    int loaded = eng_secrets_load(ea, &secrets, err);
    rc = rc < 0 ? rc : loaded;
    spec.secrets = secrets.items;
    spec.n_secrets = secrets.n;
    rc = rc < 0 ? rc : ea->run->e->runner_ops->start(ea->run->e->runner, &spec, &ea->proc, err);
    eng_secrets_release(&secrets);
    return rc;
}

static void start_fn(struct sl_work *work)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(work, struct eng_attempt, work);
    const struct eng_bound *b = NULL;
    ea->rc = eng_bound_of(ea, &b, &ea->err);
    ea->rc = ea->rc < 0 ? ea->rc : prepare(ea, b, &ea->err);
    ea->rc = ea->rc < 0 ? ea->rc : spawn(ea, b, &ea->err);
    if (ea->rc == 0) {
        json_auto_t *identity = sl_attempt_identity_json(&ea->proc.identity);
        sl_json_set_str(identity, "gpus", ea->gpus);
        ea->identity = sl_json_canonical(identity);
    }
}

static void start_done(struct sl_work *work)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(work, struct eng_attempt, work);
    struct sl_engine *e = ea->run->e;
    ea->live = ea->rc == 0;
    if (ea->identity == NULL) {
        ea->identity = sl_strdup("{}");
    }
    if (e->closing) {
        return;
    }
    if (ea->rc == -SL_ENOSPACE) { /* nothing of it is journaled: a later engine starts it anew */
        sl_core_halt(e->core, &ea->err);
        return;
    }
    sl_core_started(ea->a, ea->rc, &ea->err);
    sl_core_pump(e->core);
}

static void action_created(struct sl_post *post)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(post, struct eng_attempt, post);
    if (ea->run->e->closing) {
        return;
    }
    struct sl_core *core = ea->run->core.core;
    sl_core_started(ea->a, 0, NULL);
    sl_core_pump(core);
}

static void cannot_start(struct sl_post *post)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(post, struct eng_attempt, post);
    start_done(&ea->work);
}

void eng_start(void *data, struct sl_core_attempt *a)
{
    struct sl_engine *e = data;
    struct eng_attempt *ea = SL_NEW(struct eng_attempt);
    a->host = ea;
    ea->a = a;
    ea->run = eng_run_of(a->run);
    ea->dir = eng_attempt_dir(e, ea->run->record.id, a->id);
    sl_arena_init(&ea->arena, 0);
    if (a->action) {
        ea->identity = sl_strdup("{}");
        ea->post.fn = action_created;
        sl_loop_post(e->loop, &ea->post);
        return;
    }
    ea->work.fn = start_fn;
    ea->work.done = start_done;
    if (ea->run->core.plan->steps[a->step].spec->resources.gpu_count > 0) {
        ea->rc = eng_gpus_lease(ea);
    }
    if (ea->rc < 0) {
        ea->post.fn = cannot_start;
        sl_loop_post(e->loop, &ea->post);
        return;
    }
    int rc = sl_lane_submit(e->prep_lane, &ea->work, NULL);
    SL_ASSERT(rc == 0);
}

/* ---- running -------------------------------------------------------------------------------------- */

static void fill_failure(struct sl_outcome *o, const struct sl_attempt_result *res)
{
    o->ok = false;
    switch (res->class) {
    case SL_CLASS_TIMEOUT: o->fail = SL_FAIL_TIMEOUT; break;
    case SL_CLASS_OOM: o->fail = SL_FAIL_OOM; break;
    case SL_CLASS_CANCELLED: o->fail = SL_FAIL_CANCELLED; break;
    case SL_CLASS_NEVER_STARTED: o->fail = SL_FAIL_NEVER_STARTED; break;
    case SL_CLASS_LOST: o->fail = SL_FAIL_LOST; break;
    case SL_CLASS_INFRA: o->fail = SL_FAIL_INFRA; break;
    case SL_CLASS_STALLED: o->fail = SL_FAIL_STALLED; break;
    case SL_CLASS_DISK: o->fail = SL_FAIL_DISK; break;
    case SL_CLASS_EXIT:
    case SL_CLASS_SIGNAL:
    case SL_CLASS_EXEC_FAILED:
    case SL_CLASS_COUNT: o->fail = SL_FAIL_EXIT; break;
    }
}

static void outcome_of(const struct sl_attempt_result *res, struct sl_outcome *o)
{
    *o = (struct sl_outcome){.ok = res->class == SL_CLASS_EXIT && res->exit_code == 0,
                             .exit_code = SL_MAX(res->exit_code, 0),
                             .signal = res->signal,
                             .oom = res->oom,
                             .started_ms = res->started_ms,
                             .ended_ms = res->ended_ms > 0 ? res->ended_ms : sl_now_ms(),
                             .user_us = res->user_us,
                             .system_us = res->system_us,
                             .maxrss_kb = res->maxrss_kb};
    if (!o->ok) {
        fill_failure(o, res);
    }
    snprintf(o->reason, sizeof(o->reason), "%s", res->reason);
    if (!o->ok && o->reason[0] == '\0') {
        snprintf(o->reason, sizeof(o->reason), "exit code %d", res->exit_code);
    }
}

void eng_exited(struct eng_attempt *ea)
{
    struct sl_outcome o = ea->outcome;
    eng_gpus_verdict(ea, &o);
    sl_core_exited(ea->a, &o);
}

static void on_end(struct sl_attempt *proc, const struct sl_attempt_result *result)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(proc, struct eng_attempt, proc);
    if (ea->run->e->closing) { /* its exit record stays for the next engine */
        return;
    }
    struct sl_core *core = ea->run->core.core;
    ea->live = false;
    outcome_of(result, &ea->outcome);
    if (!eng_gpus_ask(ea)) {
        eng_exited(ea);
        sl_core_pump(core);
    }
}

static void failed_to_go(struct eng_attempt *ea)
{
    struct sl_outcome o = {.fail = SL_FAIL_LOST, .ended_ms = sl_now_ms()};
    snprintf(o.reason, sizeof(o.reason), "%.280s", ea->err.msg);
    sl_core_exited(ea->a, &o);
}

static void late_failure(struct sl_post *post)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(post, struct eng_attempt, post);
    if (ea->run->e->closing) {
        return;
    }
    struct sl_core *core = ea->run->core.core;
    failed_to_go(ea);
    sl_core_pump(core);
}

void eng_go(void *data, struct sl_core_attempt *a)
{
    struct sl_engine *e = data;
    struct eng_attempt *ea = eng_attempt_of(a);
    if (a->action) {
        eng_action_go(ea);
        return;
    }
    ea->proc.on_end = on_end;
    if (e->runner_ops->go(&ea->proc, &ea->err) < 0) {
        ea->post.fn = late_failure;
        sl_loop_post(e->loop, &ea->post);
    }
}

void eng_discard(void *data, struct sl_core_attempt *a)
{
    struct sl_engine *e = data;
    struct eng_attempt *ea = eng_attempt_of(a);
    if (!a->action && ea->live) {
        e->runner_ops->release(&ea->proc);
        ea->live = false;
    }
}

void eng_adopt(void *data, struct sl_core_attempt *a)
{
    struct sl_engine *e = data;
    struct eng_attempt *ea = eng_attempt_of(a);
    struct sl_attempt_identity identity;
    if (a->action) {
        eng_action_go(
            ea); /* gates judge again; a deployment with this attempt's id goes on where it was */
        return;
    }
    json_auto_t *json = sl_json_parse("identity", ea->identity, strlen(ea->identity), &ea->err);
    ea->proc.on_end = on_end;
    eng_gpus_restore(ea, sl_json_str(json, "gpus", NULL));
    int rc = json == NULL ? -SL_ECORRUPT : sl_attempt_identity_parse(json, &identity, &ea->err);
    rc = rc < 0 ? rc : e->runner_ops->adopt(e->runner, &identity, ea->dir, &ea->proc, &ea->err);
    ea->live = rc == 0;
    if (rc < 0) {
        ea->post.fn = late_failure;
        sl_loop_post(e->loop, &ea->post);
    }
}

void eng_cancel(void *data, struct sl_core_attempt *a)
{
    struct sl_engine *e = data;
    struct eng_attempt *ea = eng_attempt_of(a);
    if (!a->action && ea->live) { /* an action is short and must not be cut in half */
        (void)e->runner_ops->cancel(&ea->proc, NULL);
    }
}

void eng_attempt_over(void *data, struct sl_core_attempt *a)
{
    struct eng_attempt *ea = eng_attempt_of(a);
    struct eng_run *r = ea->run;
    (void)data;
    if (sl_step_state_final(r->core.steps[a->step].state)) {
        eng_bound_free(r->bound[a->step]);
        r->bound[a->step] = NULL;
    }
    eng_gpus_release(ea);
    ea->unheard = a->ahead;
    if (!a->action) {
        eng_tidy(ea);
    }
    sl_arena_release(&ea->arena);
    free(ea->dir);
    free(ea->identity);
    free(ea->outputs);
    free(ea);
    a->host = NULL;
}
