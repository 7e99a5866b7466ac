/* Reading an ended attempt: outputs into the content store and the registry, metrics and evaluations into
 * the database. Idempotent: content is named by digest, versions by attempt, metrics by file offset.
 * Thread: blob lane; answers on the loop. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/track/track.h"
#include "registry/ingest.h"

#define METRICS_BYTES_MAX ((size_t)256 << 20)

/* ---- outputs -------------------------------------------------------------------------------------- */

void eng_output_path(const struct sl_output *o, char *out, size_t size)
{
    snprintf(out, size, o->path != NULL ? "work/%s" : "out/%s",
             o->path != NULL ? o->path : o->name);
}

static json_t *version_attrs(const struct eng_attempt *ea)
{
    const struct eng_run *r = ea->run;
    return json_pack("{s:s, s:I, s:s, s:s}", "pipeline", r->record.pipeline, "run_number",
                     (json_int_t)r->record.number, "step", r->core.plan->steps[ea->a->step].key,
                     "attempt", ea->a->id);
}

struct facts {
    struct sl_trailer *items;
    size_t n;
};

static struct facts trailers_of(struct eng_attempt *ea, const struct eng_bound *b)
{
    const struct eng_run *r = ea->run;
    struct sl_arena *a = &ea->arena;
    char hex[SL_DIGEST_HEX + 1];
    size_t max = 4;
    for (size_t i = 0; i < b->step.n_inputs; i++) {
        max += b->step.inputs[i].n;
    }
    struct facts f = {SL_ARENA_ARRAY(a, struct sl_trailer, max), 0};
    f.items[f.n++] = (struct sl_trailer){"Run", r->record.id};
    f.items[f.n++] = (struct sl_trailer){
        "Pipeline", sl_arena_printf(a, "sha256:%s", sl_digest_hex(&r->record.spec, hex))};
    f.items[f.n++] = (struct sl_trailer){
        "Env",
        sl_arena_printf(a, "sha256:%s", sl_digest_hex(eng_run_runtime(r, ea->a->step), hex))};
    f.items[f.n++] = (struct sl_trailer){
        "Code",
        sl_arena_printf(a, "sha256:%s", sl_digest_hex(&eng_run_code(r, ea->a->step)->digest, hex))};
    for (size_t i = 0; i < b->step.n_inputs; i++) {
        for (size_t k = 0; k < b->step.inputs[i].n && f.n < SL_TRAILERS_MAX; k++) {
            const struct sl_artifact *v = &b->step.inputs[i].items[k];
            f.items[f.n++] = (struct sl_trailer){
                "Input", sl_arena_printf(a, "%s@v%lld sha256:%s", v->name, (long long)v->version,
                                         sl_digest_hex(&v->digest, hex))};
        }
    }
    return f;
}

static int publish(struct eng_attempt *ea, const struct eng_bound *b, size_t i,
                   const struct sl_manifest *m, struct sl_err *err)
{
    const struct sl_output *o = &ea->run->core.plan->steps[ea->a->step].spec->outputs[i];
    struct facts f = trailers_of(ea, b);
    json_auto_t *attrs = version_attrs(ea);
    struct sl_version_ref version;
    char full[2 * SL_NAME_MAX + 2];
    const struct sl_ws_commit c = {.kind = sl_entity_kind(o->entity),
                                   .ref_name = b->step.output_names[i],
                                   .manifest = m,
                                   .message = sl_arena_printf(&ea->arena, "%s by %s#%lld", o->name,
                                                              ea->run->record.pipeline,
                                                              (long long)ea->run->record.number),
                                   .trailers = f.items,
                                   .n_trailers = f.n,
                                   .run_id = ea->run->record.id,
                                   .attempt_id = ea->a->id,
                                   .attrs = attrs};
    int rc = sl_ws_commit_version(ea->run->e->ws, &c, &version, NULL, full, err);
    if (rc == 0) {
        ea->outputs[i].name = sl_arena_strdup(&ea->arena, full);
        ea->outputs[i].version = version.number;
    }
    return rc;
}

/** Finds what a step wrote, beneath its attempt directory and through no link: a link would carry foreign
 * files into a version. A path descriptor only, so that a FIFO or a device is not touched. */
