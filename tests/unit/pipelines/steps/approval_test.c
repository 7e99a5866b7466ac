/**
 * The store of approvals, with its clock in our hands.
 */
#include "core/base/base.h"

#include "pipelines/steps/approval.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit.h"
#include "core/bus/bus.h"
#include "core/db/writer.h"
#include "core/lineage/lineage.h"
#include "pipelines/steps/verdict.h"
#include "tests/support/sl_test.h"

#define MODEL "default/churn"
#define RUN1  "00000000000000000000000000000001"
#define RUN2  "00000000000000000000000000000002"
#define HOUR  (3600LL * 1000)

static const struct sl_schema *const schemas[] = {
    &sl_audit_schema, &sl_bus_schema, &sl_lineage_schema, &sl_steps_schema, &sl_approval_schema};

static const char *leads_members[] = {"user:ana", "user:bo", "user:cy"};
static struct sl_group leads = {.name = "ml-leads", .members = leads_members, .n_members = 3};
static const struct sl_project project = {.name = "p", .groups = &leads, .n_groups = 1};
static const char *from_leads[] = {"role:ml-leads"};

/* ---- the store ------------------------------------------------------------------------------------ */

struct world {
    char *dir, *path;
    struct sl_db *db;
    struct sl_err err;
    int64_t now_ms;
    struct sl_approval_status status;
    struct sl_approval_voted voted;
};

static struct sl_digest digest(const char *text)
{
    struct sl_digest d;
    sl_sha256(text, strlen(text), &d);
    return d;
}

static struct world *world_new(void)
{
    struct world *w = SL_NEW(struct world);
    w->dir = sl_test_tmpdir();
    w->path = sl_test_path(w->dir, "sluice.db");
    w->now_ms = 1000;
    SL_CHECK_OK(sl_db_open(w->path, SL_DB_RW, &w->db, &w->err), w->err);
    SL_CHECK_OK(sl_db_migrate(w->db, schemas, SL_LEN(schemas), &w->err), w->err);
    return w;
}

static void world_free(struct world *w)
{
    sl_db_close(w->db);
    sl_test_rmdir(w->dir);
    free(w->path);
    free(w);
}

static int record_verdict(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_verdict_record(db, arg, err);
}

static void judge_candidate(struct world *w, enum sl_verdict_result result, const char *rules_text)
{
    struct sl_verdict v = {.candidate_entity = MODEL,
                           .candidate_number = 2,
                           .candidate_digest = digest("model"),
                           .rules_digest = digest(rules_text),
                           .result = result,
                           .actor = "engine",
                           .created_ms = w->now_ms};
    (void)sl_id_new(NULL, v.id);
    SL_CHECK_OK(sl_db_tx(w->db, record_verdict, &v, &w->err), w->err);
}

static struct sl_approval_bound bound_now(struct world *w)
{
    struct sl_approval_bound b = {.entity = MODEL,
                                  .number = 2,
                                  .candidate = digest("model"),
                                  .pipeline = digest("pipeline"),
                                  .code = digest("code"),
                                  .targets = "churn-api"};
    SL_CHECK_OK(sl_approval_evidence(w->db, &b, &b.evidence, NULL, &w->err), w->err);
    return b;
}

static struct sl_approval_ask asking(struct world *w, const char *run)
{
    return (struct sl_approval_ask){.run_id = run,
                                    .step_key = "approve",
                                    .bound = bound_now(w),
                                    .rule = {from_leads, 1, 1, true},
                                    .requester = "rick",
                                    .timeout_ms = 24 * HOUR,
                                    .project = &project,
                                    .now_ms = w->now_ms};
}

struct ask_tx {
    struct sl_approval_ask *ask;
    struct sl_approval_status *ret;
};

static int do_ask(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct ask_tx *x = arg;
    return sl_approval_ask(db, x->ask, x->ret, err);
}

static void ask(struct world *w, struct sl_approval_ask *a)
{
    struct ask_tx x = {a, &w->status};
    a->now_ms = w->now_ms;
    SL_CHECK_OK(sl_db_tx(w->db, do_ask, &x, &w->err), w->err);
}

