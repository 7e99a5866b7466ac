/* A step that asks people: what it is bound to, and how its request stands. It holds no slot: the decision is
 * to wait, and the core asks again when somebody voted or the time is over. Thread: read lane; writes
 * through the writer. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/run/project.h"
#include "pipelines/run/vote.h"
#include "pipelines/steps/approval.h"

/* ---- the candidate -------------------------------------------------------------------------------- */

/** Marks the step and all that it needs, directly or not. */
static bool *needs_of(const struct sl_plan *plan, uint32_t step)
{
    bool *seen = sl_calloc(plan->n_steps, sizeof(*seen));
    seen[step] = true;
    for (uint32_t i = step + 1; i-- > 0;) { /* needs come before */
        for (uint32_t k = 0; seen[i] && k < plan->steps[i].n_needs; k++) {
            seen[plan->steps[i].needs[k]] = true;
        }
    }
    return seen;
}

/** Marks the step and all that comes after it, directly or not. */
static bool *dependents_of(const struct sl_plan *plan, uint32_t step)
{
    bool *after = sl_calloc(plan->n_steps, sizeof(*after));
    after[step] = true;
    for (uint32_t i = step + 1; i < plan->n_steps; i++) {
        const struct sl_plan_step *p = &plan->steps[i];
        for (uint32_t k = 0; k < p->n_needs && !after[i]; k++) {
            after[i] = after[p->needs[k]];
        }
    }
    return after;
}

static int take_candidate(const struct sl_artifact *found, struct sl_arena *a,
                          struct sl_approval_bound *b, struct sl_err *err)
{
    if (b->entity != NULL &&
        (!sl_digest_eq(&b->candidate, &found->digest) || !sl_streq(b->entity, found->name))) {
        return sl_err_set(err, SL_EINVAL,
                          "several models could be meant (%s@v%lld and %s@v%lld); say which with "
                          "'candidate:'",
                          b->entity, (long long)b->number, found->name, (long long)found->version);
    }
    b->entity = sl_arena_strdup(a, found->name);
    b->number = found->version;
    b->candidate = found->digest;
    return 0;
}

/** What is looked for, and where. */
struct finding {
    struct eng_run *r;
    uint32_t step;
    struct sl_db *db;
    struct sl_arena *a;
    struct sl_approval_bound *bound;
};

/** The candidate of a gate that passed: bound in this engine's life, or bound once more. */
static int gate_candidate(const struct finding *f, uint32_t gate, struct sl_err *err)
{
    struct eng_bound *again = NULL;
    const struct eng_bound *bound = f->r->bound[gate];
    int rc = 0;
    if (bound == NULL) {
        rc = eng_bind(f->r, gate, f->db, &again, err);
        bound = again;
    }
    rc = rc < 0 ? rc : take_candidate(&bound->step.candidate, f->a, f->bound, err);
    eng_bound_free(again);
    return rc;
}

/** All that the deployment needs besides the step has ended before it: nothing that still changes is read. */
static bool is_known(const struct sl_plan_step *deploy, uint32_t step, const bool *needed)
{
    for (uint32_t k = 0; k < deploy->n_needs; k++) {
        if (deploy->needs[k] != step && !needed[deploy->needs[k]]) {
            return false;
        }
    }
    return true;
}

/** Without a gate: the model of the deployments after the step, when it is made before it. */
static int deployed_candidate(const struct finding *f, const bool *needed, struct sl_err *err)
{
    const struct sl_plan *plan = f->r->core.plan;
    _cleanup_(free)
    bool *after = dependents_of(plan, f->step);
    int rc = 0;
    for (uint32_t i = f->step + 1; rc == 0 && i < plan->n_steps; i++) {
        struct eng_bound *bound = NULL;
        if (after[i] && plan->steps[i].spec->action == SL_ACT_DEPLOY &&
            is_known(&plan->steps[i], f->step, needed) &&
            eng_bind(f->r, i, f->db, &bound, NULL) == 0) {
            rc = take_candidate(&bound->step.candidate, f->a, f->bound, err);
            eng_bound_free(bound);
        }
    }
    return rc;
}

static int find_candidate(const struct finding *f, struct sl_err *err)
{
    const struct sl_plan *plan = f->r->core.plan;
    _cleanup_(free)
    bool *needed = needs_of(plan, f->step);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < f->step; i++) {
        if (needed[i] && plan->steps[i].spec->action == SL_ACT_GATE &&
            sl_step_state_good(f->r->core.steps[i].state)) {
            rc = gate_candidate(f, i, err);
        }
    }
    return rc < 0 || f->bound->entity != NULL ? rc : deployed_candidate(f, needed, err);
}

