/* See core_support.h. */
#include "core/base/base.h"

#include "tests/unit/pipelines/core/core_support.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/plan/plan.h"
#include "pipelines/spec/spec.h"

static void push(struct rig *r, struct rig_answer a)
{
    sl_vec_push(&r->queue, a);
}

static const char *key_of(const struct sl_core_attempt *a)
{
    return a->run->plan->steps[a->step].key;
}

static int64_t io_now(void *data)
{
    return ((struct rig *)data)->now_ms;
}

static void io_new_id(void *data, char out[SL_ID_HEX + 1])
{
    snprintf(out, SL_ID_HEX + 1, "%032x", ++((struct rig *)data)->ids);
}

static void io_decide(void *data, struct sl_core_run *run, uint32_t step)
{
    push(data, (struct rig_answer){.kind = RIG_DECIDE, .run = run, .step = step});
}

static void say(struct rig *r, const char *what, const struct sl_core_attempt *a)
{
    sl_buf_printf(&r->log, "%s %s#%d\n", what, key_of(a), a->number);
}

static void io_start(void *data, struct sl_core_attempt *a)
{
    say(data, "start", a);
    push(data, (struct rig_answer){.kind = RIG_START, .a = a});
}

static void io_go(void *data, struct sl_core_attempt *a)
{
    say(data, "go", a);
}

static void io_discard(void *data, struct sl_core_attempt *a)
{
    say(data, "discard", a);
}

static void io_adopt(void *data, struct sl_core_attempt *a)
{
    say(data, "adopt", a);
}

static void io_cancel(void *data, struct sl_core_attempt *a)
{
    say(data, "cancel", a);
}

static void io_collect(void *data, struct sl_core_attempt *a)
{
    push(data, (struct rig_answer){.kind = RIG_COLLECT, .a = a});
}

static void io_journal(void *data, struct sl_journal *j)
{
    push(data, (struct rig_answer){.kind = RIG_JOURNAL, .j = j});
}

static void io_wake_at(void *data, int64_t at_ms)
{
    ((struct rig *)data)->wake_ms = at_ms;
}

static void io_attempt_over(void *data, struct sl_core_attempt *a)
{
    if (a->ahead) {
        say(data, "forget", a);
    }
}

static void io_run_over(void *data, struct sl_core_run *run)
{
    struct rig *r = data;
    (void)run;
    r->runs_over++;
}

static void io_halted(void *data, const struct sl_err *err)
{
    struct rig *r = data;
    sl_buf_printf(&r->log, "halted: %s\n", err->msg);
    r->halted++;
}

static const struct sl_core_io rig_io = {.now_ms = io_now,
                                         .new_id = io_new_id,
                                         .decide = io_decide,
                                         .start = io_start,
                                         .go = io_go,
                                         .discard = io_discard,
                                         .adopt = io_adopt,
                                         .cancel = io_cancel,
                                         .collect = io_collect,
                                         .journal = io_journal,
                                         .wake_at = io_wake_at,
                                         .attempt_over = io_attempt_over,
                                         .run_over = io_run_over,
                                         .halted = io_halted};

void rig_copy_io(struct sl_core_io *ret)
{
    *ret = rig_io;
}

/* ---- answers -------------------------------------------------------------------------------------- */

static const char *step_status(void *data, uint32_t step)
{
    return sl_core_step_status(data, step);
}

static const struct sl_artifact *step_output(void *data, uint32_t step, const char *output)
{
    (void)data;
    (void)step;
    (void)output;
    return NULL;
}

static void decide(struct rig *r, const struct rig_answer *x)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_plan_judgement j = {.verdict = SL_PLAN_OMIT};
    struct sl_decision d = {
        .kind = SL_DECIDE_RUN, .has_key = true, .share = r->share, .light = true};
    struct sl_plan_world world = {.step_status = step_status,
                                  .step_output = step_output,
                                  .run_id = x->run->id,
                                  .run_status = x->run->n_failed > 0 ? "failed" : "succeeded",
                                  .data = x->run};
    SL_CHECK_OK(sl_plan_judge(r->plan, x->step, &world, &r->arena, &j, &err), err);
    const char *text = r->plan->steps[x->step].spec->run;
    sl_sha256(text, strlen(text), &d.key);
    d.key_record = sl_strdup("{}");
    if (j.verdict != SL_PLAN_RUN) {
        d.kind = j.verdict == SL_PLAN_SKIP ? SL_DECIDE_SKIP : SL_DECIDE_OMIT;
    } else if (r->cached) {
        d.kind = SL_DECIDE_CACHED;
    }
    if (d.kind == SL_DECIDE_RUN && r->answer != SL_DECIDE_RUN &&
        (r->answer_for == NULL || sl_streq(r->answer_for, r->plan->steps[x->step].key))) {
        d.kind = r->answer;
        d.until_ms = r->until_ms;
        d.unchanged = r->unchanged;
        r->answer = r->then_answer != SL_DECIDE_RUN ? r->then_answer : r->answer;
    }
    sl_core_decided(x->run, x->step, &d);
}