struct vote_tx {
    struct sl_approval_vote v;
    struct sl_approval_voted *ret;
};

static int do_vote(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct vote_tx *x = arg;
    return sl_approval_vote(db, &x->v, x->ret, err);
}

static struct vote_tx voting(struct world *w, const struct sl_approval_bound *now,
                             const char *voter, bool approve)
{
    return (struct vote_tx){.v = {.run_id = RUN1,
                                  .step_key = "approve",
                                  .now = now,
                                  .project = &project,
                                  .voter = voter,
                                  .auth = "unix",
                                  .approve = approve,
                                  .reason = "because",
                                  .now_ms = w->now_ms},
                            .ret = &w->voted};
}

static int vote_on(struct world *w, const struct sl_approval_bound *now, const char *voter,
                   bool approve)
{
    struct vote_tx x = voting(w, now, voter, approve);
    SL_CHECK_OK(sl_db_tx(w->db, do_vote, &x, &w->err), w->err);
    return sl_approval_voted_rc(&w->voted, &w->err);
}

static int vote(struct world *w, const char *voter, bool approve)
{
    struct sl_approval_bound now = bound_now(w);
    return vote_on(w, &now, voter, approve);
}

struct acts {
    const char *act;
    int n;
};

static int count_act(const struct sl_audit_row *row, void *arg)
{
    struct acts *a = arg;
    _cleanup_(free)
    char *leaf = sl_strndup(row->leaf, row->len);
    _cleanup_(free)
    char *wanted = sl_asprintf("\"act\":\"%s\"", a->act);
    a->n += strstr(leaf, wanted) != NULL ? 1 : 0;
    return 0;
}

static int acts(struct world *w, const char *act)
{
    struct acts a = {act, 0};
    uint64_t size = 0;
    struct sl_digest root;
    SL_CHECK_OK(sl_audit_read(w->db, 0, 1000, count_act, &a, &w->err), w->err);
    SL_CHECK_OK(sl_audit_verify(w->db, &size, &root, &w->err), w->err);
    return a.n;
}

static int64_t n_votes(struct world *w)
{
    int64_t n = 0;
    SL_CHECK_OK(sl_db_get_i64(w->db, &n, &w->err, SL_SQL("SELECT count(*) FROM approval_vote"), ""),
                w->err);
    return n;
}

/** Edges of that kind and role in the graph up from the candidate. */
static int edges(struct world *w, enum sl_edge_kind kind, const char *role)
{
    struct sl_arena a;
    struct sl_graph g;
    char id[7 + SL_DIGEST_HEX + 1], hex[SL_DIGEST_HEX + 1];
    struct sl_digest d = digest("model");
    int n = 0;
    (void)snprintf(id, sizeof(id), "sha256:%s", sl_digest_hex(&d, hex));
    const struct sl_lineage_walk walk = {.start = {SL_NODE_MODEL_VERSION, id},
                                         .dir = SL_LINEAGE_UP};
    sl_arena_init(&a, 0);
    if (sl_lineage_walk(w->db, &walk, &a, &g, &w->err) == 0) {
        for (int i = 0; i < g.n_edges; i++) {
            const char *have = g.edges[i].role;
            n += g.edges[i].kind == kind &&
                         (role == NULL ? have == NULL : have != NULL && sl_streq(have, role))
                     ? 1
                     : 0;
        }
    }
    sl_arena_release(&a);
    return n;
}

SL_TEST(steps_approval, ask__then_approve__approved_in_audit_lineage_and_events)
{
    struct world *w = world_new();
    judge_candidate(w, SL_VERDICT_PASS, "rules");
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_OPEN);
    SL_CHECK_EQ_INT(w->status.deadline_ms, 1000 + 24 * HOUR);
    SL_CHECK_OK(vote(w, "ana", true), w->err);
    SL_CHECK_EQ_INT(w->voted.ruling, SL_RULING_APPROVED);
    SL_CHECK_EQ_STR(w->voted.text, "default/churn@v2 for churn-api: approved");
    SL_CHECK_EQ_STR(w->voted.now.by, "ana");
    ask(w, &a);
    SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_APPROVED);
    SL_CHECK(!w->status.earlier);
    SL_CHECK_EQ_INT(w->status.valid_until_ms, 1000 + SL_APPROVAL_VALID_MS);
    SL_CHECK_EQ_INT(acts(w, "approval.request"), 1);
    SL_CHECK_EQ_INT(acts(w, "approval.approve"), 1);
    SL_CHECK_EQ_INT(edges(w, SL_EDGE_APPROVED_BY, NULL), 1);
    SL_CHECK_EQ_INT(edges(w, SL_EDGE_APPROVED_BY, "approved"), 1);
    SL_CHECK_EQ_INT(edges(w, SL_EDGE_USED, "evidence"), 1);
    world_free(w);
}

