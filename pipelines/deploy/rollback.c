/**
 * Rollback: which earlier version, and the order to go back to it.
 *
 * Thread: a lane (blocks). Must not: go to a version that was never live on the target.
 */
#include "core/base/base.h"

#include "pipelines/deploy/deploy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/fault.h"
#include "pipelines/deploy/deploy_priv.h"

#define HISTORY_MAX 10000 /* earlier deployments looked at */

/** What a rollback looks for, and what it found. */
struct search {
    const struct sl_rollback_order *o;
    struct sl_arena *a;
    char target[SL_DEPLOY_TARGET_MAX + 1];
    struct sl_deployment by_attempt, live, to;
    bool has_attempt, has_live, has_to, is_live_version;
    struct sl_target_row row;
};

/** "previous", or what a version is called: v3, 3, name@v3, sha256:..., or the start of a digest. */
static bool is_previous(const char *to)
{
    return to == NULL || sl_streq(to, "previous");
}

static bool matches(const struct sl_deployment *d, const char *to)
{
    const char *at = strrchr(to, '@');
    const char *text = at != NULL ? at + 1 : to;
    char hex[SL_DIGEST_HEX + 1];
    int64_t number = 0;
    if (at != NULL && ((size_t)(at - to) != strlen(d->entity) ||
                       strncmp(d->entity, to, strlen(d->entity)) != 0)) {
        return false;
    }
    if (sl_parse_i64(text[0] == 'v' ? text + 1 : text, &number)) {
        return d->number == number;
    }
    text += sl_starts_with(text, "sha256:") ? strlen("sha256:") : 0;
    return strlen(text) >= 8 && sl_starts_with(sl_digest_hex(&d->digest, hex), text);
}

/** Was one of the newer rows of the same content? Then this row's end says nothing any more. */
static bool seen_before(const struct sl_digest *seen, size_t n, const struct sl_digest *d)
{
    for (size_t i = 0; i < n; i++) {
        if (sl_digest_eq(&seen[i], d)) {
            return true;
        }
    }
    return false;
}

/** The newest deployment that was live and qualifies; rows come newest first. */
static int choose(struct sl_db *db, struct search *s, struct sl_err *err)
{
    SL_VEC(struct sl_digest) seen = {0};
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err,
                         SL_SQL("SELECT " SL_DEPLOYMENT_COLUMNS " FROM deployment WHERE target = ?"
                                " AND live_ms IS NOT NULL ORDER BY seq DESC LIMIT ?"),
                         "si", (const char *)s->target, (int64_t)HISTORY_MAX);
    while (rc == 0 && !s->has_to && (rc = sl_rows_next(&rows, err)) > 0) {
        struct sl_deployment d;
        sl_deployment_fill(&rows, &d);
        rc = 0;
        bool again = seen_before(seen.items, seen.n, &d.digest);
        bool is_live = s->has_live && sl_digest_eq(&d.digest, &s->live.digest);
        sl_vec_push(&seen, d.digest);
        if (is_previous(s->o->to)) {
            s->has_to = !again && !is_live && d.state != SL_DEPLOY_ROLLED_BACK;
        } else {
            s->has_to = matches(&d, s->o->to);
            s->is_live_version = s->has_to && is_live;
        }
        if (s->has_to) {
            s->to = d;
        }
    }
    sl_vec_free(&seen);
    return rc;
}

/** Names the target, which may be given by one of its deployments. */
static int find_target(struct sl_db *db, struct search *s, struct sl_err *err)
{
    const char *name = s->o->target;
    struct sl_deployment of;
    if (s->o->of_deployment != NULL) {
        int rc = sl_deployment_load(db, s->o->of_deployment, &of, err);
        if (rc < 0) {
            return rc;
        }
        if (name != NULL && !sl_streq(name, of.target)) {
            return sl_err_set(err, SL_EINVAL, "deployment %.8s is of target %s, not of %s", of.id,
                              of.target, name);
        }
        name = of.target;
    }
    if (name == NULL || strlen(name) > SL_DEPLOY_TARGET_MAX) {
        return sl_err_set(err, SL_EINVAL, "a rollback needs the name of a target");
    }
    (void)snprintf(s->target, sizeof(s->target), "%s", name);
    return sl_target_load(db, s->target, s->a, &s->row, err);
}

/** The nearest name of a target, for the message. */
static int unknown_target(struct sl_db *db, const struct search *s, struct sl_err *err)
{
    const char *names[100];
    size_t n = 0;
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(db, &rows, err, SL_SQL("SELECT name FROM target ORDER BY name LIMIT ?"),
                         "i", (int64_t)SL_LEN(names));
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        names[n++] = sl_arena_strdup(s->a, sl_rows_str(&rows, 0));
        rc = 0;
    }
    if (rc < 0) {
        return rc;
    }
    const char *near = sl_nearest(s->target, names, n);
    return sl_err_set(err, SL_ENOTFOUND, "nothing was ever deployed to a target '%s'%s%s%s",
                      s->target, near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                      near != NULL ? "'?" : "");
}