static void answer_journal(struct rig *r, struct sl_journal *j)
{
    struct sl_err err = SL_ERR_INIT;
    for (size_t i = 0; i < j->entries.n && !r->disk_full; i++) {
        const struct sl_jentry *e = &j->entries.items[i];
        if (e->kind == SL_J_RUN) {
            bool why = sl_starts_with(e->reason, "replaced");
            sl_buf_printf(&r->log, "run: %s -> %s%s%s%s\n", sl_sm_name(&sl_run_machine, e->from),
                          sl_sm_name(&sl_run_machine, e->to), why ? " (" : "", why ? e->reason : "",
                          why ? ")" : "");
        } else if (e->kind == SL_J_STEP) {
            sl_buf_printf(&r->log, "%s: %s -> %s\n", r->plan->steps[e->step].key,
                          sl_sm_name(&sl_step_machine, e->from),
                          sl_sm_name(&sl_step_machine, e->to));
        }
    }
    int rc = r->disk_full ? sl_err_set(&err, SL_ENOSPACE, "disk full") : 0;
    sl_core_journaled(r->core, j, rc, &err);
}

static void answer(struct rig *r, const struct rig_answer *x)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_outcome o;
    switch (x->kind) {
    case RIG_DECIDE: decide(r, x); break;
    case RIG_START:
        sl_core_started(x->a, r->cannot_start ? sl_err_set(&err, SL_EIO, "no process") : 0, &err);
        break;
    case RIG_COLLECT:
        o = x->a->outcome;
        sl_core_collected(x->a, &o);
        break;
    case RIG_JOURNAL: answer_journal(r, x->j); break;
    }
    sl_core_pump(r->core);
}

static bool held(const struct rig *r, const struct rig_answer *x)
{
    return (x->kind == RIG_JOURNAL && r->hold_journal) || (x->kind == RIG_START && r->hold_starts);
}

/** False when nothing is left that may happen. */
static bool answer_next(struct rig *r)
{
    size_t at = 0;
    while (at < r->queue.n && held(r, &r->queue.items[at])) {
        at++;
    }
    if (at == r->queue.n) {
        return false;
    }
    struct rig_answer x = r->queue.items[at];
    r->queue.n--;
    memmove(r->queue.items + at, r->queue.items + at + 1, (r->queue.n - at) * sizeof(x));
    answer(r, &x);
    return true;
}

void rig_step_once(struct rig *r)
{
    sl_core_pump(r->core);
    SL_CHECK(answer_next(r));
}

void rig_settle(struct rig *r)
{
    sl_core_pump(r->core);
    while (answer_next(r)) {
    }
}

const char *rig_reason(struct rig *r, const char *key)
{
    const char *reason = "";
    for (size_t i = 0; i < r->queue.n; i++) {
        const struct sl_journal *j = r->queue.items[i].j;
        for (size_t k = 0; j != NULL && k < j->entries.n; k++) {
            if (j->entries.items[k].kind == SL_J_STEP &&
                j->entries.items[k].step == rig_step(r, key)) {
                reason = j->entries.items[k].reason;
            }
        }
    }
    return reason;
}

/* ---- the rig -------------------------------------------------------------------------------------- */

static void name_run(struct rig *r, struct sl_core_run *run, const char *id)
{
    *run = (struct sl_core_run){.plan = r->plan, .arena = &r->arena, .state = SL_RUN_QUEUED};
    snprintf(run->id, sizeof(run->id), "%s", id);
}

static struct sl_core *new_core(struct rig *r)
{
    return sl_core_new(&rig_io, r, &r->caps);
}

void rig_use(struct rig *r, struct sl_sched_caps caps)
{
    sl_core_free(r->core);
    r->caps = caps;
    r->core = new_core(r);
}