static int open_output(int dirfd, const char *path, bool *ret_is_dir, struct sl_err *err)
{
    struct stat st;
    int fd = sl_openat_beneath(dirfd, path, O_PATH, 0, err);
    if (fd >= 0 && fstat(fd, &st) < 0) {
        int rc = sl_err_errno(err, errno, "cannot look at '%s'", path);
        (void)close(fd);
        return rc;
    }
    if (fd >= 0) {
        *ret_is_dir = S_ISDIR(st.st_mode);
    }
    return fd;
}

static int take_output(struct eng_attempt *ea, const struct eng_bound *b, int dirfd, size_t i,
                       struct sl_err *err)
{
    const struct sl_plan_step *p = &ea->run->core.plan->steps[ea->a->step];
    const struct sl_output *o = &p->spec->outputs[i];
    char path[4096];
    eng_output_path(o, path, sizeof(path));
    bool is_dir = false;
    _cleanup_(close)
    int fd = open_output(dirfd, path, &is_dir, err);
    if (fd == -SL_ENOTFOUND) {
        return o->optional
                   ? 0
                   : sl_err_set(err, SL_EFAILED,
                                "output '%s' was not written: nothing at $SLUICE_OUT_%s%s%s",
                                o->name, o->name, o->path != NULL ? ", that is " : "",
                                o->path != NULL ? o->path : "");
    }
    if (fd < 0) {
        return sl_err_wrap(err, "output '%s'", o->name);
    }
    struct sl_manifest m;
    sl_manifest_init(&m);
    /* What was opened is taken, never its path again: a process that escaped may be replacing it. */
    int rc = is_dir ? sl_ingest_path(ea->run->e->ws->blobs, fd, ".", NULL, &m, err)
                    : sl_ingest_fd(ea->run->e->ws->blobs, fd, strrchr(path, '/') + 1, &m, err);
    rc = rc < 0 ? rc : sl_ws_put_manifest(ea->run->e->ws->blobs, &m, err);
    ea->outputs[i] = (struct sl_artifact){.entity = o->entity, .name = "", .digest = m.digest};
    if (rc == 0 && o->entity != SL_ENT_NONE && b->step.output_names[i][0] != '\0' &&
        !p->is_champion_eval) {
        rc = publish(ea, b, i, &m, err);
    }
    sl_manifest_release(&m);
    return rc < 0 ? sl_err_wrap(err, "output '%s'", o->name) : 0;
}

static int take_outputs(struct eng_attempt *ea, const struct eng_bound *b, int dirfd,
                        struct sl_err *err)
{
    const struct sl_step *spec = ea->run->core.plan->steps[ea->a->step].spec;
    ea->outputs = sl_calloc(spec->n_outputs + 1, sizeof(*ea->outputs));
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < spec->n_outputs; i++) {
        ea->outputs[i].name = "";
        if (!spec->outputs[i].metrics) {
            rc = take_output(ea, b, dirfd, i, err);
        }
    }
    return rc;
}

/* ---- metrics -------------------------------------------------------------------------------------- */

struct subject { /* what the step's numbers are about */
    const struct sl_artifact *model, *dataset;
    size_t n_models, n_datasets;
};

static void consider(struct subject *s, const struct sl_artifact *v)
{
    if (v->entity == SL_ENT_MODEL) {
        s->n_models++;
        s->model = v;
    } else if (v->entity == SL_ENT_DATASET) {
        s->n_datasets++;
        s->dataset = v;
    }
}

static void scan_inputs(struct subject *s, const struct eng_bound *b, enum sl_entity entity,
                        const char *name)
{
    for (size_t i = 0; i < b->step.n_inputs; i++) {
        const struct sl_bound_input *in = &b->step.inputs[i];
        for (size_t k = 0; k < in->n; k++) {
            if (in->items[k].entity == entity &&
                (name == NULL || sl_streq(in->input->name, name))) {
                consider(s, &in->items[k]);
            }
        }
    }
}

/** The model and dataset that a line is about: named ones, else the only ones. A model that the step made
 * comes before those that it took. False when that is not clear: then it is a metric of the attempt alone. */
