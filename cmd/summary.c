/* What a run came to: counts, the gate's numbers, what is live, what to look at next. Thread: main. */
#include "core/base/base.h"

#include <stdlib.h>

#include "cmd/follow.h"
#include "cmd/table.h"
#include "core/base/time.h"
#include "pipelines/steps/gate.h"

static void put_counts(const json_t *run, struct sl_buf *out)
{
    static const char *const states[] = {"succeeded", "cached",    "unchanged",
                                         "skipped",   "failed",    "refused",
                                         "omitted",   "cancelled", "needs_decision"};
    const json_t *steps = json_object_get(run, "steps");
    const char *sep = "";
    for (size_t k = 0; k < SL_LEN(states); k++) {
        size_t n = 0;
        size_t i = 0;
        json_t *s = NULL;
        json_array_foreach (steps, i, s) {
            n += sl_streq(sl_json_str(s, "state", ""), states[k]) ? 1 : 0;
        }
        if (n > 0) {
            sl_buf_printf(out, "%s%zu %s", sep, n, states[k]);
            sep = ", ";
        }
    }
}

static void put_gates(struct sl_cmd *c, const char *run_id, struct sl_buf *out)
{
    json_auto_t *answer = NULL;
    if (sl_call(c, "runs.verdicts", json_pack("{s:s}", "run", run_id), &answer) < 0) {
        return; /* the summary goes without */
    }
    size_t i = 0;
    json_t *v = NULL;
    json_array_foreach (json_object_get(answer, "verdicts"), i, v) {
        const json_t *detail = json_object_get(v, "detail");
        if (detail == NULL) {
            continue;
        }
        sl_buf_puts(out, "\ngate ");
        sl_put_clean(out, sl_json_str(v, "step", sl_json_str(v, "step_key", "outside a run")));
        sl_buf_printf(out, ": %s\n", sl_json_str(v, "result", ""));
        sl_gate_print(detail, c->color, out);
        if (sl_json_str(v, "override_reason", NULL) != NULL) {
            sl_buf_puts(out, "override: ");
            sl_put_clean(out, sl_json_str(v, "override_reason", ""));
            sl_buf_printf(out, " (%s)\n", sl_json_str(v, "override_by", "-"));
        }
    }
}

static bool put_live(struct sl_cmd *c, const char *run_id, struct sl_buf *out)
{
    json_auto_t *answer = NULL;
    bool ours = false;
    size_t i = 0;
    json_t *d = NULL;
    if (sl_call(c, "deployments.list", json_object(), &answer) < 0) {
        return false;
    }
    json_array_foreach (json_object_get(answer, "deployments"), i, d) {
        if (sl_streq(sl_json_str(d, "state", ""), "live")) {
            bool from_here = sl_streq(sl_json_str(d, "run_id", ""), run_id);
            ours = ours || from_here;
            sl_buf_printf(out, "\nlive on %s: %s@v%lld%s\n", sl_json_str(d, "target", ""),
                          sl_json_str(d, "entity", ""), (long long)sl_json_i64(d, "version", 0),
                          from_here ? ", from this run" : "");
        }
    }
    return ours;
}

/** The first step in a state, or NULL. */
static const char *first_in(const json_t *run, const char *state)
{
    size_t i = 0;
    json_t *s = NULL;
    json_array_foreach (json_object_get(run, "steps"), i, s) {
        if (sl_streq(sl_json_str(s, "state", ""), state)) {
            return sl_json_str(s, "key", "");
        }
    }
    return NULL;
}

/** Whether a step came to an attempt, which may have left a log. */
static bool attempted(const json_t *run, const char *key)
{
    size_t i = 0;
    json_t *s = NULL;
    json_array_foreach (json_object_get(run, "steps"), i, s) {
        if (sl_streq(sl_json_str(s, "key", ""), key)) {
            return sl_json_i64(s, "attempts", 0) > 0;
        }
    }
    return false;
}

static void put_next_step(const char *verb, const char *run, const char *step, struct sl_buf *out)
{
    _cleanup_(free)
    char *target = sl_asprintf("%s/%s", run, step);
    sl_buf_printf(out, "  sluice %s ", verb);
    sl_buf_shell_quote(out, target);
    sl_buf_putc(out, '\n');
}

/** Whether there is something to show. */
static bool has_metrics(struct sl_cmd *c, const char *run_id)
{
    json_auto_t *answer = NULL;
    return sl_call(c, "runs.metrics", json_pack("{s:s}", "run", run_id), &answer) == 0 &&
           json_array_size(json_object_get(answer, "series")) > 0;
}

