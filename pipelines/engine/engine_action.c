/* The actions that run inside the engine: gate, deploy, rollback. Each may be run again after a crash: a gate
 * judges again, a deployment with the same attempt id goes on where it was. Thread: act lane; answers on the
 * loop. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/track/track.h"
#include "pipelines/deploy/deploy.h"
#include "pipelines/steps/gate.h"
#include "pipelines/steps/verdict.h"

/* ---- gate: gathering both sides ------------------------------------------------------------------- */

struct side {
    struct sl_arena *a;
    SL_VEC(struct sl_gate_metric) metrics;
    SL_VEC(struct sl_gate_slice) slices;
};

/** Rows come by key, then slice; slices are gathered by name. */
static struct sl_gate_slice *slice_named(struct side *s, const char *name)
{
    for (size_t i = 0; i < s->slices.n; i++) {
        if (sl_streq(s->slices.items[i].name, name)) {
            return &s->slices.items[i];
        }
    }
    sl_vec_push(&s->slices, ((struct sl_gate_slice){.name = sl_arena_strdup(s->a, name)}));
    return &s->slices.items[s->slices.n - 1];
}

static int take_value(const struct sl_eval *e, void *arg)
{
    struct side *s = arg;
    struct sl_gate_metric m = {sl_arena_strdup(s->a, e->key), e->value};
    if (e->slice == NULL || e->slice[0] == '\0') {
        sl_vec_push(&s->metrics, m);
        return 0;
    }
    struct sl_gate_slice *slice = slice_named(s, e->slice);
    struct sl_gate_metric *grown =
        SL_ARENA_ARRAY(s->a, struct sl_gate_metric, slice->n_metrics + 1);
    for (size_t i = 0; i < slice->n_metrics; i++) {
        grown[i] = slice->metrics[i];
    }
    grown[slice->n_metrics] = m;
    slice->metrics = grown;
    slice->n_metrics++;
    return 0;
}

static void digest_text(const struct sl_digest *d, char out[SL_DIGEST_HEX + 16])
{
    char hex[SL_DIGEST_HEX + 1];
    snprintf(out, SL_DIGEST_HEX + 16, "sha256:%s", sl_digest_hex(d, hex));
}

static int load_side(struct sl_db *db, const struct sl_artifact *model,
                     const struct sl_artifact *dataset, struct sl_arena *a,
                     struct sl_gate_side *ret)
{
    struct side s = {.a = a};
    char m[SL_DIGEST_HEX + 16];
    char d[SL_DIGEST_HEX + 16];
    digest_text(&model->digest, m);
    digest_text(&dataset->digest, d);
    struct sl_eval pair = {.model_digest = m, .dataset_digest = d};
    int rc = sl_eval_latest(db, &pair, take_value, &s, NULL);
    *ret = (struct sl_gate_side){
        .name = sl_arena_printf(a, "%s@v%lld", model->name, (long long)model->version),
        .metrics = sl_arena_memdup(a, s.metrics.items, s.metrics.n * sizeof(*s.metrics.items)),
        .n_metrics = s.metrics.n,
        .slices = sl_arena_memdup(a, s.slices.items, s.slices.n * sizeof(*s.slices.items)),
        .n_slices = s.slices.n};
    sl_vec_free(&s.metrics);
    sl_vec_free(&s.slices);
    return rc == -SL_ENOTFOUND ? 0 : rc; /* nothing known: every rule that asks refuses */
}

/* ---- gate: recording ------------------------------------------------------------------------------ */

struct verdict_write {
    struct sl_verdict v;
    const char *override_reason, *override_by;
};

static int write_verdict(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct verdict_write *w = arg;
    int rc = sl_verdict_record(db, &w->v, err);
    if (rc < 0 || w->override_reason == NULL || w->v.result != SL_VERDICT_REFUSE) {
        return rc;
    }
    struct sl_verdict o = w->v;
    struct sl_digest d;
    char hex[SL_DIGEST_HEX + 1];
    sl_sha256(w->v.id, strlen(w->v.id), &d); /* the same attempt gives the same override */
    snprintf(o.id, sizeof(o.id), "%.32s", sl_digest_hex(&d, hex));
    o.result = SL_VERDICT_OVERRIDE;
    o.override_reason = w->override_reason;
    o.override_by = w->override_by;
    o.overrides = w->v.id;
    return sl_verdict_record(db, &o, err);
}