static int search_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct search *s = arg;
    int rc = 0;
    if (s->o->attempt_id != NULL) {
        rc = sl_deployment_by_attempt(db, s->o->attempt_id, &s->by_attempt, &s->has_attempt, err);
        if (rc < 0 || s->has_attempt) {
            return rc;
        }
    }
    rc = find_target(db, s, err);
    if (rc < 0) {
        return rc;
    }
    if (!s->row.exists) {
        return unknown_target(db, s, err);
    }
    if (s->row.live_id[0] != '\0') {
        s->has_live = true;
        rc = sl_deployment_load(db, s->row.live_id, &s->live, err);
    }
    return rc < 0 ? rc : choose(db, s, err);
}

static int nothing_to_go_to(const struct search *s, struct sl_err *err)
{
    if (!is_previous(s->o->to)) {
        return sl_err_set(err, SL_ENOTFOUND,
                          "'%s' was never live on target %s; `sluice deployments` lists what was",
                          s->o->to, s->target);
    }
    return sl_err_set(err, SL_ENOTFOUND,
                      "target %s has no earlier version to go back to (versions that were rolled "
                      "back are skipped; --to names one)",
                      s->target);
}

static int claim_rollback(const struct sl_deploy_world *w, const struct search *s,
                          struct sl_claim *c, struct sl_err *err)
{
    const struct sl_rollback_order *o = s->o;
    c->w = w;
    c->actor = o->actor;
    c->expected_live = s->live.id;
    c->d.is_rollback = true;
    c->d.number = s->to.number;
    c->d.digest = s->to.digest;
    (void)memcpy(c->d.target, s->target, sizeof(c->d.target));
    (void)memcpy(c->d.entity, s->to.entity, sizeof(c->d.entity));
    (void)memcpy(c->d.verdict_id, s->to.verdict_id, sizeof(c->d.verdict_id));
    (void)memcpy(c->d.approval_id, s->to.approval_id, sizeof(c->d.approval_id));
    (void)memcpy(c->d.release, s->to.release, sizeof(c->d.release));
    if (sl_streq(s->live.entity, s->to.entity)) {
        (void)memcpy(c->d.alias, s->live.alias, sizeof(c->d.alias));
    }
    (void)snprintf(c->d.run_id, sizeof(c->d.run_id), "%s", o->run_id != NULL ? o->run_id : "");
    (void)snprintf(c->d.attempt_id, sizeof(c->d.attempt_id), "%s",
                   o->attempt_id != NULL ? o->attempt_id : "");
    (void)snprintf(c->d.reason, sizeof(c->d.reason), "%s", o->reason != NULL ? o->reason : "");
    return sl_deploy_claim(c, err);
}

static int run_rollback(const struct sl_deploy_world *w, struct search *s,
                        struct sl_deploy_outcome *ret, struct sl_err *err)
{
    int rc = w->promote.write(w->promote.data, search_tx, s, err);
    if (rc < 0) {
        return rc;
    }
    if (s->has_attempt) {
        return sl_exec_run(w, s->by_attempt.id, ret, err);
    }
    if (s->o->of_deployment != NULL && !sl_streq(s->row.live_id, s->o->of_deployment)) {
        *ret = (struct sl_deploy_outcome){.result = SL_DEPLOY_NO_EFFECT, .flip_ms = -1};
        return 0;
    }
    if (!s->has_live || !s->has_to) {
        return nothing_to_go_to(s, err);
    }
    if (s->is_live_version) {
        sl_deploy_outcome_fill(&s->live, SL_DEPLOY_UNCHANGED, ret);
        ret->version.name = ret->entity;
        return 0;
    }
    struct sl_claim *c = SL_NEW(struct sl_claim);
    rc = claim_rollback(w, s, c, err);
    if (rc == 0 && c->not_live) {
        *ret = (struct sl_deploy_outcome){.result = SL_DEPLOY_NO_EFFECT, .flip_ms = -1};
        free(c);
        return 0;
    }
    if (rc == 0) {
        int fault = SL_FAULT_POINT(DEPLOY_CLAIMED);
        rc = fault != 0 ? sl_err_errno(err, fault, "after the rollback was requested") : 0;
    }
    if (rc == 0) {
        rc = sl_exec_run(w, c->d.id, ret, err);
    }
    free(c);
    return rc;
}

int sl_deploy_rollback(const struct sl_deploy_world *w, const struct sl_rollback_order *order,
                       struct sl_deploy_outcome *ret, struct sl_err *err)
{
    SL_ASSERT(order->actor != NULL);
    if (order->reason != NULL && strlen(order->reason) > SL_PROMOTE_REASON_MAX) {
        return sl_err_set(err, SL_ELIMIT, "the reason is longer than %d bytes",
                          SL_PROMOTE_REASON_MAX);
    }
    struct sl_arena a;
    sl_arena_init(&a, 0);
    struct search *s = SL_NEW(struct search);
    s->o = order;
    s->a = &a;
    int rc = run_rollback(w, s, ret, err);
    free(s);
    sl_arena_release(&a);
    return rc;
}
