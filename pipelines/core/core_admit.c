/* Groups of runs: a run of a group stays queued until the group has room; a run that replaces cancels older
 * ones. Who starts next follows from what is durable, so that a restart keeps the order.
 * Thread: loop. Must not: do I/O, block, or read a clock except through io. */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/core/admit.h"
#include "pipelines/core/core_priv.h"

struct tally { /* a group, counted */
    const char *name;
    int limit, running, staying; /* staying: running and not being cancelled */
    const struct sl_core_run *newest, *replacing;
    UT_hash_handle hh;
};

static struct sl_admit_key key_of(const struct sl_core_run *r)
{
    return (struct sl_admit_key){r->priority, r->created_ms, r->id};
}

static bool older(const struct sl_core_run *a, const struct sl_core_run *b)
{
    const struct sl_admit_key ka = {0, a->created_ms, a->id};
    const struct sl_admit_key kb = {0, b->created_ms, b->id};
    return sl_admit_compare(&ka, &kb) < 0;
}

static int compare_runs(const void *a, const void *b)
{
    struct sl_admit_key ka = key_of(*(struct sl_core_run *const *)a);
    struct sl_admit_key kb = key_of(*(struct sl_core_run *const *)b);
    return sl_admit_compare(&ka, &kb);
}

/** In a group and not over. */
static bool counts(const struct sl_core_run *r)
{
    return r->group != NULL && !sl_run_machine.states[r->state].final;
}

/** Of a group that has a live run. */
static struct tally *tally_of(struct tally *all, const char *group)
{
    struct tally *t = NULL;
    HASH_FIND_STR(all, group, t);
    SL_ASSERT(t != NULL);
    return t;
}

static void count(struct tally **all, struct sl_core_run *r)
{
    struct tally *t = NULL;
    HASH_FIND_STR(*all, r->group, t);
    if (t == NULL) {
        t = SL_NEW(struct tally);
        t->name = r->group;
        HASH_ADD_KEYPTR(hh, *all, t->name, strlen(t->name), t);
    }
    t->newest = t->newest == NULL || older(t->newest, r) ? r : t->newest;
    t->running += r->admitted ? 1 : 0;
    t->staying += r->admitted && r->state == SL_RUN_RUNNING ? 1 : 0;
    if (!r->admitted && r->replace && (t->replacing == NULL || older(t->replacing, r))) {
        t->replacing = r;
    }
}

static int limit_of(const struct sl_core *c, const struct tally *t)
{
    int limit = c->io->group_limit != NULL ? c->io->group_limit(c->data, t->name) : 0;
    return SL_MAX(limit > 0 ? limit : t->newest->group_limit, 1);
}

static struct tally *tally_all(struct sl_core *c)
{
    struct tally *all = NULL;
    struct tally *t = NULL;
    struct tally *next = NULL;
    for (struct sl_core_run *r = c->runs; r != NULL; r = r->next) {
        if (counts(r)) {
            count(&all, r);
        }
    }
    HASH_ITER (hh, all, t, next) {
        t->limit = limit_of(c, t);
    }
    return all;
}

static void free_tallies(struct tally *all)
{
    struct tally *t = NULL;
    struct tally *next = NULL;
    HASH_ITER (hh, all, t, next) {
        HASH_DEL(all, t);
        free(t);
    }
}

/* ---- replacing ------------------------------------------------------------------------------------ */

static void cancel_replaced(struct sl_core_run *r, const struct sl_core_run *by)
{
    char reason[SL_SPEC_NAME_MAX + 60];
    snprintf(reason, sizeof(reason), "replaced by %.*s#%lld", SL_SPEC_NAME_MAX,
             by->plan->spec->name, (long long)by->number);
    sl_core_cancel_because(r, reason);
}

/** The oldest that runs and may be cancelled for `by`. */
static struct sl_core_run *oldest_staying(struct sl_core *c, const struct sl_core_run *by)
{
    struct sl_core_run *oldest = NULL;
    for (struct sl_core_run *r = c->runs; r != NULL; r = r->next) {
        if (counts(r) && sl_streq(r->group, by->group) && r->admitted &&
            r->state == SL_RUN_RUNNING && older(r, by) && (oldest == NULL || older(r, oldest))) {
            oldest = r;
        }
    }
    return oldest;
}

/** The newest replacing run makes its way: older ones of a full group do not start, the oldest that run
 * stop. What it cancelled before a crash is found cancelling, so that nothing is cancelled beyond need. */
static void replace(struct sl_core *c, struct tally *t)
{
    const struct sl_core_run *by = t->replacing;
    struct sl_core_run *next = NULL;
    if (t->staying < t->limit) {
        return;
    }
    for (struct sl_core_run *r = c->runs; r != NULL; r = next) {
        next = r->next;
        if (counts(r) && sl_streq(r->group, by->group) && !r->admitted && r != by && older(r, by)) {
            cancel_replaced(r, by);
        }
    }
    while (t->staying >= t->limit && (next = oldest_staying(c, by)) != NULL) {
        cancel_replaced(next, by);
        t->staying--;
    }
}

static void replace_all(struct sl_core *c)
{
    struct tally *all = tally_all(c);
    struct tally *t = NULL;
    struct tally *next = NULL;
    HASH_ITER (hh, all, t, next) {
        if (t->replacing != NULL) {
            replace(c, t);
        }
    }
    free_tallies(all);
}

/* ---- admitting ------------------------------------------------------------------------------------ */

/** Live runs in groups: those that were admitted, or the queued ones in the order in which they start. */
static size_t list_runs(const struct sl_core *c, bool admitted, struct sl_core_run ***ret)
{
    SL_VEC(struct sl_core_run *) list = {0};
    for (struct sl_core_run *r = c->runs; r != NULL; r = r->next) {
        if (counts(r) && r->admitted == admitted) {
            sl_vec_push(&list, r);
        }
    }
    if (list.n > 1) {
        qsort(list.items, list.n, sizeof(list.items[0]), compare_runs);
    }
    *ret = list.items;
    return list.n;
}

void sl_core_admit(struct sl_core *c)
{
    struct sl_core_run **queue = NULL;
    if (!c->admit_anew) {
        return;
    }
    c->admit_anew = false;
    replace_all(c);
    struct tally *all = tally_all(c);
    size_t n = list_runs(c, false, &queue);
    for (size_t i = 0; i < n; i++) {
        struct tally *t = tally_of(all, queue[i]->group);
        if (t->running < t->limit) {
            t->running++;
            sl_core_begin_run(queue[i]);
        }
    }
    free(queue);
    free_tallies(all);
}

void sl_core_limits_changed(struct sl_core *c)
{
    c->admit_anew = true;
}

void sl_core_why_queued(const struct sl_core_run *r, struct sl_buf *out)
{
    if (!counts(r) || r->admitted) {
        return;
    }
    struct tally *all = tally_all(r->core);
    struct sl_admit_view v = {.group = r->group, .limit = tally_of(all, r->group)->limit};
    struct sl_core_run **list = NULL;
    size_t n = list_runs(r->core, true, &list);
    for (size_t i = 0; i < n; i++) {
        if (sl_streq(list[i]->group, r->group)) {
            sl_admit_view_running(&v, list[i]->plan->spec->name, list[i]->number);
        }
    }
    free(list);
    n = list_runs(r->core, false, &list);
    for (size_t i = 0; i < n && list[i] != r; i++) {
        v.before += sl_streq(list[i]->group, r->group) ? 1 : 0;
    }
    free(list);
    free_tallies(all);
    sl_admit_view_text(&v, out);
}
