/**
 * Deploying and resuming: the checks before an order becomes a deployment.
 *
 * Thread: a lane (blocks). Must not: leave a row behind for an order that is refused.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/fault.h"
#include "pipelines/deploy/deploy_priv.h"

#define RESUME_MAX 1000 /* unfinished deployments brought to their end by one call */

/* ---- the order ---------------------------------------------------------------------------------------- */

static int check_order(const struct sl_deploy_order *o, struct sl_err *err)
{
    const struct sl_target *t = o->target;
    SL_ASSERT(t != NULL);
    SL_ASSERT(o->actor != NULL);
    if (t->name == NULL || t->name[0] == '\0' || strlen(t->name) > SL_DEPLOY_TARGET_MAX) {
        return sl_err_set(err, SL_EINVAL, "a target's name has 1 to %d bytes",
                          SL_DEPLOY_TARGET_MAX);
    }
    if (t->type == NULL || !sl_streq(t->type, "directory")) {
        return sl_err_set(err, SL_EUNSUPPORTED,
                          "target %s: type '%s' cannot be deployed to yet; "
                          "'directory' can",
                          t->name, t->type != NULL ? t->type : "");
    }
    if (t->path == NULL || t->path[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "target %s has no path", t->name);
    }
    const struct sl_artifact *v = &o->version;
    if (v->entity != SL_ENT_MODEL || v->name == NULL || v->name[0] == '\0' || v->version < 1) {
        return sl_err_set(err, SL_EINVAL,
                          "only a numbered version of a model can be deployed to %s", t->name);
    }
    if (strlen(v->name) >= SL_DEPLOY_ENTITY ||
        (o->alias != NULL && strlen(o->alias) >= SL_DEPLOY_ENTITY)) {
        return sl_err_set(err, SL_ELIMIT, "names of models and aliases have at most %d bytes",
                          SL_DEPLOY_ENTITY - 1);
    }
    if (o->override_reason != NULL && o->override_reason[0] == '\0') {
        return sl_err_set(err, SL_EINVAL, "an override needs a reason");
    }
    return 0;
}

/** The absolute path with every link in its existing part resolved. Caller frees. */
static char *resolve_path(const struct sl_deploy_order *o, struct sl_err *err)
{
    const char *path = o->target->path;
    _cleanup_(free)
    char *joined = path[0] == '/'
                       ? sl_strdup(path)
                       : sl_asprintf("%s/%s", o->base_dir != NULL ? o->base_dir : "/", path);
    _cleanup_(free)
    char *head = sl_strdup(joined);
    char real[PATH_MAX];
    while (realpath(head, real) == NULL) {
        char *slash = strrchr(head, '/');
        if (errno != ENOENT || slash == NULL || slash == head) {
            (void)sl_err_errno(err, errno, "the path of target %s, %s", o->target->name, joined);
            return NULL;
        }
        *slash = '\0';
    }
    const char *rest = joined + strlen(head);
    if (strstr(rest, "/../") != NULL || sl_ends_with(rest, "/..")) {
        (void)sl_err_set(err, SL_EINVAL,
                         "the path of target %s, %s, leads through '..' of a "
                         "directory that does not exist",
                         o->target->name, joined);
        return NULL;
    }
    struct sl_buf clean = SL_BUF_INIT(PATH_MAX);
    sl_buf_puts(&clean, sl_streq(real, "/") ? "" : real);
    for (const char *p = rest; *p != '\0';) {
        size_t len = strcspn(p, "/");
        if (len > 0 && !(len == 1 && p[0] == '.')) {
            sl_buf_putc(&clean, '/');
            sl_buf_add(&clean, p, len);
        }
        p += len + (p[len] == '/');
    }
    if (clean.overflow || clean.len == 0) {
        (void)sl_err_set(err, SL_EINVAL, "the path of target %s, %s, cannot be used",
                         o->target->name, joined);
        sl_buf_release(&clean);
        return NULL;
    }
    return sl_buf_take(&clean);
}

/** What the database knows before the order is accepted. */
struct before {
    const struct sl_deploy_order *o;
    struct sl_arena *a;
    struct sl_deployment by_attempt, live;
    bool has_attempt, has_live;
    struct sl_target_row row;
};

