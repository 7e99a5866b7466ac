/**
 * Several files at once: most of the time of a small object is waiting for its first byte. Each worker has its own
 * connection and its own partial file; one that finds a partial file of a listed object begins with that one.
 *
 * Thread: workers; the first one is the import's own thread. Must not: go on after one of them failed.
 */
#include "core/base/base.h"

#include <stdlib.h>

#include "registry/source/source_priv.h"

struct worker {
    struct import *im;
    int index;
    struct sl_fetcher *fetcher;
    pthread_t thread;
    bool started;
    struct sl_err err; /* code 0: none */
};

/* The object that a partial file of this worker is of; else the next one. NULL: all are taken. */
static struct object *claim(struct import *im, const char *key)
{
    struct object *found = NULL;
    (void)pthread_mutex_lock(&im->lock);
    for (size_t i = 0; key != NULL && i < im->objects.n && found == NULL; i++) {
        struct object *o = &im->objects.items[i];
        found = !o->claimed && sl_streq(o->key, key) ? o : NULL;
    }
    while (key == NULL && found == NULL && im->next < im->objects.n) {
        struct object *o = &im->objects.items[im->next++];
        found = o->claimed ? NULL : o;
    }
    if (found != NULL) {
        found->claimed = true;
    }
    (void)pthread_mutex_unlock(&im->lock);
    return found;
}

static void bring(struct worker *w, struct object *o)
{
    if (objects_fetch_one(w->im, w->index, w->fetcher, o, &w->err) < 0) {
        atomic_store(&w->im->stop, true);
    } else {
        w->err = SL_ERR_INIT; /* of a try that a later one made good */
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    _cleanup_(free)
    char *begun = w->im->opts->reference ? NULL : place_part_key(&w->im->place, w->index);
    struct object *o = begun != NULL ? claim(w->im, begun) : NULL;
    if (o != NULL) {
        bring(w, o);
    }
    while (!atomic_load(&w->im->stop) && (o = claim(w->im, NULL)) != NULL) {
        bring(w, o);
    }
    return NULL;
}

bool workers_cancelled(void *import)
{
    struct import *im = import;
    const struct sl_fetch_opts *given = &im->opts->access->fetch;
    return atomic_load(&im->stop) ||
           (given->cancelled != NULL && given->cancelled(given->cancel_data));
}

static int start(struct worker *w, struct sl_err *err)
{
    struct sl_fetch_opts fetch = w->im->opts->access->fetch;
    fetch.hops_max = 0;
    fetch.cancelled = workers_cancelled;
    fetch.cancel_data = w->im;
    int rc = sl_fetcher_new(&fetch, &w->fetcher, err);
    if (rc == 0) {
        /* Without another thread those that run do all. */
        w->started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
    }
    return rc;
}

int workers_run(struct import *im, struct sl_err *err)
{
    struct worker workers[IMPORT_WORKERS] = {{.im = im, .fetcher = im->fetcher}};
    int n = (int)SL_MIN(im->objects.n, (size_t)IMPORT_WORKERS);
    int rc = 0;
    for (int i = 1; rc == 0 && i < n; i++) {
        workers[i] = (struct worker){.im = im, .index = i};
        rc = start(&workers[i], err);
    }
    if (rc == 0) {
        (void)worker_main(&workers[0]);
    }
    for (int i = 1; i < n; i++) {
        if (workers[i].started) {
            (void)pthread_join(workers[i].thread, NULL);
        }
        sl_fetcher_free(workers[i].fetcher);
    }
    /* The one that failed first stopped the others: its reason, not that they were stopped. */
    const struct sl_err *why = NULL;
    for (int i = 0; i < n; i++) {
        const struct sl_err *e = &workers[i].err;
        if (atomic_load(&im->stop) && e->code != 0 && (why == NULL || why->code == SL_ECANCELLED)) {
            why = e;
        }
    }
    if (rc == 0 && why != NULL) {
        if (err != NULL) {
            *err = *why;
        }
        rc = -why->code;
    }
    struct sl_err ignored = SL_ERR_INIT; /* what is whole is kept, also when another file failed */
    int kept = objects_commit(im, rc < 0 ? &ignored : err);
    return rc < 0 ? rc : kept;
}
