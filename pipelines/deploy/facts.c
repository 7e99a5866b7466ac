/**
 * What audit, lineage and subscribers are told of a deployment, in the transaction that changes it.
 *
 * Thread: that of the connection. Must not: change deployments.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/bus/bus.h"
#include "core/lineage/lineage.h"

int sl_deploy_fact_event(struct sl_db *db, const struct sl_deployment *d, int from, int64_t now_ms,
                         struct sl_err *err)
{
    json_auto_t *payload = json_object();
    sl_json_set_str(payload, "target", d->target);
    sl_json_set_str(payload, "from", from >= 0 ? sl_sm_name(&sl_deploy_machine, from) : NULL);
    sl_json_set_str(payload, "to", sl_sm_name(&sl_deploy_machine, d->state));
    sl_json_set_str(payload, "reason", d->reason[0] != '\0' ? d->reason : NULL);
    sl_json_set_str(payload, "entity", d->entity);
    sl_json_set_i64(payload, "version", d->number);
    const struct sl_event event = {.ts_ms = now_ms,
                                   .type = SL_EVENT_DEPLOYMENT_STATE,
                                   .run_id = d->run_id[0] != '\0' ? d->run_id : NULL,
                                   .subject = d->id};
    return sl_bus_append(db, &event, payload, NULL, err);
}

int sl_deploy_fact_audit(struct sl_db *db, const struct sl_deployment *d, enum sl_act act,
                         int64_t now_ms, struct sl_err *err)
{
    char digest[SL_DEPLOY_DIGEST];
    const struct sl_actor_id actor_id = {0};
    struct sl_actor_id actor = actor_id;
    (void)snprintf(actor.id, sizeof(actor.id), "%s", d->actor);
    struct sl_audit_obj objs[5] = {
        {.kind = "deployment", .id = d->id},
        {.kind = "target", .id = d->target},
        {.kind = "model_version", .id = d->entity, .digest = sl_deploy_digest(&d->digest, digest)},
    };
    int n = 3;
    if (d->verdict_id[0] != '\0') {
        objs[n++] = (struct sl_audit_obj){.kind = "verdict", .id = d->verdict_id};
    }
    if (d->approval_id[0] != '\0') {
        objs[n++] = (struct sl_audit_obj){.kind = "approval", .id = d->approval_id};
    }
    const struct sl_audit_entry entry = {
        .ts_ms = now_ms,
        .act = act,
        .result = act == SL_ACT_DEPLOYMENT_FAIL    ? SL_AUDIT_ERROR
                  : act == SL_ACT_DEPLOYMENT_START ? SL_AUDIT_INTENT
                                                   : SL_AUDIT_OK,
        .actor = sl_actor_of(&actor),
        .objs = objs,
        .n_objs = n,
        .request = d->run_id[0] != '\0' ? d->run_id : NULL,
    };
    return sl_audit_append(db, &entry, NULL, err);
}

static int add_node(struct sl_db *db, const struct sl_deployment *d, int64_t now_ms,
                    struct sl_err *err)
{
    char name[600];
    json_auto_t *attrs = json_object();
    sl_json_set_str(attrs, "target", d->target);
    sl_json_set_str(attrs, "kind", d->is_rollback ? "rollback" : "deploy");
    sl_json_set_i64(attrs, "generation", d->generation);
    sl_json_set_str(attrs, "release", d->release);
    (void)snprintf(name, sizeof(name), "%s #%lld (%s@v%lld)", d->target, (long long)d->generation,
                   d->entity, (long long)d->number);
    const struct sl_lineage_node node = {
        .ref = {SL_NODE_DEPLOYMENT, d->id}, .name = name, .attrs = attrs, .ts_ms = now_ms};
    int rc = sl_lineage_node(db, &node, err);
    char digest[SL_DEPLOY_DIGEST];
    (void)snprintf(name, sizeof(name), "%s@v%lld", d->entity, (long long)d->number);
    const struct sl_lineage_node version = {
        .ref = {SL_NODE_MODEL_VERSION, sl_deploy_digest(&d->digest, digest)},
        .name = name,
        .ts_ms = now_ms};
    if (rc == 0) {
        rc = sl_lineage_node(db, &version, err);
    }
    const struct sl_lineage_node endpoint = {
        .ref = {SL_NODE_ENDPOINT, d->target}, .name = d->target, .ts_ms = now_ms};
    return rc < 0 ? rc : sl_lineage_node(db, &endpoint, err);
}

int sl_deploy_fact_lineage(struct sl_db *db, const struct sl_deployment *d, int64_t now_ms,
                           struct sl_err *err)
{
    char digest[SL_DEPLOY_DIGEST];
    (void)sl_deploy_digest(&d->digest, digest);
    const struct sl_lineage_ref self = {SL_NODE_DEPLOYMENT, d->id};
    const struct sl_lineage_edge edges[] = {
        {.from = self, .to = {SL_NODE_MODEL_VERSION, digest}, .kind = SL_EDGE_DEPLOYS},
        {.from = {SL_NODE_ENDPOINT, d->target}, .to = self, .kind = SL_EDGE_SERVES},
        {.from = self, .to = {SL_NODE_VERDICT, d->verdict_id}, .kind = SL_EDGE_GOVERNED_BY},
        {.from = self, .to = {SL_NODE_APPROVAL, d->approval_id}, .kind = SL_EDGE_APPROVED_BY},
        {.from = self,
         .to = {SL_NODE_DEPLOYMENT, d->previous_id},
         .kind = SL_EDGE_SUPERSEDES,
         .role = d->is_rollback ? "rollback" : NULL},
        {.from = self, .to = {SL_NODE_RUN, d->run_id}, .kind = SL_EDGE_TRIGGERED_BY},
    };
    int rc = add_node(db, d, now_ms, err);
    for (size_t i = 0; i < SL_LEN(edges) && rc == 0; i++) {
        struct sl_lineage_edge edge = edges[i];
        edge.run_id = d->run_id[0] != '\0' ? d->run_id : NULL;
        edge.attempt_id = d->attempt_id[0] != '\0' ? d->attempt_id : NULL;
        edge.ts_ms = now_ms;
        edge.audit_index = -1;
        if (edge.to.id[0] != '\0') {
            rc = sl_lineage_edge(db, &edge, err);
        }
    }
    return rc;
}