/* ---- targets -------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *join_sorted(const char **names, size_t n, struct sl_arena *a)
{
    const char *out = "";
    qsort(names, n, sizeof(*names), by_text);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !sl_streq(names[i], names[i - 1])) {
            out = sl_arena_printf(a, "%s%s%s", out, out[0] != '\0' ? " " : "", names[i]);
        }
    }
    return out;
}

/** Targets of the deployments that come after the step, unless it names its own. */
static int find_targets(const struct eng_run *r, uint32_t step, struct sl_arena *a,
                        const char **ret, struct sl_err *err)
{
    const struct sl_plan *plan = r->core.plan;
    const char *own = plan->steps[step].spec->approval.target;
    const char *names[SL_APPROVAL_TARGETS_MAX];
    size_t n = 0;
    if (own != NULL) {
        *ret = own;
        return 0;
    }
    _cleanup_(free)
    bool *after = dependents_of(plan, step);
    for (uint32_t i = step + 1; i < plan->n_steps; i++) {
        if (!after[i] || plan->steps[i].spec->action != SL_ACT_DEPLOY) {
            continue;
        }
        if (n == SL_LEN(names)) {
            return sl_err_set(err, SL_ELIMIT, "more than %d targets depend on one approval",
                              SL_APPROVAL_TARGETS_MAX);
        }
        names[n++] = plan->steps[i].spec->deploy.target;
    }
    *ret = join_sorted(names, n, a);
    return 0;
}

/* ---- asking --------------------------------------------------------------------------------------- */

struct asking {
    struct sl_approval_ask ask;
    struct sl_approval_status status;
    struct sl_arena *a;
};

static int ask_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    struct asking *x = arg;
    int rc = sl_project_current(db, x->a, &x->ask.project, NULL, err);
    rc = rc < 0 ? rc : sl_approval_evidence(db, &x->ask.bound, &x->ask.bound.evidence, NULL, err);
    return rc < 0 ? rc : sl_approval_ask(db, &x->ask, &x->status, err);
}

static void put_from(const struct sl_approval *s, struct sl_buf *out)
{
    for (size_t i = 0; i < s->n_from; i++) {
        sl_buf_printf(out, "%s%s", i > 0 ? ", " : "", s->from[i]);
    }
}

static void tell(const struct sl_approval *s, const struct sl_approval_status *st,
                 struct sl_decision *d)
{
    char when[SL_TIME_TEXT];
    _cleanup_(buf)
    struct sl_buf text = SL_BUF_INIT(sizeof(d->reason) - 1);
    const char *words = st->reason[0] != '\0' ? ": " : "";
    switch (st->state) {
    case SL_APPROVAL_OPEN:
    case SL_APPROVAL_VOID:
        d->kind = SL_DECIDE_WAIT;
        d->until_ms = st->deadline_ms;
        sl_buf_printf(&text, "asks %d of ", SL_MAX(s->quorum, 1));
        put_from(s, &text);
        if (st->deadline_ms > 0) {
            sl_buf_printf(&text, " until %s", sl_time_format(st->deadline_ms, when));
        }
        break;
    case SL_APPROVAL_APPROVED:
        d->kind = SL_DECIDE_DONE;
        d->unchanged = st->earlier;
        sl_buf_printf(&text, "%s%s%s%s", st->by[0] != '\0' ? "approved by " : "approved", st->by,
                      words, st->reason);
        if (st->earlier) {
            sl_buf_printf(&text, " (by the same digests, in run %.8s; holds until %s)", st->run_id,
                          sl_time_format(st->valid_until_ms, when));
        }
        break;
    case SL_APPROVAL_REJECTED:
        d->kind = SL_DECIDE_REFUSE;
        sl_buf_printf(&text, "rejected by %s%s%s", st->by, words, st->reason);
        break;
    case SL_APPROVAL_EXPIRED:
        d->kind = SL_DECIDE_REFUSE;
        sl_buf_printf(&text, "expired%s%s", words, st->reason);
        break;
    case SL_APPROVAL_STATES: break;
    }
    snprintf(d->reason, sizeof(d->reason), "%s", sl_buf_str(&text));
}

int eng_approval_decide(struct eng_run *r, uint32_t step, const struct eng_bound *b,
                        struct sl_db *db, struct sl_decision *d, struct sl_err *err)
{
    const struct sl_plan_step *p = &r->core.plan->steps[step];
    const struct sl_approval *s = &p->spec->approval;
    struct sl_arena a;
    sl_arena_init(&a, 0);
    struct asking x = {.a = &a,
                       .ask = {.run_id = r->record.id,
                               .step_key = p->key,
                               .rule = {s->from, s->n_from, s->quorum, s->deny_requester},
                               .text = s->text,
                               .requester = r->record.actor,
                               .author = sl_run_code_author(&r->record, &a),
                               .timeout_ms = s->timeout_ms,
                               .approve_on_timeout = s->on_timeout == SL_ON_TIMEOUT_APPROVE,
                               .now_ms = sl_now_ms()}};
    struct sl_approval_bound *bound = &x.ask.bound;
    bound->code = r->record.code;
    sl_run_pipeline_digest(&r->record, &bound->pipeline);
    const struct finding f = {r, step, db, &a, bound};
    int rc = s->candidate != NULL ? take_candidate(&b->step.candidate, &a, bound, err)
                                  : find_candidate(&f, err);
    rc = rc < 0 ? rc : find_targets(r, step, &a, &bound->targets, err);
    bool live = false;
    rc = rc < 0 ? rc : sl_run_live_as_approved(db, bound, &live, err);
    if (rc == 0 && live) {
        d->kind = SL_DECIDE_DONE;
        d->unchanged = true;
        snprintf(d->reason, sizeof(d->reason), "%.150s@v%lld is live there already, as approved",
                 bound->entity, (long long)bound->number);
    } else if (rc == 0) {
        rc = sl_ws_write(r->e->ws, ask_tx, &x, err);
        if (rc == 0) {
            tell(s, &x.status, d);
        }
    }
    sl_arena_release(&a);
    return rc;
}