SL_TEST(steps_approval, ask__twice_before_a_vote__is_one_request)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    char id[SL_ID_HEX + 1];
    memcpy(id, w->status.id, sizeof(id));
    w->now_ms += HOUR;
    ask(w, &a);
    SL_CHECK_EQ_STR(w->status.id, id);
    SL_CHECK_EQ_INT(w->status.deadline_ms, 1000 + 24 * HOUR);
    SL_CHECK_EQ_INT(acts(w, "approval.request"), 1);
    world_free(w);
}

SL_TEST(steps_approval, vote__by_whoever_asked__denied_and_on_record)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    a.requester = "bo";
    ask(w, &a);
    SL_CHECK_EQ_INT(vote(w, "bo", true), -SL_EREFUSED);
    SL_CHECK_EQ_STR(w->err.msg, "bo asked for this; somebody else has to approve (deny_requester)");
    SL_CHECK_EQ_INT(vote(w, "eve", true), -SL_EREFUSED);
    SL_CHECK_EQ_STR(w->err.msg, "eve may not decide this: it takes role:ml-leads");
    SL_CHECK_EQ_INT(acts(w, "approval.denied"), 2);
    SL_CHECK_EQ_INT(acts(w, "approval.approve"), 0);
    SL_CHECK_EQ_INT(n_votes(w), 0);
    SL_CHECK_OK(vote(w, "ana", true), w->err);
    world_free(w);
}

SL_TEST(steps_approval, vote__quorum_of_two__needs_two_people)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    a.rule.quorum = 2;
    ask(w, &a);
    SL_CHECK_OK(vote(w, "ana", true), w->err);
    SL_CHECK_EQ_STR(w->voted.text, "default/churn@v2 for churn-api: 1 of 2 approvals");
    SL_CHECK_EQ_INT(w->voted.now.state, SL_APPROVAL_OPEN);
    SL_CHECK_EQ_INT(vote(w, "ana", true), -SL_EREFUSED);
    SL_CHECK_EQ_STR(w->err.msg, "ana has voted already");
    SL_CHECK_OK(vote(w, "bo", true), w->err);
    SL_CHECK_EQ_INT(w->voted.now.state, SL_APPROVAL_APPROVED);
    SL_CHECK_EQ_STR(w->voted.now.by, "ana, bo");
    SL_CHECK_EQ_INT(vote(w, "cy", true), -SL_EREFUSED);
    SL_CHECK_EQ_STR(w->err.msg, "default/churn@v2 for churn-api is approved already");
    SL_CHECK_EQ_INT(acts(w, "approval.approve"), 2);
    SL_CHECK_EQ_INT(acts(w, "approval.denied"), 2);
    world_free(w);
}

SL_TEST(steps_approval, vote__rejected__ends_it_with_the_reason)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    SL_CHECK_OK(vote(w, "cy", false), w->err);
    ask(w, &a);
    SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_REJECTED);
    SL_CHECK_EQ_STR(w->status.by, "cy");
    SL_CHECK_EQ_STR(w->status.reason, "because");
    SL_CHECK_ERR(vote(w, "ana", true), SL_EREFUSED, w->err, "is rejected already: because");
    SL_CHECK_EQ_INT(acts(w, "approval.reject"), 1);
    SL_CHECK_EQ_INT(edges(w, SL_EDGE_APPROVED_BY, NULL), 0);
    world_free(w);
}