void rig_init_empty(struct rig *r, const char *yaml)
{
    struct sl_param_value *params = NULL;
    memset(r, 0, sizeof(*r));
    r->log = SL_BUF_INIT(1 << 20);
    r->now_ms = 1000;
    sl_arena_init(&r->arena, 0);
    sl_diags_init(&r->diags, &r->arena);
    const char *text =
        sl_arena_printf(&r->arena, "apiVersion: sluice/v1\nkind: Pipeline\nname: test\n%s", yaml);
    struct sl_spec_source source = {.file = "test.yml", .text = sl_str_c(text)};
    int rc = sl_spec_load(&source, &r->arena, &r->diags, &r->spec);
    SL_CHECK_MSG(rc == 0, "%s", r->diags.list.n > 0 ? r->diags.list.items[0].message : "");
    SL_CHECK_EQ_INT(sl_plan_params(r->spec, NULL, 0, &r->arena, &r->diags, &params), 0);
    SL_CHECK_EQ_INT(sl_plan_build(r->spec, params, &r->arena, &r->diags, &r->plan), 0);
    SL_CHECK(r->plan->n_steps <= RIG_STEPS_MAX);
    r->caps = (struct sl_sched_caps){.cpu_milli = 8000};
    r->core = new_core(r);
    name_run(r, &r->run, "0000000000000000000000000000aaaa");
}

void rig_init(struct rig *r, const char *yaml)
{
    struct sl_err err = SL_ERR_INIT;
    rig_init_empty(r, yaml);
    SL_CHECK_OK(sl_core_add_run(r->core, &r->run, &err), err);
    rig_settle(r);
}

void rig_add_other(struct rig *r)
{
    struct sl_err err = SL_ERR_INIT;
    name_run(r, &r->other, "0000000000000000000000000000bbbb");
    SL_CHECK_OK(sl_core_add_run(r->core, &r->other, &err), err);
    rig_settle(r);
}

static void drop_answers(struct rig *r)
{
    struct sl_err err = SL_ERR_INIT;
    (void)sl_err_set(&err, SL_EIO, "gone");
    for (size_t i = 0; i < r->queue.n; i++) {
        if (r->queue.items[i].kind == RIG_JOURNAL) {
            sl_core_journaled(r->core, r->queue.items[i].j, -SL_EIO, &err);
        }
    }
    r->queue.n = 0;
}

void rig_restart(struct rig *r, enum sl_run_state state)
{
    struct sl_err err = SL_ERR_INIT;
    drop_answers(r);
    sl_core_free(r->core);
    r->core = new_core(r);
    name_run(r, &r->run, "0000000000000000000000000000aaaa");
    r->run.state = state;
    sl_buf_clear(&r->log);
    r->wake_ms = 0;
    SL_CHECK_OK(sl_core_restore_begin(r->core, &r->run, &err), err);
}

void rig_release(struct rig *r)
{
    drop_answers(r);
    sl_core_free(r->core);
    sl_vec_free(&r->queue);
    sl_buf_release(&r->log);
    sl_diags_release(&r->diags);
    sl_arena_release(&r->arena);
}

uint32_t rig_step(const struct rig *r, const char *key)
{
    for (uint32_t i = 0; i < r->plan->n_steps; i++) {
        if (sl_streq(r->plan->steps[i].key, key)) {
            return i;
        }
    }
    SL_FAIL("no step '%s'", key);
}

const char *rig_state(const struct rig *r, const char *key)
{
    return sl_sm_name(&sl_step_machine, (int)r->run.steps[rig_step(r, key)].state);
}

void rig_exit(struct rig *r, const char *key, enum sl_fail_class fail)
{
    struct sl_core_attempt *a = r->run.steps[rig_step(r, key)].att;
    SL_CHECK_MSG(a != NULL, "%s has no attempt", key);
    struct sl_outcome o = {.ok = fail == SL_FAIL_COUNT, .fail = fail};
    o.fail = o.ok ? SL_FAIL_NEVER_STARTED : fail;
    sl_core_exited(a, &o);
    rig_settle(r);
}

void rig_wake(struct rig *r)
{
    SL_CHECK(r->wake_ms > r->now_ms);
    r->now_ms = r->wake_ms;
    rig_settle(r);
}

const char *rig_log(struct rig *r)
{
    const char *text = sl_arena_strdup(&r->arena, sl_buf_str(&r->log));
    sl_buf_clear(&r->log);
    return text;
}