static bool subject_of(struct eng_attempt *ea, const struct eng_bound *b, const struct sl_point *pt,
                       struct subject *s)
{
    const struct sl_plan_step *p = &ea->run->core.plan->steps[ea->a->step];
    *s = (struct subject){0};
    if (p->is_champion_eval) {
        s->model = &b->step.champion;
        s->n_models = 1;
    }
    for (size_t i = 0; s->n_models == 0 && ea->outputs != NULL && i < p->spec->n_outputs; i++) {
        const struct sl_output *o = &p->spec->outputs[i];
        bool named = pt->model == NULL || sl_streq(pt->model, o->name);
        if (o->entity == SL_ENT_MODEL && named && !sl_digest_is_zero(&ea->outputs[i].digest)) {
            consider(s, &ea->outputs[i]);
        }
    }
    if (s->n_models == 0) {
        scan_inputs(s, b, SL_ENT_MODEL, pt->model);
    }
    scan_inputs(s, b, SL_ENT_DATASET, pt->dataset);
    return s->n_models == 1 && s->n_datasets == 1;
}

struct metrics_write {
    struct eng_attempt *ea;
    const struct eng_bound *b;
    const struct sl_metrics_chunk *chunk;
    int64_t offset, lines, ts_ms;
    bool evaluate;
};

static int add_evaluations(struct sl_db *db, struct metrics_write *m, struct sl_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->chunk->points.n; i++) {
        const struct sl_point *pt = &m->chunk->points.items[i];
        struct subject s;
        char model[SL_DIGEST_HEX + 16];
        char dataset[SL_DIGEST_HEX + 16];
        char hex[SL_DIGEST_HEX + 1];
        if (!subject_of(m->ea, m->b, pt, &s)) {
            continue;
        }
        snprintf(model, sizeof(model), "sha256:%s", sl_digest_hex(&s.model->digest, hex));
        snprintf(dataset, sizeof(dataset), "sha256:%s", sl_digest_hex(&s.dataset->digest, hex));
        struct sl_eval e = {.model_digest = model,
                            .dataset_digest = dataset,
                            .key = pt->key,
                            .slice = pt->slice,
                            .value = pt->value,
                            .attempt_id = m->ea->a->id,
                            .run_id = m->ea->run->record.id,
                            .ts_ms = m->ts_ms};
        rc = sl_eval_add(db, &e, err);
    }
    return rc;
}

static int write_metrics(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct metrics_write *m = arg;
    int64_t stored = 0;
    int64_t lines = 0;
    int rc = sl_track_offset(db, m->ea->a->id, &stored, &lines, err);
    if (rc == 0 && stored < m->offset + (int64_t)m->chunk->consumed) {
        struct sl_track_batch batch = {.run_id = m->ea->run->record.id,
                                       .attempt_id = m->ea->a->id,
                                       .points = m->chunk->points.items,
                                       .n = m->chunk->points.n,
                                       .ts_ms = m->ts_ms,
                                       .offset_from = m->offset,
                                       .offset_to = m->offset + (int64_t)m->chunk->consumed,
                                       .n_lines = m->chunk->n_lines};
        rc = sl_track_append(db, &batch, err);
    }
    return rc < 0 || !m->evaluate ? rc : add_evaluations(db, m, err);
}

static int store_text(struct eng_attempt *ea, const struct eng_bound *b, const struct sl_buf *text,
                      int64_t offset, struct sl_err *err)
{
    struct sl_metrics_chunk chunk;
    struct sl_metrics_input in = {
        .text = sl_buf_str(text), .len = text->len, .first_line = 1, .final = true};
    sl_metrics_parse_chunk(&in, &ea->arena, &chunk);
    if (chunk.n_bad > 0 && ea->outcome.ok) {
        return sl_err_set(err, SL_EINVAL, "metrics: %lld of %lld lines refused; %s",
                          (long long)chunk.n_bad, (long long)chunk.n_lines, chunk.first_bad.msg);
    }
    struct metrics_write m = {.ea = ea,
                              .b = b,
                              .chunk = &chunk,
                              .offset = offset,
                              .ts_ms = ea->outcome.ended_ms,
                              .evaluate = ea->outcome.ok};
    return chunk.points.n == 0 ? 0 : sl_ws_write(ea->run->e->ws, write_metrics, &m, err);
}