static void split_champion(struct eng_attempt *ea, const struct eng_bound *b, struct sl_verdict *v)
{
    const struct sl_gate *gate = &ea->run->core.plan->steps[ea->a->step].spec->gate;
    const char *text = gate->champion != NULL ? sl_tmpl_source(gate->champion) : NULL;
    const char *at = text != NULL ? strrchr(text, '@') : NULL;
    if (at == NULL || at[1] == '\0') {
        return;
    }
    char project[SL_NAME_MAX + 1];
    const char *rest = NULL;
    if (sl_ref_split(text, project, &rest, NULL) == 0) {
        v->champion_entity =
            sl_arena_printf(&ea->arena, "%s/%.*s", project, (int)(at - rest), rest);
        v->champion_alias = sl_arena_strdup(&ea->arena, at + 1);
        v->has_champion = b->step.has_champion;
        v->champion_digest = b->step.champion.digest;
    }
}

static int record(struct eng_attempt *ea, const struct eng_bound *b,
                  const struct sl_gate_question *q, const struct sl_gate_verdict *verdict,
                  struct sl_err *err)
{
    const struct eng_run *r = ea->run;
    const struct sl_plan_step *p = &r->core.plan->steps[ea->a->step];
    json_auto_t *detail = sl_gate_json(q, verdict);
    struct verdict_write w = {.override_reason = r->record.override_reason,
                              .override_by = r->record.actor};
    w.v = (struct sl_verdict){.run_id = r->record.id,
                              .step_key = p->key,
                              .candidate_entity = b->step.candidate.name,
                              .candidate_number = b->step.candidate.version,
                              .candidate_digest = b->step.candidate.digest,
                              .dataset_name = b->step.has_on ? b->step.on.name : NULL,
                              .dataset_digest = b->step.on.digest,
                              .result = verdict->passed ? SL_VERDICT_PASS : SL_VERDICT_REFUSE,
                              .detail = detail,
                              .actor = r->record.actor,
                              .created_ms = sl_now_ms()};
    snprintf(w.v.id, sizeof(w.v.id), "%s", ea->a->id);
    sl_gate_rules_digest(&p->spec->gate, &w.v.rules_digest);
    split_champion(ea, b, &w.v);
    return sl_ws_write(r->e->ws, write_verdict, &w, err);
}

static int judge(struct eng_attempt *ea, const struct eng_bound *b, struct sl_db *db,
                 struct sl_err *err)
{
    const struct sl_gate *gate = &ea->run->core.plan->steps[ea->a->step].spec->gate;
    struct sl_gate_side candidate;
    struct sl_gate_side champion;
    struct sl_gate_verdict verdict;
    const struct sl_artifact none = {.name = "no dataset"};
    const struct sl_artifact *on = b->step.has_on ? &b->step.on : &none;
    int rc = load_side(db, &b->step.candidate, on, &ea->arena, &candidate);
    if (rc == 0 && b->step.has_champion) {
        rc = load_side(db, &b->step.champion, on, &ea->arena, &champion);
    }
    struct sl_gate_question q = {
        .candidate = &candidate,
        .champion = b->step.has_champion ? &champion : NULL,
        .champion_ref = gate->champion != NULL ? sl_tmpl_source(gate->champion) : NULL,
        .no_champion = gate->no_champion,
        .dataset = sl_arena_printf(&ea->arena, "%s@v%lld", on->name, (long long)on->version),
        .rules = gate->require,
        .n_rules = gate->n_require,
    };
    rc = rc < 0 ? rc : sl_gate_evaluate(&q, &ea->arena, &verdict, err);
    rc = rc < 0 ? rc : record(ea, b, &q, &verdict, err);
    if (rc < 0) {
        return rc;
    }
    struct sl_outcome *o = &ea->outcome;
    bool overridden = !verdict.passed && ea->run->record.override_reason != NULL;
    o->ok = verdict.passed || overridden;
    o->fail = SL_FAIL_REJECTED;
    snprintf(o->reason, sizeof(o->reason), "%s%.250s", overridden ? "overridden; " : "",
             verdict.summary);
    return 0;
}