static void put_next(struct sl_cmd *c, const json_t *run, bool deployed, struct sl_buf *out)
{
    const char *name = sl_json_str(run, "name", "");
    const char *failed = first_in(run, "failed");
    const char *refused = first_in(run, "refused");
    const char *undecided = first_in(run, "needs_decision");
    const char *ran = first_in(run, "succeeded");
    bool cancelled = sl_streq(sl_json_str(run, "state", ""), "cancelled");
    sl_buf_puts(out, "\nnext:\n");
    if (failed != NULL) {
        put_next_step(attempted(run, failed) ? "logs" : "why", name, failed, out);
    }
    if (undecided != NULL) {
        put_next_step("approve", name, undecided, out);
    }
    if (failed != NULL || cancelled) {
        sl_buf_puts(out, "  sluice retry ");
        sl_buf_shell_quote(out, name);
        sl_buf_putc(out, '\n');
    }
    if (refused != NULL) {
        put_next_step("why", name, refused, out);
    }
    if (failed == NULL && refused == NULL && !cancelled && ran != NULL) {
        put_next_step("why", name, ran, out);
    }
    if (ran != NULL && has_metrics(c, sl_json_str(run, "id", ""))) {
        sl_buf_puts(out, "  sluice metrics ");
        sl_buf_shell_quote(out, name);
        sl_buf_putc(out, '\n');
    }
    sl_buf_printf(out, "  sluice show ");
    sl_buf_shell_quote(out, name);
    sl_buf_puts(out, deployed ? "\n  sluice deployments\n" : "\n");
}

int sl_summary(struct sl_cmd *c, const char *run_id)
{
    json_auto_t *run = NULL;
    if (sl_call(c, "runs.show", json_pack("{s:s}", "run", run_id), &run) < 0) {
        return sl_cmd_fail(c);
    }
    int status = (int)sl_json_i64(run, "exit_status", SL_EXIT_FAILED);
    if (c->json) {
        return status;
    }
    struct sl_buf out = SL_BUF_INIT((size_t)8 << 20);
    const char *state = sl_json_str(run, "state", "");
    char time[SL_TIME_TEXT];
    int64_t took = sl_json_i64(run, "ended_ms", 0) - sl_json_i64(run, "started_ms", 0);
    sl_buf_printf(&out, "%s%s%s %s in %s: ", sl_state_color(state, c->color), state,
                  SL_COLOR_END(c->color), sl_json_str(run, "name", ""),
                  sl_duration_format(SL_MAX(took, (int64_t)0), time));
    put_counts(run, &out);
    sl_buf_putc(&out, '\n');
    if (status != SL_EXIT_OK && sl_json_str(run, "reason", "")[0] != '\0') {
        sl_put_clean(&out, sl_json_str(run, "reason", ""));
        sl_buf_putc(&out, '\n');
    }
    put_gates(c, run_id, &out);
    bool deployed = put_live(c, run_id, &out);
    put_next(c, run, deployed, &out);
    (void)sl_cmd_print(&out);
    return status;
}

/* ---- waiting for people ---------------------------------------------------------------------------- */

static void put_awaiting(const json_t *item, struct sl_buf *out)
{
    _cleanup_(free)
    char *step =
        sl_asprintf("%s#%lld/%s", sl_json_str(item, "pipeline", ""),
                    (long long)sl_json_i64(item, "number", 0), sl_json_str(item, "step", ""));
    const char *entity = sl_json_str(item, "entity", NULL);
    const char *targets = sl_json_str(item, "targets", "");
    size_t i = 0;
    json_t *from = NULL;
    sl_put_clean(out, step);
    sl_buf_puts(out, " awaits approval");
    if (entity != NULL) {
        sl_buf_puts(out, " of ");
        sl_put_clean(out, entity);
        sl_buf_printf(out, "@v%lld", (long long)sl_json_i64(item, "version", 0));
    }
    if (targets[0] != '\0') {
        sl_buf_puts(out, " for ");
        sl_put_clean(out, targets);
    }
    sl_buf_printf(out, " by %lld of ", (long long)sl_json_i64(item, "quorum", 1));
    json_array_foreach (json_object_get(item, "from"), i, from) {
        sl_buf_puts(out, i > 0 ? ", " : "");
        sl_put_clean(out, json_string_value(from));
    }
    sl_buf_puts(out, "\n  sluice approve ");
    sl_buf_shell_quote(out, step);
    sl_buf_puts(out, " --reason TEXT\n");
}

int sl_summary_awaiting(struct sl_cmd *c, const char *run_id, bool served)
{
    json_auto_t *answer = NULL;
    size_t i = 0;
    json_t *item = NULL;
    struct sl_buf out = SL_BUF_INIT((size_t)8 << 20);
    if (sl_call(c, "inbox", json_pack("{s:s}", "all", "true"), &answer) < 0) {
        return sl_cmd_fail(c);
    }
    if (c->json) {
        return SL_EXIT_WAITING;
    }
    bool own = false; /* else it is queued behind what others are asked */
    json_array_foreach (json_object_get(answer, "waiting"), i, item) {
        own = own || sl_streq(run_id, sl_json_str(item, "run", ""));
    }
    json_array_foreach (json_object_get(answer, "waiting"), i, item) {
        bool ours = !own || sl_streq(run_id, sl_json_str(item, "run", ""));
        if (ours && sl_streq(sl_json_str(item, "kind", ""), "approval")) {
            put_awaiting(item, &out);
        }
    }
    sl_buf_puts(&out, served ? "the engine that serves here goes on by itself\n"
                             : "then: sluice resume\n");
    (void)sl_cmd_print(&out);
    return SL_EXIT_WAITING;
}
