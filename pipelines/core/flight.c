/* Single flight: of several steps with one cache key, one runs and the others wait for its outputs.
 * Thread: loop. */
#include "core/base/base.h"

#include <stdlib.h>

#include "pipelines/core/core_priv.h"

static struct flight *find(struct sl_core *c, const struct sl_digest *key)
{
    struct flight *f = NULL;
    HASH_FIND(hh, c->flights, key, sizeof(*key), f);
    return f;
}

static void drop(struct sl_core *c, struct flight *f)
{
    HASH_DEL(c->flights, f);
    sl_vec_free(&f->waiters);
    free(f);
}

bool sl_flight_lead(struct sl_core *c, struct sl_core_run *r, uint32_t step)
{
    struct sl_core_step *s = &r->steps[step];
    if (!s->has_key || !s->share) {
        return true;
    }
    struct flight *f = find(c, &s->key);
    if (f == NULL) {
        f = SL_NEW(struct flight);
        f->key = s->key;
        f->run = r;
        f->step = step;
        HASH_ADD(hh, c->flights, key, sizeof(f->key), f);
        return true;
    }
    if (f->run == r && f->step == step) {
        return true; /* a further attempt of the leader */
    }
    s->phase = PH_PARKED;
    sl_vec_push(&f->waiters, ((struct flight_waiter){r, step}));
    return false;
}

void sl_flight_land(struct sl_core *c, struct sl_core_run *r, uint32_t step)
{
    struct sl_core_step *s = &r->steps[step];
    struct flight *f = s->has_key && s->share ? find(c, &s->key) : NULL;
    if (f == NULL || f->run != r || f->step != step) {
        return;
    }
    struct flight taken = *f;
    f->waiters.items = NULL;
    drop(c, f);
    for (size_t i = 0; i < taken.waiters.n; i++) {
        struct flight_waiter w = taken.waiters.items[i];
        if (w.run->steps[w.step].phase == PH_PARKED) {
            w.run->steps[w.step].phase = PH_DECIDING;
            c->io->decide(c->data, w.run, w.step);
        }
    }
    sl_vec_free(&taken.waiters);
}

void sl_flight_forget_run(struct sl_core *c, const struct sl_core_run *r)
{
    struct flight *f = NULL;
    struct flight *next = NULL;
    HASH_ITER (hh, c->flights, f, next) {
        size_t kept = 0;
        for (size_t i = 0; i < f->waiters.n; i++) {
            if (f->waiters.items[i].run != r) {
                f->waiters.items[kept++] = f->waiters.items[i];
            }
        }
        f->waiters.n = kept;
        if (f->run == r) {
            drop(c, f);
        }
    }
}

void sl_flight_free_all(struct sl_core *c)
{
    struct flight *f = NULL;
    struct flight *next = NULL;
    HASH_ITER (hh, c->flights, f, next) {
        drop(c, f);
    }
}
