/**
 * The backend without processes.
 *
 * Thread: loop. Must not: call back except from sl_fake_world_advance.
 */
#include "core/base/base.h"

#include "runners/fake/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <uthash.h>

#include "core/base/mem.h"

enum fake_state { FAKE_BLOCKED, FAKE_RUNNING, FAKE_ENDED, FAKE_GONE };

struct fake_attempt {
    char nonce[SL_ID_HEX + 1]; /* key */
    char attempt_id[SL_ID_HEX + 1];
    enum fake_state state;
    bool delivered, cancelled;
    int execs;
    int64_t due_ms;
    int64_t started_ms;
    int64_t timeout_at_ms; /* INT64_MAX: none */
    uint64_t order;        /* of becoming due: equal times keep it */
    struct sl_fake_outcome outcome;
    struct sl_attempt *owner; /* NULL: nobody watches */
    UT_hash_handle hh;
    TAILQ_ENTRY(fake_attempt) active;
};

struct sl_fake_world {
    struct sl_fake_config config;
    struct fake_attempt *by_nonce;
    TAILQ_HEAD(, fake_attempt) active; /* running, or ended and not delivered to its owner */
    uint64_t order;
    size_t running;
};

struct fake_runner {
    struct sl_runner base;
    struct sl_fake_world *world;
};

static struct sl_fake_world *world_of(struct sl_runner *runner)
{
    SL_ASSERT(runner->ops == &sl_runner_ops_fake);
    return SL_CONTAINER_OF(runner, struct fake_runner, base)->world;
}

struct sl_fake_world *sl_fake_world_new(const struct sl_fake_config *config)
{
    struct sl_fake_world *w = SL_NEW(struct sl_fake_world);
    w->config = *config;
    TAILQ_INIT(&w->active);
    return w;
}

void sl_fake_world_free(struct sl_fake_world *w)
{
    struct fake_attempt *a = NULL;
    struct fake_attempt *next = NULL;
    HASH_ITER (hh, w->by_nonce, a, next) {
        HASH_DEL(w->by_nonce, a);
        free(a);
    }
    free(w);
}

static struct fake_attempt *find(const struct sl_fake_world *w, const char *nonce)
{
    struct fake_attempt *a = NULL;
    HASH_FIND_STR(w->by_nonce, nonce, a);
    return a;
}

static int64_t due(const struct fake_attempt *a)
{
    return a->state == FAKE_RUNNING ? SL_MIN(a->due_ms, a->timeout_at_ms) : a->due_ms;
}

static void set_due(struct sl_fake_world *w, struct fake_attempt *a, int64_t due_ms)
{
    a->due_ms = due_ms;
    a->order = ++w->order;
}

static void end(struct sl_fake_world *w, struct fake_attempt *a, int64_t now_ms)
{
    SL_ASSERT(a->state == FAKE_RUNNING);
    a->state = FAKE_ENDED;
    a->outcome.result.started_ms = a->started_ms;
    a->outcome.result.ended_ms = now_ms;
    w->running--;
}

/* The earliest attempt that is due, or NULL. */
static struct fake_attempt *earliest(const struct sl_fake_world *w, bool deliverable)
{
    struct fake_attempt *best = NULL;
    struct fake_attempt *a = NULL;
    TAILQ_FOREACH (a, &w->active, active) {
        if (a->state == FAKE_ENDED && deliverable && a->owner == NULL) {
            continue;
        }
        if (best == NULL || due(a) < due(best) || (due(a) == due(best) && a->order < best->order)) {
            best = a;
        }
    }
    return best;
}

static void time_out(struct sl_fake_world *w, struct fake_attempt *a)
{
    int64_t at = a->timeout_at_ms;
    a->timeout_at_ms = INT64_MAX;
    if (!a->cancelled) {
        a->outcome.result =
            (struct sl_attempt_result){.class = SL_CLASS_TIMEOUT, .exit_code = -1, .signal = 15};
        set_due(w, a, at + a->outcome.dying_ms);
    }
}

void sl_fake_world_advance(struct sl_fake_world *w)
{
    int64_t now = w->config.now_ms(w->config.data);
    for (;;) {
        struct fake_attempt *a = earliest(w, true);
        if (a == NULL || due(a) > now) {
            return;
        }
        if (a->state == FAKE_RUNNING && a->timeout_at_ms < a->due_ms) {
            time_out(w, a);
            continue;
        }
        if (a->state == FAKE_RUNNING) {
            end(w, a, a->due_ms);
        }
        struct sl_attempt *owner = a->owner;
        if (owner == NULL) {
            continue; /* waits for an adopter */
        }
        const struct sl_attempt_result result = a->outcome.result;
        TAILQ_REMOVE(&w->active, a, active);
        a->delivered = true;
        a->owner = NULL;
        owner->impl = NULL;
        owner->on_end(owner, &result);
    }
}

