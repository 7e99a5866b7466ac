/* What promotions and deployments ask of the world, answered by a workspace. Thread: a lane or a command. */
#include "core/base/base.h"

#include <stdio.h>

#include "pipelines/deploy/deploy.h"
#include "pipelines/run/engine.h"

static int world_write(void *data, sl_promote_tx_fn fn, void *arg, struct sl_err *err)
{
    return sl_ws_write(data, fn, arg, err);
}

static void holder_of(const struct sl_version_ref *v, struct sl_alias_holder *h)
{
    *h = (struct sl_alias_holder){.exists = true, .number = v->number, .digest = v->digest};
}

struct find_alias {
    const char *alias;
    struct sl_alias_holder *holder;
};

static int match_alias(const char *alias, const struct sl_version_ref *version, void *data,
                       struct sl_err *err)
{
    struct find_alias *f = data;
    (void)err;
    if (sl_streq(alias, f->alias)) {
        holder_of(version, f->holder);
    }
    return 0;
}

static int world_alias_get(void *data, const char *entity, const char *alias,
                           struct sl_alias_holder *ret, struct sl_err *err)
{
    struct sl_workspace *ws = data;
    struct sl_registry *reg = NULL;
    char project[SL_NAME_MAX + 1];
    const char *name = NULL;
    struct sl_alias_holder holder = {0};
    struct find_alias f = {alias, &holder};
    int rc = sl_ref_split(entity, project, &name, err);
    rc = rc < 0 ? rc : sl_ws_registry(ws, project, &reg, err);
    if (rc < 0) {
        return rc;
    }
    rc = sl_registry_aliases(reg, SL_KIND_MODEL, name, match_alias, &f, err);
    sl_ws_registry_done(ws);
    if (rc == 0) {
        *ret = holder;
    }
    return rc;
}

/** The version that a holder names, as the registry knows it. */
static int find_version(struct sl_registry *reg, const char *name, const struct sl_alias_holder *h,
                        struct sl_version_ref *ret, struct sl_err *err)
{
    char ref[SL_NAME_MAX + 40];
    snprintf(ref, sizeof(ref), "%s@v%lld", name, (long long)h->number);
    return h->exists ? sl_registry_resolve(reg, SL_KIND_MODEL, ref, ret, err) : 0;
}

static int world_alias_cas(void *data, const char *entity, const char *alias,
                           const struct sl_alias_holder *from, const struct sl_alias_holder *to,
                           struct sl_err *err)
{
    struct sl_workspace *ws = data;
    struct sl_registry *reg = NULL;
    char project[SL_NAME_MAX + 1];
    const char *name = NULL;
    struct sl_version_ref old = {0};
    struct sl_version_ref new = {0};
    int rc = sl_ref_split(entity, project, &name, err);
    rc = rc < 0 ? rc : sl_ws_registry(ws, project, &reg, err);
    if (rc < 0) {
        return rc;
    }
    rc = find_version(reg, name, from, &old, err);
    rc = rc < 0 ? rc : find_version(reg, name, to, &new, err);
    if (rc == 0) {
        struct sl_alias_move move = {.kind = SL_KIND_MODEL,
                                     .name = name,
                                     .alias = alias,
                                     .to = to->exists ? &new : NULL,
                                     .expected = from->exists ? &old : NULL,
                                     .mode = SL_ALIAS_EXPECT,
                                     .author = {ws->actor, NULL}};
        rc = sl_registry_alias_move(reg, &move, err);
    }
    sl_ws_registry_done(ws);
    return rc < 0 ? rc : sl_ws_index(ws, project, err);
}

static int world_materialise(void *data, const struct sl_artifact *version, int dirfd,
                             struct sl_err *err)
{
    struct sl_workspace *ws = data;
    struct sl_manifest m;
    sl_manifest_init(&m);
    int rc = sl_ws_manifest(ws->blobs, &version->digest, &m, err);
    rc = rc < 0 ? rc : sl_manifest_materialise(ws->blobs, &m, dirfd, ".", NULL, err);
    sl_manifest_release(&m);
    return rc;
}

void sl_workspace_deploy_world(struct sl_workspace *ws, struct sl_deploy_world *ret)
{
    *ret = (struct sl_deploy_world){
        .promote = {.write = world_write,
                    .alias_get = world_alias_get,
                    .alias_cas = world_alias_cas,
                    .data = ws},
        .materialise = world_materialise,
        .data = ws,
    };
}
