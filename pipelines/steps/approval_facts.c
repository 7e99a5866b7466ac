/**
 * What audit, lineage and subscribers are told of an approval, in the transaction that changes it.
 *
 * Thread: that of the connection. Must not: change requests or votes.
 */
#include "core/base/base.h"

#include "pipelines/steps/approval_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/bus/bus.h"
#include "core/lineage/lineage.h"

#define OBJS_MAX 5

int sl_approval_fact_audit(struct sl_db *db, const struct sl_approval_row *row,
                           const struct sl_approval_move *m, int64_t *ret_index, struct sl_err *err)
{
    struct sl_audit_obj objs[OBJS_MAX];
    char candidate[SL_APPROVAL_DIGEST], pipeline[SL_APPROVAL_DIGEST], evidence[SL_APPROVAL_DIGEST];
    int n = 0;
    objs[n++] = (struct sl_audit_obj){"approval", row->id,
                                      sl_approval_digest(&row->bound.evidence, evidence)};
    objs[n++] = (struct sl_audit_obj){"run", row->run_id,
                                      sl_approval_digest(&row->bound.pipeline, pipeline)};
    if (row->bound.entity != NULL) {
        objs[n++] = (struct sl_audit_obj){"model_version", row->bound.entity,
                                          sl_approval_digest(&row->bound.candidate, candidate)};
    }
    _cleanup_(free)
    char *targets = sl_asprintf("%.*s", SL_AUDIT_ID_MAX, row->bound.targets);
    if (targets[0] != '\0') {
        objs[n++] = (struct sl_audit_obj){"target", targets, NULL};
    }
    bool denied = m->act == SL_ACT_APPROVAL_DENIED || m->act == SL_ACT_APPROVAL_REJECT ||
                  m->act == SL_ACT_APPROVAL_EXPIRE || m->act == SL_ACT_APPROVAL_VOID;
    const struct sl_audit_entry entry = {.ts_ms = m->now_ms,
                                         .act = m->act,
                                         .result = denied ? SL_AUDIT_DENIED : SL_AUDIT_OK,
                                         .actor = *m->actor,
                                         .objs = objs,
                                         .n_objs = n,
                                         .request = row->run_id,
                                         .reason = m->words};
    return sl_audit_append(db, &entry, ret_index, err);
}

int sl_approval_fact_event(struct sl_db *db, const struct sl_approval_row *row, const char *what,
                           const char *who, int64_t now_ms, struct sl_err *err)
{
    json_auto_t *payload = json_object();
    char candidate[SL_APPROVAL_DIGEST];
    bool asked = sl_streq(what, "requested");
    sl_json_set_str(payload, "approval", row->id);
    sl_json_set_str(payload, "state", sl_approval_states[row->state]);
    sl_json_set_str(payload, "what", what);
    sl_json_set_str(payload, "by", who);
    sl_json_set_str(payload, "entity", row->bound.entity);
    sl_json_set_str(payload, "candidate", sl_approval_digest(&row->bound.candidate, candidate));
    sl_json_set_str(payload, "targets", row->bound.targets);
    sl_json_set_i64(payload, "deadline_ms", row->deadline_ms);
    const struct sl_event event = {.ts_ms = now_ms,
                                   .type = asked ? SL_EVENT_APPROVAL_REQUESTED
                                                 : SL_EVENT_APPROVAL_STATE,
                                   .run_id = row->run_id,
                                   .subject = row->step_key};
    return sl_bus_append(db, &event, payload, NULL, err);
}

static struct sl_lineage_ref self_of(const struct sl_approval_row *row)
{
    return (struct sl_lineage_ref){SL_NODE_APPROVAL, row->id};
}

static int edge(struct sl_db *db, const struct sl_approval_row *row, struct sl_lineage_edge e,
                struct sl_err *err)
{
    e.run_id = row->run_id;
    return sl_lineage_edge(db, &e, err);
}

