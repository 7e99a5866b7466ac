/* The list of schemas.h. */
#include "core/base/base.h"

#include "pipelines/run/schemas.h"

#include "core/audit/audit.h"
#include "core/blob/blob_ref.h"
#include "core/bus/bus.h"
#include "core/lineage/lineage.h"
#include "core/secret/secret.h"
#include "core/track/track.h"
#include "pipelines/deploy/deploy.h"
#include "pipelines/run/gc.h"
#include "pipelines/run/notify_store.h"
#include "pipelines/run/project.h"
#include "pipelines/run/vote.h"
#include "pipelines/steps/approval.h"
#include "pipelines/steps/verdict.h"
#include "registry/index.h"

const struct sl_schema *const sl_schemas[] = {
    &sl_audit_schema, &sl_bus_schema,      &sl_lineage_schema,  &sl_track_schema,
    &sl_blob_schema,  &sl_registry_schema, &sl_run_schema,      &sl_version_schema,
    &sl_steps_schema, &sl_deploy_schema,   &sl_approval_schema, &sl_project_schema,
    &sl_vote_schema,  &sl_secret_schema,   &sl_notify_schema,   &sl_gc_schema,
};
const int sl_n_schemas = (int)SL_LEN(sl_schemas);
