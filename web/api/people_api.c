/* People: votes on approvals, decisions about lost steps, what waits for somebody, and the applied project.
 * Thread: see api.h. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit.h"
#include "pipelines/run/project.h"
#include "pipelines/run/query.h"
#include "pipelines/run/vote.h"
#include "pipelines/steps/verdict.h"
#include "web/api/api_priv.h"

#define AUTH                                                                                       \
    "unix" /* how the caller's name is known: by the kernel, of the socket or of this process */

/* ---- voting --------------------------------------------------------------------------------------- */

int sl_api_runs_vote(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    struct sl_run_voted done = {0};
    struct sl_run_vote v = {.voter = ctx->actor,
                            .auth = AUTH,
                            .approve = sl_api_arg_bool(args, "approve"),
                            .reason = sl_api_arg(args, "reason", NULL),
                            .now_ms = sl_now_ms()};
    int rc = sl_api_arg_need(args, "run", &v.run, err);
    rc = rc < 0 ? rc : sl_api_arg_need(args, "step", &v.step, err);
    if (rc == 0 && json_object_get(args, "approve") == NULL) { /* silence is no vote */
        rc = sl_err_set(err, SL_EINVAL, "'approve' is missing: true or false");
    }
    rc = rc < 0 ? rc : sl_run_vote(ctx->ws, &v, &done, err);
    if (done.run_id[0] != '\0' && !done.decision) { /* a denied vote may have ended the request */
        (void)snprintf(ctx->ask_again, sizeof(ctx->ask_again), "%s", done.run_id);
        ctx->ask_again_step = done.step;
    }
    if (rc == 0) {
        *ret = json_pack("{s:s, s:s, s:I, s:s, s:s, s:b, s:s, s:i, s:i, s:b}", "run", done.run_id,
                         "pipeline", done.pipeline, "number", (json_int_t)done.number, "step",
                         v.step, "text", done.vote.text, "decision", done.decision, "state",
                         done.decision ? "decided" : sl_approval_state_name(done.vote.now.state),
                         "given", done.vote.given, "needed", done.vote.needed, "engine",
                         ctx->engine != NULL);
        SL_ASSERT(*ret != NULL);
    }
    return rc;
}

/* ---- what waits ----------------------------------------------------------------------------------- */

struct inbox {
    struct sl_api_ctx *ctx;
    const struct sl_project *project;
    struct sl_arena a;
    json_t *items;
    bool all;
};

static bool has_voted(const json_t *request, const char *name)
{
    size_t i = 0;
    json_t *vote = NULL;
    json_array_foreach (json_object_get(request, "votes"), i, vote) {
        if (sl_streq(sl_json_str(vote, "name", ""), name)) {
            return true;
        }
    }
    return false;
}

/** Whether the caller may still say something to it. */
static bool may_vote(const struct inbox *in, const json_t *request)
{
    const json_t *from = json_object_get(request, "from");
    const char *me = in->ctx->actor;
    bool member = false;
    for (size_t i = 0; !member && i < json_array_size(from); i++) {
        const char *entry = json_string_value(json_array_get(from, i));
        member = sl_approval_is_member(in->project, &entry, 1, me);
    }
    bool own = sl_json_bool(request, "deny_requester", true) &&
               sl_streq(sl_json_str(request, "requester", ""), me);
    return member && !own && !has_voted(request, me);
}

/** "churn#12", and whether the run still lives. */
static int name_run(struct inbox *in, json_t *item, bool *ret_live, struct sl_err *err)
{
    struct sl_run_record r;
    int rc = sl_run_find(in->ctx->db, sl_json_str(item, "run", ""), &in->a, &r, err);
    if (rc == -SL_ENOTFOUND) { /* its run is gone: there is nothing to decide about */
        return 0;
    }
    if (rc == 0) {
        sl_json_set_str(item, "pipeline", r.pipeline);
        sl_json_set_i64(item, "number", r.number);
        *ret_live = !sl_run_machine.states[r.state].final;
    }
    return rc;
}