SL_TEST(steps_approval, vote__after_the_deadline__expires_the_request)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    w->now_ms += 24 * HOUR;
    SL_CHECK_EQ_INT(vote(w, "ana", true), -SL_EREFUSED);
    SL_CHECK_EQ_STR(
        w->err.msg,
        "too late: default/churn@v2 for churn-api was open until 1970-01-02T00:00:01.000Z");
    ask(w, &a);
    SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_EXPIRED);
    SL_CHECK_EQ_INT(acts(w, "approval.expire"), 1);
    SL_CHECK_EQ_INT(acts(w, "approval.denied"), 1);
    world_free(w);
}

SL_TEST(steps_approval, ask__at_the_deadline__as_on_timeout_says)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    a.approve_on_timeout = true;
    ask(w, &a);
    w->now_ms += 24 * HOUR - 1;
    ask(w, &a);
    SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_OPEN);
    w->now_ms += 1;
    ask(w, &a);
    SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_APPROVED);
    SL_CHECK_EQ_STR(w->status.reason, "nobody objected in time (on_timeout: approve)");
    world_free(w);
}

/* ---- void ------------------------------------------------------------------------------------------ */

static const char *const changes[] = {
    "the candidate", "the candidate", "the pipeline",
    "the code",      "the target",    "the evidence (the candidate's verdict)",
};

/** Changes the i-th of the bound things. */
static void change(struct sl_approval_bound *b, size_t i)
{
    struct sl_digest other = digest("something else");
    b->entity = i == 0 ? "default/other" : b->entity;
    b->candidate = i == 1 ? other : b->candidate;
    b->pipeline = i == 2 ? other : b->pipeline;
    b->code = i == 3 ? other : b->code;
    b->targets = i == 4 ? "churn-api other-api" : b->targets;
    b->evidence = i == 5 ? other : b->evidence;
}

SL_TEST(steps_approval, vote__any_bound_digest_changed__void_and_denied)
{
    for (size_t i = 0; i < SL_LEN(changes); i++) {
        struct world *w = world_new();
        struct sl_approval_ask a = asking(w, RUN1);
        ask(w, &a);
        struct sl_approval_bound now = a.bound;
        change(&now, i);
        _cleanup_(free)
        char *text = sl_asprintf(
            "the request is void: %s changed since it was asked for; the step asks anew",
            changes[i]);
        SL_CHECK_EQ_INT(vote_on(w, &now, "ana", true), -SL_EREFUSED);
        SL_CHECK_EQ_STR(w->err.msg, text);
        SL_CHECK_EQ_INT(w->voted.now.state, SL_APPROVAL_VOID);
        SL_CHECK_EQ_INT(acts(w, "approval.void"), 1);
        SL_CHECK_EQ_INT(acts(w, "approval.denied"), 1);
        ask(w, &a); /* the step asks anew */
        SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_OPEN);
        SL_CHECK_OK(vote(w, "ana", true), w->err);
        world_free(w);
    }
}

SL_TEST(steps_approval, ask__any_bound_digest_changed__voids_and_asks_anew)
{
    for (size_t i = 0; i < SL_LEN(changes); i++) {
        struct world *w = world_new();
        struct sl_approval_ask a = asking(w, RUN1);
        ask(w, &a);
        char id[SL_ID_HEX + 1];
        memcpy(id, w->status.id, sizeof(id));
        change(&a.bound, i);
        ask(w, &a);
        SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_OPEN);
        SL_CHECK(!sl_streq(w->status.id, id));
        SL_CHECK_EQ_INT(acts(w, "approval.void"), 1);
        SL_CHECK_EQ_INT(acts(w, "approval.request"), 2);
        world_free(w);
    }
}

SL_TEST(steps_approval, vote__a_later_verdict_refused__void)
{
    struct world *w = world_new();
    judge_candidate(w, SL_VERDICT_PASS, "rules");
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    judge_candidate(w, SL_VERDICT_PASS, "rules"); /* the same again changes nothing */
    judge_candidate(w, SL_VERDICT_REFUSE, "rules");
    SL_CHECK_EQ_INT(vote(w, "ana", true), -SL_EREFUSED);
    SL_CHECK_EQ_INT(w->voted.now.state, SL_APPROVAL_VOID);
    world_free(w);
}

