/* What promotions and deployments ask of the world, answered by a workspace. Thread: a lane or a command. */
#include "core/base/base.h"

#include <stdio.h>

#include "pipelines/deploy/deploy.h"
#include "pipelines/run/project.h"
#include "pipelines/run/vote.h"
#include "pipelines/run/workspace.h"

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

/* ---- what the environment demands ----------------------------------------------------------------- */

struct approving {
    const struct sl_deploy_order *o;
    char id[SL_ID_HEX + 1];
    int rc; /* refused: the entries about it are kept all the same */
    struct sl_err err;
};

static int run_digests(struct sl_db *db, const char *run_id, struct sl_arena *a,
                       struct sl_approval_need *need, struct sl_err *err)
{
    struct sl_run_record r;
    int rc = run_id != NULL ? sl_run_find(db, run_id, a, &r, err) : 0;
    if (rc == 0 && run_id != NULL) {
        need->code = r.code;
        sl_run_pipeline_digest(&r, &need->pipeline);
    }
    return rc;
}

/** Without a demand: any approval of this version for the target is linked, and nobody has to have given one. */
static int approve_in(struct sl_db *db, struct approving *x, struct sl_arena *a, struct sl_err *err)
{
    const struct sl_deploy_order *o = x->o;
    struct sl_approval_need need = {.target = o->target->name,
                                    .entity = o->version.name,
                                    .candidate = o->version.digest,
                                    .now_ms = sl_now_ms()};
    int rc = sl_project_current(db, a, &need.project, NULL, err);
    rc = rc < 0 ? rc : run_digests(db, o->run_id, a, &need, err);
    if (rc < 0) {
        return rc;
    }
    const struct sl_environment *env = sl_project_environment_of(need.project, o->target->name);
    bool demanded = env != NULL && env->has_approval;
    if (demanded) {
        need.rule = (struct sl_approval_rule){env->approval.from, env->approval.n_from,
                                              env->approval.quorum, env->approval.deny_requester};
    }
    x->rc = sl_approval_permit(db, &need, x->id, &x->err);
    if (x->rc == -SL_EREFUSED && !demanded) {
        x->rc = 0;
    }
    return x->rc < 0 && x->rc != -SL_EREFUSED ? sl_err_set(err, -x->rc, "%s", x->err.msg) : 0;
}

static int approve_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct sl_arena a;
    sl_arena_init(&a, 0);
    int rc = approve_in(db, arg, &a, err);
    sl_arena_release(&a);
    return rc;
}

static int world_approved(void *data, const struct sl_deploy_order *o, char ret_id[SL_ID_HEX + 1],
                          struct sl_err *err)
{
    struct approving x = {.o = o};
    int rc = sl_ws_write(data, approve_tx, &x, err);
    if (rc == 0 && x.rc < 0) {
        rc = sl_err_set(err, SL_EREFUSED, "%s", x.err.msg);
    }
    if (rc == 0) {
        (void)memcpy(ret_id, x.id, sizeof(x.id));
    }
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
        .approved = world_approved,
        .data = ws,
    };
}