/** The numbers of the gate that let the candidate through. */
static int add_gate(struct inbox *in, json_t *item, struct sl_err *err)
{
    json_auto_t *verdicts = NULL;
    const char *candidate = sl_json_str(item, "candidate", NULL);
    if (candidate == NULL) {
        return 0;
    }
    int rc = sl_verdict_list(in->ctx->db, sl_json_str(item, "run", ""), &verdicts, err);
    for (size_t i = json_array_size(verdicts); rc == 0 && i-- > 0;) {
        json_t *v = json_array_get(verdicts, i);
        if (sl_streq(sl_json_str(v, "candidate_digest", ""), candidate)) {
            json_object_set(item, "gate", json_object_get(v, "detail"));
            break;
        }
    }
    return rc;
}

/** Names of those who may still be asked: members of `from` under the project in force. */
static void add_members(const struct inbox *in, json_t *item)
{
    const json_t *from = json_object_get(item, "from");
    json_t *members = json_array();
    for (size_t i = 0; i < json_array_size(from); i++) {
        const char *entry = json_string_value(json_array_get(from, i));
        const struct sl_group *group =
            sl_starts_with(entry, "role:") ? sl_project_group(in->project, entry + 5) : NULL;
        for (size_t k = 0; group != NULL && k < group->n_members; k++) {
            json_array_append_new(members, json_string(group->members[k] + strlen("user:")));
        }
        if (sl_starts_with(entry, "user:")) {
            json_array_append_new(members, json_string(entry + strlen("user:")));
        }
    }
    json_object_set_new(item, "members", members);
}

static int take_approvals(struct inbox *in, struct sl_err *err)
{
    const struct sl_approval_filter f = {.open_only = true, .limit = SL_APPROVAL_LIST_MAX};
    json_auto_t *open = NULL;
    size_t i = 0;
    json_t *item = NULL;
    int rc = sl_approval_list(in->ctx->db, &f, &open, err);
    json_array_foreach (open, i, item) {
        bool live = false;
        bool mine = may_vote(in, item);
        rc = rc < 0 ? rc : name_run(in, item, &live, err);
        if (rc < 0 || !live || (!mine && !in->all)) {
            continue;
        }
        rc = add_gate(in, item, err);
        add_members(in, item);
        sl_json_set_str(item, "kind", "approval");
        sl_json_set_bool(item, "mine", mine);
        json_array_append(in->items, item);
    }
    return rc;
}

/** Steps whose effect may have happened, and nobody has said. */
static int take_decisions(struct inbox *in, struct sl_err *err)
{
    _cleanup_(rows)
    struct sl_rows rows = SL_ROWS_INIT;
    int rc = sl_db_query(in->ctx->db, &rows, err,
                         SL_SQL("SELECT r.id, r.pipeline, r.number, s.key, s.reason, s.ended_ms,"
                                " r.actor FROM run r JOIN step s ON s.run_id = r.id"
                                " WHERE r.state = 'waiting' AND s.state = 'needs_decision' AND NOT"
                                " EXISTS (SELECT 1 FROM step_decision d WHERE d.run_id = r.id AND"
                                " d.step_key = s.key) ORDER BY r.created_ms DESC LIMIT ?"),
                         "i", (int64_t)SL_APPROVAL_LIST_MAX);
    while (rc == 0 && (rc = sl_rows_next(&rows, err)) > 0) {
        json_array_append_new(
            in->items,
            json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:s, s:b}", "kind", "decision", "run",
                      sl_rows_str(&rows, 0), "pipeline", sl_rows_str(&rows, 1), "number",
                      (json_int_t)sl_rows_i64(&rows, 2), "step", sl_rows_str(&rows, 3), "reason",
                      sl_rows_str(&rows, 4), "created_ms", (json_int_t)sl_rows_i64(&rows, 5),
                      "requester", sl_rows_str(&rows, 6), "mine", 1));
        rc = 0;
    }
    return rc;
}