static int before_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct before *b = arg;
    int rc = 0;
    if (b->o->attempt_id != NULL) {
        rc = sl_deployment_by_attempt(db, b->o->attempt_id, &b->by_attempt, &b->has_attempt, err);
    }
    if (rc == 0) {
        rc = sl_target_load(db, b->o->target->name, b->a, &b->row, err);
    }
    if (rc == 0 && b->row.live_id[0] != '\0') {
        b->has_live = true;
        rc = sl_deployment_load(db, b->row.live_id, &b->live, err);
    }
    return rc;
}

/** The version is live and the link still leads to its whole release. */
static bool is_live(const struct before *b, const char *path)
{
    if (!b->has_live || !sl_digest_eq(&b->live.digest, &b->o->version.digest) ||
        !sl_streq(b->live.entity, b->o->version.name)) {
        return false;
    }
    struct sl_release_dir dir = SL_RELEASE_DIR_INIT;
    char current[SL_RELEASE_NAME];
    if (sl_release_dir_open(path, &dir, NULL) < 0) {
        return false;
    }
    sl_release_current(&dir, current);
    bool live = sl_streq(current, b->live.release) && sl_release_intact(&dir, b->live.release);
    sl_release_dir_release(&dir);
    return live;
}

/** Nothing unvalidated goes live: alias and target ask, each when it is protected. */
static int check_permit(const struct sl_deploy_world *w, const struct sl_deploy_order *o,
                        char ret_verdict_id[SL_ID_HEX + 1], struct sl_err *err)
{
    struct sl_promote_permit permit = {0};
    struct sl_promotion p = {
        .entity = o->version.name,
        .alias = o->alias,
        .to = {.exists = true, .number = o->version.version, .digest = o->version.digest},
        .authority = SL_AUTHORITY_VERDICT,
        .actor = o->actor,
        .run_id = o->run_id,
    };
    int rc = 0;
    if (o->override_reason != NULL) {
        return 0; /* the claim records it */
    }
    if (o->alias != NULL) {
        rc = sl_promote_check(&w->promote, &p, &permit, err);
    }
    if (rc == 0 && o->target->is_protected && !permit.is_protected) {
        p.alias = NULL;
        rc = sl_promote_check(&w->promote, &p, &permit, err);
    }
    if (rc < 0) {
        return sl_err_wrap(err, "cannot deploy %s@v%lld to %s", o->version.name,
                           (long long)o->version.version, o->target->name);
    }
    (void)memcpy(ret_verdict_id, permit.verdict_id, sizeof(permit.verdict_id));
    return 0;
}

/** What the environment demands of people. An override of gates is one person's word: it does not count here. */
static int check_approved(const struct sl_deploy_world *w, const struct sl_deploy_order *o,
                          char ret_approval_id[SL_ID_HEX + 1], struct sl_err *err)
{
    int rc = w->approved != NULL ? w->approved(w->data, o, ret_approval_id, err) : 0;
    return rc < 0 ? sl_err_wrap(err, "cannot deploy %s@v%lld to %s", o->version.name,
                                (long long)o->version.version, o->target->name)
                  : 0;
}

static int claim(const struct sl_deploy_world *w, const struct sl_deploy_order *o, const char *path,
                 struct sl_claim *c, struct sl_err *err)
{
    struct sl_target stored = *o->target;
    stored.path = path;
    json_auto_t *spec = sl_target_json(&stored);
    _cleanup_(free)
    char *spec_text = sl_json_canonical(spec);
    c->w = w;
    c->actor = o->actor;
    c->override_reason = o->override_reason;
    c->path = path;
    c->spec = spec_text;
    c->d.number = o->version.version;
    c->d.digest = o->version.digest;
    (void)snprintf(c->d.target, sizeof(c->d.target), "%s", o->target->name);
    (void)snprintf(c->d.entity, sizeof(c->d.entity), "%s", o->version.name);
    (void)snprintf(c->d.alias, sizeof(c->d.alias), "%s", o->alias != NULL ? o->alias : "");
    (void)snprintf(c->d.run_id, sizeof(c->d.run_id), "%s", o->run_id != NULL ? o->run_id : "");
    (void)snprintf(c->d.attempt_id, sizeof(c->d.attempt_id), "%s",
                   o->attempt_id != NULL ? o->attempt_id : "");
    int rc = sl_deploy_claim(c, err);
    c->path = c->spec = NULL;
    if (rc == 0) {
        int fault = SL_FAULT_POINT(DEPLOY_CLAIMED);
        rc = fault != 0 ? sl_err_errno(err, fault, "after the deployment was requested") : 0;
    }
    return rc;
}

