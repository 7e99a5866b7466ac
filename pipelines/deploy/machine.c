/**
 * The deployment machine as a table.
 *
 *     requested ─► preparing ─► warming ─► flipping ─► checking ─► promoting ─► live ─► superseded
 *         │            │           │           └───────────┴───────────┴─► reverting       │
 *         └────────────┴───────────┴───────► failed ◄───────────────────────┘     └► rolled_back
 *
 * A rollback to a release that is still on disk goes from requested to flipping at once.
 * Pure data. Must not: hold state.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy.h"

static const struct sl_sm_state states[] = {
    [SL_DEPLOY_REQUESTED] = {"requested", "recorded, nothing was done yet", false},
    [SL_DEPLOY_PREPARING] = {"preparing", "the release's files are being written and verified",
                             false},
    [SL_DEPLOY_WARMING] = {"warming", "the warm-up command runs in the release", false},
    [SL_DEPLOY_FLIPPING] = {"flipping", "the link is about to lead to the release", false},
    [SL_DEPLOY_CHECKING] = {"checking", "flipped; reload and health check run", false},
    [SL_DEPLOY_PROMOTING] = {"promoting", "healthy; the alias is being moved", false},
    [SL_DEPLOY_LIVE] = {"live", "this version is what the target serves", false},
    [SL_DEPLOY_REVERTING] = {"reverting", "the link is being led back to the previous release",
                             false},
    [SL_DEPLOY_SUPERSEDED] = {"superseded", "a later deployment took over", true},
    [SL_DEPLOY_ROLLED_BACK] = {"rolled_back", "was live and was rolled back", true},
    [SL_DEPLOY_FAILED] = {"failed", "never became live", true},
};

static const struct sl_sm_edge edges[] = {
    {SL_DEPLOY_REQUESTED, SL_DEPLOY_PREPARING, "the release is written"},
    {SL_DEPLOY_REQUESTED, SL_DEPLOY_FLIPPING, "the release is still on disk"},
    {SL_DEPLOY_REQUESTED, SL_DEPLOY_FAILED, "it could not be started, or was overtaken"},
    {SL_DEPLOY_PREPARING, SL_DEPLOY_WARMING, "every file is verified and durable"},
    {SL_DEPLOY_PREPARING, SL_DEPLOY_FAILED, "the release could not be written, or was overtaken"},
    {SL_DEPLOY_WARMING, SL_DEPLOY_FLIPPING, "warmed up"},
    {SL_DEPLOY_WARMING, SL_DEPLOY_FAILED, "the warm-up failed, or it was overtaken"},
    {SL_DEPLOY_FLIPPING, SL_DEPLOY_CHECKING, "the link leads to the release"},
    {SL_DEPLOY_FLIPPING, SL_DEPLOY_REVERTING, "the link could not be changed"},
    {SL_DEPLOY_CHECKING, SL_DEPLOY_PROMOTING, "reload and health check passed"},
    {SL_DEPLOY_CHECKING, SL_DEPLOY_REVERTING, "reload or health check failed"},
    {SL_DEPLOY_PROMOTING, SL_DEPLOY_LIVE, "everything succeeded"},
    {SL_DEPLOY_PROMOTING, SL_DEPLOY_REVERTING, "the alias could not be moved"},
    {SL_DEPLOY_REVERTING, SL_DEPLOY_FAILED, "the previous release is live again"},
    {SL_DEPLOY_LIVE, SL_DEPLOY_SUPERSEDED, "a later deployment is live"},
    {SL_DEPLOY_LIVE, SL_DEPLOY_ROLLED_BACK, "a rollback is live"},
};

const struct sl_sm_table sl_deploy_machine = {
    .name = "deployment",
    .states = states,
    .n_states = SL_LEN(states),
    .edges = edges,
    .n_edges = SL_LEN(edges),
    .start = SL_DEPLOY_REQUESTED,
};
