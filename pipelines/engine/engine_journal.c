/* A batch of the core's journal as one transaction: rows, events, audit, lineage. Thread: writer; the
 * answer on the loop. What entries point at does not change until the batch is answered. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit.h"
#include "core/bus/bus.h"
#include "core/lineage/lineage.h"
#include "pipelines/steps/approval.h"

struct eng_write {
    struct sl_db_write w;
    struct sl_engine *e;
    struct sl_journal *j;
};

static const struct sl_actor engine_actor = {"engine", "engine", "internal"};

static int audit(struct sl_db *db, const struct sl_jentry *e, enum sl_act act, const char *kind,
                 const char *id, struct sl_err *err)
{
    struct sl_audit_obj obj = {kind, id, NULL};
    struct sl_audit_entry entry = {.ts_ms = e->ts_ms,
                                   .act = act,
                                   .actor = engine_actor,
                                   .objs = &obj,
                                   .n_objs = 1,
                                   .request = e->run->id};
    return sl_audit_append(db, &entry, NULL, err);
}

/** Takes the payload. A failure so far (`rc`) is passed on. */
static int event(struct sl_db *db, const struct sl_jentry *e, enum sl_event_type type,
                 const char *subject, json_t *payload, int rc, struct sl_err *err)
{
    struct sl_event ev = {
        .ts_ms = e->ts_ms, .type = type, .run_id = e->run->id, .subject = subject};
    rc = rc < 0 ? rc : sl_bus_append(db, &ev, payload, NULL, err);
    json_decref(payload);
    return rc;
}

/* ---- runs ----------------------------------------------------------------------------------------- */

static int apply_run(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    struct sl_run_move m = {.id = e->run->id,
                            .from = (enum sl_run_state)e->from,
                            .to = (enum sl_run_state)e->to,
                            .reason = e->reason,
                            .ts_ms = e->ts_ms,
                            .timed_out = e->run->timed_out};
    bool final = sl_run_machine.states[e->to].final;
    int rc = sl_run_move(db, &m, err);
    json_t *payload = json_pack("{s:s, s:s, s:s}", "from", sl_sm_name(&sl_run_machine, e->from),
                                "to", sl_sm_name(&sl_run_machine, e->to), "reason", e->reason);
    rc = event(db, e, final ? SL_EVENT_RUN_FINISHED : SL_EVENT_RUN_STARTED, NULL, payload, rc, err);
    enum sl_act act = final                        ? SL_ACT_RUN_FINISH
                      : e->to == SL_RUN_CANCELLING ? SL_ACT_RUN_CANCEL
                                                   : SL_ACT_RUN_START;
    return rc < 0 ? rc : audit(db, e, act, "run", e->run->id, err);
}

/* ---- lineage of a step ---------------------------------------------------------------------------- */

static void version_id(const struct sl_artifact *v, char out[SL_DIGEST_HEX + 16])
{
    char hex[SL_DIGEST_HEX + 1];
    snprintf(out, SL_DIGEST_HEX + 16, "sha256:%s", sl_digest_hex(&v->digest, hex));
}

static int link_version(struct sl_db *db, const struct sl_jentry *e, const char *exec_id,
                        const struct sl_artifact *v, const char *role, bool made,
                        struct sl_err *err)
{
    char id[SL_DIGEST_HEX + 16];
    char name[2 * SL_NAME_MAX + 40];
    version_id(v, id);
    struct sl_lineage_ref exec = {SL_NODE_STEP_EXECUTION, exec_id};
    struct sl_lineage_ref version = {(enum sl_node_kind)sl_entity_node(v->entity), id};
    struct sl_lineage_edge link = {.from = made ? version : exec,
                                   .to = made ? exec : version,
                                   .kind = made ? SL_EDGE_GENERATED : SL_EDGE_USED,
                                   .role = role,
                                   .run_id = e->run->id,
                                   .attempt_id = exec_id,
                                   .ts_ms = e->ts_ms,
                                   .audit_index = -1};
    int rc = 0;
    if (v->version > 0) {
        snprintf(name, sizeof(name), "%s@v%lld", v->name, (long long)v->version);
        struct sl_lineage_node node = {.ref = version, .name = name, .ts_ms = e->ts_ms};
        rc = sl_lineage_node(db, &node, err);
    }
    return rc < 0 ? rc : sl_lineage_edge(db, &link, err);
}