/* ---- again ----------------------------------------------------------------------------------------- */

SL_TEST(steps_approval, ask__by_a_later_run_with_the_same_digests__earlier_approval_holds)
{
    struct world *w = world_new();
    judge_candidate(w, SL_VERDICT_PASS, "rules");
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    SL_CHECK_OK(vote(w, "ana", true), w->err);
    judge_candidate(w, SL_VERDICT_PASS, "rules");
    struct sl_approval_ask b = asking(w, RUN2);
    w->now_ms += HOUR;
    ask(w, &b);
    SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_APPROVED);
    SL_CHECK(w->status.earlier);
    SL_CHECK_EQ_STR(w->status.run_id, RUN1);
    SL_CHECK_EQ_INT(acts(w, "approval.request"), 1);
    b.requester = "ana"; /* her own approval does not serve her own run */
    ask(w, &b);
    SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_OPEN);
    world_free(w);
}

SL_TEST(steps_approval, ask__when_the_earlier_approval_is_too_old_or_of_other_digests__asks)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    SL_CHECK_OK(vote(w, "ana", true), w->err);
    for (size_t i = 0; i < SL_LEN(changes); i++) {
        struct sl_approval_ask b = asking(w, RUN2);
        b.step_key = changes[i];
        change(&b.bound, i);
        ask(w, &b);
        SL_CHECK(!w->status.earlier);
        SL_CHECK_EQ_INT(w->status.state, SL_APPROVAL_OPEN);
    }
    struct sl_approval_ask late = asking(w, RUN2);
    w->now_ms += SL_APPROVAL_VALID_MS - 1;
    ask(w, &late);
    SL_CHECK(w->status.earlier);
    w->now_ms += 1;
    ask(w, &late);
    SL_CHECK(!w->status.earlier);
    world_free(w);
}

/* ---- the door --------------------------------------------------------------------------------------- */

struct need_tx {
    struct sl_approval_need need;
    char id[SL_ID_HEX + 1];
};

static int do_permit(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct need_tx *x = arg;
    return sl_approval_permit(db, &x->need, x->id, err);
}

static int permit(struct world *w, struct need_tx *x)
{
    x->need.now_ms = w->now_ms;
    return sl_db_tx(w->db, do_permit, x, &w->err);
}

static struct need_tx needing(void)
{
    return (struct need_tx){.need = {.target = "churn-api",
                                     .entity = MODEL,
                                     .candidate = digest("model"),
                                     .pipeline = digest("pipeline"),
                                     .code = digest("code"),
                                     .rule = {from_leads, 1, 1, true},
                                     .project = &project}};
}

SL_TEST(steps_approval, permit__exactly_what_was_approved__and_nothing_else)
{
    struct world *w = world_new();
    struct need_tx x = needing();
    SL_CHECK_EQ_INT(permit(w, &x), -SL_EREFUSED);
    SL_CHECK_EQ_STR(w->err.msg, "target churn-api needs an approval of exactly this version by 1 "
                                "of role:ml-leads; nobody gave one");
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    SL_CHECK_EQ_INT(permit(w, &x), -SL_EREFUSED); /* asked for is not given */
    SL_CHECK_OK(vote(w, "ana", true), w->err);
    SL_CHECK_OK(permit(w, &x), w->err);
    SL_CHECK_EQ_STR(x.id, w->voted.now.id);
    x.need.target = "churn";
    SL_CHECK_EQ_INT(permit(w, &x), -SL_EREFUSED);
    SL_CHECK(strstr(w->err.msg, "it was given for another target") != NULL);
    x = needing();
    x.need.candidate = digest("another model");
    SL_CHECK_EQ_INT(permit(w, &x), -SL_EREFUSED);
    x = needing();
    x.need.pipeline = digest("another pipeline");
    SL_CHECK_EQ_INT(permit(w, &x), -SL_EREFUSED);
    SL_CHECK(strstr(w->err.msg, "another pipeline") != NULL);
    x = needing();
    x.need.code = digest("other code");
    SL_CHECK_EQ_INT(permit(w, &x), -SL_EREFUSED);
    x = needing();
    x.need.rule.quorum = 2; /* the environment asks for more than the step did */
    SL_CHECK_EQ_INT(permit(w, &x), -SL_EREFUSED);
    SL_CHECK(strstr(w->err.msg, "other approvers, or more of them") != NULL);
    x = needing();
    judge_candidate(w, SL_VERDICT_REFUSE, "rules");
    SL_CHECK_EQ_INT(permit(w, &x), -SL_EREFUSED);
    SL_CHECK(strstr(w->err.msg, "verdict has changed") != NULL);
    world_free(w);
}

