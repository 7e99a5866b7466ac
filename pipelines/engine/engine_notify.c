/* Steps that tell people something: the message is bound when the step is decided and becomes one event in the
 * transaction that ends the step, so that it is queued exactly once; delivery is a subscriber's. Thread: as each
 * function says. Must not: deliver. */
#include "core/base/base.h"

#include "pipelines/engine/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/bus/bus.h"
#include "pipelines/run/notifier.h"
#include "pipelines/run/project.h"

#define NOTIFY_TEXT_MAX    16384 /* bytes of a message */
#define NOTIFY_SUBJECT_MAX 500   /* bytes of a mail's subject */

/* ---- before the run is recorded ------------------------------------------------------------------- */

static int check_channel(const struct sl_project *project, const struct sl_step *s,
                         struct sl_arena *a, struct sl_err *err)
{
    const struct sl_channel *channel = sl_project_channel(project, s->notify.channel);
    const char *kind = s->notify.mail ? "mail" : "webhook";
    if (channel != NULL && channel->mail == s->notify.mail) {
        return 0;
    }
    if (channel != NULL) {
        return sl_err_set(err, SL_EINVAL, "step '%s': channel '%s' of the project is no %s channel",
                          s->id, channel->name, kind);
    }
    const char **names = SL_ARENA_ARRAY(a, const char *, project->n_channels + 1);
    for (size_t i = 0; i < project->n_channels; i++) {
        names[i] = project->channels[i].name;
    }
    const char *near = sl_nearest(s->notify.channel, names, project->n_channels);
    return sl_err_set(err, SL_ENOTFOUND,
                      "step '%s': the project in force has no channel '%s'%s%s%s; channels are "
                      "declared in a project file: sluice project apply FILE",
                      s->id, s->notify.channel, near != NULL ? " (did you mean '" : "",
                      near != NULL ? near : "", near != NULL ? "'?)" : "");
}

int eng_check_channels(const struct eng_run *r, struct sl_err *err)
{
    struct sl_arena a;
    const struct sl_project *project = NULL;
    bool any = false;
    for (size_t i = 0; i < r->spec->n_steps; i++) {
        any = any || r->spec->steps[i].action == SL_ACT_NOTIFY;
    }
    if (!any) {
        return 0;
    }
    sl_arena_init(&a, 0);
    struct sl_db *db = eng_reader_get(r->e, err);
    int rc = db == NULL ? -err->code : sl_project_current(db, &a, &project, NULL, err);
    for (size_t i = 0; rc == 0 && i < r->spec->n_steps; i++) {
        if (r->spec->steps[i].action == SL_ACT_NOTIFY) {
            rc = check_channel(project, &r->spec->steps[i], &a, err);
        }
    }
    if (db != NULL) {
        eng_reader_put(r->e, db);
    }
    sl_arena_release(&a);
    return rc;
}

/* ---- in the run ----------------------------------------------------------------------------------- */

/** What would not fit the event must not reach the journal: there it would stop the engine. */
static int check_message(const json_t *message, struct sl_err *err)
{
    if (message == NULL) {
        return sl_err_set(err, SL_EINVAL, "notify: the text is not UTF-8");
    }
    _cleanup_(free)
    char *text = sl_json_canonical(message);
    return strlen(text) <= SL_BUS_PAYLOAD_MAX
               ? 0
               : sl_err_set(err, SL_ELIMIT, "notify: the message is too long once it is written");
}

static int check_length(const char *what, const char *text, size_t max, struct sl_err *err)
{
    size_t len = text != NULL ? strlen(text) : 0;
    return len <= max ? 0
                      : sl_err_set(err, SL_ELIMIT, "notify: %s has %zu bytes; at most %zu", what,
                                   len, max);
}

void eng_notify_decide(struct eng_run *r, uint32_t step, const struct sl_plan_world *world,
                       struct eng_bound **ret_bound, struct sl_decision *ret)
{
    const struct sl_notify *n = &r->core.plan->steps[step].spec->notify;
    struct eng_bound *b = SL_NEW(struct eng_bound);
    struct sl_bound_notify says;
    struct sl_err err = SL_ERR_INIT;
    sl_arena_init(&b->arena, 0);
    int rc = sl_plan_bind_notify(r->core.plan, step, world, &b->arena, &says, &err);
    rc = rc < 0 ? rc : check_length("text", says.text, NOTIFY_TEXT_MAX, &err);
    rc = rc < 0 ? rc : check_length("subject", says.subject, NOTIFY_SUBJECT_MAX, &err);
    if (rc == 0) {
        b->message = json_pack("{s:b, s:s, s:s, s:s?, s:s, s:I, s:s}", "mail", n->mail, "channel",
                               n->channel, "text", says.text, "subject", says.subject, "pipeline",
                               r->record.pipeline, "number", (json_int_t)r->record.number, "status",
                               world->run_status);
        rc = check_message(b->message, &err);
    }
    *ret_bound = b;
    if (rc < 0) {
        ret->kind = SL_DECIDE_FAIL;
        snprintf(ret->reason, sizeof(ret->reason), "%.280s", err.msg);
        return;
    }
    ret->kind = SL_DECIDE_DONE;
    snprintf(ret->reason, sizeof(ret->reason), "queued for %s %s", n->mail ? "mail" : "webhook",
             n->channel);
}

int eng_notify_record(struct sl_db *db, const struct sl_jentry *e, struct sl_err *err)
{
    const struct eng_run *r = eng_run_of(e->run);
    struct sl_event ev = {.ts_ms = e->ts_ms,
                          .type = SL_EVENT_NOTIFY_QUEUED,
                          .run_id = e->run->id,
                          .subject = e->run->plan->steps[e->step].key};
    atomic_store(&r->e->messages, true);
    return sl_bus_append(db, &ev, r->bound[e->step]->message, NULL, err);
}

/* ---- delivery ------------------------------------------------------------------------------------- */

static void watch(struct sl_engine_subscriber *s, const struct sl_engine_event *ev)
{
    struct sl_engine *e = s->data;
    if (ev->kind == SL_J_STEP && atomic_exchange(&e->messages, false)) {
        sl_notifier_wake(e->notifier);
    }
}

int eng_notify_open(struct sl_engine *e, const struct sl_engine_opts *opts, struct sl_err *err)
{
    struct sl_notifier_opts n = {.ca_file = opts->ca_file};
    int rc = sl_notifier_allow(opts->notify_allow, &n.allow, err);
    rc = rc < 0 ? rc : sl_notifier_new(e->loop, e->ws, &n, &e->notifier, err);
    if (rc == 0) {
        e->message_watch = (struct sl_engine_subscriber){.fn = watch, .data = e};
        sl_engine_subscribe(e, &e->message_watch);
    }
    return rc;
}

void eng_notify_close(struct sl_engine *e)
{
    if (e->notifier != NULL) {
        sl_engine_unsubscribe(e, &e->message_watch);
        sl_notifier_close(e->notifier);
        e->notifier = NULL;
    }
}