/* ---- deploy and rollback -------------------------------------------------------------------------- */

/** In a run with gates the override stands in their verdicts; it is not recorded a second time. */
static const char *own_override(const struct eng_run *r)
{
    for (size_t i = 0; i < r->spec->n_steps; i++) {
        if (r->spec->steps[i].action == SL_ACT_GATE) {
            return NULL;
        }
    }
    return r->record.override_reason;
}

static int deploy(struct eng_attempt *ea, const struct eng_bound *b, struct sl_err *err)
{
    const struct eng_run *r = ea->run;
    const struct sl_deploy *d = &r->core.plan->steps[ea->a->step].spec->deploy;
    struct sl_deploy_world world;
    struct sl_deploy_outcome out;
    sl_workspace_deploy_world(r->e->ws, &world);
    struct sl_deploy_order order = {.target = sl_spec_target(r->spec, d->target),
                                    .base_dir = r->record.base_dir,
                                    .version = b->step.candidate,
                                    .alias = d->alias,
                                    .run_id = r->record.id,
                                    .attempt_id = ea->a->id,
                                    .actor = r->record.actor,
                                    .override_reason = own_override(r)};
    if (order.target == NULL) {
        return sl_err_set(err, SL_EINVAL, "no target '%s'", d->target);
    }
    int rc = sl_deploy_run(&world, &order, &out, err);
    if (rc == 0) {
        ea->outcome.ok = true;
        ea->outcome.unchanged = out.result == SL_DEPLOY_UNCHANGED;
        snprintf(ea->outcome.reason, sizeof(ea->outcome.reason), "%s@v%lld %s on %s%s%.100s",
                 out.version.name, (long long)out.version.version,
                 out.result == SL_DEPLOY_UNCHANGED ? "is live already" : "is live", d->target,
                 out.note[0] != '\0' ? "; " : "", out.note);
    }
    return rc;
}

/** The deployment that another step of this run made; empty when it made none. */
static int find_deployment(struct sl_db *db, const struct eng_run *r, const char *target,
                           char out[SL_ID_HEX + 1], struct sl_err *err)
{
    json_t *list = NULL;
    int rc = sl_deploy_list(db, target, SL_DEPLOY_LIST_MAX, &list, err);
    out[0] = '\0';
    for (size_t i = 0; rc == 0 && out[0] == '\0' && i < json_array_size(list); i++) {
        const json_t *d = json_array_get(list, i);
        if (sl_streq(sl_json_str(d, "run_id", ""), r->record.id) &&
            sl_streq(sl_json_str(d, "kind", ""), "deploy")) {
            snprintf(out, SL_ID_HEX + 1, "%s", sl_json_str(d, "id", ""));
        }
    }
    json_decref(list);
    return rc;
}

static void rollback_done(struct eng_attempt *ea, const struct sl_deploy_outcome *out,
                          const char *target)
{
    ea->outcome.ok = true;
    ea->outcome.unchanged = out->result != SL_DEPLOY_DONE;
    if (out->result == SL_DEPLOY_DONE) {
        snprintf(ea->outcome.reason, sizeof(ea->outcome.reason), "%s is back at %s@v%lld (%lld ms)",
                 target, out->version.name, (long long)out->version.version,
                 (long long)out->flip_ms);
    } else {
        snprintf(ea->outcome.reason, sizeof(ea->outcome.reason),
                 "no effect: that deployment is not live");
    }
}