int64_t sl_fake_world_next_ms(const struct sl_fake_world *w)
{
    const struct fake_attempt *a = earliest(w, true);
    return a != NULL ? due(a) : INT64_MAX;
}

void sl_fake_world_crash(struct sl_fake_world *w)
{
    struct fake_attempt *a = NULL;
    struct fake_attempt *next = NULL;
    HASH_ITER (hh, w->by_nonce, a, next) {
        a->owner = NULL;
        if (a->state == FAKE_BLOCKED) {
            a->state = FAKE_GONE;
        }
    }
}

bool sl_fake_world_lose(struct sl_fake_world *w, const char *nonce)
{
    struct fake_attempt *a = find(w, nonce);
    if (a == NULL || a->state != FAKE_RUNNING) {
        return false;
    }
    a->outcome.result = (struct sl_attempt_result){.class = SL_CLASS_LOST, .exit_code = -1};
    (void)snprintf(a->outcome.result.reason, sizeof(a->outcome.result.reason), "%s",
                   "its shim was killed, so how it ended cannot be known");
    a->timeout_at_ms = INT64_MAX;
    set_due(w, a, w->config.now_ms(w->config.data));
    return true;
}

size_t sl_fake_world_running(const struct sl_fake_world *w)
{
    return w->running;
}

int sl_fake_world_execs(const struct sl_fake_world *w, const char *attempt_id)
{
    int n = 0;
    for (const struct fake_attempt *a = w->by_nonce; a != NULL; a = a->hh.next) {
        n += strcmp(a->attempt_id, attempt_id) == 0 ? a->execs : 0;
    }
    return n;
}

static int fake_open(const struct sl_runner_config *config, struct sl_runner **ret,
                     struct sl_err *err)
{
    if (config->backend == NULL) {
        return sl_err_set(err, SL_EINVAL, "runner fake: it is for simulations and needs a world");
    }
    struct fake_runner *r = SL_NEW(struct fake_runner);
    r->base.ops = &sl_runner_ops_fake;
    r->world = (struct sl_fake_world *)(uintptr_t)config->backend;
    *ret = &r->base;
    return 0;
}

static int fake_probe(struct sl_runner *runner, json_t **ret_facts, struct sl_err *err)
{
    (void)err; /* nothing can fail */
    json_t *facts = json_object();
    sl_json_set_str(facts, "runner", "fake");
    sl_json_set_i64(facts, "running", (int64_t)world_of(runner)->running);
    *ret_facts = facts;
    return 0;
}

static void fill_identity(struct sl_fake_world *w, const struct sl_attempt_spec *spec,
                          struct sl_attempt_identity *id)
{
    *id = (struct sl_attempt_identity){.mode = SL_CGROUP_RLIMIT};
    memcpy(id->attempt_id, spec->attempt_id, sizeof(id->attempt_id));
    (void)snprintf(id->boot_id, sizeof(id->boot_id), "%s", "fake");
    unsigned n = HASH_COUNT(w->by_nonce) + 1;
    id->pid = (int64_t)n;
    id->start_time = n;
    if (spec->nonce != NULL) {
        memcpy(id->nonce, spec->nonce, sizeof(id->nonce));
    } else { /* deterministic, unlike the kernel's random */
        (void)snprintf(id->nonce, sizeof(id->nonce), "%032x", n);
    }
}

static int fake_start(struct sl_runner *runner, const struct sl_attempt_spec *spec,
                      struct sl_attempt *attempt, struct sl_err *err)
{
    struct sl_fake_world *w = world_of(runner);
    int rc = sl_attempt_spec_check(spec, err);
    if (rc < 0) {
        return rc;
    }
    struct sl_fake_outcome outcome = {0};
    w->config.outcome(w->config.data, spec, &outcome);
    if (outcome.start_error != 0) {
        return sl_err_set(err, outcome.start_error, "cannot start the shim");
    }
    fill_identity(w, spec, &attempt->identity);
    SL_ASSERT(find(w, attempt->identity.nonce) == NULL);
    struct fake_attempt *a = SL_NEW(struct fake_attempt);
    memcpy(a->nonce, attempt->identity.nonce, sizeof(a->nonce));
    memcpy(a->attempt_id, spec->attempt_id, sizeof(a->attempt_id));
    a->outcome = outcome;
    a->timeout_at_ms = spec->limits.timeout_ms > 0 ? spec->limits.timeout_ms : INT64_MAX;
    a->owner = attempt;
    attempt->runner = runner;
    attempt->impl = a;
    HASH_ADD_STR(w->by_nonce, nonce, a);
    return 0;
}