SL_TEST(steps_approval, permit__after_it_ran_out__refused)
{
    struct world *w = world_new();
    struct need_tx x = needing();
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    SL_CHECK_OK(vote(w, "ana", true), w->err);
    w->now_ms += SL_APPROVAL_VALID_MS - 1;
    SL_CHECK_OK(permit(w, &x), w->err);
    w->now_ms += 1;
    SL_CHECK_EQ_INT(permit(w, &x), -SL_EREFUSED);
    SL_CHECK(strstr(w->err.msg, "no longer valid") != NULL);
    world_free(w);
}

/* ---- what nobody can do ------------------------------------------------------------------------------ */

SL_TEST(steps_approval, rows__once_decided__are_never_changed)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    SL_CHECK_OK(vote(w, "ana", false), w->err);
    SL_CHECK(sl_db_exec(w->db, &w->err, SL_SQL("UPDATE approval_request SET state = 'approved'"),
                        "") < 0);
    SL_CHECK(sl_db_exec(w->db, &w->err, SL_SQL("DELETE FROM approval_request"), "") < 0);
    SL_CHECK(sl_db_exec(w->db, &w->err, SL_SQL("UPDATE approval_vote SET approve = 1"), "") < 0);
    SL_CHECK(sl_db_exec(w->db, &w->err, SL_SQL("DELETE FROM approval_vote"), "") < 0);
    world_free(w);
}

SL_TEST(steps_approval, vote__reason__at_its_limit_and_one_past)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    char reason[SL_APPROVAL_REASON_MAX + 2];
    ask(w, &a);
    memset(reason, 'x', sizeof(reason));
    reason[SL_APPROVAL_REASON_MAX + 1] = '\0';
    struct vote_tx x = voting(w, &a.bound, "ana", false);
    x.v.reason = reason;
    SL_CHECK_EQ_INT(sl_db_tx(w->db, do_vote, &x, &w->err), -SL_ELIMIT);
    reason[0] = '\0';
    SL_CHECK_EQ_INT(sl_db_tx(w->db, do_vote, &x, &w->err), -SL_EINVAL);
    SL_CHECK_EQ_STR(w->err.msg, "a rejection needs a reason");
    reason[0] = 'x';
    reason[SL_APPROVAL_REASON_MAX] = '\0';
    SL_CHECK_OK(sl_db_tx(w->db, do_vote, &x, &w->err), w->err);
    x.v.step_key = "other";
    SL_CHECK_EQ_INT(sl_db_tx(w->db, do_vote, &x, &w->err), -SL_ENOTFOUND);
    world_free(w);
}

SL_TEST(steps_approval, ask__rule__at_its_limits_and_one_past)
{
    struct world *w = world_new();
    const char *many[SL_APPROVAL_FROM_MAX + 1];
    for (size_t i = 0; i < SL_LEN(many); i++) {
        many[i] = "user:ana";
    }
    struct sl_approval_ask a = asking(w, RUN1);
    struct ask_tx x = {&a, &w->status};
    a.rule.from = many;
    a.rule.n_from = SL_LEN(many);
    SL_CHECK_EQ_INT(sl_db_tx(w->db, do_ask, &x, &w->err), -SL_EINVAL);
    a.rule.n_from = 0;
    SL_CHECK_EQ_INT(sl_db_tx(w->db, do_ask, &x, &w->err), -SL_EINVAL);
    a.rule.n_from = SL_APPROVAL_FROM_MAX;
    a.rule.quorum = SL_APPROVAL_QUORUM_MAX + 1;
    SL_CHECK_EQ_INT(sl_db_tx(w->db, do_ask, &x, &w->err), -SL_EINVAL);
    a.rule.quorum = SL_APPROVAL_QUORUM_MAX;
    SL_CHECK_OK(sl_db_tx(w->db, do_ask, &x, &w->err), w->err);
    world_free(w);
}