/** Reads a file that a step left. It may have put anything in its place: a link is refused, and a FIFO must
 * not keep the lane waiting. */
static int read_left(int dirfd, const char *path, struct sl_buf *out, struct sl_err *err)
{
    struct stat st;
    _cleanup_(close)
    int fd = sl_openat_beneath(dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &st) < 0) {
        return sl_err_errno(err, errno, "cannot look at '%s'", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return sl_err_set(err, SL_EINVAL, "'%s' is not a regular file", path);
    }
    int rc = sl_read_fd(fd, METRICS_BYTES_MAX, out, err);
    return rc < 0 ? sl_err_wrap(err, "file '%s'", path) : 0;
}

/** $SLUICE_METRICS and every `{metrics: FILE}` output, one after the other as one stream. */
static int take_metrics(struct eng_attempt *ea, const struct eng_bound *b, int dirfd,
                        struct sl_err *err)
{
    const struct sl_step *spec = ea->run->core.plan->steps[ea->a->step].spec;
    _cleanup_(buf)
    struct sl_buf all = SL_BUF_INIT(METRICS_BYTES_MAX);
    int rc = read_left(dirfd, "metrics.jsonl", &all, err);
    if (rc < 0 && rc != -SL_ENOTFOUND) {
        return sl_err_wrap(err, "metrics");
    }
    for (size_t i = 0; i < spec->n_outputs && ea->outcome.ok; i++) {
        _cleanup_(buf)
        struct sl_buf one = SL_BUF_INIT(METRICS_BYTES_MAX);
        char path[4096];
        if (!spec->outputs[i].metrics) {
            continue;
        }
        eng_output_path(&spec->outputs[i], path, sizeof(path));
        rc = read_left(dirfd, path, &one, err);
        if (rc < 0 && !(rc == -SL_ENOTFOUND && spec->outputs[i].optional)) {
            return sl_err_wrap(err, "metrics output '%s'", spec->outputs[i].name);
        }
        if (all.len > 0 && all.ptr[all.len - 1] != '\n') {
            sl_buf_putc(&all, '\n');
        }
        struct sl_err as_one = SL_ERR_INIT; /* a pretty-printed object becomes one line */
        json_auto_t *object = sl_json_parse("metrics", sl_buf_str(&one), one.len, &as_one);
        _cleanup_(free)
        char *line = json_is_object(object) ? sl_json_canonical(object) : NULL;
        sl_buf_puts(&all, line != NULL ? line : sl_buf_str(&one));
    }
    return all.len == 0 ? 0 : store_text(ea, b, &all, 0, err);
}

/* ---- collecting ----------------------------------------------------------------------------------- */

static void fail_outcome(struct sl_outcome *o, int rc, const struct sl_err *err)
{
    o->ok = false;
    o->fail = rc == -SL_ENOSPACE || rc == -SL_EIO ? SL_FAIL_INFRA
              : rc == -SL_EREFUSED                ? SL_FAIL_REJECTED
                                                  : SL_FAIL_EXIT;
    snprintf(o->reason, sizeof(o->reason), "%.290s", err->msg);
}

static void collect_fn(struct sl_work *work)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(work, struct eng_attempt, work);
    struct sl_outcome *o = &ea->outcome;
    const struct eng_bound *b = NULL;
    struct sl_err err = SL_ERR_INIT;
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, ea->dir, &err);
    int rc = fd < 0 ? fd : eng_bound_of(ea, &b, &err);
    rc = rc < 0 ? rc : eng_leak_check(ea, fd, &err);
    if (rc == -SL_EREFUSED && !o->ok) {
        char before[sizeof(o->reason)];
        snprintf(before, sizeof(before), "%s", o->reason);
        snprintf(o->reason, sizeof(o->reason), "%.120s; %.170s", before, err.msg);
    }
    if (rc == 0 && o->ok) {
        rc = take_outputs(ea, b, fd, &err);
    }
    rc = rc < 0 ? rc : take_metrics(ea, b, fd, &err);
    if (rc == -SL_ENOSPACE) { /* everything stays as it is for an engine with room */
        ea->rc = rc;
        ea->err = err;
        return;
    }
    if (rc < 0 && o->ok) {
        fail_outcome(o, rc, &err);
    }
}