static int link_start(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    struct eng_run *r = eng_run_of(e->run);
    const struct eng_bound *b = r->bound[e->step];
    const char *id = e->att->id;
    char name[SL_SPEC_NAME_MAX + 400];
    snprintf(name, sizeof(name), "%s#%lld/%s", r->record.pipeline, (long long)r->record.number,
             r->core.plan->steps[e->step].key);
    struct sl_lineage_node node = {
        .ref = {SL_NODE_STEP_EXECUTION, id}, .name = name, .ts_ms = e->ts_ms};
    const char *isolation = eng_attempt_of(e->att)->proc.identity.isolation;
    json_auto_t *attrs = sl_starts_with(isolation, sl_isolation_name(SL_ISOLATION_STRICT))
                             ? json_pack("{s:s}", "isolation", isolation)
                             : NULL; /* none is not worth a fact */
    node.attrs = attrs;
    struct sl_lineage_edge part = {.from = node.ref,
                                   .to = {SL_NODE_RUN, r->record.id},
                                   .kind = SL_EDGE_PART_OF,
                                   .run_id = r->record.id,
                                   .attempt_id = id,
                                   .ts_ms = e->ts_ms,
                                   .audit_index = -1};
    int rc = sl_lineage_node(db, &node, err);
    rc = rc < 0 ? rc : sl_lineage_edge(db, &part, err);
    rc = rc < 0 ? rc : eng_envs_link_attempt(db, e, err);
    for (size_t i = 0; b != NULL && rc == 0 && i < b->step.n_inputs; i++) {
        const struct sl_bound_input *in = &b->step.inputs[i];
        for (size_t k = 0; rc == 0 && k < in->n; k++) {
            rc = link_version(db, e, id, &in->items[k], in->input->name, false, err);
        }
    }
    return rc;
}

static int link_outputs(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    const struct sl_step *spec = e->run->plan->steps[e->step].spec;
    const struct sl_artifact *outputs = e->att->outcome.outputs;
    int rc = 0;
    for (size_t i = 0; outputs != NULL && rc == 0 && i < spec->n_outputs; i++) {
        if (!sl_digest_is_zero(&outputs[i].digest)) {
            rc = link_version(db, e, e->att->id, &outputs[i], spec->outputs[i].name, true, err);
        }
    }
    return rc;
}

/* ---- attempts and steps --------------------------------------------------------------------------- */

static int apply_attempt_start(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    const struct eng_attempt *ea = eng_attempt_of(e->att);
    const char *key = e->run->plan->steps[e->step].key;
    int rc = sl_attempt_store_start(db, e->att, ea->identity != NULL ? ea->identity : "{}",
                                    e->ts_ms, err);
    rc = rc < 0 ? rc : link_start(db, e, err);
    rc = rc < 0 ? rc : eng_secrets_record(db, e, err);
    json_t *payload = json_pack("{s:s, s:i}", "attempt", e->att->id, "number", e->att->number);
    rc = event(db, e, SL_EVENT_ATTEMPT_STARTED, key, payload, rc, err);
    return rc < 0 ? rc : audit(db, e, SL_ACT_STEP_ATTEMPT, "attempt", e->att->id, err);
}

static int apply_attempt_end(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    const struct sl_outcome *o = &e->att->outcome;
    int rc = sl_attempt_store_end(db, e->att, (enum sl_attempt_state)e->to, err);
    rc = rc < 0 ? rc : link_outputs(db, e, err);
    json_t *payload = json_pack("{s:s, s:i, s:s, s:s, s:i, s:i}", "attempt", e->att->id, "number",
                                e->att->number, "state", sl_sm_name(&sl_attempt_machine, e->to),
                                "class", o->ok ? "" : sl_fail_class_names[o->fail], "exit_code",
                                o->exit_code, "signal", o->signal);
    rc =
        event(db, e, SL_EVENT_ATTEMPT_FINISHED, e->run->plan->steps[e->step].key, payload, rc, err);
    return rc < 0 ? rc : audit(db, e, SL_ACT_STEP_FINISH, "attempt", e->att->id, err);
}

static int apply_preempt(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    int rc = sl_attempt_store_preempt(db, e->att, e->reason, err);
    json_t *payload = json_pack("{s:s, s:i, s:s}", "attempt", e->att->id, "number", e->att->number,
                                "reason", e->reason);
    rc = event(db, e, SL_EVENT_ATTEMPT_PREEMPTED, e->run->plan->steps[e->step].key, payload, rc,
               err);
    return rc < 0 ? rc : audit(db, e, SL_ACT_STEP_PREEMPT, "attempt", e->att->id, err);
}

static bool fills_cache(const struct sl_jentry *e)
{
    const struct eng_run *r = eng_run_of(e->run);
    const struct sl_plan_step *p = &r->core.plan->steps[e->step];
    return e->to == SL_STEP_SUCCEEDED && e->has_key && p->spec->cache == SL_CACHE_AUTO &&
           !p->spec->effects_external && !p->is_champion_eval && !p->is_finally;
}

static int store_outputs(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    const struct sl_step *spec = e->run->plan->steps[e->step].spec;
    int rc = 0;
    for (size_t i = 0; e->outputs != NULL && rc == 0 && i < spec->n_outputs; i++) {
        if (!sl_digest_is_zero(&e->outputs[i].digest)) {
            rc = sl_output_store(db, e->run->id, e->step, spec->outputs[i].name, &e->outputs[i],
                                 err);
        }
    }
    return rc;
}