SL_TEST(steps_approval, list__open_first__with_votes_and_names)
{
    struct world *w = world_new();
    struct sl_approval_ask a = asking(w, RUN1);
    ask(w, &a);
    SL_CHECK_OK(vote(w, "ana", true), w->err);
    struct sl_approval_ask b = asking(w, RUN2);
    change(&b.bound, 3);
    b.text = "please";
    ask(w, &b);
    struct sl_approval_filter f = {.limit = 10};
    json_auto_t *all = NULL;
    json_auto_t *open = NULL;
    json_t *none = NULL;
    SL_CHECK_OK(sl_approval_list(w->db, &f, &all, &w->err), w->err);
    SL_CHECK_EQ_INT(json_array_size(all), 2);
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(all, 0), "text", ""), "please");
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(all, 0), "requester", ""), "rick");
    const json_t *votes = json_object_get(json_array_get(all, 1), "votes");
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(votes, 0), "name", ""), "ana");
    SL_CHECK_EQ_STR(sl_json_str(json_array_get(votes, 0), "auth", ""), "unix");
    f.open_only = true;
    SL_CHECK_OK(sl_approval_list(w->db, &f, &open, &w->err), w->err);
    SL_CHECK_EQ_INT(json_array_size(open), 1);
    f.limit = SL_APPROVAL_LIST_MAX + 1;
    SL_CHECK_EQ_INT(sl_approval_list(w->db, &f, &none, &w->err), -SL_EINVAL);
    world_free(w);
}

/* ---- races ------------------------------------------------------------------------------------------- */

struct racer {
    struct sl_db_writer *writer;
    struct vote_tx x;
    struct sl_approval_voted voted;
    struct sl_err err;
    int rc;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    r->rc = sl_db_write_sync(r->writer, do_vote, &r->x, &r->err);
    return NULL;
}

/** Several people vote at the same moment: exactly one vote decides, each other one is told so. */
SL_TEST(steps_approval, vote__at_the_same_moment__one_decides)
{
    static const char *const voters[] = {"ana", "bo", "cy"};
    for (int round = 0; round < 20; round++) {
        struct world *w = world_new();
        struct sl_approval_ask a = asking(w, RUN1);
        ask(w, &a);
        struct sl_db_writer *writer = NULL;
        struct sl_db_writer_opts opts = {.path = w->path};
        SL_CHECK_OK(sl_db_writer_start(&opts, &writer, &w->err), w->err);
        struct racer racers[SL_LEN(voters)] = {0};
        pthread_t threads[SL_LEN(voters)];
        for (size_t i = 0; i < SL_LEN(voters); i++) {
            racers[i].writer = writer;
            racers[i].x = voting(w, &a.bound, voters[i], i != 1 || round % 2 == 0);
            racers[i].x.ret = &racers[i].voted;
            SL_CHECK_EQ_INT(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
        }
        int decided = 0;
        int closed = 0;
        for (size_t i = 0; i < SL_LEN(voters); i++) {
            pthread_join(threads[i], NULL);
            SL_CHECK_OK(racers[i].rc, racers[i].err);
            decided += racers[i].voted.ruling == SL_RULING_APPROVED ||
                               racers[i].voted.ruling == SL_RULING_REJECTED
                           ? 1
                           : 0;
            closed += racers[i].voted.ruling == SL_RULING_CLOSED ? 1 : 0;
        }
        sl_db_writer_stop(writer);
        SL_CHECK_EQ_INT(decided, 1);
        SL_CHECK_EQ_INT(closed, 2);
        SL_CHECK_EQ_INT(acts(w, "approval.denied"), 2);
        SL_CHECK_EQ_INT(n_votes(w), 1);
        world_free(w);
    }
}