static void keep_outputs(struct eng_attempt *ea)
{
    struct sl_arena *a = &ea->run->arena;
    size_t n = ea->run->core.plan->steps[ea->a->step].spec->n_outputs;
    if (!ea->outcome.ok || ea->outputs == NULL) {
        return;
    }
    struct sl_artifact *kept = SL_ARENA_ARRAY(a, struct sl_artifact, n + 1);
    for (size_t i = 0; i < n; i++) {
        kept[i] = ea->outputs[i];
        kept[i].name = sl_arena_strdup(a, ea->outputs[i].name);
    }
    ea->outcome.outputs = kept;
}

static void collect_done(struct sl_work *work)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(work, struct eng_attempt, work);
    struct sl_engine *e = ea->run->e;
    if (e->closing) {
        return;
    }
    if (ea->rc == -SL_ENOSPACE) {
        sl_core_halt(e->core, &ea->err);
        return;
    }
    keep_outputs(ea);
    sl_core_collected(ea->a, &ea->outcome);
    sl_core_pump(e->core);
}

static void action_collected(struct sl_post *post)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(post, struct eng_attempt, post);
    if (ea->run->e->closing) {
        return;
    }
    struct sl_core *core = ea->run->core.core;
    sl_core_collected(ea->a, &ea->outcome);
    sl_core_pump(core);
}

/** True when the step has declared no outputs and left no metrics: most short steps. One look at a directory
 * whose exit record was just read: not worth a lane. */
static bool left_nothing(const struct eng_attempt *ea)
{
    struct stat st;
    char path[SL_RUNNER_PATH_MAX + 16];
    if (ea->run->core.plan->steps[ea->a->step].spec->n_outputs > 0 ||
        ea->run->bound[ea->a->step] ==
            NULL) { /* adopted: bound while it is collected; a retry needs it */
        return false;
    }
    snprintf(path, sizeof(path), "%s/metrics.jsonl", ea->dir);
    return lstat(path, &st) < 0 && errno == ENOENT;
}

void eng_collect(void *data, struct sl_core_attempt *a)
{
    struct sl_engine *e = data;
    struct eng_attempt *ea = eng_attempt_of(a);
    ea->outcome = a->outcome;
    ea->rc = 0;
    if (a->action || left_nothing(ea)) {
        ea->post.fn = action_collected;
        sl_loop_post(e->loop, &ea->post);
        return;
    }
    ea->work = (struct sl_work){.fn = collect_fn, .done = collect_done};
    int rc = sl_lane_submit(e->prep_lane, &ea->work, NULL);
    SL_ASSERT(rc == 0);
}

/* ---- tidying -------------------------------------------------------------------------------------- */

struct tidying {
    struct sl_work work;
    char *dir;
    bool all;
};

static void tidy_fn(struct sl_work *work)
{
    static const char *const parts[] = {"work", "in", "out", "tmp"};
    const struct tidying *t = SL_CONTAINER_OF(work, struct tidying, work);
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, t->dir, NULL);
    for (size_t i = 0; fd >= 0 && i < SL_LEN(parts); i++) {
        if (sl_remove_tree_at(fd, parts[i], NULL) < 0) {
            continue; /* what stays costs space only */
        }
    }
    if (t->all && sl_remove_tree_at(AT_FDCWD, t->dir, NULL) < 0) {
        return; /* same */
    }
}

static void tidy_done(struct sl_work *work)
{
    struct tidying *t = SL_CONTAINER_OF(work, struct tidying, work);
    free(t->dir);
    free(t);
}

void eng_tidy(struct eng_attempt *ea)
{
    if (ea->run->e->closing) { /* what stays costs space only */
        return;
    }
    struct tidying *t = SL_NEW(struct tidying);
    t->work = (struct sl_work){.fn = tidy_fn, .done = tidy_done};
    t->dir = ea->dir;
    t->all = ea->unheard;
    ea->dir = NULL;
    int rc = sl_lane_submit(ea->run->e->tidy_lane, &t->work, NULL);
    SL_ASSERT(rc == 0); /* one per attempt, and the queue holds as many */
}