static int apply_step(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    const struct sl_plan_step *p = &e->run->plan->steps[e->step];
    struct sl_step_move m = {e->run->id, e->step, p->key, p->spec->id, e};
    int rc = sl_step_store_move(db, &m, err);
    rc = rc < 0 ? rc : store_outputs(db, e, err);
    if (rc == 0 && e->to == SL_STEP_SUCCEEDED && p->spec->action == SL_ACT_NOTIFY) {
        rc = eng_notify_record(db, e, err);
    }
    if (rc == 0 && fills_cache(e)) {
        rc = sl_cache_put(db, &e->key, e->run->id, e->step, e->ts_ms, err);
    }
    if (rc == 0 &&
        e->from == SL_STEP_AWAITING) { /* whatever else ended it, nobody is asked any more */
        rc = sl_approval_withdraw(db, e->run->id, p->key, e->reason, e->ts_ms, err);
    }
    json_t *payload = json_pack(
        "{s:s, s:s, s:s, s:i}", "from", sl_sm_name(&sl_step_machine, e->from), "to",
        sl_sm_name(&sl_step_machine, e->to), "reason", e->reason, "attempts", e->attempts);
    rc = event(db, e, SL_EVENT_STEP_STATE, p->key, payload, rc, err);
    if (rc == 0 && e->to == SL_STEP_CACHED) {
        rc = audit(db, e, SL_ACT_STEP_CACHE, "step", p->key, err);
    }
    return rc;
}

static int apply(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    switch (e->kind) {
    case SL_J_RUN: return apply_run(db, e, err);
    case SL_J_STEP: return apply_step(db, e, err);
    case SL_J_ATTEMPT_START: return apply_attempt_start(db, e, err);
    case SL_J_ATTEMPT_END: return apply_attempt_end(db, e, err);
    case SL_J_ATTEMPT_PREEMPT: return apply_preempt(db, e, err);
    }
    return 0;
}

static int write_fn(struct sl_db *db, struct sl_db_write *w, struct sl_err *err)
{
    struct eng_write *ew = SL_CONTAINER_OF(w, struct eng_write, w);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ew->j->entries.n; i++) {
        rc = apply(db, &ew->j->entries.items[i], err);
    }
    return rc < 0 ? sl_err_wrap(err, "the journal could not be written") : rc;
}

/* ---- telling subscribers -------------------------------------------------------------------------- */

static void tell(struct sl_engine *eng, const struct sl_jentry *e)
{
    struct sl_engine_event ev = {.run_id = e->run->id,
                                 .kind = e->kind,
                                 .step = e->step,
                                 .key =
                                     e->kind == SL_J_RUN ? NULL : e->run->plan->steps[e->step].key,
                                 .from = e->from,
                                 .to = e->to,
                                 .attempt = e->att != NULL ? e->att->number : e->attempts,
                                 .ts_ms = e->ts_ms,
                                 .reason = e->reason,
                                 .timed_out = e->run->timed_out};
    struct sl_engine_subscriber *next = NULL;
    for (struct sl_engine_subscriber *s = eng->subscribers; s != NULL; s = next) {
        next = s->next;
        s->fn(s, &ev);
    }
}

/** The engine closes: nobody asks for the answer any more. */
static void drop(struct sl_engine *e, struct sl_journal *j)
{
    for (size_t i = 0; i < j->entries.n; i++) {
        if (j->entries.items[i].kind == SL_J_ATTEMPT_END) {
            eng_attempt_over(e, j->entries.items[i].att);
            free(j->entries.items[i].att);
        }
    }
    sl_vec_free(&j->entries);
    free(j);
}

static void write_done(struct sl_db_write *w)
{
    struct eng_write *ew = SL_CONTAINER_OF(w, struct eng_write, w);
    struct sl_engine *e = ew->e;
    for (size_t i = 0; w->rc == 0 && i < ew->j->entries.n; i++) {
        enum sl_jkind kind = ew->j->entries.items[i].kind;
        if (kind != SL_J_ATTEMPT_END && kind != SL_J_ATTEMPT_PREEMPT) {
            tell(e, &ew->j->entries.items[i]);
        }
    }
    if (!e->closing) {
        sl_core_journaled(e->core, ew->j, w->rc, &w->err);
    } else {
        drop(e, ew->j);
    }
    free(ew);
}

void eng_journal(void *data, struct sl_journal *j)
{
    struct sl_engine *e = data;
    struct eng_write *ew = SL_NEW(struct eng_write);
    ew->e = e;
    ew->j = j;
    ew->w.fn = write_fn;
    ew->w.done = write_done;
    int rc = sl_db_write_submit(e->ws->writer, &ew->w);
    SL_ASSERT(rc == 0); /* one batch per pump: the queue cannot be full of them */
}