static int fake_go(struct sl_attempt *attempt, struct sl_err *err)
{
    (void)err; /* nothing can fail */
    struct fake_attempt *a = attempt->impl;
    SL_ASSERT(a != NULL && attempt->on_end != NULL);
    if (a->state != FAKE_BLOCKED) {
        return 0;
    }
    struct sl_fake_world *w = world_of(attempt->runner);
    int64_t now = w->config.now_ms(w->config.data);
    a->state = FAKE_RUNNING;
    a->started_ms = now;
    w->running++;
    TAILQ_INSERT_TAIL(&w->active, a, active);
    if (a->cancelled) {
        a->timeout_at_ms = INT64_MAX;
        set_due(w, a, now);
        return 0;
    }
    a->execs++;
    a->timeout_at_ms = a->timeout_at_ms == INT64_MAX ? INT64_MAX : now + a->timeout_at_ms;
    set_due(w, a, a->outcome.duration_ms < 0 ? INT64_MAX : now + a->outcome.duration_ms);
    return 0;
}

static int fake_cancel(struct sl_attempt *attempt, struct sl_err *err)
{
    (void)err; /* nothing can fail */
    struct fake_attempt *a = attempt->impl;
    if (a == NULL || a->cancelled || a->state == FAKE_ENDED) {
        return 0;
    }
    struct sl_fake_world *w = world_of(attempt->runner);
    a->cancelled = true;
    a->outcome.result = (struct sl_attempt_result){.class = SL_CLASS_CANCELLED, .exit_code = -1};
    if (a->state == FAKE_RUNNING) {
        a->outcome.result.signal = 15;
        a->timeout_at_ms = INT64_MAX;
        set_due(w, a, w->config.now_ms(w->config.data) + a->outcome.dying_ms);
    }
    return 0;
}

static int fake_adopt(struct sl_runner *runner, const struct sl_attempt_identity *identity,
                      const char *attempt_dir, struct sl_attempt *attempt, struct sl_err *err)
{
    (void)err; /* nothing can fail */
    (void)attempt_dir;
    struct sl_fake_world *w = world_of(runner);
    SL_ASSERT(attempt->on_end != NULL);
    attempt->identity = *identity;
    attempt->runner = runner;
    struct fake_attempt *a = find(w, identity->nonce);
    if (a == NULL) { /* no trace of it: it never began */
        a = SL_NEW(struct fake_attempt);
        memcpy(a->nonce, identity->nonce, sizeof(a->nonce));
        memcpy(a->attempt_id, identity->attempt_id, sizeof(a->attempt_id));
        a->state = FAKE_GONE;
        HASH_ADD_STR(w->by_nonce, nonce, a);
    }
    SL_ASSERT(a->owner == NULL);
    if (a->state == FAKE_GONE) {
        a->outcome.result =
            (struct sl_attempt_result){.class = SL_CLASS_NEVER_STARTED, .exit_code = -1};
        a->delivered = true;
        a->state = FAKE_ENDED;
    }
    if (a->delivered) { /* its record is still there */
        a->delivered = false;
        TAILQ_INSERT_TAIL(&w->active, a, active);
        set_due(w, a, w->config.now_ms(w->config.data));
    }
    a->owner = attempt;
    attempt->impl = a;
    return 0;
}

static void fake_release(struct sl_attempt *attempt)
{
    struct fake_attempt *a = attempt->impl;
    if (a == NULL) {
        return;
    }
    a->owner = NULL;
    attempt->impl = NULL;
    if (a->state == FAKE_BLOCKED) {
        a->state = FAKE_GONE;
    }
}

static int fake_sweep(struct sl_runner *runner, const char *const *known, size_t n,
                      struct sl_err *err)
{
    (void)err; /* nothing can fail */
    struct sl_fake_world *w = world_of(runner);
    int count = 0;
    struct fake_attempt *a = NULL;
    struct fake_attempt *next = NULL;
    for (a = TAILQ_FIRST(&w->active); a != NULL; a = next) {
        next = TAILQ_NEXT(a, active);
        bool is_known = false;
        for (size_t i = 0; i < n; i++) {
            is_known = is_known || strcmp(known[i], a->nonce) == 0;
        }
        if (!is_known && a->owner == NULL && a->state == FAKE_RUNNING) {
            end(w, a, w->config.now_ms(w->config.data));
            a->outcome.result = (struct sl_attempt_result){.class = SL_CLASS_LOST, .exit_code = -1};
            count++;
        }
    }
    return count;
}

static void fake_close(struct sl_runner *runner)
{
    if (runner == NULL) {
        return;
    }
    (void)world_of(runner); /* asserts that it is one of ours */
    free(SL_CONTAINER_OF(runner, struct fake_runner, base));
}

const struct sl_runner_ops sl_runner_ops_fake = {
    .name = "fake",
    .text = "programmed outcomes on a virtual clock, for simulations and tests",
    .caps = SL_RUNNER_CAP_ADOPT,
    .open = fake_open,
    .probe = fake_probe,
    .start = fake_start,
    .go = fake_go,
    .cancel = fake_cancel,
    .adopt = fake_adopt,
    .release = fake_release,
    .sweep = fake_sweep,
    .close = fake_close,
};