/** A deployment that is live already: only its alias may have to follow. */
static int unchanged(const struct sl_deploy_world *w, const struct sl_deploy_order *o,
                     const struct sl_deployment *live, struct sl_deploy_outcome *ret,
                     struct sl_err *err)
{
    if (o->alias != NULL) {
        const struct sl_promotion p = {
            .entity = o->version.name,
            .alias = o->alias,
            .to = {.exists = true, .number = o->version.version, .digest = o->version.digest},
            .authority = o->override_reason != NULL ? SL_AUTHORITY_OVERRIDE : SL_AUTHORITY_VERDICT,
            .reason = o->override_reason,
            .actor = o->actor,
            .run_id = o->run_id,
            .deployment_id = live->id,
        };
        struct sl_alias_holder now = {0};
        struct sl_promoted moved;
        int rc = w->promote.alias_get(w->promote.data, p.entity, p.alias, &now, err);
        if (rc == 0 && !(now.exists && sl_digest_eq(&now.digest, &p.to.digest))) {
            rc = sl_promote_alias(&w->promote, &p, &moved, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    sl_deploy_outcome_fill(live, SL_DEPLOY_UNCHANGED, ret);
    ret->version.name = ret->entity;
    return 0;
}

static int run_order(const struct sl_deploy_world *w, struct before *b,
                     struct sl_deploy_outcome *ret, struct sl_err *err)
{
    int rc = w->promote.write(w->promote.data, before_tx, b, err);
    if (rc < 0) {
        return rc;
    }
    if (b->has_attempt) {
        return sl_exec_run(w, b->by_attempt.id, ret, err);
    }
    _cleanup_(free)
    char *path = resolve_path(b->o, err);
    if (path == NULL) {
        return err != NULL ? -err->code : -SL_EINVAL;
    }
    if (is_live(b, path)) {
        return unchanged(w, b->o, &b->live, ret, err);
    }
    struct sl_claim *c = SL_NEW(struct sl_claim);
    rc = check_permit(w, b->o, c->d.verdict_id, err);
    rc = rc < 0 ? rc : check_approved(w, b->o, c->d.approval_id, err);
    if (rc == 0) {
        rc = claim(w, b->o, path, c, err);
    }
    if (rc == 0) {
        rc = sl_exec_run(w, c->d.id, ret, err);
    }
    free(c);
    return rc;
}

int sl_deploy_run(const struct sl_deploy_world *w, const struct sl_deploy_order *order,
                  struct sl_deploy_outcome *ret, struct sl_err *err)
{
    int rc = check_order(order, err);
    if (rc < 0) {
        return rc;
    }
    struct sl_arena a;
    sl_arena_init(&a, 0);
    struct before *b = SL_NEW(struct before);
    b->o = order;
    b->a = &a;
    rc = run_order(w, b, ret, err);
    free(b);
    sl_arena_release(&a);
    return rc;
}

/* ---- resuming ---------------------------------------------------------------------------------------- */

struct unfinished {
    char ids[RESUME_MAX][SL_ID_HEX + 1];
    size_t n;
};

static int unfinished_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct unfinished *u = arg;
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT id FROM deployment WHERE state NOT IN"
                                " ('live', 'superseded', 'rolled_back', 'failed')"
                                " ORDER BY seq LIMIT ?"),
                         "i", (int64_t)RESUME_MAX);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        (void)snprintf(u->ids[u->n++], sizeof(u->ids[0]), "%s", sl_rows_str(&rows, 0));
        rc = 0;
    }
    return rc;
}

int sl_deploy_resume(const struct sl_deploy_world *w, size_t *ret_resumed, struct sl_err *err)
{
    struct unfinished *u = SL_NEW(struct unfinished);
    int rc = w->promote.write(w->promote.data, unfinished_tx, u, err);
    for (size_t i = 0; i < u->n && rc == 0; i++) {
        struct sl_deploy_outcome outcome;
        rc = sl_exec_run(w, u->ids[i], &outcome, err);
        if (rc == -SL_EFAILED || rc == -SL_ECONFLICT) {
            rc = 0; /* recorded with its reason */
        }
    }
    if (rc == 0) {
        *ret_resumed = u->n;
    }
    free(u);
    return rc;
}