int sl_api_inbox(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    json_auto_t *items = json_array();
    struct inbox in = {.ctx = ctx, .items = items, .all = sl_api_arg_bool(args, "all")};
    sl_arena_init(&in.a, 0);
    int rc = sl_project_current(ctx->db, &in.a, &in.project, NULL, err);
    rc = rc < 0 ? rc : take_approvals(&in, err);
    rc = rc < 0 ? rc : take_decisions(&in, err);
    if (rc == 0) {
        *ret = json_pack("{s:s, s:O}", "user", ctx->actor, "waiting", items);
    }
    sl_arena_release(&in.a);
    return rc;
}

/** Every request for approval of a run, with its votes. */
int sl_api_runs_approvals(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                          struct sl_err *err)
{
    struct sl_arena a;
    struct sl_run_record r;
    const char *run = NULL;
    json_t *list = NULL;
    int rc = sl_api_arg_need(args, "run", &run, err);
    if (rc < 0) {
        return rc;
    }
    sl_arena_init(&a, 0);
    rc = sl_run_find(ctx->db, run, &a, &r, err);
    const struct sl_approval_filter f = {
        .run_id = r.id, .step_key = sl_api_arg(args, "step", NULL), .limit = SL_APPROVAL_LIST_MAX};
    rc = rc < 0 ? rc : sl_approval_list(ctx->db, &f, &list, err);
    if (rc == 0) {
        *ret = json_pack("{s:s, s:o}", "run", r.id, "approvals", list);
    }
    sl_arena_release(&a);
    return rc;
}

int sl_api_runs_awaits(struct sl_api_ctx *ctx, const json_t *args, json_t **ret, struct sl_err *err)
{
    (void)err;
    *ret = json_pack("{s:b}", "awaits",
                     sl_engine_only_awaits(ctx->engine, sl_api_arg(args, "run", "")));
    return 0;
}

/* ---- the project ---------------------------------------------------------------------------------- */

struct applying {
    struct sl_project_apply order;
    bool changed;
};

static int apply_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct applying *x = arg;
    return sl_project_apply(db, &x->order, &x->changed, err);
}

static int project_json(struct sl_db *db, json_t **ret, struct sl_err *err)
{
    struct sl_arena a;
    const struct sl_project *project = NULL;
    struct sl_project_info info;
    char hex[SL_DIGEST_HEX + 1];
    _cleanup_(free)
    char *by = NULL;
    sl_arena_init(&a, 0);
    int rc = sl_project_current(db, &a, &project, &info, err);
    rc = rc < 0 ? rc : sl_audit_principal_name(db, info.applied_by, &by, err);
    if (rc == 0) {
        *ret = json_pack(
            "{s:I, s:s, s:s, s:s, s:s, s:s, s:I}", "generation", (json_int_t)info.generation,
            "name", project->name != NULL ? project->name : "", "digest",
            info.generation > 0 ? sl_digest_hex(&info.digest, hex) : "", "file", info.file, "text",
            info.text, "applied_by", by, "applied_ms", (json_int_t)info.applied_ms);
        SL_ASSERT(*ret != NULL);
    }
    sl_arena_release(&a);
    return rc;
}

int sl_api_project_show(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                        struct sl_err *err)
{
    (void)args;
    return project_json(ctx->db, ret, err);
}

int sl_api_project_apply(struct sl_api_ctx *ctx, const json_t *args, json_t **ret,
                         struct sl_err *err)
{
    struct applying x = {.order = {.file = sl_api_arg(args, "file", "project.yml"),
                                   .actor = ctx->actor,
                                   .now_ms = sl_now_ms()}};
    const char *text = NULL;
    int rc = sl_api_arg_need(args, "text", &text, err);
    if (rc < 0) {
        return rc;
    }
    x.order.text = sl_str_c(text);
    rc = sl_ws_write(ctx->ws, apply_tx, &x, err);
    ctx->project_changed = rc == 0 && x.changed;
    rc = rc < 0 ? rc : project_json(ctx->db, ret, err);
    if (rc == 0) {
        sl_json_set_bool(*ret, "changed", x.changed);
    }
    return rc;
}