/** The verdicts that spoke for the candidate when it was asked for. */
static int used_verdicts(struct sl_db *db, const struct sl_approval_row *row, int64_t audit_index,
                         struct sl_err *err)
{
    json_auto_t *ids = sl_json_parse("verdicts", row->verdicts, strlen(row->verdicts), err);
    size_t i = 0;
    json_t *id = NULL;
    int rc = ids == NULL ? -SL_ECORRUPT : 0;
    json_array_foreach (ids, i, id) {
        struct sl_lineage_edge e = {.from = self_of(row),
                                    .to = {SL_NODE_VERDICT, json_string_value(id)},
                                    .kind = SL_EDGE_USED,
                                    .role = "evidence",
                                    .ts_ms = row->created_ms,
                                    .audit_index = audit_index};
        rc = rc < 0 ? rc : edge(db, row, e, err);
    }
    return rc;
}

int sl_approval_fact_asked(struct sl_db *db, const struct sl_approval_row *row, int64_t audit_index,
                           struct sl_err *err)
{
    char pipeline[SL_APPROVAL_DIGEST], code[SL_APPROVAL_DIGEST], evidence[SL_APPROVAL_DIGEST];
    json_auto_t *attrs = json_object();
    sl_json_set_str(attrs, "step", row->step_key);
    sl_json_set_str(attrs, "targets", row->bound.targets);
    sl_json_set_str(attrs, "pipeline", sl_approval_digest(&row->bound.pipeline, pipeline));
    sl_json_set_str(attrs, "code", sl_approval_digest(&row->bound.code, code));
    sl_json_set_str(attrs, "evidence", sl_approval_digest(&row->bound.evidence, evidence));
    sl_json_set_i64(attrs, "quorum", row->rule.quorum);
    sl_json_set_str(attrs, "requester", row->requester);
    _cleanup_(free)
    char *name = row->bound.entity != NULL
                     ? sl_asprintf("approval of %s@v%lld%s%.100s", row->bound.entity,
                                   (long long)row->bound.number,
                                   row->bound.targets[0] != '\0' ? " for " : "", row->bound.targets)
                     : sl_asprintf("approval of step %.200s", row->step_key);
    const struct sl_lineage_node node = {
        .ref = self_of(row), .name = name, .attrs = attrs, .ts_ms = row->created_ms};
    int rc = sl_lineage_node(db, &node, err);
    struct sl_lineage_edge asked = {.from = self_of(row),
                                    .to = {SL_NODE_RUN, row->run_id},
                                    .kind = SL_EDGE_TRIGGERED_BY,
                                    .ts_ms = row->created_ms,
                                    .audit_index = audit_index};
    rc = rc < 0 ? rc : edge(db, row, asked, err);
    return rc < 0 ? rc : used_verdicts(db, row, audit_index, err);
}

int sl_approval_fact_given(struct sl_db *db, const struct sl_approval_row *row, int64_t now_ms,
                           int64_t audit_index, struct sl_err *err)
{
    char digest[SL_APPROVAL_DIGEST];
    struct sl_lineage_edge e = {.from = {SL_NODE_RUN, row->run_id},
                                .to = self_of(row),
                                .kind = SL_EDGE_APPROVED_BY,
                                .ts_ms = now_ms,
                                .audit_index = audit_index};
    if (row->bound.entity != NULL) {
        e.from = (struct sl_lineage_ref){SL_NODE_MODEL_VERSION,
                                         sl_approval_digest(&row->bound.candidate, digest)};
    }
    return edge(db, row, e, err);
}

int sl_approval_fact_vote(struct sl_db *db, const struct sl_approval_row *row, const char *person,
                          bool approve, int64_t now_ms, int64_t audit_index, struct sl_err *err)
{
    struct sl_lineage_edge e = {.from = self_of(row),
                                .to = {SL_NODE_PRINCIPAL, person},
                                .kind = approve ? SL_EDGE_APPROVED_BY : SL_EDGE_GOVERNED_BY,
                                .role = approve ? "approved" : "rejected",
                                .ts_ms = now_ms,
                                .audit_index = audit_index};
    return edge(db, row, e, err);
}