static int rollback(struct eng_attempt *ea, struct sl_db *db, struct sl_err *err)
{
    const struct eng_run *r = ea->run;
    const struct sl_rollback *rb = &r->core.plan->steps[ea->a->step].spec->rollback;
    const struct sl_step *of = rb->of_step != NULL ? sl_spec_step(r->spec, rb->of_step) : NULL;
    const char *target = of != NULL ? of->deploy.target : rb->target;
    char id[SL_ID_HEX + 1] = "";
    struct sl_deploy_world world;
    struct sl_deploy_outcome out = {.result = SL_DEPLOY_NO_EFFECT};
    int rc = of != NULL ? find_deployment(db, r, target, id, err) : 0;
    if (rc == 0 && (of == NULL || id[0] != '\0')) {
        sl_workspace_deploy_world(r->e->ws, &world);
        struct sl_rollback_order order = {.target = target,
                                          .of_deployment = of != NULL ? id : NULL,
                                          .to = rb->to != NULL ? sl_tmpl_source(rb->to) : NULL,
                                          .run_id = r->record.id,
                                          .attempt_id = ea->a->id,
                                          .actor = r->record.actor,
                                          .reason = "rollback step"};
        rc = sl_deploy_rollback(&world, &order, &out, err);
    }
    if (rc == 0) {
        rollback_done(ea, &out, target);
    }
    return rc;
}

/* ---- on the lane ---------------------------------------------------------------------------------- */

static int act(struct eng_attempt *ea, struct sl_db *db, struct sl_err *err)
{
    struct eng_run *r = ea->run;
    const struct sl_step *spec = r->core.plan->steps[ea->a->step].spec;
    if (r->bound[ea->a->step] == NULL) {
        int rc = eng_bind(r, ea->a->step, db, &r->bound[ea->a->step], err);
        if (rc < 0) {
            return rc;
        }
    }
    const struct eng_bound *b = r->bound[ea->a->step];
    switch (spec->action) {
    case SL_ACT_GATE: return judge(ea, b, db, err);
    case SL_ACT_DEPLOY: return deploy(ea, b, err);
    case SL_ACT_ROLLBACK: return rollback(ea, db, err);
    case SL_ACT_RUN:
    case SL_ACT_COMMAND:
    case SL_ACT_APPROVAL:
    case SL_ACT_NOTIFY:
    case SL_ACT_UNSUPPORTED: break;
    }
    return sl_err_set(err, SL_EUNSUPPORTED, "this kind of step cannot be run");
}

static void action_fn(struct sl_work *work)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(work, struct eng_attempt, work);
    struct sl_outcome *o = &ea->outcome;
    struct sl_err err = SL_ERR_INIT;
    *o = (struct sl_outcome){.started_ms = sl_now_ms()};
    struct sl_db *db = eng_reader_get(ea->run->e, &err);
    int rc = db == NULL ? -err.code : act(ea, db, &err);
    if (db != NULL) {
        eng_reader_put(ea->run->e, db);
    }
    o->ended_ms = sl_now_ms();
    ea->rc = rc;
    ea->err = err;
    if (rc < 0) {
        o->ok = false;
        o->fail = rc == -SL_EREFUSED                    ? SL_FAIL_REJECTED
                  : rc == -SL_ENOSPACE || rc == -SL_EIO ? SL_FAIL_INFRA
                  : rc == -SL_ETIMEOUT                  ? SL_FAIL_TIMEOUT
                                                        : SL_FAIL_EXIT;
        snprintf(o->reason, sizeof(o->reason), "%.290s", err.msg);
    }
}

static void action_done(struct sl_work *work)
{
    struct eng_attempt *ea = SL_CONTAINER_OF(work, struct eng_attempt, work);
    struct sl_engine *e = ea->run->e;
    if (e->closing) {
        return;
    }
    if (ea->rc == -SL_ENOSPACE) { /* it goes on, by its attempt's id, in an engine with room */
        sl_core_halt(e->core, &ea->err);
        return;
    }
    struct sl_outcome o = ea->outcome;
    sl_core_exited(ea->a, &o);
    sl_core_pump(e->core);
}

void eng_action_go(struct eng_attempt *ea)
{
    ea->work = (struct sl_work){.fn = action_fn, .done = action_done};
    int rc = sl_lane_submit(ea->run->e->act_lane, &ea->work, NULL);
    SL_ASSERT(rc == 0);
}
